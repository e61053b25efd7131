//! Reads budgets with their notifications, subscribers and tags.

use std::collections::BTreeMap;

use aws_sdk_budgets::types::{Budget as AwsBudget, Notification as AwsNotification};

use super::super::iam_account::BULK_MIN;
use super::adjust::AutoAdjust;
use super::notification::Notification;
use super::scope::{Filters, Metric, Period};
use super::{Arguments, Attributes, Budget, day, dollars, parts};
use crate::aws::resource::{Discovered, Fields, Observation, Observed};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::Scope;

type Answer = Result<Vec<(PhysicalId, Observation<Budget>)>, AwsError>;

/// The most budgets that one page of DescribeBudgets holds.
const PAGE: i32 = 100;

/// What one walk through an account finds.
struct Account {
    budgets: BTreeMap<String, AwsBudget>,
    notifications: BTreeMap<String, Vec<AwsNotification>>,
}

pub(super) async fn read_many(aws: &Aws, ids: &[PhysicalId], fields: &Fields) -> Answer {
    let mut by_account = BTreeMap::<&str, Vec<&PhysicalId>>::new();
    for id in ids {
        by_account.entry(parts(id).0).or_default().push(id);
    }
    let mut out = Vec::new();
    for (account, ids) in by_account {
        let walk = if ids.len() < BULK_MIN { None } else { Some(walk(aws, account, fields).await?) };
        let walk = walk.as_ref();
        let reads = ids.into_iter().map(|id| async move {
            let read = match walk {
                Some(found) => Ok(found.budgets.get(parts(id).1).cloned()),
                None => describe(aws, id).await,
            };
            let observation = match read {
                Ok(Some(budget)) => complete(aws, id, budget, walk, fields).await,
                Ok(None) => Observation::Absent,
                Err(error) => Observation::Unreadable(error),
            };
            (id.clone(), observation)
        });
        out.extend(together(reads).await);
    }
    Ok(out)
}

pub(super) async fn discover(aws: &Aws, account: &str) -> Result<Vec<Discovered>, AwsError> {
    let names = budgets_of(aws, account).await?.into_keys().collect::<Vec<_>>();
    let reads = names.into_iter().map(|name| async move {
        let id = PhysicalId(format!("{account}:{name}"));
        let owner = owner(aws, &arn(aws, &id)).await?;
        Ok::<_, AwsError>(Discovered { id, owner, name: Some(name) })
    });
    together(reads).await.into_iter().collect()
}

/// Reads whose a budget is; a budget that does not exist is an error of class not found.
pub(super) async fn owner(aws: &Aws, arn: &str) -> Result<Option<Owner>, AwsError> {
    Ok(tags(aws, arn).await?.1)
}

async fn tags(aws: &Aws, arn: &str) -> Result<(Tags, Option<Owner>), AwsError> {
    let output = aws.budgets().list_tags_for_resource().resource_arn(arn).send().await?;
    Ok(split(output.resource_tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value))))
}

fn arn(aws: &Aws, id: &PhysicalId) -> String {
    let (account, name) = parts(id);
    let region = aws.region().to_owned();
    super::arn(&Scope { environment: String::new(), account: account.to_owned(), region }, name)
}

async fn describe(aws: &Aws, id: &PhysicalId) -> Result<Option<AwsBudget>, AwsError> {
    let (account, name) = parts(id);
    let call = aws.budgets().describe_budget().account_id(account).budget_name(name).show_filter_expression(true);
    match call.send().await.map_err(AwsError::from) {
        Ok(output) => Ok(output.budget),
        Err(error) => error.absent(),
    }
}

async fn budgets_of(aws: &Aws, account: &str) -> Result<BTreeMap<String, AwsBudget>, AwsError> {
    let call = aws.budgets().describe_budgets().account_id(account).show_filter_expression(true).max_results(PAGE);
    let mut pages = call.into_paginator().items().send();
    let mut out = BTreeMap::new();
    while let Some(budget) = pages.next().await {
        let budget = budget?;
        out.insert(budget.budget_name.clone(), budget);
    }
    Ok(out)
}

async fn walk(aws: &Aws, account: &str, fields: &Fields) -> Result<Account, AwsError> {
    let budgets = budgets_of(aws, account).await?;
    let mut notifications = BTreeMap::new();
    if fields.wants("notifications") {
        let call = aws.budgets().describe_budget_notifications_for_account().account_id(account);
        let mut pages = call.into_paginator().items().send();
        while let Some(found) = pages.next().await {
            let found = found?;
            let of_one = found.notifications.unwrap_or_default();
            notifications.entry(found.budget_name.unwrap_or_default()).or_insert_with(Vec::new).extend(of_one);
        }
    }
    Ok(Account { budgets, notifications })
}

async fn complete(
    aws: &Aws,
    id: &PhysicalId,
    budget: AwsBudget,
    walk: Option<&Account>,
    fields: &Fields,
) -> Observation<Budget> {
    let arn = arn(aws, id);
    let (notifications, tags) =
        futures::join!(read_notifications(aws, id, walk, fields.wants("notifications")), tags(aws, &arn));
    let mut observed = observed(budget, arn);
    observed.arguments.notifications = observed.field("notifications", notifications);
    (observed.arguments.tags, observed.owner) = observed.field("tags", tags);
    Observation::Present(Box::new(observed))
}

fn observed(budget: AwsBudget, arn: String) -> Observed<Budget> {
    let mut unreadable = BTreeMap::new();
    let mut foreign = |path: &str| {
        unreadable.insert(path.to_owned(), "AWS has a value that opora has no word for".to_owned());
    };
    let adjusted = budget.auto_adjust_data.as_ref();
    let auto_adjust = adjusted.and_then(AutoAdjust::from_aws);
    // The amount of a budget that AWS adjusts is AWS's own.
    let limit = budget.budget_limit.as_ref().filter(|_| adjusted.is_none());
    let amount: Option<f64> = limit.and_then(|limit| limit.amount.parse().ok());
    let period = Period::from_aws(&budget.time_unit);
    let filters = Filters::from_expression(budget.filter_expression.as_ref());
    let metric = match budget.metrics() {
        // A budget made before there were metrics counts unblended costs unless its older settings say else.
        [] => older_metric(&budget),
        [metric, ..] => Metric::from_aws(metric),
    };
    let readable = [
        ("amount", amount.is_some() || adjusted.is_some()),
        ("auto_adjust", auto_adjust.is_some() || adjusted.is_none()),
        ("period", period.is_some()),
        ("filters", filters.is_some()),
        ("metric", metric.is_some()),
    ];
    readable.iter().filter(|(_, read)| !read).for_each(|(path, _)| foreign(path));
    let arguments = Arguments {
        name: Some(budget.budget_name.clone()),
        amount,
        auto_adjust,
        unit: limit.map_or_else(dollars, |limit| limit.unit.clone()),
        period: period.unwrap_or_default(),
        metric: metric.unwrap_or_default(),
        filters: filters.unwrap_or_default(),
        starts: budget.time_period.as_ref().and_then(|period| day(period.start.as_ref()?)),
        ends: budget.time_period.as_ref().and_then(|period| day(period.end.as_ref()?)),
        notifications: Vec::new(),
        tags: Tags::new(),
    };
    let mut observed = Observed::new(arguments, Attributes { arn, name: budget.budget_name }, None);
    observed.unreadable = unreadable;
    observed
}

#[expect(deprecated, reason = "budgets made before there were metrics still have cost types")]
fn older_metric(budget: &AwsBudget) -> Option<Metric> {
    let types = budget.cost_types.as_ref();
    let is = |flag: Option<bool>| flag == Some(true);
    Some(match types {
        Some(types) if is(types.use_amortized) => Metric::Amortized,
        Some(types) if is(types.use_blended) => Metric::Blended,
        _ => Metric::Unblended,
    })
}

async fn read_notifications(
    aws: &Aws,
    id: &PhysicalId,
    walk: Option<&Account>,
    wanted: bool,
) -> Result<Vec<Notification>, AwsError> {
    if !wanted {
        return Ok(Vec::new());
    }
    let (account, name) = parts(id);
    let found = match walk {
        Some(walk) => walk.notifications.get(name).cloned().unwrap_or_default(),
        None => {
            let call = aws.budgets().describe_notifications_for_budget().account_id(account).budget_name(name);
            let mut pages = call.into_paginator().items().send();
            let mut out = Vec::new();
            while let Some(notification) = pages.next().await {
                out.push(notification?);
            }
            out
        }
    };
    let reads = found.iter().map(|notification| read_subscribers(aws, account, name, notification));
    together(reads).await.into_iter().collect()
}

async fn read_subscribers(
    aws: &Aws,
    account: &str,
    name: &str,
    notification: &AwsNotification,
) -> Result<Notification, AwsError> {
    let Some(mut out) = Notification::from_aws(notification) else {
        let message = "the notification has a value that opora has no word for";
        let class = crate::aws::ErrorClass::Other;
        return Err(AwsError::own("budgets:DescribeNotificationsForBudget", class, "NewValue", message));
    };
    let call = aws.budgets().describe_subscribers_for_notification().account_id(account).budget_name(name);
    // What AWS works out by itself is no part of the notification's name.
    let mut pages = call.notification(out.to_aws()).into_paginator().items().send();
    while let Some(subscriber) = pages.next().await {
        out.subscribe(subscriber?);
    }
    Ok(out)
}

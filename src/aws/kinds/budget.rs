//! An AWS Budgets cost budget with its notifications.
//!
//! Calls: CreateBudget; UpdateBudget, CreateNotification, DeleteNotification, CreateSubscriber,
//! UpdateSubscriber, DeleteSubscriber, TagResource, UntagResource; DeleteBudget. Reads: GetCallerIdentity once
//! (a budget is named by its account), per budget DescribeBudget, DescribeNotificationsForBudget and
//! ListTagsForResource, for more than three budgets DescribeBudgets and DescribeBudgetNotificationsForAccount
//! once; DescribeSubscribersForNotification per notification.
//! Waits: none; AWS works its budgets out a few times a day.
//! Traps: the endpoint is global. CreateBudget takes no client token; the name is unique in the account. A
//! filter needs a metric beside it, so one is always sent. UpdateBudget replaces the whole budget and sets its
//! counted spend back to nothing until AWS counts again. Of a budget that AWS adjusts, AWS shows the amount that it
//! worked out.

mod adjust;
mod notification;
mod read;
mod scope;

use aws_sdk_budgets::types::{Budget as AwsBudget, BudgetType, ResourceTag, Spend, TimePeriod};
use aws_smithy_types::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::iam_account::gone;
use crate::aws::connect::caller;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Problem, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};
use adjust::AutoAdjust;
use notification::Notification;
use scope::{Filters, Metric, Period};

/// A cost budget: how much may be spent in each period, on what, and who is told.
///
/// It tells people and topics; it does not stop anything by itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The budget's name, at most 100 characters without `:` and `\`; left out, one is made of environment and
    /// address.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[^:\\]{1,100}$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// How much may be spent in one period; `auto_adjust` in its place lets AWS set it.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub amount: Option<f64>,
    /// In place of an amount: what AWS sets the amount of each period by.
    #[serde(default)]
    pub auto_adjust: Option<AutoAdjust>,
    /// The amount's currency.
    #[serde(default = "dollars")]
    #[schemars(length(min = 1))]
    pub unit: String,
    /// How long a period is.
    #[serde(default)]
    pub period: Period,
    /// How costs are counted.
    #[serde(default)]
    pub metric: Metric,
    /// Which costs count; left out, all of the account's.
    #[serde(default)]
    pub filters: Filters,
    /// The first day (UTC, `2026-01-31`); left out, the current period's first.
    #[serde(default)]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub starts: Option<String>,
    /// The day (UTC) after which AWS deletes the budget; left out, never (in 2087).
    #[serde(default)]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub ends: Option<String>,
    /// Who is told at which threshold; ten at most.
    #[serde(default)]
    #[schemars(length(max = 10), extend("x-set" = true))]
    pub notifications: Vec<Notification>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The budget's ARN.
    pub arn: String,
    /// The budget's name.
    pub name: String,
}

fn dollars() -> String {
    "USD".to_owned()
}

/// The end of a budget that has none: 15 June 2087.
const NEVER_SECONDS: i64 = 3_706_473_600;

/// See the module's header.
pub struct Budget;

impl ResourceKind for Budget {
    const NAME: &'static str = "budget";
    const SERVICE: &'static str = "budgets";
    const IDENTITY: Identity = Identity::UniqueName;
    const ACTIONS: Actions = Actions {
        read: &["budgets:ListTagsForResource", "budgets:ViewBudget", "sts:GetCallerIdentity"],
        create: &["budgets:ModifyBudget", "budgets:TagResource"],
        update: &["budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource"],
        delete: &["budgets:ModifyBudget"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        for name in ["starts", "ends"] {
            let text = arguments.get(name).and_then(Value::as_str).unwrap_or("2026-01-01");
            if seconds(text).is_none() && crate::value::unknown_references(text).is_empty() {
                out.push(Problem::new(name, "there is no such day"));
            }
        }
        let days = |name: &str| arguments.get(name).and_then(Value::as_str).and_then(seconds);
        if days("starts").zip(days("ends")).is_some_and(|(starts, ends)| starts >= ends) {
            out.push(Problem::new("ends", "it has to come after `starts`"));
        }
        adjust::check(arguments, &mut out);
        notification::check(arguments.get("notifications"), &mut out);
        out
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let name = arguments.get("name").and_then(Value::as_str);
        let name = name.map_or_else(|| default_name(owner, 100), str::to_owned);
        let arn = arn(scope, &name);
        Map::from_iter([("arn".to_owned(), Value::from(arn)), ("name".to_owned(), Value::from(name))])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        read::read_many(aws, ids, fields).await
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        read::discover(aws, &caller(aws).await?.account).await
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(&cx, arguments);
        match read::owner(cx.aws, &arn(cx.scope, &name)).await {
            Ok(owner) => Ok(owner.filter(|owner| owner == cx.owner).map(|_| id(cx.scope, &name)).into_iter().collect()),
            Err(error) => Ok(error.absent::<PhysicalId>()?.into_iter().collect()),
        }
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(&cx, arguments);
        let notifications = arguments.notifications.iter().map(Notification::with_subscribers).collect();
        let call = cx
            .aws
            .budgets()
            .create_budget()
            .account_id(&cx.scope.account)
            .budget(budget(&name, arguments, None))
            .set_notifications_with_subscribers(Some(notifications))
            .set_resource_tags(Some(budget_tags(&cx.tags(&arguments.tags))));
        call.send().await?;
        Ok(id(cx.scope, &name))
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let budgets = cx.aws.budgets();
        let (account, name) = parts(cx.id);
        let whole = ["amount", "auto_adjust", "unit", "period", "metric", "filters", "starts", "ends"];
        if whole.iter().any(|argument| cx.touches(argument)) {
            let starts = cx.before.arguments.starts.as_deref();
            let new = budget(name, cx.after, starts);
            budgets.update_budget().account_id(account).new_budget(new).send().await?;
        }
        if cx.touches("notifications") {
            let (before, after) = (&cx.before.arguments.notifications, &cx.after.notifications);
            notification::update(cx.aws, account, name, before, after).await?;
        }
        if cx.touches("tags") {
            let arn = arn(cx.scope, name);
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            if !changes.set.is_empty() {
                let tags = budget_tags(&changes.set);
                budgets.tag_resource().resource_arn(&arn).set_resource_tags(Some(tags)).send().await?;
            }
            if !changes.remove.is_empty() {
                let call = budgets.untag_resource().resource_arn(&arn);
                call.set_resource_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let (account, name) = parts(cx.id);
        gone(cx.aws.budgets().delete_budget().account_id(account).budget_name(name).send().await)
    }
}

fn name_of(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(100))
}

fn arn(scope: &Scope, name: &str) -> String {
    scope.arn("-budgets", &format!("budget/{name}"))
}

/// A budget's id is `ACCOUNT:NAME`, for every call names the account; a budget's name has no colon.
fn id(scope: &Scope, name: &str) -> PhysicalId {
    format!("{}:{name}", scope.account).into()
}

fn parts(id: &PhysicalId) -> (&str, &str) {
    id.as_str().split_once(':').unwrap_or(("", id.as_str()))
}

/// Returns the first second of a day, as seconds since 1970.
fn seconds(day: &str) -> Option<i64> {
    let day: jiff::civil::Date = day.parse().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Returns the day of a time.
fn day(time: &DateTime) -> Option<String> {
    let time = jiff::Timestamp::from_second(time.secs()).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

/// Makes AWS's budget; `starts` is the day that stays where the arguments name none.
fn budget(name: &str, arguments: &Arguments, starts: Option<&str>) -> AwsBudget {
    let limit = arguments.amount.map(|amount| {
        let limit = Spend::builder().amount(amount.to_string()).unit(&arguments.unit).build();
        limit.expect("internal error: amount and unit are set")
    });
    let starts = arguments.starts.as_deref().or(starts).and_then(seconds).map(DateTime::from_secs);
    let ends = arguments.ends.as_deref().and_then(seconds).unwrap_or(NEVER_SECONDS);
    let period = TimePeriod::builder().set_start(starts).end(DateTime::from_secs(ends)).build();
    AwsBudget::builder()
        .budget_name(name)
        .budget_type(BudgetType::Cost)
        .set_budget_limit(limit)
        .set_auto_adjust_data(arguments.auto_adjust.map(AutoAdjust::to_aws))
        .time_unit(arguments.period.to_aws())
        .time_period(period)
        .metrics(arguments.metric.to_aws())
        .set_filter_expression(arguments.filters.to_expression())
        .build()
        .expect("internal error: name, type and time unit are set")
}

fn budget_tags(tags: &Tags) -> Vec<ResourceTag> {
    let tag = |(key, value): (&String, &String)| {
        ResourceTag::builder().key(key).value(value).build().expect("internal error: key and value are set")
    };
    tags.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn days_are_days() {
        assert_eq!(seconds("2026-02-29"), None);
        assert_eq!(seconds("2087-06-15"), Some(NEVER_SECONDS));
        assert_eq!(day(&DateTime::from_secs(NEVER_SECONDS)).as_deref(), Some("2087-06-15"));
        let problems = Budget::check(&json!({ "amount": 1, "starts": "2026-02-29", "ends": "2026-01-01" }));
        assert_eq!(problems.len(), 1);
        let problems = Budget::check(&json!({ "amount": 1, "starts": "2026-02-01", "ends": "2026-01-01" }));
        assert_eq!(problems[0].path, "ends");
    }

    #[test]
    fn the_id_names_the_account() {
        assert_eq!(parts(&"123456789012:ml spend".into()), ("123456789012", "ml spend"));
    }
}

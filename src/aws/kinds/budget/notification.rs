//! Who is told of a budget, and at which threshold.

use aws_sdk_budgets::types::{
    ComparisonOperator, Notification as AwsNotification, NotificationType, NotificationWithSubscribers, Subscriber,
    SubscriptionType, ThresholdType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::iam_account::gone;
use crate::aws::resource::Problem;
use crate::aws::{Aws, AwsError};

/// One threshold, and who is told when it is passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Whether what was spent counts, or what AWS expects to be spent.
    #[serde(default)]
    pub spend: Spend,
    /// The threshold: per cent of the amount, or money.
    #[schemars(range(min = 0))]
    pub threshold: f64,
    /// What the threshold is.
    #[serde(default)]
    pub threshold_in: ThresholdIn,
    /// Which side of the threshold is told of.
    #[serde(default)]
    pub when: When,
    /// E-mail addresses, ten at most.
    #[serde(default)]
    #[schemars(length(max = 10), extend("x-set" = true))]
    pub emails: Vec<String>,
    /// The ARN of an SNS topic.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub sns_topic: Option<String>,
}

/// What is compared with the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spend {
    /// What was spent.
    #[default]
    Actual,
    /// What AWS expects to be spent by the period's end.
    Forecasted,
}

/// What a threshold is given in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdIn {
    #[default]
    Percent,
    Money,
}

/// Which side of the threshold is told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Above,
    Below,
    Equal,
}

impl Notification {
    /// Reads AWS's notification, without its subscribers; `None` where a word is new.
    pub(super) fn from_aws(notification: &AwsNotification) -> Option<Self> {
        let spend = match notification.notification_type {
            NotificationType::Actual => Spend::Actual,
            NotificationType::Forecasted => Spend::Forecasted,
            _ => return None,
        };
        let when = match notification.comparison_operator {
            ComparisonOperator::GreaterThan => When::Above,
            ComparisonOperator::LessThan => When::Below,
            ComparisonOperator::EqualTo => When::Equal,
            _ => return None,
        };
        let threshold_in = match &notification.threshold_type {
            None | Some(ThresholdType::Percentage) => ThresholdIn::Percent,
            Some(ThresholdType::AbsoluteValue) => ThresholdIn::Money,
            Some(_) => return None,
        };
        let threshold = notification.threshold;
        Some(Self { spend, threshold, threshold_in, when, emails: Vec::new(), sns_topic: None })
    }

    /// Adds one subscriber as AWS gives it.
    pub(super) fn subscribe(&mut self, subscriber: Subscriber) {
        match subscriber.subscription_type {
            SubscriptionType::Sns => self.sns_topic = Some(subscriber.address),
            _ => self.emails.push(subscriber.address),
        }
    }

    pub(super) fn to_aws(&self) -> AwsNotification {
        AwsNotification::builder()
            .notification_type(match self.spend {
                Spend::Actual => NotificationType::Actual,
                Spend::Forecasted => NotificationType::Forecasted,
            })
            .comparison_operator(match self.when {
                When::Above => ComparisonOperator::GreaterThan,
                When::Below => ComparisonOperator::LessThan,
                When::Equal => ComparisonOperator::EqualTo,
            })
            .threshold(self.threshold)
            .threshold_type(match self.threshold_in {
                ThresholdIn::Percent => ThresholdType::Percentage,
                ThresholdIn::Money => ThresholdType::AbsoluteValue,
            })
            .build()
            .expect("internal error: type, operator and threshold are set")
    }

    fn subscribers(&self) -> Vec<Subscriber> {
        let emails = self.emails.iter().map(|address| subscriber(SubscriptionType::Email, address));
        emails.chain(self.sns_topic.iter().map(|topic| subscriber(SubscriptionType::Sns, topic))).collect()
    }

    pub(super) fn with_subscribers(&self) -> NotificationWithSubscribers {
        NotificationWithSubscribers::builder()
            .notification(self.to_aws())
            .set_subscribers(Some(self.subscribers()))
            .build()
            .expect("internal error: notification and subscribers are set")
    }

    /// Tells whether two are one notification to AWS: all but who is told.
    fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.spend, it.when, it.threshold_in, it.threshold.to_bits());
        key(self) == key(other)
    }
}

fn subscriber(kind: SubscriptionType, address: &str) -> Subscriber {
    let subscriber = Subscriber::builder().subscription_type(kind).address(address).build();
    subscriber.expect("internal error: type and address are set")
}

/// Checks what the schema can't: somebody is told, and nothing is there twice.
pub(super) fn check(notifications: Option<&Value>, out: &mut Vec<Problem>) {
    let all = notifications.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut seen: Vec<Notification> = Vec::new();
    for (index, value) in all.into_iter().enumerate() {
        let path = format!("notifications[{index}]");
        let Ok(notification) = serde_json::from_value::<Notification>(value) else { continue };
        if notification.emails.is_empty() && notification.sns_topic.is_none() {
            out.push(Problem::new(&path, "nobody is told: it needs `emails` or `sns_topic`"));
        }
        if seen.iter().any(|other| other.is_same(&notification)) {
            out.push(Problem::new(&path, "another notification has the same threshold"));
        }
        seen.push(notification);
    }
}

/// Brings the notifications to what is wanted; somebody is told at every moment.
pub(super) async fn update(
    aws: &Aws,
    account: &str,
    name: &str,
    before: &[Notification],
    after: &[Notification],
) -> Result<(), AwsError> {
    let budgets = aws.budgets();
    let stay = |one: &&Notification| after.iter().any(|other| other.is_same(one));
    let leave: Vec<_> = before.iter().filter(|one| !stay(one)).collect();
    let come: Vec<_> = after.iter().filter(|one| !before.iter().any(|other| other.is_same(one))).collect();
    // New ones first, but a budget has room for ten.
    let room = 10_usize.saturating_sub(before.len()).min(come.len());
    for (at, new) in come.iter().enumerate() {
        if at >= room
            && let Some(old) = leave.get(at - room)
        {
            delete(aws, account, name, old).await?;
        }
        let call = budgets.create_notification().account_id(account).budget_name(name).notification(new.to_aws());
        call.set_subscribers(Some(new.subscribers())).send().await?;
    }
    for old in leave.iter().skip(come.len() - room) {
        delete(aws, account, name, old).await?;
    }
    for new in after {
        if let Some(old) = before.iter().find(|old| old.is_same(new)) {
            update_subscribers(aws, account, name, old, new).await?;
        }
    }
    Ok(())
}

async fn delete(aws: &Aws, account: &str, name: &str, old: &Notification) -> Result<(), AwsError> {
    let call = aws.budgets().delete_notification().account_id(account).budget_name(name);
    gone(call.notification(old.to_aws()).send().await)
}

/// Changes who is told: one for one where both are of a sort, so that no limit is passed and nobody is left out.
async fn update_subscribers(
    aws: &Aws,
    account: &str,
    name: &str,
    old: &Notification,
    new: &Notification,
) -> Result<(), AwsError> {
    let (budgets, notification) = (aws.budgets(), new.to_aws());
    let (before, after) = (old.subscribers(), new.subscribers());
    let mut leave: Vec<Subscriber> = before.iter().filter(|one| !after.contains(one)).cloned().collect();
    for come in after.into_iter().filter(|one| !before.contains(one)) {
        match leave.iter().position(|one| one.subscription_type == come.subscription_type) {
            Some(at) => {
                let call = budgets.update_subscriber().account_id(account).budget_name(name);
                let call = call.notification(notification.clone()).old_subscriber(leave.remove(at));
                call.new_subscriber(come).send().await?;
            }
            None => {
                let call = budgets.create_subscriber().account_id(account).budget_name(name);
                call.notification(notification.clone()).subscriber(come).send().await?;
            }
        }
    }
    for gone_one in leave {
        let call = budgets.delete_subscriber().account_id(account).budget_name(name);
        gone(call.notification(notification.clone()).subscriber(gone_one).send().await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn somebody_is_told_once() {
        let mut out = Vec::new();
        let list = json!([{ "threshold": 80, "emails": ["a@example.com"] }, { "threshold": 80.0 }]);
        check(Some(&list), &mut out);
        let messages: Vec<_> = out.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            messages,
            ["nobody is told: it needs `emails` or `sns_topic`", "another notification has the same threshold"]
        );
    }

    #[test]
    fn notifications_go_both_ways() {
        let given: Notification = serde_json::from_value(json!({ "spend": "forecasted", "threshold": 250.5,
            "threshold_in": "money", "when": "below", "emails": ["a@example.com"], "sns_topic": "arn:x" }))
        .unwrap();
        let aws = given.with_subscribers();
        let mut read = Notification::from_aws(aws.notification().unwrap()).unwrap();
        for subscriber in aws.subscribers() {
            read.subscribe(subscriber.clone());
        }
        assert_eq!(read, given);
    }
}

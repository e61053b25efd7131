//! Notifications and their subscribers.

use serde_json::{Value, json};

use super::{BUDGETS, PAGE, budget_of, duplicate, invalid, not_found, own_account};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateNotification", create_notification),
    ("CreateSubscriber", create_subscriber),
    ("DeleteNotification", delete_notification),
    ("DeleteSubscriber", delete_subscriber),
    ("DescribeBudgetNotificationsForAccount", describe_for_account),
    ("DescribeNotificationsForBudget", describe_notifications),
    ("DescribeSubscribersForNotification", describe_subscribers),
    ("UpdateNotification", update_notification),
    ("UpdateSubscriber", update_subscriber),
];

const NOTIFICATIONS_MAX: usize = 10;
const EMAILS_MAX: usize = 10;

fn too_many(message: &str) -> AwsError {
    AwsError::new("CreationLimitExceededException", message)
}

/// Returns a notification with what a request may leave out.
fn complete(given: &Value) -> Value {
    let kind = given.get("ThresholdType").cloned().unwrap_or(json!("PERCENTAGE"));
    json!({
        "NotificationType": given["NotificationType"],
        "ComparisonOperator": given["ComparisonOperator"],
        "Threshold": given["Threshold"].as_f64(),
        "ThresholdType": kind,
        "NotificationState": "OK",
    })
}

fn is_same(a: &Value, b: &Value) -> bool {
    let b = complete(b);
    ["NotificationType", "ComparisonOperator", "Threshold", "ThresholdType"].iter().all(|key| a[*key] == b[*key])
}

fn check_subscribers(subscribers: &[Value]) -> Result<(), AwsError> {
    let of = |kind: &str| subscribers.iter().filter(|one| text(one, "SubscriptionType") == kind).count();
    if of("SNS") > 1 || of("EMAIL") > EMAILS_MAX {
        return Err(too_many("A notification has one SNS subscriber and ten email subscribers at most."));
    }
    for (index, one) in subscribers.iter().enumerate() {
        let (kind, address) = (text(one, "SubscriptionType"), text(one, "Address"));
        let valid = if kind == "SNS" {
            address.starts_with("arn:") && address.contains(":sns:")
        } else {
            address.contains('@')
        };
        if !valid {
            return Err(invalid(format!("Invalid subscriber address {address}")));
        }
        if subscribers[..index].contains(one) {
            return Err(duplicate(format!("Subscriber {address} is there twice.")));
        }
    }
    Ok(())
}

/// Reads the notifications of CreateBudget.
pub(super) fn requested(input: &Value) -> Result<Value, AwsError> {
    let mut out: Vec<Value> = Vec::new();
    for one in input["NotificationsWithSubscribers"].as_array().into_iter().flatten() {
        let given = &one["Notification"];
        if out.iter().any(|known| is_same(&known["Notification"], given)) {
            return Err(duplicate("Two notifications are the same."));
        }
        let subscribers = one["Subscribers"].as_array().cloned().unwrap_or_default();
        check_subscribers(&subscribers)?;
        out.push(json!({ "Notification": complete(given), "Subscribers": subscribers }));
    }
    if out.len() > NOTIFICATIONS_MAX {
        return Err(too_many("A budget has ten notifications at most."));
    }
    Ok(json!(out))
}

/// One budget's notifications, taken out to be changed.
struct Taken {
    name: String,
    list: Vec<Value>,
}

impl Taken {
    fn of(call: &Call<'_>, input: &Value) -> Result<Self, AwsError> {
        let (name, budget) = budget_of(call, input)?;
        Ok(Self { name, list: budget["_notifications"].as_array().cloned().unwrap_or_default() })
    }

    fn position(&self, notification: &Value) -> Option<usize> {
        self.list.iter().position(|known| is_same(&known["Notification"], notification))
    }

    fn find(&self, notification: &Value) -> Result<usize, AwsError> {
        self.position(notification).ok_or_else(|| not_found("Unable to get notification: it doesn't exist."))
    }

    fn subscribers(&self, at: usize) -> Vec<Value> {
        self.list[at]["Subscribers"].as_array().cloned().unwrap_or_default()
    }

    fn store(self, call: &mut Call<'_>) -> Answer {
        let list = json!(self.list);
        call.change(BUDGETS, &self.name, |budget| budget["_notifications"] = list);
        Ok(json!({}))
    }
}

fn create_notification(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let given = &input["Notification"];
    if taken.position(given).is_some() {
        return Err(duplicate("Unable to create notification: it already exists."));
    }
    if taken.list.len() >= NOTIFICATIONS_MAX {
        return Err(too_many("A budget has ten notifications at most."));
    }
    let subscribers = input["Subscribers"].as_array().cloned().unwrap_or_default();
    check_subscribers(&subscribers)?;
    taken.list.push(json!({ "Notification": complete(given), "Subscribers": subscribers }));
    taken.store(call)
}

fn update_notification(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let at = taken.find(&input["OldNotification"])?;
    let new = &input["NewNotification"];
    if taken.position(new).is_some_and(|other| other != at) {
        return Err(duplicate("Unable to update notification: the new one already exists."));
    }
    taken.list[at]["Notification"] = complete(new);
    taken.store(call)
}

fn delete_notification(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let at = taken.find(&input["Notification"])?;
    taken.list.remove(at);
    taken.store(call)
}

fn create_subscriber(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let at = taken.find(&input["Notification"])?;
    let mut all = taken.subscribers(at);
    if all.contains(&input["Subscriber"]) {
        return Err(duplicate("Unable to create subscriber: it already exists."));
    }
    all.push(input["Subscriber"].clone());
    check_subscribers(&all)?;
    taken.list[at]["Subscribers"] = json!(all);
    taken.store(call)
}

fn subscriber_at(all: &[Value], wanted: &Value) -> Result<usize, AwsError> {
    let found = all.iter().position(|one| one == wanted);
    found.ok_or_else(|| not_found("Unable to get subscriber: it doesn't exist."))
}

fn update_subscriber(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let at = taken.find(&input["Notification"])?;
    let mut all = taken.subscribers(at);
    let position = subscriber_at(&all, &input["OldSubscriber"])?;
    all[position] = input["NewSubscriber"].clone();
    check_subscribers(&all)?;
    taken.list[at]["Subscribers"] = json!(all);
    taken.store(call)
}

/// Deleting the last subscriber deletes the notification.
fn delete_subscriber(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut taken = Taken::of(call, input)?;
    let at = taken.find(&input["Notification"])?;
    let mut all = taken.subscribers(at);
    all.remove(subscriber_at(&all, &input["Subscriber"])?);
    if all.is_empty() {
        taken.list.remove(at);
    } else {
        taken.list[at]["Subscribers"] = json!(all);
    }
    taken.store(call)
}

fn notifications(list: &[Value]) -> Vec<Value> {
    list.iter().map(|one| one["Notification"].clone()).collect()
}

fn describe_notifications(call: &mut Call<'_>, input: &Value) -> Answer {
    let taken = Taken::of(call, input)?;
    let all = notifications(&taken.list).into_iter().map(|one| (one.to_string(), one)).collect();
    call.paged(input, "Notifications", all, PAGE)
}

fn describe_subscribers(call: &mut Call<'_>, input: &Value) -> Answer {
    let taken = Taken::of(call, input)?;
    let at = taken.find(&input["Notification"])?;
    let all = taken.subscribers(at).into_iter().map(|one| (one.to_string(), one)).collect();
    call.paged(input, "Subscribers", all, PAGE)
}

fn describe_for_account(call: &mut Call<'_>, input: &Value) -> Answer {
    own_account(call, input)?;
    let all = call.list(BUDGETS).into_iter().map(|(name, budget)| {
        let list = budget["_notifications"].as_array().cloned().unwrap_or_default();
        (name.clone(), json!({ "BudgetName": name, "Notifications": notifications(&list) }))
    });
    let all = all.collect();
    call.paged(input, "BudgetNotificationsForAccount", all, 50)
}

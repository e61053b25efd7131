//! Who is told of what happens to a bucket's objects, to and from S3's form.
//!
//! Pure; makes no call. S3 keeps one list for each kind of receiver; which one is told by the receiver's ARN. As with
//! lifecycle rules, an id that the spec leaves out is made of the content and is not read back.

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lifecycle::{MADE_ID, made_id};
use crate::aws::resource::Problem;

/// Who is told of what happens to the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    /// Whether all events go to EventBridge, whose rules then choose.
    #[serde(default)]
    pub event_bridge: bool,
    /// Receivers that are told directly.
    #[serde(default)]
    #[schemars(extend("x-set" = true), length(max = 100))]
    pub send: Vec<Notification>,
}

/// What one receiver is told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// A name, unique in the bucket; left out, one is made.
    #[serde(default)]
    #[schemars(length(max = 255))]
    pub id: Option<String>,
    /// The ARN of an SNS topic, an SQS queue or a Lambda function, whose policy lets `s3.amazonaws.com` in.
    #[schemars(extend("format" = "arn"))]
    pub to: String,
    /// The events, such as `s3:ObjectCreated:*`.
    #[schemars(extend("x-set" = true), length(min = 1))]
    pub events: Vec<String>,
    /// The beginning of the keys that it is for; empty for all.
    #[serde(default)]
    pub prefix: String,
    /// The end of the keys that it is for, such as `.parquet`; empty for all.
    #[serde(default)]
    pub suffix: String,
}

/// A kind of receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Topic,
    Queue,
    Function,
}

fn receiver(arn: &str) -> Option<Receiver> {
    match arn.split(':').nth(2)? {
        "sns" => Some(Receiver::Topic),
        "sqs" => Some(Receiver::Queue),
        "lambda" => Some(Receiver::Function),
        _ => None,
    }
}

/// Finds receivers that S3 does not know.
pub(super) fn check(notifications: &Value) -> Vec<Problem> {
    let send = notifications.get("send").and_then(Value::as_array);
    let mut out = Vec::new();
    for (index, one) in send.into_iter().flatten().enumerate() {
        if let Some(to) = one.get("to").and_then(Value::as_str).filter(|to| receiver(to).is_none()) {
            let message = format!("`{to}` is not the ARN of a topic, a queue or a function");
            out.push(Problem::new(format!("notifications.send[{index}].to"), message));
        }
    }
    out
}

impl Notification {
    fn id(&self) -> String {
        self.id.clone().unwrap_or_else(|| made_id(self))
    }

    fn events(&self) -> Option<Vec<s3::Event>> {
        Some(self.events.iter().map(|event| event.as_str().into()).collect())
    }

    fn filter(&self) -> Option<s3::NotificationConfigurationFilter> {
        let ends = [(s3::FilterRuleName::Prefix, &self.prefix), (s3::FilterRuleName::Suffix, &self.suffix)];
        let rule = |(name, value): (s3::FilterRuleName, &String)| {
            (!value.is_empty()).then(|| s3::FilterRule::builder().name(name).value(value).build())
        };
        let rules: Vec<_> = ends.into_iter().filter_map(rule).collect();
        let key = s3::S3KeyFilter::builder().set_filter_rules(Some(rules.clone())).build();
        (!rules.is_empty()).then(|| s3::NotificationConfigurationFilter::builder().key(key).build())
    }

    fn of_aws(
        id: Option<&str>,
        to: &str,
        events: &[s3::Event],
        filter: Option<&s3::NotificationConfigurationFilter>,
    ) -> Self {
        let rules = filter.and_then(|filter| filter.key()).map(|key| key.filter_rules()).unwrap_or_default();
        // S3 answers `Prefix` where `prefix` was sent.
        let end = |name: &str| {
            let is = |rule: &&s3::FilterRule| rule.name().is_some_and(|it| it.as_str().eq_ignore_ascii_case(name));
            rules.iter().find(is).and_then(|rule| rule.value()).unwrap_or_default().to_owned()
        };
        Self {
            id: id.filter(|id| !id.starts_with(MADE_ID)).map(str::to_owned),
            to: to.to_owned(),
            events: events.iter().map(|event| event.as_str().to_owned()).collect(),
            prefix: end("prefix"),
            suffix: end("suffix"),
        }
    }
}

impl Notifications {
    pub(super) fn to_aws(&self) -> s3::NotificationConfiguration {
        let bridge = self.event_bridge.then(|| s3::EventBridgeConfiguration::builder().build());
        let mut out = s3::NotificationConfiguration::builder().set_event_bridge_configuration(bridge);
        for one in &self.send {
            let whole = "internal error: receiver and events are set";
            out = match receiver(&one.to) {
                Some(Receiver::Queue) => {
                    let made = s3::QueueConfiguration::builder().id(one.id()).queue_arn(&one.to);
                    out.queue_configurations(
                        made.set_events(one.events()).set_filter(one.filter()).build().expect(whole),
                    )
                }
                Some(Receiver::Function) => {
                    let made = s3::LambdaFunctionConfiguration::builder().id(one.id()).lambda_function_arn(&one.to);
                    let made = made.set_events(one.events()).set_filter(one.filter()).build().expect(whole);
                    out.lambda_function_configurations(made)
                }
                // What is none of them S3 refuses as a topic.
                Some(Receiver::Topic) | None => {
                    let made = s3::TopicConfiguration::builder().id(one.id()).topic_arn(&one.to);
                    out.topic_configurations(
                        made.set_events(one.events()).set_filter(one.filter()).build().expect(whole),
                    )
                }
            };
        }
        out.build()
    }

    pub(super) fn of_aws(
        bridge: bool,
        topics: &[s3::TopicConfiguration],
        queues: &[s3::QueueConfiguration],
        functions: &[s3::LambdaFunctionConfiguration],
    ) -> Self {
        let topics = topics.iter().map(|it| Notification::of_aws(it.id(), it.topic_arn(), it.events(), it.filter()));
        let queues = queues.iter().map(|it| Notification::of_aws(it.id(), it.queue_arn(), it.events(), it.filter()));
        let functions = functions
            .iter()
            .map(|it| Notification::of_aws(it.id(), it.lambda_function_arn(), it.events(), it.filter()));
        Self { event_bridge: bridge, send: topics.chain(queues).chain(functions).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(to: &str) -> Notification {
        Notification {
            id: None,
            to: to.to_owned(),
            events: vec!["s3:ObjectCreated:*".to_owned()],
            prefix: "in/".to_owned(),
            suffix: String::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let send = ["arn:aws:sns:r:1:t", "arn:aws:sqs:r:1:q", "arn:aws:lambda:r:1:function:f"].map(one).to_vec();
        let given = Notifications { event_bridge: true, send };
        let made = given.to_aws();
        let read = Notifications::of_aws(
            made.event_bridge_configuration().is_some(),
            made.topic_configurations(),
            made.queue_configurations(),
            made.lambda_function_configurations(),
        );
        assert_eq!(read, given);
    }

    #[test]
    fn a_receiver_of_another_kind_is_found() {
        let problems =
            check(&serde_json::json!({ "send": [{ "to": "arn:aws:sns:r:1:t" }, { "to": "arn:aws:kms:r:1:k" }] }));
        assert_eq!(problems.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["notifications.send[1].to"]);
    }
}

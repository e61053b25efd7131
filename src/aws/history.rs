//! Who wrote to a resource, from CloudTrail's event history.
//!
//! One question is one resource under the names that events may have for it; what is the only one of its region has no
//! name, and is asked for by the calls that write it. What wrote and succeeded is kept, the newest first. Pages,
//! resources and the window are bounded. Events show up to a quarter of an hour after the call, so that finding none
//! says nothing about who it was; a history that could not be read says even less. No answer is ever "nobody". Needs
//! `cloudtrail:LookupEvents`.

use std::collections::BTreeSet;

use aws_sdk_cloudtrail::config::{Builder, Region};
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{APP, Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::{Identity, KindSchema};

/// The resources that one command asks about; at CloudTrail's two calls a second, more would keep a person waiting.
pub const RESOURCES_MAX: usize = 20;
/// The pages of 50 events that are read for one name of a resource.
const PAGES_MAX: usize = 2;
/// The events of one page: CloudTrail's own bound.
const PAGE_EVENTS: i32 = 50;
/// The events that an answer keeps.
const EVENTS_KEPT: usize = 5;
/// The Resource Groups Tagging API as the source of events, which writes tags of other services.
const TAGGING: &str = "tagging";
/// How far back CloudTrail's event history reaches.
const HISTORY: SignedDuration = SignedDuration::from_hours(90 * 24);

/// One resource that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The service of its kind, as IAM names it: a name may be another service's too.
    service: &'static str,
    /// The names that events may have for it, such as its id and its ARN.
    names: BTreeSet<String>,
    /// The calls that write it, where no event names it.
    calls: BTreeSet<&'static str>,
    /// What was before is of no interest; `None` asks for all that the history keeps.
    since: Option<Timestamp>,
}

impl Question {
    /// Asks about a resource of a kind; `None` stands for a kind that this opora does not know.
    pub fn about(kind: Option<&KindSchema>, id: &PhysicalId, since: Option<Timestamp>) -> Self {
        let service = kind.map_or("", |kind| kind.service);
        let only_one = kind.filter(|kind| kind.identity == Identity::Singleton);
        let names = if only_one.is_some() { BTreeSet::new() } else { BTreeSet::from([id.0.clone()]) };
        let actions = only_one.into_iter().flat_map(|kind| kind.actions.update.iter().chain(kind.actions.delete));
        let calls = actions.filter_map(|action| action.strip_prefix(service)?.strip_prefix(':')).collect();
        Self { service, names, calls, since }
    }

    /// Asks under a further name, unless it is the only one of its region.
    #[must_use]
    pub fn named(mut self, name: Option<&str>) -> Self {
        let name = name.filter(|name| !name.is_empty() && self.calls.is_empty());
        self.names.extend(name.map(str::to_owned));
        self
    }

    /// Asks under the names that its arguments and attributes have, too, as far as these are known.
    #[must_use]
    pub fn named_in(self, known: Option<(&Value, &Value)>) -> Self {
        let Some((arguments, attributes)) = known else { return self };
        self.named(arguments["name"].as_str()).named(attributes["arn"].as_str())
    }

    fn lookups(&self) -> impl Iterator<Item = (LookupAttributeKey, &str)> {
        let names = self.names.iter().map(|name| (LookupAttributeKey::ResourceName, name.as_str()));
        names.chain(self.calls.iter().map(|call| (LookupAttributeKey::EventName, *call)))
    }
}

/// A call that wrote to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Write {
    pub time: Timestamp,
    /// `service:Operation`.
    pub operation: String,
    /// The caller's ARN, or the AWS service that called.
    pub who: String,
    /// Whether opora itself sent it, by the user agent.
    pub by_opora: bool,
    pub source: Option<String>,
    pub event: String,
}

/// Who wrote to a resource, as far as can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Writers {
    /// These did, the newest first; a later write may not be in the history yet.
    Known { writes: Vec<Write> },
    /// The history has none since then, yet.
    NotYet { since: Timestamp },
    /// The history could not be looked at, or not all of it.
    Unlooked { reason: String },
}

impl Writers {
    /// Says it in one line.
    pub fn text(&self) -> String {
        match self {
            Self::Known { writes } => known_text(writes),
            Self::NotYet { since } => {
                format!("who: not yet in CloudTrail's history since {since:.0}; events show up to 15 minutes late")
            }
            Self::Unlooked { reason } => format!("who: could not look: {reason}"),
        }
    }
}

fn known_text(writes: &[Write]) -> String {
    let line = |write: &Write| {
        let source = write.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
        format!("{} at {:.0}: {}{source}", write.who, write.time, write.operation)
    };
    match (writes.iter().find(|write| !write.by_opora), writes.first()) {
        (Some(write), _) => format!("last written by {}", line(write)),
        (None, Some(own)) => format!(
            "who: CloudTrail's history has only opora's own write yet, by {}; events show up to 15 minutes late",
            line(own)
        ),
        (None, None) => "who: not yet in CloudTrail's history".to_owned(),
    }
}

/// Answers the questions in their order; what is beyond [`RESOURCES_MAX`] is not looked at, and says so.
pub async fn writers(aws: &Aws, questions: &[Question]) -> Vec<Writers> {
    let mut out = Vec::with_capacity(questions.len());
    let mut refused: Option<String> = None;
    for (at, question) in questions.iter().enumerate() {
        let answer = match &refused {
            _ if at >= RESOURCES_MAX => {
                Writers::Unlooked { reason: format!("only the first {RESOURCES_MAX} resources are looked up") }
            }
            Some(reason) => Writers::Unlooked { reason: reason.clone() },
            None => match ask(aws, question).await {
                Ok(answer) => answer,
                Err(error) => {
                    // What is refused once is refused for all: no more calls are spent on it.
                    let reason = error.reason();
                    refused = Some(reason.clone());
                    Writers::Unlooked { reason }
                }
            },
        };
        out.push(answer);
    }
    out
}

async fn ask(aws: &Aws, question: &Question) -> Result<Writers, AwsError> {
    let kept = aws.now().checked_sub(HISTORY).unwrap_or(Timestamp::UNIX_EPOCH);
    let since = question.since.map_or(kept, |since| since.max(kept));
    let region = region(question.service, aws.region());
    let mut writes: Vec<Write> = Vec::new();
    let mut whole = true;
    let own = |write: &Write| {
        let service = write.operation.split(':').next().unwrap_or_default();
        question.service.is_empty() || service == question.service || service == TAGGING
    };
    for (key, value) in question.lookups() {
        let attribute = LookupAttribute::builder().attribute_key(key).attribute_value(value).build();
        let attribute = attribute.map_err(|error| {
            AwsError::own("cloudtrail:LookupEvents", ErrorClass::Invalid, "Name", error.to_string())
        })?;
        let mut token = None;
        for page in 1.. {
            let answer = aws
                .cloudtrail()
                .lookup_events()
                .lookup_attributes(attribute.clone())
                // Events have whole seconds.
                .start_time(DateTime::from_secs(since.as_second()))
                .max_results(PAGE_EVENTS)
                .set_next_token(token)
                .customize()
                .config_override(Builder::new().region(Region::new(region.clone())))
                .send()
                .await?;
            writes.extend(answer.events().iter().filter_map(write).filter(own));
            token = answer.next_token;
            if token.is_none() || writes.iter().any(|write| !write.by_opora) {
                break;
            }
            if page == PAGES_MAX {
                whole = false;
                break;
            }
        }
    }
    writes.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.event.cmp(&b.event)));
    writes.dedup_by(|a, b| a.event == b.event);
    writes.truncate(EVENTS_KEPT);
    Ok(match (writes.is_empty(), whole) {
        (false, _) => Writers::Known { writes },
        (true, true) => Writers::NotYet { since },
        (true, false) => {
            let newest = PAGES_MAX * usize::try_from(PAGE_EVENTS).unwrap_or_default();
            Writers::Unlooked { reason: format!("none of the newest {newest} events under its name is a write") }
        }
    })
}

/// Returns the region that keeps a service's events.
fn region(service: &str, here: &str) -> String {
    if !matches!(service, "iam" | "budgets") {
        return here.to_owned();
    }
    let of_partition = match here {
        china if china.starts_with("cn-") => "cn-north-1",
        gov if gov.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    };
    of_partition.to_owned()
}

/// Takes an event for a write: not read-only, and it succeeded.
fn write(event: &Event) -> Option<Write> {
    if event.read_only() != Some("false") {
        return None;
    }
    let whole: Value = serde_json::from_str(event.cloud_trail_event().unwrap_or_default()).unwrap_or_default();
    let text = |path: &str| whole.pointer(path).and_then(Value::as_str).map(str::to_owned);
    if text("/errorCode").is_some() {
        return None;
    }
    let time = Timestamp::from_second(event.event_time()?.secs()).ok()?;
    let service = event.event_source().unwrap_or_default();
    let service = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let who = text("/userIdentity/arn")
        .or_else(|| text("/userIdentity/invokedBy"))
        .or_else(|| event.username().map(str::to_owned))
        .unwrap_or_else(|| "a caller that the event does not name".to_owned());
    let agent = text("/userAgent").unwrap_or_default();
    let own = format!("app/{APP}");
    Some(Write {
        time,
        operation: format!("{service}:{}", event.event_name().unwrap_or_default()),
        who,
        by_opora: agent.split_whitespace().any(|part| part == own),
        source: text("/sourceIPAddress"),
        event: event.event_id().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(read_only: &str, whole: &str) -> Event {
        Event::builder()
            .event_id("e")
            .event_name("DisableKeyRotation")
            .event_source("kms.amazonaws.com")
            .read_only(read_only)
            .event_time(DateTime::from_secs(1_767_603_600))
            .cloud_trail_event(whole)
            .build()
    }

    #[test]
    fn only_writes_that_succeeded_count() {
        assert_eq!(write(&event("true", "{}")), None);
        assert_eq!(write(&event("false", r#"{"errorCode":"AccessDenied"}"#)), None);
        let found = write(&event("false", r#"{"userIdentity":{"arn":"arn:x"},"userAgent":"aws-cli/2 app/opora"}"#));
        let found = found.unwrap();
        assert_eq!((found.who.as_str(), found.by_opora), ("arn:x", true));
        assert_eq!(found.operation, "kms:DisableKeyRotation");
    }

    #[test]
    fn nobody_is_never_said() {
        let since = Timestamp::from_second(1_767_603_600).unwrap();
        let own = Write {
            time: since,
            operation: "kms:CreateKey".to_owned(),
            who: "arn:o".to_owned(),
            by_opora: true,
            source: None,
            event: "1".to_owned(),
        };
        let other = Write { who: "arn:x".to_owned(), by_opora: false, ..own.clone() };
        for (writers, expected) in [
            (Writers::NotYet { since }, "who: not yet in CloudTrail's history since 2026-01-05T09:00:00Z"),
            (Writers::Unlooked { reason: "denied".to_owned() }, "who: could not look: denied"),
            (Writers::Known { writes: vec![own.clone()] }, "who: CloudTrail's history has only opora's own write yet"),
            (Writers::Known { writes: vec![own, other] }, "last written by arn:x at 2026-01-05T09:00:00Z"),
        ] {
            assert!(writers.text().starts_with(expected), "{}", writers.text());
        }
    }

    #[test]
    fn services_without_regions_have_their_events_in_one() {
        assert_eq!(region("iam", "eu-central-1"), "us-east-1");
        assert_eq!(region("iam", "us-gov-east-1"), "us-gov-west-1");
        assert_eq!(region("kms", "eu-central-1"), "eu-central-1");
    }
}

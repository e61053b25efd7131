//! A check's own tests: small worlds, each with the verdict it has to yield.
//!
//! They stand in `<check>.test.yaml` beside the check. A specimen names only the fields that matter; the schema's
//! defaults fill the arguments, `unreadable` stands for what AWS could not be asked, and `$(address.path)` for
//! what is known after apply. The conformance tests mutate specimens, so they are data and not code.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::audit::{Audit, Moment, Question, ReadProblems, evaluate};
use super::catalogue::Catalogue;
use super::check::{ACCOUNT, Check, Checks, TAGGED};
use super::document::Document;
use super::governance::{Attestations, Waivers};
use crate::diagnostic::{Diagnostic, SourceId};
use crate::graph::{Address, PhysicalId};
use crate::kind::{KindSchemas, Resource, Scope, with_defaults};
use crate::value::{unknown, unreadable};

/// The verdict a specimen expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Fail,
    Unknown,
    NotApplicable,
}

/// One small world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Specimen {
    pub name: String,
    /// Arguments and attributes of the checked resource; absent for a check of the account.
    pub resource: Option<Map<String, Value>>,
    /// Other resources, by kind.
    #[serde(default)]
    pub others: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Kinds that could not be listed.
    #[serde(default)]
    pub unlisted: Vec<String>,
    /// Whether the resource is still to be created, so that AWS's own fields are not known.
    #[serde(default)]
    pub planned: bool,
    pub expect: Outcome,
}

/// All specimens of a check.
#[derive(Debug, Clone, Default)]
pub struct Specimens(pub Vec<Specimen>);

impl Specimens {
    /// Loads a test file.
    pub fn load(text: &str, source: SourceId) -> Result<Self, Diagnostic> {
        Document::parse(text, source, "CTL030")?.decode("CTL030").map(Self)
    }
}

impl Specimen {
    /// Returns the verdict of a check, with its reason.
    pub fn judge(&self, checks: &Checks, check: &Check, kinds: &KindSchemas) -> (Outcome, String) {
        let (resources, problems) = self.world(check, kinds);
        let audit = audit_of(checks, kinds, &resources, &problems);
        let subject = resources.first().and_then(|resource| resource.address.as_ref());
        let mut findings = audit.findings_of(&check.id);
        let finding = findings.find(|finding| check.kind == ACCOUNT || finding.address.as_ref() == subject);
        match finding {
            Some(finding) => {
                let outcome = match finding.verdict {
                    super::Verdict::Pass => Outcome::Pass,
                    super::Verdict::Fail => Outcome::Fail,
                    super::Verdict::Unknown => Outcome::Unknown,
                    super::Verdict::NotApplicable => Outcome::NotApplicable,
                };
                (outcome, finding.reason.clone().unwrap_or_default())
            }
            None => (Outcome::NotApplicable, format!("no {} exists", check.kind)),
        }
    }

    fn world(&self, check: &Check, kinds: &KindSchemas) -> (Vec<Resource>, ReadProblems) {
        let mut out = Vec::new();
        if let Some(fields) = &self.resource {
            let tagged = || kinds.iter().find(|kind| kind.takes_tags()).map_or(TAGGED, |kind| kind.name);
            let kind = if check.kind == TAGGED { tagged() } else { &check.kind };
            out.push(resource(kind, "subject", fields, self.planned, kinds));
        }
        for (kind, all) in &self.others {
            for (at, fields) in all.iter().enumerate() {
                out.push(resource(kind, &format!("other_{at}"), fields, false, kinds));
            }
        }
        let unlisted = self.unlisted.iter().map(|kind| (kind.clone(), "access denied".to_owned())).collect();
        (out, ReadProblems { unlisted })
    }
}

fn audit_of(checks: &Checks, kinds: &KindSchemas, resources: &[Resource], problems: &ReadProblems) -> Audit {
    let scope = Scope { environment: "test".into(), account: "123456789012".into(), region: "us-east-1".into() };
    evaluate(&Question {
        checks,
        catalogue: &Catalogue::default(),
        kinds,
        resources,
        problems,
        waivers: &Waivers::default(),
        attestations: &Attestations::default(),
        records: &[],
        scope: &scope,
        moment: Moment::Live,
        now: Timestamp::UNIX_EPOCH,
    })
}

/// Makes a resource of the fields that a specimen names.
fn resource(kind: &str, name: &str, fields: &Map<String, Value>, planned: bool, kinds: &KindSchemas) -> Resource {
    let mut arguments = Map::new();
    let mut attributes = Map::new();
    let schema = kinds.get(kind);
    for (key, value) in fields {
        let argument = schema.is_some_and(|schema| schema.arguments.property(key).is_some());
        let side = if argument { &mut arguments } else { &mut attributes };
        side.insert(key.clone(), spoken(value));
    }
    let id = attributes.get("id").and_then(Value::as_str).unwrap_or(name).to_owned();
    let arguments = Value::Object(arguments);
    Resource {
        kind: kind.to_owned(),
        address: Some(Address::new(kind, name)),
        id: (!planned).then_some(PhysicalId(id)),
        arguments: schema.map_or(arguments.clone(), |schema| with_defaults(&schema.arguments, &arguments)),
        attributes: Value::Object(attributes),
    }
}

/// Reads the words that stand for what JSON has no word for.
fn spoken(value: &Value) -> Value {
    match value {
        Value::String(text) if text == "unreadable" => unreadable("access denied"),
        Value::String(text) => match text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')) {
            Some(reference) => Value::from(unknown(reference)),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(spoken).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, item)| (key.clone(), spoken(item))).collect()),
        other => other.clone(),
    }
}

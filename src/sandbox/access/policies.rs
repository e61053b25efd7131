//! Whom and what policies let through: of roles, keys, buckets, secrets and endpoints.
//!
//! A role has two gates, who takes it on and what it may do then, and each is judged by itself and both together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::patterns::{instance, instances};
use super::{Found, Reader, judge};
use crate::sandbox::iam_eval::{Caller, Context, Decision, Policies, Request, decide, statements, texts};
use crate::sandbox::services::{iam_document, is_public_statement};

/// More contexts than these are not multiplied out; each condition key is then varied by itself.
const CONTEXTS_MAX: usize = 24;

/// The policies of one resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Guard {
    Role {
        arn: String,
        trust: Value,
        documents: Vec<Value>,
        boundary: Option<Value>,
    },
    /// A policy on the resource itself.
    Resource {
        account: String,
        policy: Option<Value>,
        /// Whether nothing goes past it, as with a disabled key.
        shut: bool,
        /// Whether the policy has to allow even within the account.
        decides: bool,
        /// Whether a public policy lets only services and the own account in.
        restricted: bool,
        /// Whether a list lets everybody in besides.
        listed: bool,
    },
}

fn parsed(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

pub(super) fn read(reader: &Reader<'_>) -> Vec<(String, Guard)> {
    let mut out = Vec::new();
    for (place, name, role) in reader.all("iam", "roles") {
        let policy = |arn: &str| {
            let text = iam_document(reader.get(&place.account, "iam", "policies", arn), arn);
            parsed(text.as_deref()).unwrap_or_else(|| json!({}))
        };
        let inline = role["_inline"].as_object().into_iter().flatten();
        let mut documents: Vec<Value> = inline.filter_map(|(_, text)| parsed(text.as_str())).collect();
        let attached = role["_attached"].as_array().into_iter().flatten();
        documents.extend(attached.filter_map(Value::as_str).map(policy));
        let guard = Guard::Role {
            arn: role["Arn"].as_str().unwrap_or_default().to_owned(),
            trust: parsed(role["_trust"].as_str()).unwrap_or_default(),
            documents,
            boundary: role["PermissionsBoundary"]["PermissionsBoundaryArn"].as_str().map(policy),
        };
        out.push((format!("role {name}"), guard));
    }
    let plain = |account: &str, policy: Option<&str>| Guard::Resource {
        account: account.to_owned(),
        policy: parsed(policy),
        shut: false,
        decides: false,
        restricted: false,
        listed: false,
    };
    for (place, id, key) in reader.all("kms", "keys") {
        let mut guard = plain(&place.account, key["_policy"].as_str());
        if let Guard::Resource { shut, decides, .. } = &mut guard {
            *shut = key["KeyState"] != "Enabled";
            *decides = true;
        }
        out.push((format!("key {id}"), guard));
    }
    for (place, name, bucket) in reader.all("s3", "buckets") {
        let mut guard = plain(&place.account, bucket["_policy"].as_str());
        if let Guard::Resource { restricted, listed, .. } = &mut guard {
            let block = &bucket["_public_access_block"];
            let lists = bucket["_ownership"] != "BucketOwnerEnforced" && block["IgnorePublicAcls"] != true;
            *restricted = block["RestrictPublicBuckets"] == true;
            *listed = lists && bucket["_acl"].as_str().is_some_and(|acl| acl.starts_with("public-"));
        }
        out.push((format!("bucket {name}"), guard));
    }
    for (place, name, secret) in reader.all("secretsmanager", "secrets") {
        out.push((format!("secret {name}"), plain(&place.account, secret["_policy"].as_str())));
    }
    for (place, id, endpoint) in reader.all("ec2", "vpc_endpoints") {
        let mut guard = plain(&place.account, endpoint["PolicyDocument"].as_str());
        if let Guard::Resource { decides, .. } = &mut guard {
            *decides = true;
        }
        out.push((format!("endpoint {id}"), guard));
    }
    out
}

/// What is asked of policies: everything that they tell apart.
struct Probes {
    callers: Vec<Caller>,
    actions: Vec<String>,
    resources: Vec<String>,
    contexts: Vec<Context>,
}

impl Probes {
    fn of(documents: &[&Value], account: &str) -> Self {
        let all: Vec<&Value> = documents.iter().flat_map(|document| statements(document)).collect();
        let list = |names: [&str; 2]| -> Vec<String> {
            let of = |statement: &&Value| names.map(|name| texts(statement.get(name))).concat();
            all.iter().flat_map(of).collect()
        };
        let patterns = |names: [&str; 2], other: &str| {
            let list: BTreeSet<String> = list(names).into_iter().collect();
            instances(list.iter().map(String::as_str), other)
        };
        Self {
            callers: callers(&all, account),
            actions: patterns(["Action", "NotAction"], "none:None"),
            resources: patterns(["Resource", "NotResource"], "arn:aws:none:::none"),
            contexts: contexts(&all),
        }
    }

    /// Asks everything of one caller, and returns the answers in a fixed order.
    fn ask(&self, policies: &Policies<'_>, caller: &Caller) -> Vec<bool> {
        let mut out = Vec::new();
        for action in &self.actions {
            for resource in &self.resources {
                for context in &self.contexts {
                    let request = Request { caller, action, resource, context };
                    out.push(decide(policies, &request) == Decision::Allowed);
                }
            }
        }
        out
    }

    fn name(&self, index: usize) -> String {
        let (resources, contexts) = (self.resources.len(), self.contexts.len());
        let context = &self.contexts[index % contexts];
        let resource = &self.resources[index / contexts % resources];
        let action = &self.actions[index / contexts / resources];
        format!("{action} on {resource} with {context:?}")
    }
}

fn callers(statements: &[&Value], account: &str) -> Vec<Caller> {
    let user = |account: &str, name: &str| Caller {
        account: account.to_owned(),
        arn: format!("arn:aws:iam::{account}:user/{name}"),
        ..Caller::default()
    };
    let service = |name: &str| Caller { service: Some(name.to_owned()), ..Caller::default() };
    let mut out =
        vec![user(account, "of-no-statement"), user("999999999999", "stranger"), service("none.amazonaws.com")];
    for statement in statements {
        let Some(named) = statement.get("Principal") else { continue };
        out.extend(texts(named.get("Service")).iter().map(|name| service(name)));
        for name in texts(named.get("AWS")).into_iter().chain(texts(named.get("Federated"))) {
            let parts: Vec<&str> = name.splitn(6, ':').collect();
            let of = parts.get(4).map_or(name.as_str(), |account| account).to_owned();
            match parts.get(5) {
                Some(rest) if rest.starts_with("role/") => out.push(Caller {
                    arn: format!("arn:aws:sts::{of}:assumed-role/{}/probe", rest.rsplit('/').next().unwrap_or(rest)),
                    account: of,
                    role: Some(name),
                    service: None,
                }),
                Some(&"root") | None if name != "*" => out.push(user(&of, "of-the-account")),
                Some(_) => out.push(Caller { account: of, arn: name, ..Caller::default() }),
                None => {}
            }
        }
    }
    let key = |caller: &Caller| format!("{caller:?}");
    out.sort_by_key(key);
    out.dedup_by_key(|caller| key(caller));
    out
}

/// Returns contexts in which every condition holds and does not.
fn contexts(statements: &[&Value]) -> Vec<Context> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in statements {
        for (operator, keys) in statement.get("Condition").and_then(Value::as_object).into_iter().flatten() {
            for (key, wanted) in keys.as_object().into_iter().flatten() {
                let known = values.entry(key.to_ascii_lowercase()).or_default();
                for wanted in texts(Some(wanted)) {
                    if operator.contains("IpAddress") {
                        let range = wanted.parse::<ipnet::IpNet>().ok();
                        known.extend(range.map(|range| range.network().to_string()));
                        known.extend(range.and_then(|range| super::routes::after(&range)).map(|it| it.to_string()));
                    } else if operator.starts_with("Bool") {
                        known.extend(["true", "false"].map(str::to_owned));
                    } else if operator != "Null" {
                        known.insert(instance(&wanted));
                        known.insert("of no condition".to_owned());
                    }
                }
            }
        }
    }
    let with = |context: &Context, key: &str, value: Option<&String>| {
        let mut context = context.clone();
        context.extend(value.map(|value| (key.to_owned(), vec![value.clone()])));
        context
    };
    let many = values.values().map(|known| known.len() + 1).product::<usize>() > CONTEXTS_MAX;
    let mut out = vec![Context::new()];
    for (key, known) in &values {
        let more: Vec<Context> =
            out.iter().flat_map(|it| known.iter().map(|value| with(it, key, Some(value)))).collect();
        if many {
            let alone = Context::new();
            out.extend(known.iter().map(|value| with(&alone, key, Some(value))));
        } else {
            out.extend(more);
        }
    }
    out
}

/// Rewrites federated principals to ones that the evaluator compares by their names.
fn with_federated(policy: &Value) -> Value {
    let mut out = policy.clone();
    let list = match out.get_mut("Statement") {
        Some(Value::Array(items)) => items.iter_mut().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for statement in list {
        if let Some(names) = statement.get("Principal").and_then(|named| named.get("Federated")).cloned() {
            statement["Principal"]["AWS"] = names;
        }
    }
    out
}

impl Guard {
    pub(super) fn between(&self, before: &Self, after: &Self) -> Found {
        match (before, self, after) {
            (Guard::Role { .. }, Guard::Role { .. }, Guard::Role { .. }) => roles([before, self, after]),
            (Guard::Resource { account, .. }, Guard::Resource { .. }, Guard::Resource { .. }) => {
                resources([before, self, after], account)
            }
            _ => Found::new(),
        }
    }

    fn documents(&self) -> Vec<&Value> {
        match self {
            Guard::Role { documents, boundary, .. } => documents.iter().chain(boundary).collect(),
            Guard::Resource { policy, .. } => policy.iter().collect(),
        }
    }

    /// Answers who may take a role on.
    fn entered(&self, probes: &Probes) -> Vec<bool> {
        let Guard::Role { trust, .. } = self else { return Vec::new() };
        let trust = with_federated(trust);
        let own = [json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } })];
        let policies =
            Policies { identity: &own, resource: Some(&trust), resource_decides: true, ..Policies::default() };
        probes.callers.iter().flat_map(|caller| probes.ask(&policies, caller)).collect()
    }

    /// Answers what a role may do.
    fn done(&self, probes: &Probes) -> Vec<bool> {
        let Guard::Role { arn, documents, boundary, .. } = self else { return Vec::new() };
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        let caller = Caller { account, arn: arn.clone(), role: Some(arn.clone()), service: None };
        let policies = Policies { identity: documents, boundary: boundary.as_ref(), ..Policies::default() };
        probes.ask(&policies, &caller)
    }

    /// Answers who may do what to a resource, with and without a permission of their own.
    fn reached(&self, probes: &Probes) -> Vec<bool> {
        let Guard::Resource { account, policy, shut, decides, restricted, listed } = self else { return Vec::new() };
        let public = policy.as_ref().is_some_and(|policy| statements(policy).iter().any(|it| is_public_statement(it)));
        let own = [json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } })];
        let mut out = Vec::new();
        for caller in &probes.callers {
            for identity in [&own[..], &[]] {
                let foreign = caller.service.is_none() && caller.account != *account;
                let policies = Policies {
                    identity,
                    resource: policy.as_ref(),
                    foreign,
                    resource_decides: *decides,
                    ..Policies::default()
                };
                let barred = *shut || (*restricted && public && foreign);
                out.extend(probes.ask(&policies, caller).into_iter().map(|allowed| allowed && !barred));
            }
        }
        out.push(*listed);
        out
    }
}

fn resources(moments: [&Guard; 3], account: &str) -> Found {
    let documents: Vec<&Value> = moments.iter().flat_map(|it| it.documents()).collect();
    let probes = Probes::of(&documents, account);
    let [first, here, last] = moments.map(|it| it.reached(&probes));
    let per_caller = probes.ask(&Policies::default(), &Caller::default()).len();
    let mut found = Found::new();
    for (index, ((first, here), last)) in first.iter().zip(&here).zip(&last).enumerate() {
        let probe = || match probes.callers.get(index / per_caller / 2) {
            Some(caller) => {
                let own = if (index / per_caller).is_multiple_of(2) { "with" } else { "without" };
                format!("{caller:?} {own} its own permission: {}", probes.name(index % per_caller))
            }
            None => "everybody, by a list".to_owned(),
        };
        judge(probe, *first, *here, *last, &mut found);
    }
    found
}

fn roles(moments: [&Guard; 3]) -> Found {
    let trusts: Vec<Value> = moments
        .iter()
        .filter_map(|it| if let Guard::Role { trust, .. } = it { Some(with_federated(trust)) } else { None })
        .collect();
    let who = Probes::of(&trusts.iter().collect::<Vec<_>>(), "123456789012");
    let documents: Vec<&Value> = moments.iter().flat_map(|it| it.documents()).collect();
    let what = Probes::of(&documents, "123456789012");
    let entered = moments.map(|it| it.entered(&who));
    let done = moments.map(|it| it.done(&what));
    let mut found = Found::new();
    let classes = |answers: &[Vec<bool>; 3]| {
        let mut out: BTreeMap<[bool; 3], usize> = BTreeMap::new();
        let [first, here, last] = answers;
        for (index, ((first, here), last)) in first.iter().zip(here).zip(last).enumerate() {
            out.entry([*first, *here, *last]).or_insert(index);
        }
        out
    };
    let per_caller = who.ask(&Policies::default(), &Caller::default()).len();
    let name_who = |index: usize| format!("{:?} by {}", who.callers[index / per_caller], who.name(index % per_caller));
    let (entered, done) = (classes(&entered), classes(&done));
    for (class, index) in &entered {
        judge(|| format!("entry of {}", name_who(*index)), class[0], class[1], class[2], &mut found);
    }
    for (class, index) in &done {
        judge(|| what.name(*index), class[0], class[1], class[2], &mut found);
    }
    for (one, who) in &entered {
        for (other, index) in &done {
            let [first, here, last] = [0, 1, 2].map(|at| one[at] && other[at]);
            judge(|| format!("{}: {}", name_who(*who), what.name(*index)), first, here, last, &mut found);
        }
    }
    found
}

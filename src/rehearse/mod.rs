//! Tries a plan on a copy of the account, and says what AWS would refuse.
//!
//! The account is only read. What was read is made again on a [`Stage`], something that answers as AWS does and costs
//! nothing; then the plan runs there by the same engine that applies it. This module knows no sandbox: the command
//! line hands it a stage. What could not be looked at, and what the stage can't do, is said beside the findings.

mod account;
mod copy;
mod findings;
mod permissions;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

pub use findings::Finding;

use crate::apply::{self, OnFailure, Session, Stop, observe, wanted_fields};
use crate::aws::connect::Caller;
use crate::aws::resource::SecretValues;
use crate::aws::surroundings::{self, Region};
use crate::aws::{Aws, kinds};
use crate::engine;
use crate::graph::Address;
use crate::kind::Scope;
use crate::plan::Plan;
use crate::state::{RunId, State, StateError, StateLog, memory};

/// How long the rehearsal's own lease holds; its log is in memory and nobody else's.
const LEASE: SignedDuration = SignedDuration::from_secs(86_400);

/// Something empty that answers as AWS does.
pub trait Stage: Send + Sync {
    /// Returns clients of the account's administrator there.
    fn aws(&self) -> Aws;
    /// Returns clients of another account's administrator there: of the one that is named, or of any.
    fn stranger(&self, account: Option<&str>) -> Aws;
    /// Lifts all quotas, and tells what the region offers.
    fn open(&self, region: &Region);
    /// Exchanges ids everywhere, so that the copy bears the account's own.
    fn rename(&self, words: &BTreeMap<String, String>);
    /// Returns AWS's published quotas by name.
    fn published(&self) -> BTreeMap<String, u64>;
    /// Puts quotas into force: the published ones, but for these.
    fn enforce(&self, quotas: &BTreeMap<String, u64>);
}

/// What a rehearsal works with.
pub struct Input<'a> {
    /// The account. Nothing is written to it.
    pub account: &'a Aws,
    pub caller: &'a Caller,
    pub stage: &'a dyn Stage,
    pub scope: &'a Scope,
    pub state: &'a State,
    pub plan: &'a Plan,
    /// Quotas that the user knows of.
    pub quotas: &'a BTreeMap<String, u64>,
    pub secrets: &'a dyn SecretValues,
}

/// What a rehearsal found.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal {
    /// What would fail.
    pub findings: Vec<Finding>,
    /// Steps that were not tried because an earlier one fails, with that one.
    pub skipped: Vec<(Address, Option<Address>)>,
    /// What could not be looked at or tried.
    pub unknown: Vec<String>,
    /// How many resources the copy has.
    pub copied: usize,
    /// Steps that went well.
    pub done: usize,
}

/// Copies the account onto the stage and runs the plan there.
///
/// # Errors
/// Returns the error of the rehearsal's own log, which is in memory.
pub async fn rehearse(input: &Input<'_>) -> Result<Rehearsal, StateError> {
    let mut out = Rehearsal::default();
    let questions = account::questions(input.plan, &input.scope.region);
    let (account, around) =
        futures::join!(account::read(input.account, input.plan), surroundings::read(input.account, &questions));
    out.unknown.extend(account.unknown.iter().cloned());
    out.unknown.extend(around.unknown.iter().cloned());
    let missing = set_up(input, &account, &around, &mut out).await;
    let plan = rebound(input, &mut out).await;
    let report = run(input, &plan).await?;
    out.done = report.done.len();
    out.skipped = report.skipped.into_iter().map(|skipped| (skipped.address, skipped.because)).collect();
    for failure in report.failed {
        findings::sort(input.plan, failure, &missing, &mut out);
    }
    permissions::check(input, &account, &around.principals, &mut out).await;
    out.findings.sort_by(|a, b| (a.step, &a.code).cmp(&(b.step, &b.code)));
    Ok(out)
}

/// Makes the stage a copy of the account; returns the ids of what is missing there.
async fn set_up(
    input: &Input<'_>,
    account: &account::Account,
    around: &surroundings::Surroundings,
    out: &mut Rehearsal,
) -> BTreeSet<String> {
    let stage = input.stage.aws();
    input.stage.open(&around.region);
    let default = around.network.write_default(&stage).await;
    let default = default.unwrap_or_else(|error| {
        out.unknown.push(format!("the default VPC: {}", error.reason()));
        BTreeMap::new()
    });
    let refused = around.principals.write(&stage).await;
    let mut copied = copy::copy(&stage, input.scope, account, default).await;
    let mut refused: Vec<String> = refused;
    refused.extend(around.principals.attach(&stage).await);
    refused.extend(around.network.write(&stage, &mut copied.ids).await);
    let stranger = |account: Option<&str>| input.stage.stranger(account);
    refused.extend(around.names.write(&stage, &stranger, &copied.ids).await);
    out.unknown.extend(refused.into_iter().map(|what| format!("not in the copy: {what}")));
    let missing = &copied.missing;
    out.unknown.extend(missing.iter().map(|(what, reason)| format!("not wholly in the copy: {what}: {reason}")));
    out.copied = copied.count;
    let words = words::one_to_one(copied.ids.iter().map(|(own, made)| (made.clone(), own.clone())));
    input.stage.rename(&words);
    let mut quotas = quotas(input, &stage, &around.region).await;
    out.unknown.extend(raised(input, account, around, &mut quotas));
    input.stage.enforce(&quotas);
    missing.iter().flat_map(|(what, _)| what.split(' ').skip(1)).map(str::to_owned).collect()
}

/// Returns the quotas that are known, less what uses them and is not in the copy.
async fn quotas(input: &Input<'_>, stage: &Aws, region: &Region) -> BTreeMap<String, u64> {
    let mut quotas = region.quotas.clone();
    let counted = Region::counted(stage).await.unwrap_or_default();
    for (name, used) in &region.used {
        if let (Some(most), Some(copied)) = (quotas.get_mut(name), counted.get(name)) {
            *most = (*most + copied).saturating_sub(*used);
        }
    }
    if region.trails_elsewhere > 0 {
        quotas.insert("trails".to_owned(), 5_u64.saturating_sub(region.trails_elsewhere));
    }
    quotas.extend(input.quotas.iter().map(|(name, value)| (name.clone(), *value)));
    quotas
}

/// The kinds that a quota of the account counts, by its name.
const COUNTED: [(&str, &str); 11] = [
    ("vpcs", "vpc"),
    ("internet_gateways", "internet_gateway"),
    ("security_groups", "security_group"),
    ("placement_groups", "placement_group"),
    ("launch_templates", "launch_template"),
    ("buckets", "s3_bucket"),
    ("kms_keys", "kms_key"),
    ("log_groups", "log_group"),
    ("trails", "cloudtrail_trail"),
    ("guardrails", "bedrock_guardrail"),
    ("secrets", "secretsmanager_secret"),
];

/// Lifts the published quotas that the account has passed already: it has others, and nobody told which.
fn raised(
    input: &Input<'_>,
    account: &account::Account,
    around: &surroundings::Surroundings,
    quotas: &mut BTreeMap<String, u64>,
) -> Vec<String> {
    let published = input.stage.published();
    let mut out = Vec::new();
    for (name, kind) in COUNTED {
        let own = account.resources.iter().filter(|found| found.kind == kind).count() as u64;
        let default = matches!(name, "vpcs" | "internet_gateways") && around.network.has_default();
        let (used, Some(most)) = (own + u64::from(default), published.get(name)) else { continue };
        if used > *most && !quotas.contains_key(name) {
            quotas.insert(name.to_owned(), u64::MAX);
            out.push(format!("the quota `{name}`: the account has {used}, above AWS's default of {most} (`--quota`)"));
        }
    }
    out
}

/// Returns the plan bound to the copy, and says where the copy is not what was read.
async fn rebound(input: &Input<'_>, out: &mut Rehearsal) -> Plan {
    let stage = input.stage.aws();
    let mut plan = input.plan.clone();
    let ids =
        plan.bound.iter().map(|(address, bound)| (address.clone(), (bound.kind.clone(), bound.id.clone()))).collect();
    let fields = wanted_fields(
        plan.bound.values().filter_map(|bound| bound.seen.present().map(|seen| (bound.kind.as_str(), &seen.arguments))),
    );
    let seen = observe(&stage, &kinds::get, &ids, &fields).await;
    for (address, bound) in &mut plan.bound {
        let Some(now) = seen.get(address) else { continue };
        if bound.seen.present().is_some() && now.present().is_none() {
            out.unknown.push(format!("{address} ({}) is not in the copy", bound.id));
        }
        bound.seen = now.clone();
        bound.digest = now.digest();
    }
    plan
}

async fn run(input: &Input<'_>, plan: &Plan) -> Result<apply::Report, StateError> {
    let stage = input.stage.aws();
    let clock = stage.clone();
    let log = StateLog::on(memory(), Arc::new(move || clock.now()));
    let writer = log.acquire(RunId(uuid::Uuid::new_v4()), "rehearsal", LEASE).await?;
    let session = Session {
        aws: &stage,
        scope: input.scope,
        log: &writer,
        kinds: &kinds::get,
        secrets: input.secrets,
        events: &|_| {},
        stop: Stop::default(),
    };
    let report = apply::run(&session, plan, engine::known(input.state), BTreeSet::new(), OnFailure::Continue).await?;
    writer.release().await?;
    Ok(report)
}

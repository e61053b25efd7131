//! Seeded schedules over the sample of every kind: its life from create to destroy under kills and faults.

use futures::FutureExt;
use opora::aws::kinds;
use opora::sandbox::{Conditions, Fault, FaultKind, Record};
use serde_json::Value;

use super::mortal::{Fate, MOMENTS};
use super::{Draw, End, Life, block_on, number, on_all_cores};
use crate::sample::{Sample, merge, sample, spec};

/// Seeds that a plain `cargo test` plays.
const SEEDS: u64 = 52;

/// Seeds that once found something: replies a minute late, a list behind a creation or a deletion, two aliases of a key,
/// a key that a secret does not see yet, addresses of a gateway that is being deleted, replicas of a secret as they were,
/// an alias that showed between a plan's reading and the update's.
const FOUND: [u64; 12] = [311, 464, 520, 523, 1885, 2088, 2364, 3785, 4788, 6135, 8295, 10370];

/// Killed or failed processes in a row at most, before a plain one.
const DEATHS_MAX: u64 = 3;

/// One thing that a user does to the environment.
struct Edit {
    yaml: String,
    destroy: bool,
}

/// A life: its edits, and the conditions under which AWS answers.
struct Schedule {
    kind: &'static str,
    edits: Vec<Edit>,
    conditions: Conditions,
    faults: Vec<Fault>,
}

fn schedule(seed: u64, draw: &mut Draw) -> Schedule {
    let kinds: Vec<_> = kinds::all().collect();
    let kind = kinds[usize::try_from(seed).unwrap_or_default() % kinds.len()].schema().name;
    let sample = sample(kind);
    let lag = if draw.chance(70) { draw.below(60) as f64 } else { 0.0 };
    let delay = if draw.chance(70) { draw.below(60) as f64 } else { 0.0 };
    let services = ["iam", "kms", "ec2", "s3", "logs"];
    let conditions = Conditions {
        list_lag_s: lag,
        propagation: services.iter().map(|service| ((*service).to_owned(), delay)).collect(),
        ..sample.conditions.clone()
    };
    Schedule { kind, edits: edits(&sample, kind, draw), conditions, faults: faults(draw) }
}

/// Create, some of the sample's patches in their order, and in half of all lives the end.
fn edits(sample: &Sample, kind: &'static str, draw: &mut Draw) -> Vec<Edit> {
    let mut arguments = sample.arguments.clone();
    let mut edits = vec![Edit { yaml: spec(sample, kind, &arguments), destroy: false }];
    let patches: Vec<&Value> = sample.updates.iter().chain(&sample.replaces).collect();
    // Patches build on each other, so a run of them from the first one on is taken; its last ones are played.
    let end = draw.below(patches.len() as u64 + 1) as usize;
    let begin = end.saturating_sub(2);
    for (at, patch) in patches[..end].iter().enumerate() {
        merge(&mut arguments, patch);
        if at >= begin {
            edits.push(Edit { yaml: spec(sample, kind, &arguments), destroy: false });
        }
    }
    // Amid the patches a resource may be protected against its deletion.
    if (end == 0 || end >= sample.updates.len()) && draw.chance(70) {
        edits.push(Edit { yaml: spec(sample, kind, &arguments), destroy: true });
    }
    edits
}

fn faults(draw: &mut Draw) -> Vec<Fault> {
    let kinds = [
        FaultKind::LostRequest,
        FaultKind::LostReply,
        FaultKind::SlowReply,
        FaultKind::ServerError,
        FaultKind::Unavailable,
        FaultKind::Throttle,
    ];
    let mut out = Vec::new();
    for kind in kinds {
        if draw.chance(30) {
            let probability = Some(0.01 + draw.below(10) as f64 / 100.0);
            out.push(Fault { service: None, operation: None, nth: None, every: None, probability, kind, seen: 0 });
        }
    }
    out
}

/// Plays a life; the same edits without any trouble say what the account has to hold after each.
///
/// Returns its calls.
async fn play(seed: u64) -> Vec<String> {
    // The SDK's pauses between retries, drawn on this thread, are part of the schedule.
    fastrand::seed(seed);
    let mut draw = Draw(seed);
    let schedule = schedule(seed, &mut draw);
    let (life, calm) = (Life::new(seed), Life::new(seed));
    calm.sandbox
        .set_conditions(Conditions { organization: schedule.conditions.organization.clone(), ..Conditions::default() });
    for (number, edit) in schedule.edits.iter().enumerate() {
        let what = format!("{} edit {number} of {}", schedule.kind, schedule.edits.len());
        let calls = calm.converge(&calm.load(&edit.yaml), edit.destroy).await;
        let environment = life.load(&edit.yaml);
        life.sandbox.set_conditions(Conditions { faults: schedule.faults.clone(), ..schedule.conditions.clone() });
        for _ in 0..draw.below(DEATHS_MAX + 1) {
            let at = if draw.chance(80) { 1 + draw.below(calls + calls / 4 + 1) } else { 0 };
            let fate = Fate::new(at, MOMENTS[draw.below(3) as usize]);
            if let End::Ran(report) = life.process(&fate, &environment, edit.destroy).await
                && report.is_complete()
            {
                break;
            }
        }
        life.sandbox.set_conditions(schedule.conditions.clone());
        let ended = std::panic::AssertUnwindSafe(life.converge(&environment, edit.destroy)).catch_unwind().await;
        if super::number("OPORA_SEED").is_some() {
            tell(&what, &life);
        }
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(life.inventory(), calm.inventory(), "{what}: the account holds something else");
    }
    told(&life)
}

/// Prints the calls of a life so far, for whoever plays a single one.
#[expect(clippy::print_stdout, reason = "it is asked for")]
fn tell(what: &str, life: &Life) {
    println!("{what}\n{}", told(life).join("\n"));
}

/// Returns the calls of a life so far: when, what, how it failed and what it changed.
fn told(life: &Life) -> Vec<String> {
    let line = |call: Record| {
        let changed: Vec<&str> = call.touched.iter().map(|(_, id)| id.as_str()).collect();
        let error = call.error.as_deref().unwrap_or_default();
        format!("{:.1}  {}  {error}  {}", call.time, call.operation, changed.join(" "))
    };
    life.sandbox.calls().into_iter().map(line).collect()
}

#[test]
fn schedules() {
    let seeds: Vec<String> = match number("OPORA_SEED") {
        Some(seed) => vec![seed.to_string()],
        None => {
            let first = number("OPORA_SEED_FIRST").unwrap_or_default();
            let drawn = first..first + number("OPORA_SEEDS").unwrap_or(SEEDS);
            drawn.chain(FOUND).map(|seed| seed.to_string()).collect()
        }
    };
    let failed = on_all_cores(seeds, |seed| {
        block_on(play(seed.parse().expect("a seed is a number")));
    });
    for failure in &failed {
        let (seed, why) = failure.split_once(": ").unwrap_or((failure, ""));
        println!("OPORA_SEED={seed} cargo test --test suite simulation::schedules\n{why}\n");
    }
    assert!(failed.is_empty(), "{} seeds do not converge; the commands that play them again are above", failed.len());
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    assert_eq!(block_on(play(12_488)), block_on(play(12_488)));
}

//! The real binary, killed by SIGKILL at its calls to AWS and at its writes of the state, and run once more.
//!
//! The examples are created, updated, replaced in part and destroyed. What changes something is killed at three
//! moments: before it is sent, after it is done and before it is answered, and after the answer when the next journal
//! entry is about to be written. Around a call that only reads these are one. The state lies on S3, so that its
//! writes are calls as well. The clocks of the processes and of the sandbox run alike, so that waits take no time.
//!
//! A plain `cargo test` plays one case of the small example in a stride; `OPORA_STRIDE=1` plays all of both examples,
//! `OPORA_CASE` those cases that begin with it.

mod door;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use opora::sandbox::{Clock, Sandbox};
use tempfile::TempDir;

use super::lives::{Edit, MODULE, lives, module};
use super::mortal::{MOMENTS, Moment};
use super::{Life, number, on_all_cores};
use crate::cli::terminal::Terminal;
use crate::support::{ACCOUNT, connect_to};
use door::{Fatal, Passed, STATES, only_reads, writes_state};

/// What a plain `cargo test` plays, and of how many cases of it one.
const PLAIN: (&str, u64) = ("core", 331);

/// Simulated seconds per second: the longest wait of a recovery, two minutes, takes one.
const SPEED: f64 = 100.0;

/// An account as it is before an edit, and what the edit leaves where nothing disturbs it.
struct Chapter {
    folder: TempDir,
    after: BTreeMap<String, u64>,
    /// How many calls of each name the edit makes.
    calls: BTreeMap<String, u64>,
}

fn inventory(sandbox: &Sandbox) -> BTreeMap<String, u64> {
    Life::on(sandbox.clone()).inventory()
}

/// Opens a terminal whose processes show the same time as the sandbox.
fn terminal(sandbox: &Sandbox, edit: &Edit) -> Terminal {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let since = (sandbox.clock().seconds() - wall * SPEED) / (1.0 - SPEED);
    let terminal = Terminal::with(&edit.yaml);
    std::fs::create_dir_all(terminal.path(MODULE).parent().unwrap()).unwrap();
    terminal.write(MODULE, &module());
    terminal
        .set("AWS_ACCESS_KEY_ID", ACCOUNT)
        .set("AWS_SECRET_ACCESS_KEY", "any")
        .set("REGISTRY_TOKEN", "canary-registry")
        .set("OPORA_SANDBOX_CLOCK", &format!("{since:.6}:{SPEED}"))
}

async fn run(sandbox: &Sandbox, edit: &Edit, words: &[&str], fatal: Option<Fatal>) -> Passed {
    door::run(sandbox, &terminal(sandbox, edit), words, fatal).await
}

/// Runs an edit to its end; what is left to do then has to be nothing.
async fn converge(sandbox: &Sandbox, edit: &Edit) -> BTreeMap<String, u64> {
    let command = if edit.destroy { "destroy" } else { "apply" };
    let plain = run(sandbox, edit, &[command, "--yes", "--brief"], None).await;
    assert_eq!(plain.ended.code, Some(0), "the plain {command}: {}", plain.ended);
    let words: &[&str] = if edit.destroy { &["plan", "--destroy"] } else { &["plan"] };
    let plan = run(sandbox, edit, words, None).await;
    assert_eq!(plan.ended.code, Some(0), "the plan after the plain {command}: {}", plan.ended);
    plain.calls
}

/// Lives an example once without trouble, and keeps the account before each edit.
async fn chapters(edits: &[Edit]) -> Vec<Chapter> {
    let sandbox = Sandbox::in_memory(1).with_clock(Clock::wall(SPEED));
    connect_to(&sandbox).s3().create_bucket().bucket(STATES).send().await.unwrap();
    let mut out = Vec::new();
    for edit in edits {
        let folder = TempDir::new().unwrap();
        sandbox.save(folder.path()).unwrap();
        let calls = converge(&sandbox, edit).await;
        out.push(Chapter { folder, after: inventory(&sandbox), calls });
    }
    out
}

/// Is killed at a call of an edit, and makes it good; false where the call is not made.
async fn play(chapter: &Chapter, edit: &Edit, fatal: Fatal) -> bool {
    let sandbox = Sandbox::in_memory(1).with_clock(Clock::wall(SPEED));
    sandbox.load(chapter.folder.path()).unwrap();
    let command = if edit.destroy { "destroy" } else { "apply" };
    let first = run(&sandbox, edit, &[command, "--yes", "--quiet"], Some(fatal)).await;
    if !first.killed {
        assert_eq!(first.ended.code, Some(0), "what was not killed: {}", first.ended);
    }
    converge(&sandbox, edit).await;
    assert_eq!(inventory(&sandbox), chapter.after);
    first.killed
}

/// Names a case, as `OPORA_CASE` does.
fn case_name(example: &str, edit: &Edit, fatal: &Fatal) -> String {
    format!("{example} {} {} {} {:?}", edit.name, fatal.name, fatal.occurrence, fatal.moment)
}

/// Returns the moments at which a call is killed.
fn moments(name: &str) -> &'static [Moment] {
    match name {
        _ if only_reads(name) => &MOMENTS[..1],
        // What follows the answer to a journal entry is the next one's first moment, or another call's.
        _ if writes_state(name) => &MOMENTS[..2],
        _ => &MOMENTS,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
#[cfg(unix)]
fn killed_at_every_call_on_the_wire() {
    let (only, stride) = match (std::env::var("OPORA_CASE").ok(), number("OPORA_STRIDE")) {
        (None, None) => (Some(PLAIN.0.to_owned()), PLAIN.1),
        (only, stride) => (only, stride.unwrap_or(1)),
    };
    let lives = lives(|name| format!("s3://{STATES}/{name}"));
    let mut written = BTreeMap::new();
    let mut cases = BTreeMap::new();
    let mut at = 0;
    for (example, edits) in &lives {
        if only.as_ref().is_some_and(|only| !only.starts_with(example)) {
            continue;
        }
        written.insert(*example, runtime().block_on(chapters(edits)));
        for (number, edit) in edits.iter().enumerate() {
            for (name, count) in &written[example][number].calls {
                let each =
                    (1..=*count).flat_map(|occurrence| moments(name).iter().map(move |moment| (occurrence, *moment)));
                for (occurrence, moment) in each {
                    let fatal = Fatal { name: name.clone(), occurrence, moment };
                    let case = case_name(example, edit, &fatal);
                    at += u64::from(only.as_ref().is_none_or(|only| case.starts_with(only)));
                    if at.is_multiple_of(stride) && only.as_ref().is_none_or(|only| case.starts_with(only)) {
                        cases.insert(case, (*example, number, fatal));
                    }
                }
            }
        }
    }
    println!("{} of {at} kills", cases.len());
    let unreached = Mutex::new(Vec::new());
    let failed = on_all_cores(cases.keys().cloned().collect(), |case| {
        let (example, number, fatal) = &cases[case];
        let edits = &lives.iter().find(|(name, _)| name == example).unwrap().1;
        let killed = runtime().block_on(play(&written[example][*number], &edits[*number], fatal.clone()));
        if !killed {
            unreached.lock().unwrap().push(case.to_owned());
        }
    });
    println!("not reached, because a process asked less often: {:?}", unreached.lock().unwrap());
    for failure in &failed {
        let (case, why) = failure.split_once(": ").unwrap_or((failure, ""));
        println!("OPORA_CASE='{case}' cargo test --test suite simulation::wire\n{why}\n");
    }
    assert!(failed.is_empty(), "{} kills are not made good; the commands are above", failed.len());
}

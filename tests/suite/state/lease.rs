//! Two writers: the lease, its takeover, the fence, and races for the same number.

use std::sync::Arc;

use jiff::SignedDuration;
use opora::state::{Entry, LocalStore, Outcome, StateError, StateLog, memory};
use serde_json::json;

use super::{FakeClock, TTL, ledger, recorded, run};

#[tokio::test]
async fn a_second_run_learns_who_holds_the_lease_since_when() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    let first = log.acquire(run(1), "ana@laptop 4711", TTL).await.unwrap();
    clock.advance(SignedDuration::from_secs(30));
    let error = log.acquire(run(2), "ben@ci 12", TTL).await.unwrap_err();
    let StateError::LeaseHeld { holder, since, until } = &error else { panic!("{error}") };
    assert_eq!(holder, "ana@laptop 4711");
    assert_eq!(until.duration_since(*since), TTL);
    assert_eq!(error.into_diagnostic().code, "STATE001");
    first.release().await.unwrap();
    log.acquire(run(2), "ben@ci 12", TTL).await.unwrap();
}

#[tokio::test]
async fn a_dead_holder_is_taken_over_and_its_late_writes_are_fenced() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    let dead = log.acquire(run(1), "dead", TTL).await.unwrap();
    dead.append(vec![recorded(run(1), 1, 1)]).await.unwrap();
    clock.advance(TTL + SignedDuration::from_secs(1));
    let heir = log.acquire(run(2), "heir", TTL).await.unwrap();
    let error = dead.append(vec![recorded(run(1), 2, 1)]).await.unwrap_err();
    assert!(matches!(&error, StateError::Fenced { by } if by == "heir"), "{error}");
    heir.append(vec![recorded(run(2), 3, 1)]).await.unwrap();
    assert!(matches!(dead.append(vec![recorded(run(1), 2, 1)]).await, Err(StateError::Fenced { .. })));
    assert!(matches!(dead.keep_alive().await, Err(StateError::Fenced { .. })));
    assert!(matches!(dead.release().await, Err(StateError::Fenced { .. })));
    heir.release().await.unwrap();
    let state = log.load().await.unwrap();
    assert_eq!(state.resources.len(), 2);
    assert_eq!(state.lease, None);
    assert_eq!(log.verify().await.unwrap(), []);
}

#[tokio::test]
async fn a_late_holder_goes_on_where_nobody_took_over() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    let writer = log.acquire(run(1), "slow", TTL).await.unwrap();
    clock.advance(TTL * 3);
    writer.append(vec![recorded(run(1), 1, 1)]).await.unwrap();
    assert!(matches!(log.acquire(run(2), "other", TTL).await, Err(StateError::LeaseHeld { .. })));
}

#[tokio::test]
async fn appends_and_keep_alive_renew_the_lease_when_half_of_it_is_over() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    let objects = async || log.commits().await.unwrap().len();
    writer.keep_alive().await.unwrap();
    assert_eq!(objects().await, 1, "half of it is not over yet");
    clock.advance(TTL / 2 + SignedDuration::from_secs(1));
    let until = writer.keep_alive().await.unwrap().unwrap();
    assert_eq!(objects().await, 2);
    clock.advance(TTL / 2 + SignedDuration::from_secs(1));
    writer.append(vec![recorded(run(1), 1, 1)]).await.unwrap();
    assert_eq!(objects().await, 3, "the renewal travels with the entry");
    assert!(log.load().await.unwrap().lease.unwrap().until > until);
}

#[tokio::test]
async fn ledger_entries_are_written_beside_the_holder_of_the_lease() {
    let log = StateLog::on(memory(), FakeClock::new());
    let holder = log.acquire(run(1), "apply", TTL).await.unwrap();
    let jobs = log.join(run(2)).await.unwrap();
    jobs.append(vec![ledger("a", json!(1))]).await.unwrap();
    holder.append(vec![recorded(run(1), 1, 1)]).await.unwrap();
    let error = jobs.append(vec![recorded(run(2), 2, 1)]).await.unwrap_err();
    assert!(matches!(error, StateError::NeedsLease { .. }));
    // Two clients claim one job: exactly one wins.
    let other = log.join(run(3)).await.unwrap();
    let free = |state: &opora::state::State| state.ledger_record("jobs", "b").is_none();
    assert!(jobs.append_if(vec![ledger("b", json!("jobs"))], free).await.unwrap());
    assert!(!other.append_if(vec![ledger("b", json!("other"))], free).await.unwrap());
    let state = log.load().await.unwrap();
    assert_eq!(state.ledger_record("jobs", "b"), Some(&json!("jobs")));
    assert_eq!(log.verify().await.unwrap(), []);
}

/// Ten writers, each with a log of its own, write 100 entries each.
pub(crate) async fn ten_writers_race(open: impl Fn() -> StateLog) {
    let mut tasks = Vec::new();
    for writer in 0..10_u128 {
        let log = open();
        tasks.push(tokio::spawn(async move {
            let joined = log.join(run(writer)).await.unwrap();
            for number in 0..100 {
                let key = format!("{writer}-{number}");
                joined.append(vec![ledger(key, json!(number))]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let log = open();
    let state = log.load().await.unwrap();
    assert_eq!(state.number, 1000);
    assert_eq!(state.ledger["jobs"].len(), 1000);
    assert_eq!(log.verify().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_writers_racing_for_a_thousand_entries_lose_none() {
    let store = memory();
    ten_writers_race(|| StateLog::on(store.clone(), FakeClock::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_writers_racing_on_a_local_disk_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = || Arc::new(LocalStore::new(folder.path().join("state")));
    ten_writers_race(|| StateLog::on(store(), FakeClock::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_runs_racing_for_the_lease_write_one_after_the_other() {
    let log = StateLog::on(memory(), FakeClock::new());
    let mut tasks = Vec::new();
    for number in 0..10_u128 {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let writer = loop {
                match log.acquire(run(number), "racer", TTL).await {
                    Ok(writer) => break writer,
                    Err(StateError::LeaseHeld { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            };
            for item in 0..100 {
                writer.append(vec![recorded(run(number), number as usize * 100 + item, 1)]).await.unwrap();
            }
            writer.release().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(log.load().await.unwrap().resources.len(), 1000);
    // Each run's entries stand together: nobody wrote while another held the lease.
    let writers: Vec<_> = log.commits().await.unwrap().iter().map(|commit| commit.writer).collect();
    assert_eq!(writers.chunk_by(|a, b| a == b).count(), 10);
    assert_eq!(log.verify().await.unwrap(), []);
}

#[tokio::test]
async fn the_history_tells_who_did_what_when() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    for number in 1..=120 {
        let writer = log.acquire(run(number), "tester", TTL).await.unwrap();
        let started = Entry::RunStarted {
            run: run(number),
            command: "apply".to_owned(),
            who: "arn:aws:iam::123456789012:user/ana".to_owned(),
            host: "laptop".to_owned(),
            spec_digest: Some("abc".to_owned()),
            plan_digest: None,
            spec_commit: None,
            opora: "0.1.0".to_owned(),
        };
        writer.append(vec![started]).await.unwrap();
        clock.advance(SignedDuration::from_secs(7));
        if number != 3 {
            writer.append(vec![Entry::RunFinished { run: run(number), outcome: Outcome::Succeeded }]).await.unwrap();
        }
        writer.release().await.unwrap();
    }
    let history = log.history().await.unwrap();
    assert_eq!(history.len(), 120);
    assert_eq!(history[2].finished, None, "it was killed");
    let (ended, outcome) = history[0].finished.unwrap();
    assert_eq!((ended.duration_since(history[0].started).as_secs(), outcome), (7, Outcome::Succeeded));
    assert_eq!(log.load().await.unwrap().runs.len(), 100, "the state itself stays small");
}

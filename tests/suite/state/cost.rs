//! What an append costs in states of three sizes: operations and bytes, which don't depend on the machine.

use jiff::SignedDuration;
use opora::state::{Action, Entry, PACK_LENGTH, StateLog, memory};

use super::{Counted, FakeClock, TTL, created, intent, recorded, run};

const UPDATES: usize = 1000;

/// Returns operations and bytes for `UPDATES` updates, two appends each, in a state of `resources`.
async fn cost(resources: usize) -> (u64, u64) {
    let clock = FakeClock::new();
    let store = Counted::new(memory());
    let log = StateLog::on(store.clone(), clock.clone());
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    let all: Vec<Entry> = (0..resources).map(|number| created(run(1), number, 1)).collect();
    for group in all.chunks(500) {
        writer.append(group.to_vec()).await.unwrap();
    }
    writer.release().await.unwrap();
    clock.advance(SignedDuration::from_secs(1));
    let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
    // A pack holds whole objects: those of the set-up are to be packed before the count begins.
    let number = writer.state().await.unwrap().number;
    super::append_some(&writer, (number.next_multiple_of(PACK_LENGTH) - number) as usize).await;
    writer.state().await.unwrap();
    store.take();
    for number in 0..UPDATES {
        let number = number * 7919 % resources;
        writer.append(vec![intent(run(2), number, 1, Action::Update)]).await.unwrap();
        writer.append(vec![recorded(run(2), number, 1)]).await.unwrap();
    }
    let spent = store.take();
    assert_eq!(writer.state().await.unwrap().resources.len(), resources);
    spent
}

#[tokio::test]
async fn an_append_costs_the_same_in_a_large_state() {
    let mut all = Vec::new();
    for resources in [100, 10_000, 100_000] {
        let (operations, bytes) = cost(resources).await;
        let appends = 2 * UPDATES as u64;
        println!(
            "{resources} resources: {:.3} operations and {} bytes per append",
            operations as f64 / appends as f64,
            bytes / appends
        );
        all.push((operations, bytes));
    }
    let (operations, bytes) = all[0];
    for (other_operations, other_bytes) in all {
        assert!(other_operations.abs_diff(operations) * 10 <= operations, "{other_operations} and {operations}");
        assert!(other_bytes.abs_diff(bytes) * 10 <= bytes, "{other_bytes} and {bytes}");
    }
}

#[tokio::test]
async fn snapshots_cost_no_more_than_twice_the_log() {
    let clock = FakeClock::new();
    let store = Counted::new(memory());
    let log = StateLog::on(store.clone(), clock).with_snapshot_floor(1000);
    let (mut written, mut logged) = (0, 0);
    for round in 0..200_u128 {
        let writer = log.acquire(run(round), "tester", TTL).await.unwrap();
        let entries = (0..10).map(|number| recorded(run(round), round as usize * 10 + number, 1)).collect();
        writer.append(entries).await.unwrap();
        writer.release().await.unwrap();
        written += store.take().1;
    }
    for commit in log.commits().await.unwrap() {
        logged += serde_json::to_vec(&commit).unwrap().len() as u64;
    }
    println!("{written} bytes written for {logged} bytes of log");
    // The log, its packs, and snapshots of at most twice the log in all.
    assert!(written <= logged * 4, "{written} bytes for a log of {logged}");
}

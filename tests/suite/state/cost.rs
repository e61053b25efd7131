//! What an append costs in states of three sizes: operations and bytes, which don't depend on the machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::SignedDuration;
use opora::state::{Action, Entry, LocalStore, PACK_LENGTH, StateLog, Writer, memory};

use super::{Counted, FakeClock, TTL, created, intent, recorded, run};

const UPDATES: usize = 1000;

/// How often CPU time is measured; the least counts, as other work on the machine only adds to it.
const ROUNDS: usize = 7;

/// A state of `resources`, written by an earlier run.
async fn prepare(log: &StateLog, clock: &FakeClock, resources: usize) {
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    let all: Vec<Entry> = (0..resources).map(|number| created(run(1), number, 1)).collect();
    for group in all.chunks(500) {
        writer.append(group.to_vec()).await.unwrap();
    }
    writer.release().await.unwrap();
    clock.advance(SignedDuration::from_secs(1));
}

/// Updates `count` of the resources, by two appends each.
async fn update(writer: &Writer, resources: usize, count: usize) {
    for number in 0..count {
        let number = number * 7919 % resources;
        writer.append(vec![intent(run(2), number, 1, Action::Update)]).await.unwrap();
        writer.append(vec![recorded(run(2), number, 1)]).await.unwrap();
    }
}

/// Returns operations and bytes for `UPDATES` updates, two appends each, in a state of `resources`.
async fn cost(resources: usize) -> (u64, u64) {
    let clock = FakeClock::new();
    let store = Counted::new(memory());
    let log = StateLog::on(store.clone(), clock.clone());
    prepare(&log, &clock, resources).await;
    let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
    // A pack holds whole objects: those of the set-up are to be packed before the count begins.
    let number = writer.state().await.unwrap().number;
    super::append_some(&writer, (number.next_multiple_of(PACK_LENGTH) - number) as usize).await;
    writer.state().await.unwrap();
    store.take();
    update(&writer, resources, UPDATES).await;
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

/// Returns the CPU time of this thread in microseconds, on which all of a current-thread test runs.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1_000.0
}

/// One line of the table that `benches/state.sh` prints.
async fn line(resources: usize) -> String {
    let clock = FakeClock::new();
    let store = Counted::new(memory());
    let log = StateLog::on(store.clone(), clock.clone());
    prepare(&log, &clock, resources).await;
    // A first run writes the snapshot that the set-up made due.
    log.acquire(run(2), "tester", TTL).await.unwrap().release().await.unwrap();
    store.take();
    store.bytes_read.store(0, Ordering::SeqCst);
    let before = cpu_us();
    let state = log.load().await.unwrap();
    let (open_cpu, (open_operations, _)) = (cpu_us() - before, store.take());
    let read = store.bytes_read.load(Ordering::SeqCst);
    assert_eq!(state.resources.len(), resources);
    drop(state);
    let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
    let (_, lease_bytes) = store.take();
    // Once without counting: the first ones fill caches.
    update(&writer, resources, 200).await;
    store.take();
    let mut cpu = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = cpu_us();
        update(&writer, resources, UPDATES).await;
        cpu = cpu.min((cpu_us() - before) * ROUNDS as f64);
    }
    let (operations, bytes) = store.take();
    let appends = 2.0 * (UPDATES * ROUNDS) as f64;
    format!(
        "| {resources} | {:.3} | {:.0} | {:.0} | {lease_bytes} | {open_operations} | {:.1} | {:.0} | {:.2} |",
        operations as f64 / appends,
        bytes as f64 / appends,
        cpu / appends,
        read as f64 / 1e6,
        open_cpu / 1e3,
        on_disk(resources).await,
    )
}

/// Returns the median of the milliseconds that an append takes on this machine's disk, two flushes included.
async fn on_disk(resources: usize) -> f64 {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = FakeClock::new();
    let log = StateLog::on(Arc::new(LocalStore::new(folder.path().join("state"))), clock.clone());
    prepare(&log, &clock, resources).await;
    let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
    let mut times = Vec::new();
    for number in 0..300 {
        let began = Instant::now();
        writer.append(vec![recorded(run(2), number * 7919 % resources, 1)]).await.unwrap();
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "a measurement, run by benches/state.sh"]
async fn table() {
    println!(
        "| resources | append: operations | bytes | CPU µs | lease: bytes | open: operations | MB read | CPU ms | append on disk, ms |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for resources in [100, 10_000, 100_000] {
        println!("{}", line(resources).await);
    }
}

//! What an append costs in states of three sizes: operations and bytes, which don't depend on the machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::SignedDuration;
use opora::state::{Action, Entry, LocalStore, PACK_LENGTH, StateLog, Writer, memory};
use tempfile::TempDir;

use super::{Counted, FakeClock, TTL, intent, recorded, run};

const UPDATES: usize = 1000;

const SIZES: [usize; 3] = [100, 10_000, 100_000];

/// How often CPU time is measured; the least counts, as other work on the machine only adds to it.
const ROUNDS: usize = 25;

const APPENDS_ON_DISK: usize = 500;

/// A state of `resources`, written by a run a day ago.
async fn prepare(log: &StateLog, clock: &FakeClock, resources: usize) {
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    let all: Vec<Entry> = (0..resources).map(|number| recorded(run(1), number, 1)).collect();
    for group in all.chunks(500) {
        writer.append(group.to_vec()).await.unwrap();
    }
    writer.release().await.unwrap();
    clock.advance(SignedDuration::from_hours(24));
}

/// Updates `count` of the resources from the `first` on, by two appends each.
async fn update(writer: &Writer, resources: usize, first: usize, count: usize) {
    for number in first..first + count {
        let number = number * 7919 % resources;
        writer.append(vec![intent(run(2), number, 1, Action::Update)]).await.unwrap();
        writer.append(vec![recorded(run(2), number, 1)]).await.unwrap();
    }
}

/// Fills a pack: it holds whole objects, and those of the set-up are not to be packed while something is counted.
async fn fill_pack(writer: &Writer) {
    let number = writer.state().await.unwrap().number;
    super::append_some(writer, (number.next_multiple_of(PACK_LENGTH) - number) as usize).await;
    writer.state().await.unwrap();
}

/// Returns operations and bytes for `UPDATES` updates, two appends each, in a state of `resources`.
async fn cost(resources: usize) -> (u64, u64) {
    let clock = FakeClock::new();
    let store = Counted::new(memory());
    let log = StateLog::on(store.clone(), clock.clone());
    prepare(&log, &clock, resources).await;
    let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
    fill_pack(&writer).await;
    store.take();
    update(&writer, resources, 0, UPDATES).await;
    let spent = store.take();
    assert_eq!(writer.state().await.unwrap().resources.len(), resources);
    spent
}

#[tokio::test]
async fn an_append_costs_the_same_in_a_large_state() {
    let mut all = Vec::new();
    for resources in SIZES {
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
    // The kernel counts at its ticks, milliseconds apart, and whenever a thread gives way.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1_000.0
}

/// One size of state and what it was seen to cost, a line of the table that `benches/state.sh` prints.
struct Line {
    resources: usize,
    writer: Writer,
    store: Arc<Counted>,
    lease_bytes: u64,
    open_operations: u64,
    open_bytes: u64,
    open_cpu_us: f64,
    /// The least CPU time of an append in any round.
    cpu_us: f64,
    on_disk: Writer,
    /// Milliseconds that each append took on this machine's disk, two flushes included.
    on_disk_ms: Vec<f64>,
    _folder: TempDir,
}

impl Line {
    async fn of(resources: usize) -> Self {
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
        let (open_cpu_us, (open_operations, _)) = (cpu_us() - before, store.take());
        let open_bytes = store.bytes_read.load(Ordering::SeqCst);
        assert_eq!(state.resources.len(), resources);
        drop(state);
        let writer = log.acquire(run(2), "tester", TTL).await.unwrap();
        let (_, lease_bytes) = store.take();
        fill_pack(&writer).await;
        store.take();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = StateLog::on(Arc::new(LocalStore::new(folder.path().join("state"))), clock.clone());
        prepare(&log, &clock, resources).await;
        let on_disk = log.acquire(run(2), "tester", TTL).await.unwrap();
        fill_pack(&on_disk).await;
        Self {
            resources,
            writer,
            store,
            lease_bytes,
            open_operations,
            open_bytes,
            open_cpu_us,
            cpu_us: f64::INFINITY,
            on_disk,
            on_disk_ms: Vec::new(),
            _folder: folder,
        }
    }

    /// Updates other resources than the rounds before did.
    async fn measure(&mut self, round: usize) {
        let before = cpu_us();
        update(&self.writer, self.resources, round * UPDATES, UPDATES).await;
        self.cpu_us = self.cpu_us.min((cpu_us() - before) / (2 * UPDATES) as f64);
    }

    async fn measure_on_disk(&mut self, number: usize) {
        let entry = recorded(run(2), number * 7919 % self.resources, 1);
        let began = Instant::now();
        self.on_disk.append(vec![entry]).await.unwrap();
        self.on_disk_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }

    fn show(&mut self, rounds: usize) -> String {
        let (operations, bytes) = self.store.take();
        let appends = (2 * UPDATES * rounds) as f64;
        self.on_disk_ms.sort_by(f64::total_cmp);
        format!(
            "| {} | {:.3} | {:.0} | {:.1} | {:.2} | {} | {} | {:.1} | {:.0} |",
            self.resources,
            operations as f64 / appends,
            bytes as f64 / appends,
            self.cpu_us,
            self.on_disk_ms[self.on_disk_ms.len() / 2],
            self.lease_bytes,
            self.open_operations,
            self.open_bytes as f64 / 1e6,
            self.open_cpu_us / 1e3,
        )
    }
}

/// The sizes take turns, so that other work on the machine falls on all of them.
#[tokio::test]
#[ignore = "a measurement, run by benches/state.sh"]
async fn table() {
    let mut lines = Vec::new();
    for resources in SIZES {
        lines.push(Line::of(resources).await);
    }
    for round in 0..ROUNDS {
        for line in &mut lines {
            line.measure(round).await;
        }
    }
    for number in 0..APPENDS_ON_DISK {
        for line in &mut lines {
            line.measure_on_disk(number).await;
        }
    }
    println!(
        "| resources | append: operations | bytes written | CPU µs | on disk ms | lease: bytes written | open: operations | MB read | CPU ms |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for mut line in lines {
        println!("{}", line.show(ROUNDS));
    }
}

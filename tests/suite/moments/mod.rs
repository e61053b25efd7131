//! No unsafe moment: after every call of an edit, access lies between what both its ends allow and what either does.
//!
//! A seed is a chain of edits of one kind in one sandbox: each makes other arguments of the last ones, some after
//! somebody else changed the resource by hand. After each call the sandbox says what it allows then.
//! `OPORA_EDITS` sets how many edits are made, `OPORA_EDIT_SEED` makes one chain alone.

mod conformance;
mod edits;
mod network;
mod orders;
mod policies;
mod replacements;
mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opora::sandbox::Moment;

use edits::GENERATORS;
use stage::Stage;

/// Edits of one chain, whose world is made once: few of many chains, or many of fewer where many are asked for.
const EDITS_PER_CHAIN: u64 = 25;
const EDITS_PER_CHAIN_MAX: u64 = 250;
/// Edits that a plain `cargo test` makes.
const EDITS_DEFAULT: u64 = 550;
/// How often what was wanted is read back, and an edit goes from what somebody else left.
const READ_EVERY: u64 = 8;

/// A small generator of numbers, the same everywhere (SplitMix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Returns what is wrong with the moments of one edit, if anything is.
pub fn judged(moments: &[Moment]) -> Result<(), String> {
    let [first, between @ .., last] = moments else { return Ok(()) };
    let calls: Vec<&str> = moments[1..].iter().map(|moment| moment.operation.as_str()).collect();
    for moment in between {
        let breaches = moment.access.between(&first.access, &last.access);
        if !breaches.is_empty() {
            let breaches: Vec<String> = breaches.iter().take(5).map(ToString::to_string).collect();
            return Err(format!("after {} of {calls:?}:\n  {}", moment.operation, breaches.join("\n  ")));
        }
    }
    Ok(())
}

/// What a chain did.
#[derive(Default)]
struct Tally {
    edits: u64,
    /// Calls that left a moment other than the edit's ends.
    moments: u64,
    seconds: f64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.edits += other.edits;
        self.moments += other.moments;
        self.seconds += other.seconds;
    }
}

async fn chain(seed: u64, edits: u64) -> Result<Tally, String> {
    let only = std::env::var("OPORA_KIND").ok();
    let mine: Vec<_> = GENERATORS.iter().filter(|it| only.as_ref().is_none_or(|only| only == it.kind)).collect();
    let generator = mine[usize::try_from(seed).unwrap() % mine.len()];
    let mut rng = Rng::new(seed);
    let mut stage = Stage::new(generator, seed).await;
    let mut tally = Tally::default();
    for edit in 0..edits {
        let mut wanted = (generator.edit)(&mut rng, &stage, &stage.last);
        while !stage.kind.check(&wanted).is_empty() || !(generator.fits)(&wanted) {
            wanted = (generator.edit)(&mut rng, &stage, &stage.last);
        }
        let drifted = edit % READ_EVERY == READ_EVERY - 1;
        if drifted {
            (generator.drift)(&mut rng, &stage).await;
        }
        let moments = stage.edit(&wanted, drifted).await.map_err(|error| {
            format!("{} seed {seed} edit {edit}: {error}\n from {}\n to   {wanted}", generator.kind, stage.last)
        })?;
        tally.edits += 1;
        tally.moments += moments.len().saturating_sub(2) as u64;
        judged(&moments).map_err(|problem| {
            let drifted = if drifted { ", after somebody changed it by hand" } else { "" };
            format!(
                "{} seed {seed} edit {edit}{drifted}: {problem}\n from {}\n to   {wanted}",
                generator.kind, stage.last
            )
        })?;
        stage.last = wanted;
    }
    Ok(tally)
}

/// Runs chains on two threads, and collects what fails.
fn run(seeds: std::ops::Range<u64>, edits: u64) -> (BTreeMap<&'static str, Tally>, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut tallies, mut failures) = (BTreeMap::<&'static str, Tally>::new(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failures.len() >= 3 {
                return (tallies, failures);
            }
            let kind = GENERATORS[usize::try_from(seed).unwrap() % GENERATORS.len()].kind;
            let began = Instant::now();
            match runtime.block_on(chain(seed, edits)) {
                Ok(mut tally) => {
                    tally.seconds = began.elapsed().as_secs_f64();
                    tallies.entry(kind).or_default().add(&tally);
                }
                Err(failure) => failures.push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let (mut tallies, mut failures) = (BTreeMap::<&'static str, Tally>::new(), Vec::new());
        for thread in threads {
            let (some, failed) = thread.join().unwrap();
            for (kind, tally) in some {
                tallies.entry(kind).or_default().add(&tally);
            }
            failures.extend(failed);
        }
        (tallies, failures)
    })
}

#[test]
fn no_edit_has_an_unsafe_moment() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let edits = number("OPORA_EDITS").unwrap_or(EDITS_DEFAULT);
    let replayed = number("OPORA_EDIT_SEED");
    let many = replayed.is_some() || edits >= EDITS_PER_CHAIN_MAX * 2 * GENERATORS.len() as u64;
    let per_chain = if many { EDITS_PER_CHAIN_MAX } else { EDITS_PER_CHAIN };
    let seeds = match replayed {
        Some(seed) => seed..seed + 1,
        None => 0..edits.div_ceil(per_chain),
    };
    let began = Instant::now();
    let (tallies, failures) = run(seeds, per_chain);
    for (kind, tally) in &tallies {
        println!("{kind}: {} edits, {} moments between their ends, {:.0} s", tally.edits, tally.moments, tally.seconds);
    }
    println!("{} edits in {:.0} s", tallies.values().map(|it| it.edits).sum::<u64>(), began.elapsed().as_secs_f64());
    assert!(tallies.values().all(|tally| tally.edits > 0), "{:?}", tallies.keys());
    let replay = "OPORA_EDIT_SEED=<seed> cargo test --test suite no_edit_has_an_unsafe_moment -- --nocapture";
    assert!(failures.is_empty(), "{}\nto replay one: {replay}", failures.join("\n\n"));
}

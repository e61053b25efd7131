//! The examples, killed at their calls: created, updated, replaced, renewed and destroyed.
//!
//! `OPORA_STRIDE=1` kills at every call, `OPORA_KILL="core update 40 2"` replays one: example, edit, call, moment.

use std::sync::Mutex;

use super::lives::{Edit, lives};
use super::mortal::{Fate, MOMENTS};
use super::{End, Life, block_on, number, on_all_cores};

/// Of how many kills a plain `cargo test` takes one.
const STRIDE: usize = 389;

/// An example after each of its edits, undisturbed; the first one is before all.
struct Calm {
    name: &'static str,
    edits: Vec<Edit>,
    lives: Vec<Life>,
    /// How many calls each edit takes.
    calls: Vec<u64>,
}

impl Calm {
    async fn new(name: &'static str, edits: Vec<Edit>) -> Self {
        let (mut lives, mut calls) = (vec![Life::new(1)], Vec::new());
        for edit in &edits {
            let life = lives.last().expect("the first is there").fork().await;
            calls.push(life.converge(&life.load(&edit.yaml), edit.destroy).await);
            lives.push(life);
        }
        Self { name, edits, lives, calls }
    }

    /// Is killed at a call of an edit, and made good by a plain run.
    async fn play(&self, kill: Kill) {
        let (edit, life) = (&self.edits[kill.edit], self.lives[kill.edit].fork().await);
        let environment = life.load(&edit.yaml);
        let end = life.process(&Fate::new(kill.at, MOMENTS[kill.moment]), &environment, edit.destroy).await;
        assert!(matches!(end, End::Killed), "call {} is made: {end:#?}", kill.at);
        life.converge(&environment, edit.destroy).await;
        assert_eq!(life.inventory(), self.lives[kill.edit + 1].inventory());
    }

    /// Returns a kill at each moment of each call.
    fn kills(&self) -> Vec<Kill> {
        let edit = |(edit, calls): (usize, &u64)| {
            let one = move |at| (0..MOMENTS.len()).map(move |moment| Kill { edit, at, moment });
            (1..=*calls).flat_map(one)
        };
        self.calls.iter().enumerate().flat_map(edit).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kill {
    edit: usize,
    at: u64,
    moment: usize,
}

#[test]
fn killed_at_every_call() {
    let stride = number("OPORA_STRIDE").map_or(STRIDE, |stride| stride.max(1) as usize);
    let only = std::env::var("OPORA_KILL").ok();
    let calm = Mutex::new(Vec::new());
    let lives = Mutex::new(lives(|_| "memory:".to_owned()));
    let failed = on_all_cores(vec!["one".to_owned(), "the other".to_owned()], |_| {
        let (name, edits) = lives.lock().unwrap().pop().expect("there are two examples");
        let life = block_on(Calm::new(name, edits));
        calm.lock().unwrap().push(life);
    });
    assert!(failed.is_empty(), "an undisturbed life fails: {failed:#?}");
    let calm: Vec<Calm> = calm.into_inner().unwrap();
    let mut cases = Vec::new();
    for calm in &calm {
        println!("{}: {:?} calls of its edits", calm.name, calm.calls);
        cases.extend(calm.kills().into_iter().map(|kill| {
            (format!("{} {} {} {}", calm.name, calm.edits[kill.edit].name, kill.at, kill.moment), calm, kill)
        }));
    }
    let all = cases.len();
    let chosen: Vec<_> = match &only {
        Some(only) => cases.into_iter().filter(|(name, ..)| name == only).collect(),
        None => cases.into_iter().step_by(stride).collect(),
    };
    println!("{} of {all} kills", chosen.len());
    assert!(!chosen.is_empty(), "no such kill");
    let failed = on_all_cores(chosen.iter().map(|(name, ..)| name.clone()).collect(), |name| {
        let (_, calm, kill) = chosen.iter().find(|(found, ..)| found == name).expect("it was chosen");
        block_on(calm.play(*kill));
    });
    for failure in &failed {
        let (kill, why) = failure.split_once(": ").unwrap_or((failure, ""));
        println!("OPORA_KILL=\"{kill}\" cargo test --test suite simulation::examples\n{why}\n");
    }
    assert!(failed.is_empty(), "{} kills are not made good; the commands that play them again are above", failed.len());
}

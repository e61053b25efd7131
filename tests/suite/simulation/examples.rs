//! The examples, killed at their calls: create, update, replace and destroy.

use super::mortal::{Fate, MOMENTS};
use super::{End, Life, block_on, number, on_all_cores};

/// Of how many calls a plain `cargo test` takes one.
const STRIDE: u64 = 97;

/// The lives of the examples: what stands in their specs, one edit after the other.
fn lives() -> Vec<(&'static str, Vec<(String, bool)>)> {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/examples/{name}/opora.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    ["core", "research"]
        .into_iter()
        .map(|name| {
            let spec = read(name);
            (name, vec![(spec.clone(), false), (spec, true)])
        })
        .collect()
}

/// Lives up to an edit, is killed at a call of that one, and makes it good.
async fn play(name: &str, edit: usize, at: u64, moment: usize) {
    let lives = lives();
    let (_, edits) = lives.iter().find(|(found, _)| *found == name).expect("an example");
    let (life, calm) = (Life::new(1), Life::new(1));
    for (number, (yaml, destroy)) in edits[..=edit].iter().enumerate() {
        calm.converge(&calm.load(yaml), *destroy).await;
        let environment = life.load(yaml);
        if number == edit {
            let end = life.process(&Fate::new(at, MOMENTS[moment]), &environment, *destroy).await;
            assert!(matches!(end, End::Killed), "call {at} is made");
        }
        life.converge(&environment, *destroy).await;
    }
    assert_eq!(life.inventory(), calm.inventory());
}

#[test]
fn killed_at_every_call() {
    let stride = number("OPORA_STRIDE").unwrap_or(STRIDE);
    let mut cases = Vec::new();
    for (name, edits) in lives() {
        let life = Life::new(1);
        for (edit, (yaml, destroy)) in edits.iter().enumerate() {
            let calls = block_on(life.converge(&life.load(yaml), *destroy));
            let all = (1..=calls).flat_map(|at| (0..MOMENTS.len()).map(move |moment| (at, moment)));
            let some = all.enumerate().filter(|(number, _)| (*number as u64).is_multiple_of(stride));
            cases.extend(some.map(|(_, (at, moment))| format!("{name} {edit} {at} {moment}")));
        }
    }
    println!("{} kills", cases.len());
    let failed = on_all_cores(cases, |case| {
        let parts: Vec<&str> = case.split(' ').collect();
        let parse = |text: &str| text.parse::<u64>().expect("a number");
        block_on(play(parts[0], parse(parts[1]) as usize, parse(parts[2]), parse(parts[3]) as usize));
    });
    assert!(failed.is_empty(), "{} kills are not made good: {failed:#?}", failed.len());
}

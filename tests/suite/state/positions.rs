//! Every kind of damage at every kind of place of the log: named, repaired where that can be proved, else left alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use opora::state::{Damage, PACK_LENGTH, Remedy, Repaired, State, StateError, StateLog, Store, memory};

use super::damage::{Harm, everything, harmed};
use super::{FakeClock, log_path};

type Objects = Vec<(String, Bytes)>;

/// What repair may do about damage at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// The pack has a copy that the entries around it prove.
    PutBack,
    /// It says again what the entries say.
    TakenAway,
    /// No copy of it exists.
    LeftAlone,
    /// It is the end of the log.
    End,
}

/// Returns the places: what is there, and what repair may do about damage to it.
fn places(all: &Objects) -> Vec<(&'static str, String, Expected)> {
    let of = |folder: &str| all.iter().map(|(path, _)| path.clone()).filter(|path| path.starts_with(folder)).collect();
    let (log, snapshots, packs): (Vec<String>, Vec<String>, Vec<String>) = (of("log/"), of("snapshot/"), of("pack/"));
    let newer = log.iter().position(|path| snapshots[1].ends_with(&path["log/".len()..])).unwrap();
    let alone = PACK_LENGTH as usize;
    assert!(newer > alone + 1 && log.len() > newer + 2, "{newer} {}", log.len());
    vec![
        ("the first entry", log[0].clone(), Expected::PutBack),
        ("an entry in a pack", log_path(100), Expected::PutBack),
        ("the last entry of a pack", log_path(PACK_LENGTH), Expected::PutBack),
        ("the first entry that stands alone", log_path(PACK_LENGTH + 1), Expected::LeftAlone),
        ("an entry between the snapshots", log[alone + 1].clone(), Expected::LeftAlone),
        ("the entry of the newer snapshot", log[newer].clone(), Expected::LeftAlone),
        ("an entry after the snapshots", log[newer + 1].clone(), Expected::LeftAlone),
        ("the last entry", log[log.len() - 1].clone(), Expected::End),
        ("the pack", packs[0].clone(), Expected::TakenAway),
        ("the older snapshot", snapshots[0].clone(), Expected::TakenAway),
        ("the newer snapshot", snapshots[1].clone(), Expected::TakenAway),
    ]
}

fn harms() -> [(&'static str, Harm); 8] {
    [
        ("torn in the middle", Harm::Cut { at: 90 }),
        ("without its last byte", Harm::Cut { at: usize::MAX }),
        ("empty", Harm::Cut { at: 0 }),
        ("with a flipped bit", Harm::Flip { at: 77, bit: 3 }),
        ("with a gap", Harm::Drop { at: 60, length: 9 }),
        ("with foreign bytes", Harm::Insert { at: 60, bytes: b"\0\0".to_vec() }),
        ("another of its kind", Harm::Swap { with: 1 }),
        ("missing", Harm::Delete),
    ]
}

async fn store_of(all: &Objects, changed: &BTreeMap<String, Option<Bytes>>) -> (Arc<dyn Store>, StateLog) {
    let store = memory();
    for (path, bytes) in all {
        let bytes = changed.get(path).cloned().unwrap_or_else(|| Some(bytes.clone()));
        if let Some(bytes) = bytes {
            store.create(path, bytes).await.unwrap();
        }
    }
    let log = StateLog::on(store.clone(), FakeClock::new());
    (store, log)
}

/// Reads the state: the whole one, or a refusal that names what is damaged.
async fn whole_or_named(log: &StateLog, whole: &State, what: &str) -> Option<String> {
    match log.load().await {
        Ok(state) => {
            assert!(state == *whole, "{what}: another state");
            None
        }
        Err(StateError::Corrupt(problem)) => Some(problem.object),
        Err(error) => panic!("{what}: {error}"),
    }
}

async fn check(all: &Objects, whole: &State, place: &(&str, String, Expected), harm: &(&str, Harm)) {
    let (name, path, expected) = place;
    let what = format!("{name} {}", harm.0);
    let object = all.iter().position(|(other, _)| other == path).unwrap();
    let harm = match &harm.1 {
        Harm::Cut { at: usize::MAX } => Harm::Cut { at: all[object].1.len() - 1 },
        other => other.clone(),
    };
    let new = harmed(all, object, &harm);
    if new.as_ref() == Some(&all[object].1) {
        return;
    }
    let derived = *expected == Expected::TakenAway;
    // The end of a log that is not there can't be missed, and what is derived need not be there.
    let silent = new.is_none() && (derived || *expected == Expected::End);
    let (store, log) = store_of(all, &BTreeMap::from([(path.clone(), new.clone())])).await;
    let problems = log.verify().await.unwrap();
    if silent {
        assert_eq!(problems, Vec::new(), "{what}");
        return;
    }
    let named: Vec<&str> = problems.iter().map(|problem| problem.object.as_str()).collect();
    assert_eq!(named, [path], "{what}: what is damaged is named, and nothing else");
    let refused = whole_or_named(&log, whole, &what).await;
    assert!(refused.as_ref().is_none_or(|object| object == path), "{what}: {refused:?}");
    // What is proposed is what is done, and nothing is done that is not told.
    let proposals = log.propose_repair().await.unwrap();
    assert_eq!(log.verify().await.unwrap(), problems, "{what}: a proposal changes nothing");
    let repairs = log.repair().await.unwrap();
    assert_eq!((proposals.len(), repairs.len()), (1, 1), "{what}");
    let told = match (&proposals[0].remedy, &repairs[0].repaired) {
        (Remedy::Restore, Repaired::Restored) => Expected::PutBack,
        (Remedy::Remove, Repaired::Removed) if derived => Expected::TakenAway,
        (Remedy::Remove, Repaired::Removed) => Expected::End,
        (Remedy::Leave(_), Repaired::Refused(_)) => Expected::LeftAlone,
        other => panic!("{what}: {other:?}"),
    };
    // Only a torn end is known to be one that nobody relies on; what was whole once is left for people.
    let torn = problems[0].damage == Damage::Torn;
    let wanted = if *expected == Expected::End && !torn { Expected::LeftAlone } else { *expected };
    assert_eq!(told, wanted, "{what}");
    match told {
        Expected::PutBack | Expected::TakenAway => {
            assert_eq!(log.verify().await.unwrap(), [], "{what}");
            assert_eq!(whole_or_named(&log, whole, &what).await, None, "{what}");
        }
        Expected::LeftAlone => {
            assert_eq!(log.verify().await.unwrap(), problems, "{what}: a refusal changes nothing");
            assert_eq!(whole_or_named(&log, whole, &what).await, refused, "{what}");
        }
        Expected::End => {
            assert_eq!(log.verify().await.unwrap(), [], "{what}");
            assert_eq!(log.load().await.unwrap().number, whole.number - 1, "{what}");
        }
    }
    if told == Expected::PutBack {
        assert_eq!(store.get(path).await.unwrap().as_ref(), Some(&all[object].1), "{what}: the same bytes");
    }
    // What was there is kept aside, whatever it was.
    let kept = store.list("quarantine", None).await.unwrap().len();
    let moved = told != Expected::LeftAlone && new.is_some();
    assert_eq!(kept, usize::from(moved), "{what}");
}

#[tokio::test]
async fn every_damage_at_every_place_is_named_and_repaired_only_where_it_can_be_proved() {
    let (all, whole) = everything().await;
    for place in &places(&all) {
        for harm in &harms() {
            check(&all, &whole, place, harm).await;
        }
    }
}

#[tokio::test]
async fn an_entry_whose_copy_is_damaged_too_is_left_alone() {
    let (all, whole) = everything().await;
    let pack = all.iter().position(|(path, _)| path.starts_with("pack/")).unwrap();
    let entry = all.iter().position(|(path, _)| *path == log_path(100)).unwrap();
    let text = String::from_utf8(all[pack].1.to_vec()).unwrap();
    let line = text.lines().nth(99).unwrap();
    let forged = text.replace(line, &line.replace("\"n\":", "\"m\":"));
    assert_ne!(forged, text);
    for pack_now in [None, Some(Bytes::from(forged)), harmed(&all, pack, &Harm::Cut { at: 200 })] {
        let entry_now = harmed(&all, entry, &Harm::Flip { at: 40, bit: 1 });
        let changed = BTreeMap::from([(all[pack].0.clone(), pack_now), (all[entry].0.clone(), entry_now)]);
        let (_, log) = store_of(&all, &changed).await;
        let repairs = log.repair().await.unwrap();
        let of_entry: Vec<_> = repairs.iter().filter(|repair| repair.problem.object == all[entry].0).collect();
        assert!(matches!(of_entry.as_slice(), [one] if matches!(one.repaired, Repaired::Refused(_))), "{repairs:?}");
        // A snapshot holds what the entry said; without one nothing is read.
        assert_eq!(whole_or_named(&log, &whole, "a snapshot").await, None);
    }
}

#[tokio::test]
async fn without_snapshots_a_lost_entry_stops_every_reader() {
    let (all, whole) = everything().await;
    let gone = |path: &str| path.starts_with("snapshot/") || path.starts_with("pack/");
    let mut changed: BTreeMap<String, Option<Bytes>> =
        all.iter().filter(|(path, _)| gone(path)).map(|(path, _)| (path.clone(), None)).collect();
    let (_, log) = store_of(&all, &changed).await;
    assert_eq!(whole_or_named(&log, &whole, "entries alone").await, None);
    changed.insert(log_path(100), None);
    let (_, log) = store_of(&all, &changed).await;
    assert_eq!(whole_or_named(&log, &whole, "one is lost").await, Some(log_path(100)));
    assert!(log.acquire(super::run(9), "next", super::TTL).await.is_err(), "no run builds on it");
    assert!(log.join(super::run(9)).await.is_err());
}

//! Torn, truncated, flipped, missing and foreign objects: found, named, and never guessed at.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use opora::state::{
    Action, Damage, LocalStore, Outcome, PACK_LENGTH, Repaired, StateError, StateLog, Store, memory, redacted,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{FakeClock, TTL, intent, ledger, log_path, recorded, run, write_some};

async fn replace(store: &Arc<dyn Store>, path: &str, bytes: impl Into<Bytes>) {
    store.delete(path).await.unwrap();
    store.create(path, bytes.into()).await.unwrap();
}

/// A log of seven objects with one resource.
async fn small() -> (Arc<dyn Store>, StateLog) {
    let store = memory();
    let log = StateLog::on(store.clone(), FakeClock::new());
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    writer.append(vec![intent(run(1), 7, 1, Action::Create)]).await.unwrap();
    writer.append(vec![recorded(run(1), 7, 1)]).await.unwrap();
    super::append_some(&writer, 3).await;
    writer.release().await.unwrap();
    (store, log)
}

fn damage_of(error: &StateError) -> (u64, Damage) {
    match error {
        StateError::Corrupt(problem) => (problem.number.unwrap(), problem.damage.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_flipped_bit_of_an_entry_is_found_and_named() {
    let (store, log) = small().await;
    let whole = store.get(&log_path(3)).await.unwrap().unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        replace(&store, &log_path(3), flipped).await;
        let error = log.load().await.unwrap_err();
        assert_eq!(damage_of(&error).0, 3, "byte {at}: {error}");
        let problems = log.verify().await.unwrap();
        assert_eq!(problems.len(), 1, "byte {at}: {problems:?}");
        assert_eq!(problems[0].number, Some(3));
    }
}

#[tokio::test]
async fn every_truncation_is_found_and_what_is_left_is_told() {
    let (store, log) = small().await;
    let whole = store.get(&log_path(3)).await.unwrap().unwrap();
    for length in 0..whole.len() {
        replace(&store, &log_path(3), whole.slice(..length)).await;
        let error = log.load().await.unwrap_err();
        assert_eq!(damage_of(&error), (3, Damage::Torn), "{length} bytes");
    }
    let problems = log.verify().await.unwrap();
    assert_eq!(problems[0].held.as_deref(), Some("recorded s3_bucket.many[\"000007\"] as bucket-7-1"));
}

#[tokio::test]
async fn a_missing_entry_is_named() {
    let (store, log) = small().await;
    store.delete(&log_path(4)).await.unwrap();
    assert_eq!(damage_of(&log.load().await.unwrap_err()), (4, Damage::Missing));
    assert!(matches!(log.acquire(run(2), "next", TTL).await, Err(StateError::Corrupt(_))), "no run builds on it");
    let problems = log.verify().await.unwrap();
    assert_eq!((problems.len(), &problems[0].damage), (1, &Damage::Missing));
    let repairs = log.repair().await.unwrap();
    assert!(matches!(&repairs[0].repaired, Repaired::Refused(_)));
    assert_eq!(log.verify().await.unwrap(), problems, "a refusal changes nothing");
}

#[tokio::test]
async fn an_entry_of_another_history_is_found() {
    let (store, log) = small().await;
    let mut object: Value = serde_json::from_slice(&store.get(&log_path(4)).await.unwrap().unwrap()).unwrap();
    object["entries"][0]["record"] = json!({ "n": "forged" });
    replace(&store, &log_path(4), sealed(object)).await;
    assert_eq!(damage_of(&log.load().await.unwrap_err()), (5, Damage::Misplaced), "5 follows another 4");
}

#[tokio::test]
async fn a_torn_last_object_is_taken_away_by_repair_and_kept_aside() {
    let (store, log) = small().await;
    let last = store.get(&log_path(7)).await.unwrap().unwrap();
    replace(&store, &log_path(7), last.slice(..40)).await;
    assert_eq!(damage_of(&log.load().await.unwrap_err()), (7, Damage::Torn));
    let repairs = log.repair().await.unwrap();
    assert_eq!((repairs.len(), &repairs[0].repaired), (1, &Repaired::Removed));
    assert_eq!(log.load().await.unwrap().number, 6);
    assert_eq!(log.verify().await.unwrap(), []);
    assert_eq!(store.list("quarantine", None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn entries_in_a_pack_are_restored_from_it_and_others_are_not() {
    let store = memory();
    let log = StateLog::on(store.clone(), FakeClock::new());
    write_some(&log, run(1), PACK_LENGTH as usize + 20).await;
    let whole = store.get(&log_path(100)).await.unwrap().unwrap();
    let loaded = log.load().await.unwrap();
    replace(&store, &log_path(100), "nonsense").await;
    store.delete(&log_path(101)).await.unwrap();
    assert_eq!(log.load().await.unwrap(), loaded, "the pack has them");
    let problems = log.verify().await.unwrap();
    let named: Vec<_> = problems.iter().map(|problem| (problem.number.unwrap(), &problem.damage)).collect();
    assert_eq!(named, [(100, &Damage::Torn), (101, &Damage::Missing)]);
    assert_eq!(problems[1].held.as_deref(), Some("ledger jobs/99"));
    let repairs = log.repair().await.unwrap();
    assert!(repairs.iter().all(|repair| repair.repaired == Repaired::Restored), "{repairs:?}");
    assert_eq!(store.get(&log_path(100)).await.unwrap().unwrap(), whole);
    assert_eq!(log.verify().await.unwrap(), []);
}

#[tokio::test]
async fn damaged_packs_and_snapshots_are_named_and_never_needed() {
    let store = memory();
    let log = StateLog::on(store.clone(), FakeClock::new()).with_snapshot_floor(1);
    write_some(&log, run(1), PACK_LENGTH as usize + 20).await;
    write_some(&log, run(2), 5).await;
    let loaded = log.load().await.unwrap();
    let snapshot = format!("snapshot/{}", store.list("snapshot", None).await.unwrap().last().unwrap());
    let pack = format!("pack/{}", store.list("pack", None).await.unwrap()[0]);
    for path in [&snapshot, &pack] {
        let mut bytes = store.get(path).await.unwrap().unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        replace(&store, path, bytes).await;
        assert_eq!(log.load().await.unwrap(), loaded, "{path}");
    }
    let mut named: Vec<String> = log.verify().await.unwrap().into_iter().map(|problem| problem.object).collect();
    named.sort();
    assert_eq!(named, [pack, snapshot]);
    log.repair().await.unwrap();
    assert_eq!(log.verify().await.unwrap(), []);
    assert_eq!(log.load().await.unwrap(), loaded);
}

/// Gives a JSON object the checksum that it should have.
fn sealed(mut object: Value) -> String {
    object.as_object_mut().unwrap().remove("checksum");
    let mut text = object.to_string();
    text.pop();
    let checksum = hex::encode(Sha256::digest(text.as_bytes()));
    format!("{text},\"checksum\":\"{checksum}\"}}\n")
}

#[tokio::test]
async fn words_of_a_newer_opora_stop_every_reader() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("version", |object| object["version"] = json!(2)),
        ("member", |object| object["shard"] = json!(1)),
        ("type", |object| object["entries"][0]["type"] = json!("rehearsed")),
        ("field", |object| object["entries"][0]["colour"] = json!("red")),
    ];
    for (what, change) in changes {
        let (store, log) = small().await;
        let mut object: Value = serde_json::from_slice(&store.get(&log_path(7)).await.unwrap().unwrap()).unwrap();
        change(&mut object);
        replace(&store, &log_path(7), sealed(object)).await;
        let error = log.load().await.unwrap_err();
        assert!(matches!(error, StateError::Newer { number: 7, .. }), "{what}: {error}");
        assert_eq!(error.into_diagnostic().code, "STATE004");
        assert!(log.verify().await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn resource_entries_written_without_the_lease_are_named() {
    let (store, log) = small().await;
    let last = store.get(&log_path(7)).await.unwrap().unwrap();
    let object = json!({
        "version": 1, "number": 8, "previous": hex::encode(Sha256::digest(&last)),
        "time": "2027-01-15T08:00:00Z", "writer": run(9),
        "entries": [{ "type": "run_finished", "run": run(9), "outcome": Outcome::Failed }],
    });
    store.create(&log_path(8), sealed(object).into()).await.unwrap();
    let problems = log.verify().await.unwrap();
    assert_eq!((problems[0].number, &problems[0].damage), (Some(8), &Damage::Unleased));
}

#[tokio::test]
async fn no_secret_is_written() {
    let store = memory();
    let log = StateLog::on(store.clone(), FakeClock::new());
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    writer.secrets().forbid("hunter2-hunter2");
    let with = |value: Value| vec![ledger("a", json!({ "deep": [value] }))];
    for exposed in [
        json!("postgres://app:hunter2-hunter2@db"),
        json!({ "$secret": "plain" }),
        json!("-----BEGIN EC PRIVATE KEY-----\nMHc"),
    ] {
        let error = writer.append(with(exposed)).await.unwrap_err();
        assert!(matches!(error, StateError::Secret { .. }));
        assert!(!format!("{error:?} {:?}", error.clone().into_diagnostic()).contains("hunter2"));
    }
    writer.append(with(redacted(b"environment", b"hunter2-hunter2"))).await.unwrap();
    for name in store.list("log", None).await.unwrap() {
        let bytes = store.get(&format!("log/{name}")).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_and_folders_are_private_and_nothing_is_left_staged() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep").join("state");
    let log = StateLog::on(Arc::new(LocalStore::new(&root)), FakeClock::new()).with_snapshot_floor(1);
    write_some(&log, run(1), 3).await;
    std::fs::write(root.join("tmp").join("left-by-a-kill"), "{").unwrap();
    write_some(&log, run(2), 3).await;
    let mut folders = vec![root.clone()];
    let mut files = 0;
    while let Some(at) = folders.pop() {
        assert_eq!(at.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", at.display());
        for item in std::fs::read_dir(&at).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 8);
    assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_place_that_cant_be_read_is_an_error_and_not_an_empty_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, "not a folder").unwrap();
    let log = StateLog::open(file.to_str().unwrap(), None, FakeClock::new()).unwrap();
    assert_eq!(log.load().await.unwrap_err().into_diagnostic().code, "STATE009");
    for location in ["", "gs://bucket/x", "s3://bucket/x"] {
        let error = StateLog::open(location, None, FakeClock::new()).unwrap_err();
        assert_eq!(error.into_diagnostic().code, "STATE011", "{location}");
    }
}

/// What may happen to the bytes of an object.
#[derive(Debug, Clone)]
pub(super) enum Harm {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    Drop { at: usize, length: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Swap { with: usize },
    Delete,
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || any::<usize>();
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        2 => at().prop_map(|at| Harm::Cut { at }),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Harm::Drop { at, length }),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Harm::Insert { at, bytes }),
        1 => at().prop_map(|with| Harm::Swap { with }),
        1 => Just(Harm::Delete),
    ]
}

/// All objects of a log that has a pack, two snapshots and entries that stand alone.
pub(super) async fn everything() -> (Vec<(String, Bytes)>, opora::state::State) {
    let store = memory();
    let log = StateLog::on(store.clone(), FakeClock::new()).with_snapshot_floor(1);
    write_some(&log, run(1), PACK_LENGTH as usize + 5).await;
    write_some(&log, run(2), 5).await;
    let writer = log.acquire(run(3), "tester", TTL).await.unwrap();
    writer.append(vec![recorded(run(3), 7, 1)]).await.unwrap();
    writer.release().await.unwrap();
    let mut all = Vec::new();
    for folder in ["pack", "snapshot", "log"] {
        for name in store.list(folder, None).await.unwrap() {
            let path = format!("{folder}/{name}");
            all.push((path.clone(), store.get(&path).await.unwrap().unwrap()));
        }
    }
    (all, log.load().await.unwrap())
}

pub(super) fn harmed(all: &[(String, Bytes)], object: usize, harm: &Harm) -> Option<Bytes> {
    let mut bytes = all[object].1.to_vec();
    match harm {
        Harm::Flip { at, bit } => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        Harm::Cut { at } => bytes.truncate(at % bytes.len()),
        Harm::Drop { at, length } => {
            let at = at % bytes.len();
            bytes.drain(at..bytes.len().min(at + length));
        }
        Harm::Insert { at, bytes: new } => {
            let at = at % (bytes.len() + 1);
            bytes.splice(at..at, new.iter().copied());
        }
        Harm::Swap { with } => {
            let folder = all[object].0.split_once('/').unwrap().0;
            let alike: Vec<_> = all.iter().filter(|(path, _)| path.starts_with(folder)).collect();
            bytes = alike[with % alike.len()].1.to_vec();
        }
        Harm::Delete => return None,
    }
    Some(bytes.into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_an_object_is_named_and_never_reads_as_another_state(
        object in any::<prop::sample::Index>(), few in 0..16_usize, derived in any::<bool>(), harm in harm(),
    ) {
        static ALL: OnceLock<(Vec<(String, Bytes)>, opora::state::State)> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (all, whole) = ALL.get_or_init(|| runtime.block_on(everything()));
        // The few derived objects and the entries that stand alone are as often as all others.
        let object = if derived { few.min(2) } else { object.index(all.len()) };
        let (path, bytes) = &all[object];
        let new = harmed(all, object, &harm);
        // Packs and snapshots that are not there are not damage, and an end that is not there can't be seen.
        let is_last = object == all.len() - 1;
        let no_damage = new.is_none() && (is_last || !path.starts_with("log/"));
        prop_assume!(new.as_ref() != Some(bytes));
        runtime.block_on(async {
            let store = memory();
            for (index, (path, bytes)) in all.iter().enumerate() {
                let bytes = if index == object { new.clone() } else { Some(bytes.clone()) };
                if let Some(bytes) = bytes {
                    store.create(path, bytes).await.unwrap();
                }
            }
            let log = StateLog::on(store, FakeClock::new());
            let problems = log.verify().await.unwrap();
            match log.load().await {
                Ok(state) => prop_assert!(state == *whole || (is_last && new.is_none()), "another state"),
                Err(StateError::Corrupt(problem)) => prop_assert_eq!(&problem.object, path),
                Err(error) => prop_assert!(false, "{}", error),
            }
            let named = problems.iter().any(|problem| problem.object == *path);
            prop_assert!(named || no_damage, "{:?}", problems);
            Ok(())
        })?;
    }
}

//! The fold: what entries add up to, and that snapshots and packs change nothing of it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use opora::graph::Address;
use opora::state::{Action, Entry, Residue, RunId, State, StateLog, memory};
use proptest::prelude::*;
use serde_json::json;

use super::{FakeClock, TTL, address, created, intent, ledger, recorded, run};

const RUN: u128 = 1;

async fn state_after(entries: Vec<Entry>) -> State {
    let log = StateLog::on(memory(), FakeClock::new());
    let writer = log.acquire(run(RUN), "tester", TTL).await.unwrap();
    writer.append(entries).await.unwrap();
    let state = writer.state().await.unwrap();
    assert_eq!(log.load().await.unwrap(), state);
    state
}

fn deleted(number: usize, generation: u64) -> Entry {
    let id = format!("bucket-{number}-{generation}").into();
    Entry::Deleted { run: run(RUN), step: 1, address: address(number), id }
}

fn deposed(number: usize, generation: u64) -> Entry {
    let id = format!("bucket-{number}-{generation}").into();
    Entry::Deposed { address: address(number), id, kind: "s3_bucket".to_owned(), generation }
}

fn failed(number: usize, residue: Residue) -> Entry {
    Entry::Failed {
        run: run(RUN),
        step: 1,
        address: address(number),
        class: "denied".to_owned(),
        code: "AccessDenied".to_owned(),
        message: "no".to_owned(),
        request_id: None,
        residue,
    }
}

#[tokio::test]
async fn an_intent_stays_open_until_its_outcome() {
    let state = state_after(vec![intent(run(RUN), 1, 1, Action::Create)]).await;
    assert_eq!(state.intents[&address(1)][0].token, "token-1-1");
    assert_eq!(state.next_generation(&address(1)), 2, "a token is never used for another resource");

    let state = state_after(vec![intent(run(RUN), 1, 1, Action::Create), created(run(RUN), 1, 1)]).await;
    assert!(state.intents.is_empty());
    assert!(!state.resources[&address(1)].complete, "its later calls may be missing");

    let open = [Residue::Unknown, Residue::Resource("bucket-1-1".into())];
    for residue in open {
        let state = state_after(vec![intent(run(RUN), 1, 1, Action::Create), failed(1, residue)]).await;
        assert_eq!(state.intents.len(), 1);
    }
    let state = state_after(vec![intent(run(RUN), 1, 1, Action::Create), failed(1, Residue::Nothing)]).await;
    assert!(state.intents.is_empty());
}

#[tokio::test]
async fn what_is_protected_is_so_from_its_creation_on() {
    let protected = json!({ "prevent_destroy": true });
    let mut asked = intent(run(RUN), 1, 1, Action::Create);
    if let Entry::Intent { lifecycle, .. } = &mut asked {
        *lifecycle = protected.clone();
    }
    let killed = state_after(vec![asked.clone(), created(run(RUN), 1, 1)]).await;
    assert_eq!(killed.resources[&address(1)].lifecycle, protected);
    // The intent of another generation says nothing of this one.
    let other = state_after(vec![asked, created(run(RUN), 1, 2)]).await;
    assert_eq!(other.resources[&address(1)].lifecycle, json!(null));
}

#[tokio::test]
async fn a_replacement_never_loses_the_old_id() {
    let state = state_after(vec![recorded(run(RUN), 1, 1), created(run(RUN), 1, 2)]).await;
    assert_eq!(state.deposed[&address(1)][0].id.as_str(), "bucket-1-1", "even before it is said to be deposed");
    assert!(state.deposed[&address(1)][0].was.is_some());

    let rest = vec![recorded(run(RUN), 1, 1), created(run(RUN), 1, 2), deposed(1, 1), recorded(run(RUN), 1, 2)];
    let state = state_after(rest.clone()).await;
    assert_eq!(state.deposed[&address(1)].len(), 1);
    let gone = vec![intent(run(RUN), 1, 1, Action::Delete), deleted(1, 1)];
    let state = state_after(rest.into_iter().chain(gone).collect()).await;
    assert!(state.deposed.is_empty() && state.intents.is_empty());
    assert_eq!(state.resources[&address(1)].id.as_str(), "bucket-1-2");
}

#[tokio::test]
async fn a_deleted_resource_keeps_its_generation() {
    let state = state_after(vec![recorded(run(RUN), 1, 3), deleted(1, 3)]).await;
    assert!(state.resources.is_empty());
    assert_eq!(state.next_generation(&address(1)), 4);
}

#[tokio::test]
async fn a_move_takes_all_of_an_address_along_and_never_onto_another() {
    let (from, to) = (address(1), Address::new("s3_bucket", "other"));
    let moved = Entry::Moved { from: from.clone(), to: to.clone() };
    let state = state_after(vec![recorded(run(RUN), 1, 1), deposed(1, 0), moved]).await;
    assert!(state.resources.contains_key(&to) && state.deposed.contains_key(&to));
    assert_eq!(state.next_generation(&to), 2);

    let onto = Entry::Moved { from: address(1), to: address(2) };
    let state = state_after(vec![recorded(run(RUN), 1, 1), recorded(run(RUN), 2, 1), onto]).await;
    assert_eq!(state.resources.len(), 2, "nothing is lost");
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let number = 0..4_usize;
    let generation = 1..4_u64;
    (0..12_u8, number, generation, 0..4_usize).prop_map(|(which, number, generation, other)| match which {
        0 => intent(run(RUN), number, generation, Action::Create),
        1 => intent(run(RUN), number, generation, Action::Delete),
        2 => intent(run(RUN), number, generation, Action::Update),
        3 => created(run(RUN), number, generation),
        4 => recorded(run(RUN), number, generation),
        5 => deleted(number, generation),
        6 => deposed(number, generation),
        7 => failed(number, if generation == 1 { Residue::Nothing } else { Residue::Unknown }),
        8 => Entry::Moved { from: address(number), to: address(other) },
        9 => Entry::Forgotten { address: address(number), reason: "asked to".to_owned() },
        10 => ledger(number.to_string(), if generation == 1 { json!(null) } else { json!(generation) }),
        _ => {
            Entry::Refreshed { address: address(number), arguments: json!({ "g": generation }), attributes: json!({}) }
        }
    })
}

/// Groups of entries, and after which of them the run ends and another takes a snapshot.
fn any_history() -> impl Strategy<Value = Vec<(Vec<Entry>, bool)>> {
    prop::collection::vec((prop::collection::vec(any_entry(), 1..5), prop::bool::weighted(0.3)), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_the_same_with_snapshots_anywhere(history in any_history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = memory();
            let clock = FakeClock::new();
            let log = StateLog::on(store.clone(), clock.clone()).with_snapshot_floor(1);
            let mut writer = log.acquire(run(RUN), "tester", TTL).await.unwrap();
            let mut runs = 1;
            for (entries, ends) in history {
                clock.advance(SignedDuration::from_secs(1));
                writer.append(entries).await.unwrap();
                if ends {
                    writer.release().await.unwrap();
                    writer = log.acquire(RunId(uuid::Uuid::from_u128(RUN)), "tester", TTL).await.unwrap();
                    runs += 1;
                }
            }
            let mut replayed = State::default();
            let mut written = BTreeMap::new();
            for commit in log.commits().await.unwrap() {
                replayed.fold(&commit);
                for address in commit.entries.iter().filter_map(Entry::address) {
                    written.insert(address.clone(), commit.time);
                }
                // What was written about a moment ago is known as such, whatever became of it.
                let since = commit.time - SignedDuration::from_secs(3);
                let known = replayed.written_after(since);
                for (address, _) in written.iter().filter(|(_, at)| **at > since) {
                    assert!(known.contains(address), "{address} in {known:?}");
                }
                for (address, record) in &replayed.resources {
                    assert!(replayed.generations[address] >= record.generation, "{address}");
                }
            }
            assert_eq!(log.load().await.unwrap(), replayed);
            assert_eq!(writer.state().await.unwrap(), replayed);
            assert_eq!(store.list("snapshot", None).await.unwrap().len(), runs.min(2));
            assert_eq!(log.verify().await.unwrap(), []);
        });
    }
}

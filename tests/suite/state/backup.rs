//! Backups of the log: whole or refused, and a restore that is killed anywhere never shows half a state.

use std::sync::Arc;

use bytes::Bytes;
use opora::state::{
    LogCopy, Manifest, PACK_LENGTH, Restored, Role, StateError, StateLog, Store, Subject, memory, write_backup,
};

use super::faults::{Fault, Faulty};
use super::{FakeClock, TTL, recorded, run, write_some};

fn subject() -> Subject {
    Subject {
        environment: "research".to_owned(),
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        spec: "opora.yaml".to_owned(),
        inputs: Vec::new(),
        opora: "0.1.0".to_owned(),
    }
}

async fn log_of(resources: std::ops::Range<usize>) -> StateLog {
    let log = StateLog::on(memory(), FakeClock::new());
    add(&log, resources).await;
    log
}

async fn add(log: &StateLog, resources: std::ops::Range<usize>) {
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    for number in resources {
        writer.append(vec![recorded(run(1), number, 1)]).await.unwrap();
    }
    writer.release().await.unwrap();
}

async fn backup(place: &Arc<dyn Store>, copy: &LogCopy, second: i64) -> (String, Manifest) {
    let time = jiff::Timestamp::from_second(1_800_000_000 + second).unwrap();
    let spec = ("opora.yaml".to_owned(), Role::Spec, Bytes::from_static(b"opora: 1\n"));
    write_backup(place.as_ref(), time, subject(), copy, vec![spec]).await.unwrap()
}

#[tokio::test]
async fn a_backup_brings_the_whole_log_back_and_later_ones_share_what_they_can() {
    let log = log_of(0..300).await;
    let place = memory();
    let (first, _) = backup(&place, &log.copy().await.unwrap(), 1).await;
    let objects = place.list("object", None).await.unwrap().len();
    assert_eq!(objects, 3, "two chunks of the log and the spec");
    add(&log, 300..310).await;
    let (second, manifest) = backup(&place, &log.copy().await.unwrap(), 2).await;
    assert_eq!(place.list("object", None).await.unwrap().len(), objects + 1, "only the last chunk is new");
    assert_eq!(Manifest::newest(place.as_ref()).await.unwrap().as_deref(), Some(second.as_str()));
    assert_eq!(manifest.read_file(place.as_ref(), &manifest.files[0]).await.unwrap(), "opora: 1\n");

    let empty = StateLog::on(memory(), FakeClock::new());
    let old = Manifest::read(place.as_ref(), &first).await.unwrap().read_log(place.as_ref()).await.unwrap();
    assert_eq!(empty.restore(&old, false).await.unwrap(), Restored::Written);
    assert_eq!(empty.load().await.unwrap().resources.len(), 300);
    // The newer one goes on from the older.
    let new = manifest.read_log(place.as_ref()).await.unwrap();
    assert_eq!(empty.restore(&new, false).await.unwrap(), Restored::Written);
    assert_eq!(empty.load().await.unwrap(), log.load().await.unwrap());
    assert_eq!(empty.verify().await.unwrap(), []);
    // The older one would take away what came since.
    assert_eq!(empty.restore(&old, false).await.unwrap(), Restored::Differs);
    assert_eq!(empty.load().await.unwrap(), log.load().await.unwrap());
    assert_eq!(empty.restore(&old, true).await.unwrap(), Restored::Written);
    assert_eq!(empty.load().await.unwrap(), old.state);
    assert_eq!(empty.verify().await.unwrap(), []);
    add(&empty, 400..402).await;
}

#[tokio::test]
async fn a_damaged_backup_is_refused_whatever_was_damaged() {
    let log = log_of(0..3).await;
    let place = memory();
    let (name, _) = backup(&place, &log.copy().await.unwrap(), 1).await;
    let mut paths: Vec<String> =
        place.list("object", None).await.unwrap().into_iter().map(|name| format!("object/{name}")).collect();
    paths.push(format!("backup/{name}"));
    for path in paths {
        let whole = place.get(&path).await.unwrap().unwrap();
        for damaged in [None, Some(whole.slice(1..)), Some([&whole[..whole.len() - 9], b"123456789"].concat().into())] {
            place.delete(&path).await.unwrap();
            if let Some(bytes) = damaged {
                place.create(&path, bytes).await.unwrap();
            }
            let read = async {
                let manifest = Manifest::read(place.as_ref(), &name).await?;
                manifest.read_file(place.as_ref(), &manifest.files[0]).await?;
                manifest.read_log(place.as_ref()).await
            };
            let error = read.await.unwrap_err();
            assert!(matches!(error, StateError::Backup { .. }), "{path}: {error}");
        }
        place.delete(&path).await.unwrap();
        place.create(&path, whole).await.unwrap();
    }
    Manifest::read(place.as_ref(), &name).await.unwrap().read_log(place.as_ref()).await.unwrap();
}

async fn copy_of(from: &Arc<dyn Store>) -> Arc<dyn Store> {
    let to = memory();
    for folder in ["log", "pack", "snapshot"] {
        for name in from.list(folder, None).await.unwrap() {
            let path = format!("{folder}/{name}");
            to.create(&path, from.get(&path).await.unwrap().unwrap()).await.unwrap();
        }
    }
    to
}

#[tokio::test]
async fn a_restore_that_is_killed_anywhere_shows_the_old_state_or_the_new_one_or_says_that_it_is_damaged() {
    let new = log_of(0..4).await.copy().await.unwrap();
    let there = memory();
    let log = StateLog::on(there.clone(), FakeClock::new()).with_snapshot_floor(1);
    write_some(&log, run(5), PACK_LENGTH as usize + 3).await;
    write_some(&log, run(6), 1).await;
    let old = log.load().await.unwrap();
    for (begin, known) in [(memory(), None), (there, Some(&old))] {
        let mut kills = 0;
        // Every operation of a short restore, and a part of those of the long one.
        for at in (1..).map(|at| if known.is_some() && at > 20 { 20 + (at - 20) * 11 } else { at }) {
            let mut reached = false;
            for fault in [Fault::KillBefore, Fault::KillAfter] {
                let store = copy_of(&begin).await;
                let faulty = Faulty::new(store.clone(), at, fault);
                let killed = tokio::select! {
                    biased;
                    () = faulty.killed.notified() => true,
                    done = restore(faulty.clone(), &new) => { done.unwrap(); false }
                };
                reached |= killed;
                let log = StateLog::on(store, FakeClock::new());
                match log.load().await {
                    Ok(state) if state == new.state || Some(&state) == known => {}
                    Ok(state) if known.is_none() && state.number == 0 => {}
                    Ok(state) => panic!("{fault:?} at {at}: {} entries", state.number),
                    Err(StateError::Corrupt(_)) => {}
                    Err(error) => panic!("{fault:?} at {at}: {error}"),
                }
                assert_eq!(log.restore(&new, true).await.unwrap(), Restored::Written);
                assert_eq!(log.load().await.unwrap(), new.state, "{fault:?} at {at}");
                assert_eq!(log.verify().await.unwrap(), [], "{fault:?} at {at}");
            }
            kills += usize::from(reached);
            if !reached {
                break;
            }
        }
        assert!(kills > 5, "only {kills} kills");
    }
}

async fn restore(store: Arc<Faulty>, copy: &LogCopy) -> Result<Restored, StateError> {
    StateLog::on(store, FakeClock::new()).restore(copy, true).await
}

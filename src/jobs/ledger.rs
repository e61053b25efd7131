//! The ledger: jobs' records in the state's log, written only where nobody else changed them meanwhile.

use serde_json::Value;

use super::error::JobError;
use super::record::{RECORD_VERSION, Record, STREAM, base_of};
use crate::state::{Entry, State, Writer};

fn decode(key: &str, value: &Value) -> Result<Record, JobError> {
    let failed = |reason: String| JobError::Record { id: key.to_owned(), reason };
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version <= u64::from(RECORD_VERSION) => {}
        Some(version) => return Err(failed(format!("it has version {version}, this opora reads {RECORD_VERSION}"))),
        None => return Err(failed("it has no version".to_owned())),
    }
    serde_json::from_value(value.clone()).map_err(|error| failed(error.to_string()))
}

/// Returns all jobs, oldest first; a record that can't be read is an error in its place.
pub fn list(state: &State) -> Vec<Result<Record, JobError>> {
    let records = state.ledger.get(STREAM).into_iter().flatten();
    let mut out: Vec<_> =
        records.filter(|(_, value)| !value.is_null()).map(|(key, value)| decode(key, value)).collect();
    out.sort_by_key(|record| record.as_ref().ok().map(|record| (record.planned, record.attempt)));
    out
}

/// Finds a job by its id, the start of its id, or its name; of several attempts the latest.
///
/// # Errors
/// Where there is none, or where several jobs fit.
pub fn find(state: &State, text: &str) -> Result<Record, JobError> {
    let keys = || state.ledger.get(STREAM).into_iter().flat_map(|stream| stream.keys());
    if keys().any(|key| key == text) && base_of(text) != text {
        return get(state, text)?.ok_or_else(|| JobError::NotFound { id: text.to_owned() });
    }
    let mut bases: Vec<&str> = keys().map(|key| base_of(key)).filter(|base| base.starts_with(text)).collect();
    bases.dedup();
    let exact = bases.iter().find(|base| **base == text || is_named(base, text)).copied();
    let same_name = bases.iter().filter(|base| is_named(base, text)).count();
    match (bases.as_slice(), exact) {
        ([], _) => Err(JobError::NotFound { id: text.to_owned() }),
        (_, Some(base)) if same_name <= 1 => {
            latest(state, base)?.ok_or_else(|| JobError::NotFound { id: text.to_owned() })
        }
        ([base], _) => latest(state, base)?.ok_or_else(|| JobError::NotFound { id: text.to_owned() }),
        (several, _) => {
            Err(JobError::Ambiguous { id: text.to_owned(), fits: several.iter().map(ToString::to_string).collect() })
        }
    }
}

/// Tells whether an id is that of a job of this name.
fn is_named(base: &str, name: &str) -> bool {
    base.rsplit_once('-').is_some_and(|(job, _)| job == name)
}

/// Returns the latest attempt of a job.
pub(super) fn latest(state: &State, base: &str) -> Result<Option<Record>, JobError> {
    let Some(stream) = state.ledger.get(STREAM) else { return Ok(None) };
    let mut found: Option<Record> = None;
    for (key, value) in stream.iter().filter(|(key, value)| base_of(key) == base && !value.is_null()) {
        let record = decode(key, value)?;
        if found.as_ref().is_none_or(|known| known.attempt < record.attempt) {
            found = Some(record);
        }
    }
    Ok(found)
}

/// Returns one attempt.
pub(super) fn get(state: &State, id: &str) -> Result<Option<Record>, JobError> {
    let value = state.ledger.get(STREAM).and_then(|stream| stream.get(id)).filter(|value| !value.is_null());
    value.map(|value| decode(id, value)).transpose()
}

/// Writes records if each is still what its writer saw; tells whether they were written.
///
/// A record of sequence 1 is written only where there is none.
pub(super) async fn put(writer: &Writer, records: &[Record]) -> Result<bool, JobError> {
    let entry = |record: &Record| Entry::Ledger {
        stream: STREAM.to_owned(),
        key: record.id.clone(),
        record: serde_json::to_value(record).expect("internal error: a record has text keys only"),
    };
    let entries = records.iter().map(entry).collect();
    let before: Vec<(String, u64)> = records.iter().map(|record| (record.id.clone(), record.sequence - 1)).collect();
    let unchanged = move |state: &State| {
        before.iter().all(|(id, sequence)| {
            let known = state.ledger.get(STREAM).and_then(|stream| stream.get(id)).filter(|value| !value.is_null());
            known.map_or(0, |value| value.get("sequence").and_then(Value::as_u64).unwrap_or(u64::MAX)) == *sequence
        })
    };
    Ok(writer.append_if(entries, unchanged).await?)
}

//! Log events: put, read along a stream, filtered across streams.

use serde_json::{Value, json};

use super::filter::Pattern;
use super::stream::{of_group, stream};
use super::{STREAMS, asked, group, invalid, now_ms, stream_id};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("FilterLogEvents", filter_log_events),
    ("GetLogEvents", get_log_events),
    ("PutLogEvents", put_log_events),
    ("StartLiveTail", start_live_tail),
];

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The most events of one batch and the most that one read answers.
const EVENTS_MAX: usize = 10_000;
/// The largest batch, in bytes; each event counts 26 bytes more than its text.
const BATCH_BYTES_MAX: usize = 1_048_576;

fn put_log_events(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group_name, found) = group(call, text(input, "logGroupName"))?;
    let name = text(input, "logStreamName");
    let mut target = stream(call, &group_name, name)?;
    let given = input["logEvents"].as_array().cloned().unwrap_or_default();
    let size: usize = given.iter().map(|event| text(event, "message").len() + 26).sum();
    if size > BATCH_BYTES_MAX {
        return Err(invalid("Upload too large"));
    }
    let time = |event: &Value| event["timestamp"].as_i64().unwrap_or_default();
    if given.windows(2).any(|pair| time(&pair[0]) > time(&pair[1])) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let now = now_ms(call);
    let span = given.last().map(time).unwrap_or_default() - given.first().map(time).unwrap_or_default();
    if span > DAY_MS {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let expired = found["retentionInDays"].as_i64().map(|days| now - days * DAY_MS);
    let old = given.iter().filter(|event| time(event) < now - 14 * DAY_MS).count();
    let gone = given.iter().filter(|event| expired.is_some_and(|end| time(event) < end)).count();
    let new = given.iter().position(|event| time(event) > now + 2 * HOUR_MS);
    let mut serial = target["_serial"].as_u64().unwrap_or_default();
    let accepted = &given[old.max(gone)..new.unwrap_or(given.len()).max(old.max(gone))];
    for event in accepted {
        serial += 1;
        let kept = json!({
            "timestamp": event["timestamp"],
            "message": event["message"],
            "ingestionTime": now,
            "eventId": format!("{:020}{serial:036}", time(event)),
        });
        if let Some(events) = target["_events"].as_array_mut() {
            events.push(kept);
        }
    }
    if let Some(events) = target["_events"].as_array_mut() {
        events.sort_by_key(time);
        let (first, last) = (events.first().map(time), events.last().map(time));
        target["firstEventTimestamp"] = json!(first);
        target["lastEventTimestamp"] = json!(last);
    }
    target["_serial"] = json!(serial);
    target["lastIngestionTime"] = json!(now);
    call.put(STREAMS, &stream_id(&group_name, name), target);
    let mut rejected = serde_json::Map::new();
    if let Some(new) = new {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), json!(new));
    }
    if old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), json!(old));
    }
    if gone > 0 {
        rejected.insert("expiredLogEventEndIndex".to_owned(), json!(gone));
    }
    let rejected = (!rejected.is_empty()).then_some(rejected);
    Ok(json!({"nextSequenceToken": "1", "rejectedLogEventsInfo": rejected}))
}

/// Returns a stream's events within the request's times that the retention still keeps.
fn events(call: &Call<'_>, group: &Value, stream: &Value, input: &Value) -> Vec<Value> {
    let days = group["retentionInDays"].as_i64();
    let kept_from = days.map_or(i64::MIN, |days| now_ms(call) - days * DAY_MS);
    let start = input["startTime"].as_i64().unwrap_or(i64::MIN).max(kept_from);
    let end = input["endTime"].as_i64().unwrap_or(i64::MAX);
    let all = stream["_events"].as_array().cloned().unwrap_or_default();
    let within = |event: &Value| event["timestamp"].as_i64().is_some_and(|time| (start..end).contains(&time));
    all.into_iter().filter(within).collect()
}

/// A token says its direction and the number of events before its place.
fn place(token: Option<&str>) -> Result<Option<(bool, usize)>, AwsError> {
    let Some(token) = token else { return Ok(None) };
    let bad = || invalid("The specified nextToken is invalid.");
    let (direction, at) = token.split_once('/').ok_or_else(bad)?;
    let at = at.parse().map_err(|_| bad())?;
    match direction {
        "f" => Ok(Some((true, at))),
        "b" => Ok(Some((false, at))),
        _ => Err(bad()),
    }
}

fn get_log_events(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group_name, found) = asked(call, input)?;
    let target = stream(call, &group_name, text(input, "logStreamName"))?;
    let all = events(call, &found, &target, input);
    let limit = input["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(EVENTS_MAX);
    let from_head = input["startFromHead"] == true;
    let (start, end) = match place(optional(input, "nextToken"))? {
        Some((true, at)) => (at.min(all.len()), (at + limit).min(all.len())),
        Some((false, at)) => (at.min(all.len()).saturating_sub(limit), at.min(all.len())),
        None if from_head => (0, limit.min(all.len())),
        None => (all.len().saturating_sub(limit), all.len()),
    };
    // At an end the same token comes back: that is how a reader knows.
    Ok(json!({
        "events": all[start..end],
        "nextForwardToken": format!("f/{end:056}"),
        "nextBackwardToken": format!("b/{start:056}"),
    }))
}

fn filter_log_events(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group_name, found) = asked(call, input)?;
    let pattern = Pattern::parse(text(input, "filterPattern")).map_err(invalid)?;
    let (names, prefix) = (texts(input, "logStreamNames"), optional(input, "logStreamNamePrefix"));
    if prefix.is_some() && !names.is_empty() {
        return Err(invalid("logStreamNamePrefix and logStreamNames can't be given together."));
    }
    for name in &names {
        stream(call, &group_name, name)?;
    }
    let mut hits = Vec::new();
    for one in of_group(call, &group_name) {
        let name = text(&one, "logStreamName");
        let wanted = names.is_empty() || names.contains(&name);
        if !wanted || prefix.is_some_and(|prefix| !name.starts_with(prefix)) {
            continue;
        }
        for mut event in events(call, &found, &one, input) {
            if pattern.fits(text(&event, "message")) {
                event["logStreamName"] = json!(name);
                hits.push(event);
            }
        }
    }
    hits.sort_by_key(|event| event["timestamp"].as_i64());
    let items = hits
        .into_iter()
        .map(|event| (format!("{}/{}", text(&event, "eventId"), text(&event, "logStreamName")), event))
        .collect();
    let mut answer = call.paged(input, "events", items, EVENTS_MAX)?;
    answer["searchedLogStreams"] = json!([]);
    Ok(answer)
}

fn start_live_tail(call: &mut Call<'_>, input: &Value) -> Answer {
    let groups = texts(input, "logGroupIdentifiers");
    for given in &groups {
        if !given.starts_with("arn:") {
            return Err(invalid("Log groups have to be named by their ARNs."));
        }
        let (_, found) = group(call, given)?;
        if text(&found, "logGroupClass") != "STANDARD" {
            return Err(AwsError::new("InvalidOperationException", "Live tail needs log groups of class STANDARD."));
        }
    }
    let pattern = text(input, "logEventFilterPattern");
    Pattern::parse(pattern).map_err(invalid)?;
    let start = json!({
        "requestId": call.request_id,
        "sessionId": call.uuid(),
        "logGroupIdentifiers": groups,
        "logStreamNames": texts(input, "logStreamNames"),
        "logStreamNamePrefixes": texts(input, "logStreamNamePrefixes"),
        "logEventFilterPattern": pattern,
    });
    let update = json!({"sessionMetadata": {"sampled": false}, "sessionResults": []});
    Ok(json!({"responseStream": [{"sessionStart": start}, {"sessionUpdate": update}]}))
}

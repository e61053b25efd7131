//! Whether a trail records.

use serde_json::{Value, json};

use super::{TRAILS, any, home};
use crate::sandbox::call::{Call, text};
use crate::sandbox::codec::time;
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("GetTrailStatus", get_trail_status), ("StartLogging", start_logging), ("StopLogging", stop_logging)];

fn get_trail_status(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, trail) = any(call, text(input, "Name"))?;
    Ok(trail["_status"].clone())
}

fn set(call: &mut Call<'_>, input: &Value, on: bool) -> Answer {
    let (name, trail) = home(call, text(input, "Name"))?;
    if trail["_status"]["IsLogging"] == on {
        return Ok(json!({}));
    }
    let (now, iso) = (call.timestamp(), time::iso(call.now()));
    let (when, text) =
        if on { ("StartLoggingTime", "TimeLoggingStarted") } else { ("StopLoggingTime", "TimeLoggingStopped") };
    call.change(TRAILS, &name, |trail| {
        trail["_status"]["IsLogging"] = json!(on);
        trail["_status"][when] = now;
        trail["_status"][text] = json!(iso);
    });
    Ok(json!({}))
}

fn start_logging(call: &mut Call<'_>, input: &Value) -> Answer {
    set(call, input, true)
}

fn stop_logging(call: &mut Call<'_>, input: &Value) -> Answer {
    set(call, input, false)
}

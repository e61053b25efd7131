//! Conditional requests and byte ranges. Pure.

use serde_json::{Value, json};

use super::{fault, invalid};
use crate::sandbox::call::{optional, text};
use crate::sandbox::error::AwsError;

fn failed(condition: &str) -> AwsError {
    let message = "At least one of the pre-conditions you specified did not hold";
    fault("PreconditionFailed", 412, message).with("Condition", condition)
}

fn bare(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

/// Tells whether a list of entity tags names this one; `*` names any.
fn names(list: &str, tag: &str) -> bool {
    list.split(',').any(|one| one.trim() == "*" || bare(one) == bare(tag))
}

/// Checks the conditions of a write against the version that is current, if there is one.
pub(super) fn write(current: Option<&Value>, input: &Value, key: &str) -> Result<(), AwsError> {
    if let Some(wanted) = optional(input, "IfNoneMatch") {
        if wanted != "*" {
            let message = "A header you provided implies functionality that is not implemented";
            return Err(fault("NotImplemented", 501, message).with("Header", "If-None-Match"));
        }
        if current.is_some() {
            return Err(failed("If-None-Match"));
        }
    }
    if let Some(wanted) = optional(input, "IfMatch") {
        let Some(current) = current else {
            return Err(fault("NoSuchKey", 404, "The specified key does not exist.").with("Key", key));
        };
        if !names(wanted, text(current, "ETag")) {
            return Err(failed("If-Match"));
        }
    }
    Ok(())
}

/// Checks the conditions of a read, with members named after a prefix (`CopySource` for copies).
///
/// As HTTP has it, a tag that fits outweighs a date that does not.
pub(super) fn read(version: &Value, input: &Value, prefix: &str) -> Result<(), AwsError> {
    let get = |name: &str| input.get(format!("{prefix}{name}")).filter(|value| !value.is_null());
    let tag = text(version, "ETag");
    let modified = version["LastModified"].as_f64().unwrap_or_default().floor();
    let copying = !prefix.is_empty();
    match (get("IfMatch").and_then(Value::as_str), get("IfUnmodifiedSince").and_then(Value::as_f64)) {
        (Some(wanted), _) if !names(wanted, tag) => return Err(failed("If-Match")),
        (None, Some(since)) if modified > since => return Err(failed("If-Unmodified-Since")),
        _ => {}
    }
    let unchanged = |condition: &str| {
        if copying { failed(condition) } else { fault("NotModified", 304, "Not Modified") }
    };
    match (get("IfNoneMatch").and_then(Value::as_str), get("IfModifiedSince").and_then(Value::as_f64)) {
        (Some(unwanted), _) if names(unwanted, tag) => Err(unchanged("If-None-Match")),
        (None, Some(since)) if modified <= since => Err(unchanged("If-Modified-Since")),
        _ => Ok(()),
    }
}

/// Reads a `Range` header against a size: the first byte and the number of bytes; none for the whole.
pub(super) fn range(header: Option<&str>, size: usize) -> Result<Option<(usize, usize)>, AwsError> {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Ok(None) };
    // Several ranges at once are answered with the whole object.
    if spec.contains(',') {
        return Ok(None);
    }
    let Some((from, to)) = spec.split_once('-') else { return Ok(None) };
    let wrong = || {
        fault("InvalidRange", 416, "The requested range is not satisfiable")
            .with("RangeRequested", spec)
            .with("ActualObjectSize", size.to_string())
    };
    let (first, last) = match (from.trim().parse::<usize>(), to.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (Ok(first), Err(_)) if to.trim().is_empty() => (first, size.saturating_sub(1)),
        (Err(_), Ok(suffix)) if from.trim().is_empty() && suffix > 0 => {
            (size.saturating_sub(suffix), size.saturating_sub(1))
        }
        (Err(_), Ok(_)) if from.trim().is_empty() => return Err(wrong()),
        _ => return Ok(None),
    };
    if first >= size {
        return Err(wrong());
    }
    Ok(Some((first, last - first + 1)))
}

/// Reads a `CopySourceRange`, which has to lie within the object.
pub(super) fn copy_range(header: Option<&str>, size: usize) -> Result<Option<(usize, usize)>, AwsError> {
    let Some(header) = header else { return Ok(None) };
    let wrong = || invalid("The x-amz-copy-source-range value must be of the form bytes=first-last");
    let (first, last) = header.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')).ok_or_else(wrong)?;
    let first: usize = first.parse().map_err(|_| wrong())?;
    let last: usize = last.parse().map_err(|_| wrong())?;
    if first > last || last >= size {
        let message = format!("Range specified is not valid for source object of size: {size}");
        return Err(invalid(&message));
    }
    Ok(Some((first, last - first + 1)))
}

/// Says a range as the answer's header does.
pub(super) fn content_range(first: usize, length: usize, size: usize) -> Value {
    json!(format!("bytes {first}-{}/{size}", first + length - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        for (header, expected) in [
            (None, Some(None)),
            (Some("bytes=0-4"), Some(Some((0, 5)))),
            (Some("bytes=2-"), Some(Some((2, 8)))),
            (Some("bytes=-3"), Some(Some((7, 3)))),
            (Some("bytes=-99"), Some(Some((0, 10)))),
            (Some("bytes=5-99"), Some(Some((5, 5)))),
            (Some("bytes=0-1,3-4"), Some(None)),
            (Some("bytes=5-2"), Some(None)),
            (Some("bytes=10-"), None),
            (Some("bytes=-0"), None),
        ] {
            assert_eq!(range(header, 10).ok(), expected, "{header:?}");
        }
        assert!(range(Some("bytes=0-"), 0).is_err());
        assert_eq!(copy_range(Some("bytes=0-9"), 10).ok(), Some(Some((0, 10))));
        assert!(copy_range(Some("bytes=0-10"), 10).is_err());
    }

    #[test]
    fn conditions_hold_or_fail() {
        let version = json!({"ETag": "\"abc\"", "LastModified": 100.5});
        assert!(write(None, &json!({"IfNoneMatch": "*"}), "k").is_ok());
        assert_eq!(write(Some(&version), &json!({"IfNoneMatch": "*"}), "k").unwrap_err().code, "PreconditionFailed");
        assert!(write(Some(&version), &json!({"IfMatch": "abc"}), "k").is_ok());
        assert_eq!(write(None, &json!({"IfMatch": "abc"}), "k").unwrap_err().code, "NoSuchKey");
        assert!(read(&version, &json!({"IfMatch": "\"abc\"", "IfUnmodifiedSince": 50.0}), "").is_ok());
        assert_eq!(read(&version, &json!({"IfNoneMatch": "\"abc\""}), "").unwrap_err().status, Some(304));
        assert_eq!(read(&version, &json!({"IfModifiedSince": 100.0}), "").unwrap_err().status, Some(304));
        assert_eq!(
            read(&version, &json!({"CopySourceIfNoneMatch": "abc"}), "CopySource").unwrap_err().status,
            Some(412)
        );
    }
}

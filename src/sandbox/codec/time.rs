//! Timestamps: seconds since the epoch in values; ISO 8601, HTTP dates or numbers on the wire.

use jiff::Timestamp;
use serde_json::Value;

/// Reads any of the wire's forms of a timestamp.
pub(crate) fn parse(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let stamp =
        text.parse::<Timestamp>().ok().or_else(|| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    let stamp = stamp.or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    stamp.map(|stamp| stamp.as_millisecond() as f64 / 1000.0)
}

/// Returns seconds as a value: an integer where it is one, else with milliseconds.
pub(crate) fn value(seconds: f64) -> Value {
    let millis = (seconds * 1000.0).round();
    if millis % 1000.0 == 0.0 { Value::from((millis / 1000.0) as i64) } else { Value::from(millis / 1000.0) }
}

/// Writes ISO 8601 in UTC, with milliseconds where there are any.
pub(crate) fn iso(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round() as i64;
    let stamp = Timestamp::from_millisecond(millis).unwrap_or_default();
    let format = if millis % 1000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
    stamp.strftime(format).to_string()
}

/// Writes an HTTP date.
pub(crate) fn http_date(seconds: f64) -> String {
    let stamp = Timestamp::from_second(seconds.floor() as i64).unwrap_or_default();
    stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Writes a timestamp in the named format.
pub(crate) fn format(seconds: f64, format: &str) -> String {
    match format {
        "rfc822" => http_date(seconds),
        "unixTimestamp" => value(seconds).to_string(),
        _ => iso(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_name_the_same_moment() {
        for text in ["2026-01-05T09:00:00Z", "1767603600", "Mon, 05 Jan 2026 09:00:00 GMT", "2026-01-05T10:00:00+01:00"]
        {
            assert_eq!(parse(text), Some(1_767_603_600.0), "{text}");
        }
        assert_eq!(iso(1_767_603_600.0), "2026-01-05T09:00:00Z");
        assert_eq!(iso(1_767_603_600.25), "2026-01-05T09:00:00.250Z");
        assert_eq!(http_date(1_767_603_600.9), "Mon, 05 Jan 2026 09:00:00 GMT");
        assert_eq!(parse("yesterday"), None);
    }
}

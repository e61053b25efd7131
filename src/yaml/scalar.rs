//! Gives plain scalars their type by YAML 1.2's core schema, and reports what other readers take otherwise.

use super::{NodeValue, Style};

/// What is worth saying of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    /// `yes`, `off`: text here, a boolean to YAML 1.1.
    Boolean,
    /// `012`: the zero would be lost, or mean octal.
    LeadingZero,
    /// More digits than a whole number holds.
    TooLong,
    /// `.inf`, `.nan`.
    NotFinite,
}

pub(super) fn plain(text: &str) -> (NodeValue, Option<Trap>) {
    let string = || NodeValue::String { text: text.to_owned(), style: Style::Plain };
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return (NodeValue::Null, None),
        "true" | "True" | "TRUE" => return (NodeValue::Bool(true), None),
        "false" | "False" | "FALSE" => return (NodeValue::Bool(false), None),
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            return (string(), Some(Trap::Boolean));
        }
        ".nan" | ".NaN" | ".NAN" => return (string(), Some(Trap::NotFinite)),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return (string(), Some(Trap::NotFinite));
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(rest) = text.strip_prefix(prefix)
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_digit(radix))
        {
            return match i64::from_str_radix(rest, radix) {
                Ok(value) => (NodeValue::Int(value), None),
                Err(_) => (string(), Some(Trap::TooLong)),
            };
        }
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return (string(), Some(Trap::LeadingZero));
        }
        return match text.parse() {
            Ok(value) => (NodeValue::Int(value), None),
            Err(_) => (string(), Some(Trap::TooLong)),
        };
    }
    if is_float(digits) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => (NodeValue::Float(value), None),
            _ => (string(), Some(Trap::NotFinite)),
        };
    }
    (string(), None)
}

/// `[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?` with a digit before the exponent.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    whole.len() + fraction.len() > 0 && all_digits(whole) && all_digits(fraction) && exponent_fits
}

//! Amounts of money and lengths of time as people write them in a job file.
//!
//! Money is whole micro-dollars and rounds up, so that no sum of small parts falls below what it stands for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICRO: u64 = 1_000_000;

/// An amount in US dollars, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub u64);

impl Usd {
    /// Makes an amount from millionths of a dollar.
    pub const fn micro(micro: u64) -> Self {
        Self(micro)
    }

    /// Returns the amount taken `count` times per `unit`, rounded up; saturates.
    #[must_use]
    pub fn times(self, count: u64, unit: u64) -> Self {
        let product = u128::from(self.0) * u128::from(count);
        let rounded = product.div_ceil(u128::from(unit.max(1)));
        Self(u64::try_from(rounded).unwrap_or(u64::MAX))
    }

    /// Returns the sum; saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MICRO, self.0 % MICRO);
        if rest.is_multiple_of(10_000) {
            return write!(f, "{whole}.{:02} USD", rest / 10_000);
        }
        let digits = format!("{rest:06}");
        write!(f, "{whole}.{} USD", digits.trim_end_matches('0'))
    }
}

impl FromStr for Usd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not an amount such as `400 USD`");
        let number = text.trim().strip_suffix("USD").ok_or_else(refuse)?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || part.len() > 6
            || !digits(whole)
            || !digits(part)
            || (part.is_empty() && number.contains('.'))
        {
            return Err(refuse());
        }
        let whole: u64 = whole.parse().map_err(|_| refuse())?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| refuse())?;
        whole.checked_mul(MICRO).and_then(|micro| micro.checked_add(part)).map(Self).ok_or_else(refuse)
    }
}

/// Reads a length of time such as `8h`, `1h30m` or `45s`.
///
/// # Errors
/// Returns what is wrong with the text.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a length of time such as `8h`, `1h30m` or `45s`");
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    let mut smallest = u64::MAX;
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(refuse()),
        };
        let count: u64 = digits.parse().map_err(|_| refuse())?;
        if unit >= smallest {
            return Err(refuse());
        }
        smallest = unit;
        digits.clear();
        seconds = count.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or_else(refuse)?;
    }
    if !digits.is_empty() || seconds == 0 {
        return Err(refuse());
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes a length of time as it is read.
pub fn duration_text(time: Duration) -> String {
    let mut rest = time.as_secs();
    let mut out = String::new();
    for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= unit {
            out.push_str(&format!("{}{letter}", rest / unit));
            rest %= unit;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_and_writes() {
        let cases = [("400 USD", "400.00 USD"), ("0.5USD", "0.50 USD"), ("0.000035 USD", "0.000035 USD")];
        for (text, shown) in cases {
            assert_eq!(text.parse::<Usd>().unwrap().to_string(), shown);
        }
        for wrong in ["400", "USD", "-1 USD", "1. USD", "1e3 USD", "1.0000001 USD", "99999999999999999 USD"] {
            assert!(wrong.parse::<Usd>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn products_round_up_and_saturate() {
        assert_eq!(Usd(35).times(1, 1000), Usd(1));
        assert_eq!(Usd(230_000).times(2 * 3600, 3600), Usd(460_000));
        assert_eq!(Usd(u64::MAX).times(9, 1), Usd(u64::MAX));
    }

    #[test]
    fn lengths_of_time_read_and_write() {
        for text in ["8h", "1h30m", "45s", "2d", "1d2h3m4s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for wrong in ["", "8", "0s", "h", "30m1h", "1h1h", "1.5h", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

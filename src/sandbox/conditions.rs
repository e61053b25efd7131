//! What the simulated AWS does to its clients: rate limits, propagation delay, injected faults.
//!
//! All configured as data and decided by seed and call number, so a schedule can be played again. None is
//! on by default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::ids;

/// The conditions under which the sandbox answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// Token buckets by `service:Operation` or `service`.
    pub rates: BTreeMap<String, Rate>,
    /// Seconds until other services see a new resource, by service.
    pub propagation: BTreeMap<String, f64>,
    /// Seconds by which listing and describing calls are behind, as tag filters and new ids are in AWS.
    pub list_lag_s: f64,
    /// The most instances at a time in each zone, by `type` or `type@zone`; others have no bound.
    pub capacity: BTreeMap<String, u64>,
    /// The organization (`o-…`) whose management account every account is; none if absent.
    pub organization: Option<String>,
    /// Whether users and role sessions are held to their IAM policies, and signatures are verified.
    pub enforce_iam: bool,
    /// Quotas of the account by name (see [`super::QUOTAS`]); `*` for all that are not named.
    pub quotas: BTreeMap<String, u64>,
    /// Names beyond the sandbox's own catalogues: `zones` (in place of them), `endpoint_services` and
    /// `no_endpoint_services`, `managed_policies` (ARNs).
    pub catalogue: BTreeMap<String, BTreeSet<String>>,
    /// Faults, the first that applies is taken.
    pub faults: Vec<Fault>,
}

/// Reads conditions from a file; none where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Conditions> {
    if !path.exists() {
        return Ok(Conditions::default());
    }
    serde_json::from_str(&fs::read_to_string(path)?).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no conditions: {error}", path.display()))
    })
}

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The bucket's size in calls.
    pub burst: f64,
    /// Calls given back per second.
    pub per_second: f64,
}

/// One planned fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The service it applies to; all if absent.
    #[serde(default)]
    pub service: Option<String>,
    /// The operation it applies to; all if absent.
    #[serde(default)]
    pub operation: Option<String>,
    /// Strikes the nth matching call (from 1) after it was configured.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Strikes every nth matching call.
    #[serde(default)]
    pub every: Option<u64>,
    /// Strikes by seed with this probability, 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// What happens.
    pub kind: FaultKind,
    /// Counts matching calls; given back by the admin surface.
    #[serde(default)]
    pub seen: u64,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection breaks before the call has any effect.
    LostRequest,
    /// The call takes effect, then the connection breaks.
    LostReply,
    /// The call takes effect, and its answer takes a minute and a half.
    SlowReply,
    /// 500, without effect.
    ServerError,
    /// 503, without effect.
    Unavailable,
    /// The service's throttling error, without effect.
    Throttle,
    /// The service's denial, without effect.
    Denied,
}

impl Conditions {
    /// Returns the fault that strikes this call, and counts it for all faults that match.
    pub(crate) fn strike(&mut self, service: &str, operation: &str, seed: u64, call: u64) -> Option<FaultKind> {
        let mut struck = None;
        for (index, fault) in self.faults.iter_mut().enumerate() {
            let matches = fault.service.as_deref().is_none_or(|name| name == service)
                && fault.operation.as_deref().is_none_or(|name| name == operation);
            if !matches {
                continue;
            }
            fault.seen += 1;
            let by_chance = |p: f64| {
                let bytes = ids::entropy(seed, &format!("fault{index}"), call);
                let draw = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                f64::from(draw) / f64::from(u32::MAX) < p
            };
            let hit = fault.nth == Some(fault.seen)
                || fault.every.is_some_and(|n| n > 0 && fault.seen.is_multiple_of(n))
                || fault.probability.is_some_and(by_chance);
            if hit && struck.is_none() {
                struck = Some(fault.kind);
            }
        }
        struck
    }
}

/// The fill of every token bucket in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets(BTreeMap<String, (f64, f64)>);

impl Buckets {
    /// Takes one token from each bucket that applies; false if one is empty.
    pub(crate) fn take(
        &mut self,
        rates: &BTreeMap<String, Rate>,
        owner: &str,
        service: &str,
        operation: &str,
        now: f64,
    ) -> bool {
        let names = [format!("{service}:{operation}"), service.to_owned()];
        names.iter().all(|name| {
            let Some(rate) = rates.get(name) else { return true };
            let key = format!("{owner}/{name}");
            let (fill, then) = self.0.get(&key).copied().unwrap_or((rate.burst, now));
            let fill = (fill + (now - then).max(0.0) * rate.per_second).min(rate.burst);
            let allowed = fill >= 1.0;
            self.0.insert(key, (if allowed { fill - 1.0 } else { fill }, now));
            allowed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills() {
        let rates = BTreeMap::from([("ec2:X".to_owned(), Rate { burst: 2.0, per_second: 0.5 })]);
        let mut buckets = Buckets::default();
        let mut take = |now| buckets.take(&rates, "1", "ec2", "X", now);
        assert!(take(0.0) && take(0.0) && !take(0.0) && !take(1.0));
        assert!(take(2.0) && !take(2.0));
    }

    #[test]
    fn faults_strike_where_planned() {
        let plan =
            r#"{"faults": [{"operation": "X", "nth": 2, "kind": "lost_reply"}, {"every": 3, "kind": "throttle"}]}"#;
        let mut conditions: Conditions = serde_json::from_str(plan).unwrap();
        let mut struck = Vec::new();
        for (call, operation) in ["X", "X", "Y", "X", "X", "X"].iter().enumerate() {
            struck.push(conditions.strike("ec2", operation, 1, call as u64));
        }
        use FaultKind::{LostReply, Throttle};
        assert_eq!(struck, [None, Some(LostReply), Some(Throttle), None, None, Some(Throttle)]);
    }
}

//! Paces every call by token buckets, so that AWS never has to throttle it.
//!
//! One bucket per service and operation (or documented group of operations), at a set share of AWS's
//! published limits; a service without published limits starts generous and learns from throttles. There is
//! no parallelism number: how many calls are in flight follows from the rates alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A token bucket: `burst` calls at once, refilled at `per_second`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    pub burst: f64,
    pub per_second: f64,
}

/// The share of a published limit that opora takes; the rest stays for everybody else in the account.
pub const DEFAULT_SHARE: f64 = 0.5;

/// The shortest wait that is asked for.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Of a published limit no less than this is taken where there is as much, in calls per second: half of one call a
/// second would make every wait one of seconds, and nobody else in an account makes such calls in numbers.
const WHOLE_RATE: f64 = 1.0;

/// What a token may lack by the clock's rounding.
const GRAIN: f64 = 1e-6;

/// A learned rate never falls below this, in calls per second.
const RATE_MIN: f64 = 0.1;

#[derive(Debug)]
struct Bucket {
    limit: Limit,
    /// The rate it may grow back to after throttles.
    ceiling: f64,
    tokens: f64,
    filled_at: SystemTime,
}

/// The buckets of one account and region.
#[derive(Debug)]
pub struct Pacing {
    share: f64,
    buckets: Mutex<BTreeMap<(String, String), Bucket>>,
}

impl Pacing {
    /// Takes a share (0 to 1) of every published limit.
    pub fn new(share: f64) -> Self {
        Self { share: share.clamp(0.01, 1.0), buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one token, or says how long to wait before asking again.
    pub fn take(&self, service: &str, operation: &str, now: SystemTime) -> Option<Duration> {
        let (group, published) = limit(service, operation);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((service.to_owned(), group.to_owned())).or_insert_with(|| {
            let limit = Limit {
                burst: (published.burst * self.share).max(1.0),
                per_second: (published.per_second * self.share).max(published.per_second.min(WHOLE_RATE)).max(RATE_MIN),
            };
            Bucket { limit, ceiling: limit.per_second, tokens: limit.burst, filled_at: now }
        });
        let elapsed = now.duration_since(bucket.filled_at).unwrap_or_default().as_secs_f64();
        bucket.filled_at = now;
        bucket.tokens = (bucket.tokens + elapsed * bucket.limit.per_second).min(bucket.limit.burst);
        if bucket.tokens >= 1.0 - GRAIN {
            bucket.tokens = (bucket.tokens - 1.0).max(0.0);
            // Every call that was let through earns a little of a lost rate back.
            bucket.limit.per_second = (bucket.limit.per_second * 1.02).min(bucket.ceiling);
            return None;
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.tokens) / bucket.limit.per_second);
        // A wait shorter than the clock can tell would be asked for again and again.
        Some(wait.max(WAIT_MIN))
    }

    /// Halves the rate of an operation that AWS throttled.
    pub fn throttled(&self, service: &str, operation: &str) {
        let (group, _) = limit(service, operation);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&(service.to_owned(), group.to_owned())) {
            bucket.tokens = 0.0;
            bucket.limit.per_second = (bucket.limit.per_second / 2.0).max(RATE_MIN);
        }
    }
}

const fn per_second(rate: f64) -> Limit {
    Limit { burst: rate, per_second: rate }
}

/// Returns the bucket's name and the published limit, per account and region.
///
/// Sources: EC2 "Request throttling for the EC2 API", KMS "Request quotas", CloudTrail "Quotas", Tag Editor
/// "Service quotas"; for the
/// others a start value that throttles correct.
fn limit<'n>(service: &str, operation: &'n str) -> (&'n str, Limit) {
    let reads = ["Describe", "Get", "List"].iter().any(|prefix| operation.starts_with(prefix));
    let limit = match (service, operation) {
        ("ec2", "CreateNatGateway") => Limit { burst: 10.0, per_second: 1.0 },
        ("ec2", "CreateVpcEndpoint" | "ModifyVpcEndpoint" | "DeleteVpcEndpoints") => {
            Limit { burst: 4.0, per_second: 0.3 }
        }
        ("ec2", "DescribeCapacityBlockOfferings" | "PurchaseCapacityBlock") => Limit { burst: 10.0, per_second: 0.15 },
        ("ec2", "DescribeInstanceTopology") => Limit { burst: 1.0, per_second: 1.0 },
        ("ec2", "CreateTags" | "DeleteTags") => Limit { burst: 100.0, per_second: 10.0 },
        ("ec2", _) if reads => Limit { burst: 100.0, per_second: 20.0 },
        ("ec2", _) => Limit { burst: 50.0, per_second: 5.0 },
        ("kms", "GetKeyPolicy" | "GetKeyRotationStatus") => per_second(1000.0),
        ("kms", "ListKeys" | "ListAliases") => per_second(500.0),
        ("kms", "ListResourceTags" | "DescribeKey") => per_second(2000.0),
        ("kms", "PutKeyPolicy") => per_second(15.0),
        ("kms", _) => per_second(5.0),
        ("cloudtrail", "LookupEvents") => per_second(2.0),
        ("cloudtrail", _) if reads => per_second(10.0),
        ("cloudtrail", _) => per_second(1.0),
        ("tag", _) => per_second(15.0),
        ("s3", _) => per_second(200.0),
        (_, _) if reads => Limit { burst: 40.0, per_second: 20.0 },
        (_, _) => Limit { burst: 20.0, per_second: 10.0 },
    };
    // EC2 counts each operation by itself; CloudTrail's writes share nothing published, so they are kept apart too.
    (operation, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_free_and_then_the_rate_holds() {
        let pacing = Pacing::new(0.5);
        let start = SystemTime::UNIX_EPOCH;
        let free = (0..).take_while(|_| pacing.take("ec2", "CreateVpc", start).is_none()).count();
        assert_eq!(free, 25);
        let wait = pacing.take("ec2", "CreateVpc", start).unwrap();
        assert_eq!(wait, Duration::from_millis(400));
        assert_eq!(pacing.take("ec2", "CreateVpc", start + wait), None);
        assert_eq!(pacing.take("ec2", "DescribeVpcs", start), None, "other operations have their own bucket");
    }

    #[test]
    fn of_a_low_limit_all_is_taken() {
        let pacing = Pacing::new(0.5);
        let mut now = SystemTime::UNIX_EPOCH;
        assert_eq!(pacing.take("cloudtrail", "CreateTrail", now), None);
        for _ in 0..100 {
            now += pacing.take("cloudtrail", "CreateTrail", now).unwrap();
            assert_eq!(pacing.take("cloudtrail", "CreateTrail", now), None);
        }
        assert!(now.duration_since(SystemTime::UNIX_EPOCH).unwrap() <= Duration::from_millis(100_100));
    }

    #[test]
    fn a_throttle_halves_the_rate_and_success_earns_it_back() {
        let pacing = Pacing::new(1.0);
        let mut now = SystemTime::UNIX_EPOCH;
        assert_eq!(pacing.take("iam", "CreateRole", now), None);
        pacing.throttled("iam", "CreateRole");
        assert_eq!(pacing.take("iam", "CreateRole", now), Some(Duration::from_millis(200)));
        for _ in 0..100 {
            now += Duration::from_secs(1);
            assert_eq!(pacing.take("iam", "CreateRole", now), None);
        }
        pacing.buckets.lock().unwrap().values_mut().for_each(|bucket| bucket.tokens = 0.0);
        assert_eq!(pacing.take("iam", "CreateRole", now), Some(Duration::from_millis(100)));
    }
}

//! What a job can cost at most, from a small table of on-demand list prices.
//!
//! The table is meant as a ceiling: prices of 2025 in us-east-1, rounded up, and never a discount. What it does
//! not hold has *no known price*, which is a value of its own and never zero; the job file can state a price.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::Usd;

/// The regions whose prices the table has.
const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// Training instances: micro-dollars per instance and hour.
const INSTANCE_HOURS: &[(&str, u64)] = &[
    ("ml.c5.2xlarge", 408_000),
    ("ml.c5.xlarge", 204_000),
    ("ml.g4dn.12xlarge", 4_890_000),
    ("ml.g4dn.xlarge", 740_000),
    ("ml.g5.12xlarge", 7_090_000),
    ("ml.g5.2xlarge", 1_520_000),
    ("ml.g5.xlarge", 1_410_000),
    ("ml.m5.2xlarge", 461_000),
    ("ml.m5.4xlarge", 922_000),
    ("ml.m5.large", 115_000),
    ("ml.m5.xlarge", 230_000),
    ("ml.p3.2xlarge", 3_825_000),
    ("ml.p4d.24xlarge", 37_700_000),
];

/// Models by the start of their id: micro-dollars per million input and output tokens.
const MODEL_TOKENS: &[(&str, u64, u64)] = &[
    ("amazon.nova-lite-v1", 60_000, 240_000),
    ("amazon.nova-micro-v1", 35_000, 140_000),
    ("amazon.nova-pro-v1", 800_000, 3_200_000),
    ("anthropic.claude-3-5-haiku-20241022", 1_000_000, 5_000_000),
    ("anthropic.claude-3-5-sonnet-20240620", 3_000_000, 15_000_000),
    ("anthropic.claude-3-5-sonnet-20241022", 3_000_000, 15_000_000),
    ("anthropic.claude-3-haiku-20240307", 250_000, 1_250_000),
];

/// Geographies that an inference profile's id starts with.
const PROFILES: [&str; 1] = ["us."];

/// Training storage: micro-dollars per GB and month of 30 days.
const STORAGE_GB_MONTH: Usd = Usd::micro(140_000);
const MONTH_SECONDS: u64 = 30 * 24 * 3600;

/// All guardrail policies together: micro-dollars per text unit of 1,000 characters.
const GUARDRAIL_TEXT_UNIT: Usd = Usd::micro(500);
const TEXT_UNIT: u64 = 1000;

/// Prices that a job file states itself, for what the table does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Per instance and hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_hour: Option<Usd>,
    /// Per million input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<Usd>,
    /// Per million output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<Usd>,
}

impl Stated {
    /// Tells whether the file states none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What something can cost at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorstCase {
    Known(Usd),
    /// No price is known for this.
    Unknown(String),
}

/// Instances that run for a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet<'a> {
    pub instance_type: &'a str,
    pub count: u64,
    pub volume_gb: u64,
}

/// Prices instances for as long as they may run.
pub(crate) fn training(fleet: Fleet<'_>, time: Duration, region: &str, stated: &Stated) -> WorstCase {
    let known = INSTANCE_HOURS.iter().find(|(name, _)| *name == fleet.instance_type && REGIONS.contains(&region));
    let Some(hour) = stated.instance_hour.or(known.map(|(_, micro)| Usd(*micro))) else {
        return WorstCase::Unknown(format!("an hour of {} in {region}", fleet.instance_type));
    };
    let seconds = time.as_secs();
    let instances = hour.times(fleet.count.saturating_mul(seconds), 3600);
    let volumes =
        STORAGE_GB_MONTH.times(fleet.count.saturating_mul(fleet.volume_gb).saturating_mul(seconds), MONTH_SECONDS);
    WorstCase::Known(instances.plus(volumes))
}

/// Tokens that a model reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub input: u64,
    pub output: u64,
}

/// Prices tokens of a model.
pub(crate) fn model(id: &str, tokens: Tokens, region: &str, stated: &Stated) -> WorstCase {
    let name = PROFILES.iter().find_map(|profile| id.strip_prefix(profile)).unwrap_or(id);
    let known = MODEL_TOKENS.iter().find(|(start, ..)| name.starts_with(start) && REGIONS.contains(&region));
    let input = stated.input_tokens.or(known.map(|(_, micro, _)| Usd(*micro)));
    let output = stated.output_tokens.or(known.map(|(_, _, micro)| Usd(*micro)));
    match (input, output) {
        (Some(input), Some(output)) => {
            WorstCase::Known(input.times(tokens.input, 1_000_000).plus(output.times(tokens.output, 1_000_000)))
        }
        _ => WorstCase::Unknown(format!("tokens of {id} in {region}")),
    }
}

/// Prices a guardrail that looks at this many characters, with all its policies.
pub(crate) fn guardrail(characters: u64) -> Usd {
    GUARDRAIL_TEXT_UNIT.times(characters.div_ceil(TEXT_UNIT), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: Fleet<'static> = Fleet { instance_type: "ml.m5.xlarge", count: 2, volume_gb: 30 };

    #[test]
    fn training_costs_instances_and_volumes_for_the_whole_deadline() {
        let found = training(FLEET, Duration::from_secs(8 * 3600), "us-east-1", &Stated::default());
        // 2 × 8 h × 0.23 USD, and 2 × 30 GB × 8 h of 0.14 USD a month.
        assert_eq!(found, WorstCase::Known(Usd(3_680_000 + 93_334)));
    }

    #[test]
    fn what_is_not_in_the_table_has_no_price_until_the_file_states_one() {
        let odd = Fleet { instance_type: "ml.x9.huge", ..FLEET };
        let hour = Duration::from_secs(3600);
        let none = Stated::default();
        assert_eq!(
            training(odd, hour, "us-east-1", &none),
            WorstCase::Unknown("an hour of ml.x9.huge in us-east-1".into())
        );
        assert!(matches!(training(FLEET, hour, "eu-central-1", &none), WorstCase::Unknown(_)));
        let stated = Stated { instance_hour: Some(Usd(1_000_000)), ..none };
        assert!(matches!(training(odd, hour, "us-east-1", &stated), WorstCase::Known(cost) if cost > Usd(2_000_000)));
    }

    #[test]
    fn a_profile_of_the_region_costs_what_its_model_does() {
        let tokens = Tokens { input: 1_000_000, output: 500_000 };
        for id in ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"] {
            assert_eq!(model(id, tokens, "us-east-1", &Stated::default()), WorstCase::Known(Usd(180_000)));
        }
        assert!(matches!(
            model("eu.amazon.nova-lite-v1:0", tokens, "us-east-1", &Stated::default()),
            WorstCase::Unknown(_)
        ));
    }
}

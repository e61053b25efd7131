//! Amounts that AWS sets anew for each period.

use aws_sdk_budgets::types::{AutoAdjustData, AutoAdjustType, HistoricalOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::resource::Problem;

/// The most past periods that an amount can follow, by the budget's period (AWS Budgets API, HistoricalOptions).
const PERIODS_MAX: [(&str, u64); 4] = [("daily", 60), ("monthly", 12), ("quarterly", 4), ("annually", 1)];

/// How AWS sets the amount of each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoAdjust {
    /// What the amount follows.
    pub basis: Basis,
    /// With `historical`, the number of past periods whose average it is: up to 60 for a daily budget, 12 for a
    /// monthly, 4 for a quarterly and 1 for an annual one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60))]
    pub periods: Option<i32>,
}

/// What an amount follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What was spent on average.
    Historical,
    /// What AWS expects to be spent.
    Forecast,
}

impl AutoAdjust {
    pub(super) fn to_aws(self) -> AutoAdjustData {
        let kind = match self.basis {
            Basis::Historical => AutoAdjustType::Historical,
            Basis::Forecast => AutoAdjustType::Forecast,
        };
        let history =
            self.periods.map(|periods| HistoricalOptions::builder().budget_adjustment_period(periods).build());
        let history = history.map(|built| built.expect("internal error: the period is set"));
        let data = AutoAdjustData::builder().auto_adjust_type(kind).set_historical_options(history);
        data.build().expect("internal error: the type is set")
    }

    /// Reads AWS's data; `None` for a type that opora has no word for.
    pub(super) fn from_aws(data: &AutoAdjustData) -> Option<Self> {
        let basis = match data.auto_adjust_type {
            AutoAdjustType::Historical => Basis::Historical,
            AutoAdjustType::Forecast => Basis::Forecast,
            _ => return None,
        };
        Some(Self { basis, periods: data.historical_options.as_ref().map(|history| history.budget_adjustment_period) })
    }
}

/// Checks that a budget has one source of its amount, and that the past periods are as many as AWS takes.
pub(super) fn check(arguments: &Value, out: &mut Vec<Problem>) {
    let amount = arguments.get("amount").is_some_and(|value| !value.is_null());
    let adjust = arguments.get("auto_adjust").filter(|value| !value.is_null());
    if amount == adjust.is_some() {
        out.push(Problem::new("amount", "a budget has either `amount` or `auto_adjust`"));
    }
    let Some(adjust) = adjust else { return };
    if arguments.get("unit").and_then(Value::as_str).is_some_and(|unit| unit != super::dollars()) {
        out.push(Problem::new("unit", "the currency of an amount that AWS sets is not chosen"));
    }
    let periods = adjust.get("periods").filter(|value| !value.is_null());
    match (adjust.get("basis").and_then(Value::as_str), periods) {
        (Some("historical"), None) => {
            out.push(Problem::new("auto_adjust.periods", "`historical` needs a number of past periods"));
        }
        (Some("forecast"), Some(_)) => {
            out.push(Problem::new("auto_adjust.periods", "only with `basis: historical`"));
        }
        _ => {}
    }
    let period = arguments.get("period").and_then(Value::as_str).unwrap_or("monthly");
    let bound = PERIODS_MAX.iter().find(|(name, _)| *name == period);
    if let Some(((_, most), given)) =
        bound.zip(periods.and_then(Value::as_u64)).filter(|((_, most), given)| given > most)
    {
        let message = format!("a {period} budget follows {most} past periods at most, not {given}");
        out.push(Problem::new("auto_adjust.periods", message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_has_one_source() {
        for (arguments, path) in [
            (json!({}), "amount"),
            (json!({ "amount": 1, "auto_adjust": { "basis": "forecast" } }), "amount"),
            (json!({ "auto_adjust": { "basis": "forecast" }, "unit": "EUR" }), "unit"),
            (json!({ "auto_adjust": { "basis": "historical" } }), "auto_adjust.periods"),
            (json!({ "auto_adjust": { "basis": "forecast", "periods": 1 } }), "auto_adjust.periods"),
            (json!({ "auto_adjust": { "basis": "historical", "periods": 13 } }), "auto_adjust.periods"),
            (
                json!({ "auto_adjust": { "basis": "historical", "periods": 5 }, "period": "quarterly" }),
                "auto_adjust.periods",
            ),
        ] {
            let mut out = Vec::new();
            check(&arguments, &mut out);
            assert_eq!(out.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), [path], "{arguments}");
        }
        let mut out = Vec::new();
        check(&json!({ "amount": 1.5, "unit": "EUR" }), &mut out);
        check(&json!({ "auto_adjust": { "basis": "historical", "periods": 60 }, "period": "daily" }), &mut out);
        assert_eq!(out, vec![]);
    }

    #[test]
    fn both_ways() {
        for adjust in [
            AutoAdjust { basis: Basis::Historical, periods: Some(6) },
            AutoAdjust { basis: Basis::Forecast, periods: None },
        ] {
            assert_eq!(AutoAdjust::from_aws(&adjust.to_aws()), Some(adjust));
        }
    }
}

//! The budgets themselves.

use serde_json::{Value, json};

use super::{BUDGETS, PAGE, budget_of, duplicate, invalid, not_found, notification, own_account, tagging};
use crate::sandbox::call::{Call, Transition, settle, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateBudget", create),
    ("DeleteBudget", delete),
    ("DescribeBudget", describe),
    ("DescribeBudgetActionsForBudget", actions),
    ("DescribeBudgets", describe_all),
    ("UpdateBudget", update),
];

/// The amount of an auto-adjusting budget in an account that never spent anything.
const LEAST: &str = "0.01";
/// 15 June 2087, the end of a budget that names none.
const NEVER_S: f64 = 3_706_473_600.0;

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    own_account(call, input)?;
    let given = &input["Budget"];
    let name = text(given, "BudgetName").to_owned();
    let mut made = complete(call, given, None)?;
    let notifications = notification::requested(input)?;
    let tags = tagging::requested(input)?;
    if call.get(BUDGETS, &name).is_some() {
        return Err(duplicate(format!("Error creating budget: {name} - the budget already exists.")));
    }
    made["_notifications"] = notifications;
    made["Tags"] = tags;
    keep(call, &name, made);
    Ok(json!({}))
}

/// Stores a budget; AWS deletes it after its end.
fn keep(call: &mut Call<'_>, name: &str, mut budget: Value) {
    settle(&mut budget);
    let end = budget["TimePeriod"]["End"].as_f64().unwrap_or(NEVER_S);
    let now = call.now();
    Transition::from(now).gone((end - now).max(0.0)).attach(&mut budget);
    call.put(BUDGETS, name, budget);
}

/// Checks a budget and fills in what a request may leave out.
fn complete(call: &Call<'_>, given: &Value, old: Option<&Value>) -> Result<Value, AwsError> {
    let name = text(given, "BudgetName");
    if name.contains([':', '\\']) || name.contains("/action/") {
        return Err(invalid(format!("The budget name {name} is not valid.")));
    }
    let kind = text(given, "BudgetType");
    if !matches!(kind, "COST" | "USAGE") {
        return Err(AwsError::new("NotImplementedBySandbox", format!("the sandbox has no {kind} budgets")).status(400));
    }
    if given.get("PlannedBudgetLimits").is_some() {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox has no PlannedBudgetLimits").status(400));
    }
    let adjust = given.get("AutoAdjustData").map(|data| adjusted(call, data, text(given, "TimeUnit"))).transpose()?;
    let limit = match (given.get("BudgetLimit"), &adjust) {
        (Some(limit), None) => limit.clone(),
        (None, Some(_)) => json!({"Amount": LEAST, "Unit": "USD"}),
        (None, None) => return Err(invalid("BudgetLimit is required for COST and USAGE budgets.")),
        (Some(_), Some(_)) => return Err(invalid("BudgetLimit can't be set for an auto-adjusting budget.")),
    };
    let has = |member: &str| given.get(member).is_some_and(|value| !value.as_array().is_some_and(Vec::is_empty));
    if has("FilterExpression") && !has("Metrics") {
        return Err(invalid("Metrics must be set when FilterExpression is set."));
    }
    let (new, older) = (has("FilterExpression") || has("Metrics"), has("CostFilters") || has("CostTypes"));
    if new && older {
        return Err(invalid("CostFilters and CostTypes can't be used with FilterExpression and Metrics."));
    }
    let mut made = given.clone();
    let amount: f64 = text(&limit, "Amount").parse().map_err(|_| invalid("BudgetLimit.Amount is not a number."))?;
    made["BudgetLimit"] = json!({"Amount": amount_text(amount), "Unit": limit["Unit"]});
    made["AutoAdjustData"] = json!(adjust);
    if kind == "COST" && !new {
        made["CostTypes"] = cost_types(&given["CostTypes"]);
    }
    let unit = text(given, "TimeUnit");
    let period = given.get("TimePeriod");
    let old_start = old.map(|budget| budget["TimePeriod"]["Start"].clone());
    let start = period.and_then(|period| period.get("Start").cloned()).or(old_start);
    let start = start.unwrap_or_else(|| json!(period_start(call.now(), unit)));
    let end = period.and_then(|period| period.get("End").cloned()).unwrap_or(json!(NEVER_S));
    if start.as_f64() >= end.as_f64() {
        return Err(invalid("End date must be after start date."));
    }
    if end.as_f64().unwrap_or_default() > NEVER_S {
        return Err(invalid("End date must not be after 06/15/87 00:00 UTC."));
    }
    made["TimePeriod"] = json!({ "Start": start, "End": end });
    made["CalculatedSpend"] = json!({ "ActualSpend": { "Amount": "0.0", "Unit": limit["Unit"] } });
    made["LastUpdatedTime"] = call.timestamp();
    Ok(made)
}

/// Checks how an amount is to be adjusted, and adds what AWS works out itself.
fn adjusted(call: &Call<'_>, given: &Value, unit: &str) -> Result<Value, AwsError> {
    let periods = given["HistoricalOptions"]["BudgetAdjustmentPeriod"].as_u64();
    let most = match unit {
        "DAILY" => 60,
        "MONTHLY" => 12,
        "QUARTERLY" => 4,
        _ => 1,
    };
    let mut out = json!({"AutoAdjustType": given["AutoAdjustType"], "LastAutoAdjustTime": call.timestamp()});
    match (text(given, "AutoAdjustType"), periods) {
        ("HISTORICAL", None) => return Err(invalid("HistoricalOptions is required for HISTORICAL budgets.")),
        ("HISTORICAL", Some(periods)) if periods > most => {
            return Err(invalid(format!("BudgetAdjustmentPeriod must not exceed {most} for {unit} budgets.")));
        }
        ("HISTORICAL", Some(periods)) => out["HistoricalOptions"] = json!({"BudgetAdjustmentPeriod": periods}),
        (_, Some(_)) => return Err(invalid("HistoricalOptions is only valid for HISTORICAL budgets.")),
        _ => {}
    }
    Ok(out)
}

/// Writes an amount with at least one decimal.
fn amount_text(amount: f64) -> String {
    if amount.fract() == 0.0 { format!("{amount:.1}") } else { amount.to_string() }
}

fn cost_types(given: &Value) -> Value {
    let mut out = json!({});
    for (member, default) in [
        ("IncludeTax", true),
        ("IncludeSubscription", true),
        ("UseBlended", false),
        ("IncludeRefund", true),
        ("IncludeCredit", true),
        ("IncludeUpfront", true),
        ("IncludeRecurring", true),
        ("IncludeOtherSubscription", true),
        ("IncludeSupport", true),
        ("IncludeDiscount", true),
        ("UseAmortized", false),
    ] {
        out[member] = given.get(member).cloned().unwrap_or(json!(default));
    }
    out
}

/// Returns the first second of the period that a moment lies in.
fn period_start(now: f64, unit: &str) -> i64 {
    let now = jiff::Timestamp::from_second(now as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let day = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let month = match unit {
        "ANNUALLY" => 1,
        "QUARTERLY" => (day.month() - 1) / 3 * 3 + 1,
        _ => day.month(),
    };
    let day = if unit == "DAILY" { day } else { jiff::civil::date(day.year(), month, 1) };
    day.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_second())
}

fn shown(budget: &Value, input: &Value) -> Value {
    let mut out = budget.clone();
    if let (false, Some(members)) = (input["ShowFilterExpression"] == true, out.as_object_mut()) {
        members.shift_remove("FilterExpression");
    }
    out
}

fn describe(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = budget_of(call, input)?;
    Ok(json!({ "Budget": shown(&found, input) }))
}

fn describe_all(call: &mut Call<'_>, input: &Value) -> Answer {
    own_account(call, input)?;
    let all = call.list(BUDGETS).into_iter().map(|(name, budget)| (name, shown(&budget, input))).collect();
    call.paged(input, "Budgets", all, PAGE)
}

fn update(call: &mut Call<'_>, input: &Value) -> Answer {
    own_account(call, input)?;
    let given = &input["NewBudget"];
    let name = text(given, "BudgetName").to_owned();
    let Some(old) = call.get(BUDGETS, &name) else {
        return Err(not_found(format!("Unable to update budget: {name} - the budget doesn't exist.")));
    };
    if given["BudgetType"] != old["BudgetType"] {
        return Err(invalid("The type of a budget can't be changed."));
    }
    let mut made = complete(call, given, Some(&old))?;
    made["_notifications"] = old["_notifications"].clone();
    made["Tags"] = old["Tags"].clone();
    keep(call, &name, made);
    Ok(json!({}))
}

fn delete(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, _) =
        budget_of(call, input).map_err(|error| if error.code == "NotFoundException" { gone(input) } else { error })?;
    call.remove(BUDGETS, &name);
    Ok(json!({}))
}

fn gone(input: &Value) -> AwsError {
    not_found(format!("Unable to delete budget: {} - the budget doesn't exist.", text(input, "BudgetName")))
}

fn actions(call: &mut Call<'_>, input: &Value) -> Answer {
    budget_of(call, input)?;
    call.paged(input, "Actions", Vec::new(), PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_start_with_their_first_second() {
        // 2026-05-20T10:00:00Z
        let now = 1_779_271_200.0;
        let at = |unit| jiff::Timestamp::from_second(period_start(now, unit)).unwrap().to_string();
        assert_eq!(at("DAILY"), "2026-05-20T00:00:00Z");
        assert_eq!(at("MONTHLY"), "2026-05-01T00:00:00Z");
        assert_eq!(at("QUARTERLY"), "2026-04-01T00:00:00Z");
        assert_eq!(at("ANNUALLY"), "2026-01-01T00:00:00Z");
    }
}

//! Rotation: the schedule is kept and shown. No function runs, so no value changes.

use serde_json::{Value, json};

use super::replica::keep;
use super::value::{CURRENT, staged};
use super::{invalid, primary, refused};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("CancelRotateSecret", cancel_rotate_secret), ("RotateSecret", rotate_secret)];

const DAY_S: f64 = 86_400.0;

/// Works out the seconds between rotations of a `rate()` schedule; `cron()` counts as a day.
fn period(schedule: &str) -> Option<f64> {
    if schedule.starts_with("cron(") && schedule.ends_with(')') {
        let fields = schedule["cron(".len()..schedule.len() - 1].split_whitespace().count();
        return (fields == 6).then_some(DAY_S);
    }
    let inner = schedule.strip_prefix("rate(")?.strip_suffix(')')?;
    let (count, unit) = inner.split_once(' ')?;
    let count: f64 = count.parse().ok().filter(|count| *count >= 1.0)?;
    match unit {
        "hour" | "hours" if count >= 4.0 => Some(count * 3600.0),
        "day" | "days" if count <= 999.0 => Some(count * DAY_S),
        _ => None,
    }
}

fn rules(secret: &Value, given: Option<&Value>) -> Result<(Value, f64), AwsError> {
    let Some(given) = given else {
        let known = secret.get("RotationRules").cloned();
        let known = known.ok_or_else(|| invalid("You must specify RotationRules when you turn on rotation."))?;
        let days = known["AutomaticallyAfterDays"].as_f64().unwrap_or(1.0);
        return Ok((known, days * DAY_S));
    };
    let (days, schedule) = (given["AutomaticallyAfterDays"].as_f64(), optional(given, "ScheduleExpression"));
    let seconds = match (days, schedule) {
        (Some(_), Some(_)) => {
            return Err(invalid("You can't specify both AutomaticallyAfterDays and ScheduleExpression."));
        }
        (Some(days), None) if (1.0..=1000.0).contains(&days) => days * DAY_S,
        (None, Some(schedule)) => period(schedule).ok_or_else(|| invalid("The schedule expression is not valid."))?,
        _ => return Err(invalid("You must specify AutomaticallyAfterDays or ScheduleExpression.")),
    };
    let mut kept = given.clone();
    if schedule.is_some() {
        kept["AutomaticallyAfterDays"] = json!((seconds / DAY_S).ceil());
    }
    Ok((kept, seconds))
}

fn rotate_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let lambda = optional(input, "RotationLambdaARN").or_else(|| optional(&secret, "RotationLambdaARN"));
    let Some(lambda) = lambda.map(str::to_owned) else {
        return Err(refused("No Lambda rotation function ARN is associated with this secret."));
    };
    let form: Vec<&str> = lambda.split(':').collect();
    if !(form.len() >= 7 && form[0] == "arn" && form[2] == "lambda" && form[5] == "function") {
        return Err(invalid("RotationLambdaARN must be the ARN of a Lambda function."));
    }
    if staged(&secret, CURRENT).is_none() {
        return Err(refused("You can't rotate a secret that has no value."));
    }
    let (rules, seconds) = rules(&secret, input.get("RotationRules"))?;
    secret["RotationEnabled"] = json!(true);
    secret["RotationLambdaARN"] = json!(lambda);
    secret["RotationRules"] = rules;
    secret["NextRotationDate"] = json!(call.now() + seconds);
    secret["LastChangedDate"] = call.timestamp();
    let answer = json!({"ARN": secret["ARN"], "Name": name, "VersionId": staged(&secret, CURRENT)});
    keep(call, &name, secret);
    Ok(answer)
}

fn cancel_rotate_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    if text(&secret, "RotationLambdaARN").is_empty() {
        return Err(refused("You can't cancel the rotation of a secret that never had one."));
    }
    secret["RotationEnabled"] = json!(false);
    secret["NextRotationDate"] = Value::Null;
    let answer = json!({"ARN": secret["ARN"], "Name": name, "VersionId": staged(&secret, CURRENT)});
    keep(call, &name, secret);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::period;

    #[test]
    fn schedules_are_read() {
        assert_eq!(period("rate(12 hours)"), Some(43_200.0));
        assert_eq!(period("rate(10 days)"), Some(864_000.0));
        assert_eq!(period("cron(0 4 1 * ? *)"), Some(86_400.0));
        for bad in ["rate(1 hour)", "rate(0 days)", "cron(0 4)", "daily", "rate(5 minutes)"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }
}

//! Event selectors and insight selectors.

use serde_json::{Value, json};

use super::{TRAILS, any, fault, home};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("GetEventSelectors", get_event_selectors),
    ("GetInsightSelectors", get_insight_selectors),
    ("PutEventSelectors", put_event_selectors),
    ("PutInsightSelectors", put_insight_selectors),
];

/// Selectors that one trail may have.
const BASIC_MAX: usize = 5;
/// Values that all advanced selectors of a trail may have together.
const VALUES_MAX: usize = 500;
const BASIC_TYPES: [&str; 3] = ["AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::S3::Object"];
const OPERATORS: [&str; 6] = ["Equals", "NotEquals", "StartsWith", "NotStartsWith", "EndsWith", "NotEndsWith"];
const FIELDS: [&str; 11] = [
    "errorCode",
    "eventCategory",
    "eventName",
    "eventSource",
    "eventType",
    "readOnly",
    "resources.ARN",
    "resources.type",
    "sessionCredentialFromConsole",
    "userIdentity.arn",
    "vpcEndpointId",
];

/// Returns the selectors that a new trail has: all management events.
pub(super) fn default() -> Value {
    json!({"EventSelectors": [complete(&json!({}))]})
}

/// Writes a basic selector with all of its members.
fn complete(selector: &Value) -> Value {
    json!({
        "ReadWriteType": optional(selector, "ReadWriteType").unwrap_or("All"),
        "IncludeManagementEvents": selector.get("IncludeManagementEvents").is_none_or(|value| *value == true),
        "DataResources": selector.get("DataResources").cloned().unwrap_or_else(|| json!([])),
        "ExcludeManagementEventSources": selector.get("ExcludeManagementEventSources").cloned().unwrap_or_else(|| json!([])),
    })
}

fn wrong(message: impl Into<String>) -> AwsError {
    fault("InvalidEventSelectorsException", message)
}

fn check_basic(selectors: &[Value]) -> Result<(), AwsError> {
    if selectors.len() > BASIC_MAX {
        return Err(wrong(format!("The number of event selectors exceeds {BASIC_MAX}.")));
    }
    for selector in selectors {
        for source in texts(selector, "ExcludeManagementEventSources") {
            if !["kms.amazonaws.com", "rdsdata.amazonaws.com"].contains(&source) {
                return Err(wrong(format!("{source} can't be excluded.")));
            }
        }
        for resource in selector["DataResources"].as_array().into_iter().flatten() {
            if !BASIC_TYPES.contains(&text(resource, "Type")) {
                return Err(wrong(format!("The data resource type {} is not valid.", text(resource, "Type"))));
            }
            let values = texts(resource, "Values");
            if values.is_empty() || !values.iter().all(|value| value.starts_with("arn:")) {
                return Err(wrong("The values of a data resource have to be ARNs or their beginnings."));
            }
        }
    }
    Ok(())
}

fn check_advanced(selectors: &[Value]) -> Result<(), AwsError> {
    let mut count = 0;
    for selector in selectors {
        let fields = selector["FieldSelectors"].as_array().cloned().unwrap_or_default();
        let values_of = |name: &str| {
            let field = fields.iter().find(|field| text(field, "Field") == name);
            field.map(|field| texts(field, "Equals"))
        };
        for field in &fields {
            let name = text(field, "Field");
            if !FIELDS.contains(&name) {
                return Err(wrong(format!("The field {name} is not valid.")));
            }
            let given: usize = OPERATORS.iter().map(|operator| texts(field, operator).len()).sum();
            if given == 0 {
                return Err(wrong(format!("The field {name} needs at least one operator with a value.")));
            }
            let plain = OPERATORS[1..].iter().all(|operator| texts(field, operator).is_empty());
            if ["eventCategory", "readOnly", "resources.type"].contains(&name) && (!plain || given != 1) {
                return Err(wrong(format!("The field {name} takes Equals with one value only.")));
            }
            count += given;
        }
        let category = values_of("eventCategory").unwrap_or_default();
        match category.as_slice() {
            ["Management"] if values_of("resources.type").is_some() || values_of("resources.ARN").is_some() => {
                return Err(wrong("Management events can't be selected by resources."));
            }
            ["Data"] if values_of("resources.type").is_none() => {
                return Err(wrong("A selector for data events needs the field resources.type."));
            }
            ["Management" | "Data" | "NetworkActivity"] => {}
            _ => return Err(wrong("A selector needs the field eventCategory: Management, Data or NetworkActivity.")),
        }
    }
    if count > VALUES_MAX {
        return Err(wrong(format!("The number of values of all selectors exceeds {VALUES_MAX}.")));
    }
    Ok(())
}

fn put_event_selectors(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, trail) = home(call, text(input, "TrailName"))?;
    let list = |member: &str| input[member].as_array().cloned().unwrap_or_default();
    let (basic, advanced) = (list("EventSelectors"), list("AdvancedEventSelectors"));
    let kept = match (basic.is_empty(), advanced.is_empty()) {
        (false, true) => {
            check_basic(&basic)?;
            json!({"EventSelectors": basic.iter().map(complete).collect::<Vec<_>>()})
        }
        (true, false) => {
            check_advanced(&advanced)?;
            json!({"AdvancedEventSelectors": advanced})
        }
        _ => return Err(wrong("Specify either event selectors or advanced event selectors, and at least one.")),
    };
    let custom = kept != default();
    let mut answer = kept.clone();
    answer["TrailARN"] = trail["TrailARN"].clone();
    call.change(TRAILS, &name, |trail| {
        trail["_selectors"] = kept;
        trail["HasCustomEventSelectors"] = json!(custom);
    });
    Ok(answer)
}

fn get_event_selectors(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, trail) = any(call, text(input, "TrailName"))?;
    let mut answer = trail["_selectors"].clone();
    answer["TrailARN"] = trail["TrailARN"].clone();
    Ok(answer)
}

/// Tells whether a trail records management events that write, which insights look at.
fn records_writes(trail: &Value) -> bool {
    let list = |member: &str| trail["_selectors"][member].as_array().cloned().unwrap_or_default();
    let basic = list("EventSelectors")
        .iter()
        .any(|one| one["IncludeManagementEvents"] == true && text(one, "ReadWriteType") != "ReadOnly");
    let advanced = list("AdvancedEventSelectors").iter().any(|one| {
        let fields = one["FieldSelectors"].as_array().cloned().unwrap_or_default();
        let is = |name: &str, value: &str| {
            fields.iter().any(|field| text(field, "Field") == name && texts(field, "Equals").contains(&value))
        };
        is("eventCategory", "Management") && !is("readOnly", "true")
    });
    basic || advanced
}

fn put_insight_selectors(call: &mut Call<'_>, input: &Value) -> Answer {
    let Some(given) = optional(input, "TrailName") else {
        return Err(fault("InvalidParameterCombinationException", "The sandbox has trails only; TrailName is needed."));
    };
    let (name, trail) = home(call, given)?;
    let selectors = input["InsightSelectors"].as_array().cloned().unwrap_or_default();
    if selectors.iter().any(|selector| text(selector, "InsightType").is_empty()) {
        return Err(fault("InvalidInsightSelectorsException", "An insight selector needs its InsightType."));
    }
    if !selectors.is_empty() && !records_writes(&trail) {
        let message = "Insights need a trail that records management events that write.";
        return Err(fault("InvalidInsightSelectorsException", message));
    }
    let kept = Value::Array(selectors);
    let any = kept.as_array().is_some_and(|list| !list.is_empty());
    let answer = json!({"TrailARN": trail["TrailARN"], "InsightSelectors": kept});
    call.change(TRAILS, &name, |trail| {
        trail["_insights"] = kept;
        trail["HasInsightSelectors"] = json!(any);
    });
    Ok(answer)
}

fn get_insight_selectors(call: &mut Call<'_>, input: &Value) -> Answer {
    let Some(given) = optional(input, "TrailName") else {
        return Err(fault("InvalidParameterCombinationException", "The sandbox has trails only; TrailName is needed."));
    };
    let (_, trail) = any(call, given)?;
    if trail["HasInsightSelectors"] != true {
        let message = format!("Trail {} does not have Insights enabled.", text(&trail, "TrailARN"));
        return Err(fault("InsightNotEnabledException", message));
    }
    Ok(json!({"TrailARN": trail["TrailARN"], "InsightSelectors": trail["_insights"]}))
}

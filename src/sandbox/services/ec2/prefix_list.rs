//! Prefix lists of AWS's own; a customer's own are not simulated.

use serde_json::{Value, json};

use super::filter;
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("DescribeManagedPrefixLists", describe_managed_prefix_lists), ("DescribePrefixLists", describe_prefix_lists)];

/// One list of a region: its id, its name and its ranges.
pub(super) struct PrefixList {
    pub(super) id: String,
    pub(super) name: String,
    cidrs: &'static [&'static str],
}

/// Returns the lists of a region; each region has ids of its own.
pub(super) fn lists(call: &Call<'_>) -> Vec<PrefixList> {
    let region = &call.region;
    let of = |name: String, cidrs: &'static [&'static str]| {
        let id = match name.as_str() {
            "com.amazonaws.us-east-1.s3" => "pl-63a5400a".to_owned(),
            "com.amazonaws.us-east-1.dynamodb" => "pl-02cd2c6b".to_owned(),
            other => format!("pl-{}", hex::encode(&call.derived(&format!("prefix-list/{region}/{other}"))[..4])),
        };
        PrefixList { id, name, cidrs }
    };
    vec![
        of(format!("com.amazonaws.{region}.dynamodb"), &["3.218.180.0/22", "52.94.0.0/22"]),
        of(format!("com.amazonaws.{region}.s3"), &["16.15.176.0/20", "52.216.0.0/15", "54.231.0.0/16"]),
        of("com.amazonaws.global.cloudfront.origin-facing".to_owned(), &["13.32.0.0/15", "130.176.0.0/17"]),
    ]
}

/// Tells whether there is a list with an id.
pub(super) fn exists(call: &Call<'_>, id: &str) -> bool {
    lists(call).iter().any(|list| list.id == id)
}

pub(super) fn missing(id: &str) -> AwsError {
    AwsError::new("InvalidPrefixListID.NotFound", format!("The prefix list ID '{id}' does not exist"))
}

fn describe_prefix_lists(call: &mut Call<'_>, input: &Value) -> Answer {
    answer(call, input, |list| json!({"PrefixListId": list.id, "PrefixListName": list.name, "Cidrs": list.cidrs}))
}

fn describe_managed_prefix_lists(call: &mut Call<'_>, input: &Value) -> Answer {
    let (region, partition) = (call.region.clone(), call.partition());
    answer(call, input, |list| {
        json!({
            "PrefixListId": list.id,
            "PrefixListName": list.name,
            "AddressFamily": "IPv4",
            "State": "create-complete",
            "PrefixListArn": format!("arn:{partition}:ec2:{region}:aws:prefix-list/{}", list.id),
            "OwnerId": "AWS",
            "Tags": [],
        })
    })
}

fn answer(call: &Call<'_>, input: &Value, show: impl Fn(&PrefixList) -> Value) -> Answer {
    super::check_page_size(call, input)?;
    let wanted = texts(input, "PrefixListIds");
    if let Some(unknown) = wanted.iter().find(|id| !exists(call, id)) {
        return Err(missing(unknown));
    }
    let known = [("prefix-list-id", "PrefixListId"), ("prefix-list-name", "PrefixListName"), ("owner-id", "OwnerId")];
    let filters = filter::parse(input, &known)?;
    let rows = lists(call).into_iter().filter(|list| wanted.is_empty() || wanted.contains(&list.id.as_str()));
    let rows = rows.map(|list| (list.id.clone(), show(&list)));
    let rows = rows.filter(|(_, row)| filters.iter().all(|filter| filter.fits(row)));
    call.paged(input, "PrefixLists", rows.collect(), usize::MAX)
}

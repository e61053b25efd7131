//! What the region offers, and what the account may have in it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::SummaryKeyType;

use super::{Questions, or_unknown};
use crate::aws::{Aws, AwsError, together};

/// The region's offer and the account's quotas.
#[derive(Debug, Clone, Default)]
pub struct Region {
    pub zones: BTreeSet<String>,
    /// The services asked about, by whether the region has them.
    pub services: BTreeMap<String, bool>,
    /// Those of AWS's own policies asked about that exist.
    pub policies: BTreeSet<String>,
    /// Quotas that could be read, by name.
    pub quotas: BTreeMap<String, u64>,
    /// How many there are now of what the quotas count.
    pub used: BTreeMap<String, u64>,
    /// Trails of other regions that show here and count.
    pub trails_elsewhere: u64,
    /// Whether the account is taken for the one that manages an organization.
    pub organization: bool,
}

/// The names of IAM's quotas and counts in its summary.
const SUMMARY: [(&str, SummaryKeyType, Option<&str>); 5] = [
    ("roles", SummaryKeyType::RolesQuota, Some("Roles")),
    ("policies", SummaryKeyType::PoliciesQuota, Some("Policies")),
    ("instance_profiles", SummaryKeyType::InstanceProfilesQuota, Some("InstanceProfiles")),
    ("policies_per_role", SummaryKeyType::AttachedPoliciesPerRoleQuota, None),
    ("role_trust_characters", SummaryKeyType::AssumeRolePolicySizeQuota, None),
];

pub(super) async fn read(aws: &Aws, questions: &Questions) -> (Region, Vec<String>) {
    let mut unknown = Vec::new();
    let (zones, services, policies, summary, addresses, trails) = futures::join!(
        zones(aws),
        services(aws, &questions.services),
        policies(aws, &questions.policies),
        summary(aws),
        addresses(aws),
        trails(aws)
    );
    let (trails_elsewhere, organization) = or_unknown("trails of other regions", trails, &mut unknown);
    if questions.organization && !organization {
        unknown.push("whether the account manages an organization".to_owned());
    }
    let mut out = Region {
        zones: or_unknown("zones", zones, &mut unknown),
        services: or_unknown("endpoint services", services, &mut unknown),
        policies: or_unknown("AWS's own policies", policies, &mut unknown),
        trails_elsewhere,
        organization: organization || questions.organization,
        ..Region::default()
    };
    (out.quotas, out.used) = or_unknown("IAM's quotas", summary, &mut unknown);
    if let Some(most) = or_unknown("the quota of Elastic IPs", addresses, &mut unknown) {
        out.quotas.insert("elastic_ips".to_owned(), most);
    }
    (out, unknown)
}

async fn zones(aws: &Aws) -> Result<BTreeSet<String>, AwsError> {
    let found = aws.ec2().describe_availability_zones().send().await?.availability_zones.unwrap_or_default();
    Ok(found.into_iter().filter_map(|zone| zone.zone_name).collect())
}

async fn services(aws: &Aws, wanted: &BTreeSet<String>) -> Result<BTreeMap<String, bool>, AwsError> {
    let reads = wanted.iter().map(|name| async move {
        let answer = aws.ec2().describe_vpc_endpoint_services().service_names(name).send().await;
        match answer.map_err(AwsError::from) {
            Ok(found) => Ok((name.clone(), !found.service_details().is_empty())),
            Err(error) if error.code == "InvalidServiceName" => Ok((name.clone(), false)),
            Err(error) => Err(error),
        }
    });
    together(reads).await.into_iter().collect()
}

async fn policies(aws: &Aws, wanted: &BTreeSet<String>) -> Result<BTreeSet<String>, AwsError> {
    let reads = wanted.iter().map(|arn| async move {
        let answer = aws.iam().get_policy().policy_arn(arn).send().await.map_err(AwsError::from);
        Ok(answer.map_or_else(AwsError::absent, |_| Ok(Some(())))?.map(|()| arn.clone()))
    });
    let found: Result<Vec<Option<String>>, AwsError> = together(reads).await.into_iter().collect();
    Ok(found?.into_iter().flatten().collect())
}

type Counts = BTreeMap<String, u64>;

async fn summary(aws: &Aws) -> Result<(Counts, Counts), AwsError> {
    let map = aws.iam().get_account_summary().send().await?.summary_map.unwrap_or_default();
    let get = |key: &SummaryKeyType| map.get(key).and_then(|value| u64::try_from(*value).ok());
    let (mut quotas, mut used) = (Counts::new(), Counts::new());
    for (name, quota, count) in SUMMARY {
        quotas.extend(get(&quota).map(|value| (name.to_owned(), value)));
        let count = count.and_then(|count| get(&SummaryKeyType::from(count)));
        used.extend(count.map(|value| (name.to_owned(), value)));
    }
    Ok((quotas, used))
}

async fn addresses(aws: &Aws) -> Result<Option<u64>, AwsError> {
    // The request knows two names only; the answer has them all.
    let found = aws.ec2().describe_account_attributes().send().await?.account_attributes.unwrap_or_default();
    let attribute = found.into_iter().find(|it| it.attribute_name.as_deref() == Some("vpc-max-elastic-ips"));
    let value = attribute.and_then(|attribute| attribute.attribute_values?.into_iter().next()?.attribute_value);
    Ok(value.and_then(|value| value.parse().ok()))
}

async fn trails(aws: &Aws) -> Result<(u64, bool), AwsError> {
    let found = aws.cloudtrail().describe_trails().include_shadow_trails(true).send().await?;
    let elsewhere = found.trail_list().iter().filter(|trail| trail.home_region.as_deref() != Some(aws.region()));
    let organization = found.trail_list().iter().any(|trail| trail.is_organization_trail == Some(true));
    Ok((elsewhere.count() as u64, organization))
}

impl Region {
    /// Returns how many of each are counted by the copy now: its own summary.
    ///
    /// # Errors
    /// Returns what the copy answered.
    pub async fn counted(copy: &Aws) -> Result<Counts, AwsError> {
        Ok(summary(copy).await?.1)
    }
}

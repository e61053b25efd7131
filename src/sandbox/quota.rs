//! The quotas that the simulated AWS enforces: AWS's published defaults, by name.
//!
//! The conditions may set another value for an account (`quotas`), as Service Quotas does; `*` there stands for
//! every quota that is not named. Sizes of documents that AWS never changes are no quotas, but rules of their
//! services.

use super::call::Call;

/// One quota with its default and the page of AWS that states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub name: &'static str,
    pub default: u64,
    pub source: &'static str,
}

const VPC: &str = "https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html";
const IAM: &str = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html";
const EC2: &str = "https://docs.aws.amazon.com/general/latest/gr/ec2-service.html";
const S3: &str = "https://docs.aws.amazon.com/general/latest/gr/s3.html";
const KMS: &str = "https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html";
const LOGS: &str = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html";
const TRAIL: &str = "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html";
const BEDROCK: &str = "https://docs.aws.amazon.com/general/latest/gr/bedrock.html";
const SECRETS: &str = "https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html";

const fn quota(name: &'static str, default: u64, source: &'static str) -> Quota {
    Quota { name, default, source }
}

/// All quotas with a published default.
pub const QUOTAS: &[Quota] = &[
    quota("vpcs", 5, VPC),
    quota("cidrs_per_vpc", 5, VPC),
    quota("subnets_per_vpc", 200, VPC),
    quota("internet_gateways", 5, VPC),
    quota("elastic_ips", 5, VPC),
    quota("nat_gateways_per_zone", 5, VPC),
    quota("addresses_per_nat_gateway", 2, VPC),
    quota("private_addresses_per_nat_gateway", 8, VPC),
    quota("route_tables_per_vpc", 200, VPC),
    quota("routes_per_route_table", 500, VPC),
    quota("security_groups", 2500, VPC),
    quota("rules_per_security_group", 60, VPC),
    quota("gateway_endpoints", 20, VPC),
    quota("interface_endpoints_per_vpc", 50, VPC),
    quota("placement_groups", 500, EC2),
    quota("launch_templates", 5000, EC2),
    quota("roles", 1000, IAM),
    quota("policies", 1500, IAM),
    quota("instance_profiles", 1000, IAM),
    quota("policies_per_role", 10, IAM),
    quota("role_trust_characters", 2048, IAM),
    quota("buckets", 10_000, S3),
    quota("kms_keys", 100_000, KMS),
    quota("kms_aliases_per_key", 50, KMS),
    quota("log_groups", 1_000_000, LOGS),
    quota("trails", 5, TRAIL),
    quota("guardrails", 100, BEDROCK),
    quota("secrets", 500_000, SECRETS),
];

/// The quota of the instances of a type that endpoints use has no common default: a new account has others.
pub(crate) const ENDPOINT_INSTANCES: &str = "endpoint_instances/";

impl Call<'_> {
    /// Returns a quota of the caller's account: what the conditions say, or the published default.
    pub(crate) fn quota(&self, name: &str) -> usize {
        let given = &self.world.conditions.quotas;
        let own = given.get(name).or_else(|| given.get("*")).copied();
        let published = || QUOTAS.iter().find(|quota| quota.name == name).map(|quota| quota.default);
        own.or_else(published).map_or(usize::MAX, |value| usize::try_from(value).unwrap_or(usize::MAX))
    }

    /// Returns names that the conditions add to a catalogue of the sandbox (`zones`, `endpoint_services`, …).
    pub(crate) fn catalogue(&self, name: &str) -> Vec<String> {
        self.world.conditions.catalogue.get(name).into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::QUOTAS;

    #[test]
    fn every_quota_has_one_name() {
        let mut names: Vec<_> = QUOTAS.iter().map(|quota| quota.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), QUOTAS.len());
    }
}

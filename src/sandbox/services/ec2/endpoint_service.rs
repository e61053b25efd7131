//! The services of a region that endpoints lead to.

use serde_json::{Value, json};

use super::{filter, zones};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("DescribeVpcEndpointServices", describe_vpc_endpoint_services)];

/// The services with interface endpoints, and the name of their private DNS in a region (`{}`), where they have one.
const INTERFACE: &[(&str, &str)] = &[
    ("access-analyzer", "access-analyzer.{}.amazonaws.com"),
    ("autoscaling", "autoscaling.{}.amazonaws.com"),
    ("backup", "backup.{}.amazonaws.com"),
    ("batch", "batch.{}.amazonaws.com"),
    ("bedrock", "bedrock.{}.amazonaws.com"),
    ("bedrock-agent", "bedrock-agent.{}.amazonaws.com"),
    ("bedrock-agent-runtime", "bedrock-agent-runtime.{}.amazonaws.com"),
    ("bedrock-runtime", "bedrock-runtime.{}.amazonaws.com"),
    ("cloudformation", "cloudformation.{}.amazonaws.com"),
    ("cloudtrail", "cloudtrail.{}.amazonaws.com"),
    ("config", "config.{}.amazonaws.com"),
    ("dynamodb", ""),
    ("ebs", "ebs.{}.amazonaws.com"),
    ("ec2", "ec2.{}.amazonaws.com"),
    ("ec2messages", "ec2messages.{}.amazonaws.com"),
    ("ecr.api", "api.ecr.{}.amazonaws.com"),
    ("ecr.dkr", "*.dkr.ecr.{}.amazonaws.com"),
    ("ecs", "ecs.{}.amazonaws.com"),
    ("eks", "eks.{}.amazonaws.com"),
    ("elasticfilesystem", "elasticfilesystem.{}.amazonaws.com"),
    ("elasticloadbalancing", "elasticloadbalancing.{}.amazonaws.com"),
    ("events", "events.{}.amazonaws.com"),
    ("execute-api", "*.execute-api.{}.amazonaws.com"),
    ("fsx", "fsx.{}.amazonaws.com"),
    ("guardduty-data", "guardduty-data.{}.amazonaws.com"),
    ("kinesis-streams", "kinesis.{}.amazonaws.com"),
    ("kms", "kms.{}.amazonaws.com"),
    ("lambda", "lambda.{}.amazonaws.com"),
    ("logs", "logs.{}.amazonaws.com"),
    ("monitoring", "monitoring.{}.amazonaws.com"),
    ("s3", ""),
    ("sagemaker.api", "api.sagemaker.{}.amazonaws.com"),
    ("sagemaker.featurestore-runtime", "featurestore-runtime.sagemaker.{}.amazonaws.com"),
    ("sagemaker.runtime", "runtime.sagemaker.{}.amazonaws.com"),
    ("secretsmanager", "secretsmanager.{}.amazonaws.com"),
    ("securityhub", "securityhub.{}.amazonaws.com"),
    ("sns", "sns.{}.amazonaws.com"),
    ("sqs", "sqs.{}.amazonaws.com"),
    ("ssm", "ssm.{}.amazonaws.com"),
    ("ssmmessages", "ssmmessages.{}.amazonaws.com"),
    ("states", "states.{}.amazonaws.com"),
    ("sts", "sts.{}.amazonaws.com"),
    ("xray", "xray.{}.amazonaws.com"),
];
/// The services with gateway endpoints.
const GATEWAY: &[&str] = &["dynamodb", "s3"];

/// Returns the types of endpoint that a service takes; none if there is no such service.
pub(super) fn types(call: &Call<'_>, service: &str) -> Vec<&'static str> {
    if call.catalogue("no_endpoint_services").iter().any(|name| name == service) {
        return Vec::new();
    }
    let known = || {
        if call.catalogue("endpoint_services").iter().any(|name| name == service) {
            vec!["Interface"]
        } else {
            Vec::new()
        }
    };
    let Some(short) = service.strip_prefix(&format!("com.amazonaws.{}.", call.region)) else { return known() };
    let mut found = Vec::new();
    if GATEWAY.contains(&short) {
        found.push("Gateway");
    }
    if INTERFACE.iter().any(|(name, _)| *name == short) {
        found.push("Interface");
    }
    if found.is_empty() { known() } else { found }
}

/// Returns the private DNS name of a service.
pub(super) fn private_name(region: &str, service: &str) -> Option<String> {
    let short = service.strip_prefix(&format!("com.amazonaws.{region}."))?;
    let (_, name) = INTERFACE.iter().find(|(known, _)| *known == short)?;
    (!name.is_empty()).then(|| name.replace("{}", region))
}

pub(super) fn missing(name: &str) -> AwsError {
    AwsError::new("InvalidServiceName", format!("The Vpc Endpoint Service '{name}' does not exist"))
}

fn describe_vpc_endpoint_services(call: &mut Call<'_>, input: &Value) -> Answer {
    super::check_page_size(call, input)?;
    let wanted = texts(input, "ServiceNames");
    if let Some(unknown) = wanted.iter().find(|name| types(call, name).is_empty()) {
        return Err(missing(unknown));
    }
    let filters = filter::parse(
        input,
        &[
            ("owner", "Owner"),
            ("service-name", "ServiceName"),
            ("service-region", "ServiceRegion"),
            ("service-type", "ServiceType.ServiceType"),
            ("supported-ip-address-types", "SupportedIpAddressTypes"),
        ],
    )?;
    let mut rows = Vec::new();
    for (short, _) in INTERFACE {
        let name = format!("com.amazonaws.{}.{short}", call.region);
        // A service that takes both types is listed once for each.
        for kind in types(call, &name) {
            let row = detail(call, &name, kind);
            if (wanted.is_empty() || wanted.contains(&name.as_str())) && filters.iter().all(|one| one.fits(&row)) {
                rows.push((format!("{name}/{kind}"), row));
            }
        }
    }
    let mut names: Vec<Value> = rows.iter().map(|(_, row)| row["ServiceName"].clone()).collect();
    names.dedup();
    let mut answer = call.paged(input, "ServiceDetails", rows, usize::MAX)?;
    answer["ServiceNames"] = json!(names);
    Ok(answer)
}

fn detail(call: &Call<'_>, name: &str, kind: &str) -> Value {
    let short = name.rsplit(&format!("{}.", call.region)).next().unwrap_or_default();
    let mut row = json!({
        "ServiceName": name,
        "ServiceId": format!("vpce-svc-{}", hex::encode(&call.derived(&format!("{name}/{kind}"))[..9])[..17].to_owned()),
        "ServiceType": [{"ServiceType": kind}],
        "ServiceRegion": call.region,
        "AvailabilityZones": zones(call),
        "Owner": "amazon",
        "BaseEndpointDnsNames": [format!("{short}.{}.vpce.amazonaws.com", call.region)],
        "VpcEndpointPolicySupported": true,
        "AcceptanceRequired": false,
        "ManagesVpcEndpoints": false,
        "SupportedIpAddressTypes": ["ipv4"],
        "Tags": [],
    });
    if let Some(private) = private_name(&call.region, name).filter(|_| kind == "Interface") {
        row["PrivateDnsName"] = json!(private);
        row["PrivateDnsNames"] = json!([{"PrivateDnsName": private}]);
        row["PrivateDnsNameVerificationState"] = json!("verified");
    }
    row
}

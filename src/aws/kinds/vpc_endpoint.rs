//! A VPC endpoint: a service reached without the internet.
//!
//! Calls: CreateVpcEndpoint; ModifyVpcEndpoint, CreateTags, DeleteTags; DeleteVpcEndpoints.
//! Reads: DescribeVpcEndpoints; DescribePrefixLists for the gateway ones.
//! Waits: until it is `available` (or waits for the service owner's consent); after a change, until it is available
//! again; until it is gone and its interfaces with it.
//! Traps: DeleteVpcEndpoints answers 200 and lists failures in its body. A gateway endpoint adds a route to each of
//! its tables; `route_table` leaves that route alone. One ModifyVpcEndpoint both adds and removes, so there is no
//! moment without access.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, IpAddressType, ResourceType, VpcEndpoint as SdkEndpoint, VpcEndpointType as SdkType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, PolicyDocument};

/// A private way from a VPC to a service of AWS or of a partner.
///
/// A `gateway` endpoint (S3 and DynamoDB) costs nothing and works by routes; an `interface` endpoint is a network
/// interface in each of its subnets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The VPC's id.
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: String,
    /// The service: AWS's own by its short name (`s3`, `bedrock-runtime`, `ecr.dkr`), another by its full name
    /// (`com.amazonaws.vpce.us-east-1.vpce-svc-…`).
    #[schemars(extend("x-change" = "replace"))]
    pub service: String,
    /// `gateway`, `interface` or `gateway_load_balancer`.
    #[schemars(extend("x-change" = "replace"))]
    pub r#type: EndpointType,
    /// The ids of the route tables that lead to a gateway endpoint.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-unique" = ["service"]))]
    pub route_tables: Vec<String>,
    /// The ids of the subnets in which an interface endpoint has its interfaces; one for each zone.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub subnets: Vec<String>,
    /// The ids of an interface endpoint's security groups; left out, the VPC's default group.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub security_groups: Option<Vec<String>>,
    /// Whether the service's usual names lead to an interface endpoint; left out, they do for AWS's own services.
    #[serde(default)]
    #[schemars(extend("x-unique" = ["vpc", "service", "type"]))]
    pub private_dns: Option<bool>,
    /// What may be done through it; left out, everything.
    #[serde(default)]
    pub policy: Option<PolicyDocument>,
    /// The addresses of an interface endpoint: `ipv4`, `ipv6` or `dualstack`; left out, the subnets decide.
    #[serde(default)]
    pub address_type: Option<AddressType>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// How an endpoint works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointType {
    Gateway,
    Interface,
    GatewayLoadBalancer,
}

/// Which addresses an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressType {
    Ipv4,
    Ipv6,
    Dualstack,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The endpoint's id (`vpce-…`).
    pub id: String,
    /// The endpoint's ARN.
    pub arn: String,
    /// The service's full name.
    pub service_name: String,
    /// The DNS names of an interface endpoint.
    #[schemars(extend("x-volatile" = true))]
    pub dns_names: Vec<String>,
    /// The network interfaces of an interface endpoint.
    #[schemars(extend("x-volatile" = true))]
    pub network_interfaces: Vec<String>,
    /// The prefix list of a gateway endpoint, for security group rules.
    pub prefix_list: Option<String>,
    /// `pending`, `available`, `pendingacceptance`, `failed`, …; one that failed or was rejected is replaced.
    #[schemars(extend("x-volatile" = true, "x-broken" = ["failed", "rejected", "expired"]))]
    pub state: String,
}

/// See the module's header.
pub struct VpcEndpoint;

impl ResourceKind for VpcEndpoint {
    const NAME: &'static str = "vpc_endpoint";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::ClientToken;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribePrefixLists", "ec2:DescribeVpcEndpoints"],
        create: &["ec2:CreateTags", "ec2:CreateVpcEndpoint"],
        update: &["ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifyVpcEndpoint"],
        delete: &["ec2:DeleteVpcEndpoints"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        check(arguments)
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("vpc-endpoint-id", ids, |filters| list(aws, filters)).await?;
        let lists = prefix_lists(aws, &found).await?;
        let found = found.into_iter().filter(lives);
        Ok(ec2::answers(ids, found.map(|endpoint| observe(aws, endpoint, &lists))))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?.into_iter().filter(lives);
        // What a service made for itself is that service's to manage.
        let found = found.filter(|endpoint| endpoint.requester_managed != Some(true));
        Ok(found.map(|endpoint| ec2::discovered(endpoint.vpc_endpoint_id, endpoint.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?.into_iter().filter(lives);
        Ok(found.filter_map(|endpoint| endpoint.vpc_endpoint_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let call = cx.aws.ec2().create_vpc_endpoint().vpc_id(&arguments.vpc);
        let call = call.vpc_endpoint_type(sdk_type(arguments.r#type));
        let call = call.service_name(full_name(cx.aws.region(), &arguments.service));
        let call = call.set_policy_document(arguments.policy.as_ref().map(PolicyDocument::to_text));
        let call = call.set_route_table_ids(some(&arguments.route_tables)).set_subnet_ids(some(&arguments.subnets));
        let call = call.set_security_group_ids(arguments.security_groups.clone());
        let call = call.set_private_dns_enabled(arguments.private_dns);
        let call = call.set_ip_address_type(arguments.address_type.map(sdk_address_type));
        let tags = ec2::tag_specification(ResourceType::VpcEndpoint, &cx.tags(&arguments.tags));
        let output = call.client_token(cx.token).tag_specifications(tags).send().await?;
        let id = output.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id);
        Ok(id.expect("internal error: CreateVpcEndpoint answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until_available(aws, id).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let parts = ["route_tables", "subnets", "security_groups", "private_dns", "policy", "address_type"];
        if parts.iter().any(|part| cx.touches(part)) {
            modify(&cx).await?;
            until_available(cx.aws, cx.id).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let id = cx.id.as_str();
        let output = cx.aws.ec2().delete_vpc_endpoints().vpc_endpoint_ids(id).send().await?;
        if let Some(item) = output.unsuccessful.unwrap_or_default().into_iter().find_map(|item| item.error) {
            let (code, message) = (item.code.unwrap_or_default(), item.message.unwrap_or_default());
            return Err(AwsError::answered("ec2:DeleteVpcEndpoints", &code, message));
        }
        until(cx.aws, "the endpoint to be deleted", Bound::seconds(900), || async {
            let found = list(cx.aws, vec![ec2::filter("vpc-endpoint-id", [id])]).await?;
            Ok(match found.first().map(state).as_deref() {
                None | Some("deleted") => Poll::Ready(()),
                Some(other) => Poll::Pending(other.to_owned()),
            })
        })
        .await
    }
}

fn check(arguments: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let given = |name: &str| {
        let value = arguments.get(name).filter(|value| !value.is_null());
        value.is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty()))
    };
    let service = text("service");
    if let Some(rest) = service.strip_prefix("com.amazonaws.").filter(|rest| !rest.starts_with("vpce.")) {
        let short = rest.split_once('.').map_or(rest, |(_, short)| short);
        let problem = Problem::new("service", "a service of AWS goes by its short name");
        out.push(Problem { help: Some(format!("write `{short}`")), ..problem });
    }
    let refused: &[&str] = match text("type") {
        "gateway" => &["subnets", "security_groups", "private_dns", "address_type"],
        "interface" => &["route_tables"],
        "gateway_load_balancer" => &["route_tables", "security_groups", "private_dns", "policy"],
        _ => &[],
    };
    for name in refused.iter().filter(|name| given(name)) {
        let message = format!("an endpoint of type `{}` takes no `{name}`", text("type"));
        out.push(Problem::new(*name, message));
    }
    out
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkEndpoint>, AwsError> {
    let call = aws.ec2().describe_vpc_endpoints().set_filters(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

fn lives(endpoint: &SdkEndpoint) -> bool {
    !GONE.contains(&state(endpoint).as_str())
}

/// States of an endpoint that is no more.
const GONE: [&str; 2] = ["deleting", "deleted"];

/// States that an endpoint does not come back from.
const BROKEN: [&str; 3] = ["failed", "rejected", "expired"];

/// Returns the state in small letters; the API writes states now with a capital and now without.
fn state(endpoint: &SdkEndpoint) -> String {
    endpoint.state.as_ref().map(|state| state.as_str().to_ascii_lowercase()).unwrap_or_default()
}

async fn until_available(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
    until(aws, "the endpoint to be available", Bound::seconds(900), || async {
        let found = list(aws, vec![ec2::filter("vpc-endpoint-id", [id.as_str()])]).await?;
        let Some(endpoint) = found.into_iter().next() else { return Ok(Poll::Pending("not visible".to_owned())) };
        let state = state(&endpoint);
        match state.as_str() {
            // The owner of a partner's service may take days to accept.
            "available" | "pendingacceptance" => Ok(Poll::Ready(())),
            lost if GONE.contains(&lost) || BROKEN.contains(&lost) => Err(failed(endpoint, lost)),
            _ => Ok(Poll::Pending(state)),
        }
    })
    .await
}

fn failed(endpoint: SdkEndpoint, state: &str) -> AwsError {
    let last = endpoint.last_error;
    let code = last.as_ref().and_then(|last| last.code.clone()).unwrap_or_else(|| state.to_owned());
    let message = last.and_then(|last| last.message).unwrap_or_else(|| format!("the endpoint is {state}"));
    AwsError::own("ec2:CreateVpcEndpoint", ErrorClass::Other, &code, message)
}

async fn modify(cx: &Update<'_, VpcEndpoint>) -> Result<(), AwsError> {
    let (before, after) = (&cx.before.arguments, cx.after);
    let mut call = cx.aws.ec2().modify_vpc_endpoint().vpc_endpoint_id(cx.id.as_str());
    if cx.touches("route_tables") {
        let (add, remove) = difference(&before.route_tables, &after.route_tables);
        call = call.set_add_route_table_ids(add).set_remove_route_table_ids(remove);
    }
    if cx.touches("subnets") {
        let (add, remove) = difference(&before.subnets, &after.subnets);
        call = call.set_add_subnet_ids(add).set_remove_subnet_ids(remove);
    }
    if cx.touches("security_groups") {
        let wanted = match &after.security_groups {
            Some(groups) => groups.clone(),
            None => vec![default_group(cx.aws, &after.vpc).await?],
        };
        let (add, remove) = difference(before.security_groups.as_deref().unwrap_or_default(), &wanted);
        call = call.set_add_security_group_ids(add).set_remove_security_group_ids(remove);
    }
    if cx.touches("private_dns") {
        call = call.private_dns_enabled(after.private_dns.unwrap_or(true));
    }
    if cx.touches("policy") {
        call = match &after.policy {
            Some(policy) => call.policy_document(policy.to_text()),
            None => call.reset_policy(true),
        };
    }
    if cx.touches("address_type") {
        call = call.ip_address_type(sdk_address_type(after.address_type.unwrap_or(AddressType::Ipv4)));
    }
    call.send().await?;
    Ok(())
}

/// Returns what to add and what to remove; nothing for an empty list.
fn difference(before: &[String], after: &[String]) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let without = |some: &[String], others: &[String]| {
        let left: Vec<String> = some.iter().filter(|one| !others.contains(one)).cloned().collect();
        (!left.is_empty()).then_some(left)
    };
    (without(after, before), without(before, after))
}

async fn default_group(aws: &Aws, vpc: &str) -> Result<String, AwsError> {
    let call = aws.ec2().describe_security_groups().filters(ec2::filter("vpc-id", [vpc]));
    let output = call.filters(ec2::filter("group-name", ["default"])).send().await?;
    let group = output.security_groups.unwrap_or_default().into_iter().find_map(|group| group.group_id);
    group.ok_or_else(|| {
        let message = format!("`{vpc}` has no default security group");
        AwsError::own("ec2:DescribeSecurityGroups", ErrorClass::NotFound, "NotFound", message)
    })
}

/// Returns the prefix list of each service that a gateway endpoint among these is for.
async fn prefix_lists(aws: &Aws, endpoints: &[SdkEndpoint]) -> Result<BTreeMap<String, String>, AwsError> {
    let gateways = endpoints.iter().filter(|endpoint| endpoint.vpc_endpoint_type == Some(SdkType::Gateway));
    let names: std::collections::BTreeSet<&str> = gateways.filter_map(|one| one.service_name.as_deref()).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let call = aws.ec2().describe_prefix_lists().filters(ec2::filter("prefix-list-name", names));
    let lists = call.into_paginator().items().send().try_collect().await?;
    Ok(lists.into_iter().filter_map(|list| list.prefix_list_name.zip(list.prefix_list_id)).collect())
}

fn observe(aws: &Aws, endpoint: SdkEndpoint, lists: &BTreeMap<String, String>) -> (PhysicalId, Observed<VpcEndpoint>) {
    let state = state(&endpoint);
    let (tags, owner) = ec2::split_tags(endpoint.tags);
    let id = endpoint.vpc_endpoint_id.unwrap_or_default();
    let service_name = endpoint.service_name.unwrap_or_default();
    let r#type = match endpoint.vpc_endpoint_type {
        Some(SdkType::Interface) => EndpointType::Interface,
        Some(SdkType::GatewayLoadBalancer) => EndpointType::GatewayLoadBalancer,
        _ => EndpointType::Gateway,
    };
    let groups = endpoint.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id).collect();
    let interface = r#type == EndpointType::Interface;
    let arguments = Arguments {
        vpc: endpoint.vpc_id.unwrap_or_default(),
        service: short_name(aws.region(), &service_name),
        r#type,
        route_tables: endpoint.route_table_ids.unwrap_or_default(),
        subnets: endpoint.subnet_ids.unwrap_or_default(),
        security_groups: interface.then_some(groups),
        private_dns: endpoint.private_dns_enabled.filter(|_| interface),
        policy: endpoint.policy_document.as_deref().map(PolicyDocument::from_text),
        address_type: match endpoint.ip_address_type {
            Some(IpAddressType::Ipv4) => Some(AddressType::Ipv4),
            Some(IpAddressType::Ipv6) => Some(AddressType::Ipv6),
            Some(IpAddressType::Dualstack) => Some(AddressType::Dualstack),
            _ => None,
        },
        tags,
    };
    let names = endpoint.dns_entries.unwrap_or_default();
    let attributes = Attributes {
        state,
        arn: ec2::arn(aws, endpoint.owner_id.as_deref(), &format!("vpc-endpoint/{id}")),
        id: id.clone(),
        dns_names: names.into_iter().filter_map(|entry| entry.dns_name).collect(),
        network_interfaces: endpoint.network_interface_ids.unwrap_or_default(),
        prefix_list: lists.get(&service_name).cloned(),
        service_name,
    };
    (id.into(), Observed::new(arguments, attributes, owner))
}

fn full_name(region: &str, service: &str) -> String {
    if service.starts_with("com.amazonaws.") || service.starts_with("aws.") || service.starts_with("cn.com.") {
        return service.to_owned();
    }
    format!("com.amazonaws.{region}.{service}")
}

fn short_name(region: &str, service: &str) -> String {
    service.strip_prefix(&format!("com.amazonaws.{region}.")).unwrap_or(service).to_owned()
}

fn sdk_type(r#type: EndpointType) -> SdkType {
    match r#type {
        EndpointType::Gateway => SdkType::Gateway,
        EndpointType::Interface => SdkType::Interface,
        EndpointType::GatewayLoadBalancer => SdkType::GatewayLoadBalancer,
    }
}

fn sdk_address_type(r#type: AddressType) -> IpAddressType {
    match r#type {
        AddressType::Ipv4 => IpAddressType::Ipv4,
        AddressType::Ipv6 => IpAddressType::Ipv6,
        AddressType::Dualstack => IpAddressType::Dualstack,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn service_names_have_one_form() {
        assert_eq!(full_name("us-east-1", "ecr.dkr"), "com.amazonaws.us-east-1.ecr.dkr");
        assert_eq!(short_name("us-east-1", "com.amazonaws.us-east-1.ecr.dkr"), "ecr.dkr");
        for other in ["com.amazonaws.vpce.us-east-1.vpce-svc-1", "aws.sagemaker.us-east-1.notebook"] {
            assert_eq!(short_name("us-east-1", &full_name("us-east-1", other)), other);
        }
    }

    #[test]
    fn arguments_fit_the_type() {
        let given = json!({ "type": "gateway", "service": "com.amazonaws.us-east-1.s3", "subnets": ["subnet-1"],
            "security_groups": null, "private_dns": true });
        let problems = check(&given);
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["service", "subnets", "private_dns"]);
        assert_eq!(problems[0].help.as_deref(), Some("write `s3`"));
    }
}

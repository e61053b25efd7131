//! An EC2 launch template; its EFA interfaces follow from the instance type.
//!
//! Calls: CreateLaunchTemplate (tags and client token in it); CreateLaunchTemplateVersion,
//! ModifyLaunchTemplate, DeleteLaunchTemplateVersions, CreateTags, DeleteTags; DeleteLaunchTemplate. Reads:
//! DescribeLaunchTemplates and DescribeLaunchTemplateVersions of `$Default`, once for all templates;
//! DescribeInstanceTypes once for all their types.
//! Waits: until a new template can be described.
//! Traps: a version can't be changed, so an update makes a new one, makes it the default, and prunes old ones
//! last. An EFA needs a security group; a public address only goes with one interface; a capacity block lies
//! in no placement group unless it was bought in one, so none is added.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{LaunchTemplate as Found, LaunchTemplateVersion, ResourceType};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ec2::{arn, owned_by, retag, split_tags, tag_specification, until_seen};
use super::efa::{Network, interfaces, networks};
use super::launch_template_arguments::Efa;
pub use super::launch_template_arguments::{Arguments, Attributes};
use super::launch_template_data::{read, request, shape_of};
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// Characters of a name; the API's limit.
const NAME_MAX: usize = 128;
/// Versions that are kept, the default one included; some may still be named by number elsewhere.
const VERSIONS_KEPT: usize = 10;
/// Versions that one DeleteLaunchTemplateVersions takes; the API's limit.
const VERSIONS_DELETED_MAX: usize = 200;

/// See the module's header.
pub struct LaunchTemplate;

impl ResourceKind for LaunchTemplate {
    const NAME: &'static str = "launch_template";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::ClientToken;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeLaunchTemplates"],
        create: &["ec2:CreateLaunchTemplate", "ec2:CreateTags", "ec2:DescribeInstanceTypes"],
        update: &[
            "ec2:CreateLaunchTemplateVersion",
            "ec2:CreateTags",
            "ec2:DeleteLaunchTemplateVersions",
            "ec2:DeleteTags",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:ModifyLaunchTemplate",
        ],
        delete: &["ec2:DeleteLaunchTemplate"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        super::launch_template_arguments::check(arguments)
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let one = match ids {
            [only] => Some(only.as_str()),
            _ => None,
        };
        let templates = match templates(aws, one).await {
            Ok(templates) => templates,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let versions = match default_versions(aws, one).await {
            Ok(versions) => versions,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let types = versions.iter().filter_map(instance_type).collect();
        let networks = networks(aws, &types).await;
        let answer = |id: &PhysicalId| {
            let is_it = |text: Option<&str>| text == Some(id.as_str());
            let template = templates.iter().find(|found| is_it(found.launch_template_id()));
            let version = versions.iter().find(|found| is_it(found.launch_template_id()));
            let observation = match (template, version) {
                (Some(template), Some(version)) => {
                    Observation::Present(Box::new(observe(aws, template, version, &networks)))
                }
                // One of the two reads came before a create or after a delete.
                _ => Observation::Absent,
            };
            (id.clone(), observation)
        };
        Ok(ids.iter().map(answer).collect())
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let discovered = |found: Found| {
            let (_, owner) = split_tags(found.tags);
            Discovered {
                id: found.launch_template_id.unwrap_or_default().into(),
                owner,
                name: found.launch_template_name,
            }
        };
        Ok(templates(aws, None).await?.into_iter().map(discovered).collect())
    }

    async fn find(cx: Creation<'_>, _arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let mut pages = cx
            .aws
            .ec2()
            .describe_launch_templates()
            .set_filters(Some(owned_by(cx.owner)))
            .into_paginator()
            .items()
            .send();
        let mut out = Vec::new();
        while let Some(found) = pages.next().await {
            out.extend(found?.launch_template_id.map(PhysicalId::from));
        }
        Ok(out)
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let data = request(arguments, &network_of(cx.aws, arguments).await?)?;
        let output = cx
            .aws
            .ec2()
            .create_launch_template()
            .launch_template_name(arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_MAX)))
            .set_version_description(arguments.description.clone())
            .launch_template_data(data)
            .tag_specifications(tag_specification(ResourceType::LaunchTemplate, &cx.tags(&arguments.tags)))
            .client_token(cx.token)
            .send()
            .await?;
        let template = output.launch_template.expect("internal error: CreateLaunchTemplate answers with the template");
        Ok(template.launch_template_id.unwrap_or_default().into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until_seen(aws, "a launch template", || async {
            match templates(aws, Some(id.as_str())).await {
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                other => other,
            }
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.changes.0.iter().any(|path| path != "tags" && !path.starts_with("tags.") && !path.starts_with("tags[")) {
            new_version(&cx).await?;
            prune(cx.aws, cx.id.as_str()).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        cx.aws.ec2().delete_launch_template().launch_template_id(cx.id.as_str()).send().await?;
        Ok(())
    }
}

/// Makes a version of what is wanted and makes it the default.
async fn new_version(cx: &Update<'_, LaunchTemplate>) -> Result<(), AwsError> {
    let mut after = wanted(cx);
    let network = network_of(cx.aws, &after).await?;
    if cx.after.public_ip.is_none() && interfaces(&network, after.efa == Efa::Auto).len() > 1 {
        // A public address that nobody asks for any more, and several interfaces do not allow.
        after.public_ip = None;
    }
    let data = request(&after, &network)?;
    // The same attempt from the same default version gives the same token, so a lost reply makes no second one.
    let attempt = format!("{} {} {data:?} {:?}", cx.token, cx.before.attributes.default_version, after.description);
    let token = hex::encode(&Sha256::digest(attempt)[..16]);
    let output = cx
        .aws
        .ec2()
        .create_launch_template_version()
        .launch_template_id(cx.id.as_str())
        .set_version_description(after.description.clone())
        .launch_template_data(data)
        .client_token(token)
        .send()
        .await?;
    let version = output.launch_template_version.and_then(|version| version.version_number).unwrap_or_default();
    cx.aws
        .ec2()
        .modify_launch_template()
        .launch_template_id(cx.id.as_str())
        .default_version(version.to_string())
        .send()
        .await?;
    Ok(())
}

/// Returns the whole of a new version: optional arguments that are not this change's keep what they have.
fn wanted(cx: &Update<'_, LaunchTemplate>) -> Arguments {
    let before = &cx.before.arguments;
    let mut after = cx.after.clone();
    macro_rules! keep {
        ($($field:ident),*) => {
            $(if !cx.touches(stringify!($field)) { after.$field = before.$field.clone(); })*
        };
    }
    keep!(description, image, subnet, public_ip, instance_profile, ebs_optimized, placement_group, tenancy);
    keep!(capacity_reservation, market, cpu, user_data, key, shutdown_behavior);
    after
}

/// Deletes the oldest versions; AWS keeps up to 10,000 and warns nobody.
async fn prune(aws: &Aws, id: &str) -> Result<(), AwsError> {
    let mut pages =
        aws.ec2().describe_launch_template_versions().launch_template_id(id).into_paginator().items().send();
    let mut numbers = BTreeSet::new();
    let mut default = None;
    while let Some(version) = pages.next().await {
        let version = version?;
        numbers.extend(version.version_number);
        if version.default_version == Some(true) {
            default = version.version_number;
        }
    }
    let old = numbers.iter().rev().skip(VERSIONS_KEPT).filter(|number| Some(**number) != default);
    let old: Vec<String> = old.map(i64::to_string).collect();
    for chunk in old.chunks(VERSIONS_DELETED_MAX) {
        let call = aws.ec2().delete_launch_template_versions().launch_template_id(id);
        call.set_versions(Some(chunk.to_vec())).send().await?;
    }
    Ok(())
}

async fn network_of(aws: &Aws, arguments: &Arguments) -> Result<Network, AwsError> {
    let types = BTreeSet::from([arguments.instance_type.clone()]);
    let mut found = networks(aws, &types).await?;
    found.remove(&arguments.instance_type).ok_or_else(|| {
        let message = format!("instance type `{}` is not offered in {}", arguments.instance_type, aws.region());
        AwsError::own("ec2:DescribeInstanceTypes", crate::aws::ErrorClass::Invalid, "InvalidInstanceType", message)
    })
}

async fn templates(aws: &Aws, id: Option<&str>) -> Result<Vec<Found>, AwsError> {
    let call = aws.ec2().describe_launch_templates();
    let call = match id {
        Some(id) => call.launch_template_ids(id),
        None => call,
    };
    let mut pages = call.into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(found) = pages.next().await {
        out.push(found?);
    }
    Ok(out)
}

/// Reads the default versions: of one template, or of all there are.
async fn default_versions(aws: &Aws, id: Option<&str>) -> Result<Vec<LaunchTemplateVersion>, AwsError> {
    let call = aws.ec2().describe_launch_template_versions().versions("$Default");
    let call = call.set_launch_template_id(id.map(str::to_owned)).resolve_alias(false);
    let mut pages = call.into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(found) = pages.next().await {
        out.push(found?);
    }
    Ok(out)
}

fn instance_type(version: &LaunchTemplateVersion) -> Option<String> {
    Some(version.launch_template_data()?.instance_type()?.as_str().to_owned())
}

fn observe(
    aws: &Aws,
    template: &Found,
    version: &LaunchTemplateVersion,
    networks: &Result<std::collections::BTreeMap<String, Network>, AwsError>,
) -> Observed<LaunchTemplate> {
    let id = template.launch_template_id().unwrap_or_default();
    let (tags, owner) = split_tags(template.tags.clone());
    let mut arguments = version.launch_template_data().map(read).unwrap_or_default();
    arguments.name = template.launch_template_name.clone();
    arguments.description = version.version_description.clone().filter(|text| !text.is_empty());
    arguments.tags = tags;
    let account = template.created_by().and_then(|creator| creator.split(':').nth(4));
    let attributes = Attributes {
        id: id.to_owned(),
        arn: arn(aws, account, &format!("launch-template/{id}")),
        name: template.launch_template_name.clone().unwrap_or_default(),
        default_version: template.default_version_number.unwrap_or_default(),
        latest_version: template.latest_version_number.unwrap_or_default(),
    };
    let mut observed = Observed::<LaunchTemplate>::new(arguments, attributes, owner);
    if let Some(data) = version.launch_template_data() {
        match networks {
            Ok(networks) => {
                let plain = Network::default();
                let network = networks.get(&observed.arguments.instance_type).unwrap_or(&plain);
                observed.arguments.efa = shape_of(data, network);
            }
            Err(error) => {
                observed.unreadable.insert("efa".to_owned(), error.reason());
            }
        }
    }
    observed
}

//! A placement group: where EC2 puts instances relative to each other.
//!
//! Calls: CreatePlacementGroup (tags in it); CreateTags, DeleteTags; DeletePlacementGroup. Reads: one
//! DescribePlacementGroups by a filter on names, tags included.
//! Waits: until a new group is `available`, and until a deleted one is gone.
//! Traps: CreatePlacementGroup takes no client token, its name is unique in account and region; tags are set by
//! the group's id while everything else goes by its name; a group with instances in it can't be deleted, and
//! terminated instances hold it for a moment.

use aws_sdk_ec2::types::{Filter, PlacementGroup as Found, PlacementGroupState, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ec2::{answers, filter, list_by_ids, owned_by, retag, split_tags, tag_specification, while_in_use};
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};
use crate::value::has_unknown;

/// Characters of a name; the API's limit is 255, and shorter ones are easier to read.
const NAME_MAX: usize = 128;

/// A placement group: EC2 packs its instances together, keeps them apart, or splits them into partitions.
///
/// UltraClusters want `cluster`. Launch templates name a group by `$(placement_group.NAME.name)`. Only the tags
/// can be changed in place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The group's name; left out, it is made of environment and address.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// How instances are placed.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub strategy: Strategy,
    /// The number of partitions of a `partition` group; AWS makes 2 where it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 7), extend("x-change" = "replace"))]
    pub partitions: Option<u32>,
    /// What a `spread` group keeps apart; `host` is for Outposts. AWS takes `rack` where it is left out.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub spread_level: Option<SpreadLevel>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// How instances are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Close together in one zone, for the lowest latency and the highest bandwidth.
    #[default]
    Cluster,
    /// Each on hardware of its own, at most seven in a zone.
    Spread,
    /// In groups that share no hardware with each other.
    Partition,
}

/// What a spread group keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpreadLevel {
    Rack,
    Host,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The group's ARN.
    pub arn: String,
    /// The group's id (`pg-…`).
    pub group_id: String,
    /// The group's name, by which instances and templates refer to it.
    pub name: String,
    /// `pending`, `available`, `deleting`, …
    #[schemars(extend("x-volatile" = true))]
    pub state: String,
}

impl Strategy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Spread => "spread",
            Self::Partition => "partition",
        }
    }
}

/// See the module's header.
pub struct PlacementGroup;

impl ResourceKind for PlacementGroup {
    const NAME: &'static str = "placement_group";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::UniqueName;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribePlacementGroups"],
        create: &["ec2:CreatePlacementGroup", "ec2:CreateTags"],
        update: &["ec2:CreateTags", "ec2:DeleteTags"],
        delete: &["ec2:DeletePlacementGroup"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        let strategy = arguments.get("strategy").and_then(Value::as_str).unwrap_or("cluster");
        let mut out = Vec::new();
        if set("partitions") && strategy != "partition" && !has_unknown(&arguments["strategy"]) {
            out.push(Problem::new("partitions", "only a `partition` group has partitions"));
        }
        if set("spread_level") && strategy != "spread" && !has_unknown(&arguments["strategy"]) {
            out.push(Problem::new("spread_level", "only a `spread` group has a spread level"));
        }
        out
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let name = match arguments.get("name") {
            Some(name) if has_unknown(name) => return Map::new(),
            Some(Value::String(name)) => name.clone(),
            _ => default_name(owner, NAME_MAX),
        };
        let arn = scope.arn("ec2", &format!("placement-group/{name}"));
        Map::from_iter([("arn".to_owned(), arn.into()), ("name".to_owned(), name.into())])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = list_by_ids("group-name", ids, |filters| list(aws, filters)).await?;
        Ok(answers(ids, found.into_iter().filter(is_there).map(observe)))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?;
        let discovered = |group: Found| {
            let (_, owner) = split_tags(group.tags);
            Discovered { id: group.group_name.unwrap_or_default().into(), owner, name: None }
        };
        Ok(found.into_iter().filter(is_there).map(discovered).collect())
    }

    async fn find(cx: Creation<'_>, _arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter(is_there).map(|group| group.group_name.unwrap_or_default().into()).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_MAX));
        let level = arguments.spread_level.map(|level| match level {
            SpreadLevel::Rack => aws_sdk_ec2::types::SpreadLevel::Rack,
            SpreadLevel::Host => aws_sdk_ec2::types::SpreadLevel::Host,
        });
        let partitions = arguments.partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        cx.aws
            .ec2()
            .create_placement_group()
            .group_name(&name)
            .strategy(arguments.strategy.as_str().into())
            .set_partition_count(partitions)
            .set_spread_level(level)
            .tag_specifications(tag_specification(ResourceType::PlacementGroup, &cx.tags(&arguments.tags)))
            .send()
            .await?;
        Ok(name.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "a placement group", Bound::propagation(), || async {
            let found = list(aws, vec![filter("group-name", [id.as_str()])]).await?;
            let state = found.into_iter().next().and_then(|group| group.state);
            Ok(match state {
                Some(PlacementGroupState::Available) => Poll::Ready(()),
                Some(state) => Poll::Pending(state.as_str().to_owned()),
                None => Poll::Pending("not visible".to_owned()),
            })
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            retag(cx.aws, &cx.before.attributes.group_id, &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let deleted = while_in_use(cx.aws, Bound::seconds(300), || async {
            cx.aws.ec2().delete_placement_group().group_name(cx.id.as_str()).send().await?;
            Ok(())
        });
        match deleted.await {
            // An earlier attempt may have begun it; the name is free only at its end.
            Err(error) if error.class != ErrorClass::NotFound => return Err(error),
            _ => {}
        }
        until(cx.aws, "a placement group's deletion", Bound::seconds(120), || async {
            let found = list(cx.aws, vec![filter("group-name", [cx.id.as_str()])]).await?;
            let gone = found.iter().all(|group| group.state == Some(PlacementGroupState::Deleted));
            Ok(if gone { Poll::Ready(()) } else { Poll::Pending("deleting".to_owned()) })
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<Found>, AwsError> {
    let filters = (!filters.is_empty()).then_some(filters);
    let output = aws.ec2().describe_placement_groups().set_filters(filters).send().await?;
    Ok(output.placement_groups.unwrap_or_default())
}

fn is_there(group: &Found) -> bool {
    !matches!(group.state, Some(PlacementGroupState::Deleting | PlacementGroupState::Deleted))
}

fn observe(group: Found) -> (PhysicalId, Observed<PlacementGroup>) {
    let name = group.group_name.unwrap_or_default();
    let strategy = match group.strategy.as_ref().map(aws_sdk_ec2::types::PlacementStrategy::as_str) {
        Some("spread") => Strategy::Spread,
        Some("partition") => Strategy::Partition,
        _ => Strategy::Cluster,
    };
    let level = match group.spread_level {
        Some(aws_sdk_ec2::types::SpreadLevel::Host) => Some(SpreadLevel::Host),
        Some(_) => Some(SpreadLevel::Rack),
        None => None,
    };
    let (tags, owner) = split_tags(group.tags);
    let arguments = Arguments {
        name: Some(name.clone()),
        strategy,
        partitions: group.partition_count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0),
        spread_level: level,
        tags,
    };
    let attributes = Attributes {
        arn: group.group_arn.unwrap_or_default(),
        group_id: group.group_id.unwrap_or_default(),
        name: name.clone(),
        state: group.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
    };
    (name.into(), Observed::new(arguments, attributes, owner))
}

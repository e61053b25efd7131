//! Reads many managed resources with fewer calls, where what the log has of them is confirmed in bulk.
//!
//! Many of AWS's lists leave tags out. The Resource Groups Tagging API has the tags of a whole environment in pages
//! of 100, but it follows changes late, keeps showing what is deleted, and lacks some types. So a page proves
//! nothing by itself: it is taken only where it says what the log says. Everything else is read from the service
//! itself, and no page ever tells that something is absent.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_resourcegroupstagging::config::{Builder, Region};
use aws_sdk_resourcegroupstagging::types::TagFilter;
use serde_json::Value;

use super::resource::{Fields, Kind};
use super::tags::{self, Owner, Tags};
use super::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Scope, Seen, SeenResource};
use crate::value::unreadable_reason;

/// The IAM action that [`TagPages::read`] needs; a kind with an [`InBulk`] names it among those of its reads.
pub const ACTION: &str = "tag:GetResources";

/// From this many resources on, the pages are worth their calls.
pub const BULK_MIN: usize = 4;

/// Resources on one page; the API's limit.
const PAGE: i32 = 100;

/// Pages of one walk; what is on later ones is read from the services.
const PAGES_MAX: usize = 1000;

/// What a kind's lists leave out, and how it is known without a call for each resource.
#[derive(Debug, Clone, Copy)]
pub struct InBulk {
    /// The resource's type in the Resource Groups Tagging API, as in its ARN (`logs:log-group`).
    pub tagged_as: &'static str,
    /// Arguments that AWS never changes in a resource's life; they are as they were recorded.
    pub fixed: &'static [&'static str],
    /// The attribute that tells a resource from a later one of the same id; needed where something is fixed.
    pub unique: Option<&'static str>,
}

impl InBulk {
    /// Makes one of a kind of which only the tags are missing.
    pub const fn tags(tagged_as: &'static str) -> Self {
        Self { tagged_as, fixed: &[], unique: None }
    }

    /// Tells whether its resources belong to no region.
    fn is_global(&self) -> bool {
        self.tagged_as.starts_with("iam:")
    }
}

/// What is known of a resource from before, complete and in the normal form.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub arguments: Value,
    pub attributes: Value,
    pub owner: Owner,
}

impl Recorded {
    /// Returns all tags that it had, where they are known.
    fn tags(&self) -> Option<Tags> {
        let user = match self.arguments.get("tags") {
            None => Tags::new(),
            Some(tags) if unreadable_reason(tags).is_some() => return None,
            Some(tags) => serde_json::from_value(tags.clone()).ok()?,
        };
        Some(self.owner.tags_with(&user))
    }

    fn arn(&self) -> Option<&str> {
        self.attributes.get("arn")?.as_str()
    }
}

/// The tags of an environment's resources, as the Resource Groups Tagging API shows them.
#[derive(Debug, Clone, Default)]
pub struct TagPages(BTreeMap<String, Tags>);

impl TagPages {
    /// Reads the pages of the types that `kinds` ask for; those of no region are in one region of the partition.
    ///
    /// # Errors
    /// Returns the failed call's error, such as a denial.
    pub async fn read(aws: &Aws, environment: &str, kinds: &[InBulk]) -> Result<Self, AwsError> {
        let home = aws.region();
        let global = global_region(home);
        let mut by_region: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for kind in kinds {
            let region = if kind.is_global() { global } else { home };
            by_region.entry(region).or_default().insert(kind.tagged_as);
        }
        let walks = by_region.into_iter().map(|(region, types)| walk(aws, environment, region, types));
        let pages = futures::future::try_join_all(walks).await?;
        Ok(Self(pages.into_iter().flatten().collect()))
    }

    /// Tells whether anything in the region carries the environment's tags; also what is on its way out may.
    ///
    /// # Errors
    /// Returns the failed call's error, such as a denial.
    pub async fn show_any(aws: &Aws, environment: &str) -> Result<bool, AwsError> {
        Ok(!walk(aws, environment, aws.region(), BTreeSet::new()).await?.is_empty())
    }

    /// Tells whether they show the tags that a resource had.
    fn confirm(&self, recorded: &Recorded) -> bool {
        let shown = recorded.arn().and_then(|arn| self.0.get(plain(arn)));
        shown.is_some_and(|shown| {
            let (user, owner) = tags::split(shown.clone());
            owner.as_ref() == Some(&recorded.owner) && recorded.tags() == Some(recorded.owner.tags_with(&user))
        })
    }
}

/// Takes the end that some of CloudWatch Logs' answers put on a group's ARN from it.
fn plain(arn: &str) -> &str {
    arn.strip_suffix(":*").unwrap_or(arn)
}

/// Returns the region of the partition where the API shows what belongs to no region.
fn global_region(region: &str) -> &'static str {
    let scope = Scope { environment: String::new(), account: String::new(), region: region.to_owned() };
    match scope.partition() {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}

async fn walk(
    aws: &Aws,
    environment: &str,
    region: &str,
    types: BTreeSet<&str>,
) -> Result<BTreeMap<String, Tags>, AwsError> {
    let filter = TagFilter::builder().key(tags::ENVIRONMENT).values(environment).build();
    // Without a type all are meant.
    let types: Option<Vec<String>> = (!types.is_empty()).then(|| types.into_iter().map(str::to_owned).collect());
    let mut out = BTreeMap::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let call = aws.tagging().get_resources().tag_filters(filter.clone()).resources_per_page(PAGE);
        let call = call.set_resource_type_filters(types.clone()).set_pagination_token(token);
        let call = call.customize().config_override(Builder::new().region(Region::new(region.to_owned())));
        let page = call.send().await?;
        for found in page.resource_tag_mapping_list.unwrap_or_default() {
            let tags = found.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
            out.insert(plain(&found.resource_arn.unwrap_or_default()).to_owned(), tags);
        }
        // The last page has an empty token.
        token = page.pagination_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    Ok(out)
}

/// Reads many of one kind: what the pages confirm by the kind's lists alone, and everything else as ever.
///
/// The answer is the one that [`Kind::read_many`] gives.
///
/// # Errors
/// Returns what [`Kind::read_many`] returns.
pub async fn read_recorded(
    kind: &dyn Kind,
    aws: &Aws,
    ids: &[PhysicalId],
    recorded: &BTreeMap<&PhysicalId, &Recorded>,
    fields: &Fields,
    pages: &TagPages,
) -> Result<BTreeMap<PhysicalId, Seen>, AwsError> {
    let (Some(bulk), Fields::Only(wanted)) = (kind.in_bulk(), fields) else {
        return kind.read_many(aws, ids, fields).await;
    };
    let is_settled = |id: &&PhysicalId| {
        let has = |recorded: &Recorded, name: &&str| !wanted.contains(*name) || recorded.arguments.get(name).is_some();
        recorded
            .get(id)
            .is_some_and(|recorded| pages.confirm(recorded) && bulk.fixed.iter().all(|name| has(recorded, name)))
    };
    let (settled, mut open): (Vec<&PhysicalId>, Vec<&PhysicalId>) = ids.iter().partition(is_settled);
    let known = |name: &String| name == "tags" || bulk.fixed.contains(&name.as_str());
    let rest = Fields::Only(wanted.iter().filter(|name| !known(name)).cloned().collect());
    let settled: Vec<PhysicalId> = settled.into_iter().cloned().collect();
    // Who may not list may still read what is its own.
    let mut out = kind.read_many(aws, &settled, &rest).await.unwrap_or_default();
    for id in &settled {
        let same = match (out.get_mut(id), recorded.get(id)) {
            (Some(Seen::Present(seen)), Some(recorded)) => complete(seen, recorded, &bulk, wanted),
            _ => false,
        };
        if !same {
            open.push(id);
        }
    }
    let open: Vec<PhysicalId> = open.into_iter().cloned().collect();
    out.extend(kind.read_many(aws, &open, fields).await?);
    Ok(out)
}

/// Adds what was recorded to what was read; false where another resource of the same id was read.
fn complete(seen: &mut SeenResource, recorded: &Recorded, bulk: &InBulk, wanted: &BTreeSet<String>) -> bool {
    if bulk.unique.is_some_and(|unique| seen.attributes.get(unique) != recorded.attributes.get(unique)) {
        return false;
    }
    let Some(arguments) = seen.arguments.as_object_mut() else { return false };
    let tags = recorded.arguments.get("tags").cloned().unwrap_or_else(|| serde_json::json!({}));
    arguments.insert("tags".to_owned(), tags);
    for name in bulk.fixed.iter().filter(|name| wanted.contains(**name)) {
        if let Some(value) = recorded.arguments.get(name) {
            arguments.insert((*name).to_owned(), value.clone());
        }
    }
    seen.owner = Some(recorded.owner.clone());
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(arguments: Value) -> Recorded {
        let owner = Owner { environment: "research".into(), address: "log_group.a".into(), generation: 2 };
        Recorded { arguments, attributes: json!({ "arn": "arn:aws:logs:us-east-1:123456789012:log-group:a" }), owner }
    }

    #[test]
    fn a_page_confirms_only_all_that_was_recorded() {
        let had = recorded(json!({ "tags": { "team": "ml" } }));
        let all = had.tags().unwrap();
        let confirm = |tags: Tags, arn: &str| TagPages(BTreeMap::from([(arn.to_owned(), tags)])).confirm(&had);
        let arn = had.arn().unwrap();
        assert!(confirm(all.clone(), arn));
        assert!(!confirm(all.clone(), "arn:aws:logs:us-east-1:123456789012:log-group:b"));
        for key in all.keys() {
            let mut other = all.clone();
            other.insert(key.clone(), "7".to_owned());
            assert!(!confirm(other, arn), "{key} changed");
            let mut other = all.clone();
            other.remove(key);
            assert!(!confirm(other, arn), "{key} gone");
        }
        let mut more = all;
        more.insert("new".to_owned(), String::new());
        assert!(!confirm(more.clone(), arn));
        more.remove("new");
        more.insert("aws:cloudformation:stack-id".to_owned(), "x".to_owned());
        assert!(confirm(more, arn), "AWS's own tags belong to nobody");
    }

    #[test]
    fn tags_that_could_not_be_read_are_confirmed_by_nothing() {
        let unread = recorded(json!({ "tags": crate::value::unreadable("denied") }));
        assert_eq!(unread.tags(), None);
    }

    #[test]
    fn each_partition_has_its_region_for_what_has_none() {
        for (region, global) in
            [("eu-west-1", "us-east-1"), ("us-gov-east-1", "us-gov-west-1"), ("cn-northwest-1", "cn-north-1")]
        {
            assert_eq!(global_region(region), global);
        }
    }
}

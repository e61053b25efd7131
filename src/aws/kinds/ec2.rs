//! What the kinds of EC2 share: tags, filters, bulk answers, ARNs and waits.
//!
//! EC2's Describe calls fail for the whole list when one id is unknown, so ids go in as filters, where an
//! unknown one is simply not among the answers. Tags come with every Describe. Nothing here is a kind.

use std::collections::BTreeMap;
use std::future::Future;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use crate::aws::resource::{Discovered, Observation, Observed, Problem, ResourceKind};
use crate::aws::tags::{Owner, TagChanges, Tags, split};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::Scope;

/// Values that one filter takes; the API's limit.
const FILTER_VALUES_MAX: usize = 200;

/// Returns the tags for a create call.
pub(super) fn tag_specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(sdk_tags(tags))).build()
}

/// Returns tags as the SDK takes them.
pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Splits the tags of a Describe into the user's and the owner's.
pub(super) fn split_tags(tags: Option<Vec<Tag>>) -> (Tags, Option<Owner>) {
    let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    split(tags.unwrap_or_default().into_iter().map(pair))
}

/// Makes what a search found of a resource's id and tags; its name is the `Name` tag.
pub(super) fn discovered(id: Option<String>, tags: Option<Vec<Tag>>) -> Discovered {
    let (tags, owner) = split_tags(tags);
    Discovered { id: id.unwrap_or_default().into(), owner, name: tags.get("Name").cloned() }
}

/// Checks the size of an IPv4 range of a VPC or subnet; whether it is a range at all the schema says.
pub(super) fn check_range(path: &str, text: &str) -> Option<Problem> {
    let range: ipnet::Ipv4Net = text.parse().ok()?;
    let fits = (16..=28).contains(&range.prefix_len());
    (!fits).then(|| Problem::new(path, format!("`{text}` is not between /16 and /28")))
}

/// Brings a resource's tags to what is wanted; new ones are set before old ones go.
pub(super) async fn retag(aws: &Aws, id: &str, changes: &TagChanges) -> Result<(), AwsError> {
    if !changes.set.is_empty() {
        aws.ec2().create_tags().resources(id).set_tags(Some(sdk_tags(&changes.set))).send().await?;
    }
    if !changes.remove.is_empty() {
        let keys = changes.remove.iter().map(|key| Tag::builder().key(key).build()).collect();
        aws.ec2().delete_tags().resources(id).set_tags(Some(keys)).send().await?;
    }
    Ok(())
}

/// Makes a filter that matches any of the values, each taken literally.
pub(super) fn filter<V: AsRef<str>>(name: &str, values: impl IntoIterator<Item = V>) -> Filter {
    let values = values.into_iter().map(|value| literal(value.as_ref())).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// Takes the meaning from a filter's wildcards.
fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '*' | '?' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Returns the filters that match what carries an owner's tags.
pub(super) fn owned_by(owner: &Owner) -> Vec<Filter> {
    owner.tags_with(&Tags::new()).iter().map(|(key, value)| filter(&format!("tag:{key}"), [value])).collect()
}

/// Splits ids into filters of the size that a call takes.
pub(super) fn id_filters(name: &str, ids: &[PhysicalId]) -> Vec<Vec<Filter>> {
    ids.chunks(FILTER_VALUES_MAX).map(|chunk| vec![filter(name, chunk.iter().map(PhysicalId::as_str))]).collect()
}

/// Lists what has one of the ids, by a filter of that name, in as few calls as the API takes.
pub(super) async fn list_by_ids<T, F, Fut>(name: &str, ids: &[PhysicalId], list: F) -> Result<Vec<T>, AwsError>
where
    F: Fn(Vec<Filter>) -> Fut,
    Fut: Future<Output = Result<Vec<T>, AwsError>>,
{
    let mut out = Vec::new();
    for filters in id_filters(name, ids) {
        out.extend(list(filters).await?);
    }
    Ok(out)
}

/// Answers every id: with what was found under it, or that nothing was.
pub(super) fn answers<K: ResourceKind>(
    ids: &[PhysicalId],
    found: impl IntoIterator<Item = (PhysicalId, Observed<K>)>,
) -> Vec<(PhysicalId, Observation<K>)> {
    let mut found: BTreeMap<PhysicalId, Observed<K>> = found.into_iter().collect();
    let answer = |id: &PhysicalId| match found.remove(id) {
        Some(observed) => (id.clone(), Observation::Present(Box::new(observed))),
        None => (id.clone(), Observation::Absent),
    };
    ids.iter().map(answer).collect()
}

/// Makes the ARN of an EC2 resource (`vpc/vpc-0a1b`) of an account.
pub(super) fn arn(aws: &Aws, account: Option<&str>, resource: &str) -> String {
    scope(aws, account.unwrap_or_default()).arn("ec2", resource)
}

/// Returns an account and the region of the clients, to make ARNs of.
pub(super) fn scope(aws: &Aws, account: &str) -> Scope {
    Scope { environment: String::new(), account: account.to_owned(), region: aws.region().to_owned() }
}

/// Waits until a Describe shows a new resource; EC2's reads follow its writes by a moment.
pub(super) async fn until_seen<T, F, Fut>(aws: &Aws, what: &str, list: F) -> Result<(), AwsError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Vec<T>, AwsError>>,
{
    until(aws, what, Bound::propagation(), || async {
        Ok(if list().await?.is_empty() { Poll::Pending("not visible".to_owned()) } else { Poll::Ready(()) })
    })
    .await
}

/// Repeats a delete while AWS answers that others still use the thing; they may be on their way out.
///
/// # Errors
/// Returns that answer when the bound is over, and every other error at once.
pub(super) async fn while_in_use<F, Fut>(aws: &Aws, bound: Bound, call: F) -> Result<(), AwsError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), AwsError>>,
{
    let end = aws.now_system() + bound.total;
    until(aws, "its users to go", bound, || async {
        match call().await {
            Ok(()) => Ok(Poll::Ready(Ok(()))),
            Err(error) if error.class == ErrorClass::InUse && aws.now_system() < end => {
                Ok(Poll::Pending(error.message))
            }
            Err(error) => Ok(Poll::Ready(Err(error))),
        }
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_values_are_literal() {
        let made = filter("tag:a", ["x*y?z\\"]);
        assert_eq!(made.values(), ["x\\*y\\?z\\\\"]);
    }

    #[test]
    fn ids_go_in_calls_of_two_hundred() {
        let ids: Vec<PhysicalId> = (0..401).map(|n| PhysicalId::from(format!("vpc-{n}"))).collect();
        let sizes: Vec<usize> = id_filters("vpc-id", &ids).iter().map(|filters| filters[0].values().len()).collect();
        assert_eq!(sizes, [200, 200, 1]);
    }
}

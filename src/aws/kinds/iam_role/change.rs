//! The way of a role from one set of permissions to another, without a moment that allows more or less than both.
//!
//! A role's permissions are many documents and a boundary, and each call changes one of them. What takes several
//! calls goes by way of one inline policy, [`BETWEEN`], that is there from the first call to the last:
//!
//! - It holds all refusals that come or go. So nothing is allowed because its refusal is not there yet, or is gone
//!   already.
//! - Where the boundary stays, comes or goes, the new permissions come before the old ones go. Old ones that are
//!   overwritten in place stay in [`BETWEEN`] for as long.
//! - Where one boundary takes another's place, the old permissions go before it and the new ones come after it:
//!   with both of them, what the old boundary kept from the new permissions would be open for a moment. What both
//!   allow stays in [`BETWEEN`]. What can't be said in statements (see `kind::overlap`) is cut for a moment.
//!
//! A killed run leaves [`BETWEEN`] behind. The next one reads it as an inline policy that the spec does not name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::IamRole;
use crate::aws::kinds::iam_account::{document, gone, is_aws_policy, is_owned_policy};
use crate::aws::resource::Update;
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::kind::{PolicyDocument, canonical_policy, overlap, statements_of};

/// The inline policy that is there while others change.
const BETWEEN: &str = "opora-between";

/// What the documents of a role go through.
#[derive(Debug, Default)]
struct Permissions<'a> {
    /// Inline policies to put, by name, with what they hold now if they are there.
    put: BTreeMap<&'a str, (Option<Value>, &'a PolicyDocument)>,
    delete: BTreeMap<&'a str, Value>,
    attach: Vec<&'a str>,
    detach: Vec<&'a str>,
    /// The documents of what is attached and detached, where they can be read.
    attached: BTreeMap<&'a str, Option<Value>>,
}

/// How the boundary changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Stays,
    Comes,
    Goes,
    IsReplaced,
}

/// Changes inline policies, attachments and boundary.
pub(super) async fn permissions(cx: &Update<'_, IamRole>) -> Result<(), AwsError> {
    let mut wanted = Permissions::of(cx);
    refuse_owned(cx.aws, &wanted.attach).await?;
    let boundary = match (&cx.before.arguments.permissions_boundary, &cx.after.permissions_boundary) {
        _ if !cx.touches("permissions_boundary") => Boundary::Stays,
        (None, None) => Boundary::Stays,
        (None, Some(_)) => Boundary::Comes,
        (Some(_), None) => Boundary::Goes,
        _ => Boundary::IsReplaced,
    };
    let swaps = boundary == Boundary::IsReplaced;
    let several = wanted.steps() > usize::from(!swaps);
    let between = if several {
        wanted.read_attached(cx.aws).await?;
        wanted.between(swaps)
    } else {
        Vec::new()
    };
    // A limit comes before what it limits, and goes after it.
    if boundary == Boundary::Comes {
        put_boundary(cx).await?;
    }
    put(cx, BETWEEN, &between).await?;
    if swaps {
        remove(cx, &wanted, wanted.put.iter().filter(|(_, (old, _))| old.is_some()).map(|(name, _)| *name)).await?;
        put_boundary(cx).await?;
        add(cx, &wanted).await?;
    } else {
        add(cx, &wanted).await?;
        remove(cx, &wanted, std::iter::empty()).await?;
    }
    if !between.is_empty() || wanted.delete.contains_key(BETWEEN) {
        gone(cx.aws.iam().delete_role_policy().role_name(cx.id.as_str()).policy_name(BETWEEN).send().await)?;
    }
    if boundary == Boundary::Goes {
        cx.aws.iam().delete_role_permissions_boundary().role_name(cx.id.as_str()).send().await?;
    }
    Ok(())
}

impl<'a> Permissions<'a> {
    fn of(cx: &Update<'a, IamRole>) -> Self {
        let (before, after) = (&cx.before.arguments, cx.after);
        let mut out = Self::default();
        if cx.touches("policies") {
            for (name, policy) in &after.policies {
                let old = before.policies.get(name).map(|old| canonical_policy(&old.0));
                if old.as_ref() != Some(&canonical_policy(&policy.0)) {
                    out.put.insert(name, (old, policy));
                }
            }
            let left = before.policies.iter().filter(|(name, _)| !after.policies.contains_key(*name));
            out.delete = left.map(|(name, old)| (name.as_str(), canonical_policy(&old.0))).collect();
        }
        if cx.touches("attach") {
            let lacks = |list: &'a [String], of: &[String]| -> Vec<&'a str> {
                list.iter().filter(|arn| !of.contains(arn)).map(String::as_str).collect()
            };
            out.attach = lacks(&after.attach, &before.attach);
            out.detach = lacks(&before.attach, &after.attach);
        }
        out
    }

    /// Returns how many calls it takes.
    fn steps(&self) -> usize {
        self.put.len() + self.delete.len() + self.attach.len() + self.detach.len()
    }

    async fn read_attached(&mut self, aws: &Aws) -> Result<(), AwsError> {
        for arn in self.attach.iter().chain(&self.detach) {
            self.attached.insert(arn, in_force(aws, arn).await?);
        }
        Ok(())
    }

    fn attached<'s>(&'s self, arns: &[&'s str]) -> Vec<&'s Value> {
        arns.iter().filter_map(|arn| self.attached.get(arn)?.as_ref()).collect()
    }

    /// Returns the statements that have to be there while the documents change.
    fn between(&self, swaps: bool) -> Vec<Value> {
        let mut old: Vec<&Value> = self.put.values().filter_map(|(old, _)| old.as_ref()).collect();
        let overwritten = old.clone();
        old.extend(self.delete.values());
        old.extend(self.attached(&self.detach));
        let mut new: Vec<&Value> = self.put.values().map(|(_, new)| &new.0).collect();
        new.extend(self.attached(&self.attach));
        let of = |documents: &[&Value], effect: &str| -> Vec<Value> {
            documents.iter().flat_map(|document| statements_of(document, effect)).collect()
        };
        // What a killed run left is overwritten by what is returned here.
        let left: Vec<&Value> = self.delete.get(BETWEEN).into_iter().collect();
        let mut out = match swaps {
            true => overlap(&of(&old, "Allow"), &of(&new, "Allow")).statements,
            false if overwritten.len() > 1 => of(&overwritten, "Allow"),
            false => Vec::new(),
        };
        out.extend(of(&old, "Deny"));
        out.extend(of(&new, "Deny"));
        if !swaps && !out.is_empty() {
            out.extend(of(&left, "Allow"));
        }
        let mut seen = BTreeSet::new();
        out.retain(|statement| seen.insert(statement.to_string()));
        out
    }
}

/// Reads the document of a managed policy that is in force.
///
/// AWS's own policies grant, but for a few that are named for what they refuse: where one of them can't be read it
/// is taken to refuse nothing. One of the account's that can't be read is an error.
async fn in_force(aws: &Aws, arn: &str) -> Result<Option<Value>, AwsError> {
    let read = async {
        let policy = aws.iam().get_policy().policy_arn(arn).send().await?.policy;
        let version = policy.and_then(|policy| policy.default_version_id).unwrap_or_default();
        let found = aws.iam().get_policy_version().policy_arn(arn).version_id(version).send().await?;
        Ok::<_, AwsError>(document(found.policy_version.as_ref().and_then(|version| version.document())).0)
    };
    match read.await {
        Ok(found) => Ok(Some(found)),
        Err(_) if is_aws_policy(arn) => Ok(None),
        // Deleted since: detached, or refused when it is attached.
        Err(error) => error.absent(),
    }
}

async fn refuse_owned(aws: &Aws, attach: &[&str]) -> Result<(), AwsError> {
    for arn in attach.iter().filter(|arn| !is_aws_policy(arn)) {
        if is_owned_policy(aws, arn).await? {
            let message = format!("`{arn}` is made by a spec; name the role in that policy's `attach_to` instead");
            return Err(AwsError::own("iam:AttachRolePolicy", ErrorClass::Invalid, "OwnedPolicy", message));
        }
    }
    Ok(())
}

async fn put(cx: &Update<'_, IamRole>, name: &str, statements: &[Value]) -> Result<(), AwsError> {
    if statements.is_empty() {
        return Ok(());
    }
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let call = cx.aws.iam().put_role_policy().role_name(cx.id.as_str()).policy_name(name);
    call.policy_document(text).send().await?;
    Ok(())
}

async fn put_boundary(cx: &Update<'_, IamRole>) -> Result<(), AwsError> {
    let call = cx.aws.iam().put_role_permissions_boundary().role_name(cx.id.as_str());
    call.set_permissions_boundary(cx.after.permissions_boundary.clone()).send().await?;
    Ok(())
}

/// Puts new inline policies, then those that are overwritten, and attaches.
async fn add(cx: &Update<'_, IamRole>, wanted: &Permissions<'_>) -> Result<(), AwsError> {
    let (iam, role) = (cx.aws.iam(), cx.id.as_str());
    for arn in &wanted.attach {
        iam.attach_role_policy().role_name(role).policy_arn(*arn).send().await?;
    }
    let mut order: Vec<_> = wanted.put.iter().collect();
    order.sort_by_key(|(_, (old, _))| old.is_some());
    for (name, (_, policy)) in order {
        let call = iam.put_role_policy().role_name(role).policy_name(*name);
        call.policy_document(policy.to_text()).send().await?;
    }
    Ok(())
}

/// Deletes inline policies, some more than the spec leaves out, and detaches.
async fn remove<'a>(
    cx: &Update<'_, IamRole>,
    wanted: &Permissions<'a>,
    more: impl Iterator<Item = &'a str>,
) -> Result<(), AwsError> {
    let (iam, role) = (cx.aws.iam(), cx.id.as_str());
    for name in wanted.delete.keys().copied().chain(more).filter(|name| *name != BETWEEN) {
        gone(iam.delete_role_policy().role_name(role).policy_name(name).send().await)?;
    }
    for arn in &wanted.detach {
        gone(iam.detach_role_policy().role_name(role).policy_arn(*arn).send().await)?;
    }
    Ok(())
}

//! Users, groups and AWS's own roles: documents name them, and they hold policies.

use aws_sdk_iam::types::EntityType;
use percent_encoding::percent_decode_str;

use super::or_unknown;
use crate::aws::{Aws, AwsError};

/// Who there is beside the roles of the kinds.
#[derive(Debug, Clone, Default)]
pub struct Principals {
    /// Name, path and attached policies. A group stands here as a user of its own name.
    users: Vec<(String, String, Vec<String>)>,
    /// Name, path and trust of the roles that AWS keeps for Identity Center.
    roles: Vec<(String, String, String)>,
    /// Service-linked roles: the service and the role's name.
    linked: Vec<(String, String)>,
}

pub(super) async fn read(aws: &Aws) -> (Principals, Vec<String>) {
    let mut unknown = Vec::new();
    let found = or_unknown("users, groups and AWS's own roles", details(aws).await, &mut unknown);
    (found, unknown)
}

async fn details(aws: &Aws) -> Result<Principals, AwsError> {
    let call = aws.iam().get_account_authorization_details().filter(EntityType::User).filter(EntityType::Group);
    let mut pages = call.filter(EntityType::Role).max_items(1000).into_paginator().send();
    let mut out = Principals::default();
    let arns = |attached: Option<Vec<aws_sdk_iam::types::AttachedPolicy>>| -> Vec<String> {
        attached.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn).collect()
    };
    while let Some(page) = pages.next().await {
        let page = page?;
        for user in page.user_detail_list.unwrap_or_default() {
            let (name, path) = (user.user_name.unwrap_or_default(), user.path.unwrap_or_default());
            out.users.push((name, path, arns(user.attached_managed_policies)));
        }
        for group in page.group_detail_list.unwrap_or_default() {
            let name = format!("group.{}", group.group_name.unwrap_or_default());
            out.users.push((name, "/".to_owned(), arns(group.attached_managed_policies)));
        }
        for role in page.role_detail_list.unwrap_or_default() {
            let (name, path) = (role.role_name.unwrap_or_default(), role.path.unwrap_or_default());
            let trust = role.assume_role_policy_document.unwrap_or_default();
            let trust = percent_decode_str(&trust).decode_utf8_lossy().into_owned();
            if let Some(service) = path.strip_prefix("/aws-service-role/") {
                out.linked.push((service.trim_end_matches('/').to_owned(), name));
            } else if path.starts_with("/aws-reserved/") {
                out.roles.push((name, path, trust));
            }
        }
    }
    Ok(out)
}

impl Principals {
    /// Returns the path of one of Identity Center's roles.
    pub fn path_of(&self, role: &str) -> Option<&str> {
        self.roles.iter().find(|(name, _, _)| name == role).map(|(_, path, _)| path.as_str())
    }

    /// Makes users and roles in the copy, before anything can name them; returns what it would not take.
    pub async fn write(&self, copy: &Aws) -> Vec<String> {
        let mut refused = Vec::new();
        for (name, path, _) in &self.users {
            let answer = copy.iam().create_user().user_name(name).path(path).send().await;
            note(format!("user {name}"), answer.map_err(AwsError::from).map(|_| ()), &mut refused);
        }
        for (name, path, trust) in &self.roles {
            let call = copy.iam().create_role().role_name(name).path(path).assume_role_policy_document(trust);
            note(format!("role {name}"), call.send().await.map_err(AwsError::from).map(|_| ()), &mut refused);
        }
        for (service, name) in &self.linked {
            let suffix = name.split_once('_').map(|(_, suffix)| suffix.to_owned());
            let call = copy.iam().create_service_linked_role().aws_service_name(service).set_custom_suffix(suffix);
            // A role of a service that the copy does not have is named by nothing that it checks.
            let _ = call.send().await;
        }
        refused
    }

    /// Attaches the policies, once they are there; returns what the copy would not take.
    pub async fn attach(&self, copy: &Aws) -> Vec<String> {
        let mut refused = Vec::new();
        for (name, _, policies) in &self.users {
            for arn in policies.iter().filter(|arn| arn.split(':').nth(4) != Some("aws")) {
                let answer = copy.iam().attach_user_policy().user_name(name).policy_arn(arn).send().await;
                note(format!("{arn} of {name}"), answer.map_err(AwsError::from).map(|_| ()), &mut refused);
            }
        }
        refused
    }
}

fn note(what: String, answer: Result<(), AwsError>, refused: &mut Vec<String>) {
    match answer {
        // The copy's own first user may have the name already.
        Err(error) if error.class != crate::aws::ErrorClass::AlreadyExists => {
            refused.push(format!("{what}: {}", error.reason()));
        }
        _ => {}
    }
}

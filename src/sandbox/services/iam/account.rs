//! Facts of the account: summary, password policy, aliases, credential report, MFA devices.

use serde_json::{Value, json};

use super::{KEYS, PAGE, POLICIES, PROFILES, ROLES, no_such, policy, user};
use crate::sandbox::call::{Call, text};
use crate::sandbox::codec::{time, to_base64};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteAccountPasswordPolicy", delete_password_policy),
    ("GenerateCredentialReport", generate_report),
    ("GetAccountPasswordPolicy", get_password_policy),
    ("GetAccountSummary", summary),
    ("GetCredentialReport", get_report),
    ("ListAccountAliases", |call, input| call.paged(input, "AccountAliases", Vec::new(), PAGE)),
    ("ListVirtualMFADevices", |call, input| call.paged(input, "VirtualMFADevices", Vec::new(), PAGE)),
    ("UpdateAccountPasswordPolicy", update_password_policy),
];

const ACCOUNT: &str = "account";
const PASSWORDS: &str = "password_policy";
const REPORT: &str = "credential_report";
/// Seconds that a credential report is good for.
const REPORT_LIFE_S: f64 = 14_400.0;

fn get_password_policy(call: &mut Call<'_>, _: &Value) -> Answer {
    let missing = || no_such(format!("The Password Policy with domain name {} cannot be found.", call.account));
    Ok(json!({ "PasswordPolicy": call.get(ACCOUNT, PASSWORDS).ok_or_else(missing)? }))
}

/// Sets the whole policy: what a request leaves out goes back to its default.
fn update_password_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut policy = json!({
        "MinimumPasswordLength": 6,
        "RequireSymbols": false,
        "RequireNumbers": false,
        "RequireUppercaseCharacters": false,
        "RequireLowercaseCharacters": false,
        "AllowUsersToChangePassword": false,
    });
    for (member, value) in input.as_object().into_iter().flatten() {
        policy[member] = value.clone();
    }
    policy["ExpirePasswords"] = json!(input.get("MaxPasswordAge").is_some());
    call.put(ACCOUNT, PASSWORDS, policy);
    Ok(json!({}))
}

fn delete_password_policy(call: &mut Call<'_>, _: &Value) -> Answer {
    if !call.remove(ACCOUNT, PASSWORDS) {
        return Err(no_such("The account policy with name PasswordPolicy cannot be found."));
    }
    Ok(json!({}))
}

fn summary(call: &mut Call<'_>, _: &Value) -> Answer {
    let policies = call.list(POLICIES);
    let versions: usize = policies.iter().map(|(_, found)| policy::versions(found).len()).sum();
    Ok(json!({ "SummaryMap": {
        "Users": user::all(call).len(), "UsersQuota": 5000,
        "Groups": 0, "GroupsQuota": 300,
        "Roles": call.count(ROLES), "RolesQuota": call.quota("roles"),
        "Policies": policies.len(), "PoliciesQuota": call.quota("policies"),
        "PolicyVersionsInUse": versions, "PolicyVersionsInUseQuota": 10_000, "VersionsPerPolicyQuota": 5,
        "InstanceProfiles": call.count(PROFILES), "InstanceProfilesQuota": call.quota("instance_profiles"),
        "ServerCertificates": 0, "ServerCertificatesQuota": 20,
        "PolicySizeQuota": 6144, "RolePolicySizeQuota": 10_240, "UserPolicySizeQuota": 2048,
        "GroupPolicySizeQuota": 5120, "AssumeRolePolicySizeQuota": call.quota("role_trust_characters"),
        "AttachedPoliciesPerRoleQuota": call.quota("policies_per_role"), "AttachedPoliciesPerUserQuota": 10, "AttachedPoliciesPerGroupQuota": 10,
        "GroupsPerUserQuota": 10, "AccessKeysPerUserQuota": 2, "SigningCertificatesPerUserQuota": 2,
        "MFADevices": 0, "MFADevicesInUse": 0, "AccountMFAEnabled": 0,
        "AccountAccessKeysPresent": 0, "AccountPasswordPresent": 1, "AccountSigningCertificatesPresent": 0,
        "Providers": 0, "GlobalEndpointTokenVersion": 1,
    }}))
}

fn generate_report(call: &mut Call<'_>, _: &Value) -> Answer {
    let now = call.now();
    let fresh = call.get(ACCOUNT, REPORT).filter(|report| report["at"].as_f64().unwrap_or(0.0) + REPORT_LIFE_S > now);
    if fresh.is_some() {
        return Ok(json!({ "State": "COMPLETE" }));
    }
    let mut text = String::from(
        "user,arn,user_creation_time,password_enabled,mfa_active,access_key_1_active,access_key_2_active\n",
    );
    let keys = call.list(KEYS);
    for (name, found) in user::all(call) {
        let count = keys.iter().filter(|(_, key)| key["UserName"] == name).count();
        let made = time::iso(found["CreateDate"].as_f64().unwrap_or_default());
        let arn = found["Arn"].as_str().unwrap_or_default();
        text += &format!("{name},{arn},{made},false,false,{},{}\n", count > 0, count > 1);
    }
    call.put(ACCOUNT, REPORT, json!({ "text": text, "at": now }));
    Ok(json!({ "State": "STARTED", "Description": "No report exists. Starting a new report generation task" }))
}

fn get_report(call: &mut Call<'_>, _: &Value) -> Answer {
    let Some(report) = call.get(ACCOUNT, REPORT) else {
        return Err(AwsError::new("ReportNotPresent", "No report is present."));
    };
    let at = report["at"].as_f64().unwrap_or_default();
    if at + REPORT_LIFE_S <= call.now() {
        return Err(AwsError::new("ReportExpired", "The report has expired."));
    }
    let content = to_base64(text(&report, "text").as_bytes());
    Ok(json!({ "Content": content, "ReportFormat": "text/csv", "GeneratedTime": time::value(at) }))
}

//! Who may take a role on, in words, and as the document that IAM keeps.
//!
//! One meaning has one form: a document that the words can say reads back as words, and the role's `check`
//! refuses to take such a document as a document. So desired and observed trust compare equal exactly when
//! they mean the same. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kind::{Arn, PolicyDocument, canonical_policy, overlap, statements_of};

/// Who may take the role on.
///
/// Name a service, accounts, principals or identity providers, or several of them. What these can't say goes
/// into `document`, alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// An AWS service, such as `sagemaker.amazonaws.com`.
    #[serde(default)]
    pub service: String,
    /// Only for this account's resources: the service may not be misused by others as their deputy.
    #[serde(default)]
    pub source_account: String,
    /// Only for the resource with this ARN; `*` and `?` match any text.
    #[serde(default)]
    pub source_arn: String,
    /// Accounts, by their 12-digit ids; their own IAM policies decide who of them.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[0-9]{12}$")), extend("x-set" = true))]
    pub accounts: Vec<String>,
    /// Roles and users, by their ARNs; everybody (`*`) can only be named in a `document`.
    #[serde(default)]
    #[schemars(with = "Vec<Arn>", extend("x-set" = true))]
    pub principals: Vec<String>,
    /// A text that accounts and principals have to bring, against misuse of a third party as a deputy.
    #[serde(default)]
    pub external_id: String,
    /// Whether accounts and principals have to have signed in with MFA.
    #[serde(default)]
    pub mfa: bool,
    /// OpenID Connect providers, such as a CI system's.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub oidc: Vec<Oidc>,
    /// A whole trust policy, for what the other arguments can't say.
    #[serde(default)]
    pub document: Option<PolicyDocument>,
}

/// An OpenID Connect provider's identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The ARN of the account's OIDC provider.
    #[schemars(extend("format" = "arn"))]
    pub provider: String,
    /// The audience that a token has to be for.
    #[serde(default = "sts")]
    pub audience: String,
    /// The subjects that may come, such as `repo:acme/models:ref:refs/heads/main`; `*` and `?` match any text.
    #[schemars(length(min = 1), extend("x-set" = true))]
    pub subjects: Vec<String>,
}

fn sts() -> String {
    "sts.amazonaws.com".to_owned()
}

impl Trust {
    /// Tells whether it names anybody in words.
    pub(super) fn names_somebody(&self) -> bool {
        !(self.service.is_empty() && self.accounts.is_empty() && self.principals.is_empty() && self.oidc.is_empty())
    }

    /// Returns the document that IAM is sent.
    pub(super) fn to_document(&self, partition: &str) -> Value {
        if let Some(document) = &self.document {
            return canonical_policy(&document.0);
        }
        let mut statements = Vec::new();
        if !self.service.is_empty() {
            let mut condition = Map::new();
            put(&mut condition, "ArnLike", "aws:SourceArn", &self.source_arn);
            put(&mut condition, "StringEquals", "aws:SourceAccount", &self.source_account);
            statements.push(statement(json!({ "Service": self.service }), "sts:AssumeRole", condition));
        }
        let roots = self.accounts.iter().map(|account| format!("arn:{partition}:iam::{account}:root"));
        let principals: Vec<String> = roots.chain(self.principals.iter().cloned()).collect();
        if !principals.is_empty() {
            let mut condition = Map::new();
            put(&mut condition, "StringEquals", "sts:ExternalId", &self.external_id);
            if self.mfa {
                put(&mut condition, "Bool", "aws:MultiFactorAuthPresent", "true");
            }
            statements.push(statement(json!({ "AWS": principals }), "sts:AssumeRole", condition));
        }
        for oidc in &self.oidc {
            let issuer = oidc.provider.split_once(":oidc-provider/").map_or(oidc.provider.as_str(), |(_, rest)| rest);
            let mut condition = Map::new();
            put(&mut condition, "StringEquals", &format!("{issuer}:aud"), &oidc.audience);
            condition.insert("StringLike".to_owned(), json!({ format!("{issuer}:sub"): oidc.subjects }));
            let principal = json!({ "Federated": oidc.provider });
            statements.push(statement(principal, "sts:AssumeRoleWithWebIdentity", condition));
        }
        canonical_policy(&json!({ "Version": "2012-10-17", "Statement": statements }))
    }

    /// Reads a document: in words where they say exactly the same, whole otherwise.
    pub(super) fn from_document(document: &PolicyDocument) -> Self {
        let canonical = canonical_policy(&document.0);
        let words = Self::in_words(&canonical);
        words.unwrap_or_else(|| Self { document: Some(PolicyDocument(canonical)), ..Self::default() })
    }

    /// Returns the words that say exactly what a canonical document says.
    pub(super) fn in_words(document: &Value) -> Option<Self> {
        let mut out = Self::default();
        let mut partition = "aws".to_owned();
        for statement in document.get("Statement")?.as_array()? {
            let principal = statement.get("Principal")?.as_object()?;
            let (kind, names) = principal.iter().next()?;
            let names: Vec<&str> = names.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
            let condition = statement.get("Condition");
            match kind.as_str() {
                "Service" => {
                    out.service = (*names.first()?).to_owned();
                    out.source_account = condition_text(condition, "StringEquals", "aws:SourceAccount");
                    out.source_arn = condition_text(condition, "ArnLike", "aws:SourceArn");
                }
                "AWS" => {
                    for name in names {
                        // Everybody is no principal to be named in passing.
                        if name == "*" {
                            return None;
                        }
                        match account_root(name) {
                            Some((of, account)) => {
                                partition = of.to_owned();
                                out.accounts.push(account.to_owned());
                            }
                            None => out.principals.push(name.to_owned()),
                        }
                    }
                    out.external_id = condition_text(condition, "StringEquals", "sts:ExternalId");
                    out.mfa = condition_text(condition, "Bool", "aws:MultiFactorAuthPresent") == "true";
                }
                "Federated" => out.oidc.push(oidc_in_words(names.first()?, condition?)?),
                _ => return None,
            }
        }
        // Whatever was overlooked above shows here: the words must make the same statements again.
        let again = out.to_document(&partition);
        (out.names_somebody() && same_statements(document, &again)).then_some(out)
    }
}

fn oidc_in_words(provider: &str, condition: &Value) -> Option<Oidc> {
    let issuer = provider.split_once(":oidc-provider/")?.1;
    let audience = condition_text(Some(condition), "StringEquals", &format!("{issuer}:aud"));
    let subjects = condition.get("StringLike")?.get(format!("{issuer}:sub"))?.as_array()?;
    let subjects = subjects.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    Some(Oidc { provider: provider.to_owned(), audience, subjects })
}

fn statement(principal: Value, action: &str, condition: Map<String, Value>) -> Value {
    let mut out = json!({ "Effect": "Allow", "Principal": principal, "Action": action });
    if let (false, Some(map)) = (condition.is_empty(), out.as_object_mut()) {
        map.insert("Condition".to_owned(), Value::Object(condition));
    }
    out
}

fn put(condition: &mut Map<String, Value>, operator: &str, key: &str, value: &str) {
    if !value.is_empty() {
        condition.insert(operator.to_owned(), json!({ key: value }));
    }
}

fn condition_text(condition: Option<&Value>, operator: &str, key: &str) -> String {
    let values = condition.and_then(|condition| condition.get(operator)?.get(key)?.as_array());
    values.and_then(|values| values.first()?.as_str()).unwrap_or_default().to_owned()
}

/// Splits `arn:aws:iam::123456789012:root` into partition and account.
fn account_root(arn: &str) -> Option<(&str, &str)> {
    let (partition, account) = arn.strip_prefix("arn:")?.strip_suffix(":root")?.split_once(":iam::")?;
    Some((partition, account))
}

/// Compares the statements of two documents, in any order and without their labels.
fn same_statements(a: &Value, b: &Value) -> bool {
    let keys = |document: &Value| {
        let mut known = document.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        known.all(|key| ["Version", "Statement"].contains(&key))
    };
    let texts = |document: &Value| {
        let statements = document.get("Statement").and_then(Value::as_array);
        let mut out: Vec<String> = statements.into_iter().flatten().map(without_label).collect();
        out.sort();
        out
    };
    keys(a) && a.get("Version") == b.get("Version") && texts(a) == texts(b)
}

fn without_label(statement: &Value) -> String {
    let mut statement = statement.clone();
    if let Some(map) = statement.as_object_mut() {
        map.shift_remove("Sid");
    }
    statement.to_string()
}

/// Returns a document that lets in whom both documents let in, for the moment between two states of a role.
///
/// Refusals of either side stay. Nobody in common gives a document that lets nobody in.
pub(super) fn common(before: &Value, after: &Value) -> Value {
    let mut both = overlap(&statements_of(before, "Allow"), &statements_of(after, "Allow")).statements;
    if both.is_empty() {
        both.push(json!({ "Effect": "Deny", "Principal": { "AWS": ["*"] }, "Action": ["sts:AssumeRole"] }));
    }
    for statement in [before, after].iter().flat_map(|document| statements_of(document, "Deny")) {
        if !both.contains(&statement) {
            both.push(statement);
        }
    }
    canonical_policy(&json!({ "Version": "2012-10-17", "Statement": both }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(statements: Value) -> PolicyDocument {
        PolicyDocument(json!({ "Version": "2012-10-17", "Statement": statements }))
    }

    #[test]
    fn words_and_documents_go_both_ways() {
        let trust = Trust {
            service: "sagemaker.amazonaws.com".to_owned(),
            source_account: "123456789012".to_owned(),
            source_arn: "arn:aws:sagemaker:us-east-1:123456789012:*".to_owned(),
            accounts: vec!["210987654321".to_owned()],
            principals: vec!["arn:aws:iam::123456789012:role/ci".to_owned()],
            external_id: "acme".to_owned(),
            mfa: true,
            oidc: vec![Oidc {
                provider: "arn:aws:iam::123456789012:oidc-provider/token.example.com".to_owned(),
                audience: sts(),
                subjects: vec!["repo:acme/*".to_owned()],
            }],
            document: None,
        };
        let document = trust.to_document("aws");
        assert_eq!(Trust::from_document(&PolicyDocument(document.clone())), trust);
        assert_eq!(document["Statement"][1]["Condition"]["Bool"]["aws:MultiFactorAuthPresent"], json!(["true"]));
        assert_eq!(document["Statement"][2]["Condition"]["StringEquals"]["token.example.com:aud"], json!([sts()]));
    }

    #[test]
    fn the_partition_of_an_account_is_kept() {
        let china = document(json!({ "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "AWS": "arn:aws-cn:iam::123456789012:root" } }));
        assert_eq!(Trust::from_document(&china).accounts, ["123456789012"]);
    }

    #[test]
    fn what_words_cannot_say_stays_a_document() {
        for statements in [
            json!([{ "Effect": "Deny", "Principal": { "Service": "a.amazonaws.com" }, "Action": "sts:AssumeRole" }]),
            json!([{ "Effect": "Allow", "Principal": { "Service": ["a.amazonaws.com", "b.amazonaws.com"] }, "Action": "sts:AssumeRole" }]),
            json!([{ "Effect": "Allow", "Principal": { "Service": "a.amazonaws.com" }, "Action": ["sts:AssumeRole", "sts:TagSession"] }]),
            json!([{ "Effect": "Allow", "Principal": { "Service": "a.amazonaws.com" }, "Action": "sts:AssumeRole",
                "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1" } } }]),
            json!([{ "Effect": "Allow", "Principal": { "Service": "a.amazonaws.com", "AWS": "123456789012" }, "Action": "sts:AssumeRole" }]),
            json!([{ "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole" }]),
            json!([]),
        ] {
            let given = document(statements);
            let read = Trust::from_document(&given);
            assert!(!read.names_somebody(), "{read:?}");
            assert_eq!(read.document.map(|it| it.0), Some(canonical_policy(&given.0)));
        }
    }

    #[test]
    fn the_moment_between_lets_in_only_whom_both_let_in() {
        let a = Trust { service: "a.amazonaws.com".to_owned(), accounts: vec!["1".to_owned()], ..Trust::default() };
        let b = Trust { service: "a.amazonaws.com".to_owned(), accounts: vec!["2".to_owned()], ..Trust::default() };
        let between = common(&a.to_document("aws"), &b.to_document("aws"));
        let only = Trust { service: "a.amazonaws.com".to_owned(), ..Trust::default() };
        assert_eq!(canonical_policy(&between), only.to_document("aws"));
        let other = Trust { service: "c.amazonaws.com".to_owned(), ..Trust::default() };
        let nobody = common(&a.to_document("aws"), &other.to_document("aws"));
        assert_eq!(nobody["Statement"][0]["Effect"], "Deny");
    }
}

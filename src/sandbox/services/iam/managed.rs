//! The AWS managed policies that the sandbox knows: those that AI environments name.
//!
//! A document is here only where it is short and known exactly; for the others GetPolicyVersion says that the
//! sandbox does not have it.

use serde_json::{Value, json};

/// Path, name, and the document where it is known.
type Row = (&'static str, &'static str, Option<&'static str>);

const POLICIES: &[Row] = &[
    (
        "/",
        "AdministratorAccess",
        Some(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#),
    ),
    ("/", "AmazonBedrockFullAccess", None),
    ("/", "AmazonBedrockReadOnly", None),
    ("/", "AmazonEC2ContainerRegistryReadOnly", None),
    ("/", "AmazonEC2FullAccess", None),
    ("/", "AmazonEC2ReadOnlyAccess", None),
    (
        "/",
        "AmazonS3FullAccess",
        Some(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}]}"#,
        ),
    ),
    (
        "/",
        "AmazonS3ReadOnlyAccess",
        Some(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*","s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"],"Resource":"*"}]}"#,
        ),
    ),
    ("/", "AmazonSageMakerFullAccess", None),
    ("/", "AmazonSageMakerReadOnly", None),
    ("/", "AmazonSSMManagedInstanceCore", None),
    ("/", "CloudWatchAgentServerPolicy", None),
    ("/", "CloudWatchLogsFullAccess", None),
    ("/", "CloudWatchReadOnlyAccess", None),
    ("/", "IAMFullAccess", None),
    ("/", "IAMReadOnlyAccess", None),
    ("/", "PowerUserAccess", None),
    ("/", "ReadOnlyAccess", None),
    ("/", "SecurityAudit", None),
    ("/job-function/", "Billing", None),
    ("/job-function/", "ViewOnlyAccess", None),
    ("/service-role/", "AmazonSageMakerServiceCatalogProductsUseRole", None),
    (
        "/service-role/",
        "AWSLambdaBasicExecutionRole",
        Some(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}"#,
        ),
    ),
];

/// Returns a policy of AWS of which no more than its ARN is known.
pub(super) fn unknown(arn: &str) -> Value {
    let name = arn.rsplit('/').next().unwrap_or_default();
    json!({ "PolicyName": name, "PolicyId": "ANPAUNKNOWN000000000A", "Arn": arn, "Path": "/", "DefaultVersionId": "v1",
        "IsAttachable": true, "CreateDate": 1_423_180_800, "UpdateDate": 1_423_180_800, "Tags": [],
        "_versions": { "v1": { "document": null, "at": 1_423_180_800 } } })
}

/// Returns all, as GetPolicy shows them but for their counts, by ARN.
pub(super) fn all(partition: &str) -> impl Iterator<Item = (String, Value)> + '_ {
    POLICIES.iter().map(move |(path, name, document)| {
        let arn = format!("arn:{partition}:iam::aws:policy{path}{name}");
        let mut id = String::from("ANPA");
        id.extend(name.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).cycle().take(17));
        let policy = json!({
            "PolicyName": name,
            "PolicyId": id,
            "Arn": arn,
            "Path": path,
            "DefaultVersionId": "v1",
            "IsAttachable": true,
            // 2015-02-06, when managed policies came.
            "CreateDate": 1_423_180_800,
            "UpdateDate": 1_423_180_800,
            "Tags": [],
            "_versions": { "v1": { "document": document, "at": 1_423_180_800 } },
        });
        (arn, policy)
    })
}

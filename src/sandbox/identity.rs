//! Who sends a request and to what: account, region and service from its SigV4 credential scope.
//!
//! Signatures are looked at elsewhere. A request without a scope is refused by the caller.

use super::codec::Request;

/// The account of access keys that name none.
pub(crate) const DEFAULT_ACCOUNT: &str = "123456789012";

/// A credential scope: `AKID/20260105/us-east-1/ec2/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) signing_name: String,
}

/// Reads the scope from the authorization header or a presigned query.
pub(crate) fn scope(request: &Request) -> Option<Scope> {
    // Links to S3 that are presigned by version 2, as boto3 still makes them, name neither region nor service.
    if let (Some(key), Some(_)) = (request.parameter("AWSAccessKeyId"), request.parameter("Signature")) {
        let (access_key, region) = (key.to_owned(), "us-east-1".to_owned());
        return Some(Scope { access_key, region, signing_name: "s3".to_owned() });
    }
    let presigned = request.parameter("X-Amz-Credential").map(str::to_owned);
    let credential = presigned.or_else(|| {
        let header = request.header("authorization")?;
        let rest = header.strip_prefix("AWS4-")?;
        let (_, rest) = rest.split_once("Credential=")?;
        Some(rest.split([',', ' ']).next()?.to_owned())
    })?;
    // An access key may not contain a slash, so the last four parts are the scope's.
    let mut parts = credential.split('/');
    let access_key = parts.next()?.to_owned();
    let (_date, region, signing_name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next() != Some("aws4_request") || !is_region(region) || access_key.is_empty() {
        return None;
    }
    Some(Scope { access_key, region: region.to_owned(), signing_name: signing_name.to_owned() })
}

/// Tells whether a name has the form of a region (`us-east-1`, `us-gov-west-1`).
///
/// The name becomes a folder's name, so nothing else may pass.
pub(crate) fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, words)) => {
            words.len() >= 2
                && name.len() <= 32
                && words.iter().all(letters)
                && matches!(number.as_bytes(), [b'1'..=b'9'])
        }
        None => false,
    }
}

/// Tells whether a text is an account id.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns the ARN partition of a region.
pub(crate) fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_checked_by_form() {
        for good in ["us-east-1", "us-gov-west-1", "ap-southeast-4"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "us-east", "../x-1", "us-east-12", "US-east-1", "us--1"] {
            assert!(!is_region(bad), "{bad}");
        }
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition("cn-north-1"), "aws-cn");
    }
}

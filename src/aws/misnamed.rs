//! An answer whose root element the SDK knows by another name than AWS gives it, and so would refuse.
//!
//! S3's model has no name for the root of this one list; the SDK takes the output's own. AWS's SDK for Java 1.x reads
//! what S3 sends (`XmlResponsesSaxParser.ListBucketIntelligentTieringConfigurationHandler`).

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

const OPERATION: &str = "ListBucketIntelligentTieringConfigurations";
const SENT: &str = "ListIntelligentTieringConfigurationsResult";
const KNOWN: &str = "ListBucketIntelligentTieringConfigurationsOutput";

/// Returns the answer with the root that the SDK knows; every other operation's as it is.
///
/// # Errors
/// Returns an error where the body breaks off.
pub(super) async fn corrected(operation: &str, mut answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    if operation != OPERATION || !answer.status().is_success() {
        return Ok(answer);
    }
    let body = ByteStream::new(answer.take_body()).collect().await;
    let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for tag in ["<", "</"] {
        text = text.replace(&format!("{tag}{SENT}"), &format!("{tag}{KNOWN}"));
    }
    // The SDK compares the length with what comes.
    answer.headers_mut().insert("content-length", text.len().to_string());
    *answer.body_mut() = SdkBody::from(text);
    Ok(answer)
}

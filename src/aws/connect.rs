//! Connects to an account: credentials, region, and who the caller is.
//!
//! Called by the CLI only, because the SDK's credential chain reads the environment and the home folder.

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde::Serialize;

use super::{Aws, AwsError, Pacing, Seam};

/// Who the calls are made as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caller {
    pub account: String,
    pub arn: String,
    pub user_id: String,
}

/// How to reach the account.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub region: String,
    pub profile: Option<String>,
    /// In place of AWS's own endpoints, for all services.
    pub endpoint: Option<String>,
    /// In place of [`super::DEFAULT_SHARE`].
    pub share: Option<f64>,
}

/// Returns the seam to AWS itself: HTTPS, the wall clock and real sleep.
pub fn live_seam() -> Seam {
    Seam {
        http: Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        time: SharedTimeSource::new(SystemTimeSource::new()),
        sleep: SharedAsyncSleep::new(TokioSleep::new()),
        background: SharedAsyncSleep::new(TokioSleep::new()),
    }
}

/// Connects by the SDK's standard chain: environment, profile, IAM Identity Center, web identity, instance role.
pub async fn connect(options: &Options, seam: Seam) -> Aws {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .http_client(seam.http.clone())
        .time_source(seam.time.clone())
        .sleep_impl(seam.sleep.clone())
        // A request that waits for its turn sends nothing, and is no broken upload; answers are still watched.
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build());
    if let Some(profile) = &options.profile {
        // Who names a profile means it, whatever keys the environment has.
        let config = ProviderConfig::without_region()
            .with_region(Some(Region::new(options.region.clone())))
            .with_http_client(seam.http.clone())
            .with_time_source(seam.time.clone())
            .with_sleep_impl(seam.sleep.clone());
        let named = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(named);
    }
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    Aws::new(&loader.load().await, seam, Pacing::new(options.share.unwrap_or(super::DEFAULT_SHARE)))
}

/// Connects through a given seam with fixed credentials: the sandbox and tests.
pub fn connect_with(seam: Seam, credentials: Credentials, region: &str, pacing: Pacing) -> Aws {
    Aws::new(&fixed(credentials, region), seam, pacing)
}

/// Connects as another program would: what works on the account behind opora's back, in the demo and in tests.
pub fn connect_outsider(seam: Seam, credentials: Credentials, region: &str) -> Aws {
    Aws::named("outsider", &fixed(credentials, region), seam, Pacing::new(1.0))
}

fn fixed(credentials: Credentials, region: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // Its background timer would sleep on the clock of the seam, which may be a virtual one.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Tells whether credentials that a region refused are accepted where every account is at home: then it is the region.
///
/// A region that is not enabled for the account answers `InvalidClientTokenId`, as it does to a key that nobody knows.
pub async fn is_accepted_at_home(aws: &Aws) -> bool {
    let home = match aws.region() {
        region if region.starts_with("cn-") => "cn-north-1",
        region if region.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    };
    if home == aws.region() {
        return false;
    }
    let config = aws_sdk_sts::config::Builder::from(aws.config()).region(Region::new(home)).build();
    aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await.is_ok()
}

/// Asks who the caller is.
///
/// # Errors
/// Returns what the credential chain or STS answered.
pub async fn caller(aws: &Aws) -> Result<Caller, AwsError> {
    let identity = aws.sts().get_caller_identity().send().await?;
    Ok(Caller {
        account: identity.account.unwrap_or_default(),
        arn: identity.arn.unwrap_or_default(),
        user_id: identity.user_id.unwrap_or_default(),
    })
}

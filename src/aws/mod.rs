//! AWS: clients, pacing, waits and error classes, and the kinds under `kinds/`.
//!
//! The only module, with the job engines, that names an SDK crate. It reads no spec and decides no change:
//! it is told what to read and what to call.

pub mod bulk;
pub mod connect;
mod error;
mod fence;
pub mod history;
pub mod kinds;
mod lists;
mod misnamed;
mod pacing;
pub mod resource;
mod seam;
pub mod simulate;
pub mod surroundings;
pub mod tags;
pub mod wait;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::AsyncSleep;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::app_name::AppName;
use futures::stream::{self, Buffered, Collect, Iter, StreamExt};

pub use error::{AwsError, ErrorClass, Residue};
pub use fence::{Fence, Fenced};
pub use pacing::{DEFAULT_SHARE, Pacing};
pub use seam::{CallCounter, CallCounts, ClockOffset, Seam};

use fence::Gate;
use lists::Lists;
use resource::{Discovered, ResourceKind};
use seam::{NameOperation, OnlyThrottles, PacedClient, WrongClock};

/// Attempts of a call that may be repeated, the first included.
const ATTEMPTS_MAX: u32 = 6;

/// The most reads of one list at a time. Calls are paced, so that more would only wait, each with its request in memory.
const READS_AT_A_TIME: usize = 64;

/// The name that calls carry in their user agent, so that opora's own are known again in CloudTrail's history.
const APP: &str = "opora";

/// Clients of all services for one account and region.
///
/// Cloning is cheap. Clients are built when they are first used.
#[derive(Debug, Clone)]
pub struct Aws {
    shared: Arc<Shared>,
    clients: Arc<Clients>,
}

#[derive(Debug)]
struct Shared {
    config: SdkConfig,
    seam: Seam,
    counter: CallCounter,
    gate: Gate,
    /// Clients that repeat whatever may be repeated, and clients that never repeat an ambiguous call.
    repeating: Arc<Clients>,
    once: Arc<Clients>,
    lists: Lists,
}

/// Does all reads, so many of them at a time, and returns their answers in order.
pub(crate) fn together<F: Future>(reads: impl IntoIterator<Item = F>) -> Together<F> {
    // The iterator must not be part of what is returned: the compiler can't tell that its closure may cross threads.
    let reads: Vec<F> = reads.into_iter().collect();
    stream::iter(reads).buffered(READS_AT_A_TIME).collect()
}

type Together<F> = Collect<Buffered<Iter<std::vec::IntoIter<F>>>, Vec<<F as Future>::Output>>;

macro_rules! clients {
    ($($name:ident: $sdk:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        struct Clients {
            once: bool,
            $($name: OnceLock<$sdk::Client>,)*
        }

        impl Aws {
            $(
                #[doc = concat!("Returns the client of `", stringify!($sdk), "`.")]
                pub fn $name(&self) -> &$sdk::Client {
                    self.clients.$name.get_or_init(|| {
                        let config = $sdk::config::Builder::from(&self.shared.config).interceptor(NameOperation);
                        let config = match self.clients.once {
                            true => config.retry_classifier(OnlyThrottles),
                            false => config.retry_classifier(WrongClock),
                        };
                        $sdk::Client::from_conf(service_config!($name, self, config))
                    })
                }
            )*
        }
    };
}

macro_rules! service_config {
    // An endpoint of the user's own has no wildcard DNS for buckets.
    (s3, $aws:expr, $config:expr) => {
        $config.force_path_style($aws.shared.config.endpoint_url().is_some()).build()
    };
    ($name:ident, $aws:expr, $config:expr) => {
        $config.build()
    };
}

clients! {
    bedrock: aws_sdk_bedrock,
    bedrock_runtime: aws_sdk_bedrockruntime,
    budgets: aws_sdk_budgets,
    cloudtrail: aws_sdk_cloudtrail,
    ec2: aws_sdk_ec2,
    iam: aws_sdk_iam,
    kms: aws_sdk_kms,
    logs: aws_sdk_cloudwatchlogs,
    s3: aws_sdk_s3,
    sagemaker: aws_sdk_sagemaker,
    secretsmanager: aws_sdk_secretsmanager,
    sts: aws_sdk_sts,
    tagging: aws_sdk_resourcegroupstagging,
}

impl Aws {
    /// Makes the clients from credentials and region in `config`, and sends through `seam` at the pace of `pacing`.
    pub fn new(config: &SdkConfig, seam: Seam, pacing: Pacing) -> Self {
        Self::named(APP, config, seam, pacing)
    }

    /// Makes the clients of another program than opora, as CloudTrail's history is to name it.
    pub(crate) fn named(app: &'static str, config: &SdkConfig, seam: Seam, pacing: Pacing) -> Self {
        let (counter, gate) = (CallCounter::default(), Gate::default());
        let http = PacedClient {
            inner: seam.http.clone(),
            pacing: Arc::new(pacing),
            counter: counter.clone(),
            gate: gate.clone(),
            time: seam.time.clone(),
            sleep: seam.sleep.clone(),
        };
        let config = config
            .to_builder()
            .app_name(AppName::new(app).expect("internal error: the name has letters only"))
            .http_client(http)
            .time_source(seam.time.clone())
            .sleep_impl(seam.sleep.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .build();
        let repeating = Arc::new(Clients::default());
        let once = Arc::new(Clients { once: true, ..Clients::default() });
        let clients = Arc::clone(&repeating);
        let lists = Lists::default();
        Self { shared: Arc::new(Shared { config, seam, counter, gate, repeating, once, lists }), clients }
    }

    /// Returns the same clients, but a call that may have had its effect is never repeated by itself.
    #[must_use]
    pub fn once(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), clients: Arc::clone(&self.shared.once) }
    }

    /// Returns the same clients, repeating whatever may be repeated.
    #[must_use]
    pub fn repeating(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), clients: Arc::clone(&self.shared.repeating) }
    }

    /// Returns the region that calls go to.
    pub fn region(&self) -> &str {
        self.shared.config.region().map_or("us-east-1", aws_types::region::Region::as_ref)
    }

    /// Returns the configuration: credentials, region and endpoint.
    pub fn config(&self) -> &SdkConfig {
        &self.shared.config
    }

    /// Returns the counts of calls that went out so far.
    pub fn calls(&self) -> CallCounts {
        self.shared.counter.counts()
    }

    /// Returns how far the seam's clock was from the dates in the answers so far.
    pub fn clock_offset(&self) -> ClockOffset {
        self.shared.counter.clock_offset()
    }

    /// Lists all there is of a kind, together with whoever else asks for it.
    ///
    /// # Errors
    /// Returns the failed call's error.
    pub(crate) async fn list<K: ResourceKind + ?Sized>(&self) -> Result<Arc<[Discovered]>, AwsError> {
        let aws = self.clone();
        self.shared.lists.ask(K::NAME, async move { K::discover(&aws).await }).await
    }

    /// Asks a fence before each call that changes something, until the value that is returned is dropped.
    pub fn fenced(&self, fence: Arc<dyn Fence>) -> Fenced {
        self.shared.gate.close(fence)
    }

    /// Returns the seam that calls go through.
    pub fn seam(&self) -> &Seam {
        &self.shared.seam
    }

    /// Reads the seam's clock.
    pub fn now(&self) -> jiff::Timestamp {
        seam::now(&self.shared.seam.time)
    }

    pub(crate) fn now_system(&self) -> SystemTime {
        self.shared.seam.time.now()
    }

    /// Sleeps beside the work.
    pub(crate) async fn sleep_beside(&self, time: Duration) {
        self.shared.seam.background.sleep(time).await;
    }

    /// Sleeps on the seam's clock. Only waits do.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.shared.seam.sleep.sleep(time).await;
    }
}

//! The seam through which every AWS call goes: HTTP, time and sleep, with pacing and counting on the way.
//!
//! The SDK's own types are the interface, so that HTTPS to AWS, a local endpoint and the sandbox are one
//! thing to the rest. Nothing here knows an operation's meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{BeforeTransmitInterceptorContextMut, InterceptorContext};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::retry::ErrorKind;
use futures::future::Either;
use serde::Serialize;

use super::error::iam_prefix;
use super::fence::Gate;
use super::misnamed;
use super::pacing::Pacing;

/// What is needed to reach AWS, or something that answers like it.
#[derive(Debug, Clone)]
pub struct Seam {
    pub http: SharedHttpClient,
    pub time: SharedTimeSource,
    pub sleep: SharedAsyncSleep,
    /// Sleep of what runs beside the work, such as keeping a lease; a simulated clock does not move for it.
    pub background: SharedAsyncSleep,
}

/// Counts of the calls that went out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// Calls by `service:Operation`; each attempt counts.
    pub by_operation: BTreeMap<String, u64>,
    pub throttled: u64,
    /// Calls that had to wait for their bucket.
    pub paced: u64,
}

impl CallCounts {
    /// Returns the number of all calls.
    pub fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }
}

/// How far the seam's clock was from the dates in AWS's answers, as far as whole seconds and the way there prove it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ClockOffset {
    /// Answers with a date.
    pub answers: u64,
    /// The most that was proven.
    pub seconds_max: f64,
}

impl ClockOffset {
    /// Counts an answer's date, which is of some moment between the sending and the arrival and cut to whole seconds.
    fn add(&mut self, date: f64, sent: f64, arrived: f64) {
        let (behind, ahead) = (date - arrived, sent - (date + 1.0));
        self.answers += 1;
        self.seconds_max = self.seconds_max.max(behind).max(ahead);
    }
}

/// Shared counters of one [`Seam`].
#[derive(Debug, Clone, Default)]
pub struct CallCounter(Arc<Mutex<CallCounts>>, Arc<Mutex<ClockOffset>>);

impl CallCounter {
    /// Returns the counts so far.
    pub fn counts(&self) -> CallCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how far the clock was off so far.
    pub fn clock_offset(&self) -> ClockOffset {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare_clock(&self, date: Option<&str>, sent: SystemTime, arrived: SystemTime) {
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|time| time.as_secs_f64());
        if let (Some(date), Some(sent), Some(arrived)) = (date, seconds(sent), seconds(arrived)) {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).add(date.as_secs_f64(), sent, arrived);
        }
    }

    fn add(&self, change: impl FnOnce(&mut CallCounts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The name of the operation a request belongs to, put on it by [`NameOperation`].
#[derive(Debug, Clone)]
struct OperationName {
    service: String,
    operation: String,
}

/// Tells the HTTP layer which operation a request is.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameOperation;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for NameOperation {
    fn name(&self) -> &'static str {
        "opora: name the operation"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = cfg.load::<Metadata>() {
            let service = metadata.service().to_lowercase().replace(' ', "");
            let name =
                OperationName { service: iam_prefix(&service).to_owned(), operation: metadata.name().to_owned() };
            context.request_mut().add_extension(name);
        }
        Ok(())
    }
}

/// An HTTP client that paces and counts what goes through it.
pub(super) struct PacedClient {
    pub inner: SharedHttpClient,
    pub pacing: Arc<Pacing>,
    pub counter: CallCounter,
    pub gate: Gate,
    pub time: SharedTimeSource,
    pub sleep: SharedAsyncSleep,
}

impl fmt::Debug for PacedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedClient").finish_non_exhaustive()
    }
}

impl HttpClient for PacedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(PacedConnector {
            inner: self.inner.http_connector(settings, components),
            pacing: Arc::clone(&self.pacing),
            counter: self.counter.clone(),
            gate: self.gate.clone(),
            time: self.time.clone(),
            sleep: self.sleep.clone(),
        })
    }
}

struct PacedConnector {
    inner: SharedHttpConnector,
    pacing: Arc<Pacing>,
    counter: CallCounter,
    gate: Gate,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl fmt::Debug for PacedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.inner.clone();
        let pacing = Arc::clone(&self.pacing);
        let counter = self.counter.clone();
        let (gate, time, sleep) = (self.gate.clone(), self.time.clone(), self.sleep.clone());
        HttpConnectorFuture::new(async move {
            let (request, name) = take_name(request)?;
            let OperationName { service, operation } = name;
            let mut waited = false;
            while let Some(wait) = pacing.take(&service, &operation, time.now()) {
                waited = true;
                sleep.sleep(wait).await;
            }
            let signed = signed_at(&request);
            // After all waits: what passes here is on its way.
            gate.pass(&operation).await.map_err(|reason| ConnectorError::user(reason.into()))?;
            counter.add(|counts| {
                *counts.by_operation.entry(format!("{service}:{operation}")).or_default() += 1;
                counts.paced += u64::from(waited);
            });
            let sent = time.now();
            let answer = std::pin::pin!(inner.call(request));
            let limit = sleep.sleep(answer_limit(&operation));
            let mut response = match futures::future::select(answer, std::pin::pin!(limit)).await {
                Either::Left((response, _)) => response?,
                Either::Right(_) => {
                    let seconds = answer_limit(&operation).as_secs();
                    return Err(ConnectorError::timeout(format!("no answer within {seconds} s").into()));
                }
            };
            counter.compare_clock(response.headers().get("date"), sent, time.now());
            if response.status().is_client_error() && is_far(signed, response.headers().get("date")) {
                response.add_extension(SignedAtWrongTime);
            }
            if matches!(response.status().as_u16(), 429 | 503) {
                pacing.throttled(&service, &operation);
                counter.add(|counts| counts.throttled += 1);
            }
            misnamed::corrected(&operation, response).await
        })
    }
}

/// Returns how long an answer may take to begin; the SDK itself would wait for ever.
fn answer_limit(operation: &str) -> Duration {
    Duration::from_secs(match operation {
        // A large body on its way, parts that S3 joins, a model that thinks before its first word.
        "PutObject" | "UploadPart" | "CompleteMultipartUpload" | "GetObject" | "Converse" | "ConverseStream" => 900,
        _ => 60,
    })
}

fn take_name(request: HttpRequest) -> Result<(HttpRequest, OperationName), ConnectorError> {
    let user_error = |error: BoxError| ConnectorError::user(error);
    let mut request = request.try_into_http1x().map_err(|error| user_error(error.into()))?;
    let name = request
        .extensions_mut()
        .remove::<OperationName>()
        // Calls of the credential chain itself (STS, SSO) are made before the interceptor is in place.
        .unwrap_or_else(|| OperationName { service: "credentials".to_owned(), operation: "Load".to_owned() });
    let request = HttpRequest::try_from(request).map_err(|error| user_error(error.into()))?;
    Ok((request, name))
}

/// Marks the refusal of a request whose signature has another time than AWS's clock.
#[derive(Debug, Clone, Copy)]
struct SignedAtWrongTime;

/// How far a signature's time may be off before a refusal is put down to it; AWS refuses from five minutes on.
const SIGNED_OFF_S: f64 = 240.0;

fn signed_at(request: &HttpRequest) -> Option<f64> {
    let text = request.headers().get("x-amz-date")?;
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second() as f64)
}

fn is_far(signed: Option<f64>, date: Option<&str>) -> bool {
    let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    signed.zip(date).is_some_and(|(signed, date)| (date.as_secs_f64() - signed).abs() > SIGNED_OFF_S)
}

/// Repeats what was refused for its signature's time: the SDK signs the next attempt by the clock of the answer.
///
/// The SDK does so itself where an error's code speaks of the clock; EC2 answers `RequestExpired`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrongClock;

impl WrongClock {
    fn refused(context: &InterceptorContext) -> bool {
        context.response().is_some_and(|response| response.extension::<SignedAtWrongTime>().is_some())
    }
}

impl ClassifyRetry for WrongClock {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match Self::refused(context) {
            true => RetryAction::retryable_error(ErrorKind::ServerError),
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "opora: a wrong clock"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Forbids to repeat a call that may have had its effect: only a throttle, and a refusal for the clock, had none.
///
/// For creates without a client token, where a blind retry after a lost reply makes a duplicate.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnlyThrottles;

impl ClassifyRetry for OnlyThrottles {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::RetryForbidden
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        if WrongClock::refused(context) {
            return RetryAction::retryable_error(ErrorKind::ServerError);
        }
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) => {
                RetryAction::NoActionIndicated
            }
            _ => RetryAction::RetryForbidden,
        }
    }

    fn name(&self) -> &'static str {
        "opora: only throttles"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Reads the seam's clock.
pub(crate) fn now(time: &SharedTimeSource) -> jiff::Timestamp {
    jiff::Timestamp::try_from(time.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_what_whole_seconds_and_the_way_prove() {
        let mut offset = ClockOffset::default();
        offset.add(100.0, 100.2, 100.4);
        offset.add(100.0, 98.0, 100.9);
        assert_eq!(offset, ClockOffset { answers: 2, seconds_max: 0.0 });
        offset.add(100.0, 103.5, 103.6);
        assert_eq!(offset.seconds_max, 2.5, "the clock is ahead");
        offset.add(100.0, 90.0, 91.0);
        assert_eq!(offset, ClockOffset { answers: 4, seconds_max: 9.0 });
    }
}

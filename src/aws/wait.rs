//! Waits with a bound, on the seam's clock; the only place of the product that sleeps.
//!
//! A wait asks AWS itself whether it may go on. It never sleeps a fixed time and hopes.

use std::future::Future;
use std::time::Duration;

use super::Aws;
use super::error::{AwsError, ErrorClass};

/// How long a wait may take, and how often it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The whole wait.
    pub total: Duration,
    /// The pause before the second question; it doubles up to `pause_max`.
    pub pause: Duration,
    pub pause_max: Duration,
}

impl Bound {
    /// Makes a bound of `total` seconds that asks after 0.5 s and then ever more rarely, at least every 15 s.
    pub const fn seconds(total: u64) -> Self {
        Self {
            total: Duration::from_secs(total),
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(15),
        }
    }

    /// Asks at least every second: for propagation, where each second counts.
    ///
    /// Each resource asks by the very call that it waits for, some sixty times in a minute. Many at once share the pace
    /// of their operation (`pacing.rs`) and never ask faster than that; then the pace decides who goes on when.
    pub const fn propagation() -> Self {
        Self { total: Duration::from_secs(120), pause: Duration::from_millis(250), pause_max: Duration::from_secs(1) }
    }
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll<T> {
    Ready(T),
    /// Not yet; the text says what state it is in.
    Pending(String),
}

/// Asks until it is ready.
///
/// # Errors
/// Returns the poll's own error, or [`ErrorClass::WaitedTooLong`] with the last state seen.
pub async fn until<T, F, Fut>(aws: &Aws, what: &str, bound: Bound, mut poll: F) -> Result<T, AwsError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Poll<T>, AwsError>>,
{
    let end = aws.now_system() + bound.total;
    let mut pause = bound.pause;
    loop {
        // An answer can be long on its way, and says what was when it was asked for.
        let asked = aws.now_system();
        let state = match poll().await? {
            Poll::Ready(value) => return Ok(value),
            Poll::Pending(state) => state,
        };
        if asked >= end {
            let seconds = bound.total.as_secs();
            let message = format!("waited {seconds} s for {what}; it is still {state}");
            return Err(AwsError::own(what, ErrorClass::WaitedTooLong, "WaitedTooLong", message));
        }
        aws.sleep(pause).await;
        pause = (pause * 2).min(bound.pause_max);
    }
}

/// Repeats a call while AWS answers that something it refers to is not visible yet.
///
/// New IAM roles, policies and grants take up to about a minute to reach their consumers.
///
/// # Errors
/// Returns the last answer when the bound is over, and every other error at once.
pub async fn while_not_yet<T, F, Fut>(aws: &Aws, bound: Bound, call: F) -> Result<T, AwsError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, AwsError>>,
{
    while_failing(aws, bound, |error| error.class == ErrorClass::NotYet, call).await
}

/// Repeats a call while its error is one that may pass.
///
/// # Errors
/// Returns the last answer when the bound is over, and every other error at once.
pub async fn while_failing<T, F, Fut>(
    aws: &Aws,
    bound: Bound,
    may_pass: impl Fn(&AwsError) -> bool,
    mut call: F,
) -> Result<T, AwsError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, AwsError>>,
{
    let end = aws.now_system() + bound.total;
    let mut pause = bound.pause;
    loop {
        match call().await {
            Err(error) if may_pass(&error) && aws.now_system() < end => {
                aws.sleep(pause).await;
                pause = (pause * 2).min(bound.pause_max);
            }
            other => return other,
        }
    }
}

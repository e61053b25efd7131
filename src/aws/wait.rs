//! Waits with a bound, on the seam's clock; the only place of the product that sleeps.
//!
//! A wait asks AWS itself whether it may go on. It never sleeps a fixed time and hopes.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

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

/// What is brought to what is wanted one call at a time, each decided by a look at what there is.
#[async_trait]
pub trait Stepwise: Sync {
    type Step: PartialEq + Debug + Send + Sync;

    /// Names what is waited for, for messages (`the replicas`).
    const WHAT: &'static str;

    /// Looks, and decides on the next call after those that were `sent`; `None` where all is as wanted.
    async fn next(&self, sent: &[Self::Step]) -> Result<Option<Self::Step>, AwsError>;

    /// Makes one call.
    async fn send(&self, step: &Self::Step) -> Result<(), AwsError>;
}

/// The most calls of one [`step_by_step`]. Two do unless what is shown is behind, or replies are lost.
const STEPS_MAX: usize = 6;

/// Looks, calls, and waits until a look shows what the call did, until nothing is left to do.
///
/// What AWS shows may be behind. So no call is made twice because its effect does not show yet; and one that AWS
/// finds invalid was decided by an old look, or was made already and its reply was lost: the next looks tell.
///
/// # Errors
/// Returns the error of a look or a call, or [`ErrorClass::WaitedTooLong`].
pub async fn step_by_step<T: Stepwise>(aws: &Aws, stepwise: &T) -> Result<(), AwsError> {
    let mut sent: Vec<T::Step> = Vec::new();
    let mut next = stepwise.next(&sent).await?;
    while let Some(step) = next {
        if sent.len() == STEPS_MAX {
            let message = format!("{} are not what is wanted after {STEPS_MAX} calls", T::WHAT);
            return Err(AwsError::own(T::WHAT, ErrorClass::WaitedTooLong, "WaitedTooLong", message));
        }
        let doubt = match stepwise.send(&step).await {
            Err(error) if error.is_ambiguous() || error.class == ErrorClass::Invalid => Some(error),
            other => other.map(|()| None)?,
        };
        sent.push(step);
        let step = sent.last();
        let shown = until(aws, T::WHAT, Bound::propagation(), || async {
            let next = stepwise.next(&sent).await?;
            Ok(if next.as_ref() == step { Poll::Pending("as before".to_owned()) } else { Poll::Ready(next) })
        });
        next = match (shown.await, doubt) {
            (Ok(next), _) => next,
            (Err(late), Some(doubt)) if late.class == ErrorClass::WaitedTooLong => {
                if !doubt.is_ambiguous() {
                    return Err(doubt);
                }
                // It had no effect.
                stepwise.next(&sent).await?
            }
            (Err(error), _) => return Err(error),
        };
    }
    Ok(())
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

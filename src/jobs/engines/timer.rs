//! A bound on how long something may take, on the seam's clock.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::aws::Aws;

/// Pieces that a bound is slept in. On a virtual clock, where a sleep ends as soon as nothing else can go on,
/// this lets work that itself sleeps or yields come first; on a real one it costs nothing.
const PIECES: u32 = 64;

/// Waits for a future, but not longer than the bound; `None` where that is over.
pub(super) async fn within<T>(aws: &Aws, bound: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let end = aws.now_system() + bound;
    loop {
        let piece = (bound / PIECES).max(Duration::from_millis(1));
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = aws.sleep(piece) => {}
        }
        if aws.now_system() >= end {
            return None;
        }
    }
}

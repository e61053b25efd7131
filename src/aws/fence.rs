//! Holds writing calls back unless this process may still write.
//!
//! A process that was stopped or slept may wake up after another run took its work over. So the question is asked
//! right before a request leaves, each attempt anew: what can still reach AWS afterwards is a request that had
//! passed here before. Calls that only read are never held back.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::error::only_reads;

/// Tells whether calls that change something may be sent.
#[async_trait]
pub trait Fence: Send + Sync {
    /// Answers, in time for a call that is about to be sent.
    ///
    /// # Errors
    /// Returns the reason why the call must not be sent.
    async fn check(&self) -> Result<(), String>;
}

/// Begins the reason in the error of a call that was held back.
pub(super) const NOT_SENT: &str = "not sent: ";

/// Where the fence of all clients of one account stands.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<RwLock<Option<Arc<dyn Fence>>>>);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// Puts a fence up until the value that is returned is dropped.
    pub(super) fn close(&self, fence: Arc<dyn Fence>) -> Fenced {
        let before = self.0.write().unwrap_or_else(PoisonError::into_inner).replace(fence);
        Fenced { gate: self.clone(), before }
    }

    /// Asks the fence, where one stands and the operation changes something.
    pub(super) async fn pass(&self, operation: &str) -> Result<(), String> {
        if only_reads(operation) {
            return Ok(());
        }
        let fence = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match fence {
            Some(fence) => fence.check().await.map_err(|reason| format!("{NOT_SENT}{reason}")),
            None => Ok(()),
        }
    }
}

/// A fence that stands until this is dropped.
#[must_use]
pub struct Fenced {
    gate: Gate,
    before: Option<Arc<dyn Fence>>,
}

impl Drop for Fenced {
    fn drop(&mut self) {
        *self.gate.0.write().unwrap_or_else(PoisonError::into_inner) = self.before.take();
    }
}

//! Where the log's objects are kept: the few operations that the log needs of a folder, a bucket or memory.
//!
//! The one that matters is [`Store::create`]: it writes an object whole and durably or not at all, and exactly
//! one of any number of writers to the same path wins. Nothing is ever written in place.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use super::error::StateError;

/// Whether a create-if-absent won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The object is there, durably, with these bytes.
    Written,
    /// Some object was there before; it is unchanged.
    Exists,
}

/// A place for objects.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Writes an object where there is none; durable when it returns.
    ///
    /// # Errors
    /// After [`StateError::Storage`] the object may exist or not; after all others it does not.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError>;

    /// Reads an object; `None` only where there certainly is none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError>;

    /// Lists the names in a folder that sort after `after`, in order; none for a folder that does not exist.
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError>;

    /// Deletes an object; succeeds where there is none. Used for superseded snapshots and by repair only.
    async fn delete(&self, path: &str) -> Result<(), StateError>;

    /// Removes what writers that were killed left half written.
    async fn sweep(&self) -> Result<(), StateError> {
        Ok(())
    }

    /// Tells whether conditional writes have to be tried out before they are relied on.
    fn must_prove_conditions(&self) -> bool {
        false
    }

    /// Returns what a user calls it.
    fn location(&self) -> String;
}

/// A store of the `object_store` crate: memory or S3.
#[derive(Debug, Clone)]
pub(super) struct ObjectStoreAdapter {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    pub(super) location: String,
    pub(super) remote: bool,
}

/// Makes a store that lives as long as its last owner, for tests and the sandbox.
pub fn memory() -> Arc<dyn Store> {
    Arc::new(ObjectStoreAdapter {
        inner: Arc::new(InMemory::new()),
        prefix: Path::default(),
        location: "memory:".to_owned(),
        remote: false,
    })
}

impl ObjectStoreAdapter {
    fn path(&self, path: &str) -> Path {
        self.prefix.parts().chain(Path::from(path).parts()).collect()
    }

    fn error(&self, operation: &'static str, error: object_store::Error) -> StateError {
        super::s3::sort_error(operation, &self.location, error)
    }
}

#[async_trait]
impl Store for ObjectStoreAdapter {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        let options = PutOptions::from(PutMode::Create);
        match self.inner.put_opts(&self.path(path), bytes.into(), options).await {
            Ok(_) => Ok(Creation::Written),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Creation::Exists)
            }
            Err(error) => Err(self.error("writing to", error)),
        }
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        let read = async { self.inner.get(&self.path(path)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if super::s3::is_absent_key(&error, self.remote) => Ok(None),
            Err(error) => Err(self.error("reading from", error)),
        }
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        let prefix = self.path(folder);
        let stream = match after {
            Some(after) => self.inner.list_with_offset(Some(&prefix), &prefix.clone().join(after)),
            None => self.inner.list(Some(&prefix)),
        };
        let found: Vec<_> = stream.try_collect().await.map_err(|error| self.error("listing", error))?;
        let mut names: Vec<String> =
            found.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        match self.inner.delete(&self.path(path)).await {
            Ok(()) => Ok(()),
            Err(error) if super::s3::is_absent_key(&error, self.remote) => Ok(()),
            Err(error) => Err(self.error("deleting from", error)),
        }
    }

    fn must_prove_conditions(&self) -> bool {
        self.remote
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}

//! The state in a local folder.
//!
//! An object is written to `tmp/`, flushed to the disk, hard-linked to its name and the folder flushed: the
//! link fails where the name exists, so that one of several writers wins, and no name ever stands for half an
//! object, whatever stops the machine. Files are 0600 and folders 0700 from the moment they exist.
//! `object_store`'s own local store is not used: it gives files the umask's mode (0644) and, without its
//! `fsync` switch, promises nothing after a power loss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::error::StateError;
use super::store::{Creation, Store};

const STAGING: &str = "tmp";

/// Attempts at one object when its staged file is swept away by another run; each needs a sweep at that moment.
const STAGING_ATTEMPTS_MAX: usize = 3;

/// A folder.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<Path>,
}

impl LocalStore {
    /// Makes the store of a folder, which is created by the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let root = Arc::clone(&self.root);
        match tokio::task::spawn_blocking(move || work(&root)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StateError::from_io(operation, &self.location(), error)),
            Err(_) => Err(StateError::Stopped),
        }
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        let path = path.to_owned();
        let written = self.blocking("writing to", move |root| create(root, &path, &bytes)).await;
        match written {
            Err(StateError::Storage { location, source, .. }) if is_unsupported(source.as_ref()) => {
                Err(StateError::HardLinks { location, source })
            }
            other => other,
        }
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        let path = path.to_owned();
        self.blocking("reading from", move |root| match fs::read(root.join(path)) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        let (folder, after) = (folder.to_owned(), after.map(str::to_owned));
        self.blocking("listing", move |root| list(&root.join(folder), after.as_deref())).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        let path = path.to_owned();
        self.blocking("deleting from", move |root| match fs::remove_file(root.join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn sweep(&self) -> Result<(), StateError> {
        self.blocking("sweeping", |root| {
            for name in list(&root.join(STAGING), None)? {
                // Gone already, or another run is quicker: either is fine.
                let _ = fs::remove_file(root.join(STAGING).join(name));
            }
            Ok(())
        })
        .await
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }
}

fn is_unsupported(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices))
}

fn list(folder: &Path, after: Option<&str>) -> io::Result<Vec<String>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        // Only a folder that was never made is an empty one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for item in found {
        let name = item?.file_name();
        if let Some(name) = name.to_str()
            && after.is_none_or(|after| name > after)
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn create(root: &Path, path: &str, bytes: &[u8]) -> io::Result<Creation> {
    let target = root.join(path);
    let folder = target.parent().unwrap_or(root).to_owned();
    let staging = root.join(STAGING);
    make_folders(&staging)?;
    make_folders(&folder)?;
    let mut attempt = 1;
    loop {
        let staged = staging.join(Uuid::new_v4().to_string());
        let linked = stage(&staged, bytes).and_then(|()| fs::hard_link(&staged, &target).map_err(name_missing_links));
        // A staged file that stays behind is removed by the next sweep.
        let _ = fs::remove_file(&staged);
        match linked {
            // Whatever the flush answers, the object is there: the error has to say that this is open.
            Ok(()) => return flush_folder(&folder).map(|()| Creation::Written).map_err(io::Error::other),
            // Nobody may build on an object that its own writer has not flushed yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return flush_folder(&folder).map(|()| Creation::Exists).map_err(io::Error::other);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < STAGING_ATTEMPTS_MAX => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Turns the answers of file systems that know no hard links into one kind; Linux says EPERM (1) there.
fn name_missing_links(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(1) { io::Error::new(io::ErrorKind::Unsupported, error) } else { error }
}

fn stage(staged: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(staged)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder and the ones above it that are missing, each private and durable.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => flush_folder(folder.parent().unwrap_or(folder)),
    }
}

#[cfg(unix)]
fn flush_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn flush_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

//! The folder of results: what a model answered, one folder per attempt, for the owner's eyes only.
//!
//! A file is there whole or not at all: written beside its name, flushed, renamed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::JobError;

/// Writes a file of an attempt; 0600, in folders of 0700.
pub(super) fn write(root: &Path, id: &str, name: &str, bytes: &[u8]) -> Result<PathBuf, JobError> {
    let folder = root.join(id);
    let path = folder.join(name);
    put(&folder, &path, bytes).map_err(|error| failed(&path, &error))?;
    Ok(path)
}

/// Reads a file of an attempt; `None` where there is none.
pub(super) fn read(root: &Path, id: &str, name: &str) -> Result<Option<Vec<u8>>, JobError> {
    let path = root.join(id).join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> JobError {
    JobError::Folder { path: path.display().to_string(), reason: error.to_string() }
}

fn put(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_private(folder)?;
    let staged = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("jobs");
        assert_eq!(read(&root, "a", "answer.txt").unwrap(), None);
        write(&root, "a", "answer.txt", b"one").unwrap();
        let path = write(&root, "a", "answer.txt", b"two").unwrap();
        assert_eq!(read(&root, "a", "answer.txt").unwrap().unwrap(), b"two");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&root.join("a"))), (0o600, 0o700));
        }
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 1);
    }
}

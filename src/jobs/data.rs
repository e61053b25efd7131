//! The local data of a job: which files, how large, and their digests.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::engine::DataSet;
use super::error::JobError;
use super::record::{DataFile, Uploaded};

/// Files in one data set, at most.
const FILES_MAX: usize = 10_000;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// Reads the digests of a data set and returns where its files belong.
pub(super) async fn digest(folder: &Path, set: &DataSet) -> Result<Uploaded, JobError> {
    let root = folder.join(&set.path);
    let shown = root.display().to_string();
    let files = tokio::task::spawn_blocking(move || read_all(&root))
        .await
        .map_err(|error| JobError::Data { path: shown.clone(), reason: error.to_string() })?
        .map_err(|(path, error)| JobError::Data { path: path.display().to_string(), reason: error.to_string() })?;
    let mut hash = Sha256::new();
    for file in &files {
        for part in [file.path.as_bytes(), file.sha256.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let digest = hex::encode(hash.finalize());
    let start = set.prefix.trim_matches('/');
    let separator = if start.is_empty() { "" } else { "/" };
    Ok(Uploaded {
        channel: set.channel.clone(),
        bucket: set.bucket.clone(),
        prefix: format!("{start}{separator}{}/", &digest[..16]),
        digest,
        files,
        kms_key: set.kms_key.clone(),
    })
}

/// Returns the local path of a file of a data set.
pub(super) fn local_path(folder: &Path, set: &DataSet, file: &DataFile) -> PathBuf {
    let root = folder.join(&set.path);
    if root.is_dir() { root.join(&file.path) } else { root }
}

type Failed = (PathBuf, io::Error);

fn read_all(root: &Path) -> Result<Vec<DataFile>, Failed> {
    let at = |error| (root.to_owned(), error);
    if fs::metadata(root).map_err(at)?.is_dir() {
        let mut paths = Vec::new();
        walk(root, &mut paths)?;
        if paths.is_empty() {
            return Err(at(io::Error::other("the folder has no files")));
        }
        paths.sort();
        return paths.iter().map(|path| read_one(path, path.strip_prefix(root).unwrap_or(path))).collect();
    }
    let name = root.file_name().map(Path::new).ok_or_else(|| at(io::Error::other("the path names no file")))?;
    Ok(vec![read_one(root, name)?])
}

fn walk(folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), Failed> {
    let at = |error| (folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        // A link that leads out of the folder, or back into it, is the user's own decision and is not followed.
        let kind = fs::symlink_metadata(&path).map_err(|error| (path.clone(), error))?.file_type();
        if kind.is_dir() {
            walk(&path, out)?;
        } else if kind.is_file() {
            out.push(path);
        } else {
            return Err((path, io::Error::other("neither a file nor a folder")));
        }
        if out.len() > FILES_MAX {
            return Err(at(io::Error::other(format!("more than {FILES_MAX} files"))));
        }
    }
    Ok(())
}

fn read_one(path: &Path, name: &Path) -> Result<DataFile, Failed> {
    let at = |error| (path.to_owned(), error);
    let name = name.to_str().ok_or_else(|| at(io::Error::other("the name is not UTF-8")))?;
    let mut file = File::open(path).map_err(at)?;
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    let mut chunk = vec![0u8; CHUNK];
    loop {
        let read = file.read(&mut chunk).map_err(at)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        bytes += read as u64;
    }
    Ok(DataFile { path: name.replace('\\', "/"), bytes, sha256: hex::encode(hash.finalize()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str) -> DataSet {
        DataSet {
            channel: "training".into(),
            path: path.into(),
            bucket: "b".into(),
            prefix: "/jobs/".into(),
            kms_key: None,
        }
    }

    #[tokio::test]
    async fn a_folder_is_its_files_in_order_and_the_prefix_carries_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/b.txt"), "b").unwrap();
        fs::write(dir.path().join("a.txt"), "a").unwrap();
        let whole = digest(dir.path(), &set(".")).await.unwrap();
        let names: Vec<&str> = whole.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["a.txt", "sub/b.txt"]);
        assert_eq!(whole.prefix, format!("jobs/{}/", &whole.digest[..16]));
        fs::write(dir.path().join("a.txt"), "c").unwrap();
        assert_ne!(digest(dir.path(), &set(".")).await.unwrap().digest, whole.digest);
        let one = digest(dir.path(), &set("a.txt")).await.unwrap();
        assert_eq!(one.files[0].sha256, hex::encode(Sha256::digest("c")));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = digest(dir.path(), &set("none.jsonl")).await.unwrap_err();
        assert!(matches!(error, JobError::Data { path, .. } if path.ends_with("none.jsonl")));
        assert!(matches!(digest(dir.path(), &set(".")).await, Err(JobError::Data { .. })));
    }
}

//! Where the texts that a spec names come from: the folder beside it, then what is compiled in.
//!
//! The loader reads through [`Files`] only, so tests and fuzzing use memory. Names never leave the spec's folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Reads files by path.
pub trait Files {
    /// Returns the bytes of a file.
    ///
    /// # Errors
    /// Returns the system's error; [`io::ErrorKind::NotFound`] where there is no such file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles(BTreeMap<PathBuf, Vec<u8>>);

impl MemoryFiles {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), bytes.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $path)))),*]
    };
}

/// Modules and policy fragments that come with opora, by their paths in the repository.
static EMBEDDED: &[(&str, &str)] = embed![
    "policies/cloudtrail/bucket.json",
    "policies/kms/data-key.json",
    "policies/logs/write.json",
    "policies/s3/tls-only.json",
    "policies/sagemaker/train.json",
    "templates/landing-zone/module.yaml",
    "templates/ultracluster/module.yaml",
];

/// Returns an embedded file's text.
pub fn embedded(path: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

/// Lists the embedded files.
pub fn embedded_paths() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(path, _)| *path)
}

/// The starter spec that `opora init` writes.
pub const STARTER: &str = include_str!("../../templates/starter.yaml");

/// Tells whether a name stays below the folder it is looked up in.
pub(crate) fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Returns the bytes of the first place that has the file: beside the spec, then embedded.
pub(crate) fn find(files: &dyn Files, folder: &Path, name: &str) -> io::Result<(String, Vec<u8>)> {
    let path = folder.join(name);
    match files.read(&path) {
        Ok(bytes) => Ok((path.display().to_string(), bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            match embedded(name) {
                Some(text) => Ok((name.to_owned(), text.as_bytes().to_vec())),
                None => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

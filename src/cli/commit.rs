//! The commit of the spec, asked of git: what a run's record says it was made from.
//!
//! Without git, without a repository, or for a spec that is not tracked, there is none. Nothing here writes.

use std::path::Path;
use std::process::{Command, Stdio};

/// Marks a commit from which the files beside the spec differ.
pub(crate) const CHANGED: &str = "+changes";

/// Returns the commit that the spec's folder is at, with [`CHANGED`] where a tracked file in it differs.
pub(crate) fn of(spec: &Path) -> Option<String> {
    let folder = match spec.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = spec.file_name()?.to_str()?;
    git(folder, &["ls-files", "--error-unmatch", "--", name])?;
    let commit = git(folder, &["rev-parse", "HEAD"])?.trim().to_owned();
    let whole = git(folder, &["diff", "--quiet", "HEAD", "--", "."]).is_some();
    let is_hash = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| if whole { commit } else { format!("{commit}{CHANGED}") })
}

/// Runs git, which is to run no program of the repository's own; `None` unless it ends well.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["--no-optional-locks", "-c", "core.fsmonitor=false", "-C"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

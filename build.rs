//! Embeds the data files (checks, controls, fragments) into the program, so that it needs no folder beside it.
//!
//! A new file in one of these folders is picked up by the next build; nothing else has to be edited.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Constant, folder below the package's root, file extensions.
const EMBEDDED: &[(&str, &str, &str)] = &[("POLICIES", "policies", "yaml"), ("CONTROLS", "controls", "yaml")];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut code = String::new();
    for (constant, folder, extension) in EMBEDDED {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        collect(&folder, extension, &mut files)?;
        files.sort();
        writeln!(code, "pub(crate) const {constant}: &[(&str, &str)] = &[").map_err(io::Error::other)?;
        for file in files {
            let name = file.strip_prefix(&root).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
            writeln!(code, "    ({name:?}, include_str!({:?})),", file.display().to_string())
                .map_err(io::Error::other)?;
        }
        code.push_str("];\n");
    }
    fs::write(out.join("embedded_controls.rs"), code)
}

fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            collect(&path, extension, files)?;
        } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(())
}

//! The spec language, tested on small kinds of its own.

mod diagnostics;
mod examples;
mod fuzz;
mod kinds;
mod schema;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use opora::render::{RenderOptions, render};
use opora::spec::{Loaded, MemoryFiles, load};

const HEADER: &str = "opora: 1\nenvironment: test\naccount: \"123456789012\"\nregion: us-east-1\n";

/// Loads a document made of the usual header and the given rest.
fn load_body(body: &str) -> Loaded {
    load_files(&MemoryFiles::default().with("t.yaml", format!("{HEADER}{body}")), &[])
}

fn load_files(files: &MemoryFiles, inputs: &[(&str, &str)]) -> Loaded {
    let inputs: BTreeMap<String, String> = inputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    load(Path::new("t.yaml"), files, &kinds::kinds(), &kinds::RoleArns, &inputs)
}

fn drawn(loaded: &Loaded) -> String {
    let locate = |location: &_| loaded.locator.resolve(location);
    render(&loaded.diagnostics, &loaded.sources, &locate, RenderOptions::default())
}

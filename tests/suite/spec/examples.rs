//! The specs that come with opora are valid for the real kinds, by their own checks and by the JSON Schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use opora::aws::kinds;
use opora::render::{RenderOptions, render};
use opora::spec::{DiskFiles, Environment, MemoryFiles, NoPredict, STARTER, load};

fn check(path: &Path, files: &dyn opora::spec::Files) -> Environment {
    let loaded = load(path, files, &kinds::schemas(), &NoPredict, &BTreeMap::new());
    let locate = |location: &_| loaded.locator.resolve(location);
    let drawn = render(&loaded.diagnostics, &loaded.sources, &locate, RenderOptions::default());
    assert!(drawn.is_empty(), "{drawn}");
    let environment = loaded.environment.unwrap();
    for (address, desired) in &environment.resources {
        let problems = kinds::get(&desired.kind).unwrap().check(&desired.arguments);
        let found: Vec<String> =
            problems.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect();
        assert_eq!(found, Vec::<String>::new(), "{address}");
    }
    environment
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).join("opora.yaml")
}

#[test]
fn core_is_valid() {
    let environment = check(&example("core"), &DiskFiles);
    assert_eq!(environment.resources.len(), 14);
}

#[test]
fn research_is_valid() {
    let environment = check(&example("research"), &DiskFiles);
    let kinds: std::collections::BTreeSet<&str> =
        environment.resources.values().map(|desired| desired.kind.as_str()).collect();
    let all: Vec<&str> = kinds::all().map(|kind| kind.schema().name).filter(|name| !kinds.contains(name)).collect();
    assert_eq!(all, Vec::<&str>::new(), "kinds that the example leaves out");
    let key = "kms_key.data".parse().unwrap();
    assert!(environment.resources[&"module.trail.s3_bucket.trail".parse().unwrap()].references.contains(&key));
}

#[test]
fn the_starter_is_valid() {
    let text = STARTER
        .replace("{{ environment }}", "lab")
        .replace("{{ account }}", "123456789012")
        .replace("{{ region }}", "eu-central-1");
    let environment = check(Path::new("opora.yaml"), &MemoryFiles::default().with("opora.yaml", text));
    assert_eq!(environment.scope.region, "eu-central-1");
}

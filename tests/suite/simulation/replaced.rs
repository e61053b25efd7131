//! Replacements with `create_before_destroy`, killed: what was replaced goes, whatever the user wants after.
//!
//! A plain `cargo test` kills before each create call and at some others; `OPORA_STRIDE=1` at every call.

use super::mortal::{Fate, MOMENTS};
use super::{End, Life, block_on, number, on_all_cores};

/// Of how many kills a plain `cargo test` takes one, besides those before create calls.
const STRIDE: u64 = 61;

const NONE: &str = r#"
opora: 1
environment: replaced
account: "123456789012"
region: us-east-1
"#;

const RESOURCES: &str = "
resources:
  vpc:
    main: { cidr: 10.0.0.0/16, lifecycle: { create_before_destroy: true } }
  subnet:
    a: { vpc: $(vpc.main.id), cidr: 10.0.0.0/20, lifecycle: { create_before_destroy: true } }
  log_group:
    jobs: { name: /jobs, lifecycle: { create_before_destroy: true } }
  kms_key:
    data: { alias: alias/a, lifecycle: { create_before_destroy: true } }
";

fn before() -> String {
    format!("{NONE}{RESOURCES}")
}

/// What the killed run brings about.
fn replaced() -> String {
    let after = before().replace("10.0.0.0", "10.1.0.0").replace("/jobs", "/work");
    after.replace("alias/a,", "alias/b, multi_region: true,")
}

/// What the user wants after the kill: the same, or nothing of it.
const NEXT: [&str; 2] = ["again", "none"];

async fn play(at: u64, moment: usize, next: &str) {
    let (life, calm) = (Life::new(1), Life::new(1));
    let then = if next == "none" { NONE.to_owned() } else { replaced() };
    for yaml in [&before(), &replaced(), &then] {
        calm.converge(&calm.load(yaml), false).await;
    }
    life.converge(&life.load(&before()), false).await;
    let end = life.process(&Fate::new(at, MOMENTS[moment]), &life.load(&replaced()), false).await;
    assert!(matches!(end, End::Killed), "call {at} is made");
    life.converge(&life.load(&then), false).await;
    let (mut found, mut wanted) = (life.inventory(), calm.inventory());
    if next == "none" {
        // A key that was never made does not wait for its deletion, and one that was does.
        for inventory in [&mut found, &mut wanted] {
            inventory.retain(|name, _| !name.contains("keys"));
        }
    }
    assert_eq!(found, wanted);
}

#[test]
fn a_replacement_killed_at_every_call_leaves_nothing() {
    let life = Life::new(1);
    let (first, calls) = block_on(async {
        life.converge(&life.load(&before()), false).await;
        let first = life.sandbox.calls().len();
        (first, life.converge(&life.load(&replaced()), false).await)
    });
    let operations: Vec<String> = life.sandbox.calls()[first..].iter().map(|call| call.operation.clone()).collect();
    let stride = number("OPORA_STRIDE").unwrap_or(STRIDE);
    let mut cases = Vec::new();
    for (operation, at) in operations.iter().zip(1..=calls) {
        for (moment, next) in (0..MOMENTS.len()).flat_map(|moment| NEXT.map(|next| (moment, next))) {
            let creates = operation.starts_with("Create") && moment == 0;
            if creates || (at * MOMENTS.len() as u64 + moment as u64).is_multiple_of(stride) {
                cases.push(format!("{at} {moment} {next}"));
            }
        }
    }
    println!("{} kills", cases.len());
    let failed = on_all_cores(cases, |case| {
        let parts: Vec<&str> = case.split(' ').collect();
        block_on(play(parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2]));
    });
    assert!(failed.is_empty(), "{} kills are not made good: {failed:#?}", failed.len());
}

//! Rollbacks that are killed at every call: a plain apply makes them good.

use opora::apply::OnFailure;
use opora::sandbox::{Conditions, FaultKind};

use super::mortal::{Fate, MOMENTS};
use super::{End, Life, block_on, number, on_all_cores};
use crate::support::{World, connect_to};
use crate::weather::fault;

/// Of how many kills a plain `cargo test` plays one.
const STRIDE: u64 = 13;

const SPEC: &str = r#"
opora: 1
environment: failing
account: "123456789012"
region: us-east-1
resources:
  kms_key: { data: { alias: alias/data } }
  s3_bucket: { new: { name: acme-new, versioning: true, encryption: { kms_key: $(kms_key.data.arn) } } }
  secretsmanager_secret: { token: { name: acme/token, value: { from_env: OPORA_TEST_TOKEN } } }
  vpc: { main: { cidr: 10.0.0.0/16 } }
  security_group: { nodes: { vpc: $(vpc.main.id), description: Nodes } }
  subnet:
    a:
      vpc: $(vpc.main.id)
      zone: us-east-1a
      cidr: 10.0.0.0/24
      depends_on: [s3_bucket.new, secretsmanager_secret.token, security_group.nodes]
"#;

fn conditions(failing: bool) -> Conditions {
    let faults = if failing { vec![fault("CreateSubnet", FaultKind::Denied)] } else { Vec::new() };
    Conditions { faults, ..Conditions::default() }
}

fn life() -> Life {
    let life = Life { on_failure: OnFailure::Rollback, ..Life::new(1) };
    life.sandbox.set_conditions(conditions(true));
    life
}

/// Plays a rollback to its end, or kills it; the plain apply afterwards leaves exactly what the spec says.
async fn play(at: u64, moment: usize) -> u64 {
    let life = life();
    let (environment, fate) = (life.load(SPEC), Fate::new(at, MOMENTS[moment]));
    match (at, life.process(&fate, &environment, false).await) {
        (0, End::Ran(report)) => {
            let rollback = report.rollback.expect("it rolls back");
            assert_eq!((rollback.undone.len(), rollback.kept.len()), (5, 0), "{rollback:#?}");
        }
        (_, End::Killed) if at > 0 => {}
        (_, other) => panic!("call {at}: {other:#?}"),
    }
    let calls = fate.calls();
    life.sandbox.set_conditions(conditions(false));
    life.converge(&environment, false).await;
    let world = World {
        sandbox: life.sandbox.clone(),
        aws: connect_to(&life.sandbox),
        log: life.log(&Fate::long_life()),
        schemas: opora::aws::kinds::schemas(),
    };
    world.assert_no_orphan("failing").await;
    calls
}

#[test]
fn killed_at_every_call_of_a_rollback() {
    let calls = block_on(play(0, 0));
    let stride = number("OPORA_STRIDE").unwrap_or(STRIDE) as usize;
    let all = (1..=calls).flat_map(|at| (0..MOMENTS.len()).map(move |moment| format!("{at} {moment}")));
    let cases: Vec<String> = all.step_by(stride).collect();
    println!("{} kills", cases.len());
    let failed = on_all_cores(cases, |case| {
        let (at, moment) = case.split_once(' ').expect("two numbers");
        block_on(play(at.parse().expect("a number"), moment.parse().expect("a number")));
    });
    assert!(failed.is_empty(), "{} kills are not made good: {failed:#?}", failed.len());
}

//! Situations as files, and what it takes to bring one about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use opora::aws::connect::caller;
use opora::diagnostic::Diagnostic;
use opora::engine;
use opora::kind::KindSchemas;
use opora::plan::Plan;
use opora::rehearse::{Input, Rehearsal, rehearse};
use opora::sandbox::Conditions;
use opora::spec::{self, DiskFiles, Environment, Loaded, MemoryFiles, NoPredict};
use opora::state::{StateLog, memory};
use opora::yaml;
use serde_json::{Value, json};

use super::{assert_only_reads, stage::TestStage};
use crate::support::{ACCOUNT, REGION, TestSecrets, World, connect_as};

/// One situation.
pub struct Case {
    pub name: String,
    pub kind: String,
    pub area: String,
    pub source: String,
    /// Why it is not found, for those that are not.
    pub missed: Option<String>,
    value: Value,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn parse(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let mut sources = opora::diagnostic::SourceMap::default();
    let (node, problems) = yaml::parse(&text, sources.add(path.display().to_string(), text.as_str()));
    assert_eq!(problems, Vec::new(), "{}", path.display());
    node.expect("a situation is not empty").to_json()
}

/// Reads all situations, sorted by name.
pub fn all() -> Vec<Case> {
    let folder = root().join("tests/suite/rehearsal");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    let case = |path: &std::path::PathBuf| {
        let value = parse(path);
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            kind: text("kind"),
            area: text("area"),
            source: text("source"),
            missed: value["missed"].as_str().map(str::to_owned),
            value,
        }
    };
    paths.iter().map(case).collect()
}

/// Returns the specs that have to raise no alarm: the examples, and the templates in use.
pub fn examples() -> Vec<(String, String)> {
    let read = |path: &str| (path.to_owned(), std::fs::read_to_string(root().join(path)).unwrap());
    let mut out = vec![read("examples/core/opora.yaml"), read("examples/research/opora.yaml")];
    let (name, starter) = read("templates/starter.yaml");
    let starter = starter.replace("{{ environment }}", "starter").replace("{{ account }}", ACCOUNT);
    out.push((name, starter.replace("{{ region }}", REGION)));
    out
}

/// Loads a spec, with the files and templates that it uses.
pub fn load(world: &World, yaml: &str) -> Result<Environment, Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opora.yaml");
    std::fs::write(&path, yaml).unwrap();
    let loaded = spec::load(&path, &DiskFiles, &world.schemas, &NoPredict, &BTreeMap::new());
    let problems: Vec<Diagnostic> = loaded.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    match loaded.environment {
        Some(environment) if problems.is_empty() => Ok(environment),
        _ => Err(problems),
    }
}

fn document(environment: &str, region: &str, resources: &Value) -> String {
    let head = json!({ "opora": 1, "environment": environment, "account": ACCOUNT, "region": region,
        "resources": resources });
    serde_json::to_string_pretty(&head).unwrap()
}

fn loaded(schemas: &KindSchemas, text: &str) -> Loaded {
    let path = Path::new("opora.yaml");
    let files = MemoryFiles::default().with(path, text.as_bytes());
    let mut loaded = spec::load(path, &files, schemas, &NoPredict, &BTreeMap::new());
    // As the command line does: what the schemas can't express.
    for (address, desired) in loaded.environment.iter().flat_map(|environment| &environment.resources) {
        let kind = opora::aws::kinds::get(&desired.kind).unwrap();
        for problem in kind.check(&desired.arguments) {
            let diagnostic = Diagnostic::error("SPEC090", "an argument is not valid for its kind");
            loaded.diagnostics.push(diagnostic.at_argument(address, problem.path, problem.message));
        }
    }
    loaded
}

/// Returns another environment in the same account.
fn beside(world: &World, region: &str) -> World {
    let aws = connect_as(&world.sandbox, ACCOUNT, region);
    let clock = aws.clone();
    let log = StateLog::on(memory(), std::sync::Arc::new(move || clock.now()));
    World { sandbox: world.sandbox.clone(), aws, log, schemas: opora::aws::kinds::schemas() }
}

impl Case {
    /// Brings the situation about, rehearses, and then applies to see that it was told right.
    pub async fn run(&self) -> Result<(), String> {
        let region = self.value["region"].as_str().unwrap_or(REGION);
        let world = beside(&World::new(5), region);
        let unbound = BTreeMap::from([("*".to_owned(), u64::MAX)]);
        world.sandbox.set_conditions(Conditions { quotas: unbound, ..Conditions::default() });
        let others = beside(&world, region);
        apply(&others, "others", region, &self.value["others"]).await;
        let mine = self.fill(&[&others], &self.value["mine"]).await;
        apply(&world, "mine", region, &mine).await;
        let more = beside(&world, region);
        let after = self.fill(&[&world], &self.value["after"]).await;
        apply(&more, "more", region, &after).await;
        for one in self.value["also"].as_array().into_iter().flatten() {
            let one = self.fill(&[&others, &more, &world], one).await;
            self.also(&world, &one).await;
        }
        let quotas: BTreeMap<String, u64> = serde_json::from_value(self.value["quotas"].clone()).unwrap_or_default();
        let lacks: BTreeSet<String> = serde_json::from_value(self.value["lacks"].clone()).unwrap_or_default();
        let catalogue = BTreeMap::from([("no_endpoint_services".to_owned(), lacks)]);
        world.sandbox.set_conditions(Conditions { quotas: quotas.clone(), catalogue, ..Conditions::default() });
        let spec = self.fill(&[&others, &more, &world], &self.value["spec"]).await;
        let text = document("mine", region, &spec);
        let found = loaded(&world.schemas, &text);
        if self.value["by"] == "validate" {
            return self.told_by_validate(&found);
        }
        let errors: Vec<_> = found.diagnostics.iter().filter(|one| one.is_error()).collect();
        if !errors.is_empty() {
            let texts: Vec<_> = errors.iter().flat_map(|one| one.labels.iter().map(|label| &label.text)).collect();
            return Err(format!("the spec has errors: {texts:?}"));
        }
        let environment = found.environment.as_ref().expect("a spec without errors has an environment");
        let plan = world.plan(environment, self.value["destroy"] == true).await;
        let plan = plan.map_err(|problems| format!("no plan: {problems:#?}"))?;
        let acting = self.acting(&world, region).await;
        let before = world.sandbox.call_count();
        let done = rehearsed(&acting, environment, &plan, &quotas).await;
        assert_only_reads(&world, before);
        self.told_by_rehearsal(&found, &done)?;
        self.compare_with_apply(&acting, environment, &done).await
    }

    /// Replaces `<address.attribute>` by what the first of the environments has that knows it, and `<default>` by the
    /// default VPC.
    async fn fill(&self, worlds: &[&World], value: &Value) -> Value {
        let mut known = Vec::new();
        for world in worlds {
            known.push(engine::known(&world.state().await));
        }
        let mut text = value.to_string();
        while let Some(start) = text.find('<') {
            let end = start + text[start..].find('>').unwrap_or_else(|| panic!("{}: `<` without `>`", self.name));
            let reference = text[start + 1..end].replace("\\\"", "\"");
            let found = match reference.as_str() {
                "default" => default_vpc(worlds[0]).await.into(),
                _ => known.iter().find_map(|known| known.lookup(&reference)).unwrap_or_else(|| {
                    panic!("{}: no {reference}", self.name);
                }),
            };
            text.replace_range(start..=end, found.as_str().expect("ids are texts"));
        }
        serde_json::from_str(&text).unwrap()
    }

    /// Makes what no kind makes.
    async fn also(&self, world: &World, one: &Value) {
        let text = |name: &str| one[name].as_str().map(str::to_owned);
        let aws = &world.aws;
        if let Some(subnet) = text("interface_in") {
            let call = aws.ec2().create_network_interface().subnet_id(subnet);
            let made = call.set_groups(text("group").map(|group| vec![group])).send().await.unwrap();
            let made = made.network_interface.unwrap().network_interface_id.unwrap();
            if let Some(allocation) = text("address") {
                let call = aws.ec2().associate_address().allocation_id(allocation).network_interface_id(made);
                call.send().await.unwrap();
            }
        } else if let Some(name) = text("foreign_bucket") {
            let stranger = connect_as(&world.sandbox, "999988887777", REGION);
            stranger.s3().create_bucket().bucket(name).send().await.unwrap();
        } else if let Some(bucket) = text("object_in") {
            let body = aws_sdk_s3::primitives::ByteStream::from_static(b"data");
            aws.s3().put_object().bucket(bucket).key("data").body(body).send().await.unwrap();
        } else if let Some(name) = text("leaving_secret") {
            aws.secretsmanager().create_secret().name(&name).send().await.unwrap();
            aws.secretsmanager().delete_secret().secret_id(name).send().await.unwrap();
        } else if let Some(alias) = text("leaving_alias") {
            let key = aws.kms().create_key().send().await.unwrap().key_metadata.unwrap().key_id;
            aws.kms().create_alias().alias_name(alias).target_key_id(&key).send().await.unwrap();
            aws.kms().schedule_key_deletion().key_id(key).send().await.unwrap();
        } else if let Some(name) = text("user") {
            aws.iam().create_user().user_name(&name).send().await.unwrap();
            aws.iam().attach_user_policy().user_name(name).policy_arn(text("policy").unwrap()).send().await.unwrap();
        } else if let Some(table) = text("associate") {
            aws.ec2()
                .associate_route_table()
                .route_table_id(table)
                .subnet_id(text("with").unwrap())
                .send()
                .await
                .unwrap();
        } else if let Some(group) = text("instance_in") {
            let images = aws.ec2().describe_images().owners("amazon").send().await.unwrap().images.unwrap();
            let placement = aws_sdk_ec2::types::Placement::builder().group_name(group).build();
            let call = aws.ec2().run_instances().image_id(images[0].image_id().unwrap()).min_count(1).max_count(1);
            let kind = aws_sdk_ec2::types::InstanceType::from(text("type").unwrap().as_str());
            call.instance_type(kind).placement(placement).send().await.unwrap();
        } else {
            panic!("{}: unknown `also` {one}", self.name);
        }
    }

    /// Returns the world as the caller of the situation meets it: the administrator, or a user with a policy.
    async fn acting(&self, world: &World, region: &str) -> World {
        let Some(policy) = self.value.get("caller") else { return with_log(world, world.aws.clone()) };
        let iam = world.aws.iam();
        iam.create_user().user_name("deployer").send().await.unwrap();
        let call = iam.put_user_policy().user_name("deployer").policy_name("deploy");
        call.policy_document(policy.to_string()).send().await.unwrap();
        let key = iam.create_access_key().user_name("deployer").send().await.unwrap().access_key.unwrap();
        with_log(world, connect_as(&world.sandbox, &key.access_key_id, region))
    }

    fn told_by_validate(&self, found: &Loaded) -> Result<(), String> {
        let at = self.value["at"].as_str().unwrap();
        let errors = found.diagnostics.iter().filter(|one| one.is_error());
        let places = errors.flat_map(|one| &one.labels).filter_map(|label| found.locator.resolve(&label.location));
        let lines: BTreeSet<usize> = places
            .filter_map(|span| found.sources.line_column(span.source, span.start).map(|(line, _)| line))
            .collect();
        let whole = found.locator.locate(&at.parse().unwrap(), "");
        if lines.is_empty() || (whole.is_none() && found.environment.is_some()) {
            return Err("validate finds nothing".to_owned());
        }
        Ok(())
    }

    fn told_by_rehearsal(&self, found: &Loaded, done: &Rehearsal) -> Result<(), String> {
        let (at, code) = (self.value["at"].as_str().unwrap(), self.value["code"].as_str().unwrap());
        let one = done.findings.iter().find(|one| one.address.to_string() == at && one.code == code);
        let Some(one) = one else {
            let found: Vec<_> =
                done.findings.iter().map(|one| (one.address.to_string(), &one.code, &one.message)).collect();
            return Err(format!("not found: {found:?}, unknown: {:?}", done.unknown));
        };
        let path = self.value["path"].as_str().unwrap_or_default();
        if one.path != path {
            return Err(format!("it points at `{}`: {}", one.path, one.message));
        }
        let diagnostic = one.diagnostic();
        let place = diagnostic.labels.first().and_then(|label| found.locator.resolve(&label.location));
        if place.is_none() && self.value["spec"].as_object().is_some_and(|spec| !spec.is_empty()) && !self.gone() {
            return Err("it has no place in the YAML".to_owned());
        }
        Ok(())
    }

    /// Tells whether the address is deleted, so that the spec has no place for it.
    fn gone(&self) -> bool {
        let at = self.value["at"].as_str().unwrap();
        let (kind, name) = at.split_once('.').unwrap();
        self.value["spec"][kind].get(name.split('[').next().unwrap()).is_none()
    }

    /// Applies, and compares what failed with what was told.
    async fn compare_with_apply(
        &self,
        acting: &World,
        environment: &Environment,
        done: &Rehearsal,
    ) -> Result<(), String> {
        if self.value.get("caller").is_some() {
            return Ok(());
        }
        let report = acting.apply(environment, self.value["destroy"] == true).await;
        let real: BTreeSet<_> =
            report.failed.iter().map(|failed| (failed.address.to_string(), failed.error.code.clone())).collect();
        let told: BTreeSet<_> =
            done.findings.iter().map(|finding| (finding.address.to_string(), finding.code.clone())).collect();
        if real == told { Ok(()) } else { Err(format!("the apply meets {real:?}, told was {told:?}")) }
    }
}

async fn default_vpc(world: &World) -> String {
    let filter = aws_sdk_ec2::types::Filter::builder().name("is-default").values("true").build();
    let found = world.aws.ec2().describe_vpcs().filters(filter).send().await.unwrap();
    found.vpcs()[0].vpc_id().unwrap().to_owned()
}

fn with_log(world: &World, aws: opora::aws::Aws) -> World {
    World { sandbox: world.sandbox.clone(), aws, log: world.log.clone(), schemas: opora::aws::kinds::schemas() }
}

async fn apply(world: &World, environment: &str, region: &str, resources: &Value) {
    if resources.is_null() {
        return;
    }
    let found = loaded(&world.schemas, &document(environment, region, resources));
    let errors: Vec<_> = found.diagnostics.iter().filter(|one| one.is_error()).collect();
    assert!(errors.is_empty(), "{environment}: {errors:#?}");
    world.apply_all(&found.environment.unwrap()).await;
}

async fn rehearsed(world: &World, environment: &Environment, plan: &Plan, quotas: &BTreeMap<String, u64>) -> Rehearsal {
    let stage = TestStage::new(&environment.scope);
    let caller = caller(&world.aws).await.unwrap();
    let state = world.state().await;
    // What the account can be asked for is not told.
    let told: BTreeMap<String, u64> = quotas
        .iter()
        .filter(|(name, _)| *name != "roles" && *name != "elastic_ips")
        .map(|(a, b)| (a.clone(), *b))
        .collect();
    let input = Input {
        account: &world.aws,
        caller: &caller,
        stage: &stage,
        scope: &environment.scope,
        state: &state,
        plan,
        quotas: &told,
        secrets: &TestSecrets,
    };
    rehearse(&input).await.expect("the rehearsal's log works")
}

//! `opora demo`: the whole journey in the simulated AWS, with no account, server or network.
//!
//! Runs the very functions of the other commands, on files that it leaves in a folder to look at and to go
//! on with. Only the tampering is its own: that is what somebody else does to an account.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use include_dir::{Dir, include_dir};

use super::context::{Context, Refused, outsider};
use super::exit::Exit;
use super::output::{Output, Style};
use super::{Global, apply, audit, destroy, drift, job, plan, validate};
use crate::aws::Aws;
use crate::diagnostic::Diagnostic;
use crate::kind::Scope;
use crate::render::counted;
use crate::state::State;

static EXAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples");

/// What the demo changes in its spec so that everything may go.
const LIFTS: [(&str, &str); 5] = [
    ("lifecycle: { prevent_destroy: true }", "lifecycle: { prevent_destroy: false, allow_data_loss: true }"),
    ("name: acme-research-datasets\n", "name: acme-research-datasets\n      lifecycle: { allow_data_loss: true }\n"),
    (
        "description: Token of the model registry\n",
        "description: Token of the model registry\n      lifecycle: { allow_data_loss: true }\n",
    ),
    (
        "config: $(sagemaker_endpoint_config.assistant.name)\n",
        "config: $(sagemaker_endpoint_config.assistant.name)\n      lifecycle: { allow_data_loss: true }\n",
    ),
    ("kms_key: $(kms_key.data.arn) }\n", "kms_key: $(kms_key.data.arn), lifecycle: { allow_data_loss: true } }\n"),
];

/// Says that a folder is an earlier demo's and may be written over.
const MARKER: &str = ".opora-demo";

/// Arguments of `opora demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder for its files; an earlier demo's is written over.
    #[arg(long, value_name = "DIR", default_value = "opora-demo")]
    pub dir: PathBuf,
}

pub(crate) async fn run(args: &Demo, context: &Context) -> Exit {
    let started = Instant::now();
    match journey(args, context).await {
        Ok(()) => {
            let out = &context.out;
            out.line("");
            out.line(format!(
                "The whole journey took {:.1} s. Its files are in {}:",
                started.elapsed().as_secs_f64(),
                args.dir.display()
            ));
            out.line("  opora.yaml            the spec, to change and to apply again");
            out.line("  audit.html            the evidence report; open it in a browser");
            out.line("  plan.opora            the first plan; `opora show` draws it");
            out.line("  .opora/state          the state: a log of every run");
            out.line("  .opora/sandbox        the simulated account");
            out.line(format!(
                "Go on with `opora plan --sandbox={0}/.opora/sandbox -f {0}/opora.yaml`.",
                args.dir.display()
            ));
            Exit::Done
        }
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

struct Journey<'a> {
    dir: &'a Path,
    global: Global,
    out: &'a Output,
    step: u32,
}

async fn journey(args: &Demo, context: &Context) -> Result<(), Refused> {
    prepare(&args.dir)?;
    let global = Global {
        spec: args.dir.join("opora.yaml"),
        inputs: Vec::new(),
        sandbox: Some(args.dir.join(".opora/sandbox")),
        profile: None,
        endpoint_url: None,
        sandbox_clock: None,
        json: false,
        brief: true,
        ..context.global.clone()
    };
    let mut journey = Journey { dir: &args.dir, global, out: &context.out, step: 0 };
    journey.all().await
}

impl Journey<'_> {
    async fn all(&mut self) -> Result<(), Refused> {
        let context = self.begin("Check the spec", "validate");
        expect(validate::run(&validate::Validate {}, &context), &[Exit::Done])?;

        let context = self.begin("Plan: what would happen, and what it does to the controls", "plan --out plan.opora");
        let plan = self.dir.join("plan.opora");
        let args = plan::PlanArgs { out: Some(plan.clone()), destroy: false, select: plan::Select::default() };
        expect(plan::run(&args, &context).await, &[Exit::Changes])?;

        let context = self.begin("Apply exactly that plan", "apply plan.opora");
        let args = apply::Apply {
            plan: Some(plan),
            yes: true,
            on_failure: Default::default(),
            select: plan::Select::default(),
        };
        expect(apply::run(&args, &context).await, &[Exit::Done])?;

        self.say("Somebody works on the account behind opora's back");
        let scope = self.tamper(&context).await?;

        let context = self.begin("Find what differs, and what nobody manages", "drift");
        expect(drift::run(&drift::DriftArgs { managed_only: false, no_who: false }, &context).await, &[Exit::Drift])?;

        let context = self.begin("Repair it", "apply --yes");
        let args =
            apply::Apply { plan: None, yes: true, on_failure: Default::default(), select: plan::Select::default() };
        expect(apply::run(&args, &context).await, &[Exit::Done])?;

        let context = self.begin("Collect evidence for the controls", "audit --live --report audit.html");
        let args = audit::AuditArgs {
            on_spec: false,
            plan: None,
            live: true,
            report: Some(self.dir.join("audit.html")),
            format: None,
            lang: audit::Language::En,
        };
        expect(audit::run(&args, &context).await, &[Exit::Done, Exit::Controls])?;

        let context = self.begin("Ask a model on Bedrock", "job run jobs/converse.yaml");
        expect(job::run(&job::JobArgs::run_file(self.dir.join("jobs/converse.yaml")), &context).await, &[Exit::Done])?;
        let context = self.begin("Train on SageMaker", "job run jobs/train.yaml");
        expect(job::run(&job::JobArgs::run_file(self.dir.join("jobs/train.yaml")), &context).await, &[Exit::Done])?;

        self.destroy(&scope).await
    }

    /// Shows that what is protected stays, lifts the protection in the spec, and destroys.
    async fn destroy(&mut self, scope: &Scope) -> Result<(), Refused> {
        let args = || destroy::Destroy { yes: true, on_failure: Default::default(), select: plan::Select::default() };
        let context =
            self.begin("Destroy: refused, as some of it is protected and more of it holds data", "destroy --yes");
        expect(destroy::run(&args(), &context).await, &[Exit::Failed])?;

        self.say("The spec lifts the protection, and says that the data may go");
        let path = self.dir.join("opora.yaml");
        let text = std::fs::read_to_string(&path).map_err(|error| unwritable(&path, &error))?;
        let mut lifted = text;
        for (protected, free) in LIFTS {
            lifted = lifted.replace(protected, free);
        }
        std::fs::write(&path, lifted).map_err(|error| unwritable(&path, &error))?;
        // A module beside the spec stands in for the one that comes with opora.
        let module = "templates/landing-zone/module.yaml";
        let text = crate::spec::embedded(module).unwrap_or_default();
        let lifted = text.replace("prevent_destroy: true", "prevent_destroy: false, allow_data_loss: true");
        write(&self.dir.join(module), lifted.as_bytes())?;
        let context = self.begin("Apply that", "apply --yes");
        let apply_args =
            apply::Apply { plan: None, yes: true, on_failure: Default::default(), select: plan::Select::default() };
        expect(apply::run(&apply_args, &context).await, &[Exit::Done])?;

        let context = self.begin("Destroy", "destroy --yes");
        expect(destroy::run(&args(), &context).await, &[Exit::Done])?;
        let spec = context.load()?;
        let state = context.load_state(&context.open_state(&spec.environment, None)?).await?;
        let left = counted(state.resources.len(), "resource");
        self.out.line(format!("Left in the state of {}: {left}.", scope.environment));
        Ok(())
    }

    fn begin(&mut self, title: &str, command: &str) -> Context {
        self.step += 1;
        self.out.line("");
        self.out.line(self.out.style(Style::Strong, &format!("{:>2}  {title}", self.step)));
        self.out.line(self.out.style(Style::Dim, &format!("    $ opora {command} --sandbox")));
        let mut context = Context::new(self.global.clone(), Output::like(self.out, &self.global));
        // The example's secret comes from the environment; the demo brings its own.
        context.variables.insert("REGISTRY_TOKEN".to_owned(), "a-token-of-the-demo".to_owned());
        context
    }

    fn say(&self, text: &str) {
        self.out.line("");
        self.out.line(self.out.style(Style::Strong, &format!("    {text}")));
    }

    /// Opens SSH to the world, stops a key's rotation and makes a bucket, as the account's administrator.
    async fn tamper(&self, context: &Context) -> Result<Scope, Refused> {
        let spec = context.load()?;
        let scope = spec.environment.scope.clone();
        let state = context.load_state(&context.open_state(&spec.environment, None)?).await?;
        let dir = self.global.sandbox.as_deref().unwrap_or(Path::new(".opora/sandbox"));
        let aws = outsider(dir, &scope)?;
        open_ssh(&aws, &id_of(&state, "security_group.efa")?).await.map_err(failed)?;
        self.out.line("    opens port 22 of security_group.efa to the world");
        let key = id_of(&state, "kms_key.data")?;
        aws.kms().disable_key_rotation().key_id(key).send().await.map_err(|error| failed(error.into()))?;
        self.out.line("    stops the rotation of kms_key.data");
        aws.s3().create_bucket().bucket("acme-scratch").send().await.map_err(|error| failed(error.into()))?;
        self.out.line("    makes the bucket acme-scratch");
        Ok(scope)
    }
}

async fn open_ssh(aws: &Aws, group: &str) -> Result<(), crate::aws::AwsError> {
    let call = aws.ec2().authorize_security_group_ingress().group_id(group);
    call.cidr_ip("0.0.0.0/0").ip_protocol("tcp").from_port(22).to_port(22).send().await?;
    Ok(())
}

fn id_of(state: &State, address: &str) -> Result<String, Refused> {
    let found =
        address.parse().ok().and_then(|address| state.resources.get(&address).map(|record| record.id.0.clone()));
    found.ok_or_else(|| {
        Diagnostic::error("CLI010", "the demo lost its way").detail(format!("{address} is not in the state")).into()
    })
}

fn failed(error: crate::aws::AwsError) -> Refused {
    error.diagnostic().into()
}

fn expect(exit: Exit, expected: &[Exit]) -> Result<(), Refused> {
    if expected.contains(&exit) {
        return Ok(());
    }
    let detail = format!("a step ended with exit code {}", exit as u8);
    Err(Diagnostic::error("CLI010", "the demo lost its way").detail(detail).into())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Refused {
    Diagnostic::error("CLI002", "a file can't be written").detail(format!("{}: {error}", path.display())).into()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    std::fs::write(path, bytes).map_err(|error| unwritable(path, &error))
}

/// Makes the folder with the example's files; never writes over what is not an earlier demo's.
fn prepare(dir: &Path) -> Result<(), Refused> {
    if dir.exists() {
        let empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if !empty && !dir.join(MARKER).exists() {
            return Err(Diagnostic::error("CLI005", "nothing is written over a file")
                .detail(format!("{} is there, and is no earlier demo's", dir.display()))
                .help("choose another folder: `opora demo --dir DIR`")
                .into());
        }
        std::fs::remove_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    }
    write(&dir.join(MARKER), b"")?;
    for (folder, into) in [("research", ""), ("jobs", "jobs")] {
        let Some(found) = EXAMPLES.get_dir(folder) else { continue };
        let mut open = vec![found];
        while let Some(next) = open.pop() {
            open.extend(next.dirs());
            for file in next.files() {
                let below = file.path().strip_prefix(folder).unwrap_or(file.path());
                write(&dir.join(into).join(below), file.contents())?;
            }
        }
    }
    Ok(())
}

//! What commands share: the loaded spec, the connection, the state, and how a refusal is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::SignedDuration;

use super::Global;
use super::output::Output;
use super::process;
use crate::apply::Stop;
use crate::aws::connect::{self, Caller};
use crate::aws::resource::SecretValues;
use crate::aws::{Aws, Pacing, Seam, kinds};
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine;
use crate::kind::{KindSchemas, Scope};
use crate::sandbox::{self, Sandbox};
use crate::spec::{self, DiskFiles, Environment, Files, Locator, NoPredict};
use crate::state::{self, Clock, Holder, RunId, S3Access, State, StateError, StateLog, Store, Writer};

/// How long a second Ctrl-C waits for the lease to be given back.
const LEAVING: Duration = Duration::from_secs(2);

/// A command's surroundings.
pub(crate) struct Context {
    pub global: Global,
    pub out: Output,
    pub schemas: KindSchemas,
    pub stop: Stop,
    /// The writer that holds the lease, which a second Ctrl-C gives back.
    leased: Arc<Mutex<Option<Writer>>>,
    /// The account and region that the spec names; a state of others is refused.
    place: Arc<Mutex<Option<Scope>>>,
    /// Variables that stand in for ones of the environment.
    pub variables: BTreeMap<String, String>,
}

/// A spec that loaded without an error.
pub(crate) struct Spec {
    pub environment: Environment,
    pub sources: SourceMap,
    pub locator: Locator,
}

/// A reason to end a command; its text is shown already, or is shown by [`Context::refuse`].
#[derive(Debug)]
pub(crate) struct Refused(pub Vec<Diagnostic>);

impl From<Diagnostic> for Refused {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl From<Vec<Diagnostic>> for Refused {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self(diagnostics)
    }
}

impl From<StateError> for Refused {
    fn from(error: StateError) -> Self {
        Self(vec![error.into_diagnostic()])
    }
}

/// A connection to the account that the spec names.
pub(crate) struct Connected {
    pub aws: Aws,
    pub caller: Caller,
}

impl Context {
    pub(crate) fn new(global: Global, out: Output) -> Self {
        let (stop, leased, place) = (Stop::default(), Arc::default(), Arc::default());
        Self { global, out, schemas: kinds::schemas(), stop, leased, place, variables: BTreeMap::new() }
    }

    /// Loads the spec; shows warnings, and refuses on errors.
    pub(crate) fn load(&self) -> Result<Spec, Refused> {
        let loaded = self.load_any()?;
        let (errors, warnings): (Vec<_>, Vec<_>) = loaded.diagnostics.into_iter().partition(Diagnostic::is_error);
        match loaded.environment {
            Some(environment) if errors.is_empty() => {
                if !self.out.json {
                    self.out.diagnostics(&warnings, &loaded.sources, &loaded.locator);
                }
                Ok(Spec { environment, sources: loaded.sources, locator: loaded.locator })
            }
            _ => {
                self.out.diagnostics(&errors, &loaded.sources, &loaded.locator);
                Err(Refused(Vec::new()))
            }
        }
    }

    /// Loads the spec with whatever is wrong with it.
    pub(crate) fn load_any(&self) -> Result<spec::Loaded, Refused> {
        self.load_from(&DiskFiles)
    }

    /// Loads the spec from given files with whatever is wrong with it.
    pub(crate) fn load_from(&self, files: &dyn Files) -> Result<spec::Loaded, Refused> {
        let mut inputs = BTreeMap::new();
        for text in &self.global.inputs {
            let Some((name, value)) = text.split_once('=') else {
                let detail = format!("`{text}` has no `=`");
                return Err(Diagnostic::error("CLI001", "an input is not NAME=VALUE")
                    .detail(detail)
                    .help("write `--input nodes=4`")
                    .into());
            };
            inputs.insert(name.to_owned(), value.to_owned());
        }
        self.out.timings.begin("spec");
        let mut loaded = spec::load(&self.global.spec, files, &self.schemas, &NoPredict, &inputs);
        if let Some(environment) = &loaded.environment {
            loaded.diagnostics.extend(check_kinds(environment));
        }
        self.out.timings.end();
        Ok(loaded)
    }

    /// Shows why a command ends.
    pub(crate) fn refuse(&self, refused: &Refused, spec: Option<&Spec>) {
        self.out.idle();
        let (sources, locator) = match spec {
            Some(spec) => (&spec.sources, &spec.locator),
            None => (&SourceMap::default(), &Locator::default()),
        };
        self.out.diagnostics(&refused.0, sources, locator);
    }

    /// Connects, and makes sure that it is the account and region of the spec before anything else is asked.
    pub(crate) async fn connect(&self, scope: &Scope) -> Result<Connected, Refused> {
        self.out.timings.begin("connect");
        let aws = match &self.global.sandbox {
            Some(dir) => sandboxed(dir, scope)?,
            None => self.connect_unchecked(&scope.region).await,
        };
        let caller = match connect::caller(&aws).await {
            Ok(caller) => caller,
            Err(error) => return Err(no_caller(&aws, &error, self.profile().as_deref()).await.into()),
        };
        if caller.account != scope.account {
            let detail = format!(
                "the spec is for account `{}`, these credentials are for `{}` ({})",
                scope.account, caller.account, caller.arn
            );
            return Err(Diagnostic::error("CONN002", "another account than the spec's")
                .detail(detail)
                .help("use the profile of that account (`--profile NAME`), or correct `account:` in the spec")
                .into());
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.clone());
        Ok(Connected { aws, caller })
    }

    /// Opens the state that the spec names, beside the spec where it is a folder.
    pub(crate) fn open_state(&self, environment: &Environment, aws: Option<&Aws>) -> Result<StateLog, Refused> {
        Ok(StateLog::open(&self.state_location(environment), aws.and_then(s3_access), clock(aws))?)
    }

    /// Opens a place for backups: a folder, or a bucket.
    pub(crate) fn open_store(&self, location: &str, aws: Option<&Aws>) -> Result<Arc<dyn Store>, Refused> {
        Ok(state::open_store(location, aws.and_then(s3_access), clock(aws))?)
    }

    /// Connects without asking who the caller is.
    pub(crate) async fn connect_unchecked(&self, region: &str) -> Aws {
        let options = connect::Options {
            region: region.to_owned(),
            profile: self.global.profile.clone(),
            endpoint: self.global.endpoint_url.clone(),
            share: None,
        };
        let seam = connect::live_seam();
        let seam = match self.global.sandbox_clock {
            Some(served) => seam_on(seam.http, served.clock()),
            None => seam,
        };
        connect::connect(&options, seam).await
    }

    /// Refuses where another run's lease is in force and its process is not known to have ended.
    pub(crate) fn refuse_leased(&self, state: &State, now: jiff::Timestamp) -> Result<(), Refused> {
        match state.lease_at(now) {
            Some(lease) if !lease.process.as_deref().is_some_and(process::has_ended) => {
                let (holder, since, until) = (lease.holder.clone(), lease.since, lease.until);
                Err(StateError::LeaseHeld { holder, since, until }.into())
            }
            _ => Ok(()),
        }
    }

    fn state_location(&self, environment: &Environment) -> String {
        let location = environment.state.as_str();
        if location.contains("://") || location == "memory:" || Path::new(location).is_absolute() {
            return location.to_owned();
        }
        self.beside_spec(location).display().to_string()
    }

    /// Returns a path that the spec names, relative to the spec's folder.
    pub(crate) fn beside_spec(&self, path: &str) -> PathBuf {
        self.global.spec.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    /// Returns the profile that credentials are looked for in, where one is named.
    fn profile(&self) -> Option<String> {
        self.global.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok())
    }

    /// Takes the lease for a run that writes.
    pub(crate) async fn acquire(&self, log: &StateLog, caller: &str) -> Result<Writer, Refused> {
        let host = host_name();
        let holder = format!("{caller}@{host} (process {})", std::process::id());
        let process = process::name();
        let holder = Holder { name: &holder, process: process.as_deref(), has_ended: &process::has_ended };
        let lease = SignedDuration::from_secs(self.global.lease.into());
        let writer = log.acquire_as(RunId(uuid::Uuid::new_v4()), holder, lease).await?;
        *self.leased.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer.clone());
        Ok(writer)
    }

    /// Loads the state; once connected, refuses one of another account or region.
    pub(crate) async fn load_state(&self, log: &StateLog) -> Result<State, Refused> {
        let state = log.load().await?;
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(scope) = place {
            engine::refuse_other_place(&state, &scope)?;
        }
        Ok(state)
    }

    /// Gives secret values from the environment and from files beside the spec.
    pub(crate) fn secrets(&self) -> ProcessSecrets {
        ProcessSecrets { folder: self.beside_spec(""), variables: self.variables.clone() }
    }

    /// Stops in order at the first Ctrl-C, and at once at the second.
    pub(crate) fn watch_interrupt(&self) {
        let (stop, leased) = (self.stop.clone(), Arc::clone(&self.leased));
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            stop.request();
            complain_to_stderr("stopping: calls in flight are finished and recorded; Ctrl-C again leaves at once");
            if tokio::signal::ctrl_c().await.is_ok() {
                let writer = leased.lock().unwrap_or_else(PoisonError::into_inner).take();
                let released = match writer {
                    Some(writer) => {
                        tokio::time::timeout(LEAVING, writer.release()).await.is_ok_and(|done| done.is_ok())
                    }
                    None => true,
                };
                let lease = if released { "" } else { "; its lease on the state ends by itself" };
                complain_to_stderr(&format!("left; the next apply takes up what was in flight{lease}"));
                std::process::exit(130);
            }
        });
    }
}

fn s3_access(aws: &Aws) -> Option<S3Access> {
    Some(S3Access {
        http: aws.seam().http.clone(),
        credentials: aws.config().credentials_provider()?,
        region: aws.region().to_owned(),
        endpoint: aws.config().endpoint_url().map(str::to_owned),
    })
}

fn clock(aws: Option<&Aws>) -> Arc<dyn Clock> {
    match aws.cloned() {
        Some(aws) => Arc::new(move || aws.now()),
        None => Arc::new(jiff::Timestamp::now),
    }
}

#[expect(clippy::print_stderr, reason = "written from a signal handler's task, past the progress bar")]
fn complain_to_stderr(text: &str) {
    eprintln!("{text}");
}

/// Returns this machine's name for the state's history.
pub(crate) fn host_name() -> String {
    let from_file = std::fs::read_to_string("/etc/hostname").ok().map(|text| text.trim().to_owned());
    from_file
        .filter(|name| !name.is_empty())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn check_kinds(environment: &Environment) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for (address, desired) in &environment.resources {
        for problem in kinds::get(&desired.kind).map(|kind| kind.check(&desired.arguments)).unwrap_or_default() {
            let diagnostic = Diagnostic::error("SPEC090", "an argument is not valid for its kind");
            let diagnostic = diagnostic.at_argument(address, problem.path, problem.message);
            out.push(match problem.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            });
        }
    }
    out
}

/// Connects to the sandbox in a folder, as the administrator of the spec's account.
pub(crate) fn sandboxed(dir: &Path, scope: &Scope) -> Result<Aws, Refused> {
    Ok(connect_sandbox(&open_sandbox(dir)?, scope))
}

fn open_sandbox(dir: &Path) -> Result<Sandbox, Refused> {
    let unusable = |error: std::io::Error| {
        Diagnostic::error("CONN004", "the sandbox folder can't be used").detail(format!("{}: {error}", dir.display()))
    };
    Sandbox::open(dir).map_err(|error| unusable(error).into())
}

/// Connects to the sandbox in a folder as somebody who works without opora.
pub(crate) fn outsider(dir: &Path, scope: &Scope) -> Result<Aws, Refused> {
    let sandbox = open_sandbox(dir)?;
    Ok(connect::connect_outsider(seam_to(&sandbox), administrator(scope), &scope.region))
}

/// Connects to a sandbox in this process.
pub(crate) fn connect_sandbox(sandbox: &Sandbox, scope: &Scope) -> Aws {
    connect::connect_with(seam_to(sandbox), administrator(scope), &scope.region, Pacing::new(1.0))
}

fn seam_to(sandbox: &Sandbox) -> Seam {
    seam_on(sandbox.http_client(), sandbox.clock())
}

/// Returns the seam to what answers on a simulated clock.
fn seam_on(http: SharedHttpClient, clock: sandbox::Clock) -> Seam {
    Seam {
        http,
        time: SharedTimeSource::new(clock.clone()),
        background: clock.background(),
        sleep: SharedAsyncSleep::new(clock),
    }
}

/// The sandbox takes a key id of twelve digits for that account's administrator.
fn administrator(scope: &Scope) -> Credentials {
    Credentials::from_keys(scope.account.clone(), "sandbox", None)
}

async fn no_caller(aws: &Aws, error: &crate::aws::AwsError, profile: Option<&str>) -> Diagnostic {
    let inner = error.diagnostic();
    if error.code == "InvalidClientTokenId" && connect::is_accepted_at_home(aws).await {
        let detail = format!("`{}` refuses credentials that are accepted elsewhere", aws.region());
        return Diagnostic::error("AWS018", "the region is not enabled for the account")
            .detail(format!("{detail}\n{}", inner.detail.unwrap_or_default()))
            .help("enable the region in the account's settings, or correct `region:` in the spec");
    }
    if error.class == crate::aws::ErrorClass::Credentials && error.code == "NoCredentials" {
        return Diagnostic::error("CONN001", "no AWS credentials were found")
            .detail(looked_in(&error.message, profile))
            .help("sign in (`aws sso login`), set `AWS_PROFILE` or pass `--profile NAME`; or try `--sandbox`, which needs no account");
    }
    inner
}

/// Says where the SDK looked for credentials, without the SDK's wrapping.
fn looked_in(message: &str, profile: Option<&str>) -> String {
    let message = message.trim_start_matches("dispatch failure: other: ");
    let Some((_, places)) = message.split_once("Attempted:") else {
        return match profile {
            Some(name) => format!("the profile `{name}` gives none: {message}"),
            None => message.to_owned(),
        };
    };
    let line = |line: &str| {
        let line = line.replace(": the credential provider was not enabled", "").trim().to_owned();
        let line = if line.contains(':') { line } else { format!("{line}: not set up") };
        match profile {
            Some(name) if line.starts_with("Profile") => format!("{line} (`{name}`)"),
            _ => line,
        }
    };
    let lines: Vec<String> = places.lines().filter(|text| !text.trim().is_empty()).map(line).collect();
    format!("looked in\n{}", lines.join("\n"))
}

/// Secret values of this process's environment and of files beside the spec.
pub(crate) struct ProcessSecrets {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
}

impl SecretValues for ProcessSecrets {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(path)).ok()
    }
}

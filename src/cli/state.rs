//! `opora state`: looks into the state, and changes what it records without touching AWS.

use clap::{Args, Subcommand};
use serde_json::json;

use super::apply::{ask_yes, run_started};
use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::rebuild;
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::state::{Entry, Outcome, Remedy, Repaired, StateLog};

/// Arguments of `opora state`.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// Lists the addresses with their ids.
    List,
    /// Shows what is recorded of one resource.
    Show { address: Address },
    /// Forgets a resource; it stays in AWS.
    Rm {
        #[arg(required = true)]
        addresses: Vec<Address>,
    },
    /// Gives a resource another address.
    Mv { from: Address, to: Address },
    /// Shows who ran what and when, the newest first.
    History {
        /// Only the newest so many.
        #[arg(short = 'n', long = "last", value_name = "N")]
        last: Option<usize>,
    },
    /// Checks every entry of the log.
    Verify,
    /// Puts back what can be proved, and takes away what is torn or derived; no other run may be writing.
    Repair {
        /// Does not ask.
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Records again what a lost state held, found in AWS by its tags.
    Rebuild(rebuild::Rebuild),
}

pub(crate) async fn run(args: &StateArgs, context: &Context) -> Exit {
    let result = match context.load() {
        Ok(spec) => run_command(&args.command, context, &spec).await,
        Err(refused) => Err(refused),
    };
    match result {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

/// Opens the state; connects only where it lies on S3.
pub(crate) async fn open(context: &Context, spec: &Spec) -> Result<StateLog, Refused> {
    if spec.environment.state.starts_with("s3://") {
        let connected = context.connect(&spec.environment.scope).await?;
        return context.open_state(&spec.environment, Some(&connected.aws));
    }
    context.open_state(&spec.environment, None)
}

pub(crate) fn unknown(address: &Address) -> Diagnostic {
    Diagnostic::error("STATE020", "the state has no such resource")
        .detail(format!("`{address}`"))
        .help("`opora state list` shows the addresses")
}

async fn run_command(command: &StateCommand, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let log = open(context, spec).await?;
    let out = &context.out;
    match command {
        StateCommand::List => {
            let state = context.load_state(&log).await?;
            if out.json {
                let rows = state.resources.iter().map(|(address, record)| {
                    json!({ "address": address, "kind": record.kind, "id": record.id, "complete": record.complete })
                });
                out.document(&rows.collect::<Vec<_>>());
            } else {
                for (address, record) in &state.resources {
                    out.line(format!("{address}  {}", out.style(Style::Dim, record.id.as_str())));
                }
            }
        }
        StateCommand::Show { address } => {
            let state = context.load_state(&log).await?;
            let record = state.resources.get(address).ok_or_else(|| unknown(address))?;
            out.document(record);
        }
        StateCommand::Rm { addresses } => {
            let state = context.load_state(&log).await?;
            for address in addresses {
                if !state.resources.contains_key(address) {
                    return Err(unknown(address).into());
                }
            }
            let forget = |address: &Address| Entry::Forgotten {
                address: address.clone(),
                reason: "`opora state rm`".to_owned(),
            };
            append(context, spec, &log, "state rm", addresses.iter().map(forget).collect()).await?;
            if out.json {
                out.document(&json!({ "forgotten": addresses }));
            } else {
                for address in addresses {
                    out.line(format!("forgot {address}; it stays in AWS"));
                }
            }
        }
        StateCommand::Mv { from, to } => {
            let state = context.load_state(&log).await?;
            let Some(record) = state.resources.get(from) else { return Err(unknown(from).into()) };
            if state.resources.contains_key(to) {
                return Err(Diagnostic::error("STATE021", "the address is taken").detail(format!("`{to}`")).into());
            }
            if record.kind != to.kind {
                let detail = format!("`{from}` is a {}, `{to}` would be a {}", record.kind, to.kind);
                return Err(Diagnostic::error("STATE022", "the addresses have different kinds").detail(detail).into());
            }
            append(context, spec, &log, "state mv", vec![Entry::Moved { from: from.clone(), to: to.clone() }]).await?;
            if out.json {
                out.document(&json!({ "from": from, "to": to }));
            } else {
                out.line(format!("{from} is {to} now; the next apply renews its tags"));
            }
        }
        StateCommand::History { last } => history(context, &log, *last).await?,
        StateCommand::Verify => return verify(context, &log).await,
        StateCommand::Repair { yes } => return repair(context, &log, *yes).await,
        StateCommand::Rebuild(args) => return rebuild::run(args, context, spec).await,
    }
    Ok(Exit::Done)
}

async fn append(
    context: &Context,
    spec: &Spec,
    log: &StateLog,
    command: &str,
    entries: Vec<Entry>,
) -> Result<(), Refused> {
    let user = std::env::var("USER").unwrap_or_else(|_| "local user".to_owned());
    let writer = context.acquire(log, &user).await?;
    let mut all = vec![run_started(command, context, spec, &user, None, &writer)];
    all.extend(entries);
    all.push(Entry::RunFinished { run: writer.run(), outcome: Outcome::Succeeded });
    let written = writer.append(all).await;
    writer.release().await?;
    Ok(written?)
}

async fn history(context: &Context, log: &StateLog, last: Option<usize>) -> Result<(), Refused> {
    let mut runs = log.history().await?;
    runs.reverse();
    runs.truncate(last.unwrap_or(usize::MAX));
    if context.out.json {
        context.out.document(&runs);
        return Ok(());
    }
    for run in runs {
        let ended = match &run.finished {
            Some((at, outcome)) => {
                let outcome = format!("{outcome:?}").to_lowercase();
                format!("{outcome} at {at:.0}")
            }
            None => "did not end in order".to_owned(),
        };
        let commit = |commit: &Option<String>| match commit.as_deref().map(|text| text.split_at(12.min(text.len()))) {
            Some((commit, rest)) => format!("{commit}{}", if rest.contains('+') { "+changes" } else { "" }),
            None => "-".to_owned(),
        };
        let digest = |digest: &Option<String>| {
            digest.as_ref().map_or_else(|| "-".to_owned(), |text| text.chars().take(12).collect())
        };
        context.out.line(format!(
            "{:.0}  {:<8} {}  spec {}  plan {}  commit {}  {ended}",
            run.started,
            run.command,
            run.who,
            digest(&run.spec_digest),
            digest(&run.plan_digest),
            commit(&run.spec_commit),
        ));
    }
    Ok(())
}

async fn verify(context: &Context, log: &StateLog) -> Result<Exit, Refused> {
    let problems = log.verify().await?;
    if context.out.json {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        context.out.document(&json!({ "problems": texts }));
    } else {
        for problem in &problems {
            context.out.line(problem.to_string());
        }
        if problems.is_empty() {
            context.out.line("every entry of the log is whole and in its place");
        }
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
}

async fn repair(context: &Context, log: &StateLog, yes: bool) -> Result<Exit, Refused> {
    let proposals = log.propose_repair().await?;
    // A log that can't be folded can't tell of a lease either.
    if let Ok(state) = log.load().await {
        context.refuse_leased(&state, log.now())?;
    }
    if proposals.iter().any(|proposal| !matches!(proposal.remedy, Remedy::Leave(_))) && !yes {
        for proposal in &proposals {
            context.out.complain(proposal.to_string());
        }
        if !ask_yes(&context.out, "repair the log like this?", "pass `--yes` to have it done")? {
            return Ok(Exit::Failed);
        }
    }
    let repairs = log.repair().await?;
    let refused = repairs.iter().filter(|repair| matches!(repair.repaired, Repaired::Refused(_))).count();
    if context.out.json {
        let texts: Vec<String> = repairs.iter().map(ToString::to_string).collect();
        context.out.document(&json!({ "repairs": texts, "refused": refused }));
    } else {
        for repair in &repairs {
            context.out.line(repair.to_string());
        }
        if repairs.is_empty() {
            context.out.line("every entry of the log is whole and in its place");
        }
    }
    Ok(if refused == 0 { Exit::Done } else { Exit::Failed })
}

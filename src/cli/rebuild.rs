//! `opora state rebuild`: records again what a lost state held, from the tags of the resources.

use std::collections::BTreeMap;

use clap::Args;

use super::apply::{ask_yes, recover, run_started};
use super::context::{Connected, Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use crate::apply::{By, Rebuilt, Search, rebuild};
use crate::aws::bulk::TagPages;
use crate::aws::kinds;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::kind::Scope;
use crate::state::{Entry, Outcome, State, StateLog};

/// Entries that become durable at once.
const ENTRIES_AT_ONCE: usize = 500;

/// Resources that a refusal names.
const FOUND_SHOWN: usize = 10;

/// Arguments of `opora state rebuild`.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// Does not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    /// Records what was found although not everything could be looked at or decided.
    #[arg(long)]
    partial: bool,
}

pub(super) async fn run(args: &Rebuild, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let out = &context.out;
    let environment = &spec.environment;
    let connected = context.connect(&environment.scope).await?;
    let log = context.open_state(environment, Some(&connected.aws))?;
    let mut state = context.load_state(&log).await?;
    if !state.intents.is_empty() {
        recover(context, spec, &connected, &log, &state).await?;
        state = context.load_state(&log).await?;
    }
    out.busy(&format!(
        "searching {} for the resources of `{}`",
        environment.scope.region, environment.scope.environment
    ));
    let search = Search {
        aws: &connected.aws,
        scope: &environment.scope,
        kinds: kinds::all().collect(),
        wanted: &engine::wanted(environment),
        state: &state,
        secrets: &context.secrets(),
    };
    let found = rebuild(&search).await;
    out.idle();
    let found = found.map_err(cycle)?;
    show(context, &found);
    if !found.problems.is_empty() && !args.partial {
        return Err(undecided(&found).into());
    }
    let entries = found.found.len() + found.leftovers.len();
    let agreed = entries == 0 || args.yes || ask_yes(out, "record these?", "pass `--yes` to have them recorded")?;
    if !agreed {
        return Ok(Exit::Failed);
    }
    if entries > 0 {
        let writer = context.acquire(&log, &connected.caller.arn).await?;
        let now = writer.state().await?;
        let unchanged = now.resources == state.resources && now.intents.is_empty();
        let written = if unchanged {
            let mut all = vec![run_started("rebuild", context, spec, &connected.caller.arn, None, &writer)];
            all.extend(found.entries(writer.run()));
            all.push(Entry::RunFinished { run: writer.run(), outcome: Outcome::Succeeded });
            append(&writer, &all).await
        } else {
            Ok(())
        };
        writer.release().await?;
        written?;
        if !unchanged {
            return Err(Diagnostic::error("STATE024", "another run has written the state meanwhile")
                .help("run the same command again")
                .into());
        }
    }
    if out.json {
        out.document(&found);
    } else {
        let (recorded, missing) = (found.found.len(), found.missing.len());
        out.line(format!("{recorded} recorded, {missing} of the spec not found; `opora plan` shows what differs"));
    }
    Ok(if found.problems.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Refuses an empty state where the account has resources of the environment: the state was lost, or is elsewhere.
///
/// To plan on would be to make all of them again. Costs calls only where nothing was ever written: one, if nothing is there.
pub(super) async fn refuse_lost(
    context: &Context,
    spec: &Spec,
    connected: &Connected,
    log: &StateLog,
    state: &State,
) -> Result<(), Refused> {
    let scope = &spec.environment.scope;
    if state.number > 0 {
        return Ok(());
    }
    let problems = match TagPages::show_any(&connected.aws, &scope.environment).await {
        Ok(false) => return Ok(()),
        Ok(true) => {
            // What is listed by its tags may be on its way out.
            let secrets = context.secrets();
            let (aws, wanted) = (&connected.aws, &BTreeMap::new());
            let search = Search { aws, scope, kinds: kinds::all().collect(), wanted, state, secrets: &secrets };
            let found = rebuild(&search).await.map_err(cycle)?;
            if !found.found.is_empty() {
                return Err(lost(&found, scope, &log.location()).into());
            }
            found.problems
        }
        Err(error) => vec![error.reason()],
    };
    for problem in problems {
        context
            .out
            .note(format!("whether the account has resources of `{}` is not known: {problem}", scope.environment));
    }
    Ok(())
}

fn lost(found: &Rebuilt, scope: &Scope, location: &str) -> Diagnostic {
    let mut lines: Vec<String> =
        found.found.iter().take(FOUND_SHOWN).map(|(address, one)| format!("{address}  {}", one.id)).collect();
    if found.found.len() > FOUND_SHOWN {
        lines.push(format!("and {} more", found.found.len() - FOUND_SHOWN));
    }
    let head = format!(
        "nothing was ever written to {location}, and account {} has, by the tags of `{}`:",
        scope.account, scope.environment
    );
    Diagnostic::error("STATE026", "the state is empty, and the account has resources of the environment")
        .detail(format!("{head}\n{}", lines.join("\n")))
        .help(
            "correct `state:` if it is elsewhere; bring it back with `opora restore` or `opora state rebuild`; \
             or give this environment another name",
        )
}

fn cycle(path: String) -> Diagnostic {
    Diagnostic::error("PLAN007", "reference cycle").detail(path)
}

async fn append(writer: &crate::state::Writer, all: &[Entry]) -> Result<(), crate::state::StateError> {
    for entries in all.chunks(ENTRIES_AT_ONCE) {
        writer.append(entries.to_vec()).await?;
    }
    Ok(())
}

fn undecided(found: &Rebuilt) -> Diagnostic {
    Diagnostic::error("STATE023", "not everything could be looked at or decided")
        .detail(found.problems.join("\n"))
        .help("nothing was recorded; correct these, or pass `--partial` to record what was found all the same")
}

fn show(context: &Context, found: &Rebuilt) {
    let out = &context.out;
    if out.json {
        return;
    }
    for (address, one) in &found.found {
        let mut remarks = String::new();
        if one.by == By::Spec {
            remarks.push_str("  (it takes no tags: it fits the spec)");
        }
        if !one.in_spec {
            remarks.push_str("  (not in the spec: the next plan deletes it)");
        }
        out.line(format!("  found      {address}{}{remarks}", out.style(Style::Dim, &format!("  {}", one.id))));
        if !one.unproven.is_empty() {
            let names: Vec<&str> = one.unproven.iter().map(String::as_str).collect();
            out.line(format!("               as the spec has it, not readable: {}", names.join(", ")));
        }
    }
    for old in &found.leftovers {
        out.line(format!("  left over  {}  {}  (of an earlier replacement)", old.address, old.id));
    }
    for address in &found.missing {
        out.line(format!("  not found  {address}"));
    }
    for problem in &found.problems {
        out.line(format!("  {}  {problem}", out.style(Style::Warn, "undecided")));
    }
}

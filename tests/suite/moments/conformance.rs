//! No kind escapes: what governs access or logging says so, is edited by the test of edits, and is sound in use.
//!
//! A kind that has a policy or a rule set governs access by its schema; other arguments are marked `x-access`. What
//! is neither is caught by what its updates do: the sandbox sees the access of some resource change.

use std::collections::BTreeSet;

use opora::aws::kinds;

use super::edits::GENERATORS;
use super::stage::Stage;
use super::{Rng, judged};
use crate::conformance::each;

/// Edits of each generator that are looked at, and not made.
const LOOKS: usize = 400;

#[test]
fn every_kind_that_governs_access_has_all_of_it_edited() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kind in kinds::all() {
        let governing = kind.schema().arguments.governing();
        let mine: Vec<_> = GENERATORS.iter().filter(|generator| generator.kind == kind.schema().name).collect();
        let name = kind.schema().name;
        assert_eq!(governing.is_empty(), mine.is_empty(), "{name} governs by {governing:?}: edits.rs has to edit that");
        let mut edited = BTreeSet::new();
        for generator in mine {
            let mut stage = runtime.block_on(Stage::new(generator, 1));
            let mut rng = Rng::new(1);
            for _ in 0..LOOKS {
                let next = (generator.edit)(&mut rng, &stage, &stage.last);
                let differs = |argument: &&&str| next.get(**argument) != stage.last.get(**argument);
                edited.extend(governing.iter().filter(differs).copied());
                stage.last = next;
            }
        }
        let missing: Vec<_> = governing.iter().filter(|argument| !edited.contains(*argument)).collect();
        assert!(missing.is_empty(), "{name}: no edit changes {missing:?}, which its schema says govern access");
    }
}

/// Every update of every sample, through plan and apply.
#[test]
fn every_update_is_sound_at_every_moment_and_marked_if_it_changes_access() {
    each(async |bench| {
        let mut arguments = bench.create().await;
        for patch in &bench.sample.updates {
            let (environment, _, fields) = bench.patch(&mut arguments, patch).await;
            bench.world.sandbox.watch_access();
            bench.assert_applied(&bench.world.apply(&environment, false).await, &format!("update {patch}"));
            let moments = bench.world.sandbox.watched();
            let name = bench.schema().name;
            judged(&moments).unwrap_or_else(|problem| panic!("{name} {patch}: {problem}"));
            let (first, last) = (moments.first().unwrap(), moments.last().unwrap());
            let changed = last.access.differing(&first.access);
            let governing = bench.schema().arguments.governing();
            let top = |path: &String| path.split(['.', '[']).next().unwrap_or_default().to_owned();
            let marked = fields.iter().map(top).any(|field| governing.contains(&field.as_str()));
            assert!(
                changed.is_empty() || marked,
                "{name} {patch} changes {changed:?}: mark one of {fields:?} `x-access`"
            );
        }
    });
}

//! Texts that tell wildcard patterns apart.

/// Returns a text that a pattern matches, and few other patterns do: its wildcards filled with unlikely letters.
pub(super) fn instance(pattern: &str) -> String {
    pattern.replace('*', "~zz").replace('?', "~")
}

/// Returns a text for every class that patterns tell apart, where their only wildcard is a `*` at the end.
pub(super) fn instances<'p>(patterns: impl IntoIterator<Item = &'p str>, other: &str) -> Vec<String> {
    let mut out: Vec<String> = patterns.into_iter().map(instance).collect();
    out.push(other.to_owned());
    out.sort();
    out.dedup();
    out
}

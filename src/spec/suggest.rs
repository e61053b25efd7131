//! "Did you mean": the nearest of the names that would have been right.

/// Returns the candidate nearest to a name, where one is near enough to be what was meant.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (name.chars().count() / 3).max(1);
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || candidate.replace('_', "") == lower.replace(['_', '-'], "")
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns the help line: the nearest name, else all names where there are few, else `otherwise`.
pub(crate) fn help<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>, otherwise: &str) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(name, candidates.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if (1..=12).contains(&candidates.len()) => {
            format!("one of {}", candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
        None => otherwise.to_owned(),
    }
}

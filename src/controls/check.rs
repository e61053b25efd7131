//! A check: one data file that says what a resource has to be, why, and for which controls that is evidence.
//!
//! Loading finds every fault of every file: unknown keys, wrong expressions, fields that no kind has, controls
//! that the catalogue does not have. A check that has a fault is not loaded, so it can't quietly pass.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalogue::Catalogue;
use super::document::Document;
use super::expression::{Expression, Roots, Type, did_you_mean, lint};
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::kind::{KindSchema, KindSchemas};

/// The kind name of a check that looks at the account as a whole.
pub const ACCOUNT: &str = "account";

/// The kind name of a check that looks at the tags of every resource that takes tags.
pub const TAGGED: &str = "tagged";

/// How much a fault weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Returns the word that files and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckFile {
    id: String,
    kind: String,
    severity: Severity,
    assert: String,
    when: Option<String>,
    #[serde(default)]
    with: BTreeMap<String, RelatedFile>,
    message: String,
    remediation: Value,
    supports: BTreeMap<String, String>,
    #[serde(default)]
    uk: Option<Texts>,
    references: Vec<String>,
}

/// A check's texts for people in another language than English.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub message: String,
    /// Why the check is evidence, by control.
    pub supports: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelatedFile {
    kind: String,
    /// The related resource's field, and the checked one's that it equals.
    #[serde(default)]
    on: BTreeMap<String, String>,
    #[serde(rename = "where")]
    filter: Option<String>,
}

/// Other resources that a check looks at together with the one it is about.
pub(super) struct Related {
    pub(super) name: String,
    pub(super) kind: String,
    /// `(their field, our field)`, which have to be equal.
    pub(super) on: Option<(Expression, Expression)>,
    pub(super) filter: Option<Expression>,
}

/// One loaded check.
pub struct Check {
    pub id: String,
    /// The kind it looks at, or [`ACCOUNT`].
    pub kind: String,
    pub severity: Severity,
    /// What is wrong where it fails.
    pub message: String,
    /// What to write in the spec.
    pub remediation: Value,
    /// Control (`iso27001-2022/A.8.24`) and why this is evidence for it.
    pub supports: BTreeMap<String, String>,
    /// Its texts in Ukrainian, where it has them.
    pub uk: Option<Texts>,
    pub references: Vec<String>,
    /// Every field it may read, as `(kind, path)`.
    pub fields: BTreeSet<(String, String)>,
    /// Kinds whose resources it looks into beside its own.
    pub kinds: BTreeSet<String>,
    pub(super) assert: Expression,
    pub(super) when: Option<Expression>,
    pub(super) with: Vec<Related>,
}

impl Check {
    /// Returns the expression that has to hold.
    pub fn assertion(&self) -> &str {
        &self.assert.source
    }

    /// Returns each English text for people with the Ukrainian one, where it has one.
    pub fn ukrainian(&self) -> BTreeMap<String, String> {
        let Some(uk) = &self.uk else { return BTreeMap::new() };
        let why = |(control, why): (&String, &String)| Some((why.clone(), uk.supports.get(control)?.clone()));
        let message = (self.message.clone(), uk.message.clone());
        self.supports.iter().filter_map(why).chain([message]).collect()
    }

    /// Returns the expression that says where the check applies.
    pub fn condition(&self) -> Option<&str> {
        self.when.as_ref().map(|when| when.source.as_str())
    }
}

/// All loaded checks, by id.
#[derive(Default)]
pub struct Checks(BTreeMap<String, Check>);

impl Checks {
    /// Loads files of `(name, text)`; the names are `<id>.yaml`.
    pub fn load<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
        kinds: &KindSchemas,
        catalogue: &Catalogue,
        sources: &mut SourceMap,
    ) -> (Self, Vec<Diagnostic>) {
        let mut checks = Self::default();
        let mut problems = Vec::new();
        for (name, text) in files {
            let source = sources.add(name, text);
            let document = match Document::parse(text, source, "CTL001") {
                Ok(document) => document,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let mut loader = Loader { document: &document, text, kinds, catalogue, problems: Vec::new() };
            match loader.check(name) {
                Some(check) if loader.problems.is_empty() => {
                    if checks.0.contains_key(&check.id) {
                        let label = format!("`{}` is the id of another check, too", check.id);
                        problems.push(Diagnostic::error("CTL006", "duplicate check").at(document.span("id"), label));
                    } else {
                        checks.0.insert(check.id.clone(), check);
                    }
                }
                _ => problems.append(&mut loader.problems),
            }
        }
        (checks, problems)
    }

    /// Loads the checks that come with the program.
    pub fn embedded(kinds: &KindSchemas, catalogue: &Catalogue) -> (Self, Vec<Diagnostic>) {
        let files = super::embedded::POLICIES.iter().copied().filter(|(name, _)| !name.ends_with(".test.yaml"));
        Self::load(files, kinds, catalogue, &mut SourceMap::default())
    }

    /// Returns the checks in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.0.values()
    }

    /// Returns the check of an id.
    pub fn get(&self, id: &str) -> Option<&Check> {
        self.0.get(id)
    }

    /// Adds the checks of another set; one that both have is taken from the other.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct Loader<'d> {
    document: &'d Document,
    text: &'d str,
    kinds: &'d KindSchemas,
    catalogue: &'d Catalogue,
    problems: Vec<Diagnostic>,
}

impl<'d> Loader<'d> {
    fn check(&mut self, name: &str) -> Option<Check> {
        let file: CheckFile = match self.document.decode("CTL001") {
            Ok(file) => file,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        self.naming(name, &file);
        let mut names: Vec<(String, Type<'d>)> = vec![("resources".to_owned(), Type::AllKinds)];
        if file.kind == TAGGED {
            names.push(("resource".to_owned(), Type::Tagged));
        } else if file.kind != ACCOUNT {
            names.push(("resource".to_owned(), Type::Kind(self.kind("kind", &file.kind)?)));
        }
        let mut fields = BTreeSet::new();
        let mut with = Vec::new();
        for (name, related) in file.with {
            let kind = self.kind(&format!("with.{name}.kind"), &related.kind)?;
            with.push(self.related(&name, related, &names, kind, &mut fields)?);
            names.push((name, Type::Kinds(kind)));
        }
        let assert = self.expression("assert", &file.assert, &names, &mut fields)?;
        let when = match &file.when {
            Some(text) => Some(self.expression("when", text, &names, &mut fields)?),
            None => None,
        };
        let kinds = fields.iter().map(|(kind, _)| kind.clone()).chain(with.iter().map(|one| one.kind.clone()));
        let kinds = kinds.chain(mentioned(&file.assert, self.kinds)).filter(|kind| *kind != file.kind).collect();
        Some(Check {
            id: file.id,
            kind: file.kind,
            severity: file.severity,
            message: file.message,
            remediation: file.remediation,
            supports: file.supports,
            uk: file.uk,
            references: file.references,
            fields,
            kinds,
            assert,
            when,
            with,
        })
    }

    /// The id is the file's name; texts are there; the controls exist.
    fn naming(&mut self, name: &str, file: &CheckFile) {
        let stem = name.rsplit('/').next().and_then(|name| name.strip_suffix(".yaml")).unwrap_or(name);
        if stem != file.id {
            let label = format!("`{}` stands in `{stem}.yaml`", file.id);
            self.report("CTL006", "a check's id is its file's name", "id", label, None);
        }
        if file.message.trim().is_empty() || file.references.is_empty() || file.supports.is_empty() {
            let text = "a message, a reference and a supported control are needed".to_owned();
            self.report("CTL001", "a field is empty", "", text, None);
        }
        for (control, reason) in &file.supports {
            let path = crate::value::join_key("supports", control);
            if self.catalogue.get(control).is_none() {
                let help = did_you_mean(control, self.catalogue.iter().map(|known| known.key.as_str()));
                self.report("CTL005", "unknown control", &path, format!("`{control}` is not in the catalogue"), help);
            }
            if reason.trim().is_empty() {
                self.report("CTL005", "a mapping without its reason", &path, "say why it is evidence".to_owned(), None);
            }
        }
        if let Some(uk) = &file.uk
            && (uk.message.trim().is_empty() || !uk.supports.keys().eq(file.supports.keys()))
        {
            let text = "it has a message and the same controls as `supports`".to_owned();
            self.report("CTL001", "a translation does not fit", "uk", text, None);
        }
    }

    fn kind(&mut self, path: &str, name: &str) -> Option<&'d KindSchema> {
        let found = self.kinds.get(name);
        if found.is_none() {
            let help = did_you_mean(name, self.kinds.iter().map(|kind| kind.name));
            self.report("CTL004", "unknown kind", path, format!("`{name}` is not a kind"), help);
        }
        found
    }

    fn related(
        &mut self,
        name: &str,
        file: RelatedFile,
        names: &[(String, Type<'d>)],
        kind: &'d KindSchema,
        fields: &mut BTreeSet<(String, String)>,
    ) -> Option<Related> {
        let mut names = names.to_vec();
        names.push(("related".to_owned(), Type::Kind(kind)));
        let at = format!("with.{name}");
        let mut on = None;
        if file.on.len() > 1 {
            self.report("CTL001", "a field does not fit", &at, "`on` takes one pair of fields".to_owned(), None);
        }
        if let Some((theirs, ours)) = file.on.iter().next() {
            let path = format!("{at}.on");
            let theirs = self.part(&path, &format!("related.{theirs}"), &names, fields, false)?;
            let ours = self.part(&path, &format!("resource.{ours}"), &names, fields, false)?;
            on = Some((theirs, ours));
        }
        let filter = match &file.filter {
            Some(text) => Some(self.part(&format!("{at}.where"), text, &names, fields, true)?),
            None => None,
        };
        Some(Related { name: name.to_owned(), kind: file.kind, on, filter })
    }

    fn expression(
        &mut self,
        path: &str,
        text: &str,
        names: &[(String, Type<'d>)],
        fields: &mut BTreeSet<(String, String)>,
    ) -> Option<Expression> {
        self.part(path, text, names, fields, true)
    }

    fn part(
        &mut self,
        path: &str,
        text: &str,
        names: &[(String, Type<'d>)],
        fields: &mut BTreeSet<(String, String)>,
        truth: bool,
    ) -> Option<Expression> {
        let expression = match Expression::parse(text) {
            Ok(expression) => expression,
            Err(errors) => {
                for error in errors {
                    let end = text[error.offset..].chars().next().map_or(error.offset, |c| error.offset + c.len_utf8());
                    let span = self.document.span_within(path, self.text, error.offset..end, text);
                    self.problems.push(Diagnostic::error("CTL002", "this is no expression").at(span, error.message));
                }
                return None;
            }
        };
        let roots = Roots { kinds: self.kinds, names: names.to_vec() };
        let (found, read) = lint(&expression, &roots, truth);
        fields.extend(read);
        let clean = found.is_empty();
        for problem in found {
            let span = self.document.span_within(path, self.text, problem.range, text);
            let mut diagnostic =
                Diagnostic::error("CTL003", "the expression asks for what is not there").at(span, problem.text);
            if let Some(help) = problem.help {
                diagnostic = diagnostic.help(help);
            }
            self.problems.push(diagnostic);
        }
        clean.then_some(expression)
    }

    fn report(&mut self, code: &'static str, summary: &str, path: &str, label: String, help: Option<String>) {
        let mut problem = Diagnostic::error(code, summary).at(self.document.span(path), label);
        if let Some(help) = help {
            problem = problem.help(help);
        }
        self.problems.push(problem);
    }
}

/// Returns the kinds that an expression names after `resources.`.
fn mentioned(text: &str, kinds: &KindSchemas) -> BTreeSet<String> {
    let named = |kind: &&KindSchema| {
        text.match_indices(&format!("resources.{}", kind.name)).any(|(at, found)| {
            !text[at + found.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
        })
    };
    kinds.iter().filter(named).map(|kind| kind.name.to_owned()).collect()
}

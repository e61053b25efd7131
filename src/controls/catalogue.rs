//! The controls of a framework: what each is for, and what evidence it waits for.
//!
//! One file per control under `controls/<framework>/`, in our own words; the standard's text is not reproduced.
//! A control says whether checks, opora's own records or a person's attestation answer it. Which checks do is
//! said by the checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::document::Document;
use crate::diagnostic::{Diagnostic, SourceMap};

/// The part of the framework a control stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    Organizational,
    People,
    Physical,
    Technological,
}

impl Theme {
    /// All themes in the order of the framework.
    pub const ALL: [Self; 4] = [Self::Organizational, Self::People, Self::Physical, Self::Technological];

    /// Returns the word that files and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organizational => "organizational",
            Self::People => "people",
            Self::Physical => "physical",
            Self::Technological => "technological",
        }
    }
}

/// What opora itself keeps, and can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// All resources found, managed or not, with owner tags.
    Inventory,
    /// Plans with what they were bound to, and what was applied of them.
    ApplyLog,
    /// The latest comparison of spec and account.
    Drift,
    /// The numbered entries of the state log.
    StateHistory,
    /// The spec's own versions.
    SpecCommits,
    /// This and earlier audits.
    Audits,
    /// Jobs with their deadlines, budgets and use of capacity.
    JobLedger,
    /// How far the recording clock was from the dates in AWS's own answers.
    ClockOffsets,
}

impl RecordKind {
    /// Returns the word that files and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::ApplyLog => "apply-log",
            Self::Drift => "drift",
            Self::StateHistory => "state-history",
            Self::SpecCommits => "spec-commits",
            Self::Audits => "audits",
            Self::JobLedger => "job-ledger",
            Self::ClockOffsets => "clock-offsets",
        }
    }
}

/// Says who or what answers for a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    Checks,
    Records,
    Attestation,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationRequest {
    pub question: String,
    pub owner_role: String,
    pub accepted_evidence: Vec<String>,
    /// Days an answer stays valid.
    pub valid_days: u32,
    /// The provider whose own attestation this rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlFile {
    id: String,
    title: String,
    theme: Theme,
    intent: String,
    evidence: Evidence,
    #[serde(default)]
    records: Vec<RecordKind>,
    #[serde(default)]
    attestation: Option<AttestationRequest>,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Control {
    /// `iso27001-2022/A.8.24`.
    pub key: String,
    /// `A.8.24`.
    pub id: String,
    pub title: String,
    pub theme: Theme,
    pub intent: String,
    pub evidence: Evidence,
    pub records: Vec<RecordKind>,
    pub attestation: Option<AttestationRequest>,
}

/// All controls of one framework, in its order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    pub framework: String,
    controls: Vec<Control>,
    by_key: BTreeMap<String, usize>,
}

impl Catalogue {
    /// The framework that comes with the program.
    pub const ISO_27001: &'static str = "iso27001-2022";

    /// Loads a framework's files of `(path, text)`, each `<framework>/<id>.yaml`.
    pub fn load<'f>(
        framework: &str,
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
        sources: &mut SourceMap,
    ) -> (Self, Vec<Diagnostic>) {
        let mut controls = Vec::new();
        let mut problems = Vec::new();
        for (name, text) in files {
            let source = sources.add(name, text);
            let decoded = Document::parse(text, source, "CTL010").and_then(|document| {
                let file: ControlFile = document.decode("CTL010")?;
                complete(&file, name).map_err(|(path, why)| {
                    Diagnostic::error("CTL010", "a control is incomplete").at(document.span(path), why)
                })?;
                Ok(file)
            });
            match decoded {
                Ok(file) => controls.push(Control {
                    key: format!("{framework}/{}", file.id),
                    id: file.id,
                    title: file.title,
                    theme: file.theme,
                    intent: file.intent,
                    evidence: file.evidence,
                    records: file.records,
                    attestation: file.attestation,
                }),
                Err(problem) => problems.push(problem),
            }
        }
        controls.sort_by_key(|control| order(&control.id));
        let by_key = controls.iter().enumerate().map(|(at, control)| (control.key.clone(), at)).collect();
        (Self { framework: framework.to_owned(), controls, by_key }, problems)
    }

    /// Loads ISO/IEC 27001:2022's Annex A, which comes with the program.
    pub fn iso27001() -> (Self, Vec<Diagnostic>) {
        let files = super::embedded::CONTROLS.iter().copied();
        let files = files.filter(|(name, _)| name.starts_with("controls/iso27001-2022/"));
        Self::load(Self::ISO_27001, files, &mut SourceMap::default())
    }

    /// Returns a control by `framework/id`.
    pub fn get(&self, key: &str) -> Option<&Control> {
        self.by_key.get(key).map(|at| &self.controls[*at])
    }

    /// Returns a control by `framework/id` or by its id alone.
    pub fn find(&self, name: &str) -> Option<&Control> {
        self.get(name).or_else(|| self.get(&format!("{}/{name}", self.framework)))
    }

    /// Returns the controls in the framework's order.
    pub fn iter(&self) -> impl Iterator<Item = &Control> {
        self.controls.iter()
    }
}

/// Makes a key that sorts `A.8.9` before `A.8.10`.
fn order(id: &str) -> (Vec<u32>, String) {
    (id.split('.').filter_map(|part| part.parse().ok()).collect(), id.to_owned())
}

fn complete(file: &ControlFile, name: &str) -> Result<(), (&'static str, String)> {
    if !name.ends_with(&format!("/{}.yaml", file.id)) {
        return Err(("id", "a control's id is its file's name".to_owned()));
    }
    for (path, text) in [("title", &file.title), ("intent", &file.intent)] {
        if text.trim().is_empty() {
            return Err((path, "it is empty".to_owned()));
        }
    }
    match (file.evidence, &file.attestation, file.records.is_empty()) {
        (Evidence::Checks, None, true) | (Evidence::Records, None, false) => Ok(()),
        (Evidence::Attestation, Some(request), true) => {
            let texts = [&request.question, &request.owner_role].into_iter().chain(&request.accepted_evidence);
            if request.accepted_evidence.is_empty() || request.valid_days == 0 {
                return Err(("attestation", "evidence and days of validity are needed".to_owned()));
            }
            match texts.into_iter().find(|text| text.trim().is_empty()) {
                Some(_) => Err(("attestation", "a text is empty".to_owned())),
                None => Ok(()),
            }
        }
        _ => Err(("evidence", "`records` needs records, `attestation` an attestation, `checks` neither".to_owned())),
    }
}

//! Controls of ISO/IEC 27001:2022, the checks that are evidence for them, and what an audit makes of both.
//!
//! Pure: values in, values out; the clock is an argument, and AWS is unknown here. Three invariants: what could not
//! be looked at is `unknown`, never `pass`; every check reports how many resources it looked at; a path that no
//! kind has is an error when the check is loaded, not an absence when it runs.
//!
//! How a command uses it:
//!
//! 1. `let (catalogue, _) = Catalogue::iso27001();` and `let (checks, problems) = Checks::embedded(&kinds, &catalogue);`
//!    (a company's own files: [`Checks::load`] and [`Checks::extend`]);
//! 2. [`Waivers::load`] and [`Attestations::load`], where the files are there;
//! 3. [`evaluate`] a [`Question`]: the resources in the normal form (desired, planned or observed), the kinds that
//!    could not be listed ([`ReadProblems`]), opora's own records ([`RecordEvidence`]), the moment and the time;
//! 4. [`compliance_diff`] of the audits before and after a plan, [`gate`] with the spec's `controls.gate`;
//! 5. `crate::report` turns the [`Audit`] into text, JSON, SARIF or HTML.

mod audit;
mod catalogue;
mod check;
mod compare;
mod document;
pub(crate) mod embedded;
mod expression;
mod governance;
mod rollup;
mod specimen;
#[cfg(test)]
mod tests;
mod world;

pub use audit::{
    Audit, FORMAT, Finding, IdleWaiver, Moment, Population, Question, ReadProblems, RecordEvidence, Verdict, evaluate,
};
pub use catalogue::{AttestationRequest, Catalogue, Control, Evidence, RecordKind, Theme};
pub use check::{ACCOUNT, Check, Checks, Severity, TAGGED, Texts};
pub use compare::{Change, ComplianceDiff, Gate, GateAction, GateOutcome, compliance_diff, gate};
pub use expression::Read;
pub use governance::{Attestation, Attestations, Exclusion, Waiver, Waivers};
pub use rollup::{ControlResult, State, Support};
pub use specimen::{Outcome, Specimen, Specimens};

//! Draws an audit: text for a terminal, JSON, SARIF and HTML.
//!
//! Pure: an [`Audit`] in, text out, the same bytes every time. Nothing is decided here, and no report says that
//! somebody is compliant; it is evidence for controls. Where a finding stands in the spec is answered by a
//! [`Locate`] callback, since only the caller has the files.

mod html;
mod json;
mod language;
mod sarif;
mod text;

pub use html::html;
pub use json::json;
pub use language::Language;
pub use sarif::sarif;
pub use text::{text, text_of_diff};

use crate::controls::Finding;

/// A place in one of the spec's files; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path as the user wrote it.
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// Finds where the resource, or the field, of a finding stands; `None` for what the spec does not have.
pub type Locate<'l> = &'l dyn Fn(&Finding) -> Option<Place>;

/// Locates nothing, for audits without a spec.
pub fn nowhere(_: &Finding) -> Option<Place> {
    None
}

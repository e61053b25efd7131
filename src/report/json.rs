//! The audit as JSON; its schema is `reports/audit.schema.json`, its version the field `format`.

use crate::controls::Audit;

/// Writes an audit as indented JSON with a line end.
pub fn json(audit: &Audit) -> String {
    let mut out = serde_json::to_string_pretty(audit).expect("internal error: an audit has text keys only");
    out.push('\n');
    out
}

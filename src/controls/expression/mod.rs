//! The language of checks: CEL's grammar, evaluated in three values over borrowed resources.
//!
//! The `cel` crate parses; the evaluation is ours, because CEL's own runtime copies every resource into its value
//! type and knows only "error" where an audit has to tell "known after apply" from "could not be read". Invariants:
//! what could not be looked at is [`Val::Unknown`] and never true or false; `false && unknown` is false and
//! `true || unknown` is true, in either order; an optional field that is not set reads `null`, and so does every
//! field below it; `null` is an empty list where a list is asked for. Nothing here knows of checks or verdicts.

mod eval;
mod functions;
mod lint;
mod network;
mod policy;
mod value;

use cel::IdedExpr;
use cel::common::ast::SourceInfo;
use cel::parser::Parser;

use super::check::TAGGED;

pub(super) use eval::{Evaluator, Lists};
pub(super) use functions::equals;
pub(super) use lint::{Roots, Type, did_you_mean, lint};
pub use value::Read;
pub(super) use value::{List, Subject, Unknown, Val};

/// Nesting an expression may have; a check has no use for more.
const DEPTH_MAX: u16 = 64;

/// One parsed expression with the places of its parts.
pub(super) struct Expression {
    pub(super) source: String,
    root: IdedExpr,
    places: SourceInfo,
}

/// A text that is no expression, with the character offset at which that shows.
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) offset: usize,
}

impl Expression {
    /// Parses a text; all syntax errors are returned, in the order of their places.
    pub(super) fn parse(source: &str) -> Result<Self, Vec<SyntaxError>> {
        match Parser::new().max_recursion_depth(DEPTH_MAX).parse_with_source_info(source) {
            Ok((root, places)) => Ok(Self { source: source.to_owned(), root, places }),
            Err(errors) => Err(errors
                .errors
                .into_iter()
                .map(|error| SyntaxError { offset: offset(source, error.pos), message: error.msg })
                .collect()),
        }
    }

    /// Returns the byte range of a part of the expression.
    fn range(&self, id: u64) -> std::ops::Range<usize> {
        let (start, end) = self.places.offset_for(id).unwrap_or((0, 0));
        let byte = |at: usize| self.source.char_indices().nth(at).map_or(self.source.len(), |(byte, _)| byte);
        let (start, end) = (byte(start as usize), byte(end as usize + 1));
        start..end.max(start)
    }
}

/// Makes a byte offset of a 1-based line and 0-based column in characters.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line.max(1)).unwrap_or(1) - 1;
    let column = usize::try_from(column.max(0)).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &source[start.min(source.len())..];
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

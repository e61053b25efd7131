//! Budgets: cost and usage budgets with notifications, subscribers and tags.
//!
//! Nothing is spent in the sandbox, so no notification ever fires, and amounts that AWS adjusts stay at the least one;
//! planned limits and budget actions are deliberately absent.

mod budget;
mod notification;
mod tagging;

use serde_json::Value;

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;

pub(super) const OPERATIONS: &[Operations] = &[budget::OPERATIONS, notification::OPERATIONS, tagging::OPERATIONS];

/// The collection of budgets, by name; each holds its notifications under `_notifications`.
const BUDGETS: &str = "budgets";
const PAGE: usize = 100;

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new("NotFoundException", message)
}

fn duplicate(message: impl Into<String>) -> AwsError {
    AwsError::new("DuplicateRecordException", message)
}

/// Refuses an account that is not the caller's.
fn own_account(call: &Call<'_>, input: &Value) -> Result<(), AwsError> {
    let account = text(input, "AccountId");
    if account == call.account {
        return Ok(());
    }
    let message = format!("Account {} is not authorized to access the budgets of {account}", call.account);
    Err(AwsError::new("AccessDeniedException", message))
}

/// Returns the budget that a request names.
fn budget_of(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    own_account(call, input)?;
    let name = text(input, "BudgetName");
    let found = call.get(BUDGETS, name);
    let missing = || not_found(format!("Unable to get budget: {name} - the budget doesn't exist."));
    found.map(|budget| (name.to_owned(), budget)).ok_or_else(missing)
}

//! The errors that simulated services answer with.
//!
//! An error is a code as it appears on the wire plus a message; status and shape come from the API model
//! when the codec writes it, unless the handler sets them. Never used for failures of the sandbox itself.

use serde_json::{Map, Value};

/// One error answer of a simulated service.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsError {
    pub(crate) code: String,
    pub(crate) message: String,
    /// Overrides the model's status.
    pub(crate) status: Option<u16>,
    /// Further members of the error's shape, for example `BucketName`.
    pub(crate) fields: Map<String, Value>,
}

/// What a handler answers.
pub(crate) type Answer = Result<Value, AwsError>;

impl AwsError {
    /// Makes an error from its wire code and message.
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        AwsError { code: code.into(), message: message.into(), status: None, fields: Map::new() }
    }

    /// Sets the HTTP status where the model has none.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a further member of the error's shape.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

/// Answers that the sandbox has no such operation; 400 so that no SDK retries it.
pub(crate) fn not_implemented(service: &str, operation: &str) -> AwsError {
    AwsError::new("NotImplementedBySandbox", format!("the sandbox does not implement {service}:{operation}"))
        .status(400)
}

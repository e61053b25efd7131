//! The log of handled calls: what tests count, and what CloudTrail's LookupEvents reads.
//!
//! Holds no request or answer bodies, so no secret. Bounded; the counter goes on when old records fall out.

use serde::{Deserialize, Serialize};

/// The most records kept.
const RECORDS_MAX: usize = 100_000;

/// One handled call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The call's number, from 1, in the order of handling.
    pub n: u64,
    /// Seconds since the epoch.
    pub time: f64,
    /// The service's name.
    pub service: String,
    /// The operation's name, or what was asked for instead.
    pub operation: String,
    /// The caller's account.
    pub account: String,
    /// The region of the credential scope.
    pub region: String,
    /// The caller's ARN.
    pub principal: String,
    /// The caller's access key id.
    pub access_key: String,
    /// The error's code if the call failed.
    pub error: Option<String>,
    /// The request id of the answer.
    pub request_id: String,
    /// The resources that the call changed, as collection and id.
    pub touched: Vec<(String, String)>,
}

/// The records in order.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    records: Vec<Record>,
}

impl CallLog {
    /// Adds a record, dropping the older half at the bound.
    pub(crate) fn push(&mut self, record: Record) {
        if self.records.len() >= RECORDS_MAX {
            self.records.drain(..RECORDS_MAX / 2);
        }
        self.records.push(record);
    }

    /// Returns the kept records, oldest first.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}

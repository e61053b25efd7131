//! Jobs: a job file, a durable ledger, and engines that hand the work to AWS.
//!
//! A job is what it asks for: the digest of environment, name, resolved spec and data is its identity. The
//! ledger has a record before and after every call that costs or creates, so a client that is killed anywhere
//! finds its job again and starts no second one. No scheduling happens here, nothing is printed, and no
//! content of a prompt, an answer or a data file enters the ledger. See docs/jobs.md.

mod data;
mod decide;
mod engine;
mod engines;
mod error;
mod expressions;
mod fields;
mod file;
mod folder;
mod ledger;
mod price;
mod record;
mod run;
mod units;

pub use engine::{LogCursor, LogLine, LogPage};
pub use error::JobError;
pub use file::{Job, LoadedJob, Surroundings, load};
pub use ledger::{find, list};
pub use price::{Stated, WorstCase};
pub use record::{DataFile, RECORD_VERSION, Record, Refusal, Remote, STREAM, Stage, Uploaded, Usage};
pub use run::{Event, Jobs, Listener, PART_BYTES, Run};
pub use units::{Usd, duration_text};

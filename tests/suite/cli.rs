//! The real binary as a process: every subcommand, the exit codes, and the errors a user meets first.
//!
//! One terminal for all: an empty environment but for what a test sets, a folder of its own as home and working
//! directory, and output whose ids, digests, times and paths are replaced by their names. Nothing here reaches
//! further than loopback.

mod account;
mod backups;
mod canary;
mod demos;
mod drifts;
mod errors;
mod failures;
mod forms;
mod gate;
mod guards;
mod interrupt;
mod jobs;
mod lifecycle;
mod once;
mod places;
mod records;
mod rehearse;
pub(crate) mod terminal;
mod two;

//! The integration test suite, one binary so that the SDK crates are linked once.
#![expect(clippy::unwrap_used, reason = "all of this crate is tests, its fixtures included")]

mod bucket_settings;
mod bulk;
mod cli;
mod conformance;
mod controls;
mod engine;
mod facts;
mod failures;
mod further_arguments;
mod guardrail_versions;
mod guards;
mod iam_kinds;
mod jobs;
mod moments;
mod rehearsal;
mod reports;
mod sample;
mod sandbox_sdk;
mod simulation;
mod spec;
mod state;
mod state_on_s3;
mod support;
mod tidy;
mod unique;
mod weather;
mod who;

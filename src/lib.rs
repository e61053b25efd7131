//! opora: plans, applies, audits and runs an AWS environment for AI work from one declarative spec.
//!
//! The library never touches the terminal, the environment or the home folder; only [`cli`] prints.
//! Modules depend in one direction only; see ARCHITECTURE.md and the `tidy` test.

pub mod apply;
pub mod aws;
pub mod cli;
pub mod controls;
pub mod diagnostic;
pub mod docs;
pub mod drift;
pub mod engine;
pub mod graph;
pub mod jobs;
pub mod kind;
pub mod plan;
pub mod rehearse;
pub mod render;
pub mod report;
pub mod sandbox;
pub mod spec;
pub mod state;
pub mod value;
pub mod yaml;

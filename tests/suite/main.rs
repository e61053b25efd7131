//! The integration test suite, one binary so that the SDK crates are linked once.
mod sandbox_sdk;

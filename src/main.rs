//! The `opora` binary: calls the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    opora::cli::main()
}

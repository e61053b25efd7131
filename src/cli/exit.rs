//! The exit codes: documented in docs/cli.md, and stable.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or nothing to change.
    Done = 0,
    /// It failed, or was refused.
    Failed = 1,
    /// A plan has changes.
    Changes = 2,
    /// Managed resources differ from what was applied.
    Drift = 3,
    /// There are resources that nothing manages.
    Unmanaged = 4,
    /// Controls fail, or could not be looked at.
    Controls = 5,
    /// Left by Ctrl-C while the work goes on elsewhere.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

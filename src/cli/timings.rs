//! `--timings`: how long each phase of a command took, and the peak of its memory, on standard error.
//!
//! It measures this process alone; how many calls there were stands in the command's own output.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The phases of a command, in their order; does nothing unless asked for.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    phases: Option<Mutex<Vec<Phase>>>,
}

#[derive(Debug)]
struct Phase {
    name: &'static str,
    started: Instant,
    took: Option<Duration>,
    memory_kib: Option<u64>,
}

impl Timings {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { phases: wanted.then(Mutex::default) }
    }

    /// Ends the phase before, and begins one.
    pub(crate) fn begin(&self, name: &'static str) {
        self.end();
        self.with(|phases| phases.push(Phase { name, started: Instant::now(), took: None, memory_kib: None }));
    }

    /// Ends the phase that runs.
    pub(crate) fn end(&self) {
        self.with(|phases| {
            if let Some(phase) = phases.last_mut().filter(|phase| phase.took.is_none()) {
                phase.took = Some(phase.started.elapsed());
                phase.memory_kib = peak_memory_kib();
            }
        });
    }

    /// Returns a line for each phase.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.with(|phases| {
            out = phases.iter().map(Phase::line).collect();
        });
        out
    }

    fn with(&self, act: impl FnOnce(&mut Vec<Phase>)) {
        if let Some(Ok(mut phases)) = self.phases.as_ref().map(Mutex::lock) {
            act(&mut phases);
        }
    }
}

impl Phase {
    fn line(&self) -> String {
        let took = self.took.unwrap_or_default().as_secs_f64();
        let memory = self.memory_kib.map(|kib| format!("  {:>6.1} MB at most so far", kib as f64 / 1024.0));
        format!("{:<10} {took:>8.3} s{}", self.name, memory.unwrap_or_default())
    }
}

/// Returns the largest resident size of this process so far, where the system tells it (Linux).
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

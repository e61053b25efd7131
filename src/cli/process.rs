//! This process's name for other runs on the same machine, so that a dead run's lease need not be waited for.
//!
//! A name holds all that makes a process id mean one process: the machine's boot, the namespace of process ids, the
//! user and the time of its start. Where any of it can't be read, which is everywhere but on Linux, there is no name,
//! and nobody is ever taken for dead.

use std::path::Path;

/// Names this process.
pub(crate) fn name() -> Option<String> {
    let id = std::process::id();
    // `/proc` has to be that of this process's own namespace.
    let own = std::fs::read_link("/proc/self").ok()?;
    if own != Path::new(&id.to_string()) {
        return None;
    }
    Some(format!("{} {id} {}", place()?, started(id)?))
}

/// Tells whether a named process is known to have ended; false where that can't be told.
pub(crate) fn has_ended(name: &str) -> bool {
    let Some((there, started_then)) = name.rsplit_once(' ') else { return false };
    let Some((there, id)) = there.rsplit_once(' ') else { return false };
    let (Some(here), Ok(id)) = (place(), id.parse::<u32>()) else { return false };
    if there != here {
        return false;
    }
    match started(id) {
        Some(started_now) => started_now != started_then,
        None => !Path::new("/proc").join(id.to_string()).exists(),
    }
}

/// Returns the boot, the namespace and the user, within which process ids are those of one list.
#[cfg(target_os = "linux")]
fn place() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    // Processes of others may be hidden, and would look as if they had ended.
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    Some(format!("linux {} {} {user}", boot.trim(), namespace.display()))
}

#[cfg(not(target_os = "linux"))]
fn place() -> Option<String> {
    None
}

/// Returns when a process started, in the kernel's own count; one that only waits to be reaped has ended.
fn started(id: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return Some("ended".to_owned());
    }
    fields.get(19).map(|started| (*started).to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_have_ended_has() {
        let own = name().unwrap();
        assert!(!has_ended(&own));
        let (place, _) = own.rsplit_once(' ').unwrap();
        assert!(has_ended(&format!("{place} 1")), "another process had this id");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = child.id();
        child.wait().unwrap();
        let (place, _) = place.rsplit_once(' ').unwrap();
        assert!(has_ended(&format!("{place} {id} 7")));
        assert!(!has_ended(&format!("linux another-boot pid:[1] 0 {id} 7")));
        assert!(!has_ended("nonsense"));
    }
}

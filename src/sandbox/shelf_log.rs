//! What changed on a shelf since its file was written: one line for each call, behind the file.
//!
//! A call then costs what it changed, however much the shelf holds. The last line that a kill cut short is left out;
//! a line that is in the shelf's file already changes nothing when it is read again.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::store::{Entry, Shelf, make_private};

/// How long a log grows at least before its shelf is written anew, in bytes.
const LENGTH_MIN: u64 = 64 * 1024;

/// What one call changed: the shelf's count of ids, and entries by collection and id, none where one was removed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    pub serial: u64,
    pub entries: Vec<(String, String, Option<Entry>)>,
}

/// The lengths of a shelf's two files, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths {
    pub shelf: u64,
    pub log: u64,
}

impl Lengths {
    /// Tells whether the log has grown so long that writing the shelf anew costs no more than its lines did.
    pub(super) fn is_due(self) -> bool {
        self.log > LENGTH_MIN.max(self.shelf)
    }
}

/// Appends a line, and returns how long it is.
pub(super) fn append(path: &Path, line: &Line) -> io::Result<u64> {
    let mut bytes = serde_json::to_vec(line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_private(path.parent().unwrap_or(Path::new(".")))?;
            options.open(path)?
        }
        opened => opened?,
    };
    file.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

/// Brings a shelf to what its log says; returns the log's length, or none where its end is cut short.
pub(super) fn replay(path: &Path, shelf: &mut Shelf) -> io::Result<Option<u64>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
        Err(error) => return Err(error),
    };
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(text) = lines.next() {
        match serde_json::from_slice::<Line>(text) {
            Ok(line) => shelf.apply(line),
            Err(_) if lines.peek().is_none() => return Ok(None),
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(bytes.last().is_none_or(|last| *last == b'\n').then_some(bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_that_was_cut_short_is_left_out_and_one_amid_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/ec2.log");
        let entry = |id: &str| ("vpcs".to_owned(), id.to_owned(), Some(Entry { at: 1.0, value: json!({"id": id}) }));
        append(&path, &Line { serial: 1, entries: vec![entry("a"), entry("b")] }).unwrap();
        append(&path, &Line { serial: 2, entries: vec![("vpcs".to_owned(), "a".to_owned(), None)] }).unwrap();
        let whole = fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let mut shelf = Shelf::default();
            let length = replay(&path, &mut shelf);
            (length, shelf.serial, shelf.collections.get("vpcs").map(|vpcs| vpcs.keys().cloned().collect::<Vec<_>>()))
        };
        let (length, serial, ids) = read(&whole);
        assert_eq!((length.unwrap(), serial, ids), (Some(whole.len() as u64), 2, Some(vec!["b".to_owned()])));
        let (length, serial, ids) = read(&whole[..whole.len() - 3]);
        assert_eq!((length.unwrap(), serial, ids), (None, 1, Some(vec!["a".to_owned(), "b".to_owned()])));
        let mut damaged = whole;
        damaged[3] = b'#';
        assert_eq!(read(&damaged).0.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

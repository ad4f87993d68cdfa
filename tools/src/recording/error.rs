//! What can be wrong with a recording.

use std::io;
use std::path::{Path, PathBuf};

/// A recording can't be read, or not beyond a point.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {kind}", path.display(), place(*line, *offset, kind))]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The line at fault, from 1; 1 also where the file can't be opened.
    pub line: u64,
    /// Where that line begins, in bytes of the unpacked text.
    pub offset: u64,
    /// What is wrong.
    pub kind: ReadErrorKind,
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum ReadErrorKind {
    /// The file can't be opened.
    #[error("can't open the file: {0}; check the path and its permissions")]
    Open(#[source] io::Error),
    /// The compressed data end before their own end mark.
    #[error(
        "the compressed file is cut short; all lines before this one were read: copy the file again, or go on with what there is"
    )]
    Truncated,
    /// The file can't be read, or its compressed data are damaged.
    #[error("can't read on: {0}; the file may be damaged, copy it again")]
    Io(#[source] io::Error),
    /// A line is longer than the reader allows.
    #[error(
        "the line is longer than {max_bytes} bytes; a recording has one message a line: check that this is one"
    )]
    LineTooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// A line is none of the known forms.
    #[error("{0}; fix or remove this line, or keep only the lines before it")]
    Corrupt(&'static str),
}

/// A file that can't be opened has no line at fault.
fn place(line: u64, offset: u64, kind: &ReadErrorKind) -> String {
    match kind {
        ReadErrorKind::Open(_) => String::new(),
        _ => format!(", line {line} (byte {offset} of the text)"),
    }
}

impl ReadError {
    pub(super) fn open(path: &Path, error: io::Error) -> ReadError {
        ReadError {
            path: path.to_owned(),
            line: 1,
            offset: 0,
            kind: ReadErrorKind::Open(error),
        }
    }
}

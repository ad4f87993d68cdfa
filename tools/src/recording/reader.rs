//! A recording, read line by line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::envelope::{self, Layout, Payload};
use super::error::{ReadError, ReadErrorKind};
use super::source::{self, Progress};
use super::{Record, RecordKind};

/// The longest line by default. The largest real ones are a venue's whole instrument data, of some
/// 20 MB at the time of writing; beyond this a file is not a recording.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Reads one file, line by line.
pub struct Reader {
    path: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    progress: Progress,
    line_bytes_max: usize,
    line: Vec<u8>,
    /// A payload that had to be decoded: a frame that is not JSON.
    decoded: Vec<u8>,
    number: u64,
    offset: u64,
    next_offset: u64,
    failed: bool,
}

impl Reader {
    /// Opens a file: plain text, gzip or zstd.
    pub fn open(path: &Path) -> Result<Reader, ReadError> {
        let (text, progress) = source::open(path).map_err(|error| ReadError::open(path, error))?;
        Ok(Reader {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 16, text),
            progress,
            line_bytes_max: LINE_BYTES_MAX,
            line: Vec::with_capacity(1 << 16),
            decoded: Vec::new(),
            number: 0,
            offset: 0,
            next_offset: 0,
            failed: false,
        })
    }

    /// Sets the longest line that is read.
    #[must_use]
    pub fn with_line_bytes_max(mut self, line_bytes_max: usize) -> Reader {
        self.line_bytes_max = line_bytes_max;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it has been read.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The next line that is not blank; `None` at the end of the file, and after an error.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        if self.failed {
            return Ok(None);
        }
        let layout = match self.next_layout() {
            Ok(Some(layout)) => layout,
            Ok(None) => return Ok(None),
            Err(kind) => {
                self.failed = true;
                return Err(ReadError {
                    path: self.path.clone(),
                    line: self.number,
                    offset: self.offset,
                    kind,
                });
            }
        };
        Ok(Some(self.record(layout)))
    }

    fn next_layout(&mut self) -> Result<Option<Layout>, ReadErrorKind> {
        while self.read_line()? {
            if !self.line.is_empty() {
                return envelope::read(&self.line, &mut self.decoded)
                    .map(Some)
                    .map_err(ReadErrorKind::Corrupt);
            }
        }
        Ok(None)
    }

    /// Reads a line without the white space at its ends; false at the end of the file.
    fn read_line(&mut self) -> Result<bool, ReadErrorKind> {
        self.number += 1;
        self.offset = self.next_offset;
        self.line.clear();
        let limit = self.line_bytes_max as u64 + 1;
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.line);
        let count = match read {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadErrorKind::Truncated);
            }
            Err(error) => return Err(ReadErrorKind::Io(error)),
        };
        self.next_offset += count as u64;
        if self.line.len() > self.line_bytes_max && self.line.last() != Some(&b'\n') {
            return Err(ReadErrorKind::LineTooLong {
                max_bytes: self.line_bytes_max,
            });
        }
        while self.line.last().is_some_and(u8::is_ascii_whitespace) {
            self.line.pop();
        }
        Ok(count > 0)
    }

    fn record(&mut self, layout: Layout) -> Record<'_> {
        let head_end = match &layout.payload {
            Payload::InLine(range) => range.start,
            Payload::Decoded => self.line.len(),
        };
        let (head, tail) = self.line.split_at_mut(head_end);
        let payload = match &layout.payload {
            Payload::InLine(range) => tail.get_mut(..range.len()).unwrap_or_default(),
            Payload::Decoded => &mut self.decoded,
        };
        let text = |range: std::ops::Range<usize>| {
            head.get(range)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
        };
        Record {
            kind: layout.kind.unwrap_or(RecordKind::Recv),
            recv_ns: layout.recv_ns,
            conn: layout.conn.and_then(text).unwrap_or_default(),
            url: layout.url.and_then(text),
            payload,
            line: self.number,
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("line", &self.number)
            .finish_non_exhaustive()
    }
}

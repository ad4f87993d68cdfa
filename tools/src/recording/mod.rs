//! Recordings: what a venue sent, one message a line.
//!
//! Three forms of line are read, and a file may mix them:
//!
//! - the envelope, one JSON object: `{"kind":"recv","recv_ns":1,"conn":"a","url":"..","msg":{..}}`.
//!   `kind` is `recv` (a frame from the venue), `send` (ours), `connect` (a link came up) or `http`
//!   (the answer to a request for `url`). `msg` is the last key, so that the venue's frame stands in
//!   the line byte for byte; a frame that is not JSON stands there as a JSON string;
//! - a receive time in nanoseconds, a space, and the message;
//! - the message alone.
//!
//! Files are plain text, gzip or zstd: their first bytes tell. A file is never held in memory as a
//! whole.

mod envelope;
mod error;
mod reader;
mod source;

pub use error::{ReadError, ReadErrorKind};
pub use reader::{LINE_BYTES_MAX, Reader};
pub use source::Progress;

use tickwire_connectors::Nanos;

/// What a line of a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A frame from the venue. Bare messages are taken for this.
    Recv,
    /// A frame that the recorder sent.
    Send,
    /// A link came up.
    Connect,
    /// The answer to an HTTP request.
    Http,
    /// A kind that this version does not know; to be passed over.
    Other,
}

/// A line of a recording.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// The recorder's time of receipt, where the line has one.
    pub recv_ns: Option<Nanos>,
    /// The recorder's name for the connection; empty where the line has none.
    pub conn: &'a str,
    /// Address of the connection or of the HTTP request, where the line has one.
    pub url: Option<&'a str>,
    /// The message, byte for byte as the venue sent it. Mutable, because connectors parse in place.
    pub payload: &'a mut [u8],
    /// Number of the line in its file, from 1.
    pub line: u64,
}

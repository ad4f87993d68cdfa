//! What can go wrong when a simulator is built or started. A peer's bytes never end up here: they
//! are answered on the wire, as the venue would.

use std::path::PathBuf;

/// Why a simulator could not be built or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// No venue was given to the builder.
    #[error("no venue was given: call SimBuilder::venue at least once")]
    NoVenue,
    /// The same venue-market was given twice; an address names one.
    #[error("{0} was given twice")]
    DuplicateVenue(crate::SimVenue),
    /// A symbol that cannot exist at this venue.
    #[error("{venue}: {symbol:?} is not a symbol this venue could list")]
    BadSymbol {
        /// The venue that was asked to list it.
        venue: crate::SimVenue,
        /// The symbol as given.
        symbol: String,
    },
    /// A setting that no market can be made from.
    #[error("{venue}: {what}")]
    BadSpec {
        /// The venue of the bad setting.
        venue: crate::SimVenue,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A recording could not be read.
    #[error("recording {path}: {source}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// The error of the file system or of the decompressor.
        source: std::io::Error,
    },
    /// A recording holds a line that is not the envelope.
    #[error("recording {path}, line {line}: {what}")]
    RecordingLine {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// An entry of a fault script that cannot be understood.
    #[error("fault script, {entry:?}: {what}")]
    Script {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        what: String,
    },
    /// A socket could not be opened.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
    /// The certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS configuration was refused.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
}

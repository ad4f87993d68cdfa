//! Errors say what kind they are, what became of the request, and what to do next.

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key, the signature or the session is not accepted.
    Authentication,
    /// The key may not do this.
    Permission,
    /// The request is wrong: a parameter is missing, unknown or out of range.
    BadRequest,
    /// The venue does not know the symbol or channel.
    BadSymbol,
    /// The venue or this connector does not offer it.
    NotSupported,
    /// Too many requests; the venue may ban who goes on.
    RateLimited,
    /// Our clock and the venue's differ too much.
    ClockSkew,
    /// The venue is down, restarting or overloaded.
    VenueUnavailable,
    /// No answer in time.
    Timeout,
    /// The link is down.
    Disconnected,
    /// The venue sent what can't be read.
    BadResponse,
    /// Not enough funds or margin.
    InsufficientFunds,
    /// The venue rejected the order.
    OrderRejected,
    /// The venue does not know the order.
    OrderNotFound,
    /// The client order id is taken.
    DuplicateOrderId,
    /// A number does not fit its scale.
    Precision,
    /// Anything else; the venue's code and text say more.
    Other,
}

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It never left.
    NotSent,
    /// The venue said no.
    Rejected,
    /// It may or may not have taken effect: look before acting again.
    Unknown,
    /// It took effect all the same.
    Accepted,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// The same request will fail again.
    Never,
    /// Try again after this many milliseconds.
    AfterMs(u32),
    /// Try again after the clock, the book or the session is synchronised.
    AfterResync,
    /// Try again at once.
    Now,
}

/// An error of a venue or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", .code.map(|code| format!(" (venue code {code})")).unwrap_or_default())]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What became of the request.
    pub outcome: Outcome,
    /// What to do next.
    pub next: Next,
    /// The venue's code, where it gave one.
    pub code: Option<i64>,
    /// The venue's words, or ours where it gave none.
    pub text: String,
}

impl Error {
    /// An error of ours: nothing was sent, and the same request would fail again.
    pub fn ours(kind: ErrorKind, text: impl Into<String>) -> Error {
        let text = text.into();
        Error {
            kind,
            outcome: Outcome::NotSent,
            next: Next::Never,
            code: None,
            text,
        }
    }

    /// The venue said no.
    pub fn venue(kind: ErrorKind, next: Next, code: Option<i64>, text: impl Into<String>) -> Error {
        Error {
            kind,
            outcome: Outcome::Rejected,
            next,
            code,
            text: text.into(),
        }
    }
}

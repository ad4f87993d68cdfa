//! Why a response cannot be read on.

/// Why a response cannot be read on. Each is final for the link: its framing is lost, drop it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The bytes do not start with `HTTP/1.`: another protocol, or a framing that slipped.
    #[error("not an HTTP/1 response")]
    NotHttp,
    /// The status line or a header cannot be parsed (RFC 9112 §4, §5).
    #[error("malformed response head: {0}")]
    Malformed(httparse::Error),
    /// The head is longer than its limit or than the receive buffer.
    #[error("response head is longer than {max} bytes")]
    HeadTooLarge {
        /// The limit.
        max: usize,
    },
    /// More headers than the limit.
    #[error("more than {max} response headers")]
    TooManyHeaders {
        /// The limit.
        max: usize,
    },
    /// More than a handful of interim (1xx) responses before the final one.
    #[error("more than {max} interim responses")]
    TooManyInterim {
        /// The limit.
        max: u8,
    },
    /// 101 although no upgrade was asked for.
    #[error("unexpected 101 Switching Protocols")]
    UnexpectedUpgrade,
    /// Bytes of a response that nobody asked for.
    #[error("response bytes without a request")]
    Unsolicited,
    /// A `Content-Length` that is not one plain number, or more than one of them, also if they
    /// agree (RFC 9112 §6.3: an unrecoverable error).
    #[error("invalid or repeated Content-Length")]
    BadContentLength,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 §6.1: may be smuggling).
    #[error("both Content-Length and Transfer-Encoding")]
    ConflictingLength,
    /// A transfer coding other than a single `chunked`, or one in an HTTP/1.0 response
    /// (RFC 9112 §6.1). We ask for none.
    #[error("unsupported Transfer-Encoding")]
    UnsupportedTransferEncoding,
    /// The body is, or would be, longer than the caller's limit.
    #[error("response body of at least {size} bytes is over the limit of {max}")]
    BodyTooLarge {
        /// The size that the body has or would have at least.
        size: u64,
        /// The limit.
        max: usize,
    },
    /// A chunk's size line or end is malformed (RFC 9112 §7.1).
    #[error("malformed chunk")]
    BadChunk,
    /// A chunk's size line with its extensions, all extensions together, or the trailers are
    /// longer than their limits (RFC 9112 §7.1.1, §7.1.2).
    #[error("chunk extensions or trailers are too long")]
    ChunkMetaTooLong,
    /// The link was closed before the first byte of the response: usual for a kept-alive link that
    /// idled. The request may or may not have been acted on.
    #[error("link closed before the response")]
    ClosedBeforeResponse,
    /// The link was closed inside the response.
    #[error("link closed inside the response")]
    Truncated,
}

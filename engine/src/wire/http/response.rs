//! Responses in: one after another over a link, each after its request.

use super::chunked::ChunkedParser;
use super::head::HeadParser;
use super::{Head, HeadLimits, HttpError, Method};
use crate::wire::RxBuffer;

/// Room that is taken for a body on the word of its `Content-Length` alone. More comes as the
/// bytes do.
const BODY_RESERVE_MAX: usize = 1 << 20;

/// Limits on a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Limits on status line and headers.
    pub head: HeadLimits,
    /// The longest body.
    pub body_bytes_max: usize,
}

impl Default for ResponseLimits {
    /// 64 MiB of body: the largest instrument lists of the venues are near 20 MiB.
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body_bytes_max: 64 << 20,
        }
    }
}

/// A whole response, lent until the next request begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status and headers.
    pub head: &'a Head,
    /// The body. It may be changed in place, or taken away for another thread: the next response
    /// is then collected in a new one.
    pub body: &'a mut Vec<u8>,
    /// Whether the link can carry the next request (RFC 9112 §9.3). If not, close it.
    pub keep_alive: bool,
}

/// Reads the responses of one link, in pieces of any size.
///
/// Call [`begin`](Self::begin) for each request, then [`poll`](Self::poll) whenever bytes came,
/// and [`finish_eof`](Self::finish_eof) if the link was closed.
#[derive(Debug)]
pub struct ResponseParser {
    limits: ResponseLimits,
    state: State,
    method: Method,
    /// The request asks for an upgrade: 101 is a whole response, and the body of a refusal is cut
    /// at its limit.
    is_upgrade: bool,
    head_parser: HeadParser,
    has_head: bool,
    head: Head,
    body: Vec<u8>,
    keep_alive: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Head,
    Length { left: usize },
    Chunked(ChunkedParser),
    UntilClose,
    Failed(HttpError),
}

impl ResponseParser {
    /// A parser for a new link.
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            limits,
            state: State::Idle,
            method: Method::Get,
            is_upgrade: false,
            head_parser: HeadParser::new(limits.head),
            has_head: false,
            head: Head::default(),
            body: Vec::new(),
            keep_alive: false,
        }
    }

    /// A parser that expects the answer to an upgrade: either 101, behind which another protocol
    /// begins, or a refusal, of whose body at most the limit is kept.
    pub(crate) fn for_upgrade(limits: ResponseLimits) -> Self {
        let mut parser = Self::new(limits);
        parser.is_upgrade = true;
        parser.begin(Method::Get);
        parser
    }

    /// Expects the response to a request with this method. Forgets the response before, but keeps
    /// its memory.
    pub fn begin(&mut self, method: Method) {
        self.state = State::Head;
        self.method = method;
        self.head_parser.reset();
        self.has_head = false;
        self.body.clear();
        self.keep_alive = false;
    }

    /// Forgets everything, for a new link.
    pub fn reset(&mut self) {
        self.begin(Method::Get);
        self.state = State::Idle;
    }

    /// Whether a response is expected or under way.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Reads on; gives the response when all of it has come. Bytes behind it stay in `rx`.
    ///
    /// # Errors
    /// Each is final for the link and is given again until [`begin`](Self::begin).
    pub fn poll(&mut self, rx: &mut RxBuffer) -> Result<Option<Response<'_>>, HttpError> {
        match self.advance(rx) {
            Ok(true) => Ok(Some(self.finish())),
            Ok(false) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The peer closed the link, after all bytes were polled. Gives the response if its body had
    /// no other end (RFC 9112 §6.3, rule 8), and `None` if none was expected.
    ///
    /// # Errors
    /// If a response is incomplete.
    pub fn finish_eof(&mut self) -> Result<Option<Response<'_>>, HttpError> {
        let error = match &self.state {
            State::Idle => return Ok(None),
            State::UntilClose => return Ok(Some(self.finish())),
            State::Failed(error) => error.clone(),
            State::Head if !self.head_parser.has_begun() => HttpError::ClosedBeforeResponse,
            _ => HttpError::Truncated,
        };
        Err(self.fail(error))
    }

    /// What had come of a response whose body failed: its head and the body so far.
    pub(crate) fn broken_off(&self) -> Option<(&Head, &[u8])> {
        match self.state {
            State::Failed(_) if self.has_head => Some((&self.head, &self.body)),
            _ => None,
        }
    }

    fn fail(&mut self, error: HttpError) -> HttpError {
        self.keep_alive = false;
        self.state = State::Failed(error.clone());
        error
    }

    fn finish(&mut self) -> Response<'_> {
        self.state = State::Idle;
        Response {
            head: &self.head,
            body: &mut self.body,
            keep_alive: self.keep_alive,
        }
    }

    fn advance(&mut self, rx: &mut RxBuffer) -> Result<bool, HttpError> {
        loop {
            let max = self.limits.body_bytes_max;
            match &mut self.state {
                State::Idle if rx.is_empty() => return Ok(false),
                State::Idle => return Err(HttpError::Unsolicited),
                State::Failed(error) => return Err(error.clone()),
                State::Head => {
                    if !self.head_parser.poll(rx, &mut self.head)? {
                        return Ok(false);
                    }
                    self.has_head = true;
                    if self.head.status == 101 && self.is_upgrade {
                        return Ok(true);
                    }
                    self.start_body()?;
                }
                State::Length { left } => {
                    let count = rx.len().min(*left);
                    self.body
                        .extend_from_slice(rx.filled().get(..count).unwrap_or_default());
                    rx.consume(count);
                    *left -= count;
                    return Ok(*left == 0);
                }
                State::Chunked(chunked) => {
                    return match chunked.poll(rx, &mut self.body, max) {
                        Err(HttpError::BodyTooLarge { .. }) if self.is_upgrade => Ok(true),
                        other => other,
                    };
                }
                State::UntilClose => {
                    let size = self.body.len().saturating_add(rx.len());
                    if size > max && self.is_upgrade {
                        let count = max.saturating_sub(self.body.len());
                        self.body
                            .extend_from_slice(rx.filled().get(..count).unwrap_or_default());
                        return Ok(true);
                    }
                    if size > max {
                        return Err(HttpError::BodyTooLarge {
                            size: size as u64,
                            max,
                        });
                    }
                    self.body.extend_from_slice(rx.filled());
                    rx.clear();
                    return Ok(false);
                }
            }
        }
    }

    /// Decides how the body ends (RFC 9112 §6.3).
    fn start_body(&mut self) -> Result<(), HttpError> {
        let max = self.limits.body_bytes_max;
        self.keep_alive = self.head.wants_keep_alive();
        if self.head.status == 101 {
            return Err(HttpError::UnexpectedUpgrade);
        }
        // Rule 1: these have no body, whatever their headers say.
        if self.method == Method::Head || matches!(self.head.status, 204 | 304) {
            self.state = State::Length { left: 0 };
            return Ok(());
        }
        let length = content_length(&self.head)?;
        let mut codings = self.head.headers.all("transfer-encoding");
        if let Some(coding) = codings.next() {
            if length.is_some() {
                return Err(HttpError::ConflictingLength);
            }
            let chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked || codings.next().is_some() || self.head.minor_version == 0 {
                return Err(HttpError::UnsupportedTransferEncoding);
            }
            self.state = State::Chunked(ChunkedParser::new());
            return Ok(());
        }
        let Some(size) = length else {
            self.keep_alive = false;
            self.state = State::UntilClose;
            return Ok(());
        };
        match usize::try_from(size) {
            Ok(left) if left <= max => {
                self.body.reserve(left.min(BODY_RESERVE_MAX));
                self.state = State::Length { left };
                Ok(())
            }
            _ if self.is_upgrade => {
                self.state = State::Length { left: max };
                Ok(())
            }
            _ => Err(HttpError::BodyTooLarge { size, max }),
        }
    }
}

/// The one `Content-Length`, digits only (RFC 9110 §8.6).
fn content_length(head: &Head) -> Result<Option<u64>, HttpError> {
    let mut values = head.headers.all("content-length");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::BadContentLength);
    }
    let text = std::str::from_utf8(value).map_err(|_| HttpError::BadContentLength)?;
    text.parse()
        .map(Some)
        .map_err(|_| HttpError::BadContentLength)
}

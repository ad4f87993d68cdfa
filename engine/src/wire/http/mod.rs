//! HTTP/1.1 (RFC 9110, RFC 9112), client side: one request, one response, kept alive or not.
//!
//! No pipelining, no upgrade (that is [`ws::handshake`](super::ws::handshake)), no content coding:
//! ask for `identity` by not sending `Accept-Encoding`.

mod chunked;
mod date;
pub mod error;
pub mod fields;
pub mod head;
pub mod request;
pub mod response;

pub use date::http_date;
pub use error::HttpError;
pub use fields::{FieldError, Headers, authority};
pub use head::{Head, HeadLimits};
pub use request::{Method, Request, RequestError};
pub use response::{Response, ResponseLimits, ResponseParser};

#[cfg(test)]
mod tests;

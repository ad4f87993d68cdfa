//! Polymarket's errors as data: it has texts, and HTTP statuses that say little
//! (resources/error-codes and trading/matching-engine, 2026-11).

use crate::error::{Error, ErrorKind, Next, Outcome};

use super::urls;
use ErrorKind as Kind;
use Outcome::{Rejected, Unknown};

const SOON: Next = Next::AfterMs(urls::RATE_LIMIT_WAIT.as_millis() as u32);

/// What a text has in it, without regard to case, and what that means. The first that fits counts.
const TABLE: [(&str, ErrorKind, Outcome, Next); 19] = [
    (
        "INVALID_ORDER_MIN_TICK_SIZE",
        Kind::Precision,
        Rejected,
        Next::Never,
    ),
    (
        "INVALID_ORDER_MIN_SIZE",
        Kind::BadRequest,
        Rejected,
        Next::Never,
    ),
    (
        "INVALID_ORDER_DUPLICATED",
        Kind::DuplicateOrderId,
        Rejected,
        Next::AfterResync,
    ),
    (
        "INVALID_ORDER_NOT_ENOUGH_BALANCE",
        Kind::InsufficientFunds,
        Rejected,
        Next::Never,
    ),
    (
        "NOT ENOUGH BALANCE",
        Kind::InsufficientFunds,
        Rejected,
        Next::Never,
    ),
    (
        "INSUFFICIENT BALANCE",
        Kind::InsufficientFunds,
        Rejected,
        Next::Never,
    ),
    (
        "INVALID_ORDER_EXPIRATION",
        Kind::BadRequest,
        Rejected,
        Next::Never,
    ),
    (
        "INVALID_ORDER_ERROR",
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
    (
        "FOK_ORDER_NOT_FILLED_ERROR",
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
    (
        "FULLY FILLED OR KILLED",
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
    (
        "NO ORDERS FOUND TO MATCH",
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
    (
        "ORDER CROSSES BOOK",
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
    (
        "MARKET_NOT_READY",
        Kind::VenueUnavailable,
        Rejected,
        Next::Never,
    ),
    // "The order's state is not final": look it up.
    (
        "EXECUTION_ERROR",
        Kind::VenueUnavailable,
        Unknown,
        Next::AfterResync,
    ),
    (
        "DELAYING_ORDER_ERROR",
        Kind::VenueUnavailable,
        Unknown,
        Next::AfterResync,
    ),
    (
        "ORDER_DELAYED",
        Kind::VenueUnavailable,
        Unknown,
        Next::AfterResync,
    ),
    (
        "ALREADY CANCELED OR MATCHED",
        Kind::OrderNotFound,
        Rejected,
        Next::Never,
    ),
    (
        "ORDER NOT FOUND",
        Kind::OrderNotFound,
        Rejected,
        Next::Never,
    ),
    ("INVALID TOKEN ID", Kind::BadSymbol, Rejected, Next::Never),
];

/// A refusal in the venue's words.
pub(super) fn error(status: Option<u16>, text: &str) -> Error {
    let has = |part: &str| text.to_ascii_uppercase().contains(part);
    let (kind, outcome, next) = match TABLE.iter().find(|row| has(row.0)) {
        Some((_, kind, outcome, next)) => (*kind, *outcome, *next),
        None => by_status(status),
    };
    let text = match (text, status) {
        ("", Some(status)) => format!("Polymarket answered with HTTP {status}"),
        _ => text.to_owned(),
    };
    Error {
        kind,
        outcome,
        next,
        code: status.map(i64::from),
        text,
    }
}

/// By the status alone.
const fn by_status(status: Option<u16>) -> (ErrorKind, Outcome, Next) {
    match status {
        Some(400) => (Kind::BadRequest, Rejected, Next::Never),
        Some(401) => (Kind::Authentication, Rejected, Next::Never),
        Some(403) => (Kind::Permission, Rejected, Next::Never),
        Some(404) => (Kind::OrderNotFound, Rejected, Next::Never),
        // 425: the matching engine restarts, 503: trading is disabled. Nothing is taken meanwhile.
        Some(425 | 503) => (Kind::VenueUnavailable, Rejected, SOON),
        Some(429) => (Kind::RateLimited, Rejected, SOON),
        Some(500..) => (Kind::VenueUnavailable, Unknown, Next::AfterResync),
        _ => (Kind::OrderRejected, Rejected, Next::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_and_status_of_the_pages_is_mapped() {
        let table = [
            (
                Some(400),
                "INVALID_ORDER_MIN_TICK_SIZE",
                Kind::Precision,
                Rejected,
            ),
            (
                Some(400),
                "INVALID_ORDER_MIN_SIZE",
                Kind::BadRequest,
                Rejected,
            ),
            (
                Some(400),
                "INVALID_ORDER_DUPLICATED",
                Kind::DuplicateOrderId,
                Rejected,
            ),
            (
                Some(400),
                "INVALID_ORDER_NOT_ENOUGH_BALANCE",
                Kind::InsufficientFunds,
                Rejected,
            ),
            (
                Some(400),
                "not enough balance / allowance",
                Kind::InsufficientFunds,
                Rejected,
            ),
            (
                None,
                "Insufficient balance",
                Kind::InsufficientFunds,
                Rejected,
            ),
            (
                Some(400),
                "INVALID_ORDER_EXPIRATION",
                Kind::BadRequest,
                Rejected,
            ),
            (
                Some(400),
                "INVALID_ORDER_ERROR",
                Kind::OrderRejected,
                Rejected,
            ),
            (
                Some(400),
                "FOK_ORDER_NOT_FILLED_ERROR",
                Kind::OrderRejected,
                Rejected,
            ),
            (
                Some(400),
                "order couldn't be fully filled. FOK orders are fully filled or killed.",
                Kind::OrderRejected,
                Rejected,
            ),
            (
                Some(400),
                "no orders found to match with FAK order",
                Kind::OrderRejected,
                Rejected,
            ),
            (
                Some(400),
                "invalid post-only order: order crosses book",
                Kind::OrderRejected,
                Rejected,
            ),
            (
                Some(400),
                "MARKET_NOT_READY",
                Kind::VenueUnavailable,
                Rejected,
            ),
            (
                Some(400),
                "EXECUTION_ERROR",
                Kind::VenueUnavailable,
                Unknown,
            ),
            (Some(400), "ORDER_DELAYED", Kind::VenueUnavailable, Unknown),
            (
                Some(400),
                "DELAYING_ORDER_ERROR",
                Kind::VenueUnavailable,
                Unknown,
            ),
            (
                None,
                "already canceled or matched",
                Kind::OrderNotFound,
                Rejected,
            ),
            (Some(404), "order not found", Kind::OrderNotFound, Rejected),
            (Some(400), "Invalid token id", Kind::BadSymbol, Rejected),
            (
                Some(401),
                "Unauthorized/Invalid api key",
                Kind::Authentication,
                Rejected,
            ),
            (
                Some(400),
                "Invalid order payload",
                Kind::BadRequest,
                Rejected,
            ),
            (Some(403), "", Kind::Permission, Rejected),
            (Some(425), "", Kind::VenueUnavailable, Rejected),
            (Some(429), "Too Many Requests", Kind::RateLimited, Rejected),
            (
                Some(500),
                "Internal server error",
                Kind::VenueUnavailable,
                Unknown,
            ),
            (Some(503), "", Kind::VenueUnavailable, Rejected),
            (Some(418), "something new", Kind::OrderRejected, Rejected),
        ];
        for (status, text, kind, outcome) in table {
            let error = error(status, text);
            assert_eq!(
                (error.kind, error.outcome),
                (kind, outcome),
                "{status:?} {text}"
            );
            assert_eq!(error.code, status.map(i64::from));
            assert!(text.is_empty() || error.text == text, "{error}");
        }
    }
}

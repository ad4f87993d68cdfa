//! Binance's error codes as data: what each says of the request, and what to do next.
//!
//! Sources: binance-spot-api-docs errors.md (2026-07-21), USDS-M "Error Code" (2026-03).

use crate::error::{Error, ErrorKind, Next, Outcome};

use ErrorKind as Kind;

/// A code or a range of codes.
struct Row {
    codes: core::ops::RangeInclusive<i64>,
    kind: ErrorKind,
    outcome: Outcome,
    next: Next,
}

const fn row(
    codes: core::ops::RangeInclusive<i64>,
    kind: ErrorKind,
    outcome: Outcome,
    next: Next,
) -> Row {
    Row {
        codes,
        kind,
        outcome,
        next,
    }
}

const fn no(code: i64, kind: ErrorKind, next: Next) -> Row {
    row(code..=code, kind, Outcome::Rejected, next)
}

/// First match counts.
const TABLE: &[Row] = &[
    // "Execution status unknown": neither a success nor a failure.
    row(
        -1000..=-1000,
        Kind::VenueUnavailable,
        Outcome::Unknown,
        Next::AfterResync,
    ),
    row(
        -1007..=-1006,
        Kind::Timeout,
        Outcome::Unknown,
        Next::AfterResync,
    ),
    no(-1001, Kind::VenueUnavailable, Next::AfterMs(1_000)),
    no(-1002, Kind::Permission, Next::Never),
    no(-1003, Kind::RateLimited, Next::AfterMs(60_000)),
    no(-1008, Kind::VenueUnavailable, Next::AfterMs(1_000)),
    no(-1013, Kind::Precision, Next::Never),
    no(-1014, Kind::BadRequest, Next::Never),
    no(-1015, Kind::RateLimited, Next::AfterMs(10_000)),
    no(-1016, Kind::VenueUnavailable, Next::AfterMs(60_000)),
    no(-1020, Kind::NotSupported, Next::Never),
    no(-1021, Kind::ClockSkew, Next::AfterResync),
    no(-1022, Kind::Authentication, Next::Never),
    // CHANGELOG 2026-07: the symbol is not in the state that the request asked for.
    no(-1220, Kind::VenueUnavailable, Next::AfterMs(60_000)),
    no(-1111, Kind::Precision, Next::Never),
    no(-1121, Kind::BadSymbol, Next::Never),
    row(
        -1199..=-1099,
        Kind::BadRequest,
        Outcome::Rejected,
        Next::Never,
    ),
    no(-2010, Kind::OrderRejected, Next::Never),
    no(-2011, Kind::OrderNotFound, Next::Never),
    no(-2013, Kind::OrderNotFound, Next::Never),
    no(-2014, Kind::Authentication, Next::Never),
    no(-2015, Kind::Permission, Next::Never),
    no(-2016, Kind::VenueUnavailable, Next::AfterMs(60_000)),
    no(-2018, Kind::InsufficientFunds, Next::Never),
    no(-2019, Kind::InsufficientFunds, Next::Never),
    row(
        -2025..=-2020,
        Kind::OrderRejected,
        Outcome::Rejected,
        Next::Never,
    ),
    no(-2026, Kind::OrderNotFound, Next::Never),
    row(
        -2028..=-2027,
        Kind::InsufficientFunds,
        Outcome::Rejected,
        Next::Never,
    ),
    row(
        -2039..=-2038,
        Kind::OrderRejected,
        Outcome::Rejected,
        Next::Never,
    ),
    no(-4115, Kind::DuplicateOrderId, Next::AfterResync),
    no(-4116, Kind::DuplicateOrderId, Next::AfterResync),
    row(
        -4999..=-4000,
        Kind::BadRequest,
        Outcome::Rejected,
        Next::Never,
    ),
    row(
        -5099..=-5000,
        Kind::OrderRejected,
        Outcome::Rejected,
        Next::Never,
    ),
];

/// `-2010` and `-2011` say in words what they mean (errors.md "Messages for -1010 ERROR_MSG_RECEIVED,
/// -2010 NEW_ORDER_REJECTED, and -2011 CANCEL_REJECTED").
const WORDS: [(&str, ErrorKind, Next); 6] = [
    ("insufficient balance", Kind::InsufficientFunds, Next::Never),
    (
        "Duplicate order sent",
        Kind::DuplicateOrderId,
        Next::AfterResync,
    ),
    (
        "Market is closed",
        Kind::VenueUnavailable,
        Next::AfterMs(60_000),
    ),
    ("Unknown order sent", Kind::OrderNotFound, Next::Never),
    (
        "may not place or cancel orders",
        Kind::Permission,
        Next::Never,
    ),
    (
        "not available for this account",
        Kind::Permission,
        Next::Never,
    ),
];

/// The error of a code with the venue's words, in an answer of this HTTP (or WebSocket API) status. "5xx:
/// it is important to NOT treat this as a failure; the execution status is UNKNOWN" (rest-api.md).
pub(super) fn error(status: u16, code: Option<i64>, text: String) -> Error {
    let found = code.and_then(|code| TABLE.iter().find(|row| row.codes.contains(&code)));
    let (kind, outcome, next) = match (found, status) {
        (Some(row), _) => (row.kind, row.outcome, row.next),
        (None, 418 | 429) => (Kind::RateLimited, Outcome::Rejected, Next::AfterMs(60_000)),
        (None, 403) => (Kind::Permission, Outcome::Rejected, Next::AfterMs(60_000)),
        (None, 401) => (Kind::Authentication, Outcome::Rejected, Next::Never),
        (None, 500..) => (Kind::VenueUnavailable, Outcome::Unknown, Next::AfterResync),
        (None, _) => (Kind::Other, Outcome::Rejected, Next::Never),
    };
    let worded = WORDS
        .iter()
        .find(|word| matches!(code, Some(-2010 | -2011)) && text.contains(word.0));
    let (kind, next) = worded.map_or((kind, next), |word| (word.1, word.2));
    let (outcome, next) = if status >= 500 {
        (Outcome::Unknown, Next::AfterResync)
    } else {
        (outcome, next)
    };
    Error {
        kind,
        outcome,
        next,
        code,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Rejected, Unknown};

    #[test]
    fn every_code_that_the_venue_documents_is_mapped() {
        let table = [
            (-1000, Kind::VenueUnavailable, Unknown, Next::AfterResync),
            (
                -1001,
                Kind::VenueUnavailable,
                Rejected,
                Next::AfterMs(1_000),
            ),
            (-1003, Kind::RateLimited, Rejected, Next::AfterMs(60_000)),
            (-1006, Kind::Timeout, Unknown, Next::AfterResync),
            (-1007, Kind::Timeout, Unknown, Next::AfterResync),
            (
                -1008,
                Kind::VenueUnavailable,
                Rejected,
                Next::AfterMs(1_000),
            ),
            (-1013, Kind::Precision, Rejected, Next::Never),
            (-1015, Kind::RateLimited, Rejected, Next::AfterMs(10_000)),
            (-1021, Kind::ClockSkew, Rejected, Next::AfterResync),
            (-1022, Kind::Authentication, Rejected, Next::Never),
            (-1100, Kind::BadRequest, Rejected, Next::Never),
            (-1102, Kind::BadRequest, Rejected, Next::Never),
            (-1106, Kind::BadRequest, Rejected, Next::Never),
            (-1111, Kind::Precision, Rejected, Next::Never),
            (-1114, Kind::BadRequest, Rejected, Next::Never),
            (-1121, Kind::BadSymbol, Rejected, Next::Never),
            (-1130, Kind::BadRequest, Rejected, Next::Never),
            (
                -1220,
                Kind::VenueUnavailable,
                Rejected,
                Next::AfterMs(60_000),
            ),
            (-2010, Kind::OrderRejected, Rejected, Next::Never),
            (-2011, Kind::OrderNotFound, Rejected, Next::Never),
            (-2013, Kind::OrderNotFound, Rejected, Next::Never),
            (-2014, Kind::Authentication, Rejected, Next::Never),
            (-2015, Kind::Permission, Rejected, Next::Never),
            (-2021, Kind::OrderRejected, Rejected, Next::Never),
            (-2022, Kind::OrderRejected, Rejected, Next::Never),
            (-2026, Kind::OrderNotFound, Rejected, Next::Never),
            (-2038, Kind::OrderRejected, Rejected, Next::Never),
            (-2039, Kind::OrderRejected, Rejected, Next::Never),
            (-5022, Kind::OrderRejected, Rejected, Next::Never),
        ];
        for (code, kind, outcome, next) in table {
            let error = error(400, Some(code), "words".to_owned());
            assert_eq!(
                (error.kind, error.outcome, error.next),
                (kind, outcome, next),
                "{code}"
            );
            assert_eq!((error.code, error.text.as_str()), (Some(code), "words"));
        }
    }

    #[test]
    fn the_words_of_a_rejection_say_what_it_is() {
        let table = [
            (
                -2010,
                "Account has insufficient balance for requested action.",
                Kind::InsufficientFunds,
            ),
            (
                -2010,
                "Order would immediately match and take.",
                Kind::OrderRejected,
            ),
            (-2010, "Duplicate order sent.", Kind::DuplicateOrderId),
            (-2010, "Market is closed.", Kind::VenueUnavailable),
            (-2011, "Unknown order sent.", Kind::OrderNotFound),
        ];
        for (code, text, kind) in table {
            assert_eq!(error(400, Some(code), text.to_owned()).kind, kind, "{text}");
        }
    }

    #[test]
    fn an_unknown_code_keeps_code_and_text_and_a_5xx_is_no_answer() {
        let odd = error(400, Some(-9_999), "something new".to_owned());
        assert_eq!(
            (odd.kind, odd.outcome, odd.code),
            (Kind::Other, Rejected, Some(-9_999))
        );
        assert_eq!(odd.to_string(), "something new (venue code -9999)");
        for code in [None, Some(-1001), Some(-2010), Some(-9_999)] {
            let error = error(503, code, String::new());
            assert_eq!(
                (error.outcome, error.next),
                (Unknown, Next::AfterResync),
                "{code:?}"
            );
        }
        assert_eq!(error(429, None, String::new()).kind, Kind::RateLimited);
    }
}

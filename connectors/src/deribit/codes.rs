//! Deribit's error codes as data: what each says of the request, and what to do next.
//! (API v2.1.1, "RPC error codes", mid-2025; rate limits, 2026-11.)

use crate::error::{Error, ErrorKind, Next, Outcome};

use ErrorKind as Kind;
use Outcome::{Rejected, Unknown};

/// Out of credits: the session is ended with it (rate limits).
pub(super) const TOO_MANY_REQUESTS: i64 = 10_028;

/// A parameter is wrong; the words say which.
const INVALID_PARAMS: i64 = -32_602;

/// Codes of one meaning.
type Row = (&'static [i64], ErrorKind, Outcome, Next);

const SOON: Next = Next::AfterMs(1_000);

/// A settlement takes seconds, maintenance longer.
const LATER: Next = Next::AfterMs(5_000);

const TABLE: &[Row] = &[
    // The request may have been acted on: "retry", "internal server error", "temporarily unavailable",
    // a failure without a word.
    (
        &[10040, 11094, 13008, 13028],
        Kind::Timeout,
        Unknown,
        Next::AfterResync,
    ),
    // "Timed out": later than `valid_until`, as one of the clocks has it.
    (&[13888], Kind::ClockSkew, Unknown, Next::AfterResync),
    (
        &[TOO_MANY_REQUESTS, 10066],
        Kind::RateLimited,
        Rejected,
        Next::AfterMs(3_000),
    ),
    (&[10047], Kind::VenueUnavailable, Rejected, SOON),
    (
        &[10012, 10041, 11046, 11051, 11056, 13043, 13503],
        Kind::VenueUnavailable,
        Rejected,
        LATER,
    ),
    (
        &[10000, 13004, 13005, 13006, 13007, 13009, 13778],
        Kind::Authentication,
        Rejected,
        Next::Never,
    ),
    (
        &[
            10019, 10029, 10072, 11042, 12998, 13012, 13021, 13025, 13031, 13037, 13403,
        ],
        Kind::Permission,
        Rejected,
        Next::Never,
    ),
    (
        &[
            10024,
            10025,
            10030,
            10031,
            10036,
            11029,
            11043,
            11045,
            11047,
            11049,
            11050,
            11052,
            13010,
            -32_600,
            -32_601,
            INVALID_PARAMS,
            -32_700,
        ],
        Kind::BadRequest,
        Rejected,
        Next::Never,
    ),
    (&[10033], Kind::NotSupported, Rejected, Next::Never),
    (&[10020, 13020], Kind::BadSymbol, Rejected, Next::Never),
    (
        &[
            10002, 10021, 10022, 10023, 10026, 10027, 10032, 10043, 10044,
        ],
        Kind::Precision,
        Rejected,
        Next::Never,
    ),
    (
        &[10009, 10039],
        Kind::InsufficientFunds,
        Rejected,
        Next::Never,
    ),
    (
        &[10004, 10010, 11008, 11044],
        Kind::OrderNotFound,
        Rejected,
        Next::Never,
    ),
    (
        &[13032],
        Kind::DuplicateOrderId,
        Rejected,
        Next::AfterResync,
    ),
    (
        &[
            10003, 10005, 10006, 10007, 10011, 10013, 10014, 10015, 10016, 10017, 10018, 10034,
            10035, 10037, 10038, 10045, 10046, 10049, 11013, 11021, 11022, 11030, 11036, 11054,
            11055, 13030, 13038,
        ],
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
];

/// The error of a code with the venue's words; `param` is the parameter that it names.
pub(super) fn error(code: i64, param: Option<&str>, text: String) -> Error {
    let found = TABLE.iter().find(|row| row.0.contains(&code));
    let (kind, outcome, next) = match (found, param) {
        // A symbol of the wrong shape is a bad parameter of this name.
        (_, Some("instrument_name")) if code == INVALID_PARAMS => {
            (Kind::BadSymbol, Rejected, Next::Never)
        }
        (Some(row), _) => (row.1, row.2, row.3),
        (None, _) => (Kind::Other, Rejected, Next::Never),
    };
    Error {
        kind,
        outcome,
        next,
        code: Some(code),
        text,
    }
}

/// An HTTP status without an answer to read. 429 is told for too many connections, each request in
/// flight one of them (connection management).
pub(super) fn status(status: u16) -> Error {
    let (kind, outcome, next) = match status {
        429 => (Kind::RateLimited, Rejected, Next::AfterMs(3_000)),
        401 => (Kind::Authentication, Rejected, Next::Never),
        403 => (Kind::Permission, Rejected, Next::Never),
        500.. => (Kind::VenueUnavailable, Unknown, Next::AfterResync),
        _ => (Kind::Other, Rejected, Next::Never),
    };
    Error {
        kind,
        outcome,
        next,
        code: None,
        text: format!("HTTP {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_fact_sheet_is_mapped() {
        let table: &[(&[i64], Kind, Outcome)] = &[
            (&[10028, 10066], Kind::RateLimited, Rejected),
            (&[10040, 11094, 13028], Kind::Timeout, Unknown),
            (&[13888], Kind::ClockSkew, Unknown),
            (&[10041, 10047, 11051], Kind::VenueUnavailable, Rejected),
            (&[10012, 11056], Kind::VenueUnavailable, Rejected),
            (
                &[10000, 13004, 13009, 13778],
                Kind::Authentication,
                Rejected,
            ),
            (&[10029, 12998, 13021], Kind::Permission, Rejected),
            (&[10002, 10021, 10026, 10043], Kind::Precision, Rejected),
            (&[10004, 10010, 11008, 11044], Kind::OrderNotFound, Rejected),
            (&[10009], Kind::InsufficientFunds, Rejected),
            (&[10020, 13020], Kind::BadSymbol, Rejected),
            (
                &[10003, 10005, 10007, 10049, 11054, 13030],
                Kind::OrderRejected,
                Rejected,
            ),
            (&[11029, 11050, 11052], Kind::BadRequest, Rejected),
            (
                &[-32_700, -32_600, -32_601, -32_602],
                Kind::BadRequest,
                Rejected,
            ),
        ];
        for (codes, kind, outcome) in table {
            for &code in *codes {
                let error = error(code, None, "words".to_owned());
                assert_eq!((error.kind, error.outcome), (*kind, *outcome), "{code}");
                assert_eq!((error.code, error.text.as_str()), (Some(code), "words"));
            }
        }
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut codes: Vec<i64> = TABLE.iter().flat_map(|row| row.0).copied().collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn an_unknown_code_keeps_code_and_text() {
        let error = error(31_337, None, "something new".to_owned());
        assert_eq!((error.kind, error.code), (Kind::Other, Some(31_337)));
        assert_eq!(error.to_string(), "something new (venue code 31337)");
        assert_eq!(status(502).outcome, Unknown);
        assert_eq!(status(429).kind, Kind::RateLimited);
    }

    #[test]
    fn a_bad_symbol_is_told_from_other_bad_parameters() {
        let kind = |param| error(-32_602, param, String::new()).kind;
        assert_eq!(kind(Some("instrument_name")), Kind::BadSymbol);
        assert_eq!(kind(Some("amount")), Kind::BadRequest);
        assert_eq!(kind(None), Kind::BadRequest);
    }
}

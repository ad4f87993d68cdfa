//! Bybit's error codes as data: what each says of the request, and what to do next.
//! (v5 "Error codes", 2026-07-24.)

use crate::error::{Error, ErrorKind, Next, Outcome};

use ErrorKind as Kind;
use Outcome::{Rejected, Unknown};

/// Codes of one meaning.
type Row = (&'static [i64], ErrorKind, Outcome, Next);

const SOON: Next = Next::AfterMs(1_000);

const TABLE: &[Row] = &[
    // The request may have been acted on: "server timeout", "server error", time-outs of spot.
    (
        &[10000, 10016, 170007, 170146, 170147],
        Kind::Timeout,
        Unknown,
        Next::AfterResync,
    ),
    (&[10002], Kind::ClockSkew, Rejected, Next::AfterResync),
    (
        &[429, 10006, 10018, 10403, 10429, 20003, 170005, 170222],
        Kind::RateLimited,
        Rejected,
        SOON,
    ),
    (&[10019], Kind::VenueUnavailable, Rejected, SOON),
    (&[110079], Kind::VenueUnavailable, Rejected, SOON),
    (
        &[10003, 10004, 20001, 33004],
        Kind::Authentication,
        Rejected,
        Next::Never,
    ),
    (
        &[10005, 10009, 10010, 10024, 10027, 10028, 10029],
        Kind::Permission,
        Rejected,
        Next::Never,
    ),
    (
        &[10001, 10404, 20006, 110003, 110094],
        Kind::BadRequest,
        Rejected,
        Next::Never,
    ),
    (
        &[10014],
        Kind::DuplicateOrderId,
        Rejected,
        Next::AfterResync,
    ),
    (
        &[10021, 170121, 110074],
        Kind::BadSymbol,
        Rejected,
        Next::Never,
    ),
    (
        &[110017, 170134, 170136, 170137, 170140],
        Kind::Precision,
        Rejected,
        Next::Never,
    ),
    (
        &[110004, 110007, 110012, 170033, 170131],
        Kind::InsufficientFunds,
        Rejected,
        Next::Never,
    ),
    (
        &[110001, 110008, 110010, 170142, 170143, 170213],
        Kind::OrderNotFound,
        Rejected,
        Next::Never,
    ),
    (
        &[110072, 170141],
        Kind::DuplicateOrderId,
        Rejected,
        Next::AfterResync,
    ),
    (
        &[110020, 170810, 170218],
        Kind::OrderRejected,
        Rejected,
        Next::Never,
    ),
];

/// The error of a `retCode` with the venue's words. Whole ranges are orders' (110xxx derivatives, 170xxx
/// spot): what is not in the table there is a rejection all the same.
pub(super) fn error(code: i64, text: &str) -> Error {
    let found = TABLE.iter().find(|row| row.0.contains(&code));
    let (kind, outcome, next) = match (found, code) {
        (Some(row), _) => (row.1, row.2, row.3),
        (None, 110_000..=110_999 | 170_000..=170_999) => {
            (Kind::OrderRejected, Rejected, Next::Never)
        }
        (None, _) => (Kind::Other, Rejected, Next::Never),
    };
    Error {
        kind,
        outcome,
        next,
        code: Some(code),
        text: text.to_owned(),
    }
}

/// An HTTP status without an envelope.
pub(super) fn status(status: u16) -> Error {
    let (kind, outcome, next) = match status {
        // "access too frequent": ten minutes (rate-limit).
        403 | 429 => (Kind::RateLimited, Rejected, Next::AfterMs(600_000)),
        401 => (Kind::Authentication, Rejected, Next::Never),
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
    fn every_code_of_the_venues_table_that_we_use_is_mapped() {
        let table = [
            (
                &[429, 10006, 10429, 20003, 170005, 170222][..],
                Kind::RateLimited,
                Rejected,
            ),
            (
                &[10000, 10016, 170007, 170146, 170147],
                Kind::Timeout,
                Unknown,
            ),
            (&[10002], Kind::ClockSkew, Rejected),
            (&[10019, 110079], Kind::VenueUnavailable, Rejected),
            (
                &[10001, 10404, 20006, 110003, 110094],
                Kind::BadRequest,
                Rejected,
            ),
            (&[10003, 10004], Kind::Authentication, Rejected),
            (&[10005, 10009, 10010], Kind::Permission, Rejected),
            (&[10014, 110072, 170141], Kind::DuplicateOrderId, Rejected),
            (
                &[110001, 110008, 110010, 170142, 170143, 170213],
                Kind::OrderNotFound,
                Rejected,
            ),
            (
                &[110004, 110007, 110012, 170131],
                Kind::InsufficientFunds,
                Rejected,
            ),
            (
                &[110017, 170134, 170136, 170137, 170140],
                Kind::Precision,
                Rejected,
            ),
            (&[110020, 170810, 170218], Kind::OrderRejected, Rejected),
        ];
        for (codes, kind, outcome) in table {
            for &code in codes {
                let error = error(code, "words");
                assert_eq!((error.kind, error.outcome), (kind, outcome), "{code}");
                assert_eq!((error.code, error.text.as_str()), (Some(code), "words"));
            }
        }
    }

    #[test]
    fn an_unknown_code_keeps_code_and_text() {
        for (code, kind) in [
            (110_999, Kind::OrderRejected),
            (170_999, Kind::OrderRejected),
            (31_337, Kind::Other),
        ] {
            let error = error(code, "something new");
            assert_eq!((error.kind, error.code), (kind, Some(code)));
            assert_eq!(
                error.to_string(),
                format!("something new (venue code {code})")
            );
        }
        assert_eq!(status(502).outcome, Unknown);
        assert_eq!(status(403).kind, Kind::RateLimited);
    }
}

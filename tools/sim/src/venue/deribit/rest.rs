//! Deribit's public calls for market data (API v2.1.1): one shape over HTTP and WebSocket. Errors come
//! with HTTP status 400.

use super::frames::{self, Json, Numbered};
use crate::market::Market;
use crate::num::ms;
use crate::spec::SimVenue;
use crate::venue::{HttpRequest, HttpResponse};

/// What the venue spends on a request, in µs.
const TAKES_US: i64 = 150;

/// `,"usIn":..,"usOut":..,"usDiff":..,"testnet":false}`
pub(super) fn write_tail(json: &mut Json<'_>, now: i64) {
    let us_in = now / 1_000;
    json.raw(r#","usIn":"#).int(us_in);
    json.raw(r#","usOut":"#).int(us_in + TAKES_US);
    json.raw(r#","usDiff":"#).int(TAKES_US);
    json.raw(r#","testnet":false}"#);
}

pub(super) fn result(now: i64, write: impl FnOnce(&mut Json<'_>)) -> HttpResponse {
    let mut body = Vec::new();
    let mut json = Json(&mut body);
    json.raw(r#"{"jsonrpc":"2.0","result":"#);
    write(&mut json);
    write_tail(&mut json, now);
    HttpResponse::json(200, body)
}

pub(super) fn error(
    code: i64,
    message: &str,
    data: Option<(&str, &str)>,
    now: i64,
) -> HttpResponse {
    let mut body = Vec::new();
    let mut json = Json(&mut body);
    json.raw(r#"{"jsonrpc":"2.0","#);
    write_error(&mut json, code, message, data);
    write_tail(&mut json, now);
    HttpResponse::json(400, body)
}

/// `"error":{..}`; `data` is (reason, param).
pub(super) fn write_error(
    json: &mut Json<'_>,
    code: i64,
    message: &str,
    data: Option<(&str, &str)>,
) {
    json.raw(r#""error":{"message":""#).raw(message).raw("\"");
    if let Some((reason, param)) = data {
        json.raw(r#","data":{"reason":""#).raw(reason);
        json.raw(r#"","param":""#).raw(param).raw("\"}");
    }
    json.raw(r#","code":"#).int(code).raw("}");
}

pub(super) fn bad_param(param: &str, now: i64) -> HttpResponse {
    error(
        -32_602,
        "Invalid params",
        Some(("wrong format", param)),
        now,
    )
}

/// `found`: the instrument that was asked for, the one of the index that was, and its last trade.
pub(super) fn answer(
    venue: SimVenue,
    market: &Market,
    call: &str,
    (found, indexed, last): (Option<usize>, Option<usize>, Option<Numbered>),
    request: &HttpRequest<'_>,
    now: i64,
) -> Option<HttpResponse> {
    let one = found.and_then(|index| market.instruments.get(index));
    let indexed = indexed.and_then(|index| market.instruments.get(index));
    Some(match (call, one) {
        ("get_time", _) => result(now, |json| {
            json.int(ms(now));
        }),
        ("test", _) => result(now, |json| {
            json.raw(r#"{"version":"1.2.26"}"#);
        }),
        ("get_instruments", _) => instruments(venue, market, request, now),
        ("get_index_price", _) => match indexed {
            Some(one) => result(now, |json| {
                let price = one.tape.day.close;
                json.raw(r#"{"index_price":"#).price(&one.spec, price);
                json.raw(r#","estimated_delivery_price":"#)
                    .price(&one.spec, price)
                    .raw("}");
            }),
            None => bad_param("index_name", now),
        },
        ("get_instrument", Some(one)) => {
            result(now, |json| frames::instrument(json, venue, &one.spec))
        }
        ("ticker", Some(one)) => result(now, |json| frames::ticker(json, venue, one, now)),
        ("get_order_book", Some(one)) => {
            let depth = request.param("depth").map_or(Ok(5), |depth| depth.parse());
            match depth {
                Ok(depth @ (1 | 5 | 10 | 20 | 50 | 100 | 1_000 | 10_000)) => {
                    result(now, |json| frames::order_book(json, one, depth, now))
                }
                _ => bad_param("depth", now),
            }
        }
        ("get_last_trades_by_instrument", Some(one)) => result(now, |json| {
            json.raw(r#"{"trades":"#);
            frames::trades(json, one, last.as_slice());
            json.raw(r#","has_more":true}"#);
        }),
        (
            "get_instrument"
            | "ticker"
            | "get_order_book"
            | "get_last_trades_by_instrument"
            | "get_tradingview_chart_data",
            None,
        ) => bad_param("instrument_name", now),
        _ => return None,
    })
}

fn instruments(
    venue: SimVenue,
    market: &Market,
    request: &HttpRequest<'_>,
    now: i64,
) -> HttpResponse {
    let currency = request.param("currency");
    let kind = request.param("kind");
    let Some(currency) = currency else {
        return bad_param("currency", now);
    };
    let is_kind = kind.is_none_or(|kind| kind == frames::kind(venue));
    let listed = market.instruments.iter().filter(|one| {
        is_kind && (currency == "any" || one.spec.base == currency || one.spec.quote == currency)
    });
    result(now, |json| {
        json.raw("[");
        for (index, one) in listed.enumerate() {
            json.raw(if index == 0 { "" } else { "," });
            frames::instrument(json, venue, &one.spec);
        }
        json.raw("]");
    })
}

//! Private calls over HTTP: the same calls and answers, each request signed for itself
//! (API v2.1.1, "authentication", "JSON-RPC over HTTP").

use serde_json::{Map, Value};

use super::{Call, Seat, is_order_entry, needs_connection};
use crate::fault::Ack;
use crate::venue::deribit::{Deribit, REQUEST_COST, rest};
use crate::venue::{HttpRequest, HttpResponse};

impl Deribit {
    /// `None`: there is no such call.
    pub(in super::super) fn private_http(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
    ) -> Option<HttpResponse> {
        let method = request.path.strip_prefix("/api/v2/")?;
        let call = method.strip_prefix("private/")?;
        let market = self.feed.market()?;
        let keys = &self.common.keys;
        let Some(account) = self.accounts.admits_request(request, keys, now) else {
            return Some(rest::error(13_009, "unauthorized", None, now));
        };
        let pool = if is_order_entry(method) {
            &mut self.orders
        } else {
            &mut self.requests
        };
        if !pool.take(REQUEST_COST, now) {
            return Some(rest::error(10_028, "too_many_requests", None, now));
        }
        if needs_connection(call) {
            return Some(rest::error(10_030, "must_be_websocket_request", None, now));
        }
        let (id, params) = parse(request)?;
        let (cx, seat) = (&mut self.common, &mut Seat::default());
        let params = &params;
        let answer = Call {
            cx,
            market,
            seat,
            params,
            account,
            now,
        }
        .run(call)?;
        let ack = match is_order_entry(method) && answer.is_ok() {
            true => self.common.faults.take_ack(true, now),
            false => Ack::Now,
        };
        let status = if answer.is_ok() { 200 } else { 400 };
        let text = self.answer_text(id.as_ref(), answer, now);
        let mut response = HttpResponse::json(status, text);
        response.delay(ack, now, || HttpResponse::json(503, Vec::new()));
        Some(response)
    }
}

/// Id and parameters: of a JSON-RPC body, or of the query.
fn parse(request: &HttpRequest<'_>) -> Option<(Option<Value>, Value)> {
    if request.method != "POST" {
        let pairs = request
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| {
            let text = crate::venue::percent_decode(value);
            (key.to_owned(), Value::from(text))
        });
        return Some((None, Value::Object(pairs.collect::<Map<_, _>>())));
    }
    let mut body: Value = serde_json::from_slice(request.body).ok()?;
    let id = body.get_mut("id").map(Value::take);
    let params = body.get_mut("params").map(Value::take);
    Some((id, params.unwrap_or_default()))
}

//! Polymarket's REST calls for market data (docs.polymarket.com, api-reference, 2026-11). The listing of
//! Gamma, which is another host at the venue, stands under `/gamma` here.

use serde_json::{Value, json};

use super::feed::PolymarketFeed;
use super::frames::{self, BookHead};
use crate::market::Book;
use crate::num::ms;
use crate::venue::{HttpRequest, HttpResponse};

/// Markets on one page of the listings.
const PAGE: usize = 100;

/// The cursor of the page behind the last ("-1" in base64).
const END: &str = "LTE=";

fn error(status: u16, text: &str) -> HttpResponse {
    HttpResponse::json(status, json!({ "error": text }).to_string().into_bytes())
}

pub(super) fn answer(
    feed: &PolymarketFeed,
    request: &HttpRequest<'_>,
    now: i64,
) -> Option<HttpResponse> {
    let answer = |value: &Value| Some(HttpResponse::json(200, value.to_string().into_bytes()));
    match (request.method, request.path) {
        // Whole seconds, a bare number.
        ("GET", "/time") => answer(&json!(ms(now) / 1_000)),
        ("GET", "/ok") => answer(&json!("OK")),
        ("GET", "/book") => {
            let token = request.param("token_id");
            let mut body = Vec::new();
            let found = token.is_some_and(|token| write_book(feed, &token, &mut body));
            Some(match found {
                true => HttpResponse::json(200, body),
                false => error(404, "No orderbook exists for the requested token id"),
            })
        }
        ("POST", "/books") => {
            let asked: Value = serde_json::from_slice(request.body).ok()?;
            let mut body = vec![b'['];
            for token in asked.as_array()? {
                let start = body.len();
                if start > 1 {
                    body.push(b',');
                }
                let token = token.get("token_id").and_then(Value::as_str);
                if !token.is_some_and(|token| write_book(feed, token, &mut body)) {
                    body.truncate(start);
                }
            }
            body.push(b']');
            Some(HttpResponse::json(200, body))
        }
        ("GET", "/markets") => {
            let start = match request.param("next_cursor").as_deref() {
                None | Some("" | "MA==") => 0,
                Some(END) => feed.conditions.len(),
                Some(cursor) => cursor.parse().ok()?,
            };
            let page = feed.conditions.iter().skip(start).take(PAGE);
            let data: Vec<Value> = page.map(|one| clob_market(&one.tokens)).collect();
            let next = match start + PAGE < feed.conditions.len() {
                true => (start + PAGE).to_string(),
                false => END.to_owned(),
            };
            answer(&json!({
                "limit": PAGE, "count": data.len(), "next_cursor": next, "data": data,
            }))
        }
        ("GET", "/gamma/markets") => {
            let number = |name: &str| request.param(name).and_then(|text| text.parse().ok());
            let start: usize = number("offset").unwrap_or(0);
            let page = feed.conditions.iter().enumerate().skip(start);
            let page = page.take(number("limit").unwrap_or(PAGE).min(PAGE));
            let data = page.map(|(index, one)| gamma_market(index, &one.tokens));
            answer(&Value::Array(data.collect()))
        }
        _ => None,
    }
}

fn write_book(feed: &PolymarketFeed, token: &str, body: &mut Vec<u8>) -> bool {
    let Some((index, token)) = feed.find(token) else {
        return false;
    };
    let one = &feed.market.instruments[index];
    let book: &Book = &one.book;
    let condition = &feed.conditions[index];
    let head = BookHead {
        tokens: &condition.tokens,
        token,
        ms: condition.last_ms,
    };
    frames::rest_book(body, &one.spec, &head, book);
    true
}

/// As `/markets` of the CLOB lists it.
fn clob_market(tokens: &frames::Tokens) -> Value {
    json!({
        "enable_order_book": true, "active": true, "closed": false, "archived": false,
        "accepting_orders": true, "minimum_order_size": 5,
        "minimum_tick_size": tokens.tick.parse::<f64>().unwrap_or(0.001),
        "condition_id": tokens.condition, "question_id": tokens.condition,
        "question": tokens.question, "description": "", "market_slug": slug(&tokens.question),
        "end_date_iso": "2027-01-01T00:00:00Z", "game_start_time": null, "seconds_delay": 0,
        "neg_risk": false, "neg_risk_market_id": "", "neg_risk_request_id": "",
        "tokens": [
            {"token_id": tokens.ids[0], "outcome": "Yes", "price": 0.5, "winner": false},
            {"token_id": tokens.ids[1], "outcome": "No", "price": 0.5, "winner": false},
        ],
        "tags": ["Crypto"],
    })
}

/// As Gamma lists it: lists stand inside strings.
fn gamma_market(index: usize, tokens: &frames::Tokens) -> Value {
    json!({
        "id": (500_000 + index).to_string(), "question": tokens.question,
        "conditionId": tokens.condition, "slug": slug(&tokens.question),
        "endDate": "2027-01-01T00:00:00Z", "outcomes": "[\"Yes\", \"No\"]",
        "outcomePrices": "[\"0.5\", \"0.5\"]", "active": true, "closed": false,
        "archived": false, "acceptingOrders": true, "enableOrderBook": true,
        "orderPriceMinTickSize": tokens.tick.parse::<f64>().unwrap_or(0.001), "orderMinSize": 5,
        "negRisk": false,
        "clobTokenIds": json!(tokens.ids).to_string(),
    })
}

fn slug(question: &str) -> String {
    let words = question.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

//! What requests about orders say, and how lists in pages are followed.

use serde_json::{Value, json};
use tickwire_orderbook::{Price, Qty, Scale, Side};

use super::super::trade::Words;
use super::trade_fixtures::{ByRule, KEYS, words};
use crate::instrument::{InstrumentKey, Market, Symbol, Venue, symbol};
use crate::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, Size, Stop, TimeInForce, TriggerBy,
    VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::dialect::{Call, Dialect, Job, Target, Told, Way};
use crate::trading::pages::Page;
use crate::transmit::Response;

fn name() -> Symbol {
    symbol("BTCUSDT").expect("short")
}

fn stop(market: Market, by: TriggerBy) -> Job {
    let unified = match market {
        Market::Spot => "BTC/USDT",
        _ => "BTC/USDT:USDT",
    };
    let request = OrderRequest {
        instrument: InstrumentKey {
            venue: Venue::Bybit,
            market,
            symbol: symbol(unified).expect("short"),
        },
        side: Side::Ask,
        order_type: OrderType::Market,
        size: Size::Base(Qty::new(2, Scale::of(1))),
        price: None,
        stop: Some(Stop {
            price: Price::new(49_000, Scale::of(0)),
            by,
        }),
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::from("tw1-0-1").expect("short"),
    };
    Job::Place(request, name())
}

fn target(waits: bool) -> Target {
    Target {
        symbol: name(),
        client: ClientOrderId::from("tw1-0-1").expect("short"),
        venue: VenueOrderId::from("v1").expect("short"),
        waits,
    }
}

fn written(words: &Words, job: &Job) -> Value {
    let (key, at) = (1, Nanos::from_secs(1));
    let mut body = Vec::new();
    words.write_text(&Call { key, job, at }, &mut body);
    let text: Value = serde_json::from_slice(&body).expect("JSON");
    text["args"][0].clone()
}

fn asked(words: &Words, job: &Job) -> String {
    let (key, at) = (1, Nanos::from_secs(1));
    let call = Call { key, job, at };
    words.write_request(&call, &mut Vec::new()).target
}

#[test]
fn stops_are_written_as_documented() {
    let (spot, linear) = (Market::Spot, Market::Linear);
    let base = json!({"symbol":"BTCUSDT","side":"Sell","orderType":"Market","qty":"0.2",
        "timeInForce":"IOC","orderLinkId":"tw1-0-1","triggerPrice":"49000","triggerDirection":2});
    let table = [
        (
            spot,
            stop(spot, TriggerBy::Last),
            json!({"category":"spot","marketUnit":"baseCoin","orderFilter":"StopOrder"}),
        ),
        (
            linear,
            stop(linear, TriggerBy::Last),
            json!({"category":"linear","triggerBy":"LastPrice"}),
        ),
        (
            linear,
            stop(linear, TriggerBy::Mark),
            json!({"category":"linear","triggerBy":"MarkPrice"}),
        ),
    ];
    for (market, job, more) in table {
        let mut expected = base.clone();
        for (key, value) in more.as_object().expect("an object") {
            expected[key] = value.clone();
        }
        assert_eq!(written(&words(market, KEYS), &job), expected);
    }
    let words = words(spot, KEYS);
    assert_eq!(words.way(&stop(spot, TriggerBy::Mark)), Way::None);
    // Without the word spot's orders of the book are meant.
    let cancels = [
        (
            false,
            json!({"category":"spot","symbol":"BTCUSDT","orderId":"v1"}),
        ),
        (
            true,
            json!({"category":"spot","symbol":"BTCUSDT","orderId":"v1","orderFilter":"StopOrder"}),
        ),
    ];
    for (waits, expected) in cancels {
        assert_eq!(written(&words, &Job::Cancel(target(waits))), expected);
    }
    assert!(asked(&words, &Job::Lookup(target(true))).ends_with("&orderLinkId=tw1-0-1"));
    assert!(asked(&words, &Job::Lookup(target(false))).ends_with("&orderId=v1"));
}

/// Of spot they are two requests: orders of the book, and conditional ones.
#[test]
fn all_orders_of_spot_are_cancelled_in_two_parts() {
    let all = |part| Job::CancelAll {
        symbol: name(),
        part,
    };
    let done = json!({"retCode":0,"retMsg":"OK","result":{"list":[],"success":"1"}});
    for (market, further) in [(Market::Spot, true), (Market::Linear, false)] {
        let mut words = words(market, KEYS);
        let told = read(&mut words, market, &all(0), &done);
        assert_eq!(told == Told::Further, further, "{market:?}");
        assert_eq!(all(0).further(), all(1));
        assert_eq!(read(&mut words, market, &all(1), &done), Told::Done);
    }
    let mut body = Vec::new();
    let (key, at) = (1, Nanos::from_secs(1));
    let job = all(1);
    words(Market::Spot, KEYS).write_request(&Call { key, job: &job, at }, &mut body);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["orderFilter"], "StopOrder");
}

fn read(words: &mut Words, market: Market, job: &Job, answer: &Value) -> Told {
    let mut bytes = answer.to_string().into_bytes();
    let response = Response {
        status: 200,
        headers: &[],
        body: &mut bytes,
    };
    let told = words.read_response(job, response, &ByRule(market), &mut Vec::new());
    told.expect("an answer")
}

fn order(id: &str, symbol: &str) -> Value {
    json!({"symbol":symbol,"orderId":id,"orderLinkId":"","side":"Buy","orderType":"Limit",
        "price":"1","qty":"1","cumExecQty":"0","timeInForce":"GTC","orderStatus":"New","updatedTime":"1"})
}

/// Coin by coin, each in as many pages as the venue says; a symbol is one list.
#[test]
fn lists_are_followed_to_their_end() {
    let answer = |orders: Value, cursor: &str| json!({"retCode":0,"retMsg":"OK","result":{"list":orders,"nextPageCursor":cursor,"category":"linear"}});
    let mut words = words(Market::Linear, KEYS);
    let list = "/v5/order/realtime?category=linear";
    let end = "&openOnly=0&limit=50";
    let pages = [
        ("&settleCoin=USDT", "a%3A1", order("v1", "BTCUSDT"), true),
        (
            "&settleCoin=USDT&cursor=a%3A1",
            "",
            order("v2", "BTCUSDT"),
            true,
        ),
        ("&settleCoin=USDC", "b", order("v3", "BTCUSDT"), true),
        // What has no name here is not traded here.
        ("&settleCoin=USDC&cursor=b", "", order("v4", "?"), false),
    ];
    let mut page = Page::first(7);
    for (of, cursor, order, more) in pages {
        let job = Job::OpenOrders(None, page);
        assert_eq!(asked(&words, &job), format!("{list}{of}{end}"));
        let told = read(
            &mut words,
            Market::Linear,
            &job,
            &answer(json!([order]), cursor),
        );
        let Told::Orders(orders, is_more) = told else {
            panic!("{told:?}");
        };
        assert_eq!(
            (orders.len(), is_more),
            (usize::from(order["symbol"] != "?"), more)
        );
        assert!(orders.iter().all(|order| order.status == OrderStatus::New));
        page = page.next();
    }
    let job = Job::OpenOrders(Some(name()), Page::first(8));
    assert_eq!(asked(&words, &job), format!("{list}&symbol=BTCUSDT{end}"));
    let told = read(&mut words, Market::Linear, &job, &answer(json!([]), "c"));
    assert_eq!(
        told,
        Told::Orders(Vec::new(), false),
        "an empty page is the last"
    );
    let job = Job::Positions(Page::first(9));
    assert_eq!(
        asked(&words, &job),
        "/v5/position/list?category=linear&settleCoin=USDT&limit=200"
    );
}

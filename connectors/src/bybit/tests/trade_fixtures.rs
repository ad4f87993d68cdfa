//! Requests, answers and events of the recorded packs (JKorf/Bybit.Net, nautilus): where our requests go
//! and how they are signed, and what we read, against a naive decoder.
//!
//! Left out, with the reason: calls that nothing here makes (spreads, batches, earn, leverage tokens,
//! pre-check, cancel on disconnect, borrowing, fee rates, history); everything of before v5 (`CopyTrading`,
//! `Derivatives`, `Spot`), which the venue has switched off; `execution.fast`, which is not subscribed;
//! hirokisan's bodies, which that client has written anew from its own types.

use std::fs;

use serde_json::Value;
use tickwire_orderbook::{Amount, Price, Qty, Side};

use super::super::symbols;
use super::super::trade::Words;
use super::super::urls::Urls;
use super::scanners::fixtures;
use crate::credentials::Credentials;
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue, symbol};
use crate::network::Network;
use crate::order::{
    Balance, ClientOrderId, Fill, OrderRequest, OrderType, OrderUpdate, Position, Size,
    TimeInForce, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::Transport;
use crate::trading::dialect::{Call, Dialect, Job, Names, Role, Said, Target, Told};
use crate::trading::pages::Page;
use crate::transmit::Response;

/// By the venue's naming rules alone.
pub(super) struct ByRule(pub(super) Market);

impl Names for ByRule {
    fn instrument(&self, name: &str) -> Option<Instrument> {
        symbols::default_instrument(self.0, &Symbol::from(name).ok()?).ok()
    }
}

pub(super) fn words(market: Market, (key, secret): (&str, &str)) -> Words {
    let urls = Urls::new(&Network::Mainnet, market).expect("good URLs");
    let credentials = Credentials::hmac(key, secret);
    Words::new(market, urls, credentials, Transport::WebSocket, None).expect("words")
}

pub(super) const KEYS: (&str, &str) = ("key", "secret");

/// A file of one message a line: by the last part of its path, its text.
fn pack(file: &str) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(fixtures()?.join(file)).expect("a text file");
    let entries = text.lines().filter_map(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let path = entry["path"].as_str()?.to_owned();
        let body = match (&entry["text"], &entry["body"]) {
            (Value::String(text), _) => text.clone(),
            (_, body) => body.to_string(),
        };
        Some((path, body))
    });
    Some(entries.collect())
}

fn find<'a>(pack: &'a [(String, String)], end: &str) -> &'a str {
    let found = pack.iter().find(|(path, _)| path.ends_with(end));
    &found.unwrap_or_else(|| panic!("no {end}")).1
}

fn target() -> Target {
    Target {
        symbol: symbol("ETHUSDT").expect("short"),
        client: ClientOrderId::from("linear-004").expect("short"),
        venue: VenueOrderId::from("c6f055d9-7f21-4079-913d-e6523a9cfffa").expect("short"),
        waits: false,
    }
}

fn ask(words: &mut Words, job: &Job, market: Market, body: &str) -> Result<Told, crate::Error> {
    let mut bytes = body.as_bytes().to_vec();
    let response = Response {
        status: 200,
        headers: &[],
        body: &mut bytes,
    };
    words.read_response(job, response, &ByRule(market), &mut Vec::new())
}

fn amount(value: &Value) -> Amount {
    value
        .as_str()
        .unwrap_or_default()
        .parse()
        .unwrap_or_default()
}

fn price(value: &Value) -> Option<Price> {
    let price = Price::parse(value.as_str()?.as_bytes()).ok()?;
    Some(price).filter(|price| !price.is_zero())
}

fn side(value: &Value) -> Side {
    match value.as_str() {
        Some("Buy") => Side::Bid,
        _ => Side::Ask,
    }
}

fn same_order(order: &OrderUpdate, raw: &Value) {
    let text = |key: &str| raw[key].as_str().unwrap_or_default();
    assert_eq!(order.venue_order_id.as_str(), text("orderId"), "{raw}");
    assert_eq!(order.client_order_id.as_str(), text("orderLinkId"), "{raw}");
    assert_eq!(order.side, side(&raw["side"]), "{raw}");
    assert_eq!(order.price, price(&raw["price"]), "{raw}");
    assert_eq!(order.price_mean, price(&raw["avgPrice"]), "{raw}");
    assert_eq!(
        order.qty.map(Amount::from),
        Some(amount(&raw["qty"])),
        "{raw}"
    );
    assert_eq!(
        Amount::from(order.filled),
        amount(&raw["cumExecQty"]),
        "{raw}"
    );
    let status = match text("orderStatus") {
        "Untriggered" | "Triggered" => "untriggered",
        "New" => "new",
        "PartiallyFilled" => "partially_filled",
        "Filled" => "filled",
        "Rejected" => "rejected",
        _ => "canceled",
    };
    assert_eq!(order.status.as_str(), status, "{raw}");
    let stop = order.stop.map(|stop| stop.price);
    assert_eq!(stop, price(&raw["triggerPrice"]), "{raw}");
    assert_eq!(
        order.exch_ns.as_millis().to_string(),
        text("updatedTime"),
        "{raw}"
    );
}

fn same_fill(fill: &Fill, raw: &Value) {
    let text = |key: &str| raw[key].as_str().unwrap_or_default();
    assert_eq!(fill.trade_id.as_str(), text("execId"), "{raw}");
    assert_eq!(fill.venue_order_id.as_str(), text("orderId"), "{raw}");
    assert_eq!(fill.client_order_id.as_str(), text("orderLinkId"), "{raw}");
    assert_eq!(Amount::from(fill.price), amount(&raw["execPrice"]), "{raw}");
    assert_eq!(Amount::from(fill.qty), amount(&raw["execQty"]), "{raw}");
    assert_eq!(fill.fee, Some(amount(&raw["execFee"])), "{raw}");
    assert_eq!(fill.side, side(&raw["side"]), "{raw}");
    assert_eq!(
        fill.exch_ns.as_millis().to_string(),
        text("execTime"),
        "{raw}"
    );
}

fn same_position(position: &Position, raw: &Value) {
    let size = amount(&raw["size"]);
    let qty = match side(&raw["side"]) {
        Side::Ask => Amount::ZERO.checked_sub(size).expect("small"),
        Side::Bid => size,
    };
    assert_eq!(position.qty, qty, "{raw}");
    let mean = price(&raw["entryPrice"]).or_else(|| price(&raw["avgPrice"]));
    assert_eq!(position.price_mean, mean, "{raw}");
    let profit = raw["unrealisedPnl"]
        .as_str()
        .and_then(|text| text.parse().ok());
    assert_eq!(position.unrealized, profit, "{raw}");
}

fn same_balances(balances: &[Balance], wallets: &Value, with_zero: bool) {
    let coins = wallets.as_array().expect("a list").iter();
    let coins = coins
        .filter_map(|wallet| wallet["coin"].as_array())
        .flatten();
    let coins: Vec<&Value> = coins
        .filter(|coin| with_zero || !amount(&coin["walletBalance"]).is_zero())
        .collect();
    assert_eq!(balances.len(), coins.len(), "{wallets}");
    for (balance, coin) in balances.iter().zip(coins) {
        let (total, locked) = (amount(&coin["walletBalance"]), amount(&coin["locked"]));
        assert_eq!(Some(balance.currency.as_str()), coin["coin"].as_str());
        assert_eq!(balance.total, total, "{coin}");
        assert_eq!(Some(balance.available), total.checked_sub(locked), "{coin}");
    }
}

#[test]
fn requests_go_where_the_packs_do_and_its_answers_are_read() {
    let Some(pack) = pack("jkorf_bybitnet_fixtures.jsonl") else {
        return;
    };
    let name = symbol("ETHUSDT").expect("short");
    let amend = Job::Amend {
        target: target(),
        side: Side::Bid,
        order_type: OrderType::Limit,
        price: Some(Price::parse(b"1050").expect("a price")),
        qty: Some(Qty::parse(b"0.15").expect("a quantity")),
        standing: (None, None),
    };
    let fills = Job::Fills {
        symbol: name,
        since: Nanos(0),
        page: 0,
    };
    let table = [
        ("Trading/CancelOrder.txt", Job::Cancel(target())),
        ("Trading/EditOrder.txt", amend),
        (
            "Trading/GetOrders.txt",
            Job::OpenOrders(Some(name), Page::default()),
        ),
        ("Trading/GetOrders.txt", Job::Lookup(target())),
        ("Trading/GetUserTrades.txt", fills),
        ("Trading/GetPositions.txt", Job::Positions(Page::default())),
    ];
    for (end, job) in table {
        let text = find(&pack, &format!("V5Api/{end}"));
        let mut parts = text.splitn(4, '\n');
        let (method, path) = (
            parts.next().expect("a method"),
            parts.next().expect("a path"),
        );
        let body = parts.nth(1).expect("an answer");
        let mut words = words(Market::Linear, KEYS);
        let call = Call {
            key: 1,
            job: &job,
            at: Nanos(0),
        };
        let request = words.write_request(&call, &mut Vec::new());
        let ours = request.target.split('?').next().unwrap_or_default();
        assert_eq!((request.method.as_str(), ours), (method, path), "{end}");

        let raw: Value = serde_json::from_str(body).expect("JSON");
        let list = &raw["result"]["list"];
        match ask(&mut words, &job, Market::Linear, body).expect(end) {
            Told::Done => assert_eq!(raw["retCode"], 0),
            Told::Order(order) => same_order(&order, &list[0]),
            Told::Orders(orders, _) => {
                assert_eq!(orders.len(), 1);
                same_order(&orders[0], &list[0]);
            }
            Told::Fills(fills, more) => {
                assert_eq!((fills.len(), more), (1, true), "there is a cursor");
                same_fill(&fills[0], &list[0]);
            }
            Told::Positions(positions, _) => {
                assert_eq!(positions.len(), 1);
                same_position(&positions[0], &list[0]);
            }
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn answers_of_an_account_are_read_as_a_naive_decoder_does() {
    let Some(pack) = pack("nautilus_test_data.jsonl") else {
        return;
    };
    let fills = Job::Fills {
        symbol: symbol("BTCUSDT").expect("short"),
        since: Nanos(0),
        page: 0,
    };
    let table = [
        (
            "http_get_orders_realtime.json",
            Job::OpenOrders(None, Page::default()),
        ),
        (
            "http_get_orders_realtime_tp_sl.json",
            Job::OpenOrders(None, Page::default()),
        ),
        ("http_get_executions.json", fills),
        ("http_get_positions.json", Job::Positions(Page::default())),
        (
            "http_get_positions_with_open_time.json",
            Job::Positions(Page::default()),
        ),
        ("http_get_wallet_balance.json", Job::Balances),
        ("http_get_wallet_balance_spot_short.json", Job::Balances),
    ];
    for (name, job) in table {
        let body = find(&pack, name);
        let raw: Value = serde_json::from_str(body).expect("JSON");
        let list = &raw["result"]["list"];
        let all = list.as_array().expect("a list");
        let mut words = words(Market::Linear, KEYS);
        match ask(&mut words, &job, Market::Linear, body).expect(name) {
            Told::Orders(orders, _) => {
                assert_eq!(orders.len(), all.len(), "{name}");
                let pairs = orders.iter().zip(all);
                pairs.for_each(|(order, raw)| same_order(order, raw));
            }
            Told::Fills(fills, _) => {
                assert_eq!(fills.len(), all.len(), "{name}");
                fills
                    .iter()
                    .zip(all)
                    .for_each(|(fill, raw)| same_fill(fill, raw));
            }
            Told::Positions(positions, _) => {
                let held = all
                    .iter()
                    .filter(|raw| raw["positionIdx"] == 0 && !amount(&raw["size"]).is_zero());
                let held: Vec<&Value> = held.collect();
                assert_eq!(positions.len(), held.len(), "{name}");
                let pairs = positions.iter().zip(held);
                pairs.for_each(|(position, raw)| same_position(position, raw));
            }
            Told::Balances(balances) => same_balances(&balances, list, false),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn events_of_an_account_are_read_as_a_naive_decoder_does() {
    let Some(pack) = pack("nautilus_test_data.jsonl") else {
        return;
    };
    let mut seen = 0;
    for (path, text) in &pack {
        let name = path.rsplit('/').next().unwrap_or_default();
        if !name.starts_with("ws_account_") || name.contains("fast") {
            continue;
        }
        let raw: Value = serde_json::from_str(text).expect("JSON");
        let Some(topic) = raw["topic"].as_str() else {
            // A position without its envelope: the pack's own type.
            assert_eq!(name, "ws_account_position_with_open_time.json");
            continue;
        };
        let data = raw["data"].as_array().expect("data");
        let market = match data[0]["category"].as_str() {
            Some("spot") => Market::Spot,
            _ => Market::Linear,
        };
        let mut said = Vec::new();
        let mut bytes = text.as_bytes().to_vec();
        words(market, KEYS).read_text(Role::Private, &mut bytes, &ByRule(market), &mut said);
        let mut balances = Vec::new();
        let mut entries = data.iter();
        for one in said {
            seen += 1;
            match one {
                Said::Balance(balance) => balances.push(balance),
                Said::Order(order) => same_order(&order, entries.next().expect(name)),
                Said::Fill(fill) => same_fill(&fill, entries.next().expect(name)),
                Said::Position(position) => {
                    same_position(&position, entries.next().expect(name));
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        if topic == "wallet" {
            same_balances(&balances, &raw["data"], true);
        } else {
            assert!(entries.next().is_none(), "{name}: something was not read");
        }
    }
    assert_eq!(seen, 19);
}

#[test]
fn answers_of_the_links_are_read() {
    let Some(pack) = pack("nautilus_test_data.jsonl") else {
        return;
    };
    let read = |name: &str| {
        let mut said = Vec::new();
        let mut bytes = find(&pack, name).as_bytes().to_vec();
        let names = ByRule(Market::Linear);
        words(Market::Linear, KEYS).read_text(Role::Trade, &mut bytes, &names, &mut said);
        said
    };
    let login = read("ws_auth_success.json");
    assert!(
        matches!(
            &login[..],
            [Said::Answer {
                result: Ok(Told::Done),
                ..
            }]
        ),
        "{login:?}"
    );
    let refused = read("ws_auth_failure.json");
    let [
        Said::Answer {
            result: Err(error), ..
        },
    ] = &refused[..]
    else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (error.code, error.text.as_str()),
        (Some(10_003), "Invalid apikey")
    );
    let placed = read("ws_order_response.json");
    let raw: Value = serde_json::from_str(find(&pack, "ws_order_response.json")).expect("JSON");
    let accepted = placed.iter().find_map(|said| match said {
        Said::Answer {
            result: Ok(Told::Accepted { venue }),
            ..
        } => Some(venue.as_str()),
        _ => None,
    });
    assert_eq!(accepted, raw["data"]["orderId"].as_str());
}

/// What a client of another make has sent, but for the id of ours, which it has none of.
#[test]
fn an_order_is_written_as_the_packs_is() {
    let Some(pack) = pack("jkorf_bybitnet_fixtures.jsonl") else {
        return;
    };
    let script = find(&pack, "Socket/V5Api/Private/PlaceOrder.txt");
    let theirs = script.lines().find(|line| line.contains("order.create"));
    let theirs: Value =
        serde_json::from_str(theirs.expect("an order").trim_start_matches("> ")).expect("JSON");
    let request = OrderRequest {
        instrument: InstrumentKey {
            venue: Venue::Bybit,
            market: Market::Linear,
            symbol: symbol("ETH/USDT:USDT").expect("short"),
        },
        side: Side::Bid,
        order_type: OrderType::LimitMaker,
        size: Size::Base(Qty::parse(b"0.2").expect("a quantity")),
        price: Price::parse(b"2800").ok(),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::from("ours").expect("short"),
    };
    let job = Job::Place(request, symbol("ETHUSDT").expect("short"));
    let mut text = Vec::new();
    let call = Call {
        key: 2,
        job: &job,
        at: Nanos::from_millis(1_711_001_595_207),
    };
    words(Market::Linear, KEYS).write_text(&call, &mut text);
    let mut ours: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(
        ours["header"]["X-BAPI-TIMESTAMP"],
        theirs["header"]["X-BAPI-TIMESTAMP"]
    );
    assert_eq!(ours["op"], theirs["op"]);
    let id = ours["args"][0]
        .as_object_mut()
        .and_then(|order| order.remove("orderLinkId"));
    assert_eq!(id, Some(Value::from("ours")));
    assert_eq!(ours["args"], theirs["args"]);
}

#[test]
fn signatures_are_those_of_the_vectors() {
    let Some(folder) = fixtures() else { return };
    let text = fs::read_to_string(folder.join("signing_vectors.json")).expect("a text file");
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let mut checked = 0;
    for vector in vectors.as_array().expect("a list") {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        let signer = crate::sign::Signer::hmac(text("secret").as_bytes());
        if text("scheme").contains("ws_auth") {
            let expires = vector["expires"].as_i64().expect("a time");
            // A log-in is written for the ten seconds that it is good for.
            let call = Call {
                key: 1,
                job: &Job::Login(Role::Private),
                at: Nanos::from_millis(expires - 10_000),
            };
            let mut login = Vec::new();
            words(Market::Linear, ("test_api_key", text("secret"))).write_text(&call, &mut login);
            let login: Value = serde_json::from_slice(&login).expect("JSON");
            assert_eq!(login["args"][1], vector["expires"]);
            assert_eq!(login["args"][2], vector["signature"]);
        } else {
            let parts =
                ["timestamp", "api_key", "recv_window", "payload"].map(|key| text(key).as_bytes());
            assert_eq!(signer.sign(&parts).as_str(), text("signature"));
        }
        checked += 1;
    }
    assert_eq!(checked, 2);
}

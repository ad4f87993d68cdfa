//! The requests and answers of the recorded pack (JKorf/Binance.Net): where our requests go, and what we
//! read of the answers, against a naive decoder.
//!
//! Of the pack's calls on orders and accounts these are left out, since nothing here makes them: margin,
//! order lists, algo orders, cancelReplace, commission, order history downloads, COIN-M, and the end of a
//! listen key.

use serde_json::Value;
use tickwire_orderbook::{Amount, Price, Qty, Side};

use super::fixtures::fixture;
use crate::binance::BinanceConfig;
use crate::binance::symbols;
use crate::binance::trade::Words;
use crate::binance::urls::{MarketRules, Urls};
use crate::credentials::Credentials;
use crate::instrument::{Instrument, Market, symbol};
use crate::order::{ClientOrderId, OrderUpdate, VenueOrderId};
use crate::time::Nanos;
use crate::trading::Transport;
use crate::trading::dialect::{Call, Dialect, Job, Names, Target, Told};
use crate::transmit::Response;

/// By the venue's naming rules alone.
struct ByRule(Market);

impl Names for ByRule {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        symbols::by_rule(self.0, symbol)
    }
}

fn words(market: Market) -> Words {
    let config = match market {
        Market::Spot => BinanceConfig::spot(),
        _ => BinanceConfig::linear(),
    };
    let rules = MarketRules::of(market).expect("a market");
    let urls = Urls::new(&config, &rules).expect("good URLs");
    let credentials = Credentials::hmac("key", "secret");
    Words::new(market, urls, credentials, Transport::Rest).expect("words")
}

/// The answers of the pack by name: method, path, body.
fn pack() -> Option<Vec<(String, String, String, String)>> {
    let text = fixture("jkorf_binancenet_fixtures.jsonl.zst")?;
    let lines = text.lines().filter_map(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let name = entry["path"]
            .as_str()?
            .split_once("Endpoints/")?
            .1
            .to_owned();
        let mut parts = entry["text"].as_str()?.splitn(4, '\n');
        let (method, path) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let body = parts.nth(1)?.to_owned();
        Some((name, method, path, body))
    });
    Some(lines.collect())
}

fn same(order: &OrderUpdate, raw: &Value) {
    let text = |key: &str| raw[key].as_str().unwrap_or_default();
    assert_eq!(
        order.venue_order_id.as_str(),
        raw["orderId"].to_string(),
        "{raw}"
    );
    let client = raw
        .get("origClientOrderId")
        .unwrap_or(&raw["clientOrderId"]);
    assert_eq!(
        Some(order.client_order_id.as_str()),
        client.as_str(),
        "{raw}"
    );
    let side = if text("side") == "BUY" {
        Side::Bid
    } else {
        Side::Ask
    };
    assert_eq!(order.side, side, "{raw}");
    let filled = Qty::parse(text("executedQty").as_bytes()).expect("a quantity");
    assert_eq!(order.filled, filled, "{raw}");
    let price = Price::parse(text("price").as_bytes()).expect("a price");
    assert_eq!(
        order.price,
        Some(price).filter(|price| !price.is_zero()),
        "{raw}"
    );
    let status = text("status").to_lowercase();
    assert_eq!(order.status.as_str(), status, "{raw}");
}

#[test]
fn our_requests_go_where_the_packs_do_and_its_answers_are_read() {
    let Some(pack) = pack() else { return };
    let name = symbol("LTCBTC").expect("short");
    let target = Target {
        symbol: name,
        client: ClientOrderId::from("myOrder1").expect("short"),
        venue: VenueOrderId::new(),
        waits: false,
    };
    let fills = Job::Fills {
        symbol: name,
        since: Nanos(0),
        page: 0,
    };
    let (spot, linear) = (Market::Spot, Market::Linear);
    let table = [
        ("Spot/Trading/CancelOrder.txt", spot, Job::Cancel(target)),
        ("Spot/Trading/GetOrder.txt", spot, Job::Lookup(target)),
        (
            "Spot/Trading/GetOpenOrders.txt",
            spot,
            Job::OpenOrders(None),
        ),
        ("Spot/Account/GetAccountInfo.txt", spot, Job::Balances),
        ("Spot/ExchangeData/GetServerTime.txt", spot, Job::ServerTime),
        (
            "UsdFutures/Trading/GetOrder.txt",
            linear,
            Job::Lookup(target),
        ),
        (
            "UsdFutures/Trading/GetOpenOrders.txt",
            linear,
            Job::OpenOrders(None),
        ),
        ("UsdFutures/Trading/GetUserTrades.txt", linear, fills),
        (
            "UsdFutures/Trading/GetPositions.txt",
            linear,
            Job::Positions,
        ),
        ("UsdFutures/Account/GetBalances.txt", linear, Job::Balances),
        (
            "UsdFutures/Account/StartUserStream.txt",
            linear,
            Job::ListenKey,
        ),
    ];
    for (name, market, job) in table {
        let found = pack.iter().find(|entry| entry.0 == name);
        let (_, method, path, body) = found.unwrap_or_else(|| panic!("no {name}"));
        let mut words = words(market);
        let call = Call {
            key: 1,
            job: &job,
            at: Nanos(0),
        };
        let request = words.write_request(&call, &mut Vec::new());
        let target = request.target.split('?').next().unwrap_or_default();
        assert_eq!(
            (request.method.as_str(), target),
            (method.as_str(), path.as_str()),
            "{name}"
        );

        let raw: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut bytes = body.as_bytes().to_vec();
        let response = Response {
            status: 200,
            headers: &[],
            body: &mut bytes,
        };
        let told = words.read_response(&job, response, &ByRule(market), &mut Vec::new());
        let told = told.unwrap_or_else(|error| panic!("{name}: {error}"));
        let amount = |value: &Value| -> Amount {
            value
                .as_str()
                .unwrap_or_default()
                .parse()
                .expect("an amount")
        };
        match told {
            Told::Order(order) => same(&order, &raw),
            Told::Orders(orders) => {
                let list = raw.as_array().expect("a list");
                assert_eq!(orders.len(), list.len(), "{name}");
                orders
                    .iter()
                    .zip(list)
                    .for_each(|(order, raw)| same(order, raw));
            }
            Told::Balances(balances) => {
                let list = raw["balances"]
                    .as_array()
                    .or(raw.as_array())
                    .expect("a list");
                assert_eq!(balances.len(), list.len(), "{name}");
                for (balance, raw) in balances.iter().zip(list) {
                    assert_eq!(Some(balance.currency.as_str()), raw["asset"].as_str());
                    let total = match raw.get("free") {
                        Some(free) => amount(free).checked_add(amount(&raw["locked"])),
                        None => Some(amount(&raw["balance"])),
                    };
                    assert_eq!(Some(balance.total), total, "{raw}");
                }
            }
            Told::Positions(positions) => {
                let list = raw.as_array().expect("a list");
                let held = list.iter().filter(|one| {
                    one["positionSide"] == "BOTH" && !amount(&one["positionAmt"]).is_zero()
                });
                let held: Vec<_> = held.map(|one| amount(&one["positionAmt"])).collect();
                let told: Vec<_> = positions.iter().map(|one| one.qty).collect();
                assert_eq!(told, held, "{name}");
            }
            Told::Fills(fills, more) => {
                let raw = &raw[0];
                assert_eq!((fills.len(), more), (1, false), "{name}");
                let fill = &fills[0];
                assert_eq!(fill.trade_id.as_str(), raw["id"].to_string());
                assert_eq!(fill.venue_order_id.as_str(), raw["orderId"].to_string());
                assert_eq!(fill.fee, Some(amount(&raw["commission"])));
                assert_eq!(
                    Some(fill.fee_currency.as_str()),
                    raw["commissionAsset"].as_str()
                );
                assert_eq!(Amount::from(fill.qty), amount(&raw["qty"]));
            }
            Told::Time(at) => assert_eq!(Some(at.as_millis()), raw["serverTime"].as_i64()),
            Told::ListenKey(key) => assert_eq!(Some(key.as_str()), raw["listenKey"].as_str()),
            other => panic!("{name}: {other:?}"),
        }
    }
}

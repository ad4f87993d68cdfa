//! The requests and answers of the recorded pack (JKorf/Binance.Net): where our requests go, and what we
//! read of the answers, against a naive decoder.
//!
//! Of the pack's calls on orders and accounts these are left out, since nothing here makes them: margin,
//! order lists, TWAP and volume orders, cancelReplace, commission, order history downloads, COIN-M, and the end of a
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
use crate::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, OrderUpdate, Stop, TriggerBy, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::Transport;
use crate::trading::dialect::{Call, Dialect, Job, Names, Role, Said, Target, Told};
use crate::trading::pages::Page;
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
            Job::OpenOrders(None, Page::default()),
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
            Job::OpenOrders(None, Page::default()),
        ),
        ("UsdFutures/Trading/GetUserTrades.txt", linear, fills),
        (
            "UsdFutures/Trading/GetPositions.txt",
            linear,
            Job::Positions(Page::default()),
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
            Told::Orders(orders, _) => {
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
            Told::Positions(positions, _) => {
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

/// Conditional orders of USD-M: where they go, and what the recorded answers and events say.
#[test]
fn conditional_orders_of_futures_are_the_algo_services() {
    let Some(pack) = pack() else { return };
    let name = symbol("BTCUSDT").expect("short");
    let target = |waits, venue: &str| Target {
        symbol: name,
        client: ClientOrderId::from("ours").expect("short"),
        venue: VenueOrderId::from(venue).expect("short"),
        waits,
    };
    let request = OrderRequest {
        order_type: OrderType::Market,
        price: None,
        stop: Some(Stop {
            price: Price::parse(b"69080.20").expect("a price"),
            by: TriggerBy::Mark,
        }),
        ..super::trade::limit("ours", "1", "0.002")
    };
    let place = Job::Place(request, name);
    let cancel = Job::Cancel(target(true, "7"));
    let lookup = Job::Lookup(target(true, ""));
    let open = Job::OpenOrders(None, Page::default().next());
    let cancel_all = Job::CancelAll {
        symbol: name,
        part: 1,
    };
    let table = [
        (
            "PlaceConditionalOrder.txt",
            place,
            "type=STOP_MARKET&quantity=0.002&triggerPrice=69080.2&workingType=MARK_PRICE&clientAlgoId=ours",
        ),
        ("GetConditionalOrder.txt", lookup, "clientAlgoId=ours"),
        ("GetOpenConditionalOrders.txt", open, ""),
        (
            "CancelAllConditionalOrders.txt",
            cancel_all,
            "symbol=BTCUSDT",
        ),
    ];
    let (key, at) = (1, Nanos::from_secs(1));
    for (file, job, params) in table {
        let found = pack
            .iter()
            .find(|entry| entry.0 == format!("UsdFutures/Trading/{file}"));
        let (_, method, path, body) = found.unwrap_or_else(|| panic!("no {file}"));
        let mut words = words(Market::Linear);
        let request = words.write_request(&Call { key, job: &job, at }, &mut Vec::new());
        let ours = request.target.split_once('?').expect("a query");
        assert_eq!(
            (request.method.as_str(), ours.0),
            (method.as_str(), path.as_str()),
            "{file}"
        );
        assert!(ours.1.contains(params), "{file}: {}", ours.1);
        let told = answer(&mut words, &job, body);
        match (job, told) {
            (Job::Place(..), Ok(Told::Order(order))) => {
                assert_eq!(order.venue_order_id.as_str(), "2146760");
                assert_eq!(order.status, OrderStatus::Untriggered);
            }
            // It has become an order, which is asked for next.
            (Job::Lookup(target), Ok(Told::Further)) => {
                let request = words.write_request(&Call { key, job: &job, at }, &mut Vec::new());
                let ours = request.target.split_once('?').expect("a query");
                assert_eq!(ours.0, "/fapi/v1/order");
                assert!(ours.1.contains("orderId=974828356187"), "{}", ours.1);
                let filled = r#"{"symbol":"BTCUSDT","orderId":974828356187,"clientOrderId":"another","price":"0","origQty":"0.002","executedQty":"0.002","status":"FILLED","timeInForce":"GTC","type":"MARKET","side":"BUY","updateTime":1}"#;
                let Ok(Told::Order(order)) = answer(&mut words, &job, filled) else {
                    panic!("an order");
                };
                assert_eq!(order.client_order_id, target.client, "found by the stop");
                assert_eq!(
                    (order.status, order.venue_order_id.as_str()),
                    (OrderStatus::Filled, "974828356187")
                );
            }
            (Job::OpenOrders(..), Ok(Told::Orders(orders, false))) => {
                assert_eq!(orders.len(), 1);
                let stop = orders[0].stop.map(|stop| stop.price.to_f64());
                assert_eq!(
                    (orders[0].venue_order_id.as_str(), stop),
                    ("2148627", Some(750.0))
                );
            }
            (Job::CancelAll { .. }, Ok(Told::Done)) => {}
            (job, told) => panic!("{job:?}: {told:?}"),
        }
    }
    // By the venue's id where it is known; and what does not wait is the book's.
    let words = words(Market::Linear);
    for (job, path, id) in [
        (cancel, "/fapi/v1/algoOrder?", "algoId=7&"),
        (
            Job::Cancel(target(false, "7")),
            "/fapi/v1/order?",
            "orderId=7&",
        ),
    ] {
        let request = words.write_request(&Call { key, job: &job, at }, &mut Vec::new());
        assert!(
            request.target.contains(path) && request.target.contains(id),
            "{}",
            request.target
        );
    }
}

fn answer(words: &mut Words, job: &Job, body: &str) -> Result<Told, crate::Error> {
    let mut bytes = body.as_bytes().to_vec();
    let response = Response {
        status: 200,
        headers: &[],
        body: &mut bytes,
    };
    words.read_response(job, response, &ByRule(Market::Linear), &mut Vec::new())
}

#[test]
fn events_of_the_algo_service_tell_where_a_stop_stands() {
    let event = |status: &str, actual: &str| {
        format!(
            r#"{{"e":"ALGO_UPDATE","T":1750515742297,"E":1750515742303,"o":{{"caid":"ours","aid":2148719,"at":"CONDITIONAL","o":"STOP","s":"BNBUSDT","S":"SELL","ps":"BOTH","f":"GTC","q":"0.01","X":"{status}","ai":"{actual}","ap":"0.00000","aq":"0.00000","act":"0","tp":"750","p":"749","wt":"CONTRACT_PRICE","R":false}}}}"#
        )
    };
    let table = [
        ("NEW", "", Some((OrderStatus::Untriggered, "2148719"))),
        (
            "TRIGGERING",
            "",
            Some((OrderStatus::Untriggered, "2148719")),
        ),
        ("TRIGGERED", "77", Some((OrderStatus::New, "77"))),
        // The order itself tells how it ends.
        ("FINISHED", "77", None),
        ("CANCELED", "", Some((OrderStatus::Canceled, "2148719"))),
        ("REJECTED", "", Some((OrderStatus::Rejected, "2148719"))),
        ("EXPIRED", "", Some((OrderStatus::Expired, "2148719"))),
    ];
    for (status, actual, expected) in table {
        let mut said = Vec::new();
        let mut payload = event(status, actual).into_bytes();
        words(Market::Linear).read_text(
            Role::Private,
            &mut payload,
            &ByRule(Market::Linear),
            &mut said,
        );
        let told = said.iter().find_map(|said| match said {
            Said::Order(order) => Some((order.status, order.venue_order_id.as_str())),
            _ => None,
        });
        assert_eq!(told, expected, "{status}");
    }
}

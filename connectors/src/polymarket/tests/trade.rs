//! Requests as they are written, and what the account's desk does with what the venue says.

use std::sync::Arc;

use tickwire_orderbook::{Amount, Price, Qty};

use super::*;
use crate::channel::ALL_SYMBOLS;
use crate::credentials::Credentials;
use crate::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, OrderUpdate, Settlement, Size,
    TimeInForce, VenueOrderId,
};
use crate::sign::Signer;
use crate::trading::dialect::{Call, Dialect, Job, Target, Told};
use crate::trading::pages::Page;
use crate::trading::{Query, Reply, Trading};
use crate::transmit::{HttpRequest, Method};

const KEY: &str = "9180014b";
/// The one of the venue's own vectors.
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const ADDRESS: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn keys() -> Credentials {
    Credentials::hmac(KEY, SECRET)
        .with_passphrase("phrase")
        .with_address(ADDRESS)
}

#[derive(Debug)]
struct OneHash;

impl Wallet for OneHash {
    fn sign(&self, order: &UnsignedOrder) -> SignedOrder {
        let UnsignedOrder {
            maker_amount,
            taker_amount,
            ..
        } = order;
        SignedOrder {
            json: format!(r#"{{"makerAmount":"{maker_amount}","takerAmount":"{taker_amount}"}}"#),
            id: VenueOrderId::from(HASH).expect("66 characters"),
        }
    }
}

fn words(credentials: Credentials) -> Result<Words, Error> {
    let urls = Urls::new(&PolymarketConfig::new())?;
    Words::new(urls, credentials, Some(Arc::new(OneHash)), true)
}

fn request() -> OrderRequest {
    OrderRequest {
        instrument: symbols::instrument(symbol(YES).expect("a token")).key,
        side: Side::Bid,
        order_type: OrderType::LimitMaker,
        size: Size::Base(Qty::parse(b"10").expect("a quantity")),
        price: Some(Price::parse(b"0.57").expect("a price")),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::from("tw-1").expect("short"),
    }
}

fn target(client: &str, venue: &str) -> Target {
    Target {
        symbol: symbol(YES).expect("a token"),
        client: ClientOrderId::from(client).expect("short"),
        venue: VenueOrderId::from(venue).expect("short"),
        waits: false,
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    let mut headers = request.headers.iter();
    let found = headers.find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn requests_are_written_as_the_pages_say_and_signed_without_their_query() {
    let mut words = words(keys()).expect("good keys");
    let token = symbol(YES).expect("a token");
    let place = Job::Place(request(), token);
    let known = target("tw-1", "");
    let fills = |page| Job::Fills {
        symbol: token,
        since: Nanos::from_secs(1_000),
        page,
    };
    let placed = format!(
        r#"{{"order":{{"makerAmount":"5700000","takerAmount":"10000000"}},"owner":"{KEY}","orderType":"GTC","deferExec":false,"postOnly":true}}"#
    );
    let named = format!(r#"{{"orderID":"{HASH}"}}"#);
    let all = format!(r#"{{"market":"","asset_id":"{YES}"}}"#);
    let lookup = format!("/order/{HASH}");
    let trades = format!("/data/trades?asset_id={YES}&after=999");
    let open = format!("/data/orders?asset_id={YES}");
    let table: [(Job, Method, &str, &str); 10] = [
        (place, Method::Post, "/order", &placed),
        // By our id, as the wallet has told what the venue's is.
        (Job::Cancel(known), Method::Delete, "/order", &named),
        (Job::Lookup(known), Method::Get, &lookup, ""),
        (
            Job::Lookup(target("", "0x2")),
            Method::Get,
            "/order/0x2",
            "",
        ),
        (
            Job::CancelAll {
                symbol: token,
                part: 0,
            },
            Method::Delete,
            "/cancel-market-orders",
            &all,
        ),
        (
            Job::OpenOrders(None, Page::default()),
            Method::Get,
            "/data/orders",
            "",
        ),
        (
            Job::OpenOrders(Some(token), Page::default()),
            Method::Get,
            &open,
            "",
        ),
        (fills(0), Method::Get, &trades, ""),
        (
            Job::Balances,
            Method::Get,
            "/balance-allowance?asset_type=COLLATERAL",
            "",
        ),
        (
            Job::DeadMan,
            Method::Post,
            "/v1/heartbeats",
            r#"{"heartbeat_id":null}"#,
        ),
    ];
    for (job, method, at, said) in table {
        let call = Call {
            key: 1,
            job: &job,
            at: Nanos::from_millis(1_000_000_999),
        };
        words.prepare(&call);
        assert_eq!(
            words.way(&job),
            crate::trading::dialect::Way::Http,
            "{job:?}"
        );
        let mut body = Vec::new();
        let request = words.write_request(&call, &mut body);
        let shown = (request.method, request.target.as_str());
        assert_eq!(shown, (method, at), "{job:?}");
        assert_eq!(String::from_utf8_lossy(&body), said, "{job:?}");
        assert_eq!(
            header(&request, "POLY_TIMESTAMP"),
            "1000000",
            "whole seconds"
        );
        assert_eq!(header(&request, "POLY_API_KEY"), KEY);
        assert_eq!(header(&request, "POLY_PASSPHRASE"), "phrase");
        assert_eq!(header(&request, "POLY_ADDRESS"), ADDRESS);
        let path = at.split('?').next().expect("a path");
        let text = format!("1000000{}{path}{said}", method.as_str());
        let signer = Signer::hmac_base64(SECRET).expect("base64");
        let signature = signer.sign_base64url(&[text.as_bytes()]);
        assert_eq!(
            header(&request, "POLY_SIGNATURE"),
            signature.as_str(),
            "{job:?}"
        );
    }
    for job in [Job::ServerTime, Job::Instruments(Some(token))] {
        let call = Call {
            key: 1,
            job: &job,
            at: Nanos::ZERO,
        };
        let request = words.write_request(&call, &mut Vec::new());
        assert!(request.headers.is_empty(), "{job:?} is open to all");
    }
}

#[test]
fn keys_that_can_not_sign_are_refused_before_anything_is_opened() {
    for (credentials, hint) in [
        (
            Credentials::hmac(KEY, SECRET).with_address(ADDRESS),
            "with_passphrase",
        ),
        (
            Credentials::hmac(KEY, SECRET).with_passphrase("x"),
            "with_address",
        ),
        (
            Credentials::hmac(KEY, "not base64!")
                .with_passphrase("x")
                .with_address(ADDRESS),
            "base64",
        ),
    ] {
        let error = words(credentials).err().map(|error| error.text);
        assert!(
            error.as_deref().is_some_and(|text| text.contains(hint)),
            "{error:?}"
        );
    }
}

impl World {
    /// Answers the HTTP request whose line begins a list, with 200.
    fn answer(&mut self, line: &str, body: &str) -> Vec<String> {
        let id = line.trim_start_matches("http ").split(' ').next();
        let id = id.and_then(|id| id.parse().ok()).expect("a request");
        let mut body = body.as_bytes().to_vec();
        self.input(|polymarket, now, out| {
            let response = Response {
                status: 200,
                headers: &[],
                body: &mut body,
            };
            polymarket.handle_response(now, RequestId(id), Ok(response), out);
        })
    }

    /// What is due now.
    fn turn(&mut self) -> Vec<String> {
        self.input(|polymarket, now, out| polymarket.handle_timeout(now, out))
    }

    fn ask(&mut self, action: &Action) -> (Vec<String>, Option<Result<Reply, Error>>) {
        let mut answer = None;
        let lines = self.input(|polymarket, now, out| {
            polymarket.handle_action(now, Ticket::new(0, 1, true), action, out);
            answer = out.answers().first().map(|answer| answer.result.clone());
        });
        (lines, answer)
    }
}

fn of<'a>(lines: &'a [String], path: &str) -> &'a str {
    let found = lines.iter().find(|line| line.contains(path));
    found.unwrap_or_else(|| panic!("no {path} in {lines:?}"))
}

/// A world whose account is Live.
fn live() -> World {
    let config = plain(PolymarketConfig {
        trading: Some(Trading::new(keys())),
        wallet: Some(Arc::new(OneHash)),
        ..PolymarketConfig::new()
    });
    let mut world = World::new(config);
    let lines = world.subscribe(0, ALL_SYMBOLS, "user");
    let opened = world.answer(of(&lines, "/time"), "1700000000");
    of(&opened, "/ws/user");
    let told = world.up(0, 1);
    assert!(told[0].contains(r#""type":"user""#), "{told:?}");
    // The keys draw no answer: the ping follows in the same turn, and its answer proves them.
    assert_eq!(world.turn(), ["send 0 urgent PING"]);
    let mut lines = world.message(0, "PONG");
    lines.extend(world.turn());
    of(&lines, "/v1/heartbeats");
    let orders = of(&lines, "/data/orders").to_owned();
    let balances = of(&lines, "/balance-allowance").to_owned();
    world.answer(&orders, r#"{"data":[],"next_cursor":"LTE="}"#);
    let lines = world.answer(&balances, r#"{"balance":"1000000000","allowance":"1"}"#);
    of(&lines, "Balance");
    of(&lines, "#0 live synced e1");
    world
}

#[test]
fn the_account_is_live_once_the_keys_are_proven_and_rest_has_answered() {
    let mut world = live();
    // The dead man's switch is fed each five seconds, with what the last answer named.
    world.now += Nanos::from_secs(5);
    let lines = world.turn();
    let beat = of(&lines, "/v1/heartbeats");
    world.answer(beat, r#"{"heartbeat_id":"hb-7"}"#);
    world.now += Nanos::from_secs(5);
    let lines = world.turn();
    assert!(of(&lines, "/v1/heartbeats").ends_with(r#"{"heartbeat_id":"hb-7"}"#));
    assert_eq!(world.down(0)[0], "#0 stale link_down e1");
}

#[test]
fn an_orders_events_find_it_before_its_answer_and_balances_are_asked_for_after_trades() {
    let mut world = live();
    let (lines, answer) = world.ask(&Action::Place(request()));
    assert!(answer.is_none(), "{answer:?}");
    let place = of(&lines, "/order").to_owned();
    let placed = format!(
        r#"{{"event_type":"order","type":"PLACEMENT","id":"{HASH}","asset_id":"{YES}","owner":"{KEY}","original_size":"10","size_matched":"0","price":"0.57","side":"BUY","timestamp":"1672290687"}}"#
    );
    world.message(0, &placed);
    let Some(WideBody::Order(order)) = world.last_wide() else {
        panic!("{:?}", world.wide);
    };
    assert_eq!(order.client_order_id, request().client_order_id);
    assert_eq!(order.status, OrderStatus::New);
    world.answer(
        &place,
        &format!(r#"{{"success":true,"orderID":"{HASH}","status":"live"}}"#),
    );
    let trade = |status: &str| {
        format!(
            r#"{{"event_type":"trade","type":"TRADE","id":"t1","status":"{status}","asset_id":"{YES}","side":"BUY","size":"10","price":"0.57","owner":"{KEY}","taker_order_id":"{HASH}","maker_orders":[],"trader_side":"TAKER","timestamp":"1672290701000"}}"#
        )
    };
    // Each step is told once; only what changes what the account has makes balances asked for.
    let table = [
        ("MATCHED", Some(Settlement::Matched), true),
        ("MATCHED", None, false),
        ("RETRYING", Some(Settlement::Retrying), false),
        ("MATCHED", None, false),
        ("FAILED", Some(Settlement::Failed), true),
        ("CONFIRMED", None, false),
    ];
    for (status, told, asks) in table {
        let lines = world.message(0, &trade(status));
        let mut fills = world.wide.iter().filter_map(|body| match body {
            WideBody::Fill(fill) => Some(fill.settlement),
            _ => None,
        });
        assert_eq!(fills.next(), told, "{status}");
        let asked = lines.iter().any(|line| line.contains("/balance-allowance"));
        assert_eq!(asked, asks, "{status}: {lines:?}");
    }
}

#[test]
fn what_came_of_a_cancel_is_in_the_body() {
    let mut world = live();
    let order = crate::trading::OrderRef {
        symbol: symbol(YES).expect("a token"),
        id: crate::trading::OrderId::Venue(VenueOrderId::from("0x2").expect("short")),
    };
    for (body, done) in [
        (r#"{"canceled":["0x2"],"not_canceled":{}}"#, true),
        (
            r#"{"canceled":[],"not_canceled":{"0x2":"already canceled or matched"}}"#,
            false,
        ),
        (r#"{"error":"Internal server error"}"#, false),
    ] {
        let (lines, _) = world.ask(&Action::Cancel(order));
        let cancel = of(&lines, "/order").to_owned();
        let id = cancel.trim_start_matches("http ").split(' ').next();
        let id = id.and_then(|id| id.parse().ok()).expect("a request");
        let mut out = Outbox::new();
        let mut body = body.as_bytes().to_vec();
        let response = Response {
            status: 200,
            headers: &[],
            body: &mut body,
        };
        let now = world.now;
        world
            .venue
            .handle_response(now, RequestId(id), Ok(response), &mut out);
        let answer = out.answers().first().expect("an answer");
        assert_eq!(answer.result.is_ok(), done, "{:?}", answer.result);
    }
}

#[test]
fn balances_are_read_in_millionths_and_in_dollars() {
    for (text, want) in [
        ("1000000000", "1000"),
        ("250.500000", "250.5"),
        ("1", "0.000001"),
    ] {
        let mut world = live();
        let (lines, _) = world.ask(&Action::Query(Query::Balances));
        let asked = of(&lines, "/balance-allowance").to_owned();
        world.answer(&asked, &format!(r#"{{"balance":"{text}"}}"#));
        let want = Amount::parse(want.as_bytes()).expect("an amount");
        let held = world.wide.iter().find_map(|body| match body {
            WideBody::Balance(balance) => Some(balance.total),
            _ => None,
        });
        // The first is what is known already, and not told again.
        assert!(held.is_none_or(|held| held == want), "{held:?}");
        assert_eq!(held.is_none(), text == "1000000000");
    }
}

/// One line of what was read.
fn shown(result: &Result<Told, Error>) -> String {
    let order = |order: &OrderUpdate| {
        format!(
            "{:?} {:?} {}x{} {}",
            order.status,
            order.side,
            order
                .price
                .map_or_else(String::new, |price| price.plain().to_string()),
            order
                .qty
                .map_or_else(String::new, |qty| qty.plain().to_string()),
            order.filled.plain(),
        )
    };
    match result {
        Ok(Told::Order(one)) => order(one),
        Ok(Told::Orders(orders, _)) => orders.iter().map(order).collect::<Vec<_>>().join("; "),
        Ok(Told::Fills(fills, more)) => {
            let fills = fills.iter().map(|fill| {
                let (price, qty) = (fill.price.plain(), fill.qty.plain());
                format!("{:?} {:?} {price}x{qty}", fill.settlement, fill.side)
            });
            format!("{} more={more}", fills.collect::<Vec<_>>().join("; "))
        }
        Ok(Told::Balances(balances)) => balances[0].total.plain().to_string(),
        Ok(Told::Accepted { venue }) => venue.to_string(),
        Ok(told) => format!("{told:?}"),
        Err(error) => format!("{:?} {:?}: {}", error.kind, error.outcome, error.text),
    }
}

/// The answers that another client's tests hold, and what each says.
#[test]
fn answers_of_the_fixture_pack_are_read() {
    let Some(folder) = super::scanners::fixtures() else {
        return;
    };
    let token = symbol(YES).expect("a token");
    let fills = Job::Fills {
        symbol: token,
        since: Nanos::ZERO,
        page: 0,
    };
    let (lookup, cancel) = (
        Job::Lookup(target("", "0x1")),
        Job::Cancel(target("", "0x1")),
    );
    let place = Job::Place(request(), token);
    // The pack's ids have two digits more than a hash has.
    let hash = "0x1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef";
    let table: [(&str, Job, u16, &str); 12] = [
        (
            "http_open_order.json",
            lookup,
            200,
            "PartiallyFilled Bid 0.5x100 25",
        ),
        (
            "http_open_order_sell_fok.json",
            lookup,
            200,
            "Filled Ask 0.5x50 50",
        ),
        (
            "http_open_orders_page.json",
            Job::OpenOrders(None, Page::default()),
            200,
            "New Bid 0.6x200 0; PartiallyFilled Ask 0.4x150 50",
        ),
        (
            "http_trades_page.json",
            fills,
            200,
            "Mined Bid 0.5x10 more=false",
        ),
        (
            "http_balance_allowance_collateral.json",
            Job::Balances,
            200,
            "1000",
        ),
        (
            "http_balance_allowance_no_allowance.json",
            Job::Balances,
            200,
            "250.5",
        ),
        ("http_cancel_response_ok.json", cancel, 200, "Done"),
        (
            "http_cancel_response_failed.json",
            cancel,
            200,
            "OrderNotFound Rejected: already canceled or matched",
        ),
        (
            "http_batch_cancel_response.json",
            Job::CancelAll {
                symbol: token,
                part: 0,
            },
            200,
            "Done",
        ),
        ("http_order_response_ok.json", place, 200, hash),
        (
            "http_order_response_failed.json",
            place,
            200,
            "InsufficientFunds Rejected: Insufficient balance",
        ),
        (
            "http_order_response_error_500.json",
            place,
            500,
            "VenueUnavailable Unknown: Internal server error",
        ),
    ];
    let text = std::fs::read_to_string(folder.join("nautilus_test_data.jsonl")).expect("a pack");
    let bodies: std::collections::BTreeMap<String, String> = text
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let path = row["path"].as_str().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            (file.to_owned(), row["body"].to_string())
        })
        .collect();
    let owner = "00000000-0000-0000-0000-000000000001";
    let keys = Credentials::hmac(owner, SECRET)
        .with_passphrase("x")
        .with_address(ADDRESS);
    let mut words = words(keys).expect("good keys");
    for (file, job, status, want) in table {
        let mut body = bodies[file].clone().into_bytes();
        let response = Response {
            status,
            headers: &[],
            body: &mut body,
        };
        let mut said = Vec::new();
        let read = words.read_account(&job, response, &mut said);
        assert_eq!(shown(&read), want, "{file}");
    }
    let mut said = Vec::new();
    let mut user = 0;
    for (_, body) in bodies
        .iter()
        .filter(|(file, _)| file.starts_with("ws_user"))
    {
        user += 1;
        words.read_user(&mut body.clone().into_bytes(), &mut said);
    }
    // One has a token id of three digits for a market of its own, and is read all the same.
    assert_eq!((user, said.len()), (9, 9), "{said:?}");
}

//! Deribit's words: requests as they are written, answers and events as they are read.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tickwire_orderbook::{Amount, Price, Qty, Scale};

use crate::credentials::Credentials;
use crate::deribit::login::LoginWriter;
use crate::deribit::symbols;
use crate::deribit::trade::Words;
use crate::deribit::urls::{Login, Urls};
use crate::error::{Error, ErrorKind, Outcome};
use crate::governor::Window;
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue, symbol};
use crate::network::Network;
use crate::order::{
    ClientOrderId, Liquidity, OrderRequest, OrderStatus, OrderType, OrderUpdate, Size, Stop,
    TimeInForce, TriggerBy, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::Trading;
use crate::trading::dialect::{
    Call, Dialect, Job, Names, Role, Said, Target, Told, Transport, Way,
};
use crate::trading::pages::Page;
use crate::transmit::{Method, Response};
use tickwire_orderbook::Side;

/// By the venue's naming rules alone.
struct ByRule(Market);

impl Names for ByRule {
    fn instrument(&self, text: &str) -> Option<Instrument> {
        symbols::default_instrument(self.0, &symbol(text)?).ok()
    }
}

const AT: Nanos = Nanos::from_millis(1_576_074_319_000);

fn words_over(market: Market, transport: Transport) -> Words {
    let credentials = Credentials::hmac("AMANDA", "AMANDASECRECT");
    let urls = Urls::new(&Network::Mainnet, market).expect("good URLs");
    let rng = fastrand::Rng::with_seed(1);
    let login = LoginWriter::new(credentials.clone(), Login::Secret, market, rng);
    let trading = Trading {
        transport,
        ..Trading::new(credentials)
    };
    Words::new(urls, login.expect("good credentials"), &trading)
}

fn words(market: Market) -> Words {
    words_over(market, Transport::WebSocket)
}

fn name(text: &str) -> Symbol {
    symbol(text).expect("short")
}

fn order(market: Market, of: &str) -> OrderRequest {
    OrderRequest {
        instrument: InstrumentKey {
            venue: Venue::Deribit,
            market,
            symbol: name(of),
        },
        side: Side::Bid,
        order_type: OrderType::Limit,
        size: Size::Base(Qty::new(40, Scale::of(0))),
        price: Some(Price::new(20_330, Scale::of(2))),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::from("tw1-0-1").expect("short"),
    }
}

fn target(of: &str, client: &str, venue: &str) -> Target {
    Target {
        symbol: name(of),
        client: ClientOrderId::from(client).expect("short"),
        venue: VenueOrderId::from(venue).expect("short"),
        waits: false,
    }
}

fn written(words: &Words, job: &Job) -> Value {
    let mut body = Vec::new();
    let call = Call {
        key: 7,
        job,
        at: AT,
    };
    words.write_text(&call, &mut body);
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn requests_are_written_as_documented() {
    let (eth, spot) = ("ETH-PERPETUAL", "BTC_USDC");
    let plain = order(Market::Inverse, eth);
    let until = 1_576_074_324_000i64;
    let waiting = Target {
        waits: true,
        ..target(eth, "tw1-0-1", "ETH-SLMB-1")
    };
    let place = |request| Job::Place(request, name(eth));
    let amend = |target, order_type| Job::Amend {
        target,
        side: Side::Bid,
        price: Some(Price::new(204, Scale::of(0))),
        qty: None,
        standing: (plain.price, Some(Qty::new(40, Scale::of(0)))),
        order_type,
    };
    let table = [
        (
            place(plain),
            "private/buy",
            json!({"instrument_name":eth,"amount":40,"type":"limit","label":"tw1-0-1","price":203.3,
                "time_in_force":"good_til_cancelled","post_only":false,"valid_until":until}),
        ),
        (
            place(OrderRequest {
                side: Side::Ask,
                order_type: OrderType::LimitMaker,
                reduce_only: true,
                ..plain
            }),
            "private/sell",
            json!({"instrument_name":eth,"amount":40,"type":"limit","label":"tw1-0-1","price":203.3,
                "time_in_force":"good_til_cancelled","post_only":true,"reject_post_only":true,
                "reduce_only":true,"valid_until":until}),
        ),
        (
            place(OrderRequest {
                time_in_force: TimeInForce::Fok,
                ..plain
            }),
            "private/buy",
            json!({"instrument_name":eth,"amount":40,"type":"limit","label":"tw1-0-1","price":203.3,
                "time_in_force":"fill_or_kill","post_only":false,"valid_until":until}),
        ),
        (
            place(OrderRequest {
                order_type: OrderType::Market,
                price: None,
                ..plain
            }),
            "private/buy",
            json!({"instrument_name":eth,"amount":40,"type":"market","label":"tw1-0-1",
                "valid_until":until}),
        ),
        (
            place(OrderRequest {
                stop: Some(stop(TriggerBy::Last)),
                ..plain
            }),
            "private/buy",
            json!({"instrument_name":eth,"amount":40,"type":"stop_limit","label":"tw1-0-1",
                "price":203.3,"trigger_price":210.5,"trigger":"last_price",
                "time_in_force":"good_til_cancelled","post_only":false,"valid_until":until}),
        ),
        (
            place(OrderRequest {
                side: Side::Ask,
                order_type: OrderType::Market,
                price: None,
                stop: Some(stop(TriggerBy::Mark)),
                ..plain
            }),
            "private/sell",
            json!({"instrument_name":eth,"amount":40,"type":"stop_market","label":"tw1-0-1",
                "trigger_price":210.5,"trigger":"mark_price","valid_until":until}),
        ),
        (
            // It may be another id by now; the label is the same.
            Job::Lookup(waiting),
            "private/get_order_state_by_label",
            json!({"currency":"ETH","label":"tw1-0-1"}),
        ),
        (
            Job::Cancel(target(eth, "tw1-0-1", "ETH-1")),
            "private/cancel",
            json!({"order_id":"ETH-1"}),
        ),
        (
            amend(target(eth, "tw1-0-1", "ETH-1"), OrderType::LimitMaker),
            "private/edit",
            json!({"order_id":"ETH-1","amount":40,"price":204,"post_only":true,
                "reject_post_only":true,"valid_until":until}),
        ),
        (
            amend(target(eth, "tw1-0-1", ""), OrderType::Limit),
            "private/edit_by_label",
            json!({"label":"tw1-0-1","instrument_name":eth,"amount":40,"price":204,
                "post_only":false,"valid_until":until}),
        ),
        (
            Job::CancelAll {
                symbol: name(eth),
                part: 0,
            },
            "private/cancel_all_by_instrument",
            json!({"instrument_name":eth,"type":"all"}),
        ),
        (
            Job::Lookup(target(eth, "tw1-0-1", "ETH-1")),
            "private/get_order_state",
            json!({"order_id":"ETH-1"}),
        ),
        (
            Job::Lookup(target(eth, "tw1-0-1", "")),
            "private/get_order_state_by_label",
            json!({"currency":"ETH","label":"tw1-0-1"}),
        ),
        (
            Job::Fills {
                symbol: name(spot),
                since: AT,
                page: 0,
            },
            "private/get_user_trades_by_instrument",
            json!({"instrument_name":spot,"start_timestamp":1_576_074_319_000i64,"count":1000,
                "sorting":"asc"}),
        ),
        (
            Job::Login(Role::Private),
            "public/auth",
            json!({"grant_type":"client_credentials","client_id":"AMANDA",
                "client_secret":"AMANDASECRECT","scope":"session:tickwire-inverse-account"}),
        ),
        (
            Job::SetCancelOnDisconnect(Role::Private),
            "private/enable_cancel_on_disconnect",
            json!({"scope":"connection"}),
        ),
        (
            Job::CheckCancelOnDisconnect(Role::Private),
            "private/get_cancel_on_disconnect",
            json!({"scope":"connection"}),
        ),
        (
            Job::AskHeartbeats(Role::Private),
            "public/set_heartbeat",
            json!({"interval":10}),
        ),
        (
            Job::Listen(Role::Private),
            "private/subscribe",
            json!({"channels":["user.changes.future.any.raw","user.portfolio.any"]}),
        ),
        (Job::Heartbeat(Role::Private), "public/test", json!({})),
        (Job::Balances, "private/get_account_summaries", json!({})),
    ];
    let words = words(Market::Inverse);
    for (job, method, params) in table {
        let expected = json!({"jsonrpc":"2.0","id":7,"method":method,"params":params});
        assert_eq!(written(&words, &job), expected);
    }
    // A bare number answers it: the id says to what.
    let expected = json!({"jsonrpc":"2.0","id":"7","method":"private/cancel_by_label",
        "params":{"label":"tw1-0-1"}});
    for by_label in [target(eth, "tw1-0-1", ""), waiting] {
        assert_eq!(written(&words, &Job::Cancel(by_label)), expected);
    }
}

fn stop(by: TriggerBy) -> Stop {
    let price = Price::new(2105, Scale::of(1));
    Stop { price, by }
}

/// The object of a stop says at its end that it has triggered; the order that it has become says the rest.
#[test]
fn a_stop_that_triggers_is_told_as_the_order_that_it_becomes() {
    let mut words = words(Market::Inverse);
    let mut change = a_change();
    let mut spent = change["orders"][0].clone();
    spent["order_id"] = json!("SLMB-1");
    spent["order_state"] = json!("triggered");
    spent["label"] = json!("tw1-0-1");
    let mut becomes = spent.clone();
    (becomes["order_id"], becomes["order_state"]) = (json!("77"), json!("open"));
    becomes["filled_amount"] = json!(0);
    change["trades"] = json!([]);
    change["positions"] = json!([]);
    change["orders"] = json!([spent, becomes]);
    let on = "user.changes.future.any.raw";
    let said = heard(&mut words, Market::Inverse, &event(on, &change));
    let [Said::Order(order)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(order.venue_order_id.as_str(), "77");
    assert_eq!(order.status, OrderStatus::New);
    // Of another program's without a label nothing tells what has become of it.
    change["orders"][0]["label"] = json!("");
    change["orders"].as_array_mut().expect("a list").pop();
    let said = heard(&mut words, Market::Inverse, &event(on, &change));
    assert!(matches!(&said[..], [Said::Order(order)] if order.status == OrderStatus::Expired));
    // And its answer, looked up by the label, is the order that stands.
    let (spent, becomes) = (&change["orders"][0], &mut json!({}));
    *becomes = spent.clone();
    (becomes["order_id"], becomes["order_state"]) = (json!("77"), json!("filled"));
    (becomes["label"], becomes["last_update_timestamp"]) = (json!("tw1-0-1"), json!(1));
    let mut spent = spent.clone();
    spent["label"] = json!("tw1-0-1");
    let job = Job::Lookup(target("ETH-PERPETUAL", "tw1-0-1", ""));
    let told = read(&mut words, Market::Inverse, &job, &json!([spent, becomes]));
    let Ok(Told::Order(order)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(order.status, OrderStatus::Filled);
}

#[test]
fn what_the_venue_lacks_has_no_way() {
    let (spot, future) = (words(Market::Spot), words(Market::Inverse));
    let request = order(Market::Spot, "BTC_USDC");
    let by_quote = OrderRequest {
        order_type: OrderType::Market,
        price: None,
        size: Size::Quote(Qty::new(10, Scale::of(0))),
        ..request
    };
    let dated = OrderRequest {
        time_in_force: TimeInForce::Gtd { expires_ns: AT },
        ..request
    };
    for request in [by_quote, dated] {
        assert_eq!(spot.way(&Job::Place(request, name("BTC_USDC"))), Way::None);
    }
    assert_eq!(spot.way(&Job::Positions(Page::default())), Way::None);
    assert_eq!(future.way(&Job::Positions(Page::default())), Way::Http);
    // What orders over HTTP are made on is no connection of ours.
    let by_http = words_over(Market::Spot, Transport::Rest);
    let arms = |words: &Words| {
        let prelude = words.prelude(Role::Private);
        prelude.contains(&Job::CheckCancelOnDisconnect(Role::Private))
    };
    assert!(arms(&spot) && !arms(&by_http));
}

#[test]
fn an_http_request_is_the_same_text_signed() {
    let words = words_over(Market::Spot, Transport::Rest);
    let job = Job::Place(order(Market::Spot, "BTC_USDC"), name("BTC_USDC"));
    let mut body = Vec::new();
    let call = |job| Call {
        key: 7,
        job,
        at: AT,
    };
    let request = words.write_request(&call(&job), &mut body);
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.target, "/api/v2/private/buy");
    let sent: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(sent, written(&words, &job));
    let signed = &request.headers[0];
    assert_eq!(signed.0, "Authorization");
    let head = "deri-hmac-sha256 id=AMANDA,ts=1576074319000,sig=";
    assert!(signed.1.starts_with(head) && !signed.1.contains("AMANDASECRECT"));
    // The nonce is good once.
    let again = words.write_request(
        &Call {
            key: 8,
            ..call(&job)
        },
        &mut Vec::new(),
    );
    assert_ne!(again.headers[0].1, signed.1);
    let mut none = Vec::new();
    let public = words.write_request(&call(&Job::ServerTime), &mut none);
    assert_eq!(
        (public.method, public.headers.len(), none.len()),
        (Method::Get, 0, 0)
    );
    assert_eq!(public.target, "/api/v2/public/get_time");
}

fn heard(words: &mut Words, market: Market, message: &Value) -> Vec<Said> {
    let mut said = Vec::new();
    let mut payload = message.to_string().into_bytes();
    words.read_text(Role::Private, &mut payload, &ByRule(market), &mut said);
    said
}

fn event(channel: &str, data: &Value) -> Value {
    json!({"jsonrpc":"2.0","method":"subscription","params":{"channel":channel,"data":data}})
}

fn a_change() -> Value {
    json!({"instrument_name":"BTC-PERPETUAL",
        "trades":[{"trade_seq":866638,"trade_id":"1430914","timestamp":1_605_780_344_032i64,"state":"filled",
            "price":17391,"order_type":"market","order_id":"3398016","liquidity":"T","label":"tw1-0-2",
            "instrument_name":"BTC-PERPETUAL","fee_currency":"BTC","fee":1.68e-6,"direction":"sell","amount":10}],
        "positions":[{"total_profit_loss":1.69e-8,"size":-20.5,"kind":"future","instrument_name":"BTC-PERPETUAL",
            "floating_profit_loss":1.3e-6,"direction":"sell","average_price":15000}],
        "orders":[{"web":false,"time_in_force":"good_til_cancelled","replaced":false,"reduce_only":false,
            "price":15665.5,"post_only":false,"order_type":"market","order_state":"filled","order_id":"3398016",
            "label":"tw1-0-2","last_update_timestamp":1_605_780_344_032i64,"instrument_name":"BTC-PERPETUAL",
            "filled_amount":10,"direction":"sell","average_price":17391,"api":true,"amount":10}]})
}

#[test]
fn a_change_tells_the_fill_the_order_and_the_position() {
    let mut words = words(Market::Inverse);
    let change = event("user.changes.future.any.raw", &a_change());
    let said = heard(&mut words, Market::Inverse, &change);
    let [
        Said::Fill(fill),
        Said::Order(order),
        Said::Position(position),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!((fill.trade_id.as_str(), fill.side), ("1430914", Side::Ask));
    assert_eq!(fill.fee, Amount::new(168, 8));
    assert_eq!(fill.liquidity, Liquidity::Taker);
    assert_eq!(fill.client_order_id, order.client_order_id);
    assert_eq!(
        (order.status, order.order_type, order.price),
        (OrderStatus::Filled, OrderType::Market, None)
    );
    assert_eq!(order.exch_ns, Nanos::from_millis(1_605_780_344_032));
    assert_eq!(position.qty, Amount::new(-205, 1).expect("small"));
    assert_eq!(position.price_mean, Some(Price::new(15_000, Scale::of(0))));
    // The linear market's connector hears of it on the same channel, and it is none of its.
    let mut linear = super::trade::words(Market::Linear);
    assert_eq!(heard(&mut linear, Market::Linear, &change), []);
}

#[test]
fn states_say_where_an_order_stands() {
    let mut words = words(Market::Inverse);
    let table = [
        ("open", "good_til_cancelled", 0, OrderStatus::New),
        (
            "open",
            "good_til_cancelled",
            4,
            OrderStatus::PartiallyFilled,
        ),
        (
            "untriggered",
            "good_til_cancelled",
            0,
            OrderStatus::Untriggered,
        ),
        ("cancelled", "good_til_cancelled", 4, OrderStatus::Canceled),
        ("cancelled", "immediate_or_cancel", 4, OrderStatus::Expired),
        ("cancelled", "fill_or_kill", 0, OrderStatus::Expired),
        ("rejected", "good_til_cancelled", 0, OrderStatus::Rejected),
        ("archived", "good_til_cancelled", 0, OrderStatus::Unknown),
    ];
    for (state, time, filled, expected) in table {
        let mut change = a_change();
        let order = &mut change["orders"][0];
        (order["order_type"], order["order_state"]) = (json!("limit"), json!(state));
        (order["time_in_force"], order["filled_amount"]) = (json!(time), json!(filled));
        change["trades"] = json!([]);
        change["positions"] = json!([]);
        let said = heard(
            &mut words,
            Market::Inverse,
            &event("user.changes.future.any.raw", &change),
        );
        let [Said::Order(order)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(order.status, expected, "{state} {time} {filled}");
    }
}

#[test]
fn portfolios_and_heartbeats_are_heard() {
    let mut words = words(Market::Spot);
    let sums = json!({"currency":"USDC","balance":55.00055,"available_funds":53.868247});
    let said = heard(
        &mut words,
        Market::Spot,
        &event("user.portfolio.any", &sums),
    );
    let [Said::Balance(balance)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(balance.currency.as_str(), "USDC");
    assert_eq!(balance.total.to_string(), "55.00055");
    assert_eq!(balance.available.to_string(), "53.868247");
    for (kind, expected) in [
        ("test_request", vec![Said::WantsHeartbeat]),
        ("heartbeat", vec![]),
    ] {
        let beat = json!({"jsonrpc":"2.0","method":"heartbeat","params":{"type":kind}});
        assert_eq!(heard(&mut words, Market::Spot, &beat), expected, "{kind}");
    }
}

fn answered(words: &mut Words, answer: &Value) -> (Option<u32>, Result<Told, Error>) {
    let said = heard(words, Market::Inverse, answer);
    match said.into_iter().last() {
        Some(Said::Answer { key, result }) => (key, result),
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_on_the_link_are_told_by_their_shape() {
    let mut words = words(Market::Inverse);
    let order = a_change()["orders"][0].clone();
    for result in [json!({"order":order,"trades":[]}), order.clone()] {
        let answer = json!({"jsonrpc":"2.0","id":5,"result":result});
        let (key, told) = answered(&mut words, &answer);
        let Ok(Told::Order(order)) = told else {
            panic!("{told:?}");
        };
        assert_eq!((key, order.venue_order_id.as_str()), (Some(5), "3398016"));
    }
    let done = Ok(Told::Done);
    let table = [
        (json!({"id":5,"result":"ok"}), done.clone()),
        (json!({"id":5,"result":3}), done.clone()),
        (json!({"id":5,"result":0}), done.clone()),
        (json!({"id":"5","result":1}), done.clone()),
        (
            json!({"id":5,"result":["user.portfolio.any"]}),
            done.clone(),
        ),
        (json!({"id":5,"result":{"version":"1.2.26"}}), done.clone()),
        (
            json!({"id":5,"result":{"scope":"connection","enabled":true}}),
            done,
        ),
    ];
    for (answer, expected) in table {
        assert_eq!(
            answered(&mut words, &answer),
            (Some(5), expected),
            "{answer}"
        );
    }
    let none = answered(&mut words, &json!({"id":"5","result":0})).1;
    assert_eq!(
        none.map_err(|error| error.kind),
        Err(ErrorKind::OrderNotFound)
    );
    // Not armed is as bad as not logged in.
    let off = json!({"id":5,"result":{"scope":"connection","enabled":false}});
    let off = answered(&mut words, &off).1.expect_err("not armed");
    assert_eq!(off.outcome, Outcome::Rejected);
}

#[test]
fn a_login_is_renewed_by_its_token_and_by_the_key_where_that_is_refused() {
    let mut words = words(Market::Inverse);
    let grant = json!({"id":1,"result":{"access_token":"a","expires_in":900,"refresh_token":"r",
        "scope":"session:tickwire-inverse-account trade:read_write","token_type":"bearer"}});
    let life_ns = Nanos::from_secs(900);
    assert_eq!(
        answered(&mut words, &grant),
        (Some(1), Ok(Told::LoggedIn { life_ns }))
    );
    let token = words.refresh_token.as_ref();
    assert_eq!(token.map(ExposeSecret::expose_secret), Some("r"));
    assert!(!format!("{words:?}").contains("\"r\""));
    let how = |words: &Words| {
        let login = written(words, &Job::Login(Role::Private));
        login["params"]["grant_type"].clone()
    };
    assert_eq!(how(&words), "refresh_token");
    let refused = json!({"id":2,"error":{"code":13009,"message":"unauthorized"}});
    let error = answered(&mut words, &refused).1.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert_eq!(how(&words), "client_credentials");
}

#[test]
fn out_of_credits_nothing_goes_for_a_while() {
    let mut words = words(Market::Inverse);
    let refused = json!({"id":2,"error":{"code":10028,"message":"too_many_requests"}});
    let said = heard(&mut words, Market::Inverse, &refused);
    let used = Said::Used {
        index: 0,
        used: u32::MAX,
    };
    assert_eq!(said.first(), Some(&used));
}

fn read(words: &mut Words, market: Market, job: &Job, result: &Value) -> Result<Told, Error> {
    let mut body = json!({"jsonrpc":"2.0","id":7,"result":result})
        .to_string()
        .into_bytes();
    let response = Response {
        status: 200,
        headers: &[],
        body: &mut body,
    };
    words.read_response(job, response, &ByRule(market), &mut Vec::new())
}

#[test]
fn a_spot_label_is_looked_for_in_both_currencies() {
    let mut words = words(Market::Spot);
    let job = Job::Lookup(target("BTC_USDC", "tw1-0-1", ""));
    let currency = |words: &Words| written(words, &job)["params"]["currency"].clone();
    for _ in 0..2 {
        assert_eq!(currency(&words), "BTC");
        let first = read(&mut words, Market::Spot, &job, &json!([]));
        assert_eq!(first, Ok(Told::Further));
        assert_eq!(currency(&words), "USDC");
        let second = read(&mut words, Market::Spot, &job, &json!([]));
        let kind = second.map_err(|error| error.kind);
        assert_eq!(kind, Err(ErrorKind::OrderNotFound));
    }
    // Of futures there is one, and of two orders of a label the newer counts.
    let mut words = super::trade::words(Market::Inverse);
    let job = Job::Lookup(target("BTC-PERPETUAL", "tw1-0-2", ""));
    let none = read(&mut words, Market::Inverse, &job, &json!([]));
    assert_eq!(
        none.map_err(|error| error.kind),
        Err(ErrorKind::OrderNotFound)
    );
    let (older, mut newer) = (
        a_change()["orders"][0].clone(),
        a_change()["orders"][0].clone(),
    );
    newer["order_id"] = json!("3398017");
    newer["last_update_timestamp"] = json!(1_605_780_344_033i64);
    let told = read(&mut words, Market::Inverse, &job, &json!([newer, older]));
    assert!(matches!(told, Ok(Told::Order(order)) if order.venue_order_id.as_str() == "3398017"));
}

#[test]
fn trades_come_in_pages_that_go_on_where_the_last_ended() {
    let mut words = words(Market::Inverse);
    let job = |page| Job::Fills {
        symbol: name("BTC-PERPETUAL"),
        since: AT,
        page,
    };
    let trade = |at: i64| {
        let mut trade = a_change()["trades"][0].clone();
        trade["timestamp"] = json!(at);
        trade
    };
    let page = json!({"trades":[trade(1_000), trade(2_000)],"has_more":true});
    let told = read(&mut words, Market::Inverse, &job(0), &page);
    assert!(matches!(told, Ok(Told::Fills(fills, true)) if fills.len() == 2));
    assert_eq!(written(&words, &job(1))["params"]["start_timestamp"], 2_000);
    // Another question begins at its own beginning.
    let since = written(&words, &job(0))["params"]["start_timestamp"].clone();
    assert_eq!(since, AT.as_millis());
    for last in [
        json!({"trades":[trade(2_000)],"has_more":false}),
        json!({"trades":[trade(2_000), trade(2_000)],"has_more":true}),
        json!({"trades":[],"has_more":false}),
    ] {
        let told = read(&mut words, Market::Inverse, &job(1), &last);
        assert!(matches!(told, Ok(Told::Fills(_, false))), "{last}");
    }
}

#[test]
fn of_open_orders_those_of_other_markets_are_left_out_and_none_is_lost() {
    let mut words = words(Market::Inverse);
    let ours = a_change()["orders"][0].clone();
    let (mut open, mut linear) = (ours.clone(), ours.clone());
    open["order_state"] = json!("open");
    linear["instrument_name"] = json!("BTC_USDC-PERPETUAL");
    let job = Job::OpenOrders(None, Page::default());
    let told = read(
        &mut words,
        Market::Inverse,
        &job,
        &json!([ours, open, linear]),
    );
    assert!(matches!(told, Ok(Told::Orders(orders, _)) if orders.len() == 1));
    open["order_id"] = json!(null);
    let told = read(&mut words, Market::Inverse, &job, &json!([open]));
    assert_eq!(told.map_err(|error| error.outcome), Err(Outcome::Unknown));
}

/// The samples of the pack (nautilus_trader, 2026-01), each against serde_json's reading of it.
#[test]
fn recorded_answers_are_read() {
    let Some(pack) = pack() else { return };
    let body = |file: &str| {
        let found = pack.iter().find(|(path, _)| path.ends_with(file));
        found.expect("in the pack").1.clone()
    };
    let mut words = words(Market::Linear);
    for file in [
        "ws_order_buy_response.json",
        "ws_order_sell_response.json",
        "ws_order_edit_response.json",
        "ws_order_cancel_response.json",
        "ws_order_stop_market_response.json",
        "ws_order_stop_market_no_filled_amount.json",
    ] {
        let body = body(file);
        let said = heard(&mut words, Market::Linear, &body);
        let us_out = body["usOut"].as_i64().expect("a time");
        assert_eq!(said[0], Said::Clock(Nanos(us_out * 1_000)));
        let [
            _,
            Said::Answer {
                key,
                result: Ok(Told::Order(order)),
            },
        ] = &said[..]
        else {
            panic!("{file}: {said:?}");
        };
        assert_eq!(key.map(u64::from), body["id"].as_u64());
        let raw = match body["result"].get("order") {
            Some(order) => order,
            None => &body["result"],
        };
        same(order, raw);
    }
    let portfolio = body("ws_portfolio.json");
    let said = heard(&mut words, Market::Linear, &portfolio);
    let data = &portfolio["params"]["data"];
    assert!(
        matches!(&said[..], [Said::Balance(held)] if held.total.to_f64() == data["balance"]
            && held.available.to_f64() == data["available_funds"])
    );
    let summaries = body("http_get_account_summaries.json");
    let mut said = Vec::new();
    let mut bytes = summaries.to_string().into_bytes();
    let response = Response {
        status: 200,
        headers: &[],
        body: &mut bytes,
    };
    let told = words.read_response(&Job::Balances, response, &ByRule(Market::Linear), &mut said);
    let Ok(Told::Balances(balances)) = told else {
        panic!("{told:?}");
    };
    let raw = summaries["result"]["summaries"].as_array().expect("a list");
    for balance in &balances {
        let raw = raw
            .iter()
            .find(|one| one["currency"] == balance.currency.as_str());
        let raw = raw.expect("the currency");
        assert_eq!(balance.total.to_f64(), raw["balance"]);
    }
    // 250 at once, refilled by 200 a second: half of them.
    let window = Window {
        max: 125,
        span_ns: Nanos::from_millis(625),
    };
    assert_eq!(said.last(), Some(&Said::Limit { index: 0, window }));
    let time = body("http_get_time.json")["result"].clone();
    let told = read(&mut words, Market::Linear, &Job::ServerTime, &time);
    assert_eq!(told, Ok(Told::Time(Nanos::from_millis(1_733_338_800_000))));
}

fn same(order: &OrderUpdate, raw: &Value) {
    let text = |key: &str| raw[key].as_str().unwrap_or_default();
    assert_eq!(order.client_order_id.as_str(), text("label"));
    assert_eq!(order.venue_order_id.as_str(), text("order_id"));
    assert_eq!(order.side == Side::Bid, text("direction") == "buy");
    assert_eq!(order.price.map(Price::to_f64), raw["price"].as_f64());
    assert_eq!(order.qty.map(Qty::to_f64), raw["amount"].as_f64());
    assert_eq!(
        order.filled.to_f64(),
        raw["filled_amount"].as_f64().unwrap_or_default()
    );
    assert_eq!(
        Some(order.exch_ns.as_millis()),
        raw["last_update_timestamp"].as_i64()
    );
    let expected = match text("order_state") {
        "cancelled" => OrderStatus::Canceled,
        "untriggered" => OrderStatus::Untriggered,
        _ => OrderStatus::New,
    };
    assert_eq!(order.status, expected);
    let stop = order.stop.map(|stop| (stop.price.to_f64(), stop.by));
    let by = match text("trigger") {
        "mark_price" => TriggerBy::Mark,
        "index_price" => TriggerBy::Index,
        _ => TriggerBy::Last,
    };
    assert_eq!(stop, raw["trigger_price"].as_f64().map(|price| (price, by)));
}

/// The samples by path, or `None` where there are no fixtures (and none are required).
#[expect(clippy::print_stderr, reason = "a skipped test has to be seen")]
fn pack() -> Option<Vec<(String, Value)>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let folder = std::env::var("TICKWIRE_FIXTURES").unwrap_or_else(|_| default.to_owned());
    let path = format!("{folder}/deribit/nautilus_test_data.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(
            std::env::var("TICKWIRE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
            "no {path}"
        );
        eprintln!("SKIPPED: no {path}; set TICKWIRE_FIXTURES");
        return None;
    };
    let lines = text.lines().filter_map(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        Some((entry["path"].as_str()?.to_owned(), entry["body"].clone()))
    });
    Some(lines.collect())
}

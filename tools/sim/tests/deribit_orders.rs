//! Trading at Deribit: perpetuals in coin and in USDC, options and spot; the account's channels,
//! credits, cancel-on-disconnect and the ledger.

mod common;

use common::{MS, Pipe, SECOND};
use serde_json::{Value, json as js};
use tickwire_sim::{AccountSpec, ConnId, Fault, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::DeribitInverse;
const PERPETUAL: &str = "BTC-PERPETUAL";

fn call(
    pipe: &mut Pipe,
    venue: SimVenue,
    conn: ConnId,
    method: &str,
    params: &Value,
) -> Vec<Value> {
    let request = js!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    pipe.send(venue, conn, &request.to_string());
    pipe.run(0);
    pipe.texts(conn)
}

/// A connection that has logged in and hears the account.
fn login(pipe: &mut Pipe, venue: SimVenue) -> ConnId {
    let conn = pipe.open(venue, "/ws/api/v2").unwrap();
    let params = js!({
        "grant_type": "client_credentials",
        "client_id": AccountSpec::DEMO_KEY, "client_secret": AccountSpec::DEMO_SECRET,
    });
    let told = call(pipe, venue, conn, "public/auth", &params);
    assert!(told[0]["result"]["access_token"].is_string());
    let channels = [
        "user.orders.any.any.raw",
        "user.trades.any.any.raw",
        "user.changes.any.any.raw",
        "user.portfolio.any",
    ];
    call(
        pipe,
        venue,
        conn,
        "private/subscribe",
        &js!({"channels": channels}),
    );
    conn
}

fn pipe(venue: SimVenue) -> (Pipe, ConnId, String) {
    let spec = VenueSpec::of(venue)
        .instruments(1)
        .rate_msgs_s(20)
        .demo_account();
    let mut pipe = Pipe::new(&[spec]);
    let conn = login(&mut pipe, venue);
    let symbol = pipe.world.truth().symbols(venue).remove(0);
    (pipe, conn, symbol)
}

/// Data of a channel's notifications.
fn of(texts: &[Value], channel: &str) -> Vec<Value> {
    let mine = texts
        .iter()
        .filter(|text| text["params"]["channel"] == channel);
    mine.map(|text| text["params"]["data"].clone()).collect()
}

#[test]
fn order_rests_is_edited_told_and_cancelled() {
    let (mut pipe, conn, symbol) = pipe(VENUE);
    assert_eq!(symbol, PERPETUAL);
    let params = js!({"instrument_name": PERPETUAL, "amount": 100, "price": 50000.0, "label": "a", "post_only": true});
    let texts = call(&mut pipe, VENUE, conn, "private/buy", &params);
    let order = &texts[0]["result"]["order"];
    assert_eq!(
        (&order["order_state"], &order["amount"]),
        (&js!("open"), &js!(100))
    );
    assert_eq!(of(&texts, "user.orders.any.any.raw")[0]["label"], "a");
    let id = &order["order_id"];
    let change = js!({"order_id": id, "amount": 200, "price": 49000});
    let edited = call(&mut pipe, VENUE, conn, "private/edit", &change).remove(0);
    assert_eq!(edited["result"]["order"]["replaced"], true);
    let params = js!({"instrument_name": PERPETUAL});
    let open = call(
        &mut pipe,
        VENUE,
        conn,
        "private/get_open_orders_by_instrument",
        &params,
    )
    .remove(0);
    assert_eq!(open["result"][0]["price"], 49000);
    let canceled = call(
        &mut pipe,
        VENUE,
        conn,
        "private/cancel",
        &js!({"order_id": id}),
    );
    assert_eq!(canceled[0]["result"]["cancel_reason"], "user_request");
    assert_eq!(
        of(&canceled, "user.changes.any.any.raw")[0]["orders"][0]["order_state"],
        "cancelled"
    );
    let again = call(
        &mut pipe,
        VENUE,
        conn,
        "private/cancel",
        &js!({"order_id": id}),
    )
    .remove(0);
    assert_eq!(again["error"]["code"], 11_044);
    let gone = call(
        &mut pipe,
        VENUE,
        conn,
        "private/get_order_state",
        &js!({"order_id": "1"}),
    )
    .remove(0);
    assert_eq!(gone["error"]["code"], 10_004);
}

#[test]
fn every_kind_of_contract_trades_as_the_ledger_says() {
    for (venue, amount, asset) in [
        (SimVenue::DeribitInverse, js!(1000), "BTC"),
        (SimVenue::DeribitLinear, js!(0.1), "USDC"),
        (SimVenue::DeribitOption, js!(0.5), "BTC"),
        (SimVenue::DeribitSpot, js!(0.01), "USDC"),
    ] {
        let (mut pipe, conn, symbol) = pipe(venue);
        let params = js!({"instrument_name": symbol, "amount": amount, "type": "market"});
        let texts = call(&mut pipe, venue, conn, "private/buy", &params);
        let result = &texts[0]["result"];
        assert_eq!(
            result["order"]["order_state"], "filled",
            "{venue}: {}",
            texts[0]
        );
        let told: Vec<Value> = of(&texts, "user.trades.any.any.raw")
            .into_iter()
            .map(|one| one[0].clone())
            .collect();
        let ids = |list: &[Value]| -> Vec<Value> {
            list.iter().map(|one| one["trade_id"].clone()).collect()
        };
        assert_eq!(
            ids(result["trades"].as_array().unwrap()),
            ids(&told),
            "{venue}"
        );
        let sold = call(&mut pipe, venue, conn, "private/sell", &params);
        let mut portfolios = of(&sold, "user.portfolio.any");
        portfolios.retain(|one| one["currency"] == asset);
        let portfolio = portfolios.pop().unwrap();
        let ledger = pipe.world.ledger(venue, "demo").unwrap();
        assert_eq!(portfolio["currency"], asset);
        assert_eq!(
            portfolio["balance"].to_string(),
            js!(ledger.balance(asset).0.parse::<f64>().unwrap()).to_string(),
            "{venue}"
        );
        if venue != SimVenue::DeribitSpot {
            assert_eq!(ledger.positions[0].qty, "0");
            let changes = of(&sold, "user.changes.any.any.raw").pop().unwrap();
            assert_eq!(changes["positions"][0]["direction"], "zero");
        }
        let by_order = js!({"order_id": result["order"]["order_id"]});
        let trades = call(
            &mut pipe,
            venue,
            conn,
            "private/get_user_trades_by_order",
            &by_order,
        )
        .remove(0);
        assert_eq!(ids(trades["result"].as_array().unwrap()), ids(&told));
        let summary = call(
            &mut pipe,
            venue,
            conn,
            "private/get_account_summary",
            &js!({"currency": asset}),
        )
        .remove(0);
        assert_eq!(summary["result"]["balance"], portfolio["balance"]);
    }
}

#[test]
fn post_only_moves_off_the_other_side_unless_it_is_to_be_refused() {
    let (mut pipe, conn, _) = pipe(VENUE);
    let (_, ask) = pipe.top(VENUE, PERPETUAL);
    let ask: f64 = ask.parse().unwrap();
    let params =
        js!({"instrument_name": PERPETUAL, "amount": 100, "price": ask + 10.0, "post_only": true});
    let moved = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
    let price = moved["result"]["order"]["price"].as_f64().unwrap();
    assert!(price < ask, "{moved}");
    let mut strict = params;
    strict["reject_post_only"] = js!(true);
    let refused = call(&mut pipe, VENUE, conn, "private/buy", &strict).remove(0);
    assert_eq!(refused["error"]["code"], 11_054);
}

#[test]
fn refusals_have_the_venues_own_codes() {
    let (mut pipe, conn, _) = pipe(VENUE);
    let good = js!({"instrument_name": PERPETUAL, "amount": 100, "price": 50000});
    for (name, value, code) in [
        ("instrument_name", js!("NOPE"), 13_020),
        ("amount", js!(15), 10_021),
        ("amount", js!(0), 10_002),
        ("price", js!(50000.05), 10_043),
        ("price", js!(0), 10_005),
        ("price", js!(50_000_000), 10_007),
        ("amount", js!(900_000_000), 10_009),
        ("type", js!("wish"), -32_602),
        ("valid_until", js!(1), 13_888),
        ("reduce_only", js!(true), 11_030),
    ] {
        pipe.run(SECOND);
        let mut params = good.clone();
        params[name] = value;
        let told = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
        assert_eq!(told["error"]["code"], code, "{params}: {told}");
    }
}

#[test]
fn credits_run_out_and_with_them_the_session_and_its_orders() {
    let (mut pipe, conn, _) = pipe(VENUE);
    call(
        &mut pipe,
        VENUE,
        conn,
        "private/enable_cancel_on_disconnect",
        &js!({"scope": "connection"}),
    );
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "price": 50000});
    for _ in 0..20 {
        let told = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
        assert!(told["result"].is_object(), "{told}");
    }
    let over = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
    assert_eq!(over["error"]["code"], 10_028);
    assert!(pipe.world.links(VENUE).is_empty());
    let orders = pipe.world.ledger(VENUE, "demo").unwrap().orders;
    assert!(orders.iter().all(|order| order.status == "canceled"));
}

#[test]
fn cancel_on_disconnect_covers_the_orders_of_its_own_connection() {
    let (mut pipe, first, _) = pipe(VENUE);
    let second = login(&mut pipe, VENUE);
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "price": 50000});
    call(&mut pipe, VENUE, second, "private/buy", &params);
    call(
        &mut pipe,
        VENUE,
        first,
        "private/enable_cancel_on_disconnect",
        &js!({}),
    );
    call(&mut pipe, VENUE, first, "private/buy", &params);
    let cut: Fault = "cut oldest".parse().unwrap();
    pipe.inject(VENUE, &cut);
    pipe.run(0);
    let orders = pipe.world.ledger(VENUE, "demo").unwrap().orders;
    let status: Vec<&str> = orders.iter().map(|order| order.status).collect();
    assert_eq!(status, ["new", "canceled"]);
    assert_eq!(
        of(&pipe.texts(second), "user.orders.any.any.raw")
            .pop()
            .unwrap()["cancel_reason"],
        "cancel_on_disconnect"
    );
}

/// A private call over HTTP, signed; the answer and its status.
fn http(pipe: &mut Pipe, method: &str, params: &Value, nonce: &str) -> (u16, Value) {
    let body = js!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params}).to_string();
    let path = format!("/api/v2/{method}");
    let ms = pipe.now / MS;
    let signed = format!("{ms}\n{nonce}\nPOST\n{path}\n{body}\n");
    let signature = common::orders::hmac_hex(AccountSpec::DEMO_SECRET, &signed);
    let id = AccountSpec::DEMO_KEY;
    let headers = [(
        "Authorization".to_owned(),
        format!("deri-hmac-sha256 id={id},ts={ms},sig={signature},nonce={nonce}"),
    )];
    let answer = pipe.http(VENUE, ("POST", &path), &headers, body.as_bytes());
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn calls_over_http_are_the_same_and_signed_each_for_itself() {
    let (mut pipe, conn, _) = pipe(VENUE);
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "price": 50000, "label": "h"});
    let (status, placed) = http(&mut pipe, "private/buy", &params, "1");
    assert_eq!((status, &placed["id"]), (200, &js!(3)), "{placed}");
    pipe.run(0);
    assert_eq!(
        of(&pipe.texts(conn), "user.orders.any.any.raw")[0]["label"],
        "h"
    );
    let (status, again) = http(&mut pipe, "private/buy", &params, "1");
    assert_eq!(
        (status, &again["error"]["code"]),
        (400, &js!(13_009)),
        "a nonce is good once"
    );
    let (_, bound) = http(
        &mut pipe,
        "private/enable_cancel_on_disconnect",
        &js!({}),
        "2",
    );
    assert_eq!(bound["error"]["code"], 10_030);
    let by_time = |since: i64| js!({"instrument_name": PERPETUAL, "start_timestamp": since, "sorting": "asc"});
    call(
        &mut pipe,
        VENUE,
        conn,
        "private/buy",
        &js!({"instrument_name": PERPETUAL, "amount": 10, "type": "market"}),
    );
    let method = "private/get_user_trades_by_instrument";
    let (_, trades) = http(&mut pipe, method, &by_time(0), "3");
    let first = trades["result"]["trades"][0]["timestamp"].as_i64().unwrap();
    let (_, none) = http(&mut pipe, method, &by_time(first + 1), "4");
    assert_eq!(none["result"], js!({"trades": [], "has_more": false}));
}

#[test]
fn labels_may_be_used_again_and_cancel_all_of_them() {
    let (mut pipe, conn, _) = pipe(VENUE);
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "price": 50000, "label": "x"});
    for _ in 0..3 {
        call(&mut pipe, VENUE, conn, "private/buy", &params);
    }
    let count = call(
        &mut pipe,
        VENUE,
        conn,
        "private/cancel_by_label",
        &js!({"label": "x"}),
    )
    .remove(0);
    assert_eq!(count["result"], 3);
    let none = call(&mut pipe, VENUE, conn, "private/cancel_all", &js!({})).remove(0);
    assert_eq!(none["result"], 0);
}

#[test]
fn orders_are_as_sampled() {
    let Some(lines) = common::fixture_lines("deribit/nautilus_test_data.jsonl") else {
        return;
    };
    let all: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let real = |path: &str| {
        let one = all
            .iter()
            .find(|one| one["path"].as_str().unwrap().ends_with(path))
            .unwrap();
        let body = &one["body"];
        body.as_str()
            .map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap())
    };
    // Numbers are one type here: the venue writes 0 and 0.0.
    let shape = |value: &Value| -> Vec<(String, &'static str)> {
        let fields = value.as_object().unwrap().iter().map(|(key, value)| {
            let kind = match value {
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "other",
            };
            (key.clone(), kind)
        });
        fields.collect()
    };
    let (mut pipe, conn, _) = pipe(VENUE);
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "price": 50000, "label": "x"});
    let placed = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
    let sample = real("ws_order_buy_response.json");
    assert_eq!(shape(&placed), shape(&sample));
    assert_eq!(
        shape(&placed["result"]["order"]),
        shape(&sample["result"]["order"])
    );
    let id = &placed["result"]["order"]["order_id"];
    let edited = call(
        &mut pipe,
        VENUE,
        conn,
        "private/edit",
        &js!({"order_id": id, "amount": 20}),
    )
    .remove(0);
    let sample = real("ws_order_edit_response.json");
    assert_eq!(
        shape(&edited["result"]["order"]),
        shape(&sample["result"]["order"])
    );
    let canceled = call(
        &mut pipe,
        VENUE,
        conn,
        "private/cancel",
        &js!({"order_id": id}),
    )
    .remove(0);
    assert_eq!(
        shape(&canceled["result"]),
        shape(&real("ws_order_cancel_response.json")["result"])
    );
    let (_, ask) = pipe.top(VENUE, PERPETUAL);
    let stop = ask.parse::<f64>().unwrap().round() + 500.0;
    let params = js!({"instrument_name": PERPETUAL, "amount": 10, "type": "stop_market", "trigger_price": stop, "trigger": "mark_price", "label": "x"});
    let placed = call(&mut pipe, VENUE, conn, "private/buy", &params).remove(0);
    let sample = real("ws_order_stop_market_response.json");
    assert_eq!(
        shape(&placed["result"]["order"]),
        shape(&sample["result"]["order"]),
        "{placed}"
    );
    // The account's sums are a subset of the recorded ones.
    let sums = call(
        &mut pipe,
        VENUE,
        conn,
        "private/get_account_summary",
        &js!({"currency": "BTC"}),
    )
    .remove(0);
    let known = shape(&real("ws_portfolio.json")["params"]["data"]);
    for field in shape(&sums["result"])
        .into_iter()
        .filter(|field| field.0 != "limits")
    {
        assert!(known.contains(&field), "{field:?}");
    }
}

//! Each method and each event: the happy path, each validation error, permission denied, unknown id,
//! idempotent repeat.

use std::collections::BTreeSet;

use super::*;
use crate::protocol::{Call, EVENTS, METHODS};

/// A good call of each method, with the fields that it can't do without; `$S`, `$M`, `$C`, `$D`, `$T` are
/// ids that the test fills in.
fn calls() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        (
            "sessions.create",
            json!({ "projectId": "p1" }),
            &["projectId"],
        ),
        (
            "sessions.list",
            json!({ "projectId": "p1" }),
            &["projectId"],
        ),
        ("sessions.get", json!({ "sessionId": "$S" }), &["sessionId"]),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todos": [{ "content": "roll" }] }),
            &["sessionId"],
        ),
        ("todos.get", json!({ "sessionId": "$S" }), &["sessionId"]),
        (
            "messages.send",
            json!({ "sessionId": "$S", "content": "hi" }),
            &["sessionId", "content"],
        ),
        (
            "messages.cancel",
            json!({ "sessionId": "$S" }),
            &["sessionId"],
        ),
        (
            "messages.retry",
            json!({ "sessionId": "$S", "messageId": "$M" }),
            &["sessionId", "messageId"],
        ),
        ("agents.list", json!({ "projectId": "p1" }), &["projectId"]),
        ("agents.get", json!({ "agent": "default" }), &["agent"]),
        ("tools.list", json!({ "sessionId": "$S" }), &[]),
        (
            "tools.approve",
            json!({ "sessionId": "$S", "toolCallId": "$C", "digest": "$D" }),
            &["sessionId", "toolCallId", "digest"],
        ),
        (
            "tools.reject",
            json!({ "sessionId": "$S", "toolCallId": "$T" }),
            &["sessionId", "toolCallId"],
        ),
        ("markets.list", json!({}), &[]),
        (
            "books.get",
            json!({ "venue": "binance", "market": "spot", "symbol": "BTCUSDT" }),
            &["venue", "market", "symbol"],
        ),
        ("orders.list", json!({ "projectId": "p1" }), &["projectId"]),
        (
            "orders.cancel",
            json!({ "projectId": "p1", "clientOrderId": "$O" }),
            &["projectId", "clientOrderId"],
        ),
        (
            "orders.cancelAll",
            json!({ "projectId": "p1" }),
            &["projectId"],
        ),
        (
            "positions.list",
            json!({ "projectId": "p1" }),
            &["projectId"],
        ),
        ("system.stats", json!({}), &[]),
        ("system.kill", json!({ "reason": "test" }), &["reason"]),
        ("system.resume", json!({ "reason": "test" }), &["reason"]),
        ("auth.refresh", json!({ "token": "$K" }), &["token"]),
        (
            "sessions.archive",
            json!({ "sessionId": "$S", "openOrders": "cancel" }),
            &["sessionId", "openOrders"],
        ),
    ]
}

/// A world in which every call of the table can be made.
fn ready() -> (World, usize, Vec<(&'static str, String)>) {
    let mut world = World::new();
    let conn = world.connect();
    let session = world.session(conn);
    let call = world.pending_in(conn, &session, order());
    let (reply, _) = {
        let params = json!({ "sessionId": session });
        world
            .ask(conn, "messages.cancel", params)
            .expect("cancelled");
        world.send(conn, &session)
    };
    // Two that wait, and one that stands in the book.
    let resting = OrderRequest {
        price: Some(Price::new(990, Scale::of(1))),
        ..order()
    };
    for request in [order(), order(), resting] {
        world.strategy.answer(reply).order(request).expect("heard");
    }
    world.strategy.answer(reply).finish().expect("heard");
    world.turn();
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let pending = got["pendingApprovals"].as_array().expect("three").clone();
    assert_eq!(pending.len(), 3);
    assert_ne!(pending[0]["id"], call["id"]);
    let approve = approve(&session, &pending[2]);
    world.ask(conn, "tools.approve", approve).expect("approved");
    world
        .feed
        .levels(1, 1, true, &[(Side::Bid, 999, 5), (Side::Ask, 1_000, 5)]);
    let book = json!({ "venue": "binance", "market": "spot", "symbol": "BTCUSDT" });
    world.ask(conn, "books.get", book).expect("a book");
    let token = world.core.issue(Grant::all("ann")).expect("randomness");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let names = vec![
        ("$S", session),
        ("$M", text(&got["messages"][0]["id"])),
        ("$C", text(&pending[0]["id"])),
        ("$D", text(&pending[0]["digest"])),
        ("$T", text(&pending[1]["id"])),
        ("$O", text(&pending[2]["order"]["clientOrderId"])),
        ("$K", token.expose().to_owned()),
    ];
    (world, conn, names)
}

fn filled(params: &Value, names: &[(&str, String)]) -> Value {
    let mut text = params.to_string();
    for (name, value) in names {
        text = text.replace(name, value);
    }
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_method_does_what_it_is_there_for() {
    let named: BTreeSet<&str> = calls().iter().map(|(method, ..)| *method).collect();
    assert_eq!(
        named,
        METHODS.iter().copied().collect(),
        "the table has every method"
    );
    let (mut world, conn, names) = ready();
    for (method, params, _) in calls() {
        let outcome = world.ask(conn, method, filled(&params, &names));
        assert!(outcome.is_ok(), "{method}: {outcome:?}");
    }
}

#[test]
fn every_field_is_checked_and_named() {
    let (mut world, conn, names) = ready();
    for (method, params, needed) in calls() {
        let params = filled(&params, &names);
        let path = |outcome: &Result<Value, Value>| {
            assert_eq!(code(outcome), "VALIDATION_ERROR", "{method}");
            let error = outcome.as_ref().expect_err("refused");
            error["details"]["path"]
                .as_str()
                .expect("a path")
                .to_owned()
        };
        for field in needed {
            let mut without = params.clone();
            without.as_object_mut().expect("an object").remove(*field);
            let outcome = world.ask(conn, method, without);
            assert_eq!(
                path(&outcome),
                format!("params.{field}"),
                "{method} without {field}"
            );
            for bad in [
                json!(7.5),
                json!(null),
                json!({}),
                json!(""),
                json!("x".repeat(40_000)),
            ] {
                let mut wrong = params.clone();
                wrong[*field] = bad.clone();
                let outcome = world.ask(conn, method, wrong);
                assert_eq!(
                    path(&outcome),
                    format!("params.{field}"),
                    "{method} {field} {bad}"
                );
            }
        }
        let mut unknown = params.clone();
        unknown["surprise"] = json!(1);
        let outcome = world.ask(conn, method, unknown);
        assert_eq!(path(&outcome), "params.surprise", "{method}");
    }
    let more = [
        (
            "sessions.create",
            json!({ "projectId": "p1", "mode": "fast" }),
            "params.mode",
        ),
        (
            "sessions.create",
            json!({ "projectId": "p1", "mode": "replay" }),
            "params.mode",
        ),
        (
            "sessions.create",
            json!({ "projectId": "p1", "mode": "live" }),
            "params.mode",
        ),
        (
            "sessions.create",
            json!({ "projectId": "p1", "title": "" }),
            "params.title",
        ),
        (
            "sessions.create",
            json!({ "projectId": "p1", "params": [] }),
            "params.params",
        ),
        (
            "sessions.list",
            json!({ "projectId": "p1", "limit": 0 }),
            "params.limit",
        ),
        (
            "sessions.list",
            json!({ "projectId": "p1", "limit": 101 }),
            "params.limit",
        ),
        (
            "sessions.list",
            json!({ "projectId": "p1", "limit": "9" }),
            "params.limit",
        ),
        (
            "sessions.list",
            json!({ "projectId": "p1", "status": "gone" }),
            "params.status",
        ),
        (
            "sessions.get",
            json!({ "sessionId": "$S", "messageLimit": -1 }),
            "params.messageLimit",
        ),
        (
            "tools.approve",
            json!({ "sessionId": "$S", "toolCallId": "$C", "digest": "12" }),
            "params.digest",
        ),
        ("todos.update", json!({ "sessionId": "$S" }), "params.todos"),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todos": [], "todoId": "x" }),
            "params.todos",
        ),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todos": [], "status": "pending" }),
            "params.todos",
        ),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todos": [{ "content": "" }] }),
            "params.todos[0].content",
        ),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todos": [{ "content": "a", "status": "later" }] }),
            "params.todos[0].status",
        ),
        (
            "books.get",
            json!({ "venue": "b", "market": "m", "symbol": "s", "depth": 1_001 }),
            "params.depth",
        ),
    ];
    for (method, params, path) in more {
        let outcome = world.ask(conn, method, filled(&params, &names));
        assert_eq!(code(&outcome), "VALIDATION_ERROR", "{method} {params}");
        assert_eq!(
            outcome.expect_err("refused")["details"]["path"],
            path,
            "{method} {params}"
        );
    }
    let plan = json!({ "sessionId": "$S", "todos": [
        { "content": "a", "status": "in_progress" }, { "content": "b", "status": "in_progress" }] });
    let outcome = world.ask(conn, "todos.update", filled(&plan, &names));
    assert_eq!(code(&outcome), "VALIDATION_ERROR");
}

#[test]
fn every_method_needs_its_scope_and_its_project() {
    let (mut world, _, names) = ready();
    for (method, params, _) in calls() {
        let params = filled(&params, &names);
        let call = Call::parse(method, params.as_object().expect("an object").clone());
        let scope = call.expect("a good call").scope();
        let others = Scope::ALL.into_iter().filter(|other| *other != scope);
        let conn = world.connect_as(Grant::all("ann").scopes(others));
        let outcome = world.ask(conn, method, params.clone());
        assert_eq!(code(&outcome), "FORBIDDEN", "{method}");
        world.core.closed(conn);
        let is_of_project = ["projectId", "sessionId"]
            .iter()
            .any(|id| params.get(*id).is_some());
        if is_of_project {
            let conn = world.connect_as(Grant::all("eve").projects(["p2"]));
            let outcome = world.ask(conn, method, params);
            assert_eq!(code(&outcome), "FORBIDDEN", "{method} of another project");
            world.core.closed(conn);
        }
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let (mut world, conn, names) = ready();
    for (method, params, _) in calls() {
        if params.get("sessionId").is_some() {
            let mut params = filled(&params, &names);
            params["sessionId"] = json!("sess_none");
            let outcome = world.ask(conn, method, params);
            assert_eq!(code(&outcome), "NOT_FOUND", "{method}");
        }
    }
    let table = [
        ("agents.get", json!({ "agent": "nobody" }), "NOT_FOUND"),
        (
            "sessions.create",
            json!({ "projectId": "p1", "agent": "nobody" }),
            "NOT_FOUND",
        ),
        (
            "messages.retry",
            json!({ "sessionId": "$S", "messageId": "msg_none" }),
            "NOT_FOUND",
        ),
        (
            "tools.reject",
            json!({ "sessionId": "$S", "toolCallId": "call_none" }),
            "NOT_FOUND",
        ),
        (
            "todos.update",
            json!({ "sessionId": "$S", "todoId": "none" }),
            "NOT_FOUND",
        ),
        (
            "orders.cancel",
            json!({ "projectId": "p1", "clientOrderId": "none" }),
            "NOT_FOUND",
        ),
        (
            "books.get",
            json!({ "venue": "nowhere", "market": "spot", "symbol": "x" }),
            "NOT_FOUND",
        ),
        ("auth.refresh", json!({ "token": "tw_0_0" }), "AUTH_INVALID"),
        ("sessions.forget", json!({}), "METHOD_NOT_FOUND"),
        ("", json!({}), "VALIDATION_ERROR"),
    ];
    for (method, params, expected) in table {
        let outcome = world.ask(conn, method, filled(&params, &names));
        assert_eq!(code(&outcome), expected, "{method}");
    }
}

#[test]
fn a_repeat_with_its_key_gives_the_same_and_does_nothing() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let conn = world.connect();
    let create = json!({ "projectId": "p1", "title": "mine", "idempotencyKey": "k" });
    let first = world
        .ask(conn, "sessions.create", create.clone())
        .expect("created");
    assert_eq!(
        world.ask(conn, "sessions.create", create.clone()),
        Ok(first.clone())
    );
    let mut other = create.clone();
    other["title"] = json!("another");
    assert_eq!(code(&world.ask(conn, "sessions.create", other)), "CONFLICT");
    let send = json!({ "sessionId": first["id"], "content": "hi", "idempotencyKey": "k" });
    let sent = world
        .ask(conn, "messages.send", send.clone())
        .expect("sent");
    world.asked();
    assert_eq!(
        world.ask(conn, "messages.send", send.clone()),
        Ok(sent.clone())
    );
    assert_eq!(world.told(), [], "nothing is asked twice");
    // Another user's key is another key; and a restart forgets none.
    let bob = world.connect_as(Grant::all("bob"));
    let his = world
        .ask(bob, "sessions.create", create.clone())
        .expect("created");
    assert_ne!(his["id"], first["id"]);
    let mut world = world.restarted(folder.config());
    let conn = world.connect();
    assert_eq!(world.ask(conn, "messages.send", send), Ok(sent));
    let again = world
        .ask(conn, "sessions.create", create)
        .expect("the same");
    assert_eq!(again["id"], first["id"]);
}

#[test]
fn sessions_are_listed_newest_first_page_by_page() {
    let mut world = World::new();
    let conn = world.connect();
    let ids: Vec<String> = (0..5).map(|_| world.session(conn)).collect();
    let archive = json!({ "sessionId": ids[2], "openOrders": "leave" });
    world
        .ask(conn, "sessions.archive", archive)
        .expect("archived");
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut params = json!({ "projectId": "p1", "limit": 2, "status": "active" });
        if cursor.is_string() {
            params["cursor"] = cursor.clone();
        }
        let page = world.ask(conn, "sessions.list", params).expect("a page");
        let sessions = page["sessions"].as_array().expect("a list").clone();
        seen.extend(
            sessions
                .iter()
                .map(|session| session["id"].as_str().expect("id").to_owned()),
        );
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(
        seen,
        [&ids[4], &ids[3], &ids[1], &ids[0]].map(String::clone)
    );
}

#[test]
fn an_archived_session_takes_no_messages_and_its_orders_are_cancelled() {
    let mut world = World::new();
    let conn = world.connect();
    let resting = OrderRequest {
        price: Some(Price::new(990, Scale::of(1))),
        ..order()
    };
    let (session, call) = world.pending(conn, resting);
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
    let archive = json!({ "sessionId": session, "openOrders": "cancel" });
    let archived = world
        .ask(conn, "sessions.archive", archive.clone())
        .expect("archived");
    assert_eq!(archived["status"], "archived");
    assert_eq!(
        world.ask(conn, "sessions.archive", archive),
        Ok(archived),
        "again, the same"
    );
    let send = json!({ "sessionId": session, "content": "hi" });
    assert_eq!(code(&world.ask(conn, "messages.send", send)), "CONFLICT");
    let orders = world
        .ask(conn, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(orders["orders"][0]["status"], "canceled");
    assert!(matches!(world.told().last(), Some(Instruction::End { .. })));
}

#[test]
fn a_plan_has_one_item_in_progress_and_a_version() {
    let mut world = World::new();
    let conn = world.connect();
    let session = world.session(conn);
    let plan = json!({ "sessionId": session, "version": 0, "todos": [
        { "content": "a", "status": "in_progress" }, { "content": "b" }, { "content": "c" }] });
    let todos = world
        .ask(conn, "todos.update", plan.clone())
        .expect("a plan");
    assert_eq!(todos["version"], 1);
    assert_eq!(code(&world.ask(conn, "todos.update", plan)), "CONFLICT");
    let second = todos["todos"][1]["id"].clone();
    let update = json!({ "sessionId": session, "version": 1, "todoId": second,
        "status": "in_progress", "position": 0 });
    let todos = world.ask(conn, "todos.update", update).expect("changed");
    let words: Vec<String> = todos["todos"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|todo| {
            format!(
                "{} {} {}",
                todo["position"], todo["content"], todo["status"]
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            "0 \"b\" \"in_progress\"",
            "1 \"a\" \"pending\"",
            "2 \"c\" \"pending\""
        ]
    );
    assert_eq!(
        world.ask(conn, "todos.get", json!({ "sessionId": session })),
        Ok(todos)
    );
}

#[test]
fn one_answer_at_a_time_and_a_cancel_says_whether_there_was_one() {
    let mut world = World::new();
    let conn = world.connect();
    let session = world.session(conn);
    let (reply, sent) = world.send(conn, &session);
    let send = json!({ "sessionId": session, "content": "more" });
    let busy = world.ask(conn, "messages.send", send);
    assert_eq!(code(&busy), "BUSY");
    assert_eq!(busy.expect_err("refused")["retryable"], true);
    world.strategy.answer(reply).order(order()).expect("heard");
    world.turn();
    let cancel = json!({ "sessionId": session });
    let cancelled = world.ask(conn, "messages.cancel", cancel.clone());
    assert_eq!(cancelled, Ok(json!({ "cancelled": true })));
    assert_eq!(
        world.ask(conn, "messages.cancel", cancel),
        Ok(json!({ "cancelled": false }))
    );
    world
        .strategy
        .answer(reply)
        .text("too late")
        .expect("heard");
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    assert_eq!(got["messages"][1]["id"], sent["replyId"]);
    assert_eq!(got["messages"][1]["status"], "cancelled");
    assert_eq!(got["pendingApprovals"], json!([]));
    assert_eq!(
        got["messages"][1]["parts"][0]["toolCall"]["state"],
        "cancelled"
    );
}

#[test]
fn an_answer_streams_as_parts() {
    let mut world = World::new();
    let conn = world.connect();
    let session = world.session(conn);
    world.subscribe(conn, &json!(format!("session:{session}")));
    let (reply, _) = world.send(conn, &session);
    let mut answer = world.strategy.answer(reply);
    answer.step("look").expect("heard");
    answer.reasoning("the book is thin").expect("heard");
    answer.text("I ").expect("heard");
    answer.text("wait").expect("heard");
    answer.step_done().expect("heard");
    answer.finish().expect("heard");
    let frames = world.read(conn);
    assert_eq!(
        events(&frames),
        [
            "part.created",
            "part.created",
            "part.created",
            "part.updated",
            "part.created",
            "message.updated"
        ]
    );
    let kinds: Vec<&Value> = frames
        .iter()
        .map(|frame| &frame["data"]["part"]["type"])
        .collect();
    assert_eq!(
        kinds[..3],
        [&json!("step-start"), &json!("reasoning"), &json!("text")]
    );
    assert_eq!(frames[3]["data"]["append"], "wait");
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    assert_eq!(got["messages"][1]["parts"][2]["content"], "I wait");
    assert_eq!(got["messages"][1]["status"], "complete");
}

#[test]
fn the_switch_stops_all_and_says_what_it_stopped() {
    let mut world = World::new();
    let conn = world.connect();
    world.subscribe(conn, &json!("system"));
    let resting = OrderRequest {
        price: Some(Price::new(990, Scale::of(1))),
        ..order()
    };
    let (session, call) = world.pending(conn, resting);
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
    let other = world.session(conn);
    world.pending_in(conn, &other, order());
    world.read(conn);
    let (killed, frames) = world.ask_all(conn, "system.kill", json!({ "reason": "test" }));
    assert_eq!(
        killed,
        Ok(json!({ "approvalsCancelled": 1, "messagesCancelled": 2, "ordersCancelled": 1 }))
    );
    let changed: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame["event"] == "agent.status_changed")
        .map(|frame| &frame["data"]["status"])
        .collect();
    assert_eq!(changed, ["halted", "halted"]);
    let (session, call) = world.pending(conn, order());
    let refused = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(code(&refused), "TRADING_HALTED");
    world
        .ask(conn, "system.resume", json!({ "reason": "test" }))
        .expect("resumed");
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
}

#[test]
fn the_switch_outlives_a_restart() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let conn = world.connect();
    world
        .ask(conn, "system.kill", json!({ "reason": "test" }))
        .expect("killed");
    let mut world = world.restarted(folder.config());
    let conn = world.connect();
    let stats = world.ask(conn, "system.stats", json!({})).expect("there");
    assert_eq!(stats["state"], "halted");
    let system = world.subscribe(conn, &json!("system"));
    assert_eq!(system["snapshot"]["halted"], "test");
}

#[test]
fn every_event_is_told() {
    let mut world = World::new();
    let mut told: BTreeSet<String> = BTreeSet::from(["connected".to_owned()]);
    let conn = world.connect();
    for channel in [
        "system",
        "project:p1",
        "user:ann",
        "orders:p1",
        "venue:binance",
        "book:binance:spot:X",
        "trades:binance:spot:X",
        "ticker:binance:spot:X",
    ] {
        world.subscribe(conn, &json!(channel));
    }
    let session = world.session(conn);
    world.subscribe(conn, &json!(format!("session:{session}")));
    let mut keep = |frames: Vec<Value>| {
        told.extend(events(&frames).into_iter().map(str::to_owned));
    };
    let (reply, _) = {
        let params = json!({ "sessionId": session, "content": "buy" });
        let (sent, frames) = world.ask_all(conn, "messages.send", params);
        keep(frames);
        (world.asked(), sent)
    };
    world.strategy.answer(reply).text("a").expect("heard");
    world.strategy.answer(reply).text("b").expect("heard");
    world.strategy.answer(reply).order(order()).expect("heard");
    keep(world.read(conn));
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let call = &got["pendingApprovals"][0];
    for (method, params) in [
        ("tools.approve", approve(&session, call)),
        ("todos.update", json!({ "sessionId": session, "todos": [] })),
        ("messages.cancel", json!({ "sessionId": session })),
        (
            "sessions.archive",
            json!({ "sessionId": session, "openOrders": "leave" }),
        ),
        ("system.kill", json!({ "reason": "test" })),
    ] {
        let (outcome, frames) = world.ask_all(conn, method, params);
        outcome.expect(method);
        keep(frames);
    }
    world.feed.levels(1, 1, true, &[(Side::Bid, 999, 5)]);
    keep(world.read(conn));
    world.feed.levels(1, 2, false, &[(Side::Bid, 999, 6)]);
    keep(world.read(conn));
    world.feed.stale(1);
    world.feed.trade(2, 7);
    world.market.stale(1);
    keep(world.read(conn));
    keep(world.read(conn));
    // The ticker is a wide event, which a scripted feed has none of.
    told.insert("ticker".to_owned());
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let mut every = EVENTS.to_vec();
    every.sort_unstable();
    assert_eq!(told, every);
}

#[test]
fn a_session_trades_against_what_its_mode_says() {
    let mut world = World::new();
    let recorded = Script::default();
    let book = [(Side::Bid, 1_999, 500), (Side::Ask, 2_000, 500)];
    recorded.levels(1, 1, true, &book);
    let desk = PaperDesk::new(recorded, [key()]).expect("a desk");
    world.core.desks.replay = Some(Box::new(desk.replaying()));
    world.turn();
    let conn = world.connect();
    for (mode, price) in [("paper", "100.0"), ("replay", "200.0")] {
        let create = json!({ "projectId": "p1", "mode": mode });
        let session = world.ask(conn, "sessions.create", create).expect("one");
        let session = session["id"].as_str().expect("an id").to_owned();
        let order = OrderRequest {
            price: Some(price.parse().expect("a price")),
            ..order()
        };
        let call = world.pending_in(conn, &session, order);
        world
            .ask(conn, "tools.approve", approve(&session, &call))
            .expect("approved");
        world.turn();
        let got = world
            .ask(conn, "sessions.get", json!({ "sessionId": session }))
            .expect("there");
        let result = &got["messages"][1]["parts"][1]["toolResult"];
        assert_eq!(result["order"]["mode"], mode);
        assert_eq!(result["fill"]["price"], price);
    }
    let list = world.ask(conn, "positions.list", json!({ "projectId": "p1" }));
    let positions = list.expect("there")["positions"].clone();
    let modes: Vec<&str> = { positions.as_array().into_iter().flatten() }
        .filter_map(|position| position["mode"].as_str())
        .collect();
    assert_eq!(modes, ["paper", "replay"]);
}

//! Who lets an order out, until when, and that nothing else goes out.

use tickwire::operator::CallOutcome;

use super::*;

/// Fills that the market's orders channel has told.
fn fills(frames: &[Value]) -> usize {
    let orders = frames
        .iter()
        .filter(|frame| frame["event"] == "order.updated");
    orders
        .filter(|frame| frame["data"].get("fill").is_some())
        .count()
}

fn outcomes(told: &[Instruction]) -> Vec<String> {
    let outcomes = told.iter().filter_map(|instruction| match instruction {
        Instruction::Outcome { outcome, .. } => Some(match outcome {
            CallOutcome::Sent { .. } => "sent".to_owned(),
            CallOutcome::Refused { reason } => reason.to_string(),
        }),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn an_approved_order_goes_out_and_its_fill_is_seen_everywhere() {
    let mut world = World::new();
    let conn = world.connect();
    for channel in ["project:p1", "user:ann", "orders:p1"] {
        world.subscribe(conn, &json!(channel));
    }
    let session = world.session(conn);
    world.subscribe(conn, &json!(format!("session:{session}")));
    let (reply, _) = world.send(conn, &session);
    world.strategy.answer(reply).order(order()).expect("heard");
    let frames = world.read(conn);
    let required: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame["event"] == "tool.approval_required")
        .collect();
    let channels: Vec<&str> = required
        .iter()
        .filter_map(|frame| frame["channel"].as_str())
        .collect();
    assert_eq!(channels.len(), 3, "{channels:?}");
    let call = required[0]["data"]["toolCall"].clone();
    assert_eq!(call["order"]["price"], "100.0");
    assert_eq!(call["order"]["size"], "1.50");
    assert_eq!(
        call["expiresAt"].as_i64(),
        call["requestedAt"].as_i64().map(|at| at + 60_000)
    );
    let (decision, frames) = world.ask_all(conn, "tools.approve", approve(&session, &call));
    let decision = decision.expect("approved");
    assert_eq!(
        (&decision["state"], &decision["decidedBy"]),
        (&json!("approved"), &json!("ann"))
    );
    let mut frames = frames;
    frames.extend(world.read(conn));
    assert_eq!(fills(&frames), 1, "{frames:?}");
    let resolved = frames
        .iter()
        .filter(|frame| frame["event"] == "tool.approval_resolved");
    assert_eq!(resolved.count(), 3);
    assert_eq!(outcomes(&world.told()), ["sent"]);
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let parts = &got["messages"][1]["parts"];
    assert_eq!(parts[0]["toolCall"]["dispatch"], "sent");
    assert_eq!(parts[1]["toolResult"]["fill"]["qty"], "1.50");
    assert_eq!(parts[1]["toolResult"]["order"]["status"], "filled");
    let positions = world
        .ask(conn, "positions.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(positions["positions"][0]["qty"], "1.50");
}

#[test]
fn the_first_decision_wins_and_is_told_to_whoever_decides_again() {
    let mut world = World::new();
    let (ann, bob) = (world.connect(), world.connect_as(Grant::all("bob")));
    let (session, call) = world.pending(ann, order());
    let first = world
        .ask(ann, "tools.approve", approve(&session, &call))
        .expect("approved");
    world.now += Nanos::from_secs(1);
    let again = world
        .ask(bob, "tools.approve", approve(&session, &call))
        .expect("the same");
    assert_eq!(first, again);
    let reject = json!({ "sessionId": session, "toolCallId": call["id"] });
    let other = world.ask(bob, "tools.reject", reject);
    assert_eq!(code(&other), "NOT_PENDING");
    assert_eq!(other.expect_err("refused")["details"]["decidedBy"], "ann");
    let orders = world
        .ask(ann, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(
        orders["orders"].as_array().map(Vec::len),
        Some(1),
        "sent once"
    );
}

#[test]
fn a_rejected_order_does_not_go_out() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    let reject = json!({ "sessionId": session, "toolCallId": call["id"], "reason": "too much" });
    let first = world
        .ask(conn, "tools.reject", reject.clone())
        .expect("rejected");
    assert_eq!(first["state"], "rejected");
    assert_eq!(world.ask(conn, "tools.reject", reject), Ok(first));
    assert_eq!(
        code(&world.ask(conn, "tools.approve", approve(&session, &call))),
        "NOT_PENDING"
    );
    assert_eq!(outcomes(&world.told()), ["too much"]);
    let orders = world
        .ask(conn, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(orders["orders"], json!([]));
}

#[test]
fn an_order_expires_after_60_seconds() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    for _ in 0..58 {
        world.core.heard(conn, world.now);
        world.pass(Nanos::from_secs(1));
    }
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    assert_eq!(got["pendingApprovals"].as_array().map(Vec::len), Some(1));
    // No tick in between: the decision itself looks at the clock.
    world.now += Nanos::from_secs(2);
    let late = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(code(&late), "APPROVAL_EXPIRED");
    let again = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(code(&again), "APPROVAL_EXPIRED");
    assert_eq!(outcomes(&world.told()), ["nobody decided in time"]);
}

#[test]
fn an_approval_of_another_digest_is_refused_and_decides_nothing() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    let mut wrong = approve(&session, &call);
    wrong["digest"] = json!("0".repeat(64));
    assert_eq!(code(&world.ask(conn, "tools.approve", wrong)), "CONFLICT");
    let decision = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(decision.expect("still to be decided")["state"], "approved");
}

#[test]
fn each_field_of_an_order_is_in_its_digest() {
    let mut world = World::new();
    let conn = world.connect();
    let table: [fn(&mut OrderRequest); 6] = [
        |order| order.side = Side::Ask,
        |order| order.price = Some(Price::new(1_001, Scale::of(1))),
        |order| order.size = Size::Base(Qty::new(151, Scale::of(2))),
        |order| order.time_in_force = TimeInForce::Ioc,
        |order| order.order_type = OrderType::LimitMaker,
        |order| order.client_order_id = ClientOrderId::from("mine").expect("short"),
    ];
    let mut digests = std::collections::BTreeSet::new();
    for change in table {
        let mut order = order();
        change(&mut order);
        let (_, call) = world.pending(conn, order);
        assert!(digests.insert(call["digest"].to_string()));
    }
}

#[test]
fn a_pending_order_outlives_its_client() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    world.core.closed(conn);
    world.pass(Nanos::from_secs(30));
    let conn = world.connect();
    let inbox = world.subscribe(conn, &json!("user:ann"));
    assert_eq!(inbox["snapshot"]["pendingApprovals"][0]["id"], call["id"]);
    let decision = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(decision.expect("approved")["state"], "approved");
}

#[test]
fn a_restart_rejects_what_waits_and_ends_what_was_being_said() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    let mut world = world.restarted(folder.config());
    let conn = world.connect();
    let late = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(code(&late), "NOT_PENDING");
    let details = late.expect_err("refused")["details"].clone();
    assert_eq!(
        (&details["state"], &details["decidedBy"]),
        (&json!("rejected"), &json!("restart"))
    );
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    assert_eq!(got["pendingApprovals"], json!([]));
    assert_eq!(got["messages"][1]["status"], "error");
    assert_eq!(
        got["messages"][1]["parts"][0]["toolCall"]["state"],
        "rejected"
    );
    let orders = world
        .ask(conn, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(orders["orders"], json!([]));
}

#[test]
fn the_switch_between_approval_and_dispatch_keeps_the_order_back() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    let frame = |id: &str, method: &str, params: Value| {
        json!({ "type": "request", "id": id, "method": method, "params": params }).to_string()
    };
    // Both within one turn: the decision is taken, and nothing was sent yet.
    world.say(conn, &frame("a", "tools.approve", approve(&session, &call)));
    world.say(
        conn,
        &frame("k", "system.kill", json!({ "reason": "stop" })),
    );
    let frames = world.read(conn);
    let answer = |id: &str| {
        frames
            .iter()
            .find(|frame| frame["id"] == id)
            .expect("an answer")
    };
    assert_eq!(answer("a")["result"]["state"], "approved");
    assert_eq!(answer("k")["result"]["ordersCancelled"], 0);
    let told = outcomes(&world.told());
    assert!(told[0].contains("halted"), "{told:?}");
    let orders = world
        .ask(conn, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(orders["orders"], json!([]));
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let parts = &got["messages"][1]["parts"];
    assert_eq!(parts[0]["toolCall"]["dispatch"], "refused");
    assert_eq!(parts[1]["toolResult"]["error"]["code"], "TRADING_HALTED");
}

#[test]
fn what_is_checked_at_the_decision_is_checked_again_at_dispatch() {
    let mut world = World::new();
    let conn = world.connect();
    // At the decision: the collar, the venue, the switch; the order stays pending.
    let far = OrderRequest {
        price: Some(Price::new(1_200, Scale::of(1))),
        ..order()
    };
    let (session, call) = world.pending(conn, far);
    assert_eq!(
        code(&world.ask(conn, "tools.approve", approve(&session, &call))),
        "RISK_REJECTED"
    );
    let (session, call) = world.pending(conn, order());
    world.market.stale(1);
    world.turn();
    let down = world.ask(conn, "tools.approve", approve(&session, &call));
    assert_eq!(code(&down), "VENUE_DOWN");
    assert_eq!(down.expect_err("refused")["retryable"], true);
    world.market.levels(
        1,
        9,
        true,
        &[(Side::Bid, 999, 500), (Side::Ask, 1_000, 500)],
    );
    world.turn();
    // At dispatch: the venue went away in the same turn.
    let frame = json!({ "type": "request", "id": "a", "method": "tools.approve",
        "params": approve(&session, &call) });
    world.say(conn, &frame.to_string());
    world.market.stale(1);
    let frames = world.read(conn);
    let answer = frames
        .iter()
        .find(|frame| frame["id"] == "a")
        .expect("an answer");
    assert_eq!(answer["result"]["state"], "approved");
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let parts = &got["messages"][1]["parts"];
    assert_eq!(parts[1]["toolResult"]["error"]["code"], "VENUE_DOWN");
}

#[test]
fn who_must_be_asked_is_the_policys_word_and_reduce_only_never_is() {
    let above = ApprovalPolicy {
        paper: Approval::AboveLimit,
        notional_max: "150".parse().expect("a number"),
        ..ApprovalPolicy::default()
    };
    let auto = ApprovalPolicy::default();
    let required = config().approvals;
    let small = order();
    let large = OrderRequest {
        size: Size::Base(Qty::new(151, Scale::of(2))),
        ..order()
    };
    let market = OrderRequest {
        order_type: OrderType::Market,
        price: None,
        ..order()
    };
    let reduce = OrderRequest {
        reduce_only: true,
        ..order()
    };
    let table = [
        (&auto, large, false),
        (&required, small, true),
        (&required, reduce, false),
        (&above, small, false),
        (&above, large, true),
        (&above, market, true),
    ];
    for (policy, order, waits) in table {
        let mut world = World::with(Config {
            approvals: policy.clone(),
            ..Config::default()
        });
        let conn = world.connect();
        let (_, call) = world.pending(conn, order);
        assert_eq!(call.is_object(), waits, "{policy:?} {order:?}");
        let sent = outcomes(&world.told());
        assert_eq!(sent.is_empty(), waits);
    }
    assert_eq!(ApprovalPolicy::default().of(Mode::Live), Approval::Required);
}

#[test]
fn a_retry_never_sends_again_what_may_have_reached_a_venue() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
    world.told();
    let cancel = json!({ "sessionId": session });
    world
        .ask(conn, "messages.cancel", cancel)
        .expect("cancelled");
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    let message = got["messages"][0]["id"].clone();
    let retry = json!({ "sessionId": session, "messageId": message });
    world
        .ask(conn, "messages.retry", retry)
        .expect("asked again");
    let reply = world.asked();
    // The same thing at another price is the same thing.
    let again = OrderRequest {
        price: Some(Price::new(1_001, Scale::of(1))),
        ..order()
    };
    world.strategy.answer(reply).order(again).expect("heard");
    world.turn();
    let told = outcomes(&world.told());
    assert!(told[0].starts_with("sent before as twg-"), "{told:?}");
    let orders = world
        .ask(conn, "orders.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1));
    // Another side is another thing.
    let sell = OrderRequest {
        side: Side::Ask,
        price: Some(Price::new(999, Scale::of(1))),
        ..order()
    };
    world.strategy.answer(reply).order(sell).expect("heard");
    world.turn();
    let got = world
        .ask(conn, "sessions.get", json!({ "sessionId": session }))
        .expect("there");
    assert_eq!(got["pendingApprovals"].as_array().map(Vec::len), Some(1));
}

#[test]
fn approvals_need_their_scope_and_their_project() {
    let mut world = World::new();
    let conn = world.connect();
    let (session, call) = world.pending(conn, order());
    let without = Scope::ALL
        .into_iter()
        .filter(|scope| *scope != Scope::Approve);
    let bob = world.connect_as(Grant::all("bob").scopes(without));
    let eve = world.connect_as(Grant::all("eve").projects(["p2"]));
    for conn in [bob, eve] {
        assert_eq!(
            code(&world.ask(conn, "tools.approve", approve(&session, &call))),
            "FORBIDDEN"
        );
    }
}

/// A price at which nobody sells.
fn resting() -> OrderRequest {
    OrderRequest {
        price: Some(Price::new(990, Scale::of(1))),
        ..order()
    }
}

/// The call and its result, as the session's answer shows them.
fn shown(world: &mut World, conn: usize, session: &str) -> (Value, Value) {
    world.turn();
    let got = world.ask(conn, "sessions.get", json!({ "sessionId": session }));
    let parts = got.expect("there")["messages"][1]["parts"].clone();
    (parts[0]["toolCall"].clone(), parts[1]["toolResult"].clone())
}

#[test]
fn what_becomes_of_an_order_after_a_restart_is_shown_in_its_old_message() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let conn = world.connect();
    let (session, call) = world.pending(conn, resting());
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
    let (_, result) = shown(&mut world, conn, &session);
    assert_eq!(result["order"]["status"], "new");
    let mut world = world.restarted(folder.config());
    let conn = world.connect();
    let (call, result) = shown(&mut world, conn, &session);
    assert_eq!(call["dispatch"], "sent");
    // Paper is in memory.
    assert_eq!(result["order"]["status"], "canceled");
    assert!(result["order"]["reason"].is_string(), "{result}");
    // It is over: another restart has nothing to find out.
    let mut world = world.restarted(folder.config());
    assert!(world.core.calls.is_empty());
    let conn = world.connect();
    let (_, again) = shown(&mut world, conn, &session);
    assert_eq!(again, result);
}

#[test]
fn an_order_that_was_about_to_go_when_the_gateway_ended_counts_as_sent() {
    let folder = Folder::new();
    let mut world = World::with(folder.config());
    let conn = world.connect();
    let (session, call) = world.pending(conn, resting());
    let frame = json!({ "type": "request", "id": "a", "method": "tools.approve",
        "params": approve(&session, &call) });
    world.say(conn, &frame.to_string());
    // It is written down that it goes, and then the power fails.
    let id = world.core.to_dispatch.pop_front().expect("approved");
    assert!(world.core.let_out(&id));
    world.core.store.commit().expect("the store");
    let mut world = world.restarted(folder.config());
    let conn = world.connect();
    let orders = world.ask(conn, "orders.list", json!({ "projectId": "p1" }));
    assert_eq!(orders.expect("there")["orders"], json!([]), "not sent now");
    let got = world.ask(conn, "sessions.get", json!({ "sessionId": session }));
    let message = got.expect("there")["messages"][0]["id"].clone();
    let (call, _) = shown(&mut world, conn, &session);
    assert_eq!(call["state"], "approved");
    let retry = json!({ "sessionId": session, "messageId": message });
    world
        .ask(conn, "messages.retry", retry)
        .expect("asked again");
    let reply = world.asked();
    world
        .strategy
        .answer(reply)
        .order(resting())
        .expect("heard");
    world.turn();
    let told = outcomes(&world.told());
    assert!(told[0].starts_with("sent before as"), "{told:?}");
}

#[test]
fn reduce_only_on_paper_makes_positions_smaller_and_nothing_else() {
    let mut world = World::new();
    let conn = world.connect();
    let reduce = OrderRequest {
        side: Side::Ask,
        price: Some(Price::new(999, Scale::of(1))),
        reduce_only: true,
        ..order()
    };
    // Nobody is asked, and so nothing may come of it but a smaller position.
    let (session, _) = world.pending(conn, reduce);
    assert!(outcomes(&world.told())[0].contains("no position"));
    let params = json!({ "sessionId": session });
    world
        .ask(conn, "messages.cancel", params)
        .expect("cancelled");
    let call = world.pending_in(conn, &session, order());
    world
        .ask(conn, "tools.approve", approve(&session, &call))
        .expect("approved");
    assert_eq!(outcomes(&world.told()), ["sent"]);
    let params = json!({ "sessionId": session });
    world
        .ask(conn, "messages.cancel", params)
        .expect("cancelled");
    world.pending_in(conn, &session, reduce);
    assert_eq!(outcomes(&world.told()), ["sent"]);
    let positions = world
        .ask(conn, "positions.list", json!({ "projectId": "p1" }))
        .expect("there");
    assert_eq!(positions["positions"], json!([]));
}

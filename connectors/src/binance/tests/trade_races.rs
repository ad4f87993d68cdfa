//! What overtakes what: cancels and places, answers and streams, the kill switch and what is under way.

use super::trade::{KEY, Rig, SECRET, limit, order_json, order_ref, report};
use super::*;
use crate::credentials::Credentials;
use crate::trading::{Action, AmendRequest, Transport};
use tickwire_orderbook::Qty;

/// A rig with one order that stands.
fn standing() -> Rig {
    let mut rig = Rig::spot();
    rig.live();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    let ack = order_json("a", "NEW", "0");
    rig.reply("order.place", &format!(r#""status":200,"result":{ack}"#));
    rig.told();
    rig
}

fn by_rest() -> Rig {
    let credentials = Credentials::hmac(KEY, SECRET);
    let mut rig = Rig::new(BinanceConfig::spot(), credentials, Transport::Rest);
    rig.live();
    rig.told();
    rig
}

fn methods(rig: &Rig) -> Vec<String> {
    let requests = rig.requests.iter();
    requests.map(|one| format!("{:?}", one.method)).collect()
}

#[test]
fn a_cancel_does_not_overtake_the_order_that_it_cancels() {
    let mut rig = Rig::spot();
    rig.live();
    let asked = [
        Action::Place(limit("a", "52000", "0.01")),
        Action::Cancel(order_ref("a")),
    ];
    let (mut out, sent) = (Outbox::new(), rig.texts.len());
    for (number, action) in asked.iter().enumerate() {
        // Both are asked for before anything is written.
        let ticket = crate::trading::Ticket::new(0, number as u64, true);
        rig.venue.handle_action(rig.now, ticket, action, &mut out);
    }
    rig.pump();
    let (place, cancel) = (&rig.texts[sent], &rig.texts[sent + 1]);
    assert!(place.contains("order.place") && cancel.contains("order.cancel"));

    // By HTTP each may take another connection: the cancel waits for the answer.
    let mut rig = by_rest();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.action(2, Action::Cancel(order_ref("a")));
    assert_eq!(methods(&rig), ["Post"]);
    rig.respond("/api/v3/order?", 200, &order_json("a", "NEW", "0"));
    assert_eq!(methods(&rig), ["Delete"]);
}

#[test]
fn a_cancel_without_an_answer_is_over_when_the_order_is_found_to_stand() {
    let mut rig = standing();
    rig.action(2, Action::Cancel(order_ref("a")));
    rig.later(5_000);
    assert_eq!(rig.told(), ["a pending_cancel 0", "cancel Unknown Timeout"]);
    rig.respond("/api/v3/order?", 200, &order_json("a", "NEW", "0"));
    assert_eq!(rig.told(), ["a new 0"]);
}

#[test]
fn an_order_that_is_sent_again_is_told_again() {
    let mut rig = standing();
    rig.message(&report("a", "CANCELED", "CANCELED", "0", "0", -1));
    assert_eq!(rig.told(), ["a canceled 0"]);
    let sent = rig.texts.len();
    rig.action(2, Action::Place(limit("a", "52000", "0.01")));
    assert_eq!(rig.told(), ["a canceled 0"]);
    assert_eq!(rig.texts.len(), sent);
}

#[test]
fn a_change_is_told_and_a_late_answer_does_not_take_it_back() {
    let mut rig = standing();
    let qty = |text: &str| Qty::parse(text.as_bytes()).expect("a quantity");
    let amend = |text| AmendRequest {
        order: order_ref("a"),
        price: None,
        qty: Some(qty(text)),
    };
    rig.action(2, Action::Amend(amend("0.008")));
    let first = rig.id_of("order.amend.keepPriority");
    rig.action(3, Action::Amend(amend("0.005")));
    let replaced =
        |now: &str| report("a", "REPLACED", "NEW", "0", "0", -1).replace("0.01000000", now);
    rig.later(10);
    rig.message(&replaced("0.00800000"));
    rig.message(&replaced("0.00500000"));
    let known = |rig: &Rig| rig.order("a").qty;
    assert_eq!(known(&rig), Some(qty("0.005")));
    assert_eq!(rig.told(), ["a new 0", "a new 0"]);
    let late = order_json("a", "NEW", "0").replace("0.01000000", "0.00800000");
    rig.message(&format!(
        r#"{{"id":"{first}","status":200,"result":{{"amendedOrder":{late}}}}}"#
    ));
    assert_eq!(known(&rig), Some(qty("0.005")));
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn the_kill_switch_cancels_what_was_on_its_way_and_what_a_cancel_has_missed() {
    let mut rig = by_rest();
    rig.action(1, Action::Place(limit("a", "52000", "0.01")));
    rig.action(2, Action::Kill);
    // All that stands at once, and what has no answer yet behind its answer.
    assert_eq!(methods(&rig), ["Post", "Delete"]);
    rig.respond("/api/v3/order?", 200, &order_json("a", "NEW", "0"));
    rig.respond("/api/v3/openOrders", 200, "[]");
    assert_eq!(methods(&rig), ["Delete"]);
    // Nobody knows: it is looked up, found standing, and cancelled again.
    rig.respond("/api/v3/order?", 503, "{}");
    rig.later(1_000);
    assert_eq!(methods(&rig), ["Get"]);
    rig.respond("/api/v3/order?", 200, &order_json("a", "NEW", "0"));
    assert_eq!(methods(&rig), ["Delete"]);
    assert!(rig.requests[0].target.starts_with("/api/v3/openOrders"));
    rig.message(&report("a", "CANCELED", "CANCELED", "0", "0", -1));
    rig.respond("/api/v3/openOrders", 200, "[]");
    rig.told();
    rig.later(60_000);
    let cancels = methods(&rig).contains(&"Delete".to_owned());
    assert!(!cancels, "nothing stands");
}

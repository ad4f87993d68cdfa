use proptest::prelude::*;
use tickwire_orderbook::{Amount, Price, Side};

use super::*;
use crate::instrument::{Currency, InstrumentKey, Market, Venue, symbol};
use crate::order::{Liquidity, OrderType, Stop, TimeInForce, TriggerBy};

const LIFE: Nanos = Nanos::from_secs(5);

fn qty(units: i64) -> Qty {
    Qty::new(units, Scale::of(0))
}

fn client(text: &str) -> ClientOrderId {
    ClientOrderId::from(text).expect("short")
}

fn venue(text: &str) -> VenueOrderId {
    VenueOrderId::from(text).expect("short")
}

fn request(id: &str) -> OrderRequest {
    OrderRequest {
        instrument: InstrumentKey {
            venue: Venue::Binance,
            market: Market::Spot,
            symbol: symbol("BTC/USDT").expect("short"),
        },
        side: Side::Bid,
        order_type: OrderType::Limit,
        size: Size::Base(qty(10)),
        price: Some(Price::new(100, Scale::of(0))),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: client(id),
    }
}

fn said(id: &str, status: OrderStatus, filled: i64) -> OrderUpdate {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &request(id));
    OrderUpdate {
        venue_order_id: venue("v1"),
        status,
        filled: qty(filled),
        ..tracker
            .find(&OrderId::Client(client(id)))
            .expect("added")
            .update()
    }
}

fn fill(id: &str, trade: &str, units: i64) -> Fill {
    Fill {
        instrument: request(id).instrument,
        client_order_id: client(id),
        venue_order_id: venue("v1"),
        trade_id: TradeId::from(trade).expect("short"),
        side: Side::Bid,
        price: Price::new(100, Scale::of(0)),
        qty: qty(units),
        fee: Amount::new(1, 0),
        fee_currency: Currency::new(),
        liquidity: Liquidity::Maker,
        settlement: Settlement::Final,
        exch_ns: Nanos(1),
    }
}

#[test]
fn a_command_resent_with_the_same_key_is_no_second_order() {
    let mut tracker = Tracker::new();
    assert_eq!(tracker.add(Nanos(0), &request("a")), Added::New);
    assert_eq!(tracker.add(Nanos(1), &request("a")), Added::Known);
    tracker.report(Nanos(0), &said("a", OrderStatus::Filled, 10));
    assert_eq!(
        tracker.add(Nanos(2), &request("a")),
        Added::Known,
        "also after its end"
    );
    assert_eq!(tracker.open_count(), 0);
}

#[test]
fn a_fill_before_the_ack_counts_once() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &request("a"));
    let first = tracker.fill(&fill("a", "t1", 4)).expect("new");
    let order = first.order.expect("changed");
    assert_eq!(
        (order.status, order.filled),
        (OrderStatus::PartiallyFilled, qty(4))
    );
    assert_eq!(tracker.fill(&fill("a", "t1", 4)), None, "told before");
    assert_eq!(
        tracker.report(Nanos(0), &said("a", OrderStatus::New, 0)),
        None,
        "the late ack says less"
    );
    assert_eq!(tracker.accepted(&client("a"), &venue("v1")), None);
    let whole = tracker.fill(&fill("a", "t2", 6)).expect("new");
    assert_eq!(
        whole.order.map(|order| order.status),
        Some(OrderStatus::Filled)
    );
    assert_eq!(
        tracker.report(Nanos(0), &said("a", OrderStatus::Filled, 10)),
        None
    );
}

#[test]
fn a_fill_of_an_order_by_its_venue_id_gets_our_id() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &request("a"));
    tracker.accepted(&client("a"), &venue("v1"));
    let mut anonymous = fill("a", "t1", 4);
    anonymous.client_order_id = ClientOrderId::new();
    let filled = tracker.fill(&anonymous).expect("new");
    assert_eq!(filled.fill.client_order_id, client("a"));
}

#[test]
fn a_settlement_that_goes_on_is_told_and_counts_once() {
    use Effect::{Adds, Nothing, TakesBack};
    use Settlement::{Failed, Final, Matched, Mined, Retrying};
    // What comes, and what it is worth; `None` where it is not told.
    type Life<'a> = &'a [(Settlement, Option<Effect>)];
    let table: [Life<'_>; 6] = [
        &[
            (Matched, Some(Adds)),
            (Matched, None),
            (Mined, Some(Nothing)),
            (Mined, None),
            (Matched, None),
            (Final, Some(Nothing)),
            (Final, None),
            (Mined, None),
        ],
        &[
            (Matched, Some(Adds)),
            (Retrying, Some(Nothing)),
            (Mined, Some(Nothing)),
            (Retrying, Some(Nothing)),
            (Failed, Some(TakesBack)),
            (Failed, None),
            (Retrying, None),
            (Final, None),
        ],
        // Its beginning was missed.
        &[(Mined, Some(Adds)), (Matched, None), (Final, Some(Nothing))],
        &[(Final, Some(Adds)), (Failed, None)],
        &[(Failed, Some(Nothing)), (Matched, None)],
        &[(Retrying, Some(Adds)), (Failed, Some(TakesBack))],
    ];
    for life in table {
        let mut tracker = Tracker::new();
        tracker.add(Nanos(0), &request("a"));
        for (step, (settlement, effect)) in life.iter().enumerate() {
            let told = tracker.fill(&Fill {
                settlement: *settlement,
                ..fill("a", "t1", 4)
            });
            assert_eq!(told.map(|told| told.effect), *effect, "{step} of {life:?}");
            let changed = told.and_then(|told| told.order).is_some();
            assert_eq!(changed, step == 0, "{step} of {life:?}");
        }
        // Matched is matched: the order does not stand again, whatever becomes of the trade.
        let order = tracker.find(&OrderId::Client(client("a"))).expect("there");
        assert_eq!((order.traded, order.update().filled), (qty(4), qty(4)));
    }
}

#[test]
fn an_order_without_an_answer_is_unknown_until_it_was_looked_up() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &request("a"));
    let lost = tracker.lost(Nanos::from_secs(1), &client("a"));
    assert_eq!(lost.map(|order| order.status), Some(OrderStatus::Unknown));
    let (id, none) = (client("a"), VenueOrderId::new());

    // Not found, but the request may still arrive: asked again, and only later is it over.
    let asked = tracker.next_lookup(Nanos::from_secs(1));
    assert_eq!(asked.map(|order| order.client_order_id), Some(id));
    assert_eq!(
        tracker.next_lookup(Nanos::from_secs(1)),
        None,
        "one look at a time"
    );
    assert_eq!(
        tracker.not_found(Nanos::from_secs(6), LIFE, &id, &none),
        None
    );
    assert!(tracker.is_in_doubt());
    let due = tracker.lookup_deadline();
    assert!(due > Nanos::from_secs(6) && tracker.next_lookup(due).is_some());
    let over = tracker.not_found(due, LIFE, &id, &none);
    assert_eq!(over.map(|order| order.status), Some(OrderStatus::Rejected));
    assert!(!tracker.is_in_doubt());
    assert_eq!(
        (tracker.open_count(), tracker.lookup_deadline()),
        (0, Nanos::MAX)
    );
}

#[test]
fn an_unknown_order_that_is_found_goes_on() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &request("a"));
    tracker.lost(Nanos(0), &client("a"));
    tracker.next_lookup(Nanos(0));
    let found = said("a", OrderStatus::PartiallyFilled, 3);
    tracker.looked_up(&found.client_order_id, &found.venue_order_id);
    let order = tracker.report(Nanos(0), &found).expect("changed");
    assert_eq!(
        (order.status, order.filled),
        (OrderStatus::PartiallyFilled, qty(3))
    );
    assert!(!tracker.is_in_doubt());
}

#[test]
fn what_stands_here_and_not_at_the_venue_is_doubted() {
    let mut tracker = Tracker::new();
    for id in ["a", "b"] {
        tracker.add(Nanos(0), &request(id));
        tracker.accepted(&client(id), &venue(id));
    }
    let still = OrderUpdate {
        venue_order_id: venue("a"),
        ..said("a", OrderStatus::New, 0)
    };
    tracker.doubt_absent(Nanos(5), &[still]);
    let asked = tracker.next_lookup(Nanos(5)).expect("the other one");
    assert_eq!(asked.client_order_id, client("b"));
    // The venue does not know it any more; it was told of, so that nobody guesses how it ended.
    let gone = tracker.not_found(Nanos::from_secs(60), LIFE, &client("b"), &venue("b"));
    assert_eq!(gone, None);
    assert!(tracker.is_in_doubt());
}

#[test]
fn a_client_id_used_again_is_another_order() {
    let mut tracker = Tracker::new();
    tracker.report(Nanos(0), &said("a", OrderStatus::Filled, 10));
    let second = OrderUpdate {
        venue_order_id: venue("v2"),
        ..said("a", OrderStatus::New, 0)
    };
    let order = tracker.report(Nanos(0), &second).expect("another order");
    assert_eq!((order.status, tracker.open_count()), (OrderStatus::New, 1));
}

#[test]
fn of_an_order_that_was_changed_trades_alone_are_no_end() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(1), &request("a"));
    tracker.report(Nanos(2), &said("a", OrderStatus::New, 0));
    tracker.amend_sent(&OrderId::Client(client("a")));
    let status =
        |filled: Option<Filled>| filled.and_then(|filled| filled.order).map(|one| one.status);
    // All that was asked for at first; by now it may be more.
    let all = status(tracker.fill(&fill("a", "t1", 10)));
    assert_eq!(all, Some(OrderStatus::PartiallyFilled));
    let more = OrderUpdate {
        qty: Some(qty(15)),
        ..said("a", OrderStatus::PartiallyFilled, 10)
    };
    let told = tracker.report(Nanos(3), &more).expect("another quantity");
    assert_eq!(
        (told.qty, told.status),
        (Some(qty(15)), OrderStatus::PartiallyFilled)
    );
    let old = tracker.report(Nanos(2), &said("a", OrderStatus::New, 10));
    assert_eq!(old, None, "older than what was told");
}

#[test]
fn what_is_said_of_the_end_is_the_last_word() {
    let halved = |status, filled| OrderUpdate {
        qty: Some(qty(5)),
        ..said("a", status, filled)
    };
    // Halved and filled: its answer left before word of the order came late.
    let mut tracker = Tracker::new();
    tracker.add(Nanos(1), &request("a"));
    tracker.report(Nanos(9), &said("a", OrderStatus::New, 0));
    let told = tracker.report(Nanos(4), &halved(OrderStatus::Filled, 5));
    let told = told.map(|told| (told.status, told.qty));
    assert_eq!(told, Some((OrderStatus::Filled, Some(qty(5)))));
    // Halved and cancelled: word from before comes later still.
    let mut tracker = Tracker::new();
    tracker.add(Nanos(1), &request("a"));
    tracker.report(Nanos(3), &halved(OrderStatus::Canceled, 0));
    tracker.report(Nanos(9), &said("a", OrderStatus::New, 0));
    let told = tracker.find(&OrderId::Client(client("a")));
    let told = told.map(|order| (order.update().status, order.update().qty));
    assert_eq!(told, Some((OrderStatus::Canceled, Some(qty(5)))));
}

#[test]
fn an_order_by_value_has_no_quantity_whatever_the_venue_calls_one() {
    let mut tracker = Tracker::new();
    let by_value = OrderRequest {
        size: Size::Quote(qty(500)),
        order_type: OrderType::Market,
        price: None,
        ..request("a")
    };
    tracker.add(Nanos(1), &by_value);
    let value = OrderUpdate {
        qty: Some(qty(500)),
        ..said("a", OrderStatus::Filled, 3)
    };
    let told = tracker.report(Nanos(2), &value).expect("changed");
    assert_eq!((told.qty, told.filled), (None, qty(3)));
}

#[test]
fn orders_that_have_ended_are_forgotten_in_time() {
    let mut tracker = Tracker::new();
    for number in 0..ENDED_MAX + 10 {
        let id = format!("o{number}");
        tracker.add(Nanos(0), &request(&id));
        tracker.rejected(&client(&id));
    }
    assert_eq!(tracker.by_client.len(), ENDED_MAX);
    assert!(tracker.find(&OrderId::Client(client("o0"))).is_none());
    assert!(tracker.slots.len() <= ENDED_MAX + 1);
}

proptest! {
    /// The life of an order is told by answer, stream, fills and look-ups, each as often as it likes and
    /// in any order: what is known at the end is the same, and each fill was told once.
    #[test]
    fn no_order_of_messages_doubles_or_loses_anything(
        order in prop::collection::vec(0usize..7, 7..40).prop_map(|mut order| {
            order.extend(0..7);
            order
        }).prop_shuffle()
    ) {
        let mut tracker = Tracker::new();
        tracker.add(Nanos(0), &request("a"));
        let (mut fills, mut last) = (0, qty(0));
        for message in order {
            let update = match message {
                0 => tracker.accepted(&client("a"), &venue("v1")),
                1 => tracker.report(Nanos(0), &said("a", OrderStatus::New, 0)),
                2 => tracker.report(Nanos(0), &said("a", OrderStatus::PartiallyFilled, 4)),
                3 => tracker.report(Nanos(0), &said("a", OrderStatus::Canceled, 7)),
                4 => tracker.lost(Nanos(0), &client("a")),
                5 => {
                    let told = tracker.fill(&fill("a", "t1", 4));
                    fills += i32::from(told.is_some());
                    told.and_then(|told| told.order)
                }
                _ => {
                    let told = tracker.fill(&fill("a", "t2", 3));
                    fills += i32::from(told.is_some());
                    told.and_then(|told| told.order)
                }
            };
            if let Some(update) = update {
                prop_assert!(update.filled >= last);
                last = update.filled;
            }
        }
        let end = tracker.find(&OrderId::Client(client("a"))).expect("kept").update();
        prop_assert_eq!((end.status, end.filled, fills), (OrderStatus::Canceled, qty(7), 2));
        prop_assert_eq!((tracker.open_count(), tracker.is_in_doubt()), (0, false));
    }
}

/// A stop of id "a", as this run sends it.
fn stop() -> OrderRequest {
    OrderRequest {
        stop: Some(Stop {
            price: Price::new(110, Scale::of(0)),
            by: TriggerBy::Last,
        }),
        ..request("a")
    }
}

/// A message on the stop, as the venue has numbered it: "s1" while it waits, "v1" once it has triggered.
fn of_stop(id: &str, status: OrderStatus, filled: i64) -> OrderUpdate {
    OrderUpdate {
        venue_order_id: venue(id),
        stop: stop().stop,
        ..said("a", status, filled)
    }
}

/// Something that a tracker is told of the stop.
#[derive(Clone, Copy, Debug)]
enum Word {
    Ack,
    Order(&'static str, OrderStatus, i64),
    Trade(&'static str, i64),
}

fn hear(tracker: &mut Tracker, word: Word) {
    match word {
        Word::Ack => {
            tracker.accepted(&client("a"), &venue("s1"));
        }
        Word::Order(id, status, filled) => {
            tracker.report(Nanos(1), &of_stop(id, status, filled));
        }
        Word::Trade(id, units) => {
            tracker.fill(&fill("a", id, units));
        }
    }
}

const LIFE_OF_A_STOP: [Word; 7] = [
    Word::Ack,
    Word::Order("s1", OrderStatus::Untriggered, 0),
    Word::Order("v1", OrderStatus::New, 0),
    Word::Trade("t1", 4),
    Word::Order("v1", OrderStatus::PartiallyFilled, 4),
    Word::Trade("t2", 6),
    Word::Order("v1", OrderStatus::Filled, 10),
];

proptest! {
    /// The order that a stop becomes has another id of the venue. Whatever comes first, comes twice or
    /// does not come, it is one order, and each trade counts once.
    #[test]
    fn a_stop_is_one_order_under_both_of_its_ids(
        words in prop::collection::vec(0..LIFE_OF_A_STOP.len(), 0..12),
        then in Just([0usize, 1, 2, 3, 4, 5, 6]).prop_shuffle(),
    ) {
        let mut tracker = Tracker::new();
        tracker.add(Nanos(0), &stop());
        for index in words.into_iter().chain(then) {
            hear(&mut tracker, LIFE_OF_A_STOP[index]);
            prop_assert_eq!(tracker.slots.iter().flatten().count(), 1, "one order");
        }
        let order = tracker.find(&OrderId::Client(client("a"))).expect("known");
        let told = order.update();
        prop_assert_eq!((told.status, told.filled), (OrderStatus::Filled, qty(10)));
        prop_assert_eq!(told.venue_order_id, venue("v1"), "the one that trades");
        prop_assert_eq!(order.trades.len(), 2);
        for id in ["s1", "v1"] {
            let found = tracker.find(&OrderId::Venue(venue(id))).map(Tracked::update);
            prop_assert_eq!(found, Some(told), "by {}", id);
        }
        prop_assert_eq!(tracker.open_count(), 0);
        let index = tracker.index_of(&OrderId::Client(client("a"))).expect("known");
        tracker.remove(index);
        prop_assert!(tracker.by_venue.is_empty() && tracker.by_client.is_empty());
    }
}

#[test]
fn a_stop_waits_until_it_was_told_to_stand() {
    let mut tracker = Tracker::new();
    tracker.add(Nanos(0), &stop());
    let told = tracker.accepted(&client("a"), &venue("s1"));
    assert_eq!(told.map(|told| told.status), Some(OrderStatus::Untriggered));
    let waits = |tracker: &Tracker| {
        let found = tracker.find(&OrderId::Client(client("a")));
        found.is_some_and(Tracked::waits)
    };
    assert!(waits(&tracker));
    let told = tracker.report(Nanos(1), &of_stop("v1", OrderStatus::New, 0));
    let told = told.expect("it goes on");
    assert_eq!(
        (told.status, told.venue_order_id),
        (OrderStatus::New, venue("v1"))
    );
    assert!(!waits(&tracker));
    assert_eq!(
        tracker.report(Nanos(2), &of_stop("s1", OrderStatus::Untriggered, 0)),
        None,
        "a late word"
    );
}

#[test]
fn an_ordinary_order_of_the_same_id_is_another_order() {
    let mut tracker = Tracker::new();
    tracker.report(Nanos(0), &said("a", OrderStatus::Filled, 10));
    let again = OrderUpdate {
        venue_order_id: venue("v2"),
        ..said("a", OrderStatus::New, 0)
    };
    assert!(tracker.report(Nanos(1), &again).is_some());
    assert_eq!(tracker.open_count(), 1);
}

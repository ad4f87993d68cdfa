use super::listing::{Fees, Settle};
use super::*;
use crate::market::{Change, Side, Trade};
use crate::num::NumFmt;

const NOW: i64 = 1_700_000_000_000_000_000;

fn listing(settle: Settle) -> Listing {
    let price = NumFmt {
        mult: 1,
        decimals: 2,
        trim: false,
    };
    let qty = NumFmt {
        mult: 1,
        decimals: 3,
        trim: false,
    };
    let fees = Fees {
        maker_ppm: 1_000,
        taker_ppm: 2_000,
    };
    Listing {
        symbol: "BTCUSDT".to_owned(),
        settle,
        price,
        qty,
        fees,
        decimals: 8,
        leverage: 10,
    }
}

fn spot() -> Settle {
    Settle::Spot {
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
    }
}

fn linear() -> Settle {
    Settle::Linear {
        asset: "USDT".to_owned(),
    }
}

fn inverse() -> Settle {
    Settle::Inverse {
        asset: "BTC".to_owned(),
        contract: 100,
    }
}

fn exchange(settle: Settle) -> Exchange {
    let mut exchange = Exchange::new(vec![(listing(settle), 10_000)], &["a", "b"], 100);
    for account in [2, 3] {
        exchange.deposit(account, "USDT", Amount::scaled(1_000_000, 0));
        exchange.deposit(account, "BTC", Amount::scaled(1_000, 0));
    }
    exchange
}

/// Bids from 99.99 down and asks from 100.01 up, 1.000 each.
fn book() -> Book {
    let mut book = Book::default();
    for step in 1..=10 {
        for (side, price) in [(Side::Bid, 10_000 - step), (Side::Ask, 10_000 + step)] {
            book.apply(&Change {
                id: 0,
                side,
                price,
                qty: 1_000,
            });
        }
    }
    book
}

fn limit(account: usize, side: Side, price: i64, lots: i64) -> NewOrder {
    NewOrder {
        account,
        instrument: 0,
        client_id: String::new(),
        side,
        price: Some(price),
        size: Size::Lots(lots),
        tif: Tif::Gtc,
        post_only: false,
        reduce_only: false,
        trigger: None,
        expires_ns: None,
        words: Words::default(),
    }
}

fn fills(exchange: &mut Exchange) -> Vec<(u64, i64, i64, bool)> {
    let reports = exchange.take_reports().into_iter();
    let trades = reports.filter_map(|report| match report.what {
        What::Trade(fill) => Some((fill.order_id, fill.price, fill.lots, fill.maker)),
        _ => None,
    });
    trades.collect()
}

fn market_trade(price: i64, qty: i64, buyer_maker: bool) -> Trade {
    Trade {
        id: 1,
        price,
        qty,
        buyer_maker,
        update_id: 1,
    }
}

#[test]
fn taker_walks_the_book_and_what_it_took_is_gone() {
    let (mut exchange, book) = (exchange(spot()), book());
    let id = exchange
        .place(limit(2, Side::Bid, 10_002, 1_500), &book, NOW)
        .unwrap();
    assert_eq!(
        fills(&mut exchange),
        [(id, 10_001, 1_000, false), (id, 10_002, 500, false)]
    );
    let next = exchange
        .place(limit(3, Side::Bid, 10_002, 1_000), &book, NOW)
        .unwrap();
    assert_eq!(
        fills(&mut exchange),
        [(next, 10_002, 500, false)],
        "only what was left there"
    );
    assert_eq!(
        exchange.order(3, next).unwrap().status,
        Status::Partial,
        "the rest stands"
    );
    // 1.5 BTC less 0.2 %; 100.01 + 0.5 · 100.02 paid.
    assert_eq!(exchange.balance(2, "BTC").free.text(), "1001.497");
    assert_eq!(exchange.balance(2, "USDT").free.text(), "999849.98");
    assert_eq!(exchange.balance(3, "USDT").locked.text(), "50.01");
    // The market changes the level: it is new.
    let change = Change {
        id: 9,
        side: Side::Ask,
        price: 10_001,
        qty: 1_000,
    };
    exchange.on_market(0, &book, &[change], &[], NOW);
    assert_eq!(
        fills(&mut exchange),
        [(next, 10_002, 500, true)],
        "it quotes through who rests"
    );
}

#[test]
fn resting_order_waits_for_what_stood_before_it() {
    let (mut exchange, mut book) = (exchange(spot()), book());
    let id = exchange
        .place(limit(2, Side::Bid, 9_999, 300), &book, NOW)
        .unwrap();
    let step = |exchange: &mut Exchange, book: &mut Book, qty: i64, trade: Option<i64>| {
        let change = Change {
            id: 1,
            side: Side::Bid,
            price: 9_999,
            qty,
        };
        book.apply(&change);
        let trades: Vec<_> = trade
            .map(|lots| market_trade(9_999, lots, true))
            .into_iter()
            .collect();
        exchange.on_market(0, book, &[change], &trades, NOW);
        fills(exchange)
    };
    assert_eq!(
        step(&mut exchange, &mut book, 600, Some(400)),
        [],
        "600 left before it"
    );
    assert_eq!(
        step(&mut exchange, &mut book, 200, None),
        [],
        "a cancel moves it forward"
    );
    assert_eq!(
        step(&mut exchange, &mut book, 5_000, None),
        [],
        "who comes later stands behind"
    );
    assert_eq!(
        step(&mut exchange, &mut book, 4_700, Some(300)),
        [(id, 9_999, 100, true)]
    );
    let through = market_trade(9_998, 50, true);
    exchange.on_market(0, &book, &[], &[through], NOW);
    assert_eq!(
        fills(&mut exchange),
        [(id, 9_999, 50, true)],
        "a worse price reaches it first"
    );
}

#[test]
fn clients_trade_with_each_other_by_price_then_time() {
    let mut exchange = exchange(spot());
    let book = book();
    let worse = exchange
        .place(limit(2, Side::Ask, 10_001, 100), &book, NOW)
        .unwrap();
    let first = exchange
        .place(limit(2, Side::Ask, 10_000, 100), &book, NOW)
        .unwrap();
    let second = exchange
        .place(limit(3, Side::Ask, 10_000, 100), &book, NOW)
        .unwrap();
    exchange.take_reports();
    let taker = exchange
        .place(limit(3, Side::Bid, 10_001, 1_250), &book, NOW)
        .unwrap();
    let got = fills(&mut exchange);
    let wanted = [
        (first, 10_000, 100, true),
        (taker, 10_000, 100, false),
        (second, 10_000, 100, true),
        (taker, 10_000, 100, false),
        // The market's 1.000 at this price were there before `worse`.
        (taker, 10_001, 1_000, false),
        (worse, 10_001, 50, true),
        (taker, 10_001, 50, false),
    ];
    assert_eq!(got, wanted);
}

#[test]
fn kinds_of_orders_end_as_they_say() {
    let (mut exchange, book) = (exchange(spot()), book());
    let place = |exchange: &mut Exchange, change: &dyn Fn(&mut NewOrder)| {
        let mut new = limit(2, Side::Bid, 10_001, 1_500);
        change(&mut new);
        let placed = exchange.place(new, &book, NOW);
        let got = placed.map(|id| exchange.order(2, id).map(|o| (o.status, o.filled)).unwrap());
        // Each finds the whole book.
        exchange.resting[0] = Resting::default();
        got
    };
    let mut check = |wanted, change: &dyn Fn(&mut NewOrder)| {
        assert_eq!(place(&mut exchange, change), wanted);
    };
    check(Ok((Status::Expired, 1_000)), &|new| new.tif = Tif::Ioc);
    check(Ok((Status::Expired, 0)), &|new| new.tif = Tif::Fok);
    check(Ok((Status::Filled, 1_000)), &|new| {
        (new.tif, new.size) = (Tif::Fok, Size::Lots(1_000));
    });
    check(Err(Refusal::WouldTake), &|new| new.post_only = true);
    check(Ok((Status::New, 0)), &|new| {
        (new.post_only, new.price) = (true, Some(10_000))
    });
    check(Ok((Status::Filled, 1_500)), &|new| new.price = None);
    check(Ok((Status::Filled, 1_499)), &|new| {
        // 150 USDT: 1.000 at 100.01 and 0.499 at 100.02.
        (new.price, new.size) = (None, Size::Quote(Amount::scaled(150, 0)));
    });
    check(Err(Refusal::Balance), &|new| {
        new.size = Size::Lots(100_000_000)
    });
    check(Ok((Status::Expired, 10_000)), &|new| {
        (new.price, new.size) = (None, Size::Lots(50_000))
    });
}

#[test]
fn client_id_is_free_again_once_its_order_has_ended_unless_it_names_one_for_ever() {
    for (rule, again) in [(ClientIds::OnceOpen, true), (ClientIds::Once, false)] {
        let mut exchange = exchange(spot()).with_client_ids(rule);
        let book = book();
        let named = || NewOrder {
            client_id: "mine".to_owned(),
            ..limit(2, Side::Bid, 9_000, 10)
        };
        let id = exchange.place(named(), &book, NOW).unwrap();
        assert_eq!(
            exchange.place(named(), &book, NOW),
            Err(Refusal::DuplicateId)
        );
        exchange.cancel(2, id, (End::User, ""), NOW).unwrap();
        assert_eq!(
            exchange.cancel(2, id, (End::User, ""), NOW),
            Err(Refusal::UnknownOrder)
        );
        assert_eq!(exchange.place(named(), &book, NOW).is_ok(), again);
    }
}

#[test]
fn stop_order_wakes_at_its_price_and_an_order_ends_at_its_time() {
    let (mut exchange, book) = (exchange(spot()), book());
    let stop = NewOrder {
        trigger: Some(Trigger {
            price: 10_005,
            rising: true,
            by: "last",
            holds: true,
        }),
        ..limit(2, Side::Bid, 10_010, 500)
    };
    let id = exchange.place(stop.clone(), &book, NOW).unwrap();
    assert_eq!(exchange.balance(2, "USDT").locked.text(), "50.05");
    exchange.on_market(0, &book, &[], &[market_trade(10_004, 1, false)], NOW);
    assert_eq!(exchange.order(2, id).unwrap().status, Status::Waiting);
    exchange.on_market(0, &book, &[], &[market_trade(10_005, 1, false)], NOW);
    assert_eq!(exchange.order(2, id).unwrap().status, Status::Filled);
    assert_eq!(
        exchange.place(stop.clone(), &book, NOW),
        Err(Refusal::WouldTrigger)
    );
    // One that holds nothing back must be paid for when its price comes.
    let unpaid = |lots| NewOrder {
        trigger: Some(Trigger {
            price: 9_990,
            rising: false,
            by: "last",
            holds: false,
        }),
        ..limit(2, Side::Bid, 9_980, lots)
    };
    let ids =
        [500, 1_000_000_000_000].map(|lots| exchange.place(unpaid(lots), &book, NOW).unwrap());
    assert_eq!(exchange.balance(2, "USDT").locked, Amount::ZERO);
    exchange.on_market(0, &book, &[], &[market_trade(9_990, 1, true)], NOW);
    let [paid, poor] = ids.map(|id| exchange.order(2, id).unwrap());
    assert_eq!((paid.status, paid.triggered), (Status::New, true));
    assert_eq!((poor.status, poor.end), (Status::Expired, End::Balance));
    assert_eq!(exchange.balance(2, "USDT").locked.text(), "49.9");
    exchange.cancel(2, ids[0], (End::User, ""), NOW).unwrap();
    let timed = NewOrder {
        expires_ns: Some(NOW + 5),
        ..limit(2, Side::Bid, 9_000, 500)
    };
    let id = exchange.place(timed, &book, NOW).unwrap();
    assert_eq!(exchange.next_deadline(), Some(NOW + 5));
    exchange.expire(NOW + 5);
    assert_eq!(exchange.order(2, id).unwrap().end, End::Time);
    assert_eq!(exchange.balance(2, "USDT").locked, Amount::ZERO);
}

#[test]
fn amended_order_keeps_its_place_only_with_a_smaller_quantity() {
    let (mut exchange, book) = (exchange(spot()), book());
    let first = exchange
        .place(limit(2, Side::Ask, 10_000, 200), &book, NOW)
        .unwrap();
    let second = exchange
        .place(limit(3, Side::Ask, 10_000, 200), &book, NOW)
        .unwrap();
    exchange
        .amend(2, first, (None, Some(150)), &book, NOW)
        .unwrap();
    exchange.take_reports();
    exchange
        .place(limit(3, Side::Bid, 10_000, 50), &book, NOW)
        .unwrap();
    assert_eq!(fills(&mut exchange)[0].0, first);
    exchange
        .amend(2, first, (None, Some(160)), &book, NOW)
        .unwrap();
    exchange.take_reports();
    exchange
        .place(limit(3, Side::Bid, 10_000, 50), &book, NOW)
        .unwrap();
    assert_eq!(
        fills(&mut exchange)[0].0,
        second,
        "more lots: to the end of the queue"
    );
    let refused = exchange.amend(2, first, (None, Some(50)), &book, NOW);
    assert_eq!(
        refused,
        Err(Refusal::BadAmendment),
        "no less than is filled"
    );
    exchange
        .amend(2, first, (Some(9_999), None), &book, NOW)
        .unwrap();
    assert_eq!(
        fills(&mut exchange),
        [(first, 9_999, 110, false)],
        "a new price may trade"
    );
}

#[test]
fn positions_average_realise_and_reduce() {
    let (mut exchange, book) = (exchange(linear()), book());
    exchange
        .place(limit(2, Side::Bid, 10_002, 2_000), &book, NOW)
        .unwrap();
    let position = exchange.position(2, 0);
    assert_eq!(
        (position.lots, position.basis.text()),
        (2_000, "-200.03".to_owned())
    );
    let average = exchange.listings[0].average(position.basis, position.lots);
    assert_eq!(average.text(), "100.015");
    let reduce = NewOrder {
        reduce_only: true,
        ..limit(2, Side::Ask, 9_990, 5_000)
    };
    let id = exchange.place(reduce, &book, NOW).unwrap();
    let order = exchange.order(2, id).unwrap();
    assert_eq!(
        (order.status, order.filled),
        (Status::Filled, 2_000),
        "no more than there is"
    );
    // Sold at 99.99 and 99.98: 199.97 against 200.03; fees 0.2 % of both.
    assert_eq!(exchange.position(2, 0).realised.text(), "-0.06");
    assert_eq!(exchange.balance(2, "USDT").free.text(), "999999.14");
    let again = NewOrder {
        reduce_only: true,
        ..limit(2, Side::Ask, 9_990, 1)
    };
    assert_eq!(exchange.place(again, &book, NOW), Err(Refusal::ReduceOnly));
    let huge = exchange.place(limit(2, Side::Bid, 10_000, 200_000_000), &book, NOW);
    assert_eq!(huge, Err(Refusal::Margin));
}

#[test]
fn inverse_contract_realises_in_coin() {
    let (mut exchange, _) = (exchange(inverse()), book());
    let level = |price, side| {
        let mut book = Book::default();
        book.apply(&Change {
            id: 0,
            side,
            price,
            qty: 1_000_000,
        });
        book
    };
    let buy = NewOrder {
        price: None,
        ..limit(2, Side::Bid, 0, 10_000)
    };
    exchange.place(buy, &level(10_000, Side::Ask), NOW).unwrap();
    let sell = NewOrder {
        price: None,
        ..limit(2, Side::Ask, 0, 10_000)
    };
    exchange
        .place(sell, &level(12_500, Side::Bid), NOW)
        .unwrap();
    // Ten contracts of 100 dollars: 1000/100 - 1000/125 coins.
    assert_eq!(exchange.position(2, 0).realised.text(), "2");
}

/// Random orders of two clients against a random market.
fn storm(settle: Settle, seed: u64) -> Exchange {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut exchange, mut book) = (exchange(settle), book());
    let mut ids: Vec<(usize, u64)> = Vec::new();
    for step in 0..400 {
        let now = NOW + step;
        let (account, side) = (
            rng.usize(2..4),
            if rng.bool() { Side::Bid } else { Side::Ask },
        );
        match rng.u8(0..10) {
            0..4 => {
                let mut new = limit(account, side, rng.i64(9_985..10_016), rng.i64(1..3_000));
                match rng.u8(0..8) {
                    0 => new.tif = Tif::Ioc,
                    1 => new.tif = Tif::Fok,
                    2 => new.post_only = true,
                    3 => new.price = None,
                    4 => new.reduce_only = true,
                    5 => new.expires_ns = Some(now + rng.i64(1..50)),
                    6 => {
                        let price = rng.i64(9_985..10_016);
                        new.trigger = Some(Trigger {
                            price,
                            rising: rng.bool(),
                            by: "last",
                            holds: rng.bool(),
                        });
                    }
                    _ => {}
                }
                if let Ok(id) = exchange.place(new, &book, now) {
                    ids.push((account, id));
                }
            }
            4 => {
                if let Some((account, id)) = rng.choice(&ids).copied() {
                    let _ = exchange.cancel(account, id, (End::User, ""), now);
                }
            }
            5 => {
                if let Some((account, id)) = rng.choice(&ids).copied() {
                    let price = rng.bool().then(|| rng.i64(9_985..10_016));
                    let lots = rng.bool().then(|| rng.i64(1..3_000));
                    let _ = exchange.amend(account, id, (price, lots), &book, now);
                }
            }
            _ => {
                let best = book.top();
                let (bid, ask) = (
                    best.0.map_or(9_999, |b| b.0),
                    best.1.map_or(10_001, |a| a.0),
                );
                let price = match side {
                    Side::Bid => rng.i64(ask - 12..ask),
                    Side::Ask => rng.i64(bid + 1..bid + 12),
                };
                let old = book.qty(side, price);
                let qty = if rng.bool() { rng.i64(0..2_000) } else { 0 };
                let change = Change {
                    id: 0,
                    side,
                    price,
                    qty,
                };
                book.apply(&change);
                let trade = market_trade(price, (old - qty).max(1), side == Side::Bid);
                let trades: Vec<Trade> = (old > qty).then_some(trade).into_iter().collect();
                exchange.on_market(0, &book, &[change], &trades, now);
            }
        }
        exchange.expire(now);
    }
    exchange
}

#[test]
fn nothing_is_made_or_lost_and_no_order_fills_beyond_itself() {
    let mut traded = 0;
    for seed in 0..200 {
        for settle in [spot(), linear(), inverse()] {
            let derivative = settle != spot();
            let exchange = storm(settle, seed);
            for (asset, deposits) in [("USDT", 2_000_000), ("BTC", 2_000)] {
                let total = exchange.ledger.total(asset, &exchange.listings);
                assert_eq!(total, Amount::scaled(deposits, 0), "seed {seed}, {asset}");
            }
            let net: i64 = (0..4)
                .map(|account| exchange.position(account, 0).lots)
                .sum();
            assert_eq!(net, 0);
            for order in exchange.orders.values() {
                assert!(
                    (0..=order.lots).contains(&order.filled),
                    "seed {seed}: {order:?}"
                );
                assert_eq!(
                    order.status == Status::Filled,
                    order.left() == 0 && order.lots > 0
                );
                let mine = exchange
                    .fills
                    .iter()
                    .filter(|fill| fill.order_id == order.id);
                assert_eq!(mine.map(|fill| fill.lots).sum::<i64>(), order.filled);
                if let Some(limit) = order.price {
                    let fills = exchange
                        .fills
                        .iter()
                        .filter(|fill| fill.order_id == order.id);
                    let worse = fills.filter(|f| (f.price - limit) * order.side.sign() > 0);
                    // A price that was amended may have been better before.
                    let amended = order.updated_ns > order.created_ns;
                    assert!(amended || worse.count() == 0, "seed {seed}: {order:?}");
                }
            }
            for account in [2, 3] {
                for (asset, balance) in exchange.balances(account) {
                    let open = exchange.open_orders(account, None).into_iter();
                    let locks = open.filter(|o| lock_asset(&exchange.listings[0], o.side) == asset);
                    let locked: Amount = locks.map(|order| order.locked).sum();
                    assert_eq!(balance.locked, locked, "seed {seed}, {asset}");
                    assert!(
                        derivative || balance.free >= Amount::ZERO,
                        "seed {seed}, {asset}"
                    );
                }
            }
            traded += exchange.fills.len();
        }
    }
    assert!(traded > 50_000, "the storm hardly traded: {traded}");
}

#[test]
fn no_resting_order_is_passed_over() {
    // Each maker fill must be of the best price, and at that price of the oldest rank, among what
    // rested and could be filled on that side.
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut exchange, book) = (exchange(spot()), Book::default());
        for step in 0..200 {
            let side = if rng.bool() { Side::Bid } else { Side::Ask };
            let new = limit(
                rng.usize(2..4),
                side,
                rng.i64(9_990..10_011),
                rng.i64(1..500),
            );
            let before: Vec<(i64, u64, u64)> = {
                let open = exchange
                    .orders
                    .values()
                    .filter(|o| o.is_open() && o.side != side);
                let mut queue: Vec<_> = open
                    .map(|o| (o.price.unwrap_or(0) * -o.side.sign(), o.rank, o.id))
                    .collect();
                queue.sort_unstable();
                queue
            };
            exchange.place(new, &book, NOW + step).unwrap_or(0);
            let makers: Vec<u64> = fills(&mut exchange)
                .into_iter()
                .filter(|f| f.3)
                .map(|f| f.0)
                .collect();
            let wanted: Vec<u64> = before.iter().map(|o| o.2).take(makers.len()).collect();
            assert_eq!(makers, wanted, "seed {seed}, step {step}");
        }
    }
}

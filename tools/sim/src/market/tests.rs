use super::*;
use crate::truth::Channel;

const START: i64 = 1_700_000_000_000_000_000;

fn market(spec: &VenueSpec) -> Market {
    Market::new(spec, 7, START).unwrap()
}

#[test]
fn book_never_crosses_and_stays_deep() {
    for venue in SimVenue::ALL {
        let spec = VenueSpec::of(venue).instruments(5).rate_msgs_s(1_000);
        let mut market = market(&spec);
        let mut batch = Batch::default();
        let mut trades = 0;
        for _ in 0..40_000 {
            market.step(&mut batch);
            assert!(!batch.changes.is_empty(), "an event changed nothing");
            trades += batch.trades.len();
            let (bid, ask) = market.instruments[batch.instrument].book.top();
            let (bid, ask) = (bid.unwrap(), ask.unwrap());
            assert!(bid.0 < ask.0, "{venue}: crossed at {bid:?} {ask:?}");
            assert!(bid.0 >= 1 && bid.1 > 0 && ask.1 > 0);
        }
        assert!(trades > 1_000, "{venue}: {trades} trades");
        for one in &market.instruments {
            // Prices that end (between 0 and 1) leave no room for a thousand levels on each side.
            let deep = if one.spec.ticks_max < 10_000 {
                12
            } else {
                1_000
            };
            for side in [Side::Bid, Side::Ask] {
                let levels = one.book.side(side).len();
                assert!(levels >= deep, "{}: {levels} levels", one.spec.symbol);
            }
        }
    }
}

#[test]
fn trades_take_exactly_what_the_book_loses() {
    let mut market = market(&VenueSpec::binance_spot().instruments(3).rate_msgs_s(1_000));
    let mut batch = Batch::default();
    for _ in 0..5_000 {
        let before = market.instruments[0].book.clone();
        market.step(&mut batch);
        if batch.instrument != 0 {
            continue;
        }
        for trade in &batch.trades {
            let side = if trade.buyer_maker {
                Side::Bid
            } else {
                Side::Ask
            };
            let after = market.instruments[0].book.qty(side, trade.price);
            let same = batch.trades.iter().filter(|t| t.price == trade.price);
            let taken: i64 = same.map(|t| t.qty).sum();
            assert_eq!(before.qty(side, trade.price) - taken, after);
        }
    }
}

#[test]
fn same_seed_same_market() {
    let spec = VenueSpec::bybit_linear().instruments(4).rate_msgs_s(500);
    let (mut one, mut two) = (market(&spec), market(&spec));
    let (mut a, mut b) = (Batch::default(), Batch::default());
    for _ in 0..5_000 {
        one.step(&mut a);
        two.step(&mut b);
        assert_eq!(
            (a.at_ns, &a.changes, &a.trades),
            (b.at_ns, &b.changes, &b.trades)
        );
    }
}

#[test]
fn mean_rate_is_the_one_asked_for_and_it_bursts() {
    let mut market = market(&VenueSpec::binance_spot().instruments(3).rate_msgs_s(2_000));
    let mut batch = Batch::default();
    let mut per_100ms = vec![0u32; 1_200];
    while let Some(at) = market.next_ns().map(|at| (at - START) / 100_000_000) {
        let Some(slot) = per_100ms.get_mut(at as usize) else {
            break;
        };
        market.step(&mut batch);
        *slot += 1;
    }
    let total: u32 = per_100ms.iter().sum();
    let mean = f64::from(total) / 120.0;
    assert!((1_500.0..2_600.0).contains(&mean), "{mean} events a second");
    let max = per_100ms.iter().max().copied().unwrap_or(0);
    assert!(
        f64::from(max) > mean / 10.0 * 2.5,
        "no burst: {max} against a mean of {mean}/s"
    );
}

#[test]
fn truth_rebuilds_any_remembered_id_and_forgets_the_rest() {
    let spec = VenueSpec::binance_spot()
        .instruments(1)
        .rate_msgs_s(100)
        .history(200);
    let mut market = market(&spec);
    let mut batch = Batch::default();
    let mut books = Vec::new();
    for _ in 0..1_000 {
        market.step(&mut batch);
        books.push((
            market.instruments[0].last_id,
            market.instruments[0].book.clone(),
        ));
    }
    let one = &market.instruments[0];
    let truth = crate::Truth {
        books: Arc::new(
            [(
                (SimVenue::BinanceSpot, "BTCUSDT".to_owned()),
                Arc::clone(&one.history),
            )]
            .into(),
        ),
    };
    let at = |id| truth.book_at(SimVenue::BinanceSpot, "BTCUSDT", Channel::Full, id);
    for (id, book) in books.iter().rev().take(100) {
        let found = at(*id).unwrap();
        let bids: Vec<_> = book.bids.iter().rev().map(|(p, q)| (*p, *q)).collect();
        let (price, qty) = (one.spec.price, one.spec.qty);
        let told: Vec<_> = found
            .bids
            .iter()
            .map(|&(p, q)| (p / price.mult, q / qty.mult))
            .collect();
        assert_eq!(told, bids);
    }
    assert!(at(books[0].0).is_none(), "the oldest is folded away");
    assert!(at(one.last_id + 1).is_none(), "the future is unknown");
}

#[test]
fn pause_shifts_time_and_loses_nothing() {
    let spec = VenueSpec::binance_spot().instruments(1).rate_msgs_s(100);
    let mut market = market(&spec);
    let due = market.next_ns().unwrap();
    market.pause(START);
    assert_eq!(market.next_ns(), None);
    market.resume(START + 5_000);
    assert_eq!(market.next_ns(), Some(due + 5_000));
}

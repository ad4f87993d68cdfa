use super::*;

fn stamp() -> Stamp {
    Stamp {
        stream: StreamId::MAX,
        source: Source::Kline,
        epoch: u16::MAX,
        state: StreamState::Refused,
        price_scale: Scale::of(18),
        qty_scale: Scale::of(17),
        seq: u64::MAX,
        exch_ns: Nanos(i64::MIN),
        recv_ns: Nanos::MAX,
    }
}

#[test]
fn head_keeps_every_field_at_its_extremes() {
    let level = Level {
        price: i64::MIN,
        qty: i64::MAX,
    };
    let events = [
        Event::bbo(&stamp(), Some(level), None),
        Event::trade(&stamp(), 1, 2, u128::MAX, Aggressor::Sell),
        Event::level(&stamp(), Side::Ask, level, true, true),
        Event::state_change(&stamp(), Reason::BufferFull, Some((u64::MAX, 0))),
        Event::lost(
            &stamp(),
            LostCounts {
                bbo: 1,
                trades: 2,
                levels: 3,
                wide: 4,
            },
        ),
    ];
    for event in events {
        assert_eq!(event.stamp(), stamp(), "{event:?}");
    }
    let zero = Stamp {
        stream: StreamId::default(),
        source: Source::Book,
        epoch: 0,
        state: StreamState::Pending,
        price_scale: Scale::of(0),
        qty_scale: Scale::of(0),
        seq: 0,
        exch_ns: Nanos::ZERO,
        recv_ns: Nanos::ZERO,
    };
    assert_eq!(Event::bbo(&zero, None, None).stamp(), zero);
}

#[test]
fn bodies_give_back_what_went_in() {
    let Body::Trade(trade) = Event::trade(&stamp(), -5, 7, u128::MAX - 3, Aggressor::Buy).body()
    else {
        panic!("not a trade")
    };
    assert_eq!((trade.price().mantissa(), trade.qty().mantissa()), (-5, 7));
    assert_eq!(
        (trade.id(), trade.aggressor()),
        (u128::MAX - 3, Aggressor::Buy)
    );

    let Body::State(change) = Event::state_change(&stamp(), Reason::Gap, Some((10, 12))).body()
    else {
        panic!("not a state change")
    };
    assert_eq!(
        (change.reason(), change.gap()),
        (Reason::Gap, Some((10, 12)))
    );

    let Body::Bbo(bbo) = Event::bbo(&stamp(), None, Some(Level { price: 3, qty: 4 })).body() else {
        panic!("not a top of book")
    };
    assert_eq!(bbo.bid(), None);
    assert_eq!(
        bbo.ask().map(|(p, q)| (p.mantissa(), q.mantissa())),
        Some((3, 4))
    );
}

#[test]
fn every_reason_and_source_survives_the_trip() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "ALL is indexed by the discriminant");
    }
    for (index, source) in Source::ALL.into_iter().enumerate() {
        assert_eq!(source as usize, index, "ALL is indexed by the discriminant");
    }
}

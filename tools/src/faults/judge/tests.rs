//! The judge against logs that are made up: a table in which nothing can fail would prove nothing.

use tickwire::connectors::{event::Stamp, instrument::symbol};
use tickwire::{Event, Market, Reason, Scale, Source, StreamKey, Venue};

use super::*;

const ACTED_NS: i64 = 1_000;
const LIVE: StreamState = StreamState::Live;
const STALE: StreamState = StreamState::Stale;

/// What happens to a stream after the fault.
#[derive(Clone, Copy)]
enum Step {
    State(StreamState),
    /// A state on another connection.
    Epoch(StreamState, u16),
    /// A true price, scheduled then.
    Price(i64),
    /// A price that differs.
    Lie,
    /// Something said of it that leaves it Live.
    Remark(Reason),
}
use Step::{Epoch, Lie, Price, Remark, State};

const TRUE_AGAIN: [Step; 3] = [Price(5_000), Price(6_000), Price(7_000)];

fn event(state: StreamState, epoch: u16) -> Event {
    let scale = Scale::of(2);
    let stamp = Stamp {
        stream: StreamId::default(),
        source: Source::Book,
        epoch,
        state,
        price_scale: scale,
        qty_scale: scale,
        seq: 1,
        exch_ns: Nanos::ZERO,
        recv_ns: Nanos(ACTED_NS + 500),
    };
    Event::state_change(&stamp, Reason::LinkDown, None)
}

fn stream(name: &str, channel: Channel, steps: &[Step]) -> StreamLog {
    let key = StreamKey {
        venue: Venue::Binance,
        market: Market::Spot,
        symbol: symbol(name).unwrap(),
        channel,
    };
    let mut log = StreamLog::new(key);
    log.handle_state(&event(LIVE, 1), Reason::Synced);
    log.handle_price(true, 500);
    log.mark();
    let mut epoch = 1;
    for step in steps {
        match *step {
            State(state) => log.handle_state(&event(state, epoch), Reason::LinkDown),
            Epoch(state, next) => {
                epoch = next;
                log.handle_state(&event(state, epoch), Reason::Synced);
            }
            Price(sent_ns) => {
                log.check(&event(LIVE, epoch));
                log.handle_price(true, sent_ns);
            }
            Remark(reason) => log.handle_state(&event(LIVE, epoch), reason),
            Lie => log.lie("at 7 a top that is not the true one".to_owned()),
        }
    }
    log
}

/// The hit book with these steps, another book of its link, and one of another link.
fn log(hit: &[Step], same_link: &[Step], elsewhere: &[Step]) -> Log {
    let streams = [
        stream("BTCUSDT", Channel::BOOK, hit),
        stream("ETHUSDT", Channel::BOOK, same_link),
        stream("SOLUSDT", Channel::BOOK, elsewhere),
    ];
    let ids = (0..).map(|index| StreamId::new(index).unwrap());
    Log {
        streams: ids.zip(streams).collect(),
        lost: 0,
        news: Vec::new(),
    }
}

fn case(expect: Expect) -> Case {
    Case {
        expect,
        symbol: "BTCUSDT",
        on_link: [0, 1].map(|index| StreamId::new(index).unwrap()).to_vec(),
        acted_ns: ACTED_NS,
        over_ns: ACTED_NS,
        bans: (0, 0),
        earliest: Duration::ZERO,
    }
}

/// Whether all that is wanted is there, and what is wrong.
fn verdict(expect: Expect, log: &Log) -> (Option<String>, Vec<String>) {
    let case = case(expect);
    (case.waits_for(log), case.problems(log))
}

const BOOK: Expect = Expect::Told(Reach::Book);
const LINK: Expect = Expect::Told(Reach::Link);

fn recovered(first: &[Step]) -> Vec<Step> {
    [first, &[State(LIVE)], &TRUE_AGAIN].concat()
}

#[test]
fn told_and_recovered_is_well() {
    let hit = recovered(&[Price(900), State(StreamState::Resync)]);
    let log = log(&hit, &TRUE_AGAIN, &TRUE_AGAIN);
    assert_eq!(verdict(BOOK, &log), (None, vec![]));
    let span = Some(Duration::from_nanos(500));
    let times = Times {
        told: span,
        live: span,
    };
    assert_eq!(case(BOOK).times(&log), times);
}

#[test]
fn coming_back_before_the_venue_allows_it_is_too_soon() {
    let hit = recovered(&[State(STALE)]);
    let log = log(&hit, &TRUE_AGAIN, &TRUE_AGAIN);
    let in_time = |earliest| {
        Case {
            earliest,
            ..case(BOOK)
        }
        .problems(&log)
    };
    assert_eq!(in_time(Duration::from_nanos(500)), [""; 0]);
    let text = "Live again after 0.000 s, too soon: 501ns";
    assert_eq!(in_time(Duration::from_nanos(501)), [text]);
}

#[test]
fn bans_are_told_once_with_their_end_and_only_where_there_are_any() {
    let hit = recovered(&[State(STALE)]);
    let mut log = log(&hit, &TRUE_AGAIN, &TRUE_AGAIN);
    let banned = VenueNews::Banned {
        until_ns: Nanos(1),
        status: 429,
    };
    let lifted = VenueNews::BanLifted;
    let table = [
        (vec![], ["", "told of 0 bans and 0 ends of one"]),
        (vec![banned], ["told of 1 bans and 0 ends of one"; 2]),
        (
            vec![banned, lifted],
            ["told of 1 bans and 1 ends of one", ""],
        ),
        (
            vec![banned, banned, lifted],
            ["told of 2 bans and 1 ends of one"; 2],
        ),
    ];
    for (news, expected) in table {
        log.news = news;
        for (bans, expected) in [(0, 0), (1, 1)].into_iter().zip(expected) {
            let problems = Case { bans, ..case(BOOK) }.problems(&log);
            assert_eq!(problems.concat(), expected);
        }
    }
}

#[test]
fn price_after_the_fault_and_before_the_state_is_a_lie() {
    let hit = recovered(&[Price(ACTED_NS), Price(1_300), State(STALE)]);
    let log = log(&hit, &TRUE_AGAIN, &TRUE_AGAIN);
    let text = "BTCUSDT book: a price sent 300.0ns after the fault, and nothing told";
    assert_eq!(verdict(BOOK, &log).1, [text]);
}

#[test]
fn stream_that_is_never_told_or_never_live_again_is_waited_for() {
    let (waits, _) = verdict(BOOK, &log(&[], &TRUE_AGAIN, &TRUE_AGAIN));
    assert_eq!(waits.unwrap(), "BTCUSDT book was never told");
    let (waits, _) = verdict(BOOK, &log(&[State(STALE)], &TRUE_AGAIN, &TRUE_AGAIN));
    assert_eq!(waits.unwrap(), "BTCUSDT book is stale for ever");
    let short = [State(STALE), State(LIVE), Price(5_000), Price(6_000)];
    let (waits, _) = verdict(BOOK, &log(&short, &TRUE_AGAIN, &TRUE_AGAIN));
    assert_eq!(waits.unwrap(), "BTCUSDT book shows no true price any more");
}

#[test]
fn others_must_not_move() {
    let hit = recovered(&[State(STALE)]);
    let moved = recovered(&[State(STALE)]);
    let all = log(&hit, &moved, &TRUE_AGAIN);
    assert_eq!(
        verdict(LINK, &all),
        (None, vec![]),
        "all of the link is hit"
    );
    let text = "ETHUSDT book: stale (link_down), which it has no reason to be";
    assert_eq!(verdict(BOOK, &all).1, [text]);
    let elsewhere = log(&hit, &moved, &moved);
    let text = "SOLUSDT book: stale (link_down), which it has no reason to be";
    assert_eq!(verdict(LINK, &elsewhere).1, [text]);
    let all = verdict(Expect::Told(Reach::Venue), &elsewhere);
    assert_eq!(all, (None, vec![]));
    let again = [&[Epoch(LIVE, 2)][..], &TRUE_AGAIN].concat();
    let text = "SOLUSDT book: live (synced), which it has no reason to be";
    assert_eq!(verdict(LINK, &log(&hit, &moved, &again)).1, [text]);
    let silent = log(&hit, &moved, &[]);
    let (waits, _) = verdict(LINK, &silent);
    assert_eq!(waits.unwrap(), "SOLUSDT book shows no true price any more");
}

#[test]
fn what_may_be_told_must_be_true_and_live_in_the_end() {
    let may = Expect::MayTell(Reach::Book);
    for hit in [&TRUE_AGAIN[..], &recovered(&[State(STALE)])] {
        assert_eq!(
            verdict(may, &log(hit, &TRUE_AGAIN, &TRUE_AGAIN)),
            (None, vec![])
        );
    }
    let (waits, _) = verdict(may, &log(&[State(STALE)], &TRUE_AGAIN, &TRUE_AGAIN));
    assert_eq!(waits.unwrap(), "BTCUSDT book is stale for ever");
}

#[test]
fn remarks_that_leave_a_stream_live_are_no_changes() {
    let hit = recovered(&[State(STALE)]);
    let quiet = [
        &[Remark(Reason::Quiet), Remark(Reason::Heard)][..],
        &TRUE_AGAIN,
    ]
    .concat();
    assert_eq!(verdict(LINK, &log(&hit, &hit, &quiet)), (None, vec![]));
    let over = [&[Remark(Reason::HandedOver)][..], &TRUE_AGAIN].concat();
    let text = "SOLUSDT book: live (handed_over), which it has no reason to be";
    assert_eq!(verdict(LINK, &log(&hit, &hit, &over)).1, [text]);
    assert_eq!(
        verdict(Expect::Handover, &log(&over, &over, &over)),
        (None, vec![])
    );
    let (waits, _) = verdict(Expect::Handover, &log(&over, &TRUE_AGAIN, &TRUE_AGAIN));
    assert_eq!(waits.unwrap(), "ETHUSDT book was never handed over");
}

#[test]
fn nothing_moves_where_nothing_is_lost() {
    let quiet = log(&TRUE_AGAIN, &TRUE_AGAIN, &TRUE_AGAIN);
    assert_eq!(verdict(Expect::Unmoved, &quiet), (None, vec![]));
    for expect in [Expect::Unmoved, Expect::Handover] {
        let moved = recovered(&[State(STALE)]);
        let moved = log(&moved, &TRUE_AGAIN, &TRUE_AGAIN);
        assert_eq!(verdict(expect, &moved).1.len(), 1, "{expect:?}");
    }
}

#[test]
fn lies_and_losses_are_told_whatever_is_expected() {
    let hit = recovered(&[State(STALE)]);
    let lies = [&[Lie][..], &TRUE_AGAIN].concat();
    let mut all = log(&hit, &lies, &TRUE_AGAIN);
    all.lost = 3;
    let problems = [
        "the strategy's ring lost 3 events",
        "ETHUSDT book: at 7 a top that is not the true one",
    ];
    assert_eq!(verdict(LINK, &all).1[..2], problems);
}

#[test]
fn price_that_is_not_live_or_of_another_epoch_is_a_lie() {
    let mut stale = stream("BTCUSDT", Channel::BOOK, &[State(STALE)]);
    stale.check(&event(LIVE, 1));
    assert_eq!(stale.lies, ["a price while stale"]);
    let mut jumped = stream("BTCUSDT", Channel::BOOK, &[]);
    jumped.check(&event(LIVE, 2));
    assert_eq!(jumped.lies, ["a price of epoch 2 after epoch 1 was told"]);
}

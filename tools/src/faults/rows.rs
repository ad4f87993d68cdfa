//! The table: each fault as it is injected, and what a strategy must see of it. One row a fault or a
//! variant of one; what a row says is all that `judge.rs` goes by.

use tickwire::connectors::upkeep::Redundancy;
use tickwire::testing::sim::SimVenue;

/// Which streams a fault takes its toll of. The fault is aimed at the first instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The book of the first instrument.
    Book,
    /// Book and best bid/ask of the first instrument. Its trades may be told or not: no number shows
    /// that one is missing, and an instrument may go without trades for long.
    Symbol,
    /// Every stream of the link that carries the first instrument's book.
    Link,
    /// Every book and every best bid/ask of the venue.
    Books,
    /// Every stream of the venue.
    Venue,
}

/// What must be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No stream changes its state.
    Unmoved,
    /// The streams within reach say Stale or Resync before any further price, and are Live again;
    /// no other stream changes its state or its epoch.
    Told(Reach),
    /// The streams within reach may be told as above, and must show the true book all the same; no
    /// other stream changes its state or its epoch.
    MayTell(Reach),
    /// The link ends, and no stream changes its state: another link has taken over before.
    Handover,
}

/// A fault of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the table and for `--fault`.
    pub name: &'static str,
    /// What is injected, in the words of the simulator's scripts, one after another. `BOOK` stands
    /// for the first instrument's book stream, `SYMBOL` for its symbol.
    pub inject: &'static [&'static str],
    /// What must be seen.
    pub expect: Expect,
    /// How long it goes on for after it has begun, in milliseconds.
    pub lasts_ms: u32,
    /// Recovered this long after it is over at the latest, in seconds. What takes longer is given up
    /// on; a machine under load needs a part of it.
    pub within_s: u32,
    /// Live again no sooner than this after it began, in milliseconds: what the venue asked for, or
    /// what a refusal deserves that does not heal by itself.
    pub earliest_ms: u32,
    /// How many bans of a venue it is for strategies, and how many ends of one they are told of in the
    /// cell's time.
    pub bans: fn(SimVenue) -> (usize, usize),
    /// The life that the venue gives a connection, in milliseconds.
    pub life_ms: Option<u32>,
    /// The age at which we replace a link, in milliseconds.
    pub link_age_max_ms: Option<u32>,
    /// How many links carry a stream.
    pub redundancy: Redundancy,
    /// Why it can't be at a venue, if it can't.
    pub not_at: fn(SimVenue) -> Option<&'static str>,
    /// What it is, for the page.
    pub what: &'static str,
}

const EVERYWHERE: fn(SimVenue) -> Option<&'static str> = |_| None;

const IN_PAIRS: fn(SimVenue) -> Option<&'static str> = |venue| match venue {
    SimVenue::Polymarket => Some("no pairs: there are no numbers"),
    _ if venue.is_deribit() => Some("no pairs: two links need not number alike"),
    _ => None,
};

const BY_REST_ONLY: fn(SimVenue) -> Option<&'static str> =
    |venue| (!venue.is_binance()).then_some("books come by the stream, not by REST");

const AT_DERIBIT: fn(SimVenue) -> Option<&'static str> =
    |venue| (!venue.is_deribit()).then_some("Deribit's rules on sessions only");

const WITHOUT_NUMBERS: fn(SimVenue) -> Option<&'static str> = |venue| {
    (venue == SimVenue::Polymarket).then_some(
        "no numbers: a lost change shows in the best prices told later, or with the next book",
    )
};

/// What most rows have in common.
const PLAIN: Row = Row {
    name: "",
    inject: &[],
    expect: Expect::Unmoved,
    lasts_ms: 0,
    within_s: 10,
    earliest_ms: 0,
    bans: |_| (0, 0),
    life_ms: None,
    link_age_max_ms: None,
    redundancy: Redundancy::Single,
    not_at: EVERYWHERE,
    what: "",
};

/// Every row, in the order of the simulator's faults.
pub const ROWS: &[Row] = &[
    Row {
        name: "cut",
        inject: &["cut BOOK"],
        expect: Expect::Told(Reach::Link),
        what: "the link ends without a close frame",
        ..PLAIN
    },
    Row {
        name: "stall (one stream)",
        inject: &["stall BOOK for=6s"],
        expect: Expect::Told(Reach::Book),
        lasts_ms: 6_000,
        within_s: 20,
        what: "one book is silent for 6 s on a link that lives, then goes on with a gap",
        ..PLAIN
    },
    Row {
        name: "stall (one symbol)",
        inject: &["stall SYMBOL for=6s"],
        expect: Expect::Told(Reach::Symbol),
        lasts_ms: 6_000,
        within_s: 20,
        what: "every stream of one symbol is silent for 6 s on links that live",
        ..PLAIN
    },
    Row {
        name: "half-open",
        inject: &["half-open BOOK"],
        expect: Expect::Told(Reach::Link),
        what: "the connection stands, and nothing is read, answered or sent on it any more",
        ..PLAIN
    },
    Row {
        name: "gap",
        not_at: WITHOUT_NUMBERS,
        inject: &["gap BOOK"],
        expect: Expect::Told(Reach::Book),
        what: "one delta is withheld",
        ..PLAIN
    },
    Row {
        name: "miss",
        not_at: WITHOUT_NUMBERS,
        inject: &["miss BOOK"],
        expect: Expect::Told(Reach::Book),
        what: "one delta does not come on one link; here there is no other that has it",
        ..PLAIN
    },
    Row {
        name: "duplicate",
        inject: &["duplicate BOOK"],
        what: "one delta comes twice",
        ..PLAIN
    },
    Row {
        name: "reorder",
        not_at: WITHOUT_NUMBERS,
        inject: &["reorder BOOK"],
        expect: Expect::Told(Reach::Book),
        what: "one delta comes after its successor",
        ..PLAIN
    },
    Row {
        name: "trickle (frames)",
        inject: &["trickle BOOK bytes=64 every=1ms for=2s"],
        lasts_ms: 2_000,
        what: "64 bytes of the link's frames a millisecond for 2 s",
        ..PLAIN
    },
    Row {
        name: "trickle (TLS records)",
        inject: &["trickle BOOK bytes=64 every=1ms for=2s wire"],
        lasts_ms: 2_000,
        what: "the same in pieces of TLS records",
        ..PLAIN
    },
    Row {
        name: "cut-mid-frame (FIN)",
        inject: &["cut-mid-frame BOOK"],
        expect: Expect::Told(Reach::Link),
        what: "the link ends in the middle of a frame",
        ..PLAIN
    },
    Row {
        name: "cut-mid-frame (reset, TLS record)",
        inject: &["cut-mid-frame BOOK reset wire"],
        expect: Expect::Told(Reach::Link),
        what: "the link is reset in the middle of a TLS record",
        ..PLAIN
    },
    Row {
        name: "refuse-upgrade 401",
        inject: &["refuse-upgrade 401 times=2", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        earliest_ms: 500,
        what: "a cut, and the next two upgrades are answered 401",
        ..PLAIN
    },
    Row {
        name: "refuse-upgrade 403",
        inject: &["refuse-upgrade 403 times=2", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        earliest_ms: 500,
        // Bybit's limit on an address, for ten minutes; Polymarket's guard, for one.
        bans: |venue| match venue {
            SimVenue::Polymarket => (1, 0),
            venue if venue.is_bybit() => (1, 0),
            _ => (0, 0),
        },
        what: "the same with 403",
        ..PLAIN
    },
    Row {
        name: "refuse-upgrade 429",
        inject: &["refuse-upgrade 429 retry=1 times=2", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        earliest_ms: 2_000,
        // Polymarket's documents know no 429 of a link.
        bans: |venue| match venue {
            SimVenue::Polymarket => (0, 0),
            _ => (2, 2),
        },
        what: "the same with 429 and Retry-After 1 s",
        ..PLAIN
    },
    Row {
        name: "refuse-upgrade 503",
        inject: &["refuse-upgrade 503 times=2", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        what: "the same with 503",
        ..PLAIN
    },
    Row {
        name: "certificate (wrong name)",
        inject: &["certificate wrong-name for=1s", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        lasts_ms: 1_000,
        what: "a cut, and for 1 s the venue shows a certificate for another name",
        ..PLAIN
    },
    Row {
        name: "certificate (unknown authority)",
        inject: &["certificate unknown-authority for=1s", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        lasts_ms: 1_000,
        what: "the same with a certificate that nobody trusted has signed",
        ..PLAIN
    },
    Row {
        name: "certificate (expired)",
        inject: &["certificate expired for=1s", "cut BOOK"],
        expect: Expect::Told(Reach::Link),
        lasts_ms: 1_000,
        what: "the same with one that has expired",
        ..PLAIN
    },
    Row {
        name: "old-snapshot",
        inject: &["old-snapshot SYMBOL times=2", "gap BOOK"],
        expect: Expect::Told(Reach::Book),
        not_at: BY_REST_ONLY,
        what: "a gap, and the next two REST snapshots are older than every delta since",
        ..PLAIN
    },
    Row {
        name: "rest 429",
        inject: &["rest 429 retry=1 times=1", "gap BOOK"],
        expect: Expect::Told(Reach::Book),
        earliest_ms: 1_000,
        bans: |_| (1, 1),
        not_at: BY_REST_ONLY,
        what: "a gap, and the request for the snapshot is answered 429 with Retry-After 1 s",
        ..PLAIN
    },
    Row {
        name: "rest 418",
        inject: &["rest 418 retry=1 times=1", "gap BOOK"],
        expect: Expect::Told(Reach::Book),
        earliest_ms: 1_000,
        bans: |_| (1, 1),
        not_at: BY_REST_ONLY,
        what: "the same with 418, the venue's word for a ban",
        ..PLAIN
    },
    Row {
        name: "rest 503",
        inject: &["rest 503 times=2", "gap BOOK"],
        expect: Expect::Told(Reach::Book),
        not_at: BY_REST_ONLY,
        what: "a gap, and the next two requests are answered 503",
        ..PLAIN
    },
    Row {
        name: "corrupt (JSON)",
        inject: &["corrupt BOOK"],
        expect: Expect::Told(Reach::Book),
        what: "one byte of a delta is damaged, so that it is no JSON",
        ..PLAIN
    },
    Row {
        name: "corrupt (UTF-8)",
        inject: &["corrupt BOOK utf8"],
        // Texts are not checked as a whole: a byte that nobody reads may be any.
        expect: Expect::MayTell(Reach::Book),
        what: "one byte of a delta is damaged, so that it is no UTF-8: noticed where it is one that is read",
        ..PLAIN
    },
    Row {
        name: "oversized",
        inject: &["oversized BOOK bytes=8MiB"],
        expect: Expect::Told(Reach::Link),
        what: "a delta is padded to 8 MiB, more than the link takes",
        ..PLAIN
    },
    Row {
        name: "huge-header",
        inject: &["huge-header BOOK"],
        expect: Expect::Told(Reach::Link),
        what: "a frame header announces 2^62 bytes",
        ..PLAIN
    },
    Row {
        name: "crossed",
        inject: &["crossed BOOK"],
        expect: Expect::Told(Reach::Book),
        what: "a delta with correct numbers brings a bid above the best ask",
        ..PLAIN
    },
    Row {
        name: "skew (ahead)",
        inject: &["skew 30s for=2s"],
        lasts_ms: 2_000,
        what: "the venue's clock is 30 s ahead for 2 s",
        ..PLAIN
    },
    Row {
        name: "skew (behind)",
        inject: &["skew -30s for=2s"],
        lasts_ms: 2_000,
        what: "the venue's clock is 30 s behind for 2 s",
        ..PLAIN
    },
    Row {
        name: "restart",
        inject: &["restart"],
        expect: Expect::Told(Reach::Venue),
        what: "every link is cut and all numbers start over",
        ..PLAIN
    },
    Row {
        name: "service-reset",
        inject: &["service-reset"],
        expect: Expect::Told(Reach::Books),
        not_at: |venue| (!venue.is_bybit()).then_some("Bybit's book service only"),
        what: "the book service restarts behind live links: a snapshot with the number 1",
        ..PLAIN
    },
    Row {
        name: "kill",
        inject: &["kill for=1s"],
        expect: Expect::Told(Reach::Venue),
        lasts_ms: 1_000,
        what: "kill -9: every connection is reset, nobody listens for 1 s",
        ..PLAIN
    },
    Row {
        name: "kill (numbers start over)",
        inject: &["kill for=1s reset"],
        expect: Expect::Told(Reach::Venue),
        lasts_ms: 1_000,
        what: "the same, and all numbers start over",
        ..PLAIN
    },
    Row {
        name: "mute link",
        inject: &["mute BOOK"],
        expect: Expect::Told(Reach::Link),
        // A silence, an answer that the venue has more, asking anew in vain, and another answer.
        within_s: 60,
        what: "no data on the link any more, while pings are answered and requests taken: Polymarket's silent stall after some 20 minutes, at any venue",
        ..PLAIN
    },
    Row {
        name: "test_request unheard",
        inject: &["deaf-test BOOK for=1s"],
        expect: Expect::Told(Reach::Link),
        not_at: AT_DERIBIT,
        what: "the venue asks for proof of life, does not hear our answer, and ends the session",
        ..PLAIN
    },
    Row {
        name: "out of credits",
        inject: &["gap BOOK", "no-credits times=1"],
        expect: Expect::Told(Reach::Link),
        // Until the pool is full again.
        earliest_ms: 3_000,
        bans: |_| (1, 1),
        not_at: AT_DERIBIT,
        what: "a gap, and the request for the book anew is one too many: error 10028, and the session ends",
        ..PLAIN
    },
    Row {
        name: "PING refused",
        inject: &["ping-refused BOOK"],
        expect: Expect::Told(Reach::Link),
        not_at: |venue| {
            (venue != SimVenue::Polymarket).then_some("Polymarket's rule on its first message only")
        },
        what: "the next PING is taken for one before a subscription: close code 1008",
        ..PLAIN
    },
    Row {
        name: "planned cut: server-shutdown",
        inject: &["server-shutdown BOOK for=3s"],
        expect: Expect::Handover,
        lasts_ms: 3_000,
        not_at: |venue| (!venue.is_binance()).then_some("the venue announces nothing"),
        what: "the venue says that the link will end, and cuts it 3 s later",
        ..PLAIN
    },
    Row {
        name: "planned cut: maximum age",
        inject: &[],
        expect: Expect::Handover,
        lasts_ms: 8_000,
        life_ms: Some(6_000),
        link_age_max_ms: Some(3_000),
        what: "the venue cuts each connection at an age of 6 s; ours are let go at 3 s",
        ..PLAIN
    },
    Row {
        name: "pair: cut",
        inject: &["cut oldest"],
        redundancy: Redundancy::Pair,
        not_at: IN_PAIRS,
        what: "every stream has two links, and one of them is cut",
        ..PLAIN
    },
    Row {
        name: "pair: half-open",
        inject: &["half-open oldest"],
        redundancy: Redundancy::Pair,
        not_at: IN_PAIRS,
        lasts_ms: 5_000,
        what: "the same, and one of them is dead without a word",
        ..PLAIN
    },
    Row {
        name: "pair: miss",
        inject: &["miss BOOK"],
        redundancy: Redundancy::Pair,
        not_at: IN_PAIRS,
        what: "the same, and a delta does not come on one of them",
        ..PLAIN
    },
];

impl Row {
    /// What must be seen at a venue. At Polymarket all streams of a token are one topic, and nothing
    /// tells whose a frame was that nobody can read: every stream of its link has lost it.
    #[must_use]
    pub fn expect_at(&self, venue: SimVenue) -> Expect {
        let whole_link = self.name.starts_with("corrupt");
        match self.expect {
            expect if venue != SimVenue::Polymarket => expect,
            Expect::Told(Reach::Book) if whole_link => Expect::Told(Reach::Link),
            Expect::MayTell(Reach::Book) if whole_link => Expect::MayTell(Reach::Link),
            Expect::Told(Reach::Book) => Expect::Told(Reach::Symbol),
            expect => expect,
        }
    }

    /// Whether `--fault WORD` means it: by its name, or by how its name begins.
    #[must_use]
    pub fn is_meant_by(&self, word: &str) -> bool {
        self.name.starts_with(word)
    }
}

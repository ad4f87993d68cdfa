//! How much is done to keep links and books true: the same choices at every venue. Each venue's
//! config starts with its own, drawn from what the venue promises; a user may change any.

use crate::channel::Channel;
use crate::liveness::Expectation;
use crate::time::Nanos;

/// How links and books are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How many links carry a stream.
    pub redundancy: Redundancy,
    /// A link is replaced, without a break, when it is so old: before the venue cuts it. `None` where
    /// the venue lets links live.
    pub link_age_max_ns: Option<Nanos>,
    /// A link that is being replaced is let go after this, though a stream may not be in step on the
    /// new one yet.
    pub handover_max_ns: Nanos,
    /// What a book is compared with.
    pub top_check: TopCheck,
    /// A book that has not shown the venue's own best prices for so long, not for a moment, is wrong.
    pub top_differs_max_ns: Nanos,
    /// What is expected of each kind of stream.
    pub expectations: Expectations,
}

/// How many links carry a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redundancy {
    /// One; two only while a planned cut is bridged.
    #[default]
    Single,
    /// Two at all times, on connections of their own: the first arrival counts, and what one misses
    /// the other fills. Costs twice the bytes.
    Pair,
}

/// What a book is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopCheck {
    /// With the venue's best bid/ask stream, which is subscribed to for that where no strategy does.
    #[default]
    Always,
    /// With the venue's best bid/ask stream where a strategy has it.
    IfSubscribed,
    /// With nothing.
    Never,
}

/// What is expected of each kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectations {
    /// Books.
    pub book: Expectation,
    /// Best bid and ask.
    pub bbo: Expectation,
    /// Trades, single and aggregated.
    pub trades: Expectation,
    /// 24-hour ticker.
    pub ticker: Expectation,
    /// Candles.
    pub kline: Expectation,
}

impl Expectations {
    /// Nothing is expected of any stream.
    pub const NONE: Expectations = Expectations {
        book: Expectation::NONE,
        bbo: Expectation::NONE,
        trades: Expectation::NONE,
        ticker: Expectation::NONE,
        kline: Expectation::NONE,
    };

    /// What is expected of a channel.
    pub const fn of(&self, channel: Channel) -> Expectation {
        match channel {
            Channel::Book(_) => self.book,
            Channel::Bbo => self.bbo,
            Channel::Trades | Channel::AggTrades => self.trades,
            Channel::Ticker => self.ticker,
            Channel::Kline(_) => self.kline,
            // Silent while the account does nothing: only its link tells whether it lives.
            Channel::User => Expectation::NONE,
        }
    }
}

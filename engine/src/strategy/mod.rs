//! What a user writes: a value with callbacks, and the context through which it acts.

mod context;
mod replica;
mod runner;

pub use context::{Context, TimerId};
pub use replica::{Change, Replica};
pub use runner::Wait;
pub(crate) use runner::{Runner, run_thread};

use tickwire_connectors::order::{Balance, Fill, OrderUpdate, Position};
use tickwire_connectors::wide::{Greeks, Kline, Notice, Refusal, Ticker};
use tickwire_connectors::{Bbo, Instrument, LevelDelta, Lost, StateChange, Trade, VenueNews, Wide};

use crate::operator::Instruction;

/// A trading strategy. Every callback has a default that does nothing.
///
/// It runs on a thread of its own over rings (the default), or inline on the engine's loop; the
/// code is the same. Callbacks of one strategy never run at the same time. Events of one stream come
/// in the venue's order, and a [`StateChange`] away from Live always comes before any later price.
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Strategy: Send + 'static {
    /// Once, before any event.
    fn on_start(&mut self, context: &mut Context) {}

    /// The top of a book changed, or the venue's best bid and ask did.
    fn on_bbo(&mut self, context: &mut Context, bbo: &Bbo) {}

    /// A trade happened.
    fn on_trade(&mut self, context: &mut Context, trade: &Trade) {}

    /// One level of a book changed; for streams with depth. The batch may not be complete: to look
    /// at a whole book, use [`on_depth`](Strategy::on_depth).
    fn on_level(&mut self, context: &mut Context, delta: &LevelDelta) {}

    /// A whole message has been applied to the replica of a book; for streams with depth. `last` is
    /// the message's last level. Never called with a book that is not continuous with the venue.
    fn on_depth(&mut self, context: &mut Context, last: &LevelDelta, book: &Replica) {}

    /// A stream changed its state: Live data may be traded on, no other.
    fn on_state(&mut self, context: &mut Context, change: &StateChange) {}

    /// The strategy was too slow for its ring, and this is what it cost: exact counts by kind. A
    /// replica that lost levels has asked for a fresh snapshot already.
    fn on_lost(&mut self, context: &mut Context, lost: &Lost) {}

    /// The venue's 24-hour ticker.
    fn on_ticker(&mut self, context: &mut Context, event: &Wide, ticker: &Ticker) {}

    /// Volatilities and greeks of an option, behind each of its tickers.
    fn on_greeks(&mut self, context: &mut Context, event: &Wide, greeks: &Greeks) {}

    /// A candle.
    fn on_kline(&mut self, context: &mut Context, event: &Wide, kline: &Kline) {}

    /// A stream's instrument is known, or changed.
    fn on_instrument(&mut self, context: &mut Context, event: &Wide, instrument: &Instrument) {}

    /// Something went wrong with a stream, in words.
    fn on_notice(&mut self, context: &mut Context, event: &Wide, notice: &Notice) {}

    /// Something that concerns all streams of a venue: a ban began or is over. Told once, with any of
    /// the strategy's streams of that venue.
    fn on_venue_news(&mut self, context: &mut Context, event: &Wide, news: &VenueNews) {}

    /// An order of the account's own changed.
    fn on_order(&mut self, context: &mut Context, event: &Wide, order: &OrderUpdate) {}

    /// An order of the account's own traded, or the settlement of such a trade went on.
    fn on_fill(&mut self, context: &mut Context, event: &Wide, fill: &Fill) {}

    /// A balance of the account changed.
    fn on_balance(&mut self, context: &mut Context, event: &Wide, balance: &Balance) {}

    /// A position of the account changed.
    fn on_position(&mut self, context: &mut Context, event: &Wide, position: &Position) {}

    /// A command on an order did not do what was asked: not sent, refused, or of unknown outcome. What
    /// became of the order itself comes by [`on_order`](Strategy::on_order).
    fn on_refusal(&mut self, context: &mut Context, event: &Wide, refusal: &Refusal) {}

    /// The operator asks or tells something; for strategies that are
    /// [`operated`](crate::StrategySetup::operated). Answered with [`Context::answer`], at once or later.
    fn on_instruction(&mut self, context: &mut Context, instruction: &Instruction) {}

    /// A timer of [`Context::set_timer`] is due.
    fn on_timer(&mut self, context: &mut Context, timer: TimerId) {}

    /// Once, after the last event.
    fn on_stop(&mut self, context: &mut Context) {}
}

//! Events that don't fit a cache line. They travel in a second ring, in order with the hot ones.

use arrayvec::ArrayString;
use tickwire_orderbook::{Amount, Price, Qty};

use crate::channel::Interval;
use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::event::{Source, StreamId, StreamState};
use crate::instrument::Instrument;
use crate::order::{Balance, ClientOrderId, Fill, OrderUpdate, Position, VenueOrderId};
use crate::time::Nanos;
use crate::trading::Ticket;

/// A wide event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wide {
    /// The stream.
    pub stream: StreamId,
    /// Which of the venue's channels.
    pub source: Source,
    /// Counts the stream's connections.
    pub epoch: u16,
    /// The stream's state as this event leaves it.
    pub state: StreamState,
    /// The venue's own number, 0 where the channel has none.
    pub seq: u64,
    /// The venue's event time; [`Nanos::ZERO`] where the channel has none.
    pub exch_ns: Nanos,
    /// Our time of receipt.
    pub recv_ns: Nanos,
    /// What happened.
    pub body: WideBody,
}

/// What a wide event says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WideBody {
    /// 24-hour statistics, mark and index price, funding.
    Ticker(Ticker),
    /// Volatilities and greeks of an option, behind each of its tickers.
    Greeks(Greeks),
    /// A candle.
    Kline(Kline),
    /// What the stream's instrument is; first when the stream is resolved, again when it changes.
    Instrument(Instrument),
    /// Something went wrong, in words.
    Notice(Notice),
    /// Something about the whole venue.
    Venue(VenueNews),
    /// An order of the account's own as the venue has it now.
    Order(OrderUpdate),
    /// A trade of the account's own.
    Fill(Fill),
    /// What the account holds of a currency or token.
    Balance(Balance),
    /// What the account holds of a contract.
    Position(Position),
    /// A command on an order did not do what was asked.
    Refusal(Refusal),
}

/// The venue's ticker. A field is `None` where the venue does not send it, and holds the last value
/// where the venue sends only what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticker {
    /// Last trade's price.
    pub last: Option<Price>,
    /// Best bid.
    pub bid: Option<(Price, Qty)>,
    /// Best ask.
    pub ask: Option<(Price, Qty)>,
    /// Price 24 hours ago.
    pub open: Option<Price>,
    /// Highest price of 24 hours.
    pub high: Option<Price>,
    /// Lowest price of 24 hours.
    pub low: Option<Price>,
    /// Volume of 24 hours in base currency or contracts.
    pub volume: Option<Amount>,
    /// Volume of 24 hours in quote currency.
    pub turnover: Option<Amount>,
    /// Mark price.
    pub mark: Option<Price>,
    /// Index price.
    pub index: Option<Price>,
    /// Open interest in contracts or base currency.
    pub open_interest: Option<Amount>,
    /// Rate of the next funding, as a fraction.
    pub funding_rate: Option<Price>,
    /// When the next funding is.
    pub next_funding_ns: Option<Nanos>,
}

/// How an option is priced, as the venue computes it. A field is `None` where the venue does not send
/// it. Numbers are exactly those of the venue; the greeks are in its own units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Greeks {
    /// Implied volatility of a year at the mark price, as a fraction: 0.65 is 65 %.
    pub mark_iv: Option<Price>,
    /// That at the best bid; none without a bid.
    pub bid_iv: Option<Price>,
    /// That at the best ask; none without an ask.
    pub ask_iv: Option<Price>,
    /// Change of the option's value with the underlying's price.
    pub delta: Option<Price>,
    /// Change of delta with the underlying's price.
    pub gamma: Option<Price>,
    /// Change of the option's value with time.
    pub theta: Option<Price>,
    /// Change of the option's value with volatility.
    pub vega: Option<Price>,
    /// Change of the option's value with the interest rate.
    pub rho: Option<Price>,
    /// Price of what the option is on.
    pub underlying: Option<Price>,
    /// Interest rate that it is priced with, as the venue states it.
    pub interest_rate: Option<Price>,
}

/// A candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kline {
    /// Its length.
    pub interval: Interval,
    /// Its first moment.
    pub start_ns: Nanos,
    /// Its last moment.
    pub end_ns: Nanos,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Volume in base currency or contracts.
    pub volume: Amount,
    /// Volume in quote currency.
    pub turnover: Amount,
    /// Number of trades, where the venue says it.
    pub trades: Option<u64>,
    /// Whether the candle is complete.
    pub closed: bool,
}

/// What concerns all streams of a venue at once. A strategy gets it once, with any of its streams of
/// the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueNews {
    /// The venue refuses our requests: no book can be fetched anew, and nothing is asked for, until
    /// then. Books that are Live stay so.
    Banned {
        /// When it may be asked again, by our clock.
        until_ns: Nanos,
        /// The HTTP status: 429, 418 or 403.
        status: u16,
    },
    /// The time of the last ban is over.
    BanLifted,
}

/// An error that concerns a stream, with the venue's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What kind of error.
    pub kind: ErrorKind,
    /// The venue's code, where it gave one.
    pub code: Option<i64>,
    /// What happened, cut at 200 bytes.
    pub text: ArrayString<200>,
}

impl Notice {
    /// The notice of an error; longer texts are cut.
    pub fn of(error: &Error) -> Notice {
        Notice {
            kind: error.kind,
            code: error.code,
            text: cut(&error.text),
        }
    }
}

/// What a refused command was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// To place an order.
    Place,
    /// To cancel one.
    Cancel,
    /// To change one.
    Amend,
    /// To cancel many.
    CancelAll,
}

impl Asked {
    /// The word used in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Asked::Place => "place",
            Asked::Cancel => "cancel",
            Asked::Amend => "amend",
            Asked::CancelAll => "cancel_all",
        }
    }
}

/// A command on an order that did not do what was asked: it never left, the venue said no, or nobody
/// knows. What became of the order itself comes as [`WideBody::Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command.
    pub ticket: Ticket,
    /// What was asked.
    pub asked: Asked,
    /// The order's id of ours; empty where it was named by the venue's.
    pub client_order_id: ClientOrderId,
    /// The order's id of the venue; empty where it was named by ours.
    pub venue_order_id: VenueOrderId,
    /// What became of the command.
    pub outcome: Outcome,
    /// What to do next.
    pub next: Next,
    /// Why, in words.
    pub notice: Notice,
}

impl Refusal {
    /// Of a command and its error.
    pub fn of(
        ticket: Ticket,
        asked: Asked,
        (client_order_id, venue_order_id): (ClientOrderId, VenueOrderId),
        error: &Error,
    ) -> Refusal {
        Refusal {
            ticket,
            asked,
            client_order_id,
            venue_order_id,
            outcome: error.outcome,
            next: error.next,
            notice: Notice::of(error),
        }
    }
}

/// The text, cut at the last character that fits.
pub fn cut<const N: usize>(text: &str) -> ArrayString<N> {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ArrayString::from(&text[..end]).unwrap_or_default()
}

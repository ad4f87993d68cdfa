//! Instruments: venue, market, symbol, and the steps in which they trade.

use core::fmt;
use core::str::FromStr;

use arrayvec::ArrayString;
use tickwire_orderbook::{Price, Qty, Scale};

use crate::time::Nanos;

/// A symbol, unified ("BTC/USDT:USDT") or as the venue writes it ("BTCUSDT"). 80 bytes hold the
/// longest known, a Polymarket token id of 78 digits.
pub type Symbol = ArrayString<80>;

/// A currency code.
pub type Currency = ArrayString<20>;

/// The symbol, or `None` where it is longer than any venue's.
pub fn symbol(text: &str) -> Option<Symbol> {
    Symbol::from(text).ok()
}

/// Takes a symbol without a separator apart by the currencies that can stand at its end: "ETHBTC" is
/// "ETH" and "BTC". The longest that fits wins ("BTCBUSD" is priced in BUSD). `None` where none does.
pub fn split_by_quote<'a>(text: &'a str, quotes: &[&str]) -> Option<(&'a str, &'a str)> {
    let fits = quotes
        .iter()
        .filter(|quote| text.len() > quote.len() && text.ends_with(**quote));
    let longest = fits.max_by_key(|quote| quote.len())?;
    Some(text.split_at(text.len() - longest.len()))
}

/// A venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Venue {
    /// Binance
    Binance,
    /// Bybit
    Bybit,
    /// Deribit
    Deribit,
    /// Polymarket
    Polymarket,
    /// A user's own venue, by name.
    Custom(ArrayString<15>),
}

impl Venue {
    /// A venue of the user's own, or `None` where the name is longer than 15 bytes.
    pub fn custom(name: &str) -> Option<Venue> {
        ArrayString::from(name).ok().map(Venue::Custom)
    }

    /// The name in JSON output and on the command line: lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Venue::Binance => "binance",
            Venue::Bybit => "bybit",
            Venue::Deribit => "deribit",
            Venue::Polymarket => "polymarket",
            Venue::Custom(name) => name,
        }
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The kind of contract that a venue's market trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Market {
    /// Spot.
    Spot,
    /// Futures and perpetuals margined in the quote currency (Binance USD-M, Bybit linear).
    Linear,
    /// Futures and perpetuals margined in the base currency (Binance COIN-M).
    Inverse,
    /// Options.
    Option,
    /// Outcome tokens of prediction markets.
    Prediction,
}

impl Market {
    /// Every market.
    pub const ALL: [Market; 5] = [
        Market::Spot,
        Market::Linear,
        Market::Inverse,
        Market::Option,
        Market::Prediction,
    ];

    /// The name in JSON output and on the command line: lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Market::Spot => "spot",
            Market::Linear => "linear",
            Market::Inverse => "inverse",
            Market::Option => "option",
            Market::Prediction => "prediction",
        }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not the name of a market.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown market {0:?}: use spot, linear, inverse, option or prediction")]
pub struct UnknownMarket(String);

impl FromStr for Market {
    type Err = UnknownMarket;

    fn from_str(text: &str) -> Result<Market, UnknownMarket> {
        Market::ALL
            .into_iter()
            .find(|market| market.as_str() == text)
            .ok_or_else(|| UnknownMarket(text.to_owned()))
    }
}

/// The identity of an instrument, everywhere in tickwire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstrumentKey {
    /// Venue.
    pub venue: Venue,
    /// Market of the venue: "BTCUSDT" is a different instrument in each.
    pub market: Market,
    /// Unified symbol where the venue's data allow one, otherwise the venue's own.
    pub symbol: Symbol,
}

/// Whether an instrument trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TradingStatus {
    /// The venue has not been asked, or its word is unknown to us.
    #[default]
    Unknown,
    /// Open.
    Trading,
    /// Not open now (halt, break, pre-launch, delivery); may open again.
    Halted,
    /// Gone for good.
    Closed,
}

/// Bands of prices with a step of their own, beside the lowest. Deribit has one or two.
pub const TICK_STEPS_MAX: usize = 3;

/// Above a price, prices have another step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickStep {
    /// The price.
    pub above: Price,
    /// The step of all higher ones.
    pub tick: Price,
}

/// What the venue says of an instrument: its names and the steps in which it trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Identity.
    pub key: InstrumentKey,
    /// The venue's own symbol.
    pub venue_symbol: Symbol,
    /// What is traded.
    pub base: Currency,
    /// What it is priced in.
    pub quote: Currency,
    /// What a contract is settled in; empty for spot.
    pub settle: Currency,
    /// Decimals of a price in books and events.
    pub price_scale: Scale,
    /// Decimals of a quantity in books and events.
    pub qty_scale: Scale,
    /// Smallest price step; `None` where the venue has not said. Where [`tick_steps`] has some, that of
    /// the lowest prices: [`tick_at`](Instrument::tick_at) has that of a price.
    ///
    /// [`tick_steps`]: Instrument::tick_steps
    pub tick_size: Option<Price>,
    /// Other price steps of higher prices, the lowest first (options of Deribit).
    pub tick_steps: [Option<TickStep>; TICK_STEPS_MAX],
    /// Smallest quantity step; `None` where the venue has not said.
    pub lot_size: Option<Qty>,
    /// Smallest order quantity.
    pub qty_min: Option<Qty>,
    /// Largest order quantity.
    pub qty_max: Option<Qty>,
    /// Smallest order value in quote currency.
    pub notional_min: Option<Price>,
    /// Units of base (linear) or quote (inverse) currency in one contract; `None` for spot.
    pub contract_size: Option<Qty>,
    /// End of trading for dated contracts.
    pub expiry_ns: Option<Nanos>,
    /// Whether it trades.
    pub status: TradingStatus,
    /// False where nothing is known but the venue's default scales.
    pub from_venue: bool,
}

impl Instrument {
    /// An instrument of which only the name is known, at the venue's default scales.
    pub fn with_defaults(
        key: InstrumentKey,
        venue_symbol: Symbol,
        price_scale: Scale,
        qty_scale: Scale,
    ) -> Instrument {
        Instrument {
            key,
            venue_symbol,
            base: Currency::new_const(),
            quote: Currency::new_const(),
            settle: Currency::new_const(),
            price_scale,
            qty_scale,
            tick_size: None,
            tick_steps: [None; TICK_STEPS_MAX],
            lot_size: None,
            qty_min: None,
            qty_max: None,
            notional_min: None,
            contract_size: None,
            expiry_ns: None,
            status: TradingStatus::Unknown,
            from_venue: false,
        }
    }

    /// The highest band of prices that begins below a price; `None` within the lowest.
    pub(crate) fn tick_step_below(&self, price: Price) -> Option<&TickStep> {
        let mut steps = self.tick_steps.iter().flatten();
        steps.rfind(|step| step.above < price)
    }

    /// The price step that is valid at a price; `None` where the venue has not said.
    pub fn tick_at(&self, price: Price) -> Option<Price> {
        let step = self.tick_step_below(price);
        step.map(|step| step.tick).or(self.tick_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_taken_apart_at_the_longest_quote_that_fits() {
        let quotes = ["USDT", "USD", "BUSD", "BTC"];
        let table = [
            ("ETHBTC", Some(("ETH", "BTC"))),
            ("BTCBUSD", Some(("BTC", "BUSD"))),
            ("BTCUSD", Some(("BTC", "USD"))),
            ("USDT", None),
            ("ABCXYZ", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(split_by_quote(text, &quotes), expected, "{text}");
        }
    }
}

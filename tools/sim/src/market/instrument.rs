//! The instruments that a venue lists: real names first, at their magnitudes of price, tick and
//! lot, then made-up ones with seeded magnitudes.

use super::tape::QuoteRule;
use crate::error::SimError;
use crate::num::{NumFmt, pow10};
use crate::spec::{SimVenue, VenueSpec};

/// Base asset, price in dollars at `decimals` digits (mantissa), price digits, quantity digits.
/// The magnitudes are those of recorded frames (2021 to 2026); the digits those of the instruments.
const KNOWN: &[(&str, i64, u8, u8)] = &[
    ("BTC", 6_183_763, 2, 5),
    ("ETH", 267_415, 2, 4),
    ("SOL", 14_231, 2, 3),
    ("XRP", 5_659, 4, 1),
    ("BNB", 60_112, 2, 3),
    ("DOGE", 12_340, 5, 0),
    ("ADA", 36_270, 5, 1),
    ("LINK", 15_068, 3, 2),
    ("AVAX", 25_330, 3, 2),
    ("DOT", 43_524, 4, 2),
    ("LTC", 8_191, 2, 3),
    ("TRX", 13_346, 5, 1),
    ("ETC", 20_415, 3, 2),
    ("BCH", 42_790, 2, 3),
    ("FTM", 33_993, 5, 0),
    ("SUSHI", 7_611, 3, 1),
];

const QUOTES: &[&str] = &["USDT", "USDC", "FDUSD", "BUSD", "EUR", "BTC", "ETH", "USD"];

/// One listed instrument.
#[derive(Clone, Debug)]
pub(crate) struct InstrumentSpec {
    /// Symbol as REST writes it.
    pub(crate) symbol: String,
    /// Symbol as Binance's stream names write it.
    pub(crate) symbol_lower: String,
    /// Base asset.
    pub(crate) base: String,
    /// Quote asset.
    pub(crate) quote: String,
    /// How prices print; `mult` is the tick.
    pub(crate) price: NumFmt,
    /// How quantities print; `mult` is the lot.
    pub(crate) qty: NumFmt,
    /// Start price, in ticks.
    pub(crate) mid_ticks: i64,
    /// Common quantity, in lots.
    pub(crate) typical_lots: i64,
    /// Dollars a contract (COIN-M), else 1.
    pub(crate) contract_size: i64,
    /// Highest price, in ticks: a share of a prediction market is worth less than 1.
    pub(crate) ticks_max: i64,
    /// Numeric id (Bybit's `symbolId`).
    pub(crate) id: u32,
}

impl InstrumentSpec {
    pub(super) fn quote_rule(&self) -> QuoteRule {
        if self.contract_size > 1 {
            QuoteRule::Inverse {
                contract: self.contract_size,
                price: self.price.mult,
                decimals: self.price.decimals,
            }
        } else {
            QuoteRule::Product {
                price: self.price.mult,
                qty: self.qty.mult,
            }
        }
    }

    /// Digits of a turnover mantissa of [`super::Tape`].
    #[must_use]
    pub(crate) fn quote_decimals(&self) -> u8 {
        if self.contract_size > 1 {
            8
        } else {
            self.price.decimals + self.qty.decimals
        }
    }

    /// COIN-M's `pair`: the symbol without its contract.
    #[must_use]
    pub(crate) fn pair(&self) -> &str {
        self.symbol.split('_').next().unwrap_or(&self.symbol)
    }
}

pub(super) fn list(
    spec: &VenueSpec,
    rng: &mut fastrand::Rng,
) -> Result<Vec<InstrumentSpec>, SimError> {
    let symbols: Vec<String> = if spec.symbols.is_empty() {
        (0..spec.instrument_count)
            .map(|index| default_symbol(spec.venue, index))
            .collect()
    } else {
        spec.symbols.clone()
    };
    if symbols.is_empty() {
        return Err(SimError::BadSpec {
            venue: spec.venue,
            what: "no instruments",
        });
    }
    let mut listed: Vec<InstrumentSpec> = Vec::with_capacity(symbols.len());
    for (index, symbol) in symbols.into_iter().enumerate() {
        if listed.iter().any(|one| one.symbol == symbol) {
            return Err(SimError::BadSymbol {
                venue: spec.venue,
                symbol,
            });
        }
        listed.push(instrument(spec.venue, symbol, index, rng)?);
    }
    Ok(listed)
}

fn default_symbol(venue: SimVenue, index: usize) -> String {
    let base = KNOWN
        .get(index)
        .map_or_else(|| format!("C{index:03}"), |&(base, ..)| base.to_owned());
    match venue {
        SimVenue::BinanceInverse => format!("{base}USD_PERP"),
        SimVenue::DeribitInverse => format!("{base}-PERPETUAL"),
        SimVenue::DeribitLinear => format!("{base}_USDC-PERPETUAL"),
        SimVenue::DeribitSpot => format!("{base}_USDC"),
        // One coin, strike by strike, calls and puts.
        SimVenue::DeribitOption => {
            let strike = 50_000 + 5_000 * (index / 2);
            let right = if index.is_multiple_of(2) { "C" } else { "P" };
            format!("BTC-25DEC26-{strike}-{right}")
        }
        SimVenue::Polymarket => token(index),
        _ => format!("{base}USDT"),
    }
}

fn instrument(
    venue: SimVenue,
    symbol: String,
    index: usize,
    rng: &mut fastrand::Rng,
) -> Result<InstrumentSpec, SimError> {
    if venue == SimVenue::Polymarket {
        return prediction(symbol, index);
    }
    let plain = symbol
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    let inverse = venue == SimVenue::BinanceInverse;
    let split = if venue.is_deribit() {
        deribit_pair(venue, &symbol)
    } else {
        let pair = symbol.split('_').next().unwrap_or_default();
        let quote = QUOTES
            .iter()
            .find(|q| pair.len() > q.len() && pair.ends_with(**q));
        quote.map(|quote| (&pair[..pair.len() - quote.len()], *quote))
    };
    let (true, Some((base, quote))) = (plain && symbol.len() <= 30, split) else {
        return Err(SimError::BadSymbol { venue, symbol });
    };
    let (base, quote) = (base.to_owned(), quote.to_owned());
    let known = KNOWN
        .iter()
        .find(|&&(name, ..)| name == base && !matches!(quote.as_str(), "BTC" | "ETH"));
    let (mantissa, decimals, qty_decimals) = known.map_or_else(
        || {
            let decimals = rng.u8(2..=7);
            (rng.i64(40_000..4_000_000), decimals, rng.u8(0..=3))
        },
        |&(_, mantissa, decimals, qty)| (mantissa, decimals, qty),
    );
    let option = venue == SimVenue::DeribitOption;
    // An option is priced in coin: ticks of 0.0001, and premiums that leave room for a book.
    let (mantissa, decimals) = if option {
        (rng.i64(2_000..6_000), 4)
    } else {
        (mantissa, decimals)
    };
    // Derivatives tick ten times coarser than spot ("61800.10" steps by 0.10), as does Bybit spot.
    // A book of a thousand levels needs a price of some thousand ticks, so cheap coins keep theirs.
    let coarse = venue != SimVenue::BinanceSpot && mantissa >= 100_000;
    let tick_decimals = decimals - u8::from(coarse);
    let mid_ticks = if coarse { mantissa / 10 } else { mantissa };
    let price_decimals = match venue {
        SimVenue::BinanceSpot => 8,
        // Prints the digits of the coin even where the tick has fewer: "61800.20", tick 0.10.
        SimVenue::BinanceLinear | SimVenue::BybitLinear => decimals,
        _ => tick_decimals,
    };
    let (lot_decimals, qty_print) = match venue {
        SimVenue::BinanceSpot => (qty_decimals, 8),
        SimVenue::BinanceInverse | SimVenue::Polymarket => (0, 0),
        SimVenue::BybitSpot => (qty_decimals + 1, qty_decimals + 1),
        // Dollars, tens of them for Bitcoin (contract_size 10).
        SimVenue::DeribitInverse => (0, 0),
        SimVenue::DeribitOption => (1, 1),
        _ => {
            let digits = qty_decimals
                .saturating_sub(2)
                .max(u8::from(qty_decimals > 0));
            (digits, digits)
        }
    };
    let bybit_spot = venue == SimVenue::BybitSpot;
    let dollars = if venue == SimVenue::DeribitInverse && base == "BTC" {
        10
    } else {
        1
    };
    Ok(InstrumentSpec {
        symbol_lower: symbol.to_ascii_lowercase(),
        base,
        quote,
        price: NumFmt {
            mult: pow10(price_decimals - tick_decimals),
            decimals: price_decimals,
            trim: bybit_spot,
        },
        qty: NumFmt {
            mult: pow10(qty_print - lot_decimals) * dollars,
            decimals: qty_print,
            trim: bybit_spot,
        },
        mid_ticks,
        typical_lots: 400,
        contract_size: match (inverse, symbol.starts_with("BTC")) {
            (true, true) => 100,
            (true, false) => 10,
            (false, _) => 1,
        },
        ticks_max: i64::MAX,
        id: index as u32 + 1,
        symbol,
    })
}

/// The id of the "Yes" token of a market: 77 digits, always the same.
fn token(index: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(index as u64 ^ 0x746f_6b65_6e73);
    let first = rng.char('1'..='8');
    let rest = (0..76).map(|_| rng.digit(10));
    std::iter::once(first).chain(rest).collect()
}

/// A prediction market: prices between 0 and 1 in ticks of 0.001, sizes with two decimals.
fn prediction(symbol: String, index: usize) -> Result<InstrumentSpec, SimError> {
    if symbol.len() != 77 || !symbol.bytes().all(|byte| byte.is_ascii_digit()) {
        let venue = SimVenue::Polymarket;
        return Err(SimError::BadSymbol { venue, symbol });
    }
    let base = KNOWN
        .get(index)
        .map_or_else(|| format!("C{index:03}"), |one| one.0.to_owned());
    let format = |decimals| NumFmt {
        mult: 1,
        decimals,
        trim: true,
    };
    Ok(InstrumentSpec {
        symbol_lower: symbol.clone(),
        base,
        quote: "pUSD".to_owned(),
        price: format(3),
        qty: format(2),
        mid_ticks: 500,
        typical_lots: 4_000,
        contract_size: 1,
        ticks_max: 999,
        id: index as u32 + 1,
        symbol,
    })
}

/// Base and quote of a Deribit name of this market: `BTC-PERPETUAL`, `BTC_USDC-PERPETUAL`, `BTC_USDC`,
/// `BTC-25DEC26-50000-C`.
fn deribit_pair(venue: SimVenue, symbol: &str) -> Option<(&str, &str)> {
    let mut parts = symbol.split('-');
    let pair = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let fits = match venue {
        SimVenue::DeribitSpot => pair.contains('_') && rest.is_empty(),
        SimVenue::DeribitLinear => pair.contains('_') && rest.len() == 1,
        SimVenue::DeribitOption => rest.len() == 3,
        _ => !pair.contains('_') && rest.len() == 1,
    };
    let pair = pair.split_once('_').unwrap_or((pair, "USD"));
    (fits && !pair.0.is_empty() && !pair.1.is_empty()).then_some(pair)
}

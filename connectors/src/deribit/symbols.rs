//! Deribit's symbols and the unified ones, by rule: both ways, and for every market.
//!
//! | market | unified | Deribit |
//! |---|---|---|
//! | spot | BTC/USDC | BTC_USDC |
//! | linear perpetual | BTC/USDC:USDC | BTC_USDC-PERPETUAL |
//! | linear dated | BTC/USDC:USDC-251226 | BTC_USDC-26DEC25 |
//! | inverse perpetual | BTC/USD:BTC | BTC-PERPETUAL |
//! | inverse dated | BTC/USD:BTC-251226 | BTC-26DEC25 |
//! | option | BTC/USD:BTC-251226-100000-C | BTC-26DEC25-100000-C |
//! | linear option | XRP/USDC:USDC-230630-0.625-C | XRP_USDC-30JUN23-0d625-C |
//! | index (ticker alone) | | btc_usd |
//!
//! (API v2.1.1, "Naming". Combos have no unified name and are not served.)

use tickwire_orderbook::Scale;

use crate::error::{Error, ErrorKind};
use crate::instrument::{Currency, Instrument, InstrumentKey, Market, Symbol, Venue, symbol};

/// Decimals of prices and quantities where the venue has not said. They hold the ticks seen on most
/// instruments (2021 to 2026: futures 0.5 down to 0.00001, options 0.0001, spot 0.0001; amounts down to
/// 0.0001) and leave room for the largest amounts. A number that does not fit makes the stream change
/// its scale.
pub(super) const fn default_scales(market: Market) -> (Scale, Scale) {
    match market {
        Market::Inverse => (Scale::of(4), Scale::of(2)),
        _ => (Scale::of(6), Scale::of(4)),
    }
}

/// An instrument, or an index, of which only the name is known.
pub(super) fn default_instrument(market: Market, asked: &Symbol) -> Result<Instrument, Error> {
    let venue_symbol = venue_symbol(market, asked)?;
    let name = Name::of_venue(&venue_symbol).filter(|_| !is_index(&venue_symbol));
    let unified = name.as_ref().and_then(Name::unified);
    let key = InstrumentKey {
        venue: Venue::Deribit,
        market,
        symbol: unified.unwrap_or(venue_symbol),
    };
    let (price_scale, qty_scale) = default_scales(market);
    let mut instrument = Instrument::with_defaults(key, venue_symbol, price_scale, qty_scale);
    if let Some(name) = name {
        let currency = |text| Currency::from(text).unwrap_or_default();
        instrument.base = currency(name.base);
        instrument.quote = currency(name.quote);
        instrument.settle = currency(name.settle().unwrap_or_default());
    }
    Ok(instrument)
}

/// What can stand in a symbol: it goes into requests as it is. `d` is the point of a strike.
pub(super) fn is_plain(text: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'd')
    };
    !text.is_empty() && text.bytes().all(legal)
}

/// Whether it is the name of an index: lower case, like `btc_usd`.
pub(super) fn is_index(text: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    text.contains('_') && text.bytes().all(legal)
}

/// The venue's symbol for what the strategy wrote.
pub(super) fn venue_symbol(market: Market, asked: &Symbol) -> Result<Symbol, Error> {
    let bad = |why: &str| {
        let text = format!("Deribit {market} has no symbol {asked:?}: {why}");
        Error::ours(ErrorKind::BadSymbol, text)
    };
    if is_index(asked) {
        return Ok(*asked);
    }
    let name = if asked.contains('/') {
        Name::of_unified(asked).ok_or_else(|| {
            bad("write BASE/QUOTE, BASE/QUOTE:SETTLE-YYMMDD-STRIKE-C or a part of it")
        })?
    } else if is_plain(asked) {
        Name::of_venue(asked).ok_or_else(|| bad("its shape is that of no instrument"))?
    } else {
        return Err(bad("its symbols are capital letters, digits, - and _"));
    };
    if name.market() != market {
        return Err(bad(&format!("that is one of {}", name.market())));
    }
    name.venue().ok_or_else(|| bad("a part of it is not right"))
}

/// An instrument's name, taken apart. Its parts are as the writing it comes from has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) base: &'a str,
    pub(super) quote: &'a str,
    kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Spot,
    Perpetual,
    /// Its day, as (year, month, day).
    Dated(Day),
    /// Its day, its strike and whether it is a call.
    Option(Day, &'a str, bool),
}

/// A day of this century: year, month from 1, day.
type Day = (u8, u8, u8);

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

impl<'a> Name<'a> {
    /// Takes the venue's writing apart; `None` for what has no unified name (combos) or no meaning.
    pub(super) fn of_venue(text: &'a str) -> Option<Name<'a>> {
        let mut parts = text.split('-');
        let pair = parts.next()?;
        let (base, quote) = pair.split_once('_').unwrap_or((pair, "USD"));
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let kind = match parts {
            [None, ..] if pair.contains('_') => Kind::Spot,
            [Some("PERPETUAL"), None, ..] => Kind::Perpetual,
            [Some(day), None, ..] => Kind::Dated(venue_day(day)?),
            [Some(day), Some(strike), Some(right @ ("C" | "P")), None] => {
                Kind::Option(venue_day(day)?, strike, right == "C")
            }
            _ => return None,
        };
        let known = !base.is_empty() && !quote.is_empty();
        known.then_some(Name { base, quote, kind })
    }

    /// Takes the unified writing apart.
    fn of_unified(text: &'a str) -> Option<Name<'a>> {
        let (base, rest) = text.split_once('/')?;
        let (quote, kind) = match rest.split_once(':') {
            None => (rest, Kind::Spot),
            Some((quote, rest)) => {
                let mut parts = rest.split('-');
                let settle = parts.next()?;
                let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
                let kind = match parts {
                    [None, ..] => Kind::Perpetual,
                    [Some(day), None, ..] => Kind::Dated(unified_day(day)?),
                    [Some(day), Some(strike), Some(right @ ("C" | "P")), None] => {
                        Kind::Option(unified_day(day)?, strike, right == "C")
                    }
                    _ => return None,
                };
                // Settled in what is priced in, or, priced in dollars, in what is traded.
                if settle != (if quote == "USD" { base } else { quote }) {
                    return None;
                }
                (quote, kind)
            }
        };
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let known = plain(base) && plain(quote) && is_plain(base) && is_plain(quote);
        known.then_some(Name { base, quote, kind })
    }

    pub(super) fn market(&self) -> Market {
        match self.kind {
            Kind::Spot => Market::Spot,
            Kind::Option(..) => Market::Option,
            _ if self.is_inverse() => Market::Inverse,
            _ => Market::Linear,
        }
    }

    fn is_inverse(&self) -> bool {
        self.quote == "USD" && self.kind != Kind::Spot
    }

    /// What it is settled in; `None` for spot.
    pub(super) fn settle(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Spot => None,
            _ if self.is_inverse() => Some(self.base),
            _ => Some(self.quote),
        }
    }

    /// As the venue writes it.
    fn venue(&self) -> Option<Symbol> {
        let pair = if self.is_inverse() {
            self.base.to_owned()
        } else {
            format!("{}_{}", self.base, self.quote)
        };
        let day = |(year, month, day): Day| {
            let month = MONTHS.get(usize::from(month).checked_sub(1)?)?;
            Some(format!("{day}{month}{year:02}"))
        };
        let text = match self.kind {
            Kind::Spot => pair,
            Kind::Perpetual => format!("{pair}-PERPETUAL"),
            Kind::Dated(date) => format!("{pair}-{}", day(date)?),
            Kind::Option(date, strike, is_call) => {
                let strike = strike.replace('.', "d");
                let right = if is_call { "C" } else { "P" };
                format!("{pair}-{}-{strike}-{right}", day(date)?)
            }
        };
        symbol(&text).filter(|text| is_plain(text))
    }

    /// As everybody writes it.
    pub(super) fn unified(&self) -> Option<Symbol> {
        let Name { base, quote, .. } = self;
        let settle = self.settle().unwrap_or_default();
        let day = |(year, month, day): Day| format!("{year:02}{month:02}{day:02}");
        let text = match self.kind {
            Kind::Spot => format!("{base}/{quote}"),
            Kind::Perpetual => format!("{base}/{quote}:{settle}"),
            Kind::Dated(date) => format!("{base}/{quote}:{settle}-{}", day(date)),
            Kind::Option(date, strike, is_call) => {
                let strike = strike.replace('d', ".");
                let right = if is_call { "C" } else { "P" };
                format!("{base}/{quote}:{settle}-{}-{strike}-{right}", day(date))
            }
        };
        symbol(&text)
    }
}

/// "7AUG26", days without a leading zero.
fn venue_day(text: &str) -> Option<Day> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (day, rest) = text.split_at_checked(digits)?;
    let (month, year) = rest.split_at_checked(3)?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    if year.len() != 2 || day.starts_with('0') {
        return None;
    }
    checked_day(year, month as u8 + 1, day)
}

/// "260807"
fn unified_day(text: &str) -> Option<Day> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = text.split_at_checked(2)?;
    let (month, day) = rest.split_at_checked(2)?;
    checked_day(year, month.parse().ok()?, day)
}

fn checked_day(year: &str, month: u8, day: &str) -> Option<Day> {
    let (year, day) = (year.parse().ok()?, day.parse().ok()?);
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day);
    is_day.then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Symbol {
        symbol(text).expect("short")
    }

    #[test]
    fn both_writings_of_an_instrument_name_it() {
        let table = [
            (Market::Spot, "BTC/USDC", "BTC_USDC"),
            (Market::Linear, "BTC/USDC:USDC", "BTC_USDC-PERPETUAL"),
            (Market::Linear, "BTC/USDC:USDC-251226", "BTC_USDC-26DEC25"),
            (Market::Inverse, "BTC/USD:BTC", "BTC-PERPETUAL"),
            (Market::Inverse, "ETH/USD:ETH-260807", "ETH-7AUG26"),
            (
                Market::Option,
                "BTC/USD:BTC-251226-100000-C",
                "BTC-26DEC25-100000-C",
            ),
            (
                Market::Option,
                "XRP/USDC:USDC-230630-0.625-P",
                "XRP_USDC-30JUN23-0d625-P",
            ),
        ];
        for (market, unified, venue) in table {
            for text in [unified, venue] {
                let got = venue_symbol(market, &asked(text)).ok();
                assert_eq!(got.as_deref(), Some(venue), "{text}");
                let instrument = default_instrument(market, &asked(text)).expect("a symbol");
                assert_eq!(&*instrument.key.symbol, unified, "{text}");
            }
            for other in Market::ALL.into_iter().filter(|other| *other != market) {
                assert!(
                    venue_symbol(other, &asked(venue)).is_err(),
                    "{other} {venue}"
                );
                assert!(
                    venue_symbol(other, &asked(unified)).is_err(),
                    "{other} {unified}"
                );
            }
        }
    }

    #[test]
    fn what_names_no_instrument_is_refused() {
        let texts = [
            "",
            "BTC",
            "btc-perpetual",
            "BTC\"-PERPETUAL",
            "BTC-PERPETUAL-1",
            "BTC-32DEC25",
            "BTC-07AUG26",
            "BTC-26DEC25-100000",
            "BTC-26DEC25-100000-X",
            "BTC-FS-2SEP22_PERP",
            "_USDC",
            "BTC/USD:USD",
            "BTC/USDC:BTC",
            "BTC/USD:BTC-251326",
            "BTC/USD:BTC-2512266",
            "BTC/USD:BTC-251226-1-C-1",
            "/:",
            "BTC/U\"SD:BTC",
            "BTC/USD:BTC-251226-1\"-C",
        ];
        for text in texts {
            for market in Market::ALL {
                assert!(
                    venue_symbol(market, &asked(text)).is_err(),
                    "{market} {text}"
                );
            }
        }
    }

    #[test]
    fn indices_keep_their_names_in_every_market() {
        for market in Market::ALL {
            let got = venue_symbol(market, &asked("btc_usd")).ok();
            assert_eq!(got.as_deref(), Some("btc_usd"));
        }
        assert!(!is_index("BTC_USD") && !is_index("btc") && is_index("sol_usdc"));
    }
}

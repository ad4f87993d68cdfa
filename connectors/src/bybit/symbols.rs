//! Bybit's symbols and the unified ones, from `instruments-info` or by rule.
//!
//! | market | unified | Bybit |
//! |---|---|---|
//! | spot | BTC/USDT | BTCUSDT |
//! | linear perpetual | BTC/USDT:USDT | BTCUSDT |
//! | linear perpetual in USDC | BTC/USDC:USDC | BTCPERP |
//! | linear dated | BTC/USDT:USDT-261225 | BTCUSDT-25DEC26 |
//! | linear dated in USDC | BTC/USDC:USDC-261225 | BTC-25DEC26 |
//!
//! (market/instrument, 2026-07-24, and the answers recorded on 2026-08-09.)

use arrayvec::ArrayString;
use tickwire_orderbook::Scale;

use crate::error::{Error, ErrorKind};
use crate::instrument::{
    Currency, Instrument, InstrumentKey, Market, Symbol, Venue, split_by_quote, symbol,
};

/// Decimals of prices and quantities where the venue has not said. They hold the finest step of
/// most symbols (2026-08: linear ticks down to 1e-8, steps to 1e-4; spot ticks down to 1e-13 on one
/// symbol and 1e-10 on the rest, steps to 1e-6) and still leave room for the largest amounts. A
/// number that does not fit makes the stream change its scale.
pub(super) const fn default_scales(market: Market) -> (Scale, Scale) {
    match market {
        Market::Spot => (Scale::of(10), Scale::of(6)),
        _ => (Scale::of(8), Scale::of(4)),
    }
}

/// An instrument of which only the name is known.
pub(super) fn default_instrument(market: Market, asked: &Symbol) -> Result<Instrument, Error> {
    let venue_symbol = venue_symbol(market, asked)?;
    let by_rule = unified_by_rule(market, &venue_symbol);
    let asked = by_rule.as_ref().unwrap_or(asked);
    let key = InstrumentKey {
        venue: Venue::Bybit,
        market,
        symbol: *asked,
    };
    let (price_scale, qty_scale) = default_scales(market);
    let mut instrument = Instrument::with_defaults(key, venue_symbol, price_scale, qty_scale);
    if let Some(parts) = Parts::split(asked) {
        let currency = |text| Currency::from(text).unwrap_or_default();
        instrument.base = currency(parts.base);
        instrument.quote = currency(parts.quote);
        instrument.settle = currency(parts.settle.unwrap_or_default());
    }
    Ok(instrument)
}

/// What can stand in a symbol: it goes into requests as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(legal)
}

/// The venue's symbol for what the strategy wrote, by rule.
pub(super) fn venue_symbol(market: Market, asked: &Symbol) -> Result<Symbol, Error> {
    let bad = |why: &str| {
        let text = format!("Bybit {market} has no symbol {asked:?}: {why}");
        Error::ours(ErrorKind::BadSymbol, text)
    };
    if !asked.contains('/') {
        if !is_plain(asked) {
            return Err(bad("its symbols are capital letters, digits and hyphens"));
        }
        return Ok(*asked);
    }
    let parts = Parts::split(asked).ok_or_else(|| bad("write BASE/QUOTE or BASE/QUOTE:SETTLE"))?;
    if !is_plain(parts.base) || !is_plain(parts.quote) {
        return Err(bad("currencies are capital letters and digits"));
    }
    let text = match (market, parts.settle) {
        (Market::Spot, None) => format!("{}{}", parts.base, parts.quote),
        (Market::Spot, Some(_)) => return Err(bad("a spot symbol has no settlement currency")),
        (_, None) => return Err(bad("write BASE/QUOTE:SETTLE")),
        (_, Some(settle)) if settle != parts.quote => {
            return Err(bad("linear contracts settle in the quote currency"));
        }
        (_, Some("USDC")) => match parts.expiry {
            None => format!("{}PERP", parts.base),
            Some(expiry) => format!(
                "{}-{}",
                parts.base,
                day(expiry).ok_or_else(|| bad("write the expiry as YYMMDD"))?
            ),
        },
        (_, Some(_)) => match parts.expiry {
            None => format!("{}{}", parts.base, parts.quote),
            Some(expiry) => format!(
                "{}{}-{}",
                parts.base,
                parts.quote,
                day(expiry).ok_or_else(|| bad("write the expiry as YYMMDD"))?
            ),
        },
    };
    symbol(&text).ok_or_else(|| bad("it is too long"))
}

/// The currencies that Bybit's symbols are priced in (instruments-info, 2026-08).
const QUOTES: [&str; 12] = [
    "USDT", "USDC", "USDE", "USD1", "BTC", "ETH", "EUR", "DAI", "BRL", "MNT", "TRY", "PLN",
];

/// The unified name of a symbol that the venue has told us nothing about: by its ending. Dated
/// contracts keep the venue's name.
fn unified_by_rule(market: Market, venue_symbol: &Symbol) -> Option<Symbol> {
    if venue_symbol.contains('-') {
        return None;
    }
    let perpetual = venue_symbol
        .strip_suffix("PERP")
        .filter(|base| !base.is_empty());
    let (base, quote) = match (market, perpetual) {
        (Market::Linear, Some(base)) => (base, "USDC"),
        _ => split_by_quote(venue_symbol, &QUOTES)?,
    };
    unified(market, base, quote, quote, 0)
}

/// A unified symbol, taken apart.
struct Parts<'a> {
    base: &'a str,
    quote: &'a str,
    settle: Option<&'a str>,
    expiry: Option<&'a str>,
}

impl Parts<'_> {
    fn split(text: &str) -> Option<Parts<'_>> {
        let (base, rest) = text.split_once('/')?;
        let Some((quote, rest)) = rest.split_once(':') else {
            return Some(Parts {
                base,
                quote: rest,
                settle: None,
                expiry: None,
            });
        };
        let (settle, expiry) = match rest.split_once('-') {
            Some((settle, expiry)) => (settle, Some(expiry)),
            None => (rest, None),
        };
        Some(Parts {
            base,
            quote,
            settle: Some(settle),
            expiry,
        })
    }
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

/// "261225" as Bybit writes it: "25DEC26", days without a leading zero ("7AUG26").
fn day(expiry: &str) -> Option<String> {
    if expiry.len() != 6 || !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = expiry.split_at(2);
    let (month, day) = rest.split_at(2);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day = day
        .parse::<u8>()
        .ok()
        .filter(|day| (1..=31).contains(day))?;
    Some(format!("{day}{month}{year}"))
}

/// The unified symbol of what the venue described. `expiry_ms` is 0 for perpetuals.
pub(super) fn unified(
    market: Market,
    base: &str,
    quote: &str,
    settle: &str,
    expiry_ms: i64,
) -> Option<Symbol> {
    let text = match (market, expiry_ms) {
        (Market::Spot, _) => format!("{base}/{quote}"),
        (_, 0) => format!("{base}/{quote}:{settle}"),
        (_, ms) => format!("{base}/{quote}:{settle}-{}", yymmdd(ms)?),
    };
    symbol(&text)
}

/// The day of a time in milliseconds since 1970, UTC.
fn yymmdd(ms: i64) -> Option<ArrayString<6>> {
    // Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let days = ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let text = format!("{:02}{month:02}{day:02}", year.rem_euclid(100));
    ArrayString::from(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Symbol {
        symbol(text).expect("short")
    }

    #[test]
    fn unified_symbols_become_the_venues() {
        let table = [
            (Market::Spot, "BTC/USDT", Some("BTCUSDT")),
            (Market::Spot, "BTCUSDT", Some("BTCUSDT")),
            (Market::Spot, "BTC/USDT:USDT", None),
            (Market::Spot, "btcusdt", None),
            (Market::Spot, "BTC\"USDT", None),
            (Market::Spot, "", None),
            (Market::Linear, "BTC/USDT:USDT", Some("BTCUSDT")),
            (Market::Linear, "BTC/USDC:USDC", Some("BTCPERP")),
            (
                Market::Linear,
                "BTC/USDT:USDT-261225",
                Some("BTCUSDT-25DEC26"),
            ),
            (Market::Linear, "BTC/USDC:USDC-260807", Some("BTC-7AUG26")),
            (Market::Linear, "BTC/USDT:USDT-261325", None),
            (Market::Linear, "BTC/USDT", None),
            (Market::Linear, "BTC/USDT:BTC", None),
        ];
        for (market, text, want) in table {
            let got = venue_symbol(market, &asked(text)).ok();
            assert_eq!(got.as_deref(), want, "{market} {text}");
        }
    }

    #[test]
    fn expiries_become_days() {
        let of = |ms| unified(Market::Linear, "BTC", "USDT", "USDT", ms).expect("short");
        // BTCUSDT-25DEC26 and BTCUSDT-14AUG26 in the answers of 2026-08-09.
        assert_eq!(&*of(1_798_185_600_000), "BTC/USDT:USDT-261225");
        assert_eq!(&*of(1_786_694_400_000), "BTC/USDT:USDT-260814");
        assert_eq!(&*of(0), "BTC/USDT:USDT");
        assert!(yymmdd(i64::MAX).is_some() && yymmdd(i64::MIN).is_some());
    }
}

//! Tokens: an instrument is one outcome of a market, and its symbol is the token's id.
//!
//! An id is a decimal of up to 78 digits (a 256-bit number): text everywhere, never a number. What a
//! token stands for, "Yes" of a question, is found by the listing ([`rest`](super::rest)), not by a
//! rule.

use tickwire_orderbook::Scale;

use crate::error::{Error, ErrorKind};
use crate::instrument::{Currency, Instrument, InstrumentKey, Market, Symbol, Venue};

/// Decimals of a price: the finest tick is 0.0001 and may come at any time, as ticks change while a
/// market trades.
pub(super) const PRICE_SCALE: Scale = Scale::of(4);

/// Decimals of a quantity: shares have six on the chain.
pub(super) const QTY_SCALE: Scale = Scale::of(6);

/// 2^256 has 78 digits.
const DIGITS_MAX: usize = 78;

/// An instrument of which only the token's id is known.
pub(super) fn default_instrument(asked: &Symbol) -> Result<Instrument, Error> {
    if !is_token(asked) {
        let text = format!(
            "Polymarket has no token {asked:?}: a symbol is a token's id, up to 78 digits; \
             `tickwire markets --venue polymarket --search TEXT` finds them"
        );
        return Err(Error::ours(ErrorKind::BadSymbol, text));
    }
    Ok(instrument(*asked))
}

/// What is known of every token.
pub(super) fn instrument(token: Symbol) -> Instrument {
    let key = InstrumentKey {
        venue: Venue::Polymarket,
        market: Market::Prediction,
        symbol: token,
    };
    let collateral = Currency::from("pUSD").unwrap_or_default();
    Instrument {
        quote: collateral,
        settle: collateral,
        ..Instrument::with_defaults(key, token, PRICE_SCALE, QTY_SCALE)
    }
}

/// Whether the text can be a token's id: it goes into requests as it is.
pub(super) fn is_token(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::symbol;

    #[test]
    fn a_symbol_is_a_tokens_id_as_text() {
        let longest = "9".repeat(78);
        for (text, good) in [
            (
                "71321045679252212594626385532706912750332728571942532289631379312455583992563",
                true,
            ),
            (longest.as_str(), true),
            ("1", true),
            ("", false),
            ("0x12", false),
            ("BTC/USDT", false),
            ("1\"", false),
        ] {
            let asked = symbol(text).expect("short");
            assert_eq!(default_instrument(&asked).is_ok(), good, "{text}");
        }
        assert!(!is_token(&"9".repeat(79)));
    }
}

//! Symbols and instruments: unified ("BTC/USDT:USDT") and Binance's own ("BTCUSDT"), from exchange
//! info, and by the venue's naming rules where there is none.

use rustc_hash::FxHashMap;
use simd_json::prelude::{ValueIntoString as _, ValueObjectAccessAsScalar as _};
use tickwire_orderbook::{Price, Qty, Scale, required_scale};

use crate::error::{Error, ErrorKind, Next};
use crate::instrument::{
    Currency, Instrument, InstrumentKey, Market, Symbol, TradingStatus, Venue, split_by_quote,
    symbol,
};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::wide::{Notice, WideBody};

use super::rest::{Purpose, instruments_call};
use super::tape::{Json, rest_error};
use super::urls::MarketRules;
use super::{Binance, Stage};

/// "Invalid symbol." (errors.md)
pub(super) const CODE_BAD_SYMBOL: i64 = -1121;

/// Spot is asked for single symbols up to this many at a time, then for all: 100 names fit a URL of
/// 2 KB.
const INSTRUMENTS_ASKED_MAX: usize = 100;

/// What the venue has told of its instruments.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    instruments: Vec<Instrument>,
    by_name: FxHashMap<Symbol, usize>,
}

impl Catalog {
    /// The instrument of a symbol, unified or the venue's own.
    pub(super) fn find(&self, asked: &str) -> Option<&Instrument> {
        let index = self.by_name.get(&symbol(asked)?);
        let index = index.or_else(|| self.by_name.get(&symbol(&asked.to_ascii_uppercase())?))?;
        self.instruments.get(*index)
    }

    /// Adds what is new and replaces what has changed.
    pub(super) fn merge(&mut self, instruments: Vec<Instrument>) {
        for instrument in instruments {
            let known = self.by_name.get(&instrument.venue_symbol).copied();
            if let Some(slot) = known.and_then(|index| self.instruments.get_mut(index)) {
                *slot = instrument;
                continue;
            }
            let index = self.instruments.len();
            self.instruments.push(instrument);
            self.by_name.insert(instrument.venue_symbol, index);
            self.by_name.insert(instrument.key.symbol, index);
        }
    }
}

/// A unified symbol taken apart.
struct Unified<'a> {
    base: &'a str,
    quote: &'a str,
    settle: Option<&'a str>,
    expiry: Option<&'a str>,
}

impl<'a> Unified<'a> {
    fn parse(text: &'a str) -> Option<Unified<'a>> {
        let (base, rest) = text.split_once('/')?;
        let (quote, contract) = match rest.split_once(':') {
            Some((quote, contract)) => (quote, Some(contract)),
            None => (rest, None),
        };
        let (settle, expiry) = match contract.map(|contract| contract.split_once('-')) {
            Some(Some((settle, expiry))) => (Some(settle), Some(expiry)),
            _ => (contract, None),
        };
        Some(Unified {
            base,
            quote,
            settle,
            expiry,
        })
    }

    /// Whether such a symbol can exist in the market: contracts settle in the quote currency on
    /// USD-M, in the base currency on COIN-M. The settlement may be left out: a connector serves
    /// one market.
    fn fits(&self, market: Market) -> bool {
        let settle = match market {
            Market::Linear => self.quote,
            Market::Inverse => self.base,
            _ => return self.settle.is_none() && self.expiry.is_none(),
        };
        self.settle.is_none_or(|given| given == settle)
    }
}

/// What can stand in a symbol: it goes into stream names, URLs and JSON.
fn is_plain(text: &str) -> bool {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "\"\\@!?&#=%+".contains(c);
    !text.is_empty() && !text.contains(forbidden)
}

/// The instrument by the venue's naming rules alone, at its default scales; `None` where the symbol
/// can't be one of the market's.
pub(super) fn by_rule(market: Market, asked: &str) -> Option<Instrument> {
    let rules = MarketRules::of(market)?;
    if !is_plain(asked) {
        return None;
    }
    let upper = asked.to_ascii_uppercase();
    let key = |name: &str| {
        Some(InstrumentKey {
            venue: Venue::Binance,
            market,
            symbol: symbol(name)?,
        })
    };
    if !upper.contains([':', '/', '-'])
        && let Some(unified) = unified_by_rule(market, &upper)
    {
        return by_rule(market, &unified);
    }
    let Some(unified) = Unified::parse(&upper) else {
        if asked.contains([':', '/', '-']) {
            return None;
        }
        let venue_symbol = symbol(&upper)?;
        let key = key(&upper)?;
        return Some(Instrument::with_defaults(
            key,
            venue_symbol,
            rules.price_scale,
            rules.qty_scale,
        ));
    };
    let Unified {
        base,
        quote,
        settle,
        expiry,
    } = unified;
    if base.is_empty() || quote.is_empty() || quote.contains(['/', ':']) || !unified.fits(market) {
        return None;
    }
    let venue_symbol = match (market, expiry) {
        (_, Some(expiry)) => format!("{base}{quote}_{expiry}"),
        (Market::Inverse, None) => format!("{base}{quote}_PERP"),
        (_, None) => format!("{base}{quote}"),
    };
    let settle = match market {
        Market::Linear => quote,
        Market::Inverse => base,
        _ => settle.unwrap_or_default(),
    };
    let name = unified_name(base, quote, settle, expiry);
    let mut instrument = Instrument::with_defaults(
        key(&name)?,
        symbol(&venue_symbol)?,
        rules.price_scale,
        rules.qty_scale,
    );
    instrument.base = Currency::from(base).ok()?;
    instrument.quote = Currency::from(quote).ok()?;
    instrument.settle = Currency::from(settle).ok()?;
    Some(instrument)
}

/// The currencies that Binance's spot and USD-M symbols are priced in (exchangeInfo, 2021 to 2024).
const QUOTES: [&str; 32] = [
    "USDT", "FDUSD", "TUSD", "BUSD", "USDC", "USDP", "USDS", "USD", "DAI", "PAX", "VAI", "BTC",
    "ETH", "BNB", "TRX", "XRP", "DOGE", "EUR", "EURI", "GBP", "AUD", "TRY", "BRL", "UAH", "RUB",
    "NGN", "ZAR", "PLN", "RON", "ARS", "JPY", "MXN",
];

/// The unified name of a symbol that the venue has told us nothing about: by its ending.
fn unified_by_rule(market: Market, venue_symbol: &str) -> Option<String> {
    let (pair, expiry) = match venue_symbol.split_once('_') {
        Some((pair, "PERP")) if market == Market::Inverse => (pair, None),
        Some((pair, expiry)) => (pair, Some(expiry)),
        None if market == Market::Inverse => return None,
        None => (venue_symbol, None),
    };
    if expiry.is_some_and(|day| day.len() != 6 || !day.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let (base, quote) = match market {
        Market::Inverse => split_by_quote(pair, &["USD"])?,
        _ => split_by_quote(pair, &QUOTES)?,
    };
    let settle = match market {
        Market::Linear => quote,
        Market::Inverse => base,
        _ if expiry.is_some() => return None,
        _ => "",
    };
    Some(unified_name(base, quote, settle, expiry))
}

fn unified_name(base: &str, quote: &str, settle: &str, expiry: Option<&str>) -> String {
    match (settle, expiry) {
        ("", _) => format!("{base}/{quote}"),
        (settle, None) => format!("{base}/{quote}:{settle}"),
        (settle, Some(expiry)) => format!("{base}/{quote}:{settle}-{expiry}"),
    }
}

/// Reads exchange info. Symbols that can't be read are left out: one odd listing must not cost all
/// others.
pub(super) fn read(market: Market, bytes: &mut [u8]) -> Result<Vec<Instrument>, Error> {
    let unreadable =
        |text: String| Error::venue(ErrorKind::BadResponse, Next::AfterMs(60_000), None, text);
    let rules = MarketRules::of(market)
        .ok_or_else(|| Error::ours(ErrorKind::NotSupported, "not a market of binance"))?;
    let tape = simd_json::to_tape(bytes)
        .map_err(|error| unreadable(format!("exchange info is not JSON: {error}")))?;
    let root = tape.as_value();
    let Some(symbols) = root.get_array("symbols") else {
        return Err(match rest_error(root) {
            Some((code, text)) => refusal(code, text),
            None => unreadable("exchange info without symbols".to_owned()),
        });
    };
    let known = symbols
        .iter()
        .filter_map(|entry| instrument(market, &rules, entry));
    Ok(known.collect())
}

/// A REST error of the venue. (errors.md)
pub(super) fn refusal(code: i64, text: String) -> Error {
    let (kind, next) = match code {
        CODE_BAD_SYMBOL => (ErrorKind::BadSymbol, Next::Never),
        -1003 | -1015 => (ErrorKind::RateLimited, Next::AfterMs(60_000)),
        -1000 | -1001 | -1006 | -1007 | -1008 => {
            (ErrorKind::VenueUnavailable, Next::AfterMs(1_000))
        }
        -1130..=-1100 => (ErrorKind::BadRequest, Next::Never),
        _ => (ErrorKind::Other, Next::AfterMs(1_000)),
    };
    Error::venue(kind, next, Some(code), text)
}

fn instrument(market: Market, rules: &MarketRules, entry: Json<'_, '_>) -> Option<Instrument> {
    // It goes into requests as it is.
    let venue_symbol = entry.get_str("symbol").filter(|text| is_plain(text))?;
    let (base, quote) = (entry.get_str("baseAsset")?, entry.get_str("quoteAsset")?);
    let settle = match market {
        Market::Spot => "",
        _ => entry.get_str("marginAsset")?,
    };
    let expiry = match market {
        Market::Spot => None,
        // "BTCUSDT_250627"; COIN-M perpetuals end in "_PERP".
        _ => venue_symbol
            .rsplit_once('_')
            .map(|(_, suffix)| suffix)
            .filter(|suffix| suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_digit())),
    };
    let key = InstrumentKey {
        venue: Venue::Binance,
        market,
        symbol: symbol(&unified_name(base, quote, settle, expiry))?,
    };
    let filters = Filters::read(entry);
    let mut instrument = Instrument::with_defaults(
        key,
        symbol(venue_symbol)?,
        scale(
            filters.tick,
            entry.get_u64("pricePrecision"),
            rules.price_scale,
        ),
        scale(
            filters.step,
            entry.get_u64("quantityPrecision"),
            rules.qty_scale,
        ),
    );
    instrument.base = Currency::from(base).ok()?;
    instrument.quote = Currency::from(quote).ok()?;
    instrument.settle = Currency::from(settle).ok()?;
    instrument.tick_size = filters.tick.and_then(price);
    instrument.lot_size = filters.step.and_then(qty);
    instrument.qty_min = filters.qty_min.and_then(qty);
    instrument.qty_max = filters.qty_max.and_then(qty);
    instrument.notional_min = filters.notional_min.and_then(price);
    instrument.contract_size = match market {
        Market::Spot => None,
        Market::Linear => Some(Qty::new(1, Scale::of(0))),
        _ => entry
            .get_i64("contractSize")
            .map(|size| Qty::new(size, Scale::of(0))),
    };
    instrument.expiry_ns = expiry
        .and_then(|_| entry.get_i64("deliveryDate"))
        .map(Nanos::from_millis);
    instrument.status = status(
        entry
            .get_str("status")
            .or_else(|| entry.get_str("contractStatus")),
    );
    instrument.from_venue = true;
    Some(instrument)
}

/// The texts of the filters that we use; a value of zero disables its rule (filters.md) and is left
/// out.
#[derive(Default)]
struct Filters<'a> {
    tick: Option<&'a str>,
    step: Option<&'a str>,
    qty_min: Option<&'a str>,
    qty_max: Option<&'a str>,
    notional_min: Option<&'a str>,
}

impl<'a> Filters<'a> {
    fn read(entry: Json<'_, 'a>) -> Filters<'a> {
        let mut filters = Filters::default();
        let Some(list) = entry.get_array("filters") else {
            return filters;
        };
        for filter in list.iter().filter_map(|filter| filter.as_object()) {
            let text = |key: &str| {
                let text = filter.get(key).and_then(|value| value.into_string())?;
                let off = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
                (!off).then_some(text)
            };
            match filter.get("filterType").and_then(|name| name.into_string()) {
                Some("PRICE_FILTER") => filters.tick = text("tickSize"),
                Some("LOT_SIZE") => {
                    filters.step = text("stepSize");
                    filters.qty_min = text("minQty");
                    filters.qty_max = text("maxQty");
                }
                // USD-M calls it `notional`, spot `minNotional`.
                Some("NOTIONAL" | "MIN_NOTIONAL") => {
                    filters.notional_min = text("minNotional").or_else(|| text("notional"));
                }
                _ => {}
            }
        }
        filters
    }
}

/// The digits of the step, or of the precision where that is larger: futures books keep levels from
/// before a tick was made coarser.
fn scale(step: Option<&str>, precision: Option<u64>, default: Scale) -> Scale {
    let step = step.and_then(|text| required_scale(text.as_bytes()).ok());
    let precision = precision
        .and_then(|digits| u8::try_from(digits).ok())
        .and_then(Scale::new);
    step.max(precision).unwrap_or(default)
}

fn price(text: &str) -> Option<Price> {
    Price::parse(text.as_bytes()).ok().map(Price::normalized)
}

fn qty(text: &str) -> Option<Qty> {
    Qty::parse(text.as_bytes()).ok().map(Qty::normalized)
}

/// enums.md, 2026-07-07; USDS-M and COIN-M "Public Endpoints Info".
fn status(word: Option<&str>) -> TradingStatus {
    match word {
        Some("TRADING") => TradingStatus::Trading,
        Some(
            "HALT" | "BREAK" | "END_OF_DAY" | "CANCEL_ONLY" | "PENDING_TRADING" | "PRE_DELIVERING"
            | "DELIVERING" | "PRE_SETTLE" | "SETTLING" | "PRE_TRADING" | "POST_TRADING"
            | "AUCTION_MATCH",
        ) => TradingStatus::Halted,
        Some("DELIVERED" | "CLOSE") => TradingStatus::Closed,
        _ => TradingStatus::Unknown,
    }
}

impl Binance {
    /// Asks for the instruments that streams wait for: one request at a time.
    pub(super) fn ask_instruments(&mut self, now: Nanos) {
        if self.rest.instruments_in_flight() {
            return;
        }
        let waits = |stage: Stage| matches!(stage, Stage::Resolving { asked: false, .. });
        let waiting = self.slots.iter().flatten().filter(|slot| waits(slot.stage));
        let alone = waiting
            .clone()
            .find(|slot| matches!(slot.stage, Stage::Resolving { alone: true, .. }))
            .map(|slot| slot.stream.instrument.venue_symbol);
        let mut names: Vec<_> = waiting
            .map(|slot| slot.stream.instrument.venue_symbol)
            .collect();
        if let Some(alone) = alone {
            names = vec![alone];
        }
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return;
        }
        let weight = self.rules.instruments_weight;
        if let Err(at) = self.rest.governor.admit_request(now, weight) {
            // Where that is too late, the deadlines of the streams see to the rest.
            self.rest.put_off_instruments(at);
            return;
        }
        for slot in self.slots.iter_mut().flatten() {
            if let Stage::Resolving { asked, .. } = &mut slot.stage {
                *asked = alone.is_none_or(|alone| alone == slot.stream.instrument.venue_symbol);
            }
        }
        let single = self.config.market == Market::Spot && names.len() <= INSTRUMENTS_ASKED_MAX;
        let names: Vec<&str> = if single {
            names.iter().map(|name| name.as_str()).collect()
        } else {
            Vec::new()
        };
        let call = instruments_call(&names);
        self.rest.push(now, &self.urls, &call, Purpose::Instruments);
    }

    /// Exchange info came, or will not come.
    pub(super) fn resolve(
        &mut self,
        now: Nanos,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        let failure = match instruments {
            Ok(instruments) => {
                self.catalog.merge(instruments);
                None
            }
            Err(error) => Some(error),
        };
        let is_asked = |stage: Stage| matches!(stage, Stage::Resolving { asked: true, .. });
        let slots = self.slots.iter().flatten();
        let asked_count = slots.filter(|slot| is_asked(slot.stage)).count();
        for index in 0..self.slots.len() {
            let Some(slot) = self.slot_mut(index) else {
                continue;
            };
            let Stage::Resolving {
                deadline, asked, ..
            } = slot.stage
            else {
                continue;
            };
            let (symbol, by_rule) = (slot.stream.asked, slot.stream.instrument);
            let found = self.catalog.find(&symbol);
            let found = found
                .or_else(|| self.catalog.find(&by_rule.venue_symbol))
                .copied();
            match (found, &failure) {
                (Some(instrument), _) => self.activate(index, instrument, now, out),
                (None, _) if !asked => self.resolve_due = true,
                (None, None) => {
                    let text = format!("binance {} has no {symbol}", self.config.market);
                    let error = Error::venue(ErrorKind::BadSymbol, Next::Never, None, text);
                    self.refuse(index, &error, now, out);
                }
                (None, Some(error)) if error.kind == ErrorKind::BadSymbol => {
                    if asked_count > 1 {
                        if let Some(slot) = self.slot_mut(index) {
                            slot.stage = Stage::Resolving {
                                deadline,
                                asked: false,
                                alone: true,
                            };
                        }
                        self.resolve_due = true;
                    } else {
                        self.refuse(index, error, now, out);
                    }
                }
                (None, Some(error)) => self.activate_with_defaults(index, error, now, out),
            }
        }
    }

    pub(super) fn activate_with_defaults(
        &mut self,
        index: usize,
        error: &Error,
        now: Nanos,
        out: &mut Outbox,
    ) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let notice = WideBody::Notice(Notice::of(error));
        slot.stream.publish_wide(notice, Times::ours(now), out);
        let by_rule = slot.stream.instrument;
        self.activate(index, by_rule, now, out);
    }
}

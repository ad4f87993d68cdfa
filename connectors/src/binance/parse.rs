//! Hot messages in one pass, in whatever order their keys come: depth updates, best bid and ask,
//! trades. What a scanner refuses as [`ScanErrorKind::Escape`] is read by [`tape`](super::tape),
//! which gives the same types. A key that is sent twice counts by its last value.

use tickwire_orderbook::{Ids, Level, Scale, required_scale};

use crate::event::Aggressor;
use crate::instrument::Market;
use crate::scan::{
    self, Cursor, Looks, Message, Number, Scan, ScanError, ScanErrorKind, Templates,
};
use crate::stream::Levels;
use crate::time::Nanos;

/// Scales of a stream, and whose rules its messages follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) market: Market,
    pub(super) price: Scale,
    pub(super) qty: Scale,
}

impl Shape {
    const fn scales(self) -> (Scale, Scale) {
        (self.price, self.qty)
    }
}

/// A depth update, its levels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) ids: Ids,
    /// On futures `T`, when the matching engine made the change: `E`, when the update was pushed, is
    /// later by what the push queue held it. Spot has only `E`.
    pub(super) exch_ns: Nanos,
}

/// The venue's best bid and ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BookTicker {
    pub(super) seq: u64,
    pub(super) bid: Level,
    pub(super) ask: Level,
    /// `T` on futures, [`Nanos::ZERO`] on spot, which gives no time.
    pub(super) exch_ns: Nanos,
}

/// A trade, single or aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trade {
    pub(super) id: u64,
    pub(super) price: i64,
    pub(super) qty: i64,
    pub(super) aggressor: Aggressor,
    /// `T`, the time of the trade.
    pub(super) exch_ns: Nanos,
}

/// A REST book snapshot, its levels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) seq: u64,
    /// `T` on futures, [`Nanos::ZERO`] on spot.
    pub(super) exch_ns: Nanos,
}

/// Single or aggregated trades: they differ in the key of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TradeKind {
    Single,
    Aggregated,
}

/// The value of a data object in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    /// At the object.
    pub(super) scan: Scan<'a>,
    /// Whether the object is the last wanted value of a `{"stream":..,"data":..}` wrapper, whose
    /// end follows.
    pub(super) wrapped: bool,
}

impl<'a> Data<'a> {
    /// A frame that only the tape can read: to the scanners it is an escape.
    pub(super) const fn escaped() -> Data<'static> {
        Data::bare(b"{\"\\")
    }

    /// A frame that is the object itself.
    pub(super) const fn bare(bytes: &'a [u8]) -> Data<'a> {
        Data {
            scan: Scan::new(bytes),
            wrapped: false,
        }
    }
}

/// A millisecond time stamp.
#[inline]
pub(super) fn millis(value: u64) -> Nanos {
    Nanos::from_millis(i64::try_from(value).unwrap_or(i64::MAX))
}

#[inline]
pub(super) fn aggressor(buyer_is_maker: bool) -> Aggressor {
    if buyer_is_maker {
        Aggressor::Sell
    } else {
        Aggressor::Buy
    }
}

#[cold]
pub(super) fn missing(at: usize, what: &'static str) -> ScanError {
    ScanError {
        kind: ScanErrorKind::Expected(what),
        at,
    }
}

#[inline(always)]
fn event_name<'a, C: Cursor<'a>>(scan: &mut C, name: &'static str) -> Result<(), C::Error> {
    if scan.string()? == name.as_bytes() {
        Ok(())
    } else {
        Err(scan.wrong(name))
    }
}

/// What follows the data object: the wrapper's end, then the frame's.
#[inline(always)]
fn end<'a, C: Cursor<'a>>(scan: &mut C, wrapped: bool) -> Result<(), C::Error> {
    if wrapped {
        let mut first = false;
        while let Some(key) = scan.next_key(&mut first)? {
            if matches!(key, b"stream" | b"data") {
                return Err(scan.wrong("each wrapper key once"));
            }
            scan.skip_value()?;
        }
    }
    scan.finish()
}

/// `depthUpdate`. The levels go to `levels`, which is cleared first.
#[inline]
pub(super) fn depth(
    data: Data<'_>,
    shape: Shape,
    looks: &mut Looks,
    levels: &mut Levels,
) -> Result<Delta, ScanError> {
    let Data { scan, wrapped } = data;
    let mut message = DepthUpdate {
        wrapped,
        shape,
        looks,
        levels,
    };
    scan::read(scan, &mut message)
}

struct DepthUpdate<'l> {
    wrapped: bool,
    shape: Shape,
    looks: &'l mut Looks,
    levels: &'l mut Levels,
}

impl<'a> Message<'a> for DepthUpdate<'_> {
    type Told = Delta;

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<Delta, C::Error> {
        let (shape, levels) = (self.shape, &mut *self.levels);
        levels.clear();
        let (mut first_id, mut last_id, mut prev_id) = (None, None, None);
        let (mut event_ms, mut trade_ms, mut sides) = (None, None, 0u8);
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            match key {
                b"e" => event_name(&mut scan, "depthUpdate")?,
                b"E" => event_ms = Some(scan.u64()?),
                b"T" => trade_ms = Some(scan.u64()?),
                b"U" => first_id = Some(scan.u64()?),
                b"u" => last_id = Some(scan.u64()?),
                // -1 where there is none before.
                b"pu" => prev_id = Some(u64::try_from(scan.i64()?).unwrap_or(0)),
                b"b" => {
                    levels.bids.clear();
                    scan.levels(shape.scales(), &mut self.looks.levels, &mut levels.bids)?;
                    sides |= 1;
                }
                b"a" => {
                    levels.asks.clear();
                    scan.levels(shape.scales(), &mut self.looks.levels, &mut levels.asks)?;
                    sides |= 2;
                }
                _ => scan.skip_value()?,
            }
        }
        end(&mut scan, self.wrapped)?;
        delta(shape.market, first_id, last_id, prev_id, event_ms, trade_ms)
            .filter(|_| sides == 3)
            .ok_or_else(|| scan.wrong("the keys of a depthUpdate"))
    }
}

/// The ids of an update by the market's rule; `None` where one is missing or they run backwards.
#[inline]
pub(super) fn delta(
    market: Market,
    first: Option<u64>,
    last: Option<u64>,
    prev: Option<u64>,
    event_ms: Option<u64>,
    trade_ms: Option<u64>,
) -> Option<Delta> {
    let (first, last) = (first?, last?);
    if first > last {
        return None;
    }
    if market == Market::Spot {
        return Some(Delta {
            ids: Ids::range(first, last),
            exch_ns: millis(event_ms?),
        });
    }
    Some(Delta {
        ids: Ids {
            first,
            last,
            prev: prev?,
        },
        exch_ns: millis(trade_ms.or(event_ms)?),
    })
}

/// `bookTicker`: on spot without `e` and without a time.
#[inline]
pub(super) fn book_ticker(
    data: Data<'_>,
    shape: Shape,
    templates: &mut Templates,
) -> Result<BookTicker, ScanError> {
    let Data { scan, wrapped } = data;
    let mut message = BestBidAndAsk { wrapped, shape };
    if let Some(filled) = templates.read(scan, shape.scales()) {
        let [bid, bid_qty, ask, ask_qty, seq, trade_ms] = filled.numbers;
        let told = BookTicker {
            seq,
            bid: level(bid, bid_qty),
            ask: level(ask, ask_qty),
            exch_ns: millis(trade_ms),
        };
        scan::check(scan, &mut message, &told);
        return Ok(told);
    }
    let told = scan::read(scan, &mut message)?;
    let (price, qty) = (Number::Decimal(shape.price), Number::Decimal(shape.qty));
    let wanted: [(&[u8], Number); 6] = [
        (b"b", price),
        (b"B", qty),
        (b"a", price),
        (b"A", qty),
        (b"u", Number::Integer),
        (b"T", Number::Integer),
    ];
    templates.learn(scan, shape.scales(), wanted, false);
    Ok(told)
}

/// Of numbers of at most sixteen digits.
#[inline]
const fn level(price: u64, qty: u64) -> Level {
    Level {
        price: price as i64,
        qty: qty as i64,
    }
}

struct BestBidAndAsk {
    wrapped: bool,
    shape: Shape,
}

impl<'a> Message<'a> for BestBidAndAsk {
    type Told = BookTicker;

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<BookTicker, C::Error> {
        let shape = self.shape;
        let (mut seq, mut trade_ms) = (None, None);
        let (mut bid, mut bid_qty, mut ask, mut ask_qty) = (None, None, None, None);
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            match key {
                b"e" => event_name(&mut scan, "bookTicker")?,
                b"u" => seq = Some(scan.u64()?),
                b"b" => bid = Some(scan.decimal(shape.price)?),
                b"B" => bid_qty = Some(scan.decimal(shape.qty)?),
                b"a" => ask = Some(scan.decimal(shape.price)?),
                b"A" => ask_qty = Some(scan.decimal(shape.qty)?),
                b"T" => trade_ms = Some(scan.u64()?),
                _ => scan.skip_value()?,
            }
        }
        end(&mut scan, self.wrapped)?;
        book_ticker_of(seq, (bid, bid_qty), (ask, ask_qty), trade_ms)
            .ok_or_else(|| scan.wrong("the keys of a bookTicker"))
    }
}

/// `None` where a key is missing or a quantity is negative.
#[inline]
pub(super) fn book_ticker_of(
    seq: Option<u64>,
    bid: (Option<i64>, Option<i64>),
    ask: (Option<i64>, Option<i64>),
    trade_ms: Option<u64>,
) -> Option<BookTicker> {
    let level = |side: (Option<i64>, Option<i64>)| {
        let (price, qty) = (side.0?, side.1?);
        (qty >= 0).then_some(Level { price, qty })
    };
    Some(BookTicker {
        seq: seq?,
        bid: level(bid)?,
        ask: level(ask)?,
        exch_ns: trade_ms.map_or(Nanos::ZERO, millis),
    })
}

/// `trade` and `aggTrade`.
#[inline]
pub(super) fn trade(
    data: Data<'_>,
    kind: TradeKind,
    shape: Shape,
    templates: &mut Templates,
) -> Result<Trade, ScanError> {
    let Data { scan, wrapped } = data;
    let mut message = OneTrade {
        wrapped,
        kind,
        shape,
    };
    if let Some(filled) = templates.read(scan, shape.scales()) {
        let [price, qty, id, time_ms, ..] = filled.numbers;
        let Level { price, qty } = level(price, qty);
        let told = Trade {
            id,
            price,
            qty,
            aggressor: aggressor(filled.flag),
            exch_ns: millis(time_ms),
        };
        scan::check(scan, &mut message, &told);
        return Ok(told);
    }
    let told = scan::read(scan, &mut message)?;
    let id: &[u8] = match kind {
        TradeKind::Single => b"t",
        TradeKind::Aggregated => b"a",
    };
    let wanted: [(&[u8], Number); 4] = [
        (b"p", Number::Decimal(shape.price)),
        (b"q", Number::Decimal(shape.qty)),
        (id, Number::Integer),
        (b"T", Number::Integer),
    ];
    let buyer_is_maker = told.aggressor == Aggressor::Sell;
    templates.learn(scan, shape.scales(), wanted, buyer_is_maker);
    Ok(told)
}

struct OneTrade {
    wrapped: bool,
    kind: TradeKind,
    shape: Shape,
}

impl<'a> Message<'a> for OneTrade {
    type Told = Trade;

    #[inline(always)]
    fn read<C: Cursor<'a>>(&mut self, mut scan: C) -> Result<Trade, C::Error> {
        let (kind, shape) = (self.kind, self.shape);
        let (mut id, mut price, mut qty, mut maker, mut time) = (None, None, None, None, None);
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            match (key, kind) {
                (b"e", TradeKind::Single) => event_name(&mut scan, "trade")?,
                (b"e", TradeKind::Aggregated) => event_name(&mut scan, "aggTrade")?,
                // `a` is the aggregate's id, but in single trades of old an order id.
                (b"t", TradeKind::Single) | (b"a", TradeKind::Aggregated) => id = Some(scan.u64()?),
                (b"p", _) => price = Some(scan.decimal(shape.price)?),
                (b"q", _) => qty = Some(scan.decimal(shape.qty)?),
                (b"T", _) => time = Some(scan.u64()?),
                (b"m", _) => maker = Some(scan.bool()?),
                _ => scan.skip_value()?,
            }
        }
        end(&mut scan, self.wrapped)?;
        trade_of(id, price, qty, maker, time).ok_or_else(|| scan.wrong("the keys of a trade"))
    }
}

/// `None` where a key is missing or the quantity is negative.
#[inline]
pub(super) fn trade_of(
    id: Option<u64>,
    price: Option<i64>,
    qty: Option<i64>,
    maker: Option<bool>,
    time: Option<u64>,
) -> Option<Trade> {
    Some(Trade {
        id: id?,
        price: price?,
        qty: qty.filter(|qty| *qty >= 0)?,
        aggressor: aggressor(maker?),
        exch_ns: millis(time?),
    })
}

/// The answer of `/depth`. The levels go to `levels`, which is cleared first.
pub(super) fn snapshot(
    bytes: &[u8],
    shape: Shape,
    levels: &mut Levels,
) -> Result<Snapshot, ScanError> {
    let mut scan = Scan::new(bytes);
    levels.clear();
    let (mut seq, mut trade_ms, mut sides) = (None, None, 0u8);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        match key {
            b"lastUpdateId" => seq = Some(scan.u64()?),
            b"T" => trade_ms = Some(scan.u64()?),
            b"bids" => {
                levels.bids.clear();
                scan.levels(shape.price, shape.qty, &mut levels.bids)?;
                sides |= 1;
            }
            b"asks" => {
                levels.asks.clear();
                scan.levels(shape.price, shape.qty, &mut levels.asks)?;
                sides |= 2;
            }
            _ => scan.skip_value()?,
        }
    }
    let at = scan.position();
    scan.finish()?;
    let seq = seq.filter(|_| sides == 3);
    Ok(Snapshot {
        seq: seq.ok_or_else(|| missing(at, "the keys of a snapshot"))?,
        exch_ns: trade_ms.map_or(Nanos::ZERO, millis),
    })
}

/// What a message's decimals need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Digits behind the point, trailing zeros aside.
    fraction: u8,
    /// Digits before it.
    whole: u8,
}

/// An `i64` holds any number of 18 digits.
const DIGITS_MAX: u8 = 18;

impl Need {
    fn add(&mut self, text: &[u8]) -> Option<()> {
        if text.iter().any(u8::is_ascii_alphabetic) {
            // The venue writes no exponents and no scanner reads them: no scale would help.
            return None;
        }
        let scale = required_scale(text).ok()?;
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits.iter().take_while(|byte| byte.is_ascii_digit());
        let whole = whole.skip_while(|byte| **byte == b'0').count();
        self.fraction = self.fraction.max(scale.get());
        self.whole = self.whole.max(u8::try_from(whole).ok()?);
        Some(())
    }

    /// The scale to go to from `current`: never coarser than the message needs; where the digits
    /// before the point leave no room, one digit is left free for the next larger number.
    fn scale(self, current: Scale) -> Option<Scale> {
        let wanted = current.get().max(self.fraction);
        if self.whole.saturating_add(wanted) <= DIGITS_MAX {
            return Scale::new(wanted);
        }
        let room = DIGITS_MAX.checked_sub(self.whole)?;
        if room < self.fraction {
            return None;
        }
        Scale::new(room.saturating_sub(1).max(self.fraction))
    }
}

/// The scales (price, quantity) at which a hot message or a snapshot can be read. `None` where it
/// is malformed, where no scale will do, and where the present ones already do.
#[cold]
pub(super) fn rescaled(data: Data<'_>, shape: Shape) -> Option<(Scale, Scale)> {
    let (price, qty) = needs(data).ok()??;
    let scales = (price.scale(shape.price)?, qty.scale(shape.qty)?);
    (scales != (shape.price, shape.qty)).then_some(scales)
}

fn needs(data: Data<'_>) -> Result<Option<(Need, Need)>, ScanError> {
    let mut scan = data.scan;
    let (mut price, mut qty, mut readable) = (Need::default(), Need::default(), true);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        let quoted = scan.peek()? == b'"';
        match key {
            b"b" | b"a" | b"bids" | b"asks" if scan.peek()? == b'[' => {
                scan.enter_array()?;
                let mut first = true;
                while scan.next_element(&mut first)? {
                    scan.enter_array()?;
                    let (mut first, mut index) = (true, 0);
                    while scan.next_element(&mut first)? {
                        match index {
                            0 => readable &= price.add(scan.string()?).is_some(),
                            1 => readable &= qty.add(scan.string()?).is_some(),
                            _ => scan.skip_value()?,
                        }
                        index += 1;
                    }
                }
            }
            b"b" | b"a" | b"p" if quoted => readable &= price.add(scan.string()?).is_some(),
            b"B" | b"A" | b"q" if quoted => readable &= qty.add(scan.string()?).is_some(),
            _ => scan.skip_value()?,
        }
    }
    end(&mut scan, data.wrapped)?;
    Ok(readable.then_some((price, qty)))
}

//! What frames without numbers have told: Polymarket's, read by a plain JSON parser for each connection
//! as they leave. Where a message is lost nothing in the stream says so, and no client can have the
//! venue's book; it must have what it was told, and must not believe that for long where the venue's
//! best prices say otherwise. Beside it Deribit's quotes, which have a time and no number.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tickwire::testing::sim::{Channel, ConnId, MsgKind, SimVenue, Truth, TruthBook};

/// Digits after the point in which books are kept here.
const DECIMALS: u8 = 9;

/// Numbers of quotes that are remembered for one instrument.
const QUOTES_MAX: usize = 1 << 14;

/// A token's book as one connection was told it.
#[derive(Debug, Default)]
struct Book {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    /// The time of its newest message.
    ms: u64,
    /// Since when it differs from the best prices that the venue tells.
    differs_since_ns: Option<i64>,
}

impl Book {
    fn side(&mut self, is_bid: bool) -> &mut BTreeMap<i64, i64> {
        if is_bid {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }

    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        let side = self.side(is_bid);
        if qty == 0 {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
    }

    /// Best bid and ask, as the venue writes them: 0 and 1 for none.
    fn best(&self) -> (i64, i64) {
        let one = 10i64.pow(u32::from(DECIMALS));
        let bid = self.bids.last_key_value().map_or(0, |(price, _)| *price);
        let ask = self.asks.first_key_value();
        (bid, ask.map_or(one, |(price, _)| *price))
    }

    fn compare(&mut self, best: Option<(i64, i64)>, now: i64) {
        let Some(best) = best else { return };
        if best == self.best() {
            self.differs_since_ns = None;
        } else {
            self.differs_since_ns.get_or_insert(now);
        }
    }

    fn view(&self) -> TruthBook {
        let level = |(price, qty): (&i64, &i64)| (*price, *qty);
        TruthBook {
            seq: self.ms,
            bids: self.bids.iter().rev().map(level).collect(),
            asks: self.asks.iter().map(level).collect(),
            price_decimals: DECIMALS,
            qty_decimals: DECIMALS,
        }
    }
}

/// All that was told. Maps are only looked up, or walked where the order can't matter.
#[derive(Debug, Default)]
pub(super) struct Told {
    books: HashMap<(ConnId, String), Book>,
    /// Books that frames have told and that the venue did not have: by token and number.
    odd: HashMap<(String, u64), Vec<TruthBook>>,
    /// Quotes by instrument and time in milliseconds.
    quotes: HashMap<(SimVenue, String), BTreeMap<u64, Vec<TruthBook>>>,
}

impl Told {
    /// Takes a frame that leaves for a connection.
    pub(super) fn record(
        &mut self,
        truth: &Truth,
        now: i64,
        (venue, conn): (SimVenue, ConnId),
        kind: MsgKind,
        frame: &[u8],
    ) {
        if venue.is_deribit() && kind == MsgKind::Top {
            self.quote(venue, frame);
        } else if venue == SimVenue::Polymarket && kind == MsgKind::Depth {
            // A damaged octet may stand where nobody looks.
            let text = String::from_utf8_lossy(frame);
            match serde_json::from_str::<Value>(&text) {
                Ok(Value::Array(all)) => {
                    for one in &all {
                        self.message(truth, now, conn, one);
                    }
                }
                Ok(one) => self.message(truth, now, conn, &one),
                // Whose changes it held, nobody knows.
                Err(_) => self.forget(conn),
            }
        }
    }

    /// A connection has ended, or is not to be understood any more.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.books.retain(|(of, _), _| *of != conn);
    }

    fn message(&mut self, truth: &Truth, now: i64, conn: ConnId, message: &Value) {
        let text = |key: &str| message.get(key).and_then(Value::as_str);
        let ms = text("timestamp").and_then(|ms| ms.parse::<u64>().ok());
        match text("event_type") {
            Some("book") => {
                let Some(token) = text("asset_id") else {
                    return;
                };
                let mut book = Book::default();
                for (is_bid, key) in [(true, "bids"), (false, "asks")] {
                    let rows = message.get(key).and_then(Value::as_array);
                    for row in rows.into_iter().flatten() {
                        if let (Some(price), Some(qty)) =
                            (decimal(row, "price"), decimal(row, "size"))
                        {
                            book.set(is_bid, price, qty);
                        }
                    }
                }
                book.ms = ms.unwrap_or_default();
                self.books.insert((conn, token.to_owned()), book);
                self.note(truth, conn, token);
            }
            Some("price_change") => {
                let rows = message.get("price_changes").and_then(Value::as_array);
                let mut tokens: BTreeMap<&str, Option<(i64, i64)>> = BTreeMap::new();
                for row in rows.into_iter().flatten() {
                    let Some(token) = row.get("asset_id").and_then(Value::as_str) else {
                        continue;
                    };
                    let Some(book) = self.books.get_mut(&(conn, token.to_owned())) else {
                        continue;
                    };
                    let is_bid = row.get("side").and_then(Value::as_str) == Some("BUY");
                    if let (Some(price), Some(qty)) = (decimal(row, "price"), decimal(row, "size"))
                    {
                        book.set(is_bid, price, qty);
                    }
                    book.ms = ms.unwrap_or(book.ms);
                    let best = decimal(row, "best_bid").zip(decimal(row, "best_ask"));
                    let told = tokens.entry(token).or_default();
                    *told = best.or(*told);
                }
                for (token, best) in tokens {
                    if let Some(book) = self.books.get_mut(&(conn, token.to_owned())) {
                        book.compare(best, now);
                    }
                    self.note(truth, conn, token);
                }
            }
            Some("best_bid_ask") => {
                let best = decimal(message, "best_bid").zip(decimal(message, "best_ask"));
                let token = text("asset_id").unwrap_or_default();
                if let Some(book) = self.books.get_mut(&(conn, token.to_owned())) {
                    book.compare(best, now);
                }
            }
            // The book that follows is another.
            Some("tick_size_change") => {
                let token = text("asset_id").unwrap_or_default();
                self.books.remove(&(conn, token.to_owned()));
            }
            _ => {}
        }
    }

    /// Keeps the book as it was told, where the venue had another at that number.
    fn note(&mut self, truth: &Truth, conn: ConnId, token: &str) {
        let Some(book) = self.books.get(&(conn, token.to_owned())) else {
            return;
        };
        let told = book.view();
        let had = truth.books_at(SimVenue::Polymarket, token, WHOLE, told.seq);
        if !had.iter().any(|book| same_levels(book, &told)) {
            let odd = self.odd.entry((token.to_owned(), told.seq)).or_default();
            if !odd.contains(&told) {
                odd.push(told);
            }
        }
    }

    /// Books that were told under this number though the venue had another.
    pub(super) fn odd(&self, token: &str, seq: u64) -> &[TruthBook] {
        let found = self.odd.get(&(token.to_owned(), seq));
        found.map_or(&[], Vec::as_slice)
    }

    /// The token's book as each connection has been told it by now.
    pub(super) fn current(&self, token: &str) -> Vec<TruthBook> {
        let mine = self.books.iter().filter(|((_, of), _)| of == token);
        mine.map(|(_, book)| book.view()).collect()
    }

    /// Since when each connection that has this token was told best prices that are not those of the
    /// book that it was told; `None` where one agrees.
    pub(super) fn differs_since_ns(&self, token: &str) -> Option<i64> {
        let mine = self.books.iter().filter(|((_, of), _)| of == token);
        let since: Option<Vec<i64>> = mine.map(|(_, book)| book.differs_since_ns).collect();
        since?.into_iter().max()
    }

    fn quote(&mut self, venue: SimVenue, frame: &[u8]) {
        let text = String::from_utf8_lossy(frame);
        let Ok(frame) = serde_json::from_str::<Value>(&text) else {
            return;
        };
        let data = frame.pointer("/params/data");
        let word = |key: &str| data?.get(key)?.as_str();
        let number = |key: &str| decimal(data?, key);
        let side = |price: &str, qty: &str| {
            let (price, qty) = (number(price)?, number(qty)?);
            (price != 0 && qty != 0).then_some((price, qty))
        };
        let ms = data.and_then(|data| data.get("timestamp")?.as_u64());
        let ms = ms.unwrap_or_default();
        if let Some(symbol) = word("instrument_name") {
            let quote = TruthBook {
                seq: ms,
                bids: side("best_bid_price", "best_bid_amount")
                    .into_iter()
                    .collect(),
                asks: side("best_ask_price", "best_ask_amount")
                    .into_iter()
                    .collect(),
                price_decimals: DECIMALS,
                qty_decimals: DECIMALS,
            };
            let quotes = self.quotes.entry((venue, symbol.to_owned())).or_default();
            quotes.entry(ms).or_default().push(quote);
            if quotes.len() > QUOTES_MAX {
                quotes.pop_first();
            }
        }
    }

    /// Quotes that were sent with this time; all of them for 0, no time.
    pub(super) fn quotes(&self, venue: SimVenue, symbol: &str, ms: u64) -> Vec<&TruthBook> {
        let of = self.quotes.get(&(venue, symbol.to_owned()));
        let span = if ms == 0 { 0..=u64::MAX } else { ms..=ms };
        let found = of.into_iter().flat_map(|quotes| quotes.range(span.clone()));
        found.flat_map(|(_, quotes)| quotes).collect()
    }
}

/// How the simulator's truth has the numbers of Polymarket's books.
pub(super) const WHOLE: Channel = Channel::Levels(usize::MAX);

/// The books of two decimal scales.
fn same_levels(truth: &TruthBook, told: &TruthBook) -> bool {
    let same = |truths: &[(i64, i64)], tolds: &[(i64, i64)]| {
        truths.len() == tolds.len()
            && truths.iter().zip(tolds).all(|(truth_level, told_level)| {
                up(truth_level.0, truth.price_decimals) == Some(told_level.0)
                    && up(truth_level.1, truth.qty_decimals) == Some(told_level.1)
            })
    };
    same(&truth.bids, &told.bids) && same(&truth.asks, &told.asks)
}

/// A mantissa of so many digits behind the point in [`DECIMALS`] of them.
fn up(mantissa: i64, decimals: u8) -> Option<i64> {
    let digits = u32::from(DECIMALS.checked_sub(decimals)?);
    mantissa.checked_mul(10i64.checked_pow(digits)?)
}

/// A member that is a number or the text of one.
fn decimal(object: &Value, key: &str) -> Option<i64> {
    match object.get(key)? {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i64> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let part = part.trim_end_matches('0');
    let mantissa: i64 = format!("0{whole}{part}").parse().ok()?;
    let shift = i32::from(DECIMALS) + exponent - i32::try_from(part.len()).ok()?;
    if shift >= 0 {
        mantissa.checked_mul(10i64.checked_pow(shift.unsigned_abs())?)
    } else {
        let divisor = 10i64.checked_pow(shift.unsigned_abs())?;
        (mantissa % divisor == 0).then_some(mantissa / divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, want) in [
            ("0", Some(0)),
            (".48", Some(480_000_000)),
            ("0.480", Some(480_000_000)),
            ("1", Some(1_000_000_000)),
            ("1e-5", Some(10_000)),
            ("2.5e1", Some(25_000_000_000)),
            ("9223372036.854775807", Some(i64::MAX)),
            ("0.0000000001", None),
            ("x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}

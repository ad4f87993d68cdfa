//! The scanners of hot messages beside simd-json, and everything else that reads a venue's bytes, on
//! bytes of any kind. Tests and the fuzz target only.

use tickwire_orderbook::{Level, Scale};

use super::parse::{self, BookMessage, TradeRow};
use super::tape::{self, Reader, TickerState};
use super::{rest, route};
use crate::channel::Interval;
use crate::differential::{LEVEL_BYTES_MIN, agree, cuts, is_known_to_differ};
use crate::instrument::Market;
use crate::scan::{Looks, ScanError, ScanErrorKind};
use crate::stream::Levels;

type Book = Result<(BookMessage, Vec<Level>, Vec<Level>), ScanError>;
type Trades = Result<Vec<TradeRow>, ScanError>;

/// The error of simd-json, which tells no more.
const NOT_JSON: ScanError = ScanError {
    kind: ScanErrorKind::Expected("JSON"),
    at: 0,
};

/// The readers with their memory.
#[derive(Debug)]
pub(super) struct Differential {
    reader: Reader,
    levels: Levels,
    looks: Looks,
    rows: Vec<TradeRow>,
}

impl Differential {
    pub(super) fn new() -> Differential {
        Differential {
            reader: Reader::default(),
            levels: Levels::default(),
            looks: Looks::default(),
            rows: Vec::new(),
        }
    }

    fn book(&mut self, message: &[u8], (price, qty): (Scale, Scale)) -> Book {
        let book = parse::book(message, price, qty, &mut self.looks, &mut self.levels)?;
        Ok((book, self.levels.bids.clone(), self.levels.asks.clone()))
    }

    fn trades(&mut self, message: &[u8], (price, qty): (Scale, Scale)) -> Trades {
        parse::trades(message, price, qty, &mut self.looks, &mut self.rows)?;
        Ok(self.rows.clone())
    }

    fn taped(&mut self, message: &[u8], (price, qty): (Scale, Scale)) -> (Book, Trades) {
        let (mut levels, mut rows) = (Levels::default(), Vec::new());
        let read = self.reader.read(&mut message.to_vec(), |message| {
            let book = tape::book(&message, price, qty, &mut levels);
            let trades = tape::trades(&message, price, qty, &mut rows);
            (book, trades)
        });
        let (book, trades) = read.unwrap_or((Err(NOT_JSON), Err(NOT_JSON)));
        (
            book.map(|book| (book, levels.bids, levels.asks)),
            trades.map(|()| rows),
        )
    }

    /// Reads a message as each hot kind in both ways; gives how often both took it.
    pub(super) fn hot(&mut self, message: &[u8], scales: (Scale, Scale), cut: u8) -> usize {
        let (book, trades) = (self.book(message, scales), self.trades(message, scales));
        let (book_read, trades_read) = self.taped(message, scales);
        let agreed = usize::from(agree("book", message, &book, &book_read))
            + usize::from(agree("trades", message, &trades, &trades_read));
        self.topic(message);
        for part in cuts(message, cut) {
            let text = || String::from_utf8_lossy(part);
            let is_part = book.is_err() || self.book(part, scales).is_err();
            assert!(is_part, "a part is taken for the whole book: {}", text());
            let is_part = trades.is_err() || self.trades(part, scales).is_err();
            assert!(is_part, "a part is taken for all trades: {}", text());
        }
        agreed
    }

    /// What a message leaves behind is no more than it can hold. For readers that have read no other.
    fn is_bounded_by(&self, message: &[u8]) -> bool {
        let most = message.len() / LEVEL_BYTES_MIN + 4;
        let sides = [&self.levels.bids, &self.levels.asks];
        sides.iter().all(|side| side.capacity() <= 2 * most) && self.rows.capacity() <= 2 * most
    }

    fn topic(&mut self, message: &[u8]) {
        let read = self.reader.read(&mut message.to_vec(), |message| {
            tape::topic(&message).map(str::to_owned)
        });
        if let (Ok(topic), Some(read)) = (route::topic(message), read)
            && !is_known_to_differ(message)
        {
            let text = String::from_utf8_lossy(message);
            assert_eq!(topic, read.as_deref().map(str::as_bytes), "{text}");
        }
    }

    /// Everything that is not hot: no panic, and no more than the bytes can hold.
    fn other(&mut self, message: &[u8], market: Market) {
        let mut candles = Vec::new();
        self.reader.read(&mut message.to_vec(), |message| {
            let _ = tape::scales(&message);
            let _ = tape::answer(&message);
            let _ = tape::klines(&message, Interval::Min1, &mut candles);
            if let Ok((_, state)) = tape::ticker(&message, &TickerState::default()) {
                let _ = tape::ticker(&message, &state);
            }
        });
        // Nothing is shorter than its keys.
        assert!(candles.len() <= message.len() / 40);
        if let Ok(instruments) = rest::read_instruments(market, &mut message.to_vec()) {
            assert!(instruments.len() <= message.len() / 40);
        }
    }
}

/// The body of the fuzz target. The first two octets steer (market, scales, where to cut), the rest
/// is what the venue sends.
pub fn check(data: &[u8]) {
    let [first, cut, message @ ..] = data else {
        return;
    };
    let market = match first % 2 {
        0 => Market::Spot,
        _ => Market::Linear,
    };
    let scales = match first / 2 % 4 {
        0 => (6, 7),
        1 => (2, 3),
        2 => (0, 0),
        _ => (18, 12),
    };
    let mut readers = Differential::new();
    readers.hot(message, (Scale::of(scales.0), Scale::of(scales.1)), *cut);
    assert!(readers.is_bounded_by(message), "{readers:?}");
    readers.other(message, market);
}

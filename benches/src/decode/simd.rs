//! simd-json: a tape with reused buffers, the same decimals, the same book.

use simd_json::prelude::{ValueAsScalar as _, ValueIntoString};
use simd_json::{Buffers, Tape, tape};
use tickwire_orderbook::decimal::mantissa_at;
use tickwire_orderbook::{Book, Level, Limits, Scale, Side};

use super::{Layout, TOKEN, Way, levels, rounded, side_of};
use crate::Checksum;

/// See the [module above](super).
pub struct Tapes {
    layout: Layout,
    scales: (Scale, Scale),
    buffers: Buffers,
    tape: Option<Tape<'static>>,
    book: Option<Box<Book>>,
    sum: Checksum,
}

impl core::fmt::Debug for Tapes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tapes")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Tapes {
    pub(super) fn new(
        layout: Layout,
        scales: (Scale, Scale),
        (bids, asks): (&[Level], &[Level]),
    ) -> Tapes {
        let book = layout.is_book().then(|| {
            let mut book = Box::new(Book::new(Limits::default()));
            assert_eq!(book.load(bids, asks), Ok(()), "levels of a good book");
            book
        });
        Tapes {
            layout,
            scales,
            buffers: Buffers::new(1 << 16),
            tape: Some(Tape::null()),
            book,
            sum: Checksum::default(),
        }
    }
}

/// Walks a message; `None` where it is not laid out as expected.
fn walk(
    data: tape::Value<'_, '_>,
    layout: Layout,
    (price_scale, qty_scale): (Scale, Scale),
    book: Option<&mut Book>,
    sum: &mut Checksum,
) -> Option<()> {
    let mantissa = |value: tape::Value<'_, '_>, scale| {
        let text = ValueIntoString::into_string(value)?;
        mantissa_at(text.as_bytes(), scale).ok()
    };
    let price = |value| mantissa(value, price_scale);
    let qty = |value| mantissa(value, qty_scale);
    match layout {
        Layout::BinanceDepth | Layout::BybitDepth => {
            let book = book?;
            for (key, side) in [("b", Side::Bid), ("a", Side::Ask)] {
                for level in data.as_object()?.get(key)?.as_array()?.iter() {
                    let level = level.as_array()?;
                    let mut fields = level.iter();
                    let (at, size) = (price(fields.next()?)?, qty(fields.next()?)?);
                    let _ = book.apply(side, at, size);
                }
            }
        }
        Layout::BinanceTop => {
            let object = data.as_object()?;
            for (price_key, qty_key) in [("b", "B"), ("a", "A")] {
                sum.add(price(object.get(price_key)?)?);
                sum.add(qty(object.get(qty_key)?)?);
            }
        }
        Layout::BinanceTrade => {
            let object = data.as_object()?;
            sum.add(price(object.get("p")?)?);
            sum.add(qty(object.get("q")?)?);
        }
        Layout::BybitTrade => {
            for trade in data.as_array()?.iter() {
                let object = trade.as_object()?;
                sum.add(price(object.get("p")?)?);
                sum.add(qty(object.get("v")?)?);
            }
        }
        Layout::DeribitBook => {
            let book = book?;
            for (key, side) in [("bids", Side::Bid), ("asks", Side::Ask)] {
                for level in data.as_object()?.get(key)?.as_array()?.iter() {
                    let level = level.as_array()?;
                    let mut numbers = level.iter().skip(1).map(|number| number.cast_f64());
                    let at = rounded(numbers.next()??, price_scale);
                    let _ = book.apply(side, at, rounded(numbers.next()??, qty_scale));
                }
            }
        }
        Layout::PolymarketChange => {
            let book = book?;
            let changes = data.as_object()?.get("price_changes")?.as_array()?;
            for change in changes.iter() {
                let change = change.as_object()?;
                if ValueIntoString::into_string(change.get("asset_id")?)? != TOKEN {
                    continue;
                }
                let side = side_of(ValueIntoString::into_string(change.get("side")?)?)?;
                let (at, size) = (price(change.get("price")?)?, qty(change.get("size")?)?);
                let _ = book.apply(side, at, size);
            }
        }
    }
    Some(())
}

impl Way for Tapes {
    #[inline]
    fn take(&mut self, message: &mut [u8]) {
        let empty = self.tape.take().unwrap_or_else(Tape::null);
        let mut tape = empty.reset();
        let filled = simd_json::fill_tape(message, &mut self.buffers, &mut tape);
        assert!(filled.is_ok(), "the simulator writes JSON: {filled:?}");
        let book = self.book.as_deref_mut();
        let root = tape.as_value();
        let mut path = self.layout.path().iter();
        let data = path.try_fold(root, |value, key| value.as_object()?.get(*key));
        let walked =
            data.and_then(|data| walk(data, self.layout, self.scales, book, &mut self.sum));
        assert!(walked.is_some(), "a message of another layout");
        self.tape = Some(tape.reset());
    }

    fn result(&self) -> Checksum {
        match &self.book {
            Some(book) => levels(book.levels(Side::Bid), book.levels(Side::Ask)),
            None => self.sum,
        }
    }
}

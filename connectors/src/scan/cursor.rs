//! What a message's reader asks of a text, so that each message is described once and read by several.

use tickwire_orderbook::{Level, Scale};

use super::{Filled, LevelLook, Scan, ScanError, ScanErrorKind, Templates};

/// A place in one JSON text.
pub(crate) trait Cursor<'a>: Copy {
    /// Why something can't be read.
    type Error;

    /// What stands here can't be taken.
    fn fail(&self, kind: ScanErrorKind) -> Self::Error;

    /// Another thing was expected here.
    #[inline(always)]
    fn wrong(&self, what: &'static str) -> Self::Error {
        self.fail(ScanErrorKind::Expected(what))
    }

    /// See [`Scan::position`].
    fn position(&self) -> usize;

    /// Steps over exactly this where it comes next, and says whether it did: for a text that a venue
    /// always writes alike. What does not find it goes on key by key, and so does [`Scan`] always.
    #[inline(always)]
    fn usual<const N: usize>(&mut self, _text: &[u8; N]) -> bool {
        false
    }

    /// Steps over the beginning of a message where it looks like one that was learnt, and gives its numbers. Who can't
    /// tell goes on step by step.
    #[inline(always)]
    fn head(&mut self, _templates: &mut Templates) -> Option<Filled> {
        None
    }

    /// Steps over the beginning of a level with an action, `["new",` `["change",` or `["delete",`, without asking in turn:
    /// which it is nobody can foresee. Gives whether it deletes; nothing is taken where it is none of them.
    #[inline(always)]
    fn action(&mut self) -> Option<bool> {
        None
    }

    /// Steps over the one of two texts that follows: true where it is the second. No branch is taken by which it is: nobody
    /// can foresee a taker's side. Of [`Scan`] none.
    #[inline(always)]
    fn either<const A: usize, const B: usize>(
        &mut self,
        _first: &[u8; A],
        _second: &[u8; B],
    ) -> Option<bool> {
        None
    }

    /// A string of exactly this length, which most have: what follows it is read before its end is found. Of [`Scan`]
    /// none.
    #[inline(always)]
    fn string_of<const N: usize>(&mut self) -> Option<&'a [u8]> {
        None
    }

    /// See [`Scan::enter_object`].
    fn enter_object(&mut self) -> Result<(), Self::Error>;

    /// See [`Scan::next_key`].
    fn next_key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, Self::Error>;

    /// See [`Scan::enter_array`].
    fn enter_array(&mut self) -> Result<(), Self::Error>;

    /// See [`Scan::next_element`].
    fn next_element(&mut self, first: &mut bool) -> Result<bool, Self::Error>;

    /// See [`Scan::string`].
    fn string(&mut self) -> Result<&'a [u8], Self::Error>;

    /// As [`string`](Cursor::string), of one that is longer than most.
    #[inline(always)]
    fn long_string(&mut self) -> Result<&'a [u8], Self::Error> {
        self.string()
    }

    /// A quoted decimal that is not negative: all its digits but zeros at the end of its fraction, and how
    /// many of them stand behind the point. Only where it is written in the usual way; else, and for
    /// [`Scan`], nothing is read.
    #[inline(always)]
    fn exact(&mut self) -> Option<(i64, u8)> {
        None
    }

    /// Two of them, `between` with the quotes that end the one and begin the other. Only where they are written in the
    /// usual way; else, and for [`Scan`], how far was read is unknown.
    #[inline(always)]
    fn exact_pair<const N: usize>(&mut self, _between: &[u8; N]) -> Option<[(i64, u8); 2]> {
        None
    }

    /// A quoted whole number. Only where it is written in the usual way, as of [`exact`](Cursor::exact).
    #[inline(always)]
    fn quoted_u64(&mut self) -> Option<u64> {
        None
    }

    /// A quoted UUID. Only where it is written in the usual way, as of [`exact`](Cursor::exact).
    #[inline(always)]
    fn uuid(&mut self) -> Option<u128> {
        None
    }

    /// See [`Scan::decimal_text`].
    fn decimal_text(&mut self) -> Result<&'a [u8], Self::Error>;

    /// See [`Scan::u64`].
    fn u64(&mut self) -> Result<u64, Self::Error>;

    /// See [`Scan::i64`].
    fn i64(&mut self) -> Result<i64, Self::Error>;

    /// See [`Scan::bool`].
    fn bool(&mut self) -> Result<bool, Self::Error>;

    /// See [`Scan::decimal`].
    fn decimal(&mut self, scale: Scale) -> Result<i64, Self::Error>;

    /// See [`Scan::number`].
    fn number(&mut self, scale: Scale) -> Result<i64, Self::Error>;

    /// Two bare numbers with a comma between them and a bracket behind, as [`number`](Cursor::number), up to the bracket.
    /// Only where that is quicker; else nothing is read.
    #[inline(always)]
    fn bare_pair(&mut self, _scales: (Scale, Scale)) -> Option<Level> {
        None
    }

    /// See [`Scan::null`].
    fn null(&mut self) -> Result<bool, Self::Error>;

    /// See [`Scan::peek`].
    fn peek(&mut self) -> Result<u8, Self::Error>;

    /// See [`Scan::levels`]. `look` is of levels that were read before, for who makes use of it.
    fn levels(
        &mut self,
        scales: (Scale, Scale),
        look: &mut LevelLook,
        levels: &mut Vec<Level>,
    ) -> Result<(), Self::Error>;

    /// See [`Scan::skip_value`].
    fn skip_value(&mut self) -> Result<(), Self::Error>;

    /// See [`Scan::finish`].
    fn finish(&mut self) -> Result<(), Self::Error>;
}

/// Each is the function of the same name.
impl<'a> Cursor<'a> for Scan<'a> {
    type Error = ScanError;

    #[cold]
    fn fail(&self, kind: ScanErrorKind) -> ScanError {
        self.error(kind)
    }

    fn position(&self) -> usize {
        Scan::position(self)
    }

    fn enter_object(&mut self) -> Result<(), ScanError> {
        Scan::enter_object(self)
    }

    fn next_key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, ScanError> {
        Scan::next_key(self, first)
    }

    fn enter_array(&mut self) -> Result<(), ScanError> {
        Scan::enter_array(self)
    }

    fn next_element(&mut self, first: &mut bool) -> Result<bool, ScanError> {
        Scan::next_element(self, first)
    }

    fn string(&mut self) -> Result<&'a [u8], ScanError> {
        Scan::string(self)
    }

    fn decimal_text(&mut self) -> Result<&'a [u8], ScanError> {
        Scan::decimal_text(self)
    }

    fn u64(&mut self) -> Result<u64, ScanError> {
        Scan::u64(self)
    }

    fn i64(&mut self) -> Result<i64, ScanError> {
        Scan::i64(self)
    }

    fn bool(&mut self) -> Result<bool, ScanError> {
        Scan::bool(self)
    }

    fn decimal(&mut self, scale: Scale) -> Result<i64, ScanError> {
        Scan::decimal(self, scale)
    }

    fn number(&mut self, scale: Scale) -> Result<i64, ScanError> {
        Scan::number(self, scale)
    }

    fn null(&mut self) -> Result<bool, ScanError> {
        Scan::null(self)
    }

    fn peek(&mut self) -> Result<u8, ScanError> {
        Scan::peek(self)
    }

    fn levels(
        &mut self,
        (price, qty): (Scale, Scale),
        _: &mut LevelLook,
        levels: &mut Vec<Level>,
    ) -> Result<(), ScanError> {
        Scan::levels(self, price, qty, levels)
    }

    fn skip_value(&mut self) -> Result<(), ScanError> {
        Scan::skip_value(self)
    }

    fn finish(&mut self) -> Result<(), ScanError> {
        Scan::finish(self)
    }
}

/// Which wanted keys of an object have come.
#[derive(Debug, Default)]
pub(crate) struct Once(u32);

/// What is wrong with a key that comes twice: which of the two counted would depend on the reader.
pub(crate) const ONCE: &str = "each key once";

impl Once {
    /// False where the key has come before.
    #[inline(always)]
    pub(crate) fn first(&mut self, bit: u32) -> bool {
        let mask = 1 << bit;
        let new = self.0 & mask == 0;
        self.0 |= mask;
        new
    }

    /// Whether the keys of all the lowest `bits` have come.
    #[inline(always)]
    pub(crate) fn all(&self, bits: u32) -> bool {
        let mask = (1 << bits) - 1;
        self.0 & mask == mask
    }

    /// Notes a key; an error where it has come before.
    #[inline(always)]
    pub(crate) fn note<'a, C: Cursor<'a>>(&mut self, scan: &C, bit: u32) -> Result<(), C::Error> {
        if self.first(bit) {
            Ok(())
        } else {
            Err(scan.wrong(ONCE))
        }
    }
}

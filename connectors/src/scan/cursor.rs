//! What a message's reader asks of a text, so that each message is described once and read by several.

use tickwire_orderbook::{Level, Scale};

use super::{Scan, ScanError};

/// A place in one JSON text.
pub(crate) trait Cursor<'a> {
    /// Why something can't be read.
    type Error;

    /// Another thing was expected here.
    fn wrong(&self, what: &'static str) -> Self::Error;

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

    /// See [`Scan::null`].
    fn null(&mut self) -> Result<bool, Self::Error>;

    /// See [`Scan::peek`].
    fn peek(&mut self) -> Result<u8, Self::Error>;

    /// See [`Scan::levels`].
    fn levels(
        &mut self,
        price: Scale,
        qty: Scale,
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
    fn wrong(&self, what: &'static str) -> ScanError {
        ScanError {
            kind: super::ScanErrorKind::Expected(what),
            at: self.position(),
        }
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
        price: Scale,
        qty: Scale,
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

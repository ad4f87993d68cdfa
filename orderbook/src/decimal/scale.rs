//! [`Scale`]: how many digits stand behind the point.

use std::fmt;

const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut index = 1;
    while index < table.len() {
        table[index] = table[index - 1] * 10;
        index += 1;
    }
    table
};

/// Digits behind the point, 0 to 18: 10^18 is the largest power of ten that an `i64` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u8);

impl Scale {
    /// The largest scale.
    pub const MAX: Scale = Scale(18);

    /// A scale, or `None` above 18.
    pub const fn new(digits: u8) -> Option<Self> {
        if digits <= Self::MAX.0 {
            Some(Self(digits))
        } else {
            None
        }
    }

    /// A scale for constants.
    ///
    /// # Panics
    /// Above 18. Use [`Scale::new`] for what a peer sent.
    pub const fn of(digits: u8) -> Self {
        assert!(digits <= Self::MAX.0, "a scale has at most 18 digits");
        Self(digits)
    }

    /// The number of digits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// 10 to the power of this scale: the mantissa of 1.
    pub const fn pow10(self) -> i64 {
        POW10[self.0 as usize]
    }

    /// For callers that hold `digits <= 18` already.
    pub(crate) const fn at_most(digits: u8) -> Self {
        debug_assert!(digits <= Self::MAX.0);
        if digits <= Self::MAX.0 {
            Self(digits)
        } else {
            Self::MAX
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

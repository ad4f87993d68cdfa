//! Where digits belong, by lengths: tables for one shuffle of sixteen bytes.

use tickwire_orderbook::Scale;

use super::super::{NONE, WIDTH, Word};

/// Which byte goes where: `before` bytes to the end of the first half, and `behind` from `from` on to the end
/// of the second.
const fn places(before: usize, from: usize, behind: usize) -> Word {
    let mut places = [NONE; WIDTH];
    let mut index = 0;
    while index < before {
        places[8 - before + index] = index as u8;
        index += 1;
    }
    index = 0;
    while index < behind {
        // What would stand behind the word is none of the number.
        if from + index < WIDTH {
            places[WIDTH - behind + index] = (from + index) as u8;
        }
        index += 1;
    }
    places
}

/// By the place of the point, and how many digits are kept behind it.
pub(super) static DECIMALS: [[Word; 9]; 9] = {
    let mut table = [[[NONE; WIDTH]; 9]; 9];
    let mut point = 0;
    while point <= 8 {
        let mut kept = 0;
        while kept <= 8 {
            table[point][kept] = places(point, point + 1, kept);
            kept += 1;
        }
        point += 1;
    }
    table
};

/// By the length: the last digit of sixteen is the lowest.
pub(super) static INTEGERS: [Word; WIDTH] = {
    let mut table = [[NONE; WIDTH]; WIDTH];
    let mut length = 0;
    while length < WIDTH {
        let mut index = 0;
        while index < length {
            table[length][WIDTH - length + index] = index as u8;
            index += 1;
        }
        length += 1;
    }
    table
};

/// Where the digits of a decimal belong in a number of sixteen at a scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laid {
    pub(super) places: Word,
    /// Digits that the scale does not have, a bit each from the decimal's first byte on: they must be zeros. All bits
    /// where no such decimal is read so.
    pub(super) dropped: u32,
}

/// By the scale, the digits before the point, and the bytes from the point on: none without one.
pub(super) static LAID: [[[Laid; WIDTH]; 9]; 9] = {
    let never = Laid {
        places: [NONE; WIDTH],
        dropped: u32::MAX,
    };
    let mut table = [[[never; WIDTH]; 9]; 9];
    let mut scale = 0;
    while scale <= 8 {
        let mut whole = 1;
        while whole <= 8 {
            let mut tail = 0;
            while tail < WIDTH {
                table[scale][whole][tail] = laid(scale, whole, tail);
                tail += 1;
            }
            whole += 1;
        }
        scale += 1;
    }
    table
};

const fn laid(scale: usize, whole: usize, tail: usize) -> Laid {
    let behind = tail.saturating_sub(1);
    let kept = if behind < scale { behind } else { scale };
    let (mut places, point) = ([NONE; WIDTH], WIDTH - scale);
    let mut digit = 0;
    while digit < whole {
        places[point - whole + digit] = digit as u8;
        digit += 1;
    }
    digit = 0;
    while digit < kept && whole + 1 + digit < WIDTH {
        places[point + digit] = (whole + 1 + digit) as u8;
        digit += 1;
    }
    // "5." is none, and all digits that count must be within a word.
    let dropped = if tail == 1 || digit < kept {
        u32::MAX
    } else if tail == 0 {
        0
    } else {
        ((1 << (behind - kept)) - 1) << (whole + 1 + kept)
    };
    Laid { places, dropped }
}

/// `None` where it is too long.
#[inline(always)]
pub(super) fn laid_at(scale: Scale, whole: u32, tail: u32) -> Option<&'static Laid> {
    LAID.get(usize::from(scale.get()))?
        .get(whole as usize)?
        .get(tail as usize)
}

//! From the name of a topic to its number: the look-up that every message begins with.
//!
//! A map of names costs a hash of all bytes and three places in memory that are far apart. Here a name has a place of
//! its own, one cache line for most, found by the bytes at its two ends. Names that are longer, or that share a place,
//! are found in the map behind it.

use rustc_hash::FxHashMap;

/// Names of this length and up to [`NEAR_MAX`] have places: shorter ones have no two ends.
const NEAR_MIN: usize = 16;
const NEAR_MAX: usize = 123;

/// With fewer it is likely that names clash.
const PLACES_A_NAME: usize = 2;

/// The place of a name.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Near {
    number: u32,
    /// Zero where there is none.
    len: u8,
    name: [u8; NEAR_MAX],
}

const EMPTY: Near = Near {
    number: 0,
    len: 0,
    name: [0; NEAR_MAX],
};

/// Names with their numbers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    all: FxHashMap<Box<[u8]>, usize>,
    /// As many as a power of two, or none.
    near: Vec<Near>,
}

/// Eight bytes from `at` on.
#[inline(always)]
fn eight(name: &[u8], at: usize) -> Option<u64> {
    let bytes = name.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Whether two texts of sixteen bytes and more are the same.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (mut these, mut those) = (
        one.as_chunks::<NEAR_MIN>().0.iter(),
        other.as_chunks().0.iter(),
    );
    one.len() == other.len()
        && one.last_chunk::<NEAR_MIN>() == other.last_chunk()
        && these
            .by_ref()
            .zip(those.by_ref())
            .all(|(one, other)| one == other)
}

impl Names {
    /// The number of a name.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        if let Some(near) = self.place(name).and_then(|place| self.near.get(place))
            && let Some(known) = near.name.get(..usize::from(near.len))
            && is_same(known, name)
        {
            return Some(near.number as usize);
        }
        self.all.get(name).copied()
    }

    /// Gives a name a number; the one that it had is given back.
    pub(crate) fn insert(&mut self, name: &[u8], number: usize) -> Option<usize> {
        let previous = self.all.insert(name.into(), number);
        let places = (self.all.len() * PLACES_A_NAME).next_power_of_two();
        if places > self.near.len() {
            self.near = vec![EMPTY; places];
            let all = core::mem::take(&mut self.all);
            for (name, number) in &all {
                self.come_near(name, *number);
            }
            self.all = all;
        } else {
            self.come_near(name, number);
        }
        previous
    }

    /// Forgets a name; gives back its number.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<usize> {
        if let Some(place) = self.place(name)
            && let Some(near) = self.near.get_mut(place)
            && near.name.get(..usize::from(near.len)) == Some(name)
        {
            *near = EMPTY;
        }
        self.all.remove(name)
    }

    /// The place that a name has, or could have.
    #[inline(always)]
    fn place(&self, name: &[u8]) -> Option<usize> {
        if name.len() > NEAR_MAX {
            return None;
        }
        let (first, last) = (eight(name, 0)?, name.len().checked_sub(8)?);
        let (middle, last) = (eight(name, last.checked_sub(8)?)?, eight(name, last)?);
        let sum = (first ^ middle.rotate_left(23)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let sum = (sum ^ last).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Some((sum >> 32) as usize & self.near.len().wrapping_sub(1))
    }

    /// The place is the newest name's: who had it before is found in the map.
    fn come_near(&mut self, name: &[u8], number: usize) {
        let Some(place) = self.place(name) else {
            return;
        };
        let (Ok(number), Some(near)) = (u32::try_from(number), self.near.get_mut(place)) else {
            return;
        };
        if let Some(bytes) = near.name.get_mut(..name.len()) {
            bytes.copy_from_slice(name);
            near.len = name.len() as u8;
            near.number = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_lengths_are_found_and_forgotten() {
        let name = |index: usize| {
            let length = 1 + index % 100;
            let text = format!("{index}@{}", "kline_btcusdt".repeat(9));
            text.as_bytes()[..length.max(4)].to_vec()
        };
        let mut names = Names::default();
        assert_eq!(names.find(&name(0)), None);
        let mut map = FxHashMap::default();
        for index in 0..3_000 {
            assert_eq!(
                names.insert(&name(index), index),
                map.insert(name(index), index)
            );
        }
        for index in 0..4_000 {
            assert_eq!(
                names.find(&name(index)),
                map.get(&name(index)).copied(),
                "{index}"
            );
        }
        for index in (0..3_000).step_by(2) {
            assert_eq!(names.remove(&name(index)), map.remove(&name(index)));
            assert_eq!(names.find(&name(index)), None);
        }
        assert_eq!(names.insert(&name(1), 7), map.insert(name(1), 7));
        for index in 0..3_000 {
            assert_eq!(
                names.find(&name(index)),
                map.get(&name(index)).copied(),
                "{index}"
            );
        }
    }

    #[test]
    fn most_names_of_a_venue_have_places_of_their_own() {
        let mut names = Names::default();
        let kinds = ["bookTicker", "trade", "depth@100ms"];
        let texts: Vec<String> = (0..500)
            .flat_map(|symbol| kinds.map(|kind| format!("x{symbol}usdt@{kind}")))
            .filter(|text| text.len() >= NEAR_MIN)
            .collect();
        for (number, text) in texts.iter().enumerate() {
            names.insert(text.as_bytes(), number);
        }
        let near = names.near.iter().filter(|near| near.len > 0).count();
        assert!(near * 4 > texts.len() * 3, "{near} of {}", texts.len());
    }
}

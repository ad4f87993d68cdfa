//! Whether two links of a venue number the updates of a stream alike.
//!
//! Some venues promise it, some only do it. Where it is not promised, it has to be *seen* before the
//! updates of one link may go on where those of the other end: the same update, told from others by a
//! mark of its own (a cross sequence of the matching engine), must have come by both links under the
//! same number. One update that came under two numbers proves the opposite.

use crate::transmit::LinkId;

/// Updates that are remembered. Two links are apart by far less: at the fastest push interval
/// (20 ms) this is more than a second.
const REMEMBERED: usize = 64;

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alike {
    /// Nothing yet.
    #[default]
    Unknown,
    /// An update came by both under one number.
    Yes,
    /// Two updates came under one number.
    No,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: u64,
    mark: u64,
    link: LinkId,
}

/// Compares the numbers of two links.
#[derive(Clone, Debug)]
pub struct Numbering {
    alike: Alike,
    /// By the number, modulo their count.
    rows: [Option<Row>; REMEMBERED],
}

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering::new()
    }
}

impl Numbering {
    /// Nothing known.
    pub const fn new() -> Numbering {
        Numbering {
            alike: Alike::Unknown,
            rows: [None; REMEMBERED],
        }
    }

    /// What is known by now.
    #[inline]
    pub const fn alike(&self) -> Alike {
        self.alike
    }

    /// Forgets all: one of the two counts anew.
    pub const fn clear(&mut self) {
        *self = Numbering::new();
    }

    /// The venue counts anew, on both links: the numbers from before say nothing any more.
    pub const fn restart(&mut self) {
        self.rows = [None; REMEMBERED];
    }

    /// The mark of an update that is still remembered.
    pub fn mark(&self, number: u64) -> Option<u64> {
        let place = usize::try_from(number % REMEMBERED as u64).unwrap_or(0);
        let row = self.rows.get(place).copied().flatten();
        row.filter(|row| row.number == number).map(|row| row.mark)
    }

    /// Takes note of an update. True where it has been noted before.
    pub fn note(&mut self, link: LinkId, number: u64, mark: u64) -> bool {
        let place = usize::try_from(number % REMEMBERED as u64).unwrap_or(0);
        let Some(row) = self.rows.get_mut(place) else {
            return false;
        };
        let known = row.filter(|row| row.number == number);
        match known {
            Some(known) if known.mark == mark => {
                if known.link != link && self.alike == Alike::Unknown {
                    self.alike = Alike::Yes;
                }
                true
            }
            // On one link, a number that comes again is a new count.
            Some(known) if known.link != link => {
                self.alike = Alike::No;
                false
            }
            _ => {
                if row.is_none_or(|row| row.number <= number || row.link == link) {
                    *row = Some(Row { number, mark, link });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(0);
    const B: LinkId = LinkId(1);

    type Updates = &'static [(LinkId, u64, u64)];

    #[test]
    fn one_update_by_both_links_decides() {
        let table: [(Updates, Alike); 6] = [
            (&[(A, 10, 500), (A, 11, 501), (B, 11, 501)], Alike::Yes),
            (&[(B, 11, 501), (A, 10, 500), (A, 11, 501)], Alike::Yes),
            (&[(A, 10, 500), (B, 10, 777)], Alike::No),
            (
                &[(A, 10, 500), (B, 10, 500), (B, 11, 7), (A, 11, 8)],
                Alike::No,
            ),
            (&[(A, 10, 500), (A, 10, 500), (A, 1, 600)], Alike::Unknown),
            (&[(A, 10, 500), (B, 9_000, 501)], Alike::Unknown),
        ];
        for (updates, alike) in table {
            let mut numbering = Numbering::new();
            for &(link, number, mark) in updates {
                numbering.note(link, number, mark);
            }
            assert_eq!(numbering.alike(), alike, "{updates:?}");
        }
    }

    #[test]
    fn what_was_noted_is_known_again_for_a_while() {
        let mut numbering = Numbering::new();
        for number in 0..1_000 {
            assert!(!numbering.note(A, number, number + 5));
        }
        for number in 1_000 - REMEMBERED as u64..1_000 {
            assert!(numbering.note(B, number, number + 5), "{number}");
        }
        assert_eq!(numbering.mark(999), Some(1_004));
        assert_eq!(numbering.mark(3), None);
        assert!(!numbering.note(B, 3, 8), "long ago");
        assert_eq!(numbering.alike(), Alike::Yes);
        numbering.restart();
        assert_eq!(numbering.alike(), Alike::Yes);
        assert!(!numbering.note(B, 999, 7), "of another count");
        numbering.clear();
        assert_eq!(numbering.alike(), Alike::Unknown);
        assert!(!numbering.note(B, 999, 1_004));
    }
}

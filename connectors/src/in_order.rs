//! Numbered messages that two links carry, put back in order.
//!
//! Where numbers rise by one, a message that leaves a gap is ahead of its link's fellow: what lies
//! between may still come there. It waits until that has come, until the other link has shown that it
//! has not got it either (some venues leave numbers out), or until it was waited for long enough.

use arrayvec::ArrayVec;

use crate::time::Nanos;
use crate::transmit::LinkId;

/// Messages that wait at most: two links of one venue are apart by far less.
const WAITING_MAX: usize = 1_024;

/// Gaps that are remembered, since what was not waited for may yet come.
const SKIPPED_MAX: usize = 16;

/// Longer than two live links are apart. A message that waits holds up those behind it.
const WAIT_NS: Nanos = Nanos::from_secs(3);

#[derive(Clone, Copy, Debug)]
struct Early<T> {
    number: u64,
    link: LinkId,
    /// The other link has brought it, too: neither has what is missing before it.
    by_both: bool,
    message: T,
}

/// Messages of a stream that came too early, by number.
#[derive(Clone, Debug)]
pub struct InOrder<T> {
    waiting: Vec<Early<T>>,
    since: Nanos,
    /// Numbers that were not waited for, first and last, the newest at the end.
    skipped: ArrayVec<(u64, u64), SKIPPED_MAX>,
}

impl<T> Default for InOrder<T> {
    fn default() -> InOrder<T> {
        InOrder {
            waiting: Vec::new(),
            since: Nanos::ZERO,
            skipped: ArrayVec::new_const(),
        }
    }
}

impl<T: Copy> InOrder<T> {
    /// Whether none waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keeps a message that leaves a gap. Where there is no room, the oldest have waited long enough.
    pub fn push(&mut self, now: Nanos, number: u64, link: LinkId, message: T) {
        if self.waiting.is_empty() {
            self.since = now;
        }
        match self.waiting.binary_search_by_key(&number, |one| one.number) {
            Ok(known) => self.waiting[known].by_both |= self.waiting[known].link != link,
            Err(place) => {
                let by_both = false;
                self.waiting.insert(
                    place,
                    Early {
                        number,
                        link,
                        by_both,
                        message,
                    },
                );
            }
        }
    }

    /// The next message that may go out behind number `last`, with its number: the one that follows,
    /// or one before which nothing more will come.
    pub fn next(&mut self, last: u64) -> Option<(u64, T)> {
        while self.waiting.first().is_some_and(|one| one.number <= last) {
            self.waiting.remove(0);
        }
        let first = self.waiting.first()?;
        let follows = first.number == last.wrapping_add(1);
        let given_up = self.waiting.len() > WAITING_MAX;
        if !follows && !given_up && !self.waiting.iter().any(|one| one.by_both) {
            return None;
        }
        if !follows {
            if self.skipped.is_full() {
                self.skipped.remove(0);
            }
            self.skipped.push((last + 1, first.number - 1));
        }
        self.pop()
    }

    /// Whether a number was not waited for and comes after all. True once for each.
    pub fn take_skipped(&mut self, number: u64) -> bool {
        let holds = |gap: &(u64, u64)| (gap.0..=gap.1).contains(&number);
        let Some(place) = self.skipped.iter().position(holds) else {
            return false;
        };
        // What comes late comes in order: nothing before it is missed any more.
        match &mut self.skipped[place] {
            (first, last) if *first < *last && number < *last => *first = number + 1,
            _ => {
                self.skipped.remove(place);
            }
        }
        true
    }

    /// The oldest, whatever is missing before it.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        if self.waiting.is_empty() {
            return None;
        }
        let first = self.waiting.remove(0);
        Some((first.number, first.message))
    }

    /// A link carries the stream no longer. What it alone has brought will come on the other; what the
    /// other has brought will not come again.
    pub fn drop_link(&mut self, link: LinkId) {
        self.waiting.retain(|one| one.link != link || one.by_both);
    }

    /// When what waits has waited long enough; [`Nanos::MAX`] for never.
    #[inline]
    pub fn deadline(&self) -> Nanos {
        if self.waiting.is_empty() {
            Nanos::MAX
        } else {
            self.since + WAIT_NS
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.skipped.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: LinkId = LinkId(1);
    const OTHER: LinkId = LinkId(2);

    fn take(in_order: &mut InOrder<()>, last: &mut u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some((number, ())) = in_order.next(*last) {
            taken.push(number);
            *last = number;
        }
        taken
    }

    #[test]
    fn what_is_early_waits_for_what_lies_before_it() {
        let (mut in_order, mut last) = (InOrder::default(), 10);
        for number in [13, 12, 15] {
            in_order.push(Nanos(100), number, ONE, ());
            assert_eq!(take(&mut in_order, &mut last), [0; 0]);
        }
        assert_eq!(in_order.deadline(), Nanos(100) + WAIT_NS);
        last = 11;
        assert_eq!(take(&mut in_order, &mut last), [12, 13]);
        last = 14;
        assert_eq!(take(&mut in_order, &mut last), [15]);
        assert_eq!(in_order.deadline(), Nanos::MAX);
    }

    #[test]
    fn a_number_that_neither_link_has_is_not_waited_for() {
        let (mut in_order, mut last) = (InOrder::default(), 10);
        in_order.push(Nanos(0), 12, ONE, ());
        in_order.push(Nanos(0), 12, ONE, ());
        assert_eq!(take(&mut in_order, &mut last), [0; 0], "twice on one link");
        in_order.push(Nanos(0), 12, OTHER, ());
        assert_eq!(take(&mut in_order, &mut last), [12]);
        assert!(in_order.take_skipped(11), "it was only late");
        assert!(!in_order.take_skipped(11) && !in_order.take_skipped(12));
        for link in [ONE, OTHER] {
            in_order.push(Nanos(0), 20, link, ());
        }
        assert_eq!(take(&mut in_order, &mut last), [20]);
        let late = [14, 15, 15, 19, 20].map(|number| in_order.take_skipped(number));
        assert_eq!(late, [true, true, false, true, false]);
    }

    #[test]
    fn of_a_link_that_goes_nothing_is_kept_but_what_the_other_has_shown() {
        let mut in_order = InOrder::default();
        in_order.push(Nanos(0), 12, ONE, ());
        in_order.push(Nanos(0), 13, OTHER, ());
        in_order.drop_link(ONE);
        assert_eq!(in_order.pop(), Some((13, ())));
        assert_eq!(in_order.pop(), None);
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let (mut in_order, mut last) = (InOrder::default(), 1);
        for number in 0..2 * WAITING_MAX as u64 {
            in_order.push(Nanos(0), 10 + number, ONE, ());
            take(&mut in_order, &mut last);
            assert!(in_order.waiting.len() <= WAITING_MAX);
        }
    }
}

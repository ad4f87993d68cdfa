//! Which connections want the loop's attention.

use super::Part;

/// Connections in the order in which they asked, each at most once however often it asks. To ask
/// costs the same with one connection and with thousands.
#[derive(Debug)]
pub(super) struct WorkList {
    items: Vec<(usize, Part)>,
    /// The other list's memory.
    spare: Vec<(usize, Part)>,
    /// By venue, then by link and by HTTP connection: the round in which it asked last.
    asked: Vec<[Vec<u64>; 2]>,
    round: u64,
}

impl WorkList {
    pub(super) fn with_capacity(capacity: usize) -> WorkList {
        WorkList {
            items: Vec::with_capacity(capacity),
            spare: Vec::with_capacity(capacity),
            asked: Vec::new(),
            round: 1,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, venue: usize, part: Part) {
        let (kind, index) = match part {
            Part::Link(index) => (0, index),
            Part::Http(index) => (1, index),
        };
        if self.asked.len() <= venue {
            self.asked.resize_with(venue + 1, Default::default);
        }
        let rounds = &mut self.asked[venue][kind];
        if rounds.len() <= index {
            rounds.resize(index + 1, 0);
        }
        if rounds[index] != self.round {
            rounds[index] = self.round;
            self.items.push((venue, part));
        }
    }

    /// All that asked. Who asks from now on is in the next round.
    pub(super) fn take(&mut self) -> Vec<(usize, Part)> {
        self.round += 1;
        core::mem::replace(&mut self.items, core::mem::take(&mut self.spare))
    }

    /// Gives the memory of [`WorkList::take`] back.
    pub(super) fn give_back(&mut self, mut taken: Vec<(usize, Part)>) {
        taken.clear();
        self.spare = taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_a_round_in_the_order_of_asking() {
        let mut list = WorkList::with_capacity(4);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut capacity = 0;
        for round in 0..1_000 {
            let mut expected = Vec::new();
            for _ in 0..rng.usize(0..40) {
                let index = rng.usize(0..5);
                let part = [Part::Link(index), Part::Http(index)][rng.usize(0..2)];
                let one = (rng.usize(0..3), part);
                list.push(one.0, one.1);
                if !expected.contains(&one) {
                    expected.push(one);
                }
            }
            assert_eq!(list.is_empty(), expected.is_empty());
            let taken = list.take();
            assert_eq!(taken, expected, "round {round}");
            capacity = capacity.max(taken.capacity());
            list.give_back(taken);
        }
        assert!(capacity <= 64, "memory is used again");
    }
}

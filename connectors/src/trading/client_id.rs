//! Client order ids: sequential, with a prefix that no other run has.

use core::fmt::Write as _;

use crate::order::ClientOrderId;

/// Letters and digits of a number in the ids: no upper case, since not every venue tells it apart.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Gives out `tw<run>-<strategy>-<number>`: at most 2 + 13 + 1 + 2 + 1 + 13 bytes, of the letters that
/// every venue takes.
#[derive(Clone, Debug)]
pub struct ClientIds {
    prefix: ClientOrderId,
    next: u64,
}

impl ClientIds {
    /// `run` tells this run from every other on the account (the time of its start in microseconds, for
    /// one), `strategy` those of one run.
    pub fn new(run: u64, strategy: u8) -> ClientIds {
        let mut prefix = ClientOrderId::new();
        prefix.push_str("tw");
        push_base36(&mut prefix, run);
        // 18 bytes at most so far: there is room.
        let _ = write!(prefix, "-{strategy}-");
        ClientIds { prefix, next: 1 }
    }

    /// What all ids of this run and strategy begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The `number`-th id, counted from 1.
    pub fn nth(&self, number: u64) -> ClientOrderId {
        let mut id = self.prefix;
        push_base36(&mut id, number);
        id
    }

    /// An id that this run has not used.
    pub fn next_id(&mut self) -> ClientOrderId {
        let id = self.nth(self.next);
        self.next += 1;
        id
    }
}

fn push_base36(text: &mut ClientOrderId, mut number: u64) {
    let mut digits = [0u8; 13];
    let mut count = 0;
    for digit in &mut digits {
        *digit = DIGITS[(number % 36) as usize];
        number /= 36;
        count += 1;
        if number == 0 {
            break;
        }
    }
    for digit in digits[..count].iter().rev() {
        // 36 bytes hold the longest: see ClientIds.
        let _ = text.try_push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sequential_and_tell_runs_and_strategies_apart() {
        let mut ids = ClientIds::new(1_795_266_000_000_000, 3);
        assert_eq!(ids.prefix(), "twhod9tc0740-3-");
        let first: Vec<_> = (0..37).map(|_| ids.next_id()).collect();
        assert!(
            first[0].ends_with("-1") && first[34].ends_with("-z") && first[35].ends_with("-10")
        );
        let mut unique = first.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), first.len());
        assert_ne!(
            ClientIds::new(1, 3).next_id(),
            ClientIds::new(2, 3).next_id()
        );
        assert_ne!(
            ClientIds::new(1, 3).next_id(),
            ClientIds::new(1, 4).next_id()
        );
    }

    #[test]
    fn the_longest_id_fits() {
        let mut ids = ClientIds::new(u64::MAX, u8::MAX);
        ids.next = u64::MAX - 1;
        let id = ids.next_id();
        assert!(id.ends_with("3w5e11264sgse"), "{id}");
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
}

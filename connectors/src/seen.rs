//! Which trades were seen: where two links carry a stream, each trade comes twice, and the first
//! counts.

/// Ids that are remembered. Two links of one venue are apart by far less than so many trades of one
/// instrument.
const REMEMBERED: usize = 1_024;

/// The last ids of a stream.
#[derive(Clone, Debug)]
pub struct Seen {
    ids: Box<[u64]>,
    next: usize,
    len: usize,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen::new()
    }
}

impl Seen {
    /// None seen.
    pub fn new() -> Seen {
        Seen {
            ids: vec![0; REMEMBERED].into_boxed_slice(),
            next: 0,
            len: 0,
        }
    }

    /// Takes note of an id. False where it was seen before. The newest are looked at first: where two
    /// links are in step, that is where the other's copy is.
    pub fn note(&mut self, id: u64) -> bool {
        if self.contains(id) {
            return false;
        }
        if let Some(place) = self.ids.get_mut(self.next) {
            *place = id;
        }
        self.next = (self.next + 1) % REMEMBERED;
        self.len = (self.len + 1).min(REMEMBERED);
        true
    }

    /// Whether the id was seen.
    pub fn contains(&self, id: u64) -> bool {
        let (newer, older) = self.ids.split_at(self.next.min(self.ids.len()));
        let older = older.iter().rev();
        let mut newest_first = newer.iter().rev().chain(older).take(self.len);
        newest_first.any(|seen| *seen == id)
    }

    /// Forgets all.
    pub const fn clear(&mut self) {
        (self.next, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_counts_once_while_it_is_remembered() {
        let mut seen = Seen::new();
        assert!(!seen.contains(0), "nothing was seen yet");
        let mut model = std::collections::VecDeque::new();
        let mut rng = fastrand::Rng::with_seed(1);
        for turn in 0..20_000u64 {
            let id = turn / 2 + rng.u64(0..700);
            let is_new = !model.contains(&id);
            assert_eq!(seen.note(id), is_new, "turn {turn}");
            if is_new {
                model.push_back(id);
                if model.len() > REMEMBERED {
                    model.pop_front();
                }
            }
        }
        seen.clear();
        assert!(model.iter().all(|id| !seen.contains(*id)));
    }
}

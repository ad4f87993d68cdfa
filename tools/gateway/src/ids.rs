//! Ids: a prefix, the time, and chance from a seed. They name things and are no secrets.

use tickwire::Nanos;

/// Draws ids.
#[derive(Debug)]
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids(fastrand::Rng::with_seed(seed))
    }

    /// `prefix_` + time in base 36 + 8 hexadecimal digits: later ones sort behind earlier ones.
    pub(crate) fn draw(&mut self, prefix: &str, now: Nanos) -> String {
        let time = base36(now.as_millis().unsigned_abs());
        format!("{prefix}_{time:0>9}{:08x}", self.0.u32(..))
    }

    /// An id that the venues take for an order: at most 36 bytes of `[A-Za-z0-9_-]`.
    pub(crate) fn chance(&mut self) -> &mut fastrand::Rng {
        &mut self.0
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

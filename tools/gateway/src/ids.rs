//! Ids: a prefix, the time, and chance from a seed. They name things and are no secrets.

use tickwire::Nanos;

/// Draws ids.
#[derive(Debug)]
pub(crate) struct Ids {
    chance: fastrand::Rng,
    /// The time of the last id: the next one has a later one.
    last_ms: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids {
            chance: fastrand::Rng::with_seed(seed),
            last_ms: 0,
        }
    }

    /// `prefix_` + time in base 36 + 8 hexadecimal digits. Of one program, each sorts behind all
    /// that were drawn before it.
    pub(crate) fn draw(&mut self, prefix: &str, now: Nanos) -> String {
        self.last_ms = now.as_millis().unsigned_abs().max(self.last_ms + 1);
        let time = base36(self.last_ms);
        format!("{prefix}_{time:0>9}{:08x}", self.chance.u32(..))
    }

    /// The generator behind the ids, for what else is left to chance.
    pub(crate) fn chance(&mut self) -> &mut fastrand::Rng {
        &mut self.chance
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

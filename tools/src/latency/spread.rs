//! How messages are spread over instruments, and these over sockets.

use super::shape::BASE;

/// Instruments that one socket may carry: what each venue takes on one.
pub const INSTRUMENTS_A_SOCKET_MAX: usize = 500;

/// Instruments on all sockets: there are letters for so many.
pub const INSTRUMENTS_MAX: usize = 10_000;

/// Sockets: a link of an engine and one of the server are a descriptor each, and 1,024 are usual.
pub const SOCKETS_MAX: usize = 256;

/// Messages go to instruments in turn, so that each finds its book as cold as it can be, and two after each other
/// to two sockets. Each socket carries a block of instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    sockets: usize,
    instruments: usize,
}

/// Why messages can't be spread so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpreadError {
    /// Too few or too many sockets.
    #[error("{0} sockets: 1 to {SOCKETS_MAX} can be measured")]
    Sockets(usize),
    /// No instrument, or too many.
    #[error("{0} instruments: 1 to {INSTRUMENTS_MAX} can be measured")]
    Instruments(usize),
    /// Instruments that the sockets don't share alike.
    #[error("{instruments} instruments on {sockets} sockets: give a multiple of the sockets")]
    Uneven {
        /// Instruments that were asked for.
        instruments: usize,
        /// Sockets that were asked for.
        sockets: usize,
    },
    /// More than venues take on a socket.
    #[error(
        "{instruments} instruments on {sockets} sockets: venues take {INSTRUMENTS_A_SOCKET_MAX} on one; {least} \
         sockets carry as many"
    )]
    Crowded {
        /// Instruments that were asked for.
        instruments: usize,
        /// Sockets that were asked for.
        sockets: usize,
        /// Sockets that it takes.
        least: usize,
    },
}

impl Spread {
    /// One instrument on one socket.
    pub const ONE: Spread = Spread {
        sockets: 1,
        instruments: 1,
    };

    /// Over so many; without a number of instruments each socket carries one.
    ///
    /// # Errors
    /// Where sockets would not carry alike, or more than venues allow.
    pub fn new(sockets: usize, instruments: Option<usize>) -> Result<Spread, SpreadError> {
        let instruments = instruments.unwrap_or(sockets);
        if !(1..=SOCKETS_MAX).contains(&sockets) {
            return Err(SpreadError::Sockets(sockets));
        }
        if !(1..=INSTRUMENTS_MAX).contains(&instruments) {
            return Err(SpreadError::Instruments(instruments));
        }
        if !instruments.is_multiple_of(sockets) {
            return Err(SpreadError::Uneven {
                instruments,
                sockets,
            });
        }
        let least = instruments.div_ceil(INSTRUMENTS_A_SOCKET_MAX);
        if sockets < least {
            return Err(SpreadError::Crowded {
                instruments,
                sockets,
                least,
            });
        }
        Ok(Spread {
            sockets,
            instruments,
        })
    }

    /// Connections.
    pub const fn sockets(self) -> usize {
        self.sockets
    }

    /// Instruments on all of them.
    pub const fn instruments(self) -> usize {
        self.instruments
    }

    /// Instruments on each.
    pub(super) const fn share(self) -> usize {
        self.instruments / self.sockets
    }

    /// The socket that carries an instrument.
    pub(super) const fn socket_of(self, instrument: usize) -> usize {
        instrument / self.share()
    }

    /// Which of the messages of a round of all instruments this one is.
    pub(super) const fn turn_of(self, number: u64) -> usize {
        ((number - BASE - 1) % self.instruments as u64) as usize
    }

    /// The instrument of a message.
    pub(super) const fn instrument_of(self, number: u64) -> usize {
        let turn = self.turn_of(number);
        turn % self.sockets * self.share() + turn / self.sockets
    }

    /// The number of the message of the same instrument before, or [`BASE`].
    pub(super) const fn previous(self, number: u64) -> u64 {
        let previous = number - self.instruments as u64;
        if previous > BASE { previous } else { BASE }
    }

    /// Counts the messages of an instrument, from [`BASE`].
    pub(super) const fn count_of(self, number: u64) -> u64 {
        BASE + 1 + (number - BASE - 1) / self.instruments as u64
    }

    /// The number of an instrument's message that is counted so.
    pub(super) const fn number_of(self, count: u64, instrument: usize) -> u64 {
        let turn = instrument % self.share() * self.sockets + instrument / self.share();
        BASE + 1 + count.saturating_sub(BASE + 1) * self.instruments as u64 + turn as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instrument_has_its_turn_on_its_socket() {
        for (sockets, instruments) in [(1, 1), (1, 3), (2, 2), (3, 12), (64, 128)] {
            let spread = Spread::new(sockets, Some(instruments)).expect("a spread");
            for round in 0..3 {
                let first = BASE + 1 + round * instruments as u64;
                let mut seen = vec![0; instruments];
                for number in first..first + instruments as u64 {
                    let instrument = spread.instrument_of(number);
                    seen[instrument] += 1;
                    let socket = spread.socket_of(instrument);
                    assert_eq!(socket, ((number - BASE - 1) % sockets as u64) as usize);
                    let count = spread.count_of(number);
                    assert_eq!(count, BASE + 1 + round);
                    assert_eq!(spread.number_of(count, instrument), number);
                    let previous = spread.previous(number);
                    match round {
                        0 => assert_eq!(previous, BASE),
                        _ => assert_eq!(spread.instrument_of(previous), instrument),
                    }
                }
                assert!(seen.iter().all(|seen| *seen == 1));
            }
        }
    }

    #[test]
    fn what_no_venue_carries_is_refused() {
        assert_eq!(Spread::new(0, None), Err(SpreadError::Sockets(0)));
        assert_eq!(Spread::new(1, None), Ok(Spread::ONE));
        let uneven = Spread::new(3, Some(4)).expect_err("uneven");
        assert!(uneven.to_string().contains("a multiple of the sockets"));
        let crowded = Spread::new(2, Some(5_000)).expect_err("crowded");
        assert!(crowded.to_string().contains("10 sockets"), "{crowded}");
        for none in [0, INSTRUMENTS_MAX + 1] {
            assert_eq!(
                Spread::new(1, Some(none)),
                Err(SpreadError::Instruments(none))
            );
        }
    }
}

//! Whether our book and the venue's own best bid and ask agree.
//!
//! A book can be wrong while its numbers are all in order: a level that was never deleted, a
//! snapshot that was not of its sequence. The venue's best bid/ask channel is a second witness. The
//! two are pushed at different times, so they differ at most moments of a busy market, and agree
//! again a moment later; only a difference that *lasts*, without a single moment of agreement, says
//! that one of them is wrong.

use tickwire_orderbook::{Level, Price, Scale, Top};

use crate::time::Nanos;

/// Which of the two is to be fetched anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// Our book: the venue's best bid and ask went on moving and it never met them.
    Book,
    /// The best bid/ask stream: the book moved and no word of it came.
    Bbo,
}

/// Where one of the two comes so much later than the other, they tell of different moments, and their
/// difference says nothing: a reader that has fallen behind on one of two links must not throw away good
/// books for it.
const APART_MAX_NS: Nanos = Nanos::from_millis(500);

/// Compares a book with the venue's best bid and ask.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// A difference of this length counts.
    lasting_ns: Nanos,
    differs_since: Nanos,
    book_at: Nanos,
    bbo_at: Nanos,
    /// From the venue's time to ours, of the last message of each; both hold the clocks' difference.
    book_lag: Option<Nanos>,
    bbo_lag: Option<Nanos>,
}

impl Agreement {
    /// Nothing compared yet. `lasting_ns`: how long a difference may last; several times the slowest
    /// push interval of the two.
    pub const fn new(lasting_ns: Nanos) -> Agreement {
        Agreement {
            lasting_ns,
            differs_since: Nanos::MAX,
            book_at: Nanos::ZERO,
            bbo_at: Nanos::ZERO,
            book_lag: None,
            bbo_lag: None,
        }
    }

    /// How long a difference may last.
    pub const fn lasting_ns(&self) -> Nanos {
        self.lasting_ns
    }

    /// Forgets the difference: one of the two is being fetched anew, or its link was lost.
    pub const fn reset(&mut self) {
        self.differs_since = Nanos::MAX;
    }

    /// The venue's time of the book's message at hand, where it has one.
    #[inline]
    pub fn note_book_time(&mut self, now: Nanos, exch_ns: Nanos) {
        self.book_lag = (exch_ns != Nanos::ZERO).then(|| now - exch_ns);
    }

    /// The same of the best prices' message.
    #[inline]
    pub fn note_bbo_time(&mut self, now: Nanos, exch_ns: Nanos) {
        self.bbo_lag = (exch_ns != Nanos::ZERO).then(|| now - exch_ns);
    }

    #[inline]
    fn is_apart(&self) -> bool {
        let lags = self.book_lag.zip(self.bbo_lag);
        lags.is_some_and(|(book, bbo)| book.0.abs_diff(bbo.0) > APART_MAX_NS.0.unsigned_abs())
    }

    /// The book has changed, and shows the venue's best prices or not.
    #[inline]
    pub fn look_at_book(&mut self, now: Nanos, agrees: bool) {
        self.book_at = now;
        self.look(now, agrees);
    }

    /// The venue has told its best prices, and the book shows them or not.
    #[inline]
    pub fn look_at_bbo(&mut self, now: Nanos, agrees: bool) {
        self.bbo_at = now;
        self.look(now, agrees);
    }

    #[inline]
    fn look(&mut self, now: Nanos, agrees: bool) {
        if agrees || self.is_apart() {
            self.differs_since = Nanos::MAX;
        } else if self.differs_since == Nanos::MAX {
            self.differs_since = now;
        }
    }

    /// When [`handle_timeout`](Agreement::handle_timeout) is to be called; never while they agree.
    #[inline]
    pub fn deadline(&self) -> Nanos {
        self.differs_since + self.lasting_ns
    }

    /// Which of the two is wrong, where they have differed for too long. Starts over then.
    pub fn handle_timeout(&mut self, now: Nanos) -> Option<Suspect> {
        if self.differs_since == Nanos::MAX || now < self.deadline() {
            return None;
        }
        let since = core::mem::replace(&mut self.differs_since, Nanos::MAX);
        // What came in the turn in which they parted proves nothing of what came later.
        if self.bbo_at > since {
            Some(Suspect::Book)
        } else {
            Some(Suspect::Bbo)
        }
    }
}

/// Whether a book's best prices are those that the venue tells, each at its own scale. Sizes are left
/// out: they change with every order.
#[inline]
pub fn same_prices(
    book: &Top,
    book_scale: Scale,
    (bid, ask): (Option<Level>, Option<Level>),
    bbo_scale: Scale,
) -> bool {
    let same = |ours: Option<Level>, venues: Option<Level>| match (ours, venues) {
        (Some(ours), Some(venues)) if book_scale == bbo_scale => ours.price == venues.price,
        (Some(ours), Some(venues)) => {
            Price::new(ours.price, book_scale) == Price::new(venues.price, bbo_scale)
        }
        (None, None) => true,
        _ => false,
    };
    same(book.bid, bid) && same(book.ask, ask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_agreement_is_enough() {
        let mut agreement = Agreement::new(Nanos(100));
        for now in 0..10_000 {
            agreement.look_at_book(Nanos(now), now % 99 == 0);
            agreement.look_at_bbo(Nanos(now), false);
            assert_eq!(agreement.handle_timeout(Nanos(now)), None, "{now}");
        }
    }

    #[test]
    fn a_lasting_difference_accuses_who_was_silent_and_the_book_where_neither_was() {
        let table: [(&[(i64, bool)], Suspect); 3] = [
            // (time, is a message of the book)
            (&[(10, false), (60, false)], Suspect::Book),
            (&[(10, true), (60, true)], Suspect::Bbo),
            (&[(10, true), (60, false)], Suspect::Book),
        ];
        for (messages, suspect) in table {
            let mut agreement = Agreement::new(Nanos(100));
            assert_eq!(agreement.deadline(), Nanos::MAX);
            for (at, of_book) in messages {
                match of_book {
                    true => agreement.look_at_book(Nanos(*at), false),
                    false => agreement.look_at_bbo(Nanos(*at), false),
                }
            }
            assert_eq!(agreement.deadline(), Nanos(110));
            assert_eq!(agreement.handle_timeout(Nanos(109)), None);
            assert_eq!(
                agreement.handle_timeout(Nanos(110)),
                Some(suspect),
                "{messages:?}"
            );
            assert_eq!(agreement.handle_timeout(Nanos(1_000)), None, "told once");
        }
    }

    #[test]
    fn messages_of_different_moments_accuse_nobody() {
        let ms = Nanos::from_millis;
        // (lag of the best prices, whether a difference counts)
        for (lag_ms, counts) in [(0, true), (400, true), (600, false), (-600, false)] {
            let mut agreement = Agreement::new(ms(100));
            for at in 1_000..1_200 {
                let now = ms(at);
                agreement.note_book_time(now, ms(at - 5));
                agreement.look_at_book(now, false);
                agreement.note_bbo_time(now, ms(at - 5 - lag_ms));
                agreement.look_at_bbo(now, false);
            }
            let found = agreement.handle_timeout(ms(1_200));
            assert_eq!(found.is_some(), counts, "{lag_ms}");
        }
        // Without a time nothing is known of it.
        let mut agreement = Agreement::new(ms(100));
        agreement.note_book_time(ms(5_000), ms(1));
        agreement.note_bbo_time(ms(5_000), Nanos::ZERO);
        agreement.look_at_book(ms(5_000), false);
        assert_eq!(agreement.handle_timeout(ms(5_100)), Some(Suspect::Bbo));
    }

    #[test]
    fn prices_are_compared_by_value() {
        let level = |price| Some(Level { price, qty: 1 });
        let book = Top {
            bid: level(100),
            ask: None,
        };
        let (whole, tenths) = (Scale::of(0), Scale::of(1));
        assert!(same_prices(&book, whole, (level(1_000), None), tenths));
        assert!(!same_prices(&book, whole, (level(100), None), tenths));
        assert!(!same_prices(&book, whole, (level(100), level(101)), whole));
    }
}

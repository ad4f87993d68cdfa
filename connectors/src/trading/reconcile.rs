//! What has to be asked of the venue after its private stream was lost, before anything of the account
//! is called Live again.

use crate::instrument::Symbol;
use crate::time::Nanos;

/// One thing to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Orders that stand: those that we hold and the venue does not name are looked up one by one.
    OpenOrders,
    /// Trades of a symbol (venue's writing) since the stream was last known to be whole.
    Fills(Symbol),
    /// Balances.
    Balances,
    /// Positions, in markets that have them.
    Positions,
}

/// First wait after a failed try; doubled for each further one.
const WAIT_FIRST_NS: Nanos = Nanos::from_millis(250);

/// Longest wait between tries.
const WAIT_MAX_NS: Nanos = Nanos::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked.
    Due,
    /// Asked.
    Asked,
}

/// The list, and what of it is done.
#[derive(Debug, Default)]
pub struct Reconcile {
    left: Vec<(Need, Stage)>,
    running: bool,
    retry_at: Nanos,
    wait: Nanos,
}

impl Reconcile {
    /// The stream is whole again: ask for all of `needs`.
    pub fn begin(&mut self, now: Nanos, needs: impl IntoIterator<Item = Need>) {
        self.left.clear();
        self.left
            .extend(needs.into_iter().map(|need| (need, Stage::Due)));
        self.running = true;
        self.retry_at = now;
        self.wait = WAIT_FIRST_NS;
    }

    /// The stream was lost: what is answered now says nothing.
    pub fn stop(&mut self) {
        self.left.clear();
        self.running = false;
    }

    /// Whether it has begun and not been [finished](Reconcile::finish).
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// The next to ask for. `in_doubt`: some order is yet to be looked up. Trades come behind that: the
    /// venue lists them by its own ids, which an order has once it was found.
    pub fn poll(&mut self, now: Nanos, in_doubt: bool) -> Option<Need> {
        if now < self.retry_at {
            return None;
        }
        let index = self.due(in_doubt)?;
        let (need, stage) = self.left.get_mut(index)?;
        *stage = Stage::Asked;
        Some(*need)
    }

    /// When [`poll`](Reconcile::poll) has one; [`Nanos::MAX`] for never.
    pub fn deadline(&self, in_doubt: bool) -> Nanos {
        match self.due(in_doubt) {
            Some(_) => self.retry_at,
            None => Nanos::MAX,
        }
    }

    fn due(&self, in_doubt: bool) -> Option<usize> {
        let orders_known = !in_doubt && self.left.iter().all(|one| one.0 != Need::OpenOrders);
        self.left.iter().position(|(need, stage)| {
            *stage == Stage::Due && (orders_known || !matches!(need, Need::Fills(_)))
        })
    }

    /// The answer to one is in.
    pub fn done(&mut self, need: Need) {
        self.left.retain(|one| *one != (need, Stage::Asked));
    }

    /// One was not answered: it is asked for again after a while.
    pub fn failed(&mut self, now: Nanos, need: Need) {
        for one in self.left.iter_mut().filter(|one| one.0 == need) {
            one.1 = Stage::Due;
        }
        self.retry_at = now + self.wait;
        self.wait = (self.wait + self.wait).min(WAIT_MAX_NS);
    }

    /// Ends it, where all is answered. Gives whether it did.
    pub fn finish(&mut self) -> bool {
        let is_over = self.running && self.left.is_empty();
        self.running &= !is_over;
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_all_is_answered() {
        let mut reconcile = Reconcile::default();
        assert!(!reconcile.finish(), "not begun");
        let fills = Need::Fills(Symbol::from("BTCUSDT").expect("short"));
        reconcile.begin(Nanos(5), [Need::OpenOrders, fills, Need::Balances]);
        let mut asked = Vec::new();
        while let Some(need) = reconcile.poll(Nanos(5), false) {
            asked.push(need);
        }
        assert_eq!(asked, [Need::OpenOrders, Need::Balances]);
        assert_eq!(reconcile.deadline(false), Nanos::MAX, "orders come first");
        reconcile.done(Need::OpenOrders);
        assert_eq!(
            (reconcile.poll(Nanos(5), true), reconcile.deadline(true)),
            (None, Nanos::MAX)
        );
        assert_eq!(reconcile.poll(Nanos(5), false), Some(fills));
        reconcile.failed(Nanos(10), fills);
        reconcile.done(Need::Balances);
        assert!(!reconcile.finish());
        assert_eq!(reconcile.poll(Nanos(10), false), None, "not at once");
        let due = reconcile.deadline(false);
        assert_eq!(
            (due, reconcile.poll(due, false)),
            (Nanos(10) + WAIT_FIRST_NS, Some(fills))
        );
        reconcile.done(fills);
        assert!(reconcile.finish() && !reconcile.is_running());
    }

    #[test]
    fn an_answer_from_before_the_loss_counts_for_nothing() {
        let mut reconcile = Reconcile::default();
        reconcile.begin(Nanos(0), [Need::Balances]);
        reconcile.poll(Nanos(0), false);
        reconcile.stop();
        reconcile.begin(Nanos(1), [Need::Balances]);
        reconcile.done(Need::Balances);
        assert!(!reconcile.finish(), "the new question is not even asked");
    }
}

//! Requests that wait for their answers.

use std::collections::{HashMap, VecDeque};

use tickwire_connectors::Nanos;

use super::error::Error;
use super::json::{Json, RequestKey};
use super::ticket::Resolver;

/// By id, and in the order in which they were made. All have the same time limit, so that the oldest is
/// the next to be late.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: HashMap<RequestKey, Entry>,
    /// An entry counts while the request of its number still waits: an id may be used again.
    order: VecDeque<(Nanos, u64, RequestKey)>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    since: Nanos,
    waiter: Resolver<Json>,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Waits for the answer to `key`; gives the number of the request, or the waiter back where one
    /// with this id waits already.
    pub(crate) fn insert(
        &mut self,
        now: Nanos,
        key: RequestKey,
        waiter: Resolver<Json>,
        timeout: Nanos,
    ) -> Result<u64, Resolver<Json>> {
        if self.waiting.contains_key(&key) {
            return Err(waiter);
        }
        self.made += 1;
        let number = self.made;
        self.order.push_back((now + timeout, number, key.clone()));
        let entry = Entry {
            number,
            since: now,
            waiter,
        };
        self.waiting.insert(key, entry);
        Ok(number)
    }

    /// Whether the request of this id and number still waits.
    pub(crate) fn is_waiting(&self, key: &RequestKey, number: u64) -> bool {
        self.waiting
            .get(key)
            .is_some_and(|entry| entry.number == number)
    }

    /// Whether anyone waits for this id.
    pub(crate) fn has(&self, key: &RequestKey) -> bool {
        self.waiting.contains_key(key)
    }

    /// An answer has come; gives who waits for it and how long it took, `None` where nobody does.
    pub(crate) fn take(&mut self, now: Nanos, key: &RequestKey) -> Option<(Resolver<Json>, Nanos)> {
        let entry = self.waiting.remove(key)?;
        Some((entry.waiter, now - entry.since))
    }

    /// When the next is late.
    pub(crate) fn deadline(&mut self) -> Nanos {
        while let Some((at, number, key)) = self.order.front() {
            if self
                .waiting
                .get(key)
                .is_some_and(|one| one.number == *number)
            {
                return *at;
            }
            self.order.pop_front();
        }
        Nanos::MAX
    }

    /// Gives up those that are late; gives how many.
    pub(crate) fn handle_timeout(&mut self, now: Nanos, timeout: Nanos) -> usize {
        let mut late = 0;
        while self.deadline() <= now {
            let Some((_, _, key)) = self.order.pop_front() else {
                break;
            };
            if let Some(entry) = self.waiting.remove(&key) {
                late += 1;
                entry
                    .waiter
                    .resolve(Err(Error::Timeout(super::duration(timeout))));
            }
        }
        late
    }

    /// Fails all, the oldest first; gives how many. The order's entries go too: none of them may be
    /// taken for a later request's.
    pub(crate) fn fail_all(&mut self, error: &Error) -> usize {
        let mut failed = 0;
        for (_, number, key) in std::mem::take(&mut self.order) {
            if self.is_waiting(&key, number)
                && let Some(entry) = self.waiting.remove(&key)
            {
                failed += 1;
                entry.waiter.resolve(Err(error.clone()));
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::super::ticket::{Ticket, ticket};
    use super::*;

    const TIMEOUT: Nanos = Nanos(100);

    fn key(number: u64) -> RequestKey {
        RequestKey::number(number)
    }

    fn ask(pending: &mut Pending, now: i64, id: u64) -> Ticket {
        let (caller, waiter) = ticket();
        let asked = pending.insert(Nanos(now), key(id), waiter, TIMEOUT);
        if let Err(waiter) = asked {
            waiter.resolve(Err(Error::DuplicateRequestId(id.to_string())));
        }
        caller
    }

    fn answer(pending: &mut Pending, now: i64, id: u64) -> Option<Nanos> {
        let (waiter, took) = pending.take(Nanos(now), &key(id))?;
        waiter.resolve(Ok(Json::of(format!("{{\"id\":{id}}}"))));
        Some(took)
    }

    #[test]
    fn answers_find_their_callers_in_any_order() {
        let mut pending = Pending::default();
        let callers: Vec<Ticket> = (0..50).map(|id| ask(&mut pending, 0, id)).collect();
        for id in (0..50).rev() {
            assert_eq!(answer(&mut pending, 7, id), Some(Nanos(7)));
        }
        for (id, caller) in callers.into_iter().enumerate() {
            assert_eq!(
                caller.wait().map(Json::into_text),
                Ok(format!("{{\"id\":{id}}}"))
            );
        }
        assert_eq!(answer(&mut pending, 8, 1), None, "nobody waits");
    }

    #[test]
    fn a_second_of_the_same_id_is_refused_and_the_first_goes_on() {
        let mut pending = Pending::default();
        let first = ask(&mut pending, 0, 1);
        let second = ask(&mut pending, 0, 1);
        assert_eq!(
            second.wait(),
            Err(Error::DuplicateRequestId("1".to_owned()))
        );
        answer(&mut pending, 1, 1);
        assert!(first.wait().is_ok());
    }

    #[test]
    fn a_timer_of_an_answered_request_spares_the_next_of_its_id() {
        let mut pending = Pending::default();
        let first = ask(&mut pending, 0, 1);
        answer(&mut pending, 10, 1);
        assert!(first.wait().is_ok());
        let mut second = ask(&mut pending, 50, 1);
        assert_eq!(
            pending.handle_timeout(Nanos(100), TIMEOUT),
            0,
            "the first's time"
        );
        assert_eq!(second.try_take(), None);
        assert_eq!(pending.deadline(), Nanos(150));
        assert_eq!(pending.handle_timeout(Nanos(150), TIMEOUT), 1);
        assert!(matches!(second.try_take(), Some(Err(Error::Timeout(_)))));
    }

    #[test]
    fn a_loss_fails_all_and_their_timers_and_ids_are_free() {
        let mut pending = Pending::default();
        let callers: Vec<Ticket> = (0..5).map(|id| ask(&mut pending, 0, id)).collect();
        assert_eq!(pending.fail_all(&Error::Disconnected), 5);
        for caller in callers {
            assert_eq!(caller.wait(), Err(Error::Disconnected));
        }
        assert_eq!((pending.len(), pending.deadline()), (0, Nanos::MAX));
        let mut again = ask(&mut pending, 60, 1);
        assert_eq!(pending.handle_timeout(Nanos(159), TIMEOUT), 0);
        assert_eq!(again.try_take(), None);
        // An answer of the old connection can't come: the connection is gone. One with the id does.
        answer(&mut pending, 70, 1);
        assert!(again.try_take().is_some_and(|outcome| outcome.is_ok()));
    }
}

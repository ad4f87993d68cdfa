//! Who asks something of an account: the numbers of commands, ids of orders, and a place for answers.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use tickwire_connectors::order::ClientOrderId;
use tickwire_connectors::trading::{Answer, ClientIds, Ticket};

use crate::control::StrategyId;

/// Answers that may wait for who asked. One who waits for answers asks again only after the last; the
/// room is for those whose wait was over before the answer came.
const ANSWERS_MAX: usize = 256;

/// One asker: a strategy, or a tool in its place. Shared by all of its commanders.
#[derive(Debug)]
pub(crate) struct Asker {
    strategy: StrategyId,
    commands: AtomicU64,
    orders: AtomicU64,
    ids: ClientIds,
    answers: ArrayQueue<Answer>,
}

impl Asker {
    pub(crate) fn new(run: u64, strategy: StrategyId) -> Asker {
        Asker {
            strategy,
            commands: AtomicU64::new(0),
            orders: AtomicU64::new(1),
            ids: ClientIds::new(run, strategy.0),
            answers: ArrayQueue::new(ANSWERS_MAX),
        }
    }

    pub(crate) fn next_ticket(&self, awaited: bool) -> Ticket {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        Ticket::new(self.strategy.0, number, awaited)
    }

    pub(crate) fn next_order_id(&self) -> ClientOrderId {
        self.ids.nth(self.orders.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps an answer; the oldest goes where there is no room, since nobody waits for it any more.
    pub(crate) fn answer(&self, answer: Answer) {
        self.answers.force_push(answer);
    }

    pub(crate) fn next_answer(&self) -> Option<Answer> {
        self.answers.pop()
    }
}

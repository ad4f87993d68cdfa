//! The life of an order: which state may follow which, and what a message of the venue makes of it.
//!
//! Messages of one order come over two ways (the answer to the request, the account's stream, the answer
//! to a look-up) in any order, twice, or late. So none is taken at its word: what has traded only grows,
//! an end is an end, and a message that knows less than we do changes nothing.

use tickwire_orderbook::Qty;

use crate::order::OrderStatus;

/// Whether an order may go from `from` (`None`: sent, nothing heard yet) to `to`.
pub const fn may_follow(from: Option<OrderStatus>, to: OrderStatus) -> bool {
    use OrderStatus::{
        Canceled, Expired, Filled, New, PartiallyFilled, PendingCancel, Rejected, Unknown,
        Untriggered,
    };
    match from {
        None => true,
        // It may have been the venue's answer alone that was lost.
        Some(Unknown) => !matches!(to, Unknown),
        // What cannot be paid for when its price has come is rejected or expires.
        Some(Untriggered) => !matches!(to, Untriggered | Unknown),
        // Venues that accept first and look afterwards (Bybit) reject an order that was New.
        Some(New) => matches!(
            to,
            PartiallyFilled | Filled | PendingCancel | Canceled | Expired | Rejected
        ),
        Some(PartiallyFilled) => matches!(
            to,
            PartiallyFilled | Filled | PendingCancel | Canceled | Expired
        ),
        // Back to where it stood, where the venue refused the cancel.
        Some(PendingCancel) => matches!(
            to,
            Untriggered
                | New
                | PartiallyFilled
                | PendingCancel
                | Filled
                | Canceled
                | Expired
                | Rejected
        ),
        Some(Filled | Canceled | Rejected | Expired) => false,
    }
}

/// How far a stop has come. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trigger {
    /// Nothing was heard of one.
    None,
    /// It waits.
    Waits,
    /// The order has gone to the book.
    Done,
}

/// Where an order stands, as far as all messages together tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderState {
    status: Option<OrderStatus>,
    qty: Option<Qty>,
    filled: Qty,
    trigger: Trigger,
    /// A cancel of ours is under way.
    canceling: bool,
    /// A change of ours went out: how much is wanted by now only the venue knows.
    amended: bool,
}

impl OrderState {
    /// Sent and not heard of. `qty` is `None` for an order by quote quantity.
    pub const fn sent(qty: Option<Qty>, zero: Qty) -> OrderState {
        OrderState {
            status: None,
            qty,
            filled: zero,
            trigger: Trigger::None,
            canceling: false,
            amended: false,
        }
    }

    /// Its status; `None` while nothing was heard of it.
    pub const fn status(&self) -> Option<OrderStatus> {
        self.status
    }

    /// How much has traded, as far as it was told.
    pub const fn filled(&self) -> Qty {
        self.filled
    }

    /// Whether its stop was not reached, as far as was told: also while nothing was heard of the order.
    pub fn waits(&self) -> bool {
        self.trigger < Trigger::Done
    }

    /// Whether nothing more can happen to it.
    pub const fn is_final(&self) -> bool {
        matches!(self.status, Some(status) if status.is_final())
    }

    /// The venue says `status` and that `filled` has traded in all. Gives whether that changed anything.
    pub fn report(&mut self, status: OrderStatus, filled: Qty) -> bool {
        let grown = filled > self.filled;
        let knows_less = filled < self.filled;
        if grown {
            self.filled = filled;
        }
        self.trigger = self.trigger.max(match status {
            _ if grown => Trigger::Done,
            OrderStatus::Untriggered => Trigger::Waits,
            OrderStatus::New | OrderStatus::PartiallyFilled => Trigger::Done,
            _ => Trigger::None,
        });
        if self.is_final() {
            // A cancel that raced a fill: more has traded than the end knew of.
            return grown;
        }
        if knows_less && !status.is_final() {
            return false;
        }
        let next = match status {
            OrderStatus::Untriggered
            | OrderStatus::New
            | OrderStatus::PartiallyFilled
            | OrderStatus::PendingCancel => self.standing(status),
            // A venue has no such word; where it does not know the order, it says that.
            OrderStatus::Unknown => return grown,
            end => end,
        };
        self.go(next) || grown
    }

    /// How much is wanted, by the newest message that knew at least as much of it as we.
    pub const fn set_qty(&mut self, qty: Option<Qty>) {
        self.qty = qty;
    }

    /// A change went out. Trades that reach the quantity as we know it are no end from now on: it may be
    /// another by now.
    pub const fn amend_sent(&mut self) {
        self.amended = true;
    }

    /// Trades that sum up to `filled` were told one by one.
    pub fn trades(&mut self, filled: Qty) -> bool {
        if filled <= self.filled {
            return false;
        }
        self.filled = filled;
        self.trigger = Trigger::Done;
        if !self.is_final() {
            let is_whole = !self.amended && self.qty.is_some_and(|qty| filled >= qty);
            let next = if is_whole {
                OrderStatus::Filled
            } else {
                self.standing(OrderStatus::PartiallyFilled)
            };
            self.go(next);
        }
        true
    }

    /// A cancel went out. Gives whether that changed anything.
    pub fn cancel_sent(&mut self) -> bool {
        if self.is_final() {
            return false;
        }
        self.canceling = true;
        matches!(
            self.status,
            Some(OrderStatus::Untriggered | OrderStatus::New | OrderStatus::PartiallyFilled)
        ) && self.go(OrderStatus::PendingCancel)
    }

    /// The venue refused the cancel, or it never left: the order stands where it stood.
    pub fn cancel_failed(&mut self) -> bool {
        self.canceling = false;
        self.status == Some(OrderStatus::PendingCancel) && {
            let next = self.standing(OrderStatus::New);
            self.go(next)
        }
    }

    /// The request went out and no answer came.
    pub fn lost(&mut self) -> bool {
        self.status.is_none() && self.go(OrderStatus::Unknown)
    }

    /// The venue refused the order, or never got it.
    pub fn rejected(&mut self) -> bool {
        !self.is_final() && self.go(OrderStatus::Rejected)
    }

    /// It ended while we did not listen, and nothing more is known of how.
    pub fn ended(&mut self, status: OrderStatus) -> bool {
        status.is_final() && !self.is_final() && self.go(status)
    }

    /// An order that stands: what it is called depends on what has traded, on whether its stop was
    /// reached, and on our own cancel.
    fn standing(&self, said: OrderStatus) -> OrderStatus {
        if self.canceling || matches!(said, OrderStatus::PendingCancel) {
            OrderStatus::PendingCancel
        } else if !self.filled.is_zero() {
            OrderStatus::PartiallyFilled
        } else if self.trigger == Trigger::Waits {
            OrderStatus::Untriggered
        } else {
            OrderStatus::New
        }
    }

    fn go(&mut self, next: OrderStatus) -> bool {
        if self.status == Some(next) || !may_follow(self.status, next) {
            return false;
        }
        if matches!(next, OrderStatus::New | OrderStatus::PartiallyFilled) {
            self.trigger = Trigger::Done;
        }
        self.status = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_orderbook::Scale;

    use super::*;

    const ALL: [OrderStatus; 9] = [
        OrderStatus::Untriggered,
        OrderStatus::New,
        OrderStatus::PartiallyFilled,
        OrderStatus::Filled,
        OrderStatus::PendingCancel,
        OrderStatus::Canceled,
        OrderStatus::Rejected,
        OrderStatus::Expired,
        OrderStatus::Unknown,
    ];

    fn qty(units: i64) -> Qty {
        Qty::new(units, Scale::of(0))
    }

    #[derive(Clone, Copy, Debug)]
    enum Input {
        Report(OrderStatus, i64),
        Trades(i64),
        CancelSent,
        CancelFailed,
        Lost,
        Rejected,
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (prop::sample::select(&ALL[..]), 0..=10i64)
                .prop_map(|(status, filled)| Input::Report(status, filled)),
            (0..=10i64).prop_map(Input::Trades),
            Just(Input::CancelSent),
            Just(Input::CancelFailed),
            Just(Input::Lost),
            Just(Input::Rejected),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_only_legal_transitions_happen(inputs in prop::collection::vec(input(), 0..40)) {
            let mut state = OrderState::sent(Some(qty(10)), qty(0));
            let mut has_stood = false;
            for input in inputs {
                let before = state;
                let changed = match input {
                    Input::Report(status, filled) => state.report(status, qty(filled)),
                    Input::Trades(filled) => state.trades(qty(filled)),
                    Input::CancelSent => state.cancel_sent(),
                    Input::CancelFailed => state.cancel_failed(),
                    Input::Lost => state.lost(),
                    Input::Rejected => state.rejected(),
                };
                prop_assert!(state.filled() >= before.filled(), "what has traded only grows");
                if state.status() != before.status() {
                    let to = state.status().expect("never back to unheard of");
                    prop_assert!(may_follow(before.status(), to), "{:?} to {to:?}", before.status());
                    prop_assert!(changed, "a change is told");
                }
                if before.is_final() {
                    prop_assert_eq!(state.status(), before.status(), "an end is an end");
                }
                has_stood |= matches!(state.status(), Some(OrderStatus::New | OrderStatus::PartiallyFilled));
                prop_assert!(
                    !has_stood || state.status() != Some(OrderStatus::Untriggered),
                    "what was on the book waits no more"
                );
                let shown = (state.status(), state.filled());
                prop_assert_eq!(changed, shown != (before.status(), before.filled()));
            }
        }

        /// Answer, stream and look-up tell the same life; in whatever order they come, and however
        /// often, the end is the same.
        #[test]
        fn the_order_of_messages_does_not_matter(order in Just(vec![0usize, 1, 2, 3, 4, 1, 4, 5]).prop_shuffle()) {
            let told = [
                (OrderStatus::New, 0),
                (OrderStatus::PartiallyFilled, 3),
                (OrderStatus::PartiallyFilled, 7),
                (OrderStatus::Canceled, 7),
                (OrderStatus::New, 0),
                (OrderStatus::Untriggered, 0),
            ];
            let mut state = OrderState::sent(Some(qty(10)), qty(0));
            for index in order {
                let (status, filled) = told[index];
                state.report(status, qty(filled));
            }
            prop_assert_eq!(state.status(), Some(OrderStatus::Canceled));
            prop_assert_eq!(state.filled(), qty(7));
        }
    }

    #[test]
    fn a_cancel_that_is_refused_leaves_the_order_where_it_stood() {
        let mut state = OrderState::sent(Some(qty(10)), qty(0));
        assert!(state.report(OrderStatus::New, qty(0)));
        assert!(state.cancel_sent());
        assert!(state.trades(qty(4)));
        assert_eq!(state.status(), Some(OrderStatus::PendingCancel));
        assert!(state.cancel_failed());
        assert_eq!(state.status(), Some(OrderStatus::PartiallyFilled));
        assert!(state.trades(qty(10)));
        assert_eq!(state.status(), Some(OrderStatus::Filled));
    }

    #[test]
    fn a_stop_waits_until_it_was_seen_on_the_book_and_never_again() {
        let mut state = OrderState::sent(Some(qty(10)), qty(0));
        assert!(state.report(OrderStatus::Untriggered, qty(0)));
        assert!(state.cancel_sent());
        assert!(state.cancel_failed());
        assert_eq!(
            state.status(),
            Some(OrderStatus::Untriggered),
            "where it stood"
        );
        assert!(state.cancel_sent());
        assert!(
            !state.report(OrderStatus::New, qty(0)),
            "the cancel goes on"
        );
        assert!(state.cancel_failed());
        assert_eq!(state.status(), Some(OrderStatus::New));
        assert!(
            !state.report(OrderStatus::Untriggered, qty(0)),
            "a late word"
        );
        assert!(state.trades(qty(10)));
        assert_eq!(state.status(), Some(OrderStatus::Filled));
    }

    #[test]
    fn a_fill_that_raced_the_cancel_still_counts() {
        let mut state = OrderState::sent(Some(qty(10)), qty(0));
        state.report(OrderStatus::Canceled, qty(2));
        assert!(state.report(OrderStatus::PartiallyFilled, qty(5)));
        assert_eq!(
            (state.status(), state.filled()),
            (Some(OrderStatus::Canceled), qty(5))
        );
    }
}

//! What strategies and the handle ask the loop for.

use tickwire_connectors::order::VenueOrderId;
use tickwire_connectors::trading::{Action, Answer, OrderId, OrderRef, Ticket};
use tickwire_connectors::wide::{Asked, Refusal};
use tickwire_connectors::{
    Channel, Command, Connector, Error, ErrorKind, Nanos, StreamId, WideBody,
};

use super::{COMMANDS_A_TURN, Loop};
use crate::control::{Control, StrategyId};
use crate::net::Net;
use crate::router::Effect;

/// The orders of a strategy that has ended are waited for so long before the account is let go.
const ORPHAN_MAX: Nanos = Nanos::from_secs(10);

impl<C: Connector, N: Net> Loop<C, N> {
    pub(super) fn take_commands(&mut self) {
        for _ in 0..COMMANDS_A_TURN {
            let Some(control) = self.control.pop() else {
                return;
            };
            self.command(control);
        }
        // More may wait: look again next turn.
        self.control.ring();
    }

    pub(super) fn command(&mut self, control: Control) {
        self.counters.commands.add(1);
        match control {
            Control::Stop => self.stopping = true,
            Control::Subscribe {
                strategy,
                stream,
                depth,
            } => {
                self.subscribe(strategy, stream, depth);
            }
            Control::Unsubscribe { strategy, stream } => self.unsubscribe(strategy, stream),
            Control::Republish { strategy, stream } => {
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Control::Nudge { venue } => self.nudge(venue),
            Control::Resync { stream } => self.tell(stream, Command::Resync { stream }, None),
            Control::Act {
                strategy,
                venue,
                ticket,
                action,
            } => self.act(strategy, venue, ticket, &action),
        }
    }

    /// Asks the venue something of the account, where there is room for what will be told of it.
    pub(super) fn act(
        &mut self,
        strategy: StrategyId,
        venue: usize,
        ticket: Ticket,
        action: &Action,
    ) {
        if venue >= self.slots.len() || self.router.is_gone(strategy) {
            return;
        }
        if let Action::Place(request) = action {
            let (id, symbol) = (request.client_order_id, request.instrument.symbol);
            if let Err(why) = self.router.accept_order(strategy, venue, id, symbol) {
                let error = Error::ours(ErrorKind::BadRequest, why);
                let ids = (id, VenueOrderId::new());
                let refusal = Refusal::of(ticket, Asked::Place, ids, &error);
                self.router
                    .tell_account(strategy, venue, WideBody::Refusal(refusal));
                if ticket.is_awaited() {
                    let result = Err(error);
                    self.router.answer(Answer { ticket, result });
                }
                return;
            }
        }
        self.slots[venue]
            .connector
            .handle_action(self.now, ticket, action, &mut self.outbox);
        self.after_call(venue, None);
        // When it is next to be looked at is asked when what it wants sent has left.
        self.acted = true;
    }

    /// Cancels all that a strategy has under way: it looks after its orders no more.
    pub(super) fn cancel_orders_of(&mut self, strategy: StrategyId) {
        for (id, held) in self.router.orders_of(strategy) {
            let order = OrderRef {
                symbol: held.symbol,
                id: OrderId::Client(id),
            };
            // As if it had asked itself: each command has a number of its own.
            let ticket = self.registry.asker(strategy).next_ticket(false);
            self.slots[held.venue].connector.handle_action(
                self.now,
                ticket,
                &Action::Cancel(order),
                &mut self.outbox,
            );
            self.after_call(held.venue, None);
            self.note_timeout(held.venue);
        }
    }

    /// A strategy has ended: its orders are cancelled, its streams let go; those of the account when
    /// the orders have ended, since closing the last one closes the account's links.
    pub(super) fn orphan(&mut self, strategy: StrategyId) {
        self.cancel_orders_of(strategy);
        for stream in self.router.streams_of(strategy) {
            let info = self.router.info(stream);
            if info.is_some_and(|info| info.key.channel != Channel::User) {
                self.command(Control::Unsubscribe { strategy, stream });
            }
        }
        self.orphans.push((strategy, self.now + ORPHAN_MAX));
    }

    pub(super) fn let_orphans_go(&mut self) {
        let now = self.now;
        while let Some(index) = self.orphans.iter().position(|(strategy, until)| {
            *until <= now || self.router.orders_of(*strategy).is_empty()
        }) {
            let (strategy, _) = self.orphans.remove(index);
            for stream in self.router.streams_of(strategy) {
                self.command(Control::Unsubscribe { strategy, stream });
            }
        }
    }

    pub(super) fn subscribe(&mut self, strategy: StrategyId, stream: StreamId, depth: bool) {
        // The stream would stay open for a strategy that has ended, and nobody would let it go.
        if self.router.is_gone(strategy) {
            return;
        }
        let Some(info) = self.registry.info(stream) else {
            return;
        };
        let (symbol, channel) = (info.asked, info.key.channel);
        match self.router.join(strategy, info, depth) {
            Effect::Open => {
                self.tell(
                    stream,
                    Command::Subscribe {
                        stream,
                        symbol,
                        channel,
                        depth,
                    },
                    None,
                );
            }
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Effect::None => self.tell(stream, Command::Republish { stream }, Some(strategy)),
            Effect::Close => {}
        }
    }

    pub(super) fn unsubscribe(&mut self, strategy: StrategyId, stream: StreamId) {
        match self.router.leaving(strategy, stream) {
            Effect::Close => self.tell(stream, Command::Unsubscribe { stream }, None),
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
            }
            Effect::None | Effect::Open => {}
        }
        self.router.leave(strategy, stream, self.now);
    }

    fn nudge(&mut self, venue: usize) {
        let Some(slot) = self.slots.get_mut(venue) else {
            return;
        };
        slot.connector.handle_nudge(self.now, &mut self.outbox);
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    pub(super) fn tell(&mut self, stream: StreamId, command: Command, only: Option<StrategyId>) {
        let Some(venue) = self.router.info(stream).map(|info| info.venue_index) else {
            return;
        };
        self.slots[venue]
            .connector
            .handle_command(self.now, command, &mut self.outbox);
        self.after_call(venue, only);
        self.note_timeout(venue);
    }
}

//! What a strategy acts through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tickwire_connectors::order::{ClientOrderId, OrderRequest};
use tickwire_connectors::trading::{Action, OrderRef, Ticket};
use tickwire_connectors::{Channel, Event, InstrumentKey, Market, Nanos, StreamId, Venue};

use super::replica::{Change, Replica};
use crate::control::Commander;
use crate::operator::{Answer, Instruction, OperatedBy, ReplyId};
use crate::registry::{StreamInfo, SubscribeError};

/// A strategy's own name for one of its timers.
pub type TimerId = u32;

/// A strategy's hands: subscriptions, timers, replica books.
#[derive(Debug)]
pub struct Context {
    commander: Commander,
    now: Nanos,
    timers: BinaryHeap<Reverse<(Nanos, TimerId)>>,
    replicas: Vec<Option<Box<Replica>>>,
    stopping: bool,
    operated_by: Option<OperatedBy>,
}

impl Context {
    pub(crate) fn new(commander: Commander) -> Context {
        Context {
            commander,
            now: Nanos::ZERO,
            timers: BinaryHeap::new(),
            replicas: Vec::new(),
            stopping: false,
            operated_by: None,
        }
    }

    /// The time, read once before each batch of events.
    pub const fn now(&self) -> Nanos {
        self.now
    }

    /// Opens a stream, or joins one that others have open: then its present state and top come
    /// first. Also while the venue is not connected.
    pub fn subscribe(
        &mut self,
        venue: Venue,
        market: Market,
        symbol: &str,
        channel: Channel,
    ) -> Result<StreamId, SubscribeError> {
        self.commander
            .subscribe(venue, market, symbol, channel, false)
    }

    /// Opens a book stream with its levels: a replica is kept in this context, and
    /// [`on_depth`](super::Strategy::on_depth) is called for each message.
    pub fn subscribe_depth(
        &mut self,
        venue: Venue,
        market: Market,
        symbol: &str,
        channel: Channel,
    ) -> Result<StreamId, SubscribeError> {
        let stream = self
            .commander
            .subscribe(venue, market, symbol, channel, true)?;
        self.keep_replica(stream);
        Ok(stream)
    }

    /// Lets a stream go; its last event is a change to `Closed`. Other strategies keep it.
    pub fn unsubscribe(&mut self, stream: StreamId) -> Result<(), SubscribeError> {
        self.commander.unsubscribe(stream)
    }

    /// Throws a stream's book away and fetches a fresh one.
    pub fn resync(&mut self, stream: StreamId) -> Result<(), SubscribeError> {
        self.commander.resync(stream)
    }

    /// An id for an order that no other order of the account has.
    pub fn next_order_id(&self) -> ClientOrderId {
        self.commander.next_order_id()
    }

    /// Places an order: it leaves in the loop's next turn. What becomes of it comes by
    /// [`on_order`](super::Strategy::on_order), [`on_fill`](super::Strategy::on_fill) and
    /// [`on_refusal`](super::Strategy::on_refusal) of the strategy's
    /// [`Channel::User`](tickwire_connectors::Channel) stream, which must be open.
    pub fn place(&mut self, order: &OrderRequest) -> Result<Ticket, SubscribeError> {
        let InstrumentKey { venue, market, .. } = order.instrument;
        self.act(venue, market, Action::Place(*order))
    }

    /// Cancels an order.
    pub fn cancel(
        &mut self,
        venue: Venue,
        market: Market,
        order: OrderRef,
    ) -> Result<Ticket, SubscribeError> {
        self.act(venue, market, Action::Cancel(order))
    }

    /// Asks something of the account: to change an order, to cancel all, to stop everything.
    pub fn act(
        &mut self,
        venue: Venue,
        market: Market,
        action: Action,
    ) -> Result<Ticket, SubscribeError> {
        self.commander.act(venue, market, action)
    }

    /// Calls [`on_timer`](super::Strategy::on_timer) with `timer` once, `span` from now.
    pub fn set_timer(&mut self, timer: TimerId, span: Nanos) {
        self.timers.push(Reverse((self.now + span, timer)));
    }

    /// Forgets every setting of `timer`.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        self.timers.retain(|Reverse((_, id))| *id != timer);
    }

    /// Which stream this is: venue, market, symbol, channel, instrument. Takes a lock: keep it.
    pub fn stream(&self, stream: StreamId) -> Option<Arc<StreamInfo>> {
        self.commander.stream(stream)
    }

    /// The replica of a stream that was opened with depth; look at
    /// [`is_valid`](Replica::is_valid) before believing it.
    pub fn book(&self, stream: StreamId) -> Option<&Replica> {
        self.replicas.get(stream.index())?.as_deref()
    }

    /// Says something to the operator in answer to a message. Where nobody operates the strategy, every
    /// word is [`Unheard`](crate::operator::Unheard).
    pub fn answer(&mut self, reply: ReplyId) -> Answer<'_> {
        Answer {
            end: self.operated_by.as_mut(),
            reply,
        }
    }

    /// Ends this strategy after the present callback.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(crate) fn set_operated_by(&mut self, end: Option<OperatedBy>) {
        self.operated_by = end;
    }

    pub(super) fn next_instruction(&self) -> Option<Instruction> {
        self.operated_by.as_ref()?.next()
    }

    pub(crate) fn set_now(&mut self, now: Nanos) {
        self.now = now;
    }

    pub(crate) fn keep_replica(&mut self, stream: StreamId) {
        let index = stream.index();
        if self.replicas.len() <= index {
            self.replicas.resize_with(index + 1, || None);
        }
        self.replicas[index].get_or_insert_with(Box::default);
    }

    /// Gives an event to its stream's replica; the replica comes back out where a batch is whole.
    pub(super) fn apply(&mut self, event: &Event) -> Option<Box<Replica>> {
        let slot = self.replicas.get_mut(event.stream().index())?;
        let replica = slot.as_mut()?;
        let change = replica.handle(event);
        if replica.take_question(self.now) {
            // Refused only where the command queue is full or the engine is gone; the replica says
            // that it is not valid until a later snapshot.
            let _ = self.commander.republish(event.stream());
        }
        if change == Change::Batch {
            slot.take()
        } else {
            None
        }
    }

    pub(super) fn put_back(&mut self, stream: StreamId, replica: Box<Replica>) {
        if let Some(slot) = self.replicas.get_mut(stream.index()) {
            *slot = Some(replica);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Nanos> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn take_due_timer(&mut self) -> Option<TimerId> {
        let Reverse((at, _)) = self.timers.peek()?;
        if *at > self.now {
            return None;
        }
        self.timers.pop().map(|Reverse((_, timer))| timer)
    }
}

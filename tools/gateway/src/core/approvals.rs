//! Orders that strategies ask for: who must let them out, until when, and that what goes out is what was
//! let out.
//!
//! ```text
//! asked -> (policy) approved -> stored -> checked again -> dispatched | refused
//!       -> pending -> approved | rejected | expired | cancelled
//! ```

use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;
use tickwire::Amount;
use tickwire::connectors::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce};
use tickwire::operator::{CallId, CallOutcome, Instruction, ReplyId};
use tickwire::{Nanos, Side};

use super::Core;
use super::frames::{Outcome, answer};
use super::sessions::not_found;
use super::trading::is_final;
use crate::auth::{Identity, hex, sha256};
use crate::desk::Desk;
use crate::protocol::*;
use crate::store::StoreError;

/// Calls that are kept in memory for what is still heard of their orders; older ones are in the store.
const CALLS_KEPT: usize = 10_000;

/// An order that a strategy asked for, while it may still change.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) call: ToolCall,
    /// What the strategy asked, and waits to hear of; after a restart nobody does.
    asked: Option<Asked>,
    /// Its message's number, and the ids of the parts that show it there.
    message_number: u64,
    part_id: String,
    result: Option<Part>,
    /// As it was last heard of.
    order: Option<Order>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    request: OrderRequest,
    reply: ReplyId,
    number: CallId,
    expires: Nanos,
}

/// What is stored of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallRecord {
    pub(super) call: ToolCall,
    message_number: u64,
    part_id: String,
    #[serde(default)]
    result: Option<Part>,
    #[serde(default)]
    order: Option<Order>,
}

/// The exact order as text.
fn ticket(mode: Mode, request: &OrderRequest) -> OrderTicket {
    let (size, size_in) = match request.size {
        Size::Base(qty) => (qty.to_string(), SizeIn::Base),
        Size::Quote(qty) => (qty.to_string(), SizeIn::Quote),
    };
    OrderTicket {
        mode,
        venue: request.instrument.venue.to_string(),
        market: request.instrument.market.to_string(),
        symbol: request.instrument.symbol.to_string(),
        side: side_of(request.side),
        kind: request.order_type.as_str().to_owned(),
        time_in_force: request.time_in_force.as_str().to_owned(),
        ends_at: match request.time_in_force {
            TimeInForce::Gtd { expires_ns } => Some(expires_ns.as_millis()),
            _ => None,
        },
        price: request.price.map(|price| price.to_string()),
        stop_price: request.stop.map(|stop| stop.price.to_string()),
        stop_by: request.stop.map(|stop| stop.by.as_str().to_owned()),
        size,
        size_in,
        reduce_only: request.reduce_only,
        client_order_id: request.client_order_id.to_string(),
    }
}

/// The side in words.
pub(crate) const fn side_of(side: Side) -> OrderSide {
    match side {
        Side::Bid => OrderSide::Buy,
        Side::Ask => OrderSide::Sell,
    }
}

/// SHA-256 over the JSON text of `[id, projectId, sessionId, order]`, in hexadecimal.
fn digest(id: &str, project: &str, session: &str, order: &OrderTicket) -> String {
    let text = serde_json::to_string(&(id, project, session, order)).unwrap_or_default();
    hex(&sha256(text.as_bytes()))
}

impl Held {
    /// Whether it is part of an answer.
    pub(super) fn is_of(&self, reply: ReplyId) -> bool {
        self.asked.is_some_and(|asked| asked.reply == reply)
    }

    fn is_expired(&self, now: Nanos) -> bool {
        self.asked.is_none_or(|asked| now >= asked.expires)
    }

    fn record(&self) -> CallRecord {
        CallRecord {
            call: self.call.clone(),
            message_number: self.message_number,
            part_id: self.part_id.clone(),
            result: self.result.clone(),
            order: self.order.clone(),
        }
    }

    fn order(&self) -> Order {
        self.order
            .clone()
            .unwrap_or_else(|| unheard_order(&self.call))
    }
}

/// An order of which nothing was heard: it may or may not be at the venue.
fn unheard_order(call: &ToolCall) -> Order {
    let order = &call.order;
    Order {
        project_id: call.project_id.clone(),
        mode: order.mode,
        client_order_id: order.client_order_id.clone(),
        venue_order_id: None,
        venue: order.venue.clone(),
        market: order.market.clone(),
        symbol: order.symbol.clone(),
        side: order.side,
        kind: order.kind.clone(),
        price: order.price.clone(),
        qty: (order.size_in == SizeIn::Base).then(|| order.size.clone()),
        filled: "0".to_owned(),
        price_mean: None,
        status: "unknown".to_owned(),
        reason: None,
        updated_at: call.decided_at.unwrap_or(call.requested_at),
    }
}

impl Core {
    /// A strategy asks for an order.
    pub(super) fn order_asked(
        &mut self,
        session: &str,
        reply: ReplyId,
        number: CallId,
        request: &OrderRequest,
    ) {
        let now = self.now;
        let id = self.ids.draw("call", now);
        let mut request = *request;
        if request.client_order_id.is_empty() {
            // 4 + 28 bytes of the venues' 36.
            let name = format!("twg-{}", &hex(&sha256(id.as_bytes()))[..28]);
            request.client_order_id = ClientOrderId::from(&name).unwrap_or_default();
        }
        let Some(run) = self.runs.get(session) else {
            return;
        };
        let (mode, project) = (run.session.mode, run.session.project_id.clone());
        let Some(answering) = self.answering(session) else {
            return;
        };
        let (message_id, message_number) = (answering.message.id.clone(), answering.number);
        answering.calls.insert(number, id.clone());
        let order = ticket(mode, &request);
        let sent_before = answering.sent_before.iter().position(|sent| {
            // As the strategy wrote it: the venue may write the symbol otherwise.
            let sent = &sent.ticket;
            sent.side == order.side
                && (&sent.venue, &sent.market, &sent.symbol)
                    == (&order.venue, &order.market, &order.symbol)
        });
        let sent_before = sent_before.map(|place| answering.sent_before.swap_remove(place).order);
        let expires = now + self.config.approvals.expires;
        let call = ToolCall {
            id: id.clone(),
            tool: "order.place".to_owned(),
            session_id: session.to_owned(),
            project_id: project.clone(),
            message_id: message_id.clone(),
            digest: digest(&id, &project, session, &order),
            order,
            state: CallState::Pending,
            requested_at: now.as_millis(),
            expires_at: expires.as_millis(),
            decided_by: None,
            decided_at: None,
            reason: None,
            dispatch: None,
        };
        let mut part = self.blank_part(session, &message_id, PartType::ToolCall);
        part.tool_call = Some(call.clone());
        let held = Held {
            call,
            asked: Some(Asked {
                request,
                reply,
                number,
                expires,
            }),
            message_number,
            part_id: part.id.clone(),
            result: None,
            order: sent_before.clone(),
        };
        let needs_person = self.needs_person(mode, &request);
        let client_order_id = request.client_order_id.to_string();
        let is_known = self.by_order.contains_key(&client_order_id);
        self.calls.insert(id.clone(), held);
        self.remember(&id, (!is_known).then_some(client_order_id));
        self.save_call(&id);
        self.add_part(session, part);
        if let Some(order) = sent_before {
            let why = format!("sent before as {}", order.client_order_id);
            let error = ErrorBody::new(Code::Conflict, why.clone());
            self.decide(&id, CallState::Cancelled, "retry", Some(why));
            self.set_result(&id, Some(order), None, Some(error.clone()));
            self.tell_outcome(&id, Err(error));
        } else if is_known {
            let error = ErrorBody::new(Code::Conflict, "an order of this client order id is there");
            self.decide(
                &id,
                CallState::Cancelled,
                "policy",
                Some(error.message.clone()),
            );
            self.set_result(&id, None, None, Some(error.clone()));
            self.tell_outcome(&id, Err(error));
        } else if !needs_person {
            self.decide(&id, CallState::Approved, "policy", None);
            self.to_dispatch.push_back(id);
        } else if let Some(held) = self.calls.get(&id) {
            let event = EventData::ApprovalRequired(ApprovalRequired {
                tool_call: held.call.clone(),
            });
            self.tell_approvers(&id, &event);
        }
    }

    fn remember(&mut self, id: &str, client_order_id: Option<String>) {
        if let Some(client_order_id) = client_order_id {
            self.by_order.insert(client_order_id, id.to_owned());
        }
        self.recent.push_back(id.to_owned());
        while self.recent.len() > CALLS_KEPT {
            let Some(oldest) = self.recent.pop_front() else {
                return;
            };
            if let Some(held) = self.calls.get(&oldest) {
                if held.call.state == CallState::Pending {
                    self.recent.push_back(oldest);
                    return;
                }
                self.by_order.remove(&held.call.order.client_order_id);
                self.calls.remove(&oldest);
            }
        }
    }

    /// Whether the order waits for a person. What makes a position smaller never does.
    fn needs_person(&self, mode: Mode, request: &OrderRequest) -> bool {
        if request.reduce_only {
            return false;
        }
        let policy = &self.config.approvals;
        match policy.of(mode) {
            Approval::Auto => false,
            Approval::Required => true,
            Approval::AboveLimit => {
                let notional = match (request.size, request.price, request.order_type) {
                    (Size::Quote(qty), ..) => {
                        Amount::new(i128::from(qty.mantissa()), qty.scale().get())
                    }
                    (Size::Base(qty), Some(price), OrderType::Limit | OrderType::LimitMaker) => {
                        Some(Amount::notional(price, qty))
                    }
                    _ => None,
                };
                notional.is_none_or(|notional| notional > policy.notional_max)
            }
        }
    }

    fn save_call(&mut self, id: &str) {
        if let Some(held) = self.calls.get(id) {
            self.store.put_entity("call", id, &held.record());
        }
    }

    /// What waits for a person.
    pub(super) fn pending(&self, fits: impl Fn(&ToolCall) -> bool) -> Vec<ToolCall> {
        let calls = self.calls.values().map(|held| &held.call);
        let waits = calls.filter(|call| call.state == CallState::Pending && fits(call));
        let mut pending: Vec<ToolCall> = waits.cloned().collect();
        pending.sort_by(|a, b| a.id.cmp(&b.id));
        pending
    }

    /// Tells an event of a call on the channels of its session, its project and its creator.
    fn tell_approvers(&mut self, id: &str, event: &EventData) {
        let Some(held) = self.calls.get(id) else {
            return;
        };
        let (session, project) = (held.call.session_id.clone(), held.call.project_id.clone());
        let creator = self.runs.get(&session).map(|run| run.creator.clone());
        self.tell(&Channel::Session(session), event);
        self.tell(&Channel::Project(project), event);
        if let Some(creator) = creator {
            self.tell(&Channel::User(creator), event);
        }
    }

    /// Writes a decision down and tells it.
    fn decide(&mut self, id: &str, state: CallState, by: &str, reason: Option<String>) {
        let now_ms = self.now.as_millis();
        let Some(held) = self.calls.get_mut(id) else {
            return;
        };
        held.call.state = state;
        held.call.decided_by = Some(by.to_owned());
        held.call.decided_at = Some(now_ms);
        held.call.reason.clone_from(&reason);
        let event = EventData::ApprovalResolved(ApprovalResolved {
            session_id: held.call.session_id.clone(),
            tool_call_id: id.to_owned(),
            state,
            decided_by: by.to_owned(),
            decided_at: now_ms,
            reason,
        });
        self.show_call(id);
        self.tell_approvers(id, &event);
    }

    /// Stores a call and shows it in its message.
    fn show_call(&mut self, id: &str) {
        self.save_call(id);
        let Some(held) = self.calls.get(id) else {
            return;
        };
        let part = Part {
            id: held.part_id.clone(),
            message_id: held.call.message_id.clone(),
            session_id: held.call.session_id.clone(),
            kind: PartType::ToolCall,
            content: None,
            tool_call: Some(held.call.clone()),
            tool_result: None,
        };
        let (session, number) = (held.call.session_id.clone(), held.message_number);
        self.set_part(&session, number, part);
    }

    /// Shows what became of a call in its message.
    pub(super) fn set_result(
        &mut self,
        id: &str,
        order: Option<Order>,
        fill: Option<Fill>,
        error: Option<ErrorBody>,
    ) {
        let Some(held) = self.calls.get(id) else {
            return;
        };
        let (session, number) = (held.call.session_id.clone(), held.message_number);
        let message_id = held.call.message_id.clone();
        let mut part = match &held.result {
            Some(part) => part.clone(),
            None => self.blank_part(&session, &message_id, PartType::ToolResult),
        };
        // The last trade stays in sight when the order changes otherwise.
        let fill = fill.or_else(|| part.tool_result.take()?.fill);
        part.tool_result = Some(ToolResult {
            tool_call_id: id.to_owned(),
            order: order.clone(),
            fill,
            error,
        });
        if let Some(held) = self.calls.get_mut(id) {
            held.result = Some(part.clone());
            held.order = order.or(held.order.take());
        }
        self.save_call(id);
        self.set_part(&session, number, part);
    }

    /// Tells the strategy what became of its order.
    fn tell_outcome(&mut self, id: &str, outcome: Result<(), ErrorBody>) {
        let Some(held) = self.calls.get(id) else {
            return;
        };
        let Some(asked) = held.asked else { return };
        let outcome = match outcome {
            Ok(()) => CallOutcome::Sent {
                client_order_id: asked.request.client_order_id,
            },
            Err(error) => CallOutcome::Refused {
                reason: error.message.into(),
            },
        };
        let instruction = Instruction::Outcome {
            reply: asked.reply,
            call: asked.number,
            outcome,
        };
        let agent = self.runs.get(&held.call.session_id);
        let agent = agent
            .map(|run| run.session.agent.clone())
            .unwrap_or_default();
        if self.crew.send(&agent, instruction).is_err() {
            tracing::warn!(
                call = id,
                "the strategy was not told what became of its order"
            );
        }
    }

    // Decisions.

    /// A call of a session that `identity` may decide on. One that left memory comes from the store: it
    /// was decided long ago.
    fn call_for(
        &mut self,
        identity: &Identity,
        session: &str,
        id: &str,
    ) -> Result<ToolCall, ErrorBody> {
        self.run(identity, session)?;
        let call = match self.calls.get(id) {
            Some(held) => Some(held.call.clone()),
            None => self.stored_call(id).map(|record| record.call),
        };
        let call = call.filter(|call| call.session_id == session);
        call.ok_or_else(|| not_found("tool call"))
    }

    /// What was decided before, where anything was: the same decision again gives the same answer.
    fn decided(call: &ToolCall, wanted: CallState) -> Option<Outcome> {
        let decision = Decision {
            state: call.state,
            decided_by: call.decided_by.clone()?,
            decided_at: call.decided_at?,
        };
        if call.state == wanted {
            return Some(answer(&decision));
        }
        let details = json!({
            "state": decision.state,
            "decidedBy": decision.decided_by,
            "decidedAt": decision.decided_at,
        });
        let (code, words) = match call.state {
            CallState::Expired => (Code::ApprovalExpired, "nobody decided in time"),
            _ => (Code::NotPending, "it was decided otherwise"),
        };
        Some(Err(ErrorBody::new(code, words).with(details)))
    }

    pub(super) fn tools_approve(&mut self, identity: &Identity, params: &ToolsApprove) -> Outcome {
        let id = params.tool_call_id.to_string();
        let call = self.call_for(identity, &params.session_id, &id)?;
        // Before anything else: whoever names another order has not seen this one.
        let is_same: bool = params
            .digest
            .as_bytes()
            .ct_eq(call.digest.as_bytes())
            .into();
        if !is_same {
            let words = "the digest is not this order's: look at it again";
            return Err(ErrorBody::new(Code::Conflict, words));
        }
        if let Some(outcome) = Self::decided(&call, CallState::Approved) {
            return outcome;
        }
        self.expire_calls();
        self.check_call(&id)?;
        let state = CallState::Approved;
        self.decide(&id, state, &identity.user, None);
        self.to_dispatch.push_back(id);
        answer(&Decision {
            state,
            decided_by: identity.user.clone(),
            decided_at: self.now.as_millis(),
        })
    }

    pub(super) fn tools_reject(&mut self, identity: &Identity, params: &ToolsReject) -> Outcome {
        let id = params.tool_call_id.to_string();
        self.call_for(identity, &params.session_id, &id)?;
        self.expire_calls();
        let call = self.call_for(identity, &params.session_id, &id)?;
        let state = CallState::Rejected;
        if let Some(outcome) = Self::decided(&call, state) {
            return outcome;
        }
        let reason = params.reason.as_ref().map(|reason| reason.to_string());
        let words = reason.clone().unwrap_or_else(|| "rejected".to_owned());
        self.decide(&id, state, &identity.user, reason);
        self.tell_outcome(&id, Err(ErrorBody::new(Code::NotPending, words)));
        answer(&Decision {
            state,
            decided_by: identity.user.clone(),
            decided_at: self.now.as_millis(),
        })
    }

    /// All that must hold at the decision and again at dispatch: time, digest, kill switch, and what the
    /// desk says of risk, price collar and venue.
    fn check_call(&mut self, id: &str) -> Result<(), ErrorBody> {
        let now = self.now;
        let held = self.calls.get(id).ok_or_else(|| not_found("tool call"))?;
        let call = &held.call;
        let request = held.asked.filter(|asked| now < asked.expires);
        let request = request.filter(|_| call.state != CallState::Expired);
        let Some(Asked { request, .. }) = request else {
            return Err(ErrorBody::new(
                Code::ApprovalExpired,
                "nobody decided in time",
            ));
        };
        let order = ticket(call.order.mode, &request);
        if digest(id, &call.project_id, &call.session_id, &order) != call.digest {
            return Err(ErrorBody::new(
                Code::Conflict,
                "the order is not what was approved",
            ));
        }
        if let Some(reason) = &self.halted
            && !request.reduce_only
        {
            let words = format!("trading is halted: {reason}");
            return Err(ErrorBody::new(Code::TradingHalted, words));
        }
        let project = call.project_id.clone();
        let desk = self.desk_of(order.mode, &project)?;
        desk.check(&project, &request, now)?;
        Ok(())
    }

    fn desk_of(&mut self, mode: Mode, project: &str) -> Result<&mut dyn Desk, ErrorBody> {
        let desk = self.desks.of(mode, project);
        desk.ok_or_else(|| ErrorBody::new(Code::VenueDown, "there is no desk for this mode"))
    }

    /// Checks an order that was decided on once more and writes down that it goes out: if the gateway ends
    /// before it is known to have gone, it counts as sent. Gives whether it goes.
    pub(super) fn let_out(&mut self, id: &str) -> bool {
        if let Err(error) = self.check_call(id) {
            self.dispatched(id, Err(error));
            return false;
        }
        if let Some(held) = self.calls.get_mut(id) {
            held.call.dispatch = Some(Dispatch::Sent);
        }
        self.save_call(id);
        true
    }

    /// Sends an order that was let out.
    pub(super) fn dispatch(&mut self, id: &str) {
        let now = self.now;
        let Some(held) = self.calls.get(id) else {
            return;
        };
        let (mode, project) = (held.call.order.mode, held.call.project_id.clone());
        let Some(Asked { request, .. }) = held.asked else {
            return;
        };
        let sent = self.desk_of(mode, &project);
        let sent = sent.and_then(|desk| Ok(desk.dispatch(&project, &request, now)?));
        self.dispatched(id, sent);
    }

    fn dispatched(&mut self, id: &str, outcome: Result<(), ErrorBody>) {
        if let Some(held) = self.calls.get_mut(id) {
            held.call.dispatch = Some(match &outcome {
                Ok(()) => Dispatch::Sent,
                Err(_) => Dispatch::Refused,
            });
        }
        self.show_call(id);
        if let Err(error) = &outcome {
            self.telemetry.error(error.code);
            self.set_result(id, None, None, Some(error.clone()));
        }
        self.tell_outcome(id, outcome);
    }

    /// Calls nobody decided on in time.
    pub(super) fn expire_calls(&mut self) {
        let now = self.now;
        self.call_back(|held| held.is_expired(now), CallState::Expired, "expiry");
    }

    /// Ends what waits for a person, without one. Gives how many it were.
    pub(super) fn call_back(
        &mut self,
        fits: impl Fn(&Held) -> bool,
        state: CallState,
        by: &str,
    ) -> u32 {
        let waits = self
            .calls
            .values()
            .filter(|held| held.call.state == CallState::Pending && fits(held));
        let mut ids: Vec<String> = waits.map(|held| held.call.id.clone()).collect();
        ids.sort_unstable();
        for id in &ids {
            self.decide(id, state, by, None);
            let (code, words) = match state {
                CallState::Expired => (Code::ApprovalExpired, "nobody decided in time"),
                _ => (Code::Cancelled, "it was called back before anybody decided"),
            };
            let error = ErrorBody::new(code, words);
            self.set_result(id, None, None, Some(error.clone()));
            self.tell_outcome(id, Err(error));
        }
        ids.len() as u32
    }

    /// An order as it was last heard of, of a call that may have left memory.
    pub(super) fn order_of_call(&mut self, call: &ToolCall) -> Order {
        if let Some(held) = self.calls.get(&call.id) {
            return held.order();
        }
        let record = self.stored_call(&call.id).and_then(|record| record.order);
        record.unwrap_or_else(|| unheard_order(call))
    }

    fn stored_call(&mut self, id: &str) -> Option<CallRecord> {
        let read: Result<Option<CallRecord>, StoreError> = self
            .store
            .commit()
            .and_then(|()| self.store.entity("call", id));
        read.unwrap_or_else(|error| {
            self.fatal = Some(error);
            None
        })
    }

    /// At the start: answers that were under way are over.
    pub(super) fn end_stale_answers(&mut self, session: &str, newest: Vec<(u64, Message)>) {
        for (number, mut message) in newest {
            if message.status != MessageStatus::Streaming {
                continue;
            }
            message.status = MessageStatus::Error;
            message.completed_at = Some(self.now.as_millis());
            message.error = Some(started_anew());
            self.save_message(session, number, &message);
            message.parts.clear();
            let event = EventData::MessageUpdated(MessageEvent { message });
            self.tell(&Channel::Session(session.to_owned()), &event);
        }
    }

    /// At the start: what waited for a person is rejected, and of what may have reached a venue it is found
    /// out what became of it.
    pub(super) fn restore_call(&mut self, id: &str, record: CallRecord) {
        let CallRecord {
            call,
            message_number,
            part_id,
            result,
            order,
        } = record;
        let (state, dispatch) = (call.state, call.dispatch);
        if dispatch == Some(Dispatch::Sent) {
            let client_order_id = call.order.client_order_id.clone();
            self.by_order.insert(client_order_id, id.to_owned());
        }
        let is_over = order.as_ref().is_some_and(|order| is_final(&order.status));
        let may_change = match (state, dispatch) {
            (CallState::Pending, _) | (CallState::Approved, None) => true,
            (_, Some(Dispatch::Sent)) => !is_over,
            _ => false,
        };
        if !may_change {
            return;
        }
        let held = Held {
            call,
            asked: None,
            message_number,
            part_id,
            result,
            order,
        };
        let order = held.order();
        let (mode, project) = (held.call.order.mode, held.call.project_id.clone());
        self.calls.insert(id.to_owned(), held);
        self.remember(id, None);
        match (state, dispatch) {
            (CallState::Pending, _) => {
                let why = started_anew().message;
                self.decide(id, CallState::Rejected, "restart", Some(why));
            }
            // Let out, and stopped before it was sent: it is not sent now.
            (_, None) => self.dispatched(id, Err(started_anew())),
            _ => {
                self.show_call(id);
                let now = self.now;
                if let Some(desk) = self.desks.of(mode, &project) {
                    desk.recall(&order, now);
                }
            }
        }
    }
}

fn started_anew() -> ErrorBody {
    ErrorBody::new(Code::Cancelled, "the gateway was started anew")
}

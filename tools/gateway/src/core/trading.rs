//! Markets, orders, positions, and the switch that stops all.

use serde_json::Value;

use super::frames::{Answer, Outcome, answer};
use super::{BookWanted, Core};
use crate::auth::Identity;
use crate::desk::{DeskEvent, Filter, Refusal};
use crate::feed::Part as FeedPart;
use crate::market::MarketKey;
use crate::protocol::*;
use crate::store::Write;

/// Events taken from a desk in a turn.
const DESK_EVENTS_A_TURN: usize = 4_096;

impl Core {
    pub(super) fn markets_list(&self, params: &MarketsList) -> Outcome {
        let filter = Filter {
            venue: params.venue.as_deref(),
            market: params.market.as_deref(),
            symbol: None,
        };
        let wanted = params.symbol.as_deref();
        let mut markets: Vec<MarketOf> =
            self.desks.each().flat_map(|desk| desk.markets()).collect();
        markets.retain(|of| {
            filter.takes(&of.venue, &of.market, &of.symbol)
                && wanted.is_none_or(|wanted| {
                    of.symbol == wanted || of.venue_symbol.as_deref() == Some(wanted)
                })
        });
        markets.sort_by(|a, b| {
            (&a.venue, &a.market, &a.symbol).cmp(&(&b.venue, &b.market, &b.symbol))
        });
        markets.dedup();
        markets.truncate(params.limit.get());
        answer(&Markets { markets })
    }

    /// The book at once where it is open and believed; otherwise as soon as it is.
    pub(super) fn books_get(&mut self, index: usize, id: &str, params: &BooksGet) -> Outcome {
        let key = MarketKey {
            venue: params.venue.to_string(),
            market: params.market.to_string(),
            symbol: params.symbol.to_string(),
        };
        let stream = self.open_stream(&key, FeedPart::Book)?;
        let depth = params.depth.get();
        if let Some(book) = self.markets.book(stream, depth) {
            return answer(&book);
        }
        self.books_wanted.push(BookWanted {
            conn: index,
            id: id.to_owned(),
            stream,
            depth,
            asked_at: self.now,
        });
        Ok(Answer::Later)
    }

    pub(super) fn answer_books(&mut self) {
        let (now, request) = (self.now, self.config.limits.request);
        let mut answers = Vec::new();
        let markets = &self.markets;
        self.books_wanted.retain(|wanted| {
            let outcome = match markets.book(wanted.stream, wanted.depth) {
                Some(book) => serde_json::to_value(book)
                    .map_err(|error| ErrorBody::new(Code::InternalError, error.to_string())),
                None if now.since(wanted.asked_at) >= request => Err(ErrorBody::new(
                    Code::Timeout,
                    "there is no book to be believed",
                )),
                None => return true,
            };
            answers.push((wanted.conn, wanted.id.clone(), outcome));
            false
        });
        for (conn, id, outcome) in answers {
            self.late(conn, &id, outcome.as_ref());
        }
    }

    pub(super) fn orders_of(&self, project: &str) -> Vec<Order> {
        self.desks
            .each()
            .flat_map(|desk| desk.orders(project))
            .collect()
    }

    pub(super) fn positions_of(&self, project: &str) -> Vec<PositionOf> {
        self.desks
            .each()
            .flat_map(|desk| desk.positions(project))
            .collect()
    }

    pub(super) fn orders_list(&self, identity: &Identity, params: &OrdersList) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        let filter = Filter {
            venue: params.venue.as_deref(),
            market: params.market.as_deref(),
            symbol: params.symbol.as_deref(),
        };
        let mut orders = self.orders_of(&params.project_id);
        orders.retain(|order| {
            filter.takes(&order.venue, &order.market, &order.symbol)
                && (!params.open || !is_final(&order.status))
        });
        answer(&Orders { orders })
    }

    pub(super) fn orders_cancel(&mut self, identity: &Identity, params: &OrdersCancel) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        let now = self.now;
        let mut outcome = Err(Refusal::NoOrder);
        for desk in self.desks.all() {
            outcome = desk.cancel(&params.project_id, &params.client_order_id, now);
            if outcome != Err(Refusal::NoOrder) {
                break;
            }
        }
        outcome?;
        answer(&CancelsSent { requested: 1 })
    }

    pub(super) fn orders_cancel_all(
        &mut self,
        identity: &Identity,
        params: &OrdersCancelAll,
    ) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        let now = self.now;
        let filter = Filter {
            venue: params.venue.as_deref(),
            market: params.market.as_deref(),
            symbol: params.symbol.as_deref(),
        };
        let (mut requested, mut refusal) = (0, None);
        for desk in self.desks.all() {
            // One that can't is no reason to leave the others' orders.
            match desk.cancel_all(&params.project_id, filter, now) {
                Ok(count) => requested += count,
                Err(error) => refusal = Some(error),
            }
        }
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        answer(&CancelsSent { requested })
    }

    /// Cancels the open orders that a session's calls made.
    pub(super) fn cancel_orders_of(&mut self, session: &str) {
        let now = self.now;
        let calls = self.calls.values().filter(|held| {
            held.call.session_id == session && held.call.dispatch == Some(Dispatch::Sent)
        });
        let orders: Vec<(Mode, String, String)> = calls
            .map(|held| {
                let order = &held.call.order;
                let project = held.call.project_id.clone();
                (order.mode, project, order.client_order_id.clone())
            })
            .collect();
        for (mode, project, order) in orders {
            if let Some(desk) = self.desks.of(mode, &project)
                && let Err(error) = desk.cancel(&project, &order, now)
                && error != Refusal::NoOrder
            {
                tracing::warn!(session, order, %error, "an order was not cancelled");
            }
        }
    }

    pub(super) fn positions_list(&self, identity: &Identity, params: &PositionsList) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        let mut positions = self.positions_of(&params.project_id);
        positions.retain(|position| {
            params
                .venue
                .as_ref()
                .is_none_or(|venue| **venue == position.venue)
        });
        answer(&Positions { positions })
    }

    // The switch.

    pub(super) fn system_kill(&mut self, params: &SystemSwitch) -> Outcome {
        let now = self.now;
        let reason = params.reason.to_string();
        let statuses = self.statuses();
        self.halted = Some(reason.clone());
        self.store.put_entity("switch", "halted", &self.halted);
        let mut orders_cancelled = 0;
        for desk in self.desks.all() {
            orders_cancelled += desk.kill(&reason, now);
        }
        let approvals_cancelled = self.call_back(|_| true, CallState::Cancelled, "kill");
        let answering: Vec<String> = self.by_reply.values().cloned().collect();
        let mut messages_cancelled = 0;
        for session in answering {
            messages_cancelled += u32::from(self.cancel_answer(&session, "trading was halted"));
        }
        for (agent, was) in statuses {
            self.tell_agent(&agent, was, Some(&reason));
        }
        tracing::warn!(reason, "trading is halted");
        answer(&Killed {
            approvals_cancelled,
            messages_cancelled,
            orders_cancelled,
        })
    }

    pub(super) fn system_resume(&mut self, params: &SystemSwitch) -> Outcome {
        let now = self.now;
        let statuses = self.statuses();
        self.halted = None;
        self.store.put_entity("switch", "halted", &self.halted);
        for desk in self.desks.all() {
            desk.resume(now);
        }
        for (agent, was) in statuses {
            self.tell_agent(&agent, was, Some(&params.reason));
        }
        tracing::warn!(reason = %*params.reason, "trading goes on");
        answer(&Resumed {
            state: "running".to_owned(),
        })
    }

    fn statuses(&self) -> Vec<(String, AgentStatus)> {
        let names = self.crew.cards().map(|card| card.name.clone());
        names
            .map(|name| {
                let status = self.agent_status(&name);
                (name, status)
            })
            .collect()
    }

    fn state(&self) -> &'static str {
        if self.halted.is_some() {
            "halted"
        } else {
            "running"
        }
    }

    fn gauges(&self) -> [(&'static str, u64); 8] {
        [
            ("connections", self.connections() as u64),
            ("channels", self.hub.len() as u64),
            ("log_bytes", self.hub.bytes()),
            ("streams", self.markets.len() as u64),
            ("events_published", self.hub.published),
            ("events_merged", self.hub.merged),
            ("store_commits", self.store.commits),
            ("parts_unheard", self.crew.unheard()),
        ]
    }

    pub(super) fn system_stats(&self) -> Outcome {
        let mut counters = self.telemetry.counters();
        counters.extend(self.gauges().map(|(name, value)| (name.to_owned(), value)));
        let desks = self.desks.each().map(|desk| desk.stats());
        answer(&Stats {
            state: self.state().to_owned(),
            counters,
            turn: self.telemetry.turn(),
            request: self.telemetry.request(),
            desk: Value::Array(desks.collect()),
        })
    }

    /// `/metrics`
    pub(crate) fn metrics(&self) -> String {
        self.telemetry.prometheus(&self.gauges())
    }

    // What the desks tell.

    pub(super) fn hear_desks(&mut self) {
        let now = self.now;
        let mut heard = Vec::new();
        for (number, desk) in self.desks.all().enumerate() {
            for _ in 0..DESK_EVENTS_A_TURN {
                let Some(event) = desk.poll(now) else { break };
                heard.push((number, event));
            }
        }
        for (desk, event) in heard {
            match event {
                DeskEvent::Order { order, fill } => self.order_changed(order, fill),
                DeskEvent::Venue {
                    venue,
                    part,
                    state,
                    reason,
                } => self.venue_changed(venue, (desk, part), (state, reason)),
            }
        }
    }

    /// A part of a venue is otherwise than before: the worst of all parts is how the venue is.
    fn venue_changed(
        &mut self,
        venue: String,
        part: (usize, String),
        state: (VenueStatus, Option<String>),
    ) {
        let parts = self.venue_parts.entry(venue.clone()).or_default();
        parts.insert(part, state);
        let worst = parts.values().max_by_key(|(state, _)| *state as u8);
        let Some((state, reason)) = worst.cloned() else {
            return;
        };
        let told = self.venues.get(&venue);
        if told.is_some_and(|told| (told.state, &told.reason) == (state, &reason)) {
            return;
        }
        let event = VenueEvent {
            venue: venue.clone(),
            state,
            reason,
            since: self.now.as_millis(),
        };
        self.venues.insert(venue.clone(), event.clone());
        self.tell(&Channel::Venue(venue), &EventData::VenueState(event));
    }

    fn order_changed(&mut self, order: Order, fill: Option<Fill>) {
        let project = order.project_id.clone();
        if let Some(fill) = &fill {
            // The store's batch belongs to what is counted here.
            let last = self
                .store
                .commit()
                .and_then(|()| self.store.last_fill(&project));
            match last {
                Ok(last) => self.store.put(Write::Fill {
                    project: project.clone(),
                    number: last + 1,
                    json: serde_json::to_vec(fill).unwrap_or_default(),
                }),
                Err(error) => self.fatal = Some(error),
            }
        }
        let event = EventData::OrderUpdated(OrderEvent {
            order: order.clone(),
            fill: fill.clone(),
        });
        self.tell(&Channel::Orders(project), &event);
        if let Some(call) = self.by_order.get(&order.client_order_id).cloned() {
            self.set_result(&call, Some(order), fill, None);
        }
    }
}

/// Whether nothing more can happen to an order.
pub(super) fn is_final(status: &str) -> bool {
    matches!(status, "filled" | "canceled" | "rejected" | "expired")
}

//! What the venue says: answers to requests, and the account's own events.

use tickwire_orderbook::{Amount, Side};

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::governor::Governor;
use crate::instrument::Instrument;
use crate::order::{Balance, Fill, OrderUpdate, Position};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, LinkId, RequestId, Response};
use crate::wide::{Asked, WideBody};

use super::{
    Desk, For, Job, Listed, Names, PAGES_MAX, Page, Pending, REQUEST_BASE, Said, TIME_RETRY_NS,
    Way, not_sent, unknown,
};
use crate::trading::action::{OrderId, Reply, Ticket};
use crate::trading::dialect::{Dialect, Target, Told};
use crate::trading::tracker::{Effect, Tracked};

impl<D: Dialect> Desk<D> {
    /// A message came on one of the desk's links.
    pub fn handle_message(
        &mut self,
        now: Nanos,
        id: LinkId,
        payload: &mut [u8],
        (governor, names): (&Governor, &dyn Names),
        out: &mut Outbox,
    ) {
        let Some(role) = self.role_of(id) else { return };
        let mut said = core::mem::take(&mut self.said);
        self.dialect.read_text(role, payload, names, &mut said);
        for one in said.drain(..) {
            if let Said::Answer { key, result } = one {
                let index = match key {
                    Some(key) => self.pending.iter().position(|one| one.key == key),
                    None => self.pending.iter().position(|one| {
                        one.job == Job::Heartbeat(role) || one.job.prelude_of() == Some(role)
                    }),
                };
                if let Some(index) = index {
                    let pending = self.pending.remove(index);
                    self.finish(now, pending, result, names, out);
                } else if let Err(error) = result {
                    // Not of a request of ours, or of one that was given up: somebody should see it.
                    self.notice(None, &error, now, out);
                }
            } else {
                self.hear(now, one, id, (governor, names), out);
            }
        }
        self.said = said;
        self.go_on(now, out);
        self.check_clock(now);
    }

    fn check_clock(&mut self, now: Nanos) {
        if self.time.synced_at().is_some() && self.time.alarm(self.rules.tolerance) {
            self.ask_time(now);
        }
    }

    /// The answer to one of the desk's HTTP requests; false where it is none of them.
    pub fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        governor: &Governor,
        names: &dyn Names,
        out: &mut Outbox,
    ) -> bool {
        if id.0 & REQUEST_BASE == 0 {
            return false;
        }
        let key = id.0 & !REQUEST_BASE;
        let Some(index) = self.pending.iter().position(|one| one.key == key) else {
            return true;
        };
        let pending = self.pending.remove(index);
        let result = match response {
            Ok(response) => {
                let mut said = core::mem::take(&mut self.said);
                let (status, pause) = (response.status, retry_after(&response));
                let result = self
                    .dialect
                    .read_response(&pending.job, response, names, &mut said);
                for one in said.drain(..) {
                    self.hear(now, one, LinkId(u16::MAX), (governor, names), out);
                }
                self.said = said;
                if matches!(status, 429 | 418 | 403) {
                    let until = governor.note_ban(now, status, pause);
                    self.limits.note_closed(until);
                } else if status < 500 {
                    governor.note_success();
                } else {
                    governor.note_failure(now);
                }
                result
            }
            Err(failure) => {
                governor.note_failure(now);
                Err(match failure.sent {
                    true => unknown(ErrorKind::Disconnected, &failure.to_string()),
                    false => not_sent(ErrorKind::Disconnected, 500, &failure.to_string()),
                })
            }
        };
        self.finish(now, pending, result, names, out);
        self.go_on(now, out);
        true
    }

    /// Instrument data that a command asked for; false where it was not the desk's.
    pub fn handle_instruments(
        &mut self,
        id: RequestId,
        instruments: &Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) -> bool {
        if id.0 & REQUEST_BASE == 0 {
            return false;
        }
        let key = id.0 & !REQUEST_BASE;
        if let Some(index) = self.pending.iter().position(|one| one.key == key) {
            let pending = self.pending.remove(index);
            if let For::Asker(ticket) = pending.purpose {
                let reply = instruments.clone().map(Reply::Instruments);
                self.answer(ticket, reply, out);
            }
        }
        true
    }

    /// What is not an answer.
    fn hear(
        &mut self,
        now: Nanos,
        said: Said,
        link: LinkId,
        (governor, names): (&Governor, &dyn Names),
        out: &mut Outbox,
    ) {
        match said {
            Said::Order(order) => {
                self.stamp(now, order.exch_ns);
                self.hear_order(now, now, &order, names, out);
            }
            Said::Fill(fill) => {
                self.stamp(now, fill.exch_ns);
                self.hear_fill(now, &fill, names, out);
            }
            Said::Balance(balance) => {
                self.stamp(now, balance.exch_ns);
                self.hear_balance(now, &balance, true, out);
            }
            Said::Position(position) => {
                self.stamp(now, position.exch_ns);
                self.hear_position(now, &position, names, true, out);
            }
            Said::Used { index, used } => self.limits.note_used(now, index, used),
            Said::Limit { index, window } => self.limits.note_limit(index, window),
            Said::Clock(at) => self.stamp(now, at),
            Said::WantsHeartbeat => {
                if let Some(role) = self.role_of(link) {
                    self.push(now, Job::Heartbeat(role), For::Upkeep);
                }
            }
            Said::Weight(used) => governor.note_used(now, used),
            Said::ListenKeyGone => {
                self.listen_key.clear();
                self.listen_key_at = now;
            }
            Said::Ending(why) => {
                if self.has_link(link) {
                    let transmit = crate::Transmit::Reconnect { link, why };
                    self.control.push_back(transmit);
                }
            }
            Said::Answer { .. } | Said::Nothing => {}
        }
    }

    fn stamp(&mut self, now: Nanos, exch_ns: Nanos) {
        if exch_ns != Nanos::ZERO {
            self.time.note_event(now, exch_ns);
        }
    }

    /// An order as it was at `as_of` or later.
    fn hear_order(
        &mut self,
        now: Nanos,
        as_of: Nanos,
        said: &OrderUpdate,
        names: &dyn Names,
        out: &mut Outbox,
    ) {
        self.note_instrument(&said.instrument.symbol, names);
        if let Some(order) = self.tracker.report(as_of, said) {
            self.publish_order(&order, now, out);
        }
    }

    /// Which instrument a unified name is: look-ups need the venue's writing of it.
    fn note_instrument(&mut self, unified: &str, names: &dyn Names) {
        if self.holdings.iter().all(|held| held.symbol != *unified)
            && let Some(instrument) = names.instrument(unified)
        {
            self.holding(&instrument);
        }
    }

    fn hear_fill(&mut self, now: Nanos, fill: &Fill, names: &dyn Names, out: &mut Outbox) {
        self.note_instrument(&fill.instrument.symbol, names);
        let Some(filled) = self.tracker.fill(fill) else {
            return;
        };
        let times = Times {
            exch_ns: fill.exch_ns,
            recv_ns: now,
        };
        let symbol = fill.instrument.symbol;
        self.publish(Some(&symbol), WideBody::Fill(filled.fill), times, out);
        if let Some(order) = filled.order {
            self.publish_order(&order, now, out);
        }
        if filled.effect != Effect::Nothing && !self.dialect.tells_balances() {
            self.ask_balances(now);
        }
        let sign = match (filled.effect, fill.side) {
            (Effect::Nothing, _) => return,
            (Effect::Adds, Side::Bid) | (Effect::TakesBack, Side::Ask) => Side::Bid,
            (Effect::Adds, Side::Ask) | (Effect::TakesBack, Side::Bid) => Side::Ask,
        };
        if !self.rules.has_positions
            && let Some(held) = self.holdings.iter_mut().find(|held| held.symbol == symbol)
        {
            let qty = Amount::new(i128::from(fill.qty.mantissa()), fill.qty.scale().get());
            let net = qty.and_then(|qty| match sign {
                Side::Bid => held.net.checked_add(qty),
                Side::Ask => held.net.checked_sub(qty),
            });
            held.net = net.unwrap_or(held.net);
        }
    }

    /// `live`: the stream said it. What an answer says may be older than what the stream has said since.
    fn hear_balance(&mut self, now: Nanos, balance: &Balance, live: bool, out: &mut Outbox) {
        let mut held = self.balances.iter();
        let found = held.position(|held| held.currency == balance.currency);
        let index = found.unwrap_or(self.balances.len());
        match (live, self.fresher.0.contains(&index)) {
            (true, false) => self.fresher.0.push(index),
            (false, true) => return,
            _ => {}
        }
        let same =
            |held: &Balance| held.total == balance.total && held.available == balance.available;
        let is_known = self.balances.get(index).is_some_and(same);
        match self.balances.get_mut(index) {
            Some(held) => *held = *balance,
            None => self.balances.push(*balance),
        }
        if !is_known {
            let times = Times {
                exch_ns: balance.exch_ns,
                recv_ns: now,
            };
            self.publish(None, WideBody::Balance(*balance), times, out);
        }
    }

    /// A list of all balances: what it does not name is zero.
    fn hear_balances(&mut self, now: Nanos, balances: &[Balance], out: &mut Outbox) {
        for balance in balances {
            self.hear_balance(now, balance, false, out);
        }
        for index in 0..self.balances.len() {
            let held = self.balances[index];
            let is_named = balances.iter().any(|one| one.currency == held.currency);
            if !is_named && !held.total.is_zero() {
                let none = Balance {
                    total: Amount::ZERO,
                    available: Amount::ZERO,
                    ..held
                };
                self.hear_balance(now, &none, false, out);
            }
        }
    }

    fn hear_position(
        &mut self,
        now: Nanos,
        position: &Position,
        names: &dyn Names,
        live: bool,
        out: &mut Outbox,
    ) {
        self.note_instrument(&position.instrument.symbol, names);
        let symbol = position.instrument.symbol;
        let Some(index) = self.holdings.iter().position(|held| held.symbol == symbol) else {
            return;
        };
        match (live, self.fresher.1.contains(&index)) {
            (true, false) => self.fresher.1.push(index),
            (false, true) => return,
            _ => {}
        }
        let held = &mut self.holdings[index];
        let is_known = held.told.is_some_and(|told| {
            (told.qty, told.price_mean, told.unrealized)
                == (position.qty, position.price_mean, position.unrealized)
        });
        held.net = position.qty;
        held.told = Some(*position);
        if !is_known {
            let times = Times {
                exch_ns: position.exch_ns,
                recv_ns: now,
            };
            self.publish(Some(&symbol), WideBody::Position(*position), times, out);
        }
    }

    fn hear_positions(
        &mut self,
        now: Nanos,
        positions: &[Position],
        names: &dyn Names,
        out: &mut Outbox,
    ) {
        for position in positions {
            self.hear_position(now, position, names, false, out);
        }
        for index in 0..self.holdings.len() {
            let held = self.holdings[index];
            let is_named = positions
                .iter()
                .any(|one| one.instrument.symbol == held.symbol);
            if let Some(told) = held.told.filter(|told| !is_named && !told.qty.is_zero()) {
                let none = Position {
                    qty: Amount::ZERO,
                    price_mean: None,
                    unrealized: None,
                    ..told
                };
                self.hear_position(now, &none, names, false, out);
            }
        }
    }

    /// A request has its end.
    pub(super) fn finish(
        &mut self,
        now: Nanos,
        pending: Pending,
        result: Result<Told, Error>,
        names: &dyn Names,
        out: &mut Outbox,
    ) {
        match result {
            Ok(told) => self.succeed(now, pending, told, names, out),
            Err(error) => {
                if error.kind == ErrorKind::ClockSkew {
                    self.ask_time(now);
                }
                self.fail(now, pending, error, out);
            }
        }
    }

    fn succeed(
        &mut self,
        now: Nanos,
        pending: Pending,
        told: Told,
        names: &dyn Names,
        out: &mut Outbox,
    ) {
        let Pending {
            job,
            purpose,
            sent_at,
            mut listed,
            ..
        } = pending;
        if let Some(role) = job.prelude_of() {
            if let Told::LoggedIn { life_ns } = told {
                self.logged_in(now, role, life_ns);
            }
            return self.told(now, role, out);
        }
        if matches!(job, Job::Place(..)) {
            self.urgent.append(&mut self.behind);
        }
        let as_of = sent_at.unwrap_or(now);
        let reply = match (job, told) {
            (job, Told::Further) => {
                self.push(now, job.further(), purpose);
                return;
            }
            (Job::ListenKey | Job::KeepListenKey, Told::ListenKey(key)) => {
                self.listen_key_answered(now, Some(key));
                return;
            }
            (Job::KeepListenKey, _) => {
                self.listen_key_answered(now, Some(self.listen_key.clone()));
                return;
            }
            (Job::ServerTime, Told::Time(server_ns)) => {
                self.time.note_answer(as_of, now, server_ns);
                if purpose == For::Upkeep {
                    self.time_answered(now, true);
                }
                Reply::Time {
                    server_ns,
                    offset_ns: self.time.offset(),
                }
            }
            (Job::Place(request, _), Told::Accepted { venue }) => {
                let id = request.client_order_id;
                if let Some(order) = self.tracker.accepted(&id, &venue) {
                    self.publish_order(&order, now, out);
                }
                self.known(&OrderId::Client(id))
            }
            (Job::Place(..) | Job::Cancel(_) | Job::Amend { .. }, Told::Order(order)) => {
                self.hear_order(now, as_of, &order, names, out);
                self.known(&id_of(&order))
            }
            (Job::Cancel(target), _) | (Job::Amend { target, .. }, _) => {
                self.known(&id_of_target(&target))
            }
            (Job::Lookup(target), Told::Order(order)) => {
                let id = id_of(&order);
                let (client, venue) = (&target.client, &target.venue);
                let is_decided = !self.is_cancel_under_way(&target);
                if is_decided {
                    self.tracker.looked_up(client, venue);
                } else {
                    // What the cancel comes to is not in this answer: ask again, if the order stands.
                    self.tracker.lookup_failed(now, client, venue);
                }
                self.hear_order(now, as_of, &order, names, out);
                // A cancel without an answer has not come to anything, if the order stands.
                if is_decided && let Some(order) = self.tracker.cancel_failed(&id) {
                    self.publish_order(&order, now, out);
                }
                self.known(&id)
            }
            (Job::OpenOrders(only, page), Told::Orders(orders, more)) => {
                for order in &orders {
                    self.hear_order(now, as_of, order, names, out);
                }
                listed.add_orders(orders);
                if more {
                    let job = Job::OpenOrders(only, page.next());
                    return self.ask_on(now, page, job, (purpose, listed), out);
                }
                let orders = listed.orders;
                if purpose == For::Need(super::Need::OpenOrders) {
                    self.tracker.doubt_absent(now, &orders);
                }
                Reply::Orders(orders)
            }
            (
                Job::Fills {
                    symbol,
                    since,
                    page,
                },
                Told::Fills(fills, more),
            ) => {
                for fill in &fills {
                    if self.is_to_tell(fill) {
                        self.hear_fill(now, fill, names, out);
                    }
                }
                if more {
                    let page = page.saturating_add(1);
                    let job = Job::Fills {
                        symbol,
                        since,
                        page,
                    };
                    self.push(now, job, purpose);
                    return;
                }
                Reply::Done
            }
            (Job::Balances, Told::Balances(balances)) => {
                self.hear_balances(now, &balances, out);
                Reply::Balances(balances)
            }
            (Job::Positions(page), Told::Positions(mut positions, more)) => {
                listed.positions.append(&mut positions);
                if more {
                    let job = Job::Positions(page.next());
                    return self.ask_on(now, page, job, (purpose, listed), out);
                }
                let positions = listed.positions;
                self.hear_positions(now, &positions, names, out);
                Reply::Positions(positions)
            }
            _ => Reply::Done,
        };
        match purpose {
            For::Asker(ticket) => self.answer(ticket, Ok(reply), out),
            For::Need(need) => self.reconcile.done(need),
            For::Part(ticket) => self.part_done(now, ticket, None, out),
            For::Upkeep => {}
        }
    }

    /// Asks for the page behind this one, keeping what was told so far. A list without an end is followed
    /// so far only.
    fn ask_on(
        &mut self,
        now: Nanos,
        page: Page,
        next: Job,
        (purpose, listed): (For, Listed),
        out: &mut Outbox,
    ) {
        if page.number < PAGES_MAX {
            self.push(now, next, purpose);
            if let Some(pending) = self.pending.last_mut() {
                pending.listed = listed;
            }
            return;
        }
        let text = "the venue's list has no end";
        let error = Error::venue(ErrorKind::BadResponse, Next::AfterResync, None, text);
        match purpose {
            For::Asker(ticket) => self.answer(ticket, Err(error), out),
            For::Need(need) => self.reconcile.failed(now, need),
            For::Part(_) | For::Upkeep => {}
        }
    }

    /// Whether a listed trade is of an order of this run, or happened in its time: any other was told
    /// before it, to somebody else.
    fn is_to_tell(&self, fill: &Fill) -> bool {
        let order = self.tracker.find(&OrderId::Venue(fill.venue_order_id));
        order.is_some_and(Tracked::is_ours) || fill.exch_ns >= self.born
    }

    /// Whether a cancel of the order waits for its answer.
    fn is_cancel_under_way(&self, target: &Target) -> bool {
        self.pending.iter().any(|pending| match &pending.job {
            Job::Cancel(of) => {
                (!of.client.is_empty() && of.client == target.client)
                    || (!of.venue.is_empty() && of.venue == target.venue)
            }
            Job::CancelAll { symbol, .. } => *symbol == target.symbol,
            _ => false,
        })
    }

    /// The order as it is known now.
    fn known(&self, id: &OrderId) -> Reply {
        match self.tracker.find(id) {
            Some(order) => Reply::Order(Box::new(order.update())),
            None => Reply::Done,
        }
    }

    pub(super) fn fail(&mut self, now: Nanos, pending: Pending, error: Error, out: &mut Outbox) {
        let Pending {
            job, purpose, way, ..
        } = pending;
        if let Some(role) = job.prelude_of() {
            self.notice(None, &error, now, out);
            let is_needed = job != Job::Login(role) || !self.is_still_logged_in(now, role);
            if matches!(job, Job::Login(_)) {
                // A signature is over the time, and not every venue says that it was that.
                self.ask_time(now);
            }
            // One by HTTP may get no answer while the link lives.
            if (error.outcome == Outcome::Rejected || way == Way::Http) && is_needed {
                self.told_off(role, "the venue refused the log-in");
            }
            return;
        }
        match job {
            Job::ListenKey | Job::KeepListenKey => {
                self.notice(None, &error, now, out);
                self.listen_key_answered(now, None);
                return;
            }
            Job::ServerTime if purpose == For::Upkeep => return self.time_answered(now, false),
            Job::Heartbeat(_) => return,
            Job::DeadMan => {
                self.dead_man_at = self.dead_man_at.min(now + TIME_RETRY_NS);
                return self.notice(None, &error, now, out);
            }
            Job::Place(request, _) => {
                self.urgent.append(&mut self.behind);
                return self.place_failed(now, purpose, &request.client_order_id, error, out);
            }
            Job::Cancel(target) => self.cancel_failed(now, &target, &error, out),
            // It may have been changed.
            Job::Amend { target, .. } if error.outcome == Outcome::Unknown => {
                self.tracker.doubt(now, &id_of_target(&target));
            }
            Job::CancelAll { symbol, .. } => {
                self.cancel_all_failed(now, symbol.as_str(), &error, out);
            }
            Job::Lookup(target) => self.lookup_failed(now, &target, &error, out),
            _ => {}
        }
        match purpose {
            For::Asker(ticket) => self.fail_asker(now, ticket, &job, error, out),
            For::Need(need) => self.reconcile.failed(now, need),
            For::Part(ticket) => self.part_done(now, ticket, Some(error), out),
            For::Upkeep => {}
        }
    }

    fn fail_asker(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        job: &Job,
        error: Error,
        out: &mut Outbox,
    ) {
        let (asked, target) = match job {
            Job::Cancel(target) => (Asked::Cancel, target),
            Job::Amend { target, .. } => (Asked::Amend, target),
            _ => return self.answer(ticket, Err(error), out),
        };
        let id = id_of_target(target);
        let order = self.tracker.find(&id).map(|order| order.update());
        let symbol = order.map(|order| order.instrument.symbol);
        self.tell_refusal(now, ticket, (asked, Some(id), symbol), error, out);
    }

    fn place_failed(
        &mut self,
        now: Nanos,
        purpose: For,
        id: &crate::order::ClientOrderId,
        error: Error,
        out: &mut Outbox,
    ) {
        let For::Asker(ticket) = purpose else { return };
        // The id is taken: by an order of ours that nobody told us of, perhaps this one.
        let is_unknown =
            error.outcome == Outcome::Unknown || error.kind == ErrorKind::DuplicateOrderId;
        let known = self.tracker.find(&OrderId::Client(*id));
        let symbol = known.map(|known| known.update().instrument.symbol);
        if is_unknown {
            if let Some(order) = self.tracker.lost(now, id) {
                self.publish_order(&order, now, out);
            }
        } else if let Some(order) = self.tracker.rejected(id) {
            self.publish_order(&order, now, out);
        }
        let asked = (Asked::Place, Some(OrderId::Client(*id)), symbol);
        self.tell_refusal(now, ticket, asked, error, out);
        self.go_on(now, out);
    }

    fn cancel_failed(&mut self, now: Nanos, target: &Target, error: &Error, out: &mut Outbox) {
        let id = id_of_target(target);
        // Where nobody knows, or the venue does not know the order, it is asked what became of it.
        if error.outcome == Outcome::Unknown || error.kind == ErrorKind::OrderNotFound {
            self.tracker.doubt(now, &id);
        }
        if error.outcome != Outcome::Unknown
            && let Some(order) = self.tracker.cancel_failed(&id)
        {
            self.publish_order(&order, now, out);
        }
    }

    fn cancel_all_failed(&mut self, now: Nanos, symbol: &str, error: &Error, out: &mut Outbox) {
        let open = self.tracker.open().map(|order| order.update());
        let of_symbol =
            open.filter(|order| *self.venue_symbol(&order.instrument.symbol) == *symbol);
        let ids: Vec<OrderId> = of_symbol.map(|order| id_of(&order)).collect();
        for id in ids {
            if error.outcome == Outcome::Unknown || error.kind == ErrorKind::OrderNotFound {
                self.tracker.doubt(now, &id);
            } else if let Some(order) = self.tracker.cancel_failed(&id) {
                self.publish_order(&order, now, out);
            }
        }
    }

    fn lookup_failed(&mut self, now: Nanos, target: &Target, error: &Error, out: &mut Outbox) {
        let (client, venue) = (&target.client, &target.venue);
        if error.kind != ErrorKind::OrderNotFound {
            self.tracker.lookup_failed(now, client, venue);
            return;
        }
        let life = self.rules.request_life_ns;
        if let Some(order) = self.tracker.not_found(now, life, client, venue) {
            self.publish_order(&order, now, out);
        }
    }

    /// Whether a request travels by HTTP, for who counts them.
    pub fn http_in_flight(&self) -> usize {
        let by_http = |one: &&Pending| one.way == Way::Http && one.sent_at.is_some();
        self.pending.iter().filter(by_http).count()
    }
}

fn id_of(order: &OrderUpdate) -> OrderId {
    if order.venue_order_id.is_empty() {
        OrderId::Client(order.client_order_id)
    } else {
        OrderId::Venue(order.venue_order_id)
    }
}

fn id_of_target(target: &Target) -> OrderId {
    if target.client.is_empty() {
        OrderId::Venue(target.venue)
    } else {
        OrderId::Client(target.client)
    }
}

fn retry_after(response: &Response<'_>) -> Option<Nanos> {
    let seconds: i64 = response.header("retry-after")?.trim().parse().ok()?;
    Some(Nanos::from_secs(seconds.max(0)))
}

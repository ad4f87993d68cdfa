//! A desk's place in its connector: what the engine tells of the desk's streams, links and requests goes to
//! the desk, at every venue alike.

use super::{Desk, Dialect, Sight, is_request};
use crate::command::Command;
use crate::error::{Error, ErrorKind};
use crate::event::StreamId;
use crate::governor::Governor;
use crate::instrument::Instrument;
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

/// A connector beside whose market data an account may trade. What is not the desk's is given back as
/// false, and is the connector's own.
pub(crate) trait Seat {
    /// The venue's words about orders.
    type Orders: Dialect;

    /// The desk, where there is an account.
    fn desk(&self) -> Option<&Desk<Self::Orders>>;

    /// Does something with the desk, where there is one, in sight of the market data.
    fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<Self::Orders>, &Governor, &dyn Sight) -> T,
    ) -> Option<T>;

    #[inline]
    fn is_of_desk(&self, stream: StreamId) -> bool {
        self.desk().is_some_and(|desk| desk.has(stream))
    }

    #[inline]
    fn is_link_of_desk(&self, link: LinkId) -> bool {
        self.desk().is_some_and(|desk| desk.has_link(link))
    }

    #[inline]
    fn desk_deadline(&self) -> Nanos {
        self.desk().map_or(Nanos::MAX, Desk::deadline)
    }

    fn command_desk(&mut self, now: Nanos, command: &Command, out: &mut Outbox) -> bool {
        let id = command.stream();
        if !self.is_of_desk(id) {
            return false;
        }
        self.with_desk(|desk, _, _| match command {
            Command::Unsubscribe { .. } => desk.unsubscribe(now, id, out),
            Command::Republish { .. } => desk.republish(now, id, out),
            _ => {}
        });
        true
    }

    /// Without a desk it says so.
    fn act_at_desk(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        let did = self.with_desk(|desk, _, sight| {
            desk.handle_action(now, ticket, action, sight, out);
        });
        if did.is_none() {
            let text =
                "this connector was made without an account: its config has a field `trading`";
            let result = Err(Error::ours(ErrorKind::Authentication, text));
            out.push_answer(Answer { ticket, result });
        }
    }

    fn link_desk(
        &mut self,
        now: Nanos,
        link: LinkId,
        change: &LinkChange,
        out: &mut Outbox,
    ) -> bool {
        if !self.is_link_of_desk(link) {
            return false;
        }
        self.with_desk(|desk, _, _| match change {
            LinkChange::Up { .. } => desk.handle_up(now, link, out),
            LinkChange::Down { .. } => desk.handle_down(now, link, out),
        });
        true
    }

    #[inline]
    fn message_desk(
        &mut self,
        now: Nanos,
        link: LinkId,
        payload: &mut [u8],
        out: &mut Outbox,
    ) -> bool {
        if !self.is_link_of_desk(link) {
            return false;
        }
        self.with_desk(|desk, governor, sight| {
            desk.handle_message(now, link, payload, (governor, sight), out);
        });
        true
    }

    /// The answer to a request of the desk's: [`is_request`] tells whose one is.
    fn respond_desk(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        debug_assert!(is_request(id));
        self.with_desk(|desk, governor, sight| {
            desk.handle_response(now, id, response, governor, sight, out);
        });
    }

    /// Instruments that the desk has asked for: they are to be remembered.
    fn instruments_desk(
        &mut self,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) -> Vec<Instrument> {
        self.with_desk(|desk, _, _| desk.handle_instruments(id, &instruments, out));
        instruments.unwrap_or_default()
    }

    fn timeout_desk(&mut self, now: Nanos, out: &mut Outbox) {
        if self.desk_deadline() <= now {
            self.with_desk(|desk, _, sight| desk.handle_timeout(now, sight, out));
        }
    }

    fn poll_desk(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let next = self.with_desk(|desk, governor, _| desk.poll_transmit(now, governor, body));
        next.flatten()
    }

    #[inline]
    fn desk_has_transmit(&self) -> bool {
        self.desk().is_some_and(Desk::has_transmit)
    }
}

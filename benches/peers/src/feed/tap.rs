//! A connector that writes down what it is called with.

use std::sync::{Arc, Mutex, PoisonError};

use tickwire_connectors::connector::{BookView, Counters, InstrumentReader, SymbolRule};
use tickwire_connectors::transmit::{
    HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit,
};
use tickwire_connectors::{
    AnyConnector, Command, Connector, Error, Instrument, Market, Nanos, Outbox, StreamId, Venue,
};

use super::{Call, Message, Step, extend, kind_of, topic_of};

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) steps: Vec<Step>,
    pub(super) messages: Vec<Message>,
}

impl Log {
    fn message(&mut self, message: Message) {
        extend(&mut self.steps, self.messages.len());
        self.messages.push(message);
    }
}

/// What a tap writes to, and whoever made it reads.
pub(super) type Shared = Arc<Mutex<Log>>;

/// A connector that writes down what it is called with.
pub(super) struct Tap {
    index: usize,
    inner: AnyConnector,
    /// The targets of requests under way.
    targets: Vec<(RequestId, String)>,
    log: Shared,
}

/// What was written.
pub(super) fn take(log: &Shared) -> Log {
    std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Tap {
    pub(super) fn new(index: usize, inner: AnyConnector, log: &Shared) -> Tap {
        Tap {
            index,
            inner,
            targets: Vec::new(),
            log: Arc::clone(log),
        }
    }

    /// A message that the recording does not hold.
    pub(super) fn add(&mut self, now: Nanos, link: LinkId, text: &str, out: &mut Outbox) {
        let text = text.as_bytes().to_vec();
        self.call(now, Call::Other(link, text.clone()));
        self.inner.handle_message(now, link, &mut { text }, out);
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, now: Nanos, call: Call) {
        self.log().steps.push(Step::Call(self.index, now, call));
    }
}

impl Connector for Tap {
    fn venue(&self) -> Venue {
        self.inner.venue()
    }

    fn market(&self) -> Market {
        self.inner.market()
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        self.call(now, Call::Command(command));
        self.inner.handle_command(now, command, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        self.call(now, Call::Link(link, change.clone()));
        self.inner.handle_link(now, link, change, out);
    }

    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        let text = payload.to_vec();
        let venue = self.inner.venue();
        match kind_of(venue, payload) {
            Some(kind) => self.log().message(Message {
                connector: self.index,
                link,
                now,
                kind,
                text,
            }),
            // A stream that is not hot has no part in any book: it would only have the clock read, and tickwire's
            // caches filled, between few messages each.
            None if topic_of(venue, payload).is_some() => {}
            None => self.call(now, Call::Other(link, text)),
        }
        self.inner.handle_message(now, link, payload, out);
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let known = self.targets.iter().position(|(known, _)| *known == id);
        let target = known.map_or_else(String::new, |at| self.targets.swap_remove(at).1);
        let body = match &response {
            Ok(response) => Ok(response.body.to_vec()),
            Err(failure) => Err(failure.clone()),
        };
        self.call(now, Call::Answer(id, body, target));
        self.inner.handle_response(now, id, response, out);
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        self.call(now, Call::Instruments(id, instruments.clone()));
        self.inner.handle_instruments(now, id, instruments, out);
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.inner.handle_timeout(now, out);
    }

    fn poll_timeout(&self) -> Option<Nanos> {
        self.inner.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.inner.poll_transmit(now, body);
        if let Some(Transmit::Http(request)) = &transmit {
            self.targets.push((request.id, request.target.to_string()));
        }
        transmit
    }

    fn has_transmit(&self) -> bool {
        self.inner.has_transmit()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        self.inner.book(stream)
    }

    fn instrument_reader(&self) -> InstrumentReader {
        self.inner.instrument_reader()
    }

    fn symbol_rule(&self) -> SymbolRule {
        self.inner.symbol_rule()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

//! REST on the loop: a pool of kept-alive HTTP/1.1 connections, one request at a time on each.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::ClientConfig;
use tickwire_connectors::transmit::{
    DownReason, Endpoint, HttpFailure, HttpRequest, Method, ReadOn,
};
use tickwire_connectors::{Nanos, RequestId};

use crate::hosts::{Attempt, Held, HostId, Hosts};
use crate::net::{Net, Token};
use crate::stream::{Buffers, Drained, SecureStream};
use crate::wire::TxBuffer;
use crate::wire::http::{self, HeadLimits, Request, ResponseLimits, ResponseParser, authority};

/// Connections to one host. REST serves snapshots here, and four in parallel use up any venue's
/// weight within seconds.
const CONNECTIONS_MAX: usize = 4;

/// Requests that may wait for a connection: 5,000 instruments that all want their snapshot.
const WAITING_MAX: usize = 8_192;

/// An idle connection is closed after this long; venues keep theirs for about a minute.
const IDLE_MAX: Nanos = Nanos::from_secs(45);

/// Room for a request that is not yet encrypted.
const REQUEST_BYTES: usize = 64 << 10;

/// A request that has its outcome.
pub(crate) struct Finished {
    pub(crate) id: RequestId,
    pub(crate) read_on: ReadOn,
    pub(crate) outcome: Result<Answer, HttpFailure>,
}

/// A whole response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

struct Job {
    request: HttpRequest,
    body: Vec<u8>,
    deadline: Nanos,
    /// It has been sent once on a connection that turned out to be closed already.
    retried: bool,
}

enum Phase {
    Connecting,
    Idle { since: Nanos },
    Busy { job: Box<Job>, sent: bool },
}

struct Connection {
    token: Token,
    /// Index of its host.
    host: usize,
    endpoint: Endpoint,
    phase: Phase,
    stream: Option<SecureStream>,
    parser: ResponseParser,
    request: TxBuffer,
    /// Responses that came over it.
    served: u64,
    opened: Nanos,
    /// Some of the answer to the present request has come.
    answered: bool,
    maybe_readable: bool,
}

/// Requests to one host that wait for a connection.
struct Host {
    endpoint: Endpoint,
    waiting: VecDeque<Job>,
    /// A connection could not be made: beside those that there are, no other is tried before this.
    retry_at: Nanos,
    /// The last connection could not be made, or ended before it served.
    is_failing: bool,
    /// Known to the engine as, once it has been asked.
    id: Option<HostId>,
    /// No connection may be opened before this; `MAX` where none is wanted just now.
    held_until: Nanos,
}

/// The pool of one venue. Every request that is submitted gets one outcome.
pub(crate) struct HttpPool {
    connections: Vec<Option<Connection>>,
    /// A venue has one or two.
    hosts: Vec<Host>,
    /// No waiting request's deadline is before this.
    waiting_deadline: Nanos,
    finished: VecDeque<Finished>,
}

/// The time a connection may take to stand.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(10);

/// Between a connection that could not be made and the next try, while others are there.
const RETRY_WAIT: Nanos = Nanos::from_secs(1);

impl HttpPool {
    pub(crate) fn new() -> HttpPool {
        HttpPool {
            connections: Vec::new(),
            hosts: Vec::new(),
            waiting_deadline: Nanos::MAX,
            finished: VecDeque::new(),
        }
    }

    /// How many outcomes wait to be taken.
    #[inline]
    pub(crate) fn finished(&self) -> usize {
        self.finished.len()
    }

    /// The next outcome.
    pub(crate) fn pop_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Takes a request. It goes out in [`HttpPool::dispatch`].
    pub(crate) fn submit(&mut self, request: HttpRequest, body: Vec<u8>, now: Nanos) {
        let deadline = now + request.timeout_ns;
        let job = Job {
            request,
            body,
            deadline,
            retried: false,
        };
        if self
            .hosts
            .iter()
            .map(|host| host.waiting.len())
            .sum::<usize>()
            >= WAITING_MAX
        {
            self.finished
                .push_back(failed(&job, "too many requests are waiting", false));
            return;
        }
        self.waiting_deadline = self.waiting_deadline.min(deadline);
        let host = self.host(&job.request.endpoint);
        self.hosts[host].waiting.push_back(job);
    }

    fn host(&mut self, endpoint: &Endpoint) -> usize {
        if let Some(known) = self
            .hosts
            .iter()
            .position(|host| host.endpoint == *endpoint)
        {
            return known;
        }
        self.hosts.push(Host {
            endpoint: endpoint.clone(),
            waiting: VecDeque::new(),
            retry_at: Nanos::ZERO,
            is_failing: false,
            id: None,
            held_until: Nanos::MAX,
        });
        self.hosts.len() - 1
    }

    /// Gives waiting requests to connections, opening new ones; `opened` is called for each.
    pub(crate) fn dispatch(
        &mut self,
        net: &mut impl Net,
        hosts: &mut Hosts,
        now: Nanos,
        mut opened: impl FnMut(usize, Token),
    ) {
        for host in 0..self.hosts.len() {
            let was_held = core::mem::replace(&mut self.hosts[host].held_until, Nanos::MAX);
            while !self.hosts[host].waiting.is_empty() {
                if let Some(index) = self.idle(host) {
                    self.start(index, net, now);
                } else if self.may_open(host, now) {
                    if self.is_held(host, hosts, now, was_held) {
                        break;
                    }
                    let (index, token) = self.open(host, net, now);
                    opened(index, token);
                } else {
                    break;
                }
            }
        }
    }

    /// Asks for the right to connect. Requests wait until it is given, or fail at their deadline.
    fn is_held(&mut self, host: usize, hosts: &mut Hosts, now: Nanos, was_held: Nanos) -> bool {
        let host = &mut self.hosts[host];
        let id = *host
            .id
            .get_or_insert_with(|| hosts.id(&host.endpoint, None));
        let kind = if host.is_failing {
            Attempt::Again
        } else {
            Attempt::Fresh
        };
        match hosts.attempt(id, now, kind) {
            Ok(()) => false,
            Err(Held { until, .. }) => {
                host.held_until = until;
                if was_held == Nanos::MAX {
                    hosts.count_held(id);
                }
                true
            }
        }
    }

    fn may_open(&self, host: usize, now: Nanos) -> bool {
        let all = self.count(host, |_| true);
        let connecting = self.count(host, |phase| matches!(phase, Phase::Connecting));
        let Host {
            waiting, retry_at, ..
        } = &self.hosts[host];
        all == 0 || (all < CONNECTIONS_MAX && connecting < waiting.len() && now >= *retry_at)
    }

    fn count(&self, host: usize, which: impl Fn(&Phase) -> bool) -> usize {
        let connections = self.connections.iter().flatten();
        connections
            .filter(|one| one.host == host && which(&one.phase))
            .count()
    }

    fn idle(&self, host: usize) -> Option<usize> {
        self.connections.iter().position(|slot| {
            slot.as_ref()
                .is_some_and(|one| one.host == host && matches!(one.phase, Phase::Idle { .. }))
        })
    }

    fn open(&mut self, host: usize, net: &mut impl Net, now: Nanos) -> (usize, Token) {
        let endpoint = self.hosts[host].endpoint.clone();
        let token = net.open(&endpoint);
        let connection = Connection {
            token,
            host,
            endpoint,
            phase: Phase::Connecting,
            stream: None,
            parser: ResponseParser::new(ResponseLimits::default()),
            request: TxBuffer::new(REQUEST_BYTES),
            served: 0,
            opened: now,
            answered: false,
            maybe_readable: false,
        };
        let index = self
            .connections
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
        self.connections[index] = Some(connection);
        (index, token)
    }

    /// Writes the next request of its host on an idle connection.
    fn start(&mut self, index: usize, net: &mut impl Net, now: Nanos) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let Some(job) = self.hosts[connection.host].waiting.pop_front() else {
            return;
        };
        match connection.encode(&job) {
            Ok(()) => {
                connection.phase = Phase::Busy {
                    job: Box::new(job),
                    sent: false,
                };
                if let Err(reason) = connection.flush(net) {
                    self.fail(index, &reason, net, now);
                }
            }
            Err(problem) => self.finished.push_back(failed(&job, &problem, false)),
        }
    }

    /// A connection stands.
    pub(crate) fn handle_connected(
        &mut self,
        index: usize,
        net: &mut impl Net,
        tls: &Arc<ClientConfig>,
        now: Nanos,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let begun = SecureStream::new(
            connection.token,
            &connection.endpoint,
            tls,
            Buffers::default(),
        )
        .and_then(|mut stream| stream.begin(net).map(|()| stream));
        match begun {
            Ok(stream) => {
                connection.stream = Some(stream);
                connection.maybe_readable = true;
            }
            Err(reason) => self.fail(index, &reason, net, now),
        }
    }

    /// A connection could not be made: every request that waits for its host hears of it, unless
    /// another connection can serve it.
    pub(crate) fn handle_failed(&mut self, index: usize, error: &str, now: Nanos) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.fail_waiting(connection.host, error, now);
    }

    fn fail_waiting(&mut self, host: usize, error: &str, now: Nanos) {
        self.hosts[host].retry_at = now + RETRY_WAIT;
        self.hosts[host].is_failing = true;
        if self.count(host, |_| true) > 0 {
            return;
        }
        for job in core::mem::take(&mut self.hosts[host].waiting) {
            self.finished.push_back(failed(&job, error, false));
        }
    }

    /// A connection has bytes, or room for some. One recv; true where more may be there.
    pub(crate) fn handle_ready(&mut self, index: usize, net: &mut impl Net, now: Nanos) -> bool {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let driven = connection.drive(net, now, &mut self.finished);
        if connection.served > 0 {
            self.hosts[connection.host].is_failing = false;
        }
        match driven {
            Ok(true) => connection.maybe_readable,
            Ok(false) => {
                // An answer that ends the connection: nothing failed.
                let closing = DownReason::Closed;
                self.fail(index, &closing, net, now);
                false
            }
            Err(reason) => {
                self.fail(index, &reason, net, now);
                false
            }
        }
    }

    /// A connection is over; its request fails, or goes again where that is safe.
    fn fail(&mut self, index: usize, reason: &DownReason, net: &mut impl Net, now: Nanos) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else {
            return;
        };
        net.close(connection.token);
        let host = connection.host;
        match connection.phase {
            Phase::Busy { mut job, sent } => {
                // A kept-alive connection that the server closed just as we used it: a request
                // without effect may go again, once, on a fresh one (RFC 9110 §9.2.2).
                let stale = connection.served > 0 && !job.retried && now < job.deadline;
                if stale && job.request.method == Method::Get && !connection.answered {
                    job.retried = true;
                    self.waiting_deadline = self.waiting_deadline.min(job.deadline);
                    self.hosts[host].waiting.push_front(*job);
                    self.close_idle(host, net);
                } else {
                    self.finished
                        .push_back(failed(&job, &reason.to_string(), sent));
                }
            }
            Phase::Connecting => self.fail_waiting(host, &reason.to_string(), now),
            // A host that accepts and closes is no better than one that refuses: who waits hears of
            // it, or the next connection would be tried at once, and the next.
            Phase::Idle { .. } if connection.served == 0 => {
                self.fail_waiting(host, &reason.to_string(), now);
            }
            Phase::Idle { .. } => {}
        }
    }

    /// Closes the idle connections to a host that has just closed one of them.
    fn close_idle(&mut self, host: usize, net: &mut impl Net) {
        while let Some(index) = self.idle(host) {
            if let Some(connection) = self.connections[index].take() {
                net.close(connection.token);
            }
        }
    }

    /// When [`HttpPool::handle_deadline`] is wanted.
    pub(crate) fn deadline(&self) -> Nanos {
        let connections = self
            .connections
            .iter()
            .flatten()
            .map(|one| match &one.phase {
                Phase::Connecting => one.opened + CONNECT_TIMEOUT,
                Phase::Idle { since } => *since + IDLE_MAX,
                Phase::Busy { job, .. } => job.deadline,
            });
        let held = self.hosts.iter().map(|host| host.held_until);
        connections
            .chain(held)
            .fold(self.waiting_deadline, Nanos::min)
    }

    /// Ends what has taken too long.
    pub(crate) fn handle_deadline(&mut self, net: &mut impl Net, now: Nanos) {
        for index in 0..self.connections.len() {
            let Some(connection) = &self.connections[index] else {
                continue;
            };
            let reason = match &connection.phase {
                Phase::Connecting if now - connection.opened >= CONNECT_TIMEOUT => {
                    DownReason::TimedOut("connecting")
                }
                Phase::Idle { since } if now - *since >= IDLE_MAX => DownReason::Closed,
                Phase::Busy { job, .. } if job.deadline <= now => {
                    DownReason::TimedOut("waiting for the answer")
                }
                _ => continue,
            };
            self.fail(index, &reason, net, now);
        }
        if self.waiting_deadline > now {
            return;
        }
        self.waiting_deadline = Nanos::MAX;
        for host in &mut self.hosts {
            let what = if host.held_until == Nanos::MAX {
                "no connection came free in time"
            } else {
                "the host may not be connected to just now: its budget of connection attempts is \
                 used up, or it has asked to be left alone"
            };
            for job in core::mem::take(&mut host.waiting) {
                if job.deadline <= now {
                    self.finished.push_back(failed(&job, what, false));
                } else {
                    self.waiting_deadline = self.waiting_deadline.min(job.deadline);
                    host.waiting.push_back(job);
                }
            }
        }
    }

    /// Drops every connection.
    pub(crate) fn close(&mut self, net: &mut impl Net) {
        for connection in self.connections.drain(..).flatten() {
            net.close(connection.token);
        }
    }
}

impl Connection {
    fn encode(&mut self, job: &Job) -> Result<(), String> {
        let HttpRequest {
            endpoint,
            method,
            target,
            headers,
            body_bytes_max,
            ..
        } = &job.request;
        let default_port = if endpoint.tls { 443 } else { 80 };
        let host = authority(&endpoint.host, endpoint.port, default_port)
            .map_err(|error| error.to_string())?;
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let method = wire_method(*method);
        let request = Request {
            method,
            target,
            host: &host,
            headers: &headers,
            body: &job.body,
        };
        request
            .encode(&mut self.request)
            .map_err(|error| error.to_string())?;
        let head = HeadLimits::default();
        self.parser = ResponseParser::new(ResponseLimits {
            head,
            body_bytes_max: *body_bytes_max,
        });
        self.parser.begin(method);
        self.answered = false;
        Ok(())
    }

    fn flush(&mut self, net: &mut impl Net) -> Result<(), DownReason> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        // Until all is out or the socket is full: then it tells when it has room again.
        loop {
            let taken = stream.write(self.request.pending())?;
            self.request.advance(taken);
            if taken > 0
                && let Phase::Busy { sent, .. } = &mut self.phase
            {
                *sent = true;
            }
            if stream.is_sending() {
                stream.send(net)?;
            }
            if taken == 0 || stream.is_sending() {
                return Ok(());
            }
        }
    }

    /// Reads once and goes as far as that carries. False where the connection can't be kept.
    fn drive(
        &mut self,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut VecDeque<Finished>,
    ) -> Result<bool, DownReason> {
        let Some(stream) = &mut self.stream else {
            return Ok(true);
        };
        self.maybe_readable = stream.recv(net)? == Drained::No;
        loop {
            self.answered |= stream.decrypt()? > 0;
            if matches!(self.phase, Phase::Connecting) && stream.is_ready() {
                self.phase = Phase::Idle { since: now };
            }
            let response = self.parser.poll(&mut stream.plain);
            let response = match response {
                Ok(None) if stream.has_more() => continue,
                Ok(None) if stream.ended() => {
                    // A body that ends with the connection is whole only where the end was meant: or
                    // whoever is in between could cut it anywhere (RFC 9112 §9.8).
                    stream.check_end()?;
                    self.parser.finish_eof()
                }
                other => other,
            };
            match response {
                Ok(Some(response)) => {
                    let answer = Answer {
                        status: response.head.status,
                        headers: response
                            .head
                            .headers
                            .iter()
                            .map(|(name, value)| {
                                (name.to_owned(), String::from_utf8_lossy(value).into_owned())
                            })
                            .collect(),
                        body: core::mem::take(response.body),
                    };
                    // Bytes behind the answer would be taken for the answer to the next request.
                    let spent = stream.plain.is_empty() && !stream.has_more();
                    let keep = response.keep_alive && spent && !stream.ended();
                    let idle = Phase::Idle { since: now };
                    let Phase::Busy { job, .. } = core::mem::replace(&mut self.phase, idle) else {
                        return Err(DownReason::Protocol("an answer to nothing".to_owned()));
                    };
                    self.served += 1;
                    let (id, read_on) = (job.request.id, job.request.read_on);
                    finished.push_back(Finished {
                        id,
                        read_on,
                        outcome: Ok(answer),
                    });
                    return Ok(keep);
                }
                Ok(None) if stream.ended() => return Err(stream.end_reason()),
                Ok(None) => break,
                Err(error) => return Err(DownReason::Protocol(error.to_string())),
            }
        }
        self.flush(net)?;
        Ok(true)
    }
}

fn failed(job: &Job, what: &str, sent: bool) -> Finished {
    let failure = HttpFailure {
        what: what.to_owned(),
        sent,
    };
    Finished {
        id: job.request.id,
        read_on: job.request.read_on,
        outcome: Err(failure),
    }
}

const fn wire_method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::Get,
        Method::Post => http::Method::Post,
        Method::Put => http::Method::Put,
        Method::Delete => http::Method::Delete,
    }
}

#[cfg(test)]
mod tests;

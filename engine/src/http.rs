//! REST on the loop: a pool of kept-alive HTTP/1.1 connections, one request at a time on each.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::ClientConfig;
use tickwire_connectors::transmit::{
    DownReason, Endpoint, HttpFailure, HttpRequest, Method, ReadOn,
};
use tickwire_connectors::{Nanos, RequestId};

use crate::net::{Net, Token};
use crate::stream::{Drained, SecureStream};
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

/// The pool of one venue.
pub(crate) struct HttpPool {
    connections: Vec<Option<Connection>>,
    waiting: VecDeque<Job>,
}

/// The time a connection may take to stand.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(10);

impl HttpPool {
    pub(crate) fn new() -> HttpPool {
        HttpPool {
            connections: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes a request. It goes out in [`HttpPool::dispatch`].
    pub(crate) fn submit(
        &mut self,
        request: HttpRequest,
        body: Vec<u8>,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) {
        let deadline = now + request.timeout_ns;
        let job = Job {
            request,
            body,
            deadline,
            retried: false,
        };
        if self.waiting.len() >= WAITING_MAX {
            finished.push(failed(&job, "too many requests are waiting", false));
            return;
        }
        self.waiting.push_back(job);
    }

    /// Gives waiting requests to connections, opening new ones; `opened` is called for each.
    pub(crate) fn dispatch(
        &mut self,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
        mut opened: impl FnMut(usize, Token),
    ) {
        let mut left = VecDeque::new();
        while let Some(job) = self.waiting.pop_front() {
            if let Some(index) = self.idle(&job.request.endpoint) {
                self.start(index, job, net, now, finished);
                continue;
            }
            let endpoint = &job.request.endpoint;
            let connecting = self.count(endpoint, |phase| matches!(phase, Phase::Connecting));
            let all = self.count(endpoint, |_| true);
            let wanted = left
                .iter()
                .filter(|job: &&Job| job.request.endpoint == *endpoint)
                .count();
            if connecting <= wanted && all < CONNECTIONS_MAX {
                let (index, token) = self.open(endpoint.clone(), net, now);
                opened(index, token);
            }
            left.push_back(job);
        }
        self.waiting = left;
    }

    fn count(&self, endpoint: &Endpoint, which: impl Fn(&Phase) -> bool) -> usize {
        let connections = self.connections.iter().flatten();
        connections
            .filter(|one| one.endpoint == *endpoint && which(&one.phase))
            .count()
    }

    fn idle(&self, endpoint: &Endpoint) -> Option<usize> {
        self.connections.iter().position(|slot| {
            slot.as_ref().is_some_and(|one| {
                one.endpoint == *endpoint && matches!(one.phase, Phase::Idle { .. })
            })
        })
    }

    fn open(&mut self, endpoint: Endpoint, net: &mut impl Net, now: Nanos) -> (usize, Token) {
        let token = net.open(&endpoint);
        let connection = Connection {
            token,
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

    /// Writes a request on an idle connection.
    fn start(
        &mut self,
        index: usize,
        job: Job,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            self.waiting.push_back(job);
            return;
        };
        match connection.encode(&job) {
            Ok(()) => {
                connection.phase = Phase::Busy {
                    job: Box::new(job),
                    sent: false,
                };
                if let Err(reason) = connection.flush(net) {
                    self.fail(index, &reason, net, now, finished);
                }
            }
            Err(problem) => finished.push(failed(&job, &problem, false)),
        }
    }

    /// A connection stands.
    pub(crate) fn handle_connected(
        &mut self,
        index: usize,
        net: &mut impl Net,
        tls: &Arc<ClientConfig>,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let begun = SecureStream::new(connection.token, &connection.endpoint, tls)
            .and_then(|mut stream| stream.begin(net).map(|()| stream));
        match begun {
            Ok(stream) => {
                connection.stream = Some(stream);
                connection.maybe_readable = true;
            }
            Err(reason) => self.fail(index, &reason, net, now, finished),
        }
    }

    /// A connection could not be made: every request that waits for its host hears of it, unless
    /// another connection can serve it.
    pub(crate) fn handle_failed(
        &mut self,
        index: usize,
        error: &str,
        finished: &mut Vec<Finished>,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.fail_waiting(&connection.endpoint, error, finished);
    }

    fn fail_waiting(&mut self, endpoint: &Endpoint, error: &str, finished: &mut Vec<Finished>) {
        if self.count(endpoint, |_| true) > 0 {
            return;
        }
        let waiting = core::mem::take(&mut self.waiting);
        for job in waiting {
            if job.request.endpoint == *endpoint {
                finished.push(failed(&job, error, false));
            } else {
                self.waiting.push_back(job);
            }
        }
    }

    /// A connection has bytes, or room for some. One recv; true where more may be there.
    pub(crate) fn handle_ready(
        &mut self,
        index: usize,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        match connection.drive(net, now, finished) {
            Ok(true) => connection.maybe_readable,
            Ok(false) => {
                // An answer that ends the connection: nothing failed.
                let closing = DownReason::Closed;
                self.fail(index, &closing, net, now, finished);
                false
            }
            Err(reason) => {
                self.fail(index, &reason, net, now, finished);
                false
            }
        }
    }

    /// A connection is over; its request fails, or goes again where that is safe.
    fn fail(
        &mut self,
        index: usize,
        reason: &DownReason,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else {
            return;
        };
        net.close(connection.token);
        match connection.phase {
            Phase::Busy { mut job, sent } => {
                // A kept-alive connection that the server closed just as we used it: a request
                // without effect may go again, once, on a fresh one (RFC 9110 §9.2.2).
                let stale = connection.served > 0 && !job.retried && now < job.deadline;
                if stale && job.request.method == Method::Get && !connection.answered {
                    job.retried = true;
                    self.waiting.push_front(*job);
                } else {
                    finished.push(failed(&job, &reason.to_string(), sent));
                }
            }
            Phase::Connecting => {
                self.fail_waiting(&connection.endpoint, &reason.to_string(), finished);
            }
            Phase::Idle { .. } => {}
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
        let waiting = self.waiting.iter().map(|job| job.deadline);
        connections.chain(waiting).min().unwrap_or(Nanos::MAX)
    }

    /// Ends what has taken too long.
    pub(crate) fn handle_deadline(
        &mut self,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
    ) {
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
            self.fail(index, &reason, net, now, finished);
        }
        let waiting = core::mem::take(&mut self.waiting);
        for job in waiting {
            if job.deadline <= now {
                finished.push(failed(&job, "no connection came free in time", false));
            } else {
                self.waiting.push_back(job);
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
        while !self.request.is_empty() {
            let taken = stream.write(self.request.pending())?;
            if taken == 0 {
                break;
            }
            self.request.advance(taken);
            if let Phase::Busy { sent, .. } = &mut self.phase {
                *sent = true;
            }
        }
        if stream.is_sending() {
            stream.send(net)?;
        }
        Ok(())
    }

    /// Reads once and goes as far as that carries. False where the connection can't be kept.
    fn drive(
        &mut self,
        net: &mut impl Net,
        now: Nanos,
        finished: &mut Vec<Finished>,
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
                Ok(None) if stream.ended() => self.parser.finish_eof(),
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
                    let keep = response.keep_alive && !stream.ended();
                    let idle = Phase::Idle { since: now };
                    let Phase::Busy { job, .. } = core::mem::replace(&mut self.phase, idle) else {
                        return Err(DownReason::Protocol("an answer to nothing".to_owned()));
                    };
                    self.served += 1;
                    let (id, read_on) = (job.request.id, job.request.read_on);
                    finished.push(Finished {
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

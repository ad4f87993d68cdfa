//! REST on the loop, through a connector that does nothing but ask: connections are kept and used
//! again, limits and deadlines hold, and each failure says whether the request may have arrived.

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use common::{moment, wait_until};
use tickwire::connectors::connector::Counters;
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, HttpRequest, LinkChange, LinkId, Method, ReadOn, RequestId, Response,
    Transmit,
};
use tickwire::connectors::{BookView, Command};
use tickwire::{Connector, Handle, Market, Nanos, Outbox, PollMode, StreamId, Venue, VenueSetup};

// The connector ------------------------------------------------------------------------------------

/// An answer, or the failure.
type Outcome = Result<(u16, Vec<u8>), HttpFailure>;

/// Sends what it is given and hands back what comes.
struct Asker {
    requests: Receiver<(HttpRequest, Vec<u8>)>,
    next: Option<(HttpRequest, Vec<u8>)>,
    outcomes: Sender<(u32, Outcome)>,
    look_at: Nanos,
}

impl Connector for Asker {
    fn venue(&self) -> Venue {
        Venue::custom("asker").unwrap()
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn handle_command(&mut self, _: Nanos, _: Command, _: &mut Outbox) {}

    fn handle_link(&mut self, _: Nanos, _: LinkId, _: LinkChange, _: &mut Outbox) {}

    fn handle_message(&mut self, _: Nanos, _: LinkId, _: &mut [u8], _: &mut Outbox) {}

    fn handle_response(
        &mut self,
        _: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
        let outcome = response.map(|response| (response.status, response.body.to_vec()));
        let _ = self.outcomes.send((id.0, outcome));
    }

    fn handle_timeout(&mut self, now: Nanos, _: &mut Outbox) {
        self.look_at = now + Nanos::from_millis(1);
        self.next = self.next.take().or_else(|| self.requests.try_recv().ok());
    }

    fn poll_timeout(&self) -> Option<Nanos> {
        Some(self.look_at)
    }

    fn poll_transmit(&mut self, _: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let (request, content) = self.next.take()?;
        self.next = self.requests.try_recv().ok();
        body.extend_from_slice(&content);
        Some(Transmit::Http(Box::new(request)))
    }

    fn has_transmit(&self) -> bool {
        self.next.is_some()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// An engine with the asker, from the outside.
struct Rest {
    handle: Handle,
    requests: Sender<(HttpRequest, Vec<u8>)>,
    outcomes: Receiver<(u32, Outcome)>,
    waiting: HashMap<u32, Outcome>,
    next_id: u32,
}

impl Rest {
    fn start() -> Rest {
        let (requests, inbox) = mpsc::channel();
        let (outcomes, done) = mpsc::channel();
        let asker = Asker {
            requests: inbox,
            next: None,
            outcomes,
            look_at: Nanos::ZERO,
        };
        let handle = common::quick()
            .poll(PollMode::PARK)
            .venue(VenueSetup::custom(asker))
            .spawn()
            .unwrap();
        Rest {
            handle,
            requests,
            outcomes: done,
            waiting: HashMap::new(),
            next_id: 0,
        }
    }

    fn request(&mut self, address: SocketAddr, target: &str) -> HttpRequest {
        self.next_id += 1;
        let host = address.ip().to_string();
        HttpRequest {
            id: RequestId(self.next_id),
            endpoint: Endpoint {
                host,
                port: address.port(),
                tls: false,
            },
            method: Method::Get,
            target: target.to_owned(),
            headers: Vec::new(),
            timeout_ns: Nanos::from_secs(20),
            body_bytes_max: 4 << 20,
            read_on: ReadOn::Loop,
        }
    }

    fn send(&self, request: HttpRequest, body: &[u8]) -> u32 {
        let id = request.id.0;
        self.requests.send((request, body.to_vec())).unwrap();
        id
    }

    #[track_caller]
    fn outcome(&mut self, id: u32) -> Outcome {
        let Rest {
            outcomes, waiting, ..
        } = self;
        wait_until("an answer", || {
            waiting.extend(outcomes.try_iter());
            waiting.contains_key(&id)
        });
        waiting.remove(&id).unwrap()
    }

    /// Asks and waits.
    #[track_caller]
    fn get(&mut self, address: SocketAddr, target: &str) -> Outcome {
        let request = self.request(address, target);
        let id = self.send(request, b"");
        self.outcome(id)
    }
}

// The server ---------------------------------------------------------------------------------------

/// A request as the server read it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    connection: usize,
    /// Of this connection, from 1.
    number: usize,
    method: String,
    target: String,
    body: Vec<u8>,
}

#[derive(Default)]
struct Log {
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
}

impl Log {
    fn count(&self, target: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.target == target)
            .count()
    }
}

/// What a server does with a request; false closes the connection.
type Answer = dyn Fn(&Asked, &mut TcpStream) -> bool + Send + Sync;

/// A server of std alone, one thread a connection; it lives until the test ends.
fn serve(
    answer: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<Log>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (log, answer): (_, Arc<Answer>) = (Arc::new(Log::default()), Arc::new(answer));
    let shared = Arc::clone(&log);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
            let (log, answer) = (Arc::clone(&shared), Arc::clone(&answer));
            thread::spawn(move || attend(connection, stream, &log, &*answer));
        }
    });
    (address, log)
}

fn attend(connection: usize, mut stream: TcpStream, log: &Log, answer: &Answer) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for number in 1.. {
        let Some(asked) = read_request(&mut reader, connection, number) else {
            return;
        };
        log.asked.lock().unwrap().push(asked.clone());
        if !answer(&asked, &mut stream) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead, connection: usize, number: usize) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        connection,
        number,
        method,
        target,
        body,
    })
}

/// An ordinary answer. False where the peer is gone.
fn reply(stream: &mut TcpStream, body: &[u8]) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .is_ok()
}

fn sent(outcome: &Outcome) -> Option<bool> {
    outcome.as_ref().err().map(|failure| failure.sent)
}

// The tests -----------------------------------------------------------------------------------------

#[test]
fn a_connection_is_kept_and_used_again() {
    let (address, log) = serve(|asked, stream| reply(stream, asked.target.as_bytes()));
    let mut rest = Rest::start();
    for index in 0..20 {
        let target = format!("/{index}");
        assert_eq!(rest.get(address, &target), Ok((200, target.into_bytes())));
    }
    assert_eq!(log.connections.load(Ordering::SeqCst), 1);
    rest.handle.stop().unwrap();
}

#[test]
fn bodies_are_sent_and_methods_are_kept() {
    let (address, log) = serve(|asked, stream| reply(stream, &asked.body));
    let mut rest = Rest::start();
    for (method, body) in [
        (Method::Post, "{\"a\":1}"),
        (Method::Put, "x"),
        (Method::Delete, ""),
    ] {
        let request = HttpRequest {
            method,
            ..rest.request(address, "/order?id=1")
        };
        let id = rest.send(request, body.as_bytes());
        assert_eq!(rest.outcome(id), Ok((200, body.as_bytes().to_vec())));
        let asked = log.asked.lock().unwrap().last().cloned().unwrap();
        assert_eq!(
            (&*asked.method, &*asked.target),
            (method.as_str(), "/order?id=1")
        );
    }
    rest.handle.stop().unwrap();
}

#[test]
fn chunked_and_closing_and_empty_answers_are_whole() {
    let (address, log) = serve(|asked, stream| match asked.target.as_str() {
        "/chunked" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
            let parts = [
                head,
                b"5\r\nhello\r\n",
                b"1;x=y\r\n,\r\n",
                b"6\r\n",
                b" world\r\n",
                b"0\r\n\r\n",
            ];
            parts
                .iter()
                .all(|part| stream.write_all(part).and_then(|()| stream.flush()).is_ok())
        }
        "/until-close" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end");
            false
        }
        "/empty" => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
        "/early-hints" => {
            let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n");
            reply(stream, b"after")
        }
        _ => stream
            .write_all(b"HTTP/1.1 429 Slow Down\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\nno")
            .is_ok(),
    });
    let mut rest = Rest::start();
    assert_eq!(
        rest.get(address, "/chunked"),
        Ok((200, b"hello, world".to_vec()))
    );
    assert_eq!(rest.get(address, "/empty"), Ok((204, Vec::new())));
    assert_eq!(
        rest.get(address, "/early-hints"),
        Ok((200, b"after".to_vec()))
    );
    assert_eq!(rest.get(address, "/limited"), Ok((429, b"no".to_vec())));
    assert_eq!(log.connections.load(Ordering::SeqCst), 1);
    assert_eq!(
        rest.get(address, "/until-close"),
        Ok((200, b"to the end".to_vec()))
    );
    assert_eq!(
        rest.get(address, "/chunked"),
        Ok((200, b"hello, world".to_vec()))
    );
    assert_eq!(log.connections.load(Ordering::SeqCst), 2);
    rest.handle.stop().unwrap();
}

#[test]
fn two_megabytes_are_whole_and_more_than_asked_for_is_refused() {
    let body: Vec<u8> = (0..2u32 << 20).map(|index| (index % 251) as u8).collect();
    let whole = body.clone();
    let (address, _) = serve(move |_, stream| reply(stream, &body));
    let mut rest = Rest::start();
    assert_eq!(rest.get(address, "/"), Ok((200, whole)));
    let request = HttpRequest {
        body_bytes_max: 1 << 20,
        ..rest.request(address, "/")
    };
    let id = rest.send(request, b"");
    let outcome = rest.outcome(id);
    assert_eq!(sent(&outcome), Some(true), "{outcome:?}");
    rest.handle.stop().unwrap();
}

#[test]
fn an_answer_that_takes_too_long_fails_at_its_deadline() {
    let (address, _) = serve(|asked, stream| {
        if asked.target == "/quick" {
            return reply(stream, b"ok");
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        // A byte now and then: silence is not what ends it.
        while stream.write_all(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(5));
        }
        false
    });
    let mut rest = Rest::start();
    let request = HttpRequest {
        timeout_ns: Nanos::from_millis(200),
        ..rest.request(address, "/slow")
    };
    let started = moment();
    let id = rest.send(request, b"");
    let outcome = rest.outcome(id);
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(sent(&outcome), Some(true), "{outcome:?}");
    // The next one is not held up, and gets no byte of the other's.
    assert_eq!(rest.get(address, "/quick"), Ok((200, b"ok".to_vec())));
    rest.handle.stop().unwrap();
}

#[test]
fn a_get_on_a_connection_that_closed_meanwhile_goes_once_more() {
    // Serves one request a connection, and closes when it sees the second.
    let (address, log) = serve(|asked, stream| asked.number == 1 && reply(stream, b"ok"));
    let mut rest = Rest::start();
    for _ in 0..4 {
        assert_eq!(rest.get(address, "/"), Ok((200, b"ok".to_vec())));
    }
    // 1 and then, three times: the stale one, and once more on a fresh connection.
    assert_eq!(log.count("/"), 7);
    rest.handle.stop().unwrap();
}

#[test]
fn a_request_is_sent_twice_at_most_and_only_where_that_is_safe() {
    let (address, log) = serve(|asked, stream| asked.target == "/warm" && reply(stream, b"ok"));
    let mut rest = Rest::start();
    assert!(rest.get(address, "/warm").is_ok());
    let outcome = rest.get(address, "/never");
    assert_eq!(sent(&outcome), Some(true), "{outcome:?}");
    assert_eq!(log.count("/never"), 2);

    assert!(rest.get(address, "/warm").is_ok());
    let request = HttpRequest {
        method: Method::Post,
        ..rest.request(address, "/order")
    };
    let id = rest.send(request, b"buy");
    let outcome = rest.outcome(id);
    assert_eq!(
        sent(&outcome),
        Some(true),
        "its fate is not known: {outcome:?}"
    );
    assert_eq!(log.count("/order"), 1);
    rest.handle.stop().unwrap();
}

#[test]
fn half_an_answer_is_a_failure_and_not_asked_for_again() {
    let (address, log) = serve(|asked, stream| match asked.target.as_str() {
        "/warm" => reply(stream, b"ok"),
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            false
        }
    });
    let mut rest = Rest::start();
    assert!(rest.get(address, "/warm").is_ok());
    let outcome = rest.get(address, "/half");
    assert_eq!(sent(&outcome), Some(true), "{outcome:?}");
    assert_eq!(log.count("/half"), 1);
    rest.handle.stop().unwrap();
}

#[test]
fn an_answer_that_is_not_http_is_a_failure() {
    let (address, _) = serve(|asked, stream| match asked.target.as_str() {
        "/warm" => reply(stream, b"ok"),
        _ => stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").is_ok(),
    });
    let mut rest = Rest::start();
    let outcome = rest.get(address, "/");
    assert_eq!(sent(&outcome), Some(true), "{outcome:?}");
    assert!(rest.get(address, "/warm").is_ok());
    rest.handle.stop().unwrap();
}

#[test]
fn a_refused_connection_says_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut rest = Rest::start();
    let ids: Vec<u32> = (0..6)
        .map(|_| {
            let request = rest.request(address, "/");
            rest.send(request, b"")
        })
        .collect();
    for id in ids {
        let outcome = rest.outcome(id);
        assert_eq!(sent(&outcome), Some(false), "{outcome:?}");
    }
    rest.handle.stop().unwrap();
}

#[test]
fn a_name_that_is_not_found_says_that_nothing_was_sent() {
    let mut rest = Rest::start();
    let mut request = rest.request(SocketAddr::from(([127, 0, 0, 1], 1)), "/");
    // ".invalid" never resolves (RFC 2606).
    request.endpoint.host = "no-such-host.invalid".to_owned();
    let id = rest.send(request, b"");
    let outcome = rest.outcome(id);
    assert_eq!(sent(&outcome), Some(false), "{outcome:?}");
    rest.handle.stop().unwrap();
}

#[test]
fn a_server_that_accepts_and_closes_is_not_hammered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let mut rest = Rest::start();
    for round in 1..=5 {
        let request = HttpRequest {
            timeout_ns: Nanos::from_secs(5),
            ..rest.request(address, "/")
        };
        let id = rest.send(request, b"");
        let outcome = rest.outcome(id);
        assert!(outcome.is_err(), "{outcome:?}");
        let accepted = accepted.load(Ordering::SeqCst);
        assert!(
            accepted <= 4 * round,
            "{accepted} connections in round {round}"
        );
    }
    rest.handle.stop().unwrap();
}

#[test]
fn four_requests_are_under_way_at_once_and_the_rest_wait() {
    const ALL: usize = 24;
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&busy), Arc::clone(&most));
    // Each answer waits for three others: with fewer than four at once nothing would ever come.
    let gate = Barrier::new(4);
    let (address, log) = serve(move |asked, stream| {
        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(count, Ordering::SeqCst);
        gate.wait();
        now.fetch_sub(1, Ordering::SeqCst);
        reply(stream, asked.target.as_bytes())
    });
    let mut rest = Rest::start();
    let ids: Vec<(u32, String)> = (0..ALL)
        .map(|index| {
            let target = format!("/{index}");
            let request = rest.request(address, &target);
            (rest.send(request, b""), target)
        })
        .collect();
    for (id, target) in ids {
        assert_eq!(rest.outcome(id), Ok((200, target.into_bytes())));
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert_eq!(log.connections.load(Ordering::SeqCst), 4);
    rest.handle.stop().unwrap();
}

#[test]
fn a_request_that_never_gets_a_connection_fails_unsent_at_its_deadline() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (address, log) = serve(move |_, stream| {
        // Until the test lets go.
        let _ = held.lock().unwrap().recv();
        reply(stream, b"late")
    });
    let mut rest = Rest::start();
    let first: Vec<u32> = (0..4)
        .map(|_| {
            let request = rest.request(address, "/first");
            rest.send(request, b"")
        })
        .collect();
    wait_until("four requests under way", || log.count("/first") == 4);
    let request = HttpRequest {
        timeout_ns: Nanos::from_millis(100),
        ..rest.request(address, "/fifth")
    };
    let id = rest.send(request, b"");
    let outcome = rest.outcome(id);
    assert_eq!(sent(&outcome), Some(false), "{outcome:?}");
    drop(release);
    for id in first {
        assert_eq!(rest.outcome(id), Ok((200, b"late".to_vec())));
    }
    assert_eq!(log.count("/fifth"), 0);
    rest.handle.stop().unwrap();
}

#[test]
fn a_mute_host_does_not_hold_up_another() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, _) = serve(|_, stream| reply(stream, b"ok"));
    let mut rest = Rest::start();
    for _ in 0..8 {
        let request = rest.request(mute.local_addr().unwrap(), "/");
        rest.send(request, b"");
    }
    for _ in 0..8 {
        assert_eq!(rest.get(address, "/"), Ok((200, b"ok".to_vec())));
    }
    let started = moment();
    rest.handle.stop().unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "stop waits for no answer"
    );
}

#[test]
fn thousands_of_waiting_requests_do_not_slow_the_loop_down() {
    const ALL: usize = 4_000;
    let (address, _) = serve(|_, stream| reply(stream, b"ok"));
    let mut rest = Rest::start();
    let ids: Vec<u32> = (0..ALL)
        .map(|_| {
            let request = HttpRequest {
                timeout_ns: Nanos::from_secs(60),
                ..rest.request(address, "/")
            };
            rest.send(request, b"")
        })
        .collect();
    for id in ids {
        assert_eq!(rest.outcome(id), Ok((200, b"ok".to_vec())));
    }
    rest.handle.stop().unwrap();
}

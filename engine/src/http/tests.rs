use std::io;

use super::*;
use crate::net::memory::MemoryNet;
use crate::registry::Registry;
use crate::telemetry::LoopCounters;
use crate::wire::tls::{Records, Roots, client_config};

struct World {
    pool: HttpPool,
    net: MemoryNet,
    tls: Arc<ClientConfig>,
    tokens: Vec<(usize, Token)>,
    now: Nanos,
    hosts: Hosts,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl World {
    fn new() -> World {
        World {
            pool: HttpPool::new(),
            net: MemoryNet::default(),
            tls: client_config(Roots::Web, Records::Rustls).expect("a TLS configuration"),
            tokens: Vec::new(),
            now: Nanos::from_secs(1),
            hosts: Hosts::new(
                Arc::new(Registry::default()),
                Arc::new(LoopCounters::default()),
            ),
        }
    }

    fn submit(&mut self, id: u32) {
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: 80,
            tls: false,
        };
        let request = HttpRequest {
            id: RequestId(id),
            endpoint,
            method: Method::Get,
            target: format!("/{id}"),
            headers: Vec::new(),
            timeout_ns: Nanos::from_secs(30),
            body_bytes_max: 1_000,
            read_on: ReadOn::Loop,
        };
        self.pool.submit(request, Vec::new(), self.now);
    }

    fn dispatch(&mut self) {
        let tokens = &mut self.tokens;
        self.pool
            .dispatch(&mut self.net, &mut self.hosts, self.now, |index, token| {
                tokens.retain(|(known, _)| *known != index);
                tokens.push((index, token));
            });
    }

    /// Every connection stands.
    fn connect(&mut self) {
        for (index, _) in self.tokens.clone() {
            self.pool
                .handle_connected(index, &mut self.net, &self.tls, self.now);
            self.pool.handle_ready(index, &mut self.net, self.now);
        }
        self.dispatch();
    }

    fn answer(&mut self, (index, token): (usize, Token), bytes: &[u8]) {
        self.net.deliver(token, bytes);
        self.pool.handle_ready(index, &mut self.net, self.now);
        self.dispatch();
    }

    fn outcomes(&mut self) -> Vec<(u32, bool)> {
        let finished = std::iter::from_fn(|| self.pool.pop_finished());
        finished
            .map(|one| (one.id.0, one.outcome.is_ok()))
            .collect()
    }
}

#[test]
fn five_thousand_requests_each_get_one_answer_in_order_over_four_connections() {
    let mut world = World::new();
    for id in 0..5_000 {
        world.submit(id);
        world.dispatch();
    }
    assert_eq!(world.tokens.len(), CONNECTIONS_MAX);
    world.connect();
    let mut outcomes = Vec::new();
    while outcomes.len() < 5_000 {
        for one in world.tokens.clone() {
            world.answer(one, ANSWER);
        }
        let more = world.outcomes();
        assert!(!more.is_empty(), "stuck after {}", outcomes.len());
        outcomes.extend(more);
    }
    let expected: Vec<(u32, bool)> = (0..5_000).map(|id| (id, true)).collect();
    assert_eq!(outcomes, expected);
    assert_eq!(world.net.opened(), 4);
}

#[test]
fn where_no_connection_can_be_made_each_request_fails_once_and_nothing_is_tried_again_at_once() {
    let mut world = World::new();
    for id in 0..10 {
        world.submit(id);
    }
    world.dispatch();
    assert_eq!(world.tokens.len(), 4);
    for (index, _) in world.tokens.clone() {
        world.pool.handle_failed(index, "refused", world.now);
        world.dispatch();
    }
    let expected: Vec<(u32, bool)> = (0..10).map(|id| (id, false)).collect();
    assert_eq!(world.outcomes(), expected);
    assert_eq!(world.net.opened(), 4);
    world.submit(10);
    world.dispatch();
    assert_eq!(world.net.opened(), 5, "the next request is a new try");
}

#[test]
fn bytes_behind_an_answer_are_not_the_next_ones() {
    let mut world = World::new();
    world.submit(0);
    world.dispatch();
    world.connect();
    world.submit(1);
    let first = world.tokens[0];
    let mut doubled = ANSWER.to_vec();
    doubled.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    world.answer(first, &doubled);
    assert_eq!(world.outcomes(), [(0, true)]);
    assert!(
        !world.net.open.contains_key(&first.1),
        "it is not used again"
    );
    world.connect();
    let second = world.tokens[0];
    world.answer(second, ANSWER);
    assert_eq!(world.outcomes(), [(1, true)]);
}

#[test]
fn a_request_on_a_connection_closed_meanwhile_goes_once_more_on_a_fresh_one() {
    let mut world = World::new();
    for id in 0..2 {
        world.submit(id);
    }
    world.dispatch();
    world.connect();
    for one in world.tokens.clone() {
        world.answer(one, ANSWER);
    }
    assert_eq!(world.outcomes().len(), 2);
    world.submit(2);
    world.dispatch();
    let used = world
        .tokens
        .iter()
        .copied()
        .find(|(_, token)| world.net.open[token].from_engine.ends_with(b"\r\n\r\n"))
        .expect("a connection");
    // The server had closed both.
    world.answer(used, b"");
    assert_eq!(world.outcomes(), [], "it is on its way again");
    assert_eq!(world.net.opened(), 3, "not on the other old one");
    assert_eq!(world.net.open.len(), 1);
    world.connect();
    let fresh = world
        .tokens
        .iter()
        .copied()
        .max_by_key(|(_, token)| token.slot());
    world.answer(fresh.expect("a connection"), b"");
    assert_eq!(world.outcomes(), [(2, false)], "once");
}

#[test]
fn what_waits_too_long_fails_at_its_deadline() {
    let mut world = World::new();
    world.submit(0);
    let deadline = world.pool.deadline();
    assert_eq!(deadline, world.now + Nanos::from_secs(30));
    world.pool.handle_deadline(&mut world.net, deadline);
    assert_eq!(world.outcomes(), [(0, false)]);
    assert_eq!(world.pool.deadline(), Nanos::MAX);
}

// TLS --------------------------------------------------------------------------------------------

/// A server's side of TLS, and a client configuration that trusts it.
fn tls() -> (rustls::ServerConnection, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate and its key");
    let client = client_config(
        Roots::Custom(vec![made.cert.der().clone()]),
        Records::Rustls,
    );
    let server = rustls::ServerConnection::new(Arc::new(config));
    (server.expect("a session"), client.expect("a configuration"))
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_where_tls_says_that_it_ends() {
    for (closes_in_order, is_whole) in [(true, true), (false, false)] {
        let mut world = World::new();
        let (mut server, client) = tls();
        world.tls = client;
        world.submit(1);
        world.pool.hosts[0].endpoint.tls = true;
        world.dispatch();
        let (index, token) = world.tokens[0];
        world
            .pool
            .handle_connected(index, &mut world.net, &world.tls, world.now);
        for turn in 0..10 {
            let pipe = world.net.open.get_mut(&token).expect("an open connection");
            let sent = core::mem::take(&mut pipe.from_engine);
            server.read_tls(&mut &sent[..]).expect("memory");
            server.process_new_packets().expect("sound TLS");
            if turn == 5 {
                let answer = b"HTTP/1.1 200 OK\r\n\r\nhalf or whole";
                io::Write::write_all(&mut server.writer(), answer).expect("memory");
                if closes_in_order {
                    server.send_close_notify();
                }
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("memory");
            }
            for part in bytes.chunks(1_000) {
                world.net.deliver(token, part);
                world.pool.handle_ready(index, &mut world.net, world.now);
                world.dispatch();
            }
            if turn < 5 {
                continue;
            }
            if world.net.open.contains_key(&token) {
                // The socket's end.
                world.net.deliver(token, b"");
                world.pool.handle_ready(index, &mut world.net, world.now);
            }
            break;
        }
        assert_eq!(world.outcomes(), [(1, is_whole)]);
    }
}

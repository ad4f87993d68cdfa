//! What a turn of the loop costs that brings one message, as there are more links beside it. The network
//! is memory: system calls are not in it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tickwire::connectors::Command;
use tickwire::connectors::InstrumentKey;
use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::stream::{Stream, Times};
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, LinkChange, LinkId, LinkSpec, RequestId, Response, Transmit,
};
use tickwire::net::{Net, Ready, Token};
use tickwire::testing::HandEngine;
use tickwire::{
    Channel, Connector, Engine, Event, Instrument, Level, Market, Nanos, Outbox, PollMode, Reason,
    Scale, Strategy, StrategySetup, StreamId, StreamState, Venue, VenueSetup,
};
use tickwire_sim::{Incoming, Session};

use super::{Curve, Failure, Options, cpu_time, least};

const SOCKETS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A best bid and ask, as long as Binance's.
const TEXT: &[u8] = br#"{"stream":"btcusdt@bookTicker","data":{"u":50093239211,"s":"BTCUSDT","b":"61837.63000000","B":"0.12345000","a":"61837.64000000","A":"1.50000000"}}"#;

const START: Nanos = Nanos(1_700_000_040_000_000_000);

/// Virtual time of a turn.
const STEP: Nanos = Nanos(1_000);

/// Reads nothing: the loop's own work is what is measured.
struct Many {
    links: u16,
    stream: Option<Stream>,
    to_do: VecDeque<Transmit>,
    counters: Counters,
}

fn venue() -> Result<Venue, Failure> {
    Ok(Venue::custom("many").ok_or("a short name")?)
}

impl Connector for Many {
    fn venue(&self) -> Venue {
        Venue::custom("many").unwrap_or(Venue::Binance)
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn handle_command(&mut self, _: Nanos, command: Command, _: &mut Outbox) {
        let Command::Subscribe {
            stream,
            symbol,
            channel,
            depth,
        } = command
        else {
            return;
        };
        let key = InstrumentKey {
            venue: self.venue(),
            market: Market::Spot,
            symbol,
        };
        let scale = Scale::of(2);
        let instrument = Instrument::with_defaults(key, symbol, scale, scale);
        self.stream = Some(Stream::new(stream, channel, symbol, instrument, depth));
        for link in 0..self.links {
            let Ok((endpoint, path)) = Endpoint::parse("ws://127.0.0.1:1/ws") else {
                return;
            };
            let spec = Box::new(LinkSpec::new(endpoint, path));
            self.to_do.push_back(Transmit::Open {
                link: LinkId(link),
                spec,
            });
        }
    }

    fn handle_link(&mut self, now: Nanos, _: LinkId, change: LinkChange, out: &mut Outbox) {
        let times = Times::ours(now);
        if let (LinkChange::Up { epoch }, Some(stream)) = (change, &mut self.stream) {
            stream.set_epoch(epoch);
            stream.change(StreamState::Live, Reason::Synced, None, times, out);
        }
    }

    fn handle_message(&mut self, now: Nanos, _: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
        let level = |qty| {
            Some(Level {
                price: 6_183_763,
                qty,
            })
        };
        if let Some(stream) = &self.stream {
            let size = payload.len() as i64;
            out.push(Event::bbo(
                &stream.stamp(Times::ours(now)),
                level(size),
                level(1),
            ));
        }
    }

    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
    }

    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}

    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }

    fn poll_transmit(&mut self, _: Nanos, _: &mut Vec<u8>) -> Option<Transmit> {
        self.to_do.pop_front()
    }

    fn has_transmit(&self) -> bool {
        !self.to_do.is_empty()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// A connection in memory.
struct Line {
    token: Token,
    session: Session,
    is_up: bool,
    to_client: Vec<u8>,
}

/// Connections in memory, of which one has a message each time.
struct Memory {
    lines: Vec<Line>,
    ready: Vec<Ready>,
    frame: Vec<u8>,
    next: usize,
}

impl Memory {
    fn new() -> Memory {
        // A server's frame of text of 126 to 65,535 bytes.
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&(TEXT.len() as u16).to_be_bytes());
        frame.extend_from_slice(TEXT);
        Memory {
            lines: Vec::new(),
            ready: Vec::new(),
            frame,
            next: 0,
        }
    }

    fn line(&mut self, token: Token) -> io::Result<&mut Line> {
        let found = self.lines.get_mut(token.slot());
        found.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Net for Memory {
    fn open(&mut self, _: &Endpoint) -> Token {
        let token = Token::new(self.lines.len() as u32, 1);
        let session = Session::default();
        self.lines.push(Line {
            token,
            session,
            is_up: false,
            to_client: Vec::new(),
        });
        self.ready.push(Ready::Connected(token));
        token
    }

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.append(&mut self.ready);
        if self.lines.iter().all(|line| line.is_up) && !self.lines.is_empty() {
            self.next = (self.next + 1) % self.lines.len();
            let line = &mut self.lines[self.next];
            line.to_client.extend_from_slice(&self.frame);
            ready.push(Ready::Readable(line.token));
        }
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let line = self.line(token)?;
        let count = line.to_client.len().min(into.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&line.to_client[..count]);
        line.to_client.drain(..count);
        Ok(count)
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let line = self.line(token)?;
        let odd = |_| io::Error::other("a request that can't be read");
        if !line.is_up {
            line.session.feed(bytes).map_err(odd)?;
            if let Some(Incoming::Request(parsed)) = line.session.next_incoming().map_err(odd)? {
                line.session.upgrade(&parsed.upgrade.unwrap_or_default());
                line.session.poll(0);
                line.to_client.extend_from_slice(line.session.pending());
                let count = line.session.pending().len();
                line.session.advance(count);
                line.is_up = true;
                self.ready.push(Ready::Readable(token));
            }
        }
        Ok(bytes.len())
    }

    fn close(&mut self, _: Token) {}
}

struct Quiet;

impl Strategy for Quiet {}

fn engine(links: u16, poll: PollMode) -> Result<HandEngine<Memory>, Failure> {
    let connector = Many {
        links,
        stream: None,
        to_do: VecDeque::new(),
        counters: Counters::default(),
    };
    let strategy =
        StrategySetup::new(Quiet)
            .inline()
            .watch(venue()?, Market::Spot, ["ABC"], [Channel::Bbo]);
    let engine = Engine::builder()
        .venue(VenueSetup::custom(connector))
        .strategy(strategy)
        .poll(poll)
        .seed(7)
        .by_hand(Memory::new(), START)?;
    Ok(engine)
}

pub(super) fn curves(options: &Options) -> Result<[Curve; 2], Failure> {
    let curve = |of, poll| -> Result<Curve, Failure> {
        let mut points = Vec::new();
        for links in SOCKETS {
            let mut engine = engine(links, poll)?;
            let mut now = START;
            let mut turns = |count: usize| {
                let began = cpu_time();
                for _ in 0..count {
                    now += STEP;
                    engine.turn(now);
                }
                cpu_time() - began
            };
            turns(options.messages);
            let ns = least(options.rounds, options.messages, || turns(options.messages));
            points.push((u64::from(links), ns));
        }
        Ok(Curve {
            of,
            unit: "a turn with one message",
            points,
        })
    };
    Ok([
        curve("sockets, poll mode mio", PollMode::Mio)?,
        curve(
            "sockets, poll mode direct, which asks each socket",
            PollMode::Direct,
        )?,
    ])
}

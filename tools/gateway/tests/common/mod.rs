//! A gateway over real sockets, with a strategy thread and blocking clients.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::StreamId;
use tickwire::operator::{Instruction, line};
use tickwire::ring::Item;
use tickwire_gateway::{
    AgentCard, Bell, Config, Crew, Desks, Feed, FeedError, Gateway, Limits, PaperDesk, Part, Parts,
};
use tungstenite::handshake::client::generate_key;
use tungstenite::{Message, WebSocket};

/// So long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Pings in a row, one in 15 s, in which nothing else came.
const PINGS_MAX: usize = 3;

/// Market data of which there are none.
#[derive(Debug, Default)]
pub(crate) struct NoMarket(u32);

impl Feed for NoMarket {
    fn open(&mut self, _: &str, _: &str, _: &str, _: Part) -> Result<StreamId, FeedError> {
        self.0 += 1;
        StreamId::new(self.0).ok_or_else(|| FeedError::Busy("no more".to_owned()))
    }
    fn close(&mut self, _: StreamId) {}
    fn again(&mut self, _: StreamId) {}
    fn next(&mut self) -> Option<Item<'_>> {
        None
    }
}

pub(crate) fn config() -> Config {
    Config {
        bind: ([127, 0, 0, 1], 0).into(),
        limits: Limits {
            connections_per_user_max: 1_000,
            ..Limits::default()
        },
        ..Config::default()
    }
}

/// A gateway whose one strategy repeats what it is told, word by word.
pub(crate) struct Rig {
    pub(crate) gateway: Option<Gateway>,
    strategy: Option<JoinHandle<()>>,
    stop: std::sync::mpsc::Sender<()>,
}

impl Rig {
    pub(crate) fn start(config: Config) -> Rig {
        Rig::with_tls(config, None)
    }

    pub(crate) fn with_tls(
        config: Config,
        tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    ) -> Rig {
        let bell = Bell::new();
        let ring = bell.clone();
        let (operator, mut end) = line(move || ring.ring());
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let strategy = thread::spawn(move || {
            // A strategy's thread looks after its ring every so often.
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
                stopped.recv_timeout(Duration::from_micros(200))
            {
                while let Some(instruction) = end.next() {
                    if let Instruction::Message { reply, text, .. } = instruction {
                        for word in text.split(' ') {
                            end.answer(reply).text(word).expect("heard");
                        }
                        end.answer(reply).finish().expect("heard");
                    }
                }
            }
        });
        let crew = Crew::new().with(AgentCard::new("default", "repeats"), operator);
        let desks = Desks::paper(PaperDesk::new(NoMarket::default(), []).expect("a desk"));
        let parts = Parts {
            desks,
            crew,
            bell,
            tls,
        };
        let gateway = Gateway::start(config, parts, NoMarket::default()).expect("a gateway");
        Rig {
            gateway: Some(gateway),
            strategy: Some(strategy),
            stop,
        }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway().address()
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        tcp(self.address())
    }

    /// The whole answer to a request after which the gateway closes.
    pub(crate) fn http(&self, request: &str) -> String {
        let mut stream = self.tcp();
        stream.write_all(request.as_bytes()).expect("room");
        let mut answer = String::new();
        // The other side may close hard once it has answered.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address()
        ))
    }

    pub(crate) fn upgrade(&self, target: &str) -> String {
        let (host, key) = (self.address(), generate_key());
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        connect(self.address(), token)
    }

    /// A counter of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("tickwire_gateway_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .expect("a number")
    }

    pub(crate) fn wait_for(&self, name: &str, least: u64) {
        let mut last = 0;
        for _ in 0..2_000 {
            last = self.metric(name);
            if last >= least {
                return;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        panic!("{name} is {last}, not {least}");
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket option");
    stream
}

/// A client that was let in.
pub(crate) fn connect(address: SocketAddr, token: &str) -> Client {
    let url = format!("ws://{address}/ws?token={token}");
    let (ws, _) = tungstenite::client(url, tcp(address)).expect("an upgrade");
    let mut client = Client { ws };
    assert_eq!(client.next()["event"], "connected");
    client
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.gateway.take());
        let _ = self.stop.send(());
        if let Some(strategy) = self.strategy.take() {
            let _ = strategy.join();
        }
    }
}

pub(crate) struct Client {
    pub(crate) ws: WebSocket<TcpStream>,
}

impl Client {
    pub(crate) fn say(&mut self, frame: &Value) {
        self.ws
            .send(Message::text(frame.to_string()))
            .expect("open");
    }

    /// The next frame, or `{"closed": code}`.
    pub(crate) fn next(&mut self) -> Value {
        for _ in 0..PINGS_MAX {
            match self.ws.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Ok(Message::Close(frame)) => {
                    return json!({ "closed": frame.map(|frame| u16::from(frame.code)) });
                }
                Ok(_) => {}
                Err(error) => return json!({ "gone": error.to_string() }),
            }
        }
        json!({ "gone": "nothing but pings" })
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.say(&json!({ "type": "request", "id": "q", "method": method, "params": params }));
        loop {
            let frame = self.next();
            assert!(
                frame.get("closed").is_none() && frame.get("gone").is_none(),
                "{frame}"
            );
            if frame["id"] == "q" {
                return frame;
            }
        }
    }

    pub(crate) fn subscribe(&mut self, channel: &str) {
        self.say(&json!({ "type": "subscribe", "id": "s", "channels": [channel] }));
        loop {
            let frame = self.next();
            if frame["id"] == "s" {
                assert!(
                    frame["result"]["channels"][0].get("error").is_none(),
                    "{frame}"
                );
                return;
            }
        }
    }
}

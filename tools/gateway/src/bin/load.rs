//! `gateway-load`: many clients of a gateway from a process of their own, some of which read nothing for
//! ever. Blocking sockets, two threads; for measuring the gateway, not itself.
//!
//! ```sh
//! tickwire gateway --json --connections 2000 > gateway.json &
//! gateway-load --token "$(jq -r .token gateway.json)"
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::{Clock, Nanos};
use tungstenite::{Message, WebSocket};

/// Between two looks at a socket that had nothing.
const NAP: Duration = Duration::from_millis(1);

struct Options {
    address: String,
    token: String,
    clients: usize,
    stalled: usize,
    seconds: i64,
    channels: Vec<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        address: "127.0.0.1:4096".to_owned(),
        token: String::new(),
        clients: 1_000,
        stalled: 100,
        seconds: 20,
        channels: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--address" => options.address = value,
            "--token" => options.token = value,
            "--clients" => options.clients = value.parse()?,
            "--stalled" => options.stalled = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--channel" => options.channels.push(value),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if options.channels.is_empty() {
        let channels = [
            "book:binance:spot:BTCUSDT",
            "trades:binance:spot:BTCUSDT",
            "system",
        ];
        options.channels = channels.map(str::to_owned).to_vec();
    }
    Ok(options)
}

struct Client {
    ws: WebSocket<TcpStream>,
    /// The last number that was seen, by channel.
    at: BTreeMap<String, u64>,
    frames: u64,
    holes: u64,
    closed: Option<u16>,
}

fn connect(options: &Options) -> Result<Client, Box<dyn Error>> {
    let stream = TcpStream::connect(&options.address)?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{}/ws?token={}", options.address, options.token);
    let (mut ws, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
    let frame = json!({ "type": "subscribe", "id": "s", "channels": options.channels });
    ws.send(Message::text(frame.to_string()))?;
    ws.get_ref().set_nonblocking(true)?;
    Ok(Client {
        ws,
        at: BTreeMap::new(),
        frames: 0,
        holes: 0,
        closed: None,
    })
}

impl Client {
    /// Reads all that is there; gives whether there was anything.
    fn read(&mut self) -> bool {
        let mut any = false;
        while self.closed.is_none() {
            match self.ws.read() {
                Ok(Message::Text(text)) => self.take(&text),
                Ok(Message::Close(frame)) => {
                    self.closed = Some(frame.map_or(1005, |frame| frame.code.into()));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return any;
                }
                Err(_) => self.closed = Some(1006),
            }
            any = true;
        }
        any
    }

    fn take(&mut self, text: &str) {
        self.frames += 1;
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            self.holes += 1;
            return;
        };
        if frame["id"] == "s" {
            for subscribed in frame["result"]["channels"].as_array().into_iter().flatten() {
                let name = subscribed["channel"].as_str().unwrap_or_default();
                let offset = subscribed["offset"].as_u64().unwrap_or_default();
                self.at.insert(name.to_owned(), offset);
            }
            return;
        }
        let (Some(name), Some(offset)) = (frame["channel"].as_str(), frame["offset"].as_u64())
        else {
            return;
        };
        let Some(at) = self.at.get_mut(name) else {
            return;
        };
        // A delta says where it begins; a whole book begins anew; all else comes one by one.
        let from = match frame["event"].as_str() {
            Some("book.delta") => frame["data"]["from"].as_u64().unwrap_or_default(),
            Some("book.snapshot" | "book.state") => *at + 1,
            _ => offset,
        };
        if from != *at + 1 {
            self.holes += 1;
        }
        *at = offset;
    }
}

fn stats(control: &mut Client, clock: &Clock) -> Option<Value> {
    let ask = json!({ "type": "request", "id": "stats", "method": "system.stats" });
    control.ws.send(Message::text(ask.to_string())).ok()?;
    let until = clock.now() + Nanos::from_secs(5);
    while clock.now() < until {
        match control.ws.read() {
            Ok(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).ok()?;
                if frame["id"] == "stats" {
                    return Some(frame["result"].clone());
                }
                control.take(&text);
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::park_timeout(NAP);
            }
            Err(_) => return None,
        }
    }
    None
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let clock = Clock::start();
    let mut control = connect(&options)?;
    let before = stats(&mut control, &clock);
    let mut clients = Vec::new();
    let mut stalled = Vec::new();
    for number in 0..options.clients {
        let client = connect(&options)?;
        if number < options.stalled {
            stalled.push(client);
        } else {
            clients.push(client);
        }
        // Those that are there already are read while the others come.
        for client in &mut clients {
            client.read();
        }
    }
    let until = clock.now() + Nanos::from_secs(options.seconds);
    while clock.now() < until {
        let mut any = control.read();
        for client in &mut clients {
            any |= client.read();
        }
        if !any {
            std::thread::park_timeout(NAP);
        }
    }
    let after = stats(&mut control, &clock);
    // Now those that were stalled read what is left: at its end is the close frame, where it got through.
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for client in &mut stalled {
        client.read();
        *codes.entry(client.closed.unwrap_or_default()).or_default() += 1;
    }
    let frames: u64 = clients.iter().map(|client| client.frames).sum();
    let holes: u64 = clients.iter().map(|client| client.holes).sum();
    let lost = clients
        .iter()
        .filter(|client| client.closed.is_some())
        .count();
    let report = json!({
        "clients": clients.len(), "stalled": stalled.len(), "frames": frames,
        "holes": holes, "healthyClosed": lost, "stalledSaw": codes,
        "before": before, "after": after,
    });
    println!("{report:#}");
    if holes > 0 || lost > 0 {
        return Err("healthy clients lost something".into());
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway-load: {error}");
            ExitCode::FAILURE
        }
    }
}

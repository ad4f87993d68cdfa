//! A client that looks whether it loses anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};

use serde::Deserialize;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use tickwire::{Clock, Nanos};
use tungstenite::{Message, WebSocket};

use super::NAP;

/// What the system keeps for a client that reads nothing: the less, the sooner the gateway sees it.
const STALLED_BUFFER_BYTES: usize = 4 * 1024;

/// So much of a frame as this is about.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    result: Option<Value>,
}

/// Of a delta, where it begins.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    from: Option<u64>,
}

pub(crate) struct Client {
    ws: WebSocket<TcpStream>,
    /// The last number that was seen, by channel.
    at: BTreeMap<String, u64>,
    pub(crate) frames: u64,
    /// Events that were missed, came twice, or could not be read.
    pub(crate) holes: u64,
    pub(crate) closed: Option<u16>,
}

/// Whom to call.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Door {
    /// A client that has asked for these channels; one that is to stall has little room for them.
    pub(crate) fn client(
        &self,
        channels: &[String],
        is_to_stall: bool,
    ) -> Result<Client, Box<dyn Error>> {
        let socket = Socket::new(
            Domain::for_address(self.address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if is_to_stall {
            socket.set_recv_buffer_size(STALLED_BUFFER_BYTES)?;
        }
        socket.connect(&self.address.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let url = format!("ws://{}/ws?token={}", self.address, self.token);
        let (mut ws, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
        if !channels.is_empty() {
            let frame = json!({ "type": "subscribe", "id": "s", "channels": channels });
            ws.send(Message::text(frame.to_string()))?;
        }
        ws.get_ref().set_nonblocking(true)?;
        Ok(Client {
            ws,
            at: BTreeMap::new(),
            frames: 0,
            holes: 0,
            closed: None,
        })
    }
}

impl Client {
    /// Reads all that is there; gives whether there was anything.
    pub(crate) fn read(&mut self) -> bool {
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
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
            self.holes += 1;
            return;
        };
        if frame.id.as_deref() == Some("s") {
            let channels = frame.result.unwrap_or_default();
            for subscribed in channels["channels"].as_array().into_iter().flatten() {
                let name = subscribed["channel"].as_str().unwrap_or_default();
                let offset = subscribed["offset"].as_u64().unwrap_or_default();
                self.at.insert(name.to_owned(), offset);
            }
            return;
        }
        let (Some(name), Some(offset)) = (frame.channel, frame.offset) else {
            return;
        };
        let Some(at) = self.at.get_mut(name.as_ref()) else {
            return;
        };
        // A delta says where it begins; a whole book begins anew; all else comes one by one.
        let from = match frame.event.as_deref() {
            Some("book.delta") => frame.data.and_then(|data| data.from).unwrap_or_default(),
            Some("book.snapshot" | "book.state") => *at + 1,
            _ => offset,
        };
        if from != *at + 1 {
            self.holes += 1;
        }
        *at = offset;
    }

    /// The gateway's counters and percentiles.
    pub(crate) fn stats(&mut self, clock: &Clock) -> Result<Value, Box<dyn Error>> {
        let ask = json!({ "type": "request", "id": "stats", "method": "system.stats" });
        self.ws.send(Message::text(ask.to_string()))?;
        let until = clock.now() + Nanos::from_secs(10);
        while clock.now() < until {
            match self.ws.read() {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    if frame["id"] == "stats" {
                        return Ok(frame["result"].clone());
                    }
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::park_timeout(NAP);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err("no answer to system.stats".into())
    }
}

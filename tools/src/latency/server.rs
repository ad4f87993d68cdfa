//! The venue's end: one listener that upgrades WebSocket requests, answers subscriptions in the venue's words,
//! and the REST calls of Binance's connector.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;

use super::client::PATH;
use super::shape::{Shape, frame_of};
use super::spread::Spread;

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server on a port of its own.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub(super) addr: SocketAddr,
    /// What its clients must trust.
    pub(super) certificate: CertificateDer<'static>,
    /// Upgraded connections, ready to be sent to.
    links: Receiver<Link>,
    spread: Spread,
    stop: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It sees that when one more comes; where none can, it has ended already.
        let _ = TcpStream::connect(self.addr);
    }
}

/// A connection to send on.
#[derive(Debug)]
pub(super) struct Link {
    tls: Option<ServerConnection>,
    socket: TcpStream,
    /// Bytes that the socket has not taken.
    left: Vec<u8>,
    /// The instruments that are sent on it; empty where nobody has said.
    instruments: Vec<usize>,
}

/// Where the connections go to, and what they may ask for.
#[derive(Debug)]
struct Venue {
    config: Arc<ServerConfig>,
    spread: Spread,
    topics: HashMap<String, usize>,
    /// A book by REST.
    fetched: Option<String>,
    links: Sender<Link>,
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Server {
    /// Starts it. `tls` off is for the floor of plain TCP.
    ///
    /// # Errors
    /// In words.
    pub(super) fn start(shape: &Shape, tls: bool) -> Result<Server, String> {
        let key =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(words)?;
        let certificate = key.cert.der().clone();
        let private =
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(words)?
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], private)
                .map_err(words)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(words)?;
        let addr = listener.local_addr().map_err(words)?;
        let (sender, links) = channel();
        let spread = shape.spread;
        let topics = (0..spread.instruments()).map(|it| (shape.topic(it), it));
        let venue = Arc::new(Venue {
            config: Arc::new(config),
            spread,
            topics: topics.collect(),
            fetched: shape.fetched(),
            links: sender,
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            let sockets = listener.incoming().map_while(Result::ok);
            for socket in sockets.take_while(|_| !stopped.load(Ordering::Relaxed)) {
                let venue = Arc::clone(&venue);
                thread::spawn(move || {
                    // A client that goes away in the middle is its own affair.
                    let _ = if tls {
                        venue.serve(socket)
                    } else {
                        venue.hand_over(None, socket, Vec::new())
                    };
                });
            }
        });
        Ok(Server {
            addr,
            certificate,
            links,
            spread,
            stop,
        })
    }

    /// The connections, by the blocks of instruments that they carry.
    ///
    /// # Errors
    /// Where one does not come, or they carry something else.
    pub(super) fn links(&self) -> Result<Vec<Link>, String> {
        let sockets = self.spread.sockets();
        let mut links = Vec::with_capacity(sockets);
        for got in 0..sockets {
            let link = self.links.recv_timeout(Duration::from_secs(20));
            links.push(link.map_err(|_| match sockets {
                1 => "no client has come".to_owned(),
                _ => format!("{got} of {sockets} connections have come"),
            })?);
        }
        // Those of plain TCP have no block: what comes first is as good as any.
        links.sort_by_key(|link| link.instruments.first().copied());
        for (index, link) in links.iter().enumerate() {
            let mut instruments = link.instruments.iter();
            if let Some(other) = instruments.find(|it| self.spread.socket_of(**it) != index) {
                return Err(format!(
                    "instrument {other} was asked for on socket {index}"
                ));
            }
        }
        Ok(links)
    }

    /// How a client of ours does TLS.
    ///
    /// # Errors
    /// In words.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(words)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(words)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Venue {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let session = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        loop {
            let head = read_head(&mut stream)?;
            let text = String::from_utf8_lossy(&head).into_owned();
            let header = |name: &str| {
                let lines = text.lines().filter_map(|line| line.split_once(':'));
                lines
                    .into_iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, it)| it.trim())
            };
            let path = text.split(' ').nth(1).unwrap_or_default();
            if let Some(key) = header("sec-websocket-key") {
                let accept = derive_accept_key(key.as_bytes());
                write!(
                    stream,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )?;
                stream.flush()?;
                let instruments = self.instruments(&mut stream, path)?;
                return self.hand_over(Some(stream.conn), stream.sock, instruments);
            }
            let body = match &self.fetched {
                Some(book) if path.contains("/depth") => book,
                _ => "{}",
            };
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            stream.flush()?;
        }
    }

    /// What a connection is to carry. Engines subscribe by message; the others say which socket theirs is.
    fn instruments(&self, stream: &mut Tls, path: &str) -> io::Result<Vec<usize>> {
        if let Some((_, words)) = WORDS.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            return self.answer_subscriptions(stream, *words);
        }
        let socket = path.strip_prefix(PATH).and_then(|rest| rest.parse().ok());
        let socket: usize = socket.ok_or_else(|| io::Error::other("an unknown path"))?;
        let share = self.spread.share();
        Ok((socket * share..(socket + 1) * share).collect())
    }

    /// The connection is the sender's from here.
    fn hand_over(
        &self,
        tls: Option<ServerConnection>,
        socket: TcpStream,
        instruments: Vec<usize>,
    ) -> io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let _ = self.links.send(Link {
            tls,
            socket,
            left: Vec::new(),
            instruments,
        });
        Ok(())
    }

    /// Says yes to all requests, until a socket's share of instruments is subscribed to.
    fn answer_subscriptions(&self, stream: &mut Tls, words: Words) -> io::Result<Vec<usize>> {
        let mut instruments = Vec::new();
        while instruments.len() < self.spread.share() {
            let text = read_masked(stream)?;
            let request: Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
            let (topics, answer) = words.read(&request);
            for topic in topics.iter().filter_map(Value::as_str) {
                let found = self.topics.get(topic);
                let found = found.ok_or_else(|| io::Error::other("an unknown topic"))?;
                instruments.push(*found);
            }
            if let Some(answer) = answer {
                write_text(stream, &answer.to_string())?;
            }
        }
        instruments.sort_unstable();
        Ok(instruments)
    }
}

/// Whose words a subscription is in.
#[derive(Clone, Copy)]
enum Words {
    Binance,
    Bybit,
    Deribit,
    Polymarket,
}

/// By the beginning of the path.
const WORDS: [(&str, Words); 4] = [
    ("/stream", Words::Binance),
    ("/v5", Words::Bybit),
    ("/ws/api/v2", Words::Deribit),
    ("/ws/market", Words::Polymarket),
];

impl Words {
    /// The topics of a request, and what is said to it.
    fn read(self, request: &Value) -> (&[Value], Option<Value>) {
        let id = &request["id"];
        let (topics, answer) = match self {
            Words::Binance => (&request["params"], Some(json!({"result": null, "id": id}))),
            Words::Bybit => {
                let id = &request["req_id"];
                let answer = json!({
                    "success": true, "ret_msg": "", "conn_id": "c", "req_id": id, "op": "subscribe",
                });
                (&request["args"], Some(answer))
            }
            // A heartbeat is asked for first.
            Words::Deribit => {
                let topics = &request["params"]["channels"];
                let result = if topics.is_array() {
                    topics
                } else {
                    &json!("ok")
                };
                let answer =
                    json!({"jsonrpc": "2.0", "id": id, "result": result, "testnet": false});
                (topics, Some(answer))
            }
            // It answers nothing: the book that comes is the answer.
            Words::Polymarket => (&request["assets_ids"], None),
        };
        let topics = topics.as_array();
        (topics.map(Vec::as_slice).unwrap_or_default(), answer)
    }
}

fn read_head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    Ok(head)
}

/// A client's frame of text: masked, below 64 KiB.
fn read_masked(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut len = usize::from(head[1] & 0x7F);
    if len == 126 {
        let mut more = [0; 2];
        stream.read_exact(&mut more)?;
        len = usize::from(u16::from_be_bytes(more));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut text = vec![0; len];
    stream.read_exact(&mut text)?;
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(text)
}

fn write_text(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(&frame_of(text.as_bytes()))?;
    stream.flush()
}

impl Link {
    /// Sends, without waiting for room: what is left goes with [`Link::flush`].
    ///
    /// # Errors
    /// In words.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(bytes).map_err(words)?;
                tls.write_tls(&mut self.left).map_err(words)?;
                while tls.wants_write() {
                    tls.write_tls(&mut self.left).map_err(words)?;
                }
            }
            None => self.left.extend_from_slice(bytes),
        }
        self.flush().map(drop)
    }

    /// Sends what is left, as far as there is room. Gives whether all has gone.
    ///
    /// # Errors
    /// In words.
    pub(super) fn flush(&mut self) -> Result<bool, String> {
        if self.left.is_empty() {
            return Ok(true);
        }
        match self.socket.write(&self.left) {
            Ok(count) if count == self.left.len() => self.left.clear(),
            Ok(count) => drop(self.left.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(words(error)),
        }
        Ok(self.left.is_empty())
    }
}

//! Those who receive: each on a thread of its own, up to the book, with an event of 64 bytes into a
//! ring for each new best price.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use boomnet::stream::ConnectionInfo;
use boomnet::stream::tls::{IntoTlsStream as _, TlsConfigExt as _};
use boomnet::ws::{IntoWebsocket as _, WebsocketFrame};
use rtrb::Producer;
use rust_decimal::Decimal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Deserialize;

use super::{Shape, ShapeKind, number_in};
use crate::decode::typed::{BybitBook, Combined, Depth, Json, SerdeJson, SonicRs, Ticker};

/// What a ring carries: as large as tickwire's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// The venue's number.
    pub number: u64,
    /// The best bid and ask, as whatever numbers the client has.
    pub top: [[u64; 2]; 2],
    /// As much as tickwire's says besides: times, states.
    pub rest: [u64; 3],
}

/// A way to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Frames of known length over plain TCP, read and not looked into.
    FloorTcp,
    /// The same over rustls.
    FloorTls,
    /// boomnet with serde_json.
    BoomnetSerde,
    /// boomnet with sonic-rs.
    BoomnetSonic,
    /// tungstenite on a socket that does not block, with serde_json.
    Tungstenite,
    /// tokio-tungstenite on a current-thread runtime, with serde_json.
    Tokio,
    /// The same with a task that keeps the runtime from sleeping.
    TokioSpin,
    /// fastwebsockets on that runtime, with serde_json.
    Fastwebsockets,
}

/// Where to, and until when.
#[derive(Clone, Debug)]
pub struct Job {
    /// The server.
    pub addr: SocketAddr,
    /// How to do TLS.
    pub tls: Arc<ClientConfig>,
    /// What comes.
    pub shape: Shape,
    /// Set at the end.
    pub stop: Arc<AtomicBool>,
}

/// The book of a client that has none, and its ring.
struct Sink<J> {
    kind: ShapeKind,
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    ring: Producer<Event>,
    json: core::marker::PhantomData<J>,
}

fn bits(value: Decimal) -> u64 {
    value.mantissa() as u64
}

impl<J: Json> Sink<J> {
    fn new(kind: ShapeKind, ring: Producer<Event>) -> Sink<J> {
        Sink {
            kind,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            ring,
            json: core::marker::PhantomData,
        }
    }

    fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> io::Result<T> {
        J::read(text).ok_or_else(|| io::Error::other("a message that can't be read"))
    }

    #[inline]
    fn take(&mut self, text: &[u8]) -> io::Result<()> {
        match self.kind {
            ShapeKind::Top => {
                let Combined { data } = Self::read::<Combined<Ticker>>(text)?;
                let bid = [bits(data.bid.0), bits(data.bid_qty.0)];
                self.push(data.seq, [bid, [bits(data.ask.0), bits(data.ask_qty.0)]]);
            }
            ShapeKind::Depth => {
                let Combined { data } = Self::read::<Combined<Depth>>(text)?;
                let levels = |levels: Vec<[crate::decode::typed::Number; 2]>| {
                    levels.into_iter().map(|[price, qty]| (price.0, qty.0))
                };
                self.apply(data.last, levels(data.bids), levels(data.asks));
            }
            ShapeKind::Bybit => {
                let message: BybitBook<'_> = Self::read(text)?;
                let data = message.data;
                if message.kind == "snapshot" {
                    self.bids.clear();
                    self.asks.clear();
                }
                let levels = |levels: Vec<[crate::decode::typed::Number; 2]>| {
                    levels.into_iter().map(|[price, qty]| (price.0, qty.0))
                };
                self.apply(data.seq, levels(data.bids), levels(data.asks));
            }
        }
        Ok(())
    }

    #[inline]
    fn apply(
        &mut self,
        number: u64,
        bids: impl Iterator<Item = (Decimal, Decimal)>,
        asks: impl Iterator<Item = (Decimal, Decimal)>,
    ) {
        fn side(
            side: &mut BTreeMap<Decimal, Decimal>,
            levels: impl Iterator<Item = (Decimal, Decimal)>,
        ) {
            for (price, qty) in levels {
                if qty.is_zero() {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
        side(&mut self.bids, bids);
        side(&mut self.asks, asks);
        let pair = |(price, qty): (&Decimal, &Decimal)| [bits(*price), bits(*qty)];
        let bid = self.bids.last_key_value().map_or([0; 2], pair);
        let ask = self.asks.first_key_value().map_or([0; 2], pair);
        self.push(number, [bid, ask]);
    }

    #[inline]
    fn push(&mut self, number: u64, top: [[u64; 2]; 2]) {
        // It is larger than any burst.
        let _ = self.ring.push(Event {
            number,
            top,
            rest: [0; 3],
        });
    }
}

/// Receives until it is told to stop.
///
/// # Errors
/// In words.
pub fn run(client: Client, job: &Job, ring: Producer<Event>) -> Result<(), String> {
    let done = match client {
        Client::FloorTcp => floor_tcp(job, ring),
        Client::FloorTls => floor_tls(job, ring),
        Client::BoomnetSerde => boomnet::<SerdeJson>(job, ring),
        Client::BoomnetSonic => boomnet::<SonicRs>(job, ring),
        Client::Tungstenite => tungstenite(job, ring),
        Client::Tokio | Client::TokioSpin | Client::Fastwebsockets => tokio(client, job, ring),
    };
    done.map_err(|error| format!("{client:?}: {error}"))
}

const PATH: &str = "/ws";
const CHUNK: usize = 64 << 10;

impl Job {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A socket after TLS and upgrade, that does not block any more.
    fn upgraded(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let socket = TcpStream::connect(self.addr)?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session =
            ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(request().as_bytes())?;
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        stream.sock.set_nonblocking(true)?;
        Ok(stream)
    }
}

fn request() -> String {
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// What the floors do with plain bytes: a number out of each frame of known length.
struct Fixed {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    frame: usize,
    number_at: usize,
    /// Frames of another length that come first.
    first: usize,
    ring: Producer<Event>,
}

impl Fixed {
    fn new(job: &Job, ring: Producer<Event>) -> Fixed {
        let first = match job.shape.kind {
            ShapeKind::Bybit => super::bybit_snapshot().len(),
            _ => 0,
        };
        Fixed {
            bytes: vec![0; 4 * CHUNK],
            start: 0,
            end: 0,
            frame: job.shape.frame().bytes.len(),
            number_at: job.shape.number_at(),
            first,
            ring,
        }
    }

    fn space(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < CHUNK {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, count: usize) {
        self.end += count;
        if self.first > 0 && self.end - self.start >= self.first {
            self.start += std::mem::take(&mut self.first);
        }
        while self.first == 0 && self.end - self.start >= self.frame {
            let number = number_in(&self.bytes[self.start + self.number_at..]);
            let _ = self.ring.push(Event {
                number,
                ..Event::default()
            });
            self.start += self.frame;
        }
    }
}

fn floor_tcp(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut socket = TcpStream::connect(job.addr)?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    let mut fixed = Fixed::new(job, ring);
    while !job.stopped() {
        match socket.read(fixed.space()) {
            Ok(0) => return Ok(()),
            Ok(count) => fixed.filled(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn floor_tls(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let StreamOwned { mut conn, mut sock } = job.upgraded()?;
    let mut fixed = Fixed::new(job, ring);
    let mut cipher = vec![0; CHUNK];
    while !job.stopped() {
        let count = match sock.read(&mut cipher) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &cipher[..count];
        while !rest.is_empty() {
            conn.read_tls(&mut rest)?;
            let state = conn.process_new_packets().map_err(io::Error::other)?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let count = conn.reader().read(fixed.space())?;
                fixed.filled(count);
                left -= count;
            }
        }
    }
    Ok(())
}

fn boomnet<J: Json>(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut sink = Sink::<J>::new(job.shape.kind, ring);
    // It is given no certificate to trust; that costs or saves nothing behind the handshake.
    let mut socket = ConnectionInfo::new("localhost", job.addr.port())
        .into_tcp_stream_with_addr(job.addr)?
        .into_tls_stream_with_config(|config| config.with_no_cert_verification())?
        .into_websocket(PATH);
    while !job.stopped() {
        for frame in socket.read_batch().map_err(io::Error::other)? {
            if let WebsocketFrame::Text(_, text) = frame.map_err(io::Error::other)? {
                sink.take(text)?;
            }
        }
    }
    Ok(())
}

fn tungstenite(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut sink = Sink::<SerdeJson>::new(job.shape.kind, ring);
    // Its default of 128 KiB is zeroed before each read; this is the best that a user finds.
    let config = tungstenite::protocol::WebSocketConfig::default().read_buffer_size(4 << 10);
    let role = tungstenite::protocol::Role::Client;
    let mut socket = tungstenite::WebSocket::from_raw_socket(job.upgraded()?, role, Some(config));
    while !job.stopped() {
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => sink.take(text.as_bytes())?,
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(())
}

fn tokio(client: Client, job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let runtime = ::tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if client != Client::Tokio {
            let job = job.clone();
            ::tokio::spawn(async move {
                while !job.stopped() {
                    ::tokio::task::yield_now().await;
                }
            });
        }
        let receive = receive(client, job, ring);
        ::tokio::pin!(receive);
        let mut tick = ::tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            ::tokio::select! {
                done = &mut receive => return done,
                _ = tick.tick() => if job.stopped() { return Ok(()) },
            }
        }
    })
}

async fn receive(client: Client, job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut sink = Sink::<SerdeJson>::new(job.shape.kind, ring);
    let socket = ::tokio::net::TcpStream::connect(job.addr).await?;
    socket.set_nodelay(true)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&job.tls));
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut stream = connector.connect(name, socket).await?;
    if client != Client::Fastwebsockets {
        let (mut socket, _) =
            tokio_tungstenite::client_async(format!("wss://localhost{PATH}"), stream)
                .await
                .map_err(io::Error::other)?;
        loop {
            let next =
                std::future::poll_fn(|context| {
                    match futures_util::StreamExt::poll_next_unpin(&mut socket, context) {
                        Poll::Ready(message) => Poll::Ready(message),
                        Poll::Pending => Poll::Pending,
                    }
                });
            match next.await {
                Some(Ok(tungstenite::Message::Text(text))) => sink.take(text.as_bytes())?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(()),
            }
        }
    }
    use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(request().as_bytes()).await?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await?;
        head.extend_from_slice(&byte);
    }
    let role = fastwebsockets::Role::Client;
    let mut socket = fastwebsockets::WebSocket::after_handshake(stream, role);
    loop {
        let frame = socket.read_frame().await.map_err(io::Error::other)?;
        sink.take(&frame.payload)?;
    }
}

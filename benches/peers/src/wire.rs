//! Peers that receive what [`tickwire_tools::latency`] sends: each on a thread of its own, up to the book, with
//! an event of 64 bytes into a ring for each new best price.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use boomnet::stream::ConnectionInfo;
use boomnet::stream::tls::{IntoTlsStream as _, TlsConfigExt as _};
use boomnet::ws::{IntoWebsocket as _, WebsocketFrame};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rtrb::Producer;
use rust_decimal::Decimal;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tickwire_tools::latency::{Event, Job, Shape, ShapeKind, path, request};

use crate::decode::shapes::{
    BybitBookData, Depth, DeribitBookData, DeribitLevel, Number, PolymarketChange,
    PolymarketChanges, PolymarketLevel, Ticker,
};
use crate::decode::typed::{Json, SerdeJson, SonicRs};

/// A way to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
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

/// What a message is about, and what it brings.
#[derive(Deserialize)]
struct About<'a, T> {
    #[serde(alias = "channel")]
    stream: &'a str,
    data: T,
}

/// Deribit's envelope.
#[derive(Deserialize)]
struct Notification<'a, T> {
    #[serde(borrow)]
    params: About<'a, T>,
}

#[derive(Deserialize)]
struct BybitBook<'a> {
    topic: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    data: BybitBookData,
}

#[derive(Deserialize)]
struct PolymarketBook<'a> {
    asset_id: &'a str,
    bids: Vec<PolymarketLevel>,
    asks: Vec<PolymarketLevel>,
}

/// A book by REST.
#[derive(Deserialize)]
struct Fetched {
    bids: Vec<[Number; 2]>,
    asks: Vec<[Number; 2]>,
}

/// The book of a client that has none.
#[derive(Default)]
struct Book {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
}

/// The books of a client, and its ring.
struct Sink<J> {
    shape: Shape,
    books: Vec<Book>,
    /// Quick to hash, as a user would have it.
    by_topic: HashMap<String, usize, foldhash::fast::FixedState>,
    ring: Producer<Event>,
    json: core::marker::PhantomData<J>,
}

fn bits(value: Decimal) -> u64 {
    value.mantissa() as u64
}

impl<J: Json> Sink<J> {
    fn new(shape: &Shape, ring: Producer<Event>) -> io::Result<Sink<J>> {
        let instruments = 0..shape.spread.instruments();
        let mut sink = Sink {
            shape: shape.clone(),
            books: instruments.clone().map(|_| Book::default()).collect(),
            by_topic: instruments.map(|it| (shape.topic(it), it)).collect(),
            ring,
            json: core::marker::PhantomData,
        };
        if let Some(fetched) = shape.fetched() {
            for index in 0..sink.books.len() {
                let Fetched { bids, asks } = Self::read(fetched.as_bytes())?;
                sink.apply(index, 0, quoted(bids), quoted(asks));
            }
        }
        Ok(sink)
    }

    fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> io::Result<T> {
        J::read(text).ok_or_else(|| io::Error::other("a message that can't be read"))
    }

    /// The instrument that a message is about, if it is one that was asked for. Who has asked for one knows.
    #[inline]
    fn find(&self, topic: &str) -> Option<usize> {
        match self.books.len() {
            1 => Some(0),
            _ => self.by_topic.get(topic).copied(),
        }
    }

    #[inline]
    fn known(&self, topic: &str) -> io::Result<usize> {
        self.find(topic)
            .ok_or_else(|| io::Error::other("a message that nobody has asked for"))
    }

    #[inline]
    fn take(&mut self, text: &[u8]) -> io::Result<()> {
        match self.shape.kind {
            ShapeKind::Top => {
                let About { stream, data } = Self::read::<About<'_, Ticker>>(text)?;
                let index = self.known(stream)?;
                let bid = [bits(data.bid.0), bits(data.bid_qty.0)];
                let ask = [bits(data.ask.0), bits(data.ask_qty.0)];
                self.push(index, data.seq, [bid, ask]);
            }
            ShapeKind::Depth => {
                let About { stream, data } = Self::read::<About<'_, Depth>>(text)?;
                let index = self.known(stream)?;
                self.apply(index, data.last, quoted(data.bids), quoted(data.asks));
            }
            ShapeKind::Bybit => {
                let BybitBook { topic, kind, data } = Self::read(text)?;
                let index = self.known(topic)?;
                if kind == "snapshot" {
                    self.books[index] = Book::default();
                }
                self.apply(index, data.seq, quoted(data.bids), quoted(data.asks));
            }
            ShapeKind::Deribit => {
                let message: Notification<'_, DeribitBookData<'_>> = Self::read(text)?;
                let About { stream, data } = message.params;
                let index = self.known(stream)?;
                if data.kind == "snapshot" {
                    self.books[index] = Book::default();
                }
                let level = |(_, price, qty): DeribitLevel<'_>| (price.0, qty.0);
                let (bids, asks) = (data.bids.into_iter(), data.asks.into_iter());
                self.apply(index, data.seq, bids.map(level), asks.map(level));
            }
            // The frame that a book begins with is an array; all others are objects.
            ShapeKind::Polymarket if text.first() == Some(&b'[') => {
                for book in Self::read::<Vec<PolymarketBook<'_>>>(text)? {
                    let index = self.known(book.asset_id)?;
                    self.books[index] = Book::default();
                    let levels = |levels: Vec<PolymarketLevel>| {
                        levels.into_iter().map(|it| (it.price.0, it.size.0))
                    };
                    self.apply(index, 0, levels(book.bids), levels(book.asks));
                }
            }
            ShapeKind::Polymarket => {
                let message: PolymarketChanges<'_> = Self::read(text)?;
                let time_ms = message.timestamp.parse().map_err(io::Error::other)?;
                // The other outcome's changes are not asked for: a name decides even where there is one book.
                let find = |it: &PolymarketChange<'_>| self.by_topic.get(it.asset_id).copied();
                let Some(index) = message.price_changes.iter().find_map(find) else {
                    return Ok(());
                };
                let ours = message.price_changes.into_iter();
                let ours = ours.filter(|it| self.by_topic.get(it.asset_id) == Some(&index));
                let (bids, asks): (Vec<_>, Vec<_>) = ours.partition(|it| it.side == "BUY");
                let level = |it: PolymarketChange<'_>| (it.price.0, it.size.0);
                let (bids, asks) = (bids.into_iter(), asks.into_iter());
                self.apply(index, time_ms, bids.map(level), asks.map(level));
            }
        }
        Ok(())
    }

    #[inline]
    fn apply(
        &mut self,
        index: usize,
        seq: u64,
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
        let Some(book) = self.books.get_mut(index) else {
            return;
        };
        side(&mut book.bids, bids);
        side(&mut book.asks, asks);
        let pair = |(price, qty): (&Decimal, &Decimal)| [bits(*price), bits(*qty)];
        let bid = book.bids.last_key_value().map_or([0; 2], pair);
        let ask = book.asks.first_key_value().map_or([0; 2], pair);
        self.push(index, seq, [bid, ask]);
    }

    #[inline]
    fn push(&mut self, index: usize, seq: u64, top: [[u64; 2]; 2]) {
        // It is larger than any burst.
        let _ = self.ring.push(Event {
            number: self.shape.number_of(seq, index),
            top,
            rest: [0; 3],
        });
    }
}

/// Levels whose numbers have quotes.
fn quoted(levels: Vec<[Number; 2]>) -> impl Iterator<Item = (Decimal, Decimal)> {
    levels.into_iter().map(|[price, qty]| (price.0, qty.0))
}

/// Receives until it is told to stop.
///
/// # Errors
/// Those of the socket, of TLS, and of the library.
pub fn run(client: Client, job: &Job, ring: Producer<Event>) -> io::Result<()> {
    match client {
        Client::BoomnetSerde => boomnet::<SerdeJson>(job, ring),
        Client::BoomnetSonic => boomnet::<SonicRs>(job, ring),
        Client::Tungstenite => tungstenite(job, ring),
        Client::Tokio | Client::TokioSpin | Client::Fastwebsockets => tokio(client, job, ring),
    }
}

fn boomnet<J: Json>(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut sink = Sink::<J>::new(&job.shape, ring)?;
    // It is given no certificate to trust; that costs or saves nothing behind the handshake.
    let connect = |socket| {
        let stream = ConnectionInfo::new("localhost", job.addr.port())
            .into_tcp_stream_with_addr(job.addr)?
            .into_tls_stream_with_config(|config| config.with_no_cert_verification())?;
        Ok(stream.into_websocket(&path(socket)))
    };
    let mut sockets: Vec<_> = job.sockets().map(connect).collect::<io::Result<_>>()?;
    while !job.stopped() {
        for socket in &mut sockets {
            for frame in socket.read_batch().map_err(io::Error::other)? {
                if let WebsocketFrame::Text(_, text) = frame.map_err(io::Error::other)? {
                    sink.take(text)?;
                }
            }
        }
    }
    Ok(())
}

fn tungstenite(job: &Job, ring: Producer<Event>) -> io::Result<()> {
    let mut sink = Sink::<SerdeJson>::new(&job.shape, ring)?;
    // Its default of 128 KiB is zeroed before each read; this is the best that a user finds.
    let config = tungstenite::protocol::WebSocketConfig::default().read_buffer_size(4 << 10);
    let role = tungstenite::protocol::Role::Client;
    let connect = |socket| {
        let stream = job.upgraded(socket)?;
        Ok(tungstenite::WebSocket::from_raw_socket(
            stream,
            role,
            Some(config),
        ))
    };
    let mut sockets: Vec<_> = job.sockets().map(connect).collect::<io::Result<_>>()?;
    while !job.stopped() {
        for socket in &mut sockets {
            match socket.read() {
                Ok(tungstenite::Message::Text(text)) => sink.take(text.as_bytes())?,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(io::Error::other(error)),
            }
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
        let sink = RefCell::new(Sink::<SerdeJson>::new(&job.shape, ring)?);
        let mut sockets: FuturesUnordered<_> = job
            .sockets()
            .map(|socket| receive(client, job, socket, &sink))
            .collect();
        let mut tick = ::tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            ::tokio::select! {
                Some(done) = sockets.next() => return done,
                _ = tick.tick() => if job.stopped() { return Ok(()) },
            }
        }
    })
}

async fn receive(
    client: Client,
    job: &Job,
    number: usize,
    sink: &RefCell<Sink<SerdeJson>>,
) -> io::Result<()> {
    let socket = ::tokio::net::TcpStream::connect(job.addr).await?;
    socket.set_nodelay(true)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&job.tls));
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut stream = connector.connect(name, socket).await?;
    if client != Client::Fastwebsockets {
        let url = format!("wss://localhost{}", path(number));
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
            .await
            .map_err(io::Error::other)?;
        loop {
            match socket.next().await {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    sink.borrow_mut().take(text.as_bytes())?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(()),
            }
        }
    }
    use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(request(&path(number)).as_bytes()).await?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await?;
        head.extend_from_slice(&byte);
    }
    let role = fastwebsockets::Role::Client;
    let mut socket = fastwebsockets::WebSocket::after_handshake(stream, role);
    loop {
        let frame = socket.read_frame().await.map_err(io::Error::other)?;
        sink.borrow_mut().take(&frame.payload)?;
    }
}

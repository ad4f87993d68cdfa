//! Peers that receive what [`tickwire_tools::latency`] sends: each on a thread of its own, up to the book, with
//! an event of 64 bytes into a ring for each new best price.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::Poll;

use boomnet::stream::ConnectionInfo;
use boomnet::stream::tls::{IntoTlsStream as _, TlsConfigExt as _};
use boomnet::ws::{IntoWebsocket as _, WebsocketFrame};
use rtrb::Producer;
use rust_decimal::Decimal;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tickwire_tools::latency::{Event, Job, PATH, Shape, ShapeKind, TOKEN, request};

use crate::decode::shapes::{
    BybitBook, Combined, Depth, DeribitBookData, DeribitLevel, Notification, Number,
    PolymarketBook, PolymarketChange, PolymarketChanges, PolymarketLevel, Ticker,
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

/// The book of a client that has none, and its ring.
struct Sink<J> {
    shape: Shape,
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    ring: Producer<Event>,
    json: core::marker::PhantomData<J>,
}

fn bits(value: Decimal) -> u64 {
    value.mantissa() as u64
}

impl<J: Json> Sink<J> {
    fn new(shape: &Shape, ring: Producer<Event>) -> Sink<J> {
        Sink {
            shape: shape.clone(),
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
        match self.shape.kind {
            ShapeKind::Top => {
                let Combined { data } = Self::read::<Combined<Ticker>>(text)?;
                let bid = [bits(data.bid.0), bits(data.bid_qty.0)];
                self.push(data.seq, [bid, [bits(data.ask.0), bits(data.ask_qty.0)]]);
            }
            ShapeKind::Depth => {
                let Combined { data } = Self::read::<Combined<Depth>>(text)?;
                let levels = |levels: Vec<[Number; 2]>| {
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
                let levels = |levels: Vec<[Number; 2]>| {
                    levels.into_iter().map(|[price, qty]| (price.0, qty.0))
                };
                self.apply(data.seq, levels(data.bids), levels(data.asks));
            }
            ShapeKind::Deribit => {
                let data = Self::read::<Notification<DeribitBookData<'_>>>(text)?
                    .params
                    .data;
                if data.kind == "snapshot" {
                    self.bids.clear();
                    self.asks.clear();
                }
                let level = |(_, price, qty): DeribitLevel<'_>| (price.0, qty.0);
                let (bids, asks) = (data.bids.into_iter(), data.asks.into_iter());
                self.apply(data.seq, bids.map(level), asks.map(level));
            }
            // The frame that a book begins with is an array; all others are objects.
            ShapeKind::Polymarket if text.first() == Some(&b'[') => {
                for book in Self::read::<Vec<PolymarketBook>>(text)? {
                    self.bids.clear();
                    self.asks.clear();
                    let levels = |levels: Vec<PolymarketLevel>| {
                        levels.into_iter().map(|it| (it.price.0, it.size.0))
                    };
                    self.apply(0, levels(book.bids), levels(book.asks));
                }
            }
            ShapeKind::Polymarket => {
                let message: PolymarketChanges<'_> = Self::read(text)?;
                let time_ms = message.timestamp.parse().map_err(io::Error::other)?;
                let ours = message.price_changes.into_iter();
                let ours = ours.filter(|change| change.asset_id == TOKEN);
                let (bids, asks): (Vec<_>, Vec<_>) = ours.partition(|it| it.side == "BUY");
                let level = |it: PolymarketChange<'_>| (it.price.0, it.size.0);
                let number = self.shape.number_of(time_ms);
                let (bids, asks) = (bids.into_iter(), asks.into_iter());
                self.apply(number, bids.map(level), asks.map(level));
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
    let mut sink = Sink::<J>::new(&job.shape, ring);
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
    let mut sink = Sink::<SerdeJson>::new(&job.shape, ring);
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
    let mut sink = Sink::<SerdeJson>::new(&job.shape, ring);
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

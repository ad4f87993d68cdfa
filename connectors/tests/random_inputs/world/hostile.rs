//! What a venue must not do, and what a strategy may ask for in error. From the first of these inputs
//! on nothing is held against what the venue's books were.

use super::*;

/// Symbols that can't be, or that the venue does not have.
const BAD_SYMBOLS: [&str; 8] = [
    "",
    "NOPE/NOPE",
    "btcusdt",
    "A\"],\"x\":[\"",
    "ETH\nUSDT",
    "/",
    "ÄÖ/USDT:USDT-",
    "BTC/USDT:USDT-250627",
];

/// The channels beside those that the venue here has news of.
const CHANNELS: [Channel; 8] = [
    Channel::BOOK,
    Channel::Bbo,
    Channel::Trades,
    Channel::AggTrades,
    Channel::Ticker,
    Channel::Kline(Interval::Min1),
    Channel::Kline(Interval::Sec1),
    Channel::Book(BookParams {
        levels: Some(200),
        interval_ms: Some(1_000),
    }),
];

impl World {
    /// A subscription to anything.
    pub(super) fn subscribe_any(&mut self, symbol: usize, channel: u8, depth: bool) {
        let channel = match channel {
            b'b' => Channel::BOOK,
            b'1' => Channel::Bbo,
            b't' => Channel::Trades,
            other => CHANNELS[usize::from(other) % CHANNELS.len()],
        };
        let name = match symbol {
            0..SYMBOLS => self.kind.names()[symbol].to_owned(),
            3..5 => self.kind.unified(symbol - 3),
            _ => BAD_SYMBOLS[symbol % BAD_SYMBOLS.len()].to_owned(),
        };
        // What it is not asked for, or never has news of, can't become Live.
        let known = matches!(channel, Channel::Bbo | Channel::Trades) || channel == Channel::BOOK;
        self.honest &= known && symbol < 5;
        self.subscribe(symbol % 3, &name, channel, depth);
    }

    /// The loop was held up, and finds everything due at once.
    pub(super) fn jump(&mut self, millis: u64) {
        self.now += Nanos::from_millis(millis as i64);
        self.fire();
        self.give_up();
    }

    /// Any bytes on one of the links that are up.
    pub(super) fn hostile_message(&mut self, number: usize, bytes: &[u8]) {
        self.honest = false;
        bytes.clone_into(&mut self.last_message);
        let mut up = self.links.iter().filter(|(_, link)| link.up);
        if let Some((&id, _)) = up.nth(number % 4) {
            self.message(id, bytes);
        }
    }

    /// The venue's next messages of a symbol, each with a part replaced.
    pub(super) fn hostile_news(&mut self, symbol: usize, (at, count): (usize, usize), by: &[u8]) {
        self.honest = false;
        for (topic, text) in self.news(symbol, Fault::None) {
            let mut bytes = text.into_bytes();
            let start = at % bytes.len();
            let end = start.saturating_add(count).min(bytes.len());
            bytes.splice(start..end, by.iter().copied());
            let links = self.links.iter();
            let links = links.filter(|(_, link)| link.up && link.topics.contains(&topic));
            let ids: Vec<u16> = links.map(|(&id, _)| id).collect();
            for id in ids {
                self.message(id, &bytes);
            }
        }
    }

    /// Any answer to one of the requests.
    pub(super) fn hostile_response(
        &mut self,
        number: usize,
        status: u16,
        header: &[u8],
        body: &[u8],
    ) {
        if number >= self.http.len() {
            return;
        }
        self.honest = false;
        let (_, request) = self.http.remove(number);
        let header = String::from_utf8_lossy(header);
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        let headers = [(name.to_owned(), value.trim().to_owned())];
        let mut body = body.to_vec();
        let response = Response {
            status,
            headers: &headers,
            body: &mut body,
        };
        self.connector
            .handle_response(self.now, request.id, Ok(response), &mut self.out);
        self.settle();
    }

    /// Any instruments, whatever was asked for.
    pub(super) fn hostile_instruments(&mut self, number: usize, body: &[u8]) {
        if number >= self.http.len() {
            return;
        }
        self.honest = false;
        let (_, request) = self.http.remove(number);
        let read = self.connector.instrument_reader();
        let instruments = read(self.connector.market(), &mut body.to_vec());
        self.connector
            .handle_instruments(self.now, request.id, instruments, &mut self.out);
        self.settle();
    }

    /// An answer to no request, in both ways in which one can come.
    pub(super) fn unasked_response(&mut self, id: u32, status: u16, body: &[u8]) {
        let id = RequestId(id);
        if self.http.iter().any(|(_, request)| request.id == id) {
            return;
        }
        let mut body = body.to_vec();
        let response = Response {
            status,
            headers: &[],
            body: &mut body,
        };
        self.connector
            .handle_response(self.now, id, Ok(response), &mut self.out);
        self.settle();
        self.connector
            .handle_instruments(self.now, id, Ok(Vec::new()), &mut self.out);
        self.settle();
    }
}

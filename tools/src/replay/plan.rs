//! What a recording holds, found out in a pass of its own: markets, connections, streams.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use tickwire_connectors::{Channel, Market, Nanos, Venue};

use super::error::ReplayError;
use super::sniff;
use crate::recording::{Progress, ReadErrorKind, Reader, Record, RecordKind};

/// What to replay.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The venue that the messages are from.
    pub venue: Venue,
    /// Only this market; also the market of connections about which the recording says nothing.
    pub market: Option<Market>,
    /// Only these symbols, unified or the venue's; all where there are none.
    pub symbols: Vec<String>,
}

/// A connection of the recorder. Those without a name are told apart by their file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conn {
    file: Option<usize>,
    name: String,
}

impl Conn {
    /// The connection called `name` in the file of this index.
    pub fn of(file: usize, name: &str) -> Conn {
        Conn {
            file: name.is_empty().then_some(file),
            name: name.to_owned(),
        }
    }
}

/// What to subscribe to, at which connectors.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The venue.
    pub venue: Venue,
    /// One connector each.
    pub markets: Vec<MarketPlan>,
    /// The first receive time in the files.
    pub first_ns: Option<Nanos>,
}

/// What to subscribe to at one connector.
#[derive(Clone, Debug)]
pub struct MarketPlan {
    /// The market.
    pub market: Market,
    /// The connections whose lines are for it.
    pub conns: Vec<Conn>,
    /// The streams, in the order in which they appear.
    pub streams: Vec<PlannedStream>,
    /// Whether the recording holds the venue's instrument data.
    pub has_instruments: bool,
}

/// A stream to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlannedStream {
    /// The venue's symbol.
    pub symbol: String,
    /// The kind of stream.
    pub channel: Channel,
}

impl MarketPlan {
    /// Each symbol once.
    pub(super) fn symbols(&self) -> Vec<String> {
        let mut symbols: Vec<String> = Vec::new();
        for stream in &self.streams {
            if !symbols.contains(&stream.symbol) {
                symbols.push(stream.symbol.clone());
            }
        }
        symbols
    }
}

/// What is known of a connection.
#[derive(Debug)]
struct Found {
    conn: Conn,
    market: Option<Market>,
    streams: Vec<PlannedStream>,
    seen: HashSet<String>,
    /// File and number of its first line with market data.
    at: (usize, u64),
}

impl Plan {
    /// Reads the files through and finds out what they hold. `watch` is told how far it is before
    /// each line. What can't be read ends the file quietly here: the replay meets it again, after
    /// all that stands before it.
    pub fn discover(
        files: &[PathBuf],
        scope: &Scope,
        mut watch: impl FnMut(usize, &Progress),
    ) -> Result<Plan, ReplayError> {
        let mut survey = Survey::new(scope.venue);
        for (index, path) in files.iter().enumerate() {
            let mut reader = Reader::open(path)?;
            let progress = reader.progress().clone();
            loop {
                watch(index, &progress);
                match reader.next_record() {
                    Ok(Some(record)) => survey.look(index, &record),
                    Ok(None) => break,
                    Err(error) if matches!(error.kind, ReadErrorKind::Open(_)) => {
                        return Err(error.into());
                    }
                    Err(_) => break,
                }
            }
        }
        survey.plan(scope, files)
    }
}

#[derive(Debug)]
struct Survey {
    venue: Venue,
    found: Vec<Found>,
    index: HashMap<Conn, usize>,
    instruments: Vec<Option<Market>>,
    first_ns: Option<Nanos>,
    lines: u64,
}

impl Survey {
    fn new(venue: Venue) -> Survey {
        Survey {
            venue,
            found: Vec::new(),
            index: HashMap::new(),
            instruments: Vec::new(),
            first_ns: None,
            lines: 0,
        }
    }

    fn look(&mut self, file: usize, record: &Record<'_>) {
        self.lines += 1;
        self.first_ns = self.first_ns.or(record.recv_ns);
        match sniff::kind_of(self.venue, record) {
            RecordKind::Recv => self.look_at_message(file, record),
            RecordKind::Connect | RecordKind::Send => {
                let market = record
                    .url
                    .and_then(|url| sniff::market_of_url(self.venue, url));
                let found = self.found(file, record);
                found.market = found.market.or(market);
            }
            RecordKind::Http if self.is_instruments(record) => {
                let market = record
                    .url
                    .and_then(|url| sniff::market_of_url(self.venue, url))
                    .or_else(|| sniff::market_of_answer(self.venue, record.payload));
                self.instruments.push(market);
            }
            RecordKind::Http | RecordKind::Other => {}
        }
    }

    fn is_instruments(&self, record: &Record<'_>) -> bool {
        use super::answers::{Answers, Topic, topic_of};
        let topic = match record.url {
            Some(url) => topic_of(url),
            None => Answers::default().topic_of_body(record.payload),
        };
        matches!(topic, Topic::Instruments(_))
    }

    fn look_at_message(&mut self, file: usize, record: &Record<'_>) {
        let venue = self.venue;
        let url_market = record.url.and_then(|url| sniff::market_of_url(venue, url));
        let line = record.line;
        let payload = &*record.payload;
        let found = self.found(file, record);
        found.market = found
            .market
            .or(url_market)
            .or_else(|| sniff::market_of_message(venue, payload));
        let stream = match sniff::topic(venue, payload) {
            Some(topic) if found.seen.contains(topic) => return,
            Some(topic) => {
                found.seen.insert(topic.to_owned());
                sniff::stream_of_topic(venue, topic)
            }
            None => sniff::stream_of_message(venue, payload),
        };
        let Some((symbol, channel)) = stream else {
            return;
        };
        let stream = PlannedStream { symbol, channel };
        if found.streams.is_empty() {
            found.at = (file, line);
        }
        if !found.streams.contains(&stream) {
            found.streams.push(stream);
        }
    }

    fn found(&mut self, file: usize, record: &Record<'_>) -> &mut Found {
        let conn = Conn::of(file, record.conn);
        let index = *self.index.entry(conn.clone()).or_insert_with(|| {
            self.found.push(Found {
                conn,
                market: None,
                streams: Vec::new(),
                seen: HashSet::new(),
                at: (file, record.line),
            });
            self.found.len() - 1
        });
        &mut self.found[index]
    }

    fn plan(self, scope: &Scope, files: &[PathBuf]) -> Result<Plan, ReplayError> {
        let mut markets: Vec<MarketPlan> = Vec::new();
        let mut held: Vec<String> = Vec::new();
        for found in self.found {
            let market = match (found.market.or(scope.market), found.streams.is_empty()) {
                (Some(market), _) => market,
                (None, true) => continue,
                (None, false) => {
                    let (file, line) = found.at;
                    let file = files.get(file).map(|path| path.display().to_string());
                    return Err(ReplayError::MarketUnknown {
                        venue: self.venue,
                        file: file.unwrap_or_default(),
                        line,
                    });
                }
            };
            if scope.market.is_some_and(|only| only != market) {
                continue;
            }
            held.extend(found.streams.iter().map(|stream| stream.symbol.clone()));
            let index = markets.iter().position(|plan| plan.market == market);
            let index = index.unwrap_or_else(|| {
                markets.push(MarketPlan {
                    market,
                    conns: Vec::new(),
                    streams: Vec::new(),
                    has_instruments: self.instruments.contains(&Some(market)),
                });
                markets.len() - 1
            });
            let plan = &mut markets[index];
            plan.conns.push(found.conn);
            for stream in found.streams {
                if scope.takes(market, &stream.symbol) && !plan.streams.contains(&stream) {
                    plan.streams.push(stream);
                }
            }
        }
        markets.retain(|plan| !plan.streams.is_empty());
        if let [only] = &mut markets[..] {
            only.has_instruments |= self.instruments.contains(&None);
        }
        if markets.is_empty() {
            return Err(nothing(scope, held, self.lines));
        }
        let first_ns = self.first_ns;
        Ok(Plan {
            venue: self.venue,
            markets,
            first_ns,
        })
    }
}

fn nothing(scope: &Scope, mut held: Vec<String>, lines: u64) -> ReplayError {
    held.sort();
    held.dedup();
    if held.is_empty() {
        let other = scope
            .market
            .map(|market| format!(" and --market (nothing of {market} is there)"));
        return ReplayError::NoMarketData {
            venue: scope.venue,
            lines,
            other,
        };
    }
    ReplayError::NoSuchSymbol {
        asked: scope.symbols.join(", "),
        held: held.join(", "),
    }
}

impl Scope {
    /// Whether the venue's `symbol` of this market is among those asked for. A unified symbol names
    /// its market too: "BTC/USDT" is spot, "BTC/USDT:USDT" is not.
    fn takes(&self, market: Market, symbol: &str) -> bool {
        let is_asked_for = |asked: &String| {
            if asked.eq_ignore_ascii_case(symbol) {
                return true;
            }
            let fits = !asked.contains('/') || asked.contains(':') == (market != Market::Spot);
            fits && bare(asked) == bare(symbol)
        };
        self.symbols.is_empty() || self.symbols.iter().any(is_asked_for)
    }
}

/// A symbol without what unified and venue's names differ in: "BTC/USD:BTC" and "BTCUSD_PERP" are
/// both "BTCUSD".
fn bare(symbol: &str) -> String {
    let upper = symbol.to_uppercase();
    let pair = upper.split(':').next().unwrap_or_default();
    pair.trim_end_matches("_PERP").replace('/', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_by_either_name() {
        let scope = |asked: &str| Scope {
            venue: Venue::Binance,
            market: None,
            symbols: vec![asked.to_owned()],
        };
        use Market::{Inverse, Linear, Spot};
        for (asked, market, symbol, taken) in [
            ("BTC/USDT", Spot, "BTCUSDT", true),
            ("BTC/USDT", Linear, "BTCUSDT", false),
            ("BTC/USDT:USDT", Linear, "BTCUSDT", true),
            ("BTC/USDT:USDT", Spot, "BTCUSDT", false),
            ("btcusdt", Linear, "BTCUSDT", true),
            ("BTC/USD:BTC", Inverse, "BTCUSD_PERP", true),
            ("BTCUSD_210924", Inverse, "BTCUSD_210924", true),
            ("BTC/USD:BTC", Inverse, "BTCUSD_210924", false),
            ("ETH/USDT", Spot, "BTCUSDT", false),
        ] {
            let found = scope(asked).takes(market, symbol);
            assert_eq!(found, taken, "{asked} {market} {symbol}");
        }
    }
}

//! Every venue-market under the same small set-up: two instruments, two connections. The first
//! holds both books, the second one book and a top of book that no test aims at.

use serde_json::Value;
use tickwire_sim::{Channel, ConnId, Fault, FaultRecord, SimVenue, Target, Truth, VenueSpec};

use super::book::Book;
use super::{Event, Pipe, SECOND};

/// One venue-market: how it names things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject(pub(crate) SimVenue);

impl Subject {
    pub(crate) const ALL: [Self; 5] = [
        Self(SimVenue::BinanceSpot),
        Self(SimVenue::BinanceLinear),
        Self(SimVenue::BinanceInverse),
        Self(SimVenue::BybitSpot),
        Self(SimVenue::BybitLinear),
    ];

    /// The instrument that faults are aimed at.
    pub(crate) fn btc(self) -> &'static str {
        match self.0 {
            SimVenue::BinanceInverse => "BTCUSD_PERP",
            _ => "BTCUSDT",
        }
    }

    /// The one that must not notice.
    pub(crate) fn eth(self) -> &'static str {
        match self.0 {
            SimVenue::BinanceInverse => "ETHUSD_PERP",
            _ => "ETHUSDT",
        }
    }

    pub(crate) fn depth(self, symbol: &str) -> String {
        if self.0.is_binance() {
            format!("{}@depth@100ms", symbol.to_lowercase())
        } else {
            format!("orderbook.50.{symbol}")
        }
    }

    pub(crate) fn top(self, symbol: &str) -> String {
        if self.0.is_binance() {
            format!("{}@bookTicker", symbol.to_lowercase())
        } else {
            format!("orderbook.1.{symbol}")
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self.0 {
            SimVenue::BinanceLinear => "/public/ws",
            SimVenue::BinanceSpot | SimVenue::BinanceInverse => "/ws",
            SimVenue::BybitSpot => "/v5/public/spot",
            SimVenue::BybitLinear => "/v5/public/linear",
            SimVenue::Polymarket => "/ws/market",
            _ => "/ws/api/v2",
        }
    }

    pub(crate) fn subscribe(self, streams: &[String]) -> String {
        let list: Vec<String> = streams.iter().map(|s| format!("\"{s}\"")).collect();
        let list = list.join(",");
        if self.0.is_binance() {
            format!(r#"{{"method":"SUBSCRIBE","params":[{list}],"id":1}}"#)
        } else {
            format!(r#"{{"op":"subscribe","args":[{list}]}}"#)
        }
    }

    pub(crate) fn rest_depth(self, symbol: &str) -> String {
        match self.0 {
            SimVenue::BinanceSpot => format!("/api/v3/depth?symbol={symbol}&limit=1000"),
            SimVenue::BinanceLinear => format!("/fapi/v1/depth?symbol={symbol}&limit=1000"),
            SimVenue::BinanceInverse => format!("/dapi/v1/depth?symbol={symbol}&limit=1000"),
            SimVenue::BybitSpot => {
                format!("/v5/market/orderbook?category=spot&symbol={symbol}&limit=200")
            }
            SimVenue::BybitLinear => {
                format!("/v5/market/orderbook?category=linear&symbol={symbol}&limit=200")
            }
            SimVenue::Polymarket => format!("/book?token_id={symbol}"),
            _ => format!("/api/v2/public/get_order_book?instrument_name={symbol}&depth=1000"),
        }
    }

    fn channel(self) -> Channel {
        if self.0.is_binance() {
            Channel::Full
        } else {
            Channel::Levels(50)
        }
    }

    pub(crate) fn target(self) -> Target {
        Target::Symbol(self.btc().to_owned())
    }
}

/// One frame of a depth stream.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    pub(crate) at: i64,
    pub(crate) value: Value,
    /// The number that it follows on; `None` for a snapshot.
    pub(crate) before: Option<u64>,
    pub(crate) u: u64,
}

/// What one connection got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    subject: Subject,
    pub(crate) events: Vec<(i64, Event)>,
}

impl Got {
    pub(crate) fn new(subject: Subject, events: Vec<(i64, Event)>) -> Self {
        Self { subject, events }
    }

    /// The parsed texts; those that are not JSON are left out.
    pub(crate) fn values(&self) -> Vec<(i64, Value)> {
        let parse = |(at, event): &(i64, Event)| match event {
            Event::Text(text) => Some((*at, serde_json::from_str(text).ok()?)),
            _ => None,
        };
        self.events.iter().filter_map(parse).collect()
    }

    /// Frames that are no JSON or no UTF-8.
    pub(crate) fn broken(&self) -> usize {
        let texts = self.events.iter().filter(|(_, event)| {
            matches!(event, Event::Text(_)) || matches!(event, Event::Bytes(_))
        });
        texts.count() - self.values().len()
    }

    /// The book frames of a symbol.
    pub(crate) fn depth(&self, symbol: &str) -> Vec<Delta> {
        let subject = self.subject;
        let mut deltas = Vec::new();
        for (at, value) in self.values() {
            if subject.0.is_binance() {
                if value["e"] == "depthUpdate" && value["s"] == symbol {
                    let field = |name: &str| value[name].as_u64().unwrap();
                    let before = if subject.0.is_spot() {
                        field("U") - 1
                    } else {
                        field("pu")
                    };
                    let (before, u) = (Some(before), field("u"));
                    deltas.push(Delta {
                        at,
                        value,
                        before,
                        u,
                    });
                }
            } else if value["topic"] == subject.depth(symbol).as_str() {
                let u = value["data"]["u"].as_u64().unwrap();
                let before = (value["type"] == "delta").then(|| u - 1);
                deltas.push(Delta {
                    at,
                    value,
                    before,
                    u,
                });
            }
        }
        deltas
    }

    /// How many of a symbol's book frames do not follow on the one before.
    pub(crate) fn breaks(&self, symbol: &str) -> usize {
        let deltas = self.depth(symbol);
        assert!(deltas.len() > 3, "{:?} {symbol}: {deltas:?}", self.subject);
        let pairs = deltas.windows(2);
        pairs
            .filter(|pair| pair[1].before.is_some_and(|before| before != pair[0].u))
            .count()
    }

    /// How many of a symbol's book frames do not lead from one true book to the next.
    pub(crate) fn lies(&self, truth: &Truth, symbol: &str) -> usize {
        let (venue, channel) = (self.subject.0, self.subject.channel());
        let at = |seq| truth.book_at(venue, symbol, channel, seq);
        let is_lie = |delta: &&Delta| {
            let after = at(delta.u).map(|b| Book::of(&b));
            let mut book = match delta.before {
                None => Book::default(),
                Some(seq) => Book::of(&at(seq).unwrap_or_else(|| panic!("{venue} forgot {seq}"))),
            };
            let data = if venue.is_binance() {
                &delta.value
            } else {
                &delta.value["data"]
            };
            book.apply(&data["b"], &data["a"]);
            Some(book) != after
        };
        self.depth(symbol).iter().filter(is_lie).count()
    }
}

/// A venue with two clients, warmed up.
pub(crate) struct Rig {
    pub(crate) subject: Subject,
    pub(crate) pipe: Pipe,
    /// Holds both books.
    pub(crate) a: ConnId,
    /// Holds ETH's book and BTC's top.
    pub(crate) b: ConnId,
}

impl Rig {
    pub(crate) fn new(subject: Subject) -> Self {
        let (btc, eth) = (subject.btc(), subject.eth());
        let spec = VenueSpec::of(subject.0)
            .symbols(&[btc, eth])
            .rate_msgs_s(400)
            .bursts(false)
            .levels(200)
            .history(1 << 17)
            .limits(|l| l.ping_interval_ns = None);
        let mut pipe = Pipe::new(&[spec]);
        let mut open = |streams: &[String]| connect(&mut pipe, subject, streams).unwrap();
        let a = open(&[subject.depth(btc), subject.depth(eth)]);
        let b = open(&[subject.depth(eth), subject.top(btc)]);
        let mut rig = Self {
            subject,
            pipe,
            a,
            b,
        };
        rig.run(2 * SECOND);
        rig
    }

    /// Lets some undisturbed frames come first, so that a chain can break at the next one.
    pub(crate) fn lead_in(&mut self) {
        self.pipe.run(SECOND / 2);
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.pipe.inject(self.subject.0, &fault);
    }

    /// Lets time pass; returns what both clients got.
    pub(crate) fn run(&mut self, span_ns: i64) -> (Got, Got) {
        self.pipe.run(span_ns);
        (self.got(self.a), self.got(self.b))
    }

    pub(crate) fn got(&mut self, conn: ConnId) -> Got {
        Got::new(self.subject, self.pipe.timed_events(conn))
    }

    /// Opens another connection.
    pub(crate) fn connect(&mut self, streams: &[String]) -> ConnId {
        connect(&mut self.pipe, self.subject, streams).unwrap()
    }

    pub(crate) fn truth(&self) -> Truth {
        self.pipe.world.truth()
    }

    pub(crate) fn records(&self) -> Vec<FaultRecord> {
        self.pipe.world.fault_log().records()
    }

    /// The only record has acted so often.
    pub(crate) fn assert_hits(&self, hits: u64) {
        let records = self.records();
        let [record] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(record.hits, hits, "{record:?}");
        assert_eq!(record.acted_ns.is_some(), hits > 0);
    }

    /// ETH's book is untouched on both connections, and so is BTC's top on the second.
    pub(crate) fn assert_others_untouched(&self, a: &Got, b: &Got) {
        let eth = self.subject.eth();
        assert_eq!((a.breaks(eth), b.breaks(eth)), (0, 0), "{:?}", self.subject);
        self.assert_b_untouched(b);
        assert_eq!(a.lies(&self.truth(), eth), 0, "{:?}", self.subject);
    }

    /// The second connection lives and misses nothing.
    pub(crate) fn assert_b_untouched(&self, b: &Got) {
        let eth = self.subject.eth();
        assert_eq!(b.broken(), 0);
        assert_eq!(b.breaks(eth), 0, "{:?}", self.subject);
        assert_eq!(b.lies(&self.truth(), eth), 0, "{:?}", self.subject);
        assert!(b.values().len() > b.depth(eth).len(), "no top of book");
        let lives = |(_, event): &(i64, Event)| !matches!(event, Event::Cut | Event::Close(..));
        assert!(b.events.iter().all(lives));
    }
}

pub(crate) fn connect(
    pipe: &mut Pipe,
    subject: Subject,
    streams: &[String],
) -> Result<ConnId, tickwire_sim::HttpResponse> {
    let conn = pipe.open(subject.0, subject.path())?;
    pipe.send(subject.0, conn, &subject.subscribe(streams));
    Ok(conn)
}

//! Polymarket's recordings, which `tickwire replay` does not read: each token's book and trades on one
//! link.
//!
//! A recording may begin without books. A token of such a one begins with an empty book, and again
//! where its book has crossed: there a live link would fetch it. These books are the same for all ways,
//! and are not timed.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tickwire_connectors::connector::Connector as _;
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::polymarket::{Polymarket, PolymarketConfig};
use tickwire_connectors::transmit::{LinkChange, LinkId, Transmit};
use tickwire_connectors::upkeep::{Expectations, Upkeep};
use tickwire_connectors::{
    AnyConnector, Channel, Command, FetchInstruments, Market, Nanos, Outbox, StreamId, StreamState,
    Venue,
};
use tickwire_tools::recording::{Reader, RecordKind};
use tickwire_tools::replay::{MarketPlan, PlannedStream};

use super::tap::{self, Shared, Tap};
use super::topic::{Topic, key_of_stream, objects};
use super::{Feed, Kind};

/// The connector of a recording: nothing is asked of the venue, and no link grows old.
pub(super) fn connector() -> Result<AnyConnector, String> {
    let config = PolymarketConfig::new();
    let upkeep = Upkeep {
        expectations: Expectations::NONE,
        link_age_max_ns: None,
        ..config.upkeep
    };
    let config = PolymarketConfig {
        instruments: FetchInstruments::No,
        upkeep,
        ..config
    };
    let made = Polymarket::new(config, 0).map_err(|error| error.to_string())?;
    Ok(AnyConnector::Polymarket(Box::new(made)))
}

/// A message, and the tokens whose books it changes.
struct Line {
    now: Nanos,
    text: Vec<u8>,
    tokens: Vec<usize>,
}

/// The tokens of a recording.
#[derive(Default)]
struct Tokens {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
    /// Whether its book comes before the first change of it.
    have_book: Vec<Option<bool>>,
}

impl Tokens {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.have_book.push(None);
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Those whose books a message changes; others that it names are noted.
    fn changed(&mut self, message: &Value) -> Vec<usize> {
        let mut changed = Vec::new();
        for object in objects(message) {
            let changes = object.get("price_changes").and_then(Value::as_array);
            let (is_book, is_change) = (object.get("bids").is_some(), changes.is_some());
            let each = changes.into_iter().flatten().chain(std::iter::once(object));
            for name in each.filter_map(|one| one.get("asset_id")?.as_str()) {
                let number = self.number(name);
                if is_book || is_change {
                    self.have_book[number].get_or_insert(is_book);
                    changed.push(number);
                }
            }
        }
        changed
    }

    fn has_book(&self, number: usize) -> bool {
        self.have_book[number].unwrap_or(false)
    }
}

fn lines(path: &Path, tokens: &mut Tokens) -> Result<Vec<Line>, String> {
    let mut reader = Reader::open(path).map_err(|error| error.to_string())?;
    let mut lines: Vec<Line> = Vec::new();
    let mut now = Nanos::ZERO;
    while let Some(record) = reader.next_record().map_err(|error| error.to_string())? {
        if record.kind != RecordKind::Recv {
            continue;
        }
        let text = record.payload.to_vec();
        let Ok(message) = serde_json::from_slice::<Value>(&text) else {
            continue;
        };
        let time = objects(&message).first().and_then(|one| {
            let ms = one.get("timestamp")?.as_str()?.parse().ok()?;
            Some(Nanos::from_millis(ms))
        });
        now = now.max(record.recv_ns.or(time).unwrap_or(now));
        let tokens = tokens.changed(&message);
        lines.push(Line { now, text, tokens });
    }
    Ok(lines)
}

fn id(number: usize) -> Result<StreamId, String> {
    let id = u32::try_from(number).ok().and_then(StreamId::new);
    id.ok_or_else(|| "too many tokens".to_owned())
}

/// Books and trades of each token: streams of even and of odd numbers.
const CHANNELS: [Channel; 2] = [Channel::BOOK, Channel::Trades];

pub(super) fn read(path: &Path) -> Result<Feed, String> {
    let mut tokens = Tokens::default();
    let lines = lines(path, &mut tokens)?;
    let first = lines.first().map_or(Nanos::ZERO, |line| line.now);
    let log = Shared::default();
    let mut tap = Tap::new(0, connector()?, &log);
    let mut out = Outbox::new();
    let mut plan = MarketPlan {
        market: Market::Prediction,
        conns: Vec::new(),
        streams: Vec::new(),
        has_instruments: false,
    };
    let mut topics = Vec::new();
    for name in &tokens.names {
        let asked = symbol(name).ok_or_else(|| format!("{name} is no token"))?;
        for channel in CHANNELS {
            let command = Command::Subscribe {
                stream: id(plan.streams.len())?,
                symbol: asked,
                channel,
                depth: false,
            };
            tap.handle_command(first, command, &mut out);
            plan.streams.push(PlannedStream {
                symbol: name.clone(),
                channel,
            });
        }
        topics.push(Topic {
            connector: 0,
            name: name.clone(),
            key: key_of_stream(0, name, Channel::BOOK),
            kind: Kind::Depth,
        });
    }
    let link = open(&mut tap, first, &mut out)?;
    let mut seeded = 0;
    for (number, name) in tokens.names.iter().enumerate() {
        if !tokens.has_book(number) {
            tap.add(first, link, &empty_book(name), &mut out);
            seeded += 1;
        }
    }
    let mut renewed = 0;
    for mut line in lines {
        tap.handle_message(line.now, link, &mut line.text, &mut out);
        for token in line.tokens {
            let view = tap.book(id(2 * token)?);
            let name = &tokens.names[token];
            if view.is_none_or(|view| view.state == StreamState::Live) {
                continue;
            }
            if tokens.has_book(token) {
                return Err(format!(
                    "the recording is not clean: the book of {name} broke"
                ));
            }
            tap.add(line.now, link, &empty_book(name), &mut out);
            renewed += 1;
        }
        out.clear();
        drain(&mut tap, line.now);
    }
    let counters = tap.counters();
    if counters.malformed + counters.unrouted > 0 {
        return Err(format!("the recording is not clean: {counters:?}"));
    }
    let mut notes = Vec::new();
    if seeded > 0 {
        notes.push(format!(
            "{seeded} tokens have no book in the recording and begin with an empty one; {renewed} times \
             one crossed and began anew"
        ));
    }
    let log = tap::take(&log);
    Ok(Feed {
        venue: Venue::Polymarket,
        plans: vec![plan],
        topics,
        steps: log.steps,
        messages: log.messages,
        notes,
    })
}

/// The only link that the connector asks for, up.
fn open(tap: &mut Tap, now: Nanos, out: &mut Outbox) -> Result<LinkId, String> {
    let (mut body, mut links) = (Vec::new(), Vec::new());
    while let Some(transmit) = tap.poll_transmit(now, &mut body) {
        if let Transmit::Open { link, .. } = transmit {
            tap.handle_link(now, link, LinkChange::Up { epoch: 1 }, out);
            links.push(link);
        }
        body.clear();
    }
    match links[..] {
        [link] => Ok(link),
        _ => Err(format!("tokens for {} links instead of one", links.len())),
    }
}

fn drain(tap: &mut Tap, now: Nanos) {
    let mut body = Vec::new();
    while tap.poll_transmit(now, &mut body).is_some() {
        body.clear();
    }
}

/// `market` is what nautilus wants to see.
fn empty_book(token: &str) -> String {
    format!(
        r#"{{"event_type":"book","market":"","asset_id":"{token}","bids":[],"asks":[],"timestamp":"1"}}"#
    )
}

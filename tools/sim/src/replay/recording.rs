//! Reading a recording: one JSON envelope a line, `{"kind":..,"recv_ns":..,"conn":..,"url":..,
//! "msg":<frame>}` with `msg` last, so that the raw frame is the text after `"msg":` up to the
//! last brace. Gaps in the keys are tolerated; unknown kinds are skipped.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::book::Levels;
use crate::error::SimError;
use crate::outbox::MsgKind;
use crate::spec::SimVenue;

/// What a frame does to a book, if anything.
#[derive(Clone, Debug)]
pub(super) enum BookPart {
    /// Levels of a REST or stream snapshot.
    Snapshot(Levels),
    /// Changed levels.
    Delta(Levels),
}

/// One recorded data frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) at_ns: i64,
    /// Index into [`Recording::topics`].
    pub(super) topic: usize,
    /// The frame as recorded.
    pub(super) whole: Range<usize>,
    /// Its payload without Binance's `{"stream":..,"data":..}` wrap.
    pub(super) data: Range<usize>,
    pub(super) seq: u64,
    /// `T` of the payload: on Binance's futures the matching engine's time, in ms.
    pub(super) engine_ms: i64,
    pub(super) book: Option<BookPart>,
}

/// One recorded REST answer.
#[derive(Debug)]
pub(super) struct Rest {
    /// Path after the last version number ("depth", "instruments-info" ..).
    pub(super) call: String,
    pub(super) symbol: Option<String>,
    pub(super) body: Range<usize>,
    /// `lastUpdateId`, `T` and levels of a depth answer.
    pub(super) depth: Option<((u64, i64), Levels)>,
}

/// A line of the recording, in order.
#[derive(Debug)]
pub(super) enum Entry {
    Frame(usize),
    Rest(usize),
}

/// A stream of the recording.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name on the wire; for frames that were recorded unwrapped, a name made of symbol and
    /// kind.
    pub(super) name: String,
    pub(super) symbol: String,
    pub(super) kind: MsgKind,
}

/// A recording in memory.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(super) text: String,
    pub(super) frames: Vec<Frame>,
    pub(super) rests: Vec<Rest>,
    pub(super) entries: Vec<Entry>,
    pub(super) topics: Vec<Topic>,
    by_name: BTreeMap<String, usize>,
}

impl Recording {
    /// Loads a file, plain or zstd.
    pub(crate) fn load(path: &Path, venue: SimVenue) -> Result<Self, SimError> {
        let fail = |source| SimError::Recording {
            path: path.to_owned(),
            source,
        };
        let bytes = std::fs::read(path).map_err(fail)?;
        let mut text = String::new();
        if path.extension().is_some_and(|ext| ext == "zst") {
            let mut decoder = zstd::Decoder::new(bytes.as_slice()).map_err(fail)?;
            decoder.read_to_string(&mut text).map_err(fail)?;
        } else {
            let mut plain = bytes.as_slice();
            plain.read_to_string(&mut text).map_err(fail)?;
        }
        let mut recording = Self {
            text,
            ..Self::default()
        };
        let line_error = |line, what: &str| SimError::RecordingLine {
            path: path.to_owned(),
            line,
            what: what.to_owned(),
        };
        let text = std::mem::take(&mut recording.text);
        let mut at = 0;
        // Connections of another market in the same file are not ours; a line without a url
        // belongs to the connection that its `conn` names.
        let mut foreign: Vec<String> = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let start = at;
            at += line.len();
            if line.trim().is_empty() {
                continue;
            }
            let envelope: Value = serde_json::from_str(line)
                .map_err(|error| line_error(index + 1, &error.to_string()))?;
            let word = |key: &str| {
                envelope
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let (kind, url, conn) = (word("kind"), word("url"), word("conn"));
            if kind == "connect" && is_foreign(venue, url) {
                foreign.push(conn.to_owned());
            }
            let ours = !foreign.iter().any(|other| other == conn) && !is_foreign(venue, url);
            if !ours || !matches!(kind, "recv" | "http") {
                continue;
            }
            let at_ns = envelope.get("recv_ns").and_then(Value::as_i64);
            let at_ns = at_ns.ok_or_else(|| line_error(index + 1, "no recv_ns"))?;
            let msg = envelope
                .get("msg")
                .ok_or_else(|| line_error(index + 1, "no msg"))?;
            let whole = raw_msg(line).ok_or_else(|| line_error(index + 1, "msg is not last"))?;
            let whole = start + whole.start..start + whole.end;
            if kind == "http" {
                recording.push_rest(url, msg, whole);
            } else {
                recording.push_frame(&text, at_ns, msg, whole);
            }
        }
        recording.text = text;
        recording.settle();
        Ok(recording)
    }

    fn push_rest(&mut self, url: &str, msg: &Value, body: Range<usize>) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut call = path.rsplit('/').next().unwrap_or_default().to_owned();
        let symbol = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("symbol="));
        let mut symbol = symbol.map(str::to_owned);
        let last_id = msg.get("lastUpdateId").and_then(Value::as_u64);
        if call.is_empty() && last_id.is_some() {
            // Recorded without its url; COIN-M's answer names the symbol, else `settle` finds it.
            "depth".clone_into(&mut call);
            symbol = msg.get("symbol").and_then(Value::as_str).map(str::to_owned);
        }
        let engine_ms = msg.get("T").and_then(Value::as_i64).unwrap_or(0);
        let levels = || Levels::parse(msg.get("bids"), msg.get("asks"));
        let depth = last_id.map(|id| ((id, engine_ms), levels()));
        self.entries.push(Entry::Rest(self.rests.len()));
        self.rests.push(Rest {
            call,
            symbol,
            body,
            depth,
        });
    }

    fn push_frame(&mut self, text: &str, at_ns: i64, msg: &Value, whole: Range<usize>) {
        let Some((name, symbol, kind)) = describe(msg) else {
            return;
        };
        let data = match (msg.get("stream"), text[whole.clone()].find("\"data\":")) {
            (Some(_), Some(found)) => whole.start + found + "\"data\":".len()..whole.end - 1,
            _ => whole.clone(),
        };
        let topic = *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.topics.push(Topic { name, symbol, kind });
            self.topics.len() - 1
        });
        let payload = msg.get("data").unwrap_or(msg);
        let number = |key: &str| payload.get(key).and_then(Value::as_u64);
        let seq = match kind {
            MsgKind::Trade => number("t").or_else(|| {
                payload
                    .as_array()?
                    .last()?
                    .get("seq")
                    .and_then(Value::as_u64)
            }),
            MsgKind::AggTrade => number("a"),
            _ => number("u"),
        };
        let levels = || Levels::parse(payload.get("b"), payload.get("a"));
        let book = match (kind, msg.get("type").and_then(Value::as_str)) {
            (MsgKind::Depth, Some("snapshot")) => Some(BookPart::Snapshot(levels())),
            (MsgKind::Depth, _) => Some(BookPart::Delta(levels())),
            _ => None,
        };
        self.entries.push(Entry::Frame(self.frames.len()));
        let seq = seq.unwrap_or(0);
        self.frames.push(Frame {
            at_ns,
            topic,
            whole,
            data,
            seq,
            engine_ms: payload.get("T").and_then(Value::as_i64).unwrap_or(0),
            book,
        });
    }

    /// Fills in what only the whole tells: the symbol of a depth answer that has none.
    fn settle(&mut self) {
        let mut symbols = self.topics.iter().map(|topic| &topic.symbol);
        let first = symbols.next().cloned();
        let only = first.filter(|first| symbols.all(|other| other == first));
        for rest in &mut self.rests {
            if rest.call == "depth" && rest.symbol.is_none() {
                rest.symbol.clone_from(&only);
            }
        }
    }

    /// The topic that a subscription means: by its exact name, or else by symbol and kind, so that
    /// `btcusdt@depth@100ms` finds a stream recorded at another speed.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        let class = stream_class(name)?;
        self.topics
            .iter()
            .position(|topic| stream_class(&topic.name) == Some(class.clone()))
    }
}

/// Whether a line's url names another market than the one that is simulated.
fn is_foreign(venue: SimVenue, url: &str) -> bool {
    let other = |ours: &str| {
        let market = url
            .split("/v5/public/")
            .nth(1)
            .or_else(|| url.split("category=").nth(1));
        market.is_some_and(|market| !market.starts_with(ours))
    };
    match venue {
        SimVenue::BybitSpot => other("spot"),
        SimVenue::BybitLinear => other("linear"),
        _ => false,
    }
}

/// Where the raw frame stands in its line.
fn raw_msg(line: &str) -> Option<Range<usize>> {
    let start = line.find("\"msg\":")? + "\"msg\":".len();
    let end = line.rfind('}')?;
    (start < end).then_some(start..end)
}

/// Name, symbol and kind of a data frame; `None` for acks and the like.
fn describe(msg: &Value) -> Option<(String, String, MsgKind)> {
    if let Some(topic) = msg.get("topic").and_then(Value::as_str) {
        let symbol = topic.rsplit('.').next().unwrap_or_default().to_owned();
        let kind = match topic.split('.').next().unwrap_or_default() {
            "orderbook" if topic.starts_with("orderbook.1.") => MsgKind::Top,
            "orderbook" => MsgKind::Depth,
            "publicTrade" => MsgKind::Trade,
            "kline" => MsgKind::Kline,
            _ => MsgKind::Ticker,
        };
        return Some((topic.to_owned(), symbol, kind));
    }
    let data = msg.get("data").unwrap_or(msg);
    let symbol = data.get("s").and_then(Value::as_str);
    let stream = msg.get("stream").and_then(Value::as_str);
    let event = data.get("e").and_then(Value::as_str);
    let (word, kind) = match event {
        Some("depthUpdate") => ("depth", MsgKind::Depth),
        Some("trade") => ("trade", MsgKind::Trade),
        Some("aggTrade") => ("aggTrade", MsgKind::AggTrade),
        Some("kline") => ("kline_1m", MsgKind::Kline),
        Some("bookTicker") => ("bookTicker", MsgKind::Top),
        // Spot's bookTicker has no event name: only its keys tell.
        None if data.get("B").is_some() && data.get("A").is_some() => ("bookTicker", MsgKind::Top),
        Some(_) => ("ticker", MsgKind::Ticker),
        None => stream.map(|_| ("", MsgKind::Ticker))?,
    };
    let symbol = symbol.map(str::to_owned).or_else(|| {
        stream
            .and_then(|name| name.split('@').next())
            .map(str::to_ascii_uppercase)
    })?;
    let name = match stream {
        Some(stream) => stream.to_owned(),
        None => format!("{}@{word}", symbol.to_ascii_lowercase()),
    };
    Some((name, symbol, kind))
}

/// Symbol and kind of a Binance stream name, without depth's speed.
fn stream_class(name: &str) -> Option<(String, String)> {
    let (symbol, rest) = name.split_once('@')?;
    let class = if rest == "depth" || rest.starts_with("depth@") {
        "depth"
    } else {
        rest
    };
    Some((symbol.to_owned(), class.to_owned()))
}

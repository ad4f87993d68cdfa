//! The HTTP answers of a recording, and the requests that wait for them.

use tickwire_connectors::RequestId;
use tickwire_connectors::transmit::{HttpRequest, ReadOn};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// The snapshot of one book.
    Snapshot(String),
    /// The venue's instrument data, from this cursor on.
    Instruments(Option<String>),
    /// Something that recordings are not known to hold.
    Other,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) read_on: ReadOn,
    topic: Topic,
}

/// What becomes of a request.
pub(super) enum Reply {
    /// The recording had the answer already.
    Now(Waiting, Vec<u8>),
    /// It waits.
    Later,
    /// The recording does not hold it.
    Never(Waiting),
}

/// Answers without a request yet, and requests without an answer yet.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Vec<Waiting>,
    /// At most one a topic, the newest: so it is bounded by the number of symbols.
    unused: Vec<(Topic, Vec<u8>)>,
    /// Whether instrument data come at all.
    instruments_follow: bool,
    symbols: Vec<String>,
}

impl Answers {
    pub(super) fn new(instruments_follow: bool, symbols: Vec<String>) -> Answers {
        Answers {
            instruments_follow,
            symbols,
            ..Answers::default()
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A request of the connector. A snapshot serves one request: given again, it would only be
    /// found too old again. Instrument data serve any number.
    pub(super) fn request(&mut self, request: &HttpRequest) -> Reply {
        let waiting = Waiting {
            id: request.id,
            read_on: request.read_on,
            topic: topic_of(&request.target),
        };
        let found = self
            .unused
            .iter()
            .position(|(topic, _)| *topic == waiting.topic);
        match (found, &waiting.topic) {
            (Some(index), Topic::Snapshot(_)) => {
                let (_, body) = self.unused.remove(index);
                Reply::Now(waiting, body)
            }
            (Some(index), _) => {
                let body = self.unused[index].1.clone();
                Reply::Now(waiting, body)
            }
            (None, Topic::Other | Topic::Instruments(Some(_))) => Reply::Never(waiting),
            (None, Topic::Instruments(None)) if !self.instruments_follow => Reply::Never(waiting),
            (None, _) => {
                self.waiting.push(waiting);
                Reply::Later
            }
        }
    }

    /// An answer of the recording: the requests that waited for it. Where there are none, or where
    /// it may serve again, it is kept.
    pub(super) fn answer(&mut self, url: Option<&str>, body: &[u8]) -> Vec<Waiting> {
        let topic = match url {
            Some(url) => topic_of(url),
            None => self.topic_of_body(body),
        };
        if topic == Topic::Other {
            return Vec::new();
        }
        let once = matches!(topic, Topic::Snapshot(_));
        let mut ready = Vec::new();
        let mut index = 0;
        while let Some(waiting) = self.waiting.get(index) {
            if waiting.topic == topic && (ready.is_empty() || !once) {
                ready.push(self.waiting.remove(index));
            } else {
                index += 1;
            }
        }
        if ready.is_empty() || !once {
            self.put(topic, body);
        }
        ready
    }

    /// An answer that was given and has not served its purpose.
    pub(super) fn keep(&mut self, waiting: Waiting, body: &[u8]) {
        self.put(waiting.topic, body);
    }

    fn put(&mut self, topic: Topic, body: &[u8]) {
        self.unused.retain(|(other, _)| *other != topic);
        self.unused.push((topic, body.to_vec()));
    }

    /// Some recorders don't write the address of a snapshot.
    pub(super) fn topic_of_body(&self, body: &[u8]) -> Topic {
        let text = std::str::from_utf8(body).unwrap_or_default();
        if !text.contains("\"lastUpdateId\"") {
            let instruments = text.contains("\"symbols\":[") || text.contains("\"lotSizeFilter\"");
            return if instruments {
                Topic::Instruments(None)
            } else {
                Topic::Other
            };
        }
        let named = value_after(text, "\"symbol\":\"", '"');
        match (named, &self.symbols[..]) {
            (Some(symbol), _) => Topic::Snapshot(symbol.to_uppercase()),
            (None, [only]) => Topic::Snapshot(only.clone()),
            _ => Topic::Other,
        }
    }
}

/// What an address (or a path with its query) is for.
pub(super) fn topic_of(target: &str) -> Topic {
    let query = |key: &str| {
        let text = value_after(target, &format!("?{key}="), '&');
        text.or_else(|| value_after(target, &format!("&{key}="), '&'))
            .filter(|value| !value.is_empty())
    };
    let path = target.split('?').next().unwrap_or_default();
    match path.rsplit('/').next() {
        Some("depth" | "orderbook") => match query("symbol") {
            Some(symbol) => Topic::Snapshot(symbol.to_uppercase()),
            None => Topic::Other,
        },
        Some("exchangeInfo" | "instruments-info") => {
            Topic::Instruments(query("cursor").map(str::to_owned))
        }
        _ => Topic::Other,
    }
}

/// What stands after `key` up to `end` or the end of the text.
fn value_after<'a>(text: &'a str, key: &str, end: char) -> Option<&'a str> {
    let rest = text.get(text.find(key)? + key.len()..)?;
    rest.split(end).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_what_is_asked_for() {
        let snapshot = |symbol: &str| Topic::Snapshot(symbol.to_owned());
        let table = [
            (
                "https://www.binance.com/api/v1/depth?symbol=DOTUSDT&limit=1000",
                snapshot("DOTUSDT"),
            ),
            (
                "/fapi/v1/depth?limit=1000&symbol=btcusdt",
                snapshot("BTCUSDT"),
            ),
            ("/v5/market/orderbook?category=spot&symbol=A", snapshot("A")),
            ("/api/v3/exchangeInfo", Topic::Instruments(None)),
            (
                "/v5/market/instruments-info?&category=linear",
                Topic::Instruments(None),
            ),
            (
                "/v5/market/instruments-info?cursor=x%3D&a=b",
                Topic::Instruments(Some("x%3D".into())),
            ),
            ("/api/v3/time", Topic::Other),
            ("/api/v3/depth", Topic::Other),
        ];
        for (target, topic) in table {
            assert_eq!(topic_of(target), topic, "{target}");
        }
    }

    #[test]
    fn a_snapshot_without_address_needs_an_only_symbol_or_its_own() {
        let answers = |symbols: &[&str]| {
            Answers::new(
                false,
                symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
            )
        };
        let body = br#"{"lastUpdateId":1,"bids":[],"asks":[]}"#;
        let named = br#"{"lastUpdateId":1,"symbol":"B","bids":[],"asks":[]}"#;
        assert_eq!(
            answers(&["A"]).topic_of_body(body),
            Topic::Snapshot("A".into())
        );
        assert_eq!(answers(&["A", "B"]).topic_of_body(body), Topic::Other);
        assert_eq!(
            answers(&["A", "B"]).topic_of_body(named),
            Topic::Snapshot("B".into())
        );
    }
}

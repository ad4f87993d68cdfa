//! The driver against a connector that notes down what it is given.

use std::io::Write;
use std::path::Path;

use tickwire_connectors::event::Stamp;
use tickwire_connectors::instrument::Instrument;
use tickwire_connectors::transmit::{
    Endpoint, HttpFailure, HttpRequest, Lane, LinkSpec, Method, ReadOn, Response,
};
use tickwire_connectors::{
    Command, Error, Event, LinkChange, LinkId, Reason, RequestId, Source, StreamState, Transmit,
    Venue,
};

use super::*;

/// Opens a link at its first command, asks for instruments, and for a snapshot at each message that
/// has "ask" in it.
struct Fake {
    market: Market,
    log: Vec<String>,
    queue: Vec<(Transmit, String)>,
    requests: u32,
}

impl Fake {
    fn new(market: Market) -> Fake {
        Fake {
            market,
            log: Vec::new(),
            queue: Vec::new(),
            requests: 0,
        }
    }

    fn request(&mut self, target: &str, read_on: ReadOn) {
        self.requests += 1;
        let request = HttpRequest {
            id: RequestId(self.requests),
            endpoint: endpoint(),
            method: Method::Get,
            target: target.to_owned(),
            headers: Vec::new(),
            timeout_ns: Nanos::from_secs(1),
            body_bytes_max: 1,
            read_on,
        };
        self.queue
            .push((Transmit::Http(Box::new(request)), String::new()));
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        host: "a".into(),
        port: 1,
        tls: false,
    }
}

impl Connector for Fake {
    fn venue(&self) -> Venue {
        Venue::Binance
    }

    fn market(&self) -> Market {
        self.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, _: &mut Outbox) {
        let Command::Subscribe {
            symbol, channel, ..
        } = command
        else {
            return;
        };
        if self.log.is_empty() {
            for link in [0, 1] {
                let spec = LinkSpec::new(endpoint(), "/");
                let open = Transmit::Open {
                    link: LinkId(link),
                    spec: Box::new(spec),
                };
                self.queue.push((open, String::new()));
            }
            self.request("/api/v3/exchangeInfo", ReadOn::Helper);
        }
        self.log
            .push(format!("{} subscribe {symbol} {channel}", now.0));
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, _: &mut Outbox) {
        let word = match change {
            LinkChange::Up { epoch } => format!("up {epoch}"),
            LinkChange::Down { .. } => "down".into(),
        };
        self.log.push(format!("{} link {} {word}", now.0, link.0));
        if link.0 == 1 && word != "down" {
            let text = Transmit::Text {
                link,
                lane: Lane::Normal,
            };
            self.queue
                .push((text, r#"{"params":["b@trade"]}"#.to_owned()));
        }
    }

    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], _: &mut Outbox) {
        let text = String::from_utf8_lossy(payload).into_owned();
        // Parsed in place: the bytes are gone.
        payload.fill(0);
        if text.contains("ask") {
            self.request("/api/v3/depth?symbol=A&limit=5", ReadOn::Loop);
        }
        self.log.push(format!("{} link {} {text}", now.0, link.0));
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let text = match response {
            Ok(response) => {
                let text = String::from_utf8_lossy(response.body).into_owned();
                response.body.fill(0);
                text
            }
            Err(failure) => failure.what,
        };
        if text.contains("finer") && !self.log.iter().any(|line| line.contains("finer")) {
            let scale = tickwire_orderbook::Scale::of(0);
            let stamp = Stamp {
                stream: StreamId::default(),
                source: Source::Book,
                epoch: 1,
                state: StreamState::Resync,
                price_scale: scale,
                qty_scale: scale,
                seq: 0,
                exch_ns: now,
                recv_ns: now,
            };
            out.push(Event::state_change(&stamp, Reason::Rescale, None));
        }
        self.log.push(format!("{} answer {} {text}", now.0, id.0));
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        _: &mut Outbox,
    ) {
        let count = instruments.map(|list| list.len());
        self.log
            .push(format!("{} instruments {} {count:?}", now.0, id.0));
    }

    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}

    fn poll_timeout(&self) -> Option<Nanos> {
        Some(Nanos::ZERO)
    }

    fn poll_transmit(&mut self, _: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        if self.queue.is_empty() {
            return None;
        }
        let (transmit, text) = self.queue.remove(0);
        body.extend_from_slice(text.as_bytes());
        Some(transmit)
    }

    fn has_transmit(&self) -> bool {
        !self.queue.is_empty()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn scope() -> Scope {
    Scope {
        venue: Venue::Binance,
        market: None,
        symbols: Vec::new(),
    }
}

fn write(folder: &Path, name: &str, lines: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let text = lines.join("\n");
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    assert!(written.is_ok(), "{written:?}");
    path
}

/// Every connector's log.
fn replay(files: Vec<PathBuf>, scope: &Scope) -> Result<Vec<(Market, Vec<String>)>, ReplayError> {
    let plan = Plan::discover(&files, scope, |_, _| {})?;
    let mut replay = Replay::new(files, plan, |plan| Ok(Fake::new(plan.market)))?;
    while replay.step()?.is_some() {}
    let logs = replay.connectors();
    Ok(logs
        .map(|(market, fake)| (market, fake.log.clone()))
        .collect())
}

fn one(lines: &[&str], scope: &Scope) -> Result<Vec<(Market, Vec<String>)>, ReplayError> {
    let folder = tempfile::tempdir().map_err(|error| panic!("{error}"));
    let folder = folder.unwrap_or_else(|error: ReplayError| panic!("{error}"));
    replay(vec![write(folder.path(), "a.jsonl", lines)], scope)
}

const SPOT: &str =
    r#"{"kind":"connect","recv_ns":10,"conn":"s","url":"wss://stream.binance.com/s"}"#;

#[test]
fn a_recording_is_played_on_its_own_time_and_links() -> Result<(), ReplayError> {
    let logs = one(
        &[
            SPOT,
            r#"{"kind":"send","recv_ns":11,"conn":"s","msg":{"method":"SUBSCRIBE"}}"#,
            r#"{"kind":"recv","recv_ns":20,"conn":"s","msg":{"stream":"a@depth@100ms","data":1}}"#,
            r#"{"kind":"recv","recv_ns":15,"conn":"s","msg":{"stream":"b@trade","data":2}}"#,
            r#"{"kind":"connect","recv_ns":30,"conn":"s"}"#,
            r#"{"kind":"recv","recv_ns":31,"conn":"s","msg":"pong"}"#,
        ],
        &scope(),
    )?;
    assert_eq!(
        logs,
        [(
            Market::Spot,
            [
                "10 subscribe A book@100",
                "10 subscribe B trades",
                "10 link 0 up 1",
                "10 link 1 up 1",
                "10 answer 1 the recording holds no answer to this request",
                r#"20 link 0 {"stream":"a@depth@100ms","data":1}"#,
                r#"20 link 1 {"stream":"b@trade","data":2}"#,
                "30 link 0 down",
                "30 link 0 up 2",
                "30 link 1 down",
                "30 link 1 up 2",
                "31 link 0 pong",
            ]
            .map(str::to_owned)
            .to_vec()
        )]
    );
    Ok(())
}

#[test]
fn snapshots_answer_one_request_each_and_the_newest_waits() -> Result<(), ReplayError> {
    let logs = one(
        &[
            r#"{"lastUpdateId":1}"#,
            r#"{"lastUpdateId":2}"#,
            r#"5 {"e":"depthUpdate","s":"A","x":"ask"}"#,
            r#"6 {"e":"depthUpdate","s":"A","x":"ask again"}"#,
            r#"7 {"lastUpdateId":3}"#,
            r#"{"kind":"http","recv_ns":8,"url":"https://x/api/v3/exchangeInfo","msg":{"symbols":[]}}"#,
        ],
        &scope(),
    )?;
    let (market, log) = &logs[0];
    assert_eq!(*market, Market::Spot);
    assert_eq!(
        log[3..],
        [
            r#"5 link 0 {"e":"depthUpdate","s":"A","x":"ask"}"#,
            r#"5 answer 2 {"lastUpdateId":2}"#,
            r#"6 link 0 {"e":"depthUpdate","s":"A","x":"ask again"}"#,
            r#"7 answer 3 {"lastUpdateId":3}"#,
            "8 instruments 1 Ok(0)",
        ]
    );
    Ok(())
}

#[test]
fn a_snapshot_that_only_taught_the_scale_is_given_again() -> Result<(), ReplayError> {
    let logs = one(
        &[
            r#"5 {"e":"depthUpdate","s":"A","x":"ask"}"#,
            r#"6 {"lastUpdateId":1,"x":"finer"}"#,
            r#"7 {"e":"depthUpdate","s":"A","x":"ask"}"#,
            r#"8 {"e":"depthUpdate","s":"A","x":"ask"}"#,
        ],
        &scope(),
    )?;
    let answers = logs[0].1.iter().filter(|line| line.contains("finer"));
    assert_eq!(
        answers.collect::<Vec<_>>(),
        [
            r#"6 answer 2 {"lastUpdateId":1,"x":"finer"}"#,
            r#"7 answer 3 {"lastUpdateId":1,"x":"finer"}"#,
        ],
        "and not a third time"
    );
    Ok(())
}

#[test]
fn each_market_of_a_recording_has_its_connector() -> Result<(), ReplayError> {
    let lines = [
        SPOT,
        r#"{"kind":"connect","recv_ns":11,"conn":"f","url":"wss://fstream.binance.com/s"}"#,
        r#"{"kind":"recv","recv_ns":12,"conn":"f","msg":{"stream":"a@trade"}}"#,
        r#"{"kind":"recv","recv_ns":13,"conn":"s","msg":{"stream":"a@bookTicker"}}"#,
        r#"{"kind":"recv","recv_ns":13,"conn":"s","msg":{"stream":"b@bookTicker"}}"#,
    ];
    let logs = one(&lines, &scope())?;
    let markets: Vec<Market> = logs.iter().map(|(market, _)| *market).collect();
    assert_eq!(markets, [Market::Spot, Market::Linear]);
    assert!(
        logs[1]
            .1
            .iter()
            .any(|line| line.ends_with("subscribe A trades"))
    );

    let only = Scope {
        market: Some(Market::Spot),
        symbols: vec!["A".into()],
        ..scope()
    };
    let logs = one(&lines, &only)?;
    assert_eq!(logs.len(), 1);
    let subscribed = logs[0].1.iter().filter(|line| line.contains("subscribe"));
    assert_eq!(subscribed.collect::<Vec<_>>(), ["10 subscribe A bbo"]);
    Ok(())
}

#[test]
fn what_the_recording_does_not_tell_is_asked_for() {
    let unknown = one(&[r#"{"stream":"a@trade","data":{"e":"trade"}}"#], &scope());
    let text = unknown.map(|_| ()).map_err(|error| error.to_string());
    assert!(
        text.as_ref().is_err_and(|text| text.contains("--market")),
        "{text:?}"
    );
    let told = Scope {
        market: Some(Market::Linear),
        ..scope()
    };
    assert!(one(&[r#"{"stream":"a@trade"}"#], &told).is_ok());

    let asked = Scope {
        symbols: vec!["ETH/USDT".into()],
        ..told
    };
    let missing = one(&[r#"{"stream":"a@trade"}"#], &asked);
    let text = missing.map(|_| ()).map_err(|error| error.to_string());
    assert!(
        text.as_ref().is_err_and(|text| text.contains("it holds A")),
        "{text:?}"
    );
    let empty = one(&[r#"{"result":null}"#], &scope());
    assert!(matches!(
        empty,
        Err(ReplayError::NoMarketData { lines: 1, .. })
    ));
}

#[test]
fn what_stands_before_a_fault_is_played() {
    let folder = tempfile::tempdir();
    let Ok(folder) = folder else {
        panic!("no folder")
    };
    let path = write(
        folder.path(),
        "a.jsonl",
        &[
            SPOT,
            r#"{"kind":"recv","recv_ns":12,"conn":"s","msg":{"stream":"a@trade"}}"#,
            "{",
        ],
    );
    let plan = Plan::discover(std::slice::from_ref(&path), &scope(), |_, _| {});
    let replay =
        plan.and_then(|plan| Replay::new(vec![path], plan, |plan| Ok(Fake::new(plan.market))));
    let Ok(mut replay) = replay else {
        panic!("no replay")
    };
    assert!(matches!(
        replay.step(),
        Ok(Some(Step {
            cause: Cause::Start,
            ..
        }))
    ));
    assert!(matches!(replay.step(), Ok(Some(Step { line: 2, .. }))));
    assert!(matches!(replay.step(), Err(ReplayError::Read(error)) if error.line == 3));
    assert!(matches!(replay.step(), Ok(None)));
}

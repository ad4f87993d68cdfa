//! The scanners of hot messages beside simd-json, and everything else that reads a venue's bytes, on
//! bytes of any kind. Tests and the fuzz target only.

use tickwire_orderbook::{Level, Scale};

use super::parse::{self, Shape, TradeKind};
use super::route::data_of;
use super::symbols;
use super::tape::{self, Reader, Volumes};
use crate::channel::Interval;
use crate::differential::{LEVEL_BYTES_MIN, agree, cuts};
use crate::instrument::Market;
use crate::scan::{Looks, ScanError, Templates};
use crate::stream::Levels;

const MARKETS: [Market; 3] = [Market::Spot, Market::Linear, Market::Inverse];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Depth,
    Bbo,
    Trade(TradeKind),
    Snapshot,
}

const KINDS: [Kind; 5] = [
    Kind::Depth,
    Kind::Bbo,
    Kind::Trade(TradeKind::Single),
    Kind::Trade(TradeKind::Aggregated),
    Kind::Snapshot,
];

impl Kind {
    fn index(self) -> usize {
        KINDS
            .iter()
            .position(|kind| *kind == self)
            .unwrap_or_default()
    }
}

/// What a message says, whichever way it was read.
#[derive(Debug, PartialEq)]
enum Read {
    Delta(parse::Delta, Vec<Level>, Vec<Level>),
    Bbo(parse::BookTicker),
    Trade(parse::Trade),
    Snapshot(parse::Snapshot, Vec<Level>, Vec<Level>),
}

fn scanned(
    kind: Kind,
    bytes: &[u8],
    shape: Shape,
    levels: &mut Levels,
    (templates, looks): (&mut Templates, &mut Looks),
) -> Result<Read, ScanError> {
    if kind == Kind::Snapshot {
        let snapshot = parse::snapshot(bytes, shape, levels)?;
        return Ok(Read::Snapshot(
            snapshot,
            levels.bids.clone(),
            levels.asks.clone(),
        ));
    }
    let data = data_of(bytes)?;
    Ok(match kind {
        Kind::Bbo => Read::Bbo(parse::book_ticker(data, shape, templates)?),
        Kind::Trade(kind) => Read::Trade(parse::trade(data, kind, shape, templates)?),
        Kind::Depth | Kind::Snapshot => {
            let delta = parse::depth(data, shape, looks, levels)?;
            Read::Delta(delta, levels.bids.clone(), levels.asks.clone())
        }
    })
}

fn taped(
    kind: Kind,
    bytes: &[u8],
    shape: Shape,
    levels: &mut Levels,
    reader: &mut Reader,
) -> Result<Read, ScanError> {
    reader.read(bytes, |root| {
        Ok(match kind {
            Kind::Depth => {
                let delta = tape::depth(&tape::data(root)?, shape, levels)?;
                Read::Delta(delta, levels.bids.clone(), levels.asks.clone())
            }
            Kind::Bbo => Read::Bbo(tape::book_ticker(&tape::data(root)?, shape)?),
            Kind::Trade(kind) => Read::Trade(tape::trade(&tape::data(root)?, kind, shape)?),
            Kind::Snapshot => {
                let snapshot = tape::snapshot(root, shape, levels)?;
                Read::Snapshot(snapshot, levels.bids.clone(), levels.asks.clone())
            }
        })
    })
}

/// The readers with their memory.
#[derive(Debug)]
pub(super) struct Differential {
    reader: Reader,
    ours: Levels,
    theirs: Levels,
    /// By kind: they outlive the message, as a stream's do.
    templates: [Templates; KINDS.len()],
    looks: Looks,
}

impl Differential {
    pub(super) fn new() -> Differential {
        Differential {
            reader: Reader::new(),
            ours: Levels::default(),
            theirs: Levels::default(),
            templates: KINDS.map(|_| Templates::new()),
            looks: Looks::default(),
        }
    }

    /// Reads a message as each hot kind in both ways; gives how often both took it.
    pub(super) fn hot(&mut self, message: &[u8], shape: Shape, cut: u8) -> usize {
        let mut agreed = 0;
        for kind in KINDS {
            let ours = scanned(
                kind,
                message,
                shape,
                &mut self.ours,
                (&mut self.templates[kind.index()], &mut self.looks),
            );
            let theirs = taped(kind, message, shape, &mut self.theirs, &mut self.reader);
            agreed += usize::from(agree(&format!("{kind:?}"), message, &ours, &theirs));
            match ours {
                Ok(_) => self.cut_off(kind, message, shape, cut),
                Err(error) if error.kind.is_scale() => self.rescaled(kind, message, shape),
                Err(_) => {}
            }
        }
        agreed
    }

    /// What a message leaves behind is no more than it can hold. For readers that have read no other.
    fn is_bounded_by(&self, message: &[u8]) -> bool {
        let most = message.len() / LEVEL_BYTES_MIN + 4;
        let sides = [&self.ours.bids, &self.ours.asks];
        sides.iter().all(|side| side.capacity() <= 2 * most)
    }

    /// A part of a message is none: what was malformed at its end could else change a book.
    fn cut_off(&mut self, kind: Kind, message: &[u8], shape: Shape, cut: u8) {
        for part in cuts(message, cut) {
            let read = scanned(
                kind,
                part,
                shape,
                &mut self.ours,
                (&mut self.templates[kind.index()], &mut self.looks),
            );
            let text = String::from_utf8_lossy(part);
            assert!(
                read.is_err(),
                "{kind:?}: a part is taken for the whole: {text}"
            );
        }
    }

    /// At the scales that are found for it, a message has no decimal that does not fit.
    fn rescaled(&mut self, kind: Kind, message: &[u8], shape: Shape) {
        let data = match kind {
            Kind::Snapshot => parse::Data::bare(message),
            _ => match data_of(message) {
                Ok(data) => data,
                Err(_) => return,
            },
        };
        let Some((price, qty)) = parse::rescaled(data, shape) else {
            return;
        };
        let shape = Shape {
            price,
            qty,
            ..shape
        };
        let read = scanned(
            kind,
            message,
            shape,
            &mut self.ours,
            (&mut self.templates[kind.index()], &mut self.looks),
        );
        let text = String::from_utf8_lossy(message);
        let fits = !matches!(read, Err(error) if error.kind.is_scale());
        assert!(fits, "{kind:?} {shape:?}: {read:?}: {text}");
    }

    /// Everything that is not hot: no panic, and no more than the bytes can hold.
    fn other(&mut self, message: &[u8], market: Market) {
        let volumes = match market {
            Market::Inverse => Volumes::Contracts(None),
            _ => Volumes::Quote,
        };
        let _ = self.reader.read(message, tape::head);
        let _ = self.reader.read(message, tape::answer);
        let _ = self.reader.read(message, |root| Ok(tape::rest_error(root)));
        let _ = self.reader.read(message, |root| {
            let data = tape::data(root)?;
            let _ = tape::kline(&data, Interval::Min1, volumes);
            tape::ticker(&data, volumes)
        });
        if let Ok(instruments) = symbols::read(market, &mut message.to_vec()) {
            // No entry is shorter than its keys.
            assert!(instruments.len() <= message.len() / 40);
        }
    }
}

/// The body of the fuzz target. The first two octets steer (market, scales, where to cut), the rest
/// is what the venue sends.
pub fn check(data: &[u8]) {
    let [first, cut, message @ ..] = data else {
        return;
    };
    let market = MARKETS[usize::from(first % 3)];
    let (price, qty) = match first / 3 % 4 {
        0 => (8, 8),
        1 => (2, 3),
        2 => (0, 0),
        _ => (18, 12),
    };
    let shape = Shape {
        market,
        price: Scale::of(price),
        qty: Scale::of(qty),
    };
    let mut readers = Differential::new();
    readers.hot(message, shape, *cut);
    assert!(readers.is_bounded_by(message), "{readers:?}");
    readers.other(message, market);
}

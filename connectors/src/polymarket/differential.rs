//! The scanner beside simd-json, and everything else that reads the venue's bytes, on bytes of any
//! kind. Tests and the fuzz target only.

use super::parse::{self, Body, Facts, Frame, Item, Row, Span};
use super::tape::{self, Reader};
use super::{news, rest};
use crate::differential::{agree, cuts};
use crate::instrument::Market;
use crate::scan::{ScanError, ScanErrorKind};

/// What a frame says, with its texts: the two readers have them in different places.
type Said = (Vec<([String; 6], Item)>, Vec<Row>, usize);
type Read = Result<Said, ScanError>;

/// The error of simd-json, which tells no more.
const NOT_JSON: ScanError = ScanError {
    kind: ScanErrorKind::Expected("JSON"),
    at: 0,
};

/// The shortest way to write an item, `{"asset_id":"","price":0,"size":0}`, and a level.
const ITEM_BYTES_MIN: usize = 30;
const ROW_BYTES_MIN: usize = 20;

/// The readers with their memory.
#[derive(Debug, Default)]
pub(super) struct Differential {
    reader: Reader,
    frame: Frame,
}

fn named(frame: &Frame, text: &[u8]) -> Said {
    let of = |span: Span| String::from_utf8_lossy(span.of(text)).into_owned();
    let items = frame.items.iter().map(|item| {
        let mut bare = Item {
            asset: Span::default(),
            ..*item
        };
        let mut said = Facts::default();
        if let Body::Book { facts, .. } = &mut bare.body {
            said = core::mem::take(facts);
        }
        let Facts {
            hash,
            market,
            stamp,
            tick,
            last,
        } = said;
        let spans = [item.asset, hash, market, stamp, tick, last];
        (spans.map(of), bare)
    });
    (items.collect(), frame.rows.clone(), frame.others)
}

impl Differential {
    pub(super) fn scanned(&mut self, message: &[u8]) -> Read {
        parse::frame(message, &mut self.frame)?;
        Ok(named(&self.frame, message))
    }

    fn taped(&mut self, message: &[u8]) -> Read {
        let mut frame = Frame::default();
        let read = self.reader.read(&mut message.to_vec(), |message| {
            tape::frame(&message, &mut frame)
        });
        read.unwrap_or(Err(NOT_JSON))?;
        let text = core::mem::take(&mut frame.text);
        Ok(named(&frame, &text))
    }

    /// Reads a frame in both ways; gives whether both took it.
    pub(super) fn hot(&mut self, message: &[u8], cut: u8) -> bool {
        let (scanned, taped) = (self.scanned(message), self.taped(message));
        let agreed = agree("frame", message, &scanned, &taped);
        for part in cuts(message, cut) {
            let text = || String::from_utf8_lossy(part);
            let is_part = scanned.is_err() || self.scanned(part).is_err();
            assert!(is_part, "a part is taken for the whole: {}", text());
        }
        agreed
    }

    /// What a message leaves behind is no more than it can hold. For readers that have read no other.
    fn is_bounded_by(&self, message: &[u8]) -> bool {
        let items = message.len() / ITEM_BYTES_MIN + 4;
        let rows = message.len() / ROW_BYTES_MIN + 4;
        self.frame.items.capacity() <= 2 * items && self.frame.rows.capacity() <= 2 * rows
    }

    /// Everything that is not hot: no panic, and no more than the bytes can hold.
    fn other(&mut self, message: &[u8]) {
        let mut tokens = 0;
        self.reader.read(&mut message.to_vec(), |message| {
            tape::each(&message, |one| news::each_resolved(one, |_| tokens += 1));
        });
        assert!(tokens <= message.len());
        if let Ok(found) = rest::read_instruments(Market::Prediction, &mut message.to_vec()) {
            assert!(found.len() <= message.len() / 10);
        }
    }
}

/// The body of the fuzz target. The first octet says where to cut, the rest is what the venue sends.
pub fn check(data: &[u8]) {
    let [cut, message @ ..] = data else {
        return;
    };
    let mut readers = Differential::default();
    readers.hot(message, *cut);
    assert!(readers.is_bounded_by(message), "{readers:?}");
    readers.other(message);
}

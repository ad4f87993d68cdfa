//! The server's side of a row: sends the script, reads what comes back, compares.

use super::case::{Back, CLOSE, Case, Chop, End, PONG, Part, Sent, TEXT, frame};
use super::closing::MESSAGE_BYTES_MAX;
use super::endpoint::{EchoClient, Ended};
use tickwire::wire::RxBuffer;

/// How the octets are cut on their way, on top of what the row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As the row says.
    AsSent,
    /// Where this seed says; a receive buffer of a random size.
    Random(u64),
    /// One by one; what is behind the first [`OCTETWISE_MAX`] octets of a row in one piece.
    Octetwise,
}

/// How many octets of a row are sent one by one.
const OCTETWISE_MAX: usize = 80_000;

/// Runs a row; says what is wrong.
pub(crate) fn run(case: &Case, cut: Cut) -> Result<(), String> {
    let mut peer = Peer::new(case, cut);
    let mut batch = Vec::new();
    for part in &case.script {
        match part {
            Part::Frame(sent) => batch.extend(sent.encode()),
            Part::Raw(octets, _) => batch.extend_from_slice(octets),
            Part::Fragments(opcode, payload, size) => {
                fragments(*opcode, &payload.to_vec(), *size, &mut batch);
            }
            Part::Still(count) => {
                peer.send(&std::mem::take(&mut batch))?;
                let (live, came) = (peer.client.ended().is_none(), peer.came.len());
                if !live || came != *count {
                    return Err(format!(
                        "{came} answers instead of {count} at a wait, live: {live}"
                    ));
                }
            }
            Part::RoundTrips(sent, count) => {
                for number in 1..=*count {
                    peer.send(&sent.encode())?;
                    if peer.came.len() != number {
                        return Err(format!("{} echoes of {number}", peer.came.len()));
                    }
                }
            }
        }
        if case.chop == Chop::Frames {
            peer.send(&std::mem::take(&mut batch))?;
        }
    }
    peer.send(&batch)?;
    peer.finish()
}

/// Appends a message in fragments of `size` octets.
fn fragments(opcode: u8, payload: &[u8], size: usize, to: &mut Vec<u8>) {
    let count = payload.len().div_ceil(size).max(1);
    for (chunk, number) in payload.chunks(size).zip(1..) {
        let sent: Sent = frame(if number == 1 { opcode } else { 0 }, chunk.to_vec());
        to.extend(if number == count { sent } else { sent.more() }.encode());
    }
}

struct Peer<'a> {
    case: &'a Case,
    cut: Cut,
    rng: fastrand::Rng,
    client: EchoClient,
    rx: RxBuffer,
    /// What came and is no whole frame yet.
    unread: Vec<u8>,
    /// The frames that came before the close frame.
    came: Vec<(u8, Vec<u8>)>,
    close: Option<Vec<u8>>,
    sent_bytes: usize,
}

impl<'a> Peer<'a> {
    fn new(case: &'a Case, cut: Cut) -> Self {
        let seed = match cut {
            Cut::Random(seed) => seed,
            _ => 0,
        };
        let mut rng = fastrand::Rng::with_seed(seed);
        let capacity = match cut {
            Cut::Random(_) => 256 << rng.u32(0..12),
            _ => 256 << 10,
        };
        Self {
            case,
            cut,
            rng,
            client: EchoClient::new(MESSAGE_BYTES_MAX, seed),
            rx: RxBuffer::new(capacity),
            unread: Vec::new(),
            came: Vec::new(),
            close: None,
            sent_bytes: 0,
        }
    }

    /// Delivers octets in pieces, and takes what comes back after each.
    fn send(&mut self, mut octets: &[u8]) -> Result<(), String> {
        while !octets.is_empty() {
            let size = match (self.cut, self.case.chop) {
                (Cut::AsSent, Chop::Octets(size)) => size,
                (Cut::AsSent, _) => octets.len(),
                (Cut::Octetwise, _) if self.sent_bytes < OCTETWISE_MAX => 1,
                (Cut::Octetwise, _) => octets.len(),
                // Sizes of all magnitudes.
                (Cut::Random(_), _) => {
                    let magnitude = self.rng.u32(0..18);
                    1 + self.rng.usize(0..1 << magnitude)
                }
            };
            let (mut piece, rest) = octets.split_at(size.min(octets.len()));
            octets = rest;
            self.sent_bytes += piece.len();
            while !piece.is_empty() {
                self.rx.compact();
                let taken = self.rx.fill_from(piece);
                piece = &piece[taken..];
                self.exchange()?;
                if self.client.ended().is_some() {
                    // The client reads no further; nothing may come of it.
                    self.rx.clear();
                } else if taken == 0 {
                    return Err("the client stopped reading".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Lets the client answer and takes all of its octets, in pieces of any size.
    fn exchange(&mut self) -> Result<(), String> {
        self.client
            .handle(&mut self.rx)
            .map_err(|error| format!("cannot answer: {error}"))?;
        while !self.client.pending().is_empty() {
            let all = self.client.pending().len();
            let count = match self.cut {
                Cut::Random(_) => self.rng.usize(1..=all),
                _ => all,
            };
            self.unread
                .extend_from_slice(&self.client.pending()[..count]);
            self.client.advance(count);
            self.client
                .handle(&mut self.rx)
                .map_err(|error| format!("cannot answer: {error}"))?;
        }
        self.read()
    }

    /// Reads the client's frames as a strict server.
    fn read(&mut self) -> Result<(), String> {
        let mut at = 0;
        while let Some((opcode, payload, len)) = client_frame(&self.unread[at..])? {
            at += len;
            if self.close.is_some() {
                return Err(format!("opcode {opcode} behind the close frame"));
            }
            if opcode == CLOSE {
                self.close = Some(payload);
            } else {
                self.came.push((opcode, payload));
            }
        }
        self.unread.drain(..at);
        Ok(())
    }

    fn finish(self) -> Result<(), String> {
        if !self.unread.is_empty() {
            return Err("half a frame came".to_owned());
        }
        let (came, expected) = (self.came.len(), self.case.back.len());
        if came != expected {
            return Err(format!("{came} answers instead of {expected}"));
        }
        for ((opcode, payload), back) in self.came.iter().zip(&self.case.back) {
            let (wanted, octets) = match back {
                Back::Text(octets) => (TEXT, octets),
                Back::Binary(octets) => (super::case::BINARY, octets),
                Back::Pong(octets) => (PONG, octets),
            };
            if *opcode != wanted || *payload != octets.to_vec() {
                let len = payload.len();
                return Err(format!(
                    "opcode {opcode} with {len} octets instead of {back}"
                ));
            }
        }
        let code = match (self.client.ended(), self.case.end) {
            (Some(Ended::Closed(_)), End::Clean(code)) => code,
            (Some(Ended::Failed(_)), End::Fails(code)) => Some(code),
            (ended, end) => return Err(format!("ended as {ended:?} instead of {end:?}")),
        };
        let payload = code
            .map(|code| code.to_be_bytes().to_vec())
            .unwrap_or_default();
        if self.close.as_ref() != Some(&payload) {
            return Err(format!(
                "close payload {:?} instead of {payload:?}",
                self.close
            ));
        }
        Ok(())
    }
}

/// The client's frame at the front: opcode, payload, length of the whole. It must be final, masked
/// (§5.1), without reserved bits, and its length in the shortest form (§5.2).
fn client_frame(octets: &[u8]) -> Result<Option<(u8, Vec<u8>, usize)>, String> {
    let [first, second, rest @ ..] = octets else {
        return Ok(None);
    };
    if first & 0xF0 != 0x80 || second & 0x80 == 0 {
        return Err(format!("header {first:#04x} {second:#04x}"));
    }
    let wide = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(wide) else {
        return Ok(None);
    };
    let len = match length {
        [] => usize::from(second & 0x7F),
        _ => length
            .iter()
            .fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
    };
    let is_shortest = match wide {
        2 => len > 125,
        8 => len > 65_535,
        _ => true,
    };
    if !is_shortest || (first & 0x8 != 0 && len > 125) {
        return Err(format!("length {len} in {wide} octets"));
    }
    let Some((key, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some(masked) = rest.get(..len) else {
        return Ok(None);
    };
    let payload = masked
        .iter()
        .zip(key.iter().cycle())
        .map(|(octet, key)| octet ^ key);
    Ok(Some((first & 0xF, payload.collect(), 2 + wide + 4 + len)))
}

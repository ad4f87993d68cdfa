//! Faults on bytes, as a sans-IO filter between whoever writes frames and whatever carries them:
//! a TLS connection, or a pipe in memory.

use super::{BadCertificate, Layer};
use crate::outbox::ConnId;
use crate::spec::SimVenue;

/// A text frame's header that announces 2^62 bytes (RFC 6455, 5.2).
const HUGE_HEADER: [u8; 10] = [0x81, 0x7f, 0x40, 0, 0, 0, 0, 0, 0, 0];

/// A fault that the world leaves to its shell, after all items of the same [`crate::Outbox`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShellFault {
    /// To one connection.
    Link {
        /// Whose.
        conn: ConnId,
        /// What.
        fault: LinkFault,
    },
    /// To the place where a venue takes connections.
    Door {
        /// Whose.
        venue: SimVenue,
        /// What.
        fault: DoorFault,
    },
}

/// A fault on one connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkFault {
    /// Neither read nor write from now on.
    HalfOpen,
    /// Let so many bytes through at a time.
    Trickle {
        /// Bytes of one morsel.
        bytes: usize,
        /// Pause between morsels.
        every_ns: i64,
        /// Time of the end.
        until_ns: i64,
        /// Where.
        layer: Layer,
    },
    /// Cut the next frame (or record) off and end the connection.
    CutMidFrame {
        /// Bytes of it that go out; half of it if not given.
        keep_bytes: Option<usize>,
        /// By a reset.
        reset: bool,
        /// Where.
        layer: Layer,
    },
    /// Write a header that announces 2^62 bytes.
    HugeHeader,
}

/// A fault on a venue's listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DoorFault {
    /// Reset every connection, REST too, and refuse new ones.
    Down,
    /// Take connections again.
    Up,
    /// Show this certificate to new handshakes; `None`: the good one again.
    Certificate(Option<BadCertificate>),
}

#[derive(Clone, Copy, Debug)]
struct Trickle {
    bytes: usize,
    every_ns: i64,
    until_ns: i64,
    next_ns: i64,
}

/// Bytes in, bytes out with delays and cuts, in the time that it is told. A filter without a fault
/// lets everything through at once.
#[derive(Debug, Default)]
pub struct LinkFilter {
    queue: Vec<u8>,
    trickle: Option<Trickle>,
    /// The next push is cut: (bytes kept, by a reset).
    armed: Option<(Option<usize>, bool)>,
    /// Nothing more is taken; by a reset or not.
    ended: Option<bool>,
    half_open: bool,
}

impl LinkFilter {
    /// Makes it misbehave from now on. The layer is the caller's business.
    pub fn apply(&mut self, fault: &LinkFault, now: i64) {
        match *fault {
            LinkFault::HalfOpen => self.half_open = true,
            LinkFault::Trickle {
                bytes,
                every_ns,
                until_ns,
                ..
            } => {
                let (bytes, every_ns) = (bytes.max(1), every_ns.max(1));
                self.trickle = Some(Trickle {
                    bytes,
                    every_ns,
                    until_ns,
                    next_ns: now,
                });
            }
            LinkFault::CutMidFrame {
                keep_bytes, reset, ..
            } => self.armed = Some((keep_bytes, reset)),
            LinkFault::HugeHeader => self.push(&HUGE_HEADER),
        }
    }

    /// Whether bytes may go past it: nothing is armed and nothing waits.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        self.queue.is_empty()
            && self.trickle.is_none()
            && self.armed.is_none()
            && self.ended.is_none()
            && !self.half_open
    }

    /// Whether the link is dead in both directions; what comes in must then stay unread.
    #[must_use]
    pub const fn is_half_open(&self) -> bool {
        self.half_open
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes one frame (or record): a call is the unit that [`LinkFault::CutMidFrame`] cuts.
    pub fn push(&mut self, frame: &[u8]) {
        if self.half_open || self.ended.is_some() || frame.is_empty() {
            return;
        }
        let Some((keep, reset)) = self.armed.take() else {
            return self.queue.extend_from_slice(frame);
        };
        let keep = keep.unwrap_or(frame.len() / 2).min(frame.len() - 1);
        self.queue.extend_from_slice(&frame[..keep]);
        self.ended = Some(reset);
    }

    /// Moves what may pass by now to `out`. `Some`: with these bytes the link ends, by a reset if
    /// true, else by a FIN.
    pub fn poll(&mut self, now: i64, out: &mut Vec<u8>) -> Option<bool> {
        if self.half_open {
            return None;
        }
        match &mut self.trickle {
            Some(trickle) if now < trickle.until_ns => {
                if trickle.next_ns <= now && !self.queue.is_empty() {
                    // One morsel a call: who comes late is slower, never faster.
                    let end = trickle.bytes.min(self.queue.len());
                    out.extend(self.queue.drain(..end));
                    trickle.next_ns = now.saturating_add(trickle.every_ns);
                }
            }
            _ => {
                self.trickle = None;
                out.append(&mut self.queue);
            }
        }
        self.ended.filter(|_| self.queue.is_empty())
    }

    /// When [`Self::poll`] has more to give.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        if self.half_open || self.queue.is_empty() {
            return None;
        }
        self.trickle.map(|t| t.next_ns.min(t.until_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(filter: &mut LinkFilter, now: i64) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(filter.poll(now, &mut out), None);
        out
    }

    #[test]
    fn clear_filter_passes_everything() {
        let mut filter = LinkFilter::default();
        assert!(filter.is_clear());
        filter.push(b"abc");
        assert_eq!(drain(&mut filter, 0), b"abc");
        assert!(filter.is_clear());
    }

    #[test]
    fn trickle_gives_its_morsels_at_its_times_then_the_rest() {
        let mut filter = LinkFilter::default();
        let trickle = LinkFault::Trickle {
            bytes: 2,
            every_ns: 10,
            until_ns: 25,
            layer: Layer::Frames,
        };
        filter.apply(&trickle, 0);
        filter.push(b"abcdefgh");
        assert_eq!(drain(&mut filter, 0), b"ab");
        assert_eq!(filter.next_deadline(), Some(10));
        assert_eq!(drain(&mut filter, 9), b"");
        assert_eq!(drain(&mut filter, 10), b"cd");
        assert_eq!(drain(&mut filter, 20), b"ef");
        assert_eq!(filter.next_deadline(), Some(25), "its end");
        assert_eq!(drain(&mut filter, 25), b"gh");
        assert!(filter.is_clear());
    }

    #[test]
    fn cut_keeps_a_part_of_the_next_frame_only_and_takes_nothing_after_it() {
        for (keep_bytes, kept) in [(None, &b"cde"[..]), (Some(1), b"c"), (Some(99), b"cdefg")] {
            let mut filter = LinkFilter::default();
            filter.push(b"ab");
            let (reset, layer) = (true, Layer::Frames);
            let cut = LinkFault::CutMidFrame {
                keep_bytes,
                reset,
                layer,
            };
            filter.apply(&cut, 0);
            assert_eq!(drain(&mut filter, 0), b"ab");
            filter.push(b"cdefgh");
            filter.push(b"more");
            let mut out = Vec::new();
            assert_eq!(filter.poll(0, &mut out), Some(true));
            assert_eq!(out, kept);
        }
    }

    #[test]
    fn half_open_gives_nothing_for_ever() {
        let mut filter = LinkFilter::default();
        filter.apply(&LinkFault::HalfOpen, 0);
        filter.push(b"ab");
        assert_eq!(drain(&mut filter, i64::MAX), b"");
        assert_eq!((filter.next_deadline(), filter.waiting()), (None, 0));
        assert!(filter.is_half_open());
    }

    #[test]
    fn huge_header_is_ten_bytes_that_announce_two_to_the_62() {
        use tungstenite::protocol::frame::FrameHeader;
        let mut filter = LinkFilter::default();
        filter.apply(&LinkFault::HugeHeader, 0);
        let bytes = drain(&mut filter, 0);
        let mut cursor = std::io::Cursor::new(&bytes);
        let (_, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert_eq!((length, cursor.position()), (1 << 62, 10));
    }
}

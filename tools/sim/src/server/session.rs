//! One connection without its socket: bytes in, HTTP requests until an upgrade and WebSocket frames
//! after it; frames and answers out, through the byte faults. It parses and queues; what a message
//! means is decided by the world.
//!
//! Frames are read and written with tungstenite's header codec rather than its `WebSocket`, which
//! answers pings by itself and hides frame boundaries: a venue that is to be made to misbehave
//! needs both in hand.

use std::collections::VecDeque;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::http::{self, Bad, Parsed};
use crate::fault::{LinkFault, LinkFilter};
use crate::venue::{Delivery, HttpResponse, earlier};

/// Longest message that a client may send: requests are some KiB.
const MESSAGE_MAX: usize = 1 << 20;

/// Bytes that were sent stay at the front of the buffer up to so many.
const COMPACT_BYTES: usize = 1 << 20;

/// What came from the client.
#[derive(Debug)]
pub enum Incoming {
    /// An HTTP request, perhaps an upgrade.
    Request(Parsed),
    /// A text message (binary ones are read as text: venues ignore the difference).
    Text(String),
    /// A ping frame.
    Ping(Vec<u8>),
    /// A pong frame.
    Pong(Vec<u8>),
    /// A close frame.
    Close,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The socket or TLS failed, or the peer left.
    Link,
    /// What came is not HTTP; answer with this status.
    Http(u16),
    /// What came is not WebSocket; close with this code.
    Frame(u16),
    /// A fault ends it, by a reset or by a FIN.
    Cut {
        /// By a reset.
        reset: bool,
    },
}

/// One connection of the server's side, sans-IO.
#[derive(Debug, Default)]
pub struct Session {
    input: Vec<u8>,
    fragments: Vec<u8>,
    /// Bytes for the peer, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    /// Longest frame so far: a fault's, not the reader's slowness.
    longest: usize,
    /// Byte faults among the frames.
    frames: LinkFilter,
    /// Answers that wait for their time, each with it; later ones wait behind them.
    late: VecDeque<(i64, Vec<u8>)>,
    /// A request was swallowed: the connection ends without an answer.
    swallowed: bool,
    is_ws: bool,
    eof: bool,
    /// Has sent something that was understood.
    spoke: bool,
}

impl Session {
    /// Takes bytes that came.
    ///
    /// # Errors
    /// Where a client sends more than any request has.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.input.extend_from_slice(bytes);
        if self.input.len() > 2 * MESSAGE_MAX {
            return Err(Broken::Frame(1009));
        }
        Ok(())
    }

    /// Nothing more will come.
    pub const fn feed_eof(&mut self) {
        self.eof = true;
    }

    /// Whether a request of the client was understood.
    #[must_use]
    pub const fn spoke(&self) -> bool {
        self.spoke
    }

    /// Whether it is a WebSocket connection by now.
    #[must_use]
    pub const fn is_ws(&self) -> bool {
        self.is_ws
    }

    /// The next thing out of what was read; `None`: more bytes are needed.
    ///
    /// # Errors
    /// Where what came is neither, or the peer has left.
    pub fn next_incoming(&mut self) -> Result<Option<Incoming>, Broken> {
        let next = if self.is_ws {
            self.next_frame()?
        } else {
            self.next_request()?
        };
        if next.is_none() && self.eof {
            return Err(Broken::Link);
        }
        Ok(next)
    }

    fn next_request(&mut self) -> Result<Option<Incoming>, Broken> {
        if self.input.is_empty() {
            return Ok(None);
        }
        match http::parse(&self.input) {
            Ok(None) => Ok(None),
            Ok(Some(parsed)) => {
                self.input.drain(..parsed.consumed);
                self.spoke = true;
                Ok(Some(Incoming::Request(parsed)))
            }
            Err(Bad(status)) => Err(Broken::Http(status)),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Incoming>, Broken> {
        loop {
            let mut cursor = Cursor::new(self.input.as_slice());
            let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Broken::Frame(1002))?;
            let Some((header, length)) = parsed else {
                return Ok(None);
            };
            let start = cursor.position() as usize;
            if length > MESSAGE_MAX as u64 {
                return Err(Broken::Frame(1009));
            }
            let end = start + length as usize;
            let Some(payload) = self.input.get(start..end) else {
                return Ok(None);
            };
            // RFC 6455, 5.1: a server closes on an unmasked frame; no extension was granted.
            let (Some(mask), false) = (header.mask, header.rsv1 || header.rsv2 || header.rsv3)
            else {
                return Err(Broken::Frame(1002));
            };
            let mut payload = payload.to_vec();
            payload
                .iter_mut()
                .zip(mask.iter().cycle())
                .for_each(|(byte, key)| *byte ^= key);
            self.input.drain(..end);
            if let Some(incoming) = self.take_frame(&header, payload)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn take_frame(
        &mut self,
        header: &FrameHeader,
        payload: Vec<u8>,
    ) -> Result<Option<Incoming>, Broken> {
        match header.opcode {
            OpCode::Control(_) if payload.len() > 125 || !header.is_final => {
                Err(Broken::Frame(1002))
            }
            OpCode::Control(Control::Ping) => Ok(Some(Incoming::Ping(payload))),
            OpCode::Control(Control::Pong) => Ok(Some(Incoming::Pong(payload))),
            OpCode::Control(Control::Close) => Ok(Some(Incoming::Close)),
            OpCode::Data(Data::Text | Data::Binary | Data::Continue) => {
                if self.fragments.len() + payload.len() > MESSAGE_MAX {
                    return Err(Broken::Frame(1009));
                }
                self.fragments.extend_from_slice(&payload);
                if !header.is_final {
                    return Ok(None);
                }
                let bytes = std::mem::take(&mut self.fragments);
                let text = String::from_utf8(bytes).map_err(|_| Broken::Frame(1007))?;
                Ok(Some(Incoming::Text(text)))
            }
            _ => Err(Broken::Frame(1002)),
        }
    }

    /// Grants an upgrade with the answer that came with the request.
    pub fn upgrade(&mut self, answer: &[u8]) {
        self.is_ws = true;
        self.push_bytes(|out| out.extend_from_slice(answer));
    }

    /// Queues an answer to a request. Bodies of `chunk_from` bytes and more go chunked, where the
    /// request allows it.
    pub fn respond(
        &mut self,
        response: &HttpResponse,
        http11: bool,
        keep_alive: bool,
        chunk_from: usize,
    ) {
        let write =
            |out: &mut Vec<u8>| http::respond(out, response, http11, keep_alive, chunk_from);
        let at = match response.delivery {
            Delivery::Now => self.late.back().map(|(at, _)| *at),
            Delivery::At(at) => Some(self.late.back().map_or(at, |(last, _)| at.max(*last))),
            Delivery::Never => {
                self.swallowed = true;
                return;
            }
        };
        match at {
            Some(at) => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                self.late.push_back((at, bytes));
            }
            None => self.push_bytes(write),
        }
    }

    /// Makes its frames misbehave from now on.
    pub fn apply(&mut self, fault: &LinkFault, now: i64) {
        self.frames.apply(fault, now);
    }

    /// Whether it is to neither read nor write any more.
    #[must_use]
    pub const fn is_half_open(&self) -> bool {
        self.frames.is_half_open()
    }

    /// When a byte fault lets more bytes through.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let late = self.late.front().map(|(at, _)| *at);
        earlier(self.frames.next_deadline(), late)
    }

    /// Queues plain bytes (HTTP, or one whole frame).
    fn push_bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.frames.is_clear() {
            return write(&mut self.output);
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.frames.push(&bytes);
    }

    /// Queues one WebSocket frame.
    fn push_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = FrameHeader {
            opcode,
            mask: None,
            ..FrameHeader::default()
        };
        self.longest = self.longest.max(payload.len());
        self.push_bytes(|out| {
            // Writing to a Vec cannot fail.
            let _ = header.format(payload.len() as u64, out);
            out.extend_from_slice(payload);
        });
    }

    /// Queues a close frame.
    pub fn push_close(&mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        payload.truncate(125);
        self.push_frame(OpCode::Control(Control::Close), &payload);
    }

    /// Queues a text frame. The payload need not be a text: a fault may have damaged it.
    pub fn push_text(&mut self, payload: &[u8]) {
        self.push_frame(OpCode::Data(Data::Text), payload);
    }

    /// Queues a ping.
    pub fn push_ping(&mut self, payload: &[u8]) {
        self.push_frame(OpCode::Control(Control::Ping), payload);
    }

    /// Queues a pong.
    pub fn push_pong(&mut self, payload: &[u8]) {
        self.push_frame(OpCode::Control(Control::Pong), payload);
    }

    /// Lets what may pass the byte faults by `now` into [`Session::pending`]. `Some`: with these
    /// bytes the connection ends, by a reset if true, else by a FIN.
    pub fn poll(&mut self, now: i64) -> Option<bool> {
        while let Some((_, bytes)) = self.late.pop_front_if(|(at, _)| *at <= now) {
            self.push_bytes(|out| out.extend_from_slice(&bytes));
        }
        if !self.frames.is_clear() {
            return self.frames.poll(now, &mut self.output);
        }
        // What was asked before it is still answered.
        (self.swallowed && self.late.is_empty()).then_some(false)
    }

    /// Bytes for the peer.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many of them are on their way.
    pub fn advance(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.output.len());
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        } else if self.sent > COMPACT_BYTES {
            // A long backlog must not be copied at every append.
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Bytes that a byte fault holds back.
    #[must_use]
    pub fn held(&self) -> usize {
        let late: usize = self.late.iter().map(|(_, bytes)| bytes.len()).sum();
        self.frames.waiting() + late
    }

    /// Bytes that wait for the peer because it is slow, or made to look slow; one long frame is
    /// not its fault.
    #[must_use]
    pub fn backlog(&self) -> usize {
        (self.pending().len() + self.held()).saturating_sub(self.longest)
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest
    }
}

//! One connection: bytes through TLS, then HTTP until an upgrade, then WebSocket frames. It parses
//! and queues; what a message means is decided by the world.
//!
//! Frames are read and written with tungstenite's header codec rather than its `WebSocket`, which
//! answers pings by itself and hides frame boundaries: a venue that is to be made to misbehave
//! needs both in hand.

use std::io::{self, Cursor, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::http::{self, Bad, Parsed};
use crate::fault::{Layer, LinkFault, LinkFilter};
use crate::outbox::{ConnId, Mark};
use crate::spec::SimVenue;
use crate::venue::earlier;

/// Longest message that a client may send: requests are some KiB.
const MESSAGE_MAX: usize = 1 << 20;
/// Plaintext handed to TLS at once; a record holds 16 KiB.
const TLS_CHUNK: usize = 64 << 10;

/// What came from the client.
#[derive(Debug)]
pub(super) enum Incoming {
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
pub(super) enum Broken {
    /// The socket or TLS failed, or the peer left.
    Link,
    /// What came is not HTTP; answer with this status.
    Http(u16),
    /// What came is not WebSocket; close with this code.
    Frame(u16),
    /// A fault ends it, by a reset or by a FIN.
    Cut { reset: bool },
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) venue: SimVenue,
    pub(super) tcp: TcpStream,
    tls: ServerConnection,
    input: Vec<u8>,
    fragments: Vec<u8>,
    /// Plaintext waiting for TLS, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    /// Longest frame so far: a fault's, not the reader's slowness.
    longest: usize,
    /// Byte faults among the frames.
    frames: LinkFilter,
    /// Byte faults among the TLS records, and records that passed them, from `wire_sent` on.
    wire: LinkFilter,
    wire_out: Vec<u8>,
    wire_sent: usize,
    /// Marks of what is in `output` and was not tried yet.
    pub(super) marks: Vec<Mark>,
    pub(super) is_ws: bool,
    /// Ends once everything is written.
    pub(super) closing: bool,
    /// In the list of connections to flush.
    pub(super) dirty: bool,
    eof: bool,
    /// Has sent something that was understood.
    pub(super) spoke: bool,
}

impl Conn {
    pub(super) fn new(id: ConnId, venue: SimVenue, tcp: TcpStream, tls: ServerConnection) -> Self {
        Self {
            id,
            venue,
            tcp,
            tls,
            input: Vec::new(),
            fragments: Vec::new(),
            output: Vec::new(),
            sent: 0,
            longest: 0,
            frames: LinkFilter::default(),
            wire: LinkFilter::default(),
            wire_out: Vec::new(),
            wire_sent: 0,
            marks: Vec::new(),
            is_ws: false,
            closing: false,
            dirty: false,
            eof: false,
            spoke: false,
        }
    }

    /// Reads all that the socket has.
    pub(super) fn fill(&mut self) -> Result<(), Broken> {
        loop {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => {
                    self.eof = true;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Broken::Link),
            }
            let state = self.tls.process_new_packets();
            if state.is_err() {
                // Tell the peer why (an alert), as far as the socket takes it.
                let _ = self.tls.write_tls(&mut self.tcp);
                return Err(Broken::Link);
            }
            self.drain_plaintext()?;
        }
    }

    fn drain_plaintext(&mut self) -> Result<(), Broken> {
        let mut chunk = [0u8; 4_096];
        loop {
            match self.tls.reader().read(&mut chunk) {
                Ok(0) => {
                    self.eof = true;
                    return Ok(());
                }
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Broken::Link),
            }
            if self.input.len() > 2 * MESSAGE_MAX {
                return Err(Broken::Frame(1009));
            }
        }
    }

    /// The next thing out of what was read; `None`: more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Broken> {
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

    /// Queues plain bytes (HTTP, or one whole frame).
    pub(super) fn push_bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.frames.is_clear() {
            return write(&mut self.output);
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.frames.push(&bytes);
    }

    /// Makes it misbehave from now on.
    pub(super) fn apply(&mut self, fault: &LinkFault, now: i64) {
        match fault {
            LinkFault::Trickle {
                layer: Layer::Wire, ..
            }
            | LinkFault::CutMidFrame {
                layer: Layer::Wire, ..
            } => self.wire.apply(fault, now),
            _ => self.frames.apply(fault, now),
        }
    }

    /// Whether it neither reads nor writes any more.
    pub(super) const fn is_half_open(&self) -> bool {
        self.frames.is_half_open()
    }

    /// When a byte fault lets more bytes through.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let wire = self.wire.next_deadline();
        earlier(self.frames.next_deadline(), wire).filter(|_| !self.is_half_open())
    }

    /// Queues one WebSocket frame.
    pub(super) fn push_frame(&mut self, opcode: OpCode, payload: &[u8]) {
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
    pub(super) fn push_close(&mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        payload.truncate(125);
        self.push_frame(OpCode::Control(Control::Close), &payload);
        self.closing = true;
    }

    /// Bytes that wait for the peer because it is slow, or made to look slow; one long frame is
    /// not its fault.
    pub(super) fn backlog(&self) -> usize {
        let plain = self.output.len() - self.sent + self.frames.waiting();
        let wire = self.wire_out.len() - self.wire_sent + self.wire.waiting();
        (plain + wire).saturating_sub(self.longest)
    }

    /// Writes as much as the socket and the faults take. True: everything is out.
    pub(super) fn flush(&mut self, now: i64) -> Result<bool, Broken> {
        let end = if self.frames.is_clear() {
            None
        } else {
            self.frames.poll(now, &mut self.output)
        };
        loop {
            if !self.write_records(now)? {
                return Ok(false);
            }
            if self.output.len() == self.sent {
                self.output.clear();
                self.sent = 0;
                if let Some(reset) = end.filter(|_| self.wire.waiting() == 0) {
                    return Err(Broken::Cut { reset });
                }
                return Ok(self.frames.waiting() + self.wire.waiting() == 0);
            }
            if self.tls.is_handshaking() {
                return Ok(false);
            }
            let end = self.output.len().min(self.sent + TLS_CHUNK);
            match self.tls.writer().write(&self.output[self.sent..end]) {
                Ok(0) | Err(_) => return Err(Broken::Link),
                Ok(n) => self.sent += n,
            }
            // A long backlog must not be copied at every append.
            if self.sent > 1 << 20 {
                self.output.drain(..self.sent);
                self.sent = 0;
            }
        }
    }

    /// Moves TLS records to the socket. True: all that may go now has gone.
    fn write_records(&mut self, now: i64) -> Result<bool, Broken> {
        let mut end = None;
        if !self.wire.is_clear() {
            while self.tls.wants_write() {
                let mut records = Vec::new();
                // Writing to a Vec cannot fail, and something is wanted.
                let _ = self.tls.write_tls(&mut records);
                self.wire.push(&records);
            }
            end = self.wire.poll(now, &mut self.wire_out);
        }
        while self.wire_sent < self.wire_out.len() {
            match self.tcp.write(&self.wire_out[self.wire_sent..]) {
                Ok(0) => return Err(Broken::Link),
                Ok(n) => self.wire_sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken::Link),
            }
        }
        self.wire_out.clear();
        self.wire_sent = 0;
        if let Some(reset) = end {
            return Err(Broken::Cut { reset });
        }
        while self.wire.is_clear() && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(Broken::Link),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken::Link),
            }
        }
        Ok(true)
    }

    /// Lets the close of the socket send a reset instead of a FIN.
    pub(super) fn reset_on_close(&self) {
        // A socket that refuses is closed already.
        let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Says goodbye in TLS; the socket is dropped after it.
    pub(super) fn shut_down(&mut self) {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.tcp);
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }
}

//! One connection: a session over TLS over a socket, with the byte faults among the TLS records.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;

use super::session::{Broken, Incoming, Session};
use crate::fault::{Layer, LinkFault, LinkFilter};
use crate::outbox::{ConnId, Mark};
use crate::spec::SimVenue;
use crate::venue::earlier;

/// Plaintext handed to TLS at once; a record holds 16 KiB.
const TLS_CHUNK: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) venue: SimVenue,
    pub(super) tcp: TcpStream,
    tls: ServerConnection,
    pub(super) session: Session,
    /// Byte faults among the TLS records, and records that passed them, from `wire_sent` on.
    wire: LinkFilter,
    wire_out: Vec<u8>,
    wire_sent: usize,
    /// Marks of what is queued and was not tried yet.
    pub(super) marks: Vec<Mark>,
    /// Ends once everything is written.
    pub(super) closing: bool,
    /// In the list of connections to flush.
    pub(super) dirty: bool,
}

impl Conn {
    pub(super) fn new(id: ConnId, venue: SimVenue, tcp: TcpStream, tls: ServerConnection) -> Self {
        Self {
            id,
            venue,
            tcp,
            tls,
            session: Session::default(),
            wire: LinkFilter::default(),
            wire_out: Vec::new(),
            wire_sent: 0,
            marks: Vec::new(),
            closing: false,
            dirty: false,
        }
    }

    /// Reads all that the socket has.
    pub(super) fn fill(&mut self) -> Result<(), Broken> {
        loop {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => {
                    self.session.feed_eof();
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
                    self.session.feed_eof();
                    return Ok(());
                }
                Ok(n) => self.session.feed(&chunk[..n])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Broken::Link),
            }
        }
    }

    /// The next thing out of what was read; `None`: more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Broken> {
        self.session.next_incoming()
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
            _ => self.session.apply(fault, now),
        }
    }

    /// Whether it neither reads nor writes any more.
    pub(super) const fn is_half_open(&self) -> bool {
        self.session.is_half_open()
    }

    /// When a byte fault lets more bytes through.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let wire = self.wire.next_deadline();
        earlier(self.session.next_deadline(), wire).filter(|_| !self.is_half_open())
    }

    /// Queues a close frame.
    pub(super) fn push_close(&mut self, code: u16, reason: &str) {
        self.session.push_close(code, reason);
        self.closing = true;
    }

    /// Bytes that wait for the peer because it is slow, or made to look slow; one long frame is
    /// not its fault.
    pub(super) fn backlog(&self) -> usize {
        let plain = self.session.pending().len() + self.session.held();
        let wire = self.wire_out.len() - self.wire_sent + self.wire.waiting();
        (plain + wire).saturating_sub(self.session.longest())
    }

    /// Writes as much as the socket and the faults take. True: everything is out.
    pub(super) fn flush(&mut self, now: i64) -> Result<bool, Broken> {
        let end = self.session.poll(now);
        loop {
            if !self.write_records(now)? {
                return Ok(false);
            }
            if self.session.pending().is_empty() {
                if let Some(reset) = end.filter(|_| self.wire.waiting() == 0) {
                    return Err(Broken::Cut { reset });
                }
                return Ok(self.session.held() + self.wire.waiting() == 0);
            }
            if self.tls.is_handshaking() {
                return Ok(false);
            }
            let pending = self.session.pending();
            let count = pending.len().min(TLS_CHUNK);
            match self.tls.writer().write(&pending[..count]) {
                Ok(0) | Err(_) => return Err(Broken::Link),
                Ok(n) => self.session.advance(n),
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

//! One socket: first HTTP, then WebSocket, then a close frame that wants to be read.

use std::io::{self, Read, Write};

use mio::Registry;
use tickwire::Nanos;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Message, WebSocket};

use super::io::Io;
use crate::auth::Identity;
use crate::config::Limits;
use crate::core::{Close, Core, Out};
use crate::upgrade::{Doors, Verdict, http, judge};

/// Frames of one client that are read in a turn.
const READS_A_TURN: usize = 32;

/// Frames for one client that are written in a turn.
const WRITES_A_TURN: usize = 256;

/// Bytes that are gathered before they are given to the system.
const WRITE_BYTES: usize = 16 * 1024;

/// What is to be done with a socket next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Wait for the system's word.
    Done,
    /// There may be more to read.
    More,
    /// It is over.
    Gone,
}

#[derive(Debug)]
enum State {
    /// The head of a request comes in.
    Head(Vec<u8>),
    /// An answer goes out; behind it, the connection ends or is upgraded.
    Answer {
        out: Vec<u8>,
        then: Option<(Box<Identity>, Vec<u8>)>,
    },
    /// A WebSocket; the core's number of it.
    Open(usize),
    /// The close frame is out; the core's number.
    Closing(usize),
}

#[derive(Debug)]
enum Stream {
    Http(Io),
    Ws(Box<WebSocket<Io>>),
    /// In between.
    None,
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    state: State,
    /// By then a handshake must be done, or a closed connection is dropped.
    deadline: Option<Nanos>,
    is_blocked: bool,
    /// The client's bytes made no sense: what still comes is thrown away. The library must not be asked to
    /// read after an error, and a socket that is closed with unread bytes takes the close frame with it.
    is_deaf: bool,
}

/// Reads without looking.
fn throw_away(io: &mut Io) -> Progress {
    let mut bytes = [0; 4_096];
    for _ in 0..READS_A_TURN {
        match io.read(&mut bytes) {
            Ok(0) => return Progress::Gone,
            Ok(_) => {}
            Err(error) if blocks(&error) => return Progress::Done,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Progress::Gone,
        }
    }
    Progress::More
}

fn blocks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl Socket {
    pub(super) fn new(io: Io, deadline: Nanos) -> Socket {
        Socket {
            stream: Stream::Http(io),
            state: State::Head(Vec::new()),
            deadline: Some(deadline),
            is_blocked: false,
            is_deaf: false,
        }
    }

    /// The core's number, once there is one.
    pub(super) fn conn(&self) -> Option<usize> {
        match self.state {
            State::Open(conn) | State::Closing(conn) => Some(conn),
            State::Head(_) | State::Answer { .. } => None,
        }
    }

    /// The core's number, where the connection is not being closed.
    pub(super) fn open_conn(&self) -> Option<usize> {
        match self.state {
            State::Open(conn) => Some(conn),
            _ => None,
        }
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.conn().is_some()
    }

    pub(super) fn is_due(&self, now: Nanos) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) {
        let io = match &mut self.stream {
            Stream::Http(io) => io,
            Stream::Ws(ws) => ws.get_mut(),
            Stream::None => return,
        };
        // The socket is closed with it in any case.
        let _ = registry.deregister(io.tcp());
    }

    /// Reads what has come.
    pub(super) fn read(
        &mut self,
        core: &mut Core,
        doors: &Doors,
        limits: &Limits,
        now: Nanos,
    ) -> Progress {
        if let State::Head(_) = self.state
            && let Some(progress) = self.read_head(core, doors, limits, now)
        {
            return progress;
        }
        if let State::Answer { .. } = self.state {
            match self.answer(core, limits, now) {
                Progress::Done if self.is_upgraded() => {}
                progress => return progress,
            }
        }
        self.read_frames(core, limits, now)
    }

    /// `None` once an answer is to be written.
    fn read_head(
        &mut self,
        core: &mut Core,
        doors: &Doors,
        limits: &Limits,
        now: Nanos,
    ) -> Option<Progress> {
        let (State::Head(head), Stream::Http(io)) = (&mut self.state, &mut self.stream) else {
            return Some(Progress::Gone);
        };
        loop {
            let mut chunk = [0; 2_048];
            let room = limits
                .head_bytes_max
                .saturating_sub(head.len())
                .min(chunk.len());
            let Some(chunk) = chunk.get_mut(..room.max(1)) else {
                return Some(Progress::Gone);
            };
            match io.read(chunk) {
                Ok(0) => return Some(Progress::Gone),
                Ok(size) => head.extend_from_slice(chunk.get(..size).unwrap_or_default()),
                Err(error) if blocks(&error) => return Some(Progress::Done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Some(Progress::Gone),
            }
            let is_full = head.len() >= limits.head_bytes_max;
            let (out, then) = match judge(head, is_full, doors, &mut core.auth, now) {
                Verdict::More => continue,
                Verdict::Metrics => (
                    http(200, "text/plain; version=0.0.4", &core.metrics()),
                    None,
                ),
                Verdict::Reply { response, status } => {
                    core.telemetry.refused_upgrades += u64::from(status >= 400);
                    (response, None)
                }
                Verdict::Upgrade { identity, .. } if !core.has_room(&identity.user) => {
                    core.telemetry.refused_upgrades += 1;
                    (http(429, "text/plain", "too many connections\n"), None)
                }
                Verdict::Upgrade {
                    response,
                    identity,
                    used,
                } => {
                    let rest = head.get(used..).unwrap_or_default().to_vec();
                    (response, Some((identity, rest)))
                }
            };
            self.state = State::Answer {
                out: out.into_bytes(),
                then,
            };
            return None;
        }
    }

    /// Writes the answer to the request; then it is over, or a WebSocket.
    fn answer(&mut self, core: &mut Core, limits: &Limits, now: Nanos) -> Progress {
        let (State::Answer { out, then }, Stream::Http(io)) = (&mut self.state, &mut self.stream)
        else {
            return Progress::Gone;
        };
        while !out.is_empty() {
            match io.write(out) {
                Ok(0) => return Progress::Gone,
                Ok(size) => drop(out.drain(..size)),
                Err(error) if blocks(&error) => return Progress::Done,
                Err(_) => return Progress::Gone,
            }
        }
        match io.flush() {
            Ok(()) => {}
            Err(error) if blocks(&error) => return Progress::Done,
            Err(_) => return Progress::Gone,
        }
        let Some((identity, rest)) = then.take() else {
            // Said all: a client that goes on sending is not listened to.
            let _ = io.tcp().shutdown(std::net::Shutdown::Write);
            return Progress::Gone;
        };
        let Stream::Http(io) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Progress::Gone;
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(limits.frame_bytes_max))
            .max_frame_size(Some(limits.frame_bytes_max));
        let ws = WebSocket::from_partially_read(io, rest, Role::Server, Some(config));
        self.stream = Stream::Ws(Box::new(ws));
        self.state = State::Open(core.open(*identity, now));
        self.deadline = None;
        Progress::Done
    }

    fn read_frames(&mut self, core: &mut Core, limits: &Limits, now: Nanos) -> Progress {
        let (Some(conn), Stream::Ws(ws)) = (self.conn(), &mut self.stream) else {
            return Progress::Gone;
        };
        if self.is_deaf {
            return throw_away(ws.get_mut());
        }
        for _ in 0..READS_A_TURN {
            match ws.read() {
                Ok(Message::Text(text)) => core.text(conn, &text, now),
                Ok(Message::Binary(_)) => core.binary(conn, now),
                Ok(Message::Ping(_) | Message::Pong(_)) => core.heard(conn, now),
                Ok(Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if blocks(&error) => return Progress::Done,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                    return self.fail(core, limits, Close::TooBig, now);
                }
                Err(Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                )) => return Progress::Gone,
                Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => {
                    return self.fail(core, limits, Close::BadProtocol, now);
                }
                Err(_) => return Progress::Gone,
            }
        }
        Progress::More
    }

    /// The client's bytes make no sense from here on: nothing more is read of it.
    fn fail(&mut self, core: &mut Core, limits: &Limits, why: Close, now: Nanos) -> Progress {
        if let State::Open(conn) = self.state {
            core.close(conn, why);
            self.flush(core, limits, now);
        }
        self.is_deaf = true;
        // What came with it is thrown away in the next turn.
        Progress::More
    }

    /// Writes what waits, as long as the socket takes it.
    pub(super) fn flush(&mut self, core: &mut Core, limits: &Limits, now: Nanos) -> Progress {
        if let State::Answer { .. } = self.state {
            return match self.answer(core, limits, now) {
                Progress::Gone => Progress::Gone,
                _ => Progress::Done,
            };
        }
        let (Some(conn), Stream::Ws(ws)) = (self.conn(), &mut self.stream) else {
            return Progress::Done;
        };
        let mut outcome = if self.is_blocked { ws.flush() } else { Ok(()) };
        let mut written = 0;
        while outcome.is_ok() && written < WRITES_A_TURN {
            let Some(out) = core.next(conn) else { break };
            written += 1;
            outcome = match out {
                Out::Text(text) => {
                    core.telemetry.frames_out += 1;
                    core.telemetry.bytes_out += text.len() as u64;
                    ws.write(Message::Text(text))
                }
                Out::Ping => ws.write(Message::Ping(Bytes::new())),
                Out::Close(why) => {
                    self.deadline = Some(now + limits.linger);
                    self.state = State::Closing(conn);
                    ws.close(Some(CloseFrame {
                        code: why.code().into(),
                        reason: why.reason().into(),
                    }))
                }
            };
        }
        if outcome.is_ok() {
            outcome = ws.flush();
        }
        self.is_blocked = match outcome {
            Ok(()) => false,
            Err(Error::Io(error)) if blocks(&error) => true,
            Err(_) => return Progress::Gone,
        };
        core.set_blocked(conn, self.is_blocked, now);
        if written == WRITES_A_TURN && !self.is_blocked {
            core.not_done(conn);
        }
        Progress::Done
    }
}

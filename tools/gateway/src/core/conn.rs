//! One connection as the core sees it: what waits to be sent, in two lanes, and whether it is alive.

use std::collections::{HashMap, HashSet, VecDeque};

use tickwire::Nanos;
use tungstenite::Utf8Bytes;

use crate::auth::Identity;
use crate::config::Limits;
use crate::hub::ChannelId;

/// Why a connection is closed, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// 1001: the gateway stops.
    GoingAway,
    /// 1009: a frame is too large.
    TooBig,
    /// 4001: the token has expired.
    TokenExpired,
    /// 4003: the token was revoked.
    Revoked,
    /// 4408: no sign of the client.
    NoPong,
    /// 4429: it does not read what it asked for.
    Slow,
    /// 4499: the gateway starts anew; come back with your positions.
    Restart,
    /// 4501: it does not speak the protocol.
    BadProtocol,
}

impl Close {
    /// Every one.
    pub const ALL: [Close; 8] = [
        Close::GoingAway,
        Close::TooBig,
        Close::TokenExpired,
        Close::Revoked,
        Close::NoPong,
        Close::Slow,
        Close::Restart,
        Close::BadProtocol,
    ];

    /// The code in the close frame.
    pub const fn code(self) -> u16 {
        match self {
            Close::GoingAway => 1001,
            Close::TooBig => 1009,
            Close::TokenExpired => 4001,
            Close::Revoked => 4003,
            Close::NoPong => 4408,
            Close::Slow => 4429,
            Close::Restart => 4499,
            Close::BadProtocol => 4501,
        }
    }

    /// The reason in the close frame.
    pub const fn reason(self) -> &'static str {
        match self {
            Close::GoingAway => "going away",
            Close::TooBig => "a frame is too large",
            Close::TokenExpired => "token expired",
            Close::Revoked => "token revoked",
            Close::NoPong => "no pong",
            Close::Slow => "too slow",
            Close::Restart => "restart",
            Close::BadProtocol => "bad protocol",
        }
    }
}

/// How far a connection has been told of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) sent: u64,
    pub(super) is_control: bool,
    /// It stands in its lane.
    pub(super) waits: bool,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) name: String,
    pub(super) identity: Identity,
    /// Answers, pongs and the first event: in order, before all channels.
    replies: VecDeque<Utf8Bytes>,
    reply_bytes: usize,
    /// Channels with news, in turn: those of the control lane first.
    pub(super) control: VecDeque<ChannelId>,
    pub(super) data: VecDeque<ChannelId>,
    pub(super) cursors: HashMap<ChannelId, Cursor>,
    pub(super) in_flight: HashSet<String>,
    pub(super) closing: Option<Close>,
    pub(super) close_told: bool,
    pub(super) ping_at: Nanos,
    pub(super) ping_due: bool,
    pub(super) heard_at: Nanos,
    pub(super) blocked_since: Option<Nanos>,
    pub(super) bad_in_row: u32,
    bucket: Bucket,
    /// It stands in the list of those that have something to send.
    pub(super) is_ready: bool,
}

impl Conn {
    pub(super) fn new(
        name: String,
        identity: Identity,
        limits: &Limits,
        ping_at: Nanos,
        now: Nanos,
    ) -> Conn {
        Conn {
            name,
            identity,
            replies: VecDeque::new(),
            reply_bytes: 0,
            control: VecDeque::new(),
            data: VecDeque::new(),
            cursors: HashMap::new(),
            in_flight: HashSet::new(),
            closing: None,
            close_told: false,
            ping_at,
            ping_due: false,
            heard_at: now,
            blocked_since: None,
            bad_in_row: 0,
            bucket: Bucket {
                tokens: f64::from(limits.frames_burst),
                at: now,
            },
            is_ready: false,
        }
    }

    pub(super) fn push_reply(&mut self, text: Utf8Bytes) {
        self.reply_bytes += text.len();
        self.replies.push_back(text);
    }

    pub(super) fn pop_reply(&mut self) -> Option<Utf8Bytes> {
        let text = self.replies.pop_front()?;
        self.reply_bytes -= text.len();
        Some(text)
    }

    pub(super) const fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Nothing but the close frame goes out any more.
    pub(super) fn drop_all(&mut self) {
        self.replies.clear();
        self.reply_bytes = 0;
        self.control.clear();
        self.data.clear();
        self.ping_due = false;
    }

    /// Puts a channel with news into its lane.
    pub(super) fn wake(&mut self, channel: ChannelId) {
        if let Some(cursor) = self.cursors.get_mut(&channel)
            && !cursor.waits
        {
            cursor.waits = true;
            if cursor.is_control {
                self.control.push_back(channel);
            } else {
                self.data.push_back(channel);
            }
        }
    }

    /// Takes a frame from the allowance; where there is none, gives the wait until there is.
    pub(super) fn take_frame(&mut self, limits: &Limits, now: Nanos) -> Result<(), Nanos> {
        self.bucket.take(limits, now)
    }

    pub(super) fn has_work(&self) -> bool {
        if self.closing.is_some() {
            return !self.close_told;
        }
        self.ping_due
            || !self.replies.is_empty()
            || !self.control.is_empty()
            || !self.data.is_empty()
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Nanos,
}

impl Bucket {
    fn take(&mut self, limits: &Limits, now: Nanos) -> Result<(), Nanos> {
        let rate = f64::from(limits.frames_per_s.max(1));
        let elapsed_s = now.since(self.at).0.max(0) as f64 / 1e9;
        self.tokens = (self.tokens + elapsed_s * rate).min(f64::from(limits.frames_burst));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Nanos(((1.0 - self.tokens) / rate * 1e9) as i64))
    }
}

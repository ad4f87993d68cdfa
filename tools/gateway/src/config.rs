//! What a gateway is told before it starts: limits, who may come, when a person is asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tickwire::{Amount, Nanos};

use crate::protocol::{Approval, Mode};

/// Limits. Each has a reason; reaching one moves a counter.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a frame of a client; a message of 32 KiB fits with every character escaped.
    pub frame_bytes_max: usize,
    /// Bytes of answers that wait for one client, and bytes of a log that it may be behind.
    pub queue_bytes_max: usize,
    /// Channels of one connection: a wall of screens.
    pub channels_max: usize,
    /// Requests of one connection that are under way.
    pub requests_max: usize,
    /// Connections altogether.
    pub connections_max: usize,
    /// Connections of one user: some screens, some programs, and those of them that have not yet
    /// noticed that they are dead.
    pub connections_per_user_max: usize,
    /// Connections that have not been upgraded yet. Whoever connects and says nothing holds one until
    /// the time for a handshake is over, and nothing else.
    pub handshakes_max: usize,
    /// Frames a second of one connection, over time.
    pub frames_per_s: u32,
    /// Frames at once.
    pub frames_burst: u32,
    /// Bad frames in a row that end a connection.
    pub bad_frames_max: u32,
    /// Bytes of the request line and headers of an upgrade.
    pub head_bytes_max: usize,
    /// Time for the handshake (TLS and upgrade).
    pub handshake: Nanos,
    /// Between two pings.
    pub ping: Nanos,
    /// Without a sign of the client for so long, it is dead: two pings and some seconds of grace.
    pub silence: Nanos,
    /// A client whose socket takes nothing for so long is closed.
    pub stall: Nanos,
    /// Time in which a closed client may read what was sent, and the close frame.
    pub linger: Nanos,
    /// Time in which a request must be answered.
    pub request: Nanos,
    /// Time over which clients are sent away when the gateway stops.
    pub drain: Nanos,
    /// Events of a channel that are kept for those who come back.
    pub log_events_max: usize,
    /// Bytes of a channel's events that are kept in memory.
    pub log_bytes_max: usize,
    /// A reader of a book that is behind by more events gets them merged into one.
    pub merge_after: u64,
    /// Bytes of an answer of a strategy, all parts together.
    pub answer_bytes_max: usize,
    /// Sessions that are active at once in a project.
    pub sessions_max: usize,
    /// Streams of market data that are open at once.
    pub streams_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes_max: 256 * 1024,
            queue_bytes_max: 1024 * 1024,
            channels_max: 256,
            requests_max: 64,
            connections_max: 2_048,
            connections_per_user_max: 16,
            handshakes_max: 256,
            frames_per_s: 50,
            frames_burst: 100,
            bad_frames_max: 32,
            head_bytes_max: 8 * 1024,
            handshake: Nanos::from_secs(5),
            ping: Nanos::from_secs(15),
            silence: Nanos::from_secs(38),
            stall: Nanos::from_secs(10),
            linger: Nanos::from_secs(5),
            request: Nanos::from_secs(5),
            drain: Nanos::from_secs(5),
            log_events_max: 1_024,
            log_bytes_max: 2 * 1024 * 1024,
            merge_after: 16,
            answer_bytes_max: 256 * 1024,
            sessions_max: 1_000,
            streams_max: 512,
        }
    }
}

/// When a person is asked before an order goes out.
#[derive(Clone, Debug)]
pub struct ApprovalPolicy {
    /// For orders of live sessions that add risk.
    pub live: Approval,
    /// For those of paper and replay sessions.
    pub paper: Approval,
    /// For [`Approval::AboveLimit`]: orders of a higher notional are asked for. One whose notional is
    /// not known (a market order by base quantity) is asked for always.
    pub notional_max: Amount,
    /// An order that nobody decided on in this time expires.
    pub expires: Nanos,
}

impl Default for ApprovalPolicy {
    fn default() -> ApprovalPolicy {
        ApprovalPolicy {
            live: Approval::Required,
            paper: Approval::Auto,
            notional_max: Amount::default(),
            expires: Nanos::from_secs(60),
        }
    }
}

impl ApprovalPolicy {
    /// The rule for a mode.
    pub const fn of(&self, mode: Mode) -> Approval {
        match mode {
            Mode::Live => self.live,
            Mode::Paper | Mode::Replay => self.paper,
        }
    }
}

/// A gateway's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Hosts by which clients may call it, with the port where it is not the scheme's; those of the
    /// loopback at its port are always allowed. Others are refused: a page of a stranger whose name
    /// was made to point here is not let in.
    pub hosts: Vec<String>,
    /// Origins of pages that may connect, such as `https://desk.example`; pages of the gateway's own
    /// hosts always may. Programs send none.
    pub origins: Vec<String>,
    /// Where sessions, messages, approvals and fills are kept; `None` keeps them in memory.
    pub store: Option<PathBuf>,
    /// Limits.
    pub limits: Limits,
    /// When a person is asked.
    pub approvals: ApprovalPolicy,
    /// Seed of ids and of the spread of pings. Secrets are never drawn from it.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 4096)),
            hosts: Vec::new(),
            origins: Vec::new(),
            store: None,
            limits: Limits::default(),
            approvals: ApprovalPolicy::default(),
            seed: 0,
        }
    }
}

//! Live steering: what a test makes a venue do while it runs.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::exchange::Ledger;
use crate::fault::{Fault, FaultScript};
use crate::spec::SimVenue;

/// Something a venue is made to do. Faults proper are rows of [`Fault`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Inject a fault.
    Inject {
        /// How long to wait before.
        after_ns: i64,
        /// What.
        fault: Fault,
    },
    /// Cut every WebSocket connection without a close frame.
    CutConnections,
    /// Stop the market's clock: connections live on, nothing is sent.
    Pause,
    /// Let it go on.
    Resume,
    /// Withhold (or let through again) all frames of one stream, by its name on the wire.
    StallStream {
        /// Stream name ("btcusdt@depth@100ms", "orderbook.50.BTCUSDT").
        topic: String,
        /// Withhold or not.
        on: bool,
    },
    /// Change the mean event rate, a second, of all instruments together.
    SetRate(f64),
    /// Withhold the next depth delta of each of the symbol's depth streams: a gap.
    SkipNextDelta {
        /// Symbol.
        symbol: String,
    },
    /// The venue restarts: connections are cut, sequence numbers start over.
    Restart,
    /// Bybit: the book service restarts behind live connections; every order book topic sends a
    /// snapshot with `u` 1.
    ServiceReset,
    /// Refuse upgrades with this HTTP status, or grant them again.
    RefuseUpgrades(Option<u16>),
    /// Polymarket: a token's market gets another tick size, and then its books come anew.
    ChangeTick {
        /// The token's id.
        symbol: String,
    },
    /// Polymarket: how trades settle on the chain from now on, and how long each step takes.
    Settle {
        /// Which way.
        how: Settlement,
        /// Between two steps.
        step_ns: i64,
    },
    /// Polymarket: send this text to every connection of the user channel that has logged in.
    SendUser(String),
    /// Send no WebSocket pings.
    MutePings(bool),
    /// Answer no pings, neither frames nor operations.
    MutePongs(bool),
}

/// What becomes of a trade on the chain, once it was matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Mined, confirmed.
    Confirmed,
    /// Sent again, mined, confirmed.
    Retried,
    /// Sent again, failed for good: what both sides gave goes back to them.
    Failed,
}

/// What the simulator's thread is asked.
#[derive(Debug)]
pub(crate) enum Order {
    /// To do something, and to say when it is done.
    Apply {
        venue: SimVenue,
        command: Command,
        done: Sender<()>,
    },
    /// Which streams each open connection of a venue holds, by age.
    Links {
        venue: SimVenue,
        answer: Sender<Vec<Vec<String>>>,
    },
    /// What an account really has.
    Ledger {
        venue: SimVenue,
        account: String,
        answer: Sender<Option<Ledger>>,
    },
}

/// A handle to steer a running simulator. Every call returns once the simulator's thread has done
/// it (or at once if it has stopped).
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) orders: Sender<Order>,
    pub(crate) waker: Arc<mio::Waker>,
}

impl Control {
    /// Applies a command.
    pub fn apply(&self, venue: SimVenue, command: Command) {
        let (done, wait) = mpsc::channel();
        let order = Order::Apply {
            venue,
            command,
            done,
        };
        self.ask(order, &wait);
    }

    /// Which streams each open WebSocket connection of a venue holds, by age. Empty if the simulator
    /// has stopped.
    #[must_use]
    pub fn links(&self, venue: SimVenue) -> Vec<Vec<String>> {
        let (answer, wait) = mpsc::channel();
        self.ask(Order::Links { venue, answer }, &wait)
            .unwrap_or_default()
    }

    /// What an account of a venue really has, by its name: the simulator's own ledger. `None`: there
    /// is no such account, or the simulator has stopped.
    #[must_use]
    pub fn ledger(&self, venue: SimVenue, account: &str) -> Option<Ledger> {
        let (answer, wait) = mpsc::channel();
        let account = account.to_owned();
        self.ask(
            Order::Ledger {
                venue,
                account,
                answer,
            },
            &wait,
        )
        .flatten()
    }

    /// `None`: the thread is gone, and with it whatever was to be steered or asked.
    fn ask<T>(&self, order: Order, answer: &Receiver<T>) -> Option<T> {
        self.orders.send(order).ok()?;
        self.waker.wake().ok()?;
        answer.recv().ok()
    }

    /// Injects a fault: it acts at once, or at the next frame, upgrade or request that it is meant
    /// for.
    pub fn inject(&self, venue: SimVenue, fault: Fault) {
        self.apply(venue, Command::Inject { after_ns: 0, fault });
    }

    /// Starts a script: its times count from now.
    pub fn run_script(&self, script: &FaultScript) {
        for one in script.entries() {
            let (after_ns, fault) = (one.at_ns, one.fault.clone());
            self.apply(one.venue, Command::Inject { after_ns, fault });
        }
    }

    /// Cuts every WebSocket connection of a venue without a close frame.
    pub fn cut_connections(&self, venue: SimVenue) {
        self.apply(venue, Command::CutConnections);
    }

    /// Stops the market's clock; connections and heartbeats live on.
    pub fn pause(&self, venue: SimVenue) {
        self.apply(venue, Command::Pause);
    }

    /// Lets the market go on.
    pub fn resume(&self, venue: SimVenue) {
        self.apply(venue, Command::Resume);
    }

    /// Withholds all frames of one stream, or lets them through again.
    pub fn stall_stream(&self, venue: SimVenue, topic: &str, on: bool) {
        self.apply(
            venue,
            Command::StallStream {
                topic: topic.to_owned(),
                on,
            },
        );
    }

    /// Changes the mean event rate, a second, over all instruments.
    pub fn set_rate(&self, venue: SimVenue, per_s: u32) {
        self.apply(venue, Command::SetRate(f64::from(per_s)));
    }

    /// Withholds the next depth delta of a symbol: a gap.
    pub fn skip_next_delta(&self, venue: SimVenue, symbol: &str) {
        self.apply(
            venue,
            Command::SkipNextDelta {
                symbol: symbol.to_owned(),
            },
        );
    }

    /// Restarts a venue: connections are cut and sequence numbers start over.
    pub fn restart_with_sequence_reset(&self, venue: SimVenue) {
        self.apply(venue, Command::Restart);
    }

    /// Restarts Bybit's book service behind live connections: snapshots with `u` 1.
    pub fn service_reset(&self, venue: SimVenue) {
        self.apply(venue, Command::ServiceReset);
    }

    /// Refuses upgrades with an HTTP status, or grants them again.
    pub fn refuse_upgrades(&self, venue: SimVenue, status: Option<u16>) {
        self.apply(venue, Command::RefuseUpgrades(status));
    }

    /// Stops or resumes the server's WebSocket pings.
    pub fn mute_pings(&self, venue: SimVenue, on: bool) {
        self.apply(venue, Command::MutePings(on));
    }

    /// Stops or resumes all answers to pings.
    pub fn mute_pongs(&self, venue: SimVenue, on: bool) {
        self.apply(venue, Command::MutePongs(on));
    }
}

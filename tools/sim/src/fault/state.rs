//! The faults of one venue that wait for their frame, request or end.

use super::{DoorFault, Fault, FaultLog, Target};
use crate::outbox::ConnId;
use crate::venue::earlier;

/// A data frame about to be sent, as far as a fault cares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) name: &'a str,
    pub(crate) symbol: &'a str,
    /// It is an order book delta.
    pub(crate) is_delta: bool,
    /// Its writer can add a level that crosses the book.
    pub(crate) can_cross: bool,
    /// No other frame of its stream is held back.
    pub(crate) can_hold: bool,
    pub(crate) at_ns: i64,
}

/// What a fault makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Withhold,
    /// Its first subscriber does not get it.
    Miss,
    Duplicate,
    /// Send it after the next one.
    Hold,
    Damage {
        utf8: bool,
    },
    Pad(usize),
    /// Its writer adds a crossing level; otherwise it goes out as it is.
    Cross,
}

/// What becomes of the answer to an order request that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Now,
    /// After so many ns.
    After(i64),
    Lost,
    /// An error with this status comes instead.
    Error(u16),
}

/// Upgrades or requests that are refused with a status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) retry_after_s: Option<u32>,
}

#[derive(Debug)]
struct Armed {
    record: usize,
    target: Target,
    act: Act,
}

#[derive(Debug)]
struct Counted<T> {
    record: usize,
    what: T,
    left: u32,
}

/// Misbehaviours of one venue: standing ones, and those that wait for what they act on.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Upgrades are refused with this status until told otherwise.
    pub(crate) refuse_upgrades: Option<u16>,
    /// The venue sends no WebSocket pings.
    pub(crate) mute_pings: bool,
    /// The venue answers neither ping frames nor ping operations.
    pub(crate) mute_pongs: bool,
    /// What its clock is off by.
    pub(crate) skew_ns: i64,
    pub(crate) log: FaultLog,
    rng: fastrand::Rng,
    armed: Vec<Armed>,
    /// (record, which, end).
    stalls: Vec<(usize, Target, i64)>,
    upgrades: Vec<Counted<Refusal>>,
    requests: Vec<Counted<Refusal>>,
    snapshots: Vec<Counted<Option<String>>>,
    acks: Vec<Counted<Ack>>,
    duplicate_fills: Vec<Counted<()>>,
    cancel_races: Vec<Counted<()>>,
    empty_pools: Vec<Counted<()>>,
    /// Connections that bring no data.
    mute: Vec<ConnId>,
    skew_until: Option<i64>,
    certificate_until: Option<i64>,
    down_until: Option<i64>,
}

impl Faults {
    pub(crate) fn new(log: FaultLog, seed: u64) -> Self {
        Self {
            log,
            rng: fastrand::Rng::with_seed(seed),
            ..Self::default()
        }
    }

    /// Takes in a fault that waits or lasts. Faults on links are not for here.
    pub(crate) fn arm(&mut self, record: usize, fault: &Fault, now: i64) {
        let until = |span_ns: i64| now.saturating_add(span_ns.max(0));
        let one_shot = match fault {
            Fault::Gap { target } => Some((target, Act::Withhold)),
            Fault::Miss { target } => Some((target, Act::Miss)),
            Fault::Duplicate { target } => Some((target, Act::Duplicate)),
            Fault::Reorder { target } => Some((target, Act::Hold)),
            Fault::Corrupt { target, utf8 } => Some((target, Act::Damage { utf8: *utf8 })),
            Fault::Oversized { target, bytes } => {
                Some((target, Act::Pad((*bytes).min(Fault::OVERSIZED_MAX))))
            }
            Fault::Crossed { target } => Some((target, Act::Cross)),
            _ => None,
        };
        if let Some((target, act)) = one_shot {
            let target = target.clone();
            return self.armed.push(Armed {
                record,
                target,
                act,
            });
        }
        match fault {
            Fault::Stall { target, for_ns } => {
                self.stalls.push((record, target.clone(), until(*for_ns)));
            }
            Fault::RefuseUpgrade {
                status,
                retry_after_s,
                times,
            }
            | Fault::RestStatus {
                status,
                retry_after_s,
                times,
            } => {
                let (status, retry_after_s) = (*status, *retry_after_s);
                let counted = Counted {
                    record,
                    what: Refusal {
                        status,
                        retry_after_s,
                    },
                    left: *times,
                };
                if matches!(fault, Fault::RefuseUpgrade { .. }) {
                    self.upgrades.push(counted);
                } else {
                    self.requests.push(counted);
                }
            }
            Fault::OldSnapshot { symbol, times } => {
                let (what, left) = (symbol.clone(), *times);
                self.snapshots.push(Counted { record, what, left });
            }
            Fault::AckLost { times }
            | Fault::FillFirst { times, .. }
            | Fault::AcceptedError { times, .. }
            | Fault::SlowAck { times, .. } => {
                let what = match fault {
                    Fault::FillFirst { by_ns, .. } => Ack::After(*by_ns),
                    Fault::SlowAck { for_ns, .. } => Ack::After(*for_ns),
                    Fault::AcceptedError { status, .. } => Ack::Error(*status),
                    _ => Ack::Lost,
                };
                let left = *times;
                self.acks.push(Counted { record, what, left });
            }
            Fault::DuplicateFill { times } => {
                let left = *times;
                self.duplicate_fills.push(Counted {
                    record,
                    what: (),
                    left,
                });
            }
            Fault::CancelRace { times } => {
                let left = *times;
                self.cancel_races.push(Counted {
                    record,
                    what: (),
                    left,
                });
            }
            Fault::NoCredits { times } => {
                let left = *times;
                self.empty_pools.push(Counted {
                    record,
                    what: (),
                    left,
                });
            }
            Fault::ClockSkew { by_ns, for_ns } => {
                (self.skew_ns, self.skew_until) = (*by_ns, Some(until(*for_ns)));
                self.log.hit(record, now, 1);
            }
            Fault::Certificate { for_ns, .. } => {
                self.certificate_until = Some(until(*for_ns));
                self.log.hit(record, now, 1);
            }
            Fault::Kill { down_ns, .. } => {
                self.down_until = Some(until(*down_ns));
                self.log.hit(record, now, 1);
            }
            _ => {}
        }
    }

    /// Whether the venue's process is gone.
    pub(crate) const fn is_down(&self) -> bool {
        self.down_until.is_some()
    }

    /// Whether this frame is withheld by a stall; counted if so.
    pub(crate) fn is_stalled(&self, frame: &Frame<'_>) -> bool {
        let stall = self.stalls.iter().find(|(_, target, until)| {
            frame.at_ns < *until && target.covers(frame.name, frame.symbol)
        });
        if let Some((record, ..)) = stall {
            self.log.hit(*record, frame.at_ns, 1);
        }
        stall.is_some()
    }

    /// The first fault that waits for such a frame; it waits no longer.
    pub(crate) fn take(&mut self, frame: &Frame<'_>) -> Option<Act> {
        let index = self.armed.iter().position(|armed| {
            // Unless a stream is named, sequence faults mean deltas.
            (frame.is_delta || matches!(armed.target, Target::Stream(_)))
                && (frame.can_cross || armed.act != Act::Cross)
                && (frame.can_hold || armed.act != Act::Hold)
                && armed.target.covers(frame.name, frame.symbol)
        })?;
        let armed = self.armed.remove(index);
        self.log.hit(armed.record, frame.at_ns, 1);
        Some(armed.act)
    }

    /// The refusal for this upgrade, if any.
    pub(crate) fn take_upgrade(&mut self, now: i64) -> Option<Refusal> {
        take_counted(&mut self.upgrades, |_| true, &self.log, now)
    }

    /// The refusal for this request, if any.
    pub(crate) fn take_request(&mut self, now: i64) -> Option<Refusal> {
        take_counted(&mut self.requests, |_| true, &self.log, now)
    }

    /// What becomes of this answer to an order request.
    pub(crate) fn take_ack(&mut self, is_order_entry: bool, now: i64) -> Ack {
        if !is_order_entry || self.acks.is_empty() {
            return Ack::Now;
        }
        take_counted(&mut self.acks, |_| true, &self.log, now).unwrap_or(Ack::Now)
    }

    /// Whether this fill is to be told twice.
    pub(crate) fn take_duplicate_fill(&mut self, now: i64) -> bool {
        take_counted(&mut self.duplicate_fills, |()| true, &self.log, now).is_some()
    }

    /// Whether the next cancel of an order in the book is to come too late.
    pub(crate) fn has_cancel_race(&self) -> bool {
        self.cancel_races.iter().any(|one| one.left > 0)
    }

    pub(crate) fn take_cancel_race(&mut self, now: i64) -> bool {
        take_counted(&mut self.cancel_races, |()| true, &self.log, now).is_some()
    }

    /// Whether there are no credits for this request to subscribe.
    pub(crate) fn take_empty_pool(&mut self, now: i64) -> bool {
        take_counted(&mut self.empty_pools, |()| true, &self.log, now).is_some()
    }

    /// From here on this connection brings no data.
    pub(crate) fn mute(&mut self, conn: ConnId) {
        self.mute.push(conn);
    }

    /// Whether a connection brings no data.
    pub(crate) fn is_mute(&self, conn: ConnId) -> bool {
        self.mute.contains(&conn)
    }

    /// Whether this depth answer is to be an old one.
    pub(crate) fn take_snapshot(&mut self, symbol: &str, now: i64) -> bool {
        let wanted = |one: &Option<String>| {
            one.as_ref()
                .is_none_or(|one| one.eq_ignore_ascii_case(symbol))
        };
        take_counted(&mut self.snapshots, wanted, &self.log, now).is_some()
    }

    /// Damages one byte of a frame, so that it is not JSON (or not UTF-8) any more.
    pub(crate) fn damage(&mut self, text: &mut [u8], utf8: bool) {
        const TRIES: usize = 64;
        const JUNK: &[u8] = b"{}[]\",:x0\\";
        if text.is_empty() {
            return;
        }
        if utf8 {
            text[self.rng.usize(..text.len())] = 0xff;
            return;
        }
        for _ in 0..TRIES {
            let index = self.rng.usize(..text.len());
            let before = std::mem::replace(&mut text[index], JUNK[self.rng.usize(..JUNK.len())]);
            if serde_json::from_slice::<serde_json::Value>(text).is_err() {
                return;
            }
            text[index] = before;
        }
        // No text of JSON starts like this.
        text[0] = b'}';
    }

    /// When the next standing fault ends.
    pub(crate) fn next_end(&self) -> Option<i64> {
        let stalls = self.stalls.iter().map(|(.., until)| *until).min();
        let timed = [self.skew_until, self.certificate_until, self.down_until];
        timed.into_iter().fold(stalls, earlier)
    }

    /// Ends what is over; what concerns the door is told.
    pub(crate) fn end(&mut self, now: i64, mut tell: impl FnMut(DoorFault)) {
        let over = |until: &mut Option<i64>| until.take_if(|until| *until <= now).is_some();
        self.stalls.retain(|(.., until)| *until > now);
        if over(&mut self.skew_until) {
            self.skew_ns = 0;
        }
        if over(&mut self.certificate_until) {
            tell(DoorFault::Certificate(None));
        }
        if over(&mut self.down_until) {
            tell(DoorFault::Up);
        }
    }
}

/// The first of these that is wanted, counted down; gone when it reaches zero.
fn take_counted<T: Clone>(
    list: &mut Vec<Counted<T>>,
    wanted: impl Fn(&T) -> bool,
    log: &FaultLog,
    now: i64,
) -> Option<T> {
    list.retain(|one| one.left > 0);
    let one = list.iter_mut().find(|one| wanted(&one.what))?;
    one.left -= 1;
    log.hit(one.record, now, 1);
    Some(one.what.clone())
}

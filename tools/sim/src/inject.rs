//! How the world brings its faults about: when they come, and what each does at once. What waits
//! for a frame or a request is armed at the venue ([`crate::fault::Faults`]).

use std::collections::BTreeMap;

use crate::control::Command;
use crate::fault::{
    DoorFault, Fault, FaultLog, FaultPlan, FaultScript, LinkFault, Links, Refusal, ShellFault,
};
use crate::outbox::{ConnId, Item, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::venue::binance::rest_error;
use crate::venue::{HttpResponse, PRIVATE_LINK, Venue, earlier};
use crate::world::World;

/// The faults to come.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    /// By time, then by order of arrival.
    scheduled: BTreeMap<(i64, u64), (SimVenue, Fault)>,
    count: u64,
    plan: Option<FaultPlan>,
    log: FaultLog,
}

impl Injector {
    pub(crate) fn log(&self) -> FaultLog {
        self.log.clone()
    }

    fn schedule(&mut self, at_ns: i64, venue: SimVenue, fault: Fault) {
        self.count += 1;
        self.scheduled.insert((at_ns, self.count), (venue, fault));
    }

    fn next_ns(&self) -> Option<i64> {
        let scheduled = self.scheduled.first_key_value().map(|((at, _), _)| *at);
        earlier(scheduled, self.plan.as_ref().and_then(FaultPlan::next_ns))
    }
}

impl World {
    /// Injects a fault: it acts at once, or at the next frame, upgrade or request that it is meant
    /// for. A venue that this world does not have is ignored.
    pub fn inject(&mut self, venue: SimVenue, fault: &Fault, now: i64, out: &mut Outbox) {
        let log = self.injector.log();
        let Some(machine) = self.venue(venue) else {
            return;
        };
        let record = log.open(now, venue, fault.clone());
        let hits = act(machine, fault, now, out);
        log.hit(record, now, hits as u64);
        if let Fault::DeafTest { links, .. } | Fault::PingRefused { links } = fault {
            for conn in links.pick(machine.links()) {
                machine.turn_against(conn, fault, record, now);
            }
        }
        machine.common_mut().faults.arm(record, fault, now);
    }

    /// Starts a script: its times count from `now`.
    pub fn schedule(&mut self, script: &FaultScript, now: i64) {
        for one in script.entries() {
            let at_ns = now.saturating_add(one.at_ns);
            self.injector.schedule(at_ns, one.venue, one.fault.clone());
        }
    }

    /// Starts to draw faults by chance; replaces an earlier plan.
    pub fn start_plan(&mut self, mut plan: FaultPlan, now: i64) {
        let venues: Vec<SimVenue> = self.venues.iter().map(|(venue, _)| *venue).collect();
        plan.start(&venues, now);
        self.injector.plan = Some(plan);
    }

    /// What was injected, and when it acted.
    #[must_use]
    pub fn fault_log(&self) -> FaultLog {
        self.injector.log()
    }

    /// Whether a venue's process is gone ([`Fault::Kill`]): nothing answers a connection attempt.
    #[must_use]
    pub fn is_down(&self, venue: SimVenue) -> bool {
        let found = self.venues.iter().find(|(known, _)| *known == venue);
        found.is_some_and(|(_, machine)| machine.common().faults.is_down())
    }

    /// Applies [`Command::Inject`].
    pub(crate) fn inject_after(
        &mut self,
        venue: SimVenue,
        (after_ns, fault): (i64, &Fault),
        now: i64,
        out: &mut Outbox,
    ) {
        if after_ns <= 0 {
            self.inject(venue, fault, now, out);
        } else {
            let at_ns = now.saturating_add(after_ns);
            self.injector.schedule(at_ns, venue, fault.clone());
        }
    }

    /// When the next fault comes or ends.
    pub(crate) fn next_fault_ns(&self) -> Option<i64> {
        let ends = self.venues.iter();
        let ends = ends.map(|(_, machine)| machine.common().faults.next_end());
        ends.fold(self.injector.next_ns(), earlier)
    }

    /// Ends and begins what is due.
    pub(crate) fn turn_faults(&mut self, now: i64, out: &mut Outbox) {
        for (venue, machine) in &mut self.venues {
            let venue = *venue;
            machine.common_mut().faults.end(now, |fault| {
                out.faults.push(ShellFault::Door { venue, fault });
            });
        }
        while let Some(entry) = self.injector.scheduled.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (venue, fault) = entry.remove();
            self.inject(venue, &fault, now, out);
        }
        let truth = self.truth();
        loop {
            let plan = self.injector.plan.as_mut();
            let due = plan.and_then(|plan| plan.pop_due(now, |venue| truth.symbols(venue)));
            let Some((venue, fault)) = due else { break };
            self.inject(venue, &fault, now, out);
        }
    }
}

/// Does what acts at once. Returns on how many links it acted.
fn act(machine: &mut dyn Venue, fault: &Fault, now: i64, out: &mut Outbox) -> usize {
    let venue = machine.common().venue;
    let door = |fault| ShellFault::Door { venue, fault };
    match fault {
        Fault::Drop { links } => {
            let chosen = links.pick(machine.links());
            for conn in &chosen {
                Counters::add(&machine.common().counters.cut, 1);
                out.items.push(Item::Cut { conn: *conn });
                machine.handle_closed(*conn);
            }
            chosen.len()
        }
        Fault::CutPrivate => {
            let links = Links::Holding(PRIVATE_LINK.to_owned());
            act(machine, &Fault::Drop { links }, now, out)
        }
        Fault::HalfOpen { links } => {
            let chosen = to_links(machine, links, LinkFault::HalfOpen, out);
            // Its session is over for the venue; the link does not say so.
            chosen.iter().for_each(|conn| machine.handle_closed(*conn));
            chosen.len()
        }
        Fault::Mute { links } => {
            let chosen = links.pick(machine.links());
            for conn in &chosen {
                machine.common_mut().faults.mute(*conn);
            }
            chosen.len()
        }
        Fault::HugeHeader { links } => to_links(machine, links, LinkFault::HugeHeader, out).len(),
        Fault::Trickle {
            links,
            bytes,
            every_ns,
            for_ns,
            layer,
        } => {
            let fault = LinkFault::Trickle {
                bytes: *bytes,
                every_ns: *every_ns,
                until_ns: now.saturating_add(*for_ns),
                layer: *layer,
            };
            to_links(machine, links, fault, out).len()
        }
        Fault::CutMidFrame {
            links,
            keep_bytes,
            reset,
            layer,
        } => {
            let fault = LinkFault::CutMidFrame {
                keep_bytes: *keep_bytes,
                reset: *reset,
                layer: *layer,
            };
            to_links(machine, links, fault, out).len()
        }
        Fault::Certificate { fault, .. } => {
            out.faults.push(door(DoorFault::Certificate(Some(*fault))));
            0
        }
        Fault::ServerShutdown { links, for_ns } => {
            let end_ns = now.saturating_add((*for_ns).max(0));
            let chosen = links.pick(machine.links());
            let told = chosen.iter();
            told.filter(|conn| machine.announce_end(**conn, end_ns, now, out))
                .count()
        }
        Fault::Restart => {
            let count = machine.links().len();
            machine.handle_control(&Command::Restart, now, out);
            count.max(1)
        }
        Fault::ServiceReset => {
            machine.handle_control(&Command::ServiceReset, now, out);
            1
        }
        Fault::Kill { reset, .. } => {
            for (conn, _) in machine.links() {
                machine.handle_closed(conn);
            }
            if *reset {
                machine.handle_control(&Command::Restart, now, out);
            }
            out.faults.push(door(DoorFault::Down));
            0
        }
        // The rest waits at the venue.
        _ => 0,
    }
}

fn to_links(machine: &dyn Venue, links: &Links, fault: LinkFault, out: &mut Outbox) -> Vec<ConnId> {
    let chosen = links.pick(machine.links());
    for conn in &chosen {
        let conn = *conn;
        out.faults.push(ShellFault::Link { conn, fault });
    }
    chosen
}

/// The answer of a refusal, in the venue's words.
pub(crate) fn refusal(venue: SimVenue, refusal: Refusal) -> HttpResponse {
    let status = refusal.status;
    let mut response = match (venue.is_binance(), status) {
        (true, 418 | 429) => rest_error(status, -1003, "Too much request weight used; banned."),
        (true, 401) => rest_error(
            status,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        ),
        (true, 403) => rest_error(
            status,
            -1002,
            "You are not authorized to execute this request.",
        ),
        (true, _) => rest_error(status, -1001, "Internal error."),
        (false, _) if !venue.is_bybit() => {
            HttpResponse::json(status, br#"{"error":"refused"}"#.to_vec())
        }
        // docs v5/rate-limit: 403, "access too frequent".
        (false, 403) if venue.is_bybit() => {
            let body = br#"{"retCode":10006,"retMsg":"access too frequent"}"#;
            HttpResponse::json(status, body.to_vec())
        }
        (false, _) => HttpResponse::json(status, Vec::new()),
    };
    if let Some(seconds) = refusal.retry_after_s {
        response.headers.push(("Retry-After", seconds.to_string()));
    }
    response
}

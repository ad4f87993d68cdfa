//! Byte faults and door faults at real sockets.

use mio::Token;

use super::Server;
use crate::fault::{DoorFault, ShellFault};
use crate::outbox::ConnId;
use crate::spec::SimVenue;
use crate::venue::earlier;

/// Pause between attempts to listen again on a port that is not free yet.
const REOPEN_NS: i64 = 5_000_000;

impl Server {
    /// Applies what the world leaves to its shell.
    pub(super) fn apply_faults(&mut self, faults: &mut Vec<ShellFault>) {
        let now = self.clock.now();
        for fault in faults.drain(..) {
            match fault {
                ShellFault::Link { conn, fault } => {
                    let slot = slot_of(conn);
                    let found = self.conns.get_mut(slot).and_then(Option::as_mut);
                    if let Some(found) = found.filter(|found| found.id == conn) {
                        // What was sent before the fault still goes out.
                        let _ = found.flush(now);
                        found.apply(&fault, now);
                        self.faulty.push((slot, conn));
                        self.touch(slot);
                    }
                }
                ShellFault::Door { venue, fault } => self.apply_to_door(venue, fault),
            }
        }
    }

    fn apply_to_door(&mut self, venue: SimVenue, fault: DoorFault) {
        let Some(index) = self.doors.iter().position(|door| door.venue == venue) else {
            return;
        };
        let registry = self.poll.registry();
        match fault {
            DoorFault::Certificate(certificate) => self.doors[index].certificate = certificate,
            DoorFault::Up => {
                self.doors[index].reopen(registry, Token(1 + index));
            }
            DoorFault::Down => {
                self.doors[index].shut(registry);
                for slot in 0..self.conns.len() {
                    let conn = self.conns[slot].as_ref();
                    if let Some(conn) = conn.filter(|conn| conn.venue == venue) {
                        conn.reset_on_close();
                        self.drop_conn(slot);
                    }
                }
            }
        }
    }

    /// Lets byte faults move on. Returns when they want to be looked at again.
    pub(super) fn turn_faults(&mut self) -> Option<i64> {
        let now = self.clock.now();
        let mut next = None;
        for index in 0..self.doors.len() {
            let door = &mut self.doors[index];
            if door.wants_up() && !door.reopen(self.poll.registry(), Token(1 + index)) {
                next = earlier(next, Some(now + REOPEN_NS));
            }
        }
        for index in (0..self.faulty.len()).rev() {
            let (slot, id) = self.faulty[index];
            let found = self.conns.get(slot).and_then(Option::as_ref);
            match found.filter(|conn| conn.id == id) {
                None => {
                    self.faulty.swap_remove(index);
                }
                Some(conn) => match conn.next_deadline() {
                    Some(at) if at <= now => self.touch(slot),
                    at => next = earlier(next, at),
                },
            }
        }
        if !self.dirty.is_empty() {
            self.flush_dirty();
            // A morsel went out; the next one's time is asked for at once.
            return Some(now);
        }
        next
    }
}

/// The slot in the low half of an id.
pub(super) const fn slot_of(id: ConnId) -> usize {
    (id.0 & u32::MAX as u64) as usize
}

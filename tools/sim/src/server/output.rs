//! The way out: from the world's items to sockets.

use super::Broken;
use super::Server;
use super::faults::slot_of;
use crate::outbox::Item;
use crate::stats::Counters;
use crate::venue::HttpResponse;

impl Server {
    pub(super) fn touch(&mut self, slot: usize) {
        let conn = self.conns.get_mut(slot).and_then(Option::as_mut);
        if let Some(conn) = conn.filter(|conn| !conn.dirty) {
            conn.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Queues what the world wants sent.
    pub(super) fn dispatch(&mut self) {
        if self.out.items.is_empty() && self.out.faults.is_empty() {
            return self.out.clear();
        }
        let mut out = std::mem::take(&mut self.out);
        for item in out.items.drain(..) {
            let (Item::Text { conn: id, .. }
            | Item::Ping { conn: id, .. }
            | Item::Pong { conn: id, .. }
            | Item::Close { conn: id, .. }
            | Item::Cut { conn: id }) = item;
            let slot = slot_of(id);
            let found = self.conns.get_mut(slot).and_then(Option::as_mut);
            let Some(conn) = found.filter(|conn| conn.id == id && !conn.closing) else {
                continue;
            };
            match item {
                Item::Text { range, mark, .. } => {
                    conn.session.push_text(&out.bytes[range]);
                    conn.marks.extend(mark);
                }
                Item::Ping { range, .. } => {
                    conn.session.push_ping(&out.bytes[range]);
                }
                Item::Pong { range, .. } => {
                    conn.session.push_pong(&out.bytes[range]);
                }
                Item::Close { code, reason, .. } => conn.push_close(code, reason),
                Item::Cut { .. } => {
                    self.drop_conn(slot);
                    continue;
                }
            }
            self.touch(slot);
        }
        let mut faults = std::mem::take(&mut out.faults);
        self.apply_faults(&mut faults);
        out.faults = faults;
        out.clear();
        self.out = out;
    }

    /// Writes to every connection that has something to write.
    pub(super) fn flush_dirty(&mut self) {
        while let Some(slot) = self.dirty.pop() {
            let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            conn.dirty = false;
            if conn.is_half_open() {
                continue;
            }
            if !conn.marks.is_empty() {
                let written_ns = self.clock.now();
                for mark in conn.marks.drain(..) {
                    let late = mark.at_ns <= self.idle_since;
                    self.world.record(conn.venue, mark, written_ns, late);
                }
            }
            match conn.flush(self.clock.now()) {
                Ok(true) if conn.closing => {
                    conn.shut_down();
                    self.drop_conn(slot);
                }
                Ok(true) => {}
                Ok(false) => {
                    let (venue, backlog) = (conn.venue, conn.backlog());
                    let door = self.door(venue);
                    if backlog > door.queue_max {
                        Counters::add(&door.counters.cut_slow, 1);
                        self.drop_conn(slot);
                    }
                }
                Err(broken) => self.fail(slot, broken),
            }
        }
    }

    /// What came cannot be understood, or the link is gone.
    pub(super) fn fail(&mut self, slot: usize, broken: Broken) {
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let venue = conn.venue;
        match broken {
            Broken::Link => {
                if !conn.session.spoke() {
                    Counters::add(&self.door(venue).counters.handshakes_failed, 1);
                }
                return self.drop_conn(slot);
            }
            Broken::Http(status) => {
                let response = HttpResponse::json(status, Vec::new());
                conn.session.respond(&response, true, false, usize::MAX);
                conn.closing = true;
            }
            Broken::Frame(code) => conn.push_close(code, ""),
            Broken::Cut { reset } => {
                if reset {
                    conn.reset_on_close();
                }
                return self.drop_conn(slot);
            }
        }
        self.touch(slot);
        self.flush_dirty();
    }

    pub(super) fn drop_conn(&mut self, slot: usize) {
        let Some(mut conn) = self.conns.get_mut(slot).and_then(Option::take) else {
            return;
        };
        // Deregistering a socket that is about to close can fail only if it is closed already.
        let _ = self.poll.registry().deregister(&mut conn.tcp);
        if conn.session.is_ws() {
            Counters::add(&self.door(conn.venue).counters.closed, 1);
        }
        self.world.handle_closed(conn.venue, conn.id);
        self.free.push(slot);
    }
}

//! HTTP requests in the loop, and instrument data on the helper thread.

use tickwire_connectors::Connector;
use tickwire_connectors::transmit::{ReadOn, Response};

use super::{Loop, Part};
use crate::helper::Job;
use crate::http::Finished;
use crate::net::Net;

impl<C: Connector, N: Net> Loop<C, N> {
    pub(super) fn read_http(&mut self, venue: usize, index: usize) -> bool {
        let pool = &mut self.slots[venue].pool;
        let again = pool.handle_ready(index, &mut self.net, self.now);
        self.dispatch_requests(venue);
        again
    }

    /// Puts waiting requests on connections.
    pub(super) fn dispatch_requests(&mut self, venue: usize) {
        let pool = &mut self.slots[venue].pool;
        let mut opened = Vec::new();
        pool.dispatch(&mut self.net, &mut self.hosts, self.now, |index, token| {
            opened.push((index, token));
        });
        self.next_check = self.next_check.min(pool.deadline());
        for (index, token) in opened {
            self.own(token, venue, Part::Http(index));
        }
    }

    /// Hands on the requests that have their outcome by now. One that is made in answer to it has its
    /// outcome in the next turn at the earliest: a connector that asks again at once can't hold up
    /// the loop.
    pub(super) fn finish_requests(&mut self) -> bool {
        let mut worked = false;
        for venue in 0..self.slots.len() {
            for _ in 0..self.slots[venue].pool.finished() {
                if let Some(finished) = self.slots[venue].pool.pop_finished() {
                    worked = true;
                    self.finish_request(venue, finished);
                }
            }
        }
        worked
    }

    #[cold]
    pub(super) fn finish_request(&mut self, venue: usize, finished: Finished) {
        let Finished {
            id,
            read_on,
            outcome,
        } = finished;
        self.counters.responses.add(1);
        let slot = &mut self.slots[venue];
        match outcome {
            Ok(answer) if read_on == ReadOn::Helper && answer.status == 200 => {
                let (market, reader) =
                    (slot.connector.market(), slot.connector.instrument_reader());
                self.helper.submit(Job {
                    venue,
                    id,
                    market,
                    reader,
                    body: answer.body,
                });
                return;
            }
            Ok(mut answer) => {
                let response = Response {
                    status: answer.status,
                    headers: &answer.headers,
                    body: &mut answer.body,
                };
                slot.connector
                    .handle_response(self.now, id, Ok(response), &mut self.outbox);
            }
            Err(failure) => {
                slot.connector
                    .handle_response(self.now, id, Err(failure), &mut self.outbox);
            }
        }
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    pub(super) fn take_helper(&mut self) -> bool {
        let mut worked = false;
        while let Some(done) = self.helper.poll() {
            worked = true;
            let connector = &mut self.slots[done.venue].connector;
            connector.handle_instruments(self.now, done.id, done.instruments, &mut self.outbox);
            self.after_call(done.venue, None);
            self.note_timeout(done.venue);
        }
        worked
    }
}

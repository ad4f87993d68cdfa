//! Counts what goes through a [`Net`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::Endpoint;

use super::{Net, Ready, SocketReport, Token};
use crate::telemetry::LoopCounters;

/// A network and the loop's counters of calls and bytes.
#[derive(Debug)]
pub(crate) struct Counted<N> {
    pub(crate) net: N,
    counters: Arc<LoopCounters>,
}

impl<N> Counted<N> {
    pub(crate) fn new(net: N, counters: Arc<LoopCounters>) -> Counted<N> {
        Counted { net, counters }
    }
}

impl<N: Net> Net for Counted<N> {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        self.net.open(endpoint)
    }

    #[inline]
    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.counters.syscalls_poll.bump();
        self.net.poll(timeout, ready)
    }

    #[inline]
    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let outcome = self.net.recv(token, into);
        self.counters.syscalls_recv.bump();
        match &outcome {
            Ok(count) => self.counters.bytes_in.add(*count as u64),
            Err(_) => self.counters.syscalls_recv_empty.bump(),
        }
        outcome
    }

    #[inline]
    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.net.send(token, bytes);
        self.counters.syscalls_send.bump();
        if let Ok(count) = &outcome {
            self.counters.bytes_out.add(*count as u64);
        }
        outcome
    }

    fn close(&mut self, token: Token) {
        self.net.close(token);
    }

    #[inline]
    fn idle(&mut self) -> usize {
        let count = self.net.idle();
        if count > 0 {
            self.counters.acks.add(count as u64);
        }
        count
    }

    fn tick(&mut self, now: Nanos) {
        self.net.tick(now);
    }

    fn take_report(&mut self, token: Token) -> Option<SocketReport> {
        self.net.take_report(token)
    }
}

//! Connections in memory, for tests of what stands on [`Net`]: the test is the other side.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use tickwire_connectors::transmit::Endpoint;

use super::{Net, Ready, Token};

/// A network whose every event the test makes.
#[derive(Debug, Default)]
pub(crate) struct MemoryNet {
    opened: u32,
    pub(crate) open: HashMap<Token, Pipe>,
    pub(crate) ready: Vec<Ready>,
    /// The timeouts of all polls.
    pub(crate) timeouts: Vec<Option<Duration>>,
}

/// The test's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Each is what one recv gives; an empty one is the end.
    pub(crate) to_engine: VecDeque<Vec<u8>>,
    pub(crate) from_engine: Vec<u8>,
    /// Takes nothing more: the peer does not read.
    pub(crate) is_full: bool,
}

impl MemoryNet {
    /// The newest connection.
    pub(crate) fn newest(&self) -> Token {
        Token::new(self.opened - 1, 1)
    }

    /// How many connections were opened.
    pub(crate) fn opened(&self) -> u32 {
        self.opened
    }

    /// Has `bytes` arrive.
    pub(crate) fn deliver(&mut self, token: Token, bytes: &[u8]) {
        let pipe = self.open.get_mut(&token).expect("an open connection");
        pipe.to_engine.push_back(bytes.to_vec());
        self.ready.push(Ready::Readable(token));
    }
}

impl Net for MemoryNet {
    fn open(&mut self, _: &Endpoint) -> Token {
        let token = Token::new(self.opened, 1);
        self.opened += 1;
        self.open.insert(token, Pipe::default());
        token
    }

    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.timeouts.push(timeout);
        ready.append(&mut self.ready);
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let pipe = self
            .open
            .get_mut(&token)
            .ok_or(io::ErrorKind::NotConnected)?;
        let bytes = pipe
            .to_engine
            .pop_front()
            .ok_or(io::ErrorKind::WouldBlock)?;
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let pipe = self
            .open
            .get_mut(&token)
            .ok_or(io::ErrorKind::NotConnected)?;
        if pipe.is_full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.from_engine.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn close(&mut self, token: Token) {
        self.open.remove(&token);
    }
}

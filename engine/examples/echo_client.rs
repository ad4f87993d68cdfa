//! A WebSocket client that returns each message with its own type until it is closed, over the
//! engine's wire code, for outside conformance suites. It offers no extension.
//!
//! ```text
//! cargo run --release -p tickwire --example echo_client -- ws://127.0.0.1:9001/echo
//! cargo run --release -p tickwire --example echo_client -- wss://localhost:9001/ --ca ca.pem
//! cargo run --release -p tickwire --example echo_client -- ws://127.0.0.1:9001 --autobahn
//! ```
//!
//! With `--autobahn` the URL is an Autobahn fuzzing server: every case is run under the agent name
//! `tickwire`, then the reports are written.

#![expect(clippy::print_stdout, reason = "an example shows what it gets")]

#[path = "../tests/ws_conformance/endpoint.rs"]
mod endpoint;

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tickwire::certificates_from_pem;
use tickwire::connectors::transmit::Endpoint;
use tickwire::wire::tls::{
    AnySession, PlainSession, Records, Roots, RustlsSession, Session as _, client_config,
};
use tickwire::wire::ws::{Decoder, DecoderConfig, Frame, Handshake, Upgrade};
use tickwire::wire::{RxBuffer, TxBuffer};

use endpoint::{EchoClient, Ended};

/// The longest message of any Autobahn case.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What is received at once.
const RECV_BYTES: usize = 256 << 10;

/// A peer that says nothing for so long is not waited for any longer.
const SILENCE_MAX: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let (mut url, mut ca, mut autobahn) = (None, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--autobahn" => autobahn = true,
            "--ca" => ca = Some(arguments.next().ok_or("--ca wants a file")?),
            _ => url = Some(argument),
        }
    }
    let url = url.ok_or("usage: echo_client URL [--ca FILE] [--autobahn]")?;
    let (endpoint, target) = Endpoint::parse(&url)?;
    let roots = match ca {
        Some(file) => Roots::Custom(certificates_from_pem(&std::fs::read(file)?)?),
        None => Roots::Web,
    };
    let peer = Peer {
        endpoint,
        tls: client_config(roots, Records::default())?,
    };
    if !autobahn {
        println!("{:?}", peer.echo(&target, 1)?);
        return Ok(());
    }
    let count = peer.case_count()?;
    for case in 1..=count {
        let target = format!("/runCase?case={case}&agent=tickwire");
        match peer.echo(&target, case) {
            Ok(ended) => println!("case {case} of {count}: {ended:?}"),
            Err(error) => println!("case {case} of {count}: link lost: {error}"),
        }
    }
    peer.echo("/updateReports?agent=tickwire", 0)?;
    Ok(())
}

/// Whom to connect to.
struct Peer {
    endpoint: Endpoint,
    tls: Arc<ClientConfig>,
}

impl Peer {
    /// Echoes until the end.
    fn echo(&self, target: &str, seed: u64) -> Result<Ended, Failure> {
        let mut link = Link::open(self, target, seed)?;
        let mut client = EchoClient::new(MESSAGE_BYTES_MAX, seed);
        loop {
            client.handle(&mut link.plain)?;
            while !client.pending().is_empty() {
                let count = link.send(client.pending())?;
                client.advance(count);
                client.handle(&mut link.plain)?;
            }
            if let Some(ended) = client.ended() {
                link.finish();
                return Ok(ended);
            }
            link.recv()?;
        }
    }

    /// How many cases an Autobahn server has: the one message that it sends there.
    fn case_count(&self) -> Result<u64, Failure> {
        let mut link = Link::open(self, "/getCaseCount", 0)?;
        let mut decoder = Decoder::new(DecoderConfig::default());
        loop {
            match decoder.next(&mut link.plain)? {
                Some(Frame::Message { payload, .. }) => {
                    return Ok(std::str::from_utf8(payload)?.trim().parse()?);
                }
                Some(_) => {}
                None => link.recv()?,
            }
        }
    }
}

/// A blocking link behind its handshakes.
struct Link {
    socket: TcpStream,
    session: AnySession,
    cipher_in: RxBuffer,
    cipher_out: TxBuffer,
    plain: RxBuffer,
    plain_is_full: bool,
}

impl Link {
    fn open(peer: &Peer, target: &str, seed: u64) -> Result<Link, Failure> {
        let Endpoint { host, port, tls } = &peer.endpoint;
        let socket = TcpStream::connect((&**host, *port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        let session = if *tls {
            AnySession::Rustls(Box::new(RustlsSession::new(Arc::clone(&peer.tls), host)?))
        } else {
            AnySession::Plain(PlainSession)
        };
        let mut link = Link {
            socket,
            session,
            cipher_in: RxBuffer::new(RECV_BYTES),
            cipher_out: TxBuffer::new(RECV_BYTES),
            plain: RxBuffer::new(RECV_BYTES),
            plain_is_full: false,
        };
        link.flush()?;
        while link.session.is_handshaking() {
            link.recv()?;
        }
        let mut request = TxBuffer::new(64 << 10);
        let upgrade = Upgrade {
            host,
            port: *port,
            tls: *tls,
            target,
            headers: &[("User-Agent", "tickwire")],
            protocol: None,
        };
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut handshake = Handshake::start(&upgrade, &mut rng, &mut request)?;
        while !request.is_empty() {
            let count = link.send(request.pending())?;
            request.advance(count);
        }
        while handshake.poll(&mut link.plain)?.is_none() {
            if let Err(error) = link.recv() {
                return Err(match error.kind() {
                    io::ErrorKind::UnexpectedEof => handshake.finish_eof().into(),
                    _ => error.into(),
                });
            }
        }
        Ok(link)
    }

    /// Waits for bytes and decrypts them; they may be less than a record, and give nothing yet.
    fn recv(&mut self) -> io::Result<()> {
        // What did not fit the plain buffer before comes first.
        if !self.plain_is_full {
            self.cipher_in.compact();
            let count = self.socket.read(self.cipher_in.space())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.cipher_in.commit(count);
        }
        let progress = self
            .session
            .read_from(&mut self.cipher_in, &mut self.plain)
            .map_err(io::Error::other);
        // Also the alert that says why it failed.
        self.flush()?;
        self.plain_is_full = progress?.plain_full;
        Ok(())
    }

    /// Encrypts and sends; gives how many bytes were taken.
    fn send(&mut self, plain: &[u8]) -> io::Result<usize> {
        let count = self
            .session
            .write_to(plain, &mut self.cipher_out)
            .map_err(io::Error::other)?;
        self.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            self.session
                .flush(&mut self.cipher_out)
                .map_err(io::Error::other)?;
            if self.cipher_out.is_empty() {
                return Ok(());
            }
            self.socket.write_all(self.cipher_out.pending())?;
            self.cipher_out.advance(self.cipher_out.len());
        }
    }

    /// The closing frames are out: "the server MUST close the TCP connection immediately" (RFC
    /// 6455 §7.1.1); a client waits for that, and throws away what still comes.
    fn finish(&mut self) {
        let _ = self.session.send_close_notify(&mut self.cipher_out);
        let _ = self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut discarded = [0; 4096];
        while matches!(self.socket.read(&mut discarded), Ok(1..)) {}
    }
}

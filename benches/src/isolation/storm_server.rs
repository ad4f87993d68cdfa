//! A host that misbehaves: it takes each connection through a full TLS handshake and the upgrade, and then
//! drops one at a time at a fixed rate, or sends each of them bursts.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Failure, moment};

/// Between two looks for connections and for what is due.
const PAUSE: Duration = Duration::from_millis(1);

/// A client that takes longer for its part of a handshake is dropped.
const CLIENT_MAX: Duration = Duration::from_secs(2);

/// Between two bursts.
pub(super) const BURST_INTERVAL: Duration = Duration::from_millis(10);

/// Messages of a burst: with [`BURST_TEXT`] bytes and a head of four each, 64 KiB.
pub(super) const BURST_MESSAGES: u64 = 256;

const BURST_TEXT: usize = 252;

/// What it does once it storms.
#[derive(Clone, Copy)]
enum Misdeed {
    Drop(Duration),
    Burst,
}

/// Runs until it is dropped.
pub(super) struct StormServer {
    pub(super) address: SocketAddr,
    pub(super) authority: CertificateDer<'static>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    storms: AtomicBool,
    ends: AtomicBool,
    dropped: AtomicU64,
    bursts: AtomicU64,
}

impl StormServer {
    /// Drops one connection every `interval` while it storms.
    pub(super) fn start(interval: Duration) -> Result<StormServer, Failure> {
        StormServer::with(Misdeed::Drop(interval))
    }

    /// Sends each connection 64 KiB every [`BURST_INTERVAL`] while it storms.
    pub(super) fn bursting() -> Result<StormServer, Failure> {
        StormServer::with(Misdeed::Burst)
    }

    fn with(misdeed: Misdeed) -> Result<StormServer, Failure> {
        let (config, authority) = identity()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("storm-server".to_owned())
            .spawn(move || serve(&listener, &config, misdeed, &of_thread))?;
        Ok(StormServer {
            address,
            authority,
            shared,
            thread: Some(thread),
        })
    }

    /// Begins.
    pub(super) fn storm(&self) {
        self.shared.storms.store(true, Ordering::Release);
    }

    /// Bursts sent so far, of all connections.
    pub(super) fn bursts(&self) -> u64 {
        self.shared.bursts.load(Ordering::Acquire)
    }

    /// Connections dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Acquire)
    }
}

impl Drop for StormServer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told by the hook.
            let _ = thread.join();
        }
    }
}

/// An authority and a leaf under it, as venues have, and no way to resume a session: each handshake
/// is the worst case.
pub(crate) fn identity() -> Result<(Arc<ServerConfig>, CertificateDer<'static>), Failure> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = authority.self_signed(&key)?;
    let issuer = Issuer::new(authority, key);
    let leaf_key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    let leaf = leaf.signed_by(&leaf_key, &issuer)?;
    let leaf_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], leaf_key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((Arc::new(config), certificate.der().clone()))
}

type Connection = StreamOwned<ServerConnection, TcpStream>;

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, misdeed: Misdeed, shared: &Shared) {
    let interval = match misdeed {
        Misdeed::Drop(interval) => interval,
        Misdeed::Burst => BURST_INTERVAL,
    };
    let burst = burst();
    let mut held: VecDeque<Connection> = VecDeque::new();
    let mut due = None;
    while !shared.ends.load(Ordering::Acquire) {
        while let Ok((socket, _)) = listener.accept() {
            held.extend(upgrade(socket, config).ok());
        }
        if shared.storms.load(Ordering::Acquire) {
            let at = due.get_or_insert_with(moment);
            if moment() >= *at {
                // From its own schedule: a late drop does not move the next.
                *at += interval;
                match misdeed {
                    Misdeed::Drop(_) if held.pop_front().is_some() => {
                        shared.dropped.fetch_add(1, Ordering::AcqRel);
                    }
                    Misdeed::Drop(_) => {}
                    Misdeed::Burst => held.retain_mut(|connection| {
                        let sent = connection
                            .write_all(&burst)
                            .and_then(|()| connection.flush());
                        shared
                            .bursts
                            .fetch_add(u64::from(sent.is_ok()), Ordering::AcqRel);
                        sent.is_ok()
                    }),
                }
            }
        }
        thread::park_timeout(PAUSE);
    }
}

/// A server's frames of text, back to back.
fn burst() -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&(BURST_TEXT as u16).to_be_bytes());
    frame.resize(frame.len() + BURST_TEXT, b'7');
    frame.repeat(BURST_MESSAGES as usize)
}

fn upgrade(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Connection> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(CLIENT_MAX))?;
    let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    let mut request = Vec::new();
    let mut part = [0; 2_048];
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 || request.len() > 16 << 10 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&part[..count]);
    }
    let request = String::from_utf8_lossy(&request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    Ok(stream)
}

//! A client over real sockets: rustls and tungstenite, blocking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tickwire_sim::{Sim, SimVenue};
use tungstenite::{Message, WebSocket};

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

#[expect(clippy::disallowed_methods, reason = "these tests are about real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A client configuration that trusts the simulator.
pub(crate) fn client(sim: &Sim) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(sim.ca_der().to_vec()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub(crate) fn tls(sim: &Sim, venue: SimVenue) -> Tls {
    tls_with(client(sim), sim, venue)
}

pub(crate) fn tls_with(config: Arc<ClientConfig>, sim: &Sim, venue: SimVenue) -> Tls {
    let name = ServerName::try_from("localhost").unwrap();
    let conn = ClientConnection::new(config, name).unwrap();
    let tcp = TcpStream::connect(sim.addr(venue)).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(conn, tcp)
}

pub(crate) fn ws(sim: &Sim, venue: SimVenue, path: &str) -> WebSocket<Tls> {
    try_ws(sim, venue, path).unwrap()
}

pub(crate) fn try_ws(sim: &Sim, venue: SimVenue, path: &str) -> Result<WebSocket<Tls>, String> {
    let url = format!("wss://localhost{path}");
    let opened = tungstenite::client(url, tls(sim, venue));
    opened.map(|(ws, _)| ws).map_err(|error| error.to_string())
}

pub(crate) fn text(ws: &mut WebSocket<Tls>) -> Value {
    loop {
        if let Message::Text(text) = ws.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// Status and body of one request on a kept-alive link.
pub(crate) fn get(stream: &mut Tls, target: &str) -> (u16, Vec<u8>) {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = Vec::new();
    let mut byte = [0u8];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head[9..12].parse().unwrap();
    let find = |name: &str| {
        let line = head.lines().find(|l| l.starts_with(name))?;
        line.split_once(": ").map(|(_, v)| v.to_owned())
    };
    let mut body = Vec::new();
    if let Some(length) = find("Content-Length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).unwrap();
        return (status, body);
    }
    assert_eq!(find("Transfer-Encoding").as_deref(), Some("chunked"));
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).unwrap();
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return (status, body);
        }
    }
}

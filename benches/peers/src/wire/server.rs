//! The venue's end: one listener that upgrades WebSocket requests and answers the REST calls of
//! tickwire's Binance connector.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tungstenite::handshake::derive_accept_key;

use super::{BASE, frame_of};

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server on a port of its own.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What its clients must trust.
    pub certificate: CertificateDer<'static>,
    /// Upgraded connections, ready to be sent to.
    links: Receiver<Link>,
}

/// A connection to send on.
#[derive(Debug)]
pub struct Link {
    tls: Option<ServerConnection>,
    socket: TcpStream,
    /// Bytes that the socket has not taken.
    left: Vec<u8>,
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Server {
    /// Starts it. `tls` off is for the floor of plain TCP.
    ///
    /// # Errors
    /// In words.
    pub fn start(tls: bool) -> Result<Server, String> {
        let key =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(words)?;
        let certificate = key.cert.der().clone();
        let private =
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(words)?
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], private)
                .map_err(words)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(words)?;
        let addr = listener.local_addr().map_err(words)?;
        let (sender, links) = channel();
        let config = Arc::new(config);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (config, sender) = (Arc::clone(&config), sender.clone());
                thread::spawn(move || {
                    // A client that goes away in the middle is its own affair.
                    let _ = if tls {
                        serve(socket, config, &sender)
                    } else {
                        give_plain(socket, &sender)
                    };
                });
            }
        });
        Ok(Server {
            addr,
            certificate,
            links,
        })
    }

    /// The next connection that can be sent to.
    ///
    /// # Errors
    /// Where none comes.
    pub fn link(&self) -> Result<Link, String> {
        let link = self.links.recv_timeout(Duration::from_secs(20));
        link.map_err(|_| "no client has come".to_owned())
    }

    /// How a client of ours does TLS.
    ///
    /// # Errors
    /// In words.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(words)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(words)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn give_plain(socket: TcpStream, links: &Sender<Link>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    let left = Vec::new();
    let _ = links.send(Link {
        tls: None,
        socket,
        left,
    });
    Ok(())
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, links: &Sender<Link>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    loop {
        let head = read_head(&mut stream)?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let header = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .into_iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, it)| it.trim())
        };
        if let Some(key) = header("sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )?;
            stream.flush()?;
            // tickwire subscribes by message; the others ask by path.
            if text.starts_with("GET /stream") || text.starts_with("GET /v5") {
                let is_bybit = text.starts_with("GET /v5");
                return answer_subscriptions(stream, links, is_bybit);
            }
            return hand_over(stream, links);
        }
        let body = if text.contains("/depth") {
            format!(
                "{{\"lastUpdateId\":{BASE},\"bids\":[[\"61837.63000000\",\"1.00000000\"]],\
                 \"asks\":[[\"61837.64000000\",\"1.00000000\"]]}}"
            )
        } else {
            "{}".to_owned()
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
    }
}

/// The connection is the sender's from here.
fn hand_over(stream: Tls, links: &Sender<Link>) -> io::Result<()> {
    let (tls, socket) = (stream.conn, stream.sock);
    socket.set_nonblocking(true)?;
    let left = Vec::new();
    let _ = links.send(Link {
        tls: Some(tls),
        socket,
        left,
    });
    Ok(())
}

/// Says yes to the first request, which is the one that matters, and hands the connection over.
fn answer_subscriptions(mut stream: Tls, links: &Sender<Link>, is_bybit: bool) -> io::Result<()> {
    let text = read_masked(&mut stream)?;
    let request: serde_json::Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
    if is_bybit {
        let id = request["req_id"].as_str().unwrap_or_default();
        let ok = format!(
            "{{\"success\":true,\"ret_msg\":\"\",\"conn_id\":\"c\",\"req_id\":\"{id}\",\"op\":\"subscribe\"}}"
        );
        write_text(&mut stream, &ok)?;
    } else {
        let ok = format!("{{\"result\":null,\"id\":{}}}", request["id"]);
        write_text(&mut stream, &ok)?;
    }
    hand_over(stream, links)
}

fn read_head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    Ok(head)
}

/// A client's frame of text: masked, below 64 KiB.
fn read_masked(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut len = usize::from(head[1] & 0x7F);
    if len == 126 {
        let mut more = [0; 2];
        stream.read_exact(&mut more)?;
        len = usize::from(u16::from_be_bytes(more));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut text = vec![0; len];
    stream.read_exact(&mut text)?;
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(text)
}

fn write_text(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(&frame_of(text.as_bytes()))?;
    stream.flush()
}

impl Link {
    /// Sends, without waiting for room: what is left goes with later calls. Gives whether all has gone.
    ///
    /// # Errors
    /// In words.
    pub fn send(&mut self, bytes: &[u8]) -> Result<bool, String> {
        if !bytes.is_empty() {
            match &mut self.tls {
                Some(tls) => {
                    tls.writer().write_all(bytes).map_err(words)?;
                    tls.write_tls(&mut self.left).map_err(words)?;
                    while tls.wants_write() {
                        tls.write_tls(&mut self.left).map_err(words)?;
                    }
                }
                None => self.left.extend_from_slice(bytes),
            }
        }
        if self.left.is_empty() {
            return Ok(true);
        }
        match self.socket.write(&self.left) {
            Ok(count) if count == self.left.len() => self.left.clear(),
            Ok(count) => drop(self.left.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(words(error)),
        }
        Ok(self.left.is_empty())
    }
}

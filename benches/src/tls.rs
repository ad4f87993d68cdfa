//! TLS 1.3 records in memory, by rustls and in place.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use tickwire::wire::tls::{AnySession, Records, Roots, Session, client_config};
use tickwire::wire::{RxBuffer, TxBuffer};

/// Content of a record: a trade, a small depth message, a large one, the most there is.
pub const SIZES: [usize; 4] = [150, 1_000, 4_096, 16_384];

/// Records of a round.
pub const RECORDS: usize = 8;

const BUFFER: usize = 1 << 18;

/// The end that we are.
#[derive(Debug)]
pub struct Client {
    session: AnySession,
    cipher: RxBuffer,
    plain: RxBuffer,
    sent: TxBuffer,
}

/// The venue's end.
#[derive(Debug)]
pub struct Server {
    connection: ServerConnection,
}

/// Both ends, with the handshake behind them; each has read what the other wrote.
///
/// # Panics
/// If they do not understand each other.
pub fn pair(records: Records) -> (Client, Server) {
    let (server, authority) = crate::isolation::identity().expect("an identity");
    let config = client_config(Roots::Custom(vec![authority]), records).expect("a configuration");
    let mut client = Client {
        session: AnySession::client(&config, "127.0.0.1").expect("a session"),
        cipher: RxBuffer::new(BUFFER),
        plain: RxBuffer::new(BUFFER),
        sent: TxBuffer::new(BUFFER),
    };
    let mut server = Server::new(server);
    while client.session.is_handshaking() || server.connection.is_handshaking() {
        client.session.flush(&mut client.sent).expect("a flight");
        server.take(&mut client.sent);
        client.open(&server.sealed());
    }
    for size in SIZES {
        assert_eq!(client.open(&server.seal(size)), RECORDS * size);
        client
            .session
            .write_to(&vec![b'7'; size], &mut client.sent)
            .expect("room");
        assert_eq!(server.take(&mut client.sent), size);
    }
    (client, server)
}

impl Client {
    /// Opens records, as one recv would have brought them; gives how many bytes of content.
    ///
    /// # Panics
    /// If they can't be opened.
    pub fn open(&mut self, bytes: &[u8]) -> usize {
        self.cipher.fill_from(bytes);
        let progress = self.session.read_from(&mut self.cipher, &mut self.plain);
        self.plain.clear();
        progress.expect("records").plain_bytes
    }

    /// Seals [`RECORDS`] records; gives how many bytes there are to send.
    ///
    /// # Panics
    /// If there is no room.
    pub fn seal(&mut self, text: &[u8]) -> usize {
        for _ in 0..RECORDS {
            let taken = self.session.write_to(text, &mut self.sent).expect("room");
            assert_eq!(taken, text.len());
        }
        let count = self.sent.len();
        self.sent.clear();
        count
    }
}

impl Server {
    fn new(config: Arc<ServerConfig>) -> Server {
        let mut connection = ServerConnection::new(config).expect("a connection");
        connection.set_buffer_limit(None);
        Server { connection }
    }

    /// [`RECORDS`] records with so many bytes of content.
    ///
    /// # Panics
    /// If the library does not take them.
    pub fn seal(&mut self, size: usize) -> Vec<u8> {
        let text = vec![b'7'; size];
        let mut bytes = Vec::with_capacity(BUFFER);
        for _ in 0..RECORDS {
            self.connection.writer().write_all(&text).expect("room");
            bytes.extend(self.sealed());
        }
        bytes
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes).expect("memory");
        }
        bytes
    }

    /// Reads all that the client has sent; gives how many bytes of content.
    fn take(&mut self, sent: &mut TxBuffer) -> usize {
        let mut total = 0;
        while !sent.is_empty() {
            let mut bytes = sent.pending();
            let count = self.connection.read_tls(&mut bytes).expect("memory");
            sent.advance(count);
            let state = self.connection.process_new_packets().expect("records");
            let mut text = vec![0; state.plaintext_bytes_to_read()];
            self.connection
                .reader()
                .read_exact(&mut text)
                .expect("memory");
            total += text.len();
        }
        total
    }
}

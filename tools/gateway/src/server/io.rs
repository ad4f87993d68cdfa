//! A TCP stream, with or without TLS.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Io {
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Result<Io, rustls::Error> {
        Ok(match tls {
            None => Io::Plain(stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config))?;
                Io::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        })
    }

    pub(super) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Io {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Io::Plain(stream) => stream.read(bytes),
            Io::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Io {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Io::Plain(stream) => stream.write(bytes),
            Io::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Io::Plain(stream) => stream.flush(),
            Io::Tls(stream) => stream.flush(),
        }
    }
}

//! WebSocket frames in and out of memory: ours, and tungstenite's.

use std::io::{self, Read, Write};

use tickwire::wire::ws::{Decoder, DecoderConfig, Encoder, Frame, Masking};
use tickwire::wire::{RxBuffer, TxBuffer};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Bytes, Message};

use crate::Checksum;

/// Payload sizes: a trade, a small depth message, a large one.
pub const SIZES: [usize; 3] = [150, 1_000, 4_096];

/// Frames of a round.
pub const FRAMES: usize = 64;

const BUFFER: usize = 1 << 20;

/// A server's frames, back to back, as one recv would bring them.
#[derive(Debug)]
pub struct Frames {
    /// Length of each payload.
    pub size: usize,
    /// One payload.
    pub text: String,
    wire: Vec<u8>,
}

impl Frames {
    /// Builds the scenario, and checks that both read and write the same.
    ///
    /// # Panics
    /// If they do not.
    pub fn new(size: usize) -> Frames {
        let text: String = (0..size)
            .map(|at| char::from(b'0' + (at % 10) as u8))
            .collect();
        let mut server = WebSocket::from_raw_socket(Pipe::default(), Role::Server, None);
        for _ in 0..FRAMES {
            let sent = server.send(Message::text(&text));
            assert!(sent.is_ok(), "{sent:?}");
        }
        let wire = core::mem::take(&mut server.get_mut().written);
        let frames = Frames { size, text, wire };
        let (mut reader, mut rival) = (Reader::new(), Rival::client());
        assert_eq!(reader.read(&frames), rival.read(&frames));
        assert_eq!(reader.read(&frames), rival.read(&frames), "a second round");
        frames.check_encoders();
        frames
    }

    /// What both encoders write is read by a tungstenite server.
    fn check_encoders(&self) {
        let (mut writer, mut rival) = (Writer::new(), Rival::client());
        writer.write(self);
        rival.write(self);
        let written = [writer.tx.pending().to_vec(), rival.take_written()];
        for bytes in written {
            let pipe = Pipe {
                to_read: bytes,
                ..Pipe::default()
            };
            let mut server = WebSocket::from_raw_socket(pipe, Role::Server, None);
            for _ in 0..FRAMES {
                match server.read() {
                    Ok(Message::Text(text)) => assert_eq!(text.as_str(), self.text),
                    other => panic!("not the text: {other:?}"),
                }
            }
        }
    }
}

/// Our decoder with its buffer.
#[derive(Debug)]
pub struct Reader {
    rx: RxBuffer,
    decoder: Decoder,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    /// With an empty buffer.
    pub fn new() -> Reader {
        Reader {
            rx: RxBuffer::new(BUFFER),
            decoder: Decoder::new(DecoderConfig::default()),
        }
    }

    /// Reads a round: one copy into the buffer, as a recv makes, and then every frame in place.
    ///
    /// # Panics
    /// On a frame that is not a message.
    #[inline]
    pub fn read(&mut self, frames: &Frames) -> Checksum {
        let mut sum = Checksum::default();
        let taken = self.rx.fill_from(&frames.wire);
        debug_assert_eq!(taken, frames.wire.len());
        loop {
            match self.decoder.next(&mut self.rx) {
                Ok(Some(Frame::Message { payload, .. })) => note(&mut sum, payload),
                Ok(None) => return sum,
                other => panic!("not a message: {other:?}"),
            }
        }
    }
}

fn note(sum: &mut Checksum, payload: &[u8]) {
    sum.add(payload.len() as i64);
    sum.add(i64::from(payload.last().copied().unwrap_or_default()));
}

/// Our encoder with its buffer.
#[derive(Debug)]
pub struct Writer {
    tx: TxBuffer,
    encoder: Encoder,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Writer {
    /// With an empty buffer.
    pub fn new() -> Writer {
        Writer {
            tx: TxBuffer::new(BUFFER),
            encoder: Encoder::new(fastrand::Rng::with_seed(7), Masking::Random),
        }
    }

    /// Writes a round.
    ///
    /// # Panics
    /// If the buffer is too small.
    #[inline]
    pub fn write(&mut self, frames: &Frames) {
        for _ in 0..FRAMES {
            let written = self.encoder.text(&frames.text, &mut self.tx);
            assert!(written.is_ok(), "{written:?}");
        }
    }

    /// Everything is sent.
    #[inline]
    pub fn sent(&mut self) -> usize {
        let count = self.tx.len();
        self.tx.advance(count);
        count
    }
}

/// A tungstenite client over memory.
#[derive(Debug)]
pub struct Rival(WebSocket<Pipe>);

impl Rival {
    /// Connected.
    pub fn client() -> Rival {
        Rival(WebSocket::from_raw_socket(
            Pipe::default(),
            Role::Client,
            None,
        ))
    }

    /// Reads a round.
    ///
    /// # Panics
    /// On what is not a text.
    #[inline]
    pub fn read(&mut self, frames: &Frames) -> Checksum {
        let mut sum = Checksum::default();
        let pipe = self.0.get_mut();
        pipe.to_read.clear();
        pipe.to_read.extend_from_slice(&frames.wire);
        pipe.at = 0;
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => note(&mut sum, text.as_bytes()),
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return sum;
                }
                other => panic!("not a text: {other:?}"),
            }
        }
    }

    /// Writes a round.
    ///
    /// # Panics
    /// If that fails.
    #[inline]
    pub fn write(&mut self, frames: &Frames) {
        let text = Bytes::copy_from_slice(frames.text.as_bytes());
        for _ in 0..FRAMES {
            let text = tungstenite::Utf8Bytes::try_from(text.clone());
            let written = text.map(|text| self.0.write(Message::Text(text)));
            assert!(matches!(written, Ok(Ok(()))), "{written:?}");
        }
        let flushed = self.0.flush();
        assert!(flushed.is_ok(), "{flushed:?}");
    }

    /// Everything is sent.
    #[inline]
    pub fn sent(&mut self) -> usize {
        let written = &mut self.0.get_mut().written;
        let count = written.len();
        written.clear();
        count
    }

    fn take_written(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.0.get_mut().written)
    }
}

/// A socket of memory: gives what it was filled with, then would block; keeps what is written.
#[derive(Debug, Default)]
struct Pipe {
    to_read: Vec<u8>,
    at: usize,
    written: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = &self.to_read[self.at..];
        if left.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

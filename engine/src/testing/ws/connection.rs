//! One connection of the test server: a thread that reads and writes frames as it is told.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use tungstenite::handshake::derive_accept_key;

use super::{Behaviour, Inner, Order, Pongs};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a read waits before the orders are looked at.
const TURN: Duration = Duration::from_millis(2);

/// The longest request head.
const HEAD_BYTES_MAX: usize = 64 << 10;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub(super) fn serve(stream: TcpStream, inner: &Arc<Inner>, number: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TURN))?;
    match &inner.tls {
        None => serve_plain(stream, inner, number),
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            serve_plain(StreamOwned::new(session, stream), inner, number)
        }
    }
}

fn serve_plain(mut stream: impl Stream, inner: &Arc<Inner>, number: usize) -> io::Result<()> {
    let (sender, orders) = channel();
    // Open before the client knows it: what a test injects then, finds it.
    let open = || inner.change(|state| state.open.push((number, sender)));
    let Some(mut buffer) = upgrade(&mut stream, inner, open)? else {
        return Ok(());
    };
    let mut fragments = Vec::new();
    while !inner.is_stopping.load(Ordering::SeqCst) {
        if !obey(&mut stream, inner, &orders)? {
            return Ok(());
        }
        let behaviour = inner.behaviour();
        if behaviour.stalls {
            std::thread::park_timeout(TURN);
            continue;
        }
        if !read_into(&mut stream, &mut buffer)? {
            return Ok(());
        }
        while let Some(frame) = take_frame(&mut buffer) {
            if !handle(&mut stream, inner, frame, &mut fragments)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives what came behind the head; nothing where the upgrade was refused.
fn upgrade(
    stream: &mut impl Stream,
    inner: &Arc<Inner>,
    open: impl FnOnce(),
) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let is_too_long = buffer.len() > HEAD_BYTES_MAX;
        if is_too_long
            || inner.is_stopping.load(Ordering::SeqCst)
            || !read_into(stream, &mut buffer)?
        {
            return Ok(None);
        }
    };
    let rest = buffer.split_off(end);
    let head = String::from_utf8_lossy(&buffer).into_owned();
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim().to_owned());
    let refusal = inner.behaviour().refusal;
    let answer = match (refusal, key) {
        (Some(refusal), _) => {
            let mut answer = format!("HTTP/1.1 {} Refused\r\n", refusal.status);
            for (name, value) in &refusal.headers {
                answer.push_str(&format!("{name}: {value}\r\n"));
            }
            let (length, body) = (refusal.body.len(), &refusal.body);
            answer.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
            Err(answer)
        }
        (None, None) => Err("HTTP/1.1 400 No key\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (None, Some(key)) => {
            let accept = derive_accept_key(key.as_bytes());
            Ok(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            ))
        }
    };
    inner.change(|state| {
        state.upgrades += 1;
        state.last_head = head;
    });
    match answer {
        Ok(answer) => {
            open();
            stream.write_all(answer.as_bytes())?;
            stream.flush()?;
            Ok(Some(rest))
        }
        Err(refusal) => {
            stream.write_all(refusal.as_bytes())?;
            stream.flush()?;
            Ok(None)
        }
    }
}

/// Does what the test wants. False where the connection is over.
fn obey(
    stream: &mut impl Stream,
    inner: &Arc<Inner>,
    orders: &Receiver<Order>,
) -> io::Result<bool> {
    while let Ok(order) = orders.try_recv() {
        let behaviour = inner.behaviour();
        match order {
            Order::Text(text) => put_text(stream, &behaviour, &text)?,
            Order::Binary(bytes) => put(stream, &behaviour, BINARY, true, &bytes)?,
            Order::Raw(bytes) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
            }
            Order::Close(code, reason) => {
                let mut payload = code.to_be_bytes().to_vec();
                payload.extend_from_slice(reason.as_bytes());
                put(stream, &behaviour, CLOSE, true, &payload)?;
                return Ok(false);
            }
            Order::Cut => return Ok(false),
        }
    }
    Ok(true)
}

/// False at the end.
fn read_into(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = [0; 16 << 10];
    match stream.read(&mut bytes) {
        Ok(0) => Ok(false),
        Ok(count) => {
            buffer.extend(bytes.iter().take(count));
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

struct Frame {
    is_last: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// A client's frame, unmasked, if it is there as a whole.
fn take_frame(buffer: &mut Vec<u8>) -> Option<Frame> {
    let (first, second) = (*buffer.first()?, *buffer.get(1)?);
    let (length, at) = match second & 0x7F {
        126 => (
            u64::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let length = usize::try_from(length).ok()?;
    let key: [u8; 4] = match second & 0x80 {
        0 => return None,
        _ => buffer.get(at..at + 4)?.try_into().ok()?,
    };
    let end = (at + 4).checked_add(length)?;
    let masked = buffer.get(at + 4..end)?;
    let payload = masked
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    buffer.drain(..end);
    Some(Frame {
        is_last: first & 0x80 != 0,
        opcode: first & 0x0F,
        payload,
    })
}

/// False where the connection is over.
fn handle(
    stream: &mut impl Stream,
    inner: &Arc<Inner>,
    frame: Frame,
    fragments: &mut Vec<u8>,
) -> io::Result<bool> {
    let behaviour = inner.behaviour();
    match frame.opcode {
        PING if behaviour.is_half_open => {}
        PING => match behaviour.pongs {
            Pongs::Right => put(stream, &behaviour, PONG, true, &frame.payload)?,
            Pongs::Wrong => put(stream, &behaviour, PONG, true, b"another")?,
            Pongs::Withheld => {}
        },
        PONG => {}
        CLOSE => {
            if !behaviour.is_half_open {
                put(stream, &behaviour, CLOSE, true, &frame.payload)?;
            }
            return Ok(false);
        }
        BINARY if behaviour.is_half_open => {}
        BINARY => put(stream, &behaviour, BINARY, true, &frame.payload)?,
        _ => {
            fragments.extend_from_slice(&frame.payload);
            if frame.is_last {
                let text = String::from_utf8_lossy(&std::mem::take(fragments)).into_owned();
                inner.received(text.clone());
                if !behaviour.is_half_open
                    && let Some(answer) = (inner.handler)(&text)
                {
                    put_text(stream, &behaviour, &answer)?;
                }
            }
        }
    }
    Ok(true)
}

fn put_text(stream: &mut impl Write, behaviour: &Behaviour, text: &str) -> io::Result<()> {
    let size = behaviour.fragment_bytes.unwrap_or(usize::MAX).max(1);
    let mut parts = text.as_bytes().chunks(size).peekable();
    if parts.peek().is_none() {
        return put(stream, behaviour, TEXT, true, b"");
    }
    let mut opcode = TEXT;
    while let Some(part) = parts.next() {
        put(stream, behaviour, opcode, parts.peek().is_none(), part)?;
        opcode = 0;
    }
    Ok(())
}

fn put(
    stream: &mut impl Write,
    behaviour: &Behaviour,
    opcode: u8,
    is_last: bool,
    payload: &[u8],
) -> io::Result<()> {
    if let Some(wait) = behaviour.slow {
        std::thread::park_timeout(wait);
    }
    let mut frame = vec![opcode | if is_last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame)?;
    stream.flush()
}

//! A server that means harm, over loopback: whatever it sends without end, the client gives a typed
//! error or goes on, and takes no more memory than its limits add up to.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tickwire::wire::http::{HttpError, Method, ResponseLimits, ResponseParser};
use tickwire::wire::ws::{
    Decoder, DecoderConfig, Handshake, HandshakeError, Upgrade, Upgraded, WsError,
};
use tickwire::wire::{RxBuffer, TxBuffer};

use super::endpoint::{EchoClient, Ended};
use super::held::Mark;

/// What the server sends: `head`, then `block` over and over, `times` times or until the client
/// hangs up. It reads nothing.
struct Attack {
    head: Vec<u8>,
    block: Vec<u8>,
    times: usize,
}

/// Many times more than any limit here.
const ENDLESS: usize = usize::MAX;

impl Attack {
    fn new(head: impl Into<Vec<u8>>, block: impl Into<Vec<u8>>, times: usize) -> Self {
        let (head, block) = (head.into(), block.into());
        // In blocks of some size, so that the server is not what is slow.
        let batch = (32_usize << 10)
            .div_ceil(block.len().max(1))
            .min(times.max(1));
        Self {
            head,
            block: block.repeat(batch),
            times: times / batch,
        }
    }

    /// A socket that is sent this.
    fn launch(self) -> io::Result<TcpStream> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        // A test that hangs is ended by this.
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (mut peer, _) = listener.accept()?;
        thread::spawn(move || {
            let mut going = peer.write_all(&self.head).is_ok();
            for _ in 0..self.times {
                going = going && peer.write_all(&self.block).is_ok();
                if !going {
                    break;
                }
            }
        });
        Ok(socket)
    }
}

const RX_BYTES: usize = 64 << 10;

/// Receives at most `read_bytes` at once until `victim` gives something; `None` at the end of what
/// the server sends.
fn endure<R>(
    attack: Attack,
    read_bytes: usize,
    mut victim: impl FnMut(&mut RxBuffer) -> Option<R>,
) -> Option<R> {
    let mut socket = attack.launch().expect("loopback");
    let mut rx = RxBuffer::new(RX_BYTES);
    loop {
        rx.compact();
        let room = rx.space();
        let size = room.len().min(read_bytes);
        assert!(size > 0, "the victim lets the buffer fill up");
        let count = socket.read(&mut room[..size]).expect("bytes, or an end");
        if count == 0 {
            return None;
        }
        rx.commit(count);
        if let Some(result) = victim(&mut rx) {
            return Some(result);
        }
    }
}

/// Decodes frames until something fails; counts the frames that come.
fn decoder_against(attack: Attack, message_bytes_max: usize) -> (usize, Option<WsError>) {
    let mut decoder = Decoder::new(DecoderConfig {
        message_bytes_max,
        check_utf8: true,
    });
    let mut frames = 0;
    let error = endure(attack, RX_BYTES, |rx| {
        loop {
            match decoder.next(rx) {
                Ok(Some(_)) => frames += 1,
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    });
    (frames, error)
}

#[test]
fn lengths_are_not_believed() {
    for len in [u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 40, 1001] {
        let mark = Mark::set();
        let head = [&[0x82, 127][..], &len.to_be_bytes()].concat();
        let attack = Attack::new(head, [0; 64], ENDLESS);
        let (frames, error) = decoder_against(attack, 1000);
        let is_right = match error {
            Some(WsError::LengthOverflow(size)) => size == len && len >> 63 == 1,
            Some(WsError::LengthNotMinimal(size)) => size == len && len < 1 << 16,
            Some(WsError::TooLarge { size, max: 1000 }) => size == len,
            _ => false,
        };
        assert!(frames == 0 && is_right, "{len}: {error:?}");
        mark.check(2 * RX_BYTES);
    }
}

#[test]
fn endless_fragments_end_at_the_limit() {
    let max = 1 << 20;
    for block in [&b"\x00\x01x"[..], b"\x00\x04abcd\x00\x00\x89\x01p"] {
        let mark = Mark::set();
        let (_, error) = decoder_against(Attack::new(b"\x01\x00", block, ENDLESS), max);
        assert!(matches!(error, Some(WsError::TooLarge { .. })), "{error:?}");
        mark.check(2 * RX_BYTES + max);
    }
}

#[test]
fn empty_fragments_and_pongs_cost_nothing() {
    for (block, frames) in [(&b"\x00\x00"[..], 0), (b"\x8A\x00", 4_000_000)] {
        let mark = Mark::set();
        let max = 1 << 20;
        let head = if frames == 0 { &b"\x01\x00"[..] } else { b"" };
        let (came, error) = decoder_against(Attack::new(head, block, 4_000_000), max);
        assert!(came.abs_diff(frames) < 32 << 10, "{came} frames");
        assert_eq!(error, None);
        mark.check(2 * RX_BYTES + max);
    }
}

#[test]
fn endless_pings_fill_a_bounded_buffer_and_then_wait() {
    let mark = Mark::set();
    let mut client = EchoClient::new(1000, 1);
    // It can send nothing, as the server reads nothing: it stops reading and the socket fills up.
    let stopped = endure(Attack::new("", b"\x89\x03abc", ENDLESS), RX_BYTES, |rx| {
        client.handle(rx).expect("room was made sure of");
        (rx.free() == 0).then(|| client.pending().len())
    });
    // Answers of nine bytes each, up to where the longest answer might not fit.
    let pending = stopped.expect("it stops reading");
    assert!(
        (64 << 10..66 << 10).contains(&pending),
        "{pending} bytes wait"
    );
    mark.check(3 * RX_BYTES);

    // It can send: every ping is answered, nothing is kept.
    let mark = Mark::set();
    let mut client = EchoClient::new(1000, 1);
    let mut sent = 0;
    let attack = Attack::new("", b"\x89\x03abc", 1_000_000);
    let times = attack.times * attack.block.len() / 5;
    let ended = endure(attack, RX_BYTES, |rx| {
        loop {
            client.handle(rx).expect("room was made sure of");
            let count = client.pending().len();
            if count == 0 {
                return client.ended();
            }
            sent += count;
            client.advance(count);
        }
    });
    assert_eq!((ended, sent), (None, times * 9));
    mark.check(4 * RX_BYTES);
}

#[test]
fn an_empty_close_and_what_comes_behind_it() {
    let mut client = EchoClient::new(1000, 1);
    let attack = Attack::new(b"\x88\x00", b"\xFF\xFF", ENDLESS);
    let ended = endure(attack, RX_BYTES, |rx| {
        client.handle(rx).expect("room was made sure of");
        client.ended()
    });
    assert_eq!(ended, Some(Ended::Closed(None)));
    assert_eq!(client.pending()[..2], [0x88, 0x80]);
}

fn shake_hands(attack: Attack, read_bytes: usize) -> Result<Upgraded, HandshakeError> {
    let upgrade = Upgrade {
        host: "localhost",
        port: 80,
        tls: false,
        target: "/",
        headers: &[],
        protocol: None,
    };
    let mut tx = TxBuffer::new(1024);
    let mut handshake = Handshake::start(&upgrade, &mut fastrand::Rng::with_seed(1), &mut tx)?;
    let answer = endure(attack, read_bytes, |rx| handshake.poll(rx).transpose());
    answer.unwrap_or_else(|| Err(handshake.finish_eof()))
}

#[test]
fn an_endless_upgrade_ends_at_a_limit() {
    const OK: &str = "HTTP/1.1 101 Switching Protocols\r\n";
    let cases = [
        (
            "headers",
            OK,
            "A: b\r\n",
            HttpError::HeadTooLarge { max: RX_BYTES },
        ),
        (
            "one line",
            OK,
            "x",
            HttpError::HeadTooLarge { max: RX_BYTES },
        ),
        (
            "interim",
            "",
            "HTTP/1.1 100 C\r\n\r\n",
            HttpError::TooManyInterim { max: 8 },
        ),
        ("no HTTP", "", "\0", HttpError::NotHttp),
    ];
    for read_bytes in [1, RX_BYTES] {
        for (name, head, block, expected) in &cases {
            let mark = Mark::set();
            let attack = Attack::new(*head, *block, ENDLESS);
            let error = shake_hands(attack, read_bytes).err();
            assert_eq!(
                error,
                Some(HandshakeError::Http(expected.clone())),
                "{name}"
            );
            mark.check(2 * RX_BYTES);
        }
    }
}

/// What 100 MB of chunks look like.
const CHUNK: &str = "10\r\n0123456789abcdef\r\n";

#[test]
fn a_refusal_with_a_body_of_100_mb_is_a_refusal() {
    let mb_100 = 100_000_000;
    let x = "x".repeat(1000);
    let cases = [
        (
            "HTTP/1.1 429 T\r\nRetry-After: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
            CHUNK,
            mb_100 / 21,
        ),
        (
            "HTTP/1.1 429 T\r\nRetry-After: 9\r\nContent-Length: 100000000\r\n\r\n",
            &x,
            mb_100 / 1000,
        ),
        ("HTTP/1.1 429 T\r\nRetry-After: 9\r\n\r\n", &x, ENDLESS),
    ];
    for (head, block, times) in cases {
        let mark = Mark::set();
        match shake_hands(Attack::new(head, block, times), RX_BYTES) {
            Err(HandshakeError::Refused(refused)) => {
                assert_eq!(
                    (refused.status, refused.retry_after_secs(0)),
                    (429, Some(9))
                );
                assert_eq!(refused.body.len(), 4096);
            }
            other => panic!("{other:?}"),
        }
        mark.check(2 * RX_BYTES);
    }
}

#[test]
fn a_response_of_100_mb_ends_at_its_limit() {
    let max = 1 << 20;
    let limits = ResponseLimits {
        body_bytes_max: max,
        ..ResponseLimits::default()
    };
    let x = "x".repeat(1000);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let zeroes = format!("{}1\r\nx\r\n", "0".repeat(4000));
    let cases = [
        ("chunks", chunked, CHUNK),
        (
            "one chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5f5e100\r\n",
            &x,
        ),
        (
            "a length",
            "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
            &x,
        ),
        ("until the end", "HTTP/1.1 200 OK\r\n\r\n", &x),
        ("a large head", "HTTP/1.1 200 OK\r\n", "A: b\r\n"),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "A: b\r\n",
        ),
        ("padded sizes", chunked, &zeroes),
    ];
    for (name, head, block) in cases {
        let mark = Mark::set();
        let mut parser = ResponseParser::new(limits);
        parser.begin(Method::Get);
        let error = endure(
            Attack::new(head, block, ENDLESS),
            RX_BYTES,
            |rx| match parser.poll(rx) {
                Ok(response) => {
                    assert!(response.is_none(), "{name} is whole");
                    None
                }
                Err(error) => Some(error),
            },
        );
        let is_right = match error {
            Some(HttpError::BodyTooLarge {
                size,
                max: 1_048_576,
            }) => size > max as u64,
            Some(HttpError::HeadTooLarge { .. }) => name == "a large head",
            Some(HttpError::ChunkMetaTooLong) => name == "trailers" || name == "padded sizes",
            _ => false,
        };
        assert!(is_right, "{name}: {error:?}");
        // A vector that grows holds its old half while it moves.
        mark.check(2 * RX_BYTES + 2 * max);
    }
}

#[test]
fn octets_one_by_one_are_read_as_well() {
    let mut frames = Vec::new();
    for _ in 0..2000 {
        frames.extend(b"\x01\x02ab\x89\x01p\x80\x02cd");
    }
    frames.extend(b"\x88\x02\x03\xE8");
    let mut client = EchoClient::new(1000, 1);
    let mut sent = 0;
    let ended = endure(Attack::new(frames, "", 0), 1, |rx| {
        client.handle(rx).expect("room was made sure of");
        sent += client.pending().len();
        client.advance(client.pending().len());
        client.ended()
    });
    // A message of four bytes and a pong of one, each with a header of six; the close.
    assert_eq!(
        (ended, sent),
        (Some(Ended::Closed(Some(1000))), 2000 * (10 + 7) + 8)
    );
}

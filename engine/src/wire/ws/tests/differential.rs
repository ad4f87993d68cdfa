//! Our decoder and encoder against tungstenite's.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode as Code};
use tungstenite::protocol::frame::{Frame as TheirFrame, FrameHeader as TheirHeader};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::*;

const MESSAGE_MAX: usize = 3000;

/// Gives all its bytes, then says that no more are there yet; swallows what is written.
struct Pipe<'a>(&'a [u8]);

impl Read for Pipe<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            self.0.read(to)
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn seen_by_them(message: Message) -> Seen {
    match message {
        Message::Text(text) => Seen::Message(MessageKind::Text, text.as_bytes().to_vec()),
        Message::Binary(bytes) => Seen::Message(MessageKind::Binary, bytes.to_vec()),
        Message::Ping(bytes) => Seen::Ping(bytes.to_vec()),
        Message::Pong(bytes) => Seen::Pong(bytes.to_vec()),
        Message::Close(None) => Seen::Close(None, vec![]),
        Message::Close(Some(close)) => {
            Seen::Close(Some(close.code.into()), close.reason.as_bytes().to_vec())
        }
        Message::Frame(_) => unreachable!("never read"),
    }
}

/// What tungstenite reads, and whether it refuses the rest.
fn decode_by_them(bytes: &[u8], role: Role) -> (Vec<Seen>, bool) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket = WebSocket::from_raw_socket(Pipe(bytes), role, Some(config));
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Close(Some(close)))
                if u16::from(close.code) == 1002 && close.reason == "Protocol violation" =>
            {
                // Its way to say that the code is not allowed.
                return (seen, true);
            }
            Ok(message) => {
                let closed = message.is_close();
                seen.push(seen_by_them(message));
                if closed {
                    return (seen, false);
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (seen, false);
            }
            Err(_) => return (seen, true),
        }
    }
}

/// A frame as a server may send it, right or wrong.
#[derive(Clone, Debug)]
struct Sent {
    code: u8,
    fin: bool,
    rsv: u8,
    payload: Vec<u8>,
}

fn payload(code: u8) -> BoxedStrategy<Vec<u8>> {
    match code {
        0 | 1 => prop_oneof![
            8 => "[a-zä€😀]{0,40}".prop_map(String::into_bytes),
            2 => ".{100,300}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ]
        .boxed(),
        2 => prop_oneof![
            6 => prop::collection::vec(any::<u8>(), 0..130),
            1 => prop::collection::vec(any::<u8>(), 130..2500),
        ]
        .boxed(),
        8 => prop_oneof![
            Just(vec![]),
            (
                prop_oneof![Just(1000_u16), Just(1001), Just(1005), 900..5100_u16],
                "[a-ä]{0,20}"
            )
                .prop_filter("tungstenite does not know 1014", |(code, _)| *code != 1014)
                .prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat()),
            prop::collection::vec(any::<u8>(), 1..4).prop_filter("nor 1014", |bytes| !bytes
                .starts_with(&1014_u16.to_be_bytes())),
        ]
        .boxed(),
        _ => prop_oneof![
            20 => prop::collection::vec(any::<u8>(), 0..=125),
            1 => prop::collection::vec(any::<u8>(), 126..200),
        ]
        .boxed(),
    }
}

fn frame() -> impl Strategy<Value = Sent> {
    let code = prop_oneof![
        30 => Just(0_u8), 20 => Just(1), 20 => Just(2), 1 => 3..8_u8,
        2 => Just(8), 10 => Just(9), 10 => Just(10), 1 => 11..16_u8,
    ];
    (
        code,
        prop::bool::weighted(0.7),
        prop_oneof![60 => Just(0_u8), 1 => 1..8_u8],
    )
        .prop_flat_map(|(code, fin, rsv)| {
            let fin = fin || (code >= 8 && code % 3 != 0) || code == 9;
            payload(code).prop_map(move |payload| Sent {
                code,
                fin,
                rsv,
                payload,
            })
        })
}

/// Frames that mostly form whole messages, so that sequences get somewhere.
fn frames() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec((frame(), prop::bool::weighted(0.97)), 0..20).prop_map(|frames| {
        let mut open = false;
        let mut sent = Vec::new();
        for (mut frame, keep_order) in frames {
            if keep_order && frame.code < 3 {
                frame.code = match (open, frame.code) {
                    (true, _) => 0,
                    (false, 0) => 1,
                    (false, code) => code,
                };
                open = !frame.fin;
            }
            sent.push(frame);
        }
        sent
    })
}

fn encode_by_them(frames: &[Sent]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let header = TheirHeader {
            is_final: frame.fin,
            rsv1: frame.rsv & 4 != 0,
            rsv2: frame.rsv & 2 != 0,
            rsv3: frame.rsv & 1 != 0,
            opcode: Code::from(frame.code),
            mask: None,
        };
        let frame = TheirFrame::from_payload(header, frame.payload.clone().into());
        frame.format(&mut bytes).unwrap();
    }
    bytes
}

/// Cuts `bytes` at the given sizes, over and over.
pub(super) fn cut<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn decoder_agrees_with_tungstenite(
        frames in frames(),
        capacity in prop_oneof![Just(256_usize), Just(700), Just(4096)],
        sizes in prop::collection::vec(1_usize..400, 1..8),
    ) {
        let bytes = encode_by_them(&frames);
        let (theirs, they_refuse) = decode_by_them(&bytes, Role::Client);
        let config = DecoderConfig { message_bytes_max: MESSAGE_MAX, check_utf8: true };
        let (ours, error) = decode(config, capacity, cut(&bytes, &sizes));
        prop_assert_eq!(&ours, &theirs, "{:?}", error);
        prop_assert_eq!(error.is_some(), they_refuse, "{:?}", error);
    }

    /// However the bytes are cut, the frames are the same.
    #[test]
    fn chunks_do_not_matter(
        frames in frames(),
        capacity in 256_usize..600,
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let bytes = encode_by_them(&frames);
        let config = DecoderConfig { message_bytes_max: MESSAGE_MAX, check_utf8: true };
        let whole = decode(config, 1 << 16, [&bytes[..]]);
        prop_assert_eq!(decode(config, capacity, cut(&bytes, &sizes)), whole);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let config = DecoderConfig { message_bytes_max: 400, check_utf8: true };
        let whole = decode(config, 1024, [&bytes[..]]);
        prop_assert_eq!(decode(config, 256, cut(&bytes, &sizes)), whole);
    }

    #[test]
    fn headers_agree_with_tungstenite(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
        let theirs = TheirHeader::parse(&mut io::Cursor::new(&bytes));
        match (FrameHeader::parse(&bytes), theirs) {
            (Ok(Some(ours)), Ok(Some((theirs, len)))) => {
                prop_assert_eq!(ours.payload_len, len);
                prop_assert_eq!(ours.fin, theirs.is_final);
                prop_assert_eq!(ours.opcode as u8, u8::from(theirs.opcode));
            }
            (Ok(Some(ours)), theirs) => prop_assert!(false, "{:?} and {:?}", ours, theirs),
            (Ok(None), theirs) => prop_assert!(matches!(theirs, Ok(None)), "{:?}", theirs),
            // We check more of it, and earlier.
            (Err(_), _) => {}
        }
    }

    #[test]
    fn tungstenite_reads_what_we_encode(
        frames in prop::collection::vec(
            (
                prop_oneof![Just(1_u8), Just(2), Just(9), Just(10)],
                prop_oneof![
                    5 => ".{0,50}",
                    1 => ".{120,130}",
                    1 => (65_530_usize..65_545).prop_map(|len| "x".repeat(len)),
                ],
            ),
            0..8,
        ),
        seed in any::<u64>(),
        zero in any::<bool>(),
    ) {
        let masking = if zero { Masking::Zero } else { Masking::Random };
        let mut encoder = Encoder::new(fastrand::Rng::with_seed(seed), masking);
        let mut tx = TxBuffer::new(1 << 20);
        let mut expected = Vec::new();
        for (code, text) in &frames {
            let bytes = text.as_bytes();
            let short = &bytes[..bytes.len().min(125)];
            match code {
                1 => {
                    encoder.text(text, &mut tx).unwrap();
                    expected.push(Seen::Message(MessageKind::Text, bytes.to_vec()));
                }
                2 => {
                    encoder.binary(bytes, &mut tx).unwrap();
                    expected.push(Seen::Message(MessageKind::Binary, bytes.to_vec()));
                }
                9 => {
                    encoder.ping(short, &mut tx).unwrap();
                    expected.push(Seen::Ping(short.to_vec()));
                }
                _ => {
                    encoder.pong(short, &mut tx).unwrap();
                    expected.push(Seen::Pong(short.to_vec()));
                }
            }
        }
        encoder.close(Some(1000), "done", &mut tx).unwrap();
        expected.push(Seen::Close(Some(1000), b"done".to_vec()));
        let config = WebSocketConfig::default();
        let pipe = Pipe(tx.pending());
        let mut socket = WebSocket::from_raw_socket(pipe, Role::Server, Some(config));
        for frame in expected {
            prop_assert_eq!(seen_by_them(socket.read().unwrap()), frame);
        }
    }
}

#[test]
fn the_oracle_is_set_up_right() {
    let frames = [
        Sent {
            code: 9,
            fin: true,
            rsv: 0,
            payload: b"p".to_vec(),
        },
        Sent {
            code: 1,
            fin: true,
            rsv: 0,
            payload: b"a".to_vec(),
        },
        Sent {
            code: 2,
            fin: true,
            rsv: 1,
            payload: vec![],
        },
    ];
    let expected = vec![Seen::Ping(b"p".to_vec()), text(b"a")];
    assert_eq!(
        decode_by_them(&encode_by_them(&frames), Role::Client),
        (expected, true)
    );
    assert_eq!(u8::from(Code::Control(Control::Ping)), 9);
    assert_eq!(u8::from(Code::Data(Data::Text)), 1);
}

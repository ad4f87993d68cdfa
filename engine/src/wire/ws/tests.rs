//! Tables with the sections of RFC 6455 that they come from.

mod differential;
mod handshake;

use super::header::HEADER_LEN_MAX;
use super::*;
use crate::wire::{PADDING, RxBuffer, TxBuffer};

/// A frame as an owned value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
}

impl From<Frame<'_>> for Seen {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Message { kind, payload } => Self::Message(kind, payload.to_vec()),
            Frame::Ping(payload) => Self::Ping(payload.to_vec()),
            Frame::Pong(payload) => Self::Pong(payload.to_vec()),
            Frame::Close { code, reason } => Self::Close(code, reason.to_vec()),
        }
    }
}

/// Feeds `chunks` one by one, as a link would; gives what was seen and how it ended.
fn decode<'a>(
    config: DecoderConfig,
    capacity: usize,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Option<WsError>) {
    let mut decoder = Decoder::new(config);
    let mut rx = RxBuffer::new(capacity);
    let mut seen = Vec::new();
    for mut chunk in chunks {
        while !chunk.is_empty() {
            rx.compact();
            let taken = rx.fill_from(chunk);
            assert!(
                taken > 0 || decoder.is_closed(),
                "the decoder lets the buffer fill up"
            );
            chunk = &chunk[taken..];
            loop {
                match decoder.next(&mut rx) {
                    Ok(Some(frame)) => seen.push(frame.into()),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(decoder.next(&mut rx).err(), Some(error), "errors are final");
                        return (seen, Some(error));
                    }
                }
            }
        }
    }
    (seen, None)
}

fn decode_whole(bytes: &[u8]) -> (Vec<Seen>, Option<WsError>) {
    decode(
        DecoderConfig {
            check_utf8: true,
            ..DecoderConfig::default()
        },
        4096,
        [bytes],
    )
}

fn text(bytes: &[u8]) -> Seen {
    Seen::Message(MessageKind::Text, bytes.to_vec())
}

#[test]
fn headers_by_section() {
    let over_16 = [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
    let fine: [(&str, &[u8], usize, u64); 6] = [
        ("§5.2 7 bits", &[0x81, 5], 2, 5),
        ("§5.2 7 bits, largest", &[0x81, 125], 2, 125),
        ("§5.2 16 bits, smallest", &[0x82, 126, 0, 126], 4, 126),
        ("§5.2 16 bits, largest", &[0x82, 126, 0xFF, 0xFF], 4, 65_535),
        ("§5.2 64 bits, smallest", &over_16, HEADER_LEN_MAX, 65_536),
        ("§5.5 control", &[0x89, 125], 2, 125),
    ];
    for (name, bytes, header_len, payload_len) in fine {
        let header = FrameHeader::parse(bytes).unwrap().expect(name);
        assert_eq!(
            (header.header_len, header.payload_len),
            (header_len, payload_len),
            "{name}"
        );
        for short in 0..bytes.len() {
            assert_eq!(
                FrameHeader::parse(&bytes[..short]),
                Ok(None),
                "{name} cut at {short}"
            );
        }
    }
    let refused: [(&str, &[u8], WsError); 17] = [
        ("§5.2 RSV1", &[0xC1], WsError::ReservedBits(4)),
        ("§5.2 RSV2", &[0xA1], WsError::ReservedBits(2)),
        ("§5.2 RSV3", &[0x91], WsError::ReservedBits(1)),
        ("§5.2 data opcode 3", &[0x83], WsError::UnknownOpcode(3)),
        ("§5.2 data opcode 7", &[0x87], WsError::UnknownOpcode(7)),
        (
            "§5.2 control opcode 11",
            &[0x8B],
            WsError::UnknownOpcode(11),
        ),
        (
            "§5.2 control opcode 15",
            &[0x8F],
            WsError::UnknownOpcode(15),
        ),
        ("§5.1 masked", &[0x81, 0x85], WsError::MaskedFrame),
        ("§5.5 fragmented ping", &[0x09], WsError::FragmentedControl),
        ("§5.5 fragmented close", &[0x08], WsError::FragmentedControl),
        ("§5.5 long ping", &[0x89, 126], WsError::ControlTooLong),
        ("§5.5 huge close", &[0x88, 127], WsError::ControlTooLong),
        (
            "§5.2 125 in 16 bits",
            &[0x82, 126, 0, 125],
            WsError::LengthNotMinimal(125),
        ),
        (
            "§5.2 0 in 16 bits",
            &[0x82, 126, 0, 0],
            WsError::LengthNotMinimal(0),
        ),
        (
            "§5.2 65535 in 64 bits",
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            WsError::LengthNotMinimal(65_535),
        ),
        (
            "§5.2 2^63",
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            WsError::LengthOverflow(1 << 63),
        ),
        (
            "§5.2 all ones",
            &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255],
            WsError::LengthOverflow(u64::MAX),
        ),
    ];
    for (name, bytes, error) in refused {
        assert_eq!(FrameHeader::parse(bytes), Err(error), "{name}");
        assert_eq!(error.close_code(), close::PROTOCOL_ERROR, "{name}");
        assert_eq!(error.fault(), Fault::Peer, "{name}");
    }
}

#[test]
fn frames_by_section() {
    let fine: [(&str, &[u8], &[Seen]); 9] = [
        ("§5.7 single text", b"\x81\x05Hello", &[text(b"Hello")]),
        (
            "§5.7 fragmented text",
            b"\x01\x03Hel\x80\x02lo",
            &[text(b"Hello")],
        ),
        (
            "§5.6 empty message",
            b"\x82\x00",
            &[Seen::Message(MessageKind::Binary, vec![])],
        ),
        (
            "§5.4 control between fragments",
            b"\x01\x03Hel\x89\x01p\x00\x00\x8A\x00\x80\x02lo",
            &[
                Seen::Ping(b"p".to_vec()),
                Seen::Pong(vec![]),
                text(b"Hello"),
            ],
        ),
        (
            "a ping does not end a batch",
            b"\x89\x00\x81\x01a\x81\x01b",
            &[Seen::Ping(vec![]), text(b"a"), text(b"b")],
        ),
        (
            "§5.5.1 empty close",
            b"\x88\x00",
            &[Seen::Close(None, vec![])],
        ),
        (
            "§5.5.1 close with a reason",
            b"\x88\x06\x03\xE8done",
            &[Seen::Close(Some(1000), b"done".to_vec())],
        ),
        (
            "§1.4 nothing is read behind a close",
            b"\x88\x02\x03\xE9\x81\x01a\xFF\xFF",
            &[Seen::Close(Some(1001), vec![])],
        ),
        (
            "§8.1 a character over two fragments",
            b"\x01\x01\xC3\x80\x01\xA4",
            &[text("ä".as_bytes())],
        ),
    ];
    for (name, bytes, seen) in fine {
        assert_eq!(decode_whole(bytes), (seen.to_vec(), None), "{name}");
        let bytewise = decode(DecoderConfig::default(), 256, bytes.chunks(1));
        assert_eq!(bytewise, (seen.to_vec(), None), "{name}, byte by byte");
    }
    let refused: [(&str, &[u8], WsError, u16); 6] = [
        (
            "§5.4 nothing to continue",
            b"\x80\x00",
            WsError::UnexpectedContinuation,
            1002,
        ),
        (
            "§5.4 message in a message",
            b"\x01\x01a\x81\x00",
            WsError::ExpectedContinuation,
            1002,
        ),
        (
            "§5.5.1 half a code",
            b"\x88\x01\x03",
            WsError::ClosePayloadTooShort,
            1002,
        ),
        (
            "§5.5.1 reason",
            b"\x88\x03\x03\xE8\xFF",
            WsError::CloseReasonNotUtf8,
            1007,
        ),
        ("§8.1 text", b"\x81\x02\xC3\x28", WsError::TextNotUtf8, 1007),
        (
            "§8.1 fragmented text",
            b"\x01\x01\xC3\x80\x01\x28",
            WsError::TextNotUtf8,
            1007,
        ),
    ];
    for (name, bytes, error, code) in refused {
        assert_eq!(decode_whole(bytes), (vec![], Some(error)), "{name}");
        assert_eq!(error.close_code(), code, "{name}");
    }
}

#[test]
fn close_codes_by_section_7_4() {
    for code in 0..=u16::MAX {
        let bytes = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        let allowed = match code {
            1000..=1003 | 1007..=1011 => true, // §7.4.1
            1012..=1014 => true,               // IANA
            3000..=4999 => true,               // §7.4.2
            _ => false,
        };
        let expected = if allowed {
            (vec![Seen::Close(Some(code), vec![])], None)
        } else {
            (vec![], Some(WsError::InvalidCloseCode(code)))
        };
        assert_eq!(decode_whole(&bytes), expected);
    }
}

#[test]
fn text_is_not_checked_unless_asked() {
    let (seen, error) = decode(DecoderConfig::default(), 256, [&b"\x81\x01\xFF"[..]]);
    assert_eq!((seen, error), (vec![text(b"\xFF")], None));
}

/// §8.1, and cases 6.4 of the Autobahn suite: at the octet that breaks it, not at its end.
#[test]
fn text_fails_before_it_is_complete() {
    let config = DecoderConfig {
        check_utf8: true,
        ..DecoderConfig::default()
    };
    let cases: [(&str, &[u8], &[u8]); 4] = [
        ("in place", b"\x81\x10\xCE\xBA\xF4", b"\x90"),
        ("collected", b"\x81\x7E\x10\0\xCE\xBA\xF4", b"\x90"),
        ("first fragment", b"\x01\x10\xCE\xBA\xF4", b"\x90"),
        (
            "next fragment",
            b"\x01\x03\xCE\xBA\xF4\x00\x00\x89\x00\x80\x10",
            b"\x90",
        ),
    ];
    for (name, head, tail) in cases {
        let mut seen = decode(config, 256, [head]);
        seen.0.clear();
        assert_eq!(seen, (vec![], None), "{name}");
        for chunk in [1, 100] {
            let bytes = [head, tail].concat();
            let (_, error) = decode(config, 256, bytes.chunks(chunk));
            assert_eq!(error, Some(WsError::TextNotUtf8), "{name}");
        }
    }
    // What was checked of one text says nothing about the next, nor about one on another link.
    let stream = b"\x81\x02ab\x81\x01\xFF";
    let (seen, error) = decode(config, 256, stream.chunks(1));
    assert_eq!(
        (seen, error),
        (vec![text(b"ab")], Some(WsError::TextNotUtf8))
    );
    let mut decoder = Decoder::new(config);
    let mut rx = RxBuffer::new(256);
    rx.fill_from(b"\x81\x05abcd");
    assert_eq!(decoder.next(&mut rx), Ok(None));
    decoder.reset();
    rx.clear();
    rx.fill_from(b"\x81\x02\xFFa");
    assert_eq!(decoder.next(&mut rx), Err(WsError::TextNotUtf8));
}

#[test]
fn limits_come_before_trust() {
    let config = DecoderConfig {
        message_bytes_max: 1000,
        check_utf8: false,
    };
    let huge = |size: u64| Some(WsError::TooLarge { size, max: 1000 });
    let mut largest = vec![0x82, 127];
    largest.extend(((1_u64 << 63) - 1).to_be_bytes());
    let cases: [(&str, Vec<u8>, Option<WsError>); 4] = [
        (
            "one frame, header only",
            vec![0x82, 126, 0x03, 0xE9],
            huge(1001),
        ),
        ("the largest legal length", largest, huge((1 << 63) - 1)),
        (
            "in sum",
            [&[0x02, 126, 0x03, 0xE8][..], &[0; 1000], &[0x80, 1]].concat(),
            huge(1001),
        ),
        (
            "exactly",
            [&[0x82, 126, 0x03, 0xE8][..], &[0; 1000]].concat(),
            None,
        ),
    ];
    for (name, bytes, expected) in cases {
        let (_, error) = decode(config, 2048, [&bytes[..]]);
        assert_eq!(error, expected, "{name}");
    }
    let error = huge(1001).unwrap();
    assert_eq!(
        (error.close_code(), error.fault()),
        (close::TOO_BIG, Fault::Limit)
    );
}

#[test]
fn endless_fragments_end_at_the_limit() {
    let config = DecoderConfig {
        message_bytes_max: 10_000,
        check_utf8: false,
    };
    let mut stream = b"\x01\x01a".to_vec();
    for _ in 0..20_000 {
        stream.extend_from_slice(b"\x00\x01a\x00\x00");
    }
    let (seen, error) = decode(config, 256, stream.chunks(100));
    assert_eq!(
        (seen.len(), error),
        (
            0,
            Some(WsError::TooLarge {
                size: 10_001,
                max: 10_000
            })
        )
    );
}

#[test]
fn a_frame_larger_than_the_buffer_is_collected() {
    let payload: Vec<u8> = (0..100_000_u32).map(|index| index as u8).collect();
    let mut stream = vec![0x82, 127];
    stream.extend((payload.len() as u64).to_be_bytes());
    stream.extend(&payload);
    stream.extend(b"\x81\x02ok");
    for chunk in [1, 7, 255, 256, 4096] {
        let (seen, error) = decode(DecoderConfig::default(), 256, stream.chunks(chunk));
        let expected = vec![
            Seen::Message(MessageKind::Binary, payload.clone()),
            text(b"ok"),
        ];
        assert!(seen == expected && error.is_none(), "in chunks of {chunk}");
    }
}

#[test]
fn padding_follows_each_payload_and_may_be_scribbled_on() {
    // In place, before another frame; collected; at the very end of a full buffer.
    let mut stream = b"\x81\x02{}\x01\x01[\x80\x01]\x82\x7E\x00\xF3".to_vec();
    stream.extend([7; 243]);
    let mut rx = RxBuffer::new(256 + 4);
    let mut decoder = Decoder::new(DecoderConfig::default());
    assert_eq!(rx.fill_from(&stream), 257);
    let mut seen = Vec::new();
    while let Some(frame) = decoder.next_padded(&mut rx).unwrap() {
        let Frame::Message { payload, .. } = frame else {
            panic!("only messages were sent")
        };
        let len = payload.len() - PADDING;
        let saved = payload[len..].to_vec();
        payload[len..].fill(b' ');
        payload[len..].copy_from_slice(&saved);
        seen.push(payload[..len].to_vec());
    }
    assert_eq!(seen, [b"{}".to_vec(), b"[]".to_vec(), vec![7; 243]]);
}

#[test]
fn reset_forgets_half_a_message() {
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut rx = RxBuffer::new(256);
    rx.fill_from(b"\x01\x05Hel");
    assert_eq!(decoder.next(&mut rx), Ok(None));
    decoder.reset();
    rx.clear();
    rx.fill_from(b"\x81\x01a");
    assert_eq!(
        decoder.next(&mut rx).unwrap().map(Seen::from),
        Some(text(b"a"))
    );
}

#[test]
fn encoder_by_section() {
    let mut encoder = Encoder::new(fastrand::Rng::with_seed(1), Masking::Zero);
    let mut tx = TxBuffer::new(512);
    encoder.text("Hello", &mut tx).unwrap();
    encoder.pong(b"", &mut tx).unwrap();
    encoder.close(Some(1000), "bye", &mut tx).unwrap();
    encoder.close(None, "", &mut tx).unwrap();
    let expected: [&[u8]; 4] = [
        b"\x81\x85\0\0\0\0Hello",
        b"\x8A\x80\0\0\0\0",
        b"\x88\x85\0\0\0\0\x03\xE8bye",
        b"\x88\x80\0\0\0\0",
    ];
    assert_eq!(tx.pending(), expected.concat());

    // Refused, and nothing is left behind (§5.5, §7.4).
    let before = tx.len();
    let long = "x".repeat(126);
    assert_eq!(
        encoder.ping(long.as_bytes(), &mut tx),
        Err(EncodeError::ControlTooLong(126))
    );
    assert_eq!(
        encoder.close(Some(1000), &long[..124], &mut tx),
        Err(EncodeError::ControlTooLong(126))
    );
    encoder
        .close(Some(1000), &long[..123], &mut TxBuffer::new(131))
        .unwrap();
    for code in [0, 999, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(
            encoder.close(Some(code), "", &mut tx),
            Err(EncodeError::InvalidCloseCode(code))
        );
    }
    let full = encoder.binary(&[0; 512], &mut tx);
    assert!(matches!(full, Err(EncodeError::Full(_))), "{full:?}");
    assert_eq!(tx.len(), before);
}

#[test]
fn the_same_seed_gives_the_same_masks_and_each_frame_its_own() {
    let mut bytes = [TxBuffer::new(64), TxBuffer::new(64)];
    for tx in &mut bytes {
        let mut encoder = Encoder::new(fastrand::Rng::with_seed(7), Masking::Random);
        let refused = encoder.binary(&[0; 100], tx);
        assert!(refused.is_err(), "a refused frame draws no key");
        encoder.text("same", tx).unwrap();
        encoder.text("same", tx).unwrap();
    }
    let [first, second] = &bytes;
    assert_eq!(first.pending(), second.pending());
    let (one, two) = first.pending().split_at(10);
    assert_ne!(one, two);
}

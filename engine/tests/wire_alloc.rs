//! The hot paths of `wire` allocate nothing; what rustls allocates is counted as its own.
//!
//! `unsafe` because only an allocator can count allocations; it forwards to the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tickwire::wire::http::{Method, Request, ResponseLimits, ResponseParser};
use tickwire::wire::tls::{PlainSession, Session};
use tickwire::wire::ws::{Decoder, DecoderConfig, Encoder, Frame, Masking};
use tickwire::wire::zone::{self, Zone};
use tickwire::wire::{RxBuffer, TxBuffer};

struct Counting;

static OURS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if zone::current() == Zone::Ours {
        OURS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is forwarded unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` by `alloc` or `realloc` here, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many times `run` allocates on our account. The first round may: buffers find their size.
fn allocations(mut run: impl FnMut()) -> u64 {
    run();
    let before = OURS.load(Relaxed);
    {
        let _zone = zone::enter(Zone::Ours);
        for _ in 0..1000 {
            run();
        }
    }
    OURS.load(Relaxed) - before
}

#[test]
fn the_hot_paths_allocate_nothing() {
    let (mut cipher, mut plain) = (RxBuffer::new(4096), RxBuffer::new(4096));
    let mut tx = TxBuffer::new(4096);
    let mut session = PlainSession;
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut encoder = Encoder::new(fastrand::Rng::with_seed(1), Masking::Random);
    // In one piece, in two fragments with a ping between, and half of the next.
    let frames = b"\x81\x0D{\"price\":123}\x01\x02[1\x89\x01p\x80\x02,2\x81\x7E\x01";
    let mut messages = 0;
    let count = allocations(|| {
        cipher.fill_from(frames);
        assert!(session.read_from(&mut cipher, &mut plain).is_ok());
        loop {
            match decoder.next(&mut plain) {
                Ok(Some(Frame::Ping(payload))) => assert!(encoder.pong(payload, &mut tx).is_ok()),
                Ok(Some(_)) => messages += 1,
                Ok(None) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(encoder.text("{\"op\":\"ping\"}", &mut tx).is_ok());
        tx.advance(tx.len());
        // The half frame is not finished here: start over behind it.
        plain.clear();
    });
    assert_eq!((count, messages), (0, 2002));

    let mut parser = ResponseParser::new(ResponseLimits::default());
    let request = Request {
        method: Method::Post,
        target: "/api/v3/order",
        host: "api.example.com",
        headers: &[("X-KEY", "k")],
        body: b"a=b",
    };
    let count = allocations(|| {
        assert!(request.encode(&mut tx).is_ok());
        tx.advance(tx.len());
        parser.begin(request.method);
        plain.fill_from(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Used: 1\r\n\r\n{}");
        assert!(matches!(parser.poll(&mut plain), Ok(Some(_))));
    });
    assert_eq!(count, 0);
}

//! `cargo bench --bench sign`: signatures of requests, beside ring's.

use criterion::{Criterion, criterion_group, criterion_main};
use ring::{hmac, signature};
use tickwire_connectors::sign::Signer;

/// An order as Binance has it signed, of the usual length.
const ORDER: &[u8] = b"apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&newClientOrderId=tw7f3a-1-42&\
price=61837.63000000&quantity=0.01000000&recvWindow=5000&side=BUY&symbol=BTCUSDT&timeInForce=GTC&timestamp=1723161256299&type=LIMIT";

/// A key of the right length, and no more than that.
const SECRET: &[u8] = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

/// RFC 8410, section 10.3.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
-----END PRIVATE KEY-----\n";

/// The same key without its wrapping.
const SEED: [u8; 32] = [
    0xD4, 0xEE, 0x72, 0xDB, 0xF9, 0x13, 0x58, 0x4A, 0xD5, 0xB6, 0xD8, 0xF1, 0xF7, 0x69, 0xF8, 0xAD,
    0x3A, 0xFE, 0x7C, 0x28, 0xCB, 0xF1, 0xD4, 0xFB, 0xE0, 0x97, 0xA8, 0x8F, 0x44, 0x75, 0x58, 0x42,
];

fn sign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sign_order");

    let ours = Signer::hmac(SECRET);
    let theirs = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let expected: String = hmac::sign(&theirs, ORDER)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(ours.sign(&[ORDER]).as_str(), expected);
    group.bench_function("hmac_sha256/ours, in hex", |bencher| {
        bencher.iter(|| ours.sign(&[ORDER]));
    });
    group.bench_function("hmac_sha256/ring", |bencher| {
        bencher.iter(|| hmac::sign(&theirs, ORDER));
    });

    let ours = Signer::ed25519(PEM).expect("a key");
    let theirs = signature::Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    let public = signature::KeyPair::public_key(&theirs).as_ref().to_vec();
    let signed = ed25519(&ours, ORDER);
    let verifier = signature::UnparsedPublicKey::new(&signature::ED25519, public);
    assert!(verifier.verify(ORDER, &signed).is_ok());
    group.bench_function("ed25519/ours, in base64", |bencher| {
        bencher.iter(|| ours.sign(&[ORDER]));
    });
    group.bench_function("ed25519/ring", |bencher| {
        bencher.iter(|| theirs.sign(ORDER));
    });
    group.finish();
}

/// The bytes of a signature in base64.
fn ed25519(signer: &Signer, text: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let signed = signer.sign(&[text]);
    base64::engine::general_purpose::STANDARD
        .decode(signed.as_bytes())
        .expect("base64")
}

criterion_group!(benches, sign);
criterion_main!(benches);

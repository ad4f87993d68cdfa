//! In memory, against rustls' server with certificates made on the spot.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{AlertDescription, ClientConfig, ServerConfig, ServerConnection};

use super::*;

mod hostile;

const NAME: &str = "venue.example";

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

struct Venue {
    root: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

/// A server whose certificate `change` may spoil, with the root that signed it.
fn venue(versions: Versions, change: impl FnOnce(&mut CertificateParams)) -> Venue {
    venue_by(rustls::crypto::ring::default_provider(), versions, change)
}

fn venue_by(
    provider: rustls::crypto::CryptoProvider,
    versions: Versions,
    change: impl FnOnce(&mut CertificateParams),
) -> Venue {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Names of their own: a stranger with a known name would be a bad signature instead.
    let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("authority {number}"));
    let root = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &root).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    server.enable_secret_extraction = true;
    Venue {
        root: root.der().clone(),
        server: Arc::new(server),
    }
}

type Versions = &'static [&'static rustls::SupportedProtocolVersion];
const TLS13: Versions = &[&rustls::version::TLS13];
const TLS12: Versions = &[&rustls::version::TLS12];

fn trusting(venue: &Venue) -> Arc<ClientConfig> {
    config(venue, Records::Rustls)
}

fn config(venue: &Venue, records: Records) -> Arc<ClientConfig> {
    client_config(Roots::Custom(vec![venue.root.clone()]), records).unwrap()
}

/// Each way to do records, with the versions that it can.
const WAYS: [(Records, Versions); 3] = [
    (Records::Rustls, TLS13),
    (Records::Rustls, TLS12),
    (Records::InPlace, TLS13),
];
const BOTH: [Records; 2] = [Records::Rustls, Records::InPlace];

/// A client session and a server with two byte streams between them, cut as `sizes` says.
struct World {
    client: AnySession,
    server: ServerConnection,
    cipher_rx: RxBuffer,
    plain_rx: RxBuffer,
    cipher_tx: TxBuffer,
    to_client: Vec<u8>,
    received: Vec<u8>,
    received_by_server: Vec<u8>,
    sizes: Vec<usize>,
    step: usize,
    handshakes: usize,
}

impl World {
    fn new(config: Arc<ClientConfig>, venue: &Venue, name: &str) -> Self {
        Self {
            client: AnySession::client(&config, name).unwrap(),
            server: ServerConnection::new(venue.server.clone()).unwrap(),
            cipher_rx: RxBuffer::new(17 << 10),
            plain_rx: RxBuffer::new(16 << 10),
            cipher_tx: TxBuffer::new(8 << 10),
            to_client: Vec::new(),
            received: Vec::new(),
            received_by_server: Vec::new(),
            sizes: vec![usize::MAX],
            step: 0,
            handshakes: 0,
        }
    }

    fn next_size(&mut self) -> usize {
        self.step += 1;
        self.sizes[self.step % self.sizes.len()]
    }

    /// One exchange in each direction; whether a byte moved.
    fn turn(&mut self) -> Result<bool, TlsError> {
        let mut moved = self.client.flush(&mut self.cipher_tx)? > 0;
        let count = self.next_size().min(self.cipher_tx.len());
        if count > 0 {
            let mut bytes = &self.cipher_tx.pending()[..count];
            let taken = self.server.read_tls(&mut bytes).unwrap();
            self.cipher_tx.advance(taken);
            // A server that gives up still sends its alert.
            let _ = self.server.process_new_packets();
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = self.server.reader().read(&mut buffer) {
                self.received_by_server.extend_from_slice(&buffer[..count]);
            }
            moved = true;
        }
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client).unwrap();
        }
        let count = self.next_size().min(self.to_client.len());
        self.cipher_rx.compact();
        let taken = self.cipher_rx.fill_from(&self.to_client[..count]);
        self.to_client.drain(..taken);
        let waiting = self.cipher_rx.len();
        let progress = self
            .client
            .read_from(&mut self.cipher_rx, &mut self.plain_rx)?;
        self.handshakes += usize::from(progress.handshake_done);
        assert!(
            progress.plain_full || self.is_part_of_record(),
            "stopped without a reason"
        );
        assert_eq!(progress.wants_flush, self.client.wants_flush());
        // Not all at once, so that the plain buffer fills up now and then.
        let count = self.next_size().min(self.plain_rx.len());
        self.received
            .extend_from_slice(&self.plain_rx.filled()[..count]);
        self.plain_rx.consume(count);
        let decrypted = self.cipher_rx.len() < waiting;
        Ok(moved || taken > 0 || count > 0 || decrypted)
    }

    /// Whether what lies in the cipher buffer is less than a record (nothing, for rustls, which takes
    /// any part).
    fn is_part_of_record(&self) -> bool {
        let bytes = self.cipher_rx.filled();
        match (&self.client, bytes) {
            (AnySession::InPlace(_), [_, _, _, high, low, body @ ..]) => {
                body.len() < usize::from(u16::from_be_bytes([*high, *low]))
            }
            (AnySession::InPlace(_), _) => true,
            _ => bytes.is_empty(),
        }
    }

    /// Turns until nothing moves any more.
    fn run(&mut self) -> Result<(), TlsError> {
        while self.turn()? {}
        Ok(())
    }

    /// Sends `bytes` to the server, as the send buffer lets it.
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), TlsError> {
        while !bytes.is_empty() {
            let taken = self.client.write_to(bytes, &mut self.cipher_tx)?;
            bytes = &bytes[taken..];
            let moved = self.turn()?;
            assert!(taken > 0 || moved, "stalled");
        }
        self.run()
    }
}

fn fails_with(world: &mut World) -> TlsError {
    let error = world.run().expect_err("this handshake must fail");
    // The error is final, and the alert goes out all the same.
    let again = world
        .client
        .read_from(&mut world.cipher_rx, &mut world.plain_rx);
    assert_eq!(again.err().as_ref(), Some(&error));
    assert_eq!(
        world
            .client
            .write_to(b"x", &mut world.cipher_tx)
            .err()
            .as_ref(),
        Some(&error)
    );
    assert_eq!(world.client.finish_eof().err().as_ref(), Some(&error));
    error
}

#[test]
fn handshake_alpn_and_suite() {
    use rustls::CipherSuite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
    for (records, versions) in WAYS {
        let suite = if versions == TLS13 {
            TLS13_AES_128_GCM_SHA256
        } else {
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        };
        let venue = venue(versions, |_| {});
        let mut world = World::new(config(&venue, records), &venue, NAME);
        assert_eq!(
            world.client.write_to(b"too early", &mut world.cipher_tx),
            Ok(0)
        );
        world.run().unwrap();
        assert!(!world.client.is_handshaking());
        assert_eq!(world.handshakes, 1);
        assert_eq!(world.server.alpn_protocol(), Some(&b"http/1.1"[..]));
        // The server follows the client's order of suites.
        let negotiated = world.server.negotiated_cipher_suite();
        assert_eq!(negotiated.map(|it| it.suite()), Some(suite));
    }
}

#[test]
fn a_server_that_wants_another_group_asks_again() {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups = vec![rustls::crypto::ring::kx_group::SECP384R1];
    let venue = venue_by(provider, TLS13, |_| {});
    for records in BOTH {
        let mut world = World::new(config(&venue, records), &venue, NAME);
        world.sizes = vec![7];
        world.run().unwrap();
        let kind = world.server.handshake_kind();
        assert_eq!(
            kind,
            Some(rustls::HandshakeKind::FullWithHelloRetryRequest),
            "{records:?}"
        );
        world.server.writer().write_all(b"after all").unwrap();
        world.run().unwrap();
        assert_eq!(world.received, b"after all", "{records:?}");
    }
}

#[test]
fn the_second_connect_resumes() {
    for (records, versions) in WAYS {
        let venue = venue(versions, |_| {});
        let config = config(&venue, records);
        for expected in [false, true, true] {
            let mut world = World::new(config.clone(), &venue, NAME);
            assert_eq!(world.client.is_resumed(), None);
            world.run().unwrap();
            assert_eq!(world.client.is_resumed(), Some(expected));
        }
        let mut world = World::new(trusting(&venue), &venue, NAME);
        world.run().unwrap();
        assert_eq!(
            world.client.is_resumed(),
            Some(false),
            "another config shares nothing"
        );
    }
}

#[test]
fn certificate_faults_are_told_apart() {
    for records in BOTH {
        let good = venue(TLS13, |_| {});
        let stranger = venue(TLS13, |_| {});
        let expired = venue(TLS13, |leaf| {
            leaf.not_before = date_time_ymd(2010, 1, 1);
            leaf.not_after = date_time_ymd(2011, 1, 1);
        });
        let future = venue(TLS13, |leaf| {
            leaf.not_before = date_time_ymd(2200, 1, 1);
            leaf.not_after = date_time_ymd(2201, 1, 1);
        });

        let mut world = World::new(config(&good, records), &good, "other.example");
        assert!(matches!(
            fails_with(&mut world),
            TlsError::CertificateNotValidForName(_)
        ));
        let mut world = World::new(config(&good, records), &stranger, NAME);
        assert!(matches!(
            fails_with(&mut world),
            TlsError::CertificateUnknownIssuer(_)
        ));
        let web = client_config(Roots::Web, records);
        let mut world = World::new(web.unwrap(), &good, NAME);
        assert!(matches!(
            fails_with(&mut world),
            TlsError::CertificateUnknownIssuer(_)
        ));
        let mut world = World::new(config(&expired, records), &expired, NAME);
        assert!(matches!(
            fails_with(&mut world),
            TlsError::CertificateExpired(_)
        ));
        let mut world = World::new(config(&future, records), &future, NAME);
        let error = fails_with(&mut world);
        assert!(
            matches!(error, TlsError::CertificateNotYetValid(_)),
            "{error}"
        );

        // The server is told why.
        assert!(world.client.wants_flush());
        assert!(world.client.flush(&mut world.cipher_tx).unwrap() > 0);
        let mut alert = world.cipher_tx.pending();
        world.server.read_tls(&mut alert).unwrap();
        let told = world.server.process_new_packets().unwrap_err();
        assert_eq!(
            told,
            rustls::Error::AlertReceived(AlertDescription::CertificateExpired)
        );

        let added = client_config(Roots::WebAnd(vec![good.root.clone()]), records).unwrap();
        World::new(added, &good, NAME).run().unwrap();
    }
}

#[test]
fn other_errors_are_told_apart() {
    use rustls::{CertificateError, Error};
    let revoked = TlsError::from(Error::InvalidCertificate(CertificateError::Revoked));
    assert!(matches!(revoked, TlsError::CertificateRevoked(_)));
    let bad = TlsError::from(Error::InvalidCertificate(CertificateError::BadSignature));
    assert!(matches!(bad, TlsError::CertificateInvalid(_)));

    let venue = venue(TLS13, |_| {});
    assert_eq!(
        RustlsSession::new(trusting(&venue), "not a name").err(),
        Some(TlsError::InvalidServerName("not a name".to_owned()))
    );
    let not_der = CertificateDer::from(vec![1, 2, 3]);
    assert!(matches!(
        client_config(Roots::Custom(vec![not_der]), Records::default()),
        Err(TlsError::Config(_))
    ));
    assert!(matches!(
        client_config(Roots::Custom(vec![]), Records::default()),
        Err(TlsError::Config(_))
    ));

    // An alert in the clear, and a server that speaks plain HTTP.
    let mut world = World::new(trusting(&venue), &venue, NAME);
    world.to_client = b"\x15\x03\x03\x00\x02\x02\x28".to_vec();
    assert_eq!(
        fails_with(&mut world),
        TlsError::AlertReceived(AlertDescription::HandshakeFailure)
    );
    let mut world = World::new(trusting(&venue), &venue, NAME);
    world.to_client = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    assert!(matches!(fails_with(&mut world), TlsError::Protocol(_)));

    // No version in common.
    let only_12 = self::venue(TLS12, |_| {});
    let mut config = (*trusting(&only_12)).clone();
    config.alpn_protocols = vec![b"other".to_vec()];
    let mut world = World::new(Arc::new(config), &only_12, NAME);
    let error = fails_with(&mut world);
    assert_eq!(
        error,
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
    );
}

#[test]
fn closing_in_order_and_truncation() {
    for records in BOTH {
        let venue = venue(TLS13, |_| {});
        let mut world = World::new(config(&venue, records), &venue, NAME);
        assert_eq!(
            world.client.finish_eof(),
            Err(TlsError::Truncated),
            "in the handshake"
        );
        world.run().unwrap();
        assert_eq!(
            world.client.finish_eof(),
            Err(TlsError::Truncated),
            "before close_notify"
        );

        world.server.writer().write_all(b"last words").unwrap();
        world.server.send_close_notify();
        world.run().unwrap();
        assert!(world.client.peer_closed());
        assert_eq!(world.received, b"last words");
        assert_eq!(world.client.finish_eof(), Ok(()));

        // RFC 8446 §6.1: what follows is ignored, and we may still send.
        world.cipher_rx.fill_from(b"junk");
        world.run().unwrap();
        assert!(world.cipher_rx.is_empty());
        world.send(b"an answer").unwrap();
        world
            .client
            .send_close_notify(&mut world.cipher_tx)
            .unwrap();
        world.run().unwrap();
        assert_eq!(world.received_by_server, b"an answer");
        assert!(
            world
                .server
                .process_new_packets()
                .unwrap()
                .peer_has_closed()
        );
    }
}

#[test]
fn a_flipped_bit_is_a_protocol_error() {
    for records in BOTH {
        let venue = venue(TLS13, |_| {});
        let mut world = World::new(config(&venue, records), &venue, NAME);
        world.run().unwrap();
        world.server.writer().write_all(b"price").unwrap();
        while world.server.wants_write() {
            world.server.write_tls(&mut world.to_client).unwrap();
        }
        *world.to_client.last_mut().unwrap() ^= 1;
        assert_eq!(
            fails_with(&mut world),
            TlsError::Protocol(rustls::Error::DecryptError)
        );
    }
}

#[test]
fn a_key_update_is_answered() {
    for records in BOTH {
        let venue = venue(TLS13, |_| {});
        let mut world = World::new(config(&venue, records), &venue, NAME);
        world.run().unwrap();
        for round in 0..10_u8 {
            world.server.refresh_traffic_keys().unwrap();
            world.server.writer().write_all(&[round]).unwrap();
            world.send(&[round]).unwrap();
        }
        let expected: Vec<u8> = (0..10).collect();
        assert_eq!(world.received, expected);
        assert_eq!(world.received_by_server, expected);
    }
}

#[test]
fn a_full_plain_buffer_stops_and_goes_on() {
    let venue = venue(TLS13, |_| {});
    let mut world = World::new(trusting(&venue), &venue, NAME);
    world.run().unwrap();
    let mut plain = RxBuffer::new(1000);
    world.server.set_buffer_limit(None);
    world.server.writer().write_all(&[5; 100_000]).unwrap();
    let mut cipher = RxBuffer::new(200_000);
    let mut bytes = Vec::new();
    while world.server.wants_write() {
        world.server.write_tls(&mut bytes).unwrap();
    }
    cipher.fill_from(&bytes);
    let mut total = 0;
    let mut held_max = 0;
    loop {
        let before = cipher.len();
        let progress = world.client.read_from(&mut cipher, &mut plain).unwrap();
        held_max = held_max.max(before - cipher.len());
        total += plain.len();
        plain.clear();
        if !progress.plain_full {
            break;
        }
    }
    assert_eq!(total, 100_000);
    assert!(
        held_max <= (16 << 10) + 4096 + 1000,
        "took {held_max} bytes in one go"
    );
}

#[test]
fn a_plain_session_copies_within_its_room() {
    let mut session = AnySession::Plain(PlainSession);
    let (mut cipher, mut plain) = (RxBuffer::new(600), RxBuffer::new(256));
    cipher.fill_from(&[1; 600]);
    let progress = session.read_from(&mut cipher, &mut plain).unwrap();
    assert_eq!((progress.plain_bytes, progress.plain_full), (256, true));
    plain.clear();
    assert!(
        session
            .read_from(&mut cipher, &mut plain)
            .unwrap()
            .plain_full
    );
    plain.clear();
    assert!(
        !session
            .read_from(&mut cipher, &mut plain)
            .unwrap()
            .plain_full
    );
    let mut tx = TxBuffer::new(4);
    assert_eq!(session.write_to(b"abcdef", &mut tx), Ok(4));
    assert_eq!(session.flush(&mut tx), Ok(0));
    assert!(!session.is_handshaking() && !session.peer_closed() && !session.wants_flush());
    assert_eq!(session.send_close_notify(&mut tx), Ok(()));
    assert_eq!(session.finish_eof(), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn echo_in_random_chunks(
        sizes in prop::collection::vec(prop_oneof![1_usize..40, 40_usize..3000, 3000_usize..20_000], 1..12),
        capacities in (256_usize..20_000, 256_usize..20_000, 2200_usize..40_000),
        up in prop::collection::vec(1_usize..40_000, 1..4),
        down in prop::collection::vec(1_usize..40_000, 1..4),
        way in 0..WAYS.len(),
    ) {
        let (records, versions) = WAYS[way];
        let venue = venue(versions, |_| {});
        let mut world = World::new(config(&venue, records), &venue, NAME);
        world.sizes = sizes;
        // In place a whole record has to fit.
        let least = if records == Records::InPlace { 16_645 } else { 0 };
        world.cipher_rx = RxBuffer::new(capacities.0.max(least));
        world.plain_rx = RxBuffer::new(capacities.1);
        world.cipher_tx = TxBuffer::new(capacities.2);
        world.server.set_buffer_limit(None);
        let message = |len: usize, seed: u64| -> Vec<u8> {
            let mut rng = fastrand::Rng::with_seed(seed);
            (0..len).map(|_| rng.u8(..)).collect()
        };
        let (mut sent_up, mut sent_down) = (Vec::new(), Vec::new());
        for (index, len) in up.iter().copied().enumerate() {
            let bytes = message(len, index as u64);
            world.send(&bytes).unwrap();
            sent_up.extend(bytes);
        }
        for (index, len) in down.iter().copied().enumerate() {
            let bytes = message(len, 99 - index as u64);
            world.server.writer().write_all(&bytes).unwrap();
            sent_down.extend(bytes);
        }
        world.run().unwrap();
        prop_assert_eq!(world.handshakes, 1);
        prop_assert!(world.received == sent_down, "downwards");
        prop_assert!(world.received_by_server == sent_up, "upwards");
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 1..300),
        established in any::<bool>(),
        in_place in any::<bool>(),
    ) {
        let venue = venue(TLS13, |_| {});
        let records = BOTH[usize::from(in_place)];
        let mut world = World::new(config(&venue, records), &venue, NAME);
        if established {
            world.run().unwrap();
        }
        let _ = world.client.flush(&mut world.cipher_tx);
        world.cipher_rx.fill_from(&bytes);
        let _ = world.client.read_from(&mut world.cipher_rx, &mut world.plain_rx);
    }
}

//! A server that has the right keys and keeps to nothing else: both ways to do records must make the
//! same of it.

use proptest::prelude::*;
use rustls::ContentType;

use super::*;
use crate::wire::tls::in_place::record::{Keys, OVERHEAD};

/// A record as the server sends it.
#[derive(Clone, Debug)]
enum Record {
    /// Content of a kind, and so many zeroes behind it.
    Sealed(u8, Vec<u8>, usize),
    /// With one bit behind its header (counted round) turned.
    Spoiled(u8, Vec<u8>, usize),
    /// Not encrypted.
    Open(u8, Vec<u8>),
}

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const DATA: u8 = 23;

/// Both ends behind a handshake: the client, and the keys by which the server sends.
fn established(venue: &Venue, records: Records) -> (World, Keys) {
    let mut world = World::new(config(venue, records), venue, NAME);
    world.run().unwrap();
    let server = std::mem::replace(
        &mut world.server,
        ServerConnection::new(venue.server.clone()).unwrap(),
    );
    let (next, secrets) = server.dangerous_extract_secrets().unwrap().tx;
    (world, Keys::new(next, &secrets).unwrap())
}

fn sealed(keys: &mut Keys, kind: u8, content: &[u8], zeroes: usize) -> Vec<u8> {
    // What `seal` puts behind the content is the last of the zeroes, or the kind.
    let mut inner = content.to_vec();
    let last = if zeroes > 0 {
        inner.push(kind);
        inner.resize(inner.len() + zeroes - 1, 0);
        0
    } else {
        kind
    };
    let mut bytes = vec![0; inner.len() + OVERHEAD];
    keys.seal(ContentType::from(last), &inner, &mut bytes)
        .unwrap();
    bytes
}

fn bytes_of(keys: &mut Keys, record: &Record) -> Vec<u8> {
    match record {
        Record::Sealed(kind, content, zeroes) => sealed(keys, *kind, content, *zeroes),
        Record::Spoiled(kind, content, bit) => {
            let mut bytes = sealed(keys, *kind, content, 0);
            let (_, body) = bytes.split_at_mut(5);
            let bit = bit % (body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            bytes
        }
        Record::Open(kind, content) => {
            let length = (content.len() as u16).to_be_bytes();
            let mut bytes = vec![*kind, 3, 3, length[0], length[1]];
            bytes.extend_from_slice(content);
            bytes
        }
    }
}

/// What became of it: what was read, whether the peer closed, and the error.
type Fate = (Vec<u8>, bool, Option<TlsError>);

fn fate(venue: &Venue, records: Records, sent: &[Record], part: usize) -> Fate {
    let (mut world, mut keys) = established(venue, records);
    world.sizes = vec![part];
    let bytes = sent.iter().flat_map(|record| bytes_of(&mut keys, record));
    world.to_client = bytes.collect();
    let error = world.run().err();
    let mut received = std::mem::take(&mut world.received);
    received.extend_from_slice(world.plain_rx.filled());
    (received, world.client.peer_closed(), error)
}

/// Errors are of one kind; what rustls says within is its own.
fn kind(error: Option<&TlsError>) -> &'static str {
    match error {
        None => "none",
        Some(TlsError::AlertReceived(_)) => "alert",
        Some(TlsError::Protocol(_)) => "protocol",
        Some(_) => "other",
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_link() {
    let data = |text: &[u8]| Record::Sealed(DATA, text.to_vec(), 0);
    let alert = |level, description| Record::Sealed(ALERT, vec![level, description], 0);
    let handshake = |bytes: &[u8]| Record::Sealed(HANDSHAKE, bytes.to_vec(), 0);
    let rows: Vec<(&str, Vec<Record>, &str, &str, bool)> = vec![
        (
            "data",
            vec![data(b"a"), data(b""), data(b"b")],
            "ab",
            "none",
            false,
        ),
        (
            "padding",
            vec![Record::Sealed(DATA, b"a".to_vec(), 9)],
            "a",
            "none",
            false,
        ),
        (
            "zeroes alone",
            vec![Record::Sealed(0, vec![], 9)],
            "",
            "protocol",
            false,
        ),
        (
            "a kind that is none",
            vec![Record::Sealed(99, vec![1], 0)],
            "",
            "protocol",
            false,
        ),
        (
            "a bit turned",
            vec![data(b"a"), Record::Spoiled(DATA, vec![7; 40], 60)],
            "a",
            "protocol",
            false,
        ),
        (
            "not encrypted",
            vec![Record::Open(DATA, vec![7; 40])],
            "",
            "protocol",
            false,
        ),
        (
            "a change of ciphers",
            vec![Record::Open(20, vec![1])],
            "",
            "protocol",
            false,
        ),
        (
            "too large",
            vec![Record::Open(DATA, vec![7; 16_700])],
            "",
            "protocol",
            false,
        ),
        (
            "goodbye",
            vec![data(b"a"), alert(1, 0), data(b"b")],
            "a",
            "none",
            true,
        ),
        (
            "a fatal alert",
            vec![data(b"a"), alert(2, 40)],
            "a",
            "alert",
            false,
        ),
        ("a warning", vec![alert(1, 40)], "", "alert", false),
        (
            "nothing, said as an alert",
            vec![alert(1, 90), data(b"a")],
            "a",
            "none",
            false,
        ),
        (
            "the same again and again",
            vec![alert(1, 90); 5],
            "",
            "protocol",
            false,
        ),
        (
            "a message that may not come",
            vec![handshake(&[1, 0, 0, 0])],
            "",
            "protocol",
            false,
        ),
        (
            "a key update that says neither",
            vec![handshake(&[24, 0, 0, 1, 2])],
            "",
            "protocol",
            false,
        ),
        (
            "a ticket that is none",
            vec![handshake(&[4, 0, 0, 1, 0])],
            "",
            "protocol",
            false,
        ),
        (
            "data within a message",
            vec![handshake(&[4, 0, 0, 9, 0]), data(b"a")],
            "",
            "protocol",
            false,
        ),
        (
            "keys that change within a record",
            vec![handshake(&[24, 0, 0, 1, 0, 4])],
            "",
            "protocol",
            false,
        ),
        (
            "the old keys behind a key update",
            vec![handshake(&[24, 0, 0, 1, 0]), data(b"a")],
            "",
            "protocol",
            false,
        ),
    ];
    let venue = venue(TLS13, |_| {});
    for (name, sent, received, error, closed) in rows {
        for records in BOTH {
            let fate = fate(&venue, records, &sent, usize::MAX);
            let found = (kind(fate.2.as_ref()), fate.1);
            assert_eq!(found, (error, closed), "{name}, {records:?}: {:?}", fate.2);
            // rustls keeps what it has decrypted to itself where the same bytes bring an error.
            let kept = records == Records::Rustls && error != "none";
            let expected = if kept { &[] } else { received.as_bytes() };
            assert_eq!(fate.0, expected, "{name}, {records:?}");
        }
    }
}

/// What a record is kept as: of kinds that there are and others, with what they may hold and others.
fn record() -> impl Strategy<Value = Record> {
    let data = (prop::collection::vec(any::<u8>(), 0..300), 0_usize..40)
        .prop_map(|(content, zeroes)| Record::Sealed(DATA, content, zeroes));
    let large = (15_000_usize..=16_384).prop_map(|len| Record::Sealed(DATA, vec![5; len], 0));
    let alert = (0_u8..4, any::<u8>(), 0_usize..4)
        .prop_map(|(level, what, zeroes)| Record::Sealed(ALERT, vec![level, what], zeroes));
    let any_content = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, content)| Record::Sealed(kind, content, 0));
    let message = (0_u8..30, 0_u8..8, prop::collection::vec(any::<u8>(), 0..8)).prop_map(
        |(kind, length, payload)| {
            Record::Sealed(
                HANDSHAKE,
                [&[kind, 0, 0, length], payload.as_slice()].concat(),
                0,
            )
        },
    );
    let spoiled = (prop::collection::vec(any::<u8>(), 1..60), any::<usize>())
        .prop_map(|(content, bit)| Record::Spoiled(DATA, content, bit));
    let open = (18_u8..26, prop::collection::vec(any::<u8>(), 0..60))
        .prop_map(|(kind, content)| Record::Open(kind, content));
    prop_oneof![8 => data, 2 => large, 2 => alert, 1 => any_content, 1 => message, 1 => spoiled, 1 => open]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Where rustls goes on, so do we, with the same bytes; where it ends the link, so do we. Of the
    /// data before an error rustls keeps what came with it to itself.
    #[test]
    fn both_ways_make_the_same_of_any_records(
        sent in prop::collection::vec(record(), 1..8),
        part in prop_oneof![Just(usize::MAX), 1_usize..20, 1000_usize..20_000],
    ) {
        let venue = venue(TLS13, |_| {});
        let theirs = fate(&venue, Records::Rustls, &sent, part);
        let ours = fate(&venue, Records::InPlace, &sent, part);
        prop_assert_eq!(kind(theirs.2.as_ref()), kind(ours.2.as_ref()), "{:?} {:?}", theirs.2, ours.2);
        prop_assert_eq!(theirs.1, ours.1);
        let same = if theirs.2.is_some() { ours.0.starts_with(&theirs.0) } else { ours.0 == theirs.0 };
        prop_assert!(same, "{} bytes and {}", theirs.0.len(), ours.0.len());
    }
}

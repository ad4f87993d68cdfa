//! What keeps a link alive and what does not.

use super::*;

const SILENCE_S: i64 = 60;

fn silent(link: u16, send_limit: Option<SendLimit>) -> Transmit {
    let spec = LinkSpec {
        silence_max_ns: Some(Nanos::from_secs(SILENCE_S)),
        send_limit,
        ..LinkSpec::new(endpoint(), "/")
    };
    Transmit::Open {
        link: LinkId(link),
        spec: Box::new(spec),
    }
}

impl World {
    /// What the engine has sent since the last call, as opcode and payload of each frame.
    fn sent(&mut self, token: Token) -> Vec<(u8, Vec<u8>)> {
        let Some(pipe) = self.engine.net.net.open.get_mut(&token) else {
            return Vec::new();
        };
        let mut bytes = std::mem::take(&mut pipe.from_engine);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            bytes.drain(..end + 4);
        }
        let mut frames = Vec::new();
        while let [first, second, rest @ ..] = &bytes[..] {
            assert_eq!(second & 0x80, 0x80, "a client masks");
            let len = usize::from(second & 0x7f);
            assert!(len < 126, "short frames only");
            let (mask, rest) = rest.split_at(4);
            let masked = rest[..len].iter().zip(mask.iter().cycle());
            let payload = masked.map(|(byte, mask)| byte ^ mask).collect();
            frames.push((first & 0x0f, payload));
            bytes = rest[len..].to_vec();
        }
        frames
    }

    /// Goes on second by second; before each the peer may say something. Gives how long the link
    /// lasted, and how often it was pinged.
    fn seconds_alive(
        &mut self,
        token: Token,
        most: i64,
        mut peer: impl FnMut(i64, &[(u8, Vec<u8>)]) -> Vec<u8>,
    ) -> (i64, usize) {
        let mut pings = 0;
        for second in 0..most {
            let sent = self.sent(token);
            pings += sent.iter().filter(|(opcode, _)| *opcode == 9).count();
            if !self.engine.net.net.open.contains_key(&token) {
                return (second, pings);
            }
            let said = peer(second, &sent);
            if !said.is_empty() {
                self.engine.net.net.deliver(token, &said);
                self.turn_after(Nanos::ZERO);
            }
            self.turn_after(Nanos::from_secs(1));
        }
        (most, pings)
    }
}

fn control(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, payload.len() as u8];
    frame.extend_from_slice(payload);
    frame
}

/// Answers each ping.
fn answers(sent: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let pings = sent.iter().filter(|(opcode, _)| *opcode == 9);
    pings
        .flat_map(|(_, payload)| control(10, payload))
        .collect()
}

type Peer = fn(i64, &[(u8, Vec<u8>)]) -> Vec<u8>;

#[test]
fn only_whole_messages_and_answers_to_our_pings_keep_a_link_alive() {
    const FOR_EVER: i64 = 1_000;
    let table: [(&str, Peer, i64, usize); 10] = [
        ("nothing", |_, _| Vec::new(), SILENCE_S, 1),
        ("pings of its own", |_, _| control(9, b"you?"), SILENCE_S, 1),
        ("pongs to nothing", |_, _| control(10, b""), SILENCE_S, 1),
        (
            "pongs to pings never sent",
            |_, _| control(10, &7u64.to_be_bytes()),
            SILENCE_S,
            1,
        ),
        (
            "empty fragments without end",
            |second, _| vec![u8::from(second == 0), 0],
            SILENCE_S,
            1,
        ),
        (
            "fragments without end, and good pongs",
            |second, sent| [vec![u8::from(second == 0), 0], answers(sent)].concat(),
            SILENCE_S,
            1,
        ),
        (
            "half of a close frame",
            |second, _| if second == 0 { vec![0x88] } else { Vec::new() },
            SILENCE_S,
            1,
        ),
        (
            "a message now and then",
            |second, _| {
                if second % 29 == 0 {
                    text("x")
                } else {
                    Vec::new()
                }
            },
            FOR_EVER,
            0,
        ),
        (
            "nothing but answers",
            |_, sent| answers(sent),
            FOR_EVER,
            (FOR_EVER / (SILENCE_S / 2 + 1)) as usize,
        ),
        (
            "one message, then nothing",
            |second, _| if second == 20 { text("x") } else { Vec::new() },
            SILENCE_S + 20,
            1,
        ),
    ];
    for (what, peer, lasts, pings) in table {
        let mut world = World::new(PollMode::Mio);
        world.want([silent(0, None)]);
        let token = world.up();
        world.told();
        let (lasted, pinged) = world.seconds_alive(token, FOR_EVER, peer);
        assert!((lasts..=lasts + 1).contains(&lasted), "{what}: {lasted} s");
        assert!(
            (pings..=pings + 1).contains(&pinged),
            "{what}: {pinged} pings"
        );
        let told = world.told();
        let down = "0 down: no message and no answer to a ping for 60";
        let is_told = told.iter().any(|told| told.starts_with(down));
        assert_eq!(is_told, lasts < FOR_EVER, "{what}: {told:?}");
    }
}

#[test]
fn our_ping_stays_within_the_venues_limit_and_is_urgent() {
    let limit = SendLimit {
        messages: 2,
        window_ns: Nanos::from_secs(100),
    };
    let mut world = World::new(PollMode::Mio);
    world.want([silent(0, Some(limit))]);
    let token = world.up();
    let send = Transmit::Text {
        link: LinkId(0),
        lane: Lane::Normal,
    };
    world.want([send.clone(), send]);
    let opcodes = |frames: Vec<(u8, Vec<u8>)>| -> Vec<u8> {
        frames.into_iter().map(|(opcode, _)| opcode).collect()
    };
    assert_eq!(opcodes(world.sent(token)), [1], "one place is kept");
    world.turn_after(Nanos::from_secs(31));
    world.turn();
    assert_eq!(opcodes(world.sent(token)), [9]);
}

#[test]
fn a_peer_that_never_reads_is_cut_after_a_time_and_one_that_is_slow_is_not() {
    for (drained_at_s, lives) in [(None, false), (Some(12), false), (Some(8), true)] {
        let mut world = World::new(PollMode::Mio);
        world.want([open(0)]);
        let token = world.up();
        world.told();
        let pipe = |world: &mut World, is_full| {
            if let Some(pipe) = world.engine.net.net.open.get_mut(&token) {
                pipe.is_full = is_full;
            }
        };
        pipe(&mut world, true);
        let send = Transmit::Text {
            link: LinkId(0),
            lane: Lane::Urgent,
        };
        world.want([send]);
        for second in 0..30 {
            if drained_at_s == Some(second) {
                pipe(&mut world, false);
                world.engine.net.net.ready.push(Ready::Writable(token));
            }
            world.turn_after(Nanos::from_secs(1));
        }
        let told = world.told();
        if lives {
            assert_eq!(told, [""; 0]);
        } else {
            let down = "0 down: timed out while sending: the venue takes nothing";
            assert_eq!(told[0], down);
        }
    }
}

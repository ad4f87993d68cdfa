use std::net::{Ipv4Addr, TcpListener};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((LOOPBACK, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// An address that refuses: a socket has it, and does not listen.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::new(LOOPBACK, 0);
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("its address");
    let address = address.as_socket().expect("an internet address");
    (socket, address)
}

/// An address that never answers: its queue of connections is full and nobody takes one, so that the
/// system drops what comes.
fn black_hole() -> (Vec<Socket>, SocketAddr) {
    let (socket, address) = refusing();
    socket.listen(0).expect("a listener");
    let mut sockets = vec![socket];
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        filler.set_nonblocking(true).expect("an option");
        let _ = filler.connect(&address.into());
        sockets.push(filler);
    }
    (sockets, address)
}

struct World {
    net: TcpNet,
    now: Nanos,
}

impl World {
    fn new(options: TcpOptions) -> World {
        let mut net = TcpNet::new(options).expect("a poll");
        let now = Nanos::from_secs(1_000);
        net.tick(now);
        World { net, now }
    }

    /// As [`Net::open`] once the name has been looked up.
    fn open(&mut self, addresses: &[SocketAddr]) -> Token {
        let token = self.net.reserve();
        self.net.connect_first(token, addresses.to_vec());
        token
    }

    /// Polls until the connection has its outcome. Virtual time passes where nothing else happens;
    /// gives how much that was.
    fn outcome(&mut self, token: Token) -> (Result<SocketReport, String>, Nanos) {
        let started = self.now;
        let mut ready = Vec::new();
        for _ in 0..1_000 {
            let wait = Some(Duration::from_millis(20));
            self.net.poll(wait, &mut ready).expect("a poll");
            for one in ready.drain(..) {
                match one {
                    Ready::Connected(of) if of == token => {
                        let report = self.net.take_report(token).expect("a report");
                        assert_eq!(self.net.take_report(token), None, "once");
                        return (Ok(report), self.now - started);
                    }
                    Ready::Failed(of, error) if of == token => {
                        return (Err(error), self.now - started);
                    }
                    _ => {}
                }
            }
            self.now += Nanos::from_millis(100);
            self.net.tick(self.now);
        }
        panic!("no outcome");
    }
}

#[test]
fn every_address_is_tried_in_turn() {
    let (_listener, good) = listener();
    let (_refusing, dead) = refusing();
    let (_hole, mute) = black_hole();
    let table: [(&[SocketAddr], bool); 5] = [
        (&[good], false),
        (&[dead, good], false),
        (&[mute, good], true),
        (&[dead, mute, dead, good], true),
        (&[good, mute, dead], false),
    ];
    for (addresses, waits) in table {
        let mut world = World::new(TcpOptions::default());
        let token = world.open(addresses);
        let (report, waited) = world.outcome(token);
        assert_eq!(report.map(|report| report.peer), Ok(Some(good)));
        assert_eq!(
            waited >= Nanos::from_secs(2),
            waits,
            "{addresses:?}: {waited}"
        );
        // What was mute is last in line from now on.
        let token = world.open(addresses);
        let (report, waited) = world.outcome(token);
        assert_eq!(report.map(|report| report.peer), Ok(Some(good)));
        assert!(waited < Nanos::from_secs(2), "{addresses:?}: {waited}");
    }
    let mut world = World::new(TcpOptions::default());
    let token = world.open(&[dead, mute, dead]);
    let error = world.outcome(token).0.expect_err("none of them answers");
    assert!(
        error.contains(&format!("{dead}: ")) && error.contains(&format!("{mute}: no answer")),
        "each says why: {error}"
    );
}

#[test]
fn options_are_set_or_say_why_not_and_never_cost_the_connection() {
    let (_listener, good) = listener();
    let mut world = World::new(TcpOptions {
        keepalive: Duration::from_secs(7),
        user_timeout: Duration::from_millis(1_234),
        busy_poll: Some(Duration::from_micros(50)),
        acks: Acks::System,
        ..TcpOptions::default()
    });
    let token = world.open(&[good]);
    let report = world.outcome(token).0.expect("a connection");
    assert_eq!(report.peer, Some(good));
    let options: Vec<_> = report.options.iter().map(|one| one.name).collect();
    assert_eq!(options[..2], ["TCP_NODELAY", "TCP_KEEPIDLE"]);
    let in_effect = |index: usize| report.options[index].in_effect.as_deref();
    assert_eq!((in_effect(0), in_effect(1)), (Ok("true"), Ok("7s")));
    if cfg!(target_os = "linux") {
        assert_eq!(options[2..], ["TCP_USER_TIMEOUT", "SO_BUSY_POLL"]);
        assert_eq!(in_effect(2), Ok("1.234s"));
        match in_effect(3) {
            Ok(value) => assert_eq!(value, "50µs"),
            Err(error) => assert!(!error.is_empty(), "without the right to it, it says so"),
        }
    }
}

/// What a socket has sent and nobody has acknowledged: `tx_queue` of /proc/net/tcp, whose addresses are hex,
/// the bytes of the host's order.
#[cfg(target_os = "linux")]
fn unacknowledged(from: SocketAddr, to: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let ports = [from, to].map(|address| format!(":{:04X}", address.port()));
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row
        .filter(|row| row.len() > 4)
        .find(|row| row[1].ends_with(&ports[0]) && row[2].ends_with(&ports[1]));
    let queues = row.expect("our socket")[4];
    let queue = queues.split(':').next().unwrap_or_default();
    usize::from_str_radix(queue, 16).expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn what_came_is_acknowledged_when_there_is_time() {
    use std::io::Write;

    /// How often nothing may be kept back after all: the kernel's timer is 40 ms, and this thread may sleep.
    const TRIES: usize = 50;
    let mut kept_back = 0;
    for acks in [Acks::WhenIdle, Acks::System] {
        let (listener, good) = listener();
        let mut world = World::new(TcpOptions {
            acks,
            ..TcpOptions::default()
        });
        let token = world.open(&[good]);
        let report = world.outcome(token).0.expect("a connection");
        let option = report.options.last().expect("an option");
        assert_eq!(
            option.name == "TCP_QUICKACK" && option.in_effect.as_deref() == Ok("false"),
            acks == Acks::WhenIdle,
            "{report:?}"
        );
        let (mut venue, peer) = listener.accept().expect("a connection");
        assert_eq!(world.net.idle(), 0, "nothing has come");
        for _ in 0..TRIES {
            venue.write_all(&[7; 100]).expect("room");
            let mut bytes = [0; 200];
            while world.net.recv(token, &mut bytes).is_err() {
                core::hint::spin_loop();
            }
            let waits = unacknowledged(good, peer) > 0;
            assert_eq!(world.net.idle(), usize::from(acks == Acks::WhenIdle));
            assert_eq!(world.net.idle(), 0, "once");
            if acks == Acks::WhenIdle {
                kept_back += usize::from(waits);
                // On loopback it is there at once, where the system isn't busy with something else.
                while unacknowledged(good, peer) > 0 {
                    std::thread::yield_now();
                }
            }
        }
        // One that is owed when its connection ends is nobody's.
        venue.write_all(b"last").expect("room");
        while world.net.recv(token, &mut [0; 8]).is_err() {}
        world.net.close(token);
        assert_eq!(world.net.idle(), 0);
    }
    assert!(kept_back > 0, "kept back of {TRIES} messages");
}

#[test]
fn where_to_connect_from_is_kept_to_or_the_connection_fails() {
    let (listener, good) = listener();
    let from = |local: &str, interface: Option<&str>| TcpOptions {
        local_address: Some(local.parse().expect("an address")),
        interface: interface.map(str::to_owned),
        ..TcpOptions::default()
    };
    let mut world = World::new(from("127.0.0.2", None));
    let token = world.open(&[good]);
    let report = world.outcome(token).0.expect("a connection");
    let (_, peer) = listener.accept().expect("a connection");
    assert_eq!(report.local, Some(peer));
    assert_eq!(peer.ip().to_string(), "127.0.0.2");

    let table = [
        (from("192.0.2.1", None), "can't connect from 192.0.2.1"),
        (from("::1", None), "is not of the family of ::1"),
        (
            from("127.0.0.1", Some("tw-none0")),
            "interface \"tw-none0\"",
        ),
    ];
    for (options, words) in table {
        let mut world = World::new(options);
        let token = world.open(&[good]);
        let error = world.outcome(token).0.expect_err("no such place");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_end_waits_for_the_look_up_thread() {
    let mut world = World::new(TcpOptions::default());
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port: 1,
        tls: false,
    };
    let waker = Arc::downgrade(&world.net.waker);
    world.net.open(&endpoint);
    drop(world);
    assert_eq!(waker.strong_count(), 0, "the thread had the last of them");
}

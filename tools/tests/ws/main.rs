//! The general client against a server written with another library, one link and a thousand.

#![expect(clippy::print_stdout, reason = "what it measures is for who runs it")]

mod command;
mod server;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::{Cut, Server};
use tickwire::ws::{self, Bybit, Client, Clients, Config, HeartbeatConfig, Message, State};

/// What no test may need.
const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "tests need a deadline")]
fn moment() -> Instant {
    Instant::now()
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = moment();
    while !done() {
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} for {what}"
        );
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn config(server: &Server) -> Config {
    Config {
        retry_delay: 20,
        max_backoff: 200,
        retry_count: 1_000,
        dialect: Some(Arc::new(Bybit)),
        ..Config::new(server.url())
    }
}

#[test]
fn a_server_of_another_library_understands_us_and_we_it() {
    let server = Server::start();
    let client = ws::connect(Config {
        heartbeat_config: Some(HeartbeatConfig::ping(5)),
        ..config(&server)
    })
    .expect("connected");
    for size in [0, 1, 125, 126, 60_000] {
        let text = "ü".repeat(size / 2);
        assert!(client.send_message(text.clone()).is_ok());
        assert_eq!(
            client.recv_timeout(PATIENCE),
            Some(Message::Text(text)),
            "{size}"
        );
        let bytes = vec![0xA5; size];
        assert!(client.send_binary(bytes.clone()).is_ok());
        assert_eq!(
            client.recv_timeout(PATIENCE),
            Some(Message::Binary(bytes)),
            "{size}"
        );
    }
    let answer = client
        .request(r#"{"id":"a","method":"b"}"#)
        .expect("an answer");
    assert_eq!(
        answer.and_then(|json| json.raw("result")).as_deref(),
        Some("true")
    );
    let done = client
        .subscribe(["x"])
        .expect("sent")
        .wait()
        .expect("an answer");
    assert_eq!(done.accepted, ["x"]);
    wait_until("a pong", || client.heartbeat_health().rtt.is_some());
    let mut rng = fastrand::Rng::with_seed(1);
    for (how, connection) in [(Cut::Drop, 2), (Cut::Close(1001), 3)] {
        assert!(server.cut(&mut rng, how));
        loop {
            match client.recv_timeout(PATIENCE).expect("a message") {
                Message::Reconnected { connection: told } => assert_eq!(told, connection),
                Message::Restored(all) => {
                    assert_eq!(all.accepted, ["x"]);
                    break;
                }
                _ => {}
            }
        }
    }
    client.close();
    wait_until("the end", || server.open() == 0);
}

/// Of one loop, over the sockets of this machine.
const LINKS: usize = 1_000;

/// Cuts before the memory is first looked at, and before it is looked at again.
const CUTS: [usize; 2] = [1_500, 3_000];

#[test]
fn a_thousand_links_on_one_loop_come_back_from_random_cuts() {
    // Each link is two sockets here.
    let limit = rlimit::increase_nofile_limit(4_096).expect("a limit on open files");
    if limit < 2 * LINKS as u64 + 200 {
        println!("skipped: {limit} open files are too few for {LINKS} links; see ulimit -n");
        return;
    }
    let server = Server::start();
    let clients = Clients::new();
    let _running = clients.run(None).expect("a loop");
    let links: Vec<Client> = (0..LINKS)
        .map(|_| clients.open(config(&server)).expect("a good configuration"))
        .collect();
    for link in &links {
        link.wait_connected().expect("connected");
        let done = link
            .subscribe(["x"])
            .expect("sent")
            .wait()
            .expect("an answer");
        assert_eq!(done.accepted, ["x"]);
    }
    println!("{LINKS} links up, {} MiB", resident_kib() >> 10);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut memory = [0; 2];
    for (round, cuts) in CUTS.into_iter().enumerate() {
        storm(&server, &mut rng, cuts, &links);
        memory[round] = resident_kib();
        println!("after {cuts} cuts: {} MiB", memory[round] >> 10);
    }
    let metrics: Vec<_> = links.iter().map(Client::state_metrics).collect();
    let connects: u64 = metrics.iter().map(|one| one.connects).sum();
    let cuts: usize = CUTS.iter().sum();
    assert!(connects >= (LINKS + cuts) as u64, "{connects} connections");
    assert!(
        metrics
            .iter()
            .all(|one| one.pending_requests == 0 && one.subscriptions == 1)
    );
    // Twice as many cuts, and no more memory than measuring is out by.
    let [first, second] = memory;
    assert!(
        second < first + first / 10 + (16 << 10),
        "{first} KiB grew to {second} KiB"
    );
    idle(&links);
}

/// Cuts links at random, each then comes back and answers.
fn storm(server: &Server, rng: &mut fastrand::Rng, cuts: usize, links: &[Client]) {
    for _ in 0..cuts {
        let how = if rng.bool() {
            Cut::Drop
        } else {
            Cut::Close(1012)
        };
        wait_until("a link to cut", || server.cut(rng, how));
        if rng.u8(..16) == 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    for (index, link) in links.iter().enumerate() {
        let id = rng.u32(..);
        let text = format!(r#"{{"req_id":"{id}","op":"ping"}}"#);
        // It may be on its way down still: until an answer has come.
        wait_until("an answer of each link", || {
            link.request(text.clone()).is_ok()
        });
        assert_eq!(link.get_state(), State::Connected, "link {index}");
        while link.try_recv().is_some() {}
    }
}

/// What an idle link costs the loop.
fn idle(links: &[Client]) {
    let Some(before) = loop_cpu_ns() else {
        println!("CPU of the loop: not known on this system");
        return;
    };
    let started = moment();
    while started.elapsed() < Duration::from_secs(3) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let (after, elapsed) = (loop_cpu_ns().unwrap_or(before), started.elapsed());
    let share = (after - before) as f64 / elapsed.as_nanos() as f64;
    let each_us = share * 1e6 / links.len() as f64;
    println!(
        "idle: the loop takes {:.2} % of a core, {each_us:.2} µs a second for each of {} links",
        share * 100.0,
        links.len(),
    );
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Time on a core of the loop's threads.
fn loop_cpu_ns() -> Option<u64> {
    let mut sum = None;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let path = task.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.trim() == "tickwire-loop" {
            let stat = fs::read_to_string(path.join("schedstat")).ok()?;
            let ns: u64 = stat.split_whitespace().next()?.parse().ok()?;
            sum = Some(sum.unwrap_or(0) + ns);
        }
    }
    sum
}

//! `tickwire ws` as a program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tickwire::testing::ws::{Expect, Refusal, Scheme, Server};
use tickwire_tools::recording::{Reader, RecordKind};

/// Runs it with this typed in.
fn run(args: &[&str], typed: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tickwire"))
        .arg("ws")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(typed.as_bytes()).expect("typed");
    drop(input);
    child.wait_with_output().expect("its end")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bybit(text: &str) -> Option<String> {
    if text.contains("subscribe") {
        let id = text.split('"').nth(3)?;
        return Some(format!(
            r#"{{"success":true,"req_id":"{id}","op":"subscribe"}}"#
        ));
    }
    text.contains("\"id\":7")
        .then(|| r#"{"id":7,"result":[1]}"#.to_owned())
}

#[test]
fn what_is_typed_is_sent_and_what_comes_is_printed_and_recorded() {
    let server = Server::start(0, Scheme::Ws, bybit).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.jsonl");
    let recording = path.to_string_lossy();
    let url = server.url();
    #[rustfmt::skip]
    let args = [
        url.as_str(), "--dialect", "bybit", "--subscribe", "x", "--header", "X-Key: k", "--messages", "1",
        "--record", &recording,
    ];
    let output = run(&args, "{\"id\":7,\"method\":\"a\"}\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "{\"id\":7,\"result\":[1]}\n");
    assert!(server.last_head().contains("X-Key: k"));
    server.assert_message_sent(
        Expect::Regex(r#""args":\["x"\]"#),
        std::time::Duration::ZERO,
    );
    let mut reader = Reader::open(&path).expect("a recording");
    let mut kinds = Vec::new();
    while let Some(record) = reader.next_record().expect("a line") {
        kinds.push(record.kind);
    }
    use RecordKind::{Connect, Recv, Send};
    assert_eq!(kinds, [Connect, Send, Recv, Send, Recv]);
}

#[test]
fn an_echo_sends_back_and_without_reconnect_a_close_is_the_end() {
    let closing = |text: &str| (text == "hello").then(|| "world".to_owned());
    let server = Server::start(0, Scheme::Ws, closing).expect("a server");
    let url = server.url();
    let thread = std::thread::spawn(move || run(&[&url, "--echo", "--no-reconnect"], "hello\n"));
    server.assert_message_sent(Expect::Exact("world"), std::time::Duration::from_secs(60));
    server.simulate_disconnect(1001);
    let output = thread.join().expect("no panic");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "world\n");
    assert!(
        text(&output.stderr).contains("code Some(1001)"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_refusal_ends_with_1_and_what_to_do() {
    let server = Server::echo().expect("a server");
    server.behave(|behaviour| behaviour.refusal = Some(Refusal::status(401)));
    let url = format!("{}?token=secret", server.url());
    for (args, expected) in [
        (
            vec![url.as_str()],
            "Check the key or the token in the headers.",
        ),
        (
            vec!["https://a.example?token=secret"],
            "begin it with wss://",
        ),
        (vec![url.as_str(), "--header", "secret"], "a header must be"),
    ] {
        let output = run(&args, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains(expected) && !told.contains("secret"),
            "{told}"
        );
    }
}

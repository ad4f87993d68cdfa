//! `tickwire gateway` as a user meets it: the command, the URL, and the example of the documentation.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_sees_its_answer_stream_approves_the_order_and_sees_the_fill() {
    let has_node = Command::new("node")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !has_node {
        // The same dialogue is held in Rust in tools/gateway.
        return;
    }
    let mut gateway = Running(
        Command::new(env!("CARGO_BIN_EXE_tickwire"))
            .args(["gateway", "--port", "0", "--json", "--seconds", "120"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command"),
    );
    let mut line = String::new();
    let stdout = gateway.0.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let printed: Value = serde_json::from_str(&line).expect("JSON");
    let url = printed["url"].as_str().expect("a URL");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gateway/example.mjs");
    let node = |with: &[&str]| {
        let mut node = Command::new("node");
        node.args(with)
            .arg(example)
            .arg(url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        node
    };
    // Node knows WebSocket by itself from 22 on.
    let probe = Command::new("node")
        .args(["-p", "typeof WebSocket"])
        .output()
        .expect("node");
    let with: &[&str] = if String::from_utf8_lossy(&probe.stdout).contains("function") {
        &[]
    } else {
        &["--experimental-websocket"]
    };
    let mut client = Running(node(with).spawn().expect("node"));
    let mut out = String::new();
    let mut err = String::new();
    client
        .0
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut out)
        .expect("text");
    client
        .0
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut err)
        .expect("text");
    assert!(client.0.wait().expect("an end").success(), "{out}\n{err}");
    for words in [
        "step-start: look at the book",
        "approve: buy ",
        "approved by demo",
        "order filled: ",
    ] {
        assert!(out.contains(words), "{words} is not in:\n{out}\n{err}");
    }
}

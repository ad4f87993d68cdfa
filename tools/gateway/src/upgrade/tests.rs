use super::*;
use crate::auth::Grant;

const NOW: Nanos = Nanos::from_secs(1_000);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn doors() -> Doors {
    Doors {
        hosts: vec!["127.0.0.1:4096".to_owned()],
        origins: vec!["https://desk.example".to_owned()],
        secure: false,
    }
}

/// A good upgrade, with some lines in place of others.
fn request(target: &str, lines: &[&str]) -> String {
    let mut head = vec![
        "Host: 127.0.0.1:4096".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Connection: keep-alive, Upgrade".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
        format!("Sec-WebSocket-Key: {KEY}"),
    ];
    for line in lines {
        let name = line.split(':').next().unwrap_or_default();
        let drop = line.strip_prefix('-');
        head.retain(|old| !old.starts_with(drop.unwrap_or(name)));
        if drop.is_none() {
            head.push((*line).to_owned());
        }
    }
    format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", head.join("\r\n"))
}

fn status(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::More => 0,
        Verdict::Upgrade { .. } => 101,
        Verdict::Metrics => 200,
        Verdict::Reply { status, .. } => *status,
    }
}

fn with_token() -> (Auth, String) {
    let mut auth = Auth::default();
    let (token, _) = auth.issue(Grant::all("ann")).expect("randomness");
    (auth, token.expose().to_owned())
}

#[test]
fn a_token_is_taken_from_query_header_or_subprotocol_before_the_101() {
    let (mut auth, token) = with_token();
    let by_query = format!("/ws?x=1&token={token}");
    let by_header = format!("Authorization: Bearer {token}");
    let encoded = URL_SAFE_NO_PAD.encode(&token);
    let by_protocol = format!("Sec-WebSocket-Protocol: bearer.{encoded}, {SUBPROTOCOL}");
    let wrong = format!("Sec-WebSocket-Protocol: bearer.{SUBPROTOCOL}");
    let table = [
        (by_query.as_str(), "X-None: 1", 101),
        ("/ws", by_header.as_str(), 101),
        ("/ws", by_protocol.as_str(), 101),
        ("/ws", "X-None: 1", 401),
        ("/ws?token=", "X-None: 1", 401),
        ("/ws?token=tw_0_0", "X-None: 1", 401),
        ("/ws?ticket=0", "X-None: 1", 401),
        ("/ws", "Authorization: Basic eDp5", 401),
        ("/ws", wrong.as_str(), 401),
        // What a header shows counts, whatever the query says.
        (by_query.as_str(), "Authorization: Bearer tw_0_0", 401),
    ];
    for (target, line, expected) in table {
        let text = request(target, &[line]);
        let verdict = judge(text.as_bytes(), false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), expected, "{target} {line}");
        if let Verdict::Upgrade { response, used, .. } = verdict {
            assert_eq!(used, text.len());
            assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            assert!(!response.contains("bearer"));
        }
    }
}

#[test]
fn strangers_hosts_and_origins_are_refused_whatever_they_show() {
    let (mut auth, token) = with_token();
    let target = format!("/ws?token={token}");
    let table: [(&[&str], u16); 8] = [
        (&["Origin: https://desk.example"], 101),
        (&["Origin: http://127.0.0.1:4096"], 101),
        (&["Origin: https://evil.example"], 403),
        (&["Origin: null"], 403),
        (&["Host: evil.example"], 403),
        (&["Host: 127.0.0.1:4096\r\nHost: evil.example"], 400),
        (&["-Host"], 400),
        (
            &["Origin: https://desk.example\r\nOrigin: https://evil.example"],
            400,
        ),
    ];
    for (lines, expected) in table {
        let text = request(&target, lines);
        let verdict = judge(text.as_bytes(), false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), expected, "{lines:?}");
    }
}

#[test]
fn what_is_no_upgrade_gets_a_plain_answer() {
    let (mut auth, token) = with_token();
    let ws = format!("/ws?token={token}");
    let twice = format!("Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}");
    let table = [
        ("/healthz", "X-None: 1", 200),
        ("/metrics", "X-None: 1", 200),
        ("/", "X-None: 1", 404),
        ("/wss", "X-None: 1", 404),
        (ws.as_str(), "-Upgrade", 426),
        (ws.as_str(), "-Connection", 426),
        (ws.as_str(), "Sec-WebSocket-Version: 8", 426),
        (ws.as_str(), "-Sec-WebSocket-Key", 400),
        (ws.as_str(), "Sec-WebSocket-Key: short==", 400),
        (ws.as_str(), twice.as_str(), 400),
    ];
    for (target, line, expected) in table {
        let text = request(target, &[line]);
        let verdict = judge(text.as_bytes(), false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), expected, "{target} {line}");
    }
    for (bytes, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], 400),
        (b"GET /ws HTTP/2.0\r\n\r\n", 400),
        (b"GET /ws HTTP/1.0\r\nHost: 127.0.0.1:4096\r\n\r\n", 400),
        (
            b"DELETE /healthz HTTP/1.1\r\nHost: 127.0.0.1:4096\r\n\r\n",
            405,
        ),
    ] {
        let verdict = judge(bytes, false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), expected, "{bytes:?}");
    }
}

#[test]
fn every_beginning_of_a_request_waits_for_more_until_the_head_is_full() {
    let (mut auth, token) = with_token();
    let text = request(&format!("/ws?token={token}"), &[]);
    for end in 0..text.len() {
        let verdict = judge(&text.as_bytes()[..end], false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), 0, "{end} bytes");
    }
    let verdict = judge(&text.as_bytes()[..50], true, &doors(), &mut auth, NOW);
    assert_eq!(status(&verdict), 431);
}

#[test]
fn a_ticket_is_given_for_a_token_in_the_header_alone_and_lets_in_once() {
    let (mut auth, token) = with_token();
    let ask = |line: &str, target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1:4096\r\n{line}\r\n\r\n")
    };
    let by_query = ask("X-None: 1", &format!("/ticket?token={token}"));
    let verdict = judge(by_query.as_bytes(), false, &doors(), &mut auth, NOW);
    assert_eq!(status(&verdict), 401);
    let by_header = ask(&format!("Authorization: Bearer {token}"), "/ticket");
    let verdict = judge(by_header.as_bytes(), false, &doors(), &mut auth, NOW);
    let Verdict::Reply { response, .. } = verdict else {
        panic!("{verdict:?}");
    };
    let (_, body) = response.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["expiresInMs"], 30_000);
    let ticket = body["ticket"].as_str().expect("a ticket");
    for expected in [101, 401] {
        let text = request(&format!("/ws?ticket={ticket}"), &[]);
        let verdict = judge(text.as_bytes(), false, &doors(), &mut auth, NOW);
        assert_eq!(status(&verdict), expected);
    }
}

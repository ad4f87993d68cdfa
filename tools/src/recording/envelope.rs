//! Where the parts of one line stand.

use std::ops::Range;

use tickwire_connectors::Nanos;

use super::RecordKind;

/// Where the message of a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// In the line, byte for byte.
    InLine(Range<usize>),
    /// In the buffer for decoded ones.
    Decoded,
}

/// Where the parts of a line stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// `None` for a message without an envelope.
    pub(super) kind: Option<RecordKind>,
    pub(super) recv_ns: Option<Nanos>,
    pub(super) conn: Option<Range<usize>>,
    pub(super) url: Option<Range<usize>>,
    pub(super) payload: Payload,
}

impl Layout {
    fn bare(recv_ns: Option<Nanos>, payload: Range<usize>) -> Layout {
        Layout {
            kind: None,
            recv_ns,
            conn: None,
            url: None,
            payload: Payload::InLine(payload),
        }
    }
}

/// Reads a line that has no white space at its end.
pub(super) fn read(line: &[u8], decoded: &mut Vec<u8>) -> Result<Layout, &'static str> {
    let start = skip_space(line, 0);
    match line.get(start) {
        Some(b'{') => match read_object(line, start, decoded)? {
            Some(layout) => Ok(layout),
            None if line.ends_with(b"}") => Ok(Layout::bare(None, start..line.len())),
            None => Err("the line is cut: a JSON object must end with }"),
        },
        Some(b'[') if line.ends_with(b"]") => Ok(Layout::bare(None, start..line.len())),
        Some(b'[') => Err("the line is cut: a JSON array must end with ]"),
        Some(b'0'..=b'9') => read_timed(line, start),
        _ => Err("the line is neither a JSON object or array nor led by a receive time"),
    }
}

/// `<ns> <message>`
fn read_timed(line: &[u8], start: usize) -> Result<Layout, &'static str> {
    let end = number_end(line, start);
    let recv_ns = number(line, start..end).ok_or("the receive time is no number of nanoseconds")?;
    let message = skip_space(line, end);
    if message == end || message == line.len() {
        return Err("after the receive time a space and the message must follow");
    }
    match (line.get(message), line.last()) {
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => {}
        (Some(b'{' | b'['), _) => return Err("the message is cut: its JSON does not end"),
        _ => {}
    }
    Ok(Layout::bare(Some(recv_ns), message..line.len()))
}

/// The envelope, or `None` where the object is something else: a message. An envelope has `kind` and
/// `recv_ns`, and nothing but plain values before its last key, `msg`.
fn read_object(
    line: &[u8],
    start: usize,
    decoded: &mut Vec<u8>,
) -> Result<Option<Layout>, &'static str> {
    let (mut kind, mut recv_ns, mut conn, mut url) = (None, None, None, None);
    let mut message = None;
    let mut at = skip_space(line, start + 1);
    while line.get(at) == Some(&b'"') {
        let Some(key) = string(line, at) else { break };
        at = skip_space(line, key.end + 1);
        if line.get(at) != Some(&b':') {
            break;
        }
        at = skip_space(line, at + 1);
        if line.get(key.clone()) == Some(b"msg") {
            message = Some(at);
            break;
        }
        let value_end = match line.get(at) {
            Some(b'"') => {
                let Some(value) = string(line, at) else { break };
                let end = value.end + 1;
                match line.get(key) {
                    Some(b"kind") => kind = Some(kind_of(line.get(value).unwrap_or_default())),
                    Some(b"conn") => conn = Some(value),
                    Some(b"url") => url = Some(value),
                    _ => {}
                }
                end
            }
            Some(b'0'..=b'9' | b'-') => {
                let end = number_end(line, at);
                if line.get(key) == Some(b"recv_ns") {
                    recv_ns = number(line, at..end);
                }
                end
            }
            // null, true, false
            Some(b'a'..=b'z') => word_end(line, at),
            _ => break,
        };
        at = skip_space(line, value_end);
        if line.get(at) != Some(&b',') {
            break;
        }
        at = skip_space(line, at + 1);
    }
    let (Some(kind), Some(recv_ns)) = (kind, recv_ns) else {
        return Ok(None);
    };
    if !line.ends_with(b"}") {
        return Err("the line is cut: the envelope must end with }");
    }
    let payload = payload(line, message, decoded)?;
    Ok(Some(Layout {
        kind: Some(kind),
        recv_ns: Some(recv_ns),
        conn,
        url,
        payload,
    }))
}

fn payload(
    line: &[u8],
    message: Option<usize>,
    decoded: &mut Vec<u8>,
) -> Result<Payload, &'static str> {
    let close = line.len() - 1;
    let Some(start) = message else {
        return Ok(Payload::InLine(close..close));
    };
    let mut end = close;
    while end > start && line[end - 1].is_ascii_whitespace() {
        end -= 1;
    }
    let text = line.get(start..end).unwrap_or_default();
    match (text.first(), text.last()) {
        (Some(b'"'), Some(b'"')) => {
            let frame: String = serde_json::from_slice(text)
                .map_err(|_| "msg begins as a JSON string and is none")?;
            decoded.clear();
            decoded.extend_from_slice(frame.as_bytes());
            Ok(Payload::Decoded)
        }
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => Ok(Payload::InLine(start..end)),
        (None, _) => Err("the envelope has the key msg and nothing in it"),
        (Some(b'{' | b'[' | b'"'), _) => Err("the line is cut: the JSON in msg does not end"),
        _ => Ok(Payload::InLine(start..end)),
    }
}

fn kind_of(word: &[u8]) -> RecordKind {
    match word {
        b"recv" => RecordKind::Recv,
        b"send" => RecordKind::Send,
        b"connect" => RecordKind::Connect,
        b"http" => RecordKind::Http,
        _ => RecordKind::Other,
    }
}

fn skip_space(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// What stands between the quotes of the string that begins at `at`.
fn string(line: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 1;
    let mut end = start;
    loop {
        match line.get(end)? {
            b'"' => return Some(start..end),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

fn word_end(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(u8::is_ascii_lowercase) {
        at += 1;
    }
    at
}

fn number_end(line: &[u8], mut at: usize) -> usize {
    while matches!(
        line.get(at),
        Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
    ) {
        at += 1;
    }
    at
}

fn number(line: &[u8], range: Range<usize>) -> Option<Nanos> {
    let text = std::str::from_utf8(line.get(range)?).ok()?;
    text.parse().ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload_of(line: &str) -> Result<(Option<RecordKind>, Option<i64>, String), &'static str> {
        let mut decoded = Vec::new();
        let layout = read(line.as_bytes(), &mut decoded)?;
        let payload = match layout.payload {
            Payload::InLine(range) => line[range].to_owned(),
            Payload::Decoded => String::from_utf8_lossy(&decoded).into_owned(),
        };
        Ok((layout.kind, layout.recv_ns.map(|ns| ns.0), payload))
    }

    #[test]
    fn every_form_of_line_gives_its_message_byte_for_byte() {
        use RecordKind::*;
        let table = [
            (
                r#"{"kind":"recv","recv_ns":5,"msg":{"a": [1] }}"#,
                (Some(Recv), Some(5), r#"{"a": [1] }"#),
            ),
            (
                r#"{ "recv_ns": 5, "kind": "http", "n": -1.5e3, "msg": [1] }"#,
                (Some(Http), Some(5), "[1]"),
            ),
            (
                r#"{"kind":"recv","recv_ns":5,"msg":"po\"ng"}"#,
                (Some(Recv), Some(5), "po\"ng"),
            ),
            (
                r#"{"kind":"recv","recv_ns":5,"conn":"a\"b","msg":{"msg":1}}"#,
                (Some(Recv), Some(5), r#"{"msg":1}"#),
            ),
            (
                r#"{"kind":"recv","conn":null,"recv_ns":5,"msg":{}}"#,
                (Some(Recv), Some(5), "{}"),
            ),
            (
                r#"{"kind":"connect","recv_ns":5,"url":"wss://a"}"#,
                (Some(Connect), Some(5), ""),
            ),
            (
                r#"{"kind":"later","recv_ns":5}"#,
                (Some(Other), Some(5), ""),
            ),
            (
                r#"{"kind":"x","msg":{}}"#,
                (None, None, r#"{"kind":"x","msg":{}}"#),
            ),
            (r#"{"e":"trade"}"#, (None, None, r#"{"e":"trade"}"#)),
            ("[{}]", (None, None, "[{}]")),
            (r#"17 {"e":1}"#, (None, Some(17), r#"{"e":1}"#)),
            ("17\tpong", (None, Some(17), "pong")),
        ];
        for (line, (kind, recv_ns, message)) in table {
            assert_eq!(
                payload_of(line),
                Ok((kind, recv_ns, message.to_owned())),
                "{line}"
            );
        }
    }

    #[test]
    fn corrupt_lines_are_refused() {
        for line in [
            r#"{"e":"trade""#,
            r#"{"kind":"recv","recv_ns":5,"msg":{"a":1}"#,
            r#"{"kind":"recv","recv_ns":5,"msg":}"#,
            r#"{"kind":"recv","recv_ns":5,"msg":"x}"#,
            "[1",
            "17",
            "17 {",
            "99999999999999999999 {}",
            "hello",
        ] {
            assert!(payload_of(line).is_err(), "{line}: {:?}", payload_of(line));
        }
    }
}

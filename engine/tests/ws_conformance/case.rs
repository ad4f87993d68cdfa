//! What a row of the table is made of, and its words.

use std::borrow::Cow;
use std::fmt;

/// A payload: a pattern, repeated and cut at a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Octets {
    pattern: Cow<'static, [u8]>,
    len: usize,
}

impl Octets {
    /// `pattern` over and over, up to `len` octets.
    pub(crate) fn repeat(pattern: &'static [u8], len: usize) -> Self {
        let pattern = Cow::Borrowed(pattern);
        Self { pattern, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut octets = self
            .pattern
            .repeat(self.len.div_ceil(self.pattern.len().max(1)));
        octets.truncate(self.len);
        octets
    }
}

impl From<Vec<u8>> for Octets {
    fn from(octets: Vec<u8>) -> Self {
        let len = octets.len();
        let pattern = Cow::Owned(octets);
        Self { pattern, len }
    }
}

impl From<&'static [u8]> for Octets {
    fn from(octets: &'static [u8]) -> Self {
        Self::repeat(octets, octets.len())
    }
}

impl From<&'static str> for Octets {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_word = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        match self.len {
            0 => write!(f, "empty"),
            len if len > 40 => write!(f, "of {len} octets"),
            _ if self.pattern.iter().all(is_word) => {
                write!(f, "`{}`", String::from_utf8_lossy(&self.to_vec()))
            }
            _ => {
                let hex: String = self
                    .to_vec()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                write!(f, "0x{hex}")
            }
        }
    }
}

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One frame of the server, legal or not.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    opcode: u8,
    fin: bool,
    rsv: u8,
    payload: Octets,
}

pub(crate) fn frame(opcode: u8, payload: impl Into<Octets>) -> Sent {
    let payload = payload.into();
    Sent {
        opcode,
        fin: true,
        rsv: 0,
        payload,
    }
}

impl Sent {
    /// Without FIN.
    pub(crate) fn more(self) -> Self {
        Self { fin: false, ..self }
    }

    pub(crate) fn rsv(self, rsv: u8) -> Self {
        Self { rsv, ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut octets = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.payload.len() {
            len @ 0..=125 => octets.push(len as u8),
            len @ 126..=0xFFFF => {
                octets.push(126);
                octets.extend((len as u16).to_be_bytes());
            }
            len => {
                octets.push(127);
                octets.extend((len as u64).to_be_bytes());
            }
        }
        octets.extend(self.payload.to_vec());
        octets
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opcode {
            CONTINUATION => write!(f, "continuation")?,
            TEXT => write!(f, "text")?,
            BINARY => write!(f, "binary")?,
            CLOSE => write!(f, "close")?,
            PING => write!(f, "ping")?,
            PONG => write!(f, "pong")?,
            other => write!(f, "opcode {other}")?,
        }
        match (self.opcode, &*self.payload.to_vec()) {
            (CLOSE, [high, low]) => write!(f, " {}", u16::from_be_bytes([*high, *low]))?,
            (CLOSE, [high, low, ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                write!(f, " {code} with a reason of {}", self.payload.len() - 2)?;
            }
            _ => write!(f, " {}", self.payload)?,
        }
        if !self.fin {
            write!(f, " (no FIN)")?;
        }
        if self.rsv != 0 {
            write!(f, " (RSV {})", self.rsv)?;
        }
        Ok(())
    }
}

/// A step of the server.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Frame(Sent),
    /// A message in fragments of this size.
    Fragments(u8, Octets, usize),
    /// Octets that are no whole frame, and their name.
    Raw(Cow<'static, [u8]>, &'static str),
    /// It waits: so many answers have come and the connection lives.
    Still(usize),
    /// A message, so many times, each after the echo of the one before.
    RoundTrips(Sent, usize),
}

impl From<Sent> for Part {
    fn from(sent: Sent) -> Self {
        Self::Frame(sent)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(sent) => write!(f, "{sent}"),
            Self::Fragments(opcode, payload, size) => {
                let sent = frame(*opcode, payload.clone());
                write!(f, "{sent} in fragments of {size}")
            }
            Self::Raw(_, name) => write!(f, "{name}"),
            Self::Still(_) => write!(f, "wait"),
            Self::RoundTrips(sent, count) => write!(f, "{count} × {sent}, one by one"),
        }
    }
}

/// How the server's octets are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chop {
    /// All that is sent up to a wait in one piece.
    Together,
    /// Each frame by itself.
    Frames,
    /// In pieces of so many octets.
    Octets(usize),
}

/// A frame of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    Text(Octets),
    Binary(Octets),
    Pong(Octets),
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(payload) => write!(f, "text {payload}"),
            Self::Binary(payload) => write!(f, "binary {payload}"),
            Self::Pong(payload) => write!(f, "pong {payload}"),
        }
    }
}

/// How a case ends; always with a close frame of ours, and nothing behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server's close frame is answered with its own code.
    Clean(Option<u16>),
    /// We fail the connection with this code (§7.1.7), by the end of what the server sends.
    Fails(u16),
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    /// Of RFC 6455.
    pub(crate) section: &'static str,
    pub(crate) script: Vec<Part>,
    pub(crate) chop: Chop,
    pub(crate) back: Vec<Back>,
    pub(crate) end: End,
}

/// A row that ends with the server's close 1000, unless [`Case::end`] or [`Case::fails`] say
/// otherwise.
pub(crate) fn case(id: impl Into<String>, section: &'static str) -> Case {
    Case {
        id: id.into(),
        section,
        script: Vec::new(),
        chop: Chop::Together,
        back: Vec::new(),
        end: End::Clean(Some(1000)),
    }
}

impl Case {
    pub(crate) fn part(mut self, part: impl Into<Part>) -> Self {
        self.script.push(part.into());
        self
    }

    pub(crate) fn parts(mut self, parts: impl IntoIterator<Item = Sent>) -> Self {
        self.script.extend(parts.into_iter().map(Part::Frame));
        self
    }

    pub(crate) fn chop(self, chop: Chop) -> Self {
        Self { chop, ..self }
    }

    pub(crate) fn back(mut self, back: impl IntoIterator<Item = Back>) -> Self {
        self.back.extend(back);
        self
    }

    pub(crate) fn text(self, payload: impl Into<Octets>) -> Self {
        self.back([Back::Text(payload.into())])
    }

    pub(crate) fn pong(self, payload: impl Into<Octets>) -> Self {
        self.back([Back::Pong(payload.into())])
    }

    /// The script has its own close frame, with this code.
    pub(crate) fn end(self, code: Option<u16>) -> Self {
        let end = End::Clean(code);
        Self { end, ..self }
    }

    /// The server closes with 1000 when everything else has come back.
    pub(crate) fn closes(self) -> Self {
        self.part(close(1000))
    }

    pub(crate) fn fails(self, code: u16) -> Self {
        let end = End::Fails(code);
        Self { end, ..self }
    }

    /// What the server sends, in words.
    pub(crate) fn sent(&self) -> String {
        let mut words = join(self.script.iter().map(ToString::to_string));
        match self.chop {
            Chop::Together => {}
            Chop::Frames => words.push_str("; frame by frame"),
            Chop::Octets(size) => words.push_str(&format!("; {size} octets at a time")),
        }
        words
    }

    /// What must come back, in words.
    pub(crate) fn expected(&self) -> String {
        let end = match self.end {
            End::Clean(Some(code)) => format!("close {code}"),
            End::Clean(None) => "close empty".to_owned(),
            End::Fails(code) => format!("**fails {code}**"),
        };
        join(self.back.iter().map(ToString::to_string).chain([end]))
    }
}

/// A close frame with a code.
pub(crate) fn close(code: u16) -> Sent {
    close_because(code, b"")
}

/// A close frame with a code and a reason.
pub(crate) fn close_because(code: u16, reason: &[u8]) -> Sent {
    frame(CLOSE, [&code.to_be_bytes(), reason].concat())
}

/// Joins with commas; the same many times in a row is counted.
fn join(words: impl IntoIterator<Item = String>) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for word in words {
        match runs.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => runs.push((word, 1)),
        }
    }
    let runs = runs.into_iter().map(|(word, count)| match count {
        1 => word,
        _ => format!("{count} × {word}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

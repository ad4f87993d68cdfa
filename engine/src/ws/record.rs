//! Writes what a client sends and receives to a file, in the envelope that `tickwire replay` reads. A
//! thread of its own writes; the loop never waits for it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tickwire_connectors::Nanos;

/// Lines that may wait for the disk; what comes beyond is not recorded, counted. At a thousand messages
/// a second the disk may pause for eight seconds.
const LINES_MAX: usize = 8_192;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Received,
    Sent,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    lines: SyncSender<String>,
    url: String,
    connection: u64,
}

impl Recorder {
    /// Opens the file, to add to it, and starts the thread, which ends when the recorder is dropped and
    /// all is written. `url` is as it may be shown.
    pub(crate) fn open(path: &Path, url: String) -> io::Result<(Recorder, JoinHandle<()>)> {
        let file = File::options().create(true).append(true).open(path)?;
        let (lines, taken) = sync_channel(LINES_MAX);
        let writer = std::thread::Builder::new()
            .name("tickwire-record".to_owned())
            .spawn(move || write(file, &taken))?;
        let recorder = Recorder {
            lines,
            url,
            connection: 0,
        };
        Ok((recorder, writer))
    }

    /// A new connection. False where the line is lost.
    pub(crate) fn connected(&mut self, now: Nanos) -> bool {
        self.connection += 1;
        let url = serde_json::Value::from(&*self.url);
        let (at, conn) = (now.0, self.connection);
        self.add(format!(
            r#"{{"kind":"connect","recv_ns":{at},"conn":"{conn}","url":{url}}}"#
        ))
    }

    pub(crate) fn text(
        &mut self,
        now: Nanos,
        direction: Direction,
        text: &str,
        is_json: bool,
    ) -> bool {
        let kind = match direction {
            Direction::Received => "recv",
            Direction::Sent => "send",
        };
        // JSON over several lines is one line here: as a string.
        let is_line = is_json && !text.contains(['\n', '\r']);
        let message = if is_line {
            text.to_owned()
        } else {
            serde_json::Value::from(text).to_string()
        };
        let (at, conn) = (now.0, self.connection);
        self.add(format!(
            r#"{{"kind":"{kind}","recv_ns":{at},"conn":"{conn}","msg":{message}}}"#
        ))
    }

    /// In hexadecimal, under kinds of their own, which readers of text pass over.
    pub(crate) fn binary(&mut self, now: Nanos, direction: Direction, bytes: &[u8]) -> bool {
        let kind = match direction {
            Direction::Received => "recv_binary",
            Direction::Sent => "send_binary",
        };
        let (at, conn) = (now.0, self.connection);
        let mut line = format!(r#"{{"kind":"{kind}","recv_ns":{at},"conn":"{conn}","msg":""#);
        for byte in bytes {
            line.push_str(&format!("{byte:02x}"));
        }
        line.push_str("\"}");
        self.add(line)
    }

    fn add(&mut self, line: String) -> bool {
        self.lines.try_send(line).is_ok()
    }
}

fn write(file: File, lines: &Receiver<String>) {
    let mut out = BufWriter::new(file);
    let mut put = |line: String| -> io::Result<()> {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
        for line in lines.try_iter() {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
        }
        // All that waited is written: now it is on its way to the disk.
        out.flush()
    };
    while let Ok(line) = lines.recv() {
        if let Err(error) = put(line) {
            tracing::error!(%error, "the recording can't be written and ends here");
            return;
        }
    }
}

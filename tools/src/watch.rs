//! A live engine's events, line by line.

use std::collections::HashMap;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use tickwire::ring;
use tickwire::{Handle, LinkNoticeKind, StreamId, WideBody};
use tickwire_connectors::outbox::Item;

use crate::output::{Format, StreamInfo};
use crate::stopwatch::Stopwatch;

/// When to end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// After this time.
    pub time: Option<Duration>,
    /// After so many events.
    pub events: Option<u64>,
}

/// How long to sleep while nothing comes.
const PAUSE: Duration = Duration::from_millis(2);

/// Events between two looks at the limits: a stream that never pauses must not outrun them.
const BATCH_MAX: usize = 1_024;

/// What came of watching.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Events printed.
    pub events: u64,
    /// Whether any link ever came up.
    pub connected: bool,
    /// Why a link went down last.
    pub last_down: Option<String>,
}

/// Prints what the first strategy of the engine (a bare pair of rings) receives, until the limit is
/// reached, `interrupted` says so or the engine ends. Links that come and go are told on stderr.
pub fn run(
    handle: &mut Handle,
    limit: &Limit,
    interrupted: &dyn Fn() -> bool,
    format: &mut dyn Format,
    out: &mut dyn Write,
) -> io::Result<Watched> {
    let pair = handle
        .strategy("watch")
        .and_then(|strategy| handle.take_pair(strategy));
    let Some((mut ring, _)) = pair else {
        return Err(io::Error::other(
            "the engine has no pair of rings named \"watch\"",
        ));
    };
    let mut infos: HashMap<StreamId, StreamInfo> = HashMap::new();
    let (started, mut watched) = (Stopwatch::start(), Watched::default());
    loop {
        tell_links(handle, &mut watched)?;
        let mut idle = true;
        for _ in 0..BATCH_MAX {
            let Some(item) = ring.pop() else { break };
            idle = false;
            let (stream, item) = match &item {
                ring::Item::Hot(event) => (event.stream(), Item::Hot(event)),
                ring::Item::Wide(wide) => (wide.stream, Item::Wide(wide)),
            };
            if !infos.contains_key(&stream)
                && let Some(known) = handle.stream(stream)
            {
                let key = known.key;
                let info = StreamInfo::new(key.venue, key.market, key.symbol, key.channel);
                infos.insert(stream, info);
            }
            let Some(info) = infos.get_mut(&stream) else {
                continue;
            };
            if let Item::Wide(wide) = item
                && let WideBody::Instrument(instrument) = &wide.body
            {
                info.learn(instrument);
            }
            format.item(out, info, item)?;
            watched.events += 1;
            if limit.events.is_some_and(|limit| watched.events >= limit) {
                return out.flush().map(|()| watched);
            }
        }
        if idle {
            out.flush()?;
            thread::park_timeout(PAUSE);
        }
        let late = limit.time.is_some_and(|limit| started.elapsed() >= limit);
        if late || interrupted() || (idle && ring.producer_gone()) {
            return out.flush().map(|()| watched);
        }
    }
}

fn tell_links(handle: &Handle, watched: &mut Watched) -> io::Result<()> {
    while let Some(notice) = handle.next_notice() {
        let mut err = io::stderr().lock();
        let (venue, market, link) = (notice.venue, notice.market, notice.link.0);
        match notice.kind {
            LinkNoticeKind::Connected { took_ns, .. } => {
                watched.connected = true;
                let millis = took_ns.as_millis();
                writeln!(
                    err,
                    "{venue} {market} link {link}: connected in {millis} ms"
                )?;
            }
            LinkNoticeKind::Disconnected {
                reason,
                retry_in_ns,
            } => {
                write!(err, "{venue} {market} link {link}: {reason}")?;
                watched.last_down = Some(reason.to_string());
                match retry_in_ns {
                    Some(wait) => writeln!(err, "; next try in {} ms", wait.as_millis())?,
                    None => writeln!(err)?,
                }
            }
            LinkNoticeKind::Held { why, retry_in_ns } => {
                let millis = retry_in_ns.as_millis();
                writeln!(
                    err,
                    "{venue} {market} link {link}: waits, {why}; next try in {millis} ms"
                )?;
            }
        }
    }
    Ok(())
}

//! Channels: each an epoch and a log of numbered events, written once and read by many at their own
//! pace. A reader is a cursor; what it has not read costs no memory of its own.

mod merge;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use tungstenite::Utf8Bytes;

use crate::protocol::{BookDelta, Channel, Class, EventData, Position};

/// A channel by its number in the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChannelId(u32);

/// What one reader is to get next of a channel.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// This frame; then its cursor is at `offset`, and there may be more.
    Frame { frame: Utf8Bytes, offset: u64 },
    /// It has all.
    Done,
    /// What it needs is not kept any more.
    Behind,
}

#[derive(Debug)]
struct Entry {
    frame: Utf8Bytes,
    /// Bytes of the channel's events up to this one.
    total_bytes: u64,
    /// Of a book delta, for merging.
    delta: Option<Arc<BookDelta>>,
}

#[derive(Debug)]
struct Log {
    name: String,
    class: Class,
    epoch: String,
    /// Number of the last event.
    head: u64,
    entries: VecDeque<Entry>,
    total_bytes: u64,
    readers: Vec<usize>,
}

impl Log {
    /// Number of the oldest event that is kept; above the head where none is.
    fn first(&self) -> u64 {
        self.head + 1 - self.entries.len() as u64
    }

    fn entry(&self, offset: u64) -> Option<&Entry> {
        let index = offset.checked_sub(self.first())?;
        self.entries.get(usize::try_from(index).ok()?)
    }
}

/// How much of each log is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) merge_after: u64,
}

/// All channels.
#[derive(Debug)]
pub(crate) struct Hub {
    logs: Vec<Option<Log>>,
    free: Vec<u32>,
    by_name: HashMap<String, ChannelId>,
    keep: Keep,
    /// Events that were merged into others for readers who were behind.
    pub(crate) merged: u64,
    pub(crate) published: u64,
}

#[derive(Serialize)]
struct EventFrame<'a, D> {
    #[serde(rename = "type")]
    kind: &'static str,
    channel: &'a str,
    event: &'a str,
    data: D,
    epoch: &'a str,
    offset: u64,
}

/// The text of an event.
pub(crate) fn event_frame(
    channel: &str,
    event: &str,
    data: &impl Serialize,
    epoch: &str,
    offset: u64,
) -> Utf8Bytes {
    let frame = EventFrame {
        kind: "event",
        channel,
        event,
        data,
        epoch,
        offset,
    };
    // Our own types have text keys and plain numbers: they can always be written.
    serde_json::to_string(&frame).unwrap_or_default().into()
}

impl Hub {
    pub(crate) fn new(keep: Keep) -> Hub {
        Hub {
            logs: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            keep,
            merged: 0,
            published: 0,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<ChannelId> {
        self.by_name.get(name).copied()
    }

    /// Opens a channel at a position, with the frames that lead up to it (newest last).
    pub(crate) fn open(
        &mut self,
        channel: &Channel,
        at: Position,
        kept: impl IntoIterator<Item = Utf8Bytes>,
    ) -> ChannelId {
        let name = channel.to_string();
        if let Some(id) = self.find(&name) {
            return id;
        }
        let mut log = Log {
            name: name.clone(),
            class: channel.class(),
            epoch: at.epoch,
            head: at.offset,
            entries: VecDeque::new(),
            total_bytes: 0,
            readers: Vec::new(),
        };
        for frame in kept {
            log.total_bytes += frame.len() as u64;
            let total_bytes = log.total_bytes;
            log.entries.push_back(Entry {
                frame,
                total_bytes,
                delta: None,
            });
        }
        let id = match self.free.pop() {
            Some(index) => ChannelId(index),
            None => {
                self.logs.push(None);
                ChannelId(self.logs.len() as u32 - 1)
            }
        };
        if let Some(slot) = self.logs.get_mut(id.0 as usize) {
            *slot = Some(log);
        }
        self.by_name.insert(name, id);
        id
    }

    /// Forgets a channel that nobody reads.
    pub(crate) fn close(&mut self, id: ChannelId) {
        if let Some(slot) = self.logs.get_mut(id.0 as usize)
            && slot.as_ref().is_some_and(|log| log.readers.is_empty())
            && let Some(log) = slot.take()
        {
            self.by_name.remove(&log.name);
            self.free.push(id.0);
        }
    }

    fn log(&self, id: ChannelId) -> Option<&Log> {
        self.logs.get(id.0 as usize)?.as_ref()
    }

    fn log_mut(&mut self, id: ChannelId) -> Option<&mut Log> {
        self.logs.get_mut(id.0 as usize)?.as_mut()
    }

    /// Channels that are open.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Bytes of all events that are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.logs.iter().flatten().map(kept_bytes).sum()
    }

    pub(crate) fn position(&self, id: ChannelId) -> Option<Position> {
        self.log(id).map(|log| Position {
            epoch: log.epoch.clone(),
            offset: log.head,
        })
    }

    /// Writes an event, once for all its readers.
    pub(crate) fn publish(&mut self, id: ChannelId, data: &EventData) {
        let keep = self.keep;
        self.published += 1;
        let Some(log) = self.log_mut(id) else { return };
        log.head += 1;
        let numbered;
        let data = if let EventData::BookDelta(delta) = data {
            numbered = EventData::BookDelta(BookDelta {
                from: log.head,
                to: log.head,
                ..delta.clone()
            });
            &numbered
        } else {
            data
        };
        let frame = event_frame(&log.name, data.name(), data, &log.epoch, log.head);
        log.total_bytes += frame.len() as u64;
        let delta = match data {
            EventData::BookDelta(delta) => Some(Arc::new(delta.clone())),
            _ => None,
        };
        log.entries.push_back(Entry {
            frame,
            total_bytes: log.total_bytes,
            delta,
        });
        while log.entries.len() > keep.events_max
            || (log.entries.len() > 1 && kept_bytes(log) > keep.bytes_max as u64)
        {
            log.entries.pop_front();
        }
    }

    /// The frame of the last event.
    pub(crate) fn newest(&self, id: ChannelId) -> Option<Utf8Bytes> {
        let entry = self.log(id)?.entries.back()?;
        Some(entry.frame.clone())
    }

    /// Whether a reader at `since` can be given exactly what it missed.
    pub(crate) fn recovers(&self, id: ChannelId, since: &Position) -> bool {
        self.log(id).is_some_and(|log| {
            since.epoch == log.epoch && since.offset <= log.head && since.offset + 1 >= log.first()
        })
    }

    pub(crate) fn readers(&self, id: ChannelId) -> &[usize] {
        self.log(id).map_or(&[], |log| &log.readers)
    }

    pub(crate) fn attach(&mut self, id: ChannelId, reader: usize) {
        if let Some(log) = self.log_mut(id)
            && !log.readers.contains(&reader)
        {
            log.readers.push(reader);
        }
    }

    pub(crate) fn detach(&mut self, id: ChannelId, reader: usize) {
        if let Some(log) = self.log_mut(id)
            && let Some(place) = log.readers.iter().position(|other| *other == reader)
        {
            log.readers.swap_remove(place);
        }
    }

    /// Bytes of a log that a reader has not been sent.
    pub(crate) fn lag_bytes(&self, id: ChannelId, sent: u64) -> u64 {
        let Some(log) = self.log(id) else { return 0 };
        if log.class != Class::Log || sent >= log.head {
            return 0;
        }
        match log.entry(sent) {
            Some(entry) => log.total_bytes - entry.total_bytes,
            None => kept_bytes(log),
        }
    }

    /// What comes behind `sent` for one reader, by the class of the channel. `snapshot` is the state of a
    /// keyed channel, for a reader whose events are not kept any more.
    pub(crate) fn next(
        &mut self,
        id: ChannelId,
        sent: u64,
        snapshot: impl FnOnce() -> Option<EventData>,
    ) -> Next {
        let merge_after = self.keep.merge_after;
        let Some(log) = self.log(id) else {
            return Next::Done;
        };
        if sent >= log.head {
            return Next::Done;
        }
        let kept = sent + 1 >= log.first();
        let take = |offset: u64| match log.entry(offset) {
            Some(entry) => Next::Frame {
                frame: entry.frame.clone(),
                offset,
            },
            None => Next::Behind,
        };
        match log.class {
            Class::Value => take(log.head),
            Class::Log if kept => take(sent + 1),
            Class::Log => Next::Behind,
            Class::Keyed if kept && log.head - sent <= merge_after => take(sent + 1),
            Class::Keyed if kept => {
                let (frame, offset) = merge::merged(log, sent);
                self.merged += offset.saturating_sub(sent + 1);
                Next::Frame { frame, offset }
            }
            Class::Keyed => match snapshot() {
                Some(state) => Next::Frame {
                    frame: event_frame(&log.name, state.name(), &state, &log.epoch, log.head),
                    offset: log.head,
                },
                None => Next::Behind,
            },
        }
    }
}

fn kept_bytes(log: &Log) -> u64 {
    let before = log.entries.front().map_or(log.total_bytes, |entry| {
        entry.total_bytes - entry.frame.len() as u64
    });
    log.total_bytes - before
}

#[cfg(test)]
mod tests;

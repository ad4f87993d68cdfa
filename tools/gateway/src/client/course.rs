//! Where each channel is: what is new, what came before, and what a snapshot has made old.
//!
//! Answers and events come to the program by two ways, and an answer may be there before events that were
//! sent earlier, on the connection before. Positions put them in order: nothing depends on which way was the
//! quicker.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;

use super::{Connected, Told};
use crate::protocol::{Position, Subscribed};

/// Something that happened in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The channel.
    pub channel: String,
    /// The event's name, one of [`EVENTS`](crate::protocol::EVENTS).
    pub name: String,
    /// What it says; its type stands in [`EventData`](crate::protocol::EventData).
    pub data: Value,
    /// Where the channel is with it.
    pub position: Position,
}

/// A channel is told from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The channel.
    pub channel: String,
    /// Where it is.
    pub position: Position,
    /// Whether exactly what was missed follows. Otherwise start anew, from the snapshot.
    pub recovered: bool,
    /// The channel's state at this position, where it has one and was not recovered.
    pub snapshot: Option<Value>,
}

/// The first frame of a connection, or an event; `None` for everything else.
pub(super) fn read_event(text: &str) -> Option<Result<Box<Connected>, Event>> {
    #[derive(Deserialize)]
    struct Frame {
        #[serde(rename = "type")]
        kind: String,
        channel: String,
        event: String,
        data: Value,
        #[serde(default)]
        epoch: String,
        #[serde(default)]
        offset: u64,
    }
    let frame: Frame = serde_json::from_str(text).ok()?;
    if frame.kind != "event" {
        return None;
    }
    if frame.event == "connected" {
        return serde_json::from_value(frame.data)
            .ok()
            .map(|it| Ok(Box::new(it)));
    }
    Some(Err(Event {
        channel: frame.channel,
        name: frame.event,
        data: frame.data,
        position: Position {
            epoch: frame.epoch,
            offset: frame.offset,
        },
    }))
}

/// What is known of one channel.
#[derive(Debug, Default)]
struct Place {
    /// The last that the program was told.
    position: Option<Position>,
    /// An answer that it has not been told yet.
    joined: Option<Joined>,
}

/// All channels that are wanted.
#[derive(Debug, Default)]
pub(super) struct Course {
    places: BTreeMap<String, Place>,
    ready: VecDeque<Told>,
}

impl Course {
    /// These channels are to be told.
    pub(super) fn want(&mut self, channels: &[String]) {
        for channel in channels {
            self.places.entry(channel.clone()).or_default();
        }
    }

    /// These are not any more.
    pub(super) fn forget<'a>(&mut self, channels: impl Iterator<Item = &'a String>) {
        for channel in channels {
            self.places.remove(channel);
        }
    }

    /// From where a channel is to be told.
    pub(super) fn position(&self, channel: &str) -> Option<&Position> {
        self.places.get(channel)?.position.as_ref()
    }

    /// The gateway's answer for one channel.
    pub(super) fn join(&mut self, told: Subscribed) {
        let Some(place) = self.places.get_mut(&told.channel) else {
            return;
        };
        place.joined = Some(Joined {
            channel: told.channel,
            position: Position {
                epoch: told.epoch.unwrap_or_default(),
                offset: told.offset.unwrap_or_default(),
            },
            recovered: told.recovered.unwrap_or_default(),
            snapshot: told.snapshot,
        });
    }

    /// An event has come.
    pub(super) fn hear(&mut self, event: Event) {
        let Some(place) = self.places.get_mut(&event.channel) else {
            return;
        };
        let at = &event.position;
        if let Some(joined) = &place.joined {
            let state = &joined.position;
            // Of the connection before it is what goes on from the last position; what goes on from the
            // answer, or is of neither, came behind it.
            let is_older = place.position.as_ref().is_some_and(|last| {
                last.epoch == at.epoch && !(state.epoch == at.epoch && at.offset > state.offset)
            });
            if !is_older {
                self.ready.extend(place.take_joined().map(Told::Joined));
            }
        }
        let is_news = place
            .position
            .as_ref()
            .is_none_or(|last| last.epoch != at.epoch || at.offset > last.offset);
        if is_news {
            place.position = Some(at.clone());
            self.ready.push_back(Told::Event(event));
        }
    }

    /// What is to be told next.
    pub(super) fn next(&mut self) -> Option<Told> {
        self.ready.pop_front()
    }

    /// An answer that no event has brought forth, once all events before it were heard.
    pub(super) fn next_joined(&mut self) -> Option<Joined> {
        self.places.values_mut().find_map(Place::take_joined)
    }
}

impl Place {
    fn take_joined(&mut self) -> Option<Joined> {
        let joined = self.joined.take()?;
        // A recovered channel goes on from the position that was given, which may be behind by now.
        if !joined.recovered || self.position.is_none() {
            self.position = Some(joined.position.clone());
        }
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(epoch: &str, offset: u64) -> Event {
        Event {
            channel: "c".to_owned(),
            name: "trade".to_owned(),
            data: Value::Null,
            position: Position {
                epoch: epoch.to_owned(),
                offset,
            },
        }
    }

    fn answer(epoch: &str, offset: u64, recovered: bool) -> Subscribed {
        Subscribed {
            channel: "c".to_owned(),
            epoch: Some(epoch.to_owned()),
            offset: Some(offset),
            recovered: Some(recovered),
            snapshot: None,
            error: None,
        }
    }

    /// Answers (`+` recovered, `*` not) and events in the order in which they come; `.` where nothing waits.
    fn told(inputs: &str) -> String {
        let mut course = Course::default();
        course.want(&["c".to_owned()]);
        let mut all = Vec::new();
        for input in inputs.split(' ') {
            let (kind, at) = input.split_at(1);
            let (epoch, offset) = at.split_at(at.len().min(1));
            let offset = offset.parse().unwrap_or(0);
            match kind {
                "+" => course.join(answer(epoch, offset, true)),
                "*" => course.join(answer(epoch, offset, false)),
                "-" => course.hear(event(epoch, offset)),
                _ => course.ready.extend(
                    course
                        .places
                        .values_mut()
                        .find_map(|place| place.take_joined().map(Told::Joined)),
                ),
            }
            while let Some(told) = course.next() {
                all.push(match told {
                    Told::Joined(joined) => {
                        let kind = if joined.recovered { '+' } else { '*' };
                        format!("{kind}{}{}", joined.position.epoch, joined.position.offset)
                    }
                    Told::Event(event) => {
                        format!("-{}{}", event.position.epoch, event.position.offset)
                    }
                    other => format!("{other:?}"),
                });
            }
        }
        all.join(" ")
    }

    #[test]
    fn whichever_way_is_quicker_the_order_is_the_channels() {
        let table = [
            // The first answer, with events behind it, or with none.
            ("*a3 -a4 -a5", "*a3 -a4 -a5"),
            ("*a3 .", "*a3"),
            // Recovered: what was missed, and what was already here, once.
            ("*a3 -a4 +a4 -a5 -a6 .", "*a3 -a4 +a4 -a5 -a6"),
            // The answer overtakes events of the connection before.
            ("*a3 -a4 +a3 -a4 -a5 .", "*a3 -a4 +a3 -a5"),
            ("*a3 . *a9 -a4 -a5 -a10", "*a3 -a4 -a5 *a9 -a10"),
            ("*a3 . *b7 -a4 -b8", "*a3 -a4 *b7 -b8"),
            ("*a3 . *b7 -a4 .", "*a3 -a4 *b7"),
            // Another epoch while the answer waits: it came behind it.
            ("*a3 . *b7 -c1", "*a3 *b7 -c1"),
            // A channel that begins anew by itself, and nothing twice.
            ("*a3 -a4 -b1 -b1 -b2", "*a3 -a4 -b1 -b2"),
        ];
        for (inputs, want) in table {
            assert_eq!(told(inputs), want, "{inputs}");
        }
    }

    #[test]
    fn channels_that_are_not_wanted_are_not_told() {
        let mut course = Course::default();
        course.hear(event("a", 1));
        course.join(answer("a", 1, false));
        course.want(&["c".to_owned()]);
        course.forget(["c".to_owned()].iter());
        course.hear(event("a", 2));
        assert_eq!((course.next(), course.next_joined()), (None, None));
    }

    #[test]
    fn frames_that_are_no_events_are_passed_over() {
        for text in ["", "[]", r#"{"type":"pong"}"#, r#"{"type":"event"}"#] {
            assert!(read_event(text).is_none(), "{text}");
        }
    }
}

//! The gateway's words for channels: each is asked for from where it was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tickwire::ws::{Ack, ChannelRequest, Dialect, Envelope, Rest};

use super::course::Course;
use crate::protocol::Subscribed;

/// Channels a request; the gateway takes more than it, and a frame stays short.
const BATCH_MAX: usize = 50;

/// The words, and what both the loop's thread and the program's know.
#[derive(Debug, Default)]
pub(super) struct Words {
    course: Mutex<Course>,
}

impl Words {
    /// Nobody panics while holding it; and if, each of its steps leaves it whole.
    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn frame(kind: &str, id: u64, channels: &[Value]) -> String {
    json!({ "type": kind, "id": id.to_string(), "channels": channels }).to_string()
}

impl Dialect for Words {
    fn name(&self) -> &str {
        "tickwire gateway"
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
        let course = self.course();
        let channels: Vec<Value> = request
            .channels
            .iter()
            .map(|channel| match course.position(channel) {
                Some(since) => json!({ "channel": channel, "since": since }),
                None => json!(channel),
            })
            .collect();
        frame("subscribe", request.id, &channels)
    }

    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
        let channels: Vec<Value> = request
            .channels
            .iter()
            .map(|channel| json!(channel))
            .collect();
        frame("unsubscribe", request.id, &channels)
    }

    fn read_ack(&self, answer: &Envelope<'_>) -> Ack {
        if let Some(error) = answer.raw("error") {
            return Ack::again(error.to_owned());
        }
        let channels = answer.object("result").and_then(|result| {
            let channels = result.raw("channels")?;
            serde_json::from_str::<Vec<Subscribed>>(channels).ok()
        });
        let Some(channels) = channels else {
            // That of an unsubscribe.
            return Ack::accepted();
        };
        let mut ack = Ack {
            accepted: Vec::new(),
            refused: Vec::new(),
            rest: Rest::Refused("not in the gateway's answer".to_owned()),
        };
        let mut course = self.course();
        for told in channels {
            match &told.error {
                Some(error) => {
                    let why = format!("{}: {}", error.code.as_str(), error.message);
                    ack.refused.push((told.channel, why));
                }
                None => {
                    ack.accepted.push(told.channel.clone());
                    course.join(told);
                }
            }
        }
        ack
    }
}

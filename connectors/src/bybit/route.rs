//! Which streams a message is for.

use rustc_hash::FxHashMap;

use super::subscribe::Topic;
use crate::event::StreamId;
use crate::scan::{Scan, ScanError};
use crate::transmit::LinkId;

/// The topic of a message, wherever among its keys it stands (the order differs between products:
/// websocket/public/orderbook, 2026-07-24); `None` for answers, which have none. All known messages
/// have it as the first or second key; what stands before it is stepped over.
#[inline]
pub fn topic(payload: &[u8]) -> Result<Option<&[u8]>, ScanError> {
    let mut scan = Scan::new(payload);
    scan.enter_object()?;
    let mut first = true;
    while let Some(key) = scan.next_key(&mut first)? {
        if key == b"topic" {
            return scan.string().map(Some);
        }
        scan.skip_value()?;
    }
    scan.finish()?;
    Ok(None)
}

/// The streams of one topic. There can be several: the same book under its unified and its venue
/// symbol, or with its depth given and left out.
#[derive(Debug)]
struct Route {
    topic: Topic,
    link: LinkId,
    streams: Vec<StreamId>,
}

/// From topics to streams.
#[derive(Debug, Default)]
pub(super) struct Routes {
    index: FxHashMap<Box<[u8]>, usize>,
    routes: Vec<Option<Route>>,
    free: Vec<usize>,
}

impl Routes {
    /// The route of a topic.
    #[inline]
    pub(super) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.index.get(topic).copied()
    }

    /// The link that the topic is on.
    #[inline]
    pub(super) fn link(&self, route: usize) -> Option<LinkId> {
        Some(self.routes.get(route)?.as_ref()?.link)
    }

    /// One of its streams: numbers run from 0.
    #[inline]
    pub(super) fn stream(&self, route: usize, number: usize) -> Option<StreamId> {
        let route = self.routes.get(route)?.as_ref()?;
        route.streams.get(number).copied()
    }

    /// All of its streams.
    pub(super) fn streams(&self, topic: &str) -> Vec<StreamId> {
        let route = self.find(topic.as_bytes());
        let route = route.and_then(|route| self.routes.get(route)?.as_ref());
        route.map_or_else(Vec::new, |route| route.streams.clone())
    }

    /// Adds a stream to a topic; `link` is where the topic goes when it is new.
    pub(super) fn add(&mut self, topic: &Topic, link: LinkId, stream: StreamId) {
        let known = self.find(topic.as_bytes());
        if let Some(route) = known.and_then(|route| self.routes.get_mut(route)?.as_mut()) {
            route.streams.push(stream);
            return;
        }
        let route = Some(Route {
            topic: *topic,
            link,
            streams: vec![stream],
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.routes[slot] = route;
                slot
            }
            None => {
                self.routes.push(route);
                self.routes.len() - 1
            }
        };
        self.index.insert(topic.as_bytes().into(), slot);
    }

    /// Takes a stream from its topic; gives the link where it was the last one.
    pub(super) fn remove(&mut self, topic: &str, stream: StreamId) -> Option<LinkId> {
        let slot = self.find(topic.as_bytes())?;
        let route = self.routes.get_mut(slot)?.as_mut()?;
        route.streams.retain(|&one| one != stream);
        if !route.streams.is_empty() {
            return None;
        }
        let route = self.routes.get_mut(slot)?.take()?;
        self.index.remove(route.topic.as_bytes());
        self.free.push(slot);
        Some(route.link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_wherever_they_stand() {
        let table: [(&str, Option<&str>); 5] = [
            (r#"{"topic":"tickers.A","data":{}}"#, Some("tickers.A")),
            (
                r#"{"type":"snapshot","topic":"kline.1.A","data":[]}"#,
                Some("kline.1.A"),
            ),
            (
                r#"{"data":{"topic":"no","x":[1,{"topic":"no"}]},"topic":"yes"}"#,
                Some("yes"),
            ),
            (r#"{"success":true,"op":"subscribe"}"#, None),
            (" { } ", None),
        ];
        for (text, want) in table {
            let got = topic(text.as_bytes());
            assert_eq!(got, Ok(want.map(str::as_bytes)), "{text}");
        }
        for text in [
            "",
            "[]",
            "{",
            r#"{"a":1"#,
            r#"{"topic":1}"#,
            "{} x",
            "Failed to decode",
        ] {
            assert!(topic(text.as_bytes()).is_err(), "{text}");
        }
    }
}

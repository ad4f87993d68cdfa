//! From topics to streams.

use arrayvec::ArrayString;

use crate::carriers::Carriers;
use crate::names::Names;

/// A topic: what a venue puts before and behind a symbol, "deribit_price_index." or ".none.20.100ms", and
/// the symbol.
pub(crate) type Topic = ArrayString<104>;

/// A topic with its streams. There can be several: the same book under its unified and its venue
/// symbol, or with its depth given and left out.
///
/// What each message asks of it stands in front, in two cache lines at most: of thousands none is near.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Route {
    /// The links that it comes by.
    pub(crate) carriers: Carriers,
    /// The number of the entry of its stream, of the first where there are several.
    first: usize,
    /// Those of the others.
    others: Vec<usize>,
    /// Routes that show the same best prices: of a book that of its instrument's best prices, of best
    /// prices those of the books.
    pub(crate) peers: Vec<usize>,
    pub(crate) topic: Topic,
}

impl Route {
    /// The entries of its streams.
    pub(crate) fn entries(&self) -> impl Iterator<Item = usize> {
        core::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// Takes one of several away. Gives whether any is left: a single one stays, for the route to end with it.
    fn leave(&mut self, entry: usize) -> bool {
        if self.first == entry {
            if self.others.is_empty() {
                return false;
            }
            self.first = self.others.remove(0);
        } else {
            self.others.retain(|one| *one != entry);
        }
        true
    }
}

/// From topics to streams.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    index: Names,
    routes: Vec<Option<Route>>,
    free: Vec<usize>,
}

impl Routes {
    /// The route of a topic.
    #[inline]
    pub(crate) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.index.find(topic)
    }

    /// Routes have lower numbers.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    #[inline]
    pub(crate) fn get(&self, route: usize) -> Option<&Route> {
        self.routes.get(route)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, route: usize) -> Option<&mut Route> {
        self.routes.get_mut(route)?.as_mut()
    }

    /// The entry of one of its streams: numbers run from 0.
    #[inline]
    pub(crate) fn entry(&self, route: usize, number: usize) -> Option<usize> {
        let route = self.get(route)?;
        match number.checked_sub(1) {
            None => Some(route.first),
            Some(number) => route.others.get(number).copied(),
        }
    }

    /// The entries of all streams of a topic.
    pub(crate) fn entries(&self, topic: &str) -> impl Iterator<Item = usize> {
        let route = self.find(topic.as_bytes());
        let route = route.and_then(|route| self.get(route));
        route.into_iter().flat_map(Route::entries)
    }

    /// The links of a route.
    pub(crate) fn carriers(&self, route: usize) -> Carriers {
        let route = self.get(route);
        route.map_or_else(Carriers::new, |route| route.carriers.clone())
    }

    /// Adds a stream to a topic, which may be new: then `peers` are the topics that show the same best
    /// prices. Gives its route.
    pub(crate) fn add(&mut self, topic: &Topic, peers: &[Topic], entry: usize) -> usize {
        let known = self.find(topic.as_bytes());
        if let Some(known) = known
            && let Some(route) = self.get_mut(known)
        {
            route.others.push(entry);
            return known;
        }
        let route = Some(Route {
            topic: *topic,
            carriers: Carriers::new(),
            first: entry,
            others: Vec::new(),
            peers: Vec::new(),
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
        self.index.insert(topic.as_bytes(), slot);
        for peer in peers {
            let Some(peer) = self.find(peer.as_bytes()) else {
                continue;
            };
            for (one, other) in [(slot, peer), (peer, slot)] {
                if let Some(route) = self.get_mut(one) {
                    route.peers.push(other);
                }
            }
        }
        slot
    }

    /// Takes a stream from its topic; gives the topic's links where it was the last one.
    pub(crate) fn remove(&mut self, topic: &str, entry: usize) -> Option<Carriers> {
        let slot = self.find(topic.as_bytes())?;
        let route = self.get_mut(slot)?;
        if route.leave(entry) {
            return None;
        }
        let route = self.routes.get_mut(slot)?.take()?;
        self.index.remove(route.topic.as_bytes());
        self.free.push(slot);
        for peer in route.peers {
            if let Some(peer) = self.get_mut(peer) {
                peer.peers.retain(|one| *one != slot);
            }
        }
        Some(route.carriers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::from(text).expect("short")
    }

    #[test]
    fn books_and_best_prices_of_an_instrument_know_each_other_while_both_are_there() {
        let mut routes = Routes::default();
        let mut add = |text: &str, peers: &[&str]| {
            let peers: Vec<Topic> = peers.iter().map(|peer| topic(peer)).collect();
            routes.add(&topic(text), &peers, 0)
        };
        let (deep, flat) = (add("book.deep", &["best"]), add("book.flat", &["best"]));
        let best = add("best", &["book.deep", "book.flat", "book.none"]);
        let peers = |routes: &Routes, route| routes.get(route).map(|route| route.peers.clone());
        assert_eq!(peers(&routes, best), Some(vec![deep, flat]));
        assert_eq!(peers(&routes, deep), Some(vec![best]));
        assert!(routes.remove("book.deep", 0).is_some());
        assert_eq!(peers(&routes, best), Some(vec![flat]));
    }

    #[test]
    fn a_route_ends_with_its_last_stream_and_its_number_is_used_again() {
        let mut routes = Routes::default();
        let route = routes.add(&topic("a"), &[], 3);
        assert_eq!(routes.add(&topic("a"), &[], 5), route);
        assert_eq!(routes.entries("a").collect::<Vec<_>>(), [3, 5]);
        assert!(routes.remove("a", 3).is_none());
        assert_eq!(routes.entry(route, 0), Some(5));
        assert!(routes.remove("a", 5).is_some());
        assert_eq!((routes.find(b"a"), routes.entries("a").count()), (None, 0));
        assert_eq!(routes.add(&topic("b"), &[], 1), route);
        assert_eq!(routes.len(), 1);
    }
}

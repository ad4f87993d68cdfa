//! What channels are wanted, which the server has confirmed, and which request is under way.
//!
//! One request at a time: a refusal can then be told from the others where an answer carries no id, and
//! restoring thousands of channels is paced by the server itself.

use std::collections::VecDeque;
use std::sync::Arc;

use tickwire_connectors::Nanos;

use super::dialect::{Ack, ChannelRequest, Dialect, Rest};
use super::error::Error;
use super::json::Envelope;
use super::ticket::Resolver;

/// What became of channels that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribed {
    /// The server has confirmed them (or, where it confirms nothing, they were sent).
    pub accepted: Vec<String>,
    /// The server has refused them, with its words. They are not asked for again.
    pub refused: Vec<(String, String)>,
    /// No answer came in `request_timeout`. They may or may not be subscribed, and are restored after a
    /// loss.
    pub unanswered: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

/// Who wants to know what became of a request's channels.
#[derive(Debug)]
enum Asker {
    Caller(Resolver<Subscribed>),
    /// The client itself, after a loss.
    Restore {
        since: Nanos,
    },
}

#[derive(Debug)]
struct Group {
    number: u64,
    asker: Asker,
    /// Channels without an outcome.
    open: usize,
    result: Subscribed,
}

#[derive(Debug)]
struct Batch {
    verb: Verb,
    group: u64,
    channels: Vec<String>,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    batch: Batch,
    deadline: Nanos,
}

/// Restoring is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) result: Subscribed,
    pub(crate) took: Nanos,
}

#[derive(Debug)]
pub(crate) struct Subscriptions {
    dialect: Arc<dyn Dialect>,
    /// In the order in which they were asked for, which is the order in which they are restored.
    wanted: Vec<String>,
    queue: VecDeque<Batch>,
    flight: Option<Flight>,
    groups: Vec<Group>,
    groups_made: u64,
    next_id: u64,
    is_first: bool,
    /// Requests go out no closer than this.
    pace: Nanos,
    timeout: Nanos,
    ready_at: Nanos,
    restored: Option<Restored>,
}

impl Subscriptions {
    /// Requests get ids from `first_id` on.
    pub(crate) fn new(
        dialect: Arc<dyn Dialect>,
        first_id: u64,
        (pace, timeout): (Nanos, Nanos),
    ) -> Subscriptions {
        Subscriptions {
            dialect,
            wanted: Vec::new(),
            queue: VecDeque::new(),
            flight: None,
            groups: Vec::new(),
            groups_made: 0,
            next_id: first_id,
            is_first: true,
            pace,
            timeout,
            ready_at: Nanos::ZERO,
            restored: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn subscribe(&mut self, channels: Vec<String>, caller: Resolver<Subscribed>) {
        for name in &channels {
            if !self.wanted.contains(name) {
                self.wanted.push(name.clone());
            }
        }
        self.ask(Verb::Subscribe, channels, Asker::Caller(caller));
    }

    pub(crate) fn unsubscribe(&mut self, channels: Vec<String>, caller: Resolver<Subscribed>) {
        // From now on, whatever the server says: it must not come back after a loss.
        self.wanted.retain(|name| !channels.contains(name));
        self.ask(Verb::Unsubscribe, channels, Asker::Caller(caller));
    }

    /// A new connection, logged in: asks again for all that is wanted. Gives how much that is.
    pub(crate) fn restore(&mut self, now: Nanos) -> usize {
        let channels = self.wanted.clone();
        let count = channels.len();
        if count > 0 {
            self.ask(Verb::Subscribe, channels, Asker::Restore { since: now });
        }
        count
    }

    /// The connection is gone: who waits is told, and nothing of it is sent again but what is wanted.
    pub(crate) fn handle_loss(&mut self, keeps_wanted: bool) {
        self.queue.clear();
        self.flight = None;
        self.is_first = true;
        self.ready_at = Nanos::ZERO;
        self.restored = None;
        for group in self.groups.drain(..) {
            if let Asker::Caller(caller) = group.asker {
                caller.resolve(Err(Error::Disconnected));
            }
        }
        if !keeps_wanted {
            self.wanted.clear();
        }
    }

    /// When [`poll`](Subscriptions::poll) or [`handle_timeout`](Subscriptions::handle_timeout) has
    /// something to do.
    pub(crate) fn deadline(&self) -> Nanos {
        match (&self.flight, self.queue.is_empty()) {
            (Some(flight), _) => flight.deadline,
            (None, false) => self.ready_at,
            (None, true) => Nanos::MAX,
        }
    }

    /// The next request, if it may go now and `allow` lets it; else nothing before the time that
    /// `allow` names.
    pub(crate) fn poll(
        &mut self,
        now: Nanos,
        allow: impl FnOnce(&str) -> Result<(), Nanos>,
    ) -> Option<String> {
        if self.flight.is_some() || now < self.ready_at {
            return None;
        }
        let batch = self.queue.front()?;
        let request = ChannelRequest {
            id: self.next_id,
            channels: &batch.channels,
            is_first: self.is_first,
        };
        let text = match batch.verb {
            Verb::Subscribe => self.dialect.subscribe(&request),
            Verb::Unsubscribe => self.dialect.unsubscribe(&request),
        };
        if let Err(wait) = allow(&text) {
            self.ready_at = now + wait;
            return None;
        }
        let batch = self.queue.pop_front()?;
        self.is_first = false;
        self.ready_at = now + self.pace;
        let id = self.next_id;
        self.next_id += 1;
        if self.dialect.is_acknowledged() {
            self.flight = Some(Flight {
                id,
                batch,
                deadline: now + self.timeout,
            });
        } else {
            self.settle(now, batch, Ack::accepted());
        }
        Some(text)
    }

    /// Whether this message answers the request under way.
    pub(crate) fn is_answer(&self, id: Option<&str>, message: &Envelope<'_>) -> bool {
        let Some(flight) = &self.flight else {
            return false;
        };
        match id {
            Some(id) => id.trim_matches('"').parse() == Ok(flight.id),
            None => self.dialect.answers_without_id(message),
        }
    }

    /// The answer to the request under way.
    pub(crate) fn handle_answer(&mut self, now: Nanos, answer: &Envelope<'_>) {
        let ack = self.dialect.read_ack(answer);
        if let Some(flight) = self.flight.take() {
            self.settle(now, flight.batch, ack);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Nanos) {
        if let Some(Flight { batch, .. }) = self.flight.take_if(|flight| flight.deadline <= now) {
            let Batch {
                group, channels, ..
            } = batch;
            self.note(now, group, channels, |result, names| {
                result.unanswered.extend(names);
            });
        }
    }

    /// That restoring is done, once.
    pub(crate) fn take_restored(&mut self) -> Option<Restored> {
        self.restored.take()
    }

    fn ask(&mut self, verb: Verb, channels: Vec<String>, asker: Asker) {
        self.groups_made += 1;
        let number = self.groups_made;
        let mut group = Group {
            number,
            asker,
            open: channels.len(),
            result: Subscribed::default(),
        };
        if channels.is_empty() {
            if let Asker::Caller(caller) = group.asker {
                caller.resolve(Ok(std::mem::take(&mut group.result)));
            }
            return;
        }
        self.groups.push(group);
        for part in channels.chunks(self.dialect.batch_max().max(1)) {
            self.queue.push_back(Batch {
                verb,
                group: number,
                channels: part.to_vec(),
            });
        }
    }

    /// Writes down what an answer says of a batch's channels.
    fn settle(&mut self, now: Nanos, batch: Batch, ack: Ack) {
        let Batch {
            verb,
            group,
            mut channels,
        } = batch;
        let mut take = |name: &String| {
            let at = channels.iter().position(|known| known == name)?;
            Some(channels.swap_remove(at))
        };
        let accepted: Vec<String> = ack.accepted.iter().filter_map(&mut take).collect();
        let refused: Vec<(String, String)> = ack
            .refused
            .into_iter()
            .filter_map(|(name, why)| Some((take(&name)?, why)))
            .collect();
        let named = accepted.len() + refused.len();
        self.accept(now, group, accepted);
        self.refuse(now, verb, group, refused);
        match ack.rest {
            Rest::Accepted => self.accept(now, group, channels),
            Rest::Again(why) if channels.len() == 1 && named == 0 => {
                let refused = channels.into_iter().map(|name| (name, why.clone()));
                self.refuse(now, verb, group, refused.collect());
            }
            Rest::Again(_) if named > 0 => self.again(verb, group, channels),
            Rest::Again(_) => {
                let half = channels.split_off(channels.len() / 2);
                self.again(verb, group, half);
                self.again(verb, group, channels);
            }
            Rest::Refused(why) => {
                let refused = channels.into_iter().map(|name| (name, why.clone()));
                self.refuse(now, verb, group, refused.collect());
            }
        }
    }

    fn again(&mut self, verb: Verb, group: u64, channels: Vec<String>) {
        if !channels.is_empty() {
            self.queue.push_front(Batch {
                verb,
                group,
                channels,
            });
        }
    }

    fn accept(&mut self, now: Nanos, group: u64, names: Vec<String>) {
        self.note(now, group, names, |result, names| {
            result.accepted.extend(names)
        });
    }

    fn refuse(&mut self, now: Nanos, verb: Verb, group: u64, refused: Vec<(String, String)>) {
        if verb == Verb::Subscribe {
            let is_refused = |name: &String| refused.iter().any(|(one, _)| one == name);
            self.wanted.retain(|name| !is_refused(name));
        }
        self.note(now, group, refused, |result, names| {
            result.refused.extend(names)
        });
    }

    /// Adds outcomes to a group, and tells its asker when they are all there.
    fn note<T>(
        &mut self,
        now: Nanos,
        number: u64,
        outcomes: Vec<T>,
        add: impl FnOnce(&mut Subscribed, Vec<T>),
    ) {
        let Some(index) = self.groups.iter().position(|group| group.number == number) else {
            return;
        };
        let group = &mut self.groups[index];
        group.open = group.open.saturating_sub(outcomes.len());
        add(&mut group.result, outcomes);
        if group.open > 0 {
            return;
        }
        let Group { asker, result, .. } = self.groups.remove(index);
        match asker {
            Asker::Caller(caller) => caller.resolve(Ok(result)),
            Asker::Restore { since } => {
                let took = now - since;
                self.restored = Some(Restored { result, took });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Bybit, Deribit, Polymarket};
    use super::super::ticket::{Ticket, ticket};
    use super::*;

    const TIMEOUT: Nanos = Nanos(1_000);

    fn names(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|index| format!("c{index}")).collect()
    }

    fn machine(dialect: impl Dialect + 'static) -> Subscriptions {
        Subscriptions::new(Arc::new(dialect), 100, (Nanos(10), TIMEOUT))
    }

    fn subscribe(machine: &mut Subscriptions, channels: Vec<String>) -> Ticket<Subscribed> {
        let (caller, waiter) = ticket();
        machine.subscribe(channels, waiter);
        caller
    }

    /// The channels of a request, and its id.
    fn read(text: &str) -> (u64, Vec<String>) {
        let envelope = Envelope::read(text).expect("JSON");
        let id = envelope.text("req_id").and_then(|id| id.parse().ok());
        let id = id.or_else(|| envelope.number("id").map(|id| id as u64));
        let channels = envelope.texts("args").or_else(|| {
            let params = envelope.object("params")?;
            params.texts("channels")
        });
        (id.unwrap_or(0), channels.unwrap_or_default())
    }

    /// Answers every request as Bybit would that knows all but `unknown`; gives the batches sent.
    fn answer_all(machine: &mut Subscriptions, unknown: &[&str]) -> Vec<Vec<String>> {
        let (mut sent, mut now) = (Vec::new(), Nanos(0));
        while machine.deadline() != Nanos::MAX {
            now = now.max(machine.deadline().min(now + Nanos(10)));
            let Some(text) = machine.poll(now, |_| Ok(())) else {
                now += Nanos(1);
                continue;
            };
            let (_, channels) = read(&text);
            let bad = channels
                .iter()
                .find(|name| unknown.contains(&name.as_str()));
            let answer = match bad {
                Some(name) => format!(
                    r#"{{"success":false,"ret_msg":"error:handler not found,topic:{name}","op":"subscribe"}}"#
                ),
                None => r#"{"success":true,"ret_msg":"","req_id":"","op":"subscribe"}"#.to_owned(),
            };
            let answer = Envelope::read(&answer).expect("JSON");
            assert!(machine.is_answer(None, &answer));
            machine.handle_answer(now, &answer);
            sent.push(channels);
            assert!(sent.len() < 1_000, "no end");
        }
        sent
    }

    #[test]
    fn batches_are_as_large_as_the_venue_takes_and_one_is_under_way_at_a_time() {
        let mut machine = machine(Bybit);
        let caller = subscribe(&mut machine, names(0..25));
        let first = machine.poll(Nanos(0), |_| Ok(())).expect("the first");
        assert_eq!(read(&first), (100, names(0..10)));
        assert_eq!(machine.poll(Nanos(50), |_| Ok(())), None, "one at a time");
        let wrong =
            Envelope::read(r#"{"success":true,"req_id":"99","op":"subscribe"}"#).expect("JSON");
        assert!(!machine.is_answer(Some("\"99\""), &wrong));
        let right =
            Envelope::read(r#"{"success":true,"req_id":"100","op":"subscribe"}"#).expect("JSON");
        assert!(machine.is_answer(Some("\"100\""), &right));
        machine.handle_answer(Nanos(5), &right);
        assert_eq!(machine.poll(Nanos(9), |_| Ok(())), None, "paced");
        assert_eq!(
            machine.poll(Nanos(10), |_| Err(Nanos(7))),
            None,
            "the limiter says no"
        );
        assert_eq!(machine.deadline(), Nanos(17));
        let sent = answer_all(&mut machine, &[]);
        assert_eq!(sent, [names(10..20), names(20..25)]);
        assert_eq!(caller.wait().map(|result| result.accepted.len()), Ok(25));
    }

    #[test]
    fn a_refused_channel_is_found_and_the_others_are_kept() {
        let mut machine = machine(Bybit);
        let caller = subscribe(&mut machine, names(0..12));
        answer_all(&mut machine, &["c3", "c11"]);
        let result = caller.wait().expect("an outcome");
        let mut accepted = result.accepted.clone();
        accepted.sort();
        assert_eq!(accepted.len(), 10);
        assert!(!accepted.contains(&"c3".to_owned()));
        let refused: Vec<&str> = result.refused.iter().map(|(name, _)| &**name).collect();
        assert_eq!(refused, ["c3", "c11"]);
        // Refused ones are not restored.
        machine.handle_loss(true);
        assert_eq!(machine.restore(Nanos(0)), 10);
        let sent = answer_all(&mut machine, &["c3", "c11"]).concat();
        assert_eq!(sent.len(), 10);
        let restored = machine.take_restored().expect("restored");
        assert_eq!(
            (
                restored.result.accepted.len(),
                restored.result.refused.len()
            ),
            (10, 0)
        );
    }

    #[test]
    fn a_refusal_that_names_nobody_is_narrowed_down() {
        let mut machine = machine(Deribit);
        let caller = subscribe(&mut machine, names(0..9));
        let mut now = Nanos(0);
        while machine.deadline() != Nanos::MAX {
            now += Nanos(10);
            let text = machine.poll(now, |_| Ok(())).expect("a request");
            let (id, channels) = read(&text);
            let answer = if channels.contains(&"c7".to_owned()) {
                format!(r#"{{"id":{id},"error":{{"code":13778,"message":"raw"}}}}"#)
            } else {
                format!(r#"{{"id":{id},"result":{channels:?}}}"#)
            };
            let answer = Envelope::read(&answer).expect("JSON");
            assert!(machine.is_answer(Some(&id.to_string()), &answer));
            machine.handle_answer(now, &answer);
        }
        let result = caller.wait().expect("an outcome");
        assert_eq!(
            result.refused,
            [("c7".to_owned(), "raw (13778)".to_owned())]
        );
        assert_eq!((result.accepted.len(), machine.len()), (8, 8));
    }

    #[test]
    fn a_loss_tells_who_waits_and_restores_in_the_order_of_asking() {
        let mut machine = machine(Bybit);
        let first = subscribe(&mut machine, names(5..8));
        answer_all(&mut machine, &[]);
        let second = subscribe(&mut machine, names(0..2));
        machine.handle_loss(true);
        assert_eq!(first.wait().map(|result| result.accepted), Ok(names(5..8)));
        assert_eq!(second.wait(), Err(Error::Disconnected));
        let (gone, waiter) = ticket();
        machine.unsubscribe(names(6..7), waiter);
        machine.handle_loss(true);
        assert_eq!(gone.wait(), Err(Error::Disconnected));
        assert_eq!(machine.restore(Nanos(0)), 4);
        let sent = answer_all(&mut machine, &[]).concat();
        assert_eq!(sent, ["c5", "c7", "c0", "c1"], "what was let go stays gone");
        machine.handle_loss(false);
        assert_eq!(machine.restore(Nanos(0)), 0);
    }

    #[test]
    fn an_unanswered_request_is_told_and_kept() {
        let mut machine = machine(Deribit);
        let caller = subscribe(&mut machine, names(0..2));
        machine.poll(Nanos(0), |_| Ok(())).expect("a request");
        machine.handle_timeout(Nanos(999));
        assert_eq!(machine.deadline(), TIMEOUT);
        machine.handle_timeout(TIMEOUT);
        assert_eq!(
            caller.wait().map(|result| result.unanswered),
            Ok(names(0..2))
        );
        assert_eq!(machine.len(), 2);
    }

    #[test]
    fn where_nothing_is_answered_what_was_sent_counts() {
        let mut machine = machine(Polymarket);
        let caller = subscribe(&mut machine, names(0..2));
        let text = machine.poll(Nanos(0), |_| Ok(())).expect("a request");
        assert!(text.contains("\"type\":\"market\""), "{text}");
        assert_eq!(caller.wait().map(|result| result.accepted), Ok(names(0..2)));
        let more = subscribe(&mut machine, names(2..3));
        let text = machine.poll(Nanos(10), |_| Ok(())).expect("a request");
        assert!(text.contains("\"operation\":\"subscribe\""), "{text}");
        assert!(more.wait().is_ok());
        machine.handle_loss(true);
        machine.restore(Nanos(20));
        let text = machine.poll(Nanos(20), |_| Ok(())).expect("a request");
        assert!(
            text.contains("\"type\":\"market\""),
            "the first of its connection: {text}"
        );
    }
}

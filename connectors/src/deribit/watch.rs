//! Streams that are silent, and books that may be wrong: probes by REST, companions, and the
//! comparison of books with the venue's quotes.
//!
//! What a probe compares (public/get_order_book, get_last_trades_by_instrument, ticker,
//! get_tradingview_chart_data and get_index_price, API v2.1.1):
//!
//! | stream | silent though |
//! |---|---|
//! | book | the venue's best levels are others, at a later `change_id` |
//! | quotes | the best level is another, at a later time |
//! | trades | there was a later `trade_seq` |
//! | ticker | last, mark or index price are others |
//! | candles | the last candle is another |

use std::collections::VecDeque;

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Scale, Side, Top};

use super::subscribe::{BOOKS, book_topic, interval_ms, interval_name, quote_topic};
use super::sync::{Context, Entry, Feed, LastWord, Phase};
use super::{Deribit, rest, sink, tape, urls};
use crate::agreement::{Suspect, same_prices};
use crate::channel::Channel;
use crate::error::Error;
use crate::event::{Reason, StreamId};
use crate::instrument::Symbol;
use crate::liveness::{Action, Liveness, Probe};
use crate::outbox::Outbox;
use crate::stream::{Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, LinkId, Method, ReadOn, RequestId, Response};
use crate::upkeep::TopCheck;

/// Probes in flight at once: they are not urgent, and each holds a connection of the pool.
const IN_FLIGHT_MAX: usize = 4;

/// Levels of a side that a probe looks at: all of a grouped book, and one of the depths that
/// `get_order_book` has.
const PROBE_LEVELS: usize = 20;

/// So many streams of one link found mute together are the link's fault: it is made anew rather than
/// each of them.
const MUTE_STREAMS_MAX: usize = 8;

/// A book that disagrees again so soon after it was fetched anew may be right: then the quotes are
/// asked for anew as well.
const DISAGREES_AGAIN_NS: Nanos = Nanos::from_secs(60);

/// An entry that is to be probed, by number and serial.
type Subject = (usize, u32);

/// The probes that wait and those under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    waiting: VecDeque<Subject>,
    in_flight: Vec<(RequestId, Subject)>,
    /// The governor admits none before.
    hold_until: Option<Nanos>,
}

impl Probes {
    /// The entry whose probe is answered; `None` where it is not one of ours.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<Subject> {
        let index = self.in_flight.iter().position(|(one, _)| *one == id)?;
        Some(self.in_flight.remove(index).1)
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        self.hold_until
    }

    pub(super) fn handle_timeout(&mut self, now: Nanos) {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
    }
}

impl Deribit {
    // Silence.

    pub(super) fn handle_watch_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let subject = (slot, entry.serial);
        match entry.watch.handle_timeout(now) {
            Action::None => {}
            Action::Probe => {
                self.counters.probes += 1;
                if entry.watch.liveness() == Liveness::Quiet {
                    entry.handle_quiet(now, sink(entry, &mut self.unseen, out));
                }
                self.probes.waiting.push_back(subject);
            }
            Action::Renew => self.handle_mute(now, slot, out),
            Action::Reconnect => {
                entry.handle_dead(now, sink(entry, &mut self.unseen, out));
                self.reconnect(now, slot, "a stream stays mute", out);
            }
        }
        self.handle_agreement_timeout(now, slot, out);
    }

    /// A stream is mute: it is asked for anew, or its link is, where others are mute as well.
    fn handle_mute(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        self.counters.mute += 1;
        entry.handle_mute(now, sink(entry, &mut self.unseen, out));
        let Some(link) = self.links_of(slot).first().copied() else {
            return;
        };
        let mutes = self.entries.iter().enumerate().filter(|(slot, entry)| {
            let mute = |entry: &Entry| entry.watch.liveness() == Liveness::Mute;
            entry.as_deref().is_some_and(mute) && self.links_of(*slot).contains(&link)
        });
        if mutes.count() >= MUTE_STREAMS_MAX {
            self.reconnect(now, slot, "many streams are mute", out);
        } else {
            self.renew(now, slot, out);
        }
    }

    fn links_of(&self, slot: usize) -> Vec<LinkId> {
        let entry = self.entries.get(slot).and_then(Option::as_ref);
        let route = entry.and_then(|entry| self.routes.get(entry.route?));
        let carriers = route.map(|route| route.carriers.iter().map(|carrier| carrier.link));
        carriers.map_or_else(Vec::new, Iterator::collect)
    }

    /// Makes the links of a stream anew.
    fn reconnect(&mut self, now: Nanos, slot: usize, why: &'static str, out: &mut Outbox) {
        for id in self.links_of(slot) {
            if let Some(link) = self.link_mut(id).filter(|link| link.is_up()) {
                link.cut(why);
                self.handle_link_lost(now, id, out);
            }
        }
    }

    // Probes.

    #[inline]
    pub(super) fn has_probe(&self) -> bool {
        let probes = &self.probes;
        !probes.waiting.is_empty()
            && probes.hold_until.is_none()
            && probes.in_flight.len() < IN_FLIGHT_MAX
    }

    /// The entry, where it is still the one that was meant.
    fn subject(&mut self, (slot, serial): Subject) -> Option<&mut Entry> {
        self.entry_mut(slot).filter(|entry| entry.serial == serial)
    }

    pub(super) fn next_probe(&mut self, now: Nanos) -> Option<HttpRequest> {
        while self.has_probe() {
            let subject = *self.probes.waiting.front()?;
            let target = self.subject(subject);
            let target = target.and_then(|entry| probe_target(now, entry));
            let Some(target) = target else {
                self.probes.waiting.pop_front();
                continue;
            };
            if let Err(until) = self.rest.governor.admit_idle_request(now, 1) {
                self.probes.hold_until = Some(until);
                return None;
            }
            self.probes.waiting.pop_front();
            let id = self.rest.next_id();
            self.probes.in_flight.push((id, subject));
            let prefix = &self.urls.rest_prefix;
            return Some(HttpRequest {
                id,
                endpoint: self.urls.rest.clone(),
                method: Method::Get,
                target: format!("{prefix}/api/v2/public/{target}"),
                headers: Vec::new(),
                timeout_ns: urls::REST_TIMEOUT,
                body_bytes_max: urls::PROBE_BODY_BYTES_MAX,
                read_on: ReadOn::Loop,
            });
        }
        None
    }

    pub(super) fn handle_probe_answer(
        &mut self,
        now: Nanos,
        subject: Subject,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let mut levels = core::mem::take(&mut self.scratch.levels);
        let mut reader = core::mem::take(&mut self.scratch.reader);
        let result: Result<Probe, Error> = rest::body_of(response).and_then(|body| {
            rest::read_result(&mut reader, body, |result| {
                let entry = self.subject(subject);
                entry.map_or(Probe::Failed, |entry| {
                    compare_answer(entry, result, &mut levels).unwrap_or(Probe::Failed)
                })
            })
        });
        (self.scratch.levels, self.scratch.reader) = (levels, reader);
        self.rest.note(now, &result);
        self.tell_news(now, out);
        self.counters.requests_failed += u64::from(result.is_err());
        let found = result.unwrap_or(Probe::Failed);
        if let Some(entry) = self.subject(subject) {
            entry.watch.handle_probe(now, found);
            let deadline = entry.deadline();
            self.timers.arm(subject.0, deadline);
        }
    }

    // Companions.

    /// Quotes come beside each book that is compared with them, by a strategy's wish or by ours; as if
    /// `leaving` were gone.
    pub(super) fn settle_companion(
        &mut self,
        now: Nanos,
        symbol: &Symbol,
        leaving: Option<usize>,
        out: &mut Outbox,
    ) {
        if self.upkeep.top_check != TopCheck::Always {
            return;
        }
        let Some(top) = quote_topic(symbol) else {
            return;
        };
        let stays = |slot: &usize| Some(*slot) != leaving;
        let book = self.book_entries(symbol).find(stays);
        let tops = self.routes.entries(&top);
        let is_hidden = |slot: &usize| {
            let entry = self.entries.get(*slot).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.hidden)
        };
        let hidden = tops.iter().copied().find(is_hidden);
        let seen = tops.iter().any(|slot| stays(slot) && !is_hidden(slot));
        match (book.filter(|_| !seen), hidden) {
            (Some(book), None) => self.add_companion(now, book, out),
            (None, Some(slot)) => drop(self.remove(slot)),
            _ => {}
        }
    }

    /// The entries of every kind of book of an instrument.
    fn book_entries(&self, symbol: &Symbol) -> impl Iterator<Item = usize> {
        let topics = BOOKS.iter().filter_map(|kind| book_topic(symbol, kind));
        let entries = topics.map(|topic| self.routes.entries(&topic));
        entries.collect::<Vec<_>>().into_iter().flatten()
    }

    /// Quotes beside this book.
    fn add_companion(&mut self, now: Nanos, book: usize, out: &mut Outbox) {
        let Some(book) = self.entry_mut(book) else {
            return;
        };
        let instrument = book.stream.instrument;
        let asked = instrument.venue_symbol;
        let stream = Stream::new(StreamId::MAX, Channel::Bbo, asked, instrument, false);
        let mut entry = self.make_entry(stream, Phase::Waiting { until: None });
        entry.hidden = true;
        let slot = self.insert(entry);
        self.start(now, slot, instrument, out);
    }

    // Agreement.

    /// A message of a book or of its quotes has come: compares what both show.
    pub(super) fn compare(&mut self, now: Nanos, route: usize) {
        let Some(known) = self.routes.get(route) else {
            return;
        };
        let Some(&first) = known.entries.first() else {
            return;
        };
        let of_book = match self.entries.get(first).and_then(Option::as_ref) {
            Some(entry) => matches!(entry.feed, Feed::Book(_) | Feed::Grouped(_)),
            None => return,
        };
        let mut index = 0;
        while let Some(peer) = self.routes.get(route).and_then(|one| one.peers.get(index)) {
            let (book, top) = if of_book {
                (route, *peer)
            } else {
                (*peer, route)
            };
            self.compare_book(now, book, top, of_book);
            index += 1;
        }
    }

    fn compare_book(&mut self, now: Nanos, book: usize, top: usize, of_book: bool) {
        let best = self.best_of(top);
        let mut number = 0;
        while let Some(slot) = self.routes.entry(book, number) {
            number += 1;
            let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            let (Feed::Book(keeper) | Feed::Grouped(keeper), Some((best, scale))) =
                (&entry.feed, best)
            else {
                entry.agreement.reset();
                continue;
            };
            if !entry.stream.is_live() {
                continue;
            }
            let ours = keeper.book().top();
            let agrees = same_prices(
                &ours,
                entry.stream.price_scale(),
                (best.bid, best.ask),
                scale,
            );
            if of_book {
                entry.agreement.look_at_book(now, agrees);
            } else {
                entry.agreement.look_at_bbo(now, agrees);
            }
            self.timers.arm(slot, entry.agreement.deadline());
        }
    }

    /// The venue's quotes, where they are to be believed.
    fn best_of(&self, route: usize) -> Option<(Top, Scale)> {
        let entry = self.entries.get(self.routes.entry(route, 0)?)?.as_ref()?;
        let Feed::Top(keeper) = &entry.feed else {
            return None;
        };
        let live = entry.stream.is_live();
        live.then(|| (keeper.book().top(), entry.stream.price_scale()))
    }

    fn handle_agreement_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let Some(suspect) = entry.agreement.handle_timeout(now) else {
            return;
        };
        self.counters.disagreements += 1;
        let again = now - entry.disagreed_at < DISAGREES_AGAIN_NS;
        entry.disagreed_at = now;
        if suspect == Suspect::Book {
            let out = sink(entry, &mut self.unseen, out);
            let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
            entry.break_off(Reason::Disagrees, None, Times::ours(now), &mut context);
        }
        if suspect == Suspect::Bbo || again {
            let top = entry.route.and_then(|route| self.routes.get(route));
            let top = top.and_then(|route| self.routes.entry(*route.peers.first()?, 0));
            let watch = top.and_then(|top| Some(&mut self.entry_mut(top)?.watch));
            let action = watch.map(|watch| watch.handle_proof(now));
            if let (Some(top), Some(Action::Renew)) = (top, action) {
                self.handle_mute(now, top, out);
            }
        }
    }
}

/// Which call tells what an entry should have got, with its parameters; `None` where nobody wants to
/// know any more.
fn probe_target(now: Nanos, entry: &Entry) -> Option<String> {
    if !entry.watch.is_probing() {
        return None;
    }
    let symbol = &entry.stream.instrument.venue_symbol;
    let instrument = format!("instrument_name={symbol}");
    Some(match &entry.feed {
        Feed::Book(_) | Feed::Grouped(_) => {
            format!("get_order_book?{instrument}&depth={PROBE_LEVELS}")
        }
        Feed::Top(_) => format!("get_order_book?{instrument}&depth=1"),
        Feed::Trades => format!("get_last_trades_by_instrument?{instrument}&count=1&sorting=desc"),
        Feed::Ticker(_) => format!("ticker?{instrument}"),
        Feed::Index(_) => format!("get_index_price?index_name={symbol}"),
        Feed::Kline { interval, .. } => {
            let resolution = interval_name(*interval).ok()?;
            let end = now.as_millis();
            let start = end.saturating_sub(CANDLES * interval_ms(*interval)?);
            format!(
                "get_tradingview_chart_data?{instrument}&start_timestamp={start}&end_timestamp={end}&resolution={resolution}"
            )
        }
    })
}

/// Candles that a probe asks for: enough to have the last one, as long as trades are not rare.
const CANDLES: i64 = 3;

/// Whether the venue has what the entry has not; `None` where the answer does not say.
fn compare_answer(entry: &mut Entry, result: &Value<'_, '_>, levels: &mut Levels) -> Option<Probe> {
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    if let Some(keeper) = entry.keeper() {
        let (seq, exch_ns) = tape::book_head(result)?;
        let (is_later, most) = match entry.feed {
            Feed::Top(_) => (exch_ns > entry.last_ns, 1),
            _ => (Some(seq) > keeper.last(), PROBE_LEVELS),
        };
        if keeper.last().is_none() && !matches!(entry.feed, Feed::Book(_)) {
            // Nothing was heard yet: only what has changed since the last probe should have been.
            let known = entry.probed.replace(LastWord::Book(seq));
            return Some(ahead(
                known.is_some_and(|known| known != LastWord::Book(seq)),
            ));
        }
        if !is_later {
            return Some(Probe::Same);
        }
        let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
        if tape::levels(result, scales.0, scales.1, levels).is_err() {
            // Not even at our scale.
            return Some(Probe::Ahead);
        }
        // A grouped book may have fewer.
        let most = match entry.stream.channel {
            Channel::Book(params) => params.levels.map_or(most, usize::from).min(most),
            _ => most,
        };
        let same = |side: Side, theirs: &[tickwire_orderbook::Level]| {
            let ours = keeper.book().levels(side).take(most);
            ours.eq(theirs.iter().copied().take(most))
        };
        let same = same(Side::Bid, &levels.bids) && same(Side::Ask, &levels.asks);
        return Some(ahead(!same));
    }
    let theirs = match &entry.feed {
        Feed::Trades => match tape::last_trade(result)? {
            0 => LastWord::None,
            seq => LastWord::Trade(seq),
        },
        Feed::Kline { interval, .. } => match tape::last_candle(result, *interval) {
            Some(kline) => LastWord::of_candle(&kline),
            None => LastWord::None,
        },
        Feed::Index(_) => LastWord::Prices([None, None, Some(tape::index_price(result)?)]),
        _ => LastWord::of_ticker(&tape::ticker_row(result).ok()?.1),
    };
    let known = entry.probed.replace(theirs);
    let is_later = match (theirs, entry.heard) {
        (LastWord::Trade(theirs), LastWord::Trade(ours)) => theirs > ours,
        (LastWord::Candle(theirs, ..), LastWord::Candle(ours, ..)) if theirs < ours => false,
        (LastWord::None, _) => false,
        // Nothing was heard yet: only what has changed since the last probe should have been.
        (_, LastWord::None) => known.is_some(),
        (theirs, ours) => theirs != ours,
    };
    Some(ahead(is_later && known != Some(theirs)))
}

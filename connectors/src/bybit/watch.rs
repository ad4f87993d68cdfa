//! Streams that are silent, and books that may be wrong: probes by REST, companions, and the
//! comparison of books with level 1.
//!
//! What a probe compares (market/orderbook, market/recent-trade, market/tickers, market/kline,
//! 2026-07-24):
//!
//! | stream | silent though |
//! |---|---|
//! | book, level 1 | the venue's best levels are others, at a later `seq`. `seq` alone says little: it also counts what happens below the levels of the stream; and `u` of REST is that of 1000 levels |
//! | trades | there was a later trade |
//! | ticker | last price, mark price or volume are others |
//! | candles | the last candle is another |
//!
//! Level 1 is sent again after three seconds without a change, so that its silence needs no probe.

use std::collections::VecDeque;

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Scale, Side, Top};

use super::subscribe::{DEPTHS, Topic, interval_name, topic};
use super::sync::{Context, Entry, Feed, LastWord, Phase};
use super::{Bybit, rest, sink, tape, urls};
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

/// Levels of a side that a probe looks at.
const PROBE_LEVELS: usize = 50;

/// So many streams of one link found mute together are the link's fault: it is made anew rather than
/// each of them.
const MUTE_STREAMS_MAX: usize = 8;

/// A book that disagrees again so soon after it was fetched anew may be right: then level 1 is
/// fetched anew as well.
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

impl Bybit {
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
            let target = self.subject(subject).and_then(|entry| probe_target(entry));
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
            let category = self.market.as_str();
            let prefix = &self.urls.rest_prefix;
            let (call, rest) = target;
            return Some(HttpRequest {
                id,
                endpoint: self.urls.rest.clone(),
                method: Method::Get,
                target: format!("{prefix}/v5/market/{call}?category={category}&{rest}"),
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
        let result: Result<Probe, Error> = rest::body_of(now, response).and_then(|body| {
            rest::read_result(body, |result| {
                let entry = self.subject(subject);
                entry.map_or(Probe::Failed, |entry| {
                    compare_answer(entry, result, &mut levels).unwrap_or(Probe::Failed)
                })
            })
        });
        self.scratch.levels = levels;
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

    /// Level 1 comes beside each book that is compared with it, by a strategy's wish or by ours; as if
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
        let Ok(top) = topic(Channel::Bbo, symbol) else {
            return;
        };
        let stays = |slot: &usize| Some(*slot) != leaving;
        let books = DEPTHS.iter().any(|(depth, _)| {
            let book = format!("orderbook.{depth}.{symbol}");
            self.routes.entries(&book).iter().any(stays)
        });
        let tops = self.routes.entries(&top);
        let is_hidden = |slot: &usize| {
            let entry = self.entries.get(*slot).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.hidden)
        };
        let hidden = tops.iter().copied().find(is_hidden);
        let seen = tops.iter().any(|slot| stays(slot) && !is_hidden(slot));
        match (books && !seen, hidden) {
            (true, None) => self.add_companion(now, &top, symbol, out),
            (false, Some(slot)) => drop(self.remove(slot)),
            _ => {}
        }
    }

    fn add_companion(&mut self, now: Nanos, top: &Topic, symbol: &Symbol, out: &mut Outbox) {
        let books = DEPTHS.iter().find_map(|(depth, _)| {
            let book = format!("orderbook.{depth}.{symbol}");
            self.routes.entries(&book).first().copied()
        });
        let Some(instrument) = books
            .and_then(|slot| self.entries.get(slot)?.as_ref())
            .map(|entry| entry.stream.instrument)
        else {
            return;
        };
        debug_assert!(top.ends_with(&*instrument.venue_symbol));
        let asked = instrument.venue_symbol;
        let stream = Stream::new(StreamId::MAX, Channel::Bbo, asked, instrument, false);
        let mut entry = self.make_entry(stream, Phase::Waiting { until: None });
        entry.hidden = true;
        let slot = self.insert(entry);
        self.start(now, slot, instrument, out);
    }

    // Agreement.

    /// A message of a book or of level 1 has come: compares what both show.
    pub(super) fn compare(&mut self, now: Nanos, route: usize) {
        let Some(known) = self.routes.get(route) else {
            return;
        };
        let Some(&first) = known.entries.first() else {
            return;
        };
        let of_book = match self.entries.get(first).and_then(Option::as_ref) {
            Some(entry) => matches!(entry.feed, Feed::Book(_)),
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
            let (Feed::Book(keeper), Some((best, scale))) = (&entry.feed, best) else {
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

    /// The best prices of level 1, where they are to be believed.
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

/// Which call tells what an entry should have got, and its parameters; `None` where nobody wants to
/// know any more.
fn probe_target(entry: &Entry) -> Option<(&'static str, String)> {
    if !entry.watch.is_probing() {
        return None;
    }
    let symbol = &entry.stream.instrument.venue_symbol;
    Some(match entry.stream.channel {
        Channel::Book(_) => ("orderbook", format!("symbol={symbol}&limit={PROBE_LEVELS}")),
        Channel::Bbo => ("orderbook", format!("symbol={symbol}&limit=1")),
        Channel::Trades | Channel::AggTrades => {
            ("recent-trade", format!("symbol={symbol}&limit=1"))
        }
        Channel::Ticker => ("tickers", format!("symbol={symbol}")),
        Channel::Kline(interval) => {
            let interval = interval_name(interval).ok()?;
            let rest = format!("symbol={symbol}&interval={interval}&limit=1");
            ("kline", rest)
        }
        Channel::User => return None,
    })
}

/// Whether the venue has what the entry has not; `None` where the answer does not say.
fn compare_answer(entry: &mut Entry, result: &Value<'_, '_>, levels: &mut Levels) -> Option<Probe> {
    let ahead = |ahead: bool| if ahead { Probe::Ahead } else { Probe::Same };
    if let Some(keeper) = entry.keeper() {
        let seq = result.get("seq")?.as_u64()?;
        if seq <= entry.mark.cross {
            return Some(Probe::Same);
        }
        let scales = (entry.stream.price_scale(), entry.stream.qty_scale());
        if tape::levels(result, scales.0, scales.1, levels).is_err() {
            // Not even at our scale.
            return Some(Probe::Ahead);
        }
        let most = match entry.feed {
            Feed::Top(_) => 1,
            _ => PROBE_LEVELS,
        };
        let same = |side: Side, theirs: &[tickwire_orderbook::Level]| {
            let ours = keeper.book().levels(side).take(most);
            ours.eq(theirs.iter().copied().take(most))
        };
        let same = same(Side::Bid, &levels.bids) && same(Side::Ask, &levels.asks);
        return Some(ahead(!same));
    }
    let row = result.get("list")?;
    let row = row.get_idx(0);
    if let (Feed::Ticker { state, whole, .. }, Some(row)) = (&entry.feed, &row)
        && *whole
    {
        let theirs = tape::ticker_row(row).ok()?.ticker();
        let ours = state.ticker();
        let same = (theirs.last, theirs.volume) == (ours.last, ours.volume)
            && (theirs.mark.is_none() || theirs.mark == ours.mark);
        return Some(ahead(!same));
    }
    let theirs = match (&entry.feed, row) {
        (_, None) => LastWord::None,
        (Feed::Trades, Some(row)) => {
            let time_ms = row.get("time")?.into_string()?.parse().ok()?;
            LastWord::Trade(Nanos::from_millis(time_ms))
        }
        (Feed::Kline(_), Some(row)) => tape::candle_row(&row)?,
        (_, Some(row)) => LastWord::Price(tape::ticker_row(&row).ok()?.ticker().last),
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

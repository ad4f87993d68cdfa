//! What an account has told its trader, judged as it comes and held against the venue's own ledger at
//! the end. It believes nothing but the events, and knows none of the code that makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tickwire::connectors::order::{
    Balance, ClientOrderId, Fill, OrderRequest, OrderStatus, OrderUpdate, Position, Size, TradeId,
    VenueOrderId,
};
use tickwire::connectors::trading::Ticket;
use tickwire::connectors::wide::{Asked, Refusal};
use tickwire::connectors::{Instrument, Outcome};
use tickwire::testing::sim::{Ledger, OrderView, SimVenue};
use tickwire::{Amount, ErrorKind, Qty, Side};

use super::Figures;
use crate::world::{Complaint, SECOND};

/// One order as its trader asked for it and as it was told of it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) request: OrderRequest,
    pub(super) told: Option<OrderUpdate>,
    fills: Vec<Fill>,
    /// It was refused, and nothing more is to come.
    refused: Option<Outcome>,
    /// The kill switch was on.
    killed: bool,
    /// It was told to wait for its stop, and to be in the book, or to have traded, since.
    waited: (bool, bool),
    /// How often the venue gave it another id.
    venue_ids: usize,
    /// How often it was asked for.
    times: u32,
}

impl Placed {
    /// Whether its trader takes it to be in the book, or on its way there.
    pub(super) fn may_stand(&self) -> bool {
        let has_ended = self.told.is_some_and(|told| told.status.is_final());
        self.refused.is_none() && !has_ended
    }

    /// Whether this is the first word that it waits, and whether the first that it has triggered.
    fn note_trigger(&mut self, status: OrderStatus) -> (bool, bool) {
        use OrderStatus::{Filled, New, PartiallyFilled, Untriggered};
        let (waited, triggered) = self.waited;
        let waits = status == Untriggered;
        let trades = waited && matches!(status, New | PartiallyFilled | Filled);
        self.waited = (waited || waits, triggered || trades);
        (waits && !waited, trades && !triggered)
    }

    fn status(&self) -> Option<OrderStatus> {
        self.told.map(|told| told.status)
    }
}

/// One account.
#[derive(Debug)]
pub(super) struct Account {
    venue: SimVenue,
    pub(super) is_live: bool,
    /// By our id; ids rise with time, but not as texts.
    pub(super) orders: BTreeMap<ClientOrderId, Placed>,
    /// Ids in the order of their first request.
    pub(super) ids: Vec<ClientOrderId>,
    /// By place among the plan's symbols.
    pub(super) instruments: Vec<Option<Instrument>>,
    trades: BTreeSet<(VenueOrderId, TradeId)>,
    balances: BTreeMap<String, Balance>,
    positions: BTreeMap<String, Position>,
    refusals: BTreeSet<Ticket>,
    /// The kill switch is on.
    pub(super) is_killed: bool,
}

impl Account {
    fn new(venue: SimVenue, symbols: usize) -> Account {
        Account {
            venue,
            is_live: false,
            orders: BTreeMap::new(),
            ids: Vec::new(),
            instruments: vec![None; symbols],
            trades: BTreeSet::new(),
            balances: BTreeMap::new(),
            positions: BTreeMap::new(),
            refusals: BTreeSet::new(),
            is_killed: false,
        }
    }
}

/// All that the model knows.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) accounts: Vec<Account>,
    pub(super) complaint: Option<Complaint>,
    pub(super) figures: Figures,
    /// What happened, in words; empty unless it is wanted.
    pub(super) trace: Vec<String>,
    keeps_trace: bool,
    started_ns: i64,
}

/// The board, as the traders and the run share it.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Board>>);

impl Shared {
    pub(super) fn new(desks: &[(SimVenue, usize)], keeps_trace: bool, started_ns: i64) -> Shared {
        let accounts = desks
            .iter()
            .map(|(venue, symbols)| Account::new(*venue, *symbols));
        Shared(Arc::new(Mutex::new(Board {
            accounts: accounts.collect(),
            complaint: None,
            figures: Figures::default(),
            trace: Vec::new(),
            keeps_trace,
            started_ns,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Board> {
        // One thread: a panic in the middle ends the run anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which status may follow which, as a trader is told of one order.
fn may_follow(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::{New, PartiallyFilled, PendingCancel, Rejected, Unknown, Untriggered};
    match (from, to) {
        (from, to) if from == to => true,
        (from, _) if from.is_final() => false,
        (_, Unknown) => false,
        // What was on the book waits no more.
        (New | PartiallyFilled, Untriggered) => false,
        (PartiallyFilled, New | Rejected) => false,
        (Untriggered | New | PartiallyFilled | PendingCancel | Unknown, _) => true,
        _ => false,
    }
}

impl Board {
    pub(super) fn complain(&mut self, at_ns: i64, desk: Option<usize>, what: String) {
        if self.complaint.is_none() {
            self.complaint = Some(Complaint {
                at_ns: at_ns - self.started_ns,
                strategy: desk,
                what,
            });
        }
    }

    /// Notes something for who reads the course of a run.
    pub(super) fn note(&mut self, now: i64, what: impl FnOnce() -> String) {
        if self.keeps_trace {
            let at_s = (now - self.started_ns) as f64 / SECOND as f64;
            self.trace.push(format!("{at_s:>11.6} {}", what()));
        }
    }

    fn judge(&mut self, now: i64, desk: usize, judged: Result<(), String>) {
        self.figures.checks += 1;
        if let Err(what) = judged {
            let venue = self.accounts[desk].venue.slug();
            self.complain(now, Some(desk), format!("{venue}: {what}"));
        }
    }

    /// The trader has asked for an order, for the first time or again.
    pub(super) fn placed(&mut self, desk: usize, request: &OrderRequest) {
        let account = &mut self.accounts[desk];
        let killed = account.is_killed;
        let id = request.client_order_id;
        let known = account.orders.entry(id).or_insert_with(|| {
            account.ids.push(id);
            Placed {
                request: *request,
                told: None,
                fills: Vec::new(),
                refused: None,
                killed,
                waited: (false, false),
                venue_ids: 0,
                times: 0,
            }
        });
        known.times += 1;
        // One of several requests may be the one that went.
        known.killed &= killed;
        if known.refused == Some(Outcome::NotSent) {
            known.refused = None;
        }
    }

    pub(super) fn state(&mut self, now: i64, desk: usize, is_live: bool) {
        self.accounts[desk].is_live = is_live;
        let mut orders = self.accounts[desk].orders.values();
        let unknown = orders.find(|order| order.status() == Some(OrderStatus::Unknown));
        let judged = match unknown.filter(|_| is_live) {
            Some(order) => Err(format!(
                "Live while nobody knows what became of {}",
                order.request.client_order_id
            )),
            None => Ok(()),
        };
        self.judge(now, desk, judged);
    }

    pub(super) fn order(&mut self, now: i64, desk: usize, update: &OrderUpdate) {
        self.note(now, || {
            let OrderUpdate {
                client_order_id,
                status,
                filled,
                ..
            } = update;
            let (status, price, qty) = (status.as_str(), update.price, update.qty);
            format!(
                "{desk}: order {client_order_id} {status}, {filled} of {qty:?} filled at {price:?}"
            )
        });
        let words = [
            desk as u64,
            update.status as u64,
            update.filled.mantissa() as u64,
            update.exch_ns.0 as u64,
        ];
        self.figures.digest.words(&words);
        let account = &mut self.accounts[desk];
        let judged = account.order(update);
        if let Some(placed) = account.orders.get_mut(&update.client_order_id) {
            let (waits, triggered) = placed.note_trigger(update.status);
            self.figures.stops += u64::from(waits);
            self.figures.triggered += u64::from(triggered);
        }
        self.figures.unknown += u64::from(judged == Ok(Some(OrderStatus::Unknown)));
        self.judge(now, desk, judged.map(|_| ()));
    }

    pub(super) fn fill(&mut self, now: i64, desk: usize, fill: &Fill) {
        self.note(now, || {
            let (id, trade) = (fill.client_order_id, fill.trade_id);
            format!(
                "{desk}: fill {trade} of {id}, {} at {}",
                fill.qty, fill.price
            )
        });
        let words = [
            desk as u64,
            fill.qty.mantissa() as u64,
            fill.price.mantissa() as u64,
        ];
        self.figures.digest.words(&words);
        self.figures.fills += 1;
        let judged = self.accounts[desk].fill(fill);
        self.judge(now, desk, judged);
    }

    pub(super) fn balance(&mut self, now: i64, desk: usize, balance: &Balance) {
        self.note(now, || {
            let (currency, total, available) = (balance.currency, balance.total, balance.available);
            format!("{desk}: {total} {currency}, {available} available")
        });
        let account = &mut self.accounts[desk];
        let name = balance.currency.to_string();
        account.balances.insert(name, *balance);
        let is_sound = balance.available <= balance.total || !account.venue.is_spot();
        let judged = if is_sound {
            Ok(())
        } else {
            Err(format!("more is available than there is: {balance:?}"))
        };
        self.judge(now, desk, judged);
    }

    pub(super) fn position(&mut self, now: i64, desk: usize, position: &Position) {
        let symbol = position.instrument.symbol.to_string();
        self.note(now, || {
            format!("{desk}: position {symbol} {}", position.qty)
        });
        let account = &mut self.accounts[desk];
        account.positions.insert(symbol, *position);
    }

    pub(super) fn refusal(&mut self, now: i64, desk: usize, refusal: &Refusal) {
        self.note(now, || {
            let Refusal {
                asked,
                client_order_id,
                outcome,
                notice,
                ..
            } = refusal;
            let (asked, text) = (asked.as_str(), notice.text);
            format!("{desk}: {asked} {client_order_id} {outcome:?}: {text}")
        });
        self.figures.refusals += 1;
        let judged = self.accounts[desk].refusal(refusal);
        self.judge(now, desk, judged);
    }

    /// The first thing of an account that is not as the venue has it.
    pub(super) fn difference(&mut self, desk: usize, ledger: &Ledger) -> Option<String> {
        self.figures.checks += 1;
        let account = &self.accounts[desk];
        if !account.is_live {
            return Some("the account is not Live".to_owned());
        }
        let found = account.difference(ledger);
        found.map(|what| format!("{}: {what}", account.venue.slug()))
    }
}

impl Account {
    fn find(&mut self, id: &ClientOrderId) -> Result<&mut Placed, String> {
        let found = self.orders.get_mut(id);
        found.ok_or_else(|| format!("told of {id:?}, which nobody placed"))
    }

    /// Gives the status, where it is another than before.
    fn order(&mut self, update: &OrderUpdate) -> Result<Option<OrderStatus>, String> {
        let id = update.client_order_id;
        let placed = self.find(&id)?;
        if placed.refused.is_some() && update.status != OrderStatus::Rejected {
            let status = update.status.as_str();
            return Err(format!("{id} is {status} after it was refused"));
        }
        let (status, filled) = (update.status, update.filled);
        if let Some(before) = placed.told {
            if !may_follow(before.status, status) {
                let (from, to) = (before.status.as_str(), status.as_str());
                return Err(format!("{id} went from {from} to {to}"));
            }
            if filled < before.filled {
                let before = before.filled;
                return Err(format!("{filled} of {id} are filled, {before} were before"));
            }
            // A trade may reach us behind the end of a cancelled order, never behind a whole fill.
            if before.status == OrderStatus::Filled && filled != before.filled {
                return Err(format!("{id} trades on after it was filled"));
            }
            if !before.venue_order_id.is_empty() && before.venue_order_id != update.venue_order_id {
                placed.venue_ids += 1;
                // A stop may have another once it has triggered.
                if placed.venue_ids > usize::from(placed.request.stop.is_some()) {
                    return Err(format!("{id} has too many ids of the venue"));
                }
            }
        }
        let is_sound = match status {
            OrderStatus::Untriggered | OrderStatus::New | OrderStatus::Rejected => filled.is_zero(),
            // Of an order that was changed the last trade may be told before its new quantity.
            OrderStatus::PartiallyFilled => !filled.is_zero(),
            OrderStatus::Filled => update.qty.is_none_or(|qty| filled == qty),
            _ => update.qty.is_none_or(|qty| filled <= qty),
        };
        if !is_sound {
            let (status, qty) = (status.as_str(), update.qty);
            return Err(format!("{id} is {status} with {filled} of {qty:?} filled"));
        }
        let changed = placed.status() != Some(status);
        placed.told = Some(*update);
        Ok(changed.then_some(status))
    }

    fn fill(&mut self, fill: &Fill) -> Result<(), String> {
        let id = fill.client_order_id;
        if !self.trades.insert((fill.venue_order_id, fill.trade_id)) {
            return Err(format!("trade {} of {id} was told twice", fill.trade_id));
        }
        let placed = self.find(&id)?;
        if placed.refused.is_some() || placed.status() == Some(OrderStatus::Rejected) {
            return Err(format!("{id} trades after it was refused"));
        }
        if fill.side != placed.request.side || fill.qty.mantissa() <= 0 {
            return Err(format!("{id} was not meant to trade like that: {fill:?}"));
        }
        placed.fills.push(*fill);
        Ok(())
    }

    fn refusal(&mut self, refusal: &Refusal) -> Result<(), String> {
        let venue = self.venue;
        if !self.refusals.insert(refusal.ticket) {
            return Err(format!("{:?} was refused twice", refusal.ticket));
        }
        if refusal.outcome == Outcome::Accepted {
            return Err(format!("a refusal that is none: {refusal:?}"));
        }
        if refusal.asked != Asked::Place || refusal.outcome == Outcome::Unknown {
            return Ok(());
        }
        let placed = self.find(&refusal.client_order_id)?;
        let id = refusal.client_order_id;
        if refusal.notice.kind == ErrorKind::DuplicateOrderId {
            return Err(format!("{venue} got {id} twice"));
        }
        let is_ended = placed
            .told
            .is_none_or(|told| matches!(told.status, OrderStatus::Rejected | OrderStatus::Unknown));
        // Asked for again, where there is no room to tell of it: no word on the order itself.
        if refusal.outcome == Outcome::NotSent && placed.times > 1 && placed.told.is_some() {
            return Ok(());
        }
        if !is_ended {
            let status = placed.status().map_or("", OrderStatus::as_str);
            return Err(format!("{id} was refused when it was {status} already"));
        }
        placed.refused = Some(refusal.outcome);
        Ok(())
    }

    fn difference(&self, ledger: &Ledger) -> Option<String> {
        let mut at_venue: BTreeMap<&str, &OrderView> = BTreeMap::new();
        for order in &ledger.orders {
            if at_venue.insert(&order.client_id, order).is_some() {
                return Some(format!("the venue has {} twice", order.client_id));
            }
            if !self.orders.contains_key(order.client_id.as_str()) {
                return Some(format!(
                    "the venue has {}, which nobody placed",
                    order.client_id
                ));
            }
        }
        let mut orders = self.orders.iter();
        let order = orders.find_map(|(id, placed)| match at_venue.get(id.as_str()) {
            Some(real) => self.unlike(placed, real, ledger),
            None => placed.unlike_none(),
        });
        order
            .or_else(|| self.unlike_balances(ledger))
            .or_else(|| self.unlike_positions(ledger))
    }

    /// What of an order is not as the venue has it.
    fn unlike(&self, placed: &Placed, real: &OrderView, ledger: &Ledger) -> Option<String> {
        let id = placed.request.client_order_id;
        if placed.killed {
            return Some(format!("{id} was placed while the kill switch was on"));
        }
        if let Some(outcome) = placed.refused {
            return Some(format!(
                "{id} is {outcome:?}, and the venue has it: {real:?}"
            ));
        }
        let is_open = matches!(real.status, "waiting" | "new" | "partial");
        if is_open && self.is_killed {
            return Some(format!("{id} stands while the kill switch is on"));
        }
        let Some(told) = placed.told else {
            return Some(format!(
                "nothing was told of {id}, which the venue has: {real:?}"
            ));
        };
        let is_alike = self.is_status(told.status, real.status, placed.request.stop.is_some())
            && same_text(told.filled.into(), &real.filled)
            && told.price.map(Amount::from) == real.price.as_deref().and_then(parse)
            && told.qty.is_none_or(|qty| same_text(qty.into(), &real.qty))
            && !told.venue_order_id.is_empty()
            && told.side == side(real.buy);
        if !is_alike {
            let (status, filled, price) = (told.status.as_str(), told.filled, told.price);
            let qty = told.qty;
            return Some(format!(
                "{id} is {status} with {filled} of {qty:?} filled at {price:?}, the venue has {real:?}"
            ));
        }
        self.unlike_fills(placed, real, ledger)
    }

    /// Whether a status is the venue's. Binance alone has a word for an end by an order's own terms; Deribit
    /// says why an order was cancelled, but not in every answer.
    fn is_status(&self, told: OrderStatus, real: &str, is_stop: bool) -> bool {
        use OrderStatus::{Canceled, Expired, Filled, New, PartiallyFilled, Rejected, Untriggered};
        match (real, told) {
            ("waiting", Untriggered) => true,
            ("new", New) | ("partial", PartiallyFilled) | ("filled", Filled) => true,
            ("canceled", Canceled) => true,
            ("expired", Expired) => !self.venue.is_bybit(),
            ("expired", Canceled) => !self.venue.is_binance(),
            // A stop that could not be paid for when it triggered: futures call that a rejection.
            ("expired", Rejected) => is_stop && !self.venue.is_spot(),
            _ => false,
        }
    }

    fn unlike_fills(&self, placed: &Placed, real: &OrderView, ledger: &Ledger) -> Option<String> {
        let id = placed.request.client_order_id;
        let real_fills = ledger.fills.iter().filter(|fill| fill.order_id == real.id);
        let mut real_fills: Vec<_> = real_fills
            .map(|fill| {
                let (price, qty, fee) = (parse(&fill.price), parse(&fill.qty), parse(&fill.fee));
                (price, qty, fee, fill.fee_asset.clone(), fill.maker)
            })
            .collect();
        let mut told: Vec<_> = placed
            .fills
            .iter()
            .map(|fill| {
                let (price, qty) = (Some(fill.price.into()), Some(fill.qty.into()));
                let maker = fill.liquidity == tickwire::connectors::order::Liquidity::Maker;
                (price, qty, fill.fee, fill.fee_currency.to_string(), maker)
            })
            .collect();
        real_fills.sort();
        told.sort();
        if told == real_fills {
            return None;
        }
        Some(format!(
            "the fills of {id} are {told:?}, the venue has {real_fills:?}"
        ))
    }

    fn unlike_balances(&self, ledger: &Ledger) -> Option<String> {
        ledger.balances.iter().find_map(|real| {
            let (free, locked) = (parse(&real.free)?, parse(&real.locked)?);
            let told = self.balances.get(&real.asset);
            let (total, available) = told.map_or((Amount::ZERO, Amount::ZERO), |told| {
                (told.total, told.available)
            });
            // What is available of a margin account is told where balances are asked for, alone.
            let is_alike = free.checked_add(locked) == Some(total)
                && (available == free || !self.venue.is_spot());
            (!is_alike).then(|| {
                format!(
                    "{available} of {total} {} are available, the venue has {real:?}",
                    real.asset
                )
            })
        })
    }

    fn unlike_positions(&self, ledger: &Ledger) -> Option<String> {
        if self.venue.is_spot() {
            return None;
        }
        ledger.positions.iter().find_map(|real| {
            let mut known = self.instruments.iter().flatten();
            let of_symbol = known.find(|one| *one.venue_symbol == *real.symbol);
            let symbol = of_symbol.map(|one| one.key.symbol.to_string());
            let told = symbol.and_then(|symbol| self.positions.get(&symbol));
            let qty = told.map_or(Amount::ZERO, |told| told.qty);
            (parse(&real.qty) != Some(qty))
                .then(|| format!("the position is {qty}, the venue has {real:?}"))
        })
    }
}

impl Placed {
    /// What is wrong with an order that the venue does not have.
    fn unlike_none(&self) -> Option<String> {
        let id = self.request.client_order_id;
        let has_ended = self.refused.is_some() || self.status() == Some(OrderStatus::Rejected);
        if has_ended && self.fills.is_empty() {
            return None;
        }
        let status = self.status().map_or("not heard of", OrderStatus::as_str);
        Some(format!("{id} is {status}, and the venue does not have it"))
    }
}

fn parse(text: &str) -> Option<Amount> {
    text.parse().ok()
}

fn same_text(told: Amount, real: &str) -> bool {
    parse(real) == Some(told)
}

const fn side(buy: bool) -> Side {
    if buy { Side::Bid } else { Side::Ask }
}

/// The quantity of a request; `None` where it is sized by value.
pub(super) const fn qty_of(request: &OrderRequest) -> Option<Qty> {
    match request.size {
        Size::Base(qty) => Some(qty),
        Size::Quote(_) => None,
    }
}

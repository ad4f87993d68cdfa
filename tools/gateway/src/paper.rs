//! A desk that trades on paper: orders are matched against the market's books, here, and nothing goes out.
//! It fills at the prices that are shown and does not move them; there are no fees and no queue.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;
use tickwire::connectors::InstrumentKey;
use tickwire::connectors::order::{OrderRequest, OrderType, Size, TimeInForce};
use tickwire::ring::Item;
use tickwire::{Amount, Nanos, Price, Qty, Replica, Scale, Side, StreamId};

use crate::core::side_of;
use crate::desk::{Desk, DeskEvent, Filter, Refusal};
use crate::feed::{Feed, FeedError, Part};
use crate::protocol::{Fill, MarketOf, Mode, Order, PositionOf, VenueStatus};

/// Orders of a project that are remembered after they ended.
const ENDED_KEPT: usize = 200;

/// Market events looked at in a turn.
const EVENTS_A_TURN: usize = 20_000;

/// A limit price may be so far from the touch, in percent: further is a slip of the finger.
const COLLAR_PERCENT: i128 = 10;

#[derive(Debug)]
struct PaperOrder {
    request: OrderRequest,
    order: Order,
    left: Amount,
    filled: Amount,
    /// Price times quantity of what was filled.
    paid: Amount,
}

#[derive(Debug)]
struct Watched {
    key: InstrumentKey,
    replica: Replica,
    told: Option<VenueStatus>,
}

/// The paper desk.
pub struct PaperDesk {
    mode: Mode,
    feed: Box<dyn Feed>,
    streams: BTreeMap<StreamId, Watched>,
    /// Open orders by project and client order id.
    open: BTreeMap<(String, String), PaperOrder>,
    ended: BTreeMap<String, VecDeque<Order>>,
    positions: BTreeMap<(String, InstrumentKey), Amount>,
    events: VecDeque<DeskEvent>,
    halted: Option<String>,
    trades: u64,
}

impl std::fmt::Debug for PaperDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaperDesk")
            .field("open", &self.open.len())
            .field("trades", &self.trades)
            .finish_non_exhaustive()
    }
}

impl PaperDesk {
    /// A desk for these instruments, with a feed of its own.
    pub fn new(
        feed: impl Feed + 'static,
        instruments: impl IntoIterator<Item = InstrumentKey>,
    ) -> Result<PaperDesk, FeedError> {
        let mut feed: Box<dyn Feed> = Box::new(feed);
        let mut streams = BTreeMap::new();
        for key in instruments {
            let (venue, market) = (key.venue.to_string(), key.market.to_string());
            let stream = feed.open(&venue, &market, &key.symbol, Part::Book)?;
            let watched = Watched {
                key,
                replica: Replica::default(),
                told: None,
            };
            streams.insert(stream, watched);
        }
        Ok(PaperDesk {
            mode: Mode::Paper,
            feed,
            streams,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            positions: BTreeMap::new(),
            events: VecDeque::new(),
            halted: None,
            trades: 0,
        })
    }

    /// The same for a market that is a recording: its orders and positions say so.
    #[must_use]
    pub fn replaying(self) -> PaperDesk {
        PaperDesk {
            mode: Mode::Replay,
            ..self
        }
    }

    fn replica(&self, key: &InstrumentKey) -> Option<&Replica> {
        let watched = self.streams.values().find(|watched| watched.key == *key)?;
        Some(&watched.replica).filter(|replica| replica.is_valid())
    }

    /// Whether all of an order would make the project's position smaller.
    fn reduces(&self, project: &str, order: &OrderRequest, qty: Qty) -> bool {
        let held = self.positions.get(&(project.to_owned(), order.instrument));
        let held = held.copied().unwrap_or_default();
        let qty = amount(qty.mantissa(), qty.scale());
        match order.side {
            Side::Ask => held >= qty,
            Side::Bid => held
                .checked_add(qty)
                .is_some_and(|left| left <= Amount::ZERO),
        }
    }

    fn tell(&mut self, order: &Order, fill: Option<Fill>) {
        self.events.push_back(DeskEvent::Order {
            order: order.clone(),
            fill,
        });
    }

    fn end(&mut self, mut paper: PaperOrder, status: &str, now: Nanos) {
        paper.order.status = status.to_owned();
        paper.order.updated_at = now.as_millis();
        let ended = self
            .ended
            .entry(paper.order.project_id.clone())
            .or_default();
        ended.push_back(paper.order);
        if ended.len() > ENDED_KEPT {
            ended.pop_front();
        }
    }

    /// Fills what an order can have at the prices that are shown.
    fn fill(&mut self, paper: &mut PaperOrder, now: Nanos) {
        let Some(replica) = self.replica(&paper.request.instrument) else {
            return;
        };
        let side = paper.request.side;
        let levels: Vec<(Price, Qty)> = replica.levels(side.opposite()).take(100).collect();
        for (price, shown) in levels {
            let is_beyond = paper.request.price.is_some_and(|limit| match side {
                Side::Bid => price > limit,
                Side::Ask => price < limit,
            });
            if is_beyond || paper.left.is_zero() {
                return;
            }
            let shown = amount(shown.mantissa(), shown.scale());
            let qty = if shown < paper.left {
                shown
            } else {
                paper.left
            };
            self.trade(paper, price, qty, now);
        }
    }

    fn trade(&mut self, paper: &mut PaperOrder, price: Price, qty: Amount, now: Nanos) {
        self.trades += 1;
        let sum = |a: Amount, b: Amount| a.checked_add(b).unwrap_or(a);
        paper.left = paper.left.checked_sub(qty).unwrap_or_default();
        paper.filled = sum(paper.filled, qty);
        let paid = qty.mantissa().checked_mul(i128::from(price.mantissa()));
        let paid = paid.and_then(|paid| Amount::new(paid, qty.scale() + price.scale().get()));
        paper.paid = sum(paper.paid, paid.unwrap_or_default());
        let signed = match paper.request.side {
            Side::Bid => qty,
            Side::Ask => Amount::default().checked_sub(qty).unwrap_or_default(),
        };
        let key = (paper.order.project_id.clone(), paper.request.instrument);
        let position = self.positions.entry(key).or_default();
        *position = sum(*position, signed);
        let status = if paper.left.is_zero() {
            "filled"
        } else {
            "partially_filled"
        };
        paper.order.status = status.to_owned();
        paper.order.filled = paper.filled.to_string();
        paper.order.price_mean = mean(paper.paid, paper.filled);
        paper.order.updated_at = now.as_millis();
        let fill = Fill {
            trade_id: format!("paper-{}", self.trades),
            client_order_id: paper.order.client_order_id.clone(),
            price: price.to_string(),
            qty: qty.to_string(),
            fee: None,
            fee_currency: None,
            liquidity: "taker".to_owned(),
            settlement: None,
            at: now.as_millis(),
        };
        self.tell(&paper.order.clone(), Some(fill));
    }

    fn hear_market(&mut self) {
        for _ in 0..EVENTS_A_TURN {
            let event = match self.feed.next() {
                None => break,
                Some(Item::Wide(_)) => continue,
                Some(Item::Hot(event)) => event,
            };
            if let Some(watched) = self.streams.get_mut(&event.stream()) {
                watched.replica.handle(&event);
            }
        }
    }

    /// Looks which venues have a book to be believed.
    fn hear_venues(&mut self, now: Nanos) {
        let mut asked = Vec::new();
        for (stream, watched) in &mut self.streams {
            if watched.replica.take_question(now) {
                asked.push(*stream);
            }
            let state = if watched.replica.is_valid() {
                VenueStatus::Up
            } else {
                VenueStatus::Degraded
            };
            if watched.told != Some(state) {
                watched.told = Some(state);
                let symbol = watched.key.symbol;
                let reason = (state != VenueStatus::Up)
                    .then(|| format!("the book of {symbol} is not to be believed"));
                self.events.push_back(DeskEvent::Venue {
                    venue: watched.key.venue.to_string(),
                    part: symbol.to_string(),
                    state,
                    reason,
                });
            }
        }
        for stream in asked {
            self.feed.again(stream);
        }
    }

    fn match_open(&mut self, now: Nanos) {
        let ids: Vec<(String, String)> = self.open.keys().cloned().collect();
        for id in ids {
            let Some(mut paper) = self.open.remove(&id) else {
                continue;
            };
            self.fill(&mut paper, now);
            if paper.left.is_zero() {
                self.end(paper, "filled", now);
            } else {
                self.open.insert(id, paper);
            }
        }
    }

    fn cancel_open(&mut self, id: &(String, String), now: Nanos) -> bool {
        let Some(mut paper) = self.open.remove(id) else {
            return false;
        };
        paper.order.status = "canceled".to_owned();
        paper.order.updated_at = now.as_millis();
        self.tell(&paper.order.clone(), None);
        self.end(paper, "canceled", now);
        true
    }
}

/// A price or quantity with room for sums.
fn amount(mantissa: i64, scale: Scale) -> Amount {
    Amount::new(i128::from(mantissa), scale.get()).unwrap_or_default()
}

/// The mean price, to eight digits.
fn mean(paid: Amount, filled: Amount) -> Option<String> {
    const DIGITS: u8 = 8;
    // paid/filled at 8 digits: lift the numerator so that its scale is the denominator's plus 8.
    let lift = i16::from(filled.scale()) + i16::from(DIGITS) - i16::from(paid.scale());
    let ten: i128 = 10;
    let numerator = if lift >= 0 {
        paid.mantissa()
            .checked_mul(ten.checked_pow(u32::from(lift.unsigned_abs()))?)?
    } else {
        paid.mantissa() / ten.checked_pow(u32::from(lift.unsigned_abs()))?
    };
    let mean = numerator.checked_div(filled.mantissa())?;
    Amount::new(mean, DIGITS).map(|mean| mean.normalized().to_string())
}

impl Desk for PaperDesk {
    fn is_watched(&self) -> bool {
        !self.open.is_empty()
    }

    fn markets(&self) -> Vec<MarketOf> {
        let markets = self.streams.values().map(|watched| MarketOf {
            venue: watched.key.venue.to_string(),
            market: watched.key.market.to_string(),
            symbol: watched.key.symbol.to_string(),
            venue_symbol: None,
            price_step: None,
            qty_step: None,
        });
        markets.collect()
    }

    fn orders(&self, project: &str) -> Vec<Order> {
        let ended = self.ended.get(project).into_iter().flatten().cloned();
        let open = self.open.iter().filter(|((of, _), _)| of == project);
        ended
            .chain(open.map(|(_, paper)| paper.order.clone()))
            .collect()
    }

    fn positions(&self, project: &str) -> Vec<PositionOf> {
        let own = self
            .positions
            .iter()
            .filter(|((of, _), qty)| of == project && !qty.is_zero());
        let position = |((_, key), qty): (&(String, InstrumentKey), &Amount)| PositionOf {
            venue: key.venue.to_string(),
            market: key.market.to_string(),
            symbol: key.symbol.to_string(),
            mode: self.mode,
            qty: qty.to_string(),
            price_mean: None,
        };
        own.map(position).collect()
    }

    fn check(&self, project: &str, order: &OrderRequest, _: Nanos) -> Result<(), Refusal> {
        if let Some(reason) = &self.halted
            && !order.reduce_only
        {
            return Err(Refusal::Halted(reason.clone()));
        }
        let Size::Base(qty) = order.size else {
            return Err(Refusal::Risk(
                "the paper desk takes base quantities only".to_owned(),
            ));
        };
        if qty.mantissa() <= 0 {
            return Err(Refusal::Risk("a quantity is above zero".to_owned()));
        }
        if order.reduce_only && !self.reduces(project, order, qty) {
            return Err(Refusal::Risk(
                "there is no position that this order would make smaller".to_owned(),
            ));
        }
        let replica = self.replica(&order.instrument).ok_or_else(|| {
            Refusal::VenueDown("there is no book to be believed for this instrument".to_owned())
        })?;
        let touch = replica.levels(order.side.opposite()).next();
        let Some((touch, _)) = touch else {
            return Err(Refusal::VenueDown(
                "the other side of the book is empty".to_owned(),
            ));
        };
        if order.stop.is_some() {
            return Err(Refusal::Risk("stops are not traded on paper".to_owned()));
        }
        match (order.order_type, order.price) {
            (OrderType::Market, _) => Ok(()),
            (_, None) => Err(Refusal::Risk("a limit order has a price".to_owned())),
            (_, Some(price)) => {
                let price = amount(price.mantissa(), price.scale());
                let touch = amount(touch.mantissa(), touch.scale());
                let off = match order.side {
                    Side::Bid => price.checked_sub(touch),
                    Side::Ask => touch.checked_sub(price),
                };
                let off = off.unwrap_or_default();
                let hundred = off.mantissa().saturating_mul(100);
                let bound = touch.mantissa().saturating_mul(COLLAR_PERCENT);
                let (hundred, bound) = (
                    Amount::new(hundred, off.scale()),
                    Amount::new(bound, touch.scale()),
                );
                if hundred > bound {
                    let words =
                        format!("more than {COLLAR_PERCENT} % through the touch of {touch}");
                    return Err(Refusal::Risk(words));
                }
                Ok(())
            }
        }
    }

    fn dispatch(&mut self, project: &str, order: &OrderRequest, now: Nanos) -> Result<(), Refusal> {
        self.check(project, order, now)?;
        let Size::Base(qty) = order.size else {
            return Err(Refusal::Risk(
                "the paper desk takes base quantities only".to_owned(),
            ));
        };
        let id = (project.to_owned(), order.client_order_id.to_string());
        let ended = self.ended.get(project).into_iter().flatten();
        if self.open.contains_key(&id) || { ended }.any(|old| old.client_order_id == id.1) {
            return Ok(());
        }
        let mut paper = PaperOrder {
            request: *order,
            order: Order {
                project_id: project.to_owned(),
                mode: self.mode,
                client_order_id: id.1.clone(),
                venue_order_id: None,
                venue: order.instrument.venue.to_string(),
                market: order.instrument.market.to_string(),
                symbol: order.instrument.symbol.to_string(),
                side: side_of(order.side),
                kind: order.order_type.as_str().to_owned(),
                price: order.price.map(|price| price.to_string()),
                qty: Some(qty.to_string()),
                filled: "0".to_owned(),
                price_mean: None,
                status: "new".to_owned(),
                reason: None,
                updated_at: now.as_millis(),
            },
            left: amount(qty.mantissa(), qty.scale()),
            filled: Amount::default(),
            paid: Amount::default(),
        };
        self.tell(&paper.order.clone(), None);
        self.fill(&mut paper, now);
        let stays = order.order_type != OrderType::Market
            && matches!(
                order.time_in_force,
                TimeInForce::Gtc | TimeInForce::Gtd { .. }
            );
        if paper.left.is_zero() {
            self.end(paper, "filled", now);
        } else {
            self.open.insert(id.clone(), paper);
            if !stays {
                self.cancel_open(&id, now);
            }
        }
        Ok(())
    }

    fn cancel(&mut self, project: &str, client_order_id: &str, now: Nanos) -> Result<(), Refusal> {
        let id = (project.to_owned(), client_order_id.to_owned());
        if self.cancel_open(&id, now) {
            Ok(())
        } else {
            Err(Refusal::NoOrder)
        }
    }

    fn cancel_all(
        &mut self,
        project: &str,
        filter: Filter<'_>,
        now: Nanos,
    ) -> Result<u32, Refusal> {
        let meant = self.open.iter().filter(|((of, _), paper)| {
            let order = &paper.order;
            of == project && filter.takes(&order.venue, &order.market, &order.symbol)
        });
        let ids: Vec<(String, String)> = meant.map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.cancel_open(id, now);
        }
        Ok(ids.len() as u32)
    }

    fn kill(&mut self, reason: &str, now: Nanos) -> u32 {
        self.halted = Some(reason.to_owned());
        let ids: Vec<(String, String)> = self.open.keys().cloned().collect();
        for id in &ids {
            self.cancel_open(id, now);
        }
        ids.len() as u32
    }

    fn resume(&mut self, _: Nanos) {
        self.halted = None;
    }

    /// Paper is in memory: what was open is gone.
    fn recall(&mut self, order: &Order, now: Nanos) {
        let order = Order {
            status: "canceled".to_owned(),
            reason: Some("orders on paper end with the gateway".to_owned()),
            updated_at: now.as_millis(),
            ..order.clone()
        };
        self.tell(&order, None);
    }

    fn poll(&mut self, now: Nanos) -> Option<DeskEvent> {
        if self.events.is_empty() {
            self.hear_market();
            self.hear_venues(now);
            self.match_open(now);
        }
        self.events.pop_front()
    }

    fn stats(&self) -> serde_json::Value {
        json!({ "desk": self.mode, "open": self.open.len(), "trades": self.trades })
    }
}

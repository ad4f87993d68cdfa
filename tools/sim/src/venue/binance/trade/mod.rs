//! Trading at Binance: signed calls over REST and over the WebSocket API, which are the same calls
//! under two names (rest-api.md, web-socket-api.md, errors.md; 2026-07), and the user data stream.

mod algo;
mod count;
mod futures;
pub(super) mod listen;
mod params;
mod place;
mod spot;
pub(super) mod ws;

pub(super) use count::OrderCounts;
pub(super) use params::{ApiError, Params, check_time};

use std::collections::BTreeMap;

use crate::exchange::{End, Fill, Order, Refusal, Status};
use crate::json::{Obj, list};
use crate::market::Market;
use crate::num::ms;
use crate::spec::{SECOND_NS, SimVenue};
use crate::venue::Common;
use spot::Detail;

/// A call that needs an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Place,
    Test,
    Cancel,
    CancelAll,
    CancelReplace,
    Amend,
    Order,
    OpenOrders,
    AllOrders,
    Trades,
    Account,
    OrderCounts,
    // Of futures alone.
    Modify,
    Balance,
    Positions,
    Countdown,
    AlgoPlace,
    AlgoCancel,
    AlgoCancelAll,
    AlgoOrder,
    AlgoOpen,
}

/// (call, method and REST path below the base and its version, WebSocket method, weight).
type Row = (Op, &'static str, &'static str, &'static str, u32);

const SPOT_CALLS: &[Row] = &[
    (Op::Place, "POST", "order", "order.place", 1),
    (Op::Test, "POST", "order/test", "order.test", 1),
    (Op::Cancel, "DELETE", "order", "order.cancel", 1),
    (
        Op::CancelAll,
        "DELETE",
        "openOrders",
        "openOrders.cancelAll",
        1,
    ),
    (
        Op::CancelReplace,
        "POST",
        "order/cancelReplace",
        "order.cancelReplace",
        1,
    ),
    (
        Op::Amend,
        "PUT",
        "order/amend/keepPriority",
        "order.amend.keepPriority",
        4,
    ),
    (Op::Order, "GET", "order", "order.status", 4),
    (Op::OpenOrders, "GET", "openOrders", "openOrders.status", 6),
    (Op::AllOrders, "GET", "allOrders", "allOrders", 20),
    (Op::Trades, "GET", "myTrades", "myTrades", 20),
    (Op::Account, "GET", "account", "account.status", 20),
    (
        Op::OrderCounts,
        "GET",
        "rateLimit/order",
        "account.rateLimits.orders",
        40,
    ),
];

const FUTURES_CALLS: &[Row] = &[
    (Op::Place, "POST", "order", "order.place", 1),
    (Op::Test, "POST", "order/test", "order.test", 1),
    (Op::Modify, "PUT", "order", "order.modify", 1),
    (Op::Cancel, "DELETE", "order", "order.cancel", 1),
    (Op::CancelAll, "DELETE", "allOpenOrders", "", 1),
    (Op::Order, "GET", "order", "order.status", 1),
    (Op::OpenOrders, "GET", "openOrders", "", 1),
    (Op::AllOrders, "GET", "allOrders", "", 5),
    (Op::Trades, "GET", "userTrades", "", 5),
    (Op::Account, "GET", "account", "v2/account.status", 5),
    (Op::Balance, "GET", "balance", "v2/account.balance", 5),
    (
        Op::Positions,
        "GET",
        "positionRisk",
        "v2/account.position",
        5,
    ),
    (Op::Countdown, "POST", "countdownCancelAll", "", 10),
    (Op::AlgoPlace, "POST", "algoOrder", "algoOrder.place", 1),
    (Op::AlgoCancel, "DELETE", "algoOrder", "algoOrder.cancel", 1),
    (Op::AlgoCancelAll, "DELETE", "algoOpenOrders", "", 1),
    (Op::AlgoOrder, "GET", "algoOrder", "", 1),
    (Op::AlgoOpen, "GET", "openAlgoOrders", "", 1),
    (Op::OrderCounts, "GET", "rateLimit/order", "", 1),
];

const fn calls(venue: SimVenue) -> &'static [Row] {
    match venue {
        SimVenue::BinanceSpot => SPOT_CALLS,
        SimVenue::BinanceLinear => FUTURES_CALLS,
        _ => &[],
    }
}

impl Op {
    /// The call of a REST request.
    pub(super) fn of_rest(venue: SimVenue, method: &str, path: &str) -> Option<Self> {
        let call = match venue {
            SimVenue::BinanceSpot => path.strip_prefix("/api/v3/")?,
            // Accounts and positions have two versions more; the last one's answer is the leanest.
            _ => path.strip_prefix("/fapi/v")?.split_once('/')?.1,
        };
        let found = calls(venue)
            .iter()
            .find(|row| row.1 == method && row.2 == call);
        found.map(|row| row.0)
    }

    pub(super) fn of_ws(venue: SimVenue, method: &str) -> Option<Self> {
        let found = calls(venue)
            .iter()
            .find(|row| !method.is_empty() && row.3 == method);
        found.map(|row| row.0)
    }

    /// Its weight; calls of spot that place and cancel are free if they succeed (2026-04-02).
    pub(super) fn weight(self, venue: SimVenue, params: &Params) -> u32 {
        let symbol = params.get("symbol").is_some();
        match (self, venue.is_spot()) {
            (Self::OpenOrders, true) if !symbol => 80,
            (Self::OpenOrders | Self::AlgoOpen, false) if !symbol => 40,
            (Self::Trades, true) if params.get("orderId").is_some() => 5,
            _ => calls(venue)
                .iter()
                .find(|row| row.0 == self)
                .map_or(1, |row| row.4),
        }
    }

    pub(super) const fn is_free_on_success(self) -> bool {
        matches!(
            self,
            Self::Place | Self::Cancel | Self::CancelAll | Self::CancelReplace
        )
    }

    /// Whether it changes orders: what order faults are about.
    pub(super) const fn is_order_entry(self) -> bool {
        self.is_free_on_success()
            || matches!(
                self,
                Self::Amend
                    | Self::Modify
                    | Self::AlgoPlace
                    | Self::AlgoCancel
                    | Self::AlgoCancelAll
            )
    }

    /// Whether the answer tells the order counts.
    pub(super) const fn places(self) -> bool {
        matches!(
            self,
            Self::Place | Self::CancelReplace | Self::Modify | Self::AlgoPlace
        )
    }
}

/// Who calls: checks the key, the signature and the time, in the venue's order.
pub(super) fn authorise(
    cx: &Common,
    params: &Params,
    (key, signed): (Option<&str>, &str),
    now: i64,
) -> Result<usize, ApiError> {
    let key = key.ok_or_else(|| ApiError::new(401, -2014, "API-key format invalid."))?;
    let signature = params.need("signature")?;
    check_time(params, ms(now + cx.faults.skew_ns))?;
    if cx.keys.account(key).is_none() {
        return Err(crate::exchange::Unauthorised::UnknownKey.into());
    }
    Ok(cx.keys.check(key, signed.as_bytes(), signature)?)
}

/// A random client id, as the venue makes one: 22 characters.
fn random_id(cx: &mut Common) -> String {
    (0..22).map(|_| cx.rng.alphanumeric()).collect()
}

/// What every call needs.
pub(super) struct Call<'a> {
    pub(super) cx: &'a mut Common,
    pub(super) counts: &'a mut OrderCounts,
    /// By account and instrument: when all orders are to be cancelled.
    pub(super) countdowns: &'a mut BTreeMap<(usize, usize), i64>,
    pub(super) market: &'a Market,
    pub(super) params: &'a Params,
    pub(super) account: usize,
    pub(super) now: i64,
}

type Answer = Result<Vec<u8>, ApiError>;

impl Call<'_> {
    /// Does it. The result is JSON.
    pub(super) fn run(&mut self, op: Op) -> Answer {
        match op {
            Op::Place => self.place(),
            Op::Test => self.test(),
            Op::Cancel => self.cancel(),
            Op::CancelAll => self.cancel_all(),
            Op::CancelReplace => self.cancel_replace(),
            Op::Amend => self.amend(),
            Op::Order => self.order(),
            Op::OpenOrders => self.open_orders(),
            Op::AllOrders => self.all_orders(),
            Op::Trades => self.trades(),
            Op::Modify => self.modify(),
            Op::Countdown => self.countdown(),
            Op::AlgoPlace => self.algo_place(),
            Op::AlgoCancel => self.algo_cancel(),
            Op::AlgoCancelAll => self.algo_cancel_all(),
            Op::AlgoOrder => self.algo_order(),
            Op::AlgoOpen => self.algo_open(),
            Op::Balance => Ok(futures::balance(&self.cx.exchange, self.account, self.now)),
            Op::Positions => {
                let index = match self.params.get("symbol") {
                    Some(_) => Some(place::instrument(self.params, self.market)?.0),
                    None => None,
                };
                let exchange = &self.cx.exchange;
                Ok(futures::position_risk(
                    exchange,
                    self.account,
                    index,
                    self.now,
                ))
            }
            Op::Account if !self.spot() => {
                Ok(futures::account(&self.cx.exchange, self.account, self.now))
            }
            Op::Account => {
                let omit = self.params.flag("omitZeroBalances")?;
                Ok(spot::account(
                    &self.cx.exchange,
                    self.account,
                    omit,
                    self.now,
                ))
            }
            Op::OrderCounts => Ok(self.counts.answer(self.account, &self.cx.limits, self.now)),
        }
    }

    fn spot(&self) -> bool {
        self.cx.venue.is_spot()
    }

    /// An order as queries tell it.
    fn told(&self, order: &Order) -> Vec<u8> {
        if self.spot() {
            spot::queried(&self.cx.exchange, order)
        } else {
            futures::order(&self.cx.exchange, order, true)
        }
    }

    fn told_trade(&self, fill: &Fill) -> Vec<u8> {
        if self.spot() {
            spot::trade(&self.cx.exchange, fill)
        } else {
            futures::trade(&self.cx.exchange, fill)
        }
    }

    /// An order as the parameters ask for it; of the algo service or not.
    fn parse(&mut self, algo: bool) -> Result<crate::exchange::NewOrder, ApiError> {
        let (index, one) = place::instrument(self.params, self.market)?;
        let who = (self.account, random_id(self.cx));
        let listing = &self.cx.exchange.listings[index];
        place::parse(
            self.params,
            (self.cx.venue, algo),
            who,
            (index, one),
            listing,
            self.now,
        )
    }

    fn test(&mut self) -> Answer {
        self.parse(false)?;
        Ok(b"{}".to_vec())
    }

    fn place(&mut self) -> Answer {
        let new = self.parse(false)?;
        let detail = match self.params.get("newOrderRespType") {
            Some("ACK") => Detail::Ack,
            Some("RESULT") => Detail::Result,
            Some("FULL") => Detail::Full,
            Some(_) => {
                return Err(ApiError::bad(
                    -1130,
                    "Data sent for parameter 'newOrderRespType' is not valid.",
                ));
            }
            // rest-api.md: LIMIT and MARKET answer FULL by default, the others ACK.
            None if matches!(new.words.kind, "LIMIT" | "MARKET") => Detail::Full,
            None => Detail::Ack,
        };
        self.count_order()?;
        let book = &self.market.instruments[new.instrument].book;
        let venue = self.cx.venue;
        let placed = self.cx.exchange.place(new, book, self.now);
        let id = placed.map_err(|refusal| place::refused(refusal, venue))?;
        let exchange = &self.cx.exchange;
        let order = exchange.order(self.account, id).ok_or_else(unknown)?;
        if !self.spot() {
            // Without RESULT the answer is about the order as it came in.
            let mut order = order.clone();
            if self.params.get("newOrderRespType") != Some("RESULT") {
                order.status = Status::New;
                (order.filled, order.filled_value) = Default::default();
            }
            return Ok(futures::order(exchange, &order, false));
        }
        let fills: Vec<_> = if detail == Detail::Full && order.filled > 0 {
            exchange
                .fills(self.account)
                .filter(|fill| fill.order_id == id)
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        Ok(spot::placed(exchange, order, &fills, detail))
    }

    fn count_order(&mut self) -> Result<(), ApiError> {
        let admitted = self.counts.admit(self.account, &self.cx.limits, self.now);
        admitted.map_err(|over| {
            let (unit, number) = count::interval(over.window_ns);
            let msg = format!(
                "Too many new orders; current limit is {} orders per {number} {unit}.",
                over.limit
            );
            let mut error = ApiError::new(429, -1015, msg);
            let until = ms(self.now) + over.retry_after_s * 1_000;
            let data = Obj::new()
                .int("serverTime", ms(self.now))
                .int("retryAfter", until);
            error.data = Some(data.end());
            error
        })
    }

    /// The order that the parameters name.
    fn named(&self, id: &str, client_id: &str) -> Result<&Order, ApiError> {
        let (index, _) = place::instrument(self.params, self.market)?;
        let exchange = &self.cx.exchange;
        let found = match (self.params.number(id)?, self.params.get(client_id)) {
            (Some(id), _) => exchange.order(self.account, id.unsigned_abs()),
            (None, Some(name)) => exchange.order_by_client_id(self.account, name),
            (None, None) => {
                let msg = format!(
                    "Param '{client_id}' or '{id}' must be sent, but both were empty/null!"
                );
                return Err(ApiError::bad(-1102, msg));
            }
        };
        found
            .filter(|order| order.instrument == index && self.is_in_book(order))
            .ok_or_else(unknown)
    }

    /// Whether an order is none that the algo service alone knows.
    fn is_in_book(&self, order: &Order) -> bool {
        self.spot() || !algo::is_waiting(order)
    }

    fn cancel(&mut self) -> Answer {
        let id = self.named("orderId", "origClientOrderId")?.id;
        self.cancel_order(id, "newClientOrderId")
    }

    fn cancel_order(&mut self, id: u64, name: &str) -> Answer {
        let request_id = match place::client_id(self.params, name)? {
            Some(id) => id,
            None => random_id(self.cx),
        };
        self.cx.before_cancel(id, self.now);
        let end = (End::User, request_id.as_str());
        self.cx
            .exchange
            .cancel(self.account, id, end, self.now)
            .map_err(|_| unknown())?;
        let order = self
            .cx
            .exchange
            .order(self.account, id)
            .ok_or_else(unknown)?;
        if !self.spot() {
            return Ok(futures::order(&self.cx.exchange, order, false));
        }
        Ok(spot::canceled(&self.cx.exchange, order, &request_id))
    }

    fn cancel_all(&mut self) -> Answer {
        let (index, _) = place::instrument(self.params, self.market)?;
        let (ids, request_id) = self.cancel_those(index, false);
        if !self.spot() {
            let msg = "The operation of cancel all open order is done.";
            return Ok(Obj::new().int("code", 200).str("msg", msg).end());
        }
        if ids.is_empty() {
            return Err(unknown());
        }
        let exchange = &self.cx.exchange;
        let orders = ids
            .iter()
            .filter_map(|id| exchange.order(self.account, *id));
        Ok(list(
            orders.map(|order| spot::canceled(exchange, order, &request_id)),
        ))
    }

    fn cancel_replace(&mut self) -> Answer {
        let stop = match self.params.need("cancelReplaceMode")? {
            "STOP_ON_FAILURE" => true,
            "ALLOW_FAILURE" => false,
            _ => {
                return Err(ApiError::bad(
                    -1130,
                    "Data sent for parameter 'cancelReplaceMode' is not valid.",
                ));
            }
        };
        let canceled = match self.named("cancelOrderId", "cancelOrigClientOrderId") {
            Ok(order) => {
                let id = order.id;
                self.cancel_order(id, "cancelNewClientOrderId")
            }
            Err(error) => Err(error),
        };
        let placed = if canceled.is_err() && stop {
            None
        } else {
            Some(self.place())
        };
        let word = |done: bool| if done { "SUCCESS" } else { "FAILURE" };
        let json = |answer: &Answer| match answer {
            Ok(json) => json.clone(),
            Err(error) => Obj::new()
                .int("code", error.code)
                .str("msg", &error.msg)
                .end(),
        };
        let placed_word = placed
            .as_ref()
            .map_or("NOT_ATTEMPTED", |placed| word(placed.is_ok()));
        let data = Obj::new()
            .str("cancelResult", word(canceled.is_ok()))
            .str("newOrderResult", placed_word)
            .raw("cancelResponse", &json(&canceled))
            .raw(
                "newOrderResponse",
                &placed.as_ref().map_or(b"null".to_vec(), json),
            )
            .end();
        let (code, status, msg) = match (canceled.is_ok(), placed.is_some_and(|p| p.is_ok())) {
            (true, true) => return Ok(data),
            (false, false) => (-2022, 400, "Order cancel-replace failed."),
            _ => (-2021, 409, "Order cancel-replace partially failed."),
        };
        Err(ApiError {
            status,
            code,
            msg: msg.to_owned(),
            data: Some(data),
        })
    }

    fn amend(&mut self) -> Answer {
        let order = self.named("orderId", "origClientOrderId")?;
        let (id, index, lots) = (order.id, order.instrument, order.lots);
        let one = &self.market.instruments[index];
        let wanted = place::quantity(self.params.need("newQty")?, "newQty", &one.spec)?;
        // It may only become smaller.
        let amended = if wanted >= lots {
            Err(Refusal::BadAmendment)
        } else {
            let change = (None, Some(wanted));
            self.cx
                .exchange
                .amend(self.account, id, change, &one.book, self.now)
        };
        let venue = self.cx.venue;
        amended.map_err(|refusal| place::refused(refusal, venue))?;
        let execution_id = self.cx.exchange.newest_report();
        let order = self
            .cx
            .exchange
            .order(self.account, id)
            .ok_or_else(unknown)?;
        Ok(spot::amended(&self.cx.exchange, order, execution_id))
    }

    /// `PUT order` of futures: price and quantity of a limit order.
    fn modify(&mut self) -> Answer {
        let order = self.named("orderId", "origClientOrderId")?;
        let (id, index, old_side) = (order.id, order.instrument, order.side);
        let one = &self.market.instruments[index];
        if place::side(self.params)? != old_side {
            return Err(ApiError::bad(-1117, "Invalid side."));
        }
        let lots = place::quantity(self.params.need("quantity")?, "quantity", &one.spec)?;
        let price = place::price(self.params.need("price")?, "price", &one.spec)?;
        let change = (Some(price), Some(lots));
        let venue = self.cx.venue;
        let changed = self
            .cx
            .exchange
            .amend(self.account, id, change, &one.book, self.now);
        changed.map_err(|refusal| place::refused(refusal, venue))?;
        let order = self
            .cx
            .exchange
            .order(self.account, id)
            .ok_or_else(unknown)?;
        Ok(futures::order(&self.cx.exchange, order, false))
    }

    /// `countdownCancelAll`: all orders of a symbol end then, unless it is called again; 0 stops it.
    fn countdown(&mut self) -> Answer {
        let (index, one) = place::instrument(self.params, self.market)?;
        let span_ms = self.params.number("countdownTime")?;
        let span_ms = span_ms.ok_or_else(|| ApiError::missing("countdownTime"))?;
        if span_ms > 0 {
            let due = self.now.saturating_add(span_ms.saturating_mul(1_000_000));
            self.countdowns.insert((self.account, index), due);
        } else {
            self.countdowns.remove(&(self.account, index));
        }
        let object = Obj::new().str("symbol", &one.spec.symbol);
        Ok(object.str("countdownTime", &span_ms.to_string()).end())
    }

    fn order(&self) -> Answer {
        let order = self
            .named("orderId", "origClientOrderId")
            .map_err(|error| {
                if error.code == -2011 {
                    ApiError::bad(-2013, "Order does not exist.")
                } else {
                    error
                }
            })?;
        Ok(self.told(order))
    }

    fn open_orders(&self) -> Answer {
        let index = match self.params.get("symbol") {
            Some(_) => Some(place::instrument(self.params, self.market)?.0),
            None => None,
        };
        let exchange = &self.cx.exchange;
        let orders = exchange.open_orders(self.account, index).into_iter();
        let orders = orders.filter(|order| self.is_in_book(order));
        Ok(list(orders.map(|order| self.told(order))))
    }

    /// Bounds of a list of the past: (id from, time from, time to, most).
    fn bounds(&self, id: &str) -> Result<(u64, i64, i64, usize), ApiError> {
        let params = self.params;
        let from = params.number(id)?.map_or(0, i64::unsigned_abs);
        let start = params.number("startTime")?.unwrap_or(0);
        let end = params.number("endTime")?.unwrap_or(i64::MAX);
        let limit = params.number("limit")?.unwrap_or(500).clamp(1, 1_000);
        Ok((from, start, end, limit as usize))
    }

    fn all_orders(&self) -> Answer {
        let (index, _) = place::instrument(self.params, self.market)?;
        let (from, start, end, limit) = self.bounds("orderId")?;
        let exchange = &self.cx.exchange;
        let all = exchange.orders(self.account).filter(|order| {
            let time = (start..=end).contains(&ms(order.created_ns));
            order.instrument == index && order.id >= from && time && self.is_in_book(order)
        });
        let all: Vec<_> = all.collect();
        let skip = if from > 0 || start > 0 {
            0
        } else {
            all.len().saturating_sub(limit)
        };
        let chosen = all.iter().skip(skip).take(limit);
        Ok(list(chosen.map(|order| self.told(order))))
    }

    fn trades(&self) -> Answer {
        let (index, _) = place::instrument(self.params, self.market)?;
        let (from, start, end, limit) = self.bounds("fromId")?;
        let of_order = self.params.number("orderId")?.map(i64::unsigned_abs);
        let exchange = &self.cx.exchange;
        let all = exchange.fills(self.account).filter(|fill| {
            let time = (start..=end).contains(&ms(fill.at_ns));
            let wanted = of_order.is_none_or(|id| fill.order_id == id);
            fill.instrument == index && fill.trade_id >= from && time && wanted
        });
        let all: Vec<_> = all.collect();
        // Without a start the newest are meant.
        let skip = if from > 0 || start > 0 {
            0
        } else {
            all.len().saturating_sub(limit)
        };
        let chosen = all.iter().skip(skip).take(limit);
        Ok(list(chosen.map(|fill| self.told_trade(fill))))
    }
}

fn unknown() -> ApiError {
    ApiError::bad(-2011, "Unknown order sent.")
}

/// A report's events, each whole: the execution report and what it did to the balances.
pub(super) fn events(cx: &Common, report: &crate::exchange::Report) -> Vec<Vec<u8>> {
    let (exchange, skew_ns) = (&cx.exchange, cx.faults.skew_ns);
    let execution = spot::execution_report(exchange, report, skew_ns);
    let mut events = vec![execution.clone()];
    if report.twice {
        events.push(execution);
    }
    let listing = &exchange.listings[report.order.instrument];
    let account = report.order.account;
    let at_ns = report.at_ns + skew_ns;
    events.push(spot::account_position(
        exchange,
        account,
        &listing.assets(),
        at_ns,
    ));
    events
}

/// The window of request weight, as `rateLimits` tells it.
pub(super) fn weight_limit(cx: &Common, used: u32) -> Vec<u8> {
    let limits = &cx.limits;
    let window_ns = limits.rest_window_ns.max(SECOND_NS);
    count::one_limit("REQUEST_WEIGHT", window_ns, limits.rest_weight_max, used)
}

//! Trading at Bybit: calls over REST and over the trade link, which answer that a request was
//! accepted and no more, and the private stream that tells what became of it (docs v5/order/*,
//! v5/websocket/trade/guideline, v5/websocket/private/*, v5/rate-limit; 2026-07).

pub(super) mod links;
mod words;

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::exchange::{
    Amount, End, LOTS_MAX, NewOrder, NotUnits, Order, Refusal, Size, Status, Tif, Trigger,
    Unauthorised, Words, parse_units,
};
use crate::json::{Obj, list};
use crate::market::{Instrument, Market, Side};
use crate::num::ms;
use crate::spec::SECOND_NS;
use crate::venue::Common;
use crate::venue::bybit::rest::category;

/// A refusal: `retCode` and `retMsg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError(pub(super) i64, pub(super) String);

fn bad(msg: &str) -> ApiError {
    ApiError(10_001, format!("params error: {msg}"))
}

impl From<Unauthorised> for ApiError {
    fn from(why: Unauthorised) -> Self {
        match why {
            Unauthorised::UnknownKey => Self(10_003, "API key is invalid.".to_owned()),
            Unauthorised::BadSignature | Unauthorised::WrongKind => Self(
                10_004,
                "error sign! please check your signature generation algorithm.".to_owned(),
            ),
        }
    }
}

/// A call that needs an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Op {
    Create,
    Amend,
    Cancel,
    CancelAll,
    Realtime,
    History,
    Executions,
    Wallet,
    Positions,
    AccountInfo,
    SetDcp,
    QueryDcp,
}

/// (call, REST method and path, operation of the trade link).
const CALLS: &[(Op, &str, &str, &str)] = &[
    (Op::Create, "POST", "/v5/order/create", "order.create"),
    (Op::Amend, "POST", "/v5/order/amend", "order.amend"),
    (Op::Cancel, "POST", "/v5/order/cancel", "order.cancel"),
    (Op::CancelAll, "POST", "/v5/order/cancel-all", ""),
    (Op::Realtime, "GET", "/v5/order/realtime", ""),
    (Op::History, "GET", "/v5/order/history", ""),
    (Op::Executions, "GET", "/v5/execution/list", ""),
    (Op::Wallet, "GET", "/v5/account/wallet-balance", ""),
    (Op::Positions, "GET", "/v5/position/list", ""),
    (Op::AccountInfo, "GET", "/v5/account/info", ""),
    (Op::SetDcp, "POST", "/v5/order/disconnected-cancel-all", ""),
    (Op::QueryDcp, "GET", "/v5/account/query-dcp-info", ""),
];

impl Op {
    pub(super) fn of_rest(method: &str, path: &str) -> Option<Self> {
        let found = CALLS.iter().find(|row| row.1 == method && row.2 == path);
        found.map(|row| row.0)
    }

    pub(super) fn of_ws(op: &str) -> Option<Self> {
        CALLS
            .iter()
            .find(|row| !op.is_empty() && row.3 == op)
            .map(|row| row.0)
    }

    pub(super) const fn is_order_entry(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Amend | Self::Cancel | Self::CancelAll
        )
    }
}

/// Calls of a second, by account and endpoint. REST and the trade link share them.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<(usize, Op), VecDeque<i64>>);

/// Most queries a second of one endpoint (docs v5/rate-limit: 50).
const QUERIES_MAX: u32 = 50;

/// What the rate headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    limit: u32,
    left: u32,
    reset_ms: i64,
    over: bool,
}

impl Rates {
    fn charge(&mut self, (account, op): (usize, Op), cx: &Common, now: i64) -> Rate {
        let orders_max = cx
            .limits
            .order_limits
            .first()
            .map_or(QUERIES_MAX, |(_, max)| *max);
        let limit = if op.is_order_entry() {
            orders_max
        } else {
            QUERIES_MAX
        };
        let times = self.0.entry((account, op)).or_default();
        while times.front().is_some_and(|at| now - at >= SECOND_NS) {
            times.pop_front();
        }
        let used = times.len() as u32;
        let over = used >= limit;
        let reset_ms = match times.front() {
            Some(first) if over => ms(first + SECOND_NS),
            _ => ms(now),
        };
        if !over {
            times.push_back(now);
        }
        let left = limit.saturating_sub(used + 1);
        Rate {
            limit,
            left,
            reset_ms,
            over,
        }
    }
}

impl Rate {
    pub(super) fn headers(&self) -> [(&'static str, String); 3] {
        [
            ("X-Bapi-Limit", self.limit.to_string()),
            ("X-Bapi-Limit-Status", self.left.to_string()),
            ("X-Bapi-Limit-Reset-Timestamp", self.reset_ms.to_string()),
        ]
    }
}

/// docs v5/guide: `server_time - recv_window <= timestamp < server_time + 1000`.
pub(super) fn check_time(
    stamp: &str,
    window: Option<&str>,
    server_ms: i64,
) -> Result<(), ApiError> {
    let stamp = stamp
        .parse::<i64>()
        .map_err(|_| bad("timestamp is invalid"))?;
    let window = window
        .unwrap_or("5000")
        .parse::<i64>()
        .map_err(|_| bad("recv_window is invalid"))?;
    if server_ms - window <= stamp && stamp < server_ms + 1_000 {
        return Ok(());
    }
    let msg = format!(
        "invalid request, please check your server timestamp or recv_window param. \
         req_timestamp[{stamp}],server_timestamp[{server_ms}],recv_window[{window}]"
    );
    Err(ApiError(10_002, msg))
}

/// Who signed a REST request.
pub(super) fn authorise(
    cx: &Common,
    header: impl Fn(&str) -> Option<String>,
    payload: &str,
    now: i64,
) -> Result<usize, ApiError> {
    let missing = || ApiError(10_003, "API key is missing.".to_owned());
    let key = header("X-BAPI-API-KEY").ok_or_else(missing)?;
    let stamp = header("X-BAPI-TIMESTAMP").ok_or_else(|| bad("timestamp is missing"))?;
    let sign = header("X-BAPI-SIGN").ok_or_else(|| bad("sign is missing"))?;
    let window = header("X-BAPI-RECV-WINDOW");
    check_time(&stamp, window.as_deref(), ms(now + cx.faults.skew_ns))?;
    let signed = format!("{stamp}{key}{}{payload}", window.unwrap_or_default());
    Ok(cx.keys.check(&key, signed.as_bytes(), &sign)?)
}

/// Cancel on disconnect of one account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dcp {
    /// How long its links may all be gone; zero: it is off.
    pub(super) window_ns: i64,
    /// A link has subscribed to it since it last fired.
    pub(super) armed: bool,
    /// Since when no link holds it.
    pub(super) gone_ns: Option<i64>,
}

/// Parameters: of a query or a JSON body.
pub(super) struct Fields(pub(super) Value);

impl Fields {
    pub(super) fn of_query(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let map = pairs.map(|(key, value)| {
            (
                key.to_owned(),
                Value::from(crate::venue::percent_decode(value)),
            )
        });
        Self(Value::Object(map.collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn int(&self, name: &str) -> Option<i64> {
        let value = self.0.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// What every call needs.
pub(super) struct Call<'a> {
    pub(super) cx: &'a mut Common,
    pub(super) market: &'a Market,
    pub(super) dcp: &'a mut BTreeMap<usize, Dcp>,
    pub(super) fields: &'a Fields,
    pub(super) account: usize,
    pub(super) now: i64,
}

type Answer = Result<Vec<u8>, ApiError>;

/// The kind of order that a request of spot means where it says none (docs v5/order/create-order).
const ORDINARY: &str = "Order";

impl Call<'_> {
    /// Does it. The result is JSON.
    pub(super) fn run(&mut self, op: Op) -> Answer {
        if !matches!(op, Op::Wallet | Op::AccountInfo | Op::SetDcp | Op::QueryDcp)
            && self.fields.get("category") != Some(category(self.cx.venue))
        {
            return Err(bad("Category is invalid"));
        }
        match op {
            Op::Create => self.create(),
            Op::Amend => self.amend(),
            Op::Cancel => self.cancel(),
            Op::CancelAll => self.cancel_all(),
            Op::Realtime | Op::History => self.orders(op),
            Op::Executions => self.executions(),
            Op::Wallet => self.wallet(),
            Op::Positions => self.positions(),
            Op::AccountInfo => Ok(self.account_info()),
            Op::SetDcp => self.set_dcp(),
            Op::QueryDcp => Ok(self.query_dcp()),
        }
    }

    fn spot(&self) -> bool {
        self.cx.venue.is_spot()
    }

    fn instrument(&self) -> Result<(usize, &Instrument), ApiError> {
        let symbol = self
            .fields
            .get("symbol")
            .ok_or_else(|| bad("symbol is required"))?;
        let mut all = self.market.instruments.iter().enumerate();
        all.find(|(_, one)| one.spec.symbol == symbol)
            .ok_or_else(|| {
                if self.spot() {
                    ApiError(170_121, "Invalid symbol.".to_owned())
                } else {
                    ApiError(10_001, "params error: symbol invalid".to_owned())
                }
            })
    }

    fn client_id(&self) -> Result<String, ApiError> {
        let id = self.fields.get("orderLinkId").unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.len() <= 36 && id.chars().all(legal) {
            Ok(id.to_owned())
        } else {
            Err(bad("OrderLinkId invalid"))
        }
    }

    fn price(&self, name: &str, one: &Instrument) -> Result<i64, ApiError> {
        let spot = self.spot();
        let text = self
            .fields
            .get(name)
            .ok_or_else(|| bad(&format!("{name} is required")))?;
        let ticks = parse_units(text, one.spec.price).map_err(|why| match (why, spot) {
            (NotUnits::Malformed, _) => bad(&format!("{name} invalid")),
            (_, true) => ApiError(170_134, "Order price has too many decimals.".to_owned()),
            (_, false) => bad("price error"),
        })?;
        if (1..=one.spec.mid_ticks * 20).contains(&ticks) {
            return Ok(ticks);
        }
        Err(if spot {
            ApiError(170_132, "Order price too high.".to_owned())
        } else {
            ApiError(
                110_003,
                "Order price exceeds the allowable range.".to_owned(),
            )
        })
    }

    fn lots(&self, one: &Instrument) -> Result<i64, ApiError> {
        let spot = self.spot();
        let text = self
            .fields
            .get("qty")
            .ok_or_else(|| bad("qty is required"))?;
        let lots = parse_units(text, one.spec.qty).map_err(|why| match (why, spot) {
            (NotUnits::Malformed, _) => bad("qty invalid"),
            (_, true) => ApiError(170_137, "Order quantity has too many decimals.".to_owned()),
            (_, false) => bad("Qty invalid"),
        })?;
        let most = if spot { 230_000_000 } else { 1_500_000 };
        match (lots, spot) {
            (..=0, true) => Err(ApiError(
                170_136,
                "Order quantity below the lower limit.".to_owned(),
            )),
            (..=0, false) => Err(bad(
                "The number of contracts is below the minimum limit allowed",
            )),
            (lots, _) if lots > most.min(LOTS_MAX) => Err(if spot {
                ApiError(170_135, "Order quantity exceeded upper limit.".to_owned())
            } else {
                bad("The number of contracts exceeds maximum limit allowed")
            }),
            (lots, _) => Ok(lots),
        }
    }

    fn create(&mut self) -> Answer {
        let new = self.parse()?;
        let client_id = new.client_id.clone();
        let venue = self.cx.venue;
        let book = &self.market.instruments[new.instrument].book;
        let id = match self.cx.exchange.place(new.clone(), book, self.now) {
            Ok(id) => id,
            // Accepted; that it cannot be is told by the order stream alone.
            Err(Refusal::WouldTake) => {
                let end = (Status::Canceled, End::PostOnly);
                self.cx.exchange.place_ended(&new, end, self.now)
            }
            Err(Refusal::NoLiquidity) => {
                let end = (Status::Canceled, End::Liquidity);
                self.cx.exchange.place_ended(&new, end, self.now)
            }
            Err(refusal) => return Err(self.refused(refusal)),
        };
        Ok(named(&words::order_id(venue, id), &client_id))
    }

    fn refused(&self, refusal: Refusal) -> ApiError {
        let (code, msg) = words::refused(refusal, self.spot());
        ApiError(code, msg.to_owned())
    }

    fn parse(&self) -> Result<NewOrder, ApiError> {
        let (index, one) = self.instrument()?;
        let (fields, spot) = (self.fields, self.spot());
        let side = match fields.get("side") {
            Some("Buy") => Side::Bid,
            Some("Sell") => Side::Ask,
            _ => return Err(bad("Side invalid")),
        };
        let is_market = match fields.get("orderType") {
            Some("Limit") => false,
            Some("Market") => true,
            _ => return Err(bad("OrderType invalid")),
        };
        if fields.int("positionIdx").unwrap_or(0) != 0 {
            return Err(ApiError(
                10_001,
                "position idx not match position mode".to_owned(),
            ));
        }
        let (tif, post_only, tif_name) = match fields.get("timeInForce") {
            _ if is_market => (Tif::Ioc, false, "IOC"),
            None | Some("GTC") => (Tif::Gtc, false, "GTC"),
            Some("IOC") => (Tif::Ioc, false, "IOC"),
            Some("FOK") => (Tif::Fok, false, "FOK"),
            Some("PostOnly") => (Tif::Gtc, true, "PostOnly"),
            Some(_) => return Err(bad("TimeInForce invalid")),
        };
        let price = if is_market {
            None
        } else {
            Some(self.price("price", one)?)
        };
        let in_quote = match (spot && is_market, fields.get("marketUnit")) {
            // The trap of this venue: what a market buyer gives is an amount of quote.
            (true, None) => side == Side::Bid,
            (true, Some("quoteCoin")) => true,
            (true, Some("baseCoin")) | (false, _) => false,
            (true, Some(_)) => return Err(bad("marketUnit invalid")),
        };
        let last = one.tape.day.close;
        let listing = &self.cx.exchange.listings[index];
        let (size, value) = if in_quote {
            let quote = fields
                .get("qty")
                .and_then(Amount::parse)
                .filter(|q| *q > Amount::ZERO);
            let quote = quote.ok_or_else(|| bad("qty invalid"))?;
            (Size::Quote(quote), quote)
        } else {
            let lots = self.lots(one)?;
            (Size::Lots(lots), listing.value(price.unwrap_or(last), lots))
        };
        let reduce_only = fields.flag("reduceOnly") && !spot;
        if value < Amount::scaled(5, 0) && !reduce_only {
            return Err(if spot {
                ApiError(170_140, "Order value exceeded lower limit.".to_owned())
            } else {
                ApiError(
                    110_094,
                    "Order does not meet minimum order value 5USDT".to_owned(),
                )
            });
        }
        // The trap of spot: without the word for it, it is an order of now.
        let of_stops = fields.get("orderFilter").is_some_and(|of| of != ORDINARY);
        let trigger = if fields.get("triggerPrice").is_some() && (of_stops || !spot) {
            let price = self.price("triggerPrice", one)?;
            let rising = match fields.int("triggerDirection") {
                Some(1) => true,
                Some(2) => false,
                None if spot => price > last,
                _ => return Err(bad("triggerDirection is required")),
            };
            let by = match fields.get("triggerBy") {
                None | Some("LastPrice") => "LastPrice",
                Some("MarkPrice") if !spot => "MarkPrice",
                Some("IndexPrice") if !spot => "IndexPrice",
                Some(_) => return Err(bad("triggerBy invalid")),
            };
            Some(Trigger {
                price,
                rising,
                by,
                // "Assets are occupied even before" it triggers, of this kind alone (create-order).
                holds: fields.get("orderFilter") == Some("tpslOrder"),
            })
        } else {
            None
        };
        Ok(NewOrder {
            account: self.account,
            instrument: index,
            client_id: self.client_id()?,
            side,
            price,
            size,
            tif,
            post_only,
            reduce_only,
            trigger,
            expires_ns: None,
            words: Words {
                kind: if is_market { "Market" } else { "Limit" },
                tif: tif_name,
                strict: true,
            },
        })
    }

    /// The order that a request names, which must be open if it is to be changed.
    fn order(&self) -> Result<&Order, ApiError> {
        let (index, _) = self.instrument()?;
        let exchange = &self.cx.exchange;
        let found = match (self.fields.get("orderId"), self.fields.get("orderLinkId")) {
            (Some(text), _) => {
                let id = words::parse_order_id(self.cx.venue, text);
                id.and_then(|id| exchange.order(self.account, id))
            }
            (None, Some(name)) => exchange.order_by_client_id(self.account, name),
            (None, None) => return Err(bad("OrderId or orderLinkId is required")),
        };
        let found = found.filter(|order| order.instrument == index);
        found.ok_or_else(|| self.refused(Refusal::UnknownOrder))
    }

    /// Why an order that has ended cannot be changed.
    fn ended(&self, order: &Order) -> ApiError {
        let (code, msg) = match (self.spot(), order.status) {
            (true, Status::Filled) => (170_139, "Order has been filled."),
            (true, _) => (170_142, "Order has been canceled."),
            (false, _) => (110_001, "order not exists or too late to cancel"),
        };
        ApiError(code, msg.to_owned())
    }

    /// Whether a request that changes orders means this one: of spot, orders of the book unless it names
    /// another kind.
    fn is_meant(&self, order: &Order) -> bool {
        let kind = match order.trigger.filter(|_| order.status == Status::Waiting) {
            None => ORDINARY,
            Some(trigger) if trigger.holds => "tpslOrder",
            Some(_) => "StopOrder",
        };
        !self.spot() || self.fields.get("orderFilter").unwrap_or(ORDINARY) == kind
    }

    fn cancel(&mut self) -> Answer {
        let order = self.order()?;
        if order.is_open() && !self.is_meant(order) {
            return Err(self.refused(Refusal::UnknownOrder));
        }
        let id = order.id;
        self.cx.before_cancel(id, self.now);
        let order = self.order()?;
        if !order.is_open() {
            return Err(self.ended(order));
        }
        let answer = named(&words::order_id(self.cx.venue, id), &order.client_id);
        let done = self
            .cx
            .exchange
            .cancel(self.account, id, (End::User, ""), self.now);
        done.map_err(|refusal| self.refused(refusal))?;
        Ok(answer)
    }

    fn cancel_all(&mut self) -> Answer {
        let index = match self.fields.get("symbol") {
            Some(_) => Some(self.instrument()?.0),
            None if self.spot() || self.settles() => None,
            None => return Err(bad("symbol, baseCoin or settleCoin is required")),
        };
        let venue = self.cx.venue;
        let open = self.cx.exchange.open_orders(self.account, index);
        let meant = open.into_iter().filter(|order| self.is_meant(order));
        let ids: Vec<u64> = meant.map(|order| order.id).collect();
        for id in &ids {
            // It is open: nothing came between.
            let _ = self
                .cx
                .exchange
                .cancel(self.account, *id, (End::User, ""), self.now);
        }
        let orders = ids
            .iter()
            .filter_map(|id| self.cx.exchange.order(self.account, *id));
        let told = list(orders.map(|o| named(&words::order_id(venue, o.id), &o.client_id)));
        Ok(Obj::new().raw("list", &told).str("success", "1").end())
    }

    /// Whether a list is of what an instrument settles in, where it says one.
    fn is_settled(&self, instrument: usize) -> bool {
        let listing = &self.cx.exchange.listings[instrument];
        let coin = self.fields.get("settleCoin");
        coin.is_none_or(|coin| coin == listing.quote_asset())
    }

    fn settles(&self) -> bool {
        self.fields.get("settleCoin").is_some() || self.fields.get("baseCoin").is_some()
    }

    fn amend(&mut self) -> Answer {
        let order = self.order()?;
        if !order.is_open() {
            return Err(self.ended(order));
        }
        let (id, index) = (order.id, order.instrument);
        let answer = named(&words::order_id(self.cx.venue, id), &order.client_id);
        let one = &self.market.instruments[index];
        let price = match self.fields.get("price") {
            Some(_) => Some(self.price("price", one)?),
            None => None,
        };
        let lots = match self.fields.get("qty") {
            Some(_) => Some(self.lots(one)?),
            None => None,
        };
        let exchange = &mut self.cx.exchange;
        match exchange.amend(self.account, id, (price, lots), &one.book, self.now) {
            Ok(()) => Ok(answer),
            // Accepted, and then it ends as any post-only order that would take.
            Err(Refusal::WouldTake) => {
                let end = (End::PostOnly, "");
                let done = exchange.cancel(self.account, id, end, self.now);
                done.map_err(|refusal| self.refused(refusal))?;
                Ok(answer)
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Most rows of a page.
    fn limit(&self, default: i64, most: i64) -> usize {
        self.fields.int("limit").unwrap_or(default).clamp(1, most) as usize
    }

    fn orders(&self, op: Op) -> Answer {
        let index = match self.fields.get("symbol") {
            Some(_) => Some(self.instrument()?.0),
            None if self.spot() || self.settles() || op == Op::History => None,
            None => return Err(bad("symbol, baseCoin or settleCoin is required")),
        };
        let (venue, exchange) = (self.cx.venue, &self.cx.exchange);
        let by_id = self.fields.get("orderId");
        let wanted_id = by_id.map(|text| words::parse_order_id(venue, text));
        let by_name = self.fields.get("orderLinkId");
        let is_named = by_id.is_some() || by_name.is_some();
        // With a name or `openOnly=1` (or for ended ones by name) closed orders are told too.
        let closed = op == Op::History || is_named || self.fields.int("openOnly") == Some(1);
        let chosen = exchange.orders(self.account).rev().filter(|order| {
            index.is_none_or(|index| order.instrument == index)
                && self.is_settled(order.instrument)
                && wanted_id.is_none_or(|id| id == Some(order.id))
                && by_name.is_none_or(|name| order.client_id == name)
                && (order.is_open() || closed)
                && (op != Op::History || !order.is_open() || is_named)
        });
        self.page(chosen.map(|order| words::order(venue, exchange, order)))
    }

    /// One page of a list, and the cursor of the next: how many rows were told so far.
    fn page(&self, rows: impl Iterator<Item = Vec<u8>>) -> Answer {
        let skip = self.fields.int("cursor").unwrap_or(0).max(0) as usize;
        let limit = self.limit(20, 50);
        let mut rows = rows.skip(skip).take(limit + 1).collect::<Vec<_>>();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = if more {
            (skip + limit).to_string()
        } else {
            String::new()
        };
        Ok(Obj::new()
            .raw("list", &list(rows))
            .str("nextPageCursor", &cursor)
            .str("category", category(self.cx.venue))
            .end())
    }

    fn executions(&self) -> Answer {
        let index = match self.fields.get("symbol") {
            Some(_) => Some(self.instrument()?.0),
            None => None,
        };
        let (venue, exchange) = (self.cx.venue, &self.cx.exchange);
        let of_order = match self.fields.get("orderId") {
            Some(text) => Some(words::parse_order_id(venue, text)),
            None => self.fields.get("orderLinkId").map(|name| {
                exchange
                    .order_by_client_id(self.account, name)
                    .map(|order| order.id)
            }),
        };
        let start = self.fields.int("startTime").unwrap_or(0);
        let end = self.fields.int("endTime").unwrap_or(i64::MAX);
        let chosen = exchange.fills(self.account).rev().filter(|fill| {
            index.is_none_or(|index| fill.instrument == index)
                && of_order.is_none_or(|id| id == Some(fill.order_id))
                && (start..=end).contains(&ms(fill.at_ns))
        });
        self.page(chosen.map(|fill| words::executed(venue, exchange, fill)))
    }

    fn wallet(&self) -> Answer {
        if self.fields.get("accountType") != Some("UNIFIED") {
            return Err(bad("accountType only support UNIFIED"));
        }
        let coins: Vec<&str> = self
            .fields
            .get("coin")
            .map_or_else(Vec::new, |c| c.split(',').collect());
        let wallet = words::wallet(&self.cx.exchange, self.market, self.account, &coins);
        Ok(Obj::new().raw("list", &list([wallet])).end())
    }

    fn positions(&self) -> Answer {
        if self.spot() {
            return Err(bad("Category is invalid"));
        }
        let index = match self.fields.get("symbol") {
            Some(_) => Some(self.instrument()?.0),
            None if self.settles() => None,
            None => return Err(bad("symbol or settleCoin is required")),
        };
        let (venue, exchange) = (self.cx.venue, &self.cx.exchange);
        let all = (0..exchange.listings.len()).filter(|one| match index {
            Some(index) => *one == index,
            None => exchange.position(self.account, *one).lots != 0 && self.is_settled(*one),
        });
        self.page(
            all.map(|one| words::position(venue, exchange, (self.account, one), false, self.now)),
        )
    }

    fn account_info(&self) -> Vec<u8> {
        let dcp = self.dcp.get(&self.account).copied().unwrap_or_default();
        Obj::new()
            .str("marginMode", "REGULAR_MARGIN")
            .str("updatedTime", &ms(self.now).to_string())
            .int("unifiedMarginStatus", 4)
            .str("dcpStatus", if dcp.window_ns > 0 { "ON" } else { "OFF" })
            .int(
                "timeWindow",
                if dcp.window_ns > 0 {
                    dcp.window_ns / SECOND_NS
                } else {
                    10
                },
            )
            .int("smpGroup", 0)
            .bool("isMasterTrader", false)
            .str("spotHedgingStatus", "OFF")
            .end()
    }

    /// docs v5/account/dcp-info: every product, here all with one window.
    fn query_dcp(&self) -> Vec<u8> {
        let window_ns = self.dcp.get(&self.account).map_or(0, |dcp| dcp.window_ns);
        let products = if window_ns > 0 {
            &["SPOT", "DERIVATIVES", "OPTIONS"][..]
        } else {
            &[]
        };
        let infos = products.iter().map(|product| {
            Obj::new()
                .str("product", product)
                .str("dcpStatus", "ON")
                .str("timeWindow", &(window_ns / SECOND_NS).to_string())
                .end()
        });
        Obj::new().raw("dcpInfos", &list(infos)).end()
    }

    /// docs v5/order/dcp: 3 to 300 seconds.
    fn set_dcp(&mut self) -> Answer {
        let window = self.fields.int("timeWindow").unwrap_or(0);
        if !(3..=300).contains(&window) {
            return Err(bad("timeWindow must be from 3 to 300"));
        }
        self.dcp.entry(self.account).or_default().window_ns = window * SECOND_NS;
        Ok(b"{}".to_vec())
    }
}

fn named(id: &str, client_id: &str) -> Vec<u8> {
    Obj::new()
        .str("orderId", id)
        .str("orderLinkId", client_id)
        .end()
}

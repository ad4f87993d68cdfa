//! Trading at Deribit: private calls, which are the same over WebSocket and HTTP, the account's
//! channels, and cancel-on-disconnect (API v2.1.1 private/buy, edit, cancel*, get_*,
//! enable_cancel_on_disconnect; 2026-07).

mod http;
mod words;

use std::collections::BTreeSet;

use serde_json::Value;

pub(super) use words::rates;

use super::{Call as Request, Deribit};
use crate::exchange::{
    End, LOTS_MAX, NewOrder, NotUnits, Order, Refusal, Size, Tif, Trigger, Words, parse_units,
};
use crate::fault::Ack;
use crate::json::{Obj, list};
use crate::market::{Instrument, Market, Side};
use crate::outbox::{ConnId, Outbox};
use crate::stats::Counters;
use crate::venue::{Common, PRIVATE_LINK};

/// An error: code and text, and the parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError(
    pub(super) i64,
    pub(super) &'static str,
    pub(super) &'static str,
);

fn bad(param: &'static str) -> ApiError {
    ApiError(-32_602, "Invalid params", param)
}

type Answer = Result<Vec<u8>, ApiError>;

/// Most lots of an order.
const QTY_MAX: i64 = 100_000_000;

/// What a session has of its account.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) account: Option<usize>,
    /// Its orders end with its connection.
    cancel_on_disconnect: bool,
    /// Orders that were made on it.
    orders: BTreeSet<u64>,
}

/// Whether a call changes orders, and pays with the credits of the matching engine.
pub(super) fn is_order_entry(method: &str) -> bool {
    let Some(call) = method.strip_prefix("private/") else {
        return false;
    };
    matches!(call, "buy" | "sell") || call.starts_with("edit") || is_cancel(call)
}

fn is_cancel(call: &str) -> bool {
    call == "cancel" || call.starts_with("cancel_all") || call == "cancel_by_label"
}

/// Whether a call is about the connection that it comes on.
fn needs_connection(call: &str) -> bool {
    matches!(
        call,
        "enable_cancel_on_disconnect" | "disable_cancel_on_disconnect"
    )
}

/// What every call needs.
struct Call<'a> {
    cx: &'a mut Common,
    market: &'a Market,
    seat: &'a mut Seat,
    params: &'a Value,
    account: usize,
    now: i64,
}

impl Call<'_> {
    fn run(&mut self, call: &str) -> Option<Answer> {
        Some(match call {
            "buy" => self.place(Side::Bid),
            "sell" => self.place(Side::Ask),
            "edit" => self.edit(false),
            "edit_by_label" => self.edit(true),
            "cancel" => self.cancel(),
            "cancel_all"
            | "cancel_all_by_currency"
            | "cancel_all_by_instrument"
            | "cancel_all_by_kind_or_type"
            | "cancel_by_label" => self.cancel_some(),
            "get_order_state" => self
                .named()
                .map(|order| words::order(&self.cx.exchange, order)),
            "get_open_orders"
            | "get_open_orders_by_currency"
            | "get_open_orders_by_instrument"
            | "get_open_orders_by_label"
            | "get_order_state_by_label" => self.open_orders(call),
            "get_user_trades_by_order"
            | "get_user_trades_by_instrument"
            | "get_user_trades_by_currency" => self.trades(call),
            "get_position" => self.instrument().map(|(index, _)| {
                words::position(self.cx.venue, &self.cx.exchange, self.account, index)
            }),
            "get_positions" => Ok(self.positions()),
            "get_account_summary" => match self.text("currency") {
                Some(currency) => Ok(self.summary(currency)),
                None => Err(bad("currency")),
            },
            "get_account_summaries" => {
                let assets = self.cx.exchange.balances(self.account);
                let all: Vec<_> = assets.map(|(asset, _)| self.summary(asset)).collect();
                Ok(Obj::new()
                    .int("id", 10)
                    .str("type", "main")
                    .raw("summaries", &list(all))
                    .end())
            }
            "enable_cancel_on_disconnect" | "disable_cancel_on_disconnect" => {
                self.seat.cancel_on_disconnect = call.starts_with("enable");
                Ok(b"\"ok\"".to_vec())
            }
            "get_cancel_on_disconnect" => {
                let scope = self.text("scope").unwrap_or("connection");
                let enabled = self.seat.cancel_on_disconnect;
                Ok(Obj::new()
                    .str("scope", scope)
                    .bool("enabled", enabled)
                    .end())
            }
            _ => return None,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// A flag as JSON or, over HTTP, as text.
    fn flag(&self, name: &str) -> bool {
        let value = self.params.get(name);
        value.is_some_and(|value| value.as_bool().unwrap_or(value == "true"))
    }

    fn instrument(&self) -> Result<(usize, &Instrument), ApiError> {
        let name = self.text("instrument_name").ok_or(bad("instrument_name"))?;
        let mut all = self.market.instruments.iter().enumerate();
        let found = all.find(|(_, one)| one.spec.symbol == name);
        found.ok_or(ApiError(13_020, "not_found", "instrument_name"))
    }

    fn price(&self, name: &'static str, one: &Instrument) -> Result<Option<i64>, ApiError> {
        let wrong_tick = match name {
            "trigger_price" => ApiError(10_044, "trigger_price_wrong_tick", name),
            _ => ApiError(10_043, "price_wrong_tick", name),
        };
        let Some(text) = words::number_text(self.params.get(name)) else {
            return Ok(None);
        };
        let ticks = parse_units(&text, one.spec.price).map_err(|why| match why {
            NotUnits::Malformed => bad(name),
            NotUnits::Precision | NotUnits::Step => wrong_tick,
        })?;
        match ticks {
            ..=0 => Err(ApiError(10_005, "price_too_low", name)),
            ticks if ticks > one.spec.mid_ticks * 20 => {
                Err(ApiError(10_007, "price_too_high", name))
            }
            ticks => Ok(Some(ticks)),
        }
    }

    fn lots(&self, one: &Instrument) -> Result<Option<i64>, ApiError> {
        if let Some(contracts) = self.params.get("contracts").and_then(Value::as_i64)
            && self.params.get("amount").is_none()
        {
            return Ok(Some(contracts));
        }
        let Some(text) = words::number_text(self.params.get("amount")) else {
            return Ok(None);
        };
        let lots = parse_units(&text, one.spec.qty).map_err(|why| match why {
            NotUnits::Malformed => bad("amount"),
            NotUnits::Precision | NotUnits::Step => ApiError(10_021, "invalid_amount", "amount"),
        })?;
        match lots {
            ..=0 => Err(ApiError(10_002, "qty_too_low", "amount")),
            lots if lots > QTY_MAX.min(LOTS_MAX) => {
                Err(ApiError(10_021, "invalid_amount", "amount"))
            }
            lots => Ok(Some(lots)),
        }
    }

    fn parse(&self, side: Side) -> Result<NewOrder, ApiError> {
        let (index, one) = self.instrument()?;
        let (kind, has_price, stop) = match self.text("type").unwrap_or("limit") {
            "limit" => ("limit", true, None),
            "market" => ("market", false, None),
            "stop_limit" => ("stop_limit", true, Some(true)),
            "stop_market" => ("stop_market", false, Some(true)),
            "take_limit" => ("take_limit", true, Some(false)),
            "take_market" => ("take_market", false, Some(false)),
            _ => return Err(bad("type")),
        };
        let (tif, tif_name) = match self.text("time_in_force") {
            None | Some("good_til_cancelled") => (Tif::Gtc, "good_til_cancelled"),
            Some("good_til_day") => (Tif::Gtc, "good_til_day"),
            Some("immediate_or_cancel") => (Tif::Ioc, "immediate_or_cancel"),
            Some("fill_or_kill") => (Tif::Fok, "fill_or_kill"),
            Some(_) => return Err(bad("time_in_force")),
        };
        let price = if has_price {
            Some(self.price("price", one)?.ok_or(bad("price"))?)
        } else {
            None
        };
        let trigger = match stop {
            Some(loss) => {
                let price = self
                    .price("trigger_price", one)?
                    .ok_or(bad("trigger_price"))?;
                // "Required for Stop-Loss and Take-Profit order types" (private/buy).
                let by = match self.text("trigger") {
                    Some("last_price") => "last_price",
                    Some("mark_price") => "mark_price",
                    Some("index_price") => "index_price",
                    _ => return Err(bad("trigger")),
                };
                Some(Trigger {
                    price,
                    rising: (side == Side::Bid) == loss,
                    by,
                    holds: false,
                })
            }
            None => None,
        };
        let label = self.text("label").unwrap_or_default();
        if label.len() > 64 {
            return Err(bad("label"));
        }
        // Until the next settlement, at 08:00 UTC.
        let day_ns = 86_400 * crate::spec::SECOND_NS;
        let since_ns = (self.now - day_ns / 3).rem_euclid(day_ns);
        let expires_ns = (tif_name == "good_til_day").then_some(self.now - since_ns + day_ns);
        Ok(NewOrder {
            account: self.account,
            instrument: index,
            client_id: label.to_owned(),
            side,
            price,
            size: Size::Lots(self.lots(one)?.ok_or(bad("amount"))?),
            tif,
            post_only: self.flag("post_only") && has_price,
            reduce_only: self.flag("reduce_only"),
            trigger,
            expires_ns,
            words: Words {
                kind,
                tif: tif_name,
                strict: self.flag("reject_post_only"),
            },
        })
    }

    fn place(&mut self, side: Side) -> Answer {
        let until = self.params.get("valid_until").and_then(Value::as_i64);
        let server_ms = crate::num::ms(self.now + self.cx.faults.skew_ns);
        if until.is_some_and(|until| server_ms > until) {
            return Err(ApiError(13_888, "timed_out", "valid_until"));
        }
        let mut new = self.parse(side)?;
        let book = &self.market.instruments[new.instrument].book;
        let exchange = &mut self.cx.exchange;
        let mut placed = exchange.place(new.clone(), book, self.now);
        // Unless it is to be refused, a post-only order that would take moves off the other side.
        if placed == Err(Refusal::WouldTake) && !new.words.strict {
            let best = exchange.best_against(new.instrument, side, book);
            new.price = best.map(|best| (best - side.sign()).max(1));
            placed = exchange.place(new, book, self.now);
        }
        let id = placed.map_err(refused)?;
        self.seat.orders.insert(id);
        self.order_and_trades(id, 0)
    }

    /// `{"order":..,"trades":[..]}`, of the fills after the first ones.
    fn order_and_trades(&self, id: u64, known: usize) -> Answer {
        let exchange = &self.cx.exchange;
        let order = exchange
            .order(self.account, id)
            .ok_or(refused(Refusal::UnknownOrder))?;
        let fills = exchange
            .fills(self.account)
            .filter(|fill| fill.order_id == id)
            .skip(known);
        let trades = fills.map(|fill| words::trade(exchange, fill, Some(order)));
        Ok(Obj::new()
            .raw("order", &words::order(exchange, order))
            .raw("trades", &list(trades))
            .end())
    }

    /// The order that `order_id` names.
    fn named(&self) -> Result<&Order, ApiError> {
        let text = self.text("order_id").ok_or(bad("order_id"))?;
        let exchange = &self.cx.exchange;
        let id = words::parse_order_id(text);
        let found = id.and_then(|id| exchange.order(self.account, id));
        // A stop that has triggered is another order, of another id.
        let found = found.filter(|order| words::order_id(exchange, order) == text);
        found.ok_or(refused(Refusal::UnknownOrder))
    }

    /// Why an order that has ended can't be changed.
    fn ended(order: &Order) -> ApiError {
        if order.left() == 0 {
            ApiError(11_008, "already_filled", "order_id")
        } else {
            ApiError(11_044, "not_open_order", "order_id")
        }
    }

    fn edit(&mut self, by_label: bool) -> Answer {
        let order = if by_label {
            let label = self.text("label").ok_or(bad("label"))?;
            let found = self.cx.exchange.order_by_client_id(self.account, label);
            found.ok_or(refused(Refusal::UnknownOrder))?
        } else {
            self.named()?
        };
        if !order.is_open() {
            return Err(Self::ended(order));
        }
        let (id, index) = (order.id, order.instrument);
        let one = &self.market.instruments[index];
        let change = (self.price("price", one)?, self.lots(one)?);
        let exchange = &mut self.cx.exchange;
        let known = exchange
            .fills(self.account)
            .filter(|fill| fill.order_id == id)
            .count();
        let changed = exchange.amend(self.account, id, change, &one.book, self.now);
        changed.map_err(refused)?;
        self.order_and_trades(id, known)
    }

    fn cancel(&mut self) -> Answer {
        let id = self.named()?.id;
        self.cx.before_cancel(id, self.now);
        let order = self.named()?;
        if !order.is_open() {
            return Err(Self::ended(order));
        }
        let done = self
            .cx
            .exchange
            .cancel(self.account, id, (End::User, ""), self.now);
        done.map_err(refused)?;
        self.named()
            .map(|order| words::order(&self.cx.exchange, order))
    }

    /// Whether an order is of the instrument, currency and label that the parameters name.
    fn is_meant(&self, order: &Order) -> bool {
        let listing = &self.cx.exchange.listings[order.instrument];
        let base = listing.symbol.split(['-', '_']).next().unwrap_or_default();
        self.text("instrument_name")
            .is_none_or(|name| name == listing.symbol)
            && self
                .text("label")
                .is_none_or(|label| label == order.client_id)
            && self.text("currency").is_none_or(|currency| {
                currency == "any" || currency == base || currency == listing.quote_asset()
            })
    }

    fn cancel_some(&mut self) -> Answer {
        let open = self.cx.exchange.open_orders(self.account, None).into_iter();
        let ids: Vec<u64> = open
            .filter(|o| self.is_meant(o))
            .map(|order| order.id)
            .collect();
        for id in &ids {
            // It is open: nothing came between.
            let _ = self
                .cx
                .exchange
                .cancel(self.account, *id, (End::User, ""), self.now);
        }
        Ok(ids.len().to_string().into_bytes())
    }

    fn open_orders(&self, call: &str) -> Answer {
        let exchange = &self.cx.exchange;
        let with_ended = call.starts_with("get_order_state");
        let all = exchange
            .orders(self.account)
            .filter(|order| (order.is_open() || with_ended) && self.is_meant(order));
        let objects = all.flat_map(|order| {
            let spent = words::spent_stop(exchange, order).filter(|_| with_ended);
            [Some(words::order(exchange, order)), spent]
        });
        Ok(list(objects.flatten()))
    }

    fn trades(&self, call: &str) -> Answer {
        let exchange = &self.cx.exchange;
        let by_order = call.ends_with("by_order");
        let wanted = self.text("order_id").map(words::parse_order_id);
        if by_order && wanted.is_none() {
            return Err(bad("order_id"));
        }
        let count = self
            .params
            .get("count")
            .and_then(Value::as_i64)
            .unwrap_or(100)
            .clamp(1, 1_000);
        let since_ms = self.params.get("start_timestamp").and_then(Value::as_i64);
        let ascending = self.text("sorting") == Some("asc");
        let mine = exchange.fills(self.account).rev().filter(|fill| {
            let order = exchange.order(self.account, fill.order_id);
            wanted.is_none_or(|id| id == Some(fill.order_id))
                && since_ms.is_none_or(|since| crate::num::ms(fill.at_ns) >= since)
                && (by_order || order.is_none_or(|order| self.is_meant(order)))
        });
        let mut mine: Vec<_> = mine.collect();
        let more = mine.len() > count as usize;
        // The oldest of them, or the newest; told in order.
        if ascending {
            mine.reverse();
        }
        mine.truncate(count as usize);
        if !ascending {
            mine.reverse();
        }
        let told = mine
            .iter()
            .map(|fill| words::trade(exchange, fill, exchange.order(self.account, fill.order_id)));
        let told = list(told);
        Ok(if by_order {
            told
        } else {
            Obj::new().raw("trades", &told).bool("has_more", more).end()
        })
    }

    fn positions(&self) -> Vec<u8> {
        let (venue, exchange) = (self.cx.venue, &self.cx.exchange);
        let all = (0..exchange.listings.len())
            .filter(|index| exchange.position(self.account, *index).lots != 0);
        list(all.map(|index| words::position(venue, exchange, self.account, index)))
    }

    fn summary(&self, currency: &str) -> Vec<u8> {
        words::summary(&self.cx.exchange, &self.cx.limits, self.account, currency)
    }
}

fn refused(refusal: Refusal) -> ApiError {
    let (code, text) = words::refused(refusal);
    ApiError(code, text, "")
}

impl Deribit {
    /// A private call over WebSocket. False: it is none.
    pub(super) fn private_call(
        &mut self,
        conn: ConnId,
        request: &Request,
        now: i64,
        out: &mut Outbox,
    ) -> bool {
        let Some(call) = request.method.strip_prefix("private/") else {
            return false;
        };
        let (Some(session), Some(market)) = (self.sessions.get_mut(&conn), self.feed.market())
        else {
            return false;
        };
        let Some(account) = session.seat.account else {
            return false;
        };
        let cx = &mut self.common;
        let (seat, params) = (&mut session.seat, &request.params);
        let Some(answer) = (Call {
            cx,
            market,
            seat,
            params,
            account,
            now,
        })
        .run(call) else {
            return false;
        };
        let mut ack = Ack::Now;
        let answer = answer.and_then(|result| {
            ack = self
                .common
                .faults
                .take_ack(is_order_entry(&request.method), now);
            match ack {
                Ack::Error(_) => Err(ApiError(11_094, "internal_server_error", "")),
                _ => Ok(result),
            }
        });
        let text = self.answer_text(Some(&request.id), answer, now);
        self.common.answer(conn, text, ack, now, out);
        true
    }

    /// The text of an answer, to a request with or without an id.
    fn answer_text(&self, id: Option<&Value>, answer: Answer, now: i64) -> Vec<u8> {
        let mut object = Obj::new().str("jsonrpc", "2.0");
        if let Some(id) = id.filter(|id| !id.is_null()) {
            object = object.raw("id", id.to_string().as_bytes());
        }
        object = match answer {
            Ok(result) => object.raw("result", &result),
            Err(ApiError(code, text, param)) => {
                Counters::add(&self.common.counters.rejects, 1);
                let mut error = Obj::new().str("message", text);
                if !param.is_empty() {
                    let data = Obj::new().str("reason", "wrong format").str("param", param);
                    error = error.raw("data", &data.end());
                }
                object.raw("error", &error.int("code", code).end())
            }
        };
        let mut text = object.end();
        // The tail closes the object itself.
        text.pop();
        super::rest::write_tail(
            &mut super::Json(&mut text),
            now + self.common.faults.skew_ns,
        );
        text
    }

    /// Tells accounts what happened to their orders.
    pub(super) fn push_reports(&mut self, out: &mut Outbox) {
        if !self.common.exchange.has_reports() {
            return;
        }
        self.common.mark_duplicates();
        for report in self.common.exchange.take_reports() {
            for (conn, session) in &self.sessions {
                if session.seat.account != Some(report.order.account) {
                    continue;
                }
                for channel in &session.topics {
                    let (venue, exchange) = (self.common.venue, &self.common.exchange);
                    let sums = words::portfolios(exchange, channel, &report).into_iter();
                    let told = words::channel_data(venue, exchange, channel, &report);
                    for (data, is_trade) in told.into_iter().chain(sums.map(|sum| (sum, false))) {
                        let params = Obj::new().str("channel", channel).raw("data", &data).end();
                        let text = Obj::new()
                            .str("jsonrpc", "2.0")
                            .str("method", "subscription")
                            .raw("params", &params)
                            .end();
                        for _ in 0..1 + usize::from(report.twice && is_trade) {
                            self.common
                                .reply(out, *conn, |buf| buf.extend_from_slice(&text));
                        }
                    }
                }
            }
        }
    }

    /// A session has ended: with cancel-on-disconnect so do the orders that were made on it.
    pub(super) fn leave_seat(&mut self, seat: &Seat) {
        if let (true, Some(account)) = (seat.cancel_on_disconnect, seat.account) {
            for id in &seat.orders {
                let end = (End::DeadMan, "");
                // Those that have ended already are no loss.
                let _ = self
                    .common
                    .exchange
                    .cancel(account, *id, end, self.clock_ns);
            }
        }
    }

    pub(super) fn link_names(&self, conn: ConnId) -> Vec<String> {
        let Some(session) = self.sessions.get(&conn) else {
            return Vec::new();
        };
        let mut names: Vec<String> = session.topics.iter().cloned().collect();
        if session.seat.account.is_some() {
            names.push(PRIVATE_LINK.to_owned());
        }
        names
    }
}

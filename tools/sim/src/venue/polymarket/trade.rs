//! Trading at Polymarket: signed REST calls (L2 headers), the user channel and the dead man's switch
//! (docs.polymarket.com api-reference, CLOB V2; 2026-11). The order's own chain signature is taken
//! unread. Each market has two tokens; the books of both are one book, seen from two sides.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::Digest;

use super::settle::Settling;
use super::{Kind, Polymarket, frames};
use crate::exchange::{
    Amount, End, Exchange, Fill, LOTS_MAX, NewOrder, Order, Refusal, Report, Size, Status, Tif,
    What, Words,
};
use crate::json::{Obj, list};
use crate::market::{Batch, Book, Change, Instrument, Market, Side, Trade};
use crate::num::ms;
use crate::outbox::Outbox;
use crate::spec::SECOND_NS;
use crate::stats::Counters;
use crate::venue::{HttpRequest, HttpResponse};

/// Without a heartbeat for so long all orders end (the page says that they do, not when).
const HEARTBEAT_NS: i64 = 15 * SECOND_NS;

/// A signature's time may be off by so many seconds (not stated; the venue's clients sign each time).
const TIME_S: i64 = 60;

/// Smallest order, in shares.
const SIZE_MIN: i128 = 5;

/// Rows of a page of orders or trades. What the venue's have is not stated: few make two pages here.
const PAGE: usize = 25;

/// Units of an amount in the body of an order, a share or a dollar.
const UNITS: i128 = 1_000_000;

/// The address that orders are told with: the one of the venue's own test vectors.
const ADDRESS: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

/// An error: status and text.
type ApiError = (u16, &'static str);
type Answer = Result<Vec<u8>, ApiError>;

/// Which token of its market an instrument of the exchange is: they stand in pairs.
pub(super) const fn place_of(listing: usize) -> (usize, bool) {
    (listing / 2, listing % 2 == 1)
}

/// The book of the other token: the same orders, seen from the other side.
pub(super) fn mirrored(book: &Book, one: i64) -> Book {
    let turn = |(price, qty): (&i64, &i64)| (one - price, *qty);
    Book {
        bids: book.asks.iter().map(turn).collect(),
        asks: book.bids.iter().map(turn).collect(),
    }
}

/// Tells the exchange what the market did, to both tokens.
pub(super) fn tell_exchange(exchange: &mut Exchange, one: &Instrument, batch: &Batch) {
    let (yes, at_ns) = (batch.instrument * 2, batch.at_ns);
    exchange.on_market(yes, &one.book, &batch.changes, &batch.trades, at_ns);
    if exchange.is_idle(yes + 1) {
        return;
    }
    let whole = one.spec.ticks_max + 1;
    let turn = |change: &Change| Change {
        side: change.side.other(),
        price: whole - change.price,
        ..*change
    };
    let changes: Vec<Change> = batch.changes.iter().map(turn).collect();
    let trades = batch.trades.iter().map(|trade| Trade {
        price: whole - trade.price,
        buyer_maker: !trade.buyer_maker,
        ..*trade
    });
    let trades: Vec<Trade> = trades.collect();
    exchange.on_market(
        yes + 1,
        &mirrored(&one.book, whole),
        &changes,
        &trades,
        at_ns,
    );
}

/// The calls that need a key, and what they may be spent on.
pub(super) fn is_private(request: &HttpRequest<'_>) -> bool {
    let path = request.path;
    matches!(
        path,
        "/order"
            | "/orders"
            | "/cancel-all"
            | "/cancel-market-orders"
            | "/data/orders"
            | "/data/trades"
            | "/balance-allowance"
            | "/balance-allowance/update"
            | "/v1/heartbeats"
    ) || path.starts_with("/order/")
        || path.starts_with("/data/order/")
}

/// An order of the market's, which nobody here has signed.
const NOBODYS: &str = "0x5cf9859800000000000000000000000000000000000000000000000000000000";

/// The venue's id of a signed order is its hash on the chain, which takes what nobody here has: another
/// hash of the same text stands for it.
fn hash_of(order: &str) -> String {
    let digest = sha2::Sha256::digest(order.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{hex}")
}

/// The venue's id of an order, which the exchange keeps as the client's.
fn order_id(exchange: &Exchange, account: usize, id: u64) -> &str {
    let order = exchange.order(account, id);
    order.map_or(NOBODYS, |order| &order.client_id)
}

/// What the dead man's switch knows: by account, when orders end.
pub(super) type Heartbeats = BTreeMap<usize, i64>;

struct Call<'a> {
    exchange: &'a mut Exchange,
    settling: &'a Settling,
    market: &'a Market,
    heartbeats: &'a mut Heartbeats,
    request: &'a HttpRequest<'a>,
    key: &'a str,
    account: usize,
    now: i64,
}

impl Call<'_> {
    fn run(&mut self) -> Answer {
        let path = self.request.path;
        match (self.request.method, path) {
            ("POST", "/order") => self.place(),
            ("DELETE", "/order") => {
                let body = self.body()?;
                let id = body["orderID"].as_str().ok_or((400, "Invalid orderID"))?;
                Ok(self.cancel(&[id.to_owned()]))
            }
            ("DELETE", "/orders") => {
                let body = self.body()?;
                let ids = body.as_array().ok_or((400, "Invalid order payload"))?;
                let ids: Vec<String> = ids
                    .iter()
                    .filter_map(|id| id.as_str().map(str::to_owned))
                    .collect();
                Ok(self.cancel(&ids))
            }
            ("DELETE", "/cancel-all") => Ok(self.cancel_where(|_, _| true)),
            ("DELETE", "/cancel-market-orders") => {
                let body = self.body()?;
                let (market, asset) = (body["market"].as_str(), body["asset_id"].as_str());
                Ok(self.cancel_where(|condition, token| {
                    market.is_none_or(|one| one.is_empty() || one == condition)
                        && asset.is_none_or(|one| one.is_empty() || one == token)
                }))
            }
            ("GET", "/data/orders") => {
                let open = self.exchange.open_orders(self.account, None).into_iter();
                let asked = open.filter(|o| self.is_asked(o.instrument));
                Ok(self.page(asked.map(|o| self.told(o))))
            }
            ("GET", "/data/trades") => {
                let fills = self.exchange.fills(self.account).rev();
                let fills = fills.filter(|fill| self.is_asked(fill.instrument));
                Ok(self.page(fills.map(|fill| self.traded(fill))))
            }
            ("GET", "/balance-allowance") => self.balance(),
            ("GET", "/balance-allowance/update") => Ok(b"{}".to_vec()),
            ("POST", "/v1/heartbeats") => {
                self.heartbeats
                    .insert(self.account, self.now + HEARTBEAT_NS);
                Ok(Obj::new()
                    .str("heartbeat_id", &format!("hb-{}", ms(self.now)))
                    .end())
            }
            ("GET", path) => {
                let id = path.rsplit('/').next().unwrap_or_default();
                let order = self.exchange.order_by_client_id(self.account, id);
                order
                    .map(|order| self.told(order))
                    .ok_or((404, "order not found"))
            }
            _ => Err((405, "method not allowed")),
        }
    }

    fn body(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(self.request.body).map_err(|_| (400, "Invalid order payload"))
    }

    fn condition(&self, listing: usize) -> String {
        condition(self.market, listing)
    }

    /// Whether the query's `market` and `asset_id` mean this token.
    fn is_asked(&self, listing: usize) -> bool {
        let is = |name: &str, value: &str| self.request.param(name).is_none_or(|one| one == value);
        is("asset_id", &self.exchange.listings[listing].symbol)
            && is("market", &self.condition(listing))
    }

    fn parse(&self) -> Result<NewOrder, ApiError> {
        let body = self.body()?;
        let order = &body["order"];
        if body["owner"].as_str() != Some(self.key) {
            return Err((400, "the order owner has to be the owner of the API KEY"));
        }
        let token = order["tokenId"]
            .as_str()
            .ok_or((400, "Invalid order payload"))?;
        let mut listings = self.exchange.listings.iter();
        let index = listings.position(|one| one.symbol == token);
        let index = index.ok_or((400, "Invalid token id"))?;
        let amount = |name: &str| {
            order[name]
                .as_str()
                .and_then(|text| text.parse::<i128>().ok())
        };
        let (Some(maker), Some(taker)) = (amount("makerAmount"), amount("takerAmount")) else {
            return Err((400, "Invalid order payload"));
        };
        let (side, dollars, shares) = match order["side"].as_str() {
            Some("BUY") => (Side::Bid, maker, taker),
            Some("SELL") => (Side::Ask, taker, maker),
            _ => return Err((400, "Invalid order payload")),
        };
        let (tif, tif_name) = match body["orderType"].as_str() {
            Some("GTC") => (Tif::Gtc, "GTC"),
            Some("GTD") => (Tif::Gtc, "GTD"),
            Some("FOK") => (Tif::Fok, "FOK"),
            Some("FAK") => (Tif::Ioc, "FAK"),
            _ => return Err((400, "Invalid order payload")),
        };
        let listing = &self.exchange.listings[index];
        let per_lot = UNITS / crate::exchange::pow10(listing.qty.decimals);
        let in_range = (1..=UNITS * 1_000_000_000).contains(&shares) && dollars > 0;
        if !in_range || shares % per_lot != 0 {
            return Err((400, "invalid amounts"));
        }
        if shares < SIZE_MIN * UNITS {
            return Err((400, "INVALID_ORDER_MIN_SIZE"));
        }
        let scale = crate::exchange::pow10(listing.price.decimals);
        let ticks = dollars.checked_mul(scale).ok_or((400, "invalid amounts"))?;
        if ticks % shares != 0 || !(1..scale).contains(&(ticks / shares)) {
            return Err((400, "INVALID_ORDER_MIN_TICK_SIZE"));
        }
        let lots = (shares / per_lot).min(i128::from(LOTS_MAX)) as i64;
        let till_s = order["expiration"]
            .as_str()
            .and_then(|text| text.parse::<i64>().ok());
        let expires_ns = till_s.unwrap_or(0).saturating_mul(SECOND_NS);
        if tif_name == "GTD" && expires_ns <= self.now + 60 * SECOND_NS {
            return Err((400, "INVALID_ORDER_EXPIRATION"));
        }
        Ok(NewOrder {
            account: self.account,
            instrument: index,
            client_id: self.signed_hash()?,
            side,
            price: Some((ticks / shares) as i64),
            size: Size::Lots(lots),
            tif,
            post_only: body["postOnly"].as_bool().unwrap_or(false),
            reduce_only: false,
            trigger: None,
            expires_ns: (tif_name == "GTD").then_some(expires_ns),
            words: Words {
                kind: "limit",
                tif: tif_name,
                strict: true,
            },
        })
    }

    /// The hash of what was signed: of the order's own text.
    fn signed_hash(&self) -> Result<String, ApiError> {
        let body: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(self.request.body)
            .map_err(|_| (400, "Invalid order payload"))?;
        let order = body.get("order").ok_or((400, "Invalid order payload"))?;
        Ok(hash_of(order.get()))
    }

    fn place(&mut self) -> Answer {
        let new = self.parse()?;
        let (market, is_no) = place_of(new.instrument);
        let one = self
            .market
            .instruments
            .get(market)
            .ok_or((404, "no orderbook"))?;
        let turned;
        let book = if is_no {
            turned = mirrored(&one.book, one.spec.ticks_max + 1);
            &turned
        } else {
            &one.book
        };
        let placed = self.exchange.place(new, book, self.now);
        let id = placed.map_err(|refusal| match refusal {
            Refusal::Balance => (400, "not enough balance / allowance"),
            Refusal::WouldTake => (400, "invalid post-only order: order crosses book"),
            Refusal::DuplicateId => (400, "INVALID_ORDER_DUPLICATED"),
            Refusal::TooManyOrders => (400, "too many open orders"),
            _ => (400, "INVALID_ORDER_ERROR"),
        })?;
        let order = self
            .exchange
            .order(self.account, id)
            .ok_or((500, "EXECUTION_ERROR"))?;
        if order.status == Status::Expired && order.filled == 0 {
            let killed = "order couldn't be fully filled. FOK orders are fully filled or killed.";
            return Err((
                400,
                if order.tif == Tif::Fok {
                    killed
                } else {
                    "no orders found to match with FAK order"
                },
            ));
        }
        let matched = order.filled > 0;
        let shares = self.exchange.listings[order.instrument].qty_amount(order.filled);
        let (making, taking) = match order.side {
            Side::Bid => (order.filled_value, shares),
            Side::Ask => (shares, order.filled_value),
        };
        let text = |amount: Amount| {
            if matched {
                amount.text()
            } else {
                String::new()
            }
        };
        let fills = self
            .exchange
            .fills(self.account)
            .filter(|fill| fill.order_id == id);
        let trades = fills.map(|fill| crate::json::quoted(&trade_id(fill)).into_bytes());
        Ok(Obj::new()
            .bool("success", true)
            .str("errorMsg", "")
            .str("orderID", order_id(self.exchange, self.account, id))
            .str("status", if matched { "matched" } else { "live" })
            .str("makingAmount", &text(making))
            .str("takingAmount", &text(taking))
            .raw("transactionsHashes", b"[]")
            .raw("tradeIDs", &list(trades))
            .end())
    }

    fn cancel(&mut self, ids: &[String]) -> Vec<u8> {
        let (mut canceled, mut not) = (Vec::new(), Obj::new());
        for text in ids {
            let known = self.exchange.order_by_client_id(self.account, text);
            let id = known.map_or(0, |order| order.id);
            match self
                .exchange
                .cancel(self.account, id, (End::User, ""), self.now)
            {
                Ok(()) => canceled.push(crate::json::quoted(text).into_bytes()),
                Err(_) => {
                    not = not.str(
                        &text.replace(['"', '\\'], ""),
                        "already canceled or matched",
                    )
                }
            }
        }
        Obj::new()
            .raw("canceled", &list(canceled))
            .raw("not_canceled", &not.end())
            .end()
    }

    fn cancel_where(&mut self, meant: impl Fn(&str, &str) -> bool) -> Vec<u8> {
        let open = self.exchange.open_orders(self.account, None).into_iter();
        let ids = open.filter(|order| {
            let token = &self.exchange.listings[order.instrument].symbol;
            meant(&self.condition(order.instrument), token)
        });
        let ids: Vec<String> = ids.map(|order| order.client_id.clone()).collect();
        self.cancel(&ids)
    }

    /// One page of a list. Cursors are opaque: here how many rows were told so far.
    fn page(&self, rows: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let cursor = self.request.param("next_cursor");
        let skip = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let mut rows: Vec<_> = rows.skip(skip).take(PAGE + 1).collect();
        let more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let next = match more {
            true => (skip + PAGE).to_string(),
            false => "LTE=".to_owned(),
        };
        Obj::new()
            .raw("data", &list(rows))
            .str("next_cursor", &next)
            .end()
    }

    /// An order of `/data/orders`.
    fn told(&self, order: &Order) -> Vec<u8> {
        let listing = &self.exchange.listings[order.instrument];
        let trades = self
            .exchange
            .fills(self.account)
            .filter(|fill| fill.order_id == order.id);
        let trades = trades.map(|fill| crate::json::quoted(&trade_id(fill)).into_bytes());
        Obj::new()
            .raw("associate_trades", &list(trades))
            .str("id", &order.client_id)
            .str("status", status(order))
            .str("market", &self.condition(order.instrument))
            .str("original_size", &listing.qty_short(order.lots))
            .str("outcome", outcome(order.instrument))
            .str("maker_address", ADDRESS)
            .str("owner", self.key)
            .str("price", &listing.price_short(order.price.unwrap_or(0)))
            .str("side", word(order.side))
            .str("size_matched", &listing.qty_short(order.filled))
            .str("asset_id", &listing.symbol)
            .str(
                "expiration",
                &order.expires_ns.map_or(0, |at| at / SECOND_NS).to_string(),
            )
            .str("order_type", order.words.tif)
            .int("created_at", order.created_ns / SECOND_NS)
            .end()
    }

    /// A trade of `/data/trades`.
    fn traded(&self, fill: &Fill) -> Vec<u8> {
        let status = self.settling.status(&trade_id(fill), self.now - fill.at_ns);
        trade(
            self.exchange,
            self.market,
            fill,
            (self.key, status),
            self.now,
        )
        .end()
    }

    /// `balance-allowance`: in millionths.
    fn balance(&self) -> Answer {
        let asset = match self.request.param("asset_type").as_deref() {
            Some("COLLATERAL") => "pUSD".to_owned(),
            Some("CONDITIONAL") => self
                .request
                .param("token_id")
                .ok_or((400, "Invalid token id"))?,
            _ => return Err((400, "Invalid asset type")),
        };
        // What orders hold back is still there for the chain.
        let held = self.exchange.balance(self.account, &asset);
        let units = (held.free + held.locked).0 / UNITS;
        Ok(Obj::new()
            .str("balance", &units.to_string())
            .str("allowance", "999999999000000")
            .end())
    }
}

fn condition(market: &Market, listing: usize) -> String {
    let found = market.instruments.get(place_of(listing).0);
    let id = found.map_or(0, |one| u64::from(one.spec.id));
    format!("0x{}", frames::hex(id, 64))
}

const fn outcome(listing: usize) -> &'static str {
    if place_of(listing).1 { "No" } else { "Yes" }
}

const fn word(side: Side) -> &'static str {
    match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    }
}

const fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Waiting | Status::New | Status::Partial => "LIVE",
        Status::Filled => "MATCHED",
        Status::Canceled | Status::Expired => "CANCELED",
    }
}

fn trade_id(fill: &Fill) -> String {
    format!(
        "28c4d2eb-bbea-40e7-a9f0-{:012x}",
        fill.trade_id * 2 + u64::from(fill.maker)
    )
}

/// What a trade's answer and its event have in common.
fn trade(
    exchange: &Exchange,
    market: &Market,
    fill: &Fill,
    (key, status): (&str, &str),
    now: i64,
) -> Obj {
    let listing = &exchange.listings[fill.instrument];
    let (price, size) = (
        listing.price_short(fill.price),
        listing.qty_short(fill.lots),
    );
    let time = (fill.at_ns / SECOND_NS).to_string();
    let order = order_id(exchange, fill.account, fill.order_id);
    // The taker that met a resting order is the market's: nobody's here.
    let (taker, makers) = if fill.maker {
        let mine = Obj::new()
            .str("asset_id", &listing.symbol)
            .str("fee_rate_bps", "0")
            .str("maker_address", ADDRESS)
            .str("matched_amount", &size)
            .str("order_id", order)
            .str("outcome", outcome(fill.instrument))
            .str("owner", key)
            .str("price", &price);
        (NOBODYS, list([mine.end()]))
    } else {
        (order, b"[]".to_vec())
    };
    let side = if fill.maker {
        fill.side.other()
    } else {
        fill.side
    };
    Obj::new()
        .str("id", &trade_id(fill))
        .str("taker_order_id", taker)
        .str("market", &condition(market, fill.instrument))
        .str("asset_id", &listing.symbol)
        .str("side", word(side))
        .str("size", &size)
        .str("fee_rate_bps", "0")
        .str("price", &price)
        .str("status", status)
        .str("match_time", &time)
        .str("last_update", &(now / SECOND_NS).to_string())
        .str("outcome", outcome(fill.instrument))
        .int("bucket_index", 0)
        .str("owner", key)
        .str("maker_address", ADDRESS)
        .raw("maker_orders", &makers)
        .str("trader_side", if fill.maker { "MAKER" } else { "TAKER" })
}

/// An order of the user channel.
fn order_event(
    exchange: &Exchange,
    market: &Market,
    report: &Report,
    (key, kind): (&str, &str),
) -> Vec<u8> {
    let order = &report.order;
    let listing = &exchange.listings[order.instrument];
    let trades = match &report.what {
        What::Trade(fill) => list([crate::json::quoted(&trade_id(fill)).into_bytes()]),
        _ => b"null".to_vec(),
    };
    Obj::new()
        .str("event_type", "order")
        .str("asset_id", &listing.symbol)
        .raw("associate_trades", &trades)
        .str("created_at", &ms(order.created_ns).to_string())
        .str(
            "expiration",
            &order.expires_ns.map_or(0, |at| at / SECOND_NS).to_string(),
        )
        .str("id", &order.client_id)
        .str("maker_address", ADDRESS)
        .str("market", &condition(market, order.instrument))
        .str("order_owner", key)
        .str("order_type", order.words.tif)
        .str("original_size", &listing.qty_short(order.lots))
        .str("outcome", outcome(order.instrument))
        .str("owner", key)
        .str("price", &listing.price_short(order.price.unwrap_or(0)))
        .str("side", word(order.side))
        .str("size_matched", &listing.qty_short(order.filled))
        .str("status", status(order))
        .str("timestamp", &ms(report.at_ns).to_string())
        .str("type", kind)
        .end()
}

impl Polymarket {
    /// A private call: L2 headers, then what it asks.
    pub(super) fn private_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        let unauthorised = (401, "Unauthorized/Invalid api key");
        let done = self
            .authorise(request, now)
            .ok_or(unauthorised)
            .and_then(|(key, account)| {
                let market = self.feed.market().ok_or((503, "trading disabled"))?;
                let exchange = &mut self.common.exchange;
                let (heartbeats, settling) = (&mut self.heartbeats, &self.settling);
                let mut call = Call {
                    exchange,
                    settling,
                    market,
                    heartbeats,
                    request,
                    key: &key,
                    account,
                    now,
                };
                call.run()
            });
        let is_order = request.method != "GET" && !request.path.starts_with("/v1/");
        match done {
            Ok(body) => {
                let mut response = HttpResponse::json(200, body);
                let ack = self.common.faults.take_ack(is_order, now);
                response.delay(ack, now, || {
                    HttpResponse::json(500, br#"{"error":"Internal server error"}"#.to_vec())
                });
                response
            }
            Err((status, text)) => {
                Counters::add(&self.common.counters.rejects, 1);
                HttpResponse::json(status, Obj::new().str("error", text).end())
            }
        }
    }

    /// The key and account of a request: HMAC over time, method, path and body, seconds.
    fn authorise(&self, request: &HttpRequest<'_>, now: i64) -> Option<(String, usize)> {
        let key = request.header("POLY_API_KEY")?;
        request.header("POLY_ADDRESS")?;
        let stamp = request.header("POLY_TIMESTAMP")?;
        let server_s = (now + self.common.faults.skew_ns) / SECOND_NS;
        if (stamp.parse::<i64>().ok()? - server_s).abs() > TIME_S {
            return None;
        }
        let body = String::from_utf8_lossy(request.body);
        let payload = format!("{stamp}{}{}{body}", request.method, request.path);
        let signature = request.header("POLY_SIGNATURE")?;
        let phrase = request.header("POLY_PASSPHRASE")?;
        let account = self
            .common
            .keys
            .check_url_safe(key, phrase, &payload, signature)?;
        Some((key.to_owned(), account))
    }

    /// Tells accounts what happened to their orders; trades go on to be mined and confirmed.
    pub(super) fn push_reports(&mut self, now: i64, out: &mut Outbox) {
        if !self.common.exchange.has_reports() {
            return;
        }
        self.common.mark_duplicates();
        for report in self.common.exchange.take_reports() {
            let life = match &report.what {
                What::Trade(fill) => self.settling.begin(trade_id(fill), fill),
                _ => Vec::new(),
            };
            let listeners: Vec<_> = self
                .sessions
                .iter()
                .filter(|(_, session)| session.kind == Kind::User && session.begun)
                .filter_map(|(conn, session)| Some((*conn, session.seat.clone()?)))
                .filter(|(_, (account, _))| *account == report.order.account)
                .collect();
            let Some(market) = self.feed.market().filter(|_| !listeners.is_empty()) else {
                continue;
            };
            for (conn, (_, key)) in listeners {
                let exchange = &self.common.exchange;
                let kind = match &report.what {
                    What::New => "PLACEMENT",
                    What::Trade(_) | What::Amended | What::Triggered => "UPDATE",
                    What::Canceled | What::Expired => "CANCELLATION",
                };
                let event = order_event(exchange, market, &report, (&key, kind));
                let mut later = Vec::new();
                let mut told = vec![event];
                if let What::Trade(fill) = &report.what {
                    let matched = std::iter::once(("MATCHED", 0));
                    for (status, after_ns) in matched.chain(life.iter().copied()) {
                        let at_ns = report.at_ns + after_ns;
                        let event = trade(exchange, market, fill, (&key, status), at_ns)
                            .str("event_type", "trade")
                            .str("trade_owner", &key)
                            .str("timestamp", &ms(at_ns).to_string())
                            .str("type", "TRADE")
                            .end();
                        if after_ns == 0 {
                            told.extend(std::iter::repeat_n(event, 1 + usize::from(report.twice)));
                        } else {
                            later.push((at_ns.max(now + 1), conn, event));
                        }
                    }
                }
                for event in told {
                    self.common
                        .reply(out, conn, |buf| buf.extend_from_slice(&event));
                }
                self.common.late.extend(later);
            }
        }
    }

    /// Ends the orders of those whose heartbeats have stopped; returns when to look again.
    pub(super) fn check_heartbeats(&mut self, now: i64) -> Option<i64> {
        let exchange = &mut self.common.exchange;
        self.heartbeats.retain(|account, due| {
            if *due <= now {
                exchange.cancel_all(*account, None, (End::DeadMan, ""), now);
            }
            *due > now
        });
        self.heartbeats.values().copied().min()
    }
}

//! The user channel: the account's own orders and trades, on a link of its own.
//!
//! The keys stand in the subscribe message; the venue acks nothing, and drops who it does not know
//! without a word (Polymarket/clob-client issue 127). So the streams are Live with the first answer to a
//! ping after the keys were sent, and a link that is dropped before it says so in a notice. An empty list
//! of markets stands for all of them; what no stream asked for is left out here.
//!
//! The venue sends no snapshot and no numbers: what happened while the link was down is not told. A
//! stream that was Stale is Live for what comes from then on; what the account has is for REST to say.

use arrayvec::ArrayString;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale, Side};

use super::parse::{self, Number};
use super::subscribe::PING;
use super::urls::{self, Urls};
use super::{symbols, tape};
use crate::channel::ALL_SYMBOLS;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Next};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{InstrumentKey, Symbol, symbol};
use crate::order::{
    ClientOrderId, Fill, Liquidity, OrderStatus, OrderType, OrderUpdate, Settlement, TimeInForce,
};
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, Transmit};
use crate::wide::{Notice, WideBody};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The engine has not been told of it.
    New,
    /// The engine makes it.
    Connecting,
    /// The keys are to be sent.
    Up,
    /// They are sent; the answer to the first ping shows that they are good.
    Proving,
    Live,
}

/// The link of the account, with the streams that are fed by it.
#[derive(Debug)]
pub(super) struct User {
    credentials: Option<Credentials>,
    link: Option<LinkId>,
    state: State,
    streams: Vec<Stream>,
    ping_at: Nanos,
    ping_due: bool,
    pong_until: Option<Nanos>,
    cut: Option<&'static str>,
}

impl User {
    pub(super) fn new(credentials: Option<Credentials>) -> User {
        User {
            credentials,
            link: None,
            state: State::New,
            streams: Vec::new(),
            ping_at: Nanos::MAX,
            ping_due: false,
            pong_until: None,
            cut: None,
        }
    }

    /// Its link's number, where it has one.
    pub(super) const fn link(&self) -> Option<LinkId> {
        self.link
    }

    pub(super) fn has(&self, id: StreamId) -> bool {
        self.streams.iter().any(|stream| stream.id == id)
    }

    /// Whether a stream of this symbol can be had.
    pub(super) fn check(&self, asked: &Symbol) -> Result<(), Error> {
        let text = match &self.credentials {
            None => "the user channel needs credentials: set PolymarketConfig::credentials",
            Some(keys) if keys.passphrase().is_none() => {
                "the user channel needs a passphrase: set Credentials::with_passphrase"
            }
            Some(_) if **asked != *ALL_SYMBOLS && !symbols::is_token(asked) => {
                let text = "the user channel takes a token's id, or * for all of them";
                return Err(Error::ours(ErrorKind::BadSymbol, text));
            }
            Some(_) => return Ok(()),
        };
        Err(Error::ours(ErrorKind::Authentication, text))
    }

    /// Adds a stream; `link` is the number of the link, should it have none yet.
    pub(super) fn add(&mut self, now: Nanos, mut stream: Stream, link: LinkId, out: &mut Outbox) {
        if self.link.is_none() {
            (self.link, self.state) = (Some(link), State::New);
        }
        if matches!(self.state, State::Up | State::Proving | State::Live) {
            stream.next_epoch();
        }
        if self.state == State::Live {
            let (live, synced) = (StreamState::Live, Reason::Synced);
            stream.change(live, synced, None, Times::ours(now), out);
        }
        self.streams.push(stream);
    }

    /// Ends a stream, and the link with the last one.
    pub(super) fn remove(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(index) = self.streams.iter().position(|stream| stream.id == id) else {
            return;
        };
        let mut stream = self.streams.remove(index);
        let (closed, reason) = (StreamState::Closed, Reason::Unsubscribed);
        stream.change(closed, reason, None, Times::ours(now), out);
    }

    pub(super) fn handle_up(&mut self) {
        self.quiet();
        self.state = State::Up;
        self.streams.iter_mut().for_each(Stream::next_epoch);
    }

    pub(super) fn handle_down(&mut self, now: Nanos, out: &mut Outbox) {
        let was_proving = self.state == State::Proving;
        self.quiet();
        if self.state != State::New {
            self.state = State::Connecting;
        }
        let error = dropped();
        for stream in &mut self.streams {
            let times = Times::ours(now);
            if was_proving {
                stream.publish_wide(WideBody::Notice(Notice::of(&error)), times, out);
            }
            stream.change(StreamState::Stale, Reason::LinkDown, None, times, out);
        }
    }

    fn quiet(&mut self) {
        (self.ping_at, self.ping_due) = (Nanos::MAX, false);
        (self.pong_until, self.cut) = (None, None);
    }

    pub(super) fn handle_pong(&mut self, now: Nanos, out: &mut Outbox) {
        self.pong_until = None;
        self.go_live(now, out);
    }

    fn go_live(&mut self, now: Nanos, out: &mut Outbox) {
        if self.state == State::Proving {
            self.state = State::Live;
            for stream in &mut self.streams {
                let (live, synced) = (StreamState::Live, Reason::Synced);
                stream.change(live, synced, None, Times::ours(now), out);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Nanos, urls: &Urls, out: &mut Outbox) {
        if self.pong_until.is_some_and(|until| until <= now) {
            self.handle_down(now, out);
            self.cut = Some("no pong");
        } else if self.ping_at <= now {
            self.ping_at = now + urls.ping_interval_ns;
            self.ping_due = true;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        let ping = Some(self.ping_at).filter(|at| *at < Nanos::MAX);
        self.pong_until.into_iter().chain(ping).min()
    }

    pub(super) fn has_transmit(&self) -> bool {
        self.link.is_some()
            && (self.streams.is_empty()
                || matches!(self.state, State::New | State::Up)
                || self.ping_due
                || self.cut.is_some())
    }

    /// What is to be done; closing the link frees its number with the told end.
    pub(super) fn poll(
        &mut self,
        now: Nanos,
        urls: &Urls,
        body: &mut Vec<u8>,
        closing: &mut Vec<LinkId>,
    ) -> Option<Transmit> {
        let link = self.link?;
        if self.streams.is_empty() {
            self.quiet();
            self.link = None;
            if self.state == State::New {
                return None;
            }
            closing.push(link);
            return Some(Transmit::Close { link });
        }
        if self.state == State::New {
            self.state = State::Connecting;
            let spec = Box::new(urls.user_link());
            return Some(Transmit::Open { link, spec });
        }
        if let Some(why) = self.cut.take() {
            return Some(Transmit::Reconnect { link, why });
        }
        if self.state == State::Up {
            self.state = State::Proving;
            self.ping_at = now + urls.ping_interval_ns;
            self.ping_due = true;
            if let Some(keys) = &self.credentials {
                write_login(keys, body);
            }
            // In the lane of the ping that follows: one that overtook it would end the connection.
            let lane = Lane::Urgent;
            return Some(Transmit::Text { link, lane });
        }
        if core::mem::take(&mut self.ping_due) {
            self.pong_until.get_or_insert(now + urls::PONG_TIMEOUT);
            body.extend_from_slice(PING);
            let lane = Lane::Urgent;
            return Some(Transmit::Text { link, lane });
        }
        None
    }

    /// A message, which may be one object or several; how many could not be read.
    pub(super) fn handle_message(
        &mut self,
        now: Nanos,
        message: &Value<'_, '_>,
        out: &mut Outbox,
    ) -> u64 {
        self.go_live(now, out);
        let mut malformed = 0;
        tape::each(message, |object| {
            let read = match kind(object) {
                Some(Kind::Trade) => self.handle_trade(now, object, out),
                Some(Kind::Order) => order(object).map(|update| {
                    let body = WideBody::Order(update);
                    self.publish(now, &update.instrument.symbol, update.exch_ns, body, out);
                }),
                None => Some(()),
            };
            malformed += u64::from(read.is_none());
        });
        malformed
    }

    fn publish(
        &mut self,
        now: Nanos,
        token: &Symbol,
        exch_ns: Nanos,
        body: WideBody,
        out: &mut Outbox,
    ) {
        let times = Times {
            exch_ns,
            recv_ns: now,
        };
        for stream in &mut self.streams {
            if *stream.asked == *ALL_SYMBOLS || stream.asked == *token {
                stream.publish_wide(body, times, out);
            }
        }
    }

    fn handle_trade(&mut self, now: Nanos, trade: &Value<'_, '_>, out: &mut Outbox) -> Option<()> {
        let key = self.credentials.as_ref().map(Credentials::key)?.to_owned();
        fills(trade, &key, |fill| {
            let body = WideBody::Fill(fill);
            self.publish(now, &fill.instrument.symbol, fill.exch_ns, body, out);
        })
    }
}

/// What it means to be dropped right after the keys: the venue has no other word for wrong ones.
pub(super) fn dropped() -> Error {
    Error::venue(
        ErrorKind::Authentication,
        Next::AfterMs(0),
        None,
        "Polymarket dropped the user channel right after the keys: key, secret or passphrase may \
         be wrong",
    )
}

/// `{"auth":{..},"markets":[],"type":"user"}` (market-data/websocket/user-channel).
pub(super) fn write_login(keys: &Credentials, body: &mut Vec<u8>) {
    let parts = [
        ("{\"auth\":{\"apiKey\":\"", keys.key()),
        ("\",\"secret\":\"", keys.expose_secret()),
        (
            "\",\"passphrase\":\"",
            keys.passphrase().unwrap_or_default(),
        ),
    ];
    for (name, value) in parts {
        body.extend_from_slice(name.as_bytes());
        for byte in value.bytes() {
            if matches!(byte, b'"' | b'\\') {
                body.push(b'\\');
            }
            body.push(byte);
        }
    }
    body.extend_from_slice(b"\"},\"markets\":[],\"type\":\"user\"}");
}

/// What an object of the user channel tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Order,
    Trade,
}

/// By `event_type`, or by `type` where an older edition has none.
pub(super) fn kind(object: &Value<'_, '_>) -> Option<Kind> {
    match text(object, "event_type").or_else(|| text(object, "type"))? {
        "trade" | "TRADE" => Some(Kind::Trade),
        "order" | "PLACEMENT" | "UPDATE" | "CANCELLATION" => Some(Kind::Order),
        _ => None,
    }
}

/// A trade is ours as taker, and as maker where one of `maker_orders` is ours: then price, quantity
/// and token are those of that entry, which may be of the complementary token.
pub(super) fn fills(trade: &Value<'_, '_>, key: &str, each: impl FnMut(Fill)) -> Option<()> {
    let is_ours = |object: &Value<'_, '_>| text(object, "owner") == Some(key);
    let mut fills: Vec<Fill> = Vec::new();
    let taker = fill(
        trade,
        trade,
        text(trade, "taker_order_id")?,
        Liquidity::Taker,
    )?;
    let makers = trade.get("maker_orders").and_then(|list| list.into_array());
    for maker in makers.iter().flat_map(|list| list.iter()) {
        if is_ours(&maker) {
            let mut mine = fill(trade, &maker, text(&maker, "order_id")?, Liquidity::Maker)?;
            mine.side = match text(&maker, "side").and_then(|side| parse::side(side.as_bytes())) {
                Some(side) => side,
                // Who bids for "Yes" meets an ask of "Yes", or a bid for "No".
                None if mine.instrument == taker.instrument => other(taker.side),
                None => taker.side,
            };
            fills.push(mine);
        }
    }
    let says_taker = match text(trade, "trader_side") {
        Some(side) => side.eq_ignore_ascii_case("TAKER"),
        None => fills.is_empty(),
    };
    if says_taker {
        fills.push(taker);
    }
    fills.into_iter().for_each(each);
    Some(())
}

const fn other(side: Side) -> Side {
    match side {
        Side::Bid => Side::Ask,
        Side::Ask => Side::Bid,
    }
}

pub(super) fn text<'input>(object: &Value<'_, 'input>, key: &str) -> Option<&'input str> {
    object.get(key)?.into_string()
}

fn key_of(token: &str) -> Option<InstrumentKey> {
    let token = symbol(token).filter(|token| symbols::is_token(token))?;
    Some(symbols::instrument(token).key)
}

/// A number; one that is empty or missing is none.
fn number(object: &Value<'_, '_>, key: &str) -> Option<Number> {
    tape::optional_number(&object.get(key)?).ok().flatten()
}

fn price(number: Number) -> Option<Price> {
    Some(Price::new(number.mantissa, Scale::new(number.decimals)?))
}

fn qty(number: Number) -> Option<Qty> {
    Some(Qty::new(number.mantissa, Scale::new(number.decimals)?))
}

/// Seconds in the pages' examples and by REST, milliseconds in live frames: a number of seconds that
/// large is far off.
fn time(object: &Value<'_, '_>) -> Nanos {
    const SECONDS_MAX: i64 = 100_000_000_000;
    let keys = ["timestamp", "match_time", "created_at"];
    let stamp = keys.iter().find_map(|key| {
        let value = object.get(*key)?;
        let text = value.into_string().and_then(|text| text.parse().ok());
        text.or_else(|| value.as_i64())
    });
    match stamp.unwrap_or(0) {
        seconds @ 0..SECONDS_MAX => Nanos::from_secs(seconds),
        millis => Nanos::from_millis(millis),
    }
}

fn cut<const N: usize>(text: &str) -> ArrayString<N> {
    crate::wide::cut(text)
}

/// The fill of one side of a trade: `of` is the trade itself, or one of its makers.
fn fill(
    trade: &Value<'_, '_>,
    of: &Value<'_, '_>,
    order_id: &str,
    liquidity: Liquidity,
) -> Option<Fill> {
    let size = number(of, "matched_amount").or_else(|| number(of, "size"))?;
    let side = text(trade, "side").and_then(|side| parse::side(side.as_bytes()))?;
    Some(Fill {
        instrument: key_of(text(of, "asset_id")?)?,
        client_order_id: ClientOrderId::new_const(),
        venue_order_id: cut(order_id),
        trade_id: cut(text(trade, "id")?),
        side,
        price: price(number(of, "price")?)?,
        qty: qty(size)?,
        // `fee_rate_bps` is a rate, and what is paid is set at the match.
        fee: None,
        fee_currency: ArrayString::new_const(),
        liquidity,
        settlement: match text(trade, "status")? {
            "MATCHED" => Settlement::Matched,
            "MINED" => Settlement::Mined,
            "CONFIRMED" => Settlement::Final,
            "RETRYING" => Settlement::Retrying,
            "FAILED" => Settlement::Failed,
            _ => return None,
        },
        exch_ns: time(trade),
    })
}

/// An order, as the user channel tells of it or as REST has it, which says no `type`.
pub(super) fn order(order: &Value<'_, '_>) -> Option<OrderUpdate> {
    let asked = number(order, "original_size")?;
    let filled = number(order, "size_matched").unwrap_or_default();
    let is_whole = filled == asked && filled.mantissa > 0;
    let status = text(order, "status").unwrap_or_default();
    let status = status.strip_prefix("ORDER_STATUS_").unwrap_or(status);
    let kind = match status {
        "LIVE" | "DELAYED" | "UNMATCHED" => "UPDATE",
        "MATCHED" => "MATCHED",
        _ => "",
    };
    let status = match (text(order, "type").unwrap_or(kind), status) {
        (_, "CANCELED_MARKET_RESOLVED") => OrderStatus::Expired,
        (_, "INVALID") => OrderStatus::Rejected,
        ("CANCELLATION", _) => OrderStatus::Canceled,
        (_, status) if status.starts_with("CANCELED") => OrderStatus::Canceled,
        ("MATCHED", _) => OrderStatus::Filled,
        ("PLACEMENT" | "UPDATE", _) if is_whole => OrderStatus::Filled,
        ("PLACEMENT" | "UPDATE", _) if filled.mantissa > 0 => OrderStatus::PartiallyFilled,
        ("PLACEMENT" | "UPDATE", _) => OrderStatus::New,
        _ => return None,
    };
    let expires_s = text(order, "expiration").and_then(|text| text.parse::<i64>().ok());
    Some(OrderUpdate {
        instrument: key_of(text(order, "asset_id")?)?,
        client_order_id: ClientOrderId::new_const(),
        venue_order_id: cut(text(order, "id")?),
        side: parse::side(text(order, "side")?.as_bytes())?,
        order_type: OrderType::Limit,
        time_in_force: match text(order, "order_type") {
            Some("GTC") => Some(TimeInForce::Gtc),
            Some("FOK") => Some(TimeInForce::Fok),
            Some("FAK") => Some(TimeInForce::Ioc),
            Some("GTD") => Some(TimeInForce::Gtd {
                expires_ns: Nanos::from_secs(expires_s.unwrap_or(0)),
            }),
            _ => None,
        },
        price: price(number(order, "price")?),
        stop: None,
        qty: qty(asked),
        filled: qty(filled)?,
        price_mean: None,
        status,
        exch_ns: time(order),
    })
}

//! What comes on the link of an account: answers, and the account's own events. (API v2.1.1: JSON-RPC,
//! user.changes, user.portfolio, and the objects of orders, trades and positions; 2026-03-26.)

use secrecy::SecretString;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Amount, Price, Qty, Side};

use crate::error::{Error, ErrorKind, Next};
use crate::governor::Window;
use crate::instrument::Market;
use crate::order::{
    Balance, ClientOrderId, Fill, Liquidity, OrderStatus, OrderType, OrderUpdate, Position,
    Settlement, Stop, TimeInForce, TriggerBy, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::dialect::{Names, Said, Told};
use crate::wide::cut;

use super::codes;
use super::login::is_plain;
use super::tape::{integer, number_text, words};
use super::trade::Words;

/// No request has this key: what is said with it is told as a notice.
const NO_REQUEST: u32 = 0;

impl Words {
    pub(super) fn read_private(
        &mut self,
        payload: &mut [u8],
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) {
        let Words {
            market,
            cancel_on_disconnect,
            reader,
            refresh_token,
            ..
        } = self;
        let read = reader.read(payload, |message| {
            if message.get("method").is_some() {
                return read_event(&message, *market, names, said);
            }
            let (key, by_number) = key_of(&message);
            said.extend(clock(&message));
            let result = match message.get("error") {
                Some(error) => {
                    let error = read_error(&error, said);
                    if error.kind == ErrorKind::Authentication {
                        // A token that renews no more: the key itself may log in.
                        *refresh_token = None;
                    }
                    Err(error)
                }
                None => message
                    .get("result")
                    .ok_or_else(unreadable)
                    .and_then(|result| {
                        let wanted = *cancel_on_disconnect;
                        read_result(&result, (by_number, wanted), refresh_token, names)
                    }),
            };
            said.push(Said::Answer { key, result });
            Some(())
        });
        if read.flatten().is_none() {
            said.push(Said::Answer {
                key: Some(NO_REQUEST),
                result: Err(unreadable()),
            });
        }
    }
}

pub(super) fn unreadable() -> Error {
    let text = "Deribit: a message of the account could not be read";
    Error::venue(ErrorKind::BadResponse, Next::AfterResync, None, text)
}

/// The time at which the venue wrote an answer.
pub(super) fn clock(message: &Value<'_, '_>) -> Option<Said> {
    let micros = integer(&message.get("usOut")?)?;
    Some(Said::Clock(Nanos(micros.checked_mul(1_000)?)))
}

/// The id of the request that an answer is to, and whether it was written as text.
fn key_of(message: &Value<'_, '_>) -> (Option<u32>, bool) {
    let id = message.get("id");
    let number = id.as_ref().and_then(number_text);
    let text = id.as_ref().and_then(|id| id.into_string());
    match number {
        Some(number) => (number.parse().ok(), false),
        None => (text.and_then(|text| text.parse().ok()), true),
    }
}

/// The error of an answer. Out of credits, the venue counts more than we do.
pub(super) fn read_error(error: &Value<'_, '_>, said: &mut Vec<Said>) -> Error {
    let code = error.get("code").and_then(|code| integer(&code));
    let Some(code) = code else {
        return unreadable();
    };
    if code == codes::TOO_MANY_REQUESTS {
        said.push(Said::Used {
            index: 0,
            used: u32::MAX,
        });
    }
    let param = error.get("data").and_then(|data| data.get("param"));
    let param = param.as_ref().and_then(|param| param.into_string());
    codes::error(code, param, words(error))
}

/// What the answer to a request on the link says, by its shape.
fn read_result(
    result: &Value<'_, '_>,
    (by_number, cancel_on_disconnect): (bool, bool),
    refresh_token: &mut Option<SecretString>,
    names: &dyn Names,
) -> Result<Told, Error> {
    if let Some(life_s) = result.get("expires_in").and_then(|life| integer(&life)) {
        let token = result.get("refresh_token");
        let token = token.as_ref().and_then(|token| token.into_string());
        *refresh_token = token
            .filter(|token| is_plain(token))
            .map(SecretString::from);
        let life_ns = Nanos::from_secs(life_s.clamp(0, LOGIN_LIFE_MAX_S));
        return Ok(Told::LoggedIn { life_ns });
    }
    if let Some(enabled) = result.get("enabled").and_then(|on| on.as_bool()) {
        if enabled == cancel_on_disconnect {
            return Ok(Told::Done);
        }
        let text = "Deribit says that cancel on disconnect is not as it was asked for";
        let next = Next::AfterResync;
        return Err(Error::venue(ErrorKind::BadResponse, next, None, text));
    }
    if by_number && result.as_array().is_none() && number_text(result) == Some("0") {
        return Err(no_such_order());
    }
    let order = result.get("order");
    if order.is_none() && result.get("order_id").is_none() {
        return Ok(Told::Done);
    }
    let order = read_order(order.as_ref().unwrap_or(result), names);
    // It was done, whatever it was: the stream tells.
    Ok(order.map_or(Told::Done, |order| Told::Order(Box::new(order))))
}

/// A year, as the pages show it: what is longer is as good.
const LOGIN_LIFE_MAX_S: i64 = 31_536_000;

pub(super) fn no_such_order() -> Error {
    let text = "the venue has no such order";
    Error::venue(ErrorKind::OrderNotFound, Next::Never, None, text)
}

/// A heartbeat or a notification.
fn read_event(
    message: &Value<'_, '_>,
    market: Market,
    names: &dyn Names,
    said: &mut Vec<Said>,
) -> Option<()> {
    let params = message.get("params")?;
    if message.get("method")?.into_string()? == "heartbeat" {
        if params.get("type")?.into_string()? == "test_request" {
            said.push(Said::WantsHeartbeat);
        }
        return Some(());
    }
    let data = params.get("data")?;
    let channel = params.get("channel")?.into_string()?;
    if channel.starts_with("user.portfolio.") {
        said.push(Said::Balance(read_balance(&data)?));
    }
    if !channel.starts_with("user.changes.") {
        return Some(());
    }
    let is_ours = text(&data, "instrument_name").and_then(|name| names.instrument(name));
    if is_ours.is_none() {
        // Linear and inverse futures come on one channel; combos have no name here.
        return Some(());
    }
    // The fills first: what the order's new state means is known then.
    for trade in data.get("trades")?.as_array()?.iter() {
        said.push(Said::Fill(read_fill(&trade, names)?));
    }
    let orders = data.get("orders")?;
    for order in orders.as_array()?.iter().filter(is_told) {
        said.push(Said::Order(read_order(&order, names)?));
    }
    let positions = data.get("positions").filter(|_| market != Market::Spot);
    let positions = positions.as_ref().and_then(|list| list.as_array());
    for position in positions.iter().flat_map(|list| list.iter()) {
        said.push(Said::Position(read_position(&position, names)?));
    }
    Some(())
}

/// Whether an object tells of an order. A stop that has triggered is an order of another id, which is
/// told of by itself, and by the same label.
pub(super) fn is_told(entry: &Value<'_, '_>) -> bool {
    text(entry, "order_state") != Some("triggered") || label(entry).is_empty()
}

/// An order, of the stream or of an answer: the same fields. `None` where it can't be read, or is of
/// another market.
pub(super) fn read_order(entry: &Value<'_, '_>, names: &dyn Names) -> Option<OrderUpdate> {
    let instrument = names.instrument(text(entry, "instrument_name")?)?;
    let kind = text(entry, "order_type").unwrap_or_default();
    let is_market = kind.ends_with("market");
    let filled = qty(entry, "filled_amount").unwrap_or_default();
    let time_in_force = match text(entry, "time_in_force") {
        Some("good_til_cancelled") => Some(TimeInForce::Gtc),
        Some("immediate_or_cancel") => Some(TimeInForce::Ioc),
        Some("fill_or_kill") => Some(TimeInForce::Fok),
        _ => None,
    };
    // An order that may not stand in the book ends by its own terms; a stop waits before it.
    let is_stop = kind.starts_with("stop_");
    let cannot_stand = !is_stop
        && (is_market || matches!(time_in_force, Some(TimeInForce::Ioc | TimeInForce::Fok)));
    Some(OrderUpdate {
        instrument: instrument.key,
        client_order_id: label(entry),
        venue_order_id: order_id(entry)?,
        side: side(entry)?,
        order_type: match flag(entry, "post_only") {
            _ if is_market => OrderType::Market,
            true => OrderType::LimitMaker,
            false => OrderType::Limit,
        },
        time_in_force,
        // A market order has one, too: the worst that it may get.
        price: price(entry, "price").filter(|_| !is_market),
        stop: price(entry, "trigger_price").map(|price| Stop {
            price,
            by: match text(entry, "trigger") {
                Some("mark_price") => TriggerBy::Mark,
                Some("index_price") => TriggerBy::Index,
                _ => TriggerBy::Last,
            },
        }),
        qty: qty(entry, "amount").filter(|qty| !qty.is_zero()),
        filled,
        price_mean: price(entry, "average_price"),
        status: match text(entry, "order_state")? {
            "open" if filled.is_zero() => OrderStatus::New,
            "open" => OrderStatus::PartiallyFilled,
            "untriggered" => OrderStatus::Untriggered,
            // Without a label nothing tells which order it has become: that is told as one of its own.
            "triggered" => OrderStatus::Expired,
            "filled" => OrderStatus::Filled,
            "cancelled" if cannot_stand => OrderStatus::Expired,
            "cancelled" => OrderStatus::Canceled,
            "rejected" => OrderStatus::Rejected,
            // A word that we don't know says nothing of where the order stands.
            _ => OrderStatus::Unknown,
        },
        exch_ns: millis(entry, "last_update_timestamp"),
    })
}

/// A trade of the account, of the stream or of an answer.
pub(super) fn read_fill(entry: &Value<'_, '_>, names: &dyn Names) -> Option<Fill> {
    let instrument = names.instrument(text(entry, "instrument_name")?)?;
    Some(Fill {
        instrument: instrument.key,
        client_order_id: label(entry),
        venue_order_id: order_id(entry)?,
        trade_id: cut(text(entry, "trade_id")?),
        side: side(entry)?,
        price: price(entry, "price")?,
        qty: qty(entry, "amount")?,
        fee: amount(entry, "fee"),
        fee_currency: text(entry, "fee_currency").map(cut).unwrap_or_default(),
        liquidity: match text(entry, "liquidity") {
            Some("M") => Liquidity::Maker,
            Some("T") => Liquidity::Taker,
            _ => Liquidity::Unknown,
        },
        settlement: Settlement::Final,
        exch_ns: millis(entry, "timestamp"),
    })
}

/// A position: in dollars of an inverse future, in base currency of all others.
pub(super) fn read_position(entry: &Value<'_, '_>, names: &dyn Names) -> Option<Position> {
    Some(Position {
        instrument: names.instrument(text(entry, "instrument_name")?)?.key,
        qty: amount(entry, "size")?,
        price_mean: price(entry, "average_price"),
        unrealized: amount(entry, "floating_profit_loss"),
        exch_ns: Nanos::ZERO,
    })
}

/// What the account has of a currency, of the stream or of an answer.
pub(super) fn read_balance(entry: &Value<'_, '_>) -> Option<Balance> {
    Some(Balance {
        currency: cut(text(entry, "currency")?),
        total: amount(entry, "balance")?,
        available: amount(entry, "available_funds")?,
        exch_ns: Nanos::ZERO,
    })
}

/// What the matching engine takes of this account in orders and cancels: `burst` at once, refilled by
/// `rate` a second. Half of it is used at once: see the limits of [`super::trade`].
pub(super) fn read_limit(entry: &Value<'_, '_>, market: Market) -> Option<Said> {
    let engine = entry.get("limits")?.get("matching_engine")?;
    let pool = match market {
        Market::Spot => engine.get("spot")?,
        _ => engine.get("trading")?.get("total")?,
    };
    let number = |key: &str| integer(&pool.get(key)?);
    let (burst, rate) = (number("burst")?, number("rate")?);
    let half = (burst / 2).max(1);
    let refill_ns = half.checked_mul(1_000_000_000)?.checked_div(rate)?;
    let max = u32::try_from(half).ok()?;
    let span_ns = Nanos(refill_ns).max(Nanos(1));
    let window = Window { max, span_ns };
    Some(Said::Limit { index: 0, window })
}

pub(super) fn text<'input>(entry: &Value<'_, 'input>, key: &str) -> Option<&'input str> {
    entry.get(key)?.into_string()
}

fn flag(entry: &Value<'_, '_>, key: &str) -> bool {
    let value = entry.get(key).and_then(|value| value.as_bool());
    value.unwrap_or_default()
}

/// Labels that are longer than ours are not ours.
fn label(entry: &Value<'_, '_>) -> ClientOrderId {
    let label = text(entry, "label").unwrap_or_default();
    ClientOrderId::from(label).unwrap_or_default()
}

fn order_id(entry: &Value<'_, '_>) -> Option<VenueOrderId> {
    text(entry, "order_id").map(cut)
}

fn side(entry: &Value<'_, '_>) -> Option<Side> {
    match text(entry, "direction")? {
        "buy" => Some(Side::Bid),
        "sell" => Some(Side::Ask),
        _ => None,
    }
}

/// `None` also for zero, which says that there is none, and for "market_price".
fn price(entry: &Value<'_, '_>, key: &str) -> Option<Price> {
    let price = Price::parse(number_text(&entry.get(key)?)?.as_bytes()).ok()?;
    Some(price.normalized()).filter(|price| !price.is_zero())
}

fn qty(entry: &Value<'_, '_>, key: &str) -> Option<Qty> {
    let qty = Qty::parse(number_text(&entry.get(key)?)?.as_bytes()).ok()?;
    Some(qty.normalized())
}

fn amount(entry: &Value<'_, '_>, key: &str) -> Option<Amount> {
    let amount = Amount::parse(number_text(&entry.get(key)?)?.as_bytes()).ok()?;
    Some(amount.normalized())
}

pub(super) fn millis(entry: &Value<'_, '_>, key: &str) -> Nanos {
    let millis = entry.get(key).and_then(|value| integer(&value));
    millis.map_or(Nanos::ZERO, Nanos::from_millis)
}

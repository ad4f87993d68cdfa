//! What comes on the links of an account: answers of the WebSocket API and the account's own events.
//! (web-socket-api.md, user-data-stream.md, 2026-07-21; USDS-M "User Data Streams", 2026-03.)

use simd_json::prelude::{TypedScalarValue as _, ValueAsScalar as _};
use simd_json::tape::Object;
use tickwire_orderbook::{Amount, Price, Qty, Side};

use crate::error::{Error, ErrorKind, Next};
use crate::instrument::{Currency, Instrument, Market};
use crate::order::{
    Balance, ClientOrderId, Fill, Liquidity, OrderStatus, OrderType, OrderUpdate, Position,
    Settlement, Stop, TimeInForce, TradeId, TriggerBy, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::dialect::{Names, Said, Told};
use crate::wide::cut;

use super::algo;
use super::codes;
use super::tape::Json;
use super::trade::Words;

impl Words {
    pub(super) fn read_private(&mut self, payload: &[u8], names: &dyn Names, said: &mut Vec<Said>) {
        let market = self.market;
        let read = self.reader.read(payload, |root| {
            read_message(market, root, names, said);
            Ok(())
        });
        if read.is_err() {
            let text = "a message of the account could not be read";
            let error = Error::venue(ErrorKind::BadResponse, Next::AfterResync, None, text);
            said.push(Said::Answer {
                key: None,
                result: Err(error),
            });
        }
    }
}

fn read_message(market: Market, root: Json<'_, '_>, names: &dyn Names, said: &mut Vec<Said>) {
    let Some(object) = root.as_object() else {
        return;
    };
    if let Some(status) = object.get("status").and_then(|status| status.as_u64()) {
        read_answer(status, &object, names, said);
        return;
    }
    let event = object.get("event").or_else(|| object.get("data"));
    let event = event.and_then(|event| event.as_object()).unwrap_or(object);
    match text(&event, "e") {
        Some("executionReport") => read_report(&event, names, said),
        Some("ORDER_TRADE_UPDATE") => {
            if let Some(order) = event.get("o").and_then(|order| order.as_object()) {
                read_report(&order, names, said);
            }
        }
        Some("ALGO_UPDATE") => said.extend(algo::read_event(&event, names).map(Said::Order)),
        Some("outboundAccountPosition") => read_balances(&event, said),
        Some("ACCOUNT_UPDATE") => read_account_update(market, &event, names, said),
        Some("listenKeyExpired") => said.push(Said::ListenKeyGone),
        Some("eventStreamTerminated") => said.push(Said::Ending("the venue ended the stream")),
        Some("serverShutdown") => said.push(Said::Ending("the venue will shut down")),
        // What moves a balance is told as a balance, too; the rest is not traded here.
        _ => {}
    }
}

/// `{"id","status","result"|"error","rateLimits"}`
fn read_answer(status: u64, object: &Object<'_, '_>, names: &dyn Names, said: &mut Vec<Said>) {
    if let Some(limits) = object
        .get("rateLimits")
        .and_then(|limits| limits.as_array())
    {
        for limit in limits.iter().filter_map(|limit| limit.as_object()) {
            let number = |key| limit.get(key).and_then(|value| value.as_u32());
            let Some(count) = number("count") else {
                continue;
            };
            match (text(&limit, "rateLimitType"), text(&limit, "interval")) {
                (Some("ORDERS"), Some("SECOND")) => said.push(Said::Used {
                    index: 0,
                    used: count,
                }),
                (Some("ORDERS"), Some(_)) => said.push(Said::Used {
                    index: 1,
                    used: count,
                }),
                (Some("REQUEST_WEIGHT"), Some("MINUTE")) => said.push(Said::Weight(count)),
                _ => {}
            }
        }
    }
    let key = object.get("id").and_then(|id| match id.as_str() {
        Some(text) => text.parse().ok(),
        None => id.as_u32(),
    });
    let result = if status == 200 {
        let result = object.get("result").and_then(|result| result.as_object());
        // Of an amend the order is one level deeper.
        let order = result.as_ref().and_then(|result| {
            let inner = result
                .get("amendedOrder")
                .and_then(|order| order.as_object());
            let object = inner.as_ref().unwrap_or(result);
            read_order(object, names).or_else(|| algo::read(object, names))
        });
        Ok(order.map_or(Told::Done, |order| Told::Order(Box::new(order))))
    } else {
        let error = object.get("error").and_then(|error| error.as_object());
        let code = error.as_ref().and_then(|error| error.get("code")?.as_i64());
        let words = error.as_ref().and_then(|error| text(error, "msg"));
        let status = u16::try_from(status).unwrap_or(500);
        Err(codes::error(
            status,
            code,
            words.unwrap_or_default().to_owned(),
        ))
    };
    said.push(Said::Answer { key, result });
}

/// An executionReport, or the `o` of an ORDER_TRADE_UPDATE: the same letters.
fn read_report(event: &Object<'_, '_>, names: &dyn Names, said: &mut Vec<Said>) {
    let Some(instrument) = text(event, "s").and_then(|symbol| names.instrument(symbol)) else {
        return;
    };
    // "On a cancel C is the original id and c the cancel's" (user-data-stream.md).
    let original = text(event, "C").filter(|id| !id.is_empty());
    let client = original.or(text(event, "c")).unwrap_or_default();
    let Some(order) = order_of(&instrument, event, client, &SHORT) else {
        return;
    };
    // The fill first: what the order's new state means is known then.
    if text(event, "x") == Some("TRADE")
        && let Some(fill) = fill_of_report(&order, event)
    {
        said.push(Said::Fill(fill));
    }
    said.push(Said::Order(order));
}

fn fill_of_report(order: &OrderUpdate, event: &Object<'_, '_>) -> Option<Fill> {
    Some(Fill {
        instrument: order.instrument,
        client_order_id: order.client_order_id,
        venue_order_id: order.venue_order_id,
        trade_id: id_text(event, "t")?,
        side: order.side,
        price: price(event, "L")?,
        qty: qty(event, "l")?,
        fee: amount(event, "n"),
        fee_currency: currency(event, "N").unwrap_or_default(),
        liquidity: match event.get("m").and_then(|maker| maker.as_bool()) {
            Some(true) => Liquidity::Maker,
            Some(false) => Liquidity::Taker,
            None => Liquidity::Unknown,
        },
        settlement: Settlement::Final,
        exch_ns: order.exch_ns,
    })
}

fn read_balances(event: &Object<'_, '_>, said: &mut Vec<Said>) {
    let exch_ns = millis(event, "u");
    let Some(list) = event.get("B").and_then(|list| list.as_array()) else {
        return;
    };
    for entry in list.iter().filter_map(|entry| entry.as_object()) {
        let keys = ("a", "f", "l");
        if let Some(balance) = spot_balance(&entry, keys, exch_ns) {
            said.push(Said::Balance(balance));
        }
    }
}

/// A balance as free and locked.
pub(super) fn spot_balance(
    entry: &Object<'_, '_>,
    (asset, free, locked): (&str, &str, &str),
    exch_ns: Nanos,
) -> Option<Balance> {
    let available = amount(entry, free)?;
    Some(Balance {
        currency: currency(entry, asset)?,
        total: available.checked_add(amount(entry, locked)?)?.normalized(),
        available,
        exch_ns,
    })
}

/// Wallet balances and positions that changed. What of a wallet is available is not told: the cross
/// wallet's balance stands for it until balances are asked for.
fn read_account_update(
    market: Market,
    event: &Object<'_, '_>,
    names: &dyn Names,
    said: &mut Vec<Said>,
) {
    let exch_ns = millis(event, "T");
    let Some(update) = event.get("a").and_then(|update| update.as_object()) else {
        return;
    };
    if let Some(list) = update.get("B").and_then(|list| list.as_array()) {
        for entry in list.iter().filter_map(|entry| entry.as_object()) {
            let balance = (|| {
                Some(Balance {
                    currency: currency(&entry, "a")?,
                    total: amount(&entry, "wb")?,
                    available: amount(&entry, "cw")?,
                    exch_ns,
                })
            })();
            said.extend(balance.map(Said::Balance));
        }
    }
    if let Some(list) = update.get("P").and_then(|list| list.as_array())
        && market != Market::Spot
    {
        for entry in list.iter().filter_map(|entry| entry.as_object()) {
            let keys = ("s", "pa", "ep", "up", "ps");
            let position = position_of(&entry, keys, exch_ns, names);
            said.extend(position.map(Said::Position));
        }
    }
}

/// A position of an account in one-way mode; the sides of hedge mode are left out.
pub(super) fn position_of(
    entry: &Object<'_, '_>,
    (symbol, held, entered, profit, side): (&str, &str, &str, &str, &str),
    exch_ns: Nanos,
    names: &dyn Names,
) -> Option<Position> {
    if text(entry, side).is_some_and(|side| side != "BOTH") {
        return None;
    }
    Some(Position {
        instrument: names.instrument(text(entry, symbol)?)?.key,
        qty: amount(entry, held)?,
        price_mean: price(entry, entered).filter(|price| !price.is_zero()),
        unrealized: amount(entry, profit),
        exch_ns,
    })
}

/// Where an order's fields stand.
struct Keys {
    order_id: &'static str,
    side: &'static str,
    kind: &'static str,
    time_in_force: &'static str,
    price: &'static str,
    stop: &'static str,
    /// Whether a stop has triggered.
    working: &'static str,
    qty: &'static str,
    filled: &'static str,
    price_mean: &'static str,
    status: &'static str,
    times: [&'static str; 3],
}

/// In events.
const SHORT: Keys = Keys {
    order_id: "i",
    side: "S",
    kind: "o",
    time_in_force: "f",
    price: "p",
    stop: "P",
    working: "w",
    qty: "q",
    filled: "z",
    price_mean: "ap",
    status: "X",
    times: ["T", "E", "O"],
};

/// In answers.
const LONG: Keys = Keys {
    order_id: "orderId",
    side: "side",
    kind: "type",
    time_in_force: "timeInForce",
    price: "price",
    stop: "stopPrice",
    working: "isWorking",
    qty: "origQty",
    filled: "executedQty",
    price_mean: "avgPrice",
    status: "status",
    times: ["updateTime", "transactTime", "time"],
};

/// An order as answers have it; `None` where the object is none.
pub(super) fn read_order(object: &Object<'_, '_>, names: &dyn Names) -> Option<OrderUpdate> {
    let instrument = names.instrument(text(object, "symbol")?)?;
    // Of the answer to a cancel, `clientOrderId` is the cancel's.
    let client = text(object, "origClientOrderId").or(text(object, "clientOrderId"))?;
    order_of(&instrument, object, client, &LONG)
}

fn order_of(
    instrument: &Instrument,
    object: &Object<'_, '_>,
    client: &str,
    keys: &Keys,
) -> Option<OrderUpdate> {
    let time = text(object, keys.time_in_force);
    let kind = text(object, keys.kind)?;
    let filled = qty(object, keys.filled)?;
    // Amends tell it as `qty`.
    let asked = qty(object, keys.qty).or_else(|| qty(object, "qty"));
    Some(OrderUpdate {
        instrument: instrument.key,
        client_order_id: ClientOrderId::from(client).unwrap_or_default(),
        venue_order_id: id_text(object, keys.order_id)?,
        side: side(object, keys.side)?,
        order_type: match (kind, time) {
            ("LIMIT_MAKER", _) | (_, Some("GTX")) => OrderType::LimitMaker,
            ("LIMIT" | "STOP_LOSS_LIMIT" | "TAKE_PROFIT_LIMIT" | "STOP" | "TAKE_PROFIT", _) => {
                OrderType::Limit
            }
            _ => OrderType::Market,
        },
        time_in_force: match time {
            Some("GTC" | "GTX") => Some(TimeInForce::Gtc),
            Some("IOC") => Some(TimeInForce::Ioc),
            Some("FOK") => Some(TimeInForce::Fok),
            _ => None,
        },
        price: price(object, keys.price).filter(|price| !price.is_zero()),
        stop: price(object, keys.stop)
            .filter(|price| !price.is_zero())
            .map(|price| Stop {
                price,
                by: TriggerBy::Last,
            }),
        qty: asked.filter(|qty| !qty.is_zero()),
        filled,
        price_mean: price(object, keys.price_mean).filter(|price| !price.is_zero()),
        status: match text(object, keys.status)? {
            // Spot's stops are NEW while they wait, too; those of futures are told as ALGO_UPDATE.
            "NEW" if kind.starts_with("STOP_LOSS") && !is_working(object, keys) => {
                OrderStatus::Untriggered
            }
            "NEW" | "PENDING_NEW" => OrderStatus::New,
            "PARTIALLY_FILLED" => OrderStatus::PartiallyFilled,
            "FILLED" => OrderStatus::Filled,
            "PENDING_CANCEL" => OrderStatus::PendingCancel,
            "CANCELED" => OrderStatus::Canceled,
            "REJECTED" => OrderStatus::Rejected,
            "EXPIRED" | "EXPIRED_IN_MATCH" => OrderStatus::Expired,
            // A word that we don't know says nothing of where the order stands.
            _ => OrderStatus::Unknown,
        },
        exch_ns: keys
            .times
            .iter()
            .map(|key| millis(object, key))
            .find(|at| *at != Nanos::ZERO)
            .unwrap_or_default(),
    })
}

/// Whether a stop is on the book. Queries and events say so; the answer to a place has the time at which
/// it came there, -1 for never (rest-api.md "New order", workingTime).
fn is_working(object: &Object<'_, '_>, keys: &Keys) -> bool {
    let said = object.get(keys.working).and_then(|value| value.as_bool());
    said.unwrap_or_else(|| millis(object, "workingTime") > Nanos::ZERO)
}

pub(super) fn text<'input>(object: &Object<'_, 'input>, key: &str) -> Option<&'input str> {
    use simd_json::prelude::ValueIntoString as _;
    object.get(key)?.into_string()
}

pub(super) fn side(object: &Object<'_, '_>, key: &str) -> Option<Side> {
    match text(object, key)? {
        "BUY" => Some(Side::Bid),
        "SELL" => Some(Side::Ask),
        _ => None,
    }
}

pub(super) fn price(object: &Object<'_, '_>, key: &str) -> Option<Price> {
    let price = Price::parse(text(object, key)?.as_bytes()).ok()?;
    Some(price.normalized())
}

pub(super) fn qty(object: &Object<'_, '_>, key: &str) -> Option<Qty> {
    let qty = Qty::parse(text(object, key)?.as_bytes()).ok()?;
    Some(qty.normalized())
}

pub(super) fn amount(object: &Object<'_, '_>, key: &str) -> Option<Amount> {
    let amount = Amount::parse(text(object, key)?.as_bytes()).ok()?;
    Some(amount.normalized())
}

pub(super) fn currency(object: &Object<'_, '_>, key: &str) -> Option<Currency> {
    text(object, key).map(cut)
}

/// A number of the venue as an id: no order or trade has one below zero.
pub(super) fn id_text(object: &Object<'_, '_>, key: &str) -> Option<VenueOrderId> {
    let number = object.get(key)?;
    let mut id = TradeId::new();
    match number.as_u64() {
        Some(number) => {
            let _ = core::fmt::Write::write_fmt(&mut id, format_args!("{number}"));
        }
        None if number.is_str() => id = cut(number.as_str()?),
        None => return None,
    }
    Some(id)
}

pub(super) fn millis(object: &Object<'_, '_>, key: &str) -> Nanos {
    let millis = object.get(key).and_then(|value| value.as_i64());
    millis.map_or(Nanos::ZERO, Nanos::from_millis)
}

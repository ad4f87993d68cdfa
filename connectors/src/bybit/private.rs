//! What comes on the links of an account: answers of the trade WebSocket, and the account's own events.
//! (v5 "WebSocket private", "WebSocket trade guideline", 2026-07-24.)

use simd_json::prelude::*;
use simd_json::tape::{Object, Value};
use tickwire_orderbook::{Amount, Price, Qty, Side};

use crate::error::{Error, ErrorKind, Next};
use crate::instrument::Currency;
use crate::order::{
    Balance, ClientOrderId, Fill, Liquidity, OrderStatus, OrderType, OrderUpdate, Position,
    Settlement, Stop, TimeInForce, TriggerBy, VenueOrderId,
};
use crate::time::Nanos;
use crate::trading::dialect::{Names, Said, Told};
use crate::wide::cut;

use super::codes;
use super::trade::Words;

impl Words {
    pub(super) fn read_private(
        &mut self,
        payload: &mut [u8],
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) {
        let category = self.category;
        let read = self.reader.read(payload, |message| {
            if let Some(message) = message.as_object() {
                read_message(category, &message, names, said);
            }
        });
        if read.is_none() {
            let text = "a message of the account could not be read";
            let error = Error::venue(ErrorKind::BadResponse, Next::AfterResync, None, text);
            said.push(Said::Answer {
                key: None,
                result: Err(error),
            });
        }
    }
}

fn read_message(category: &str, message: &Object<'_, '_>, names: &dyn Names, said: &mut Vec<Said>) {
    let Some(topic) = text(message, "topic") else {
        if message.get("op").is_some() {
            read_answer(message, said);
        }
        return;
    };
    let Some(data) = message.get("data").and_then(|data| data.as_array()) else {
        return;
    };
    for entry in data.iter().filter_map(|entry| entry.as_object()) {
        // Every category of the account comes on one link; another market's is another connector's.
        let is_ours = text(&entry, "category").is_none_or(|of| of == category);
        match topic.split('.').next() {
            Some("order") if is_ours => said.extend(read_order(&entry, names).map(Said::Order)),
            Some("execution") if is_ours => said.extend(read_fill(&entry, names).map(Said::Fill)),
            Some("position") if is_ours => {
                said.extend(read_position(&entry, names).map(Said::Position));
            }
            Some("wallet") => {
                let exch_ns = millis_of(message, "creationTime");
                read_coins(&entry, exch_ns, |balance| said.push(Said::Balance(balance)));
            }
            _ => {}
        }
    }
}

/// Of the trade link: `{"reqId","retCode","retMsg","op","data","header"}`. Of the private link:
/// `{"success","ret_msg","op","req_id"}`, whose id may be missing.
fn read_answer(message: &Object<'_, '_>, said: &mut Vec<Said>) {
    let id = text(message, "reqId").or(text(message, "req_id"));
    let key = id.and_then(|id| id.parse().ok());
    let op = text(message, "op").unwrap_or_default();
    if let Some(header) = message.get("header").and_then(|header| header.as_object()) {
        let number = |key: &str| text(&header, key)?.parse::<u32>().ok();
        if let (Some(limit), Some(left)) = (number("X-Bapi-Limit"), number("X-Bapi-Limit-Status")) {
            let index = usize::from(op == "order.cancel");
            let used = limit.saturating_sub(left);
            said.push(Said::Used { index, used });
        }
    }
    let words = text(message, "retMsg").or(text(message, "ret_msg"));
    let words = words.unwrap_or_default();
    let code = message.get("retCode").and_then(|code| code.as_i64());
    let success = message.get("success").and_then(|success| success.as_bool());
    let result = match (code, success) {
        // "Already authenticated" is what was wanted.
        (Some(0 | 20001), _) | (None, Some(true)) => {
            let data = message.get("data").and_then(|data| data.as_object());
            let venue = data.and_then(|data| text(&data, "orderId")).map(cut);
            Ok(venue.map_or(Told::Done, |venue| Told::Accepted { venue }))
        }
        // A pong of the private link says neither.
        (None, None) if op == "pong" => Ok(Told::Done),
        (Some(code), _) => {
            if code == 10019 {
                said.push(Said::Ending("the venue restarts its trade service"));
            }
            Err(codes::error(code, words))
        }
        (None, _) => Err(Error::venue(
            ErrorKind::Authentication,
            Next::Never,
            None,
            words,
        )),
    };
    said.push(Said::Answer { key, result });
}

/// An order, of the stream or of an answer: the same fields.
pub(super) fn read_order(entry: &Object<'_, '_>, names: &dyn Names) -> Option<OrderUpdate> {
    let instrument = names.instrument(text(entry, "symbol")?)?;
    let time = text(entry, "timeInForce");
    let by_quote = text(entry, "marketUnit") == Some("quoteCoin");
    let filled = qty(entry, "cumExecQty").unwrap_or_default();
    Some(OrderUpdate {
        instrument: instrument.key,
        client_order_id: text(entry, "orderLinkId")
            .map(cut::<36>)
            .unwrap_or_default(),
        venue_order_id: cut(text(entry, "orderId")?),
        side: side(entry)?,
        order_type: match (text(entry, "orderType"), time) {
            (Some("Market"), _) => OrderType::Market,
            (_, Some("PostOnly")) => OrderType::LimitMaker,
            _ => OrderType::Limit,
        },
        time_in_force: match time {
            Some("GTC" | "PostOnly") => Some(TimeInForce::Gtc),
            Some("IOC") => Some(TimeInForce::Ioc),
            Some("FOK") => Some(TimeInForce::Fok),
            _ => None,
        },
        price: price(entry, "price"),
        stop: price(entry, "triggerPrice").map(|price| Stop {
            price,
            by: match text(entry, "triggerBy") {
                Some("MarkPrice") => TriggerBy::Mark,
                Some("IndexPrice") => TriggerBy::Index,
                _ => TriggerBy::Last,
            },
        }),
        qty: qty(entry, "qty").filter(|qty| !by_quote && !qty.is_zero()),
        filled,
        price_mean: price(entry, "avgPrice"),
        status: match text(entry, "orderStatus")? {
            // "Triggered: an instantaneous state from Untriggered to New" (enum): what follows tells more.
            "Untriggered" | "Triggered" => OrderStatus::Untriggered,
            "New" => OrderStatus::New,
            "PartiallyFilled" => OrderStatus::PartiallyFilled,
            "Filled" => OrderStatus::Filled,
            "Cancelled" | "PartiallyFilledCanceled" | "Deactivated" => OrderStatus::Canceled,
            "Rejected" => OrderStatus::Rejected,
            // A word that we don't know says nothing of where the order stands.
            _ => OrderStatus::Unknown,
        },
        exch_ns: millis_of(entry, "updatedTime"),
    })
}

/// An execution, of the stream or of an answer. Only trades, those of a liquidation and of
/// auto-deleveraging among them: funding, delivery and settlement move no order (enum "execType").
pub(super) fn read_fill(entry: &Object<'_, '_>, names: &dyn Names) -> Option<Fill> {
    let kind = text(entry, "execType");
    if kind.is_some_and(|kind| !matches!(kind, "Trade" | "AdlTrade" | "BustTrade" | "BlockTrade")) {
        return None;
    }
    let instrument = names.instrument(text(entry, "symbol")?)?;
    let client: ClientOrderId = text(entry, "orderLinkId").map(cut).unwrap_or_default();
    let fee_currency = text(entry, "feeCurrency").filter(|coin| !coin.is_empty());
    Some(Fill {
        instrument: instrument.key,
        client_order_id: client,
        venue_order_id: cut(text(entry, "orderId")?),
        trade_id: cut(text(entry, "execId")?),
        side: side(entry)?,
        price: price(entry, "execPrice")?,
        qty: qty(entry, "execQty")?,
        fee: amount(entry, "execFee"),
        // Linear answers leave it out: fees are in the settlement currency.
        fee_currency: fee_currency.map_or(instrument.settle, cut),
        liquidity: match entry.get("isMaker").and_then(|maker| maker.as_bool()) {
            Some(true) => Liquidity::Maker,
            Some(false) => Liquidity::Taker,
            None => Liquidity::Unknown,
        },
        settlement: Settlement::Final,
        exch_ns: millis_of(entry, "execTime"),
    })
}

/// A position of an account in one-way mode; the sides of hedge mode are left out.
pub(super) fn read_position(entry: &Object<'_, '_>, names: &dyn Names) -> Option<Position> {
    let index = entry.get("positionIdx").and_then(|index| index.as_i64());
    if index.is_some_and(|index| index != 0) {
        return None;
    }
    let size = amount(entry, "size")?;
    let qty = match text(entry, "side") {
        Some("Sell") => Amount::ZERO.checked_sub(size)?,
        _ => size,
    };
    Some(Position {
        instrument: names.instrument(text(entry, "symbol")?)?.key,
        qty,
        price_mean: price(entry, "entryPrice").or_else(|| price(entry, "avgPrice")),
        unrealized: amount(entry, "unrealisedPnl"),
        exch_ns: millis_of(entry, "updatedTime"),
    })
}

/// The coins of a wallet. What orders of spot have locked is not available.
pub(super) fn read_coins(
    wallet: &Object<'_, '_>,
    exch_ns: Nanos,
    mut each: impl FnMut(Balance),
) -> Option<()> {
    let coins = wallet.get("coin")?.as_array()?;
    for coin in coins.iter().filter_map(|coin| coin.as_object()) {
        let balance = (|| {
            let total = amount(&coin, "walletBalance")?;
            let locked = amount(&coin, "locked").unwrap_or_default();
            Some(Balance {
                currency: currency(text(&coin, "coin")?),
                total,
                available: total.checked_sub(locked)?.normalized(),
                exch_ns,
            })
        })();
        if let Some(balance) = balance {
            each(balance);
        }
    }
    Some(())
}

fn currency(text: &str) -> Currency {
    cut(text)
}

pub(super) fn text<'input>(object: &Object<'_, 'input>, key: &str) -> Option<&'input str> {
    let value: Value<'_, 'input> = object.get(key)?;
    value.into_string()
}

fn side(entry: &Object<'_, '_>) -> Option<Side> {
    match text(entry, "side")? {
        "Buy" => Some(Side::Bid),
        "Sell" => Some(Side::Ask),
        _ => None,
    }
}

/// `None` also for "" and zero, which say that there is none.
fn price(entry: &Object<'_, '_>, key: &str) -> Option<Price> {
    let price = Price::parse(text(entry, key)?.as_bytes()).ok()?;
    Some(price.normalized()).filter(|price| !price.is_zero())
}

fn qty(entry: &Object<'_, '_>, key: &str) -> Option<Qty> {
    let qty = Qty::parse(text(entry, key)?.as_bytes()).ok()?;
    Some(qty.normalized())
}

/// `None` also for "".
fn amount(entry: &Object<'_, '_>, key: &str) -> Option<Amount> {
    let amount = Amount::parse(text(entry, key)?.as_bytes()).ok()?;
    Some(amount.normalized())
}

/// Times are text in data and numbers beside it.
pub(super) fn millis_of(object: &Object<'_, '_>, key: &str) -> Nanos {
    let Some(value) = object.get(key) else {
        return Nanos::ZERO;
    };
    let millis = match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_i64(),
    };
    millis.map_or(Nanos::ZERO, Nanos::from_millis)
}

/// The venue's order id as it stands.
pub(super) fn order_id(object: &Object<'_, '_>) -> Option<VenueOrderId> {
    text(object, "orderId").map(cut)
}

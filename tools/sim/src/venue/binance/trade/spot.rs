//! Orders, accounts and events of spot in the venue's words: rest-api.md and user-data-stream.md
//! (2026-07).

use crate::exchange::{Amount, End, Exchange, Fill, Order, Report, Status, What};
use crate::json::{Obj, list};
use crate::market::Side;
use crate::num::ms;

/// The digits that spot prints of every number.
const DIGITS: u8 = 8;

pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    }
}

pub(super) const fn status(order: &Order) -> &'static str {
    match order.status {
        // A stop order that waits is NEW with isWorking false.
        Status::Waiting | Status::New => "NEW",
        Status::Partial => "PARTIALLY_FILLED",
        Status::Filled => "FILLED",
        Status::Canceled => "CANCELED",
        Status::Expired => "EXPIRED",
    }
}

fn number(amount: Amount) -> String {
    amount.fixed(DIGITS)
}

fn price(exchange: &Exchange, order: &Order) -> String {
    exchange.listings[order.instrument].price_text(order.price.unwrap_or(0))
}

fn stop_price(exchange: &Exchange, order: &Order) -> String {
    let trigger = order.trigger.map_or(0, |trigger| trigger.price);
    exchange.listings[order.instrument].price_text(trigger)
}

/// When it came to the book; -1 of a stop that waits.
const fn working_time(order: &Order) -> i64 {
    match order.status {
        Status::Waiting => -1,
        _ => ms(order.working_ns),
    }
}

/// How much an answer to an order tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Ack,
    Result,
    Full,
}

/// The answer to a new order.
pub(super) fn placed(
    exchange: &Exchange,
    order: &Order,
    fills: &[Fill],
    detail: Detail,
) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let object = Obj::new()
        .str("symbol", &listing.symbol)
        .id("orderId", order.id)
        .int("orderListId", -1)
        .str("clientOrderId", &order.client_id)
        .int("transactTime", ms(order.created_ns));
    if detail == Detail::Ack {
        return object.end();
    }
    let mut object = amounts(object, exchange, order);
    if order.trigger.is_some() {
        object = object.str("stopPrice", &stop_price(exchange, order));
    }
    let object = object
        .int("workingTime", working_time(order))
        .str("selfTradePreventionMode", "NONE");
    if detail == Detail::Result {
        return object.end();
    }
    let fills = fills.iter().map(|fill| {
        Obj::new()
            .str("price", &listing.price_text(fill.price))
            .str("qty", &listing.qty_text(fill.lots))
            .str("commission", &number(fill.fee))
            .str("commissionAsset", &fill.fee_asset)
            .id("tradeId", fill.trade_id)
            .end()
    });
    object.raw("fills", &list(fills)).end()
}

/// From `price` to `side`: what every answer about an order has.
fn amounts(object: Obj, exchange: &Exchange, order: &Order) -> Obj {
    let listing = &exchange.listings[order.instrument];
    object
        .str("price", &price(exchange, order))
        .str("origQty", &listing.qty_text(order.lots))
        .str("executedQty", &listing.qty_text(order.filled))
        .str(
            "origQuoteOrderQty",
            &number(order.quote.unwrap_or_default()),
        )
        .str("cummulativeQuoteQty", &number(order.filled_value))
        .str("status", status(order))
        .str("timeInForce", order.words.tif)
        .str("type", order.words.kind)
        .str("side", side(order.side))
}

/// The answer to a cancel: `clientOrderId` is the cancel's own.
pub(super) fn canceled(exchange: &Exchange, order: &Order, request_id: &str) -> Vec<u8> {
    let object = Obj::new()
        .str("symbol", &exchange.listings[order.instrument].symbol)
        .str("origClientOrderId", &order.client_id)
        .id("orderId", order.id)
        .int("orderListId", -1)
        .str("clientOrderId", request_id)
        .int("transactTime", ms(order.updated_ns));
    amounts(object, exchange, order)
        .str("selfTradePreventionMode", "NONE")
        .end()
}

/// An order as it is queried.
pub(super) fn queried(exchange: &Exchange, order: &Order) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let mut object = Obj::new()
        .str("symbol", &listing.symbol)
        .id("orderId", order.id)
        .int("orderListId", -1)
        .str("clientOrderId", &order.client_id)
        .str("price", &price(exchange, order))
        .str("origQty", &listing.qty_text(order.lots))
        .str("executedQty", &listing.qty_text(order.filled))
        .str("cummulativeQuoteQty", &number(order.filled_value))
        .str("status", status(order))
        .str("timeInForce", order.words.tif)
        .str("type", order.words.kind)
        .str("side", side(order.side))
        .str("stopPrice", &stop_price(exchange, order))
        .str("icebergQty", &number(Amount::ZERO))
        .int("time", ms(order.created_ns))
        .int("updateTime", ms(order.updated_ns))
        .bool("isWorking", order.status != Status::Waiting)
        .int("workingTime", working_time(order))
        .str(
            "origQuoteOrderQty",
            &number(order.quote.unwrap_or_default()),
        )
        .str("selfTradePreventionMode", "NONE");
    if order.status == Status::Expired {
        object = object.str("expiryReason", expiry(order));
    }
    object.end()
}

const fn expiry(order: &Order) -> &'static str {
    match order.end {
        End::Liquidity => "INSUFFICIENT_LIQUIDITY",
        End::Balance => "INSUFFICIENT_BALANCE",
        _ => "EXCHANGE_CANCELED",
    }
}

/// The answer to an amendment.
pub(super) fn amended(exchange: &Exchange, order: &Order, execution_id: u64) -> Vec<u8> {
    Obj::new()
        .int("transactTime", ms(order.updated_ns))
        .id("executionId", execution_id)
        .raw("amendedOrder", &queried(exchange, order))
        .end()
}

/// One of the account's trades.
pub(super) fn trade(exchange: &Exchange, fill: &Fill) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    Obj::new()
        .str("symbol", &listing.symbol)
        .id("id", fill.trade_id)
        .id("orderId", fill.order_id)
        .int("orderListId", -1)
        .str("price", &listing.price_text(fill.price))
        .str("qty", &listing.qty_text(fill.lots))
        .str("quoteQty", &number(fill.value))
        .str("commission", &number(fill.fee))
        .str("commissionAsset", &fill.fee_asset)
        .int("time", ms(fill.at_ns))
        .bool("isBuyer", fill.side == Side::Bid)
        .bool("isMaker", fill.maker)
        .bool("isBestMatch", true)
        .end()
}

/// `account`.
pub(super) fn account(exchange: &Exchange, account: usize, omit_zero: bool, now: i64) -> Vec<u8> {
    let fees = exchange.listings.first().map(|listing| listing.fees);
    let (maker, taker) = fees.map_or((0, 0), |fees| (fees.maker_ppm, fees.taker_ppm));
    let rate = |ppm: i64| number(Amount::scaled(i128::from(ppm), 6));
    let balances = exchange
        .balances(account)
        .filter(|(_, balance)| !(omit_zero && balance.free.is_zero() && balance.locked.is_zero()));
    let balances = balances.map(|(asset, balance)| {
        Obj::new()
            .str("asset", asset)
            .str("free", &number(balance.free))
            .str("locked", &number(balance.locked))
            .end()
    });
    let rates = Obj::new()
        .str("maker", &rate(maker))
        .str("taker", &rate(taker))
        .str("buyer", &rate(0))
        .str("seller", &rate(0))
        .end();
    Obj::new()
        // In hundredths of a percent.
        .int("makerCommission", maker / 100)
        .int("takerCommission", taker / 100)
        .int("buyerCommission", 0)
        .int("sellerCommission", 0)
        .raw("commissionRates", &rates)
        .bool("canTrade", true)
        .bool("canWithdraw", true)
        .bool("canDeposit", true)
        .bool("brokered", false)
        .bool("requireSelfTradePrevention", false)
        .bool("preventSor", false)
        .int("updateTime", ms(now))
        .str("accountType", "SPOT")
        .raw("balances", &list(balances))
        .raw("permissions", b"[\"SPOT\"]")
        .int("uid", 354_937_868 + account as i64)
        .end()
}

/// `executionReport`.
pub(super) fn execution_report(exchange: &Exchange, report: &Report, skew_ns: i64) -> Vec<u8> {
    let order = &report.order;
    let listing = &exchange.listings[order.instrument];
    let fill = if let What::Trade(fill) = &report.what {
        Some(fill)
    } else {
        None
    };
    let kind = match report.what {
        // A stop order that wakes is told as NEW again, now working.
        What::New | What::Triggered => "NEW",
        What::Trade(_) => "TRADE",
        What::Amended => "REPLACED",
        What::Canceled => "CANCELED",
        What::Expired => "EXPIRED",
    };
    // On a cancel `C` is the order's id and `c` the cancel's.
    let (c, original) = if report.request_id.is_empty() {
        (order.client_id.as_str(), "")
    } else {
        (report.request_id.as_str(), order.client_id.as_str())
    };
    let zero = number(Amount::ZERO);
    let at_ms = ms(report.at_ns + skew_ns);
    let mut object = Obj::new()
        .str("e", "executionReport")
        .int("E", at_ms)
        .str("s", &listing.symbol)
        .str("c", c)
        .str("S", side(order.side))
        .str("o", order.words.kind)
        .str("f", order.words.tif)
        .str("q", &listing.qty_text(order.lots))
        .str("p", &price(exchange, order))
        .str("P", &stop_price(exchange, order))
        .str("F", &zero)
        .int("g", -1)
        .str("C", original)
        .str("x", kind)
        .str("X", status(order))
        .str("r", "NONE")
        .id("i", order.id)
        .str(
            "l",
            &fill.map_or_else(|| zero.clone(), |fill| listing.qty_text(fill.lots)),
        )
        .str("z", &listing.qty_text(order.filled))
        .str(
            "L",
            &fill.map_or_else(|| zero.clone(), |fill| listing.price_text(fill.price)),
        )
        .str(
            "n",
            &fill.map_or_else(|| "0".to_owned(), |fill| number(fill.fee)),
        );
    object = match fill {
        Some(fill) => object.str("N", &fill.fee_asset),
        None => object.raw("N", b"null"),
    };
    let working = order.is_open() && order.status != Status::Waiting;
    object = object
        .int("T", at_ms)
        .int("t", fill.map_or(-1, |fill| fill.trade_id as i64))
        .id("I", report.id)
        .bool("w", working)
        .bool("m", fill.is_some_and(|fill| fill.maker))
        .bool("M", fill.is_some())
        .int("O", ms(order.created_ns + skew_ns))
        .str("Z", &number(order.filled_value))
        .str(
            "Y",
            &fill.map_or_else(|| zero.clone(), |fill| number(fill.value)),
        )
        .str("Q", &number(order.quote.unwrap_or_default()));
    if order.status != Status::Waiting {
        object = object.int("W", ms(order.working_ns + skew_ns));
    }
    object = object.str("V", "NONE");
    if order.status == Status::Expired {
        object = object.str("eR", expiry(order));
    }
    object.end()
}

/// `outboundAccountPosition` of these assets.
pub(super) fn account_position(
    exchange: &Exchange,
    account: usize,
    assets: &[&str],
    at_ns: i64,
) -> Vec<u8> {
    let balances = assets.iter().map(|asset| {
        let balance = exchange.balance(account, asset);
        Obj::new()
            .str("a", asset)
            .str("f", &number(balance.free))
            .str("l", &number(balance.locked))
            .end()
    });
    Obj::new()
        .str("e", "outboundAccountPosition")
        .int("E", ms(at_ns))
        .int("u", ms(at_ns))
        .raw("B", &list(balances))
        .end()
}

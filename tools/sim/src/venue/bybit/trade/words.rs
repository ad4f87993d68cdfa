//! Orders, executions, positions and wallets in Bybit's words (docs v5/order/*, v5/position/*,
//! v5/account/wallet-balance, v5/websocket/private/*; 2026-07). All numbers are texts.

use crate::exchange::{Amount, End, Exchange, Fill, Order, Refusal, Report, Status, What};
use crate::json::{Obj, list};
use crate::market::{Market, Side};
use crate::num::ms;
use crate::spec::SimVenue;
use crate::venue::bybit::rest::category;

/// The id of an order as the venue writes it: a number for spot, a UUID for derivatives, whose last
/// twelve digits are the number here.
pub(super) fn order_id(venue: SimVenue, id: u64) -> String {
    if venue.is_spot() {
        // Spot ids have nineteen digits.
        (SPOT_IDS_FROM + id).to_string()
    } else {
        format!("{}{id:012x}", UUID_HEAD)
    }
}

const SPOT_IDS_FROM: u64 = 1_726_000_000_000_000_000;
const UUID_HEAD: &str = "5cf98598-39a7-459e-97bf-";

pub(super) fn parse_order_id(venue: SimVenue, text: &str) -> Option<u64> {
    if venue.is_spot() {
        text.parse::<u64>().ok()?.checked_sub(SPOT_IDS_FROM)
    } else {
        u64::from_str_radix(text.strip_prefix(UUID_HEAD)?, 16).ok()
    }
}

/// Each side of a trade has an id of its own.
fn exec_id(venue: SimVenue, fill: &Fill) -> String {
    if venue.is_spot() {
        (2_100_000_000_000_000_000 + fill.trade_id * 2 + u64::from(fill.maker)).to_string()
    } else {
        format!(
            "0ab1bdf7-4219-438b-b30{}-{:012x}",
            u8::from(fill.maker),
            fill.trade_id
        )
    }
}

pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Bid => "Buy",
        Side::Ask => "Sell",
    }
}

fn status(venue: SimVenue, order: &Order) -> &'static str {
    match order.status {
        // What was cancelled before it triggered (docs v5/enum).
        Status::Canceled | Status::Expired if order.trigger.is_some() && !order.triggered => {
            "Deactivated"
        }
        Status::Waiting => "Untriggered",
        Status::New => "New",
        Status::Partial => "PartiallyFilled",
        Status::Filled => "Filled",
        // Spot has a word of its own for what was filled in part (docs v5/enum).
        Status::Canceled | Status::Expired if venue.is_spot() && order.filled > 0 => {
            "PartiallyFilledCanceled"
        }
        Status::Canceled | Status::Expired => "Cancelled",
    }
}

const fn cancel_type(order: &Order) -> &'static str {
    match order.end {
        End::User => "CancelByUser",
        End::ReduceOnly => "CancelByReduceOnly",
        End::DeadMan => "CancelByDCP",
        _ => "UNKNOWN",
    }
}

const fn reject_reason(order: &Order) -> &'static str {
    match order.end {
        End::PostOnly => "EC_PostOnlyWillTakeLiquidity",
        End::Liquidity => "EC_NoImmediateQtyToFill",
        End::Balance => "EC_NoEnoughQtyToFill",
        End::User => "EC_PerCancelRequest",
        _ => "EC_NoError",
    }
}

/// Whether the order is for an amount of the quote asset, which is then what `qty` says.
fn qty(exchange: &Exchange, order: &Order) -> String {
    match order.quote {
        Some(quote) => quote.text(),
        None => exchange.listings[order.instrument].qty_text(order.lots),
    }
}

fn average(exchange: &Exchange, order: &Order) -> Amount {
    exchange.listings[order.instrument].average(order.filled_value, order.filled)
}

/// An order of `order/realtime` and `order/history`.
pub(super) fn order(venue: SimVenue, exchange: &Exchange, order: &Order) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let (left, left_value) = left(exchange, order);
    let trigger = order
        .trigger
        .map_or_else(|| "0".to_owned(), |t| listing.price_text(t.price));
    Obj::new()
        .str("orderId", &order_id(venue, order.id))
        .str("orderLinkId", &order.client_id)
        .str("blockTradeId", "")
        .str("symbol", &listing.symbol)
        .str("price", &listing.price_text(order.price.unwrap_or(0)))
        .str("qty", &qty(exchange, order))
        .str("side", side(order.side))
        .str("isLeverage", if venue.is_spot() { "0" } else { "" })
        .int("positionIdx", 0)
        .str("orderStatus", status(venue, order))
        .str("cancelType", cancel_type(order))
        .str("rejectReason", reject_reason(order))
        .str("avgPrice", &average(exchange, order).text())
        .str("leavesQty", &left)
        .str("leavesValue", &left_value)
        .str("cumExecQty", &listing.qty_text(order.filled))
        .str("cumExecValue", &order.filled_value.text())
        .str("cumExecFee", &order.fee.text())
        .str("timeInForce", order.words.tif)
        .str("orderType", order.words.kind)
        .str("stopOrderType", stop_type(venue, order))
        .str("orderIv", "")
        .str("triggerPrice", &trigger)
        .str("takeProfit", "")
        .str("stopLoss", "")
        .str("tpTriggerBy", "")
        .str("slTriggerBy", "")
        .int("triggerDirection", direction(order))
        .str("triggerBy", order.trigger.map_or("", |trigger| trigger.by))
        .str(
            "lastPriceOnCreated",
            &listing.price_text(order.last_at_entry),
        )
        .bool("reduceOnly", order.reduce_only)
        .bool("closeOnTrigger", false)
        .str("smpType", "None")
        .int("smpGroup", 0)
        .str("smpOrderId", "")
        .str("tpslMode", "")
        .str("tpLimitPrice", "")
        .str("slLimitPrice", "")
        .str("placeType", "")
        .str("createdTime", &ms(order.created_ns).to_string())
        .str("updatedTime", &ms(order.updated_ns).to_string())
        .end()
}

const fn stop_type(venue: SimVenue, order: &Order) -> &'static str {
    match (&order.trigger, venue.is_spot()) {
        (Some(_), false) => "Stop",
        (Some(trigger), true) if trigger.holds => "tpslOrder",
        (Some(_), true) => "Stop",
        (None, _) => "",
    }
}

const fn direction(order: &Order) -> i64 {
    match order.trigger {
        Some(trigger) if trigger.rising => 1,
        Some(_) => 2,
        None => 0,
    }
}

/// Quantity and value that are still to be filled; nothing of an order that ended.
fn left(exchange: &Exchange, order: &Order) -> (String, String) {
    let listing = &exchange.listings[order.instrument];
    let lots = if order.is_open() { order.left() } else { 0 };
    let value = listing.value(order.price.unwrap_or(order.last_at_entry), lots);
    (listing.qty_text(lots), value.text())
}

/// What the topic `order` says of a report. A stop is "Triggered" for a moment, and then what it is.
pub(super) fn order_events(venue: SimVenue, exchange: &Exchange, report: &Report) -> Vec<Vec<u8>> {
    let order = &report.order;
    let now = order_event(venue, exchange, order, status(venue, order));
    match report.what {
        What::Triggered => vec![order_event(venue, exchange, order, "Triggered"), now],
        _ => vec![now],
    }
}

fn order_event(venue: SimVenue, exchange: &Exchange, order: &Order, status: &str) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let (left, left_value) = left(exchange, order);
    let trigger = order
        .trigger
        .map_or_else(String::new, |t| listing.price_text(t.price));
    Obj::new()
        .str("symbol", &listing.symbol)
        .str("orderId", &order_id(venue, order.id))
        .str("side", side(order.side))
        .str("orderType", order.words.kind)
        .str("cancelType", cancel_type(order))
        .str("price", &listing.price_text(order.price.unwrap_or(0)))
        .str("qty", &qty(exchange, order))
        .str("orderIv", "")
        .str("timeInForce", order.words.tif)
        .str("orderStatus", status)
        .str("orderLinkId", &order.client_id)
        .str(
            "lastPriceOnCreated",
            &listing.price_text(order.last_at_entry),
        )
        .bool("reduceOnly", order.reduce_only)
        .str("leavesQty", &left)
        .str("leavesValue", &left_value)
        .str("cumExecQty", &listing.qty_text(order.filled))
        .str("cumExecValue", &order.filled_value.text())
        .str("avgPrice", &average(exchange, order).text())
        .str("blockTradeId", "")
        .int("positionIdx", 0)
        .str("cumExecFee", &order.fee.text())
        .str("createdTime", &ms(order.created_ns).to_string())
        .str("updatedTime", &ms(order.updated_ns).to_string())
        .str("rejectReason", reject_reason(order))
        .str("stopOrderType", stop_type(venue, order))
        .str("tpslMode", "")
        .str("triggerPrice", &trigger)
        .str("takeProfit", "")
        .str("stopLoss", "")
        .str("tpTriggerBy", "")
        .str("slTriggerBy", "")
        .str("tpLimitPrice", "")
        .str("slLimitPrice", "")
        .int("triggerDirection", direction(order))
        .str("triggerBy", order.trigger.map_or("", |trigger| trigger.by))
        .bool("closeOnTrigger", false)
        .str("category", category(venue))
        .str("placeType", "")
        .str("smpType", "None")
        .int("smpGroup", 0)
        .str("smpOrderId", "")
        .str("feeCurrency", fee_currency(exchange, order))
        .str("createType", "CreateByUser")
        .end()
}

fn fee_currency<'a>(exchange: &'a Exchange, order: &Order) -> &'a str {
    let assets = exchange.listings[order.instrument].assets();
    match (assets.as_slice(), order.side) {
        ([base, _], Side::Bid) => base,
        ([.., quote], _) => quote,
        ([], _) => "",
    }
}

/// The fields that `execution/list` and the topic `execution` have in common, in the topic's order.
fn execution(venue: SimVenue, exchange: &Exchange, fill: &Fill, order: Option<&Order>) -> Obj {
    let listing = &exchange.listings[fill.instrument];
    let rate = if fill.maker {
        listing.fees.maker_ppm
    } else {
        listing.fees.taker_ppm
    };
    let text = |of: &dyn Fn(&Order) -> String| order.map_or_else(String::new, of);
    Obj::new()
        .str("symbol", &listing.symbol)
        .str("closedSize", &closed(exchange, fill))
        .str("execFee", &fill.fee.text())
        .str("execId", &exec_id(venue, fill))
        .str("execPrice", &listing.price_text(fill.price))
        .str("execQty", &listing.qty_text(fill.lots))
        .str("execType", "Trade")
        .str("execValue", &fill.value.text())
        .str("feeRate", &Amount::scaled(i128::from(rate), 6).text())
        .str("feeCurrency", &fill.fee_asset)
        .str("tradeIv", "")
        .str("markIv", "")
        .str("blockTradeId", "")
        .str(
            "markPrice",
            &listing.price_text(exchange.last_price(fill.instrument)),
        )
        .str("indexPrice", "")
        .str("underlyingPrice", "")
        .str("leavesQty", &text(&|order| left(exchange, order).0))
        .str("orderId", &order_id(venue, fill.order_id))
        .str("orderLinkId", &text(&|order| order.client_id.clone()))
        .str(
            "orderPrice",
            &text(&|order| listing.price_text(order.price.unwrap_or(0))),
        )
        .str("orderQty", &text(&|order| qty(exchange, order)))
        .str("orderType", order.map_or("", |order| order.words.kind))
        .str(
            "stopOrderType",
            order.map_or("", |order| stop_type(venue, order)),
        )
        .str("side", side(fill.side))
        .str("execTime", &ms(fill.at_ns).to_string())
        .bool("isMaker", fill.maker)
        .id("seq", fill.trade_id)
}

fn closed(exchange: &Exchange, fill: &Fill) -> String {
    if exchange.listings[fill.instrument].is_spot() {
        String::new()
    } else {
        exchange.listings[fill.instrument].qty_text(fill.closed)
    }
}

/// An execution of the topic `execution`.
pub(super) fn execution_event(
    venue: SimVenue,
    exchange: &Exchange,
    fill: &Fill,
    order: &Order,
) -> Vec<u8> {
    execution(venue, exchange, fill, Some(order))
        .str("category", category(venue))
        .str("isLeverage", "0")
        .end()
}

/// The same of `execution.fast`; the client id is left out for makers, as at the venue.
pub(super) fn fast_event(
    venue: SimVenue,
    exchange: &Exchange,
    fill: &Fill,
    order: &Order,
) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    Obj::new()
        .str("category", category(venue))
        .str("symbol", &listing.symbol)
        .str("execId", &exec_id(venue, fill))
        .str("execPrice", &listing.price_text(fill.price))
        .str("execQty", &listing.qty_text(fill.lots))
        .str("orderId", &order_id(venue, fill.order_id))
        .bool("isMaker", fill.maker)
        .str(
            "orderLinkId",
            if fill.maker { "" } else { &order.client_id },
        )
        .str("side", side(fill.side))
        .str("execTime", &ms(fill.at_ns).to_string())
        .id("seq", fill.trade_id)
        .end()
}

/// An execution of `execution/list`.
pub(super) fn executed(venue: SimVenue, exchange: &Exchange, fill: &Fill) -> Vec<u8> {
    let order = exchange.order(fill.account, fill.order_id);
    execution(venue, exchange, fill, order)
        .str("createType", "CreateByUser")
        .end()
}

/// Profit that a position would realise at the last price.
fn unrealised(exchange: &Exchange, account: usize, instrument: usize) -> Amount {
    let listing = &exchange.listings[instrument];
    let position = exchange.position(account, instrument);
    if listing.is_spot() || position.lots == 0 {
        return Amount::ZERO;
    }
    let value = listing.value(exchange.last_price(instrument), position.lots.abs());
    position.basis + if position.lots > 0 { value } else { -value }
}

/// A position; `event` for the topic's names of its fields.
pub(super) fn position(
    venue: SimVenue,
    exchange: &Exchange,
    (account, instrument): (usize, usize),
    event: bool,
    now: i64,
) -> Vec<u8> {
    let listing = &exchange.listings[instrument];
    let position = exchange.position(account, instrument);
    let word = match position.lots.signum() {
        1 => "Buy",
        -1 => "Sell",
        _ => "",
    };
    let average = listing.average(position.basis, position.lots);
    let value = Amount(position.basis.0.abs());
    let margin = Amount(value.0 / i128::from(listing.leverage.max(1))).cut(8);
    let mut object = Obj::new()
        .int("positionIdx", 0)
        .int("tradeMode", 0)
        .int("riskId", 1)
        .str("riskLimitValue", "2000000")
        .str("symbol", &listing.symbol)
        .str("side", word)
        .str("size", &listing.qty_text(position.lots.abs()))
        .str(
            if event { "entryPrice" } else { "avgPrice" },
            &average.text(),
        )
        .str("leverage", &listing.leverage.to_string())
        .str("positionValue", &value.text())
        .str("positionBalance", &margin.text())
        .str(
            "markPrice",
            &listing.price_text(exchange.last_price(instrument)),
        )
        .str("positionIM", &margin.text())
        .str("positionMM", "0")
        .str("takeProfit", "0")
        .str("stopLoss", "0")
        .str("trailingStop", "0")
        .str(
            "unrealisedPnl",
            &unrealised(exchange, account, instrument).text(),
        )
        .str("curRealisedPnl", &position.realised.text())
        .str("cumRealisedPnl", &position.realised.text())
        .str("sessionAvgPrice", "")
        .str("createdTime", &ms(now).to_string())
        .str("updatedTime", &ms(now).to_string())
        .str("tpslMode", "Full")
        .str("liqPrice", "")
        .str("bustPrice", "")
        .str("positionStatus", "Normal")
        .int("adlRankIndicator", 0)
        .int("autoAddMargin", 0)
        .str("leverageSysUpdatedTime", "")
        .str(
            if event {
                "mmrSysUpdatedTime"
            } else {
                "mmrSysUpdateTime"
            },
            "",
        )
        .int("seq", exchange.newest_report() as i64)
        .bool("isReduceOnly", false);
    if event {
        object = object.str("category", category(venue));
    }
    object.end()
}

/// The wallet, of these coins or all. Dollar values count stable coins alone.
pub(super) fn wallet(
    exchange: &Exchange,
    market: &Market,
    account: usize,
    coins: &[&str],
) -> Vec<u8> {
    let dollars = |asset: &str, amount: Amount| {
        if matches!(asset, "USDT" | "USDC") {
            return amount;
        }
        // At the last price of its instrument against a dollar, if there is one.
        let mut all = market.instruments.iter().zip(&exchange.listings);
        let found = all.find(|(one, _)| one.spec.base == asset && one.spec.quote == "USDT");
        found.map_or(Amount::ZERO, |(one, listing)| {
            let price = i128::from(listing.price.mantissa(one.tape.day.close));
            let scale = crate::exchange::pow10(listing.price.decimals);
            Amount(amount.0 / scale * price + amount.0 % scale * price / scale).cut(8)
        })
    };
    let mut total = Amount::ZERO;
    let mut free = Amount::ZERO;
    let mut told = Vec::new();
    for (asset, balance) in exchange.balances(account) {
        let held = balance.free + balance.locked;
        let unrealised: Amount = (0..exchange.listings.len())
            .filter(|index| exchange.listings[*index].quote_asset() == asset)
            .map(|index| unrealised(exchange, account, index))
            .sum();
        let equity = held + unrealised;
        let realised: Amount = (0..exchange.listings.len())
            .filter(|index| exchange.listings[*index].quote_asset() == asset)
            .map(|index| exchange.position(account, index).realised)
            .sum();
        let available = exchange.available(account, asset);
        total += dollars(asset, equity);
        free += dollars(asset, available);
        if !coins.is_empty() && !coins.contains(&asset) {
            continue;
        }
        let coin = Obj::new()
            .str("coin", asset)
            .str("equity", &equity.text())
            .str("usdValue", &dollars(asset, equity).text())
            .str("walletBalance", &held.text())
            .str("availableToWithdraw", &available.text())
            .str("availableToBorrow", "")
            .str("borrowAmount", "0")
            .str("accruedInterest", "0")
            .str(
                "totalOrderIM",
                &exchange.order_margin(account, asset).text(),
            )
            .str(
                "totalPositionIM",
                &exchange.position_margin(account, asset).text(),
            )
            .str("totalPositionMM", "0")
            .str("unrealisedPnl", &unrealised.text())
            .str("cumRealisedPnl", &realised.text())
            .str("bonus", "0")
            .bool("collateralSwitch", true)
            .bool("marginCollateral", true)
            .str("locked", &balance.locked.text())
            .str("spotHedgingQty", "0");
        told.push(coin.end());
    }
    Obj::new()
        .str("accountIMRate", "0")
        .str("accountMMRate", "0")
        .str("totalEquity", &total.text())
        .str("totalWalletBalance", &total.text())
        .str("totalMarginBalance", &total.text())
        .str("totalAvailableBalance", &free.text())
        .str("totalPerpUPL", "0")
        .str("totalInitialMargin", "0")
        .str("totalMaintenanceMargin", "0")
        .raw("coin", &list(told))
        .str("accountLTV", "0")
        .str("accountType", "UNIFIED")
        .end()
}

/// A refusal of the core: code and text (docs v5/error).
pub(super) const fn refused(refusal: Refusal, spot: bool) -> (i64, &'static str) {
    match (refusal, spot) {
        (Refusal::UnknownOrder, true) => (170_213, "Order does not exist."),
        (Refusal::UnknownOrder, false) => (110_001, "order not exists or too late to cancel"),
        (Refusal::Balance | Refusal::Margin, true) => (170_131, "Insufficient balance."),
        (Refusal::Balance | Refusal::Margin, false) => (110_007, "ab not enough for new order"),
        (Refusal::DuplicateId, true) => (170_141, "Duplicate clientOrderId"),
        (Refusal::DuplicateId, false) => (110_072, "OrderLinkedID is duplicate"),
        (Refusal::ReduceOnly, _) => (110_017, "orderQty will be truncated to zero."),
        (Refusal::TooManyOrders, true) => (
            170_810,
            "Cannot exceed maximum of 500 conditional, TP/SL and active orders.",
        ),
        (Refusal::TooManyOrders, false) => {
            (110_020, "Not allowed to have more than 500 active orders")
        }
        (Refusal::WouldTrigger, _) => (110_092, "expect Rising, but trigger_price <= current"),
        (Refusal::BadAmendment, true) => (170_210, "New order rejected."),
        (Refusal::BadAmendment, false) => (
            110_010,
            "The order has been cancelled or nothing was changed",
        ),
        (Refusal::WouldTake, true) => (
            170_218,
            "The LIMIT-MAKER order is rejected due to invalid price.",
        ),
        (Refusal::WouldTake, false) => (110_003, "Order price exceeds the allowable range."),
        (Refusal::NoLiquidity, _) => (170_193, "Market order price cannot be determined."),
    }
}

//! Orders, accounts and events of USD-M in the venue's words (derivatives/usds-margined-futures
//! "New Order", "Account Information V2/V3", "Position Information V3", "Event: Order Update",
//! "Event: Balance and Position Update"; 2026-07). One-way mode alone: `positionSide` is BOTH.

use super::algo;
use super::spot::side;
use crate::exchange::{Amount, Exchange, Fill, Order, Report, Status, What};
use crate::json::{Obj, list};
use crate::market::Side;
use crate::num::ms;

/// The digits that balances have.
const DIGITS: u8 = 8;

const fn status(order: &Order) -> &'static str {
    match order.status {
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

/// An order in any answer; `created` as queries have it.
pub(super) fn order(exchange: &Exchange, order: &Order, created: bool) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let average = listing.average(order.filled_value, order.filled);
    let good_till = order.expires_ns.map_or(0, ms);
    let object = Obj::new()
        .id("orderId", order.id)
        .str("symbol", &listing.symbol)
        .str("status", status(order))
        .str("clientOrderId", &order.client_id)
        .str("price", &listing.price_text(order.price.unwrap_or(0)))
        .str("avgPrice", &average.fixed(5))
        .str("origQty", &listing.qty_text(order.lots))
        .str("executedQty", &listing.qty_text(order.filled));
    // Answers to requests that change an order have it, queries do not.
    let object = if created {
        object
    } else {
        object.str("cumQty", &listing.qty_text(order.filled))
    };
    let object = object
        .str("cumQuote", &order.filled_value.fixed(5))
        .str("timeInForce", order.words.tif)
        .str("type", algo::actual_kind(order))
        .bool("reduceOnly", order.reduce_only)
        .bool("closePosition", false)
        .str("side", side(order.side))
        .str("positionSide", "BOTH")
        .str("stopPrice", &listing.price_text(0))
        .str("workingType", "CONTRACT_PRICE")
        .bool("priceProtect", false)
        .str("origType", order.words.kind)
        .str("priceMatch", "NONE")
        .str("selfTradePreventionMode", "NONE")
        .int("goodTillDate", good_till);
    let object = if created {
        object.int("time", ms(order.created_ns))
    } else {
        object
    };
    object.int("updateTime", ms(order.updated_ns)).end()
}

/// One of the account's trades.
pub(super) fn trade(exchange: &Exchange, fill: &Fill) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    Obj::new()
        .bool("buyer", fill.side == Side::Bid)
        .str("commission", &number(fill.fee))
        .str("commissionAsset", &fill.fee_asset)
        .id("id", fill.trade_id)
        .bool("maker", fill.maker)
        .id("orderId", fill.order_id)
        .str("price", &listing.price_text(fill.price))
        .str("qty", &listing.qty_text(fill.lots))
        .str("quoteQty", &fill.value.fixed(DIGITS))
        .str("realizedPnl", &number(fill.realised))
        .str("side", side(fill.side))
        .str("positionSide", "BOTH")
        .str("symbol", &listing.symbol)
        .int("time", ms(fill.at_ns))
        .end()
}

/// Profit that a position would realise at the last price.
fn unrealised(exchange: &Exchange, account: usize, instrument: usize) -> Amount {
    let position = exchange.position(account, instrument);
    if position.lots == 0 {
        return Amount::ZERO;
    }
    let last = exchange.last_price(instrument);
    let value = exchange.listings[instrument].value(last, position.lots.abs());
    position.basis + if position.lots > 0 { value } else { -value }
}

fn all_unrealised(exchange: &Exchange, account: usize, asset: &str) -> Amount {
    let listings = exchange.listings.iter().enumerate();
    let mine = listings.filter(|(_, listing)| listing.quote_asset() == asset);
    mine.map(|(index, _)| unrealised(exchange, account, index))
        .sum()
}

/// `balance`.
pub(super) fn balance(exchange: &Exchange, account: usize, now: i64) -> Vec<u8> {
    list(exchange.balances(account).map(|(asset, balance)| {
        let available = number(exchange.available(account, asset));
        Obj::new()
            .str("accountAlias", "SgsR")
            .str("asset", asset)
            .str("balance", &number(balance.free))
            .str("crossWalletBalance", &number(balance.free))
            .str(
                "crossUnPnl",
                &number(all_unrealised(exchange, account, asset)),
            )
            .str("availableBalance", &available)
            .str("maxWithdrawAmount", &available)
            .bool("marginAvailable", true)
            .int("updateTime", ms(now))
            .end()
    }))
}

/// `account`.
pub(super) fn account(exchange: &Exchange, account: usize, now: i64) -> Vec<u8> {
    let sums = |asset: &str| {
        let wallet = exchange.balance(account, asset).free;
        let profit = all_unrealised(exchange, account, asset);
        let (position, orders) = (
            exchange.position_margin(account, asset),
            exchange.order_margin(account, asset),
        );
        (
            wallet,
            profit,
            position,
            orders,
            exchange.available(account, asset),
        )
    };
    let rows = |object: Obj, name: &dyn Fn(&str) -> String, asset: &str| {
        let (wallet, profit, position, orders, available) = sums(asset);
        object
            .str(&name("initialMargin"), &number(position + orders))
            .str(&name("maintMargin"), &number(Amount::ZERO))
            .str(&name("walletBalance"), &number(wallet))
            .str(&name("unrealizedProfit"), &number(profit))
            .str(&name("marginBalance"), &number(wallet + profit))
            .str(&name("positionInitialMargin"), &number(position))
            .str(&name("openOrderInitialMargin"), &number(orders))
            .str(&name("crossWalletBalance"), &number(wallet))
            .str(&name("crossUnPnl"), &number(profit))
            .str("availableBalance", &number(available))
            .str("maxWithdrawAmount", &number(available))
    };
    let total = |name: &str| {
        let mut chars = name.chars();
        let first: String = chars
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        format!("total{first}{}", chars.as_str())
    };
    let assets = exchange.balances(account).map(|(asset, _)| {
        let object = Obj::new().str("asset", asset);
        let object = rows(object, &|name| name.to_owned(), asset);
        object
            .bool("marginAvailable", true)
            .int("updateTime", ms(now))
            .end()
    });
    let positions =
        (0..exchange.listings.len()).map(|index| position(exchange, account, index, now));
    let object = Obj::new()
        .int("feeTier", 0)
        .bool("canTrade", true)
        .bool("canDeposit", true)
        .bool("canWithdraw", true)
        .int("updateTime", 0)
        .bool("multiAssetsMargin", false)
        .int("tradeGroupId", -1);
    rows(object, &total, "USDT")
        .raw("assets", &list(assets))
        .raw("positions", &list(positions))
        .end()
}

/// A position of `account`.
fn position(exchange: &Exchange, account: usize, index: usize, now: i64) -> Vec<u8> {
    let listing = &exchange.listings[index];
    let held = exchange.position(account, index);
    let margin = Amount(held.basis.0.abs() / i128::from(listing.leverage.max(1)));
    let value = listing.value(exchange.last_price(index), held.lots.abs());
    Obj::new()
        .str("symbol", &listing.symbol)
        .str("initialMargin", &number(margin))
        .str("maintMargin", "0")
        .str(
            "unrealizedProfit",
            &number(unrealised(exchange, account, index)),
        )
        .str("positionInitialMargin", &number(margin))
        .str("openOrderInitialMargin", "0")
        .str("leverage", &listing.leverage.to_string())
        .bool("isolated", false)
        .str("entryPrice", &listing.average(held.basis, held.lots).text())
        .str("maxNotional", "250000000")
        .str("bidNotional", "0")
        .str("askNotional", "0")
        .str("positionSide", "BOTH")
        .str("positionAmt", &listing.qty_text(held.lots))
        .str("notional", &value.text())
        .int("updateTime", ms(now))
        .end()
}

/// `positionRisk`: of one instrument, or of all with a position.
pub(super) fn position_risk(
    exchange: &Exchange,
    account: usize,
    index: Option<usize>,
    now: i64,
) -> Vec<u8> {
    let all = (0..exchange.listings.len()).filter(|one| match index {
        Some(index) => *one == index,
        None => exchange.position(account, *one).lots != 0,
    });
    list(all.map(|index| {
        let listing = &exchange.listings[index];
        let held = exchange.position(account, index);
        let last = exchange.last_price(index);
        let average = listing.average(held.basis, held.lots).text();
        let value = listing.value(last, held.lots.abs());
        let notional = if held.lots < 0 { -value } else { value };
        Obj::new()
            .str("symbol", &listing.symbol)
            .str("positionAmt", &listing.qty_text(held.lots))
            .str("entryPrice", &average)
            .str("breakEvenPrice", &average)
            .str("markPrice", &listing.price_text(last))
            .str(
                "unRealizedProfit",
                &number(unrealised(exchange, account, index)),
            )
            .str("liquidationPrice", "0")
            .str("leverage", &listing.leverage.to_string())
            .str("maxNotionalValue", "250000000")
            .str("marginType", "cross")
            .str("isolatedMargin", "0.00000000")
            .str("isAutoAddMargin", "false")
            .str("positionSide", "BOTH")
            .str("notional", &notional.text())
            .str("isolatedWallet", "0")
            .int("updateTime", ms(now))
            .end()
    }))
}

/// `ORDER_TRADE_UPDATE`.
fn order_update(exchange: &Exchange, report: &Report, skew_ns: i64) -> Vec<u8> {
    let order = &report.order;
    let listing = &exchange.listings[order.instrument];
    let fill = if let What::Trade(fill) = &report.what {
        Some(fill)
    } else {
        None
    };
    let kind = match report.what {
        What::New | What::Triggered => "NEW",
        What::Trade(_) => "TRADE",
        What::Amended => "AMENDMENT",
        What::Canceled => "CANCELED",
        What::Expired => "EXPIRED",
    };
    let at_ms = ms(report.at_ns + skew_ns);
    let average = listing.average(order.filled_value, order.filled);
    let open_value = |wanted: Side| {
        let mut orders = exchange.open_orders(order.account, Some(order.instrument));
        orders.retain(|one| one.side == wanted);
        let values = orders
            .iter()
            .map(|one| listing.value(one.price.unwrap_or(0), one.left()));
        values.sum::<Amount>().text()
    };
    let mut told = Obj::new()
        .str("s", &listing.symbol)
        .str("c", &order.client_id)
        .str("S", side(order.side))
        .str("o", algo::actual_kind(order))
        .str("f", order.words.tif)
        .str("q", &listing.qty_short(order.lots))
        .str("p", &listing.price_short(order.price.unwrap_or(0)))
        .str("ap", &average.text())
        .str("sp", "0")
        .str("x", kind)
        .str("X", status(order))
        .id("i", order.id)
        .str(
            "l",
            &fill.map_or_else(|| "0".to_owned(), |fill| listing.qty_short(fill.lots)),
        )
        .str("z", &listing.qty_short(order.filled))
        .str(
            "L",
            &fill.map_or_else(|| "0".to_owned(), |fill| listing.price_short(fill.price)),
        );
    told = told
        .str(
            "N",
            fill.map_or_else(|| listing.quote_asset(), |fill| &fill.fee_asset),
        )
        .str(
            "n",
            &fill.map_or_else(|| "0".to_owned(), |fill| number(fill.fee)),
        );
    let told = told
        .int("T", at_ms)
        .int("t", fill.map_or(0, |fill| fill.trade_id as i64))
        .str("b", &open_value(Side::Bid))
        .str("a", &open_value(Side::Ask))
        .bool("m", fill.is_some_and(|fill| fill.maker))
        .bool("R", order.reduce_only)
        .str("wt", "CONTRACT_PRICE")
        .str("ot", order.words.kind)
        .str("ps", "BOTH")
        .bool("cp", false)
        .str(
            "rp",
            &fill.map_or_else(|| "0".to_owned(), |fill| fill.realised.text()),
        )
        .bool("pP", false)
        .int("si", 0)
        .int("ss", 0)
        .str("V", "NONE")
        .str("pm", "NONE")
        .int("gtd", order.expires_ns.map_or(0, ms))
        .end();
    Obj::new()
        .str("e", "ORDER_TRADE_UPDATE")
        .int("E", at_ms)
        .int("T", at_ms)
        .raw("o", &told)
        .end()
}

/// `ACCOUNT_UPDATE` after a fill.
fn account_update(exchange: &Exchange, fill: &Fill, at_ms: i64) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    let (account, asset) = (fill.account, listing.quote_asset());
    let wallet = number(exchange.balance(account, asset).free);
    let balance = Obj::new()
        .str("a", asset)
        .str("wb", &wallet)
        .str("cw", &wallet)
        .str("bc", "0");
    let held = exchange.position(account, fill.instrument);
    let average = listing.average(held.basis, held.lots).text();
    let position = Obj::new()
        .str("s", &listing.symbol)
        .str("pa", &listing.qty_short(held.lots))
        .str("ep", &average)
        .str("bep", &average)
        .str("cr", &held.realised.text())
        .str("up", &unrealised(exchange, account, fill.instrument).text())
        .str("mt", "cross")
        .str("iw", "0")
        .str("ps", "BOTH");
    let told = Obj::new()
        .str("m", "ORDER")
        .raw("B", &list([balance.end()]))
        .raw("P", &list([position.end()]));
    Obj::new()
        .str("e", "ACCOUNT_UPDATE")
        .int("T", at_ms)
        .int("E", at_ms)
        .raw("a", &told.end())
        .end()
}

/// `TRADE_LITE`: the fast word of a fill.
fn trade_lite(exchange: &Exchange, fill: &Fill, order: &Order, at_ms: i64) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    Obj::new()
        .str("e", "TRADE_LITE")
        .int("E", at_ms)
        .int("T", at_ms)
        .str("s", &listing.symbol)
        .str("q", &listing.qty_text(order.lots))
        .str("p", &listing.price_text(order.price.unwrap_or(0)))
        .bool("m", fill.maker)
        .str("c", &order.client_id)
        .str("S", side(fill.side))
        .str("L", &listing.price_text(fill.price))
        .str("l", &listing.qty_text(fill.lots))
        .id("t", fill.trade_id)
        .id("i", order.id)
        .end()
}

/// A report's events with their names.
pub(super) fn events(
    exchange: &Exchange,
    report: &Report,
    skew_ns: i64,
) -> Vec<(&'static str, Vec<u8>)> {
    let mut events = Vec::new();
    let at_ms = ms(report.at_ns + skew_ns);
    if let What::Trade(fill) = &report.what {
        events.push((
            "TRADE_LITE",
            trade_lite(exchange, fill, &report.order, at_ms),
        ));
        events.push(("ACCOUNT_UPDATE", account_update(exchange, fill, at_ms)));
    }
    let conditional = algo::event(exchange, report, at_ms);
    let is_waiting = algo::is_waiting(&report.order);
    if let (true, Some(event)) = (is_waiting, &conditional) {
        return vec![("ALGO_UPDATE", event.clone())];
    }
    let is_first = matches!(report.what, What::Triggered);
    if let (true, Some(event)) = (is_first, &conditional) {
        events.push(("ALGO_UPDATE", event.clone()));
    }
    let update = order_update(exchange, report, skew_ns);
    if report.twice {
        events.push(("ORDER_TRADE_UPDATE", update.clone()));
    }
    events.push(("ORDER_TRADE_UPDATE", update));
    if let (false, Some(event)) = (is_first, conditional) {
        events.push(("ALGO_UPDATE", event));
    }
    events
}

//! Orders, trades, positions and accounts in Deribit's words (API v2.1.1; the objects of recorded
//! answers, 2026-01). Numbers are JSON numbers.

use serde_json::Value;

use crate::exchange::{Amount, End, Exchange, Fill, Order, Refusal, Report, Status, What};
use crate::json::{Obj, list};
use crate::market::Side;
use crate::num::ms;
use crate::spec::{Limits, SimVenue};
use crate::venue::deribit::frames::kind;

pub(super) const fn direction(side: Side) -> &'static str {
    match side {
        Side::Bid => "buy",
        Side::Ask => "sell",
    }
}

/// The number of an order behind the currency of its book, which Bitcoin's leaves out.
fn number_of(exchange: &Exchange, instrument: usize, id: u64) -> String {
    match exchange.listings[instrument].quote_asset() {
        "BTC" => id.to_string(),
        asset => format!("{asset}-{id}"),
    }
}

/// What a stop is called until it triggers: then it is an order of another id (recorded:
/// "USDC-SLMB-19641").
fn stop_id(exchange: &Exchange, order: &Order) -> String {
    let kind = match (order.price, order.side) {
        (None, Side::Bid) => "SLMB",
        (None, Side::Ask) => "SLMS",
        (Some(_), Side::Bid) => "SLLB",
        (Some(_), Side::Ask) => "SLLS",
    };
    match exchange.listings[order.instrument].quote_asset() {
        "BTC" => format!("{kind}-{}", order.id),
        asset => format!("{asset}-{kind}-{}", order.id),
    }
}

/// The id of an order as it is now.
pub(super) fn order_id(exchange: &Exchange, order: &Order) -> String {
    match is_stop(order) {
        true => stop_id(exchange, order),
        false => number_of(exchange, order.instrument, order.id),
    }
}

/// Whether it waits, or has ended before its price came.
const fn is_stop(order: &Order) -> bool {
    order.trigger.is_some() && !order.triggered
}

pub(super) fn parse_order_id(text: &str) -> Option<u64> {
    text.rsplit('-').next()?.parse().ok()
}

const fn state(order: &Order) -> &'static str {
    match order.status {
        Status::Waiting => "untriggered",
        Status::New | Status::Partial => "open",
        Status::Filled => "filled",
        // A stop that cannot be paid for when its price comes (get_trigger_order_history).
        Status::Expired if is_stop(order) && matches!(order.end, End::Balance) => "rejected",
        // What could not be filled at once ends as cancelled.
        Status::Canceled | Status::Expired => "cancelled",
    }
}

const fn cancel_reason(order: &Order) -> &'static str {
    match order.end {
        End::User => "user_request",
        End::DeadMan => "cancel_on_disconnect",
        End::PostOnly => "post_only_reject",
        End::ReduceOnly => "reduce_only",
        _ => "time_in_force",
    }
}

trait Number {
    fn number(self, key: &str, text: &str) -> Self;
}

impl Number for Obj {
    fn number(self, key: &str, text: &str) -> Self {
        self.raw(key, text.as_bytes())
    }
}

/// An order.
pub(super) fn order(exchange: &Exchange, order: &Order) -> Vec<u8> {
    let id = order_id(exchange, order);
    object(exchange, order, (&id, state(order)), is_stop(order))
}

/// The stop that has become this order, and says so at its end.
pub(super) fn spent_stop(exchange: &Exchange, order: &Order) -> Option<Vec<u8>> {
    let id = stop_id(exchange, order);
    let spent = || object(exchange, order, (&id, "triggered"), true);
    order.triggered.then(spent)
}

fn object(exchange: &Exchange, order: &Order, (id, state): (&str, &str), is_stop: bool) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let average = listing.average(order.filled_value, order.filled);
    // What a stop becomes is an order of the kind behind its name.
    let kind = match order.words.kind.split_once('_') {
        Some((_, kind)) if !is_stop && order.trigger.is_some() => kind,
        _ => order.words.kind,
    };
    let mut object = Obj::new().str("label", &order.client_id);
    object = match order.price {
        Some(price) => object.number("price", &listing.price_short(price)),
        None if is_stop => object.str("price", "market_price"),
        None => object.number("price", &listing.price_short(order.last_at_entry)),
    };
    object = object
        .int("user_id", 96_103)
        .number("amount", &listing.qty_short(order.lots))
        .str("direction", direction(order.side))
        .str("time_in_force", order.words.tif)
        .str("instrument_name", &listing.symbol)
        .bool("web", false)
        .bool("api", true)
        .str("order_id", id)
        .int("creation_timestamp", ms(order.created_ns))
        .bool("replaced", order.amended)
        .number("filled_amount", &listing.qty_short(order.filled))
        .number("average_price", &average.text())
        .int("last_update_timestamp", ms(order.updated_ns))
        .bool("post_only", order.post_only)
        .bool("reduce_only", order.reduce_only);
    if !order.is_open() && order.status != Status::Filled {
        object = object.str("cancel_reason", cancel_reason(order));
    }
    if let Some(trigger) = order.trigger {
        object = object
            .number("trigger_price", &listing.price_short(trigger.price))
            .str("trigger", trigger.by);
        if !is_stop {
            object = object
                .bool("triggered", true)
                .str("trigger_order_id", &stop_id(exchange, order));
        }
    }
    object
        .bool("mmp", false)
        .int("contracts", order.lots)
        .bool("reject_post_only", order.words.strict)
        .str("order_state", state)
        .str("order_type", kind)
        .bool("is_liquidation", false)
        .bool("risk_reducing", order.reduce_only)
        .end()
}

/// A trade of the account.
pub(super) fn trade(exchange: &Exchange, fill: &Fill, of: Option<&Order>) -> Vec<u8> {
    let listing = &exchange.listings[fill.instrument];
    let last = listing.price_short(exchange.last_price(fill.instrument));
    Obj::new()
        .id("trade_seq", fill.trade_id)
        .str("trade_id", &fill.trade_id.to_string())
        .int("timestamp", ms(fill.at_ns))
        .int("tick_direction", 1)
        .str("state", of.map_or("filled", state))
        .bool("reduce_only", of.is_some_and(|order| order.reduce_only))
        .number("price", &listing.price_short(fill.price))
        .bool("post_only", of.is_some_and(|order| order.post_only))
        .str("order_type", of.map_or("limit", |order| order.words.kind))
        .str(
            "order_id",
            &number_of(exchange, fill.instrument, fill.order_id),
        )
        .raw("matching_id", b"null")
        .number("mark_price", &last)
        .str("liquidity", if fill.maker { "M" } else { "T" })
        .str("instrument_name", &listing.symbol)
        .number("index_price", &last)
        .str("fee_currency", &fill.fee_asset)
        .number("fee", &fill.fee.text())
        .str("direction", direction(fill.side))
        .number("amount", &listing.qty_short(fill.lots))
        .int("contracts", fill.lots)
        .str("label", of.map_or("", |order| &order.client_id))
        .number("profit_loss", &fill.realised.text())
        .bool("api", true)
        .bool("mmp", false)
        .bool("self_trade", false)
        .end()
}

/// Profit that a position would realise at the last price.
fn unrealised(exchange: &Exchange, account: usize, instrument: usize) -> Amount {
    let position = exchange.position(account, instrument);
    let listing = &exchange.listings[instrument];
    if listing.is_spot() || position.lots == 0 {
        return Amount::ZERO;
    }
    let value = listing.value(exchange.last_price(instrument), position.lots.abs());
    let closing = if position.lots > 0 { value } else { -value };
    // What was paid for opening has the sign of money; closing brings the other one.
    if position.basis.0.signum() == closing.0.signum() {
        position.basis - closing
    } else {
        position.basis + closing
    }
}

/// A position.
pub(super) fn position(
    venue: SimVenue,
    exchange: &Exchange,
    account: usize,
    instrument: usize,
) -> Vec<u8> {
    let listing = &exchange.listings[instrument];
    let held = exchange.position(account, instrument);
    let last = listing.price_short(exchange.last_price(instrument));
    let side = match held.lots.signum() {
        1 => "buy",
        -1 => "sell",
        _ => "zero",
    };
    let margin = Amount(held.basis.0.abs() / i128::from(listing.leverage.max(1))).cut(8);
    let floating = unrealised(exchange, account, instrument);
    Obj::new()
        .str("instrument_name", &listing.symbol)
        .str("kind", kind(venue))
        .str("direction", side)
        .number("size", &listing.qty_short(held.lots))
        .number(
            "average_price",
            &listing.average(held.basis, held.lots).text(),
        )
        .number("mark_price", &last)
        .number("index_price", &last)
        .number("floating_profit_loss", &floating.text())
        .number("realized_profit_loss", &held.realised.text())
        .number("total_profit_loss", &(floating + held.realised).text())
        .number("initial_margin", &margin.text())
        .number("maintenance_margin", "0")
        .int("leverage", listing.leverage)
        .end()
}

/// What an account has in a currency; of `user.portfolio` and `get_account_summary`.
fn sums(exchange: &Exchange, account: usize, currency: &str) -> Obj {
    let balance = exchange.balance(account, currency);
    let held = balance.free + balance.locked;
    let listed = (0..exchange.listings.len())
        .filter(|index| exchange.listings[*index].quote_asset() == currency);
    let listed: Vec<usize> = listed.collect();
    let floating: Amount = listed
        .iter()
        .map(|one| unrealised(exchange, account, *one))
        .sum();
    let realised: Amount = listed
        .iter()
        .map(|one| exchange.position(account, *one).realised)
        .sum();
    let available = exchange.available(account, currency).text();
    let margin =
        exchange.position_margin(account, currency) + exchange.order_margin(account, currency);
    let equity = (held + floating).text();
    Obj::new()
        .str("currency", currency)
        .number("balance", &held.text())
        .number("equity", &equity)
        .number("margin_balance", &equity)
        .number("available_funds", &available)
        .number("available_withdrawal_funds", &available)
        .number("initial_margin", &margin.cut(8).text())
        .number("maintenance_margin", "0")
        .number("projected_initial_margin", &margin.cut(8).text())
        .number("projected_maintenance_margin", "0")
        .number("spot_reserve", &balance.locked.text())
        .number("session_upl", &floating.text())
        .number("session_rpl", &realised.text())
        .number("total_pl", &(floating + realised).text())
        .number("delta_total", "0")
        .number("fee_balance", "0")
        .str("margin_model", "segregated_sm")
        .bool("portfolio_margining_enabled", false)
        .bool("cross_collateral_enabled", false)
}

fn portfolio(exchange: &Exchange, account: usize, currency: &str) -> Vec<u8> {
    sums(exchange, account, currency).end()
}

pub(super) fn summary(
    exchange: &Exchange,
    limits: &Limits,
    account: usize,
    currency: &str,
) -> Vec<u8> {
    let (rate, burst) = rates(limits);
    let orders = serde_json::json!({"burst": burst, "rate": rate});
    let limits = serde_json::json!({
        "limits_per_currency": false,
        "non_matching_engine": {"burst": 100, "rate": 20},
        "matching_engine": {
            "trading": {"total": orders}, "spot": orders, "cancel_all": orders,
        },
    });
    sums(exchange, account, currency)
        .raw("limits", limits.to_string().as_bytes())
        .end()
}

/// Order requests a second, and how many may come at once: four times as many (rate limits, lowest
/// tier: 5 and 20).
pub(in super::super) fn rates(limits: &Limits) -> (i64, i64) {
    let rate = limits
        .order_limits
        .first()
        .map_or(5, |(_, max)| i64::from(*max));
    (rate, rate * 4)
}

/// A refusal of the core: code and text.
pub(super) const fn refused(refusal: Refusal) -> (i64, &'static str) {
    match refusal {
        Refusal::UnknownOrder => (10_004, "order_not_found"),
        Refusal::Balance | Refusal::Margin => (10_009, "not_enough_funds"),
        Refusal::WouldTake => (11_054, "post_only_reject"),
        Refusal::DuplicateId => (11_030, "other_reject"),
        Refusal::ReduceOnly => (11_030, "other_reject reduce_only_position"),
        Refusal::WouldTrigger => (11_036, "invalid_trigger_price"),
        Refusal::NoLiquidity => (10_012, "book_closed"),
        Refusal::TooManyOrders => (10_047, "matching_engine_queue_full"),
        Refusal::BadAmendment => (10_021, "invalid_amount"),
    }
}

/// The sums of every asset that a report may have moved, as far as a channel tells of them.
pub(super) fn portfolios(exchange: &Exchange, channel: &str, report: &Report) -> Vec<Vec<u8>> {
    let Some(wanted) = channel.strip_prefix("user.portfolio.") else {
        return Vec::new();
    };
    let order = &report.order;
    let assets = exchange.listings[order.instrument].assets().into_iter();
    let told = assets.filter(|asset| wanted == "any" || wanted.eq_ignore_ascii_case(asset));
    told.map(|asset| portfolio(exchange, order.account, asset))
        .collect()
}

/// The data of a channel of orders and trades for a report, if it is one that the report concerns; and
/// whether it tells a trade.
pub(super) fn channel_data(
    venue: SimVenue,
    exchange: &Exchange,
    channel: &str,
    report: &Report,
) -> Option<(Vec<u8>, bool)> {
    let order = &report.order;
    let listing = &exchange.listings[order.instrument];
    let parts: Vec<&str> = channel.split('.').collect();
    let fill = if let What::Trade(fill) = &report.what {
        Some(fill)
    } else {
        None
    };
    let base = listing.symbol.split(['-', '_']).next().unwrap_or_default();
    let any = |text: &str, names: &[&str]| text == "any" || names.contains(&text);
    let (what, pace) = match parts[..] {
        ["user", what, name, pace] if name == listing.symbol => (what, pace),
        ["user", what, of_kind, currency, pace]
            if any(of_kind, &[kind(venue)]) && any(currency, &[base, listing.quote_asset()]) =>
        {
            (what, pace)
        }
        _ => return None,
    };
    // A stop that triggers is told at its end, and then the order that it has become.
    let spent = match report.what {
        What::Triggered => spent_stop(exchange, order),
        _ => None,
    };
    let object = self::order(exchange, order);
    let trades: Vec<Vec<u8>> = fill
        .map(|fill| trade(exchange, fill, Some(order)))
        .into_iter()
        .collect();
    match what {
        // One object where each change is told, a list where they are collected.
        "orders" if pace == "raw" => Some((object, false)),
        "orders" => Some((list(spent.into_iter().chain([object])), false)),
        "trades" if fill.is_some() => Some((list(trades), true)),
        "changes" => {
            let positions = fill.filter(|_| !listing.is_spot());
            let positions =
                positions.map(|_| position(venue, exchange, order.account, order.instrument));
            let data = Obj::new()
                .str("instrument_name", &listing.symbol)
                .raw("orders", &list(spent.into_iter().chain([object])))
                .raw("trades", &list(trades))
                .raw("positions", &list(positions));
            Some((data.end(), fill.is_some()))
        }
        _ => None,
    }
}

/// A parameter that may be a number or its text, as decimal text.
pub(super) fn number_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        // Digits as they were written, but for an exponent, which no tick has.
        Value::Number(number) => {
            let text = number.to_string();
            if text.contains(['e', 'E']) {
                return Some(format!("{:.8}", number.as_f64()?));
            }
            Some(text.strip_suffix(".0").unwrap_or(&text).to_owned())
        }
        _ => None,
    }
}

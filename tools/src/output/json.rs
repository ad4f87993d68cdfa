//! Events as JSON, one object a line.

use std::io::{self, Write};

use tickwire_connectors::connector::BookView;
use tickwire_connectors::event::{Bbo, Body, LevelDelta, Lost, StateChange, Trade};
use tickwire_connectors::order::{Balance, Fill, OrderUpdate, Position};
use tickwire_connectors::outbox::Item;
use tickwire_connectors::wide::{Greeks, Kline, Notice, Refusal, Ticker};
use tickwire_connectors::{
    Channel, Event, Instrument, Nanos, StreamState, VenueNews, Wide, WideBody,
};
use tickwire_orderbook::{Level, Price, Qty, Side};

use super::object::Object;
use super::{Format, StreamInfo};

/// One JSON object a line. Every object has `type`, `venue`, `market`, `channel`, `symbol`,
/// `venue_symbol`, then its own keys, then `state`, `epoch`, `seq`, `exch_ns` and `recv_ns`.
/// Decimals are text; a time that is not known is `null`.
#[derive(Debug, Default)]
pub struct Json {
    line: Vec<u8>,
}

impl Format for Json {
    fn item(&mut self, out: &mut dyn Write, info: &StreamInfo, item: Item<'_>) -> io::Result<()> {
        self.line.clear();
        match item {
            Item::Hot(event) => hot(&mut self.line, info, event),
            Item::Wide(wide) => write_wide(&mut self.line, info, wide),
        }
        out.write_all(&self.line)
    }

    fn book(
        &mut self,
        out: &mut dyn Write,
        info: &StreamInfo,
        view: &BookView<'_>,
    ) -> io::Result<()> {
        self.line.clear();
        let text = |level: Level| {
            (
                Price::new(level.price, view.price_scale).plain(),
                Qty::new(level.qty, view.qty_scale).plain(),
            )
        };
        head(&mut self.line, "book", info)
            .text("state", view.state.as_str())
            .plain("seq", view.seq)
            .pairs("bids", view.book.levels(Side::Bid).map(text))
            .pairs("asks", view.book.levels(Side::Ask).map(text))
            .end();
        out.write_all(&self.line)
    }
}

fn head<'a>(line: &'a mut Vec<u8>, kind: &str, info: &StreamInfo) -> Object<'a> {
    let object = Object::new(line)
        .text("type", kind)
        .text("venue", info.venue.as_str())
        .text("market", info.market.as_str())
        .text("channel", info.channel.as_str())
        .text("symbol", &info.symbol)
        .text("venue_symbol", &info.venue_symbol);
    match info.channel {
        // Two books of one symbol differ in these.
        Channel::Book(params) => object
            .plain_if("levels", params.levels)
            .plain_if("interval_ms", params.interval_ms),
        Channel::Kline(interval) => object.text("interval", interval.as_str()),
        _ => object,
    }
}

fn tail(
    object: Object<'_>,
    (state, epoch, seq): (StreamState, u16, u64),
    (exch_ns, recv_ns): (Nanos, Nanos),
) {
    let object = object
        .text("state", state.as_str())
        .plain("epoch", epoch)
        .plain("seq", seq);
    let object = time(object, "exch_ns", exch_ns);
    time(object, "recv_ns", recv_ns).end();
}

fn time<'a>(object: Object<'a>, key: &'static str, at: Nanos) -> Object<'a> {
    if at == Nanos::ZERO {
        object.null(key)
    } else {
        object.plain(key, at.0)
    }
}

fn hot(line: &mut Vec<u8>, info: &StreamInfo, event: &Event) {
    let object = match event.body() {
        Body::Bbo(bbo) => write_bbo(head(line, "bbo", info), &bbo),
        Body::Trade(trade) => write_trade(head(line, "trade", info), &trade),
        Body::Level(level) => write_level(head(line, "level", info), &level),
        Body::State(change) => {
            let kind = match info.channel {
                Channel::Book(_) => "book_state",
                _ => "stream_state",
            };
            write_state(head(line, kind, info), &change)
        }
        Body::Lost(lost) => write_lost(head(line, "lost", info), &lost),
    };
    tail(
        object,
        (event.state(), event.epoch(), event.seq()),
        (event.exch_ns(), event.recv_ns()),
    );
}

fn write_bbo<'a>(object: Object<'a>, bbo: &Bbo) -> Object<'a> {
    let (bid, ask) = (bbo.bid(), bbo.ask());
    object
        .decimal_or_null("bid_price", bid.map(|(price, _)| price.plain()))
        .decimal_or_null("bid_qty", bid.map(|(_, qty)| qty.plain()))
        .decimal_or_null("ask_price", ask.map(|(price, _)| price.plain()))
        .decimal_or_null("ask_qty", ask.map(|(_, qty)| qty.plain()))
}

fn write_trade<'a>(object: Object<'a>, trade: &Trade) -> Object<'a> {
    object
        .decimal("price", trade.price().plain())
        .decimal("qty", trade.qty().plain())
        .text("aggressor", trade.aggressor().as_str())
        .text("trade_id", &trade_id(trade.id()))
}

/// A number, or a UUID where it takes more than 64 bits.
pub(super) fn trade_id(id: u128) -> String {
    if u64::try_from(id).is_ok() {
        return id.to_string();
    }
    let hex = format!("{id:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|range| &hex[range]).join("-")
}

fn write_level<'a>(object: Object<'a>, level: &LevelDelta) -> Object<'a> {
    let side = match level.side() {
        Side::Bid => "bid",
        Side::Ask => "ask",
    };
    object
        .text("side", side)
        .decimal("price", level.price().plain())
        .decimal("qty", level.qty().plain())
        .plain("starts_snapshot", level.starts_snapshot())
        .plain("ends_batch", level.ends_batch())
}

fn write_state<'a>(object: Object<'a>, change: &StateChange) -> Object<'a> {
    let gap = change.gap();
    object
        .text("reason", change.reason().as_str())
        .plain_if("expected", gap.map(|(expected, _)| expected))
        .plain_if("got", gap.map(|(_, got)| got))
}

fn write_lost<'a>(object: Object<'a>, lost: &Lost) -> Object<'a> {
    let counts = lost.counts();
    object
        .plain("bbo", counts.bbo)
        .plain("trades", counts.trades)
        .plain("levels_lost", counts.levels)
        .plain("wide", counts.wide)
}

fn write_wide(line: &mut Vec<u8>, info: &StreamInfo, wide: &Wide) {
    let object = match &wide.body {
        WideBody::Ticker(ticker) => write_ticker(head(line, "ticker", info), ticker),
        WideBody::Greeks(greeks) => write_greeks(head(line, "greeks", info), greeks),
        WideBody::Kline(kline) => write_kline(head(line, "kline", info), kline),
        WideBody::Instrument(known) => write_instrument(head(line, "instrument", info), known),
        WideBody::Notice(notice) => write_notice(head(line, "notice", info), notice),
        WideBody::Venue(news) => write_news(head(line, "venue", info), *news),
        WideBody::Order(order) => write_order(head(line, "order", info), order),
        WideBody::Fill(fill) => write_fill(head(line, "fill", info), fill),
        WideBody::Balance(balance) => write_balance(head(line, "balance", info), balance),
        WideBody::Position(position) => write_position(head(line, "position", info), position),
        WideBody::Refusal(refusal) => write_refusal(head(line, "refusal", info), refusal),
    };
    tail(
        object,
        (wide.state, wide.epoch, wide.seq),
        (wide.exch_ns, wide.recv_ns),
    );
}

fn write_ticker<'a>(object: Object<'a>, ticker: &Ticker) -> Object<'a> {
    let price = |price: Option<Price>| price.map(Price::plain);
    object
        .decimal_if("last", price(ticker.last))
        .decimal_if("bid_price", ticker.bid.map(|(price, _)| price.plain()))
        .decimal_if("bid_qty", ticker.bid.map(|(_, qty)| qty.plain()))
        .decimal_if("ask_price", ticker.ask.map(|(price, _)| price.plain()))
        .decimal_if("ask_qty", ticker.ask.map(|(_, qty)| qty.plain()))
        .decimal_if("open", price(ticker.open))
        .decimal_if("high", price(ticker.high))
        .decimal_if("low", price(ticker.low))
        .decimal_if("volume", ticker.volume.map(|volume| volume.plain()))
        .decimal_if("turnover", ticker.turnover.map(|turnover| turnover.plain()))
        .decimal_if("mark", price(ticker.mark))
        .decimal_if("index", price(ticker.index))
        .decimal_if(
            "open_interest",
            ticker.open_interest.map(|open| open.plain()),
        )
        .decimal_if("funding_rate", price(ticker.funding_rate))
        .plain_if("next_funding_ns", ticker.next_funding_ns.map(|at| at.0))
}

fn write_greeks<'a>(object: Object<'a>, greeks: &Greeks) -> Object<'a> {
    [
        ("mark_iv", greeks.mark_iv),
        ("bid_iv", greeks.bid_iv),
        ("ask_iv", greeks.ask_iv),
        ("delta", greeks.delta),
        ("gamma", greeks.gamma),
        ("theta", greeks.theta),
        ("vega", greeks.vega),
        ("rho", greeks.rho),
        ("underlying", greeks.underlying),
        ("interest_rate", greeks.interest_rate),
    ]
    .into_iter()
    .fold(object, |object, (name, value)| {
        object.decimal_if(name, value.map(Price::plain))
    })
}

fn write_kline<'a>(object: Object<'a>, kline: &Kline) -> Object<'a> {
    object
        .plain("start_ns", kline.start_ns.0)
        .plain("end_ns", kline.end_ns.0)
        .decimal("open", kline.open.plain())
        .decimal("high", kline.high.plain())
        .decimal("low", kline.low.plain())
        .decimal("close", kline.close.plain())
        .decimal("volume", kline.volume.plain())
        .decimal("turnover", kline.turnover.plain())
        .plain_if("trades", kline.trades)
        .plain("closed", kline.closed)
}

fn write_instrument<'a>(object: Object<'a>, known: &Instrument) -> Object<'a> {
    let steps = known.tick_steps.iter().flatten();
    let steps = steps.map(|step| (step.above.plain(), step.tick.plain()));
    object
        .text("base", &known.base)
        .text("quote", &known.quote)
        .text("settle", &known.settle)
        .plain("price_scale", known.price_scale.get())
        .plain("qty_scale", known.qty_scale.get())
        .decimal_if("tick_size", known.tick_size.map(Price::plain))
        .pairs("tick_steps", steps)
        .decimal_if("lot_size", known.lot_size.map(Qty::plain))
        .decimal_if("qty_min", known.qty_min.map(Qty::plain))
        .decimal_if("qty_max", known.qty_max.map(Qty::plain))
        .decimal_if("notional_min", known.notional_min.map(Price::plain))
        .decimal_if("contract_size", known.contract_size.map(Qty::plain))
        .plain_if("expiry_ns", known.expiry_ns.map(|at| at.0))
        .text("status", &format!("{:?}", known.status).to_lowercase())
        .plain("from_venue", known.from_venue)
}

fn write_notice<'a>(object: Object<'a>, notice: &Notice) -> Object<'a> {
    object
        .text("kind", &snake(&format!("{:?}", notice.kind)))
        .plain_if("code", notice.code)
        .text("text", &notice.text)
}

fn write_refusal<'a>(object: Object<'a>, refusal: &Refusal) -> Object<'a> {
    let object = object
        .text("asked", refusal.asked.as_str())
        .text("client_order_id", &refusal.client_order_id)
        .text("venue_order_id", &refusal.venue_order_id)
        .text("outcome", &snake(&format!("{:?}", refusal.outcome)));
    write_notice(object, &refusal.notice)
}

fn write_news(object: Object<'_>, news: VenueNews) -> Object<'_> {
    match news {
        VenueNews::Banned { until_ns, status } => object
            .text("news", "banned")
            .plain("until_ns", until_ns.0)
            .plain("status", status),
        VenueNews::BanLifted => object.text("news", "ban_lifted"),
    }
}

fn write_order<'a>(object: Object<'a>, order: &OrderUpdate) -> Object<'a> {
    object
        .text("order_symbol", &order.instrument.symbol)
        .text("client_order_id", &order.client_order_id)
        .text("venue_order_id", &order.venue_order_id)
        .text("side", buy_or_sell(order.side))
        .text("order_type", order.order_type.as_str())
        .decimal_if("price", order.price.map(Price::plain))
        .decimal_if("stop_price", order.stop.map(|stop| stop.price.plain()))
        .decimal_if("qty", order.qty.map(Qty::plain))
        .decimal("filled", order.filled.plain())
        .decimal_if("price_mean", order.price_mean.map(Price::plain))
        .text("status", order.status.as_str())
}

fn write_fill<'a>(object: Object<'a>, fill: &Fill) -> Object<'a> {
    object
        .text("order_symbol", &fill.instrument.symbol)
        .text("client_order_id", &fill.client_order_id)
        .text("venue_order_id", &fill.venue_order_id)
        .text("trade_id", &fill.trade_id)
        .text("side", buy_or_sell(fill.side))
        .decimal("price", fill.price.plain())
        .decimal("qty", fill.qty.plain())
        .decimal_if("fee", fill.fee.map(|fee| fee.plain()))
        .text("fee_currency", &fill.fee_currency)
        .text("liquidity", fill.liquidity.as_str())
        .text("settlement", fill.settlement.as_str())
}

fn write_balance<'a>(object: Object<'a>, balance: &Balance) -> Object<'a> {
    object
        .text("currency", &balance.currency)
        .decimal("total", balance.total.plain())
        .decimal("available", balance.available.plain())
}

fn write_position<'a>(object: Object<'a>, position: &Position) -> Object<'a> {
    object
        .text("position_symbol", &position.instrument.symbol)
        .decimal("qty", position.qty.plain())
        .decimal_if("price_mean", position.price_mean.map(Price::plain))
        .decimal_if(
            "unrealized",
            position.unrealized.map(|amount| amount.plain()),
        )
}

/// The side of an order in words.
pub(super) fn buy_or_sell(side: Side) -> &'static str {
    match side {
        Side::Bid => "buy",
        Side::Ask => "sell",
    }
}

/// "BadSymbol" as "bad_symbol".
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests;

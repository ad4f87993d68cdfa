//! Events as lines for people: aligned, one a line.

use std::fmt::Display;
use std::io::{self, Write};

use tickwire_connectors::connector::BookView;
use tickwire_connectors::event::{Bbo, Body, LevelDelta, Lost, StateChange, Trade};
use tickwire_connectors::order::{Balance, Fill, OrderUpdate, Position};
use tickwire_connectors::outbox::Item;
use tickwire_connectors::wide::{Greeks, Kline, Notice, Refusal, Ticker};
use tickwire_connectors::{Channel, Event, Instrument, Nanos, VenueNews, WideBody};
use tickwire_orderbook::{Level, Price, Qty, Side};

use super::json::{buy_or_sell, snake, trade_id};
use super::{Format, StreamInfo};

/// Aligned lines: time of day (UTC), market, symbol, what happened.
#[derive(Debug, Default)]
pub struct Human {
    text: String,
}

impl Format for Human {
    fn item(&mut self, out: &mut dyn Write, info: &StreamInfo, item: Item<'_>) -> io::Result<()> {
        let (recv_ns, exch_ns, what) = match item {
            Item::Hot(event) => {
                self.hot(info, event);
                (event.recv_ns(), event.exch_ns(), hot_word(info, event))
            }
            Item::Wide(wide) => {
                let word = self.wide(&wide.body);
                (wide.recv_ns, wide.exch_ns, word)
            }
        };
        // A recording of bare messages has no times of its own: then the venue's.
        let at = if recv_ns == Nanos::ZERO {
            exch_ns
        } else {
            recv_ns
        };
        writeln!(
            out,
            "{} {:<15} {:<13} {what:<10} {}",
            time_of_day(at),
            format!("{} {}", info.venue, info.market),
            info.symbol,
            self.text.trim_end()
        )
    }

    fn book(
        &mut self,
        out: &mut dyn Write,
        info: &StreamInfo,
        view: &BookView<'_>,
    ) -> io::Result<()> {
        let (bids, asks) = (view.book.len(Side::Bid), view.book.len(Side::Ask));
        writeln!(
            out,
            "\n{} {} {} ({}): {}, update {}, {bids} bids, {asks} asks",
            info.venue,
            info.market,
            info.symbol,
            info.channel,
            view.state.as_str(),
            view.seq
        )?;
        writeln!(
            out,
            "{:>20} {:>16} | {:<16} {:<20}",
            "bid qty", "bid", "ask", "ask qty"
        )?;
        let price = |level: Level| Price::new(level.price, view.price_scale).plain();
        let qty = |level: Level| Qty::new(level.qty, view.qty_scale).plain();
        let mut asks = view.book.levels(Side::Ask);
        let mut bids = view.book.levels(Side::Bid);
        loop {
            let (bid, ask) = (bids.next(), asks.next());
            if bid.is_none() && ask.is_none() {
                return Ok(());
            }
            writeln!(
                out,
                "{:>20} {:>16} | {:<16} {:<20}",
                text_or(bid.map(qty), ""),
                text_or(bid.map(price), ""),
                text_or(ask.map(price), ""),
                text_or(ask.map(qty), ""),
            )?;
        }
    }
}

fn hot_word(info: &StreamInfo, event: &Event) -> &'static str {
    match (event.body(), info.channel) {
        (Body::Bbo(_), Channel::Book(_)) => "book top",
        (Body::Bbo(_), _) => "bbo",
        (Body::Trade(_), _) => "trade",
        (Body::Level(_), _) => "level",
        (Body::State(_), _) => "state",
        (Body::Lost(_), _) => "lost",
    }
}

fn text_or(value: Option<impl Display>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), |value| value.to_string())
}

/// `12:34:56.123456` in UTC; dashes where the time is not known.
fn time_of_day(at: Nanos) -> String {
    if at == Nanos::ZERO {
        return "--:--:--.------".to_owned();
    }
    let micros = at.0.div_euclid(1_000);
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{micros:06}")
}

impl Human {
    fn set(&mut self, text: String) {
        self.text = text;
    }

    fn hot(&mut self, info: &StreamInfo, event: &Event) {
        let text = match event.body() {
            Body::Bbo(bbo) => bbo_text(&bbo),
            Body::Trade(trade) => trade_text(&trade),
            Body::Level(level) => level_text(&level),
            Body::State(change) => state_text(info, &change),
            Body::Lost(lost) => lost_text(&lost),
        };
        self.set(text);
    }

    fn wide(&mut self, body: &WideBody) -> &'static str {
        let (word, text) = match body {
            WideBody::Ticker(ticker) => ("ticker", ticker_text(ticker)),
            WideBody::Greeks(greeks) => ("greeks", greeks_text(greeks)),
            WideBody::Kline(kline) => ("kline", kline_text(kline)),
            WideBody::Instrument(instrument) => ("instrument", instrument_text(instrument)),
            WideBody::Notice(notice) => ("notice", notice_text(notice)),
            WideBody::Venue(news) => ("venue", news_text(*news)),
            WideBody::Order(order) => ("order", order_text(order)),
            WideBody::Fill(fill) => ("fill", fill_text(fill)),
            WideBody::Balance(balance) => ("balance", balance_text(balance)),
            WideBody::Position(position) => ("position", position_text(position)),
            WideBody::Refusal(refusal) => ("refusal", refusal_text(refusal)),
        };
        self.set(text);
        word
    }
}

fn bbo_text(bbo: &Bbo) -> String {
    let (bid, ask) = (bbo.bid(), bbo.ask());
    let qty = |side: Option<(Price, Qty)>| text_or(side.map(|(_, qty)| qty.plain()), "-");
    let price = |side: Option<(Price, Qty)>| text_or(side.map(|(price, _)| price.plain()), "-");
    format!(
        "{:>14} {:>12} | {:<12} {:<14}",
        qty(bid),
        price(bid),
        price(ask),
        qty(ask)
    )
}

fn trade_text(trade: &Trade) -> String {
    format!(
        "{:>14} {:>12}   {:<12} id {}",
        trade.qty().plain(),
        trade.price().plain(),
        trade.aggressor().as_str(),
        trade_id(trade.id())
    )
}

fn level_text(level: &LevelDelta) -> String {
    let side = match level.side() {
        Side::Bid => "bid",
        Side::Ask => "ask",
    };
    format!(
        "{:>14} {:>12}   {side}",
        level.qty().plain(),
        level.price().plain()
    )
}

fn state_text(info: &StreamInfo, change: &StateChange) -> String {
    let (state, reason) = (change.state().as_str(), change.reason().as_str());
    let gap = change.gap().map_or_else(String::new, |(expected, got)| {
        format!(": expected update {expected}, got {got}")
    });
    format!("{} is {state} ({reason}{gap})", info.channel)
}

fn lost_text(lost: &Lost) -> String {
    let counts = lost.counts();
    format!(
        "{} tops, {} trades, {} levels, {} others did not fit the ring",
        counts.bbo, counts.trades, counts.levels, counts.wide
    )
}

fn greeks_text(greeks: &Greeks) -> String {
    let text = |price: Option<Price>| text_or(price.map(Price::plain), "-");
    format!(
        "iv {} ({} | {}), delta {}, gamma {}, theta {}, vega {}",
        text(greeks.mark_iv),
        text(greeks.bid_iv),
        text(greeks.ask_iv),
        text(greeks.delta),
        text(greeks.gamma),
        text(greeks.theta),
        text(greeks.vega)
    )
}

fn order_text(order: &OrderUpdate) -> String {
    format!(
        "{} {} {} at {}, {} filled: {}",
        order.order_type.as_str(),
        buy_or_sell(order.side),
        text_or(order.qty.map(Qty::plain), "-"),
        text_or(order.price.map(Price::plain), "-"),
        order.filled.plain(),
        order.status.as_str()
    )
}

fn fill_text(fill: &Fill) -> String {
    format!(
        "{} {} at {} as {} ({})",
        buy_or_sell(fill.side),
        fill.qty.plain(),
        fill.price.plain(),
        fill.liquidity.as_str(),
        fill.settlement.as_str()
    )
}

fn balance_text(balance: &Balance) -> String {
    format!(
        "{} {}, {} of it available",
        balance.total.plain(),
        balance.currency,
        balance.available.plain()
    )
}

fn position_text(position: &Position) -> String {
    format!(
        "{} opened at {}",
        position.qty.plain(),
        text_or(position.price_mean.map(Price::plain), "-")
    )
}

fn ticker_text(ticker: &Ticker) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let gap = if text.is_empty() { "" } else { "  " };
            text.push_str(&format!("{gap}{name} {value}"));
        }
    };
    let price = |price: Option<Price>| price.map(|price| price.plain().to_string());
    add("last", price(ticker.last));
    add("high", price(ticker.high));
    add("low", price(ticker.low));
    add("mark", price(ticker.mark));
    add("index", price(ticker.index));
    add(
        "volume",
        ticker.volume.map(|volume| volume.plain().to_string()),
    );
    add("funding", price(ticker.funding_rate));
    text
}

fn kline_text(kline: &Kline) -> String {
    format!(
        "{} o {} h {} l {} c {} v {}{}",
        kline.interval.as_str(),
        kline.open.plain(),
        kline.high.plain(),
        kline.low.plain(),
        kline.close.plain(),
        kline.volume.plain(),
        if kline.closed { " closed" } else { "" }
    )
}

fn instrument_text(known: &Instrument) -> String {
    let tick = text_or(known.tick_size.map(Price::plain), "unknown");
    let lot = text_or(known.lot_size.map(Qty::plain), "unknown");
    let source = if known.from_venue {
        ""
    } else {
        " (by default)"
    };
    format!(
        "{} is {}, tick {tick}, lot {lot}, {} and {} decimals{source}",
        known.venue_symbol,
        known.key.symbol,
        known.price_scale.get(),
        known.qty_scale.get()
    )
}

fn news_text(news: VenueNews) -> String {
    match news {
        VenueNews::Banned { until_ns, status } => {
            format!("banned by HTTP {status} until {}", until_ns.0)
        }
        VenueNews::BanLifted => "no longer banned".to_owned(),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    let id = match refusal.client_order_id.as_str() {
        "" => refusal.venue_order_id.as_str(),
        id => id,
    };
    format!(
        "{} {id}: {}, {}",
        refusal.asked.as_str(),
        snake(&format!("{:?}", refusal.outcome)),
        notice_text(&refusal.notice)
    )
}

fn notice_text(notice: &Notice) -> String {
    let code = notice
        .code
        .map_or_else(String::new, |code| format!(" (venue code {code})"));
    format!(
        "{}: {}{code}",
        snake(&format!("{:?}", notice.kind)),
        notice.text
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_day() {
        for (ns, text) in [
            (0, "--:--:--.------"),
            (1, "00:00:00.000000"),
            (1_617_566_591_326_123_000, "20:03:11.326123"),
            (-1_000, "23:59:59.999999"),
        ] {
            assert_eq!(time_of_day(Nanos(ns)), text);
        }
    }
}

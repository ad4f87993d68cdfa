//! The venue's filters, applied before a request leaves: a refusal here costs nothing and says more.

use core::fmt;

use tickwire_orderbook::{Amount, Price, Qty, Scale, Side};

use crate::error::{Error, ErrorKind};
use crate::instrument::{Instrument, TradingStatus};
use crate::order::{OrderRequest, OrderType, Size};

/// A rule of the venue on the numbers of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Prices come in steps.
    Tick,
    /// Quantities come in steps.
    Lot,
    /// The smallest quantity.
    QtyMin,
    /// The largest quantity.
    QtyMax,
    /// The smallest value in quote currency.
    NotionalMin,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Filter::Tick => "tick size",
            Filter::Lot => "lot size",
            Filter::QtyMin => "smallest quantity",
            Filter::QtyMax => "largest quantity",
            Filter::NotionalMin => "smallest order value",
        })
    }
}

/// An order that the venue would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// A number breaks a filter.
    #[error("{value} breaks the {filter} {limit}; the nearest legal value is {nearest}")]
    Filter {
        /// Which.
        filter: Filter,
        /// The number that was asked for.
        value: Amount,
        /// What the filter says.
        limit: Amount,
        /// The legal number next to it: a price is moved away from the market, a quantity down where
        /// that is legal; of the order's value the quantity that reaches it.
        nearest: Amount,
    },
    /// A field that this kind of order needs, or must not have.
    #[error("{0}")]
    Shape(&'static str),
    /// The instrument does not trade now.
    #[error("the instrument does not trade now")]
    NotTrading,
}

impl From<BadOrder> for Error {
    fn from(bad: BadOrder) -> Error {
        let kind = match bad {
            BadOrder::Filter { .. } => ErrorKind::Precision,
            BadOrder::Shape(_) => ErrorKind::BadRequest,
            BadOrder::NotTrading => ErrorKind::VenueUnavailable,
        };
        Error::ours(kind, bad.to_string())
    }
}

/// Checks an order against what is known of its instrument. `touch` is a price to value a market order
/// by, where one is known; a stop is valued by its own.
pub fn check(
    instrument: &Instrument,
    request: &OrderRequest,
    touch: Option<Price>,
) -> Result<(), BadOrder> {
    if matches!(
        instrument.status,
        TradingStatus::Halted | TradingStatus::Closed
    ) {
        return Err(BadOrder::NotTrading);
    }
    let price = check_shape(request)?;
    let stop = request.stop.map(|stop| stop.price);
    for price in [price, stop].into_iter().flatten() {
        check_price(instrument, request.side, price)?;
    }
    match request.size {
        Size::Base(qty) => {
            check_qty(instrument, qty)?;
            if let Some(price) = price.or(stop).or(touch) {
                check_notional(instrument, price, qty)?;
            }
        }
        Size::Quote(value) => {
            if let Some(least) = instrument.notional_min
                && amount(value) < of_price(least)
            {
                return Err(broken(
                    Filter::NotionalMin,
                    amount(value),
                    of_price(least),
                    of_price(least),
                ));
            }
        }
    }
    Ok(())
}

/// Checks the new numbers of an order that is to be changed.
pub fn check_amend(
    instrument: &Instrument,
    side: Side,
    price: Option<Price>,
    qty: Option<Qty>,
) -> Result<(), BadOrder> {
    if price.is_none() && qty.is_none() {
        return Err(BadOrder::Shape("an amend needs a new price or quantity"));
    }
    if let Some(price) = price {
        check_price(instrument, side, price)?;
    }
    if let Some(qty) = qty {
        check_qty(instrument, qty)?;
    }
    match (price, qty) {
        (Some(price), Some(qty)) => check_notional(instrument, price, qty),
        _ => Ok(()),
    }
}

/// Which fields belong together. Gives the limit price.
fn check_shape(request: &OrderRequest) -> Result<Option<Price>, BadOrder> {
    let quantity = match request.size {
        Size::Base(qty) | Size::Quote(qty) => qty,
    };
    if quantity.mantissa() <= 0 {
        return Err(BadOrder::Shape("the quantity must be above zero"));
    }
    if request.client_order_id.is_empty() {
        return Err(BadOrder::Shape("an order needs a client order id"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !request.client_order_id.bytes().all(is_plain) {
        return Err(BadOrder::Shape(
            "a client order id is made of letters, digits, - and _",
        ));
    }
    if let Some(stop) = request.stop {
        if stop.price.mantissa() <= 0 {
            return Err(BadOrder::Shape("the stop price must be above zero"));
        }
        if request.order_type == OrderType::LimitMaker {
            return Err(BadOrder::Shape(
                "a stop becomes a market or a limit order, no limit-maker",
            ));
        }
        if matches!(request.size, Size::Quote(_)) {
            return Err(BadOrder::Shape("a stop is sized in base currency"));
        }
    }
    match (request.order_type, request.price) {
        (OrderType::Market, Some(_)) => Err(BadOrder::Shape("a market order has no price")),
        (OrderType::Market, None) => Ok(None),
        (_, None) => Err(BadOrder::Shape("a limit order needs a price")),
        (_, Some(price)) if price.mantissa() <= 0 => {
            Err(BadOrder::Shape("the price must be above zero"))
        }
        (_, Some(_)) if matches!(request.size, Size::Quote(_)) => Err(BadOrder::Shape(
            "only a market order is sized by quote quantity",
        )),
        (_, price) => Ok(price),
    }
}

fn check_price(instrument: &Instrument, side: Side, price: Price) -> Result<(), BadOrder> {
    let off = |price: Price| {
        let tick = instrument.tick_at(price);
        tick.filter(|tick| !price.is_multiple_of(*tick))
    };
    let Some(tick) = off(price) else {
        return Ok(());
    };
    let round = |value: Amount, tick: Price| match side {
        Side::Bid => round_down(value, of_price(tick)),
        Side::Ask => round_up(value, of_price(tick)),
    };
    let value = of_price(price);
    let mut nearest = round(value, tick);
    // It may have come into another band of prices, which has a tick of its own.
    if let Some(step) = instrument.tick_step_below(price)
        && nearest < of_price(step.above)
    {
        nearest = of_price(step.above);
    }
    if let Some(tick) = price_of(nearest).and_then(off) {
        nearest = round(nearest, tick);
    }
    Err(broken(Filter::Tick, value, of_price(tick), nearest))
}

fn check_qty(instrument: &Instrument, qty: Qty) -> Result<(), BadOrder> {
    let value = amount(qty);
    if let Some(least) = instrument.qty_min.filter(|least| qty < *least) {
        return Err(broken(Filter::QtyMin, value, amount(least), amount(least)));
    }
    if let Some(most) = instrument.qty_max.filter(|most| qty > *most) {
        return Err(broken(Filter::QtyMax, value, amount(most), amount(most)));
    }
    if let Some(lot) = instrument.lot_size.filter(|lot| !qty.is_multiple_of(*lot)) {
        let step = amount(lot);
        let down = round_down(value, step);
        let least = instrument.qty_min.map_or(step, amount);
        let nearest = if down < least {
            round_up(value, step)
        } else {
            down
        };
        return Err(broken(Filter::Lot, value, step, nearest));
    }
    Ok(())
}

fn check_notional(instrument: &Instrument, price: Price, qty: Qty) -> Result<(), BadOrder> {
    // One contract of an inverse market is worth its size whatever the price; linear contracts are
    // counted in base currency where a venue states a smallest value.
    let value = Amount::notional(price, qty);
    let Some(least) = instrument.notional_min.map(of_price) else {
        return Ok(());
    };
    if value >= least || instrument.key.market == crate::instrument::Market::Inverse {
        return Ok(());
    }
    let step = instrument.lot_size.map_or_else(|| unit(qty), amount);
    Err(broken(
        Filter::NotionalMin,
        value,
        least,
        least_multiple(least, of_price(price), step),
    ))
}

fn broken(filter: Filter, value: Amount, limit: Amount, nearest: Amount) -> BadOrder {
    BadOrder::Filter {
        filter,
        value: value.normalized(),
        limit: limit.normalized(),
        nearest: nearest.normalized(),
    }
}

fn amount(qty: Qty) -> Amount {
    Amount::new(i128::from(qty.mantissa()), qty.scale().get()).unwrap_or_default()
}

fn of_price(price: Price) -> Amount {
    Amount::new(i128::from(price.mantissa()), price.scale().get()).unwrap_or_default()
}

fn price_of(value: Amount) -> Option<Price> {
    let mantissa = i64::try_from(value.mantissa()).ok()?;
    Some(Price::new(mantissa, Scale::new(value.scale())?))
}

/// One in the last digit.
fn unit(qty: Qty) -> Amount {
    Amount::new(1, qty.scale().get()).unwrap_or_default()
}

/// Both mantissas at the larger scale. They come from 64 bits at scales up to 18, so that 10^18 times
/// either fits.
fn aligned(left: Amount, right: Amount) -> (i128, i128, u8) {
    let scale = left.scale().max(right.scale());
    let at = |amount: Amount| {
        let digits = u32::from(scale - amount.scale());
        amount
            .mantissa()
            .saturating_mul(10i128.saturating_pow(digits))
    };
    (at(left), at(right), scale)
}

fn round_down(value: Amount, step: Amount) -> Amount {
    let (value, step, scale) = aligned(value, step);
    let rest = value.checked_rem_euclid(step).unwrap_or(0);
    Amount::new(value - rest, scale).unwrap_or_default()
}

fn round_up(value: Amount, step: Amount) -> Amount {
    let down = round_down(value, step);
    if down == value {
        return down;
    }
    down.checked_add(step).unwrap_or(down)
}

/// The smallest multiple of `step` that is worth `least` at `price`.
fn least_multiple(least: Amount, price: Amount, step: Amount) -> Amount {
    let worth = Amount::new(
        price.mantissa().saturating_mul(step.mantissa()),
        price.scale() + step.scale(),
    )
    .unwrap_or_default();
    let (least, worth, _) = aligned(least, worth);
    if worth <= 0 {
        return step;
    }
    let steps = least.saturating_add(worth - 1) / worth;
    Amount::new(steps.saturating_mul(step.mantissa()), step.scale()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::{InstrumentKey, Market, TickStep, Venue, symbol};
    use crate::order::{ClientOrderId, TimeInForce};

    fn instrument() -> Instrument {
        let key = InstrumentKey {
            venue: Venue::Binance,
            market: Market::Spot,
            symbol: symbol("BTC/USDT").expect("short"),
        };
        let name = symbol("BTCUSDT").expect("short");
        let mut instrument = Instrument::with_defaults(key, name, Scale::of(2), Scale::of(5));
        instrument.tick_size = Price::parse(b"0.01").ok();
        instrument.lot_size = Qty::parse(b"0.00010").ok();
        instrument.qty_min = Qty::parse(b"0.0002").ok();
        instrument.qty_max = Qty::parse(b"9000").ok();
        instrument.notional_min = Price::parse(b"5").ok();
        instrument
    }

    fn limit(side: Side, price: &str, qty: &str) -> OrderRequest {
        OrderRequest {
            instrument: instrument().key,
            side,
            order_type: OrderType::Limit,
            size: Size::Base(Qty::parse(qty.as_bytes()).expect("a quantity")),
            price: Price::parse(price.as_bytes()).ok(),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: ClientOrderId::from("tw-1").expect("short"),
        }
    }

    #[test]
    fn the_refusal_names_filter_value_and_nearest_legal_value() {
        use Side::{Ask, Bid};
        let table = [
            (Bid, "50000.00", "0.0010", None),
            // Trailing zeros beyond the step are legal.
            (Bid, "50000.010", "0.00100000", None),
            (Bid, "50000.017", "0.001", Some(("tick size", "50000.01"))),
            (Ask, "50000.011", "0.001", Some(("tick size", "50000.02"))),
            (Bid, "50000", "0.00105", Some(("lot size", "0.001"))),
            (
                Bid,
                "50000",
                "0.0001",
                Some(("smallest quantity", "0.0002")),
            ),
            (Bid, "50000", "9000.1", Some(("largest quantity", "9000"))),
            // 5 / 20000 is 0.00025: three steps reach it.
            (
                Bid,
                "20000",
                "0.0002",
                Some(("smallest order value", "0.0003")),
            ),
        ];
        for (side, price, qty, expected) in table {
            let outcome = check(&instrument(), &limit(side, price, qty), None);
            match (outcome, expected) {
                (Ok(()), None) => {}
                (
                    Err(BadOrder::Filter {
                        filter, nearest, ..
                    }),
                    Some((name, legal)),
                ) => {
                    assert_eq!(filter.to_string(), name, "{price} {qty}");
                    assert_eq!(nearest.to_string(), legal, "{price} {qty}");
                }
                (outcome, expected) => panic!("{price} {qty}: {outcome:?}, not {expected:?}"),
            }
        }
        let error = check(&instrument(), &limit(Bid, "50000.017", "1"), None).expect_err("a tick");
        let error = Error::from(error);
        assert_eq!(error.kind, ErrorKind::Precision);
        assert_eq!(
            error.text,
            "50000.017 breaks the tick size 0.01; the nearest legal value is 50000.01"
        );
    }

    #[test]
    fn what_is_named_as_legal_is_legal() {
        for (price, qty) in [
            ("50000.017", "0.00105"),
            ("3.333", "0.0001"),
            ("1", "0.00021"),
        ] {
            let mut request = limit(Side::Bid, price, qty);
            for _ in 0..4 {
                let Err(BadOrder::Filter {
                    filter, nearest, ..
                }) = check(&instrument(), &request, None)
                else {
                    break;
                };
                let text = nearest.to_string();
                match filter {
                    Filter::Tick => request.price = Price::parse(text.as_bytes()).ok(),
                    _ => request.size = Size::Base(Qty::parse(text.as_bytes()).expect("fits")),
                }
            }
            assert_eq!(
                check(&instrument(), &request, None),
                Ok(()),
                "{price} {qty}"
            );
        }
    }

    #[test]
    fn the_tick_is_that_of_the_price() {
        let price = |text: &str| Price::parse(text.as_bytes()).expect("a price");
        let step = |above: &str, tick: &str| {
            let (above, tick) = (price(above), price(tick));
            Some(TickStep { above, tick })
        };
        let mut instrument = instrument();
        instrument.notional_min = None;
        instrument.tick_size = Some(price("0.0001"));
        instrument.tick_steps = [step("0.005", "0.0005"), step("0.1", "0.003"), None];
        use Side::{Ask, Bid};
        let table = [
            (Bid, "0.0049", None),
            (Bid, "0.00495", Some("0.0049")),
            // The end of a band is of it, whatever the step above.
            (Ask, "0.00495", Some("0.005")),
            (Bid, "0.005", None),
            (Bid, "0.0051", Some("0.005")),
            (Ask, "0.0051", Some("0.0055")),
            (Bid, "0.1", None),
            (Ask, "0.0999", Some("0.1")),
            (Ask, "0.1001", Some("0.102")),
            // Down from the third band the nearest is the end of the second.
            (Bid, "0.1001", Some("0.1")),
        ];
        for (side, at, legal) in table {
            let told = check(&instrument, &limit(side, at, "1"), None);
            let nearest = match told {
                Ok(()) => None,
                Err(BadOrder::Filter { nearest, .. }) => Some(nearest.to_string()),
                Err(other) => panic!("{at}: {other:?}"),
            };
            assert_eq!(nearest.as_deref(), legal, "{side:?} {at}");
        }
    }

    #[test]
    fn fields_that_do_not_belong_together_are_refused() {
        let good = limit(Side::Bid, "50000", "0.001");
        let market = OrderRequest {
            order_type: OrderType::Market,
            price: None,
            ..good
        };
        let quote = Size::Quote(Qty::new(10, Scale::of(0)));
        let bad_id = ClientOrderId::from("a b").expect("short");
        let table = [
            (good, true),
            (market, true),
            (
                OrderRequest {
                    size: quote,
                    ..market
                },
                true,
            ),
            (
                OrderRequest {
                    size: quote,
                    ..good
                },
                false,
            ),
            (
                OrderRequest {
                    price: None,
                    ..good
                },
                false,
            ),
            (
                OrderRequest {
                    price: good.price,
                    ..market
                },
                false,
            ),
            (
                OrderRequest {
                    size: Size::Base(Qty::new(0, Scale::of(0))),
                    ..good
                },
                false,
            ),
            (
                OrderRequest {
                    client_order_id: bad_id,
                    ..good
                },
                false,
            ),
            (
                OrderRequest {
                    client_order_id: ClientOrderId::new(),
                    ..good
                },
                false,
            ),
        ];
        for (request, is_good) in table {
            assert_eq!(
                check(&instrument(), &request, None).is_ok(),
                is_good,
                "{request:?}"
            );
        }
        let halted = Instrument {
            status: TradingStatus::Halted,
            ..instrument()
        };
        assert_eq!(check(&halted, &good, None), Err(BadOrder::NotTrading));
        // A market order is valued by the touch, where one is known.
        let small = OrderRequest {
            size: Size::Base(Qty::new(2, Scale::of(4))),
            ..market
        };
        assert_eq!(check(&instrument(), &small, None), Ok(()));
        assert!(check(&instrument(), &small, good.price).is_ok());
        assert!(check(&instrument(), &small, Price::parse(b"20000").ok()).is_err());
    }
}

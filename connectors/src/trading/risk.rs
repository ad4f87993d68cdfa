//! Limits of the user's own, checked before an order leaves, and the switch that stops everything.

use std::collections::VecDeque;

use tickwire_orderbook::{Amount, Price, Qty, Side};

use crate::error::{Error, ErrorKind, Next};
use crate::order::{OrderRequest, OrderType, Size};
use crate::time::Nanos;

/// What an account may risk. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskLimits {
    /// The value of one order, in quote currency.
    pub order_notional_max: Option<Amount>,
    /// The position in one instrument, long or short, in base currency or contracts, if all orders of a
    /// side traded. On spot it counts what this run has bought and sold.
    pub position_max: Option<Amount>,
    /// Orders that stand or are under way, all instruments together.
    pub open_orders_max: Option<u32>,
    /// New orders and amends in any second.
    pub orders_per_second_max: Option<u32>,
    /// How far beyond the other side's best price a limit may lie, in hundredths of a percent of that
    /// price, by our own book.
    pub collar_bp: Option<u32>,
    /// Take no order in an instrument of which no book or best price is Live.
    pub need_live_book: bool,
}

/// What is known of an instrument's market and of the account in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exposure {
    /// The net position.
    pub position: Amount,
    /// What orders that stand may still add to it on the request's side, without a sign.
    pub open_qty: Amount,
    /// Orders that stand or are under way, of all instruments.
    pub open_orders: usize,
    /// What our own streams show.
    pub market: Market,
    /// What one unit of a quantity is worth in quote currency at any price: of inverse contracts.
    pub unit_value: Option<Qty>,
}

/// What our own streams show of an instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Market {
    /// There is no book and no best price.
    #[default]
    Unwatched,
    /// There is one, and it is not to be believed now.
    Stale,
    /// Best bid and ask of a Live book.
    Live {
        /// Best bid.
        bid: Option<Price>,
        /// Best ask.
        ask: Option<Price>,
    },
}

impl Market {
    /// The best price that an order of this side trades against.
    pub const fn against(&self, side: Side) -> Option<Price> {
        match (self, side) {
            (Market::Live { ask, .. }, Side::Bid) => *ask,
            (Market::Live { bid, .. }, Side::Ask) => *bid,
            _ => None,
        }
    }
}

/// An order that the user's own limits forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The kill switch is on.
    #[error("the kill switch is on: no new orders until it is released")]
    Killed,
    /// The book is not to be believed.
    #[error("the book is not Live: nothing new on prices that may be wrong")]
    Stale,
    /// No stream shows the instrument's prices, and the limits want one.
    #[error("no book or best price of the instrument is open, and the limits need one")]
    Unwatched,
    /// The order is worth too much.
    #[error("the order is worth {value}, above the limit of {limit}")]
    OrderNotional {
        /// Its value.
        value: Amount,
        /// The limit.
        limit: Amount,
    },
    /// The position could become too large.
    #[error("the position could become {value}, above the limit of {limit}")]
    Position {
        /// What it could become, without sign.
        value: Amount,
        /// The limit.
        limit: Amount,
    },
    /// Too many orders stand.
    #[error("{0} orders stand already, which is the limit")]
    OpenOrders(usize),
    /// Too many orders in a second.
    #[error("{limit} orders a second are the limit")]
    Rate {
        /// The limit.
        limit: u32,
        /// When the next is allowed.
        until: Nanos,
    },
    /// The price is too far from the market.
    #[error("the price {price} is more than {collar_bp} bp beyond the best price {best}")]
    Collar {
        /// The order's price.
        price: Price,
        /// The best price of the other side.
        best: Price,
        /// The limit.
        collar_bp: u32,
    },
}

impl Forbidden {
    /// As an error of a request that was not sent.
    pub fn at(self, now: Nanos) -> Error {
        let next = match self {
            Forbidden::Stale | Forbidden::Unwatched => Next::AfterResync,
            Forbidden::Rate { until, .. } => {
                Next::AfterMs(u32::try_from((until - now).as_millis() + 1).unwrap_or(1_000))
            }
            _ => Next::Never,
        };
        let kind = match self {
            Forbidden::Rate { .. } => ErrorKind::RateLimited,
            Forbidden::Stale | Forbidden::Unwatched => ErrorKind::VenueUnavailable,
            _ => ErrorKind::OrderRejected,
        };
        Error {
            next,
            ..Error::ours(kind, self.to_string())
        }
    }
}

/// The user's limits at work.
#[derive(Debug)]
pub struct Risk {
    limits: RiskLimits,
    killed: bool,
    /// Times of the orders of the last second, at most as many as are allowed.
    sent: VecDeque<Nanos>,
}

const SECOND: Nanos = Nanos::from_secs(1);

impl Risk {
    /// With these limits, and the switch off.
    pub fn new(limits: RiskLimits) -> Risk {
        Risk {
            limits,
            killed: false,
            sent: VecDeque::new(),
        }
    }

    /// The kill switch: nothing new while it is on.
    pub const fn set_killed(&mut self, on: bool) {
        self.killed = on;
    }

    /// Whether the kill switch is on.
    pub const fn is_killed(&self) -> bool {
        self.killed
    }

    /// Whether it is asked what orders that stand may still add to a position.
    pub const fn counts_positions(&self) -> bool {
        self.limits.position_max.is_some()
    }

    /// Checks an order and, where it is allowed, counts it.
    pub fn admit(
        &mut self,
        now: Nanos,
        request: &OrderRequest,
        exposure: &Exposure,
    ) -> Result<(), Forbidden> {
        self.check_market(exposure.market)?;
        let most = self.limits.open_orders_max.map(|max| max as usize);
        if most.is_some_and(|most| exposure.open_orders >= most) {
            return Err(Forbidden::OpenOrders(exposure.open_orders));
        }
        // A stop meets the market where that is when it triggers: by its own price.
        let stop = request.stop.map(|stop| stop.price);
        let best = stop.or(exposure.market.against(request.side));
        self.check_notional(request.size, request.price.or(best), exposure.unit_value)?;
        if let Size::Base(qty) = request.size
            && !request.reduce_only
        {
            self.check_position(request.side, qty, exposure)?;
        }
        if let (Some(price), Some(best)) = (request.price, best)
            && request.order_type != OrderType::LimitMaker
        {
            self.check_collar(request.side, price, best)?;
        }
        self.take_turn(now)
    }

    /// Checks the new numbers of an order that stands and, where they are allowed, counts the change.
    pub fn admit_amend(
        &mut self,
        now: Nanos,
        (side, price, qty): (Side, Option<Price>, Option<Qty>),
        exposure: &Exposure,
    ) -> Result<(), Forbidden> {
        self.check_market(exposure.market)?;
        if let Some(qty) = qty {
            self.check_notional(Size::Base(qty), price, exposure.unit_value)?;
            self.check_position(side, qty, exposure)?;
        }
        if let (Some(price), Some(best)) = (price, exposure.market.against(side)) {
            self.check_collar(side, price, best)?;
        }
        self.take_turn(now)
    }

    fn check_market(&self, market: Market) -> Result<(), Forbidden> {
        match market {
            _ if self.killed => Err(Forbidden::Killed),
            Market::Stale => Err(Forbidden::Stale),
            Market::Unwatched if self.limits.need_live_book => Err(Forbidden::Unwatched),
            _ => Ok(()),
        }
    }

    fn check_notional(
        &self,
        size: Size,
        price: Option<Price>,
        unit_value: Option<Qty>,
    ) -> Result<(), Forbidden> {
        let Some(limit) = self.limits.order_notional_max else {
            return Ok(());
        };
        let value = match (size, price, unit_value) {
            (Size::Base(qty), _, Some(unit)) => {
                Amount::notional(Price::new(unit.mantissa(), unit.scale()), qty)
            }
            (Size::Base(qty), Some(price), None) => Amount::notional(price, qty),
            (Size::Quote(value), ..) => of_qty(value),
            // A market order that nothing is known to value by.
            (Size::Base(_), None, None) => return Err(Forbidden::Unwatched),
        };
        if value > limit {
            return Err(Forbidden::OrderNotional { value, limit });
        }
        Ok(())
    }

    fn check_position(&self, side: Side, qty: Qty, exposure: &Exposure) -> Result<(), Forbidden> {
        let Some(limit) = self.limits.position_max else {
            return Ok(());
        };
        let held = match side {
            Side::Bid => Some(exposure.position),
            Side::Ask => Amount::ZERO.checked_sub(exposure.position),
        };
        let value = held
            .and_then(|held| held.checked_add(exposure.open_qty))
            .and_then(|held| held.checked_add(of_qty(qty)));
        match value {
            Some(value) if value <= limit => Ok(()),
            value => Err(Forbidden::Position {
                value: value.unwrap_or_default(),
                limit,
            }),
        }
    }

    fn check_collar(&self, side: Side, price: Price, best: Price) -> Result<(), Forbidden> {
        let Some(collar_bp) = self.limits.collar_bp else {
            return Ok(());
        };
        let one = 10_000i64;
        let width = i64::from(collar_bp);
        let factor = match side {
            Side::Bid => one.saturating_add(width),
            Side::Ask => one.saturating_sub(width).max(0),
        };
        let whole = |units| Qty::new(units, tickwire_orderbook::Scale::of(0));
        let bound = Amount::notional(best, whole(factor));
        let asked = Amount::notional(price, whole(one));
        let is_beyond = match side {
            Side::Bid => asked > bound,
            Side::Ask => asked < bound,
        };
        if is_beyond {
            return Err(Forbidden::Collar {
                price,
                best,
                collar_bp,
            });
        }
        Ok(())
    }

    fn take_turn(&mut self, now: Nanos) -> Result<(), Forbidden> {
        let Some(limit) = self.limits.orders_per_second_max else {
            return Ok(());
        };
        while self.sent.front().is_some_and(|at| *at + SECOND <= now) {
            self.sent.pop_front();
        }
        if self.sent.len() >= limit as usize {
            let oldest = self.sent.front().copied().unwrap_or(now);
            return Err(Forbidden::Rate {
                limit,
                until: oldest + SECOND,
            });
        }
        self.sent.push_back(now);
        Ok(())
    }
}

fn of_qty(qty: Qty) -> Amount {
    Amount::new(i128::from(qty.mantissa()), qty.scale().get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::{InstrumentKey, Market as Kind, Venue, symbol};
    use crate::order::{ClientOrderId, TimeInForce};

    fn amount(text: &str) -> Amount {
        text.parse().expect("an amount")
    }

    fn order(side: Side, price: Option<&str>, qty: &str) -> OrderRequest {
        OrderRequest {
            instrument: InstrumentKey {
                venue: Venue::Bybit,
                market: Kind::Spot,
                symbol: symbol("BTC/USDT").expect("short"),
            },
            side,
            order_type: price.map_or(OrderType::Market, |_| OrderType::Limit),
            size: Size::Base(Qty::parse(qty.as_bytes()).expect("a quantity")),
            price: price.and_then(|price| Price::parse(price.as_bytes()).ok()),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: ClientOrderId::new(),
        }
    }

    fn live(bid: &str, ask: &str) -> Market {
        let price = |text: &str| Price::parse(text.as_bytes()).ok();
        Market::Live {
            bid: price(bid),
            ask: price(ask),
        }
    }

    #[test]
    fn each_limit_refuses_what_goes_beyond_it() {
        let limits = RiskLimits {
            order_notional_max: Some(amount("1000")),
            position_max: Some(amount("5")),
            open_orders_max: Some(3),
            orders_per_second_max: None,
            collar_bp: Some(100),
            need_live_book: true,
        };
        let market = live("99", "100");
        let at = |position: &str, open: &str, orders| Exposure {
            position: amount(position),
            open_qty: amount(open),
            open_orders: orders,
            market,
            unit_value: None,
        };
        let inverse = Exposure {
            unit_value: Some(Qty::new(300, tickwire_orderbook::Scale::of(0))),
            ..at("0", "0", 0)
        };
        use Side::{Ask, Bid};
        let table: [(OrderRequest, Exposure, Option<&str>); 15] = [
            (order(Bid, Some("100"), "1"), at("0", "0", 0), None),
            (order(Bid, Some("101"), "1"), at("0", "0", 0), None),
            (
                order(Bid, Some("101.01"), "1"),
                at("0", "0", 0),
                Some("beyond the best price 100"),
            ),
            (order(Ask, Some("98.01"), "1"), at("0", "0", 0), None),
            (
                order(Ask, Some("98"), "1"),
                at("0", "0", 0),
                Some("beyond the best price 99"),
            ),
            (order(Bid, Some("1"), "1"), at("0", "0", 0), None),
            (order(Bid, None, "4"), at("0", "0", 0), None),
            (
                order(Bid, None, "11"),
                at("0", "0", 0),
                Some("worth 1100, above the limit of 1000"),
            ),
            (order(Bid, Some("100"), "2"), at("3", "0", 0), None),
            (
                order(Bid, Some("100"), "2"),
                at("3", "0.1", 0),
                Some("could become 5.1"),
            ),
            (order(Ask, Some("100"), "8"), at("3", "0", 0), None),
            (
                order(Ask, Some("100"), "2"),
                at("-3", "0.5", 0),
                Some("could become 5.5"),
            ),
            (
                order(Bid, Some("100"), "1"),
                at("0", "0", 3),
                Some("3 orders stand"),
            ),
            // Three hundred dollars a contract, whatever the price.
            (order(Bid, Some("100"), "3"), inverse, None),
            (
                order(Bid, None, "4"),
                inverse,
                Some("worth 1200, above the limit of 1000"),
            ),
        ];
        for (request, exposure, expected) in table {
            let mut risk = Risk::new(limits.clone());
            let told = risk
                .admit(Nanos(0), &request, &exposure)
                .err()
                .map(|no| no.to_string());
            match (&told, expected) {
                (None, None) => {}
                (Some(told), Some(words)) if told.contains(words) => {}
                _ => panic!("{request:?}: {told:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_stale_book_and_the_kill_switch_stop_everything_new() {
        let mut risk = Risk::new(RiskLimits::default());
        let request = order(Side::Bid, Some("100"), "1");
        let exposure = |market| Exposure {
            market,
            ..Exposure::default()
        };
        let live = exposure(live("99", "100"));
        assert_eq!(risk.admit(Nanos(0), &request, &live), Ok(()));
        assert_eq!(
            risk.admit(Nanos(0), &request, &exposure(Market::Unwatched)),
            Ok(())
        );
        let stale = exposure(Market::Stale);
        assert_eq!(
            risk.admit(Nanos(0), &request, &stale),
            Err(Forbidden::Stale)
        );
        risk.set_killed(true);
        assert_eq!(
            risk.admit(Nanos(0), &request, &live),
            Err(Forbidden::Killed)
        );
        let change = (Side::Bid, request.price, None);
        assert_eq!(
            risk.admit_amend(Nanos(0), change, &live),
            Err(Forbidden::Killed)
        );
        risk.set_killed(false);
        assert_eq!(risk.admit(Nanos(0), &request, &live), Ok(()));
    }

    #[test]
    fn so_many_orders_go_in_any_second() {
        let mut risk = Risk::new(RiskLimits {
            orders_per_second_max: Some(2),
            ..RiskLimits::default()
        });
        let request = order(Side::Bid, Some("100"), "1");
        let mut admit = |ms| {
            let now = Nanos::from_millis(ms);
            risk.admit(now, &request, &Exposure::default())
        };
        assert_eq!(admit(900), Ok(()));
        assert_eq!(admit(1_800), Ok(()));
        let until = Nanos::from_millis(1_900);
        let refused = Forbidden::Rate { limit: 2, until };
        assert_eq!(admit(1_899), Err(refused));
        assert_eq!(refused.at(Nanos::from_millis(1_899)).next, Next::AfterMs(2));
        assert_eq!(admit(1_900), Ok(()));
        assert!(admit(2_799).is_err());
        assert_eq!(admit(2_800), Ok(()));
    }
}

//! Conditional orders of USD-M: since 2025-12-09 they live at the venue's algo service until they trigger,
//! under ids, requests and events of their own, and as ordinary orders of other ids from then on. Both have
//! our id. (USDⓈ-M "New Algo Order", "Cancel Algo Order", "Query Algo Order", "Current All Algo Open
//! Orders", "Event: Algo Order Update", 2026-03; the old requests answer -4120.)

use simd_json::tape::Object;

use crate::order::{
    ClientOrderId, OrderRequest, OrderStatus, OrderType, OrderUpdate, Stop, TimeInForce, TriggerBy,
    VenueOrderId,
};
use crate::trading::dialect::{Job, Names, Target, Told};

use super::private::{id_text, millis, price, qty, side, text};
use super::trade::{Sink, Words, key, side_word, time_word};

/// Look-ups that go on with the order that a stop has become; more are only asked for again.
const BECOME_MAX: usize = 1_024;

/// Stops that were found to have become orders, while those are asked for.
#[derive(Debug, Default)]
pub(super) struct Become(Vec<(ClientOrderId, VenueOrderId)>);

impl Become {
    fn of(&self, target: &Target) -> Option<&VenueOrderId> {
        let found = self.0.iter().find(|(client, _)| *client == target.client);
        found.map(|(_, venue)| venue)
    }

    /// The next question is about the stop again.
    pub(super) fn forget(&mut self, target: &Target) {
        self.0.retain(|(client, _)| *client != target.client);
    }
}

impl Words {
    /// Whether a request is about an order that only the algo service knows.
    pub(super) fn is_of_algo(&self, job: &Job) -> bool {
        let waits = match job {
            Job::Place(request, _) => request.stop.is_some(),
            Job::Cancel(target) => target.waits,
            Job::Lookup(target) => target.waits && self.becomes.of(target).is_none(),
            Job::OpenOrders(_, page) => page.number > 0,
            Job::CancelAll { part, .. } => *part > 0,
            _ => false,
        };
        waits && !self.is_spot()
    }

    /// The order that a stop was found to have become, while that is looked up.
    pub(super) fn actual_of(&self, job: &Job) -> Option<&VenueOrderId> {
        match job {
            Job::Lookup(target) if target.waits => self.becomes.of(target),
            _ => None,
        }
    }

    pub(super) fn place_stop(request: &OrderRequest, stop: Stop, symbol: &str, to: &mut impl Sink) {
        to.text(key!("algoType"), "CONDITIONAL");
        to.text(key!("symbol"), symbol);
        to.text(key!("side"), side_word(request.side));
        match request.order_type {
            OrderType::Market => to.text(key!("type"), "STOP_MARKET"),
            OrderType::Limit | OrderType::LimitMaker => {
                to.text(key!("type"), "STOP");
                to.text(key!("timeInForce"), time_word(request.time_in_force));
            }
        }
        let (crate::order::Size::Base(qty) | crate::order::Size::Quote(qty)) = request.size;
        to.decimal(key!("quantity"), qty.plain());
        if let Some(price) = request.price {
            to.decimal(key!("price"), price.plain());
        }
        to.decimal(key!("triggerPrice"), stop.price.plain());
        let by = match stop.by {
            TriggerBy::Mark => "MARK_PRICE",
            TriggerBy::Last | TriggerBy::Index => "CONTRACT_PRICE",
        };
        to.text(key!("workingType"), by);
        if request.reduce_only {
            to.text(key!("reduceOnly"), "true");
        }
        to.text(key!("clientAlgoId"), &request.client_order_id);
    }

    /// The answer to a look-up of an order that waited when it was last heard of.
    pub(super) fn looked_up(
        becomes: &mut Become,
        target: &Target,
        object: &Object<'_, '_>,
        names: &dyn Names,
    ) -> Option<Told> {
        if becomes.of(target).is_some() {
            becomes.forget(target);
            let order = super::private::read_order(object, names)?;
            // Found by the stop: it is that one, whatever the venue calls it.
            let client_order_id = target.client;
            return Some(Told::Order(Box::new(OrderUpdate {
                client_order_id,
                ..order
            })));
        }
        match actual_id(object, &LONG) {
            Some(actual) if becomes.0.len() < BECOME_MAX => {
                becomes.0.push((target.client, actual));
                Some(Told::Further)
            }
            _ => Some(Told::Order(Box::new(read(object, names)?))),
        }
    }
}

/// Where the fields of a conditional order stand.
struct Keys {
    client: &'static str,
    id: &'static str,
    actual: &'static str,
    kind: &'static str,
    symbol: &'static str,
    side: &'static str,
    time_in_force: &'static str,
    qty: &'static str,
    filled: &'static str,
    price: &'static str,
    trigger: &'static str,
    by: &'static str,
    status: &'static str,
}

/// In answers.
const LONG: Keys = Keys {
    client: "clientAlgoId",
    id: "algoId",
    actual: "actualOrderId",
    kind: "orderType",
    symbol: "symbol",
    side: "side",
    time_in_force: "timeInForce",
    qty: "quantity",
    filled: "actualQty",
    price: "price",
    trigger: "triggerPrice",
    by: "workingType",
    status: "algoStatus",
};

/// In events.
const SHORT: Keys = Keys {
    client: "caid",
    id: "aid",
    actual: "ai",
    kind: "o",
    symbol: "s",
    side: "S",
    time_in_force: "f",
    qty: "q",
    filled: "aq",
    price: "p",
    trigger: "tp",
    by: "wt",
    status: "X",
};

/// A conditional order as answers have it; `None` where the object is none.
pub(super) fn read(object: &Object<'_, '_>, names: &dyn Names) -> Option<OrderUpdate> {
    let order = order_of(object, names, &LONG)?;
    let exch_ns = millis(object, "updateTime");
    Some(OrderUpdate { exch_ns, ..order })
}

/// An ALGO_UPDATE. How the order ends that a stop has become is told as an order's end is.
pub(super) fn read_event(event: &Object<'_, '_>, names: &dyn Names) -> Option<OrderUpdate> {
    let object = event.get("o")?;
    let object = object.as_object()?;
    if text(&object, SHORT.status)? == "FINISHED" {
        return None;
    }
    let order = order_of(&object, names, &SHORT)?;
    let exch_ns = millis(event, "T");
    Some(OrderUpdate { exch_ns, ..order })
}

/// The id of the order that the stop has become, where it has.
fn actual_id(object: &Object<'_, '_>, keys: &Keys) -> Option<VenueOrderId> {
    id_text(object, keys.actual).filter(|id| !id.is_empty())
}

fn order_of(object: &Object<'_, '_>, names: &dyn Names, keys: &Keys) -> Option<OrderUpdate> {
    let instrument = names.instrument(text(object, keys.symbol)?)?;
    let asked = qty(object, keys.qty)?;
    let filled = qty(object, keys.filled).unwrap_or_default();
    let actual = actual_id(object, keys);
    let trigger = price(object, keys.trigger).filter(|price| !price.is_zero());
    let is_market = text(object, keys.kind).is_some_and(|kind| kind.ends_with("_MARKET"));
    Some(OrderUpdate {
        instrument: instrument.key,
        client_order_id: ClientOrderId::from(text(object, keys.client)?).unwrap_or_default(),
        venue_order_id: actual.or(id_text(object, keys.id))?,
        side: side(object, keys.side)?,
        order_type: match is_market {
            true => OrderType::Market,
            false => OrderType::Limit,
        },
        time_in_force: match text(object, keys.time_in_force) {
            Some("GTC") => Some(TimeInForce::Gtc),
            Some("IOC") => Some(TimeInForce::Ioc),
            Some("FOK") => Some(TimeInForce::Fok),
            _ => None,
        },
        price: price(object, keys.price).filter(|price| !price.is_zero()),
        stop: trigger.map(|price| Stop {
            price,
            by: match text(object, keys.by) {
                Some("MARK_PRICE") => TriggerBy::Mark,
                _ => TriggerBy::Last,
            },
        }),
        qty: Some(asked).filter(|qty| !qty.is_zero()),
        filled,
        price_mean: None,
        status: match text(object, keys.status)? {
            "NEW" | "TRIGGERING" => OrderStatus::Untriggered,
            "TRIGGERED" if filled.is_zero() => OrderStatus::New,
            "TRIGGERED" => OrderStatus::PartiallyFilled,
            "FINISHED" if filled == asked => OrderStatus::Filled,
            "CANCELED" => OrderStatus::Canceled,
            "REJECTED" => OrderStatus::Rejected,
            "EXPIRED" => OrderStatus::Expired,
            // Filled in part and ended, or a word that we don't know: the order itself says more.
            _ => OrderStatus::Unknown,
        },
        exch_ns: crate::time::Nanos::ZERO,
    })
}

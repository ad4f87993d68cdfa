//! Conditional orders of USD-M, which live at the algo service until they trigger (USDⓈ-M "New Algo
//! Order", "Query Algo Order", "Event: Algo Order Update"; 2025-12): an id, endpoints and events of their
//! own. The order that one triggers is an ordinary one, with the same client id.

use super::place;
use super::spot::side;
use super::{Answer, ApiError, Call, random_id, unknown};
use crate::exchange::{End, Exchange, Order, Report, Status, What};
use crate::json::{Obj, list};
use crate::num::ms;

/// Ids of the service begin here (recorded: 1000001270850379).
const ID_BASE: u64 = 1_000_000_000_000_000;

/// Whether the service alone knows an order.
pub(super) fn is_waiting(order: &Order) -> bool {
    order.trigger.is_some() && !order.triggered
}

const fn status(order: &Order) -> &'static str {
    match (order.triggered, order.status, order.end) {
        (true, Status::New | Status::Partial, _) => "TRIGGERED",
        (true, ..) => "FINISHED",
        // "Denied by the matching engine, such as in scenarios of margin check failures."
        (false, Status::Expired, End::Balance) => "REJECTED",
        (false, Status::Expired, _) => "EXPIRED",
        (false, Status::Canceled, _) => "CANCELED",
        (false, ..) => "NEW",
    }
}

/// What the order in the book is, of one that has triggered.
pub(super) fn actual_kind(order: &Order) -> &'static str {
    match (order.triggered, order.price) {
        (false, _) => order.words.kind,
        (true, None) => "MARKET",
        (true, Some(_)) => "LIMIT",
    }
}

/// The fields of every answer, up to the price.
fn told(exchange: &Exchange, order: &Order, queried: bool) -> Vec<u8> {
    let listing = &exchange.listings[order.instrument];
    let trigger = order.trigger.map_or(0, |trigger| trigger.price);
    let mut object = Obj::new()
        .id("algoId", ID_BASE + order.id)
        .str("clientAlgoId", &order.client_id)
        .str("algoType", "CONDITIONAL")
        .str("orderType", order.words.kind)
        .str("symbol", &listing.symbol)
        .str("side", side(order.side))
        .str("positionSide", "BOTH")
        .str("timeInForce", order.words.tif)
        .str("quantity", &listing.qty_text(order.lots))
        .str("algoStatus", status(order));
    if queried {
        let average = listing.average(order.filled_value, order.filled);
        object = object
            .str("actualOrderId", &actual_id(order))
            .str("actualPrice", &average.fixed(5));
        if order.triggered {
            object = object
                .str("actualQty", &listing.qty_text(order.filled))
                .str("actualType", actual_kind(order));
        }
    }
    let triggered_ms = if order.triggered {
        ms(order.working_ns)
    } else {
        0
    };
    object = object
        .str("triggerPrice", &listing.price_text(trigger))
        .str("price", &listing.price_text(order.price.unwrap_or(0)))
        .raw("icebergQuantity", b"null");
    if queried {
        // Of linked orders, which are not held here.
        for key in ["tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice"] {
            object = object.str(key, "0.000");
        }
        object = object.str("tpOrderType", "");
    }
    object
        .str("selfTradePreventionMode", "EXPIRE_MAKER")
        .str(
            "workingType",
            order.trigger.map_or("", |trigger| trigger.by),
        )
        .str("priceMatch", "NONE")
        .bool("closePosition", false)
        .bool("priceProtect", false)
        .bool("reduceOnly", order.reduce_only)
        .int("createTime", ms(order.created_ns))
        .int("updateTime", ms(order.updated_ns))
        .int("triggerTime", triggered_ms)
        .int("goodTillDate", 0)
        .end()
}

fn actual_id(order: &Order) -> String {
    if order.triggered {
        order.id.to_string()
    } else {
        String::new()
    }
}

/// `ALGO_UPDATE`, where a report is one of the service's.
pub(super) fn event(exchange: &Exchange, report: &Report, at_ms: i64) -> Option<Vec<u8>> {
    let order = &report.order;
    let trigger = order.trigger?;
    let is_told = is_waiting(order) || matches!(report.what, What::Triggered) || !order.is_open();
    if !is_told {
        return None;
    }
    let listing = &exchange.listings[order.instrument];
    let average = listing.average(order.filled_value, order.filled);
    let actual = if order.triggered {
        actual_kind(order)
    } else {
        "0"
    };
    let told = Obj::new()
        .str("caid", &order.client_id)
        .id("aid", ID_BASE + order.id)
        .str("at", "CONDITIONAL")
        .str("o", order.words.kind)
        .str("s", &listing.symbol)
        .str("S", side(order.side))
        .str("ps", "BOTH")
        .str("f", order.words.tif)
        .str("q", &listing.qty_short(order.lots))
        .str("X", status(order))
        .str("ai", &actual_id(order))
        .str("ap", &average.fixed(5))
        .str("aq", &listing.qty_text(order.filled))
        .str("act", actual)
        .str("tp", &listing.price_short(trigger.price))
        .str("p", &listing.price_short(order.price.unwrap_or(0)))
        .str("V", "EXPIRE_MAKER")
        .str("wt", trigger.by)
        .str("pm", "NONE")
        .bool("cp", false)
        .bool("pP", false)
        .bool("R", order.reduce_only)
        .int("tt", 0)
        .int("gtd", 0)
        .end();
    let event = Obj::new()
        .str("e", "ALGO_UPDATE")
        .int("T", at_ms)
        .int("E", at_ms)
        .raw("o", &told)
        .end();
    Some(event)
}

impl Call<'_> {
    pub(super) fn algo_place(&mut self) -> Answer {
        if self.params.need("algoType")? != "CONDITIONAL" {
            return Err(ApiError::bad(
                -1130,
                "Data sent for parameter 'algoType' is not valid.",
            ));
        }
        let new = self.parse(true)?;
        self.count_order()?;
        let book = &self.market.instruments[new.instrument].book;
        let venue = self.cx.venue;
        let placed = self.cx.exchange.place(new, book, self.now);
        let id = placed.map_err(|refusal| place::refused(refusal, venue))?;
        let exchange = &self.cx.exchange;
        let order = exchange.order(self.account, id).ok_or_else(unknown)?;
        Ok(told(exchange, order, false))
    }

    /// The conditional order that the parameters name, whatever has become of it.
    fn algo_named(&self) -> Result<&Order, ApiError> {
        let exchange = &self.cx.exchange;
        let id = self.params.number("algoId")?.map(i64::unsigned_abs);
        let found = match (id, self.params.get("clientAlgoId")) {
            (Some(id), _) => exchange.order(self.account, id.saturating_sub(ID_BASE)),
            (None, Some(name)) => exchange.order_by_client_id(self.account, name),
            (None, None) => return Err(ApiError::missing("algoId")),
        };
        found
            .filter(|order| order.trigger.is_some())
            .ok_or_else(unknown)
    }

    pub(super) fn algo_order(&self) -> Answer {
        let order = self.algo_named();
        let order = order.map_err(|_| ApiError::bad(-2013, "Order does not exist."))?;
        Ok(told(&self.cx.exchange, order, true))
    }

    pub(super) fn algo_open(&self) -> Answer {
        let index = match self.params.get("symbol") {
            Some(_) => Some(place::instrument(self.params, self.market)?.0),
            None => None,
        };
        let exchange = &self.cx.exchange;
        let orders = exchange.open_orders(self.account, index).into_iter();
        let waiting = orders.filter(|order| is_waiting(order));
        Ok(list(waiting.map(|order| told(exchange, order, true))))
    }

    pub(super) fn algo_cancel(&mut self) -> Answer {
        let id = self.algo_named()?.id;
        self.cx.before_cancel(id, self.now);
        let order = self.algo_named()?;
        if !is_waiting(order) || !order.is_open() {
            return Err(unknown());
        }
        let client_id = order.client_id.clone();
        let done = (self.cx.exchange).cancel(self.account, id, (End::User, ""), self.now);
        done.map_err(|_| unknown())?;
        Ok(Obj::new()
            .id("algoId", ID_BASE + id)
            .str("clientAlgoId", &client_id)
            .str("code", "200")
            .str("msg", "success")
            .end())
    }

    pub(super) fn algo_cancel_all(&mut self) -> Answer {
        let (index, _) = place::instrument(self.params, self.market)?;
        self.cancel_those(index, true);
        let msg = "The operation of cancel all open order is done.";
        Ok(Obj::new().int("code", 200).str("msg", msg).end())
    }

    /// Cancels the open orders of an instrument that wait, or those that do not. Returns their ids and the
    /// id of the request.
    pub(super) fn cancel_those(&mut self, index: usize, waiting: bool) -> (Vec<u64>, String) {
        let request_id = random_id(self.cx);
        let spot = self.cx.venue.is_spot();
        let open = self.cx.exchange.open_orders(self.account, Some(index));
        // Spot has them all in one book.
        let meant = open
            .into_iter()
            .filter(|order| spot || is_waiting(order) == waiting);
        let ids: Vec<u64> = meant.map(|order| order.id).collect();
        for id in &ids {
            let end = (End::User, request_id.as_str());
            // It is open: nothing came between.
            let _ = self.cx.exchange.cancel(self.account, *id, end, self.now);
        }
        (ids, request_id)
    }
}

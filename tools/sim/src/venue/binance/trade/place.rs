//! A new order out of its parameters, through the filters (rest-api.md "New order", filters.md,
//! 2026-07; the derivatives' "New Order" page).

use super::params::{ApiError, Params};
use crate::exchange::{
    Amount, LOTS_MAX, Listing, NewOrder, Refusal, Size, Tif, Trigger, Words, parse_units,
};
use crate::market::{Instrument, InstrumentSpec, Market, Side};
use crate::spec::SimVenue;

/// Highest quantity in lots: what exchangeInfo prints as maxQty.
const QTY_MAX: i64 = 100_000_000;
/// Smallest value of an order, in units of the quote asset (exchangeInfo's minNotional).
const NOTIONAL_MIN: i128 = 5;
/// And the largest (NOTIONAL's maxNotional).
const NOTIONAL_MAX: i128 = 9_000_000;

/// The instrument of `symbol`.
pub(super) fn instrument<'a>(
    params: &Params,
    market: &'a Market,
) -> Result<(usize, &'a Instrument), ApiError> {
    let symbol = params.need("symbol")?;
    let mut all = market.instruments.iter().enumerate();
    all.find(|(_, one)| one.spec.symbol == symbol)
        .ok_or_else(|| ApiError::bad(-1121, "Invalid symbol."))
}

pub(super) fn side(params: &Params) -> Result<Side, ApiError> {
    match params.need("side")? {
        "BUY" => Ok(Side::Bid),
        "SELL" => Ok(Side::Ask),
        _ => Err(ApiError::bad(-1117, "Invalid side.")),
    }
}

fn tif(text: &str, venue: SimVenue) -> Result<(Tif, bool, &'static str), ApiError> {
    match text {
        "GTC" => Ok((Tif::Gtc, false, "GTC")),
        "IOC" => Ok((Tif::Ioc, false, "IOC")),
        "FOK" => Ok((Tif::Fok, false, "FOK")),
        "GTX" if !venue.is_spot() => Ok((Tif::Gtc, true, "GTX")),
        "GTD" if venue == SimVenue::BinanceLinear => Ok((Tif::Gtc, false, "GTD")),
        _ => Err(ApiError::bad(-1115, "Invalid timeInForce.")),
    }
}

/// A client order id, if one was sent.
pub(super) fn client_id(params: &Params, name: &str) -> Result<Option<String>, ApiError> {
    let Some(id) = params.get(name) else {
        return Ok(None);
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if id.len() > 36 || !id.chars().all(legal) {
        let msg = format!(
            "Illegal characters found in parameter '{name}'; legal range is \
             '^[\\\\.A-Z\\\\:/a-z0-9_-]{{1,36}}$'."
        );
        return Err(ApiError::bad(-1100, msg));
    }
    Ok(Some(id.to_owned()))
}

/// A price that the filters let through.
pub(super) fn price(text: &str, name: &str, spec: &InstrumentSpec) -> Result<i64, ApiError> {
    let ticks = parse_units(text, spec.price);
    let ticks = ticks.map_err(|problem| ApiError::units(problem, name, "PRICE_FILTER"))?;
    if (1..=spec.mid_ticks * 20).contains(&ticks) {
        Ok(ticks)
    } else {
        Err(ApiError::filter("PRICE_FILTER"))
    }
}

/// A quantity that the filters let through.
pub(super) fn quantity(text: &str, name: &str, spec: &InstrumentSpec) -> Result<i64, ApiError> {
    let lots = parse_units(text, spec.qty);
    let lots = lots.map_err(|problem| ApiError::units(problem, name, "LOT_SIZE"))?;
    if (1..=QTY_MAX.min(LOTS_MAX)).contains(&lots) {
        Ok(lots)
    } else {
        Err(ApiError::filter("LOT_SIZE"))
    }
}

/// The notional filter that exchangeInfo lists for this instrument.
fn notional(
    venue: SimVenue,
    spec: &InstrumentSpec,
    value: Amount,
    is_market: bool,
) -> Result<(), ApiError> {
    if venue == SimVenue::BinanceInverse {
        return Ok(());
    }
    let (low, high) = (
        Amount::scaled(NOTIONAL_MIN, 0),
        Amount::scaled(NOTIONAL_MAX, 0),
    );
    let has_max = venue.is_spot() && spec.id % 2 == 1;
    if value < low && !venue.is_spot() {
        let msg = "Order's notional must be no smaller than 5 (unless you choose reduce only).";
        return Err(ApiError::bad(-4164, msg));
    }
    if value < low || (has_max && !is_market && value > high) {
        return Err(ApiError::filter(if has_max {
            "NOTIONAL"
        } else {
            "MIN_NOTIONAL"
        }));
    }
    Ok(())
}

/// What a type of order takes and needs.
struct Kind {
    name: &'static str,
    has_price: bool,
    has_tif: bool,
    /// Takes `stopPrice`; a stop loss (else a take profit).
    stop: Option<bool>,
    post_only: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "LIMIT",
        has_price: true,
        has_tif: true,
        stop: None,
        post_only: false,
    },
    Kind {
        name: "MARKET",
        has_price: false,
        has_tif: false,
        stop: None,
        post_only: false,
    },
    Kind {
        name: "LIMIT_MAKER",
        has_price: true,
        has_tif: false,
        stop: None,
        post_only: true,
    },
    Kind {
        name: "STOP_LOSS",
        has_price: false,
        has_tif: false,
        stop: Some(true),
        post_only: false,
    },
    Kind {
        name: "STOP_LOSS_LIMIT",
        has_price: true,
        has_tif: true,
        stop: Some(true),
        post_only: false,
    },
    Kind {
        name: "TAKE_PROFIT",
        has_price: false,
        has_tif: false,
        stop: Some(false),
        post_only: false,
    },
    Kind {
        name: "TAKE_PROFIT_LIMIT",
        has_price: true,
        has_tif: true,
        stop: Some(false),
        post_only: false,
    },
];

/// Of futures: conditional orders went to the algo service (2025-12).
const FUTURES_CONDITIONAL: &[&str] = &[
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
];

/// Of the algo service.
const CONDITIONAL_KINDS: &[Kind] = &[
    Kind {
        name: "STOP_MARKET",
        has_price: false,
        has_tif: false,
        stop: Some(true),
        post_only: false,
    },
    Kind {
        name: "STOP",
        has_price: true,
        has_tif: true,
        stop: Some(true),
        post_only: false,
    },
    Kind {
        name: "TAKE_PROFIT_MARKET",
        has_price: false,
        has_tif: false,
        stop: Some(false),
        post_only: false,
    },
    Kind {
        name: "TAKE_PROFIT",
        has_price: true,
        has_tif: true,
        stop: Some(false),
        post_only: false,
    },
];

fn kind(params: &Params, venue: SimVenue, algo: bool) -> Result<&'static Kind, ApiError> {
    let name = params.need("type")?;
    if algo {
        let found = CONDITIONAL_KINDS.iter().find(|kind| kind.name == name);
        return found.ok_or_else(|| ApiError::bad(-1116, "Invalid orderType."));
    }
    if !venue.is_spot() && FUTURES_CONDITIONAL.contains(&name) {
        let msg = "Order type not supported for this endpoint. Please use the Algo Order API \
                   endpoints instead.";
        return Err(ApiError::bad(-4120, msg));
    }
    let offered = if venue.is_spot() { KINDS } else { &KINDS[..2] };
    let found = offered.iter().find(|kind| kind.name == name);
    found.ok_or_else(|| ApiError::bad(-1116, "Invalid orderType."))
}

/// An order as asked for; the caller fills in who asks, and a client id if none was sent.
pub(super) fn parse(
    params: &Params,
    (venue, algo): (SimVenue, bool),
    (account, random_id): (usize, String),
    (index, one): (usize, &Instrument),
    listing: &Listing,
    now: i64,
) -> Result<NewOrder, ApiError> {
    let (side, kind) = (side(params)?, kind(params, venue, algo)?);
    let spec = &one.spec;
    if !kind.has_tif && params.get("timeInForce").is_some() && venue.is_spot() {
        return Err(ApiError::bad(
            -1114,
            "TimeInForce parameter sent when not required.",
        ));
    }
    for (name, taken) in [
        ("price", kind.has_price),
        ("stopPrice", kind.stop.is_some()),
        ("quoteOrderQty", kind.name == "MARKET"),
    ] {
        if params.get(name).is_some() && !taken && venue.is_spot() {
            let msg = format!("Parameter '{name}' sent when not required.");
            return Err(ApiError::bad(-1106, msg));
        }
    }
    let (tif, gtx, tif_name) = if kind.has_tif {
        tif(params.need("timeInForce")?, venue)?
    } else {
        // What the venue echoes for orders that take none.
        (Tif::Gtc, false, "GTC")
    };
    let expires_ns = if tif_name == "GTD" {
        let at_ms = params.number("goodTillDate")?;
        let at_ms = at_ms.ok_or_else(|| ApiError::missing("goodTillDate"))?;
        if at_ms.saturating_mul(1_000_000) <= now {
            let msg = "goodTillDate must be in the future and at most the year 2286.";
            return Err(ApiError::bad(-4181, msg));
        }
        Some(at_ms.saturating_mul(1_000_000))
    } else {
        None
    };
    let limit = if kind.has_price {
        Some(price(params.need("price")?, "price", spec)?)
    } else {
        None
    };
    let last = one.tape.day.close;
    let size = match (params.get("quantity"), params.get("quoteOrderQty")) {
        (Some(_), Some(_)) => {
            return Err(ApiError::bad(
                -1128,
                "Combination of optional parameters invalid.",
            ));
        }
        (None, Some(text)) if kind.name == "MARKET" && venue.is_spot() => {
            let quote = Amount::parse(text).filter(|quote| *quote > Amount::ZERO);
            Size::Quote(quote.ok_or_else(|| ApiError::bad(-1013, "Invalid quoteOrderQty."))?)
        }
        _ => Size::Lots(quantity(params.need("quantity")?, "quantity", spec)?),
    };
    let reduce_only = params.flag("reduceOnly")?;
    let value = match size {
        Size::Lots(lots) => listing.value(limit.unwrap_or(last), lots),
        Size::Quote(quote) => quote,
    };
    if !reduce_only {
        notional(venue, spec, value, limit.is_none())?;
    }
    let trigger = match kind.stop {
        Some(loss) => {
            let name = if algo { "triggerPrice" } else { "stopPrice" };
            let price = price(params.need(name)?, name, spec)?;
            let by = match params.get("workingType") {
                Some("MARK_PRICE") if algo => "MARK_PRICE",
                _ => "CONTRACT_PRICE",
            };
            // A buyer's stop loss and a seller's take profit wait for a rise.
            Some(Trigger {
                price,
                rising: (side == Side::Bid) == loss,
                by,
                // "Margin checks are not performed until it triggers" at the algo service.
                holds: !algo,
            })
        }
        None => None,
    };
    let name_of_id = if algo {
        "clientAlgoId"
    } else {
        "newClientOrderId"
    };
    Ok(NewOrder {
        account,
        instrument: index,
        client_id: client_id(params, name_of_id)?.unwrap_or(random_id),
        side,
        price: limit,
        size,
        tif,
        post_only: kind.post_only || gtx,
        reduce_only,
        trigger,
        expires_ns,
        words: Words {
            kind: kind.name,
            tif: tif_name,
            strict: true,
        },
    })
}

/// A refusal of the core in the venue's words.
pub(super) fn refused(refusal: Refusal, venue: SimVenue) -> ApiError {
    let spot = venue.is_spot();
    match refusal {
        Refusal::Balance => ApiError::bad(
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        Refusal::Margin => ApiError::bad(-2019, "Margin is insufficient."),
        Refusal::WouldTake if spot => {
            ApiError::bad(-2010, "Order would immediately match and take.")
        }
        Refusal::WouldTake => ApiError::bad(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be \
             rejected. The order will not be recorded in the order history",
        ),
        Refusal::DuplicateId if spot => ApiError::bad(-2010, "Duplicate order sent."),
        Refusal::DuplicateId => ApiError::bad(-4116, "ClientOrderId is duplicated."),
        Refusal::ReduceOnly => ApiError::bad(-2022, "ReduceOnly Order is rejected."),
        Refusal::WouldTrigger if spot => {
            ApiError::bad(-2010, "Stop price would trigger immediately.")
        }
        Refusal::WouldTrigger => ApiError::bad(-2021, "Order would immediately trigger."),
        Refusal::NoLiquidity => ApiError::bad(-2010, "Market is closed."),
        Refusal::TooManyOrders if spot => ApiError::filter("MAX_NUM_ORDERS"),
        Refusal::TooManyOrders => ApiError::bad(-2025, "Reach max open order limit."),
        Refusal::UnknownOrder => ApiError::bad(-2011, "Unknown order sent."),
        Refusal::BadAmendment if spot => {
            ApiError::bad(-2038, "Order amend (quantity increase) is not supported.")
        }
        Refusal::BadAmendment => ApiError::bad(-5027, "No need to modify the order."),
    }
}

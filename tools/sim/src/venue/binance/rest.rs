//! Binance's REST calls for market data: rest-api.md (2026-07) and the derivatives pages.

use super::frames::{Json, sides};
use crate::market::{Book, Instrument, InstrumentSpec, Market, Trade};
use crate::num::{ms, push_decimal};
use crate::spec::SimVenue;
use crate::venue::{HttpRequest, HttpResponse};

/// The part of the path that the markets have in common ("depth", "exchangeInfo" ..).
pub(crate) fn call(venue: SimVenue, path: &str) -> Option<&str> {
    path.strip_prefix(match venue {
        SimVenue::BinanceLinear => "/fapi/v1/",
        SimVenue::BinanceInverse => "/dapi/v1/",
        _ => "/api/v3/",
    })
}

/// Request weight: the table of rest-api.md for spot; for the futures markets the depth page's.
pub(crate) fn weight(venue: SimVenue, request: &HttpRequest<'_>) -> u32 {
    let limit = request.param("limit").and_then(|l| l.parse::<u32>().ok());
    let symbol = request.param("symbol").is_some();
    match (
        venue.is_spot(),
        call(venue, request.path).unwrap_or_default(),
    ) {
        (true, "depth") => match limit.unwrap_or(100) {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        (false, "depth") => match limit.unwrap_or(500) {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        (true, "exchangeInfo") => 20,
        (spot, "ticker/24hr") if symbol => 1 + u32::from(spot),
        (spot, "ticker/24hr") => {
            if spot {
                80
            } else {
                40
            }
        }
        (spot, "aggTrades") => {
            if spot {
                4
            } else {
                20
            }
        }
        (_, "ticker/bookTicker") => {
            if symbol {
                2
            } else {
                4 + u32::from(!venue.is_spot())
            }
        }
        _ => 1,
    }
}

/// Error body and status.
pub(crate) fn error(status: u16, code: i32, msg: &str) -> HttpResponse {
    let mut body = Vec::new();
    Json(&mut body)
        .raw("{\"code\":")
        .int(i64::from(code))
        .raw(",\"msg\":\"")
        .raw(msg)
        .raw("\"}");
    HttpResponse::json(status, body)
}

/// When something is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The venue's clock.
    pub(super) clock_ns: i64,
    /// Up to when the matching engine has come: no update that is yet to be pushed is from before. On a slow
    /// machine it is behind the clock.
    pub(super) engine_ns: i64,
}

pub(super) fn answer(
    venue: SimVenue,
    market: &Market,
    request: &HttpRequest<'_>,
    at: Now,
) -> Option<HttpResponse> {
    let now = at.clock_ns;
    let call = call(venue, request.path)?;
    Some(match call {
        "ping" => HttpResponse::json(200, b"{}".to_vec()),
        "time" => time(now),
        "exchangeInfo" => exchange_info(venue, market, request, now),
        "depth" => current_depth(venue, market, request, at),
        "ticker/bookTicker" => book_ticker(venue, market, request, now),
        "ticker/24hr" => ticker(venue, market, request, now),
        _ => return None,
    })
}

pub(crate) fn time(now: i64) -> HttpResponse {
    let mut body = Vec::new();
    Json(&mut body)
        .raw("{\"serverTime\":")
        .int(ms(now))
        .raw("}");
    HttpResponse::json(200, body)
}

fn find<'a>(market: &'a Market, symbol: &str) -> Result<&'a Instrument, HttpResponse> {
    let found = market
        .instruments
        .iter()
        .find(|one| one.spec.symbol == symbol);
    found.ok_or_else(|| error(400, -1121, "Invalid symbol."))
}

fn missing(name: &str) -> HttpResponse {
    let text = "was not sent, was empty/null, or malformed.";
    error(400, -1102, &format!("Mandatory parameter '{name}' {text}"))
}

/// The depth limit that a market grants for what was asked: spot caps it at 5000, futures take
/// only the listed ones.
pub(crate) fn depth_limit(venue: SimVenue, asked: Option<&str>) -> Result<usize, HttpResponse> {
    let bad = || error(400, -1130, "Data sent for parameter 'limit' is not valid.");
    let limit = asked
        .map(str::parse::<usize>)
        .transpose()
        .map_err(|_| bad())?;
    match (venue.is_spot(), limit) {
        (true, None) => Ok(100),
        (true, Some(limit)) if limit > 0 => Ok(limit.min(5_000)),
        (false, None) => Ok(500),
        (false, Some(limit)) if [5, 10, 20, 50, 100, 500, 1_000].contains(&limit) => Ok(limit),
        _ => Err(bad()),
    }
}

fn current_depth(
    venue: SimVenue,
    market: &Market,
    request: &HttpRequest<'_>,
    at: Now,
) -> HttpResponse {
    let Some(symbol) = request.param("symbol") else {
        return missing("symbol");
    };
    let one = match find(market, &symbol) {
        Ok(one) => one,
        Err(response) => return response,
    };
    depth(venue, one, (one.last_id, &one.book), request, at)
}

/// The depth answer with this book at this id.
pub(super) fn depth(
    venue: SimVenue,
    one: &Instrument,
    (id, book): (u64, &Book),
    request: &HttpRequest<'_>,
    at: Now,
) -> HttpResponse {
    let limit = match depth_limit(venue, request.param("limit").as_deref()) {
        Ok(limit) => limit,
        Err(response) => return response,
    };
    let mut body = Vec::with_capacity(64 * limit.min(1_500));
    let mut json = Json(&mut body);
    json.raw("{\"lastUpdateId\":").uint(id);
    if !venue.is_spot() {
        json.raw(",\"E\":")
            .int(ms(at.clock_ns))
            .raw(",\"T\":")
            .int(ms(at.engine_ns) - 3);
    }
    if venue == SimVenue::BinanceInverse {
        json.raw(",\"symbol\":\"").raw(&one.spec.symbol);
        json.raw("\",\"pair\":\"").raw(one.spec.pair()).raw("\"");
    }
    json.raw(",");
    sides(&mut json, &one.spec, book, limit);
    json.raw("}");
    HttpResponse::json(200, body)
}

fn book_ticker(
    venue: SimVenue,
    market: &Market,
    request: &HttpRequest<'_>,
    now: i64,
) -> HttpResponse {
    let wanted: Vec<&Instrument> = match request.param("symbol") {
        Some(symbol) => match find(market, &symbol) {
            Ok(one) => vec![one],
            Err(response) => return response,
        },
        None => market.instruments.iter().collect(),
    };
    // COIN-M answers with a list even for one symbol.
    let list = request.param("symbol").is_none() || venue == SimVenue::BinanceInverse;
    let mut body = Vec::new();
    let mut json = Json(&mut body);
    json.raw(if list { "[" } else { "" });
    for (index, one) in wanted.iter().enumerate() {
        let (bid, ask) = one.book.top();
        let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
        json.raw(if index > 0 { ",{" } else { "{" });
        if !venue.is_spot() {
            json.raw("\"lastUpdateId\":").uint(one.last_id).raw(",");
        }
        json.raw("\"symbol\":\"").raw(&one.spec.symbol).raw("\"");
        if venue == SimVenue::BinanceInverse {
            json.raw(",\"pair\":\"").raw(one.spec.pair()).raw("\"");
        }
        json.raw(",\"bidPrice\":\"").price(&one.spec, bid);
        json.raw("\",\"bidQty\":\"").qty(&one.spec, bid_qty);
        json.raw("\",\"askPrice\":\"").price(&one.spec, ask);
        json.raw("\",\"askQty\":\"")
            .qty(&one.spec, ask_qty)
            .raw("\"");
        if !venue.is_spot() {
            json.raw(",\"time\":").int(ms(now));
        }
        json.raw("}");
    }
    json.raw(if list { "]" } else { "" });
    HttpResponse::json(200, body)
}

/// The statistics of a day. (rest-api.md "24hr ticker price change statistics", 2026-07; the
/// derivatives pages; COIN-M answers with a list, and its turnover is in base currency)
fn ticker(venue: SimVenue, market: &Market, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
    let wanted: Vec<&Instrument> = match request.param("symbol") {
        Some(symbol) => match find(market, &symbol) {
            Ok(one) => vec![one],
            Err(response) => return response,
        },
        None => market.instruments.iter().collect(),
    };
    let list = request.param("symbol").is_none() || venue == SimVenue::BinanceInverse;
    let mut body = Vec::new();
    let mut json = Json(&mut body);
    json.raw(if list { "[" } else { "" });
    for (index, one) in wanted.iter().enumerate() {
        json.raw(if index > 0 { "," } else { "" });
        day(&mut json, venue, one, now);
    }
    json.raw(if list { "]" } else { "" });
    HttpResponse::json(200, body)
}

fn day(json: &mut Json<'_>, venue: SimVenue, one: &Instrument, now: i64) {
    let (spec, tape) = (&one.spec, &one.tape);
    let day = &tape.day;
    json.raw("{\"symbol\":\"").raw(&spec.symbol);
    if venue == SimVenue::BinanceInverse {
        json.raw("\",\"pair\":\"").raw(spec.pair());
    }
    json.raw("\",\"priceChange\":\"")
        .price(spec, tape.day_change())
        .raw("\",\"priceChangePercent\":\"");
    push_decimal(json.0, i128::from(tape.day_change_ppm() / 10), 3, false);
    json.raw("\",\"weightedAvgPrice\":\"")
        .price(spec, (day.high + day.low) / 2);
    if venue.is_spot() {
        json.raw("\",\"prevClosePrice\":\"").price(spec, day.open);
    }
    json.raw("\",\"lastPrice\":\"").price(spec, day.close);
    json.raw("\",\"lastQty\":\"").qty(spec, tape.last_qty);
    if venue.is_spot() {
        let (bid, ask) = one.book.top();
        for (side, (price, qty)) in
            [("bid", bid), ("ask", ask)].map(|(s, l)| (s, l.unwrap_or((0, 0))))
        {
            json.raw("\",\"")
                .raw(side)
                .raw("Price\":\"")
                .price(spec, price);
            json.raw("\",\"").raw(side).raw("Qty\":\"").qty(spec, qty);
        }
    }
    for (name, price) in [("open", day.open), ("high", day.high), ("low", day.low)] {
        json.raw("\",\"")
            .raw(name)
            .raw("Price\":\"")
            .price(spec, price);
    }
    let turnover = if venue == SimVenue::BinanceInverse {
        "baseVolume"
    } else {
        "quoteVolume"
    };
    json.raw("\",\"volume\":\"").volume(spec, day.base);
    json.raw("\",\"")
        .raw(turnover)
        .raw("\":\"")
        .turnover(spec, day.quote);
    json.raw("\",\"openTime\":").int(ms(day.open_ns));
    json.raw(",\"closeTime\":").int(ms(now));
    json.raw(",\"firstId\":").uint(day.first_id);
    json.raw(",\"lastId\":").uint(day.last_id);
    json.raw(",\"count\":").uint(day.count).raw("}");
}

/// `aggTrades`: of the trades that were joined, the newest alone is kept here.
pub(super) fn agg_trades(
    venue: SimVenue,
    spec: &InstrumentSpec,
    newest: Option<&AggTrade>,
) -> HttpResponse {
    let mut body = Vec::new();
    let mut json = Json(&mut body);
    json.raw("[");
    if let Some(newest) = newest {
        let AggTrade {
            id,
            first,
            last,
            qty,
            at_ns,
        } = newest;
        json.raw("{\"a\":").uint(*id);
        json.raw(",\"p\":\"").price(spec, first.price);
        json.raw("\",\"q\":\"").qty(spec, *qty);
        json.raw("\",\"f\":").uint(first.id);
        json.raw(",\"l\":").uint(last.id);
        json.raw(",\"T\":").int(ms(*at_ns));
        json.raw(",\"m\":")
            .raw(if first.buyer_maker { "true" } else { "false" });
        json.raw(if venue.is_spot() { ",\"M\":true}" } else { "}" });
    }
    json.raw("]");
    HttpResponse::json(200, body)
}

/// Trades of one taker at one price, joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct AggTrade {
    pub(super) id: u64,
    pub(super) first: Trade,
    pub(super) last: Trade,
    pub(super) qty: i64,
    pub(super) at_ns: i64,
}

fn exchange_info(
    venue: SimVenue,
    market: &Market,
    request: &HttpRequest<'_>,
    now: i64,
) -> HttpResponse {
    let mut wanted: Vec<&Instrument> = market.instruments.iter().collect();
    // Only spot takes symbol and symbols; the futures pages have no parameters.
    if venue.is_spot() {
        let named: Option<Vec<String>> = match (request.param("symbol"), request.param("symbols")) {
            (Some(symbol), _) => Some(vec![symbol]),
            (None, Some(list)) => match serde_json::from_str(&list) {
                Ok(list) => Some(list),
                Err(_) => {
                    return error(
                        400,
                        -1100,
                        "Illegal characters found in parameter 'symbols'.",
                    );
                }
            },
            (None, None) => None,
        };
        if let Some(named) = named {
            let found: Result<Vec<_>, _> = named.iter().map(|s| find(market, s)).collect();
            match found {
                Ok(found) => wanted = found,
                Err(response) => return response,
            }
        }
    }
    let mut body = Vec::with_capacity(1_500 * wanted.len() + 1_000);
    let mut json = Json(&mut body);
    json.raw("{\"timezone\":\"UTC\",\"serverTime\":")
        .int(ms(now));
    json.raw(match venue {
        SimVenue::BinanceSpot => SPOT_HEAD,
        SimVenue::BinanceLinear => LINEAR_HEAD,
        _ => INVERSE_HEAD,
    });
    for (index, one) in wanted.iter().enumerate() {
        json.raw(if index > 0 { "," } else { "" });
        match venue {
            SimVenue::BinanceSpot => spot_symbol(&mut json, &one.spec),
            _ => futures_symbol(&mut json, venue, &one.spec),
        }
    }
    json.raw("]}");
    HttpResponse::json(200, body)
}

const SPOT_HEAD: &str = r#","rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50},{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000},{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":300000}],"exchangeFilters":[],"symbols":["#;
const LINEAR_HEAD: &str = r#","futuresType":"U_MARGINED","rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400},{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200},{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300}],"exchangeFilters":[],"assets":[{"asset":"USDT","marginAvailable":true,"autoAssetExchange":"-10000"}],"symbols":["#;
const INVERSE_HEAD: &str = r#","rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400},{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}],"exchangeFilters":[],"symbols":["#;

/// Tick, lowest and highest price; lot and highest quantity: what the filters print.
struct Steps {
    tick: String,
    price_max: String,
    lot: String,
    qty_max: String,
}

impl Steps {
    /// Spot prints 8 digits; futures print the digits of the step alone.
    fn of(venue: SimVenue, spec: &InstrumentSpec) -> Self {
        let spot = venue.is_spot();
        let text = |fmt: crate::num::NumFmt, units: i64| {
            let mut out = Vec::new();
            push_decimal(
                &mut out,
                i128::from(fmt.mantissa(units)),
                fmt.decimals,
                !spot,
            );
            String::from_utf8(out).unwrap_or_default()
        };
        Self {
            tick: text(spec.price, 1),
            price_max: text(spec.price, spec.mid_ticks * 20),
            lot: text(spec.qty, 1),
            qty_max: text(spec.qty, 100_000_000),
        }
    }
}

fn spot_symbol(json: &mut Json<'_>, spec: &InstrumentSpec) {
    let Steps {
        tick,
        price_max,
        lot,
        qty_max,
    } = Steps::of(SimVenue::BinanceSpot, spec);
    json.raw("{\"symbol\":\"")
        .raw(&spec.symbol)
        .raw("\",\"status\":\"TRADING\",\"baseAsset\":\"");
    json.raw(&spec.base)
        .raw("\",\"baseAssetPrecision\":8,\"quoteAsset\":\"")
        .raw(&spec.quote);
    json.raw(concat!(
        r#"","quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"#,
        r#""quoteCommissionPrecision":8,"orderTypes":["LIMIT","LIMIT_MAKER","MARKET","#,
        r#""STOP_LOSS_LIMIT","TAKE_PROFIT_LIMIT"],"icebergAllowed":true,"ocoAllowed":true,"#,
        r#""quoteOrderQtyMarketAllowed":true,"isSpotTradingAllowed":true,"#,
        r#""isMarginTradingAllowed":true,"filters":[{"filterType":"PRICE_FILTER","minPrice":""#
    ));
    json.raw(&tick)
        .raw("\",\"maxPrice\":\"")
        .raw(&price_max)
        .raw("\",\"tickSize\":\"")
        .raw(&tick);
    json.raw("\"},{\"filterType\":\"LOT_SIZE\",\"minQty\":\"")
        .raw(&lot);
    json.raw("\",\"maxQty\":\"")
        .raw(&qty_max)
        .raw("\",\"stepSize\":\"")
        .raw(&lot)
        .raw("\"},");
    // filters.md (2026-07): a symbol has one or the other; both kinds are listed here.
    if spec.id % 2 == 1 {
        json.raw(concat!(
            r#"{"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"#,
            r#""maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5}"#
        ));
    } else {
        json.raw(concat!(
            r#"{"filterType":"MIN_NOTIONAL","minNotional":"5.00000000","#,
            r#""applyToMarket":true,"avgPriceMins":5}"#
        ));
    }
    json.raw(r#",{"filterType":"ICEBERG_PARTS","limit":10}"#);
    json.raw(r#",{"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":""#)
        .raw(&qty_max);
    json.raw(r#"","stepSize":"0.00000000"},{"filterType":"MAX_NUM_ORDERS","maxNumOrders":200}"#);
    json.raw(r#",{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":5}]"#);
    json.raw(r#","permissions":["SPOT","MARGIN"]}"#);
}

fn futures_symbol(json: &mut Json<'_>, venue: SimVenue, spec: &InstrumentSpec) {
    let inverse = venue == SimVenue::BinanceInverse;
    let Steps {
        tick,
        price_max,
        lot,
        qty_max,
    } = Steps::of(venue, spec);
    // COIN-M calls it contractStatus, and has a contract size.
    let status = if inverse { "contractStatus" } else { "status" };
    json.raw("{\"symbol\":\"")
        .raw(&spec.symbol)
        .raw("\",\"pair\":\"")
        .raw(spec.pair());
    json.raw("\",\"contractType\":\"PERPETUAL\",\"deliveryDate\":4133404800000,\"onboardDate\":");
    json.raw("1569398400000,\"")
        .raw(status)
        .raw("\":\"TRADING\",");
    if inverse {
        json.raw("\"contractSize\":").int(spec.contract_size);
        json.raw(",\"marginAsset\":\"").raw(&spec.base).raw("\",");
    }
    json.raw("\"maintMarginPercent\":\"2.5000\",\"requiredMarginPercent\":\"5.0000\",");
    json.raw("\"baseAsset\":\"")
        .raw(&spec.base)
        .raw("\",\"quoteAsset\":\"")
        .raw(&spec.quote);
    if !inverse {
        json.raw("\",\"marginAsset\":\"").raw(&spec.quote);
    }
    json.raw("\",\"pricePrecision\":")
        .int(i64::from(spec.price.decimals));
    json.raw(",\"quantityPrecision\":")
        .int(i64::from(spec.qty.decimals));
    json.raw(",\"baseAssetPrecision\":8,\"quotePrecision\":8,");
    json.raw(if inverse {
        r#""equalQtyPrecision":4,"maxMoveOrderLimit":10000,"triggerProtect":"0.0500","underlyingType":"COIN","underlyingSubType":[],"#
    } else {
        r#""underlyingType":"COIN","underlyingSubType":[],"settlePlan":0,"triggerProtect":"0.0500","liquidationFee":"0.012000","marketTakeBound":"0.30","#
    });
    json.raw("\"filters\":[{\"minPrice\":\"")
        .raw(&tick)
        .raw("\",\"maxPrice\":\"")
        .raw(&price_max);
    json.raw("\",\"filterType\":\"PRICE_FILTER\",\"tickSize\":\"")
        .raw(&tick)
        .raw("\"}");
    for filter in ["LOT_SIZE", "MARKET_LOT_SIZE"] {
        json.raw(",{\"stepSize\":\"")
            .raw(&lot)
            .raw("\",\"filterType\":\"")
            .raw(filter);
        json.raw("\",\"maxQty\":\"")
            .raw(&qty_max)
            .raw("\",\"minQty\":\"")
            .raw(&lot)
            .raw("\"}");
    }
    json.raw(r#",{"limit":200,"filterType":"MAX_NUM_ORDERS"}"#);
    json.raw(r#",{"limit":100,"filterType":"MAX_NUM_ALGO_ORDERS"}"#);
    if !inverse {
        json.raw(r#",{"notional":"5","filterType":"MIN_NOTIONAL"}"#);
    }
    json.raw(r#",{"multiplierDown":"0.8500","multiplierUp":"1.1500","multiplierDecimal":"4""#);
    json.raw(r#","filterType":"PERCENT_PRICE"}],"orderTypes":["LIMIT","MARKET","STOP""#);
    json.raw(r#","STOP_MARKET","TAKE_PROFIT","TAKE_PROFIT_MARKET","TRAILING_STOP_MARKET"]"#);
    json.raw(r#","timeInForce":["GTC","IOC","FOK","GTX"]"#);
    if inverse {
        json.raw(r#","liquidationFee":"0.006000","marketTakeBound":"0.30""#);
    }
    json.raw("}");
}

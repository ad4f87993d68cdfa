//! Requests about orders and the account, as Binance wants them written: over the WebSocket API, or by
//! REST. (binance-spot-api-docs web-socket-api.md and rest-api.md, 2026-07-21; USDS-M "New Order",
//! "Modify Order", "Start User Data Stream", 2026-03.)

use core::fmt::Write as _;

use arrayvec::{ArrayString, ArrayVec};
use tickwire_orderbook::Side;
use tickwire_orderbook::decimal::Text;

use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::governor::Window;
use crate::instrument::{Market, Symbol};
use crate::order::{OrderRequest, OrderType, Size, Stop, TimeInForce, TriggerBy};
use crate::sign::Signer;
use crate::time::Nanos;
use crate::trading::dialect::{
    Call, Dialect, Job, Names, Role, Rules, Said, Target, Told, Transport, Way,
};
use crate::trading::limits::{Counts, OrderLimit};
use crate::trading::text::put;
use crate::trading::time_sync::Tolerance;
use crate::transmit::{HttpRequest, Lane, LinkSpec, Method, ReadOn, RequestId, Response};

use super::algo::Become;
use super::tape::Reader;
use super::urls::{ATTEMPT_LIMIT, Urls};

/// How old a request may be when it arrives; the venue's default (rest-api.md "Timing security").
const RECV_WINDOW_MS: i64 = 5_000;

/// A request is refused from then on: the window, the second that a time stamp may lie ahead, and one
/// second for the way. It is checked again before the matching engine.
const REQUEST_LIFE_NS: Nanos = Nanos::from_secs(7);

/// The engine gives up on a request after this.
const TIMEOUT_NS: Nanos = Nanos::from_secs(10);

/// All open orders, or a thousand trades: 500 bytes each.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Trades in one answer (rest-api.md "Account trade list").
pub(super) const FILLS_MAX: usize = 1_000;

/// Exchange info of a whole market.
const INSTRUMENTS_BYTES_MAX: usize = 64 << 20;

/// "ORDERS 50/10 s and 160,000/day" (exchangeInfo.rateLimits of spot). Filled orders lower the venue's
/// count, so that ours is the stricter. Cancels don't count.
const SPOT_LIMITS: [OrderLimit; 2] = [orders(50, 10), orders(160_000, 86_400)];

/// "300/10 s, 1,200/min" (exchangeInfo.rateLimits of USD-M).
const LINEAR_LIMITS: [OrderLimit; 2] = [orders(300, 10), orders(1_200, 60)];

const fn orders(max: u32, secs: i64) -> OrderLimit {
    OrderLimit {
        window: Window {
            max,
            span_ns: Nanos::from_secs(secs),
        },
        counts: Counts::Orders,
        reserve: 0,
    }
}

/// Binance's words for one market of one account.
#[derive(Debug)]
pub(crate) struct Words {
    pub(super) market: Market,
    urls: Urls,
    credentials: Credentials,
    signer: Signer,
    transport: Transport,
    pub(super) reader: Reader,
    /// Where the next page of a symbol's trades begins.
    pub(super) next_fill: Option<(Symbol, i64)>,
    /// Stops of futures that were found to be orders by now.
    pub(super) becomes: Become,
}

impl Words {
    pub(super) fn new(
        market: Market,
        urls: Urls,
        credentials: Credentials,
        transport: Transport,
    ) -> Result<Words, Error> {
        let signer = credentials
            .signer()
            .map_err(|bad| Error::ours(ErrorKind::Authentication, bad.to_string()))?;
        if !matches!(market, Market::Spot | Market::Linear) {
            let text = format!("binance {market} is not traded here");
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        Ok(Words {
            market,
            urls,
            credentials,
            signer,
            transport,
            reader: Reader::new(),
            next_fill: None,
            becomes: Become::default(),
        })
    }

    pub(super) const fn is_spot(&self) -> bool {
        matches!(self.market, Market::Spot)
    }

    /// Whether a link is logged in once: only Ed25519 keys can be (web-socket-api.md "Log in with API
    /// key"). With others each request is signed.
    fn has_session(&self) -> bool {
        self.signer.is_ed25519()
    }

    /// The parameters of a request about an order, but for time and signature.
    fn write_params(&self, job: &Job, params: &mut impl Sink) {
        match job {
            Job::Place(request, symbol) => self.place(request, symbol, params),
            Job::Cancel(target) | Job::Lookup(target) => {
                params.text(key!("symbol"), &target.symbol);
                let target = match self.actual_of(job) {
                    Some(actual) => &Target {
                        venue: *actual,
                        ..*target
                    },
                    None => target,
                };
                let ids = match self.is_of_algo(job) {
                    true => (key!("algoId"), key!("clientAlgoId")),
                    false => (key!("orderId"), key!("origClientOrderId")),
                };
                name(target, ids, params);
            }
            Job::Amend {
                target,
                side,
                price,
                qty,
                standing,
                ..
            } => {
                params.text(key!("symbol"), &target.symbol);
                let ids = (key!("orderId"), key!("origClientOrderId"));
                name(target, ids, params);
                if self.is_spot() {
                    if let Some(qty) = qty {
                        params.decimal(key!("newQty"), qty.plain());
                    }
                    return;
                }
                params.text(key!("side"), side_word(*side));
                if let Some(price) = price.or(standing.0) {
                    params.decimal(key!("price"), price.plain());
                }
                if let Some(qty) = qty.or(standing.1) {
                    params.decimal(key!("quantity"), qty.plain());
                }
            }
            Job::CancelAll { symbol, .. } => params.text(key!("symbol"), symbol),
            Job::OpenOrders(Some(symbol), _) | Job::Instruments(Some(symbol)) => {
                params.text(key!("symbol"), symbol)
            }
            Job::Fills {
                symbol,
                since,
                page,
            } => {
                params.text(key!("symbol"), symbol);
                match self.next_fill {
                    Some((of, id)) if of == *symbol && *page > 0 => {
                        params.number(key!("fromId"), id)
                    }
                    _ => params.number(key!("startTime"), since.as_millis()),
                }
                params.number(key!("limit"), FILLS_MAX as i64);
            }
            Job::Balances if self.is_spot() => params.text(key!("omitZeroBalances"), "true"),
            _ => {}
        }
    }

    /// What [`write_params`](Words::write_params) does, and the time over a link.
    fn write_all_params(&self, call: &Call<'_>, params: &mut impl Sink) {
        self.write_params(call.job, params);
        let is_bare = self.has_session() && matches!(call.job, Job::Listen(_));
        if !is_bare {
            params.number(key!("timestamp"), call.at.as_millis());
        }
        if matches!(
            call.job,
            Job::Place(..) | Job::Cancel(_) | Job::Amend { .. } | Job::CancelAll { .. }
        ) {
            params.number(key!("recvWindow"), RECV_WINDOW_MS);
        }
    }

    fn place(&self, request: &OrderRequest, symbol: &str, params: &mut impl Sink) {
        if let Some(stop) = request.stop.filter(|_| !self.is_spot()) {
            return Words::place_stop(request, stop, symbol, params);
        }
        params.text(key!("symbol"), symbol);
        params.text(key!("side"), side_word(request.side));
        let time = Some(time_word(request.time_in_force));
        let (kind, time) = match (request.order_type, self.is_spot()) {
            (OrderType::Market, _) if request.stop.is_some() => ("STOP_LOSS", None),
            (OrderType::Limit, _) if request.stop.is_some() => ("STOP_LOSS_LIMIT", time),
            (OrderType::Market, _) => ("MARKET", None),
            // "LIMIT_MAKER takes only quantity and price"; an unneeded timeInForce is -1114.
            (OrderType::LimitMaker, true) => ("LIMIT_MAKER", None),
            (OrderType::LimitMaker, false) => ("LIMIT", Some("GTX")),
            (OrderType::Limit, _) => ("LIMIT", time),
        };
        params.text(key!("type"), kind);
        if let Some(time) = time {
            params.text(key!("timeInForce"), time);
        }
        if let (Some("GTD"), TimeInForce::Gtd { expires_ns }) = (time, request.time_in_force) {
            params.number(key!("goodTillDate"), expires_ns.as_millis());
        }
        match request.size {
            Size::Base(qty) => params.decimal(key!("quantity"), qty.plain()),
            Size::Quote(value) => params.decimal(key!("quoteOrderQty"), value.plain()),
        }
        if let Some(price) = request.price {
            params.decimal(key!("price"), price.plain());
        }
        if let Some(stop) = request.stop {
            params.decimal(key!("stopPrice"), stop.price.plain());
        }
        if request.reduce_only && !self.is_spot() {
            params.text(key!("reduceOnly"), "true");
        }
        params.text(key!("newClientOrderId"), &request.client_order_id);
        // What has traded comes by the stream, with its ids.
        params.text(key!("newOrderRespType"), "RESULT");
    }

    /// Whether a stop can be placed. Spot's wait for the last price (rest-api.md "New order"), those of
    /// futures for that or the mark price ("New Algo Order", workingType).
    fn takes(&self, stop: Stop) -> bool {
        match stop.by {
            TriggerBy::Last => true,
            TriggerBy::Mark => !self.is_spot(),
            TriggerBy::Index => false,
        }
    }

    fn method(&self, job: &Job) -> &'static str {
        match job {
            Job::Login(_) => "session.logon",
            Job::Listen(_) if self.has_session() => "userDataStream.subscribe",
            Job::Listen(_) => "userDataStream.subscribe.signature",
            Job::Place(..) if self.is_of_algo(job) => "algoOrder.place",
            Job::Cancel(_) if self.is_of_algo(job) => "algoOrder.cancel",
            Job::Place(..) => "order.place",
            Job::Cancel(_) => "order.cancel",
            Job::Amend { .. } if self.is_spot() => "order.amend.keepPriority",
            Job::Amend { .. } => "order.modify",
            Job::CancelAll { .. } => "openOrders.cancelAll",
            _ => "ping",
        }
    }

    /// Method, path behind the API's base, and whether it is signed.
    fn call(&self, job: &Job) -> (Method, &'static str, bool) {
        let spot = self.is_spot();
        match job {
            Job::Place(..) if self.is_of_algo(job) => (Method::Post, "/algoOrder", true),
            Job::Cancel(_) if self.is_of_algo(job) => (Method::Delete, "/algoOrder", true),
            Job::Lookup(_) if self.is_of_algo(job) => (Method::Get, "/algoOrder", true),
            Job::OpenOrders(..) if self.is_of_algo(job) => (Method::Get, "/openAlgoOrders", true),
            Job::CancelAll { .. } if self.is_of_algo(job) => {
                (Method::Delete, "/algoOpenOrders", true)
            }
            Job::Place(..) => (Method::Post, "/order", true),
            Job::Cancel(_) => (Method::Delete, "/order", true),
            Job::Amend { .. } if spot => (Method::Put, "/order/amend/keepPriority", true),
            Job::Amend { .. } => (Method::Put, "/order", true),
            Job::CancelAll { .. } if spot => (Method::Delete, "/openOrders", true),
            Job::CancelAll { .. } => (Method::Delete, "/allOpenOrders", true),
            Job::Lookup(_) => (Method::Get, "/order", true),
            Job::OpenOrders(..) => (Method::Get, "/openOrders", true),
            Job::Fills { .. } if spot => (Method::Get, "/myTrades", true),
            Job::Fills { .. } => (Method::Get, "/userTrades", true),
            Job::Balances if spot => (Method::Get, "/account", true),
            Job::Balances => (Method::Get, "/balance", true),
            Job::Positions(_) => (Method::Get, "/positionRisk", true),
            Job::ListenKey => (Method::Post, "/listenKey", false),
            Job::KeepListenKey => (Method::Put, "/listenKey", false),
            Job::Instruments(_) => (Method::Get, "/exchangeInfo", false),
            _ => (Method::Get, "/time", false),
        }
    }
}

/// Names an order: by the venue's id where it is known, which is "fastest" (rest-api.md "Cancel order").
fn name(target: &Target, (venue, ours): (Key, Key), params: &mut impl Sink) {
    match target.venue.parse::<i64>() {
        Ok(id) => params.number(venue, id),
        Err(_) => params.text(ours, &target.client),
    }
}

pub(super) const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Bid => "BUY",
        Side::Ask => "SELL",
    }
}

pub(super) const fn time_word(time: TimeInForce) -> &'static str {
    match time {
        TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
        TimeInForce::Gtd { .. } => "GTD",
    }
}

impl Dialect for Words {
    fn rules(&self) -> Rules {
        Rules {
            limits: if self.is_spot() {
                &SPOT_LIMITS
            } else {
                &LINEAR_LIMITS
            },
            tolerance: Tolerance {
                ahead_ns: Nanos::from_secs(1),
                behind_ns: Nanos::from_millis(RECV_WINDOW_MS),
            },
            request_life_ns: REQUEST_LIFE_NS,
            has_positions: !self.is_spot(),
            // The venue pings, and the engine answers.
            heartbeat_ns: None,
            // Keys live 60 minutes (USDS-M "Keepalive User Data Stream").
            listen_key_ns: (!self.is_spot()).then_some(Nanos::from_secs(1_800)),
        }
    }

    fn links(&self) -> &'static [Role] {
        // Spot has the account's events on the link of the orders.
        match (self.is_spot(), self.transport) {
            (true, _) => &[Role::Trade],
            (false, Transport::WebSocket) => &[Role::Trade, Role::Private],
            (false, Transport::Rest) => &[Role::Private],
        }
    }

    fn spec(&self, role: Role, listen_key: &str) -> LinkSpec {
        let (endpoint, path) = match role {
            Role::Trade => self.urls.trade(),
            Role::Private => self.urls.private(listen_key),
        };
        LinkSpec {
            attempt_limit: Some(ATTEMPT_LIMIT),
            // Three of the venue's ping intervals of 20 s, and a margin; futures ping every 3 minutes.
            silence_max_ns: Some(Nanos::from_secs(65)),
            ..LinkSpec::new(endpoint, path)
        }
    }

    fn prelude(&self, role: Role) -> &'static [Job] {
        const TRADE: Role = Role::Trade;
        match (role, self.is_spot(), self.has_session()) {
            (Role::Private, ..) => &[],
            (_, true, true) => &[Job::Login(TRADE), Job::Listen(TRADE)],
            (_, true, false) => &[Job::Listen(TRADE)],
            (_, false, true) => &[Job::Login(TRADE)],
            (_, false, false) => &[],
        }
    }

    fn way(&self, job: &Job) -> Way {
        let by_link = matches!(self.transport, Transport::WebSocket);
        match job {
            Job::Login(role) | Job::Listen(role) => Way::Link(*role, Lane::Urgent),
            Job::Heartbeat(_) => Way::None,
            // "only lower the quantity" (rest-api.md "Order amend keep priority").
            Job::Amend { price, qty, .. }
                if self.is_spot() && (price.is_some() || qty.is_none()) =>
            {
                Way::None
            }
            Job::Place(request, _) => match (request.size, request.time_in_force) {
                _ if request.stop.is_some_and(|stop| !self.takes(stop)) => Way::None,
                (Size::Quote(_), _) if !self.is_spot() => Way::None,
                (_, TimeInForce::Gtd { .. }) if self.is_spot() => Way::None,
                _ if by_link => Way::Link(Role::Trade, Lane::Normal),
                _ => Way::Http,
            },
            Job::Cancel(_) if by_link => Way::Link(Role::Trade, Lane::Urgent),
            // USD-M's WebSocket API has no such method.
            Job::CancelAll { .. } if by_link && self.is_spot() => {
                Way::Link(Role::Trade, Lane::Urgent)
            }
            Job::Amend { .. } if by_link => Way::Link(Role::Trade, Lane::Normal),
            Job::Positions(_) | Job::ListenKey | Job::KeepListenKey if self.is_spot() => Way::None,
            _ => Way::Http,
        }
    }

    fn why_not(&self, job: &Job) -> &'static str {
        match job {
            Job::Place(request, _) if request.stop.is_some() => {
                "stops wait for the last price, those of futures also for the mark price"
            }
            _ => "the venue has no such request",
        }
    }

    fn weight(&self, job: &Job) -> u32 {
        match (job, self.is_spot()) {
            (Job::OpenOrders(None, _), true) => 80,
            (Job::OpenOrders(None, _), false) => 40,
            (Job::OpenOrders(Some(_), _), true) => 6,
            (Job::Lookup(_) | Job::Amend { .. }, true) => 4,
            (Job::Fills { .. } | Job::Balances | Job::Instruments(_), true) => 20,
            (Job::Fills { .. } | Job::Balances | Job::Positions(_), false) => 5,
            _ => 1,
        }
    }

    fn write_text(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        let method = self.method(call.job);
        put!(
            body,
            "{\"id\":\"",
            call.key,
            "\",\"method\":\"",
            method,
            "\""
        );
        if self.has_session() && !matches!(call.job, Job::Login(_)) {
            // Nothing is signed: no parameter is needed twice.
            let mut json = Json::new(body);
            self.write_all_params(call, &mut json);
            json.finish();
        } else {
            let mut params = Params::default();
            self.write_all_params(call, &mut params);
            params.text(key!("apiKey"), self.credentials.key());
            let signature = self.signer.sign(&[params.sorted().as_bytes()]);
            params.text(key!("signature"), &signature);
            params.write_json(body);
        }
        body.push(b'}');
    }

    fn write_request(&self, call: &Call<'_>, _body: &mut Vec<u8>) -> HttpRequest {
        let (method, path, is_signed) = self.call(call.job);
        let mut query = String::new();
        let mut params = Params::default();
        self.write_params(call.job, &mut params);
        params.write_query(&mut query);
        if is_signed {
            let and = if query.is_empty() { "" } else { "&" };
            let timestamp = call.at.as_millis();
            let _ = write!(
                query,
                "{and}recvWindow={RECV_WINDOW_MS}&timestamp={timestamp}"
            );
            // What is signed is what is sent: percent-encoded, before the signature is added.
            let signature = self.signer.sign(&[query.as_bytes()]);
            query.push_str("&signature=");
            percent_encode(&signature, &mut query);
        }
        let needs_key = is_signed || matches!(call.job, Job::ListenKey | Job::KeepListenKey);
        let key = needs_key.then(|| ("X-MBX-APIKEY".to_owned(), self.credentials.key().to_owned()));
        let is_instruments = matches!(call.job, Job::Instruments(_));
        let target = match (call.job, self.is_spot()) {
            // "v3 since 2024-08": balances and positions alone have a newer version.
            (Job::Balances | Job::Positions(_), false) => self.urls.target_v3(path),
            _ => self.urls.target(path),
        };
        HttpRequest {
            id: RequestId(0),
            endpoint: self.urls.rest().clone(),
            method,
            target: if query.is_empty() {
                target
            } else {
                format!("{target}?{query}")
            },
            headers: key.into_iter().collect(),
            timeout_ns: TIMEOUT_NS,
            body_bytes_max: if is_instruments {
                INSTRUMENTS_BYTES_MAX
            } else {
                ANSWER_BYTES_MAX
            },
            read_on: if is_instruments {
                ReadOn::Helper
            } else {
                ReadOn::Loop
            },
        }
    }

    fn read_text(
        &mut self,
        _role: Role,
        payload: &mut [u8],
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) {
        self.read_private(payload, names, said);
    }

    fn read_response(
        &mut self,
        job: &Job,
        response: Response<'_>,
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        self.read_account(job, response, names, said)
    }
}

/// The name of a parameter, and how it stands before a text and before a number in JSON.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) of_text: &'static str,
    pub(super) of_number: &'static str,
}

/// A parameter's name.
macro_rules! key {
    ($name:literal) => {
        $crate::binance::trade::Key {
            name: $name,
            of_text: concat!("\"", $name, "\":\""),
            of_number: concat!("\"", $name, "\":"),
        }
    };
}

pub(super) use key;

/// Where parameters are written.
pub(super) trait Sink {
    /// A text, which has no character that JSON escapes: they are ids, words and base64.
    fn text(&mut self, key: Key, value: &str);

    /// A decimal as text.
    fn decimal(&mut self, key: Key, value: Text);

    /// A whole number.
    fn number(&mut self, key: Key, value: i64);
}

/// Parameters as JSON, behind the request's head.
struct Json<'b> {
    body: &'b mut Vec<u8>,
    /// Where they begin.
    start: usize,
}

impl<'b> Json<'b> {
    const HEAD: &'static str = ",\"params\":{";

    fn new(body: &'b mut Vec<u8>) -> Json<'b> {
        let start = body.len();
        put!(body, Json::HEAD);
        Json { body, start }
    }

    /// Each parameter has a comma behind it: the last one's becomes the end. Without any there is nothing.
    fn finish(self) {
        if self.body.len() == self.start + Json::HEAD.len() {
            self.body.truncate(self.start);
        } else if let Some(comma) = self.body.last_mut() {
            *comma = b'}';
        }
    }
}

impl Sink for Json<'_> {
    #[inline(always)]
    fn text(&mut self, key: Key, value: &str) {
        put!(self.body, key.of_text, value, "\",");
    }

    #[inline(always)]
    fn decimal(&mut self, key: Key, value: Text) {
        put!(self.body, key.of_text);
        self.body.extend_from_slice(value.as_bytes());
        put!(self.body, "\",");
    }

    #[inline(always)]
    fn number(&mut self, key: Key, value: i64) {
        put!(self.body, key.of_number, value, ",");
    }
}

/// Parameters that are sorted, signed, or written into a query. The longest value is a symbol, a key or a
/// signature.
#[derive(Default)]
pub(super) struct Params(ArrayVec<(&'static str, ArrayString<96>, bool), 16>);

impl Sink for Params {
    fn text(&mut self, key: Key, value: &str) {
        // No value of ours is longer; a key that is would be refused by the venue.
        let value = ArrayString::from(value).unwrap_or_default();
        let _ = self.0.try_push((key.name, value, true));
    }

    fn decimal(&mut self, key: Key, value: Text) {
        self.text(key, value.as_str());
    }

    fn number(&mut self, key: Key, value: i64) {
        let mut text = ArrayString::new();
        let _ = write!(text, "{value}");
        let _ = self.0.try_push((key.name, text, false));
    }
}

impl Params {
    /// "Sort all parameters alphabetically and join them as k=v&k=v", not percent-encoded
    /// (web-socket-api.md "Request security").
    fn sorted(&mut self) -> String {
        self.0.sort_unstable_by_key(|param| param.0);
        let mut text = String::with_capacity(512);
        for (index, (key, value, _)) in self.0.iter().enumerate() {
            let and = if index == 0 { "" } else { "&" };
            for piece in [and, key, "=", value] {
                text.push_str(piece);
            }
        }
        text
    }

    fn write_json(&self, body: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        body.extend_from_slice(b",\"params\":{");
        for (index, (key, value, is_text)) in self.0.iter().enumerate() {
            let comma: &[u8] = if index == 0 { b"" } else { b"," };
            let quote: &[u8] = if *is_text { b"\"" } else { b"" };
            // No value has a character that JSON escapes: they are ids, words, numbers and base64.
            // Piece by piece: formatting takes longer than all else that an order needs.
            for piece in [
                comma,
                b"\"",
                key.as_bytes(),
                b"\":",
                quote,
                value.as_bytes(),
                quote,
            ] {
                body.extend_from_slice(piece);
            }
        }
        body.push(b'}');
    }

    fn write_query(&self, query: &mut String) {
        for (index, (key, value, _)) in self.0.iter().enumerate() {
            let and = if index == 0 { "" } else { "&" };
            let _ = write!(query, "{and}{key}=");
            percent_encode(value, query);
        }
    }
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

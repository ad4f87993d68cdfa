//! Requests about orders and the account, as Bybit wants them written: over the trade WebSocket, or by
//! REST. (v5 "WebSocket trade guideline", "Place order" and its neighbours, "Integration guidance",
//! 2026-07-24.)

use core::fmt::Write as _;
use std::io::Write as _;

use tickwire_orderbook::Side;

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
use crate::trading::pages::{Cursors, Page};
use crate::trading::text::put;
use crate::trading::time_sync::Tolerance;
use crate::transmit::{HttpRequest, Lane, LinkSpec, Method, ReadOn, RequestId, Response};

use super::tape::Reader;
use super::urls::{PING_INTERVAL, REST_BODY_BYTES_MAX, REST_TIMEOUT, Urls, category};

/// How old a request may be when it arrives; the venue's default (guide).
const RECV_WINDOW_MS: i64 = 5_000;

/// A request is refused from then on: the window, the second that a time stamp may lie ahead, and one
/// second for the way.
const REQUEST_LIFE_NS: Nanos = Nanos::from_secs(7);

/// What cancel on disconnect takes, in seconds (v5 "Set DCP").
const DCP_S: core::ops::RangeInclusive<u16> = 3..=300;

/// Spot's conditional orders are meant; without a word orders of the book alone are ("Cancel order",
/// "Cancel all orders", `orderFilter`).
const OF_STOPS: &[u8] = br#","orderFilter":"StopOrder""#;

/// A log-in is good until so long after it was written; it must arrive before.
const LOGIN_LIFE_MS: i64 = 10_000;

/// Places and cancels of a second (rate-limit, "Trade"): 20 on spot, 10 on linear, each counted apart.
const SPOT_LIMITS: [OrderLimit; 2] = [a_second(20, Counts::Orders), a_second(20, Counts::Cancels)];
const LINEAR_LIMITS: [OrderLimit; 2] =
    [a_second(10, Counts::Orders), a_second(10, Counts::Cancels)];

const fn a_second(max: u32, counts: Counts) -> OrderLimit {
    OrderLimit {
        window: Window {
            max,
            span_ns: Nanos::from_secs(1),
        },
        counts,
        reserve: 0,
    }
}

/// What linear contracts settle in (v5 enum, "settleCoin").
const SETTLE_COINS: [&str; 2] = ["USDT", "USDC"];

/// Where the next page of a list begins.
#[derive(Debug)]
pub(super) struct ListNext {
    /// In [`SETTLE_COINS`], of linear.
    coin: usize,
    /// The venue's own; empty for the first page of a coin.
    cursor: String,
}

/// Bybit's words for one market of one account.
#[derive(Debug)]
pub(crate) struct Words {
    pub(super) market: Market,
    pub(super) category: &'static str,
    urls: Urls,
    credentials: Credentials,
    signer: Signer,
    transport: Transport,
    /// Cancel on disconnect ("DCP"): so many seconds after the last private link was lost.
    dcp_s: Option<u16>,
    pub(super) reader: Reader,
    /// Where the next page of a symbol's trades begins.
    pub(super) cursor: Option<(Symbol, String)>,
    /// Where the next pages of lists of orders and positions begin.
    lists: Cursors<ListNext>,
}

impl Words {
    pub(super) fn new(
        market: Market,
        urls: Urls,
        credentials: Credentials,
        transport: Transport,
        dcp_s: Option<u16>,
    ) -> Result<Words, Error> {
        if dcp_s.is_some_and(|seconds| !DCP_S.contains(&seconds)) {
            let text = "Bybit cancels orders 3 to 300 seconds after the last link was lost";
            return Err(Error::ours(ErrorKind::BadRequest, text));
        }
        let signer = credentials
            .signer()
            .map_err(|bad| Error::ours(ErrorKind::Authentication, bad.to_string()))?;
        if signer.is_ed25519() {
            let text = "Bybit takes no Ed25519 keys: use an HMAC key";
            return Err(Error::ours(ErrorKind::Authentication, text));
        }
        Ok(Words {
            market,
            category: category(market)?,
            urls,
            credentials,
            signer,
            transport,
            dcp_s,
            reader: Reader::default(),
            cursor: None,
            lists: Cursors::default(),
        })
    }

    /// Its markets as cancel on disconnect names them: in the request, in the answer, and in the topic.
    pub(super) const fn dcp_product(&self) -> (&'static str, &'static str) {
        match self.market {
            Market::Spot => ("SPOT", "dcp.spot"),
            _ => ("DERIVATIVES", "dcp.future"),
        }
    }

    /// The window that was asked for, as the venue writes it back.
    pub(super) const fn dcp_s(&self) -> Option<u16> {
        self.dcp_s
    }

    /// The JSON object of a request about an order.
    fn write_order(&self, job: &Job, body: &mut Vec<u8>) {
        if let (Job::SetCancelOnDisconnect(_), Some(seconds)) = (job, self.dcp_s) {
            let product = self.dcp_product().0;
            let _ = write!(body, r#"{{"product":"{product}","timeWindow":{seconds}}}"#);
            return;
        }
        put!(body, r#"{"category":""#, self.category, "\"");
        match job {
            Job::Place(request, symbol) => self.write_place(request, symbol, body),
            Job::Cancel(target) => {
                write_target(target, body);
                if target.waits && self.market == Market::Spot {
                    body.extend_from_slice(OF_STOPS);
                }
            }
            Job::Amend {
                target, price, qty, ..
            } => {
                write_target(target, body);
                if let Some(qty) = qty {
                    put!(body, r#","qty":""#, *qty, "\"");
                }
                if let Some(price) = price {
                    put!(body, r#","price":""#, *price, "\"");
                }
            }
            Job::CancelAll { symbol, part } => {
                put!(body, r#","symbol":""#, symbol.as_str(), "\"");
                if *part > 0 {
                    body.extend_from_slice(OF_STOPS);
                }
            }
            _ => {}
        }
        body.push(b'}');
    }

    fn write_place(&self, request: &OrderRequest, symbol: &str, body: &mut Vec<u8>) {
        let side = match request.side {
            Side::Bid => "Buy",
            Side::Ask => "Sell",
        };
        let (kind, time) = match (request.order_type, request.time_in_force) {
            (OrderType::Market, _) => ("Market", "IOC"),
            (OrderType::LimitMaker, _) => ("Limit", "PostOnly"),
            (OrderType::Limit, TimeInForce::Ioc) => ("Limit", "IOC"),
            (OrderType::Limit, TimeInForce::Fok) => ("Limit", "FOK"),
            (OrderType::Limit, _) => ("Limit", "GTC"),
        };
        let (qty, unit) = match request.size {
            Size::Base(qty) => (qty, "baseCoin"),
            Size::Quote(value) => (value, "quoteCoin"),
        };
        put!(body, r#","symbol":""#, symbol, r#"","side":""#, side);
        put!(body, r#"","orderType":""#, kind, r#"","qty":""#, qty);
        put!(body, r#"","timeInForce":""#, time, r#"","orderLinkId":""#);
        put!(body, request.client_order_id.as_str(), "\"");
        if let Some(price) = request.price {
            put!(body, r#","price":""#, price, "\"");
        }
        // "Spot market Buy qty is in quote currency unless marketUnit says baseCoin" (create-order).
        if kind == "Market" && self.market == Market::Spot {
            put!(body, r#","marketUnit":""#, unit, "\"");
        }
        if request.reduce_only && self.market != Market::Spot {
            body.extend_from_slice(br#","reduceOnly":true"#);
        }
        if let Some(stop) = request.stop {
            self.write_stop(request.side, stop, body);
        }
    }

    /// What makes a conditional order of it. Spot's has to be said to be one that holds nothing back of
    /// the balance until it triggers (create-order, `orderFilter`), and waits for the last price.
    fn write_stop(&self, side: Side, stop: Stop, body: &mut Vec<u8>) {
        // 1: "triggered when market price rises to triggerPrice", 2: when it falls.
        let direction = match side {
            Side::Bid => "1",
            Side::Ask => "2",
        };
        put!(body, r#","triggerPrice":""#, stop.price);
        put!(body, r#"","triggerDirection":"#, direction);
        if self.market == Market::Spot {
            body.extend_from_slice(OF_STOPS);
            return;
        }
        let by = match stop.by {
            TriggerBy::Last => "LastPrice",
            TriggerBy::Mark => "MarkPrice",
            TriggerBy::Index => "IndexPrice",
        };
        put!(body, r#","triggerBy":""#, by, "\"");
    }

    /// What a list is of, and where its page begins. Of linear "symbol, baseCoin or settleCoin" has to be
    /// said ("Get open & closed orders"): each of the coins is a list, one behind the other.
    fn write_page(&self, only: Option<&Symbol>, page: Page, query: &mut String) {
        let next = self.lists.get(page);
        let _ = match (only, self.market) {
            (Some(symbol), _) => write!(query, "&symbol={symbol}"),
            (None, Market::Spot) => Ok(()),
            (None, _) => {
                let coin = SETTLE_COINS.get(next.map_or(0, |next| next.coin));
                write!(query, "&settleCoin={}", coin.unwrap_or(&""))
            }
        };
        if let Some(next) = next.filter(|next| !next.cursor.is_empty()) {
            // As the venue has written it: percent-encoded.
            let _ = write!(query, "&cursor={}", next.cursor);
        }
    }

    /// Where the list goes on behind this page, where it does: `cursor` is what the venue says.
    pub(super) fn note_page(&mut self, job: &Job, cursor: Option<&str>) -> bool {
        let (only, page) = match job {
            Job::OpenOrders(only, page) => (only.as_ref(), *page),
            Job::Positions(page) => (None, *page),
            _ => return false,
        };
        let coin = self.lists.get(page).map_or(0, |next| next.coin);
        let has_coins = only.is_none() && self.market != Market::Spot;
        let next = match cursor {
            Some(cursor) => Some(ListNext {
                coin,
                cursor: cursor.to_owned(),
            }),
            None if has_coins && coin + 1 < SETTLE_COINS.len() => Some(ListNext {
                coin: coin + 1,
                cursor: String::new(),
            }),
            None => None,
        };
        let more = next.is_some();
        self.lists.note(page, next);
        more
    }

    /// Path and query of an HTTP request.
    fn target_of(&self, job: &Job) -> (Method, String) {
        let category = self.category;
        let get = |text: String| (Method::Get, text);
        let post = |text: &str| (Method::Post, text.to_owned());
        match job {
            Job::Place(..) => post("/v5/order/create"),
            Job::Cancel(_) => post("/v5/order/cancel"),
            Job::Amend { .. } => post("/v5/order/amend"),
            Job::CancelAll { .. } => post("/v5/order/cancel-all"),
            Job::Lookup(target) => {
                let mut query = format!(
                    "/v5/order/realtime?category={category}&symbol={}",
                    target.symbol
                );
                let by_ours =
                    target.venue.is_empty() || (target.waits && !target.client.is_empty());
                let _ = if by_ours {
                    write!(query, "&orderLinkId={}", target.client)
                } else {
                    write!(query, "&orderId={}", target.venue)
                };
                get(query)
            }
            Job::OpenOrders(only, page) => {
                let mut query = format!("/v5/order/realtime?category={category}");
                self.write_page(only.as_ref(), *page, &mut query);
                query.push_str("&openOnly=0&limit=50");
                get(query)
            }
            Job::Fills {
                symbol,
                since,
                page,
            } => {
                let since = since.as_millis();
                let mut query = format!(
                    "/v5/execution/list?category={category}&symbol={symbol}&startTime={since}&limit=100"
                );
                let next = self.cursor.as_ref();
                if let Some((_, cursor)) = next.filter(|(of, _)| of == symbol && *page > 0) {
                    // As the venue has written it: percent-encoded.
                    let _ = write!(query, "&cursor={cursor}");
                }
                get(query)
            }
            Job::SetCancelOnDisconnect(_) => post("/v5/order/disconnected-cancel-all"),
            Job::CheckCancelOnDisconnect(_) => get("/v5/account/query-dcp-info".to_owned()),
            Job::Balances => get("/v5/account/wallet-balance?accountType=UNIFIED".to_owned()),
            Job::Positions(page) => {
                let mut query = format!("/v5/position/list?category={category}");
                self.write_page(None, *page, &mut query);
                query.push_str("&limit=200");
                get(query)
            }
            Job::Instruments(Some(symbol)) => get(format!(
                "/v5/market/instruments-info?category={category}&symbol={symbol}"
            )),
            Job::Instruments(None) => get(format!(
                "/v5/market/instruments-info?category={category}&limit=1000"
            )),
            _ => get("/v5/market/time".to_owned()),
        }
    }
}

fn write_target(target: &Target, body: &mut Vec<u8>) {
    put!(body, r#","symbol":""#, target.symbol.as_str(), "\"");
    let (name, id) = match target.venue.is_empty() {
        true => (r#","orderLinkId":""#, target.client.as_str()),
        false => (r#","orderId":""#, target.venue.as_str()),
    };
    put!(body, name, id, "\"");
}

impl Dialect for Words {
    fn rules(&self) -> Rules {
        Rules {
            limits: match self.market {
                Market::Spot => &SPOT_LIMITS,
                _ => &LINEAR_LIMITS,
            },
            tolerance: Tolerance {
                ahead_ns: Nanos::from_secs(1),
                behind_ns: Nanos::from_millis(RECV_WINDOW_MS),
            },
            request_life_ns: REQUEST_LIFE_NS,
            has_positions: self.market != Market::Spot,
            heartbeat_ns: Some(PING_INTERVAL),
            listen_key_ns: None,
        }
    }

    fn links(&self) -> &'static [Role] {
        match self.transport {
            Transport::WebSocket => &[Role::Trade, Role::Private],
            Transport::Rest => &[Role::Private],
        }
    }

    fn spec(&self, role: Role, _listen_key: &str) -> LinkSpec {
        match role {
            Role::Trade => self.urls.account_link("/v5/trade"),
            Role::Private => self.urls.account_link("/v5/private"),
        }
    }

    fn prelude(&self, role: Role) -> &'static [Job] {
        match role {
            Role::Trade => &[Job::Login(Role::Trade)],
            // It is armed by the link that listens to it.
            Role::Private if self.dcp_s.is_some() => &[
                Job::Login(Role::Private),
                Job::SetCancelOnDisconnect(Role::Private),
                Job::CheckCancelOnDisconnect(Role::Private),
                Job::Listen(Role::Private),
            ],
            Role::Private => &[Job::Login(Role::Private), Job::Listen(Role::Private)],
        }
    }

    fn way(&self, job: &Job) -> Way {
        let by_link = matches!(self.transport, Transport::WebSocket);
        let spot = self.market == Market::Spot;
        match job {
            Job::Login(role) | Job::Listen(role) | Job::Heartbeat(role) => {
                Way::Link(*role, Lane::Urgent)
            }
            Job::ListenKey | Job::KeepListenKey => Way::None,
            Job::Positions(_) if spot => Way::None,
            Job::Place(request, _) => match (request.size, request.time_in_force) {
                _ if spot && request.stop.is_some_and(|stop| stop.by != TriggerBy::Last) => {
                    Way::None
                }
                (Size::Quote(_), _) if !spot => Way::None,
                (_, TimeInForce::Gtd { .. }) => Way::None,
                _ if by_link => Way::Link(Role::Trade, Lane::Normal),
                _ => Way::Http,
            },
            Job::Cancel(_) if by_link => Way::Link(Role::Trade, Lane::Urgent),
            Job::Amend { .. } if by_link => Way::Link(Role::Trade, Lane::Normal),
            _ => Way::Http,
        }
    }

    fn why_not(&self, job: &Job) -> &'static str {
        match job {
            Job::Place(request, _) if request.stop.is_some() => {
                "stops of spot wait for the last price"
            }
            _ => "the venue has no such request",
        }
    }

    fn weight(&self, _job: &Job) -> u32 {
        1
    }

    fn write_text(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        let key = call.key;
        let op = match call.job {
            Job::Login(_) => {
                let expires = call.at.as_millis() + LOGIN_LIFE_MS;
                let text = expires.to_string();
                let signature = self.signer.sign(&[b"GET/realtime", text.as_bytes()]);
                let name = self.credentials.key();
                let _ = write!(
                    body,
                    r#"{{"req_id":"{key}","op":"auth","args":["{name}",{expires},"{signature}"]}}"#
                );
                return;
            }
            Job::Listen(_) => {
                let positions = match self.market {
                    Market::Spot => "",
                    _ => r#","position""#,
                };
                let dcp = self
                    .dcp_s
                    .map_or(String::new(), |_| format!(r#","{}""#, self.dcp_product().1));
                let _ = write!(
                    body,
                    r#"{{"req_id":"{key}","op":"subscribe","args":["order","execution","wallet"{positions}{dcp}]}}"#
                );
                return;
            }
            Job::Heartbeat(_) => {
                let _ = write!(body, r#"{{"req_id":"{key}","op":"ping"}}"#);
                return;
            }
            Job::Place(..) => "order.create",
            Job::Amend { .. } => "order.amend",
            _ => "order.cancel",
        };
        let at = call.at.as_millis();
        put!(
            body,
            r#"{"reqId":""#,
            key,
            r#"","header":{"X-BAPI-TIMESTAMP":""#,
            at
        );
        put!(
            body,
            r#"","X-BAPI-RECV-WINDOW":""#,
            RECV_WINDOW_MS,
            r#""},"op":""#
        );
        put!(body, op, r#"","args":["#);
        self.write_order(call.job, body);
        body.extend_from_slice(b"]}");
    }

    fn write_request(&self, call: &Call<'_>, body: &mut Vec<u8>) -> HttpRequest {
        let (method, target) = self.target_of(call.job);
        let mut headers = Vec::new();
        if method == Method::Post {
            self.write_order(call.job, body);
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let is_public = matches!(call.job, Job::ServerTime | Job::Instruments(_));
        if !is_public {
            let at = call.at.as_millis().to_string();
            let window = RECV_WINDOW_MS.to_string();
            let key = self.credentials.key();
            // What is signed is what is sent: the query behind the question mark, or the body.
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let payload = if method == Method::Post {
                body.as_slice()
            } else {
                query.as_bytes()
            };
            let parts = [at.as_bytes(), key.as_bytes(), window.as_bytes(), payload];
            let signature = self.signer.sign(&parts).to_string();
            let signed = [
                ("X-BAPI-API-KEY", key.to_owned()),
                ("X-BAPI-TIMESTAMP", at.clone()),
                ("X-BAPI-RECV-WINDOW", window.clone()),
                ("X-BAPI-SIGN", signature),
            ];
            headers.extend(signed.map(|(name, value)| (name.to_owned(), value)));
        }
        HttpRequest {
            id: RequestId(0),
            endpoint: self.urls.rest.clone(),
            method,
            target: format!("{}{target}", self.urls.rest_prefix),
            headers,
            timeout_ns: REST_TIMEOUT,
            body_bytes_max: REST_BODY_BYTES_MAX,
            read_on: match call.job {
                Job::Instruments(_) => ReadOn::Helper,
                _ => ReadOn::Loop,
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

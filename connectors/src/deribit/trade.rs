//! Requests about orders and the account, as Deribit wants them written: JSON-RPC over WebSocket, or
//! the same text by HTTP. (API v2.1.1, its method pages of 2026-03-26; rate limits, 2026-11.)
//!
//! One link serves orders and the account's events: cancel on disconnect covers the orders that were
//! made on a connection, and one that is cut loses both at once. What is asked for to reconcile goes by
//! HTTP, whatever the link does.

use std::io::Write as _;

use secrecy::{ExposeSecret, SecretString};
use tickwire_orderbook::Side;

use crate::error::Error;
use crate::governor::Window;
use crate::instrument::{Market, Symbol};
use crate::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce, TriggerBy};
use crate::time::Nanos;
use crate::trading::Trading;
use crate::trading::dialect::{
    Call, Dialect, Job, Names, Role, Rules, Said, Target, Told, Transport, Way,
};
use crate::trading::limits::{Counts, OrderLimit};
use crate::trading::text::put;
use crate::trading::time_sync::Tolerance;
use crate::transmit::{HttpRequest, Lane, LinkSpec, Method, ReadOn, RequestId, Response};

use super::login::LoginWriter;
use super::symbols::Name;
use super::tape::Reader;
use super::urls::{self, REST_BODY_BYTES_MAX, REST_TIMEOUT, Urls};

/// An order that reaches the matching engine later than this is refused (private/buy, `valid_until`).
const VALID_NS: Nanos = Nanos::from_secs(5);

/// What a clock may be wrong by beside.
const CLOCK_NS: Nanos = Nanos::from_secs(1);

/// A signature holds for a minute (API, "authentication").
const SIGNATURE_NS: Nanos = Nanos::from_secs(60);

/// How often the venue is to look whether we live: the least (public/set_heartbeat). A connection that
/// died without a word is found, and with cancel on disconnect its orders cancelled, after two.
const HEARTBEAT_S: i64 = 10;

/// Two heartbeats that did not come, and half of one for the way: the venue has given us up by then.
const SILENCE_MAX: Nanos = Nanos::from_secs(25);

/// Trades that one answer holds at most (private/get_user_trades_by_instrument).
const TRADES_MAX: usize = 1_000;

/// The lowest tier's credits of the matching engine: 20 requests at once, refilled by 5 a second (rate
/// limits). Who has none is cut off, and his orders cancelled. 10 in any 2 seconds leave half of such a
/// pool to what the way holds up for as long and lets go at once. What the account really has comes with
/// its balances.
const LIMITS: [OrderLimit; 1] = [OrderLimit {
    window: Window {
        max: 10,
        span_ns: Nanos::from_secs(2),
    },
    counts: Counts::Both,
    reserve: 3,
}];

/// Deribit's words for one market of one account.
#[derive(Debug)]
pub(crate) struct Words {
    pub(super) market: Market,
    urls: Urls,
    login: LoginWriter,
    transport: Transport,
    pub(super) cancel_on_disconnect: bool,
    /// Tells our nonces from those of others with the same key.
    salt: u32,
    pub(super) reader: Reader,
    /// Renews the log-in.
    pub(super) refresh_token: Option<SecretString>,
    /// Where the next page of a symbol's trades begins, in ms.
    pub(super) page: Option<(Symbol, i64)>,
    /// Labels that are no order's of the first currency that was asked for.
    pub(super) second: Vec<ClientOrderId>,
}

impl Words {
    pub(super) fn new(urls: Urls, mut login: LoginWriter, trading: &Trading) -> Words {
        Words {
            market: login.market(),
            urls,
            salt: login.salt(),
            login,
            transport: trading.transport,
            cancel_on_disconnect: trading.cancel_on_disconnect.is_wanted(),
            reader: Reader::default(),
            refresh_token: None,
            page: None,
            second: Vec::new(),
        }
    }

    /// The JSON-RPC text of a request.
    fn write_call(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        let quote = if is_told_by_number(call.job) {
            "\""
        } else {
            ""
        };
        let method = self.method(call.job);
        put!(body, r#"{"jsonrpc":"2.0","id":"#, quote, call.key, quote);
        put!(body, r#","method":""#, method, r#"","params":"#);
        self.write_params(call, body);
        body.push(b'}');
    }

    const fn has_stops(&self) -> bool {
        matches!(self.market, Market::Linear | Market::Inverse)
    }

    fn method(&self, job: &Job) -> &'static str {
        match job {
            Job::Login(_) => "public/auth",
            Job::AskHeartbeats(_) => "public/set_heartbeat",
            Job::SetCancelOnDisconnect(_) if self.cancel_on_disconnect => {
                "private/enable_cancel_on_disconnect"
            }
            Job::SetCancelOnDisconnect(_) => "private/disable_cancel_on_disconnect",
            Job::CheckCancelOnDisconnect(_) => "private/get_cancel_on_disconnect",
            Job::Listen(_) => "private/subscribe",
            Job::Place(request, _) => match request.side {
                Side::Bid => "private/buy",
                Side::Ask => "private/sell",
            },
            Job::Cancel(target) if is_by_label(target) => "private/cancel_by_label",
            Job::Cancel(_) => "private/cancel",
            Job::Amend { target, .. } if target.venue.is_empty() => "private/edit_by_label",
            Job::Amend { .. } => "private/edit",
            Job::CancelAll { .. } => "private/cancel_all_by_instrument",
            Job::Lookup(target) if is_by_label(target) => "private/get_order_state_by_label",
            Job::Lookup(_) => "private/get_order_state",
            Job::OpenOrders(Some(_), _) => "private/get_open_orders_by_instrument",
            Job::OpenOrders(None, _) => "private/get_open_orders",
            Job::Fills { .. } => "private/get_user_trades_by_instrument",
            Job::Balances => "private/get_account_summaries",
            Job::Positions(_) => "private/get_positions",
            Job::ServerTime => "public/get_time",
            Job::Instruments(Some(_)) => "public/get_instrument",
            Job::Instruments(None) => "public/get_instruments",
            Job::Heartbeat(_) | Job::DeadMan | Job::ListenKey | Job::KeepListenKey => "public/test",
        }
    }

    fn write_params(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        let kind = urls::kind(self.market).unwrap_or_default();
        // Writing to a Vec can't fail.
        let _ = match call.job {
            Job::Login(_) => {
                let (nonce, token) = (self.nonce(call), self.refresh_token.as_ref());
                let token = token.map(ExposeSecret::expose_secret);
                let session = format!("tickwire-{}-account", self.market);
                return (self.login).write_params(call.at, (&nonce, &session), token, body);
            }
            Job::Place(request, symbol) => {
                return self.write_place(request, symbol, call.at, body);
            }
            Job::Amend { .. } => return write_amend(call, body),
            Job::AskHeartbeats(_) => write!(body, r#"{{"interval":{HEARTBEAT_S}}}"#),
            Job::SetCancelOnDisconnect(_) | Job::CheckCancelOnDisconnect(_) => {
                write!(body, r#"{{"scope":"connection"}}"#)
            }
            Job::Listen(_) => write!(
                body,
                r#"{{"channels":["user.changes.{kind}.any.raw","user.portfolio.any"]}}"#
            ),
            Job::Lookup(target) if is_by_label(target) => write!(
                body,
                r#"{{"currency":"{}","label":"{}"}}"#,
                self.currency_of(target),
                target.client
            ),
            Job::Cancel(target) | Job::Lookup(target) => {
                body.push(b'{');
                write_target(target, body);
                body.push(b'}');
                return;
            }
            Job::CancelAll { symbol, .. } => {
                put!(body, r#"{"instrument_name":""#, symbol.as_str());
                put!(body, r#"","type":"all"}"#);
                return;
            }
            Job::OpenOrders(Some(symbol), _) | Job::Instruments(Some(symbol)) => {
                write!(body, r#"{{"instrument_name":"{symbol}"}}"#)
            }
            Job::OpenOrders(None, _) => write!(body, r#"{{"kind":"{kind}"}}"#),
            Job::Fills {
                symbol,
                since,
                page,
            } => {
                let next = self.page.filter(|(of, _)| of == symbol && *page > 0);
                let since = next.map_or(since.as_millis(), |(_, at)| at);
                write!(
                    body,
                    r#"{{"instrument_name":"{symbol}","start_timestamp":{since},"count":{TRADES_MAX},"sorting":"asc"}}"#
                )
            }
            Job::Positions(_) => write!(body, r#"{{"currency":"any","kind":"{kind}"}}"#),
            _ => write!(body, "{{}}"),
        };
    }

    fn write_place(&self, request: &OrderRequest, symbol: &str, at: Nanos, body: &mut Vec<u8>) {
        let (Size::Base(qty) | Size::Quote(qty)) = request.size;
        let kind = match (request.order_type, request.stop.is_some()) {
            (OrderType::Market, false) => "market",
            (OrderType::Market, true) => "stop_market",
            (OrderType::Limit | OrderType::LimitMaker, false) => "limit",
            (OrderType::Limit | OrderType::LimitMaker, true) => "stop_limit",
        };
        put!(
            body,
            r#"{"instrument_name":""#,
            symbol,
            r#"","amount":"#,
            qty
        );
        put!(body, r#","type":""#, kind, r#"","label":""#);
        put!(body, request.client_order_id.as_str(), "\"");
        if let Some(price) = request.price {
            put!(body, r#","price":"#, price);
        }
        if let Some(stop) = request.stop {
            let by = match stop.by {
                TriggerBy::Last => "last_price",
                TriggerBy::Mark => "mark_price",
                TriggerBy::Index => "index_price",
            };
            put!(body, r#","trigger_price":"#, stop.price);
            put!(body, r#","trigger":""#, by, "\"");
        }
        let time = match request.time_in_force {
            TimeInForce::Ioc => "immediate_or_cancel",
            TimeInForce::Fok => "fill_or_kill",
            TimeInForce::Gtc | TimeInForce::Gtd { .. } => "good_til_cancelled",
        };
        if request.order_type != OrderType::Market {
            put!(body, r#","time_in_force":""#, time, "\"");
        }
        write_post_only(request.order_type, body);
        if request.reduce_only && self.market != Market::Spot {
            body.extend_from_slice(br#","reduce_only":true"#);
        }
        write_valid_until(at, body);
    }

    /// Where an order is looked for by its label. Futures and options are kept by what they settle in;
    /// of spot the pages do not say, so that both of its currencies are asked for, the base first.
    fn currency_of<'a>(&self, target: &'a Target) -> &'a str {
        let Some(name) = Name::of_venue(&target.symbol) else {
            return "any";
        };
        match self.market {
            Market::Spot if self.second.contains(&target.client) => name.quote,
            Market::Spot => name.base,
            _ => name.settle().unwrap_or(name.base),
        }
    }

    /// Good once: the time, the request and who we are.
    fn nonce(&self, call: &Call<'_>) -> String {
        format!("{:x}-{:x}-{:x}", call.at.0, call.key, self.salt)
    }

    /// The query of a request that anybody may make.
    fn public_query(&self, job: &Job) -> Option<String> {
        let kind = urls::kind(self.market).unwrap_or_default();
        match job {
            Job::ServerTime => Some(String::new()),
            Job::Instruments(Some(symbol)) => Some(format!("?instrument_name={symbol}")),
            Job::Instruments(None) => Some(format!("?currency=any&kind={kind}&expired=false")),
            _ => None,
        }
    }
}

/// Whether the answer is a bare number that says how many orders were meant: the id is written as a
/// text there, so that the answer tells itself from others.
pub(super) fn is_told_by_number(job: &Job) -> bool {
    matches!(job, Job::Cancel(target) if is_by_label(target))
}

/// Whether an order is named by its label. A stop is, whatever is known of it: the order that it triggers
/// has another id, and the label of both ("trigger orders too", private/cancel_by_label).
pub(super) fn is_by_label(target: &Target) -> bool {
    target.venue.is_empty() || (target.waits && !target.client.is_empty())
}

fn write_target(target: &Target, body: &mut Vec<u8>) {
    let (name, id) = match is_by_label(target) {
        true => (r#""label":""#, target.client.as_str()),
        false => (r#""order_id":""#, target.venue.as_str()),
    };
    put!(body, name, id, "\"");
}

/// Price and amount are both said, and what is left unsaid would be lost: post-only is a word of each
/// change (private/edit).
fn write_amend(call: &Call<'_>, body: &mut Vec<u8>) {
    let Job::Amend {
        target,
        price,
        qty,
        standing,
        order_type,
        ..
    } = call.job
    else {
        return;
    };
    body.push(b'{');
    write_target(target, body);
    if target.venue.is_empty() {
        put!(
            body,
            r#","instrument_name":""#,
            target.symbol.as_str(),
            "\""
        );
    }
    if let Some(qty) = qty.or(standing.1) {
        put!(body, r#","amount":"#, qty);
    }
    if let Some(price) = price.or(standing.0) {
        put!(body, r#","price":"#, price);
    }
    write_post_only(*order_type, body);
    write_valid_until(call.at, body);
}

/// Always said: the pages differ on what it is where it is not. Without the second word the venue moves
/// the price instead of refusing (private/buy).
fn write_post_only(order_type: OrderType, body: &mut Vec<u8>) {
    body.extend_from_slice(match order_type {
        OrderType::LimitMaker => br#","post_only":true,"reject_post_only":true"#.as_slice(),
        OrderType::Limit => br#","post_only":false"#,
        OrderType::Market => b"",
    });
}

fn write_valid_until(at: Nanos, body: &mut Vec<u8>) {
    let until = (at + VALID_NS).as_millis();
    put!(body, r#","valid_until":"#, until, "}");
}

const fn is_by_link(transport: Transport) -> bool {
    matches!(transport, Transport::WebSocket)
}

impl Dialect for Words {
    fn rules(&self) -> Rules {
        Rules {
            limits: &LIMITS,
            tolerance: Tolerance {
                ahead_ns: SIGNATURE_NS,
                behind_ns: VALID_NS,
            },
            request_life_ns: VALID_NS + CLOCK_NS,
            has_positions: self.market != Market::Spot,
            // The venue asks for them.
            heartbeat_ns: None,
            listen_key_ns: None,
        }
    }

    fn links(&self) -> &'static [Role] {
        &[Role::Private]
    }

    fn spec(&self, _role: Role, _listen_key: &str) -> LinkSpec {
        LinkSpec {
            silence_max_ns: Some(SILENCE_MAX),
            ..self.urls.link()
        }
    }

    fn prelude(&self, _role: Role) -> &'static [Job] {
        const ROLE: Role = Role::Private;
        match self.transport {
            Transport::WebSocket => &[
                Job::Login(ROLE),
                Job::SetCancelOnDisconnect(ROLE),
                Job::CheckCancelOnDisconnect(ROLE),
                Job::AskHeartbeats(ROLE),
                Job::Listen(ROLE),
            ],
            // Orders by HTTP are of no connection.
            Transport::Rest => &[
                Job::Login(ROLE),
                Job::AskHeartbeats(ROLE),
                Job::Listen(ROLE),
            ],
        }
    }

    fn way(&self, job: &Job) -> Way {
        let by_link = is_by_link(self.transport);
        if let Some(role) = job.prelude_of() {
            return Way::Link(role, Lane::Urgent);
        }
        match job {
            Job::Heartbeat(role) => Way::Link(*role, Lane::Urgent),
            Job::DeadMan | Job::ListenKey | Job::KeepListenKey => Way::None,
            Job::Positions(_) if self.market == Market::Spot => Way::None,
            Job::Place(request, _) => match (request.size, request.time_in_force) {
                _ if request.stop.is_some() && !self.has_stops() => Way::None,
                (Size::Quote(_), _) | (_, TimeInForce::Gtd { .. }) => Way::None,
                _ if by_link => Way::Link(Role::Private, Lane::Normal),
                _ => Way::Http,
            },
            Job::Cancel(_) | Job::CancelAll { .. } if by_link => {
                Way::Link(Role::Private, Lane::Urgent)
            }
            Job::Amend { .. } if by_link => Way::Link(Role::Private, Lane::Normal),
            _ => Way::Http,
        }
    }

    fn why_not(&self, job: &Job) -> &'static str {
        match job {
            Job::Place(request, _) if request.stop.is_some() => {
                "stops are placed on futures: of options and spot the venue's pages do not say"
            }
            _ => "the venue has no such request",
        }
    }

    fn weight(&self, _job: &Job) -> u32 {
        1
    }

    fn write_text(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        self.write_call(call, body);
    }

    fn write_request(&self, call: &Call<'_>, body: &mut Vec<u8>) -> HttpRequest {
        let path = format!("/api/v2/{}", self.method(call.job));
        let mut headers = Vec::new();
        let (method, uri) = match self.public_query(call.job) {
            Some(query) => (Method::Get, format!("{path}{query}")),
            None => {
                self.write_call(call, body);
                let signed = ("POST", path.as_str(), body.as_slice());
                let nonce = self.nonce(call);
                let authorization = self.login.authorization(call.at, &nonce, signed);
                let json = "application/json".to_owned();
                headers.push(("Authorization".to_owned(), authorization));
                headers.push(("Content-Type".to_owned(), json));
                (Method::Post, path)
            }
        };
        HttpRequest {
            id: RequestId(0),
            endpoint: self.urls.rest.clone(),
            method,
            target: format!("{}{uri}", self.urls.rest_prefix),
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

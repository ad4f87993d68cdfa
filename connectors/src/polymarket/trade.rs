//! Requests about orders and the account, as Polymarket wants them written: by REST, with the five
//! headers of its API keys ("L2"), and the user channel. (api-reference and
//! market-data/websocket/user-channel, 2026-11.)
//!
//! An order needs a signature of the account's wallet as well, which the [`Wallet`] makes. Orders have
//! no ids of ours; the venue's is the hash of what was signed, which is known before it leaves.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::governor::Window;
use crate::instrument::Symbol;
use crate::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce, VenueOrderId};
use crate::sign::Signer;
use crate::time::Nanos;
use crate::trading::dialect::{Call, Dialect, Job, Names, Role, Rules, Said, Target, Told, Way};
use crate::trading::limits::{Counts, OrderLimit};
use crate::trading::pages::Cursors;
use crate::trading::time_sync::Tolerance;
use crate::transmit::{HttpRequest, Lane, LinkSpec, Method, ReadOn, RequestId, Response};

use super::subscribe::PING;
use super::tape::Reader;
use super::urls::{REST_BODY_BYTES_MAX, REST_TIMEOUT, Urls};
use super::user::{dropped, write_login};
use super::wallet::{SignedOrder, UnsignedOrder, Wallet, amounts};

/// The smallest of the venue's tiers, "Standard" (api-reference/trading-rate-limits): what it refills in a
/// second. Its bursts are left to the venue's headers.
pub(super) const LIMITS: [OrderLimit; 2] =
    [a_second(40, Counts::Orders), a_second(80, Counts::Cancels)];

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

/// The venue does not say how old a request may be. Its time stamps are whole seconds, so that nothing
/// below some of them can matter.
const STAMP_TOLERANCE: Nanos = Nanos::from_secs(5);

/// Nor until when one may still be acted on: longer than the venue's own "about 90 s" of a restart
/// (trading/matching-engine), through which a request may be held.
const REQUEST_LIFE_NS: Nanos = Nanos::from_secs(120);

/// "Missing beats cancel all open orders"; how many, no page says. Third parties send one each 5 s.
const DEAD_MAN_NS: Nanos = Nanos::from_secs(5);

/// Orders whose ids are remembered, as many as the tracker remembers ended ones.
const OURS_MAX: usize = 4_096;

/// Our own orders, by both ids.
#[derive(Debug, Default)]
pub(super) struct Ours {
    by_client: FxHashMap<ClientOrderId, VenueOrderId>,
    by_venue: FxHashMap<VenueOrderId, ClientOrderId>,
    age: VecDeque<ClientOrderId>,
}

impl Ours {
    fn add(&mut self, client: ClientOrderId, venue: VenueOrderId) {
        self.by_client.insert(client, venue);
        self.by_venue.insert(venue, client);
        self.age.push_back(client);
        if self.age.len() > OURS_MAX
            && let Some(oldest) = self.age.pop_front()
            && let Some(venue) = self.by_client.remove(&oldest)
        {
            self.by_venue.remove(&venue);
        }
    }

    /// Our id of an order of the venue's; empty where it is not ours.
    pub(super) fn client(&self, venue: &VenueOrderId) -> ClientOrderId {
        self.by_venue.get(venue).copied().unwrap_or_default()
    }

    /// The venue's id of what is meant.
    fn venue(&self, target: &Target) -> Option<VenueOrderId> {
        if target.venue.is_empty() {
            return self.by_client.get(&target.client).copied();
        }
        Some(target.venue)
    }
}

/// Polymarket's words for one account.
#[derive(Debug)]
pub(crate) struct Words {
    urls: Urls,
    pub(super) credentials: Credentials,
    signer: Signer,
    wallet: Option<Arc<dyn Wallet>>,
    has_dead_man: bool,
    /// What the next heartbeat has to name.
    pub(super) heartbeat_id: String,
    pub(super) reader: Reader,
    /// Where the next page of a token's trades begins.
    pub(super) cursor: Option<(Symbol, String)>,
    /// Where the next pages of lists of orders begin.
    pub(super) lists: Cursors<String>,
    pub(super) ours: Ours,
    /// The order that is about to be written, signed.
    signed: Option<SignedOrder>,
}

impl Words {
    pub(super) fn new(
        urls: Urls,
        credentials: Credentials,
        wallet: Option<Arc<dyn Wallet>>,
        has_dead_man: bool,
    ) -> Result<Words, Error> {
        let refuse = |text: String| Err(Error::ours(ErrorKind::Authentication, text));
        if credentials.passphrase().is_none() || credentials.address().is_none() {
            let text = "trading at Polymarket needs the API key's passphrase and the address that owns \
                        it: set Credentials::with_passphrase and Credentials::with_address";
            return refuse(text.to_owned());
        }
        let signer = match Signer::hmac_base64(credentials.expose_secret()) {
            Ok(signer) => signer,
            Err(bad) => return refuse(bad.to_string()),
        };
        Ok(Words {
            urls,
            credentials,
            signer,
            wallet,
            has_dead_man,
            heartbeat_id: String::new(),
            reader: Reader::default(),
            cursor: None,
            lists: Cursors::default(),
            ours: Ours::default(),
            signed: None,
        })
    }

    /// Method, path and query of a request.
    fn target_of(&self, job: &Job) -> (Method, String) {
        let get = |text: String| (Method::Get, text);
        match job {
            Job::Place(..) => (Method::Post, "/order".to_owned()),
            Job::Cancel(_) => (Method::Delete, "/order".to_owned()),
            Job::CancelAll { .. } => (Method::Delete, "/cancel-market-orders".to_owned()),
            Job::DeadMan => (Method::Post, "/v1/heartbeats".to_owned()),
            Job::Lookup(target) => {
                let id = self.ours.venue(target).unwrap_or_default();
                get(format!("/order/{id}"))
            }
            Job::OpenOrders(only, page) => {
                let token = only.map(|token| format!("asset_id={token}"));
                let next = self.lists.get(*page);
                let next = next.map(|cursor| format!("next_cursor={cursor}"));
                let query: Vec<String> = token.into_iter().chain(next).collect();
                let mark = if query.is_empty() { "" } else { "?" };
                get(format!("/data/orders{mark}{}", query.join("&")))
            }
            Job::Fills {
                symbol,
                since,
                page,
            } => {
                // The page's second itself is not promised to be in it.
                let after = (since.as_millis() / 1_000 - 1).max(0);
                let next = self.cursor.as_ref();
                let next = next.filter(|(of, _)| of == symbol && *page > 0);
                let cursor = next.map_or(String::new(), |(_, at)| format!("&next_cursor={at}"));
                get(format!(
                    "/data/trades?asset_id={symbol}&after={after}{cursor}"
                ))
            }
            Job::Balances => get("/balance-allowance?asset_type=COLLATERAL".to_owned()),
            Job::Instruments(Some(token)) => get(format!("/book?token_id={token}")),
            _ => get("/time".to_owned()),
        }
    }

    fn write_body(&self, job: &Job, body: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = match job {
            Job::Place(request, _) => {
                let Some(signed) = &self.signed else {
                    return;
                };
                let post_only = request.order_type == OrderType::LimitMaker;
                write!(
                    body,
                    r#"{{"order":{},"owner":"{}","orderType":"{}","deferExec":false,"postOnly":{post_only}}}"#,
                    signed.json,
                    self.credentials.key(),
                    word(request.time_in_force),
                )
            }
            Job::Cancel(target) => {
                let id = self.ours.venue(target).unwrap_or_default();
                write!(body, r#"{{"orderID":"{id}"}}"#)
            }
            Job::CancelAll { symbol: token, .. } => {
                write!(body, r#"{{"market":"","asset_id":"{token}"}}"#)
            }
            Job::DeadMan if self.heartbeat_id.is_empty() => {
                write!(body, r#"{{"heartbeat_id":null}}"#)
            }
            Job::DeadMan => write!(body, r#"{{"heartbeat_id":"{}"}}"#, self.heartbeat_id),
            _ => Ok(()),
        };
    }

    /// Whether an order can be written as the wallet signs it.
    fn check_place(&self, request: &OrderRequest) -> Result<(), &'static str> {
        if self.wallet.is_none() {
            return Err(
                "an order at Polymarket is signed by the account's wallet (EIP-712), whose key is not \
                 kept here: set PolymarketConfig::wallet to what signs",
            );
        }
        let (Some(price), Size::Base(qty)) = (request.price, request.size) else {
            return Err(
                "Polymarket has limit orders alone: one that takes is a limit order with IOC or FOK",
            );
        };
        if request.stop.is_some() {
            return Err("Polymarket has no stop orders");
        }
        if request.reduce_only {
            return Err("Polymarket has no reduce-only orders: its tokens are owned, not owed");
        }
        match amounts(request.side, price, qty) {
            Some(_) => Ok(()),
            None => Err("price times quantity has more than the six decimals of the chain"),
        }
    }
}

/// The venue's word for how long an order stands.
const fn word(time: TimeInForce) -> &'static str {
    match time {
        TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "FAK",
        TimeInForce::Fok => "FOK",
        TimeInForce::Gtd { .. } => "GTD",
    }
}

impl Dialect for Words {
    fn rules(&self) -> Rules {
        Rules {
            limits: &LIMITS,
            tolerance: Tolerance {
                ahead_ns: STAMP_TOLERANCE,
                behind_ns: STAMP_TOLERANCE,
            },
            request_life_ns: REQUEST_LIFE_NS,
            has_positions: false,
            heartbeat_ns: Some(self.urls.ping_interval_ns),
            listen_key_ns: None,
        }
    }

    fn links(&self) -> &'static [Role] {
        &[Role::Private]
    }

    fn spec(&self, _role: Role, _listen_key: &str) -> LinkSpec {
        self.urls.user_link()
    }

    /// The keys draw no answer; the one to the first ping shows that they are good.
    fn prelude(&self, _role: Role) -> &'static [Job] {
        &[Job::Login(Role::Private), Job::Listen(Role::Private)]
    }

    fn way(&self, job: &Job) -> Way {
        match job {
            Job::Login(role) | Job::Listen(role) | Job::Heartbeat(role) => {
                Way::Link(*role, Lane::Urgent)
            }
            Job::Place(request, _) if self.check_place(request).is_err() => Way::None,
            Job::Cancel(target) | Job::Lookup(target) if self.ours.venue(target).is_none() => {
                Way::None
            }
            Job::Amend { .. }
            | Job::Positions(_)
            | Job::Instruments(None)
            | Job::ListenKey
            | Job::KeepListenKey => Way::None,
            _ => Way::Http,
        }
    }

    fn why_not(&self, job: &Job) -> &'static str {
        match job {
            Job::Place(request, _) => self.check_place(request).err().unwrap_or_default(),
            Job::Cancel(_) | Job::Lookup(_) => {
                "Polymarket knows orders by its own ids: ours is only known of orders of this run"
            }
            Job::Amend { .. } => "an order at Polymarket is signed, and can't change: cancel it",
            Job::Instruments(None) => {
                "Polymarket has tens of thousands of tokens: ask for one, or use `tickwire markets`"
            }
            _ => "Polymarket has no such request",
        }
    }

    fn is_answered(&self, job: &Job) -> bool {
        !matches!(job, Job::Login(_))
    }

    fn dropped(&self) -> Option<Error> {
        Some(dropped())
    }

    fn tells_balances(&self) -> bool {
        false
    }

    fn dead_man_ns(&self) -> Option<Nanos> {
        self.has_dead_man.then_some(DEAD_MAN_NS)
    }

    fn weight(&self, _job: &Job) -> u32 {
        1
    }

    fn prepare(&mut self, call: &Call<'_>) {
        let (Job::Place(request, token), Some(wallet)) = (call.job, &self.wallet) else {
            return;
        };
        let (Some(price), Size::Base(qty)) = (request.price, request.size) else {
            return;
        };
        let Some((maker_amount, taker_amount)) = amounts(request.side, price, qty) else {
            return;
        };
        let signed = wallet.sign(&UnsignedOrder {
            token: *token,
            side: request.side,
            maker_amount,
            taker_amount,
            timestamp_ms: call.at.as_millis(),
            expiration_s: match request.time_in_force {
                TimeInForce::Gtd { expires_ns } => expires_ns.as_millis() / 1_000,
                _ => 0,
            },
        });
        self.ours.add(request.client_order_id, signed.id);
        self.signed = Some(signed);
    }

    fn write_text(&self, call: &Call<'_>, body: &mut Vec<u8>) {
        match call.job {
            Job::Login(_) => write_login(&self.credentials, body),
            _ => body.extend_from_slice(PING),
        }
    }

    fn write_request(&self, call: &Call<'_>, body: &mut Vec<u8>) -> HttpRequest {
        let (method, target) = self.target_of(call.job);
        let mut headers = Vec::new();
        if method != Method::Get {
            self.write_body(call.job, body);
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let is_public = matches!(call.job, Job::ServerTime | Job::Instruments(_));
        if !is_public {
            let at = (call.at.as_millis() / 1_000).to_string();
            // Without the query (py-clob-client-v2, signing/hmac.py).
            let path = target.split('?').next().unwrap_or_default();
            let parts = [
                at.as_bytes(),
                method.as_str().as_bytes(),
                path.as_bytes(),
                body.as_slice(),
            ];
            let signature = self.signer.sign_base64url(&parts).to_string();
            let keys = &self.credentials;
            let signed = [
                (
                    "POLY_ADDRESS",
                    keys.address().unwrap_or_default().to_owned(),
                ),
                ("POLY_API_KEY", keys.key().to_owned()),
                (
                    "POLY_PASSPHRASE",
                    keys.passphrase().unwrap_or_default().to_owned(),
                ),
                ("POLY_TIMESTAMP", at),
                ("POLY_SIGNATURE", signature),
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
        _names: &dyn Names,
        said: &mut Vec<Said>,
    ) {
        self.read_user(payload, said);
    }

    fn read_response(
        &mut self,
        job: &Job,
        response: Response<'_>,
        _names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        self.read_account(job, response, said)
    }
}

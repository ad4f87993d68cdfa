//! How venues subscribe: the words of each, and how their answers are read.

use std::fmt;
use std::sync::Arc;

use super::error::Class;
use super::json::Envelope;
use super::limit::Feedback;

/// A request for channels, to be put into a venue's words.
#[derive(Clone, Copy, Debug)]
pub struct ChannelRequest<'a> {
    /// Comes back with the answer.
    pub id: u64,
    /// The channels, [`Dialect::batch_max`] at most.
    pub channels: &'a [String],
    /// Whether it is the first on its connection.
    pub is_first: bool,
}

/// What an answer says of the channels of its request. A channel that is in neither list is one of the
/// `rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// These are subscribed.
    pub accepted: Vec<String>,
    /// These are not, and why.
    pub refused: Vec<(String, String)>,
    /// What of the others.
    pub rest: Rest,
}

/// What an answer says of the channels that it does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They are subscribed.
    Accepted,
    /// They are not, and why.
    Refused(String),
    /// They are not, because of one among them: they are asked for again, in halves where the answer
    /// named nobody.
    Again(String),
}

impl Ack {
    /// All are subscribed.
    pub const fn accepted() -> Ack {
        Ack {
            accepted: Vec::new(),
            refused: Vec::new(),
            rest: Rest::Accepted,
        }
    }

    /// The request as a whole is refused.
    pub const fn again(why: String) -> Ack {
        Ack {
            accepted: Vec::new(),
            refused: Vec::new(),
            rest: Rest::Again(why),
        }
    }
}

/// A venue's words for channels. Implement it for a venue that is not here: the client does the rest.
///
/// ```
/// use tickwire::ws::{Ack, ChannelRequest, Dialect, Envelope};
///
/// #[derive(Debug)]
/// struct Mine;
///
/// impl Dialect for Mine {
///     fn name(&self) -> &str {
///         "mine"
///     }
///     fn batch_max(&self) -> usize {
///         10
///     }
///     fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
///         format!(r#"{{"id":{},"join":{:?}}}"#, request.id, request.channels)
///     }
///     fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
///         format!(r#"{{"id":{},"leave":{:?}}}"#, request.id, request.channels)
///     }
///     fn read_ack(&self, answer: &Envelope<'_>) -> Ack {
///         match answer.text("error") {
///             Some(why) => Ack::again(why),
///             None => Ack::accepted(),
///         }
///     }
/// }
/// ```
pub trait Dialect: fmt::Debug + Send + Sync {
    /// For logs.
    fn name(&self) -> &str;

    /// The most channels that a request may carry, at least 1.
    fn batch_max(&self) -> usize;

    /// The request to subscribe.
    fn subscribe(&self, request: &ChannelRequest<'_>) -> String;

    /// The request to unsubscribe.
    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String;

    /// Reads the answer to either.
    fn read_ack(&self, answer: &Envelope<'_>) -> Ack;

    /// Whether requests are answered at all. Where not, what was sent counts as subscribed.
    fn is_acknowledged(&self) -> bool {
        true
    }

    /// Where a request's id stands, and its answer's: the first of these keys that is there.
    fn id_keys(&self) -> &'static [&'static str] {
        &["id"]
    }

    /// Whether this message, which carries no id, answers the request for channels under way.
    fn answers_without_id(&self, message: &Envelope<'_>) -> bool {
        let _ = message;
        false
    }

    /// Why a login was refused, where this answer to it says so.
    fn login_error(&self, answer: &Envelope<'_>) -> Option<String> {
        answer
            .has("error")
            .then(|| answer.raw("error").unwrap_or_default().to_owned())
    }

    /// What a close code means at this venue; `None` where it means what it usually does
    /// ([`FATAL_CLOSE_CODES`](super::FATAL_CLOSE_CODES)).
    fn close_class(&self, code: Option<u16>, text: &str) -> Option<Class> {
        let _ = (code, text);
        None
    }

    /// What a message says about the rate limit.
    fn feedback(&self, message: &Envelope<'_>) -> Option<Feedback> {
        let _ = message;
        None
    }

    /// Whether the venue takes no heartbeat before the first request for channels.
    fn rests_until_subscribed(&self) -> bool {
        false
    }
}

/// The dialect of a venue by the host of its URL; `None` for a host that is not known.
pub fn dialect_of(host: &str) -> Option<Arc<dyn Dialect>> {
    let is_of = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if is_of("deribit.com") {
        Some(Arc::new(Deribit))
    } else if is_of("bybit.com") || is_of("bytick.com") {
        Some(Arc::new(Bybit))
    } else if is_of("binance.com") || is_of("binance.vision") {
        Some(Arc::new(Binance))
    } else if is_of("polymarket.com") {
        Some(Arc::new(Polymarket))
    } else {
        None
    }
}

/// Deribit: JSON-RPC 2.0 (API documentation, 2026-07). The answer lists what was really subscribed: a
/// channel that is not in it is refused. An error refuses the whole request.
#[derive(Clone, Copy, Debug)]
pub struct Deribit;

/// A request that takes 32 KiB at most holds this many of the longest channel names.
const DERIBIT_BATCH_MAX: usize = 250;

impl Deribit {
    fn request(method: &str, request: &ChannelRequest<'_>) -> String {
        // Channels of one's own account are under `private/`, which takes public ones too.
        let is_private = request
            .channels
            .iter()
            .any(|name| name.starts_with("user."));
        let scope = if is_private { "private" } else { "public" };
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"{scope}/{method}","params":{{"channels":{}}}}}"#,
            request.id,
            array(request.channels),
        )
    }
}

impl Dialect for Deribit {
    fn name(&self) -> &str {
        "deribit"
    }

    fn batch_max(&self) -> usize {
        DERIBIT_BATCH_MAX
    }

    fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
        Deribit::request("subscribe", request)
    }

    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
        Deribit::request("unsubscribe", request)
    }

    fn read_ack(&self, answer: &Envelope<'_>) -> Ack {
        if answer.has("error") {
            return Ack::again(rpc_error(answer));
        }
        match answer.texts("result") {
            Some(accepted) => Ack {
                accepted,
                refused: Vec::new(),
                rest: Rest::Refused(
                    "not in the server's answer: no such channel, or no right".to_owned(),
                ),
            },
            None => Ack::accepted(),
        }
    }

    fn login_error(&self, answer: &Envelope<'_>) -> Option<String> {
        answer.has("error").then(|| rpc_error(answer))
    }

    fn feedback(&self, message: &Envelope<'_>) -> Option<Feedback> {
        // 10028 too_many_requests, 10047 matching_engine_queue_full.
        let code = message.object("error")?.number("code")?;
        matches!(code, 10_028 | 10_047).then_some(Feedback::Exceeded)
    }
}

/// Bybit (websocket/wss-authentication, 2026-07): one bad topic refuses the request, and is named.
#[derive(Clone, Copy, Debug)]
pub struct Bybit;

/// "args size > 10" at spot; the other markets state no such limit.
const BYBIT_BATCH_MAX: usize = 10;

impl Bybit {
    fn request(op: &str, request: &ChannelRequest<'_>) -> String {
        let (id, args) = (request.id, array(request.channels));
        format!(r#"{{"req_id":"{id}","op":"{op}","args":{args}}}"#)
    }
}

impl Dialect for Bybit {
    fn name(&self) -> &str {
        "bybit"
    }

    fn batch_max(&self) -> usize {
        BYBIT_BATCH_MAX
    }

    fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
        Bybit::request("subscribe", request)
    }

    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
        Bybit::request("unsubscribe", request)
    }

    fn read_ack(&self, answer: &Envelope<'_>) -> Ack {
        if let Some(data) = answer.object("data") {
            // Options and spreads name each topic.
            let why = "the server has refused it";
            let refused = data.texts("failTopics").unwrap_or_default();
            return Ack {
                accepted: data.texts("successTopics").unwrap_or_default(),
                refused: refused
                    .into_iter()
                    .map(|topic| (topic, why.to_owned()))
                    .collect(),
                rest: Rest::Accepted,
            };
        }
        if answer.raw("success") != Some("false") {
            return Ack::accepted();
        }
        let why = answer.text("ret_msg").unwrap_or_default();
        let mut ack = Ack::again(why.clone());
        if let Some((what, topic)) = why.split_once(",topic:") {
            if what.ends_with("already subscribed") {
                ack.accepted.push(topic.to_owned());
            } else {
                ack.refused.push((topic.to_owned(), what.to_owned()));
            }
        }
        ack
    }

    fn id_keys(&self) -> &'static [&'static str] {
        &["req_id", "reqId", "id"]
    }

    fn answers_without_id(&self, message: &Envelope<'_>) -> bool {
        // Linear acks come with an empty req_id, those of options with none.
        let op = message.text("op");
        matches!(op.as_deref(), Some("subscribe" | "unsubscribe"))
            || message.text("type").as_deref() == Some("COMMAND_RESP")
    }

    fn login_error(&self, answer: &Envelope<'_>) -> Option<String> {
        let is_refused = answer.raw("success") == Some("false")
            || answer.number("retCode").is_some_and(|code| code != 0);
        is_refused.then(|| {
            let text = answer.text("ret_msg").or_else(|| answer.text("retMsg"));
            text.unwrap_or_default()
        })
    }

    fn feedback(&self, message: &Envelope<'_>) -> Option<Feedback> {
        // 10006 "Too many visits!", 10403 too many from this address, 10429 the system is busy.
        let code = message.number("retCode")?;
        matches!(code, 10_006 | 10_403 | 10_429).then_some(Feedback::Exceeded)
    }
}

/// Binance's streams and its WebSocket API (web-socket-streams.md, 2026-07-21).
#[derive(Clone, Copy, Debug)]
pub struct Binance;

/// A connection may have 1,024 streams; with names of 40 bytes so many fit a request of 8 KiB.
const BINANCE_BATCH_MAX: usize = 200;

impl Binance {
    fn request(method: &str, request: &ChannelRequest<'_>) -> String {
        let (id, params) = (request.id, array(request.channels));
        format!(r#"{{"method":"{method}","params":{params},"id":{id}}}"#)
    }
}

impl Dialect for Binance {
    fn name(&self) -> &str {
        "binance"
    }

    fn batch_max(&self) -> usize {
        BINANCE_BATCH_MAX
    }

    fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
        Binance::request("SUBSCRIBE", request)
    }

    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
        Binance::request("UNSUBSCRIBE", request)
    }

    fn read_ack(&self, answer: &Envelope<'_>) -> Ack {
        if answer.has("error") {
            return Ack::again(rpc_error(answer));
        }
        Ack::accepted()
    }

    fn close_class(&self, code: Option<u16>, _: &str) -> Option<Class> {
        // 1008 is how Binance ends connections that are too slow or too old, and before maintenance.
        (code == Some(1008)).then_some(Class::Recoverable)
    }

    fn feedback(&self, message: &Envelope<'_>) -> Option<Feedback> {
        if let Some(error) = message.object("error") {
            let limit = matches!(error.number("code"), Some(-1003 | -1015));
            return limit.then_some(Feedback::Exceeded);
        }
        // The WebSocket API counts for us: `rateLimits`, of which REQUEST_WEIGHT is ours.
        let limits: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(message.raw("rateLimits")?).ok()?;
        limits.into_iter().find_map(|limit| {
            let limit = Envelope::read(limit.get())?;
            let is_weight = limit.text("rateLimitType").as_deref() == Some("REQUEST_WEIGHT");
            let used = is_weight.then(|| limit.number("count")).flatten()?;
            u32::try_from(used).ok().map(Feedback::Used)
        })
    }
}

/// Polymarket's market channel (market-data/websocket, 2026-07): nothing is answered, and a heartbeat
/// before the first request is a reason to close.
#[derive(Clone, Copy, Debug)]
pub struct Polymarket;

/// Others run 200 to 250 assets a connection; beyond 500 no book comes.
const POLYMARKET_BATCH_MAX: usize = 200;

impl Dialect for Polymarket {
    fn name(&self) -> &str {
        "polymarket"
    }

    fn batch_max(&self) -> usize {
        POLYMARKET_BATCH_MAX
    }

    fn subscribe(&self, request: &ChannelRequest<'_>) -> String {
        let ids = array(request.channels);
        if request.is_first {
            format!(r#"{{"assets_ids":{ids},"type":"market"}}"#)
        } else {
            format!(r#"{{"assets_ids":{ids},"operation":"subscribe"}}"#)
        }
    }

    fn unsubscribe(&self, request: &ChannelRequest<'_>) -> String {
        let ids = array(request.channels);
        format!(r#"{{"assets_ids":{ids},"operation":"unsubscribe"}}"#)
    }

    fn read_ack(&self, _: &Envelope<'_>) -> Ack {
        Ack::accepted()
    }

    fn is_acknowledged(&self) -> bool {
        false
    }

    fn rests_until_subscribed(&self) -> bool {
        true
    }
}

fn array(channels: &[String]) -> String {
    serde_json::Value::from(channels).to_string()
}

/// `{"error":{"code":13009,"message":"unauthorized","data":{"reason":..}}}`
fn rpc_error(answer: &Envelope<'_>) -> String {
    let Some(error) = answer.object("error") else {
        return answer.raw("error").unwrap_or_default().to_owned();
    };
    let text = error.text("message").or_else(|| error.text("msg"));
    let code = error.raw("code").unwrap_or_default();
    format!("{} ({code})", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_venue_is_asked_in_its_own_words() {
        let channels = names(&["a\"b", "c"]);
        let private = names(&["user.orders.any.any.raw"]);
        let ask = |is_first| ChannelRequest {
            id: 7,
            channels: &channels,
            is_first,
        };
        let of_account = ChannelRequest {
            id: 8,
            channels: &private,
            is_first: true,
        };
        #[rustfmt::skip]
        let table = [
            (Deribit.subscribe(&ask(true)), r#"{"jsonrpc":"2.0","id":7,"method":"public/subscribe","params":{"channels":["a\"b","c"]}}"#),
            (Deribit.subscribe(&of_account), r#"{"jsonrpc":"2.0","id":8,"method":"private/subscribe","params":{"channels":["user.orders.any.any.raw"]}}"#),
            (Deribit.unsubscribe(&ask(false)), r#"{"jsonrpc":"2.0","id":7,"method":"public/unsubscribe","params":{"channels":["a\"b","c"]}}"#),
            (Bybit.subscribe(&ask(true)), r#"{"req_id":"7","op":"subscribe","args":["a\"b","c"]}"#),
            (Bybit.unsubscribe(&ask(true)), r#"{"req_id":"7","op":"unsubscribe","args":["a\"b","c"]}"#),
            (Binance.subscribe(&ask(true)), r#"{"method":"SUBSCRIBE","params":["a\"b","c"],"id":7}"#),
            (Binance.unsubscribe(&ask(true)), r#"{"method":"UNSUBSCRIBE","params":["a\"b","c"],"id":7}"#),
            (Polymarket.subscribe(&ask(true)), r#"{"assets_ids":["a\"b","c"],"type":"market"}"#),
            (Polymarket.subscribe(&ask(false)), r#"{"assets_ids":["a\"b","c"],"operation":"subscribe"}"#),
            (Polymarket.unsubscribe(&ask(false)), r#"{"assets_ids":["a\"b","c"],"operation":"unsubscribe"}"#),
        ];
        for (text, expected) in table {
            assert_eq!(text, expected);
            assert!(Envelope::read(&text).is_some(), "{text} is JSON");
        }
    }

    #[test]
    fn answers_are_read_as_the_venues_mean_them() {
        let again = |why: &str| Ack::again(why.to_owned());
        let named = |topic: &str, why: &str, text: &str| Ack {
            refused: vec![(topic.to_owned(), why.to_owned())],
            ..again(text)
        };
        let bad = "error:handler not found,topic:x.NOPE";
        #[rustfmt::skip]
        let table: [(&dyn Dialect, &str, Ack); 9] = [
            (&Deribit, r#"{"id":7,"result":["a"]}"#, Ack { accepted: names(&["a"]), refused: vec![],
                rest: Rest::Refused("not in the server's answer: no such channel, or no right".to_owned()) }),
            (&Deribit, r#"{"id":7,"error":{"code":13778,"message":"raw_subscriptions_not_available_for_unauthorized"}}"#,
                again("raw_subscriptions_not_available_for_unauthorized (13778)")),
            (&Bybit, r#"{"success":true,"ret_msg":"","req_id":"","op":"subscribe"}"#, Ack::accepted()),
            (&Bybit, r#"{"success":false,"ret_msg":"error:handler not found,topic:x.NOPE","req_id":"7","op":"subscribe"}"#,
                named("x.NOPE", "error:handler not found", bad)),
            (&Bybit, r#"{"success":false,"ret_msg":"error:already subscribed,topic:x.A","op":"subscribe"}"#,
                Ack { accepted: names(&["x.A"]), ..again("error:already subscribed,topic:x.A") }),
            (&Bybit, r#"{"success":true,"data":{"failTopics":["b"],"successTopics":["a"]},"type":"COMMAND_RESP"}"#,
                Ack { accepted: names(&["a"]), refused: vec![("b".to_owned(), "the server has refused it".to_owned())], rest: Rest::Accepted }),
            (&Binance, r#"{"result":null,"id":7}"#, Ack::accepted()),
            (&Binance, r#"{"error":{"code":2,"msg":"Invalid request"},"id":7}"#, again("Invalid request (2)")),
            (&Polymarket, "{}", Ack::accepted()),
        ];
        for (dialect, text, expected) in table {
            let answer = Envelope::read(text).expect("an object");
            assert_eq!(
                dialect.read_ack(&answer),
                expected,
                "{}: {text}",
                dialect.name()
            );
        }
    }

    #[test]
    fn what_venues_say_about_our_rate_is_heard() {
        #[rustfmt::skip]
        let table: [(&dyn Dialect, &str, Option<Feedback>); 7] = [
            (&Deribit, r#"{"error":{"code":10028,"message":"too_many_requests"}}"#, Some(Feedback::Exceeded)),
            (&Deribit, r#"{"error":{"code":10009,"message":"not_enough_funds"}}"#, None),
            (&Bybit, r#"{"retCode":10006,"retMsg":"Too many visits!"}"#, Some(Feedback::Exceeded)),
            (&Bybit, r#"{"retCode":0}"#, None),
            (&Binance, r#"{"error":{"code":-1003,"msg":"Too many requests"}}"#, Some(Feedback::Exceeded)),
            (&Binance, r#"{"id":1,"rateLimits":[{"rateLimitType":"ORDERS","count":1},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","limit":6000,"count":70}]}"#, Some(Feedback::Used(70))),
            (&Polymarket, "{}", None),
        ];
        for (dialect, text, expected) in table {
            let message = Envelope::read(text).expect("an object");
            assert_eq!(dialect.feedback(&message), expected, "{text}");
        }
    }

    #[test]
    fn a_dialect_is_known_by_its_host_and_no_other() {
        let table = [
            ("www.deribit.com", Some("deribit")),
            ("test.deribit.com", Some("deribit")),
            ("stream.bybit.com", Some("bybit")),
            ("stream.binance.com", Some("binance")),
            ("ws-api.testnet.binance.vision", Some("binance")),
            ("ws-subscriptions-clob.polymarket.com", Some("polymarket")),
            ("notderibit.com", None),
            ("deribit.com.evil.example", None),
            ("127.0.0.1", None),
        ];
        for (host, expected) in table {
            let found = dialect_of(host);
            assert_eq!(
                found.as_ref().map(|dialect| dialect.name()),
                expected,
                "{host}"
            );
        }
    }
}

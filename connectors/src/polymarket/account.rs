//! What the venue says of the account: messages of the user channel, and answers of REST about orders,
//! trades and balances. (api-reference and market-data/websocket/user-channel, 2026-11.)

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::Amount;

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::instrument::Currency;
use crate::order::{Balance, Fill, OrderUpdate};
use crate::time::Nanos;
use crate::trading::dialect::{Job, Said, Told};
use crate::transmit::Response;

use super::subscribe::PONG;
use super::tape;
use super::trade::{LIMITS, Ours, Words};
use super::{codes, user};

/// The cursor behind the last page: "-1" in base64.
const LAST_PAGE: &str = "LTE=";

/// Decimals of the amounts that the chain counts in.
const UNIT_DECIMALS: u8 = 6;

/// What the account pays with.
const COLLATERAL: &str = "pUSD";

impl Words {
    /// A message of the user channel.
    pub(super) fn read_user(&mut self, payload: &mut [u8], said: &mut Vec<Said>) {
        if payload == PONG {
            let (key, result) = (None, Ok(Told::Done));
            said.push(Said::Answer { key, result });
            return;
        }
        if !matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return;
        }
        let (key, ours) = (self.credentials.key(), &self.ours);
        self.reader.read(payload, |message| {
            tape::each(&message, |object| match user::kind(object) {
                Some(user::Kind::Trade) => {
                    user::fills(object, key, |fill| {
                        said.push(Said::Fill(named_fill(fill, ours)))
                    });
                }
                Some(user::Kind::Order) => {
                    let order = user::order(object).map(|order| named_order(order, ours));
                    said.extend(order.map(Said::Order));
                }
                None => {}
            });
        });
    }

    /// The answer to a request by REST.
    pub(super) fn read_account(
        &mut self,
        job: &Job,
        response: Response<'_>,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        let index = match job {
            Job::Place(..) => Some(0),
            Job::Cancel(_) => Some(1),
            _ => None,
        };
        // What is left of a second's worth may be below zero.
        let left = response.header("poly-ratelimit-remaining");
        let left = left.and_then(|left| left.trim().parse::<i64>().ok());
        if let (Some(index), Some(..=0)) = (index, left) {
            let used = LIMITS.get(index).map_or(0, |limit| limit.window.max);
            said.push(Said::Used { index, used });
        }
        let status = response.status;
        let (key, ours) = (self.credentials.key().to_owned(), &self.ours);
        let (cursor, heartbeat_id) = (&mut self.cursor, &mut self.heartbeat_id);
        let lists = &mut self.lists;
        let read = self.reader.read(response.body, |answer| {
            if let Some(text) = refusal(&answer, status) {
                return Some(Err(codes::error(Some(status), &text)));
            }
            if let Job::Fills { symbol, .. } = job {
                let next = next_page(&answer);
                *cursor = next.map(|next| (*symbol, next.to_owned()));
            }
            if let Job::OpenOrders(_, page) = job {
                lists.note(*page, next_page(&answer).map(str::to_owned));
            }
            if let (Job::DeadMan, Some(id)) = (job, user::text(&answer, "heartbeat_id")) {
                id.clone_into(heartbeat_id);
            }
            if let Some(why) = not_canceled(job, &answer) {
                return Some(Err(codes::error(None, why)));
            }
            read(job, &answer, &key, ours).map(Ok)
        });
        match read.flatten() {
            Some(told) => told,
            // No JSON, or not what was asked for.
            None if status != 200 => Err(codes::error(Some(status), "")),
            None => Err(unreadable()),
        }
    }
}

/// Why the venue refused, where it did.
fn refusal(answer: &Value<'_, '_>, status: u16) -> Option<String> {
    let text = |key: &str| user::text(answer, key).filter(|text| !text.is_empty());
    let told = text("error").or_else(|| text("errorMsg"));
    let failed = answer.get("success").and_then(|success| success.as_bool()) == Some(false);
    let is_refused = status != 200 || failed || told.is_some();
    is_refused.then(|| told.unwrap_or_default().to_owned())
}

/// Why the order that was to be cancelled was not: `{"canceled":[],"not_canceled":{"0x..":"reason"}}`.
fn not_canceled<'input>(job: &Job, answer: &Value<'_, 'input>) -> Option<&'input str> {
    let Job::Cancel(_) = job else {
        return None;
    };
    let left = answer.get("not_canceled")?.into_object()?;
    let (_, why) = left.iter().next()?;
    why.into_string()
}

fn unreadable() -> Error {
    Error {
        // It was a success, of whatever it was.
        outcome: Outcome::Unknown,
        ..Error::venue(
            ErrorKind::BadResponse,
            Next::AfterResync,
            None,
            "the answer could not be read",
        )
    }
}

fn next_page<'input>(answer: &Value<'_, 'input>) -> Option<&'input str> {
    let next = user::text(answer, "next_cursor")?;
    // It goes into a request as it is.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=-_".contains(&byte);
    let is_next = !next.is_empty() && next != LAST_PAGE && next.bytes().all(is_plain);
    is_next.then_some(next)
}

/// `None` where the answer can't be read.
fn read(job: &Job, answer: &Value<'_, '_>, key: &str, ours: &Ours) -> Option<Told> {
    Some(match job {
        Job::Place(..) => Told::Accepted {
            venue: crate::wide::cut(user::text(answer, "orderID")?),
        },
        Job::OpenOrders(..) => {
            let list = answer.get("data")?.into_array()?;
            // One that can't be read would be taken for gone.
            let orders = list.iter().map(|order| user::order(&order));
            let orders: Vec<OrderUpdate> = orders.collect::<Option<_>>()?;
            let standing = orders.into_iter().filter(|order| !order.status.is_final());
            let standing = standing.map(|order| named_order(order, ours)).collect();
            let more = next_page(answer).is_some() && list.iter().next().is_some();
            Told::Orders(standing, more)
        }
        Job::Lookup(_) => Told::Order(Box::new(named_order(user::order(answer)?, ours))),
        Job::Fills { .. } => {
            let list = answer.get("data")?.into_array()?;
            let mut fills = Vec::new();
            for trade in list.iter() {
                user::fills(&trade, key, |fill| fills.push(named_fill(fill, ours)));
            }
            Told::Fills(
                fills,
                next_page(answer).is_some() && list.iter().next().is_some(),
            )
        }
        Job::Balances => {
            let total = units(user::text(answer, "balance")?)?;
            Told::Balances(vec![Balance {
                currency: Currency::from(COLLATERAL).ok()?,
                total,
                // What orders hold back is not told.
                available: total,
                exch_ns: Nanos::ZERO,
            }])
        }
        Job::ServerTime => Told::Time(Nanos::from_secs(i64::try_from(answer.as_u64()?).ok()?)),
        _ => Told::Done,
    })
}

/// Millionths as a whole number; one that has a point is in dollars already.
fn units(text: &str) -> Option<Amount> {
    let amount = Amount::parse(text.as_bytes()).ok()?;
    if text.contains('.') {
        return Some(amount);
    }
    Amount::new(amount.mantissa(), UNIT_DECIMALS)
}

fn named_order(order: OrderUpdate, ours: &Ours) -> OrderUpdate {
    OrderUpdate {
        client_order_id: ours.client(&order.venue_order_id),
        ..order
    }
}

fn named_fill(fill: Fill, ours: &Ours) -> Fill {
    Fill {
        client_order_id: ours.client(&fill.venue_order_id),
        ..fill
    }
}

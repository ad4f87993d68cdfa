//! Answers of REST about orders and the account. (v5 "Trade", "Position", "Account", 2026-07-24.)

use simd_json::prelude::*;
use simd_json::tape::{Object, Value};

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::order::{OrderStatus, OrderUpdate};
use crate::time::Nanos;
use crate::trading::dialect::{Job, Names, Said, Told};
use crate::transmit::Response;

use super::codes;
use super::private::{millis_of, order_id, read_coins, read_fill, read_order, read_position, text};
use super::trade::Words;

impl Words {
    pub(super) fn read_account(
        &mut self,
        job: &Job,
        response: Response<'_>,
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        let number = |name: &str| response.header(name)?.trim().parse::<u32>().ok();
        if let (Some(limit), Some(left)) = (number("x-bapi-limit"), number("x-bapi-limit-status")) {
            let index = match job {
                Job::Place(..) => Some(0),
                Job::Cancel(_) => Some(1),
                _ => None,
            };
            let used = limit.saturating_sub(left);
            said.extend(index.map(|index| Said::Used { index, used }));
        }
        let status = response.status;
        if status != 200 {
            return Err(codes::status(status));
        }
        let dcp = (self.dcp_product().0, self.dcp_s());
        let (category, cursor) = (self.category, &mut self.cursor);
        let mut next_page = None;
        let read = self.reader.read(response.body, |root| {
            let root = root.as_object()?;
            let code = root.get("retCode")?.as_i64()?;
            if code != 0 {
                let words = text(&root, "retMsg").unwrap_or_default();
                return Some(Err(codes::error(code, words)));
            }
            let result = root.get("result")?.as_object()?;
            if matches!(job, Job::CheckCancelOnDisconnect(_)) {
                return Some(check_dcp(&result, dcp));
            }
            if let Job::Fills { symbol, .. } = job {
                let next = cursor_of(&result);
                *cursor = next.map(|next| (*symbol, next.to_owned()));
            }
            next_page = cursor_of(&result).map(str::to_owned);
            read(category, job, &root, &result, names).transpose()
        });
        let unreadable = || Error {
            // It was a success, of whatever it was.
            outcome: Outcome::Unknown,
            ..Error::venue(
                ErrorKind::BadResponse,
                Next::AfterResync,
                None,
                "the answer could not be read",
            )
        };
        let told = read.flatten().unwrap_or_else(|| Err(unreadable()))?;
        let more = self.note_page(job, next_page.as_deref());
        Ok(match told {
            Told::Orders(orders, _) => Told::Orders(orders, more),
            Told::Positions(positions, _) => Told::Positions(positions, more),
            told => told,
        })
    }
}

/// Whether cancel on disconnect is on, and with the window that was asked for.
fn check_dcp(
    result: &Object<'_, '_>,
    (product, seconds): (&str, Option<u16>),
) -> Result<Told, Error> {
    let list = result.get("dcpInfos").and_then(|list| list.as_array());
    let is_armed = list.is_some_and(|list| {
        let mut entries = list.iter().filter_map(|entry| entry.as_object());
        entries.any(|entry| {
            let window = text(&entry, "timeWindow").and_then(|window| window.parse().ok());
            text(&entry, "product") == Some(product)
                && text(&entry, "dcpStatus") == Some("ON")
                && window == seconds
        })
    });
    if is_armed {
        return Ok(Told::Done);
    }
    let text = "Bybit says that cancel on disconnect is not as it was asked for";
    Err(Error::venue(ErrorKind::Permission, Next::Never, None, text))
}

/// `None` where the answer can't be read.
fn read(
    category: &str,
    job: &Job,
    root: &Object<'_, '_>,
    result: &Object<'_, '_>,
    names: &dyn Names,
) -> Result<Option<Told>, Error> {
    let list = || result.get("list").and_then(|list| list.as_array());
    let is_ours = |entry: &Object<'_, '_>| text(entry, "category").is_none_or(|of| of == category);
    let told = (|| {
        Some(match job {
            Job::Place(..) => Told::Accepted {
                venue: order_id(result)?,
            },
            Job::OpenOrders(..) => {
                let list = list()?;
                // One that can't be read would be taken for gone.
                let entries = list.iter().filter(|entry| is_named(entry, names));
                let orders = entries.map(|entry| read_order(&entry.as_object()?, names));
                let orders: Vec<_> = orders.collect::<Option<_>>()?;
                let standing = orders.into_iter().filter(|order| !order.status.is_final());
                Told::Orders(standing.collect(), false)
            }
            Job::Fills { .. } => {
                let list = list()?;
                let entries = list.iter().filter_map(|entry| entry.as_object());
                let ours = entries.filter(is_ours);
                let fills = ours.filter_map(|entry| read_fill(&entry, names)).collect();
                let next = cursor_of(result).is_some();
                Told::Fills(fills, next && list.iter().next().is_some())
            }
            Job::Balances => {
                let mut balances = Vec::new();
                let at = millis_of(root, "time");
                for wallet in list()?.iter().filter_map(|wallet| wallet.as_object()) {
                    read_coins(&wallet, at, |balance| balances.push(balance));
                }
                balances.retain(|balance| !balance.total.is_zero());
                Told::Balances(balances)
            }
            Job::Positions(_) => {
                let list = list()?;
                let entries = list.iter().filter_map(|entry| entry.as_object());
                let held = entries.filter_map(|entry| read_position(&entry, names));
                Told::Positions(held.filter(|held| !held.qty.is_zero()).collect(), false)
            }
            // Spot's conditional orders are another request.
            Job::CancelAll { part: 0, .. } if category == "spot" => Told::Further,
            Job::ServerTime => Told::Time(Nanos(text(result, "timeNano")?.parse().ok()?)),
            Job::Lookup(_) => {
                let list = list()?;
                let orders = list
                    .iter()
                    .filter_map(|entry| read_order(&entry.as_object()?, names));
                Told::Orders(orders.collect(), false)
            }
            _ => Told::Done,
        })
    })();
    match told {
        // An order that is not there is an empty list here.
        Some(Told::Orders(orders, _)) if matches!(job, Job::Lookup(_)) => match newest(&orders) {
            Some(order) => Ok(Some(Told::Order(Box::new(*order)))),
            None => Err(Error::venue(
                ErrorKind::OrderNotFound,
                Next::Never,
                None,
                "the venue has no such order",
            )),
        },
        told => Ok(told),
    }
}

/// Where the next page begins, where there is one and this one has something. It goes into a request as it
/// is.
fn cursor_of<'input>(result: &Object<'_, 'input>) -> Option<&'input str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%=:".contains(&byte);
    let next = text(result, "nextPageCursor")?;
    let has_some = result.get("list")?.as_array()?.iter().next().is_some();
    (has_some && !next.is_empty() && next.bytes().all(is_plain)).then_some(next)
}

/// Whether an entry is of an instrument that has a name here: others are not traded here.
fn is_named(entry: &Value<'_, '_>, names: &dyn Names) -> bool {
    let symbol = entry.as_object().and_then(|entry| text(&entry, "symbol"));
    symbol.is_none_or(|symbol| names.instrument(symbol).is_some())
}

/// Of a stop that was numbered anew the venue may know both: the one that does not wait says more.
fn newest(orders: &[OrderUpdate]) -> Option<&OrderUpdate> {
    let waits = |order: &&OrderUpdate| order.status == OrderStatus::Untriggered;
    orders.iter().min_by_key(waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bybit::tape::Reader;

    #[test]
    fn cancel_on_disconnect_counts_as_armed_where_the_venue_says_so() {
        let entry = |product: &str, status: &str, window: &str| {
            format!(r#"{{"product":"{product}","dcpStatus":"{status}","timeWindow":"{window}"}}"#)
        };
        let table = [
            (entry("SPOT", "ON", "10"), true),
            (
                entry("OPTIONS", "OFF", "10") + "," + &entry("SPOT", "ON", "10"),
                true,
            ),
            (entry("SPOT", "OFF", "10"), false),
            (entry("SPOT", "ON", "40"), false),
            (entry("DERIVATIVES", "ON", "10"), false),
            (String::new(), false),
        ];
        for (entries, is_armed) in table {
            let mut result = format!(r#"{{"dcpInfos":[{entries}]}}"#).into_bytes();
            let told = Reader::default().read(&mut result, |result| {
                let result = result.as_object().expect("an object");
                check_dcp(&result, ("SPOT", Some(10)))
            });
            assert_eq!(told.expect("JSON").is_ok(), is_armed, "{entries}");
        }
    }
}

//! Answers by HTTP about orders and the account. (API v2.1.1, its method pages of 2026-03-26.)

use simd_json::prelude::*;
use simd_json::tape::Value;

use crate::error::{Error, Outcome};
use crate::instrument::Market;
use crate::order::OrderUpdate;
use crate::time::Nanos;
use crate::trading::dialect::{Job, Names, Said, Target, Told};
use crate::transmit::Response;

use super::codes;
use super::private::{
    clock, is_told, millis, no_such_order, read_balance, read_error, read_fill, read_limit,
    read_order, read_position, text, unreadable,
};
use super::tape::{integer, number_text};
use super::trade::{Words, is_by_label, is_told_by_number};

/// Labels of look-ups under way; more are only asked for again from the start.
const SECOND_MAX: usize = 1_024;

impl Words {
    pub(super) fn read_account(
        &mut self,
        job: &Job,
        response: Response<'_>,
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        // Errors come with status 400, as far as was seen, and say more in their bodies.
        if !matches!(response.status, 200 | 400) {
            return Err(codes::status(response.status));
        }
        let (market, page) = (self.market, &mut self.page);
        let read = self.reader.read(response.body, |answer| {
            said.extend(clock(&answer));
            if let Some(error) = answer.get("error") {
                return Some(Err(read_error(&error, said)));
            }
            let result = answer.get("result")?;
            if let Job::Fills { symbol, .. } = job {
                *page = last_trade(&result).map(|at| (*symbol, at));
            }
            read(job, &result, market, names, said).map(Ok)
        });
        let told = read.flatten().unwrap_or_else(|| {
            Err(Error {
                // It was a success, of whatever it was.
                outcome: Outcome::Unknown,
                ..unreadable()
            })
        })?;
        match (job, told) {
            (Job::Lookup(target), Told::Orders(orders, _)) => self.looked_up(target, &orders),
            (job, Told::Orders(orders, _)) if is_told_by_number(job) && orders.is_empty() => {
                Err(no_such_order())
            }
            (_, told) => Ok(told),
        }
    }

    /// A label was looked for.
    fn looked_up(&mut self, target: &Target, orders: &[OrderUpdate]) -> Result<Told, Error> {
        let known = self.second.iter().position(|label| *label == target.client);
        if let Some(index) = known {
            self.second.swap_remove(index);
        }
        // Labels need not be unique; ours are, and the newest is the one that counts.
        match orders.iter().max_by_key(|order| order.exch_ns) {
            Some(order) => Ok(Told::Order(Box::new(*order))),
            None if self.market == Market::Spot
                && known.is_none()
                && self.second.len() < SECOND_MAX =>
            {
                self.second.push(target.client);
                Ok(Told::Further)
            }
            None => Err(no_such_order()),
        }
    }
}

/// When the last trade of a page was, where another page follows.
fn last_trade(result: &Value<'_, '_>) -> Option<i64> {
    let more = result.get("has_more")?.as_bool()?;
    let trades = result.get("trades")?.as_array()?;
    let last = trades.iter().last()?;
    let first = trades.iter().next()?;
    let (from, to) = (millis(&first, "timestamp"), millis(&last, "timestamp"));
    // A page that begins where it ends would come again for ever.
    (more && from < to).then_some(to.as_millis())
}

/// `None` where the answer can't be read.
fn read(
    job: &Job,
    result: &Value<'_, '_>,
    market: Market,
    names: &dyn Names,
    said: &mut Vec<Said>,
) -> Option<Told> {
    let is_ours = |entry: &Value<'_, '_>| {
        let name = text(entry, "instrument_name");
        name.is_some_and(|name| names.instrument(name).is_some())
    };
    Some(match job {
        Job::Place(..) | Job::Amend { .. } => {
            Told::Order(Box::new(read_order(&result.get("order")?, names)?))
        }
        Job::Cancel(_) if is_told_by_number(job) => match number_text(result)? {
            "0" => Told::Orders(Vec::new(), false),
            _ => Told::Done,
        },
        Job::Cancel(_) => Told::Order(Box::new(read_order(result, names)?)),
        Job::Lookup(target) if !is_by_label(target) => {
            Told::Order(Box::new(read_order(result, names)?))
        }
        // One that can't be read would be taken for gone; one of another market is not ours.
        Job::OpenOrders(..) | Job::Lookup(_) => {
            let list = result.as_array()?;
            let ours = list.iter().filter(is_ours).filter(is_told);
            let orders = ours.map(|entry| read_order(&entry, names));
            let mut orders: Vec<_> = orders.collect::<Option<_>>()?;
            if matches!(job, Job::OpenOrders(..)) {
                orders.retain(|order| !order.status.is_final());
            }
            Told::Orders(orders, false)
        }
        Job::Fills { .. } => {
            let trades = result.get("trades")?;
            let trades = trades.as_array()?;
            let fills = trades.iter().map(|entry| read_fill(&entry, names));
            let fills: Vec<_> = fills.collect::<Option<_>>()?;
            Told::Fills(fills, last_trade(result).is_some())
        }
        Job::Balances => {
            let summaries = result.get("summaries")?;
            let summaries = summaries.as_array()?;
            let first = summaries.iter().next();
            said.extend(first.and_then(|entry| read_limit(&entry, market)));
            let balances = summaries.iter().map(|entry| read_balance(&entry));
            let mut balances: Vec<_> = balances.collect::<Option<_>>()?;
            balances.retain(|balance| !balance.total.is_zero());
            Told::Balances(balances)
        }
        Job::Positions(_) => {
            let list = result.as_array()?;
            let ours = list.iter().filter(is_ours);
            let held = ours.map(|entry| read_position(&entry, names));
            let mut held: Vec<_> = held.collect::<Option<_>>()?;
            held.retain(|held| !held.qty.is_zero());
            Told::Positions(held, false)
        }
        Job::ServerTime => Told::Time(Nanos::from_millis(integer(result)?)),
        _ => Told::Done,
    })
}

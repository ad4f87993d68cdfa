//! Answers of REST about orders and the account. (rest-api.md, 2026-07-21; USDS-M "Account", "Trade".)

use simd_json::prelude::ValueAsScalar as _;
use simd_json::tape::Object;

use crate::error::{Error, ErrorKind, Next};
use crate::instrument::Market;
use crate::order::{Balance, Fill, Liquidity, Settlement};
use crate::scan::ScanError;
use crate::time::Nanos;
use crate::trading::dialect::{Job, Names, Said, Told};
use crate::transmit::Response;

use super::algo;
use super::codes;
use super::private::{
    amount, currency, id_text, millis, position_of, price, qty, read_order, side, spot_balance,
    text,
};
use super::tape::{Json, rest_error};
use super::trade::{FILLS_MAX, Words};

impl Words {
    pub(super) fn read_account(
        &mut self,
        job: &Job,
        response: Response<'_>,
        names: &dyn Names,
        said: &mut Vec<Said>,
    ) -> Result<Told, Error> {
        let number = |name: &str| response.header(name)?.trim().parse::<u32>().ok();
        let weight = number("x-mbx-used-weight-1m").or_else(|| number("x-mbx-used-weight"));
        said.extend(weight.map(Said::Weight));
        let day = number("x-mbx-order-count-1d").or_else(|| number("x-mbx-order-count-1m"));
        for (index, used) in [(0, number("x-mbx-order-count-10s")), (1, day)] {
            said.extend(used.map(|used| Said::Used { index, used }));
        }
        let (status, market) = (response.status, self.market);
        if status != 200 {
            let told = self.reader.read(response.body, |root| Ok(rest_error(root)));
            let (code, words) = told.ok().flatten().unzip();
            let words = words.unwrap_or_else(|| format!("HTTP {status}"));
            if let Job::Lookup(target) = job {
                self.becomes.forget(target);
            }
            return Err(codes::error(status, code, words));
        }
        let is_of_algo = self.is_of_algo(job);
        let (next_fill, becomes) = (&mut self.next_fill, &mut self.becomes);
        let read = self.reader.read(response.body, |root| {
            if let Job::Fills { symbol, .. } = job {
                let last = root.as_array().and_then(|list| list.iter().last());
                let last = last.and_then(|fill| fill.as_object()?.get("id")?.as_i64());
                *next_fill = last.map(|id| (*symbol, id.saturating_add(1)));
            }
            if let Job::Lookup(target) = job
                && target.waits
                && market != Market::Spot
            {
                let told = root
                    .as_object()
                    .and_then(|object| Words::looked_up(becomes, target, &object, names));
                return told.ok_or_else(|| super::parse::missing(0, "an order"));
            }
            read((market, is_of_algo), job, root, names)
                .ok_or_else(|| super::parse::missing(0, "an answer"))
        });
        read.map_err(|bad: ScanError| {
            let text = format!("the answer could not be read: {bad}");
            // It was a success, of whatever it was.
            Error {
                outcome: crate::Outcome::Unknown,
                ..Error::venue(ErrorKind::BadResponse, Next::AfterResync, None, text)
            }
        })
    }
}

fn read(
    (market, is_of_algo): (Market, bool),
    job: &Job,
    root: Json<'_, '_>,
    names: &dyn Names,
) -> Option<Told> {
    let is_spot = market == Market::Spot;
    Some(match job {
        Job::Place(..) if is_of_algo => {
            Told::Order(Box::new(algo::read(&root.as_object()?, names)?))
        }
        // The conditional ones are another request.
        Job::CancelAll { part: 0, .. } if !is_spot => Told::Further,
        // `{"algoId","clientAlgoId","code","msg"}`: the stream tells.
        Job::Cancel(_) if is_of_algo => Told::Done,
        Job::Place(..) | Job::Cancel(_) | Job::Lookup(_) => {
            Told::Order(Box::new(read_order(&root.as_object()?, names)?))
        }
        Job::Amend { .. } => {
            let object = root.as_object()?;
            let inner = object
                .get("amendedOrder")
                .and_then(|order| order.as_object());
            Told::Order(Box::new(read_order(
                inner.as_ref().unwrap_or(&object),
                names,
            )?))
        }
        Job::OpenOrders(..) => {
            let entries = root.as_array()?;
            // One that can't be read would be taken for gone.
            let orders = entries.iter().map(|entry| {
                let entry = entry.as_object()?;
                match is_of_algo {
                    true => algo::read(&entry, names),
                    false => read_order(&entry, names),
                }
            });
            // The conditional ones of futures are the second page.
            Told::Orders(orders.collect::<Option<_>>()?, !is_spot && !is_of_algo)
        }
        Job::Fills { .. } => {
            let entries = root.as_array()?;
            let fills = entries
                .iter()
                .map(|entry| read_fill(&entry.as_object()?, names));
            let fills: Vec<_> = fills.collect::<Option<_>>()?;
            let is_full = fills.len() >= FILLS_MAX;
            Told::Fills(fills, is_full)
        }
        Job::Balances if market == Market::Spot => {
            let object = root.as_object()?;
            let exch_ns = millis(&object, "updateTime");
            let entries = object.get("balances")?.as_array()?;
            let keys = ("asset", "free", "locked");
            let balances = entries
                .iter()
                .map(|entry| spot_balance(&entry.as_object()?, keys, exch_ns));
            Told::Balances(balances.collect::<Option<_>>()?)
        }
        Job::Balances => {
            let entries = root.as_array()?;
            let balances = entries.iter().map(|entry| {
                let entry = entry.as_object()?;
                Some(Balance {
                    currency: currency(&entry, "asset")?,
                    total: amount(&entry, "balance")?,
                    available: amount(&entry, "availableBalance")?,
                    exch_ns: millis(&entry, "updateTime"),
                })
            });
            Told::Balances(balances.collect::<Option<_>>()?)
        }
        Job::Positions(_) => {
            let entries = root.as_array()?;
            let keys = (
                "symbol",
                "positionAmt",
                "entryPrice",
                "unRealizedProfit",
                "positionSide",
            );
            let positions = entries.iter().filter_map(|entry| {
                let entry = entry.as_object()?;
                position_of(&entry, keys, millis(&entry, "updateTime"), names)
            });
            Told::Positions(
                positions.filter(|held| !held.qty.is_zero()).collect(),
                false,
            )
        }
        Job::ServerTime => {
            let server = root.as_object()?.get("serverTime")?.as_i64()?;
            Told::Time(Nanos::from_millis(server))
        }
        Job::ListenKey | Job::KeepListenKey => {
            let object = root.as_object()?;
            match text(&object, "listenKey") {
                Some(key) => Told::ListenKey(key.to_owned()),
                None => Told::Done,
            }
        }
        _ => Told::Done,
    })
}

/// Of myTrades (`isBuyer`, `isMaker`) or userTrades (`side`, `maker`).
fn read_fill(entry: &Object<'_, '_>, names: &dyn Names) -> Option<Fill> {
    let flag = |key: &str| entry.get(key).and_then(|value| value.as_bool());
    let side = match flag("isBuyer") {
        Some(true) => tickwire_orderbook::Side::Bid,
        Some(false) => tickwire_orderbook::Side::Ask,
        None => side(entry, "side")?,
    };
    Some(Fill {
        instrument: names.instrument(text(entry, "symbol")?)?.key,
        client_order_id: Default::default(),
        venue_order_id: id_text(entry, "orderId")?,
        trade_id: id_text(entry, "id")?,
        side,
        price: price(entry, "price")?,
        qty: qty(entry, "qty")?,
        fee: amount(entry, "commission"),
        fee_currency: currency(entry, "commissionAsset").unwrap_or_default(),
        liquidity: match flag("isMaker").or_else(|| flag("maker")) {
            Some(true) => Liquidity::Maker,
            Some(false) => Liquidity::Taker,
            None => Liquidity::Unknown,
        },
        settlement: Settlement::Final,
        exch_ns: millis(entry, "time"),
    })
}

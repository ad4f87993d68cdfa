//! `tickwire order`

use serde_json::{Value, json};
use tickwire::connectors::InstrumentKey;
use tickwire::connectors::order::{
    ClientOrderId, OrderRequest, OrderType, OrderUpdate, Size, Stop, TimeInForce, TriggerBy,
    VenueOrderId,
};
use tickwire::connectors::trading::{OrderId, OrderRef};
use tickwire::driver::Driver;
use tickwire::{Price, Qty, Side, Symbol};

use super::Failure;
use super::account::{Access, Connected, print};

/// Place, cancel and see orders: on the testnet unless told otherwise. Prints one JSON object a line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Place an order
    Place(Box<Place>),
    /// Cancel an order
    Cancel(One),
    /// Show an order
    Status(One),
    /// Show the orders that stand
    Open(Many),
    /// Cancel the orders that stand
    CancelAll(Many),
}

#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    access: Access,
    /// Unified ("BTC/USDT") or the venue's own
    #[arg(long)]
    symbol: String,
    #[arg(long, value_parser = ["buy", "sell"])]
    side: String,
    /// In base currency or contracts
    #[arg(long)]
    qty: String,
    /// Limit price; a market order without one
    #[arg(long)]
    price: Option<String>,
    /// Wait for this price: a buy for one at or above it, a sell for one at or below
    #[arg(long, value_name = "PRICE")]
    stop_price: Option<String>,
    /// Which price that is
    #[arg(long, requires = "stop_price", default_value = "last", value_parser = ["last", "mark", "index"])]
    stop_by: String,
    /// Only as maker
    #[arg(long, requires = "price", conflicts_with = "time_in_force")]
    post_only: bool,
    #[arg(long, default_value = "gtc", value_parser = ["gtc", "ioc", "fok"])]
    time_in_force: String,
    /// Only to make a position smaller
    #[arg(long)]
    reduce_only: bool,
    /// Our id; the same id again never makes a second order
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    access: Access,
    /// Unified ("BTC/USDT") or the venue's own
    #[arg(long)]
    symbol: String,
    /// Our id
    #[arg(long, value_name = "ID", required_unless_present = "venue_id")]
    id: Option<String>,
    /// The venue's id
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    venue_id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Many {
    #[command(flatten)]
    access: Access,
    /// Only of this symbol
    #[arg(long)]
    symbol: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Place(place) => place.run(),
        What::Cancel(one) => {
            let order = one.order()?;
            let Connected { mut driver, within } = one.access.connect()?;
            let order = driver.cancel_order(&order, within)?;
            print(&order.iter().map(line).collect::<Vec<_>>())
        }
        What::Status(one) => {
            let order = one.order()?;
            let Connected { mut driver, within } = one.access.connect()?;
            print(&[line(&driver.order(&order, within)?)])
        }
        What::Open(many) => {
            let Connected { mut driver, within } = many.access.connect()?;
            let orders = driver.open_orders(many.symbol.as_deref(), within)?;
            print(&orders.iter().map(line).collect::<Vec<_>>())
        }
        What::CancelAll(many) => {
            let Connected { mut driver, within } = many.access.connect()?;
            driver.cancel_all(many.symbol.as_deref(), within)?;
            let left = driver.open_orders(many.symbol.as_deref(), within)?;
            print(&[json!({"type": "summary", "open": left.len()})])
        }
    }
}

impl Place {
    fn run(&self) -> Result<(), Failure> {
        let qty = number(Qty::parse(self.qty.as_bytes()), "--qty", &self.qty)?;
        let price_of = |text: &Option<String>, option| match text {
            Some(text) => number(Price::parse(text.as_bytes()), option, text).map(Some),
            None => Ok(None),
        };
        let price = price_of(&self.price, "--price")?;
        let by = match self.stop_by.as_str() {
            "mark" => TriggerBy::Mark,
            "index" => TriggerBy::Index,
            _ => TriggerBy::Last,
        };
        let stop = price_of(&self.stop_price, "--stop-price")?;
        let given = self.id.as_deref().map(|id| fit::<36>(id, "--id"));
        let mut request = OrderRequest {
            instrument: InstrumentKey {
                venue: self.access.venue(),
                market: self.access.market(),
                symbol: fit(&self.symbol, "--symbol")?,
            },
            side: if self.side == "buy" {
                Side::Bid
            } else {
                Side::Ask
            },
            order_type: match price {
                None => OrderType::Market,
                Some(_) if self.post_only => OrderType::LimitMaker,
                Some(_) => OrderType::Limit,
            },
            size: Size::Base(qty),
            price,
            stop: stop.map(|price| Stop { price, by }),
            time_in_force: match self.time_in_force.as_str() {
                "ioc" => TimeInForce::Ioc,
                "fok" => TimeInForce::Fok,
                _ => TimeInForce::Gtc,
            },
            reduce_only: self.reduce_only,
            client_order_id: ClientOrderId::new(),
        };
        let given = given.transpose()?;
        let Connected { mut driver, within } = self.access.connect()?;
        request.client_order_id = given.unwrap_or_else(|| driver.next_order_id());
        print(&[line(&driver.place_order(&request, within)?)])
    }
}

impl One {
    fn order(&self) -> Result<OrderRef, Failure> {
        let id = match (&self.id, &self.venue_id) {
            (Some(id), _) => OrderId::Client(fit(id, "--id")?),
            (None, Some(id)) => OrderId::Venue(fit(id, "--venue-id")?),
            (None, None) => OrderId::Venue(VenueOrderId::new()),
        };
        let symbol: Symbol = fit(&self.symbol, "--symbol")?;
        Ok(OrderRef { symbol, id })
    }
}

fn fit<const N: usize>(text: &str, option: &str) -> Result<arrayvec::ArrayString<N>, Failure> {
    let too_long = || Failure::Failed(format!("{option} has at most {N} bytes").into());
    arrayvec::ArrayString::from(text).map_err(|_| too_long())
}

fn number<T, E: std::fmt::Display>(
    parsed: Result<T, E>,
    option: &str,
    text: &str,
) -> Result<T, Failure> {
    parsed.map_err(|error| Failure::Failed(format!("{option} {text:?}: {error}").into()))
}

fn line(order: &OrderUpdate) -> Value {
    json!({
        "type": "order",
        "symbol": order.instrument.symbol.as_str(),
        "client_order_id": order.client_order_id.as_str(),
        "venue_order_id": order.venue_order_id.as_str(),
        "side": if order.side == Side::Bid { "buy" } else { "sell" },
        "order_type": order.order_type.as_str(),
        "price": order.price.map(|price| price.plain().to_string()),
        "stop_price": order.stop.map(|stop| stop.price.plain().to_string()),
        "qty": order.qty.map(|qty| qty.plain().to_string()),
        "filled": order.filled.plain().to_string(),
        "status": order.status.as_str(),
    })
}

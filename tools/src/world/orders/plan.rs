//! What a seed means: which venues and ways to trade, what each trader does when, and what goes wrong.
//! Everything that can be left out is an item in one list, so that a failing run can be made smaller.

use std::fmt;

use fastrand::Rng;
use tickwire::connectors::trading::Transport;
use tickwire::driver::Capabilities;
use tickwire::testing::names;
use tickwire::testing::sim::{
    Fault, FaultKind, FaultPlan, FaultRates, FaultScript, Planned, SimVenue, VenueSpec,
};
use tickwire::{Side, Venue};

use crate::world::plan::{Weather, listed};
use crate::world::{MS, SECOND};

/// Upgrades that a venue refuses in a run: the wait grows with each.
const REFUSALS_MAX: u32 = 4;

/// Faults that orders meet beside [`FaultKind::ORDERS`]: of links, of HTTP, of clocks, of the venue.
pub(super) const LINK_FAULTS: [FaultKind; 10] = [
    FaultKind::Drop,
    FaultKind::HalfOpen,
    FaultKind::Trickle,
    FaultKind::CutMidFrame,
    FaultKind::HugeHeader,
    FaultKind::RefuseUpgrade,
    FaultKind::RestStatus,
    FaultKind::ClockSkew,
    FaultKind::Kill,
    FaultKind::Restart,
];

/// A venue's market and a way to trade there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The venue's market.
    pub sim: SimVenue,
    /// How orders travel.
    pub transport: Transport,
    /// By an Ed25519 key, with which Binance's links log in once, instead of an HMAC key.
    pub ed25519: bool,
}

/// Every venue, market and way to trade that the driver says it can, but Polymarket: what is ordered there
/// is signed by a wallet, settled on a chain, and has tests of its own.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for sim in SimVenue::ALL {
        let (venue, market) = names(sim);
        for transport in [Transport::WebSocket, Transport::Rest] {
            let can = Capabilities::of(venue, market, transport);
            let is_on_chain = venue == Venue::Polymarket;
            if !can.orders
                || is_on_chain
                || (transport == Transport::WebSocket && !can.websocket_orders)
            {
                continue;
            }
            for ed25519 in [false, true] {
                if !ed25519 || venue == Venue::Binance {
                    rows.push(Row {
                        sim,
                        transport,
                        ed25519,
                    });
                }
            }
        }
    }
    rows
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::WebSocket => "websocket",
            Transport::Rest => "rest",
        };
        let key = if self.ed25519 { " ed25519" } else { "" };
        write!(f, "{} {transport}{key}", self.sim.slug())
    }
}

/// A run as its seed has it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) desks: Vec<DeskPlan>,
    pub(super) items: Vec<Item>,
    /// Faults and commands end here.
    pub(super) active_ns: i64,
}

/// One account and its trader.
#[derive(Clone, Debug)]
pub(super) struct DeskPlan {
    pub(super) row: Row,
    pub(super) symbols: Vec<String>,
    pub(super) rate: u32,
    /// Over a ring, not inline.
    pub(super) seat: Option<SeatPlan>,
}

/// How a trader over a ring behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatPlan {
    pub(super) wide_events: usize,
    /// It wakes this long after something came at the latest.
    pub(super) sleep_max_ns: i64,
}

impl DeskPlan {
    pub(super) fn spec(&self) -> VenueSpec {
        let symbols: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        VenueSpec::of(self.row.sim)
            .symbols(&symbols)
            .rate_msgs_s(self.rate)
            .levels(25)
            .history(1 << 10)
            .sent_ring(2)
            .demo_account()
    }
}

/// What kind of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Limit,
    PostOnly,
    Ioc,
    Fok,
    Market,
    /// A market order for an amount of the quote currency.
    MarketByValue,
    /// Waits until the market comes to its place, and is a market order then.
    StopMarket,
    /// The same, and a limit order at its place.
    StopLimit,
}

/// Where a price lies, in ticks from the best of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the best price of its own side.
    Behind(i64),
    /// Beyond the best price of the other side.
    Across(i64),
}

/// A new quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resize {
    Half,
    Double,
}

/// What an order is to be, as far as the market need not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Which of the trader's instruments.
    pub(super) symbol: usize,
    pub(super) side: Side,
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// In multiples of about the smallest order that the venue takes.
    pub(super) size: i64,
    pub(super) reduce_only: bool,
    /// A cancel goes out right behind it.
    pub(super) and_cancel: bool,
}

/// What a trader does at a moment. `nth` counts the orders that it takes to stand, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Place(Order),
    Cancel {
        nth: usize,
    },
    Amend {
        nth: usize,
        place: Option<Place>,
        resize: Option<Resize>,
    },
    CancelAll {
        symbol: Option<usize>,
    },
    /// The same request once more, of any order that was ever placed.
    Again {
        nth: usize,
    },
    /// Has an order looked up.
    Look {
        nth: usize,
    },
    /// Has orders, balances and positions listed.
    List,
    Kill,
    Release,
}

/// Something that can be left out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Deed {
        at_ns: i64,
        desk: usize,
        deed: Deed,
    },
    Fault(Planned),
    Weather {
        at_ns: i64,
        venue: SimVenue,
        weather: Weather,
    },
}

impl Item {
    const fn at_ns(&self) -> i64 {
        match self {
            Item::Fault(planned) => planned.at_ns,
            Item::Deed { at_ns, .. } | Item::Weather { at_ns, .. } => *at_ns,
        }
    }
}

impl Plan {
    /// The run of this seed.
    pub(super) fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let active_ns = rng.i64(6..20) * SECOND;
        let mut all = rows();
        rng.shuffle(&mut all);
        let mut desks: Vec<DeskPlan> = Vec::new();
        for row in all {
            // One account a venue's market.
            if desks.len() < 1 + rng.usize(0..2) && desks.iter().all(|one| one.row.sim != row.sim) {
                desks.push(desk_plan(row, &mut rng));
            }
        }
        let mut items = Vec::new();
        for (desk, plan) in desks.iter().enumerate() {
            items.extend(deeds(desk, plan, active_ns, &mut rng));
        }
        let faults = faults(&desks, active_ns, &mut rng);
        items.extend(faults.entries().iter().cloned().map(Item::Fault));
        items.extend(weather(&desks, active_ns, &mut rng));
        Plan {
            seed,
            desks,
            items,
            active_ns,
        }
    }

    /// The same run with these items alone (by place, rising) and an earlier end.
    pub(super) fn shortened(&self, keep: Option<&[usize]>, until_ns: Option<i64>) -> Plan {
        let mut plan = self.clone();
        if let Some(keep) = keep {
            let kept = keep.iter().filter_map(|place| self.items.get(*place));
            plan.items = kept.cloned().collect();
        }
        if let Some(until_ns) = until_ns {
            plan.active_ns = plan.active_ns.min(until_ns);
            plan.items.retain(|item| item.at_ns() <= until_ns);
        }
        plan
    }

    pub(super) fn faults(&self) -> FaultScript {
        let planned = self.items.iter().filter_map(|item| match item {
            Item::Fault(planned) => Some(planned),
            _ => None,
        });
        planned.fold(FaultScript::default(), |script, one| {
            script.at(one.at_ns, one.venue, one.fault.clone())
        })
    }

    /// What the network does, by time.
    pub(super) fn weather(&self) -> Vec<(i64, SimVenue, Weather)> {
        let weather = self.items.iter().filter_map(|item| match item {
            Item::Weather {
                at_ns,
                venue,
                weather,
            } => Some((*at_ns, *venue, *weather)),
            _ => None,
        });
        let mut all: Vec<_> = weather.collect();
        all.sort_by_key(|(at_ns, ..)| *at_ns);
        all
    }

    /// What a trader does, by time.
    pub(super) fn deeds(&self, of: usize) -> Vec<(i64, Deed)> {
        let deeds = self.items.iter().filter_map(|item| match item {
            Item::Deed { at_ns, desk, deed } if *desk == of => Some((*at_ns, *deed)),
            _ => None,
        });
        let mut all: Vec<_> = deeds.collect();
        all.sort_by_key(|(at_ns, _)| *at_ns);
        all
    }
}

fn desk_plan(row: Row, rng: &mut Rng) -> DeskPlan {
    let mut bases = ["BTC", "ETH", "XRP"];
    rng.shuffle(&mut bases);
    let bases = &bases[..1 + rng.usize(0..2)];
    DeskPlan {
        row,
        symbols: bases.iter().map(|base| listed(row.sim, base)).collect(),
        rate: rng.u32(10..80),
        seat: (rng.u8(..3) == 0).then(|| SeatPlan {
            wide_events: rng.usize(24..512),
            sleep_max_ns: rng.i64(1..200) * MS,
        }),
    }
}

fn deeds(desk: usize, plan: &DeskPlan, active_ns: i64, rng: &mut Rng) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = |at_ns: i64, deed: Deed| items.push(Item::Deed { at_ns, desk, deed });
    // Some trade at the pace that the venue allows, some slowly enough for each to end alone.
    let mean_ns = [150, 400, 1_000][rng.usize(..3)] * MS;
    let mut now = 0;
    loop {
        now += rng.i64(MS..2 * mean_ns);
        if now >= active_ns {
            break;
        }
        at(now, deed(plan, rng));
    }
    if rng.u8(..6) == 0 {
        let killed_ns = rng.i64(active_ns / 4..active_ns);
        at(killed_ns, Deed::Kill);
        if rng.u8(..3) > 0 {
            at(rng.i64(killed_ns..active_ns), Deed::Release);
        }
    }
    items
}

fn deed(plan: &DeskPlan, rng: &mut Rng) -> Deed {
    let nth = rng.usize(..8);
    match rng.u8(..32) {
        0..18 => Deed::Place(order(plan, rng)),
        18..24 => Deed::Cancel { nth },
        24..27 => {
            let place = rng.bool().then(|| self::place(rng));
            let half = rng.bool();
            let resize = (place.is_none() || rng.bool()).then_some(if half {
                Resize::Half
            } else {
                Resize::Double
            });
            Deed::Amend { nth, place, resize }
        }
        27 => Deed::CancelAll {
            symbol: rng.bool().then(|| rng.usize(..plan.symbols.len())),
        },
        28..30 => Deed::Again {
            nth: rng.usize(..40),
        },
        30 => Deed::Look { nth },
        _ => Deed::List,
    }
}

fn place(rng: &mut Rng) -> Place {
    match rng.u8(..4) {
        // At the best price, where the market comes soon.
        0 => Place::Behind(0),
        1 => Place::Behind(rng.i64(1..20)),
        2 => Place::Behind(rng.i64(20..400)),
        _ => Place::Across(rng.i64(0..20)),
    }
}

fn order(plan: &DeskPlan, rng: &mut Rng) -> Order {
    let (venue, market) = names(plan.row.sim);
    let can = Capabilities::of(venue, market, plan.row.transport);
    let kind = match rng.u8(..12) {
        1 if can.stops => Kind::StopMarket,
        2 if can.stops => Kind::StopLimit,
        0..5 => Kind::Limit,
        5..7 => Kind::PostOnly,
        7 => Kind::Ioc,
        8 => Kind::Fok,
        9 if can.quote_qty => Kind::MarketByValue,
        9..11 => Kind::Market,
        _ => Kind::Limit,
    };
    Order {
        symbol: rng.usize(..plan.symbols.len()),
        side: if rng.bool() { Side::Bid } else { Side::Ask },
        kind,
        place: place(rng),
        size: match rng.u8(..16) {
            // More than the account can pay.
            0 => 100_000,
            // More than one level has.
            1..6 => rng.i64(50..2_000),
            _ => rng.i64(1..50),
        },
        reduce_only: can.reduce_only && rng.u8(..6) == 0,
        and_cancel: rng.u8(..6) == 0,
    }
}

/// Some runs have few kinds of faults, and often; the others a little of everything.
fn faults(desks: &[DeskPlan], active_ns: i64, rng: &mut Rng) -> FaultScript {
    let kinds = [FaultKind::ORDERS, &LINK_FAULTS].concat();
    let mut rates = FaultRates::none();
    if rng.bool() {
        for _ in 0..1 + rng.usize(0..3) {
            let of_orders = rng.u8(..3) > 0;
            let from = if of_orders {
                FaultKind::ORDERS
            } else {
                &LINK_FAULTS
            };
            rates = rates.per_minute(from[rng.usize(..from.len())], 20.0);
        }
    } else {
        for kind in kinds {
            let per_minute = if kind.is_about_orders() { 6.0 } else { 1.5 };
            rates = rates.per_minute(kind, per_minute);
        }
    }
    let listed: Vec<(SimVenue, Vec<String>)> = desks
        .iter()
        .map(|plan| (plan.row.sim, plan.symbols.clone()))
        .collect();
    let drawn = FaultPlan::random(rng.u64(..), rates).into_script(&listed, active_ns);
    let mut refusals: Vec<(SimVenue, u32)> = Vec::new();
    let mut script = FaultScript::default();
    for one in drawn.entries() {
        if let Fault::RefuseUpgrade { times, .. } = &one.fault {
            let of_venue = refusals.iter().filter(|(venue, _)| *venue == one.venue);
            let before: u32 = of_venue.map(|(_, times)| times).sum();
            if before + times > REFUSALS_MAX {
                continue;
            }
            refusals.push((one.venue, *times));
        }
        script = script.at(one.at_ns, one.venue, one.fault.clone());
    }
    script
}

/// One run in three has a network that does something.
fn weather(desks: &[DeskPlan], active_ns: i64, rng: &mut Rng) -> Vec<Item> {
    if rng.u8(..3) > 0 {
        return Vec::new();
    }
    let one = |rng: &mut Rng| Item::Weather {
        at_ns: rng.i64(0..active_ns),
        venue: desks[rng.usize(..desks.len())].row.sim,
        weather: if rng.bool() {
            Weather::Cut
        } else {
            let for_ns = rng.i64(50..6_000) * MS;
            Weather::Hold { for_ns }
        },
    };
    (0..rng.usize(1..4)).map(|_| one(rng)).collect()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Behind(ticks) => write!(f, "{ticks} ticks behind the best price"),
            Place::Across(ticks) => write!(f, "{ticks} ticks across"),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Place(order) => {
                let side = match order.side {
                    Side::Bid => "buy",
                    Side::Ask => "sell",
                };
                let Order {
                    symbol,
                    kind,
                    place,
                    size,
                    ..
                } = order;
                write!(f, "{side} {size} of #{symbol} {kind:?} {place}")?;
                if order.reduce_only {
                    f.write_str(", reduce only")?;
                }
                if order.and_cancel {
                    f.write_str(", and cancel")?;
                }
                Ok(())
            }
            Deed::Cancel { nth } => write!(f, "cancel #{nth}"),
            Deed::Amend { nth, place, resize } => {
                write!(f, "amend #{nth}")?;
                if let Some(place) = place {
                    write!(f, " to {place}")?;
                }
                match resize {
                    Some(Resize::Half) => f.write_str(", half of it"),
                    Some(Resize::Double) => f.write_str(", twice of it"),
                    None => Ok(()),
                }
            }
            Deed::CancelAll { symbol: None } => f.write_str("cancel all"),
            Deed::CancelAll { symbol: Some(one) } => write!(f, "cancel all of #{one}"),
            Deed::Again { nth } => write!(f, "place #{nth} again"),
            Deed::Look { nth } => write!(f, "look up #{nth}"),
            Deed::List => f.write_str("list orders, balances, positions"),
            Deed::Kill => f.write_str("kill"),
            Deed::Release => f.write_str("release"),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: &i64| *ns as f64 / SECOND as f64;
        match self {
            Item::Deed { at_ns, desk, deed } => {
                write!(f, "trader {desk} at {:.3}s: {deed}", seconds(at_ns))
            }
            Item::Fault(one) => {
                let script = FaultScript::default().at(one.at_ns, one.venue, one.fault.clone());
                write!(f, "fault {script}")
            }
            Item::Weather {
                at_ns,
                venue,
                weather,
            } => write!(
                f,
                "network at {:.3}s: {} {weather:?}",
                seconds(at_ns),
                venue.slug()
            ),
        }
    }
}

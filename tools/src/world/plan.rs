//! What a seed means: which venues, how fast, who watches what, and what happens when. Everything
//! that can be left out is an item in one list, so that a failing run can be made smaller.

use std::fmt;

use fastrand::Rng;
use tickwire::connectors::FetchInstruments;
use tickwire::testing::sim::{
    Fault, FaultKind, FaultPlan, FaultRates, FaultScript, Planned, SimVenue, Target, VenueSpec,
};
use tickwire::{BookParams, Channel};

use super::{MS, Rules, SECOND};

/// Strategies of a run: one inline on the loop, the others over rings.
pub(super) const STRATEGIES: usize = 3;

/// The strategy that runs inline.
pub(super) const INLINE: usize = 0;

/// Upgrades that a venue refuses in a run.
const REFUSALS_MAX: u32 = 4;

/// Digits of a token's number.
const TOKEN_DIGITS: usize = 77;

/// Instruments of each venue.
const INSTRUMENTS_MAX: usize = 3;

/// A run as its seed has it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) venues: Vec<VenuePlan>,
    pub(super) seats: Vec<SeatPlan>,
    pub(super) items: Vec<Item>,
    /// Faults and commands end here.
    pub(super) active_ns: i64,
}

/// One venue.
#[derive(Clone, Debug)]
pub(super) struct VenuePlan {
    pub(super) venue: SimVenue,
    pub(super) symbols: Vec<String>,
    pub(super) rate: u32,
    pub(super) levels: usize,
    pub(super) instruments: FetchInstruments,
    pub(super) vary_key_order: bool,
    pub(super) upkeep: UpkeepPlan,
}

/// How a user has the links and books of a venue looked after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UpkeepPlan {
    /// After what silence streams are asked about; as the venue's connector has it where not given.
    pub(super) quiet_ns: Option<i64>,
    /// At what age links are replaced.
    pub(super) link_age_ns: Option<i64>,
    /// Two links for each stream.
    pub(super) pair: bool,
}

impl VenuePlan {
    pub(super) fn spec(&self) -> VenueSpec {
        let symbols: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        VenueSpec::of(self.venue)
            .symbols(&symbols)
            .rate_msgs_s(self.rate)
            .levels(self.levels)
            .vary_key_order(self.vary_key_order)
            // A strategy may be seconds behind; a run has some thousand changes.
            .history(1 << 14)
            .sent_ring(2)
    }
}

/// How a strategy over a ring behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatPlan {
    pub(super) ring_events: usize,
    /// It wakes this long after something came at the latest ..
    pub(super) sleep_max_ns: i64,
    /// .. and handles so many events.
    pub(super) events_max: usize,
}

/// What a strategy watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) strategy: usize,
    pub(super) venue: SimVenue,
    pub(super) symbol: String,
    pub(super) channel: Channel,
    pub(super) depth: bool,
}

/// What a strategy does in the middle, to something that it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Resync,
    Leave,
    Join,
}

/// What the network does to all connections of a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// They are reset, and what was on its way is lost.
    Cut,
    /// Nothing arrives for so long; then all of it does.
    Hold { for_ns: i64 },
}

/// Something that can be left out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Watch(Watch),
    Fault(Planned),
    Weather {
        at_ns: i64,
        venue: SimVenue,
        weather: Weather,
    },
    Act {
        at_ns: i64,
        act: Act,
        watch: Watch,
    },
}

impl Plan {
    /// The run of this seed.
    /// By these rules it may be left to chance, too, how links and books are looked after.
    pub(super) fn of(seed: u64, rules: &Rules) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let active_ns = rng.i64(4..16) * SECOND;
        let mut venues = SimVenue::ALL.to_vec();
        rng.shuffle(&mut venues);
        venues.truncate(1 + rng.usize(0..3));
        let mut venues: Vec<VenuePlan> = venues
            .into_iter()
            .map(|venue| venue_plan(venue, &mut rng))
            .collect();
        let mut upkeep_rng = Rng::with_seed(seed.rotate_left(32));
        for venue in venues.iter_mut().filter(|_| rules.vary_upkeep) {
            venue.upkeep = upkeep_plan(venue.venue, &mut upkeep_rng);
        }
        let seats = (0..STRATEGIES).map(|_| seat(&mut rng)).collect();
        let mut items: Vec<Item> = watches(&venues, &mut rng)
            .into_iter()
            .map(Item::Watch)
            .collect();
        let acts = acts(&items, active_ns, &mut rng);
        items.extend(acts);
        let faults = faults(&venues, active_ns, &mut rng);
        items.extend(faults.entries().iter().cloned().map(Item::Fault));
        items.extend(weather(&venues, active_ns, &mut rng));
        Plan {
            seed,
            venues,
            seats,
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

    /// How long the slowest strategy may take over a ring that is full: some take one event at a time.
    pub(super) fn drained_ns(&self) -> i64 {
        let naps = |seat: &SeatPlan| seat.ring_events.div_ceil(seat.events_max) as i64;
        let drained = self.seats.iter().map(|seat| naps(seat) * seat.sleep_max_ns);
        drained.max().unwrap_or(0)
    }

    pub(super) fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.items.iter().filter_map(|item| match item {
            Item::Watch(watch) => Some(watch),
            _ => None,
        })
    }

    pub(super) fn faults(&self) -> FaultScript {
        let mut script = FaultScript::default();
        for item in &self.items {
            if let Item::Fault(Planned {
                at_ns,
                venue,
                fault,
            }) = item
            {
                script = script.at(*at_ns, *venue, fault.clone());
            }
        }
        script
    }

    /// What the network does, by time.
    pub(super) fn weather(&self) -> Vec<(i64, SimVenue, Weather)> {
        let mut all: Vec<(i64, SimVenue, Weather)> = self
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Weather {
                    at_ns,
                    venue,
                    weather,
                } => Some((*at_ns, *venue, *weather)),
                _ => None,
            })
            .collect();
        all.sort_by_key(|(at_ns, ..)| *at_ns);
        all
    }

    /// What strategies do in the middle, by time.
    pub(super) fn acts(&self) -> Vec<(i64, Act, Watch)> {
        let mut acts: Vec<(i64, Act, Watch)> = self
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Act { at_ns, act, watch } => Some((*at_ns, *act, watch.clone())),
                _ => None,
            })
            .collect();
        acts.sort_by_key(|(at_ns, ..)| *at_ns);
        acts
    }
}

impl Item {
    fn at_ns(&self) -> i64 {
        match self {
            Item::Watch(_) => 0,
            Item::Fault(planned) => planned.at_ns,
            Item::Act { at_ns, .. } | Item::Weather { at_ns, .. } => *at_ns,
        }
    }
}

/// One run in four has a network that does something.
fn weather(venues: &[VenuePlan], active_ns: i64, rng: &mut Rng) -> Vec<Item> {
    if rng.u8(..4) > 0 {
        return Vec::new();
    }
    let one = |rng: &mut Rng| Item::Weather {
        at_ns: rng.i64(0..active_ns),
        venue: venues[rng.usize(..venues.len())].venue,
        weather: if rng.bool() {
            Weather::Cut
        } else {
            let for_ns = rng.i64(50..6_000) * MS;
            Weather::Hold { for_ns }
        },
    };
    (0..rng.usize(1..4)).map(|_| one(rng)).collect()
}

fn upkeep_plan(venue: SimVenue, rng: &mut Rng) -> UpkeepPlan {
    // The others have nothing by which two links could be told to be in step, and refuse it.
    let takes_pairs = !venue.is_deribit() && venue != SimVenue::Polymarket;
    UpkeepPlan {
        quiet_ns: rng.bool().then(|| rng.i64(1_000..5_000) * MS),
        link_age_ns: (rng.u8(..3) == 0).then(|| rng.i64(4_000..15_000) * MS),
        pair: rng.u8(..4) == 0 && takes_pairs,
    }
}

/// An instrument of a base currency as the venue's market lists it.
pub(super) fn listed(venue: SimVenue, base: &str) -> String {
    let quote = match venue {
        SimVenue::BinanceInverse => "USD_PERP",
        SimVenue::DeribitInverse => "-PERPETUAL",
        SimVenue::DeribitLinear => "_USDC-PERPETUAL",
        SimVenue::DeribitOption => "-25DEC26-60000-C",
        SimVenue::DeribitSpot => "_USDC",
        SimVenue::Polymarket => return token(base),
        _ => "USDT",
    };
    format!("{base}{quote}")
}

fn venue_plan(venue: SimVenue, rng: &mut Rng) -> VenuePlan {
    let mut bases = ["BTC", "ETH", "XRP", "DOGE"];
    rng.shuffle(&mut bases);
    let count = 1 + rng.usize(0..INSTRUMENTS_MAX);
    let symbols = bases[..count].iter();
    let symbols = symbols.map(|base| listed(venue, base)).collect();
    VenuePlan {
        venue,
        symbols,
        rate: match rng.u8(..8) {
            0 => rng.u32(100..300),
            _ => rng.u32(8..60),
        },
        levels: rng.usize(25..70),
        instruments: if rng.u8(..5) == 0 {
            FetchInstruments::No
        } else {
            FetchInstruments::Yes
        },
        vary_key_order: rng.bool(),
        upkeep: UpkeepPlan::default(),
    }
}

/// A token's number, of as many digits as the venue's have, made of a word.
fn token(word: &str) -> String {
    let digits = word.bytes().map(|octet| octet.to_string());
    digits.collect::<String>().repeat(TOKEN_DIGITS)[..TOKEN_DIGITS].to_owned()
}

fn seat(rng: &mut Rng) -> SeatPlan {
    match rng.u8(..4) {
        // So small that a snapshot never fits, and slow.
        0 => SeatPlan {
            ring_events: rng.usize(1..64),
            sleep_max_ns: rng.i64(1..400) * MS,
            events_max: rng.usize(1..64),
        },
        1 => SeatPlan {
            ring_events: rng.usize(64..512),
            sleep_max_ns: rng.i64(1..100) * MS,
            events_max: 64,
        },
        _ => SeatPlan {
            ring_events: 4_096,
            sleep_max_ns: 2 * MS,
            events_max: 256,
        },
    }
}

fn channels(venue: SimVenue) -> Vec<Channel> {
    let book = |levels, interval_ms| {
        Channel::Book(BookParams {
            levels,
            interval_ms,
        })
    };
    let mut all = vec![
        Channel::BOOK,
        Channel::BOOK,
        Channel::BOOK,
        Channel::Bbo,
        Channel::Bbo,
        Channel::Trades,
        Channel::Trades,
        Channel::Ticker,
    ];
    match venue {
        SimVenue::BinanceSpot => all.push(book(None, Some(1_000))),
        SimVenue::BinanceLinear | SimVenue::BinanceInverse => all.push(book(None, Some(500))),
        SimVenue::BybitSpot | SimVenue::BybitLinear => all.push(book(Some(200), None)),
        SimVenue::DeribitInverse
        | SimVenue::DeribitLinear
        | SimVenue::DeribitOption
        | SimVenue::DeribitSpot => all.push(book(None, Some(1_000))),
        SimVenue::Polymarket => {
            all.retain(|channel| !matches!(channel, Channel::Bbo | Channel::Ticker))
        }
    }
    all
}

/// Each instrument has watchers of some of its channels.
fn watches(venues: &[VenuePlan], rng: &mut Rng) -> Vec<Watch> {
    let mut watches: Vec<Watch> = Vec::new();
    for plan in venues {
        let all = channels(plan.venue);
        for symbol in &plan.symbols {
            for _ in 0..1 + rng.usize(0..4) {
                let channel = all[rng.usize(..all.len())];
                let strategy = rng.usize(..STRATEGIES);
                let is_book = matches!(channel, Channel::Book(_));
                let watch = Watch {
                    strategy,
                    venue: plan.venue,
                    symbol: symbol.clone(),
                    channel,
                    depth: is_book && rng.u8(..4) > 0,
                };
                let known = |one: &Watch| {
                    (one.strategy, one.venue, &one.symbol, one.channel)
                        == (strategy, plan.venue, symbol, channel)
                };
                if !watches.iter().any(known) {
                    watches.push(watch);
                }
            }
        }
    }
    watches
}

fn acts(items: &[Item], active_ns: i64, rng: &mut Rng) -> Vec<Item> {
    let mut acts = Vec::new();
    for item in items {
        let Item::Watch(watch) = item else { continue };
        match rng.u8(..12) {
            0 => acts.push(Item::Act {
                at_ns: rng.i64(0..active_ns),
                act: Act::Resync,
                watch: watch.clone(),
            }),
            1 => {
                let leave_ns = rng.i64(0..active_ns);
                let join_ns = leave_ns + rng.i64(0..active_ns - leave_ns);
                for (at_ns, act) in [(leave_ns, Act::Leave), (join_ns, Act::Join)] {
                    let watch = watch.clone();
                    acts.push(Item::Act { at_ns, act, watch });
                }
            }
            _ => {}
        }
    }
    acts
}

/// Faults of some kinds at some rate. A kind that can't act here (certificates: nothing speaks TLS)
/// is left out.
fn faults(venues: &[VenuePlan], active_ns: i64, rng: &mut Rng) -> FaultScript {
    let mut rates = FaultRates::none();
    // Some runs have one kind alone, so that what it must not touch can be told.
    let kinds: Vec<FaultKind> = FaultKind::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != FaultKind::Certificate && !kind.is_about_orders())
        .collect();
    let few = rng.bool();
    let chosen = if few {
        1 + rng.usize(0..2)
    } else {
        kinds.len()
    };
    let per_minute = if few { 12.0 } else { 2.0 };
    for _ in 0..chosen {
        let kind = kinds[rng.usize(..kinds.len())];
        rates = rates.per_minute(kind, per_minute);
    }
    let listed: Vec<(SimVenue, Vec<String>)> = venues
        .iter()
        .map(|plan| (plan.venue, plan.symbols.clone()))
        .collect();
    let drawn = FaultPlan::random(rng.u64(..), rates).into_script(&listed, active_ns);
    let mut script = FaultScript::default();
    let mut refusals: Vec<(SimVenue, u32)> = Vec::new();
    for (place, one) in drawn.entries().iter().enumerate() {
        if hides_a_restart(drawn.entries(), place) || blinds(drawn.entries(), one) {
            continue;
        }
        if let Fault::RefuseUpgrade { times, .. } = &one.fault {
            let before: u32 = refusals
                .iter()
                .filter(|(venue, _)| *venue == one.venue)
                .map(|(_, times)| times)
                .sum();
            // A client waits longer each time: more would take longer than a run gives it.
            if before + times > REFUSALS_MAX {
                continue;
            }
            refusals.push((one.venue, *times));
        }
        let fault = match one.fault.clone() {
            // The size class matters, not the megabytes: 1 MiB is legal, 5 MiB is not.
            Fault::Oversized { target, bytes } => Fault::Oversized {
                target,
                bytes: if bytes <= 4 << 20 { 128 << 10 } else { 5 << 20 },
            },
            other => at_a_stream(other, one.venue, rng),
        };
        script = script.at(one.at_ns, one.venue, fault);
    }
    script
}

/// Now and then a fault that is meant for an instrument's next delta hits one of its other streams.
fn at_a_stream(fault: Fault, venue: SimVenue, rng: &mut Rng) -> Fault {
    let chance = rng.u8(..4) == 0;
    let place = rng.usize(..3);
    let stream = |target: Target| match target {
        Target::Symbol(symbol) if chance => {
            let lower = symbol.to_ascii_lowercase();
            Target::Stream(if venue.is_binance() {
                let kind = ["bookTicker", "trade", "depth@100ms"][place];
                format!("{lower}@{kind}")
            } else if venue == SimVenue::Polymarket {
                match place {
                    1 => format!("trades.{symbol}"),
                    _ => symbol,
                }
            } else if venue.is_deribit() {
                match place {
                    0 => format!("quote.{symbol}"),
                    1 => format!("trades.{symbol}.100ms"),
                    _ => format!("book.{symbol}.100ms"),
                }
            } else {
                let kind = ["orderbook.1", "publicTrade", "orderbook.50"][place];
                format!("{kind}.{symbol}")
            })
        }
        other => other,
    };
    match fault {
        Fault::Gap { target } => Fault::Gap {
            target: stream(target),
        },
        Fault::Reorder { target } => Fault::Reorder {
            target: stream(target),
        },
        // Not trades: what a reader makes of a damaged frame, the tape can't say.
        Fault::Corrupt { target, utf8 } if place != 1 => Fault::Corrupt {
            target: stream(target),
            utf8,
        },
        Fault::Duplicate { target } => Fault::Duplicate {
            target: stream(target),
        },
        Fault::Stall { target, for_ns } => Fault::Stall {
            target: stream(target),
            for_ns,
        },
        other => other,
    }
}

/// Whether a restart of Bybit's book service would be held back by another fault. Its numbers may
/// then have come to just where the client stands, and no client can tell: there is nothing to be
/// told from (`u` rises by one, as it should).
fn hides_a_restart(all: &[Planned], place: usize) -> bool {
    let this = &all[place];
    if this.fault.kind() != FaultKind::ServiceReset {
        return false;
    }
    all.iter().any(|other| {
        let until_ns = match &other.fault {
            Fault::Stall { for_ns, .. } | Fault::Trickle { for_ns, .. } => other.at_ns + for_ns,
            // They wait for the next message of a stream, which may be a while in coming.
            Fault::Gap { .. }
            | Fault::Miss { .. }
            | Fault::Reorder { .. }
            | Fault::Corrupt { .. } => other.at_ns + 2 * SECOND,
            _ => return false,
        };
        other.venue == this.venue && other.at_ns <= this.at_ns && this.at_ns <= until_ns
    })
}

/// Whether REST would answer wrongly, or not at all, where a link is mute: there is nobody else to ask, and
/// the questions come ever more rarely.
fn blinds(all: &[Planned], this: &Planned) -> bool {
    let is_mute = |one: &Planned| one.venue == this.venue && one.fault.kind() == FaultKind::Mute;
    let kind = this.fault.kind();
    matches!(kind, FaultKind::OldSnapshot | FaultKind::RestStatus) && all.iter().any(is_mute)
}

/// Which instrument of a venue a fault can be felt at; `None` for all.
pub(super) fn felt_at(venue: SimVenue, fault: &Fault) -> Option<String> {
    match fault {
        // Whose changes were in a frame that nobody can read, no number tells later.
        Fault::Corrupt { .. } if venue == SimVenue::Polymarket => None,
        Fault::Gap { target }
        | Fault::Duplicate { target }
        | Fault::Reorder { target }
        | Fault::Crossed { target }
        | Fault::Stall { target, .. }
        | Fault::Corrupt {
            target,
            utf8: false,
        } => match target {
            Target::Symbol(symbol) => Some(symbol.clone()),
            Target::Stream(name) => {
                let of_binance = name.split_once('@').map(|(symbol, _)| symbol);
                let parts: Vec<&str> = name.split('.').collect();
                let of_others = match parts[..] {
                    ["quote", symbol] | ["book" | "trades", symbol, _] => Some(symbol),
                    _ => parts.last().copied(),
                };
                of_binance.or(of_others).map(str::to_ascii_uppercase)
            }
            Target::Any => None,
        },
        Fault::OldSnapshot {
            symbol: Some(symbol),
            ..
        } => Some(symbol.clone()),
        _ => None,
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = if self.depth { " with levels" } else { "" };
        write!(
            f,
            "{} {} {}{depth} for strategy {}",
            self.venue.slug(),
            self.symbol,
            self.channel,
            self.strategy
        )
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: &i64| *ns as f64 / SECOND as f64;
        match self {
            Item::Watch(watch) => write!(f, "watch {watch}"),
            Item::Fault(one) => {
                let script = FaultScript::default().at(one.at_ns, one.venue, one.fault.clone());
                write!(f, "fault {script}")
            }
            Item::Weather {
                at_ns,
                venue,
                weather,
            } => {
                write!(f, "network at {:.3}s: {} ", seconds(at_ns), venue.slug())?;
                match weather {
                    Weather::Cut => f.write_str("is cut"),
                    Weather::Hold { for_ns } => write!(f, "is held for {:.3}s", seconds(for_ns)),
                }
            }
            Item::Act { at_ns, act, watch } => {
                let act = match act {
                    Act::Resync => "resync",
                    Act::Leave => "leave",
                    Act::Join => "join",
                };
                write!(f, "{act} at {:.3}s: {watch}", seconds(at_ns))
            }
        }
    }
}

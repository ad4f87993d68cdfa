//! Where the faults are aimed: instruments, streams and links of each venue-market.

use tickwire::testing::names;
use tickwire::testing::sim::{Channel as View, MsgKind, SimVenue};
use tickwire::{Channel, Market, StreamKey, Venue};

/// Three tokens of Polymarket.
const TOKENS: [&str; 3] = [
    "11111111111111111111111111111111111111111111111111111111111111111111111111111",
    "22222222222222222222222222222222222222222222222222222222222222222222222222222",
    "33333333333333333333333333333333333333333333333333333333333333333333333333333",
];

/// One venue-market of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aim(pub(super) SimVenue);

impl Aim {
    pub(super) const fn venue(self) -> Venue {
        names(self.0).0
    }

    pub(super) const fn market(self) -> Market {
        names(self.0).1
    }

    /// Three instruments. The first is hit; the second stands on its link, the third on another.
    pub(super) const fn symbols(self) -> [&'static str; 3] {
        match self.0 {
            SimVenue::BinanceInverse => ["BTCUSD_PERP", "ETHUSD_PERP", "SOLUSD_PERP"],
            SimVenue::DeribitInverse => ["BTC-PERPETUAL", "ETH-PERPETUAL", "SOL-PERPETUAL"],
            SimVenue::DeribitLinear => [
                "BTC_USDC-PERPETUAL",
                "ETH_USDC-PERPETUAL",
                "SOL_USDC-PERPETUAL",
            ],
            SimVenue::DeribitOption => [
                "BTC-25DEC26-60000-C",
                "BTC-25DEC26-60000-P",
                "BTC-25DEC26-70000-C",
            ],
            SimVenue::DeribitSpot => ["BTC_USDC", "ETH_USDC", "SOL_USDC"],
            SimVenue::Polymarket => TOKENS,
            _ => ["BTCUSDT", "ETHUSDT", "SOLUSDT"],
        }
    }

    /// So many topics on a link that two instruments share one and the third has another. USD-M
    /// serves trades on links of their own.
    pub(super) const fn link_topics_max(self) -> u16 {
        match self.0 {
            SimVenue::BinanceLinear => 4,
            // All streams of a token are one topic.
            SimVenue::Polymarket => 2,
            _ => 6,
        }
    }

    /// The channels of each instrument, its book first.
    pub(super) const fn channels(self) -> &'static [Channel] {
        match self.0 {
            SimVenue::Polymarket => &[Channel::BOOK, Channel::Trades],
            _ => &[Channel::BOOK, Channel::Bbo, Channel::Trades],
        }
    }

    /// Market events a second. Deribit tells each one by itself, in three streams: fewer, so that the
    /// link of a row that slows it down keeps up.
    pub(super) const fn rate_msgs_s(self) -> u32 {
        if self.0.is_deribit() { 100 } else { 300 }
    }

    /// A stream as the venue names it.
    pub(super) fn topic(self, symbol: &str, channel: Channel) -> String {
        if self.0.is_deribit() {
            // Links log in: books and trades come with each change.
            return match channel {
                Channel::Bbo => format!("quote.{symbol}"),
                Channel::Trades => format!("trades.{symbol}.raw"),
                _ => format!("book.{symbol}.raw"),
            };
        }
        if self.0 == SimVenue::Polymarket {
            return symbol.to_owned();
        }
        let lower = symbol.to_ascii_lowercase();
        match (self.0.is_binance(), channel) {
            (true, Channel::Bbo) => format!("{lower}@bookTicker"),
            (true, Channel::Trades) => format!("{lower}@trade"),
            (true, _) => format!("{lower}@depth@100ms"),
            (false, Channel::Bbo) => format!("orderbook.1.{symbol}"),
            (false, Channel::Trades) => format!("publicTrade.{symbol}"),
            (false, _) => format!("orderbook.50.{symbol}"),
        }
    }

    /// The topic of a stream of the engine.
    pub(super) fn topic_of(self, key: &StreamKey) -> String {
        self.topic(&key.symbol, key.channel)
    }

    /// How the simulator's truth knows a stream's numbers; trades have no book.
    pub(super) fn view(self, channel: Channel) -> Option<View> {
        if self.0 == SimVenue::Polymarket {
            return match channel {
                // The whole book, by the venue's time in milliseconds.
                Channel::Book(_) => Some(View::Levels(usize::MAX)),
                _ => None,
            };
        }
        match (channel, self.0.is_binance()) {
            (Channel::Book(_) | Channel::Bbo, true) => Some(View::Full),
            (Channel::Book(_), false) if self.0.is_deribit() => Some(View::Full),
            // Quotes have no number to look the truth up by.
            (Channel::Bbo, false) if self.0.is_deribit() => None,
            (Channel::Book(_), false) => Some(View::Levels(50)),
            (Channel::Bbo, false) => Some(View::Levels(1)),
            _ => None,
        }
    }

    /// How the simulator's send log knows a stream's messages.
    pub(super) const fn kind(channel: Channel) -> MsgKind {
        match channel {
            Channel::Bbo => MsgKind::Top,
            Channel::Trades => MsgKind::Trade,
            _ => MsgKind::Depth,
        }
    }

    /// A row's fault in this venue's words.
    pub(super) fn script(self, inject: &str) -> String {
        let symbol = self.symbols()[0];
        inject
            .replace("BOOK", &self.topic(symbol, Channel::BOOK))
            .replace("SYMBOL", symbol)
    }
}

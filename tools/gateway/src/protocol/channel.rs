//! Names of channels.

use std::fmt;
use std::str::FromStr;

/// A name is this long at most. The longest real one, a book of Polymarket, has about 100 bytes.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// The deepest book channel with a depth: more levels than any screen has rows.
pub(crate) const DEPTH_MAX: u32 = 1_000;

/// What of a market a channel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarketPart {
    /// The book, to this many levels a side; 0 is all that the venue gives.
    Book(u32),
    /// Trades.
    Trades,
    /// The newest ticker.
    Ticker,
}

/// A channel by its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// One run of a strategy: messages, parts, approvals, the plan.
    Session(String),
    /// All of a project: its sessions and approvals.
    Project(String),
    /// What concerns one user.
    User(String),
    /// Part of a market's data.
    Market {
        /// The venue's name.
        venue: String,
        /// The market's name.
        market: String,
        /// The symbol, unified or the venue's own.
        symbol: String,
        /// What of it.
        part: MarketPart,
    },
    /// Orders and fills of a project.
    Orders(String),
    /// How a venue is.
    Venue(String),
    /// The gateway and its agents.
    System,
}

/// How a channel is delivered to a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every event, or the connection ends.
    Log,
    /// Events in between are merged: the reader ends with the same state.
    Keyed,
    /// The newest only.
    Value,
}

/// The text is not the name of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChannel {
    /// Longer than [`CHANNEL_BYTES_MAX`].
    #[error("a channel's name has 1 to {CHANNEL_BYTES_MAX} bytes")]
    Size,
    /// An unknown kind, or parts too many or too few.
    #[error(
        "no such channel: session:ID, project:ID, user:ID, orders:PROJECT, venue:VENUE, system, \
         trades|ticker:VENUE:MARKET:SYMBOL, book:VENUE:MARKET:SYMBOL[:DEPTH]"
    )]
    Shape,
    /// `%` without two hexadecimal digits, or bytes that are not text.
    #[error("% must be followed by two hexadecimal digits; : / and % are %3A, %2F and %25")]
    Escape,
    /// A depth that is no number, or out of range.
    #[error("a depth is 1 to {DEPTH_MAX}")]
    Depth,
}

impl Channel {
    /// How it is delivered.
    pub const fn class(&self) -> Class {
        match self {
            Channel::Market { part, .. } => match part {
                MarketPart::Book(_) => Class::Keyed,
                MarketPart::Trades => Class::Log,
                MarketPart::Ticker => Class::Value,
            },
            Channel::Venue(_) => Class::Value,
            _ => Class::Log,
        }
    }

    /// Whether it travels in the control lane, before all market data.
    pub const fn is_control(&self) -> bool {
        !matches!(self, Channel::Market { .. })
    }

    /// Whether its events are in the store, so that a restart keeps its epoch and offsets.
    pub const fn is_stored(&self) -> bool {
        matches!(
            self,
            Channel::Session(_) | Channel::Project(_) | Channel::User(_) | Channel::Orders(_)
        )
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Session(id) => write!(f, "session:{}", Escaped(id)),
            Channel::Project(id) => write!(f, "project:{}", Escaped(id)),
            Channel::User(id) => write!(f, "user:{}", Escaped(id)),
            Channel::Orders(id) => write!(f, "orders:{}", Escaped(id)),
            Channel::Venue(venue) => write!(f, "venue:{}", Escaped(venue)),
            Channel::System => f.write_str("system"),
            Channel::Market {
                venue,
                market,
                symbol,
                part,
            } => {
                let kind = match part {
                    MarketPart::Book(_) => "book",
                    MarketPart::Trades => "trades",
                    MarketPart::Ticker => "ticker",
                };
                let (venue, market, symbol) = (Escaped(venue), Escaped(market), Escaped(symbol));
                write!(f, "{kind}:{venue}:{market}:{symbol}")?;
                match part {
                    MarketPart::Book(depth) if *depth > 0 => write!(f, ":{depth}"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl FromStr for Channel {
    type Err = BadChannel;

    fn from_str(text: &str) -> Result<Channel, BadChannel> {
        if text.is_empty() || text.len() > CHANNEL_BYTES_MAX {
            return Err(BadChannel::Size);
        }
        let parts: Vec<&str> = text.split(':').collect();
        Ok(match parts.as_slice() {
            ["system"] => Channel::System,
            ["session", id] => Channel::Session(unescape(id)?),
            ["project", id] => Channel::Project(unescape(id)?),
            ["user", id] => Channel::User(unescape(id)?),
            ["orders", id] => Channel::Orders(unescape(id)?),
            ["venue", venue] => Channel::Venue(unescape(venue)?),
            ["book", at @ ..] if at.len() == 4 => {
                let depth = at.last().and_then(|depth| depth.parse().ok());
                let depth: u32 = depth.ok_or(BadChannel::Depth)?;
                if depth == 0 || depth > DEPTH_MAX {
                    return Err(BadChannel::Depth);
                }
                market(at, MarketPart::Book(depth))?
            }
            ["book", at @ ..] if at.len() == 3 => market(at, MarketPart::Book(0))?,
            ["trades", at @ ..] if at.len() == 3 => market(at, MarketPart::Trades)?,
            ["ticker", at @ ..] if at.len() == 3 => market(at, MarketPart::Ticker)?,
            _ => return Err(BadChannel::Shape),
        })
    }
}

fn market(at: &[&str], part: MarketPart) -> Result<Channel, BadChannel> {
    let [venue, market, symbol, ..] = at else {
        return Err(BadChannel::Shape);
    };
    Ok(Channel::Market {
        venue: unescape(venue)?,
        market: unescape(market)?,
        symbol: unescape(symbol)?,
        part,
    })
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                ':' => f.write_str("%3A")?,
                '/' => f.write_str("%2F")?,
                '%' => f.write_str("%25")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

fn unescape(part: &str) -> Result<String, BadChannel> {
    if part.is_empty() {
        return Err(BadChannel::Shape);
    }
    if part.contains('/') {
        return Err(BadChannel::Escape);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(BadChannel::Escape)?;
        let digits = std::str::from_utf8(digits).map_err(|_| BadChannel::Escape)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BadChannel::Escape);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BadChannel::Escape)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| BadChannel::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let table = [
            ("system", "system"),
            ("session:sess_1", "session:sess_1"),
            ("user:a%3Ab", "user:a%3Ab"),
            ("book:bybit:linear:BTCUSDT", "book:bybit:linear:BTCUSDT"),
            (
                "book:bybit:linear:BTC%2fUSDT%3aUSDT:50",
                "book:bybit:linear:BTC%2FUSDT%3AUSDT:50",
            ),
            ("venue:100%25", "venue:100%25"),
        ];
        for (text, canonical) in table {
            let channel: Channel = text.parse().expect(text);
            assert_eq!(channel.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(channel));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("session:{}", "x".repeat(CHANNEL_BYTES_MAX));
        let table = [
            ("", BadChannel::Size),
            (long.as_str(), BadChannel::Size),
            ("sessions:1", BadChannel::Shape),
            ("session", BadChannel::Shape),
            ("session:", BadChannel::Shape),
            ("session:a:b", BadChannel::Shape),
            ("trades:a:b:c:5", BadChannel::Shape),
            ("book:a:b", BadChannel::Shape),
            ("book:a:b:c:0", BadChannel::Depth),
            ("book:a:b:c:1001", BadChannel::Depth),
            ("book:a:b:c:ten", BadChannel::Depth),
            ("trades:binance:spot:BTC/USDT", BadChannel::Escape),
            ("session:%", BadChannel::Escape),
            ("session:%4", BadChannel::Escape),
            ("session:%zz", BadChannel::Escape),
            ("session:%+1", BadChannel::Escape),
            ("session:%ff", BadChannel::Escape),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Channel>(), Err(error), "{text:?}");
        }
    }
}

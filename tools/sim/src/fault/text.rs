//! The text form of a fault: its kind's word, at most one plain argument, and `key=value` options
//! in any order, each with a default. `stall BTCUSDT for=3s`, `trickle oldest bytes=7 every=20ms`,
//! `refuse-upgrade 503 retry=5 times=2`, `kill for=1s reset`.

use std::fmt;
use std::str::FromStr;

use super::units::{MS, Size, Span, parse_size, parse_span};
use super::{BadCertificate, Fault, FaultKind, Layer, Links, Target};
use crate::spec::SECOND_NS;

/// How long a fault lasts if its text does not say.
const FOR_NS: i64 = 5 * SECOND_NS;
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Symbol(name) | Self::Stream(name) => name,
        })
    }
}

impl FromStr for Target {
    type Err = String;

    /// `any`; a stream's name, known by its `@` or `.`; else a symbol.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "any" | "all" | "*" => Self::Any,
            name if name.contains(['@', '.']) => Self::Stream(name.to_owned()),
            symbol => Self::Symbol(symbol.to_owned()),
        })
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Oldest => "oldest",
            Self::Newest => "newest",
            Self::Holding(name) => name,
        })
    }
}

impl FromStr for Links {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" | "any" | "*" => Ok(Self::All),
            "oldest" => Ok(Self::Oldest),
            "newest" => Ok(Self::Newest),
            // Streams have an @ or a dot in their names, or are the ids of tokens.
            name if name.contains(['@', '.']) || is_token(name) => {
                Ok(Self::Holding(name.to_owned()))
            }
            other => Err(format!(
                "{other:?} is none of all, oldest, newest, or a stream"
            )),
        }
    }
}

impl BadCertificate {
    const ALL: [(&str, Self); 3] = [
        ("wrong-name", Self::WrongName),
        ("unknown-authority", Self::UnknownAuthority),
        ("expired", Self::Expired),
    ];
}

fn is_token(name: &str) -> bool {
    name.len() > 40 && name.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, one)| one == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

impl FromStr for BadCertificate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, one)| *one)
            .ok_or_else(|| format!("{text:?} is none of wrong-name, unknown-authority, expired"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        let layer = |layer: &Layer| match layer {
            Layer::Frames => "",
            Layer::Wire => " wire",
        };
        let refusal = |f: &mut fmt::Formatter<'_>, status, retry: &Option<u32>, times| {
            write!(f, " {status}")?;
            if let Some(seconds) = retry {
                write!(f, " retry={seconds}")?;
            }
            write!(f, " times={times}")
        };
        match self {
            Self::Drop { links }
            | Self::HalfOpen { links }
            | Self::HugeHeader { links }
            | Self::Mute { links }
            | Self::PingRefused { links } => write!(f, " {links}"),
            Self::Gap { target }
            | Self::Miss { target }
            | Self::Duplicate { target }
            | Self::Reorder { target }
            | Self::Crossed { target } => write!(f, " {target}"),
            Self::Stall { target, for_ns } => write!(f, " {target} for={}", Span(*for_ns)),
            Self::Trickle {
                links,
                bytes,
                every_ns,
                for_ns,
                layer: at,
            } => {
                let (every, span) = (Span(*every_ns), Span(*for_ns));
                write!(
                    f,
                    " {links} bytes={bytes} every={every} for={span}{}",
                    layer(at)
                )
            }
            Self::CutMidFrame {
                links,
                keep_bytes,
                reset,
                layer: at,
            } => {
                write!(f, " {links}")?;
                if let Some(keep) = keep_bytes {
                    write!(f, " keep={keep}")?;
                }
                f.write_str(if *reset { " reset" } else { "" })?;
                f.write_str(layer(at))
            }
            Self::RefuseUpgrade {
                status,
                retry_after_s,
                times,
            }
            | Self::RestStatus {
                status,
                retry_after_s,
                times,
            } => refusal(f, status, retry_after_s, times),
            Self::Certificate { fault, for_ns } => write!(f, " {fault} for={}", Span(*for_ns)),
            Self::OldSnapshot { symbol, times } => {
                let symbol = symbol.as_deref().unwrap_or("any");
                write!(f, " {symbol} times={times}")
            }
            Self::Corrupt { target, utf8 } => {
                write!(f, " {target}{}", if *utf8 { " utf8" } else { "" })
            }
            Self::Oversized { target, bytes } => write!(f, " {target} bytes={}", Size(*bytes)),
            Self::ClockSkew { by_ns, for_ns } => {
                write!(f, " {} for={}", Span(*by_ns), Span(*for_ns))
            }
            Self::Restart | Self::ServiceReset | Self::CutPrivate => Ok(()),
            Self::AckLost { times }
            | Self::NoCredits { times }
            | Self::DuplicateFill { times }
            | Self::CancelRace { times } => {
                write!(f, " times={times}")
            }
            Self::FillFirst { by_ns, times } => write!(f, " by={} times={times}", Span(*by_ns)),
            Self::SlowAck { for_ns, times } => write!(f, " for={} times={times}", Span(*for_ns)),
            Self::AcceptedError { status, times } => write!(f, " {status} times={times}"),
            Self::ServerShutdown { links, for_ns } | Self::DeafTest { links, for_ns } => {
                write!(f, " {links} for={}", Span(*for_ns))
            }
            Self::Kill { down_ns, reset } => {
                write!(
                    f,
                    " for={}{}",
                    Span(*down_ns),
                    if *reset { " reset" } else { "" }
                )
            }
        }
    }
}

/// The words after a fault's name. Each is taken once; what is left over is an error.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    /// The plain argument.
    fn word(&mut self) -> Option<&'a str> {
        let is_flag = |word: &str| ["wire", "reset", "utf8"].contains(&word);
        let mut words = self.0.iter();
        let index = words.position(|word| !word.contains('=') && !is_flag(word))?;
        Some(self.0.remove(index))
    }

    fn plain<T: FromStr<Err = String>>(&mut self) -> Result<Option<T>, String> {
        self.word().map(str::parse).transpose()
    }

    fn option(&mut self, key: &str) -> Option<&'a str> {
        let value = |word: &&'a str| word.strip_prefix(key)?.strip_prefix('=');
        let index = self.0.iter().position(|word| value(word).is_some())?;
        value(&self.0.remove(index))
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| *word != name);
        self.0.len() < before
    }

    fn span(&mut self, key: &str, default: i64) -> Result<i64, String> {
        let span = self.option(key).map_or(Ok(default), parse_span)?;
        if span < 0 {
            return Err(format!("{key} must not be negative"));
        }
        Ok(span)
    }

    fn number(&mut self, key: &str) -> Result<Option<u32>, String> {
        let parse = |text: &str| {
            let number = text.parse::<u32>();
            number.map_err(|_| format!("{key}={text} is not a number"))
        };
        self.option(key).map(parse).transpose()
    }

    fn times(&mut self) -> Result<u32, String> {
        Ok(self.number("times")?.unwrap_or(1))
    }

    fn target(&mut self) -> Result<Target, String> {
        Ok(self.plain()?.unwrap_or(Target::Any))
    }

    fn links(&mut self) -> Result<Links, String> {
        Ok(self.plain()?.unwrap_or(Links::All))
    }

    fn layer(&mut self) -> Layer {
        if self.flag("wire") {
            Layer::Wire
        } else {
            Layer::Frames
        }
    }

    /// Status, `Retry-After` and count of a refusal.
    fn refusal(&mut self) -> Result<(u16, Option<u32>, u32), String> {
        let status = self.word().and_then(|s| s.parse::<u16>().ok());
        let status = status
            .filter(|s| (400..600).contains(s))
            .ok_or("an HTTP status from 400 to 599 is missing")?;
        Ok((
            status,
            self.number("retry")?,
            self.number("times")?.unwrap_or(1),
        ))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().ok_or("a fault is missing")?;
        let kind = FaultKind::ALL.iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| {
            let known: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("unknown fault {name:?}; known are {}", known.join(", "))
        })?;
        let mut words = Words(words.collect());
        let fault = parse(*kind, &mut words)?;
        match words.0.first() {
            Some(extra) => Err(format!("{name} does not take {extra:?}")),
            None => Ok(fault),
        }
    }
}

fn parse(kind: FaultKind, words: &mut Words<'_>) -> Result<Fault, String> {
    use FaultKind as Kind;
    Ok(match kind {
        Kind::Drop => Fault::Drop {
            links: words.links()?,
        },
        Kind::Stall => Fault::Stall {
            for_ns: words.span("for", FOR_NS)?,
            target: words.target()?,
        },
        Kind::HalfOpen => Fault::HalfOpen {
            links: words.links()?,
        },
        Kind::Gap => Fault::Gap {
            target: words.target()?,
        },
        Kind::Miss => Fault::Miss {
            target: words.target()?,
        },
        Kind::Duplicate => Fault::Duplicate {
            target: words.target()?,
        },
        Kind::Reorder => Fault::Reorder {
            target: words.target()?,
        },
        Kind::Trickle => Fault::Trickle {
            bytes: words.option("bytes").map_or(Ok(16), parse_size)?,
            every_ns: words.span("every", 20 * MS)?,
            for_ns: words.span("for", FOR_NS)?,
            layer: words.layer(),
            links: words.links()?,
        },
        Kind::CutMidFrame => Fault::CutMidFrame {
            keep_bytes: words.option("keep").map(parse_size).transpose()?,
            reset: words.flag("reset"),
            layer: words.layer(),
            links: words.links()?,
        },
        Kind::RefuseUpgrade => {
            let (status, retry_after_s, times) = words.refusal()?;
            Fault::RefuseUpgrade {
                status,
                retry_after_s,
                times,
            }
        }
        Kind::RestStatus => {
            let (status, retry_after_s, times) = words.refusal()?;
            Fault::RestStatus {
                status,
                retry_after_s,
                times,
            }
        }
        Kind::Certificate => Fault::Certificate {
            for_ns: words.span("for", FOR_NS)?,
            fault: words.plain()?.unwrap_or(BadCertificate::WrongName),
        },
        Kind::OldSnapshot => Fault::OldSnapshot {
            times: words.times()?,
            symbol: match words.target()? {
                Target::Any => None,
                Target::Symbol(symbol) => Some(symbol),
                Target::Stream(name) => return Err(format!("{name:?} is not a symbol")),
            },
        },
        Kind::Corrupt => Fault::Corrupt {
            utf8: words.flag("utf8"),
            target: words.target()?,
        },
        Kind::Oversized => Fault::Oversized {
            bytes: words.option("bytes").map_or(Ok(16 << 20), parse_size)?,
            target: words.target()?,
        },
        Kind::HugeHeader => Fault::HugeHeader {
            links: words.links()?,
        },
        Kind::Crossed => Fault::Crossed {
            target: words.target()?,
        },
        Kind::ClockSkew => Fault::ClockSkew {
            for_ns: words.span("for", FOR_NS)?,
            by_ns: parse_span(words.word().unwrap_or_default())?,
        },
        Kind::AckLost => Fault::AckLost {
            times: words.times()?,
        },
        Kind::FillFirst => Fault::FillFirst {
            by_ns: words.span("by", 20 * MS)?,
            times: words.times()?,
        },
        Kind::DuplicateFill => Fault::DuplicateFill {
            times: words.times()?,
        },
        Kind::CancelRace => Fault::CancelRace {
            times: words.times()?,
        },
        Kind::AcceptedError => Fault::AcceptedError {
            times: words.times()?,
            status: match words.word() {
                None => 503,
                Some(text) => {
                    let status = text.parse::<u16>().ok().filter(|s| (500..600).contains(s));
                    status.ok_or_else(|| format!("{text:?} is no status from 500 to 599"))?
                }
            },
        },
        Kind::SlowAck => Fault::SlowAck {
            for_ns: words.span("for", 2 * SECOND_NS)?,
            times: words.times()?,
        },
        Kind::CutPrivate => Fault::CutPrivate,
        Kind::Mute => Fault::Mute {
            links: words.links()?,
        },
        Kind::DeafTest => Fault::DeafTest {
            for_ns: words.span("for", SECOND_NS)?,
            links: words.links()?,
        },
        Kind::NoCredits => Fault::NoCredits {
            times: words.times()?,
        },
        Kind::PingRefused => Fault::PingRefused {
            links: words.links()?,
        },
        Kind::Restart => Fault::Restart,
        Kind::ServiceReset => Fault::ServiceReset,
        Kind::ServerShutdown => Fault::ServerShutdown {
            for_ns: words.span("for", FOR_NS)?,
            links: words.links()?,
        },
        Kind::Kill => Fault::Kill {
            down_ns: words.span("for", SECOND_NS)?,
            reset: words.flag("reset"),
        },
    })
}

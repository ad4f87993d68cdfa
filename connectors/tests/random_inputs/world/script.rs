//! Octets as a script of inputs: what the fuzz target `calls` reads. A corpus file is text to read and
//! to write by hand, and every change of a byte is a script again.
//!
//! The first line picks the market (a digit), whether instruments are asked for (`y`) and the seed
//! (the rest). Every further line is an input:
//!
//! | line | input |
//! |---|---|
//! | `s0bd` | subscribe symbol 0 (5 and up: one that can't be), channel `b`, with depth |
//! | `u0` `r0` `y0` `d0+` | unsubscribe, republish, resync, depth on, of the newest stream but 0 |
//! | `U0` `D0` | a link up, down |
//! | `a00` `t00` `h00` | the venue's ack, news and HTTP answer, with a fault |
//! | `w300` `j300` | 300 ms with every timer in time; a jump over 300 ms |
//! | `T` | a timeout that nobody asked for |
//! | `m0{..}` | this message on a link |
//! | `M0 99` | the last such message 99 times |
//! | `x0 17 3 text` | symbol 0's news with 3 bytes at 17 replaced |
//! | `R0 429 Retry-After: 5&#124;{..}` | this answer to an HTTP request, with a header |
//! | `I0{..}` | these instruments in answer to an HTTP request |
//! | `?7 200 {..}` | an answer to a request that was never made |

use super::*;

/// Longer scripts find nothing that shorter ones do not.
const LINES_MAX: usize = 400;

/// The longest that passes with every timer in time: bans last longer, and cost only time.
const WAIT_MS_MAX: u64 = 10_000_000;

/// The longest that the engine's thread is held up for: a laptop's night.
const JUMP_MS_MAX: u64 = 100_000_000;

/// How often a line may repeat a message.
const REPEAT_MAX: u64 = 300;

/// Streams that a script may open: with more, an input costs more than it finds.
const STREAMS_MAX: usize = 60;

/// Runs a script. Whatever it says, what [`World`] checks must hold; where the venue sent nothing
/// but what is so, every stream must become Live in the end. Gives how many prices came.
pub(crate) fn run_script(data: &[u8]) -> u64 {
    let mut lines = data.split(|byte| *byte == b'\n').take(LINES_MAX);
    let head = lines.next().unwrap_or_default();
    let kind = VenueKind::ALL[usize::from(digit(head.first())) % VenueKind::ALL.len()];
    let instruments = head.get(1) == Some(&b'y');
    let mut world = World::new(kind, instruments, number(head.get(2..).unwrap_or_default()));
    for line in lines {
        world.line(line);
    }
    if world.honest {
        world.heal();
    }
    world.prices
}

/// A digit, or what comes behind the digits.
fn digit(byte: Option<&u8>) -> u8 {
    byte.map_or(0, |byte| byte.wrapping_sub(b'0'))
}

/// The digits at the front.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |number, byte| {
        number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
    })
}

/// The part before the first `by`, and the one behind it.
fn split(text: &[u8], by: u8) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == by);
    let first = parts.next().unwrap_or_default();
    (first, parts.next().unwrap_or_default())
}

impl World {
    fn line(&mut self, line: &[u8]) {
        let [op, rest @ ..] = line else {
            return;
        };
        let at = |index: usize| usize::from(digit(rest.get(index)));
        let behind = rest.get(1..).unwrap_or_default();
        match op {
            b's' if self.seen.len() < STREAMS_MAX => self.subscribe_any(
                at(0),
                rest.get(1).copied().unwrap_or_default(),
                rest.get(2) == Some(&b'd'),
            ),
            b'u' => self.run(Op::Unsubscribe(at(0))),
            b'r' => self.run(Op::Republish(at(0))),
            b'y' => self.run(Op::Resync(at(0))),
            b'd' => self.run(Op::SetDepth(at(0), rest.get(1) == Some(&b'+'))),
            b'U' => self.run(Op::Up(at(0))),
            b'D' => self.run(Op::Down(at(0))),
            b'a' => self.run(Op::Answer(
                at(0),
                AckFault::ALL[at(1) % AckFault::ALL.len()],
            )),
            b't' => self.run(Op::Tick(
                at(0) % SYMBOLS,
                Fault::ALL[at(1) % Fault::ALL.len()],
            )),
            b'h' => self.run(Op::Http(
                at(0),
                HttpFault::ALL[at(1) % HttpFault::ALL.len()],
            )),
            b'w' => self.wait(number(rest).min(WAIT_MS_MAX)),
            b'j' => self.jump(number(rest).min(JUMP_MS_MAX)),
            b'T' => self.fire(),
            b'm' => self.hostile_message(at(0), behind),
            b'M' => {
                let message = std::mem::take(&mut self.last_message);
                for _ in 0..number(split(rest, b' ').1).min(REPEAT_MAX) {
                    self.hostile_message(at(0), &message);
                }
            }
            b'x' => {
                let (place, rest) = split(split(rest, b' ').1, b' ');
                let (count, text) = split(rest, b' ');
                let range = (number(place) as usize, number(count) as usize);
                self.hostile_news(at(0) % SYMBOLS, range, text);
            }
            b'R' => {
                let (status, rest) = split(split(rest, b' ').1, b' ');
                let (header, body) = split(rest, b'|');
                self.hostile_response(at(0), number(status) as u16, header, body);
            }
            b'I' => self.hostile_instruments(at(0), behind),
            b'?' => {
                let (id, rest) = split(rest, b' ');
                let (status, body) = split(rest, b' ');
                self.unasked_response(number(id) as u32, number(status) as u16, body);
            }
            _ => {}
        }
    }
}

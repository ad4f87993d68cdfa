//! Keeps what we send within a venue's limit on incoming messages.

use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::SendLimit;

use crate::window::Window;

/// A sliding window over the last messages sent. One of the messages is kept back for pongs and
/// other urgent ones, since a venue counts those too and cuts who stays silent.
#[derive(Debug)]
pub(crate) struct Pacer {
    paced: Option<(SendLimit, Window)>,
}

impl Pacer {
    pub(crate) fn new(limit: Option<SendLimit>) -> Pacer {
        let paced = limit.map(|limit| {
            let window = Window::new(limit.window_ns, usize::from(limit.messages));
            (limit, window)
        });
        Pacer { paced }
    }

    /// A new connection: the venue counts from zero.
    pub(crate) fn reset(&mut self) {
        if let Some((_, sent)) = &mut self.paced {
            sent.clear();
        }
    }

    /// Takes the right to send one message now, if there is one.
    pub(crate) fn take(&mut self, now: Nanos, urgent: bool) -> bool {
        self.paced
            .as_mut()
            .is_none_or(|(limit, sent)| sent.take(now, Self::room(*limit, urgent)))
    }

    /// When [`Pacer::take`] will next say yes.
    pub(crate) fn ready_at(&self, urgent: bool) -> Nanos {
        self.paced.as_ref().map_or(Nanos::ZERO, |(limit, sent)| {
            sent.free_at(Self::room(*limit, urgent))
        })
    }

    fn room(limit: SendLimit, urgent: bool) -> usize {
        let messages = usize::from(limit.messages);
        if urgent {
            messages.max(1)
        } else {
            messages.saturating_sub(1).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_any_phase_holds_more_than_the_limit() {
        let limit = SendLimit {
            messages: 4,
            window_ns: Nanos(1_000),
        };
        let mut pacer = Pacer::new(Some(limit));
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut sent, mut now) = (Vec::new(), 0i64);
        for _ in 0..10_000 {
            now += rng.i64(0..200);
            let urgent = rng.u8(0..4) == 0;
            let expected = pacer.ready_at(urgent).0 <= now;
            let taken = pacer.take(Nanos(now), urgent);
            assert_eq!(taken, expected, "ready_at tells when take says yes");
            if taken {
                sent.push(now);
            }
        }
        for window in sent.windows(5) {
            assert!(
                window[4] - window[0] >= 1_000,
                "five messages in one window: {window:?}"
            );
        }
    }

    #[test]
    fn an_urgent_message_has_a_place_kept_for_it() {
        let limit = SendLimit {
            messages: 3,
            window_ns: Nanos(1_000),
        };
        let mut pacer = Pacer::new(Some(limit));
        assert!(pacer.take(Nanos(0), false) && pacer.take(Nanos(0), false));
        assert!(!pacer.take(Nanos(0), false));
        assert!(pacer.take(Nanos(0), true));
        assert!(!pacer.take(Nanos(999), true));
        assert!(pacer.take(Nanos(1_000), true));
    }
}

//! How far our clock is from the venue's: asked for, and watched without asking.
//!
//! A request carries our time, and a venue refuses one that is too old or from its future. So its clock
//! is asked for before the first, and each event that it stamps says something: it can't have been
//! received before it was made, so that the smallest difference of the last minutes bounds how far our
//! clock is behind, and one that grows for minutes says that ours runs ahead.

use crate::time::Nanos;

/// The rolling minimum covers one to two of these.
const SPAN_NS: Nanos = Nanos::from_secs(60);

/// A round trip that takes longer says too little of the venue's clock to replace what is known.
const ROUND_TRIP_MAX_NS: Nanos = Nanos::from_secs(2);

/// What a venue takes: a request is not from its future, and not too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How far a request may be ahead of the venue's clock. Binance and Bybit: 1 s.
    pub ahead_ns: Nanos,
    /// How far behind it may be when it arrives: the receive window.
    pub behind_ns: Nanos,
}

/// Our estimate of a venue's clock.
#[derive(Clone, Copy, Debug)]
pub struct TimeSync {
    /// The venue's clock less ours.
    offset: Nanos,
    synced_at: Option<Nanos>,
    /// Smallest receive less event time of the present span, and of the one before.
    min: Nanos,
    min_before: Nanos,
    span_since: Nanos,
    alarmed: bool,
}

impl Default for TimeSync {
    fn default() -> TimeSync {
        TimeSync {
            offset: Nanos::ZERO,
            synced_at: None,
            min: Nanos::MAX,
            min_before: Nanos::MAX,
            span_since: Nanos::ZERO,
            alarmed: false,
        }
    }
}

impl TimeSync {
    /// The venue answered with `server_ns` a question of `sent_at`. Gives whether that was good enough.
    pub fn note_answer(&mut self, sent_at: Nanos, now: Nanos, server_ns: Nanos) -> bool {
        let round_trip = now - sent_at;
        if self.synced_at.is_some() && round_trip > ROUND_TRIP_MAX_NS {
            return false;
        }
        let middle = sent_at + Nanos(round_trip.0 / 2);
        self.offset = server_ns - middle;
        self.synced_at = Some(now);
        self.alarmed = false;
        (self.min, self.min_before) = (Nanos::MAX, Nanos::MAX);
        true
    }

    /// An event of the venue's time `exch_ns` was received.
    pub fn note_event(&mut self, now: Nanos, exch_ns: Nanos) {
        if now - self.span_since >= SPAN_NS {
            self.min_before = self.min;
            self.min = Nanos::MAX;
            self.span_since = now;
        }
        self.min = self.min.min(now - exch_ns);
    }

    /// Smallest receive less event time of the last one to two minutes; `None` where nothing came.
    pub fn delay_min(&self) -> Option<Nanos> {
        let min = self.min.min(self.min_before);
        (min != Nanos::MAX).then_some(min)
    }

    /// Whether the clock was asked for.
    pub const fn synced_at(&self) -> Option<Nanos> {
        self.synced_at
    }

    /// The venue's clock less ours, as last asked for.
    pub const fn offset(&self) -> Nanos {
        self.offset
    }

    /// The venue's time.
    pub fn venue_now(&self, now: Nanos) -> Nanos {
        now + self.offset
    }

    /// Whether requests come close to being refused: half of what the venue takes is used up by what
    /// events show of the clocks. True once until the clock is asked for again.
    pub fn alarm(&mut self, tolerance: Tolerance) -> bool {
        if self.alarmed {
            return false;
        }
        // Received by the venue's clock as we take it to be, less made by the venue's clock: below zero
        // when our estimate is behind, large when it is ahead (or the way is that slow).
        let Some(seen) = self.delay_min().map(|delay| delay + self.offset) else {
            return false;
        };
        let is_behind = seen.0 < -(tolerance.behind_ns.0 / 2);
        let is_ahead = seen.0 > tolerance.ahead_ns.0 / 2;
        self.alarmed = is_behind || is_ahead;
        self.alarmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance {
        ahead_ns: Nanos::from_secs(1),
        behind_ns: Nanos::from_secs(5),
    };

    fn ms(ms: i64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn the_venues_clock_is_the_middle_of_the_round_trip() {
        let mut time = TimeSync::default();
        assert_eq!((time.synced_at(), time.venue_now(ms(5))), (None, ms(5)));
        assert!(time.note_answer(ms(1_000), ms(1_100), ms(3_050)));
        assert_eq!(time.venue_now(ms(1_100)), ms(3_100));
        assert!(
            !time.note_answer(ms(2_000), ms(6_000), ms(9_999)),
            "too slow to say more"
        );
        assert_eq!(time.offset(), ms(2_000));
    }

    #[test]
    fn the_alarm_comes_before_the_refusal_and_once() {
        // (how far our clock is from what we think, whether that is alarming)
        for (drift_ms, alarming) in [
            (0, false),
            (400, false),
            (600, true),
            (-2_000, false),
            (-2_600, true),
        ] {
            let mut time = TimeSync::default();
            time.note_answer(ms(0), ms(0), ms(0));
            for at in 0..10 {
                // Ours went ahead by the drift: an event seems to have taken so much longer.
                let slow = if at == 7 { 0 } else { 900 };
                time.note_event(ms(1_000 * at + drift_ms + slow), ms(1_000 * at));
            }
            assert_eq!(time.alarm(TOLERANCE), alarming, "{drift_ms}");
            assert!(!time.alarm(TOLERANCE), "{drift_ms}");
        }
    }

    #[test]
    fn an_old_minimum_is_forgotten() {
        let mut time = TimeSync::default();
        time.note_event(ms(60_000), ms(59_999));
        assert_eq!(time.delay_min(), Some(ms(1)));
        time.note_event(ms(120_000), ms(119_900));
        assert_eq!(time.delay_min(), Some(ms(1)));
        time.note_event(ms(180_000), ms(179_900));
        assert_eq!(time.delay_min(), Some(ms(100)));
    }
}

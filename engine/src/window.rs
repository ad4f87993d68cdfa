//! How often something has happened lately.

use std::collections::VecDeque;

use tickwire_connectors::Nanos;

/// A sliding window over moments: whatever the phase of the venue's own window, it never holds more
/// than ours allows.
#[derive(Debug)]
pub(crate) struct Window {
    span_ns: Nanos,
    moments: VecDeque<Nanos>,
}

impl Window {
    /// With room for `capacity` moments before it allocates.
    pub(crate) fn new(span_ns: Nanos, capacity: usize) -> Window {
        Window {
            span_ns,
            moments: VecDeque::with_capacity(capacity),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.moments.clear();
    }

    /// How many moments it holds as of the last [`Window::take`].
    pub(crate) fn count(&self) -> usize {
        self.moments.len()
    }

    /// Takes over another's moments, as if they had been its own.
    pub(crate) fn take_over(&mut self, other: &Window) {
        self.moments.extend(&other.moments);
    }

    /// Takes the right to one more moment now, if fewer than `max` are in the window.
    pub(crate) fn take(&mut self, now: Nanos, max: usize) -> bool {
        while self
            .moments
            .front()
            .is_some_and(|moment| now - *moment >= self.span_ns)
        {
            self.moments.pop_front();
        }
        if self.moments.len() >= max {
            return false;
        }
        self.moments.push_back(now);
        true
    }

    /// When [`Window::take`] will next say yes.
    pub(crate) fn free_at(&self, max: usize) -> Nanos {
        self.moments
            .len()
            .checked_sub(max)
            .and_then(|index| self.moments.get(index))
            .map_or(Nanos::ZERO, |moment| *moment + self.span_ns)
    }
}

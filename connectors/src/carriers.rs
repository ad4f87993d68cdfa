//! The links that carry a stream: one as a rule, two while a planned cut is bridged or where pairs
//! are asked for.
//!
//! A link that will be cut (its age, a shutdown that the venue has announced) is replaced before: a
//! second one is made, the same topics are asked for on it, and from then on each stream has two
//! carriers. What arrives first counts, by the venue's own numbers. Once the new carrier has shown
//! that it is *in step* (it has sent something that the stream had already, or that follows on it),
//! the old one is no longer needed for the stream, and when none needs it, it is let go. So a planned
//! cut is never seen by a strategy. A permanent pair is the same without the end.

use arrayvec::ArrayVec;

use crate::transmit::LinkId;

/// A link that carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The link.
    pub link: LinkId,
    /// Whether the venue has acked the stream there.
    pub acked: bool,
    /// Whether what it sends has been seen to follow on what the stream has.
    pub in_step: bool,
}

/// The links that carry one stream, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    list: ArrayVec<Carrier, 2>,
}

impl Carriers {
    /// No link.
    pub const fn new() -> Carriers {
        Carriers {
            list: ArrayVec::new_const(),
        }
    }

    /// The oldest link.
    #[inline]
    pub fn first(&self) -> Option<LinkId> {
        self.list.first().map(|carrier| carrier.link)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there are two.
    #[inline]
    pub fn is_pair(&self) -> bool {
        self.list.len() == 2
    }

    /// The link's part in it, where it has one.
    #[inline]
    pub fn get(&self, link: LinkId) -> Option<&Carrier> {
        self.list.iter().find(|carrier| carrier.link == link)
    }

    /// The part of the other link, where there are two.
    #[inline]
    pub fn other(&self, link: LinkId) -> Option<&Carrier> {
        self.list.iter().find(|carrier| carrier.link != link)
    }

    /// Whether the link carries the stream.
    #[inline]
    pub fn carries(&self, link: LinkId) -> bool {
        self.get(link).is_some()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Carrier> {
        self.list.iter()
    }

    /// Adds a link. False where there are two already.
    pub fn add(&mut self, link: LinkId) -> bool {
        let carrier = Carrier {
            link,
            acked: false,
            in_step: false,
        };
        self.carries(link) || self.list.try_push(carrier).is_ok()
    }

    /// Takes a link off. Gives whether another is left.
    pub fn remove(&mut self, link: LinkId) -> bool {
        self.list.retain(|carrier| carrier.link != link);
        !self.list.is_empty()
    }

    /// The venue has acked the stream on the link.
    pub fn note_ack(&mut self, link: LinkId) {
        if let Some(carrier) = self.find(link) {
            carrier.acked = true;
        }
    }

    /// What the link has sent follows on what the stream has, or was known already.
    #[inline]
    pub fn note_in_step(&mut self, link: LinkId) {
        if let Some(carrier) = self.find(link) {
            (carrier.acked, carrier.in_step) = (true, true);
        }
    }

    /// The link was lost and is made anew: it has to prove itself again.
    pub fn note_lost(&mut self, link: LinkId) {
        if let Some(carrier) = self.find(link) {
            (carrier.acked, carrier.in_step) = (false, false);
        }
    }

    /// Whether another than `link` would carry the stream on without a break: one in step, or, where
    /// the stream has been silent since it was acked there, one with the ack.
    pub fn is_safe_without(&self, link: LinkId) -> bool {
        self.other(link).is_some_and(|carrier| carrier.acked)
    }

    #[inline]
    fn find(&mut self, link: LinkId) -> Option<&mut Carrier> {
        self.list.iter_mut().find(|carrier| carrier.link == link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: LinkId = LinkId(0);
    const NEW: LinkId = LinkId(7);

    #[test]
    fn a_second_link_takes_over_once_it_has_proven_itself() {
        let mut carriers = Carriers::new();
        assert!(carriers.add(OLD) && !carriers.is_pair());
        assert!(carriers.add(NEW) && carriers.is_pair());
        assert!(!carriers.add(LinkId(8)), "two are enough");
        assert!(!carriers.is_safe_without(OLD));
        carriers.note_ack(NEW);
        assert!(carriers.is_safe_without(OLD));
        carriers.note_in_step(NEW);
        assert!(carriers.get(NEW).is_some_and(|carrier| carrier.in_step));
        assert!(carriers.remove(OLD));
        assert_eq!(carriers.first(), Some(NEW));
        assert!(!carriers.remove(NEW) && carriers.is_empty());
    }

    #[test]
    fn a_link_that_was_lost_has_to_prove_itself_again() {
        let mut carriers = Carriers::new();
        for link in [OLD, NEW] {
            carriers.add(link);
            carriers.note_in_step(link);
        }
        carriers.note_lost(NEW);
        assert!(!carriers.is_safe_without(OLD) && carriers.is_safe_without(NEW));
    }
}

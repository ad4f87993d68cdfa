//! Lists that a venue gives in pages: where each of those under way goes on.

/// A page of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Names the list among those under way.
    pub list: u32,
    /// Counted from 0.
    pub number: u32,
}

impl Page {
    /// The first page of a list.
    pub const fn first(list: u32) -> Page {
        Page { list, number: 0 }
    }

    /// The page behind this one.
    pub const fn next(self) -> Page {
        Page {
            list: self.list,
            number: self.number.saturating_add(1),
        }
    }
}

/// Lists whose next page is known: more are under way only where somebody asks without waiting for an
/// answer. The oldest is forgotten, and comes from its start again.
const LISTS_MAX: usize = 64;

/// Where the next pages of lists begin, in the venue's words.
#[derive(Debug)]
pub struct Cursors<T>(Vec<(u32, T)>);

impl<T> Default for Cursors<T> {
    fn default() -> Cursors<T> {
        Cursors(Vec::new())
    }
}

impl<T> Cursors<T> {
    /// Where this page begins; `None` for the start of the list.
    pub fn get(&self, page: Page) -> Option<&T> {
        let known = self.0.iter().filter(|_| page.number > 0);
        known
            .into_iter()
            .find(|(list, _)| *list == page.list)
            .map(|(_, next)| next)
    }

    /// The answer to this page says where the next begins; `None`: it was the last.
    pub fn note(&mut self, page: Page, next: Option<T>) {
        self.0.retain(|(list, _)| *list != page.list);
        if let Some(next) = next {
            if self.0.len() >= LISTS_MAX {
                self.0.remove(0);
            }
            self.0.push((page.list, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_under_way_do_not_meet() {
        let mut cursors = Cursors::default();
        let (first, second) = (Page::first(1), Page::first(2));
        cursors.note(first, Some("a"));
        cursors.note(second, Some("b"));
        assert_eq!(cursors.get(first), None, "the start");
        assert_eq!(cursors.get(first.next()), Some(&"a"));
        assert_eq!(cursors.get(second.next()), Some(&"b"));
        cursors.note(first.next(), None);
        assert_eq!(cursors.get(first.next().next()), None, "it has ended");
        for list in 10..200 {
            cursors.note(Page::first(list), Some("c"));
        }
        assert_eq!(cursors.0.len(), LISTS_MAX);
    }
}

//! A run of levels: the keys side by side, so that a search reads few lines of the cache.

/// Levels of a chunk. Small in our own tests, so that their books have many.
pub(super) const CHUNK: usize = if cfg!(test) { 8 } else { 32 };

/// Levels that are moved at once: a move of fixed length has no branch for it, and none to mispredict.
const BLOCK: usize = CHUNK / 2;

/// The last block of a move may reach so far behind the levels.
const ROOM: usize = CHUNK + BLOCK;

/// What stands behind the last key: no key is greater.
const NO_KEY: i64 = i64::MAX;

/// Keys in order, the worst first, each with its quantity; of a deleted level the quantity is zero. Which are in
/// use is for the owner to know. Keys behind them are [`NO_KEY`].
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Chunk {
    keys: [i64; ROOM],
    qtys: [i64; ROOM],
}

impl Chunk {
    pub(super) const EMPTY: Chunk = Chunk {
        keys: [NO_KEY; ROOM],
        qtys: [0; ROOM],
    };

    #[inline]
    pub(super) const fn key(&self, at: usize) -> i64 {
        self.keys[at]
    }

    #[inline]
    pub(super) const fn qty(&self, at: usize) -> i64 {
        self.qtys[at]
    }

    #[inline]
    pub(super) const fn set_qty(&mut self, at: usize, qty: i64) {
        self.qtys[at] = qty;
    }

    /// The last whose key is not above `key`; 0 where all are. Always the same steps, none of them a branch.
    #[inline(always)]
    pub(super) fn last_up_to(&self, key: i64) -> usize {
        let mut at = 0;
        let mut step = CHUNK / 2;
        while step > 0 {
            // Below CHUNK in any case; so the compiler sees it.
            let next = (at + step) % CHUNK;
            at = core::hint::select_unpredictable(self.keys[next] <= key, next, at);
            step /= 2;
        }
        at
    }

    /// Makes room at `at` for a level, among `len` that are fewer than [`CHUNK`].
    #[inline]
    pub(super) fn insert(&mut self, at: usize, len: usize, key: i64, qty: i64) {
        let mut blocks = (len - at).div_ceil(BLOCK);
        while blocks > 0 {
            blocks -= 1;
            let from = at + blocks * BLOCK;
            shift::<BLOCK>(&mut self.keys, from);
            shift::<BLOCK>(&mut self.qtys, from);
        }
        self.keys[at] = key;
        self.qtys[at] = qty;
    }

    /// Adds a level behind `len` others.
    pub(super) const fn push(&mut self, len: usize, key: i64, qty: i64) {
        self.keys[len] = key;
        self.qtys[len] = qty;
    }

    /// Leaves out deleted levels, and the `worst` first of the others. Gives how many are left.
    pub(super) fn compact(&mut self, len: usize, worst: usize) -> usize {
        let (mut kept, mut skip) = (0, worst);
        for at in 0..len {
            let (key, qty) = (self.keys[at], self.qtys[at]);
            self.push(kept, key, qty);
            // No branch: which are deleted nobody can foresee.
            let is_skipped = (qty != 0) & (skip > 0);
            skip -= usize::from(is_skipped);
            kept += usize::from((qty != 0) & !is_skipped);
        }
        self.cut(kept);
        kept
    }

    /// Ends behind `len` levels.
    pub(super) fn cut(&mut self, len: usize) {
        self.keys[len..].fill(NO_KEY);
    }

    /// Moves the levels from `from` up to `len` behind `to_len` others of another.
    pub(super) fn move_to(&mut self, from: usize, len: usize, to: &mut Chunk, to_len: usize) {
        let count = len - from;
        to.keys[to_len..to_len + count].copy_from_slice(&self.keys[from..len]);
        to.qtys[to_len..to_len + count].copy_from_slice(&self.qtys[from..len]);
        self.cut(from);
    }

    /// The levels that are not deleted, of `len`.
    #[inline]
    pub(super) fn live(
        &self,
        len: usize,
    ) -> impl DoubleEndedIterator<Item = (i64, i64)> + Clone + '_ {
        let both = self.keys[..len].iter().zip(&self.qtys[..len]);
        both.map(|(key, qty)| (*key, *qty))
            .filter(|(_, qty)| *qty != 0)
    }

    /// Whether what is kept of unused keys holds for `len` levels.
    pub(super) fn is_padded(&self, len: usize) -> bool {
        self.keys[len..].iter().all(|key| *key == NO_KEY)
    }
}

/// Moves `N` values up by one place.
#[inline(always)]
fn shift<const N: usize>(values: &mut [i64; ROOM], from: usize) {
    let block: Option<[i64; N]> = values
        .get(from..)
        .and_then(|rest| rest.first_chunk().copied());
    let to = values
        .get_mut(from + 1..)
        .and_then(|rest| rest.first_chunk_mut());
    if let (Some(block), Some(to)) = (block, to) {
        *to = block;
    }
}

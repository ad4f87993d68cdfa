//! The two buffers of a link: fixed in size, allocated once, never cleared with zeroes.

use std::fmt;
use std::io;

/// Initialised bytes that follow every payload, so that `simd-json` may read past its end
/// (`fill_tape_padded` wants 64 bytes of any content).
pub const PADDING: usize = 64;

/// The smallest capacity: one control frame, one TLS header or one chunk-size line must fit.
const CAPACITY_MIN: usize = 256;

/// What has been received and not yet read. Bytes are written behind the tail and read at the
/// head; the capacity is fixed and nothing is ever zeroed again after construction.
///
/// Invariant: `head <= tail <= capacity`, the bytes in `head..tail` are the unread ones, and
/// [`PADDING`] more initialised bytes follow the capacity.
pub struct RxBuffer {
    bytes: Box<[u8]>,
    head: usize,
    tail: usize,
    compact_below: usize,
}

impl RxBuffer {
    /// A buffer for `capacity` bytes. [`compact`](Self::compact) moves bytes once a quarter of it
    /// or less is free behind the tail.
    ///
    /// # Panics
    /// If `capacity` is less than 256 bytes: such a buffer cannot hold a control frame.
    pub fn new(capacity: usize) -> Self {
        Self::with_compact_below(capacity, capacity / 4)
    }

    /// A buffer that compacts when fewer than `compact_below` bytes are free behind the tail:
    /// choose one receive's worth. At least 1 is used, so that a full buffer always compacts.
    ///
    /// # Panics
    /// If `capacity` is less than 256 bytes.
    pub fn with_compact_below(capacity: usize, compact_below: usize) -> Self {
        assert!(
            capacity >= CAPACITY_MIN,
            "rx capacity {capacity} is below {CAPACITY_MIN}"
        );
        let compact_below = compact_below.clamp(1, capacity);
        Self {
            bytes: vec![0; capacity + PADDING].into_boxed_slice(),
            head: 0,
            tail: 0,
            compact_below,
        }
    }

    /// How many bytes fit in all.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.len() - PADDING
    }

    /// How many unread bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether every byte was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many more bytes could be taken in after a move: the capacity less the unread bytes.
    #[inline]
    pub fn free(&self) -> usize {
        self.capacity() - self.len()
    }

    /// The room behind the tail, to receive into. Holds old bytes, not zeroes. Follow with
    /// [`commit`](Self::commit). Empty only if the buffer is full or wants a
    /// [`compact`](Self::compact).
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        let capacity = self.capacity();
        &mut self.bytes[self.tail..capacity]
    }

    /// Takes in the first `count` bytes of [`space`](Self::space).
    ///
    /// # Panics
    /// If `count` is more than the room there was.
    #[inline]
    pub fn commit(&mut self, count: usize) {
        let room = self.capacity() - self.tail;
        assert!(
            count <= room,
            "commit of {count} bytes into room for {room}"
        );
        self.tail += count;
    }

    /// The unread bytes.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    /// The unread bytes, to change in place.
    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.head..self.tail]
    }

    /// Marks the first `count` unread bytes as read.
    ///
    /// # Panics
    /// If `count` is more than [`len`](Self::len).
    #[inline]
    pub fn consume(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "consume of {count} bytes out of {}",
            self.len()
        );
        self.head += count;
        if self.head == self.tail {
            // Empty: start at the front again, so that draining costs no move.
            self.head = 0;
            self.tail = 0;
        }
    }

    /// Marks `skip + count` bytes as read and lends the last `count` of them, followed by `extra`
    /// bytes (at most [`PADDING`]) that belong to whatever comes next: they may be changed while
    /// the loan lasts, but must be as they were when it ends.
    ///
    /// # Panics
    /// If `skip + count` is more than [`len`](Self::len), or `extra` more than [`PADDING`].
    #[inline]
    pub fn take(&mut self, skip: usize, count: usize, extra: usize) -> &mut [u8] {
        assert!(
            extra <= PADDING,
            "{extra} extra bytes out of a padding of {PADDING}"
        );
        let start = self.head + skip;
        self.consume(skip + count);
        &mut self.bytes[start..start + count + extra]
    }

    /// Copies as many of `bytes` in as fit behind the tail, moving the unread bytes to the front
    /// first if that is needed; gives how many were taken.
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        if self.capacity() - self.tail < bytes.len() {
            self.compact();
        }
        let room = self.space();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.tail += count;
        count
    }

    /// Moves the unread bytes to the front, if less room than the threshold is left behind them.
    /// Call it before each receive: after it, [`space`](Self::space) is empty only if the buffer
    /// is full.
    #[inline]
    pub fn compact(&mut self) {
        if self.head > 0 && self.capacity() - self.tail < self.compact_below {
            self.bytes.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
    }

    /// Forgets all bytes, for a new link. Touches no memory.
    #[inline]
    pub fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
    }
}

impl fmt::Debug for RxBuffer {
    // Without the bytes: they may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxBuffer")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// The send buffer has no room for the whole of what was to be added; nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send buffer is full: {needed} bytes wanted, {free} free")]
pub struct Full {
    /// How many bytes were to be added.
    pub needed: usize,
    /// How many were free.
    pub free: usize,
}

/// What is to be sent. Frames are added whole or not at all; a partial write leaves the rest where
/// it is. The memory is allocated once, at the size given.
///
/// Invariant: `head <= tail <= capacity`, and the bytes in `head..tail` are still to be sent.
pub struct TxBuffer {
    bytes: Box<[u8]>,
    head: usize,
    tail: usize,
}

impl TxBuffer {
    /// A buffer for at most `capacity` bytes that wait to be sent.
    pub fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            head: 0,
            tail: 0,
        }
    }

    /// How many bytes fit in all.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many more bytes can be added.
    #[inline]
    pub fn free(&self) -> usize {
        self.capacity() - self.len()
    }

    /// The bytes that wait, oldest first.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    /// Marks the first `count` waiting bytes as sent.
    ///
    /// # Panics
    /// If `count` is more than [`len`](Self::len).
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "advance of {count} bytes out of {}",
            self.len()
        );
        self.head += count;
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        }
    }

    /// Room for exactly `count` bytes, to be written in place and then
    /// [`commit`](Self::commit)ted. Holds old bytes, not zeroes.
    #[inline]
    pub fn reserve(&mut self, count: usize) -> Result<&mut [u8], Full> {
        if self.capacity() - self.tail < count {
            let free = self.free();
            if free < count {
                return Err(Full {
                    needed: count,
                    free,
                });
            }
            self.bytes.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
        Ok(&mut self.bytes[self.tail..self.tail + count])
    }

    /// Adds the first `count` bytes of the last [`reserve`](Self::reserve).
    ///
    /// # Panics
    /// If `count` is more than the room there is.
    #[inline]
    pub fn commit(&mut self, count: usize) {
        let room = self.capacity() - self.tail;
        assert!(
            count <= room,
            "commit of {count} bytes into room for {room}"
        );
        self.tail += count;
    }

    /// Adds all of `bytes`, or nothing.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        self.tail += bytes.len();
        Ok(())
    }

    /// Forgets all bytes, for a new link. Touches no memory.
    #[inline]
    pub fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
    }
}

/// Takes what fits; 0 when the buffer is full. For libraries that write into `io::Write`.
impl io::Write for TxBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.free());
        let fits = bytes.get(..count).unwrap_or_default();
        match self.push(fits) {
            Ok(()) => Ok(count),
            Err(_) => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TxBuffer {
    // Without the bytes: they may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxBuffer")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn draining_starts_at_the_front_again() {
        let mut rx = RxBuffer::new(256);
        assert_eq!(rx.fill_from(&[7; 300]), 256);
        assert!(rx.space().is_empty());
        rx.consume(200);
        assert!(
            rx.space().is_empty(),
            "room comes back by compact or by draining"
        );
        rx.consume(56);
        assert!(rx.is_empty());
        assert_eq!(rx.space().len(), 256);
    }

    #[test]
    fn compact_waits_for_the_threshold() {
        let mut rx = RxBuffer::with_compact_below(256, 64);
        rx.fill_from(&[1; 192]);
        rx.consume(10);
        rx.compact();
        assert_eq!(rx.space().len(), 64, "64 free is not below 64");
        rx.commit(1);
        rx.compact();
        assert_eq!(rx.space().len(), 73);
        assert_eq!(rx.len(), 183);
    }

    #[test]
    fn take_lends_the_padding_behind_the_last_byte() {
        let mut rx = RxBuffer::new(256);
        rx.fill_from(&[9; 256]);
        assert_eq!(rx.take(6, 250, PADDING).len(), 250 + PADDING);
        assert!(rx.is_empty());
    }

    #[test]
    #[should_panic(expected = "consume of 2 bytes out of 1")]
    fn consuming_too_much_is_our_bug() {
        let mut rx = RxBuffer::new(256);
        rx.fill_from(&[1]);
        rx.consume(2);
    }

    #[test]
    fn push_is_all_or_nothing() {
        let mut tx = TxBuffer::new(8);
        assert_eq!(tx.push(b"abcdef"), Ok(()));
        assert_eq!(tx.push(b"ghi"), Err(Full { needed: 3, free: 2 }));
        assert_eq!(tx.pending(), b"abcdef");
        tx.advance(4);
        assert_eq!(tx.push(b"ghijkl"), Ok(()), "moves the rest to the front");
        assert_eq!(tx.pending(), b"efghijkl");
    }

    proptest! {
        /// Both buffers against a queue that grows.
        #[test]
        fn behave_as_queues(ops in prop::collection::vec((0_u8..4, 0_usize..300), 1..200)) {
            let mut rx = RxBuffer::with_compact_below(256, 40);
            let mut tx = TxBuffer::new(256);
            let (mut rx_model, mut tx_model) = (VecDeque::new(), VecDeque::new());
            let mut next = 0_u8;
            for (op, count) in ops {
                let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                match op {
                    0 | 1 => {
                        let taken = rx.fill_from(&bytes);
                        rx_model.extend(bytes[..taken].iter().copied());
                        if tx.push(&bytes).is_ok() {
                            tx_model.extend(bytes.iter().copied());
                        } else {
                            prop_assert!(tx_model.len() + count > 256);
                        }
                    }
                    2 => {
                        let gone = count.min(rx.len());
                        rx.consume(gone);
                        rx_model.drain(..gone);
                        let gone = count.min(tx.len());
                        tx.advance(gone);
                        tx_model.drain(..gone);
                    }
                    _ => rx.compact(),
                }
                prop_assert_eq!(rx.filled(), rx_model.make_contiguous());
                prop_assert_eq!(tx.pending(), tx_model.make_contiguous());
                prop_assert_eq!(rx.free() + rx.len(), 256);
            }
        }
    }
}

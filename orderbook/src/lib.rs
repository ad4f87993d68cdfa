//! Exact decimals, order books and venue sequence rules. No IO, no clock, no venue.
//!
//! # What a book promises
//!
//! - **Exact.** Prices and quantities are integers at the instrument's scale; nothing is rounded.
//!   A text that does not fit the scale is an error, and the caller widens the scale.
//! - **Ordered.** Each side is sorted, holds a price once and only quantities above zero, whatever
//!   the peer sent. No input panics.
//! - **Honest.** A side that does not hold all levels says to which price it is complete (its
//!   watermark), and says when the touch comes near it.
//! - **Bounded.** A book allocates when it is made. Edits never do; a side that reaches its cap
//!   drops its worst levels. Only a snapshot allocates while it is loaded, where it is out of order, beyond the
//!   cap, or reaches further from the touch than any before: at most 2 MiB a side.
//!
//! A book does not know whether updates were missed: [`Sequence`] judges that, and the connector
//! that owns both invalidates the book.
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`decimal`] | [`Price`], [`Qty`], [`Amount`], [`Scale`] and the text readers |
//! | [`book`] | [`Book`], its levels, edits, cap and watermark |
//! | [`sequence`] | [`SequenceRule`]s as data and [`Sequence`], which judges updates by them |
//! | [`metrics`] | mid, microprice, spread, VWAP, imbalance |
//! | [`prefetch`](mod@prefetch) | memory asked for before it is needed, where there are many books |
//! | [`twin`] | [`Twin`], the naive book: the oracle in tests |

pub mod book;
pub mod decimal;
pub mod metrics;
pub mod prefetch;
pub mod sequence;
pub mod twin;

pub use book::{Book, BookError, Cross, Edit, EditKind, Level, Limits, Side, Top};
pub use decimal::{
    Amount, DecimalError, Price, Qty, Scale, Text, json_mantissa_at, mantissa_at, required_scale,
};
pub use prefetch::prefetch;
pub use sequence::{Bridge, Chain, Ids, Sequence, SequenceRule, Verdict};
pub use twin::Twin;

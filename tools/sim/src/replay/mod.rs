//! Recordings as a source: the frames of a real venue, byte for byte, to whoever subscribes.

mod book;
mod feed;
mod recording;

pub(crate) use feed::ReplayFeed;
pub(crate) use recording::Recording;

//! A ring of commands, the other way: from one strategy thread to the loop.

use super::spsc;

/// A ring of `capacity` commands.
///
/// # Panics
///
/// Where `capacity` is 0.
pub fn command_channel<T>(capacity: usize) -> (Commander<T>, CommandSource<T>) {
    let (sender, receiver) = spsc::channel(capacity);
    (Commander { sender }, CommandSource { receiver })
}

/// Why a command was not taken; the command comes back. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError<T> {
    /// The loop has not caught up with earlier commands: try again in a turn.
    #[error("the command ring is full")]
    Full(T),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    EngineGone(T),
}

impl<T> PushError<T> {
    /// The command.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(command) | PushError::EngineGone(command) => command,
        }
    }
}

/// The strategy's end: owned by one thread.
#[derive(Debug)]
pub struct Commander<T> {
    sender: spsc::Sender<T>,
}

impl<T> Commander<T> {
    /// Hands `command` to the loop, which takes it at its next turn. Never waits. A command that is
    /// taken while the engine is stopping may still go unread.
    pub fn push(&mut self, command: T) -> Result<(), PushError<T>> {
        if self.sender.receiver_gone() {
            return Err(PushError::EngineGone(command));
        }
        self.sender.push(command).map_err(PushError::Full)
    }

    /// Commands that the loop has not taken.
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// Whether the loop has taken every command.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the engine has stopped.
    pub fn engine_gone(&self) -> bool {
        self.sender.receiver_gone()
    }
}

/// The loop's end. An idle [`pop`](CommandSource::pop) is one load, and no pop waits for a
/// strategy that was preempted in the middle of a push.
#[derive(Debug)]
pub struct CommandSource<T> {
    receiver: spsc::Receiver<T>,
}

impl<T> CommandSource<T> {
    /// The next command.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.receiver.pop()
    }

    /// Commands that wait.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether no command waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the strategy has let go of its end. Ask before the last look: what it pushed before
    /// is there from here on.
    pub fn strategy_gone(&self) -> bool {
        self.receiver.sender_gone()
    }
}

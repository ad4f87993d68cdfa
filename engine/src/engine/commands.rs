//! What strategies and the handle ask the loop for.

use tickwire_connectors::{Command, Connector, StreamId};

use super::{COMMANDS_A_TURN, Loop};
use crate::control::{Control, StrategyId};
use crate::net::Net;
use crate::router::Effect;

impl<C: Connector, N: Net> Loop<C, N> {
    pub(super) fn take_commands(&mut self) {
        for _ in 0..COMMANDS_A_TURN {
            let Some(control) = self.control.pop() else {
                return;
            };
            self.command(control);
        }
        // More may wait: look again next turn.
        self.control.ring();
    }

    pub(super) fn command(&mut self, control: Control) {
        self.counters.commands.add(1);
        match control {
            Control::Stop => self.stopping = true,
            Control::Subscribe {
                strategy,
                stream,
                depth,
            } => {
                self.subscribe(strategy, stream, depth);
            }
            Control::Unsubscribe { strategy, stream } => self.unsubscribe(strategy, stream),
            Control::Republish { strategy, stream } => {
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Control::Nudge { venue } => self.nudge(venue),
            Control::Resync { stream } => self.tell(stream, Command::Resync { stream }, None),
        }
    }

    pub(super) fn subscribe(&mut self, strategy: StrategyId, stream: StreamId, depth: bool) {
        // The stream would stay open for a strategy that has ended, and nobody would let it go.
        if self.router.is_gone(strategy) {
            return;
        }
        let Some(info) = self.registry.info(stream) else {
            return;
        };
        let (symbol, channel) = (info.asked, info.key.channel);
        match self.router.join(strategy, info, depth) {
            Effect::Open => {
                self.tell(
                    stream,
                    Command::Subscribe {
                        stream,
                        symbol,
                        channel,
                        depth,
                    },
                    None,
                );
            }
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
                self.tell(stream, Command::Republish { stream }, Some(strategy));
            }
            Effect::None => self.tell(stream, Command::Republish { stream }, Some(strategy)),
            Effect::Close => {}
        }
    }

    pub(super) fn unsubscribe(&mut self, strategy: StrategyId, stream: StreamId) {
        match self.router.leaving(strategy, stream) {
            Effect::Close => self.tell(stream, Command::Unsubscribe { stream }, None),
            Effect::Depth(on) => {
                self.tell(stream, Command::SetDepth { stream, depth: on }, None);
            }
            Effect::None | Effect::Open => {}
        }
        self.router.leave(strategy, stream, self.now);
    }

    fn nudge(&mut self, venue: usize) {
        let Some(slot) = self.slots.get_mut(venue) else {
            return;
        };
        slot.connector.handle_nudge(self.now, &mut self.outbox);
        self.after_call(venue, None);
        self.note_timeout(venue);
    }

    pub(super) fn tell(&mut self, stream: StreamId, command: Command, only: Option<StrategyId>) {
        let Some(venue) = self.router.info(stream).map(|info| info.venue_index) else {
            return;
        };
        self.slots[venue]
            .connector
            .handle_command(self.now, command, &mut self.outbox);
        self.after_call(venue, only);
        self.note_timeout(venue);
    }
}

//! Answers of strategies: what they say becomes parts of a message.

use std::collections::HashMap;

use tickwire::operator::{self, CallId, Instruction, ReplyId, Said};

use super::Core;
use crate::protocol::*;

/// Pieces taken from the strategies in a turn: the clients are looked after in between.
const PIECES_A_TURN: usize = 1_024;

/// An order that may have reached a venue.
#[derive(Debug)]
pub(super) struct SentBefore {
    /// As it was asked for.
    pub(super) ticket: OrderTicket,
    /// As it was last heard of.
    pub(super) order: Order,
}

/// An answer that is under way.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) reply: ReplyId,
    /// Its number among the session's messages.
    pub(super) number: u64,
    pub(super) message: Message,
    bytes: usize,
    /// Orders of earlier answers to the same message that may have reached a venue.
    pub(super) sent_before: Vec<SentBefore>,
    /// Calls by the strategy's number.
    pub(super) calls: HashMap<CallId, String>,
    /// It differs from what is stored.
    is_dirty: bool,
}

impl Answering {
    pub(super) fn new(
        reply: ReplyId,
        number: u64,
        message: Message,
        sent_before: Vec<SentBefore>,
    ) -> Answering {
        Answering {
            reply,
            number,
            message,
            bytes: 0,
            sent_before,
            calls: HashMap::new(),
            is_dirty: false,
        }
    }
}

impl Core {
    /// Takes what the strategies have said. Gives whether there may be more.
    pub(super) fn hear_crew(&mut self) -> bool {
        for _ in 0..PIECES_A_TURN {
            let Some(Said { reply, part }) = self.crew.next() else {
                return false;
            };
            // Of an answer that is over, nothing is heard any more.
            let Some(session) = self.by_reply.get(&reply).cloned() else {
                continue;
            };
            self.hear(&session, reply, part);
        }
        true
    }

    fn hear(&mut self, session: &str, reply: ReplyId, part: operator::Part) {
        match part {
            operator::Part::Text(words) => self.words(session, PartType::Text, &words),
            operator::Part::Reasoning(words) => self.words(session, PartType::Reasoning, &words),
            operator::Part::StepStart(name) => self.step(session, PartType::StepStart, Some(&name)),
            operator::Part::StepFinish => self.step(session, PartType::StepFinish, None),
            operator::Part::Order { call, order } => {
                self.order_asked(session, reply, call, &order);
            }
            operator::Part::Finish => self.end_answer(session, MessageStatus::Complete, None),
            operator::Part::Failed(why) => {
                let error = ErrorBody::new(Code::InternalError, why);
                self.end_answer(session, MessageStatus::Error, Some(error));
            }
        }
    }

    pub(super) fn blank_part(&mut self, session: &str, message: &str, kind: PartType) -> Part {
        Part {
            id: self.ids.draw("part", self.now),
            message_id: message.to_owned(),
            session_id: session.to_owned(),
            kind,
            content: None,
            tool_call: None,
            tool_result: None,
        }
    }

    fn words(&mut self, session: &str, kind: PartType, words: &str) {
        let answer_bytes_max = self.config.limits.answer_bytes_max;
        let Some(answering) = self.answering(session) else {
            return;
        };
        answering.bytes += words.len();
        if answering.bytes > answer_bytes_max {
            let why = format!("an answer has {answer_bytes_max} bytes at most");
            let error = ErrorBody::new(Code::LimitExceeded, why);
            self.end_answer(session, MessageStatus::Error, Some(error));
            return;
        }
        let message_id = answering.message.id.clone();
        if let Some(part) = answering.message.parts.last_mut()
            && part.kind == kind
        {
            answering.is_dirty = true;
            part.content.get_or_insert_default().push_str(words);
            let event = EventData::PartUpdated(PartUpdated {
                session_id: session.to_owned(),
                message_id,
                part_id: part.id.clone(),
                append: Some(words.to_owned()),
                part: None,
            });
            self.tell(&Channel::Session(session.to_owned()), &event);
            return;
        }
        let mut part = self.blank_part(session, &message_id, kind);
        part.content = Some(words.to_owned());
        self.add_part(session, part);
    }

    fn step(&mut self, session: &str, kind: PartType, name: Option<&str>) {
        let Some(answering) = self.answering(session) else {
            return;
        };
        let message_id = answering.message.id.clone();
        let mut part = self.blank_part(session, &message_id, kind);
        part.content = name.map(str::to_owned);
        self.add_part(session, part);
    }

    pub(super) fn answering(&mut self, session: &str) -> Option<&mut Answering> {
        self.runs.get_mut(session)?.answering.as_mut()
    }

    /// Adds a part to the answer that is under way.
    pub(super) fn add_part(&mut self, session: &str, part: Part) {
        if let Some(answering) = self.answering(session) {
            answering.message.parts.push(part.clone());
            answering.is_dirty = true;
            let event = EventData::PartCreated(PartCreated { part });
            self.tell(&Channel::Session(session.to_owned()), &event);
        }
    }

    /// Sets a part of a message, also of one that is whole: it is added where it is new.
    pub(super) fn set_part(&mut self, session: &str, number: u64, part: Part) {
        let put = |message: &mut Message| match message.parts.iter_mut().find(|p| p.id == part.id) {
            Some(old) => {
                old.clone_from(&part);
                false
            }
            None => {
                message.parts.push(part.clone());
                true
            }
        };
        let is_new = match self.answering(session) {
            Some(answering) if answering.number == number => {
                answering.is_dirty = true;
                put(&mut answering.message)
            }
            _ => {
                let Some(mut message) = self.message(session, number) else {
                    return;
                };
                let is_new = put(&mut message);
                self.save_message(session, number, &message);
                is_new
            }
        };
        let event = if is_new {
            EventData::PartCreated(PartCreated { part })
        } else {
            EventData::PartUpdated(PartUpdated {
                session_id: session.to_owned(),
                message_id: part.message_id.clone(),
                part_id: part.id.clone(),
                append: None,
                part: Some(part),
            })
        };
        self.tell(&Channel::Session(session.to_owned()), &event);
    }

    /// Puts what was said into the batch of the store.
    pub(super) fn save_answers(&mut self) {
        let mut dirty = Vec::new();
        for session in self.by_reply.values() {
            if let Some(run) = self.runs.get_mut(session)
                && let Some(answering) = &mut run.answering
                && std::mem::take(&mut answering.is_dirty)
            {
                dirty.push((session.clone(), answering.number, answering.message.clone()));
            }
        }
        for (session, number, message) in dirty {
            self.save_message(&session, number, &message);
        }
    }

    /// The answer is over.
    pub(super) fn end_answer(
        &mut self,
        session: &str,
        status: MessageStatus,
        error: Option<ErrorBody>,
    ) {
        let now_ms = self.now.as_millis();
        let Some(run) = self.runs.get_mut(session) else {
            return;
        };
        let Some(Answering {
            reply,
            number,
            mut message,
            ..
        }) = run.answering.take()
        else {
            return;
        };
        run.session.updated_at = now_ms;
        self.by_reply.remove(&reply);
        message.status = status;
        message.completed_at = Some(now_ms);
        message.error = error;
        self.save_message(session, number, &message);
        self.save_run(session);
        // The parts were told one by one.
        message.parts.clear();
        let event = EventData::MessageUpdated(MessageEvent { message });
        self.tell(&Channel::Session(session.to_owned()), &event);
    }

    /// Cancels the answer that is under way, with what it asked for and nobody has decided on. Gives
    /// whether there was one.
    pub(super) fn cancel_answer(&mut self, session: &str, why: &str) -> bool {
        let Some(answering) = self.answering(session) else {
            return false;
        };
        let reply = answering.reply;
        self.call_back(|held| held.is_of(reply), CallState::Cancelled, "cancel");
        if let Some(run) = self.runs.get(session) {
            // A strategy that is not told goes on speaking, and is not heard.
            let _ = self
                .crew
                .send(&run.session.agent, Instruction::Cancel { reply });
        }
        let error = ErrorBody::new(Code::Cancelled, why);
        self.end_answer(session, MessageStatus::Cancelled, Some(error));
        true
    }
}

//! The line between an operator (the gateway, a person behind it) and a running strategy: instructions
//! in, streamed answers out, over two bounded queues. It is read and written on the strategy's own
//! thread; the loop knows nothing of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use tickwire_connectors::order::{ClientOrderId, OrderRequest};

/// Instructions that may wait for a strategy: people type them, and a program that sends more is told
/// that the strategy is busy.
pub const INSTRUCTIONS_MAX: usize = 256;

/// Parts of answers that may wait for the operator: some seconds of a strategy that explains itself
/// at every tick.
pub const PARTS_MAX: usize = 4_096;

/// One run of a strategy, numbered by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// One answer to be given, numbered by the operator; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// An order that a strategy asked for, numbered by the strategy's end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// What the operator asks of a strategy or tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// A run begins. More than one may be under way.
    Begin {
        /// The run.
        run: RunId,
        /// Its parameters as JSON text, as they were given.
        params: Box<str>,
    },
    /// A message that wants an answer.
    Message {
        /// The run.
        run: RunId,
        /// To be answered under this number, until [`Answer::finish`].
        reply: ReplyId,
        /// The words.
        text: Box<str>,
    },
    /// The answer is not wanted any more; what is still said of it is dropped.
    Cancel {
        /// The answer.
        reply: ReplyId,
    },
    /// What became of an order that was asked for.
    Outcome {
        /// The answer that asked.
        reply: ReplyId,
        /// The order.
        call: CallId,
        /// What became of it.
        outcome: CallOutcome,
    },
    /// A run is over: nothing of it will be asked again.
    End {
        /// The run.
        run: RunId,
    },
}

/// What became of an order that a strategy asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It went out: [`on_order`](crate::Strategy::on_order) tells the rest.
    Sent {
        /// Under this id: the order's own, or one that was drawn for it where it had none.
        client_order_id: ClientOrderId,
    },
    /// It did not go out, and won't.
    Refused {
        /// Why: a person said no, nobody answered in time, or a limit forbids it.
        reason: Box<str>,
    },
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The answer.
    pub reply: ReplyId,
    /// The piece.
    pub part: Part,
}

/// What a piece of an answer is.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Words; several in a row are one text.
    Text(Box<str>),
    /// Why the strategy does what it does.
    Reasoning(Box<str>),
    /// A step begins, by its name.
    StepStart(Box<str>),
    /// The last step is done.
    StepFinish,
    /// An order that is to go out, if whoever decides lets it.
    Order {
        /// Comes back with the [`Instruction::Outcome`].
        call: CallId,
        /// The order, exactly as it is to go out.
        order: Box<OrderRequest>,
    },
    /// The answer is complete.
    Finish,
    /// The answer can't be given.
    Failed(Box<str>),
}

/// The queue to the operator is full or nobody reads it: what was said is lost, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes what the strategy says: the queue to the operator is full, or there is none")]
pub struct Unheard;

/// The queue to the strategy is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{INSTRUCTIONS_MAX} instructions wait for the strategy already")]
pub struct Busy;

struct Line {
    instructions: ArrayQueue<Instruction>,
    said: ArrayQueue<Said>,
    unheard: AtomicU64,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("instructions", &self.instructions.len())
            .field("said", &self.said.len())
            .finish_non_exhaustive()
    }
}

/// The operator's end of the line.
#[derive(Clone, Debug)]
pub struct Operator(Arc<Line>);

/// The strategy's end, for [`StrategySetup::operated`](crate::StrategySetup::operated), or to be read by hand
/// where rings are read without a [`Strategy`](crate::Strategy).
#[derive(Debug)]
pub struct OperatedBy {
    line: Arc<Line>,
    last_call: u64,
}

/// A line. `wake` is called on the strategy's thread whenever it said something, to get the operator
/// out of its sleep.
pub fn line(wake: impl Fn() + Send + Sync + 'static) -> (Operator, OperatedBy) {
    let line = Arc::new(Line {
        instructions: ArrayQueue::new(INSTRUCTIONS_MAX),
        said: ArrayQueue::new(PARTS_MAX),
        unheard: AtomicU64::new(0),
        wake: Box::new(wake),
    });
    let end = OperatedBy {
        line: Arc::clone(&line),
        last_call: 0,
    };
    (Operator(line), end)
}

impl Operator {
    /// Hands an instruction over; it is read before the strategy's next events, at the latest after
    /// its [`Wait`](crate::Wait).
    pub fn send(&self, instruction: Instruction) -> Result<(), Busy> {
        self.0.instructions.push(instruction).map_err(|_| Busy)
    }

    /// The next piece that was said and not read.
    pub fn next(&self) -> Option<Said> {
        self.0.said.pop()
    }

    /// Pieces that were lost because nobody read them in time.
    pub fn unheard(&self) -> u64 {
        self.0.unheard.load(Ordering::Relaxed)
    }
}

impl OperatedBy {
    /// The next instruction that was not read.
    pub fn next(&self) -> Option<Instruction> {
        self.line.instructions.pop()
    }

    /// Says something in answer to a message.
    pub fn answer(&mut self, reply: ReplyId) -> Answer<'_> {
        Answer {
            end: Some(self),
            reply,
        }
    }

    fn say(&self, said: Said) -> Result<(), Unheard> {
        let outcome = self.line.said.push(said);
        if outcome.is_err() {
            self.line.unheard.fetch_add(1, Ordering::Relaxed);
        }
        (self.line.wake)();
        outcome.map_err(|_| Unheard)
    }
}

/// An answer in the making; from [`Context::answer`](crate::Context::answer).
#[derive(Debug)]
pub struct Answer<'a> {
    pub(crate) end: Option<&'a mut OperatedBy>,
    pub(crate) reply: ReplyId,
}

impl Answer<'_> {
    fn say(&mut self, part: Part) -> Result<(), Unheard> {
        let end = self.end.as_ref().ok_or(Unheard)?;
        end.say(Said {
            reply: self.reply,
            part,
        })
    }

    /// Says something; several in a row are one text.
    pub fn text(&mut self, words: impl Into<Box<str>>) -> Result<(), Unheard> {
        self.say(Part::Text(words.into()))
    }

    /// Says why.
    pub fn reasoning(&mut self, words: impl Into<Box<str>>) -> Result<(), Unheard> {
        self.say(Part::Reasoning(words.into()))
    }

    /// Begins a step.
    pub fn step(&mut self, name: impl Into<Box<str>>) -> Result<(), Unheard> {
        self.say(Part::StepStart(name.into()))
    }

    /// Ends the step.
    pub fn step_done(&mut self) -> Result<(), Unheard> {
        self.say(Part::StepFinish)
    }

    /// Asks for an order that may need a person's approval. What became of it comes as an
    /// [`Instruction::Outcome`] with the number that this gives.
    pub fn order(&mut self, order: OrderRequest) -> Result<CallId, Unheard> {
        let end = self.end.as_mut().ok_or(Unheard)?;
        end.last_call += 1;
        let call = CallId(end.last_call);
        self.say(Part::Order {
            call,
            order: Box::new(order),
        })?;
        Ok(call)
    }

    /// The answer is complete.
    pub fn finish(&mut self) -> Result<(), Unheard> {
        self.say(Part::Finish)
    }

    /// The answer can't be given.
    pub fn fail(&mut self, why: impl Into<Box<str>>) -> Result<(), Unheard> {
        self.say(Part::Failed(why.into()))
    }
}

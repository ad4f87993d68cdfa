//! The strategy of the gateway's demo: it is told "buy", "sell" or "price", says what it sees, and asks for
//! one order.

use std::collections::BTreeMap;

use tickwire::connectors::InstrumentKey;
use tickwire::connectors::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce};
use tickwire::operator::{CallId, CallOutcome, Instruction, ReplyId, Unheard};
use tickwire::{Context, Price, Qty, Side, Strategy, StreamId};

/// Trades one instrument, as it is told.
pub(super) struct Clerk {
    instrument: InstrumentKey,
    stream: Option<StreamId>,
    /// Orders that were asked for, by the answer that asked.
    asked: BTreeMap<CallId, ReplyId>,
}

impl Clerk {
    pub(super) fn new(instrument: InstrumentKey) -> Clerk {
        Clerk {
            instrument,
            stream: None,
            asked: BTreeMap::new(),
        }
    }

    fn best(&self, context: &Context, side: Side) -> Option<(Price, Qty)> {
        let replica = context.book(self.stream?)?;
        replica.is_valid().then(|| replica.levels(side).next())?
    }

    fn answer(&mut self, context: &mut Context, reply: ReplyId, text: &str) -> Result<(), Unheard> {
        let symbol = self.instrument.symbol;
        let (bid, ask) = (self.best(context, Side::Bid), self.best(context, Side::Ask));
        let mut answer = context.answer(reply);
        answer.step("look at the book")?;
        let (Some(bid), Some(ask)) = (bid, ask) else {
            return answer.fail(format!("there is no book of {symbol} to be believed now"));
        };
        answer.reasoning(format!("{symbol}: {} at {} bid, ", bid.1, bid.0))?;
        answer.reasoning(format!("{} at {} asked.", ask.1, ask.0))?;
        answer.step_done()?;
        let (side, (price, qty)) = match text.trim() {
            "buy" => (Side::Bid, ask),
            "sell" => (Side::Ask, bid),
            "price" => {
                answer.text(format!("{} / {}", bid.0, ask.0))?;
                return answer.finish();
            }
            _ => {
                answer.text(
                    "Tell me to buy or sell what is shown at the best price, or ask for the price.",
                )?;
                return answer.finish();
            }
        };
        answer.text(format!("I {text} {qty} {symbol} at {price}. "))?;
        let call = answer.order(OrderRequest {
            instrument: self.instrument,
            side,
            order_type: OrderType::Limit,
            size: Size::Base(qty),
            price: Some(price),
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: ClientOrderId::new(),
        })?;
        self.asked.insert(call, reply);
        Ok(())
    }
}

impl Strategy for Clerk {
    fn on_start(&mut self, context: &mut Context) {
        let InstrumentKey {
            venue,
            market,
            symbol,
        } = self.instrument;
        let book = tickwire::Channel::BOOK;
        // Refused only where the engine was built without the venue: then the clerk says that it sees none.
        self.stream = context.subscribe_depth(venue, market, &symbol, book).ok();
    }

    fn on_instruction(&mut self, context: &mut Context, instruction: &Instruction) {
        // What nobody hears is counted by the line.
        let _ = match instruction {
            Instruction::Message { reply, text, .. } => self.answer(context, *reply, text),
            Instruction::Outcome { call, outcome, .. } => match self.asked.remove(call) {
                None => Ok(()),
                Some(reply) => {
                    let mut answer = context.answer(reply);
                    let said = match outcome {
                        CallOutcome::Sent { client_order_id } => {
                            answer.text(format!("It is on its way as {client_order_id}."))
                        }
                        CallOutcome::Refused { reason } => {
                            answer.text(format!("It did not go out: {reason}."))
                        }
                    };
                    said.and_then(|()| answer.finish())
                }
            },
            Instruction::Cancel { reply } => {
                self.asked.retain(|_, of| of != reply);
                Ok(())
            }
            Instruction::Begin { .. } | Instruction::End { .. } => Ok(()),
        };
    }
}

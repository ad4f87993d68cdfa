//! The strategy of the gateway's demo: it is told "buy", "sell" or "price", says what it sees, and asks for
//! one order.

use std::collections::BTreeMap;

use tickwire::connectors::InstrumentKey;
use tickwire::connectors::order::{OrderRequest, OrderType, Size, TimeInForce};
use tickwire::connectors::trading::filters::{self, BadOrder, Filter};
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
        let buy = ask.map(|ask| self.order(context, Side::Bid, ask));
        let sell = bid.map(|bid| self.order(context, Side::Ask, bid));
        let mut answer = context.answer(reply);
        answer.step("look at the book")?;
        let (Some(bid), Some(ask)) = (bid, ask) else {
            return answer.fail(format!("there is no book of {symbol} to be believed now"));
        };
        answer.reasoning(format!("{symbol}: {} at {} bid, ", bid.1, bid.0))?;
        answer.reasoning(format!("{} at {} asked.", ask.1, ask.0))?;
        answer.step_done()?;
        let order = match text.trim() {
            "buy" => buy,
            "sell" => sell,
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
        let Some(order) = order else {
            return answer.fail("there is nothing to trade with");
        };
        if let (Size::Base(qty), Some(price)) = (order.size, order.price) {
            answer.text(format!("I {} {qty} {symbol} at {price}. ", text.trim()))?;
        }
        let call = answer.order(order)?;
        self.asked.insert(call, reply);
        Ok(())
    }

    /// An order for what is shown, or for as much as the venue takes at least.
    fn order(&self, context: &Context, side: Side, (price, qty): (Price, Qty)) -> OrderRequest {
        let order = OrderRequest {
            instrument: self.instrument,
            side,
            order_type: OrderType::Limit,
            size: Size::Base(qty),
            price: Some(price),
            stop: None,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            client_order_id: context.next_order_id(),
        };
        let info = self.stream.and_then(|stream| context.stream(stream));
        let instrument = info.and_then(|info| info.instrument());
        let fault = instrument.map(|instrument| filters::check(&instrument, &order, None));
        let least = match fault {
            Some(Err(BadOrder::Filter {
                filter: Filter::NotionalMin | Filter::QtyMin,
                nearest,
                ..
            })) => Qty::parse(nearest.to_string().as_bytes()).ok(),
            _ => None,
        };
        OrderRequest {
            size: Size::Base(least.unwrap_or(qty)),
            ..order
        }
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

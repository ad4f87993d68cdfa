//! Every method of the driver, the same at every row.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tickwire::connectors::order::{
    OrderRequest, OrderStatus, OrderType, Size, Stop, TimeInForce, TriggerBy,
};
use tickwire::connectors::trading::{Action, AmendRequest, OrderId, OrderRef, Transport};
use tickwire::connectors::{Outcome, wide::WideBody};
use tickwire::driver::Driver;
use tickwire::{ErrorKind, Price, Qty, Side, Symbol, Venue};

use super::venues::{ROWS, Row, Stage, WITHIN};

fn each(test: impl Fn(&mut Stage)) {
    for row in ROWS {
        let mut stage = Stage::open(row);
        test(&mut stage);
    }
}

fn by_client(stage: &Stage, id: tickwire::connectors::order::ClientOrderId) -> OrderRef {
    OrderRef {
        symbol: Symbol::from(stage.row.symbol).expect("short"),
        id: OrderId::Client(id),
    }
}

#[test]
fn the_venue_is_asked_what_it_knows() {
    each(|stage| {
        let driver = &mut stage.driver;
        assert_eq!(
            driver.name(),
            format!("{} {}", stage.row.venue, stage.row.market)
        );
        assert!(driver.is_connected() && driver.capabilities().orders);
        let report = driver.sync_time(WITHIN).expect("a time");
        let server = driver.server_time(WITHIN).expect("a time");
        assert!(server >= report.server_ns);
        let info = driver
            .exchange_info(Some(stage.row.symbol), WITHIN)
            .expect("instruments");
        let found = info
            .iter()
            .find(|one| one.key.symbol.as_str() == stage.row.symbol);
        let found = found.expect("the symbol that was asked for");
        assert!(found.from_venue && found.tick_size.is_some() && found.lot_size.is_some());
        let ticker = driver.ticker(stage.row.symbol, WITHIN).expect("a ticker");
        assert!(ticker.last.is_some());
        let book = driver
            .orderbook(stage.row.symbol, 3, WITHIN)
            .expect("a book");
        assert_eq!((book.bids.len(), book.asks.len()), (3, 3));
        assert!(book.bids[0].0 < book.asks[0].0 && book.bids[0].0 > book.bids[1].0);
    });
}

#[test]
fn handlers_run_on_the_callers_thread_until_their_handle_is_dropped() {
    each(|stage| {
        let counts = Rc::new([const { Cell::new(0u32) }; 3]);
        let count = |index: usize| {
            let counts = Rc::clone(&counts);
            move || counts[index].set(counts[index].get() + 1)
        };
        let symbol = stage.row.symbol;
        let (books, trades, tickers) = (count(0), count(1), count(2));
        let book = stage.driver.subscribe_orderbook(
            symbol,
            2,
            Box::new(move |book| {
                assert!(book.bids.len() <= 2 && book.bids[0].0 < book.asks[0].0);
                books();
            }),
        );
        let trade = stage
            .driver
            .subscribe_trades(symbol, Box::new(move |_| trades()));
        let ticker = stage
            .driver
            .subscribe_ticker(symbol, Box::new(move |_| tickers()));
        let (book, trade, ticker) = (
            book.expect("a book"),
            trade.expect("trades"),
            ticker.expect("a ticker"),
        );
        stage.until("events of all", |_| {
            counts.iter().all(|count| count.get() > 1)
        });
        drop(book);
        ticker.unsubscribe();
        let before = [counts[0].get(), counts[2].get()];
        let trades = counts[1].get();
        stage.until("further trades", |_| counts[1].get() > trades + 2);
        assert_eq!(
            [counts[0].get(), counts[2].get()],
            before,
            "{:?}",
            stage.row
        );
        drop(trade);
    });
}

#[test]
fn an_order_is_placed_seen_and_cancelled() {
    each(|stage| {
        let request = stage.limit(Side::Bid, stage.far(90));
        let placed = stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        assert_eq!((placed.status, placed.side), (OrderStatus::New, Side::Bid));
        assert_eq!(placed.client_order_id, request.client_order_id);
        assert!(!placed.venue_order_id.is_empty());

        let order = by_client(stage, request.client_order_id);
        let seen = stage.driver.order(&order, WITHIN).expect("the order");
        assert_eq!((seen.status, seen.price), (OrderStatus::New, request.price));
        let open = stage
            .driver
            .open_orders(Some(stage.row.symbol), WITHIN)
            .expect("orders");
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].venue_order_id, placed.venue_order_id);

        // Sent again with the same key: the same order.
        let again = stage
            .driver
            .place_order(&request, WITHIN)
            .expect("the order");
        assert_eq!(again.venue_order_id, placed.venue_order_id);
        assert_eq!(
            stage
                .driver
                .open_orders(None, WITHIN)
                .map(|orders| orders.len()),
            Ok(1)
        );

        let by_venue = OrderRef {
            id: OrderId::Venue(placed.venue_order_id),
            ..order
        };
        stage
            .driver
            .cancel_order(&by_venue, WITHIN)
            .expect("a cancel");
        stage.until("cancelled order", |stage| {
            let order = stage.driver.order(&order, WITHIN);
            order.is_ok_and(|order| order.status == OrderStatus::Canceled)
        });
        let twice = stage
            .driver
            .cancel_order(&order, WITHIN)
            .expect_err("it has ended");
        assert_eq!(twice.kind, ErrorKind::OrderNotFound, "{twice}");
    });
}

#[test]
fn an_order_is_amended_where_the_venue_can() {
    each(|stage| {
        let mut request = stage.limit(Side::Bid, stage.far(90));
        request.size = stage.row.size(3);
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        let order = by_client(stage, request.client_order_id);
        let (price, Size::Base(qty)) = (stage.far(91), stage.row.size(2)) else {
            unreachable!("sizes are in base here");
        };
        let capabilities = stage.driver.capabilities();
        let amend = AmendRequest {
            order,
            price: capabilities.amend_price.then_some(price),
            qty: Some(qty),
        };
        stage.driver.amend_order(&amend, WITHIN).expect("an amend");
        let expected = if capabilities.amend_price {
            Some(price)
        } else {
            request.price
        };
        stage.until("the amended order", |stage| {
            let order = stage.driver.order(&order, WITHIN);
            order.is_ok_and(|order| (order.price, order.qty) == (expected, Some(qty)))
        });
        let elsewhere = AmendRequest {
            price: Some(price),
            ..amend
        };
        if !capabilities.amend_price {
            let refused = stage
                .driver
                .amend_order(&elsewhere, WITHIN)
                .expect_err("no such amend");
            assert_eq!(refused.kind, ErrorKind::NotSupported);
        }
    });
}

#[test]
fn an_order_that_crosses_is_filled_and_all_of_it_is_told() {
    each(|stage| {
        let told = Rc::new(RefCell::new(Vec::new()));
        let notes = Rc::clone(&told);
        stage
            .driver
            .on_account(Box::new(move |body| notes.borrow_mut().push(*body)));
        let request = stage.limit(Side::Bid, stage.crossing(Side::Bid));
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        let filled = |told: &[WideBody]| {
            let mut sum = Qty::new(0, tickwire::Scale::of(0));
            for body in told {
                let WideBody::Fill(fill) = body else { continue };
                assert_eq!(fill.client_order_id, request.client_order_id);
                assert!(Some(fill.price) <= request.price && fill.fee.is_some());
                sum = sum.checked_add(fill.qty).expect("small");
            }
            Size::Base(sum)
        };
        // The answer and the stream may each be first.
        stage.until("a filled order", |_| {
            let told = told.borrow();
            let mut orders = told.iter().filter_map(|body| match body {
                WideBody::Order(order) => Some(order.status),
                _ => None,
            });
            orders.any(|status| status == OrderStatus::Filled) && filled(&told) == request.size
        });
    });
}

/// Bybit lists 50 orders a page.
#[test]
fn a_list_of_several_pages_is_whole_and_so_is_what_is_reconciled_by_it() {
    let long = |row: &&Row| row.venue == Venue::Bybit && row.transport == Transport::WebSocket;
    for row in ROWS.iter().filter(long) {
        let mut stage = Stage::open(*row);
        let mut ids = Vec::new();
        while ids.len() < 120 {
            let request = stage.limit(Side::Bid, stage.far(80));
            match stage.driver.place_order(&request, WITHIN) {
                Ok(_) => ids.push(request.client_order_id),
                // The venue takes so many a second.
                Err(error) => assert_eq!(error.kind, ErrorKind::RateLimited, "{error}"),
            }
        }
        ids.sort_unstable();
        let listed = |stage: &mut Stage, of: Option<&str>| {
            let open = stage.driver.open_orders(of, WITHIN).expect("orders");
            let mut open: Vec<_> = open.iter().map(|order| order.client_order_id).collect();
            open.sort_unstable();
            open
        };
        assert_eq!(listed(&mut stage, None), ids, "{row:?}");
        assert_eq!(listed(&mut stage, Some(row.symbol)), ids, "{row:?}");
        // None is taken for gone when the account is reconciled.
        stage.driver.disconnect();
        stage.driver.connect(WITHIN).expect("back");
        assert_eq!(listed(&mut stage, None), ids, "{row:?}");
        let order = by_client(&stage, ids[0]);
        let known = stage.driver.order(&order, WITHIN).expect("the order");
        assert_eq!(known.status, OrderStatus::New, "{row:?}");
    }
}

#[test]
fn all_orders_are_cancelled_at_once() {
    each(|stage| {
        for percent in [88, 89, 90] {
            let request = stage.limit(Side::Bid, stage.far(percent));
            stage
                .driver
                .place_order(&request, WITHIN)
                .expect("an order");
        }
        stage
            .driver
            .cancel_all(Some(stage.row.symbol), WITHIN)
            .expect("a cancel");
        stage.until("empty list", |stage| {
            stage
                .driver
                .open_orders(None, WITHIN)
                .is_ok_and(|orders| orders.is_empty())
        });
        // Nothing to cancel is no error.
        stage.driver.cancel_all(None, WITHIN).expect("nothing");
    });
}

#[test]
fn the_kill_switch_cancels_and_refuses_until_it_is_released() {
    each(|stage| {
        let request = stage.limit(Side::Bid, stage.far(90));
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        stage.driver.kill(WITHIN).expect("all cancelled");
        stage.until("empty list", |stage| {
            stage
                .driver
                .open_orders(None, WITHIN)
                .is_ok_and(|orders| orders.is_empty())
        });
        let another = stage.limit(Side::Bid, stage.far(90));
        let refused = stage
            .driver
            .place_order(&another, WITHIN)
            .expect_err("killed");
        assert_eq!(
            (refused.kind, refused.outcome),
            (ErrorKind::OrderRejected, Outcome::NotSent)
        );
        stage.driver.release(WITHIN).expect("released");
        stage
            .driver
            .place_order(&another, WITHIN)
            .expect("an order");
    });
}

#[test]
fn the_kinds_of_order_do_what_they_say() {
    each(|stage| {
        let (far, crossing) = (stage.far(90), stage.crossing(Side::Bid));
        let kinds = [
            (
                OrderType::LimitMaker,
                TimeInForce::Gtc,
                far,
                Some(OrderStatus::New),
            ),
            (OrderType::LimitMaker, TimeInForce::Gtc, crossing, None),
            (
                OrderType::Limit,
                TimeInForce::Ioc,
                crossing,
                Some(OrderStatus::Filled),
            ),
            (
                OrderType::Limit,
                TimeInForce::Fok,
                crossing,
                Some(OrderStatus::Filled),
            ),
            (OrderType::Limit, TimeInForce::Ioc, far, None),
        ];
        for (order_type, time_in_force, price, expected) in kinds {
            let mut request = stage.limit(Side::Bid, price);
            (request.order_type, request.time_in_force) = (order_type, time_in_force);
            let what = format!("{:?}: {order_type:?} {time_in_force:?} {price}", stage.row);
            let placed = stage.driver.place_order(&request, WITHIN);
            let order = by_client(stage, request.client_order_id);
            match expected {
                Some(status) => {
                    placed.unwrap_or_else(|error| panic!("{what}: {error}"));
                    stage.until(&what, |stage| {
                        let order = stage.driver.order(&order, WITHIN);
                        order.is_ok_and(|order| order.status == status)
                    });
                }
                // Refused at once, or taken and ended without a trade.
                None => match placed {
                    Err(error) => assert_eq!(error.outcome, Outcome::Rejected, "{what}: {error}"),
                    Ok(_) => stage.until(&what, |stage| {
                        let order = stage.driver.order(&order, WITHIN);
                        order.is_ok_and(|order| order.status.is_final() && order.filled.is_zero())
                    }),
                },
            }
        }
        let mut market = stage.limit(Side::Ask, crossing);
        (market.order_type, market.price) = (OrderType::Market, None);
        stage
            .driver
            .place_order(&market, WITHIN)
            .expect("a market order");
        let order = by_client(stage, market.client_order_id);
        stage.until("a market order filled", |stage| {
            let order = stage.driver.order(&order, WITHIN);
            order.is_ok_and(|order| order.status == OrderStatus::Filled)
        });
    });
}

/// A stop at this price; a market order behind it, where no limit is said.
fn stop(stage: &Stage, side: Side, at: Price, limit: Option<Price>) -> OrderRequest {
    let by = TriggerBy::Last;
    OrderRequest {
        order_type: limit.map_or(OrderType::Market, |_| OrderType::Limit),
        price: limit,
        stop: Some(Stop { price: at, by }),
        ..stage.limit(side, at)
    }
}

#[test]
fn a_stop_waits_and_is_cancelled_as_any_order() {
    each(|stage| {
        let (at, limit) = (stage.far(90), stage.far(89));
        let request = stop(stage, Side::Ask, at, Some(limit));
        let placed = stage.driver.place_order(&request, WITHIN);
        if !stage.driver.capabilities().stops {
            let refused = placed.expect_err("no stops");
            assert_eq!(
                (refused.kind, refused.outcome),
                (ErrorKind::NotSupported, Outcome::NotSent)
            );
            return;
        }
        let placed = placed.unwrap_or_else(|error| panic!("{:?}: {error}", stage.row));
        assert_eq!(placed.status, OrderStatus::Untriggered, "{:?}", stage.row);
        let order = by_client(stage, request.client_order_id);
        let seen = stage.driver.order(&order, WITHIN).expect("the order");
        assert_eq!(seen.status, OrderStatus::Untriggered);
        let stopped_at = seen.stop.map(|stop| stop.price);
        assert_eq!((stopped_at, seen.price), (Some(at), Some(limit)));
        let open = stage.driver.open_orders(None, WITHIN).expect("orders");
        let open: Vec<_> = open.iter().map(|one| one.client_order_id).collect();
        assert_eq!(open, [request.client_order_id], "{:?}", stage.row);
        let amend = AmendRequest {
            order,
            price: Some(stage.far(88)),
            qty: None,
        };
        let refused = stage.driver.amend_order(&amend, WITHIN);
        assert_eq!(refused.expect_err("it waits").kind, ErrorKind::NotSupported);
        stage.driver.cancel_order(&order, WITHIN).expect("a cancel");
        stage.until("cancelled stop", |stage| {
            let order = stage.driver.order(&order, WITHIN);
            order.is_ok_and(|order| order.status == OrderStatus::Canceled)
        });
        // All of them, with orders of the book.
        for request in [
            stop(stage, Side::Ask, at, Some(limit)),
            stop(stage, Side::Ask, at, None),
            stage.limit(Side::Bid, at),
        ] {
            stage
                .driver
                .place_order(&request, WITHIN)
                .expect("an order");
        }
        stage
            .driver
            .cancel_all(Some(stage.row.symbol), WITHIN)
            .expect("a cancel");
        stage.until("empty list", |stage| {
            let open = stage.driver.open_orders(None, WITHIN);
            open.is_ok_and(|orders| orders.is_empty())
        });
    });
}

#[test]
fn a_stop_that_is_there_already_is_refused() {
    each(|stage| {
        if !stage.driver.capabilities().stops {
            return;
        }
        let request = stop(stage, Side::Bid, stage.far(90), None);
        let refused = stage.driver.place_order(&request, WITHIN);
        let refused = refused.expect_err("it would trigger at once");
        assert_eq!(
            (refused.kind, refused.outcome),
            (ErrorKind::OrderRejected, Outcome::Rejected),
            "{:?}: {refused}",
            stage.row
        );
        assert!(refused.code.is_some(), "{refused}");
    });
}

/// Whatever the venue calls the order that a stop becomes, it is the same one, under our id.
#[test]
fn a_stop_that_triggers_goes_on_under_the_same_id() {
    each(|stage| {
        if !stage.driver.capabilities().stops {
            return;
        }
        let told = Rc::new(RefCell::new(Vec::new()));
        let notes = Rc::clone(&told);
        stage
            .driver
            .on_account(Box::new(move |body| notes.borrow_mut().push(*body)));
        let info = stage.driver.exchange_info(Some(stage.row.symbol), WITHIN);
        let info = info.expect("instruments");
        let named =
            |one: &&tickwire::connectors::Instrument| one.key.symbol.as_str() == stage.row.symbol;
        let tick = info.iter().find(named).and_then(|one| one.tick_size);
        let tick = tick.expect("a tick");
        // One on either side, since the market may go away. It may come there before the request does: a
        // little further then.
        let requests = [(Side::Bid, 1), (Side::Ask, -1)].map(|(side, away)| {
            let request = (1..40).find_map(|ticks| {
                let ticker = stage.driver.ticker(stage.row.symbol, WITHIN);
                let last = ticker.expect("a ticker").last?;
                let step = Price::new(tick.mantissa() * ticks * away, tick.scale());
                let request = stop(stage, side, last.checked_add(step)?, None);
                let placed = stage.driver.place_order(&request, WITHIN);
                placed.is_ok().then_some(request)
            });
            request.unwrap_or_else(|| panic!("no stop was taken at {:?}", stage.row))
        });
        let mut triggered = None;
        stage.until("triggered stop", |_| {
            let told = told.borrow();
            triggered = told.iter().find_map(|body| match body {
                WideBody::Order(order) if order.status == OrderStatus::Filled => {
                    let of =
                        |request: &&OrderRequest| request.client_order_id == order.client_order_id;
                    requests.iter().find(of)
                }
                _ => None,
            });
            triggered.is_some()
        });
        let request = triggered.expect("one of them");
        let filled = |told: &[WideBody]| {
            let mut sum = Qty::new(0, tickwire::Scale::of(0));
            for body in told {
                let WideBody::Fill(fill) = body else { continue };
                if fill.client_order_id == request.client_order_id {
                    sum = sum.checked_add(fill.qty).expect("small");
                }
            }
            Size::Base(sum)
        };
        stage.until("all its trades", |_| filled(&told.borrow()) == request.size);
        let told = told.borrow();
        let statuses: Vec<_> = told
            .iter()
            .filter_map(|body| match body {
                WideBody::Order(order) if order.client_order_id == request.client_order_id => {
                    Some(order.status)
                }
                _ => None,
            })
            .collect();
        let last = statuses.last();
        assert_eq!(last, Some(&OrderStatus::Filled), "{:?}", stage.row);
        let ledger = stage.sim.control().ledger(stage.row.sim, "demo");
        let orders = ledger.expect("an account").orders;
        let ours = orders
            .iter()
            .filter(|one| one.client_id == request.client_order_id.as_str());
        assert_eq!(ours.count(), 1, "{:?}", stage.row);
    });
}

#[test]
fn what_the_filters_forbid_does_not_leave() {
    each(|stage| {
        let mut odd = stage.limit(Side::Bid, Price::parse(b"1.0000001").expect("a price"));
        let refused = stage.driver.place_order(&odd, WITHIN).expect_err("a tick");
        assert_eq!(
            (refused.kind, refused.outcome),
            (ErrorKind::Precision, Outcome::NotSent)
        );
        assert!(refused.text.contains("tick size") && refused.text.contains("nearest legal"));
        let tick = odd.price;
        odd.price = Some(stage.far(90));
        if stage.driver.capabilities().stops {
            let by = TriggerBy::Last;
            odd.stop = tick.map(|price| Stop { price, by });
            let refused = stage.driver.place_order(&odd, WITHIN).expect_err("a tick");
            assert_eq!(
                (refused.kind, refused.outcome),
                (ErrorKind::Precision, Outcome::NotSent)
            );
            odd.stop = None;
        }
        odd.size = Size::Base(Qty::parse(b"0.0000000001").expect("a quantity"));
        let refused = stage.driver.place_order(&odd, WITHIN).expect_err("a lot");
        assert_eq!(
            (refused.kind, refused.outcome),
            (ErrorKind::Precision, Outcome::NotSent)
        );
        assert_eq!(
            stage
                .driver
                .open_orders(None, WITHIN)
                .map(|orders| orders.len()),
            Ok(0)
        );
    });
}

#[test]
fn what_the_venue_refuses_says_why() {
    each(|stage| {
        let mut rich = stage.limit(Side::Bid, stage.far(99));
        // Within the largest order.
        rich.size = stage.row.size(stage.row.too_much);
        let refused = stage
            .driver
            .place_order(&rich, WITHIN)
            .expect_err("no money");
        assert_eq!(refused.kind, ErrorKind::InsufficientFunds, "{refused}");
        assert_eq!(refused.outcome, Outcome::Rejected);
        assert!(refused.code.is_some() && !refused.text.is_empty());
        let none = by_client(stage, stage.driver.next_order_id());
        let unknown = stage
            .driver
            .order(&none, WITHIN)
            .expect_err("no such order");
        assert_eq!(unknown.kind, ErrorKind::OrderNotFound, "{unknown}");
    });
}

#[test]
fn what_was_asked_without_waiting_is_answered_later() {
    each(|stage| {
        let request = stage.limit(Side::Bid, stage.far(90));
        // The instrument's data are there by then.
        stage
            .driver
            .exchange_info(Some(stage.row.symbol), WITHIN)
            .expect("instruments");
        let ticket = stage
            .driver
            .submit(Action::Place(request))
            .expect("a ticket");
        let mut answer = None;
        stage.until("an answer", |stage| {
            answer = stage.driver.next_answer();
            answer.is_some()
        });
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.ticket, answer.result.is_ok()),
            (ticket, true),
            "{answer:?}"
        );
    });
}

#[test]
fn a_driver_comes_back_from_disconnect_and_not_from_close() {
    each(|stage| {
        let request = stage.limit(Side::Bid, stage.far(90));
        stage
            .driver
            .place_order(&request, WITHIN)
            .expect("an order");
        stage.driver.disconnect();
        assert!(!stage.driver.is_connected());
        stage.driver.connect(WITHIN).expect("back");
        let open = stage.driver.open_orders(None, WITHIN).expect("orders");
        // It stands where it stood, unless the venue was told to cancel it.
        let is_cancelled = stage.driver.capabilities().cancel_on_disconnect;
        assert_eq!(open.len(), usize::from(!is_cancelled), "{:?}", stage.row);
        stage.driver.close();
        assert!(!stage.driver.is_connected());
        let closed = stage.driver.balances(WITHIN).expect_err("closed");
        assert_eq!(
            (closed.kind, closed.outcome),
            (ErrorKind::Disconnected, Outcome::NotSent)
        );
        assert!(stage.driver.connect(WITHIN).is_err());
    });
}

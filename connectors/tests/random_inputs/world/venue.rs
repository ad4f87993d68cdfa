//! The venue's side of the world: acks, snapshots, deltas and answers, with their faults.

use super::*;

impl World {
    /// Answers one of the waiting requests.
    pub(super) fn answer(&mut self, number: usize, fault: AckFault) {
        let mut with_requests = self
            .links
            .iter_mut()
            .filter(|(_, link)| !link.requests.is_empty());
        let Some((&id, _)) = with_requests.nth(number % 2) else {
            return;
        };
        self.arrive(id);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        // A venue answers in order.
        let Some((request, subscribe, topics)) = link.requests.pop_front() else {
            return;
        };
        if topics.is_empty() {
            if !matches!(fault, AckFault::Lost | AckFault::Unheard) {
                let done = match self.kind {
                    VenueKind::DeribitInverse => deribit::done(&request),
                    VenueKind::Polymarket => "PONG".to_owned(),
                    _ => {
                        r#"{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}"#.to_owned()
                    }
                };
                self.message(id, done.as_bytes());
            }
            return;
        }
        let acks = self.kind != VenueKind::Polymarket;
        if fault == AckFault::Unheard || fault == AckFault::Refused && !acks {
            return;
        }
        // Linear acks name no request: a second one could only be taken for the next request's.
        let (request, fault) = match (self.kind, fault) {
            (VenueKind::BybitLinear, AckFault::Doubled) => (json!(""), AckFault::None),
            (VenueKind::BybitLinear, fault) => (json!(""), fault),
            (_, fault) => (request, fault),
        };
        let refuse = |words: String| match self.kind.is_binance() {
            _ if self.kind == VenueKind::DeribitInverse => deribit::refusal(&request, &words),
            true => json!({"code": 2, "msg": words, "id": request}),
            false => {
                json!({"success": false, "ret_msg": words, "req_id": request, "op": "subscribe"})
            }
        };
        let had = topics.iter().find(|topic| link.topics.contains(*topic));
        let mut fresh = Vec::new();
        let reply = if subscribe && fault == AckFault::Refused {
            refuse("Invalid request".to_owned())
        } else if let (true, true, Some(had)) = (subscribe, self.kind.is_bybit(), had) {
            refuse(format!("error:already subscribed,topic:{had}"))
        } else {
            for topic in &topics {
                link.mute.remove(topic);
                if !subscribe {
                    link.topics.remove(topic);
                } else if link.topics.insert(topic.clone()) {
                    fresh.push(topic.clone());
                }
            }
            match self.kind.is_binance() {
                _ if self.kind == VenueKind::DeribitInverse => {
                    json!({"jsonrpc": "2.0", "id": request, "result": topics, "usIn": 1, "usOut": 2})
                }
                true => json!({"result": null, "id": request}),
                false => json!({
                    "success": true, "ret_msg": "", "conn_id": "c", "req_id": request,
                    "op": if subscribe { "subscribe" } else { "unsubscribe" },
                }),
            }
        };
        let reply = reply.to_string();
        let ack_first = self.rng.bool();
        let count = match fault {
            _ if !acks => 0,
            AckFault::Lost => 0,
            AckFault::Doubled => 2,
            _ => 1,
        };
        for _ in 0..if ack_first { count } else { 0 } {
            self.message(id, reply.as_bytes());
        }
        if !self.kind.is_binance() {
            for topic in fresh {
                if let Some(text) = self.whole(&topic) {
                    self.message(id, text.as_bytes());
                }
            }
        }
        for _ in 0..if ack_first { 0 } else { count } {
            self.message(id, reply.as_bytes());
        }
    }

    /// What the venue sends of a topic at its subscription.
    pub(super) fn whole(&self, topic: &str) -> Option<String> {
        match self.kind {
            VenueKind::DeribitInverse => return self.deribit_whole(topic),
            VenueKind::Polymarket => return self.polymarket_whole(topic),
            _ => {}
        }
        let (_, name) = topic.rsplit_once('.')?;
        let truth = &self.truths[self.kind.names().iter().position(|one| *one == name)?];
        let best = |side: &Side64, best: Option<(&i64, &i64)>| match (
            topic.starts_with("orderbook.1."),
            best,
        ) {
            (true, Some((&price, &qty))) => rows(&Side64::from([(price, qty)])),
            _ => rows(side),
        };
        if !topic.starts_with("orderbook.") {
            return None;
        }
        Some(
            json!({
                "topic": topic, "type": "snapshot", "ts": 1_700_000_000_009u64,
                "data": {
                    "s": name,
                    "b": best(&truth.bids, truth.bids.last_key_value()),
                    "a": best(&truth.asks, truth.asks.first_key_value()),
                    "u": truth.seq, "seq": truth.cross,
                },
                "cts": 1_700_000_000_005u64,
            })
            .to_string(),
        )
    }

    /// Something happens at the venue.
    pub(super) fn tick(&mut self, symbol: usize, fault: Fault) {
        let fault = match fault {
            // Nothing tells of a loss: the tests of a stream's best prices see to it.
            Fault::Dropped if self.kind == VenueKind::Polymarket => Fault::None,
            fault => fault,
        };
        for (topic, text) in self.news(symbol, fault) {
            let links = self
                .links
                .iter()
                .filter(|(_, link)| link.up && link.topics.contains(&topic));
            let links: Vec<u16> = links.map(|(&id, _)| id).collect();
            // Of two links one may have a fault of its own, and one may lag.
            let of_one = links.len() > 1 && self.rng.bool();
            let unlucky = self.rng.usize(..links.len().max(1));
            for (index, &id) in links.iter().enumerate() {
                let fault = match fault {
                    Fault::Restart | Fault::TooFine => fault,
                    _ if of_one && index != unlucky => Fault::None,
                    _ => fault,
                };
                let mut bytes = text.as_bytes().to_vec();
                let mut times = 1;
                match fault {
                    Fault::Dropped => times = 0,
                    Fault::Doubled => times = 2,
                    Fault::CutOff => bytes.truncate(self.rng.usize(..text.len())),
                    _ => {}
                }
                let is_bybit = self.kind.is_bybit();
                let falls_mute = fault == Fault::Dropped && is_bybit && self.rng.u8(..4) == 0;
                let link = self.links.get_mut(&id).expect("a link");
                if falls_mute {
                    link.mute.insert(topic.clone());
                }
                for _ in 0..times {
                    link.lag.push_back((topic.clone(), bytes.clone()));
                }
                let lags = links.len() > 1 && self.rng.u8(..3) == 0;
                if !lags {
                    self.arrive(id);
                }
            }
        }
    }

    /// What is under way on a link arrives.
    pub(super) fn arrive(&mut self, id: u16) {
        while let Some(link) = self.links.get_mut(&id).filter(|link| link.up)
            && let Some((topic, bytes)) = link.lag.pop_front()
        {
            if !link.mute.contains(&topic) {
                self.message(id, &bytes);
            }
        }
    }

    pub(super) fn arrive_all(&mut self) {
        let links: Vec<u16> = self.links.keys().copied().collect();
        for id in links {
            self.arrive(id);
        }
    }

    /// What happens to a symbol, as a message of each topic.
    pub(super) fn news(&mut self, symbol: usize, fault: Fault) -> Vec<(String, String)> {
        let name = self.kind.names()[symbol];
        let restart = fault == Fault::Restart && self.kind.is_bybit();
        let before = self.truths[symbol].seq;
        let truth = &mut self.truths[symbol];
        let (mut first, mut bids, mut asks) = truth.step(&mut self.rng, fault == Fault::TooFine);
        if self.kind == VenueKind::Polymarket {
            truth.seq = (before + 1).max(self.now.as_millis() as u64);
        }
        if self.kind.is_bybit() {
            // One number an update.
            truth.seq = if restart { 1 } else { first };
            first = truth.seq;
            if restart {
                (bids, asks) = (truth.bids.clone(), truth.asks.clone());
            }
        }
        truth.cross = self.trades + 1;
        let truth = truth.clone();
        self.history[symbol]
            .entry(truth.seq)
            .or_default()
            .push(truth.clone());
        self.past[symbol].push_back(truth.clone());
        if self.past[symbol].len() > 8 {
            self.past[symbol].pop_front();
        }
        self.trades += 1;
        match self.kind {
            VenueKind::DeribitInverse => return self.deribit_news(symbol, before, &bids, &asks),
            VenueKind::Polymarket => return self.polymarket_news(symbol, &bids, &asks),
            _ => {}
        }
        let lower = name.to_ascii_lowercase();
        let best = |side: Option<(&i64, &i64)>| side.map_or((0, 0), |(&price, &qty)| (price, qty));
        let (bid, ask) = (
            best(truth.bids.last_key_value()),
            best(truth.asks.first_key_value()),
        );
        let time = self.now.as_millis();
        if !self.kind.is_binance() {
            let topic = format!("orderbook.50.{name}");
            let kind = if restart && self.rng.bool() {
                "snapshot"
            } else {
                "delta"
            };
            let book = json!({
                "topic": topic, "type": kind, "ts": time, "cts": time,
                "data": {"s": name, "b": rows(&bids), "a": rows(&asks), "u": truth.seq, "seq": truth.cross},
            });
            let top = format!("orderbook.1.{name}");
            let trades = format!("publicTrade.{name}");
            let trade = json!({
                "topic": trades, "type": "snapshot", "ts": time,
                "data": [{"T": time, "s": name, "S": "Buy", "v": "1", "p": "100", "L": "PlusTick",
                    "i": self.trades.to_string(), "BT": false}],
            });
            return vec![
                (topic, book.to_string()),
                (top.clone(), self.whole(&top).expect("a book topic")),
                (trades, trade.to_string()),
            ];
        }
        let mut depth = json!({
            "e": "depthUpdate", "E": time, "s": name, "U": first, "u": truth.seq,
            "b": rows(&bids), "a": rows(&asks),
        });
        let mut top = json!({
            "u": truth.seq, "s": name, "b": text(bid.0), "B": text(bid.1),
            "a": text(ask.0), "A": text(ask.1),
        });
        if !self.kind.is_spot() {
            depth["T"] = json!(time);
            depth["pu"] = json!(before);
            top["e"] = json!("bookTicker");
            top["T"] = json!(time);
            top["E"] = json!(time);
        }
        let trade = json!({
            "e": "trade", "E": time, "s": name, "t": self.trades, "p": "100", "q": "1",
            "T": time, "m": true, "M": true,
        });
        let topics = [
            ("depth@100ms", depth),
            ("bookTicker", top),
            ("trade", trade),
        ];
        let message = |(topic, data)| {
            let topic = format!("{lower}@{topic}");
            let text = format!(r#"{{"stream":"{topic}","data":{data}}}"#);
            (topic, text)
        };
        topics.map(message).into()
    }

    /// Answers one of the HTTP requests.
    pub(super) fn http(&mut self, number: usize, fault: HttpFault) {
        if number >= self.http.len() {
            return;
        }
        let (_, request) = self.http.remove(number);
        if fault == HttpFault::Never {
            // The engine says so after the request's time.
            self.wait(11_000);
        }
        let times = if fault == HttpFault::Doubled { 2 } else { 1 };
        for _ in 0..times {
            self.respond(&request, fault);
        }
    }

    pub(super) fn respond(&mut self, request: &HttpRequest, fault: HttpFault) {
        let parts = [
            "/depth?symbol=",
            "/orderbook?category=spot&symbol=",
            "/orderbook?category=linear&symbol=",
        ];
        let of_book = parts
            .iter()
            .find_map(|part| request.target.split_once(part));
        let body = if self.kind == VenueKind::DeribitInverse {
            self.deribit_answer(&request.target, fault)
        } else if self.kind == VenueKind::Polymarket {
            self.polymarket_answer(&request.target, fault)
        } else if let Some((_, rest)) = of_book {
            let name = rest.split('&').next().expect("a symbol");
            let index = self
                .kind
                .names()
                .iter()
                .position(|one| *one == name)
                .expect("a known symbol");
            let truth = match fault {
                HttpFault::Old => self.past[index].front().expect("a past"),
                _ => &self.truths[index],
            };
            let best_first = |side: &Side64| -> Value {
                let rows: Vec<Value> = rows(side).as_array().cloned().unwrap_or_default();
                rows.into_iter().rev().collect()
            };
            if !self.kind.is_binance() {
                let book = json!({"s": name, "b": best_first(&truth.bids), "a": rows(&truth.asks),
                    "ts": 1, "u": truth.seq, "seq": truth.cross});
                json!({"retCode": 0, "retMsg": "OK", "result": book})
            } else {
                json!({"lastUpdateId": truth.seq, "T": self.now.as_millis(), "bids": best_first(&truth.bids), "asks": rows(&truth.asks)})
            }
        } else {
            self.instruments()
        };
        let mut status = 200;
        let mut bytes = body.to_string().into_bytes();
        match fault {
            HttpFault::Garbage => bytes.truncate(bytes.len() / 2),
            HttpFault::Status(code) => {
                status = code;
                bytes = br#"{"code":-1003,"msg":"no"}"#.to_vec();
            }
            _ => {}
        }
        let headers = [("Retry-After".to_owned(), "7".to_owned())];
        if matches!(fault, HttpFault::Failed | HttpFault::Never) {
            let failure = HttpFailure {
                what: "reset".to_owned(),
                sent: true,
            };
            self.connector
                .handle_response(self.now, request.id, Err(failure), &mut self.out);
        } else if request.read_on == ReadOn::Helper && status == 200 {
            let read = self.connector.instrument_reader()(self.connector.market(), &mut bytes);
            self.connector
                .handle_instruments(self.now, request.id, read, &mut self.out);
        } else {
            let response = Response {
                status,
                headers: &headers,
                body: &mut bytes,
            };
            self.connector
                .handle_response(self.now, request.id, Ok(response), &mut self.out);
        }
        self.settle();
    }

    pub(super) fn instruments(&self) -> Value {
        let rows: Value = (0..SYMBOLS)
            .map(|symbol| {
                let name = self.kind.names()[symbol];
                let (base, quote, settle) = self.kind.currencies(symbol);
                let mut row = json!({
                    "symbol": name, "status": "TRADING", "baseAsset": base, "quoteAsset": quote,
                    "marginAsset": settle, "baseCoin": base, "quoteCoin": quote,
                    "settleCoin": settle, "contractSize": 10,
                    "filters": [
                        {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                        {"filterType": "LOT_SIZE", "stepSize": "0.01"},
                    ],
                    "priceFilter": {"tickSize": "0.01"},
                    "lotSizeFilter": {"basePrecision": "0.01", "qtyStep": "0.01"},
                });
                if self.kind == VenueKind::BybitLinear {
                    row["contractType"] = json!("LinearPerpetual");
                }
                row
            })
            .collect();
        json!({"symbols": rows, "retCode": 0, "retMsg": "OK", "result": {"list": rows}})
    }
}

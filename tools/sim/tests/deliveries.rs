//! Answers that a fault keeps or swallows, at the level of one connection's bytes.

use tickwire_sim::{Delivery, HttpResponse, Incoming, Session};

fn answer(body: &str, delivery: Delivery) -> HttpResponse {
    HttpResponse {
        status: 200,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        delivery,
    }
}

fn asked(session: &mut Session) {
    session
        .feed(b"GET / HTTP/1.1\r\nHost: a\r\nX-Key: k\r\n\r\n")
        .unwrap();
    let Ok(Some(Incoming::Request(parsed))) = session.next_incoming() else {
        panic!("no request");
    };
    assert_eq!(parsed.headers[1], ("X-Key".to_owned(), "k".to_owned()));
}

fn text(session: &mut Session) -> String {
    let text = String::from_utf8(session.pending().to_vec()).unwrap();
    session.advance(text.len());
    text
}

#[test]
fn late_answer_comes_at_its_time_and_later_ones_wait_behind_it() {
    let mut session = Session::default();
    for (body, delivery) in [("one", Delivery::At(50)), ("two", Delivery::Now)] {
        asked(&mut session);
        session.respond(&answer(body, delivery), true, true, usize::MAX);
    }
    assert_eq!((session.poll(49), text(&mut session).as_str()), (None, ""));
    assert_eq!(session.next_deadline(), Some(50));
    assert!(session.held() > 0, "something is still to come");
    assert_eq!(session.poll(50), None);
    let all = text(&mut session);
    assert!(all.find("one").unwrap() < all.find("two").unwrap());
    assert_eq!((session.next_deadline(), session.held()), (None, 0));
}

#[test]
fn swallowed_request_ends_the_connection_after_what_was_answered_before() {
    let mut session = Session::default();
    for (body, delivery) in [("one", Delivery::At(50)), ("two", Delivery::Never)] {
        asked(&mut session);
        session.respond(&answer(body, delivery), true, true, usize::MAX);
    }
    assert_eq!(session.poll(0), None, "the first answer is still to come");
    assert_eq!(session.poll(50), Some(false));
    let all = text(&mut session);
    assert!(all.contains("one") && !all.contains("two"));
}

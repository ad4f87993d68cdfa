use super::*;

const RULES: Rules = Rules {
    topics_max: 3,
    bytes_max: 1_000,
    in_flight_max: 1,
    ack_timeout_ns: Nanos::from_secs(5),
    tries_max: 3,
};

fn up(topics: &[&str]) -> Subscriptions {
    let mut subscriptions = Subscriptions::new(RULES);
    for topic in topics {
        subscriptions.want(topic);
    }
    subscriptions.handle_up();
    subscriptions
}

fn request(subscriptions: &mut Subscriptions) -> Option<(u32, Op, Vec<String>)> {
    let request = subscriptions.next_request(Nanos::ZERO)?;
    let topics = subscriptions
        .topics_of(request.id)
        .map(str::to_owned)
        .collect();
    Some((request.id, request.op, topics))
}

fn names(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|&topic| topic.to_owned()).collect()
}

#[test]
fn requests_are_split_to_the_maximum_and_wait_for_their_ack() {
    let mut subscriptions = up(&["a", "b", "c", "d"]);
    assert_eq!(
        request(&mut subscriptions),
        Some((1, Op::Subscribe, names(&["a", "b", "c"])))
    );
    assert_eq!(request(&mut subscriptions), None, "one in flight");
    assert!(subscriptions.handle_ack(1));
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["d"])))
    );
    assert!(subscriptions.handle_ack(2));
    assert!(!subscriptions.handle_ack(2), "a late ack");
    assert_eq!(request(&mut subscriptions), None);
}

#[test]
fn a_request_keeps_to_the_bytes_the_venue_allows() {
    let mut subscriptions = Subscriptions::new(Rules {
        bytes_max: 5,
        ..RULES
    });
    for topic in ["abc", "def", "overlong"] {
        subscriptions.want(topic);
    }
    subscriptions.handle_up();
    for (id, topic) in (1..).zip(["abc", "def", "overlong"]) {
        assert_eq!(
            request(&mut subscriptions),
            Some((id, Op::Subscribe, names(&[topic])))
        );
        subscriptions.handle_ack(id);
    }
}

#[test]
fn what_is_wanted_while_down_is_asked_for_on_the_next_link() {
    let mut subscriptions = up(&["a"]);
    request(&mut subscriptions);
    subscriptions.handle_down();
    subscriptions.want("b");
    subscriptions.unwant("a");
    assert_eq!(request(&mut subscriptions), None);
    subscriptions.handle_up();
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["b"])))
    );
}

#[test]
fn a_topic_let_go_while_it_is_asked_for_is_unsubscribed_after_the_ack() {
    let mut subscriptions = up(&["a"]);
    request(&mut subscriptions);
    subscriptions.unwant("a");
    assert_eq!(request(&mut subscriptions), None);
    subscriptions.handle_ack(1);
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Unsubscribe, names(&["a"])))
    );
    subscriptions.want("a");
    subscriptions.handle_ack(2);
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Subscribe, names(&["a"])))
    );
    subscriptions.unwant("a");
    subscriptions.handle_ack(3);
    request(&mut subscriptions);
    subscriptions.handle_ack(4);
    assert!(subscriptions.is_empty());
}

#[test]
fn a_named_refusal_costs_only_that_topic() {
    let mut subscriptions = up(&["a", "bad", "c"]);
    request(&mut subscriptions);
    let mut refused = Vec::new();
    subscriptions.handle_refusal(1, Some("bad"), |topic| refused.push(topic.to_owned()));
    assert_eq!(refused, names(&["bad"]));
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["a", "c"])))
    );
    subscriptions.handle_ack(2);
    subscriptions.handle_down();
    subscriptions.handle_up();
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Subscribe, names(&["a", "c"])))
    );
    subscriptions.handle_ack(3);
    subscriptions.want("bad");
    assert_eq!(
        request(&mut subscriptions),
        Some((4, Op::Subscribe, names(&["bad"])))
    );
}

#[test]
fn an_unnamed_refusal_is_narrowed_down_one_by_one() {
    let mut subscriptions = up(&["a", "bad"]);
    request(&mut subscriptions);
    subscriptions.handle_refusal(1, None, |_| panic!("not known yet"));
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["a"])))
    );
    subscriptions.handle_ack(2);
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Subscribe, names(&["bad"])))
    );
    let mut refused = Vec::new();
    subscriptions.handle_refusal(3, None, |topic| refused.push(topic.to_owned()));
    assert_eq!(refused, names(&["bad"]));
    assert_eq!(request(&mut subscriptions), None);
}

#[test]
fn a_venue_that_acks_nothing_is_a_mute_link() {
    let mut subscriptions = up(&["a"]);
    for round in 1..=3 {
        assert!(request(&mut subscriptions).is_some());
        let deadline = subscriptions.poll_timeout().unwrap_or(Nanos::ZERO);
        assert_eq!(deadline, Nanos::from_secs(5));
        let expected = if round < 3 {
            Overdue::Retry
        } else {
            Overdue::LinkIsMute
        };
        assert_eq!(subscriptions.handle_timeout(deadline), expected);
    }
}

#[test]
fn a_renewed_topic_is_let_go_and_asked_for_again_and_others_are_not_touched() {
    let mut subscriptions = up(&["a", "b"]);
    assert!(request(&mut subscriptions).is_some() && subscriptions.handle_ack(1));
    subscriptions.renew("b");
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Unsubscribe, names(&["b"])))
    );
    // The ack is lost: it is let go again, not forgotten.
    assert_eq!(
        subscriptions.handle_timeout(Nanos::from_secs(6)),
        Overdue::Retry
    );
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Unsubscribe, names(&["b"])))
    );
    assert!(subscriptions.handle_ack(3));
    assert_eq!(
        request(&mut subscriptions),
        Some((4, Op::Subscribe, names(&["b"])))
    );
    assert!(subscriptions.handle_ack(4));
    assert_eq!(request(&mut subscriptions), None);
    // A topic that the venue says it does not have is asked for all the same.
    subscriptions.renew("a");
    assert!(request(&mut subscriptions).is_some());
    subscriptions.handle_refusal(5, Some("a"), |_| panic!("wanted, so not refused"));
    assert_eq!(
        request(&mut subscriptions),
        Some((6, Op::Subscribe, names(&["a"])))
    );
}

#[test]
fn a_topic_that_the_venue_has_already_is_had_and_the_others_are_asked_for_again() {
    let mut subscriptions = up(&["a", "b", "c"]);
    assert!(request(&mut subscriptions).is_some());
    assert!(!subscriptions.handle_had(1, "x"), "not in the request");
    assert!(subscriptions.handle_had(1, "b"));
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["a", "c"])))
    );
    assert!(subscriptions.handle_ack(2));
    subscriptions.unwant("b");
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Unsubscribe, names(&["b"])))
    );
}

#[test]
fn a_request_whose_ack_is_lost_may_have_been_heard_or_not() {
    let late = |subscriptions: &mut Subscriptions| {
        let deadline = subscriptions.poll_timeout().unwrap_or(Nanos::ZERO);
        assert_eq!(subscriptions.handle_timeout(deadline), Overdue::Retry);
    };
    // Let go, and wanted again before that was acked: the venue may not have it any more.
    let mut subscriptions = up(&["a"]);
    assert!(request(&mut subscriptions).is_some() && subscriptions.handle_ack(1));
    subscriptions.unwant("a");
    let unsubscribe = (2, Op::Unsubscribe, names(&["a"]));
    assert_eq!(request(&mut subscriptions), Some(unsubscribe));
    subscriptions.want("a");
    late(&mut subscriptions);
    let again = (3, Op::Subscribe, names(&["a"]));
    assert_eq!(request(&mut subscriptions), Some(again));
    // Wanted no more before it was acked: the venue may have it.
    subscriptions.unwant("a");
    late(&mut subscriptions);
    let unsubscribe = (4, Op::Unsubscribe, names(&["a"]));
    assert_eq!(request(&mut subscriptions), Some(unsubscribe));
    assert!(subscriptions.handle_ack(4));
    assert!(subscriptions.is_empty(), "nothing is kept of it");
}

#[test]
fn comings_and_goings_leave_nothing_behind_while_the_link_is_down() {
    let mut subscriptions = Subscriptions::new(RULES);
    for _ in 0..1_000 {
        subscriptions.want("a");
        subscriptions.unwant("a");
    }
    assert!(subscriptions.is_empty() && subscriptions.due.is_empty());
    subscriptions.want("a");
    subscriptions.handle_up();
    assert!(request(&mut subscriptions).is_some());
}

#[test]
fn each_topic_of_a_request_has_its_own_verdict() {
    let mut subscriptions = up(&["a", "b", "c"]);
    request(&mut subscriptions);
    let verdict = |topic: &str| match topic {
        "a" => Verdict::Done,
        "b" => Verdict::Refused,
        _ => Verdict::Again,
    };
    let mut refused = Vec::new();
    subscriptions.handle_verdicts(1, verdict, |topic| refused.push(topic.to_owned()));
    assert_eq!(refused, ["b"]);
    assert!(subscriptions.has("a") && !subscriptions.has("b"));
    assert_eq!(
        request(&mut subscriptions),
        Some((2, Op::Subscribe, names(&["c"])))
    );
    subscriptions.handle_verdicts(2, |_| Verdict::Done, |_| ());
    subscriptions.drop_settled();
    assert!(!subscriptions.has_request());
    // What could not be let go yet is let go later.
    subscriptions.unwant("a");
    assert_eq!(
        request(&mut subscriptions),
        Some((3, Op::Unsubscribe, names(&["a"])))
    );
    subscriptions.handle_verdicts(3, |_| Verdict::Again, |_| ());
    assert!(subscriptions.has("a"));
    subscriptions.drop_settled();
    assert!(subscriptions.has_request());
}

//! Faults on connections, upgrades, REST and the whole venue, in virtual time, at every
//! venue-market. What they do to bytes is in `faults_bytes.rs`.

mod common;

use common::rig::{Got, Rig, Subject, connect};
use common::{Event, MS, SECOND};
use serde_json::Value;
use tickwire_sim::{
    BadCertificate, DoorFault, Fault, HttpResponse, Layer, LinkFault, Links, ShellFault, SimVenue,
};

fn rigs() -> impl Iterator<Item = Rig> {
    Subject::ALL.into_iter().map(Rig::new)
}

fn ends(got: &Got) -> usize {
    let is_end = |(_, event): &&(i64, Event)| matches!(event, Event::Cut | Event::Close(..));
    got.events.iter().filter(is_end).count()
}

fn header(response: &HttpResponse, name: &str) -> Option<String> {
    let found = response.headers.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| value.clone())
}

#[test]
fn drop_cuts_the_chosen_links_without_a_close_frame() {
    for mut rig in rigs() {
        let links = Links::Oldest;
        rig.lead_in();
        rig.inject(Fault::Drop { links });
        let (a, b) = rig.run(2 * SECOND);
        assert_eq!(a.events.last().unwrap().1, Event::Cut);
        assert_eq!(ends(&a), 1);
        assert_eq!(a.breaks(rig.subject.btc()), 0, "up to its end");
        rig.assert_b_untouched(&b);
        rig.assert_hits(1);
    }
}

#[test]
fn links_are_chosen_by_age_or_by_stream() {
    for subject in Subject::ALL {
        let (btc, eth) = (subject.btc(), subject.eth());
        let cases = [
            (Links::All, [1, 1]),
            (Links::Oldest, [1, 0]),
            (Links::Newest, [0, 1]),
            (Links::Holding(subject.depth(btc)), [1, 0]),
            (Links::Holding(subject.depth(eth)), [1, 1]),
            (Links::Holding("nobody.has.it".to_owned()), [0, 0]),
        ];
        for (links, expected) in cases {
            let mut rig = Rig::new(subject);
            rig.inject(Fault::Drop { links });
            let (a, b) = rig.run(SECOND);
            assert_eq!([ends(&a), ends(&b)], expected, "{subject:?}");
            rig.assert_hits(expected.iter().sum::<usize>() as u64);
        }
    }
}

#[test]
fn world_says_which_links_hold_what() {
    for rig in rigs() {
        let (subject, world) = (rig.subject, &rig.pipe.world);
        let (btc, eth) = (subject.btc(), subject.eth());
        let mut held = world.links(subject.0);
        held.iter_mut().for_each(|streams| streams.sort());
        let mut expected = [
            vec![subject.depth(btc), subject.depth(eth)],
            vec![subject.depth(eth), subject.top(btc)],
        ];
        expected.iter_mut().for_each(|streams| streams.sort());
        assert_eq!(held, expected);
    }
}

#[test]
fn half_open_link_is_silent_for_ever_and_deaf() {
    for mut rig in rigs() {
        let links = Links::Oldest;
        rig.inject(Fault::HalfOpen { links });
        let (venue, conn) = (rig.subject.0, rig.a);
        let order = ShellFault::Link {
            conn,
            fault: LinkFault::HalfOpen,
        };
        assert_eq!(rig.pipe.shell, [(rig.pipe.now, order)]);
        // What the kernel still delivers finds nobody.
        rig.pipe.ping(venue, conn, b"x");
        rig.pipe.pong(venue, conn, b"x");
        let ask = rig.subject.subscribe(&[rig.subject.top(rig.subject.eth())]);
        rig.pipe.send(venue, conn, &ask);
        let (a, b) = rig.run(3 * SECOND);
        assert_eq!(a.events, [], "{venue}");
        rig.assert_b_untouched(&b);
        rig.pipe.run(700 * SECOND);
        assert_eq!(rig.pipe.events(conn), [], "not even a close");
        rig.assert_hits(1);
    }
}

#[test]
fn byte_faults_leave_the_world_for_the_chosen_link_only() {
    for mut rig in rigs() {
        let (now, layer) = (rig.pipe.now, Layer::Wire);
        let faults = [
            Fault::Trickle {
                links: Links::Oldest,
                bytes: 3,
                every_ns: MS,
                for_ns: SECOND,
                layer,
            },
            Fault::CutMidFrame {
                links: Links::Oldest,
                keep_bytes: Some(1),
                reset: true,
                layer,
            },
            Fault::HugeHeader {
                links: Links::Oldest,
            },
        ];
        faults.into_iter().for_each(|fault| rig.inject(fault));
        let expected = [
            LinkFault::Trickle {
                bytes: 3,
                every_ns: MS,
                until_ns: now + SECOND,
                layer,
            },
            LinkFault::CutMidFrame {
                keep_bytes: Some(1),
                reset: true,
                layer,
            },
            LinkFault::HugeHeader,
        ];
        let conn = rig.a;
        let expected = expected.map(|fault| (now, ShellFault::Link { conn, fault }));
        assert_eq!(rig.pipe.shell, expected);
        let (a, b) = rig.run(3 * SECOND);
        rig.assert_others_untouched(&a, &b);
    }
}

#[test]
fn upgrades_are_refused_as_often_as_asked_then_granted() {
    for status in [401, 403, 429, 503] {
        for mut rig in rigs() {
            let retry_after_s = (status == 429).then_some(7);
            rig.inject(Fault::RefuseUpgrade {
                status,
                retry_after_s,
                times: 2,
            });
            let streams = [rig.subject.depth(rig.subject.btc())];
            for _ in 0..2 {
                let refused = connect(&mut rig.pipe, rig.subject, &streams).unwrap_err();
                assert_eq!(refused.status, status);
                let expected = retry_after_s.map(|s: u32| s.to_string());
                assert_eq!(header(&refused, "Retry-After"), expected);
            }
            assert!(connect(&mut rig.pipe, rig.subject, &streams).is_ok());
            let (a, b) = rig.run(2 * SECOND);
            rig.assert_others_untouched(&a, &b);
            rig.assert_hits(2);
        }
    }
}

#[test]
fn rest_is_refused_with_status_and_retry_after_whatever_the_budget() {
    for status in [403, 418, 429, 500] {
        for mut rig in rigs() {
            let (subject, venue) = (rig.subject, rig.subject.0);
            rig.inject(Fault::RestStatus {
                status,
                retry_after_s: Some(3),
                times: 2,
            });
            let path = subject.rest_depth(subject.btc());
            for _ in 0..2 {
                let response = rig.pipe.get(venue, &path);
                assert_eq!(response.status, status);
                assert_eq!(header(&response, "Retry-After").as_deref(), Some("3"));
                if venue.is_binance() {
                    let body: Value = serde_json::from_slice(&response.body).unwrap();
                    assert!(body["code"].as_i64().unwrap() < 0);
                }
            }
            assert_eq!(rig.pipe.get(venue, &path).status, 200);
            let stats = rig.pipe.world.stats(venue);
            let expected = match status {
                418 => (3, 0, 2),
                500 => (3, 0, 0),
                _ => (3, 2, 0),
            };
            let counted = (stats.rest_requests, stats.rest_limited, stats.rest_banned);
            assert_eq!(counted, expected);
            let (a, b) = rig.run(2 * SECOND);
            rig.assert_others_untouched(&a, &b);
            rig.assert_hits(2);
        }
    }
}

#[test]
fn old_snapshot_is_older_than_all_that_is_buffered_then_the_true_one_comes() {
    for mut rig in rigs() {
        let (subject, venue) = (rig.subject, rig.subject.0);
        let btc = subject.btc();
        if !venue.is_binance() {
            // REST numbers are those of the 1000-level topic.
            rig.connect(&[format!("orderbook.1000.{btc}")]);
        }
        let late = rig.connect(&[subject.depth(btc)]);
        rig.inject(Fault::OldSnapshot {
            symbol: Some(btc.to_owned()),
            times: 2,
        });
        rig.pipe.run(SECOND);
        let got = rig.got(late);
        let deltas = got.depth(btc);
        let number = |body: &Value| {
            if venue.is_binance() {
                body["lastUpdateId"].as_u64().unwrap()
            } else {
                body["result"]["seq"].as_u64().unwrap()
            }
        };
        let first = if venue.is_binance() {
            deltas[0].value["U"].as_u64().unwrap()
        } else {
            deltas[0].value["data"]["seq"].as_u64().unwrap()
        };
        // Another symbol's answer is none of its business.
        let other = rig.pipe.get_json(venue, &subject.rest_depth(subject.eth()));
        assert!(number(&other) > 0);
        for _ in 0..2 {
            let body = rig.pipe.get_json(venue, &subject.rest_depth(btc));
            assert!(
                number(&body) + 1 < first,
                "{venue}: {} {first}",
                number(&body)
            );
        }
        let body = rig.pipe.get_json(venue, &subject.rest_depth(btc));
        assert!(number(&body) >= first, "{venue}");
        let (a, b) = rig.run(SECOND);
        rig.assert_others_untouched(&a, &b);
        assert_eq!(a.lies(&rig.truth(), btc), 0);
        rig.assert_hits(2);
    }
}

#[test]
fn restart_cuts_all_and_numbers_start_over_over_the_same_truth() {
    for mut rig in rigs() {
        let (subject, btc) = (rig.subject, rig.subject.btc());
        rig.lead_in();
        rig.inject(Fault::Restart);
        let (a, b) = rig.run(SECOND);
        assert_eq!((ends(&a), ends(&b)), (1, 1));
        let before = a.depth(btc).last().unwrap().u;
        let conn = rig.connect(&[subject.depth(btc)]);
        rig.pipe.run(3 * SECOND);
        let got = rig.got(conn);
        assert!(got.depth(btc)[0].u < before, "{subject:?}");
        assert_eq!((got.breaks(btc), got.lies(&rig.truth(), btc)), (0, 0));
    }
}

#[test]
fn service_reset_is_a_snapshot_with_u_1_behind_live_links() {
    for mut rig in rigs() {
        let btc = rig.subject.btc();
        rig.lead_in();
        rig.inject(Fault::ServiceReset);
        let (a, b) = rig.run(2 * SECOND);
        assert_eq!((ends(&a), ends(&b)), (0, 0));
        let deltas = a.depth(btc);
        let fresh = deltas.iter().filter(|d| d.before.is_none());
        let numbers: Vec<u64> = fresh.map(|d| d.u).collect();
        let expected: &[u64] = if rig.subject.0.is_binance() {
            &[]
        } else {
            &[1]
        };
        assert_eq!(numbers, expected);
        // Truth before a reset of the numbers is told apart by nothing but time.
        let after = deltas.iter().skip_while(|d| d.u != 1).count();
        assert!(rig.subject.0.is_binance() || after > 5);
    }
}

#[test]
fn killed_venue_is_gone_then_back_with_old_or_new_numbers() {
    for reset in [false, true] {
        for mut rig in rigs() {
            let (subject, venue, btc) = (rig.subject, rig.subject.0, rig.subject.btc());
            let before = rig.truth().latest(venue, btc).unwrap().seq;
            let down_ns = 3 * SECOND;
            let start = rig.pipe.now;
            rig.inject(Fault::Kill { down_ns, reset });
            let door = |fault| ShellFault::Door { venue, fault };
            assert_eq!(rig.pipe.shell, [(start, door(DoorFault::Down))]);
            let (a, b) = rig.run(down_ns - MS);
            // The shell resets the links; the world has nothing more to say on them.
            assert_eq!((a.events.len(), b.events.len()), (0, 0));
            assert!(rig.pipe.world.is_down(venue));
            let streams = [subject.depth(btc)];
            let refused = connect(&mut rig.pipe, subject, &streams).unwrap_err();
            assert_eq!(refused.status, 503);
            rig.pipe.run(2 * MS);
            let up = (start + down_ns, door(DoorFault::Up));
            assert_eq!(rig.pipe.shell[1], up);
            assert!(!rig.pipe.world.is_down(venue));
            let conn = rig.connect(&streams);
            rig.pipe.run(3 * SECOND);
            let got = rig.got(conn);
            assert_eq!((got.breaks(btc), got.lies(&rig.truth(), btc)), (0, 0));
            let after = rig.truth().latest(venue, btc).unwrap().seq;
            assert_eq!(after < before, reset, "{venue}: {before} {after}");
            rig.assert_hits(1);
        }
    }
}

#[test]
fn announced_shutdown_goes_on_until_its_cut_and_takes_new_links_meanwhile() {
    for mut rig in rigs() {
        let (subject, btc) = (rig.subject, rig.subject.btc());
        rig.lead_in();
        let (start, for_ns) = (rig.pipe.now, 2 * SECOND);
        let links = Links::Oldest;
        rig.inject(Fault::ServerShutdown { links, for_ns });
        let (a, b) = rig.run(SECOND);
        rig.assert_b_untouched(&b);
        let notices = |got: &Got| {
            let values = got.values().into_iter();
            let notices = values.filter(|(_, value)| value["e"] == "serverShutdown");
            notices
                .map(|(at, value)| (at, value["E"].as_i64()))
                .collect::<Vec<_>>()
        };
        if !subject.0.is_binance() {
            assert_eq!(notices(&a), []);
            rig.assert_hits(0);
            continue;
        }
        assert_eq!(notices(&a), [(start, Some(start / MS))]);
        assert_eq!((ends(&a), a.breaks(btc)), (0, 0), "data goes on");
        let second = rig.connect(&[subject.depth(btc)]);
        let (a, b) = rig.run(2 * SECOND);
        assert_eq!(a.events.last(), Some(&(start + for_ns, Event::Cut)));
        rig.assert_b_untouched(&b);
        let got = rig.got(second);
        assert_eq!((ends(&got), got.breaks(btc)), (0, 0));
        rig.assert_hits(1);
    }
}

#[test]
fn shutdown_notice_is_wrapped_where_frames_are() {
    let mut rig = Rig::new(Subject(SimVenue::BinanceSpot));
    let conn = rig.pipe.open(SimVenue::BinanceSpot, "/stream").unwrap();
    let (links, for_ns) = (Links::Newest, SECOND);
    rig.inject(Fault::ServerShutdown { links, for_ns });
    let time = rig.pipe.now / MS;
    let text =
        format!(r#"{{"stream":"!serverShutdown","data":{{"e":"serverShutdown","E":{time}}}}}"#);
    assert_eq!(rig.pipe.events(conn), [Event::Text(text)]);
}

#[test]
fn certificate_fault_goes_to_the_door_and_ends() {
    let kinds = [
        BadCertificate::WrongName,
        BadCertificate::UnknownAuthority,
        BadCertificate::Expired,
    ];
    for fault in kinds {
        for mut rig in rigs() {
            let (venue, start, for_ns) = (rig.subject.0, rig.pipe.now, SECOND);
            rig.inject(Fault::Certificate { fault, for_ns });
            let (a, b) = rig.run(2 * SECOND);
            let door = |fault| ShellFault::Door {
                venue,
                fault: DoorFault::Certificate(fault),
            };
            let expected = [(start, door(Some(fault))), (start + for_ns, door(None))];
            assert_eq!(rig.pipe.shell, expected);
            rig.assert_others_untouched(&a, &b);
            rig.assert_hits(1);
        }
    }
}

#[test]
fn fault_at_one_venue_is_not_felt_at_another() {
    use common::Pipe;
    use tickwire_sim::VenueSpec;
    let specs = [VenueSpec::binance_spot(), VenueSpec::bybit_spot()];
    let mut pipe = Pipe::new(&specs);
    let [one, two] = [SimVenue::BinanceSpot, SimVenue::BybitSpot].map(Subject);
    let streams = |subject: Subject| [subject.depth("BTCUSDT")];
    let cut = connect(&mut pipe, one, &streams(one)).unwrap();
    let lives = connect(&mut pipe, two, &streams(two)).unwrap();
    let links = Links::All;
    pipe.inject(one.0, &Fault::Drop { links });
    pipe.run(SECOND);
    assert_eq!(pipe.events(cut).last(), Some(&Event::Cut));
    assert!(pipe.texts(lives).len() > 5);
}

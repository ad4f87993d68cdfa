//! `tickwire latency` as a program. Nothing here looks at how long anything took.

use std::fs;

use serde_json::Value;

use super::{Outcome, stderr, tickwire};

/// One round of 200 ms.
fn short(args: &[&str]) -> std::io::Result<std::process::Output> {
    let round = "latency --rounds 1 --round-ms 200 --burst 1600".split(' ');
    tickwire(&round.chain(args.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn latency_brings_every_message_of_every_shape_without_an_allocation_of_ours() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (json, svg, html) = (path("a.json"), path("a.svg"), path("a.html"));
    let output = short(&[
        "--rate", "500", "--json", &json, "--svg", &svg, "--html", &html,
    ])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let object: Value = fs::read_to_string(json)?.parse()?;
    let rows = object["rows"].as_array().ok_or("no rows")?;
    let variants = [
        "floor-tcp",
        "floor-tls",
        "tickwire direct in-place",
        "tickwire direct",
        "tickwire direct, system acks",
        "tickwire mio",
    ];
    let messages = [
        "bookTicker",
        "depth small",
        "depth 4 KB",
        "bybit delta",
        "deribit change",
        "polymarket price_change",
    ];
    assert_eq!(rows.len(), variants.len() * messages.len(), "{object:#}");
    for row in rows {
        let name = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        assert!(variants.contains(&name("variant").as_str()), "{row}");
        assert!(messages.contains(&name("message").as_str()), "{row}");
        assert_eq!(row["messages"], 100, "{row}");
        assert_eq!(row["allocations_ours"], 0, "{row}");
        assert!(
            row["burst_msgs_s"].as_f64().is_some_and(|rate| rate > 0.0),
            "{row}"
        );
        assert!(row["over_floor_tls_us"].is_number(), "{row}");
    }
    let text = String::from_utf8(output.stdout)?;
    for part in messages.iter().chain(&variants) {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let (svg, html) = (fs::read_to_string(svg)?, fs::read_to_string(html)?);
    is_well_formed(&svg)?;
    for part in messages.iter().chain(&variants).chain(&["p99.9", "p90"]) {
        assert!(svg.contains(part), "{part} is missing in the picture");
    }
    assert!(
        html.starts_with("<!doctype html>") && html.contains("<svg"),
        "{html}"
    );
    Ok(())
}

/// So many streams that a connector asks for their memory ahead.
#[test]
fn latency_brings_every_message_of_many_instruments_on_several_sockets() -> Outcome {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("a.json").to_string_lossy().into_owned();
    let spread = ["--sockets", "3", "--instruments", "66"];
    let output = short(&[&["--rate", "1000", "--json", &json], &spread[..]].concat())?;
    assert!(output.status.success(), "{}", stderr(&output));
    let object: Value = fs::read_to_string(json)?.parse()?;
    assert_eq!(
        (&object["sockets"], &object["instruments"]),
        (&3.into(), &66.into())
    );
    let rows = object["rows"].as_array().ok_or("no rows")?;
    assert_eq!(rows.len(), 6 * 6, "{object:#}");
    for row in rows {
        assert_eq!(
            (&row["messages"], &row["allocations_ours"]),
            (&200.into(), &0.into()),
            "{row}"
        );
    }
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("of 66 instruments on 3 sockets"), "{text}");
    Ok(())
}

#[test]
fn latency_knows_what_venues_take_on_a_socket() -> Outcome {
    for (args, words) in [
        (
            ["--sockets", "2", "--instruments", "3"],
            "a multiple of the sockets",
        ),
        (
            ["--sockets", "1", "--instruments", "501"],
            "2 sockets carry as many",
        ),
        (["--sockets", "0", "--instruments", "1"], "0 sockets"),
    ] {
        let output = tickwire(&[&["latency"], &args[..]].concat())?;
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    Ok(())
}

#[test]
fn latency_knows_its_messages() -> Outcome {
    let output = tickwire(&["latency", "--message", "kline"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("polymarket price_change"),
        "{}",
        stderr(&output)
    );
    Ok(())
}

/// Each element is closed, in its order, and there is one at the top.
fn is_well_formed(text: &str) -> Outcome {
    let mut open: Vec<&str> = Vec::new();
    let mut roots = 0;
    for part in text.split('<').skip(1) {
        let (tag, _) = part.split_once('>').ok_or("a tag without an end")?;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name.trim()) {
                return Err(format!("</{name}> closes {last:?}").into());
            }
            continue;
        }
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        if tag.matches('"').count() % 2 != 0 {
            return Err(format!("<{tag}>: a value without an end").into());
        }
        roots += usize::from(open.is_empty());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    if !open.is_empty() || roots != 1 {
        return Err(format!("{roots} at the top, {open:?} not closed").into());
    }
    Ok(())
}

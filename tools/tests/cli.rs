//! The `tickwire` command as a program: what it prints and how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LINES: &str = concat!(
    r#"{"kind":"connect","recv_ns":1700000000000000000,"conn":"c","url":"wss://stream.binance.com:9443/stream"}"#,
    "\n",
    r#"{"kind":"recv","recv_ns":1700000000100000000,"conn":"c","msg":{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000099,"s":"BTCUSDT","U":5,"u":6,"b":[["100.00","1"]],"a":[]}}}"#,
    "\n",
    r#"{"kind":"http","recv_ns":1700000000200000000,"conn":"h","url":"https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000","msg":{"lastUpdateId":5,"bids":[["99.50","2.00"]],"asks":[["101.00","3"]]}}"#,
    "\n",
    r#"{"kind":"recv","recv_ns":1700000000300000000,"conn":"c","msg":{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000299,"s":"BTCUSDT","t":77,"p":"100.00","q":"0.10","T":1700000000298,"m":true,"M":true}}}"#,
    "\n",
    r#"{"kind":"recv","recv_ns":1700000000400000000,"conn":"c","msg":{"stream":"btcusdt@bookTicker","data":{"u":6,"s":"BTCUSDT","b":"100.00","B":"1.00","a":"101.00","A":"3.00"}}}"#,
    "\n",
);

fn tickwire(args: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_tickwire"))
        .args(args)
        .output()
}

fn save(folder: &Path, text: &str) -> std::io::Result<PathBuf> {
    let path = folder.join("a.jsonl");
    fs::write(&path, text)?;
    Ok(path)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn json_lines_carry_the_named_keys_and_exact_decimals() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = save(folder.path(), LINES)?;
    let file = path.to_string_lossy();
    let output = tickwire(&["replay", &file, "--venue", "binance", "--json", "--book"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "",
        "no progress and no summary for programs"
    );
    let mut lines: Vec<Value> = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        lines.push(line.parse()?);
    }
    for line in &lines {
        for key in [
            "type",
            "venue",
            "market",
            "channel",
            "symbol",
            "venue_symbol",
            "seq",
        ] {
            assert!(line.get(key).is_some(), "no {key} in {line}");
        }
        assert_eq!(
            (&line["venue"], &line["market"]),
            (&"binance".into(), &"spot".into())
        );
        assert_eq!(line["venue_symbol"], "BTCUSDT");
        let is_book = line["type"] == "book";
        assert_eq!(line.get("exch_ns").is_none(), is_book, "{line}");
    }
    let of = |kind: &str, channel: &str| {
        let found = |line: &&Value| line["type"] == kind && line["channel"] == channel;
        lines.iter().find(found).cloned().unwrap_or_default()
    };
    let live = of("book_state", "book");
    assert_eq!(
        (&live["state"], &live["reason"]),
        (&"live".into(), &"synced".into())
    );
    for channel in ["book", "bbo"] {
        let bbo = of("bbo", channel);
        assert_eq!(
            (&bbo["bid_price"], &bbo["bid_qty"]),
            (&"100".into(), &"1".into())
        );
        assert_eq!(
            (&bbo["ask_price"], &bbo["ask_qty"]),
            (&"101".into(), &"3".into())
        );
    }
    let trade = of("trade", "trades");
    assert_eq!(
        (&trade["price"], &trade["qty"]),
        (&"100".into(), &"0.1".into())
    );
    assert_eq!(
        (&trade["aggressor"], &trade["trade_id"]),
        (&"sell".into(), &"77".into())
    );
    let book = lines.last().cloned().unwrap_or_default();
    assert_eq!(
        (&book["type"], &book["state"]),
        (&"book".into(), &"live".into())
    );
    let bids: Value = r#"[["100","1"],["99.5","2"]]"#.parse()?;
    assert_eq!(book["bids"], bids);
    let asks: Value = r#"[["101","3"]]"#.parse()?;
    assert_eq!(book["asks"], asks);
    Ok(())
}

#[test]
fn people_get_aligned_lines_and_a_summary() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = save(folder.path(), LINES)?;
    let file = path.to_string_lossy();
    let output = tickwire(&["replay", &file, "--venue", "binance", "--book"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout.clone())?;
    assert!(text.contains("22:13:20.200000 binance spot"), "{text}");
    assert!(text.contains("book@100 is live (synced)"), "{text}");
    assert!(text.contains("2 bids, 1 asks"), "{text}");
    assert!(
        stderr(&output).starts_with("5 lines, "),
        "{}",
        stderr(&output)
    );
    Ok(())
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_right() -> Outcome {
    let table: [(&[&str], &str); 6] = [
        (&["replay", "x", "--venue", "nowhere"], "binance, bybit"),
        (&["replay", "x"], "--venue"),
        (&["replay", "--venue", "binance"], "<FILES>"),
        (&["replay", "x", "--venue", "bybit", "--frob"], "--frob"),
        (
            &["replay", "x", "--venue", "bybit", "--market", "moon"],
            "use spot, linear, inverse",
        ),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, hint) in table {
        let output = tickwire(args)?;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(hint),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    Ok(())
}

#[test]
fn what_can_not_be_done_ends_with_1_and_says_what_to_do() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = save(folder.path(), &format!("{LINES}{{\"cut\":"))?;
    let file = path.to_string_lossy();
    let missing = folder.path().join("missing");
    let missing = missing.to_string_lossy();
    let table: [(&[&str], &str); 5] = [
        (
            &["replay", &missing, "--venue", "binance"],
            "check the path",
        ),
        (
            &["replay", &missing, "--venue", "binance"],
            "missing: can't open the file",
        ),
        (&["replay", &file, "--venue", "bybit"], "check --venue"),
        (
            &[
                "replay", &file, "--venue", "binance", "--symbol", "ETH/USDT",
            ],
            "it holds BTCUSDT",
        ),
        (&["replay", &file, "--venue", "binance", "--json"], "line 6"),
    ];
    for (args, hint) in table {
        let output = tickwire(args)?;
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            stderr(&output).contains(hint),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).starts_with("tickwire: "),
            "{}",
            stderr(&output)
        );
    }
    // All that stands before the fault has been printed.
    let output = tickwire(&["replay", &file, "--venue", "binance", "--json"])?;
    assert!(String::from_utf8(output.stdout)?.contains(r#""type":"trade""#));
    Ok(())
}

#[test]
fn a_cell_of_the_fault_table_is_a_json_line() -> Outcome {
    let args = [
        "faults",
        "--fault",
        "gap",
        "--venue",
        "bybit-spot",
        "--json",
    ];
    let output = tickwire(&args)?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(line["fault"], "gap");
    assert_eq!(line["venue"], "bybit-spot");
    assert_eq!(line["verdict"], "ok");
    assert!(
        line["told_ms"].as_u64() <= line["live_ms"].as_u64(),
        "{line}"
    );
    let output = tickwire(&["faults", "--fault", "gremlins"])?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "tickwire: no fault's name begins with gremlins\n"
    );
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut text = LINES.to_owned();
    let ticker = LINES.lines().last().unwrap_or_default();
    for _ in 0..20_000 {
        text.push_str(ticker);
        text.push('\n');
    }
    let path = save(folder.path(), &text)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tickwire"))
        .args(["replay", "--venue", "binance", "--json"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::with_capacity(64, stdout).read_line(&mut first)?;
    }
    let output = child.wait_with_output()?;
    assert!(first.starts_with('{'), "{first}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    Ok(())
}

#[test]
fn watching_a_venue_that_is_never_reached_is_a_failure() -> Outcome {
    // Nobody listens on port 1.
    let there = [
        "--url",
        "wss://127.0.0.1:1",
        "--rest-url",
        "https://127.0.0.1:1",
    ];
    let what = ["watch", "--venue", "binance", "--symbol", "BTC/USDT"];
    let args = [&what[..], &there, &["--seconds", "1"]].concat();
    let output = tickwire(&args)?;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let last = "tickwire: never connected to binance spot: could not connect: 127.0.0.1:1";
    assert!(stderr(&output).contains(last), "{}", stderr(&output));
    Ok(())
}

#[test]
fn markets_lists_what_each_venue_trades() -> Outcome {
    let lines = |args: &[&str]| -> Result<Vec<Value>, Box<dyn std::error::Error>> {
        let mut all = vec!["markets", "--simulator", "--json"];
        all.extend(args);
        let output = tickwire(&all)?;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(|line| Ok(line.parse()?)).collect()
    };
    // Venue, market, what is searched for, and the one that is found.
    let table = [
        ("binance", "spot", "btcusdt", "BTC/USDT", ("BTC", "USDT")),
        (
            "binance",
            "linear",
            "btcusdt",
            "BTC/USDT:USDT",
            ("BTC", "USDT"),
        ),
        (
            "binance",
            "inverse",
            "btcusd_perp",
            "BTC/USD:BTC",
            ("BTC", "USD"),
        ),
        ("bybit", "spot", "btcusdt", "BTC/USDT", ("BTC", "USDT")),
        (
            "bybit",
            "linear",
            "btcusdt",
            "BTC/USDT:USDT",
            ("BTC", "USDT"),
        ),
        (
            "deribit",
            "inverse",
            "btc-perpetual",
            "BTC/USD:BTC",
            ("BTC", "USD"),
        ),
    ];
    for (venue, market, search, symbol, (base, quote)) in table {
        let found = lines(&["--venue", venue, "--market", market, "--search", search])?;
        let [one] = &found[..] else {
            return Err(format!("{venue} {market}: {found:?}").into());
        };
        let of = |key: &str| one[key].as_str().unwrap_or_default();
        assert_eq!((of("venue"), of("market")), (venue, market));
        assert_eq!(
            (of("symbol"), of("venue_symbol")),
            (symbol, &*search.to_uppercase())
        );
        assert_eq!(
            (of("base"), of("quote"), of("state")),
            (base, quote, "open")
        );
        for key in ["tick_size", "lot_size"] {
            assert!(
                of(key).parse::<f64>().is_ok_and(|step| step > 0.0),
                "{key} of {one}"
            );
        }
    }
    for listing in [
        &["--venue", "polymarket"][..],
        &["--venue", "polymarket", "--clob"],
    ] {
        let mut args = listing.to_vec();
        args.extend(["--search", "BTC"]);
        let tokens = lines(&args)?;
        assert_eq!(tokens.len(), 2, "{tokens:?}");
        for (token, outcome) in tokens.iter().zip(["Yes", "No"]) {
            assert_eq!(token["outcome"], outcome);
            assert_eq!(token["tick_size"], "0.001");
            assert_eq!(token["symbol"].as_str().map(str::len), Some(77));
            assert!(
                token["condition_id"]
                    .as_str()
                    .is_some_and(|id| id.starts_with("0x"))
            );
        }
    }
    assert_eq!(lines(&["--venue", "bybit", "--count", "3"])?.len(), 3);
    let people = tickwire(&[
        "markets",
        "--simulator",
        "--venue",
        "deribit",
        "--market",
        "option",
    ])?;
    let text = String::from_utf8(people.stdout)?;
    assert!(
        text.lines()
            .all(|line| line.contains("tick") && line.ends_with("open")),
        "{text}"
    );
    let output = tickwire(&["markets", "--venue", "polymarket", "--testnet"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no public test network"),
        "{}",
        stderr(&output)
    );
    Ok(())
}

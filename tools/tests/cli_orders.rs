//! `tickwire order` and `tickwire account` as a program, against the simulator: what they print, how they
//! end, and that an order stands after the command that placed it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tickwire::testing::sim::{AccountSpec, Sim, SimVenue, VenueSpec};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A venue as the command line names it.
#[derive(Clone, Copy, Debug)]
struct Row {
    sim: SimVenue,
    listed: &'static str,
    venue: &'static str,
    market: &'static str,
    symbol: &'static str,
    /// What the account is shown to hold.
    currency: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        sim: SimVenue::BinanceSpot,
        listed: "BTCUSDT",
        venue: "binance",
        market: "spot",
        symbol: "BTC/USDT",
        currency: "USDT",
    },
    Row {
        sim: SimVenue::BinanceLinear,
        listed: "BTCUSDT",
        venue: "binance",
        market: "linear",
        symbol: "BTC/USDT:USDT",
        currency: "USDT",
    },
    Row {
        sim: SimVenue::BybitSpot,
        listed: "BTCUSDT",
        venue: "bybit",
        market: "spot",
        symbol: "BTC/USDT",
        currency: "USDT",
    },
    Row {
        sim: SimVenue::DeribitLinear,
        listed: "BTC_USDC-PERPETUAL",
        venue: "deribit",
        market: "linear",
        symbol: "BTC/USDC:USDC",
        currency: "USDC",
    },
];

/// A simulated venue, and the command line that reaches it.
struct Stage {
    row: Row,
    sim: Sim,
    folder: tempfile::TempDir,
}

impl Stage {
    fn open(row: Row) -> Result<Stage, Box<dyn std::error::Error>> {
        let spec = VenueSpec::of(row.sim).symbols(&[row.listed]).demo_account();
        let sim = Sim::builder().seed(11).venue(spec).start()?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("ca.pem"), sim.ca_pem())?;
        Ok(Stage { row, sim, folder })
    }

    fn run(&self, command: &[&str], more: &[&str]) -> std::io::Result<Output> {
        let Row {
            sim, venue, market, ..
        } = self.row;
        let keys = format!("TICKWIRE_{}", venue.to_uppercase());
        Command::new(env!("CARGO_BIN_EXE_tickwire"))
            .args(command)
            .args(["--venue", venue, "--market", market])
            .args(["--url", &self.sim.ws_url(sim)])
            .args(["--rest-url", &self.sim.rest_url(sim)])
            .arg("--ca")
            .arg(self.folder.path().join("ca.pem"))
            .args(["--within", "30"])
            .args(more)
            .env(format!("{keys}_KEY"), AccountSpec::DEMO_KEY)
            .env(format!("{keys}_SECRET"), AccountSpec::DEMO_SECRET)
            .output()
    }

    /// The lines that a command prints which has done what it was told.
    fn lines(
        &self,
        command: &[&str],
        more: &[&str],
    ) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
        let output = self.run(command, more)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let row = self.row;
        assert!(output.status.success(), "{command:?} at {row:?}: {errors}");
        let text = String::from_utf8(output.stdout)?;
        let lines = text.lines().map(str::parse);
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// The same, of a command that prints one line.
    fn line(&self, command: &[&str], more: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
        let mut lines = self.lines(command, more)?;
        assert_eq!(lines.len(), 1, "{command:?} at {:?}", self.row);
        Ok(lines.remove(0))
    }
}

#[test]
fn an_order_stands_from_command_to_command_until_one_cancels_it() -> Outcome {
    for row in ROWS {
        let stage = Stage::open(row)?;
        let of = ["--symbol", row.symbol];
        let buy = [&of[..], &["--side", "buy", "--qty", "0.01"]].concat();
        let limit = [&buy[..], &["--price", "45000", "--post-only"]].concat();
        let placed = stage.line(&["order", "place"], &limit)?;
        for (key, expected) in [
            ("type", "order"),
            ("symbol", row.symbol),
            ("side", "buy"),
            ("order_type", "limit_maker"),
            ("price", "45000"),
            ("qty", "0.01"),
            ("filled", "0"),
            ("status", "new"),
        ] {
            assert_eq!(placed[key], expected, "{key} at {row:?}: {placed}");
        }
        assert_eq!(placed["stop_price"], Value::Null);
        let id = placed["client_order_id"].as_str().unwrap_or_default();
        assert!(id.starts_with("tw"), "{placed}");
        let named = [&of[..], &["--id", id]].concat();
        let seen = stage.line(&["order", "status"], &named)?;
        assert_eq!(seen["venue_order_id"], placed["venue_order_id"], "{row:?}");
        let open = stage.lines(&["order", "open"], &[])?;
        assert_eq!(open.len(), 1, "{row:?}");
        assert_eq!(open[0]["client_order_id"], id, "{row:?}");
        stage.lines(&["order", "cancel"], &named)?;
        let ended = stage.line(&["order", "status"], &named)?;
        assert_eq!(ended["status"], "canceled", "{row:?}");
        assert!(stage.lines(&["order", "open"], &of)?.is_empty(), "{row:?}");
    }
    Ok(())
}

#[test]
fn stops_wait_and_are_cancelled_with_all_else() -> Outcome {
    for row in ROWS {
        let stage = Stage::open(row)?;
        let of = ["--symbol", row.symbol];
        let sell = [&of[..], &["--side", "sell", "--qty", "0.01"]].concat();
        let market = [&sell[..], &["--stop-price", "45000"]].concat();
        let stop = stage.line(&["order", "place"], &market)?;
        assert_eq!(
            (&stop["order_type"], &stop["stop_price"], &stop["status"]),
            (&"market".into(), &"45000".into(), &"untriggered".into()),
            "{row:?}: {stop}"
        );
        let limit = [&market[..], &["--price", "44900"]].concat();
        let stop = stage.line(&["order", "place"], &limit)?;
        assert_eq!(
            (&stop["order_type"], &stop["price"], &stop["status"]),
            (&"limit".into(), &"44900".into(), &"untriggered".into()),
            "{row:?}: {stop}"
        );
        let buy = [
            &of[..],
            &["--side", "buy", "--qty", "0.01", "--price", "45000"],
        ]
        .concat();
        stage.line(&["order", "place"], &buy)?;
        assert_eq!(stage.lines(&["order", "open"], &of)?.len(), 3, "{row:?}");
        // By the venue's own id.
        let id = stop["venue_order_id"].as_str().unwrap_or_default();
        let named = [&of[..], &["--venue-id", id]].concat();
        stage.lines(&["order", "cancel"], &named)?;
        assert_eq!(stage.lines(&["order", "open"], &of)?.len(), 2, "{row:?}");
        let left = stage.line(&["order", "cancel-all"], &of)?;
        assert_eq!(left["type"], "summary");
        assert!(left["open"].as_u64() <= Some(2), "{row:?}: {left}");
        assert!(stage.lines(&["order", "open"], &of)?.is_empty(), "{row:?}");
        // One that the market has reached is refused, in the venue's words.
        let there = [
            &of[..],
            &["--side", "buy", "--qty", "0.01", "--stop-price", "45000"],
        ]
        .concat();
        let refused = stage.run(&["order", "place"], &there)?;
        assert_eq!(refused.status.code(), Some(1), "{row:?}");
        let words = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(words.contains("trigger"), "{row:?}: {words}");
    }
    Ok(())
}

#[test]
fn an_account_is_shown_with_what_it_holds() -> Outcome {
    for row in ROWS {
        let stage = Stage::open(row)?;
        let lines = stage.lines(&["account"], &[])?;
        let held = lines
            .iter()
            .find(|line| line["type"] == "balance" && line["currency"] == row.currency);
        let held = held.ok_or(format!("no {} at {row:?}: {lines:?}", row.currency))?;
        for key in ["total", "available"] {
            let amount: f64 = held[key].as_str().unwrap_or_default().parse()?;
            assert!(amount > 0.0, "{held}");
        }
        if row.market == "spot" {
            continue;
        }
        let buy = ["--symbol", row.symbol, "--side", "buy", "--qty", "0.01"];
        stage.line(&["order", "place"], &buy)?;
        let lines = stage.lines(&["account"], &[])?;
        let position = lines.iter().find(|line| line["type"] == "position");
        let position = position.ok_or(format!("no position at {row:?}: {lines:?}"))?;
        assert_eq!(
            (&position["symbol"], &position["qty"]),
            (&row.symbol.into(), &"0.01".into())
        );
    }
    Ok(())
}

#[test]
fn what_cannot_be_done_says_why_and_fails() -> Outcome {
    let stage = Stage::open(ROWS[0])?;
    let table: [(&[&str], &[&str], i32, &str); 4] = [
        (
            &["order", "place"],
            &["--symbol", "BTC/USDT", "--side", "buy", "--qty", "much"],
            1,
            "--qty",
        ),
        (
            &["order", "place"],
            &[
                "--symbol",
                "BTC/USDT",
                "--side",
                "buy",
                "--qty",
                "1",
                "--stop-price",
                "x",
            ],
            1,
            "--stop-price",
        ),
        (
            &["order", "place"],
            &[
                "--symbol",
                "BTC/USDT",
                "--side",
                "buy",
                "--qty",
                "1",
                "--stop-by",
                "mark",
            ],
            2,
            "--stop-price",
        ),
        (
            &["order", "cancel"],
            &["--symbol", "BTC/USDT", "--id", "tw0-0-1"],
            1,
            "order",
        ),
    ];
    for (command, more, code, words) in table {
        let output = stage.run(command, more)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {errors}");
        assert!(errors.contains(words), "{more:?}: {errors}");
        assert!(output.stdout.is_empty(), "{more:?}");
        assert!(!errors.contains(AccountSpec::DEMO_SECRET), "{errors}");
    }
    Ok(())
}

//! The rules of the house that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below `folder`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("/tests/") || text.ends_with("/tests.rs")
}

/// Lines of code: what stands in comments may name anything.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a source file is text");
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

fn offences(folder: &str, banned: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in rust_files(&root().join(folder)) {
        if is_test(&path) {
            continue;
        }
        for (line, text) in code_lines(&path) {
            for word in banned.iter().filter(|word| text.contains(**word)) {
                found.push(format!("{}:{line} names {word}", path.display()));
            }
        }
    }
    found
}

#[test]
fn protocol_code_names_no_socket_and_no_clock() {
    let banned = [
        "mio::",
        "std::net",
        "socket2",
        "TcpStream",
        "UdpSocket",
        "Instant",
        "SystemTime",
        "std::thread",
        "thread::spawn",
        "std::fs",
        "std::env",
        "libc::",
    ];
    for folder in [
        "orderbook/src",
        "connectors/src",
        "engine/src/wire",
        "engine/src/ws/session",
    ] {
        let found = offences(folder, &banned);
        assert!(
            found.is_empty(),
            "{folder} must stay sans-IO:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn protocol_code_is_deterministic() {
    // A seed comes from the constructor; nothing may draw one from the system, or walk a map whose
    // order changes from run to run.
    let banned = [
        "RandomState",
        "rand::random",
        "Rng::new()",
        "fastrand::u64(",
        "thread_rng",
    ];
    for folder in [
        "orderbook/src",
        "connectors/src",
        "engine/src/wire",
        "engine/src/ws/session",
    ] {
        let found = offences(folder, &banned);
        assert!(
            found.is_empty(),
            "{folder} must be deterministic:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn peers_are_not_unwrapped() {
    let found = offences(
        "connectors/src",
        &[".unwrap()", ".expect(", "panic!(", "unreachable!("],
    );
    assert!(
        found.is_empty(),
        "a venue can send anything:\n{}",
        found.join("\n")
    );
}

#[test]
fn every_venue_folder_has_the_same_files() {
    const FILES: [&str; 11] = [
        "mod",
        "urls",
        "subscribe",
        "route",
        "parse",
        "tape",
        "rest",
        "symbols",
        "sync",
        "links",
        "watch",
    ];
    for venue in ["binance", "bybit", "deribit", "polymarket"] {
        for file in FILES {
            let path = root().join(format!("connectors/src/{venue}/{file}.rs"));
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

#[test]
fn every_venue_that_trades_has_the_same_files_for_it() {
    const FILES: [&str; 4] = ["trade", "private", "account", "codes"];
    for venue in ["binance", "bybit", "deribit"] {
        for file in FILES {
            let path = root().join(format!("connectors/src/{venue}/{file}.rs"));
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

#[test]
fn files_stay_readable() {
    let mut long = Vec::new();
    for folder in ["orderbook", "connectors", "engine", "tools", "benches"] {
        for path in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&path).expect("text").lines().count();
            if lines > 1_000 {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "a file of more than 1,000 lines holds several:\n{}",
        long.join("\n")
    );
}

//! The fuzz targets over their committed corpora, as an ordinary test.

#![expect(clippy::print_stdout, reason = "a failing test shows the file")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::{Path, PathBuf};

/// The largest file that is kept: an input says more when it is small.
const FILE_BYTES_MAX: usize = 64 << 10;

fn replay(target: &str, count_min: usize, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(
        files.len() >= count_min,
        "{} of {count_min} files",
        files.len()
    );
    for file in files {
        let data = fs::read(&file).expect("a file");
        let len = data.len();
        assert!(len <= FILE_BYTES_MAX, "{} has {len} bytes", file.display());
        // As it is, and cut into pieces of one octet. The name is shown if it fails.
        println!("{}", file.display());
        body(&data);
        if let Some((_, rest)) = data.split_first() {
            body(&[&[0], rest].concat());
        }
    }
}

#[test]
fn frame() {
    replay("frame", 20, bodies::frame);
}

#[test]
fn handshake() {
    replay("handshake", 20, bodies::handshake);
}

#[test]
fn response() {
    replay("response", 20, bodies::response);
}

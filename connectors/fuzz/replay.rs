//! Runs the body of a fuzz target over its committed corpus, as an ordinary test.

use std::fs;
use std::path::{Path, PathBuf};

/// The largest file that is kept: an input says more when it is small.
const FILE_BYTES_MAX: usize = 16 << 10;

/// Runs `body` over every file of `fuzz/corpus/TARGET` of this package: at least `count_min`.
///
/// A failure names the file: its path is written before it is run.
pub(crate) fn replay(target: &str, count_min: usize, mut body: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let count = files.len();
    assert!(count >= count_min, "{count} of {count_min} files");
    for file in files {
        let data = fs::read(&file).expect("a file");
        let (name, len) = (file.display(), data.len());
        assert!(len <= FILE_BYTES_MAX, "{name} has {len} bytes");
        #[expect(clippy::print_stdout, reason = "a failing test shows the file")]
        {
            println!("{name}");
        }
        body(&data);
    }
}

//! The bugs of `tools/mutations` can still be planted: each hunk's text stands in the present sources,
//! once. (`tools/mutations/check.sh` plants them and lets the world find them.)

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text before and after the change, of each hunk: (file, before, after).
fn hunks(patch: &str) -> Vec<(String, String, String)> {
    let mut hunks: Vec<(String, String, String)> = Vec::new();
    let mut file = String::new();
    let mut inside = false;
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = path.to_owned();
            inside = false;
        } else if line.starts_with("@@") {
            hunks.push((file.clone(), String::new(), String::new()));
            inside = true;
        } else if line.starts_with("diff ") {
            inside = false;
        } else if let (true, Some((_, before, after))) = (inside, hunks.last_mut()) {
            let (mark, text) = line.split_at(line.len().min(1));
            for (is_there, side) in [(mark != "+", before), (mark != "-", after)] {
                if is_there {
                    side.push_str(text);
                    side.push('\n');
                }
            }
        }
    }
    hunks
}

#[test]
fn each_mutation_applies_to_the_present_sources_and_says_what_it_breaks() {
    let folder = root().join("tools/mutations");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of mutations") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let patch = fs::read_to_string(&path).expect("a patch is text");
        assert!(
            patch.starts_with("Breaks: "),
            "{name}: say first what it breaks"
        );
        let hunks = hunks(&patch);
        assert!(!hunks.is_empty(), "{name} changes nothing");
        for (file, before, after) in hunks {
            let source = fs::read_to_string(root().join(&file))
                .unwrap_or_else(|error| panic!("{name} changes {file}: {error}"));
            assert_ne!(before, after, "{name}: {file}");
            let found = source.matches(&before).count();
            assert_eq!(
                found, 1,
                "{name} no longer fits {file}: make it anew with git diff\n{before}"
            );
        }
        names.push(name);
    }
    assert!(names.len() >= 5, "{names:?}");
}

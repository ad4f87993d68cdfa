//! A crate outside this repository links `tickwire`, adds a venue of its own and runs it against a
//! server of its own. The crate is in `out_of_tree/`: copied to a temporary folder, built, run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beside the workspace's other outputs, so that a second run builds only what changed.
fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("out-of-tree")
}

#[test]
fn a_crate_of_its_own_adds_a_venue_without_a_change_here() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = engine.join("tests/out_of_tree");
    let folder = tempfile::tempdir().unwrap();
    let manifest = fs::read_to_string(template.join("Cargo.toml.txt")).unwrap();
    let path = engine.to_str().unwrap().replace('\\', "/");
    fs::write(
        folder.path().join("Cargo.toml"),
        manifest.replace("{ENGINE}", &path),
    )
    .unwrap();
    // The same versions as here: nothing is resolved, and nothing is fetched.
    fs::copy(
        engine.join("../Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )
    .unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    for name in ["main.rs", "server.rs"] {
        fs::copy(
            template.join("src").join(name),
            folder.path().join("src").join(name),
        )
        .unwrap();
    }

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--offline", "--quiet"])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);

    // Live, the cut, Live, the gap, Live: each was told before the price behind it. What the engine
    // says when it ends may follow.
    let mut lines = out.lines();
    let states = lines.next().unwrap_or_default();
    let told = "states live stale live resync live";
    assert!(states.starts_with(told), "{out}\n{err}");
    let count = lines
        .next()
        .and_then(|line| line.strip_prefix("ok "))
        .map(str::parse::<u64>);
    assert!(matches!(count, Some(Ok(50..))), "{out}\n{err}");
}

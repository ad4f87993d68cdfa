//! `tickwire doctor` as a program. Nothing here looks at how long anything took.

use std::fs;

use serde_json::Value;

use super::{Outcome, stderr, tickwire};

#[test]
fn doctor_looks_at_this_machine_and_measures_its_noise() -> Outcome {
    let output = tickwire(&["doctor", "--seconds", "1", "--json"])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let object: Value = serde_json::from_slice(&output.stdout)?;
    for check in object["checks"].as_array().ok_or("no checks")? {
        assert!(check["found"].is_string(), "{check}");
        let verdict = check["verdict"].as_str();
        let known = ["good", "could be better", "bad", "unknown"];
        assert!(verdict.is_some_and(|it| known.contains(&it)), "{check}");
    }
    let noise = &object["noise"];
    assert!(
        noise["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds >= 1.0),
        "{noise}"
    );
    assert!(
        noise["clock_read_ns"].as_f64().is_some_and(|ns| ns > 0.0),
        "{noise}"
    );
    let stolen = noise["stolen_share"].as_f64();
    assert!(
        stolen.is_some_and(|share| (0.0..=1.0).contains(&share)),
        "{noise}"
    );

    let output = tickwire(&["doctor", "--seconds", "0"])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("checked for a loop on core"), "{text}");
    Ok(())
}

#[test]
fn doctor_reads_a_machine_below_another_root() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sys/devices/system/cpu");
    fs::create_dir_all(&path)?;
    fs::write(path.join("isolated"), "4-6\n")?;
    fs::write(path.join("online"), "0-7\n")?;
    let root = folder.path().to_string_lossy();
    let args = ["doctor", "--root", &root, "--core", "7", "--seconds", "0"];
    let text = String::from_utf8(tickwire(&args)?.stdout)?;
    for part in [
        "checked for a loop on core 7",
        "isolated: 4-6; not core 7",
        "isolcpus=managed_irq,domain,7",
        "1 bad",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    Ok(())
}

#[test]
fn doctor_says_that_a_core_is_not_there() -> Outcome {
    let output = tickwire(&["doctor", "--core", "1023"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("may not use core 1023"),
        "{}",
        stderr(&output)
    );
    Ok(())
}

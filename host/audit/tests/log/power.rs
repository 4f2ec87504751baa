//! Power cuts on real file systems, where root and loop mounts are to be had; `tests/power/cuts.py` makes them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nephron_audit::{Log, Reader, RealDisk};
use nephron_model::Recorder as _;

use crate::support::{TestKey, check, clock, draft, tenant, with_disk};

/// What an earlier round was told is durable: the hash of each entry.
fn acknowledged(file: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split_once(' ').unwrap());
    lines
        .map(|(sequence, hash)| (sequence.parse().unwrap(), hash.to_owned()))
        .collect()
}

/// Finds everything that was acknowledged; says `LOST` otherwise.
fn find_all(folder: &Path, acknowledged: &BTreeMap<u64, String>) {
    if acknowledged.is_empty() {
        return;
    }
    let reader = Reader::open(folder).unwrap_or_else(|error| panic!("LOST: {error}"));
    let found: BTreeMap<u64, String> = reader
        .entries(0..u64::MAX)
        .map(|entry| entry.unwrap_or_else(|error| panic!("LOST: {error}")))
        .map(|entry| (entry.header.sequence, entry.hash.to_string()))
        .collect();
    for (sequence, hash) in acknowledged {
        assert_eq!(found.get(sequence), Some(hash), "LOST: entry {sequence}");
    }
}

fn open(folder: &Path) -> Log {
    let options = with_disk(Arc::new(RealDisk));
    let log = Log::open(folder, &tenant(), clock(), options);
    let log =
        log.unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
    log.sign_with(TestKey::new(1));
    log
}

/// Writes until the file system is gone, and says what was acknowledged.
fn write(folder: &Path) {
    let log = open(folder);
    println!("\npower: open");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for number in (writer..).step_by(4) {
                    let Ok(recorded) = log.record(draft(number)).wait() else {
                        return;
                    };
                    println!("power: {} {}", recorded.sequence(), recorded.hash());
                    if number % 16 == 0 && log.checkpoint().is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Opens what the cut left, closes it, and verifies the whole.
fn look(folder: &Path, acknowledged: &BTreeMap<u64, String>) {
    find_all(folder, acknowledged);
    let log = open(folder);
    log.close().unwrap();
    find_all(folder, acknowledged);
    let verdict = check(folder);
    assert!(
        verdict.verified && verdict.sealed,
        "LOST: {:?}",
        verdict.faults
    );
}

/// Says it where it is seen of a test that passes, too: what was skipped is to be known.
fn say(words: &str) {
    writeln!(std::io::stderr(), "power cuts: {}", words.trim()).unwrap();
}

#[test]
fn i1_a_power_cut_on_a_real_file_system_loses_no_acknowledged_entry() {
    let path = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .unwrap_or_default()
    };
    let (folder, told) = (
        path("NEPHRON_POWER_LOG"),
        path("NEPHRON_POWER_ACKNOWLEDGED"),
    );
    match std::env::var("NEPHRON_POWER").as_deref() {
        Ok("write") => return write(&folder),
        Ok("check") => return look(&folder, &acknowledged(&told)),
        Ok(_) | Err(_) => {}
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/power/cuts.py");
    let mut cuts = Command::new("unshare");
    cuts.args(["--mount", "--"])
        .arg(script)
        .args(["--rounds", "50"]);
    cuts.arg("--program").arg(std::env::current_exe().unwrap());
    let output = match cuts.output() {
        Ok(output) => output,
        Err(error) => {
            return say(&format!(
                "skipped 50 power cuts: `unshare` cannot be run: {error}"
            ));
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    say(&out);
    match output.status.code() {
        Some(0) => assert!(out.contains("cuts of ext4"), "{out}"),
        Some(77) => assert!(out.contains("skipped 50 power cuts"), "{out}"),
        // Who is not root gets no mount namespace.
        Some(1) if err.contains("unshare failed") => say(&format!("skipped 50 power cuts: {err}")),
        _ => panic!("{out}\n{err}"),
    }
}

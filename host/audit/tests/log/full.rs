//! A disk that is really full: a file system of 40 MiB, where root may mount one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nephron_audit::view::{Term, ViewStanding};
use nephron_audit::{CloseError, Log, OpenError, Options, Reader, RealDisk};
use nephron_model::{Digest, EntryKind, Record, Recorder as _, Records as _, Space};

use crate::support::{check, draft, try_open, with_disk};

/// What takes so long does not come.
const PATIENCE: Duration = Duration::from_secs(60);
const NO_MOUNTS: i32 = 77;

/// The commands that mount a file system on `$1` and run `$2`, the program, there. A file system that is not to be had is left out.
const SCRIPT: &str = r#"
case "$3" in
tmpfs) mount -t tmpfs -o size=40m none "$1" || exit 77 ;;
ext4)
    truncate -s 40M "$1.img" && mkfs.ext4 -q -F -m 0 "$1.img" && mount -o loop "$1.img" "$1" || exit 77 ;;
esac
NEPHRON_FULL="$1" "$2" --exact "$4" --nocapture --test-threads=1
code=$?
umount "$1"
exit $code
"#;

/// What was acknowledged: number of the draft and hash, by sequence.
type Acknowledged = BTreeMap<u64, (u64, Digest)>;

fn options() -> Options {
    Options {
        segment_size: 512 << 10,
        rest_after: Duration::from_millis(1),
        ..with_disk(Arc::new(RealDisk))
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// Records one entry that takes some 40 KiB.
fn record(log: &Log, number: u64, acknowledged: &mut Acknowledged) -> bool {
    let mut draft = draft(number);
    draft.payload = Some(vec![u8::try_from(number % 251).unwrap(); 40 << 10]);
    draft.records = vec![Record {
        space: Space::Grant,
        key: key(number),
        value: key(number),
    }];
    match log.record(draft).wait() {
        Ok(recorded) => {
            acknowledged.insert(recorded.sequence(), (number, recorded.hash()));
            true
        }
        Err(_) => false,
    }
}

/// What was acknowledged is read, by every way. It takes a while, so of the entries themselves some.
#[track_caller]
fn reads(log: &Log, acknowledged: &Acknowledged) {
    for (sequence, (number, hash)) in acknowledged.iter().step_by(9) {
        let entry = log.entry(*sequence).unwrap().unwrap();
        assert_eq!(entry.hash, *hash, "LOST: entry {sequence}");
        assert_eq!(entry.header.facts["number"], number.to_string());
    }
    let numbers = || acknowledged.values().map(|(number, _)| *number);
    let middle = numbers().nth(acknowledged.len() / 2);
    for number in numbers().take(1).chain(middle).chain(numbers().next_back()) {
        let value = log.read(Space::Grant, &key(number)).unwrap();
        assert_eq!(value, Some(key(number)), "LOST: record {number}");
    }
    let found = log.sequences(&Term::Kind(EntryKind::PassedOver)).unwrap();
    let found: std::collections::BTreeSet<u64> = found.into_iter().collect();
    assert!(acknowledged.keys().all(|sequence| found.contains(sequence)));
}

/// All of it, for who looks from outside, as `audit-verify` does.
fn can_be_read(folder: &Path, acknowledged: &Acknowledged) {
    let reader = Reader::open(folder).unwrap();
    let hashes: BTreeMap<u64, Digest> = reader
        .entries(0..u64::MAX)
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.header.sequence, entry.hash))
        .collect();
    for (sequence, (_, hash)) in acknowledged {
        assert_eq!(hashes.get(sequence), Some(hash), "LOST: entry {sequence}");
    }
}

/// A file that takes all the room that is left.
fn take_all_room(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let bytes = vec![0x5a; size];
        while file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .is_ok()
        {}
    }
}

#[track_caller]
fn comes_to(log: &Log, standing: &[ViewStanding]) {
    let began = Instant::now();
    while !standing.contains(&log.view_standing()) {
        assert!(began.elapsed() < PATIENCE, "{:?}", log.view_standing());
        log.try_view_again();
        std::thread::yield_now();
    }
}

/// Somebody else fills the disk. The log has room in its segment for a while, its view has none, and both go on when there is room.
fn others_fill_it(place: &Path) -> String {
    let (folder, ballast) = (place.join("log"), place.join("ballast"));
    let mut acknowledged = Acknowledged::new();
    let log = try_open(&folder, options()).unwrap();
    for number in 0..20 {
        assert!(record(&log, number, &mut acknowledged));
    }
    reads(&log, &acknowledged);
    take_all_room(&ballast);
    let mut number = 20;
    let began = Instant::now();
    // Until the view has found out, or the segment is full and the log stops.
    while log.view_standing() != ViewStanding::Missing && record(&log, number, &mut acknowledged) {
        reads(&log, &acknowledged);
        number += 1;
        assert!(began.elapsed() < PATIENCE);
    }
    let had_stopped = log.is_stopped();
    reads(&log, &acknowledged);
    can_be_read(&folder, &acknowledged);
    std::fs::remove_file(&ballast).unwrap();
    let log = match had_stopped {
        false => log,
        true => {
            assert!(matches!(log.close(), Err(CloseError::Poisoned(_))));
            try_open(&folder, options()).unwrap()
        }
    };
    for number in number..number + 60 {
        assert!(record(&log, number, &mut acknowledged), "it does not go on");
    }
    comes_to(&log, &[ViewStanding::Open, ViewStanding::AtRest]);
    reads(&log, &acknowledged);
    let aside = log.set_aside();
    log.close().unwrap();
    is_whole(&folder, &acknowledged);
    format!(
        "{} entries, {} while others had filled it, {aside} set aside",
        acknowledged.len(),
        number - 20
    )
}

/// The log fills the disk itself, twice, and is opened on the full disk, too.
fn it_fills_it_itself(place: &Path) -> String {
    let (folder, ballast) = (place.join("log"), place.join("ballast"));
    // Room that is given back.
    std::fs::write(&ballast, vec![0x5a; 16 << 20]).unwrap();
    let (mut acknowledged, mut number) = (Acknowledged::new(), 0);
    let mut refused = 0;
    for round in 0..2 {
        let before = acknowledged.len();
        loop {
            let log = match try_open(&folder, options()) {
                Ok(log) => log,
                Err(OpenError::Storage { .. } | OpenError::NotRecorded { .. }) => {
                    refused += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            };
            let was = acknowledged.len();
            while record(&log, number, &mut acknowledged) {
                number += 1;
                if number % 16 == 0 {
                    let _seen = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
                }
            }
            number += 1;
            assert!(log.is_stopped());
            reads(&log, &acknowledged);
            can_be_read(&folder, &acknowledged);
            assert!(matches!(log.close(), Err(CloseError::Poisoned(_))));
            if acknowledged.len() == was {
                break;
            }
        }
        can_be_read(&folder, &acknowledged);
        assert!(acknowledged.len() > before, "it does not go on");
        if round == 0 {
            std::fs::remove_file(&ballast).unwrap();
        }
    }
    format!(
        "{} entries until it was full twice, {refused} openings refused",
        acknowledged.len()
    )
}

fn is_whole(folder: &Path, acknowledged: &Acknowledged) {
    can_be_read(folder, acknowledged);
    let verdict = check(folder);
    assert!(
        verdict.verified && verdict.sealed,
        "LOST: {:?}",
        verdict.faults
    );
}

/// Says it where it is seen of a test that passes, too: what was skipped is to be known.
fn say(words: &str) {
    writeln!(std::io::stderr(), "full disks: {}", words.trim()).unwrap();
}

#[test]
fn i1_on_a_full_file_system_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room() {
    if let Some(place) = std::env::var_os("NEPHRON_FULL") {
        let place = PathBuf::from(place);
        println!("full: {}", others_fill_it(&place));
        std::fs::remove_dir_all(place.join("log")).unwrap();
        println!("full: {}", it_fills_it_itself(&place));
        return;
    }
    let name = "full::i1_on_a_full_file_system_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room";
    for kind in ["tmpfs", "ext4"] {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("mount");
        std::fs::create_dir(&mount).unwrap();
        let mut run = Command::new("unshare");
        run.args(["--mount", "--", "sh", "-c", SCRIPT, "sh"])
            .arg(&mount)
            .arg(std::env::current_exe().unwrap())
            .args([kind, name]);
        let output = match run.output() {
            Ok(output) => output,
            Err(error) => {
                say(&format!("skipped {kind}: `unshare` cannot be run: {error}"));
                continue;
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let said: Vec<_> = out
            .lines()
            .filter_map(|line| line.split_once("full: "))
            .map(|(_, words)| words)
            .collect();
        match output.status.code() {
            Some(0) => {
                assert_eq!(said.len(), 2, "{out}");
                say(&format!("{kind}: {}", said.join("; ")));
            }
            Some(NO_MOUNTS) => say(&format!("skipped {kind}: {err}")),
            // Who is not root gets no mount namespace.
            Some(1) if err.contains("unshare failed") => say(&format!("skipped {kind}: {err}")),
            _ => panic!("{kind}: {out}\n{err}"),
        }
    }
}

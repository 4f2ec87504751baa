//! Killed, unplugged, or out of disk at any moment: what was acknowledged is there, and nothing else is claimed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nephron_audit::faults::{Call, Failed, FaultyDisk, Trouble};
use nephron_audit::{CloseError, Disk, FaultKind, Log, OpenError, OpenedFile, Reader, RealDisk};
use nephron_model::{Digest, EntryKind, Recorder as _};
use proptest::prelude::*;

use crate::support::{
    Place, TestKey, alter, check, copy, draft, files, fill, frames, open, options, place, segment,
    try_open, with_disk,
};

/// Records entries until the disk fails; returns what was acknowledged: sequence, hash and number of the draft.
fn record_until_it_fails(log: &Log, writers: u64) -> Vec<(u64, Digest, u64)> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|writer| {
                let log = log.clone();
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in writer * 1000..writer * 1000 + 40 {
                        match log.record(draft(number)).wait() {
                            Ok(recorded) => {
                                acknowledged.push((recorded.sequence(), recorded.hash(), number))
                            }
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    })
}

/// Opens the log as the next run would, and finds every acknowledged entry in it.
fn holds_after_a_crash(path: &Path, acknowledged: &[(u64, Digest, u64)]) {
    // A disk that does not really sync: what it holds is what the crash left, and the tests stay fast.
    let log = try_open(path, with_disk(Arc::new(FaultyDisk::new()))).unwrap();
    for (sequence, hash, number) in acknowledged {
        let entry = log.entry(*sequence).unwrap().unwrap();
        assert_eq!(
            (entry.hash, entry.header.facts["number"].clone()),
            (*hash, number.to_string())
        );
        assert_eq!(
            (&entry.payload, &entry.records),
            (&draft(*number).payload, &draft(*number).records)
        );
    }
    fill(&log, 0..5);
    log.close().unwrap();
    let verdict = check(path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
}

/// A log with its first entry, closed.
fn begun() -> Place {
    let place = place();
    open(&place.path).close().unwrap();
    place
}

/// How many calls one run of the scenario makes at least.
fn calls_of_a_run(writers: u64) -> u64 {
    let (place, disk) = (place(), Arc::new(FaultyDisk::new()));
    let log = try_open(&place.path, with_disk(Arc::clone(&disk) as _)).unwrap();
    let acknowledged = record_until_it_fails(&log, writers);
    assert_eq!(acknowledged.len() as u64, writers * 40);
    log.close().unwrap();
    disk.calls()
}

#[test]
fn i1_killed_at_every_call_no_acknowledged_entry_is_lost() {
    let begun = begun();
    for tears in [false, true] {
        let mut cut_short = 0;
        // A torn write differs only in what the next open finds: every third call shows it.
        let step = if tears { 3 } else { 1 };
        for n in (0..calls_of_a_run(1)).step_by(step) {
            let place = place();
            copy(&begun.path, &place.path);
            let disk = Arc::new(FaultyDisk::failing_from(n));
            if tears {
                disk.tear_writes();
            }
            let acknowledged = match try_open(&place.path, with_disk(disk)) {
                Ok(log) => record_until_it_fails(&log, 1),
                Err(OpenError::Storage { .. } | OpenError::NotRecorded { .. }) => Vec::new(),
                Err(error) => panic!("call {n}: {error}"),
            };
            cut_short += u64::from(acknowledged.len() < 40);
            holds_after_a_crash(&place.path, &acknowledged);
        }
        assert!(
            cut_short > 40 / step as u64,
            "the disk failed too late to matter: {cut_short}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i1_a_power_cut_at_any_call_loses_no_acknowledged_entry(n in 1u64..100, seed: u64, tears: bool) {
        let place = begun();
        let disk = Arc::new(FaultyDisk::failing_from(n));
        if tears {
            disk.tear_writes();
        }
        let acknowledged = match try_open(&place.path, with_disk(Arc::clone(&disk) as _)) {
            Ok(log) => record_until_it_fails(&log, 4),
            Err(_) => Vec::new(),
        };
        disk.cut_power(&place.path, seed).unwrap();
        holds_after_a_crash(&place.path, &acknowledged);
    }
}

/// Whether the bytes of entries were not written or not synced.
fn is_of_entries(failed: &Failed) -> bool {
    matches!(failed.call, Call::Write | Call::Sync)
        && failed
            .path
            .extension()
            .is_some_and(|extension| extension == "wal")
}

/// Records entries whatever the disk does, in as many threads, each with some checkpoints; returns what was acknowledged, once it is
/// sure that the log either says that it has stopped, and acknowledges nothing more, or goes on.
fn record_whatever_comes(log: &Log, disk: &FaultyDisk, writers: u64) -> Vec<(u64, Digest, u64)> {
    log.sign_with(TestKey::new(1));
    let record = |writer: u64| {
        let mut acknowledged = Vec::new();
        for number in writer * 1000..writer * 1000 + 40 {
            let had_failed = disk.failed().is_some_and(|failed| is_of_entries(&failed));
            let had_stopped = log.is_stopped();
            match log.record(draft(number)).wait() {
                Ok(recorded) => {
                    assert!(!had_stopped, "acknowledged by a log that has stopped");
                    // Before it was asked for, the bytes of another had failed.
                    assert!(!had_failed, "acknowledged after a failed sync");
                    acknowledged.push((recorded.sequence(), recorded.hash(), number));
                }
                Err(error) => {
                    assert!(log.is_stopped(), "{error}");
                    assert!(disk.failed().is_some(), "{error}");
                }
            }
            if number % 16 == 5 {
                // The log goes on without.
                drop(log.checkpoint());
            }
        }
        acknowledged
    };
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|writer| scope.spawn(move || record(writer)))
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect::<Vec<_>>()
    });
    if disk.failed().is_some_and(|failed| is_of_entries(&failed)) {
        assert!(log.is_stopped(), "{:?}", disk.failed());
    }
    if !log.is_stopped() {
        assert_eq!(acknowledged.len() as u64, writers * 40);
    }
    acknowledged
}

/// A run on a disk that fails one call; what it acknowledged, and whether it stopped.
fn run_on(path: &Path, disk: &Arc<FaultyDisk>, writers: u64) -> (Vec<(u64, Digest, u64)>, bool) {
    let log = match try_open(path, with_disk(Arc::clone(disk) as _)) {
        Ok(log) => log,
        Err(OpenError::Storage { .. } | OpenError::NotRecorded { .. }) => {
            assert!(disk.failed().is_some());
            return (Vec::new(), true);
        }
        Err(error) => panic!("{:?}: {error}", disk.failed()),
    };
    let acknowledged = record_whatever_comes(&log, disk, writers);
    let had_stopped = log.is_stopped();
    match log.close() {
        Ok(_) => assert!(!had_stopped),
        Err(CloseError::Poisoned(_)) => assert!(had_stopped),
        // The very call failed, and it is said.
        Err(CloseError::Checkpoint(_) | CloseError::Seal(_)) => assert!(disk.failed().is_some()),
        Err(error) => panic!("{:?}: {error}", disk.failed()),
    }
    (acknowledged, had_stopped)
}

#[test]
fn i1_where_any_one_call_fails_the_log_stops_or_goes_on_and_loses_nothing() {
    let begun = begun();
    let sound = Arc::new(FaultyDisk::new());
    let copied = place();
    copy(&begun.path, &copied.path);
    let (acknowledged, _) = run_on(&copied.path, &sound, 1);
    assert_eq!(acknowledged.len(), 40);
    let calls = sound.calls();
    for (trouble, tears) in [
        (Trouble::Broken, false),
        (Trouble::Full, false),
        (Trouble::Full, true),
    ] {
        let (mut stopped, mut went_on) = (0, 0);
        let step = if tears { 3 } else { 2 };
        for n in (u64::from(trouble == Trouble::Full)..calls).step_by(step) {
            let place = place();
            copy(&begun.path, &place.path);
            let disk = Arc::new(FaultyDisk::failing_once(n, trouble));
            if tears {
                disk.tear_writes();
            }
            let (acknowledged, has_stopped) = run_on(&place.path, &disk, 1);
            assert!(disk.failed().is_some(), "call {n} was not reached");
            stopped += u64::from(has_stopped);
            went_on += u64::from(!has_stopped);
            holds_after_a_crash(&place.path, &acknowledged);
        }
        assert!(stopped > 10 && went_on > 3, "{stopped} {went_on}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i1_a_power_cut_after_one_call_has_failed_loses_no_acknowledged_entry(n in 1u64..130, seed: u64, is_full: bool, tears: bool) {
        let place = begun();
        let trouble = if is_full { Trouble::Full } else { Trouble::Broken };
        let disk = Arc::new(FaultyDisk::failing_once(n, trouble));
        if tears {
            disk.tear_writes();
        }
        let (acknowledged, _) = run_on(&place.path, &disk, 4);
        disk.cut_power(&place.path, seed).unwrap();
        holds_after_a_crash(&place.path, &acknowledged);
    }
}

/// A disk that has no room for a segment that is made ahead, once.
#[derive(Default)]
struct OnceFull {
    refusals: AtomicU64,
    allocations: AtomicU64,
}

impl Disk for OnceFull {
    fn allocate(&self, file: &OpenedFile, length: u64) -> std::io::Result<()> {
        let is_first = file.path.ends_with("00000000.tmp");
        if !is_first && self.allocations.fetch_add(1, Ordering::SeqCst) == 0 {
            self.refusals.fetch_add(1, Ordering::SeqCst);
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        RealDisk.allocate(file, length)
    }
}

#[test]
fn a_segment_that_could_not_be_made_ahead_is_made_when_it_is_needed() {
    let (place, disk) = (place(), Arc::new(OnceFull::default()));
    let log = try_open(&place.path, with_disk(Arc::clone(&disk) as _)).unwrap();
    let mut number = 0;
    while disk.refusals.load(Ordering::SeqCst) == 0 {
        fill(&log, number..number + 1);
        number += 1;
    }
    assert!(!segment(&place.path, 1).exists(), "it was made ahead");
    fill(&log, number..number + 100);
    assert!(!log.is_stopped() && segment(&place.path, 2).exists());
    log.close().unwrap();
    let left = files(&place.path.join("journal"));
    assert!(left.iter().all(|file| file.extension().unwrap() == "wal"));
    assert!(check(&place.path).verified);
}

/// A log that was not closed: its writer is stopped by its disk.
fn unclosed(path: &Path, entries: u64) {
    let disk = Arc::new(FaultyDisk::new());
    let log = try_open(path, with_disk(Arc::clone(&disk) as _)).unwrap();
    fill(&log, 0..entries);
    disk.fail_now();
    assert!(log.record(draft(0)).wait().is_err());
    drop(log);
    assert!(!path.join("closed.json").exists());
    // The view would know the entries, and rightly refuse a journal without them.
    std::fs::remove_dir_all(path.join("view")).unwrap();
}

#[test]
fn a_torn_tail_is_set_aside_zeroed_and_recorded() {
    let place = place();
    unclosed(&place.path, 10);
    let bytes = std::fs::read(segment(&place.path, 0)).unwrap();
    let (offset, length, sequence) = *frames(&bytes).last().unwrap();
    assert_eq!(sequence, 10);
    alter(&segment(&place.path, 0), |bytes| {
        bytes[offset + length / 2..offset + length].fill(0)
    });
    let verdict = check(&place.path);
    assert_eq!(
        (verdict.first_broken(), verdict.faults[0].what),
        (Some(10), FaultKind::TornTail)
    );

    let log = open(&place.path);
    let repairs: Vec<_> = log
        .entries(10..u64::MAX)
        .map(|entry| entry.unwrap().header)
        .collect();
    let journal = repairs
        .iter()
        .find(|header| header.facts["part"] == "journal")
        .unwrap();
    assert_eq!(
        (journal.kind, journal.outcome.as_str()),
        (EntryKind::LogRepaired, "tail-set-aside")
    );
    let aside = std::fs::read(place.path.join(&journal.facts["set-aside"])).unwrap();
    assert!(bytes[offset..].starts_with(&aside[..length / 2]));
    log.close().unwrap();
    assert!(check(&place.path).verified);
}

#[test]
fn garbage_after_the_last_frame_is_set_aside() {
    let place = place();
    unclosed(&place.path, 10);
    alter(&segment(&place.path, 0), |bytes| {
        bytes[12_000..12_100].fill(0x5a)
    });
    assert_eq!(check(&place.path).faults[0].what, FaultKind::TrailingBytes);
    let log = open(&place.path);
    assert_eq!(log.entries(0..11).filter(Result::is_ok).count(), 11);
    log.close().unwrap();
    assert!(check(&place.path).verified);
}

#[test]
fn a_bad_frame_that_later_entries_vouch_for_is_an_alarm_and_never_a_truncation() {
    for victim in [0, 1, 5, 9] {
        let place = place();
        unclosed(&place.path, 10);
        let path = segment(&place.path, 0);
        let (offset, ..) = frames(&std::fs::read(&path).unwrap())[victim];
        alter(&path, |bytes| bytes[offset + 50] ^= 1);
        let before = std::fs::read(&path).unwrap();
        let error = try_open(&place.path, options()).err().unwrap();
        let OpenError::Damaged { fault, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(fault.entry, Some(victim as u64));
        assert_eq!(
            (fault.what, fault.offset),
            (FaultKind::FrameDamaged, Some(offset as u64))
        );
        assert!(
            error.to_string().contains("audit-verify"),
            "the remedy is named"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // What is before the damage can still be read.
        let reader = Reader::open(&place.path).unwrap();
        assert_eq!(reader.head().entries, victim as u64);
        assert_eq!(reader.entries(0..100).filter(Result::is_ok).count(), victim);
        assert!(!reader.damage().is_empty());
    }
}

#[test]
fn a_closed_log_has_no_torn_tail() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..10);
    log.close().unwrap();
    let path = segment(&place.path, 0);
    let (offset, length, _) = *frames(&std::fs::read(&path).unwrap()).last().unwrap();
    alter(&path, |bytes| bytes[offset..offset + length].fill(0));
    let error = try_open(&place.path, options()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(place.path.join("closed.json").exists());
}

#[test]
fn a_missing_segment_is_refused() {
    let place = place();
    unclosed(&place.path, 120);
    std::fs::remove_file(segment(&place.path, 1)).unwrap();
    let error = try_open(&place.path, options()).err().unwrap();
    let OpenError::Damaged { fault, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(fault.what, FaultKind::SegmentMissing);
    assert_eq!(fault.entry, check(&place.path).first_broken());
}

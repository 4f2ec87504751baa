//! Appending, reading back, closing and opening again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nephron_audit::faults::FaultyDisk;
use nephron_audit::view::Term;
use nephron_audit::{
    CloseError, Disk, GapKind, Head, Log, OpenError, OpenedFile, Options, Reader, RealDisk,
    VerifyOptions, entry_hash,
};
use nephron_model::{
    Clock, Digest, Draft, EntryKind, NotRecorded, Record, Recorder as _, Records as _, Space,
    Timestamp,
};

use crate::support::{
    check, clock, draft, fill, open, options, place, request, tenant, try_open, verify, with_disk,
};

/// Counts the syncs of journal segments that returned.
#[derive(Default)]
struct CountingDisk(AtomicU64);

impl Disk for CountingDisk {
    fn sync(&self, file: &OpenedFile) -> std::io::Result<()> {
        RealDisk.sync(file)?;
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn i1_a_commit_resolves_only_after_its_bytes_are_synced() {
    let place = place();
    let disk = Arc::new(CountingDisk::default());
    let log = try_open(&place.path, with_disk(Arc::clone(&disk) as _)).unwrap();
    for number in 0..20 {
        let before = disk.0.load(Ordering::SeqCst);
        let recorded = log.record(draft(number)).wait().unwrap();
        assert!(disk.0.load(Ordering::SeqCst) > before);
        // What is on the disk by now, read by somebody else, holds the entry.
        let reader = Reader::open(&place.path).unwrap();
        let entry = reader.entry(recorded.sequence()).unwrap().unwrap();
        assert_eq!(entry.hash, recorded.hash());
    }
}

#[test]
fn what_is_noted_is_written_with_the_next_entry_that_is_waited_for() {
    let place = place();
    let disk = Arc::new(CountingDisk::default());
    let log = try_open(&place.path, with_disk(Arc::clone(&disk) as _)).unwrap();
    let (before, start) = (disk.0.load(Ordering::SeqCst), log.head().entries);
    let noted: Vec<_> = (0..20).map(|number| log.note(draft(number))).collect();
    let recorded = log.record(draft(20)).wait().unwrap();
    assert_eq!(recorded.sequence(), start + 20);
    // One sync for all of them, or a few where the writer was slow to be woken; never one for each.
    let syncs = disk.0.load(Ordering::SeqCst) - before;
    assert!((1..=4).contains(&syncs), "{syncs} syncs");
    for (sequence, commit) in (start..).zip(noted) {
        assert_eq!(commit.wait().unwrap().sequence(), sequence);
    }
}

#[test]
fn what_is_noted_becomes_durable_though_nobody_waits() {
    let place = place();
    let log = open(&place.path);
    let commit = log.note(draft(0));
    assert_eq!(commit.wait().unwrap().sequence(), 1);
    // Nor does it get lost when the log closes at once.
    let _commit = log.note(draft(1));
    let head = log.close().unwrap();
    assert_eq!(head.entries, 3);
    assert_eq!(Reader::open(&place.path).unwrap().head(), head);
}

#[test]
fn a_queue_full_of_notes_does_not_hold_up_its_callers() {
    let place = place();
    let few = Options {
        queue_entries: 2,
        ..options()
    };
    let log = try_open(&place.path, few).unwrap();
    for number in 0..100 {
        drop(log.note(draft(number)));
    }
    assert_eq!(log.record(draft(100)).wait().unwrap().sequence(), 101);
}

#[test]
fn i1_a_failed_sync_refuses_the_entry_and_everything_after_it() {
    let place = place();
    let disk = Arc::new(FaultyDisk::new());
    let log = try_open(&place.path, with_disk(Arc::clone(&disk) as _)).unwrap();
    fill(&log, 0..3);
    // The write goes through, its sync does not.
    disk.fail_from(disk.calls() + 1);
    let head = log.head();
    assert!(matches!(
        log.record(draft(3)).wait(),
        Err(NotRecorded::Storage(_))
    ));
    assert!(matches!(
        log.record(draft(4)).wait(),
        Err(NotRecorded::Storage(_))
    ));
    assert_eq!(log.head(), head);
    assert!(matches!(log.close(), Err(CloseError::Poisoned(_))));
}

#[test]
fn entries_become_durable_in_the_order_in_which_they_were_queued() {
    let place = place();
    let log = open(&place.path);
    let commits: Vec<_> = (0..200).map(|number| log.record(draft(number))).collect();
    let sequences: Vec<u64> = commits
        .into_iter()
        .map(|commit| commit.wait().unwrap().sequence())
        .collect();
    assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
    for (number, entry) in log.entries(1..u64::MAX).enumerate() {
        assert_eq!(entry.unwrap().header.facts["number"], number.to_string());
    }
}

#[test]
fn many_writers_make_one_unbroken_chain() {
    let place = place();
    let log = open(&place.path);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let log = log.clone();
            scope.spawn(move || fill(&log, writer * 1000..writer * 1000 + 60));
        }
    });
    let mut previous = Digest([0; 32]);
    for (count, entry) in (0..).zip(log.entries(0..u64::MAX)) {
        let entry = entry.unwrap();
        assert_eq!(
            (entry.header.sequence, entry.header.previous),
            (count, previous)
        );
        assert_eq!(entry.hash, entry_hash(&entry.header_bytes));
        previous = entry.hash;
    }
    assert_eq!(
        log.head(),
        Head {
            entries: 481,
            hash: previous
        }
    );
    let head = log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    assert_eq!((verdict.entries, verdict.head), (head.entries, head.hash));
}

#[test]
fn an_entry_is_read_back_as_it_was_recorded() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..50);
    for number in 0..50 {
        let entry = log.entry(number + 1).unwrap().unwrap();
        let draft = draft(number);
        assert_eq!(entry.payload, draft.payload);
        assert_eq!(entry.records, draft.records);
        assert_eq!(entry.header.caller, draft.caller);
        assert_eq!(entry.header.request, draft.request);
        assert_eq!(entry.header.facts, draft.facts);
    }
    assert_eq!(log.entry(51).unwrap(), None);
    let opened = log.entry(0).unwrap().unwrap().header;
    assert_eq!(
        (opened.kind, opened.facts["tenant"].as_str()),
        (EntryKind::LogOpened, "st-marys")
    );
}

#[test]
fn a_record_is_read_the_moment_its_commit_resolved_and_its_newest_value_wins() {
    let place = place();
    let log = open(&place.path);
    let record = |value: &[u8]| Record {
        space: Space::Cursor,
        key: b"jsonl".to_vec(),
        value: value.to_vec(),
    };
    assert_eq!(log.read(Space::Cursor, b"jsonl").unwrap(), None);
    for number in 0..500u64 {
        let mut draft = Draft::new(EntryKind::Exported, "ok");
        draft.records = vec![
            record(b"older, in the same entry"),
            record(&number.to_le_bytes()),
        ];
        let _recorded = log.record(draft).wait().unwrap();
        assert_eq!(
            log.read(Space::Cursor, b"jsonl").unwrap(),
            Some(number.to_le_bytes().to_vec())
        );
    }
    assert_eq!(log.read(Space::Grant, b"jsonl").unwrap(), None);
    let mut removal = Draft::new(EntryKind::Exported, "ok");
    removal.records = vec![record(b"")];
    let _recorded = log.record(removal).wait().unwrap();
    assert_eq!(log.read(Space::Cursor, b"jsonl").unwrap(), Some(vec![]));
    // The same from the view, after it has followed, and from the journal alone.
    log.close().unwrap();
    let log = open(&place.path);
    assert_eq!(log.read(Space::Cursor, b"jsonl").unwrap(), Some(vec![]));
    assert_eq!(
        Reader::open(&place.path)
            .unwrap()
            .read(Space::Cursor, b"jsonl")
            .unwrap(),
        Some(vec![])
    );
}

#[test]
fn entries_are_found_by_request_caller_and_kind() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..40);
    assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
    assert_eq!(log.of_request(request(999)).unwrap(), [0u64; 0]);
    let nurse = Term::Caller("nurse-1".to_owned());
    assert_eq!(
        log.sequences(&nurse).unwrap(),
        (0..10).map(|i| 2 + i * 4).collect::<Vec<u64>>()
    );
    assert_eq!(
        log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap(),
        [0]
    );
    let reader = Reader::open(&place.path).unwrap();
    assert_eq!(
        reader.sequences(&nurse).unwrap(),
        log.sequences(&nurse).unwrap()
    );
    assert_eq!(reader.of_request(request(2)).unwrap(), [7, 8, 9]);
}

#[test]
fn a_log_that_is_opened_again_continues_its_chain() {
    let place = place();
    let mut head = open(&place.path).close().unwrap();
    for round in 0..5 {
        let log = open(&place.path);
        assert_eq!(log.head(), head);
        assert!(
            !place.path.join("closed.json").exists(),
            "the seal is gone before the first write"
        );
        fill(&log, round * 30..round * 30 + 30);
        let entry = log.entry(head.entries).unwrap().unwrap();
        assert_eq!(entry.header.previous, head.hash);
        head = log.close().unwrap();
        assert_eq!(head.entries, 1 + (round + 1) * 30);
    }
    let verdict = check(&place.path);
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[test]
fn the_end_of_a_request_counts_its_own_entries_and_none_that_was_refused() {
    let place = place();
    let log = open(&place.path);
    let about = |kind, number| Draft::new(kind, "ok").about(request(number));
    let closed = |number| {
        let ended = about(EntryKind::RequestClosed, number);
        let recorded = log.record(ended).wait().unwrap();
        let entry = log.entry(recorded.sequence()).unwrap().unwrap();
        entry.header.counts.get("entries").copied()
    };
    // Many at once, each with another number of entries, noted and waited for, and one that the log does not take.
    std::thread::scope(|scope| {
        for number in 1..9 {
            let (log, about, closed) = (&log, &about, &closed);
            scope.spawn(move || {
                drop(log.note(about(EntryKind::RequestOpened, number)));
                for entry in 0..number {
                    let decision = about(EntryKind::Decision, number);
                    match entry % 3 {
                        0 => drop(log.record(decision).wait().unwrap()),
                        _ => drop(log.note(decision)),
                    }
                }
                let mut too_large = about(EntryKind::Decision, number);
                too_large.reasons = vec!["x".repeat(40 << 10)];
                assert!(log.record(too_large).wait().is_err());
                assert_eq!(closed(number), Some(number));
            });
        }
    });
    // One that was opened again counts from there, one that nobody opened counts nothing, nor one that is over.
    drop(log.note(about(EntryKind::RequestOpened, 20)));
    drop(log.note(about(EntryKind::Decision, 20)));
    drop(log.note(about(EntryKind::RequestOpened, 20)));
    assert_eq!((closed(20), closed(20), closed(21)), (Some(0), None, None));
    // Across a restart nobody knows what came before it.
    drop(log.note(about(EntryKind::RequestOpened, 30)));
    log.close().unwrap();
    let log = open(&place.path);
    let ended = log.record(about(EntryKind::RequestClosed, 30)).wait();
    let entry = log.entry(ended.unwrap().sequence()).unwrap().unwrap();
    assert!(entry.header.counts.is_empty());
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified, "{:?}", verdict.faults);
    let said = |what: GapKind| verdict.gaps.iter().filter(|gap| gap.what == what).count();
    assert_eq!(said(GapKind::EntriesMissing), 0);
    assert_eq!(
        verdict.gaps.len(),
        said(GapKind::EndWithoutRequest) + said(GapKind::RequestWithoutEnd)
    );
}

#[test]
fn a_second_opener_is_refused_and_a_reader_is_not() {
    let place = place();
    let log = open(&place.path);
    let error = try_open(&place.path, options()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("stop the process"));
    fill(&log, 0..5);
    assert_eq!(Reader::open(&place.path).unwrap().head(), log.head());
    drop(log);
    open(&place.path).close().unwrap();
}

#[test]
fn dropping_the_last_clone_closes_the_log() {
    let place = place();
    let log = open(&place.path);
    let other = log.clone();
    drop(log);
    fill(&other, 0..3);
    drop(other);
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
}

#[test]
fn a_closed_log_takes_nothing_more() {
    let place = place();
    let log = open(&place.path);
    let other = log.clone();
    log.close().unwrap();
    assert_eq!(other.record(draft(0)).wait(), Err(NotRecorded::Closed));
    assert!(matches!(other.close(), Err(CloseError::AlreadyClosed)));
}

#[test]
fn i5_a_log_is_not_opened_for_another_tenant() {
    let place = place();
    open(&place.path).close().unwrap();
    let other = "mercy".parse().unwrap();
    let error = Log::open(&place.path, &other, clock(), options())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::OtherTenant { .. }));
    let verdict = check(&place.path);
    assert!(
        verdict.verified && verdict.sealed,
        "a refused opening changes nothing"
    );
}

#[test]
fn an_entry_too_large_is_refused_alone_and_a_large_one_gets_its_own_segment() {
    let place = place();
    let limits = Options {
        frame_limit: 1 << 20,
        ..options()
    };
    let log = try_open(&place.path, limits).unwrap();
    let mut large = draft(0);
    large.payload = Some(vec![9; 2 << 20]);
    assert!(matches!(
        log.record(large).wait(),
        Err(NotRecorded::TooLarge {
            limit: 1_048_576,
            ..
        })
    ));
    let mut long = draft(0);
    long.caller = Some("n".repeat(40 << 10));
    assert!(matches!(
        log.record(long).wait(),
        Err(NotRecorded::TooLarge { .. })
    ));
    let mut large = draft(0);
    large.payload = Some(vec![9; 900_000]);
    let recorded = log.record(large).wait().unwrap();
    fill(&log, 1..30);
    let entry = log.entry(recorded.sequence()).unwrap().unwrap();
    assert_eq!(entry.payload.unwrap().len(), 900_000);
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[test]
fn a_full_queue_holds_up_its_callers_and_loses_nothing() {
    let place = place();
    let narrow = Options {
        queue_entries: 2,
        queue_bytes: 2000,
        ..options()
    };
    let log = try_open(&place.path, narrow).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let log = log.clone();
            scope.spawn(move || fill(&log, writer * 100..writer * 100 + 40));
        }
    });
    assert_eq!(log.head().entries, 241);
}

/// A clock that runs backwards.
struct BackwardsClock(AtomicU64);

impl Clock for BackwardsClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: self.0.fetch_sub(1, Ordering::SeqCst),
            nanoseconds: 0,
        }
    }

    fn steady(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn time_never_goes_backwards_within_a_log() {
    let place = place();
    for start in [2_000_000_000, 1_900_000_000] {
        let clock = Arc::new(BackwardsClock(AtomicU64::new(start)));
        let log = Log::open(&place.path, &tenant(), clock, options()).unwrap();
        fill(&log, 0..5);
        log.close().unwrap();
    }
    let reader = Reader::open(&place.path).unwrap();
    let times: Vec<_> = reader
        .entries(0..u64::MAX)
        .map(|entry| entry.unwrap().header.time)
        .collect();
    assert!(times.is_sorted() && times.len() == 11);
    let clock = Arc::new(BackwardsClock(AtomicU64::new(1_800_000_000)));
    let log = Log::open(&place.path, &tenant(), clock, options()).unwrap();
    assert_eq!(log.newest(), times.last().copied());
    assert_eq!(reader.newest(), log.newest());
    log.close().unwrap();
}

#[test]
fn i1_a_log_that_cannot_be_begun_leaves_nothing_behind() {
    for n in 0..30 {
        let place = place();
        let disk = Arc::new(FaultyDisk::failing_from(n));
        let Err(error) = try_open(&place.path, with_disk(disk)) else {
            assert!(n > 8, "opening makes more than {n} calls");
            return;
        };
        assert!(
            matches!(
                error,
                OpenError::Storage { .. } | OpenError::NotRecorded { .. }
            ),
            "{error:?}"
        );
        assert!(!place.path.exists());
    }
    panic!("opening never succeeded");
}

#[test]
fn bad_options_and_folders_are_named() {
    let place = place();
    let tiny = Options {
        segment_size: 100,
        ..options()
    };
    let error = try_open(&place.path, tiny).err().unwrap();
    assert!(error.to_string().contains("segment_size"));
    std::fs::write(&place.path, b"a file").unwrap();
    let error = try_open(&place.path, options()).err().unwrap();
    assert!(matches!(error, OpenError::Folder { .. }));
    assert!(
        Reader::open(&place.path).is_err()
            && verify(&place.path, VerifyOptions::default()).is_err()
    );
}

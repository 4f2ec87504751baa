//! What was kept for six years may go, and nothing but sealed payloads; before that, or on hold, nothing goes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cap_std::fs::Dir;
use nephron_audit::faults::{FaultyDisk, Trouble};
use nephron_audit::{
    Day, Disk, Entry, FaultKind, Log, OpenError, OpenedFile, Options, Prunable, Reader, RealDisk,
    RetainError, Retention, Verdict, entry_hash,
};
use nephron_model::{
    Clock, Draft, EntryKind, FixedClock, Recorder as _, Records as _, Space, Timestamp,
};
use proptest::prelude::*;

use crate::support::{
    Place, TestKey, alter, check, clock, copy, draft, files, fill, frames, open, options, place,
    segment, tenant, with_disk,
};

const BY: &str = "records-office";
const REASON: &str = "kept for six years";

/// The clock of [`clock`], so many days later.
fn days_later(days: u64) -> Arc<dyn Clock> {
    let clock = FixedClock::at(clock().now().seconds);
    clock.advance(Duration::from_secs(days * 86_400));
    Arc::new(clock)
}

/// The day seven years later, as a person says it.
fn today() -> Option<Day> {
    Some(days_later(7 * 366).now().day().parse().unwrap())
}

fn reopen(path: &Path, days: u64, options: Options) -> Result<Log, OpenError> {
    let log = Log::open(path, &tenant(), days_later(days), options)?;
    log.sign_with(TestKey::new(1));
    Ok(log)
}

/// A closed log of several segments.
fn old_log() -> Place {
    let place = place();
    let log = open(&place.path);
    log.sign_with(TestKey::new(1));
    fill(&log, 0..100);
    log.close().unwrap();
    assert!(segment(&place.path, 3).exists());
    place
}

/// Prunes a closed log seven years later.
pub(crate) fn prune(path: &Path) -> Prunable {
    let log = reopen(path, 7 * 366, options()).unwrap();
    let pruned = log.prune(Retention::FLOOR, BY, REASON, today()).unwrap();
    log.close().unwrap();
    pruned
}

fn entries(path: &Path) -> Vec<Entry> {
    let reader = Reader::open(path).unwrap();
    reader.entries(0..u64::MAX).map(Result::unwrap).collect()
}

fn whats(verdict: &Verdict) -> Vec<(Option<u64>, FaultKind)> {
    let faults = verdict.faults.iter();
    faults.map(|fault| (fault.entry, fault.what)).collect()
}

/// Everything of `before` stands in `after`, but for the payloads up to an entry.
fn differ_in_payloads_alone(before: &[Entry], after: &[Entry], last: Option<u64>) {
    for (before, after) in before.iter().zip(after) {
        let sequence = before.header.sequence;
        assert_eq!(
            (&before.header_bytes, before.hash, &before.records),
            (&after.header_bytes, after.hash, &after.records)
        );
        let had = before.payload.as_ref().is_some_and(|it| !it.is_empty());
        let is_gone = had && last.is_some_and(|last| sequence <= last);
        assert_eq!(after.is_pruned, is_gone, "{sequence}");
        if !is_gone {
            assert_eq!(before.payload, after.payload, "{sequence}");
        }
    }
}

#[test]
fn old_payloads_go_and_headers_records_and_proofs_stay() {
    let place = old_log();
    let before = entries(&place.path);
    let reader = Reader::open(&place.path).unwrap();
    let proof = reader.prove(50).unwrap();
    let size = |path: &Path| -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let files = files(&path.join("journal")).into_iter();
        files
            .map(|file| std::fs::metadata(file).unwrap().blocks())
            .sum()
    };
    let blocks = size(&place.path);

    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    let young = log.record(draft(1)).wait().unwrap().sequence();
    let found = log.prunable(Retention::FLOOR).unwrap();
    assert!(found.payloads > 30 && found.bytes > 10_000, "{found:?}");
    assert_eq!(
        log.prune(Retention::FLOOR, BY, REASON, today()).unwrap(),
        found
    );
    // Nothing is left to do, and no entry says so.
    let head = log.head();
    assert_eq!(
        log.prune(Retention::FLOOR, BY, REASON, today()).unwrap(),
        Prunable::default()
    );
    assert_eq!(log.head(), head);
    // What it holds of living things is still read, through the view and after it.
    let key = b"token-2".to_vec();
    let value = log.read(Space::VaultValue, &key).unwrap().unwrap();
    assert!(value.starts_with(b"sealed-"));
    let entry = log.entry(found.last.unwrap()).unwrap().unwrap();
    assert!(entry.is_pruned && entry.payload.is_none() && entry.header.payload.is_some());
    assert!(log.entry(young).unwrap().unwrap().payload.is_some());
    let said = log.entry(head.entries - 1).unwrap().unwrap().header;
    assert_eq!(
        (
            said.kind,
            &*said.facts["by"],
            &*said.facts["retention"],
            said.counts["payloads"]
        ),
        (EntryKind::PayloadsPruned, BY, "6y", found.payloads)
    );
    let key = log.verifier_key().unwrap().unwrap();
    assert!(proof.verify(&key).is_ok());
    assert!(log.prove(50).unwrap().verify(&key).is_ok());
    log.close().unwrap();

    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    assert_eq!(verdict.pruned, found.payloads);
    differ_in_payloads_alone(&before, &entries(&place.path), found.last);
    assert!(
        size(&place.path) < blocks + 4 * 32,
        "{blocks} {}",
        size(&place.path)
    );
    // The bytes are nowhere in the folder any more.
    let payload = draft(31).payload.unwrap();
    assert!(payload.len() > 100);
    for file in files(&place.path) {
        let bytes = std::fs::read(&file).unwrap();
        let is_there = bytes.windows(payload.len()).any(|part| part == payload);
        assert!(!is_there, "{file:?}");
    }
    // And so it opens again.
    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    assert_eq!(log.prunable(Retention::FLOOR).unwrap(), Prunable::default());
    assert_eq!(log.entries(0..u64::MAX).filter(Result::is_err).count(), 0);
}

#[test]
fn nothing_younger_than_six_years_goes() {
    let place = old_log();
    let log = reopen(&place.path, 6 * 365, options()).unwrap();
    assert_eq!(
        log.prune(Retention::FLOOR, BY, REASON, None).unwrap(),
        Prunable::default()
    );
    log.close().unwrap();
    let longer = Retention::of_years(10).unwrap();
    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    assert_eq!(
        log.prune(longer, BY, REASON, today()).unwrap(),
        Prunable::default()
    );
    drop(log);
    assert_eq!(check(&place.path).pruned, 0);
}

/// Reopens a log so many days later and records something, as one in use does.
fn live_on(path: &Path, days: std::ops::RangeInclusive<u64>) {
    for day in days.step_by(30) {
        let log = reopen(path, day, with_disk(Arc::new(FaultyDisk::new()))).unwrap();
        fill(&log, day..day + 1);
        log.close().unwrap();
    }
}

#[test]
fn a_clock_that_leaps_prunes_nothing_until_a_person_says_what_day_it_is() {
    // Nothing for seven years: a clock that runs ahead, for all that the log can know.
    let place = old_log();
    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    let head = log.head();
    let refused = log.prune(Retention::FLOOR, BY, REASON, None).unwrap_err();
    assert!(matches!(refused, RetainError::Leap { .. }), "{refused}");
    assert!(refused.to_string().contains("--today"), "{refused}");
    // Entries of the new time do not hide it.
    fill(&log, 0..20);
    let refused = log.prune(Retention::FLOOR, BY, REASON, None).unwrap_err();
    let RetainError::Leap { from, to } = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (from, to),
        (clock().now(), days_later(7 * 366).now()),
        "its place is named"
    );
    let other = Some("2027-01-01".parse().unwrap());
    let refused = log.prune(Retention::FLOOR, BY, REASON, other).unwrap_err();
    assert!(matches!(refused, RetainError::OtherDay { .. }), "{refused}");
    assert_eq!(log.head().entries, head.entries + 20, "nothing was said");
    let pruned = log.prune(Retention::FLOOR, BY, REASON, today()).unwrap();
    assert!(pruned.payloads > 0);
    let said = log.entry(log.head().entries - 1).unwrap().unwrap().header;
    assert_eq!(said.facts["today"], today().unwrap().to_string());
    log.close().unwrap();
    // From here on it goes by itself.
    live_on(&place.path, 7 * 366..=14 * 366);
    let log = reopen(&place.path, 14 * 366, options()).unwrap();
    let pruned = log.prune(Retention::FLOOR, BY, REASON, None).unwrap();
    assert!(pruned.payloads > 0);
    log.close().unwrap();
    assert!(check(&place.path).verified);
}

#[test]
fn a_log_in_use_is_pruned_by_the_schedule_and_one_leap_in_it_is_found() {
    let place = old_log();
    live_on(&place.path, 30..=7 * 366);
    let steady = self::place();
    copy(&place.path, &steady.path);
    let log = reopen(&steady.path, 7 * 366, options()).unwrap();
    let pruned = log.prune(Retention::FLOOR, BY, REASON, None).unwrap();
    assert!(pruned.payloads > 30, "{pruned:?}");
    drop(log);
    // Two months in seven years.
    live_on(&place.path, 7 * 366 + 60..=7 * 366 + 120);
    let log = reopen(&place.path, 7 * 366 + 121, options()).unwrap();
    let refused = log.prune(Retention::FLOOR, BY, REASON, None).unwrap_err();
    assert!(matches!(refused, RetainError::Leap { .. }), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i1_where_one_call_fails_a_pruning_is_whole_or_not_there(at in any::<prop::sample::Index>(), is_full: bool, cut in any::<Option<u64>>()) {
        let old = old_log();
        let before = entries(&old.path);
        let (calls, whole) = sound(&old);
        let trouble = if is_full { Trouble::Full } else { Trouble::Broken };
        let length = usize::try_from(calls.end - calls.start).unwrap();
        let disk = Arc::new(FaultyDisk::failing_once(calls.start + at.index(length) as u64, trouble));
        prune_on(&old.path, Arc::clone(&disk) as _);
        prop_assert!(disk.failed().is_some());
        if let Some(seed) = cut {
            disk.cut_power(&old.path, seed).unwrap();
        }
        is_whole_after_a_crash(&old.path, &before, whole);
    }
}

#[test]
fn a_hold_keeps_everything_until_it_is_released() {
    let place = old_log();
    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    assert!(matches!(
        log.release(BY, REASON),
        Err(RetainError::NotOnHold)
    ));
    log.hold("counsel", "matter 12-77").unwrap();
    assert!(matches!(log.hold(BY, REASON), Err(RetainError::OnHold(hold)) if hold.by == "counsel"));
    log.close().unwrap();
    // It outlives the process.
    let log = reopen(&place.path, 7 * 366, options()).unwrap();
    let refused = log
        .prune(Retention::FLOOR, BY, REASON, today())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("counsel") && refused.contains("matter 12-77"),
        "{refused}"
    );
    assert!(log.prunable(Retention::FLOOR).unwrap().payloads > 0);
    log.release("counsel", "settled").unwrap();
    assert_eq!(log.held().unwrap(), None);
    assert!(
        log.prune(Retention::FLOOR, BY, REASON, today())
            .unwrap()
            .payloads
            > 0
    );
    log.close().unwrap();
    assert!(check(&place.path).verified);
}

/// Records what says that the payloads up to `last` were pruned, which this time nobody does.
fn claim(log: &Log, last: u64, before: Timestamp) {
    let draft = Draft::new(EntryKind::PayloadsPruned, "pruned");
    let draft = draft.fact("last", last.to_string());
    let _recorded = log
        .record(draft.fact("before", before.to_string()))
        .wait()
        .unwrap();
}

#[test]
fn payloads_that_are_gone_too_early_on_hold_or_unsaid_are_found_offline() {
    // Somebody marks a frame, with a right checksum, and no entry says so.
    let place = old_log();
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    let file = segment(&place.path, 1);
    let all = frames(&std::fs::read(&file).unwrap());
    let mut victim = None;
    alter(&file, |bytes| {
        let word = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
        };
        let hit = all
            .iter()
            .find(|(at, ..)| word(bytes, at + 28) > 0)
            .unwrap();
        let (at, length, sequence) = *hit;
        let start = at + 40 + word(bytes, at + 24);
        let end = start + word(bytes, at + 28);
        bytes[start..end].fill(0);
        bytes[at + 36] = 1;
        let checksum = crc32fast::hash(&bytes[at + 8..at + length]);
        bytes[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        victim = Some(sequence);
    });
    let verdict = check(&place.path);
    assert_eq!(whats(&verdict), [(victim, FaultKind::PayloadMissing)]);
    let refused = reopen(&place.path, 7 * 366, options()).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { fault, .. } if fault.entry == victim));

    let now = days_later(7 * 366).now();
    for (hold, before, expected) in [
        (false, now, FaultKind::PrunedEarly),
        (
            true,
            clock().now().plus(Duration::from_secs(1)),
            FaultKind::PrunedOnHold,
        ),
    ] {
        let place = old_log();
        let log = reopen(&place.path, 7 * 366, options()).unwrap();
        if hold {
            log.hold(BY, REASON).unwrap();
        }
        claim(&log, 60, before);
        let claimed = log.head().entries - 1;
        log.close().unwrap();
        assert_eq!(whats(&check(&place.path)), [(Some(claimed), expected)]);
    }
}

/// After a crash: nothing of it is there, or the entry and, once the log was opened, all that it says.
fn is_whole_after_a_crash(path: &Path, before: &[Entry], whole: Prunable) -> bool {
    let log = reopen(path, 7 * 366, with_disk(Arc::new(FaultyDisk::new()))).unwrap();
    log.close().unwrap();
    let verdict = check(path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    let is_said = entries(path)
        .iter()
        .any(|it| it.header.kind == EntryKind::PayloadsPruned);
    let expected = if is_said { whole.payloads } else { 0 };
    assert_eq!(verdict.pruned, expected);
    let last = whole.last.filter(|_| is_said);
    differ_in_payloads_alone(before, &entries(path), last);
    // What was left is done by the next.
    let log = reopen(path, 7 * 366, with_disk(Arc::new(FaultyDisk::new()))).unwrap();
    log.prune(Retention::FLOOR, BY, REASON, today()).unwrap();
    assert_eq!(log.prunable(Retention::FLOOR).unwrap(), Prunable::default());
    log.close().unwrap();
    assert_eq!(check(path).pruned, whole.payloads);
    is_said
}

/// Prunes on a disk that fails somewhere.
fn prune_on(path: &Path, disk: Arc<dyn Disk>) {
    match reopen(path, 7 * 366, with_disk(disk)) {
        Ok(log) => drop(log.prune(Retention::FLOOR, BY, REASON, today())),
        Err(OpenError::Storage { .. } | OpenError::NotRecorded { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The calls of a pruning, behind those of opening, and what it takes away.
fn sound(old: &Place) -> (std::ops::Range<u64>, Prunable) {
    let (place, disk) = (place(), Arc::new(FaultyDisk::new()));
    copy(&old.path, &place.path);
    let log = reopen(&place.path, 7 * 366, with_disk(Arc::clone(&disk) as _)).unwrap();
    let opened = disk.calls();
    let whole = log.prune(Retention::FLOOR, BY, REASON, today()).unwrap();
    let pruned = opened..disk.calls();
    drop(log);
    (pruned, whole)
}

#[test]
fn i1_killed_at_every_call_a_pruning_is_whole_or_not_there() {
    let old = old_log();
    let before = entries(&old.path);
    let (calls, whole) = sound(&old);
    let mut said = 0;
    for n in calls.clone() {
        let place = place();
        copy(&old.path, &place.path);
        let disk = Arc::new(FaultyDisk::failing_from(n));
        if n % 2 == 0 {
            disk.tear_writes();
        }
        prune_on(&place.path, disk);
        said += u64::from(is_whole_after_a_crash(&place.path, &before, whole));
    }
    let all = calls.end - calls.start;
    assert!((10..all).contains(&said), "{said} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn i1_a_power_cut_leaves_a_pruning_whole_or_not_there(at in any::<prop::sample::Index>(), seed: u64) {
        let old = old_log();
        let before = entries(&old.path);
        let (calls, whole) = sound(&old);
        let disk = Arc::new(FaultyDisk::failing_from(calls.start + at.index(usize::try_from(calls.end - calls.start).unwrap()) as u64));
        prune_on(&old.path, Arc::clone(&disk) as _);
        disk.cut_power(&old.path, seed).unwrap();
        is_whole_after_a_crash(&old.path, &before, whole);
    }
}

/// A disk on which no new file finds room.
#[derive(Default)]
struct FullDisk(AtomicBool);

impl Disk for FullDisk {
    fn create(&self, root: &Dir, path: &Path) -> io::Result<OpenedFile> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => RealDisk.create(root, path),
        }
    }
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_the_next_pruning_finishes() {
    let place = old_log();
    let before = entries(&place.path);
    let disk = Arc::new(FullDisk::default());
    let log = reopen(&place.path, 7 * 366, with_disk(Arc::clone(&disk) as _)).unwrap();
    // The segment that is written to has room, and nothing old in it.
    let full = Options {
        segment_size: 1 << 20,
        ..with_disk(Arc::clone(&disk) as _)
    };
    drop(log);
    let log = reopen(&place.path, 7 * 366, full).unwrap();
    for number in 0..60 {
        let _recorded = log.record(draft(number * 3)).wait().unwrap();
    }
    let whole = log.prunable(Retention::FLOOR).unwrap();
    disk.0.store(true, Ordering::Relaxed);
    let refused = log
        .prune(Retention::FLOOR, BY, REASON, today())
        .unwrap_err();
    assert!(matches!(refused, RetainError::Storage { .. }), "{refused}");
    assert!(refused.to_string().contains("free space"));
    // It goes on taking entries, and all is read.
    let _recorded = log.record(draft(5)).wait().unwrap();
    assert_eq!(log.entries(0..u64::MAX).filter(Result::is_err).count(), 0);
    disk.0.store(false, Ordering::Relaxed);
    assert_eq!(
        log.prune(Retention::FLOOR, BY, REASON, today()).unwrap(),
        Prunable::default()
    );
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified, "{:?}", verdict.faults);
    assert_eq!(verdict.pruned, whole.payloads);
    differ_in_payloads_alone(&before, &entries(&place.path), whole.last);
    for entry in entries(&place.path) {
        assert_eq!(entry_hash(&entry.header_bytes), entry.hash);
    }
}

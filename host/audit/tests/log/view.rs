//! The view is derived: whatever happens to it, the log serves, and builds it again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nephron_audit::view::{
    Addition, RecordName, Row, Shelf, Term, TermKey, View, ViewError, Views,
};
use nephron_audit::{Head, Location, Log, OpenError, Options, VerifyOptions, ViewCheck};
use nephron_model::{Draft, EntryKind, Record, Recorder as _, Records as _, Space};

use crate::support::{
    alter, check, files, fill, in_parts_of, open, options, place, request, try_open, verify, views,
};

/// Entries that say that the view was rebuilt, with the reason.
fn repairs(log: &Log) -> Vec<String> {
    let entries = log.entries(0..u64::MAX).map(|entry| entry.unwrap().header);
    let repairs = entries.filter(|header| header.kind == EntryKind::LogRepaired);
    repairs
        .map(|header| header.facts["reason"].clone())
        .collect()
}

/// The log verifies, and its view was held against the journal.
#[track_caller]
fn is_whole(path: &Path) {
    let verdict = check(path);
    assert!(
        verdict.verified && verdict.view == ViewCheck::Checked,
        "{:?}",
        verdict.faults
    );
}

/// Has the view hold every entry.
fn follows(log: &Log) {
    let opened = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    assert_eq!(opened, [0]);
}

fn serves(log: &Log) {
    assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
    let sealed = log.read(Space::VaultValue, b"token-6").unwrap();
    assert_eq!(sealed, Some(b"sealed-46".to_vec()));
    assert_eq!(log.entry(9).unwrap().unwrap().header.facts["number"], "8");
}

#[test]
fn a_deleted_view_is_built_again_and_the_log_says_so() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..50);
    log.close().unwrap();
    std::fs::remove_dir_all(place.path.join("view")).unwrap();
    let log = open(&place.path);
    serves(&log);
    assert_eq!(repairs(&log), ["missing"]);
    log.close().unwrap();
    is_whole(&place.path);
}

#[test]
fn a_view_that_was_overwritten_is_set_aside_and_built_again() {
    // From a flipped bit in the middle to a file of noise; sled panics at most of these.
    for damage in 0..6 {
        let place = place();
        let log = open(&place.path);
        fill(&log, 0..50);
        log.close().unwrap();
        alter(
            &place.path.join("view/0000000000000000/db"),
            |bytes| match damage {
                0 => bytes[9] ^= 1,
                1 => bytes[40] ^= 128,
                2 => bytes[4000] ^= 4,
                3 => bytes.fill(0xa5),
                4 => bytes.truncate(100),
                _ => bytes.clear(),
            },
        );
        let log = open(&place.path);
        serves(&log);
        let repaired = repairs(&log);
        log.close().unwrap();
        let verdict = check(&place.path);
        assert!(verdict.verified, "damage {damage}: {:?}", verdict.faults);
        if !repaired.is_empty() {
            assert!(
                files(&place.path.join("damaged")).len() > 1,
                "the damaged view is kept"
            );
        }
    }
}

#[test]
fn a_view_of_another_log_is_not_believed() {
    let [place, other] = [place(), place()];
    for (place, count) in [(&place, 50), (&other, 30)] {
        let log = open(&place.path);
        // Entries differ, because they were recorded in another order.
        fill(&log, 60 - count..count);
        fill(&log, 0..50);
        log.close().unwrap();
    }
    std::fs::remove_dir_all(place.path.join("view")).unwrap();
    crate::support::copy(&other.path.join("view"), &place.path.join("view"));
    assert!(
        check(&place.path)
            .faults
            .iter()
            .any(|fault| fault.file == "view")
    );
    let log = open(&place.path);
    follows(&log);
    assert_eq!(repairs(&log), ["differs-from-journal"]);
}

#[test]
fn an_unfinished_snapshot_does_not_keep_the_view_from_opening() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..50);
    log.close().unwrap();
    std::fs::write(
        place
            .path
            .join("view/0000000000000000/snap.0000000000000000.generating"),
        b"half",
    )
    .unwrap();
    let log = open(&place.path);
    serves(&log);
    assert_eq!(repairs(&log), [""; 0]);
}

#[test]
fn a_journal_shorter_than_its_view_is_refused() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..4);
    log.close().unwrap();
    let kept = std::fs::read(place.path.join("journal/00000000.wal")).unwrap();
    let log = open(&place.path);
    fill(&log, 4..8);
    follows(&log);
    log.close().unwrap();
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    std::fs::write(place.path.join("journal/00000000.wal"), &kept).unwrap();
    let verdict = check(&place.path);
    assert_eq!(verdict.first_broken(), Some(5), "{:?}", verdict.faults);
    let error = try_open(&place.path, options()).err().unwrap();
    assert!(
        matches!(
            error,
            OpenError::ViewAhead {
                view: 9,
                journal: 5,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        std::fs::read(place.path.join("journal/00000000.wal")).unwrap(),
        kept
    );
}

/// Opens views that fail or panic at their n-th call, counted over all of them, and work again afterwards.
struct Fragile {
    good: Arc<dyn Views>,
    calls: Arc<AtomicU64>,
    breaks_at: u64,
    panics: bool,
}

struct FragileView {
    good: Box<dyn View>,
    calls: Arc<AtomicU64>,
    breaks_at: u64,
    panics: bool,
}

impl FragileView {
    fn enter(&self) -> Result<&dyn View, ViewError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.breaks_at {
            return Ok(self.good.as_ref());
        }
        assert!(!self.panics, "the store was told to panic");
        Err(ViewError::Store("the store was told to fail".to_owned()))
    }
}

impl Views for Fragile {
    fn open(&self, folder: &Path) -> Result<Box<dyn View>, ViewError> {
        let good = self.good.open(folder)?;
        let view = FragileView {
            good,
            calls: Arc::clone(&self.calls),
            breaks_at: self.breaks_at,
            panics: self.panics,
        };
        view.enter()?;
        Ok(Box::new(view))
    }

    fn released(&self, folder: &Path) -> Result<(), ViewError> {
        self.good.released(folder)
    }
}

impl View for FragileView {
    fn head(&self) -> Result<Head, ViewError> {
        self.enter()?.head()
    }
    fn add(&self, additions: &[Addition], head: Head) -> Result<(), ViewError> {
        self.enter()?.add(additions, head)
    }
    fn row(&self, sequence: u64) -> Result<Option<Row>, ViewError> {
        self.enter()?.row(sequence)
    }
    fn sequences(&self, term: TermKey) -> Result<Vec<u64>, ViewError> {
        self.enter()?.sequences(term)
    }
    fn records(
        &self,
        shelf: Shelf,
        names: &[RecordName],
    ) -> Result<Vec<Option<(u64, Location)>>, ViewError> {
        self.enter()?.records(shelf, names)
    }
    fn each_term(&self, each: &mut dyn FnMut(TermKey, u64)) -> Result<(), ViewError> {
        self.enter()?.each_term(each)
    }
    fn each_record(
        &self,
        each: &mut dyn FnMut(RecordName, u64, Location),
    ) -> Result<(), ViewError> {
        self.enter()?.each_record(each)
    }
    fn each_name(&self, each: &mut dyn FnMut([u8; 16])) -> Result<(), ViewError> {
        self.enter()?.each_name(each)
    }
    fn checkpoint(&self) -> Result<(), ViewError> {
        self.enter()?.checkpoint()
    }
}

#[test]
fn a_view_in_parts_serves_as_one_and_a_damaged_part_costs_no_answer() {
    let place = place();
    let options = || Options {
        view: Arc::new(in_parts_of(10)),
        ..options()
    };
    let whole = || {
        let options = VerifyOptions {
            views: Some(Arc::new(in_parts_of(10))),
            ..VerifyOptions::default()
        };
        verify(&place.path, options).unwrap()
    };
    // Each in a batch of its own.
    for range in [0..13, 13..26, 26..39, 39..50] {
        let log = try_open(&place.path, options()).unwrap();
        fill(&log, range);
        follows(&log);
        log.close().unwrap();
        let verdict = whole();
        assert!(verdict.verified && verdict.view == ViewCheck::Checked);
    }
    let parts = std::fs::read_dir(place.path.join("view")).unwrap();
    let parts = parts.filter(|part| part.as_ref().unwrap().path().is_dir());
    assert!(parts.count() > 2);
    alter(&place.path.join("view/0000000000000000/db"), |bytes| {
        bytes.fill(0xa5)
    });
    let log = try_open(&place.path, options()).unwrap();
    serves(&log);
    log.close().unwrap();
    let log = try_open(&place.path, options()).unwrap();
    serves(&log);
    assert_eq!(repairs(&log).len(), 1);
    log.close().unwrap();
    let verdict = whole();
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[test]
fn one_entry_may_hold_more_records_than_one_value_of_the_view() {
    let place = place();
    let log = open(&place.path);
    let record = |number: u64, value: &str| Record {
        space: Space::VaultValue,
        // One conversation: all on one shelf.
        key: [&[7; 32][..], &number.to_be_bytes()].concat(),
        value: value.as_bytes().to_vec(),
    };
    for (value, numbers) in [("first", 0..2_000), ("second", 1_500..2_500)] {
        let mut draft = Draft::new(EntryKind::KeyUsed, "permit");
        draft.records = numbers.map(|number| record(number, value)).collect();
        let _recorded = log.record(draft).wait().unwrap();
        // Each in a batch of its own.
        assert!(
            !log.sequences(&Term::Kind(EntryKind::KeyUsed))
                .unwrap()
                .is_empty()
        );
    }
    log.close().unwrap();
    is_whole(&place.path);
    let log = open(&place.path);
    let asked = [0, 1_499, 1_500, 1_999, 2_499, 2_500, 0];
    let keys: Vec<_> = asked.iter().map(|number| record(*number, "").key).collect();
    let values = log.read_all(Space::VaultValue, &keys).unwrap();
    let values: Vec<_> = values
        .into_iter()
        .map(|value| value.map(|value| String::from_utf8(value).unwrap()))
        .collect();
    let values: Vec<_> = values.iter().map(Option::as_deref).collect();
    assert_eq!(
        values,
        [
            Some("first"),
            Some("first"),
            Some("second"),
            Some("second"),
            Some("second"),
            None,
            Some("first"),
        ]
    );
}

#[test]
fn a_view_that_fails_or_panics_at_any_call_costs_no_answer() {
    for panics in [false, true] {
        let mut broken = 0;
        // Beyond the last call that a run makes, nothing breaks and nothing is repaired.
        for breaks_at in 0..24 {
            let place = place();
            let calls = Arc::new(AtomicU64::new(0));
            let fragile = Options {
                view: Arc::new(Fragile {
                    good: views(),
                    calls: Arc::clone(&calls),
                    breaks_at,
                    panics,
                }),
                ..options()
            };
            let log = try_open(&place.path, fragile).unwrap();
            fill(&log, 0..25);
            assert_eq!(
                log.of_request(request(2)).unwrap(),
                [7, 8, 9].map(|it| it + u64::from(breaks_at < 2))
            );
            fill(&log, 25..50);
            assert_eq!(
                log.read(Space::VaultValue, b"token-6").unwrap(),
                Some(b"sealed-46".to_vec())
            );
            assert_eq!(
                log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap(),
                [0]
            );
            assert_eq!(
                log.entry(0).unwrap().unwrap().header.kind,
                EntryKind::LogOpened
            );
            log.close().unwrap();
            let verdict = check(&place.path);
            assert!(
                verdict.verified && verdict.sealed,
                "call {breaks_at}: {:?}",
                verdict.faults
            );
            let was_reached = calls.load(Ordering::SeqCst) > breaks_at;
            let log = open(&place.path);
            assert_eq!(
                repairs(&log).len(),
                usize::from(was_reached),
                "call {breaks_at}"
            );
            broken += repairs(&log).len();
            assert_eq!(
                log.read(Space::VaultValue, b"token-6").unwrap(),
                Some(b"sealed-46".to_vec())
            );
        }
        assert!(
            broken >= 8,
            "only {broken} repairs: the calls were not reached"
        );
    }
}

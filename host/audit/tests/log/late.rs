//! A long log opens before all of it was read: what its newest checkpoint covers is read while it serves.

use nephron_audit::{FaultKind, Log, OpenError, Options};
use nephron_model::{EntryKind, Record, Recorder as _, Records as _, Space};

use super::support::{
    Place, TestKey, alter, check, draft, files, fill, frames, options, place, request, segment,
    try_open,
};

/// Reads as little as it can before it is open.
fn late() -> Options {
    Options {
        read_first: 0,
        ..options()
    }
}

fn open_late(place: &Place) -> Log {
    let log = try_open(&place.path, late()).unwrap();
    log.sign_with(TestKey::new(1));
    log
}

/// A closed log of several segments, with records of the kinds that are always known, and a checkpoint.
fn long() -> Place {
    let place = place();
    let log = open_late(&place);
    fill(&log, 0..40);
    for (space, key) in [(Space::Key, "kek-1"), (Space::Cursor, "siem")] {
        let mut kept = draft(1000);
        kept.records.push(Record {
            space,
            key: key.as_bytes().to_vec(),
            value: b"first".to_vec(),
        });
        let _recorded = log.record(kept).wait().unwrap();
    }
    fill(&log, 42..300);
    log.hold("Dana Reyes", "litigation").unwrap();
    fill(&log, 301..320);
    log.close().unwrap();
    assert!(segment(&place.path, 3).exists());
    place
}

fn value(log: &Log, space: Space, key: &str) -> Option<Vec<u8>> {
    log.read(space, key.as_bytes()).unwrap()
}

#[test]
fn a_long_log_that_opens_early_answers_and_goes_on_as_any() {
    let place = long();
    for round in 0..3u64 {
        let log = open_late(&place);
        assert_eq!(value(&log, Space::Key, "kek-1").unwrap(), b"first");
        assert_eq!(value(&log, Space::Cursor, "siem").unwrap(), b"first");
        assert_eq!(value(&log, Space::Cursor, "nobody's"), None);
        assert_eq!(log.held().unwrap().unwrap().reason, "litigation");
        assert_eq!(log.of_request(request(18)).unwrap(), [55, 56, 57]);
        assert_eq!(log.entry(9).unwrap().unwrap().header.facts["number"], "8");
        let before = log.head().entries;
        fill(&log, before..before + 20);
        assert!(log.wait_until_read(), "round {round}");
        assert!(log.is_read());
        assert_eq!(log.checkpoint().unwrap().checkpoint.size, before + 20);
        log.close().unwrap();
        let verdict = check(&place.path);
        assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    }
    // And as one that is read first.
    let log = try_open(&place.path, options()).unwrap();
    assert_eq!(value(&log, Space::Key, "kek-1").unwrap(), b"first");
}

#[test]
fn what_does_not_hold_stops_the_log_and_refuses_the_next_opening() {
    for (number, what) in [
        (0, FaultKind::FrameDamaged),
        (2, FaultKind::FrameDamaged),
        (1, FaultKind::SegmentHeader),
    ] {
        let place = long();
        let file = segment(&place.path, number);
        let bytes = std::fs::read(&file).unwrap();
        let (start, length, sequence) = frames(&bytes)[3];
        alter(&file, |bytes| {
            let in_header = what == FaultKind::SegmentHeader;
            let at = if in_header { 50 } else { start + length / 2 };
            bytes[at] ^= 1;
        });
        if what == FaultKind::SegmentHeader {
            // Such a one is not even begun without.
            let refused = try_open(&place.path, late()).err().unwrap();
            assert!(
                matches!(&refused, OpenError::Damaged { fault, .. } if fault.what == what),
                "{refused}"
            );
            continue;
        }
        let log = open_late(&place);
        assert!(!log.wait_until_read() && log.is_stopped());
        let refused = log.record(draft(7)).wait().unwrap_err();
        assert!(refused.to_string().contains("does not hold"), "{refused}");
        drop(log);
        // Twice: the mark stays until all of it holds.
        for _ in 0..2 {
            let refused = try_open(&place.path, late()).err().unwrap();
            assert!(
                matches!(&refused, OpenError::Damaged { fault, .. } if fault.what == what && fault.entry == Some(sequence)),
                "{refused}"
            );
        }
        std::fs::write(&file, bytes).unwrap();
        let log = open_late(&place);
        assert!(log.wait_until_read());
        log.close().unwrap();
        assert!(check(&place.path).verified);
    }
}

#[test]
fn a_tree_on_disk_that_differs_is_made_anew() {
    // A whole tile, which the edge stands on but does not hold: it is found while the log serves.
    let place = long();
    alter(&place.path.join("tile/0/000"), |bytes| bytes[17] ^= 1);
    let log = open_late(&place);
    assert!(!log.wait_until_read());
    drop(log);
    // A part of the edge: it does not lead to the checkpoint's root, so everything is read first.
    let other = long();
    let edge = files(&other.path.join("tile/1"));
    alter(edge.first().unwrap(), |bytes| bytes[3] ^= 1);
    for place in [place, other] {
        let log = open_late(&place);
        assert!(log.is_read());
        let mut kinds = log.entries(0..u64::MAX).map(|entry| entry.unwrap().header);
        assert!(kinds.any(|header| header.kind == EntryKind::LogRepaired));
        log.close().unwrap();
        let verdict = check(&place.path);
        assert!(verdict.verified, "{:?}", verdict.faults);
    }
}

#[test]
fn entries_that_the_tree_does_not_have_are_found_whatever_their_checksums_say() {
    // Two whole segments of another log of the same tenant in the place of two of this one.
    let (place, other) = (long(), long());
    let from = std::fs::read(segment(&other.path, 1)).unwrap();
    let own = std::fs::read(segment(&place.path, 1)).unwrap();
    std::fs::write(segment(&place.path, 1), &from).unwrap();
    if from == own {
        // The clock stands still in these tests, so that two logs may be the same byte for byte.
        alter(&segment(&place.path, 1), |bytes| bytes[600] ^= 1);
    }
    let log = open_late(&place);
    assert!(!log.wait_until_read());
    assert!(try_open(&place.path, late()).is_err());
}

#[test]
fn a_log_that_closes_while_it_is_read_is_sealed_as_it_was() {
    let place = long();
    let before = std::fs::read(place.path.join("closed.json")).unwrap();
    let log = open_late(&place);
    log.close().unwrap();
    let after = std::fs::read(place.path.join("closed.json")).unwrap();
    // The journal's segments have the digests that they had.
    let digests = |seal: &[u8]| {
        let seal: serde_json::Value = serde_json::from_slice(seal).unwrap();
        let files = seal["files"].as_array().unwrap().clone();
        let is_segment =
            |file: &serde_json::Value| file["path"].as_str().unwrap().starts_with("journal/");
        files.into_iter().filter(is_segment).collect::<Vec<_>>()
    };
    assert_eq!(digests(&before), digests(&after));
    assert!(check(&place.path).verified);
    // What was altered behind its back shows against the digest that it had.
    let log = open_late(&place);
    assert!(log.wait_until_read());
    alter(&segment(&place.path, 1), |bytes| bytes[200] ^= 1);
    log.close().unwrap();
    assert!(!check(&place.path).verified);
}

//! A log that has nothing to do closes its view and ends its threads, and nobody can tell from what it answers.

use std::time::{Duration, Instant};

use nephron_audit::view::Term;
use nephron_audit::{Log, OpenError, Options};
use nephron_model::{EntryKind, Record, Recorder as _, Records as _, Space};

use super::support::{Place, alter, check, draft, fill, open, options, place, request, try_open};

/// What takes so long does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rests as soon as it can.
fn restless(place: &Place) -> Log {
    let options = Options {
        rest_after: Duration::from_millis(1),
        ..options()
    };
    try_open(&place.path, options).unwrap()
}

#[track_caller]
fn rests(log: &Log) {
    let began = Instant::now();
    while !log.is_at_rest() {
        assert!(began.elapsed() < PATIENCE, "it does not rest");
        std::thread::yield_now();
    }
}

fn token_6(log: &Log) -> Option<String> {
    let value = log.read(Space::VaultValue, b"token-6").unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

fn is_whole(place: &Place, repairs: usize) {
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    let log = open(&place.path);
    let entries = log.entries(0..u64::MAX).map(|entry| entry.unwrap().header);
    let repaired = entries.filter(|header| header.kind == EntryKind::LogRepaired);
    assert_eq!(repaired.count(), repairs);
}

#[test]
fn whatever_is_asked_of_a_log_at_rest_is_answered() {
    let place = place();
    let log = restless(&place);
    rests(&log);
    fill(&log, 0..50);
    rests(&log);
    // What is only added does not open the view; what it does not hold is found all the same.
    fill(&log, 50..57);
    assert_eq!(token_6(&log).as_deref(), Some("sealed-46"));
    rests(&log);
    assert_eq!(log.of_request(request(18)).unwrap(), [55, 56, 57]);
    rests(&log);
    assert_eq!(log.entry(9).unwrap().unwrap().header.facts["number"], "8");
    rests(&log);
    let unseen = log.read(Space::VaultValue, b"token-of-nobody").unwrap();
    assert_eq!(unseen, None);
    rests(&log);
    assert_eq!(log.close().unwrap().entries, 58);
    is_whole(&place, 0);
}

#[test]
fn a_log_at_rest_closes_with_what_the_view_has_not_seen() {
    let place = place();
    let log = restless(&place);
    fill(&log, 0..10);
    rests(&log);
    fill(&log, 10..13);
    assert_eq!(log.close().unwrap().entries, 14);
    is_whole(&place, 0);
    // And one that is let go of while it rests.
    let log = restless(&place);
    rests(&log);
    drop(log);
    is_whole(&place, 0);
}

#[test]
fn a_view_that_was_damaged_while_it_rested_is_built_again() {
    for removed in [false, true] {
        let place = place();
        let log = restless(&place);
        fill(&log, 0..50);
        assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
        rests(&log);
        let view = place.path.join("view");
        match removed {
            true => std::fs::remove_dir_all(&view).unwrap(),
            false => alter(&view.join("0000000000000000/db"), |bytes| bytes.fill(0xa5)),
        }
        assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
        assert_eq!(token_6(&log).as_deref(), Some("sealed-46"));
        // The store may have to refuse several times before it is given up.
        let repaired = || {
            let entries = log.entries(0..u64::MAX).map(|entry| entry.unwrap().header);
            let mut kinds = entries.map(|header| header.kind);
            kinds.any(|kind| kind == EntryKind::LogRepaired)
        };
        let began = Instant::now();
        while !repaired() {
            assert!(began.elapsed() < PATIENCE, "it is not repaired");
            assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
        }
        log.close().unwrap();
        is_whole(&place, 1);
    }
}

#[test]
fn who_still_holds_a_log_that_closed_at_rest_is_answered_by_the_journal() {
    let place = place();
    let log = restless(&place);
    fill(&log, 0..10);
    rests(&log);
    let held = log.clone();
    log.close().unwrap();
    assert_eq!(held.entry(9).unwrap().unwrap().header.facts["number"], "8");
    assert_eq!(token_6(&held).as_deref(), Some("sealed-6"));
    assert_eq!(held.of_request(request(2)).unwrap(), [7, 8, 9]);
    assert!(held.record(draft(10)).wait().is_err());
}

#[test]
fn many_who_ask_and_add_while_it_goes_to_rest_miss_nothing() {
    let place = place();
    let log = restless(&place);
    std::thread::scope(|scope| {
        for of in 0..4_u64 {
            let log = &log;
            scope.spawn(move || {
                for round in 0..60 {
                    let number = of * 1_000 + round * 3;
                    let recorded = log.record(draft(number)).wait().unwrap();
                    // Some wait until the log may rest, and some do not.
                    let until = Instant::now() + Duration::from_micros(700 * (round % 5));
                    while Instant::now() < until {
                        std::thread::yield_now();
                    }
                    let found = log.of_request(request(number / 3)).unwrap();
                    assert_eq!(found, [recorded.sequence()]);
                    let key = number.to_be_bytes();
                    let granted = log.read(Space::Grant, &key).unwrap();
                    assert_eq!(granted.is_some(), number % 4 == 2, "{number}");
                }
            });
        }
    });
    let all = log.sequences(&Term::Kind(EntryKind::PassedOver)).unwrap();
    assert_eq!(all.len(), 240);
    rests(&log);
    log.close().unwrap();
    is_whole(&place, 0);
}

/// What a log of 57 answers, with the last few entries in the view or not.
#[track_caller]
fn answers(log: &Log) {
    assert_eq!(token_6(log).as_deref(), Some("sealed-46"));
    assert_eq!(log.of_request(request(18)).unwrap(), [55, 56, 57]);
    assert_eq!(log.entry(9).unwrap().unwrap().header.facts["number"], "8");
    let unseen = log.read(Space::VaultValue, b"token-of-nobody").unwrap();
    assert_eq!(unseen, None);
}

#[test]
fn a_log_that_was_closed_opens_at_rest_and_answers_as_ever() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..40);
    log.close().unwrap();
    for range in [40..50, 50..57] {
        // Nobody asks, so nobody opens the view: it lags behind what is closed.
        let log = open(&place.path);
        fill(&log, range);
        log.close().unwrap();
        let verdict = check(&place.path);
        assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    }
    for ask in [
        (|log| answers(log)) as fn(&Log),
        |log| assert_eq!(log.of_request(request(18)).unwrap(), [55, 56, 57]),
        |log| assert_eq!(token_6(log).as_deref(), Some("sealed-46")),
    ] {
        let copy = self::place();
        crate::support::copy(&place.path, &copy.path);
        let log = open(&copy.path);
        ask(&log);
        answers(&log);
        log.close().unwrap();
        is_whole(&copy, 0);
    }
}

#[test]
fn what_is_always_known_is_found_without_the_view() {
    let place = place();
    let key = |value: &str| {
        let mut draft = draft(0);
        draft.records = vec![Record {
            space: Space::Key,
            key: b"kek-1.json".to_vec(),
            value: value.as_bytes().to_vec(),
        }];
        draft
    };
    let log = open(&place.path);
    let _durable = log.record(key("first")).wait().unwrap();
    fill(&log, 0..50);
    log.close().unwrap();
    // Whoever opened this would find it damaged.
    alter(&place.path.join("view/0000000000000000/db"), |bytes| {
        bytes.fill(0xa5);
    });
    let log = open(&place.path);
    let read = |name: &[u8]| log.read(Space::Key, name).unwrap();
    assert_eq!(read(b"kek-1.json").as_deref(), Some(&b"first"[..]));
    assert_eq!(read(b"kek-2.json"), None);
    let _durable = log.record(key("second")).wait().unwrap();
    assert_eq!(read(b"kek-1.json").as_deref(), Some(&b"second"[..]));
    assert_eq!(log.close().unwrap().entries, 53);
    let log = open(&place.path);
    // The store may have to refuse several times before it is given up.
    let began = Instant::now();
    while log.head().entries < 54 {
        assert!(began.elapsed() < PATIENCE, "it is not built again");
        assert_eq!(token_6(&log).as_deref(), Some("sealed-46"));
    }
    log.close().unwrap();
    is_whole(&place, 1);
}

#[test]
fn a_journal_put_back_with_its_seal_serves_no_more_once_the_view_is_opened() {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..4);
    log.close().unwrap();
    let names = ["journal/00000000.wal", "closed.json"];
    let kept = names.map(|name| std::fs::read(place.path.join(name)).unwrap());
    let log = open(&place.path);
    fill(&log, 4..8);
    assert_eq!(log.of_request(request(2)).unwrap(), [7, 8]);
    log.close().unwrap();
    for (name, bytes) in names.iter().zip(kept) {
        std::fs::write(place.path.join(name), bytes).unwrap();
    }
    assert!(!check(&place.path).verified);
    let log = open(&place.path);
    assert_eq!(log.of_request(request(2)).unwrap(), [0; 0]);
    let refused = log.record(draft(4)).wait().unwrap_err().to_string();
    assert!(
        refused.contains("the view holds entries that the journal has lost"),
        "{refused}"
    );
    drop(log);
    let refused = try_open(&place.path, options()).err().unwrap();
    assert!(
        matches!(
            refused,
            OpenError::ViewAhead {
                view: 9,
                journal: 5,
                ..
            }
        ),
        "{refused}"
    );
}

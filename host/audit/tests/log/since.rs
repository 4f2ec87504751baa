//! Verification since a checkpoint: what came after is read, what came before is the checkpoint's to answer for, and the verdict
//! says which is which.

use std::path::Path;

use nephron_audit::{
    FaultKind, KeptCheckpoint, SignedCheckpoint, Unchecked, Verdict, VerifierKey, VerifyOptions,
};
use nephron_model::{Draft, EntryKind, EventId, Timestamp};
use serde_json::Value;

use crate::support::{alter, copy, draft, files, frames, place, segment, verify};
use crate::tree::{Audited, audit_verify, audited, open_signed, record};

fn since(path: &Path, key: &VerifierKey, note: &str) -> Verdict {
    let options = VerifyOptions {
        key: Some(key.clone()),
        since: Some(KeptCheckpoint {
            file: "since".to_owned(),
            note: note.to_owned(),
        }),
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

fn whole(path: &Path, key: &VerifierKey) -> Verdict {
    let options = VerifyOptions {
        key: Some(key.clone()),
        skip_view: true,
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

fn whats(verdict: &Verdict) -> Vec<FaultKind> {
    verdict.faults.iter().map(|fault| fault.what).collect()
}

/// The first entry of each segment, and of how many entries the log is.
fn firsts(path: &Path) -> Vec<u64> {
    let firsts = files(&path.join("journal")).into_iter().map(|file| {
        let bytes = std::fs::read(file).unwrap();
        frames(&bytes).first().map(|(_, _, sequence)| *sequence)
    });
    firsts.flatten().collect()
}

#[test]
fn what_came_after_a_checkpoint_is_verified_without_reading_what_came_before() {
    let Audited { place, key, .. } = audited();
    let firsts = firsts(&place.path);
    assert!(firsts.len() > 8, "{firsts:?}");
    let before = whole(&place.path, &key);
    for size in [200, 300, 620] {
        let note = checkpoint(&place.path, size);
        let from = *firsts.iter().rev().find(|first| **first < size).unwrap();
        let number = firsts.iter().position(|first| *first == from).unwrap();
        let taken = crate::support::place();
        copy(&place.path, &taken.path);
        // What is gone cannot be read.
        for number in 0..number {
            std::fs::remove_file(segment(&taken.path, number as u64)).unwrap();
        }
        let verdict = since(&taken.path, &key, &note);
        assert!(
            verdict.verified && verdict.is_whole(),
            "{size}: {:?}",
            verdict.faults
        );
        assert_eq!((verdict.from, verdict.since), (from, Some(size)));
        assert_eq!(
            (verdict.entries, verdict.head),
            (before.entries, before.head)
        );
        assert_eq!((verdict.root, verdict.vouched), (before.root, Some(620)));
        assert!(verdict.unchecked.contains(&Unchecked::EntriesBefore));
        assert!(!whole(&taken.path, &key).verified);
    }
}

fn checkpoint(path: &Path, size: u64) -> String {
    std::fs::read_to_string(path.join(format!("checkpoints/{size:016}"))).unwrap()
}

#[test]
fn whatever_is_changed_from_the_checkpoint_on_is_found_as_in_a_whole_verification() {
    let Audited {
        place: honest,
        key,
        old,
    } = audited();
    let firsts = firsts(&honest.path);
    let number = firsts.iter().rposition(|first| *first < 300).unwrap();
    let mut changed = 0;
    for number in number..firsts.len() {
        let file = segment(&honest.path, number as u64);
        let bytes = std::fs::read(&file).unwrap();
        for (start, length, sequence) in frames(&bytes).into_iter().step_by(3) {
            let place = place();
            copy(&honest.path, &place.path);
            std::fs::remove_file(place.path.join("closed.json")).unwrap();
            let file = segment(&place.path, number as u64);
            alter(&file, |bytes| bytes[start + 50 + length % 17] ^= 4);
            let verdict = since(&place.path, &key, &old.note);
            assert!(!verdict.verified, "entry {sequence}");
            assert_eq!(verdict.first_broken(), Some(sequence));
            changed += 1;
        }
    }
    assert!(changed > 60, "{changed}");
}

#[test]
fn a_log_that_was_cut_forked_or_put_back_is_found_since_the_checkpoint() {
    let Audited {
        place: honest,
        key,
        old,
    } = audited();
    let later = |number: u64| {
        let mut draft = draft(number);
        draft.outcome = "deny".to_owned();
        draft
    };
    for (attack, drafts, expected) in [
        (
            "cut",
            (1..280).map(draft).collect::<Vec<_>>(),
            FaultKind::CheckpointAhead,
        ),
        (
            "forked",
            (1..290).map(draft).chain((290..700).map(later)).collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "edited below",
            (1..50)
                .map(draft)
                .chain([later(50)])
                .chain((51..700).map(draft))
                .collect(),
            FaultKind::CheckpointDiffers,
        ),
    ] {
        let forged = place();
        let log = crate::tree::open(&forged.path);
        record(&log, drafts);
        log.close().unwrap();
        let verdict = since(&forged.path, &key, &old.note);
        let fault = verdict
            .faults
            .iter()
            .find(|fault| fault.file == "since")
            .unwrap();
        assert_eq!(fault.what, expected, "{attack}");
        // To say where, all of it was read.
        assert_eq!((verdict.from, verdict.unchecked.len()), (0, 0), "{attack}");
        // With the honest tree in place of its own, too: each entry names the one before, so none behind a changed one is the same.
        std::fs::remove_file(forged.path.join("closed.json")).unwrap();
        std::fs::remove_dir_all(forged.path.join("tile")).unwrap();
        copy(&honest.path.join("tile"), &forged.path.join("tile"));
        let verdict = since(&forged.path, &key, &old.note);
        assert!(whats(&verdict).contains(&expected), "{attack}");
    }
}

#[test]
fn only_a_checkpoint_that_counts_spares_reading_and_damaged_tiles_do_no_harm() {
    let Audited {
        place: honest,
        key,
        old,
    } = audited();
    let altered = old.note.replace("\n300\n", "\n299\n");
    let verdict = since(&honest.path, &key, &altered);
    assert!(whats(&verdict).contains(&FaultKind::CheckpointUnsigned));
    assert_eq!(verdict.from, 0);
    let other = VerifierKey::new("nephron/general/0011223344556677", [9; 32]).unwrap();
    let verdict = since(&honest.path, &other, &old.note);
    assert!(!verdict.verified && verdict.from == 0);

    // A tile is derived: if it is gone, or differs, everything is read, and it is the tile that is at fault.
    let damaged = place();
    copy(&honest.path, &damaged.path);
    std::fs::remove_file(damaged.path.join("closed.json")).unwrap();
    alter(&damaged.path.join("tile/0/000"), |bytes| bytes[33] ^= 1);
    let verdict = since(&damaged.path, &key, &checkpoint(&honest.path, 200));
    assert_eq!(
        (verdict.from, whats(&verdict)),
        (0, vec![FaultKind::TileDiffers])
    );
    std::fs::remove_dir_all(damaged.path.join("tile")).unwrap();
    let verdict = since(&damaged.path, &key, &old.note);
    assert!(
        verdict.verified && verdict.from == 0,
        "{:?}",
        verdict.faults
    );
    assert_eq!(verdict.since, Some(300));

    // Of the first segment on there is nothing to leave out.
    let log = place();
    let written = open_signed(&log.path);
    record(&written, (1..20).map(draft));
    let signed = written.checkpoint().unwrap();
    let key = written.verifier_key().unwrap().unwrap();
    written.close().unwrap();
    let verdict = since(&log.path, &key, &signed.note);
    assert!(verdict.verified && verdict.from == 0 && verdict.unchecked.is_empty());
}

/// An id as the gateway draws one at this second.
fn id(second: u64, number: u8) -> EventId {
    let at = Timestamp {
        seconds: 1_795_305_802 + second,
        nanoseconds: 0,
    };
    EventId::new(at, [number; 10])
}

#[test]
fn a_story_that_began_before_is_not_judged_and_one_that_began_after_is() {
    let place = place();
    let clock = std::sync::Arc::new(nephron_model::FixedClock::at(1_795_305_802));
    let options = nephron_audit::Options {
        segment_size: 16 << 10,
        ..nephron_audit::Options::default()
    };
    let tenant = crate::support::tenant();
    let log = nephron_audit::Log::open(&place.path, &tenant, clock.clone(), options).unwrap();
    log.sign_with(crate::support::TestKey::new(1));
    let of = |kind, outcome: &str, request| Draft::new(kind, outcome).about(request);
    let used = |grant: EventId| {
        Draft::new(EntryKind::KeyUsed, "permit").fact("grant", format!("grant-{grant}"))
    };
    let minted = |grant: EventId| {
        let draft = Draft::new(EntryKind::GrantMinted, "minted");
        draft
            .fact("grant", format!("grant-{grant}"))
            .fact("uses", "unlimited")
    };
    let (old, new) = (id(0, 1), id(9, 2));
    record(
        &log,
        [of(EntryKind::RequestOpened, "admitted", old), minted(old)],
    );
    record(&log, [of(EntryKind::Sending, "intent", old)]);
    record(
        &log,
        [Draft::new(EntryKind::Exported, "delivering").fact("exporter", "lake")],
    );
    record(&log, (1..120).map(draft));
    let signed = log.checkpoint().unwrap();
    let key = log.verifier_key().unwrap().unwrap();
    clock.advance(std::time::Duration::from_secs(9));
    record(
        &log,
        [
            Draft::new(EntryKind::Exported, "delivered").fact("exporter", "lake"),
            used(old),
            of(EntryKind::Received, "answered", old),
            of(EntryKind::Decision, "permit", old),
            of(EntryKind::RequestClosed, "answered", old),
        ],
    );
    let first = log.head().entries;
    record(
        &log,
        [
            // It ended, whenever it began.
            of(EntryKind::Decision, "permit", old),
            of(EntryKind::RequestClosed, "answered", old),
            // None of these can have begun before: their ids were drawn later.
            of(EntryKind::Decision, "permit", new),
            of(EntryKind::Received, "answered", new),
            used(new),
            Draft::new(EntryKind::Exported, "delivered").fact("exporter", "lake"),
        ],
    );
    log.close().unwrap();
    let verdict = since(&place.path, &key, &signed.note);
    assert!(verdict.verified && verdict.from > 0, "{:?}", verdict.faults);
    assert!(verdict.unchecked.contains(&Unchecked::StoryBefore));
    let gaps: Vec<_> = verdict.gaps.iter().map(|gap| gap.entry).collect();
    assert_eq!(
        gaps,
        (first..first + 6).collect::<Vec<_>>(),
        "{:?}",
        verdict.gaps
    );
    assert_eq!(whole(&place.path, &key).gaps, verdict.gaps);
}

#[test]
fn audit_verify_names_the_range_and_what_it_left_out() {
    let Audited { place, key, old } = audited();
    let desk = crate::support::place();
    std::fs::create_dir(&desk.path).unwrap();
    let kept = desk.path.join("300");
    std::fs::write(&kept, &old.note).unwrap();
    let (log, kept) = (place.path.to_str().unwrap(), kept.to_str().unwrap());
    let key = key.to_string();
    let arguments = [log, "--vkey", &key, "--since", kept];
    let (code, words) = audit_verify(&arguments);
    assert_eq!(code, Some(0), "{words}");
    let from = firsts(&place.path)
        .into_iter()
        .rfind(|first| *first < 300)
        .unwrap();
    let said = format!("since    the checkpoint of 300 entries; read were {from} to 619\n");
    assert!(words.contains(&said), "{words}");
    assert!(
        words.contains("\nnot read entries before these: the checkpoint speaks"),
        "{words}"
    );
    let (_, text) = audit_verify(&[&arguments[..], &["--json"]].concat());
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&verdict["from"], &verdict["since"]),
        (&from.into(), &300.into())
    );
    assert_eq!(verdict["unchecked"][0], "entries-before");
    assert_eq!(verdict["view"], "skipped");
    for wrong_use in [
        &[log, "--since", kept][..],
        &["--vkey", &key, "--since", kept],
        &["--vkey", &key, "--proof", kept, "--since", kept],
    ] {
        assert_eq!(audit_verify(wrong_use).0, Some(2), "{wrong_use:?}");
    }
    let signed = SignedCheckpoint::read(&old.note).unwrap();
    assert_eq!(signed.checkpoint.size, 300);
}

#[test]
fn an_older_checkpoint_that_is_given_too_is_proved_or_everything_is_read() {
    let Audited { place, key, .. } = audited();
    let with = |older: &str| {
        let kept = |file: &str, note: &str| KeptCheckpoint {
            file: file.to_owned(),
            note: note.to_owned(),
        };
        let options = VerifyOptions {
            key: Some(key.clone()),
            since: Some(kept("since", &checkpoint(&place.path, 300))),
            checkpoints: vec![kept("older", older)],
            ..VerifyOptions::default()
        };
        verify(&place.path, options).unwrap()
    };
    let honest = with(&checkpoint(&place.path, 200));
    assert!(honest.verified && honest.from > 200, "{:?}", honest.faults);
    // Another state of the same log, signed by its key: that is a fork.
    let signed = SignedCheckpoint::read(&checkpoint(&place.path, 200)).unwrap();
    let other = crate::support::forged_note(&signed.checkpoint, 1);
    let forked = with(&other);
    assert_eq!(forked.from, 0);
    assert_eq!(whats(&forked), [FaultKind::CheckpointDiffers]);
}

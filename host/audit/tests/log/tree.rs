//! Checkpoints, proofs and tiles: what an auditor holds against a log, and what a log does about its own tree.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nephron_audit::faults::FaultyDisk;
use nephron_audit::view::{PartedViews, Term, Views};
use nephron_audit::{
    CheckpointError, Disk, EntryProof, FaultKind, FieldDisclosure, GrowthProof, KeptCheckpoint,
    Log, NoteError, OpenError, Options, ProofFault, ProveError, Reader, RealDisk, SignedCheckpoint,
    Verdict, VerifierKey, VerifyOptions,
};
use nephron_model::{Draft, EntryKind, FieldCommitment, Recorder as _, Signer as _};
use serde_json::Value;

use crate::support::{
    Place, TestKey, alter, clock, copy, draft, files, fill, place, segment, tenant, try_open,
    verify, with_disk,
};

/// As elsewhere, but with room in the view for the large batches in which it follows here.
fn roomy(disk: Arc<dyn Disk>) -> Options {
    Options {
        view: roomy_views(),
        ..with_disk(disk)
    }
}

fn roomy_views() -> Arc<dyn Views> {
    Arc::new(PartedViews::default())
}

pub(crate) fn open(path: &Path) -> Log {
    try_open(path, roomy(Arc::new(RealDisk))).unwrap()
}

fn check(path: &Path) -> Verdict {
    let options = VerifyOptions {
        views: Some(roomy_views()),
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

/// Opens a log whose checkpoints are signed.
pub(crate) fn open_signed(path: &Path) -> Log {
    let log = open(path);
    log.sign_with(TestKey::new(1));
    log
}

/// Records drafts that nobody waits for, but the last.
pub(crate) fn record(log: &Log, drafts: impl IntoIterator<Item = Draft>) {
    let mut drafts = drafts.into_iter().peekable();
    while let Some(draft) = drafts.next() {
        if drafts.peek().is_some() {
            drop(log.note(draft));
        } else {
            let _recorded = log.record(draft).wait().unwrap();
        }
    }
}

/// A closed log with two checkpoints and the end's, and what an auditor has of it.
pub(crate) struct Audited {
    pub(crate) place: Place,
    pub(crate) key: VerifierKey,
    /// Of 300 entries.
    pub(crate) old: SignedCheckpoint,
}

pub(crate) fn audited() -> Audited {
    let place = place();
    let log = open_signed(&place.path);
    record(&log, (1..200).map(draft));
    assert_eq!(log.checkpoint().unwrap().checkpoint.size, 200);
    record(&log, (200..300).map(draft));
    let old = log.checkpoint().unwrap();
    assert_eq!(old.checkpoint.size, 300);
    record(&log, (300..620).map(draft));
    let key = log.verifier_key().unwrap().unwrap();
    log.close().unwrap();
    Audited { place, key, old }
}

fn kept(signed: &SignedCheckpoint) -> KeptCheckpoint {
    KeptCheckpoint {
        file: "kept".to_owned(),
        note: signed.note.clone(),
    }
}

/// What an auditor finds who has the files, the public key, and a checkpoint.
fn audit(path: &Path, key: &VerifierKey, kept: &SignedCheckpoint) -> Verdict {
    let options = VerifyOptions {
        skip_view: true,
        key: Some(key.clone()),
        checkpoints: vec![self::kept(kept)],
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

fn whats(verdict: &Verdict) -> Vec<FaultKind> {
    verdict.faults.iter().map(|fault| fault.what).collect()
}

#[test]
fn a_log_verifies_against_a_checkpoint_that_it_has_outgrown() {
    let Audited { place, key, old } = audited();
    let verdict = audit(&place.path, &key, &old);
    assert!(verdict.verified, "{:?}", verdict.faults);
    assert_eq!(
        (verdict.entries, verdict.checkpoints, verdict.vouched),
        (620, 4, Some(620))
    );
    let newest = Reader::open(&place.path).unwrap();
    let newest = newest.newest_checkpoint().unwrap().unwrap();
    assert_eq!(Some(newest.checkpoint.root), verdict.root);
    // Nor does looking need a key, or the view; then nobody vouches.
    let verdict = check(&place.path);
    assert!(verdict.verified, "{:?}", verdict.faults);
    assert_eq!((verdict.checkpoints, verdict.vouched), (3, None));
}

/// Somebody who can write every file, and has not the key, makes another log of the same first entries, closes it as a log
/// is closed, and leaves the checkpoints that contradict it out or in.
#[test]
fn whatever_is_done_below_a_kept_checkpoint_is_found_without_the_key_that_signs() {
    let Audited {
        place: honest,
        key,
        old,
    } = audited();
    let edited = |number: u64| {
        let mut draft = draft(number);
        draft.outcome = "deny".to_owned();
        draft
    };
    let deleted = |numbers: std::ops::Range<u64>| numbers.filter(|it| *it != 50).map(draft);
    let attacks: Vec<(&str, Vec<Draft>, FaultKind)> = vec![
        (
            "edit",
            (1..620)
                .map(|n| if n == 50 { edited(n) } else { draft(n) })
                .collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "delete",
            deleted(1..621).collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "insert",
            (1..50)
                .map(draft)
                .chain([edited(7)])
                .chain((50..619).map(draft))
                .collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "reorder",
            (1..50).chain([51, 50]).chain(52..620).map(draft).collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "fork",
            (1..299).map(draft).chain((299..700).map(edited)).collect(),
            FaultKind::CheckpointDiffers,
        ),
        (
            "cut the tail",
            (1..280).map(draft).collect(),
            FaultKind::CheckpointAhead,
        ),
    ];
    for (attack, drafts, expected) in attacks {
        for keeps_checkpoints in [false, true] {
            let forged = place();
            let log = open(&forged.path);
            record(&log, drafts.clone());
            log.close().unwrap();
            if keeps_checkpoints {
                std::fs::remove_file(forged.path.join("closed.json")).unwrap();
                copy(
                    &honest.path.join("checkpoints"),
                    &forged.path.join("checkpoints"),
                );
            }
            // By itself it is a sound log.
            assert!(
                keeps_checkpoints || check(&forged.path).verified,
                "{attack}"
            );
            let verdict = audit(&forged.path, &key, &old);
            let fault = verdict
                .faults
                .iter()
                .find(|fault| fault.file == "kept")
                .unwrap();
            assert_eq!(fault.what, expected, "{attack}");
            assert_eq!(
                verdict.vouched,
                Some(match attack {
                    "fork" | "cut the tail" if keeps_checkpoints => 200,
                    _ => 0,
                })
            );
        }
    }
}

#[test]
fn the_range_in_which_a_fork_lies_is_named() {
    let Audited {
        place: honest,
        key,
        old,
    } = audited();
    let forged = place();
    let log = open(&forged.path);
    record(&log, (1..250).chain(251..621).map(draft));
    log.close().unwrap();
    std::fs::remove_file(forged.path.join("closed.json")).unwrap();
    copy(
        &honest.path.join("checkpoints"),
        &forged.path.join("checkpoints"),
    );
    let verdict = audit(&forged.path, &key, &old);
    assert_eq!(
        (verdict.first_broken(), verdict.vouched),
        (Some(200), Some(200))
    );
    let told = verdict
        .faults
        .iter()
        .find(|fault| fault.file.ends_with("300"))
        .unwrap();
    assert_eq!(
        told.to_string(),
        "entries 200 to 299: log differs from its checkpoint: it was altered below, or forked in `checkpoints/0000000000000300`"
    );
}

#[test]
fn yesterdays_store_and_another_tenants_are_not_taken_for_todays() {
    let yesterday = place();
    let today = place();
    let log = open_signed(&yesterday.path);
    record(&log, (1..150).map(draft));
    log.close().unwrap();
    copy(&yesterday.path, &today.path);
    let log = open_signed(&today.path);
    record(&log, (150..200).map(draft));
    let (key, kept) = (
        log.verifier_key().unwrap().unwrap(),
        log.checkpoint().unwrap(),
    );
    log.close().unwrap();
    assert!(audit(&today.path, &key, &kept).verified);
    let verdict = audit(&yesterday.path, &key, &kept);
    assert_eq!(whats(&verdict), [FaultKind::CheckpointAhead]);
    assert_eq!(verdict.first_broken(), Some(150));

    // The other tenant's log is signed by a key of its own, or, if an operator was careless, by the same.
    for seed in [1, 2] {
        let other = place();
        let tenant = "general".parse().unwrap();
        let log = Log::open(&other.path, &tenant, clock(), roomy(Arc::new(RealDisk))).unwrap();
        log.sign_with(TestKey::new(seed));
        record(&log, (1..200).map(draft));
        log.close().unwrap();
        let verdict = audit(&other.path, &key, &kept);
        let whats = whats(&verdict);
        assert!(whats.contains(&FaultKind::CheckpointUnsigned), "{whats:?}");
        assert!(whats.contains(&FaultKind::CheckpointOrigin), "{whats:?}");
        assert_eq!(verdict.vouched, Some(0));
    }
}

#[test]
fn a_checkpoint_that_is_altered_or_by_nobody_is_none() {
    let Audited { place, key, old } = audited();
    let stored = place.path.join("checkpoints/0000000000000300");
    assert_eq!(std::fs::read_to_string(&stored).unwrap(), old.note);
    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        let before = std::fs::read(&stored).unwrap();
        alter(&stored, change);
        let verdict = audit(&place.path, &key, &old);
        std::fs::write(&stored, before).unwrap();
        verdict
            .faults
            .into_iter()
            .filter(|fault| fault.file.ends_with("300"))
            .map(|it| it.what)
            .collect::<Vec<_>>()
    };
    let signature = old.note.find('\u{2014}').unwrap() + 60;
    let root = old.note.find("\n300\n").unwrap() + 6;
    let flip = |byte: &mut u8| *byte = if *byte == b'A' { b'B' } else { b'A' };
    assert_eq!(
        altered(&|bytes| flip(&mut bytes[signature])),
        [FaultKind::CheckpointUnsigned, FaultKind::FileAltered]
    );
    let of_root = altered(&|bytes| flip(&mut bytes[root]));
    assert!(
        of_root.contains(&FaultKind::CheckpointUnsigned)
            && of_root.contains(&FaultKind::CheckpointDiffers)
    );
    assert!(altered(&|bytes| bytes.truncate(40)).contains(&FaultKind::CheckpointMalformed));
    // No checkpoint at all is no proof of anything.
    let bare = crate::support::place();
    let log = open(&bare.path);
    fill(&log, 0..3);
    log.close().unwrap();
    let options = VerifyOptions {
        key: Some(key),
        skip_view: true,
        ..VerifyOptions::default()
    };
    assert_eq!(
        whats(&verify(&bare.path, options).unwrap()),
        [FaultKind::CheckpointMissing]
    );
}

#[test]
fn any_entry_is_proved_without_the_others() {
    let Audited { place, key, .. } = audited();
    let reader = Reader::open(&place.path).unwrap();
    for sequence in (0..620).step_by(31).chain([255, 256, 511, 512, 619]) {
        let proof = reader.prove(sequence).unwrap();
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "));
        let read = EntryProof::parse(&text).unwrap();
        let proven = read.verify(&key).unwrap();
        let entry = reader.entry(sequence).unwrap().unwrap();
        assert_eq!((proven.header, proven.hash), (entry.header, entry.hash));
        assert_eq!(proven.checkpoint.size, 620);
        // The proof proper, beside what it proves: at most 10 hashes in a log of this size.
        assert!(proof.path().len() <= 10);
    }
    assert!(matches!(
        reader.prove(620),
        Err(ProveError::NotCovered {
            asked: 620,
            covered: 620
        })
    ));
}

#[test]
fn a_proof_of_which_one_byte_is_altered_proves_nothing() {
    let Audited { place, key, .. } = audited();
    let proof = Reader::open(&place.path).unwrap().prove(300).unwrap();
    let text = proof.to_string();
    assert!(proof.verify(&key).is_ok());
    for (at, byte) in text.bytes().enumerate() {
        let mut altered = text.clone().into_bytes();
        altered[at] = match byte {
            b'A' => b'B',
            b'\n' => b' ',
            _ => b'A',
        };
        let Ok(altered) = String::from_utf8(altered) else {
            continue;
        };
        let verified = EntryProof::parse(&altered).and_then(|proof| proof.verify(&key));
        assert!(verified.is_err(), "byte {at}");
    }
    let other = text.replace("index 300\n", "index 301\n");
    assert_eq!(
        EntryProof::parse(&other).unwrap().verify(&key),
        Err(ProofFault::NotIncluded)
    );
    let stranger = VerifierKey::new(key.name(), [7; 32]).unwrap();
    assert_eq!(
        proof.verify(&stranger),
        Err(ProofFault::Checkpoint(NoteError::Unsigned))
    );
}

#[test]
fn a_log_proves_that_it_grew_and_did_nothing_else() {
    let Audited { place, key, old } = audited();
    let reader = Reader::open(&place.path).unwrap();
    let text = reader.prove_growth(300).unwrap().to_string();
    assert!(text.starts_with("old 300\n"));
    let proof = GrowthProof::parse(&text).unwrap();
    assert_eq!(proof.verify(&old.checkpoint, &key).unwrap().size, 620);
    let mut forked = old.checkpoint.clone();
    forked.root.0[0] ^= 1;
    assert_eq!(proof.verify(&forked, &key), Err(ProofFault::NotConsistent));
    forked = old.checkpoint;
    forked.size = 299;
    assert_eq!(
        proof.verify(&forked, &key),
        Err(ProofFault::OtherSize {
            proof: 300,
            checkpoint: 299
        })
    );
    assert!(reader.prove_growth(620).is_ok());
    assert!(matches!(
        reader.prove_growth(0),
        Err(ProveError::NotCovered { .. })
    ));
    assert!(matches!(
        reader.prove_growth(621),
        Err(ProveError::NotCovered { .. })
    ));
}

#[test]
fn a_checkpoint_is_made_once_for_each_size_and_when_the_log_is_closed() {
    let place = place();
    let log = open(&place.path);
    assert!(matches!(log.checkpoint(), Err(CheckpointError::NoSigner)));
    assert!(matches!(log.prove(0), Err(ProveError::NoCheckpoint)));
    log.sign_with(TestKey::new(1));
    let first = log.checkpoint().unwrap();
    assert_eq!(first.checkpoint.size, 1);
    assert!(first.checkpoint.origin.starts_with("nephron/st-marys/"));
    assert_eq!(log.checkpoint().unwrap(), first);
    fill(&log, 0..9);
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    let stored = files(&place.path.join("checkpoints"));
    assert_eq!(stored.len(), 2);
    assert!(stored[1].ends_with("0000000000000010"));
    assert_eq!(std::fs::read_to_string(&stored[0]).unwrap(), first.note);
    // Opened and closed with nothing added, the log has no more to say.
    open_signed(&place.path).close().unwrap();
    assert_eq!(files(&place.path.join("checkpoints")), stored);
}

/// Reasons of the repairs of the tree.
fn repairs(log: &Log) -> Vec<String> {
    let sequences = log.sequences(&Term::Kind(EntryKind::LogRepaired));
    let entries = sequences
        .unwrap()
        .into_iter()
        .map(|it| log.entry(it).unwrap().unwrap());
    entries
        .filter(|entry| entry.header.facts["part"] == "tree")
        .map(|entry| entry.header.facts["reason"].clone())
        .collect()
}

#[test]
fn a_tree_that_is_missing_or_differs_is_built_again_from_the_journal() {
    let tile = |path: &Path| path.join("tile/0/000");
    let at_edge = |path: &Path| path.join("tile/0/002.p/108");
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(Damage<'_>, &[&str]); 5] = [
        (
            &|path| std::fs::remove_dir_all(path.join("tile")).unwrap(),
            &[],
        ),
        (&|path| std::fs::remove_file(tile(path)).unwrap(), &[]),
        (
            &|path| alter(&tile(path), |bytes| bytes[4000] ^= 1),
            &["differs-from-journal"],
        ),
        (
            &|path| alter(&tile(path), |bytes| bytes.truncate(99)),
            &["differs-from-journal"],
        ),
        (
            &|path| alter(&at_edge(path), |bytes| bytes[0] ^= 1),
            &["differs-from-journal"],
        ),
    ];
    let Audited {
        place: honest, key, ..
    } = audited();
    for (damage, expected) in damages {
        let place = place();
        copy(&honest.path, &place.path);
        damage(&place.path);
        // The seal says so too; the tree alone does where it says something else.
        std::fs::remove_file(place.path.join("closed.json")).unwrap();
        let verdict = check(&place.path);
        assert_eq!(
            whats(&verdict),
            vec![FaultKind::TileDiffers; expected.len()]
        );
        // A proof is made all the same, from the journal.
        let proof = Reader::open(&place.path).unwrap().prove(7).unwrap();
        assert!(proof.verify(&key).is_ok());
        let log = open_signed(&place.path);
        assert_eq!(repairs(&log), expected);
        assert!(at_edge(&place.path).exists() && tile(&place.path).exists());
        log.close().unwrap();
        let verdict = check(&place.path);
        assert!(verdict.verified, "{:?}", verdict.faults);
        assert_eq!(
            place.path.join("damaged/1/tile").exists(),
            !expected.is_empty()
        );
    }
}

#[test]
fn a_journal_that_its_checkpoints_or_its_tree_contradict_is_not_opened() {
    let Audited { place: honest, .. } = audited();
    let shorter = place();
    let log = open(&shorter.path);
    record(&log, (1..300).map(draft));
    log.close().unwrap();
    for (beside, what) in [
        ("checkpoints", FaultKind::CheckpointAhead),
        ("tile", FaultKind::TileAhead),
    ] {
        let place = place();
        copy(&shorter.path, &place.path);
        std::fs::remove_file(place.path.join("closed.json")).unwrap();
        copy(&honest.path.join(beside), &place.path.join(beside));
        assert!(whats(&check(&place.path)).contains(&what), "{beside}");
        let before = files(&place.path);
        let error = try_open(&place.path, roomy(Arc::new(RealDisk)))
            .err()
            .unwrap();
        let OpenError::Damaged { fault, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((fault.what, fault.entry), (what, Some(300)));
        assert_eq!(files(&place.path), before);
    }
}

#[test]
fn every_checkpoint_that_was_given_holds_wherever_the_disk_failed_or_the_power_was_cut() {
    let key = |path: &Path| {
        let first = Reader::open(path).unwrap().entry(0).unwrap().unwrap();
        let name = nephron_audit::origin(&tenant(), &first.hash);
        VerifierKey::new(&name, TestKey::new(1).public_key()).unwrap()
    };
    let work = |path: &Path, disk: Arc<FaultyDisk>| -> Option<Vec<SignedCheckpoint>> {
        let mut given = Vec::new();
        let log = try_open(path, with_disk(disk)).ok()?;
        log.sign_with(TestKey::new(1));
        for first in (1..290).step_by(40) {
            for number in first..first + 40 {
                drop(log.note(draft(number)));
            }
            if first % 3 == 1 {
                given.extend(log.checkpoint().ok());
            }
            // The small view of these tests is to follow in small steps.
            drop(log.sequences(&Term::Kind(EntryKind::LogOpened)));
        }
        drop(log.close());
        Some(given)
    };
    let whole = place();
    let disk = Arc::new(FaultyDisk::new());
    assert_eq!(work(&whole.path, Arc::clone(&disk)).unwrap().len(), 3);
    let calls = disk.calls();
    assert!((100..300).contains(&calls), "{calls}");
    // Every third call, and after every other of those the power is cut too.
    for call in (0..calls).step_by(3) {
        let place = place();
        let disk = Arc::new(FaultyDisk::failing_from(call));
        disk.tear_writes();
        let given = work(&place.path, Arc::clone(&disk)).unwrap_or_default();
        if call % 2 == 1 && place.path.exists() {
            disk.cut_power(&place.path, call).unwrap();
        }
        let log = try_open(&place.path, crate::support::options()).unwrap();
        log.sign_with(TestKey::new(1));
        log.checkpoint().unwrap();
        let proof = log.prove(0).unwrap();
        log.close().unwrap();
        let key = key(&place.path);
        assert!(proof.verify(&key).is_ok(), "call {call}");
        let options = VerifyOptions {
            views: Some(crate::support::views()),
            key: Some(key),
            checkpoints: given.iter().map(kept).collect(),
            ..VerifyOptions::default()
        };
        let verdict = verify(&place.path, options).unwrap();
        assert!(verdict.verified, "call {call}: {:?}", verdict.faults);
        assert_eq!(verdict.vouched, Some(verdict.entries));
    }
}

/// `audit-verify` with these arguments: its exit code and what it printed.
pub(crate) fn audit_verify(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_audit-verify"))
        .args(arguments)
        .output()
        .unwrap();
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn audit_verify_says_it_in_words_in_json_and_in_its_exit_code() {
    let Audited { place, key, old } = audited();
    let desk = crate::support::place();
    std::fs::create_dir(&desk.path).unwrap();
    let write = |name: &str, text: &str| {
        let path = desk.path.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let reader = Reader::open(&place.path).unwrap();
    let kept = write("kept.checkpoint", &old.note);
    let entry = write("300.tlog-proof", &reader.prove(300).unwrap().to_string());
    let growth = write("300.growth", &reader.prove_growth(300).unwrap().to_string());
    let (log, key) = (place.path.display().to_string(), key.to_string());
    let json = |arguments: &[&str]| {
        let (code, text) = audit_verify(&[arguments, &["--json"]].concat());
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        (code, value)
    };

    let (code, verdict) = json(&[&log, "--vkey", &key, "--checkpoint", &kept]);
    assert_eq!((code, &verdict["vouched"]), (Some(0), &620.into()));
    let (code, words) = audit_verify(&["--vkey", &key, "--proof", &entry]);
    assert_eq!(code, Some(0));
    assert!(
        words.starts_with("verified\nlog      nephron/st-marys/"),
        "{words}"
    );
    let (code, verdict) = json(&["--vkey", &key, "--proof", &entry]);
    assert_eq!((code, &verdict["sequence"]), (Some(0), &300.into()));
    assert_eq!(verdict["header"]["facts"]["number"], "300");
    let (code, verdict) = json(&["--vkey", &key, "--proof", &growth, "--checkpoint", &kept]);
    assert_eq!((code, &verdict["since"]), (Some(0), &300.into()));
    assert_eq!(verdict["entries"], 620);

    let wrong = key.parse::<VerifierKey>().unwrap();
    let wrong = VerifierKey::new(wrong.name(), [9; 32]).unwrap().to_string();
    let (code, verdict) = json(&["--vkey", &wrong, "--proof", &entry]);
    assert_eq!((code, &verdict["verified"]), (Some(3), &false.into()));
    assert!(
        verdict["fault"]
            .as_str()
            .unwrap()
            .contains("not signed by the given key")
    );
    let (code, verdict) = json(&["--vkey", &key, "--proof", &growth]);
    assert_eq!(code, Some(3));
    assert!(verdict["fault"].as_str().unwrap().contains("--checkpoint"));
    let (code, verdict) = json(&[&log, "--vkey", &wrong]);
    assert_eq!((code, &verdict["vouched"]), (Some(3), &0.into()));

    alter(&segment(&place.path, 1), |bytes| bytes[500] ^= 1);
    let (code, _) = json(&[&log, "--vkey", &key, "--checkpoint", &kept]);
    assert_eq!(code, Some(3));
    // One entry still proves itself.
    assert_eq!(
        audit_verify(&["--vkey", &key, "--proof", &entry]).0,
        Some(0)
    );
    for wrong_use in [
        &["--proof", &entry] as &[&str],
        &[],
        &[&log, "--checkpoint", &kept],
        &[&log, "--vkey", "nephron/st-marys"],
    ] {
        assert_eq!(audit_verify(wrong_use).0, Some(2), "{wrong_use:?}");
    }
    assert_eq!(
        audit_verify(&["--vkey", &key, "--proof", "/nowhere"]).0,
        Some(1)
    );
}

#[test]
fn a_field_is_shown_alone_and_no_altered_disclosure_verifies() {
    let place = place();
    let log = open_signed(&place.path);
    let salt = [5; 32];
    let fact = |field: &str, value: &[u8]| {
        let commitment = FieldCommitment::new(field, salt, value);
        (FieldCommitment::fact(field), commitment.digest.to_string())
    };
    let mut entry = draft(1);
    entry
        .facts
        .extend([fact("patient", b"AB-0483920"), fact("sent", b"\xff\x00")]);
    let sequence = log.record(entry).wait().unwrap().sequence();
    record(&log, (2..9).map(draft));
    let key = log.verifier_key().unwrap().unwrap();
    log.checkpoint().unwrap();
    let proof = log.prove(sequence).unwrap();
    let other = log.prove(sequence + 1).unwrap();

    for (field, value) in [("patient", &b"AB-0483920"[..]), ("sent", b"\xff\x00")] {
        let disclosure = FieldDisclosure::new(field, value, salt, &proof);
        let text = serde_json::to_string(&disclosure).unwrap();
        let read = FieldDisclosure::parse(&text).unwrap();
        assert_eq!(read.value().unwrap(), value);
        assert_eq!(read.verify(&key).unwrap().header.sequence, sequence);
    }
    let text = serde_json::to_string(&FieldDisclosure::new(
        "patient",
        b"AB-0483920",
        salt,
        &proof,
    ))
    .unwrap();
    let commitment = FieldCommitment::new("patient", salt, b"AB-0483921")
        .digest
        .to_string();
    for (from, to, expected) in [
        ("AB-0483920", "AB-0483921", "value and salt are not what"),
        ("0505", "0506", "value and salt are not what"),
        (
            "\"patient\"",
            "\"sent\"",
            "no commitment to a field `sent`, or another",
        ),
        (
            &fact("patient", b"AB-0483920").1,
            &commitment,
            "no commitment to a field `patient`, or another",
        ),
        (
            &serde_json::to_string(&proof.to_string()).unwrap(),
            &serde_json::to_string(&other.to_string()).unwrap(),
            "no commitment",
        ),
        ("index 1", "index 2", "is not proved"),
        ("disclosure 1", "disclosure 2", "it is no disclosure"),
        ("\"salt\":\"05", "\"salt\":\"0", "it is no disclosure"),
        ("\"value\"", "\"value-base64\"", "it is no disclosure"),
        ("{", "{\"more\":1,", "it is no disclosure"),
    ] {
        let altered = text.replacen(from, to, 1);
        assert_ne!(altered, text, "{from}");
        let fault = FieldDisclosure::parse(&altered).and_then(|read| read.verify(&key));
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains(expected), "{from}: {fault}");
    }
}

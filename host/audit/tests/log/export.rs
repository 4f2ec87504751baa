//! An export verifies by itself, and no altered one does.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use nephron_audit::{
    Export, ExportError, ExportFault, Exported, Log, ProveError, ProvenExport, Reader, VerifierKey,
    verify_export,
};
use nephron_model::{FixedClock, Recorder as _, Timestamp};

use crate::support::{Place, TestKey, draft, options, place, tenant};

const OPENED: u64 = 1_795_305_802;

/// A closed log of 41 entries, a minute apart, and its public key. The last 3 came after the newest checkpoint.
fn log() -> (Place, VerifierKey) {
    let place = place();
    let clock = Arc::new(FixedClock::at(OPENED));
    let log = Log::open(&place.path, &tenant(), clock.clone(), options()).unwrap();
    log.sign_with(TestKey::new(1));
    for number in 1..=40 {
        clock.advance(Duration::from_secs(60));
        let _recorded = log.record(draft(number)).wait().unwrap();
        if number == 37 {
            log.checkpoint().unwrap();
        }
    }
    let key = log.verifier_key().unwrap().unwrap();
    // Not closed, which would sign its end: copied as it lies there.
    let copied = crate::support::place();
    crate::support::copy(&place.path, &copied.path);
    drop(log);
    (copied, key)
}

fn minute(minutes: u64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: OPENED + 60 * minutes,
        nanoseconds: 0,
    })
}

fn export(place: &Place, from: Option<Timestamp>, to: Option<Timestamp>) -> (Exported, Vec<u8>) {
    let export = Export {
        from,
        to,
        payloads: true,
        now: minute(100).unwrap(),
    };
    let mut archive = Vec::new();
    let reader = Reader::open(&place.path).unwrap();
    let exported = reader.export(&export, &mut archive).unwrap();
    (exported, archive)
}

fn verified(archive: &[u8], key: &VerifierKey) -> Result<ProvenExport, ExportFault> {
    verify_export(archive, key)
}

#[test]
fn a_period_verifies_by_itself_and_says_whether_nothing_of_it_is_missing() {
    let (place, key) = log();
    for (from, to, first, end, not_covered, complete) in [
        (minute(5), minute(9), 5, 9, 0, true),
        (None, minute(3), 0, 3, 0, true),
        (None, None, 0, 38, 3, true),
        // Behind the period stands nothing yet that is signed.
        (minute(30), minute(38), 30, 38, 0, false),
        (minute(30), minute(40), 30, 38, 2, false),
        (minute(20), minute(20), 20, 20, 0, true),
        (minute(50), None, 38, 38, 0, true),
    ] {
        let (exported, archive) = export(&place, from, to);
        let what = format!("{from:?} to {to:?}");
        assert_eq!(
            (
                exported.first,
                exported.end,
                exported.covered,
                exported.not_covered
            ),
            (first, end, 38, not_covered),
            "{what}"
        );
        let proven = verified(&archive, &key).unwrap();
        assert_eq!((proven.note.first, proven.note.end), (first, end), "{what}");
        assert_eq!((proven.covered, proven.complete), (38, complete), "{what}");
        let with_payload = (first..end).filter(|number| number % 3 == 1).count();
        assert_eq!(
            proven.payloads,
            u64::try_from(with_payload).unwrap(),
            "{what}"
        );
        assert_eq!(proven.payloads, exported.payloads);
    }
}

/// The files of an archive, by name.
fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(archive);
    let files = tar.entries().unwrap().map(|file| {
        let mut file = file.unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (
            String::from_utf8(file.path_bytes().into_owned()).unwrap(),
            bytes,
        )
    });
    files.collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn no_altered_export_verifies() {
    let (place, key) = log();
    let (_, archive) = export(&place, minute(5), minute(9));
    let sound = files(&archive);
    assert!(verified(&packed(&sound), &key).is_ok());
    let text = |files: &[(String, Vec<u8>)], name: &str| {
        let (_, bytes) = files.iter().find(|(it, _)| it == name).unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    };
    let with = |name: &str, change: &dyn Fn(String) -> String| {
        let mut files = sound.clone();
        let changed = change(text(&files, name)).into_bytes();
        files.iter_mut().find(|(it, _)| it == name).unwrap().1 = changed;
        verified(&packed(&files), &key)
            .err()
            .map(|fault| fault.to_string())
    };
    let line = |text: &str, at: usize| text.lines().nth(at).unwrap().to_owned() + "\n";
    for (name, change, expected) in [
        (
            "headers.jsonl",
            &(|it: String| it.replacen("permit", "refuse", 1)) as &dyn Fn(String) -> String,
            "does not follow",
        ),
        // The last names no other that is here, but the tree knows it.
        (
            "headers.jsonl",
            &|it| {
                let last = line(&it, 5);
                it.replace(&last, &last.replace("permit", "refuse"))
            },
            "do not lead",
        ),
        (
            "headers.jsonl",
            &|it| it.replacen(&line(&it, 2), "", 1),
            "is not the header of entry 6",
        ),
        (
            "headers.jsonl",
            &|it| it.clone() + &line(&it, 0),
            "`headers.jsonl` is not in a form",
        ),
        (
            "headers.jsonl",
            &|it| it.replacen('{', "{ ", 1),
            "is not the header of entry 4",
        ),
        (
            "around",
            &|it| it.replacen(&line(&it, 0), "", 1),
            "do not lead",
        ),
        ("around", &|it| it.clone() + &line(&it, 0), "do not lead"),
        (
            "checkpoint",
            &|it| it.replacen("\n38\n", "\n39\n", 1),
            "does not count",
        ),
        (
            "export.json",
            &|it| it.replace("T00:12:22", "T00:11:22"),
            "the period is not the one",
        ),
        (
            "export.json",
            &|it| it.replace("T00:08:22", "T00:07:22"),
            "the period is not the one",
        ),
        (
            "export.json",
            &|it| it.replace("\"first\": 5", "\"first\": 6"),
            "`export.json` is not in a form",
        ),
        (
            "export.json",
            &|it| it.replace("\"payloads\": true", "\"payloads\": false"),
            "does not belong",
        ),
        (
            "export.json",
            &|it| it.replace("st-marys", "general"),
            "is not the header of entry 4",
        ),
    ] {
        let fault = with(name, change).unwrap_or_else(|| panic!("{expected} verifies"));
        assert!(fault.contains(expected), "{fault}, not {expected}");
    }
    let foreign = VerifierKey::new(key.name(), [9; 32]).unwrap();
    assert!(matches!(
        verified(&archive, &foreign),
        Err(ExportFault::Checkpoint(_))
    ));
}

#[test]
fn every_payload_is_there_and_is_the_one_that_its_entry_names() {
    let (place, key) = log();
    let (_, archive) = export(&place, minute(5), minute(9));
    let sound = files(&archive);
    let names: Vec<&str> = sound.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[5..], ["payloads/0000000000000007"]);
    let mut altered = sound.clone();
    altered[5].1[0] ^= 1;
    let mut moved = sound.clone();
    moved[5].0 = "payloads/0000000000000006".to_owned();
    let more = [sound.clone(), vec![("payload.zip".to_owned(), vec![1])]].concat();
    let mut swapped = sound.clone();
    swapped.swap(2, 3);
    for (files, expected) in [
        (altered, "the payload of entry 7"),
        (sound[..5].to_vec(), "the payload of entry 7 is missing"),
        (moved, "`payloads/0000000000000006` does not belong"),
        (more, "`payload.zip` does not belong"),
        (swapped, "`checkpoint` is missing"),
        (sound[..4].to_vec(), "`headers.jsonl` is missing"),
    ] {
        let fault = verified(&packed(&files), &key).err().unwrap().to_string();
        assert!(fault.contains(expected), "{fault}, not {expected}");
    }
    for length in (0..archive.len()).step_by(97) {
        // The blank blocks at its end hold nothing.
        let is_whole = archive[length..].iter().all(|byte| *byte == 0);
        assert!(
            is_whole || verified(&archive[..length], &key).is_err(),
            "{length}"
        );
    }
}

#[test]
fn what_nothing_vouches_for_is_not_exported() {
    let place = place();
    let log = Log::open(
        &place.path,
        &tenant(),
        Arc::new(FixedClock::at(OPENED)),
        options(),
    )
    .unwrap();
    let _recorded = log.record(draft(1)).wait().unwrap();
    let wanted = Export {
        from: None,
        to: None,
        payloads: false,
        now: minute(0).unwrap(),
    };
    let unsigned = Reader::open(&place.path)
        .unwrap()
        .export(&wanted, Vec::new());
    assert!(matches!(
        unsigned,
        Err(ExportError::Prove(ProveError::NoCheckpoint))
    ));
    log.sign_with(TestKey::new(1));
    log.checkpoint().unwrap();
    drop(log);
    // A log that is not the one its checkpoint speaks of.
    crate::support::alter(&crate::support::segment(&place.path, 0), |bytes| {
        bytes[200] ^= 1
    });
    let damaged = Reader::open(&place.path)
        .unwrap()
        .export(&wanted, Vec::new());
    assert!(matches!(damaged, Err(ExportError::Damaged(_))));

    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (place, _) = self::log();
    let full = Reader::open(&place.path).unwrap().export(&wanted, Full);
    assert!(matches!(full, Err(ExportError::Write(_))));
}

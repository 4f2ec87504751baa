use super::*;
use std::sync::Arc;

use clap::Parser;
use nephron_audit::{Log, Options};
use nephron_model::{Draft, Fingerprint, FixedClock, PluginRef, Recorder as _, TenantId};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

const ALMA: Fingerprint = Fingerprint([1; 32]);
const BO: Fingerprint = Fingerprint([2; 32]);

/// A log of an invented tenant: three requests a day apart, of which the last two overlap and one is about two patients.
fn log() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(1_795_305_802));
    let tenant: TenantId = "st-marys".parse().unwrap();
    let path = folder.path().join("log");
    let log = Log::open(&path, &tenant, clock.clone(), Options::default()).unwrap();
    let record = |event: &str, kind, outcome: &str, patients: &[Fingerprint]| {
        let mut draft = Draft::new(kind, outcome).about(event.parse().unwrap());
        draft.caller = Some(
            if event.ends_with('V') {
                "dr.okafor"
            } else {
                "billing"
            }
            .to_owned(),
        );
        if !patients.is_empty() {
            let patients: Vec<String> = patients.iter().map(ToString::to_string).collect();
            draft = draft.fact("patient", patients.join(" "));
        }
        if kind == EntryKind::Decision {
            draft.plugin = Some(PluginRef {
                digest: Digest::of(b"component"),
                name: "cedar-policy".to_owned(),
                settings: Digest::of(b"settings"),
                version: "0.1.0".to_owned(),
            });
            draft.reasons = vec!["role".to_owned()];
        }
        let _recorded = log.record(draft).wait().unwrap();
        clock.advance(std::time::Duration::from_secs(12 * 60 * 60));
    };
    let [one, two, three] = [
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01ARZ3NDEKTSV4RRFFQ69G5FAW",
        "01ARZ3NDEKTSV4RRFFQ69G5FAX",
    ];
    record(one, EntryKind::RequestOpened, "admitted", &[ALMA]);
    record(one, EntryKind::Decision, "permit", &[]);
    record(two, EntryKind::RequestOpened, "admitted", &[BO]);
    record(three, EntryKind::RequestOpened, "admitted", &[BO, ALMA]);
    record(two, EntryKind::Decision, "permit", &[]);
    record(three, EntryKind::Decision, "deny", &[]);
    log.close().unwrap();
    folder
}

/// The sequences that are found.
fn found(arguments: &[&str], patient: Option<Fingerprint>) -> Vec<u64> {
    let folder = log();
    let path = folder.path().join("log");
    let line = ["search", path.to_str().unwrap(), "--json"];
    let args = Line::try_parse_from(line.iter().chain(arguments))
        .unwrap()
        .args;
    let mut out = Vec::new();
    let done = search(&args, patient.map(About::new), &mut out);
    assert!(done.is_ok());
    let lines = String::from_utf8(out).unwrap();
    let sequence = |line: &str| serde_json::from_str::<Header>(line).unwrap().sequence;
    lines.lines().map(sequence).collect()
}

#[test]
fn entries_are_found_by_everything_that_is_given_and_the_newest_stand_last() {
    // The log's opening and that of the search itself have no caller.
    for (arguments, expected) in [
        (&["--caller", "billing"][..], &[3, 4, 5, 6][..]),
        (
            &["--caller", "billing", "--plugin", "cedar-policy"],
            &[5, 6],
        ),
        (
            &[
                "--plugin",
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
            &[],
        ),
        (&["--outcome", "deny"], &[6]),
        (&["--outcome", "role"], &[2, 5, 6]),
        (&["--kind", "request-opened"], &[1, 3, 4]),
        // The first two entries are of 2026-11-22, the third of the 22nd at noon.
        (
            &[
                "--from",
                "2026-11-23",
                "--to",
                "2026-11-23",
                "--kind",
                "decision",
            ],
            &[],
        ),
        (&["--from", "2026-11-23T00:03:22Z"], &[3, 4, 5, 6]),
        (&["--to", "2026-11-22", "--kind", "decision"], &[2]),
        (&["--limit", "2"], &[5, 6]),
    ] {
        assert_eq!(found(arguments, None), expected, "{arguments:?}");
    }
    let component = Digest::of(b"component").to_string();
    assert_eq!(found(&["--plugin", &component], None), [2, 5, 6]);
}

#[test]
fn a_patients_entries_are_those_of_every_request_about_the_patient_and_of_no_other() {
    assert_eq!(found(&[], Some(ALMA)), [1, 2, 4, 6]);
    assert_eq!(found(&[], Some(BO)), [3, 4, 5, 6]);
    assert_eq!(found(&["--outcome", "permit"], Some(BO)), [5]);
    // The request began before the period.
    assert_eq!(found(&["--from", "2026-11-24T00:00:00Z"], Some(ALMA)), [6]);
    assert!(found(&[], Some(Fingerprint([3; 32]))).is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for arguments in [
        &["--limit", "0"][..],
        &["--kind", "prompt"],
        &["--from", "monday"],
    ] {
        let line = ["search", "log"].iter().chain(arguments);
        assert!(Line::try_parse_from(line).is_err(), "{arguments:?}");
    }
}

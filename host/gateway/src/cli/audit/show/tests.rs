use super::*;
use std::sync::Arc;

use clap::Parser;
use expect_test::{Expect, expect};
use nephron_audit::{Log, Options, entry_hash};
use nephron_model::{Digest, Draft, FixedClock, PluginRef, Point, Recorder as _, TenantId};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A closed log of an invented tenant: its opening, and two requests of two decisions each.
fn log() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(1_795_305_802));
    let tenant: TenantId = "st-marys".parse().unwrap();
    let log = Log::open(
        &folder.path().join("log"),
        &tenant,
        clock,
        Options::default(),
    )
    .unwrap();
    for (event, outcome) in [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "permit"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FZZ", "deny"),
    ] {
        let mut opened = Draft::new(EntryKind::RequestOpened, "ok").about(event.parse().unwrap());
        opened.caller = Some("dr.okafor".to_owned());
        let mut decided = Draft::new(EntryKind::Decision, outcome).about(event.parse().unwrap());
        decided.point = Some(Point::Ingress);
        decided.plugin = Some(PluginRef {
            digest: Digest::of(b"component"),
            name: "cedar-policy".to_owned(),
            settings: Digest::of(b"settings"),
            version: "0.1.0".to_owned(),
        });
        decided.reasons = vec!["role".to_owned()];
        decided.fuel = Some(1_234_567);
        decided.micros = Some(212);
        let _one = log.record(opened).wait().unwrap();
        let _other = log.record(decided).wait().unwrap();
    }
    log.close().unwrap();
    folder
}

fn shown(folder: &tempfile::TempDir, arguments: &[&str]) -> (String, u8) {
    let path = folder.path().join("log");
    let line = ["show", path.to_str().unwrap()];
    let args = Line::try_parse_from(line.iter().chain(arguments))
        .unwrap()
        .args;
    let mut out = Vec::new();
    let done = show(
        &path,
        &args,
        Look {
            in_colour: false,
            width: 100,
        },
        &mut out,
    );
    (
        String::from_utf8(out).unwrap(),
        done.err().map_or(0, |failure| failure.code()),
    )
}

fn check(arguments: &[&str], expected: &Expect) {
    let (text, code) = shown(&log(), arguments);
    expected.assert_eq(&text);
    assert_eq!(code, 0);
}

#[test]
fn an_entry_is_a_row() {
    check(
        &[],
        &expect![[r#"
        #  time                      kind            point    plugin             fuel   µs  event     outcome
        0  2026-11-22T00:03:22.000Z  log-opened                                                       ok
        1  2026-11-22T00:03:22.000Z  request-opened                                         Q69G5FAV  ok
        2  2026-11-22T00:03:22.000Z  decision        ingress  cedar-policy  1,234,567  212  Q69G5FAV  permit (role)
        3  2026-11-22T00:03:22.000Z  request-opened                                         Q69G5FZZ  ok
        4  2026-11-22T00:03:22.000Z  decision        ingress  cedar-policy  1,234,567  212  Q69G5FZZ  deny (role)
    "#]],
    );
}

#[test]
fn only_entries_for_which_every_filter_holds_are_shown() {
    let sequences = |arguments: &[&str]| {
        let (text, _) = shown(&log(), arguments);
        text.lines()
            .skip(1)
            .map(|row| {
                row.trim_start()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (arguments, expected) in [
        (vec!["--kind", "decision"], "2 4"),
        (vec!["--plugin", "cedar-policy"], "2 4"),
        (vec!["--plugin", "other"], ""),
        (vec!["--request", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], "1 2"),
        (vec!["--request", "5FZZ"], "3 4"),
        (vec!["--request", "5FZZ", "--kind", "decision"], "4"),
        (vec!["--from", "3"], "3 4"),
        (vec!["--to", "1"], "0 1"),
        (vec!["--from", "1", "--to", "2"], "1 2"),
        (vec!["--from", "9", "--to", "2"], ""),
        (vec!["--tail", "2"], "3 4"),
        (vec!["--tail", "0"], ""),
        (vec!["--tail", "1", "--to", "2"], "2"),
        (vec!["--tail", "1", "--request", "5FAV"], "2"),
    ] {
        assert_eq!(sequences(&arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_script_gets_the_bytes_that_the_hashes_cover() {
    let (text, _) = shown(&log(), &["--json"]);
    let mut previous = Digest([0; 32]);
    for line in text.lines() {
        let header: Header = serde_json::from_str(line).unwrap();
        assert_eq!(header.previous, previous);
        previous = entry_hash(line.as_bytes());
    }
    assert_eq!(text.lines().count(), 5);
}

#[test]
fn a_damaged_log_shows_what_stands_before_the_damage_and_exits_with_3() {
    let folder = log();
    let journal = folder.path().join("log/journal");
    let segment = std::fs::read_dir(&journal)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let deny = bytes
        .windows(6)
        .position(|window| window == b"\"deny\"")
        .unwrap();
    bytes[deny + 1] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (text, code) = shown(&folder, &[]);
    assert_eq!((text.lines().count(), code), (5, 3), "{text}");
}

#[test]
fn a_folder_that_is_no_log_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (text, code) = shown(&folder, &[]);
    assert_eq!((text.as_str(), code), ("", 1));
}

#[test]
fn the_header_of_an_unfiltered_kind_reads_as_the_log_writes_it() {
    assert_eq!(kind_name(EntryKind::KeyUsed), "key-used");
    assert_eq!(kind("key-used"), Ok(EntryKind::KeyUsed));
    assert!(kind("key-abused").unwrap_err().contains("`key-used`"));
    let at = Timestamp {
        seconds: 1_795_305_802,
        nanoseconds: 123_456_789,
    };
    assert_eq!(to_the_millisecond(at), "2026-11-22T00:03:22.123Z");
}

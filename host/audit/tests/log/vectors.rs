//! `docs/formats/log.md` against the vectors, and the vectors against the code.
//!
//! The reader here is written from the document: it uses SHA-256, CRC-32 and JSON, and nothing of this crate.
//! `UPDATE_VECTORS=1 cargo test -p nephron-audit --test log vectors` writes them anew, for a new version of the format.

use std::path::{Path, PathBuf};

use nephron_audit::{Options, VerifyOptions};
use nephron_model::{Digest, Draft, EntryKind, PluginRef, Point, Record, Recorder as _, Space};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{TestKey, options, place, request, try_open, verify};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/vectors/log")
}

/// The entries of the vectors: every key of a header, and every kind of body.
fn drafts() -> Vec<Draft> {
    let mut full = Draft::new(EntryKind::Decision, "permit").about(request(1));
    full.point = Some(Point::Ingress);
    full.caller = Some("dr-okafor".to_owned());
    full.purpose = Some("TREAT".parse().unwrap());
    full.plugin = Some(PluginRef {
        digest: Digest::of(b"component"),
        name: "cedar-policy".to_owned(),
        settings: Digest::of(b"settings"),
        version: "0.1.0".to_owned(),
    });
    full.generation = Some(Digest::of(b"generation"));
    full.reasons = vec!["role".to_owned(), "quote\"d".to_owned()];
    full.fuel = Some(u64::MAX);
    full.micros = Some(0);
    full.payload = Some(b"sealed bytes".to_vec());
    full = full
        .fact("\u{fb33}", "after")
        .fact("\u{1f600}", "before")
        .count(&"mrn".parse().unwrap());
    full.input = Some(nephron_model::Fingerprint([1; 32]));
    full.output = Some(nephron_model::Fingerprint([2; 32]));
    let mut empty_payload = Draft::new(EntryKind::Received, "ok").about(request(1));
    empty_payload.payload = Some(Vec::new());
    let mut records = Draft::new(EntryKind::Deidentified, "replaced");
    for (space, value) in [
        (Space::VaultValue, "one"),
        (Space::VaultToken, "two"),
        (Space::Grant, ""),
    ] {
        let key = format!("key of {value}").into_bytes();
        let value = value.as_bytes().to_vec();
        records.records.push(Record { space, key, value });
    }
    let mut long = Draft::new(EntryKind::Sending, "ok");
    long.payload = Some(vec![0xa5; 2000]);
    vec![full, empty_payload, records, long]
}

/// Reads a journal as the document says; panics where a verifier would report.
fn read(journal: &Path) -> Value {
    let (mut entries, mut segments, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    let mut previous = [0; 32];
    let mut sequence = 0;
    for number in 0u64.. {
        let Ok(bytes) = std::fs::read(journal.join(format!("{number:08}.wal"))) else {
            break;
        };
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(
            (&bytes[..8], u32_at(8), u32_at(12)),
            (&b"NPHRNLOG"[..], 1, 0)
        );
        assert_eq!(
            (u64_at(16), u64_at(24), u64_at(32)),
            (number, sequence, bytes.len() as u64)
        );
        assert_eq!(
            (&bytes[40..72], &bytes[72..124]),
            (&previous[..], &[0; 52][..])
        );
        assert_eq!(u32_at(124), crc32fast::hash(&bytes[..124]));
        segments.push(json!({ "first": sequence, "length": bytes.len(), "number": number }));
        let mut at = 128;
        while bytes[at..].iter().take(40).any(|byte| *byte != 0) {
            assert_eq!(&bytes[at..at + 4], b"NFR1");
            let [h, p, r] = [24, 28, 32].map(|field| u32_at(at + field) as usize);
            let length = (40 + h + p + r).next_multiple_of(8);
            assert_eq!(u32_at(at + 4), crc32fast::hash(&bytes[at + 8..at + length]));
            assert_eq!((u64_at(at + 8), u32_at(at + 36)), (sequence, 0));
            assert!(u64_at(at + 16) <= sequence);
            let body = &bytes[at + 40..at + length];
            let (header, payload, records) = (&body[..h], &body[h..h + p], &body[h + p..h + p + r]);
            assert!(body[h + p + r..].iter().all(|byte| *byte == 0));
            let value: Value = serde_json::from_slice(header).unwrap();
            assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), header);
            let digest = |bytes: &[u8]| json!(format!("sha256:{}", hex(&Sha256::digest(bytes))));
            let of = |key: &str, bytes: &[u8]| {
                value
                    .get(key)
                    .map_or(bytes.is_empty(), |it| *it == digest(bytes))
            };
            assert!(of("payload", payload) && of("records", records));
            assert_eq!(
                value["previous"],
                json!(format!("sha256:{}", hex(&previous)))
            );
            assert_eq!(value["sequence"], json!(sequence));
            let mut hasher = Sha256::new();
            hasher.update(b"nephron-audit-entry-v1\0");
            hasher.update(header);
            previous = hasher.finalize().into();
            let leaf: [u8; 32] = Sha256::digest([b"\0", header].concat()).into();
            leaves.push(leaf);
            entries.push(json!({
                "hash": hex(&previous),
                "header": String::from_utf8(header.to_vec()).unwrap(),
                "leaf": hex(&leaf),
                "offset": at,
                "payload": hex(payload),
                "records": hex(records),
                "segment": number,
            }));
            sequence += 1;
            at += length;
        }
        assert!(bytes[at..].iter().all(|byte| *byte == 0));
    }
    json!({ "entries": entries, "head": hex(&previous), "root": hex(&root(&leaves)), "segments": segments })
}

/// MTH of RFC 6962 §2.1, over leaves that are hashed already.
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    Sha256::digest([&b"\x01"[..], &root(left), &root(right)].concat()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_vectors_read_as_the_document_says_and_are_written_the_same_today() {
    let place = place();
    let small = Options {
        segment_size: 4096,
        ..options()
    };
    let log = try_open(&place.path, small).unwrap();
    log.sign_with(TestKey::new(1));
    for draft in drafts() {
        let _recorded = log.record(draft).wait().unwrap();
    }
    let key = log.verifier_key().unwrap().unwrap();
    let signed = log.checkpoint().unwrap();
    let proof = log.prove(3).unwrap().to_string();
    log.close().unwrap();
    let written = place.path.join("journal");
    let kept = vectors().join("small/journal");
    let table = vectors().join("small.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        for folder in ["journal", "checkpoints", "tile"] {
            let to = vectors().join("small").join(folder);
            crate::support::copy(&place.path.join(folder), &to);
        }
        std::fs::write(vectors().join("small.vkey"), format!("{key}\n")).unwrap();
        std::fs::write(vectors().join("small-3.tlog-proof"), &proof).unwrap();
        let text = serde_json::to_string_pretty(&read(&kept)).unwrap();
        std::fs::write(&table, text + "\n").unwrap();
    }
    let expected: Value = serde_json::from_slice(&std::fs::read(&table).unwrap()).unwrap();
    assert_eq!(read(&kept), expected);
    assert_eq!(expected["entries"].as_array().unwrap().len(), 5);
    let kept_text = |file: &str| std::fs::read_to_string(vectors().join(file)).unwrap();
    assert_eq!(kept_text("small.vkey"), format!("{key}\n"));
    assert_eq!(kept_text("small-3.tlog-proof"), proof);
    assert_eq!(kept_text("small/checkpoints/0000000000000005"), signed.note);
    assert_eq!(expected["root"], json!(signed.checkpoint.root.hex()));
    let leaves = expected["entries"].as_array().unwrap().iter();
    let leaves: String = leaves
        .map(|entry| entry["leaf"].as_str().unwrap())
        .collect();
    let tile = std::fs::read(vectors().join("small/tile/0/000.p/5")).unwrap();
    assert_eq!(hex(&tile), leaves);
    for file in ["00000000.wal", "00000001.wal"] {
        let [today, then] =
            [&written, &kept].map(|journal| std::fs::read(journal.join(file)).unwrap());
        assert!(
            today == then,
            "`{file}` is written differently: that is a new version of the format"
        );
    }
}

#[test]
fn the_vectors_verify_and_nothing_in_them_is_written() {
    let key = std::fs::read_to_string(vectors().join("small.vkey")).unwrap();
    let options = VerifyOptions {
        key: Some(key.trim_end().parse().unwrap()),
        ..VerifyOptions::default()
    };
    let verdict = verify(&vectors().join("small"), options).unwrap();
    assert_eq!(verdict.vouched, Some(5));
    assert!(verdict.verified && !verdict.sealed, "{:?}", verdict.faults);
    let table = std::fs::read(vectors().join("small.json")).unwrap();
    let expected: Value = serde_json::from_slice(&table).unwrap();
    assert_eq!(
        (verdict.entries, json!(verdict.head.hex())),
        (5, expected["head"].clone())
    );
}

//! The detector as the host calls it: messages, parts and JSON in, spans out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may fail by panicking; its helpers stand outside test functions"
)]

use nephron_sdk::Plugin;
use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::types::{BlobRef, Caller, Instant, Sensitivity};
use safe_harbor::SafeHarbor;

fn detector() -> SafeHarbor {
    configured("{}")
}

fn configured(settings: &str) -> SafeHarbor {
    match SafeHarbor::configure(serde_json::from_str(settings).unwrap()) {
        Ok(detector) => detector,
        Err(problems) => panic!("{problems:?}"),
    }
}

fn info() -> RequestInfo {
    RequestInfo {
        id: "01".to_owned(),
        tenant: "t".to_owned(),
        received_at: Instant {
            seconds: 0,
            nanoseconds: 0,
        },
        caller: Caller {
            id: "c".to_owned(),
            roles: vec![],
            attributes: vec![],
        },
        purpose: "TREAT".to_owned(),
        sensitivity: Sensitivity::Phi,
        attributes: vec![],
    }
}

fn detect(messages: Vec<Vec<Part>>) -> Vec<Span> {
    let messages = messages
        .into_iter()
        .map(|parts| Message {
            role: "user".to_owned(),
            name: None,
            parts,
        })
        .collect();
    detector().detect(info(), messages).unwrap()
}

/// What the spans of `part` in `message` cover in `text`, and as what.
fn covered<'a>(
    text: &'a str,
    spans: &'a [Span],
    message: u32,
    part: u32,
) -> Vec<(&'a str, &'a str)> {
    spans
        .iter()
        .filter(|span| span.message == message && span.part == part)
        .map(|span| {
            (
                &text[span.start as usize..span.end as usize],
                span.kind.as_str(),
            )
        })
        .collect()
}

#[test]
fn json_strings_are_scanned_and_offsets_lead_into_the_json() {
    let json = r#"{"resourceType":"Patient","name":[{"family":"Th\u00f6rnquist","given":["Lucian"]}],"birthDate":"1981-10-30","n":77120944,"note":"Seen by Dr. Holloway\non 3 May 2024"}"#;
    let blob = Part::Blob(BlobRef {
        media_type: "image/png".to_owned(),
        length: 1,
        sha256: "00".to_owned(),
    });
    let spans = detect(vec![
        vec![Part::Text("nothing here".to_owned())],
        vec![blob, Part::Json(json.to_owned())],
    ]);
    assert_eq!(
        covered(json, &spans, 1, 1),
        [
            (r"Th\u00f6rnquist", "name"),
            ("Lucian", "name"),
            ("1981-10-30", "date"),
            ("Holloway", "name"),
            ("3 May 2024", "date"),
        ]
    );
    assert!(spans.iter().all(|span| span.message == 1 && span.part == 1));
}

#[test]
fn a_name_of_one_message_is_found_in_the_next() {
    let texts = ["Patient: Lucian Thornquist", "is thornquist on aspirin?"];
    let spans = detect(texts.map(|text| vec![Part::Text(text.to_owned())]).to_vec());
    assert_eq!(covered(texts[1], &spans, 1, 0), [("thornquist", "name")]);
}

#[test]
fn what_the_application_knows_outranks_every_rule_and_setting() {
    let message = |role: &str, parts| Message {
        role: role.to_owned(),
        name: None,
        parts,
    };
    let text = "thistlewood asked; see oakley ward 7 and thistlewood@mail.example";
    let json = r#"{"note":"Th1stlewood, dob 19560312"}"#;
    let known = r#"[{"kind":"name","of":"patient","value":"Thistlewood, Quill"},
        {"kind":"geo","of":"encounter","value":"Oakley Ward 7"},
        {"kind":"date","of":"patient","value":"1956-03-12"}]"#;
    let messages = vec![
        message("user", vec![Part::Text(text.to_owned())]),
        message("user", vec![Part::Json(json.to_owned())]),
        message("known", vec![Part::Json(known.to_owned())]),
    ];
    let keeps =
        configured(r#"{"keep": ["thistlewood", "oakley", "ward"], "minimum-confidence": 1.0}"#);
    let spans = keeps.detect(info(), messages).unwrap();
    assert_eq!(
        covered(text, &spans, 0, 0),
        [
            ("thistlewood", "name"),
            ("oakley ward 7", "geo"),
            ("thistlewood", "name")
        ]
    );
    assert_eq!(
        covered(json, &spans, 1, 0),
        [("Th1stlewood", "name"), ("19560312", "date")]
    );
    assert!(spans.iter().all(|span| span.message < 2));
    assert_eq!(spans[0].rule.as_deref(), Some("record-patient"));
    let wrong = message("known", vec![Part::Json("[7]".to_owned())]);
    assert!(keeps.detect(info(), vec![wrong]).is_err());
}

#[test]
fn what_is_no_json_is_scanned_as_text() {
    let broken = r#"{"a": "Dr. Thornquist"#;
    let spans = detect(vec![vec![Part::Json(broken.to_owned())]]);
    assert_eq!(covered(broken, &spans, 0, 0), [("Thornquist", "name")]);
}

#[test]
fn any_cut_of_any_note_gives_sorted_spans_on_character_borders() {
    let notes = [
        include_str!("../../../examples/quickstart/notes/patient-message.txt"),
        include_str!("../../../examples/quickstart/notes/hl7-message.txt"),
        "“Ünal” — Sørensen’s 3\u{a0}May\u{2028}’s ’ 5–7 [NAME_ [ ' \" \u{0301} ６７８-90-1234 ǅ ß @ :: 1::2 //",
    ];
    let detector = detector();
    for note in notes {
        let borders: Vec<usize> = note.char_indices().map(|(at, _)| at).collect();
        for from in borders.iter().step_by(31) {
            for text in [&note[*from..], &note[..*from]] {
                let found = detector.find(&[text]).remove(0);
                let mut last = 0;
                for one in &found {
                    assert!(last <= one.start && one.start < one.end && one.end <= text.len());
                    assert!(text.get(one.start..one.end).is_some());
                    assert!((0.0..=1.0).contains(&one.confidence));
                    last = one.end;
                }
            }
        }
    }
}

//! The transformer as the host asks it, but for the key.

use super::*;

const NOTE: &str = "Zebulon Quackenbush (MRN 4839201, aged 93, 12 Elm Street, Boston, MA 02139) was seen on 03/05/2024 and on \
                    3/19/2024. Mr. Quackenbush's phone: 617-555-0173.";

fn spans() -> Vec<Span> {
    [
        ("Zebulon Quackenbush", "name"),
        ("4839201", "mrn"),
        ("93", "age"),
        ("12 Elm Street, Boston, MA 02139", "geo"),
        ("03/05/2024", "date"),
        ("3/19/2024", "date"),
        ("Quackenbush's", "name"),
        ("617-555-0173", "phone"),
    ]
    .into_iter()
    .map(|(value, kind)| {
        let start = NOTE.find(value).unwrap();
        span(start, start + value.len(), kind)
    })
    .collect()
}

fn span(start: usize, end: usize, kind: &str) -> Span {
    Span {
        message: 0,
        part: 0,
        start: u32::try_from(start).unwrap(),
        end: u32::try_from(end).unwrap(),
        kind: kind.to_owned(),
        confidence: 1.0,
        rule: None,
    }
}

fn rewritten(settings: &str, subject: &str, text: &str, spans: &[Span]) -> (String, Message) {
    let settings = serde_json::from_str(settings).unwrap();
    let plugin = DeidText::configure(settings)
        .map_err(|_| "refused")
        .unwrap();
    let mac = |data: &[u8]| Ok(Sha256::digest([b"key", data].concat()).to_vec());
    let mut work = Work {
        settings: &plugin.settings,
        mac: &mac,
        subject: subject.to_owned(),
        today: jiff::civil::date(2026, 11, 27),
        shift: None,
        names: None,
        numbers: None,
        methods: BTreeMap::new(),
    };
    let spans: Vec<&Span> = spans.iter().collect();
    let is_json = text.starts_with('{');
    let text = work.rewritten(text, &spans, is_json).unwrap();
    (text, work.manifest())
}

fn said(manifest: &Message) -> &str {
    match manifest.parts.first() {
        Some(Part::Json(text)) => text,
        _ => "",
    }
}

#[test]
fn a_note_reads_on_and_tells_nobody() {
    let (text, manifest) = rewritten("{}", "mrn 4839201", NOTE, &spans());
    for value in [
        "Zebulon",
        "Quackenbush",
        "4839201",
        "93",
        "Elm",
        "Boston",
        "03/05",
        "3/19",
        "555-0173",
    ] {
        assert!(!text.contains(value), "{value} in {text}");
    }
    assert!(
        text.contains("aged 90+, MA 021)") && text.contains("phone: [PHONE]"),
        "{text}"
    );
    let (_, family) = text.split_once(" (").unwrap().0.split_once(' ').unwrap();
    assert!(text.contains(&format!("Mr. {family}'s phone")), "{text}");
    let dates: Vec<Date> = text
        .split_whitespace()
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.matches('/').count() == 2)
        .map(|word| Date::strptime("%m/%d/%Y", word).unwrap())
        .collect();
    assert_eq!((dates[1] - dates[0]).get_days(), 14, "{text}");
    assert!(dates[0] != jiff::civil::date(2024, 3, 5), "{text}");
    assert_eq!(
        said(&manifest),
        r#"{"method":"expert-determination","methods":{"date-shift":2,"ff1":1,"generalized":2,"label":1,"surrogate":2}}"#
    );
    let again = rewritten("{}", "mrn 4839201", NOTE, &spans());
    assert_eq!(again.0, text);
    let of_another = rewritten("{}", "mrn 4839202", NOTE, &spans());
    assert_ne!(of_another.0, text);
}

#[test]
fn what_safe_harbor_leaves_is_called_that() {
    let settings = r#"{"dates":"year","names":"label","numbers":[]}"#;
    let (text, manifest) = rewritten(settings, "mrn 4839201", NOTE, &spans());
    assert!(
        text.starts_with("[NAME] (MRN [MRN], aged 90+, MA 021) was seen on 2024 and on 2024."),
        "{text}"
    );
    assert!(said(&manifest).contains(r#""method":"safe-harbor""#));
}

#[test]
fn json_stays_json() {
    let text = r#"{"mrn": 4839201, "text": "seen 2024-03-05", "age":93}"#;
    let at = |value: &str, kind| {
        let start = text.find(value).unwrap();
        span(start, start + value.len(), kind)
    };
    let spans = [
        at("4839201", "mrn"),
        at("2024-03-05", "date"),
        at("93", "age"),
    ];
    let (text, _) = rewritten("{}", "mrn 1", text, &spans);
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&read["mrn"], &read["age"]),
        (&"[MRN]".into(), &"[AGE90]".into())
    );
    assert!(!text.contains("2024-03-05"));
}

#[test]
fn a_patient_is_known_by_the_record_number_however_it_is_written() {
    let fact = |kind: &str, of: &str, value: &str| Fact {
        kind: kind.to_owned(),
        of: of.to_owned(),
        value: value.to_owned(),
    };
    let number = |value| subject(&[fact("mrn", "patient", value)], "r");
    assert_eq!(number("AB-483 920"), number("ab483920"));
    assert_ne!(
        number("483920"),
        subject(&[fact("mrn", "relative", "483920")], "r")
    );
    assert_ne!(subject(&[], "one"), subject(&[], "two"));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let problems = |settings: &str| {
        let refused = DeidText::configure(serde_json::from_str(settings).unwrap()).err();
        refused.map(|problems| {
            problems
                .into_iter()
                .filter_map(|problem| problem.key)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(
        problems(r#"{"shift-days":0,"numbers":["date"]}"#).unwrap(),
        ["shift-days", "numbers"]
    );
    assert!(problems("{}").is_none());
}

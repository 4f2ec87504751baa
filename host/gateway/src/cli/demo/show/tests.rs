use super::super::{DecisionRow, LogRow, SpanRow, TamperedRow};
use super::*;
use expect_test::expect;

/// An invented patient; the escape sequence in the note would clear the screen.
fn report() -> Report {
    let sent = "Pt Marisol Vega, MRN 00412-77, seen 03/14/2031.\u{1b}[2J\n\n\
                Ms. Vega tolerates metoprolol; follow-up by phone 555-0142, preferably before noon, with her daughter \
                present at the call.\n";
    let span = |value: &str, kind: &str, token: &str| {
        let start = sent.find(value).unwrap();
        SpanRow {
            start,
            end: start + value.len(),
            kind: kind.to_owned(),
            token: token.to_owned(),
        }
    };
    let decision = |point: &str, plugin: &str, outcome: &str, fuel, micros| DecisionRow {
        point: point.to_owned(),
        plugin: plugin.to_owned(),
        version: "0.1.0".to_owned(),
        digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
        outcome: outcome.to_owned(),
        fuel,
        micros,
    };
    let second = sent.rfind("Vega").unwrap();
    Report {
        event: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        model: "extractive-1".to_owned(),
        sent: sent.to_owned(),
        seen_by_model: "{\"content\":\"Pt [NAME_7KQ2M], MRN [MRN_B41XX], seen [DATE_99AZT].\"}"
            .to_owned(),
        answered: "[NAME_7KQ2M] was seen [DATE_99AZT]; call [PHONE_00000].".to_owned(),
        restored: "Marisol Vega was seen 03/14/2031; call [PHONE_00000].".to_owned(),
        spans: vec![
            span("03/14/2031", "date", "[DATE_99AZT]"),
            span("Marisol Vega", "name", "[NAME_7KQ2M]"),
            span("00412-77", "mrn", "[MRN_B41XX]"),
            span("555-0142", "phone", "[PHONE_K20PP]"),
            SpanRow {
                start: second,
                end: second + 4,
                kind: "name".to_owned(),
                token: "[NAME_7KQ2M]".to_owned(),
            },
            SpanRow {
                start: 0,
                end: 100_000,
                kind: "name".to_owned(),
                token: "[NAME_AAAAA]".to_owned(),
            },
        ],
        decisions: vec![
            decision("ingress", "cedar-policy", "permit", 1_234_567, 212),
            decision("egress", "extractive", "answered", 98_765, 1_024),
        ],
        log: LogRow {
            entries: 1_812,
            head: format!("sha256:{}", "ab".repeat(32)),
            verified: true,
        },
        tampered: TamperedRow {
            verified: false,
            entry: Some(17),
            file: "00000000000000000000".to_owned(),
            offset: 20_480,
            what: "frame is damaged".to_owned(),
        },
        folder: "/tmp/a demo/tenants/st-marys/log".to_owned(),
    }
}

fn shown(report: &Report, look: Look) -> String {
    let page = Page {
        report,
        marks: Marks::of(report),
        look,
        program: "nephron".to_owned(),
    };
    let mut out = Vec::new();
    page.write("discharge\u{7} summary", &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const PLAIN: Look = Look {
    in_colour: false,
    width: 100,
};
const COLOURED: Look = Look {
    in_colour: true,
    width: 100,
};

#[test]
fn the_five_parts_read_at_a_glance() {
    expect![[r#"
        1  The note as the caller sent it  discharge\u{7} summary
           | Pt [[Marisol Vega|name]], MRN [[00412-77|mrn]], seen [[03/14/2031|date]].\u{1b}[2J
           |
           | Ms. [[Vega|name]] tolerates metoprolol; follow-up by phone [[555-0142|phone]], preferably 
           : before noon, with her daughter present at the call.
           5 identifiers found and replaced: 2 name, 1 mrn, 1 date, 1 phone; marked [[as it stood|kind]]

        2  What the model endpoint sees, byte for byte  66 bytes, model extractive-1
           | {"content":"Pt [NAME_7KQ2M], MRN [MRN_B41XX], seen [DATE_99AZT]."}

        3  What the model answered
           | [NAME_7KQ2M] was seen [DATE_99AZT]; call [PHONE_00000].
           What the caller received, identities restored
           | Marisol Vega was seen 03/14/2031; call [PHONE_00000].

        4  What each plugin decided  2 calls, each on a fresh instance; 1,333,332 fuel and 1,236 µs in all
           point    plugin        version  digest        outcome        fuel     µs
           ingress  cedar-policy  0.1.0    0123456789ab  permit    1,234,567    212
           egress   extractive    0.1.0    0123456789ab  answered     98,765  1,024

        5  What the log holds  event 01ARZ3NDEKTSV4RRFFQ69G5FAV
           the log   1,812 entries, head sha256:abababababababababababababababababababababababababababababababab
                     verified  every entry read back and recomputed from the first
           a copy    one byte flipped: byte 20,480 of 00000000000000000000
                     NOT verified: entry 17: frame is damaged

        The log is in /tmp/a demo/tenants/st-marys/log. To go on:
           nephron audit show '/tmp/a demo/tenants/st-marys/log'  # read it
           nephron demo --note FILE                               # a note of your own; `-` is standard input
           nephron demo --upstream URL --model NAME               # an OpenAI-compatible server instead of the sandbox
    "#]].assert_eq(&shown(&report(), PLAIN));
}

#[test]
fn without_colour_no_escape_byte_is_written_and_with_it_only_styles_are() {
    let controls = |text: &str| {
        text.chars()
            .filter(|c| c.is_control() && *c != '\n')
            .count()
    };
    assert_eq!(controls(&shown(&report(), PLAIN)), 0);
    let coloured = shown(&report(), COLOURED);
    assert!(
        coloured.contains("\u{1b}[35m\u{1b}[1m[NAME_7KQ2M]")
            || coloured.contains("\u{1b}[1m\u{1b}[35m[NAME_7KQ2M]")
    );
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(controls(&stripped), 0);
    assert!(
        !coloured.contains("\u{1b}[2J"),
        "the note's own escape sequence"
    );
    assert!(stripped.contains("Marisol Vega\u{b7}name"), "{stripped}");
}

#[test]
fn the_model_s_bytes_are_shown_whole() {
    let mut report = report();
    report.seen_by_model = format!("{{\"content\":\"{}\"}}", "[NAME_7KQ2M] word ".repeat(60));
    let text = shown(&report, PLAIN);
    let (_, part) = text.split_once("\n2  ").unwrap();
    let (part, _) = part.split_once("\n3  ").unwrap();
    let joined: String = part
        .lines()
        .skip(1)
        .filter_map(|line| line.get(5..))
        .collect();
    assert_eq!(joined, report.seen_by_model);
}

#[test]
fn a_restored_value_is_highlighted_and_a_token_left_in_place_is_not_taken_for_one() {
    let highlighted = |answered: &str, restored: &str| {
        let report = Report {
            answered: answered.to_owned(),
            restored: restored.to_owned(),
            ..report()
        };
        let mut out = Vec::new();
        Marks::of(&report)
            .in_restored(answered, restored, COLOURED)
            .write(COLOURED, &mut out)
            .unwrap();
        let coloured = String::from_utf8(out).unwrap();
        let text = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(text.trim_end().trim_start_matches("   | "), restored);
        // Underlined stretches are what was put back.
        coloured
            .split("\u{1b}[4m")
            .skip(1)
            .map(|rest| {
                let rest = rest
                    .trim_start_matches("\u{1b}[35m")
                    .trim_start_matches("\u{1b}[33m")
                    .trim_start_matches("\u{1b}[36m");
                rest.split('\u{1b}').next().unwrap_or_default().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        highlighted(
            "[NAME_7KQ2M] saw [DATE_99AZT]",
            "Marisol Vega saw 03/14/2031"
        ),
        ["Marisol Vega", "03/14/2031"]
    );
    assert_eq!(
        highlighted("[NAME_7KQ2M], [NAME_7KQ2M]!", "Vega, Marisol Vega!"),
        ["Vega", "Marisol Vega"]
    );
    assert_eq!(
        highlighted("[NAME_7KQ2M] and [MRN_B41XX]", "[NAME_7KQ2M] and 00412-77"),
        ["00412-77"]
    );
    assert!(highlighted("[NAME_7KQ2M] x", "somebody else").is_empty());
}

#[test]
fn a_log_that_does_not_verify_or_a_copy_that_does_is_said_so() {
    let mut report = report();
    report.log.verified = false;
    report.tampered.verified = true;
    report.folder.clear();
    let text = shown(&report, PLAIN);
    let (_, end) = text.split_once("5  What the log holds").unwrap();
    expect![[r#"
          event 01ARZ3NDEKTSV4RRFFQ69G5FAV
           the log   1,812 entries, head sha256:abababababababababababababababababababababababababababababababab
                     NOT verified
           a copy    one byte flipped: byte 20,480 of 00000000000000000000
                     verified  which must not be: please report this

        The log lay in a temporary folder and is gone. To go on:
           nephron demo --data FOLDER                # keep tenant, keys and log in a folder
           nephron demo --note FILE                  # a note of your own; `-` is standard input
           nephron demo --upstream URL --model NAME  # an OpenAI-compatible server instead of the sandbox
    "#]].assert_eq(end);
}

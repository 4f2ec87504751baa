use nephron_sdk::detector::{Message, Part, RequestInfo};
use nephron_sdk::types::{Caller, Instant, Sensitivity};

use super::*;

/// As Presidio's documentation has it (`example_recognizers.yaml`), with what the rest of its form knows.
const WARD: &str = include_str!("../../../examples/policies/presidio/ward.yaml");

fn settings(yaml: &str) -> Settings {
    Settings {
        recognizers: Files::One(yaml.to_owned()),
        language: english(),
        score_threshold: 0.0,
        kinds: BTreeMap::new(),
        predefined: Predefined::Refuse,
    }
}

fn told(problems: Vec<Problem>) -> String {
    let told = problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.key.unwrap_or_default(), problem.message));
    told.collect::<Vec<_>>().join("\n")
}

fn configured(settings: Settings) -> PresidioRecognizers {
    PresidioRecognizers::configure(settings)
        .map_err(told)
        .unwrap()
}

fn refused(settings: Settings) -> String {
    PresidioRecognizers::configure(settings)
        .map_err(told)
        .err()
        .unwrap()
}

/// A recogniser of one pattern.
fn one(regex: &str, more: &str) -> String {
    let regex = regex.replace('\'', "''");
    format!(
        "recognizers:\n- name: One\n  supported_entity: US_SSN\n  patterns:\n  - {{name: p, regex: '{regex}', score: 0.5}}\n{more}"
    )
}

/// What is found, as `text|kind|score|rule`.
fn found(plugin: &PresidioRecognizers, text: &str) -> Vec<String> {
    let found = plugin.search(text).map_err(|error| format!("{error:?}"));
    let shown = |found: Found<'_>| {
        let shown = text.get(found.start..found.end).unwrap();
        format!("{shown}|{}|{:.2}|{}", found.kind, found.score, found.rule)
    };
    found.unwrap().into_iter().map(shown).collect()
}

/// The texts that one pattern finds.
fn matches(regex: &str, more: &str, text: &str) -> Vec<String> {
    let plugin = configured(settings(&one(regex, more)));
    let found = plugin.search(text).map_err(|error| format!("{error:?}"));
    found
        .unwrap()
        .iter()
        .map(|found| text.get(found.start..found.end).unwrap().to_owned())
        .collect()
}

#[test]
fn a_file_of_presidios_is_taken_as_it_stands() {
    let plugin = configured(settings(WARD));
    let text = "Dr. Okafor saw Ms. Castellane. Her bracelet reads W-20417 and the locker code is 20418; plan CHF-77-K9.";
    assert_eq!(
        found(&plugin, text),
        [
            "Dr.|other|1.00|Titles recognizer: deny_list",
            "Ms.|other|1.00|Titles recognizer: deny_list",
            "W-20417|id|0.95|Ward bracelet: bracelet (strong)",
            "20418|id|0.40|Ward bracelet: bracelet (weak)",
            "CHF-77-K9|health-plan|0.80|Care plan: plan",
        ]
    );
}

#[test]
fn scores_are_raised_as_presidio_does() {
    let file = |score: &str| {
        format!(
            "recognizers:\n- name: Zip\n  supported_entity: ZIP\n  context: [zip, Code]\n  patterns:\n  - {{name: p, regex: '\\b\\d{{5}}\\b', score: {score}}}\n"
        )
    };
    // What Presidio 2.2.366 with spaCy's small English model gives, but for what a comment says.
    for (score, text, expected) in [
        ("0.01", "it is 12345", "12345|geo|0.01|Zip: p"),
        ("0.01", "zip 12345", "12345|geo|0.40|Zip: p"),
        ("0.5", "her ZIP is 12345", "12345|geo|0.85|Zip: p"),
        ("0.9", "zip: 12345", "12345|geo|1.00|Zip: p"),
        // In another word; and, where Presidio leaves it at 0.2, in the one that holds the finding.
        ("0.2", "postcodes 12345", "12345|geo|0.55|Zip: p"),
        ("0.2", "zip:12345", "12345|geo|0.55|Zip: p"),
        // Five words that count, and a sixth. Words behind do not count.
        (
            "0.2",
            "zip green red of the blue and white 12345",
            "12345|geo|0.55|Zip: p",
        ),
        (
            "0.2",
            "zip one two three four five 12345",
            "12345|geo|0.55|Zip: p",
        ),
        (
            "0.2",
            "zip green red blue white black 12345",
            "12345|geo|0.20|Zip: p",
        ),
        ("0.2", "12345 zip", "12345|geo|0.20|Zip: p"),
    ] {
        assert_eq!(
            found(&configured(settings(&file(score))), text),
            [expected],
            "{text}"
        );
    }
    let above = Settings {
        score_threshold: 0.4,
        ..settings(&file("0.01"))
    };
    assert_eq!(found(&configured(above), "12345 and zip 54321").len(), 1);
    let own = file("0.5").replace(
        "  context",
        "  score_thresholds: {default: 0.9, ZIP: 0.8}\n  context",
    );
    assert_eq!(
        found(&configured(settings(&own)), "12345 and zip 54321").len(),
        1
    );
}

#[test]
fn deny_lists_hold_whole_words_and_any_characters() {
    let yaml = "recognizers:\n- name: List\n  supported_entity: X\n  deny_list: [Mr., c++, \"Santa Fe\"]\n  deny_list_score: 0.7\n";
    let plugin = configured(settings(yaml));
    let list = |text: &str| -> Vec<String> {
        let found = found(&plugin, text);
        found
            .iter()
            .map(|one| one.split('|').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        list("mr. C++\nSanta Fe, xMr. c++x Mr"),
        ["mr.", "C++", "Santa Fe"]
    );
    assert_eq!(found(&plugin, "Mr.")[0], "Mr.|other|0.70|List: deny_list");
}

#[test]
fn patterns_mean_what_they_mean_in_python() {
    // Each as Python's `regex` finds it, under the flags I, M and S.
    for (regex, text, expected) in [
        (r"(?<=MRN )\d+(?!\d|X)", "MRN 123 MRN 45X", &["123"][..]),
        (r"(?P<d>\d)(?P=d)\1", "111 121 222", &["111", "222"]),
        (r"^a.b$", "x\na\nb\ny", &["a\nb"]),
        (r"a\Z", "a\na", &["a"]),
        (r"[[a]x", "[x ax ]x", &["[x", "ax"]),
        (r"[a&&b]+", "a&b", &["a&b"]),
        (r"[+--]+", "+,-", &["+,-"]),
        (r"\<b\>", "<b> b", &["<b>"]),
        (r"[\b]\x41\u0042", "\u{8}AB", &["\u{8}AB"]),
        (r"\d+", "٣٤ 12", &["٣٤", "12"]),
        (r"(?:ab)++b", "abb", &["abb"]),
        (r"(?>a|ab)c", "abc ac", &["ac"]),
        (r"straße", "STRASSE Straße", &["Straße"]),
        (r"\é\-\_", "é-_", &["é-_"]),
        (r"a{,2}b", "aab b", &["aab", "b"]),
        (r"a{x}{2}", "a{x} a{x}}", &["a{x}}"]),
    ] {
        assert_eq!(matches(regex, "", text), expected, "{regex}");
    }
    for (regex, flags, text, expected) in [
        ("abc", 0, "ABC abc", &["abc"][..]),
        ("a$", 0, "a\na\n", &["a"]),
        ("a.b", 2, "A\nb Axb", &["Axb"]),
        ("a [ ] b # c", 64, "a b", &["a b"]),
        ("a [ ] b # c", 66, "A b a  b", &["A b"][..]),
    ] {
        let flags = format!("  global_regex_flags: {flags}\n");
        assert_eq!(matches(regex, &flags, text), expected, "{regex} {flags}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_place() {
    for (regex, expected) in [
        (
            r"a\K",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 3: `\\K` is not followed here",
        ),
        (
            r"ab\y",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 4: `\\y` is not followed here",
        ),
        (
            r"a[b",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 2: `[` is not closed",
        ),
        (
            r"[[:alpha:]]",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 2: classes by name",
        ),
        (
            r"(?R)",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 1: `(?R)` is not followed here",
        ),
        (
            r"(?L)a",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 1: `(?L)a` is not followed here",
        ),
        (
            r"(a){e<=1}",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 4: matching with errors",
        ),
        (
            r"\0",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: character 2: octal",
        ),
        (
            r"(a",
            "recognizers: recognizers[0].patterns[0]: `One`, `p`: is no pattern",
        ),
    ] {
        let said = refused(settings(&one(regex, "")));
        assert!(said.starts_with(expected), "{regex}: {said}");
    }
    for (yaml, expected) in [
        (one("a", "  global_regex_flags: 1024\n"), "recognizers: recognizers[0].patterns[0]: `One`, `p`: the regex flags 1024 hold 1024"),
        (one("a", "").replace("0.5", "1.5"), "recognizers: recognizers[0].patterns[0]: `One`, `p`: `score` must be"),
        ("recognizers:\n- name: X\n  supported_entity: X\n".to_owned(), "recognizers: recognizers[0]: `X` has neither `patterns` nor a `deny_list`"),
        ("recognizers:\n- name: X\n  deny_list: [a]\n".to_owned(), "recognizers: recognizers[0]: `X` lacks its `supported_entity`"),
        ("recognizers: [\n".to_owned(), "recognizers: "),
        ("recognisers: []\n".to_owned(), "recognizers: unknown field `recognisers`"),
        (
            "recognizers:\n- {name: CreditCardRecognizer, type: predefined}\n- SpacyRecognizer\n- {name: X, type: predefined, enabled: false}\n- {name: Y, type: predefined, supported_languages: [es]}\n".to_owned(),
            "recognizers: recognizers[0]: `CreditCardRecognizer` is code of Presidio's",
        ),
        (one("a", "  supported_language: de\n"), "recognizers: holds no recogniser for the language `en`"),
    ] {
        let said = refused(settings(&yaml));
        assert!(said.starts_with(expected), "{said}");
        if yaml.contains("SpacyRecognizer") {
            assert!(said.contains("`SpacyRecognizer`") && said.lines().count() == 2, "{said}");
        }
    }
    let left_out = Settings {
        predefined: Predefined::LeaveOut,
        ..settings(&format!("{}- SpacyRecognizer\n", one("a", "")))
    };
    assert_eq!(configured(left_out).recognizers.len(), 1);
}

#[test]
fn languages_countries_and_kinds_are_chosen() {
    let yaml = "supported_languages: [en, es]\nsupported_countries: [us]\nrecognizers:\n\
        - {name: A, supported_entity: E, supported_languages: [{language: en, context: [a]}, {language: es}], deny_list: [one]}\n\
        - {name: B, supported_entity: E, supported_languages: [es], deny_list: [two]}\n\
        - {name: C, supported_entity: E, country_code: uk, deny_list: [three]}\n\
        - {name: D, supported_entities: [EMPLOYEE], country_code: US, type: custom, version: 0.1, deny_list: [four]}\n";
    let text = "one two three four";
    assert_eq!(
        found(&configured(settings(yaml)), text),
        [
            "one|other|1.00|A: deny_list",
            "four|other|1.00|D: deny_list"
        ]
    );
    let spanish = Settings {
        language: "es".to_owned(),
        kinds: [("E".to_owned(), "name".to_owned())].into(),
        ..settings(yaml)
    };
    assert_eq!(
        found(&configured(spanish), text),
        [
            "one|name|1.00|A: deny_list",
            "two|name|1.00|B: deny_list",
            "four|other|1.00|D: deny_list"
        ]
    );
    for (entity, expected) in [
        ("PERSON", "name"),
        ("UK_POSTCODE", "geo"),
        ("UK_NINO", "id"),
        ("IN_AADHAAR", "id"),
        ("US_SSN", "ssn"),
        ("TITLE", "other"),
    ] {
        assert_eq!(kind::of(entity), expected);
    }
}

#[test]
fn what_overlaps_is_one_finding_of_the_surest() {
    let yaml = "recognizers:\n\
        - {name: A, supported_entity: URL, patterns: [{name: p, regex: 'x\\w+', score: 0.3}]}\n\
        - {name: B, supported_entity: US_SSN, patterns: [{name: p, regex: '\\d+-', score: 0.6}, {name: q, regex: 'nothing', score: 0}]}\n";
    let plugin = configured(settings(yaml));
    assert_eq!(
        found(&plugin, "x12-x3 nothing"),
        ["x12-|ssn|0.60|B: p", "x3|url|0.30|A: p"]
    );
}

#[test]
fn a_pattern_that_goes_back_and_forth_is_an_error_and_not_a_miss() {
    let plugin = configured(settings(&one(r"^(?:(a+)\1?)+b", "")));
    let error = plugin.search(&format!("{}c", "a".repeat(60))).unwrap_err();
    let said = format!("{error:?}");
    assert!(said.contains("One: p") && !said.contains("aaa"), "{said}");
}

#[test]
fn strings_of_json_are_searched_and_found_where_they_stand() {
    let plugin = configured(settings(&one(r"\d{3}-é", "")));
    let json = "{\"123-é\": [\"a\\n123-\\u00e9\\ud83d\\ude00\", 123], \"b\": {\"c\": \"456-é\"}}";
    let message = Message {
        role: "user".to_owned(),
        name: None,
        parts: vec![Part::Text("123-é".to_owned()), Part::Json(json.to_owned())],
    };
    let info = RequestInfo {
        id: String::new(),
        tenant: String::new(),
        received_at: Instant {
            seconds: 0,
            nanoseconds: 0,
        },
        caller: Caller {
            id: String::new(),
            roles: Vec::new(),
            attributes: Vec::new(),
        },
        purpose: String::new(),
        sensitivity: Sensitivity::Phi,
        attributes: Vec::new(),
    };
    let spans = plugin.detect(info, vec![message]).unwrap();
    let places: Vec<_> = spans
        .iter()
        .map(|span| (span.part, span.start as usize, span.end as usize))
        .collect();
    let texts: Vec<&str> = places
        .iter()
        .skip(1)
        .map(|(_, start, end)| json.get(*start..*end).unwrap())
        .collect();
    assert_eq!(places[0], (0, 0, 6));
    assert_eq!(texts, ["123-\\u00e9", "456-é"]);
}

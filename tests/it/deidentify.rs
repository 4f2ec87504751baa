//! `nephron deidentify`, as a user runs it.

use std::path::Path;

use nephron_tests::{CANARIES, CANARY_NOTE};
use serde_json::{Value, json};

use super::demo::{data, run, words};

/// One folder of files and one of data; the demo's has the plugins compiled.
struct Bench {
    data: tempfile::TempDir,
    files: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            data: data(),
            files: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Exit code, what was written, and what was said.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let data = self.data.path().to_str().unwrap();
        let output = run(&[&["deidentify", "--data", data], arguments].concat());
        let (code, said) = words(&output);
        let written = String::from_utf8(output.stdout).unwrap();
        for text in [&written, &said] {
            assert!(!text.to_lowercase().contains("compliant"), "{text}");
        }
        (code, written, said)
    }

    fn done(&self, arguments: &[&str]) -> String {
        let (code, written, said) = self.run(arguments);
        assert_eq!(code, 0, "{said}");
        written
    }

    /// The entries of the log, as `audit show` has them.
    fn entries(&self) -> Vec<Value> {
        let log = self.data.path().join("tenants/local/log");
        let shown = run(&["audit", "show", log.to_str().unwrap(), "--json"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        shown
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn assert_clear(text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}

#[test]
fn files_of_every_format_lose_their_identifiers_and_nothing_else() {
    let bench = Bench::new();
    // Longer than a piece, so that it is cut.
    let filler = "Lungs are clear, and the abdomen is soft.\n\n".repeat(9_000);
    let note = bench.file(
        "note.txt",
        &format!("{CANARY_NOTE}\n\n{filler}{CANARY_NOTE}"),
    );
    let cleared = bench.done(&[&note]);
    assert_clear(&cleared);
    assert!(cleared.contains(&filler), "what lies outside is as it was");
    assert!(cleared.contains("[NAME]"), "{cleared:.300}");

    let lines = [
        json!({ "id": 1, "note": CANARY_NOTE, "mrn": 90210557, "score": 7 }),
        json!({ "id": 2, "Alma Thistlewood": { "age": 93 }, "dose": 12.50 }),
    ];
    let jsonl = bench.file(
        "notes.jsonl",
        &lines.map(|line| format!("{line}\n")).concat(),
    );
    let fhir = json!({ "resourceType": "Bundle", "entry": [{ "resource": {
        "resourceType": "Patient", "name": [{ "family": "Thistlewood", "given": ["Alma"] }], "birthDate": "1956-03-12",
    } }] });
    let fhir = bench.file("bundle.fhir", &fhir.to_string());
    let hl7 = bench.file(
        "a.hl7",
        "MSH|^~\\&|A|B|C|D|20240509||ADT^A01|7|P|2.5\rPID|1||5583920^^^M^MR||Thistlewood^Alma\rZPD|oak tree\r",
    );
    let out = bench.files.path().join("out");
    let manifest = bench.files.path().join("manifest.jsonl");
    let places = [
        "--out",
        out.to_str().unwrap(),
        "--manifest",
        manifest.to_str().unwrap(),
    ];
    bench.done(&[&[jsonl.as_str(), &fhir, &hl7], places.as_slice()].concat());
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let written = read("notes.jsonl");
    assert_clear(&written);
    let rows: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&rows[0]["mrn"], &rows[0]["score"]),
        (&json!("[MRN]"), &json!(7))
    );
    assert_eq!(
        rows[1],
        json!({ "id": 2, "[NAME]": { "age": "[AGE90]" }, "dose": 12.50 })
    );
    let bundle: Value = serde_json::from_str(&read("bundle.fhir")).unwrap();
    let patient = &bundle["entry"][0]["resource"];
    assert_eq!(
        patient["name"][0],
        json!({ "family": "[NAME]", "given": ["[NAME]"] })
    );
    assert_eq!(patient["birthDate"], "[DATE]");
    let message = read("a.hl7");
    assert!(
        message.contains("||[NAME]^[NAME]\r") && message.contains("||[MRN]^^^"),
        "{message}"
    );
    assert!(message.ends_with("\rZPD|[ID]\r"), "{message}");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let last: Value = serde_json::from_str(manifest.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["unexamined"], &last["counts"]["mrn"]),
        (&json!(1), &json!(1)),
        "{last}"
    );
    assert!(
        !manifest.contains("oak tree") && !manifest.contains("Thistlewood"),
        "{manifest}"
    );
    let (code, _, said) = bench.run(&[&jsonl, "--out", out.to_str().unwrap()]);
    assert!(
        code == 2 && said.contains("is there already"),
        "{code} {said}"
    );

    // Each run is in the log, by its counts.
    let entries = bench.entries();
    let runs: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["kind"] == "deidentified")
        .collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(
        (&runs[1]["counts"]["texts"], &runs[1]["counts"]["age"]),
        (&json!(4), &json!(1))
    );
    assert!(runs.iter().all(|run| run["payload"].is_null()), "{runs:?}");
    assert_clear(&Value::from(entries).to_string());
}

#[test]
fn spans_and_reasons_are_told_as_they_were_asked_for() {
    let bench = Bench::new();
    let text = "Ünal 🩺: seen by Dr. Holloway; xqvor wexhurdle slept";
    let line = json!({ "id": ["a", 7], "text": text, "spans": [], "known": { "name": "Wexhurdle, Xqvor" } });
    let set = bench.file("set.txt", &format!("{line}\n\n"));
    let predicted: Value = serde_json::from_str(&bench.done(&["--spans", &set])).unwrap();
    assert_eq!(predicted["id"], json!(["a", 7]));
    let points: Vec<char> = text.chars().collect();
    let covered: Vec<(String, &str)> = predicted["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| {
            let at = |name: &str| span[name].as_u64().unwrap() as usize;
            let value = points[at("start")..at("end")].iter().collect();
            (value, span["label"].as_str().unwrap())
        })
        .collect();
    let name = |value: &str| (value.to_owned(), "NAME");
    assert_eq!(
        covered,
        [name("Ünal"), name("Holloway"), name("xqvor wexhurdle")]
    );

    let note = bench.file(
        "note.txt",
        "<b>Dr. Holloway</b>\u{1b}[2J called 503-555-0144.",
    );
    let known = bench.file("known.json", r#"{"staff": "Holloway"}"#);
    let rows = bench.done(&["--json", "--known", &known, &note]);
    let row: Value = serde_json::from_str(&rows).unwrap();
    let span = &row["spans"][0];
    assert_eq!(
        (&span["rule"], &span["by"], &span["method"]),
        (
            &json!("record-staff"),
            &json!("record"),
            &json!("safe-harbor")
        )
    );
    let shown = bench.done(&["--explain", &note]);
    assert!(
        shown.contains("[[Holloway|NAME]]") && shown.contains("name-after-title"),
        "{shown}"
    );
    let page = bench.done(&["--explain=html", &note]);
    assert!(
        page.contains("&lt;b&gt;Dr. <mark class=\"name\"") && page.ends_with("</html>\n"),
        "{page}"
    );
    assert!(
        !page.contains("<b>") && !page.contains('\u{1b}') && !page.contains("://"),
        "{page}"
    );
}

#[test]
fn a_run_that_may_not_be_or_cannot_be_says_why_and_the_log_has_it() {
    let bench = Bench::new();
    let note = bench.file("note.txt", CANARY_NOTE);
    let (code, written, said) = bench.run(&["--no-log", &note]);
    assert!(
        code == 4 && written.is_empty() && said.contains("no-policy-permits"),
        "{code} {said}"
    );
    let (code, written, said) = bench.run(&["--purpose", "HMARKT", &note]);
    assert!(
        code == 4 && written.is_empty() && said.contains("marketing"),
        "{code} {said}"
    );
    let entries = bench.entries();
    let closed: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["kind"] == "request-closed")
        .collect();
    assert!(
        closed.len() == 2 && closed.iter().all(|entry| entry["outcome"] == "denied"),
        "{closed:?}"
    );

    let broken = bench.file("broken.json", &format!("{{\"a\":\"{CANARY_NOTE}"));
    let wrong = bench.file("wrong.jsonl", "{\"txt\": \"Zebulon\"}\n");
    let known = bench.file("known.json", "{\"shoe-size\": \"Zebulon\"}");
    for (arguments, expected, told) in [
        (vec![broken.as_str()], 1, "ends inside a string"),
        (vec!["--spans", &wrong], 1, "line 1"),
        (vec!["--known", &known, &note], 2, "`known` has a field"),
        (vec!["no-such-file.txt"], 1, "no-such-file.txt"),
        (
            vec!["--caller", "Zebulon Quackenbush", &note],
            2,
            "--caller",
        ),
    ] {
        let (code, written, said) = bench.run(&arguments);
        assert!(
            code == expected && said.contains(told),
            "{arguments:?}: {code} {said}"
        );
        assert_clear(&format!("{written}{said}"));
        assert!(!said.contains("Zebulon"), "{said}");
    }
    let verified = run(&[
        "audit",
        "verify",
        Path::new(bench.data.path())
            .join("tenants/local/log")
            .to_str()
            .unwrap(),
    ]);
    assert!(verified.status.success());
}

/// The dates of a text that are written as in `2024-03-05`, in days since an unspecified one.
fn dates(text: &str) -> Vec<i64> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '-');
    let of = |word: &str| -> Option<i64> {
        let mut parts = word.split('-').map(str::parse::<i64>);
        let (year, month, day) = (
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        );
        // Thirty days a month tell as much as the calendar within one.
        Some(year * 360 + month * 30 + day)
    };
    words.filter_map(of).collect()
}

#[test]
fn a_transformer_writes_what_reads_on_and_the_log_says_by_which_method() {
    let bench = Bench::new();
    let known = json!({ "mrn": "4839201", "name": "Quackenbush, Zebulon" });
    let known = bench.file("known.json", &known.to_string());
    let first = "Zebulon Quackenbush (MRN 4839201) was seen on 2024-03-05 and again on 2024-03-19.";
    let second = "MRN: 4839201. Seen 2024-03-05. Mr. Quackenbush feels well.";
    let (first, second) = (bench.file("1.txt", first), bench.file("2.txt", second));
    let manifest = bench.files.path().join("manifest.jsonl");
    let arguments = ["--transform", "deid-text", "--known", &known];
    let listed = ["--manifest", manifest.to_str().unwrap(), &first];
    let (code, written, said) = bench.run(&[&arguments[..], &listed].concat());
    assert_eq!(code, 0, "{said}");
    for value in [
        "Zebulon",
        "Quackenbush",
        "4839201",
        "2024-03-05",
        "2024-03-19",
        "[",
    ] {
        assert!(!written.contains(value), "{value} in {written}");
    }
    let of_first = dates(&written);
    let elsewhere = bench.done(&[&arguments[..], &[&second]].concat());
    assert_eq!(
        dates(&elsewhere).first(),
        of_first.first(),
        "{written} {elsewhere}"
    );
    let family = written.split_whitespace().nth(1).unwrap();
    assert!(
        elsewhere.contains(&format!("Mr. {family}")),
        "{written} {elsewhere}"
    );
    let number = |text: &str| -> String {
        let (_, behind) = text.split_once("MRN").unwrap();
        let digits = behind.chars().skip_while(|c| !c.is_ascii_digit());
        digits.take_while(char::is_ascii_digit).collect()
    };
    assert_eq!(number(&written), number(&elsewhere));

    let row: Value = serde_json::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
    assert_eq!(row["method"], "expert-determination");
    assert_eq!(row["left"], 0);
    assert_eq!(row["transformer"][0]["methods"]["date-shift"], 2, "{row}");
    let entries = bench.entries();
    let run = entries
        .iter()
        .find(|entry| entry["kind"] == "deidentified")
        .unwrap();
    assert_eq!(run["facts"]["method"], "expert-determination", "{run}");
    assert_eq!(run["counts"]["transformed"], 4, "{run}");
    let uses = entries.iter().filter(|entry| entry["kind"] == "key-used");
    assert!(
        uses.clone().count() >= 6,
        "each use of the lent key: {entries:?}"
    );

    // A FHIR resource a line, by the published sample of Microsoft's configuration.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/deid-fhir/tests/golden");
    let settings = golden.join("configuration-sample.json");
    let patient = json!({
        "resourceType": "Patient", "id": "p1", "birthDate": "1950-03-05",
        "name": [{ "family": "Quackenbush", "given": ["Zebulon"] }],
    });
    let lines = bench.file("p.ndjson", &format!("{patient}\n{patient}\n"));
    let arguments = [
        "--transform",
        "deid-fhir",
        "--transform-settings",
        settings.to_str().unwrap(),
    ];
    let written = bench.done(&[&arguments[..], &[&lines]].concat());
    let read: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((read.len(), &read[0]), (2, &read[1]));
    assert!(
        read[0]["name"].is_null() && read[0]["birthDate"] != "1950-03-05",
        "{written}"
    );
    let cut = bench.file("cut.fhir.json", "{\"resourceType\":\"Patient\"}{\"a\"");
    let (code, _, said) = bench.run(&[&arguments[..], &["--format", "fhir", &cut]].concat());
    assert!(code != 0 && said.contains("not JSON"), "{said}");
}

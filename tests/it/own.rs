//! Our own API, through the listener: what the gateway does for an application without a model.

use std::time::Duration;

use hyper::Method;
use nephron_gateway::{REPLACEMENTS, RESTORATION, Replacement, Restoration};
use nephron_keys::{ApiKey, FIELDS};
use nephron_model::{EntryKind, EventId};
use nephron_tests::{CANARIES, CANARY_NOTE, NOW, Received, Served, Setup, sdk};
use serde_json::{Value, json};

use super::canary::{assert_clean, assert_files_clean, heard};

const NAME: &str = "Patient: Zebulon Quackenbush has asthma.";

pub(super) async fn post(served: &Served, path: &str, key: &str, body: &Value) -> Received {
    served
        .call(Method::POST, path, key, &body.to_string())
        .await
}

/// As the physician at St Mary's, who must be answered.
pub(super) async fn done(served: &Served, path: &str, body: &Value) -> Value {
    let received = post(served, path, &served.physician, body).await;
    assert_eq!(received.status, 200, "{path}: {}", received.text);
    let answer = received.json();
    assert_eq!(received.header("x-request-id"), answer["event"].as_str());
    answer
}

fn event(answer: &Value) -> Option<EventId> {
    Some(answer["event"].as_str().unwrap().parse().unwrap())
}

/// A key for St Mary's, and the configuration that knows it.
pub(super) fn key_of(caller: &str, role: &str, purpose: &str) -> (String, String) {
    let key = ApiKey::draw().unwrap();
    let toml = format!(
        "[[api-key]]\nid = \"{}\"\ndigest = \"{}\"\ntenant = \"st-marys\"\ncaller = \"{caller}\"\n\
         roles = [\"{role}\"]\npurposes = [\"{purpose}\"]\nexpires = 2030-01-01\n",
        caller.replace('.', "-"),
        key.digest()
    );
    (key.reveal().to_owned(), toml)
}

/// Code and status of a refusal; nothing of what was sent stands in it.
pub(super) fn refused(received: &Received) -> (u16, String) {
    let error = &received.json()["error"];
    assert!(error["message"].is_string() && error["type"].is_string());
    for canary in CANARIES {
        assert!(!received.text.contains(canary), "{}", received.text);
    }
    (
        received.status,
        error["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_lose_their_identifiers_and_get_them_back() {
    let served = Setup::default().serve("").await;
    let texts = [
        format!("é {CANARY_NOTE}"),
        "Nothing here.".to_owned(),
        "Typed: [NAME_7KQ2M]".to_owned(),
    ];
    let cleared = done(&served, "/v1/deidentify", &json!({ "texts": texts })).await;
    assert_eq!(cleared["method"], "safe-harbor");
    let answer = cleared.to_string();
    for canary in CANARIES {
        assert!(!answer.contains(canary), "{canary} in {answer}");
    }
    // Spans are of the original, in bytes; what is outside them is as it was.
    for (original, cleared) in texts.iter().zip(cleared["texts"].as_array().unwrap()) {
        let mut rebuilt = String::new();
        let mut from = 0;
        for span in cleared["spans"].as_array().unwrap() {
            let place = |name: &str| span[name].as_u64().unwrap() as usize;
            rebuilt += &original[from..place("start")];
            rebuilt += span["token"].as_str().unwrap();
            from = place("end");
            let confidence = span["confidence"].as_f64().unwrap();
            assert!(confidence > 0.0 && confidence <= 1.0, "{span}");
            assert!(
                span["kind"] == "literal" || span["rule"].is_string(),
                "{span}"
            );
        }
        rebuilt += &original[from..];
        assert_eq!(cleared["text"], rebuilt.as_str());
    }
    let tokenized: Vec<&Value> = cleared["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| &text["text"])
        .collect();
    let ask = json!({ "texts": tokenized, "conversation": cleared["conversation"] });
    let restored = done(&served, "/v1/reidentify", &ask).await;
    assert_eq!(restored["texts"], json!(texts));
    assert_eq!(restored["unknown"], 0);

    let rig = served.reopened().await;
    let (first, second) = (event(&cleared), event(&restored));
    let kinds = |id| {
        rig.story(id)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(first),
        [
            EntryKind::RequestOpened,
            EntryKind::Decision,
            EntryKind::Decision,
            EntryKind::GrantMinted,
            EntryKind::KeyUsed,
            EntryKind::Deidentified,
            EntryKind::RequestClosed
        ]
    );
    assert_eq!(
        kinds(second),
        [
            EntryKind::RequestOpened,
            EntryKind::Decision,
            EntryKind::GrantMinted,
            EntryKind::KeyUsed,
            EntryKind::Reidentified,
            EntryKind::RequestClosed
        ]
    );
    for (id, operation) in [(first, "deidentify"), (second, "reidentify")] {
        for entry in rig.entries(id) {
            let header = entry.header;
            if !matches!(header.kind, EntryKind::GrantMinted | EntryKind::KeyUsed) {
                assert_eq!(header.facts["operation"], operation, "{:?}", header.kind);
            }
        }
    }
    // What was replaced, and what the caller got, is known to an auditor with a grant.
    let payload = async |id, kind: EntryKind, what: &str| {
        let entries = rig.entries(id);
        let entry = entries.iter().find(|entry| entry.header.kind == kind);
        rig.payload(entry.unwrap(), what).await
    };
    let replaced = payload(first, EntryKind::Deidentified, REPLACEMENTS).await;
    let replaced: Vec<Replacement> = serde_json::from_slice(&replaced).unwrap();
    assert!(
        replaced
            .iter()
            .any(|place| (place.message, place.kind.as_str()) == (2, "literal"))
    );
    let given = payload(second, EntryKind::Reidentified, RESTORATION).await;
    let given: Restoration = serde_json::from_slice(&given).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&given.restored).unwrap(),
        json!(texts)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_tokens_are_worth_nothing_to_others() {
    let (nurse, toml) = key_of("n.bellweather", "nurse", "TREAT");
    let served = Setup::default().and(&toml).serve("").await;
    let cleared = done(
        &served,
        "/v1/deidentify",
        &json!({ "text": NAME, "conversation": "ward-7" }),
    )
    .await;
    assert_eq!(cleared["conversation"], "ward-7");
    let text = cleared["texts"][0]["text"].clone();
    let again = done(
        &served,
        "/v1/deidentify",
        &json!({ "text": NAME, "conversation": "ward-7" }),
    )
    .await;
    assert_eq!(
        again["texts"][0]["text"], text,
        "a value keeps its token within a conversation"
    );
    // Another tenant, another caller, another conversation: each gets the token back, and it is counted.
    for (key, conversation) in [
        (&served.lakeside, "ward-7"),
        (&nurse, "ward-7"),
        (&served.physician, "ward-8"),
    ] {
        let ask = json!({ "text": text, "conversation": conversation });
        let received = post(&served, "/v1/reidentify", key, &ask).await;
        let answer = received.json();
        assert_eq!(answer["texts"], json!([text]), "{}", received.text);
        assert_eq!(
            (&answer["restored"], &answer["unknown"]),
            (&json!(0), &json!(1))
        );
    }
    let ask = json!({ "text": text, "conversation": "ward-7" });
    assert_eq!(
        done(&served, "/v1/reidentify", &ask).await["texts"],
        json!([NAME])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_identities_is_refused_and_the_log_says_so() {
    let (researcher, toml) = key_of("r.voss", "researcher", "HRESCH");
    let served = Setup::default().and(&toml).serve("").await;
    let cleared = post(
        &served,
        "/v1/deidentify",
        &researcher,
        &json!({ "text": NAME }),
    )
    .await;
    let cleared = cleared.json();
    let ask =
        json!({ "text": cleared["texts"][0]["text"], "conversation": cleared["conversation"] });
    let received = post(&served, "/v1/reidentify", &researcher, &ask).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));
    assert_eq!(received.header("x-should-retry"), Some("false"));
    let id = event(&received.json()["error"]);
    let rig = served.reopened().await;
    assert_eq!(
        rig.story(id).pop(),
        Some((EntryKind::RequestClosed, "denied".to_owned()))
    );
    assert!(
        rig.story(id)
            .iter()
            .all(|(kind, _)| *kind != EntryKind::KeyUsed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_without_being_quoted() {
    let served = Setup::default().serve("").await;
    let many = vec![NAME; 257];
    for (path, body, param) in [
        ("/v1/deidentify", json!({}), Some("texts")),
        ("/v1/deidentify", json!({ "texts": [] }), Some("texts")),
        ("/v1/deidentify", json!({ "texts": many }), Some("texts")),
        (
            "/v1/deidentify",
            json!({ "texts": [NAME, 7] }),
            Some("texts"),
        ),
        (
            "/v1/deidentify",
            json!({ "text": NAME, "texts": [NAME] }),
            Some("texts"),
        ),
        (
            "/v1/deidentify",
            json!({ "text": NAME, "conversation": NAME }),
            Some("conversation"),
        ),
        (
            "/v1/deidentify",
            json!({ "text": NAME, "Zebulon": 1 }),
            None,
        ),
        (
            "/v1/reidentify",
            json!({ "text": NAME }),
            Some("conversation"),
        ),
        ("/v1/reidentify", json!([NAME]), Some("the body")),
    ] {
        let received = post(&served, path, &served.physician, &body).await;
        assert_eq!(
            refused(&received),
            (400, "malformed".to_owned()),
            "{path} {body}"
        );
        assert_eq!(
            received.json()["error"]["param"].as_str(),
            param,
            "{path} {body}"
        );
        assert!(
            received.header("x-request-id").is_some(),
            "the log speaks of it"
        );
    }
    let nobody = served
        .call(Method::POST, "/v1/deidentify", "nph_no", "{}")
        .await;
    assert_eq!(refused(&nobody), (401, "unauthenticated".to_owned()));
    let method = served.get("/v1/deidentify").await;
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_ask_what_policy_says() {
    let (researcher, toml) = key_of("r.voss", "researcher", "HRESCH");
    let (biller, more) = key_of("b.lund", "billing", "HPAYMT");
    let served = Setup::default().and(&toml).and(&more).serve("").await;
    let see = json!({ "point": "rehydrate", "action": "restore", "target": "dr.okafor",
        "facts": { "kinds": ["mrn", "name"], "tokens": 2, "grant": false } });
    let chat = json!({ "point": "ingress", "action": "chat", "target": "clinical", "facts": { "messages": 1, "bytes": 9, "blobs": 0 } });
    let mut market = chat.clone();
    market["purpose"] = "HMARKT".into();
    let mut events = Vec::new();
    for (key, question, effect, reasons, obligations) in [
        (
            &served.physician,
            &see,
            "permit",
            json!(["identities-for-care"]),
            json!([]),
        ),
        (
            &served.physician,
            &market,
            "deny",
            json!(["marketing-needs-authorization"]),
            json!([]),
        ),
        (
            &researcher,
            &see,
            "deny",
            json!(["no-policy-permits"]),
            json!([]),
        ),
        (
            &biller,
            &chat,
            "permit",
            json!(["payment-by-billing"]),
            json!([{ "id": "withhold-identities", "arguments": {} }]),
        ),
    ] {
        let received = post(&served, "/v1/decide", key, question).await;
        let answer = received.json();
        assert_eq!(
            (
                &answer["effect"],
                &answer["reasons"],
                &answer["obligations"]
            ),
            (&json!(effect), &reasons, &obligations),
            "{}",
            received.text
        );
        events.push((event(&answer), effect));
    }
    for (name, value) in [
        ("point", json!("admin")),
        ("point", json!("export")),
        ("action", json!("Zebulon Quackenbush")),
        ("target", Value::Null),
        ("facts", json!({ "who": "Zebulon Quackenbush" })),
        ("facts", json!({ "x": 0.5 })),
        ("facts", json!([1])),
        ("purpose", json!("treat")),
    ] {
        let mut question = see.clone();
        question[name] = value;
        let received = post(&served, "/v1/decide", &served.physician, &question).await;
        assert_eq!(
            refused(&received),
            (400, "malformed".to_owned()),
            "{question}"
        );
        assert_eq!(received.json()["error"]["param"], name);
    }
    let rig = served.reopened().await;
    for (id, effect) in events {
        let story = rig.story(id);
        let expected = ["admitted", "permit", effect, "answered"];
        assert_eq!(
            story
                .iter()
                .map(|(_, outcome)| outcome.as_str())
                .collect::<Vec<_>>(),
            expected
        );
        assert!(
            rig.entries(id)
                .iter()
                .all(|entry| entry.header.facts["operation"] == "decide")
        );
    }
}

/// A field of an invented patient.
pub(super) fn field(record: &str, content: &str, value: &Value) -> Value {
    let mut field = json!({ "name": "number", "kind": "mrn", "record": record });
    field[content] = value.clone();
    field
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_sealed_and_open_only_in_their_place() {
    let (biller, toml) = key_of("b.lund", "billing", "HPAYMT");
    let served = Setup::default().and(&toml).serve("").await;
    let ask = json!({ "fields": [field("patient/Quackenbush", "value", &json!("90210557")), field("2", "value", &json!("é"))] });
    let answer = done(&served, "/v1/fields/seal", &ask).await;
    assert_eq!(answer["version"], 1);
    let (first, second) = (
        &answer["fields"][0]["sealed"],
        &answer["fields"][1]["sealed"],
    );
    let good = json!({ "fields": [field("patient/Quackenbush", "sealed", first), field("2", "sealed", second)] });
    let opened = done(&served, "/v1/fields/open", &good).await;
    assert_eq!(
        opened["fields"],
        json!([{ "name": "number", "value": "90210557" }, { "name": "number", "value": "é" }])
    );

    // Altered, of another record, of another kind: always the same words.
    let text = first.as_str().unwrap();
    let other = if text.ends_with('A') { "B" } else { "A" };
    let altered = json!(format!("{}{other}{}", &text[..60], &text[61..]));
    let mut another_kind = field("patient/Quackenbush", "sealed", first);
    another_kind["kind"] = "name".into();
    let one = |field: Value| json!({ "fields": [field] });
    let mut words = std::collections::BTreeSet::new();
    for (key, body) in [
        (
            &served.physician,
            one(field("patient/Quackenbush", "sealed", &altered)),
        ),
        (&served.physician, one(field("2", "sealed", first))),
        (&served.physician, one(another_kind)),
        (
            &served.physician,
            one(field("patient/Quackenbush", "sealed", &json!("TlBIRQ"))),
        ),
        (
            &served.lakeside,
            one(field("patient/Quackenbush", "sealed", first)),
        ),
    ] {
        let received = post(&served, "/v1/fields/open", key, &body).await;
        assert_eq!(
            refused(&received),
            (400, "not-authentic".to_owned()),
            "{body}"
        );
        words.insert(received.json()["error"]["message"].to_string());
    }
    assert_eq!(words.len(), 1);
    let received = post(&served, "/v1/fields/open", &biller, &good).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));
    for (body, param) in [
        (json!({ "fields": [] }), "fields"),
        (
            json!({ "fields": vec![field("1", "sealed", first); 101] }),
            "fields",
        ),
        (one(field("", "sealed", first)), "fields[0].record"),
        (
            one(field("1", "sealed", &json!("no base64!"))),
            "fields[0].sealed",
        ),
        (
            one(
                json!({ "name": "Zebulon Quackenbush", "kind": "mrn", "record": "1", "sealed": first }),
            ),
            "fields[0].name",
        ),
    ] {
        let received = post(&served, "/v1/fields/open", &served.physician, &body).await;
        assert_eq!(refused(&received), (400, "malformed".to_owned()));
        assert_eq!(received.json()["error"]["param"], param);
    }

    let rig = served.reopened().await;
    let entries = rig.entries(event(&opened));
    let used = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::KeyUsed)
        .unwrap();
    assert_eq!(
        (
            used.header.counts["mrn"],
            used.header.facts["operation"].as_str()
        ),
        (2, "open")
    );
    let listed = rig.payload(used, FIELDS).await;
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(
        listed[0],
        json!({ "record": "patient/Quackenbush", "name": "number", "kind": "mrn" })
    );
}

/// The example of a classification, whose file stands beside its records.
fn example(name: &str) -> String {
    format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_what_the_classification_says_they_are() {
    let (biller, toml) = key_of("b.lund", "billing", "HPAYMT");
    let tenant = "[[tenant]]\nid = \"st-marys\"\n";
    let schema = example("classification.toml");
    let classified = format!("{tenant}classification = \"{schema}\"\n");
    let setup = Setup::default().replacing(tenant, &classified);
    let served = setup.and(&toml).serve("").await;
    let one = |name: &str, content: &str, value: &Value| json!({ "fields": [{ "name": name, "record": "1", content: value }] });
    let number = json!("90210557");
    let sealed = done(
        &served,
        "/v1/fields/seal",
        &one("patient.mrn", "value", &number),
    )
    .await;
    let mut open = one("patient.mrn", "sealed", &sealed["fields"][0]["sealed"]);
    open["fields"][0]["kind"] = "mrn".into();
    let opened = done(&served, "/v1/fields/open", &open).await;
    assert_eq!(opened["fields"][0]["value"], number);

    let physician = &served.physician;
    // The kind that is named counts, and it was not sealed as this one.
    let mut other = one("patient.mrn", "sealed", &sealed["fields"][0]["sealed"]);
    other["fields"][0]["kind"] = "name".into();
    let received = post(&served, "/v1/fields/open", physician, &other).await;
    assert_eq!(refused(&received), (400, "not-authentic".to_owned()));
    for (key, name, kind, reason) in [
        (physician, "patient.nickname", None, "unclassified"),
        (physician, "visit.department", None, "public"),
        (physician, "patient.mrn", Some("name"), "other-kind"),
        (&biller, "visit.notes.0.text", None, "other-purpose"),
    ] {
        let mut body = one(name, "value", &number);
        if let Some(kind) = kind {
            body["fields"][0]["kind"] = kind.into();
        }
        let received = post(&served, "/v1/fields/seal", key, &body).await;
        assert_eq!(
            refused(&received),
            (403, "field-refused".to_owned()),
            "{name}"
        );
        let error = &received.json()["error"];
        assert_eq!(error["reasons"], json!([reason]));
        assert_eq!(error["param"], "fields[0].name");
    }
    // Another tenant has none: who asks says what a field is.
    let body = one("patient.nickname", "value", &number);
    let received = post(&served, "/v1/fields/seal", &served.lakeside, &body).await;
    assert_eq!(refused(&received), (400, "malformed".to_owned()));
    assert_eq!(received.json()["error"]["param"], "fields[0].kind");

    let rig = served.reopened().await;
    let entries = rig.entries(event(&opened));
    let of = |kind| entries.iter().find(move |entry| entry.header.kind == kind);
    assert_eq!(of(EntryKind::KeyUsed).unwrap().header.counts["mrn"], 1);
    let judgement = rig
        .payload(of(EntryKind::Decision).unwrap(), "judgement")
        .await;
    let judgement = String::from_utf8_lossy(&judgement);
    assert!(
        judgement.contains("classes") && judgement.contains("phi"),
        "{judgement}"
    );
    let closed = rig.all_entries();
    let refused = closed.iter().filter(|entry| {
        entry.header.kind == EntryKind::RequestClosed && entry.header.outcome == "field-refused"
    });
    assert_eq!(refused.count(), 4);
}

#[test]
fn classify_shows_what_records_a_schema_covers() {
    let classify = |records: &str| {
        let mut command = std::process::Command::new(super::nephron());
        command.args([
            "classify",
            "--json",
            "--schema",
            &example("classification.toml"),
            records,
        ]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (
            output.status.code(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(),
            said,
        )
    };
    let (code, report, said) = classify(&example("records.jsonl"));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let sizes =
        ["records", "values", "uncovered_values"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(sizes, [2, 14, 0]);
    let counts: Vec<u64> = report["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path["values"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [2, 4, 2, 3, 1, 2]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("more.json");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        classify(file.to_str().unwrap())
    };
    let (code, report, said) = with(
        r#"[{"patient": {"mrn": "1", "tags": ["a", "b"]}}, {"patient": {"tags": ["c"], "age": null}}]"#,
    );
    assert_eq!(code, Some(3));
    assert_eq!(
        report["uncovered"],
        json!([{ "path": "patient.tags.*", "why": "unclassified", "values": 3, "records": 2 }])
    );
    // What `/v1/fields` could not be asked for is not covered, and a dot parts names here as there.
    let (code, report, _) =
        with(r#"{"patient": {"name": {"first name": "a"}, "mrn": "1"}, "patient.mrn": "2"}"#);
    assert_eq!((code, &report["paths"][0]["values"]), (Some(3), &json!(2)));
    assert_eq!(
        report["uncovered"],
        json!([{ "path": "patient.name.first name", "why": "no-name", "values": 1, "records": 1 }])
    );
    assert!(said.contains("3 of 4 values stand under no path"), "{said}");
    for (text, code, words) in [
        ("", 2, "no record"),
        ("7", 1, "record 1 is no JSON object"),
        ("{\"a\": 1}\n{\"a\": Zebulon}", 1, "line 2, column 7"),
    ] {
        let (ended, _, said) = with(text);
        assert_eq!((ended, said.contains("Zebulon")), (Some(code), false));
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_key_says_so() {
    let served = Setup::default().serve("").await;
    served.keys.destroy("test").await.unwrap();
    let ask = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    let received = post(&served, "/v1/fields/seal", &served.physician, &ask).await;
    assert_eq!(refused(&received), (410, "key-refused".to_owned()));
    assert_eq!(received.json()["error"]["reasons"], json!(["destroyed"]));
}

/// What was asked of a path and what came back, for the validator.
fn exchange(method: &str, path: &str, request: &Value, received: &Received) -> Value {
    json!({ "method": method, "path": path, "request": request, "status": received.status, "answer": received.json() })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_openapi_document_says() {
    let (researcher, toml) = key_of("r.voss", "researcher", "HRESCH");
    let served = Setup::default().and(&toml).serve("").await;
    let ask = json!({ "text": NAME });
    let cleared = done(&served, "/v1/deidentify", &ask).await;
    let restore = json!({ "texts": [cleared["texts"][0]["text"], "[MRN_00000]"], "conversation": cleared["conversation"] });
    let mut exchanges = Vec::new();
    let mut asked = vec![
        ("/v1/deidentify", ask.clone()),
        (
            "/v1/deidentify",
            json!({ "texts": [CANARY_NOTE, "[NAME_7KQ2M]"], "conversation": "ward-7" }),
        ),
        ("/v1/reidentify", restore),
        (
            "/v1/decide",
            json!({ "point": "ingress", "action": "chat", "target": "clinical", "facts": { "messages": 1, "bytes": 9, "blobs": 0 } }),
        ),
    ];
    let seal = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    let sealed = done(&served, "/v1/fields/seal", &seal).await["fields"][0]["sealed"].clone();
    asked.push(("/v1/fields/seal", seal));
    asked.push((
        "/v1/fields/open",
        json!({ "fields": [field("1", "sealed", &sealed)] }),
    ));
    asked.push((
        "/v1/fields/open",
        json!({ "fields": [field("2", "sealed", &sealed)] }),
    ));
    for (path, body) in &asked {
        for key in [&served.physician, &researcher, &served.expired] {
            let received = post(&served, path, key, body).await;
            exchanges.push(exchange("POST", path, body, &received));
        }
        let wrong = json!({ "Zebulon": "Quackenbush" });
        let received = post(&served, path, &served.physician, &wrong).await;
        exchanges.push(exchange("POST", path, &wrong, &received));
    }
    let mint = json!({ "subject": "dr.okafor", "operations": ["open"], "kinds": ["mrn"], "uses": 3, "lifetime": 60 });
    let minted = post(&served, "/v1/grants", &served.physician, &mint).await;
    exchanges.push(exchange("POST", "/v1/grants", &mint, &minted));
    let under =
        json!({ "fields": [field("1", "sealed", &sealed)], "grant": minted.json()["grant"]["id"] });
    for key in [&served.physician, &researcher] {
        let received = post(&served, "/v1/fields/open", key, &under).await;
        exchanges.push(exchange("POST", "/v1/fields/open", &under, &received));
        let received = post(&served, "/v1/grants", &researcher, &mint).await;
        exchanges.push(exchange("POST", "/v1/grants", &mint, &received));
    }
    let path = format!(
        "/v1/grants/{}",
        minted.json()["grant"]["id"].as_str().unwrap()
    );
    for (method, path, key) in [
        (Method::GET, "/v1/grants", &served.physician),
        (Method::GET, "/v1/grants", &served.expired),
        (Method::DELETE, &path, &researcher),
        (Method::DELETE, &path, &served.physician),
        (Method::DELETE, &path, &served.physician),
        (Method::DELETE, "/v1/grants/quackenbush", &served.physician),
    ] {
        let received = served.call(method.clone(), path, key, "").await;
        exchanges.push(exchange(method.as_str(), path, &Value::Null, &received));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Value::from(exchanges).to_string()).unwrap();
    let (url, path) = (served.url.clone(), file.path().display().to_string());
    let printed = tokio::task::spawn_blocking(move || {
        sdk(
            "openapi_document.py",
            &[("BASE_URL", &url), ("EXCHANGES", &path)],
        )
    });
    assert_eq!(printed.await.unwrap().matches("held:").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_names_every_path_and_method_and_no_other() {
    let served = Setup::default().serve("").await;
    let received = served.get("/openapi.json").await;
    assert_eq!(
        received.header("cache-control"),
        Some("public, max-age=3600")
    );
    let document = received.json();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let mut allowed: Vec<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        if allowed.contains(&"GET".to_owned()) {
            allowed.push("HEAD".to_owned());
        }
        allowed.sort();
        let path = path.replace("{id}", "clinical");
        let path = path.replace("{event}", "01M8BF3PTSBP1N1625HSJKEHCE");
        for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
            let name = method.parse().unwrap();
            let received = served.call(name, &path, &served.physician, "{}").await;
            if allowed.contains(&method.to_owned()) {
                let code = &received.json()["error"]["code"];
                assert!(
                    received.status != 405 && code != "not-found",
                    "{method} {path}: {}",
                    received.text
                );
            } else {
                assert_eq!(received.status, 405, "{method} {path}");
                assert_eq!(
                    received.header("allow"),
                    Some(allowed.join(", ").as_str()),
                    "{path}"
                );
            }
        }
    }
    // Whatever path the sources know is there.
    let source = [
        include_str!("../../host/gateway/src/http.rs"),
        include_str!("../../host/gateway/src/operations.rs"),
        include_str!("../../host/gateway/src/wire/mod.rs"),
    ];
    let source = source.concat();
    let known = source.split('"').filter(|text| {
        ["/v1/", "/livez", "/readyz", "/openapi"]
            .iter()
            .any(|begins| text.starts_with(begins))
    });
    let mut count = 0;
    for path in known {
        let path = if path.ends_with('/') {
            format!("{path}{{id}}")
        } else {
            path.to_owned()
        };
        assert!(paths.contains_key(&path), "the document lacks {path}");
        count += 1;
    }
    assert!(count + 2 >= paths.len(), "{count}");
}

/// Runs curl, and gives what it printed.
pub(super) async fn curl(arguments: Vec<String>) -> String {
    let run = move || {
        let output = std::process::Command::new("curl")
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn i9_curl_works_over_tls_and_no_value_stands_in_a_log_or_file() {
    let (lines, _hearing) = heard();
    let (pki, listen) = super::serve::pki();
    let served = Setup::default().serve(&listen).await;
    let authority = pki.path().join("ca.pem").display().to_string();
    let (url, key) = (served.url.clone(), served.physician.clone());
    let ask = async |path: &str, body: &Value| {
        let arguments = [
            "--silent",
            "--show-error",
            "--cacert",
            &authority,
            "-H",
            &format!("authorization: Bearer {key}"),
            "-d",
            &body.to_string(),
            &format!("{url}{path}"),
        ];
        let answer = curl(arguments.map(str::to_owned).to_vec()).await;
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let cleared = ask("/v1/deidentify", &json!({ "text": CANARY_NOTE })).await;
    assert_clean("what is de-identified", cleared.to_string().as_bytes());
    let restore =
        json!({ "text": cleared["texts"][0]["text"], "conversation": cleared["conversation"] });
    assert_eq!(
        ask("/v1/reidentify", &restore).await["texts"][0],
        CANARY_NOTE
    );
    let sealed = ask(
        "/v1/fields/seal",
        &json!({ "fields": [field("Zebulon Quackenbush", "value", &json!("90210557"))] }),
    )
    .await;
    let open = json!({ "fields": [field("Zebulon Quackenbush", "sealed", &sealed["fields"][0]["sealed"])] });
    assert_eq!(
        ask("/v1/fields/open", &open).await["fields"][0]["value"],
        "90210557"
    );
    let refused = ask(
        "/v1/fields/open",
        &json!({ "fields": "Zebulon Quackenbush" }),
    )
    .await;
    assert_clean("a refusal", refused.to_string().as_bytes());
    let rig = served.reopened().await;
    assert_clean("the process's own log", &lines.0.lock().unwrap());
    assert!(!lines.0.lock().unwrap().is_empty());
    let folder = rig.close();
    assert_files_clean(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lends_what_it_says_and_outlives_a_restart() {
    let (scribe, toml) = key_of("s.ito", "scribe", "TREAT");
    let served = Setup::default().and(&toml).serve("").await;
    let ask = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    let sealed = done(&served, "/v1/fields/seal", &ask).await["fields"][0]["sealed"].clone();
    let cleared = done(
        &served,
        "/v1/deidentify",
        &json!({ "text": NAME, "conversation": "ward-7" }),
    )
    .await;
    let text = cleared["texts"][0]["text"].clone();

    let mint = async |body: Value| {
        let minted = done(&served, "/v1/grants", &body).await;
        minted["grant"]["id"].as_str().unwrap().to_owned()
    };
    let open = mint(json!({ "subject": "s.ito", "operations": ["open"], "kinds": ["mrn"], "uses": 2, "lifetime": 3600 })).await;
    let restore = mint(json!({ "subject": "s.ito", "operations": ["detokenize"], "kinds": ["name"], "lifetime": 3600, "conversation": "ward-7" })).await;

    let fields = |grant: Option<&str>| {
        let mut body = json!({ "fields": [field("1", "sealed", &sealed)] });
        if let Some(grant) = grant {
            body["grant"] = grant.into();
        }
        body
    };
    // The scribe has no right of its own.
    let received = post(&served, "/v1/fields/open", &scribe, &fields(None)).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));
    let received = post(&served, "/v1/fields/open", &scribe, &fields(Some(&open))).await;
    assert_eq!(
        received.json()["fields"][0]["value"],
        "90210557",
        "{}",
        received.text
    );
    let id = event(&received.json());
    // Another caller has not this grant, nor does it cover anything else.
    let received = post(
        &served,
        "/v1/fields/open",
        &served.lakeside,
        &fields(Some(&open)),
    )
    .await;
    assert_eq!(refused(&received), (404, "key-refused".to_owned()));
    let received = post(
        &served,
        "/v1/fields/open",
        &served.physician,
        &fields(Some(&open)),
    )
    .await;
    assert_eq!(refused(&received), (404, "key-refused".to_owned()));
    let received = post(&served, "/v1/fields/open", &scribe, &fields(Some(&restore))).await;
    assert_eq!(refused(&received), (403, "key-refused".to_owned()));
    assert_eq!(
        received.json()["error"]["reasons"],
        json!(["not-permitted"])
    );
    // It reaches the conversation of who lent it.
    let ask = json!({ "text": text, "grant": restore });
    let received = post(&served, "/v1/reidentify", &scribe, &ask).await;
    assert_eq!(received.json()["texts"], json!([NAME]), "{}", received.text);
    // One that gives one value in one use: the same token twice is one value, another kind is none, a second value too many.
    let one = mint(json!({ "subject": "s.ito", "operations": ["open", "detokenize"], "kinds": ["name", "mrn"], "uses": 3,
        "values": 1, "lifetime": 3600, "conversation": "ward-7" })).await;
    let text = text.as_str().unwrap();
    let restored = async |text: String| {
        let ask = json!({ "text": text, "grant": one });
        post(&served, "/v1/reidentify", &scribe, &ask).await
    };
    let twice = restored(format!("{text} {text} [DATE_7KQ2M]")).await;
    let expected = format!("{NAME} {NAME} [DATE_7KQ2M]");
    assert_eq!(twice.json()["texts"], json!([expected]), "{}", twice.text);
    let more = restored(format!("{text} [NAME_7KQ2M]")).await;
    let two = json!({ "fields": [field("1", "sealed", &sealed), field("2", "sealed", &sealed)], "grant": one });
    let two = post(&served, "/v1/fields/open", &scribe, &two).await;
    for received in [&more, &two] {
        assert_eq!(refused(received), (403, "key-refused".to_owned()));
        let error = &received.json()["error"];
        assert_eq!(error["reasons"], json!(["not-permitted", "values"]));
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("covers 1 values")
        );
    }
    let too_many = more.json()["error"]["event"].clone();
    let grants = served.call(Method::GET, "/v1/grants", &scribe, "").await;
    let grants = grants.json()["grants"].as_array().unwrap().clone();
    let kept = grants.iter().find(|grant| grant["id"] == one.as_str());
    // What was refused took no use.
    assert_eq!(
        (&kept.unwrap()["uses"], &kept.unwrap()["values"]),
        (&json!(2), &json!(1))
    );

    let served = served.restarted().await;
    let received = post(&served, "/v1/fields/open", &scribe, &fields(Some(&open))).await;
    assert_eq!(received.status, 200, "{}", received.text);
    let received = post(&served, "/v1/fields/open", &scribe, &fields(Some(&open))).await;
    assert_eq!(refused(&received), (403, "key-refused".to_owned()));
    assert_eq!(
        received.json()["error"]["reasons"],
        json!(["budget-exhausted"])
    );
    let rig = served.reopened().await;
    let refusal = rig.entries(too_many.as_str().map(|id| id.parse().unwrap()));
    let refusal = refusal
        .iter()
        .find(|entry| entry.header.kind == EntryKind::KeyRefused);
    assert_eq!(refusal.unwrap().header.reasons, ["not-permitted", "values"]);
    let used = rig
        .entries(id)
        .into_iter()
        .find(|entry| entry.header.kind == EntryKind::KeyUsed);
    let facts = used.unwrap().header.facts;
    assert_eq!((&facts["grant"], facts["uses-left"].as_str()), (&open, "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_listed_and_revoked_by_those_whose_they_are() {
    let (scribe, toml) = key_of("s.ito", "scribe", "TREAT");
    let (officer, more) = key_of("p.amsel", "privacy-officer", "HOPERAT");
    let served = Setup::default().and(&toml).and(&more).serve("").await;
    let own = json!({ "subject": "dr.okafor", "operations": ["open"], "lifetime": 60 });
    let lent = json!({ "subject": "s.ito", "operations": ["seal", "open"], "kinds": ["mrn"], "uses": 3, "lifetime": 60 });
    let first = done(&served, "/v1/grants", &own).await["grant"].clone();
    // Grants are listed by their ids, which begin with the time.
    served.clock.advance(Duration::from_secs(1));
    let second = done(&served, "/v1/grants", &lent).await["grant"].clone();
    assert_eq!(second["expires"], "2026-11-22T00:04:23.000000000Z");
    assert_eq!(
        (&second["minter"], &second["uses"], &first["kinds"]),
        (&json!("dr.okafor"), &json!(3), &Value::Null)
    );
    let list = async |key: &str| {
        let received = served.call(Method::GET, "/v1/grants", key, "").await;
        assert_eq!(received.status, 200, "{}", received.text);
        received.json()["grants"].clone()
    };
    assert_eq!(list(&served.physician).await, json!([first, second]));
    assert_eq!(list(&scribe).await, json!([second]));
    assert_eq!(list(&served.lakeside).await, json!([]));
    assert_eq!(list(&officer).await, json!([first, second]));
    // Who may not lend mints none, and who lends for too long neither.
    let received = post(&served, "/v1/grants", &scribe, &own).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));
    for (name, value) in [
        ("lifetime", json!(0)),
        ("lifetime", json!(2_592_001)),
        ("operations", json!(["mac"])),
        ("operations", json!([])),
        ("kinds", json!([])),
        ("kinds", json!(["Zebulon Quackenbush"])),
        ("kinds", json!(["quackenbush"])),
        ("uses", json!(0)),
        ("values", json!(0)),
        ("values", json!(10_001)),
        ("subject", json!("Zebulon Quackenbush")),
    ] {
        let mut body = lent.clone();
        body[name] = value;
        let received = post(&served, "/v1/grants", &served.physician, &body).await;
        assert_eq!(refused(&received), (400, "malformed".to_owned()), "{body}");
        assert_eq!(received.json()["error"]["param"], name);
    }
    let revoke = async |key: &str, id: &str| {
        let path = format!("/v1/grants/{id}");
        served.call(Method::DELETE, &path, key, "").await
    };
    let ids = [&first, &second].map(|grant| grant["id"].as_str().unwrap().to_owned());
    assert_eq!(
        refused(&revoke(&scribe, &ids[0]).await),
        (403, "denied".to_owned())
    );
    assert_eq!(
        refused(&revoke(&served.physician, "quackenbush").await),
        (400, "malformed".to_owned())
    );
    let revoked = revoke(&officer, &ids[0]).await;
    assert_eq!(
        revoked.json()["revoked"],
        ids[0].as_str(),
        "{}",
        revoked.text
    );
    // Who holds one may give it back.
    assert_eq!(revoke(&scribe, &ids[1]).await.status, 200);
    assert_eq!(
        refused(&revoke(&scribe, &ids[1]).await),
        (404, "key-refused".to_owned())
    );
    assert_eq!(list(&served.physician).await, json!([]));
    let method = served.call(Method::PUT, "/v1/grants", &scribe, "").await;
    assert_eq!(
        (method.status, method.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    let rig = served.reopened().await;
    let story = rig.story(event(&revoked.json()));
    assert!(
        story.contains(&(EntryKind::GrantEnded, "revoked".to_owned())),
        "{story:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_lends_nothing_new_and_prolongs_nothing() {
    let (scribe, toml) = key_of("s.ito", "scribe", "TREAT");
    let served = Setup::default().and(&toml).serve("").await;
    let ask = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    let sealed = done(&served, "/v1/fields/seal", &ask).await["fields"][0]["sealed"].clone();
    let mint =
        json!({ "subject": "s.ito", "operations": ["open"], "kinds": ["mrn"], "lifetime": 3600 });
    let grant = done(&served, "/v1/grants", &mint).await["grant"]["id"].clone();
    let open = json!({ "fields": [field("1", "sealed", &sealed)], "grant": grant });

    served.clock.set(NOW - 7_200);
    let received = post(&served, "/v1/grants", &served.physician, &mint).await;
    assert_eq!(refused(&received), (503, "key-refused".to_owned()));
    let error = received.json()["error"].clone();
    assert_eq!(error["reasons"], json!(["clock-went-back"]));
    let message = error["message"].as_str().unwrap();
    for said in [
        "it reads 2026-11-21T22:03:22",
        "has read 2026-11-22T00:03:22",
        "`nephron tenant clock`",
    ] {
        assert!(message.contains(said), "{message}");
    }
    // Nor is anything lent for a request.
    let text = json!({ "text": NAME });
    let received = post(&served, "/v1/deidentify", &served.physician, &text).await;
    assert_eq!(refused(&received), (503, "key-refused".to_owned()));

    // What was lent before lasts as long as it was to last.
    served.clock.advance(Duration::from_secs(3_599));
    let received = post(&served, "/v1/fields/open", &scribe, &open).await;
    assert_eq!(received.status, 200, "{}", received.text);
    served.clock.advance(Duration::from_secs(1));
    let received = post(&served, "/v1/fields/open", &scribe, &open).await;
    assert_eq!(refused(&received), (404, "key-refused".to_owned()));

    // It catches up.
    served.clock.set(NOW);
    done(&served, "/v1/grants", &mint).await;
    let rig = served.reopened().await;
    let refusal = error["event"].as_str().unwrap().parse().unwrap();
    let story = rig.story(Some(refusal));
    let [.., refused, closed] = story.as_slice() else {
        panic!("{story:?}")
    };
    assert_eq!(*refused, (EntryKind::KeyRefused, "deny".to_owned()));
    assert_eq!(
        *closed,
        (EntryKind::RequestClosed, "key-refused".to_owned())
    );
    let log = rig.log_folder();
    let _folder = rig.close();
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_where_keys_are_used_is_not_lent() {
    let forbids = "[[plugin]]\nname = \"forbids\"\nkind = \"decider\"\ncomponent = \"cedar-policy\"\n[plugin.settings]\n\
         points = [\"key-use\"]\npolicies = '''permit (principal, action, resource);\n\
         @reason(\"nobody-lends\") forbid (principal, action == Action::\"mint-grant\", resource);'''\n";
    let setup = Setup::default().second_decider("forbids").and(forbids);
    let served = setup.serve("").await;
    let ask = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    done(&served, "/v1/fields/seal", &ask).await;
    let mint = json!({ "subject": "s.ito", "operations": ["open"], "lifetime": 60 });
    let received = post(&served, "/v1/grants", &served.physician, &mint).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));
    let error = &received.json()["error"];
    assert_eq!(error["reasons"], json!(["nobody-lends"]));
    assert!(error["message"].as_str().unwrap().contains("`key-use`"));
    let rig = served.reopened().await;
    let points = rig.entries(error["event"].as_str().map(|id| id.parse().unwrap()));
    let points = points
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::Decision)
        .map(|entry| entry.header.point.unwrap().as_str());
    let points: Vec<_> = points.collect();
    assert_eq!(points, ["admin", "admin", "key-use", "key-use"]);
}

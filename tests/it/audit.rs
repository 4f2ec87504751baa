//! What an auditor asks of a log, with the command line, beside the gateway that writes it.

use std::collections::BTreeSet;
use std::path::Path;

use nephron_audit::{FieldDisclosure, Header, VerifierKey, verify_export};
use nephron_model::EntryKind;
use nephron_tests::{MockModel, Served, Setup};
use serde_json::{Value, json};

use super::custody::{FILE, Operator, configuration};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
const ALMA: &str = "AB-0483920";
const BO: &str = "AB-0771183";
const ASKER: [&str; 4] = ["--by", "Dana Reyes", "--reason", "ticket 7"];

/// Has the model asked about somebody; the event.
async fn ask(served: &Served, number: Option<&str>, text: &str) -> String {
    let message = json!({ "role": "user", "content": text });
    let mut body = json!({ "model": "clinical", "messages": [message] });
    if let Some(number) = number {
        body["nephron"] = json!({ "known": { "mrn": number } });
    }
    let received = served.chat(&body).await;
    assert_eq!(received.status, 200, "{}", received.text);
    received.header("x-request-id").unwrap().to_owned()
}

impl Operator {
    /// What a command of `audit` that must succeed printed.
    fn audit(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["audit"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The headers that a search finds.
    fn found(&self, arguments: &[&str]) -> Vec<Header> {
        let lines = self.audit(&[&["search", "--json"], arguments].concat());
        let header = |line| serde_json::from_str(line).unwrap();
        lines.lines().map(header).collect()
    }
}

fn events(found: &[Header]) -> BTreeSet<String> {
    let requests = found.iter().filter_map(|header| header.request);
    requests.map(|event| event.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditors_questions_are_answered_beside_the_gateway() {
    let model = MockModel::start(200, "about {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator {
        configuration: configuration(folder.path(), served.data(), FILE),
        token: None,
    };
    let first = ask(&served, Some(ALMA), "Alma Thistlewood slept.").await;
    let other = ask(&served, Some(BO), "Bo Oxmallow slept.").await;
    let nobody = ask(&served, None, "Somebody slept.").await;
    // As somebody else types the same number.
    let second = ask(&served, Some(" ab-0483920"), "Alma Thistlewood woke.").await;

    tokio::task::block_in_place(|| {
        searched(&operator, [&first, &second], [&other, &nobody]);
        accounted(&operator, [&first, &second]);
        scoped(&operator);
        exported(&operator, folder.path());
        disclosed(&operator, &first, &model.seen()[0]);
        shown_whole(&operator, &first, &model.seen()[0]);
    });

    // Once the tenant has ended, its key is gone: nobody finds out any more whom the digests are of.
    let terminate = ["tenant", "terminate", "st-marys", "--confirm", "st-marys"];
    assert!(operator.run(&terminate).status.success());
    let seek = [&["audit", "search", "--patient", ALMA], &ASKER[..]].concat();
    let (code, said) = operator.refused(&seek);
    assert!(code == Some(1) && said.contains("destroyed"), "{said}");
}

fn searched(operator: &Operator, alma: [&String; 2], others: [&String; 2]) {
    // The key is used, so somebody must say who and why.
    let (code, said) = operator.refused(&["audit", "search", "--patient", ALMA]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--by") && !said.contains(ALMA), "{said}");

    let seek = [&["--patient", ALMA], &ASKER[..]].concat();
    let found = operator.found(&seek);
    assert_eq!(events(&found), alma.map(String::clone).into());
    let sequences: Vec<u64> = found.iter().map(|header| header.sequence).collect();
    assert!(sequences.is_sorted());
    // The search itself is an entry, and the newest.
    let sought = found.last().unwrap();
    assert_eq!(
        (sought.kind, sought.outcome.as_str()),
        (EntryKind::PatientSought, "told")
    );
    assert!(sought.facts["by"].starts_with("Dana Reyes (operator uid="));
    assert_eq!(sought.facts["reason"], "ticket 7");

    // With the digest nobody's key is used, and a folder will do.
    let digest = sought.facts["patient"].clone();
    let again = operator.found(&["--patient", &digest, "--kind", "sending"]);
    assert_eq!(events(&again), alma.map(String::clone).into());
    assert_eq!(operator.found(&["--kind", "patient-sought"]).len(), 1);

    let all = operator.found(&["--caller", "dr.okafor", "--limit", "4000"]);
    for event in alma.into_iter().chain(others) {
        assert!(events(&all).contains(event));
    }
    let decided = operator.found(&["--plugin", "access", "--outcome", "permit"]);
    assert!(
        decided
            .iter()
            .all(|header| header.kind == EntryKind::Decision)
    );
    assert!(!decided.is_empty());
    let cut = operator.run(&["audit", "search", "--limit", "2"]);
    let (table, said) = (cut.stdout, String::from_utf8(cut.stderr).unwrap());
    assert_eq!(String::from_utf8(table).unwrap().lines().count(), 3);
    assert!(said.contains("the newest 2 are shown"), "{said}");
}

fn accounted(operator: &Operator, alma: [&String; 2]) {
    let ask = [&["disclosures", "--patient", ALMA], &ASKER[..]].concat();
    let answered: Value =
        serde_json::from_str(&operator.audit(&[&ask[..], &["--json"]].concat())).unwrap();
    let disclosures = answered["disclosures"].as_array().unwrap();
    let events: Vec<&str> = disclosures
        .iter()
        .map(|one| one["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, alma, "{answered}");
    for one in disclosures {
        let said = [
            "associate",
            "endpoint",
            "ground",
            "purpose",
            "came",
            "excepted",
        ]
        .map(|name| one[name].as_str().unwrap());
        let expected = [
            "lab",
            "there",
            "cleared-without-agreement",
            "TREAT",
            "answered",
            "treatment, 164.528(a)(1)(i)",
        ];
        assert_eq!(said, expected);
        assert_eq!(one["information"]["method"], "safe-harbor");
        assert_eq!(one["information"]["replaced"]["name"], 1);
    }
    assert_eq!(answered["series"][0]["count"], 2);
    let table = operator.audit(&[&ask[..], &["--accountable"]].concat());
    assert!(
        table.contains("0 from") && table.contains("164.528(a)(2)"),
        "{table}"
    );
}

fn scoped(operator: &Operator) {
    let scope = |arguments: &[&str]| -> Value {
        serde_json::from_str(&operator.audit(&[&["scope", "--json"], arguments].concat())).unwrap()
    };
    let by_caller = scope(&["--caller", "dr.okafor"]);
    assert_eq!(
        (
            &by_caller["requests"],
            &by_caller["patients"],
            &by_caller["without-patient"]
        ),
        (&json!(4), &json!(2), &json!(1))
    );
    assert_eq!(by_caller["endpoints"], json!({ "there": 4 }));
    // In the other two nobody was found by name.
    assert_eq!(by_caller["restored"], 2);
    for arguments in [["--associate", "lab"], ["--plugin", "finder"]] {
        let other = scope(&arguments);
        assert_eq!(
            (&other["requests"], &other["patients"]),
            (&json!(4), &json!(2)),
            "{arguments:?}"
        );
    }
    assert_eq!(scope(&["--caller", "nobody"])["requests"], 0);
}

fn exported(operator: &Operator, folder: &Path) {
    let lines = operator.audit(&["export"]);
    let table = operator.audit(&["export", "--format", "csv"]);
    assert!(lines.lines().count() > 40);
    // One more for the titles.
    assert_eq!(table.lines().count(), lines.lines().count() + 1);
    assert!(!lines.contains(ALMA) && !table.contains(ALMA));

    let archive = folder.join("export.tar");
    let out = archive.to_str().unwrap();
    let arguments = ["export", "--format", "archive", "--payloads", "--out", out];
    let output = operator.run(&[&["audit"], &arguments[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(" entries, ") && !said.contains("not in it"),
        "{said}"
    );
    let key: VerifierKey = operator.audit(&["vkey"]).trim().parse().unwrap();
    let proven = verify_export(std::fs::File::open(&archive).unwrap(), &key).unwrap();
    assert!(proven.complete && proven.note.first == 0 && proven.note.end == proven.covered);
    let (code, said) = operator.refused(&[&["audit"], &arguments[..]].concat());
    assert!(
        code == Some(1) && said.contains("cannot be written"),
        "{said}"
    );
}

/// An event whole: as JSON has it, and as a page.
fn shown_whole(operator: &Operator, event: &str, sent: &[u8]) {
    // Without keys: who, why, and what was decided.
    let bare: Value = serde_json::from_str(&operator.audit(&["show", event, "--json"])).unwrap();
    let of = |whole: &Value, kind: &str| -> Vec<Value> {
        let entries = whole["entries"].as_array().unwrap().iter();
        entries
            .filter(|entry| entry["header"]["kind"] == kind)
            .cloned()
            .collect()
    };
    assert!(
        bare["entries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry.get("payload").is_none())
    );
    assert!(operator.found(&["--kind", "event-shown"]).is_empty());

    let asked = [&["show", event, "--json"], &ASKER[..]].concat();
    let whole: Value = serde_json::from_str(&operator.audit(&asked)).unwrap();
    assert_eq!(whole["event"], event);
    let payload = |kind: &str, name: &str| {
        let found = of(&whole, kind).remove(0);
        assert_eq!(found["payload"]["name"], name);
        found["payload"].clone()
    };
    // What came at the model, and what it said, byte for byte.
    let left = payload("sending", "sent")["text"].clone();
    assert_eq!(left.as_str().unwrap().as_bytes(), sent);
    assert!(!left.as_str().unwrap().contains("Alma"));
    let returned = payload("received", "received")["text"].clone();
    let returned: Value = serde_json::from_str(returned.as_str().unwrap()).unwrap();
    assert!(returned["choices"].is_array(), "{returned}");
    let restored = &payload("reidentified", "restoration")["json"]["restored"];
    assert!(restored.as_str().unwrap().contains("Alma Thistlewood"));
    assert_eq!(
        payload("request-opened", "origin")["json"]["patients"],
        json!([ALMA])
    );
    // Each plugin's question and answer.
    let decisions = of(&whole, "decision");
    assert!(decisions.len() >= 4);
    for decision in &decisions {
        let judgement = &decision["payload"]["json"];
        assert!(judgement["input"].is_object() && judgement["output"].is_object());
    }
    // Each use of a key that opened one, and who was shown it.
    let shown = of(&whole, "event-shown").remove(0);
    let payloads = shown["header"]["counts"]["payloads"].as_u64().unwrap();
    let with_payload = whole["entries"].as_array().unwrap().iter();
    let with_payload = with_payload.filter(|entry| entry.get("payload").is_some());
    assert_eq!(payloads, with_payload.count() as u64);
    assert_eq!(shown["header"]["counts"]["withheld"], 0);
    let by = shown["header"]["facts"]["by"].as_str().unwrap();
    assert!(by.starts_with("Dana Reyes (operator uid="), "{by}");

    let page = operator.audit(&[&["show", event], &ASKER[..]].concat());
    for told in [
        "who         dr.okafor",
        "why         TREAT",
        &format!("patient     {ALMA}"),
        "The text as it came",
        "Alma Thistlewood slept.",
        "What the model saw, byte for byte",
        "What it returned, byte for byte",
        "What the caller was given",
        "key-used",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let (code, said) = operator.refused(&["audit", "show", event, "--by", "Dana Reyes"]);
    assert!(code == Some(2) && said.contains("--reason"), "{said}");
    let (code, said) = operator.refused(&["audit", "show", event, "--tail", "3"]);
    assert!(code == Some(2) && said.contains("--request"), "{said}");
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let (code, said) = operator.refused(&["audit", "show", unknown]);
    assert!(code == Some(3) && said.contains("holds no event"), "{said}");
}

fn disclosed(operator: &Operator, event: &str, sent: &[u8]) {
    let key: VerifierKey = operator.audit(&["vkey"]).trim().parse().unwrap();
    let disclose = |field: &str| {
        let told = operator.audit(&[&["disclose", event, field], &ASKER[..]].concat());
        let disclosure = FieldDisclosure::parse(&told).unwrap();
        let proven = disclosure.verify(&key).unwrap();
        assert_eq!(proven.header.request.unwrap().to_string(), event);
        (disclosure.value().unwrap(), proven.header.kind)
    };
    assert_eq!(
        disclose("patient"),
        (ALMA.as_bytes().to_vec(), EntryKind::RequestOpened)
    );
    // Exactly the bytes that came at the model.
    assert_eq!(disclose("sent"), (sent.to_vec(), EntryKind::Sending));
    let (restored, _) = disclose("restored");
    assert!(
        String::from_utf8(restored)
            .unwrap()
            .contains("Alma Thistlewood")
    );
    let found = operator.found(&["--kind", "field-disclosed"]);
    let fields: Vec<&str> = found
        .iter()
        .map(|header| header.facts["field"].as_str())
        .collect();
    assert_eq!(fields, ["patient", "sent", "restored"]);
    let used = operator.found(&["--kind", "key-used", "--limit", "3"]);
    assert!(
        used.iter()
            .all(|header| header.facts["payload-of"] == event),
        "{used:?}"
    );

    let unknown = [&["audit", "disclose", event, "session"], &ASKER[..]].concat();
    let (code, said) = operator.refused(&unknown);
    let known = "there are answered, patient, received, restored, sent";
    assert!(code == Some(1) && said.contains(known), "{said}");
    let (code, said) = operator.refused(&["audit", "disclose", event, "sent"]);
    assert!(code == Some(2) && said.contains("--by"), "{said}");
}

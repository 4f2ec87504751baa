//! What a candidate would have decided, and found, on what was recorded.

use std::process::Command;
use std::time::Duration;

use nephron_model::EntryKind;
use nephron_tests::{Served, Setup};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Two deciders, of whom the second bars one model.
fn setup() -> Setup {
    Setup::default()
        .decider(
            "cedar-policy",
            "policies = \"permit(principal, action, resource);\"",
        )
        .second_decider("strict")
        .connector("shouts-tokens", "answer = \"yes\"")
        .and(&strict("barred"))
}

/// The decider that bars `model`.
fn strict(model: &str) -> String {
    let barred = format!("resource == Target::\\\"{model}\\\"");
    another(
        "strict",
        &format!("permit(principal, action, resource); forbid(principal, action, {barred});"),
    )
}

fn another(name: &str, policies: &str) -> String {
    format!(
        "[[plugin]]\nname = \"{name}\"\nkind = \"decider\"\ncomponent = \"cedar-policy\"\n[plugin.settings]\npolicies = \"{policies}\"\n"
    )
}

async fn ask(served: &Served, model: &str, text: &str) -> (u16, String) {
    let message = json!({ "role": "user", "content": text });
    let body = json!({ "model": model, "messages": [message] });
    let received = served.chat(&body).await;
    let event = received.header("x-request-id").unwrap().to_owned();
    (received.status, event)
}

/// What comes of a candidate whose configuration has each `from` replaced by `to`: the exit code, and what it said.
fn what_if(served: &Served, changes: &[(&str, &str)], more: &[&str]) -> (Option<i32>, Value) {
    let mut text = served.setup().toml();
    let data = served.data().display();
    let configuration = served.data().join("gateway.toml");
    std::fs::write(&configuration, format!("data = \"{data}\"\n{text}")).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} in {text}");
        text = text.replace(from, to);
    }
    let candidate = served.data().join("candidate.toml");
    std::fs::write(&candidate, format!("data = \"{data}\"\n{text}")).unwrap();
    let mut command = Command::new(super::nephron());
    command.args([
        "what-if",
        "--json",
        "--by",
        "Dana Reyes",
        "--reason",
        "ticket 7",
    ]);
    command.arg("--candidate").arg(&candidate);
    command.arg("--config").arg(&configuration).args(more);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ran = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    (output.status.code(), ran)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_candidates_deciders_decide_together_is_held_against_what_was_decided() {
    let served = setup().serve("").await;
    let (status, permitted) = ask(&served, "clinical", "which ward?").await;
    assert_eq!(status, 200);
    let (status, barred) = ask(&served, "barred", "which ward?").await;
    assert_eq!(status, 403);

    let (code, ran) = what_if(&served, &[], &[]);
    assert_eq!((code, &ran["differences"]), (Some(0), &json!({})), "{ran}");
    assert_eq!(ran["judgements"], ran["same"], "{ran}");

    // A decider that is left out no longer denies.
    let barring = strict("barred");
    let chain = "deciders = [\"access\", \"strict\"]";
    let without = [(chain, "deciders = [\"access\"]"), (&*barring, "")];
    let (code, ran) = what_if(&served, &without, &[]);
    assert_eq!(code, Some(0), "{ran}");
    assert_eq!(ran["differences"], json!({ "deny-to-permit": 1 }), "{ran}");
    let one = &ran["differing"][0];
    assert_eq!(
        (&one["event"], &one["point"]),
        (&json!(barred), &json!("ingress")),
        "{ran}"
    );

    // One that bars another model: what would be permitted is listed before what would be denied, though it was asked later.
    let (code, ran) = what_if(&served, &[("barred", "clinical")], &[]);
    assert_eq!(code, Some(0), "{ran}");
    let expected = json!({ "deny-to-permit": 1, "permit-to-deny": 1 });
    assert_eq!(ran["differences"], expected, "{ran}");
    let differing = ran["differing"].as_array().unwrap();
    let listed: Vec<_> = differing
        .iter()
        .map(|one| (&one["event"], &one["differences"]))
        .collect();
    let (barred, permitted) = (json!(barred), json!(permitted));
    let (up, down) = (json!(["deny-to-permit"]), json!(["permit-to-deny"]));
    assert_eq!(listed, [(&barred, &up), (&permitted, &down)], "{ran}");

    // A new one that denies everything was never asked then.
    let added = format!(
        "{barring}{}",
        another("never", "forbid(principal, action, resource);")
    );
    let with = [
        (chain, "deciders = [\"access\", \"strict\", \"never\"]"),
        (&*barring, &*added),
    ];
    let (code, ran) = what_if(&served, &with, &[]);
    assert_eq!(code, Some(0), "{ran}");
    let denied = ran["differences"]["permit-to-deny"].as_u64().unwrap();
    assert!(denied >= 2, "at ingress and at egress: {ran}");
    assert!(ran["differences"]["deny-to-permit"].is_null(), "{ran}");

    // A connector that answers otherwise, by its name.
    let (_, ran) = what_if(&served, &[("answer = \"yes\"", "answer = \"no\"")], &[]);
    assert_eq!(ran["differences"], json!({ "other-call": 1 }), "{ran}");
    assert_eq!(ran["differing"][0]["plugin"], "model", "{ran}");
    let (_, ran) = what_if(&served, &[], &["--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(ran["judgements"], 0, "{ran}");

    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let of = |kind| move |header: &&nephron_audit::Header| header.kind == kind;
    let headers = || entries.iter().map(|entry| &entry.header);
    let told: Vec<_> = headers().filter(of(EntryKind::JudgementsRerun)).collect();
    let outcomes = told
        .iter()
        .map(|header| header.outcome.as_str())
        .collect::<Vec<_>>();
    // Where nothing is run, nobody's log has anything to say.
    assert_eq!(outcomes, ["begun", "done"].repeat(5));
    let (begun, done) = (told[2], told[3]);
    for header in [begun, done] {
        assert!(
            header.facts["by"].starts_with("Dana Reyes (operator uid="),
            "{header:?}"
        );
        assert_eq!(header.facts["reason"], "ticket 7");
        assert!(header.facts.contains_key("candidate"), "{header:?}");
    }
    assert_eq!(done.counts["judgements"] - done.counts["same"], 1);
    // Each payload that was opened has its entry.
    let recorded = headers().filter(of(EntryKind::Decision));
    let recorded = recorded.filter(|header| header.request.is_some()).count();
    let opened = headers().filter(of(EntryKind::KeyUsed));
    let opened = opened.filter(|header| (begun.sequence..done.sequence).contains(&header.sequence));
    assert_eq!(opened.count(), recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_candidates_detectors_find_together_is_held_against_what_was_found() {
    let setup = Setup::default()
        .decider("does-nothing", "")
        .connector("shouts-tokens", "answer = \"yes\"");
    let served = setup.serve("").await;
    let (status, event) = ask(&served, "clinical", "Call (617) 555-0142 about zorblex.").await;
    assert_eq!(status, 200);
    let finder = |component: &str, settings: &str| {
        format!(
            "name = \"finder\"\nkind = \"detector\"\ncomponent = \"{component}\"\n[plugin.settings]\n{settings}\n"
        )
    };
    let ward = "recognizers = \"recognizers:\\n- name: Ward\\n  supported_entity: WARD\\n  patterns:\\n  - {name: p, regex: 'zorblex', score: 0.9}\\n\"";
    let (before, instead) = (
        finder("safe-harbor", ""),
        finder("presidio-recognizers", ward),
    );
    let (code, ran) = what_if(&served, &[(&before, &instead)], &[]);
    assert_eq!(code, Some(0), "{ran}");
    assert_eq!(ran["differences"]["lost-phone"], 1, "{ran}");
    assert_eq!(ran["differences"]["gained-other"], 1, "{ran}");
    let one = &ran["differing"][0];
    assert_eq!(
        (&one["event"], &one["plugin"]),
        (&json!(event), &Value::Null),
        "{ran}"
    );

    // Beside the one that was there, nothing is lost.
    let second = format!(
        "{before}[[plugin]]\n{}",
        instead.replace("\"finder\"", "\"wards\"")
    );
    let with = [
        (
            "detectors = [\"finder\"]",
            "detectors = [\"finder\", \"wards\"]",
        ),
        (&*before, &*second),
    ];
    let (code, ran) = what_if(&served, &with, &[]);
    assert_eq!(code, Some(0), "{ran}");
    assert_eq!(ran["differences"], json!({ "gained-other": 1 }), "{ran}");
    let _rig = served.reopened().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_stops_what_he_asked_for_and_others_may_ask() {
    let served = setup().serve("").await;
    let (status, _) = ask(&served, "clinical", "which ward?").await;
    assert_eq!(status, 200);
    let data = served.data();
    let text = served.setup().toml();
    let decider = "component = \"cedar-policy\"\n[plugin.settings]\npolicies = \"permit(principal, action, resource);\"\n";
    assert!(text.contains(decider), "{text}");
    // Each of its decisions takes as long as a call may.
    let candidate = data.join("candidate.toml");
    let looping = text.replace(
        decider,
        "component = \"loops-forever\"\n[plugin.settings]\n",
    );
    std::fs::write(
        &candidate,
        format!("data = \"{}\"\n{looping}", data.display()),
    )
    .unwrap();
    let asked = |since: Option<&str>| {
        let what = json!({ "what-if": { "candidate": candidate, "since": since } });
        let rerun =
            json!({ "what": what, "tenant": null, "by": "Dana Reyes", "reason": "ticket 7" });
        format!("{}\n", json!({ "rerun": rerun }))
    };
    let open = async || {
        UnixStream::connect(data.join("host/control"))
            .await
            .unwrap()
    };
    let mut stream = open().await;
    stream.write_all(asked(None).as_bytes()).await.unwrap();
    let mut first = String::new();
    let mut read = BufReader::new(stream);
    read.read_line(&mut first).await.unwrap();
    assert!(first.contains("progress"), "{first}");
    drop(read);
    // As soon as it has stopped, another may ask.
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let answered = async {
        loop {
            looks.tick().await;
            let mut stream = open().await;
            let later = asked(Some("2100-01-01T00:00:00Z"));
            stream.write_all(later.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            if !said.contains("run again already") {
                return said;
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(60), answered)
        .await
        .unwrap();
    assert!(said.contains("\"ran\""), "{said}");
    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let told = entries.iter().map(|entry| &entry.header);
    let told = told.filter(|header| header.kind == EntryKind::JudgementsRerun);
    let outcomes: Vec<_> = told.map(|header| header.outcome.as_str()).collect();
    assert_eq!(outcomes, ["begun", "stopped"]);
}

//! Plugins that break down again and again are left alone, and what broke one twice is not asked of it again.

use std::time::Duration;

use nephron_model::EntryKind;
use nephron_tests::{MockModel, Received, Served, Setup};
use serde_json::{Value, json};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

async fn ask(served: &Served, text: &str) -> Received {
    let message = json!({ "role": "user", "content": text });
    let body = json!({ "model": "clinical", "messages": [message] });
    served.chat(&body).await
}

fn reasons(received: &Received) -> Value {
    received.json()["error"]["reasons"].clone()
}

#[tokio::test]
async fn i6_a_plugin_that_traps_again_and_again_is_left_alone_and_then_tried_once() {
    let served = Setup::default().decider("traps", "").serve("").await;
    // Each another question, so that none is set aside.
    let mut texts = (1..).map(|length| "x".repeat(length));
    let mut next = || texts.next().unwrap();
    for _ in 0..5 {
        let received = ask(&served, &next()).await;
        assert_eq!(received.status, 500, "{}", received.text);
        assert_eq!(reasons(&received), json!(["trapped", "unreachable"]));
    }
    let received = ask(&served, &next()).await;
    assert_eq!(received.status, 503, "{}", received.text);
    assert_eq!(reasons(&received), json!(["not-run", "breaker-open"]));
    assert_eq!(received.header("retry-after"), Some("30"));
    served.clock.advance(Duration::from_secs(30));
    let tried = ask(&served, &next()).await;
    assert_eq!(reasons(&tried), json!(["trapped", "unreachable"]));
    let received = ask(&served, &next()).await;
    assert_eq!(reasons(&received), json!(["not-run", "breaker-open"]));

    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let of = |kind: EntryKind| {
        let of_kind = entries.iter().filter(move |one| one.header.kind == kind);
        of_kind.map(|one| one.header.outcome.as_str())
    };
    assert_eq!(
        of(EntryKind::BreakerChanged).collect::<Vec<_>>(),
        ["opened"]
    );
    let decisions = of(EntryKind::Decision);
    let not_asked = decisions.filter(|outcome| *outcome == "not-run");
    assert_eq!(not_asked.count(), 2, "what is not asked is in the log too");
}

#[tokio::test]
async fn i6_what_trapped_a_plugin_twice_is_sealed_and_not_asked_again() {
    let served = Setup::default().decider("traps", "").serve("").await;
    for _ in 0..2 {
        let received = ask(&served, "the same").await;
        assert_eq!(reasons(&received), json!(["trapped", "unreachable"]));
    }
    let received = ask(&served, "the same").await;
    assert_eq!(reasons(&received), json!(["not-run", "quarantined"]));
    assert_eq!(received.header("x-should-retry"), Some("false"));
    let other = ask(&served, "another question").await;
    assert_eq!(reasons(&other), json!(["trapped", "unreachable"]));

    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let mut set_aside = entries
        .iter()
        .filter(|one| one.header.kind == EntryKind::Quarantined);
    let one = set_aside.next().unwrap();
    assert!(set_aside.next().is_none());
    assert_eq!(one.header.reasons, ["unreachable"]);
    assert_eq!(one.header.plugin.as_ref().unwrap().name, "access");
    assert!(one.header.generation.is_some());
    let question = rig.payload(one, "question").await;
    let question: Value = serde_json::from_slice(&question).unwrap();
    assert_eq!(question["decide"]["point"], "ingress", "{question}");
}

/// A connector that encodes and then breaks down, at what comes back or at the signature: by the call it is known when it comes again,
/// though the response is another each time, and so are the tokens in the call.
#[tokio::test]
async fn i6_what_trapped_a_connector_behind_its_call_twice_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "an invented secret").unwrap();
    let owners = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, owners).unwrap();
    let access = format!(
        "[endpoint.aws-sigv4]\naccess-key-id = \"AKIDEXAMPLE000000000\"\nsecret = {{ file = \"{}\" }}\nregion = \"eu-central-1\"\n",
        secret.display()
    );
    for (connector, kind, exchanges) in [
        ("traps-decoding", "decode", 3),
        ("traps-signing", "sign", 0),
    ] {
        let model = MockModel::start(200, "Rest.").await;
        let setup = Setup::default().decider("does-nothing", "");
        let setup = match kind {
            "sign" => setup.signing(connector, &model.url(), &access, CLEARED),
            _ => setup.spoken(connector, "", &model.url(), "", CLEARED),
        };
        let served = setup.serve("").await;
        let same = "Call (617) 555-0142.";
        for _ in 0..2 {
            let received = ask(&served, same).await;
            assert_eq!(
                reasons(&received),
                json!(["trapped", "unreachable"]),
                "{kind}"
            );
        }
        let received = ask(&served, same).await;
        assert_eq!(
            reasons(&received),
            json!(["not-run", "quarantined"]),
            "{kind}"
        );
        let other = ask(&served, "Mail zebulon@clinic.example.").await;
        assert_eq!(reasons(&other), json!(["trapped", "unreachable"]), "{kind}");
        assert_eq!(
            model.seen().len(),
            exchanges,
            "{kind}: nothing is sent for what is set aside"
        );

        let rig = served.reopened().await;
        let entries = rig.all_entries();
        let mut set_aside = entries
            .iter()
            .filter(|one| one.header.kind == EntryKind::Quarantined);
        let one = set_aside.next().unwrap();
        assert!(set_aside.next().is_none());
        assert_eq!(one.header.facts["judgement"], kind);
        assert_eq!(one.header.plugin.as_ref().unwrap().name, "model");
        let question = rig.payload(one, "question").await;
        let question: Value = serde_json::from_slice(&question).unwrap();
        assert_eq!(question["encode"]["call"]["model"], "mock", "{question}");
    }
}

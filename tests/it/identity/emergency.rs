//! Access in an emergency, and the review that follows it.

use hyper::Method;
use nephron_gateway::REASON;
use nephron_keys::ApiKey;
use nephron_model::EntryKind;
use nephron_tests::{Received, Served, Setup};
use serde_json::{Value, json};

use super::{asking, event, reason};

const EMERGENCY: &str = "[emergency]\npurposes = [\"ETREAT\"]\n";

/// A key and its table.
fn key(id: &str, tenant: &str, caller: &str, role: &str, purposes: &str) -> (String, String) {
    let key = ApiKey::draw().unwrap();
    let table = format!(
        "[[api-key]]\nid = \"{id}\"\ndigest = \"{}\"\ntenant = \"{tenant}\"\ncaller = \"{caller}\"\n\
         roles = [\"{role}\"]\npurposes = [{purposes}]\nexpires = 2030-01-01\n",
        key.digest()
    );
    (key.reveal().to_owned(), table)
}

async fn reviews(served: &Served, key: &str) -> (u16, Vec<Value>) {
    let answer = served.call(Method::GET, "/v1/reviews", key, "").await;
    let listed = answer.json()["reviews"].as_array().cloned();
    (answer.status, listed.unwrap_or_default())
}

async fn close(served: &Served, key: &str, event: &str, body: &Value) -> Received {
    let path = format!("/v1/reviews/{event}/close");
    served
        .call(Method::POST, &path, key, &body.to_string())
        .await
}

/// `nephron review`, with this key.
async fn command(served: &Served, key: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(crate::nephron());
    command.arg("review").args(arguments);
    command
        .args(["--url", &served.url])
        .env("NEPHRON_API_KEY", key);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_otherwise_may_in_an_emergency_and_somebody_else_reviews_it() {
    let (medic, a) = key(
        "medic",
        "st-marys",
        "medic.lund",
        "responder",
        "\"TREAT\", \"ETREAT\"",
    );
    let (officer, b) = key(
        "officer",
        "st-marys",
        "moreau",
        "privacy-officer",
        "\"HCOMPL\"",
    );
    let (own, c) = key(
        "own",
        "st-marys",
        "medic.lund",
        "privacy-officer",
        "\"HCOMPL\"",
    );
    let (elsewhere, d) = key(
        "elsewhere",
        "lakeside",
        "ito",
        "privacy-officer",
        "\"HCOMPL\"",
    );
    let setup = Setup::default().and(&[EMERGENCY, &a, &b, &c, &d].concat());
    let served = setup.serve("").await;
    let emergency: &[_] = &[("x-purpose-of-use", "ETREAT")];

    let usual = served.post(Some(&medic), &[], &asking()).await;
    assert_eq!(
        (usual.status, reason(&usual).as_str()),
        (403, "no-policy-permits")
    );
    // What shows nothing needs no review.
    let decide = json!({ "point": "ingress", "action": "chat", "target": "clinical",
        "facts": { "messages": 1, "bytes": 9 } });
    for (path, body) in [
        ("/v1/deidentify", json!({ "text": "hello" })),
        ("/v1/decide", decide),
    ] {
        let body = body.to_string();
        let answer = served.post_to(path, Some(&medic), emergency, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    assert_eq!(reviews(&served, &officer).await, (200, vec![]));
    let mut events = Vec::new();
    for _ in 0..2 {
        let answer = served.post(Some(&medic), emergency, &asking()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains("Quackenbush"), "{}", answer.text);
        events.push(answer.header("x-request-id").unwrap().to_owned());
    }
    let [first, second] = events.as_slice() else {
        panic!()
    };

    assert_eq!(reviews(&served, &medic).await.0, 403);
    assert_eq!(reviews(&served, &elsewhere).await, (200, vec![]));
    let (_, open) = reviews(&served, &officer).await;
    assert_eq!(open.len(), 2);
    assert_eq!(
        open[0],
        json!({ "event": first, "caller": "medic.lund", "purpose": "ETREAT", "point": "ingress" })
    );

    let why = json!({ "reason": "Seen with the ward: Mrs. Quackenbush had collapsed." });
    for (key, event, body, expected) in [
        (&officer, first, json!({}), (400, "malformed")),
        (
            &officer,
            first,
            json!({ "reason": " " }),
            (400, "malformed"),
        ),
        (&own, first, why.clone(), (403, "own-review")),
        (&medic, first, why.clone(), (403, "denied")),
        (&elsewhere, first, why.clone(), (404, "no-review")),
    ] {
        let answer = close(&served, key, event, &body).await;
        let code = answer.json()["error"]["code"].clone();
        assert_eq!(
            (answer.status, code.as_str().unwrap()),
            expected,
            "{}",
            answer.text
        );
    }
    let closed = close(&served, &officer, first, &why).await;
    assert_eq!(closed.status, 200, "{}", closed.text);
    assert_eq!(close(&served, &officer, first, &why).await.status, 404);

    let (code, said) = command(&served, &officer, &["list"]).await;
    assert_eq!(
        (code, said),
        (Some(0), format!("{second}  ETREAT  medic.lund\n"))
    );
    let (code, said) = command(&served, &own, &["close", second, "--reason", "mine"]).await;
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = command(&served, &officer, &["close", second, "--reason", "seen"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(reviews(&served, &officer).await, (200, vec![]));

    let rig = served.reopened().await;
    let story = rig.story(first.parse().ok());
    let place = |kind| story.iter().position(|(found, _)| *found == kind).unwrap();
    assert!(place(EntryKind::Decision) < place(EntryKind::EmergencyAccess));
    assert!(place(EntryKind::EmergencyAccess) < place(EntryKind::Deidentified));
    let of_kind = |kind| {
        story
            .iter()
            .filter(move |(found, _)| *found == kind)
            .count()
    };
    assert_eq!(of_kind(EntryKind::EmergencyAccess), 1);
    let entries = rig.entries(event(&closed));
    let review = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::ReviewClosed);
    let review = review.unwrap();
    assert_eq!(review.header.caller.as_deref(), Some("moreau"));
    assert_eq!(review.header.facts["review"], *first);
    assert_eq!(review.header.facts["reviewed"], "medic.lund");
    let header = String::from_utf8(review.header_bytes.clone()).unwrap();
    assert!(!header.contains("collapsed"), "{header}");
    assert_eq!(
        rig.payload(review, REASON).await,
        why["reason"].as_str().unwrap().as_bytes()
    );
}

/// The log is read on threads that may wait; here there is one, and it is taken.
#[test]
fn a_list_of_reviews_holds_up_nobody_and_is_counted_when_its_client_leaves() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1);
    runtime.build().unwrap().block_on(async {
        let (officer, table) = key("o", "st-marys", "moreau", "privacy-officer", "\"HCOMPL\"");
        let status = "[status]\naddress = \"127.0.0.1:0\"\n";
        let setup = Setup::default().and(&[EMERGENCY, &table, status].concat());
        let served = setup.serve("").await;
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || wait.recv());
        let gone = "nephron_requests_total{api=\"review-list\",outcome=\"client-disconnected\"} 1";
        let listed = tokio::select! {
            biased;
            listed = reviews(&served, &officer) => Some(listed),
            () = async {
                for _ in 0..3 {
                    let answer = served.post(Some(&served.physician), &[], &asking()).await;
                    assert_eq!(answer.status, 200, "{}", answer.text);
                }
            } => None,
        };
        assert_eq!(listed, None, "the log was read on the thread that serves");
        // Its client has left with that.
        let counted = async {
            while !served.status("/metrics").await.text.contains(gone) {
                tokio::task::yield_now().await;
            }
        };
        let counted = tokio::time::timeout(std::time::Duration::from_secs(30), counted).await;
        assert!(counted.is_ok(), "it is not counted");
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        assert_eq!(reviews(&served, &officer).await, (200, vec![]));
        let _rig = served.reopened().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn each_emergency_that_is_permitted_is_counted_once() {
    let rig = Setup::default().and(EMERGENCY).open().await;
    let ask = async |role, purpose| {
        let text = "Patient: Zebulon Quackenbush has asthma.";
        rig.ask_as("st-marys", "medic.lund", role, purpose, None, text)
            .await
    };
    assert_eq!(ask("responder", "TREAT").await.status(), 403);
    assert_eq!(ask("billing", "ETREAT").await.status(), 403);
    assert_eq!(ask("physician", "TREAT").await.status(), 200);
    assert_eq!(rig.gateway.emergencies().emergencies(), 0);
    assert_eq!(ask("responder", "ETREAT").await.status(), 200);
    assert_eq!(ask("physician", "ETREAT").await.status(), 200);
    assert_eq!(rig.gateway.emergencies().emergencies(), 2);
}

//! What an endpoint refuses, or cannot serve now: clients are told as that endpoint's own API would tell them, and the log keeps
//! its words.

use std::sync::{Arc, Mutex};

use hyper::Response;
use nephron_gateway::RECEIVED;
use nephron_model::{EntryKind, EventId};
use nephron_tests::{Answering, Received, Served, Setup, UPSTREAM_DETAIL, sdk};
use serde_json::{Value, json};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

/// What an endpoint is to answer: its status, and a header by name and value, such as `429 retry-after=7`.
type Script = Arc<Mutex<&'static str>>;

/// A gateway before an endpoint that answers as the script says.
async fn served(script: Script) -> (Served, Answering) {
    let server = Answering::with_headers(move |_, _| {
        let asked = *script.lock().unwrap();
        let (status, header) = asked.split_once(' ').unwrap_or((asked, ""));
        let mut response = Response::builder().status(status.parse::<u16>().unwrap());
        if let Some((name, value)) = header.split_once('=') {
            response = response.header(name, value);
        }
        let error = json!({ "error": { "message": UPSTREAM_DETAIL } });
        response.body(error.to_string().into_bytes()).unwrap()
    })
    .await;
    let setup = Setup::default().upstream(server.url(), "", CLEARED);
    (setup.serve("").await, server)
}

async fn ask(served: &Served, path: &str, is_streamed: bool) -> Received {
    let message = json!({ "role": "user", "content": "Chest pain." });
    let body = json!({ "model": "clinical", "max_tokens": 9, "messages": [message], "stream": is_streamed });
    let key = Some(served.physician.as_str());
    served.post_to(path, key, &[], &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_no_answer_is_told_in_the_way_of_the_api_that_was_called() {
    const BUSY: &str = "upstream-busy";
    const FAILED: &str = "upstream-failed";
    const REFUSED: &str = "upstream-refused";
    let script = Script::default();
    let (served, _server) = served(Arc::clone(&script)).await;
    let mut told = Vec::new();
    for (there, status, code, reason, wait) in [
        ("429", 429, BUSY, "unavailable", Some("1")),
        ("429 retry-after=7", 429, BUSY, "unavailable", Some("7")),
        ("429 retry-after=0", 429, BUSY, "unavailable", Some("1")),
        (
            "429 retry-after=86400",
            429,
            BUSY,
            "unavailable",
            Some("60"),
        ),
        (
            "429 retry-after-ms=2500",
            429,
            BUSY,
            "unavailable",
            Some("3"),
        ),
        ("503", 503, BUSY, "unavailable", Some("1")),
        ("529", 503, BUSY, "unavailable", Some("1")),
        ("408", 502, FAILED, "unavailable", None),
        ("500", 502, FAILED, "unavailable", None),
        ("504 retry-after=5", 502, FAILED, "unavailable", Some("5")),
        ("400", 400, REFUSED, "refused-the-request", None),
        ("413", 400, REFUSED, "refused-the-request", None),
        ("422", 400, REFUSED, "refused-the-request", None),
        ("302", 502, REFUSED, "refused-the-gateway", None),
        ("401", 502, REFUSED, "refused-the-gateway", None),
        ("403", 502, REFUSED, "refused-the-gateway", None),
        ("404", 502, REFUSED, "refused-the-gateway", None),
    ] {
        for is_streamed in [false, true] {
            for path in ["/v1/chat/completions", "/v1/messages"] {
                *script.lock().unwrap() = there;
                let answer = ask(&served, path, is_streamed).await;
                let is_anthropics = path == "/v1/messages";
                let (kind, status) = match (status, is_anthropics) {
                    (429, _) => ("rate_limit_error", 429),
                    (400, _) => ("invalid_request_error", 400),
                    (503, true) => ("overloaded_error", 529),
                    (_, true) => ("api_error", status),
                    (_, false) => ("server_error", status),
                };
                assert_eq!(answer.status, status, "{there} {path}: {}", answer.text);
                let error = &answer.json()["error"];
                assert_eq!(error["type"], kind, "{there} {path}: {}", answer.text);
                assert_eq!(error["code"], code, "{there} {path}: {}", answer.text);
                assert_eq!(error["reasons"], json!([reason]), "{there} {path}");
                assert_eq!(answer.header("retry-after"), wait, "{there} {path}");
                // Where the endpoint's own clients would ask again, so may ours.
                let is_final = (code == REFUSED).then_some("false");
                assert_eq!(answer.header("x-should-retry"), is_final, "{there} {path}");
                assert!(!answer.text.contains(UPSTREAM_DETAIL), "{}", answer.text);
                told.push((answer, there, code, reason));
            }
        }
    }
    let rig = served.reopened().await;
    for (answer, there, code, reason) in told {
        let event: Option<EventId> = answer.header("x-request-id").map(|id| id.parse().unwrap());
        let entries = rig.entries(event);
        let received: Vec<_> = entries
            .iter()
            .filter(|entry| entry.header.kind == EntryKind::Received)
            .collect();
        let [received] = received.as_slice() else {
            panic!("{there}: one exchange is one entry");
        };
        assert_eq!(received.header.outcome, "failed", "{there}");
        assert_eq!(received.header.reasons, [reason], "{there}");
        assert_eq!(received.header.facts["status"], there[..3], "{there}");
        // What the endpoint said stands there, sealed, and nowhere else.
        let kept = rig.payload(received, RECEIVED).await;
        let kept = String::from_utf8(kept).unwrap();
        assert!(kept.contains(UPSTREAM_DETAIL), "{there}: {kept}");
        let closed = (EntryKind::RequestClosed, code.to_owned());
        assert_eq!(rig.story(event).pop(), Some(closed), "{there}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_within_an_answer_is_the_endpoints_failure_if_it_says_so() {
    let server = Answering::with_headers(|_, _| {
        let error = json!({ "error": { "type": "server_error", "message": UPSTREAM_DETAIL } });
        let body = format!("data: {error}\n\n").into_bytes();
        let response = Response::builder().header("content-type", "text/event-stream");
        response.body(body).unwrap()
    })
    .await;
    let setup = Setup::default().upstream(server.url(), "", CLEARED);
    let served = setup.serve("").await;
    let answer = ask(&served, "/v1/chat/completions", true).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "upstream-failed", "{}", answer.text);
    assert_eq!(error["reasons"], json!(["broken-answer"]));
    assert_eq!(answer.header("x-should-retry"), None);
    assert!(!answer.text.contains(UPSTREAM_DETAIL), "{}", answer.text);
    let _rig = served.reopened().await;
}

/// What an endpoint does when it is asked this for the so-manieth time.
fn played(what: &str, times: usize) -> Response<Vec<u8>> {
    let status = match what {
        "please be busy always" => 429,
        "please be busy once" if times == 1 => 429,
        "please be overloaded" => 503,
        "please be too much" => 400,
        _ => 200,
    };
    let response = Response::builder().status(status);
    let json = |body: Value| body.to_string().into_bytes();
    if status != 200 {
        let error = json!({ "error": { "message": "words of the endpoint's own" } });
        return response.body(json(error)).unwrap();
    }
    if what == "please break off" {
        let choice = json!({ "index": 0, "delta": { "content": "So it " }, "finish_reason": null });
        let chunk = format!("data: {}\n\n", json!({ "choices": [choice] }));
        let response = response.header("content-type", "text/event-stream");
        return response.body(chunk.into_bytes()).unwrap();
    }
    let message = json!({ "role": "assistant", "content": "So it is." });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    let response = response.header("content-type", "application/json");
    response.body(json(json!({ "choices": [choice] }))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_raise_what_their_apis_have_and_ask_again_as_often() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let record = Arc::clone(&asked);
    let server = Answering::with_headers(move |_, body| {
        let call: Value = serde_json::from_slice(body).unwrap();
        let last = call["messages"].as_array().unwrap().last().unwrap();
        let what = last["content"].as_str().unwrap();
        let mut record = record.lock().unwrap();
        record.push(what.to_owned());
        played(what, record.iter().filter(|one| *one == what).count())
    })
    .await;
    let (pki, listen) = super::serve::pki();
    let visitor = nephron_keys::ApiKey::draw().unwrap();
    let denied = format!(
        "[[api-key]]\nid = \"visitor\"\ndigest = \"{}\"\ntenant = \"st-marys\"\ncaller = \"a.visitor\"\n\
         roles = [\"visitor\"]\npurposes = [\"TREAT\"]\nexpires = 2030-01-01\n",
        visitor.digest()
    );
    let setup = Setup::default().upstream(server.url(), "", CLEARED);
    let served = setup.and(&denied).serve(&listen).await;
    let authority = pki.path().join("ca.pem").display().to_string();
    for (script, streams) in [
        ("failures_openai.py", 2),
        ("failures_openai.mjs", 2),
        ("failures_anthropic.py", 1),
    ] {
        let (url, key) = (served.url.clone(), served.physician.clone());
        let (denied, authority) = (visitor.reveal().to_owned(), authority.clone());
        let printed = tokio::task::spawn_blocking(move || {
            let environment = [
                ("BASE_URL", url.as_str()),
                ("API_KEY", &key),
                ("DENIED_KEY", &denied),
                ("SSL_CERT_FILE", &authority),
                ("NODE_EXTRA_CA_CERTS", &authority),
            ];
            sdk(script, &environment)
        });
        let printed = printed.await.unwrap();
        assert_eq!(printed.matches("held:").count(), 4 + streams, "{printed}");
        // They wait and ask again where that is of use, and nowhere else; nothing of the visitor's was sent.
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let times = |what: &str| asked.iter().filter(|one| *one == what).count();
        for (what, expected) in [
            ("please be busy always", 3),
            ("please be busy once", 2),
            ("please be overloaded", 1),
            ("please be too much", 1),
            ("please break off", streams),
        ] {
            assert_eq!(times(what), expected, "{script}: {what}");
        }
        assert_eq!(asked.len(), 7 + streams, "{script}: {asked:?}");
    }
    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let denials = entries.iter().filter(|entry| {
        entry.header.kind == EntryKind::RequestClosed && entry.header.outcome == "denied"
    });
    assert_eq!(denials.count(), 3, "a denial is not tried again");
}

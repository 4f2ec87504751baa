//! Requests that a connector signs with a lent key, in the words of Amazon Bedrock.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nephron_gateway::replay::Replayer;
use nephron_model::EntryKind;
use nephron_tests::{CANARIES, CANARY_NOTE, Setup, sdk};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "AKIDEXAMPLE000000000";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN";
const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

/// The bytes of a recorded stream.
fn recorded() -> Bytes {
    let case = include_str!("../conformance/llm-connector/bedrock/text-stream.json");
    let case: Value = serde_json::from_str(case).unwrap();
    let chunks = case["response"]["chunks"].as_array().unwrap();
    let bytes = chunks.iter().flat_map(|chunk| {
        let chunk = chunk["base64"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(chunk)
            .unwrap()
    });
    bytes.collect()
}

/// A server that keeps what it is sent and answers as a whole, or with the recorded stream where one is asked for.
pub(super) async fn server() -> (String, Arc<Mutex<Vec<Value>>>) {
    let message = json!({ "role": "assistant", "content": [{ "text": "Rest – and drink. 🫖" }] });
    let usage = json!({ "inputTokens": 7, "outputTokens": 5, "totalTokens": 12 });
    let answer =
        json!({ "output": { "message": message }, "stopReason": "end_turn", "usage": usage });
    let answer = Bytes::from(answer.to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (record, answer) = (Arc::clone(&record), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (record, answer) = (Arc::clone(&record), answer.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let header = |(name, value): (
                        &hyper::header::HeaderName,
                        &hyper::header::HeaderValue,
                    )| {
                        json!([name.as_str(), value.to_str().unwrap()])
                    };
                    record.lock().unwrap().push(json!({
                        "path": head.uri.path(),
                        "headers": head.headers.iter().map(header).collect::<Vec<_>>(),
                        "body": std::str::from_utf8(&body).unwrap(),
                    }));
                    let (form, answer) = match head.uri.path().ends_with("/converse-stream") {
                        true => ("application/vnd.amazon.eventstream", recorded()),
                        false => ("application/json", answer),
                    };
                    let response = Response::builder()
                        .header("content-type", form)
                        .body(Full::new(answer));
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    (url, seen)
}

/// Files with the access key's secret and the session token, and what the configuration says of them.
fn access() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (secret, token) = (file("secret", SECRET), file("token", TOKEN));
    let access = format!(
        "[endpoint.aws-sigv4]\naccess-key-id = \"{ACCESS_KEY}\"\nsecret = {{ file = \"{secret}\" }}\n\
         session-token = {{ file = \"{token}\" }}\nregion = \"eu-central-1\"\n"
    );
    (folder, access)
}

#[tokio::test]
async fn a_request_is_signed_with_a_lent_key_and_amazons_own_library_agrees() {
    let (url, seen) = server().await;
    let (_folder, access) = access();
    let setup = Setup::default().signing("bedrock", &url, &access, CLEARED);
    let rig = setup.open().await;
    let reply = rig.ask(CANARY_NOTE).await;
    assert_eq!(reply.status(), 200, "{}", reply.body().expose());
    let said = reply.text().unwrap().expose().clone();
    assert_eq!(said, "Rest – and drink. 🫖");

    let sent = seen.lock().unwrap().pop().unwrap();
    assert_eq!(sent["path"], "/model/mock/converse");
    let body = sent["body"].as_str().unwrap();
    assert!(CANARIES.iter().all(|canary| !body.contains(canary)));
    let token = json!(["x-amz-security-token", TOKEN]);
    assert!(sent["headers"].as_array().unwrap().contains(&token));
    assert_signed(&sent).await;

    // The use of the key stands in the log before what was signed with it left.
    let entries = rig.entries(reply.event());
    let place = |found: &dyn Fn(&nephron_audit::Entry) -> bool| entries.iter().position(found);
    let used = place(&|entry| {
        entry.header.kind == EntryKind::KeyUsed
            && entry.header.facts.get("signing-key").map(String::as_str)
                == Some("AKIDEXAMPLE000000000/20261122/eu-central-1/bedrock/aws4_request")
    });
    let signed = place(&|entry| entry.header.outcome == "signed");
    let sending = place(&|entry| entry.header.kind == EntryKind::Sending);
    assert!(used.is_some() && used < signed && signed < sending);

    // What the key gave is part of the judgement: it is run again without the key (I8).
    let engine = nephron_engine::Engine::new().unwrap();
    let mut replayer = Replayer::new(rig.folder.path(), &engine);
    let grant = rig.auditor();
    for entry in entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::Decision)
    {
        let replayed = replayer.replay(&grant, entry).await.unwrap();
        assert!(
            replayed.same_answer && replayed.same_fuel,
            "{}",
            entry.header.outcome
        );
        // And neither the secret nor the token is (I4).
        let judgement = rig.payload(entry, "judgement").await;
        let judgement = String::from_utf8(judgement).unwrap();
        assert!(!judgement.contains(SECRET) && !judgement.contains(TOKEN));
    }
}

/// Amazon's own library finds the signature right.
async fn assert_signed(sent: &Value) {
    let sent = sent.to_string();
    let verified = tokio::task::spawn_blocking(move || {
        let environment = [
            ("SENT", sent.as_str()),
            ("ACCESS_KEY_ID", ACCESS_KEY),
            ("SECRET", SECRET),
        ];
        sdk("sigv4.py", &environment)
    });
    assert_eq!(
        verified.await.unwrap().trim(),
        "held: signed for eu-central-1 bedrock"
    );
}

#[tokio::test]
async fn a_stream_is_asked_for_signed_and_an_image_is_signed_as_it_is_sent() {
    let (url, seen) = server().await;
    let (_folder, access) = access();
    let marked = format!(
        "[[associate]]\nname = \"clinic-ai\"\n[associate.agreement]\nstatus = \"signed\"\nid = \"BAA-7\"\nservices = [\"marked\"]\n\
         from = 2026-01-01\nuntil = 2027-01-01\n\
         [[endpoint]]\nname = \"marked\"\nconnector = \"model\"\nassociate = \"clinic-ai\"\nurl = \"{url}\"\nmay-see-phi = true\n{access}\n\
         [[route]]\nmodel = \"marked\"\nendpoint = \"marked\"\n"
    );
    let setup = Setup::default().signing("bedrock", &url, &access, CLEARED);
    let served = setup.and(&marked).serve("").await;
    let message = json!({ "role": "user", "content": CANARY_NOTE });
    let asked = json!({ "model": "clinical", "stream": true, "messages": [message] });
    let streamed = served.chat(&asked).await;
    assert_eq!(streamed.status, 200, "{}", streamed.text);
    let pieces = streamed.text.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        let piece = event["choices"][0]["delta"]["content"].as_str()?;
        Some(piece.to_owned())
    });
    let said: String = pieces.collect();
    assert!(said.contains("rest"), "{said} of {}", streamed.text);
    assert!(streamed.text.trim_end().ends_with("data: [DONE]"));
    let sent = seen.lock().unwrap().pop().unwrap();
    assert_eq!(sent["path"], "/model/mock/converse-stream");
    assert!(
        CANARIES
            .iter()
            .all(|canary| !sent["body"].to_string().contains(canary))
    );
    assert_signed(&sent).await;

    let answered = served
        .chat(&super::blobs::asked("marked", &super::blobs::image()))
        .await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let sent = seen.lock().unwrap().pop().unwrap();
    let body: Value = serde_json::from_str(sent["body"].as_str().unwrap()).unwrap();
    let content = body["messages"][0]["content"].as_array().unwrap();
    let image = content
        .iter()
        .find_map(|block| block["image"]["source"]["bytes"].as_str());
    assert_eq!(image, Some(super::blobs::DATA));
    assert_signed(&sent).await;
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let (url, seen) = server().await;
    let (folder, access) = access();
    // A connector that signs nothing.
    let setup = Setup::default().signing("openai-compatible", &url, &access, CLEARED);
    let reply = setup.open().await.ask(CANARY_NOTE).await;
    assert_eq!(reply.refusal().unwrap().code(), "plugin-failed");
    // A secret that anyone can read.
    let secret = folder.path().join("secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let setup = Setup::default().signing("bedrock", &url, &access, CLEARED);
    let reply = setup.open().await.ask(CANARY_NOTE).await;
    assert_eq!(reply.refusal().unwrap().code(), "upstream-failed");
    assert!(seen.lock().unwrap().is_empty());
}

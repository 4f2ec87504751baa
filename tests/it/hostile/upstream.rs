//! Servers that misbehave towards a connector, and what a guest writes where people read.

use std::path::Path;

use nephron_model::EntryKind;
use nephron_tests::{Answering, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::canary::heard;

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
const SECRET: &str = "sk-invented-0123456789";

/// `[endpoint.credential]` with the name `ward`, whose secret lies in `folder`.
pub(super) fn credential(folder: &Path) -> String {
    let path = folder.join("secret");
    std::fs::write(&path, SECRET).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    format!(
        "[endpoint.credential]\nname = \"ward\"\nprefix = \"Bearer \"\nsecret = {{ file = \"{}\" }}\n",
        path.display()
    )
}

#[tokio::test]
async fn a_credential_that_comes_back_reaches_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let quoting = Answering::start(|_, _| {
        let said = format!("Incorrect API key provided: {SECRET}.");
        let body = serde_json::json!({ "choices": [{ "message": { "role": "assistant", "content": said } }] });
        (200, body.to_string().into_bytes())
    })
    .await;
    let settings = "credential = \"ward\"";
    let credential = credential(folder.path());
    let rig = Setup::default()
        .spoken(
            "openai-compatible",
            settings,
            quoting.url(),
            &credential,
            CLEARED,
        )
        .open()
        .await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(reply.refusal().unwrap().code(), "upstream-failed");
    assert!(!reply.body().expose().contains(SECRET));
    let entries = rig.entries(reply.event());
    let received = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Received)
        .unwrap();
    assert_eq!(received.header.reasons, ["credential-echoed"]);
    let kept = rig.payload(received, nephron_gateway::RECEIVED).await;
    assert!(memchr::memmem::find(&kept, SECRET.as_bytes()).is_none());
}

/// A server that answers without end, in pieces of so many bytes.
async fn endless(piece: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _asked = stream.read(&mut buffer).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n";
                let mut bytes = head.as_bytes().to_vec();
                let chunk = format!("{piece:x}\r\n{}\r\n", ":".repeat(piece)).into_bytes();
                while stream.write_all(&bytes).await.is_ok() {
                    bytes = chunk.repeat((1 << 16) / chunk.len());
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_response_without_end_is_cut_off() {
    for piece in [1, 60_000] {
        let url = endless(piece).await;
        let rig = Setup::default().upstream(&url, "", CLEARED).open().await;
        let reply = rig.ask("Chest pain.").await;
        assert_eq!(
            reply.refusal().unwrap().code(),
            "upstream-failed",
            "{piece}"
        );
        let entries = rig.entries(reply.event());
        let received = entries
            .iter()
            .find(|entry| entry.header.kind == EntryKind::Received)
            .unwrap();
        assert_eq!(received.header.reasons, ["response-too-large"], "{piece}");
    }
}

#[tokio::test]
async fn what_a_guest_says_stands_in_no_log() {
    let (lines, _hearing) = heard();
    let rig = Setup::default()
        .decider("writes-into-logs", "")
        .open()
        .await;
    // The model is what the decider is asked about.
    for model in ["any", "reason"] {
        let request = serde_json::json!({
            "tenant": "st-marys",
            "caller": { "id": "dr.okafor", "roles": ["physician"] },
            "purpose": "TREAT",
            "model": model,
            "messages": [{ "role": "user", "content": "Chest pain." }],
        });
        let reply = rig.gateway.handle(request.to_string().as_bytes()).await;
        assert_eq!(reply.status(), 200, "{model}");
    }
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(
        written.contains("nephron::plugin"),
        "what it said is counted"
    );
    assert!(!written.contains("forged-by-a-guest"), "{written}");
    let mut withheld = 0;
    for entry in rig.all_entries() {
        let header = String::from_utf8(entry.header_bytes).unwrap();
        assert!(!header.contains("forged-by-a-guest"), "{header}");
        withheld += header.matches("\"withheld\"").count();
    }
    assert!(withheld > 0, "a code that is none is withheld");
}

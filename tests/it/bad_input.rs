//! What no client would send, byte by byte, through the listener: each has a clear answer, in the shape of its API where
//! there is one, an entry in the log, and nothing is sent to any endpoint.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nephron_model::{EntryKind, EventId};
use nephron_tests::{MockModel, Served, Setup};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Lets text that was cleared by Safe Harbor go to the mock, which has no agreement.
const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

/// One answer, as it came.
struct Answer {
    status: u16,
    headers: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines();
        let mut values = lines.filter_map(|line| line.split_once(": "));
        values.find(|(there, _)| *there == name).map(|(_, it)| it)
    }

    fn event(&self) -> EventId {
        let id = self.header("x-request-id");
        id.unwrap_or_else(|| panic!("{} has no event", self.body))
            .parse()
            .unwrap()
    }

    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// Sends these bytes alone, and reads until the gateway hangs up.
async fn said_to(served: &Served, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = served.connect().await;
    let mut said = Vec::new();
    let exchange = async {
        stream.write_all(bytes).await.unwrap();
        stream.read_to_end(&mut said).await.unwrap();
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), exchange).await;
    let said = String::from_utf8(said).unwrap();
    assert!(ended.is_ok(), "the connection stays open after {said:?}");
    answers(&said)
}

fn answers(mut said: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((head, rest)) = said.split_once("\r\n\r\n") {
        let (first, headers) = head.split_once("\r\n").unwrap();
        let mut answer = Answer {
            status: first[9..12].parse().unwrap(),
            headers: headers.to_owned(),
            body: Value::Null,
        };
        let length = answer.header("content-length").unwrap().parse().unwrap();
        let (body, rest) = rest.split_at(length);
        answer.body = serde_json::from_str(body).unwrap();
        answers.push(answer);
        said = rest;
    }
    assert_eq!(said, "");
    answers
}

fn chat() -> String {
    let message = json!({ "role": "user", "content": "Hello." });
    json!({ "model": "clinical", "messages": [message] }).to_string()
}

/// A head up to where its framing would stand, for the physician.
fn head(served: &Served, path: &str) -> String {
    let key = &served.physician;
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n")
}

/// A whole request with a length.
fn whole(served: &Served, path: &str, body: &[u8]) -> Vec<u8> {
    let head = head(served, path);
    let framing = format!(
        "connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), framing.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_may_read_in_another_way_is_refused_and_hides_nothing() {
    let model = MockModel::start(200, "ok").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let chat = chat();
    let length = chat.len();
    // A body that is whole by its chunks, and another request behind it.
    let chunks = format!("{length:x}\r\n{chat}\r\n0\r\n\r\n");
    let second =
        String::from_utf8(whole(&served, "/v1/chat/completions", chat.as_bytes())).unwrap();
    let chunked = "transfer-encoding: chunked";
    let mut events = Vec::new();
    for framing in [
        format!("content-length: {}\r\n{chunked}", chunks.len()),
        format!("{chunked}\r\ncontent-length: {}", chunks.len()),
        format!("content-length: 5\r\n{chunked}"),
        format!("content-length: 0\r\n{chunked}"),
        format!("{chunked}\r\n{chunked}"),
        format!("{chunked}\r\ntransfer-encoding: identity"),
        "transfer-encoding: identity, chunked".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "transfer-encoding:\u{b}chunked".to_owned(),
        format!("x: y\r\n {chunked}"),
        format!("x: y\r{chunked}"),
        format!("x: y\n{chunked}"),
        format!("host: y\r\n{chunked}"),
        format!("content-length: +{length}"),
        format!("content-length: {length}, {length}"),
        format!("content-length: {length}\r\ncontent-length: 5"),
        format!("content-length: {length}\r\ncontent-length: {length}"),
    ] {
        let body = match framing.contains("chunked") {
            true => &chunks,
            false => &chat,
        };
        let head = head(&served, "/v1/chat/completions");
        let sent = format!("{head}{framing}\r\n\r\n{body}{second}");
        let answers = said_to(&served, sent.as_bytes()).await;
        let [answer] = &answers[..] else {
            panic!("{framing:?} has {} answers", answers.len());
        };
        let told = (answer.status, answer.code());
        assert_eq!(told, (400, "bad-http"), "{framing:?}: {}", answer.body);
        assert_eq!(answer.body["error"]["type"], "invalid_request_error");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("connection"), Some("close"));
        events.push(answer.event());
    }
    assert!(model.seen().is_empty(), "something was sent");

    // What stands before it on its connection is answered, and first.
    let framing = format!("content-length: {length}\r\n\r\n{chat}");
    let first = head(&served, "/v1/chat/completions") + &framing;
    let path = head(&served, "/v1/messages");
    let bad = format!("{path}content-length: 5\r\n{chunked}\r\n\r\n{chunks}");
    let sent = [first, bad, second].concat();
    let answers = said_to(&served, sent.as_bytes()).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 400]);
    let refused = &answers[1];
    assert_eq!(
        (&refused.body["type"], refused.code()),
        (&json!("error"), "bad-http")
    );
    assert_eq!(
        refused.body["request_id"].as_str(),
        refused.header("request-id")
    );
    events.push(refused.event());
    assert_eq!(model.seen().len(), 1);

    let rig = served.reopened().await;
    let host = rig.host_entries();
    for event in events {
        let entry = host
            .iter()
            .find(|entry| entry.header.request == Some(event));
        let header = &entry.unwrap().header;
        assert_eq!(
            (header.kind, header.outcome.as_str()),
            (EntryKind::RequestRefused, "bad-http")
        );
        assert_eq!(header.facts["source"], "127.0.0.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_http_2_has_the_length_that_its_head_says() {
    let model = MockModel::start(200, "ok").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let body = chat();
    for (length, is_answered) in [
        (body.len(), true),
        (body.len() - 1, false),
        (body.len() + 1, false),
    ] {
        let io = TokioIo::new(served.connect().await);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://x/v1/chat/completions")
            .header("authorization", format!("Bearer {}", served.physician))
            .header("content-length", length)
            .body(Full::new(Bytes::from(body.clone())));
        let answer = sender.send_request(request.unwrap()).await;
        let is_there = answer.is_ok_and(|answer| answer.status() == 200);
        assert_eq!(is_there, is_answered, "{length} of {}", body.len());
    }
    assert_eq!(model.seen().len(), 1);
    let rig = served.reopened().await;
    let all = rig.all_entries();
    let refused = all
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::RequestRefused);
    assert_eq!(refused.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_or_comes_too_slowly_is_told_so() {
    let model = MockModel::start(200, "ok").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup
        .serve("head-time = \"1s\"\nbody-time = \"1s\"\n")
        .await;
    let head = head(&served, "/v1/chat/completions");
    let body = chat();
    let length = body.len();
    for (what, text, expected) in [
        (
            "no HTTP",
            "\u{16}\u{3}\u{1} \r\n\r\n".to_owned(),
            Some((400, "bad-http")),
        ),
        ("nothing", String::new(), None),
        (
            "half of the preface of HTTP/2",
            "PRI * HT".to_owned(),
            Some((408, "too-slow")),
        ),
        (
            "a head without end",
            format!("{head}x: "),
            Some((408, "too-slow")),
        ),
        (
            "a body without end",
            format!("{head}content-length: {length}\r\n\r\n{{"),
            Some((408, "too-slow")),
        ),
        (
            "a body in chunks without end",
            format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"),
            Some((408, "too-slow")),
        ),
        (
            "a head of a megabyte",
            format!("{head}x: {}\r\n\r\n", "x".repeat(1 << 20)),
            Some((431, "bad-http")),
        ),
    ] {
        let answers = said_to(&served, text.as_bytes()).await;
        let told: Vec<_> = answers
            .iter()
            .map(|answer| (answer.status, answer.code()))
            .collect();
        assert_eq!(told, Vec::from_iter(expected), "{what}");
    }
    assert!(model.seen().is_empty(), "something was sent");
    let rig = served.reopened().await;
    let host = rig.host_entries();
    let counted = host
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::RequestsCounted);
    let counted = counted.filter_map(|entry| entry.header.counts.get("too-slow"));
    // Nothing, a preface, a head; the bodies are their tenant's.
    assert_eq!(counted.sum::<u64>(), 3);
    let all = rig.all_entries();
    let slow = all.iter().filter(|entry| {
        let header = &entry.header;
        (header.kind, header.outcome.as_str()) == (EntryKind::RequestRefused, "too-slow")
    });
    assert_eq!(slow.count(), 2);
}

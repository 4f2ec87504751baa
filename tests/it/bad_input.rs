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

/// Whatever a body is, it is refused in the shape of the API of its path.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_none_of_its_api_is_refused_with_an_entry() {
    let model = MockModel::start(200, "ok").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let messages = |role: &str| {
        let message = json!({ "role": role, "content": "Hello." });
        json!({ "model": "clinical", "max_tokens": 9, "messages": [message] }).to_string()
    };
    let [good, robot] = ["user", "robot"].map(messages);
    let invalid = good
        .replace("Hello.", "\u{1}")
        .into_bytes()
        .into_iter()
        .map(|byte| if byte == 1 { 0xff } else { byte })
        .collect::<Vec<_>>();
    let overlong = [b"{\"model\":\"\xc0\xae\",", &good.as_bytes()[1..]].concat();
    let surrogate = good.replace("Hello.", "\\ud800");
    let deep = format!(
        "{{\"model\":\"clinical\",\"messages\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let objects = format!(
        "{{\"model\":\"clinical\",\"messages\":{}1{}}}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    let twice = good.replacen('{', "{\"model\":\"clinical\",", 1);
    let within = good.replace("\"role\"", "\"role\":\"user\",\"role\"");
    let huge = good.replacen('{', "{\"temperature\":1e400,", 1);
    let long = good.replacen('{', &format!("{{\"top_p\":{},", "1".repeat(40)), 1);
    let cases: [(&str, &[u8]); 14] = [
        ("invalid UTF-8", &invalid),
        ("overlong UTF-8", &overlong),
        ("half a surrogate", surrogate.as_bytes()),
        ("lists 10,000 deep", deep.as_bytes()),
        ("objects 10,000 deep", objects.as_bytes()),
        ("a key twice", twice.as_bytes()),
        ("a key twice within", within.as_bytes()),
        ("a number beyond all", huge.as_bytes()),
        ("a number of many digits", long.as_bytes()),
        ("an unknown role", robot.as_bytes()),
        ("nothing", b""),
        ("a byte order mark alone", b"\xef\xbb\xbf"),
        ("two documents", b"{} {}"),
        ("a null", b"null"),
    ];
    let mut events = Vec::new();
    for path in ["/v1/chat/completions", "/v1/messages"] {
        for (what, body) in cases {
            let answers = said_to(&served, &whole(&served, path, body)).await;
            let [answer] = &answers[..] else {
                panic!("{what} at {path} has {} answers", answers.len());
            };
            let told = (answer.status, answer.code());
            assert_eq!(
                told,
                (400, "malformed"),
                "{what} at {path}: {}",
                answer.body
            );
            assert_eq!(answer.body["error"]["type"], "invalid_request_error");
            let kind = answer.body["type"].as_str();
            assert_eq!(kind, (path == "/v1/messages").then_some("error"));
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            events.push((answer.event(), "malformed"));
        }
    }
    // Chunks that do not have the lengths that they say, with a request behind them.
    let chunked = head(&served, "/v1/chat/completions") + "transfer-encoding: chunked\r\n\r\n";
    let second = String::from_utf8(whole(&served, "/v1/messages", good.as_bytes())).unwrap();
    for chunks in [
        "2\r\n{\r\n0\r\n\r\n",
        "zz\r\n",
        "1\r\n{}0\r\n\r\n",
        "0x1\r\n{\r\n",
    ] {
        let sent = format!("{chunked}{chunks}{second}");
        let answers = said_to(&served, sent.as_bytes()).await;
        let [answer] = &answers[..] else {
            panic!("{chunks:?} has {} answers", answers.len());
        };
        let told = (answer.status, answer.code());
        assert_eq!(told, (400, "malformed"), "{chunks:?}: {}", answer.body);
        events.push((answer.event(), "malformed"));
    }
    assert!(model.seen().is_empty(), "something was sent");
    let rig = served.reopened().await;
    for (event, outcome) in events {
        let story = rig.story(Some(event));
        assert_eq!(
            story,
            [(EntryKind::RequestRefused, outcome.to_owned())],
            "{event}"
        );
    }
}

/// The client has sent much more than is read before the answer, and must get it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_too_much_is_told_so() {
    const MUCH: usize = 32 << 20;
    let model = MockModel::start(200, "ok").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let head = head(&served, "/v1/messages");
    let counted = format!("{head}content-length: {MUCH}\r\n\r\n");
    let counted = [counted.as_bytes(), &vec![b' '; MUCH]].concat();
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..MUCH >> 16 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 1 << 16]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for sent in [counted, chunked] {
        let answers = said_to(&served, &sent).await;
        let [answer] = &answers[..] else {
            panic!("{} answers", answers.len());
        };
        assert_eq!((answer.status, answer.code()), (413, "malformed"));
        assert_eq!(answer.body["error"]["type"], "request_too_large");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert!(model.seen().is_empty(), "something was sent");
    let rig = served.reopened().await;
    let all = rig.all_entries();
    let refused = all.iter().filter(|entry| {
        let header = &entry.header;
        (header.kind, header.outcome.as_str()) == (EntryKind::RequestRefused, "malformed")
    });
    assert_eq!(refused.count(), 2);
}

//! Clients of two APIs, the `anthropic` connector, and a mock of Anthropic's service at the end.

use std::os::unix::fs::PermissionsExt as _;

use nephron_model::{EntryKind, EventId};
use nephron_tests::{CANARIES, MockAnthropic, Received, Setup, UPSTREAM_DETAIL};
use serde_json::{Value, json};

const SECRET: &str = "sk-ant-EXAMPLE";
const NAME: &str = "Patient: Zebulon Quackenbush has asthma.";

/// A setup whose connector speaks to the mock, and the folder that holds the service's key.
fn setup(mock: &MockAnthropic) -> (Setup, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let credential = format!(
        "[endpoint.credential]\nname = \"anthropic\"\nheader = \"x-api-key\"\nprefix = \"\"\nsecret = {{ file = \"{}\" }}\n",
        secret.display()
    );
    let settings = "credential = \"anthropic\"\nunsupported-options = \"drop\"";
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let setup = Setup::default();
    let setup = setup.spoken("anthropic", settings, &mock.url(), &credential, cleared);
    (setup, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_reach_a_mock_of_anthropic_through_its_connector() {
    let mock = MockAnthropic::start().await;
    let (setup, _secret) = setup(&mock);
    let (pki, listen) = super::serve::pki();
    let served = setup.serve(&listen).await;
    let scripts = ["anthropic_messages.py", "openai_chat.py"];
    let printed = super::serve::printed_by(scripts, &pki, &served).await;
    let held = printed.map(|printed| printed.matches("held:").count());
    assert_eq!(held, [5, 8]);

    let seen = mock.seen();
    for (headers, body) in &seen {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("x-api-key"), Some(SECRET));
        assert_eq!(header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(header("authorization"), None);
        let body = body.to_string();
        let leaked = CANARIES.iter().find(|canary| body.contains(*canary));
        assert_eq!(leaked, None, "the mock saw it in {body}");
    }
    // Calls and results of tools, in Anthropic's words, from clients of either API.
    let results = seen.iter().filter(|(_, body)| {
        let last = body["messages"].as_array().and_then(|turns| turns.last());
        last.is_some_and(|last| last["content"][0]["type"] == "tool_result")
    });
    assert_eq!(results.count(), 2);
    let _rig = served.reopened().await;
}

/// The last event of a stream, as data.
fn last(answer: &Received) -> Value {
    let mut data = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.next_back().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_at_anthropic_is_told_in_the_words_of_the_api_that_was_called() {
    let mock = MockAnthropic::start().await;
    let (setup, _secret) = setup(&mock);
    let served = setup.serve("").await;
    let mut events = Vec::new();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        let is_anthropics = path == "/v1/messages";
        let ask = async |what: &str, is_streamed: bool| {
            let message = json!({ "role": "user", "content": format!("{NAME} Please {what}.") });
            let body = json!({ "model": "clinical", "max_tokens": 50, "messages": [message], "stream": is_streamed });
            let key = Some(served.physician.as_str());
            let answer = served.post_to(path, key, &[], &body.to_string()).await;
            assert!(!answer.text.contains(UPSTREAM_DETAIL), "{}", answer.text);
            answer
        };
        // Before the first byte it has a status of its own.
        let overloaded = if is_anthropics { 529 } else { 503 };
        for (what, is_streamed, status, code) in [
            ("overload", false, overloaded, "upstream-busy"),
            ("overload", true, overloaded, "upstream-busy"),
            ("hang up", false, 500, "plugin-failed"),
        ] {
            let answer = ask(what, is_streamed).await;
            assert_eq!(answer.status, status, "{what}: {}", answer.text);
            let error = &answer.json()["error"];
            assert_eq!(error["code"], code, "{}", answer.text);
            assert_eq!(answer.json()["type"] == "error", is_anthropics);
            let is_busy = code == "upstream-busy";
            let overloaded = error["type"] == "overloaded_error";
            assert_eq!(overloaded, is_busy && is_anthropics, "{}", answer.text);
            assert_eq!(answer.header("retry-after"), is_busy.then_some("1"));
            let again = answer.header("x-should-retry");
            assert_eq!(again, (!is_busy).then_some("false"));
            events.push((answer, code));
        }
        // What was said stands, and the stream says that it broke off.
        let broken = ask("hang up", true).await;
        assert_eq!(broken.status, 200, "{}", broken.text);
        assert!(broken.text.contains("Quackenbush"), "{}", broken.text);
        assert_eq!(last(&broken)["error"]["code"], "upstream-failed");
        let ended = ["[DONE]", "message_stop", "finish_reason\":\"stop"];
        assert!(!ended.iter().any(|end| broken.text.contains(end)));
        let named = broken.text.contains("event: error\n");
        assert_eq!(named, is_anthropics, "{}", broken.text);
        events.push((broken, "upstream-failed"));
    }
    let rig = served.reopened().await;
    for (answer, code) in events {
        let event: Option<EventId> = answer.header("x-request-id").map(|id| id.parse().unwrap());
        let closed = (EntryKind::RequestClosed, code.to_owned());
        assert_eq!(rig.story(event).pop(), Some(closed));
    }
}

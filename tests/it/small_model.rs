//! The whole way to a model that is none of ours, and says what it likes.

use nephron_gateway::{RESTORATION, Restoration, SENT};
use nephron_keys::Token;
use nephron_model::EntryKind;
use nephron_tests::{Background, CANARIES, Setup};
use serde_json::json;

const NAME: &str = "Zebulon Quackenbush";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_sees_tokens_and_its_caller_sees_names() {
    let model = tokio::task::spawn_blocking(Background::small_model)
        .await
        .unwrap();
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let setup = Setup::default().upstream(model.url(), "", cleared);
    let served = setup.serve("").await;
    let text = format!("Repeat this sentence word for word: Patient: {NAME} has asthma.");
    let messages = json!([{ "role": "user", "content": text }]);
    let key = Some(served.physician.as_str());
    let mut events = Vec::new();
    // One whole, by a client of OpenAI's; one streamed, by a client of Anthropic's.
    for (path, more) in [
        ("/v1/chat/completions", json!({ "stream": false })),
        ("/v1/messages", json!({ "stream": true })),
    ] {
        let mut body = json!({ "model": "clinical", "messages": messages, "max_tokens": 24, "temperature": 0 });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = served.post_to(path, key, &[], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        events.push(answer.header("request-id").unwrap().parse().unwrap());
    }
    let rig = served.reopened().await;
    for event in events {
        let entries = rig.entries(Some(event));
        let of = |kind| {
            entries
                .iter()
                .filter(move |entry| entry.header.kind == kind)
        };
        let sent = rig
            .payload(of(EntryKind::Sending).next().unwrap(), SENT)
            .await;
        let sent = String::from_utf8(sent).unwrap();
        for canary in CANARIES {
            assert!(!sent.contains(canary), "the model saw `{canary}` in {sent}");
        }
        let (_, token) = Token::scan(&sent).next().unwrap();
        let last = of(EntryKind::Reidentified).next_back().unwrap();
        let payload = rig.payload(last, RESTORATION).await;
        let answer: Restoration = serde_json::from_slice(&payload).unwrap();
        assert!(!answer.answered.is_empty());
        let expected = answer.answered.replace(&token.to_string(), NAME);
        assert_eq!(answer.restored, expected);
    }
}

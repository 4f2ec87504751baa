//! The whole way to a model that is none of ours, and says what it likes.

use std::collections::BTreeSet;

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
    // What it makes of a request it makes of it by chance, as the token is one: it repeats the token to nearly all of these.
    let asked = [
        format!("Copy: Patient: {NAME} has asthma."),
        format!("Repeat this sentence word for word: Patient: {NAME} has asthma."),
        format!(
            "Patient: {NAME} has asthma. What is the name of the patient? Answer with the name alone."
        ),
    ];
    let key = Some(served.physician.as_str());
    let mut events = Vec::new();
    // Each whole, by a client of OpenAI's, and streamed, by a client of Anthropic's.
    for (path, more) in [
        ("/v1/chat/completions", json!({ "stream": false })),
        ("/v1/messages", json!({ "stream": true })),
    ] {
        for text in &asked {
            let messages = json!([{ "role": "user", "content": text }]);
            let mut body = json!({ "model": "clinical", "messages": messages, "max_tokens": 48, "temperature": 0 });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let answer = served.post_to(path, key, &[], &body.to_string()).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let event = answer.header("request-id").unwrap().parse().unwrap();
            events.push((path, event, answer.text));
        }
    }
    let rig = served.reopened().await;
    let mut named = BTreeSet::new();
    for (path, event, told) in events {
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
        let token = token.to_string();
        let last = of(EntryKind::Reidentified).next_back().unwrap();
        let payload = rig.payload(last, RESTORATION).await;
        let answer: Restoration = serde_json::from_slice(&payload).unwrap();
        assert!(!answer.answered.is_empty());
        assert_eq!(answer.restored, answer.answered.replace(&token, NAME));
        assert!(!told.contains(&token), "a token was not restored in {told}");
        if answer.answered.contains(&token) {
            // In one piece, even in a stream: what is restored is not parted.
            assert!(told.contains(NAME), "{told}");
            named.insert(path);
        }
    }
    assert_eq!(
        named.len(),
        2,
        "the model repeated a token at {named:?} alone"
    );
}

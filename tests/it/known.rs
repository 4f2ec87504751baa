//! What the application knows of the patient is found in the texts however they have it, and goes nowhere else.

use hyper::Method;
use nephron_model::{EntryKind, EventId};
use nephron_tests::{MockModel, Setup};
use serde_json::{Value, json};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

/// What no rule would find by itself: a name of two words in lower case, torn and misread; a number without a cue.
const TEXT: &str =
    "brqvist oxmallow slept. 0xmal1ow, brqvist again, chart 77 31 904 kept, from wexhurdle";
const LEAKS: [&str; 5] = ["brqvist", "oxmallow", "0xmal1ow", "77 31 904", "wexhurdle"];

fn known() -> Value {
    json!([
        { "resourceType": "Patient", "name": [{ "family": "Oxmallow", "given": ["Brqvist"] }],
          "identifier": [{ "value": "7731904" }], "address": [{ "city": "Wexhurdle" }] },
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_found_everywhere_and_leaves_nowhere() {
    let model = MockModel::start(200, "about {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let physician = served.physician.clone();
    let post = async |path: &str, body: &Value| {
        let received = served
            .call(Method::POST, path, &physician, &body.to_string())
            .await;
        assert_eq!(received.status, 200, "{path}: {}", received.text);
        received
    };

    let cleared = post("/v1/deidentify", &json!({ "text": TEXT, "known": known() }))
        .await
        .json();
    let spans = cleared["texts"][0]["spans"].as_array().unwrap();
    assert!(
        spans.iter().any(|span| span["rule"] == "record-patient"),
        "{cleared}"
    );
    for leak in LEAKS {
        assert!(!cleared.to_string().contains(leak), "{leak}: {cleared}");
    }

    let message = json!([{ "role": "user", "content": TEXT }]);
    let extension = json!({ "known": known() });
    let chat = json!({ "model": "clinical", "messages": message, "nephron": extension });
    let messages =
        json!({ "model": "clinical", "max_tokens": 9, "messages": message, "nephron": extension });
    let mut events = vec![cleared["event"].as_str().unwrap().to_owned()];
    for (path, body) in [("/v1/chat/completions", chat), ("/v1/messages", messages)] {
        let received = post(path, &body).await;
        // The caller may see identities, and gets back what was typed.
        assert!(received.text.contains("0xmal1ow"), "{}", received.text);
        events.push(received.header("x-request-id").unwrap().to_owned());
    }
    let refused = json!({ "model": "clinical", "messages": message, "nephron": { "known": { "mrn": 7731904 } } });
    let refused = served.chat(&refused).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["param"].as_str()),
        (400, Some("nephron.known.mrn"))
    );

    let seen = model.seen();
    assert_eq!(seen.len(), 2);
    for body in seen {
        let body = String::from_utf8(body).unwrap().to_lowercase();
        let leaks = LEAKS.iter().chain(&["7731904", "known", "nephron"]);
        let leaked: Vec<_> = leaks.filter(|leak| body.contains(*leak)).collect();
        assert!(leaked.is_empty(), "{leaked:?} in {body}");
    }

    let rig = served.reopened().await;
    for event in events {
        let event: EventId = event.parse().unwrap();
        let entries = rig.entries(Some(event));
        let opened = entries
            .iter()
            .find(|entry| entry.header.kind == EntryKind::RequestOpened);
        let counts = &opened.unwrap().header.counts;
        let known: Vec<_> = counts
            .iter()
            .filter(|(name, _)| name.starts_with("known-"))
            .collect();
        let expected = [("known-geo", 1), ("known-mrn", 1), ("known-name", 1)];
        assert!(
            known
                .iter()
                .map(|(name, count)| (name.as_str(), **count))
                .eq(expected),
            "{known:?}"
        );
        for entry in &entries {
            let header = serde_json::to_string(&entry.header).unwrap().to_lowercase();
            assert!(
                !header.contains("oxmallow") && !header.contains("7731904"),
                "{header}"
            );
        }
    }
}

//! Who the clients are, as the listener finds out.

pub(crate) mod certificates;
mod emergency;
mod keys;
mod tokens;

use nephron_audit::Entry;
use nephron_model::{EntryKind, EventId};
use nephron_tests::{Received, Rig, Served};
use serde_json::json;

/// A chat request that the gateway's own sandbox answers.
fn asking() -> String {
    let message = json!({ "role": "user", "content": "Patient: Zebulon Quackenbush has asthma." });
    json!({ "model": "any", "messages": [message] }).to_string()
}

fn event(answer: &Received) -> Option<EventId> {
    answer.header("x-request-id").map(|id| id.parse().unwrap())
}

/// The reason of a refusal, as its client is told.
fn reason(answer: &Received) -> String {
    let body = answer.json();
    let reason = body["error"]["reasons"][0].as_str();
    reason
        .unwrap_or_else(|| panic!("{}", answer.text))
        .to_owned()
}

/// The entry with which a request begins, at whichever tenant.
fn opening(rig: &Rig, tenant: &str, event: Option<EventId>) -> Entry {
    let tenant = rig.gateway.tenant(&tenant.parse().unwrap()).unwrap();
    let sequences = tenant.log().of_request(event.unwrap()).unwrap();
    let first = tenant.log().entry(sequences[0]).unwrap().unwrap();
    let kind = first.header.kind;
    assert!(
        matches!(kind, EntryKind::RequestOpened | EntryKind::RequestRefused),
        "{kind:?}"
    );
    first
}

fn facts<'e>(entry: &'e Entry, names: &[&str]) -> Vec<&'e str> {
    let fact = |name: &&str| entry.header.facts.get(*name).map_or("-", String::as_str);
    names.iter().map(fact).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_says_what_is_wrong_as_rfc_6750_has_it() {
    let served = nephron_tests::Setup::default().serve("").await;
    let (key, expired) = (served.physician.clone(), served.expired.clone());
    let marketing: &[_] = &[("x-purpose-of-use", "HMARKT")];
    for (key, headers, challenge) in [
        (None, &[][..], "Bearer"),
        (Some("nph_0"), &[], "Bearer error=\"invalid_token\""),
        (Some(&expired), &[], "Bearer error=\"invalid_token\""),
        (Some(&key), marketing, "Bearer error=\"insufficient_scope\""),
    ] {
        let answer = served.post(key, headers, &asking()).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
    let _rig: Rig = Served::reopened(served).await;
}

/// A second decider, as `examples/policies/mfa.cedar` says.
const MFA: &str = "[[plugin]]\nname = \"mfa\"\nkind = \"decider\"\ncomponent = \"cedar-policy\"\n\
     settings = { points = [\"rehydrate\"] }\n\
     settings-files = { policies = \"mfa.cedar\", schema = \"access.cedarschema\" }\n";

/// What the model's answer came to.
fn restoration(rig: &Rig, answer: &Received) -> String {
    let story = rig.story(event(answer));
    let of_answer = |(kind, _): &&(EntryKind, String)| *kind == EntryKind::Reidentified;
    story.iter().rfind(of_answer).unwrap().1.clone()
}

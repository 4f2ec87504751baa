//! Images, audio and files: what cannot be searched goes only where an agreement and the operator let it be seen.

use nephron_gateway::chain::connect::SENT;
use nephron_model::EntryKind;
use nephron_tests::{MockModel, Received, Setup};
use serde_json::{Value, json};

/// "Zebulon", as if it were a picture of his.
pub(super) const DATA: &str = "WmVidWxvbg==";

pub(super) fn asked(model: &str, part: &Value) -> Value {
    let text =
        json!({ "type": "text", "text": "Zebulon Quackenbush, MRN 90210557. What is this?" });
    json!({ "model": model, "messages": [{ "role": "user", "content": [text, part] }] })
}

pub(super) fn image() -> Value {
    json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{DATA}") } })
}

fn file(media_type: &str) -> Value {
    json!({ "type": "file", "file": { "file_data": format!("data:{media_type};base64,{DATA}") } })
}

/// Status, code, place and reasons of a refusal.
fn refusal(received: &Received) -> (u16, Value) {
    let error = &received.json()["error"];
    let told = json!([error["code"], error["param"], error["reasons"]]);
    (received.status, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_what_cannot_be_searched_goes_only_to_who_may_see_phi_and_the_log_shows_it() {
    let cleared = MockModel::start(200, "cleared").await;
    let unmarked = MockModel::start(200, "unmarked").await;
    let marked = MockModel::start(200, "marked").await;
    let endpoint = |name: &str, url: &str, more: &str| {
        format!(
            "[[endpoint]]\nname = \"{name}\"\nconnector = \"model\"\nassociate = \"clinic-ai\"\nurl = \"{url}\"\n{more}\n\
             [[route]]\nmodel = \"{name}\"\nendpoint = \"{name}\"\n"
        )
    };
    let more = [
        "[[associate]]\nname = \"clinic-ai\"\n[associate.agreement]\nstatus = \"signed\"\nid = \"BAA-7\"\n\
         services = [\"unmarked\", \"marked\"]\nfrom = 2026-01-01\nuntil = 2027-01-01\n"
            .to_owned(),
        endpoint("unmarked", &unmarked.url(), ""),
        endpoint("marked", &marked.url(), "may-see-phi = true"),
        "[[route]]\nmodel = \"several\"\nendpoints = [\"there\", \"unmarked\", \"marked\"]\n"
            .to_owned(),
    ];
    let policy = "cleared-without-baa = \"safe-harbor\"";
    let setup = Setup::default().upstream(&cleared.url(), "", policy);
    let served = setup.and(&more.concat()).serve("").await;

    let place = "messages[0].content[1].image_url.url";
    let without = served.chat(&asked("clinical", &image())).await;
    assert_eq!(
        refusal(&without),
        (403, json!(["no-agreement", place, ["no-agreement"]]))
    );
    let not_marked = served.chat(&asked("unmarked", &image())).await;
    assert_eq!(
        refusal(&not_marked),
        (400, json!(["unsearched", place, ["endpoint-not-for-phi"]]))
    );
    let elsewhere =
        json!({ "type": "image_url", "image_url": { "url": "https://pacs.example/1.png" } });
    let fetched = served.chat(&asked("marked", &elsewhere)).await;
    assert_eq!(refusal(&fetched), (400, json!(["malformed", place, []])));
    let word = served
        .chat(&asked("marked", &file("application/msword")))
        .await;
    let at = "messages[0].content[1].file.file_data";
    assert_eq!(
        refusal(&word),
        (
            400,
            json!(["not-offered", at, ["unsupported", "application/msword"]])
        )
    );
    let with_tool = |name: &str| {
        let mut call = asked("marked", &image());
        call["tools"] = json!([{ "type": "function", "function": { "name": name } }]);
        call
    };
    for name in ["lookup_84729163", "visit-1956-03-12", "ssn_123_45_6789"] {
        let named = served.chat(&with_tool(name)).await;
        assert_eq!(
            refusal(&named),
            (400, json!(["malformed", "tools[0].function.name", []])),
            "{name}"
        );
    }
    for nobody in [&cleared, &unmarked, &marked] {
        assert!(nobody.seen().is_empty());
    }

    // As Pydantic's classes are called, which official clients pass on.
    let seen = served.chat(&with_tool("CalendarEvent")).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let passed = served.chat(&asked("several", &image())).await;
    assert_eq!(passed.json()["choices"][0]["message"]["content"], "marked");
    let source = json!({ "type": "base64", "media_type": "image/png", "data": DATA });
    let of_anthropic = json!({ "model": "marked", "max_tokens": 9, "messages": [
        { "role": "user", "content": [{ "type": "image", "source": source }] }] });
    let key = Some(served.physician.as_str());
    let body = of_anthropic.to_string();
    let answered = served.post_to("/v1/messages", key, &[], &body).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert!(cleared.seen().is_empty() && unmarked.seen().is_empty());
    let sent: Vec<Value> = marked
        .seen()
        .iter()
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect();
    assert_eq!(sent.len(), 3);
    let url = format!("data:image/png;base64,{DATA}");
    for (body, part) in sent.iter().zip([1, 1, 0]) {
        let content = &body["messages"][0]["content"];
        assert_eq!(content[part]["image_url"]["url"], url.as_str());
        // The text beside it is searched as ever.
        assert!(!content.to_string().contains("Quackenbush"));
    }

    let event = |received: &Received| received.header("x-request-id").unwrap().parse().ok();
    let (seen, passed, word) = (event(&seen), event(&passed), event(&word));
    let rig = served.reopened().await;
    let entries = rig.entries(seen);
    let sending = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Sending)
        .unwrap();
    assert_eq!(sending.header.counts["image"], 1);
    assert!(sending.header.facts["blobs"].starts_with("hmac-sha256:"));
    assert_eq!(rig.payload(sending, SENT).await, marked.seen()[0]);
    let over = |event| {
        let entries = rig.entries(event).into_iter();
        let over = entries.filter(|entry| entry.header.kind == EntryKind::PassedOver);
        over.map(|entry| (entry.header.outcome, entry.header.reasons))
            .collect::<Vec<_>>()
    };
    let told = |outcome: &str, reasons: &[&str]| {
        let reasons = reasons.iter().map(|&reason| reason.to_owned());
        (outcome.to_owned(), reasons.collect::<Vec<_>>())
    };
    assert_eq!(
        over(passed),
        [
            told("no-agreement", &["no-agreement"]),
            told("unsearched", &["endpoint-not-for-phi"])
        ]
    );
    assert_eq!(
        over(word),
        [told("not-offered", &["unsupported", "application/msword"])]
    );
}

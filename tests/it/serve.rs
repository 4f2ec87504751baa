//! The gateway as its clients meet it: through the listener.

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use nephron_audit::{Entry, Header};
use nephron_gateway::replay::Replayer;
use nephron_gateway::{ORIGIN, Origin, RESTORATION, Restoration};
use nephron_model::{EntryKind, EventId};
use nephron_tests::{CANARIES, CANARY_NOTE, MockModel, PlayedModel, Received, Served, Setup, sdk};
use serde_json::{Value, json};

/// Lets text that was cleared by Safe Harbor go to the mock, which has no agreement.
const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
const NAME: &str = "Patient: Zebulon Quackenbush has asthma.";

fn request(text: &str) -> Value {
    json!({ "model": "clinical", "messages": [{ "role": "user", "content": text }] })
}

fn streamed(text: &str) -> Value {
    let mut request = request(text);
    request["stream"] = true.into();
    request
}

/// Everything that is left of a stream, and the pieces of text in it.
async fn rest(response: Response<Incoming>) -> (String, String) {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let text = events(&body)
        .iter()
        .filter_map(|event| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    (body, text)
}

fn events(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect()
}

/// The next text that a stream brings.
async fn next_text(response: &mut Response<Incoming>) -> String {
    loop {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        let data = frame.into_data().unwrap();
        let events = events(std::str::from_utf8(&data).unwrap());
        let text: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        if !text.is_empty() {
            return text;
        }
    }
}

fn event(header: Option<&str>) -> Option<EventId> {
    header.map(|event| event.parse().unwrap())
}

/// A folder with a development CA (`ca.pem`) and certificates, and the `[listen]` that uses them.
pub(super) fn pki() -> (tempfile::TempDir, String) {
    let pki = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(super::nephron())
        .args(["pki", "init"])
        .arg(pki.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let file = |name: &str| pki.path().join(name).display().to_string();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let listen = format!("[listen.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    (pki, listen)
}

/// What scripts of `tests/sdk` print that are run, one after the other, against a gateway with the TLS of [`pki`].
pub(super) async fn printed_by<const N: usize>(
    scripts: [&'static str; N],
    pki: &tempfile::TempDir,
    served: &Served,
) -> [String; N] {
    let authority = pki.path().join("ca.pem").display().to_string();
    let (url, key) = (served.url.clone(), served.physician.clone());
    let printed = tokio::task::spawn_blocking(move || {
        let environment = [
            ("BASE_URL", url.as_str()),
            ("API_KEY", &key),
            ("SSL_CERT_FILE", &authority),
            ("NODE_EXTRA_CA_CERTS", &authority),
        ];
        scripts.map(|script| sdk(script, &environment))
    });
    printed.await.unwrap()
}

/// Runs a script of `tests/sdk` against a gateway with TLS, in front of a mock that says "About" and what it was asked.
async fn held_by(script: &'static str) -> usize {
    let (pki, listen) = pki();
    let model = MockModel::start(200, "About {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve(&listen).await;
    let [printed] = printed_by([script], &pki, &served).await;
    for body in model.seen() {
        let body = String::from_utf8(body).unwrap();
        for canary in CANARIES {
            assert!(!body.contains(canary), "the model saw `{canary}` in {body}");
        }
    }
    let _rig = served.reopened().await;
    printed.matches("held:").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_openai_library_works_unmodified_over_tls() {
    assert_eq!(held_by("openai_chat.py").await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_openai_library_for_node_works_unmodified() {
    assert_eq!(held_by("openai_chat.mjs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_and_embeddings_work_unmodified() {
    assert_eq!(held_by("openai_responses.py").await, 5);
    assert_eq!(held_by("openai_responses.mjs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_anthropic_library_works_unmodified() {
    assert_eq!(held_by("anthropic_messages.py").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_of_that_api_work_unmodified() {
    assert_eq!(held_by("openai_others.py").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_restored_while_it_streams() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let begun = served.begin(streamed(NAME));
    let play = async {
        let turn = model.turn().await;
        let token = turn
            .text()
            .split(' ')
            .find(|word| word.starts_with('['))
            .unwrap()
            .to_owned();
        turn.say("It is ").await;
        (turn, token)
    };
    let (mut response, (turn, token)) = tokio::join!(begun, play);
    assert_eq!(response.status(), 200);
    let id = event(response.headers()["x-request-id"].to_str().ok());
    // The first words arrive while the model is still thinking.
    assert_eq!(next_text(&mut response).await, "It is ");
    let (head, tail) = token.split_at(4);
    turn.say(&format!("so: {head}")).await;
    assert_eq!(next_text(&mut response).await, "so: ");
    turn.say(tail).await;
    assert_eq!(next_text(&mut response).await, "Zebulon Quackenbush");
    turn.say(" or [NAME_00000] or [NAME_").await;
    turn.end("stop").await;
    let (body, text) = rest(response).await;
    assert_eq!(text, " or [NAME_00000] or [NAME_");
    // What was held back stands before the reason of the end.
    assert!(
        body.find("[NAME_\"").unwrap() < body.find("\"stop\"").unwrap(),
        "{body}"
    );
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");

    let rig = served.reopened().await;
    let kinds: Vec<_> = rig.story(id);
    let place = |kind: EntryKind, outcome: &str| {
        kinds
            .iter()
            .position(|(k, o)| (*k, o.as_str()) == (kind, outcome))
            .unwrap_or_else(|| panic!("no {kind:?} {outcome} in {kinds:?}"))
    };
    let intent = place(EntryKind::Reidentified, "restoring");
    assert!(place(EntryKind::Sending, "intent") < intent);
    assert!(intent < place(EntryKind::Reidentified, "restored"));
    assert_eq!(place(EntryKind::RequestClosed, "answered"), kinds.len() - 1);
    let entries = rig.entries(id);
    let restored = entries
        .iter()
        .find(|entry| entry.header.outcome == "restored")
        .unwrap();
    let payload = rig.payload(restored, RESTORATION).await;
    let restoration: Restoration = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        restoration.restored,
        "It is so: Zebulon Quackenbush or [NAME_00000] or [NAME_"
    );
    assert!(restoration.answered.contains(&token) && !restoration.answered.contains("Zebulon"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_makes_up_is_not_looked_for_without_end() {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let made_up = |index: usize| {
        let [high, low] = [index / 32, index % 32].map(|digit| char::from(DIGITS[digit]));
        format!("[NAME_ZZZ{high}{low}] ")
    };
    let (response, ()) = tokio::join!(served.begin(streamed(NAME)), async {
        let turn = model.turn().await;
        let text = turn.text();
        let token = text.split(' ').find(|word| word.starts_with('['));
        let token = token.unwrap().trim_end_matches(',').to_owned();
        for index in 0..80 {
            turn.say(&made_up(index)).await;
        }
        turn.say(&token).await;
        turn.end("stop").await;
    });
    let id = event(response.headers()["x-request-id"].to_str().ok());
    let (_, text) = rest(response).await;
    // What is known is restored to the end.
    let expected: String = (0..80).map(made_up).collect();
    assert_eq!(text, format!("{expected}Zebulon Quackenbush"));
    let rig = served.reopened().await;
    let looks = rig.entries(id);
    let looks = looks.iter().filter(|entry| {
        entry.header.kind == EntryKind::KeyUsed && entry.header.facts["operation"] == "detokenize"
    });
    // Those of the request at once, and 64 more.
    assert_eq!(looks.count(), 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_of_a_tool_call_are_restored_and_stay_json() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let mut asked = json!({
        "model": "clinical",
        "messages": [
            { "role": "user", "content": NAME },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "call_0", "type": "function", "function":
                { "name": "find", "arguments": "{\"who\":\"Mr. Quackenbush\",\"mrn\":483920}" } }] },
            { "role": "tool", "tool_call_id": "call_0", "content": "Zebulon Quackenbush, MRN 90210557" },
        ],
        "tools": [{ "type": "function", "function": { "name": "find", "description": "Finds a chart.",
            "parameters": { "type": "object", "properties": { "who": { "type": "string" } } } } }],
    });
    for is_streamed in [false, true] {
        asked["stream"] = is_streamed.into();
        let play = async {
            let turn = model.turn().await;
            let sent = turn.body.to_string();
            for canary in CANARIES.into_iter().chain(["483920"]) {
                assert!(!sent.contains(canary), "the model saw `{canary}` in {sent}");
            }
            assert_eq!(turn.body["tools"][0]["function"]["name"], "find", "{sent}");
            let text = turn.body["messages"][0]["content"].as_str().unwrap();
            let token = text.split(' ').find(|word| word.starts_with('[')).unwrap();
            let arguments = format!("{{\"who\":\"{token}\"}}");
            let call = |delta: Value| json!({ "tool_calls": [delta] });
            turn.delta(call(
                json!({ "index": 0, "id": "call_1", "type": "function",
                "function": { "name": "find", "arguments": "" } }),
            ))
            .await;
            for piece in [&arguments[..12], &arguments[12..]] {
                turn.delta(call(
                    json!({ "index": 0, "function": { "arguments": piece } }),
                ))
                .await;
            }
            turn.end("tool_calls").await;
        };
        let (response, ()) = tokio::join!(served.begin(asked.clone()), play);
        assert_eq!(response.status(), 200);
        let (body, _) = rest(response).await;
        let (name, arguments, why) = if is_streamed {
            let events = events(&body);
            let calls = events
                .iter()
                .map(|event| &event["choices"][0]["delta"]["tool_calls"][0]["function"]);
            let name: String = calls
                .clone()
                .filter_map(|call| call["name"].as_str())
                .collect();
            let arguments: String = calls
                .filter_map(|call| call["arguments"].as_str())
                .collect();
            let why: String = events
                .iter()
                .filter_map(|event| event["choices"][0]["finish_reason"].as_str())
                .collect();
            (name, arguments, why)
        } else {
            let body: Value = serde_json::from_str(&body).unwrap();
            let choice = &body["choices"][0];
            let call = &choice["message"]["tool_calls"][0];
            assert_eq!(
                (&call["id"], &choice["message"]["content"]),
                (&json!("call_1"), &Value::Null)
            );
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&call["function"]["name"]),
                text(&call["function"]["arguments"]),
                text(&choice["finish_reason"]),
            )
        };
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert_eq!(arguments, json!({ "who": "Zebulon Quackenbush" }));
        assert_eq!((name.as_str(), why.as_str()), ("find", "tool_calls"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_right_to_identities_is_streamed_none() {
    let mut model = PlayedModel::start().await;
    let marketing = "policies = \"permit(principal, action, resource) unless { context.point == \\\"rehydrate\\\" };\"";
    let setup = Setup::default()
        .upstream(model.url(), "", CLEARED)
        .decider("cedar-policy", marketing);
    let served = setup.serve("").await;
    let play = async {
        let turn = model.turn().await;
        let text = turn.text().to_owned();
        turn.say(&format!("{text} Also Mr. Thaddeus Grimsby."))
            .await;
        turn.end("stop").await;
        text
    };
    let (response, seen) = tokio::join!(served.begin(streamed(NAME)), play);
    let id = event(response.headers()["x-request-id"].to_str().ok());
    let (_, text) = rest(response).await;
    assert!(
        text.starts_with(&seen) && text.contains("[WITHHELD]"),
        "{text}"
    );
    assert!(
        !text.contains("Grimsby") && !text.contains("Quackenbush"),
        "{text}"
    );
    let rig = served.reopened().await;
    let outcomes: Vec<String> = rig
        .story(id)
        .into_iter()
        .map(|(_, outcome)| outcome)
        .collect();
    assert!(
        outcomes.contains(&"withheld-by-decision".to_owned()),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_exchange_and_the_log_says_so() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    // One leaves in the middle of a stream.
    let (mut response, turn) = tokio::join!(served.begin(streamed(NAME)), async {
        let turn = model.turn().await;
        turn.say("It is ").await;
        turn
    });
    let id = event(response.headers()["x-request-id"].to_str().ok());
    assert_eq!(next_text(&mut response).await, "It is ");
    drop(response);
    turn.hung_up().await;
    // Another before there is any answer.
    let asked = request(NAME);
    let waiting = tokio::select! {
        _ = served.begin(asked.clone()) => panic!("nobody answered"),
        turn = model.turn() => turn,
    };
    waiting.hung_up().await;

    let rig = served.reopened().await;
    let story = rig.story(id);
    let has = |kind: EntryKind, outcome: &str| story.contains(&(kind, outcome.to_owned()));
    assert!(has(EntryKind::Received, "abandoned"), "{story:?}");
    assert!(has(EntryKind::Reidentified, "broken-off"), "{story:?}");
    assert!(
        has(EntryKind::RequestClosed, "client-disconnected"),
        "{story:?}"
    );
    // What the connector made of as much as there was stands there, too, and can be run again (I8).
    let engine = nephron_engine::Engine::new().unwrap();
    let mut replayer = Replayer::new(rig.folder.path(), &engine);
    let entries = rig.entries(id);
    let decoded = entries
        .iter()
        .find(|entry| entry.header.outcome == "decoded");
    let replayed = replayer
        .replay(&rig.auditor(), decoded.unwrap())
        .await
        .unwrap();
    assert!(replayed.same_answer && replayed.same_fuel);
    let log = rig.tenant().log().clone();
    let all = log.entries(0..log.head().entries);
    let left = all
        .map(Result::unwrap)
        .filter(|entry| entry.header.outcome == "client-disconnected");
    assert_eq!(left.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_says_so_in_openais_way() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    let play = async {
        let turn = model.turn().await;
        turn.say("It is ").await;
        turn.raw("data: no JSON at all Quackenbush\n\n").await;
        turn.hung_up().await;
    };
    let (response, ()) = tokio::join!(
        async {
            let response = served.begin(streamed(NAME)).await;
            rest(response).await
        },
        play
    );
    let (body, text) = response;
    assert_eq!(text, "It is ");
    let last = events(&body).pop().unwrap();
    assert_eq!(last["error"]["code"], "plugin-failed", "{body}");
    assert!(
        !body.contains("[DONE]") && !body.contains("Quackenbush"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_openais_shape_and_nothing_is_sent() {
    let model = MockModel::start(200, "ok").await;
    let deny =
        "policies = \"forbid(principal, action, resource); permit(principal, action, resource);\"";
    let setup = Setup::default()
        .upstream(&model.url(), "", CLEARED)
        .decider("cedar-policy", deny);
    let served = setup.serve("[limits]\nrequest = \"2KiB\"\n").await;
    let good = request(CANARY_NOTE).to_string();
    let physician = Some(served.physician.as_str());
    let bearer = "nph_".to_owned() + &"0".repeat(64);
    let deep = format!("{{\"model\":{}{}}}", "[".repeat(900), "]".repeat(900));
    let twice = r#"{"model":"clinical","model":"clinical","messages":[]}"#;
    let huge = r#"{"model":"clinical","seed":1e999,"messages":[]}"#;
    let large = request(&"x".repeat(3000)).to_string();
    let purpose = [("x-purpose-of-use", "HMARKT")];
    let conversation = [("x-conversation", "Zebulon Quackenbush")];
    let (mut events, mut strangers) = (Vec::new(), Vec::new());
    for (key, headers, body, status, code) in [
        (None, &[][..], good.as_str(), 401, "unauthenticated"),
        (Some("sk-other"), &[], &good, 401, "unauthenticated"),
        (Some(bearer.as_str()), &[], &good, 401, "unauthenticated"),
        (
            Some(served.expired.as_str()),
            &[],
            &good,
            401,
            "unauthenticated",
        ),
        (physician, &purpose, &good, 401, "unauthenticated"),
        (physician, &conversation, &good, 400, "malformed"),
        (physician, &[], "{", 400, "malformed"),
        (physician, &[], &deep, 400, "malformed"),
        (physician, &[], twice, 400, "malformed"),
        (physician, &[], huge, 400, "malformed"),
        (physician, &[], &large, 413, "malformed"),
        (physician, &[], &good, 403, "denied"),
    ] {
        let received = served.post(key, headers, body).await;
        let error = &received.json()["error"];
        assert_eq!(
            (received.status, error["code"].as_str()),
            (status, Some(code)),
            "{}",
            received.text
        );
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{}",
            received.text
        );
        assert_eq!(received.header("x-should-retry"), Some("false"));
        for canary in CANARIES {
            assert!(!received.text.contains(canary), "{}", received.text);
        }
        assert_eq!(received.header("x-request-id"), error["event"].as_str());
        let id = event(received.header("x-request-id")).unwrap();
        // Whose request it is being known, their log speaks of it, and else the host's.
        match key == physician || key == Some(&served.expired) {
            true => events.push(id),
            false => strangers.push(id),
        }
    }
    let unknown = served.get("/v1/nothing").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["type"]),
        (404, &json!("invalid_request_error"))
    );
    let method = served.get("/v1/chat/completions").await;
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
    assert_eq!(method.json()["error"]["code"], "not-found");
    assert!(model.seen().is_empty());
    let rig = served.reopened().await;
    let host = rig.host_entries();
    for stranger in strangers {
        let entry = |entry: &&Entry| entry.header.request == Some(stranger);
        let Header { kind, outcome, .. } = &host.iter().find(entry).unwrap().header;
        assert_eq!(
            (*kind, outcome.as_str()),
            (EntryKind::RequestRefused, "unauthenticated")
        );
    }
    let last = |event: &EventId| rig.story(Some(*event)).pop().unwrap();
    let endings: Vec<_> = events.iter().map(last).collect();
    let refused = |outcome: &str| (EntryKind::RequestRefused, outcome.to_owned());
    assert_eq!(
        endings[..2],
        [refused("unauthenticated"), refused("unauthenticated")]
    );
    assert_eq!(endings[2..8], vec![refused("malformed"); 6]);
    assert_eq!(endings[8], (EntryKind::RequestClosed, "denied".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_anthropics_shape_for_its_clients() {
    let deny = "policies = \"forbid(principal, action, resource);\"";
    let setup = Setup::default().decider("cedar-policy", deny);
    let served = setup.serve("").await;
    let body = json!({ "model": "clinical", "max_tokens": 9, "messages": [{ "role": "user", "content": NAME }] });
    let key = Some(served.physician.as_str());
    let denied = served
        .post_to("/v1/messages", key, &[], &body.to_string())
        .await;
    let error = denied.json();
    assert_eq!((denied.status, &error["type"]), (403, &json!("error")));
    assert_eq!(error["error"]["type"], "permission_error");
    assert_eq!(error["request_id"].as_str(), denied.header("request-id"));
    assert_eq!(denied.header("x-should-retry"), Some("false"));
    let version = [("anthropic-version", "2023-06-01")];
    let nowhere = served.get_with("/v1/nothing", &version).await;
    assert_eq!(nowhere.json()["error"]["type"], "not_found_error");
    let unsearchable = json!({ "model": "clinical", "max_tokens": 9, "messages": [
        { "role": "user", "content": [{ "type": "image", "source": { "type": "url", "url": "https://x.example" } }] }] });
    let refused = served
        .post_to("/v1/messages", key, &[], &unsearchable.to_string())
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
    let rig = served.reopened().await;
    let last = |reply: &Received| {
        let event = event(reply.header("request-id"));
        rig.story(event).pop().unwrap()
    };
    let denied = last(&denied);
    assert_eq!(denied, (EntryKind::RequestClosed, "denied".to_owned()));
    let refused = last(&refused);
    assert_eq!(refused, (EntryKind::RequestRefused, "malformed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_where_a_request_came_from_and_what_it_was_given() {
    let setup = Setup::default();
    let served = setup.serve("").await;
    let key = Some(served.physician.as_str());
    let headers = [
        ("user-agent", "ward-app/2.1 (Zebulon Quackenbush's desk)"),
        ("x-session-id", "s-17"),
        ("x-context-records", "Patient/90210557, Observation/3"),
    ];
    let body = request(NAME).to_string();
    let answered = served.post(key, &headers, &body).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let bad = [("x-context-records", "Zebulon Quackenbush")];
    let refused = served.post(key, &bad, &body).await;
    assert_eq!(refused.json()["error"]["param"], "header x-context-records");
    let rig = served.reopened().await;
    let event = event(answered.header("x-request-id")).unwrap();
    let entries = rig.entries(Some(event));
    let opened = &entries[0];
    let fact = |name: &str| opened.header.facts.get(name).map(String::as_str);
    assert_eq!(opened.header.kind, EntryKind::RequestOpened);
    assert_eq!(
        (fact("source"), fact("user-agent")),
        (Some("127.0.0.1"), Some("ward-app/2.1"))
    );
    // In the open stand keyed digests of the session and the records, and sealed both.
    let tenant = rig.tenant();
    let digest = |id: &[u8]| tenant.keys().fingerprint(id).unwrap().to_string();
    assert_eq!(fact("session"), Some(digest(b"s-17").as_str()));
    let context = fact("context").unwrap();
    assert!(context.starts_with(&digest(b"Patient/90210557")));
    let origin: Origin = serde_json::from_slice(&rig.payload(opened, ORIGIN).await).unwrap();
    assert_eq!(origin.session.as_deref(), Some("s-17"));
    assert_eq!(origin.context, ["Patient/90210557", "Observation/3"]);
    assert_eq!(origin.user_agent.as_deref(), Some(headers[0].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_for_models_stands_in_the_log() {
    let served = Setup::default().serve("").await;
    let anthropic = &[("anthropic-version", "2023-06-01")][..];
    let mut asked = Vec::new();
    for (path, headers, status, operation, outcome) in [
        ("/v1/models", &[][..], 200, "list-models", "answered"),
        ("/v1/models", anthropic, 200, "list-models", "answered"),
        ("/v1/models/clinical", &[], 200, "show-model", "answered"),
        ("/v1/models/a%20b", &[], 404, "show-model", "no-route"),
    ] {
        let answer = served.get_with(path, headers).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        let id = event(answer.header("x-request-id"));
        assert_eq!(event(answer.header("request-id")), id);
        asked.push((id, operation, outcome.to_owned()));
    }
    let elsewhere = [("x-purpose-of-use", "HPAYMT")];
    let refused = served.get_with("/v1/models", &elsewhere).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    let refused = event(refused.header("x-request-id"));

    let rig = served.reopened().await;
    for (id, operation, outcome) in asked {
        let entries = rig.entries(id);
        assert_eq!(entries[0].header.facts["operation"], operation);
        assert_eq!(entries[0].header.facts["authentication"], "api-key");
        let closed = (EntryKind::RequestClosed, outcome);
        assert_eq!(rig.story(id).pop(), Some(closed));
    }
    let refusal = (EntryKind::RequestRefused, "unauthenticated".to_owned());
    assert_eq!(rig.story(refused), [refusal]);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_counts_and_names_and_nothing_of_any_request() {
    let model = MockModel::start(200, "About {user}").await;
    let setup = Setup::default()
        .upstream(&model.url(), "", CLEARED)
        .and("[status]\naddress = \"127.0.0.1:0\"\n");
    let served = setup.serve("").await;
    assert_eq!(served.chat(&request(CANARY_NOTE)).await.status, 200);
    let _streamed = rest(served.begin(streamed(CANARY_NOTE)).await).await;
    assert_eq!(served.chat(&json!({})).await.status, 400);
    let metrics = served.status("/metrics").await;
    for line in [
        "nephron_requests_total{api=\"chat\",outcome=\"answered\"} 2",
        "nephron_requests_total{api=\"chat\",outcome=\"malformed\"} 1",
        "nephron_first_byte_seconds_count{api=\"chat\"} 1",
        "nephron_in_flight{tenant=\"st-marys\"} 0",
        "nephron_entries_total{kind=\"request-refused\",outcome=\"malformed\"} 1",
    ] {
        let is_there = metrics.text.lines().any(|there| there == line);
        assert!(is_there, "{line}\n{}", metrics.text);
    }
    let status = served.status("/status").await;
    let state = status.json();
    assert_eq!(state["tenants"].as_array().unwrap().len(), 3);
    assert_eq!(state["tenants"][1]["log"]["stopped"], false);
    assert_eq!(state["tenants"][2]["id"], "host");
    assert_eq!(state["tenants"][1]["keys"]["version"], 1);
    assert_eq!(state["plugins"]["detectors"][0]["name"], "finder");
    for canary in CANARIES {
        assert!(!metrics.text.contains(canary) && !status.text.contains(canary));
    }
    assert_eq!(
        served.get("/metrics").await.status,
        404,
        "the data plane has none"
    );
    let _rig = served.reopened().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_asks_too_often_is_told_when_to_come_back() {
    let setup = Setup::default();
    let served = setup.serve("requests-per-second-per-caller = 1\n").await;
    let asked = request("hello");
    let all = futures_util::future::join_all((0..20).map(|_| served.chat(&asked))).await;
    let refused: Vec<_> = all.iter().filter(|reply| reply.status == 429).collect();
    assert!(all.iter().any(|reply| reply.status == 200));
    for reply in &refused {
        assert_eq!(reply.json()["error"]["code"], "too-often");
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.header("x-should-retry"), None);
    }
    assert!(!refused.is_empty());
    let asked = asked.to_string();
    let other = served.post(Some(&served.lakeside), &[], &asked).await;
    assert_eq!(other.status, 200, "another caller has a rate of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_cannot_hold_all_places_of_its_tenant() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let colleague = nephron_keys::ApiKey::draw().unwrap();
    let holder = format!(
        "[[api-key]]\nid = \"colleague\"\ndigest = \"{}\"\ntenant = \"st-marys\"\ncaller = \"dr.mbeki\"\n\
         roles = [\"physician\"]\npurposes = [\"TREAT\"]\nexpires = 2030-01-01\n\
         [status]\naddress = \"127.0.0.1:0\"\n",
        colleague.digest()
    );
    let served = Setup::default().and(&holder);
    let served = served.serve("requests-per-tenant = 2\n").await;
    let asked = request("hello").to_string();
    // Its head is there and its body is not.
    let mut slow = served.connect().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nexpect: 100-continue\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        served.physician,
        asked.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Asked for when the gateway begins to read the body: by then it holds its place.
    let mut told = [0; 25];
    slow.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");

    let own = served.post(Some(&served.physician), &[], &asked).await;
    let code = own.json()["error"]["code"].clone();
    assert_eq!((own.status, code), (429, "caller-too-busy".into()));
    assert_eq!(own.header("retry-after"), Some("1"));
    assert_eq!(own.header("x-should-retry"), None);
    let other = served.post(Some(colleague.reveal()), &[], &asked).await;
    assert_eq!(other.status, 200, "{}", other.text);

    slow.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let counted = served.status("/metrics").await.text;
    let line = "nephron_requests_total{api=\"chat\",outcome=\"caller-too-busy\"} 1";
    assert!(counted.lines().any(|there| there == line), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_no_tokens_of_one_another_and_limits_of_their_own() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("requests-per-tenant = 1\n").await;
    let asked = request(NAME);
    let first = served.begin(asked.clone());
    let (first, ()) = tokio::join!(first, async {
        let turn = model.turn().await;
        let token = turn
            .text()
            .split(' ')
            .find(|word| word.starts_with('['))
            .unwrap()
            .to_owned();
        // St Mary's has no place left; Lakeside has.
        let full = served.chat(&asked).await;
        assert_eq!(
            (full.status, full.header("retry-after")),
            (429, Some("1")),
            "{}",
            full.text
        );
        assert_eq!(full.header("x-should-retry"), None);
        let body = asked.to_string();
        let other = served.post(Some(&served.lakeside), &[], &body);
        let (other, ()) = tokio::join!(other, async {
            let turn = model.turn().await;
            turn.say(&format!("It is {token}.")).await;
            turn.end("stop").await;
        });
        let answer = other.json()["choices"][0]["message"]["content"].clone();
        assert_eq!(
            answer,
            format!("It is {token}."),
            "Lakeside was given a value of St Mary's"
        );
        turn.say(&format!("It is {token}.")).await;
        turn.end("stop").await;
    });
    let (body, _) = rest(first).await;
    assert!(body.contains("It is Zebulon Quackenbush."), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_answered_before_it_stops() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("").await;
    assert_eq!(served.get("/livez").await.text, "ok\n");
    assert_eq!(served.get("/readyz").await.text, "ready\n");
    let asked = streamed(NAME);
    let (mut response, turn) = tokio::join!(served.begin(asked.clone()), async {
        let turn = model.turn().await;
        turn.say("It is ").await;
        turn
    });
    assert_eq!(next_text(&mut response).await, "It is ");
    let id = event(response.headers()["x-request-id"].to_str().ok());
    let stopping = served.stop();
    turn.say("over.").await;
    turn.end("stop").await;
    let (body, text) = rest(response).await;
    assert!(
        text == "over." && body.ends_with("data: [DONE]\n\n"),
        "{body}"
    );
    let rig = stopping.reopened().await;
    assert_eq!(
        rig.story(id).pop(),
        Some((EntryKind::RequestClosed, "answered".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_time_to_drain_is_given_up_and_the_log_says_so() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("drain-time = \"1s\"\n").await;
    let (mut response, turn) = tokio::join!(served.begin(streamed(NAME)), async {
        let turn = model.turn().await;
        turn.say("It is ").await;
        turn
    });
    assert_eq!(next_text(&mut response).await, "It is ");
    let id = event(response.headers()["x-request-id"].to_str().ok());
    let stopping = served.stop();
    turn.hung_up().await;
    let (body, _) = rest(response).await;
    assert_eq!(
        events(&body).pop().unwrap()["error"]["code"],
        "stopping",
        "{body}"
    );
    let rig = stopping.reopened().await;
    let story = rig.story(id);
    assert!(
        story.contains(&(EntryKind::Reidentified, "broken-off".to_owned())),
        "{story:?}"
    );
    assert_eq!(
        story.last(),
        Some(&(EntryKind::RequestClosed, "stopping".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_given_up() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    let served = setup.serve("body-time = \"1s\"\n").await;
    let (response, turn) = tokio::join!(served.begin(streamed(NAME)), async {
        let turn = model.turn().await;
        turn.say("It is ").await;
        turn
    });
    let id = event(response.headers()["x-request-id"].to_str().ok());
    // More than any buffer between the two holds; it ends when the gateway has had enough.
    turn.talk(&"so ".repeat(20_000)).await;
    drop(response);
    let rig = served.reopened().await;
    let closed = (EntryKind::RequestClosed, "client-disconnected".to_owned());
    assert_eq!(rig.story(id).pop(), Some(closed));
}

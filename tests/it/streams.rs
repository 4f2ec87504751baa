//! What models do in a stream that is neither text nor an ordinary call, and what clients get of it.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use nephron_gateway::{RESTORATION, Restoration};
use nephron_model::{EntryKind, EventId};
use nephron_tests::{Answering, PlayedModel, Served, Setup, Turn};
use serde_json::{Value, json};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";

async fn served() -> (Served, PlayedModel) {
    let model = PlayedModel::start().await;
    let setup = Setup::default().upstream(model.url(), "", CLEARED);
    (setup.serve("").await, model)
}

fn streamed() -> Value {
    json!({ "model": "clinical", "stream": true, "messages": [{ "role": "user", "content": "Chest pain." }] })
}

/// Whatever is left of an answer.
async fn rest(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The head of a stream, of which the model has given these pieces and no more.
async fn begun(
    served: &Served,
    model: &mut PlayedModel,
    deltas: &[Value],
) -> (Response<Incoming>, Turn) {
    let both = futures_util::future::join(served.begin(streamed()), async {
        let turn = model.turn().await;
        for delta in deltas {
            turn.delta(delta.clone()).await;
        }
        turn
    });
    // It must begin before the model has ended.
    let both = tokio::time::timeout(Duration::from_secs(20), both).await;
    both.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_streamed_as_it_comes_and_thinking_begins_a_stream() {
    let (served, mut model) = served().await;
    for name in ["refusal", "reasoning_content"] {
        let deltas = [json!({ name: "I will not, " })];
        let (mut response, turn) = begun(&served, &mut model, &deltas).await;
        assert_eq!(response.status(), 200, "{name}");
        let mut came = String::new();
        if name == "refusal" {
            while !came.contains("I will not, ") {
                let frame = response.body_mut().frame().await.unwrap().unwrap();
                came += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
            }
        }
        turn.say("so there.").await;
        turn.end("stop").await;
        came += &rest(response).await;
        assert!(came.contains("so there."), "{came}");
        assert_eq!(came.contains("I will not"), name == "refusal", "{came}");
        assert!(came.ends_with("data: [DONE]\n\n"), "{came}");
    }
    let _rig = served.reopened().await;
}

/// The calls in an answer of chat, whole or streamed: the id of each, put together as clients do.
fn call_ids(body: &str, is_streamed: bool) -> Vec<String> {
    if !is_streamed {
        let body: Value = serde_json::from_str(body).unwrap();
        let calls = body["choices"][0]["message"]["tool_calls"].as_array();
        let ids = calls.unwrap().iter();
        return ids
            .map(|call| call["id"].as_str().unwrap().to_owned())
            .collect();
    }
    let mut ids: Vec<String> = Vec::new();
    for line in body.lines() {
        let Some(Ok(chunk)) = line
            .strip_prefix("data: ")
            .map(serde_json::from_str::<Value>)
        else {
            continue;
        };
        let calls = &chunk["choices"][0]["delta"]["tool_calls"];
        for call in calls.as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            ids.resize(ids.len().max(index + 1), String::new());
            ids[index] += call["id"].as_str().unwrap_or_default();
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_id_has_one_of_ours_and_can_be_handed_back() {
    let (served, mut model) = served().await;
    let (mut seen, mut events) = (Vec::new(), Vec::new());
    for is_streamed in [false, true] {
        let mut asked = streamed();
        asked["stream"] = is_streamed.into();
        let (response, ()) = tokio::join!(served.begin(asked.clone()), async {
            let turn = model.turn().await;
            let call = |index: u32, id: Option<&str>| {
                let function = json!({ "name": "find", "arguments": "{}" });
                json!({ "index": index, "id": id, "type": "function", "function": function })
            };
            // Ollama once gave none; and nobody's name is passed on as one.
            let calls = [call(0, None), call(1, Some("Zebulon Quackenbush"))];
            turn.delta(json!({ "tool_calls": calls })).await;
            turn.delta(json!({ "tool_calls": [{ "index": 0, "id": "late" }] }))
                .await;
            turn.end("tool_calls").await;
        });
        let event = response.headers()["x-request-id"].to_str().unwrap();
        let event: EventId = event.parse().unwrap();
        let body = rest(response).await;
        assert!(!body.contains("Quackenbush"), "{body}");
        let ids = call_ids(&body, is_streamed);
        let ours = |index: u32| format!("call_{event}_{index}");
        // In a whole answer the model's own id is known in time.
        let first = if is_streamed {
            ours(0)
        } else {
            "late".to_owned()
        };
        assert_eq!(ids, [first, ours(1)], "{body}");
        seen.extend(ids.clone());
        events.push((event, ids.clone()));

        let function = json!({ "name": "find", "arguments": "{}" });
        let calls: Vec<Value> = ids
            .iter()
            .map(|id| json!({ "id": id, "type": "function", "function": function }))
            .collect();
        let results = ids
            .iter()
            .map(|id| json!({ "role": "tool", "tool_call_id": id, "content": "None." }));
        let mut messages = vec![json!({ "role": "user", "content": "Chest pain." })];
        messages.push(json!({ "role": "assistant", "content": null, "tool_calls": calls }));
        messages.extend(results);
        asked["messages"] = messages.into();
        let (response, ()) = tokio::join!(served.begin(asked), async {
            let turn = model.turn().await;
            assert_eq!(turn.body["messages"][2]["tool_call_id"], "call_1");
            assert_eq!(turn.body["messages"][3]["tool_call_id"], "call_2");
            turn.say("Nothing.").await;
            turn.end("stop").await;
        });
        let status = response.status();
        let body = rest(response).await;
        assert_eq!(status, 200, "{body}");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");

    let rig = served.reopened().await;
    for (event, ids) in events {
        let entries = rig.entries(Some(event));
        let last = entries.iter().rfind(|entry| {
            entry.header.kind == EntryKind::Reidentified && entry.header.payload.is_some()
        });
        let payload = rig.payload(last.unwrap(), RESTORATION).await;
        let restoration: Restoration = serde_json::from_slice(&payload).unwrap();
        let told = restoration
            .restored_calls
            .iter()
            .map(|call| call.id.clone());
        assert_eq!(
            told.collect::<Vec<_>>(),
            ids,
            "the log has what the caller got"
        );
    }
}

/// The last event of a stream.
fn last(body: &str) -> Value {
    let data = body
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_take_longer_than_its_endpoint_may_be_silent_but_not_for_ever() {
    let mut model = PlayedModel::start().await;
    let setup = Setup::default()
        .upstream(model.url(), "", CLEARED)
        .replacing(
            "timeout = \"2m\"",
            "timeout = \"700ms\"\nanswer-time = \"1500ms\"",
        );
    let served = setup.serve("").await;
    let mut events = Vec::new();
    for is_silent in [false, true] {
        let began = Instant::now();
        let (response, turn) = begun(&served, &mut model, &[json!({ "content": "so " })]).await;
        let event = response.headers()["x-request-id"].to_str().unwrap();
        let event: EventId = event.parse().unwrap();
        let (body, ()) = tokio::join!(rest(response), async {
            match is_silent {
                true => turn.hung_up().await,
                false => turn.talk("so ").await,
            }
        });
        let error = &last(&body)["error"];
        assert_eq!(error["code"], "upstream-failed", "{error}");
        assert_eq!(error["reasons"], json!(["timed-out"]), "{error}");
        // With something to say it went on for as long as an answer may take.
        let took = began.elapsed();
        assert!(
            is_silent || took >= Duration::from_millis(1_500),
            "{took:?}"
        );
        events.push(event);
    }
    let rig = served.reopened().await;
    for event in events {
        let entries = rig.entries(Some(event));
        let received = entries
            .iter()
            .find(|entry| entry.header.kind == EntryKind::Received)
            .unwrap();
        assert_eq!(received.header.outcome, "failed");
        assert_eq!(received.header.reasons, ["timed-out"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_texts_as_a_request_may_hold_are_embedded_at_once() {
    const TEXTS: usize = 1_000;
    // 1,536 numbers, each 0.
    let vector = "A".repeat(1_536 * 4 / 3 * 4);
    let answered = vector.clone();
    let server = Answering::start(move |path, body| {
        assert_eq!(path, "/v1/embeddings");
        let call: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(call["encoding_format"], "base64");
        let texts = call["input"].as_array().unwrap();
        let data: Vec<Value> = (0..texts.len())
            .map(|index| json!({ "object": "embedding", "index": index, "embedding": answered }))
            .collect();
        let usage = json!({ "prompt_tokens": 4, "total_tokens": 4 });
        let body = json!({ "object": "list", "data": data, "model": "mock", "usage": usage });
        (200, body.to_string().into_bytes())
    })
    .await;
    let setup = Setup::default().upstream(server.url(), "", CLEARED);
    let served = setup.serve("").await;
    let texts: Vec<String> = (0..TEXTS).map(|_| "Chest pain.".to_owned()).collect();
    let asked = json!({ "model": "clinical", "input": texts, "encoding_format": "base64" });
    let key = Some(served.physician.as_str());
    let answer = served
        .post_to("/v1/embeddings", key, &[], &asked.to_string())
        .await;
    assert_eq!(answer.status, 200, "{:.500}", answer.text);
    let answer = answer.json();
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), TEXTS);
    assert!(data.iter().all(|entry| entry["embedding"] == vector));
    let _rig = served.reopened().await;
}

//! What models do in a stream that is neither text nor an ordinary call, and what clients get of it.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use nephron_tests::{PlayedModel, Served, Setup, Turn};
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

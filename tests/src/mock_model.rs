//! A mock of an OpenAI-compatible model server on loopback: it records what it is sent and says what it was told to.
//! It stands in for a paid model, which cannot be had in a test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::sync::{Notify, RwLock};

use crate::loopback::{pieces, serve};

/// A server that answers every request with one text, in small pieces where it is asked to stream. It ends with its last handle.
pub struct MockModel {
    address: SocketAddr,
    record: Arc<Mutex<Exchanged>>,
    gate: Arc<Gate>,
    task: tokio::task::JoinHandle<()>,
}

/// Where answers wait while somebody holds them.
#[derive(Default)]
struct Gate {
    shut: Arc<RwLock<()>>,
    arrivals: Notify,
}

/// The bodies that came and those that went.
#[derive(Default)]
struct Exchanged {
    seen: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
}

impl MockModel {
    /// Starts one that answers `answer`, with `status`. In the answer `{user}` stands for the last user message.
    pub async fn start(status: u16, answer: &str) -> Self {
        let exchanged = Arc::new(Mutex::new(Exchanged::default()));
        let (record, answer) = (Arc::clone(&exchanged), answer.to_owned());
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        let (address, task) = serve(move |request| {
            let (record, answer) = (Arc::clone(&record), answer.clone());
            let gate = Arc::clone(&held);
            async move { respond(request, &record, &gate, status, &answer).await }
        })
        .await;
        Self {
            address,
            record: exchanged,
            gate,
            task,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies it was sent.
    #[must_use]
    pub fn seen(&self) -> Vec<Vec<u8>> {
        locked(&self.record).seen.clone()
    }

    /// Answers nobody for as long as what this gives is there.
    pub async fn hold(&self) -> impl Sized + use<> {
        Arc::clone(&self.gate.shut).write_owned().await
    }

    /// Waits until it was sent so many bodies.
    pub async fn is_sent(&self, bodies: usize) {
        loop {
            let mut arrival = std::pin::pin!(self.gate.arrivals.notified());
            arrival.as_mut().enable();
            if locked(&self.record).seen.len() >= bodies {
                return;
            }
            arrival.await;
        }
    }

    /// The bodies with which it answered.
    #[must_use]
    pub fn answered(&self) -> Vec<Vec<u8>> {
        locked(&self.record).answered.clone()
    }
}

fn locked(record: &Mutex<Exchanged>) -> MutexGuard<'_, Exchanged> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for MockModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(
    request: Request<Incoming>,
    record: &Mutex<Exchanged>,
    gate: &Gate,
    status: u16,
    answer: &str,
) -> Response<Full<Bytes>> {
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    locked(record).seen.push(body.to_vec());
    gate.arrivals.notify_waiters();
    let _open = gate.shut.read().await;
    let call: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(texts) = call["input"].as_array() {
        return embedded(texts);
    }
    let last = call["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    let said = last
        .and_then(|last| last["content"].as_str())
        .unwrap_or_default();
    let is_asked = last.is_some_and(|last| last["role"] == "user");
    let tool = call["tools"][0]["function"]["name"].as_str();
    let tool = tool.filter(|_| is_asked);
    let said = match tool {
        Some(_) => said.to_owned(),
        None => answer.replace("{user}", said),
    };
    let (kind, body) = match call["stream"] == true {
        true => ("text/event-stream", streamed(tool, &said)),
        false => ("application/json", whole(tool, &said)),
    };
    locked(record).answered.push(body.clone().into_bytes());
    Response::builder()
        .status(status)
        .header("content-type", kind)
        // For who asks again when the status says to.
        .header("retry-after", "0")
        .body(Full::new(Bytes::from(body)))
        .expect("a response")
}

fn streamed(tool: Option<&str>, said: &str) -> String {
    let (deltas, why) = match tool {
        Some(tool) => (called(tool, said), "tool_calls"),
        None => (spoken(said), "stop"),
    };
    let ends = [(serde_json::json!({}), Some(why))];
    let chunks = deltas.into_iter().map(|delta| (delta, None)).chain(ends);
    let mut stream: String = chunks
        .map(|(delta, finish)| format!("data: {}\n\n", chunk(delta, finish)))
        .collect();
    stream.push_str("data: [DONE]\n\n");
    stream
}

fn whole(tool: Option<&str>, said: &str) -> String {
    let (message, why) = match tool {
        Some(tool) => {
            let function = serde_json::json!({ "name": tool, "arguments": arguments(said) });
            let calls =
                [serde_json::json!({ "id": "call_x1", "type": "function", "function": function })];
            let message =
                serde_json::json!({ "role": "assistant", "content": null, "tool_calls": calls });
            (message, "tool_calls")
        }
        None => (
            serde_json::json!({ "role": "assistant", "content": said }),
            "stop",
        ),
    };
    let completion = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "mock",
        "choices": [{ "index": 0, "message": message, "finish_reason": why }],
    });
    completion.to_string()
}

fn arguments(said: &str) -> String {
    format!("{{\"who\":{}}}", serde_json::Value::from(said))
}

/// A text in small pieces.
fn spoken(answer: &str) -> Vec<serde_json::Value> {
    pieces(answer)
        .map(|content| serde_json::json!({ "content": content }))
        .collect()
}

/// A call of `tool` about what was said, its arguments in small pieces.
fn called(tool: &str, said: &str) -> Vec<serde_json::Value> {
    let call = |call| serde_json::json!({ "tool_calls": [call] });
    let begun = serde_json::json!({ "index": 0, "id": "call_x1", "type": "function",
        "function": { "name": tool, "arguments": "" } });
    let arguments = arguments(said);
    let rest = pieces(&arguments)
        .map(|piece| serde_json::json!({ "index": 0, "function": { "arguments": piece } }));
    std::iter::once(begun).chain(rest).map(call).collect()
}

/// A vector for each text: its length, and two numbers.
fn embedded(texts: &[serde_json::Value]) -> Response<Full<Bytes>> {
    let vector = |(index, text): (usize, &serde_json::Value)| {
        let length = text.as_str().map_or(0, str::len);
        serde_json::json!({ "object": "embedding", "index": index, "embedding": [length, 0.5, -2] })
    };
    let data: Vec<_> = texts.iter().enumerate().map(vector).collect();
    let usage = serde_json::json!({ "prompt_tokens": 4, "total_tokens": 4 });
    let body =
        serde_json::json!({ "object": "list", "data": data, "model": "mock", "usage": usage });
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a response")
}

fn chunk(delta: serde_json::Value, finish: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "mock",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

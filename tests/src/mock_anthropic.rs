//! A mock of Anthropic's Messages API on loopback, which stands in for a paid model. Written from the API reference and the
//! types of Anthropic's Python SDK 2.14.0, as the conformance cases of the connector are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use crate::loopback::{pieces, serve};

/// A server that says "About" and what the last turn said; where it is given a tool and asked by a user it calls that. To
/// who says "overload" it is overloaded, and to who says "hang up" it begins and breaks off. It ends with its last handle.
pub struct MockAnthropic {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

/// What stands in its errors: it is nobody's business but the operator's.
pub const UPSTREAM_DETAIL: &str = "Organization example-hospital is overloaded";

impl MockAnthropic {
    /// Starts one.
    pub async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (address, task) = serve(move |request| respond(request, Arc::clone(&record))).await;
        Self {
            address,
            seen,
            task,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The headers and bodies that it was sent.
    #[must_use]
    pub fn seen(&self) -> Vec<(HeaderMap, Value)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for MockAnthropic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(
    request: Request<Incoming>,
    record: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let call: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((head.headers, call.clone()));
    let turns = call["messages"].as_array();
    let last = turns.and_then(|turns| turns.last());
    let (said, is_result) = said(last.map_or(&Value::Null, |last| &last["content"]));
    if said.contains("overload") {
        let error = json!({ "type": "overloaded_error", "message": UPSTREAM_DETAIL });
        let body = json!({ "type": "error", "error": error, "request_id": "req_1" });
        return response(529, "application/json", body.to_string());
    }
    let (block, why) = match call["tools"][0]["name"].as_str() {
        Some(tool) if !is_result => {
            let input = json!({ "who": said });
            let call = json!({ "type": "tool_use", "id": "toolu_1", "name": tool, "input": input });
            (call, "tool_use")
        }
        Some(_) | None => {
            let text = format!("About {said}");
            (json!({ "type": "text", "text": text }), "end_turn")
        }
    };
    let breaks_off = said.contains("hang up");
    if call["stream"] != true {
        let usage = json!({ "input_tokens": 7, "output_tokens": 5 });
        let whole = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "mock", "content": [block],
            "stop_reason": why, "stop_sequence": null, "usage": usage });
        let mut whole = whole.to_string();
        if breaks_off {
            whole.truncate(whole.len() / 2);
        }
        return response(200, "application/json", whole);
    }
    let mut stream = events(&block, why);
    if breaks_off {
        let begun = stream.find("event: content_block_stop");
        stream.truncate(begun.unwrap_or_default());
    }
    response(200, "text/event-stream; charset=utf-8", stream)
}

/// The text of a turn, or of the result of a tool in it.
fn said(content: &Value) -> (String, bool) {
    match content {
        Value::String(text) => (text.clone(), false),
        Value::Array(blocks) => blocks
            .iter()
            .rev()
            .find_map(|block| match block["type"].as_str() {
                Some("text") => Some((block["text"].as_str()?.to_owned(), false)),
                Some("tool_result") => Some((said(&block["content"]).0, true)),
                Some(_) | None => None,
            })
            .unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Default::default(),
    }
}

/// A streamed answer, its one block in small pieces.
fn events(block: &Value, why: &str) -> String {
    let usage = json!({ "input_tokens": 7, "output_tokens": 1 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "mock", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage });
    let (mut empty, deltas): (Value, Vec<Value>) = match block["text"].as_str() {
        Some(text) => {
            let delta = |text| json!({ "type": "text_delta", "text": text });
            (json!({ "text": "" }), pieces(text).map(delta).collect())
        }
        None => {
            let delta = |json| json!({ "type": "input_json_delta", "partial_json": json });
            let input = pieces(&block["input"].to_string()).map(delta).collect();
            let call = json!({ "id": block["id"], "name": block["name"], "input": {} });
            (call, input)
        }
    };
    empty["type"] = block["type"].clone();
    let mut stream = event(json!({ "type": "message_start", "message": message }));
    stream += &event(json!({ "type": "content_block_start", "index": 0, "content_block": empty }));
    stream += &event(json!({ "type": "ping" }));
    for delta in deltas {
        stream += &event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    }
    stream += &event(json!({ "type": "content_block_stop", "index": 0 }));
    let delta = json!({ "stop_reason": why, "stop_sequence": null });
    let used = json!({ "output_tokens": 5 });
    stream += &event(json!({ "type": "message_delta", "delta": delta, "usage": used }));
    stream + &event(json!({ "type": "message_stop" }))
}

fn event(data: Value) -> String {
    let kind = data["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn response(status: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Full::new(Bytes::from(body)))
        .expect("a response")
}

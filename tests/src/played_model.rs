//! A mock of an OpenAI-compatible model server whose answers a test plays by hand, piece by piece. It stands in for a
//! paid model, and for one that is slow, breaks off, or is left alone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that hands every request to the test. It ends with its last handle.
pub struct PlayedModel {
    url: String,
    turns: mpsc::Receiver<Turn>,
    task: tokio::task::JoinHandle<()>,
}

/// One request, waiting for its answer.
pub struct Turn {
    /// What the gateway sent.
    pub body: serde_json::Value,
    pieces: mpsc::Sender<Bytes>,
}

impl PlayedModel {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, turns) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let sender = sender.clone();
                    async move {
                        let body = request.into_body().collect().await;
                        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                        let (pieces, receiver) = mpsc::channel(16);
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        let _test_is_over = sender.send(Turn { body, pieces }).await;
                        let response = Response::builder()
                            .header("content-type", "text/event-stream")
                            .body(Played(receiver));
                        Ok::<_, Infallible>(response.expect("a response"))
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(
                    async move { http.serve_connection(TokioIo::new(stream), service).await },
                );
            }
        });
        Self { url, turns, task }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next request.
    pub async fn turn(&mut self) -> Turn {
        self.turns.recv().await.expect("a request")
    }
}

impl Drop for PlayedModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Turn {
    /// The text of the last message.
    #[must_use]
    pub fn text(&self) -> &str {
        let messages = self.body["messages"].as_array().expect("messages");
        messages.last().expect("a message")["content"]
            .as_str()
            .unwrap_or_default()
    }

    /// Sends one chunk with this delta.
    pub async fn delta(&self, delta: serde_json::Value) {
        let choice = serde_json::json!({ "index": 0, "delta": delta, "finish_reason": null });
        self.raw(&format!(
            "data: {}\n\n",
            serde_json::json!({ "choices": [choice] })
        ))
        .await;
    }

    /// Says something.
    pub async fn say(&self, text: &str) {
        self.delta(serde_json::json!({ "content": text })).await;
    }

    /// Ends as a model should.
    pub async fn end(self, why: &str) {
        let choice = serde_json::json!({ "index": 0, "delta": {}, "finish_reason": why });
        let usage =
            serde_json::json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 });
        self.raw(&format!(
            "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
            serde_json::json!({ "choices": [choice] }),
            serde_json::json!({ "choices": [], "usage": usage }),
        ))
        .await;
    }

    /// Sends bytes as they are, if the gateway still listens.
    pub async fn raw(&self, text: &str) {
        let sent = self.pieces.send(Bytes::copy_from_slice(text.as_bytes()));
        let _hung_up = sent.await;
    }

    /// Talks on and on, until the gateway has hung up.
    pub async fn talk(&self, text: &str) {
        while !self.pieces.is_closed() {
            self.say(text).await;
        }
    }

    /// Waits until the gateway has hung up.
    pub async fn hung_up(&self) {
        self.pieces.closed().await;
    }
}

struct Played(mpsc::Receiver<Bytes>);

impl Body for Played {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

//! A server on loopback, for mocks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers every request with what `respond` makes of it, for as long as the task runs.
pub(crate) async fn serve<R>(
    respond: impl Fn(Request<Incoming>) -> R + Clone + Send + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let respond = respond.clone();
            let service = service_fn(move |request| {
                let response = respond(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    (address, task)
}

/// A server that answers each body with a status and a body, for what a test plays itself.
pub struct Answering {
    url: String,
    task: JoinHandle<()>,
}

impl Answering {
    /// Starts it; it ends when this is dropped.
    pub async fn start<F>(answer: F) -> Self
    where
        F: Fn(&str, &[u8]) -> (u16, Vec<u8>) + Send + Sync + 'static,
    {
        Self::with_headers(move |path, body| {
            let (status, text) = answer(path, body);
            let mut response = Response::new(text);
            *response.status_mut() = status.try_into().expect("a status");
            response
        })
        .await
    }

    /// The same with headers that the test chooses, too.
    pub async fn with_headers<F>(answer: F) -> Self
    where
        F: Fn(&str, &[u8]) -> Response<Vec<u8>> + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        let (address, task) = serve(move |request: Request<Incoming>| {
            let answer = Arc::clone(&answer);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                answer(head.uri.path(), &body).map(|text| Full::new(Bytes::from(text)))
            }
        })
        .await;
        let url = format!("http://{address}");
        Self { url, task }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A text in small pieces.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = String> {
    let scalars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = scalars
        .chunks(3)
        .map(|piece| piece.iter().collect())
        .collect();
    pieces.into_iter()
}

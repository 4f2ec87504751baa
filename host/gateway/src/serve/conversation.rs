//! One connection, from its first byte to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::debug;

use super::framing::LARGEST_HEAD;
use super::pulse::{Overdue, Pulse, Times};
use super::screen::Screened;
use super::{BAD_HTTP, TOO_SLOW, UNREAD};
use crate::http::Service;
use crate::tls::Peer;

/// How far the process is with its stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// What is in flight comes to its end, and nothing new is begun.
    Draining,
    /// What is in flight is told that it was given up.
    GivingUp,
}

/// A client that is connected.
pub(super) struct Conversation {
    pub(super) from: SocketAddr,
    pub(super) peer: Option<Arc<Peer>>,
    pub(super) service: Arc<Service>,
    pub(super) times: Times,
    pub(super) phase: watch::Receiver<Phase>,
}

/// Requests at the same time on one connection of HTTP/2.
const STREAMS: u32 = 128;
/// For what was given up to be told so.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Conversation {
    /// Waits until nothing new is begun.
    pub(super) async fn not_served(&mut self) {
        let _phase = beyond(&mut self.phase, Phase::Serving).await;
    }

    /// Speaks HTTP/1.1 or HTTP/2, until the connection ends.
    pub(super) async fn hold(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            from,
            peer,
            service,
            times,
            mut phase,
        } = self;
        let mut http = auto::Builder::new(TokioExecutor::new());
        // A head comes to it when it is whole, so that it has nothing to wait for.
        http.http1()
            .header_read_timeout(None::<Duration>)
            .max_buf_size(LARGEST_HEAD + 4096)
            .half_close(false);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(times.head);
        let pulse = Pulse::new();
        let stream = Screened::new(stream, times, Arc::clone(&pulse));
        let gateway = Arc::downgrade(&service.gateway());
        let asked = Arc::clone(&pulse);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            let service = Arc::clone(&service);
            let (asking, fault) = asked.begin();
            let asking = Arc::new(asking);
            request.extensions_mut().insert(Arc::clone(&asking));
            if let Some(peer) = &peer {
                request.extensions_mut().insert(Arc::clone(peer));
            }
            async move {
                let answer = match fault {
                    Some(fault) => service.refuse_head(fault, request.uri().path(), from).await,
                    None => service.answer(request, from).await,
                };
                Ok::<_, std::convert::Infallible>(answer.map(|body| body.asked_by(asking)))
            }
        });
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
        let count = |code| {
            if let Some(gateway) = gateway.upgrade() {
                gateway.host().count(code);
            }
        };
        let mut seen = Phase::Serving;
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                overdue = pulse.overdue(times) => match overdue {
                    // Whoever connects and asks nothing holds a place that others want.
                    Overdue::Silent => {
                        count(TOO_SLOW);
                        return debug!("a connection on which nothing was asked");
                    }
                    // No refusal: a client keeps its connections for what it may yet ask.
                    Overdue::Idle => connection.as_mut().graceful_shutdown(),
                    Overdue::Stuck => return debug!("a client does not let its connection end"),
                    // Its answers, and what they hold, go with the connection.
                    Overdue::Unread => {
                        count(UNREAD);
                        return debug!("a client does not read its answer");
                    }
                },
                now = beyond(&mut phase, seen) => {
                    seen = now;
                    connection.as_mut().graceful_shutdown();
                    if now == Phase::GivingUp {
                        match tokio::time::timeout(LAST_WORDS, &mut connection).await {
                            Ok(ended) => break ended,
                            Err(_) => return debug!("a client does not read that it was given up"),
                        }
                    }
                }
            }
        };
        if let Err(error) = ended {
            // Its text says what hyper met, never what the client sent.
            debug!(%error, "a connection ended badly");
            let is_refusal = error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse);
            if is_refusal && let Some(gateway) = gateway.upgrade() {
                let host = gateway.host();
                host.refuse_connection(from, None, BAD_HTTP).await;
            }
        }
    }
}

/// Waits for a phase that comes after `seen`.
async fn beyond(phase: &mut watch::Receiver<Phase>, seen: Phase) -> Phase {
    let now = phase.wait_for(|now| *now > seen).await.map(|now| *now);
    match now {
        Ok(now) => now,
        // Whoever tells is there for as long as anything is served.
        Err(_) => std::future::pending().await,
    }
}

//! Start, serve, drain, stop: the listener, its TLS, and what a connection may have.
//!
//! One task accepts. Each connection has its own, and each request its own within that, so that a client who leaves ends
//! neither the recording of a request nor anybody else's. To stop is to accept no more, to let what is in flight come to
//! its end for as long as the operator allows, and to close the logs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::Gateway;
use crate::associates::Alert;
use crate::config::{Listen, StatusListener};
use crate::http::Service;
use crate::status;
use crate::tenant::TenantError;
use crate::tls::{Identity, Peer, TlsError};

/// A listener that is bound and a gateway that is open.
pub struct Server {
    listener: TcpListener,
    listen: Listen,
    tls: Option<Identity>,
    service: Arc<Service>,
    in_flight: tokio::sync::mpsc::Receiver<()>,
    status: Option<TcpListener>,
}

/// The server cannot start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be had.
    #[error(
        "cannot listen on {address}; is another process there (`ss -ltnp`), or is the address not this machine's?"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A log could not be closed.
    #[error(transparent)]
    Close(#[from] TenantError),
    /// Something in flight did not end even when it was given up.
    #[error(
        "something was still in flight when it was given up; the logs were not sealed, and the next start recovers them"
    )]
    NotDrained,
}

/// Bytes of a request's head.
const LARGEST_HEAD: usize = 64 << 10;
/// Requests at the same time on one connection of HTTP/2.
const STREAMS: u32 = 128;
/// For what was given up to be recorded.
const GIVING_UP: Duration = Duration::from_secs(10);
/// Between two looks at the certificate's files, and between two deliveries of log entries.
const PERIOD: Duration = Duration::from_secs(1);
/// Between two looks at the agreements.
const DAY: Duration = Duration::from_secs(86_400);

impl Server {
    /// Binds the address and reads the certificate. Nothing is accepted yet.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(
        gateway: Gateway,
        listen: &Listen,
        status: Option<StatusListener>,
    ) -> Result<Self, ServeError> {
        let tls = listen.tls.as_ref().map(Identity::open).transpose()?;
        let listener = bind(listen.address).await?;
        let status = match status {
            Some(status) => Some(bind(status.address).await?),
            None => None,
        };
        let (alive, in_flight) = tokio::sync::mpsc::channel(1);
        Ok(Self {
            listener,
            tls,
            service: Arc::new(Service::new(Arc::new(gateway), listen, alive)),
            listen: listen.clone(),
            in_flight,
            status,
        })
    }

    /// Where operators look, if anywhere.
    #[must_use]
    pub fn status_address(&self) -> Option<SocketAddr> {
        self.status.as_ref()?.local_addr().ok()
    }

    /// Where it listens: the port is known even if it was asked for as 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.listen.address)
    }

    /// The base of its addresses, as clients write it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Serves until `stop`, then drains and closes the logs.
    ///
    /// # Errors
    /// [`ServeError`] when it cannot stop cleanly.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            listener,
            listen,
            tls,
            service,
            mut in_flight,
            status,
        } = self;
        let status =
            status.map(|listener| tokio::spawn(status::serve(listener, Arc::downgrade(&service))));
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(listen.connections));
        let (shipping, watching) = (export(service.gateway()), watch(service.gateway()));
        let keeping = keep(service.gateway());
        let exporting = tokio::spawn(async {
            let ((), (), ()) = tokio::join!(shipping, watching, keeping);
        });
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            // Without a free place nothing is accepted: clients wait in the kernel's queue, not in our memory.
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => {
                    if let Some(tls) = &tls {
                        tls.refresh();
                    }
                    service.forget_rates();
                    continue;
                }
                accepted = accepted => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: those in use will be given back.
                    warn!(%error, "a connection could not be accepted");
                    let _later = ticks.tick().await;
                    if let Some(tls) = &tls {
                        tls.refresh();
                    }
                    continue;
                }
            };
            let _best_effort = stream.set_nodelay(true);
            let (service, head_time) = (Arc::clone(&service), listen.head_time);
            let acceptor = tls.as_ref().map(|tls| (tls.acceptor(), tls.clients()));
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _place = place;
                match acceptor {
                    None => converse(stream, from, None, service, head_time, watcher).await,
                    Some((acceptor, clients)) => {
                        match tokio::time::timeout(head_time, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => {
                                let connection = stream.get_ref().1;
                                let peer = clients.and_then(|by| Peer::of(connection, &by));
                                let peer = peer.map(Arc::new);
                                converse(stream, from, peer, service, head_time, watcher).await;
                            }
                            Ok(Err(error)) => debug!(%error, "a handshake failed"),
                            Err(_) => debug!("a handshake took too long"),
                        }
                    }
                }
            });
        }
        drop(listener);
        service.stop();
        info!("stopping: no new connections, waiting for requests in flight");
        let drained = async move {
            graceful.shutdown().await;
            // The last clone of the sender goes with the last request.
            let _none = in_flight.recv().await;
        };
        let mut drained = std::pin::pin!(drained);
        let gateway = service.gateway();
        let mut is_drained = tokio::time::timeout(listen.drain_time, &mut drained)
            .await
            .is_ok();
        if !is_drained {
            warn!(
                "requests were still in flight after `listen.drain-time`; they are given up, and their logs say so"
            );
            service.give_up();
            is_drained = tokio::time::timeout(GIVING_UP, drained).await.is_ok();
        }
        drop(service);
        for task in status.into_iter().chain([exporting]) {
            task.abort();
            let _aborted = task.await;
        }
        gateway.keep_last_uses().await;
        if !is_drained {
            return Err(ServeError::NotDrained);
        }
        if let Err(refusal) = gateway.export().await {
            warn!(
                code = refusal.code(),
                "log entries were not delivered; the next start tries again"
            );
        }
        match Arc::into_inner(gateway) {
            Some(gateway) => gateway.close().map(drop).map_err(ServeError::Close),
            None => Err(ServeError::NotDrained),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Bind { address, source })
}

/// Speaks HTTP/1.1 or HTTP/2 on one connection, until it ends.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    peer: Option<Arc<Peer>>,
    service: Arc<Service>,
    head_time: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(LARGEST_HEAD)
        .half_close(false);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(head_time);
    let asked = Arc::new(Notify::new());
    let heard = Arc::clone(&asked);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let service = Arc::clone(&service);
        asked.notify_one();
        if let Some(peer) = &peer {
            request.extensions_mut().insert(Arc::clone(peer));
        }
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, from).await) }
    });
    let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), answer));
    let mut connection = std::pin::pin!(connection);
    // Whoever connects and asks nothing holds a place that others want.
    let first = tokio::time::timeout(head_time, heard.notified());
    let ended = tokio::select! {
        ended = &mut connection => ended,
        first = first => match first {
            Ok(()) => connection.await,
            Err(_) => return debug!("a connection on which nothing was asked"),
        },
    };
    if let Err(error) = ended {
        // Its text says what hyper met, never what the client sent.
        debug!(%error, "a connection ended badly");
    }
}

/// Says which agreements lapse, at the start and once a day.
async fn watch(gateway: Arc<Gateway>) {
    let mut days = tokio::time::interval(DAY);
    loop {
        days.tick().await;
        gateway.alerts().iter().for_each(Alert::tell);
    }
}

/// Writes down once a minute when API keys were last used.
async fn keep(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gateway.keep_last_uses().await;
    }
}

/// Delivers log entries to the exporters, off the path of requests.
async fn export(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Each failed delivery is an entry, so the next try comes ever later: 2, 4, ... and at most 64 periods.
    let (mut failures, mut left) = (0_u32, 0_u32);
    loop {
        ticks.tick().await;
        if left > 0 {
            left -= 1;
            continue;
        }
        match gateway.export().await {
            Ok(()) => {
                if failures > 0 {
                    info!("log entries are delivered again");
                }
                failures = 0;
            }
            Err(refusal) => {
                if failures == 0 {
                    let code = refusal.code();
                    warn!(
                        code,
                        "log entries cannot be delivered; they are kept and tried again"
                    );
                }
                failures = (failures + 1).min(6);
                left = 1 << failures;
            }
        }
    }
}

//! Start, serve, drain, stop: the listener, its TLS, and what a connection may have.
//!
//! One task accepts. Each connection has its own, and each request its own within that, so that a client who leaves ends
//! neither the recording of a request nor anybody else's. To stop is to accept no more, to let what is in flight come to
//! its end for as long as the operator allows, and to close the logs.

mod conversation;
mod framing;
mod pulse;
mod screen;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nephron_keys::KeyMemory;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::Gateway;
use crate::admin::Listening;
use crate::associates::Alert;
use crate::config::{Admin, Listen, StatusListener};
use crate::control::Control;
use crate::follow::Follow;
use crate::http::Service;
use crate::status;
use crate::tenant::TenantError;
use crate::tls::{Identity, Peer, TlsError};
use conversation::{Conversation, Phase};
pub(crate) use framing::Fault;
use pulse::Times;
pub(crate) use pulse::{Asking, Unread};
use sources::Sources;

/// A listener that is bound and a gateway that is open.
pub struct Server {
    listener: TcpListener,
    listen: Listen,
    tls: Option<Identity>,
    service: Arc<Service>,
    in_flight: tokio::sync::mpsc::Receiver<()>,
    status: Option<TcpListener>,
    follow: Option<Follow>,
    admin: Option<Listening>,
    control: Option<Control>,
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

/// For what is done aside to come to its end.
const RESTING: Duration = Duration::from_secs(120);
/// For the last entries to be delivered.
const LAST_DELIVERY: Duration = Duration::from_secs(10);
/// For what was given up to be recorded.
const GIVING_UP: Duration = Duration::from_secs(10);
/// Between two looks at the certificate's files, at tenants that do not serve, and between two deliveries of log entries.
const PERIOD: Duration = Duration::from_secs(1);
/// Code of a handshake that TLS refused: the peer's certificate, version or bytes.
pub(crate) const BAD_HANDSHAKE: &str = "bad-handshake";
/// For a client that is still sending when it is hung up on.
const LINGER: Duration = Duration::from_secs(5);
/// Code of bytes that are no HTTP, or that others may read in another way.
pub(crate) const BAD_HTTP: &str = "bad-http";
/// Code of a connection on which nothing came in time.
pub(crate) const TOO_SLOW: &str = "too-slow";
/// Code of a connection whose client does not read its answers.
const UNREAD: &str = "answer-not-read";
/// Code of a connection of a source that has as many as it may.
const TOO_MANY: &str = "too-many-connections";
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
        // Whoever is told that it serves can ask at once.
        let control = match crate::control::bind(gateway.data()) {
            Ok(control) => Some(control),
            Err(error) => {
                warn!(%error, "there is no control socket; `nephron key` and `tenant` need the gateway stopped, and `plugin` and `grant` have no way to it");
                None
            }
        };
        let (alive, in_flight) = tokio::sync::mpsc::channel(1);
        Ok(Self {
            listener,
            tls,
            service: Arc::new(Service::new(Arc::new(gateway), listen, alive)),
            listen: listen.clone(),
            in_flight,
            status,
            follow: None,
            admin: None,
            control,
        })
    }

    /// Listens to operators elsewhere too.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn listen_to_operators(&mut self, admin: &Admin) -> Result<(), ServeError> {
        let listener = bind(admin.address).await?;
        self.admin = Some(Listening::new(listener, admin)?);
        Ok(())
    }

    /// Where it listens to them, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.address()
    }

    /// Follows a configuration while it serves.
    pub(crate) fn follow(&mut self, follow: Follow) {
        self.follow = Some(follow);
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

    /// Has every anchor asked now, each time that it is called.
    pub fn anchor_now(&self) -> impl Fn() + Send + 'static {
        let gateway = Arc::downgrade(&self.service.gateway());
        move || {
            if let Some(gateway) = gateway.upgrade() {
                gateway.anchors().ask();
            }
        }
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
            follow,
            admin,
            control,
        } = self;
        let status =
            status.map(|listener| tokio::spawn(status::serve(listener, Arc::downgrade(&service))));
        tell_key_memory();
        let (phase, phases) = watch::channel(Phase::Serving);
        let times = Times {
            head: listen.head_time,
            body: listen.body_time,
            idle: listen.idle_time,
            linger: LINGER,
        };
        let places = Arc::new(Semaphore::new(listen.connections));
        let sources = Sources::new(listen.connections_per_source);
        // A task each: what one of them is at holds up no other.
        let mut beside = JoinSet::new();
        beside.spawn(export(service.gateway()));
        beside.spawn(watch(service.gateway()));
        beside.spawn(keep(service.gateway()));
        beside.spawn(keep_keys(service.gateway()));
        beside.spawn(anchor(service.gateway()));
        beside.spawn(revive(service.gateway()));
        let every = service.gateway().checkpoint_every();
        beside.spawn(mark(service.gateway(), every));
        beside.spawn(watch_canary(service.gateway()));
        if let Some(control) = control {
            beside.spawn(crate::control::serve(control, service.gateway()));
        }
        if let Some(admin) = admin {
            beside.spawn(admin.serve(service.gateway()));
        }
        if let Some(follow) = follow {
            beside.spawn(follow.run(service.gateway()));
        }
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (leaving, delay) = (Arc::clone(&service), listen.drain_delay);
        let mut stop = Box::pin(async move {
            stop.await;
            leaving.leave();
            if !delay.is_zero() {
                info!("stopping: not ready, and serving on for `listen.drain-delay`");
                let elapsed = std::future::pending::<()>();
                let _elapsed = tokio::time::timeout(delay, elapsed).await;
            }
        });
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
            // Nothing is said to whoever has too many: TLS would have to be spoken first, and that is what there is a bound to.
            let Some(share) = sources.take(from.ip()) else {
                debug!("a source has as many connections as it may");
                service.gateway().host().count(TOO_MANY);
                continue;
            };
            let _best_effort = stream.set_nodelay(true);
            let acceptor = tls.as_ref().map(|tls| (tls.acceptor(), tls.clients()));
            let mut conversation = Conversation {
                from,
                peer: None,
                service: Arc::clone(&service),
                times,
                phase: phases.clone(),
            };
            tokio::spawn(async move {
                let _held = (place, share);
                let Some((acceptor, clients)) = acceptor else {
                    return conversation.hold(stream).await;
                };
                let accepted = tokio::select! {
                    accepted = tokio::time::timeout(times.head, acceptor.accept(stream)) => accepted,
                    () = conversation.not_served() => return,
                };
                match accepted {
                    Ok(Ok(stream)) => {
                        let connection = stream.get_ref().1;
                        let peer = clients.and_then(|by| Peer::of(connection, &by));
                        conversation.peer = peer.map(Arc::new);
                        conversation.hold(stream).await;
                    }
                    Ok(Err(error)) => {
                        debug!(%error, "a handshake failed");
                        if crate::tls::is_refusal(&error) {
                            let gateway = conversation.service.gateway();
                            let host = gateway.host();
                            host.refuse_connection(from, None, BAD_HANDSHAKE).await;
                        }
                    }
                    Err(_) => {
                        debug!("a handshake took too long");
                        conversation.service.gateway().host().count(TOO_SLOW);
                    }
                }
            });
        }
        drop(listener);
        drop(stop);
        service.stop();
        info!("stopping: no new connections, waiting for requests in flight");
        phase.send_replace(Phase::Draining);
        let all = u32::try_from(listen.connections).unwrap_or(u32::MAX);
        let drained = async move {
            // Each place is given back with its connection.
            let _all = places.acquire_many(all).await;
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
            phase.send_replace(Phase::GivingUp);
            is_drained = tokio::time::timeout(GIVING_UP, drained).await.is_ok();
        }
        drop(service);
        if let Some(status) = status {
            status.abort();
            let _aborted = status.await;
        }
        gateway.anchors().stop();
        beside.shutdown().await;
        let resting = async {
            // A change of keys that has begun comes to its end.
            let _idle = gateway.turn().await;
            gateway.aside(|gateway| gateway.swap().rest()).await;
            gateway.aside(Gateway::keep_last_uses).await;
            gateway.at_rest().await;
        };
        // A disk or a mount that does not answer must not keep the process from stopping.
        if tokio::time::timeout(RESTING, resting).await.is_err() {
            return Err(ServeError::NotDrained);
        }
        if !is_drained {
            return Err(ServeError::NotDrained);
        }
        // A server that hangs must not keep the process from stopping.
        let delivered = tokio::time::timeout(LAST_DELIVERY, gateway.export()).await;
        if !matches!(delivered, Ok(Ok(()))) {
            warn!("log entries were not delivered; the next start tries again");
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

/// Says which agreements lapse, at the start and once a day.
async fn watch(gateway: Arc<Gateway>) {
    let mut days = tokio::time::interval(DAY);
    loop {
        days.tick().await;
        gateway.alerts().iter().for_each(Alert::tell);
    }
}

/// Says if keys could be swapped to a disk.
fn tell_key_memory() {
    let KeyMemory { pages, unlocked } = KeyMemory::now();
    if unlocked > 0 {
        warn!(
            pages,
            unlocked,
            "pages of keys could not be locked in memory; raise `LimitMEMLOCK` (`ulimit -l`) to a page for each version of each tenant's key"
        );
    }
}

/// Does once an hour to the tenants' keys what is due, at the start too.
async fn keep_keys(gateway: Arc<Gateway>) {
    let mut hours = tokio::time::interval(Duration::from_secs(3_600));
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        let (turn, gateway) = (gateway.turn().await, Arc::clone(&gateway));
        let runtime = tokio::runtime::Handle::current();
        let kept = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // Given back before the turn is.
            let gateway = gateway;
            runtime.block_on(gateway.keep_keys());
        });
        // If it panicked, the panic hook has said where.
        drop(kept.await);
    }
}

/// Writes down once a minute when API keys were last used, and how many were refused without an entry of their own; and looks at what is
/// revoked.
async fn keep(gateway: Arc<Gateway>) {
    every(Duration::from_secs(60), gateway, |gateway| {
        gateway.keep_last_uses();
        gateway.record_counts();
        gateway.look_at_trust();
    })
    .await;
}

/// Has the logs' state signed and committed to.
async fn mark(gateway: Arc<Gateway>, period: Duration) {
    every(period, gateway, Gateway::mark).await;
}

/// Opens again the tenants whose disk refused, or that did not open. Opening reads a whole log, so it may block.
async fn revive(gateway: Arc<Gateway>) {
    every(PERIOD, gateway, |gateway| {
        tokio::runtime::Handle::current().block_on(gateway.revive());
    })
    .await;
}

/// Says so when a canary went beyond its bound.
async fn watch_canary(gateway: Arc<Gateway>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        gateway.watch_canary().await;
    }
}

/// Hands checkpoints to the anchors that are due.
async fn anchor(gateway: Arc<Gateway>) {
    every(PERIOD, gateway, |gateway| {
        tokio::runtime::Handle::current().block_on(gateway.anchor());
    })
    .await;
}

async fn every(period: Duration, gateway: Arc<Gateway>, work: fn(&Gateway)) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gateway.aside(work).await;
    }
}

/// Delivers log entries to the exporters, off the path of requests. Deliveries run beside one another within this task, so that
/// nothing of them is left when it ends.
async fn export(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => under_way.extend(gateway.export_due()),
            Some(()) = under_way.next() => {}
        }
    }
}

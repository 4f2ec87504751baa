//! The gateway: what the process holds for as long as it serves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use futures_util::StreamExt as _;
use nephron_audit::Head;
use nephron_engine::compile::Compiler;
use nephron_engine::vet::VetError;
use nephron_engine::{Engine, EngineError, LoadError};
use nephron_keys::{KeyError, RootError, RootKey};
use nephron_model::{
    Clock, Draft, EntryKind, EventId, NotRecorded, Phi, Purpose, Recorder as _, TenantId,
};
use nephron_registry::Reference;
use nephron_trust::TrustError;
use tokio::runtime::Handle;
use tracing::{Instrument as _, error, info, info_span};

use crate::admit::{Admission, Admitted, admit};
use crate::aftermath;
use crate::anchor::Anchors;
use crate::associates::{Alert, Associates, Ground, NoGround, Shown};
use crate::authenticate::{Called, Callers, Identity, NotIdentified, Presented};
use crate::case::Case;
use crate::chain::export::{ExportState, Shipping};
use crate::chain::reidentify::Streamed;
use crate::classification::Classification;
use crate::config::{self, Config, Endpoint, Route};
use crate::counters;
use crate::custody::{Act, Custody, CustodyError, Done, Served};
use crate::egress::Egress;
use crate::emergency::{Alerts, Emergency};
use crate::host_log::{HostLog, is_known_of};
use crate::inquiry::{Inquiry, InquiryError, Told};
use crate::keeper::{Keeper, Opening};
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::receive::{Call, receive};
use crate::refusal::Refusal;
use crate::reply::{ANSWERED, Outlet, Piece, Reply, reply, reply_streamed};
use crate::root::RootAccess;
use crate::roster::Roster;
use crate::swap::{Begun, Difference, Starting, Swap, canary_draft, manifest_record, told_in};
use crate::tenant::{Tenant, TenantError};
use crate::tls::TlsError;
use crate::workshop::{self, Workshop};

/// A gateway that is open: its tenants, its roster, its sandbox, its way out.
pub struct Gateway {
    clock: Arc<dyn Clock>,
    workshop: Arc<Workshop>,
    swap: Swap,
    /// Held by whoever runs judgements again.
    rerunning: tokio::sync::Mutex<()>,
    host: Arc<HostLog>,
    opening: Arc<Opening>,
    tenants: BTreeMap<TenantId, Keeper>,
    associates: Associates,
    endpoints: Vec<Endpoint>,
    routes: Vec<Route>,
    limits: config::RequestLimits,
    checkpoint_every: Duration,
    anchors: Anchors,
    shipping: Arc<Shipping>,
    callers: Callers,
    emergencies: Vec<Purpose>,
    classifications: BTreeMap<TenantId, Classification>,
    alerts: Arc<Alerts>,
    egress: Egress,
    metrics: Arc<Metrics>,
    /// Held for reading by whatever works aside.
    aside: Arc<tokio::sync::RwLock<()>>,
    custody: Custody,
    /// Held by whoever changes keys, which may block a thread for long.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Held for as long as the gateway is open: two processes do not share a data folder.
    _lock: std::fs::File,
}

/// What the process supplies beside the configuration.
pub struct Surroundings {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Opens the root key.
    pub root: RootAccess,
    /// Folder of the first-party components, `<name>.component.wasm`.
    pub first_party: PathBuf,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// How logs are kept.
    pub log: nephron_audit::Options,
    /// What it begins to serve with.
    pub start: Start,
}

/// What a gateway begins to serve with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What the configuration says, held to what served last: what nobody may let serve alone waits, and that serves on.
    Examined,
    /// What the configuration says. It is not an operator's, but of whoever opens the gateway, for this once.
    AsConfigured,
}

/// The gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder is not there. It is not made, because a missing mount looks the same.
    #[error(
        "the data folder `{path}` does not exist; make it with `mkdir -m 700 {path}`, or correct `data` in the configuration"
    )]
    NoData {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder cannot be used.
    #[error("`{path}` cannot be used")]
    Data {
        /// What of it.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "the data folder is in use by another process; stop that one first (`{path}` is its lock)"
    )]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// The root key cannot be opened or made.
    #[error("the root key in `{path}` cannot be opened")]
    Root {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: RootError,
    },
    /// The root key is not there, though tenants are.
    #[error(
        "`{path}` is gone, and the keys of the tenants that are there open under nothing else; put it back from a backup"
    )]
    RootGone {
        /// Its file.
        path: PathBuf,
    },
    /// The sandbox cannot be set up.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A plugin is refused before anything of it runs.
    #[error("plugin `{name}` is refused")]
    Vet {
        /// The operator's name for it.
        name: String,
        /// Why.
        #[source]
        source: VetError,
    },
    /// A component of a registry is not here yet.
    #[error(
        "plugin `{name}` is refused: `{reference}` was not pulled, or this user cannot read it; run `nephron plugin pull --config {file}` as the gateway's user"
    )]
    NotPulled {
        /// The operator's name for it.
        name: String,
        /// Where it comes from.
        reference: Box<Reference>,
        /// The configuration.
        file: PathBuf,
    },
    /// Nobody who counts vouches for a plugin, or not as policy asks.
    #[error("plugin `{name}` is refused")]
    Trust {
        /// The operator's name for it.
        name: String,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A plugin does not keep its conformance cases, and what served last cannot serve on.
    #[error("plugin `{name}` is refused, and what served last is not what the configuration needs")]
    Unfit {
        /// The operator's name for it.
        name: String,
        /// Which case it is, as the log has it.
        code: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What served last cannot be found out.
    #[error(
        "what served last cannot be read from the host's log; see to that first (`nephron audit verify`)"
    )]
    ServedUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The chain names a plugin that is not there.
    #[error("the roster is incomplete")]
    Roster(#[source] Refusal),
    /// A certificate for an endpoint cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A tenant cannot be opened or made.
    #[error(transparent)]
    Tenant(#[from] TenantError),
}

impl Gateway {
    /// Opens everything that `config` names. Plugins come first, so that a fault in one leaves no tenant half made; the
    /// tenants that are there have it in their logs.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: &Config, around: Surroundings) -> Result<Self, OpenError> {
        let opened = Self::open_with(config, &around).await;
        if let Err(error) = &opened {
            record_refused_plugin(config, &around, error).await;
        }
        opened
    }

    async fn open_with(config: &Config, around: &Surroundings) -> Result<Self, OpenError> {
        let data = &config.data;
        if !data.is_dir() {
            return Err(OpenError::NoData { path: data.clone() });
        }
        let engine = Arc::new(Engine::new()?);
        let vetted =
            workshop::vet_all(config, &around.first_party, around.clock.now(), |_, _| None)?;

        let host = in_data(data, "host")?;
        let lock = lock(&host.join("lock"))?;
        let root = Arc::new(open_root(data, &around.root)?);
        let workshop = Arc::new(Workshop::new(engine, data, around, &root)?);
        let roster = workshop.make(config, vetted).await?;

        let opening = Arc::new(Opening {
            root,
            clock: Arc::clone(&around.clock),
            log: around.log.clone(),
        });
        let host = Arc::new(HostLog::open(data, &opening).await?);
        counters::check(&host, &roster)?;
        let starting = Starting {
            config,
            workshop: &workshop,
            host: &host,
            now: around.clock.now(),
        };
        let begun = Box::pin(starting.with(roster, around.start)).await?;
        begin_host(&host, &begun)
            .await
            .map_err(|source| TenantError::NotRecorded {
                tenant: TenantId::host(),
                source,
            })?;
        let every = config.log.anchor_every;
        let spoken_to = config.anchors.iter().filter_map(config::Anchor::upstream);
        let egress = Egress::new(spoken_to)?;
        let kept = data.join("host/anchors");
        let now = around.clock.now();
        let anchors = Anchors::new(&config.anchors, kept, every, egress, &host, now);
        let anchors = anchors.map_err(|source| TenantError::NotCommitted {
            tenant: TenantId::host(),
            source: Box::new(source),
        })?;
        let first = Arc::new(First {
            opened: opened(&begun),
            refused: begun.told.clone(),
        });
        let tenants = open_tenants(config, &opening, &host, &first).await?;
        let endpoints = config.endpoints.iter();
        let upstreams = endpoints.filter_map(|endpoint| endpoint.upstream.as_ref());
        Ok(Self {
            clock: Arc::clone(&around.clock),
            workshop,
            swap: begun.into_swap(config.clone()),
            rerunning: tokio::sync::Mutex::new(()),
            host: Arc::clone(&host),
            opening: Arc::clone(&opening),
            tenants,
            associates: Associates::of(config),
            endpoints: config.endpoints.clone(),
            routes: config.routes.clone(),
            limits: config.limits.clone(),
            checkpoint_every: config.log.checkpoint_every,
            anchors,
            shipping: Arc::new(Shipping::new(&config.exports, Arc::clone(&around.clock))?),
            callers: Callers::new(config, around.clock.now()),
            emergencies: config.emergencies.clone(),
            classifications: config.classifications.clone(),
            alerts: Arc::default(),
            egress: Egress::new(upstreams)?,
            metrics: Arc::new(Metrics::new()),
            aside: Arc::default(),
            custody: Custody::of_gateway(
                data.clone(),
                opening,
                Arc::clone(&host),
                config.key_rotation,
                config.log.retention,
            ),
            turn: Arc::default(),
            _lock: lock,
        })
    }

    /// Takes one local request from its bytes to its reply: the nine stages, in order.
    pub async fn handle(&self, body: &[u8]) -> Reply {
        match receive(body, &self.limits, &*self.clock) {
            Ok((received, statement)) => {
                let identity = crate::authenticate::stated_by_operator(statement);
                self.answer(Called::new(received, identity), std::future::pending())
                    .await
            }
            Err(malformed) => Reply::unadmitted(malformed.into()),
        }
    }

    /// Answers a request whose caller is known, unless a reason to give it up comes first: then what is under way ends, and
    /// is recorded.
    pub(crate) async fn answer(
        &self,
        called: Called,
        given_up: impl Future<Output = Refusal>,
    ) -> Reply {
        let (case, call) = match admit(self, called) {
            Ok(Admission::Granted(Admitted { case, call })) => (case, call),
            Ok(Admission::Refused(case, refusal)) => return reply(&case, Err(refusal)).await,
            Err(refusal) => return self.counted(refusal),
        };
        let span = info_span!("request", event = %case.id, tenant = %case.tenant.id());
        async {
            let outcome = tokio::select! {
                biased;
                outcome = crate::chain::run(self, &case, call) => outcome,
                refusal = given_up => Err(refusal),
            };
            reply(&case, outcome).instrument(info_span!("reply")).await
        }
        .instrument(span)
        .await
    }

    /// The same, answering while the model does. Gives what came of it, as a code.
    pub(crate) async fn stream(
        &self,
        called: Called,
        outlet: Outlet,
        given_up: impl Future<Output = Refusal>,
    ) -> &'static str {
        let refused = |reply| Piece::Refused(Box::new(reply));
        let last = match admit(self, called) {
            Ok(Admission::Granted(Admitted { case, call })) => {
                let span = info_span!("request", event = %case.id, tenant = %case.tenant.id());
                self.stream_case(&case, call, &outlet, given_up)
                    .instrument(span)
                    .await
            }
            Ok(Admission::Refused(case, refusal)) => refused(reply(&case, Err(refusal)).await),
            Err(refusal) => refused(self.counted(refusal)),
        };
        let outcome = match &last {
            Piece::Refused(reply) => reply.outcome(),
            Piece::Opened(_) | Piece::Call { .. } | Piece::Text(..) | Piece::Done(_) => ANSWERED,
        };
        // If nobody is there any more, the log has it.
        drop(outlet.send(last).await);
        outcome
    }

    async fn stream_case(
        &self,
        case: &Case,
        call: Call,
        outlet: &Outlet,
        given_up: impl Future<Output = Refusal>,
    ) -> Piece {
        let mut streamed = Streamed::default();
        let outcome = tokio::select! {
            biased;
            outcome = crate::chain::stream(self, case, call, &mut streamed, outlet) => outcome,
            () = outlet.closed() => Err(Refusal::CallerGone),
            refusal = given_up => Err(refusal),
        };
        let closed = reply_streamed(case, &streamed, outcome);
        match closed.instrument(info_span!("reply")).await {
            Ok(()) => Piece::Done(streamed.ending()),
            Err(reply) => Piece::Refused(Box::new(reply)),
        }
    }

    /// Who asks.
    ///
    /// # Errors
    /// [`NotIdentified`].
    pub(crate) async fn identify(
        &self,
        presented: Presented<'_>,
    ) -> Result<Identity, NotIdentified> {
        self.callers.identify(presented, self.clock.now()).await
    }

    /// Refuses a request that never came to be admitted. Whose it is being known, their log says so first (I6).
    pub(crate) async fn refuse<P: Clone + Into<Option<Purpose>>>(
        &self,
        identity: &Identity<P>,
        refusal: Refusal,
    ) -> Reply {
        let Some(tenant) = self.tenant(&identity.tenant) else {
            return self.counted(refusal);
        };
        let id = match self.event_id() {
            Ok(id) => id,
            Err(error) => return self.counted(error.into()),
        };
        let draft = Draft::new(EntryKind::RequestRefused, refusal.code());
        let mut draft = identity.proof.on(draft);
        draft.request = Some(id);
        draft.caller = Some(identity.caller.id.clone());
        draft.purpose = identity.purpose.clone().into();
        draft.generation = Some(self.roster().generation());
        draft.reasons = refusal.reasons();
        let draft = match Origin::add_to(&identity.origin, &tenant, id, draft) {
            Ok(draft) => draft,
            Err(refusal) => return self.counted(refusal),
        };
        self.metrics.entry(&draft);
        match tenant.log().record(draft).await {
            Ok(_recorded) => Reply::refused(id, refusal),
            Err(_) => self.counted(refusal),
        }
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same, for whoever outlives the call.
    pub(crate) const fn shared_clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Between two checkpoints of each log.
    pub(crate) const fn checkpoint_every(&self) -> Duration {
        self.checkpoint_every
    }

    pub(crate) const fn limits(&self) -> &config::RequestLimits {
        &self.limits
    }

    /// The models that callers can name, each with the associate who runs its endpoint.
    pub(crate) fn models(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.routes
            .iter()
            .filter(|route| route.model != "*")
            .map(|route| {
                let first = self.endpoints_of(route).next();
                let associate = first.and_then(|(endpoint, _)| endpoint.associate.as_deref());
                (route.model.as_str(), associate)
            })
    }

    /// The agreements that have lapsed or soon do.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        self.associates.alerts(self.clock.now())
    }

    /// Every tenant, open or not.
    pub(crate) fn keepers(&self) -> impl Iterator<Item = &Keeper> {
        self.tenants.values()
    }

    /// The tenants that are open, and the host.
    pub(crate) fn serving(&self) -> impl Iterator<Item = Arc<Tenant>> {
        let keepers = self.keepers().chain([self.host.keeper()]);
        keepers.filter_map(Keeper::open)
    }

    /// Opens again what has stopped or did not open.
    pub(crate) async fn revive(&self) {
        let (opening, host) = (&self.opening, &self.host);
        host.revive(opening).await;
        for keeper in self.keepers() {
            keeper
                .revive(async |keeper| {
                    let tenant =
                        Tenant::open_known(keeper.folder(), keeper.id(), opening, host).await?;
                    // No roster is exchanged between what its log says and that it serves.
                    let turn = self.swap().turn().await;
                    let roster = self.roster();
                    begin(&tenant, host, [activation(&roster, &[])]).await?;
                    if let Some(canary) = self.swap().canary() {
                        let draft = canary_draft(&canary, canary.generation().warrant());
                        let recorded = tenant.log().record(draft).await;
                        let _recorded = recorded.map_err(|source| TenantError::NotRecorded {
                            tenant: keeper.id().clone(),
                            source,
                        })?;
                    }
                    Ok((tenant, turn))
                })
                .await;
        }
    }

    /// Delivers what each export has not had yet, now. Off the path of requests.
    ///
    /// # Errors
    /// The first [`Refusal`]; what was delivered stays delivered, and the rest is tried again next time.
    pub async fn export(&self) -> Result<(), Refusal> {
        let tenants = self.serving().collect();
        let (engine, roster) = (self.engine(), self.roster());
        let all = self.shipping.all(&engine, &roster, tenants);
        all.await
    }

    /// Begins the deliveries that are due. The caller drives them.
    pub(crate) fn export_due(&self) -> Vec<impl Future<Output = ()> + Send + use<'_>> {
        self.shipping.watch();
        let (engine, tenants) = (self.workshop.engine(), self.serving().collect());
        self.shipping.due(engine, &self.roster(), tenants)
    }

    pub(crate) const fn shipping(&self) -> &Arc<Shipping> {
        &self.shipping
    }

    /// How each export stands.
    pub(crate) fn export_states(&self) -> Vec<ExportState<'_>> {
        let length = |id: &TenantId| {
            let host = self.host.keeper();
            let keeper = self.tenants.get(id).unwrap_or(host);
            let tenant = keeper.open().filter(|_| keeper.id() == id)?;
            Some(tenant.log().head().entries)
        };
        self.shipping.states(length)
    }

    /// Does what an operator asks for, on a thread that may block. Nothing if that panicked: the panic hook has said where.
    pub(crate) async fn act(
        self: &Arc<Self>,
        act: Act,
        by: String,
    ) -> Option<Result<Done, CustodyError>> {
        let runtime = Handle::current();
        self.in_turn(move |custody, served| runtime.block_on(custody.act(served, act, &by)))
            .await
    }

    /// Tells `by` what needs a tenant's keys. Nothing where it panicked.
    pub(crate) async fn inquire(
        self: &Arc<Self>,
        inquiry: Inquiry,
        by: String,
    ) -> Option<Result<Told, InquiryError>> {
        let runtime = Handle::current();
        self.in_turn(move |custody, served| runtime.block_on(custody.inquire(served, inquiry, &by)))
            .await
    }

    /// Has `act` done on a thread that may block, while nobody else changes keys.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Custody, &Served) -> T + Send + 'static,
    ) -> Option<T> {
        let (turn, gateway) = (self.turn().await, Arc::clone(self));
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // Given back before the turn is.
            let gateway = gateway;
            let keepers = gateway.keepers();
            let served = keepers.map(|keeper| (keeper.id().clone(), keeper.open()));
            act(&gateway.custody, &served.collect())
        });
        done.await.ok()
    }

    /// Judgements are run again for one operator at a time.
    pub(crate) const fn rerunning(&self) -> &tokio::sync::Mutex<()> {
        &self.rerunning
    }

    /// What exchanges the roster.
    pub(crate) const fn swap(&self) -> &Swap {
        &self.swap
    }

    /// What makes rosters.
    pub(crate) const fn workshop(&self) -> &Arc<Workshop> {
        &self.workshop
    }

    /// One change of keys at a time; a gateway that is to close waits for its turn.
    pub(crate) async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Does to the tenants' keys what is due: interrupted changes, rotation, the end of what is retired; and prunes their logs.
    /// It may block its thread. What cannot be done now is tried again by the next call.
    pub async fn keep_keys(&self) {
        for tenant in self.serving() {
            if let Err(error) = self.custody.keep(&tenant).await {
                let causes = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(tenant = %tenant.id(), error = causes, "the tenant's keys could not be kept; tried again in an hour");
            }
            if let Err(error) = self.custody.retain(&tenant) {
                let causes = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(tenant = %tenant.id(), error = causes, "what was kept long enough could not be pruned; tried again in an hour");
            }
        }
    }

    pub(crate) fn data(&self) -> &Path {
        self.custody.data()
    }

    /// Closes every log. The caller has seen to it that no request is in flight.
    ///
    /// # Errors
    /// [`TenantError`] when a log cannot be sealed.
    pub fn close(self) -> Result<BTreeMap<TenantId, Head>, TenantError> {
        self.swap.rest();
        self.mark();
        let (mut heads, mut first) = (BTreeMap::new(), None);
        let tenants = self.tenants.into_iter().filter_map(|(id, keeper)| {
            let tenant = keeper.into_open().and_then(Arc::into_inner)?;
            Some((id, tenant))
        });
        for (id, closed) in at_once(tenants, |(id, tenant)| (id, tenant.close())) {
            // One that cannot be sealed keeps no other from it.
            match closed {
                Ok(head) => drop(heads.insert(id, head)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        drop(self.custody);
        if let Some(host) = Arc::into_inner(self.host) {
            host.close()?;
        }
        first.map_or(Ok(heads), Err)
    }

    /// Has every log's state signed, and the host's log commit to each. Blocks on the disk.
    pub(crate) fn mark(&self) {
        self.record_counts();
        at_once(self.keepers().filter_map(Keeper::open), |tenant| {
            if let Err(error) = self.host.commit(&tenant) {
                let error = anyhow::Error::new(error);
                error!(tenant = %tenant.id(), "its log could not be committed to: {error:#}");
            }
        });
        if let Err(error) = self.host.sign() {
            let error = anyhow::Error::new(error);
            error!("the host's log could not be signed: {error:#}");
        }
    }

    /// The places apart that take checkpoints.
    pub(crate) const fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Asks the anchors that are due. Blocks on the disk, and waits for others.
    pub(crate) async fn anchor(&self) {
        let (engine, roster) = (&self.engine(), &self.roster());
        self.anchors
            .run(engine, roster, &*self.clock, &self.host)
            .await;
    }

    /// Records the refusals of the last minute that have no entry of their own. Blocks on the disk.
    pub(crate) fn record_counts(&self) {
        if let Err(error) = self.host.record_counts() {
            error!(%error, "refusals could not be recorded in the host's log; they are kept and tried again");
        }
    }

    /// The host's own log.
    pub(crate) fn host(&self) -> &HostLog {
        &self.host
    }

    /// Refuses whom no credential makes known.
    pub(crate) async fn refuse_stranger(
        &self,
        source: SocketAddr,
        origin: &Phi<Origin>,
        refusal: Refusal,
    ) -> Reply {
        let event = match self.event_id() {
            Ok(id) => self.host.refuse(id, source, origin, &refusal).await,
            Err(_) => None,
        };
        match event {
            Some(id) => Reply::refused(id, refusal),
            None => Reply::unadmitted(refusal),
        }
    }

    /// The tenant of that name.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.get(id)?.open()
    }

    /// Why the tenant of that name does not serve, cause by cause, if it is configured and does not.
    #[must_use]
    pub fn why_closed(&self, id: &TenantId) -> Option<String> {
        self.tenants.get(id)?.why_not()
    }

    /// Why there is no tenant of that name to serve.
    pub(crate) fn why_not(&self, id: &TenantId) -> Refusal {
        match self.tenants.contains_key(id) {
            true => Refusal::TenantUnavailable,
            false => Refusal::NoTenant {
                tenant: id.to_string(),
            },
        }
    }

    /// Refuses with a count in the host's log: what is refused so has no entry of its own.
    pub(crate) fn counted(&self, refusal: Refusal) -> Reply {
        self.host.count(refusal.code());
        Reply::unadmitted(refusal)
    }

    /// Writes down when API keys were last used.
    pub(crate) fn keep_last_uses(&self) {
        self.callers.keep_last_uses();
    }

    /// Does `work` on a thread that may block.
    pub(crate) async fn aside(self: &Arc<Self>, work: fn(&Self)) {
        let (gateway, at_work) = (Arc::clone(self), Arc::clone(&self.aside).read_owned().await);
        let done = tokio::task::spawn_blocking(move || {
            work(&gateway);
            drop(gateway);
            drop(at_work);
        });
        // If it panicked, the panic hook has said where.
        drop(done.await);
    }

    /// Does `work` to its end, also if whoever asked for it has gone. Nothing if it panicked: the panic hook has said where.
    pub(crate) async fn to_its_end<T, W>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> W,
    ) -> Option<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let at_work = Arc::clone(&self.aside).read_owned().await;
        let working = work(Arc::clone(self));
        let done = tokio::spawn(async move {
            let done = working.await;
            drop(at_work);
            done
        });
        done.await.ok()
    }

    /// Waits until nothing is done aside any more. Whoever gave up waiting for such work did not end it.
    pub(crate) async fn at_rest(&self) {
        let _at_rest = self.aside.write().await;
    }

    /// Accesses in an emergency, counted.
    #[must_use]
    pub fn emergencies(&self) -> &Alerts {
        &self.alerts
    }

    /// What the fields of a tenant's records are, if it says so.
    pub(crate) fn classification(&self, tenant: &TenantId) -> Option<&Classification> {
        self.classifications.get(tenant)
    }

    /// Whether a purpose is an emergency.
    pub(crate) fn emergency(&self, purpose: &Purpose) -> Option<Emergency> {
        let is_one = self.emergencies.contains(purpose);
        is_one.then(|| Emergency::new(Arc::clone(&self.alerts)))
    }

    /// The sandbox.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(self.workshop.engine())
    }

    /// The roster that serves now.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.swap.roster()
    }

    pub(crate) fn event_id(&self) -> Result<EventId, KeyError> {
        nephron_keys::random::event_id(&*self.clock).map_err(KeyError::from)
    }

    pub(crate) const fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Whether what is `shown` may go to `endpoint`, spoken to by the connector of `roster`.
    pub(crate) fn ground(
        &self,
        endpoint: &Endpoint,
        shown: Shown<'_>,
        roster: &Roster,
    ) -> Result<Ground, NoGround> {
        let vouched = roster.vouched_for(&endpoint.connector);
        self.associates
            .ground(endpoint, shown, vouched, self.clock.now())
    }

    /// The route for `model`: one by that name, else the one for `*`. What a caller calls a model goes no further than
    /// this: a route for `*` to endpoints with a URL must say what the model is called at each of them.
    pub(crate) fn route(&self, model: &str) -> Option<&Route> {
        let by_name = self.routes.iter().find(|route| route.model == model);
        let route = by_name.or_else(|| self.routes.iter().find(|route| route.model == "*"))?;
        let mut endpoints = self.endpoints_of(route);
        let is_named =
            |(one, there): (&Endpoint, Option<&str>)| one.upstream.is_none() || there.is_some();
        (route.model != "*" || endpoints.all(is_named)).then_some(route)
    }

    /// The endpoints that serve `model`, in the order in which they are asked, each with the name that it has there.
    pub(crate) fn endpoints(&self, model: &str) -> Option<Vec<(&Endpoint, String)>> {
        let served = self.endpoints_of(self.route(model)?);
        let named =
            |(endpoint, there): (_, Option<&str>)| (endpoint, there.unwrap_or(model).to_owned());
        Some(served.map(named).collect())
    }

    /// The endpoints of a route, each with the name that it is configured to know the model by.
    fn endpoints_of<'a>(
        &'a self,
        route: &'a Route,
    ) -> impl Iterator<Item = (&'a Endpoint, Option<&'a str>)> {
        route.endpoints.iter().filter_map(|served| {
            let mut all = self.endpoints.iter();
            let endpoint = all.find(|endpoint| endpoint.name == served.name)?;
            Some((endpoint, served.upstream_model.as_deref()))
        })
    }
}

pub(crate) fn open_root(data: &Path, access: &RootAccess) -> Result<RootKey, OpenError> {
    let host = &in_data(data, "host")?;
    if !host.join(RootKey::FILE).exists() && is_known_of(data) {
        // Another root key would open none of them.
        return Err(OpenError::RootGone {
            path: host.join(RootKey::FILE),
        });
    }
    let dir =
        Dir::open_ambient_dir(host, ambient_authority()).map_err(|source| OpenError::Data {
            path: host.to_owned(),
            source,
        })?;
    let opened = access.open(&dir);
    opened.map_err(|source| OpenError::Root {
        path: host.to_owned(),
        source,
    })
}

/// Records in the logs of the tenants that exist that a plugin was refused. The operator is told by the error itself, so
/// a log that cannot be opened for this takes nothing away from that.
async fn record_refused_plugin(config: &Config, around: &Surroundings, error: &OpenError) {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fault is no plugin's"
    )]
    let (name, code) = match error {
        OpenError::Vet { name, source } => (name.as_str(), source.code()),
        OpenError::Trust { name, source } => (name.as_str(), source.code()),
        OpenError::NotPulled { name, .. } => (name.as_str(), "not-pulled"),
        OpenError::Load(source) => (source.plugin(), source.code()),
        OpenError::Unfit { name, code, .. } => (name.as_str(), *code),
        _ => return,
    };
    for id in &config.tenants {
        let mut draft = Draft::new(EntryKind::PluginRefused, "refused").fact("plugin", name);
        draft.reasons.push(code.to_owned());
        let tenants = config.data.join("tenants");
        if let Err(error) = Tenant::record_alone(&tenants, id, around, draft).await {
            tracing::warn!(tenant = %id, %error, "a refused plugin could not be recorded");
        }
    }
}

/// Opens the tenants, some at once: most of it is waiting for the disk. One that cannot be opened is tried again later and keeps no
/// other from serving; if none can, that is told.
async fn open_tenants(
    config: &Config,
    opening: &Arc<Opening>,
    host: &Arc<HostLog>,
    first: &Arc<First>,
) -> Result<BTreeMap<TenantId, Keeper>, OpenError> {
    let tenants = in_data(&config.data, "tenants")?;
    let (mut keepers, mut failures) = (BTreeMap::new(), Vec::new());
    let opened = config.tenants.iter().cloned().map(|id| {
        let folder = tenants.join(id.as_str());
        let (opening, host) = (Arc::clone(opening), Arc::clone(host));
        let (first, runtime) = (Arc::clone(first), Handle::current());
        tokio::task::spawn_blocking(move || {
            let serving = serve(&id, &folder, &opening, &host, &first);
            let served = runtime.block_on(serving);
            (id, folder, served)
        })
    });
    let mut opened = futures_util::stream::iter(opened).buffered(AT_ONCE);
    let mut told = Instant::now();
    while let Some(opened) = opened.next().await {
        let (id, folder, served) = opened.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        let keeper = match served {
            Ok(tenant) => Keeper::of(tenant, folder),
            Err(failure) => {
                let keeper = Keeper::of_none(id.clone(), folder, &failure);
                failures.push(failure);
                keeper
            }
        };
        keepers.insert(id, keeper);
        if told.elapsed() > TELLING {
            told = Instant::now();
            info!(
                "{} of {} tenants are open",
                keepers.len(),
                config.tenants.len()
            );
        }
    }
    match failures.pop() {
        Some(failure) if failures.len() + 1 == keepers.len() => Err(failure.into()),
        Some(_) | None => Ok(keepers),
    }
}

/// Tenants that are opened or closed at once.
const AT_ONCE: usize = 16;
/// Between two words on how far that has come.
const TELLING: Duration = Duration::from_secs(5);

/// Does `work` with each, in no order, some at once, and gives what came of them.
fn at_once<T: Send, R: Send>(all: impl Iterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let all: Vec<T> = all.collect();
    let width = all.len().min(AT_ONCE);
    let (all, work) = (Mutex::new(all.into_iter()), &work);
    let next = || all.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one_by_one = || std::iter::from_fn(next).map(work).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        // Threads that are not to be had are done without.
        let begin = |_| {
            std::thread::Builder::new()
                .spawn_scoped(scope, one_by_one)
                .ok()
        };
        let threads: Vec<_> = (1..width).filter_map(begin).collect();
        let mut done = one_by_one();
        for thread in threads {
            done.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
}

/// Opens a tenant, records which roster begins to serve it, and commits to its log.
async fn serve(
    id: &TenantId,
    folder: &Path,
    opening: &Opening,
    host: &HostLog,
    first: &First,
) -> Result<Tenant, TenantError> {
    let tenant = Tenant::open_known(folder, id, opening, host).await?;
    let drafts = first.refused.iter().chain([&first.opened]).cloned();
    begin(&tenant, host, drafts).await?;
    Ok(tenant)
}

/// What the logs say first, when a gateway opens.
struct First {
    /// The entry that a roster begins to serve.
    opened: Draft,
    /// The entry that what the configuration says does not, if so.
    refused: Option<Draft>,
}

/// The entry that a roster begins to serve when a gateway opens.
fn opened(begun: &Begun) -> Draft {
    let serving = &begun.serving;
    activation(serving.roster(), serving.differences())
}

/// Records in the host's log what begins to serve, if that is another than was served last, and which versions of plugins.
async fn begin_host(host: &HostLog, begun: &Begun) -> Result<(), NotRecorded> {
    let log = host.own()?;
    if let Some(draft) = &begun.told {
        let _recorded = log.log().record(draft.clone()).await?;
    }
    if let Some(kept) = &begun.kept {
        let mut draft = opened(begun);
        draft.records.push(kept.record());
        let _recorded = log.log().record(draft).await?;
    }
    let roster = begun.serving.roster();
    counters::keep(host, roster, "the gateway", "opened").await
}

/// Records in an open tenant's log that it is served, and by which roster, and in the host's how far that log is.
async fn begin(
    tenant: &Tenant,
    host: &HostLog,
    drafts: impl IntoIterator<Item = Draft>,
) -> Result<(), TenantError> {
    for draft in drafts {
        let recorded = tenant.log().record(draft).await;
        let _recorded = recorded.map_err(|source| TenantError::NotRecorded {
            tenant: tenant.id().clone(),
            source,
        })?;
    }
    let committed = host.commit(tenant);
    committed.map_err(|source| TenantError::NotCommitted {
        tenant: tenant.id().clone(),
        source: Box::new(source),
    })
}

/// The entry that a roster begins to serve a tenant that opens, and what differs from what served last.
fn activation(roster: &Roster, differences: &[Difference]) -> Draft {
    let mut draft = Draft::new(EntryKind::RosterActivated, "ok").fact("reason", aftermath::OPENED);
    draft.generation = Some(roster.generation());
    draft.records.push(manifest_record(roster));
    told_in(draft, differences)
}

pub(crate) fn lock(path: &Path) -> Result<std::fs::File, OpenError> {
    let fault = |source| OpenError::Data {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Writes a file whole, or leaves the one that is there.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Of this process: two that write the same do not meet.
    let draft = beside(path, &format!(".{}.tmp", std::process::id()));
    std::fs::write(&draft, bytes)?;
    std::fs::File::open(&draft)?.sync_all()?;
    std::fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The path with more behind its last name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn in_data(data: &Path, name: &str) -> Result<PathBuf, OpenError> {
    let path = data.join(name);
    make_private(&path).map_err(|source| OpenError::Data {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// Makes what was renamed or made within a folder durable. The empty path, a bare file name's parent, is this folder.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let is_here = path.as_os_str().is_empty();
    let folder = if is_here { Path::new(".") } else { path };
    std::fs::File::open(folder)?.sync_all()
}

/// Makes a folder, and those above it, that only this user may enter; one that is there is left as it is.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_lies_in_the_folder_that_is_the_present_one() {
        sync_folder(Path::new("gateway.toml").parent().unwrap()).unwrap();
        assert!(sync_folder(Path::new("no-such-folder")).is_err());
    }
}

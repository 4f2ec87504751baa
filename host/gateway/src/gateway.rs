//! The gateway: what the process holds for as long as it serves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_audit::Head;
use nephron_engine::aot::AotCache;
use nephron_engine::compile::Compiler;
use nephron_engine::vet::{VetError, vet};
use nephron_engine::{Engine, EngineError, LoadError};
use nephron_keys::{Cost, KeyError, Passphrase, RootError, RootKey};
use nephron_model::{
    Clock, Digest, Draft, EntryKind, EventId, NotRecorded, Purpose, Record, Recorder as _, Space,
    TenantId,
};

use tracing::{Instrument as _, info_span};

use crate::admit::{Admission, Admitted, admit};
use crate::associates::{Alert, Associates, Ground, NoGround, Shown};
use crate::authenticate::{Called, Callers, Identity, NotIdentified, Presented};
use crate::case::Case;
use crate::chain::reidentify::Streamed;
use crate::config::{self, Component, Config, Endpoint, Route};
use crate::egress::Egress;
use crate::emergency::{Alerts, Emergency};
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::receive::{Call, receive};
use crate::refusal::Refusal;
use crate::reply::{ANSWERED, Outlet, Piece, Reply, reply, reply_streamed};
use crate::roster::Roster;
use crate::tenant::{Tenant, TenantError};
use crate::tls::TlsError;

/// A gateway that is open: its tenants, its roster, its sandbox, its way out.
pub struct Gateway {
    clock: Arc<dyn Clock>,
    engine: Arc<Engine>,
    roster: Arc<Roster>,
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    associates: Associates,
    endpoints: Vec<Endpoint>,
    routes: Vec<Route>,
    limits: config::RequestLimits,
    exports: Vec<config::Export>,
    callers: Callers,
    emergencies: Vec<Purpose>,
    alerts: Arc<Alerts>,
    egress: Egress,
    metrics: Arc<Metrics>,
    /// Held for as long as the gateway is open: two processes do not share a data folder.
    _lock: std::fs::File,
}

/// What the process supplies beside the configuration.
pub struct Surroundings {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Opens the root key.
    pub passphrase: Passphrase,
    /// What making a root key costs; [`Cost::RECOMMENDED`] but in tests.
    pub cost: Cost,
    /// Folder of the first-party components, `<name>.component.wasm`.
    pub first_party: PathBuf,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// How logs are kept.
    pub log: nephron_audit::Options,
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
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The chain names a plugin that is not there.
    #[error("the roster is incomplete")]
    Roster(#[source] Refusal),
    /// A certificate for an endpoint cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A tenant cannot be opened or made.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The roster's activation cannot be recorded.
    #[error("the roster cannot be recorded in the log of tenant `{tenant}`, and so does not serve")]
    NotRecorded {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: NotRecorded,
    },
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
        let vetted = vet_all(config, &around.first_party)?;

        let host = in_data(data, "host")?;
        let lock = lock(&host.join("lock"))?;
        let root = open_root(&host, around)?;
        let cache = AotCache::new(&in_data(data, "host/aot")?, root.mac_key("aot"));
        let cache = cache.map_err(|source| OpenError::Data {
            path: host.join("aot"),
            source,
        })?;
        let mut plugins = Vec::with_capacity(vetted.len());
        for (plugin, vetted) in &vetted {
            let settings = sorted(&plugin.settings).to_string();
            keep(data, vetted.digest(), "wasm", vetted.bytes())?;
            keep(
                data,
                Digest::of(settings.as_bytes()),
                "json",
                settings.as_bytes(),
            )?;
            let load = engine.load(
                &plugin.name,
                vetted,
                &settings,
                &plugin.limits,
                &around.compiler,
                Some(&cache),
            );
            plugins.push((plugin.kind, Arc::new(load.await?)));
        }
        let roster = Arc::new(
            Roster::new(&plugins, &config.chain, method(config)).map_err(OpenError::Roster)?,
        );
        let manifest = roster.manifest().to_bytes();
        keep(data, roster.generation(), ROSTER, &manifest)?;

        let folder = in_data(data, "tenants")?;
        let mut tenants = BTreeMap::new();
        for id in &config.tenants {
            let tenant =
                Tenant::open_or_make(&folder, id, &root, &around.clock, &around.log).await?;
            let activated = activate(&tenant, &roster).await;
            activated.map_err(|source| OpenError::NotRecorded {
                tenant: id.clone(),
                source,
            })?;
            tenants.insert(id.clone(), Arc::new(tenant));
        }
        Ok(Self {
            clock: Arc::clone(&around.clock),
            engine,
            roster,
            tenants,
            associates: Associates::new(config.associates.clone(), config.egress.clone()),
            endpoints: config.endpoints.clone(),
            routes: config.routes.clone(),
            limits: config.limits.clone(),
            exports: config.exports.clone(),
            callers: Callers::new(config, around.clock.now()),
            emergencies: config.emergencies.clone(),
            alerts: Arc::default(),
            egress: Egress::new(&config.endpoints)?,
            metrics: Arc::new(Metrics::new()),
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
            Err(refusal) => return Reply::unadmitted(refusal),
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
            Err(refusal) => refused(Reply::unadmitted(refusal)),
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
            return Reply::unadmitted(refusal);
        };
        let id = match self.event_id() {
            Ok(id) => id,
            Err(error) => return Reply::unadmitted(error.into()),
        };
        let draft = Draft::new(EntryKind::RequestRefused, refusal.code());
        let mut draft = identity.proof.on(draft);
        draft.request = Some(id);
        draft.caller = Some(identity.caller.id.clone());
        draft.purpose = identity.purpose.clone().into();
        draft.generation = Some(self.roster.generation());
        draft.reasons = refusal.reasons();
        let draft = match Origin::add_to(&identity.origin, &tenant, id, draft) {
            Ok(draft) => draft,
            Err(refusal) => return Reply::unadmitted(refusal),
        };
        self.metrics.entry(&draft);
        match tenant.log().record(draft).await {
            Ok(_recorded) => Reply::refused(id, refusal),
            Err(_) => Reply::unadmitted(refusal),
        }
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
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

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// Delivers what each exporter has not had yet. Off the path of requests.
    ///
    /// # Errors
    /// The first [`Refusal`]; what was delivered stays delivered, and the rest is tried again next time.
    pub async fn export(&self) -> Result<(), Refusal> {
        let mut first = Ok(());
        for tenant in self.tenants.values() {
            for export in &self.exports {
                // One that fails holds up no other.
                first = first.and(crate::chain::export::export(self, tenant, export).await);
            }
        }
        first
    }

    /// Closes every log. The caller has seen to it that no request is in flight.
    ///
    /// # Errors
    /// [`TenantError`] when a log cannot be sealed.
    pub fn close(self) -> Result<BTreeMap<TenantId, Head>, TenantError> {
        let mut heads = BTreeMap::new();
        for (id, tenant) in self.tenants {
            if let Some(tenant) = Arc::into_inner(tenant) {
                heads.insert(id, tenant.close()?);
            }
        }
        Ok(heads)
    }

    /// The tenant of that name.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.get(id).cloned()
    }

    /// Writes down when API keys were last used, on a thread that may block.
    pub(crate) async fn keep_last_uses(self: &Arc<Self>) {
        let gateway = Arc::clone(self);
        let kept = tokio::task::spawn_blocking(move || gateway.callers.keep_last_uses());
        // If it panicked, the panic hook has said where.
        drop(kept.await);
    }

    /// Accesses in an emergency, counted.
    #[must_use]
    pub fn emergencies(&self) -> &Alerts {
        &self.alerts
    }

    /// Whether a purpose is an emergency.
    pub(crate) fn emergency(&self, purpose: &Purpose) -> Option<Emergency> {
        let is_one = self.emergencies.contains(purpose);
        is_one.then(|| Emergency::new(Arc::clone(&self.alerts)))
    }

    /// The sandbox.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// The roster that serves now.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    pub(crate) fn event_id(&self) -> Result<EventId, KeyError> {
        nephron_keys::random::event_id(&*self.clock).map_err(KeyError::from)
    }

    pub(crate) const fn egress(&self) -> &Egress {
        &self.egress
    }

    pub(crate) fn ground(&self, endpoint: &Endpoint, shown: Shown<'_>) -> Result<Ground, NoGround> {
        self.associates.ground(endpoint, shown, self.clock.now())
    }

    /// The route for `model`: one by that name, else the one for `*`. What a caller calls a model goes no further than
    /// this: a route for `*` to endpoints with a URL must say what the model is called at each of them.
    pub(crate) fn route(&self, model: &str) -> Option<&Route> {
        let by_name = self.routes.iter().find(|route| route.model == model);
        let route = by_name.or_else(|| self.routes.iter().find(|route| route.model == "*"))?;
        let mut endpoints = self.endpoints_of(route);
        let is_named =
            |(one, there): (&Endpoint, Option<&str>)| one.url.is_none() || there.is_some();
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

/// Safe Harbor, 45 CFR 164.514(b)(2), is met by the plugin of that name, as it comes: settings that make it find less
/// make it something else.
fn method(config: &Config) -> Option<&'static str> {
    const NAME: &str = "safe-harbor";
    let narrowed = |plugin: &config::Plugin| {
        ["kinds", "keep", "minimum-confidence"]
            .iter()
            .any(|key| plugin.settings.get(key).is_some())
    };
    let meets = |plugin: &config::Plugin| {
        let first_party = matches!(&plugin.component, Component::FirstParty(name) if name == NAME);
        first_party && config.chain.detectors.contains(&plugin.name) && !narrowed(plugin)
    };
    config.plugins.iter().any(meets).then_some(NAME)
}

/// The same settings with their keys in order, so that equal settings have one text and one digest, whichever features
/// of serde_json a build has.
fn sorted(settings: &serde_json::Value) -> serde_json::Value {
    match settings {
        serde_json::Value::Object(map) => {
            let by_key: BTreeMap<&String, &serde_json::Value> = map.iter().collect();
            by_key
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        serde_json::Value::Array(list) => list.iter().map(sorted).collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => settings.clone(),
    }
}

type Vetted<'a> = Vec<(&'a config::Plugin, nephron_engine::vet::Vetted)>;

fn vet_all<'a>(config: &'a Config, first_party: &Path) -> Result<Vetted<'a>, OpenError> {
    let vet_one = |plugin: &'a config::Plugin| {
        let path = match &plugin.component {
            Component::FirstParty(name) => first_party.join(format!("{name}.component.wasm")),
            Component::File(path) => path.clone(),
        };
        let vetted = nephron_engine::vet::read(&path, &plugin.limits).and_then(|bytes| {
            vet(
                bytes,
                Some(plugin.kind.world()),
                plugin.digest,
                plugin.grants,
                &plugin.limits,
            )
        });
        let vetted = vetted.map_err(|source| OpenError::Vet {
            name: plugin.name.clone(),
            source,
        })?;
        Ok((plugin, vetted))
    };
    config.plugins.iter().map(vet_one).collect()
}

fn open_root(host: &Path, around: &Surroundings) -> Result<RootKey, OpenError> {
    let dir =
        Dir::open_ambient_dir(host, ambient_authority()).map_err(|source| OpenError::Data {
            path: host.to_owned(),
            source,
        })?;
    let opened = if dir.exists(RootKey::FILE) {
        RootKey::open(&dir, &around.passphrase)
    } else {
        RootKey::create(&dir, &around.passphrase, around.cost)
    };
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
        OpenError::Load(source) => (source.plugin(), source.code()),
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

/// Records in the tenant's log which roster begins to serve it.
async fn activate(tenant: &Tenant, roster: &Roster) -> Result<(), NotRecorded> {
    let mut draft = Draft::new(EntryKind::RosterActivated, "ok").fact("reason", "opened");
    draft.generation = Some(roster.generation());
    draft.records.push(Record {
        space: Space::Generation,
        key: roster.generation().0.to_vec(),
        value: roster.manifest().to_bytes(),
    });
    let _recorded = tenant.log().record(draft).await?;
    Ok(())
}

/// How a roster's manifest is kept.
pub(crate) const ROSTER: &str = "roster.json";

/// Where a component, its settings or a roster are kept by digest, for replay as long as entries name them.
pub(crate) fn kept(data: &Path, digest: Digest, kind: &str) -> PathBuf {
    data.join("host/kept")
        .join(format!("{}.{kind}", digest.hex()))
}

fn lock(path: &Path) -> Result<std::fs::File, OpenError> {
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

fn keep(data: &Path, digest: Digest, kind: &str, bytes: &[u8]) -> Result<(), OpenError> {
    in_data(data, "host/kept")?;
    let path = kept(data, digest, kind);
    let fault = |source| OpenError::Data {
        path: path.clone(),
        source,
    };
    // A file that a crash or an accident changed is written anew.
    if std::fs::read(&path).is_ok_and(|there| Digest::of(&there) == digest) {
        return Ok(());
    }
    let draft = path.with_extension("tmp");
    std::fs::write(&draft, bytes).map_err(fault)?;
    std::fs::File::open(&draft)
        .and_then(|file| file.sync_all())
        .map_err(fault)?;
    std::fs::rename(&draft, &path).map_err(fault)?;
    path.parent().map_or(Ok(()), sync_folder).map_err(fault)
}

fn in_data(data: &Path, name: &str) -> Result<PathBuf, OpenError> {
    let path = data.join(name);
    make_private(&path).map_err(|source| OpenError::Data {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// Makes what was renamed or made within a folder durable.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// Makes a folder, and those above it, that only this user may enter; one that is there is left as it is.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

//! What is done with tenants and their keys beside requests: by the schedule, and by an operator on this machine.
//!
//! A gateway that serves does it in its own process, since it holds the logs; where none does, the command line opens the
//! data folder for the one act. Each act is an entry of the tenant's log before it has an effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nephron_audit::{Day, Hold, Prunable, RetainError, Retention};
use nephron_keys::{Boundary, Kek, KeyError, KeyStatus, Schedule, Shredded, TenantKeyError};
use nephron_model::{Clock, Draft, EntryKind, NotRecorded, Recorder as _, TenantId};
use serde::{Deserialize, Serialize};

use crate::gateway::{OpenError, in_data, lock, open_root};
use crate::host_log::HostLog;
use crate::keeper::Opening;
use crate::root::RootAccess;
use crate::swap::{SwapError, Warrant};
use crate::tenant::{Tenant, TenantError};

/// The tenants that a gateway serves: nothing for one that it cannot open now, and which nobody else opens either.
pub(crate) type Served = BTreeMap<TenantId, Option<Arc<Tenant>>>;

/// What an act needs.
pub(crate) struct Custody {
    data: PathBuf,
    opening: Arc<Opening>,
    /// Knows how far each tenant had come.
    host: Arc<HostLog>,
    schedule: Schedule,
    retention: Option<Retention>,
    /// Held where no gateway does.
    _lock: Option<std::fs::File>,
}

/// An act.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Act {
    /// Says how tenants stand: this one, or each that has a folder.
    Look(Option<TenantId>),
    /// Makes a tenant.
    Create(TenantId),
    /// Makes the next version of a tenant's key, for these boundaries.
    Rotate(TenantId, Vec<String>),
    /// Destroys a tenant's keys.
    Destroy(TenantId),
    /// The same, and says that the tenant has ended.
    Terminate(TenantId),
    /// Keeps everything of a tenant's log, whatever its age; or no longer.
    Hold {
        tenant: TenantId,
        holds: bool,
        by: String,
        reason: String,
    },
    /// Takes this machine's clock as it is, though a tenant's log has a later time.
    TakeClock {
        tenant: TenantId,
        by: String,
        reason: String,
    },
    /// Takes sealed payloads away that were kept long enough, of this tenant or of each that has a folder; or only counts them. `today`
    /// is the day, as who asks for it says.
    Prune {
        tenant: Option<TenantId>,
        counts_only: bool,
        by: String,
        reason: String,
        today: Option<Day>,
    },
}

/// What came of an act.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Done {
    /// How the tenants that it was about stand now.
    pub(crate) tenants: Vec<Standing>,
    /// What the provider said of each key-encryption key that was destroyed.
    pub(crate) answers: Vec<Answer>,
    /// What was pruned, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pruned: Vec<Pruned>,
}

/// What became of a tenant's payloads that were kept long enough.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pruned {
    pub(crate) tenant: TenantId,
    /// Up to which entry, how many and how large.
    pub(crate) found: Prunable,
    /// Why nothing was done.
    pub(crate) problem: Option<String>,
}

/// What a provider said when a key-encryption key was destroyed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Answer {
    pub(crate) kek: String,
    pub(crate) answer: String,
}

/// How a tenant stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Standing {
    pub(crate) tenant: TenantId,
    /// Whether a gateway serves it now.
    pub(crate) served: bool,
    pub(crate) state: State,
    /// Why it cannot be opened.
    pub(crate) problem: Option<String>,
    /// Entries in its log.
    pub(crate) entries: Option<u64>,
    /// What wraps its keys.
    pub(crate) provider: Option<String>,
    /// The versions of its key, the oldest first.
    pub(crate) versions: Vec<Version>,
    /// Its key-encryption keys at the provider.
    pub(crate) keks: Vec<ListedKek>,
    /// Boundaries that are due for rotation.
    pub(crate) due: Vec<String>,
    /// Key files wrapped anew, of how many, while that is under way.
    pub(crate) rewrapped: Option<(usize, usize)>,
    /// The legal hold that its log is on.
    #[serde(default)]
    pub(crate) hold: Option<Hold>,
}

/// What became of a tenant's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// They are there.
    Live,
    /// They were destroyed, and so is all that was sealed under them.
    Destroyed,
    /// They are missed: the provider has them no more, and the log does not say that they were destroyed.
    Missing,
    /// The tenant cannot be opened.
    Unreadable,
}

/// One version of a tenant's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Version {
    pub(crate) version: u32,
    pub(crate) created: String,
    /// The boundaries that seal under it.
    pub(crate) seals: Vec<String>,
    pub(crate) kek: Option<String>,
}

/// A key-encryption key at the provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ListedKek {
    pub(crate) name: String,
    pub(crate) made: String,
    pub(crate) retired: Option<String>,
    pub(crate) destroyed: Option<String>,
}

/// An act that was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CustodyError {
    #[error(
        "there is no tenant `{tenant}` in `{folder}`; `nephron tenant list` shows those that there are"
    )]
    NoTenant { tenant: TenantId, folder: PathBuf },
    #[error(
        "the gateway cannot open tenant `{tenant}`, and tries again by itself; `/status` says why"
    )]
    Closed { tenant: TenantId },
    #[error("`host` is the name of the host's own log and keys; give the tenant another")]
    Reserved,
    #[error("tenant `{tenant}` is there already")]
    Exists { tenant: TenantId },
    #[error("`{0}` is no boundary that is rotated; name `vault`, `audit-payload` or `field`")]
    NoBoundary(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error("the keys of tenant `{tenant}` were not changed, or not all")]
    Keys {
        tenant: TenantId,
        #[source]
        source: TenantKeyError,
    },
    #[error("the log of tenant `{tenant}` cannot be read")]
    Unreadable {
        tenant: TenantId,
        #[source]
        source: KeyError,
    },
    #[error(
        "the end of tenant `{tenant}` could not be recorded; its keys were destroyed, call again"
    )]
    NotRecorded {
        tenant: TenantId,
        #[source]
        source: NotRecorded,
    },
    #[error(
        "tenant `{tenant}` is on legal hold since {} by {}: {}; release it first (`nephron tenant release {tenant}`)", .hold.since, .hold.by, .hold.reason
    )]
    OnHold { tenant: TenantId, hold: Hold },
    #[error("the log of tenant `{tenant}` was not changed, or not wholly")]
    Retain {
        tenant: TenantId,
        #[source]
        source: RetainError,
    },
    #[error(
        "this machine's clock reads no less than tenant `{tenant}` has seen it read, so there is nothing to take"
    )]
    ClockIsRight { tenant: TenantId },
    #[error("the clock was not taken for tenant `{tenant}`")]
    ClockNotTaken {
        tenant: TenantId,
        #[source]
        source: KeyError,
    },
    #[error("it is for a person to do, and for a reason")]
    NoGround(#[source] Box<SwapError>),
    #[error(
        "no time is configured for which payloads are kept, so none is pruned; set `retention` in `[log]`, six years or more"
    )]
    NoRetention,
    #[error("the tenants' folder `{folder}` cannot be read")]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Custody {
    /// That of a gateway which has these open.
    pub(crate) const fn of_gateway(
        data: PathBuf,
        opening: Arc<Opening>,
        host: Arc<HostLog>,
        schedule: Schedule,
        retention: Option<Retention>,
    ) -> Self {
        Self {
            data,
            opening,
            host,
            schedule,
            retention,
            _lock: None,
        }
    }

    /// That of a process which opens the data folder for it, as no gateway has it open.
    pub(crate) async fn alone(
        data: &Path,
        access: &RootAccess,
        clock: Arc<dyn Clock>,
        schedule: Schedule,
        retention: Option<Retention>,
    ) -> Result<Self, CustodyError> {
        if !data.is_dir() {
            let path = data.to_owned();
            return Err(OpenError::NoData { path }.into());
        }
        let lock = lock(&in_data(data, "host")?.join("lock"))?;
        in_data(data, "tenants")?;
        let opening = Arc::new(Opening {
            root: Arc::new(open_root(data, access)?),
            clock,
            log: nephron_audit::Options::default(),
        });
        Ok(Self {
            data: data.to_owned(),
            host: Arc::new(HostLog::open(data, &opening).await?),
            opening,
            schedule,
            retention,
            _lock: Some(lock),
        })
    }

    /// Ends it: a host's log that was opened for it is signed and sealed.
    pub(crate) fn close(self) -> Result<(), CustodyError> {
        if let Some(host) = Arc::into_inner(self.host) {
            host.close()?;
        }
        Ok(())
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Does what `by` asks for.
    pub(crate) async fn act(
        &self,
        served: &Served,
        act: Act,
        by: &str,
    ) -> Result<Done, CustodyError> {
        match act {
            Act::Look(None) => {
                let mut tenants = Vec::new();
                for id in self.known(served)? {
                    tenants.push(self.look(served, &id).await?);
                }
                Ok(Done {
                    tenants,
                    ..Done::default()
                })
            }
            Act::Look(Some(id)) => {
                self.is_there(served, &id)?;
                self.done(served, &id, Shredded::default()).await
            }
            Act::Create(id) => {
                if self.folder(&id).exists() || served.contains_key(&id) {
                    return Err(CustodyError::Exists { tenant: id });
                }
                if id == TenantId::host() {
                    return Err(CustodyError::Reserved);
                }
                let folder = self.folder(&id);
                let made = Tenant::open_known(&folder, &id, &self.opening, &self.host).await?;
                self.release(Held::Opened(Box::new(made)))?;
                self.done(served, &id, Shredded::default()).await
            }
            Act::Rotate(id, boundaries) => {
                let boundaries = boundaries.iter().map(|name| {
                    let mut known = Boundary::ROTATED.into_iter();
                    let found = known.find(|boundary| boundary.as_str() == name);
                    found.ok_or_else(|| CustodyError::NoBoundary(name.clone()))
                });
                let boundaries: Vec<Boundary> = boundaries.collect::<Result<_, _>>()?;
                let held = self.hold(served, &id).await?;
                let rotated = held.tenant().keys().rotate(&boundaries, by).await;
                self.release(held)?;
                rotated.map_err(|source| CustodyError::Keys {
                    tenant: id.clone(),
                    source,
                })?;
                self.done(served, &id, Shredded::default()).await
            }
            Act::Destroy(id) => {
                let held = self.hold(served, &id).await?;
                let shredded = destroy(held.tenant(), by).await;
                self.release(held)?;
                self.done(served, &id, shredded?).await
            }
            Act::Terminate(id) => {
                let held = self.hold(served, &id).await?;
                let ended = terminate(held.tenant(), by).await;
                self.release(held)?;
                self.done(served, &id, ended?).await
            }
            Act::Hold {
                tenant: id,
                holds,
                by: person,
                reason,
            } => {
                let Warrant { by, reason, .. } = warrant(&person, by, &reason)?;
                let held = self.hold(served, &id).await?;
                let log = held.tenant().log();
                let changed = match holds {
                    true => log.hold(&by, &reason),
                    false => log.release(&by, &reason),
                };
                self.release(held)?;
                changed.map_err(|source| not_retained(&id, source))?;
                self.done(served, &id, Shredded::default()).await
            }
            Act::TakeClock {
                tenant: id,
                by: person,
                reason,
            } => {
                let Warrant { by, reason, .. } = warrant(&person, by, &reason)?;
                let held = self.hold(served, &id).await?;
                let taken = held.tenant().keys().take_clock(&by, &reason).await;
                self.release(held)?;
                match taken {
                    Ok(Some(_wrong)) => self.done(served, &id, Shredded::default()).await,
                    Ok(None) => Err(CustodyError::ClockIsRight { tenant: id }),
                    Err(source) => Err(CustodyError::ClockNotTaken { tenant: id, source }),
                }
            }
            Act::Prune {
                tenant,
                counts_only,
                by: person,
                reason,
                today,
            } => {
                let warrant = warrant(&person, by, &reason)?;
                let retention = self.retention.ok_or(CustodyError::NoRetention)?;
                let ids = match tenant {
                    Some(id) => vec![id],
                    None => self.known(served)?,
                };
                let mut pruned = Vec::new();
                for id in ids {
                    let how = (!counts_only).then_some((&warrant, today));
                    pruned.push(self.prune(served, &id, retention, how).await?);
                }
                Ok(Done {
                    pruned,
                    ..Done::default()
                })
            }
        }
    }

    /// Prunes one tenant's log, or counts what there is if nobody is named; what keeps it from that is no other tenant's matter.
    async fn prune(
        &self,
        served: &Served,
        id: &TenantId,
        retention: Retention,
        how: Option<(&Warrant, Option<Day>)>,
    ) -> Result<Pruned, CustodyError> {
        let mut pruned = Pruned {
            tenant: id.clone(),
            found: Prunable::default(),
            problem: None,
        };
        let held = match self.hold(served, id).await {
            Ok(held) => held,
            Err(error) => {
                pruned.problem = Some(format!("{:#}", anyhow::Error::new(error)));
                return Ok(pruned);
            }
        };
        let log = held.tenant().log();
        let found = match how {
            None => log.prunable(retention),
            Some((warrant, today)) => log.prune(retention, &warrant.by, &warrant.reason, today),
        };
        self.release(held)?;
        match found {
            Ok(found) => pruned.found = found,
            Err(error) => pruned.problem = Some(format!("{:#}", anyhow::Error::new(error))),
        }
        Ok(pruned)
    }

    /// Prunes what the configuration says was kept long enough; of a log on hold nothing.
    pub(crate) fn retain(&self, tenant: &Tenant) -> Result<(), RetainError> {
        let Some(retention) = self.retention else {
            return Ok(());
        };
        match tenant.log().prune(retention, SCHEDULE, "retention", None) {
            Ok(_) | Err(RetainError::OnHold(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the schedule asks for: takes up what was interrupted, rotates what is due, and destroys what is retired for long
    /// enough.
    pub(crate) async fn keep(&self, tenant: &Tenant) -> Result<(), TenantKeyError> {
        let keys = tenant.keys();
        keys.finish().await?;
        let due = keys.due(&self.schedule).unwrap_or_default();
        if !due.is_empty() {
            keys.rotate(&due, SCHEDULE).await?;
        }
        if keys.is_live() {
            keys.destroy_retired(self.schedule.retired).await?;
        }
        Ok(())
    }

    async fn done(
        &self,
        served: &Served,
        id: &TenantId,
        shredded: Shredded,
    ) -> Result<Done, CustodyError> {
        let answer = |(kek, answer)| Answer { kek, answer };
        Ok(Done {
            tenants: vec![self.look(served, id).await?],
            answers: shredded.answers.into_iter().map(answer).collect(),
            pruned: Vec::new(),
        })
    }

    /// How a tenant stands, also one that cannot be opened.
    async fn look(&self, served: &Served, id: &TenantId) -> Result<Standing, CustodyError> {
        let mut standing = Standing {
            tenant: id.clone(),
            served: served.get(id).is_some_and(Option::is_some),
            state: State::Unreadable,
            problem: None,
            entries: None,
            provider: None,
            versions: Vec::new(),
            keks: Vec::new(),
            due: Vec::new(),
            rewrapped: None,
            hold: None,
        };
        let held = match self.hold(served, id).await {
            Ok(held) => held,
            Err(error) => {
                standing.problem = Some(format!("{:#}", anyhow::Error::new(error)));
                return Ok(standing);
            }
        };
        let tenant = held.tenant();
        let unreadable = |source| CustodyError::Unreadable {
            tenant: id.clone(),
            source,
        };
        standing.entries = Some(tenant.log().head().entries);
        match tenant.log().held() {
            Ok(hold) => standing.hold = hold,
            Err(error) => standing.problem = Some(error.to_string()),
        }
        let keys = tenant.keys();
        let (status, is_destroyed) = (keys.status(), keys.is_destroyed());
        let due = keys.due(&self.schedule).unwrap_or_default();
        if let Held::Opened(_) = held {
            self.release(held)?;
        }
        standing.state = match is_destroyed.map_err(unreadable)? {
            true => State::Destroyed,
            false => State::Missing,
        };
        let KeyStatus {
            is_live,
            provider,
            versions,
            keks,
            progress,
        } = status.map_err(unreadable)?;
        if is_live {
            standing.state = State::Live;
        }
        let names = |boundaries: Vec<Boundary>| {
            let names = boundaries.into_iter();
            names.map(|boundary| boundary.as_str().to_owned()).collect()
        };
        standing.provider = Some(provider.to_owned());
        standing.due = names(due);
        standing.rewrapped = progress;
        standing.versions = versions
            .into_iter()
            .map(|version| Version {
                version: version.version,
                created: version.created.to_string(),
                seals: names(version.seals),
                kek: version.kek,
            })
            .collect();
        let listed = |kek: Kek| ListedKek {
            name: kek.name,
            made: kek.made,
            retired: kek.retired,
            destroyed: kek.destroyed,
        };
        standing.keks = keks.into_iter().map(listed).collect();
        Ok(standing)
    }

    /// Those with a folder, and those that are served.
    fn known(&self, served: &Served) -> Result<Vec<TenantId>, CustodyError> {
        let folder = self.data.join("tenants");
        let failed = |source| CustodyError::Folder {
            folder: folder.clone(),
            source,
        };
        let mut known: Vec<TenantId> = served.keys().cloned().collect();
        for item in std::fs::read_dir(&folder).map_err(&failed)? {
            let name = item.map_err(&failed)?.file_name();
            // One that is being made has a name that is no tenant's.
            known.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        known.sort();
        known.dedup();
        Ok(known)
    }

    fn folder(&self, id: &TenantId) -> PathBuf {
        self.data.join("tenants").join(id.as_str())
    }

    fn is_there(&self, served: &Served, id: &TenantId) -> Result<(), CustodyError> {
        if served.contains_key(id) || self.folder(id).exists() {
            return Ok(());
        }
        Err(CustodyError::NoTenant {
            tenant: id.clone(),
            folder: self.data.join("tenants"),
        })
    }

    /// Commits to what was done, so that nobody puts back what was before, and lets go of the tenant.
    pub(crate) fn release(&self, held: Held) -> Result<(), CustodyError> {
        let committed = self.host.commit(held.tenant());
        committed.map_err(|source| TenantError::NotCommitted {
            tenant: held.tenant().id().clone(),
            source: Box::new(source),
        })?;
        match held {
            Held::Served(_) => Ok(()),
            Held::Opened(tenant) => Ok(tenant.close().map(drop)?),
        }
    }

    /// The tenant as it is served, or opened for now.
    pub(crate) async fn hold(&self, served: &Served, id: &TenantId) -> Result<Held, CustodyError> {
        match served.get(id) {
            Some(Some(tenant)) => return Ok(Held::Served(Arc::clone(tenant))),
            Some(None) => return Err(CustodyError::Closed { tenant: id.clone() }),
            None => {}
        }
        self.is_there(served, id)?;
        let folder = self.folder(id);
        let opened = Tenant::open_known(&folder, id, &self.opening, &self.host).await?;
        Ok(Held::Opened(Box::new(opened)))
    }
}

/// Who does what the schedule asks for.
const SCHEDULE: &str = "schedule";

fn warrant(person: &str, user: &str, reason: &str) -> Result<Warrant, CustodyError> {
    let warrant = Warrant::of(person, user, reason);
    warrant.map_err(|error| CustodyError::NoGround(Box::new(error)))
}

fn not_retained(tenant: &TenantId, source: RetainError) -> CustodyError {
    let tenant = tenant.clone();
    CustodyError::Retain { tenant, source }
}

async fn destroy(tenant: &Tenant, by: &str) -> Result<Shredded, CustodyError> {
    let held = tenant.log().held();
    if let Some(hold) = held.map_err(|source| not_retained(tenant.id(), source))? {
        let tenant = tenant.id().clone();
        return Err(CustodyError::OnHold { tenant, hold });
    }
    let destroyed = tenant.keys().destroy(by).await;
    destroyed.map_err(|source| CustodyError::Keys {
        tenant: tenant.id().clone(),
        source,
    })
}

async fn terminate(tenant: &Tenant, by: &str) -> Result<Shredded, CustodyError> {
    let shredded = destroy(tenant, by).await?;
    let mut ended = Draft::new(EntryKind::KeyChanged, "tenant-terminated").fact("by", by);
    for (kek, answer) in &shredded.answers {
        ended = ended.fact(&format!("answer/{kek}"), answer.clone());
    }
    let recorded = tenant.log().record(ended).await;
    let _recorded = recorded.map_err(|source| CustodyError::NotRecorded {
        tenant: tenant.id().clone(),
        source,
    })?;
    Ok(shredded)
}

/// A tenant for the time of one act.
pub(crate) enum Held {
    Served(Arc<Tenant>),
    Opened(Box<Tenant>),
}

impl Held {
    pub(crate) fn tenant(&self) -> &Tenant {
        match self {
            Self::Served(tenant) => tenant,
            Self::Opened(tenant) => tenant,
        }
    }
}

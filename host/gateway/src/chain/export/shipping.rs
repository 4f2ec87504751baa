//! Every export of every log, beside one another: one that fails holds up no other, and none holds up a request, unless the
//! operator wants an answer to wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nephron_engine::Engine;
use nephron_model::{Clock, TenantId, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::standing::Standing;
use super::{Means, ship};
use crate::config::Export;
use crate::egress::Egress;
use crate::refusal::Refusal;
use crate::roster::Roster;
use crate::tenant::Tenant;
use crate::tls::TlsError;

/// Logs whose entries go to one export at the same time: a server that hangs must not have all of them wait on it.
const ABREAST: usize = 16;

/// The exports of one process.
pub(crate) struct Shipping {
    exports: Vec<OneExport>,
    egress: Egress,
    clock: Arc<dyn Clock>,
}

/// One export, and how it stands with each log.
struct OneExport {
    export: Export,
    standings: Mutex<BTreeMap<TenantId, Arc<Standing>>>,
    places: Semaphore,
}

/// How an export stands, over all logs that are open, for operators.
#[derive(Debug, PartialEq)]
pub(crate) struct ExportState<'a> {
    pub(crate) name: &'a str,
    /// Entries that it has not had, those about exporting among them.
    pub(crate) lag: u64,
    /// Age of the oldest of them, if there is one that is not about exporting.
    pub(crate) oldest: Duration,
    /// Entries that were set aside.
    pub(crate) set_aside: u64,
    /// Logs whose oldest entry is older than it may be.
    pub(crate) late: Vec<TenantId>,
    /// Logs of which the last try failed, and why.
    pub(crate) failing: Vec<(TenantId, &'static str)>,
}

impl OneExport {
    fn standing(&self, tenant: &TenantId) -> Arc<Standing> {
        let mut standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(standings.entry(tenant.clone()).or_default())
    }
}

impl Shipping {
    /// The exports of the configuration. Reads the certificates that they name.
    pub(crate) fn new(exports: &[Export], clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let egress = Egress::new(exports.iter().filter_map(Export::upstream))?;
        let one = |export: &Export| OneExport {
            export: export.clone(),
            standings: Mutex::default(),
            places: Semaphore::new(ABREAST),
        };
        Ok(Self {
            exports: exports.iter().map(one).collect(),
            egress,
            clock,
        })
    }

    /// Delivers all that is there, to every export, whether it is its turn or not.
    ///
    /// # Errors
    /// The first [`Refusal`]; what was delivered stays delivered.
    pub(crate) async fn all(
        &self,
        engine: &Engine,
        roster: &Roster,
        tenants: Vec<Arc<Tenant>>,
    ) -> Result<(), Refusal> {
        let mut under_way = FuturesUnordered::new();
        for tenant in &tenants {
            for one in self.of(tenant.id()) {
                let until = tenant.log().head().entries;
                under_way.push(self.one(engine, roster, tenant, one, until));
            }
        }
        let mut first = Ok(());
        while let Some(shipped) = under_way.next().await {
            first = first.and(shipped);
        }
        first
    }

    /// Begins what is due. The caller drives what this gives; dropped, it is as if the process had stopped there.
    pub(crate) fn due<'a>(
        &'a self,
        engine: &'a Arc<Engine>,
        roster: &Arc<Roster>,
        tenants: Vec<Arc<Tenant>>,
    ) -> Vec<impl Future<Output = ()> + Send + use<'a>> {
        let mut begun = Vec::new();
        for tenant in tenants {
            for one in self.of(tenant.id()) {
                let standing = one.standing(tenant.id());
                if standing.is_at_rest(tenant.log().head().entries)
                    || standing
                        .not_before()
                        .is_some_and(|then| then > Instant::now())
                {
                    continue;
                }
                let Some(under_way) = UnderWay::begin(&standing) else {
                    continue;
                };
                let (roster, tenant) = (Arc::clone(roster), Arc::clone(&tenant));
                begun.push(async move {
                    let _until_then = under_way;
                    let until = tenant.log().head().entries;
                    // What went wrong is recorded, told and kept in the standing.
                    drop(self.one(engine, &roster, &tenant, one, until).await);
                });
            }
        }
        begun
    }

    /// Whether answers of this tenant wait for an export.
    pub(crate) fn is_awaited(&self, tenant: &TenantId) -> bool {
        self.of(tenant).any(|one| one.export.before_reply.is_some())
    }

    /// Waits until everything that is in the log now is with each export that answers wait for.
    ///
    /// # Errors
    /// [`Refusal::NotDelivered`]: one of them did not take it in time.
    pub(crate) async fn before_reply(
        &self,
        engine: &Engine,
        roster: &Roster,
        tenant: &Tenant,
    ) -> Result<(), Refusal> {
        let until = tenant.log().head().entries;
        let mut under_way = FuturesUnordered::new();
        for one in self.of(tenant.id()) {
            if let Some(limit) = one.export.before_reply {
                under_way.push(self.in_time(engine, roster, tenant, one, until, limit));
            }
        }
        while let Some(shipped) = under_way.next().await {
            shipped?;
        }
        Ok(())
    }

    async fn in_time(
        &self,
        engine: &Engine,
        roster: &Roster,
        tenant: &Tenant,
        one: &OneExport,
        until: u64,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + limit;
        let standing = one.standing(tenant.id());
        let in_time = async {
            loop {
                // Whom many answers wait for is not asked more often for that.
                if let Some(then) = standing.not_before() {
                    tokio::time::sleep_until(then).await;
                }
                if self.one(engine, roster, tenant, one, until).await.is_ok() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout_at(deadline, in_time).await;
        in_time.map_err(|_| Refusal::NotDelivered {
            export: one.export.name.clone(),
        })
    }

    async fn one(
        &self,
        engine: &Engine,
        roster: &Roster,
        tenant: &Tenant,
        one: &OneExport,
        until: u64,
    ) -> Result<(), Refusal> {
        let means = Means {
            engine,
            roster,
            egress: &self.egress,
            clock: &*self.clock,
            places: &one.places,
        };
        let standing = one.standing(tenant.id());
        let shipped = Box::pin(ship(&means, tenant, &one.export, &standing, until)).await;
        if shipped.is_err() {
            standing.pause();
        }
        shipped
    }

    fn of<'a>(&'a self, tenant: &TenantId) -> impl Iterator<Item = &'a OneExport> {
        let is_for = |one: &&OneExport| one.export.is_for(tenant);
        let found: Vec<_> = self.exports.iter().filter(is_for).collect();
        found.into_iter()
    }

    /// Says which exports have fallen behind, and which have caught up, each once.
    pub(crate) fn watch(&self) {
        let now = self.clock.now();
        for one in &self.exports {
            for (tenant, standing) in one.standings() {
                let mut state = standing.state();
                let age = state.oldest.map(|oldest| now.since(oldest));
                let is_late = age.is_some_and(|age| age > one.export.late_after);
                let was_late = std::mem::replace(&mut state.is_late, is_late);
                match (was_late, is_late) {
                    (false, true) => tracing::error!(
                        %tenant, export = one.export.name, next = state.cursor.next,
                        seconds = age.unwrap_or_default().as_secs(),
                        "log entries have not been delivered for longer than `export.late-after`"
                    ),
                    (true, false) => {
                        tracing::info!(%tenant, export = one.export.name, "log entries are delivered in time again");
                    }
                    (true, true) | (false, false) => {}
                }
            }
        }
    }

    /// How each export stands; `length` gives the entries of a log that is open.
    pub(crate) fn states(&self, length: impl Fn(&TenantId) -> Option<u64>) -> Vec<ExportState<'_>> {
        let now = self.clock.now();
        let of = |one| Self::state(one, now, &length);
        self.exports.iter().map(of).collect()
    }

    fn state<'a>(
        one: &'a OneExport,
        now: Timestamp,
        length: &impl Fn(&TenantId) -> Option<u64>,
    ) -> ExportState<'a> {
        let mut told = ExportState {
            name: &one.export.name,
            lag: 0,
            oldest: Duration::ZERO,
            set_aside: 0,
            late: Vec::new(),
            failing: Vec::new(),
        };
        for (tenant, standing) in one.standings() {
            let state = standing.state();
            told.set_aside = told.set_aside.saturating_add(state.cursor.set_aside);
            if let Some(oldest) = state.oldest {
                let age = now.since(oldest);
                let length = length(&tenant).unwrap_or_default();
                told.lag = told
                    .lag
                    .saturating_add(length.saturating_sub(state.cursor.next));
                told.oldest = told.oldest.max(age);
                if age > one.export.late_after {
                    told.late.push(tenant.clone());
                }
            }
            if let Some(trouble) = state.trouble {
                drop(state);
                told.failing.push((tenant, trouble));
            }
        }
        told
    }
}

impl OneExport {
    fn standings(&self) -> Vec<(TenantId, Arc<Standing>)> {
        let standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let each = |(tenant, standing): (&TenantId, &Arc<Standing>)| {
            (tenant.clone(), Arc::clone(standing))
        };
        standings.iter().map(each).collect()
    }
}

/// That somebody delivers, until it is dropped.
struct UnderWay(Arc<Standing>);

impl UnderWay {
    fn begin(standing: &Arc<Standing>) -> Option<Self> {
        let was = std::mem::replace(&mut standing.state().is_under_way, true);
        (!was).then(|| Self(Arc::clone(standing)))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().is_under_way = false;
    }
}

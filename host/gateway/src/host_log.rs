//! The host's own log: how far each tenant's had come, and what reached nobody's.
//!
//! It is kept as a tenant's is, with keys of its own, in `host/record` of the data folder. A tenant whose folder vanishes, or is
//! put back to an older state, is found by it; and a request whose credential is nobody's is refused with an entry here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use nephron_audit::{
    CheckpointError, Commitment, CommitmentsError, GrowthProof, Head, Options, ProveError,
    SignedCheckpoint,
};
use nephron_keys::CheckpointKey;
use nephron_model::{
    Clock, Draft, EntryKind, EventId, NotRecorded, Phi, Record, Recorder as _, Records as _,
    RecordsError, Space, TenantId, Timestamp,
};

use crate::aftermath::{self, Unsettled};
use crate::anchor::{AnchorError, Taken};
use crate::keeper::{Keeper, Opening};
use crate::origin::Origin;
use crate::refusal::Refusal;
use crate::tenant::{LOG, Tenant, TenantError};

/// The folder of the host's log and keys, within the data folder.
pub const RECORD: &str = "host/record";

/// Who let a host's log begin that is not the first, until it has.
const LOST: &str = "host/record-lost-by";

/// Whether there are tenants that were served beside a host's log: they have a key for checkpoints since there is one.
pub(crate) fn is_known_of(data: &Path) -> bool {
    let Ok(tenants) = std::fs::read_dir(data.join("tenants")) else {
        return false;
    };
    let key = Path::new("keys").join(CheckpointKey::FILE);
    tenants
        .flatten()
        .any(|tenant| tenant.path().join(&key).exists())
}

/// Refusals of one source that get entries of their own, in a minute; the others are counted.
const EACH: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// The same of all sources together: some 200 MB a day at most.
const ALL: NonZeroU32 = NonZeroU32::new(120).unwrap();

/// The host's log, open.
pub(crate) struct HostLog {
    own: Keeper,
    each: DefaultKeyedRateLimiter<IpAddr>,
    all: DefaultDirectRateLimiter,
    /// Refusals that have no entry yet, by code.
    counted: Mutex<BTreeMap<&'static str, u64>>,
    /// Entries that were committed to of each tenant since this process began.
    committed: Mutex<BTreeMap<TenantId, u64>>,
}

/// The host's log did not take what a tenant's log had come to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The tenant's log gave no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The host's log cannot be written.
    #[error("it cannot be recorded in the host's log")]
    NotRecorded(#[from] NotRecorded),
    /// The host's log cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The tenant's log cannot be held against it.
    #[error("its log cannot be held against what was committed to")]
    Unreadable(#[from] CommitmentsError),
}

impl HostLog {
    /// Opens it, or makes it where no tenant was served yet.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) async fn open(data: &Path, opening: &Opening) -> Result<Self, TenantError> {
        let (folder, id) = (data.join(RECORD), TenantId::host());
        let lost_by = std::fs::read_to_string(data.join(LOST)).ok();
        if !folder.exists() && lost_by.is_none() && is_known_of(data) {
            return Err(TenantError::HostGone { path: folder });
        }
        let own = Tenant::open_or_make(&folder, &id, opening).await?;
        if let Some(by) = lost_by {
            let mut draft = Commitment::readmission(&id);
            draft.caller = Some(by);
            let recorded = own.log().record(draft).await;
            let _durable = recorded.map_err(|source| TenantError::NotRecorded {
                tenant: id.clone(),
                source,
            })?;
            // Left behind, it would only say the same again.
            drop(std::fs::remove_file(data.join(LOST)));
        }
        Ok(Self {
            own: Keeper::of(own, folder),
            each: RateLimiter::keyed(Quota::per_minute(EACH)),
            all: RateLimiter::direct(Quota::per_minute(ALL)),
            counted: Mutex::default(),
            committed: Mutex::default(),
        })
    }

    /// Its log and keys, which belong to no tenant.
    pub(crate) const fn keeper(&self) -> &Keeper {
        &self.own
    }

    /// Opens it again if it has stopped.
    pub(crate) async fn revive(&self, opening: &Opening) {
        let open = async |keeper: &Keeper| {
            let tenant = Tenant::open(keeper.folder(), keeper.id(), opening).await?;
            Ok((tenant, ()))
        };
        self.own.revive(open).await;
    }

    /// The same, if it is open.
    ///
    /// # Errors
    /// [`NotRecorded::Closed`].
    pub(crate) fn own(&self) -> Result<Arc<Tenant>, NotRecorded> {
        self.own.open().ok_or(NotRecorded::Closed)
    }

    /// What was last committed to of `tenant`.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn newest(&self, tenant: &TenantId) -> Result<Option<Commitment>, CommitError> {
        Ok(Commitment::newest(self.own()?.log(), tenant)?)
    }

    /// Signs the state of a tenant's log and commits to it, unless that was done. Blocks on the disk.
    ///
    /// # Errors
    /// [`CommitError`]. Both logs go on.
    pub(crate) fn commit(&self, tenant: &Tenant) -> Result<(), CommitError> {
        let checkpoint = tenant.log().checkpoint()?.checkpoint;
        let size = checkpoint.size;
        let committed = || {
            self.committed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if committed().get(tenant.id()) == Some(&size) {
            return Ok(());
        }
        let commitment = Commitment {
            tenant: tenant.id().clone(),
            checkpoint,
        };
        let newest = self.newest(tenant.id())?;
        let is_older = newest.is_some_and(|newest| {
            let (newest, now) = (newest.checkpoint, &commitment.checkpoint);
            newest.origin == now.origin && newest.size >= now.size
        });
        // Of a log that was opened again in the meantime, more is known.
        if !is_older {
            let _recorded = self.own()?.log().record(commitment.draft()).wait()?;
        }
        committed().insert(tenant.id().clone(), size);
        Ok(())
    }

    /// Hands its newest state to an anchor: what is about to be done is recorded first, and then what came of it.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub(crate) async fn anchor(
        &self,
        name: &str,
        at: Timestamp,
        hand_over: impl AsyncFnOnce(&SignedCheckpoint) -> Result<(), AnchorError>,
    ) -> Result<Taken, AnchorError> {
        let own = self.own().map_err(CommitError::from)?;
        let signed = own.log().checkpoint().map_err(CommitError::from)?;
        let entries = signed.checkpoint.size;
        let draft = |outcome: &str| {
            let mut draft = Draft::new(EntryKind::Anchored, outcome).fact("anchor", name);
            draft.counts.insert("entries".to_owned(), entries);
            draft
        };
        let begun = Unsettled::begin(own.log(), draft("anchoring")).await;
        let (unsettled, _intent) = begun.map_err(CommitError::from)?;
        let handed_over = hand_over(&signed).await;
        let outcome = match &handed_over {
            Ok(()) => {
                let mut draft = draft("anchored");
                draft.records.push(Record {
                    space: Space::Anchor,
                    key: name.as_bytes().to_vec(),
                    value: [at.seconds.to_le_bytes(), entries.to_le_bytes()].concat(),
                });
                draft
            }
            Err(failure) => {
                let mut draft = draft("failed");
                draft.reasons.push(failure.code().to_owned());
                draft
            }
        };
        let _outcome = unsettled.settle(outcome).await.map_err(CommitError::from)?;
        handed_over.map(|()| Taken { at, entries })
    }

    /// What an anchor took last.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn last_anchored(&self, name: &str) -> Result<Option<Taken>, CommitError> {
        let kept = self.own()?.log().read(Space::Anchor, name.as_bytes())?;
        let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        Ok(kept.and_then(|value| {
            let (seconds, entries) = value.split_at_checked(8)?;
            let at = Timestamp {
                seconds: number(seconds)?,
                nanoseconds: 0,
            };
            let entries = number(entries)?;
            Some(Taken { at, entries })
        }))
    }

    /// Proves that its newest checkpoint begins with the first `old` entries, in the form of C2SP tlog-witness.
    ///
    /// # Errors
    /// [`ProveError`].
    pub(crate) fn prove_growth(&self, old: u64) -> Result<GrowthProof, ProveError> {
        let own = self.own.open().ok_or(ProveError::NoCheckpoint)?;
        own.log().prove_growth(old)
    }

    /// Signs its own state.
    ///
    /// # Errors
    /// [`CommitError`].
    pub(crate) fn sign(&self) -> Result<(), CommitError> {
        Ok(self.own()?.log().checkpoint().map(drop)?)
    }

    /// Refuses whom no credential makes known: with an entry, unless there are too many of them, and then with a count. Gives
    /// the entry's event, if there is one.
    pub(crate) async fn refuse(
        &self,
        request: EventId,
        source: SocketAddr,
        origin: &Phi<Origin>,
        refusal: &Refusal,
    ) -> Option<EventId> {
        if !self.is_worth_an_entry(source.ip()) {
            self.count(refusal.code());
            return None;
        }
        let recorded = self.refuse_each(request, origin, refusal).await;
        if recorded.is_none() {
            self.count(refusal.code());
        }
        recorded
    }

    async fn refuse_each(
        &self,
        request: EventId,
        origin: &Phi<Origin>,
        refusal: &Refusal,
    ) -> Option<EventId> {
        let mut draft = Draft::new(EntryKind::RequestRefused, refusal.code()).about(request);
        draft.reasons = refusal.reasons();
        let own = self.own().ok()?;
        let draft = Origin::add_to(origin, &own, request, draft).ok()?;
        own.log().record(draft).await.ok().map(|_| request)
    }

    /// Records that a connection ended before there was a request to answer, or for a head that was none: with an entry about
    /// `event`, or with a count. Gives the event if it has an entry.
    pub(crate) async fn refuse_connection(
        &self,
        source: SocketAddr,
        event: Option<EventId>,
        code: &'static str,
    ) -> Option<EventId> {
        if !self.is_worth_an_entry(source.ip()) {
            self.count(code);
            return None;
        }
        let mut draft = Draft::new(EntryKind::RequestRefused, code);
        draft.request = event;
        let draft = draft.fact("source", source.ip().to_string());
        let recorded = match self.own() {
            Ok(own) => own.log().record(draft).await.map(drop),
            Err(closed) => Err(closed),
        };
        match recorded {
            Ok(()) => event,
            Err(_) => {
                self.count(code);
                None
            }
        }
    }

    fn is_worth_an_entry(&self, source: IpAddr) -> bool {
        self.each.check_key(&network(source)).is_ok() && self.all.check().is_ok()
    }

    /// Counts a refusal that gets no entry of its own.
    pub(crate) fn count(&self, code: &'static str) {
        *self.counted().entry(code).or_default() += 1;
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what was counted, and forgets sources that have been quiet. Blocks on the disk.
    ///
    /// # Errors
    /// [`NotRecorded`]; the counts are kept for the next time.
    pub(crate) fn record_counts(&self) -> Result<(), NotRecorded> {
        self.each.retain_recent();
        self.each.shrink_to_fit();
        let counts = std::mem::take(&mut *self.counted());
        if counts.is_empty() {
            return Ok(());
        }
        let mut draft = Draft::new(EntryKind::RequestsCounted, "refused");
        draft.counts = counts
            .iter()
            .map(|(code, count)| ((*code).to_owned(), *count))
            .collect();
        let recorded = self
            .own()
            .and_then(|own| own.log().record(draft).wait().map(drop));
        if recorded.is_err() {
            let mut kept = self.counted();
            for (code, count) in counts {
                *kept.entry(code).or_default() += count;
            }
        }
        recorded
    }

    /// Closes and seals it.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) fn close(self) -> Result<Option<Head>, TenantError> {
        let own = self.own.into_open().and_then(Arc::into_inner);
        own.map(Tenant::close).transpose()
    }
}

/// The network that one customer of a provider has: an address of IPv4, however it is written, 64 bits of one of IPv6.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
    }
}

/// Takes a tenant back whose log no longer holds what was committed to of it. The gateway must not be running.
///
/// # Errors
/// When the host's log cannot be written, or knows nothing of the tenant.
pub(crate) async fn readmit(
    data: &Path,
    tenant: &TenantId,
    by: &str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let folder = data.join(RECORD).join(LOG);
    if *tenant == TenantId::host() {
        anyhow::ensure!(
            !folder.exists() && is_known_of(data),
            "the host's log is there; put it back or take it away first"
        );
        crate::gateway::write_durably(&data.join(LOST), by.as_bytes())?;
        return Ok(());
    }
    anyhow::ensure!(
        folder.is_dir(),
        "there is no host's log in `{}`: no gateway has served from there",
        folder.display()
    );
    let was_closed = folder.join(nephron_audit::SEAL).exists();
    let log = nephron_audit::Log::open(
        &folder,
        &TenantId::host(),
        Arc::clone(clock),
        Options::default(),
    )?;
    if !was_closed {
        aftermath::settle(&log).await?;
    }
    anyhow::ensure!(
        Commitment::newest(&log, tenant)?.is_some(),
        "the host's log holds nothing of a tenant `{tenant}` that would keep it from being opened"
    );
    let mut draft = Commitment::readmission(tenant);
    draft.caller = Some(by.to_owned());
    let _recorded = log.record(draft).await?;
    log.close()?;
    Ok(())
}

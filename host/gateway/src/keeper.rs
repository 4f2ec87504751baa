//! Keeps a tenant open: apart from the others, so that what ails one is no other's matter, and again after its disk refused. Where there
//! are many, those longest not asked for rest: they are closed, and cost next to nothing, until somebody asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use nephron_audit::Options;
use nephron_keys::RootKey;
use nephron_model::{Clock, TenantId};
use tokio::sync::OwnedMutexGuard;
use tracing::{error, info, warn};

use crate::tenant::{Tenant, TenantError};

/// What tenants are opened with.
pub(crate) struct Opening {
    pub(crate) root: Arc<RootKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Options,
}

/// The most times of trying that are let pass between two tries.
const RAREST: u32 = 64;

/// One tenant, open or not.
pub(crate) struct Keeper {
    id: TenantId,
    folder: PathBuf,
    open: RwLock<Option<Arc<Tenant>>>,
    /// Why it is not open, cause by cause.
    why_not: Mutex<Option<String>>,
    /// Tries that failed in a row.
    failures: AtomicU32,
    /// Times of trying that are still let pass.
    left: AtomicU32,
    /// It is closed because nobody asks for it.
    is_resting: AtomicBool,
    /// Of all that asked for any tenant, which one asked for this last.
    used: AtomicU64,
    /// When what is due by a schedule was last seen to.
    tended: Mutex<Option<Instant>>,
    /// Held by whoever opens or closes it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    /// Keeps a tenant that was opened.
    pub(crate) fn of(tenant: Tenant, folder: PathBuf) -> Self {
        Self::new(tenant.id().clone(), folder, Some(Arc::new(tenant)), None)
    }

    /// Keeps one that could not be opened, which is tried again.
    pub(crate) fn of_none(id: TenantId, folder: PathBuf, failure: &TenantError) -> Self {
        let why = chain(failure);
        error!(tenant = %id, "it does not serve, and is tried again: {why}");
        Self::new(id, folder, None, Some(why))
    }

    /// Keeps one closed until somebody asks for it.
    pub(crate) fn of_resting(id: TenantId, folder: PathBuf) -> Self {
        let keeper = Self::new(id, folder, None, None);
        keeper.failures.store(0, Ordering::Relaxed);
        keeper.is_resting.store(true, Ordering::Relaxed);
        keeper
    }

    fn new(
        id: TenantId,
        folder: PathBuf,
        open: Option<Arc<Tenant>>,
        why_not: Option<String>,
    ) -> Self {
        Self {
            id,
            folder,
            failures: AtomicU32::new(u32::from(open.is_none())),
            left: AtomicU32::new(0),
            why_not: Mutex::new(why_not),
            open: RwLock::new(open),
            is_resting: AtomicBool::new(false),
            used: AtomicU64::new(0),
            tended: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// Whether it is closed because nobody asks for it.
    pub(crate) fn is_resting(&self) -> bool {
        self.is_resting.load(Ordering::Acquire)
    }

    /// Which of all that asked for any tenant asked for this one last; 0 if nobody did.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Somebody asks for it, as the `number`th of all who ask for any.
    pub(crate) fn use_as(&self, number: u64) {
        self.used.fetch_max(number, Ordering::Relaxed);
    }

    /// Whether nobody has seen for that long to what is due.
    pub(crate) fn is_untended(&self, period: Duration) -> bool {
        let tended = self.tended.lock().unwrap_or_else(PoisonError::into_inner);
        tended.is_none_or(|then| then.elapsed() > period)
    }

    /// Now somebody does.
    pub(crate) fn tend(&self) {
        *self.tended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Why it is not open, if it is not.
    pub(crate) fn why_not(&self) -> Option<String> {
        self.why_not
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_why_not(&self, why: Option<String>) {
        *self.why_not.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Its name.
    pub(crate) const fn id(&self) -> &TenantId {
        &self.id
    }

    /// Its folder.
    pub(crate) const fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The tenant, if it is open.
    pub(crate) fn open(&self) -> Option<Arc<Tenant>> {
        self.read().clone()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Option<Arc<Tenant>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, tenant: Option<Arc<Tenant>>) -> Option<Arc<Tenant>> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *open, tenant)
    }

    /// Opens the tenant with `open` if it is not, or if its log has stopped; after a failure ever later. Requests in flight hold
    /// the tenant that stopped, whose log refuses them to their end.
    pub(crate) async fn revive<T>(
        &self,
        open: impl AsyncFn(&Self) -> Result<(Tenant, T), TenantError>,
    ) {
        let _turn = self.turn.lock().await;
        if self.is_resting() {
            return;
        }
        if self
            .read()
            .as_ref()
            .is_some_and(|tenant| tenant.log().is_stopped())
        {
            warn!(tenant = %self.id, "its log has stopped; it is opened again");
            self.set_why_not(Some("its log has stopped".to_owned()));
            if let Some(stopped) = self.replace(None) {
                // Lets go of the folder. What it says of the disk was said when it stopped.
                drop(stopped.log().clone().close());
            }
        } else if self.read().is_some() {
            return;
        }
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if self.try_open(open).await {
            info!(tenant = %self.id, "it serves again");
        }
    }

    /// The tenant, opened with `open` if it rests. One that cannot be opened is from then on tried again like any other.
    pub(crate) async fn wake<T>(
        &self,
        open: impl AsyncFn(&Self) -> Result<(Tenant, T), TenantError>,
    ) -> Option<Arc<Tenant>> {
        let _turn = self.turn.lock().await;
        if self.is_resting() {
            self.try_open(open).await;
            self.is_resting.store(false, Ordering::Release);
        }
        self.open()
    }

    /// If it rests, it goes on resting for as long as this is held, and may be opened by whoever holds it.
    pub(crate) async fn hold_resting(&self) -> Option<OwnedMutexGuard<()>> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.is_resting().then_some(turn)
    }

    /// Closes the tenant until somebody asks for it, if nobody has it now. Says whether it did. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Tenant::close`]: it rests all the same.
    pub(crate) fn rest(&self) -> Result<bool, TenantError> {
        let Ok(_turn) = self.turn.try_lock() else {
            return Ok(false);
        };
        let tenant = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            // Under this lock nobody else comes to have it.
            if open.as_mut().and_then(Arc::get_mut).is_none() {
                return Ok(false);
            }
            self.is_resting.store(true, Ordering::Release);
            open.take().and_then(Arc::into_inner)
        };
        tenant.map_or(Ok(false), |tenant| tenant.close().map(|_| true))
    }

    /// Opens it. Says whether it is open now. What `open` gives beside it is let go when the tenant serves.
    async fn try_open<T>(
        &self,
        open: impl AsyncFn(&Self) -> Result<(Tenant, T), TenantError>,
    ) -> bool {
        match open(self).await {
            Ok((tenant, until_it_serves)) => {
                self.failures.store(0, Ordering::Relaxed);
                self.set_why_not(None);
                drop(self.replace(Some(Arc::new(tenant))));
                drop(until_it_serves);
                true
            }
            Err(failure) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                self.left
                    .store((1 << failures.min(6)).min(RAREST), Ordering::Relaxed);
                let why = chain(&failure);
                error!(tenant = %self.id, "it does not serve, and is tried again: {why}");
                self.set_why_not(Some(why));
                false
            }
        }
    }

    /// The tenant, for closing.
    pub(crate) fn into_open(self) -> Option<Arc<Tenant>> {
        self.open
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

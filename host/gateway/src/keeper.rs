//! Keeps a tenant open: apart from the others, so that what ails one is no other's matter, and again after its disk refused.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nephron_audit::Options;
use nephron_keys::RootKey;
use nephron_model::{Clock, TenantId};
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
        }
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
    /// the tenant that stopped, whose log refuses them to their end. What `open` gives beside it is let go when the tenant serves.
    pub(crate) async fn revive<T>(
        &self,
        open: impl AsyncFn(&Self) -> Result<(Tenant, T), TenantError>,
    ) {
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
        } else if let Some(tenant) = self.open() {
            tenant.log().try_view_again();
            return;
        }
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        match open(self).await {
            Ok((tenant, until_it_serves)) => {
                info!(tenant = %self.id, "it serves again");
                self.failures.store(0, Ordering::Relaxed);
                self.set_why_not(None);
                drop(self.replace(Some(Arc::new(tenant))));
                drop(until_it_serves);
            }
            Err(failure) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                self.left
                    .store((1 << failures.min(6)).min(RAREST), Ordering::Relaxed);
                let why = chain(&failure);
                error!(tenant = %self.id, "it does not serve, and is tried again: {why}");
                self.set_why_not(Some(why));
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

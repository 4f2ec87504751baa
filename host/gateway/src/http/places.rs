//! Places for requests: how many a tenant, and one caller of it, may have in flight.
//!
//! A place is taken before the body is read, so that what a slow body can hold is one caller's share and never the
//! tenant's whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nephron_model::TenantId;

use crate::refusal::Refusal;

/// The places of all tenants.
pub(crate) struct Places {
    held: BTreeMap<TenantId, Arc<Held>>,
    per_tenant: usize,
    per_caller: usize,
}

/// What the callers of one tenant hold.
#[derive(Default)]
struct Held(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    /// By the ids of callers; who holds nothing does not stand here.
    of: BTreeMap<String, usize>,
}

/// One place, given back when this is dropped.
pub(crate) struct Place {
    held: Arc<Held>,
    caller: String,
}

impl Places {
    pub(crate) fn new<'a>(
        tenants: impl Iterator<Item = &'a TenantId>,
        per_tenant: usize,
        per_caller: usize,
    ) -> Self {
        Self {
            held: tenants.map(|id| (id.clone(), Arc::default())).collect(),
            per_tenant,
            per_caller,
        }
    }

    /// A place for a request of this caller.
    ///
    /// # Errors
    /// [`Refusal::NoTenant`]; [`Refusal::CallerTooBusy`] and [`Refusal::TooBusy`] when it has to come back.
    pub(crate) fn take(&self, tenant: &TenantId, caller: &str) -> Result<Place, Refusal> {
        let held = self.held.get(tenant).ok_or_else(|| Refusal::NoTenant {
            tenant: tenant.to_string(),
        })?;
        let mut counts = held.lock();
        let own = counts.of.get(caller).copied().unwrap_or_default();
        if own >= self.per_caller {
            return Err(Refusal::CallerTooBusy);
        }
        if counts.all >= self.per_tenant {
            return Err(Refusal::TooBusy);
        }
        counts.of.insert(caller.to_owned(), own + 1);
        counts.all += 1;
        Ok(Place {
            held: Arc::clone(held),
            caller: caller.to_owned(),
        })
    }

    /// Places of this tenant that are taken.
    pub(crate) fn taken(&self, tenant: &TenantId) -> usize {
        let held = self.held.get(tenant);
        held.map_or(0, |held| held.lock().all)
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.held.lock();
        counts.all = counts.all.saturating_sub(1);
        match counts.of.get_mut(&self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(counts.of.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_holds_its_share_and_the_others_have_theirs() {
        let [here, there]: [TenantId; 2] = ["st-marys", "lakeside"].map(|id| id.parse().unwrap());
        let places = Places::new([&here, &there].into_iter(), 3, 2);
        let take = |tenant, caller| places.take(tenant, caller);
        let first = take(&here, "slow").unwrap();
        let second = take(&here, "slow").unwrap();
        assert!(matches!(take(&here, "slow"), Err(Refusal::CallerTooBusy)));
        let other = take(&here, "other").unwrap();
        assert!(matches!(take(&here, "third"), Err(Refusal::TooBusy)));
        assert_eq!((places.taken(&here), places.taken(&there)), (3, 0));
        // A caller of the same name elsewhere is another.
        let elsewhere = take(&there, "slow").unwrap();
        drop((first, other));
        let again = take(&here, "slow").unwrap();
        drop((second, again, elsewhere));
        assert_eq!((places.taken(&here), places.taken(&there)), (0, 0));
        assert!(places.held.values().all(|held| held.lock().of.is_empty()));
        let nobody = "nowhere".parse().unwrap();
        assert!(matches!(
            take(&nobody, "slow"),
            Err(Refusal::NoTenant { .. })
        ));
    }
}

//! One tenant with everything it needs, for this crate's tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_model::{Draft, FixedClock, Kind};
use pollster::block_on;

use crate::root::gone;
use crate::secret::Key;
use crate::testing::MemoryLog;
use crate::{
    Bound, Conversation, Cost, Grant, GrantRequest, Operations, Passphrase, RootError, RootKey,
    RootProvider, Subject, TenantKeyError, TenantKeys, seal,
};

pub(crate) struct Ward {
    pub(crate) keys: TenantKeys,
    pub(crate) root: Arc<RootKey>,
    pub(crate) log: MemoryLog,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) folder: tempfile::TempDir,
}

impl Ward {
    pub(crate) fn new(tenant: &str) -> Self {
        Self::under(tenant, Arc::new(root()))
    }

    pub(crate) fn under(tenant: &str, root: Arc<RootKey>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, clock) = (MemoryLog::new(), Arc::new(FixedClock::at(1_795_305_802)));
        let keys = block_on(TenantKeys::create(
            dir(&folder),
            tenant.parse().unwrap(),
            &root,
            clock.clone(),
            Arc::new(log.clone()),
            Arc::new(log.clone()),
        ))
        .unwrap();
        Self {
            keys,
            root,
            log,
            clock,
            folder,
        }
    }

    /// One whose keys a provider wraps.
    pub(crate) fn on_shelf(tenant: &str) -> (Self, Arc<Shelf>) {
        let shelf = Arc::new(Shelf::default());
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create_with(&dir(&folder), shelf.clone()).unwrap();
        (Self::under(tenant, Arc::new(root)), shelf)
    }

    pub(crate) fn dir(&self) -> Dir {
        dir(&self.folder)
    }

    /// What the next start of the process finds.
    pub(crate) fn reopen(&self) -> Result<TenantKeys, TenantKeyError> {
        TenantKeys::open(
            self.dir(),
            self.keys.tenant().clone(),
            &self.root,
            self.clock.clone(),
            Arc::new(self.log.clone()),
            Arc::new(self.log.clone()),
        )
    }

    /// What the next start of the process makes of a tenant whose keys are gone.
    pub(crate) fn dead(&self) -> TenantKeys {
        TenantKeys::dead(
            self.dir(),
            self.keys.tenant().clone(),
            &self.root,
            self.clock.clone(),
            Arc::new(self.log.clone()),
            Arc::new(self.log.clone()),
        )
    }

    pub(crate) fn conversation(&self, name: &str) -> Conversation {
        self.keys.conversation(name).unwrap()
    }

    /// A minute of everything, in conversation `c`.
    pub(crate) fn request(&self) -> GrantRequest {
        let subject = Subject::Caller("clinician-7".to_owned());
        let minute = Duration::from_secs(60);
        let mut request =
            GrantRequest::new(subject, Operations::ALL, "TREAT".parse().unwrap(), minute);
        request.conversation = Some(self.conversation("c"));
        request
    }

    pub(crate) fn grant(&self) -> Grant {
        self.keys.mint(self.request()).unwrap()
    }

    pub(crate) fn last(&self) -> Draft {
        self.log.drafts().pop().unwrap()
    }
}

pub(crate) fn kind(name: &str) -> Kind {
    name.parse().unwrap()
}

pub(crate) fn dir(folder: &tempfile::TempDir) -> Dir {
    Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap()
}

fn root() -> RootKey {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::new("correct horse battery staple".to_owned());
    RootKey::create(&dir(&folder), &passphrase, Cost::MINIMUM).unwrap()
}

/// A provider in memory.
#[derive(Default)]
pub(crate) struct Shelf {
    keks: Mutex<BTreeMap<String, Key>>,
    /// Answers nothing.
    pub(crate) is_away: AtomicBool,
}

impl Shelf {
    /// The labels of the keys that are there, the random part taken off.
    pub(crate) fn labels(&self) -> Vec<String> {
        let keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        let label = |name: &String| name.rsplit_once('-').unwrap().0.to_owned();
        keks.keys().map(label).collect()
    }

    fn with<T>(
        &self,
        kek: &str,
        act: impl FnOnce(&Key) -> Result<T, RootError>,
    ) -> Result<T, RootError> {
        self.asked("use a key")?;
        let keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        act(keks.get(kek).ok_or_else(|| gone("shelf", kek))?)
    }

    fn asked(&self, what: &'static str) -> Result<(), RootError> {
        match self.is_away.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(RootError::Provider {
                provider: "shelf",
                what,
                why: "it is away".to_owned(),
            }),
        }
    }
}

impl RootProvider for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn make(&self, label: &str) -> Result<String, RootError> {
        self.asked("make a key")?;
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.insert(label.to_owned(), Key::draw()?);
        Ok(label.to_owned())
    }

    fn wrap(&self, kek: &str, key: &Key, bound: &Bound<'_>) -> Result<Vec<u8>, RootError> {
        self.with(kek, |with| {
            let bound = bound.binding();
            Ok(seal::seal(with, seal::Boundary::Wrap, bound, key.bytes())?)
        })
    }

    fn unwrap(&self, kek: &str, wrapped: &[u8], bound: &Bound<'_>) -> Result<Key, RootError> {
        self.with(kek, |with| {
            let opened = seal::open(with, seal::Boundary::Wrap, bound.binding(), wrapped);
            let opened = opened.map_err(|_| RootError::NotAuthentic)?;
            Key::from_slice(&opened).ok_or(RootError::NotAuthentic)
        })
    }

    fn destroy(&self, kek: &str) -> Result<String, RootError> {
        self.asked("destroy a key")?;
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        let destroyed = keks.remove(kek).ok_or_else(|| gone("shelf", kek))?;
        drop(destroyed);
        Ok("taken off the shelf".to_owned())
    }
}

//! One tenant with everything it needs, for this crate's tests.

use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_model::{Draft, FixedClock, Kind};
use pollster::block_on;

use crate::testing::MemoryLog;
use crate::{
    Conversation, Cost, Grant, GrantRequest, Operations, Passphrase, RootKey, Subject,
    TenantKeyError, TenantKeys,
};

pub(crate) struct Ward {
    pub(crate) keys: TenantKeys,
    pub(crate) root: RootKey,
    pub(crate) log: MemoryLog,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) folder: tempfile::TempDir,
}

impl Ward {
    pub(crate) fn new(tenant: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = root();
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

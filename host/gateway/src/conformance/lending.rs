//! Keys for cases of transformers: a tenant's as in earnest, in a scratch folder and with a log in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_keys::testing::MemoryLog;
use nephron_keys::{
    Cost, Grant, GrantRequest, Operations, Passphrase, RootKey, SigningKey, Subject, TenantKeys,
};
use nephron_model::{Phi, SystemClock, Timestamp};
use tempfile::TempDir;

/// One tenant's keys. They end with it.
pub(crate) struct Lender {
    keys: TenantKeys,
    _folder: TempDir,
}

impl Lender {
    /// Makes the tenant and its keys.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no scratch folder can be made")?;
        let dir = || Dir::open_ambient_dir(folder.path(), ambient_authority());
        let drawn: [u8; 16] = nephron_keys::random::bytes()?;
        let passphrase = Passphrase::new(drawn.iter().map(|byte| format!("{byte:02x}")).collect());
        let root = Arc::new(RootKey::create(&dir()?, &passphrase, Cost::MINIMUM)?);
        let log = Arc::new(MemoryLog::new());
        let clock = Arc::new(SystemClock);
        let tenant = "st-marys".parse()?;
        let keys = TenantKeys::create(dir()?, tenant, &root, clock, log.clone(), log).await?;
        Ok(Self {
            keys,
            _folder: folder,
        })
    }

    /// A grant for anything in one conversation, for a minute.
    pub(crate) fn lend(&self) -> anyhow::Result<Grant> {
        let subject = Subject::Caller("caller-17".to_owned());
        let lifetime = Duration::from_secs(60);
        let request = GrantRequest {
            conversation: Some(self.keys.conversation("case")?),
            ..GrantRequest::new(subject, Operations::ALL, "TREAT".parse()?, lifetime)
        };
        Ok(self.keys.mint(request)?)
    }

    /// A grant to sign one request of that time, with a key that opens nothing anywhere.
    pub(super) fn lend_to_sign(&self, at: Timestamp) -> anyhow::Result<Grant> {
        let secret = Phi::new("a secret of nobody".to_owned());
        let subject = Subject::Caller("caller-17".to_owned());
        let lifetime = Duration::from_secs(60);
        let request = GrantRequest {
            signing: Some(SigningKey::aws("AKIDEXAMPLE", &secret, at, "r", "s")),
            uses: Some(1),
            ..GrantRequest::new(subject, Operations::MAC, "TREAT".parse()?, lifetime)
        };
        Ok(self.keys.mint(request)?)
    }
}

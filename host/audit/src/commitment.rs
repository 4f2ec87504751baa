//! What the host's log says of each tenant's: its name, how many entries it had, and the root over them.
//!
//! A tenant's own checkpoints vanish with its folder, and its log can be put back to an older state with them. The host's log
//! remembers, and its checkpoints cover what it remembers of all tenants.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_model::{Draft, EntryKind, Record, Records, RecordsError, Space, TenantId};

use crate::checkpoint::{hash, of_size};
use crate::{Checkpoint, Fault, Header, OpenError, ReadError, Reader};

/// The state of one tenant's log, as the host's log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// The tenant.
    pub tenant: TenantId,
    /// The state of its log. Nobody signed this: it stands under the checkpoints of the host's log.
    pub checkpoint: Checkpoint,
}

/// A commitment and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The entry of the host's log.
    pub sequence: u64,
    /// What it says.
    pub commitment: Commitment,
}

impl Committed {
    /// Where it stands, as faults name it.
    pub(crate) fn place(&self) -> String {
        format!("entry {} of the host's log", self.sequence)
    }
}

/// The commitments in the host's log cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentsError {
    /// A log's folder cannot be read.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// It is damaged.
    #[error("the host's log is damaged, and vouches for nothing until it is verified: {0}")]
    Damaged(Fault),
    /// An entry cannot be read.
    #[error("an entry of it cannot be read")]
    Read(#[from] ReadError),
}

const COMMITTED: &str = "committed";
const READMITTED: &str = "readmitted";
const ENTRIES: &str = "entries";

impl Commitment {
    /// The entry that makes it, with the record by which [`Commitment::newest`] finds it.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let Checkpoint { origin, size, root } = &self.checkpoint;
        let mut draft = Draft::new(EntryKind::TenantCommitted, COMMITTED)
            .fact("tenant", self.tenant.as_str())
            .fact("origin", origin.as_str())
            .fact("root", STANDARD.encode(root.0));
        draft.counts.insert(ENTRIES.to_owned(), *size);
        let value = self.checkpoint.to_text().into_bytes();
        draft.records.push(record(&self.tenant, value));
        draft
    }

    /// The entry by which an operator takes back a tenant whose log no longer holds what was committed: from then on nothing
    /// is, until the next commitment. What was committed before stays in the log, and no longer holds.
    #[must_use]
    pub fn readmission(tenant: &TenantId) -> Draft {
        let mut draft = Draft::new(EntryKind::TenantCommitted, READMITTED);
        draft = draft.fact("tenant", tenant.as_str());
        draft.records.push(record(tenant, Vec::new()));
        draft
    }

    /// What the host's log, of which `records` are, last committed to of `tenant`.
    ///
    /// # Errors
    /// [`RecordsError`] when it cannot be read, or what is there is no commitment.
    pub fn newest(records: &dyn Records, tenant: &TenantId) -> Result<Option<Self>, RecordsError> {
        let kept = records.read(Space::Tenant, tenant.as_str().as_bytes())?;
        let Some(value) = kept.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&value).ok();
        let checkpoint = text.and_then(Checkpoint::parse);
        let checkpoint = checkpoint.ok_or_else(|| RecordsError {
            reason: "a commitment is malformed".to_owned(),
        })?;
        Ok(Some(Self {
            tenant: tenant.clone(),
            checkpoint,
        }))
    }

    /// Every commitment in the host's log, which is in `folder`, in order.
    ///
    /// # Errors
    /// [`CommitmentsError`] when it cannot be read to its end: verify it first.
    pub fn all_below(folder: &Path) -> Result<Vec<Committed>, CommitmentsError> {
        let host = Reader::open(folder)?;
        if let [first, ..] = host.damage() {
            return Err(CommitmentsError::Damaged(first.clone()));
        }
        let mut all = Vec::new();
        for entry in host.entries(0..host.head().entries) {
            let header = entry?.header;
            all.extend(Self::of(&header).map(|commitment| Committed {
                sequence: header.sequence,
                commitment,
            }));
        }
        Ok(all)
    }

    /// Whether the log in `folder` is the one that was committed to, and holds as much. Only reads: what is not is to be left as
    /// it is. That the journal says the same as its stored checkpoints is opening's to find out.
    ///
    /// # Errors
    /// [`CommitmentsError`] when the log cannot be read.
    pub fn stands_in(&self, folder: &Path) -> Result<bool, CommitmentsError> {
        let failed = |source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        let root = Dir::open_ambient_dir(folder, ambient_authority()).map_err(failed)?;
        if let Some(stored) = of_size(&root, self.checkpoint.size).map_err(failed)? {
            return Ok(stored.checkpoint == self.checkpoint);
        }
        // The file may be lost and the journal sound.
        Ok(Reader::open(folder)?
            .state_at(self.checkpoint.size)?
            .as_ref()
            == Some(&self.checkpoint))
    }

    fn of(header: &Header) -> Option<Self> {
        if header.kind != EntryKind::TenantCommitted || header.outcome != COMMITTED {
            return None;
        }
        Some(Self {
            tenant: header.facts.get("tenant")?.parse().ok()?,
            checkpoint: Checkpoint {
                origin: header.facts.get("origin")?.clone(),
                size: *header.counts.get(ENTRIES)?,
                root: hash(header.facts.get("root")?)?,
            },
        })
    }
}

fn record(tenant: &TenantId, value: Vec<u8>) -> Record {
    Record {
        space: Space::Tenant,
        key: tenant.as_str().as_bytes().to_vec(),
        value,
    }
}

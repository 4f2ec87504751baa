//! What the host's log says of each tenant's: its name, how many entries it had, and the root over them.
//!
//! A tenant's own checkpoints vanish with its folder, and its log can be put back to an older state with them. The host's log
//! remembers, and its checkpoints cover what it remembers of all tenants.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_model::{Draft, EntryKind, Record, Records, RecordsError, Space, TenantId};

use crate::checkpoint::{Stored, hash, of_size};
use crate::policy::Weighed;
use crate::tree::Edge;
use crate::{
    Checkpoint, Fault, Header, KeptCheckpoint, OpenError, Policy, ReadError, Reader, Witnessed,
    leaf_hash, origin,
};

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
        Self::read_all(folder, &[]).map(|(all, _)| all)
    }

    /// The same, and how far those of `policy` vouch for it: by its stored checkpoints, by what witnesses cosigned beside it
    /// ([`KeptCheckpoint::cosigned_beside`]), and by those that were kept elsewhere. A checkpoint that does not hold counts for
    /// nothing here; verify the host's log to be told of it.
    ///
    /// # Errors
    /// As [`all_below`](Self::all_below).
    pub fn all_below_by(
        folder: &Path,
        policy: &Policy,
        kept: &[KeptCheckpoint],
    ) -> Result<(Vec<Committed>, Witnessed), CommitmentsError> {
        let failed = |source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        let root = Dir::open_ambient_dir(folder, ambient_authority()).map_err(failed)?;
        let stored = Stored::below(&root).map_err(failed)?;
        let beside = KeptCheckpoint::cosigned_beside(folder).map_err(failed)?;
        let stored = stored.by_size.values().map(|signed| &signed.note);
        let kept = beside.iter().chain(kept).map(|kept| &kept.note);
        let weighed = stored.chain(kept).map(|note| policy.weigh(note));
        let weighed: Vec<Weighed> = weighed.filter_map(Result::ok).collect();
        let (all, holding) = Self::read_all(folder, &weighed)?;
        Ok((all, policy.witnessed(holding.into_iter())))
    }

    /// Every commitment, and those of `weighed` that the log leads to.
    fn read_all<'a>(
        folder: &Path,
        weighed: &'a [Weighed],
    ) -> Result<(Vec<Committed>, Vec<&'a Weighed>), CommitmentsError> {
        let host = Reader::open(folder)?;
        if let [first, ..] = host.damage() {
            return Err(CommitmentsError::Damaged(first.clone()));
        }
        let (mut all, mut holding) = (Vec::new(), Vec::new());
        let mut claimed: BTreeMap<u64, Vec<&Weighed>> = BTreeMap::new();
        for one in weighed {
            claimed.entry(one.checkpoint.size).or_default().push(one);
        }
        let (mut edge, mut name) = (Edge::default(), None);
        for entry in host.entries(0..host.head().entries) {
            let entry = entry?;
            let header = entry.header;
            all.extend(Self::of(&header).map(|commitment| Committed {
                sequence: header.sequence,
                commitment,
            }));
            let name = name.get_or_insert_with(|| origin(&header.tenant, &entry.hash));
            edge.push(leaf_hash(&entry.header_bytes), &mut |_| ());
            let Some(claimed) = claimed.remove(&edge.size()) else {
                continue;
            };
            let root = edge.root();
            let is_so = |it: &&Weighed| it.checkpoint.origin == *name && it.checkpoint.root == root;
            holding.extend(claimed.into_iter().filter(is_so));
        }
        Ok((all, holding))
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

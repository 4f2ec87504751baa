//! Holds a log against what vouches for it beside its own chain: the tiles of its tree, and checkpoints.
//!
//! Opening a log and verifying one go through here, so that they never disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use cap_std::fs::Dir;
use nephron_model::{Digest, TenantId};

use crate::checkpoint::{Checkpoint, Stored, origin};
use crate::tiles::{Listed, Replay, TileName};
use crate::tree::Edge;
use crate::walk::Met;
use crate::{Fault, FaultKind};

/// What lies beside the journal. It is read first, so that it can be no further than the journal, also of a log in use.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) tiles: Listed,
    pub(crate) checkpoints: Stored,
}

impl Beside {
    pub(crate) fn read(root: &Dir) -> io::Result<Self> {
        Self::beyond(root, 0)
    }

    /// The same without the checkpoints of no more than so many entries.
    pub(crate) fn beyond(root: &Dir, entries: u64) -> io::Result<Self> {
        Ok(Self {
            checkpoints: Stored::beyond(root, entries)?,
            tiles: Listed::below(root)?,
        })
    }

    /// What the stored checkpoints claim.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let stored = self.checkpoints.by_size.iter();
        let claims = stored.map(|(size, signed)| Claim {
            file: format!("checkpoints/{size:016}"),
            checkpoint: signed.checkpoint.clone(),
            by: By::Nobody,
        });
        claims.collect()
    }
}

/// A checkpoint that the log is to be held against.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Where it stands.
    pub(crate) file: String,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) by: By,
}

/// Who says what a [`Claim`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Nobody whose word can be checked here.
    Nobody,
    /// The holder of the given key.
    Key,
    /// The host's log, of this tenant: of the others nothing is asked here.
    Host(TenantId),
}

impl Claim {
    fn is_about(&self, tenant: &TenantId) -> bool {
        match &self.by {
            By::Nobody | By::Key => true,
            By::Host(of) => of == tenant,
        }
    }
}

/// Meets each entry, and says at the end what did not fit.
pub(crate) struct TreeCheck<'a> {
    replay: Replay<'a>,
    claims: BTreeMap<u64, Vec<Claim>>,
    origin: Option<String>,
    tenant: Option<TenantId>,
    held: u64,
    /// Entries in the largest checkpoint that holds.
    held_to: u64,
    /// The same, of those that the given key signed.
    vouched: u64,
    /// The same, of those that the host's log holds.
    committed: u64,
    states: Vec<Checkpoint>,
    differing: Vec<Fault>,
}

/// What came of it.
pub(crate) struct Vouched {
    /// The tree of all entries, if none was left out.
    pub(crate) edge: Edge,
    /// Tiles that are to be written.
    pub(crate) missing: BTreeMap<TileName, Vec<Digest>>,
    /// Tiles that are not what the journal says.
    pub(crate) differing: Vec<String>,
    /// How many checkpoints hold.
    pub(crate) held: u64,
    /// Entries in the largest of them that the given key signed.
    pub(crate) vouched: u64,
    /// Entries in the largest of them that the host's log holds.
    pub(crate) committed: u64,
    /// What the log was at the sizes of all claims, as far as it could be read.
    pub(crate) states: Vec<Checkpoint>,
    /// What contradicts the journal and is not to be repaired.
    pub(crate) faults: Vec<Fault>,
}

impl<'a> TreeCheck<'a> {
    pub(crate) fn new(
        root: &'a Dir,
        beside: &'a Beside,
        sizes: &'a BTreeSet<u64>,
        claims: Vec<Claim>,
    ) -> Self {
        Self::of(Replay::new(Some(root), &beside.tiles, sizes), claims)
    }

    /// The same of a log of this origin, from the entry after those in `edge` on. Of claims that reach no further nothing is said.
    pub(crate) fn since(
        root: &'a Dir,
        beside: &'a Beside,
        sizes: &'a BTreeSet<u64>,
        claims: Vec<Claim>,
        (origin, edge): (String, Edge),
    ) -> Self {
        let size = edge.size();
        let claims = claims.into_iter();
        let later = claims
            .filter(|claim| claim.checkpoint.size > size)
            .collect();
        let replay = Replay::from(Some(root), &beside.tiles, sizes, edge);
        Self {
            origin: Some(origin),
            ..Self::of(replay, later)
        }
    }

    fn of(replay: Replay<'a>, claims: Vec<Claim>) -> Self {
        let mut by_size: BTreeMap<u64, Vec<Claim>> = BTreeMap::new();
        for claim in claims {
            by_size
                .entry(claim.checkpoint.size)
                .or_default()
                .push(claim);
        }
        Self {
            replay,
            claims: by_size,
            origin: None,
            tenant: None,
            held: 0,
            held_to: 0,
            vouched: 0,
            committed: 0,
            states: Vec::new(),
            differing: Vec::new(),
        }
    }

    /// Meets an entry, whose leaf hash is `leaf`.
    pub(crate) fn meet(&mut self, met: &Met<'_>, leaf: Digest) {
        let sequence = met.header.sequence;
        if sequence == 0 {
            self.origin = Some(origin(&met.header.tenant, &met.hash));
        }
        if self.tenant.is_none() {
            let tenant = self.tenant.insert(met.header.tenant.clone());
            for claims in self.claims.values_mut() {
                claims.retain(|claim| claim.is_about(tenant));
            }
        }
        // After an entry that cannot be read, no root is known any more.
        if sequence != self.replay.edge.size() {
            return;
        }
        self.replay.push(leaf);
        let size = self.replay.edge.size();
        let Some(claims) = self.claims.remove(&size) else {
            return;
        };
        let root = self.replay.edge.root();
        if let Some(origin) = self.origin.clone() {
            self.states.push(Checkpoint { origin, size, root });
        }
        for claim in claims {
            let what = if self.origin.as_ref() != Some(&claim.checkpoint.origin) {
                FaultKind::CheckpointOrigin
            } else if claim.checkpoint.root != root {
                FaultKind::CheckpointDiffers
            } else {
                self.held_to = size;
                match claim.by {
                    By::Nobody => self.held += 1,
                    By::Key => {
                        self.held += 1;
                        self.vouched = size;
                    }
                    By::Host(_) => self.committed = size,
                }
                continue;
            };
            // Whatever was altered stands after the last checkpoint that holds.
            let fault = Fault::of_file(&claim.file, what);
            self.differing
                .push(match what == FaultKind::CheckpointDiffers {
                    true => fault.of_entries(self.held_to..size),
                    false => fault,
                });
        }
    }

    /// Ends before the end of the journal: the tree so far, and what contradicts it.
    pub(crate) fn contradictions(self) -> (Edge, Vec<Fault>) {
        let mut faults = self.differing;
        let tiles = self.replay.differing.iter();
        faults.extend(tiles.map(|file| Fault::of_file(file, FaultKind::TileDiffers)));
        (self.replay.edge, faults)
    }

    /// Ends at a journal of `entries` entries, which is whole if `is_whole`.
    pub(crate) fn finish(mut self, entries: u64, is_whole: bool) -> Vouched {
        let mut faults = self.differing;
        for fault in faults.iter_mut().filter(|_| !is_whole) {
            // The journal's own faults name the entry better.
            (fault.entry, fault.entry_end) = (None, None);
        }
        for claim in self.claims.into_values().flatten() {
            let of = &claim.checkpoint;
            if self.origin.is_none() && matches!(claim.by, By::Host(_)) {
                // Whose log this is cannot be read; that is a fault already.
            } else if self.origin.as_ref().is_some_and(|it| *it != of.origin) {
                faults.push(Fault::of_file(&claim.file, FaultKind::CheckpointOrigin));
            } else if of.size > entries {
                let fault = Fault::of_file(&claim.file, FaultKind::CheckpointAhead);
                faults.push(fault.of_entries(entries..of.size));
            } else if of.size == 0 {
                faults.push(Fault::of_file(&claim.file, FaultKind::CheckpointMalformed));
            }
        }
        if self.replay.edge.size() == entries {
            let ahead = self.replay.finish();
            let ahead = ahead
                .iter()
                .map(|file| Fault::of_file(file, FaultKind::TileAhead).at_entry(entries));
            faults.extend(ahead);
        }
        Vouched {
            edge: self.replay.edge,
            missing: self.replay.missing,
            differing: self.replay.differing,
            held: self.held,
            vouched: self.vouched,
            committed: self.committed,
            states: self.states,
            faults,
        }
    }
}

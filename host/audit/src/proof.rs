//! Proofs that stand by themselves: of one entry (C2SP tlog-proof), and that a log grew and did nothing else.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::fs::Dir;
use nephron_model::Digest;

use crate::checkpoint::{SignedCheckpoint, decimal, hash, newest};
use crate::journal::Journal;
use crate::tiles::{DiskTiles, from_journal};
use crate::tree::{Prover, is_consistent, leaf_hash, root_of_inclusion};
use crate::{Checkpoint, Entry, Header, NoteError, ReadError, VerifierKey, entry_hash};

const ENTRY_PROOF: &str = "c2sp.org/tlog-proof@v1";

/// That one entry stands in a log: all that is needed to check it, but the key.
///
/// As text it is a `.tlog-proof` file, whose `extra` data are the bytes of the entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProof {
    header: Vec<u8>,
    index: u64,
    path: Vec<Digest>,
    note: String,
}

/// That a log of some size begins with all that it held at a smaller one.
///
/// As text it is the body with which C2SP tlog-witness shows a new checkpoint to who knows an old one: `old <size>`, the
/// hashes, an empty line, the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowthProof {
    old: u64,
    path: Vec<Digest>,
    note: String,
}

/// What an [`EntryProof`] has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    /// What the entry says.
    pub header: Header,
    /// The entry's hash, as the next entry names it.
    pub hash: Digest,
    /// The state of the log in which it stands.
    pub checkpoint: Checkpoint,
}

/// A proof that shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// It is no proof in a known form.
    #[error("it is no proof: expected one that `nephron audit prove` wrote (C2SP tlog-proof)")]
    Malformed,
    /// Its checkpoint is not the log's.
    #[error("its checkpoint does not count")]
    Checkpoint(#[source] NoteError),
    /// The hashes do not lead to the checkpoint's root.
    #[error(
        "its hashes do not lead from the entry to the checkpoint's root: one of them was altered"
    )]
    NotIncluded,
    /// The hashes do not lead from one checkpoint to the other.
    #[error(
        "its hashes do not lead from the old checkpoint to the new one: the log forked, or one of them was altered"
    )]
    NotConsistent,
    /// It begins at another size than the old checkpoint has.
    #[error("it begins at {proof} entries, and the old checkpoint has {checkpoint}")]
    OtherSize {
        /// Where the proof begins.
        proof: u64,
        /// The size in the checkpoint.
        checkpoint: u64,
    },
    /// The entry is not one of this place: its header says otherwise, or is none.
    #[error("its entry is not the header of an entry in that place")]
    OtherEntry,
}

impl EntryProof {
    /// Shows that the entry stands in the log of `key`.
    ///
    /// # Errors
    /// [`ProofFault`].
    pub fn verify(&self, key: &VerifierKey) -> Result<ProvenEntry, ProofFault> {
        let signed = SignedCheckpoint::open(&self.note, key).map_err(ProofFault::Checkpoint)?;
        let checkpoint = signed.checkpoint;
        if !self.leads_to(&checkpoint) {
            return Err(ProofFault::NotIncluded);
        }
        let header: Option<Header> = serde_json::from_slice(&self.header).ok();
        let header = header.filter(|header| header.sequence == self.index);
        Ok(ProvenEntry {
            header: header.ok_or(ProofFault::OtherEntry)?,
            hash: entry_hash(&self.header),
            checkpoint,
        })
    }

    /// Whether the hashes lead from the entry to the root, whoever signed that.
    #[must_use]
    pub fn leads_to(&self, checkpoint: &Checkpoint) -> bool {
        let leaf = leaf_hash(&self.header);
        let root = root_of_inclusion(leaf, self.index, checkpoint.size, &self.path);
        root == Some(checkpoint.root)
    }

    /// The entry's place in the log.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.index
    }

    /// The checkpoint that it leads to, as its signed note.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The hashes from the entry's sibling to the root's child.
    #[must_use]
    pub fn path(&self) -> &[Digest] {
        &self.path
    }

    /// Reads a `.tlog-proof` file.
    ///
    /// # Errors
    /// [`ProofFault::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofFault> {
        let parse = || {
            let rest = text.strip_prefix(ENTRY_PROOF)?.strip_prefix("\nextra ")?;
            let (extra, rest) = rest.split_once('\n')?;
            let (index, rest) = rest.strip_prefix("index ")?.split_once('\n')?;
            let (path, note) = path_and_note(rest)?;
            Some(Self {
                header: STANDARD.decode(extra).ok()?,
                index: decimal(index)?,
                path,
                note,
            })
        };
        parse().ok_or(ProofFault::Malformed)
    }
}

impl std::fmt::Display for EntryProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let extra = STANDARD.encode(&self.header);
        write!(f, "{ENTRY_PROOF}\nextra {extra}\nindex {}\n", self.index)?;
        write_path_and_note(f, &self.path, &self.note)
    }
}

impl GrowthProof {
    /// Shows that the log of `key` held at `old` a beginning of what it holds at the proof's own checkpoint, which it gives.
    ///
    /// # Errors
    /// [`ProofFault`].
    pub fn verify(&self, old: &Checkpoint, key: &VerifierKey) -> Result<Checkpoint, ProofFault> {
        let signed = SignedCheckpoint::open(&self.note, key).map_err(ProofFault::Checkpoint)?;
        if old.size != self.old {
            return Err(ProofFault::OtherSize {
                proof: self.old,
                checkpoint: old.size,
            });
        }
        let new = signed.checkpoint;
        let is_one_log = old.origin == new.origin;
        (is_one_log && self.leads(old, &new))
            .then_some(new)
            .ok_or(ProofFault::NotConsistent)
    }

    /// Entries in the older checkpoint.
    #[must_use]
    pub const fn old(&self) -> u64 {
        self.old
    }

    /// The checkpoint to which the log grew, as its signed note.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    fn leads(&self, old: &Checkpoint, new: &Checkpoint) -> bool {
        is_consistent((old.size, old.root), (new.size, new.root), &self.path)
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`ProofFault::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofFault> {
        let parse = || {
            let (old, rest) = text.strip_prefix("old ")?.split_once('\n')?;
            let (path, note) = path_and_note(rest)?;
            let old = decimal(old)?;
            Some(Self { old, path, note })
        };
        parse().ok_or(ProofFault::Malformed)
    }
}

impl std::fmt::Display for GrowthProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_path_and_note(f, &self.path, &self.note)
    }
}

fn write_path_and_note(
    f: &mut std::fmt::Formatter<'_>,
    path: &[Digest],
    note: &str,
) -> std::fmt::Result {
    for hash in path {
        writeln!(f, "{}", STANDARD.encode(hash.0))?;
    }
    write!(f, "\n{note}")
}

/// The hashes, a line each, up to an empty line, and the note after it.
fn path_and_note(mut text: &str) -> Option<(Vec<Digest>, String)> {
    let mut path = Vec::new();
    loop {
        let (line, rest) = text.split_once('\n')?;
        text = rest;
        if line.is_empty() {
            return Some((path, text.to_owned()));
        }
        path.push(hash(line)?);
    }
}

/// A proof that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// There is no checkpoint to prove anything against.
    #[error("the log has no checkpoint yet; make one with `nephron audit checkpoint`")]
    NoCheckpoint,
    /// The newest checkpoint is older than what was asked about.
    #[error(
        "the newest checkpoint covers {covered} entries, and not what was asked for: {asked}; make one with `nephron audit checkpoint`"
    )]
    NotCovered {
        /// The entry, or the size, that was asked for.
        asked: u64,
        /// Entries in the newest checkpoint.
        covered: u64,
    },
    /// The journal does not lead to what the checkpoint says.
    #[error(
        "the log is not the one that its newest checkpoint speaks of; keep a copy and run `audit-verify` on it"
    )]
    Differs,
    /// The folder cannot be read.
    #[error("the checkpoints of the log cannot be read")]
    Storage(#[from] io::Error),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Proves the entry `sequence`, which `read` gives if there is one, against the newest checkpoint below `root`.
pub(crate) fn prove_entry(
    root: &Dir,
    journal: &Arc<Journal>,
    sequence: u64,
    read: impl FnOnce() -> Result<Option<Entry>, ReadError>,
) -> Result<EntryProof, ProveError> {
    let signed = newest_covering(root, sequence, |covered| sequence < covered)?;
    // A checkpoint that covers what is not there is of another log.
    let entry = read()?.ok_or(ProveError::Differs)?;
    let mut proof = EntryProof {
        header: entry.header_bytes,
        index: sequence,
        path: Vec::new(),
        note: signed.note,
    };
    let checkpoint = signed.checkpoint;
    from_tiles(root, journal, checkpoint.size, &mut |prover| {
        proof.path = prover.inclusion(sequence).unwrap_or_default();
        proof.leads_to(&checkpoint)
    })?;
    Ok(proof)
}

/// Proves that what the newest checkpoint below `root` says begins with the first `old` entries.
pub(crate) fn prove_growth(
    root: &Dir,
    journal: &Arc<Journal>,
    old: u64,
) -> Result<GrowthProof, ProveError> {
    let signed = newest_covering(root, old, |covered| (1..=covered).contains(&old))?;
    let new = signed.checkpoint;
    let mut proof = GrowthProof {
        old,
        path: Vec::new(),
        note: signed.note,
    };
    from_tiles(root, journal, new.size, &mut |prover| {
        let Some(path) = prover.consistency(old) else {
            return false;
        };
        proof.path = path;
        // The old root is not known here, but it follows from the same tiles.
        let Some(root) = prover.root_at(old) else {
            return false;
        };
        let (size, origin) = (old, new.origin.clone());
        proof.leads(&Checkpoint { origin, size, root }, &new)
    })?;
    Ok(proof)
}

/// The newest checkpoint, if it covers what was `asked` for.
pub(crate) fn newest_covering(
    root: &Dir,
    asked: u64,
    is_covered: impl Fn(u64) -> bool,
) -> Result<SignedCheckpoint, ProveError> {
    let signed = newest(root)?.ok_or(ProveError::NoCheckpoint)?;
    let covered = signed.checkpoint.size;
    is_covered(covered)
        .then_some(signed)
        .ok_or(ProveError::NotCovered { asked, covered })
}

/// Makes a proof from the tiles on disk, or, where they do not give one that holds, from the journal itself.
pub(crate) fn from_tiles(
    root: &Dir,
    journal: &Arc<Journal>,
    size: u64,
    make: &mut dyn FnMut(&mut Prover<'_>) -> bool,
) -> Result<(), ProveError> {
    if make(&mut Prover::new(&DiskTiles(root), size)) {
        return Ok(());
    }
    let tiles = from_journal(journal, size, &BTreeSet::from([size]))?;
    let holds = make(&mut Prover::new(&tiles, size));
    holds.then_some(()).ok_or(ProveError::Differs)
}

//! A log opened for reading only: nothing is written, no lock is taken, and a writer may be at work.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use nephron_model::{
    Digest, EntryKind, EventId, Records, RecordsError, Space, TenantId, Timestamp, unhex,
};

use crate::checkpoint::{newest, origin};
use crate::journal::Journal;
use crate::log::{newest_in, sequences_in, value_in};
use crate::proof::{prove_entry, prove_growth};
use crate::threads::all_cores;
use crate::tree::Edge;
use crate::verify::is_in_use;
use crate::view::Term;
use crate::walk::{Met, Start, Way, walk};
use crate::{
    Checkpoint, Entries, Entry, EntryProof, Fault, GrowthProof, Head, Header, OpenError,
    ProveError, ReadError, SignedCheckpoint, VerifierKey, leaf_hash,
};

/// A log as it stood when this reader was opened.
///
/// It answers from the journal alone, so that it also works on a copy, on read-only media, and beside a running writer.
pub struct Reader {
    journal: Arc<Journal>,
    head: Head,
    tenant: Option<TenantId>,
    damage: Vec<Fault>,
}

/// An entry as [`Reader::survey`] meets it.
#[derive(Clone, Copy)]
pub struct Surveyed<'a> {
    /// What it says in public.
    pub header: &'a Header,
    /// The exact bytes of that.
    pub header_bytes: &'a [u8],
    /// The entry's hash.
    pub hash: Digest,
}

impl Reader {
    /// Reads the whole journal in `folder`. Damage does not keep it from opening: [`Reader::damage`] tells of it, and the
    /// entries before it can be read.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when the folder or its journal cannot be read.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::survey(folder, |_| ())
    }

    /// The same, and hands every entry to `each` on the way, in order: one walk where opening and reading take two. Entries are
    /// handed over up to the first that is missing or broken, and perhaps some behind a fault that shows later; so what is made
    /// of them counts only if [`Reader::damage`] is empty.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn survey(folder: &Path, mut each: impl FnMut(&Surveyed<'_>)) -> Result<Self, OpenError> {
        let failed = |source: io::Error| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        let root = Dir::open_ambient_dir(folder, cap_std::ambient_authority()).map_err(failed)?;
        if !root.try_exists("journal").map_err(failed)? {
            return Err(failed(io::Error::new(
                io::ErrorKind::NotFound,
                "there is no `journal` in it",
            )));
        }
        // Up to the first damage, the heads of the entries as they were met are those of the log.
        let mut sound = Head::START;
        let mut each = |met: &Met<'_>, ()| {
            if met.header.sequence == sound.entries {
                each(&Surveyed {
                    header: met.header,
                    header_bytes: met.frame.header,
                    hash: met.hash,
                });
                sound = Head {
                    entries: sound.entries + 1,
                    hash: met.hash,
                };
            }
        };
        let way = Way {
            start: Start::LOG,
            until: None,
            is_in_use: is_in_use(&root),
            threads: all_cores(),
            prepare: &|_| (),
        };
        let walked = walk(&root, &way, &mut each, &mut |_, _| {});
        let broken = walked.faults.iter().filter_map(|fault| fault.entry).min();
        let head = match broken {
            Some(broken) if broken < sound.entries => Head {
                entries: broken,
                ..sound
            },
            Some(_) | None => sound,
        };
        let journal = Journal::new(Arc::new(root), walked.segments);
        let head = rehash(&journal, head, sound);
        let mut damage = walked.faults;
        damage.extend(walked.torn.map(|torn| torn.fault));
        Ok(Self {
            journal,
            head,
            tenant: walked.tenant,
            damage,
        })
    }

    /// The last entry that can be read and follows from all before it.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The tenant whose log this is, as its entries say.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// What is wrong with the journal; empty if nothing is.
    #[must_use]
    pub fn damage(&self) -> &[Fault] {
        &self.damage
    }

    /// The entry at `sequence`; `None` if it is not below [`Reader::head`].
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read.
    pub fn entry(&self, sequence: u64) -> Result<Option<Entry>, ReadError> {
        if sequence >= self.head.entries {
            return Ok(None);
        }
        let at = self.journal.find(sequence)?;
        self.journal.read(sequence, at).map(Some)
    }

    /// The entries of `range` (half open), in order. Ends after the first error.
    #[must_use]
    pub fn entries(&self, range: Range<u64>) -> Entries {
        self.journal
            .entries(range.start..range.end.min(self.head.entries))
    }

    pub(crate) fn root(&self) -> &Dir {
        self.journal.root()
    }

    pub(crate) const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Proves that the entry `sequence` stands in this log, against the newest stored checkpoint.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove(&self, sequence: u64) -> Result<EntryProof, ProveError> {
        let read = || self.entry(sequence);
        prove_entry(self.journal.root(), &self.journal, sequence, read)
    }

    /// Proves that the newest stored checkpoint begins with the first `old` entries.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove_growth(&self, old: u64) -> Result<GrowthProof, ProveError> {
        prove_growth(self.journal.root(), &self.journal, old)
    }

    /// The key by which this log's checkpoints are verified, as the log itself says it; nothing if it says none. Hold it
    /// against one that was noted elsewhere.
    ///
    /// # Errors
    /// [`ReadError`] when an entry cannot be read.
    pub fn verifier_key(&self) -> Result<Option<VerifierKey>, ReadError> {
        let mut name = None;
        for entry in self.entries(0..self.head.entries) {
            let Entry { header, hash, .. } = entry?;
            let name = name.get_or_insert_with(|| origin(&header.tenant, &hash));
            let public = header.facts.get("public-key");
            if let Some(public) = public.filter(|_| header.kind == EntryKind::KeyChanged) {
                return Ok(unhex(public).and_then(|public| VerifierKey::new(name, public)));
            }
        }
        Ok(None)
    }

    /// The state of this log when it had `size` entries, from the journal alone; nothing if it is not that long.
    ///
    /// # Errors
    /// [`ReadError`] when an entry cannot be read.
    pub fn state_at(&self, size: u64) -> Result<Option<Checkpoint>, ReadError> {
        if size == 0 || size > self.head.entries {
            return Ok(None);
        }
        let (mut edge, mut name) = (Edge::default(), None);
        for entry in self.entries(0..size) {
            let entry = entry?;
            name.get_or_insert_with(|| origin(&entry.header.tenant, &entry.hash));
            edge.push(leaf_hash(&entry.header_bytes), &mut |_| ());
        }
        let root = edge.root();
        Ok(name.map(|origin| Checkpoint { origin, size, root }))
    }

    /// The newest stored checkpoint, as it stands: whether anybody signed it is not looked at.
    ///
    /// # Errors
    /// What the file system says.
    pub fn newest_checkpoint(&self) -> io::Result<Option<SignedCheckpoint>> {
        newest(self.journal.root())
    }

    /// The sequences of the entries of one request, by reading the whole log.
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read.
    pub fn of_request(&self, request: EventId) -> Result<Vec<u64>, ReadError> {
        self.sequences(&Term::Request(request))
    }

    /// The sequences of the entries with this term, by reading the whole log.
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read.
    pub fn sequences(&self, term: &Term) -> Result<Vec<u64>, ReadError> {
        sequences_in(self.entries(0..self.head.entries), term)
    }
}

impl Records for Reader {
    fn newest(&self) -> Option<Timestamp> {
        let last = self.head.entries.checked_sub(1)?;
        // Whoever verifies finds what cannot be read.
        let last = self.entry(last).ok()??;
        Some(last.header.time)
    }

    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        let failed = |error: ReadError| RecordsError {
            reason: error.to_string(),
        };
        let newest = newest_in(self.entries(0..self.head.entries), space, key).map_err(failed)?;
        let Some(sequence) = newest else {
            return Ok(None);
        };
        let entry = self.entry(sequence).map_err(failed)?;
        Ok(entry.as_ref().and_then(|entry| value_in(entry, space, key)))
    }
}

/// The head with the hash of its own last entry, after it was moved back from `sound`.
fn rehash(journal: &Journal, head: Head, sound: Head) -> Head {
    if head.entries == sound.entries {
        return sound;
    }
    let Some(last) = head.entries.checked_sub(1) else {
        return Head::START;
    };
    match journal.find(last).and_then(|at| journal.read(last, at)) {
        Ok(entry) => Head {
            entries: head.entries,
            hash: entry.hash,
        },
        Err(_) => Head::START,
    }
}

//! A log opened for reading only: nothing is written, no lock is taken, and a writer may be at work.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use nephron_model::{EventId, Records, RecordsError, Space, TenantId};

use crate::journal::Journal;
use crate::log::{newest_in, sequences_in, value_in};
use crate::verify::is_in_use;
use crate::view::Term;
use crate::walk::walk;
use crate::{Entries, Entry, Fault, Head, OpenError, ReadError};

/// A log as it stood when this reader was opened.
///
/// It answers from the journal alone, so that it also works on a copy, on read-only media, and beside a running writer.
pub struct Reader {
    journal: Arc<Journal>,
    head: Head,
    tenant: Option<TenantId>,
    damage: Vec<Fault>,
}

impl Reader {
    /// Reads the whole journal in `folder`. Damage does not keep it from opening: [`Reader::damage`] tells of it, and the
    /// entries before it can be read.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when the folder or its journal cannot be read.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
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
        let mut each = |met: &crate::walk::Met<'_>| {
            if met.header.sequence == sound.entries {
                sound = Head {
                    entries: sound.entries + 1,
                    hash: met.hash,
                };
            }
        };
        let walked = walk(&root, is_in_use(&root), &mut each, &mut |_, _| {});
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

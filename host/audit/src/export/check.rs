//! Whether an export is what it says, by the log's public key alone.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use nephron_model::{Digest, Timestamp};
use serde::Serialize;

use super::{
    AROUND, CHECKPOINT, ExportNote, FORMAT, HEADERS, NOTE, PAYLOADS, README, payload_name,
};
use crate::checkpoint::hash;
use crate::frame::MAX_HEADER;
use crate::note::MAX_NOTE;
use crate::tree::root_around;
use crate::{Header, NoteError, SignedCheckpoint, VerifierKey, entry_hash, leaf_hash};

/// Bytes of a payload that are read at most: what an entry may have (`frame_limit`).
const MAX_PAYLOAD: u64 = 512 << 20;

/// What an export has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProvenExport {
    /// What it says of itself; all of it was held against the entries, but when it was made.
    pub note: ExportNote,
    /// Entries that its checkpoint covers.
    pub covered: u64,
    /// The root over them.
    pub root: Digest,
    /// Hash of the last entry that it holds.
    pub head: Digest,
    /// Sealed payloads that are the ones that the headers name.
    pub payloads: u64,
    /// Every entry of the period is in it. False where the period reaches further than the checkpoint: entries that came after it
    /// may be missing.
    pub complete: bool,
    /// Its checkpoint, as signed.
    #[serde(skip)]
    pub signed: SignedCheckpoint,
}

/// An export that shows nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportFault {
    /// It cannot be read to its end.
    #[error("it is no archive, or was cut off")]
    Unreadable(#[source] io::Error),
    /// A file is not where it must be.
    #[error("`{expected}` is missing, or stands elsewhere in the archive")]
    Missing {
        /// The file.
        expected: &'static str,
    },
    /// Something is there that no export has.
    #[error("`{0}` does not belong in it")]
    Unknown(String),
    /// A file is not in a known form.
    #[error("`{0}` is not in a form that is known")]
    Malformed(&'static str),
    /// The checkpoint does not count.
    #[error("its checkpoint does not count")]
    Checkpoint(#[source] NoteError),
    /// A line is not the header of the entry that must stand there.
    #[error("line {line} of `headers.jsonl` is not the header of entry {sequence}")]
    OtherEntry {
        /// Counted from 1.
        line: u64,
        /// The entry.
        sequence: u64,
    },
    /// An entry does not name the one before it.
    #[error("entry {sequence} does not follow from the one before it")]
    ChainBroken {
        /// The entry.
        sequence: u64,
    },
    /// The headers do not lead to the checkpoint's root.
    #[error(
        "its headers do not lead to the checkpoint's root: one of them, or a hash in `around`, was altered"
    )]
    NotIncluded,
    /// The entries are not those of the period.
    #[error("entry {sequence} shows that the period is not the one that `export.json` says")]
    OtherPeriod {
        /// The entry.
        sequence: u64,
    },
    /// A sealed payload is not the one that its entry names.
    #[error("the payload of entry {sequence} is missing, or is not the one that the entry names")]
    PayloadDiffers {
        /// The entry.
        sequence: u64,
    },
}

impl From<io::Error> for ExportFault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Checks the archive that `archive` gives against the public key of the log.
///
/// # Errors
/// [`ExportFault`]: the first thing that does not hold.
pub fn verify_export(archive: impl Read, key: &VerifierKey) -> Result<ProvenExport, ExportFault> {
    verify_export_by(archive, |_| Some(key.clone()))
}

/// The same by the key that `key_of` gives for the note of its checkpoint, if it gives one.
///
/// # Errors
/// As [`verify_export`]; without a key the checkpoint does not count.
pub fn verify_export_by(
    archive: impl Read,
    key_of: impl FnOnce(&str) -> Option<VerifierKey>,
) -> Result<ProvenExport, ExportFault> {
    let mut tar = tar::Archive::new(archive);
    let mut files = tar.entries()?;
    let note = small(&mut files, NOTE)?;
    let note: ExportNote =
        serde_json::from_slice(&note).map_err(|_| ExportFault::Malformed(NOTE))?;
    let period = Period::of(&note).ok_or(ExportFault::Malformed(NOTE))?;
    // What people read; whatever it says, nothing hangs on it.
    let _readme = small(&mut files, README)?;
    let signed = text(small(&mut files, CHECKPOINT)?, CHECKPOINT)?;
    let key = key_of(&signed).ok_or(ExportFault::Checkpoint(NoteError::Unsigned))?;
    let signed = SignedCheckpoint::open(&signed, &key).map_err(ExportFault::Checkpoint)?;
    let checkpoint = &signed.checkpoint;
    let around = text(small(&mut files, AROUND)?, AROUND)?;
    let around: Option<Vec<Digest>> = around.lines().map(hash).collect();
    let around = around.ok_or(ExportFault::Malformed(AROUND))?;

    let mut headers = Headers {
        lines: BufReader::new(next(&mut files, HEADERS)?),
        note: &note,
        period: &period,
        next: note.held_first,
        previous: None,
        payloads: BTreeMap::new(),
    };
    let mut fault = None;
    let held = note.held_first..note.held_end;
    let root = root_around(checkpoint.size, &held, &around, &mut || {
        let leaf = headers.leaf();
        leaf.map_err(|error| fault = Some(error)).ok()
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    if root != Some(checkpoint.root) {
        return Err(ExportFault::NotIncluded);
    }
    let Headers {
        mut lines,
        previous,
        payloads: mut expected,
        ..
    } = headers;
    if !lines.fill_buf()?.is_empty() {
        return Err(ExportFault::Malformed(HEADERS));
    }
    drop(lines);
    let payloads = expected.len() as u64;
    for file in files {
        let mut file = file?;
        let name = String::from_utf8_lossy(&file.path_bytes()).into_owned();
        let sequence = name.strip_prefix(PAYLOADS).and_then(|it| it.parse().ok());
        let named = sequence.filter(|sequence| payload_name(*sequence) == name);
        let digest = named.and_then(|sequence| expected.remove(&sequence));
        let (Some(sequence), Some(digest)) = (named, digest) else {
            return Err(ExportFault::Unknown(name));
        };
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_PAYLOAD).read_to_end(&mut bytes)?;
        if Digest::of(&bytes) != digest {
            return Err(ExportFault::PayloadDiffers { sequence });
        }
    }
    if let Some((sequence, _)) = expected.first_key_value() {
        let sequence = *sequence;
        return Err(ExportFault::PayloadDiffers { sequence });
    }
    Ok(ProvenExport {
        covered: checkpoint.size,
        root: checkpoint.root,
        head: previous.unwrap_or(Digest([0; 32])),
        payloads,
        // The period ends with the checkpoint, or an entry stands behind it.
        complete: note.held_end > note.end || (note.to.is_none() && note.end == checkpoint.size),
        note,
        signed,
    })
}

/// The period that an export claims.
struct Period {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Period {
    /// Nothing if the note contradicts itself: one entry stands before the period, if it does not begin with the log, and one
    /// behind it, if there is one.
    fn of(note: &ExportNote) -> Option<Self> {
        let time = |text: &Option<String>| match text {
            Some(text) => Some(Some(text.parse().ok()?)),
            None => Some(None),
        };
        let is_sound = note.format == FORMAT
            && note.first <= note.end
            && note.held_first == note.first.saturating_sub(1)
            && (note.held_end == note.end || Some(note.held_end) == note.end.checked_add(1))
            && note.held_first < note.held_end;
        is_sound.then_some(())?;
        Some(Self {
            from: time(&note.from)?,
            to: time(&note.to)?,
        })
    }

    /// Whether an entry stands where its time says: within the period, before it, or behind it.
    fn agrees(&self, header: &Header, note: &ExportNote) -> bool {
        let is_early = self.from.is_some_and(|from| header.time < from);
        let is_late = self.to.is_some_and(|to| header.time >= to);
        if header.sequence < note.first {
            is_early
        } else if header.sequence < note.end {
            !is_early && !is_late
        } else {
            is_late
        }
    }
}

/// The headers of an export, read one by one, each held against the one before.
struct Headers<'a, R> {
    lines: BufReader<R>,
    note: &'a ExportNote,
    period: &'a Period,
    next: u64,
    previous: Option<Digest>,
    /// Digests of the payloads that must be in the archive.
    payloads: BTreeMap<u64, Digest>,
}

impl<R: Read> Headers<'_, R> {
    /// The leaf hash of the next entry.
    fn leaf(&mut self) -> Result<Digest, ExportFault> {
        let sequence = self.next;
        let mut line = Vec::new();
        let limit = MAX_HEADER as u64 + 1;
        (&mut self.lines).take(limit).read_until(b'\n', &mut line)?;
        let other = || ExportFault::OtherEntry {
            line: sequence - self.note.held_first + 1,
            sequence,
        };
        let bytes = line.strip_suffix(b"\n").ok_or_else(other)?;
        let header: Option<Header> = serde_json::from_slice(bytes).ok();
        let header = header
            .filter(|header| header.to_bytes().is_ok_and(|again| again == bytes))
            .filter(|header| header.sequence == sequence && header.tenant == self.note.tenant)
            .ok_or_else(other)?;
        if self.previous.is_some_and(|hash| hash != header.previous) {
            return Err(ExportFault::ChainBroken { sequence });
        }
        if !self.period.agrees(&header, self.note) {
            return Err(ExportFault::OtherPeriod { sequence });
        }
        let is_asked = (self.note.first..self.note.end).contains(&sequence);
        if let Some(payload) = header.payload.filter(|_| self.note.payloads && is_asked) {
            self.payloads.insert(sequence, payload);
        }
        self.previous = Some(entry_hash(bytes));
        self.next += 1;
        Ok(leaf_hash(bytes))
    }
}

/// The next file, which must be this one.
fn next<'a, R: Read>(
    files: &mut tar::Entries<'a, R>,
    expected: &'static str,
) -> Result<tar::Entry<'a, R>, ExportFault> {
    let missing = || ExportFault::Missing { expected };
    let file = files.next().ok_or_else(missing)??;
    let is_it = file.path_bytes() == expected.as_bytes();
    is_it.then_some(file).ok_or_else(missing)
}

/// The whole of a small file.
fn small<R: Read>(
    files: &mut tar::Entries<'_, R>,
    name: &'static str,
) -> Result<Vec<u8>, ExportFault> {
    let mut bytes = Vec::new();
    let limit = MAX_NOTE as u64;
    next(files, name)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>, name: &'static str) -> Result<String, ExportFault> {
    String::from_utf8(bytes).map_err(|_| ExportFault::Malformed(name))
}

//! An export: the entries of a period, packed so that they verify by themselves, with the log's public key alone.
//!
//! It is a tar archive of a few files (`docs/formats/log.md`): the headers, the signed checkpoint, and the hashes of the tree around
//! them, by which the headers lead to the checkpoint's root. One entry before the period and one behind it stand with
//! them, whose times show that nothing of the period is left out.

mod check;

use std::io::{self, Write};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::{Digest, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header as TarHeader};

pub use self::check::{ExportFault, ProvenExport, verify_export, verify_export_by};
use crate::proof::{from_tiles, newest_covering};
use crate::tree::root_around;
use crate::{Fault, ProveError, ReadError, Reader, SignedCheckpoint, leaf_hash};

/// The files of the archive, in their order; after them one of each sealed payload.
const NOTE: &str = "export.json";
const README: &str = "README.txt";
const CHECKPOINT: &str = "checkpoint";
const AROUND: &str = "around";
const HEADERS: &str = "headers.jsonl";
const PAYLOADS: &str = "payloads/";

const FORMAT: &str = "nephron audit export 1";

/// What is to be exported.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// From then on; from the beginning of the log without it.
    pub from: Option<Timestamp>,
    /// Until then, exclusive; as far as the newest checkpoint reaches without it.
    pub to: Option<Timestamp>,
    /// Whether the sealed payloads go with it, sealed as they are.
    pub payloads: bool,
    /// When it is made.
    pub now: Timestamp,
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exported {
    /// The first entry of the period.
    pub first: u64,
    /// The entry after its last.
    pub end: u64,
    /// Sealed payloads.
    pub payloads: u64,
    /// Entries that the checkpoint covers.
    pub covered: u64,
    /// Entries of the period that it does not cover yet, and that are left out for that.
    pub not_covered: u64,
}

/// What an archive says of itself. Nobody signed it: what it claims is held against the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportNote {
    format: String,
    /// Whose log it is of.
    pub tenant: TenantId,
    /// When it was made, RFC 3339.
    pub exported: String,
    /// The period, RFC 3339; `to` is exclusive.
    pub from: Option<String>,
    /// See `from`.
    pub to: Option<String>,
    /// The first entry of the period.
    pub first: u64,
    /// The entry after its last.
    pub end: u64,
    /// The first entry that is in the archive.
    pub held_first: u64,
    /// The entry after the last that is.
    pub held_end: u64,
    /// Whether the sealed payloads of the period's entries are in it.
    pub payloads: bool,
}

/// An export was not made, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The log is damaged.
    #[error("the log is damaged, and is exported when it is whole: {0}")]
    Damaged(Fault),
    /// The log is empty.
    #[error("the log has no entry")]
    Empty,
    /// No checkpoint, or it is not of this log.
    #[error("what is exported cannot be proved")]
    Prove(#[from] ProveError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A payload was pruned, so that the archive cannot have all of the period.
    #[error(
        "the payload of entry {0} was kept long enough and is pruned: export a later period, or without payloads"
    )]
    Pruned(u64),
    /// The archive cannot be written.
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
}

impl Reader {
    /// Writes the archive of a period to `out`.
    ///
    /// # Errors
    /// [`ExportError`]; what was written is then no archive.
    pub fn export(&self, export: &Export, out: impl Write) -> Result<Exported, ExportError> {
        if let [first, ..] = self.damage() {
            return Err(ExportError::Damaged(first.clone()));
        }
        let tenant = self.tenant().ok_or(ExportError::Empty)?;
        let signed = newest_covering(self.root(), 0, |covered| covered > 0)?;
        let covered = signed.checkpoint.size.min(self.head().entries);
        let first = self.first_at(export.from)?;
        let end = match export.to {
            Some(to) => self.first_at(Some(to))?.max(first),
            None => self.head().entries,
        };
        let period = first.min(covered)..end.min(covered);
        let held = period.start.saturating_sub(1)..(period.end + 1).min(covered);
        let note = ExportNote {
            format: FORMAT.to_owned(),
            tenant: tenant.clone(),
            exported: export.now.to_string(),
            from: export.from.map(|from| from.to_string()),
            to: export.to.map(|to| to.to_string()),
            first: period.start,
            end: period.end,
            held_first: held.start,
            held_end: held.end,
            payloads: export.payloads,
        };
        let payloads = self.pack(&note, &signed, export.now, out)?;
        Ok(Exported {
            first: period.start,
            end: period.end,
            payloads,
            covered,
            not_covered: (end - first) - (period.end - period.start),
        })
    }

    /// The first entry that is not before `time`: entries are in the order of their times.
    fn first_at(&self, time: Option<Timestamp>) -> Result<u64, ReadError> {
        let Some(time) = time else {
            return Ok(0);
        };
        let (mut low, mut high) = (0, self.head().entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_before = self
                .entry(middle)?
                .is_some_and(|entry| entry.header.time < time);
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Writes the archive; gives how many payloads it has.
    fn pack(
        &self,
        note: &ExportNote,
        signed: &SignedCheckpoint,
        now: Timestamp,
        out: impl Write,
    ) -> Result<u64, ExportError> {
        let held = note.held_first..note.held_end;
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        for entry in self.entries(held.clone()) {
            let header = entry?.header_bytes;
            leaves.push(leaf_hash(&header));
            bytes += header.len() as u64 + 1;
        }
        let around = self.around(&held, &leaves, signed)?;
        let mut archive = Archive {
            tar: Builder::new(out),
            now,
        };
        let json = serde_json::to_string_pretty(note).map_err(io::Error::from)? + "\n";
        archive.add(NOTE, json.as_bytes())?;
        archive.add(README, readme(note, signed).as_bytes())?;
        archive.add(CHECKPOINT, signed.note.as_bytes())?;
        archive.add(AROUND, around.as_bytes())?;
        let mut lines = Lines {
            entries: self.entries(held),
            line: io::Cursor::new(Vec::new()),
        };
        archive.append(HEADERS, bytes, &mut lines)?;
        let mut payloads = 0;
        if note.payloads {
            for entry in self.entries(note.first..note.end) {
                let entry = entry?;
                if entry.is_pruned {
                    return Err(ExportError::Pruned(entry.header.sequence));
                }
                if let Some(payload) = &entry.payload {
                    archive.add(&payload_name(entry.header.sequence), payload)?;
                    payloads += 1;
                }
            }
        }
        archive.tar.into_inner()?.flush()?;
        Ok(payloads)
    }

    /// The hashes beside the leaves of `held`, a line each, which together lead to the checkpoint's root.
    fn around(
        &self,
        held: &Range<u64>,
        leaves: &[Digest],
        signed: &SignedCheckpoint,
    ) -> Result<String, ExportError> {
        let checkpoint = &signed.checkpoint;
        let mut around = Vec::new();
        from_tiles(
            self.root(),
            self.journal(),
            checkpoint.size,
            &mut |prover| {
                around = prover.around(held).unwrap_or_default();
                let mut leaves = leaves.iter().copied();
                let root = root_around(checkpoint.size, held, &around, &mut || leaves.next());
                root == Some(checkpoint.root)
            },
        )?;
        let lines = around.iter().map(|hash| STANDARD.encode(hash.0) + "\n");
        Ok(lines.collect())
    }
}

struct Archive<W: Write> {
    tar: Builder<W>,
    now: Timestamp,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.append(name, bytes.len() as u64, bytes)
    }

    fn append(&mut self, name: &str, size: u64, bytes: impl io::Read) -> io::Result<()> {
        let mut header = TarHeader::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(self.now.seconds);
        header.set_size(size);
        self.tar.append_data(&mut header, name, bytes)
    }
}

/// The headers of entries, a line each, as bytes to read.
struct Lines {
    entries: crate::Entries,
    line: io::Cursor<Vec<u8>>,
}

impl io::Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.line.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(entry) = self.entries.next() else {
                return Ok(0);
            };
            let mut line = entry.map_err(io::Error::other)?.header_bytes;
            line.push(b'\n');
            self.line = io::Cursor::new(line);
        }
    }
}

fn payload_name(sequence: u64) -> String {
    format!("{PAYLOADS}{sequence:016}")
}

fn readme(note: &ExportNote, signed: &SignedCheckpoint) -> String {
    let ExportNote {
        tenant,
        first,
        end,
        held_first,
        held_end,
        exported,
        ..
    } = note;
    let period =
        |time: &Option<String>, without: &str| time.clone().unwrap_or_else(|| without.to_owned());
    let (from, to) = (
        period(&note.from, "its beginning"),
        period(&note.to, "the checkpoint"),
    );
    let payloads = match note.payloads {
        true => {
            "payloads/NNN     the sealed payload of entry NNN; only the tenant's key opens it\n"
        }
        false => "Sealed payloads were left out; the headers hold their digests.\n",
    };
    format!(
        "Audit log of tenant {tenant}, from {from} to {to}, exported {exported}.\n\
         Entries {first} to before {end}, and for completeness {held_first} to before {held_end}.\n\n\
         export.json      what this is, for programs\n\
         checkpoint       the log's signed state: {} entries (C2SP tlog-checkpoint)\n\
         around           hashes of the rest of the tree (RFC 6962), base64, left to right\n\
         headers.jsonl    the entries' headers, in the very bytes that the hashes cover\n\
         {payloads}\n\
         audit-verify --export FILE --vkey KEY   checks it, offline; get KEY from the operator on another day, or another way.\n\
         The form is described in docs/formats/log.md of Nephron.\n",
        signed.checkpoint.size
    )
}

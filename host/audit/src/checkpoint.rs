//! Checkpoints (C2SP tlog-checkpoint): how many entries a log had and the root over them, signed.
//!
//! They stand in `checkpoints/`, one file each, and are never rewritten. A copy kept elsewhere is what an auditor holds
//! the log against years later.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::fs::Dir;
use nephron_model::{Digest, NotSigned, Signer, TenantId};

use crate::disk::Folder;
use crate::note::{self, MAX_NOTE, split};
use crate::tiles::Tiling;
use crate::{Fault, FaultKind, MAX_NUMBER, NoteError, ReadError, VerifierKey};

/// The folder of the checkpoints.
pub(crate) const FOLDER: &str = "checkpoints";

/// The state of a log: what a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's stable name ([`origin`]).
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The root over them (RFC 6962 §2.1).
    pub root: Digest,
}

/// A checkpoint and the signed note that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The note, as its file holds it.
    pub note: String,
}

/// The stable name of a log: `nephron/<tenant>/<16 hex digits>`, of which the last are the first of the hash of its first
/// entry. Two logs of one tenant's name, here or elsewhere, have two names.
#[must_use]
pub fn origin(tenant: &TenantId, first: &Digest) -> String {
    let digits: String = first.hex().chars().take(16).collect();
    format!("nephron/{tenant}/{digits}")
}

impl Checkpoint {
    /// The text of the note: origin, size and root, a line each.
    pub(crate) fn to_text(&self) -> String {
        let root = STANDARD.encode(self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads the text of a note. Lines after the third are passed over, as tlog-checkpoint asks.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: decimal(size)?,
            root: hash(root)?,
        };
        let is_whole = !origin.is_empty() && lines.all(|line| !line.is_empty());
        is_whole.then_some(checkpoint)
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint whose signature is not looked at.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is no checkpoint.
    pub fn read(note: &str) -> Result<Self, NoteError> {
        let (text, _) = split(note)?;
        let checkpoint = Checkpoint::parse(text).ok_or(NoteError::Malformed)?;
        Ok(Self {
            checkpoint,
            note: note.to_owned(),
        })
    }

    /// Reads a checkpoint that the holder of `key` signed for the log that `key` names.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        key.open(note)?;
        let signed = Self::read(note)?;
        let is_theirs = signed.checkpoint.origin == key.name();
        is_theirs.then_some(signed).ok_or(NoteError::Unsigned)
    }
}

/// A number in decimal, as the C2SP formats write one: no sign, no leading zero, and none that no log reaches.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number <= MAX_NUMBER && number.to_string() == text).then_some(number)
}

/// A hash in base64.
pub(crate) fn hash(text: &str) -> Option<Digest> {
    let bytes = STANDARD.decode(text).ok()?;
    Some(Digest(bytes.try_into().ok()?))
}

/// No checkpoint was made. The log goes on without one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Nothing signs.
    #[error("no key was given to sign checkpoints with")]
    NoSigner,
    /// The key did not sign.
    #[error("the checkpoint could not be signed")]
    NotSigned(#[from] NotSigned),
    /// The journal cannot be read back.
    #[error("the entries under the checkpoint cannot be read back")]
    Journal(#[from] ReadError),
    /// The disk refused.
    #[error(
        "the checkpoint could not be stored: free space or correct permissions, then ask for it again"
    )]
    Storage(#[from] io::Error),
    /// The newest stored checkpoint contradicts the log.
    #[error(
        "the newest stored checkpoint is not of this log as it stands; keep a copy and run `audit-verify` on it"
    )]
    Differs,
}

fn path_of(size: u64) -> PathBuf {
    Path::new(FOLDER).join(format!("{size:016}"))
}

/// The checkpoints in a log's folder.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) by_size: BTreeMap<u64, SignedCheckpoint>,
    /// Files that are none.
    pub(crate) faults: Vec<Fault>,
}

impl Stored {
    /// Reads them all. What is read before the journal is no further than the journal.
    pub(crate) fn below(root: &Dir) -> io::Result<Self> {
        Self::beyond(root, 0)
    }

    /// Those of more than so many entries.
    pub(crate) fn beyond(root: &Dir, entries: u64) -> io::Result<Self> {
        let mut stored = Self::default();
        if !root.try_exists(FOLDER)? {
            return Ok(stored);
        }
        for path in crate::seal::files_below(&root.open_dir(FOLDER)?)? {
            let file = Path::new(FOLDER).join(&path);
            let fault = |what| Fault::of_file(&file.display().to_string(), what);
            let is_unnamed = file.extension().is_some_and(|extension| extension == "tmp");
            match path.parse().ok().filter(|size| file == path_of(*size)) {
                Some(size) if size <= entries && entries > 0 => {}
                Some(size) => match read(root, size) {
                    Ok(Some(signed)) => drop(stored.by_size.insert(size, signed)),
                    Ok(None) => stored.faults.push(fault(FaultKind::CheckpointMalformed)),
                    Err(_) => stored.faults.push(fault(FaultKind::Unreadable)),
                },
                None if is_unnamed => {}
                None => stored.faults.push(fault(FaultKind::UnknownFile)),
            }
        }
        Ok(stored)
    }

    pub(crate) fn sizes(&self) -> BTreeSet<u64> {
        self.by_size.keys().copied().collect()
    }
}

/// The checkpoint in the file for `size`; nothing if the file is no checkpoint of that size.
fn read(root: &Dir, size: u64) -> io::Result<Option<SignedCheckpoint>> {
    let file = root.open(path_of(size))?;
    let mut note = Vec::new();
    file.take(MAX_NOTE as u64 + 1).read_to_end(&mut note)?;
    let signed = std::str::from_utf8(&note).ok().map(SignedCheckpoint::read);
    let signed = signed.and_then(Result::ok);
    Ok(signed.filter(|signed| signed.checkpoint.size == size && size > 0))
}

/// The checkpoint of so many entries in a log's folder.
pub(crate) fn of_size(root: &Dir, size: u64) -> io::Result<Option<SignedCheckpoint>> {
    match root.try_exists(path_of(size))? {
        true => read(root, size),
        false => Ok(None),
    }
}

/// The newest checkpoint in a log's folder.
pub(crate) fn newest(root: &Dir) -> io::Result<Option<SignedCheckpoint>> {
    if !root.try_exists(FOLDER)? {
        return Ok(None);
    }
    let mut newest = None;
    for file in root.read_dir(FOLDER)? {
        let name = file?.file_name().to_string_lossy().into_owned();
        let size = name.parse().ok();
        newest = newest.max(size.filter(|size| path_of(*size) == Path::new(FOLDER).join(&name)));
    }
    match newest {
        Some(size) => read(root, size),
        None => Ok(None),
    }
}

/// Signs and stores the state of `tiling`; gives the checkpoint that stands there if one does. Tiles come first, so that
/// whoever sees a checkpoint finds what its proofs are made of.
pub(crate) fn make(
    folder: &Folder,
    tiling: &mut Tiling,
    origin: &str,
    signer: &dyn Signer,
) -> Result<SignedCheckpoint, CheckpointError> {
    let checkpoint = Checkpoint {
        origin: origin.to_owned(),
        size: tiling.size(),
        root: tiling.root(),
    };
    let path = path_of(checkpoint.size);
    if folder.root.try_exists(&path)? {
        let stands = read(&folder.root, checkpoint.size)?;
        return stands
            .filter(|stands| stands.checkpoint == checkpoint)
            .ok_or(CheckpointError::Differs);
    }
    tiling.settle_with_partial()?;
    let note = note::sign(origin, &checkpoint.to_text(), signer)?;
    if !folder.root.try_exists(FOLDER)? {
        folder.root.create_dir_all(FOLDER)?;
        folder.disk.sync_folder(&folder.root, Path::new(""))?;
    }
    folder.write_atomically(&path, note.as_bytes())?;
    Ok(SignedCheckpoint { checkpoint, note })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::tests::TestKey;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "nephron/st-marys/0011223344556677".to_owned(),
            size: 20_852_163,
            root: Digest::of(b"root"),
        }
    }

    #[test]
    fn a_checkpoint_reads_as_it_was_written() {
        let checkpoint = checkpoint();
        let text = checkpoint.to_text();
        assert_eq!(Checkpoint::parse(&text), Some(checkpoint.clone()));
        assert_eq!(
            Checkpoint::parse(&format!("{text}another line\n")),
            Some(checkpoint)
        );
        for altered in [
            text.replace("20852163", "020852163"),
            text.replace("20852163", "+20852163"),
            text.replace("20852163", "9007199254740992"),
            text.replace("=\n", "\n"),
            text.replace("nephron/st-marys/0011223344556677", ""),
            format!("{text}\nline\n"),
            text.trim_end().to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&altered), None, "{altered}");
        }
    }

    #[test]
    fn a_checkpoint_that_is_signed_for_another_log_is_none_of_this_one() {
        let (checkpoint, signer) = (checkpoint(), TestKey::new(1));
        let signed_as = |name: &str| note::sign(name, &checkpoint.to_text(), &signer).unwrap();
        let key = |name: &str| VerifierKey::new(name, signer.public_key()).unwrap();
        let own = key(&checkpoint.origin);
        let opened = SignedCheckpoint::open(&signed_as(&checkpoint.origin), &own).unwrap();
        assert_eq!(opened.checkpoint, checkpoint);
        let other = "nephron/general/0011223344556677";
        assert_eq!(
            SignedCheckpoint::open(&signed_as(other), &key(other)),
            Err(NoteError::Unsigned)
        );
    }

    #[test]
    fn a_name_tells_logs_of_one_tenant_apart() {
        let tenant = "st-marys".parse().unwrap();
        let one = origin(&tenant, &Digest::of(b"one"));
        assert_eq!(one, "nephron/st-marys/7692c3ad3540bb80");
        assert_ne!(one, origin(&tenant, &Digest::of(b"other")));
    }
}

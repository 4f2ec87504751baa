//! What can be wrong with a log, named so that a person finds the place.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The first entry that it breaks, by sequence, where it breaks one.
    pub entry: Option<u64>,
    /// The entry after the last that it may break, where that is known. The same as `entry` if it breaks none, and what is wrong stands
    /// before that one.
    #[serde(default)]
    pub entry_end: Option<u64>,
    /// The file, relative to the log's folder.
    pub file: String,
    /// Bytes from the start of the file to the damaged structure, where that is known.
    pub offset: Option<u64>,
    /// Bytes from the start of the file to after the last that may be damaged, where that is known.
    #[serde(default)]
    pub offset_end: Option<u64>,
    /// What is wrong there.
    pub what: FaultKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The file or folder cannot be read.
    Unreadable,
    /// A segment of the journal is not there.
    SegmentMissing,
    /// A segment's first bytes are not a segment header, or fail their checksum.
    SegmentHeader,
    /// A segment stands where another belongs: its number is not the one in its name.
    SegmentMisplaced,
    /// A segment is longer or shorter than its header says.
    SegmentLength,
    /// A segment does not continue the chain where the one before it ended.
    SegmentChain,
    /// A frame fails its checksum, or there is none where one must be.
    FrameDamaged,
    /// The last frames of the journal were never finished: a crash, or damage to entries not yet seen by anyone.
    TornTail,
    /// Bytes that are not zero stand after the last frame of a segment.
    TrailingBytes,
    /// A header is not canonical JSON of the known form.
    HeaderMalformed,
    /// A frame holds another entry than the one that belongs there: moved, repeated or left out.
    OutOfOrder,
    /// An entry's hash is not the one that its successor names.
    ChainBroken,
    /// The sealed payload has another digest than its header says.
    PayloadDiffers,
    /// A sealed payload is gone, and no later entry says that it was pruned.
    PayloadMissing,
    /// A payload was pruned before it had been kept for six years.
    PrunedEarly,
    /// Payloads were pruned while the log was on legal hold.
    PrunedOnHold,
    /// The records have another digest than their header says, or do not decode.
    RecordsDiffer,
    /// The entry belongs to another tenant's log.
    OtherTenant,
    /// The entry is older than the one before it.
    TimeBackwards,
    /// The first entry is not `log-opened`, or a later one is.
    FirstEntry,
    /// A file or folder that no log has.
    UnknownFile,
    /// `closed.json` is not a seal in canonical form.
    SealMalformed,
    /// `closed.json` names another tenant or head than the journal has.
    SealDiffers,
    /// A file that `closed.json` names is not there.
    FileMissing,
    /// A file differs from what `closed.json` says of it, or is not named there.
    FileAltered,
    /// A seal was asked for, and there is none.
    NotSealed,
    /// The view holds something else than the journal.
    ViewDiffers,
    /// The view knows an entry that the journal has not: the journal lost it.
    ViewAhead,
    /// The log does not hold the head that was expected of it.
    HeadDiffers,
    /// A tile of the tree holds something else than the journal.
    TileDiffers,
    /// The tree knows more entries than the journal: the journal lost them.
    TileAhead,
    /// A file is no checkpoint in the form of C2SP, or not of the size in its name.
    CheckpointMalformed,
    /// A checkpoint was not signed by the given key, or was altered since.
    CheckpointUnsigned,
    /// A checkpoint is of another log.
    CheckpointOrigin,
    /// A checkpoint covers more entries than the log has: the log was cut, or an older copy put in its place.
    CheckpointAhead,
    /// A checkpoint has another root than the log had at its size: an entry below was altered, or the log forked.
    CheckpointDiffers,
    /// A key was given, and there is no checkpoint that it signed.
    CheckpointMissing,
    /// A cosignature says that it is of a witness of the policy, and is not, or was altered since.
    CosignatureBad,
    /// The policy's quorum did not vouch for this log.
    QuorumNotMet,
}

impl Fault {
    /// One of a whole file or folder.
    pub(crate) fn of_file(file: &str, what: FaultKind) -> Self {
        Self {
            entry: None,
            entry_end: None,
            file: file.to_owned(),
            offset: None,
            offset_end: None,
            what,
        }
    }

    /// The same, breaking these entries.
    pub(crate) fn of_entries(self, entries: Range<u64>) -> Self {
        Self {
            entry: Some(entries.start),
            entry_end: Some(entries.end),
            ..self
        }
    }

    /// The same, breaking this entry, and who knows how many behind it.
    pub(crate) fn at_entry(self, entry: u64) -> Self {
        Self {
            entry: Some(entry),
            ..self
        }
    }

    /// The same, in these bytes.
    pub(crate) fn of_bytes(self, bytes: Range<u64>) -> Self {
        Self {
            offset: Some(bytes.start),
            offset_end: Some(bytes.end),
            ..self
        }
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "cannot be read",
            Self::SegmentMissing => "segment is missing",
            Self::SegmentHeader => "segment header is damaged",
            Self::SegmentMisplaced => "segment stands in another's place",
            Self::SegmentLength => "segment has another length than its header says",
            Self::SegmentChain => "segment does not continue the chain",
            Self::FrameDamaged => "frame is damaged",
            Self::TornTail => "last frames are unfinished",
            Self::TrailingBytes => "bytes stand after the last frame",
            Self::HeaderMalformed => "entry header is not canonical",
            Self::OutOfOrder => "another entry stands in this one's place",
            Self::ChainBroken => "entry hash is not the one that its successor names",
            Self::PayloadDiffers => "sealed payload differs from its digest",
            Self::PayloadMissing => "sealed payload is gone, and no later entry says that it was pruned",
            Self::PrunedEarly => "payloads were pruned before they had been kept for six years",
            Self::PrunedOnHold => "payloads were pruned while the log was on legal hold",
            Self::RecordsDiffer => "records differ from their digest",
            Self::OtherTenant => "entry belongs to another tenant",
            Self::TimeBackwards => "entry is older than the one before it",
            Self::FirstEntry => "log does not begin as a log does",
            Self::UnknownFile => "file does not belong here",
            Self::SealMalformed => "seal is malformed",
            Self::SealDiffers => "seal does not fit the journal",
            Self::FileMissing => "sealed file is missing",
            Self::FileAltered => "file differs from its seal",
            Self::NotSealed => "log is not sealed",
            Self::ViewDiffers => "view differs from the journal",
            Self::ViewAhead => "view knows a later entry than the journal",
            Self::HeadDiffers => "log does not hold the expected head",
            Self::TileDiffers => "tile of the tree differs from the journal",
            Self::TileAhead => "tree knows more entries than the journal",
            Self::CheckpointMalformed => "checkpoint is malformed",
            Self::CheckpointUnsigned => "checkpoint is not signed by the given key",
            Self::CheckpointOrigin => "checkpoint is of another log",
            Self::CheckpointAhead => {
                "log is shorter than its checkpoint: it was cut, or an older copy stands in its place"
            }
            Self::CheckpointDiffers => {
                "log differs from its checkpoint: it was altered below, or forked"
            }
            Self::CheckpointMissing => "no checkpoint of the given key",
            Self::CosignatureBad => "cosignature is not of the witness that it names",
            Self::QuorumNotMet => "too few witnesses vouch for this log",
        })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.entry, self.entry_end) {
            (Some(entry), Some(end)) if end <= entry => write!(f, "before entry {entry}: ")?,
            (Some(entry), Some(end)) if end > entry.saturating_add(1) => {
                write!(f, "entries {entry} to {}: ", end - 1)?;
            }
            (Some(entry), _) => write!(f, "entry {entry}: ")?,
            (None, _) => {}
        }
        write!(f, "{} in `{}`", self.what, self.file)?;
        match (self.offset, self.offset_end) {
            (Some(offset), Some(end)) if end > offset.saturating_add(1) => {
                write!(f, " at bytes {offset} to {}", end - 1)
            }
            (Some(offset), _) => write!(f, " at byte {offset}"),
            (None, _) => Ok(()),
        }
    }
}

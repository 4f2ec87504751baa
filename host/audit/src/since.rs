//! Where a verification begins that takes what a checkpoint covers from the checkpoint: at the segment that holds the last
//! entry of these.
//!
//! The left edge of the tree comes from the tiles on disk. Nobody vouches for them, and nobody needs to: with the entries from
//! there on they lead to the root that the checkpoint states, or they do not.

use std::io::Read as _;

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use crate::frame::{SEGMENT_HEADER, SegmentHeader};
use crate::journal::segment_path;
use crate::tiles::DiskTiles;
use crate::tree::{Edge, Prover, is_consistent};
use crate::walk::Start;
use crate::{Checkpoint, Head};

/// What a verification did not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unchecked {
    /// Entries before the first that was read.
    EntriesBefore,
    /// Stored checkpoints of no more than those.
    CheckpointsBefore,
    /// Requests, grants and intents that began before it.
    StoryBefore,
    /// A legal hold that began before it.
    HoldBefore,
    /// The view.
    View,
    /// Files of a closed log that are none of the segments that were read.
    OtherFiles,
}

impl Unchecked {
    /// Of a verification since a checkpoint.
    pub(crate) const SINCE: [Self; 6] = [
        Self::EntriesBefore,
        Self::CheckpointsBefore,
        Self::StoryBefore,
        Self::HoldBefore,
        Self::View,
        Self::OtherFiles,
    ];
}

impl std::fmt::Display for Unchecked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EntriesBefore => {
                "entries before these: the checkpoint speaks for their headers; whether the journal still holds them, with their payloads, was not read"
            }
            Self::CheckpointsBefore => "stored checkpoints that cover no more than those",
            Self::StoryBefore => {
                "whether a request, grant or intent that began before these was there when an entry speaks of it"
            }
            Self::HoldBefore => "whether payloads were pruned on a legal hold that began before these",
            Self::View => "the view",
            Self::OtherFiles => "the files that the seal names, but the segments from there on",
        })
    }
}

/// A beginning within a log.
pub(crate) struct Begun {
    pub(crate) start: Start,
    /// The tree of the entries before.
    pub(crate) edge: Edge,
}

/// The last segment that begins below `size`, and the tree of what is before it. Nothing if that is the first, or the tiles do not
/// reach so far: then everything is read.
pub(crate) fn begin(root: &Dir, size: u64) -> Option<Begun> {
    let mut numbers = Vec::new();
    for file in root.read_dir("journal").ok()? {
        let name = file.ok()?.file_name().to_string_lossy().into_owned();
        let number: Option<u64> = name.strip_suffix(".wal").and_then(|it| it.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    let mut headers = numbers
        .into_iter()
        .rev()
        .filter_map(|number| header(root, number));
    let header = headers.find(|header| header.first < size)?;
    if header.first == 0 {
        return None;
    }
    Some(Begun {
        edge: Edge::of_tiles(header.first, &DiskTiles(root))?,
        start: Start {
            segment: header.number,
            head: Head {
                entries: header.first,
                hash: header.previous,
            },
        },
    })
}

/// Whether the tiles prove that a log that was in the state `new` had been in the state `old`, and only grew. The proof holds whoever
/// wrote the tiles.
pub(crate) fn grew(root: &Dir, old: &Checkpoint, new: &Checkpoint) -> bool {
    let tiles = DiskTiles(root);
    let path = Prover::new(&tiles, new.size).consistency(old.size);
    let leads = |path: Vec<_>| is_consistent((old.size, old.root), (new.size, new.root), &path);
    old.origin == new.origin && path.is_some_and(leads)
}

/// What a segment says of itself. The walk says what is wrong with it, if something is.
pub(crate) fn header(root: &Dir, number: u64) -> Option<SegmentHeader> {
    let file = root.open(segment_path(number)).ok()?;
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
    let length = SEGMENT_HEADER as u64;
    file.take(length).read_to_end(&mut bytes).ok()?;
    SegmentHeader::decode(&bytes).filter(|header| header.number == number)
}

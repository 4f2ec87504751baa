//! Reading the journal back: one entry by its place, or many in order.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use crate::frame::{FRAME_HEADER, Frame, Next, SEGMENT_HEADER, length_at, u64_at};
use crate::{Entry, Fault, FaultKind};

/// Bytes read at once when entries are read in order.
const CHUNK: u64 = 64 << 10;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// Number of the segment: `journal/<number, eight digits>.wal`.
    pub segment: u64,
    /// Bytes from the start of that file.
    pub offset: u64,
}

/// An entry cannot be read back. The caller refuses whatever hangs on it (I6).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file system refused.
    #[error("`{file}` cannot be read: {reason}")]
    Storage {
        /// The file, relative to the log's folder.
        file: String,
        /// What the file system said.
        reason: io::ErrorKind,
    },
    /// The bytes are not what was written.
    #[error("{0}; stop writing to this log and run `audit-verify` on its folder")]
    Damaged(Box<Fault>),
}

/// One segment, as the readers know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) size: u64,
}

/// The segments of one log, in order.
pub(crate) struct Journal {
    root: Arc<Dir>,
    segments: RwLock<Vec<Segment>>,
}

/// The path of a segment, relative to the log's folder.
pub(crate) fn segment_path(number: u64) -> PathBuf {
    Path::new("journal").join(format!("{number:08}.wal"))
}

/// The path of a segment in text, for faults.
pub(crate) fn segment_name(number: u64) -> String {
    format!("journal/{number:08}.wal")
}

impl Journal {
    pub(crate) fn new(root: Arc<Dir>, segments: Vec<Segment>) -> Arc<Self> {
        let segments = RwLock::new(segments);
        Arc::new(Self { root, segments })
    }

    /// The log's folder.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// Makes a new last segment known. It may be written to from now on.
    pub(crate) fn add(&self, segment: Segment) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        segments.push(segment);
    }

    /// Whether the entry `sequence` stands in the segment that is written to.
    pub(crate) fn is_in_last(&self, sequence: u64) -> bool {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.last().is_some_and(|last| last.first <= sequence)
    }

    /// The segments that hold entries of `range`, but not the one that is written to.
    pub(crate) fn numbers_in(&self, range: Range<u64>) -> Vec<u64> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let next = segments.iter().skip(1);
        let pairs = segments.iter().zip(next);
        pairs
            .filter(|(segment, next)| segment.first < range.end && range.start < next.first)
            .map(|(segment, _)| segment.number)
            .collect()
    }

    /// The entry at `at`, whose sequence must be `sequence`.
    pub(crate) fn read(&self, sequence: u64, at: Location) -> Result<Entry, ReadError> {
        let damaged = |what| damaged(sequence, at, what);
        let segment = self
            .segment(at.segment)
            .ok_or_else(|| damaged(FaultKind::OutOfOrder))?;
        let file = self.open(at.segment)?;
        let left = segment.size.saturating_sub(at.offset);
        let mut bytes = read_at(&file, at, left.min(4096))?;
        let length = length_at(&bytes).and_then(|length| u64::try_from(length).ok());
        let length = length.filter(|length| *length <= left);
        let length = length.ok_or_else(|| damaged(FaultKind::FrameDamaged))?;
        if length > 4096 {
            bytes = read_at(&file, at, length)?;
        }
        match Frame::decode(&bytes) {
            Next::Frame(frame) if frame.sequence == sequence => {
                Entry::of_frame(&frame).map_err(damaged)
            }
            Next::Frame(_) => Err(damaged(FaultKind::OutOfOrder)),
            Next::Blank | Next::Damaged => Err(damaged(FaultKind::FrameDamaged)),
        }
    }

    /// Where the entry `sequence` stands: found in its segment by stepping from frame to frame.
    pub(crate) fn find(&self, sequence: u64) -> Result<Location, ReadError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first <= sequence);
        let segment = after
            .checked_sub(1)
            .and_then(|index| segments.get(index))
            .copied();
        drop(segments);
        let start = |number| Location {
            segment: number,
            offset: SEGMENT_HEADER as u64,
        };
        let segment =
            segment.ok_or_else(|| damaged(sequence, start(0), FaultKind::SegmentMissing))?;
        let mut at = start(segment.number);
        let file = self.open(segment.number)?;
        let mut bytes = Vec::new();
        let mut base = at.offset;
        loop {
            let inside = usize::try_from(at.offset - base).unwrap_or(usize::MAX);
            let mut head = bytes.get(inside..).unwrap_or_default();
            if head.len() < FRAME_HEADER {
                bytes = read_at(&file, at, CHUNK.min(segment.size.saturating_sub(at.offset)))?;
                base = at.offset;
                head = &bytes;
            }
            let found = u64_at(head, 8);
            let length = length_at(head).and_then(|length| u64::try_from(length).ok());
            let (Some(found), Some(length)) = (found, length) else {
                return Err(damaged(sequence, at, FaultKind::FrameDamaged));
            };
            if found == sequence {
                return Ok(at);
            }
            at.offset += length;
            // A frame is never empty, so this ends; damage makes the numbers jump and is caught here or by the reader.
            if found > sequence || at.offset >= segment.size {
                return Err(damaged(sequence, at, FaultKind::OutOfOrder));
            }
        }
    }

    /// The entries of `range` in order. Every one of them must be durable.
    pub(crate) fn entries(self: &Arc<Self>, range: Range<u64>) -> Entries {
        Entries {
            cursor: Cursor::new(Arc::clone(self), range.start),
            end: range.end,
        }
    }

    fn segment(&self, number: u64) -> Option<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let index = segments.partition_point(|segment| segment.number < number);
        segments
            .get(index)
            .filter(|segment| segment.number == number)
            .copied()
    }

    fn open(&self, number: u64) -> Result<File, ReadError> {
        let file = self.root.open(segment_path(number));
        file.map(cap_std::fs::File::into_std)
            .map_err(|error| storage(number, &error))
    }
}

/// Entries in order, read from the journal. Ends after the first error.
pub struct Entries {
    cursor: Cursor,
    end: u64,
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.next >= self.end {
            return None;
        }
        let entry = self.cursor.step(|_, frame| Entry::of_frame(&frame));
        if entry.is_err() {
            self.end = 0;
        }
        Some(entry)
    }
}

/// A place in the journal that moves on frame by frame.
pub(crate) struct Cursor {
    journal: Arc<Journal>,
    /// Sequence of the next frame.
    next: u64,
    /// Where it stands, once that is known.
    at: Option<Location>,
    file: Option<File>,
    buffer: Vec<u8>,
    /// Offset in the file of the first byte in `buffer`.
    base: u64,
}

impl Cursor {
    /// Before the entry `next`, which need not exist yet.
    pub(crate) const fn new(journal: Arc<Journal>, next: u64) -> Self {
        Self {
            journal,
            next,
            at: None,
            file: None,
            buffer: Vec::new(),
            base: 0,
        }
    }

    /// Reads the next frame, which must be durable, hands it to `each`, and moves on.
    pub(crate) fn step<T>(
        &mut self,
        each: impl FnOnce(Location, Frame<'_>) -> Result<T, FaultKind>,
    ) -> Result<T, ReadError> {
        let mut at = match self.at {
            Some(at) => at,
            None => self.journal.find(self.next)?,
        };
        loop {
            let segment = self.journal.segment(at.segment);
            let size = segment
                .ok_or_else(|| damaged(self.next, at, FaultKind::SegmentMissing))?
                .size;
            self.fill(at, size)?;
            let inside = usize::try_from(at.offset - self.base).unwrap_or(usize::MAX);
            match Frame::decode(self.buffer.get(inside..).unwrap_or_default()) {
                Next::Frame(frame) if frame.sequence == self.next => {
                    let taken = each(at, frame).map_err(|what| damaged(self.next, at, what))?;
                    self.next += 1;
                    at.offset += frame.length as u64;
                    self.at = Some(at);
                    return Ok(taken);
                }
                Next::Frame(_) => return Err(damaged(self.next, at, FaultKind::OutOfOrder)),
                Next::Blank if self.journal.segment(at.segment + 1).is_some() => {
                    at = Location {
                        segment: at.segment + 1,
                        offset: SEGMENT_HEADER as u64,
                    };
                    self.file = None;
                }
                Next::Blank | Next::Damaged => {
                    return Err(damaged(self.next, at, FaultKind::FrameDamaged));
                }
            }
        }
    }

    /// Makes `buffer` hold the frame at `at`. What was read ahead may have been written since, so a frame that does not
    /// decode from the buffer is read again before it is called damaged.
    fn fill(&mut self, at: Location, size: u64) -> Result<(), ReadError> {
        let is_same_file = self.file.is_some();
        let inside = at
            .offset
            .checked_sub(self.base)
            .and_then(|inside| usize::try_from(inside).ok());
        let held = inside
            .and_then(|inside| self.buffer.get(inside..))
            .unwrap_or_default();
        if is_same_file && matches!(Frame::decode(held), Next::Frame(_)) {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.journal.open(at.segment)?,
        };
        let left = size.saturating_sub(at.offset);
        self.buffer = read_at(&file, at, CHUNK.min(left))?;
        let length = length_at(&self.buffer).and_then(|length| u64::try_from(length).ok());
        if let Some(length) = length.filter(|length| *length > CHUNK && *length <= left) {
            self.buffer = read_at(&file, at, length)?;
        }
        self.base = at.offset;
        self.file = Some(file);
        Ok(())
    }
}

fn read_at(file: &File, at: Location, length: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, at.offset) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(storage(at.segment, &error)),
    }
}

fn storage(segment: u64, error: &io::Error) -> ReadError {
    ReadError::Storage {
        file: segment_name(segment),
        reason: error.kind(),
    }
}

fn damaged(entry: u64, at: Location, what: FaultKind) -> ReadError {
    ReadError::Damaged(Box::new(Fault {
        entry: Some(entry),
        offset: Some(at.offset),
        ..Fault::of_file(&segment_name(at.segment), what)
    }))
}

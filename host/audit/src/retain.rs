//! Retention: sealed payloads that were kept long enough are taken away, headers never.
//!
//! The header names the digest of its payload, so chain, tree, checkpoints and proofs stand without it. What is taken away
//! is an entry first, `payloads-pruned`, that names the last entry concerned; when it is durable, the segments before it are
//! written anew, each under another name that then takes the place of the old one. Frames keep their place and length: the
//! payload's bytes are zeros, which take no room on the disk, and a mark in the frame says so. A crash in between is
//! finished by the next opening. A legal hold keeps everything.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use nephron_model::{
    Draft, EntryKind, NotRecorded, Record, Recorder as _, Records as _, RecordsError, Space,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::disk::Folder;
use crate::frame::{Frame, Next, SEGMENT_HEADER, prune_frame};
use crate::journal::{segment_name, segment_path};
use crate::leap::Leap;
use crate::scan::read_segment;
use crate::{Day, Fault, FaultKind, Header, Location, Log, ReadError};

/// Bytes that are written, or left out where all are zero: what file systems call a block.
const BLOCK: usize = 4096;
/// The one record of its space.
pub(crate) const HOLD: &[u8] = b"hold";

/// How long sealed payloads are kept at the least: whole years, and never fewer than six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    years: u32,
}

impl Retention {
    /// What 45 CFR 164.316(b)(2)(i) asks for.
    pub const FLOOR: Self = Self { years: 6 };

    /// So many years; nothing if they are fewer than six.
    #[must_use]
    pub const fn of_years(years: u32) -> Option<Self> {
        match years < Self::FLOOR.years {
            true => None,
            false => Some(Self { years }),
        }
    }

    /// Its years.
    #[must_use]
    pub const fn years(self) -> u32 {
        self.years
    }

    /// No shorter than so many calendar years, whichever they are.
    const fn duration(self) -> Duration {
        let days = self.years as u64 * 365 + self.years.div_ceil(4) as u64;
        Duration::from_secs(days * 86_400)
    }

    /// What is older than this at `now` was kept long enough.
    fn ends_at(self, now: Timestamp) -> Timestamp {
        Timestamp {
            seconds: now.seconds.saturating_sub(self.duration().as_secs()),
            ..now
        }
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}y", self.years)
    }
}

impl std::str::FromStr for Retention {
    type Err = InvalidRetention;

    fn from_str(text: &str) -> Result<Self, InvalidRetention> {
        let years = text.strip_suffix('y').filter(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        // More than a thousand years is a slip of the finger.
        let years = years.and_then(|years| years.parse().ok());
        let years = years.filter(|years| *years <= 1000);
        let years = years.ok_or(InvalidRetention::Malformed)?;
        Self::of_years(years).ok_or(InvalidRetention::BelowFloor)
    }
}

/// A text is no time for which payloads may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRetention {
    /// It is no number of years.
    #[error("expected whole years, such as \"6y\"")]
    Malformed,
    /// It is too short.
    #[error(
        "payloads are kept for six years at the least (45 CFR 164.316(b)(2)(i)): write \"6y\" or more"
    )]
    BelowFloor,
}

/// Who keeps everything of a log, whatever its age, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The person.
    pub by: String,
    /// The reason that was given.
    pub reason: String,
    /// When, RFC 3339.
    pub since: String,
}

/// What retention lets go, or let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prunable {
    /// The last entry that is old enough; nothing if none has a payload to lose.
    pub last: Option<u64>,
    /// Payloads up to there that are still there.
    pub payloads: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Retention was not applied, or a hold not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetainError {
    /// Everything of the log is kept.
    #[error("the log is on hold since {} by {}: {}; nothing of it is pruned until the hold is released", .0.since, .0.by, .0.reason)]
    OnHold(Hold),
    /// There is no hold to release.
    #[error("the log is not on hold")]
    NotOnHold,
    /// The log's time leaps over more than a month without an entry. What is pruned too early because a clock was wrong is gone for good.
    #[error(
        "the log has nothing between {from} and {to}: nothing happened, or the clock was put wrong, and what is pruned by it is gone; if the clock is right, prune once by hand and say what day it is (`nephron audit prune … --today YYYY-MM-DD`)"
    )]
    Leap {
        /// The last time before it.
        from: Timestamp,
        /// The next, or now.
        to: Timestamp,
    },
    /// The day that was said is not the clock's.
    #[error(
        "the clock says {now}, and not {today}: put right whichever is wrong; nothing was pruned"
    )]
    OtherDay {
        /// What was said.
        today: Day,
        /// The log's time.
        now: Timestamp,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The entry could not be written; nothing was changed.
    #[error("it could not be recorded, and nothing was changed")]
    NotRecorded(#[from] NotRecorded),
    /// A segment could not be written anew. What is left is done by the next pruning, or when the log is opened.
    #[error(
        "`{file}` could not be written anew: free space or correct permissions, and prune again"
    )]
    Storage {
        /// The segment.
        file: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl Log {
    /// The hold that the log is on.
    ///
    /// # Errors
    /// [`RetainError::Records`].
    pub fn held(&self) -> Result<Option<Hold>, RetainError> {
        let value = self.read(Space::Hold, HOLD)?;
        let value = value.filter(|value| !value.is_empty());
        let read = value.map(|value| serde_json::from_slice(&value));
        read.transpose().map_err(|_| {
            let reason = "the record of the legal hold is malformed".to_owned();
            RetainError::Records(RecordsError { reason })
        })
    }

    /// Keeps everything of the log until the hold is released. Durable when this returns.
    ///
    /// # Errors
    /// [`RetainError::OnHold`] if it is on one.
    pub fn hold(&self, by: &str, reason: &str) -> Result<(), RetainError> {
        let _retaining = self.retaining();
        if let Some(hold) = self.held()? {
            return Err(RetainError::OnHold(hold));
        }
        let hold = Hold {
            by: by.to_owned(),
            reason: reason.to_owned(),
            since: self.shared().intake.now().to_string(),
        };
        let value = serde_json::to_vec(&hold).map_err(|error| {
            let reason = error.to_string();
            RetainError::Records(RecordsError { reason })
        })?;
        self.change_hold("held", by, reason, value)
    }

    /// Ends the hold. Durable when this returns.
    ///
    /// # Errors
    /// [`RetainError::NotOnHold`].
    pub fn release(&self, by: &str, reason: &str) -> Result<(), RetainError> {
        let _retaining = self.retaining();
        if self.held()?.is_none() {
            return Err(RetainError::NotOnHold);
        }
        self.change_hold("released", by, reason, Vec::new())
    }

    fn change_hold(
        &self,
        outcome: &str,
        by: &str,
        reason: &str,
        value: Vec<u8>,
    ) -> Result<(), RetainError> {
        let mut draft = Draft::new(EntryKind::LegalHold, outcome)
            .fact("by", by)
            .fact("reason", reason);
        draft.records.push(Record {
            space: Space::Hold,
            key: HOLD.to_vec(),
            value,
        });
        let _recorded = self.record(draft).wait()?;
        Ok(())
    }

    /// What pruning by `retention` would take away now. A hold is not looked at.
    ///
    /// # Errors
    /// [`RetainError::Read`].
    pub fn prunable(&self, retention: Retention) -> Result<Prunable, RetainError> {
        Ok(self.older_than(retention.ends_at(self.shared().intake.now()))?)
    }

    /// Takes away the sealed payloads that are older than `retention`. The entry that says so is durable before anything is
    /// changed; where there is nothing to take away, none is made. `today` is the day as a person says it, who is asked for it
    /// where the log's time leaps.
    ///
    /// # Errors
    /// [`RetainError`]. After [`RetainError::Storage`] the rest is taken away by the next call, or when the log is opened.
    pub fn prune(
        &self,
        retention: Retention,
        by: &str,
        reason: &str,
        today: Option<Day>,
    ) -> Result<Prunable, RetainError> {
        let _retaining = self.retaining();
        if let Some(hold) = self.held()? {
            return Err(RetainError::OnHold(hold));
        }
        let shared = self.shared();
        let now = shared.intake.now();
        if let Some(today) = today.filter(|today| !today.is_at(now)) {
            return Err(RetainError::OtherDay { today, now });
        }
        let before = retention.ends_at(now);
        let found = self.older_than(before)?;
        if let Some(last) = found.last {
            if today.is_none()
                && let Some(Leap { from, to }) = self.leap(now)?
            {
                return Err(RetainError::Leap { from, to });
            }
            // What stands in the segment that is written to would stay: the entry begins another.
            if shared.journal.is_in_last(last) {
                shared.rolls.store(true, Ordering::Relaxed);
            }
            let mut draft = Draft::new(EntryKind::PayloadsPruned, "pruned")
                .fact("last", last.to_string())
                .fact("before", before.to_string())
                .fact("retention", retention.to_string())
                .fact("by", by)
                .fact("reason", reason);
            if let Some(today) = today {
                draft = draft.fact("today", today.to_string());
            }
            draft.counts.insert("payloads".to_owned(), found.payloads);
            draft.counts.insert("bytes".to_owned(), found.bytes);
            let from = shared.pruned.load(Ordering::Relaxed);
            let _recorded = self.record(draft).wait()?;
            let taken = shared.journal.numbers_in(from..last + 1);
            shared.unpruned().extend(taken);
            shared.pruned.store(last + 1, Ordering::Relaxed);
        }
        // What an earlier call left, too.
        let end = shared.pruned.load(Ordering::Relaxed);
        let left = shared.unpruned().clone();
        for number in left {
            shared.rewritten.store(true, Ordering::Relaxed);
            take_away(&shared.folder, number, end)?;
            shared.unpruned().remove(&number);
        }
        Ok(found)
    }

    fn older_than(&self, before: Timestamp) -> Result<Prunable, ReadError> {
        let mut found = Prunable::default();
        let from = self.shared().pruned.load(Ordering::Relaxed);
        for entry in self.entries(from..u64::MAX) {
            let entry = entry?;
            if entry.header.time >= before {
                break;
            }
            let bytes = entry.payload.map_or(0, |payload| payload.len() as u64);
            if bytes > 0 {
                found.last = Some(entry.header.sequence);
                found.payloads += 1;
                found.bytes += bytes;
            }
        }
        Ok(found)
    }

    /// One at a time prunes, or changes the hold.
    fn retaining(&self) -> MutexGuard<'_, ()> {
        let retaining = &self.shared().retaining;
        retaining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a segment anew without the payloads of its entries before `end`, unless there are none.
pub(crate) fn take_away(folder: &Folder, number: u64, end: u64) -> Result<(), RetainError> {
    let mut bytes = read_segment(&folder.root, number).map_err(|what| read_error(number, what))?;
    let mut offset = SEGMENT_HEADER;
    let mut is_changed = false;
    while let Next::Frame(frame) = Frame::decode(bytes.get(offset..).unwrap_or_default()) {
        let frame_end = offset + frame.length;
        let is_taken = frame.sequence < end && !frame.is_pruned && !frame.payload.is_empty();
        if is_taken && let Some(frame) = bytes.get_mut(offset..frame_end) {
            is_changed |= prune_frame(frame).is_some();
        }
        offset = frame_end;
    }
    // Where frames end that way, nothing was pruned behind it.
    if bytes
        .get(offset..)
        .unwrap_or_default()
        .iter()
        .any(|byte| *byte != 0)
    {
        return Err(read_error(number, FaultKind::FrameDamaged));
    }
    if !is_changed {
        return Ok(());
    }
    replace(folder, number, &bytes).map_err(|source| RetainError::Storage {
        file: segment_name(number),
        source,
    })
}

fn read_error(number: u64, what: FaultKind) -> RetainError {
    let fault = Fault::of_file(&segment_name(number), what);
    RetainError::Read(ReadError::Damaged(Box::new(fault)))
}

/// Puts `bytes` in a segment's place: after a crash the old one is there or the new one.
fn replace(folder: &Folder, number: u64, bytes: &[u8]) -> io::Result<()> {
    let (disk, root) = (&folder.disk, &folder.root);
    let path = segment_path(number);
    let draft = path.with_extension("tmp");
    let written = (|| {
        let file = disk.create(root, &draft)?;
        for run in runs(bytes) {
            let part = bytes.get(run.clone()).unwrap_or_default();
            disk.write_at(&file, part, run.start as u64)?;
        }
        disk.sync(&file)?;
        disk.rename(root, &draft, &path)?;
        disk.sync_folder(root, Path::new("journal"))
    })();
    if written.is_err() && root.exists(&draft) {
        // The disk may be full: then this is what filled it. What cannot be removed now is when the log is opened.
        drop(disk.remove(root, &draft));
    }
    written
}

/// The blocks that hold more than zeros, side by side, and the last one, which gives the file its length.
fn runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        let end = start + block.len();
        if end < bytes.len() && block.iter().all(|byte| *byte == 0) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            Some(_) | None => runs.push(start..end),
        }
    }
    runs
}

/// Payloads that were taken away, as a walk through the journal meets them and what says so.
#[derive(Default)]
pub(crate) struct PruneCheck {
    /// Payloads that are gone, side by side: the first entry, where it stands, and the last with its end and its time.
    gone: Vec<Gone>,
    /// Whether the payload before was there.
    is_interrupted: bool,
    /// Of each segment the first entry whose payload is there.
    there: Vec<(u64, u64)>,
    /// The last entry up to which payloads may be gone, and the time before which it must be.
    covered: Option<(u64, Timestamp)>,
    /// The log is on legal hold.
    pub(crate) is_held: bool,
    /// Payloads that are gone.
    pub(crate) pruned: u64,
}

#[derive(Clone, Copy)]
struct Gone {
    first: u64,
    at: Location,
    last: u64,
    /// After its frame.
    end: Location,
    time: Timestamp,
}

impl PruneCheck {
    /// Meets an entry; says what is wrong with it if it is one that says of others that they were pruned.
    pub(crate) fn meet(
        &mut self,
        header: &Header,
        frame: &Frame<'_>,
        at: Location,
    ) -> Option<FaultKind> {
        let sequence = header.sequence;
        if frame.is_pruned {
            self.pruned += 1;
            let end = Location {
                offset: at.offset + frame.length as u64,
                ..at
            };
            match self.gone.last_mut().filter(|_| !self.is_interrupted) {
                Some(gone) => {
                    (gone.last, gone.end, gone.time) = (sequence, end, header.time);
                }
                None => self.gone.push(Gone {
                    first: sequence,
                    at,
                    last: sequence,
                    end,
                    time: header.time,
                }),
            }
            self.is_interrupted = false;
        } else if !frame.payload.is_empty() {
            self.is_interrupted = true;
            if self
                .there
                .last()
                .is_none_or(|(segment, _)| *segment != at.segment)
            {
                self.there.push((at.segment, sequence));
            }
        }
        if header.kind == EntryKind::LegalHold {
            self.is_held = header.outcome == "held";
        }
        (header.kind == EntryKind::PayloadsPruned).then(|| self.cover(header))?
    }

    fn cover(&mut self, header: &Header) -> Option<FaultKind> {
        let last = header.facts.get("last").and_then(|last| last.parse().ok());
        let before = header.facts.get("before").and_then(|it| it.parse().ok());
        let (Some(last), Some(before)) = (last, before) else {
            return Some(FaultKind::HeaderMalformed);
        };
        if last >= header.sequence {
            return Some(FaultKind::HeaderMalformed);
        }
        if before > Retention::FLOOR.ends_at(header.time) {
            return Some(FaultKind::PrunedEarly);
        }
        if self.is_held {
            return Some(FaultKind::PrunedOnHold);
        }
        if self.covered.is_none_or(|(covered, _)| covered < last) {
            self.covered = Some((last, before));
        }
        None
    }

    /// The payloads that are gone though no entry behind them says so.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for gone in &self.gone {
            let (entry, what) = match self.covered {
                Some((last, before)) if gone.last <= last => match gone.time < before {
                    true => continue,
                    false => (gone.last, FaultKind::PrunedEarly),
                },
                Some(_) | None => (gone.first.max(self.end()), FaultKind::PayloadMissing),
            };
            let is_first = entry == gone.first;
            let ends_here = is_first && gone.end.segment == gone.at.segment;
            faults.push(Fault {
                entry: Some(entry),
                entry_end: Some(gone.last + 1),
                file: segment_name(gone.at.segment),
                offset: is_first.then_some(gone.at.offset),
                offset_end: ends_here.then_some(gone.end.offset),
                what,
            });
        }
        faults
    }

    /// Entries before this one have had their payloads pruned.
    pub(crate) fn end(&self) -> u64 {
        self.covered.map_or(0, |(last, _)| last + 1)
    }

    /// Of each segment that has payloads the first entry that has one.
    pub(crate) fn there(&self) -> &[(u64, u64)] {
        &self.there
    }

    /// Segments with payloads that were to be taken away and still are there.
    pub(crate) fn unfinished(&self) -> BTreeSet<u64> {
        let there = self.there.iter().filter(|(_, first)| *first < self.end());
        there.map(|(segment, _)| *segment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_years_are_the_floor_and_no_shorter_than_six_calendar_years() {
        assert_eq!(Retention::of_years(5), None);
        for (text, read) in [
            ("6y", Ok(Retention::FLOOR)),
            ("10y", Ok(Retention { years: 10 })),
            ("5y", Err(InvalidRetention::BelowFloor)),
            ("0y", Err(InvalidRetention::BelowFloor)),
            ("6", Err(InvalidRetention::Malformed)),
            ("y", Err(InvalidRetention::Malformed)),
            ("+6y", Err(InvalidRetention::Malformed)),
            ("2192d", Err(InvalidRetention::Malformed)),
            ("99999999999y", Err(InvalidRetention::Malformed)),
        ] {
            assert_eq!(text.parse(), read, "{text}");
        }
        let six = Retention::of_years(6).unwrap();
        assert_eq!((six, six.to_string()), (Retention::FLOOR, "6y".to_owned()));
        for (now, then) in [
            ("2030-03-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2030-02-28T12:00:00Z", "2024-02-28T12:00:00Z"),
            ("2026-11-27T07:00:00Z", "2020-11-27T07:00:00Z"),
        ] {
            let (now, then): (Timestamp, Timestamp) = (now.parse().unwrap(), then.parse().unwrap());
            let ends = six.ends_at(now);
            assert!(
                ends <= then && then.since(ends) <= Duration::from_secs(2 * 86_400),
                "{now}"
            );
        }
    }

    #[test]
    fn only_blocks_that_hold_something_are_written_and_the_last() {
        let mut bytes = vec![0; 5 * BLOCK + 100];
        bytes[0] = 1;
        bytes[BLOCK + 7] = 1;
        bytes[3 * BLOCK] = 1;
        let last = 5 * BLOCK..5 * BLOCK + 100;
        assert_eq!(runs(&bytes), [0..2 * BLOCK, 3 * BLOCK..4 * BLOCK, last]);
    }
}

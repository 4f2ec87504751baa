//! Reads a whole journal from first to last, recomputes everything, and reports whatever does not hold.
//!
//! Opening a log and verifying one go through here, so that they never disagree. Nothing is written, any input is
//! survived, and after damage the walk goes on at the next whole frame.
//!
//! What can be said of an entry without those before it is found by several threads, a segment each (`scan.rs`): an entry
//! names the hash of the one before it, so none has to be hashed before another. How they hang together is looked at here,
//! in order, by one thread. So the walk finds the same whatever the number of threads.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;

use cap_std::fs::Dir;
use nephron_model::{Digest, EntryKind, TenantId, Timestamp};

use crate::entry::Header;
use crate::frame::{Frame, Next, SEGMENT_HEADER, SegmentHeader};
use crate::journal::{Segment, segment_name};
use crate::retain::PruneCheck;
use crate::scan::{Scanned, ScannedEntry, read_segment, scan, scanned};
use crate::{Fault, FaultKind, Head, Location};

/// Faults that are told one by one; a thoroughly broken log has more, and nobody reads them.
const MAX_FAULTS: usize = 1000;
/// How often the tail of a log in use is read again, in case its writer was in the middle of it.
const TAIL_READS: usize = 8;
/// The bytes of a segment before its first frame.
const HEADER: Range<u64> = 0..SEGMENT_HEADER as u64;

/// What the walk found.
pub(crate) struct Walked {
    pub(crate) segments: Vec<Segment>,
    /// The last whole entry.
    pub(crate) head: Head,
    pub(crate) tenant: Option<TenantId>,
    /// Time of the last whole entry.
    pub(crate) time: Timestamp,
    /// Where the next frame goes, in the last segment.
    pub(crate) end: u64,
    /// An unfinished write at the very end. Not among the faults: a crash leaves such, and opening repairs it.
    pub(crate) torn: Option<Torn>,
    pub(crate) prune: PruneCheck,
    pub(crate) faults: Vec<Fault>,
}

/// Bytes after the last whole frame that no later entry vouches for.
#[derive(Clone, Debug)]
pub(crate) struct Torn {
    /// Where they are. The offset is where the next frame belongs; the entry is the one that would stand there.
    pub(crate) fault: Fault,
    pub(crate) segment: u64,
    /// From the first to after the last byte that is not zero.
    pub(crate) bytes: Range<u64>,
}

/// One entry as the walk met it.
pub(crate) struct Met<'a> {
    pub(crate) header: &'a Header,
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) at: Location,
    pub(crate) hash: Digest,
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// The first segment that is read.
    pub(crate) segment: u64,
    /// What stands before it: the entries, and the hash that the first of its own must name.
    pub(crate) head: Head,
}

impl Start {
    /// At the beginning of the log.
    pub(crate) const LOG: Self = Self {
        segment: 0,
        head: Head::START,
    };
}

/// How a journal is walked.
pub(crate) struct Way<'a, P> {
    /// Where it begins.
    pub(crate) start: Start,
    /// The segment before which it ends; without one it goes to the end of the log.
    pub(crate) until: Option<u64>,
    /// Somebody has the log open for writing.
    pub(crate) is_in_use: bool,
    /// How many threads look at entries; with one it is the caller's.
    pub(crate) threads: NonZeroUsize,
    /// What is made of an entry by itself, by any of the threads and in any order.
    pub(crate) prepare: &'a (dyn Fn(&Met<'_>) -> P + Sync),
}

/// Walks the journal below `root`. `each` gets every entry that holds by itself and what was prepared of it, in order;
/// `bytes_done` hears about progress.
pub(crate) fn walk<P: Send>(
    root: &Dir,
    way: &Way<'_, P>,
    each: &mut dyn FnMut(&Met<'_>, P),
    bytes_done: &mut dyn FnMut(u64, u64),
) -> Walked {
    let mut walk = Walk {
        root,
        way,
        each,
        found: Walked {
            segments: Vec::new(),
            head: way.start.head,
            tenant: None,
            time: Timestamp {
                seconds: 0,
                nanoseconds: 0,
            },
            end: 0,
            torn: None,
            prune: PruneCheck::default(),
            faults: Vec::new(),
        },
        link: Some(way.start.head.hash),
        before: None,
        suspect: None,
        unended: Vec::new(),
    };
    let mut numbers = walk.list();
    let mut expected = way.start.segment;
    numbers.retain(|number| *number >= expected && way.until.is_none_or(|until| *number < until));
    // Only the log's own last segment may end in an unfinished write.
    let last = numbers.last().copied().filter(|_| way.until.is_none());
    scanned(root, &numbers, way, |number, read| {
        let number = *number;
        if number != expected {
            walk.lost(expected, None, FaultKind::SegmentMissing);
            walk.link = None;
        }
        expected = number + 1;
        let read = walk.segment(number, read, Some(number) == last);
        bytes_done(read, walk.found.head.entries);
    });
    if let Some((earlier, _)) = walk.suspect.take() {
        walk.push(earlier);
    }
    if let Some(until) = way.until.filter(|until| *until > expected) {
        walk.lost(until, None, FaultKind::SegmentMissing);
    }
    // What says that payloads are gone may stand behind the end.
    if way.until.is_none() {
        for fault in walk.found.prune.faults() {
            walk.push(fault);
        }
    }
    walk.found
}

struct Walk<'a, P> {
    root: &'a Dir,
    way: &'a Way<'a, P>,
    each: &'a mut dyn FnMut(&Met<'_>, P),
    found: Walked,
    /// The hash that the next entry must name, unless damage makes it unknown.
    link: Option<Digest>,
    /// Where the last entry stands: its segment, and its bytes.
    before: Option<(u64, Range<u64>)>,
    /// A broken link: the fault if the earlier entry was altered, and if the later one was. The next entry tells.
    suspect: Option<(Fault, Fault)>,
    /// Faults in which entries were lost, up to the next that is met: their places among the faults.
    unended: Vec<usize>,
}

impl<P> Walk<'_, P> {
    /// The numbers of the segments, in order.
    fn list(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        let folder = match self.root.read_dir("journal") {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return numbers,
            Err(_) => {
                self.push_file("journal", FaultKind::Unreadable);
                return numbers;
            }
        };
        for file in folder {
            let Ok(file) = file else {
                self.push_file("journal", FaultKind::Unreadable);
                continue;
            };
            let name = file.file_name().to_string_lossy().into_owned();
            let is_file = file.file_type().is_ok_and(|it| it.is_file());
            let number = name
                .split_once('.')
                .and_then(|(number, _)| number.parse().ok());
            match number {
                Some(number) if is_file && name == format!("{number:08}.wal") => {
                    numbers.push(number)
                }
                // A segment in the making; whether it belongs to a closed log is the seal's question.
                Some(number) if is_file && name == format!("{number:08}.tmp") => {}
                Some(_) | None => {
                    self.push_file(&format!("journal/{name}"), FaultKind::UnknownFile)
                }
            }
        }
        numbers.sort_unstable();
        numbers
    }

    /// Walks one segment; returns the bytes read.
    fn segment(&mut self, number: u64, read: Result<Scanned<P>, FaultKind>, is_last: bool) -> u64 {
        let Scanned { bytes, entries } = match read {
            Ok(scanned) => scanned,
            Err(what) => {
                self.lost(number, None, what);
                self.link = None;
                return 0;
            }
        };
        let length = bytes.len() as u64;
        self.segment_header(number, &bytes);
        self.found.segments.push(Segment {
            number,
            first: self.found.head.entries,
            size: length,
        });
        self.frames(number, bytes, entries, is_last);
        length
    }

    fn segment_header(&mut self, number: u64, bytes: &[u8]) {
        let Some(header) = SegmentHeader::decode(bytes) else {
            return self.fault_at(number, HEADER, FaultKind::SegmentHeader);
        };
        if header.number != number {
            self.fault_at(number, HEADER, FaultKind::SegmentMisplaced);
        }
        let length = bytes.len() as u64;
        if header.size != length {
            let differing = header.size.min(length)..header.size.max(length);
            let fault = Fault::of_file(&segment_name(number), FaultKind::SegmentLength);
            self.push(fault.of_bytes(differing));
        }
        let is_linked = self.link.is_none_or(|link| link == header.previous);
        if header.first != self.found.head.entries || !is_linked {
            self.fault_at(number, HEADER, FaultKind::SegmentChain);
            self.link = None;
        }
    }

    fn frames(
        &mut self,
        number: u64,
        mut bytes: Vec<u8>,
        mut entries: Vec<ScannedEntry<P>>,
        is_last: bool,
    ) {
        let mut offset = SEGMENT_HEADER;
        let mut reads = 0;
        loop {
            for entry in std::mem::take(&mut entries) {
                offset = entry.end;
                self.entry(entry, &bytes, number);
            }
            let rest = bytes.get(offset..).unwrap_or_default();
            let is_blank = match Frame::decode(rest) {
                Next::Frame(_) => {
                    entries = scan(number, &bytes, offset, self.way.prepare);
                    continue;
                }
                Next::Blank => true,
                Next::Damaged => false,
            };
            if is_blank && rest.iter().all(|byte| *byte == 0) {
                break;
            }
            if is_last && self.is_unfinished(rest) {
                // A writer that is at work may just have been here.
                if self.way.is_in_use && reads < TAIL_READS {
                    reads += 1;
                    if let Ok(again) = read_segment(self.root, number)
                        && again != bytes
                    {
                        bytes = again;
                        continue;
                    }
                }
                self.found.torn = Some(self.torn(number, offset, rest, is_blank));
                break;
            }
            let next = Frame::find(rest, 1).map(|(at, frame)| (at, frame.sequence));
            let what = if next.is_none() && is_blank {
                FaultKind::TrailingBytes
            } else {
                FaultKind::FrameDamaged
            };
            self.link = None;
            let start = offset as u64;
            let Some((at, sequence)) = next else {
                self.lost(number, Some(start..start + written(rest)), what);
                break;
            };
            offset += at;
            let entry = self.found.head.entries;
            let fault = Fault::of_file(&segment_name(number), what);
            let fault = fault.of_entries(entry..sequence.max(entry));
            self.push(fault.of_bytes(start..offset as u64));
            self.found.head.entries = entry.max(sequence);
        }
        self.found.end = offset as u64;
    }

    /// Whether nothing after the damage shows that the entry there was ever acknowledged: no whole frame follows, or only
    /// frames that were on their way to the disk together with it.
    fn is_unfinished(&self, rest: &[u8]) -> bool {
        let mut from = 1;
        while let Some((at, frame)) = Frame::find(rest, from) {
            if frame.group > self.found.head.entries {
                return false;
            }
            from = at + frame.length;
        }
        true
    }

    fn torn(&self, number: u64, offset: usize, rest: &[u8], is_blank: bool) -> Torn {
        let offset = offset as u64;
        let bytes = offset..offset + written(rest);
        let what = if is_blank {
            FaultKind::TrailingBytes
        } else {
            FaultKind::TornTail
        };
        Torn {
            fault: Fault::of_file(&segment_name(number), what)
                .at_entry(self.found.head.entries)
                .of_bytes(bytes.clone()),
            segment: number,
            bytes,
        }
    }

    fn entry(&mut self, entry: ScannedEntry<P>, bytes: &[u8], number: u64) {
        let place = entry.start as u64..entry.end as u64;
        let expected = self.found.head.entries;
        self.end_lost(entry.sequence);
        if entry.sequence != expected {
            let fault = Fault::of_file(&segment_name(number), FaultKind::OutOfOrder);
            let fault = fault.of_bytes(place.clone());
            self.push(match entry.sequence > expected {
                true => fault.of_entries(expected..entry.sequence),
                false => fault.at_entry(expected),
            });
            self.link = None;
            if entry.sequence < expected {
                return;
            }
            self.found.head.entries = entry.sequence;
        }
        let frame = bytes.get(entry.start..entry.end).and_then(Frame::of_whole);
        match (entry.read, frame) {
            (Ok((header, prepared)), Some(frame)) => {
                self.check(&header, entry.hash, number, &place);
                let met = Met {
                    header: &header,
                    frame: &frame,
                    at: Location {
                        segment: number,
                        offset: place.start,
                    },
                    hash: entry.hash,
                };
                if let Some(what) = self.found.prune.meet(&header, &frame, met.at) {
                    self.entry_fault(number, &place, what);
                }
                (self.each)(&met, prepared);
            }
            (read, _) => {
                let what = read.err().unwrap_or(FaultKind::FrameDamaged);
                self.entry_fault(number, &place, what);
                self.suspect = None;
                self.link = None;
            }
        }
        // Not `+ 1` on a hostile number without a look.
        self.found.head = Head {
            entries: entry.sequence.saturating_add(1),
            hash: entry.hash,
        };
        self.before = Some((number, place));
    }

    /// Holds an entry against those before it.
    fn check(&mut self, header: &Header, hash: Digest, number: u64, place: &Range<u64>) {
        let is_linked = self.link.is_none_or(|link| link == header.previous);
        if let Some((earlier, later)) = self.suspect.take() {
            // Whoever's hash the others agree with was not altered.
            let fault = if is_linked { earlier } else { later };
            self.push(fault);
        } else if !is_linked {
            let broken = |entry: u64, (number, bytes): (u64, Range<u64>)| {
                let fault = Fault::of_file(&segment_name(number), FaultKind::ChainBroken);
                fault.of_entries(entry..entry + 1).of_bytes(bytes)
            };
            let later = (number, place.clone());
            let earlier = self.before.clone().unwrap_or_else(|| later.clone());
            let sequence = header.sequence;
            self.suspect = Some((
                broken(sequence.saturating_sub(1), earlier),
                broken(sequence, later),
            ));
        }
        self.link = Some(hash);
        if (header.kind == EntryKind::LogOpened) != (header.sequence == 0) {
            self.entry_fault(number, place, FaultKind::FirstEntry);
        }
        if header.time < self.found.time {
            self.entry_fault(number, place, FaultKind::TimeBackwards);
        }
        self.found.time = header.time;
        match &self.found.tenant {
            Some(tenant) if *tenant != header.tenant => {
                self.entry_fault(number, place, FaultKind::OtherTenant);
            }
            Some(_) => {}
            None => self.found.tenant = Some(header.tenant.clone()),
        }
    }

    /// Reports a fault before the entry that comes next.
    fn fault_at(&mut self, number: u64, bytes: Range<u64>, what: FaultKind) {
        let fault = Fault::of_file(&segment_name(number), what);
        let fault = fault.at_entry(self.found.head.entries);
        self.push(fault.of_bytes(bytes));
    }

    /// Reports a fault of the entry that comes next, and of no other.
    fn entry_fault(&mut self, number: u64, bytes: &Range<u64>, what: FaultKind) {
        let entry = self.found.head.entries;
        let fault = Fault::of_file(&segment_name(number), what);
        let fault = fault.of_entries(entry..entry.saturating_add(1));
        self.push(fault.of_bytes(bytes.clone()));
    }

    /// Reports a fault from the entry on that comes next, up to the one that will be met next.
    fn lost(&mut self, number: u64, bytes: Option<Range<u64>>, what: FaultKind) {
        let fault = Fault::of_file(&segment_name(number), what);
        let fault = fault.at_entry(self.found.head.entries);
        self.unended.push(self.found.faults.len());
        self.push(match bytes {
            Some(bytes) => fault.of_bytes(bytes),
            None => Fault {
                offset: Some(0),
                ..fault
            },
        });
    }

    /// What was lost ends before the entry that was met.
    fn end_lost(&mut self, met: u64) {
        for place in self.unended.drain(..) {
            if let Some(fault) = self.found.faults.get_mut(place) {
                fault.entry_end = Some(fault.entry.unwrap_or_default().max(met));
            }
        }
    }

    fn push_file(&mut self, file: &str, what: FaultKind) {
        self.push(Fault::of_file(file, what));
    }

    fn push(&mut self, fault: Fault) {
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(fault);
        }
    }
}

/// Bytes up to the last that is not zero.
fn written(bytes: &[u8]) -> u64 {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}

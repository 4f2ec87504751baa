//! What the entries of a segment say by themselves, whatever stands before them: found by several threads, given back in
//! the order of the journal.

use std::io::Read as _;

use cap_std::fs::Dir;
use nephron_model::Digest;

use crate::entry::{Header, entry_hash, parse_header};
use crate::frame::{Frame, MAX_SEGMENT, Next, SEGMENT_HEADER};
use crate::journal::segment_path;
use crate::threads::in_order;
use crate::walk::{Met, Way};
use crate::{FaultKind, Location};

/// A segment, and its entries as far as one whole frame follows another.
pub(crate) struct Scanned<P> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<ScannedEntry<P>>,
}

/// A whole frame.
pub(crate) struct ScannedEntry<P> {
    /// Where it begins in its segment.
    pub(crate) start: usize,
    /// Where the next begins.
    pub(crate) end: usize,
    pub(crate) sequence: u64,
    pub(crate) hash: Digest,
    /// Its header and what was made of it, if it holds by itself.
    pub(crate) read: Result<(Header, P), FaultKind>,
}

/// Reads and scans the segments `numbers`, and hands each with its number to `take`, in order.
pub(crate) fn scanned<P: Send>(
    root: &Dir,
    numbers: &[u64],
    way: &Way<'_, P>,
    take: impl FnMut(&u64, Result<Scanned<P>, FaultKind>),
) {
    let scan_one = |number: &u64| {
        let bytes = read_segment(root, *number)?;
        let entries = scan(*number, &bytes, SEGMENT_HEADER, way.prepare);
        Ok(Scanned { bytes, entries })
    };
    in_order(way.threads, numbers, scan_one, take);
}

/// The entries of the segment `number` from the byte `from` on, up to the first place where no whole frame stands.
pub(crate) fn scan<P>(
    number: u64,
    bytes: &[u8],
    from: usize,
    prepare: &(dyn Fn(&Met<'_>) -> P + Sync),
) -> Vec<ScannedEntry<P>> {
    let mut entries = Vec::new();
    let mut start = from;
    while let Next::Frame(frame) = Frame::decode(bytes.get(start..).unwrap_or_default()) {
        let hash = entry_hash(frame.header);
        let read = parse_header(&frame).map(|header| {
            let at = Location {
                segment: number,
                offset: start as u64,
            };
            let prepared = prepare(&Met {
                header: &header,
                frame: &frame,
                at,
                hash,
            });
            (header, prepared)
        });
        let end = start + frame.length;
        entries.push(ScannedEntry {
            start,
            end,
            sequence: frame.sequence,
            hash,
            read,
        });
        start = end;
    }
    entries
}

pub(crate) fn read_segment(root: &Dir, number: u64) -> Result<Vec<u8>, FaultKind> {
    let file = root
        .open(segment_path(number))
        .map_err(|_| FaultKind::Unreadable)?;
    let length = file.metadata().map_err(|_| FaultKind::Unreadable)?.len();
    if length > MAX_SEGMENT {
        return Err(FaultKind::SegmentLength);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let read = file.take(MAX_SEGMENT).read_to_end(&mut bytes);
    read.map_err(|_| FaultKind::Unreadable)?;
    Ok(bytes)
}

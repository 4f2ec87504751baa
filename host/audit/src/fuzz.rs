//! What holds for any bytes at all. Each function is a target of `cargo fuzz` (`tests/fuzz`), and panics where its property
//! does not hold; the tests replay the corpus.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics where its property does not hold, and is there for that"
)]

#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;
mod vouched;

pub use vouched::{export, log, notes, proofs};

use nephron_model::{Digest, Record, Space};

use crate::entry::{Unplaced, entry_hash, parse_header};
use crate::frame::{Frame, Next, SegmentHeader, decode_records, encode_records, prune_frame};
use crate::{Head, Header};
use bytes::Bytes;

/// Canonical encoding of entries: a header has one form, no other bytes are taken for it, and that form is canonical to
/// another implementation of RFC 8785. An entry that is put into its place later has that form too.
pub fn header(data: &[u8]) {
    let Ok(mut header) = serde_json::from_slice::<Header>(data) else {
        return;
    };
    let form = header.to_bytes().unwrap_or_default();
    let again: Option<Header> = serde_json::from_slice(&form).ok();
    assert_eq!(again.as_ref(), Some(&header), "its form is read as another");
    let frame = Frame {
        sequence: header.sequence,
        group: header.sequence,
        header: data,
        payload: &[],
        records: &[],
        is_pruned: false,
        length: 0,
    };
    let is_bare = |digest: Option<Digest>| digest.is_none_or(|it| it == Digest::of(&[]));
    if is_bare(header.payload) && is_bare(header.records) {
        let is_taken = parse_header(&frame).is_ok();
        if is_taken {
            assert_eq!(form, data, "another form is taken");
            let value: Option<serde_json::Value> = serde_json::from_slice(data).ok();
            let canonical = value.and_then(|it| serde_json_canonicalizer::to_vec(&it).ok());
            assert_eq!(canonical.as_deref(), Some(data), "it is not canonical");
        }
    }
    let place = (header.previous, header.sequence, header.time);
    (header.previous, header.sequence) = (Head::START.hash, 0);
    (header.time.seconds, header.time.nanoseconds) = (0, 0);
    let placed = Unplaced::of(&header).map(|it| it.place(place.0, place.1, place.2));
    let hash = entry_hash(&form);
    assert_eq!(placed, Some((form, hash)), "it changes in its place");
}

/// The bytes of the journal: what was encoded is decoded, what is decoded is encoded the same, a payload is taken out without
/// a trace in anything else, and no flipped bit passes.
pub fn frames(data: &[u8]) {
    decoded(data);
    let mut bytes = Bytes::new(data);
    let mut records = Vec::new();
    for _ in 0..bytes.below(4) {
        records.push(Record {
            space: Space::ALL
                .get(bytes.below(Space::ALL.len()))
                .copied()
                .unwrap_or(Space::Grant),
            key: bytes.piece().to_vec(),
            value: bytes.piece().to_vec(),
        });
    }
    let encoded = encode_records(&records).unwrap_or_default();
    assert!(decode_records(&encoded).is_ok_and(|it| it == records));

    let segment = SegmentHeader {
        number: u64::from_le_bytes(bytes.array()),
        first: u64::from_le_bytes(bytes.array()),
        size: u64::from_le_bytes(bytes.array()),
        previous: Digest::of(bytes.piece()),
    };
    let mut head = segment.encode();
    assert_eq!(SegmentHeader::decode(&head), Some(segment));
    flip(&mut head, &mut bytes);
    assert_eq!(SegmentHeader::decode(&head), None, "a flipped bit passes");

    let before = bytes.piece();
    let mut frame = Frame {
        sequence: u64::from_le_bytes(bytes.array()),
        group: u64::from_le_bytes(bytes.array()),
        header: bytes.piece(),
        payload: bytes.piece(),
        records: &encoded,
        is_pruned: false,
        length: 0,
    };
    let mut written = before.to_vec();
    frame.length = frame.encode(&mut written).unwrap_or_default();
    let whole = written.split_off(before.len());
    is(&whole, &frame);

    // Found again after whatever stands before it, unless that holds a frame itself.
    let behind = [before, &whole].concat();
    let found = Frame::find(&behind, 0).map(|(at, _)| at);
    assert!(
        found.is_some_and(|at| at <= before.len()),
        "it is not found"
    );

    let mut pruned = whole.clone();
    assert!(prune_frame(&mut pruned).is_some());
    let zeros = vec![0; frame.payload.len()];
    let hidden = Frame {
        payload: &zeros,
        is_pruned: true,
        ..frame
    };
    is(&pruned, &hidden);

    let mut flipped = whole;
    flip(&mut flipped, &mut bytes);
    assert!(
        !matches!(Frame::decode(&flipped), Next::Frame(_)),
        "a flipped bit passes"
    );
}

/// Whatever is read from arbitrary bytes is written as it stood there.
fn decoded(data: &[u8]) {
    if let Some((at, frame)) = Frame::find(data, 0) {
        let there = data.get(at..at + frame.length).unwrap_or_default();
        let mut again = Vec::new();
        assert_eq!(frame.encode(&mut again), Some(frame.length));
        if frame.is_pruned {
            assert!(prune_frame(&mut again).is_some());
        }
        assert_eq!(again, there);
    }
    if let Ok(records) = decode_records(data) {
        assert_eq!(encode_records(&records).as_deref(), Some(data));
    }
}

fn is(bytes: &[u8], expected: &Frame<'_>) {
    let read = match Frame::decode(bytes) {
        Next::Frame(frame) => Some(frame),
        Next::Blank | Next::Damaged => None,
    };
    let parts = |frame: Frame<'_>| {
        let body = [frame.header, frame.payload, frame.records].map(<[u8]>::to_vec);
        let numbers = (frame.sequence, frame.group, frame.length);
        (numbers, frame.is_pruned, body)
    };
    assert_eq!(read.map(parts), Some(parts(*expected)));
}

/// Changes one bit.
fn flip(bytes: &mut [u8], how: &mut Bytes<'_>) {
    let place = how.below(bytes.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << how.below(8);
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_headers_must() {
        replay("header", super::header);
    }

    #[test]
    fn the_corpus_holds_what_frames_must() {
        replay("frames", super::frames);
    }

    #[test]
    fn the_corpus_holds_what_notes_must() {
        replay("notes", super::notes);
    }

    #[test]
    fn the_corpus_holds_what_proofs_must() {
        replay("proofs", super::proofs);
    }

    #[test]
    fn the_corpus_holds_what_exports_must() {
        replay("export", super::export);
    }

    #[test]
    fn the_corpus_holds_what_logs_must() {
        replay("log", super::log);
    }
}

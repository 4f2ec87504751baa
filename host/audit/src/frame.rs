//! The bytes of the journal: segment headers, frames, records. Drawn in `docs/formats/log.md`.

use nephron_model::{Digest, Record, Space};

use crate::FaultKind;

/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER: usize = 128;
/// Bytes of a frame before its body.
pub(crate) const FRAME_HEADER: usize = 40;
/// Longest segment, in bytes, that is read at all: a longer one is damage, not data.
pub(crate) const MAX_SEGMENT: u64 = 1 << 30;
/// Longest entry header, in bytes.
pub(crate) const MAX_HEADER: usize = 32 << 10;

const SEGMENT_MAGIC: &[u8; 8] = b"NPHRNLOG";
const FRAME_MAGIC: &[u8; 4] = b"NFR1";
const FORMAT: u32 = 1;
/// Where a frame is marked.
const MARK: usize = 36;
/// The mark of a frame whose payload was taken away.
const PRUNED: u32 = 1;

/// What the first 128 bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    /// Sequence of the first entry in this segment.
    pub(crate) first: u64,
    /// Bytes of the whole file.
    pub(crate) size: u64,
    /// Hash of the last entry before this segment; zeros if there is none.
    pub(crate) previous: Digest,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.previous.0);
        bytes.resize(SEGMENT_HEADER - 4, 0);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header from the start of `bytes`; `None` if it is not one, of this version, unchanged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        let header = Self {
            number: u64_at(bytes, 16)?,
            first: u64_at(bytes, 24)?,
            size: u64_at(bytes, 32)?,
            previous: Digest(bytes.get(40..72)?.try_into().ok()?),
        };
        // Encoding it again compares magic, version, reserved bytes and checksum at once.
        (header.encode() == bytes).then_some(header)
    }
}

/// One frame, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u64,
    /// Every entry before this one was durable when this frame was written.
    pub(crate) group: u64,
    pub(crate) header: &'a [u8],
    /// Zeros, if it was pruned.
    pub(crate) payload: &'a [u8],
    pub(crate) records: &'a [u8],
    /// The payload was taken away.
    pub(crate) is_pruned: bool,
    /// Bytes of the whole frame, padding included.
    pub(crate) length: usize,
}

/// What stands at a place where a frame may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next<'a> {
    /// A whole frame that passes its checksum.
    Frame(Frame<'a>),
    /// No frame begins here: no bytes are left, or they are zero as far as a frame's header would reach.
    Blank,
    /// Something else.
    Damaged,
}

impl<'a> Frame<'a> {
    /// Reads what stands at the start of `bytes`, which reach to the end of the segment.
    pub(crate) fn decode(bytes: &'a [u8]) -> Next<'a> {
        let head = bytes
            .get(..FRAME_HEADER.min(bytes.len()))
            .unwrap_or_default();
        if head.iter().all(|byte| *byte == 0) {
            return Next::Blank;
        }
        Self::decode_whole(bytes).map_or(Next::Damaged, Next::Frame)
    }

    fn decode_whole(bytes: &'a [u8]) -> Option<Self> {
        if bytes.get(..4)? != FRAME_MAGIC {
            return None;
        }
        let length = length_at(bytes)?;
        let frame = bytes.get(..length)?;
        let checksum = u32_at(frame, 4)?;
        if u32_at(frame, MARK)? > PRUNED || crc32fast::hash(frame.get(8..)?) != checksum {
            return None;
        }
        let frame = Self::of_whole(frame)?;
        let is_empty = || frame.payload.iter().all(|byte| *byte == 0);
        (!frame.is_pruned || is_empty()).then_some(frame)
    }

    /// The parts of a frame that is exactly `frame`, whose checksum was looked at before.
    pub(crate) fn of_whole(frame: &'a [u8]) -> Option<Self> {
        let (header_length, payload_length, records_length) = lengths_at(frame)?;
        let body = frame.get(FRAME_HEADER..)?;
        let (header, body) = body.split_at_checked(header_length)?;
        let (payload, body) = body.split_at_checked(payload_length)?;
        let (records, padding) = body.split_at_checked(records_length)?;
        let is_padded_with_zeros = padding.iter().all(|byte| *byte == 0);
        is_padded_with_zeros.then_some(Self {
            sequence: u64_at(frame, 8)?,
            group: u64_at(frame, 16)?,
            header,
            payload,
            records,
            is_pruned: u32_at(frame, MARK)? == PRUNED,
            length: frame.len(),
        })
    }

    /// Appends this frame to `buffer`. `length` and `is_pruned` are not looked at.
    ///
    /// Returns the bytes it took, or `None` if a part is longer than four bytes can say.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) -> Option<usize> {
        let start = buffer.len();
        let lengths = [
            u32::try_from(self.header.len()).ok()?,
            u32::try_from(self.payload.len()).ok()?,
            u32::try_from(self.records.len()).ok()?,
            0,
        ];
        buffer.extend_from_slice(FRAME_MAGIC);
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&self.sequence.to_le_bytes());
        buffer.extend_from_slice(&self.group.to_le_bytes());
        for length in lengths {
            buffer.extend_from_slice(&length.to_le_bytes());
        }
        buffer.extend_from_slice(self.header);
        buffer.extend_from_slice(self.payload);
        buffer.extend_from_slice(self.records);
        let length = (buffer.len() - start).next_multiple_of(8);
        buffer.resize(start + length, 0);
        let checksum = crc32fast::hash(buffer.get(start + 8..)?);
        buffer
            .get_mut(start + 4..start + 8)?
            .copy_from_slice(&checksum.to_le_bytes());
        Some(length)
    }

    /// Bytes of a frame whose body has `body` bytes.
    pub(crate) const fn length_of(body: usize) -> usize {
        (FRAME_HEADER + body).next_multiple_of(8)
    }

    /// The next whole frame in `bytes` at or after `from`, wherever it stands, and its offset.
    ///
    /// Used after damage. Hostile bytes could make every offset look like a long frame, so the work is bounded: at
    /// most 16 times the length of `bytes` is checksummed.
    pub(crate) fn find(bytes: &'a [u8], from: usize) -> Option<(usize, Self)> {
        let mut budget = bytes.len().saturating_mul(16).saturating_add(1 << 16);
        let mut at = from;
        loop {
            let rest = bytes.get(at..)?;
            at += rest
                .windows(FRAME_MAGIC.len())
                .position(|window| window == FRAME_MAGIC)?;
            let candidate = bytes.get(at..)?;
            if let Some(length) = length_at(candidate).filter(|length| *length <= candidate.len()) {
                budget = budget.checked_sub(length)?;
                if let Some(frame) = Self::decode_whole(candidate) {
                    return Some((at, frame));
                }
            }
            at += 1;
        }
    }
}

/// Takes the payload out of a whole frame, which stays as long as it is: zeros are in its place.
pub(crate) fn prune_frame(frame: &mut [u8]) -> Option<()> {
    let (header, payload, _) = lengths_at(frame)?;
    let start = FRAME_HEADER + header;
    frame.get_mut(start..start + payload)?.fill(0);
    frame
        .get_mut(MARK..FRAME_HEADER)?
        .copy_from_slice(&PRUNED.to_le_bytes());
    let checksum = crc32fast::hash(frame.get(8..)?);
    frame
        .get_mut(4..8)?
        .copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

/// Bytes of the frame at the start of `bytes`, as its header says.
pub(crate) fn length_at(bytes: &[u8]) -> Option<usize> {
    let (header, payload, records) = lengths_at(bytes)?;
    let body = header.checked_add(payload)?.checked_add(records)?;
    FRAME_HEADER.checked_add(body)?.checked_next_multiple_of(8)
}

fn lengths_at(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let length = |offset| usize::try_from(u32_at(bytes, offset)?).ok();
    Some((length(24)?, length(28)?, length(32)?))
}

/// The records of one entry, as they stand in its frame.
pub(crate) fn encode_records(records: &[Record]) -> Option<Vec<u8>> {
    let size = records
        .iter()
        .map(|record| record.key.len() + record.value.len() + 9);
    let mut bytes = Vec::with_capacity(size.sum());
    for record in records {
        bytes.push(record.space as u8);
        bytes.extend_from_slice(&u32::try_from(record.key.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(record.value.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&record.key);
        bytes.extend_from_slice(&record.value);
    }
    Some(bytes)
}

/// The records in `bytes`, in the order in which they were given.
pub(crate) fn decode_records(mut bytes: &[u8]) -> Result<Vec<Record>, FaultKind> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let ((space, key, value), rest) = cut_record(bytes).ok_or(FaultKind::RecordsDiffer)?;
        records.push(Record {
            space,
            key: key.to_vec(),
            value: value.to_vec(),
        });
        bytes = rest;
    }
    Ok(records)
}

/// The names of the records that `is_wanted` says, up to where the bytes are none.
pub(crate) fn record_names(
    mut bytes: &[u8],
    is_wanted: impl Fn(Space) -> bool,
) -> Vec<(Space, Vec<u8>)> {
    let mut names = Vec::new();
    while let Some(((space, key, _), rest)) = cut_record(bytes) {
        if is_wanted(space) {
            names.push((space, key.to_vec()));
        }
        bytes = rest;
    }
    names
}

/// A record's space, key and value.
type Cut<'a> = (Space, &'a [u8], &'a [u8]);

/// The first record, and what follows it.
fn cut_record(bytes: &[u8]) -> Option<(Cut<'_>, &[u8])> {
    let space = Space::from_byte(*bytes.first()?)?;
    let key_length = usize::try_from(u32_at(bytes, 1)?).ok()?;
    let value_length = usize::try_from(u32_at(bytes, 5)?).ok()?;
    let (key, rest) = bytes.get(9..)?.split_at_checked(key_length)?;
    let (value, rest) = rest.split_at_checked(value_length)?;
    Some(((space, key, value), rest))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let end = offset.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame_of(sequence: u64, header: &[u8], payload: &[u8], records: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        let frame = Frame {
            sequence,
            group: sequence,
            header,
            payload,
            records,
            is_pruned: false,
            length: 0,
        };
        assert_eq!(frame.encode(&mut buffer), Some(buffer.len()));
        buffer
    }

    #[test]
    fn a_segment_header_reads_back_and_no_flipped_bit_passes() {
        let header = SegmentHeader {
            number: 7,
            first: 99,
            size: 4 << 20,
            previous: Digest::of(b"x"),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn no_flipped_bit_of_a_frame_passes() {
        let bytes = frame_of(3, br#"{"a":1}"#, b"sealed", b"");
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Frame::decode(&bytes), Next::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_pruned_frame_is_as_long_as_it_was_and_hides_nothing() {
        let whole = frame_of(3, br#"{"a":1}"#, b"sealed", b"records");
        let mut bytes = whole.clone();
        prune_frame(&mut bytes).unwrap();
        let Next::Frame(frame) = Frame::decode(&bytes) else {
            panic!("no frame")
        };
        assert!(frame.is_pruned && frame.length == whole.len());
        assert_eq!(
            (frame.payload, frame.records),
            (&[0; 6][..], &b"records"[..])
        );
        // Bytes in the payload's place are no pruned frame, whatever the checksum says.
        bytes[FRAME_HEADER + 7] = 1;
        let checksum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(Frame::decode(&bytes), Next::Damaged));
    }

    #[test]
    fn a_frame_is_found_again_after_damage() {
        let mut bytes = frame_of(1, b"first", b"", b"");
        let second = bytes.len() + 3;
        bytes.extend_from_slice(b"NFR");
        bytes.extend_from_slice(&frame_of(2, b"second", b"", b""));
        let (at, frame) = Frame::find(&bytes, 1).unwrap();
        assert_eq!(
            (at, frame.sequence, frame.header),
            (second, 2, &b"second"[..])
        );
    }

    #[test]
    fn hostile_bytes_cost_bounded_work() {
        // Every eight bytes claim to be a frame that reaches far ahead.
        let mut bytes = Vec::new();
        while bytes.len() < 1 << 20 {
            let mut head = vec![0; FRAME_HEADER];
            head[..4].copy_from_slice(FRAME_MAGIC);
            head[28..32].copy_from_slice(&(900_000u32).to_le_bytes());
            bytes.extend_from_slice(&head);
        }
        assert!(Frame::find(&bytes, 0).is_none());
    }

    proptest! {
        #[test]
        fn whatever_was_encoded_is_decoded(
            sequence: u64,
            header in prop::collection::vec(any::<u8>(), 1..200),
            payload in prop::collection::vec(any::<u8>(), 0..200),
            records in prop::collection::vec((0usize..5, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        ) {
            let records: Vec<Record> = records.into_iter()
                .map(|(space, key, value)| Record { space: Space::ALL[space], key, value })
                .collect();
            let encoded = encode_records(&records).unwrap();
            let bytes = frame_of(sequence, &header, &payload, &encoded);
            let Next::Frame(frame) = Frame::decode(&bytes) else { panic!("no frame") };
            prop_assert_eq!((frame.sequence, frame.header, frame.payload, frame.length), (sequence, &header[..], &payload[..], bytes.len()));
            prop_assert_eq!(decode_records(frame.records).unwrap(), records);
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Frame::decode(&bytes);
            let _ = Frame::find(&bytes, 0);
            drop(decode_records(&bytes));
            prop_assert_eq!(SegmentHeader::decode(&bytes), None);
        }
    }
}

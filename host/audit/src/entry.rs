//! One entry: its public header in canonical JSON (RFC 8785), its hash, and what is sealed beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use nephron_model::{
    Digest, Draft, EntryKind, EventId, Fingerprint, PluginRef, Point, Purpose, Record, TenantId,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::FaultKind;
use crate::frame::{Frame, decode_records};

/// The largest number that a header holds, 2^53 - 1: what every JSON reader can take exactly (RFC 8785 §3.2.2.3).
/// A larger count, fuel or time is written as this.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Stands before the header in the hash, so that no other hashed thing can be taken for an entry.
const HASH_PREFIX: &[u8] = b"nephron-audit-entry-v1\0";

/// The end of a log: how many entries it has, and the hash of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number of entries; the last has the sequence `entries - 1`.
    pub entries: u64,
    /// Hash of the last entry; zeros if there is none.
    pub hash: Digest,
}

impl Head {
    /// Before the first entry.
    pub(crate) const START: Self = Self {
        entries: 0,
        hash: Digest([0; 32]),
    };
}

/// What an entry says in public: no PHI, no secret. Fields without a value are left out of the JSON.
///
/// The fields stand in the order of their names, which is what RFC 8785 asks of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The caller's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// How many, by kind of identifier or by whatever the entry counts.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "sorted"
    )]
    pub counts: BTreeMap<String, u64>,
    /// Names and ids that are no secret.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "sorted"
    )]
    pub facts: BTreeMap<String, String>,
    /// Fuel that the plugin burnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The roster that the request holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Digest>,
    /// Keyed digest of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Fingerprint>,
    /// What happened.
    pub kind: EntryKind,
    /// How long it took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// What came of it, as a code.
    pub outcome: String,
    /// Keyed digest of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Fingerprint>,
    /// SHA-256 of the sealed payload, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Digest>,
    /// The plugin that judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginRef>,
    /// The enforcement point that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
    /// Hash of the entry before; zeros for the first.
    pub previous: Digest,
    /// The purpose of use that the caller stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Codes that explain the outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// SHA-256 of the encoded records, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Digest>,
    /// The request it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<EventId>,
    /// The entry's place in the log, counted from 0.
    pub sequence: u64,
    /// The log that it belongs to.
    pub tenant: TenantId,
    /// When it was recorded, RFC 3339 with nanoseconds; never before the entry that precedes it.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
}

impl Header {
    /// The header in canonical JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }

    /// Whether every number in it is one that each reader of JSON takes exactly.
    fn is_exact(&self) -> bool {
        let numbers = self.counts.values().copied();
        let numbers = numbers.chain(self.fuel).chain(self.micros);
        numbers.chain([self.sequence]).all(|it| it <= MAX_NUMBER)
    }

    /// Takes the public part of `draft`; place, time and chain are filled in when its turn comes.
    pub(crate) fn of_draft(draft: &mut Draft, tenant: &TenantId) -> Self {
        for count in draft.counts.values_mut() {
            *count = (*count).min(MAX_NUMBER);
        }
        Self {
            caller: draft.caller.take(),
            counts: std::mem::take(&mut draft.counts),
            facts: std::mem::take(&mut draft.facts),
            fuel: draft.fuel.map(|fuel| fuel.min(MAX_NUMBER)),
            generation: draft.generation,
            input: draft.input,
            kind: draft.kind,
            micros: draft.micros.map(|micros| micros.min(MAX_NUMBER)),
            outcome: std::mem::take(&mut draft.outcome),
            output: draft.output,
            payload: draft.payload.as_deref().map(Digest::of),
            plugin: draft.plugin.take(),
            point: draft.point,
            previous: Head::START.hash,
            purpose: draft.purpose.take(),
            reasons: std::mem::take(&mut draft.reasons),
            records: None,
            request: draft.request,
            sequence: 0,
            tenant: tenant.clone(),
            time: Timestamp {
                seconds: 0,
                nanoseconds: 0,
            },
        }
    }
}

/// A header in canonical JSON that lacks only its place: what a thread can encode and hash before its turn comes.
pub(crate) struct Unplaced {
    /// Up to the value of `previous`.
    before: Vec<u8>,
    /// From there to the value of `sequence`.
    between: Vec<u8>,
    /// From there to the text of `time`.
    after: Vec<u8>,
    /// Has seen the hash prefix and `before`.
    hasher: Sha256,
}

impl Unplaced {
    /// Of a header made by [`Header::of_draft`]: its place is still the one of no entry.
    pub(crate) fn of(header: &Header) -> Option<Self> {
        const PREVIOUS: &str = "\"previous\":\"";
        let mut before = header.to_bytes().ok()?;
        // The last of each name is the header's own: what may hold any text stands before `previous`, or is a list of
        // strings, where quotes are escaped.
        let after = split_after(&mut before, ",\"tenant\":")?;
        let between = split_after(&mut before, PREVIOUS)?;
        before.extend_from_slice(PREVIOUS.as_bytes());
        let previous = header.previous.to_string();
        let between = between.get(PREVIOUS.len() + previous.len()..)?;
        let between = between.strip_suffix(b"0")?.to_vec();
        let time = format!("{}\"}}", header.time);
        let after = after.strip_suffix(time.as_bytes())?.to_vec();
        let hasher = Sha256::new()
            .chain_update(HASH_PREFIX)
            .chain_update(&before);
        Some(Self {
            before,
            between,
            after,
            hasher,
        })
    }

    /// The header's bytes in its place, and its hash.
    pub(crate) fn place(
        self,
        previous: Digest,
        sequence: u64,
        time: Timestamp,
    ) -> (Vec<u8>, Digest) {
        use std::io::Write as _;
        let mut bytes = self.before;
        let hashed = bytes.len();
        bytes.reserve(self.between.len() + self.after.len() + 160);
        // Writing to memory does not fail.
        drop(write!(bytes, "{previous}"));
        bytes.extend_from_slice(&self.between);
        drop(write!(bytes, "{sequence}"));
        bytes.extend_from_slice(&self.after);
        drop(write!(bytes, "{time}\"}}"));
        let mut hasher = self.hasher;
        hasher.update(bytes.get(hashed..).unwrap_or_default());
        (bytes, Digest(hasher.finalize().into()))
    }
}

/// Cuts `bytes` before the last `name` in it; returns what comes from there on.
fn split_after(bytes: &mut Vec<u8>, name: &str) -> Option<Vec<u8>> {
    let at = std::str::from_utf8(bytes).ok()?.rfind(name)?;
    Some(bytes.split_off(at))
}

/// One entry as it was read back, checked against its own digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says in public.
    pub header: Header,
    /// The exact bytes of the header, over which the hash runs.
    pub header_bytes: Vec<u8>,
    /// The sealed payload; nothing if there is none, or it was pruned.
    pub payload: Option<Vec<u8>>,
    /// There was a payload, and it was kept long enough and taken away.
    pub is_pruned: bool,
    /// What was committed together with it.
    pub records: Vec<Record>,
    /// The entry's hash.
    pub hash: Digest,
}

impl Entry {
    /// Reads the entry in `frame`, and holds it against the frame and its own digests.
    pub(crate) fn of_frame(frame: &Frame<'_>) -> Result<Self, FaultKind> {
        let header = parse_header(frame)?;
        let records = decode_records(frame.records)?;
        Ok(Self {
            payload: header
                .payload
                .filter(|_| !frame.is_pruned)
                .map(|_| frame.payload.to_vec()),
            is_pruned: frame.is_pruned,
            records,
            hash: entry_hash(frame.header),
            header_bytes: frame.header.to_vec(),
            header,
        })
    }
}

/// Reads the header in `frame`; checks that it is canonical, and that payload and records are the ones it names.
pub(crate) fn parse_header(frame: &Frame<'_>) -> Result<Header, FaultKind> {
    let header: Header =
        serde_json::from_slice(frame.header).map_err(|_| FaultKind::HeaderMalformed)?;
    let again = header.to_bytes().map_err(|_| FaultKind::HeaderMalformed)?;
    if again != frame.header || !header.is_exact() {
        return Err(FaultKind::HeaderMalformed);
    }
    if header.sequence != frame.sequence {
        return Err(FaultKind::OutOfOrder);
    }
    let holds = |digest: Option<Digest>, bytes: &[u8]| match digest {
        Some(digest) => Digest::of(bytes) == digest,
        None => bytes.is_empty(),
    };
    let payload_holds = match frame.is_pruned {
        // That it may be gone is for an entry behind it to say.
        true => header.payload.is_some(),
        false => holds(header.payload, frame.payload),
    };
    if !payload_holds {
        return Err(FaultKind::PayloadDiffers);
    }
    if !holds(header.records, frame.records) {
        return Err(FaultKind::RecordsDiffer);
    }
    Ok(header)
}

/// The hash of the entry with this header: SHA-256 over `nephron-audit-entry-v1`, a zero byte, and the header bytes.
///
/// The header names the digests of payload and records, and the hash before it, so this covers the whole log so far.
#[must_use]
pub fn entry_hash(header_bytes: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(HASH_PREFIX);
    hasher.update(header_bytes);
    Digest(hasher.finalize().into())
}

/// Object keys in the order of RFC 8785 §3.2.3: by UTF-16 code units, which is that of UTF-8 bytes for ASCII.
fn sorted<V: Serialize, S: serde::Serializer>(
    map: &BTreeMap<String, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if map.keys().all(|key| key.is_ascii()) {
        return map.serialize(serializer);
    }
    let mut pairs: Vec<(&String, &V)> = map.iter().collect();
    pairs.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    serializer.collect_map(pairs)
}

mod rfc3339 {
    use super::{Cow, Deserialize, Timestamp};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nephron_model::Kind;
    use proptest::prelude::*;

    fn tenant() -> TenantId {
        "st-marys".parse().unwrap()
    }

    fn full_draft() -> Draft {
        let mut draft = Draft::new(EntryKind::Decision, "permit");
        draft.request = Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap());
        draft.point = Some(Point::Ingress);
        draft.caller = Some("dr-\u{fb33}-\u{1f600}\"\\\u{7}\u{7f}\n".to_owned());
        draft.purpose = Some("TREAT".parse().unwrap());
        draft.plugin = Some(PluginRef {
            digest: Digest::of(b"component"),
            name: "cedar-policy".to_owned(),
            settings: Digest::of(b"settings"),
            version: "0.1.0".to_owned(),
        });
        draft.generation = Some(Digest::of(b"generation"));
        draft.reasons = vec!["role".to_owned(), "purpose".to_owned()];
        draft.fuel = Some(u64::MAX);
        draft.micros = Some(12);
        draft.input = Some(Fingerprint([1; 32]));
        draft.output = Some(Fingerprint([2; 32]));
        draft.payload = Some(vec![1, 2, 3]);
        // U+FB33 sorts after U+1F600 in UTF-16 and before it in UTF-8 (the example of RFC 8785 §3.2.3).
        draft = draft
            .fact("\u{fb33}", "dalet")
            .fact("\u{1f600}", "smile")
            .fact("\u{20ac}", "euro")
            .fact("1", "one");
        draft.count(&"mrn".parse::<Kind>().unwrap())
    }

    #[test]
    fn a_header_is_written_as_rfc_8785_canonicalises_it() {
        for mut draft in [full_draft(), Draft::new(EntryKind::LogOpened, "ok")] {
            let header = Header::of_draft(&mut draft, &tenant());
            let bytes = header.to_bytes().unwrap();
            assert_eq!(
                String::from_utf8(bytes).unwrap(),
                serde_json_canonicalizer::to_string(&header).unwrap()
            );
        }
    }

    #[test]
    fn a_fact_that_looks_like_the_place_of_an_entry_is_left_alone() {
        let zeros = Head::START.hash.to_string();
        let mut draft = full_draft()
            .fact("previous", &*zeros)
            .fact("sequence", "0")
            .fact("tenant", "\"tenant\":")
            .fact("time", "1970-01-01T00:00:00.000000000Z");
        draft.reasons = vec![
            format!("\"previous\":\"{zeros}\""),
            ",\"tenant\":".to_owned(),
        ];
        let mut header = Header::of_draft(&mut draft, &tenant());
        let unplaced = Unplaced::of(&header).unwrap();
        header.previous = Digest::of(b"x");
        header.sequence = 7;
        let (bytes, _) = unplaced.place(header.previous, 7, header.time);
        assert_eq!(bytes, header.to_bytes().unwrap());
    }

    #[test]
    fn a_number_that_json_cannot_hold_exactly_is_capped() {
        assert_eq!(
            Header::of_draft(&mut full_draft(), &tenant()).fuel,
            Some(MAX_NUMBER)
        );
    }

    #[test]
    fn a_header_that_is_not_canonical_is_refused() {
        let mut draft = Draft::new(EntryKind::LogOpened, "ok");
        let bytes = Header::of_draft(&mut draft, &tenant()).to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let parse = |text: &str| {
            parse_header(&Frame {
                sequence: 0,
                group: 0,
                header: text.as_bytes(),
                payload: b"",
                records: b"",
                is_pruned: false,
                length: 0,
            })
        };
        assert!(parse(&text).is_ok());
        for altered in [
            text.replace(",\"outcome\"", ", \"outcome\""),
            text.replace("\"ok\"", "\"\\u006fk\""),
            text.replace("00.000000000Z", "00Z"),
            text.replace("\"outcome\"", "\"fuel\":null,\"outcome\""),
            text.replace("\"outcome\"", "\"unknown\":1,\"outcome\""),
            format!("{text}\n"),
        ] {
            assert_ne!(altered, text);
            assert_eq!(
                parse(&altered),
                Err(FaultKind::HeaderMalformed),
                "{altered}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_in_a_header_stays_canonical(
            caller: String,
            facts in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6),
            counts in prop::collection::btree_map(any::<String>(), any::<u64>(), 0..6),
        ) {
            let mut draft = Draft::new(EntryKind::Decision, "deny");
            draft.caller = Some(caller);
            draft.facts = facts;
            draft.counts = counts;
            let header = Header::of_draft(&mut draft, &tenant());
            let bytes = header.to_bytes().unwrap();
            let canonical = serde_json_canonicalizer::to_vec(&header).unwrap();
            prop_assert_eq!(&bytes, &canonical);
            let mut placed = header.clone();
            placed.previous = Digest::of(b"previous");
            placed.sequence = 12_345;
            placed.time = "2026-11-22T00:03:22.000000005Z".parse().unwrap();
            let (bytes, hash) = Unplaced::of(&header).unwrap().place(placed.previous, placed.sequence, placed.time);
            prop_assert_eq!(&bytes, &placed.to_bytes().unwrap());
            prop_assert_eq!(hash, entry_hash(&bytes));
            let bytes = header.to_bytes().unwrap();
            prop_assert_eq!(serde_json::from_slice::<Header>(&bytes).unwrap(), header);
        }
    }
}

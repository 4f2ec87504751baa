//! What a key has signed, and nothing else, is what verifies under it. The key is that of the small log among the vectors,
//! which signed one checkpoint and never anything more.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_model::Digest;

use super::bytes::Bytes;
use crate::frame::{FRAME_HEADER, SEGMENT_HEADER, length_at};
use crate::note::{NamedKey, split};
use crate::seal::files_below;
use crate::tiles::TileName;
use crate::tree::{Edge, Prover, is_consistent, root_of_inclusion};
use crate::{
    Checkpoint, EntryProof, FieldDisclosure, GrowthProof, SignedCheckpoint, VerifierKey,
    VerifyOptions, WitnessKey, leaf_hash, verify, verify_export,
};

/// The small log.
struct Small {
    key: VerifierKey,
    checkpoint: Checkpoint,
    /// The text that the key signed.
    text: String,
    /// Leaf hashes of its entries.
    leaves: Vec<Digest>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

#[expect(
    clippy::expect_used,
    reason = "without the log there is nothing to hold"
)]
static SMALL: LazyLock<Small> = LazyLock::new(|| Small::read().expect("the small log"));

impl Small {
    fn read() -> Option<Self> {
        let vectors =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/vectors/log");
        let key = std::fs::read_to_string(vectors.join("small.vkey")).ok()?;
        let key: VerifierKey = key.trim().parse().ok()?;
        let log = vectors.join("small");
        let mut files = BTreeMap::new();
        for file in files_below(&Dir::open_ambient_dir(&log, ambient_authority()).ok()?).ok()? {
            let bytes = std::fs::read(log.join(&file)).ok()?;
            files.insert(PathBuf::from(file), bytes);
        }
        let note = files.get(Path::new("checkpoints/0000000000000005"))?;
        let note = String::from_utf8(note.clone()).ok()?;
        let tile = files.get(Path::new("tile/0/000.p/5"))?;
        Some(Self {
            checkpoint: SignedCheckpoint::open(&note, &key).ok()?.checkpoint,
            text: split(&note).ok()?.0.to_owned(),
            leaves: tile.as_chunks().0.iter().copied().map(Digest).collect(),
            key,
            files,
        })
    }

    /// A copy in a folder of its own.
    fn copied(&self) -> std::io::Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        for (name, bytes) in &self.files {
            let path = copy.path().join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, bytes)?;
        }
        Ok(copy)
    }
}

thread_local! {
    /// A copy that is changed and put right again.
    static COPY: std::io::Result<tempfile::TempDir> = SMALL.copied();
}

/// Signed notes, checkpoints and keys: each is read from exactly the text that it prints, and a key opens what it signed.
pub fn notes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Some(checkpoint) = Checkpoint::parse(text) {
        let printed = checkpoint.to_text();
        assert!(text.starts_with(&printed), "it prints another text");
        assert_eq!(Checkpoint::parse(&printed), Some(checkpoint));
    }
    if let Some(tile) = TileName::parse(text) {
        assert_eq!(tile.path(), text);
    }
    if let Ok((signed, signatures)) = split(text) {
        assert!(signed.ends_with('\n') && !signatures.is_empty());
        let line = |(name, signature): &(&str, Vec<u8>)| {
            format!("\u{2014} {name} {}\n", STANDARD.encode(signature))
        };
        let lines: String = signatures.iter().map(line).collect();
        assert_eq!(format!("{signed}\n{lines}"), text);
    }
    let small = &*SMALL;
    if let Ok(signed) = small.key.open(text) {
        assert_eq!(signed, small.text, "a text that was never signed");
    }
    if let Ok(signed) = SignedCheckpoint::open(text, &small.key) {
        assert_eq!(signed.checkpoint, small.checkpoint);
    }
    // The log's own key has never cosigned.
    let witness = NamedKey::parse(&small.key.to_string(), 1)
        .and_then(|key| NamedKey::new(key.name(), *key.key(), 4))
        .and_then(|key| key.to_string().parse::<WitnessKey>().ok());
    assert!(witness.is_some_and(|witness| witness.cosigned(text).is_err()));
}

/// Proofs and disclosures: each is read from exactly the text that it prints, and proves nothing but the entries of the log.
pub fn proofs(data: &[u8]) {
    tree(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let small = &*SMALL;
    if let Ok(proof) = EntryProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        if let Ok(proven) = proof.verify(&small.key) {
            assert_eq!(proven.checkpoint, small.checkpoint);
            let place = usize::try_from(proof.sequence()).unwrap_or(usize::MAX);
            let header = proven.header.to_bytes().unwrap_or_default();
            assert_eq!(small.leaves.get(place), Some(&leaf_hash(&header)));
        }
    }
    if let Ok(proof) = GrowthProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        if let Ok(grown) = proof.verify(&small.checkpoint, &small.key) {
            assert_eq!(grown, small.checkpoint);
        }
    }
    if let Ok(disclosure) = FieldDisclosure::parse(text) {
        // No entry of the log is committed to a field.
        assert!(disclosure.verify(&small.key).is_err());
    }
}

/// In a tree of any size: a leaf is where its path says, and nothing else is there; a smaller tree is a beginning of it, and no
/// other is.
fn tree(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let size = bytes.below(300) as u64 + 1;
    let index = bytes.below(300) as u64;
    let old = index.min(size - 1) + 1;
    let mut edge = Edge::default();
    let mut tiles: BTreeMap<TileName, Vec<Digest>> = BTreeMap::new();
    let (mut leaf, mut old_root) = (Digest([0; 32]), None);
    for number in 0..size {
        let next = leaf_hash(&number.to_le_bytes());
        edge.push(next, &mut |tile| {
            tiles.insert(TileName::of(&tile), tile.hashes);
        });
        if number + 1 == old {
            (leaf, old_root) = (next, Some(edge.root()));
        }
    }
    for tile in edge.partial() {
        tiles.insert(TileName::of(&tile), tile.hashes);
    }
    let root = edge.root();
    let mut prover = Prover::new(&tiles, size);
    let path = prover.inclusion(index);
    assert_eq!(path.is_some(), index < size);
    let growth = prover.consistency(old).unwrap_or_default();
    let grew = |root_before| is_consistent((old, root_before), (size, root), &growth);
    assert!(old_root.is_some_and(grew));
    let Some(path) = path else { return };
    let leads =
        |leaf, index, path: &[Digest]| root_of_inclusion(leaf, index, size, path) == Some(root);
    assert!(leads(leaf, index, &path));
    // Whatever else is said of it does not hold.
    let other = Digest(bytes.array());
    assert!(!leads(other, index, &path) && !grew(other));
    let elsewhere = bytes.below(300) as u64;
    assert!(elsewhere == index || !leads(leaf, elsewhere, &path));
    let mut altered = path.clone();
    altered.truncate(bytes.below(path.len() + 1));
    altered.extend((0..bytes.below(3)).map(|_| Digest(bytes.array())));
    assert!(altered == path || !leads(leaf, index, &altered));
}

/// Archives: none verifies but one of the log's own entries.
pub fn export(data: &[u8]) {
    let small = &*SMALL;
    let Ok(proven) = verify_export(data, &small.key) else {
        return;
    };
    assert_eq!(proven.covered, small.checkpoint.size);
    assert_eq!(proven.root, small.checkpoint.root);
    assert!(proven.note.held_end <= small.checkpoint.size);
    assert!(proven.payloads <= proven.note.end - proven.note.first);
}

/// A log that was changed in any file does not verify under its key, even where whoever changed it made the checksums right.
pub fn log(data: &[u8]) {
    let small = &*SMALL;
    let mut bytes = Bytes::new(data);
    let mut changed: BTreeMap<&PathBuf, Vec<u8>> = BTreeMap::new();
    while !bytes.is_empty() {
        let place = bytes.below(small.files.len());
        let Some((name, whole)) = small.files.iter().nth(place) else {
            continue;
        };
        change(
            changed.entry(name).or_insert_with(|| whole.clone()),
            &mut bytes,
        );
    }
    changed.retain(|name, now| small.files.get(*name) != Some(now));
    let verdict = COPY.with(|copy| {
        let path = copy.as_ref().ok().map(tempfile::TempDir::path);
        let write = |name: &PathBuf, bytes: &[u8]| {
            let written = path.map(|path| std::fs::write(path.join(name), bytes));
            assert!(
                matches!(written, Some(Ok(()))),
                "the copy cannot be written"
            );
        };
        for (name, now) in &changed {
            write(name, now);
        }
        let options = VerifyOptions {
            key: Some(small.key.clone()),
            threads: NonZeroUsize::new(1),
            ..VerifyOptions::default()
        };
        let verdict = path.map(|path| verify(path, options));
        for name in changed.keys() {
            write(name, small.files.get(*name).map_or(&[], Vec::as_slice));
        }
        verdict
    });
    let is_verified = matches!(&verdict, Some(Ok(verdict)) if verdict.verified);
    assert_eq!(is_verified, changed.is_empty(), "{:?}", changed.keys());
}

/// Changes a file in one place.
fn change(file: &mut Vec<u8>, how: &mut Bytes<'_>) {
    let kind = how.below(8);
    let at = how.below(file.len().max(1));
    match kind {
        0..=2 => {
            let by = how.byte();
            file.iter_mut().skip(at).take(1).for_each(|it| *it ^= by);
        }
        3 => file.truncate(at),
        4 => drop(file.splice(at..at, how.piece().iter().copied())),
        5 => {
            let length = how.below(256);
            drop(file.drain(at..file.len().min(at + length)));
        }
        6 => file.extend_from_slice(how.piece()),
        _ => checksums(file),
    }
}

/// Makes the checksums of a segment right, as far as its frames can be told.
fn checksums(file: &mut [u8]) {
    checksum(file, 0..SEGMENT_HEADER - 4, SEGMENT_HEADER - 4);
    let mut at = SEGMENT_HEADER;
    while let Some(length) = file.get(at..).and_then(length_at) {
        // Where nothing is written, nothing is to be made right.
        if length == FRAME_HEADER || at + length > file.len() {
            break;
        }
        checksum(file, at + 8..at + length, at + 4);
        at += length;
    }
}

fn checksum(file: &mut [u8], of: Range<usize>, at: usize) {
    let checksum = file.get(of).map(crc32fast::hash);
    if let (Some(checksum), Some(place)) = (checksum, file.get_mut(at..at + 4)) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

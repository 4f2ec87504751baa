//! Decay: bits that flip, blocks that read as zeros, segments that are cut, doubled, swapped or older. Of the journal each is found and
//! located, by the chain alone wherever it can tell, and never taken for the end of the log. Of the view each is harmless or built again.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nephron_audit::view::Term;
use nephron_audit::{FaultKind, Log, OpenError, Options, Reader, Verdict, VerifyOptions};
use nephron_model::{Digest, EntryKind, Records as _, Space};

use crate::support::{
    Place, TestKey, alter, check, copy, files, fill, frames, open, place_in_memory as place,
    segment, try_open,
};

/// Threads that look at changes of copies of their own.
const HANDS: usize = 4;

/// A closed log of so many entries in segments of 4 KiB.
fn closed(entries: u64) -> Place {
    let place = place();
    let small = Options {
        segment_size: 4096,
        ..crate::support::options()
    };
    let log = try_open(&place.path, small).unwrap();
    log.sign_with(TestKey::new(1));
    fill(&log, 0..entries);
    // Has the view hold all of it.
    let _held = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    log.close().unwrap();
    place
}

/// The verdict of one thread, without the view.
fn verdict(path: &Path) -> Verdict {
    let options = VerifyOptions {
        skip_view: true,
        threads: NonZeroUsize::new(1),
        ..VerifyOptions::default()
    };
    nephron_audit::verify(path, options).unwrap()
}

/// A copy of which nothing but the chain speaks.
fn chain_alone(log: &Path) -> Place {
    let place = place();
    copy(log, &place.path);
    for other in ["view", "tile", "checkpoints"] {
        std::fs::remove_dir_all(place.path.join(other)).unwrap();
    }
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    place
}

/// Has several threads do `work`, each with a copy of its own, on every one of `items`.
fn by_hands<T: Sync>(
    items: &[T],
    copied: impl Fn() -> Place + Sync,
    work: impl Fn(&Place, &T) + Sync,
) {
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let (copied, work) = (&copied, &work);
            scope.spawn(move || {
                let place = copied();
                items
                    .iter()
                    .skip(hand)
                    .step_by(HANDS)
                    .for_each(|item| work(&place, item));
            });
        }
    });
}

#[test]
fn every_flipped_bit_of_a_log_is_found_by_the_chain_alone_and_its_entry_named() {
    // The shortest of two segments.
    let mut logs = (4..).map(closed);
    let log = logs.find(|log| segment(&log.path, 1).exists()).unwrap();
    let mut flips = Vec::new();
    for number in 0..2 {
        let bytes = std::fs::read(segment(&log.path, number)).unwrap();
        let frames = frames(&bytes);
        let (last, length, _) = *frames.last().unwrap();
        for offset in 0..bytes.len() {
            let entry = frames
                .iter()
                .find(|(start, length, _)| (*start..start + length).contains(&offset))
                .map(|(_, _, sequence)| *sequence);
            // Behind the last frame all is blank, and every bit of a byte says the same.
            let bits = if offset < last + length {
                0..8
            } else {
                offset % 8..offset % 8 + 1
            };
            flips.extend(bits.map(|bit| (number, offset, bit, entry)));
        }
    }
    by_hands(
        &flips,
        || chain_alone(&log.path),
        |place, (number, offset, bit, entry)| {
            let mut how = std::fs::OpenOptions::new();
            let file = how
                .read(true)
                .write(true)
                .open(segment(&place.path, *number))
                .unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, *offset as u64).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << bit)], *offset as u64)
                .unwrap();
            let verdict = verdict(&place.path);
            file.write_all_at(&byte, *offset as u64).unwrap();
            let at = format!("segment {number}, byte {offset}, bit {bit}");
            assert!(!verdict.verified, "{at}");
            if entry.is_some() {
                assert_eq!(verdict.first_broken(), *entry, "{at}: {:?}", verdict.faults);
            }
            let name = format!("journal/{number:08}.wal");
            assert!(verdict.faults.iter().any(|it| it.file == name), "{at}");
        },
    );
    assert!(flips.len() > 20_000, "{}", flips.len());
}

/// Whether the log says where it is damaged, is not opened, and is left as it is.
#[track_caller]
fn is_refused(path: &Path, what: &str) -> Verdict {
    let before: BTreeMap<PathBuf, Vec<u8>> = files(path)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect();
    let verdict = verdict(path);
    assert!(!verdict.verified, "{what}");
    let opened = try_open(path, crate::support::options()).map(drop);
    assert!(
        matches!(
            opened,
            Err(OpenError::Damaged { .. } | OpenError::ViewAhead { .. })
        ),
        "{what}: {opened:?}"
    );
    for (file, bytes) in before {
        assert!(std::fs::read(&file).unwrap() == bytes, "{what}: {file:?}");
    }
    verdict
}

#[test]
fn every_block_of_the_journal_that_reads_as_zeros_is_found_and_never_taken_for_the_end() {
    let log = closed(30);
    let mut blocks = Vec::new();
    for file in files(&log.path.join("journal")) {
        let bytes = std::fs::read(&file).unwrap();
        let name = file.strip_prefix(&log.path).unwrap().to_owned();
        for (block, bytes) in bytes.chunks(512).enumerate() {
            // One that holds nothing but zeros cannot change so.
            if bytes.iter().any(|byte| *byte != 0) {
                blocks.push((name.clone(), block));
            }
        }
    }
    assert!(blocks.len() > 25, "{}", blocks.len());
    let copied = || {
        let place = place();
        copy(&log.path, &place.path);
        place
    };
    by_hands(&blocks, copied, |place, (name, block)| {
        let path = place.path.join(name);
        let before = std::fs::read(&path).unwrap();
        let start = block * 512;
        alter(&path, |bytes| bytes[start..start + 512].fill(0));
        let said = is_refused(&place.path, &format!("block {block} of {name:?}"));
        std::fs::write(&path, &before).unwrap();
        // The first entry that lost a byte is named, unless it is the log's end that is lost: then the seal names the file.
        let lost = frames(&before)
            .into_iter()
            .find(|(at, length, _)| *at < start + 512 && start < at + length)
            .map(|(_, _, sequence)| sequence);
        let first = said.first_broken();
        assert!(
            lost.is_none() || first.is_none() || first <= lost,
            "block {block} of {name:?}: {:?}",
            said.faults
        );
        let name = name.to_str().unwrap();
        assert!(said.faults.iter().any(|it| it.file == name), "{name}");
    });
}

#[test]
fn a_segment_that_is_cut_doubled_swapped_or_older_is_found_and_the_log_is_left_as_it_is() {
    let place = closed(12);
    let older = self::place();
    copy(&place.path, &older.path);
    let log = try_open(
        &place.path,
        Options {
            segment_size: 4096,
            ..crate::support::options()
        },
    )
    .unwrap();
    fill(&log, 12..40);
    log.close().unwrap();
    let last = files(&place.path.join("journal")).len() as u64 - 1;
    assert!(last >= 4, "{last}");
    let tried = |what: &str, change: &dyn Fn(&Path)| {
        // With all that vouches for it, and by the journal alone.
        for is_sealed in [true, false] {
            let copied = self::place();
            copy(&place.path, &copied.path);
            if !is_sealed {
                std::fs::remove_file(copied.path.join("closed.json")).unwrap();
            }
            change(&copied.path);
            is_refused(&copied.path, &format!("{what}, sealed: {is_sealed}"));
        }
    };
    for number in 0..=last {
        for length in [0, 60, 128, 1000, 4095] {
            tried(&format!("segment {number} cut to {length}"), &|path| {
                alter(&segment(path, number), |bytes| bytes.truncate(length));
            });
        }
        tried(&format!("segment {number} doubled at the end"), &|path| {
            std::fs::copy(segment(path, number), segment(path, last + 1)).unwrap();
        });
        for other in (0..=last).filter(|other| *other != number) {
            tried(
                &format!("segment {number} in the place of {other}"),
                &|path| {
                    std::fs::copy(segment(path, number), segment(path, other)).unwrap();
                },
            );
            if other > number {
                tried(&format!("segments {number} and {other} swapped"), &|path| {
                    let bytes = std::fs::read(segment(path, number)).unwrap();
                    std::fs::copy(segment(path, other), segment(path, number)).unwrap();
                    std::fs::write(segment(path, other), bytes).unwrap();
                });
            }
        }
        let is_older = segment(&older.path, number).exists()
            && std::fs::read(segment(&older.path, number)).unwrap()
                != std::fs::read(segment(&place.path, number)).unwrap();
        if is_older {
            tried(&format!("an older segment {number}"), &|path| {
                std::fs::copy(segment(&older.path, number), segment(path, number)).unwrap();
            });
        }
    }
    assert!(check(&place.path).verified);
}

/// Whether bytes hold something, and not the same all over.
fn is_used(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| Some(byte) != bytes.first())
}

#[derive(PartialEq)]
struct Answers {
    found: Vec<Vec<u64>>,
    records: Vec<Option<Vec<u8>>>,
    entries: Vec<Digest>,
}

/// Every answer that a view gives, asked of a log: what each term finds, each record, and each entry by its place.
fn answers(log: &Log) -> Answers {
    let headers: Vec<_> = log.entries(0..31).map(|entry| entry.unwrap()).collect();
    let mut terms = Vec::new();
    let mut keys = BTreeSet::new();
    for entry in &headers {
        for term in Term::of(&entry.header) {
            terms.push(term);
        }
        keys.extend(
            entry
                .records
                .iter()
                .map(|it| (it.space as u8, it.key.clone())),
        );
    }
    let spaces = [Space::VaultValue, Space::Grant];
    let space = |number: u8| *spaces.iter().find(|space| **space as u8 == number).unwrap();
    // Entries that say what was repaired come later and are nobody's answer here.
    let until = |mut sequences: Vec<u64>| {
        sequences.retain(|sequence| *sequence < 31);
        sequences
    };
    let entry = |sequence| log.entry(sequence).unwrap().unwrap();
    Answers {
        found: terms
            .iter()
            .map(|term| until(log.sequences(term).unwrap()))
            .collect(),
        records: keys
            .iter()
            .map(|(number, key)| log.read(space(*number), key).unwrap())
            .collect(),
        entries: (0..31).map(|sequence| entry(sequence).hash).collect(),
    }
}

#[test]
fn every_block_of_zeros_and_flips_all_over_the_views_files_cost_no_answer() {
    let log = closed(30);
    let expected = answers(&open(&log.path));
    // Not closed, so that whoever opens it looks at its view.
    let unsealed = || {
        let place = place();
        copy(&log.path, &place.path);
        std::fs::remove_file(place.path.join("closed.json")).ok();
        place
    };
    let mut changes: Vec<(PathBuf, usize, usize, u8)> = Vec::new();
    for file in files(&log.path.join("view")) {
        let bytes = std::fs::read(&file).unwrap();
        let name = file.strip_prefix(&log.path).unwrap().to_owned();
        for (index, block) in bytes.chunks(512).enumerate() {
            // Zero means all bits of the block.
            if is_used(block) {
                changes.push((name.clone(), index * 512, block.len(), 0));
            }
        }
        for (index, part) in bytes.chunks(64).enumerate() {
            // Of what pads the file to its length, some.
            if !is_used(part) && index % 100 != 0 {
                continue;
            }
            let at = index * 64 + index % part.len();
            changes.push((name.clone(), at, 1, 1 << (index % 8)));
        }
    }
    assert!(changes.len() > 200, "{}", changes.len());
    let (found, harmless) = (AtomicU64::new(0), AtomicU64::new(0));
    by_hands(&changes, place, |_, (name, at, length, flip)| {
        let place = unsealed();
        let what = format!("{name:?} at {at}, {length} bytes, {flip}");
        alter(&place.path.join(name), |bytes| {
            for byte in &mut bytes[*at..(at + length)] {
                *byte = if *flip == 0 { 0 } else { *byte ^ flip };
            }
        });
        let log = open(&place.path);
        assert!(answers(&log) == expected, "{what}");
        let repaired = log
            .entries(31..u64::MAX)
            .any(|entry| entry.unwrap().header.kind == EntryKind::LogRepaired);
        let aside = log.set_aside();
        log.close().unwrap();
        // What decides whether the bytes were dead: the whole of the view, term by term and record by record, held against the journal.
        let verdict = check(&place.path);
        assert!(verdict.verified, "{what}: {:?}", verdict.faults);
        assert_eq!(repaired, aside > 0, "{what}: it is kept, and said");
        let count = if repaired { &found } else { &harmless };
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (found, harmless) = (found.into_inner(), harmless.into_inner());
    assert!(found > 100, "{found} found, {harmless} harmless");
    println!("{found} changes of the view were found, {harmless} harmless");
    // Of a log that was closed, the seal finds each.
    let file = files(&log.path.join("view")).pop().unwrap();
    alter(&file, |bytes| bytes[0] ^= 1);
    let said = verdict(&log.path);
    assert!(
        said.faults
            .iter()
            .any(|it| it.what == FaultKind::FileAltered)
    );
    assert_eq!(Reader::open(&log.path).unwrap().head().entries, 31);
}

//! Whatever is changed in a closed log, verification finds it, and names the entry where one is hit.

use std::path::{Path, PathBuf};

use nephron_audit::{FaultKind, Head, Options, Reader, Verdict, VerifyOptions};
use nephron_model::Digest;
use proptest::prelude::*;

use crate::support::{
    Place, alter, check, copy, files, fill, frames, open, place, segment, try_open, verify,
};

/// Beside the one that is called `place`.
fn another_place() -> Place {
    place()
}

/// A small closed log of several segments.
fn closed() -> Place {
    let place = place();
    let log = open(&place.path);
    fill(&log, 0..100);
    log.close().unwrap();
    assert!(segment(&place.path, 3).exists());
    place
}

/// Verifies without opening the view; its bytes are covered by the seal.
fn quick(path: &Path) -> Verdict {
    let options = VerifyOptions {
        skip_view: true,
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

/// Changes one file, looks, and changes it back.
fn altered(place: &Place, file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Option<Verdict> {
    let before = std::fs::read(file).unwrap();
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return None;
    }
    std::fs::write(file, after).unwrap();
    let verdict = quick(&place.path);
    std::fs::write(file, before).unwrap();
    Some(verdict)
}

/// The entry whose frame covers `offset` of a segment.
fn entry_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let frames = frames(bytes);
    let hit = frames
        .iter()
        .find(|(start, length, _)| (*start..start + length).contains(&offset));
    hit.map(|(_, _, sequence)| *sequence)
}

#[test]
fn an_untouched_log_verifies_and_is_not_changed_by_it() {
    let place = closed();
    let read = || -> Vec<(PathBuf, Vec<u8>)> {
        let files = files(&place.path).into_iter();
        files
            .map(|file| (file.clone(), std::fs::read(file).unwrap()))
            .collect()
    };
    let before = read();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
    assert_eq!(verdict.entries, 101);
    assert!(read() == before);
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    // A copy elsewhere verifies the same.
    let elsewhere = another_place();
    copy(&place.path, &elsewhere.path);
    assert_eq!(check(&elsewhere.path), verdict);
}

#[test]
fn every_flipped_bit_of_a_segment_is_found_by_the_chain_alone_and_its_entry_and_range_named() {
    let place = place();
    let small = Options {
        segment_size: 4096,
        ..crate::support::options()
    };
    let log = try_open(&place.path, small).unwrap();
    fill(&log, 0..20);
    log.close().unwrap();
    std::fs::remove_dir_all(place.path.join("view")).unwrap();
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    let file = segment(&place.path, 1);
    assert!(file.exists() && segment(&place.path, 2).exists());
    let bytes = std::fs::read(&file).unwrap();
    for offset in 0..bytes.len() {
        let verdict = altered(&place, &file, |bytes| bytes[offset] ^= 1 << (offset % 8)).unwrap();
        assert!(!verdict.verified, "byte {offset}");
        if let Some(entry) = entry_at(&bytes, offset) {
            assert_eq!(
                verdict.first_broken(),
                Some(entry),
                "byte {offset}: {:?}",
                verdict.faults
            );
        }
        // The first fault is exactly the frame, the header or the byte that was altered.
        let fault = &verdict.faults[0];
        assert_eq!(fault.file, "journal/00000001.wal");
        let hit = frames(&bytes).into_iter();
        let hit = hit.map(|(start, length, entry)| (start as u64, (start + length) as u64, entry));
        let at = offset as u64;
        let range = fault.offset.zip(fault.offset_end).unwrap();
        match hit
            .into_iter()
            .find(|(start, end, _)| (*start..*end).contains(&at))
        {
            Some((start, end, entry)) => {
                assert_eq!(
                    (fault.entry, fault.entry_end),
                    (Some(entry), Some(entry + 1))
                );
                // Behind the last frame nobody can tell where it ended.
                assert!(
                    range.0 == start && (at + 1..=end).contains(&range.1),
                    "{range:?}"
                );
            }
            None if offset < 128 => assert_eq!(range, (0, 128)),
            None => assert_eq!(range.1, at + 1),
        }
    }
    assert!(quick(&place.path).verified);
}

/// A fault, as a person reads it.
fn said(verdict: &Verdict) -> Vec<String> {
    verdict.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn whole_stretches_that_are_gone_are_named_from_their_first_entry_to_their_last() {
    let place = closed();
    let all = |number: u64| frames(&std::fs::read(segment(&place.path, number)).unwrap());
    let (first, after) = (all(1)[0].2, all(2)[0].2);
    let gone = without_seal(&place, |path| {
        std::fs::remove_file(segment(path, 1)).unwrap();
    });
    assert_eq!(
        said(&gone)[0],
        format!(
            "entries {first} to {}: segment is missing in `journal/00000001.wal` at byte 0",
            after - 1
        )
    );
    let unread = without_seal(&place, |path| {
        let file = std::fs::File::create(segment(path, 1)).unwrap();
        file.set_len(1 << 40).unwrap();
    });
    let range = (unread.faults[0].entry, unread.faults[0].entry_end);
    assert_eq!(range, (Some(first), Some(after)));
    // Zeros over a stretch of frames, as a bad sector leaves them; in the middle, and up to the segment's end.
    for (from, to) in [(2, 6), (3, all(1).len() - 1)] {
        let (start, _, entry) = all(1)[from];
        let (last, length, last_entry) = all(1)[to];
        let zeroed = without_seal(&place, |path| {
            alter(&segment(path, 1), |bytes| {
                bytes[start..last + length].fill(0)
            });
        });
        let fault = &zeroed.faults[0];
        let is_at_end = last_entry + 1 == after;
        // Where the segment is blank from there on, it is the next that does not follow.
        let expected = match is_at_end {
            true => (FaultKind::SegmentChain, None, Some(128)),
            false => (
                FaultKind::FrameDamaged,
                Some(last_entry + 1),
                Some((last + length) as u64),
            ),
        };
        assert_eq!((fault.what, fault.entry_end, fault.offset_end), expected);
        assert_eq!(fault.entry, Some(entry));
        if is_at_end {
            let left_out = &zeroed.faults[1];
            assert_eq!(left_out.what, FaultKind::OutOfOrder);
            let range = (left_out.entry, left_out.entry_end);
            assert_eq!(range, (Some(entry), Some(after)));
        }
    }
    let json = serde_json::to_value(&gone).unwrap();
    assert_eq!(json["faults"][0]["entry_end"], after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]

    #[test]
    fn every_change_of_any_file_is_found(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..6, any::<u8>(), 1usize..60), 200)) {
        let place = closed();
        let files = files(&place.path);
        let mut made = 0;
        for (file, at, change, byte, length) in changes {
            let file = file.get(&files);
            let is_segment = file.extension().is_some_and(|extension| extension == "wal");
            let before = std::fs::read(file).unwrap();
            let at = at.index(before.len().max(1));
            let verdict = altered(&place, file, |bytes| match change {
                0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|it| *it ^= 1 << (byte % 8)),
                2 => drop(bytes.drain(at.min(bytes.len())..(at + length).min(bytes.len()))),
                3 => drop(bytes.splice(at.min(bytes.len())..at.min(bytes.len()), vec![byte; length])),
                4 => bytes.truncate(at),
                _ => bytes.extend(vec![byte; length]),
            });
            let Some(verdict) = verdict else { continue };
            made += 1;
            prop_assert!(!verdict.verified, "change {} at {} of {:?}", change, at, file);
            if let (true, 0 | 1, Some(entry)) = (is_segment, change, entry_at(&before, at)) {
                prop_assert_eq!(verdict.first_broken(), Some(entry));
            }
        }
        prop_assert!(made > 120);
        prop_assert!(quick(&place.path).verified);
    }
}

/// What an auditor asks of a log that was handed over: that it was closed, and is whole.
fn handed_over(path: &Path) -> bool {
    let options = VerifyOptions {
        require_seal: true,
        skip_view: true,
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap().verified
}

#[test]
fn every_file_that_is_taken_away_added_or_put_in_anothers_place_is_found() {
    let place = closed();
    assert!(handed_over(&place.path));
    let files = files(&place.path);
    assert!(files.len() > 5, "{files:?}");
    let aside = another_place().path;
    std::fs::create_dir_all(&aside).unwrap();
    let aside = aside.join("aside");
    for file in &files {
        std::fs::rename(file, &aside).unwrap();
        assert!(!handed_over(&place.path), "{file:?} is gone");
        std::fs::rename(&aside, file).unwrap();

        let double = file.with_file_name("00000077.wal");
        std::fs::copy(file, &double).unwrap();
        assert!(!handed_over(&place.path), "{file:?} stands twice");
        std::fs::remove_file(&double).unwrap();
    }
    for (one, other) in files.iter().zip(files.iter().skip(1)) {
        let (first, second) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
        if first == second {
            continue;
        }
        std::fs::write(one, &second).unwrap();
        std::fs::write(other, &first).unwrap();
        assert!(
            !handed_over(&place.path),
            "{one:?} and {other:?} changed places"
        );
        std::fs::write(one, first).unwrap();
        std::fs::write(other, second).unwrap();
    }
    assert!(handed_over(&place.path));
}

/// The same as [`quick`], as if the log had not been closed: nothing but the chain speaks.
fn without_seal(place: &Place, change: impl FnOnce(&Path)) -> Verdict {
    let elsewhere = another_place();
    copy(&place.path, &elsewhere.path);
    std::fs::remove_file(elsewhere.path.join("closed.json")).unwrap();
    change(&elsewhere.path);
    quick(&elsewhere.path)
}

#[test]
fn two_frames_in_each_others_place_are_found_by_the_chain_alone() {
    let place = closed();
    let all = frames(&std::fs::read(segment(&place.path, 1)).unwrap());
    for pair in all.windows(2).take(12) {
        let [(first, first_length, sequence), (second, second_length, _)] = *pair else {
            panic!()
        };
        let verdict = without_seal(&place, |path| {
            alter(&segment(path, 1), |bytes| {
                let mut swapped = bytes[second..second + second_length].to_vec();
                swapped.extend_from_slice(&bytes[first..first + first_length]);
                bytes.splice(first..second + second_length, swapped);
            });
        });
        assert_eq!(
            verdict.first_broken(),
            Some(sequence),
            "{:?}",
            verdict.faults
        );
        assert_eq!(verdict.faults[0].what, FaultKind::OutOfOrder);
    }
}

#[test]
fn a_frame_left_out_or_repeated_is_found_by_the_chain_alone() {
    let place = closed();
    let (start, length, sequence) = frames(&std::fs::read(segment(&place.path, 1)).unwrap())[3];
    let left_out = without_seal(&place, |path| {
        alter(&segment(path, 1), |bytes| {
            drop(bytes.drain(start..start + length));
            bytes.extend(vec![0; length]);
        });
    });
    assert_eq!(left_out.first_broken(), Some(sequence));
    assert_eq!(left_out.faults[0].entry_end, Some(sequence + 1));
    let repeated = without_seal(&place, |path| {
        alter(&segment(path, 1), |bytes| {
            let again = bytes[start..start + length].to_vec();
            bytes.splice(start..start, again);
            bytes.truncate(bytes.len() - length);
        });
    });
    assert_eq!(repeated.first_broken(), Some(sequence + 1));
}

#[test]
fn segments_in_each_others_place_are_found_by_the_chain_alone() {
    let place = closed();
    let verdict = without_seal(&place, |path| {
        std::fs::rename(segment(path, 1), path.join("aside")).unwrap();
        std::fs::rename(segment(path, 2), segment(path, 1)).unwrap();
        std::fs::rename(path.join("aside"), segment(path, 2)).unwrap();
    });
    assert_eq!(verdict.faults[0].what, FaultKind::SegmentMisplaced);
    let first = frames(&std::fs::read(segment(&place.path, 1)).unwrap())[0].2;
    assert_eq!(verdict.first_broken(), Some(first));
}

/// Rewrites one entry with a right checksum, as somebody who knows the format would.
fn forge(path: &Path, number: u64, index: usize, from: &str, to: &str) -> u64 {
    assert_eq!(from.len(), to.len());
    let file = segment(path, number);
    let (start, length, sequence) = frames(&std::fs::read(&file).unwrap())[index];
    alter(&file, |bytes| {
        let frame = &mut bytes[start..start + length];
        let at = frame
            .windows(from.len())
            .position(|it| it == from.as_bytes())
            .unwrap();
        frame[at..at + from.len()].copy_from_slice(to.as_bytes());
        let checksum = crc32fast::hash(&frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    });
    sequence
}

#[test]
fn a_forged_entry_with_a_right_checksum_is_named_by_its_neighbours() {
    let place = closed();
    let mut forged = 0;
    let verdict = without_seal(&place, |path| {
        forged = forge(path, 1, 4, "permit", "denied")
    });
    assert_eq!(verdict.first_broken(), Some(forged));
    let fault = &verdict.faults[0];
    assert_eq!(fault.what, FaultKind::ChainBroken);
    // The bytes are those of the entry that is named, not of the one that told.
    let (start, length, _) = frames(&std::fs::read(segment(&place.path, 1)).unwrap())[4];
    let range = (fault.offset, fault.offset_end);
    assert_eq!(range, (Some(start as u64), Some((start + length) as u64)));
    assert_eq!(fault.entry_end, Some(forged + 1));
    // One whose link was forged is named itself, not the innocent one before it.
    let reader = Reader::open(&place.path).unwrap();
    let previous = reader
        .entry(forged)
        .unwrap()
        .unwrap()
        .header
        .previous
        .to_string();
    let verdict = without_seal(&place, |path| {
        let other = Digest::of(b"another").to_string();
        forged = forge(path, 1, 4, &previous, &other);
    });
    assert_eq!(verdict.first_broken(), Some(forged), "{:?}", verdict.faults);
}

#[test]
fn a_view_that_hides_an_entry_is_found_by_the_journal_alone() {
    let (place, other) = (closed(), another_place());
    // The same entries but one: its view is sound in itself.
    let log = open(&other.path);
    fill(&log, 0..50);
    fill(&log, 51..101);
    log.close().unwrap();
    std::fs::remove_dir_all(place.path.join("view")).unwrap();
    copy(&other.path.join("view"), &place.path.join("view"));
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    let verdict = check(&place.path);
    let fault = verdict
        .faults
        .iter()
        .find(|fault| fault.file == "view")
        .unwrap();
    assert_eq!(
        (fault.what, fault.entry),
        (FaultKind::ViewDiffers, Some(51))
    );
}

#[test]
fn entries_cut_off_the_end_are_found_by_a_head_that_was_noted_elsewhere() {
    let place = closed();
    let noted = Reader::open(&place.path).unwrap().head();
    let check = |path: &Path, expected_head| {
        let options = VerifyOptions {
            expected_head: Some(expected_head),
            skip_view: true,
            ..VerifyOptions::default()
        };
        verify(path, options).unwrap()
    };
    assert!(check(&place.path, noted).verified);
    let other = Head {
        hash: Digest::of(b"another"),
        ..noted
    };
    assert!(!check(&place.path, other).verified);
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    let last = files(&place.path.join("journal")).pop().unwrap();
    let (start, length, _) = *frames(&std::fs::read(&last).unwrap()).last().unwrap();
    alter(&last, |bytes| bytes[start..start + length].fill(0));
    let verdict = check(&place.path, noted);
    assert_eq!(verdict.faults[0].what, FaultKind::HeadDiffers);
    assert_eq!(verdict.first_broken(), Some(100));
    // Without a noted head the folder alone cannot tell, and says so.
    let verdict = quick(&place.path);
    assert!(verdict.verified && !verdict.sealed);
    let sealed = VerifyOptions {
        require_seal: true,
        skip_view: true,
        ..VerifyOptions::default()
    };
    assert!(!verify(&place.path, sealed).unwrap().verified);
}

#[test]
fn strange_files_and_folders_are_reported_and_never_followed() {
    let place = closed();
    std::fs::write(place.path.join("notes.txt"), b"?").unwrap();
    assert!(
        quick(&place.path)
            .faults
            .iter()
            .any(|fault| fault.what == FaultKind::UnknownFile)
    );
    std::fs::remove_file(place.path.join("notes.txt")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.path.join("journal/00000099.wal")).unwrap();
    assert!(!quick(&place.path).verified);
    std::fs::remove_file(place.path.join("journal/00000099.wal")).unwrap();
    let huge = std::fs::File::create(segment(&place.path, 99)).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::fs::remove_file(place.path.join("closed.json")).unwrap();
    let verdict = quick(&place.path);
    assert!(
        verdict
            .faults
            .iter()
            .any(|fault| fault.what == FaultKind::SegmentLength)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_journal_makes_the_verifier_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000), seal in any::<Option<Vec<u8>>>()) {
        let place = place();
        std::fs::create_dir_all(place.path.join("journal")).unwrap();
        std::fs::write(segment(&place.path, 0), &bytes).unwrap();
        if let Some(seal) = &seal {
            std::fs::write(place.path.join("closed.json"), seal).unwrap();
        }
        prop_assert!(!check(&place.path).verified);
        prop_assert_eq!(Reader::open(&place.path).unwrap().head().entries, 0);
    }
}

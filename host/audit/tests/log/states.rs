//! A disk in memory: what a power cut may leave of one run, state by state.
//!
//! A run of a log is written down call by call: entries by several callers, new segments, checkpoints, a close, a second
//! opening, a pruning, another close. A state is the run up to one of its calls, and of what was not synced by then any
//! choice: each sector of 512 bytes as it was, as it was written, or torn in the middle; so later writes may be there and
//! earlier ones not. Of names the first few changes in each folder are there. Each state is opened, and must hold
//! every entry that was acknowledged, and verify.
//!
//! `NEPHRON_STATES=100000 TMPDIR=/dev/shm cargo test --release -p nephron-audit --test log -- states::` goes through as
//! many; `NEPHRON_FIRST_STATE` says where it begins.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cap_std::fs::Dir;
use nephron_audit::faults::FaultyDisk;
use nephron_audit::{Disk, Log, OpenedFile, Reader, RealDisk, Retention, VerifyOptions};
use nephron_model::{Clock, Digest, EntryKind, FixedClock, Recorder as _};

use crate::support::{TestKey, clock, draft, place, tenant, with_disk};

const SECTOR: usize = 512;

/// One call that changed the folder, or something that was acknowledged.
enum Call {
    Created(PathBuf, usize),
    Allocated(usize, usize),
    Written(usize, usize, Vec<u8>),
    Synced(usize),
    FolderSynced(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    Acknowledged(u64, Digest),
}

#[derive(Default)]
struct Run {
    calls: Vec<Call>,
    /// Files by the names they have now.
    names: BTreeMap<PathBuf, usize>,
    files: usize,
}

/// The real disk, which writes down what is asked of it.
#[derive(Default)]
struct NotingDisk(Mutex<Run>);

impl NotingDisk {
    fn note(&self, call: impl FnOnce(&mut Run) -> Call) {
        let mut run = self.0.lock().unwrap();
        let call = call(&mut run);
        run.calls.push(call);
    }
}

impl Disk for NotingDisk {
    fn create(&self, root: &Dir, path: &Path) -> io::Result<OpenedFile> {
        let file = RealDisk.create(root, path)?;
        self.note(|run| {
            run.files += 1;
            run.names.insert(path.to_owned(), run.files);
            Call::Created(path.to_owned(), run.files)
        });
        Ok(file)
    }

    fn allocate(&self, file: &OpenedFile, length: u64) -> io::Result<()> {
        RealDisk.allocate(file, length)?;
        let length = usize::try_from(length).unwrap();
        self.note(|run| Call::Allocated(run.names[&file.path], length));
        Ok(())
    }

    fn write_at(&self, file: &OpenedFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write_at(file, bytes, offset)?;
        let offset = usize::try_from(offset).unwrap();
        self.note(|run| Call::Written(run.names[&file.path], offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self, file: &OpenedFile) -> io::Result<()> {
        self.note(|run| Call::Synced(run.names[&file.path]));
        Ok(())
    }

    fn sync_folder(&self, _: &Dir, path: &Path) -> io::Result<()> {
        self.note(|_| Call::FolderSynced(path.to_owned()));
        Ok(())
    }

    fn rename(&self, root: &Dir, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(root, from, to)?;
        self.note(|run| {
            let file = run.names.remove(from).unwrap();
            run.names.insert(to.to_owned(), file);
            Call::Renamed(from.to_owned(), to.to_owned())
        });
        Ok(())
    }

    fn remove(&self, root: &Dir, path: &Path) -> io::Result<()> {
        RealDisk.remove(root, path)?;
        self.note(|run| {
            run.names.remove(path);
            Call::Removed(path.to_owned())
        });
        Ok(())
    }
}

fn years_later() -> Arc<dyn Clock> {
    let clock = FixedClock::at(clock().now().seconds);
    clock.advance(Duration::from_secs(7 * 366 * 86_400));
    Arc::new(clock)
}

fn record(log: &Log, disk: &NotingDisk, numbers: std::ops::Range<u64>) {
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let numbers = numbers.clone().filter(move |number| number % 3 == writer);
            scope.spawn(move || {
                for number in numbers {
                    let recorded = log.record(draft(number)).wait().unwrap();
                    disk.note(|_| Call::Acknowledged(recorded.sequence(), recorded.hash()));
                }
            });
        }
    });
}

/// One run, from an empty folder on.
fn run() -> Vec<Call> {
    let (place, disk) = (place(), Arc::new(NotingDisk::default()));
    let options = || with_disk(Arc::clone(&disk) as _);
    let log = Log::open(&place.path, &tenant(), clock(), options()).unwrap();
    log.sign_with(TestKey::new(1));
    record(&log, &disk, 0..60);
    log.checkpoint().unwrap();
    record(&log, &disk, 60..90);
    log.close().unwrap();
    let log = Log::open(&place.path, &tenant(), years_later(), options()).unwrap();
    log.sign_with(TestKey::new(1));
    record(&log, &disk, 90..110);
    assert!(
        log.prune(
            Retention::FLOOR,
            "records",
            "age",
            years_later().now().day().parse().ok()
        )
        .unwrap()
        .payloads
            > 10
    );
    record(&log, &disk, 110..130);
    log.close().unwrap();
    let mut run = disk.0.lock().unwrap();
    std::mem::take(&mut run.calls)
}

/// SplitMix64: the same choices for the same seed, whatever crates do.
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// What is written and not synced, in order; a length alone where it was allocated.
    pending: Vec<(usize, Vec<u8>)>,
    allocated: usize,
}

fn lay(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    let end = offset + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(part);
}

impl File {
    fn sync(&mut self) {
        let allocated = self.allocated.max(self.durable.len());
        self.durable.resize(allocated, 0);
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            lay(&mut self.durable, offset, &bytes);
        }
    }

    /// What a power cut leaves.
    fn cut(&self, choices: &mut Choices) -> Vec<u8> {
        let mut left = self.durable.clone();
        if self.allocated > left.len() && choices.below(2) == 0 {
            left.resize(self.allocated, 0);
        }
        for (offset, bytes) in &self.pending {
            let mut at = 0;
            while at < bytes.len() {
                // Sectors are those of the disk, wherever the write began.
                let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                let written = match choices.below(5) {
                    0 | 1 => end,
                    2 | 3 => at,
                    _ => at + choices.below(end - at),
                };
                if written > at {
                    lay(&mut left, offset + at, &bytes[at..written]);
                }
                at = end;
            }
        }
        left
    }
}

/// A change of names that is not durable yet.
enum Naming {
    Put(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Take(PathBuf),
}

impl Naming {
    fn folder(&self) -> &Path {
        let (Self::Put(path, _) | Self::Move(path, _) | Self::Take(path)) = self;
        path.parent().unwrap()
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Put(path, file) => drop(names.insert(path, file)),
            Self::Move(from, to) => {
                if let Some(file) = names.remove(&from) {
                    names.insert(to, file);
                }
            }
            Self::Take(path) => drop(names.remove(&path)),
        }
    }
}

/// Lays down in `folder` what a power cut after some calls leaves; gives what was acknowledged by then.
fn lay_down(run: &[Call], folder: &Path, choices: &mut Choices) -> BTreeMap<u64, Digest> {
    let mut files: BTreeMap<usize, File> = BTreeMap::new();
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut naming: Vec<Naming> = Vec::new();
    let mut acknowledged = BTreeMap::new();
    for call in run {
        match call {
            Call::Created(path, file) => {
                files.insert(*file, File::default());
                naming.push(Naming::Put(path.clone(), *file));
            }
            Call::Allocated(file, length) => {
                files.entry(*file).or_default().allocated = *length;
            }
            Call::Written(file, offset, bytes) => {
                let file = files.entry(*file).or_default();
                file.pending.push((*offset, bytes.clone()));
            }
            Call::Synced(file) => files.entry(*file).or_default().sync(),
            Call::FolderSynced(folder) => {
                let (synced, left) = naming.into_iter().partition(|it| it.folder() == folder);
                let synced: Vec<Naming> = synced;
                naming = left;
                synced.into_iter().for_each(|it| it.apply(&mut names));
            }
            Call::Renamed(from, to) => naming.push(Naming::Move(from.clone(), to.clone())),
            Call::Removed(path) => naming.push(Naming::Take(path.clone())),
            Call::Acknowledged(sequence, hash) => {
                acknowledged.insert(*sequence, *hash);
            }
        }
    }
    // In each folder the first few of the changes that were not synced.
    let mut kept: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for it in &naming {
        *kept.entry(it.folder().to_owned()).or_default() += 1;
    }
    for count in kept.values_mut() {
        *count = choices.below(*count + 1);
    }
    for it in naming {
        let left = kept.get_mut(it.folder()).unwrap();
        if *left > 0 {
            *left -= 1;
            it.apply(&mut names);
        }
    }
    std::fs::create_dir_all(folder).unwrap();
    for (path, file) in names {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, files[&file].cut(choices)).unwrap();
    }
    acknowledged
}

/// Opens what a power cut left, and finds everything in it that was acknowledged.
fn holds(folder: &Path, acknowledged: &BTreeMap<u64, Digest>, state: &str) {
    let disk = Arc::new(FaultyDisk::new());
    // Every other one as a long log is opened, of which the rest is read while it serves.
    let mut options = with_disk(disk);
    if acknowledged.len().is_multiple_of(2) {
        options.read_first = 0;
    }
    let log = Log::open(folder, &tenant(), years_later(), options)
        .unwrap_or_else(|error| panic!("{state}: {:#}", anyhow(&error)));
    log.sign_with(TestKey::new(1));
    let _recorded = log.record(draft(1)).wait().unwrap();
    assert!(log.wait_until_read(), "{state}");
    log.close().unwrap();
    let options = VerifyOptions {
        skip_view: true,
        require_seal: true,
        ..VerifyOptions::default()
    };
    let verdict = nephron_audit::verify(folder, options).unwrap();
    assert!(verdict.verified, "{state}: {:?}", verdict.faults);
    let reader = Reader::open(folder).unwrap();
    let (mut found, mut last_pruned) = (0, None);
    for entry in reader.entries(0..u64::MAX) {
        let entry = entry.unwrap();
        let header = &entry.header;
        if let Some(hash) = acknowledged.get(&header.sequence) {
            assert_eq!(entry.hash, *hash, "{state}: entry {}", header.sequence);
            found += 1;
        }
        if header.kind == EntryKind::PayloadsPruned {
            last_pruned = header.facts["last"].parse::<u64>().ok();
        }
    }
    assert_eq!(
        found,
        acknowledged.len(),
        "{state}: an acknowledged entry is lost"
    );
    // A pruning is whole or not there.
    for entry in reader.entries(0..u64::MAX).map(Result::unwrap) {
        let is_old = last_pruned.is_some_and(|last| entry.header.sequence <= last);
        let is_there = entry.payload.is_some_and(|payload| !payload.is_empty());
        assert!(
            !(is_old && is_there),
            "{state}: entry {}",
            entry.header.sequence
        );
        assert!(
            is_old || !entry.is_pruned,
            "{state}: entry {}",
            entry.header.sequence
        );
    }
}

/// An error with its causes.
fn anyhow(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A number that is asked for from outside.
fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn i1_no_state_of_a_disk_after_a_power_cut_loses_an_acknowledged_entry() {
    let run = run();
    assert!(run.len() > 300, "{}", run.len());
    let (first, count) = (
        asked("NEPHRON_FIRST_STATE", 0),
        asked("NEPHRON_STATES", 200),
    );
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let run = &run;
            scope.spawn(move || {
                for state in
                    (first + thread..first + count).step_by(usize::try_from(threads).unwrap())
                {
                    let mut choices = Choices(state);
                    let end = choices.below(run.len() + 1);
                    let place = place();
                    let calls = run.get(..end).unwrap();
                    let acknowledged = lay_down(calls, &place.path, &mut choices);
                    holds(
                        &place.path,
                        &acknowledged,
                        &format!("state {state} after {end} calls"),
                    );
                }
            });
        }
    });
}

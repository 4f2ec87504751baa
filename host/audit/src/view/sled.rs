//! The view in sled 0.34.7, with the precautions that its crash tests taught (FACTS: sled).
//!
//! - `flush` is not durable on Linux, so `db` is synced by us afterwards.
//! - A value that becomes a blob is never synced: values stay below 64 KiB, segments are 8 MiB, and `blobs/` must be empty.
//! - Whoever waits for a write that then fails may not be woken, and waits for ever: he is woken by whoever flushes after that.
//! - Killed while it opens, sled can leave `snap.*.generating`, which keeps it from ever opening again: removed first.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use nephron_model::Digest;

use super::{Addition, RecordName, Row, Shelf, TermKey, View, ViewError, Views};
use crate::frame::{u32_at, u64_at};
use crate::{Head, Location};

/// How often it is looked whether somebody waits for a write that has failed.
const WAKING: Duration = Duration::from_millis(200);
/// Bytes of rows that are stored under one key, at most; with one longest row more it stays below 64 KiB.
const BLOCK: usize = 24 << 10;
/// Records that are stored under one key, at most.
const SHELF_PART: usize = 600;
/// Bytes of a record's name and place.
const RECORD: usize = 16 + 8 + 8 + 8;
/// Bytes of a row before its header.
const ROW_HEADER: usize = 4 + 8 + 8 + 32;

const HEAD: &[u8] = b"head";
const FORMAT: &[u8] = b"format";
const FORMAT_VERSION: &[u8] = b"nephron-view-2";
const ROWS: u8 = b'e';
const TERMS: u8 = b'i';
const RECORDS: u8 = b'r';

/// Opens views in sled.
#[derive(Clone, Copy, Debug)]
pub struct SledViews {
    /// Bytes of sled's own log segments. Below 8 MiB, long values become blobs and the view fails its own check.
    pub segment_size: usize,
    /// Bytes of sled's page cache.
    pub cache: u64,
    /// How long a closed view may take to let go of its files.
    pub patience: Duration,
}

impl Default for SledViews {
    fn default() -> Self {
        Self {
            segment_size: 8 << 20,
            cache: 16 << 20,
            patience: Duration::from_secs(10),
        }
    }
}

impl Views for SledViews {
    fn open(&self, folder: &Path) -> Result<Box<dyn View>, ViewError> {
        remove_unfinished_snapshots(folder).map_err(|error| ViewError::of_io(&error))?;
        let config = sled::Config::new()
            .path(folder)
            .segment_size(self.segment_size)
            .cache_capacity(self.cache)
            .flush_every_ms(None);
        let database = config.open()?;
        match database.get(FORMAT)? {
            Some(version) if version.as_ref() == FORMAT_VERSION => {}
            None if database.is_empty() => drop(database.insert(FORMAT, FORMAT_VERSION)?),
            Some(_) | None => return Err(ViewError::Malformed),
        }
        let folder = folder.to_owned();
        Ok(Box::new(SledView {
            database,
            config,
            folder,
        }))
    }

    fn released(&self, folder: &Path) -> Result<(), ViewError> {
        // sled holds a lock on `db` for as long as any of its threads has the database; whoever gets the lock knows that
        // they are gone. It is waited for in a thread, because a store that panicked may never let go.
        let path = folder.join("db");
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = std::thread::Builder::new()
            .name("log-view-close".to_owned())
            .spawn(move || {
                let locked = fs::File::open(path).and_then(|file| file.lock());
                drop(sender.send(locked));
            });
        drop(waiting.map_err(|error| ViewError::of_io(&error))?);
        match receiver.recv_timeout(self.patience) {
            Ok(locked) => locked.map_err(|error| ViewError::of_io(&error)),
            Err(_) => Err(ViewError::Store(
                "a closed view holds on to its files".to_owned(),
            )),
        }
    }
}

struct SledView {
    database: sled::Db,
    /// What it was opened with, which knows whether it has failed.
    config: sled::Config,
    folder: PathBuf,
}

impl SledView {
    /// Calls what may wait for writes, and wakes it if they fail. After its first failure sled does nothing more, so that whoever
    /// wakes does not wait.
    fn woken<T>(&self, call: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let (done, until_done) = std::sync::mpsc::channel::<()>();
            let waking = move || {
                while until_done.recv_timeout(WAKING) == Err(RecvTimeoutError::Timeout) {
                    if self.config.global_error().is_err() {
                        drop(self.database.flush());
                    }
                }
            };
            let thread = std::thread::Builder::new().name("log-view-wake".to_owned());
            // Where there is no thread, there may be one the next time.
            drop(thread.spawn_scoped(scope, waking));
            let called = call();
            drop(done);
            called
        })
    }
}

impl Drop for SledView {
    fn drop(&mut self) {
        // What the database does when it is dropped, before nobody can wake it any more.
        self.woken(|| while self.database.flush().is_ok_and(|written| written > 0) {});
    }
}

impl View for SledView {
    fn head(&self) -> Result<Head, ViewError> {
        match self.database.get(HEAD)? {
            None => Ok(Head::START),
            Some(value) => decode_head(&value).ok_or(ViewError::Malformed),
        }
    }

    fn add(&self, additions: &[Addition], head: Head) -> Result<(), ViewError> {
        let mut batch = sled::Batch::default();
        for (first, block) in blocks(additions) {
            batch.insert(key(ROWS, &first.to_be_bytes(), &[]), block);
        }
        for (term, first, sequences) in postings(additions) {
            batch.insert(key(TERMS, &term.0, &first.to_be_bytes()), sequences);
        }
        for ((shelf, part), records) in shelved(additions) {
            batch.insert(key(RECORDS, &shelf.0, &part), records);
        }
        let mut value = head.entries.to_le_bytes().to_vec();
        value.extend_from_slice(&head.hash.0);
        batch.insert(HEAD, value);
        Ok(self.woken(|| self.database.apply_batch(batch))?)
    }

    fn row(&self, sequence: u64) -> Result<Option<Row>, ViewError> {
        let from = key(ROWS, &[], &[]);
        let to = key(ROWS, &sequence.to_be_bytes(), &[]);
        let Some(found) = self.database.range(from..=to).next_back() else {
            return Ok(None);
        };
        let (block_key, block) = found?;
        let first = first_of(&block_key, 1).ok_or(ViewError::Malformed)?;
        let mut rest: &[u8] = &block;
        for at in first..=sequence {
            if rest.is_empty() {
                return Ok(None);
            }
            let (row, after) = decode_row(rest, at).ok_or(ViewError::Malformed)?;
            if at == sequence {
                return Ok(Some(row));
            }
            rest = after;
        }
        Ok(None)
    }

    fn sequences(&self, term: TermKey) -> Result<Vec<u64>, ViewError> {
        let mut sequences = Vec::new();
        for pair in self.database.scan_prefix(key(TERMS, &term.0, &[])) {
            let (_, list) = pair?;
            sequences.extend(decode_sequences(&list)?);
        }
        Ok(sequences)
    }

    fn records(
        &self,
        shelf: Shelf,
        names: &[RecordName],
    ) -> Result<Vec<Option<(u64, Location)>>, ViewError> {
        let mut missing: BTreeMap<RecordName, Vec<usize>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            missing.entry(*name).or_default().push(index);
        }
        let mut places = vec![None; names.len()];
        // The newest stands last.
        for pair in self.database.scan_prefix(key(RECORDS, &shelf.0, &[])).rev() {
            let (_, records) = pair?;
            for record in records.chunks(RECORD).rev() {
                let (name, place) = decode_record(record).ok_or(ViewError::Malformed)?;
                for index in missing.remove(&name).unwrap_or_default() {
                    if let Some(found) = places.get_mut(index) {
                        *found = Some(place);
                    }
                }
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(places)
    }

    fn each_term(&self, each: &mut dyn FnMut(TermKey, u64)) -> Result<(), ViewError> {
        for pair in self.database.scan_prefix([TERMS]) {
            let (stored, list) = pair?;
            let term = name_of(&stored).ok_or(ViewError::Malformed)?;
            for sequence in decode_sequences(&list)? {
                each(TermKey(term), sequence);
            }
        }
        Ok(())
    }

    fn each_record(
        &self,
        each: &mut dyn FnMut(RecordName, u64, Location),
    ) -> Result<(), ViewError> {
        // Shelf by shelf, oldest first: of what was written twice, the newest counts.
        let mut shelf: Option<[u8; 16]> = None;
        let mut newest: BTreeMap<RecordName, (u64, Location)> = BTreeMap::new();
        for pair in self.database.scan_prefix([RECORDS]) {
            let (stored, records) = pair?;
            let name = name_of(&stored).ok_or(ViewError::Malformed)?;
            if shelf.replace(name) != Some(name) {
                for (name, (sequence, at)) in std::mem::take(&mut newest) {
                    each(name, sequence, at);
                }
            }
            for record in records.chunks(RECORD) {
                let (name, place) = decode_record(record).ok_or(ViewError::Malformed)?;
                newest.insert(name, place);
            }
        }
        for (name, (sequence, at)) in newest {
            each(name, sequence, at);
        }
        Ok(())
    }

    fn each_name(&self, each: &mut dyn FnMut([u8; 16])) -> Result<(), ViewError> {
        for family in [TERMS, RECORDS] {
            for stored in self.database.scan_prefix([family]).keys() {
                each(name_of(&stored?).ok_or(ViewError::Malformed)?);
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), ViewError> {
        let before = self.head()?;
        self.woken(|| self.database.flush())?;
        let sync = || {
            rustix::fs::fdatasync(fs::File::open(self.folder.join("db"))?)?;
            fs::File::open(&self.folder)?.sync_all()?;
            match fs::read_dir(self.folder.join("blobs")) {
                Ok(mut blobs) => Ok(blobs.next().is_none()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
                Err(error) => Err(error),
            }
        };
        let has_no_blobs = sync().map_err(|error: io::Error| ViewError::of_io(&error))?;
        if !has_no_blobs {
            return Err(ViewError::Blob);
        }
        let last = match before.entries.checked_sub(1) {
            Some(last) => self.row(last)?.map(|row| row.hash),
            None => Some(before.hash),
        };
        if self.head()? != before || last != Some(before.hash) {
            return Err(ViewError::Malformed);
        }
        Ok(())
    }
}

impl From<sled::Error> for ViewError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::of_io(&error),
            error @ (sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. }) => Self::Store(error.to_string()),
        }
    }
}

fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for file in files {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Rows in runs, each below 64 KiB, under the sequence of its first.
fn blocks(additions: &[Addition]) -> Vec<(u64, Vec<u8>)> {
    let mut blocks: Vec<(u64, Vec<u8>)> = Vec::new();
    for Addition { row, .. } in additions {
        let block = match blocks.last_mut() {
            Some((_, block)) if block.len() < BLOCK => block,
            _ => {
                blocks.push((row.sequence, Vec::new()));
                let Some((_, block)) = blocks.last_mut() else {
                    continue;
                };
                block
            }
        };
        let length = u32::try_from(row.header.len()).unwrap_or(u32::MAX);
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(&row.at.segment.to_le_bytes());
        block.extend_from_slice(&row.at.offset.to_le_bytes());
        block.extend_from_slice(&row.hash.0);
        block.extend_from_slice(&row.header);
    }
    blocks
}

/// For each term its sequences in this batch, under the first of them.
fn postings(additions: &[Addition]) -> Vec<(TermKey, u64, Vec<u8>)> {
    let mut pairs: Vec<(TermKey, u64)> = Vec::new();
    for addition in additions {
        pairs.extend(
            addition
                .terms
                .iter()
                .map(|term| (*term, addition.row.sequence)),
        );
    }
    pairs.sort_unstable();
    let mut postings: Vec<(TermKey, u64, Vec<u8>)> = Vec::new();
    for (term, sequence) in pairs {
        match postings.last_mut() {
            Some((last, _, list)) if *last == term => {
                list.extend_from_slice(&sequence.to_le_bytes())
            }
            _ => postings.push((term, sequence, sequence.to_le_bytes().to_vec())),
        }
    }
    postings
}

/// The records of this batch by shelf, oldest first, in parts below 64 KiB: each under the sequence of its first, and a
/// number, because one entry may fill several.
fn shelved(additions: &[Addition]) -> BTreeMap<(Shelf, [u8; 12]), Vec<u8>> {
    let mut parts: BTreeMap<(Shelf, [u8; 12]), Vec<u8>> = BTreeMap::new();
    let mut open: BTreeMap<Shelf, ([u8; 12], u32)> = BTreeMap::new();
    for Addition { row, records, .. } in additions {
        for (shelf, name) in records {
            let (part, written) = open
                .entry(*shelf)
                .or_insert_with(|| (part(row.sequence, 0), 0));
            if *written > 0 && (*written as usize).is_multiple_of(SHELF_PART) {
                *part = self::part(row.sequence, *written);
            }
            *written += 1;
            let list = parts.entry((*shelf, *part)).or_default();
            list.extend_from_slice(&name.0);
            list.extend_from_slice(&row.sequence.to_le_bytes());
            list.extend_from_slice(&row.at.segment.to_le_bytes());
            list.extend_from_slice(&row.at.offset.to_le_bytes());
        }
    }
    parts
}

/// A sequence and a number, in an order that bytes have too.
fn part(sequence: u64, number: u32) -> [u8; 12] {
    let mut part = [0; 12];
    let bytes = sequence
        .to_be_bytes()
        .into_iter()
        .chain(number.to_be_bytes());
    part.iter_mut()
        .zip(bytes)
        .for_each(|(place, byte)| *place = byte);
    part
}

fn key(family: u8, name: &[u8], suffix: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len() + suffix.len());
    key.push(family);
    key.extend_from_slice(name);
    key.extend_from_slice(suffix);
    key
}

fn first_of(key: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(offset..)?.try_into().ok()?))
}

fn name_of(key: &[u8]) -> Option<[u8; 16]> {
    key.get(1..17)?.try_into().ok()
}

fn decode_head(value: &[u8]) -> Option<Head> {
    Some(Head {
        entries: u64_at(value, 0)?,
        hash: Digest(value.get(8..)?.try_into().ok()?),
    })
}

fn decode_record(bytes: &[u8]) -> Option<(RecordName, (u64, Location))> {
    let at = Location {
        segment: u64_at(bytes, 24)?,
        offset: u64_at(bytes, 32)?,
    };
    Some((
        RecordName(bytes.get(..16)?.try_into().ok()?),
        (u64_at(bytes, 16)?, at),
    ))
}

fn decode_row(bytes: &[u8], sequence: u64) -> Option<(Row, &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let (header, rest) = bytes.get(ROW_HEADER..)?.split_at_checked(length)?;
    let row = Row {
        sequence,
        at: Location {
            segment: u64_at(bytes, 4)?,
            offset: u64_at(bytes, 12)?,
        },
        hash: Digest(bytes.get(20..52)?.try_into().ok()?),
        header: header.to_vec(),
    };
    Some((row, rest))
}

fn decode_sequences(list: &[u8]) -> Result<Vec<u64>, ViewError> {
    let sequences = list.chunks(8).map(|bytes| u64_at(bytes, 0));
    sequences.collect::<Option<_>>().ok_or(ViewError::Malformed)
}

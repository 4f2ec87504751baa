//! The log of one tenant, open for appending.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cap_std::fs::OpenOptions;
use nephron_model::{
    Clock, Commit, Draft, EntryKind, EventId, Recorder, Records, RecordsError, Signer, Space,
    TenantId, Timestamp,
};

use crate::checkpoint::{self, origin};
use crate::disk::Folder;
use crate::earlier::Reading;
use crate::intake::Intake;
use crate::options::check;
use crate::overlay::{Newest, Overlay};
use crate::proof::{prove_entry, prove_growth};
use crate::recover::{FoundView, Recovered, recover};
use crate::seal::{SealedFile, seal};
use crate::seat::{Ended, Rest};
use crate::view::follow::{Follower, Slot};
use crate::view::tide::Tide;
use crate::view::{Damage, RecordName, Shelf, Term, View, ViewError, ViewStanding, guard};
use crate::writer::{Shared, Writer};
use crate::{
    CheckpointError, CloseError, Entries, Entry, EntryProof, GrowthProof, Head, Location,
    OpenError, Options, ProveError, ReadError, SignedCheckpoint, VerifierKey,
};

/// How long the view may take to be brought up to date and to rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// The log of one tenant, open for appending. Cloning is cheap; the last clone that is dropped closes it.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Of what was left for later.
    reading: Arc<Reading>,
    /// Files that nobody writes to any more, as the last seal had them.
    sealed: Vec<SealedFile>,
    tenant: TenantId,
    slot: Slot,
    signer: OnceLock<Arc<dyn Signer>>,
    /// Until it is closed: holds the lock for as long as it is open.
    running: Mutex<Option<File>>,
}

impl Log {
    /// Opens the log in `folder`, making the folder and the first entry if there is none yet. Reads the journal, of a long one
    /// what its newest checkpoint does not cover ([`Options::read_first`]),
    /// repairs what a crash may have left, and records each repair. Times never go backwards, whatever `clock` says.
    ///
    /// # Errors
    /// [`OpenError`]: damage that no crash explains, another holder, another tenant, or a disk that refuses.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the options are the log's from here on"
    )]
    pub fn open(
        folder: &Path,
        tenant: &TenantId,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, OpenError> {
        check(&options)?;
        let is_new = !folder.exists();
        let opened = Self::open_in(folder, tenant, clock, &options);
        let is_ours = !matches!(opened, Ok(_) | Err(OpenError::InUse { .. }));
        if is_new && is_ours {
            // No half-made log stays behind; if even this fails, the next open finishes what is there.
            drop(std::fs::remove_dir_all(folder));
        }
        opened
    }

    fn open_in(
        path: &Path,
        tenant: &TenantId,
        clock: Arc<dyn Clock>,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let folder = make_folder(path, options).map_err(|source| OpenError::Folder {
            path: path.to_owned(),
            source,
        })?;
        let lock = lock(&folder)?;
        let Recovered {
            journal,
            tail,
            head,
            time,
            tiling,
            view,
            kept,
            pruned,
            unpruned,
            repairs,
            sealed,
            earlier,
        } = recover(&folder, tenant, options)?;

        let rest = Rest::after(options.rest_after);
        let is_open = matches!(view, FoundView::Open(..));
        let is_refused = matches!(view, FoundView::Refused);
        let (view, viewed, tide) = match view {
            FoundView::Open(view, viewed) => {
                (Some(view), viewed, Tide::new(head, viewed.entries, rest))
            }
            FoundView::AtRest => (None, head, Tide::at_rest(head, rest)),
            FoundView::Refused => (None, Head::START, Tide::refused(head, rest)),
        };
        let shared = Arc::new(Shared {
            folder,
            journal,
            intake: Intake::new(tenant.clone(), clock, options, head, time),
            overlay: Overlay::starting_at(head.entries, kept, earlier.is_none()),
            tide,
            tiling: Mutex::new(tiling),
            rolls: AtomicBool::new(false),
            retaining: Mutex::default(),
            pruned: AtomicU64::new(pruned),
            unpruned: Mutex::new(unpruned),
            rewritten: AtomicBool::new(false),
        });
        let slot: Slot = Arc::new(RwLock::new(view));
        let writer = Writer::new(Arc::clone(&shared), tail, head, options.segment_size);
        let views = Arc::clone(&options.view);
        let (sharing, slotted) = (Arc::clone(&shared), Arc::clone(&slot));
        let follower = match is_refused {
            true => Follower::of_refused(sharing, views, slotted),
            false => Follower::new(sharing, views, slotted, viewed),
        };
        let storage = |source| OpenError::Storage {
            path: path.to_owned(),
            what: "starting its threads",
            source,
        };
        shared.intake.seat.begin(writer).map_err(storage)?;
        let following = match is_open {
            true => shared.tide.seat.begin(follower),
            false => {
                shared.tide.seat.begin_at_rest(follower);
                Ok(())
            }
        };
        if let Err(error) = following {
            let _ended = shared.intake.end();
            return Err(storage(error));
        }
        let reading = match earlier {
            Some(earlier) => Reading::begin(&shared, earlier),
            None => Reading::none(),
        };
        let log = Self {
            inner: Arc::new(Inner {
                shared,
                reading,
                sealed,
                tenant: tenant.clone(),
                slot,
                signer: OnceLock::new(),
                running: Mutex::new(Some(lock)),
            }),
        };

        let mut first = Vec::new();
        if head.entries == 0 {
            let opened = Draft::new(EntryKind::LogOpened, "ok");
            first.push(opened.fact("format", "1").fact("tenant", tenant.as_str()));
        }
        for draft in first.into_iter().chain(repairs) {
            let recorded = log.record(draft).wait();
            let _durable = recorded.map_err(|source| OpenError::NotRecorded {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(log)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Whether the disk has stopped it: then nothing more is taken until it is opened again.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.shared.intake.poisoned().is_some()
    }

    /// Whether all of its journal was read since it was opened, and held: of a long one ([`Options::read_first`]) a thread reads what the
    /// newest checkpoint covers while the log serves, and stops it if something there does not hold.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.inner.reading.is_over() && !self.is_stopped()
    }

    /// Waits until all of its journal was read, and says whether it held.
    #[must_use]
    pub fn wait_until_read(&self) -> bool {
        self.inner.reading.wait();
        !self.is_stopped()
    }

    /// Whether it has had nothing to do for so long ([`Options::rest_after`]) that its view is closed and its threads have ended.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let shared = &self.inner.shared;
        shared.intake.seat.is_at_rest() && shared.tide.seat.is_at_rest()
    }

    /// How its view stands. One that is missing is tried again by whoever asks, and by [`Log::try_view_again`].
    #[must_use]
    pub fn view_standing(&self) -> ViewStanding {
        self.inner.shared.tide.standing()
    }

    /// Has a view that is missing tried again, if it is time. Waits for nothing.
    pub fn try_view_again(&self) {
        self.inner.shared.tide.try_again();
    }

    /// How many folders stand in its `damaged/`, each with something that was set aside: damaged views, torn tails.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.inner.shared.folder.aside()
    }

    /// The last durable entry.
    #[must_use]
    pub fn head(&self) -> Head {
        self.inner.shared.tide.durable()
    }

    /// The tenant whose log this is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.inner.tenant
    }

    /// The entry at `sequence`, held against its own digests; `None` if the log is not that long.
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read or is not what was written.
    pub fn entry(&self, sequence: u64) -> Result<Option<Entry>, ReadError> {
        let shared = &self.inner.shared;
        if sequence >= shared.tide.durable().entries {
            return Ok(None);
        }
        let row = self.ask(|view| view.row(sequence)).flatten();
        if let Some(row) = &row
            && let Ok(entry) = shared.journal.read(sequence, row.at)
            && entry.hash == row.hash
        {
            return Ok(Some(entry));
        }
        let at = shared.journal.find(sequence)?;
        let entry = shared.journal.read(sequence, at)?;
        if row.is_some() {
            // The journal is sound, so the view is not.
            shared.tide.doubt(Damage::Differs);
        }
        Ok(Some(entry))
    }

    /// The durable entries of `range` (half open), in order, read from the journal. Ends after the first error.
    #[must_use]
    pub fn entries(&self, range: Range<u64>) -> Entries {
        let durable = self.inner.shared.tide.durable().entries;
        let end = range.end.min(durable);
        self.inner.shared.journal.entries(range.start..end)
    }

    /// The sequences of the entries of one request, in order.
    ///
    /// # Errors
    /// [`ReadError`] when neither the view nor the journal can be read.
    pub fn of_request(&self, request: EventId) -> Result<Vec<u64>, ReadError> {
        self.sequences(&Term::Request(request))
    }

    /// The sequences of the durable entries with this term, in order.
    ///
    /// # Errors
    /// [`ReadError`] when neither the view nor the journal can be read.
    pub fn sequences(&self, term: &Term) -> Result<Vec<u64>, ReadError> {
        let shared = &self.inner.shared;
        let durable = shared.tide.durable().entries;
        if shared.tide.catch_up().is_some()
            && let Some(mut sequences) = self.ask(|view| match view.head()?.entries >= durable {
                true => view.sequences(term.key()),
                false => Err(ViewError::Malformed),
            })
        {
            sequences.retain(|sequence| *sequence < durable);
            return Ok(sequences);
        }
        sequences_in(self.entries(0..durable), term)
    }

    /// Has checkpoints signed from now on; the first signer stays. Closing the log then makes one.
    pub fn sign_with(&self, signer: Arc<dyn Signer>) {
        // A second signer would be a second name for the same log.
        drop(self.inner.signer.set(signer));
    }

    /// The key by which this log's checkpoints are verified; nothing if nothing signs them.
    ///
    /// # Errors
    /// [`ReadError`] when the first entry, which gives the log its name, cannot be read.
    pub fn verifier_key(&self) -> Result<Option<VerifierKey>, ReadError> {
        let Some(signer) = self.inner.signer.get() else {
            return Ok(None);
        };
        let origin = self.inner.origin()?;
        Ok(VerifierKey::new(&origin, signer.public_key()))
    }

    /// Signs and stores a checkpoint of everything that is durable. If nothing was added since the last, gives that.
    ///
    /// # Errors
    /// [`CheckpointError`]. The log goes on.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, CheckpointError> {
        self.inner.checkpoint()
    }

    /// Proves that the entry `sequence` stands in this log, against the newest stored checkpoint.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove(&self, sequence: u64) -> Result<EntryProof, ProveError> {
        let shared = &self.inner.shared;
        let read = || self.entry(sequence);
        prove_entry(&shared.folder.root, &shared.journal, sequence, read)
    }

    /// Proves that the newest stored checkpoint begins with the first `old` entries.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove_growth(&self, old: u64) -> Result<GrowthProof, ProveError> {
        let shared = &self.inner.shared;
        prove_growth(&shared.folder.root, &shared.journal, old)
    }

    /// Stops taking entries, makes those that wait durable, brings the view up to date and seals the folder. Every clone
    /// of this log is closed with it.
    ///
    /// # Errors
    /// [`CloseError`] when the log could not be left sealed. What was acknowledged is durable all the same.
    pub fn close(self) -> Result<Head, CloseError> {
        self.inner.close()
    }

    /// Asks the view; whatever goes wrong there is the follower's business, and the answer comes from the journal.
    fn ask<T>(&self, question: impl FnOnce(&dyn View) -> Result<T, ViewError>) -> Option<T> {
        let tide = &self.inner.shared.tide;
        let slot = loop {
            let is_there = tide.open_view();
            let slot = self.inner.slot.read();
            let slot = slot.unwrap_or_else(PoisonError::into_inner);
            // It may have gone to rest in between.
            if slot.is_some() || !is_there || !tide.is_resting() {
                break slot;
            }
        };
        let view = slot.as_deref()?;
        let answered = guard(|| question(view));
        drop(slot);
        answered
            .inspect_err(|error| tide.doubt(Damage::of(error)))
            .ok()
    }

    /// The newest value of a record that stands at `place`, and the entry that was read for it: `last`, if that is the
    /// one.
    fn read_at(
        &self,
        (sequence, at): (u64, Location),
        last: Option<Entry>,
        space: Space,
        key: &[u8],
    ) -> Result<(Option<Vec<u8>>, Option<Entry>), ReadError> {
        let shared = &self.inner.shared;
        let read = match last.filter(|entry| entry.header.sequence == sequence) {
            Some(entry) => Ok(entry),
            None => shared.journal.read(sequence, at),
        };
        // The journal has the last word: a wrong place in the view shows here, and the journal is searched instead.
        let entry = match read {
            Ok(entry) if holds(&entry, space, key) => Some(entry),
            Ok(_) | Err(_) => {
                shared.tide.doubt(Damage::Differs);
                let durable = shared.tide.durable().entries;
                match newest_in(shared.journal.entries(0..durable), space, key)? {
                    Some(sequence) => self.entry(sequence)?,
                    None => None,
                }
            }
        };
        let value = entry.as_ref().and_then(|entry| value_in(entry, space, key));
        Ok((value, entry))
    }

    /// The newest place of each of some records, in order.
    fn newest(
        &self,
        space: Space,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<(u64, Location)>>, ReadError> {
        let shared = &self.inner.shared;
        // The overlay first: what it forgets, the view has had before.
        let mut places = Vec::with_capacity(keys.len());
        let mut unseen: BTreeMap<Shelf, Vec<(usize, u64)>> = BTreeMap::new();
        let mut behind = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            places.push(match shared.overlay.newest(&(space, key.clone())) {
                Newest::At(sequence, at) => Some((sequence, at)),
                Newest::Nowhere => None,
                Newest::Before(start) => {
                    let shelf = unseen.entry(Shelf::of(key)).or_default();
                    shelf.push((index, start));
                    None
                }
            });
        }
        for (shelf, asked) in unseen {
            let names: Vec<RecordName> = asked
                .iter()
                .filter_map(|(index, _)| Some(RecordName::of(space, keys.get(*index)?)))
                .collect();
            let seen = self.ask(|view| {
                // INVARIANT: the view that is held here holds at least these; a new one stands in its place only after
                // the tide was set back.
                let viewed = shared.tide.viewed();
                Ok((viewed, view.records(shelf, &names)?))
            });
            let (viewed, seen) = seen.unwrap_or_else(|| (0, vec![None; asked.len()]));
            for ((index, start), place) in asked.into_iter().zip(seen) {
                if let Some(found) = places.get_mut(index) {
                    *found = place;
                }
                // The view lags or is being rebuilt, and the overlay does not reach back so far.
                if viewed < start {
                    behind.push((index, viewed..start));
                }
            }
        }
        self.scan(space, keys, &behind, &mut places)?;
        Ok(places)
    }

    /// Looks in the journal, once, for those of `keys` that are `behind`, each within its own range of entries.
    fn scan(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        behind: &[(usize, Range<u64>)],
        places: &mut [Option<(u64, Location)>],
    ) -> Result<(), ReadError> {
        let first = behind.iter().map(|(_, range)| range.start).min();
        let end = behind.iter().map(|(_, range)| range.end).max();
        let (Some(first), Some(end)) = (first, end) else {
            return Ok(());
        };
        let journal = &self.inner.shared.journal;
        let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
        for entry in journal.entries(first..end) {
            let entry = entry?;
            let sequence = entry.header.sequence;
            let is_there = |(index, range): &&(usize, Range<u64>)| {
                range.contains(&sequence)
                    && keys
                        .get(*index)
                        .is_some_and(|key| holds(&entry, space, key))
            };
            newest.extend(
                behind
                    .iter()
                    .filter(is_there)
                    .map(|(index, _)| (*index, sequence)),
            );
        }
        for (index, sequence) in newest {
            if let Some(place) = places.get_mut(index) {
                *place = Some((sequence, journal.find(sequence)?));
            }
        }
        Ok(())
    }
}

impl Recorder for Log {
    fn record(&self, draft: Draft) -> Commit {
        self.inner.shared.intake.record(draft)
    }

    fn note(&self, draft: Draft) -> Commit {
        self.inner.shared.intake.note(draft)
    }
}

impl Records for Log {
    fn newest(&self) -> Option<Timestamp> {
        Some(self.inner.shared.intake.newest())
    }

    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        let values = self.read_all(space, &[key.to_vec()])?;
        Ok(values.into_iter().next().flatten())
    }

    fn read_all(
        &self,
        space: Space,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, RecordsError> {
        let failed = |error: ReadError| RecordsError {
            reason: error.to_string(),
        };
        let places = self.newest(space, keys).map_err(failed)?;
        let mut last = None;
        let mut values = Vec::with_capacity(keys.len());
        for (key, place) in keys.iter().zip(places) {
            let Some(place) = place else {
                values.push(None);
                continue;
            };
            let (value, entry) = self.read_at(place, last, space, key).map_err(failed)?;
            values.push(value);
            last = entry;
        }
        Ok(values)
    }
}

impl Inner {
    fn close(&self) -> Result<Head, CloseError> {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(lock) = running else {
            return Err(CloseError::AlreadyClosed);
        };
        self.reading.cancel();
        let shared = &self.shared;
        let is_written = match shared.intake.end() {
            Ended::Working(end) => end.is_some(),
            Ended::Resting => true,
        };
        shared.tide.close();
        // A store that never comes back must not keep the process from stopping: the next open builds the view anew.
        if !shared.tide.ends_within(PATIENCE) {
            return Err(CloseError::View);
        }
        let view_is_whole = match shared.tide.seat.end() {
            Ended::Working(is_whole) => is_whole.unwrap_or(false),
            Ended::Resting => true,
        };
        if let Some(reason) = shared.intake.poisoned() {
            return Err(CloseError::Poisoned(reason));
        }
        if !is_written || !view_is_whole {
            return Err(CloseError::View);
        }
        let head = shared.tide.durable();
        let made = match self.signer.get() {
            Some(_) => self.checkpoint().map(drop),
            None => Ok(()),
        };
        shared.tiling().settle().map_err(CloseError::Seal)?;
        let known = match shared.rewritten.load(Ordering::Relaxed) {
            true => &[],
            false => self.sealed.as_slice(),
        };
        seal(&shared.folder, &self.tenant, head, known).map_err(CloseError::Seal)?;
        drop(lock);
        made.map_err(CloseError::Checkpoint)?;
        Ok(head)
    }

    fn origin(&self) -> Result<String, ReadError> {
        let first = self.shared.journal.find(0)?;
        let first = self.shared.journal.read(0, first)?;
        Ok(origin(&self.tenant, &first.hash))
    }

    fn checkpoint(&self) -> Result<SignedCheckpoint, CheckpointError> {
        let signer = self.signer.get().ok_or(CheckpointError::NoSigner)?;
        let origin = self.origin()?;
        let shared = &self.shared;
        let mut tiling = shared.tiling();
        // What the view has not followed yet, the tree reads itself: a checkpoint does not wait for the view.
        tiling.advance(&shared.journal, shared.tide.durable().entries)?;
        checkpoint::make(&shared.folder, &mut tiling, &origin, signer.as_ref())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to be told; the next open checks everything.
        drop(self.close());
    }
}

/// The sequences of the entries with a term, by reading them all.
pub(crate) fn sequences_in(entries: Entries, term: &Term) -> Result<Vec<u64>, ReadError> {
    let mut sequences = Vec::new();
    for entry in entries {
        let header = entry?.header;
        if Term::of(&header).contains(term) {
            sequences.push(header.sequence);
        }
    }
    Ok(sequences)
}

/// The last of some entries that holds a record, by reading them all.
pub(crate) fn newest_in(
    entries: Entries,
    space: Space,
    key: &[u8],
) -> Result<Option<u64>, ReadError> {
    let mut newest = None;
    for entry in entries {
        let entry = entry?;
        if holds(&entry, space, key) {
            newest = Some(entry.header.sequence);
        }
    }
    Ok(newest)
}

/// The value that an entry gives to a record: empty if it takes the record away.
pub(crate) fn value_in(entry: &Entry, space: Space, key: &[u8]) -> Option<Vec<u8>> {
    let mut records = entry.records.iter().rev();
    let record = records.find(|record| record.space == space && record.key == key)?;
    Some(record.value.clone())
}

fn holds(entry: &Entry, space: Space, key: &[u8]) -> bool {
    entry
        .records
        .iter()
        .any(|record| record.space == space && record.key == key)
}

fn make_folder(path: &Path, options: &Options) -> io::Result<Folder> {
    if !path.exists() {
        // The tenant's own: nobody else on the machine has business in it.
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Folder::open(path, Arc::clone(&options.disk))
}

fn lock(folder: &Folder) -> Result<File, OpenError> {
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .clone();
    let file = folder.root.open_with("lock", &options);
    let file = file.map_err(|source| OpenError::Folder {
        path: folder.path.clone(),
        source,
    })?;
    let file = file.into_std();
    let failed = |source| OpenError::Folder {
        path: folder.path.clone(),
        source,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let locked = lock_within(file, MOMENT).map_err(failed)?;
            locked.ok_or_else(|| OpenError::InUse {
                path: folder.path.clone(),
            })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A process that this one has just begun holds a copy of what is open here, until it runs its own program.
const MOMENT: Duration = Duration::from_secs(1);

/// Locks `file` as soon as its holder lets go, if that is soon.
fn lock_within(file: File, patience: Duration) -> io::Result<Option<File>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = move || {
        let locked = file.lock().map(|()| file);
        // If nobody waits any more, the lock goes with the file.
        drop(sender.send(locked));
    };
    let thread = std::thread::Builder::new().name("log-lock".to_owned());
    drop(thread.spawn(waiting)?);
    receiver.recv_timeout(patience).ok().transpose()
}

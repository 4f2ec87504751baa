//! The one thread that writes the journal: take what is queued, write it, sync it, and only then resolve it (I1).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nephron_model::{NotRecorded, Recorded};

use crate::disk::{Folder, OpenedFile};
use crate::frame::{SEGMENT_HEADER, SegmentHeader};
use crate::intake::{Group, Intake, Pending, Taken, refuse};
use crate::journal::{Journal, Segment, segment_path};
use crate::overlay::Overlay;
use crate::seat::Work;
use crate::tiles::Tiling;
use crate::view::tide::Tide;
use crate::{Disk, Head, Location};

/// Buffers that grew beyond this many bytes are given back.
const KEPT_BUFFER: usize = 4 << 20;
/// Groups in which up to this many entries are waited for are resolved by the writer itself: cheaper than waking somebody
/// to wake others.
const INLINE: usize = 2;

/// What the threads of one log share.
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) journal: Arc<Journal>,
    pub(crate) intake: Intake,
    pub(crate) overlay: Overlay,
    pub(crate) tide: Tide,
    pub(crate) tiling: Mutex<Tiling>,
    /// The next entry begins another segment.
    pub(crate) rolls: AtomicBool,
    /// Held by whoever prunes, or changes the legal hold.
    pub(crate) retaining: Mutex<()>,
    /// The payloads of entries before this one are pruned, or about to be.
    pub(crate) pruned: AtomicU64,
    /// Segments of which that is not done yet.
    pub(crate) unpruned: Mutex<BTreeSet<u64>>,
    /// Segments were written anew, without what is pruned.
    pub(crate) rewritten: AtomicBool,
}

impl Shared {
    /// The tree. Nobody holds it while waiting for an entry.
    pub(crate) fn tiling(&self) -> MutexGuard<'_, Tiling> {
        self.tiling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Segments that are still to be written anew.
    pub(crate) fn unpruned(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.unpruned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last segment, open for writing.
pub(crate) struct Tail {
    pub(crate) file: OpenedFile,
    pub(crate) number: u64,
    pub(crate) size: u64,
    /// Where the next frame goes.
    pub(crate) offset: u64,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    tail: Tail,
    head: Head,
    segment_size: u64,
    resolver: Option<Resolver>,
    /// The next segment, once this one is half full.
    spare: Option<Spare>,
}

/// A segment that has no name yet.
enum Spare {
    Making(JoinHandle<io::Result<OpenedFile>>),
    Made(OpenedFile),
}

impl Spare {
    fn made(self) -> io::Result<OpenedFile> {
        match self {
            Self::Making(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Other))),
            Self::Made(file) => Ok(file),
        }
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, tail: Tail, head: Head, segment_size: u64) -> Self {
        Self {
            shared,
            tail,
            head,
            segment_size,
            resolver: None,
            spare: None,
        }
    }
}

impl Work for Writer {
    type End = ();

    /// Writes until the queue is closed or the disk refuses, or there is nothing to write for a good while.
    fn run(mut self) -> Option<()> {
        // If this thread dies, those who wait must not wait for ever.
        let guard = PoisonOnPanic(Arc::clone(&self.shared));
        let mut recycled = Group::default();
        self.resolver = Resolver::start();
        loop {
            let mut group = match self.shared.intake.take(recycled) {
                Taken::Group(group) => group,
                Taken::Nothing(empty) => {
                    self.end_threads();
                    let shared = Arc::clone(&self.shared);
                    let seat = &shared.intake.seat;
                    self = seat.rest(self, || shared.intake.rest())?;
                    self.resolver = Resolver::start();
                    recycled = empty;
                    continue;
                }
                Taken::End => break,
            };
            match self.write(&group) {
                Ok(places) => self.resolve(&mut group, places),
                Err(error) => {
                    let reason = error.to_string();
                    // First the queue, so that nothing is taken after what is refused here.
                    self.shared.intake.poison(&reason);
                    for entry in group.entries.drain(..) {
                        refuse(entry.sender, NotRecorded::Storage(reason.clone()));
                    }
                }
            }
            group.entries.clear();
            group.awaited = 0;
            group.frames.clear();
            group.frames.shrink_to(KEPT_BUFFER);
            recycled = group;
        }
        self.end_threads();
        self.discard_spare();
        drop(guard);
        Some(())
    }
}

impl Writer {
    /// Ends the threads that it has itself.
    fn end_threads(&mut self) {
        // One that could not be made is made when it is needed.
        let made = self.spare.take().map(Spare::made);
        self.spare = made.and_then(Result::ok).map(Spare::Made);
        if let Some(resolver) = self.resolver.take() {
            resolver.finish();
        }
    }

    /// Makes a whole group durable, and says where each entry stands.
    fn write(&mut self, group: &Group) -> io::Result<Vec<Location>> {
        let mut places = Vec::with_capacity(group.entries.len());
        let mut rest = group.frames.as_slice();
        let mut run = 0usize;
        let mut rolls = self.shared.rolls.swap(false, Ordering::Relaxed);
        for entry in &group.entries {
            let end = self.tail.offset + (run + entry.length) as u64;
            if end > self.tail.size || std::mem::take(&mut rolls) {
                rest = self.write_run(rest, run)?;
                run = 0;
                self.roll(entry.length)?;
            }
            places.push(Location {
                segment: self.tail.number,
                offset: self.tail.offset + run as u64,
            });
            run += entry.length;
            self.head = Head {
                entries: entry.sequence + 1,
                hash: entry.hash,
            };
        }
        self.write_run(rest, run)?;
        self.prepare_spare();
        Ok(places)
    }

    /// Writes and syncs the first `run` bytes of `frames` at the end of the journal; returns the rest.
    fn write_run<'a>(&mut self, frames: &'a [u8], run: usize) -> io::Result<&'a [u8]> {
        let Some((frames, rest)) = frames.split_at_checked(run) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        if run > 0 {
            let disk = &self.shared.folder.disk;
            disk.write_at(&self.tail.file, frames, self.tail.offset)?;
            disk.sync(&self.tail.file)?;
            self.tail.offset += run as u64;
        }
        Ok(rest)
    }

    fn resolve(&self, group: &mut Group, places: Vec<Location>) {
        let records = group.entries.iter_mut().zip(places);
        let records =
            records.map(|(entry, at)| (entry.sequence, at, std::mem::take(&mut entry.records)));
        self.shared.overlay.add(records);
        self.shared.tide.rise(self.head);
        let durable = std::mem::take(&mut group.entries);
        match &self.resolver {
            Some(resolver) if group.awaited > INLINE => {
                if let Err(unsent) = resolver.durable.send(durable) {
                    attest(unsent.0);
                }
            }
            Some(_) | None => attest(durable),
        }
    }

    /// Goes on in a new segment, which has room for a frame of `frame` bytes.
    fn roll(&mut self, frame: usize) -> io::Result<()> {
        let number = self.tail.number + 1;
        let size = (SEGMENT_HEADER as u64 + frame as u64).max(self.segment_size);
        // What failed when it was made ahead may have been hours ago: the disk may have room now.
        let spare = self.spare.take().and_then(|spare| spare.made().ok());
        let fits = |spare: &OpenedFile| spare.file.metadata().is_ok_and(|file| file.len() == size);
        let spare = match spare.filter(fits) {
            Some(spare) => spare,
            None => prepare(&self.shared.folder, number, size)?,
        };
        let header = SegmentHeader {
            number,
            first: self.head.entries,
            size,
            previous: self.head.hash,
        };
        self.tail = install(&self.shared.folder, spare, &header)?;
        self.shared.journal.add(Segment {
            number,
            first: header.first,
            size,
        });
        Ok(())
    }

    /// Starts to make the next segment when this one is half full, so that the roll does not wait for zeros.
    fn prepare_spare(&mut self) {
        if self.spare.is_none() && self.tail.offset > self.tail.size / 2 {
            let folder = self.shared.folder.clone();
            let (number, size) = (self.tail.number + 1, self.segment_size);
            let thread = std::thread::Builder::new().name("log-spare".to_owned());
            // Without a thread the roll makes its segment itself.
            let making = thread.spawn(move || prepare(&folder, number, size));
            self.spare = making.map(Spare::Making).ok();
        }
    }

    fn discard_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            drop(spare.made());
            let folder = &self.shared.folder;
            // What stays behind is removed at the next open.
            drop(
                folder
                    .disk
                    .remove(&folder.root, &spare_path(self.tail.number + 1)),
            );
        }
    }
}

/// Makes the first segment of a log, or the next.
pub(crate) fn make_segment(folder: &Folder, header: &SegmentHeader) -> io::Result<Tail> {
    let spare = prepare(folder, header.number, header.size)?;
    install(folder, spare, header)
}

/// Where a segment is made before it gets its name.
fn spare_path(number: u64) -> std::path::PathBuf {
    segment_path(number).with_extension("tmp")
}

/// Makes a file of zeros under a temporary name. The zeros are really written: a write into merely reserved space makes
/// the file system change its own records too, and the sync wait for them.
fn prepare(folder: &Folder, number: u64, size: u64) -> io::Result<OpenedFile> {
    let path = spare_path(number);
    let made = folder.disk.create(&folder.root, &path);
    let made = made.and_then(|file| fill(folder.disk.as_ref(), &file, size).map(|()| file));
    if made.is_err() && folder.root.exists(&path) {
        // It may be what filled the disk. What cannot be removed now is at the next open.
        drop(folder.disk.remove(&folder.root, &path));
    }
    made
}

/// Writes zeros from the start of a file to its end at `size`.
fn fill(disk: &dyn Disk, file: &OpenedFile, size: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    disk.allocate(file, size)?;
    let mut written = 0;
    while written < size {
        let length = usize::try_from(size - written).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..length).unwrap_or(&ZEROS);
        disk.write_at(file, zeros, written)?;
        written += zeros.len() as u64;
    }
    disk.sync(file)
}

/// Writes the header and gives the segment its name. After a crash it is there whole or not at all.
fn install(folder: &Folder, spare: OpenedFile, header: &SegmentHeader) -> io::Result<Tail> {
    let disk = &folder.disk;
    disk.write_at(&spare, &header.encode(), 0)?;
    disk.sync(&spare)?;
    let path = segment_path(header.number);
    disk.rename(&folder.root, &spare.path, &path)?;
    disk.sync_folder(&folder.root, Path::new("journal"))?;
    Ok(Tail {
        file: OpenedFile {
            file: spare.file,
            path,
        },
        number: header.number,
        size: header.size,
        offset: SEGMENT_HEADER as u64,
    })
}

/// Tells those who wait for entries that are durable.
fn attest(durable: Vec<Pending>) {
    for entry in durable {
        let recorded = Recorded::attest(entry.sequence, entry.hash);
        // Whoever queued it may have gone away; the entry stands all the same.
        drop(entry.sender.send(Ok(recorded)));
    }
}

/// A thread that wakes the callers of a large group, while the writer is already at the next sync.
struct Resolver {
    durable: SyncSender<Vec<Pending>>,
    thread: JoinHandle<()>,
}

impl Resolver {
    /// Without a thread the writer wakes everybody itself.
    fn start() -> Option<Self> {
        let (durable, groups) = sync_channel(16);
        let thread = std::thread::Builder::new().name("log-resolver".to_owned());
        let thread = thread
            .spawn(move || groups.into_iter().for_each(attest))
            .ok()?;
        Some(Self { durable, thread })
    }

    fn finish(self) {
        drop(self.durable);
        drop(self.thread.join());
    }
}

struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.intake.poison("the log's writer died");
        }
    }
}

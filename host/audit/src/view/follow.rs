//! The thread that keeps the view behind the journal, and builds it again when it is in doubt.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use nephron_model::{Digest, Draft, EntryKind, EventId};
use serde::Deserialize;

use super::tide::Task;
use super::{
    Addition, Damage, RecordName, Row, Shelf, Term, View, ViewError, Views, close, guard, open,
};
use crate::disk::Folder;
use crate::entry::entry_hash;
use crate::frame::decode_records;
use crate::journal::Cursor;
use crate::recover::{Standing, compare};
use crate::seat::Work;
use crate::writer::Shared;
use crate::{FaultKind, Head, ReadError};

/// Entries in one batch.
const BATCH_ENTRIES: usize = 1024;
/// Bytes of headers in one batch.
const BATCH_BYTES: usize = 512 << 10;
/// Entries between two checkpoints.
const CHECKPOINT: u64 = 1 << 16;
/// A view that fails so often in a row is given up until the next open; the journal serves alone.
const ATTEMPTS: u32 = 3;

/// The view, for those who ask; empty while it is being rebuilt.
pub(crate) type Slot = Arc<RwLock<Option<Box<dyn View>>>>;

pub(crate) struct Follower {
    shared: Arc<Shared>,
    views: Arc<dyn Views>,
    slot: Slot,
    head: Head,
    cursor: Cursor,
    checkpointed: u64,
    failures: u32,
    /// How often in a row the view could not be opened after a rest.
    refused: u32,
}

/// Why following stopped for now.
enum Stop {
    View(Damage),
    Journal(ReadError),
    /// The view holds entries that the journal has no more: the log was stopped for it.
    Lost,
}

/// The fields of a header by which entries are looked up.
#[derive(Deserialize)]
struct LookedUp<'a> {
    #[serde(borrow)]
    caller: Option<Cow<'a, str>>,
    kind: EntryKind,
    plugin: Option<Component>,
    request: Option<EventId>,
}

#[derive(Deserialize)]
struct Component {
    digest: Digest,
}

impl LookedUp<'_> {
    /// The same as [`Term::of`] the whole header.
    fn terms(self) -> Vec<Term> {
        let mut terms = vec![Term::Kind(self.kind)];
        terms.extend(self.request.map(Term::Request));
        terms.extend(self.caller.map(|caller| Term::Caller(caller.into_owned())));
        terms.extend(self.plugin.map(|plugin| Term::Plugin(plugin.digest)));
        terms
    }
}

impl From<ViewError> for Stop {
    fn from(error: ViewError) -> Self {
        Self::View(Damage::of(&error))
    }
}

impl Follower {
    /// Follows from `head` on, which is how far the view in `slot` has come.
    pub(crate) fn new(shared: Arc<Shared>, views: Arc<dyn Views>, slot: Slot, head: Head) -> Self {
        let cursor = Cursor::new(Arc::clone(&shared.journal), head.entries);
        Self {
            shared,
            views,
            slot,
            head,
            cursor,
            checkpointed: head.entries,
            failures: 0,
            refused: 0,
        }
    }

    /// Follows until the log closes, and then says whether the view is whole and closed; or until nobody has asked or added anything
    /// for a good while, and then closes it and says nothing.
    fn follow(&mut self) -> Option<bool> {
        let shared = Arc::clone(&self.shared);
        let tide = &shared.tide;
        if tide.ends_at_rest() {
            return Some(true);
        }
        let mut done = Ok(());
        if tide.is_resting() {
            done = self.open_again();
            // What the store says then may pass: too many files are open, or threads are there. It rests on, and is tried again.
            self.refused += 1;
            if matches!(done, Err(Stop::View(Damage::Store))) && self.refused < ATTEMPTS {
                tide.refuse();
                return None;
            }
            self.refused = 0;
            // Built again before anybody is answered, so that whoever asked finds the entry that says so.
            if let Err(Stop::View(damage)) = done {
                if let Some(is_at_rest) = self.rebuild(damage) {
                    return Some(is_at_rest);
                }
                done = Ok(());
            }
            tide.wake();
        }
        loop {
            match done {
                Ok(()) => self.failures = 0,
                Err(Stop::View(damage)) => {
                    self.failures += 1;
                    if self.failures > ATTEMPTS {
                        return Some(false);
                    }
                    if let Some(is_at_rest) = self.rebuild(damage) {
                        return Some(is_at_rest);
                    }
                }
                Err(Stop::Journal(error)) => {
                    // What was acknowledged cannot be read back: nothing more may be acknowledged (I6).
                    let reason = format!("the journal cannot be read back: {error}");
                    self.shared.intake.poison(&reason);
                    return Some(false);
                }
                Err(Stop::Lost) => return Some(false),
            }
            done = match self.shared.tide.next_task() {
                Task::Follow(entries) => self.catch_up(entries),
                Task::Rebuild(damage) => Err(Stop::View(damage)),
                Task::Finish => match self.checkpoint() {
                    Ok(()) => return Some(self.close_view()),
                    Err(stop) => Err(stop),
                },
                Task::Rest => match self.rest() {
                    Ok(true) => return None,
                    Ok(false) => Ok(()),
                    Err(stop) => Err(stop),
                },
            };
        }
    }

    /// Closes the view, if there is one and still nothing to do. Says whether it did.
    fn rest(&mut self) -> Result<bool, Stop> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let has_view = slot.is_some();
        drop(slot);
        if !has_view {
            return Ok(false);
        }
        self.checkpoint()?;
        let tide = &self.shared.tide;
        if !tide.rest() {
            return Ok(false);
        }
        if self.close_view() {
            // Its buffer, and its file.
            self.cursor = Cursor::new(Arc::clone(&self.shared.journal), self.head.entries);
            return Ok(true);
        }
        tide.wake();
        Err(Stop::View(Damage::Store))
    }

    /// Opens the view that was closed to rest, and holds it against what it was then.
    fn open_again(&mut self) -> Result<(), Stop> {
        let folder = self.shared.folder.path.join("view");
        let view = open(self.views.as_ref(), &folder)?;
        let (journal, head) = (Arc::clone(&self.shared.journal), self.head);
        let standing = guard(|| compare(view.as_ref(), &journal, head));
        // No log is closed before its view holds its first entry.
        let is_supposed = |viewed: Head| self.shared.tide.is_supposed() && viewed.entries > 0;
        if let Ok(Standing::Behind(viewed)) = standing
            && (viewed == head || is_supposed(viewed))
        {
            if viewed != head {
                self.head = viewed;
                self.checkpointed = viewed.entries;
                self.cursor = Cursor::new(journal, viewed.entries);
                self.shared.tide.follow(viewed.entries);
            }
            *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
            return Ok(());
        }
        // Nobody has seen it.
        drop(close(self.views.as_ref(), view, &folder));
        if matches!(standing, Ok(Standing::Ahead(_))) {
            // Before anybody goes on.
            let reason = "the view holds entries that the journal has lost";
            self.shared.intake.poison(reason);
            return Err(Stop::Lost);
        }
        Err(Stop::View(standing.map_or_else(
            |error| Damage::of(&error),
            |_| Damage::Differs,
        )))
    }

    /// Brings the view up to `entries` entries.
    fn catch_up(&mut self, entries: u64) -> Result<(), Stop> {
        while self.head.entries < entries {
            let additions = self.read_batch(entries)?;
            let Some(last) = additions.last() else {
                return Ok(());
            };
            let head = Head {
                entries: last.row.sequence + 1,
                hash: last.row.hash,
            };
            self.grow_tree(&additions);
            self.with_view(|view| view.add(&additions, head))?;
            self.head = head;
            self.shared.tide.follow(head.entries);
            self.shared.overlay.forget_before(head.entries);
            if head.entries - self.checkpointed >= CHECKPOINT {
                self.checkpoint()?;
            }
        }
        Ok(())
    }

    fn read_batch(&mut self, entries: u64) -> Result<Vec<Addition>, Stop> {
        let mut additions = Vec::new();
        let mut bytes = 0;
        let mut next = self.head.entries;
        while next < entries && additions.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            let addition = self.cursor.step(|at, frame| {
                // The frame passed its checksum; its digests are checked again whenever the entry is read.
                let looked_up: LookedUp<'_> =
                    serde_json::from_slice(frame.header).map_err(|_| FaultKind::HeaderMalformed)?;
                let records = decode_records(frame.records)?;
                let names = records
                    .iter()
                    .map(|it| (Shelf::of(&it.key), RecordName::of(it.space, &it.key)));
                Ok(Addition {
                    terms: looked_up.terms().iter().map(Term::key).collect(),
                    records: names.collect(),
                    row: Row {
                        sequence: frame.sequence,
                        at,
                        hash: entry_hash(frame.header),
                        header: frame.header.to_vec(),
                    },
                })
            });
            let addition = addition.map_err(Stop::Journal)?;
            bytes += addition.row.header.len();
            additions.push(addition);
            next += 1;
        }
        Ok(additions)
    }

    /// The tree follows with the view, from the same bytes.
    fn grow_tree(&self, additions: &[Addition]) {
        let mut tiling = self.shared.tiling();
        for Addition { row, .. } in additions {
            tiling.push(row.sequence, &row.header);
        }
        // What the disk refuses now is tried again with the next batch, and before any checkpoint.
        drop(tiling.save());
    }

    fn checkpoint(&mut self) -> Result<(), Stop> {
        let head = self.head;
        self.with_view(|view| match view.head()? == head {
            true => view.checkpoint(),
            false => Err(ViewError::Malformed),
        })?;
        self.checkpointed = head.entries;
        Ok(())
    }

    fn with_view(
        &self,
        call: impl FnOnce(&dyn View) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        match slot.as_deref() {
            Some(view) => guard(|| call(view)),
            None => Err(ViewError::Store("the view is closed".to_owned())),
        }
    }

    /// Sets the damaged view aside and begins an empty one, which is then filled like any other.
    ///
    /// `None` if it may go on. If not, there is no view any more, and this is whether its files are at rest.
    fn rebuild(&mut self, damage: Damage) -> Option<bool> {
        let is_at_rest = self.close_view();
        self.shared.tide.follow(0);
        let folder = &self.shared.folder;
        let Ok(aside) = set_aside(folder, self.views.as_ref(), None) else {
            return Some(false);
        };
        let repair = repair_entry("view", damage, aside.as_deref());
        if self.shared.intake.record(repair).wait().is_err() {
            // The log is closing. The next open finds no view, builds one, and says so.
            return Some(is_at_rest);
        }
        let Ok(view) = open(self.views.as_ref(), &folder.path.join("view")) else {
            return Some(false);
        };
        self.head = Head::START;
        self.checkpointed = 0;
        self.cursor = Cursor::new(Arc::clone(&self.shared.journal), 0);
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
        None
    }

    fn close_view(&self) -> bool {
        let folder = self.shared.folder.path.join("view");
        self.take_view()
            .is_some_and(|view| close(self.views.as_ref(), view, &folder).is_ok())
    }

    fn take_view(&self) -> Option<Box<dyn View>> {
        self.slot
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Work for Follower {
    type End = bool;

    /// Follows until the log closes. Gives whether the view is whole and closed.
    fn run(mut self) -> Option<bool> {
        // Requests come first: on Linux this is this thread's priority alone. Without the right to it, nothing is lost.
        let _priority = rustix::process::nice(10);
        let shared = Arc::clone(&self.shared);
        loop {
            if let Some(is_whole) = self.follow() {
                shared.tide.end();
                return Some(is_whole);
            }
            self = shared.tide.seat.rest(self, || shared.tide.goes())?;
        }
    }
}

/// Closes a damaged view and moves its files to `damaged/<n>/view`. Says where, unless there was nothing to move.
pub(crate) fn set_aside(
    folder: &Folder,
    views: &dyn Views,
    view: Option<Box<dyn View>>,
) -> std::io::Result<Option<String>> {
    if let Some(view) = view {
        // Its store may hold on to the files: they are moved all the same, and it keeps what it has open.
        drop(close(views, view, &folder.path.join("view")));
    }
    folder.set_aside("view")
}

/// The entry that says that `part`, `view` or `tree`, was built again.
pub(crate) fn repair_entry(part: &str, damage: Damage, aside: Option<&str>) -> Draft {
    let draft = Draft::new(EntryKind::LogRepaired, "rebuilt").fact("part", part);
    let draft = draft.fact("reason", damage.as_str());
    match aside {
        Some(aside) => draft.fact("set-aside", aside),
        None => draft,
    }
}

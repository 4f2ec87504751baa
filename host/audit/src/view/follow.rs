//! The thread that keeps the view behind the journal, and builds it again when it is in doubt.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nephron_model::{Digest, Draft, EntryKind, EventId};
use serde::Deserialize;

use super::tide::Task;
use super::{
    Addition, Damage, RecordName, Row, Shelf, Term, View, ViewError, Views, close, guard, open,
};
use crate::disk::{Folder, forget_cached};
use crate::entry::entry_hash;
use crate::frame::decode_records;
use crate::journal::Cursor;
use crate::recover::{Standing, compare};
use crate::seat::Work;
use crate::want::is_in_want;
use crate::writer::Shared;
use crate::{FaultKind, Head, ReadError};

/// Entries in one batch.
const BATCH_ENTRIES: usize = 1024;
/// Bytes of headers in one batch.
const BATCH_BYTES: usize = 512 << 10;
/// Entries between two checkpoints.
const CHECKPOINT: u64 = 1 << 16;
/// A view that fails so often in a row is let rest; the journal serves alone.
const ATTEMPTS: u32 = 3;
/// A view that failed rests so long before it is tried again, then ever longer, and at most so long.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(60);
/// Damaged copies that are added at most while a log is open; then none is until somebody has moved some away.
const COPIES: u64 = 16;

/// The view, for those who ask; empty while it is being rebuilt.
pub(crate) type Slot = Arc<RwLock<Option<Box<dyn View>>>>;

pub(crate) struct Follower {
    shared: Arc<Shared>,
    views: Arc<dyn Views>,
    slot: Slot,
    head: Head,
    cursor: Cursor,
    checkpointed: u64,
    /// How it was left, once it is closed.
    left: Left,
    failures: u32,
    /// How often in a row the view could not be opened after a rest.
    refused: u32,
    /// What had been set aside when the log was opened.
    copies: u64,
    /// How often it lay down since it was last known to be durable.
    laid_down: u32,
}

/// How a view was left that is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// With all that it had been given, or all but the last few entries.
    Whole,
    /// Its store could not go on: it holds a beginning of that, as after a crash.
    Cut,
    /// It is to be set aside.
    Damaged(Damage),
}

/// What comes after a failure of the view.
enum After {
    /// It is begun anew, and followed.
    Goes,
    /// It rests, and is tried again.
    Rests,
    /// There is no view any more; this is whether its files are at rest.
    Ends(bool),
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
        let copies = shared.folder.aside();
        Self {
            copies,
            shared,
            views,
            slot,
            head,
            cursor,
            checkpointed: head.entries,
            left: Left::Whole,
            failures: 0,
            refused: 0,
            laid_down: 0,
        }
    }

    /// The same of a view that could not be opened.
    pub(crate) fn of_refused(shared: Arc<Shared>, views: Arc<dyn Views>, slot: Slot) -> Self {
        Self {
            left: Left::Cut,
            ..Self::new(shared, views, slot, Head::START)
        }
    }

    /// Follows until the log closes, and then says whether the view is whole and closed; or until nobody has asked or added anything
    /// for a good while, or the view's store cannot go on, and then closes it and says nothing.
    fn follow(&mut self) -> Option<bool> {
        let shared = Arc::clone(&self.shared);
        let tide = &shared.tide;
        if tide.ends_at_rest() && self.left == Left::Whole {
            return Some(true);
        }
        let mut done = Ok(());
        if tide.is_resting() {
            done = self.open_again();
            // Built again before anybody is answered, so that whoever asked finds the entry that says so.
            if let Err(Stop::View(damage)) = done {
                match self.mend_at_rest(damage) {
                    After::Goes => done = Ok(()),
                    After::Rests => return None,
                    After::Ends(is_at_rest) => return Some(is_at_rest),
                }
            }
            self.refused = 0;
            tide.wake();
        }
        loop {
            match done {
                Ok(()) => self.failures = 0,
                Err(Stop::View(damage)) => match self.mend(damage) {
                    After::Goes => {}
                    After::Rests => return None,
                    After::Ends(is_at_rest) => return Some(is_at_rest),
                },
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
            self.left = Left::Whole;
            // Its buffer, and its file.
            self.cursor = Cursor::new(Arc::clone(&self.shared.journal), self.head.entries);
            return Ok(true);
        }
        tide.wake();
        Err(Stop::View(Damage::Store))
    }

    /// Opens the view that is closed, and holds it against what it was then.
    fn open_again(&mut self) -> Result<(), Stop> {
        let folder = self.folder();
        let (journal, mut head) = (Arc::clone(&self.shared.journal), self.head);
        match self.left {
            Left::Whole => {}
            Left::Damaged(damage) => return Err(Stop::View(damage)),
            Left::Cut => {
                // What its store had taken when it failed, it may have, too.
                head = self.shared.tide.durable();
                if folder.exists() {
                    forget_cached(&folder).map_err(|error| ViewError::of_io(&error))?;
                } else if self.head.entries > 0 {
                    return Err(Stop::View(Damage::Missing));
                }
            }
        }
        let view = open(self.views.as_ref(), &folder)?;
        let standing = guard(|| compare(view.as_ref(), &journal, head));
        // No log is closed before its view holds its first entry.
        let is_supposed = |viewed: Head| self.shared.tide.is_supposed() && viewed.entries > 0;
        if let Ok(Standing::Behind(viewed)) = standing
            && (self.left == Left::Cut || viewed == head || is_supposed(viewed))
        {
            if viewed != self.head {
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

    /// What to do about a view that cannot be opened.
    fn mend_at_rest(&mut self, damage: Damage) -> After {
        // What the store says then may pass, even if it does not say so. It rests on, and is tried again.
        self.refused += 1;
        let is_left = matches!(self.left, Left::Damaged(_));
        if damage == Damage::Store && self.refused < ATTEMPTS && !is_left {
            return self.lie_down(self.left);
        }
        self.mend(damage)
    }

    /// What to do about a view that failed.
    fn mend(&mut self, damage: Damage) -> After {
        if may_pass(&self.shared.folder, damage) {
            // One that could not even be opened is as it was left.
            let left = match self.take_view() {
                Some(view) => {
                    drop(close(self.views.as_ref(), view, &self.folder()));
                    Left::Cut
                }
                None => self.left,
            };
            return self.lie_down(left);
        }
        self.failures += 1;
        let copies = self.shared.folder.count_aside();
        let has_too_many = copies.is_ok_and(|copies| copies >= self.copies + COPIES);
        if has_too_many || self.failures > ATTEMPTS {
            // One try each time that it is woken.
            self.failures = ATTEMPTS - 1;
            let _is_closed = self.close_view();
            return self.lie_down(Left::Damaged(damage));
        }
        self.rebuild(damage)
    }

    /// Has the view rest for a while: nothing can be done about it now.
    fn lie_down(&mut self, left: Left) -> After {
        self.left = left;
        // What was read for it and not taken is read again; its buffer and its file are let go.
        self.cursor = Cursor::new(Arc::clone(&self.shared.journal), self.head.entries);
        let pause = SOONEST.saturating_mul(1 << self.laid_down.min(16));
        self.laid_down = self.laid_down.saturating_add(1);
        match self.shared.tide.lie_down(pause.min(LATEST)) {
            true => After::Rests,
            // Nobody would come back to it: the next open has to do with it.
            false => After::Ends(false),
        }
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
        self.laid_down = 0;
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
    fn rebuild(&mut self, damage: Damage) -> After {
        let is_at_rest = self.close_view();
        self.shared.tide.begin_again();
        let folder = &self.shared.folder;
        let Ok(aside) = set_aside(folder, self.views.as_ref(), None) else {
            return self.lie_down(Left::Damaged(damage));
        };
        let repair = repair_entry("view", damage, aside.as_deref());
        if self.shared.intake.record(repair).wait().is_err() {
            // The log is closing. The next open finds no view, builds one, and says so.
            return After::Ends(is_at_rest);
        }
        self.head = Head::START;
        self.checkpointed = 0;
        self.cursor = Cursor::new(Arc::clone(&self.shared.journal), 0);
        let Ok(view) = open(self.views.as_ref(), &self.folder()) else {
            return self.lie_down(Left::Cut);
        };
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
        After::Goes
    }

    fn folder(&self) -> PathBuf {
        self.shared.folder.path.join("view")
    }

    fn close_view(&self) -> bool {
        self.take_view()
            .is_some_and(|view| close(self.views.as_ref(), view, &self.folder()).is_ok())
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

/// Whether what befell a view may pass with what the machine lacks now. Then it is no damage: it is left as it is, and tried again.
pub(crate) fn may_pass(folder: &Folder, damage: Damage) -> bool {
    match damage {
        Damage::InWant => true,
        // On a full disk, sled panics as soon as it says so.
        Damage::Store | Damage::Panicked => is_in_want(&folder.path),
        Damage::Differs | Damage::Missing => false,
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

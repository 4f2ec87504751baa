//! What a long log leaves for later when it is opened: the segments before the newest checkpoint's.
//!
//! The tree says what they hold: its tiles lead, with the entries that were read, to the root that the checkpoint states. Whether the
//! files still hold it is looked at by a thread of its own, in order, while the log serves. What it finds stops the log and leaves a
//! mark, so that the next opening reads everything first, and repairs it or refuses as any opening does.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nephron_model::{EntryKind, Space, TenantId, Timestamp};

use crate::frame::SegmentHeader;
use crate::journal::Segment;
use crate::overlay::Newest;
use crate::retain::{HOLD, take_away};
use crate::since::Begun;
use crate::tree::{Edge, leaf_hash};
use crate::vouch::{Beside, TreeCheck};
use crate::walk::{Met, Start, Walked, Way, walk};
use crate::writer::Shared;
use crate::{Fault, FaultKind};

/// Says in a log's folder that its earlier segments did not hold.
pub(crate) const DOUBTED: &str = "doubted";
/// Segments that are read between two looks at whether the log closes.
const AT_ONCE: u64 = 16;

/// What is not read yet.
pub(crate) struct Earlier {
    /// Where what was read begins.
    pub(crate) until: Start,
    /// The tree of what is before it, as the tiles have it.
    pub(crate) edge: Edge,
    /// What lay beside the journal when the log was opened.
    pub(crate) beside: Beside,
    pub(crate) tenant: TenantId,
}

impl Earlier {
    pub(crate) fn of(begun: Begun, beside: Beside, tenant: TenantId) -> Self {
        Self {
            until: begun.start,
            edge: begun.edge,
            beside,
            tenant,
        }
    }
}

/// The segments before `until` as their headers have them; nothing if one is not as long as it says, or is missing.
pub(crate) fn segments(root: &cap_std::fs::Dir, until: u64) -> Option<Vec<Segment>> {
    (0..until)
        .map(|number| {
            let SegmentHeader { first, size, .. } = crate::since::header(root, number)?;
            let length = root
                .metadata(crate::journal::segment_path(number))
                .ok()?
                .len();
            (length == size).then_some(Segment {
                number,
                first,
                size,
            })
        })
        .collect()
}

/// Whether the earlier segments are still to be read, and whether nobody wants that any more.
#[derive(Default)]
pub(crate) struct Reading {
    is_over: Mutex<bool>,
    ended: Condvar,
    cancelled: AtomicBool,
}

impl Reading {
    /// Nothing is left to read.
    pub(crate) fn none() -> Arc<Self> {
        let reading = Self::default();
        reading.end();
        Arc::new(reading)
    }

    fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.notify_all();
    }

    /// Whether everything was read, or will not be.
    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is over.
    pub(crate) fn wait(&self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_while(is_over, |is_over| !*is_over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Has it end soon, and waits for that.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.wait();
    }

    /// Reads what is `earlier` on a thread of its own; by the caller, if none is to be had.
    pub(crate) fn begin(shared: &Arc<Shared>, earlier: Earlier) -> Arc<Self> {
        let reading = Arc::new(Self::default());
        let work = {
            let (reading, shared) = (Arc::clone(&reading), Arc::clone(shared));
            move || {
                let _over = Over(Arc::clone(&reading));
                read(&shared, &reading, &earlier);
            }
        };
        let work = Arc::new(Mutex::new(Some(work)));
        let take = {
            let work = Arc::clone(&work);
            move || {
                let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(work) = work {
                    work();
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-earlier".to_owned());
        let later = take.clone();
        let begun = thread.spawn(move || {
            // Requests come first: on Linux this is this thread's priority alone. Without the right to it, nothing is lost.
            let _priority = rustix::process::nice(10);
            later();
        });
        if begun.is_err() {
            take();
        }
        reading
    }
}

/// Says that it is over, whatever happens.
struct Over(Arc<Reading>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn read(shared: &Arc<Shared>, reading: &Reading, earlier: &Earlier) {
    let root = &shared.folder.root;
    let until = earlier.until;
    let sizes = earlier.beside.checkpoints.sizes();
    let claims = earlier.beside.claims().into_iter();
    let claims = claims.filter(|claim| claim.checkpoint.size <= until.head.entries);
    let mut check = TreeCheck::new(root, &earlier.beside, &sizes, claims.collect());
    let mut start = Start::LOG;
    let mut time = Timestamp {
        seconds: 0,
        nanoseconds: 0,
    };
    let mut retained = Retained::default();
    while start.segment < until.segment {
        if reading.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let way = Way {
            start,
            until: Some(until.segment.min(start.segment + AT_ONCE)),
            is_in_use: false,
            threads: NonZeroUsize::MIN,
            prepare: &|met| leaf_hash(met.frame.header),
        };
        let mut strange = None;
        let mut meet = |met: &Met<'_>, leaf| {
            if met.header.time < time || met.header.tenant != earlier.tenant {
                strange.get_or_insert(met.header.sequence);
            }
            time = met.header.time;
            if met.header.kind == EntryKind::LegalHold {
                retained.is_held = met.header.outcome == "held";
            }
            check.meet(met, leaf);
        };
        let walked = walk(root, &way, &mut meet, &mut |_, _| {});
        if let Some(fault) = first_fault(&walked, strange) {
            return stop(shared, &fault);
        }
        // What is pruned is held against what says so by a verification, which reads all of it at once.
        retained.pruned = retained.pruned.max(walked.prune.end());
        retained.there.extend(walked.prune.there());
        start = Start {
            segment: start.segment + AT_ONCE,
            head: walked.head,
        };
    }
    let (edge, contradictions) = check.contradictions();
    let is_other = start.head != until.head || edge.root() != earlier.edge.root();
    let other = is_other.then(|| {
        Fault::of_file(
            &crate::journal::segment_name(until.segment),
            FaultKind::SegmentChain,
        )
    });
    if let Some(fault) = contradictions.into_iter().next().or(other) {
        return stop(shared, &fault);
    }
    finish_pruning(shared, &retained);
}

/// What was read of retention.
#[derive(Default)]
struct Retained {
    /// Entries before this one have had their payloads pruned.
    pruned: u64,
    /// Of each segment that has payloads the first entry that has one.
    there: Vec<(u64, u64)>,
    is_held: bool,
}

fn first_fault(walked: &Walked, strange: Option<u64>) -> Option<Fault> {
    let harmful = |fault: &&Fault| fault.what != FaultKind::UnknownFile;
    let fault = walked.faults.iter().find(harmful).cloned();
    let torn = || walked.torn.as_ref().map(|torn| torn.fault.clone());
    let strange = || {
        let at = strange?;
        let fault = Fault::of_file("journal", FaultKind::TimeBackwards);
        Some(fault.at_entry(at))
    };
    fault.or_else(torn).or_else(strange)
}

/// Stops the log, and has the next opening read everything.
fn stop(shared: &Arc<Shared>, fault: &Fault) {
    let _marked = shared
        .folder
        .write_atomically(Path::new(DOUBTED), fault.to_string().as_bytes());
    shared
        .intake
        .poison(&format!("the journal does not hold: {fault}"));
}

/// Takes away what an entry says is pruned, and a crash left, as an opening that reads everything does.
fn finish_pruning(shared: &Arc<Shared>, retained: &Retained) {
    let _retaining = shared
        .retaining
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let end = retained.pruned;
    let end = shared.pruned.fetch_max(end, Ordering::Relaxed).max(end);
    let is_held = match shared.overlay.newest(&(Space::Hold, HOLD.to_vec())) {
        Newest::At(sequence, at) => shared
            .journal
            .read(sequence, at)
            .is_ok_and(|entry| entry.header.outcome == "held"),
        Newest::Before(_) | Newest::Nowhere => retained.is_held,
    };
    for (number, first) in &retained.there {
        if *first >= end {
            continue;
        }
        shared.rewritten.store(true, Ordering::Relaxed);
        if is_held || take_away(&shared.folder, *number, end).is_err() {
            shared.unpruned().insert(*number);
        }
    }
}

//! From the folder as the last run left it to a log that can be appended to.
//!
//! Everything is looked at before anything is changed. A crash is repaired, and the repair is an entry; damage is never
//! repaired, because the damaged bytes are evidence: the log refuses to open and says where.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nephron_model::{Draft, EntryKind, TenantId, Timestamp};

use crate::checkpoint::origin;
use crate::disk::{DAMAGED, Folder};
use crate::earlier::{DOUBTED, Earlier, segments};
use crate::entry::entry_hash;
use crate::frame::{MAX_SEGMENT, SegmentHeader, record_names};
use crate::journal::{Journal, Segment, segment_path};
use crate::overlay::{Kept, RecordKey, is_kept};
use crate::retain::take_away;
use crate::seal::{SEAL, Seal, SealedFile, unseal};
use crate::since::{self, Begun};
use crate::threads::all_cores;
use crate::tiles::Tiling;
use crate::tree::leaf_hash;
use crate::view::follow::{may_pass, repair_entry, set_aside};
use crate::view::{Damage, View, ViewError, close, guard, open};
use crate::vouch::{Beside, TreeCheck, Vouched};
use crate::walk::{Met, Start, Torn, Walked, Way, walk};
use crate::writer::{Tail, make_segment};
use crate::{Fault, FaultKind, Head, Header, OpenError, Options};

/// The view of a log that is opened, and how far it has followed.
pub(crate) enum FoundView {
    /// It is open.
    Open(Box<dyn View>, Head),
    /// It is left closed until somebody asks: a log that was closed had one that held all its entries, or all but the last few.
    AtRest,
    /// Its store cannot be opened now, and is tried again.
    Refused,
}

/// A log that is ready to be appended to.
pub(crate) struct Recovered {
    pub(crate) journal: Arc<Journal>,
    pub(crate) tail: Tail,
    pub(crate) head: Head,
    /// Time of the last entry.
    pub(crate) time: Timestamp,
    /// The tree of all entries.
    pub(crate) tiling: Tiling,
    pub(crate) view: FoundView,
    /// Where the records are that are always known.
    pub(crate) kept: Kept,
    /// The payloads of entries before this one are pruned.
    pub(crate) pruned: u64,
    /// Segments of which that is not done yet.
    pub(crate) unpruned: BTreeSet<u64>,
    /// Entries that say what was repaired.
    pub(crate) repairs: Vec<Draft>,
    /// Files that nobody writes to any more, as the last seal has them.
    pub(crate) sealed: Vec<SealedFile>,
    /// What is left to read while the log serves.
    pub(crate) earlier: Option<Earlier>,
}

/// What was found, before anything is changed.
struct Looked {
    walked: Walked,
    kept: Kept,
    vouched: Vouched,
    /// The seal, of a log that was closed.
    seal: Option<Seal>,
    /// Where what was read begins, if not at the beginning.
    begun: Option<Begun>,
}

/// Looks at the log in `folder`, repairs what a crash left, and refuses what only damage leaves.
pub(crate) fn recover(
    folder: &Folder,
    tenant: &TenantId,
    options: &Options,
) -> Result<Recovered, OpenError> {
    let storage = |what: &'static str| {
        let path = folder.path.clone();
        move |source| OpenError::Storage { path, what, source }
    };
    let beside = Beside::read(&folder.root).map_err(storage("reading its tree"))?;
    let sizes = beside.checkpoints.sizes();
    // Whatever does not hold is told by a look at everything.
    let part = begin_late(folder, options, &beside).and_then(|begun| {
        let looked = look(folder, tenant, &beside, Some(begun)).ok()?;
        if !looked.vouched.differing.is_empty() {
            return None;
        }
        let until = looked.begun.as_ref()?.start.segment;
        Some((looked, segments(&folder.root, until)?))
    });
    let (looked, before) = match part {
        Some(part) => part,
        None => (look(folder, tenant, &beside, None)?, Vec::new()),
    };
    let Looked {
        mut walked,
        kept,
        vouched,
        seal,
        begun,
    } = looked;
    walked.segments.splice(0..0, before);
    folder
        .remove_durably(Path::new(DOUBTED))
        .map_err(storage("removing the mark of a doubt"))?;
    unseal(folder).map_err(storage("removing the seal"))?;

    folder
        .root
        .create_dir_all("journal")
        .map_err(storage("making `journal`"))?;
    folder
        .disk
        .sync_folder(&folder.root, Path::new(""))
        .map_err(storage("making `journal`"))?;
    let journal = Journal::new(Arc::clone(&folder.root), walked.segments.clone());
    let was_rewritten = !walked.prune.unfinished().is_empty();
    let unpruned = finish_pruning(folder, &walked)?;
    let last = walked.segments.last().map_or(0, |segment| segment.number);
    let mut repairs = Vec::new();
    let view = match seal.is_some() && folder.path.join("view").exists() {
        true => FoundView::AtRest,
        false => open_view(folder, options, &journal, walked.head, &mut repairs)?,
    };
    let tiling = open_tree(folder, &journal, vouched, &sizes, &mut repairs);
    let tiling = tiling.map_err(storage("setting a damaged tree aside"))?;
    remove_unnamed(folder).map_err(storage("removing an unfinished file"))?;
    if let Some(torn) = &walked.torn {
        repairs.push(set_tail_aside(folder, torn).map_err(storage("setting a torn tail aside"))?);
    }
    let tail = match walked.segments.last() {
        Some(segment) => reopen(folder, segment, walked.end),
        None => begin(folder, &journal, options.segment_size),
    };
    let tail = tail.map_err(storage("opening the journal"))?;
    Ok(Recovered {
        journal,
        tail,
        head: walked.head,
        time: walked.time,
        tiling,
        view,
        kept,
        pruned: walked.prune.end(),
        unpruned,
        repairs,
        sealed: seal
            .filter(|_| !was_rewritten)
            .map(|seal| seal.settled(last))
            .unwrap_or_default(),
        earlier: begun.map(|begun| Earlier::of(begun, beside, tenant.clone())),
    })
}

/// Where a long log is begun to be read: at the segment that holds the last entry of the newest checkpoint.
fn begin_late(folder: &Folder, options: &Options, beside: &Beside) -> Option<Begun> {
    let root = &folder.root;
    if root.exists(DOUBTED) {
        return None;
    }
    let files = root.read_dir("journal").ok()?;
    let lengths = files.map(|file| Some(file.ok()?.metadata().ok()?.len()));
    let length: u64 = lengths.collect::<Option<Vec<_>>>()?.iter().sum();
    if length <= options.read_first {
        return None;
    }
    let (size, _) = beside.checkpoints.by_size.last_key_value()?;
    since::begin(root, *size)
}

/// Reads the journal, from where it is `begun` or all of it, and holds it against all that vouches for it.
fn look(
    folder: &Folder,
    tenant: &TenantId,
    beside: &Beside,
    begun: Option<Begun>,
) -> Result<Looked, OpenError> {
    let sizes = beside.checkpoints.sizes();
    let (root, claims) = (&folder.root, beside.claims());
    let mut check = match &begun {
        None => TreeCheck::new(root, beside, &sizes, claims),
        Some(begun) => {
            let first = Journal::new(Arc::clone(root), segments(root, 1).unwrap_or_default());
            let first = first.find(0).and_then(|at| first.read(0, at));
            let origin = first.map(|first| origin(tenant, &first.hash));
            let origin = origin.unwrap_or_default();
            TreeCheck::since(root, beside, &sizes, claims, (origin, begun.edge.clone()))
        }
    };
    let way = Way {
        start: begun.as_ref().map_or(Start::LOG, |begun| begun.start),
        until: None,
        is_in_use: false,
        threads: all_cores(),
        prepare: &|met| {
            let kept = record_names(met.frame.records, is_kept);
            (leaf_hash(met.frame.header), kept)
        },
    };
    let mut kept = Kept::new();
    let mut meet = |met: &Met<'_>, (leaf, names): (_, Vec<RecordKey>)| {
        let place = (met.header.sequence, met.at);
        kept.extend(names.into_iter().map(|name| (name, place)));
        check.meet(met, leaf);
    };
    let walked = walk(root, &way, &mut meet, &mut |_, _| {});
    check_journal(folder, tenant, &walked)?;
    let seal = check_seal(folder, tenant, &walked)?;
    let vouched = check.finish(walked.head.entries, true);
    check_vouched(folder, beside, &vouched)?;
    Ok(Looked {
        walked,
        kept,
        vouched,
        seal,
        begun,
    })
}

/// Takes away what an entry says is pruned, and a crash left; on legal hold it stays until that is released. Gives the
/// segments of which it was not done.
fn finish_pruning(folder: &Folder, walked: &Walked) -> Result<BTreeSet<u64>, OpenError> {
    if walked.prune.is_held {
        return Ok(walked.prune.unfinished());
    }
    for number in walked.prune.unfinished() {
        let taken = take_away(folder, number, walked.prune.end());
        taken.map_err(|error| OpenError::Storage {
            path: folder.path.clone(),
            what: "taking pruned payloads away",
            source: io::Error::other(error),
        })?;
    }
    Ok(BTreeSet::new())
}

/// Refuses a journal that what vouches for it contradicts.
fn check_vouched(folder: &Folder, beside: &Beside, vouched: &Vouched) -> Result<(), OpenError> {
    let harmful = |fault: &&Fault| fault.what != FaultKind::UnknownFile;
    let mut faults = beside.checkpoints.faults.iter().chain(&vouched.faults);
    match faults.find(harmful) {
        Some(fault) => Err(OpenError::Damaged {
            path: folder.path.clone(),
            fault: Box::new(fault.clone()),
        }),
        None => Ok(()),
    }
}

/// The tree as the journal says it is. A tree on disk that says otherwise is set aside and written anew.
fn open_tree(
    folder: &Folder,
    journal: &Arc<Journal>,
    vouched: Vouched,
    sizes: &BTreeSet<u64>,
    repairs: &mut Vec<Draft>,
) -> io::Result<Tiling> {
    let Vouched {
        edge,
        mut missing,
        differing,
        ..
    } = vouched;
    if !differing.is_empty() {
        let aside = folder.set_aside(crate::tiles::FOLDER)?;
        repairs.push(repair_entry("tree", Damage::Differs, aside.as_deref()));
        let all = crate::tiles::from_journal(journal, edge.size(), sizes);
        missing = all.map_err(io::Error::other)?;
    }
    let mut tiling = Tiling::new(folder.clone(), edge, missing);
    // What the disk refuses now is tried again with the next entries, and before any checkpoint.
    drop(tiling.save());
    Ok(tiling)
}

fn check_journal(folder: &Folder, tenant: &TenantId, walked: &Walked) -> Result<(), OpenError> {
    // What does not belong here is `audit-verify`'s business; it does no harm to what does.
    let harmful = |fault: &&Fault| fault.what != FaultKind::UnknownFile;
    if let Some(fault) = walked.faults.iter().find(harmful) {
        return Err(OpenError::Damaged {
            path: folder.path.clone(),
            fault: Box::new(fault.clone()),
        });
    }
    match &walked.tenant {
        Some(found) if found != tenant => Err(OpenError::OtherTenant {
            path: folder.path.clone(),
            expected: tenant.clone(),
            found: found.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Holds the journal against the seal, if there is one.
fn check_seal(
    folder: &Folder,
    tenant: &TenantId,
    walked: &Walked,
) -> Result<Option<Seal>, OpenError> {
    let damaged = |what| OpenError::Damaged {
        path: folder.path.clone(),
        fault: Box::new(Fault::of_file(SEAL, what)),
    };
    let Some(seal) = Seal::read(&folder.root).map_err(damaged)? else {
        return Ok(None);
    };
    if let Some(torn) = &walked.torn {
        // A log that was closed has no unfinished write.
        return Err(OpenError::Damaged {
            path: folder.path.clone(),
            fault: Box::new(torn.fault.clone()),
        });
    }
    if seal.head() != walked.head || seal.tenant != *tenant {
        return Err(damaged(FaultKind::SealDiffers));
    }
    Ok(Some(seal))
}

/// Opens the view and holds it against the journal. A view that cannot be used is set aside and begun again.
fn open_view(
    folder: &Folder,
    options: &Options,
    journal: &Journal,
    head: Head,
    repairs: &mut Vec<Draft>,
) -> Result<FoundView, OpenError> {
    let path = folder.path.join("view");
    let was_there = path.exists();
    let opened = open(options.view.as_ref(), &path);
    let (damage, view) = match opened {
        Err(error) => (Damage::of(&error), None),
        Ok(view) => match guard(|| compare(view.as_ref(), journal, head)) {
            Ok(Standing::Behind(_)) if !was_there && head.entries > 0 => {
                (Damage::Missing, Some(view))
            }
            Ok(Standing::Behind(viewed)) => return Ok(FoundView::Open(view, viewed)),
            Ok(Standing::Ahead(viewed)) => {
                return Err(OpenError::ViewAhead {
                    path: folder.path.clone(),
                    view: viewed.entries,
                    journal: head.entries,
                });
            }
            Ok(Standing::Elsewhere) => (Damage::Differs, Some(view)),
            Err(error) => (Damage::of(&error), Some(view)),
        },
    };
    let begun = |view: Option<_>| {
        view.map_or(FoundView::Refused, |view| {
            FoundView::Open(view, Head::START)
        })
    };
    if !was_there && head.entries > 0 {
        repairs.push(repair_entry("view", Damage::Missing, None));
        return Ok(begun(view));
    }
    if may_pass(folder, damage) {
        // Nothing is wrong with what is there, as far as anybody knows.
        drop(view.map(|view| close(options.view.as_ref(), view, &path)));
        return Ok(FoundView::Refused);
    }
    let aside = set_aside(folder, options.view.as_ref(), view);
    let aside = aside.map_err(|source| OpenError::Storage {
        path: folder.path.clone(),
        what: "setting a damaged view aside",
        source,
    })?;
    repairs.push(repair_entry("view", damage, aside.as_deref()));
    Ok(begun(open(options.view.as_ref(), &path).ok()))
}

pub(crate) enum Standing {
    /// The view holds a beginning of the journal.
    Behind(Head),
    /// The view holds entries after the journal's last that follow from it.
    Ahead(Head),
    /// The view holds something else.
    Elsewhere,
}

/// How far a view is that is to follow a journal up to `head`.
pub(crate) fn compare(
    view: &dyn View,
    journal: &Journal,
    head: Head,
) -> Result<Standing, ViewError> {
    let viewed = view.head()?;
    if viewed.entries > head.entries {
        // Only an entry that continues the chain is believed: then the journal lost it. Anything else is a broken view.
        let row = view.row(head.entries)?;
        let continues = row.is_some_and(|row| {
            let header: Option<Header> = serde_json::from_slice(&row.header).ok();
            entry_hash(&row.header) == row.hash
                && header.is_some_and(|header| {
                    header.previous == head.hash && header.sequence == head.entries
                })
        });
        return Ok(if continues {
            Standing::Ahead(viewed)
        } else {
            Standing::Elsewhere
        });
    }
    let Some(last) = viewed.entries.checked_sub(1) else {
        return Ok(Standing::Behind(viewed));
    };
    let entry = journal.find(last).and_then(|at| journal.read(last, at));
    let row = view.row(last)?;
    let agrees = entry.is_ok_and(|entry| {
        entry.hash == viewed.hash && row.is_some_and(|row| row.header == entry.header_bytes)
    });
    Ok(if agrees {
        Standing::Behind(viewed)
    } else {
        Standing::Elsewhere
    })
}

/// Removes segments, tiles and checkpoints that never got their name: nothing was ever said of one.
fn remove_unnamed(folder: &Folder) -> io::Result<()> {
    for name in ["journal", crate::tiles::FOLDER, crate::checkpoint::FOLDER] {
        if !folder.root.try_exists(name)? {
            continue;
        }
        for file in folder.root.read_dir(name)? {
            let path = Path::new(name).join(file?.file_name());
            if path.extension().is_some_and(|extension| extension == "tmp") {
                folder.remove_durably(&path)?;
            }
        }
    }
    Ok(())
}

/// Copies an unfinished write to `damaged/<n>/` and then overwrites it with zeros.
fn set_tail_aside(folder: &Folder, torn: &Torn) -> io::Result<Draft> {
    use std::os::unix::fs::FileExt as _;
    let file = folder.open_for_writing(&segment_path(torn.segment))?;
    let length = usize::try_from(torn.bytes.end - torn.bytes.start).unwrap_or_default();
    let mut bytes = vec![0; length];
    file.file.read_exact_at(&mut bytes, torn.bytes.start)?;
    let aside = folder.make_quarantine()?;
    let name = format!("tail-{:08}-{}.bin", torn.segment, torn.bytes.start);
    folder.write_atomically(&aside.join(&name), &bytes)?;
    folder.disk.sync_folder(&folder.root, Path::new(DAMAGED))?;
    folder.disk.sync_folder(&folder.root, Path::new(""))?;
    bytes.fill(0);
    folder.disk.write_at(&file, &bytes, torn.bytes.start)?;
    folder.disk.sync(&file)?;
    Ok(Draft::new(EntryKind::LogRepaired, "tail-set-aside")
        .fact("part", "journal")
        .fact("reason", "unfinished-write")
        .fact("file", &*torn.fault.file)
        .fact("offset", torn.bytes.start.to_string())
        .fact("bytes", length.to_string())
        .fact("set-aside", aside.join(name).display().to_string()))
}

fn reopen(folder: &Folder, segment: &Segment, end: u64) -> io::Result<Tail> {
    Ok(Tail {
        file: folder.open_for_writing(&segment_path(segment.number))?,
        number: segment.number,
        size: segment.size,
        offset: end,
    })
}

fn begin(folder: &Folder, journal: &Journal, size: u64) -> io::Result<Tail> {
    let header = SegmentHeader {
        number: 0,
        first: 0,
        size: size.min(MAX_SEGMENT),
        previous: Head::START.hash,
    };
    let tail = make_segment(folder, &header)?;
    journal.add(Segment {
        number: 0,
        first: 0,
        size: header.size,
    });
    Ok(tail)
}

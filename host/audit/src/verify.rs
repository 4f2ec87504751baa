//! Verifies a log without trusting whoever kept it, and without changing a byte of it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use nephron_model::{Digest, TenantId};
use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::frame::decode_records;
use crate::seal::{SEAL, Seal, files_below};
use crate::since::{Begun, begin, grew};
use crate::story::{Gap, Story};
use crate::threads::all_cores;
use crate::tree::leaf_hash;
use crate::view::{PartedViews, RecordName, Term, TermKey, View, ViewError, Views, guard, open};
use crate::vouch::{Beside, By, Claim, TreeCheck};
use crate::walk::{Met, Start, Way, walk};
use crate::{
    Checkpoint, Committed, Fault, FaultKind, Head, Location, Policy, PolicyVerdict,
    SignedCheckpoint, Unchecked, VerifierKey, Witnessed, checkpoint, tiles,
};

/// What to hold the log against, besides itself.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// A head that was noted earlier: the log must still hold exactly that entry there. It may have grown since.
    pub expected_head: Option<Head>,
    /// A log that was not closed cleanly is a fault.
    pub require_seal: bool,
    /// The log's own key: every checkpoint must be signed by it, and there must be one.
    pub key: Option<VerifierKey>,
    /// Checkpoints that were kept elsewhere: the log must begin with what each says. Without `key` nobody vouches for
    /// them.
    pub checkpoints: Vec<KeptCheckpoint>,
    /// What the host's log committed to: all of it that is about this log's tenant must hold. Nothing if no host's log is at
    /// hand.
    pub committed: Option<Vec<Committed>>,
    /// Reads only from the segment on that holds the last entry of this checkpoint. The log's key must have signed it, and it must
    /// hold: otherwise the whole log is read, to say where it differs. A head that was noted of fewer entries than are left out
    /// then counts as one that the log does not hold.
    pub since: Option<KeptCheckpoint>,
    /// Whose word it takes. Without `key`, the log's key is the one that the policy lists for the log's origin.
    pub policy: Option<Policy>,
    /// How far those of the policy vouch for the host's log, from which `committed` is: what it commits to, they vouch for too.
    pub host_witnessed: Option<Witnessed>,
    /// Leaves the view out. On a closed log its bytes are covered by the seal either way.
    pub skip_view: bool,
    /// The store of the view, if it is not the usual one.
    pub views: Option<Arc<dyn Views>>,
    /// How many threads look at entries and files. Default: as many as the machine runs at once. The verdict is the same
    /// whatever their number.
    pub threads: Option<NonZeroUsize>,
    /// Hears about progress, once for each segment.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// A checkpoint that was kept outside the log's folder.
#[derive(Clone, Debug)]
pub struct KeptCheckpoint {
    /// Its file, as faults name it.
    pub file: String,
    /// The file's text.
    pub note: String,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the journal that were read.
    pub bytes: u64,
    /// Bytes of the journal altogether.
    pub of_bytes: u64,
    /// Entries that were recomputed.
    pub entries: u64,
}

/// A bar, as a terminal shows it on one line.
impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const CELLS: usize = 24;
        let of = |whole: u64| {
            let done = u128::from(self.bytes.min(self.of_bytes)) * u128::from(whole);
            let part = done.checked_div(u128::from(self.of_bytes));
            part.map_or(whole, |part| u64::try_from(part).unwrap_or(whole))
        };
        let full = usize::try_from(of(CELLS as u64)).unwrap_or(CELLS);
        let (full, percent) = (full.min(CELLS), of(100));
        let (done, rest) = ("#".repeat(full), "-".repeat(CELLS - full));
        write!(f, "[{done}{rest}] {percent:3} %  {} entries", self.entries)
    }
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The first entry that was read. Everything here is about the entries from this one to before `entries`.
    #[serde(default)]
    pub from: u64,
    /// Entries in the checkpoint since which was to be verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// What was not looked at, where not all was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Unchecked>,
    /// Entries that the journal holds.
    pub entries: u64,
    /// Hash of the last of them; zeros if there is none.
    pub head: Digest,
    /// Root of the tree over all of them (RFC 6962 §2.1); nothing if one cannot be read.
    pub root: Option<Digest>,
    /// Sealed payloads that are gone since they were kept long enough, as later entries say.
    #[serde(default)]
    pub pruned: u64,
    /// Checkpoints, stored and kept elsewhere, that hold.
    pub checkpoints: u64,
    /// How many entries, from the first, the largest checkpoint covers that holds and is signed by the given key. Nothing
    /// if no key was given, 0 if there is no such checkpoint.
    pub vouched: Option<u64>,
    /// How many entries, from the first, the largest commitment of the host's log covers that holds. Nothing if no host's log
    /// was given, 0 if it never committed to this log.
    pub committed: Option<u64>,
    /// What the policy says, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyVerdict>,
    /// Nothing is wrong. If `sealed` is false, entries at the very end could be missing without a trace in the folder:
    /// then hold the log against a head that was noted elsewhere.
    pub verified: bool,
    /// What is wrong, in the order in which it stands in the journal.
    pub faults: Vec<Fault>,
    /// What is missing in the story that the entries tell. The entries are as they were recorded; the host did not record what it
    /// should have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Whether the view was held against the journal.
    pub view: ViewCheck,
    /// The log was closed cleanly and its seal is there.
    pub sealed: bool,
}

impl Verdict {
    /// The verdict on a log that is not there: `committed` is what the host's log said of it last, if it did.
    #[must_use]
    pub fn on_missing(committed: Option<&Committed>) -> Self {
        let ahead = committed.map(|it| Fault::of_file(&it.place(), FaultKind::CheckpointAhead));
        Self {
            from: 0,
            since: None,
            unchecked: Vec::new(),
            entries: 0,
            head: Head::START.hash,
            root: None,
            pruned: 0,
            checkpoints: 0,
            vouched: None,
            committed: committed.map(|_| 0),
            policy: None,
            verified: false,
            faults: std::iter::once(Fault::of_file("journal", FaultKind::FileMissing))
                .chain(ahead)
                .collect(),
            gaps: Vec::new(),
            view: ViewCheck::Absent,
            sealed: false,
        }
    }

    /// Nothing is wrong, and the entries tell a whole story.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.verified && self.gaps.is_empty()
    }

    /// The first entry that is broken, if an entry is.
    #[must_use]
    pub fn first_broken(&self) -> Option<u64> {
        self.faults.iter().filter_map(|fault| fault.entry).min()
    }
}

/// What became of the view in a verification. It is derived data: only where it contradicts the journal is it a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewCheck {
    /// Every row, term and record in it was held against the journal.
    Checked,
    /// There is none.
    Absent,
    /// A writer is at work on it.
    InUse,
    /// Its store cannot open a copy of it, as may be after a crash. The next open of the log builds it again.
    Unreadable,
    /// It was left out on request.
    Skipped,
}

/// The log could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The folder cannot be read, or is no log.
    #[error("`{path}` cannot be verified: name the folder of a log, which holds `journal`")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

/// Reads the log in `folder` from first to last and recomputes everything.
///
/// Nothing in the folder is written, whatever it holds; the view is opened on a temporary copy.
///
/// # Errors
/// [`VerifyError`] when there is nothing that could be verified.
pub fn verify(folder: &Path, mut options: VerifyOptions<'_>) -> Result<Verdict, VerifyError> {
    let failed = |source| VerifyError::Folder {
        path: folder.to_owned(),
        source,
    };
    let root = Dir::open_ambient_dir(folder, cap_std::ambient_authority()).map_err(failed)?;
    let has = |name| root.try_exists(name).map_err(failed);
    if !has("journal")? && !has(SEAL)? && !has("view")? {
        return Err(failed(io::Error::from(io::ErrorKind::NotFound)));
    }
    let mut progress = options.progress.take();
    if let Some(part) = Part::of(&root, &options) {
        let read = look((&root, folder), &options, Some(part), &mut progress);
        let (verdict, is_borne_out) = read.map_err(failed)?;
        if is_borne_out {
            return Ok(verdict);
        }
        // The tiles on disk may be what is wrong. What it is, the whole log tells.
    }
    let read = look((&root, folder), &options, None, &mut progress);
    read.map(|(verdict, _)| verdict).map_err(failed)
}

/// What follows from a checkpoint on, and the tree before.
struct Part {
    checkpoint: Checkpoint,
    begun: Begun,
}

impl Part {
    /// That since the checkpoint of the options, if there is one, the log's key signed it, and something before it can be left out.
    fn of(root: &Dir, options: &VerifyOptions<'_>) -> Option<Self> {
        let note = &options.since.as_ref()?.note;
        let listed = || options.policy.as_ref()?.log_of_note(note);
        let key = options.key.as_ref().or_else(listed)?;
        let checkpoint = SignedCheckpoint::open(note, key).ok()?.checkpoint;
        let begun = begin(root, checkpoint.size)?;
        Some(Self { checkpoint, begun })
    }
}

/// Looks at a log, or at a part of it. Says too whether the tree on disk bears out that the rest may be left out.
fn look(
    (root, folder): (&Dir, &Path),
    options: &VerifyOptions<'_>,
    part: Option<Part>,
    progress: &mut Option<&mut dyn FnMut(Progress)>,
) -> io::Result<(Verdict, bool)> {
    let start = part.as_ref().map_or(Start::LOG, |part| part.begun.start);
    let is_in_use = is_in_use(root);
    let beside = Beside::beyond(root, start.head.entries)?;
    let seal = Seal::read(root);
    let skips_view = options.skip_view || part.is_some();
    let viewed = match skips_view {
        true => Viewed::not(ViewCheck::Skipped),
        false => Viewed::open(root, folder, options, is_in_use),
    };
    let mut checks = Checks::new(options, &viewed, &seal);
    let mut claims = Claims::of(&beside, options);
    let sizes = beside.checkpoints.sizes();
    let claimed = std::mem::take(&mut claims.all);
    let since = part.as_ref().map(|part| part.checkpoint.clone());
    let older = match &since {
        Some(since) => older(root, since, &claimed, start.head.entries),
        None => Some(Vec::new()),
    };
    let (mut tree, mut story) = match part {
        None => (
            TreeCheck::new(root, &beside, &sizes, claimed),
            Story::default(),
        ),
        Some(Part { checkpoint, begun }) => {
            let before = (checkpoint.origin, begun.edge);
            let tree = TreeCheck::since(root, &beside, &sizes, claimed, before);
            (tree, Story::from_within())
        }
    };

    let of_bytes = journal_bytes(root, start.segment);
    let mut bytes = 0;
    let threads = options.threads.unwrap_or_else(all_cores);
    let way = Way {
        start,
        until: None,
        is_in_use,
        threads,
        prepare: &|met| (leaf_hash(met.frame.header), viewed.hold_against(met)),
    };
    let walked = walk(
        root,
        &way,
        &mut |met, (leaf, held)| {
            story.meet(met.header);
            checks.meet(met, held);
            tree.meet(met, leaf);
        },
        &mut |read, entries| {
            bytes += read;
            if let Some(progress) = progress {
                progress(Progress {
                    bytes,
                    of_bytes,
                    entries,
                });
            }
        },
    );
    let mut faults = walked.faults;
    let vouched = tree.finish(walked.head.entries, faults.is_empty());
    faults.extend(walked.torn.map(|torn| torn.fault));
    checks.finish(&viewed, walked.head, &mut faults);
    let view = viewed.close();
    let differing = vouched.differing.iter();
    faults.extend(differing.map(|file| Fault::of_file(file, FaultKind::TileDiffers)));
    let strange = beside.tiles.strange.iter();
    faults.extend(strange.map(|file| Fault::of_file(file, FaultKind::UnknownFile)));
    faults.append(&mut claims.faults);
    faults.extend(vouched.faults);
    let is_borne_out = older.is_some() && since.is_none_or(|it| vouched.states.contains(&it));
    let older = older.unwrap_or_default();
    let mut states = vouched.states;
    states.extend(older.iter().map(|claim| claim.checkpoint.clone()));
    let policy = claims.judge(options, &states);
    if policy.as_ref().is_some_and(|policy| !policy.met) {
        faults.push(Fault::of_file("policy", FaultKind::QuorumNotMet));
    }
    if !root.try_exists("journal").unwrap_or(false) {
        faults.push(Fault::of_file("journal", FaultKind::FileMissing));
    }
    check_names(root, &mut faults);
    let sealed = match &seal {
        Ok(Some(seal)) => {
            let names_tenant = walked
                .tenant
                .as_ref()
                .is_none_or(|tenant| *tenant == seal.tenant);
            if seal.head() != walked.head || !names_tenant {
                faults.push(Fault::of_file(SEAL, FaultKind::SealDiffers));
            }
            let is_asked = |path: &str| {
                start.segment == 0 || segment_of(path).is_some_and(|it| it >= start.segment)
            };
            seal.check(root, threads, &is_asked, &mut |fault| faults.push(fault));
            true
        }
        Ok(None) => {
            if options.require_seal {
                faults.push(Fault::of_file(SEAL, FaultKind::NotSealed));
            }
            false
        }
        Err(what) => {
            faults.push(Fault::of_file(SEAL, *what));
            false
        }
    };
    let is_hosts = walked.tenant == Some(TenantId::host());
    let is_committed_to = options.committed.is_some() && !is_hosts;
    let committed = older.iter().filter(|claim| matches!(claim.by, By::Host(_)));
    let committed = committed.map(|claim| claim.checkpoint.size).max();
    let committed = committed.unwrap_or_default().max(vouched.committed);
    let verdict = Verdict {
        from: start.head.entries,
        since: claims.since,
        unchecked: match start.segment {
            0 => Vec::new(),
            _ => Unchecked::SINCE.to_vec(),
        },
        entries: walked.head.entries,
        head: walked.head.hash,
        pruned: walked.prune.pruned,
        root: (vouched.edge.size() == walked.head.entries).then(|| vouched.edge.root()),
        checkpoints: vouched.held,
        vouched: claims.key.is_some().then_some(vouched.vouched),
        committed: is_committed_to.then_some(committed),
        policy,
        verified: faults.is_empty(),
        faults,
        gaps: story.finish(sealed),
        view,
        sealed,
    };
    Ok((verdict, is_borne_out))
}

/// The claims about a log that go no further than its first `entries`, which are not read: they hold, if it was once in the state
/// `since`. Nothing if the tiles do not prove that of each.
fn older(root: &Dir, since: &Checkpoint, claims: &[Claim], entries: u64) -> Option<Vec<Claim>> {
    let tenant = since.origin.split('/').nth(1);
    let is_asked = |claim: &&Claim| {
        let is_about = match &claim.by {
            By::Host(of) => Some(of.as_str()) == tenant,
            By::Nobody | By::Key => true,
        };
        is_about && claim.checkpoint.size <= entries
    };
    let older = claims.iter().filter(is_asked);
    let proved = older.map(|claim| grew(root, &claim.checkpoint, since).then(|| claim.clone()));
    proved.collect()
}

/// The number of the segment at this path, if it is one.
fn segment_of(path: &str) -> Option<u64> {
    let number = path.strip_prefix("journal/")?.strip_suffix(".wal")?;
    number.parse().ok()
}

/// Whether somebody has the log open for writing. Takes the lock shared, and lets it go at once; writes nothing.
pub(crate) fn is_in_use(root: &Dir) -> bool {
    let Ok(lock) = root.open("lock") else {
        return false;
    };
    match lock.into_std().try_lock_shared() {
        Ok(()) => false,
        Err(fs::TryLockError::WouldBlock) => true,
        Err(fs::TryLockError::Error(_)) => false,
    }
}

/// The view, as it was found.
struct Viewed {
    view: OpenView,
    /// Entries that it claims to hold.
    head: Head,
}

enum OpenView {
    /// The view, and the copy it was opened on, which goes away with it.
    Open(Box<dyn View>, tempfile::TempDir),
    Not(ViewCheck),
}

/// One entry held against the view.
struct Held {
    /// The view has it as it is.
    agrees: bool,
    /// What it adds to the sums over all terms.
    terms: (u64, u64),
    records: Vec<RecordName>,
}

impl Viewed {
    fn open(root: &Dir, folder: &Path, options: &VerifyOptions<'_>, is_in_use: bool) -> Self {
        let opened = if is_in_use {
            Ok(OpenView::Not(ViewCheck::InUse))
        } else if !root.try_exists("view").unwrap_or(false) {
            Ok(OpenView::Not(ViewCheck::Absent))
        } else {
            open_copy(&folder.join("view"), options.views.as_deref())
        };
        let view = opened.unwrap_or(OpenView::Not(ViewCheck::Unreadable));
        let head = match &view {
            OpenView::Open(view, _) => guard(|| view.head()),
            OpenView::Not(_) => Ok(Head::START),
        };
        match head {
            Ok(head) => Self { view, head },
            Err(_) => Self::not(ViewCheck::Unreadable),
        }
    }

    const fn not(why: ViewCheck) -> Self {
        Self {
            view: OpenView::Not(why),
            head: Head::START,
        }
    }

    /// What the view says of an entry; nothing if it claims to hold nothing of it.
    fn hold_against(&self, met: &Met<'_>) -> Option<Held> {
        let OpenView::Open(view, _) = &self.view else {
            return None;
        };
        let sequence = met.header.sequence;
        if sequence >= self.head.entries {
            return None;
        }
        let row = guard(|| view.row(sequence)).ok().flatten();
        let agrees = row.is_some_and(|row| {
            row.at == met.at && row.hash == met.hash && row.header == met.frame.header
        });
        let mut terms = (0, 0);
        for term in Term::of(met.header) {
            add_term(&mut terms, term.key(), sequence);
        }
        let records = decode_records(met.frame.records).unwrap_or_default();
        let records = records.iter();
        Some(Held {
            agrees,
            terms,
            records: records
                .map(|record| RecordName::of(record.space, &record.key))
                .collect(),
        })
    }

    fn close(self) -> ViewCheck {
        match self.view {
            OpenView::Open(view, copy) => {
                // The store may panic when it closes; the copy goes away either way.
                drop(guard(|| {
                    drop(view);
                    Ok(())
                }));
                drop(copy);
                ViewCheck::Checked
            }
            OpenView::Not(why) => why,
        }
    }
}

/// What is held against each entry while the journal is walked.
struct Checks {
    expected: Option<Head>,
    expected_is_met: bool,
    /// Entries that the view claims to hold.
    viewed: Head,
    viewed_is_met: bool,
    /// Sums over (term, sequence) of the journal, to compare with the view's without holding them all.
    terms: (u64, u64),
    records: HashMap<RecordName, (u64, Location)>,
    faults: Vec<Fault>,
}

impl Checks {
    fn new(
        options: &VerifyOptions<'_>,
        viewed: &Viewed,
        seal: &Result<Option<Seal>, FaultKind>,
    ) -> Self {
        let mut faults = Vec::new();
        // A cleanly closed log has a view that opens.
        if matches!(
            (&viewed.view, seal),
            (OpenView::Not(ViewCheck::Unreadable), Ok(Some(_)))
        ) {
            faults.push(Fault::of_file("view", FaultKind::Unreadable));
        }
        Self {
            expected: options.expected_head,
            expected_is_met: false,
            viewed: viewed.head,
            viewed_is_met: viewed.head.entries == 0,
            terms: (0, 0),
            records: HashMap::new(),
            faults,
        }
    }

    fn meet(&mut self, met: &Met<'_>, held: Option<Held>) {
        let sequence = met.header.sequence;
        let is =
            |head: Head| head.entries.checked_sub(1) == Some(sequence) && head.hash == met.hash;
        self.expected_is_met |= self.expected.is_some_and(is);
        self.viewed_is_met |= is(self.viewed);
        let Some(held) = held else {
            return;
        };
        if !held.agrees {
            self.fault(Some(sequence));
        }
        self.terms.0 += held.terms.0;
        self.terms.1 = self.terms.1.wrapping_add(held.terms.1);
        let names = held.records.into_iter();
        self.records
            .extend(names.map(|name| (name, (sequence, met.at))));
    }

    fn finish(mut self, viewed: &Viewed, head: Head, faults: &mut Vec<Fault>) {
        let expects_more = self
            .expected
            .is_some_and(|expected| expected != Head::START);
        if expects_more && !self.expected_is_met {
            let end = self.expected.map(|expected| expected.entries);
            faults.push(Fault {
                entry: end.and_then(|end| end.checked_sub(1)),
                entry_end: end,
                ..Fault::of_file("journal", FaultKind::HeadDiffers)
            });
        }
        if self.viewed.entries > head.entries {
            let fault = Fault::of_file("view", FaultKind::ViewAhead);
            let lost = head.entries..self.viewed.entries;
            self.faults.push(fault.of_entries(lost));
        } else if !self.viewed_is_met {
            self.fault(self.viewed.entries.checked_sub(1));
        }
        let checked = match &viewed.view {
            OpenView::Open(view, _) => Some(guard(|| self.indexes_agree(view.as_ref()))),
            OpenView::Not(_) => None,
        };
        // A journal with faults has entries that were not met, so the indexes cannot be compared as a whole.
        if checked.is_some_and(|agrees| agrees != Ok(true))
            && faults.is_empty()
            && self.faults.is_empty()
        {
            self.fault(None);
        }
        faults.append(&mut self.faults);
    }

    fn indexes_agree(&self, view: &dyn View) -> Result<bool, ViewError> {
        let mut terms = (0, 0);
        view.each_term(&mut |term, sequence| add_term(&mut terms, term, sequence))?;
        let mut count = 0;
        let mut agree = terms == self.terms;
        view.each_record(&mut |name, sequence, at| {
            count += 1;
            agree &= self.records.get(&name) == Some(&(sequence, at));
        })?;
        Ok(agree && count == self.records.len())
    }

    fn fault(&mut self, entry: Option<u64>) {
        // One is enough to say that the view is not this journal's.
        if self
            .faults
            .iter()
            .all(|fault| fault.what != FaultKind::ViewDiffers)
        {
            self.faults.push(Fault {
                entry,
                ..Fault::of_file("view", FaultKind::ViewDiffers)
            });
        }
    }
}

/// Adds a (term, sequence) pair to a count and to a sum that no two different sets share by accident.
fn add_term(terms: &mut (u64, u64), term: TermKey, sequence: u64) {
    let mut pair = term.0.to_vec();
    pair.extend_from_slice(&sequence.to_le_bytes());
    let digest = Digest::of(&pair).0;
    let part = digest
        .iter()
        .take(8)
        .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    terms.0 += 1;
    terms.1 = terms.1.wrapping_add(part);
}

/// Opens a copy of the view: a store writes to what it opens, and evidence is not written to.
fn open_copy(view: &Path, views: Option<&dyn Views>) -> io::Result<OpenView> {
    let copy = tempfile::Builder::new().prefix("audit-verify-").tempdir()?;
    copy_folder(view, copy.path())?;
    let usual = PartedViews::default();
    Ok(match open(views.unwrap_or(&usual), copy.path()) {
        Ok(view) => OpenView::Open(view, copy),
        Err(_) => OpenView::Not(ViewCheck::Unreadable),
    })
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for item in fs::read_dir(from)? {
        let item = item?;
        let to = to.join(item.file_name());
        let kind = item.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy_folder(&item.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(item.path(), to)?;
        }
    }
    Ok(())
}

/// Reports names at the top of the folder that no log has.
fn check_names(root: &Dir, faults: &mut Vec<Fault>) {
    let Ok(paths) = files_below(root) else {
        return faults.push(Fault::of_file(".", FaultKind::Unreadable));
    };
    for path in paths {
        let (top, is_inside) = match path.split_once('/') {
            Some((top, _)) => (top, true),
            None => (path.as_str(), false),
        };
        let is_known = match top {
            // The own names of journal, tree and checkpoints were looked at when they were read.
            "journal" | "view" | "damaged" | tiles::FOLDER | checkpoint::FOLDER => is_inside,
            "lock" | "closed.tmp" => !is_inside,
            _ => false,
        };
        if !is_known {
            faults.push(Fault::of_file(&path, FaultKind::UnknownFile));
        }
    }
}

/// Bytes of the segments from this one on.
fn journal_bytes(root: &Dir, first: u64) -> u64 {
    let Ok(files) = root.read_dir("journal") else {
        return 0;
    };
    let lengths = files.filter_map(|file| {
        let file = file.ok()?;
        let path = format!("journal/{}", file.file_name().to_string_lossy());
        let is_left = segment_of(&path).is_some_and(|number| number < first);
        (!is_left).then(|| file.metadata().ok().map(|it| it.len()))?
    });
    lengths.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_a_verification_has_come() {
        let said = |bytes, of_bytes| {
            let entries = 1812;
            Progress {
                bytes,
                of_bytes,
                entries,
            }
            .to_string()
        };
        assert_eq!(
            said(1 << 40, 1 << 41),
            "[############------------]  50 %  1812 entries"
        );
        assert_eq!(said(0, 1), "[------------------------]   0 %  1812 entries");
        // Nothing to do is done; a file that has grown meanwhile is no more than done.
        for done in [said(0, 0), said(3, 2)] {
            assert_eq!(done, "[########################] 100 %  1812 entries");
        }
    }
}

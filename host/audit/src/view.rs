//! The queryable view behind the journal: a small trait, so that another store can stand in for sled.
//!
//! A view is derived data. It is filled from the journal, in order, by one thread; every place that it gives is held
//! against the journal before it is believed; and any error, panic or contradiction throws it away and builds it again.
//! That there is no such record it is believed: only verification, which compares the whole, finds what was taken out of
//! it. It holds no payload and no record, only where in the journal they stand, so every value in it is small.

pub(crate) mod follow;
mod parted;
mod sled;
pub(crate) mod tide;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nephron_model::{Digest, EntryKind, EventId, Space};
use sha2::{Digest as _, Sha256};

pub use self::parted::PartedViews;
pub use self::sled::SledViews;
use crate::want::{is_full, passes};
use crate::{Head, Header, Location};

/// Something by which entries are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// Every entry of one request.
    Request(EventId),
    /// Every entry of one caller.
    Caller(String),
    /// Every entry of one component, by its digest.
    Plugin(Digest),
    /// Every entry of one kind.
    Kind(EntryKind),
}

/// A term as a store keys it: 16 bytes of a SHA-256 over its family and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TermKey(pub [u8; 16]);

/// A record's name as a store keys it: 16 bytes of a SHA-256 over its space and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordName(pub [u8; 16]);

/// Where a store keeps records together: 16 bytes of a SHA-256 over the first 32 bytes of their keys. The vault's keys
/// begin with the conversation, so what a request adds to it is one thing to write, and not one for each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shelf(pub [u8; 16]);

impl Term {
    /// The terms under which an entry is found.
    #[must_use]
    pub fn of(header: &Header) -> Vec<Self> {
        let mut terms = vec![Self::Kind(header.kind)];
        terms.extend(header.request.map(Self::Request));
        terms.extend(header.caller.clone().map(Self::Caller));
        terms.extend(
            header
                .plugin
                .as_ref()
                .map(|plugin| Self::Plugin(plugin.digest)),
        );
        terms
    }

    /// The term as a store keys it.
    #[must_use]
    pub fn key(&self) -> TermKey {
        TermKey(match self {
            Self::Request(id) => short_digest(b'q', id.to_string().as_bytes()),
            Self::Caller(id) => short_digest(b'c', id.as_bytes()),
            Self::Plugin(digest) => short_digest(b'p', &digest.0),
            Self::Kind(kind) => short_digest(b'k', format!("{kind:?}").as_bytes()),
        })
    }
}

impl RecordName {
    /// The name of the record `key` in `space`.
    #[must_use]
    pub fn of(space: Space, key: &[u8]) -> Self {
        Self(short_digest(space as u8, key))
    }
}

impl Shelf {
    /// Where the records with this key are kept.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(short_digest(b's', key.get(..32).unwrap_or(key)))
    }
}

fn short_digest(family: u8, text: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update([family]);
    hasher.update(text);
    let digest: [u8; 32] = hasher.finalize().into();
    let mut short = [0; 16];
    short
        .iter_mut()
        .zip(digest)
        .for_each(|(short, byte)| *short = byte);
    short
}

/// What a view holds of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The entry's sequence.
    pub sequence: u64,
    /// Where its frame stands in the journal.
    pub at: Location,
    /// Its hash.
    pub hash: Digest,
    /// The exact bytes of its header.
    pub header: Vec<u8>,
}

/// One entry on its way into a view.
#[derive(Clone, Debug)]
pub struct Addition {
    /// What is held of the entry itself.
    pub row: Row,
    /// The terms under which it is found.
    pub terms: Vec<TermKey>,
    /// The records that it holds, and where each is kept.
    pub records: Vec<(Shelf, RecordName)>,
}

/// A store that can hold a view.
///
/// Any method may fail, and may panic: the log calls none of them outside [`catch_unwind`].
pub trait View: Send + Sync {
    /// How far this view has followed.
    ///
    /// # Errors
    /// [`ViewError`] when the store cannot say; the log then rebuilds it.
    fn head(&self) -> Result<Head, ViewError>;

    /// Adds the entries that come next, all of them or none.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn add(&self, additions: &[Addition], head: Head) -> Result<(), ViewError>;

    /// What is held of one entry.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn row(&self, sequence: u64) -> Result<Option<Row>, ViewError>;

    /// The sequences of the entries with this term, in order.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn sequences(&self, term: TermKey) -> Result<Vec<u64>, ViewError>;

    /// For each of some records on one shelf, in order, the newest entry that holds it and where that stands.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn records(
        &self,
        shelf: Shelf,
        names: &[RecordName],
    ) -> Result<Vec<Option<(u64, Location)>>, ViewError>;

    /// Hands every term with each of its sequences to `each`, in any order.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn each_term(&self, each: &mut dyn FnMut(TermKey, u64)) -> Result<(), ViewError>;

    /// Hands every record's name and newest place to `each`, in any order.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn each_record(&self, each: &mut dyn FnMut(RecordName, u64, Location))
    -> Result<(), ViewError>;

    /// Hands the name of every term and of every shelf to `each`, in any order; the same one may come more than once.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn each_name(&self, each: &mut dyn FnMut([u8; 16])) -> Result<(), ViewError>;

    /// Returns when everything added so far is on stable storage and reads back.
    ///
    /// # Errors
    /// [`ViewError`] as for [`View::head`].
    fn checkpoint(&self) -> Result<(), ViewError>;
}

/// Opens views. The folder is the view's own and may not exist yet.
pub trait Views: Send + Sync {
    /// Opens the view in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// [`ViewError`] when there is something that cannot be opened; the log then sets it aside and asks again.
    fn open(&self, folder: &Path) -> Result<Box<dyn View>, ViewError>;

    /// Returns when a view that was dropped has let go of its files.
    ///
    /// # Errors
    /// [`ViewError`] when it does not.
    fn released(&self, folder: &Path) -> Result<(), ViewError>;
}

/// A view failed. The reason never holds PHI: a view holds none.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewError {
    /// The store said no.
    #[error("the view's store failed: {0}")]
    Store(String),
    /// The machine lacks now what the store needs: room, open files, memory, threads.
    #[error("the view's store lacks what it needs: {0}")]
    InWant(String),
    /// The store panicked.
    #[error("the view's store panicked")]
    Panicked,
    /// The store holds something that this version never writes.
    #[error("the view holds malformed data")]
    Malformed,
    /// The store keeps data where the log cannot make it durable.
    #[error("the view's store wrote a value outside its log")]
    Blob,
}

impl ViewError {
    /// What the system said, with whether it may pass.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        match passes(error) {
            true => Self::InWant(error.to_string()),
            false => Self::Store(error.to_string()),
        }
    }
}

/// How a log's view stands, for operators. Whatever it does not answer, the journal does, only slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViewStanding {
    /// It is open.
    Open,
    /// It is closed until somebody asks.
    AtRest,
    /// It is built again from the journal.
    Rebuilding,
    /// Its store failed; it is tried again, ever more rarely.
    Missing,
}

impl ViewStanding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::AtRest, Self::Rebuilding, Self::Missing];

    /// Its code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::AtRest => "at-rest",
            Self::Rebuilding => "rebuilding",
            Self::Missing => "missing",
        }
    }
}

/// Why a view cannot be used. Of one that is thrown away, the log's own entry says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The store failed.
    Store,
    /// The machine lacked what the store needs. It is tried again, and not thrown away.
    InWant,
    /// The store panicked.
    Panicked,
    /// It contradicted the journal.
    Differs,
    /// It was not there.
    Missing,
}

impl Damage {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store-failed",
            Self::InWant => "in-want",
            Self::Panicked => "store-panicked",
            Self::Differs => "differs-from-journal",
            Self::Missing => "missing",
        }
    }

    pub(crate) const fn of(error: &ViewError) -> Self {
        match error {
            ViewError::Store(_) | ViewError::Blob => Self::Store,
            ViewError::InWant(_) => Self::InWant,
            ViewError::Panicked => Self::Panicked,
            ViewError::Malformed => Self::Differs,
        }
    }
}

/// Calls into a store, and turns a panic into an error.
pub(crate) fn guard<T>(call: impl FnOnce() -> Result<T, ViewError>) -> Result<T, ViewError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(ViewError::Panicked))
}

/// Opens a view in a thread of its own: sled leaves thread-local state behind when it panics. Where there is no room it is not even
/// tried: sled cannot be opened on a full disk, and may leave what it began in a state from which it cannot be opened later.
pub(crate) fn open(views: &dyn Views, folder: &Path) -> Result<Box<dyn View>, ViewError> {
    let holder = folder.parent().unwrap_or(folder);
    if is_full(holder) {
        return Err(ViewError::InWant("the disk is full".to_owned()));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("log-view-open".to_owned());
        let opening = thread.spawn_scoped(scope, || guard(|| views.open(folder)));
        let opening = opening.map_err(|error| ViewError::of_io(&error))?;
        opening.join().unwrap_or(Err(ViewError::Panicked))
    })
}

/// Drops a view, which may panic, and waits until its files are free.
pub(crate) fn close(
    views: &dyn Views,
    view: Box<dyn View>,
    folder: &Path,
) -> Result<(), ViewError> {
    guard(|| {
        drop(view);
        Ok(())
    })?;
    guard(|| views.released(folder))
}

//! What keeps a log from being opened, or from being closed cleanly.

use std::io;
use std::path::PathBuf;

use nephron_model::{NotRecorded, TenantId};

use crate::{CheckpointError, Fault};

/// A log cannot be opened. Nothing was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options contradict each other or the format.
    #[error("log option `{option}` is {given}: expected {expected}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// What was given, in bytes.
        given: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// The folder cannot be opened or made.
    #[error(
        "the log folder `{path}` cannot be opened: check the path, that it is a folder, and that this process may use it"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// Another process, or this one, has the log open.
    #[error(
        "the log in `{path}` is already open for writing: stop the process that holds it (`fuser {path}/lock` names it), or read the log with `nephron audit show` or `audit-verify`, which need no lock"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The log belongs to another tenant.
    #[error(
        "the log in `{path}` belongs to tenant `{found}`, not to `{expected}`: correct the configured folder"
    )]
    OtherTenant {
        /// The folder.
        path: PathBuf,
        /// The tenant it was opened for.
        expected: TenantId,
        /// The tenant in its entries.
        found: TenantId,
    },
    /// The log is damaged in a way that no crash explains.
    #[error(
        "the log in `{path}` is damaged: {fault}; nothing was changed: keep a copy as evidence, list the damage with `audit-verify {path}`, and restore the folder from a copy that verifies"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The first fault.
        fault: Box<Fault>,
    },
    /// The view holds entries that the journal has lost.
    #[error(
        "the journal in `{path}` ends after {journal} entries, but its view has seen {view}: entry {journal} was acknowledged and is lost; the journal was not changed: keep a copy as evidence and restore the folder from a copy that verifies"
    )]
    ViewAhead {
        /// The folder.
        path: PathBuf,
        /// Entries that the view has seen.
        view: u64,
        /// Entries that the journal holds.
        journal: u64,
    },
    /// The disk refused while the log was made ready. Opening again after the cause is gone loses nothing.
    #[error(
        "the log in `{path}` cannot be made ready ({what}): free space or correct permissions, then open it again"
    )]
    Storage {
        /// The folder.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The first entry, or the entry that says what was repaired, could not be written.
    #[error(
        "the log in `{path}` cannot be written to: free space or correct permissions, then open it again"
    )]
    NotRecorded {
        /// The folder.
        path: PathBuf,
        /// What the writer said.
        #[source]
        source: NotRecorded,
    },
}

/// A log was closed, but not cleanly. Every entry that was acknowledged is durable all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// It was closed before.
    #[error("the log is already closed")]
    AlreadyClosed,
    /// The disk refused earlier.
    #[error("the log was stopped by its disk: {0}; open it again to have it checked")]
    Poisoned(String),
    /// The view could not be closed, so the folder is not sealed. The next open repairs it.
    #[error(
        "the log's view could not be closed; the log is not sealed, and the next open repairs it"
    )]
    View,
    /// It is closed and sealed, but without a checkpoint of its end.
    #[error("the log was closed without a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The seal could not be written.
    #[error("the log's seal `closed.json` could not be written")]
    Seal(#[source] io::Error),
}

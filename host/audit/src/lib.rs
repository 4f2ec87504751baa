//! The audit log of one tenant: append-only, hash-chained, durable before it answers.
//!
//! Read [`Log`] first, then `writer.rs`: the commit point is a preallocated journal of checksummed frames,
//! one thread writes and syncs it, and a commit resolves only after the sync (I1). Everything else is derived from the
//! journal: the view under `view/` answers questions quickly and is thrown away and rebuilt at the slightest doubt.
//! The bytes on disk are drawn in `docs/formats/log.md`, so that an auditor can write a verifier without this code.
//!
//! This crate touches the folder of its log and nothing else. It never knows plaintext, keys, wasmtime, tokio or HTTP;
//! payloads and records reach it sealed, and no error of it holds a byte of them.

mod disk;
mod entry;
mod fault;
pub mod faults;
mod frame;
mod intake;
mod journal;
mod log;
mod options;
mod outcome;
mod overlay;
mod reader;
mod recover;
mod seal;
mod verify;
pub mod view;
mod walk;
mod writer;

pub use disk::{Disk, OpenedFile, RealDisk};
pub use entry::{Entry, Head, Header, MAX_NUMBER, entry_hash};
pub use fault::{Fault, FaultKind};
pub use journal::{Entries, Location, ReadError};
pub use log::Log;
pub use options::Options;
pub use outcome::{CloseError, OpenError};
pub use reader::Reader;
pub use verify::{Progress, Verdict, VerifyError, VerifyOptions, ViewCheck, verify};

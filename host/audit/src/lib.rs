//! The audit log of one tenant: append-only, hash-chained, durable before it answers.
//!
//! Read [`Log`] first, then `writer.rs`: the commit point is a preallocated journal of checksummed frames,
//! one thread writes and syncs it, and a commit resolves only after the sync (I1). Everything else is derived from the
//! journal: the view under `view/` answers questions quickly and is thrown away and rebuilt at the slightest doubt.
//! So is the tree (`tree.rs`, `tiles.rs`), of which checkpoints are signed (`checkpoint.rs`) and proofs are made (`proof.rs`).
//! The bytes on disk are drawn in `docs/formats/log.md`, so that an auditor can write a verifier without this code.
//!
//! This crate touches the folder of its log and nothing else. It never knows plaintext, keys, wasmtime, tokio or HTTP;
//! it checks the signatures of checkpoints by a public key, and has them made by a [`Signer`](nephron_model::Signer);
//! payloads and records reach it sealed, and no error of it holds a byte of them.

mod anchor;
mod checkpoint;
mod claims;
mod commitment;
mod cosignature;
mod disclosure;
mod disk;
mod earlier;
mod entry;
mod export;
mod fault;
pub mod faults;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod intake;
mod journal;
mod leap;
mod log;
mod note;
mod options;
mod outcome;
mod overlay;
mod policy;
mod proof;
mod reader;
mod recover;
mod retain;
mod scan;
mod seal;
mod seat;
mod since;
mod story;
mod threads;
mod tiles;
mod tree;
mod verify;
pub mod view;
mod vouch;
mod walk;
mod want;
mod writer;

pub use anchor::KeepError;
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, origin};
pub use commitment::{Commitment, CommitmentsError, Committed};
pub use cosignature::{InvalidWitnessKey, WitnessKey};
pub use disclosure::{DisclosureFault, FieldDisclosure};
pub use disk::{Disk, OpenedFile, RealDisk};
pub use entry::{Entry, Head, Header, MAX_NUMBER, entry_hash};
pub use export::{
    Export, ExportError, ExportFault, ExportNote, Exported, ProvenExport, verify_export,
    verify_export_by,
};
pub use fault::{Fault, FaultKind};
pub use journal::{Entries, Location, ReadError};
pub use leap::{Day, InvalidDay};
pub use log::Log;
pub use note::{InvalidVerifierKey, NoteError, VerifierKey};
pub use options::Options;
pub use outcome::{CloseError, OpenError};
pub use policy::{InvalidPolicy, Lacking, Policy, PolicyFault, PolicyVerdict, Vouches, Witnessed};
pub use proof::{EntryProof, GrowthProof, ProofFault, ProveError, ProvenEntry};
pub use reader::{Reader, Surveyed};
pub use retain::{Hold, InvalidRetention, Prunable, RetainError, Retention};
pub use seal::SEAL;
pub use since::Unchecked;
pub use story::{Gap, GapKind};
pub use tree::leaf_hash;
pub use verify::{
    KeptCheckpoint, Progress, Verdict, VerifyError, VerifyOptions, ViewCheck, verify,
};

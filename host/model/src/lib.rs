//! The words of the domain, shared by every host crate.
//!
//! Memory only: nothing here knows tokio, wasmtime, HTTP, files or the wall clock, and nothing here can hold a key.
//! Read [`draft`] first: it is the seam through which every crate records what it is about to do, without
//! knowing the log ([`Recorder`]).

mod clock;
mod digest;
mod draft;
mod field;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod id;
mod phi;
mod signer;

pub use clock::{Clock, FixedClock, SystemClock, Timestamp};
pub use digest::{Digest, Fingerprint, ParseDigestError, unhex};
pub use draft::{
    Commit, Committing, Draft, EntryKind, NotRecorded, PluginRef, Point, Record, Recorded,
    Recorder, Records, RecordsError, Space,
};
pub use field::FieldCommitment;
pub use id::{EventId, InvalidId, Kind, Purpose, TenantId};
pub use phi::Phi;
pub use signer::{NotSigned, Signer};

use serde::{Deserialize, Serialize};

/// Who asks: the authenticated person or system, never a shared account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// Stable identifier of the person or system, as the identity provider names it.
    pub id: String,
    /// Roles, in the words of the operator's policy (`physician`, `nurse`, ...).
    pub roles: Vec<String>,
}

/// How sensitive the data of a request is, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Anyone may see it.
    Public,
    /// For the organisation's own people.
    Internal,
    /// Personal data that is not health data.
    Pii,
    /// Protected health information (45 CFR 160.103).
    Phi,
}

//! What is about to happen, on its way into the log.
//!
//! Whoever is about to act hands a [`Draft`] to a [`Recorder`] and waits for the [`Recorded`] that proves it durable;
//! egress, keys and the reply cannot be reached without one (I1). `keys` records every use of a key this way without
//! knowing the log, and `audit` keeps the records without knowing keys.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};

use crate::{Digest, EventId, Fingerprint, Kind, Purpose, Timestamp};

/// One entry before it has a place in the log. Holds no PHI but inside `payload` and `records`, which are sealed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What happened.
    pub kind: EntryKind,
    /// What came of it, as a code: `permit`, `deny`, `found`, `trapped`, `ok`, ...
    pub outcome: String,
    /// The request it belongs to, if to any.
    pub request: Option<EventId>,
    /// The enforcement point that asked.
    pub point: Option<Point>,
    /// The caller's id.
    pub caller: Option<String>,
    /// The purpose of use that the caller stated.
    pub purpose: Option<Purpose>,
    /// The plugin that judged.
    pub plugin: Option<PluginRef>,
    /// The roster that the request holds to its end (I7).
    pub generation: Option<Digest>,
    /// Codes that explain the outcome. Never free text.
    pub reasons: Vec<String>,
    /// How many, by kind of identifier or by whatever the entry counts.
    pub counts: BTreeMap<String, u64>,
    /// Names and ids that are no secret: `endpoint`, `associate`, `grant`, `key-version`, ...
    pub facts: BTreeMap<String, String>,
    /// Fuel the plugin burnt: with no WASI a fingerprint of the path it took, which replay checks (I8).
    pub fuel: Option<u64>,
    /// How long it took, in microseconds.
    pub micros: Option<u64>,
    /// Keyed digest of the input.
    pub input: Option<Fingerprint>,
    /// Keyed digest of the output.
    pub output: Option<Fingerprint>,
    /// Sealed payload: the bytes that only a grant opens.
    pub payload: Option<Vec<u8>>,
    /// What must be kept together with the entry, atomically: sealed vault values, grants, ...
    pub records: Vec<Record>,
}

impl Draft {
    /// An entry of `kind` that came to `outcome`, everything else empty.
    #[must_use]
    pub fn new(kind: EntryKind, outcome: impl Into<String>) -> Self {
        Self {
            kind,
            outcome: outcome.into(),
            request: None,
            point: None,
            caller: None,
            purpose: None,
            plugin: None,
            generation: None,
            reasons: Vec::new(),
            counts: BTreeMap::new(),
            facts: BTreeMap::new(),
            fuel: None,
            micros: None,
            input: None,
            output: None,
            payload: None,
            records: Vec::new(),
        }
    }

    /// The same, about `request`.
    #[must_use]
    pub fn about(mut self, request: EventId) -> Self {
        self.request = Some(request);
        self
    }

    /// The same, with a fact that is no secret.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The same, with `kind` counted once more.
    #[must_use]
    pub fn count(mut self, kind: &Kind) -> Self {
        *self.counts.entry(kind.as_str().to_owned()).or_default() += 1;
        self
    }
}

/// What an entry says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// The log begins; the first entry of every log.
    LogOpened,
    /// The log was repaired: a torn tail set aside, or the view rebuilt from the journal.
    LogRepaired,
    /// Everything of the log is to be kept, whatever its age; or no longer.
    LegalHold,
    /// Sealed payloads that were kept long enough are about to be taken away.
    PayloadsPruned,
    /// A tenant's key was made, rotated or destroyed.
    KeyChanged,
    /// A grant was minted.
    GrantMinted,
    /// A grant that lasts has ended before its uses were spent: it expired, or was revoked.
    GrantEnded,
    /// A person says that the machine's clock is right, though the log has later times.
    ClockTaken,
    /// A grant is about to be used.
    KeyUsed,
    /// A use of a key was refused.
    KeyRefused,
    /// A set of plugins was made ready to serve.
    RosterStaged,
    /// A set of plugins begins to serve.
    RosterActivated,
    /// A plugin that the operator named was not let in, and so nothing new began to serve.
    PluginRefused,
    /// Recorded judgements are run again for an operator, as they were or under a candidate; and what came of it.
    JudgementsRerun,
    /// An operator is about to be told the keyed digest of a patient, to search the log by.
    PatientSought,
    /// A field of an entry is about to be disclosed alone, with what proves it.
    FieldDisclosed,
    /// All that the entries of an event seal is about to be shown to an operator.
    EventShown,
    /// A request was admitted.
    RequestOpened,
    /// A request was refused before it was admitted. It stands in the log of its tenant if whose it was is known, else in
    /// the host's.
    RequestRefused,
    /// A plugin answered, or failed to.
    Decision,
    /// Plugins that do not serve were asked the same beside, and what they came to. Nothing follows from it.
    ShadowJudged,
    /// A plugin broke down again and again and is left alone for a while, or is asked again.
    BreakerChanged,
    /// A question broke its plugin for the second time, and is not asked of it again. The question is sealed.
    Quarantined,
    /// Identifiers were replaced; sealed values ride along as records.
    Deidentified,
    /// An endpoint that the route names was not used, and nothing was sent there.
    PassedOver,
    /// Intent: exactly these bytes are about to leave.
    Sending,
    /// What came back, or that nothing did.
    Received,
    /// Identities were put back.
    Reidentified,
    /// Access in an emergency was permitted: its review is open.
    EmergencyAccess,
    /// Somebody reviewed such an access, and gave a reason.
    ReviewClosed,
    /// Intent: the caller is about to be answered, or refused.
    RequestClosed,
    /// A batch of entries was delivered to an exporter, or was not.
    Exported,
    /// In the host's log: how far a tenant's log had come, and its tree's root; or that an operator took a tenant back whose
    /// log no longer holds what was said of it.
    TenantCommitted,
    /// In the host's log: its newest checkpoint is about to be handed to an anchor, and what came of it.
    Anchored,
    /// In the host's log: requests that were refused and have no entry of their own, counted by reason.
    RequestsCounted,
}

/// A named enforcement point, where deciders are asked and whose name stands in the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// A request comes in.
    Ingress,
    /// Text is about to leave for a model.
    Egress,
    /// An answer is about to get its identities back.
    Rehydrate,
    /// A key is about to be used.
    KeyUse,
    /// An operator acts.
    Admin,
    /// Entries leave for an exporter.
    Export,
}

impl Point {
    /// The name, as policies and the log write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Rehydrate => "rehydrate",
            Self::KeyUse => "key-use",
            Self::Admin => "admin",
            Self::Export => "export",
        }
    }
}

/// A configured plugin, as entries name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginRef {
    /// Digest of the component, exactly as it was loaded.
    pub digest: Digest,
    /// The operator's name for it.
    pub name: String,
    /// Digest of the settings it was configured with.
    pub settings: Digest,
    /// Version that the component states.
    pub version: String,
}

/// Something kept beside an entry, committed with it in one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which family of records.
    pub space: Space,
    /// Looked up by this, within its space. Never PHI: keyed digests and random tokens.
    pub key: Vec<u8>,
    /// Sealed, unless its space says that it is no secret. Empty means: no longer there.
    pub value: Vec<u8>,
}

/// A family of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// Token vault: (conversation, token) to the sealed value.
    VaultValue = 1,
    /// Token vault: (conversation, keyed lookup of kind and value) to the token.
    VaultToken = 2,
    /// Lasting grants by id (no secret, and authenticated).
    Grant = 3,
    /// Rosters by generation digest (no secret).
    Generation = 4,
    /// Exporters' cursors by name (no secret).
    Cursor = 5,
    /// What became of a tenant's key, by its file name (no secret).
    Key = 6,
    /// Reviews of accesses in an emergency, by the request's id, while they are open (no secret).
    Review = 7,
    /// In the host's log: the newest state of each tenant's log that was committed to, by tenant (no secret).
    Tenant = 8,
    /// In the host's log: when each anchor last took a checkpoint, by the anchor's name (no secret).
    Anchor = 9,
    /// The legal hold that a log is on (no secret).
    Hold = 10,
    /// In the host's log: the greatest counter of each version line of plugins that has served, by that line (no secret).
    Counter = 11,
    /// In the host's log: what serves, and what is not to come back by itself (no secret).
    Serving = 12,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 12] = [
        Self::VaultValue,
        Self::VaultToken,
        Self::Grant,
        Self::Generation,
        Self::Cursor,
        Self::Key,
        Self::Review,
        Self::Tenant,
        Self::Anchor,
        Self::Hold,
        Self::Counter,
        Self::Serving,
    ];

    /// The space that is written as `byte`.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| *space as u8 == byte)
    }
}

/// The log, as those who must record see it.
pub trait Recorder: Send + Sync {
    /// Queues `draft`. It is durable when the returned [`Commit`] says so, and not before; entries become durable in
    /// the order in which they were queued, so waiting for the last waits for all.
    fn record(&self, draft: Draft) -> Commit;

    /// Queues `draft` for which nobody is about to wait: it becomes durable with the next entry that is recorded, or by
    /// itself soon after. A recorder without such a way records it at once.
    fn note(&self, draft: Draft) -> Commit {
        self.record(draft)
    }
}

/// The records that were committed, to be read back.
pub trait Records: Send + Sync {
    /// The newest committed value, including one that was committed a moment ago: empty if the record was taken away,
    /// `None` only if there never was one.
    ///
    /// # Errors
    /// [`RecordsError`] when the store cannot be read: the caller refuses.
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError>;

    /// The same for each of `keys`, in order. A store that keeps several records in one place reads that once.
    ///
    /// # Errors
    /// As for [`Records::read`]; then nothing is told of any.
    fn read_all(
        &self,
        space: Space,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, RecordsError> {
        keys.iter().map(|key| self.read(space, key)).collect()
    }

    /// The time of the newest entry, durable or not: never before that of another. Nothing where entries have no times.
    fn newest(&self) -> Option<Timestamp>;
}

/// The store of records cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the tenant's records cannot be read: {reason}")]
pub struct RecordsError {
    /// What the store said; never PHI.
    pub reason: String,
}

/// A promise of durability. Dropping it does not take the entry back.
#[must_use = "an effect waits until its entry is durable"]
pub struct Commit(oneshot::Receiver<Result<Recorded, NotRecorded>>);

impl Commit {
    /// A commit and the end by which the recorder resolves it. Dropping that end counts as [`NotRecorded::Closed`].
    pub fn pending() -> (oneshot::Sender<Result<Recorded, NotRecorded>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// What became of the entry, if that is known already. Once it was told, it is not told again.
    pub fn resolved(&self) -> Option<Result<Recorded, NotRecorded>> {
        match self.0.try_recv() {
            Ok(resolved) => Some(resolved),
            Err(oneshot::TryRecvError::Empty) => None,
            Err(oneshot::TryRecvError::Disconnected) => Some(Err(NotRecorded::Closed)),
        }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// [`NotRecorded`] when the entry is not durable: whatever it describes must not happen.
    pub fn wait(self) -> Result<Recorded, NotRecorded> {
        self.0.recv().unwrap_or(Err(NotRecorded::Closed))
    }
}

impl IntoFuture for Commit {
    type Output = Result<Recorded, NotRecorded>;
    type IntoFuture = Committing;

    fn into_future(self) -> Committing {
        Committing(self.0.into_future())
    }
}

/// A [`Commit`] that a task waits on.
#[must_use = "an effect waits until its entry is durable"]
pub struct Committing(<oneshot::Receiver<Result<Recorded, NotRecorded>> as IntoFuture>::IntoFuture);

impl Future for Committing {
    type Output = Result<Recorded, NotRecorded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|received| received.unwrap_or(Err(NotRecorded::Closed)))
    }
}

/// Proof that an entry is durable. Only a [`Recorder`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Recorded {
    sequence: u64,
    hash: Digest,
}

impl Recorded {
    /// Attests that the entry at `sequence`, with this hash, is durable.
    /// INVARIANT: called by recorders alone, after the sync returned; `tests/it/tidy.rs` holds who names it.
    pub const fn attest(sequence: u64, hash: Digest) -> Self {
        Self { sequence, hash }
    }

    /// The entry's place in its log, counted from 0.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The entry's hash.
    #[must_use]
    pub const fn hash(&self) -> Digest {
        self.hash
    }
}

/// The entry could not be made durable. Whatever it describes must not happen.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The log was closed, or its writer died.
    #[error("the audit log is closed")]
    Closed,
    /// The disk refused; the log takes nothing more until it is opened again.
    #[error("the audit log cannot be written: {0}")]
    Storage(String),
    /// The entry is larger than a frame may be.
    #[error("an audit entry of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Bytes of the entry.
        size: usize,
        /// Bytes that a frame may hold.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_recorder_that_dies_leaves_no_proof() {
        let (sender, commit) = Commit::pending();
        drop(sender);
        assert_eq!(commit.wait(), Err(NotRecorded::Closed));
    }

    #[test]
    fn a_space_is_known_by_its_byte() {
        for space in Space::ALL {
            assert_eq!(Space::from_byte(space as u8), Some(space));
        }
        assert_eq!(Space::from_byte(0), None);
    }
}

//! A tenant's key, by version: one file for each, wrapped by the root or its provider, from which a key for each boundary
//! is derived. Sealing takes the newest; opening takes the version that an envelope names ([`Rings`]). How versions come
//! and go is in `change.rs`.
//!
//! A key lies in a file of its own and not in the append-only log, so that destroying it is possible: crypto-shredding
//! makes the tenant's vault, fields and payloads unreadable while the log's hash chain, which covers ciphertext, still
//! verifies. What became of the key stands in the log beside the file ([`Space::Key`](nephron_model::Space::Key)), so that a crash half-way or
//! a file put back from a backup cannot undo it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cap_std::fs::Dir;
use nephron_model::{
    Clock, Digest, Draft, EntryKind, EventId, FieldCommitment, Fingerprint, NotRecorded, Phi,
    Recorder, Records, RecordsError, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::error::KeyError;
use crate::fate::{Fate, content, unrecorded};
use crate::hex;
use crate::kek::Keks;
use crate::lasting::LastingGrants;
use crate::random::RandomError;
use crate::ring::{Current, FIRST, Held, Ring, Rings};
use crate::root::{RootError, RootKey, Wrapped};
use crate::seal::{Binding, Boundary};
use crate::secret::Key;
use crate::store::{self, FileError};
use crate::vault::InFlight;

/// The keys of one tenant, for as long as they exist. Cheap to clone; clones and grants share one fate.
///
/// INVARIANT: one per tenant and process, as the log's lock ensures: the vault agrees on tokens among tasks through it.
#[derive(Clone)]
pub struct TenantKeys(Arc<Inner>);

/// A tenant's key could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantKeyError {
    /// Its file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The root key did not wrap or unwrap it.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The file is another tenant's, or of another version.
    #[error("key file `{name}` was made for another tenant; check the tenant's folder")]
    OtherTenant {
        /// Its name within its folder.
        name: String,
    },
    /// The key was destroyed, as the log says, and never comes back.
    #[error("the tenant's key was destroyed; a key file that is put back stays refused")]
    Destroyed,
    /// The log says that the tenant's key was created before.
    #[error(
        "the tenant's log says that its key was created before; open it, or restore its file from a backup"
    )]
    Recorded,
    /// The log knows nothing of this key, or of another one: file and log do not belong together.
    #[error(
        "key file `{name}` is not the one that the tenant's log recorded; restore both from the same backup"
    )]
    Unrecorded {
        /// Its name within its folder.
        name: String,
    },
    /// The change could not be recorded, and so did not happen (I1).
    #[error("the change of the key could not be recorded, and so it was not made")]
    NotRecorded(#[from] NotRecorded),
    /// The log could not be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Another change of the tenant's keys is under way.
    #[error("another change of this tenant's keys is under way; try again when it has ended")]
    Busy,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

pub(crate) struct Inner {
    pub(crate) dir: Dir,
    pub(crate) tenant: TenantId,
    pub(crate) root: Arc<RootKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) course: Course,
    pub(crate) in_flight: InFlight,
    pub(crate) lasting: LastingGrants,
    /// Nothing, once destroyed. Each use holds the read side while a key is open, so destroying waits for it.
    pub(crate) rings: RwLock<Option<Rings>>,
    /// Whether somebody changes the keys.
    pub(crate) is_changing: AtomicBool,
    /// Key files wrapped anew, of how many, while that is under way.
    pub(crate) progress: Mutex<Option<(usize, usize)>>,
}

impl TenantKeys {
    /// The name of the first key's file in the folder it is given; later ones are `kek-2.json` and so on.
    pub const FILE: &str = "kek-1.json";

    /// Draws a key for `tenant`, has it wrapped and writes it to `dir`, after a `key-changed` entry is durable; a provider is
    /// asked after another one.
    /// A crash leaves either no key or one that [`open`](Self::open) finds.
    ///
    /// # Errors
    /// [`TenantKeyError::Destroyed`] when the tenant had a key that was destroyed; [`TenantKeyError::Recorded`] when it
    /// has one; [`TenantKeyError::File`] when the folder cannot be written; [`TenantKeyError::NotRecorded`] when the log refuses; the others when
    /// root, log or machine fail. The tenant then has no key.
    pub async fn create(
        dir: Dir,
        tenant: TenantId,
        root: &Arc<RootKey>,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Result<Self, TenantKeyError> {
        match Fate::of(&*records, Self::FILE)? {
            Some(Fate::Destroyed) => return Err(TenantKeyError::Destroyed),
            // A new key in the place of a lost one would hide the loss.
            Some(Fate::Created { .. }) => return Err(TenantKeyError::Recorded),
            None => {}
        }
        let (name, now) = (file_name(FIRST), clock.now());
        if root.has_keks() {
            let creating = Draft::new(EntryKind::KeyChanged, "creating")
                .fact("key-version", FIRST.to_string())
                .fact("provider", root.provider());
            let _durable = recorder.record(creating).await?;
        }
        let kek = root.make_kek(&tenant, FIRST)?;
        let drawn = draw(root, &tenant, FIRST, now, kek)?;
        store::prepare(&dir, &name, &drawn.text)?;

        let file = Digest::of(&drawn.text);
        let mut entry = Fate::Created { file }.entry(&name, FIRST);
        entry = entry.fact("provider", root.provider());
        if let Some(kek) = &drawn.held.kek {
            entry = entry.fact("kek", kek.clone());
            entry.records.push(Keks::first(kek, now).record());
        }
        // When this fails the entry may yet be found durable, so what was prepared stays for `open` to look at.
        let _durable = recorder.record(entry).await?;
        store::settle(&dir, &name)?;
        let rings = Rings::new(drawn.held, BTreeMap::new(), Current::FIRST);
        Ok(Self::with(
            dir,
            tenant,
            root,
            Some(rings),
            clock,
            recorder,
            records,
        ))
    }

    /// Opens the keys that were made in `dir`, finishing what a crash interrupted.
    ///
    /// # Errors
    /// [`TenantKeyError::Destroyed`], [`TenantKeyError::Unrecorded`] or [`TenantKeyError::OtherTenant`] when file and
    /// log say so; [`TenantKeyError::Root`] when one was wrapped by another root key, or the provider does not answer or has
    /// no such key any more; [`TenantKeyError::File`] when one is missing, damaged or readable by others.
    pub fn open(
        dir: Dir,
        tenant: TenantId,
        root: &Arc<RootKey>,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Result<Self, TenantKeyError> {
        let current = Current::of(&*records)?;
        if let Some(Fate::Destroyed) = Fate::of(&*records, Self::FILE)? {
            // The crash came between the entry and the unlinking.
            for version in FIRST..=current.newest() {
                store::shred(&dir, &file_name(version))?;
            }
            return Err(TenantKeyError::Destroyed);
        }
        let open = |version| {
            let (content, wrapped) = read(&dir, &tenant, version, &*records)?;
            let kek = content.kek.as_deref();
            let key = root.unwrap(Wrapped::Tenant, &wrapped, &tenant, version, kek)?;
            Ok::<_, TenantKeyError>(Held {
                ring: Ring::derive(&key, &tenant),
                created: content.created(version)?,
                kek: content.kek,
            })
        };
        let first = open(FIRST)?;
        let mut later = BTreeMap::new();
        for version in FIRST + 1..=current.newest() {
            later.insert(version, open(version)?);
        }
        let rings = Rings::new(first, later, current);
        Ok(Self::with(
            dir,
            tenant,
            root,
            Some(rings),
            clock,
            recorder,
            records,
        ))
    }

    /// The keys of a tenant that has none any more, because they were destroyed here or at their provider: every use is
    /// [`KeyError::Destroyed`], and is recorded as such. [`destroy`](Self::destroy) finishes what is left of destroying.
    #[must_use]
    pub fn dead(
        dir: Dir,
        tenant: TenantId,
        root: &Arc<RootKey>,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Self {
        Self::with(dir, tenant, root, None, clock, recorder, records)
    }

    /// Whether there are keys: false once they were destroyed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }

    /// Whether the log says that they were destroyed. Keys that are not live and were not destroyed are missed.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the log cannot be read.
    pub fn is_destroyed(&self) -> Result<bool, KeyError> {
        let fate = Fate::of(&*self.0.records, Self::FILE)?;
        Ok(matches!(fate, Some(Fate::Destroyed)))
    }

    /// The tenant whose keys these are.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }

    /// The keyed digest of something that may hold PHI, for the log.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`].
    pub fn fingerprint(&self, data: &[u8]) -> Result<Fingerprint, KeyError> {
        self.0
            .with_rings(|rings| Ok(Fingerprint(rings.lookup().fingerprint.mac(&[data]))))
    }

    /// The keyed digest of a patient's record number, by which the log's entries are found. It is no fingerprint of the same
    /// text: the two never agree. Blanks around the number make no difference, nor does the case of ASCII letters.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`].
    pub fn patient(&self, number: &str) -> Result<Fingerprint, KeyError> {
        let number = Phi::new(number.trim().to_ascii_uppercase());
        let parts: [&[u8]; 2] = [b"patient", number.expose().as_bytes()];
        self.0
            .with_rings(|rings| Ok(Fingerprint(rings.lookup().fingerprint.mac(&parts))))
    }

    /// Commits to a field of an entry about `request`, so that it can be disclosed alone. The salt is derived from the tenant's key,
    /// the request, the field and the value: who has the value and the key finds it again, and nobody does once the key is destroyed.
    /// Whoever is told a salt learns nothing of others.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`].
    pub fn commit(
        &self,
        request: EventId,
        field: &str,
        value: &[u8],
    ) -> Result<FieldCommitment, KeyError> {
        let request = request.to_string();
        let parts: [&[u8]; 4] = [b"salt", request.as_bytes(), field.as_bytes(), value];
        let salt = self
            .0
            .with_rings(|rings| Ok(rings.lookup().fingerprint.mac(&parts)))?;
        Ok(FieldCommitment::new(field, salt, value))
    }

    /// Seals the payload of an audit entry about `request`; `what` names it, such as `prompt`, and is bound.
    ///
    /// Sealing for the log is not itself recorded: the entry would need a payload, and so on without end. The entry
    /// that carries the payload shows that it was sealed; opening it needs a grant
    /// ([`Grant::open_payload`](crate::Grant::open_payload)).
    ///
    /// # Errors
    /// [`KeyError::Destroyed`]; [`KeyError::Unavailable`] when no salt can be drawn or the payload is too long.
    pub fn seal_payload(
        &self,
        request: Option<EventId>,
        what: &str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let request = request.map(|id| id.to_string()).unwrap_or_default();
        let binding = self.0.payload(&request, what);
        self.0
            .with_rings(|rings| rings.seal(Boundary::AuditPayload, &binding, plaintext))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    fn with(
        dir: Dir,
        tenant: TenantId,
        root: &Arc<RootKey>,
        rings: Option<Rings>,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Self {
        let keys = Self(Arc::new(Inner {
            dir,
            tenant,
            root: Arc::clone(root),
            clock,
            recorder,
            records,
            course: Course::default(),
            in_flight: InFlight::default(),
            lasting: LastingGrants::default(),
            rings: RwLock::new(rings),
            is_changing: AtomicBool::new(false),
            progress: Mutex::default(),
        }));
        // From now on it is known how time goes; whoever mints is told if it does not.
        drop(keys.0.look());
        keys
    }
}

impl Inner {
    /// Calls `act` with the keys, which cannot be destroyed before it returns.
    pub(crate) fn with_rings<T>(
        &self,
        act: impl FnOnce(&Rings) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        act(rings.as_ref().ok_or(KeyError::Destroyed)?)
    }

    /// A version that is current, for entries; of a tenant without keys the first.
    pub(crate) fn version(&self, of: impl FnOnce(&Current) -> u32) -> u32 {
        let version = self.with_rings(|rings| Ok(of(&rings.current)));
        version.unwrap_or(FIRST)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.with_rings(|_| Ok(())).is_ok()
    }

    /// Where the payload `what` of an entry about `request` belongs.
    pub(crate) const fn payload<'a>(&'a self, request: &'a str, what: &'a str) -> Binding<'a> {
        Binding {
            tenant: Some(&self.tenant),
            key_version: FIRST,
            record: request,
            field: what,
            purpose: "",
            context: "",
        }
    }
}

/// The file of the tenant's key of that version.
pub(crate) fn file_name(version: u32) -> String {
    format!("kek-{version}.json")
}

/// A key that was drawn, with the file that is to hold it.
pub(crate) struct Drawn {
    pub(crate) held: Held,
    pub(crate) text: Vec<u8>,
}

/// Draws a key of that version, wrapped under `kek` or, without one, under the root key.
pub(crate) fn draw(
    root: &RootKey,
    tenant: &TenantId,
    version: u32,
    now: Timestamp,
    kek: Option<String>,
) -> Result<Drawn, TenantKeyError> {
    let key = Key::draw()?;
    let wrapped = root.wrap(Wrapped::Tenant, &key, tenant, version, kek.as_deref())?;
    let content = KeyFile {
        format: Format::V1,
        tenant: tenant.clone(),
        version,
        created: now.to_string(),
        kek: kek.clone(),
        wrapped: hex::encode(&wrapped),
    };
    Ok(Drawn {
        text: store::encode(&file_name(version), content)?,
        held: Held {
            ring: Ring::derive(&key, tenant),
            created: now,
            kek,
        },
    })
}

/// The key file of that version, which must be the recorded one, and what it holds.
pub(crate) fn read(
    dir: &Dir,
    tenant: &TenantId,
    version: u32,
    records: &dyn Records,
) -> Result<(KeyFile, Vec<u8>), TenantKeyError> {
    let name = file_name(version);
    let recorded = match Fate::of(records, &name)? {
        Some(Fate::Created { file }) => file,
        Some(Fate::Destroyed) => return Err(TenantKeyError::Destroyed),
        None => {
            // Without an entry nothing was sealed. What is there under its final name is somebody else's.
            store::read(dir, &name)?;
            return Err(unrecorded(&name));
        }
    };
    let content: KeyFile = content(dir, &name, recorded)?;
    if content.tenant != *tenant || content.version != version {
        return Err(TenantKeyError::OtherTenant { name });
    }
    let wrapped = hex::decode(&content.wrapped).ok_or(FileError::Damaged {
        name,
        what: "the wrapped key is no hexadecimal text",
    })?;
    Ok((content, wrapped))
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct KeyFile {
    format: Format,
    tenant: TenantId,
    version: u32,
    created: String,
    /// What the provider calls the key that wraps it; left out where the root key does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kek: Option<String>,
    wrapped: String,
}

impl KeyFile {
    /// The same key, wrapped under `kek`.
    pub(crate) fn rewrapped(self, kek: &str, wrapped: &[u8]) -> Self {
        Self {
            kek: Some(kek.to_owned()),
            wrapped: hex::encode(wrapped),
            ..self
        }
    }

    fn created(&self, version: u32) -> Result<Timestamp, FileError> {
        self.created.parse().map_err(|_| FileError::Damaged {
            name: file_name(version),
            what: "when it was made is no time",
        })
    }
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "nephron tenant key 1")]
    V1,
}

#[cfg(test)]
mod tests;

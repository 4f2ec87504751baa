//! A tenant's key: one file, wrapped by the root, from which a key for each boundary is derived.
//!
//! It lies in a file of its own and not in the append-only log, so that destroying it is possible: crypto-shredding
//! makes the tenant's vault, fields and payloads unreadable while the log's hash chain, which covers ciphertext, still
//! verifies. What became of the key stands in the log beside the file ([`Space::Key`]), so that a crash half-way or
//! a file put back from a backup cannot undo it.

use std::sync::{Arc, PoisonError, RwLock};

use cap_std::fs::Dir;
use nephron_model::{
    Clock, Digest, Draft, EntryKind, EventId, Fingerprint, NotRecorded, Record, Recorder, Records,
    RecordsError, Space, TenantId,
};
use serde::{Deserialize, Serialize};

use crate::error::KeyError;
use crate::hex;
use crate::lasting::LastingGrants;
use crate::random::RandomError;
use crate::root::{RootError, RootProvider};
use crate::seal::{self, Binding, Boundary};
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
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

pub(crate) struct Inner {
    dir: Dir,
    pub(crate) tenant: TenantId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) in_flight: InFlight,
    pub(crate) lasting: LastingGrants,
    /// Nothing, once destroyed. Each use holds the read side while a key is open, so destroying waits for it.
    ring: RwLock<Option<Ring>>,
}

impl TenantKeys {
    /// The key file's name in the folder it is given; 1 is the key's version.
    pub const FILE: &str = "kek-1.json";

    /// Draws a key for `tenant`, wraps it and writes it to `dir`, after a `key-changed` entry is durable.
    /// A crash leaves either no key or one that [`open`](Self::open) finds.
    ///
    /// # Errors
    /// [`TenantKeyError::Destroyed`] when the tenant had a key that was destroyed; [`TenantKeyError::Recorded`] when it
    /// has one; [`TenantKeyError::File`] when the folder cannot be written; [`TenantKeyError::NotRecorded`] when the log refuses; the others when
    /// root, log or machine fail. The tenant then has no key.
    pub async fn create(
        dir: Dir,
        tenant: TenantId,
        root: &dyn RootProvider,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Result<Self, TenantKeyError> {
        match fate(&*records)? {
            Some(Fate::Destroyed) => return Err(TenantKeyError::Destroyed),
            // A new key in the place of a lost one would hide the loss.
            Some(Fate::Created { .. }) => return Err(TenantKeyError::Recorded),
            None => {}
        }
        let key = Key::draw()?;
        let content = KeyFile {
            format: Format::V1,
            tenant: tenant.clone(),
            version: VERSION,
            created: clock.now().to_string(),
            wrapped: hex::encode(&root.wrap(&key, &tenant, VERSION)?),
        };
        let text = store::encode(Self::FILE, content)?;
        store::prepare(&dir, Self::FILE, &text)?;

        let file = Digest::of(&text);
        // When this fails the entry may yet be found durable, so what was prepared stays for `open` to look at.
        let _durable = recorder.record(changed(&Fate::Created { file })).await?;
        store::settle(&dir, Self::FILE)?;
        Ok(Self::with(dir, tenant, &key, clock, recorder, records))
    }

    /// Opens the key that [`create`](Self::create) wrote to `dir`, finishing what a crash interrupted.
    ///
    /// # Errors
    /// [`TenantKeyError::Destroyed`], [`TenantKeyError::Unrecorded`] or [`TenantKeyError::OtherTenant`] when file and
    /// log say so; [`TenantKeyError::Root`] when it was wrapped by another root key; [`TenantKeyError::File`] when it
    /// is missing, damaged or readable by others.
    pub fn open(
        dir: Dir,
        tenant: TenantId,
        root: &dyn RootProvider,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Result<Self, TenantKeyError> {
        let unrecorded = || TenantKeyError::Unrecorded {
            name: Self::FILE.to_owned(),
        };
        let recorded = match fate(&*records)? {
            Some(Fate::Created { file }) => file,
            Some(Fate::Destroyed) => {
                // The crash came between the entry and the unlinking.
                store::shred(&dir, Self::FILE)?;
                return Err(TenantKeyError::Destroyed);
            }
            None => {
                // Without an entry nothing was sealed. What is there under its final name is somebody else's.
                store::read(&dir, Self::FILE)?;
                return Err(unrecorded());
            }
        };
        let text = match store::read(&dir, Self::FILE) {
            Err(FileError::Missing { name }) => match store::prepared(&dir, Self::FILE)? {
                // The crash came between the entry and the renaming.
                Some(text) if Digest::of(&text) == recorded => {
                    store::settle(&dir, Self::FILE)?;
                    text
                }
                _ => return Err(FileError::Missing { name }.into()),
            },
            text => text?,
        };
        let content: KeyFile = store::decode(Self::FILE, &text)?;
        if Digest::of(&text) != recorded {
            return Err(unrecorded());
        }
        if content.tenant != tenant || content.version != VERSION {
            return Err(TenantKeyError::OtherTenant {
                name: Self::FILE.to_owned(),
            });
        }
        let wrapped = hex::decode(&content.wrapped).ok_or_else(|| FileError::Damaged {
            name: Self::FILE.to_owned(),
            what: "the wrapped key is no hexadecimal text",
        })?;
        let key = root.unwrap(&wrapped, &tenant, VERSION)?;
        Ok(Self::with(dir, tenant, &key, clock, recorder, records))
    }

    /// Destroys the key: a `key-changed` entry first, then the key in memory, then its file, overwritten and unlinked.
    /// From then on every use, by grants already lent too, is [`KeyError::Destroyed`]. Uses under way end first.
    ///
    /// # Errors
    /// [`KeyError::NotRecorded`] when the log refuses: the key lives on. [`KeyError::Unavailable`] when the file could
    /// not be removed: the key is dead in this process and refused by the next; call again to remove the file.
    pub async fn destroy(&self) -> Result<(), KeyError> {
        if self.0.is_live() {
            let _durable = self.0.recorder.record(changed(&Fate::Destroyed)).await?;
            *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(store::shred(&self.0.dir, Self::FILE)?)
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
            .with_ring(|ring| Ok(Fingerprint(ring.fingerprint.mac(&[data]))))
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
        self.0.with_ring(|ring| {
            let key = &ring.audit_payload;
            Ok(seal::seal(
                key,
                Boundary::AuditPayload,
                &binding,
                plaintext,
            )?)
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    fn with(
        dir: Dir,
        tenant: TenantId,
        key: &Key,
        clock: Arc<dyn Clock>,
        recorder: Arc<dyn Recorder>,
        records: Arc<dyn Records>,
    ) -> Self {
        let ring = RwLock::new(Some(Ring::derive(key, &tenant)));
        Self(Arc::new(Inner {
            dir,
            tenant,
            clock,
            recorder,
            records,
            in_flight: InFlight::default(),
            lasting: LastingGrants::default(),
            ring,
        }))
    }
}

impl Inner {
    /// Calls `act` with the keys, which cannot be destroyed before it returns.
    pub(crate) fn with_ring<T>(
        &self,
        act: impl FnOnce(&Ring) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        act(ring.as_ref().ok_or(KeyError::Destroyed)?)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.with_ring(|_| Ok(())).is_ok()
    }

    /// Where the payload `what` of an entry about `request` belongs.
    pub(crate) const fn payload<'a>(&'a self, request: &'a str, what: &'a str) -> Binding<'a> {
        Binding {
            tenant: Some(&self.tenant),
            key_version: VERSION,
            record: request,
            field: what,
            purpose: "",
            context: "",
        }
    }
}

/// The only version yet; it stands in every envelope, so that rotation can tell them apart.
pub(crate) const VERSION: u32 = 1;

/// A key for each boundary that seals or authenticates.
pub(crate) struct Ring {
    pub(crate) vault: Key,
    pub(crate) audit_payload: Key,
    pub(crate) field: Key,
    pub(crate) token: Key,
    pub(crate) fingerprint: Key,
    pub(crate) mac: Key,
}

impl Ring {
    fn derive(key: &Key, tenant: &TenantId) -> Self {
        // The boundary's name holds no space, so no two of these are alike.
        let of = |boundary: Boundary| {
            let info = format!("nephron tenant 1 {} {tenant}", boundary.as_str());
            key.derive(info.as_bytes())
        };
        Self {
            vault: of(Boundary::Vault),
            audit_payload: of(Boundary::AuditPayload),
            field: of(Boundary::Field),
            token: of(Boundary::Token),
            fingerprint: of(Boundary::Fingerprint),
            mac: of(Boundary::Mac),
        }
    }
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeyFile {
    format: Format,
    tenant: TenantId,
    version: u32,
    created: String,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "nephron tenant key 1")]
    V1,
}

/// What the log says became of the key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fate")]
enum Fate {
    /// It was made, and this is its file's digest.
    Created {
        file: Digest,
    },
    Destroyed,
}

fn fate(records: &dyn Records) -> Result<Option<Fate>, RecordsError> {
    let Some(text) = records.read(Space::Key, TenantKeys::FILE.as_bytes())? else {
        return Ok(None);
    };
    let fate = serde_json::from_slice(&text).map_err(|_| RecordsError {
        reason: format!(
            "what became of `{}` is not in a known form",
            TenantKeys::FILE
        ),
    })?;
    Ok(Some(fate))
}

fn changed(fate: &Fate) -> Draft {
    let (outcome, value) = match fate {
        Fate::Created { file } => (
            "created",
            format!(r#"{{"fate":"created","file":"{file}"}}"#),
        ),
        Fate::Destroyed => ("destroyed", r#"{"fate":"destroyed"}"#.to_owned()),
    };
    let mut draft = Draft::new(EntryKind::KeyChanged, outcome)
        .fact("key-file", TenantKeys::FILE)
        .fact("key-version", VERSION.to_string());
    draft.records.push(Record {
        space: Space::Key,
        key: TenantKeys::FILE.as_bytes().to_vec(),
        value: value.into_bytes(),
    });
    draft
}

#[cfg(test)]
mod tests;

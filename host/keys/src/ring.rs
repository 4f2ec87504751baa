//! The keys of one tenant in memory: a key for each boundary, derived from each version of the tenant's key.

use std::collections::BTreeMap;

use nephron_model::{Record, Records, RecordsError, Space, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::seal::{self, Binding, Boundary};
use crate::secret::Key;

/// A key for each boundary that seals or authenticates, of one version.
pub(crate) struct Ring {
    pub(crate) vault: Key,
    pub(crate) audit_payload: Key,
    pub(crate) field: Key,
    pub(crate) token: Key,
    pub(crate) fingerprint: Key,
    pub(crate) mac: Key,
}

/// One version of the tenant's key, as far as it is kept in memory.
pub(crate) struct Held {
    pub(crate) ring: Ring,
    pub(crate) created: Timestamp,
    /// What the provider calls the key-encryption key that wraps it; nothing where the root key does.
    pub(crate) kek: Option<String>,
}

/// Every version, and which one each boundary seals under.
///
/// INVARIANT: there is a version for each that `current` names, and the first.
pub(crate) struct Rings {
    first: Held,
    later: BTreeMap<u32, Held>,
    pub(crate) current: Current,
}

/// Which version of the tenant's key each boundary seals under, as the tenant's log keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Current {
    newest: u32,
    vault: u32,
    audit_payload: u32,
    field: u32,
}

impl Current {
    /// The record's key among those of the tenant's key files.
    const NAME: &str = "current";

    pub(crate) const FIRST: Self = Self {
        newest: FIRST,
        vault: FIRST,
        audit_payload: FIRST,
        field: FIRST,
    };

    pub(crate) fn of(records: &dyn Records) -> Result<Self, RecordsError> {
        match records.read(Space::Key, Self::NAME.as_bytes())? {
            None => Ok(Self::FIRST),
            Some(text) => serde_json::from_slice(&text).map_err(|_| RecordsError {
                reason: "which keys are current is not in a known form".to_owned(),
            }),
        }
    }

    pub(crate) fn record(&self) -> Record {
        Record {
            space: Space::Key,
            key: Self::NAME.as_bytes().to_vec(),
            value: serde_json::to_vec(self).unwrap_or_default(),
        }
    }

    /// The last version that was made.
    pub(crate) const fn newest(&self) -> u32 {
        self.newest
    }

    /// That which tokens' values are sealed under.
    pub(crate) const fn vault(&self) -> u32 {
        self.vault
    }

    /// That which fields are sealed under.
    pub(crate) const fn field(&self) -> u32 {
        self.field
    }

    /// The version that `boundary` seals or authenticates under.
    pub(crate) const fn version(&self, boundary: Boundary) -> u32 {
        match boundary {
            Boundary::Vault => self.vault,
            Boundary::AuditPayload => self.audit_payload,
            Boundary::Field => self.field,
            Boundary::Wrap | Boundary::Token | Boundary::Fingerprint | Boundary::Mac => FIRST,
        }
    }

    /// The same, with one more version, under which `boundaries` seal.
    pub(crate) fn rotated(mut self, boundaries: &[Boundary]) -> Self {
        self.newest = self.newest.saturating_add(1);
        for boundary in boundaries {
            match boundary {
                Boundary::Vault => self.vault = self.newest,
                Boundary::AuditPayload => self.audit_payload = self.newest,
                Boundary::Field => self.field = self.newest,
                Boundary::Wrap | Boundary::Token | Boundary::Fingerprint | Boundary::Mac => {}
            }
        }
        self
    }
}

/// The first version. What is looked up by stays with it for ever.
pub(crate) const FIRST: u32 = 1;

impl Rings {
    pub(crate) const fn new(first: Held, later: BTreeMap<u32, Held>, current: Current) -> Self {
        Self {
            first,
            later,
            current,
        }
    }

    /// The keys that are looked up by: of tokens, fingerprints and MACs.
    pub(crate) const fn lookup(&self) -> &Ring {
        &self.first.ring
    }

    pub(crate) fn insert(&mut self, version: u32, held: Held) {
        self.later.insert(version, held);
    }

    pub(crate) fn held(&self, version: u32) -> Option<&Held> {
        match version {
            FIRST => Some(&self.first),
            version => self.later.get(&version),
        }
    }

    pub(crate) fn held_mut(&mut self, version: u32) -> Option<&mut Held> {
        match version {
            FIRST => Some(&mut self.first),
            version => self.later.get_mut(&version),
        }
    }

    /// Every version, the oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (u32, &Held)> {
        let first = std::iter::once((FIRST, &self.first));
        first.chain(self.later.iter().map(|(version, held)| (*version, held)))
    }

    /// Seals under the current key of `boundary`, whose version takes the place of the binding's.
    pub(crate) fn seal(
        &self,
        boundary: Boundary,
        binding: &Binding<'_>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let key_version = self.current.version(boundary);
        let held = self.held(key_version);
        let ring = &held.ok_or(KeyError::AuthenticationFailed)?.ring;
        let binding = Binding {
            key_version,
            ..*binding
        };
        Ok(seal::seal(
            ring.key(boundary),
            boundary,
            &binding,
            plaintext,
        )?)
    }

    /// Opens under the key of the version that the envelope names.
    pub(crate) fn open(
        &self,
        boundary: Boundary,
        binding: &Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let key_version = seal::version_of(sealed).ok_or(KeyError::AuthenticationFailed)?;
        let held = self.held(key_version);
        let ring = &held.ok_or(KeyError::AuthenticationFailed)?.ring;
        let binding = Binding {
            key_version,
            ..*binding
        };
        Ok(seal::open(ring.key(boundary), boundary, &binding, sealed)?)
    }
}

impl Ring {
    pub(crate) fn derive(key: &Key, tenant: &TenantId) -> Self {
        // The boundary's name holds no space, so no two of these are alike.
        let of = |boundary: Boundary| {
            let info = format!("nephron tenant 1 {} {tenant}", boundary.as_str());
            key.derive(info.as_bytes())
        };
        let [vault, audit_payload, field, token, fingerprint, mac] = Key::keep([
            of(Boundary::Vault),
            of(Boundary::AuditPayload),
            of(Boundary::Field),
            of(Boundary::Token),
            of(Boundary::Fingerprint),
            of(Boundary::Mac),
        ]);
        Self {
            vault,
            audit_payload,
            field,
            token,
            fingerprint,
            mac,
        }
    }

    /// The key of a boundary of the tenant's. A tenant's key wraps nothing.
    const fn key(&self, boundary: Boundary) -> &Key {
        match boundary {
            Boundary::Vault => &self.vault,
            Boundary::AuditPayload => &self.audit_payload,
            Boundary::Field => &self.field,
            Boundary::Token => &self.token,
            Boundary::Fingerprint => &self.fingerprint,
            Boundary::Wrap | Boundary::Mac => &self.mac,
        }
    }
}

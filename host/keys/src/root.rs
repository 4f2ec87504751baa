//! The root of all keys: wraps each tenant's key, and is itself never used on data.
//!
//! [`RootKey`] is the file provider: 32 random bytes in `root.key`, sealed under a key that Argon2id (RFC 9106) makes
//! of the operator's passphrase. A hardware module or a key service stands in by implementing [`RootProvider`] here.

use argon2::{Algorithm, Argon2, Params, Version};
use cap_std::fs::Dir;
use nephron_model::TenantId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::hex;
use crate::random::{self, RandomError};
use crate::seal::{self, Binding, Boundary, SealError};
use crate::secret::{Key, MacKey};
use crate::store::{self, FileError};

/// What wraps tenants' keys. [`Key`] shows no bytes outside this crate, so providers live in it.
pub trait RootProvider: Send + Sync {
    /// Seals `key`, bound to its tenant and version.
    ///
    /// # Errors
    /// [`RootError`] when the provider cannot be asked.
    fn wrap(&self, key: &Key, tenant: &TenantId, version: u32) -> Result<Vec<u8>, RootError>;

    /// Opens what [`wrap`](Self::wrap) gave for the same tenant and version.
    ///
    /// # Errors
    /// [`RootError::NotAuthentic`] when it was wrapped by another root or for another tenant, or was altered.
    fn unwrap(&self, wrapped: &[u8], tenant: &TenantId, version: u32) -> Result<Key, RootError>;

    /// A key that authenticates the host's own files, one for each `label`.
    ///
    /// # Errors
    /// [`RootError`] when the provider cannot be asked.
    fn mac_key(&self, label: &str) -> Result<MacKey, RootError>;
}

/// The root key could not be made, opened or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Its file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is whole, but the passphrase does not open it.
    #[error("the passphrase does not open the root key; give the one it was created with")]
    WrongPassphrase,
    /// Too short to withstand guessing.
    #[error("a passphrase needs at least {} characters", Passphrase::SHORTEST)]
    ShortPassphrase,
    /// Argon2id parameters that are weaker than the minimum or beyond what a host can be asked to spend.
    #[error(
        "Argon2id cost out of range: memory 19456 to 4194304 KiB, passes 1 to 64 (2 or more below 46 MiB), lanes 1 to 16"
    )]
    CostOutOfRange,
    /// A wrapped key was made by another root or for another tenant, or was altered.
    #[error(
        "the wrapped key does not open under this root key; check that root key and tenant belong together"
    )]
    NotAuthentic,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Memory for the derivation could not be had.
    #[error("the key cannot be derived; check that {memory_kib} KiB of memory are free")]
    Derivation {
        /// What Argon2id needs.
        memory_kib: u32,
    },
}

/// What the operator types. Overwritten when dropped; prints nothing.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The fewest characters with which a root key is created.
    pub const SHORTEST: usize = 12;

    /// Takes `text` as it is: nothing is trimmed or normalised.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// How dear a guess at the passphrase is: the parameters of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// The second recommended option of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
    pub const RECOMMENDED: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 4,
    };

    /// The least that OWASP's password storage cheat sheet accepts: 19 MiB, 2 passes, 1 lane. For tests and demos.
    pub const MINIMUM: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };

    /// OWASP's table: at least 46 MiB with one pass, or 19 MiB with two. The upper bounds keep a forged file from
    /// taking the host's memory.
    fn check(self) -> Result<Self, RootError> {
        let least_passes = if self.memory_kib < 46 * 1024 { 2 } else { 1 };
        let fits = (Self::MINIMUM.memory_kib..=4 << 20).contains(&self.memory_kib)
            && (least_passes..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes);
        fits.then_some(self).ok_or(RootError::CostOutOfRange)
    }
}

/// The root key of the file provider, opened.
#[derive(Debug)]
pub struct RootKey(Key);

impl RootKey {
    /// The file's name in the folder it is given.
    pub const FILE: &str = "root.key";

    /// Draws a root key and writes it to `root.key` in `dir`, mode 0600, whole or not at all.
    ///
    /// # Errors
    /// [`RootError::ShortPassphrase`], [`RootError::CostOutOfRange`]; [`RootError::File`] when the file exists or
    /// cannot be written; the others when the machine refuses memory or randomness.
    pub fn create(dir: &Dir, passphrase: &Passphrase, cost: Cost) -> Result<Self, RootError> {
        if passphrase.0.chars().count() < Passphrase::SHORTEST {
            return Err(RootError::ShortPassphrase);
        }
        let cost = cost.check()?;
        let salt: [u8; 16] = random::bytes()?;
        let root = Key::draw()?;
        let guard = stretch(passphrase, &salt, cost)?;
        let sealed = seal_key(&guard, &root, &Self::binding(&bound_cost(&salt, cost)))?;
        let content = RootFile {
            format: Format::V1,
            kdf: Kdf::Argon2id,
            cost,
            salt: hex::encode(&salt),
            sealed: hex::encode(&sealed),
        };
        store::prepare(dir, Self::FILE, &store::encode(Self::FILE, content)?)?;
        store::settle(dir, Self::FILE)?;
        Ok(Self(root))
    }

    /// Opens `root.key` in `dir`. What a crash left under the temporary name is ignored: nothing was wrapped by it.
    ///
    /// # Errors
    /// [`RootError::File`] when the file is missing, damaged or readable by others;
    /// [`RootError::WrongPassphrase`]; the others when the machine refuses memory.
    pub fn open(dir: &Dir, passphrase: &Passphrase) -> Result<Self, RootError> {
        let content: RootFile = store::decode(Self::FILE, &store::read(dir, Self::FILE)?)?;
        let cost = content.cost.check()?;
        let damaged = || FileError::Damaged {
            name: Self::FILE.to_owned(),
            what: "salt or sealed key is no hexadecimal text of its length",
        };
        let salt = hex::decode(&content.salt).ok_or_else(damaged)?;
        let salt: [u8; 16] = salt.try_into().map_err(|_| damaged())?;
        let sealed = hex::decode(&content.sealed).ok_or_else(damaged)?;
        let guard = stretch(passphrase, &salt, cost)?;
        let bound = bound_cost(&salt, cost);
        let root = seal::open(&guard, Boundary::Wrap, &Self::binding(&bound), &sealed)
            .map_err(|_| RootError::WrongPassphrase)?;
        Ok(Self(Key::from_slice(&root).ok_or_else(damaged)?))
    }

    /// A key that authenticates the host's own files, such as compiled components; one for each `label`.
    #[must_use]
    pub fn mac_key(&self, label: &str) -> MacKey {
        MacKey::new(
            self.0
                .derive(format!("nephron root mac 1 {label}").as_bytes()),
        )
    }

    const fn binding(cost: &str) -> Binding<'_> {
        Binding {
            tenant: None,
            key_version: 1,
            record: "root",
            field: "root-key",
            purpose: "",
            context: cost,
        }
    }

    fn wrapping_key(&self) -> Key {
        self.0.derive(b"nephron root wrap 1")
    }
}

impl RootProvider for RootKey {
    fn wrap(&self, key: &Key, tenant: &TenantId, version: u32) -> Result<Vec<u8>, RootError> {
        seal_key(&self.wrapping_key(), key, &wrapped(tenant, version))
    }

    fn unwrap(&self, sealed: &[u8], tenant: &TenantId, version: u32) -> Result<Key, RootError> {
        let binding = wrapped(tenant, version);
        let opened = seal::open(&self.wrapping_key(), Boundary::Wrap, &binding, sealed);
        let bytes = opened.map_err(|_| RootError::NotAuthentic)?;
        Key::from_slice(&bytes).ok_or(RootError::NotAuthentic)
    }

    fn mac_key(&self, label: &str) -> Result<MacKey, RootError> {
        Ok(Self::mac_key(self, label))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RootFile {
    format: Format,
    kdf: Kdf,
    cost: Cost,
    salt: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "nephron root key 1")]
    V1,
}

#[derive(Serialize, Deserialize)]
enum Kdf {
    #[serde(rename = "argon2id")]
    Argon2id,
}

/// Where a tenant's key-encryption key belongs.
const fn wrapped(tenant: &TenantId, version: u32) -> Binding<'_> {
    Binding {
        tenant: Some(tenant),
        key_version: version,
        record: "tenant",
        field: "key-encryption-key",
        purpose: "",
        context: "",
    }
}

fn seal_key(with: &Key, key: &Key, binding: &Binding<'_>) -> Result<Vec<u8>, RootError> {
    Ok(seal::seal(with, Boundary::Wrap, binding, key.bytes())?)
}

/// Binds the parameters, so that a file whose cost was lowered does not open.
fn bound_cost(salt: &[u8], cost: Cost) -> String {
    let Cost {
        memory_kib,
        passes,
        lanes,
    } = cost;
    format!(
        "argon2id v=19 m={memory_kib} t={passes} p={lanes} salt={}",
        hex::encode(salt)
    )
}

fn stretch(passphrase: &Passphrase, salt: &[u8], cost: Cost) -> Result<Key, RootError> {
    let failed = |_| RootError::Derivation {
        memory_kib: cost.memory_kib,
    };
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut stretched = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), salt, stretched.as_mut_slice())
        .map_err(failed)?;
    Key::from_slice(stretched.as_slice()).ok_or(RootError::Derivation {
        memory_kib: cost.memory_kib,
    })
}

#[cfg(test)]
mod tests;

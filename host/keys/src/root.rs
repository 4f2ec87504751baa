//! The root of all keys: wraps tenants' keys, and is itself never used on data.
//!
//! [`RootKey`] is 32 random bytes in `root.key`. Without a provider they are sealed under a key that Argon2id (RFC 9106)
//! makes of the operator's passphrase, and wrap each tenant's keys themselves. With a [`RootProvider`], such as a hardware
//! module, they are wrapped by a key of it, and so are the tenants' keys: each tenant has a key-encryption key there,
//! which never leaves it. The root key then only wraps what must outlive a tenant's data, and authenticates the host's own
//! files.

pub(crate) mod aws_kms;
pub(crate) mod pkcs11;
pub(crate) mod transit;
pub(crate) mod wire;

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use cap_std::fs::Dir;
use nephron_model::TenantId;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::hex;
use crate::random::{self, RandomError};
use crate::seal::{self, Binding, Boundary, SealError};
use crate::secret::{Key, MacKey};
use crate::store::{self, FileError};

/// What makes key-encryption keys of AES-256, uses them and never gives them. [`Key`] shows no bytes outside this crate, so
/// providers live in it.
pub trait RootProvider: Send + Sync {
    /// As the configuration, key files and entries name it.
    fn name(&self) -> &'static str;

    /// Makes a key-encryption key and gives what the provider calls it. `label` tells people what it is for.
    ///
    /// # Errors
    /// [`RootError::Provider`].
    fn make(&self, label: &str) -> Result<String, RootError>;

    /// Wraps `key` under the key-encryption key `kek`.
    ///
    /// # Errors
    /// [`RootError::KekGone`], [`RootError::Provider`].
    fn wrap(&self, kek: &str, key: &Key, bound: &Bound<'_>) -> Result<Vec<u8>, RootError>;

    /// Opens what [`wrap`](Self::wrap) gave under the same key-encryption key for the same place.
    ///
    /// # Errors
    /// [`RootError::NotAuthentic`] when it was wrapped under another key or for another place, or was altered;
    /// [`RootError::KekGone`], [`RootError::Provider`].
    fn unwrap(&self, kek: &str, wrapped: &[u8], bound: &Bound<'_>) -> Result<Key, RootError>;

    /// Destroys the key-encryption key `kek`, and gives what the provider said to that, for the log.
    ///
    /// # Errors
    /// [`RootError::KekGone`] when it is not there; [`RootError::Provider`].
    fn destroy(&self, kek: &str) -> Result<String, RootError>;
}

/// Where a wrapped key belongs: what a provider authenticates with it.
#[derive(Clone, Copy)]
pub struct Bound<'a>(Binding<'a>);

impl<'a> Bound<'a> {
    #[cfg(test)]
    pub(crate) const fn binding(&self) -> &Binding<'a> {
        &self.0
    }

    /// Names and texts, for providers that show them.
    pub(crate) fn names(&self) -> [(&'static str, String); 3] {
        let tenant = self.0.tenant.map_or("", TenantId::as_str);
        [
            ("nephron:use", self.0.field.to_owned()),
            // KMS takes no empty text.
            (
                "nephron:tenant",
                if tenant.is_empty() { "-" } else { tenant }.to_owned(),
            ),
            ("nephron:version", self.0.key_version.to_string()),
        ]
    }

    /// One text: the header of an envelope and what it binds.
    pub(crate) fn data(&self) -> Vec<u8> {
        seal::associated_data(&seal::header(Boundary::Wrap, self.0.key_version), &self.0)
    }
}

/// What a key is for that the root wraps. Bound, so that neither stands in for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapped {
    /// A tenant's key-encryption key.
    Tenant,
    /// The key that signs a tenant's checkpoints.
    Checkpoint,
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
    /// `root.key` belongs to another provider than the configured one.
    #[error(
        "the root key was made with the provider `{made}`, and `{configured}` is configured; name the one that it was made with"
    )]
    OtherProvider {
        /// With which it was made.
        made: String,
        /// Which is asked for.
        configured: &'static str,
    },
    /// The provider has no such key-encryption key, or has it no more.
    #[error(
        "provider `{provider}` has no key-encryption key `{kek}`; correct which token or account is configured, or restore it there. If it was destroyed on purpose, what it wraps is lost for ever"
    )]
    KekGone {
        /// Its name.
        provider: &'static str,
        /// What it calls the key.
        kek: String,
    },
    /// The provider did not do what it was asked for.
    #[error("provider `{provider}` cannot {what}: {why}")]
    Provider {
        /// Its name.
        provider: &'static str,
        /// What it was asked for.
        what: &'static str,
        /// Its own code or words.
        why: String,
    },
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

/// The root key, opened, and the provider that it was opened with, if any.
pub struct RootKey {
    key: Key,
    provider: Option<Arc<dyn RootProvider>>,
}

/// As the configuration and entries name the way without a provider.
pub(crate) const FILE_PROVIDER: &str = "file";

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
        Ok(Self::kept(root, None))
    }

    /// Opens `root.key` in `dir`. What a crash left under the temporary name is ignored: nothing was wrapped by it.
    ///
    /// # Errors
    /// [`RootError::File`] when the file is missing, damaged or readable by others;
    /// [`RootError::WrongPassphrase`]; the others when the machine refuses memory.
    pub fn open(dir: &Dir, passphrase: &Passphrase) -> Result<Self, RootError> {
        let text = store::read(dir, Self::FILE)?;
        if let Ok(other) = store::decode::<ProvidedFile>(Self::FILE, &text) {
            return Err(RootError::OtherProvider {
                made: other.provider,
                configured: FILE_PROVIDER,
            });
        }
        let content: RootFile = store::decode(Self::FILE, &text)?;
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
        let root = Key::from_slice(&root).ok_or_else(damaged)?;
        Ok(Self::kept(root, None))
    }

    /// Draws a root key, has `provider` wrap it under a key-encryption key that is made for it, and writes it to `root.key`
    /// in `dir`.
    ///
    /// # Errors
    /// [`RootError::File`] when the file exists or cannot be written; what the provider says.
    pub fn create_with(dir: &Dir, provider: Arc<dyn RootProvider>) -> Result<Self, RootError> {
        if dir.symlink_metadata(Self::FILE).is_ok() {
            let name = Self::FILE.to_owned();
            return Err(FileError::Exists { name }.into());
        }
        let key = Key::draw()?;
        let kek = provider.make(&format!("nephron-root-{}", random_name()?))?;
        let wrapped = wrapped_by(&*provider, &kek, &key, &Self::PROVIDED)?;
        let content = ProvidedFile {
            format: ProvidedFormat::V2,
            provider: provider.name().to_owned(),
            kek,
            wrapped: hex::encode(&wrapped),
        };
        store::prepare(dir, Self::FILE, &store::encode(Self::FILE, content)?)?;
        store::settle(dir, Self::FILE)?;
        Ok(Self::kept(key, Some(provider)))
    }

    /// Opens `root.key` in `dir` with the provider that wrapped it.
    ///
    /// # Errors
    /// [`RootError::OtherProvider`]; [`RootError::File`] when the file is missing, damaged or readable by others; what the
    /// provider says.
    pub fn open_with(dir: &Dir, provider: Arc<dyn RootProvider>) -> Result<Self, RootError> {
        let text = store::read(dir, Self::FILE)?;
        let configured = provider.name();
        let other = |made: &str| RootError::OtherProvider {
            made: made.to_owned(),
            configured,
        };
        if store::decode::<RootFile>(Self::FILE, &text).is_ok() {
            return Err(other(FILE_PROVIDER));
        }
        let content: ProvidedFile = store::decode(Self::FILE, &text)?;
        if content.provider != configured {
            return Err(other(&content.provider));
        }
        let wrapped = hex::decode(&content.wrapped).ok_or_else(|| FileError::Damaged {
            name: Self::FILE.to_owned(),
            what: "the wrapped key is no hexadecimal text",
        })?;
        let key = provider.unwrap(&content.kek, &wrapped, &Self::PROVIDED)?;
        Ok(Self::kept(key, Some(provider)))
    }

    fn kept(key: Key, provider: Option<Arc<dyn RootProvider>>) -> Self {
        let [key] = Key::keep([key]);
        Self { key, provider }
    }

    pub(crate) const PROVIDED: Bound<'static> = Bound(Binding {
        tenant: None,
        key_version: 1,
        record: "root",
        field: "root-key",
        purpose: "",
        context: "",
    });

    /// What the configuration calls the provider.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        let provider = self.provider.as_ref();
        provider.map_or(FILE_PROVIDER, |provider| provider.name())
    }

    /// A key that authenticates the host's own files, such as compiled components; one for each `label`.
    #[must_use]
    pub fn mac_key(&self, label: &str) -> MacKey {
        MacKey::new(
            self.key
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
        self.key.derive(b"nephron root wrap 1")
    }

    /// Whether each version of a tenant's key has a key-encryption key of its own.
    pub(crate) const fn has_keks(&self) -> bool {
        self.provider.is_some()
    }

    /// Makes a tenant's key-encryption key of that version, where it has one of its own: else the root key wraps, and this
    /// gives nothing.
    pub(crate) fn make_kek(
        &self,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<String>, RootError> {
        let Some(provider) = &self.provider else {
            return Ok(None);
        };
        let label = format!("nephron-{tenant}-{version}-{}", random_name()?);
        provider.make(&label).map(Some)
    }

    /// Destroys a tenant's key-encryption key, and gives the provider's answer.
    pub(crate) fn destroy_kek(&self, kek: &str) -> Result<String, RootError> {
        match &self.provider {
            Some(provider) => provider.destroy(kek),
            None => Err(gone(FILE_PROVIDER, kek)),
        }
    }

    /// Wraps `key`, bound to what it is for, its tenant and its version: under `kek`, or under the root key itself.
    pub(crate) fn wrap(
        &self,
        what: Wrapped,
        key: &Key,
        tenant: &TenantId,
        version: u32,
        kek: Option<&str>,
    ) -> Result<Vec<u8>, RootError> {
        let binding = wrapped(what, tenant, version);
        match (kek, &self.provider) {
            (None, _) => seal_key(&self.wrapping_key(), key, &binding),
            (Some(kek), Some(provider)) => wrapped_by(&**provider, kek, key, &Bound(binding)),
            (Some(kek), None) => Err(gone(FILE_PROVIDER, kek)),
        }
    }

    /// Opens what [`wrap`](Self::wrap) gave for the same use, tenant, version and key-encryption key.
    pub(crate) fn unwrap(
        &self,
        what: Wrapped,
        sealed: &[u8],
        tenant: &TenantId,
        version: u32,
        kek: Option<&str>,
    ) -> Result<Key, RootError> {
        let binding = wrapped(what, tenant, version);
        match (kek, &self.provider) {
            (None, _) => {
                let opened = seal::open(&self.wrapping_key(), Boundary::Wrap, &binding, sealed);
                let bytes = opened.map_err(|_| RootError::NotAuthentic)?;
                Key::from_slice(&bytes).ok_or(RootError::NotAuthentic)
            }
            (Some(kek), Some(provider)) => provider.unwrap(kek, sealed, &Bound(binding)),
            (Some(kek), None) => Err(gone(FILE_PROVIDER, kek)),
        }
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({})", self.provider())
    }
}

pub(crate) fn gone(provider: &'static str, kek: &str) -> RootError {
    RootError::KekGone {
        provider,
        kek: kek.to_owned(),
    }
}

pub(crate) const fn refused(provider: &'static str, what: &'static str, why: String) -> RootError {
    RootError::Provider {
        provider,
        what,
        why,
    }
}

/// Keeps apart the keys of two hosts that share a provider.
fn random_name() -> Result<String, RandomError> {
    Ok(hex::encode(&random::bytes::<6>()?))
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

/// What `provider` made of `key`, once it was seen to open again: the only copy of a key is not left to an answer that nobody
/// tried.
fn wrapped_by(
    provider: &dyn RootProvider,
    kek: &str,
    key: &Key,
    bound: &Bound<'_>,
) -> Result<Vec<u8>, RootError> {
    let wrapped = provider.wrap(kek, key, bound)?;
    let opened = provider.unwrap(kek, &wrapped, bound)?;
    match bool::from(opened.bytes().ct_eq(key.bytes())) {
        true => Ok(wrapped),
        false => Err(RootError::NotAuthentic),
    }
}

/// `root.key` where a provider wrapped it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProvidedFile {
    format: ProvidedFormat,
    provider: String,
    kek: String,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
enum ProvidedFormat {
    #[serde(rename = "nephron root key 2")]
    V2,
}

#[derive(Serialize, Deserialize)]
enum Kdf {
    #[serde(rename = "argon2id")]
    Argon2id,
}

/// Where a key of a tenant belongs.
const fn wrapped(what: Wrapped, tenant: &TenantId, version: u32) -> Binding<'_> {
    Binding {
        tenant: Some(tenant),
        key_version: version,
        record: "tenant",
        field: match what {
            Wrapped::Tenant => "key-encryption-key",
            Wrapped::Checkpoint => "checkpoint-key",
        },
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

//! The envelope: how bytes are sealed, for one tenant, one boundary and one place.
//!
//! The layout is drawn in `docs/formats/envelope.md`, with vectors in `tests/fixtures/vectors/envelope/`.
//! AES-256-GCM alone does not commit to its key: one ciphertext can be made that opens under two keys. So the data key,
//! the nonce and a commitment are derived together by HKDF from the boundary's key, a salt of the envelope's own and
//! everything that is bound; the commitment is compared, in constant time, before anything is decrypted.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use nephron_model::{Phi, TenantId};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize as _, Zeroizing};

use crate::random::{self, RandomError};
use crate::secret::{Key, expand};
use crate::stack::swept;

/// Bytes that an envelope adds to what it seals.
pub const OVERHEAD: usize = HEADER_LEN + SALT_LEN + COMMITMENT_LEN + TAG_LEN;

const MAGIC: [u8; 4] = *b"NPHE";
const FORMAT: u8 = 1;
const LABEL: &[u8] = b"nephron envelope 1";
const HEADER_LEN: usize = 10;
const SALT_LEN: usize = 32;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// What a key is for. Each boundary has a key of its own, so nothing sealed on one side of it opens on another.
/// 6 is kept for exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Boundary {
    /// A tenant's key-encryption key under the root, and the root under the passphrase.
    Wrap = 1,
    /// Values that tokens stand for.
    Vault = 2,
    /// Payloads of audit entries.
    AuditPayload = 3,
    /// Fields that a grant's holder seals.
    Field = 4,
    /// Authenticates the vault's lookups; seals nothing.
    Token = 5,
    /// Keyed digests in the log; seals nothing.
    Fingerprint = 7,
    /// MACs that a grant's holder asks for; seals nothing.
    Mac = 8,
}

impl Boundary {
    /// Those whose keys seal, and are rotated. The others' are looked up by, and stay: a new one would make the same value,
    /// record or conversation look like another.
    pub const ROTATED: [Self; 3] = [Self::Vault, Self::AuditPayload, Self::Field];

    /// The name, as key derivation, the configuration and entries write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Vault => "vault",
            Self::AuditPayload => "audit-payload",
            Self::Field => "field",
            Self::Token => "token",
            Self::Fingerprint => "fingerprint",
            Self::Mac => "mac",
        }
    }
}

/// Where a sealed thing belongs. An envelope opens only with exactly what it was sealed with.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub(crate) tenant: Option<&'a TenantId>,
    pub(crate) key_version: u32,
    /// The record or request it belongs to.
    pub(crate) record: &'a str,
    /// Its field within the record.
    pub(crate) field: &'a str,
    /// The purpose of use, where the boundary binds one.
    pub(crate) purpose: &'a str,
    /// What the caller adds.
    pub(crate) context: &'a str,
}

/// Why bytes were not sealed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// No salt could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// More than AES-GCM takes in one piece: 2^36 - 32 bytes (SP 800-38D §5.2.1.1).
    #[error("{0} bytes are more than one envelope holds")]
    TooLong(usize),
}

/// The envelope was altered, is cut, or was sealed under another key or for another place. Which, is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

/// The version of the key that an envelope says it was sealed under; the header is authenticated when it opens.
pub(crate) fn version_of(sealed: &[u8]) -> Option<u32> {
    let (header, _) = sealed.split_first_chunk::<HEADER_LEN>()?;
    let (_, version) = header.split_last_chunk::<4>()?;
    Some(u32::from_be_bytes(*version))
}

pub(crate) fn seal(
    key: &Key,
    boundary: Boundary,
    binding: &Binding<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let salt = random::bytes()?;
    swept(|| seal_with_salt(key, boundary, binding, plaintext, salt))
}

pub(crate) fn open(
    key: &Key,
    boundary: Boundary,
    binding: &Binding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    swept(|| open_here(key, boundary, binding, sealed))
}

fn open_here(
    key: &Key,
    boundary: Boundary,
    binding: &Binding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let header = header(boundary, binding.key_version);
    let rest = sealed.strip_prefix(&header).ok_or(NotAuthentic)?;
    let (salt, rest) = rest.split_first_chunk::<SALT_LEN>().ok_or(NotAuthentic)?;
    let (commitment, rest) = rest
        .split_first_chunk::<COMMITMENT_LEN>()
        .ok_or(NotAuthentic)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(NotAuthentic)?;

    let bound = associated_data(&header, binding);
    let derived = Derived::new(key, salt, &bound);
    if !bool::from(derived.commitment.ct_eq(commitment)) {
        return Err(NotAuthentic);
    }
    let mut opened = Zeroizing::new(ciphertext.to_vec());
    derived
        .cipher()
        .decrypt_inout_detached(
            &derived.nonce.into(),
            &bound,
            opened.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .map_err(|_| NotAuthentic)?;
    Ok(opened)
}

/// What was opened, as text. It was sealed as such, so that anything else is not authentic.
pub(crate) fn text(mut opened: Zeroizing<Vec<u8>>) -> Result<Phi<String>, NotAuthentic> {
    // Moved, not copied: the text keeps the buffer.
    String::from_utf8(std::mem::take(&mut *opened))
        .map(Phi::new)
        .map_err(|error| {
            error.into_bytes().zeroize();
            NotAuthentic
        })
}

/// INVARIANT: a salt is drawn anew for each envelope; only vectors bring their own.
fn seal_with_salt(
    key: &Key,
    boundary: Boundary,
    binding: &Binding<'_>,
    plaintext: &[u8],
    salt: [u8; SALT_LEN],
) -> Result<Vec<u8>, SealError> {
    let header = header(boundary, binding.key_version);
    let bound = associated_data(&header, binding);
    let derived = Derived::new(key, &salt, &bound);

    // Its final size from the start: a growing buffer would leave copies of the plaintext behind.
    let mut envelope = Vec::with_capacity(plaintext.len() + OVERHEAD);
    envelope.extend_from_slice(&header);
    envelope.extend_from_slice(&salt);
    envelope.extend_from_slice(&derived.commitment);
    let start = envelope.len();
    envelope.extend_from_slice(plaintext);
    let body = envelope.get_mut(start..).unwrap_or_default();
    let tag = derived
        .cipher()
        .encrypt_inout_detached(&derived.nonce.into(), &bound, body.into())
        .map_err(|_| SealError::TooLong(plaintext.len()))?;
    envelope.extend_from_slice(&tag);
    Ok(envelope)
}

pub(crate) fn header(boundary: Boundary, key_version: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = MAGIC;
    let [v0, v1, v2, v3] = key_version.to_be_bytes();
    [a, b, c, d, FORMAT, boundary as u8, v0, v1, v2, v3]
}

/// The header and every bound text, each preceded by its length as eight big-endian bytes.
pub(crate) fn associated_data(header: &[u8; HEADER_LEN], binding: &Binding<'_>) -> Vec<u8> {
    let texts = [
        binding.tenant.map_or("", TenantId::as_str),
        binding.record,
        binding.field,
        binding.purpose,
        binding.context,
    ];
    let mut data = header.to_vec();
    for text in texts {
        data.extend_from_slice(&(text.len() as u64).to_be_bytes());
        data.extend_from_slice(text.as_bytes());
    }
    data
}

/// What one HKDF call gives for one envelope.
struct Derived {
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 12],
    commitment: [u8; COMMITMENT_LEN],
}

impl Derived {
    fn new(key: &Key, salt: &[u8; SALT_LEN], bound: &[u8]) -> Self {
        let mut info = LABEL.to_vec();
        info.extend_from_slice(&Sha256::digest(bound));
        let mut okm = Zeroizing::new([0; 32 + 12 + COMMITMENT_LEN]);
        expand(Some(salt), key, &info, &mut okm);

        let mut derived = Self {
            key: Zeroizing::new([0; 32]),
            nonce: [0; 12],
            commitment: [0; COMMITMENT_LEN],
        };
        let places = derived.key.iter_mut().chain(&mut derived.nonce);
        for (place, byte) in places.chain(&mut derived.commitment).zip(okm.iter()) {
            *place = *byte;
        }
        derived
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.key).into())
    }
}

#[cfg(test)]
mod tests;

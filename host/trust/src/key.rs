//! Public keys of those who vouch.

use nephron_keys::{BadSignature, PublicKey};
use nephron_model::Digest;
use sigstore_types::DerPublicKey;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

/// Ed25519 (RFC 8410 §3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// An elliptic curve (RFC 5480 §2.1.1), and which.
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// A public key, and the fingerprint that it is known by: SHA-256 of its `SubjectPublicKeyInfo` in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    key: PublicKey,
    fingerprint: Digest,
}

/// It is no public key that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one public key in PEM (`-----BEGIN PUBLIC KEY-----`), Ed25519 or ECDSA on P-256; `nephron plugin keygen` and `openssl pkey -pubout` write one"
)]
pub struct KeyError;

impl VerifyingKey {
    /// Reads a key in PEM (RFC 7468 §13).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn of_pem(text: &str) -> Result<Self, KeyError> {
        let der = DerPublicKey::from_pem(text).map_err(|_| KeyError)?;
        Self::of_der(der.as_bytes())
    }

    /// Reads a key in DER.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn of_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| KeyError)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(KeyError)?;
        let key = match info.algorithm.oid {
            ED25519 => PublicKey::ed25519(bytes.try_into().map_err(|_| KeyError)?),
            ELLIPTIC if info.algorithm.parameters_oid() == Ok(P256) => {
                PublicKey::p256_asn1(bytes.try_into().map_err(|_| KeyError)?)
            }
            _ => return Err(KeyError),
        };
        let fingerprint = Digest::of(der);
        Ok(Self { key, fingerprint })
    }

    /// What it is known by.
    #[must_use]
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.key.verify(message, signature)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_either_kind_is_read_and_nothing_else() {
        // RFC 8410 §10.1.
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = VerifyingKey::of_pem(ed25519).unwrap();
        let again = VerifyingKey::of_pem(&format!("{ed25519}\n")).unwrap();
        assert_eq!(key.fingerprint(), again.fingerprint());
        for text in [
            "",
            "ed25519",
            &ed25519.replace("PUBLIC", "PRIVATE"),
            &ed25519.replace("MCow", "MCoh"),
        ] {
            assert_eq!(VerifyingKey::of_pem(text), Err(KeyError), "{text}");
        }
    }
}

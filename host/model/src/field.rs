//! A field that stands in the log as a commitment, so that it can be shown alone.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// Stands before a committed field in the hash, so that no other hashed thing can be taken for one.
const PREFIX: &[u8] = b"nephron-audit-field-v1\0";

/// A field's commitment, and the salt without which it says nothing.
///
/// Whoever is told field, value and salt can compute the digest, and finds it in the entry; whoever is not can try values for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldCommitment {
    /// Secret until the field is disclosed.
    pub salt: [u8; 32],
    /// What the entry holds: SHA-256 of `nephron-audit-field-v1`, a zero byte, the length of the field's name (8 bytes,
    /// big-endian), the name, the salt, the value.
    pub digest: Digest,
}

impl FieldCommitment {
    /// Commits to the value of a field.
    #[must_use]
    pub fn new(field: &str, salt: [u8; 32], value: &[u8]) -> Self {
        let hasher = Sha256::new()
            .chain_update(PREFIX)
            .chain_update((field.len() as u64).to_be_bytes())
            .chain_update(field)
            .chain_update(salt)
            .chain_update(value);
        Self {
            salt,
            digest: Digest(hasher.finalize().into()),
        }
    }

    /// The fact of an entry's header that holds the commitment to this field.
    #[must_use]
    pub fn fact(field: &str) -> String {
        format!("{}{field}", Self::FACT)
    }

    /// What the names of such facts begin with.
    pub const FACT: &str = "commitment/";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_is_to_one_field_one_salt_and_one_value() {
        let one = FieldCommitment::new("sent", [1; 32], b"text");
        // SHA-256 of the 71 bytes that the documentation lists, by Python's hashlib.
        let expected = "sha256:925b0b45a20631c411a484bf71db85f879c21ab6b8dfe7a8a2e669a2b1c95252";
        assert_eq!(one.digest.to_string(), expected);
        for other in [
            FieldCommitment::new("received", [1; 32], b"text"),
            FieldCommitment::new("sent", [2; 32], b"text"),
            FieldCommitment::new("sent", [1; 32], b"texu"),
            FieldCommitment::new("sen", [1; 32], b"text"),
        ] {
            assert_ne!(other.digest, one.digest);
        }
    }
}

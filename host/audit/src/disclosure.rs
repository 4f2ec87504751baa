//! One field of one entry, shown alone: its value, the salt of its commitment, and a proof of the entry that holds that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::{Digest, FieldCommitment, unhex};
use serde::{Deserialize, Serialize};

use crate::{EntryProof, ProofFault, ProvenEntry, VerifierKey};

const FORMAT: &str = "nephron field disclosure 1";

/// A disclosure, as its file holds it: one JSON object.
///
/// It holds the value in the open: whoever has the file has that.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FieldDisclosure {
    format: String,
    /// The field's name.
    field: String,
    /// Its value, where that is text (UTF-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Its value in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// 64 hex digits.
    salt: String,
    /// What the entry holds.
    commitment: Digest,
    /// The entry's `.tlog-proof`.
    proof: String,
}

/// A disclosure that shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisclosureFault {
    /// It is none in a known form.
    #[error("it is no disclosure: expected one that `nephron audit disclose` wrote")]
    Malformed,
    /// The entry is not proved.
    #[error("the entry that it speaks of is not proved")]
    Proof(#[from] ProofFault),
    /// The entry holds no such commitment.
    #[error("the entry holds no commitment to a field `{field}`, or another one")]
    NotCommitted {
        /// The field.
        field: String,
    },
    /// Value and salt are not those that were committed to.
    #[error("value and salt are not what the entry is committed to: one of them was altered")]
    Differs,
}

impl FieldDisclosure {
    /// The disclosure of a field's value, with the proof of the entry that is committed to it.
    #[must_use]
    pub fn new(field: &str, value: &[u8], salt: [u8; 32], proof: &EntryProof) -> Self {
        let text = std::str::from_utf8(value).ok().map(str::to_owned);
        Self {
            format: FORMAT.to_owned(),
            field: field.to_owned(),
            value_base64: text.is_none().then(|| STANDARD.encode(value)),
            value: text,
            // A digest prints as hex does.
            salt: Digest(salt).hex(),
            commitment: FieldCommitment::new(field, salt, value).digest,
            proof: proof.to_string(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`DisclosureFault::Malformed`].
    pub fn parse(text: &str) -> Result<Self, DisclosureFault> {
        let read: Option<Self> = serde_json::from_str(text).ok();
        read.filter(|read| read.format == FORMAT)
            .ok_or(DisclosureFault::Malformed)
    }

    /// The field's name.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The proof of the entry.
    ///
    /// # Errors
    /// [`DisclosureFault::Proof`] if there is none.
    pub fn proof(&self) -> Result<EntryProof, DisclosureFault> {
        Ok(EntryProof::parse(&self.proof)?)
    }

    /// The field's value.
    ///
    /// # Errors
    /// [`DisclosureFault::Malformed`] if there is none, or two.
    pub fn value(&self) -> Result<Vec<u8>, DisclosureFault> {
        let value = match (&self.value, &self.value_base64) {
            (Some(text), None) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => STANDARD.decode(base64).ok(),
            (Some(_), Some(_)) | (None, None) => None,
        };
        value.ok_or(DisclosureFault::Malformed)
    }

    /// Shows that the field had this value in an entry of the log of `key`; gives the entry.
    ///
    /// # Errors
    /// [`DisclosureFault`].
    pub fn verify(&self, key: &VerifierKey) -> Result<ProvenEntry, DisclosureFault> {
        let value = self.value()?;
        let salt = unhex(&self.salt).ok_or(DisclosureFault::Malformed)?;
        let proven = self.proof()?.verify(key)?;
        let held = proven.header.facts.get(&FieldCommitment::fact(&self.field));
        if held != Some(&self.commitment.to_string()) {
            return Err(DisclosureFault::NotCommitted {
                field: self.field.clone(),
            });
        }
        let computed = FieldCommitment::new(&self.field, salt, &value).digest;
        (computed == self.commitment)
            .then_some(proven)
            .ok_or(DisclosureFault::Differs)
    }
}

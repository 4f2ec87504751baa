//! Envelopes: a statement and its signature (DSSE v1, <https://github.com/secure-systems-lab/dsse>).

use nephron_keys::{BadSignature, PublisherKey};
use nephron_model::Digest;
use sigstore_types::{DsseEnvelope, DsseSignature, KeyId, PayloadBytes, SignatureBytes, pae};

use crate::key::VerifyingKey;
use crate::statement::{Statement, StatementError};

/// What every statement's envelope says that it holds.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A statement that somebody signed, as it was read. Whether the signature is his is [`Envelope::is_by`]'s to say.
#[derive(Clone, Debug)]
pub struct Envelope {
    envelope: DsseEnvelope,
    digest: Digest,
}

/// It is no envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is no JSON of an envelope with one signature.
    #[error("it is no DSSE envelope with one signature")]
    Form(#[from] serde_json::Error),
    /// It holds something else than a statement.
    #[error("it holds `{found}` and no in-toto statement")]
    Type {
        /// What it says that it holds.
        found: String,
    },
}

impl Envelope {
    /// Reads one line.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn read(line: &str) -> Result<Self, EnvelopeError> {
        let line = line.trim();
        let envelope: DsseEnvelope = serde_json::from_str(line)?;
        if envelope.payload_type != IN_TOTO {
            let found = envelope.payload_type;
            return Err(EnvelopeError::Type { found });
        }
        let digest = Digest::of(line.as_bytes());
        Ok(Self { envelope, digest })
    }

    /// Signs a statement, and gives its line.
    ///
    /// # Errors
    /// [`StatementError::Form`], which does not happen with what can be written here.
    pub fn sign(statement: &Statement, key: &PublisherKey) -> Result<String, StatementError> {
        let payload = statement.write()?;
        let signature = SignatureBytes::new(key.sign(&pae(IN_TOTO, &payload)));
        let id = KeyId::new(Digest::of(&key.public_der()).to_string());
        let envelope = DsseEnvelope::new(
            IN_TOTO,
            PayloadBytes::new(payload),
            DsseSignature::new(signature, id),
        );
        Ok(serde_json::to_string(&envelope)?)
    }

    /// Digest of its line, by which it is kept and named.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The key that it says it is signed by, by its fingerprint. It is a hint: anybody can write it.
    #[must_use]
    pub fn key_id(&self) -> Option<Digest> {
        self.envelope.signature.keyid.as_str().parse().ok()
    }

    /// Whether this key signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn is_by(&self, key: &VerifyingKey) -> Result<(), BadSignature> {
        key.verify(&self.envelope.pae(), self.envelope.signature.sig.as_bytes())
    }

    /// What it holds, whoever signed it.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn statement(&self) -> Result<Statement, StatementError> {
        Statement::read(self.envelope.payload.as_bytes())
    }
}

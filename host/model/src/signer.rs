//! A key that signs, as those see it who have something to be signed and must not know keys.

/// Signs with Ed25519 (RFC 8032 §5.1) under one key, whose bytes stay where they are.
pub trait Signer: Send + Sync {
    /// The public key, 32 bytes.
    fn public_key(&self) -> [u8; 32];

    /// The signature over exactly `message`.
    ///
    /// # Errors
    /// [`NotSigned`] when the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned>;
}

/// A signature that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used: {reason}")]
pub struct NotSigned {
    /// Why; names no key and holds no byte of one.
    pub reason: String,
}

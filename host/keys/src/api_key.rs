//! API keys: what a client presents to be known. The host keeps digests alone.
//!
//! A key is `nph_` and 64 lower-case hex digits, 256 random bits. Nobody can guess one, so its digest needs no salt and
//! no stretching: it is the SHA-256 of the key's text, as `printf %s nph_… | sha256sum` prints it.

use nephron_model::Digest;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::hex;
use crate::random::{RandomError, key_bytes};

/// A key in clear: as it was drawn, or as a client presents it.
pub struct ApiKey(Zeroizing<String>);

/// Text that is not in the form of a key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected `nph_` and 64 lower-case hex digits")]
pub struct InvalidApiKey;

impl ApiKey {
    const PREFIX: &str = "nph_";

    /// Draws a key.
    ///
    /// # Errors
    /// [`RandomError`] when the kernel refuses.
    pub fn draw() -> Result<Self, RandomError> {
        let mut digits = hex::encode(key_bytes()?.as_slice());
        let text = Zeroizing::new([Self::PREFIX, &digits].concat());
        digits.zeroize();
        Ok(Self(text))
    }

    /// What the configuration keeps of it.
    #[must_use]
    pub fn digest(&self) -> ApiKeyDigest {
        ApiKeyDigest(Digest::of(self.0.as_bytes()))
    }

    /// The key's text: to be shown once, to whoever it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(InvalidApiKey)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.bytes().all(is_hex) {
            return Err(InvalidApiKey);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// The digest of a key: `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyDigest(Digest);

impl ApiKeyDigest {
    /// Whether this is the digest of `key`; takes as long whatever the answer.
    #[must_use]
    pub fn is_of(&self, key: &ApiKey) -> bool {
        self.0.0.ct_eq(&key.digest().0.0).into()
    }
}

impl std::fmt::Display for ApiKeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ApiKeyDigest {
    type Err = nephron_model::ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_digest_and_by_nothing_else() {
        let (key, other) = (ApiKey::draw().unwrap(), ApiKey::draw().unwrap());
        let digest: ApiKeyDigest = key.digest().to_string().parse().unwrap();
        let presented: ApiKey = key.reveal().parse().unwrap();
        assert!(digest.is_of(&presented) && !digest.is_of(&other));
    }

    #[test]
    fn the_digest_is_the_sha_256_of_the_text() {
        // printf %s nph_0000000000000000000000000000000000000000000000000000000000000000 | sha256sum
        let key: ApiKey = format!("nph_{}", "0".repeat(64)).parse().unwrap();
        assert_eq!(
            key.digest().to_string(),
            "sha256:a7b3aebefdc23b5fcf62bb5ac1ad0e743a68ccc09df2b7c385fe0b9d6208599b"
        );
    }

    #[test]
    fn only_the_exact_form_is_a_key() {
        for text in [
            "",
            "nph_",
            "sk-abc",
            &"0".repeat(68),
            &format!("nph_{}", "A".repeat(64)),
        ] {
            assert!(text.parse::<ApiKey>().is_err(), "{text}");
        }
    }
}

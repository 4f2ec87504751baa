//! Digests that may be shown, and keyed ones that may stand in the log.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4) of bytes that are no secret: components, settings, log entries, ciphertext.
///
/// Prints and parses as `sha256:` and 64 lower-case hex digits. For text that may hold PHI use [`Fingerprint`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A keyed digest (HMAC-SHA-256 under a tenant key) of something that may hold PHI or name a person.
///
/// It compares equal for equal input within one tenant and says nothing without that tenant's key.
/// Prints and parses as `hmac-sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Digest {
    const PREFIX: &str = "sha256:";

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 hex digits, for people to compare at a glance. Never used to look anything up.
    #[must_use]
    pub fn short(&self) -> String {
        hex(self.0.get(..6).unwrap_or_default())
    }

    /// All 64 hex digits without the prefix, as file names use them.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl Fingerprint {
    const PREFIX: &str = "hmac-sha256:";
}

/// Text that is not a digest of the expected form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected `{expected}` and 64 lower-case hex digits")]
pub struct ParseDigestError {
    expected: &'static str,
}

macro_rules! text_form {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text())
            }
        }

        impl $type {
            fn text(&self) -> String {
                [Self::PREFIX, &hex(&self.0)].concat()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.strip_prefix(Self::PREFIX);
                digits.and_then(unhex).map(Self).ok_or(ParseDigestError {
                    expected: Self::PREFIX,
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(Digest);
text_form!(Fingerprint);

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    // Every log entry prints several digests: one allocation each, and no character looked at twice.
    let mut digits = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        digits.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    String::from_utf8(digits).unwrap_or_default()
}

/// The 32 bytes that 64 lower-case hex digits stand for.
#[must_use]
pub fn unhex(digits: &str) -> Option<[u8; 32]> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_the_standard_writes_it() {
        // FIPS 180-4, the digest of "abc".
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert_eq!(text.parse(), Ok(digest));
    }

    #[test]
    fn only_the_printed_form_parses() {
        for text in [
            "",
            "sha256:",
            "sha256:BA",
            &"f".repeat(64),
            &format!("sha256:{}", "F".repeat(64)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(Digest::of(b"").to_string().parse::<Fingerprint>().is_err());
    }
}

//! Signed notes (C2SP signed-note v1): a text, and who signed it with Ed25519.
//!
//! Signatures are checked here and made by whoever implements [`Signer`]: this crate holds no key that could sign.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::{Digest, NotSigned, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};

/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// The byte of Ed25519 among the signature types.
const ED25519_TYPE: u8 = 1;
/// Bytes of a note that are read at most: a checkpoint with dozens of cosignatures, post-quantum ones too, is shorter.
pub(crate) const MAX_NOTE: usize = 256 << 10;

/// A public key with the name that stands in the signatures, as `<name>+<id>+<key>`: what an auditor is given.
///
/// The id is eight hex digits, the key is base64 of the byte 1 and the 32 bytes of RFC 8032 §5.1.5. Go's
/// `golang.org/x/mod/sumdb/note` calls it a verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey(NamedKey);

/// A name, an Ed25519 key, and the type of signatures that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedKey {
    name: String,
    key: [u8; 32],
    kind: u8,
}

/// Text that is no key in the form `<name>+<id>+<key>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `<name>+<8 hex digits>+<base64>` of an Ed25519 key, as `nephron audit vkey` prints it, whose digits fit name and key"
)]
pub struct InvalidVerifierKey;

impl NamedKey {
    /// The key under this name; nothing if a note cannot hold the name.
    pub(crate) fn new(name: &str, key: [u8; 32], kind: u8) -> Option<Self> {
        let is_valid = !name.is_empty()
            && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control());
        let name = name.to_owned();
        is_valid.then_some(Self { name, key, kind })
    }

    pub(crate) fn parse(text: &str, kind: u8) -> Option<Self> {
        // Base64 may hold a plus too; name and id do not.
        let mut parts = text.splitn(3, '+');
        let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let typed = STANDARD.decode(key).ok()?;
        let key = typed.strip_prefix(&[kind])?.try_into().ok()?;
        let key = Self::new(name, key, kind)?;
        // The id is of name and key: what was copied wrongly does not print the same.
        (key.to_string() == text).then_some(key)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The first four bytes of SHA-256 over name, line feed, type and key.
    pub(crate) fn id(&self) -> [u8; 4] {
        let typed = [self.name.as_bytes(), b"\n", &[self.kind], &self.key].concat();
        let [a, b, c, d, ..] = Digest::of(&typed).0;
        [a, b, c, d]
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.kind], self.key.as_slice()].concat();
        let id = u32::from_be_bytes(self.id());
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(typed))
    }
}

impl VerifierKey {
    /// The key under this name; nothing if a note cannot hold the name.
    #[must_use]
    pub fn new(name: &str, key: [u8; 32]) -> Option<Self> {
        NamedKey::new(name, key, ED25519_TYPE).map(Self)
    }

    /// The name, which for a log is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) const fn public_key(&self) -> &[u8; 32] {
        self.0.key()
    }

    /// The text of `note`, if this key signed it.
    ///
    /// # Errors
    /// [`NoteError`]. Signatures of others are passed over; one that says it is of this key must be.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut is_signed = false;
        for (name, signature) in signatures {
            let Some((id, signature)) = signature.split_first_chunk() else {
                return Err(NoteError::Malformed);
            };
            if name != self.0.name || *id != self.0.id() {
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, &self.0.key);
            key.verify(text.as_bytes(), signature)
                .map_err(|_| NoteError::BadSignature)?;
            is_signed = true;
        }
        is_signed.then_some(text).ok_or(NoteError::Unsigned)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidVerifierKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifierKey> {
        let key = NamedKey::parse(text, ED25519_TYPE);
        key.map(Self).ok_or(InvalidVerifierKey)
    }
}

/// A note that does not speak for the key that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is no signed note.
    #[error("it is no signed note (C2SP signed-note)")]
    Malformed,
    /// The key did not sign it.
    #[error("it is not signed by the given key; check that key and file are of the same log")]
    Unsigned,
    /// A signature that says it is of the key is not.
    #[error("its signature does not fit its text: it was altered, or signed by somebody else")]
    BadSignature,
}

/// Signs `text`, which ends with a line feed, under `name`.
pub(crate) fn sign(name: &str, text: &str, signer: &dyn Signer) -> Result<String, NotSigned> {
    let key = VerifierKey::new(name, signer.public_key()).ok_or_else(|| NotSigned {
        reason: format!("`{name}` cannot be the name of a key"),
    })?;
    let signature = [key.0.id().as_slice(), &signer.sign(text.as_bytes())?].concat();
    let note = format!("{text}\n{DASH}{name} {}\n", STANDARD.encode(signature));
    // A signature that nobody can verify is not stored.
    key.open(&note).map_err(|error| NotSigned {
        reason: error.to_string(),
    })?;
    Ok(note)
}

/// A name, and the bytes that stand as its signature.
type Signature<'a> = (&'a str, Vec<u8>);

/// The text of `note`, and its signatures.
pub(crate) fn split(note: &str) -> Result<(&str, Vec<Signature<'_>>), NoteError> {
    let is_plain = note.chars().all(|c| c >= ' ' || c == '\n');
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let lines = signatures
        .strip_suffix('\n')
        .filter(|_| is_plain && note.len() <= MAX_NOTE)
        .ok_or(NoteError::Malformed)?;
    let signature = |line: &'_ str| {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let is_name = !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace());
        let signature = STANDARD.decode(signature).ok()?;
        (is_name && signature.len() > 4).then_some(signature)
    };
    let signatures = lines.split('\n').map(|line| {
        let name = line.split(' ').nth(1).unwrap_or_default();
        signature(line).map(|signature| (name, signature))
    });
    let signatures = signatures
        .collect::<Option<_>>()
        .ok_or(NoteError::Malformed)?;
    // The line feed that ends the text belongs to it.
    let text = note.get(..=text.len()).ok_or(NoteError::Malformed)?;
    Ok((text, signatures))
}

#[cfg(test)]
pub(crate) mod tests;

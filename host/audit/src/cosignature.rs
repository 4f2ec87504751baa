//! What a witness says of a checkpoint (C2SP tlog-cosignature v1): that it saw it at a time, and that the log had only grown.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, UnparsedPublicKey};

use crate::NoteError;
use crate::note::{NamedKey, split};

/// The byte of a timestamped Ed25519 cosignature among the signature types.
const COSIGNATURE_TYPE: u8 = 4;

/// A witness's public key, as `<name>+<id>+<key>`: base64 of the byte 4 and the 32 bytes of RFC 8032 §5.1.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey(NamedKey);

/// Text that is no witness's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `<name>+<8 hex digits>+<base64>` of a witness's key (C2SP tlog-cosignature, type 4), whose digits fit name and key"
)]
pub struct InvalidWitnessKey;

impl WitnessKey {
    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) const fn public_key(&self) -> &[u8; 32] {
        self.0.key()
    }

    /// When this witness cosigned `note`, in seconds since the epoch.
    ///
    /// # Errors
    /// [`NoteError`]. Signatures of others are passed over; one that says it is of this witness must be.
    pub fn cosigned(&self, note: &str) -> Result<u64, NoteError> {
        let (text, signatures) = split(note)?;
        let mut seen = None;
        for (name, signature) in signatures {
            let Some((id, stamped)) = signature.split_first_chunk() else {
                return Err(NoteError::Malformed);
            };
            if name != self.0.name() || *id != self.0.id() {
                continue;
            }
            let (time, signature) = stamped.split_first_chunk().ok_or(NoteError::BadSignature)?;
            let time = u64::from_be_bytes(*time);
            let message = format!("cosignature/v1\ntime {time}\n{text}");
            UnparsedPublicKey::new(&ED25519, self.0.key())
                .verify(message.as_bytes(), signature)
                .map_err(|_| NoteError::BadSignature)?;
            seen = Some(time);
        }
        seen.ok_or(NoteError::Unsigned)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WitnessKey {
    type Err = InvalidWitnessKey;

    fn from_str(text: &str) -> Result<Self, InvalidWitnessKey> {
        let key = NamedKey::parse(text, COSIGNATURE_TYPE);
        key.map(Self).ok_or(InvalidWitnessKey)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::note::tests::TestKey;
    use crate::{Checkpoint, note};
    use nephron_model::{Digest, Signer as _};

    /// The line with which a witness cosigns `note` at `time`.
    pub(crate) fn line(note: &str, name: &str, witness: &TestKey, time: u64) -> String {
        let key = NamedKey::new(name, witness.public_key(), COSIGNATURE_TYPE).unwrap();
        let (text, _) = split(note).unwrap();
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let signature = witness.sign(message.as_bytes()).unwrap();
        let bytes = [key.id().as_slice(), &time.to_be_bytes(), &signature].concat();
        format!("\u{2014} {name} {}\n", STANDARD.encode(bytes))
    }

    #[test]
    fn a_cosignature_says_when_and_counts_for_its_note_alone() {
        let (log, witness) = (TestKey::new(1), TestKey::new(2));
        let checkpoint = |size| {
            let checkpoint = Checkpoint {
                origin: "nephron/host/0011223344556677".to_owned(),
                size,
                root: Digest::of(b"root"),
            };
            note::sign(&checkpoint.origin, &checkpoint.to_text(), &log).unwrap()
        };
        let typed = [&[COSIGNATURE_TYPE], witness.public_key().as_slice()].concat();
        let key = NamedKey::new("witness.example", witness.public_key(), COSIGNATURE_TYPE).unwrap();
        let key: WitnessKey = key.to_string().parse().unwrap();
        assert!(key.to_string().ends_with(&STANDARD.encode(&typed)));
        let note = checkpoint(5);
        let (text, _) = split(&note).unwrap();
        let time = 1_795_305_802_u64;
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let signature = witness.sign(message.as_bytes()).unwrap();
        let line = |time: u64| {
            let bytes = [key.0.id().as_slice(), &time.to_be_bytes(), &signature].concat();
            format!("\u{2014} witness.example {}\n", STANDARD.encode(bytes))
        };
        assert_eq!(key.cosigned(&(note.clone() + &line(time))), Ok(time));
        assert_eq!(key.cosigned(&note), Err(NoteError::Unsigned));
        let moved = note.clone() + &line(time + 1);
        assert_eq!(key.cosigned(&moved), Err(NoteError::BadSignature));
        let other = checkpoint(6) + &line(time);
        assert_eq!(key.cosigned(&other), Err(NoteError::BadSignature));
        // The log's own kind of key is none of a witness's.
        let plain = crate::VerifierKey::new("witness.example", witness.public_key()).unwrap();
        assert!(plain.to_string().parse::<WitnessKey>().is_err());
    }
}

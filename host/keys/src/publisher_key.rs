//! A key that signs what is published: statements about plugins.
//!
//! It belongs to a vendor, a certifier or an operator who signs his own plugins, lies in a file of his, and has nothing to do
//! with tenants. Its bytes go from the file into a signature and nowhere else.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pem::{EncodeConfig, LineEnding, Pem};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::random::RandomError;
use crate::secret::Key;

/// The most bytes of a key's file.
const LARGEST: u64 = 16 << 10;

/// What stands before the seed in a PKCS #8 file of an Ed25519 key (RFC 8410 §7): version 1, the algorithm, two lengths.
/// OpenSSL 3.0 takes no file of version 2, which also has the public key.
const BEFORE_SEED: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What stands before the key in a `SubjectPublicKeyInfo` of an Ed25519 key (RFC 8410 §4).
const BEFORE_PUBLIC: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// An Ed25519 key (RFC 8032) of somebody who publishes plugins. It gives its public half and signatures.
pub struct PublisherKey {
    pair: Ed25519KeyPair,
}

/// A publisher's key cannot be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherKeyError {
    /// The file cannot be read.
    #[error(
        "the key `{path}` cannot be read; correct the path, or make one with `nephron plugin keygen`"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error(
        "the key `{path}` may be read by others than its owner; `chmod 600 {path}`, and if others had access, make a new one"
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It holds no Ed25519 key.
    #[error(
        "`{path}` holds no Ed25519 key in PKCS #8 and PEM; make one with `nephron plugin keygen`, or with `openssl genpkey -algorithm ed25519`"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("`{path}` is there already, and no key is overwritten; name another file")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("the key `{path}` cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The machine gave no random bytes.
    #[error("no key can be drawn")]
    NotDrawn(#[from] RandomError),
}

impl PublisherKey {
    /// Draws a key and writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// [`PublisherKeyError::Exists`], [`PublisherKeyError::Unwritable`], [`PublisherKeyError::NotDrawn`].
    pub fn create(path: &Path) -> Result<Self, PublisherKeyError> {
        let seed = Key::draw()?;
        let mut der = Zeroizing::new(BEFORE_SEED.to_vec());
        der.extend_from_slice(seed.bytes());
        let key = Self::of(path, &der)?;
        let text = Zeroizing::new(text(PRIVATE, der.to_vec()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let path = path.to_owned();
        let written = file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        match written {
            Ok(()) => Ok(key),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(PublisherKeyError::Exists { path })
            }
            Err(source) => Err(PublisherKeyError::Unwritable { path, source }),
        }
    }

    /// Opens a key: PKCS #8 of version 1 or 2, in PEM, as this and OpenSSL write it.
    ///
    /// # Errors
    /// [`PublisherKeyError::Unreadable`], [`PublisherKeyError::Open`], [`PublisherKeyError::Malformed`].
    pub fn open(path: &Path) -> Result<Self, PublisherKeyError> {
        let unreadable = |source| PublisherKeyError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
            let path = path.to_owned();
            return Err(PublisherKeyError::Open { path });
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(LARGEST)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        let parsed = pem::parse(&*text).ok().filter(|pem| pem.tag() == PRIVATE);
        let parsed = parsed.ok_or_else(|| PublisherKeyError::Malformed {
            path: path.to_owned(),
        })?;
        let der = Zeroizing::new(parsed.into_contents());
        Self::of(path, &der)
    }

    fn of(path: &Path, der: &[u8]) -> Result<Self, PublisherKeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        let pair = pair.map_err(|_| PublisherKeyError::Malformed {
            path: path.to_owned(),
        })?;
        Ok(Self { pair })
    }

    /// Its public half, a `SubjectPublicKeyInfo` in DER (RFC 8410 §4).
    #[must_use]
    pub fn public_der(&self) -> Vec<u8> {
        [&BEFORE_PUBLIC, self.pair.public_key().as_ref()].concat()
    }

    /// The same in PEM, as others are given it.
    #[must_use]
    pub fn public_pem(&self) -> String {
        text(PUBLIC, self.public_der())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl std::fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublisherKey(..)")
    }
}

fn text(tag: &str, der: Vec<u8>) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(tag, der), lines)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::PublicKey;

    /// The file of RFC 8410 §10.3, version 1, and its public half of §10.1.
    const OF_THE_RFC: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const ITS_PUBLIC_HALF: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn put(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("key.pem");
        std::fs::write(&path, text).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
        path
    }

    #[test]
    fn the_key_of_the_rfc_is_read_and_has_its_public_half() {
        let folder = tempfile::tempdir().unwrap();
        let key = PublisherKey::open(&put(folder.path(), OF_THE_RFC, 0o600)).unwrap();
        assert_eq!(key.public_pem(), ITS_PUBLIC_HALF);
    }

    #[test]
    fn a_key_that_was_made_is_its_owners_alone_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let made = PublisherKey::create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let opened = PublisherKey::open(&path).unwrap();
        assert_eq!(opened.public_der(), made.public_der());
        let public: [u8; 32] = made.public_der().split_off(12).try_into().unwrap();
        let signature = opened.sign(b"text");
        let public = PublicKey::ed25519(public);
        assert!(public.verify(b"text", &signature).is_ok());
        assert!(public.verify(b"test", &signature).is_err());
        let again = PublisherKey::create(&path).unwrap_err();
        assert!(matches!(again, PublisherKeyError::Exists { .. }), "{again}");
    }

    #[test]
    fn what_others_may_read_is_not_used_and_what_is_no_key_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let open = PublisherKey::open(&put(folder.path(), OF_THE_RFC, 0o640)).unwrap_err();
        assert!(matches!(open, PublisherKeyError::Open { .. }), "{open}");
        for text in [
            ITS_PUBLIC_HALF,
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let none = PublisherKey::open(&put(folder.path(), text, 0o600)).unwrap_err();
            assert!(
                matches!(none, PublisherKeyError::Malformed { .. }),
                "{none}"
            );
        }
    }

    #[test]
    fn i9_a_publishers_key_prints_nothing_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let key = PublisherKey::open(&put(folder.path(), OF_THE_RFC, 0o600)).unwrap();
        assert_eq!(format!("{key:?}"), "PublisherKey(..)");
    }
}

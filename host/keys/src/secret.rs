//! Key bytes, which stay in this crate, and the two functions that turn one key into another.

use std::sync::Arc;

use hkdf::Hkdf;
use hmac::digest::FixedOutput as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::page::Page;
use crate::random::{self, RandomError};
use crate::stack::swept;

/// A 256-bit key. Its bytes cannot be had outside this crate, it prints as `Key(..)`, and its memory is overwritten
/// when it is dropped.
pub struct Key(Place);

/// Where a key's bytes are.
enum Place {
    /// On their own, for a moment.
    Boxed(Box<Zeroizing<[u8; 32]>>),
    /// Among others that are kept: a page, and a number that it has a part of.
    Kept(Arc<Page>, usize),
}

impl Key {
    pub(crate) fn draw() -> Result<Self, RandomError> {
        random::key_bytes().map(Self::boxed)
    }

    const fn boxed(bytes: Box<Zeroizing<[u8; 32]>>) -> Self {
        Self(Place::Boxed(bytes))
    }

    /// The same keys, in memory that is made for keeping them. Where none is to be had they stay where they are.
    pub(crate) fn keep<const N: usize>(keys: [Self; N]) -> [Self; N] {
        let Some(page) = Page::holding(keys.iter().map(Self::bytes)).map(Arc::new) else {
            return keys;
        };
        std::array::from_fn(|number| Self(Place::Kept(Arc::clone(&page), number)))
    }

    /// Takes the key out of a buffer that overwrites itself.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self::boxed(key))
    }

    #[expect(
        clippy::expect_used,
        reason = "`keep` gives out numbers of parts that it wrote"
    )]
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        match &self.0 {
            Place::Boxed(bytes) => bytes,
            Place::Kept(page, number) => page.part(*number).expect("a part of the page"),
        }
    }

    /// A key for one use of this one: HKDF with `info` and no salt, which a uniformly random key does not need
    /// (RFC 5869 §3.1).
    pub(crate) fn derive(&self, info: &[u8]) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        expand(None, self, info, &mut key);
        Self::boxed(key)
    }

    /// HMAC-SHA-256 (RFC 2104) over `parts`, each preceded by its length as eight big-endian bytes, so that no two
    /// lists of parts give the same input.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        swept(|| {
            let mut mac = hmac(self.bytes());
            for part in parts {
                mac.update(&(part.len() as u64).to_be_bytes());
                mac.update(part);
            }
            mac.finalize().into_bytes().into()
        })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key that only authenticates: for the host's own files, such as compiled components.
#[derive(Debug)]
pub struct MacKey(Key);

impl MacKey {
    pub(crate) const fn new(key: Key) -> Self {
        Self(key)
    }

    /// HMAC-SHA-256 (RFC 2104, FIPS 198-1) of `data`.
    #[must_use]
    pub fn mac(&self, data: &[u8]) -> [u8; 32] {
        let mut mac = hmac(self.0.bytes());
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the MAC of `data`, in time that does not depend on where they differ.
    #[must_use]
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> bool {
        self.mac(data).ct_eq(tag).into()
    }
}

/// The HMAC-SHA-256 of `data` under a key of any length, as a key.
pub(crate) fn hmac_of(key: &[u8], data: &[u8]) -> Key {
    let mut mac = hmac(key);
    mac.update(data);
    let mut derived = Box::new(Zeroizing::new([0; 32]));
    mac.finalize_into((&mut **derived).into());
    Key::boxed(derived)
}

/// HKDF-SHA-256 (RFC 5869) of `key` with `salt` and `info` into `N` bytes.
#[expect(
    clippy::expect_used,
    reason = "the length is checked when this is compiled: RFC 5869 §2.3 allows 255 blocks"
)]
pub(crate) fn expand<const N: usize>(
    salt: Option<&[u8]>,
    key: &Key,
    info: &[u8],
    okm: &mut [u8; N],
) {
    const { assert!(N <= 255 * 32) };
    swept(|| Hkdf::<Sha256>::new(salt, key.bytes()).expand(info, okm)).expect("at most 255 blocks");
}

#[expect(
    clippy::expect_used,
    reason = "RFC 2104 §2: a key of any length is a key"
)]
fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// Test case 4 of RFC 4231 §4.5, whose key is 25 bytes, and case 1 of §4.2, whose key is 20: HMAC pads a short
    /// key with zeros (RFC 2104 §2), so the padded keys give the published results.
    #[test]
    fn hmac_gives_the_published_results() {
        let check = |key: &[u8], data: &[u8], expected: &str| {
            let mut padded = [0; 32];
            padded[..key.len()].copy_from_slice(key);
            let key = MacKey(Key::from_slice(&padded).unwrap());
            assert_eq!(hex::encode(&key.mac(data)), expected);
            assert!(key.verify(data, &hex::decode(expected).unwrap()));
        };
        check(
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        let key: Vec<u8> = (1..=25).collect();
        check(
            &key,
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        );
    }

    /// Test case 1 of RFC 5869 appendix A.1, through the same crate that [`expand`] calls.
    #[test]
    fn hkdf_gives_the_published_result() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut okm = [0; 42];
        Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22])
            .expand(&info, &mut okm)
            .unwrap();
        assert_eq!(
            hex::encode(&okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    #[test]
    fn a_tag_that_is_altered_or_cut_does_not_verify() {
        let key = MacKey(Key::draw().unwrap());
        let tag = key.mac(b"data");
        assert!(key.verify(b"data", &tag));
        assert!(!key.verify(b"date", &tag));
        assert!(!key.verify(b"data", &tag[..31]));
        assert!(!key.verify(b"data", &[]));
    }

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        let key = Key::draw().unwrap();
        assert_ne!(key.mac(&[b"ab", b"c"]), key.mac(&[b"a", b"bc"]));
        assert_ne!(key.mac(&[b"ab"]), key.mac(&[b"ab", b""]));
    }

    #[test]
    fn i9_a_key_prints_no_byte_of_itself() {
        let key = Key::from_slice(&[0xab; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(format!("{:?}", MacKey(key)), "MacKey(Key(..))");
    }
}

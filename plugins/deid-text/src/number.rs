//! Digits exchanged for other digits by FF1 (NIST SP 800-38G, Rev. 1 draft 2): the same for the same number in all texts of a tenant,
//! and nobody without the key can tell which.

use aes::Aes256;
use fpe::ff1::{FF1, FlexibleNumeralString};
use nephron_sdk::Error;

/// The least digits that are a domain of a million (SP 800-38G Rev. 1, section 5.1).
const LEAST: usize = 6;
const MOST: usize = 64;

pub(crate) struct Numbers(FF1<Aes256>);

impl Numbers {
    /// `key` has 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self, Error> {
        FF1::new(key, 10)
            .map(Self)
            .map_err(|_| Error::Unavailable("the key's code has another length".to_owned()))
    }

    /// The value with other digits, if there are enough. Other characters stay. The kind is the tweak.
    pub(crate) fn instead(&self, kind: &str, value: &str) -> Option<String> {
        let digits: Vec<u16> = value
            .chars()
            .filter_map(|c| c.to_digit(10).and_then(|digit| u16::try_from(digit).ok()))
            .collect();
        if !(LEAST..=MOST).contains(&digits.len()) {
            return None;
        }
        let numeral = FlexibleNumeralString::from(digits);
        let other: Vec<u16> = self.0.encrypt(kind.as_bytes(), &numeral).ok()?.into();
        let mut other = other.into_iter();
        let each = value.chars().map(|c| match c.is_ascii_digit() {
            true => char::from_digit(u32::from(other.next()?), 10),
            false => Some(c),
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_other_digits_that_the_key_alone_leads_back_from() {
        let numbers = Numbers::new(&[7; 32]).unwrap();
        let other = numbers.instead("mrn", "MRN 483-920-17").unwrap();
        assert!(
            other.starts_with("MRN ") && other.len() == "MRN 483-920-17".len(),
            "{other}"
        );
        assert_ne!(other, "MRN 483-920-17");
        assert_ne!(numbers.instead("account", "MRN 483-920-17").unwrap(), other);
        let digits: Vec<u16> = other
            .chars()
            .filter_map(|c| c.to_digit(10))
            .map(|digit| u16::try_from(digit).unwrap())
            .collect();
        let numeral = FlexibleNumeralString::from(digits);
        let back: Vec<u16> = numbers.0.decrypt(b"mrn", &numeral).unwrap().into();
        assert_eq!(back, [4, 8, 3, 9, 2, 0, 1, 7]);
        assert_eq!(numbers.instead("mrn", "48392"), None);
    }

    /// The samples of NIST for FF1 with AES-256.
    #[test]
    fn it_is_ff1() {
        let key: Vec<u8> = (0..32)
            .map(|at| {
                [
                    0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09,
                    0xCF, 0x4F, 0x3C, 0xEF, 0x43, 0x59, 0xD8, 0xD5, 0x80, 0xAA, 0x4F, 0x7F, 0x03,
                    0x6D, 0x6F, 0x04, 0xFC, 0x6A, 0x94,
                ][at]
            })
            .collect();
        let numbers = Numbers::new(&key).unwrap();
        for (tweak, other) in [(&b""[..], "6657667009"), (b"9876543210", "1001623463")] {
            let tweak = std::str::from_utf8(tweak).unwrap();
            assert_eq!(numbers.instead(tweak, "0123456789").unwrap(), other);
        }
    }
}

//! Public keys of others, by which what they signed is known: no secret, and nothing here can sign.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

/// An algorithm that a signature is checked by, as RFC 7518 §3.1 and RFC 8037 §3.1 name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 to 8192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each, or their ASN.1.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A key, of one algorithm and no other.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed (SEC 1 §2.3.3).
    P256([u8; 65]),
    /// The same, whose signatures are written in ASN.1.
    P256Asn1([u8; 65]),
    Ed25519([u8; 32]),
}

/// Not signed by the holder of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not by this key")]
pub struct BadSignature;

impl PublicKey {
    /// An RSA key: modulus and exponent, big-endian. One that is too small or too large verifies nothing.
    #[must_use]
    pub const fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Self {
        Self(Form::Rsa { modulus, exponent })
    }

    /// A point of P-256. One that is not on the curve verifies nothing.
    #[must_use]
    pub fn p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let mut point = [4; 65];
        for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
            *to = *from;
        }
        Self(Form::P256(point))
    }

    /// A point of P-256, uncompressed (SEC 1 §2.3.3), whose signatures are written in ASN.1 (RFC 3279 §2.2.3), as OpenSSL and
    /// cosign write them.
    #[must_use]
    pub const fn p256_asn1(point: [u8; 65]) -> Self {
        Self(Form::P256Asn1(point))
    }

    /// An Ed25519 key.
    #[must_use]
    pub const fn ed25519(key: [u8; 32]) -> Self {
        Self(Form::Ed25519(key))
    }

    /// The one algorithm that it is for.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        match self.0 {
            Form::Rsa { .. } => SignatureAlgorithm::Rs256,
            Form::P256(_) | Form::P256Asn1(_) => SignatureAlgorithm::Es256,
            Form::Ed25519(_) => SignatureAlgorithm::EdDsa,
        }
    }

    /// Checks that this key signed `message`.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let verified = match &self.0 {
            Form::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Form::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Form::P256Asn1(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Form::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.map_err(|_| BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        text.as_bytes().chunks(2).map(byte).collect()
    }

    #[test]
    fn ed25519_verifies_the_second_example_of_rfc_8032() {
        // RFC 8032 §7.1, test 2.
        let key = unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let key = PublicKey::ed25519(key.try_into().unwrap());
        let signature = unhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(key.verify(&[0x72], &signature), Ok(()));
        assert_eq!(key.verify(&[0x73], &signature), Err(BadSignature));
        assert_eq!(key.verify(&[0x72], &signature[1..]), Err(BadSignature));
    }

    #[test]
    fn p256_verifies_the_example_of_rfc_7515() {
        // RFC 7515 appendix A.3: an ES256 signature over its signing input.
        let [x, y] = [
            [
                127, 205, 206, 39, 112, 246, 196, 93, 65, 131, 203, 238, 111, 219, 75, 123, 88, 7,
                51, 53, 123, 233, 239, 19, 186, 207, 110, 60, 123, 209, 84, 69,
            ],
            [
                199, 241, 68, 205, 27, 189, 155, 126, 135, 44, 223, 237, 185, 238, 185, 244, 179,
                105, 93, 110, 169, 11, 36, 173, 138, 70, 35, 40, 133, 136, 229, 173,
            ],
        ];
        let signature = [
            14, 209, 33, 83, 121, 99, 108, 72, 60, 47, 127, 21, 88, 7, 212, 2, 163, 178, 40, 3, 58,
            249, 124, 126, 23, 129, 154, 195, 22, 158, 166, 101, 197, 10, 7, 211, 140, 60, 112,
            229, 216, 241, 45, 175, 8, 74, 84, 128, 166, 101, 144, 197, 242, 147, 80, 154, 143, 63,
            127, 138, 131, 163, 84, 213,
        ];
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = PublicKey::p256(&x, &y);
        assert_eq!(key.verify(message, &signature), Ok(()));
        assert_eq!(key.verify(b"another", &signature), Err(BadSignature));
        assert_eq!(
            PublicKey::p256(&y, &x).verify(message, &signature),
            Err(BadSignature)
        );
    }

    #[test]
    fn an_rsa_key_that_is_too_small_verifies_nothing() {
        let key = PublicKey::rsa(vec![0xff; 128], vec![1, 0, 1]);
        assert_eq!(key.verify(b"text", &[0; 128]), Err(BadSignature));
        assert_eq!(key.algorithm(), SignatureAlgorithm::Rs256);
    }
}

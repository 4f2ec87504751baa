//! A provider's signing key: what a connector's requests are signed under, in place of a key of the tenant's.

use nephron_model::{Phi, Timestamp};
use zeroize::Zeroizing;

use crate::secret::{Key, hmac_of};

/// A key that signs requests to one region and service of AWS on one day (Signature Version 4), derived from an access key's
/// secret, which it does not give back. A grant that carries one authenticates under it and does nothing else.
#[derive(Debug)]
pub struct SigningKey {
    key: Key,
    id: String,
}

impl SigningKey {
    /// Derives the key for the day of `at`, in UTC (AWS IAM User Guide, "Create a signed AWS API request", step 4).
    #[must_use]
    pub fn aws(
        access_key_id: &str,
        secret: &Phi<String>,
        at: Timestamp,
        region: &str,
        service: &str,
    ) -> Self {
        let mut day = at.to_string();
        day.truncate("2026-11-22".len());
        day.retain(|c| c != '-');
        let mut first = Zeroizing::new(Vec::with_capacity(secret.expose().len() + 4));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.expose().as_bytes());
        let mut key = hmac_of(&first, day.as_bytes());
        for part in [region, service, "aws4_request"] {
            key = hmac_of(key.bytes(), part.as_bytes());
        }
        Self {
            key,
            id: format!("{access_key_id}/{day}/{region}/{service}/aws4_request"),
        }
    }

    /// The credential and its scope, as the header `authorization` names them. Not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn mac(&self, data: &[u8]) -> [u8; 32] {
        *hmac_of(self.key.bytes(), data).bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// The example of the AWS General Reference, "Deriving the signing key", and its test suite's `get-vanilla`.
    #[test]
    fn the_derived_key_gives_the_published_results() {
        let secret = Phi::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let at = |text: &str| text.parse().unwrap();
        let key = SigningKey::aws(
            "AKIDEXAMPLE",
            &secret,
            at("2015-08-30T12:36:00Z"),
            "us-east-1",
            "iam",
        );
        assert_eq!(
            hex::encode(key.key.bytes()),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
        assert_eq!(key.id(), "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request");
        let key = SigningKey::aws(
            "AKIDEXAMPLE",
            &secret,
            at("2015-08-30T23:59:59Z"),
            "us-east-1",
            "service",
        );
        let to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n\
                       bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63";
        assert_eq!(
            hex::encode(&key.mac(to_sign.as_bytes())),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn i9_a_signing_key_prints_no_byte_of_itself() {
        let secret = Phi::new("canary".to_owned());
        let at = "2026-11-22T00:00:00Z".parse().unwrap();
        let key = SigningKey::aws("AKIDEXAMPLE", &secret, at, "r", "s");
        assert_eq!(
            format!("{key:?}"),
            "SigningKey { key: Key(..), id: \"AKIDEXAMPLE/20261122/r/s/aws4_request\" }"
        );
    }
}

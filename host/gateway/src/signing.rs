//! What a plugin signs with a key that it is lent: the key, and what is held against the signature.

use nephron_engine::contract::HttpRequest;
use nephron_engine::{Answer, PluginFailure, Verdict};
use nephron_keys::SigningKey;
use nephron_model::Timestamp;

use crate::config::AwsSigV4;
use crate::egress::EgressError;

/// The key of that day, to be lent for one use.
///
/// # Errors
/// [`EgressError::Credential`] when the secret cannot be read.
pub(crate) fn key(access: &AwsSigV4, at: Timestamp) -> Result<SigningKey, EgressError> {
    let secret = access.secret.resolve();
    let secret = secret.map_err(|_| EgressError::Credential)?;
    let (id, region, service) = (&access.access_key_id, &access.region, &access.service);
    Ok(SigningKey::aws(id, &secret, at, region, service))
}

/// The request as it was signed, under that access key and no other.
///
/// # Errors
/// The plugin's failure.
pub(crate) fn signed(verdict: Verdict, access: &AwsSigV4) -> Result<HttpRequest, PluginFailure> {
    let signed = verdict.answer.and_then(Answer::signed)?;
    if is_signed_by(&access.access_key_id, &signed) {
        Ok(signed)
    } else {
        Err(PluginFailure::BadAnswer("signed-with-another-key"))
    }
}

/// Whether a request is signed under the access key `id` and under nothing else: with a key of a connector's own the text
/// would go under somebody else's account.
fn is_signed_by(id: &str, signed: &HttpRequest) -> bool {
    let scope = format!("Credential={id}/");
    let is_ours = signed.headers.iter().any(|(name, value)| {
        name == "authorization"
            && value.matches("Credential=").count() == 1
            && value.contains(&scope)
    });
    // SigV4 can stand in the query, too.
    is_ours && !signed.path.to_ascii_lowercase().contains("x-amz-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_with_another_key_is_not_ours() {
        let signed = |headers: &[(&str, &str)], path: &str| HttpRequest {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: Vec::new(),
            credential: None,
        };
        let ours =
            "AWS4-HMAC-SHA256 Credential=AKIDOURS/20261122/eu-central-1/bedrock/aws4_request";
        let both = format!("{ours}, Credential=AKIDTHEIRS/20261122");
        for (name, value, path, expected) in [
            ("authorization", ours, "/model/m/converse", true),
            (
                "authorization",
                "AWS4 Credential=AKIDTHEIRS/20261122",
                "/",
                false,
            ),
            (
                "authorization",
                "AWS4 Credential=AKIDOURSTOO/20261122",
                "/",
                false,
            ),
            ("authorization", &both, "/", false),
            (
                "authorization",
                ours,
                "/?X-Amz-Credential=AKIDTHEIRS",
                false,
            ),
            ("x-amz-date", ours, "/", false),
        ] {
            let request = signed(&[(name, value)], path);
            assert_eq!(
                is_signed_by("AKIDOURS", &request),
                expected,
                "{name} {value} {path}"
            );
        }
    }
}

//! Key-encryption keys in AWS KMS, over its JSON 1.1 protocol with requests signed by Signature Version 4.
//!
//! Each is a symmetric customer managed key that KMS made. Tenant, use and version are the encryption context, which KMS
//! authenticates and CloudTrail shows. KMS destroys no key at once: it is unusable from the moment its deletion is
//! scheduled, and until the day that KMS answers an administrator can cancel that.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::{Clock, Phi};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::wire::{Exchange, ReadSecret, Secret, WireRequest, said, unlike};
use crate::hex;
use crate::root::{Bound, RootError, RootProvider, gone};
use crate::secret::Key;
use crate::signing::SigningKey;

/// AWS KMS in one region, by one access key.
pub struct AwsKms {
    /// Sends the requests.
    pub exchange: Arc<dyn Exchange>,
    /// What signatures are dated by.
    pub clock: Arc<dyn Clock>,
    /// The region.
    pub region: String,
    /// The access key's id. Not secret.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret: ReadSecret,
    /// The session token that goes with a temporary access key.
    pub session_token: Option<ReadSecret>,
}

const NAME: &str = "aws-kms";
/// Days until KMS deletes a key: the fewest that it lets one ask for.
const WINDOW: u32 = 7;

impl AwsKms {
    fn call(
        &self,
        what: &'static str,
        action: &str,
        body: &Phi<Vec<u8>>,
    ) -> Result<Answer, Refused> {
        let other = |why| Refused::Other(refused(what, why));
        let request = self.signed(action, body).map_err(other)?;
        let answer = self.exchange.exchange(request).map_err(other)?;
        if answer.status == 200 {
            return answer.json(NAME, what).map_err(Refused::Other);
        }
        let fault: Fault = answer.json(NAME, what).map_err(Refused::Other)?;
        let code = fault.kind.rsplit('#').next().unwrap_or_default().to_owned();
        let is_pending = fault.message.contains("pending deletion");
        Err(match code.as_str() {
            "NotFoundException" => Refused::Gone,
            "KMSInvalidStateException" if is_pending => Refused::Gone,
            "InvalidCiphertextException" | "IncorrectKeyException" => Refused::NotAuthentic,
            _ => other(format!("{}: {}", said(&code), said(&fault.message))),
        })
    }

    /// The request, with its signature (AWS IAM User Guide, "Create a signed AWS API request").
    fn signed(&self, action: &str, body: &Phi<Vec<u8>>) -> Result<WireRequest, String> {
        let now = self.clock.now();
        let mut date = now.to_string();
        date.truncate("2026-11-22T00:03:22".len());
        date.retain(|c| c != '-' && c != ':');
        date.push('Z');
        let digest = hex::encode(&Sha256::digest(body.expose()));
        let session_token = match &self.session_token {
            Some(read) => Some(read()?),
            None => None,
        };
        let mut headers = vec![
            (
                "content-type",
                Phi::new("application/x-amz-json-1.1".to_owned()),
            ),
            ("x-amz-content-sha256", Phi::new(digest.clone())),
            ("x-amz-date", Phi::new(date.clone())),
        ];
        if let Some(token) = session_token {
            headers.push(("x-amz-security-token", token));
        }
        headers.push(("x-amz-target", Phi::new(format!("TrentService.{action}"))));

        let host = Phi::new(self.exchange.authority().to_owned());
        let mut named: Vec<_> = headers.iter().map(|(name, value)| (*name, value)).collect();
        named.push(("host", &host));
        named.sort_unstable_by_key(|(name, _)| *name);
        let names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical = Zeroizing::new(String::from("POST\n/\n\n"));
        for (name, value) in named {
            for piece in [name, ":", value.expose(), "\n"] {
                canonical.push_str(piece);
            }
        }
        for piece in ["\n", names.as_str(), "\n", digest.as_str()] {
            canonical.push_str(piece);
        }
        let key = SigningKey::aws(
            &self.access_key_id,
            &(self.secret)()?,
            now,
            &self.region,
            "kms",
        );
        let credential = key.id();
        let scope = credential.split_once('/').map_or("", |(_, scope)| scope);
        let canonical = hex::encode(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
        let signature = hex::encode(&key.mac(to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        );
        headers.push(("authorization", Phi::new(authorization)));
        Ok(WireRequest {
            method: "POST",
            path: "/".to_owned(),
            headers,
            body: body.clone(),
        })
    }
}

impl RootProvider for AwsKms {
    fn name(&self) -> &'static str {
        NAME
    }

    fn make(&self, label: &str) -> Result<String, RootError> {
        let what = "make a key";
        let tag = json!({ "TagKey": "nephron", "TagValue": label });
        let asked = json!({
            "Description": label,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "Tags": [tag],
        });
        let made = self.call(what, "CreateKey", &plain(&asked));
        let made = made.map_err(|why| why.about(label))?;
        let key = made.metadata.ok_or_else(|| unlike(NAME, what))?;
        Ok(key.id)
    }

    fn wrap(&self, kek: &str, key: &Key, bound: &Bound<'_>) -> Result<Vec<u8>, RootError> {
        let what = "wrap a key";
        let plaintext = Zeroizing::new(STANDARD.encode(key.bytes()));
        let body = asked(kek, ("Plaintext", &plaintext), bound);
        let sealed = self.call(what, "Encrypt", &body);
        let sealed = sealed.map_err(|why| why.about(kek))?;
        let sealed = sealed.ciphertext.ok_or_else(|| unlike(NAME, what))?;
        STANDARD.decode(sealed).map_err(|_| unlike(NAME, what))
    }

    fn unwrap(&self, kek: &str, wrapped: &[u8], bound: &Bound<'_>) -> Result<Key, RootError> {
        let what = "open a wrapped key";
        let body = asked(kek, ("CiphertextBlob", &STANDARD.encode(wrapped)), bound);
        let opened = self.call(what, "Decrypt", &body);
        let opened = opened.map_err(|why| why.about(kek))?;
        let opened = opened.plaintext.ok_or_else(|| unlike(NAME, what))?;
        super::wire::key_of(&opened).ok_or_else(|| unlike(NAME, what))
    }

    fn destroy(&self, kek: &str) -> Result<String, RootError> {
        let what = "destroy a key";
        let asked = json!({ "KeyId": kek, "PendingWindowInDays": WINDOW });
        let answer = self.call(what, "ScheduleKeyDeletion", &plain(&asked));
        let answer = answer.map_err(|why| why.about(kek))?;
        // Seconds since the epoch, as AWS writes times in JSON.
        let on = answer.deletion.map(|at| at.to_string());
        Ok(format!(
            "ScheduleKeyDeletion gave 200: of no use from now on, deleted in {WINDOW} days (DeletionDate {}), until when it can be \
             cancelled in AWS",
            on.as_deref().unwrap_or("not given")
        ))
    }
}

/// Why KMS did not do it.
enum Refused {
    Gone,
    NotAuthentic,
    Other(RootError),
}

impl Refused {
    fn about(self, kek: &str) -> RootError {
        match self {
            Self::Gone => gone(NAME, kek),
            Self::NotAuthentic => RootError::NotAuthentic,
            Self::Other(error) => error,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(rename = "KeyMetadata")]
    metadata: Option<Metadata>,
    #[serde(rename = "CiphertextBlob")]
    ciphertext: Option<String>,
    plaintext: Option<Secret>,
    #[serde(rename = "DeletionDate")]
    deletion: Option<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "KeyId")]
    id: String,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// A request about a wrapped key. The encryption context is written in a fixed order; to KMS it has none.
fn asked(kek: &str, (name, text): (&str, &str), bound: &Bound<'_>) -> Phi<Vec<u8>> {
    let context: serde_json::Map<String, Value> = bound
        .names()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect();
    let context = Value::Object(context).to_string();
    let asked = super::wire::object(&[("KeyId", kek), (name, text)]);
    let whole = asked.expose();
    // Its last brace goes to the end. The size is final, so that no copy of a key is left behind.
    let open = whole.strip_suffix(b"}").unwrap_or(whole);
    let mut body = Vec::with_capacity(whole.len() + context.len() + 32);
    for piece in [open, b",\"EncryptionContext\":", context.as_bytes(), b"}"] {
        body.extend_from_slice(piece);
    }
    Phi::new(body)
}

fn plain(asked: &Value) -> Phi<Vec<u8>> {
    Phi::new(asked.to_string().into_bytes())
}

fn refused(what: &'static str, why: String) -> RootError {
    crate::root::refused(NAME, what, why)
}

#[cfg(test)]
mod tests;

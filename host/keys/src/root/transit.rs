//! Key-encryption keys in the transit engine of HashiCorp Vault or OpenBao, over its HTTP API.
//!
//! Each is a key of type `aes256-gcm96`, which is not exportable. Where a wrapped key belongs is the associated data. To
//! destroy one, deletion is allowed for it and it is deleted, and asked for once more.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::Phi;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::wire::{Exchange, ReadSecret, Secret, WireAnswer, WireRequest, object, said, unlike};
use crate::root::{Bound, RootError, RootProvider, gone};
use crate::secret::Key;

/// A transit engine.
pub struct Transit {
    /// Sends the requests.
    pub exchange: Arc<dyn Exchange>,
    /// The token that stands for us.
    pub token: ReadSecret,
    /// Where the engine is mounted, such as `transit`.
    pub mount: String,
    /// The namespace, where there are such.
    pub namespace: Option<String>,
}

const NAME: &str = "vault-transit";

impl Transit {
    fn call(
        &self,
        what: &'static str,
        method: &'static str,
        path: &str,
        body: Phi<Vec<u8>>,
    ) -> Result<WireAnswer, RootError> {
        let refused = |why| refused(what, why);
        let token = (self.token)().map_err(refused)?;
        let mut headers = vec![
            ("content-type", Phi::new("application/json".to_owned())),
            ("x-vault-request", Phi::new("true".to_owned())),
            ("x-vault-token", token),
        ];
        if let Some(namespace) = &self.namespace {
            headers.push(("x-vault-namespace", Phi::new(namespace.clone())));
        }
        let request = WireRequest {
            method,
            path: format!("/v1/{}/{path}", self.mount),
            headers,
            body,
        };
        self.exchange.exchange(request).map_err(refused)
    }

    /// The answer to a call about the key `kek`, if it is a good one.
    fn about(
        &self,
        what: &'static str,
        path: &str,
        kek: &str,
        members: &[(&str, &str)],
    ) -> Result<WireAnswer, RootError> {
        let answer = self.call(what, "POST", &format!("{path}/{kek}"), object(members))?;
        good(answer, what, kek)
    }
}

impl RootProvider for Transit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn make(&self, label: &str) -> Result<String, RootError> {
        let kind = [("type", "aes256-gcm96")];
        self.about("make a key", "keys", label, &kind)?;
        Ok(label.to_owned())
    }

    fn wrap(&self, kek: &str, key: &Key, bound: &Bound<'_>) -> Result<Vec<u8>, RootError> {
        let what = "wrap a key";
        // Where the token may create keys, `encrypt` makes one that is missing: a new key in the place of a lost one.
        let known = self.call(what, "GET", &format!("keys/{kek}"), Phi::default())?;
        good(known, what, kek)?;
        let plaintext = Zeroizing::new(STANDARD.encode(key.bytes()));
        let bound = STANDARD.encode(bound.data());
        let members = [
            ("plaintext", plaintext.as_str()),
            ("associated_data", &bound),
        ];
        let answer = self.about(what, "encrypt", kek, &members)?;
        let sealed: Whole = answer.json(NAME, what)?;
        let sealed = sealed.data.ciphertext.ok_or_else(|| unlike(NAME, what))?;
        Ok(sealed.into_bytes())
    }

    fn unwrap(&self, kek: &str, wrapped: &[u8], bound: &Bound<'_>) -> Result<Key, RootError> {
        let what = "open a wrapped key";
        let sealed = std::str::from_utf8(wrapped).map_err(|_| RootError::NotAuthentic)?;
        let bound = STANDARD.encode(bound.data());
        let members = [("ciphertext", sealed), ("associated_data", bound.as_str())];
        let answer = self.about(what, "decrypt", kek, &members)?;
        let opened: Whole = answer.json(NAME, what)?;
        let opened = opened.data.plaintext.ok_or_else(|| unlike(NAME, what))?;
        super::wire::key_of(&opened).ok_or_else(|| unlike(NAME, what))
    }

    fn destroy(&self, kek: &str) -> Result<String, RootError> {
        let what = "destroy a key";
        let path = format!("keys/{kek}");
        let allow = Phi::new(br#"{"deletion_allowed":true}"#.to_vec());
        let allowed = self.call(what, "POST", &format!("{path}/config"), allow)?;
        good(allowed, what, kek)?;
        let deleted = self.call(what, "DELETE", &path, Phi::default())?;
        let deleted = good(deleted, what, kek)?;
        let looked = self.call(what, "GET", &path, Phi::default())?;
        if looked.status != 404 {
            let why = format!(
                "after DELETE the key is still answered, with {}",
                looked.status
            );
            return Err(refused(what, why));
        }
        Ok(format!("DELETE gave {}, and GET gives 404", deleted.status))
    }
}

#[derive(Deserialize)]
struct Whole {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<Secret>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    errors: Vec<String>,
}

/// The answer, if it is a good one; else what it means.
fn good(answer: WireAnswer, what: &'static str, kek: &str) -> Result<WireAnswer, RootError> {
    if matches!(answer.status, 200 | 204) {
        return Ok(answer);
    }
    let fault: Result<Fault, _> = answer.json(NAME, what);
    let errors = fault.map(|fault| fault.errors).unwrap_or_default();
    let says = |text: &str| errors.iter().any(|error| error.contains(text));
    // With a reason it is another thing that was not found, such as the engine.
    let is_missing = answer.status == 404 && errors.is_empty();
    if is_missing || says("encryption key not found") || says("no existing key named") {
        return Err(gone(NAME, kek));
    }
    if says("message authentication failed") || says("invalid ciphertext") {
        return Err(RootError::NotAuthentic);
    }
    let status = answer.status;
    Err(refused(
        what,
        format!("it answered {status}: {}", said(&errors.join("; "))),
    ))
}

fn refused(what: &'static str, why: String) -> RootError {
    crate::root::refused(NAME, what, why)
}

#[cfg(test)]
mod tests;

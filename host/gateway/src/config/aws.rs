//! `aws-sigv4` at an endpoint, an export or an anchor: the access key under which a plugin's requests are signed.

use super::reader::{Table, Value};
use super::secret::SecretRef;

/// An access key of AWS, and what it signs for. The host derives a key for the day from it and lends that to the plugin;
/// no plugin sees either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// The access key's id. Not secret: each request names it.
    pub access_key_id: String,
    /// Where the access key's secret is.
    pub secret: SecretRef,
    /// Where the session token is that goes with a temporary access key.
    pub session_token: Option<SecretRef>,
    /// The region that the endpoint is in.
    pub region: String,
    /// The service, as signatures name it.
    pub service: String,
}

/// An access key of AWS and the region that it is used in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id. Not secret: each request names it.
    pub id: String,
    /// Where its secret is.
    pub secret: SecretRef,
    /// Where the session token is that goes with a temporary one.
    pub session_token: Option<SecretRef>,
    /// The region.
    pub region: String,
}

impl AccessKey {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let id = table
            .required("access-key-id", "access-key-id = \"AKIA…\"")
            .and_then(|value| {
                value.text_that("must be 16 to 128 of `A-Z`, `0-9` and `_`", |text| {
                    let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
                    (16..=128).contains(&text.len()) && text.bytes().all(known)
                })
            });
        let secret = table.required("secret", "secret = { environment = \"NAME\" }");
        let secret = secret.and_then(|value| SecretRef::read(&value));
        let session_token = match table.value("session-token") {
            Some(value) => SecretRef::read(&value).map(Some),
            None => Some(None),
        };
        let region = table.required("region", "region = \"eu-central-1\"");
        let region = region.and_then(|value| scope(&value));
        Some(Self {
            id: id?,
            secret: secret?,
            session_token: session_token?,
            region: region?,
        })
    }
}

impl AwsSigV4 {
    /// What signs for `service`, unless the configuration names another.
    pub(super) fn read(table: &mut Table<'_>, service: &str) -> Option<Self> {
        let key = AccessKey::read(table);
        let service = match table.value("service") {
            Some(value) => scope(&value),
            None => Some(service.to_owned()),
        };
        let key = key?;
        Some(Self {
            access_key_id: key.id,
            secret: key.secret,
            session_token: key.session_token,
            region: key.region,
            service: service?,
        })
    }
}

/// A region or a service. A `/` would make another scope of it.
fn scope(value: &Value<'_>) -> Option<String> {
    value.text_that("must be 1 to 64 of `a-z`, `0-9` and `-`", |text| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=64).contains(&text.len()) && text.bytes().all(known)
    })
}

//! `[listen]` and `[[api-key]]`: where clients connect, what a connection may have, and who they are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use nephron_keys::ApiKeyDigest;
use nephron_model::{Purpose, TenantId, Timestamp};

use super::reader::{Table, Value};
use super::route::refuse_second;
use crate::wire::fields::is_structural;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes any that is free.
    pub address: SocketAddr,
    /// The certificate to show; without one the address is of this machine alone, or plain text was allowed.
    pub tls: Option<Tls>,
    /// Connections at the same time.
    pub connections: usize,
    /// Requests of one tenant at the same time; more are told to come back (429).
    pub requests_per_tenant: usize,
    /// Requests of one caller in a second, and as many at once after a pause; more are told when to come back (429).
    pub requests_per_second: NonZeroU32,
    /// For the head of a request, the handshake of TLS, and a connection on which nothing is asked.
    pub head_time: Duration,
    /// From the first byte of a body to its last; and for a client that stops reading its answer.
    pub body_time: Duration,
    /// For requests in flight when the process is told to stop.
    pub drain_time: Duration,
}

/// Certificate and key, in PEM (RFC 7468). Read again when the files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the host's own certificate first.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, SEC 1 or PKCS #1).
    pub key: PathBuf,
    /// Whether clients that know no TLS 1.3 may use 1.2.
    pub allows_1_2: bool,
}

/// A key by which a client is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What the log calls it.
    pub id: String,
    /// SHA-256 of the key's text; the key itself stands nowhere.
    pub digest: ApiKeyDigest,
    /// Whose requests these are.
    pub tenant: TenantId,
    /// The person or system that holds it, never a shared account.
    pub caller: String,
    /// In the words of the operator's policy.
    pub roles: Vec<String>,
    /// HL7 v3 PurposeOfUse codes; the first holds where a request names none.
    pub purposes: Vec<Purpose>,
    /// The first moment at which it is no longer taken, in UTC.
    pub expires: Timestamp,
}

impl Listen {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let written = table.required("address", "address = \"127.0.0.1:8443\"");
        let address = written.as_ref().and_then(address);
        let tls = table.value("tls");
        let has_tls = tls.is_some();
        let tls = tls.and_then(|value| value.table(Tls::read)).flatten();
        let is_plain_allowed = table.flag("plaintext-http-unsafe");
        if let (Some(value), Some(address)) = (&written, address)
            && !has_tls
            && !is_plain_allowed
            && !address.ip().is_loopback()
        {
            value.fault(
                "is reached from other machines, and without `[listen.tls]` anyone on the way can read what is sent; \
                 add it (`nephron pki init` makes a certificate for trying out), or listen on 127.0.0.1",
            );
        }
        let second = Duration::from_secs(1);
        let up_to_an_hour = second..=Duration::from_secs(3600);
        let connections = table.count("connections", 1..=100_000, 1_024);
        let requests = table.count("requests-per-tenant", 1..=10_000, 64);
        let rate = table.count("requests-per-second-per-caller", 1..=1_000_000, 100);
        let head_time = table.duration("head-time", up_to_an_hour.clone(), Duration::from_secs(10));
        let body_time = table.duration("body-time", up_to_an_hour.clone(), Duration::from_secs(30));
        let drain_time = table.duration("drain-time", up_to_an_hour, Duration::from_secs(30));
        Some(Self {
            address: address?,
            tls: match has_tls {
                true => Some(tls?),
                false => None,
            },
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            requests_per_tenant: usize::try_from(requests).unwrap_or(usize::MAX),
            requests_per_second: u32::try_from(rate)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN),
            head_time,
            body_time,
            drain_time,
        })
    }
}

/// An address and a port.
pub(super) fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let rule = "must be an IP address and a port, such as \"127.0.0.1:8443\" or \"[::1]:8443\"";
    let text = value.text_that(rule, |text| text.parse::<SocketAddr>().is_ok())?;
    text.parse().ok()
}

impl Tls {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let certificate = table.required("certificate", "certificate = \"pki/server.pem\"");
        let certificate = certificate.and_then(|value| value.path());
        let key = table.required("key", "key = \"pki/server.key\"");
        let key = key.and_then(|value| value.path());
        let allows_1_2 = table.flag("allow-tls-1-2");
        Some(Self {
            certificate: certificate?,
            key: key?,
            allows_1_2,
        })
    }
}

impl ApiKey {
    pub(super) fn read(
        table: &mut Table<'_>,
        tenants: &[TenantId],
        ids: &mut BTreeMap<String, usize>,
        digests: &mut BTreeMap<String, usize>,
    ) -> Option<Self> {
        const NAMES: &str = "must be letters, digits and `._:/-@`";
        let written = table.required("id", "id = \"ward-app\"");
        let id = written.as_ref().and_then(Value::name);
        if let (Some(value), Some(id)) = (&written, &id) {
            refuse_second(value, "id", id, ids);
        }
        let written = table.required(
            "digest",
            "digest = \"sha256:…\"` (`nephron api-key new` prints it) `",
        );
        let digest: Option<ApiKeyDigest> = written.as_ref().and_then(Value::parsed);
        if let (Some(value), Some(digest)) = (&written, &digest) {
            refuse_second(value, "digest", &digest.to_string(), digests);
        }
        let tenant = table.required("tenant", "tenant = \"st-marys\"");
        let tenant = tenant.and_then(|value| {
            let tenant: TenantId = value.parsed()?;
            if !tenants.contains(&tenant) && !value.reader().is_unread() {
                value.fault("names no `[[tenant]]` of this file");
                return None;
            }
            Some(tenant)
        });
        let caller = table.required("caller", "caller = \"dr.okafor\"");
        let caller =
            caller.and_then(|value| value.text_that(NAMES, |text| is_structural(text, 200)));
        let roles = table.required("roles", "roles = [\"physician\"]");
        let roles = roles.and_then(|value| {
            words(&value, |value| {
                value.text_that(NAMES, |text| is_structural(text, 64))
            })
        });
        let purposes = table.required("purposes", "purposes = [\"TREAT\"]");
        let purposes = purposes.and_then(|value| words(&value, Value::parsed));
        let expires = table.required("expires", "expires = 2027-01-01");
        let expires = expires.and_then(|value| value.date());
        Some(Self {
            id: id?,
            digest: digest?,
            tenant: tenant?,
            caller: caller?,
            roles: roles?,
            purposes: purposes?,
            expires: expires?,
        })
    }
}

/// A list of at least one and at most 32.
fn words<'a, T>(value: &Value<'a>, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    let values = value.array("a list of texts")?;
    if !(1..=32).contains(&values.len()) {
        value.fault("must name 1 to 32");
        return None;
    }
    values.iter().map(read).collect()
}

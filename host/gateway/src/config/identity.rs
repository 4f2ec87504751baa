//! `[[api-key]]` and `[[client-certificate]]`: who the clients are. `[[oidc]]`, for those whom others know, is in `oidc.rs`.

use std::collections::BTreeMap;

use nephron_keys::ApiKeyDigest;
use nephron_model::{Digest, Purpose, TenantId, Timestamp};

use super::reader::{Table, Value};
use super::route::refuse_second;
use crate::wire::fields::is_structural;

/// Whose requests come with a credential, and what they may be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose requests these are.
    pub tenant: TenantId,
    /// The person or system that holds it, never a shared account.
    pub caller: String,
    /// In the words of the operator's policy.
    pub roles: Vec<String>,
    /// HL7 v3 PurposeOfUse codes; the first holds where a request names none.
    pub purposes: Vec<Purpose>,
    /// The first moment at which the credential is no longer taken, in UTC.
    pub expires: Timestamp,
}

/// A key by which a client is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What the log calls it.
    pub id: String,
    /// SHA-256 of the key's text; the key itself stands nowhere.
    pub digest: ApiKeyDigest,
    /// Who holds it.
    pub holder: Holder,
}

/// A certificate by which a client is known, if an authority of `[listen.tls]` issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// What the log calls it.
    pub id: String,
    /// What must stand in it.
    pub mark: Mark,
    /// Whether its key cannot be used without a second factor, as on a smart card with its PIN.
    pub is_multi_factor: bool,
    /// Who holds it.
    pub holder: Holder,
}

/// By what a certificate is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// SHA-256 of its public key (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7): this key and no other.
    Key(Digest),
    /// A URI among its names, such as a SPIFFE id: whichever key the authority gave that name to.
    Uri(String),
    /// A DNS name among its names.
    Dns(String),
}

/// What the tables of this file have in common.
#[derive(Default)]
pub(super) struct Seen {
    ids: BTreeMap<String, usize>,
    pub(super) marks: BTreeMap<String, usize>,
}

impl ApiKey {
    pub(super) fn read(
        table: &mut Table<'_>,
        tenants: &[TenantId],
        seen: &mut Seen,
    ) -> Option<Self> {
        let id = id(table, "id = \"ward-app\"", seen);
        let written = table.required(
            "digest",
            "digest = \"sha256:…\"` (`nephron api-key new` prints it) `",
        );
        let digest: Option<ApiKeyDigest> = written.as_ref().and_then(Value::parsed);
        if let (Some(value), Some(digest)) = (&written, &digest) {
            refuse_second(value, "digest", &digest.to_string(), &mut seen.marks);
        }
        let holder = Holder::read(table, tenants);
        Some(Self {
            id: id?,
            digest: digest?,
            holder: holder?,
        })
    }
}

impl ClientCertificate {
    pub(super) fn read(
        table: &mut Table<'_>,
        tenants: &[TenantId],
        seen: &mut Seen,
    ) -> Option<Self> {
        let id = id(table, "id = \"ward-app-host\"", seen);
        let mark = read_mark(table, &mut seen.marks);
        let is_multi_factor = table.flag("multi-factor");
        let holder = Holder::read(table, tenants);
        Some(Self {
            id: id?,
            mark: mark?,
            is_multi_factor,
            holder: holder?,
        })
    }
}

/// By which of its marks a certificate is known.
pub(super) fn read_mark(table: &mut Table<'_>, seen: &mut BTreeMap<String, usize>) -> Option<Mark> {
    const NAME: &str = "must be 1 to 200 visible characters of ASCII";
    let name = |value: &Value<'_>| {
        let is_name = |text: &str| {
            (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        value.text_that(NAME, is_name)
    };
    let (key, uri, dns) = (table.value("key"), table.value("uri"), table.value("dns"));
    let mark = match (&key, &uri, &dns) {
        (Some(value), None, None) => value.parsed().map(Mark::Key),
        (None, Some(value), None) => name(value).map(Mark::Uri),
        (None, None, Some(value)) => name(value).map(|n| Mark::Dns(n.to_ascii_lowercase())),
        (None, None, None) => {
            table.missing("key", "key = \"sha256:…\"`, `uri = \"…\"` or `dns = \"…\"");
            None
        }
        (_, Some(value), _) | (_, _, Some(value)) => {
            value.fault("stands beside another mark; a certificate is known by one of `key`, `uri` and `dns`: remove the others");
            None
        }
    };
    let written = [&key, &uri, &dns].into_iter().flatten().next();
    if let (Some(value), Some(mark)) = (written, &mark) {
        refuse_second(value, "mark", mark.text().as_str(), seen);
    }
    mark
}

impl Mark {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Key(digest) => digest.to_string(),
            Self::Uri(name) | Self::Dns(name) => name.clone(),
        }
    }
}

/// What may stand in the words of these tables.
const NAMES: &str = "must be letters, digits and `._:/-@`";

impl Holder {
    fn read(table: &mut Table<'_>, tenants: &[TenantId]) -> Option<Self> {
        let tenant = table.required("tenant", "tenant = \"st-marys\"");
        let tenant = tenant.and_then(|value| known_tenant(&value, tenants));
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
            tenant: tenant?,
            caller: caller?,
            roles: roles?,
            purposes: purposes?,
            expires: expires?,
        })
    }
}

pub(super) fn id(table: &mut Table<'_>, example: &str, seen: &mut Seen) -> Option<String> {
    let written = table.required("id", example);
    let id = written.as_ref().and_then(Value::name);
    if let (Some(value), Some(id)) = (&written, &id) {
        refuse_second(value, "id", id, &mut seen.ids);
    }
    id
}

pub(super) fn known_tenant(value: &Value<'_>, tenants: &[TenantId]) -> Option<TenantId> {
    let tenant: TenantId = value.parsed()?;
    if !tenants.contains(&tenant) && !value.reader().is_unread() {
        value.fault("names no `[[tenant]]` of this file");
        return None;
    }
    Some(tenant)
}

/// A list of at least one and at most 32.
pub(super) fn words<'a, T>(
    value: &Value<'a>,
    read: impl Fn(&Value<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let values = value.array("a list of texts")?;
    if !(1..=32).contains(&values.len()) {
        value.fault("must name 1 to 32");
        return None;
    }
    values.iter().map(read).collect()
}

//! `[[oidc]]`: who vouches for callers with signed tokens, and what is made of what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nephron_keys::SignatureAlgorithm;
use nephron_model::{Purpose, TenantId};

use super::endpoint::plain_text;
use super::identity::{self, Seen, known_tenant, words};
use super::reader::{Table, Value};
use super::route::refuse_second;
use super::url::BaseUrl;
use crate::address::is_public;

/// A provider of OpenID Connect whose access tokens (JWT, RFC 9068) are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// What the log calls it.
    pub id: String,
    /// Exactly as its tokens and its discovery document say it.
    pub issuer: String,
    /// One of these must be a token's audience.
    pub audiences: Vec<String>,
    /// Those that it may sign by.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Roots of its TLS certificate, in PEM; without it those of the web.
    pub authority: Option<PathBuf>,
    /// Whether its names may resolve to addresses that are not public.
    pub allows_private: bool,
    /// By how much its clock may differ from ours.
    pub leeway: Duration,
    /// The longest time since a token was issued.
    pub max_age: Duration,
    /// How often its keys are fetched.
    pub refresh: Duration,
    /// How long its keys are used when they cannot be fetched.
    pub stale: Duration,
    /// The claim that names the caller.
    pub caller_claim: Vec<String>,
    /// What stands before it, so that two providers do not name two people alike.
    pub caller_prefix: String,
    /// The claim that lists roles.
    pub roles_claim: Vec<String>,
    /// Whose the requests are.
    pub tenant: TenantOf,
    /// Purposes that every caller has, the usual one first.
    pub purposes: Vec<Purpose>,
    /// Purposes that a role brings.
    pub role_purposes: BTreeMap<String, Vec<Purpose>>,
    /// Methods (`amr`, RFC 8176) of which one says that more than one factor was used.
    pub mfa_amr: Vec<String>,
    /// Classes (`acr`) that say the same.
    pub mfa_acr: Vec<String>,
    /// Whether a token is good for one request.
    pub is_one_use: bool,
    /// Whether a token must be bound to the certificate of the connection (RFC 8705).
    pub is_certificate_bound: bool,
}

/// Whose a token's requests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantOf {
    /// Always this one's.
    Fixed(TenantId),
    /// That of whom the claim names, if it is among these.
    Claim {
        /// The claim.
        claim: Vec<String>,
        /// Tenants for whom the provider may speak.
        among: Vec<TenantId>,
    },
}

const ALGORITHMS: [(&str, SignatureAlgorithm); 3] = [
    ("RS256", SignatureAlgorithm::Rs256),
    ("ES256", SignatureAlgorithm::Es256),
    ("EdDSA", SignatureAlgorithm::EdDsa),
];

impl Oidc {
    pub(super) fn read(
        table: &mut Table<'_>,
        tenants: &[TenantId],
        seen: &mut Seen,
        callers: &mut BTreeMap<String, usize>,
        holders: &[TenantId],
    ) -> Option<Self> {
        let id = identity::id(table, "id = \"hospital\"", seen);
        let allows_private = table.flag("private-addresses");
        let issuer = table.required("issuer", "issuer = \"https://login.hospital.example\"");
        let is_loopback = issuer
            .as_ref()
            .and_then(|value| server(value, allows_private));
        let text = issuer.as_ref().and_then(Value::text).map(str::to_owned);
        if let (Some(value), Some(text)) = (&issuer, &text) {
            refuse_second(value, "issuer", text, &mut seen.marks);
        }
        let audiences = table.required("audiences", "audiences = [\"https://nephron.example\"]");
        let audiences = audiences.and_then(|value| words(&value, plain_text));
        let algorithms = match table.value("algorithms") {
            Some(value) => words(&value, |value| value.choice(&ALGORITHMS)),
            None => Some(ALGORITHMS.map(|(_, algorithm)| algorithm).to_vec()),
        };
        let authority = table.value("ca").map(|value| value.path());
        let second = Duration::from_secs(1);
        let (minute, hour) = (second * 60, second * 3600);
        let leeway = table.duration("leeway", Duration::from_millis(1)..=5 * minute, 30 * second);
        let max_age = table.duration("max-age", second..=24 * 30 * hour, 24 * hour);
        let refresh = table.duration("refresh", 10 * second..=24 * hour, 15 * minute);
        let stale = table.duration("stale", second..=24 * 7 * hour, 12 * hour);
        let caller_claim = claim(table, "caller-claim", "sub");
        let written = table.value("caller-prefix");
        let has_prefix = written.is_some();
        let caller_prefix = match written {
            Some(value) => value
                .text_that("must be up to 60 letters, digits and `._:/-@`", |text| {
                    text.is_empty() || crate::wire::fields::is_structural(text, 60)
                }),
            None => Some(String::new()),
        };
        let roles_claim = claim(table, "roles-claim", "roles");
        let tenant = TenantOf::read(table, tenants);
        if let (Some(value), Some(prefix), Some(tenant)) = (&issuer, &caller_prefix, &tenant) {
            for tenant in tenant.all() {
                let line = value.reader().line(value.at());
                // A prefix within another's would let one provider give a name of the other's.
                let ours = format!("{tenant} {prefix}");
                let alike = |(theirs, _): &(&String, &usize)| {
                    theirs.starts_with(&ours) || ours.starts_with(theirs.as_str())
                };
                let first = callers.iter().find(alike).map(|(_, line)| *line);
                callers.insert(ours, line);
                if !has_prefix && holders.contains(tenant) {
                    value.fault(format_args!(
                        "names callers of `{tenant}`, as API keys or certificates of this file do, and one name may be two people's; \
                         give it a `caller-prefix`, or write `caller-prefix = \"\"` if one name is one caller"
                    ));
                }
                if let Some(first) = first {
                    value.fault(format_args!(
                        "and the provider of line {first} name callers of `{tenant}` alike, and one name may be two people's; \
                         give each its `caller-prefix`"
                    ));
                }
            }
        }
        let purposes = match table.value("purposes") {
            Some(value) => words(&value, Value::parsed),
            None => Some(Vec::new()),
        };
        let role_purposes = table.section("role-purposes", |table| {
            let entries = table.entries();
            let entries = entries
                .into_iter()
                .filter_map(|(role, value)| Some((role.to_owned(), words(&value, Value::parsed)?)));
            entries.collect::<BTreeMap<_, _>>()
        });
        if purposes.as_ref().is_some_and(Vec::is_empty)
            && role_purposes.as_ref().is_some_and(BTreeMap::is_empty)
        {
            table.missing("purposes", "purposes = [\"TREAT\"]");
        }
        let listed = |table: &mut Table<'_>, key, usual: &[&str]| match table.value(key) {
            Some(value) => words(&value, plain_text),
            None => Some(usual.iter().copied().map(str::to_owned).collect()),
        };
        let mfa_amr = listed(table, "mfa-amr", &["mfa"]);
        let mfa_acr = listed(table, "mfa-acr", &[]);
        let is_one_use = table.flag("one-use");
        let is_certificate_bound = table.flag("certificate-bound");
        Some(Self {
            id: id?,
            issuer: text?,
            audiences: audiences?,
            algorithms: algorithms?,
            authority: match authority {
                Some(path) => Some(path?),
                None => None,
            },
            allows_private: allows_private || is_loopback?,
            leeway,
            max_age,
            refresh,
            stale,
            caller_claim: caller_claim?,
            caller_prefix: caller_prefix?,
            roles_claim: roles_claim?,
            tenant: tenant?,
            purposes: purposes?,
            role_purposes: role_purposes?,
            mfa_amr: mfa_amr?,
            mfa_acr: mfa_acr?,
            is_one_use,
            is_certificate_bound,
        })
    }
}

/// Whether a provider's server is this machine. It is reached by TLS otherwise, and at public addresses or with leave.
fn server(value: &Value<'_>, allows_private: bool) -> Option<bool> {
    let base: BaseUrl = value.parsed()?;
    if !(base.is_https() || base.is_loopback()) {
        value.fault("would fetch keys unencrypted from another machine, and believe whoever answers; use `https://`");
    }
    let is_private = |address| !(is_public(address) || base.is_loopback() || allows_private);
    if base.address().is_some_and(is_private) {
        value.fault(
            "is an address of a private network; if it is meant, set `private-addresses = true`",
        );
    }
    Some(base.is_loopback())
}

/// A claim by its name, or by the names that lead to it.
fn claim(table: &mut Table<'_>, key: &'static str, usual: &str) -> Option<Vec<String>> {
    match table.value(key) {
        None => Some(vec![usual.to_owned()]),
        Some(value) if value.is_text() => plain_text(&value).map(|name| vec![name]),
        Some(value) => words(&value, plain_text),
    }
}

impl TenantOf {
    fn read(table: &mut Table<'_>, tenants: &[TenantId]) -> Option<Self> {
        let fixed = table.value("tenant");
        let named = table.value("tenant-claim").is_some();
        let among = table.value("tenants");
        match (fixed, named) {
            (Some(value), true) => {
                value.fault("stands beside `tenant-claim`; a token's tenant comes from one of the two: remove the other");
                None
            }
            (Some(value), false) => known_tenant(&value, tenants).map(Self::Fixed),
            (None, true) => {
                let Some(among) = among else {
                    table.missing("tenants", "tenants = [\"st-marys\"]");
                    return None;
                };
                Some(Self::Claim {
                    claim: claim(table, "tenant-claim", "")?,
                    among: words(&among, |value| known_tenant(value, tenants))?,
                })
            }
            (None, false) => {
                table.missing("tenant", "tenant = \"st-marys\"");
                None
            }
        }
    }

    fn all(&self) -> &[TenantId] {
        match self {
            Self::Fixed(tenant) => std::slice::from_ref(tenant),
            Self::Claim { among, .. } => among,
        }
    }
}

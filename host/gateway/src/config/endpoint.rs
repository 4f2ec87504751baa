//! `[[associate]]` and `[[endpoint]]`: who answers, under which agreement, and where.

use std::time::Duration;

use nephron_model::Timestamp;

use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::secret::SecretRef;
use super::url::BaseUrl;
use crate::address::is_public;

/// A business associate (45 CFR 160.103), or whoever else runs endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associate {
    /// Its name, as endpoints, policies and the log write it.
    pub name: String,
    /// The agreement with it, if there is one.
    pub agreement: Option<Agreement>,
}

/// A business associate agreement (45 CFR 164.504(e)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The operator's id for the document.
    pub id: String,
    /// Names of the endpoints that it covers.
    pub services: Vec<String>,
    /// The first moment of its first day, in UTC.
    pub from: Timestamp,
    /// The first moment at which it is over, in UTC.
    pub until: Timestamp,
}

/// Somewhere that answers: a server behind a connector, or a connector that answers inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, as routes, agreements, policies and the log write it.
    pub name: String,
    /// Name of the plugin, of kind connector, that speaks to it.
    pub connector: String,
    /// Where it is; without one the connector answers inside the sandbox and nothing leaves.
    pub url: Option<BaseUrl>,
    /// Name of the associate who runs it; there is one exactly if there is a URL.
    pub associate: Option<String>,
    /// What the host attaches to each request, if anything.
    pub credential: Option<Credential>,
    /// For one exchange with it, from dialling to the last byte.
    pub timeout: Duration,
    /// Whether it may be in a private network, or on this machine: its name may resolve to any address.
    pub allows_private: bool,
}

/// A credential, which the host attaches as a header and no plugin sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name by which a connector asks for it.
    pub name: String,
    /// The header's name in lower case.
    pub header: String,
    /// What stands before the secret in the header's value.
    pub prefix: String,
    /// Where the secret is.
    pub secret: SecretRef,
}

/// What the readers of this file look names up in.
pub(super) struct Known<'a, 'n> {
    pub(super) plugins: &'n Names<'a>,
    pub(super) associates: &'n Names<'a>,
    pub(super) endpoints: &'n Names<'a>,
}

impl Associate {
    pub(super) fn read<'a>(table: &mut Table<'a>, known: &Known<'a, '_>) -> Option<Self> {
        let name = table
            .required("name", "name = \"example-ai\"")
            .and_then(|value| value.name());
        let agreement = table.value("agreement");
        let agreement = agreement
            .and_then(|value| value.table(|table| Agreement::read(table, name.as_deref(), known)))
            .flatten();
        Some(Self {
            name: name?,
            agreement,
        })
    }
}

impl Agreement {
    fn read<'a>(
        table: &mut Table<'a>,
        associate: Option<&str>,
        known: &Known<'a, '_>,
    ) -> Option<Self> {
        let id = table
            .required("id", "id = \"BAA-2026-014\"")
            .and_then(|value| plain_text(&value));
        let services = table.required("services", "services = [\"name of an endpoint\"]");
        let services = services.and_then(|value| value.array("a list of names of endpoints"));
        let services: Vec<String> = services
            .iter()
            .flatten()
            .filter_map(|service| {
                let endpoint = known.endpoints.find_unused(service)?;
                if let (Some(associate), Some(other)) = (associate, endpoint.peek("associate"))
                    && associate != other
                {
                    service.fault(format_args!(
                        "names endpoint `{}`, which `{other}` runs: an agreement covers its own associate's endpoints",
                        endpoint.name
                    ));
                }
                Some(endpoint.name.to_owned())
            })
            .collect();
        let from = table
            .required("from", "from = 2026-01-01")
            .and_then(|value| value.date());
        let until = table.required("until", "until = 2027-01-01");
        let last = until.as_ref().and_then(Value::date);
        if let (Some(value), Some(from), Some(until)) = (until, from, last)
            && until <= from
        {
            value.fault(
                "must be later than `from`: it is the first day on which the agreement is over",
            );
        }
        Some(Self {
            id: id?,
            services,
            from: from?,
            until: last?,
        })
    }
}

impl Endpoint {
    pub(super) fn read<'a>(table: &mut Table<'a>, known: &Known<'a, '_>) -> Option<Self> {
        let name = table
            .required("name", "name = \"local\"")
            .and_then(|value| value.name());
        let connector = table.required("connector", "connector = \"name of a plugin\"");
        let connector =
            connector.and_then(|value| of_kind(&value, known.plugins, &[PluginKind::Connector]));
        let url = table.value("url");
        let associate = table.value("associate");
        let credential = table.value("credential");
        if url.is_some() {
            if associate.is_none() {
                table.missing("associate", "associate = \"name of who runs it\"");
            }
        } else {
            for value in [&associate, &credential].into_iter().flatten() {
                value.fault("stands at an endpoint without `url`, whose connector answers inside the sandbox; add `url`, or remove it");
            }
        }
        let allows_plaintext = table.flag("plaintext-http-unsafe");
        let mut allows_private = table.flag("private-addresses");
        let timeout = table.duration(
            "timeout",
            Duration::from_millis(1)..=Duration::from_secs(3600),
            Duration::from_secs(60),
        );
        let base: Option<BaseUrl> = url.as_ref().and_then(Value::parsed);
        if let (Some(value), Some(base)) = (&url, &base)
            && !(base.is_https() || base.is_loopback() || allows_plaintext)
        {
            value.fault("would send requests unencrypted to another machine; use `https://`, or set `plaintext-http-unsafe = true`");
        }
        if let (Some(value), Some(base)) = (&url, &base) {
            // An address that stands here is the operator's word, but for one that no endpoint has.
            match base.address() {
                Some(address) if address.is_loopback() || is_public(address) => {}
                Some(_) if !allows_private => value.fault(
                    "is an address of a private network or of no endpoint at all; if it is meant, set `private-addresses = true`",
                ),
                Some(_) | None => {}
            }
            allows_private |= base.is_loopback();
        }
        let associate = associate
            .and_then(|value| known.associates.find(&value))
            .map(|found| found.name.to_owned());
        let credential = credential
            .and_then(|value| value.table(Credential::read))
            .flatten();
        Some(Self {
            name: name?,
            connector: connector?,
            url: base,
            associate,
            credential,
            timeout,
            allows_private,
        })
    }
}

impl Credential {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let rule = "must be 1 to 64 of letters, digits, `.`, `_` and `-`";
        let name = table.required("name", "name = \"example-ai\"");
        let name = name.and_then(|value| {
            value.text_that(rule, |text| {
                (1..=64).contains(&text.len())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            })
        });
        let header = match table.value("header") {
            Some(value) => value.text_that(
                "must be a header's name in lower case that is not one of those the host sets itself, such as `host`",
                is_header,
            ),
            None => Some("authorization".to_owned()),
        };
        let prefix = match table.value("prefix") {
            Some(value) => value.text_that("must be visible ASCII and spaces", |text| {
                text.bytes()
                    .all(|byte| byte.is_ascii_graphic() || byte == b' ')
            }),
            None => Some("Bearer ".to_owned()),
        };
        let secret = table.required("secret", "secret = { environment = \"NAME\" }");
        let secret = secret.and_then(|value| SecretRef::read(&value));
        Some(Self {
            name: name?,
            header: header?,
            prefix: prefix?,
            secret: secret?,
        })
    }
}

/// RFC 9110 §5.1 token in lower case, without what belongs to the connection or its framing (§7.6.1, RFC 9112 §6).
fn is_header(name: &str) -> bool {
    const OURS: [&str; 10] = [
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !name.is_empty()
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b)
        })
        && !OURS.contains(&name)
}

/// The name of a plugin that must be of one of these kinds.
pub(super) fn of_kind<'a>(
    value: &Value<'a>,
    plugins: &Names<'a>,
    kinds: &[PluginKind],
) -> Option<String> {
    let found = plugins.find(value)?;
    if let Some(kind) = found.peek("kind").and_then(PluginKind::of_word)
        && !kinds.contains(&kind)
    {
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        value.fault(format_args!(
            "names plugin `{}` of kind {}; name one of kind {}",
            found.name,
            kind.as_str(),
            wanted.join(" or ")
        ));
        return None;
    }
    Some(found.name.to_owned())
}

/// Free text on one line: an agreement's id, a model's name.
pub(super) fn plain_text(value: &Value<'_>) -> Option<String> {
    value.text_that(
        "must be 1 to 200 characters without control characters",
        |text| (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control),
    )
}

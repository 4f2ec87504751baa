//! `[[endpoint]]`: who answers, and where.

use std::path::PathBuf;
use std::time::Duration;

use super::associate::{Known, region};
use super::aws::AwsSigV4;
use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::secret::SecretRef;
use super::url::BaseUrl;
use crate::address::is_public;

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
    /// Whether it may get what nothing here can search, such as images: under an agreement, and never without.
    pub may_see_phi: bool,
    /// Where it works: an ISO 3166 code, or the operator's own word.
    pub region: Option<String>,
    /// What the host attaches to each request, if anything.
    pub credential: Option<Credential>,
    /// Under which access key each request is signed, if any.
    pub aws_sigv4: Option<AwsSigV4>,
    /// For one exchange with it, from dialling to the last byte.
    pub timeout: Duration,
    /// How often it is asked again when it cannot be reached, or says that it cannot serve now.
    pub retries: u64,
    /// Whom it is believed by, and what it is shown.
    pub tls: UpstreamTls,
    /// Whether it may be in a private network, or on this machine: its name may resolve to any address.
    pub allows_private: bool,
}

/// How TLS is spoken to an endpoint. Files are PEM (RFC 7468), and read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Authorities that are believed in place of the web's.
    pub authorities: Option<PathBuf>,
    /// The chain that is shown to an endpoint that asks who we are, our own first, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether an endpoint that knows no TLS 1.3 may be spoken to in 1.2.
    pub allows_1_2: bool,
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
        let place = table.value("region");
        let credential = table.value("credential");
        let aws_sigv4 = table.value("aws-sigv4");
        let tls = table.value("tls");
        let may_see_phi = table.flag("may-see-phi");
        if url.is_none() && may_see_phi {
            table.fault("has `may-see-phi` and no `url`: its connector answers inside the sandbox, where no bytes of images, audio or files get to; add `url`, or remove it");
        }
        if url.is_some() {
            if associate.is_none() {
                table.missing("associate", "associate = \"name of who runs it\"");
            }
        } else {
            for value in [&associate, &place, &credential, &aws_sigv4, &tls]
                .into_iter()
                .flatten()
            {
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
        let retries = table.count("retries", 0..=3, 0);
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
        if let Some(value) = &aws_sigv4 {
            if credential.is_some() {
                value.fault("cannot stand beside `credential`: a request is signed or names a key; remove one of the two");
            }
            if base.as_ref().is_some_and(|base| !base.path().is_empty()) {
                value.fault("needs a `url` without a path: what the connector signs is the whole path; remove it from `url`");
            }
        }
        let aws_sigv4 = aws_sigv4
            .and_then(|value| value.table(AwsSigV4::read))
            .flatten();
        if let (Some(value), Some(base)) = (&tls, &base)
            && !base.is_https()
        {
            value.fault(
                "stands at an endpoint that is reached by `http://`; use `https://`, or remove it",
            );
        }
        let tls = match tls {
            Some(value) => value.table(UpstreamTls::read).flatten(),
            None => Some(UpstreamTls::default()),
        };
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
            may_see_phi,
            region: place.as_ref().and_then(region),
            credential,
            aws_sigv4,
            timeout,
            retries,
            tls: tls?,
            allows_private,
        })
    }
}

impl UpstreamTls {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let authorities = table.value("ca").map(|value| value.path());
        let certificate = table.value("certificate");
        let key = table.value("key");
        if certificate.is_some() && key.is_none() {
            table.missing("key", "key = \"pki/gateway.key\"");
        }
        if key.is_some() && certificate.is_none() {
            table.missing("certificate", "certificate = \"pki/gateway.pem\"");
        }
        let identity = certificate.zip(key);
        let allows_1_2 = table.flag("allow-tls-1-2");
        Some(Self {
            authorities: match authorities {
                Some(path) => Some(path?),
                None => None,
            },
            identity: match identity {
                Some((certificate, key)) => certificate.path().zip(key.path()).map(Some)?,
                None => None,
            },
            allows_1_2,
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

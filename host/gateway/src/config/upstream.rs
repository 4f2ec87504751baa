//! What the host dials: where it is, what it is shown, and how long it may take. An endpoint has one, and so has an export.

use std::path::PathBuf;
use std::time::Duration;

use super::aws::AwsSigV4;
use super::reader::{Table, Value};
use super::secret::SecretRef;
use super::url::BaseUrl;
use crate::address::is_public;

/// A server that the host dials, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name of what it serves: an endpoint's, or an export's.
    pub name: String,
    /// Where it is.
    pub url: BaseUrl,
    /// What the host attaches to each request, if anything.
    pub credential: Option<Credential>,
    /// Under which access key each request is signed, if any.
    pub aws_sigv4: Option<AwsSigV4>,
    /// For which it may be silent: from dialling to the head of its answer, and before each piece of it.
    pub timeout: Duration,
    /// For one exchange with it, from dialling to the last byte.
    pub answer_time: Duration,
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

/// The keys that say how a server is reached, wherever its address stands.
pub(super) struct Reach<'a> {
    credential: Option<Value<'a>>,
    aws_sigv4: Option<Value<'a>>,
    tls: Option<Value<'a>>,
    allows_plaintext: bool,
    allows_private: bool,
    timeout: Duration,
    answer_time: Option<Duration>,
}

impl<'a> Reach<'a> {
    pub(super) fn read(table: &mut Table<'a>) -> Self {
        Self {
            credential: table.value("credential"),
            aws_sigv4: table.value("aws-sigv4"),
            tls: table.value("tls"),
            allows_plaintext: table.flag("plaintext-http-unsafe"),
            allows_private: table.flag("private-addresses"),
            timeout: table.duration(
                "timeout",
                Duration::from_millis(1)..=Duration::from_secs(3600),
                Duration::from_secs(60),
            ),
            answer_time: None,
        }
    }

    /// The same of a server whose answers may take longer than it may be silent: those of models come as they are thought of.
    pub(super) fn read_answering(table: &mut Table<'a>) -> Self {
        let answer_time = table.duration(
            "answer-time",
            Duration::from_millis(1)..=Duration::from_secs(3600),
            Duration::from_secs(900),
        );
        Self {
            answer_time: Some(answer_time),
            ..Self::read(table)
        }
    }

    /// What makes sense only where something is dialled.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value<'a>> {
        [&self.credential, &self.aws_sigv4, &self.tls]
            .into_iter()
            .flatten()
    }

    /// What makes sense only where the requests have headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = &Value<'a>> {
        [&self.credential, &self.aws_sigv4].into_iter().flatten()
    }

    /// Whether an address may be one that is not public.
    pub(super) const fn allows_private(&self) -> bool {
        self.allows_private
    }

    /// The server at `url`. What is signed for it is signed for `service`, unless the configuration names another.
    pub(super) fn upstream(
        self,
        name: Option<String>,
        url: &Value<'_>,
        service: &str,
    ) -> Option<Upstream> {
        let base = url.parsed();
        self.at(name, url, base, service)
    }

    /// The same where the value holds more than a URL, of which `base` was made.
    pub(super) fn at(
        self,
        name: Option<String>,
        url: &Value<'_>,
        base: Option<BaseUrl>,
        service: &str,
    ) -> Option<Upstream> {
        let mut allows_private = self.allows_private;
        if let Some(base) = &base {
            if !(base.is_https() || base.is_loopback() || self.allows_plaintext) {
                url.fault("would send requests unencrypted to another machine; use `https://`, or set `plaintext-http-unsafe = true`");
            }
            // An address that stands here is the operator's word, but for one that no endpoint has.
            match base.address() {
                Some(address) if address.is_loopback() || is_public(address) => {}
                Some(_) if !allows_private => url.fault(
                    "is an address of a private network or of no endpoint at all; if it is meant, set `private-addresses = true`",
                ),
                Some(_) | None => {}
            }
            allows_private |= base.is_loopback();
        }
        if let Some(value) = &self.aws_sigv4 {
            if self.credential.is_some() {
                value.fault("cannot stand beside `credential`: a request is signed or names a key; remove one of the two");
            }
            if base.as_ref().is_some_and(|base| !base.path().is_empty()) {
                value.fault("needs a `url` without a path: what the plugin signs is the whole path; remove it from `url`");
            }
        }
        if let (Some(value), Some(base)) = (&self.tls, &base)
            && !base.is_https()
        {
            value.fault(
                "stands at an endpoint that is reached by `http://`; use `https://`, or remove it",
            );
        }
        let aws_sigv4 = self
            .aws_sigv4
            .and_then(|value| value.table(|table| AwsSigV4::read(table, service)))
            .flatten();
        let tls = match self.tls {
            Some(value) => value.table(UpstreamTls::read).flatten(),
            None => Some(UpstreamTls::default()),
        };
        let credential = self
            .credential
            .and_then(|value| value.table(Credential::read))
            .flatten();
        Some(Upstream {
            name: name?,
            url: base?,
            credential,
            aws_sigv4,
            timeout: self.timeout,
            answer_time: self.answer_time.unwrap_or(self.timeout),
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

//! `[[registry]]`: how `nephron plugin pull` and `push` reach a registry of components.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::Table;
use super::route::refuse_second;
use super::secret::SecretRef;

/// An OCI registry that is not reached as anybody reaches it. What serves reaches none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its host, with the port if references have one.
    pub host: String,
    /// Authorities that are believed in place of the system's, in PEM.
    pub authorities: Option<PathBuf>,
    /// A user's name and password.
    pub credentials: Option<(String, SecretRef)>,
    /// HTTP without TLS. A digest holds what is fetched all the same; a password is there to be read.
    pub plain_http: bool,
}

impl Registry {
    pub(super) fn read(table: &mut Table<'_>, hosts: &mut BTreeMap<String, usize>) -> Option<Self> {
        const HOST: &str = "must be a host as references have it, with its port if they have one, such as \"registry.example:5000\"";
        let written = table.required("host", "host = \"registry.example:5000\"");
        let host = written
            .as_ref()
            .and_then(|value| value.text_that(HOST, is_host));
        if let (Some(value), Some(host)) = (&written, &host) {
            refuse_second(value, "host", host, hosts);
        }
        let authorities = table.value("ca").and_then(|value| value.path());
        let (user, password) = (table.value("user"), table.value("password"));
        let credentials = match (&user, &password) {
            (Some(user), Some(password)) => {
                Some((user.text()?.to_owned(), SecretRef::read(password)?))
            }
            (Some(alone), None) | (None, Some(alone)) => {
                alone.fault("needs the other of `user` and `password` beside it");
                None
            }
            (None, None) => None,
        };
        Some(Self {
            host: host?,
            authorities,
            credentials,
            plain_http: table.flag("plaintext-http-unsafe"),
        })
    }
}

fn is_host(text: &str) -> bool {
    let is_of_host =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !text.is_empty() && text.chars().all(is_of_host)
}

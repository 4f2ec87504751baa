//! `[admin]`: from where operators change what serves, when they are not on this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::identity::{Mark, read_mark, words};
use super::listen::Tls;
use super::reader::{Table, Value};
use super::route::refuse_second;

/// The listener for operators' commands. TLS 1.3, and a certificate for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; port 0 takes any that is free.
    pub address: SocketAddr,
    /// What it shows, and whose certificates it asks for.
    pub tls: Tls,
    /// Whether what widens must be staged and activated here: a name on the socket is what somebody says.
    pub widens_by_certificate_only: bool,
    /// Who may ask, at least one.
    pub operators: Vec<Operator>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// As entries name him: what he does is his, whatever name his command gives.
    pub name: String,
    /// By what his certificate is known.
    pub mark: Mark,
    /// What he may do.
    pub roles: Vec<OperatorRole>,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperatorRole {
    /// See how everything stands.
    Look,
    /// Make candidates ready, and have them asked beside what serves.
    Stage,
    /// Let them serve, some callers or all, and what served before again; let go of either.
    Activate,
    /// Run judgements again.
    Audit,
    /// Mint, list and end grants.
    Grant,
}

impl OperatorRole {
    pub(crate) const WORDS: [(&'static str, Self); 5] = [
        ("look", Self::Look),
        ("stage", Self::Stage),
        ("activate", Self::Activate),
        ("audit", Self::Audit),
        ("grant", Self::Grant),
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Stage => "stage",
            Self::Activate => "activate",
            Self::Audit => "audit",
            Self::Grant => "grant",
        }
    }
}

impl Admin {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let address = table.required("address", "address = \"127.0.0.1:8445\"");
        let address = address.as_ref().and_then(super::listen::address);
        let written = table.required("tls", "[admin.tls]");
        let tls = written.as_ref();
        let tls = tls.and_then(|value| value.table(Tls::read)).flatten();
        if let (Some(value), Some(tls)) = (&written, &tls) {
            if tls
                .clients
                .as_ref()
                .is_none_or(|clients| !clients.are_required)
            {
                value.fault(
                    "lets in who shows no certificate; add `client-ca`, and leave `client-certificates` as it is, `required`",
                );
            }
            if tls.allows_1_2 {
                value.fault(
                    "allows TLS 1.2, which no command of ours needs; remove `allow-tls-1-2`",
                );
            }
        }
        let widens_by_certificate_only = table.flag("widen-by-certificate-only");
        let (mut names, mut marks) = (BTreeMap::new(), BTreeMap::new());
        let operators = table.some("operator", |table| {
            Operator::read(table, &mut names, &mut marks)
        });
        Some(Self {
            address: address?,
            tls: tls?,
            widens_by_certificate_only,
            operators,
        })
    }
}

impl Operator {
    fn read(
        table: &mut Table<'_>,
        names: &mut BTreeMap<String, usize>,
        marks: &mut BTreeMap<String, usize>,
    ) -> Option<Self> {
        const NAME: &str = "must be 1 to 100 characters without parentheses";
        let written = table.required("name", "name = \"Dana Reyes\"");
        let name = written.as_ref().and_then(|value| {
            value.text_that(NAME, |text| {
                let plain = |c: char| !c.is_control() && !matches!(c, '(' | ')');
                let is_trimmed = text.trim() == text && !text.is_empty();
                is_trimmed && text.chars().count() <= 100 && text.chars().all(plain)
            })
        });
        if let (Some(value), Some(name)) = (&written, &name) {
            // Two names are two persons.
            refuse_second(value, "name", &name.to_lowercase(), names);
        }
        let mark = read_mark(table, marks);
        let roles = table.required("roles", "roles = [\"look\", \"stage\"]");
        let roles = roles.and_then(|value| {
            words(&value, |value: &Value<'_>| {
                value.choice(&OperatorRole::WORDS)
            })
        });
        Some(Self {
            name: name?,
            mark: mark?,
            roles: roles?,
        })
    }
}

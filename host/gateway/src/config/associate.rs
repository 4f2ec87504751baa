//! `[[associate]]`: who runs endpoints, under which agreement, and who stands behind them.

use std::collections::BTreeSet;
use std::time::Duration;

use nephron_model::{Digest, Timestamp};

use super::endpoint::plain_text;
use super::names::Names;
use super::reader::{Table, Value};

/// A business associate (45 CFR 160.103), or whoever else runs endpoints or works for someone who does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associate {
    /// Its name, as endpoints, policies and the log write it.
    pub name: String,
    /// What it is in the words of 45 CFR 160.103.
    pub role: Role,
    /// The agreement with it, if there is one.
    pub agreement: Option<Agreement>,
    /// Names of those to whom it passes on what it is sent, each an associate itself.
    pub subprocessors: Vec<String>,
    /// Regions in which it keeps what it is sent.
    pub residency: Vec<String>,
    /// Day of its last SOC 2 report.
    pub soc2_report: Option<Timestamp>,
}

/// What an associate is, in the words of 45 CFR 160.103.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does something for a covered entity that takes protected health information.
    BusinessAssociate,
    /// It does so for a business associate, to whom it is one itself.
    Subcontractor,
    /// It is a covered entity.
    CoveredEntity,
    /// It is none of these, and sees no protected health information.
    None,
}

impl Role {
    const WORDS: [(&str, Self); 4] = [
        ("business-associate", Self::BusinessAssociate),
        ("subcontractor", Self::Subcontractor),
        ("covered-entity", Self::CoveredEntity),
        ("none", Self::None),
    ];

    /// Its name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BusinessAssociate => "business associate",
            Self::Subcontractor => "subcontractor",
            Self::CoveredEntity => "covered entity",
            Self::None => "no business associate",
        }
    }
}

/// A business associate agreement (45 CFR 164.504(e)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The operator's id for the document.
    pub id: String,
    /// How far it has come.
    pub status: Status,
    /// Names of the endpoints that it covers.
    pub services: Vec<String>,
    /// The first moment of its first day, in UTC.
    pub from: Timestamp,
    /// The first moment at which it is over, in UTC.
    pub until: Timestamp,
    /// Digest of the signed document.
    pub document: Option<Digest>,
    /// Whether it forbids to train models on what is sent.
    pub excludes_training: bool,
    /// Whether it lets us audit.
    pub allows_audit: bool,
    /// Within which time a breach is told to us (45 CFR 164.410).
    pub breach_notice: Option<Duration>,
}

/// How far an agreement has come. Only a signed one covers anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not signed yet.
    Draft,
    /// It is signed.
    Signed,
    /// It was ended before its time.
    Terminated,
}

impl Status {
    const WORDS: [(&str, Self); 3] = [
        ("draft", Self::Draft),
        ("signed", Self::Signed),
        ("terminated", Self::Terminated),
    ];
}

/// What the readers of associates and endpoints look names up in.
pub(super) struct Known<'a, 'n> {
    pub(super) plugins: &'n Names<'a>,
    pub(super) associates: &'n Names<'a>,
    pub(super) endpoints: &'n Names<'a>,
}

impl Known<'_, '_> {
    /// Whether what `runs` is sent may come to `behind`, directly or through others.
    fn stands_behind(&self, behind: &str, runs: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![runs];
        while let Some(name) = open.pop() {
            if seen.insert(name)
                && let Some(associate) = self.associates.peek(name)
            {
                open.extend(associate.peek_list("subprocessors"));
            }
        }
        seen.contains(behind)
    }
}

impl Associate {
    pub(super) fn read<'a>(table: &mut Table<'a>, known: &Known<'a, '_>) -> Option<Self> {
        let name = table
            .required("name", "name = \"example-ai\"")
            .and_then(|value| value.name());
        let role = table.value("role");
        let role = role.map_or(Some(Role::BusinessAssociate), |value| {
            value.choice(&Role::WORDS)
        });
        let agreement = table.value("agreement");
        if let (Some(value), Some(Role::None)) = (&agreement, role) {
            value.fault("stands at an associate whose `role` is `none`, which no agreement makes one that may see protected health information; remove one of the two");
        }
        let agreement = agreement
            .and_then(|value| value.table(|table| Agreement::read(table, name.as_deref(), known)))
            .flatten();
        let subprocessors = list(
            table,
            "subprocessors",
            "a list of names of associates",
            |value| {
                let found = known.associates.find(value)?;
                if Some(found.name) == name.as_deref() {
                    value.fault("names the associate itself; name those who work for it");
                }
                Some(found.name.to_owned())
            },
        );
        let residency = list(table, "residency", "a list of regions", region);
        let soc2_report = table.value("soc2-report").and_then(|value| value.date());
        Some(Self {
            name: name?,
            role: role?,
            agreement,
            subprocessors,
            residency,
            soc2_report,
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
        // Whoever does not say that it is signed has not said so.
        let status = table.required("status", "status = \"signed\"");
        let status = status.and_then(|value| value.choice(&Status::WORDS));
        let services = table.required("services", "services = [\"name of an endpoint\"]");
        let services = services.and_then(|value| value.array("a list of names of endpoints"));
        let services: Vec<String> = services
            .iter()
            .flatten()
            .filter_map(|service| {
                let endpoint = known.endpoints.find_unused(service)?;
                if let (Some(associate), Some(other)) = (associate, endpoint.peek("associate"))
                    && !known.stands_behind(associate, other)
                {
                    service.fault(format_args!(
                        "names endpoint `{}`, which `{other}` runs: an agreement covers its own associate's endpoints, and those of whom it is a subprocessor",
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
        let document = table.value("document").and_then(|value| value.parsed());
        let excludes_training = table.flag("no-training");
        let allows_audit = table.flag("right-to-audit");
        // 45 CFR 164.410(b): in no case later than 60 calendar days after discovery.
        let latest = Duration::from_secs(60 * 86_400);
        let breach_notice = table.value("breach-notice");
        let breach_notice =
            breach_notice.and_then(|value| value.duration(&(Duration::from_secs(3600)..=latest)));
        Some(Self {
            id: id?,
            status: status?,
            services,
            from: from?,
            until: last?,
            document,
            excludes_training,
            allows_audit,
            breach_notice,
        })
    }
}

/// A list that may be left out.
pub(super) fn list<'a, T>(
    table: &mut Table<'a>,
    key: &'static str,
    what: &str,
    read: impl Fn(&Value<'a>) -> Option<T>,
) -> Vec<T> {
    let values = table.value(key).and_then(|value| value.array(what));
    values.iter().flatten().filter_map(read).collect()
}

/// A region: an ISO 3166-1 or 3166-2 code, or the operator's own word.
pub(super) fn region(value: &Value<'_>) -> Option<String> {
    value.text_that(
        "must be a region: 1 to 64 letters, digits and `-`, such as \"US\", \"US-VA\" or \"eu-central-1\"",
        |text| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        },
    )
}

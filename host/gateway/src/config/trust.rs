//! `[trust]`: who vouches for plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nephron_model::Digest;
use nephron_trust::{Party, Policy, VerifyingKey};

use super::Files;
use super::identity::words;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::route::refuse_second;

/// Whose word on plugins counts, and the file that takes some of it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The policy, with all that is revoked.
    pub policy: Policy,
    /// The file that keys and components are revoked in.
    pub revoked_file: Option<PathBuf>,
}

impl Trust {
    /// What it asks for, in a word; without it nothing is.
    pub(crate) fn word(trust: Option<&Self>) -> &'static str {
        match trust {
            None => "not-enforced",
            Some(trust) if trust.policy.accepts_unsigned => "unsigned-accepted",
            Some(_) => "enforced",
        }
    }

    /// Whether the same count in both, whatever is revoked: that alone is taken over without a restart.
    pub(crate) fn names_the_same(&self, other: &Self) -> bool {
        let but_revoked = |trust: &Self| {
            let mut policy = trust.policy.clone();
            policy.revoked.clear();
            policy
        };
        but_revoked(self) == but_revoked(other)
    }

    pub(super) fn read(table: &mut Table<'_>, files: Files<'_>) -> Option<Self> {
        let accepts_unsigned = table.flag("accept-unsigned-plugins");
        let mut names = BTreeMap::new();
        let vendors = table.each("vendor", |party| read_party(party, files, &mut names));
        let mut names = BTreeMap::new();
        let certifiers = table.each("certifier", |party| read_party(party, files, &mut names));
        let certified_kinds = match table.value("certified") {
            Some(value) => kinds(&value)?,
            None => BTreeSet::new(),
        };
        let mut revoked = BTreeSet::new();
        if let Some(value) = table.value("revoked") {
            revoked.extend(words(&value, Value::parsed::<Digest>)?);
        }
        let revoked_file = table.value("revoked-file");
        let revoked_file = match revoked_file {
            Some(value) => Some(revoked_in(&value, files, &mut revoked)?),
            None => None,
        };
        if vendors.is_empty() && !accepts_unsigned {
            table.fault(
                "names nobody whose signature counts, so that no plugin would be loaded; add a `[[trust.vendor]]`, or set `accept-unsigned-plugins = true`",
            );
        }
        Some(Self {
            policy: Policy {
                vendors,
                certifiers,
                revoked,
                certified_kinds,
                accepts_unsigned,
            },
            revoked_file,
        })
    }
}

fn read_party(
    table: &mut Table<'_>,
    files: Files<'_>,
    names: &mut BTreeMap<String, usize>,
) -> Option<Party> {
    let written = table.required("name", "name = \"acme-health\"");
    let name = written.as_ref().and_then(Value::name);
    if let (Some(value), Some(name)) = (&written, &name) {
        refuse_second(value, "name", name, names);
    }
    let keys = table.required("public-keys", "public-keys = [\"trust/acme-health.pem\"]");
    let keys = keys.and_then(|value| words(&value, |value| key(value, files)));
    let of = table.required("kinds", "kinds = [\"connector\"]");
    let of = of.and_then(|value| kinds(&value));
    Some(Party {
        name: name?,
        keys: keys?,
        kinds: of?,
    })
}

fn kinds(value: &Value<'_>) -> Option<BTreeSet<String>> {
    let of = words(value, |value| value.choice(&PluginKind::WORDS))?;
    Some(
        of.into_iter()
            .map(|kind| kind.as_str().to_owned())
            .collect(),
    )
}

fn text(value: &Value<'_>, files: Files<'_>) -> Option<(PathBuf, String)> {
    let path = value.path()?;
    match files(&path) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            let path = path.display();
            value.fault(format_args!(
                "cannot be read from `{path}`: {error}; correct the path, which starts at the configuration's folder"
            ));
            None
        }
    }
}

fn key(value: &Value<'_>, files: Files<'_>) -> Option<VerifyingKey> {
    let (path, text) = text(value, files)?;
    match VerifyingKey::of_pem(&text) {
        Ok(key) => Some(key),
        Err(error) => {
            value.fault(format_args!("names `{}`, which {error}", path.display()));
            None
        }
    }
}

/// One digest a line; what follows `#` is for people.
fn revoked_in(
    value: &Value<'_>,
    files: Files<'_>,
    revoked: &mut BTreeSet<Digest>,
) -> Option<PathBuf> {
    let (path, text) = text(value, files)?;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match line.parse() {
            Ok(digest) => drop(revoked.insert(digest)),
            Err(error) => value.fault(format_args!(
                "names `{}`, whose line {} is no digest: {error}, of a component or of a key in DER",
                path.display(),
                number + 1
            )),
        }
    }
    Some(path)
}

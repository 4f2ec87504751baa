//! Whose word on plugins counts, and whether what was offered holds.

use std::collections::{BTreeMap, BTreeSet};

use nephron_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, EnvelopeError};
use crate::key::VerifyingKey;
use crate::statement::{Certificate, DataClass, Role, Statement, StatementError, Window};

/// The operator's policy on who vouches for plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whose signatures count.
    pub vendors: Vec<Party>,
    /// Whose certificates count.
    pub certifiers: Vec<Party>,
    /// Fingerprints of keys, and digests of components, that count no more.
    pub revoked: BTreeSet<Digest>,
    /// Kinds of plugins that are loaded only with a certificate.
    pub certified_kinds: BTreeSet<String>,
    /// Whether plugins are taken that no vendor signed.
    pub accepts_unsigned: bool,
}

/// Somebody whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The operator's name for him.
    pub name: String,
    /// His keys.
    pub keys: Vec<VerifyingKey>,
    /// The kinds of plugins for which he counts.
    pub kinds: BTreeSet<String>,
}

/// A component that is offered as a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Its digest.
    pub component: Digest,
    /// What it is to be: a kind, as the configuration calls it.
    pub kind: &'a str,
    /// The world that it is built against, without a version, where that is known.
    pub world: Option<&'a str>,
}

/// A statement that holds, of somebody who counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vouch {
    /// As what he vouches.
    pub role: Role,
    /// Who, by the operator's name.
    pub by: String,
    /// Fingerprint of the key.
    pub key: Digest,
    /// Digest of the envelope.
    pub statement: Digest,
    /// What the plugin is called in it.
    pub name: String,
    /// The plugin's version in it.
    pub version: String,
    /// Its counter.
    pub counter: u64,
    /// When it begins to hold, in RFC 3339.
    pub from: String,
    /// When it no longer holds.
    pub until: String,
    /// Of a certificate: digest of the conformance report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
    /// Of a certificate: associates that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associates: Vec<String>,
    /// Of a certificate: agreements that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreements: Vec<String>,
    /// Of a certificate: what text it allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<DataClass>,
}

/// What was offered is not vouched for as policy asks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing that a vendor signed lies beside it.
    #[error(
        "no vendor's signature lies beside it, and `[trust]` asks for one; get its statements from its vendor, or sign it with `nephron plugin sign` and a key of `[[trust.vendor]]`"
    )]
    Unsigned,
    /// A line is no envelope.
    #[error("line {line} of its statements cannot be read; get them anew from whoever made them")]
    Envelope {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: EnvelopeError,
    },
    /// A line holds no statement.
    #[error("line {line} of its statements cannot be read; get them anew from whoever made them")]
    Statement {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: StatementError,
    },
    /// It names a key that counts, which did not sign it.
    #[error(
        "line {line} of its statements is said to be by `{by}`, whose key did not sign it: it was altered; get it anew from `{by}`"
    )]
    Tampered {
        /// Which, from 1.
        line: usize,
        /// Whose key it names.
        by: String,
    },
    /// Whoever signed it is no vendor that counts.
    #[error(
        "nobody signed it whom `[[trust.vendor]]` names; add its vendor with his public key, or take a component of a vendor who is there"
    )]
    UnknownVendor,
    /// Whoever certified it is nobody who counts.
    #[error(
        "nobody certified it whom `[[trust.certifier]]` names; add the certifier with his public key, or take the certificate away from its statements"
    )]
    UnknownCertifier,
    /// Its kind asks for a certificate, and it has none.
    #[error(
        "it has no certificate, and `trust.certified` asks for one for each {kind}; have it certified (`nephron plugin certify`)"
    )]
    Uncertified {
        /// Its kind.
        kind: String,
    },
    /// A statement is of another component.
    #[error(
        "the statement of `{by}` is about the component `{stated}`, and this is `{found}`; get the component, or its statements, anew"
    )]
    OtherComponent {
        /// Who states it.
        by: String,
        /// What it is about.
        stated: Digest,
        /// What was offered.
        found: Digest,
    },
    /// It vouches for another kind of plugin.
    #[error(
        "the statement of `{by}` is about a {stated}, and it is configured as a {asked}; correct `kind`, or take another component"
    )]
    OtherKind {
        /// Who states it.
        by: String,
        /// The kind in it.
        stated: String,
        /// The configured kind.
        asked: String,
    },
    /// A certificate is of another world.
    #[error(
        "the certificate of `{by}` is about the world `{stated}`, and the component is of `{found}`; have this one certified"
    )]
    OtherWorld {
        /// Who certified.
        by: String,
        /// The world in it.
        stated: String,
        /// The component's.
        found: String,
    },
    /// Policy does not let him vouch for this kind.
    #[error(
        "`{by}` does not count for plugins of kind {kind}; add it to his `kinds` in `[trust]`, or have it vouched for by somebody who does"
    )]
    NotForKind {
        /// Who.
        by: String,
        /// The kind.
        kind: String,
    },
    /// It holds later.
    #[error(
        "the statement of `{by}` holds from {from} on; wait for that, or correct the machine's clock"
    )]
    NotYet {
        /// Who states it.
        by: String,
        /// From when.
        from: Timestamp,
    },
    /// It holds no more.
    #[error("the statement of `{by}` held until {until}; get a new one from `{by}`")]
    Expired {
        /// Who states it.
        by: String,
        /// Until when.
        until: Timestamp,
    },
    /// The key was revoked.
    #[error("the key `{key}` of `{by}` is revoked; get a statement by another key of `{by}`")]
    KeyRevoked {
        /// Whose.
        by: String,
        /// Its fingerprint.
        key: Digest,
    },
    /// The component was revoked.
    #[error("the component `{component}` is revoked; take another version of it")]
    ComponentRevoked {
        /// Its digest.
        component: Digest,
    },
    /// A newer one has served.
    #[error(
        "the statement of `{by}` has counter {counter}, and {least} has served: it is of an older version; take the newer one, or ask `{by}` to sign this one anew with a greater counter"
    )]
    Older {
        /// Who states it.
        by: String,
        /// Its counter.
        counter: u64,
        /// The least that is taken.
        least: u64,
    },
    /// Which has served cannot be found out.
    #[error("which versions have served cannot be read from the host's log; see to that first")]
    CountersUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file beside the component cannot be read.
    #[error("its statements `{path}` cannot be read; correct the path or its permissions")]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl TrustError {
    /// Which case it is, as the log has it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Envelope { .. } | Self::Statement { .. } => "statement-malformed",
            Self::Tampered { .. } => "statement-tampered",
            Self::UnknownVendor => "unknown-vendor",
            Self::UnknownCertifier => "unknown-certifier",
            Self::Uncertified { .. } => "uncertified",
            Self::OtherComponent { .. } => "statement-of-another-component",
            Self::OtherKind { .. } => "statement-of-another-kind",
            Self::OtherWorld { .. } => "certificate-of-another-world",
            Self::NotForKind { .. } => "not-trusted-for-kind",
            Self::NotYet { .. } => "statement-not-yet-valid",
            Self::Expired { .. } => "statement-expired",
            Self::KeyRevoked { .. } => "key-revoked",
            Self::ComponentRevoked { .. } => "component-revoked",
            Self::Older { .. } => "older-counter",
            Self::CountersUnknown(_) => "counters-unknown",
            Self::Unreadable { .. } => "statements-unreadable",
        }
    }
}

/// A statement of somebody who counts, before it is looked into.
struct Known<'a> {
    party: &'a Party,
    key: Digest,
    envelope: Digest,
    statement: Statement,
}

impl Policy {
    /// Holds the statements that lie beside a component (one envelope a line) to this policy. Of each who counts, the one with
    /// the greatest counter speaks, and must hold; who does not count is passed over if another of the same role does.
    ///
    /// # Errors
    /// [`TrustError`], for each reason its own.
    pub fn judge(
        &self,
        offered: Offered<'_>,
        statements: &str,
        now: Timestamp,
    ) -> Result<Vec<Vouch>, TrustError> {
        let component = offered.component;
        if self.revoked.contains(&component) {
            return Err(TrustError::ComponentRevoked { component });
        }
        let mut newest: BTreeMap<(Role, &str), Known<'_>> = BTreeMap::new();
        let mut strangers = BTreeSet::new();
        let lines = statements.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let line_number = number + 1;
            let envelope = Envelope::read(line).map_err(|source| TrustError::Envelope {
                line: line_number,
                source,
            })?;
            let statement = match envelope.statement() {
                Ok(statement) => statement,
                Err(error) if error.is_of_another_purpose() => continue,
                Err(source) => {
                    return Err(TrustError::Statement {
                        line: line_number,
                        source,
                    });
                }
            };
            let role = statement.role();
            let Some((party, key)) = self.signer(role, &envelope, line_number)? else {
                strangers.insert(role);
                continue;
            };
            let known = Known {
                party,
                key,
                envelope: envelope.digest(),
                statement,
            };
            let place = (role, party.name.as_str());
            let is_newest = newest
                .get(&place)
                .is_none_or(|other| other.statement.claim.counter <= known.statement.claim.counter);
            if is_newest {
                newest.insert(place, known);
            }
        }
        let speaks = |role| newest.keys().any(|(of, _)| *of == role);
        if !speaks(Role::Vendor) && !self.accepts_unsigned {
            return Err(match strangers.contains(&Role::Vendor) {
                true => TrustError::UnknownVendor,
                false => TrustError::Unsigned,
            });
        }
        if !speaks(Role::Certifier) {
            if strangers.contains(&Role::Certifier) {
                return Err(TrustError::UnknownCertifier);
            }
            if self.certified_kinds.contains(offered.kind) {
                let kind = offered.kind.to_owned();
                return Err(TrustError::Uncertified { kind });
            }
        }
        newest
            .into_values()
            .map(|known| self.vouch(known, offered, now))
            .collect()
    }

    /// Who of those that count in this role signed it, and by which key.
    fn signer(
        &self,
        role: Role,
        envelope: &Envelope,
        line: usize,
    ) -> Result<Option<(&Party, Digest)>, TrustError> {
        let parties = match role {
            Role::Vendor => &self.vendors,
            Role::Certifier => &self.certifiers,
        };
        let mut keys = parties
            .iter()
            .flat_map(|party| party.keys.iter().map(move |key| (party, key)));
        let found = match envelope.key_id() {
            Some(id) => {
                let Some((party, key)) = keys.find(|(_, key)| key.fingerprint() == id) else {
                    return Ok(None);
                };
                envelope.is_by(key).map_err(|_| TrustError::Tampered {
                    line,
                    by: party.name.clone(),
                })?;
                Some((party, key))
            }
            None => keys.find(|(_, key)| envelope.is_by(key).is_ok()),
        };
        Ok(found.map(|(party, key)| (party, key.fingerprint())))
    }

    /// Looks into a statement of somebody who counts.
    fn vouch(
        &self,
        known: Known<'_>,
        offered: Offered<'_>,
        now: Timestamp,
    ) -> Result<Vouch, TrustError> {
        let by = known.party.name.clone();
        let Known {
            party,
            key,
            envelope,
            statement,
        } = known;
        let (claim, role) = (&statement.claim, statement.role());
        if self.revoked.contains(&key) {
            return Err(TrustError::KeyRevoked { by, key });
        }
        if statement.component != offered.component {
            return Err(TrustError::OtherComponent {
                by,
                stated: statement.component,
                found: offered.component,
            });
        }
        if claim.kind != offered.kind {
            return Err(TrustError::OtherKind {
                by,
                stated: claim.kind.clone(),
                asked: offered.kind.to_owned(),
            });
        }
        if !party.kinds.contains(offered.kind) {
            let kind = offered.kind.to_owned();
            return Err(TrustError::NotForKind { by, kind });
        }
        let Window { from, until } = claim.window;
        if now < from {
            return Err(TrustError::NotYet { by, from });
        }
        if now >= until {
            return Err(TrustError::Expired { by, until });
        }
        let certificate = statement.certificate.as_ref();
        if let (Some(certificate), Some(world)) = (certificate, offered.world) {
            let stated = certificate.world.split('@').next().unwrap_or_default();
            if stated != world {
                return Err(TrustError::OtherWorld {
                    by,
                    stated: certificate.world.clone(),
                    found: world.to_owned(),
                });
            }
        }
        let list =
            |of: fn(&Certificate) -> &Vec<String>| certificate.map(of).cloned().unwrap_or_default();
        Ok(Vouch {
            role,
            by,
            key,
            statement: envelope,
            name: claim.name.clone(),
            version: claim.version.clone(),
            counter: claim.counter,
            from: from.to_string(),
            until: until.to_string(),
            report: certificate.map(|certificate| certificate.report),
            associates: list(|certificate| &certificate.associates),
            agreements: list(|certificate| &certificate.agreements),
            classes: certificate
                .map(|certificate| certificate.classes.clone())
                .unwrap_or_default(),
        })
    }
}

impl Vouch {
    /// What it is a version of: counters are compared within that. `kind` is the plugin's.
    #[must_use]
    pub fn lineage(&self, kind: &str) -> String {
        let (role, by, name) = (self.role.as_str(), &self.by, &self.name);
        format!("{role}/{by}/{kind}/{name}")
    }

    /// Whether it holds now: what held when the plugin was loaded may have ended since.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        let [from, until] = [&self.from, &self.until].map(|time| time.parse::<Timestamp>());
        from.is_ok_and(|from| from <= now) && until.is_ok_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests;

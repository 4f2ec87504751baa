//! What is stated of a component: an in-toto Statement (v1) with one of two predicates.

use nephron_model::{Digest, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sigstore_types::{Sha256Hash, Subject};

/// The predicate of a vendor's signature.
pub const SIGNATURE: &str = "urn:nephron:plugin-signature:1";
/// The predicate of a certifier's certificate.
pub const CERTIFICATE: &str = "urn:nephron:plugin-certificate:1";

/// Who states: whoever makes a plugin, or whoever tested it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A vendor, who signs.
    Vendor,
    /// A certifier, who certifies.
    Certifier,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Certifier => "certifier",
        }
    }
}

/// From when and until when a statement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after.
    pub until: Timestamp,
}

/// How sensitive the text may be that a certificate lets a connector carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataClass {
    /// Text that a named method of de-identification has cleared.
    Cleared,
    /// Text that may identify a person.
    Identifiable,
}

/// What a certificate has beside what a signature has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The world that it was tested against, with its version: `llm-connector@0.1.0`.
    pub world: String,
    /// Digest of the report of the conformance suite that it passed.
    pub report: Digest,
    /// Names of associates that a connector may speak to.
    pub associates: Vec<String>,
    /// Ids of agreements (BAA) that it was certified for.
    pub agreements: Vec<String>,
    /// What text it may carry.
    pub classes: Vec<DataClass>,
}

/// What both say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it does: a kind of plugin, as the configuration calls it.
    pub kind: String,
    /// What the plugin is called by whoever makes it, over all its versions.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Greater for what comes later: an older one is not taken after a newer one.
    pub counter: u64,
    /// When it holds.
    pub window: Window,
}

/// A statement about one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The component.
    pub component: Digest,
    /// What is said of it.
    pub claim: Claim,
    /// What a certificate says beside that; a signature says nothing.
    pub certificate: Option<Certificate>,
}

/// It is no statement of the two kinds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is no in-toto statement, or its predicate has another form.
    #[error("it is no statement as docs/formats/statements.md has it")]
    Form(#[from] serde_json::Error),
    /// It is no Statement of version 1.
    #[error("it is of the type `{found}` and not `https://in-toto.io/Statement/v1`")]
    Type {
        /// Its type.
        found: String,
    },
    /// It is about none, or several, or one without a SHA-256 digest.
    #[error("it must be about one component, by its SHA-256 digest")]
    Subject,
    /// The component has no name in it, by which versions of it are told from other plugins.
    #[error("it does not name the component")]
    Unnamed,
    /// It states something else.
    #[error("its predicate is `{found}`, which is not known here")]
    Predicate {
        /// Its predicate.
        found: String,
    },
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Window,
}

impl StatementError {
    /// Whether it is well formed, but of another purpose: such a one is passed over.
    pub(crate) const fn is_of_another_purpose(&self) -> bool {
        matches!(self, Self::Predicate { .. })
    }
}

/// A predicate as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Signed {
    kind: String,
    version: String,
    counter: u64,
    not_before: Moment,
    not_after: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Certified {
    kind: String,
    version: String,
    world: String,
    report: Digest,
    associates: Vec<String>,
    agreements: Vec<String>,
    classes: Vec<DataClass>,
    counter: u64,
    not_before: Moment,
    not_after: Moment,
}

/// A time as RFC 3339 has it.
struct Moment(Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Statement {
    /// Who states such a thing.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.certificate {
            None => Role::Vendor,
            Some(_) => Role::Certifier,
        }
    }

    /// Reads what an envelope holds.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn read(payload: &[u8]) -> Result<Self, StatementError> {
        let read: sigstore_types::Statement = serde_json::from_slice(payload)?;
        if read.type_ != sigstore_types::Statement::TYPE_V1 {
            return Err(StatementError::Type { found: read.type_ });
        }
        let [subject] = read.subject.as_slice() else {
            return Err(StatementError::Subject);
        };
        let component = subject.digest.sha256.as_ref();
        let component = component.ok_or(StatementError::Subject)?;
        let name = subject.name.clone();
        if name.is_empty() {
            return Err(StatementError::Unnamed);
        }
        let (claim, certificate) = match read.predicate_type.as_str() {
            SIGNATURE => {
                let signed: Signed = serde_json::from_value(read.predicate)?;
                let claim = Claim {
                    kind: signed.kind,
                    name,
                    version: signed.version,
                    counter: signed.counter,
                    window: window(&signed.not_before, &signed.not_after)?,
                };
                (claim, None)
            }
            CERTIFICATE => {
                let certified: Certified = serde_json::from_value(read.predicate)?;
                let claim = Claim {
                    kind: certified.kind,
                    name,
                    version: certified.version,
                    counter: certified.counter,
                    window: window(&certified.not_before, &certified.not_after)?,
                };
                let certificate = Certificate {
                    world: certified.world,
                    report: certified.report,
                    associates: certified.associates,
                    agreements: certified.agreements,
                    classes: certified.classes,
                };
                (claim, Some(certificate))
            }
            other => {
                let found = other.to_owned();
                return Err(StatementError::Predicate { found });
            }
        };
        Ok(Self {
            component: Digest(*component.as_bytes()),
            claim,
            certificate,
        })
    }

    /// What an envelope is to hold.
    ///
    /// # Errors
    /// [`StatementError::Form`], which does not happen with what can be written here.
    pub fn write(&self) -> Result<Vec<u8>, StatementError> {
        let Claim {
            kind,
            name,
            version,
            counter,
            window,
        } = self.claim.clone();
        let (not_before, not_after) = (Moment(window.from), Moment(window.until));
        let (of, predicate) = match self.certificate.clone() {
            None => {
                let signed = Signed {
                    kind,
                    version,
                    counter,
                    not_before,
                    not_after,
                };
                (SIGNATURE, serde_json::to_value(signed)?)
            }
            Some(certificate) => {
                let certified = Certified {
                    kind,
                    version,
                    world: certificate.world,
                    report: certificate.report,
                    associates: certificate.associates,
                    agreements: certificate.agreements,
                    classes: certificate.classes,
                    counter,
                    not_before,
                    not_after,
                };
                (CERTIFICATE, serde_json::to_value(certified)?)
            }
        };
        let subject = Subject::new(name, Sha256Hash::new(self.component.0).into());
        let whole = sigstore_types::Statement::new(vec![subject], of, predicate);
        Ok(serde_json::to_vec(&whole)?)
    }
}

fn window(from: &Moment, until: &Moment) -> Result<Window, StatementError> {
    match from.0 < until.0 {
        true => Ok(Window {
            from: from.0,
            until: until.0,
        }),
        false => Err(StatementError::Window),
    }
}

//! What the fields of an application's records are: for each path a class, a kind of identifier, and the purposes of use for which it is
//! sealed and opened.

use std::path::PathBuf;

use nephron_model::{Kind, Purpose};
use serde::Serialize;

use crate::wire::fields::is_structural;

/// A classification schema: rules, of which the first that holds for a field counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The file that it was read from.
    pub(crate) file: PathBuf,
    pub(crate) rules: Vec<FieldRule>,
}

/// What fields of one path, or of several that a path with `*` stands for, are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldRule {
    pub(crate) path: FieldPath,
    pub(crate) class: Class,
    pub(crate) kind: Kind,
    /// For which it is sealed and opened; none: for every purpose.
    pub(crate) purposes: Vec<Purpose>,
}

/// How much a field says about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    /// Protected health information (45 CFR 160.103).
    Phi,
    /// Says who somebody is, and nothing of their health or care.
    Pii,
    /// About nobody, and not for everybody.
    Internal,
    /// For everybody: it is not sealed.
    Public,
}

impl Class {
    pub(crate) const ALL: [(&str, Self); 4] = [
        ("phi", Self::Phi),
        ("pii", Self::Pii),
        ("internal", Self::Internal),
        ("public", Self::Public),
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Phi => "phi",
            Self::Pii => "pii",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl Classification {
    /// The first rule that holds for the field of that name, and which it is.
    pub(crate) fn rule(&self, name: &str) -> Option<(usize, &FieldRule)> {
        if !is_name(name) {
            return None;
        }
        let path: Vec<&str> = name.split('.').collect();
        let mut rules = self.rules.iter().enumerate();
        rules.find(|(_, rule)| rule.path.holds_for(&path))
    }

    /// What a field is that is to be sealed for a purpose of use. `kind` is what the caller takes it for.
    pub(crate) fn to_seal(
        &self,
        name: &str,
        kind: Option<&Kind>,
        purpose: &Purpose,
    ) -> Result<(Class, Kind), NotAdmitted> {
        let rule = self.for_purpose(name, purpose)?;
        if rule.class == Class::Public {
            Err(NotAdmitted::Public)
        } else if kind.is_some_and(|kind| *kind != rule.kind) {
            Err(NotAdmitted::OtherKind)
        } else {
            Ok((rule.class, rule.kind.clone()))
        }
    }

    /// What a field is that is to be opened. It may have been sealed under an earlier schema, as another kind or when it was not public: the
    /// kind that the caller names counts, and is bound to what was sealed.
    pub(crate) fn to_open(
        &self,
        name: &str,
        kind: Option<&Kind>,
        purpose: &Purpose,
    ) -> Result<(Class, Kind), NotAdmitted> {
        let rule = self.for_purpose(name, purpose)?;
        Ok((rule.class, kind.unwrap_or(&rule.kind).clone()))
    }

    fn for_purpose(&self, name: &str, purpose: &Purpose) -> Result<&FieldRule, NotAdmitted> {
        let (_, rule) = self.rule(name).ok_or(NotAdmitted::Unclassified)?;
        match rule.purposes.is_empty() || rule.purposes.contains(purpose) {
            true => Ok(rule),
            false => Err(NotAdmitted::OtherPurpose),
        }
    }
}

/// Whether a field can be called that by `/v1/fields`, and none of its steps is empty.
pub(crate) fn is_name(name: &str) -> bool {
    is_structural(name, 64) && name.split('.').all(|step| !step.is_empty())
}

/// Why a field is not sealed, or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The schema has no path for it.
    #[error("stands under no path of the tenant's classification; add one there")]
    Unclassified,
    /// It needs no sealing.
    #[error("is public by the tenant's classification, and needs no sealing")]
    Public,
    /// It is something else.
    #[error("is another kind by the tenant's classification; leave `kind` out")]
    OtherKind,
    /// It serves other purposes.
    #[error("is not for this purpose of use by the tenant's classification")]
    OtherPurpose,
}

impl NotAdmitted {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Unclassified => "unclassified",
            Self::Public => "public",
            Self::OtherKind => "other-kind",
            Self::OtherPurpose => "other-purpose",
        }
    }
}

/// Names joined by dots: `contacts.*.phone`. `*` is any one step, an element of a list too; `**`, at the end, one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Named(String),
    Any,
    Rest,
}

impl FieldPath {
    /// Whether it stands for the field at that path.
    fn holds_for(&self, path: &[&str]) -> bool {
        fn hold(steps: &[Step], path: &[&str]) -> bool {
            match (steps, path) {
                ([], []) | ([Step::Rest], [_, ..]) => true,
                ([Step::Any, steps @ ..], [_, path @ ..]) => hold(steps, path),
                ([Step::Named(name), steps @ ..], [first, path @ ..]) => {
                    name == first && hold(steps, path)
                }
                ([] | [Step::Rest, ..], _) | ([Step::Any | Step::Named(_), ..], []) => false,
            }
        }
        hold(&self.0, path)
    }

    /// Whether it stands for every field that the other stands for.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        fn cover(steps: &[Step], other: &[Step]) -> bool {
            match (steps, other) {
                ([], []) | ([Step::Rest], [_, ..]) => true,
                ([Step::Any, steps @ ..], [Step::Any | Step::Named(_), other @ ..]) => {
                    cover(steps, other)
                }
                ([Step::Named(name), steps @ ..], [Step::Named(same), other @ ..]) => {
                    name == same && cover(steps, other)
                }
                ([] | [Step::Rest, ..], _)
                | ([Step::Any, ..], [] | [Step::Rest, ..])
                | ([Step::Named(_), ..], [] | [Step::Any | Step::Rest, ..]) => false,
            }
        }
        cover(&self.0, &other.0)
    }
}

/// It is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be names of letters, digits and `_:/-@` joined by dots, such as `contacts.*.phone`: `*` alone is any one of them, and `**`, at the end, one or more"
)]
pub(crate) struct NoPath;

impl std::str::FromStr for FieldPath {
    type Err = NoPath;

    fn from_str(text: &str) -> Result<Self, NoPath> {
        let steps: Vec<Step> = text
            .split('.')
            .map(|step| match step {
                "*" => Ok(Step::Any),
                "**" => Ok(Step::Rest),
                name if is_structural(name, 64) => Ok(Step::Named(name.to_owned())),
                _ => Err(NoPath),
            })
            .collect::<Result<_, _>>()?;
        let inner = steps.len() - 1;
        if steps.iter().take(inner).any(|step| *step == Step::Rest) {
            return Err(NoPath);
        }
        Ok(Self(steps))
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "." })?;
            f.write_str(match step {
                Step::Named(name) => name,
                Step::Any => "*",
                Step::Rest => "**",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_stands_for_what_it_says() {
        for (pattern, held, not) in [
            ("mrn", &["mrn"][..], &["mrn.0", "name"][..]),
            (
                "contacts.*.phone",
                &["contacts.0.phone", "contacts.home.phone"],
                &["contacts.phone", "contacts.0.1.phone"],
            ),
            (
                "notes.**",
                &["notes.0", "notes.0.text"],
                &["notes", "note.text"],
            ),
            ("**", &["a", "a.b.c"], &[]),
            ("*", &["a"], &["a.b"]),
        ] {
            let holds = |name: &&&str| {
                let steps: Vec<&str> = name.split('.').collect();
                path(pattern).holds_for(&steps)
            };
            assert_eq!(held.iter().find(|name| !holds(name)), None, "{pattern}");
            assert_eq!(not.iter().find(holds), None, "{pattern}");
            assert_eq!(path(pattern).to_string(), pattern);
        }
        for text in ["", "a..b", ".a", "a.", "a.**.b", "a*", "***", "a b", "é"] {
            assert_eq!(text.parse::<FieldPath>(), Err(NoPath), "{text}");
        }
    }

    #[test]
    fn what_was_sealed_under_an_earlier_schema_opens_as_that() {
        let (mrn, name): (Kind, Kind) = ("mrn".parse().unwrap(), "name".parse().unwrap());
        let rule = |path: &str, class| FieldRule {
            path: path.parse().unwrap(),
            class,
            kind: mrn.clone(),
            purposes: Vec::new(),
        };
        let schema = Classification {
            file: PathBuf::new(),
            rules: vec![rule("a", Class::Phi), rule("b", Class::Public)],
        };
        let treat = "TREAT".parse().unwrap();
        assert_eq!(
            schema.to_seal("a", None, &treat),
            Ok((Class::Phi, mrn.clone()))
        );
        assert_eq!(
            schema.to_seal("a", Some(&name), &treat),
            Err(NotAdmitted::OtherKind)
        );
        assert_eq!(
            schema.to_open("a", Some(&name), &treat),
            Ok((Class::Phi, name.clone()))
        );
        assert_eq!(schema.to_seal("b", None, &treat), Err(NotAdmitted::Public));
        assert_eq!(
            schema.to_open("b", Some(&name), &treat),
            Ok((Class::Public, name))
        );
        assert_eq!(schema.to_open("b", None, &treat), Ok((Class::Public, mrn)));
    }

    #[test]
    fn one_path_covers_another() {
        for (first, second, does) in [
            ("**", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.**", false),
            ("a.**", "a.*.c", true),
            ("a.**", "a.**", true),
            ("a.b", "a.*", false),
            ("a.b", "a.b", true),
            ("a.**", "a", false),
        ] {
            assert_eq!(path(first).covers(&path(second)), does, "{first} {second}");
        }
    }
}

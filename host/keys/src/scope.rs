//! What a grant covers: operations and kinds of identifier.

use std::collections::BTreeSet;

use nephron_model::Kind;
use serde::{Deserialize, Serialize};

/// Kinds of identifier. Kinds are an open set, so a rule may name what it covers or what it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kinds {
    /// All.
    Any,
    /// These and no others.
    Only(BTreeSet<Kind>),
    /// All but these: kinds that are never restored.
    Except(BTreeSet<Kind>),
}

/// A set of operations: those of `wit/host.wit`, and one that only the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u8);

impl Kinds {
    /// Whether `kind` is one of them.
    #[must_use]
    pub fn cover(&self, kind: &Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Only(kinds) => kinds.contains(kind),
            Self::Except(kinds) => !kinds.contains(kind),
        }
    }
}

/// `any`, `name,date` or `!name,date`.
impl std::fmt::Display for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, kinds) = match self {
            Self::Any => return f.write_str("any"),
            Self::Only(kinds) => ("", kinds),
            Self::Except(kinds) => ("!", kinds),
        };
        let names: Vec<_> = kinds.iter().map(Kind::as_str).collect();
        write!(f, "{sign}{}", names.join(","))
    }
}

impl Operations {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Seal.
    pub const SEAL: Self = Self(1);
    /// Open what was sealed.
    pub const OPEN: Self = Self(2);
    /// Replace values by tokens.
    pub const TOKENIZE: Self = Self(4);
    /// Put values back.
    pub const DETOKENIZE: Self = Self(8);
    /// Authenticate.
    pub const MAC: Self = Self(16);
    /// Open payloads of audit entries: the host's alone, no flag of the WIT gives it.
    pub const OPEN_PAYLOAD: Self = Self(32);

    /// Every one of them.
    pub const ALL: Self = Self(63);

    pub(crate) const NAMES: [(Self, &'static str); 6] = [
        (Self::SEAL, "seal"),
        (Self::OPEN, "open"),
        (Self::TOKENIZE, "tokenize"),
        (Self::DETOKENIZE, "detokenize"),
        (Self::MAC, "mac"),
        (Self::OPEN_PAYLOAD, "open-payload"),
    ];

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and the others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The operation of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(operation, _)| *operation)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let among = move |(operation, name): (Self, _)| self.contain(operation).then_some(name);
        Self::NAMES.into_iter().filter_map(among)
    }
}

impl std::ops::BitOr for Operations {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// Names with commas between, such as `seal,open`; `none` for none.
impl std::fmt::Display for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_its_parts_and_prints_their_names() {
        let both = Operations::SEAL | Operations::MAC;
        assert!(
            both.contain(Operations::SEAL) && both.contain(both) && both.contain(Operations::NONE)
        );
        assert!(!both.contain(Operations::OPEN) && !Operations::SEAL.contain(both));
        let all = Operations::NAMES
            .iter()
            .fold(Operations::NONE, |all, (one, _)| all | *one);
        assert_eq!(all, Operations::ALL);
        assert_eq!(
            (both.to_string(), Operations::NONE.to_string()),
            ("seal,mac".to_owned(), "none".to_owned())
        );
    }

    #[test]
    fn kinds_cover_what_they_say() {
        let [name, date]: [Kind; 2] = ["name", "date"].map(|kind| kind.parse().unwrap());
        let check = |kinds: Kinds, covered: [bool; 2], text: &str| {
            assert_eq!([kinds.cover(&name), kinds.cover(&date)], covered);
            assert_eq!(kinds.to_string(), text);
        };
        check(Kinds::Any, [true, true], "any");
        check(Kinds::Only([name.clone()].into()), [true, false], "name");
        check(Kinds::Except([name.clone()].into()), [false, true], "!name");
    }
}

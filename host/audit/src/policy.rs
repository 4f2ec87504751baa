//! Whose word an auditor takes: a policy file (C2SP tlog-policy), which names logs, witnesses, and which of these must have
//! cosigned a checkpoint for it to count.
//!
//! `docs/formats/policy.md` has the form and what is held against it.

mod parse;
mod weigh;

pub use self::parse::{InvalidPolicy, PolicyFault};
pub(crate) use self::weigh::Weighed;
pub use self::weigh::{Lacking, PolicyVerdict, Vouches, Witnessed};
use crate::{SignedCheckpoint, VerifierKey, WitnessKey};

/// Logs, witnesses, and the quorum among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    /// In the order of their lines: the members of each stand before it.
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A witness, as the policy calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Witness {
    name: String,
    key: WitnessKey,
}

/// Some of whom so many are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    /// How many of the members it takes: 1 to all of them.
    threshold: usize,
    members: Vec<Member>,
}

/// Where a name leads: a place among the witnesses or the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// What a checkpoint needs beside the log's own signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// Nobody's.
    None,
    /// That of this witness or group.
    Of(Member),
}

impl Policy {
    /// Whether it lists a log at all: one that does not speaks of the log whose key is given beside it.
    #[must_use]
    pub fn lists_logs(&self) -> bool {
        !self.logs.is_empty()
    }

    /// The same, speaking of the log of `key` if it lists none.
    #[must_use]
    pub fn or_log(mut self, key: Option<&VerifierKey>) -> Self {
        if self.logs.is_empty() {
            self.logs.extend(key.cloned());
        }
        self
    }

    /// The key of the log of this origin, if the policy lists that.
    #[must_use]
    pub fn log(&self, origin: &str) -> Option<&VerifierKey> {
        self.logs.iter().find(|log| log.name() == origin)
    }

    /// The same, of the log that a checkpoint says it is of.
    #[must_use]
    pub fn log_of_note(&self, note: &str) -> Option<&VerifierKey> {
        self.log(&SignedCheckpoint::read(note).ok()?.checkpoint.origin)
    }

    /// What the policy calls somebody.
    fn name(&self, member: Member) -> &str {
        match member {
            Member::Witness(place) => self.witnesses.get(place).map(|it| it.name.as_str()),
            Member::Group(place) => self.groups.get(place).map(|it| it.name.as_str()),
        }
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

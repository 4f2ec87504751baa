//! What checkpoints are worth under a policy.

use std::fmt;

use nephron_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::parse::NONE;
use super::{Group, Member, Policy, Quorum};
use crate::{Checkpoint, NoteError, SignedCheckpoint};

/// The last second of a year that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// A checkpoint, and who of a policy signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) checkpoint: Checkpoint,
    /// Which witnesses cosigned it, and when, in seconds since the epoch. None, if no log of the policy signed it: what they
    /// saw was then no word of the log.
    by: Vec<(usize, u64)>,
    /// A log of the policy signed it.
    is_signed: bool,
}

/// How far those of a policy vouch for one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Entries in the largest checkpoint that a log of the policy signed.
    signed: Option<u64>,
    /// Of each witness the entries in the largest checkpoint that it cosigned, and when, in seconds since the epoch.
    by: Vec<Option<(u64, u64)>>,
}

/// What a policy says of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyVerdict {
    /// The witness or group whose word is asked, or `none`.
    pub quorum: String,
    /// It has been given.
    pub met: bool,
    /// For how many entries, from the first. Nothing if it has not.
    pub entries: Option<u64>,
    /// How many entries, from the first, the largest checkpoint covers that a log of the policy signed. Nothing if there is none.
    pub signed: Option<u64>,
    /// Each witness of the policy.
    pub witnesses: Vec<Vouches>,
    /// What the quorum lacks, from the quorum itself on down.
    pub lacking: Vec<Lacking>,
}

/// How far a witness vouches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vouches {
    /// What the policy calls it.
    pub name: String,
    /// The name in its key.
    pub key: String,
    /// For how many entries, from the first. Nothing if for none.
    pub entries: Option<u64>,
    /// When it cosigned, as it says: RFC 3339.
    pub cosigned: Option<String>,
}

/// Who has not given their word, of those who are needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lacking {
    /// The witness or group.
    pub name: String,
    /// How many of its members it takes; of a witness 1.
    pub needs: usize,
    /// How many it has.
    pub has: usize,
    /// The members that are missing. None of a witness.
    pub lacks: Vec<String>,
}

impl Policy {
    /// Who of the policy signed `note`.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]; [`NoteError::BadSignature`] if one says it is of a witness and is not. One that says so of the log
    /// counts as none.
    pub(crate) fn weigh(&self, note: &str) -> Result<Weighed, NoteError> {
        let checkpoint = SignedCheckpoint::read(note)?.checkpoint;
        let log = self.log(&checkpoint.origin);
        let is_signed = log.is_some_and(|log| log.open(note).is_ok());
        let mut by = Vec::new();
        for (place, witness) in self.witnesses.iter().enumerate() {
            match witness.key.cosigned(note) {
                Ok(time) if is_signed => by.push((place, time)),
                Ok(_) | Err(NoteError::Unsigned) => {}
                Err(error @ (NoteError::Malformed | NoteError::BadSignature)) => return Err(error),
            }
        }
        Ok(Weighed {
            checkpoint,
            by,
            is_signed,
        })
    }

    /// How far those of the policy vouch for a log of which these checkpoints hold. Whoever cosigned a checkpoint vouches for all
    /// that it covers, and so for what a smaller one does.
    pub(crate) fn witnessed<'a>(&self, holding: impl Iterator<Item = &'a Weighed>) -> Witnessed {
        let mut witnessed = Witnessed {
            signed: None,
            by: vec![None; self.witnesses.len()],
        };
        for Weighed {
            checkpoint,
            by,
            is_signed,
        } in holding
        {
            let size = checkpoint.size;
            witnessed.signed = witnessed.signed.max(is_signed.then_some(size));
            for (place, time) in by {
                if let Some(last) = witnessed.by.get_mut(*place) {
                    *last = (*last).max(Some((size, *time)));
                }
            }
        }
        witnessed
    }

    /// What it says of `checkpoint`, which is stated and signed by these notes. Others among them are passed over.
    ///
    /// # Errors
    /// As [`weigh`](Self::weigh).
    pub fn judge_checkpoint<'a>(
        &self,
        checkpoint: &Checkpoint,
        notes: impl IntoIterator<Item = &'a str>,
    ) -> Result<PolicyVerdict, NoteError> {
        let mut weighed = Vec::new();
        for note in notes {
            weighed.push(self.weigh(note)?);
        }
        let holding = weighed.iter().filter(|it| it.checkpoint == *checkpoint);
        Ok(self.judge(&self.witnessed(holding)))
    }

    /// What it says where its witnesses vouch so far.
    pub(crate) fn judge(&self, witnessed: &Witnessed) -> PolicyVerdict {
        let groups = self.reached(witnessed);
        let entries = witnessed.signed.and_then(|signed| match self.quorum {
            Quorum::None => Some(signed),
            Quorum::Of(member) => reach(witnessed, &groups, member),
        });
        let witness = |(place, witness): (usize, &super::Witness)| {
            let vouches = witnessed.by.get(place).copied().flatten();
            Vouches {
                name: witness.name.clone(),
                key: witness.key.name().to_owned(),
                entries: vouches.map(|(entries, _)| entries),
                cosigned: vouches.map(|(_, time)| at(time)),
            }
        };
        PolicyVerdict {
            quorum: match self.quorum {
                Quorum::None => NONE.to_owned(),
                Quorum::Of(member) => self.name(member).to_owned(),
            },
            met: entries.is_some(),
            entries,
            signed: witnessed.signed,
            witnesses: self.witnesses.iter().enumerate().map(witness).collect(),
            lacking: self.lacking(witnessed, &groups),
        }
    }

    /// For how many entries each group vouches: for as many as its threshold's worth of members do.
    fn reached(&self, witnessed: &Witnessed) -> Vec<Option<u64>> {
        let mut groups: Vec<Option<u64>> = Vec::with_capacity(self.groups.len());
        for Group {
            threshold, members, ..
        } in &self.groups
        {
            let members = members.iter();
            let mut each: Vec<_> = members.map(|it| reach(witnessed, &groups, *it)).collect();
            each.sort_unstable_by(|one, other| other.cmp(one));
            groups.push(each.get(threshold - 1).copied().flatten());
        }
        groups
    }

    /// What keeps the quorum from being met.
    fn lacking(&self, witnessed: &Witnessed, groups: &[Option<u64>]) -> Vec<Lacking> {
        let mut lacking = Vec::new();
        let mut unmet = match self.quorum {
            Quorum::None => Vec::new(),
            Quorum::Of(member) => vec![member],
        };
        while let Some(member) = unmet.pop() {
            if reach(witnessed, groups, member).is_some() {
                continue;
            }
            let name = self.name(member).to_owned();
            let group = match member {
                Member::Witness(_) => None,
                Member::Group(place) => self.groups.get(place),
            };
            let Some(group) = group else {
                // Within a group it is named there.
                if lacking.is_empty() {
                    lacking.push(Lacking {
                        name,
                        needs: 1,
                        has: 0,
                        lacks: Vec::new(),
                    });
                }
                continue;
            };
            let members = group.members.iter().copied();
            let missing = members.filter(|it| reach(witnessed, groups, *it).is_none());
            let missing: Vec<Member> = missing.collect();
            lacking.push(Lacking {
                name,
                needs: group.threshold,
                has: group.members.len() - missing.len(),
                lacks: missing.iter().map(|it| self.name(*it).to_owned()).collect(),
            });
            unmet.extend(missing.into_iter().rev());
        }
        lacking
    }
}

/// For how many entries a witness or group vouches; `groups` are those before it.
fn reach(witnessed: &Witnessed, groups: &[Option<u64>], member: Member) -> Option<u64> {
    match member {
        Member::Witness(place) => witnessed.by.get(place)?.map(|(entries, _)| entries),
        Member::Group(place) => groups.get(place).copied().flatten(),
    }
}

impl Witnessed {
    /// Witnesses that vouch so far, all at one time; none of those with 0.
    #[cfg(test)]
    pub(super) fn test(signed: u64, each: &[u64]) -> Self {
        let each = each.iter().copied();
        Self {
            signed: (signed > 0).then_some(signed),
            by: each.map(|size| (size > 0).then_some((size, 7))).collect(),
        }
    }

    /// The same of another log: for as many entries of it as `covered` says are committed to by so many of this one.
    pub(crate) fn through(&self, covered: impl Fn(u64) -> Option<u64>) -> Self {
        let each = self.by.iter().copied();
        let each = each.map(|it| it.and_then(|(entries, time)| Some((covered(entries)?, time))));
        Self {
            signed: self.signed.and_then(&covered),
            by: each.collect(),
        }
    }

    /// The further of both, of each.
    pub(crate) fn or(self, other: Self) -> Self {
        let pairs = self.by.into_iter().zip(other.by);
        Self {
            signed: self.signed.max(other.signed),
            by: pairs.map(|(one, other)| one.max(other)).collect(),
        }
    }
}

/// A time as a witness states it: any number of seconds.
fn at(seconds: u64) -> String {
    match seconds {
        0..=LAST_SECOND => {
            let time = Timestamp {
                seconds,
                nanoseconds: 0,
            };
            time.to_string()
        }
        later => format!("{later} seconds after 1970"),
    }
}

impl fmt::Display for PolicyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quorum = &self.quorum;
        match (self.entries, self.signed) {
            (Some(entries), _) => write!(
                f,
                "quorum `{quorum}` vouches for the first {entries} entries"
            ),
            (None, Some(_)) => write!(f, "quorum `{quorum}` is NOT met"),
            (None, None) => write!(
                f,
                "quorum `{quorum}` is NOT met: no checkpoint that holds is signed by a log that the policy lists"
            ),
        }
    }
}

impl fmt::Display for Vouches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key, .. } = self;
        match (self.entries, &self.cosigned) {
            (Some(entries), Some(time)) => write!(
                f,
                "`{name}` ({key}) vouches for the first {entries} entries, cosigned {time}"
            ),
            (_, _) => write!(f, "`{name}` ({key}) vouches for nothing of it"),
        }
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, needs, has, ..
        } = self;
        if self.lacks.is_empty() {
            return write!(f, "`{name}` has not cosigned");
        }
        let lacks: Vec<String> = self.lacks.iter().map(|name| format!("`{name}`")).collect();
        let lacks = lacks.join(", ");
        write!(
            f,
            "`{name}` needs {needs} and has {has}; not there: {lacks}"
        )
    }
}

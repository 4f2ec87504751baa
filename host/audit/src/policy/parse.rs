//! The lines of a policy file.

use std::collections::BTreeMap;

use super::{Group, Member, Policy, Quorum, Witness};
use crate::cosignature::InvalidWitnessKey;
use crate::note::InvalidVerifierKey;
use crate::{VerifierKey, WitnessKey};

/// The name of the quorum that needs nobody.
pub(super) const NONE: &str = "none";

/// A text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct InvalidPolicy {
    /// Counted from 1. Where something is missing, the last one.
    pub line: usize,
    /// What is wrong there.
    pub fault: PolicyFault,
}

/// What is wrong with a line of a policy. Names of the file are shown without control characters, and cut off where they are
/// long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// A byte that may stand nowhere.
    #[error(
        "it holds the byte {0:#04x}: save it with plain line feeds, and with spaces or tabs between words"
    )]
    Character(u8),
    /// Another first word.
    #[error(
        "`{0}` begins no line of a policy: write `log`, `witness`, `group` or `quorum`, or `#` before a remark"
    )]
    Keyword(String),
    /// Too few words, or too many.
    #[error("write it as `{0}`")]
    Form(&'static str),
    /// No key of a log.
    #[error("the log's key cannot be read: {0}")]
    LogKey(InvalidVerifierKey),
    /// No key of a witness.
    #[error("the witness's key cannot be read: {0}")]
    WitnessKey(InvalidWitnessKey),
    /// The same key again, whatever its name.
    #[error("line {line} has the same key: take one of the two out")]
    SecondKey {
        /// Where it stands first.
        line: usize,
    },
    /// The name has a meaning already.
    #[error("`none` stands for a quorum of nobody: choose another name")]
    Reserved,
    /// The same name again.
    #[error("line {line} defines `{name}` already: choose another name")]
    SecondName {
        /// The name.
        name: String,
        /// Where it stands first.
        line: usize,
    },
    /// A name that no earlier line defines.
    #[error("no line above defines `{0}`: correct the name, or move its line up")]
    Undefined(String),
    /// `none` in a group.
    #[error("`none` can be the quorum and no member: leave it out")]
    NobodyAsMember,
    /// A member again, here or in another group.
    #[error("`{name}` is a member in line {line} already, and counts once: leave it out here")]
    SecondMember {
        /// Its name.
        name: String,
        /// Where it stands first.
        line: usize,
    },
    /// No number that the members can reach.
    #[error("the threshold must be `all`, `any`, or a number from 1 to {members}, its members")]
    Threshold {
        /// How many there are.
        members: usize,
    },
    /// A quorum again.
    #[error("line {line} has a quorum already: take one of the two out")]
    SecondQuorum {
        /// Where it stands first.
        line: usize,
    },
    /// No quorum.
    #[error("no line has a quorum: add `quorum NAME` of a witness or group, or `quorum none`")]
    NoQuorum,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`InvalidPolicy`]: the first line that is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, InvalidPolicy> {
        let mut reading = Reading::default();
        let lines = file
            .strip_suffix(b"\n")
            .unwrap_or(file)
            .split(|b| *b == b'\n');
        let mut number = 0;
        for line in lines {
            number += 1;
            reading.number = number;
            reading.line(line).map_err(|fault| InvalidPolicy {
                line: number,
                fault,
            })?;
        }
        let Some((quorum, _)) = reading.quorum else {
            return Err(InvalidPolicy {
                line: number,
                fault: PolicyFault::NoQuorum,
            });
        };
        Ok(Self {
            quorum,
            ..reading.policy
        })
    }
}

/// What was read so far.
struct Reading<'a> {
    /// The line that is read, counted from 1.
    number: usize,
    policy: Policy,
    /// Who is called so, and in which line.
    names: BTreeMap<&'a [u8], (Member, usize)>,
    /// In which line a key stands.
    log_keys: BTreeMap<[u8; 32], usize>,
    witness_keys: BTreeMap<[u8; 32], usize>,
    /// In which line a name is a member.
    members: BTreeMap<&'a [u8], usize>,
    quorum: Option<(Quorum, usize)>,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Self {
            number: 0,
            policy: Policy {
                logs: Vec::new(),
                witnesses: Vec::new(),
                groups: Vec::new(),
                quorum: Quorum::None,
            },
            names: BTreeMap::new(),
            log_keys: BTreeMap::new(),
            witness_keys: BTreeMap::new(),
            members: BTreeMap::new(),
            quorum: None,
        }
    }
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), PolicyFault> {
        let is_allowed = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if let Some(byte) = line.iter().find(|byte| !is_allowed(byte)) {
            return Err(PolicyFault::Character(*byte));
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", rest @ ..] => self.log(rest),
            [b"witness", rest @ ..] => self.witness(rest),
            [b"group", rest @ ..] => self.group(rest),
            [b"quorum", rest @ ..] => self.quorum(rest),
            [other, ..] => Err(PolicyFault::Keyword(shown(other))),
        }
    }

    fn log(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let ([key] | [key, _]) = words else {
            return Err(PolicyFault::Form("log KEY [URL]"));
        };
        let key: VerifierKey = text(key).parse().map_err(PolicyFault::LogKey)?;
        if let Some(line) = self.log_keys.insert(*key.public_key(), self.number) {
            return Err(PolicyFault::SecondKey { line });
        }
        self.policy.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, words: &[&'a [u8]]) -> Result<(), PolicyFault> {
        let ([name, key] | [name, key, _]) = words else {
            return Err(PolicyFault::Form("witness NAME KEY [URL]"));
        };
        let key: WitnessKey = text(key).parse().map_err(PolicyFault::WitnessKey)?;
        if let Some(line) = self.witness_keys.insert(*key.public_key(), self.number) {
            return Err(PolicyFault::SecondKey { line });
        }
        self.define(name, Member::Witness(self.policy.witnesses.len()))?;
        let name = shown(name);
        self.policy.witnesses.push(Witness { name, key });
        Ok(())
    }

    fn group(&mut self, words: &[&'a [u8]]) -> Result<(), PolicyFault> {
        let [name, threshold, names @ ..] = words else {
            return Err(PolicyFault::Form("group NAME THRESHOLD MEMBER..."));
        };
        if names.is_empty() {
            return Err(PolicyFault::Form("group NAME THRESHOLD MEMBER..."));
        }
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            members.push(match self.named(member)? {
                Quorum::Of(member) => member,
                Quorum::None => return Err(PolicyFault::NobodyAsMember),
            });
            if let Some(line) = self.members.insert(member, self.number) {
                let name = shown(member);
                return Err(PolicyFault::SecondMember { name, line });
            }
        }
        let threshold = match *threshold {
            b"all" => Some(members.len()),
            b"any" => Some(1),
            number => decimal(number).filter(|number| (1..=members.len()).contains(number)),
        };
        let threshold = threshold.ok_or(PolicyFault::Threshold {
            members: members.len(),
        })?;
        self.define(name, Member::Group(self.policy.groups.len()))?;
        self.policy.groups.push(Group {
            name: shown(name),
            threshold,
            members,
        });
        Ok(())
    }

    fn quorum(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let [name] = words else {
            return Err(PolicyFault::Form("quorum NAME"));
        };
        if let Some((_, line)) = self.quorum {
            return Err(PolicyFault::SecondQuorum { line });
        }
        self.quorum = Some((self.named(name)?, self.number));
        Ok(())
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), PolicyFault> {
        if name == NONE.as_bytes() {
            return Err(PolicyFault::Reserved);
        }
        match self.names.insert(name, (member, self.number)) {
            None => Ok(()),
            Some((_, line)) => Err(PolicyFault::SecondName {
                name: shown(name),
                line,
            }),
        }
    }

    fn named(&self, name: &[u8]) -> Result<Quorum, PolicyFault> {
        if name == NONE.as_bytes() {
            return Ok(Quorum::None);
        }
        let defined = self.names.get(name);
        let defined = defined.map(|(member, _)| Quorum::Of(*member));
        defined.ok_or_else(|| PolicyFault::Undefined(shown(name)))
    }
}

/// A number in decimal, without sign and leading zero.
fn decimal(word: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(word).ok()?;
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A word that is to be a key. What is no UTF-8 is none.
fn text(word: &[u8]) -> &str {
    std::str::from_utf8(word).unwrap_or_default()
}

/// A name of the file for people. It may hold any bytes above 127, and so what a terminal takes for a command.
fn shown(word: &[u8]) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(word);
    let chars = text.chars().take(LONGEST);
    let harmless = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    chars.map(harmless).collect()
}

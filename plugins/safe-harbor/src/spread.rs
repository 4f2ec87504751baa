//! What was found once is found everywhere: a family name that a title gave away stands in the next message alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON, within};
use crate::name;
use crate::token::{Document, Shape, Token};

/// Findings less sure than this stay where they are.
const LEAST: f32 = 0.6;

/// Verbs that tell a person from a word at the start of a sentence (sorted).
const ACTS: [&str; 24] = [
    "agrees", "also", "and", "asked", "asks", "called", "denied", "denies", "did", "does", "feels",
    "had", "has", "is", "lives", "reported", "reports", "returned", "returns", "said", "says",
    "states", "was", "will",
];

/// What to look for in every text.
pub(crate) struct Known<'d> {
    /// Words of names, in lower case.
    names: BTreeSet<&'d str>,
    /// The last byte of their hashes: a word with another is none of them.
    hashes: [bool; 256],
    /// Codes and places, as they were written.
    values: BTreeMap<&'d str, Kind>,
    /// Their [`first`] two bytes.
    firsts: [bool; 256],
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self {
            names: BTreeSet::new(),
            hashes: [false; 256],
            values: BTreeMap::new(),
            firsts: [false; 256],
        }
    }
}

impl<'d> Known<'d> {
    /// Takes up what one text gave.
    pub(crate) fn learn(&mut self, document: &'d Document<'_>, found: &[Found]) {
        for one in found.iter().filter(|one| one.confidence >= LEAST) {
            let value = document.text.get(one.start..one.end).unwrap_or_default();
            match one.kind {
                Kind::Name => {
                    for word in words(document, one) {
                        self.names.insert(&word.lower);
                        set(&mut self.hashes, word.hash.below(8));
                    }
                }
                Kind::Geo => {
                    // A long value is an address; a plain word would be found in every sentence.
                    let plain = (document.token_at(one.start)..document.token_at(one.end))
                        .filter_map(|at| document.get(at))
                        .all(|token| token.flags.any(COMMON | CLINICAL));
                    if value.len() >= 4 && value.starts_with(char::is_alphabetic) && !plain {
                        self.learn_value(value, one.kind);
                    }
                }
                Kind::Date
                | Kind::Age
                | Kind::Phone
                | Kind::Fax
                | Kind::Email
                | Kind::Url
                | Kind::Ip => {}
                Kind::Ssn
                | Kind::Mrn
                | Kind::HealthPlan
                | Kind::Account
                | Kind::License
                | Kind::Vehicle
                | Kind::Device
                | Kind::Biometric
                | Kind::Photo
                | Kind::Id => {
                    let digits = value.chars().filter(char::is_ascii_digit).count();
                    let year =
                        value.len() == 4 && (value.starts_with("19") || value.starts_with("20"));
                    if value.len() >= 4 && digits >= 2 && !year {
                        self.learn_value(value, one.kind);
                    }
                }
            }
        }
    }

    fn learn_value(&mut self, value: &'d str, kind: Kind) {
        self.values.entry(value).or_insert(kind);
        set(&mut self.firsts, first(value.as_bytes(), 0));
    }

    /// Adds where the known words and values stand in `document`.
    pub(crate) fn find(&self, document: &Document<'_>, out: &mut Vec<Found>) {
        let bytes = document.text.as_bytes();
        for (at, token) in document.tokens().iter().enumerate() {
            if token.is_word() && is_set(&self.hashes, token.hash.below(8)) {
                out.extend(self.name_at(document, at, token));
            }
            if is_set(&self.firsts, first(bytes, token.start)) {
                self.values_at(document, token.start, out);
            }
            // A value may stand behind an apostrophe inside a word.
            if token.end - token.start != token.letters + token.digits {
                for start in token.start + 1..token.end {
                    if is_set(&self.firsts, first(bytes, start)) {
                        self.values_at(document, start, out);
                    }
                }
            }
        }
    }

    /// The known name that the word at `at` is.
    fn name_at(&self, document: &Document<'_>, at: usize, token: &Token<'_>) -> Option<Found> {
        if !self.names.contains(&*token.lower) {
            return None;
        }
        // A name that is also a word counts when written as a name inside a sentence.
        let doubtful = token.flags.any(COMMON | CLINICAL);
        let acts = || token.shape == Shape::Title && within(document.lower(at + 1), &ACTS);
        if doubtful && (token.shape == Shape::Lower || document.begins_sentence(at) && !acts())
            || name::makes_a_term(document, at + 1)
        {
            return None;
        }
        Some(Found {
            start: token.start,
            end: token.end,
            kind: Kind::Name,
            confidence: 0.8,
            rule: "known-name",
        })
    }

    /// Adds the known values that stand at byte `start` and are not part of a longer word.
    fn values_at(&self, document: &Document<'_>, start: usize, out: &mut Vec<Found>) {
        let Some((before, after)) = document.text.split_at_checked(start) else {
            return;
        };
        let open = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
        let first = after.as_bytes().first();
        for (value, kind) in &self.values {
            // One look at a byte spares most comparisons.
            if value.as_bytes().first() == first
                && let Some(rest) = after.strip_prefix(value)
                && open(rest.chars().next())
                && open(before.chars().next_back())
            {
                out.push(Found {
                    start,
                    end: start + value.len(),
                    kind: *kind,
                    confidence: 0.75,
                    rule: "known-value",
                });
            }
        }
    }
}

/// A number below 256 for the two bytes from `at` on: what begins with another is not equal.
fn first(bytes: &[u8], at: usize) -> usize {
    let byte = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
    (byte(at) ^ byte(at + 1).wrapping_mul(9)) & 0xff
}

fn set(bits: &mut [bool; 256], at: usize) {
    if let Some(bit) = bits.get_mut(at) {
        *bit = true;
    }
}

fn is_set(bits: &[bool; 256], at: usize) -> bool {
    bits.get(at) == Some(&true)
}

/// The words of a name that can be looked for: three letters or more, and more than an everyday word.
///
/// A title or a label makes a name of an everyday word as well: "Dr. Page".
fn words<'d>(document: &'d Document<'_>, one: &Found) -> impl Iterator<Item = &'d Token<'d>> {
    let end = one.end;
    let sure = matches!(one.rule, "name-after-title" | "name-after-label");
    (document.token_at(one.start)..)
        .map_while(|at| document.get(at))
        .take_while(move |token| token.start < end)
        .filter(|token| matches!(token.shape, Shape::Title | Shape::Upper | Shape::Lower))
        .filter(move |token| {
            token.lower.chars().count() >= 3
                && (!token.flags.is_plain() || sure && token.shape == Shape::Title)
        })
}

//! What was found once is found everywhere: a family name that a title gave away stands in the next message alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON};
use crate::name;
use crate::token::{Document, Shape};

/// Findings less sure than this stay where they are.
const LEAST: f32 = 0.6;

/// What to look for in every text.
#[derive(Default)]
pub(crate) struct Known {
    /// Words of names, in lower case.
    names: BTreeSet<String>,
    /// Codes and places, as they were written.
    values: BTreeMap<String, Kind>,
}

impl Known {
    /// Takes up what one text gave.
    pub(crate) fn learn(&mut self, document: &Document<'_>, found: &[Found]) {
        for one in found.iter().filter(|one| one.confidence >= LEAST) {
            let value = document.text.get(one.start..one.end).unwrap_or_default();
            match one.kind {
                Kind::Name => self.names.extend(words(document, one)),
                Kind::Geo => {
                    // A long value is an address; a plain word would be found in every sentence.
                    let plain = (document.token_at(one.start)..document.token_at(one.end))
                        .filter_map(|at| document.get(at))
                        .all(|token| token.flags.any(COMMON | CLINICAL));
                    if value.len() >= 4 && value.starts_with(char::is_alphabetic) && !plain {
                        self.values.entry(value.to_owned()).or_insert(one.kind);
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
                        self.values.entry(value.to_owned()).or_insert(one.kind);
                    }
                }
            }
        }
    }

    /// Adds where the known words and values stand in `document`.
    pub(crate) fn find(&self, document: &Document<'_>, out: &mut Vec<Found>) {
        for at in 0..document.len() {
            let Some(token) = document.get(at) else { break };
            if !token.is_word() || !self.names.contains(&token.lower) {
                continue;
            }
            // A name that is also a word counts when written as a name inside a sentence.
            let doubtful = token.flags.any(COMMON | CLINICAL);
            if doubtful && (token.shape == Shape::Lower || document.begins_sentence(at))
                || name::makes_a_term(document, at + 1)
            {
                continue;
            }
            out.push(Found {
                start: token.start,
                end: token.end,
                kind: Kind::Name,
                confidence: 0.8,
                rule: "known-name",
            });
        }
        for (value, kind) in &self.values {
            for (start, _) in document.text.match_indices(value.as_str()) {
                let end = start + value.len();
                let open = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
                let before = document
                    .text
                    .get(..start)
                    .and_then(|text| text.chars().next_back());
                let after = document
                    .text
                    .get(end..)
                    .and_then(|text| text.chars().next());
                if open(before) && open(after) {
                    out.push(Found {
                        start,
                        end,
                        kind: *kind,
                        confidence: 0.75,
                        rule: "known-value",
                    });
                }
            }
        }
    }
}

/// The words of a name that can be looked for: three letters or more, and more than an everyday word.
fn words<'d>(document: &'d Document<'_>, one: &Found) -> impl Iterator<Item = String> + 'd {
    let end = one.end;
    (document.token_at(one.start)..)
        .map_while(|at| document.get(at))
        .take_while(move |token| token.start < end)
        .filter(|token| matches!(token.shape, Shape::Title | Shape::Upper | Shape::Lower))
        .filter(|token| token.lower.chars().count() >= 3 && !token.flags.is_plain())
        .map(|token| token.lower.clone())
}

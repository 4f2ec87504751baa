//! The features of the tagger: for each candidate the surroundings of the word, hashed into [`BUCKETS`].
//!
//! Names themselves are no features, only the lists they stand in: the model learns surroundings, and learns nobody by
//! heart.

use std::collections::BTreeSet;

use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON, FAMILY, Flags, GIVEN, KNOWN, role};
use crate::token::{Document, Gap, Shape};
use crate::words::Hash;

/// How many pairs of weights there are.
pub(crate) const BUCKETS: usize = 1 << BITS;
const BITS: u32 = 16;
/// A name that a rule is so sure of is looked for elsewhere.
const SURE: f32 = 0.85;

/// What a word is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// No name and no place.
    Outside,
    /// A name.
    Name,
    /// A place or a facility.
    Place,
}

/// The surroundings of each token, as numbers.
pub(crate) struct Reader<'d, 'a> {
    document: &'d Document<'a>,
    /// What stands there: a word that is no name by itself, a mark, or only which lists the word is in.
    words: Vec<u32>,
    /// Which lists it is in, and how it is written.
    lists: Vec<u32>,
    /// The rule that took it for a name or a place.
    rules: Vec<u32>,
    /// Whether a rule is sure of the word as a name, here or elsewhere.
    known: Vec<bool>,
    /// Whether the text is in lower case, in capitals or mixed.
    regime: u32,
}

const fn mix(a: u32, b: u32) -> u32 {
    let mixed = (a ^ b.rotate_left(15)).wrapping_mul(0x9e37_79b1);
    mixed ^ (mixed >> 15)
}

fn list_code(flags: Flags) -> u32 {
    const ASKED: [u64; 24] = [
        GIVEN,
        FAMILY,
        COMMON,
        CLINICAL,
        KNOWN,
        role::PLACE,
        role::STATE_NAME,
        role::STATE,
        role::TITLE,
        role::LABEL,
        role::BEFORE,
        role::CREDENTIAL,
        role::EPONYM,
        role::PARTICLE,
        role::NEVER,
        role::STREET,
        role::FACILITY,
        role::GENERIC,
        role::COUNTY,
        role::PREPOSITION,
        role::LIFE,
        role::VISIT,
        role::MEASURE,
        role::DRUG,
    ];
    ASKED
        .iter()
        .fold(1, |code, flag| code << 1 | u32::from(flags.any(*flag)))
}

const fn shape_code(shape: Shape) -> u32 {
    match shape {
        Shape::Lower => 1,
        Shape::Title => 2,
        Shape::Upper => 3,
        Shape::Initial => 4,
        Shape::Number => 5,
        Shape::Code => 6,
        Shape::Possessive => 7,
        Shape::Mark(_) => 8,
    }
}

fn length_code(letters: usize) -> u32 {
    match letters {
        0..=3 => 3,
        4 => 4,
        5..=6 => 5,
        7..=9 => 6,
        _ => 7,
    }
}

impl<'d, 'a> Reader<'d, 'a> {
    /// Reads `document`, in which the rules have `found` something.
    #[must_use]
    pub(crate) fn new(document: &'d Document<'a>, found: &[Found]) -> Self {
        let mut rules = vec![0; document.len()];
        let mut sure = BTreeSet::new();
        let mut surest: Vec<&Found> = found
            .iter()
            .filter(|one| matches!(one.kind, Kind::Name | Kind::Geo))
            .collect();
        surest.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
        for one in surest {
            let rule = Hash::of(one.rule).number();
            for at in document.token_at(one.start)..document.token_at(one.end) {
                if let Some(place) = rules.get_mut(at) {
                    *place = rule;
                }
                if one.kind == Kind::Name
                    && one.confidence >= SURE
                    && let Some(token) = document.get(at)
                {
                    sure.insert(token.hash.number());
                }
            }
        }
        let known = document
            .tokens()
            .iter()
            .map(|token| token.letters > 2 && sure.contains(&token.hash.number()))
            .collect();
        let (mut capital, mut upper, mut all) = (0, 0, 0);
        for token in document.tokens() {
            match token.shape {
                Shape::Title => capital += 1,
                Shape::Upper if token.letters > 3 => upper += 1,
                Shape::Lower => {}
                Shape::Upper
                | Shape::Initial
                | Shape::Number
                | Shape::Code
                | Shape::Possessive
                | Shape::Mark(_) => continue,
            }
            all += 1;
        }
        let regime = if upper * 2 > all {
            1
        } else if capital * 25 < all {
            2
        } else {
            3
        };
        let lists: Vec<u32> = document
            .tokens()
            .iter()
            .map(|token| mix(list_code(token.flags), shape_code(token.shape)))
            .collect();
        let words = document
            .tokens()
            .iter()
            .zip(&lists)
            .map(|(token, lists)| match token.shape {
                Shape::Number => mix(0x4e, length_code(token.digits)),
                Shape::Code => mix(0x43, length_code(token.letters)),
                Shape::Possessive => 0x50,
                Shape::Mark(mark) => mix(0x4d, u32::from(mark)),
                Shape::Initial => 0x49,
                // A word in capitals is the same word.
                Shape::Lower | Shape::Title | Shape::Upper if is_told(token.flags) => {
                    token.hash.number()
                }
                Shape::Lower | Shape::Title | Shape::Upper => *lists,
            })
            .collect();
        Self {
            document,
            words,
            lists,
            rules,
            known,
            regime,
        }
    }

    /// Whether a rule is sure of the word at `at` as a name, here or elsewhere.
    #[must_use]
    pub(crate) fn is_known(&self, at: usize) -> bool {
        self.known.get(at) == Some(&true)
    }

    fn rule(&self, at: Option<usize>) -> u32 {
        at.and_then(|at| self.rules.get(at))
            .copied()
            .unwrap_or_default()
    }

    fn word(&self, at: Option<usize>) -> u32 {
        at.and_then(|at| self.words.get(at))
            .copied()
            .unwrap_or(0x5e)
    }

    fn list(&self, at: Option<usize>) -> u32 {
        at.and_then(|at| self.lists.get(at))
            .copied()
            .unwrap_or(0x5e)
    }

    /// Whether the model is asked about the token at `at`, of which `before` is the tag of the one before it.
    #[must_use]
    pub(crate) fn is_candidate(&self, at: usize, before: Tag) -> bool {
        let before_initial = || {
            let dot = usize::from(self.document.get(at + 1).is_some_and(|next| next.is('.')));
            self.document
                .get(at + 1 + dot)
                .is_some_and(|next| next.is_capital() && next.gap != Gap::Line)
        };
        self.document
            .get(at)
            .is_some_and(|token| match token.shape {
                Shape::Title | Shape::Upper => {
                    let is_listed = token.flags.any(GIVEN | FAMILY);
                    let only_listed = role::BEFORE | role::CREDENTIAL;
                    !token.flags.any(role::TITLE | role::NEVER)
                        && (is_listed || !token.flags.any(only_listed))
                }
                Shape::Initial => before != Tag::Outside || before_initial(),
                Shape::Lower => {
                    token.letters > 1
                        && !token.flags.any(role::NEVER)
                        && (before != Tag::Outside
                            || token.flags.any(GIVEN | FAMILY | KNOWN)
                            || token.flags.is_unknown() && !token.flags.any(WITH_ROLE))
                }
                Shape::Number | Shape::Code | Shape::Possessive | Shape::Mark(_) => false,
            })
    }

    /// Writes the buckets of the features of the token at `at` to `out`; `before` is the tag of the token before it.
    pub(crate) fn features(&self, at: usize, before: Tag, out: &mut Vec<u32>) {
        out.clear();
        let Some(token) = self.document.get(at) else {
            return;
        };
        let back = |steps: usize| at.checked_sub(steps);
        let (w1, w2) = (self.word(back(1)), self.word(back(2)));
        let (n1, n2) = (self.word(Some(at + 1)), self.word(Some(at + 2)));
        let (l0, l1, m1, m2) = (
            mix(self.list(Some(at)), length_code(token.letters)),
            self.list(back(1)),
            self.list(Some(at + 1)),
            self.list(Some(at + 2)),
        );
        let gap = |gap: Gap| match gap {
            Gap::None => 1,
            Gap::Space => 2,
            Gap::Line => 3,
        };
        let rule = mix(self.rule(Some(at)), u32::from(self.is_known(at)));
        let gaps = mix(
            gap(token.gap),
            self.document.get(at + 1).map_or(3, |next| gap(next.gap)),
        );
        let begins = u32::from(self.document.begins_sentence(at));
        let tag = match before {
            Tag::Outside => 1,
            Tag::Name => 2,
            Tag::Place => 3,
        };
        let shape = mix(shape_code(token.shape), self.regime);
        let ending = |letters: usize| {
            let lower = token.lower.as_bytes();
            lower
                .iter()
                .skip(lower.len().saturating_sub(letters))
                .fold(7, |code, byte| mix(code, u32::from(*byte)))
        };
        let itself = if is_told(token.flags) || token.flags.any(COMMON | CLINICAL) {
            token.hash.number()
        } else {
            ending(3)
        };
        let values = [
            l0,
            mix(shape, begins),
            mix(mix(l0, shape), begins),
            mix(mix(itself, shape), 1),
            mix(ending(2), shape),
            mix(gaps, shape),
            mix(gaps, l0),
            w1,
            w2,
            n1,
            n2,
            mix(w1, l0),
            mix(w2, l0),
            mix(n1, l0),
            mix(n2, l0),
            mix(w1, w2),
            mix(n1, n2),
            mix(w1, n1),
            mix(mix(w1, n1), l0),
            mix(mix(w1, w2), l0),
            mix(l1, l0),
            mix(m1, l0),
            mix(mix(l1, m1), l0),
            mix(m1, m2),
            mix(tag, l0),
            mix(mix(tag, shape), itself),
            mix(tag, w1),
            mix(mix(tag, m1), l0),
            mix(self.regime, l0),
            rule,
            mix(rule, l0),
            mix(rule, w1),
            mix(rule, n1),
            mix(mix(rule, shape), begins),
            mix(self.rule(back(1)), l0),
            mix(self.rule(Some(at + 1)), l0),
            mix(u32::from(token.lower.is_ascii()), l0),
        ];
        out.extend(
            (1..)
                .zip(values)
                .map(|(template, value)| bucket(template, value)),
        );
        // The words around, wherever they stand there.
        for step in 2..=5 {
            if let Some(at) = back(step) {
                out.push(bucket(40, self.word(Some(at))));
            }
        }
        for step in 2..=4 {
            out.push(bucket(41, self.word(Some(at + step))));
        }
    }
}

/// Roles that a word can have and that the long lists do not know of.
const WITH_ROLE: u64 = role::CREDENTIAL | role::MEASURE | role::STREET | role::STATE_NAME;

fn bucket(template: u32, value: u32) -> u32 {
    mix(value, template.wrapping_mul(0x85eb_ca6b)) >> (u32::BITS - BITS)
}

/// Whether the word itself may be a feature: it is in the lists of words, or does something in the rules, and is no name.
const fn is_told(flags: Flags) -> bool {
    !flags.any(GIVEN | FAMILY | KNOWN)
        && (flags.any(COMMON | CLINICAL)
            || flags.any(role::PREPOSITION | role::NEVER | role::LABEL))
}

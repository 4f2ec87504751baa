//! A small linear model that says how much a word looks like part of a name or of a place, by the words around it.
//!
//! It judges candidates only: words that are written as names are, that a list of names has, or that no list has. Each
//! of the features that [`crate::reader`] gives has two weights of eight bits. `cargo xtask train` makes the file.
//!
//! All sums are of whole numbers, so that every machine comes to the same answer.

use crate::found::{Found, Kind};
use crate::lexicon::role;
use crate::name;
use crate::reader::{Reader, Tag};
use crate::token::{Document, Gap, Shape, Token};

/// What a weight of one is in the file: a score of this size is a log-odds of 1.
pub(crate) const UNIT: i32 = 16;

/// The weights: for each bucket one for names and one for places.
static MODEL: &[u8] = include_bytes!("../words/model.bin");

/// How much a word looks like a part of something, in sixteenths of log-odds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    name: i32,
    place: i32,
}

impl Score {
    const NONE: Self = Self {
        name: i32::MIN / 4,
        place: i32::MIN / 4,
    };

    /// Of either: two that are alike add up to a log-odds of ln 2 more.
    #[must_use]
    pub(crate) fn either(self) -> i32 {
        let apart = (self.name - self.place).abs();
        self.name.max(self.place) + (UNIT * 11 / 16 - apart / 2).max(0)
    }

    fn tag(self, least: i32) -> Tag {
        match (self.either() >= least, self.name >= self.place) {
            (false, _) => Tag::Outside,
            (true, true) => Tag::Name,
            (true, false) => Tag::Place,
        }
    }
}

/// The score of the token at `at`.
fn score(reader: &Reader<'_, '_>, at: usize, before: Tag, features: &mut Vec<u32>) -> Score {
    reader.features(at, before, features);
    let mut score = Score { name: 0, place: 0 };
    for bucket in features.iter() {
        let at = *bucket as usize * 2;
        if let Some([name, place]) = MODEL.get(at..at + 2) {
            score.name += i32::from(name.cast_signed());
            score.place += i32::from(place.cast_signed());
        }
    }
    score
}

/// How sure the model must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The least score that makes a finding.
    pub(crate) finds: i32,
    /// What rules only suspect is dropped when no word of it has this score.
    pub(crate) keeps: i32,
}

/// Adds what the model finds in `document`, and drops what it does not believe of the rules' suspicions.
pub(crate) fn tag(document: &Document<'_>, trust: Trust, found: &mut Vec<Found>) {
    let reader = Reader::new(document, found);
    let mut features = Vec::with_capacity(48);
    let mut before = Tag::Outside;
    let mut scores = Vec::with_capacity(document.len());
    for at in 0..document.len() {
        let score = if reader.is_candidate(at, before) {
            score(&reader, at, before, &mut features)
        } else {
            Score::NONE
        };
        // What joins the words of a name lets it go on.
        let joins = document
            .get(at)
            .is_some_and(|token| matches!(token.shape, Shape::Mark('-' | '.' | '\'' | '’')));
        if !joins {
            before = score.tag(0);
        }
        scores.push(score);
    }
    found.retain(|one| {
        !is_suspicion(one)
            || (document.token_at(one.start)..document.token_at(one.end))
                .filter_map(|at| scores.get(at))
                .any(|score| score.either() >= trust.keeps)
    });
    // What a rule is sure of keeps the kind that the rule gave it.
    let sure: Vec<(usize, usize)> = found
        .iter()
        .filter(|one| {
            matches!(one.kind, Kind::Name | Kind::Geo)
                && one.confidence >= 0.7
                && !is_suspicion(one)
        })
        .map(|one| (one.start, one.end))
        .collect();
    let mut tags: Vec<Tag> = document
        .tokens()
        .iter()
        .zip(&scores)
        .map(|(token, score)| {
            // An everyday word needs more.
            let least = trust.finds + if token.flags.is_plain() { UNIT } else { 0 };
            score.tag(least)
        })
        .collect();
    spread(document, &scores, trust.finds - BESIDE, &mut tags);
    for (at, (token, score)) in document.tokens().iter().zip(&scores).enumerate() {
        let kind = match tags.get(at) {
            None | Some(Tag::Outside) => continue,
            Some(Tag::Name) => Kind::Name,
            Some(Tag::Place) => Kind::Geo,
        };
        // A letter or a particle is part of a name only beside another part, and so is a State of a place.
        let is_part = token.shape == Shape::Initial
            || token.flags.any(role::PARTICLE)
            || kind == Kind::Geo && token.flags.any(role::STATE_NAME);
        let is_sure = sure
            .iter()
            .any(|(start, end)| *start <= token.start && token.end <= *end);
        // "Grover disease": unless the model is very sure, or the name is known otherwise.
        let paired = [0, 1, 2].into_iter().any(|back| {
            at.checked_sub(back)
                .is_some_and(|first| name::pair(document, first).is_some_and(|after| after > at))
        });
        let is_term = score.either() < 4 * UNIT
            && !reader.is_known(at)
            && (paired || kind == Kind::Name && name::makes_a_term(document, at + 1));
        if is_sure || is_term || is_part && !has_neighbour(document, &tags, at) {
            continue;
        }
        found.push(finding(token, kind, score.either()));
    }
}

/// How much less a word needs that stands beside a word that is tagged.
const BESIDE: i32 = 3 * UNIT / 2;

/// Lets words beside tagged ones join them when their score is `least`: names and places come in runs.
fn spread(document: &Document<'_>, scores: &[Score], least: i32, tags: &mut [Tag]) {
    let forth = 1..tags.len();
    for at in forth.clone().chain(forth.rev().map(|at| at - 1)) {
        // Capitals beside capitals; in lower case only words that are likely by themselves.
        let joins = |at: usize| {
            document
                .get(at)
                .zip(document.before(at, 1))
                .is_some_and(|(token, before)| {
                    token.gap == Gap::Space
                        && (token.is_capital() == before.is_capital())
                        && token.is_word()
                })
        };
        // Once from the left, once from the right.
        let neighbours = [
            at.checked_sub(1).filter(|_| joins(at)),
            Some(at + 1).filter(|next| joins(*next)),
        ];
        let beside = neighbours
            .into_iter()
            .flatten()
            .filter_map(|place| tags.get(place).copied())
            .find(|tag| *tag != Tag::Outside);
        let may_join = document.get(at).is_some_and(Token::is_word)
            && scores.get(at).is_some_and(|score| score.either() >= least);
        if let Some((beside, tag)) = beside.zip(tags.get_mut(at))
            && *tag == Tag::Outside
            && may_join
        {
            *tag = beside;
        }
    }
}

/// Whether a word beside the one at `at`, perhaps behind a dot, has a tag and is more than a letter.
fn has_neighbour(document: &Document<'_>, tags: &[Tag], at: usize) -> bool {
    let is_part = |place: Option<usize>| {
        place.is_some_and(|place| {
            tags.get(place).is_some_and(|tag| *tag != Tag::Outside)
                && document.get(place).is_some_and(|token| {
                    token.shape != Shape::Initial
                        && !token.flags.any(role::PARTICLE | role::STATE_NAME)
                })
        })
    };
    let dot = |place: Option<usize>| {
        place
            .and_then(|place| document.get(place))
            .is_some_and(|token| matches!(token.shape, Shape::Mark('.' | ',' | '-')))
    };
    let back = at.checked_sub(1);
    let back = if dot(back) { at.checked_sub(2) } else { back };
    let next = if dot(Some(at + 1)) { at + 2 } else { at + 1 };
    is_part(back) || is_part(Some(next))
}

fn finding(token: &Token<'_>, kind: Kind, score: i32) -> Found {
    // The logistic function at steps of a half.
    const LOGISTIC: [f32; 9] = [0.5, 0.62, 0.73, 0.82, 0.88, 0.92, 0.95, 0.97, 0.98];
    let step = usize::try_from(score.abs() * 2 / UNIT).unwrap_or_default();
    let sure = LOGISTIC.get(step).copied().unwrap_or(0.98);
    Found {
        start: token.start,
        end: token.end,
        kind,
        confidence: if score < 0 { 1.0 - sure } else { sure },
        rule: if kind == Kind::Geo {
            "model-place"
        } else {
            "model-name"
        },
    }
}

/// Whether a rule only suspects what it found: the word lists alone told it, or that no list has the word.
fn is_suspicion(one: &Found) -> bool {
    matches!(
        one.rule,
        "name-listed"
            | "name-unknown-word"
            | "name-unknown-words"
            | "name-family"
            | "place-listed"
            | "place-by-cue"
            | "facility-plain"
            | "facility-letters"
    ) || one.rule == "facility" && one.confidence < 0.6
}

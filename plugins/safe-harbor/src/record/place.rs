//! Addresses and facilities that are known: each of their parts by itself, with another word for "street", with faults.

use super::Of;
use super::near::{Nearness, Wanted};
use super::view::{View, spans};
use crate::found::{Found, Kind};
use crate::lexicon::{Lexicon, role};
use crate::token::{Document, Shape};

/// One part of an address: what stands between two commas.
struct Place {
    of: Of,
    /// Of the street, which is looked for with it.
    number: Option<String>,
    /// The words that tell this place from others, which stand together.
    core: Vec<Wanted>,
    /// Whether they do so by themselves.
    is_strong: bool,
    /// Its other words and those of the whole address: where one of them goes on, so does the span.
    others: Vec<String>,
}

#[derive(Default)]
pub(super) struct Places {
    places: Vec<Place>,
    /// ZIP and other postal codes.
    codes: Vec<(Of, String)>,
}

/// Words that are part of many addresses.
const GENERIC: u64 = role::STREET
    | role::DIRECTION
    | role::PART
    | role::FACILITY
    | role::GENERIC
    | role::STREET_JOINT
    | role::COUNTY
    | role::TOWN
    | role::PREPOSITION
    | role::STATE
    | role::STATE_NAME;

/// Words that may go on behind a street: `St`, `NW`, `Apt`.
const STREET: u64 = role::STREET | role::DIRECTION | role::PART;

impl Places {
    pub(super) fn add(&mut self, of: Of, value: &str, lexicon: &Lexicon) {
        let all: Vec<String> = words(value);
        for part in value.split([',', ';', '\n', '|']) {
            let written = words(part);
            for word in written.iter().filter(|word| is_code(word)) {
                self.codes.push((of, word.clone()));
            }
            let generic = |word: &str| {
                word.chars().count() < 2
                    || super::flags(lexicon, word).any(GENERIC)
                    || is_nation(word)
            };
            let number = written
                .first()
                .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            let number = number
                .filter(|_| written.len() > 1 && !is_ordinal(&written))
                .cloned();
            let core: Vec<&String> = written
                .iter()
                .skip(usize::from(number.is_some()))
                .skip_while(|word| generic(word))
                .take_while(|word| !generic(word))
                .filter(|word| !is_code(word))
                .collect();
            if core.is_empty() {
                continue;
            }
            let is_strong = core.iter().any(|word| {
                !super::flags(lexicon, word).any(super::PLAIN)
                    && word.contains(char::is_alphabetic)
                    && word.chars().count() > 3
            });
            self.places.push(Place {
                of,
                number,
                is_strong,
                core: core.into_iter().map(|word| Wanted::new(word)).collect(),
                others: all.clone(),
            });
        }
    }

    /// Adds where the places stand.
    pub(super) fn find(&self, document: &Document<'_>, view: &View<'_>, out: &mut Vec<Found>) {
        for (at, word) in view.words.iter().enumerate() {
            let code = self.codes.iter().find(|(_, code)| *code == word.read.plain);
            if let Some((of, _)) = code {
                out.push(super::found(
                    word.start,
                    word.end,
                    Kind::Geo,
                    Nearness::Same,
                    *of,
                ));
            }
            let found = self
                .places
                .iter()
                .filter_map(|place| place.at(document, view, at));
            out.extend(found);
        }
    }
}

impl Place {
    fn at(&self, document: &Document<'_>, view: &View<'_>, at: usize) -> Option<Found> {
        let lexicon = document.lexicon;
        let mut nearness = Nearness::Same;
        for (place, wanted) in (at..).zip(&self.core) {
            let word = view.words.get(place)?;
            if place > at && !view.adjoins(place - 1, place) {
                return None;
            }
            let is_plain = super::flags(lexicon, &word.read.plain).any(super::PLAIN);
            nearness = nearness.min(wanted.is(&word.read, is_plain)?);
        }
        let mut last = at + self.core.len() - 1;
        let mut first = at;
        // Towards the front: the number of the house, a direction.
        while let Some(before) = first
            .checked_sub(1)
            .filter(|before| view.adjoins(*before, first))
            && let Some(word) = view.words.get(before)
            && at - before <= 2
            && (self.number.as_ref() == Some(&word.read.plain)
                || super::flags(lexicon, &word.read.plain).any(role::DIRECTION) && word.is_capital)
        {
            first = before;
        }
        let mut reach = last + 1;
        while view.words.get(reach).is_some() && view.adjoins(reach - 1, reach) {
            let word = view.words.get(reach)?;
            let (plain, flags) = (&word.read.plain, super::flags(lexicon, &word.read.plain));
            let is_other =
                self.others.contains(plain) || flags.any(STREET) && self.number.is_some();
            // The State and what is merely a word may follow, but end no address.
            if is_other
                && !flags.any(role::STATE | role::STATE_NAME | role::PREPOSITION)
                && !is_nation(plain)
            {
                last = reach;
            } else if !is_other {
                break;
            }
            reach += 1;
        }
        let is_told = first < at || last >= at + self.core.len() || self.core.len() > 1;
        let start = view.words.get(at)?.start;
        let is_written = || {
            let token = document.token_at(start);
            document
                .get(token)
                .is_some_and(|one| one.shape == Shape::Title)
                && !document.begins_sentence(token)
        };
        if !self.is_strong && !is_told && !is_written() {
            return None;
        }
        let (start, end) = (view.words.get(first)?.start, view.words.get(last)?.end);
        Some(super::found(start, end, Kind::Geo, nearness, self.of))
    }
}

fn words(text: &str) -> Vec<String> {
    let words = spans(text)
        .into_iter()
        .filter_map(|(start, end)| text.get(start..end));
    words.map(|word| Wanted::new(word).plain).collect()
}

/// Whether it is a postal code: five digits or more, or letters and digits as in `sw1a`.
fn is_code(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits == word.len() && digits >= 5
}

/// Whether an address begins with an ordinal: `5th Avenue`.
fn is_ordinal(words: &[String]) -> bool {
    words.first().is_some_and(|word| {
        ["st", "nd", "rd", "th"]
            .iter()
            .any(|end| word.ends_with(end))
    })
}

fn is_nation(word: &str) -> bool {
    matches!(word, "usa" | "us" | "united" | "states" | "america")
}

//! Names of those who are known: in any case and order, with faults, torn, run together, or as initials.

use std::collections::BTreeMap;

use super::Of;
use super::near::{Nearness, Wanted, misread};
use super::view::{View, spans};
use crate::found::{Found, Kind};
use crate::lexicon::{COMMON, FAMILY, Lexicon, role, within};
use crate::name::makes_a_term;
use crate::token::{Document, Shape};

/// One word of somebody's name.
struct Part {
    wanted: Wanted,
    /// Whether it is a name by itself. An everyday word (`May`) or a particle (`van`) is one beside another word of the name,
    /// or by its capital.
    is_strong: bool,
    /// Whose, in order.
    people: Vec<usize>,
}

/// Somebody who is known.
struct Person {
    of: Of,
    /// First letters, given names first.
    initials: Vec<char>,
}

/// Everybody's names.
#[derive(Default)]
pub(super) struct Names {
    people: Vec<Person>,
    parts: Vec<Part>,
    /// Who has a word in the name, by the word as it is misread.
    words: BTreeMap<String, usize>,
    /// Who has two words in the name that read so without a blank.
    joined: BTreeMap<String, usize>,
}

/// One word of the text that is of somebody's name.
#[derive(Clone, Copy)]
struct Hit {
    part: usize,
    nearness: Nearness,
}

/// Words of names that say nothing of who it is (sorted).
const SUFFIXES: [&str; 6] = ["ii", "iii", "iv", "jr", "nee", "sr"];

/// Words before the name of a month (sorted).
const BEFORE_MONTHS: [&str; 14] = [
    "by", "during", "early", "from", "in", "last", "late", "mid", "next", "of", "since", "this",
    "through", "until",
];

/// Words after which two or three capitals are somebody's initials (sorted).
const BEFORE_INITIALS: [&str; 12] = [
    "client", "initials", "miss", "mr", "mrs", "ms", "patient", "pt", "pts", "resident", "subject",
    "veteran",
];

impl Names {
    pub(super) fn add(&mut self, of: Of, value: &str, lexicon: &Lexicon) {
        let (family, given) = match value.split_once(',') {
            // `Castellane, MD` has no given name behind its comma.
            Some((family, given)) if !words(given, lexicon).is_empty() => {
                (words(family, lexicon), words(given, lexicon))
            }
            Some((family, _)) => (words(family, lexicon), Vec::new()),
            None => (Vec::new(), words(value, lexicon)),
        };
        let ordered: Vec<&str> = given.into_iter().chain(family).collect();
        if ordered.is_empty() {
            return;
        }
        let person = self.people.len();
        let initials = ordered.iter().filter_map(|word| word.chars().next());
        self.people.push(Person {
            of,
            initials: initials.flat_map(char::to_lowercase).collect(),
        });
        let whole: Vec<Wanted> = ordered
            .iter()
            .map(|word| Wanted::new(word))
            .filter(|wanted| wanted.len() > 1)
            .collect();
        for wanted in &whole {
            self.part(person, wanted, lexicon);
        }
        for (place, first) in whole.iter().enumerate() {
            for (other, second) in whole.iter().enumerate() {
                if place != other && first.len() + second.len() >= 6 {
                    let joined = misread(&[first.plain.as_str(), &second.plain].concat());
                    self.joined.entry(joined).or_insert(person);
                }
            }
        }
    }

    fn part(&mut self, person: usize, wanted: &Wanted, lexicon: &Lexicon) {
        let misread = misread(&wanted.plain);
        self.words.entry(misread).or_insert(person);
        let known = self.parts.iter_mut();
        let known = known.rev().find(|part| part.wanted.plain == wanted.plain);
        if let Some(part) = known {
            part.people.push(person);
            return;
        }
        let flags = super::flags(lexicon, &wanted.plain);
        let is_weak = wanted.len() < 3
            || flags.any(super::PLAIN | role::PARTICLE)
            || wanted.plain.bytes().any(|b| b.is_ascii_digit());
        self.parts.push(Part {
            wanted: wanted.clone(),
            is_strong: !is_weak,
            people: vec![person],
        });
    }

    /// Adds where the names stand.
    pub(super) fn find(&self, document: &Document<'_>, view: &View<'_>, out: &mut Vec<Found>) {
        if self.people.is_empty() {
            return;
        }
        let hits: Vec<Option<Hit>> = (0..view.words.len())
            .map(|at| self.hit(document.lexicon, view, at))
            .collect();
        let mut at = 0;
        while at < hits.len() {
            let found = self.run(document, view, &hits, at);
            let found = found.or_else(|| self.torn_or_joined(document.lexicon, view, at));
            let found = found.or_else(|| self.as_initials(view, at));
            match found {
                Some((found, after)) => {
                    out.push(found);
                    at = after;
                }
                None => at += 1,
            }
        }
    }

    fn hit(&self, lexicon: &Lexicon, view: &View<'_>, at: usize) -> Option<Hit> {
        let word = view.words.get(at)?;
        let is_plain = super::flags(lexicon, &word.read.plain).any(super::PLAIN);
        let hits = self.parts.iter().enumerate().filter_map(|(part, known)| {
            let nearness = known.wanted.is(&word.read, is_plain)?;
            // A name that could be a word is looked for as it is.
            (known.is_strong || nearness != Nearness::Typed).then_some(Hit { part, nearness })
        });
        hits.max_by_key(|hit| hit.nearness)
    }

    /// Words of one name that stand together, from `at` on, and where the text goes on.
    fn run(
        &self,
        document: &Document<'_>,
        view: &View<'_>,
        hits: &[Option<Hit>],
        at: usize,
    ) -> Option<(Found, usize)> {
        let part = |at: usize| self.parts.get((*hits.get(at)?)?.part);
        // A run begins with a word of a name, or with an initial before one.
        let begins = part(at).or_else(|| {
            let next = part(at + 1).filter(|_| view.adjoins(at, at + 1))?;
            self.is_initial(view, at, &next.people).then_some(next)
        })?;
        let mut people = begins.people.clone();
        let mut taken: Vec<usize> = Vec::new();
        let (mut end, mut supports, mut is_strong) = (at, 0, false);
        let mut next = at;
        while next < hits.len() && (next == at || view.adjoins(next - 1, next)) {
            let hit = hits.get(next).copied().flatten();
            if let Some((hit, part)) = hit.zip(part(next)) {
                // The next time, it is the next name.
                if taken.contains(&hit.part) {
                    break;
                }
                taken.push(hit.part);
                let same: Vec<usize> = people
                    .iter()
                    .copied()
                    .filter(|person| part.people.binary_search(person).is_ok())
                    .collect();
                if same.is_empty() {
                    break;
                }
                people = same;
                is_strong |= part.is_strong;
                supports += 1;
                end = next;
            } else if self.is_initial(view, next, &people) {
                supports += 1;
                end = next;
            } else if view.words.get(next)?.initial().is_none() {
                break;
            }
            // A letter that is no initial of theirs stays if a word of the name follows it.
            next += 1;
        }
        let (first, last) = (view.words.get(at)?, view.words.get(end)?);
        let is_name = match supports {
            0 | 1 if is_strong => !is_eponym(document, first.start),
            0 | 1 => is_written_as_name(document, first.start),
            // Everyday words beside each other: `she may long for it`.
            _ => {
                let words = view.words.get(at..=end).unwrap_or_default();
                is_strong || !view.has_capitals || words.iter().any(|word| word.is_capital)
            }
        };
        if !is_name {
            return None;
        }
        let nearness = (at..=end).filter_map(|at| Some((*hits.get(at)?)?.nearness));
        let nearness = nearness.min().unwrap_or(Nearness::Same);
        let of = self.people.get(*people.first()?)?.of;
        let found = super::found(first.start, last.end, Kind::Name, nearness, of);
        Some((found, end + 1))
    }

    /// Whether the word at `at` is an initial of one of `people`.
    fn is_initial(&self, view: &View<'_>, at: usize, people: &[usize]) -> bool {
        let Some((word, letter)) = view
            .words
            .get(at)
            .and_then(|word| Some((word, word.initial()?)))
        else {
            return false;
        };
        // `I` is a word.
        let after = view.text.get(word.end..).unwrap_or_default();
        let is_written = after.starts_with('.') || word.is_capital && letter != 'i';
        is_written
            && people
                .iter()
                .filter_map(|person| self.people.get(*person))
                .any(|person| person.initials.contains(&letter))
    }

    /// Two words of one name run together, or one that a line end or a scanner tore in two.
    fn torn_or_joined(
        &self,
        lexicon: &Lexicon,
        view: &View<'_>,
        at: usize,
    ) -> Option<(Found, usize)> {
        let word = view.words.get(at)?;
        let is_word = |word: &str| super::flags(lexicon, word).any(COMMON);
        let person = |of: &BTreeMap<String, usize>, read: &str| {
            let person = of.get(read).filter(|_| read.len() >= 6)?;
            self.people.get(*person)
        };
        let plain = word.read.plain.as_str();
        if let Some(person) = person(&self.joined, &misread(plain)).filter(|_| !is_word(plain)) {
            let found = super::found(word.start, word.end, Kind::Name, Nearness::Read, person.of);
            return Some((found, at + 1));
        }
        let next = view.words.get(at + 1)?;
        let gap = view.gap(at, at + 1)?;
        let is_torn = matches!(gap.trim_start_matches('-').trim(), "") && gap.len() <= 3;
        let rest = next.read.plain.as_str();
        let are_words = gap.trim_matches(' ').is_empty() && is_word(plain) && is_word(rest);
        if !is_torn || word.read.len() < 2 || rest.len() < 2 || are_words {
            return None;
        }
        let person = person(&self.words, &misread(&[plain, rest].concat()))?;
        let found = super::found(word.start, next.end, Kind::Name, Nearness::Read, person.of);
        Some((found, at + 2))
    }

    /// `A.T.`, or `AT` behind a word for the patient.
    fn as_initials(&self, view: &View<'_>, at: usize) -> Option<(Found, usize)> {
        let first = view.words.get(at)?;
        let known = |letters: &[char]| {
            self.people.iter().find(|person| {
                let own = person.initials.as_slice();
                let ends = [own.first(), own.last()];
                matches!(person.of, Of::Patient | Of::Relative)
                    && own.len() > 1
                    && (letters == own || letters.iter().map(Some).eq(ends))
            })
        };
        let written = view.text.get(first.start..first.end)?;
        if (2..=3).contains(&written.len()) && written.chars().all(char::is_uppercase) {
            let before = at
                .checked_sub(1)
                .and_then(|before| view.words.get(before))?;
            let letters: Vec<char> = first.read.plain.chars().collect();
            let person =
                known(&letters).filter(|_| within(&before.read.plain, &BEFORE_INITIALS))?;
            let found = super::found(
                first.start,
                first.end,
                Kind::Name,
                Nearness::Read,
                person.of,
            );
            return Some((found, at + 1));
        }
        let mut letters = Vec::new();
        let mut end = first.start;
        for (place, word) in view.words.iter().enumerate().skip(at).take(4) {
            let follows = place == at || matches!(view.gap(place - 1, place), Some("." | ". "));
            let dotted = view
                .text
                .get(word.end..)
                .is_some_and(|rest| rest.starts_with('.'));
            let Some(letter) = word
                .initial()
                .filter(|_| follows && dotted && word.is_capital)
            else {
                break;
            };
            letters.push(letter);
            end = word.end + 1;
        }
        let person = known(&letters)?;
        let found = super::found(first.start, end, Kind::Name, Nearness::Read, person.of);
        Some((found, at + letters.len()))
    }
}

/// The words of a name that say who it is.
fn words<'v>(name: &'v str, lexicon: &Lexicon) -> Vec<&'v str> {
    let words = spans(name)
        .into_iter()
        .filter_map(|(start, end)| name.get(start..end));
    words
        .filter(|word| {
            let lower = word.to_lowercase();
            let flags = super::flags(lexicon, &lower);
            !flags.any(role::TITLE | role::CREDENTIAL) && !within(&lower, &SUFFIXES)
                || flags.any(super::NAME) && !flags.any(role::TITLE)
        })
        .collect()
}

/// Whether the everyday word that begins at byte `start` is written as a name is: with a capital inside a sentence, or
/// behind a title; and no term of the clinic is made of it (`Parkinson's disease`).
fn is_written_as_name(document: &Document<'_>, start: usize) -> bool {
    let at = document.token_at(start);
    document.get(at).is_some_and(|token| {
        let is_titled = document.flags_before(at, 1).any(role::TITLE)
            || document.before(at, 1).is_some_and(|mark| mark.is('.'))
                && document.flags_before(at, 2).any(role::TITLE);
        let is_capital = token.shape == Shape::Title && !document.begins_sentence(at);
        let is_month = within(&token.lower, &["april", "august", "june", "may"])
            && within(document.lower_before(at, 1), &BEFORE_MONTHS);
        (is_titled || is_capital && !is_month) && !makes_a_term(document, at + 1)
    })
}

/// Whether the word that begins at byte `start` is no person here but a term of the clinic, under a name that has many.
fn is_eponym(document: &Document<'_>, start: usize) -> bool {
    let at = document.token_at(start);
    let is_known = document.flags(at).any(FAMILY) && !document.flags_before(at, 1).any(role::TITLE);
    is_known && makes_a_term(document, at + 1)
}

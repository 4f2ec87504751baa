//! Names exchanged for others: the same word for the same word, so that "Smith" is who "John Smith" was.

use std::collections::{BTreeMap, BTreeSet};

use crate::date::like;
use crate::drawn;

/// Given and family names, as the detector knows them, a word each.
const GIVEN: &str = include_str!("../../safe-harbor/words/given.txt");
const FAMILY: &str = include_str!("../../safe-harbor/words/family.txt");

/// Small words within names, which tell nobody.
const PARTICLES: [&str; 18] = [
    "al", "and", "bin", "da", "de", "del", "den", "der", "di", "dos", "el", "ibn", "la", "le",
    "van", "von", "y", "zu",
];
const AFFIXES: [&str; 10] = ["dr", "ii", "iii", "iv", "jr", "md", "mr", "mrs", "ms", "sr"];

/// One patient's names.
pub(crate) struct Names {
    seed: Vec<u8>,
    given: Vec<&'static str>,
    family: Vec<&'static str>,
    /// By the word in lower case.
    instead: BTreeMap<String, String>,
    taken: BTreeSet<&'static str>,
}

impl Names {
    pub(crate) fn new(seed: &[u8]) -> Self {
        // Names that are other words as well would be taken for those.
        let list = |text: &'static str| {
            text.split_whitespace()
                .filter(|word| word.len() > 3)
                .collect()
        };
        Self {
            seed: seed.to_vec(),
            given: list(GIVEN),
            family: list(FAMILY),
            instead: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Another name of the same form; [`None`] for what has digits or letters that are not Latin.
    pub(crate) fn instead(&mut self, value: &str) -> Option<String> {
        let is_latin =
            |c: char| !c.is_alphanumeric() || c.is_ascii_alphabetic() || ('À'..='ɏ').contains(&c);
        if !value.chars().all(is_latin) {
            return None;
        }
        let mut written = String::with_capacity(value.len());
        let (mut exchanged, mut rest) = (0, value);
        while let Some(first) = rest.chars().next() {
            if !first.is_alphabetic() {
                written.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
                continue;
            }
            let end = end_of_word(rest);
            let (word, tail) = rest.split_at_checked(end)?;
            if let Some(other) = self.word(word, tail.trim_start().starts_with(',')) {
                written.push_str(&other);
                exchanged += 1;
            } else {
                written.push_str(word);
            }
            // `'s` belongs to no name.
            let possessive = ["'s", "’s", "'S", "’S"]
                .into_iter()
                .find(|end| tail.starts_with(end));
            let kept = possessive.unwrap_or_default();
            written.push_str(kept);
            rest = tail.get(kept.len()..).unwrap_or_default();
        }
        (exchanged > 0).then_some(written)
    }

    /// Another word, or [`None`] where the word may stay.
    fn word(&mut self, word: &str, is_family: bool) -> Option<String> {
        let small = word.to_lowercase();
        if PARTICLES.contains(&small.as_str()) && small == word || AFFIXES.contains(&small.as_str())
        {
            return None;
        }
        if small.chars().nth(1).is_none() {
            let letter = u8::try_from(drawn(&self.seed, small.as_bytes()) % 26).unwrap_or_default();
            return Some(like(word, &char::from(b'a' + letter).to_string()));
        }
        let known = self.instead.get(&small).cloned();
        let other = match known {
            Some(other) => other,
            None => {
                let is_given = !is_family && GIVEN.split_whitespace().any(|name| name == small);
                let list = if is_given { &self.given } else { &self.family };
                let length = u64::try_from(list.len()).ok()?;
                let from = usize::try_from(drawn(&self.seed, small.as_bytes()) % length).ok()?;
                let free = |name: &&&str| **name != small && !self.taken.contains(**name);
                let other = *list.iter().cycle().skip(from).take(list.len()).find(free)?;
                self.taken.insert(other);
                self.instead.insert(small, other.to_owned());
                other.to_owned()
            }
        };
        Some(like(word, &other))
    }
}

/// Where the first word ends: `O'Brien` is one, the `'s` of `Smith's` is none of it.
fn end_of_word(text: &str) -> usize {
    for (at, c) in text.char_indices() {
        if c.is_alphabetic() {
            continue;
        }
        let mut behind = text.get(at + c.len_utf8()..).unwrap_or_default().chars();
        let two = [behind.next(), behind.next()];
        let goes_on =
            matches!(c, '\'' | '’') && two.iter().all(|c| c.is_some_and(char::is_alphabetic));
        if !goes_on {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_another_in_its_place_and_always_that() {
        let mut names = Names::new(b"seed");
        let whole = names.instead("John Smith").unwrap();
        let (given, family) = whole.split_once(' ').unwrap();
        assert!(given != "John" && family != "Smith");
        assert_eq!(
            names.instead("Mr. SMITH's").unwrap(),
            format!("Mr. {}'s", family.to_uppercase())
        );
        assert_eq!(
            names.instead("smith, john").unwrap(),
            format!("{family}, {given}").to_lowercase()
        );
        let other = names.instead("María de la Cruz-O'Brien, M.D.").unwrap();
        assert!(
            other.contains(" de la ") && !other.contains("Cruz") && !other.contains("Brien"),
            "{other}"
        );
        assert_eq!(names.instead("Ιωάννα"), None);
        assert_eq!(names.instead("de la"), None);
        let mut again = Names::new(b"seed");
        assert_eq!(again.instead("John Smith").unwrap(), whole);
        let mut another = Names::new(b"of another");
        assert_ne!(another.instead("John Smith").unwrap(), whole);
    }

    #[test]
    fn two_people_never_become_one() {
        let mut names = Names::new(b"seed");
        let others: Vec<String> = FAMILY
            .split_whitespace()
            .take(600)
            .filter_map(|name| names.instead(name))
            .collect();
        let all: BTreeSet<&String> = others.iter().collect();
        assert!(others.len() > 590 && all.len() == others.len());
    }
}

//! Words as a scanner, a keyboard or a hurry leaves them: how near one is to a word that is known.

use crate::cut::fold;

/// A word of a fact, ready to be compared.
#[derive(Clone)]
pub(super) struct Wanted {
    /// In lower case, without accents.
    pub(super) plain: String,
    /// [`misread`].
    read: Vec<char>,
    mask: u32,
}

/// How a word of the text is the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nearness {
    /// With a letter or two wrong, left out or changed for its neighbour.
    Typed,
    /// As a scanner reads it: `Th1stlewoocl`.
    Read,
    /// Letter by letter, but for case and accents.
    Same,
}

impl Wanted {
    pub(super) fn new(word: &str) -> Self {
        let plain = fold(&word.to_lowercase());
        let read: Vec<char> = misread(&plain).chars().collect();
        Self {
            mask: mask(&read),
            plain,
            read,
        }
    }

    /// How many letters it has.
    pub(super) const fn len(&self) -> usize {
        self.read.len()
    }

    /// Whether `word` is this one. `is_plain` says that it is an everyday word: such a word is nobody's name with a fault.
    pub(super) fn is(&self, word: &Self, is_plain: bool) -> Option<Nearness> {
        if self.plain == word.plain {
            return Some(Nearness::Same);
        }
        if is_plain || self.len() < 3 || word.plain.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        if self.read == word.read {
            return Some(Nearness::Read);
        }
        let most: u8 = match self.len() {
            0..=4 => return None,
            5..=8 => 1,
            _ => 2,
        };
        // Each fault changes at most two letters of the set.
        let differ = (self.mask ^ word.mask).count_ones();
        let is_far = differ > 2 * u32::from(most) || self.len().abs_diff(word.len()) > most.into();
        (!is_far && distance(&self.read, &word.read) <= most.into()).then_some(Nearness::Typed)
    }
}

/// Which letters stand in it.
fn mask(letters: &[char]) -> u32 {
    letters.iter().fold(0, |mask, c| match c {
        'a'..='z' => mask | 1 << (u32::from(*c) - u32::from('a')),
        _ => mask | 1 << 31,
    })
}

/// The word with what scanners confuse written in one way.
pub(super) fn misread(folded: &str) -> String {
    let mut read = String::with_capacity(folded.len());
    let mut rest = folded.chars().peekable();
    while let Some(c) = rest.next() {
        read.push(match (c, rest.peek()) {
            ('r', Some('n')) => {
                rest.next();
                'm'
            }
            ('c', Some('l' | '1')) => {
                rest.next();
                'd'
            }
            ('v', Some('v')) => {
                rest.next();
                'w'
            }
            ('0', _) => 'o',
            ('1' | '|' | '!' | 'i', _) => 'l',
            ('5' | '$', _) => 's',
            ('8' | '6', _) => 'b',
            ('2', _) => 'z',
            ('3', _) => 'e',
            ('4' | '@', _) => 'a',
            ('9' | 'q', _) => 'g',
            ('7', _) => 't',
            (other, _) => other,
        });
    }
    read
}

/// Faults between two words: a letter wrong, missing or too many, or two neighbours changed (optimal string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    for (line, c) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(line + 1);
        for (column, d) in other.iter().enumerate() {
            let cost = usize::from(c != d);
            let mut least = (at(&last, column + 1) + 1)
                .min(at(&row, column) + 1)
                .min(at(&last, column) + cost);
            let is_changed = column > 0
                && line > 0
                && one.get(line - 1) == Some(d)
                && other.get(column - 1) == Some(c);
            if is_changed {
                least = least.min(at(&before, column - 1) + 1);
            }
            row.push(least);
        }
        (before, last) = (last, row);
    }
    at(&last, other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_with_its_faults_and_no_other_is() {
        let check = |known: &str, word: &str| Wanted::new(known).is(&Wanted::new(word), false);
        for (known, word, expected) in [
            ("Thistlewood", "THISTLEWOOD", Some(Nearness::Same)),
            ("Jørgensen", "Jorgensen", Some(Nearness::Same)),
            ("Thistlewood", "Th1stlewoocl", Some(Nearness::Read)),
            ("Barnaby", "8amaby", Some(Nearness::Read)),
            ("Thistlewood", "Thistelwood", Some(Nearness::Typed)),
            ("Thistlewood", "Thislewod", Some(Nearness::Typed)),
            ("Quill", "Quil", Some(Nearness::Typed)),
            ("Alma", "Anna", None),
            ("Ek", "EK", Some(Nearness::Same)),
            ("Ek", "Eh", None),
            ("Osborne", "Osgoode", None),
        ] {
            assert_eq!(check(known, word), expected, "{known} {word}");
        }
        assert_eq!(
            Wanted::new("Warden").is(&Wanted::new("garden"), true),
            None,
            "an everyday word"
        );
    }
}

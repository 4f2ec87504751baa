//! The words that tell something, each known by a number.

use std::borrow::Cow;

/// Words that tell nothing, by their first letter.
const STOP: [&[&str]; 26] = [
    &[
        "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at",
    ],
    &["be", "been", "before", "but", "by"],
    &["can", "could"],
    &["did", "do"],
    &[],
    &["for", "from"],
    &[],
    &["had", "has", "have", "he", "her", "him", "his"],
    &["i", "if", "in", "into", "is", "it", "its"],
    &["just"],
    &[],
    &[],
    &["may", "me", "mr", "mrs", "ms", "my"],
    &["no", "not"],
    &["of", "on", "or", "our", "out", "over"],
    &["please"],
    &[],
    &[],
    &["she", "should", "so", "such"],
    &[
        "than", "that", "the", "their", "them", "then", "there", "they", "this", "to",
    ],
    &["up"],
    &[],
    &["was", "we", "were", "which", "who", "will", "with", "would"],
    &[],
    &["you", "your"],
    &[],
];

/// The different words of a text, numbered in the order of their first use.
///
/// A table with open addressing: the same text always makes the same table, and looking a word up writes nothing. A
/// text made of words that collide costs its own request's fuel, and no other's.
pub(crate) struct Vocabulary<'a> {
    known: Vec<Word<'a>>,
    /// Numbers of `known` plus one, each at its word's hash or after it; zero is free. A power of two, half free.
    table: Vec<u32>,
}

/// What stands for a word in a vocabulary.
struct Word<'a> {
    /// In ASCII as it was written; else in lower case.
    text: Cow<'a, str>,
    hash: u32,
    /// Whether it tells something.
    tells: bool,
}

impl<'a> Vocabulary<'a> {
    /// No words, with room for those of `bytes` of text.
    pub(crate) fn for_text(bytes: usize) -> Self {
        // A word and what stands beside it takes six bytes or so, and a text uses each of its words more than once.
        let slots = (bytes / 6).next_power_of_two().max(64);
        Self {
            known: Vec::with_capacity(slots / 2),
            table: vec![0; slots],
        }
    }

    /// How many words have a number.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    #[inline]
    /// The number of a word, from now on if it had none; `None` for a word that tells nothing.
    pub(crate) fn learn(&mut self, word: Cow<'a, str>, hash: u32) -> Option<usize> {
        match self.find(&word, hash) {
            Slot::Taken(number) => self.telling(number),
            Slot::Free(place) => {
                let number = self.known.len();
                let tells = tells(&word);
                self.known.push(Word {
                    text: word,
                    hash,
                    tells,
                });
                self.enter(place, number);
                if self.known.len() * 2 > self.table.len() {
                    self.grow();
                }
                tells.then_some(number)
            }
        }
    }

    /// The number of a word that is known and tells something.
    pub(crate) fn recall(&self, word: &str, hash: u32) -> Option<usize> {
        match self.find(word, hash) {
            Slot::Taken(number) => self.telling(number),
            Slot::Free(_) => None,
        }
    }

    fn telling(&self, number: usize) -> Option<usize> {
        let word = self.known.get(number)?;
        word.tells.then_some(number)
    }

    #[inline]
    fn find(&self, word: &str, hash: u32) -> Slot {
        let mut place = self.home(hash);
        loop {
            let entry = self.table.get(place).copied().unwrap_or(0);
            let Some(number) = entry
                .checked_sub(1)
                .and_then(|number| usize::try_from(number).ok())
            else {
                return Slot::Free(place);
            };
            // A word mostly comes in the case that it had, which is found faster.
            let same = self.known.get(number).is_some_and(|known| {
                known.hash == hash && (known.text == word || known.text.eq_ignore_ascii_case(word))
            });
            if same {
                return Slot::Taken(number);
            }
            place = (place + 1) & (self.table.len() - 1);
        }
    }

    /// Where a word of this hash stands, unless another came first.
    fn home(&self, hash: u32) -> usize {
        usize::try_from(hash).unwrap_or(0) & (self.table.len() - 1)
    }

    fn enter(&mut self, place: usize, number: usize) {
        if let (Some(slot), Ok(number)) = (self.table.get_mut(place), u32::try_from(number)) {
            *slot = number + 1;
        }
    }

    fn grow(&mut self) {
        self.table = vec![0; self.table.len() * 2];
        for number in 0..self.known.len() {
            let Some(word) = self.known.get(number) else {
                continue;
            };
            if let Slot::Free(place) = self.find(&word.text, word.hash) {
                self.enter(place, number);
            }
        }
    }
}

enum Slot {
    Taken(usize),
    Free(usize),
}

/// Whether a word, in ASCII or in lower case, tells something.
fn tells(word: &str) -> bool {
    const LONGEST: usize = 6;
    if word.len() > LONGEST {
        return true;
    }
    let first = word.bytes().next().unwrap_or_default();
    let alike = first
        .to_ascii_lowercase()
        .checked_sub(b'a')
        .and_then(|letter| STOP.get(usize::from(letter)));
    !alike.is_some_and(|alike| alike.iter().any(|stop| stop.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_stand_under_their_letter_in_lower_case() {
        for (letter, words) in (b'a'..).zip(STOP) {
            assert!(words.is_sorted() && words.iter().all(|word| word.len() <= 6));
            for word in words {
                assert!(
                    word.as_bytes()[0] == letter && word.bytes().all(|c| c.is_ascii_lowercase())
                );
            }
        }
    }

    fn learn(vocabulary: &mut Vocabulary<'_>, words: impl Iterator<Item = String>) -> Vec<usize> {
        words
            .filter_map(|word| vocabulary.learn(Cow::Owned(word), 7))
            .collect()
    }

    #[test]
    fn a_word_has_one_number_in_any_case_and_after_any_growth() {
        // All of one hash: what keeps them apart is their text.
        let words = || (0..100).flat_map(|n| [format!("Word{n}"), format!("wORD{n}")]);
        let mut vocabulary = Vocabulary::for_text(0);
        let numbers = learn(&mut vocabulary, words());
        assert_eq!(vocabulary.len(), 100);
        assert!(numbers.chunks(2).all(|pair| pair[0] == pair[1]));
        let again: Vec<_> = words()
            .filter_map(|word| vocabulary.recall(&word, 7))
            .collect();
        assert_eq!(again, numbers);
        assert_eq!(vocabulary.recall("unknown", 7), None);
    }

    #[test]
    fn stop_words_have_no_number() {
        let mut vocabulary = Vocabulary::for_text(0);
        let words = ["The", "wound", "IS", "the", "Wound"].map(str::to_owned);
        assert_eq!(learn(&mut vocabulary, words.into_iter()), [1, 1]);
        assert_eq!(vocabulary.recall("the", 7), None);
    }
}

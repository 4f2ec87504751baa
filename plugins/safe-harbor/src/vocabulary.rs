//! Which of the long lists a word stands in: names, English, the clinic. The lists are features, not verdicts.
//!
//! A hundred thousand words would be megabytes with their letters. Only a check of each word's hash is kept, with what
//! is known of it, four bytes a word: an unknown word is taken for a known one less than once in a million times.

use crate::words::Hash;

/// The bits of a slot that hold what is known; the others check the hash.
const KNOWN: u32 = 0b1111;

/// The table.
pub(crate) struct Vocabulary {
    slots: Vec<u32>,
    bits: u32,
}

impl Vocabulary {
    /// Lays out `lists`, each with a bit below 16 for what it says of its words.
    #[must_use]
    pub(crate) fn new(lists: &[(u32, &str)]) -> Self {
        let mut words = Vec::new();
        for (known, list) in lists {
            each(list, |word| words.push((Hash::of(word), *known & KNOWN)));
        }
        words.sort_unstable_by_key(|(hash, _)| hash.number());
        let count = words.chunk_by(|(a, _), (b, _)| a == b).count();
        // A fifth is free at least, so that a search soon ends.
        let bits = (count.max(2) * 5 / 4).ilog2() + 1;
        let mut vocabulary = Self {
            slots: vec![0; 1 << bits],
            bits,
        };
        for (hash, known) in words {
            let slot = vocabulary.ways(hash).find(|slot| {
                vocabulary
                    .slots
                    .get(*slot)
                    .is_some_and(|slot| *slot == 0 || *slot & !KNOWN == check(hash))
            });
            if let Some(slot) = slot.and_then(|slot| vocabulary.slots.get_mut(slot)) {
                *slot |= check(hash) | known;
            }
        }
        vocabulary
    }

    /// The bits of the lists that the word with this hash stands in.
    #[must_use]
    pub(crate) fn known(&self, hash: Hash) -> u32 {
        for slot in self.ways(hash) {
            match self.slots.get(slot) {
                None | Some(0) => return 0,
                Some(slot) if *slot & !KNOWN == check(hash) => return *slot & KNOWN,
                Some(_) => {}
            }
        }
        0
    }

    /// The slots to look at, in order.
    fn ways(&self, hash: Hash) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        let first = hash.below(self.bits);
        (0..=mask).map(move |step| (first + step) & mask)
    }
}

/// Gives each word of `list` to `take`. Words are parted by blanks. One behind a capital begins with letters of the word
/// before it, as many as the capital's place in the alphabet: `Aabbey Dot` is `abbey abbot` (`words/make.py` writes so).
pub(crate) fn each(list: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    for written in list.split_ascii_whitespace() {
        match written.as_bytes().first() {
            Some(first) if first.is_ascii_uppercase() => {
                word.truncate(usize::from(first - b'A'));
                word.push_str(written.get(1..).unwrap_or_default());
                take(&word);
            }
            _ => take(written),
        }
    }
}

const fn check(hash: Hash) -> u32 {
    hash.number() & !KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_known_by_all_its_lists() {
        let vocabulary =
            Vocabulary::new(&[(1, "foley rose anna"), (4, "rose the\nfoley"), (8, "")]);
        let known = |word| vocabulary.known(Hash::of(word));
        assert_eq!(
            (known("foley"), known("rose"), known("anna"), known("the")),
            (5, 5, 1, 4)
        );
        assert_eq!((known("xqzt"), known("")), (0, 0));
    }

    #[test]
    fn a_word_behind_a_capital_begins_as_the_one_before() {
        let mut words = Vec::new();
        each("Aabbey Dot\nFs plain Ado", |word| {
            words.push(word.to_owned())
        });
        assert_eq!(words, ["abbey", "abbot", "abbots", "plain", "do"]);
    }
}

//! A table of words with what is known of each, made to be read in a fresh copy of memory: looked up by a hash that the
//! caller has at hand, with nothing scattered over the heap, and laid out alike in every run.

use std::collections::BTreeMap;

/// A hash of a word (32-bit FNV-1a), fed byte by byte while the word is read. `Word` and `word` have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u32);

impl Hash {
    /// Of no byte.
    pub(crate) const START: Self = Self(0x811c_9dc5);

    /// With a further byte.
    #[must_use]
    pub(crate) const fn with(self, byte: u8) -> Self {
        // The bit that parts `A` from `a`; digits and most marks have it set anyway.
        let either_case = byte | 0x20;
        Self((self.0 ^ either_case as u32).wrapping_mul(0x0100_0193))
    }

    /// Of a whole word.
    #[must_use]
    pub(crate) fn of(word: &str) -> Self {
        word.bytes().fold(Self::START, Self::with)
    }

    /// All its bits.
    #[must_use]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// A number below two to the power of `bits`, which is not 0. The upper bits of a product are its best mixed.
    #[must_use]
    pub(crate) const fn below(self, bits: u32) -> usize {
        (self.0.wrapping_mul(0x9e37_79b9) >> (u32::BITS - bits)) as usize
    }
}

/// One word.
struct Entry {
    hash: Hash,
    /// Where it stands in `text`.
    start: u32,
    length: u32,
    known: u64,
}

/// The words, in alphabetical order, and where a hash leads.
pub(crate) struct Words {
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// One more than the place of an entry, or 0; at least half are free, so that a search soon ends.
    slots: Vec<u32>,
    bits: u32,
}

impl Words {
    /// Lays out the table.
    #[must_use]
    pub(crate) fn new(known: &BTreeMap<String, u64>) -> Self {
        let bits = known.len().saturating_mul(2).max(2).ilog2() + 1;
        let mut words = Self {
            text: known.keys().flat_map(|word| word.bytes()).collect(),
            entries: Vec::with_capacity(known.len()),
            slots: vec![0; 1 << bits],
            bits,
        };
        let mut start = 0;
        for ((word, known), number) in known.iter().zip(1..) {
            let hash = Hash::of(word);
            // A word list of 4 GiB does not fit into a plugin's memory.
            let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
            words.entries.push(Entry {
                hash,
                start,
                length,
                known: *known,
            });
            start = start.saturating_add(length);
            let free = words
                .ways(hash)
                .find(|slot| words.slots.get(*slot) == Some(&0));
            if let Some(slot) = free.and_then(|slot| words.slots.get_mut(slot)) {
                *slot = number;
            }
        }
        words
    }

    /// What is known of `word`, whose hash is `hash`: nothing is 0.
    #[must_use]
    pub(crate) fn known(&self, word: &str, hash: Hash) -> u64 {
        for slot in self.ways(hash) {
            let Some(place) = self.slots.get(slot).and_then(|slot| slot.checked_sub(1)) else {
                break;
            };
            let Some(entry) = self.entries.get(place as usize) else {
                break;
            };
            if entry.hash == hash && self.word(entry) == Some(word.as_bytes()) {
                return entry.known;
            }
        }
        0
    }

    fn word(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.start as usize;
        self.text.get(start..start + entry.length as usize)
    }

    /// The slots where a word of this hash can stand, in the order in which to try them.
    fn ways(&self, hash: Hash) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        let first = hash.below(self.bits);
        (first..=first + mask).map(move |slot| slot & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_no_other() {
        let known: BTreeMap<String, u64> = (1..500).map(|n| (format!("w{}", n * 7), n)).collect();
        let words = Words::new(&known);
        let look_up = |word: &str| words.known(word, Hash::of(word));
        for (word, known) in &known {
            assert_eq!(look_up(word), *known);
        }
        assert_eq!((look_up("w1"), look_up(""), look_up("é")), (0, 0, 0));
        assert_eq!(Words::new(&BTreeMap::new()).known("a", Hash::of("a")), 0);
    }
}

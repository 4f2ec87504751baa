//! The words that the rules know: our own lists, looked up by their lower-case form.
//!
//! A word can be in several lists ("May", "Grace", "Foley"): then only its surroundings say what it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// A given name.
pub(crate) const GIVEN: u32 = 1;
/// A family name.
pub(crate) const FAMILY: u32 = 2;
/// An everyday word.
pub(crate) const COMMON: u32 = 4;
/// A word of the clinic: drugs, anatomy, eponyms, abbreviations.
pub(crate) const CLINICAL: u32 = 8;
/// A name that the operator told us.
pub(crate) const KNOWN: u32 = 16;

/// What a word does in the rules of names, places and codes: which of their lists it stands in.
pub(crate) mod role {
    /// In `name::TITLES`.
    pub(crate) const TITLE: u32 = 1 << 8;
    /// In `name::LABELS`.
    pub(crate) const LABEL: u32 = 1 << 9;
    /// In `name::BEFORE`.
    pub(crate) const BEFORE: u32 = 1 << 10;
    /// In `name::CREDENTIALS`.
    pub(crate) const CREDENTIAL: u32 = 1 << 11;
    /// In `name::EPONYMS`.
    pub(crate) const EPONYM: u32 = 1 << 12;
    /// In `name::PARTICLES`.
    pub(crate) const PARTICLE: u32 = 1 << 13;
    /// In `name::NEVER`.
    pub(crate) const NEVER: u32 = 1 << 14;
    /// In `place::STATES`.
    pub(crate) const STATE: u32 = 1 << 15;
    /// In `place::STATE_NAMES`.
    pub(crate) const STATE_NAME: u32 = 1 << 16;
    /// In `place::STREETS`.
    pub(crate) const STREET: u32 = 1 << 17;
    /// In `place::DIRECTIONS`.
    pub(crate) const DIRECTION: u32 = 1 << 18;
    /// In `place::UNITS`.
    pub(crate) const PART: u32 = 1 << 19;
    /// In `place::FACILITIES`.
    pub(crate) const FACILITY: u32 = 1 << 20;
    /// In `place::GENERIC`.
    pub(crate) const GENERIC: u32 = 1 << 21;
    /// In `place::KNOWN`.
    pub(crate) const FAMED: u32 = 1 << 22;
    /// In `code::FILLERS`.
    pub(crate) const FILLER: u32 = 1 << 23;
    /// In `code::UNITS`.
    pub(crate) const MEASURE: u32 = 1 << 24;
    /// In `code::PUBLIC`.
    pub(crate) const REGISTER: u32 = 1 << 25;

    /// Each role and its list.
    pub(super) const LISTS: [(u32, &[&str]); 18] = [
        (TITLE, crate::name::TITLES),
        (LABEL, crate::name::LABELS),
        (BEFORE, crate::name::BEFORE),
        (CREDENTIAL, crate::name::CREDENTIALS),
        (EPONYM, crate::name::EPONYMS),
        (PARTICLE, crate::name::PARTICLES),
        (NEVER, crate::name::NEVER),
        (STATE, crate::place::STATES),
        (STATE_NAME, crate::place::STATE_NAMES),
        (STREET, crate::place::STREETS),
        (DIRECTION, crate::place::DIRECTIONS),
        (PART, crate::place::UNITS),
        (FACILITY, crate::place::FACILITIES),
        (GENERIC, crate::place::GENERIC),
        (FAMED, crate::place::KNOWN),
        (FILLER, crate::code::FILLERS),
        (MEASURE, crate::code::UNITS),
        (REGISTER, crate::code::PUBLIC),
    ];
}

const NAME: u32 = GIVEN | FAMILY | KNOWN;
const PLAIN: u32 = COMMON | CLINICAL;

/// What is known of one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    /// Whether it is in one of the lists of `mask`.
    #[must_use]
    pub(crate) const fn any(self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    /// In no list.
    #[must_use]
    pub(crate) const fn is_unknown(self) -> bool {
        self.0 & (NAME | PLAIN) == 0
    }

    /// Only an everyday or clinical word: no name by itself.
    #[must_use]
    pub(crate) const fn is_plain(self) -> bool {
        self.any(PLAIN) && !self.any(NAME)
    }

    /// Without what is known of words: a letter or a number is in none of the word lists.
    #[must_use]
    pub(crate) const fn roles(self) -> Self {
        Self(self.0 & !(NAME | PLAIN))
    }

    /// Only a name: nothing else it could be.
    #[must_use]
    pub(crate) const fn is_surely_name(self) -> bool {
        self.any(NAME) && !self.any(PLAIN) || self.any(KNOWN)
    }
}

/// The FNV-1a hash: quick for short words, and the same in every run, which the standard hasher is not.
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The word lists, for lookup alone: nothing walks over them.
pub(crate) struct Lexicon {
    words: HashMap<String, u32, BuildHasherDefault<Fnv>>,
    /// Further words of each place, by its first word; longest first.
    places: BTreeMap<&'static str, Vec<Vec<&'static str>>>,
}

impl Lexicon {
    /// Builds the lists, with the operator's own `names`.
    #[must_use]
    pub(crate) fn new(names: &[String]) -> Self {
        let mut words: HashMap<String, u32, BuildHasherDefault<Fnv>> = HashMap::default();
        let lists = [
            (GIVEN, include_str!("../words/given.txt")),
            (FAMILY, include_str!("../words/family.txt")),
            (COMMON, include_str!("../words/common.txt")),
            (CLINICAL, include_str!("../words/clinical.txt")),
        ];
        for (flag, list) in lists {
            for word in list.split_whitespace() {
                *words.entry(word.to_owned()).or_default() |= flag;
            }
        }
        for word in names.iter().flat_map(|name| name.split_whitespace()) {
            *words.entry(word.to_lowercase()).or_default() |= KNOWN;
        }
        for (role, list) in role::LISTS {
            for word in list {
                *words.entry((*word).to_owned()).or_default() |= role;
            }
        }
        let mut places: BTreeMap<&'static str, BTreeSet<Vec<&'static str>>> = BTreeMap::new();
        for place in include_str!("../words/places.txt").trim().split('|') {
            // The tokens of a place are its words: "st. louis" reads as `st`, `.`, `louis`.
            let mut tokens = place
                .split_whitespace()
                .flat_map(|word| match word.split_once('.') {
                    Some((before, "")) => vec![before, "."],
                    _ => vec![word],
                });
            if let Some(first) = tokens.next() {
                places.entry(first).or_default().insert(tokens.collect());
            }
        }
        let longest_first = |rest: BTreeSet<Vec<&'static str>>| {
            let mut rest: Vec<_> = rest.into_iter().collect();
            rest.sort_by_key(|words| std::cmp::Reverse(words.len()));
            rest
        };
        Self {
            words,
            places: places
                .into_iter()
                .map(|(first, rest)| (first, longest_first(rest)))
                .collect(),
        }
    }

    /// What is known of `word`, which is in lower case.
    #[must_use]
    pub(crate) fn flags(&self, word: &str) -> Flags {
        Flags(self.words.get(word).copied().unwrap_or(0))
    }

    /// The further words of each place that begins with `first`, longest first.
    #[must_use]
    pub(crate) fn places(&self, first: &str) -> &[Vec<&'static str>] {
        self.places.get(first).map_or(&[], Vec::as_slice)
    }
}

/// Whether `word` (lower case) is in `sorted`, a list in alphabetical order.
#[must_use]
pub(crate) fn within(word: &str, sorted: &[&str]) -> bool {
    sorted.binary_search(&word).is_ok()
}

/// Whether `word` (lower case) ends as the names of drugs do (USAN stems).
#[must_use]
pub(crate) fn sounds_like_a_drug(word: &str) -> bool {
    const STEMS: [&str; 44] = [
        "pril",
        "sartan",
        "olol",
        "statin",
        "azole",
        "cillin",
        "mycin",
        "micin",
        "floxacin",
        "cycline",
        "mab",
        "tinib",
        "dipine",
        "zepam",
        "zolam",
        "prazole",
        "tidine",
        "oxetine",
        "triptan",
        "gliptin",
        "gliflozin",
        "glutide",
        "parin",
        "xaban",
        "gatran",
        "dronate",
        "lukast",
        "terol",
        "sone",
        "solone",
        "caine",
        "setron",
        "navir",
        "ciclovir",
        "thiazide",
        "semide",
        "azine",
        "apine",
        "idone",
        "fibrate",
        "formin",
        "platin",
        "rubicin",
        "taxel",
    ];
    word.len() > 6 && STEMS.iter().any(|stem| word.ends_with(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_in_several_lists() {
        let lexicon = Lexicon::new(&["Zorblatt Quux".to_owned()]);
        assert!(lexicon.flags("jennifer").is_surely_name());
        assert!(lexicon.flags("quux").is_surely_name());
        assert!(lexicon.flags("foley").any(FAMILY) && lexicon.flags("foley").any(CLINICAL));
        assert!(lexicon.flags("patient").is_plain());
        assert!(lexicon.flags("xqzt").is_unknown());
        assert!(sounds_like_a_drug("losartan") && !sounds_like_a_drug("sartan"));
        assert_eq!(lexicon.places("new").first().map(Vec::len), Some(2));
    }
}

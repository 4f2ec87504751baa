//! The words that the rules know, looked up by their lower-case form: what each does in the rules ([`role`]), and in
//! which of the long lists of `words/` it stands.
//!
//! A word can be in several lists ("May", "Grace", "Foley"): then only its surroundings say what it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::vocabulary::Vocabulary;
use crate::words::{Hash, Words};

/// A given name.
pub(crate) const GIVEN: u64 = 1;
/// A family name.
pub(crate) const FAMILY: u64 = 2;
/// An everyday word.
pub(crate) const COMMON: u64 = 4;
/// A word of the clinic: drugs, anatomy, eponyms, abbreviations.
pub(crate) const CLINICAL: u64 = 8;
/// A name that the operator told us.
pub(crate) const KNOWN: u64 = 16;

/// What a word does in the rules of names, places and codes: which of their lists it stands in. A rule that asks for
/// one of many words asks for a role: that is one test of a bit.
pub(crate) mod role {
    /// In `name::TITLES`.
    pub(crate) const TITLE: u64 = 1 << 8;
    /// In `name::LABELS`.
    pub(crate) const LABEL: u64 = 1 << 9;
    /// In `name::BEFORE`.
    pub(crate) const BEFORE: u64 = 1 << 10;
    /// In `name::OPENERS`.
    pub(crate) const OPENER: u64 = 1 << 11;
    /// In `name::CREDENTIALS`.
    pub(crate) const CREDENTIAL: u64 = 1 << 12;
    /// In `name::EPONYMS`.
    pub(crate) const EPONYM: u64 = 1 << 13;
    /// In `name::PARTICLES`.
    pub(crate) const PARTICLE: u64 = 1 << 14;
    /// In `name::NEVER`.
    pub(crate) const NEVER: u64 = 1 << 15;
    /// In `name::CLOSINGS`.
    pub(crate) const CLOSING: u64 = 1 << 16;
    /// In `place::STATES`.
    pub(crate) const STATE: u64 = 1 << 17;
    /// In `place::STATE_NAMES`.
    pub(crate) const STATE_NAME: u64 = 1 << 18;
    /// In `place::STATE_FIRSTS`.
    pub(crate) const STATE_FIRST: u64 = 1 << 19;
    /// In `place::STREETS`.
    pub(crate) const STREET: u64 = 1 << 20;
    /// In `place::STREET_JOINTS`.
    pub(crate) const STREET_JOINT: u64 = 1 << 21;
    /// In `place::AMOUNTS`.
    pub(crate) const AMOUNT: u64 = 1 << 22;
    /// In `place::DIRECTIONS`.
    pub(crate) const DIRECTION: u64 = 1 << 23;
    /// In `place::UNITS`.
    pub(crate) const PART: u64 = 1 << 24;
    /// In `place::RESIDENCES`.
    pub(crate) const RESIDENCE: u64 = 1 << 25;
    /// In `place::COUNTIES`.
    pub(crate) const COUNTY: u64 = 1 << 26;
    /// In `place::TOWNS`.
    pub(crate) const TOWN: u64 = 1 << 27;
    /// In `place::PREPOSITIONS`.
    pub(crate) const PREPOSITION: u64 = 1 << 28;
    /// In `place::LIVES`.
    pub(crate) const LIFE: u64 = 1 << 29;
    /// In `place::VISITS`.
    pub(crate) const VISIT: u64 = 1 << 30;
    /// In `place::FACILITIES`.
    pub(crate) const FACILITY: u64 = 1 << 31;
    /// In `place::GENERIC`.
    pub(crate) const GENERIC: u64 = 1 << 32;
    /// In `place::KNOWN`.
    pub(crate) const FAMED: u64 = 1 << 33;
    /// In `code::FILLERS`.
    pub(crate) const FILLER: u64 = 1 << 34;
    /// In `code::UNITS`.
    pub(crate) const MEASURE: u64 = 1 << 35;
    /// In `code::PUBLIC`.
    pub(crate) const REGISTER: u64 = 1 << 36;
    /// The first word of a place in `words/places.txt`.
    pub(crate) const PLACE: u64 = 1 << 37;
    /// The first word of a cue in `code::CUES`.
    pub(crate) const CUE: u64 = 1 << 38;
    /// In no list of words, but it sounds like a drug.
    pub(crate) const DRUG: u64 = 1 << 39;

    /// In `abroad::BEFORE`.
    pub(crate) const STREET_ABROAD: u64 = 1 << 40;

    /// Each role and its list.
    pub(super) const LISTS: [(u64, &[&str]); 30] = [
        (TITLE, crate::name::TITLES),
        (LABEL, crate::name::LABELS),
        (BEFORE, crate::name::BEFORE),
        (OPENER, crate::name::OPENERS),
        (CREDENTIAL, crate::name::CREDENTIALS),
        (EPONYM, crate::name::EPONYMS),
        (PARTICLE, crate::name::PARTICLES),
        (NEVER, crate::name::NEVER),
        (CLOSING, crate::name::CLOSINGS),
        (STATE, crate::place::STATES),
        (STATE_NAME, crate::place::STATE_NAMES),
        (STATE_FIRST, crate::place::STATE_FIRSTS),
        (STREET, crate::place::STREETS),
        (STREET_JOINT, crate::place::STREET_JOINTS),
        (AMOUNT, crate::place::AMOUNTS),
        (DIRECTION, crate::place::DIRECTIONS),
        (PART, crate::place::UNITS),
        (RESIDENCE, crate::place::RESIDENCES),
        (COUNTY, crate::place::COUNTIES),
        (TOWN, crate::place::TOWNS),
        (PREPOSITION, crate::place::PREPOSITIONS),
        (LIFE, crate::place::LIVES),
        (VISIT, crate::place::VISITS),
        (FACILITY, crate::place::FACILITIES),
        (GENERIC, crate::place::GENERIC),
        (FAMED, crate::place::KNOWN),
        (FILLER, crate::code::FILLERS),
        (MEASURE, crate::code::UNITS),
        (REGISTER, crate::code::PUBLIC),
        (STREET_ABROAD, crate::abroad::BEFORE),
    ];
}

const NAME: u64 = GIVEN | FAMILY | KNOWN;
const PLAIN: u64 = COMMON | CLINICAL;
/// What a plural is when its singular is.
const PLURAL: u32 = 0b1100;

/// What is known of one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u64);

impl Flags {
    /// Whether it is in one of the lists of `mask`.
    #[must_use]
    pub(crate) const fn any(self, mask: u64) -> bool {
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

    /// With a role that depends on more than the word.
    #[must_use]
    pub(crate) const fn with(self, role: u64) -> Self {
        Self(self.0 | role)
    }

    /// Only a name: nothing else it could be.
    #[must_use]
    pub(crate) const fn is_surely_name(self) -> bool {
        self.any(NAME) && !self.any(PLAIN) || self.any(KNOWN)
    }
}

/// The long lists, each with its flag: those of our own, and those that `words/make.py` makes.
const LISTS: [(u32, &str); 11] = [
    (0b0001, include_str!("../words/given.txt")),
    (0b0001, include_str!("../words/given.list")),
    (0b0010, include_str!("../words/family.txt")),
    (0b0010, include_str!("../words/family.list")),
    (0b0100, include_str!("../words/common.txt")),
    (0b0100, include_str!("../words/english.list")),
    (0b1000, include_str!("../words/clinical.txt")),
    (0b1000, include_str!("../words/clinical.list")),
    (0b1000, include_str!("../words/abbreviations.txt")),
    (0b1000, include_str!("../words/brands.txt")),
    (0b1000, include_str!("../words/eponyms.txt")),
];

/// Places, parted by `|`.
const PLACES: [&str; 2] = [
    include_str!("../words/places.txt"),
    include_str!("../words/places.list"),
];

/// The word lists, for lookup alone: nothing walks over them.
pub(crate) struct Lexicon {
    words: Words,
    vocabulary: Vocabulary,
    /// What is known of words of one letter and of marks, by their byte: half of all tokens.
    short: [Flags; 128],
    /// Further words of each place, by its first word; longest first.
    places: BTreeMap<&'static str, Vec<Vec<&'static str>>>,
}

impl Lexicon {
    /// Builds the lists, with the operator's own `names`.
    #[must_use]
    pub(crate) fn new(names: &[String]) -> Self {
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for word in names.iter().flat_map(|name| name.split_whitespace()) {
            *words.entry(word.to_lowercase()).or_default() |= KNOWN;
        }
        for (role, list) in role::LISTS {
            for word in list {
                *words.entry((*word).to_owned()).or_default() |= role;
            }
        }
        for first in crate::code::first_words() {
            *words.entry(first.to_owned()).or_default() |= role::CUE;
        }
        let mut places: BTreeMap<&'static str, BTreeSet<Vec<&'static str>>> = BTreeMap::new();
        let listed = PLACES.iter().flat_map(|list| list.split(['|', '\n']));
        for place in listed.map(str::trim).filter(|place| !place.is_empty()) {
            // The tokens of a place are its words: "st. louis" reads as `st`, `.`, `louis`.
            let mut tokens =
                place
                    .split_whitespace()
                    .flat_map(|word| match word.split_once(['.', '-']) {
                        Some((before, "")) => vec![before, "."],
                        Some((before, after)) => vec![before, "-", after],
                        None => vec![word],
                    });
            if let Some(first) = tokens.next() {
                *words.entry(first.to_owned()).or_default() |= role::PLACE;
                places.entry(first).or_default().insert(tokens.collect());
            }
        }
        let longest_first = |rest: BTreeSet<Vec<&'static str>>| {
            let mut rest: Vec<_> = rest.into_iter().collect();
            rest.sort_by_key(|words| std::cmp::Reverse(words.len()));
            rest
        };
        let vocabulary = Vocabulary::new(&LISTS);
        let short = |byte: usize| {
            let word = u8::try_from(byte)
                .ok()
                .map(|byte| char::from(byte).to_string())?;
            let listed = u64::from(vocabulary.known(Hash::of(&word)));
            Some(Flags(
                listed | words.get(&word).copied().unwrap_or_default(),
            ))
        };
        Self {
            short: std::array::from_fn(|byte| short(byte).unwrap_or_default()),
            words: Words::new(&words),
            vocabulary,
            places: places
                .into_iter()
                .map(|(first, rest)| (first, longest_first(rest)))
                .collect(),
        }
    }

    /// What is known of `word`, which is in lower case and whose hash is `hash`.
    #[must_use]
    pub(crate) fn flags(&self, word: &str, hash: Hash) -> Flags {
        let role = self.words.known(word, hash);
        let mut listed = self.vocabulary.known(hash);
        // The lists leave out most plurals.
        if listed == 0
            && role & NAME == 0
            && word.len() > 3
            && let Some(one) = word.strip_suffix('s')
        {
            listed = self.vocabulary.known(Hash::of(one)) & PLURAL;
        }
        Flags(role | u64::from(listed))
    }

    /// What is known of the word or mark that is this one byte, in lower case.
    #[must_use]
    pub(crate) fn short(&self, byte: u8) -> Flags {
        self.short
            .get(usize::from(byte))
            .copied()
            .unwrap_or_default()
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
    // By their last letter: most words end in one that few stems end in.
    let stems: &[&str] = match word.as_bytes().last() {
        Some(b'b') => &["mab", "tinib"],
        Some(b'e') => &[
            "apine", "azine", "azole", "caine", "cycline", "dipine", "dronate", "fibrate",
            "glutide", "idone", "oxetine", "prazole", "semide", "solone", "sone", "thiazide",
            "tidine",
        ],
        Some(b'l') => &["olol", "pril", "taxel", "terol"],
        Some(b'm') => &["zepam", "zolam"],
        Some(b'n') => &[
            "cillin",
            "floxacin",
            "formin",
            "gatran",
            "gliflozin",
            "gliptin",
            "micin",
            "mycin",
            "parin",
            "platin",
            "rubicin",
            "sartan",
            "setron",
            "statin",
            "triptan",
            "xaban",
        ],
        Some(b'r') => &["ciclovir", "navir"],
        Some(b't') => &["lukast"],
        _ => &[],
    };
    word.len() > 6 && stems.iter().any(|stem| word.ends_with(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_in_several_lists() {
        let lexicon = Lexicon::new(&["Zorblatt Quux".to_owned()]);
        let flags = |word| lexicon.flags(word, Hash::of(word));
        assert!(flags("jennifer").is_surely_name());
        assert!(flags("quux").is_surely_name());
        assert!(flags("foley").any(FAMILY) && flags("foley").any(CLINICAL));
        assert!(flags("patient").is_plain());
        assert!(flags("xqzt").is_unknown());
        assert!(sounds_like_a_drug("losartan") && !sounds_like_a_drug("sartan"));
        assert_eq!(lexicon.short(b'#'), flags("#"));
        assert_eq!(lexicon.places("new").first().map(Vec::len), Some(2));
    }

    #[test]
    fn no_number_has_a_role() {
        let numbers = role::LISTS
            .iter()
            .flat_map(|(_, list)| list.iter().copied())
            .chain(crate::code::first_words())
            .filter(|word| !word.contains(char::is_alphabetic) && word.contains(char::is_numeric));
        assert_eq!(numbers.count(), 0);
    }
}

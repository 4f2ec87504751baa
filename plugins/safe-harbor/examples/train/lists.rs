//! Words to fill slots with, from the lists of `words/`.

use std::collections::BTreeSet;

use crate::random::Random;

/// The lists.
pub(crate) struct Lists {
    given: [Vec<&'static str>; 2],
    family: [Vec<&'static str>; 2],
    /// Names that are also words.
    doubtful_given: Vec<&'static str>,
    doubtful_family: Vec<&'static str>,
    pub(crate) places: Vec<&'static str>,
    pub(crate) english: Vec<&'static str>,
    pub(crate) clinic: Vec<&'static str>,
    /// Everyday words.
    pub(crate) common: Vec<&'static str>,
}

/// The words live as long as the run.
fn words(list: &str) -> Vec<&'static str> {
    let words: &'static [String] = safe_harbor::training::words(list).leak();
    words.iter().map(String::as_str).collect()
}

impl Lists {
    pub(crate) fn read() -> Self {
        let given = [
            words(include_str!("../../words/given.txt")),
            words(include_str!("../../words/given.list")),
        ];
        let family = [
            words(include_str!("../../words/family.txt")),
            words(include_str!("../../words/family.list")),
        ];
        let english = words(include_str!("../../words/english.list"));
        let common: BTreeSet<_> = words(include_str!("../../words/common.txt"))
            .into_iter()
            .chain(words(include_str!("../../words/clinical.txt")))
            .chain(english.iter().copied())
            .collect();
        let doubtful = |lists: &[Vec<&'static str>; 2]| {
            lists
                .iter()
                .flatten()
                .copied()
                .filter(|word| common.contains(word) && word.len() > 2)
                .collect::<Vec<_>>()
        };
        Self {
            doubtful_given: doubtful(&given),
            doubtful_family: doubtful(&family),
            places: include_str!("../../words/places.txt")
                .split('|')
                .chain(include_str!("../../words/places.list").split(['|', '\n']))
                .map(str::trim)
                .filter(|place| !place.is_empty())
                .collect(),
            english,
            clinic: words(include_str!("../../words/clinical.list")),
            common: words(include_str!("../../words/common.txt"))
                .into_iter()
                .chain(words(include_str!("../../words/clinical.txt")))
                .filter(|word| !given.iter().chain(&family).any(|list| list.contains(word)))
                .collect(),
            given,
            family,
        }
    }

    pub(crate) fn given(&self, random: &mut Random) -> String {
        Self::name(&self.given, &self.doubtful_given, random)
    }

    pub(crate) fn family(&self, random: &mut Random) -> String {
        let mut name = Self::name(&self.family, &self.doubtful_family, random);
        match random.below(40) {
            0 => name = format!("O'{name}"),
            1 => name = format!("Mc{name}"),
            2 => {
                name = format!(
                    "{name}-{}",
                    Self::name(&self.family, &self.doubtful_family, random)
                )
            }
            3 => {
                name = format!(
                    "{} {name}",
                    random.of(&["van", "de", "von", "de la", "al", "del", "van der"])
                )
            }
            _ => {}
        }
        name
    }

    fn name(lists: &[Vec<&str>; 2], doubtful: &[&str], random: &mut Random) -> String {
        let word = match random.below(20) {
            0..=1 => return capital(doubtful[random.below(doubtful.len())]),
            // Names that no list has.
            2..=4 => return capital(&strange(random)),
            5..=11 => &lists[0],
            _ => &lists[1],
        };
        capital(word[random.below(word.len())])
    }

    pub(crate) fn place(&self, random: &mut Random) -> String {
        const FIRST: [&str; 14] = [
            "North", "South", "East", "West", "Port", "Lake", "Mount", "New", "Old", "Fort", "San",
            "Santa", "Saint", "Upper",
        ];
        const LAST: [&str; 24] = [
            "ville", "ton", "burg", "ford", "field", "dale", "haven", "port", "wood", "brook",
            "mont", "bury", " Falls", " Springs", " Creek", " Hills", " Grove", " Ridge",
            " Heights", " Beach", " Hollow", " Bay", " City", " Valley",
        ];
        match random.below(10) {
            0 => format!("{} {}", random.of(&FIRST), self.family(random)),
            1 => {
                let word = self.english[random.below(self.english.len())];
                format!("{}{}", capital(word), random.of(&LAST))
            }
            2 => format!("{}{}", self.family(random), random.of(&LAST)),
            _ => self.places[random.below(self.places.len())]
                .split(' ')
                .map(capital)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    pub(crate) fn facility(&self, random: &mut Random) -> String {
        const KINDS: [&str; 34] = [
            "Hospital",
            "Medical Center",
            "Clinic",
            "Regional Medical Center",
            "General Hospital",
            "Community Hospital",
            "Memorial Hospital",
            "Health",
            "Healthcare",
            "Family Medicine",
            "Nursing Home",
            "Rehabilitation Center",
            "Surgery Center",
            "Urgent Care",
            "Pharmacy",
            "Dental",
            "Pediatrics",
            "Cardiology Associates",
            "Imaging",
            "Cancer Center",
            "Hospice",
            "Dialysis",
            "Labs",
            "Care Center",
            "Med Ctr",
            "Med",
            "General",
            "Physicians Group",
            "University Hospital",
            "Children's Hospital",
            "Elementary School",
            "Skilled Nursing Facility",
            "Assisted Living",
            "Health System",
        ];
        let kind = random.of(&KINDS);
        let word = capital(self.english[random.below(self.english.len())]);
        let own = match random.below(8) {
            0 => format!("St. {}", self.given(random)),
            1 => format!("St. {}'s", self.given(random)),
            2..=3 => self.place(random),
            4 => self.family(random),
            5 => format!(
                "{word} {}",
                random.of(&[
                    "Ridge", "Grove", "Valley", "Creek", "Lake", "Hill", "Park", "View", "Oaks",
                    "River"
                ])
            ),
            6 => word,
            _ => format!(
                "{}{}",
                word,
                random.of(&["crest", "brook", "view", "haven", "wood", "side", "mont"])
            ),
        };
        match random.below(12) {
            0 => format!("University of {own}"),
            1 => {
                const LETTERS: &[u8] = b"ABCDHJLMNSUVW";
                (0..3)
                    .map(|_| char::from(LETTERS[random.below(LETTERS.len())]))
                    .collect()
            }
            2 => own,
            _ => format!("{own} {kind}"),
        }
    }
}

/// A name of syllables.
fn strange(random: &mut Random) -> String {
    const STARTS: [&str; 30] = [
        "b", "br", "c", "ch", "d", "f", "g", "gr", "h", "j", "k", "kr", "l", "m", "n", "ng", "p",
        "r", "s", "sh", "st", "t", "th", "tr", "v", "w", "y", "z", "kw", "",
    ];
    const MIDDLES: [&str; 14] = [
        "a", "e", "i", "o", "u", "ai", "ee", "io", "ou", "y", "ya", "ue", "é", "ö",
    ];
    const ENDS: [&str; 18] = [
        "", "", "", "n", "r", "s", "l", "m", "k", "nd", "sen", "ski", "wa", "ra", "ng", "tz", "lo",
        "ne",
    ];
    let mut name = String::new();
    for _ in 0..2 + random.below(2) {
        name.push_str(random.of(&STARTS));
        name.push_str(random.of(&MIDDLES));
    }
    name.push_str(random.of(&ENDS));
    name
}

/// With a capital at the front.
pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

//! Texts of our own: frames from `frames.txt` with words in their slots.

use crate::Labelled;
use crate::lists::{Lists, capital};
use crate::random::Random;

/// The frames, by style.
pub(crate) struct Frames(Vec<Vec<&'static str>>);

/// What one text speaks of.
struct Persons {
    given: String,
    family: String,
    /// Others come again in the same text.
    others: Vec<String>,
}

impl Frames {
    pub(crate) fn read() -> Self {
        let mut styles: Vec<Vec<&str>> = Vec::new();
        for line in include_str!("frames.txt").lines() {
            if line.starts_with("## ") {
                styles.push(Vec::new());
            } else if let Some(style) = styles.last_mut() {
                style.push(line);
            }
        }
        Self(styles)
    }

    /// A text: some frames of one style, or of two.
    pub(crate) fn text(&self, lists: &Lists, random: &mut Random) -> Labelled {
        let style = random.below(self.0.len());
        let other = random.below(self.0.len());
        let persons = Persons {
            given: lists.given(random),
            family: lists.family(random),
            others: (0..3).map(|_| lists.family(random)).collect(),
        };
        let joint = *random.of(&[&" ", &"\n", &"\n", &"\n\n"]);
        let mut text = Labelled::default();
        for place in 0..1 + random.below(7) {
            if place > 0 {
                text.push(joint, Some(0));
            }
            let frames = &self.0[if random.chance(85) { style } else { other }];
            fill(
                frames[random.below(frames.len())],
                &persons,
                lists,
                random,
                &mut text,
            );
        }
        text
    }
}

fn fill(frame: &str, persons: &Persons, lists: &Lists, random: &mut Random, text: &mut Labelled) {
    for (place, part) in frame.split(['{', '}']).enumerate() {
        if place % 2 == 0 {
            text.push(&part.replace("\\n", "\n"), Some(0));
            continue;
        }
        let family = |random: &mut Random| {
            if random.chance(25) {
                persons.others[random.below(persons.others.len())].clone()
            } else {
                lists.family(random)
            }
        };
        match part {
            "N" => {
                let (given, family) = (lists.given(random), family(random));
                let initial = given.chars().next().unwrap_or('A');
                let name = match random.below(12) {
                    0 => format!("{initial}. {family}"),
                    1 => format!("{given} {initial}. {family}"),
                    2 => family,
                    3 => given,
                    4 => format!("{family}, {given}"),
                    5 => format!("{given} {} {family}", lists.given(random)),
                    6 => format!("{initial} {family}"),
                    _ => format!("{given} {family}"),
                };
                text.push(&name, Some(1));
            }
            "PN" => text.push(&format!("{} {}", persons.given, persons.family), Some(1)),
            "PG" => text.push(&persons.given, Some(1)),
            "PF" => text.push(&persons.family, Some(1)),
            "G" => text.push(&lists.given(random), Some(1)),
            "F" => text.push(&family(random), Some(1)),
            "I" => {
                let initial = lists.family(random).chars().next().unwrap_or('B');
                text.push(&format!("{} {initial}.", lists.given(random)), Some(1));
            }
            "R" => {
                let initial = lists.given(random).chars().next().unwrap_or('C');
                text.push(
                    &format!("{} {initial}. {}", lists.given(random), family(random)),
                    Some(1),
                );
            }
            "C" => text.push(&lists.place(random), Some(2)),
            "S" => {
                const STATES: [&str; 12] = [
                    "OH", "TX", "CA", "NY", "Ohio", "Oregon", "WA", "GA", "Texas", "IL", "PA",
                    "Maine",
                ];
                text.push(
                    &format!("{}, {}", lists.place(random), random.of(&STATES)),
                    Some(2),
                );
            }
            "H" => text.push(&lists.facility(random), Some(2)),
            "A" => {
                const STREETS: [&str; 9] = [
                    "Street", "St", "Ave", "Road", "Rd", "Lane", "Drive", "Blvd", "Court",
                ];
                let street = if random.chance(50) {
                    lists.family(random)
                } else {
                    capital(lists.english[random.below(lists.english.len())])
                };
                let address = format!(
                    "{} {street} {}, {}, OH {}",
                    1 + random.below(9800),
                    random.of(&STREETS),
                    lists.place(random),
                    43000 + random.below(2900)
                );
                text.push(&address, Some(2));
            }
            _ => text.push(
                &other(part, lists, random),
                if "DTPM".contains(part) { None } else { Some(0) },
            ),
        }
    }
}

/// What names nobody.
fn other(slot: &str, lists: &Lists, random: &mut Random) -> String {
    const DRUGS: [&str; 40] = [
        "lisinopril",
        "metformin",
        "Eliquis",
        "warfarin",
        "Lipitor",
        "atorvastatin",
        "Humira",
        "prednisone",
        "gabapentin",
        "Zofran",
        "Keppra",
        "amlodipine",
        "Lasix",
        "furosemide",
        "Plavix",
        "heparin",
        "vancomycin",
        "Zosyn",
        "ceftriaxone",
        "Tylenol",
        "ibuprofen",
        "Ativan",
        "Synthroid",
        "Lantus",
        "Novolog",
        "Jardiance",
        "Entresto",
        "Xarelto",
        "albuterol",
        "Advair",
        "sertraline",
        "Zoloft",
        "Seroquel",
        "tamoxifen",
        "Keytruda",
        "methotrexate",
        "Ozempic",
        "oxycodone",
        "Norco",
        "Coreg",
    ];
    const DISEASES: [&str; 44] = [
        "hypertension",
        "type 2 diabetes mellitus",
        "atrial fibrillation",
        "congestive heart failure",
        "COPD",
        "chronic kidney disease",
        "asthma",
        "pneumonia",
        "rheumatoid arthritis",
        "multiple sclerosis",
        "Parkinson's disease",
        "Alzheimer disease",
        "Crohn's disease",
        "ulcerative colitis",
        "Graves' disease",
        "Hashimoto thyroiditis",
        "Hodgkin lymphoma",
        "non-Hodgkin lymphoma",
        "breast cancer",
        "prostate cancer",
        "Lyme disease",
        "lupus",
        "gout",
        "osteoporosis",
        "major depressive disorder",
        "bipolar disorder",
        "PTSD",
        "stage III colon cancer",
        "deep vein thrombosis",
        "pulmonary embolism",
        "acute pancreatitis",
        "cellulitis",
        "sepsis",
        "stroke",
        "Guillain-Barre syndrome",
        "Marfan syndrome",
        "Down syndrome",
        "Sjogren's syndrome",
        "Huntington's disease",
        "Wilson's disease",
        "Barrett's esophagus",
        "sickle cell anemia",
        "GERD",
        "hyperlipidemia",
    ];
    const EPONYMS: [&str; 48] = [
        "Babinski",
        "Romberg",
        "Murphy",
        "McBurney",
        "Homan",
        "Tinel",
        "Phalen",
        "Hoffmann",
        "Kernig",
        "Brudzinski",
        "Trendelenburg",
        "Parkinson",
        "Alzheimer",
        "Crohn",
        "Addison",
        "Cushing",
        "Graves",
        "Paget",
        "Raynaud",
        "Wilson",
        "Huntington",
        "Bell",
        "Hodgkin",
        "Marfan",
        "Turner",
        "Klinefelter",
        "Ehlers-Danlos",
        "Charcot",
        "Baker",
        "Dupuytren",
        "Barrett",
        "Mallory-Weiss",
        "Meckel",
        "Kaposi",
        "Ewing",
        "Wilms",
        "Kawasaki",
        "Reye",
        "Tourette",
        "Lynch",
        "Gilbert",
        "Framingham",
        "Glasgow",
        "Gleason",
        "Wells",
        "Child-Pugh",
        "Epley",
        "Virchow",
    ];
    const TERMS: [&str; 24] = [
        " sign",
        " disease",
        " syndrome",
        "'s sign",
        "'s disease",
        "'s syndrome",
        " test",
        " maneuver",
        " reflex",
        " score",
        " criteria",
        " classification",
        " procedure",
        " catheter",
        " fracture",
        " lymphoma",
        " tumor",
        " phenomenon",
        " palsy",
        " contracture",
        " cyst",
        " node",
        " risk score",
        " grade",
    ];
    const UNITS: [&str; 22] = [
        "Cardiology",
        "Neurology",
        "the ICU",
        "the ED",
        "Oncology",
        "General Surgery",
        "Infectious Disease",
        "Physical Therapy",
        "Radiology",
        "Internal Medicine",
        "the Emergency Department",
        "Nephrology",
        "Psychiatry",
        "the Cath Lab",
        "Palliative Care",
        "Wound Care",
        "Labor and Delivery",
        "the NICU",
        "Orthopedics",
        "Endocrinology",
        "4 West",
        "Social Work",
    ];
    let digits = |random: &mut Random, count: usize| -> String {
        (0..count)
            .map(|_| char::from(b'0' + random.below(10) as u8))
            .collect()
    };
    match slot {
        "X" if random.chance(40) => {
            let brands = include_str!("../../words/brands.txt")
                .split_whitespace()
                .collect::<Vec<_>>();
            capital(random.of(&brands))
        }
        "X" if random.chance(30) => capital(lists.clinic[random.below(lists.clinic.len())]),
        "X" => random.of(&DRUGS).to_owned(),
        "Y" => format!(
            "{} {}",
            [5, 10, 20, 25, 40, 50, 100, 500][random.below(8)],
            random.of(&["mg", "mg daily", "mcg", "units", "mg BID"])
        ),
        "Z" if random.chance(40) => {
            let terms = include_str!("terms.txt").lines().collect::<Vec<_>>();
            let term = random.of(&terms);
            match random.below(4) {
                0 => term.split(' ').map(capital).collect::<Vec<_>>().join(" "),
                1 => term.to_uppercase(),
                2 => term.to_lowercase(),
                _ => term.to_owned(),
            }
        }
        "B" => {
            let list = |random: &mut Random| match random.below(4) {
                0 => lists.clinic[random.below(lists.clinic.len())],
                1 => lists.common[random.below(lists.common.len())],
                2 => random.of(&[
                    "upper", "lower", "left", "right", "other", "middle", "general", "primary",
                    "old", "new", "major",
                ]),
                _ => lists.english[random.below(lists.english.len())],
            };
            (0..2 + random.below(3))
                .map(|_| capital(list(random)))
                .collect::<Vec<_>>()
                .join(" ")
        }
        "Z" if random.chance(25) => {
            let word =
                |random: &mut Random| capital(lists.clinic[random.below(lists.clinic.len())]);
            format!("{} {}", word(random), word(random))
        }
        "Z" => {
            let disease = random.of(&DISEASES).to_owned();
            if random.chance(30) {
                disease
                    .split(' ')
                    .map(capital)
                    .collect::<Vec<_>>()
                    .join(" ")
            } else {
                disease
            }
        }
        "Q" => {
            let eponyms = include_str!("../../words/eponyms.txt")
                .split_whitespace()
                .collect::<Vec<_>>();
            capital(random.of(&eponyms))
        }
        "E" => {
            let eponyms = include_str!("../../words/eponyms.txt")
                .split_whitespace()
                .collect::<Vec<_>>();
            let eponym = if random.chance(60) {
                capital(random.of(&eponyms))
            } else {
                random.of(&EPONYMS).to_owned()
            };
            match random.below(10) {
                0 => eponym,
                1 => format!("{eponym} {}", capital(random.of(&eponyms))),
                2 => format!(
                    "{eponym}-{} {}",
                    capital(random.of(&eponyms)),
                    random.of(&TERMS).trim()
                ),
                _ => format!("{eponym}{}", random.of(&TERMS)),
            }
        }
        "K" if random.chance(30) => (0..2 + random.below(4))
            .map(|_| char::from(b'A' + random.below(26) as u8))
            .collect(),
        "K" => {
            let letters = include_str!("../../words/abbreviations.txt")
                .split_whitespace()
                .collect::<Vec<_>>();
            random.of(&letters).to_uppercase()
        }
        "W" => random.of(&UNITS).to_owned(),
        "O" => {
            let list = if random.chance(50) {
                &lists.clinic
            } else {
                &lists.english
            };
            let word = list[random.below(list.len())];
            if random.chance(50) {
                capital(word)
            } else {
                word.to_owned()
            }
        }
        "D" => format!(
            "{}/{}/20{}",
            1 + random.below(12),
            1 + random.below(28),
            digits(random, 2)
        ),
        "T" => format!("{}/{}", 1 + random.below(12), 1 + random.below(28)),
        "P" => format!("{}-555-01{}", 200 + random.below(700), digits(random, 2)),
        "M" => digits(random, 7),
        _ => String::new(),
    }
}

//! Ages over 89 by a word for age before the number, at some distance: "the age given by the family was 94".
//!
//! Those that follow a form of their own (`94-year-old`) are in [`crate::pattern`].

use crate::found::{Found, Kind};
use crate::lexicon::{role, within};
use crate::token::{Document, Gap, Shape};

/// Words for age (sorted).
const AGES: [&str; 14] = [
    "age", "aged", "ages", "aging", "alter", "edad", "eta", "età", "idade", "leeftijd", "wiek",
    "years", "yrs", "âge",
];

/// Words for years behind the number (sorted).
const YEARS: [&str; 20] = [
    "a", "aged", "ago", "anni", "anos", "ans", "años", "jaar", "jahre", "jahren", "lat", "old",
    "y", "year", "yearold", "years", "yo", "yr", "yrs", "yy",
];

/// How many tokens lie between the word and the number at most.
const REACH: usize = 10;

/// Finds ages.
pub(crate) fn ages(document: &Document<'_>, out: &mut Vec<Found>) {
    for (at, token) in document.tokens().iter().enumerate() {
        let digits = token
            .lower
            .trim_end_matches(|c: char| c.is_ascii_lowercase());
        if !(2..=3).contains(&digits.len()) || !(90..=125).contains(&digits.parse().unwrap_or(0)) {
            continue;
        }
        let is_told = match token.shape {
            Shape::Number => {
                sexed(document, at)
                    || stands_alone(document, at)
                        && (named(document, at) || predicated(document, at))
            }
            // "93WM"
            Shape::Code => within(token.lower.get(digits.len()..).unwrap_or_default(), &SEXES),
            Shape::Lower
            | Shape::Title
            | Shape::Upper
            | Shape::Initial
            | Shape::Possessive
            | Shape::Mark(_) => false,
        };
        if is_told {
            out.push(Found {
                start: token.start,
                end: token.start + digits.len(),
                kind: Kind::Age,
                confidence: 0.85,
                rule: "age-by-cue",
            });
        }
    }
}

/// Letters for colour, years and sex right behind an age (sorted).
const SEXES: [&str; 22] = [
    "aaf", "aam", "af", "am", "bf", "bm", "f", "hf", "hm", "m", "wf", "wm", "yf", "ym", "yo",
    "yof", "yom", "yowf", "yowm", "yr", "yrf", "yrm",
];

/// "91 AAF", "92/F".
fn sexed(document: &Document<'_>, at: usize) -> bool {
    let letters = |at: usize| {
        document.get(at).is_some_and(|token| {
            matches!(token.shape, Shape::Upper | Shape::Initial)
                && token.letters > 0
                && within(&token.lower, &SEXES)
        })
    };
    let slashed = document
        .get(at + 1)
        .is_some_and(|mark| mark.is('/') && mark.gap == Gap::None)
        && document
            .get(at + 2)
            .is_some_and(|sex| sex.gap == Gap::None && matches!(sex.lower.as_ref(), "m" | "f"))
        && letters(at + 2);
    slashed || document.get(at + 1).is_some_and(|next| next.letters > 1) && letters(at + 1)
}

/// "She is 96", "her sister lived to be 101", "a woman of 93", "Arlo, who is 93,".
fn predicated(document: &Document<'_>, at: usize) -> bool {
    const PERSONS: [&str; 22] = [
        "aunt",
        "brother",
        "dad",
        "father",
        "female",
        "gentleman",
        "grandfather",
        "grandmother",
        "he",
        "husband",
        "lady",
        "male",
        "man",
        "mom",
        "mother",
        "patient",
        "pt",
        "she",
        "sister",
        "who",
        "wife",
        "woman",
    ];
    let person = |back: usize| within(document.lower_before(at, back), &PERSONS);
    let ends = document.get(at + 1).is_none_or(|next| {
        next.gap == Gap::Line
            || matches!(
                next.shape,
                Shape::Mark('.' | ',' | ';' | ')' | '-' | '–' | '—')
            )
            || matches!(
                next.lower.as_ref(),
                "and" | "but" | "who" | "with" | "w" | "years" | "yo"
            )
    });
    if !ends {
        return false;
    }
    match document.lower_before(at, 1) {
        "is" | "was" => person(2) || document.lower_before(at, 2) == "now" && person(3),
        "now" => {
            person(2) || document.lower_before(at, 2) == "," || document.lower_before(at, 2) == "is"
        }
        "of" => person(2),
        "be" => document.lower_before(at, 2) == "to" && document.lower_before(at, 3) == "lived",
        // "old Mr Pfeiffer, 96, for comfort care"
        "," => {
            document.get(at + 1).is_some_and(|next| next.is(','))
                && document.before(at, 2).is_some_and(|name| {
                    name.shape == Shape::Title
                        && name
                            .flags
                            .any(crate::lexicon::GIVEN | crate::lexicon::FAMILY)
                })
        }
        _ => false,
    }
}

/// Whether the number is whole, and no amount of something else.
fn stands_alone(document: &Document<'_>, at: usize) -> bool {
    let joins = |shape| matches!(shape, Shape::Mark('/' | '.' | '-' | '%' | '°' | ':' | '+'));
    let joined_before = document.get(at).is_some_and(|token| token.gap == Gap::None)
        && document
            .before(at, 1)
            .is_some_and(|before| joins(before.shape));
    let joined_after = document.get(at + 1).is_some_and(|next| {
        joins(next.shape)
            && next.gap == Gap::None
            && document.get(at + 2).is_some_and(|after| {
                after.gap == Gap::None && matches!(after.shape, Shape::Number | Shape::Code)
            })
            || matches!(next.shape, Shape::Mark('%' | '°'))
    });
    let years = within(document.lower(at + 1), &YEARS);
    let amount = document.flags(at + 1).any(role::MEASURE) && !years;
    !(joined_before || joined_after || amount)
}

/// Whether a word for age stands before the number in its sentence, with no other number between.
fn named(document: &Document<'_>, at: usize) -> bool {
    for back in 1..=REACH {
        let Some(token) = document.before(at, back) else {
            return false;
        };
        let ended = document
            .before(at, back - 1)
            .is_some_and(|after| after.gap == Gap::Line);
        let stops = matches!(
            token.shape,
            Shape::Number | Shape::Mark('.' | ';' | '?' | '!')
        );
        if ended && back > 1 || stops {
            return false;
        }
        if within(&token.lower, &AGES) {
            // "years" alone before a number says little: "in years: 94", "PATIENT AGE/YRS | 102".
            let unit = token.lower.starts_with('y');
            return !unit
                || (1..=3).any(|more| within(document.lower_before(at, back + more), &AGES))
                || back <= 3;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::Lexicon;

    #[test]
    fn an_age_over_89_is_found_by_a_word_for_age() {
        let lexicon = Lexicon::new(&[]);
        let cases = [
            (
                "AGE OF CARE RECIPIENT >> 106 >> sleep unchanged",
                Some("106"),
            ),
            ("The age provided by the family was 94 years.", Some("94")),
            ("SABINE QUILL — âge 103", Some("103")),
            ("PATIENT AGE/YRS | 102", Some("102")),
            ("Age in years: 101; safe", Some("101")),
            ("Age 64. Pulse 98", None),
            ("aged 64, BP 120/98", None),
            ("average age, weight 95 kg", None),
            ("age 6, sat 97%", None),
            ("sat 97 on room air", None),
            ("93WM found down", Some("93")),
            ("92/F with fall", Some("92")),
            ("91 AAF with hip fracture", Some("91")),
            ("She is 96 and lives alone", Some("96")),
            ("HR is 96 and regular", None),
            ("a woman of 93, well", Some("93")),
            ("120/92 F", None),
        ];
        for (text, age) in cases {
            let lower = text.to_ascii_lowercase();
            let document = Document::new(text, &lower, &lexicon);
            let mut out = Vec::new();
            ages(&document, &mut out);
            let found = out.first().and_then(|one| text.get(one.start..one.end));
            assert_eq!(found, age, "{text}");
        }
        assert!(AGES.is_sorted() && YEARS.is_sorted());
    }
}

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
        if token.shape != Shape::Number || !(2..=3).contains(&token.digits) {
            continue;
        }
        let age: u32 = token.lower.parse().unwrap_or(0);
        if !(90..=125).contains(&age) || !stands_alone(document, at) || !named(document, at) {
            continue;
        }
        out.push(Found {
            start: token.start,
            end: token.end,
            kind: Kind::Age,
            confidence: 0.85,
            rule: "age-by-cue",
        });
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

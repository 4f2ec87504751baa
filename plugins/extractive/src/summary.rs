//! Chooses the sentences that tell most.

use std::cmp::Ordering;

use crate::scan::{Found, scan};
use crate::split::{Sentence, Split, sentences};

/// At most `count` sentences of `text`, in their order. `earlier` texts help to tell what matters.
pub(crate) fn summary(text: &str, earlier: &[&str], count: usize) -> Vec<String> {
    let split = sentences(text);
    let frequency = frequency(&split, earlier);
    let mut emphasis = Emphasis::default();
    let mut ranked: Vec<(f64, usize, &Sentence<'_>)> = Vec::with_capacity(split.sentences.len());
    for (place, sentence) in split.sentences.iter().enumerate() {
        let heading = emphasis.of(sentence.section);
        let score = score(&split, sentence, place, &frequency, heading);
        ranked.push((score, place, sentence));
    }
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<(usize, &Sentence<'_>, Vec<usize>)> = Vec::new();
    for (_, place, sentence) in ranked {
        if chosen.len() == count {
            break;
        }
        let mut own = split.words(sentence).to_vec();
        own.sort_unstable();
        own.dedup();
        let repeats = chosen.iter().any(|(_, _, other)| {
            let shared = shared(&own, other);
            shared * 10 > (own.len() + other.len() - shared) * 6
        });
        if !repeats {
            chosen.push((place, sentence, own));
        }
    }
    chosen.sort_unstable_by_key(|(place, _, _)| *place);
    chosen
        .into_iter()
        .map(|(_, sentence, _)| ended(&split.text(sentence)))
        .collect()
}

/// How often each word stands in the sentences; in `earlier` texts it counts by half.
fn frequency(split: &Split<'_>, earlier: &[&str]) -> Vec<f64> {
    let mut frequency = vec![0.0; split.vocabulary.len()];
    let mut count = |word: usize, weight: f64| {
        if let Some(frequency) = frequency.get_mut(word) {
            *frequency += weight;
        }
    };
    split.words.iter().for_each(|word| count(*word, 1.0));
    for text in earlier {
        scan(text, |found| {
            if let Found::Word(word, hash) = found
                && let Some(word) = split.vocabulary.recall(&word, hash)
            {
                count(word, 0.5);
            }
        });
    }
    frequency
}

/// How many words two sorted lists share.
fn shared(a: &[usize], b: &[usize]) -> usize {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut shared = 0;
    while let (Some(one), Some(other)) = (a.peek(), b.peek()) {
        match one.cmp(other) {
            Ordering::Less => {
                a.next();
            }
            Ordering::Greater => {
                b.next();
            }
            Ordering::Equal => {
                shared += 1;
                a.next();
                b.next();
            }
        }
    }
    shared
}

/// List items get the full stop that they lack.
fn ended(text: &str) -> String {
    let text = text.trim_end_matches([',', ';', ':']);
    if text.ends_with(['.', '!', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

/// How much more the sentences of a section count. Sentences come in order, so each heading is looked at once.
#[derive(Default)]
struct Emphasis<'a> {
    last: Option<(&'a str, f64)>,
}

impl<'a> Emphasis<'a> {
    fn of(&mut self, section: &'a str) -> f64 {
        match self.last {
            Some((last, emphasis)) if std::ptr::eq(last, section) => emphasis,
            _ => {
                let emphasis = emphasis(section);
                self.last = Some((section, emphasis));
                emphasis
            }
        }
    }
}

/// The most that a part of a heading, in any case, makes the matter under it count; one if no part is known.
fn emphasis(heading: &str) -> f64 {
    if heading.is_ascii() {
        strongest(heading.as_bytes())
    } else {
        strongest(heading.to_lowercase().as_bytes())
    }
}

fn strongest(heading: &[u8]) -> f64 {
    let mut most = 1.0;
    let mut rest = heading;
    while let [first, after @ ..] = rest {
        let known: &[(&str, f64)] = match first.to_ascii_lowercase() {
            b'a' => &[("assessment", 2.2)],
            b'c' => &[("conclusion", 1.8)],
            b'd' => &[("discharge", 1.6), ("diagnos", 1.6)],
            b'f' => &[("findings", 1.2)],
            b'h' => &[("hospital course", 1.5)],
            b'i' => &[("impression", 2.2), ("indication", 1.3)],
            b'p' => &[("plan", 1.8)],
            b'r' => &[("recommend", 1.6), ("reason", 1.4)],
            _ => &[],
        };
        for (name, emphasis) in known {
            let part = rest.get(..name.len());
            if part.is_some_and(|part| part.eq_ignore_ascii_case(name.as_bytes())) {
                most = f64::max(most, *emphasis);
            }
        }
        rest = after;
    }
    most
}

fn score(
    split: &Split<'_>,
    sentence: &Sentence<'_>,
    place: usize,
    frequency: &[f64],
    heading: f64,
) -> f64 {
    let words = split.words(sentence);
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return 0.0;
    }
    let sum: f64 = words.iter().filter_map(|word| frequency.get(*word)).sum();
    // What a note opens with says what it is about.
    let position = 1.0 + 0.5 / (1.0 + f64::from(u32::try_from(place).unwrap_or(u32::MAX)));
    let length = match count {
        0..=2 => 0.2,
        3..=4 => 0.6,
        5..=35 => 1.0,
        _ => 0.7,
    };
    // Lines that are mostly identifiers are letterheads, not matter.
    let letterhead = if split.is_mostly_tokens(sentence) {
        0.3
    } else {
        1.0
    };
    sum / f64::from(count).sqrt() * heading * position * length * letterhead
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "PATIENT: [NAME_7KQ2M], [DATE_00AB1], [MRN_9XYZ2]\n\
        REASON\nCough and fever for three days with shortness of breath.\n\
        HOSPITAL COURSE\nPneumonia of the right lower lobe was treated with ceftriaxone. The weather was fine. \
        The fever resolved on the second day and oxygen was weaned.\n\
        IMPRESSION: Right lower lobe pneumonia with fever, improving on antibiotics.\n\
        PLAN\n- Finish antibiotics for pneumonia at home\n- Call [PHONE_3ABCD] if the fever returns";

    #[test]
    fn what_matters_is_kept_in_order() {
        let summary = summary(NOTE, &[], 3);
        assert_eq!(summary.len(), 3);
        assert!(
            summary
                .iter()
                .any(|one| one.starts_with("Right lower lobe pneumonia"))
        );
        assert!(
            !summary
                .iter()
                .any(|one| one.contains("weather") || one.contains("MRN_"))
        );
        let places: Vec<_> = summary
            .iter()
            .map(|one| NOTE.find(one.trim_end_matches('.')).unwrap())
            .collect();
        assert!(places.is_sorted());
    }

    #[test]
    fn a_repeated_sentence_is_given_once() {
        let text = "The wound is clean and dry today. The wound is clean and dry today. Pain is well controlled with tablets.";
        assert_eq!(summary(text, &[], 3).len(), 2);
    }

    #[test]
    fn the_strongest_heading_counts() {
        for (section, expected) in [
            ("", 1.0),
            ("Social history", 1.0),
            ("ASSESSMENT AND PLAN", 2.2),
            ("Discharge diagnoses", 1.6),
            ("Findings, impression", 2.2),
            ("Hospital course", 1.5),
        ] {
            assert_eq!(emphasis(section), expected, "{section}");
        }
    }
}

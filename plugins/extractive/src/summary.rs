//! Chooses the sentences that tell most.

use std::collections::{BTreeMap, BTreeSet};

use crate::split::{Sentence, sentences};
use crate::token;

/// Words that tell nothing (sorted).
const STOP: [&str; 78] = [
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "but", "by", "can", "could", "did", "do", "for", "from", "had", "has",
    "have", "he", "her", "him", "his", "i", "if", "in", "into", "is", "it", "its", "just", "may",
    "me", "mr", "mrs", "ms", "my", "no", "not", "of", "on", "or", "our", "out", "over", "please",
    "she", "should", "so", "such", "than", "that", "the", "their", "them", "then", "there", "they",
    "this", "to", "up", "was", "we", "were", "which", "who", "will", "with", "would", "you",
    "your",
];

/// Headings under which the matter stands, and how much more it counts.
const HEADINGS: [(&str, f64); 11] = [
    ("impression", 2.2),
    ("assessment", 2.2),
    ("plan", 1.8),
    ("discharge", 1.6),
    ("conclusion", 1.8),
    ("diagnos", 1.6),
    ("recommend", 1.6),
    ("hospital course", 1.5),
    ("reason", 1.4),
    ("indication", 1.3),
    ("findings", 1.2),
];

/// At most `count` sentences of `text`, in their order. `earlier` texts help to tell what matters.
pub(crate) fn summary(text: &str, earlier: &[&str], count: usize) -> Vec<String> {
    let all = sentences(text);
    let mut frequency: BTreeMap<String, f64> = BTreeMap::new();
    for (weight, sentence) in all
        .iter()
        .map(|sentence| (1.0, sentence.text.as_str()))
        .chain(earlier.iter().map(|text| (0.5, *text)))
    {
        for word in words(sentence) {
            *frequency.entry(word).or_default() += weight;
        }
    }
    let mut ranked: Vec<(f64, usize, &Sentence)> = all
        .iter()
        .enumerate()
        .map(|(place, sentence)| (score(sentence, place, &frequency), place, sentence))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<(usize, &Sentence, BTreeSet<String>)> = Vec::new();
    for (_, place, sentence) in ranked {
        if chosen.len() == count {
            break;
        }
        let own: BTreeSet<String> = words(&sentence.text).collect();
        let repeats = chosen.iter().any(|(_, _, other)| {
            let shared = own.intersection(other).count();
            shared * 10 > own.union(other).count() * 6
        });
        if !repeats {
            chosen.push((place, sentence, own));
        }
    }
    chosen.sort_by_key(|(place, _, _)| *place);
    chosen
        .into_iter()
        .map(|(_, sentence, _)| ended(&sentence.text))
        .collect()
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

/// The words of a text that tell something, in lower case; no tokens.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '[' | ']' | '_' | '-'))
        .filter(|word| {
            word.len() > 1 && !word.contains(['[', ']', '_']) && word.contains(char::is_alphabetic)
        })
        .map(str::to_lowercase)
        .filter(|word| STOP.binary_search(&word.as_str()).is_err())
}

fn score(sentence: &Sentence, place: usize, frequency: &BTreeMap<String, f64>) -> f64 {
    let (sum, count) = words(&sentence.text).fold((0.0, 0u32), |(sum, count), word| {
        (
            sum + frequency.get(&word).copied().unwrap_or(0.0),
            count + 1,
        )
    });
    if count == 0 {
        return 0.0;
    }
    let heading = HEADINGS
        .iter()
        .filter(|(name, _)| sentence.section.contains(name))
        .map(|(_, boost)| *boost)
        .fold(1.0, f64::max);
    // What a note opens with says what it is about.
    let position = 1.0 + 0.5 / (1.0 + f64::from(u32::try_from(place).unwrap_or(u32::MAX)));
    let length = match count {
        0..=2 => 0.2,
        3..=4 => 0.6,
        5..=35 => 1.0,
        _ => 0.7,
    };
    // Lines that are mostly identifiers are letterheads, not matter.
    let tokens = token::tokens(&sentence.text).count();
    let letterhead = if tokens * 3 > sentence.text.split_whitespace().count() {
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
    fn words_are_sorted_for_lookup() {
        let mut sorted = STOP;
        sorted.sort_unstable();
        assert_eq!(sorted, STOP);
    }
}

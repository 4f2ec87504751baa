//! The words before a finding that make it surer, as `LemmaContextAwareEnhancer` of Presidio takes them by default: the word in
//! which it stands and the five before it that are not empty of meaning, and a context word that is part of one of them.
//!
//! Presidio compares lemmas, which need a model; here words stand as they are written. A context word is looked for inside
//! words, so `card` finds `cards` too.

/// How many words before the one in which the finding stands.
const BEFORE: usize = 5;
/// What a finding gains, and what it then has at least.
const GAIN: f32 = 0.35;
const AT_LEAST: f32 = 0.4;

/// English words that do not count: function words, those by which one refers, and numbers that are written out.
const EMPTY: [&str; 91] = [
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "but", "by", "can", "did", "do", "does", "eight", "eleven", "fifteen", "fifty",
    "first", "five", "for", "forty", "four", "from", "had", "has", "have", "he", "her", "his",
    "hundred", "i", "if", "in", "into", "is", "it", "its", "last", "me", "my", "nine", "no", "not",
    "of", "on", "one", "or", "our", "out", "over", "she", "six", "sixty", "so", "ten", "than",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "three",
    "to", "twelve", "twenty", "two", "under", "up", "was", "we", "were", "what", "when", "which",
    "who", "will", "with", "would", "you",
];

/// The score of a finding that a context word supports.
pub(crate) const fn raised(score: f32) -> f32 {
    (score + GAIN).max(AT_LEAST).min(1.0)
}

/// Whether one of `context` (in lower case) is part of a word before `start`, or of the one that holds it.
pub(crate) fn supports(text: &str, start: usize, context: &[String]) -> bool {
    if context.is_empty() {
        return false;
    }
    let (before, from) = text.split_at_checked(start).unwrap_or((text, ""));
    let holder = before.rfind(char::is_whitespace).map_or(0, |at| {
        at + before
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .map_or(1, char::len_utf8)
    });
    let (before, head) = before.split_at_checked(holder).unwrap_or((before, ""));
    let tail = from.split(char::is_whitespace).next().unwrap_or("");
    let holder = format!("{head}{tail}");
    let words = before.split_whitespace().rev().map(word);
    let counted = words.filter(|word| !word.is_empty() && !EMPTY.contains(&word.as_str()));
    std::iter::once(holder.to_lowercase())
        .chain(counted.take(BEFORE))
        .any(|word| context.iter().any(|one| word.contains(one)))
}

/// In lower case, without what stands around it.
fn word(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase()
}

//! Cuts clinical text into sentences: headings, lists, hard line ends, abbreviations and HL7 lines are its daily bread.

use std::ops::Range;

use crate::scan::{Found, Piece, scan};
use crate::token;
use crate::words::Vocabulary;

/// A text in sentences. Nothing is copied: a sentence is a run of pieces, with a blank between each two.
pub(crate) struct Split<'a> {
    /// Each piece, and where its words end in `words`.
    pieces: Vec<(Piece<'a>, usize)>,
    /// The sentences, in order.
    pub(crate) sentences: Vec<Sentence<'a>>,
    pub(crate) vocabulary: Vocabulary<'a>,
    /// The words that tell something, one after another as they stand in the sentences.
    pub(crate) words: Vec<usize>,
}

/// One sentence.
pub(crate) struct Sentence<'a> {
    pieces: Range<usize>,
    /// The heading it stands under, as written; empty at the top.
    pub(crate) section: &'a str,
}

impl<'a> Split<'a> {
    /// A sentence with single blanks.
    pub(crate) fn text(&self, sentence: &Sentence<'_>) -> String {
        let pieces: Vec<&str> = self
            .pieces(sentence)
            .iter()
            .map(|(piece, _)| piece.text)
            .collect();
        pieces.join(" ")
    }

    /// The words of a sentence that tell something, each as often as it stands there.
    pub(crate) fn words(&self, sentence: &Sentence<'_>) -> &[usize] {
        let end = |piece: Option<&(Piece<'_>, usize)>| piece.map_or(0, |(_, end)| *end);
        let before = sentence.pieces.start.checked_sub(1);
        let start = end(before.and_then(|before| self.pieces.get(before)));
        self.words
            .get(start..end(self.pieces(sentence).last()))
            .unwrap_or_default()
    }

    /// Whether more than a third of a sentence's pieces are tokens.
    pub(crate) fn is_mostly_tokens(&self, sentence: &Sentence<'_>) -> bool {
        let pieces = self.pieces(sentence);
        let bracketed = pieces.iter().filter(|(piece, _)| piece.has_bracket);
        let tokens: usize = bracketed
            .map(|(piece, _)| token::tokens(piece.text).count())
            .sum();
        tokens * 3 > pieces.len()
    }

    fn pieces(&self, sentence: &Sentence<'_>) -> &[(Piece<'a>, usize)] {
        self.pieces.get(sentence.pieces.clone()).unwrap_or_default()
    }
}

/// Words that end with a dot inside a sentence (sorted).
const ABBREVIATIONS: [&str; 48] = [
    "approx", "appt", "apt", "ave", "b.i.d", "blvd", "cf", "dept", "dr", "drs", "e.g", "est",
    "etc", "ext", "fig", "hosp", "hr", "hx", "i.e", "inc", "jr", "lab", "mr", "mrs", "ms", "mt",
    "no", "p.m", "p.o", "pcp", "ph", "prof", "pt", "q.d", "q.i.d", "rd", "resp", "rev", "sr", "st",
    "ste", "t.i.d", "tab", "tel", "temp", "vs", "wt", "yo",
];

/// Cuts `text` into its sentences.
pub(crate) fn sentences(text: &str) -> Split<'_> {
    let mut split = Split {
        pieces: Vec::with_capacity(text.len() / 5),
        sentences: Vec::new(),
        vocabulary: Vocabulary::for_text(text.len()),
        words: Vec::with_capacity(text.len() / 8),
    };
    let mut section = "";
    let mut paragraph = 0;
    for line in lines(text) {
        let line = line.trim();
        let entry = without_bullet(line);
        let begins = line.is_empty() || entry.len() < line.len() || split.is_closed(paragraph);
        if begins {
            paragraph = split.close(paragraph, section);
        }
        if let Some(fields) = segment(line) {
            paragraph = split.close(paragraph, section);
            split.add(fields);
            paragraph = split.close(paragraph, section);
            continue;
        }
        match heading(entry) {
            Some((name, rest)) => {
                paragraph = split.close(paragraph, section);
                section = name;
                split.add(rest);
            }
            None => split.add(entry),
        }
    }
    split.close(paragraph, section);
    split
}

impl<'a> Split<'a> {
    /// Adds to the paragraph.
    fn add(&mut self, text: &'a str) {
        scan(text, |found| match found {
            Found::Word(word, hash) => {
                if let Some(word) = self.vocabulary.learn(word, hash) {
                    self.words.push(word);
                }
            }
            Found::Piece(piece) => self.pieces.push((piece, self.words.len())),
        });
    }

    /// Whether the paragraph that begins at a piece ends as a sentence does.
    fn is_closed(&self, paragraph: usize) -> bool {
        let last = self.pieces.get(paragraph..).and_then(<[_]>::last);
        last.is_some_and(|(last, _)| last.text.ends_with(['.', '!', '?', ':', ';']))
    }

    /// Cuts the paragraph that begins at a piece into sentences, and gives where the next one begins.
    fn close(&mut self, paragraph: usize, section: &'a str) -> usize {
        let mut start = paragraph;
        let mut has_letter = false;
        let end = self.pieces.len();
        let mut rest = self.pieces.get(paragraph..).unwrap_or_default();
        while let [(piece, _), after @ ..] = rest {
            rest = after;
            has_letter |= piece.has_letter;
            if let [(next, _), ..] = rest
                && !(may_end(piece.text) && ends_here(piece.text, next.text))
            {
                continue;
            }
            let place = end - rest.len();
            // A sentence without a letter has no words to tell either.
            if has_letter {
                self.sentences.push(Sentence {
                    pieces: start..place,
                    section,
                });
            }
            (start, has_letter) = (place, false);
        }
        end
    }
}

/// The lines of `text`, by either end of line: the two together hold an empty line between them.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let Some(end) = whole.as_bytes().iter().position(end) else {
            return rest.take();
        };
        rest = whole.get(end + 1..);
        whole.get(..end)
    })
}

/// The comment of an HL7 `NTE` segment, nothing for any other segment, `None` for what is no segment.
fn segment(line: &str) -> Option<&str> {
    if line.as_bytes().get(3) != Some(&b'|') {
        return None;
    }
    let (name, rest) = line.split_once('|')?;
    let named = name.len() == 3
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    named.then(|| {
        if name == "NTE" {
            rest.split('|').nth(2).unwrap_or_default()
        } else {
            ""
        }
    })
}

/// The line without its list mark: `-`, `*`, `•`, `1.` or `1)`.
fn without_bullet(line: &str) -> &str {
    for mark in ["- ", "* ", "• ", "– "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return rest.trim_start();
        }
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") ")) {
        Some(rest) if line.len() - rest.len() <= 5 => rest.trim_start(),
        _ => line,
    }
}

/// A heading and what follows it on its line: `PLAN`, `Assessment and plan:`, `Impression: no change`.
fn heading(line: &str) -> Option<(&str, &str)> {
    let words = |text: &str| text.split_whitespace().take(7).count();
    let wordy = |text: &str| {
        text.chars().all(|c| {
            c.is_alphabetic() || c.is_whitespace() || matches!(c, '/' | '&' | '-' | '\'' | ',')
        })
    };
    // What most lines fail by is asked first.
    if line.starts_with(char::is_uppercase)
        && let Some((name, rest)) = line.split_once(':')
        && (rest.is_empty() || rest.starts_with(char::is_whitespace))
        && wordy(name)
        && (1..=5).contains(&words(name))
    {
        return Some((name, rest.trim_start()));
    }
    let capitals = !line.chars().any(char::is_lowercase) && line.chars().any(char::is_alphabetic);
    (capitals && words(line) <= 6 && wordy(line)).then_some((line, ""))
}

/// Whether a sentence can end with `word` at all; most words end otherwise. Quotes outside ASCII may follow the stop.
#[inline]
fn may_end(word: &str) -> bool {
    let last = word.as_bytes().last();
    matches!(
        last,
        Some(b'.' | b'!' | b'?' | b'"' | b'\'' | b')' | 0x80..)
    )
}

/// Whether a sentence ends with `word`, given the one after it.
fn ends_here(word: &str, next: &str) -> bool {
    let closed = word.trim_end_matches(['"', '\'', ')', '”', '’']);
    let Some(bare) = closed.strip_suffix(['.', '!', '?']) else {
        return false;
    };
    if closed.ends_with(['!', '?']) {
        return true;
    }
    let begins = next
        .trim_start_matches(['"', '\'', '(', '“', '‘'])
        .starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == '[');
    let bare = bare.trim_start_matches(['(', '"', '“']).to_lowercase();
    let initial = bare.chars().count() == 1 && bare.starts_with(char::is_alphabetic);
    begins && !initial && ABBREVIATIONS.binary_search(&bare.as_str()).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let split = sentences(text);
        let found: Vec<_> = split
            .sentences
            .iter()
            .map(|one| (one.section, split.text(one)))
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(section, text)| (*section, text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn abbreviations_are_sorted_for_lookup() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn abbreviations_and_decimals_end_no_sentence() {
        check(
            "Seen by Dr. [NAME_7KQ2M] at 8 p.m. Potassium was 4.1. J. Smith agrees.",
            &[
                ("", "Seen by Dr. [NAME_7KQ2M] at 8 p.m. Potassium was 4.1."),
                ("", "J. Smith agrees."),
            ],
        );
    }

    #[test]
    fn headings_lists_and_wrapped_lines_are_understood() {
        check(
            "PLAN\n1. Start aspirin\n2. Return in\n   two weeks\n\nImpression: stable.\nNo change\nsince June.",
            &[
                ("PLAN", "Start aspirin"),
                ("PLAN", "Return in two weeks"),
                ("Impression", "stable."),
                ("Impression", "No change since June."),
            ],
        );
    }

    #[test]
    fn hl7_lines_are_no_sentences_but_comments_are() {
        check(
            "MSH|^~\\&|A|B\rPID|1||[MRN_00000]\rNTE|1||Seen today. Doing well.\r",
            &[("", "Seen today."), ("", "Doing well.")],
        );
    }
}

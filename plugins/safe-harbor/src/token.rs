//! Cuts a text into tokens: words with their shape, numbers, codes and marks, each with its byte offsets.

use crate::lexicon::{Flags, Lexicon};

/// How a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `word`
    Lower,
    /// `Word`, `McAllister`
    Title,
    /// `WORD`
    Upper,
    /// `W`
    Initial,
    /// `2024`
    Number,
    /// `A12b`
    Code,
    /// The `'s` of a possessive.
    Possessive,
    /// Anything else, one character.
    Mark(char),
}

/// What stands between a token and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing.
    None,
    /// Blanks.
    Space,
    /// At least one line end, or the start of the text.
    Line,
}

/// One token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    /// How it is written.
    pub(crate) shape: Shape,
    /// What stands before it.
    pub(crate) gap: Gap,
    /// What the lexicon knows of it.
    pub(crate) flags: Flags,
    /// In lower case, with `’` as `'`.
    pub(crate) lower: String,
}

impl Token {
    /// Whether it is written as a name is: `Word`, `WORD` or `W`.
    #[must_use]
    pub(crate) const fn is_capital(&self) -> bool {
        matches!(self.shape, Shape::Title | Shape::Upper | Shape::Initial)
    }

    /// Whether it is a word.
    #[must_use]
    pub(crate) const fn is_word(&self) -> bool {
        self.is_capital() || matches!(self.shape, Shape::Lower)
    }

    /// Whether it is this mark.
    #[must_use]
    pub(crate) fn is(&self, mark: char) -> bool {
        self.shape == Shape::Mark(mark)
    }
}

/// A text and its tokens.
pub(crate) struct Document<'a> {
    /// The text.
    pub(crate) text: &'a str,
    /// The word lists that it was read with.
    pub(crate) lexicon: &'a Lexicon,
    tokens: Vec<Token>,
}

impl<'a> Document<'a> {
    /// Cuts `text`.
    #[must_use]
    pub(crate) fn new(text: &'a str, lexicon: &'a Lexicon) -> Self {
        let mut tokens = Vec::with_capacity(text.len() / 5);
        let mut gap = Gap::Line;
        let mut rest = text.char_indices().peekable();
        while let Some((start, c)) = rest.next() {
            if c.is_whitespace() {
                if matches!(
                    c,
                    '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
                ) {
                    gap = Gap::Line;
                } else if gap == Gap::None {
                    gap = Gap::Space;
                }
                continue;
            }
            let mut end = start + c.len_utf8();
            if c.is_alphanumeric() {
                while let Some((at, next)) = rest.peek().copied() {
                    let inside = next.is_alphanumeric()
                        || is_combining(next)
                        || is_apostrophe(next) && continues_word(text, at, next);
                    if !inside {
                        break;
                    }
                    end = at + next.len_utf8();
                    rest.next();
                }
            } else if is_apostrophe(c) && gap == Gap::None && is_possessive(text, end) {
                rest.next();
                end += 1;
                tokens.push(token(text, start, end, Shape::Possessive, gap, lexicon));
                gap = Gap::None;
                continue;
            }
            let word = text.get(start..end).unwrap_or_default();
            tokens.push(token(text, start, end, shape(word, c), gap, lexicon));
            gap = Gap::None;
        }
        Self {
            text,
            lexicon,
            tokens,
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens, in order.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The token at `at`.
    #[must_use]
    pub(crate) fn get(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    /// The token `back` places before `at`.
    #[must_use]
    pub(crate) fn before(&self, at: usize, back: usize) -> Option<&Token> {
        at.checked_sub(back).and_then(|at| self.tokens.get(at))
    }

    /// The lower-case form of the token at `at`, or nothing.
    #[must_use]
    pub(crate) fn lower(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.lower.as_str())
    }

    /// The lower-case form of the token `back` places before `at`, or nothing.
    #[must_use]
    pub(crate) fn lower_before(&self, at: usize, back: usize) -> &str {
        self.before(at, back)
            .map_or("", |token| token.lower.as_str())
    }

    /// What is known of the token at `at`.
    #[must_use]
    pub(crate) fn flags(&self, at: usize) -> Flags {
        self.tokens
            .get(at)
            .map_or_else(Flags::default, |token| token.flags)
    }

    /// What is known of the token `back` places before `at`.
    #[must_use]
    pub(crate) fn flags_before(&self, at: usize, back: usize) -> Flags {
        self.before(at, back)
            .map_or_else(Flags::default, |token| token.flags)
    }

    /// Whether `words` stand from `at` on.
    #[must_use]
    pub(crate) fn reads(&self, at: usize, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(place, word)| self.lower(at + place) == *word)
    }

    /// Whether the token at `at` begins a sentence, a line or a list item.
    #[must_use]
    pub(crate) fn begins_sentence(&self, at: usize) -> bool {
        let Some(token) = self.get(at) else {
            return true;
        };
        token.gap == Gap::Line
            || self.before(at, 1).is_none_or(|previous| {
                matches!(
                    previous.shape,
                    Shape::Mark('.' | '!' | '?' | ':' | ';' | '•' | '*' | '|' | '"' | '“' | '>')
                ) || previous.is('-') && previous.gap == Gap::Line
            })
    }

    /// The index of the first token that starts at or after byte `offset`.
    #[must_use]
    pub(crate) fn token_at(&self, offset: usize) -> usize {
        self.tokens.partition_point(|token| token.start < offset)
    }
}

fn token(text: &str, start: usize, end: usize, shape: Shape, gap: Gap, lexicon: &Lexicon) -> Token {
    let word = text.get(start..end).unwrap_or_default();
    let lower = if word.is_ascii() {
        word.to_ascii_lowercase()
    } else {
        word.to_lowercase().replace('’', "'")
    };
    let flags = match shape {
        Shape::Lower | Shape::Title | Shape::Upper => lexicon.flags(&lower),
        Shape::Initial | Shape::Number | Shape::Code | Shape::Possessive | Shape::Mark(_) => {
            lexicon.flags(&lower).roles()
        }
    };
    Token {
        start,
        end,
        shape,
        gap,
        flags,
        lower,
    }
}

const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

fn is_combining(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Whether the text after an apostrophe is `s` and the word ends there.
fn is_possessive(text: &str, after: usize) -> bool {
    let mut next = text.get(after..).unwrap_or_default().chars();
    matches!(next.next(), Some('s' | 'S')) && !next.next().is_some_and(char::is_alphanumeric)
}

/// Whether an apostrophe at `at` belongs inside a word, as in `O'Neill` and `don't`.
fn continues_word(text: &str, at: usize, mark: char) -> bool {
    let after = at + mark.len_utf8();
    text.get(after..)
        .and_then(|rest| rest.chars().next())
        .is_some_and(char::is_alphabetic)
        && !is_possessive(text, after)
}

fn shape(word: &str, first: char) -> Shape {
    let (mut digits, mut lower, mut upper, mut letters) = (0, 0, 0, 0);
    for c in word.chars() {
        if c.is_numeric() {
            digits += 1;
        } else if c.is_alphabetic() {
            letters += 1;
            if c.is_uppercase() {
                upper += 1;
            } else {
                lower += 1;
            }
        }
    }
    match (digits, letters) {
        (0, 0) => Shape::Mark(first),
        (_, 0) => Shape::Number,
        (0, 1) if upper == 1 => Shape::Initial,
        (0, _) if upper > 0 && lower == 0 => Shape::Upper,
        (0, _) if first.is_uppercase() => Shape::Title,
        (0, _) => Shape::Lower,
        _ => Shape::Code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_marks_are_told_apart() {
        let lexicon = Lexicon::new(&[]);
        let text = "Dr. O'Neill's A12b, José-María\n2024 UTI d’Arcy";
        let document = Document::new(text, &lexicon);
        let shapes: Vec<_> = (0..document.len())
            .filter_map(|at| document.get(at))
            .map(|token| (text.get(token.start..token.end).unwrap(), token.shape))
            .collect();
        assert_eq!(
            shapes,
            [
                ("Dr", Shape::Title),
                (".", Shape::Mark('.')),
                ("O'Neill", Shape::Title),
                ("'s", Shape::Possessive),
                ("A12b", Shape::Code),
                (",", Shape::Mark(',')),
                ("José", Shape::Title),
                ("-", Shape::Mark('-')),
                ("María", Shape::Title),
                ("2024", Shape::Number),
                ("UTI", Shape::Upper),
                ("d’Arcy", Shape::Lower),
            ]
        );
        assert_eq!(document.get(9).map(|token| token.gap), Some(Gap::Line));
    }
}

//! A text as its tokens: how each is written, what stands before it, what the lexicon knows of it.

use std::borrow::Cow;

use crate::cut;
use crate::lexicon::{Flags, Lexicon};
use crate::words::Hash;

/// How a token is written. The rules ask for it all the time: a byte of its own tells it without a look at the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
pub(crate) struct Token<'a> {
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
    pub(crate) lower: Cow<'a, str>,
    /// The hash of `lower`.
    pub(crate) hash: Hash,
    /// How many of its characters are ASCII digits.
    pub(crate) digits: usize,
    /// How many of its characters are letters.
    pub(crate) letters: usize,
}

impl Token<'_> {
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
    tokens: Vec<Token<'a>>,
}

impl<'a> Document<'a> {
    /// Cuts `text`, whose form in lower case (that of its ASCII letters) is `lower`.
    #[must_use]
    pub(crate) fn new(text: &'a str, lower: &'a str, lexicon: &'a Lexicon) -> Self {
        Self {
            text,
            lexicon,
            tokens: cut::tokens(text, lower, lexicon),
        }
    }

    /// Takes words out of the lists, for training: words that no list has are learned from those that one has.
    pub(crate) fn unlist(&mut self, is_unlisted: impl Fn(&Token<'_>) -> bool) {
        for token in &mut self.tokens {
            if is_unlisted(token) {
                token.flags = token.flags.roles();
            }
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens, in order.
    pub(crate) fn tokens(&self) -> &[Token<'a>] {
        &self.tokens
    }

    /// The token at `at`.
    #[must_use]
    pub(crate) fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.tokens.get(at)
    }

    /// The token `back` places before `at`.
    #[must_use]
    pub(crate) fn before(&self, at: usize, back: usize) -> Option<&Token<'a>> {
        at.checked_sub(back).and_then(|at| self.tokens.get(at))
    }

    /// The lower-case form of the token at `at`, or nothing.
    #[must_use]
    pub(crate) fn lower(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.lower)
    }

    /// The lower-case form of the token `back` places before `at`, or nothing.
    #[must_use]
    pub(crate) fn lower_before(&self, at: usize, back: usize) -> &str {
        self.before(at, back).map_or("", |token| &token.lower)
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

//! A text as the facts are looked for in it: its words, and its letters and digits without what parts them.

use super::near::Wanted;
use crate::cut::is_combining;

/// A run of letters and digits.
pub(super) struct Word {
    /// Bytes of the text, end exclusive.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) read: Wanted,
    /// Whether it begins with a capital.
    pub(super) is_capital: bool,
}

/// One letter or digit.
#[derive(Clone, Copy)]
pub(super) struct Glyph {
    pub(super) c: char,
    /// Bytes of the text, end exclusive.
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) struct View<'a> {
    pub(super) text: &'a str,
    pub(super) words: Vec<Word>,
    pub(super) glyphs: Vec<Glyph>,
    /// Whether anything is written with capitals.
    pub(super) has_capitals: bool,
}

impl<'a> View<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let glyphs: Vec<Glyph> = text
            .char_indices()
            .filter(|(_, c)| c.is_alphanumeric())
            .map(|(start, c)| Glyph {
                c: c.to_ascii_lowercase(),
                start,
                end: start + c.len_utf8(),
            })
            .collect();
        Self {
            text,
            words: spans(text)
                .into_iter()
                .filter_map(|(start, end)| Word::of(text, start, end))
                .collect(),
            glyphs,
            has_capitals: text.contains(char::is_uppercase),
        }
    }

    /// What stands between two words.
    pub(super) fn gap(&self, first: usize, next: usize) -> Option<&'a str> {
        let (first, next) = (self.words.get(first)?, self.words.get(next)?);
        self.text.get(first.end..next.start)
    }

    /// Whether two words, one behind the other, may belong together: at most blanks, a line end and one or two marks part them.
    pub(super) fn adjoins(&self, first: usize, next: usize) -> bool {
        self.gap(first, next).is_some_and(|gap| {
            let marks = gap.chars().filter(|c| !c.is_whitespace()).count();
            let lines = gap.chars().filter(|c| *c == '\n').count();
            let belongs = |c: char| {
                c.is_whitespace() || matches!(c, ',' | '.' | '-' | '\'' | '’' | '_' | '^')
            };
            marks <= 2 && lines <= 1 && gap.chars().count() <= 4 && gap.chars().all(belongs)
        })
    }
}

impl Word {
    fn of(text: &str, start: usize, end: usize) -> Option<Self> {
        let written = text.get(start..end)?;
        Some(Self {
            start,
            end,
            read: Wanted::new(written),
            is_capital: written.starts_with(char::is_uppercase),
        })
    }

    /// Its one letter.
    pub(super) fn initial(&self) -> Option<char> {
        let mut letters = self.read.plain.chars();
        let first = letters.next().filter(|c| c.is_alphabetic());
        first.filter(|_| letters.next().is_none())
    }
}

/// Where the words of `text` stand. `|`, `!` and `$` between two letters are letters that were misread.
pub(super) fn spans(text: &str) -> Vec<(usize, usize)> {
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut open: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next_is_letter = chars.peek().is_some_and(|(_, next)| next.is_alphabetic());
        let is_part = c.is_alphanumeric()
            || open.is_some()
                && (is_combining(c) || matches!(c, '|' | '!' | '$') && next_is_letter);
        match (is_part, open) {
            (true, None) => open = Some(at),
            (false, Some(start)) => {
                words.push((start, at));
                open = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    words.extend(open.map(|start| (start, text.len())));
    words
}

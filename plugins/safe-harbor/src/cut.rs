//! Cuts a text into tokens: words with their shape, numbers, codes and marks, each with its byte offsets.
//!
//! ASCII words and marks are read byte by byte, each byte once: shape, counts and hash come out of one pass. What holds
//! other characters is read again by [`any`], which decides what a token is.

use std::borrow::Cow;

use crate::lexicon::{Flags, Lexicon, role, sounds_like_a_drug};
use crate::token::{Gap, Shape, Token};
use crate::words::Hash;

/// What a byte is to the cutter.
#[derive(Clone, Copy)]
enum Class {
    Blank,
    LineEnd,
    Lower,
    Upper,
    Digit,
    Mark,
    /// Part of a character that is not ASCII.
    Beyond,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Beyond; 256];
    let mut byte = 0u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            classes[byte as usize] = match byte {
                b'\n' | b'\r' | 0x0b | 0x0c => Class::LineEnd,
                b'\t' | b' ' => Class::Blank,
                b'a'..=b'z' => Class::Lower,
                b'A'..=b'Z' => Class::Upper,
                b'0'..=b'9' => Class::Digit,
                _ => Class::Mark,
            };
        }
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES
        .get(usize::from(byte))
        .copied()
        .unwrap_or(Class::Beyond)
}

/// The tokens of `text`, whose form in lower case (that of its ASCII letters) is `lower`.
#[must_use]
pub(crate) fn tokens<'a>(text: &'a str, lower: &'a str, lexicon: &Lexicon) -> Vec<Token<'a>> {
    let mut tokens = Vec::with_capacity(text.len() / 4);
    let mut gap = Gap::Line;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let ascii = match class(byte) {
            Class::Blank => {
                gap = gap.max(Gap::Space);
                at += 1;
                continue;
            }
            Class::LineEnd => {
                gap = Gap::Line;
                at += 1;
                continue;
            }
            Class::Lower | Class::Upper | Class::Digit => {
                word(text, lower, at, gap, lexicon, &mut tokens)
            }
            Class::Mark => mark(text, lower, at, gap, lexicon, &mut tokens),
            Class::Beyond => None,
        };
        if ascii
            .or_else(|| any(text, at, gap, lexicon, &mut tokens))
            .is_some()
        {
            at = tokens.last().map_or(text.len(), |token| token.end);
            gap = Gap::None;
        } else {
            let blank = text.get(at..).and_then(|rest| rest.chars().next());
            gap = gap.max(match blank {
                Some('\u{85}' | '\u{2028}' | '\u{2029}') => Gap::Line,
                _ => Gap::Space,
            });
            at += blank.map_or(1, char::len_utf8);
        }
    }
    tokens
}

/// Adds the word, number or code of ASCII characters that begins at `start`, if no other character touches it.
fn word<'a>(
    text: &'a str,
    lower: &'a str,
    start: usize,
    gap: Gap,
    lexicon: &Lexicon,
    tokens: &mut Vec<Token<'a>>,
) -> Option<()> {
    let mut counts = Counts::default();
    let mut hash = Hash::START;
    let mut rest = text.as_bytes().get(start..)?.iter();
    let end = loop {
        let left = rest.as_slice().len();
        let Some(byte) = rest.next() else {
            break text.len();
        };
        match class(*byte) {
            Class::Lower => {}
            Class::Upper => counts.upper += 1,
            Class::Digit => counts.digits += 1,
            Class::Mark if *byte == b'\'' && continues_word(text, text.len() - left, '\'') => {
                counts.others += 1;
            }
            Class::Mark | Class::Blank | Class::LineEnd => break text.len() - left,
            Class::Beyond => return None,
        }
        hash = hash.with(*byte);
    };
    let letters = end - start - counts.digits - counts.others;
    counts.lower = letters - counts.upper;
    let word = lower.get(start..end)?;
    let shape = counts.shape(text.get(start..)?.chars().next()?);
    if let Some(token) = misread(text.get(start..end)?, &counts, lexicon) {
        tokens.push(Token {
            start,
            end,
            gap,
            ..token
        });
        return Some(());
    }
    let flags = match (word.as_bytes(), letters) {
        // No list has numbers.
        (_, 0) => Flags::default(),
        ([letter], _) => lexicon.short(*letter),
        _ => lexicon.flags(word, hash),
    };
    tokens.push(Token {
        start,
        end,
        shape,
        gap,
        flags: flags_as_written(flags, shape, word),
        lower: Cow::Borrowed(word),
        hash,
        digits: counts.digits,
        letters,
    });
    Some(())
}

/// A word in which a scanner read other characters than were written ("PATlENT", "He1ena"), when the lists know it so.
fn misread<'a>(written: &str, counts: &Counts, lexicon: &Lexicon) -> Option<Token<'a>> {
    let letters = counts.lower + counts.upper;
    let capitals = counts.digits == 0
        && counts.upper > 2
        && counts.lower > 0
        && written
            .bytes()
            .all(|c| !c.is_ascii_lowercase() || c == b'l');
    let digits = counts.digits > 0
        && letters > counts.digits + 1
        && written
            .bytes()
            .all(|c| !c.is_ascii_digit() || matches!(c, b'0' | b'1' | b'5'));
    if !(capitals || digits) {
        return None;
    }
    let read = |one: char| -> String {
        written
            .chars()
            .map(|c| match c {
                'l' if capitals => 'i',
                '0' => 'o',
                '1' => one,
                '5' => 's',
                c => c.to_ascii_lowercase(),
            })
            .collect()
    };
    ['i', 'l'].into_iter().map(read).find_map(|lower| {
        let hash = Hash::of(&lower);
        let flags = lexicon.flags(&lower, hash);
        let shape = match (counts.upper, counts.lower) {
            (0, _) => Shape::Lower,
            (_, 0) => Shape::Upper,
            _ if capitals => Shape::Upper,
            _ => Shape::Title,
        };
        (lower.len() > 3 && flags != Flags::default()).then(|| Token {
            start: 0,
            end: 0,
            shape,
            gap: Gap::None,
            flags: flags_as_written(flags, shape, &lower),
            hash,
            digits: counts.digits,
            letters,
            lower: Cow::Owned(lower),
        })
    })
}

/// Adds the ASCII mark at `start`, if it does not begin a possessive.
fn mark<'a>(
    text: &'a str,
    lower: &'a str,
    start: usize,
    gap: Gap,
    lexicon: &Lexicon,
    tokens: &mut Vec<Token<'a>>,
) -> Option<()> {
    let byte = text.as_bytes().get(start).copied()?;
    if byte == b'\'' && gap == Gap::None && is_possessive(text, start + 1) {
        return None;
    }
    tokens.push(Token {
        start,
        end: start + 1,
        shape: Shape::Mark(char::from(byte)),
        gap,
        flags: lexicon.short(byte).roles(),
        lower: Cow::Borrowed(lower.get(start..=start)?),
        hash: Hash::START.with(byte),
        digits: 0,
        letters: 0,
    });
    Some(())
}

/// Adds the token of any characters that begins at `start`, if none of them is a blank.
fn any<'a>(
    text: &'a str,
    start: usize,
    gap: Gap,
    lexicon: &Lexicon,
    tokens: &mut Vec<Token<'a>>,
) -> Option<()> {
    let mut rest = text.get(start..)?.char_indices();
    let (_, first) = rest.next().filter(|(_, c)| !c.is_whitespace())?;
    let mut end = start + first.len_utf8();
    let mut possessive = false;
    if first.is_alphanumeric() {
        for (place, next) in rest {
            let at = start + place;
            let inside = next.is_alphanumeric()
                || is_combining(next)
                || is_apostrophe(next) && continues_word(text, at, next);
            if !inside {
                break;
            }
            end = at + next.len_utf8();
        }
    } else if is_apostrophe(first) && gap == Gap::None && is_possessive(text, end) {
        possessive = true;
        end += 1;
    }
    let written = text.get(start..end)?;
    let lower: Cow<'a, str> = if written.is_ascii() {
        Cow::Owned(written.to_ascii_lowercase())
    } else {
        Cow::Owned(written.to_lowercase().replace('’', "'"))
    };
    let shape = if possessive {
        Shape::Possessive
    } else {
        Counts::of(written).shape(first)
    };
    let hash = Hash::of(&lower);
    let mut flags = lexicon.flags(&lower, hash);
    if flags == Flags::default() && !lower.is_ascii() {
        let folded = fold(&lower);
        flags = lexicon.flags(&folded, Hash::of(&folded));
    }
    tokens.push(Token {
        start,
        end,
        shape,
        gap,
        flags: flags_as_written(flags, shape, &lower),
        hash,
        digits: lower.chars().filter(char::is_ascii_digit).count(),
        letters: lower.chars().filter(|c| c.is_alphabetic()).count(),
        lower,
    });
    Some(())
}

/// What is known of a word that is written in this shape.
fn flags_as_written(flags: Flags, shape: Shape, lower: &str) -> Flags {
    match shape {
        // Only what is written as a name is taken for one, and only the name of a drug is spared then.
        Shape::Title | Shape::Upper if !flags.is_plain() && sounds_like_a_drug(lower) => {
            flags.with(role::DRUG)
        }
        Shape::Lower | Shape::Title | Shape::Upper => flags,
        Shape::Initial | Shape::Number | Shape::Code | Shape::Possessive | Shape::Mark(_) => {
            flags.roles()
        }
    }
}

/// Without accents, as the lists have their words: those of the Latin letters of Europe and of Vietnamese.
pub(crate) fn fold(lower: &str) -> String {
    let mut folded = String::with_capacity(lower.len());
    for c in lower.chars() {
        let plain = match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ạ'..='ặ' => "a",
            'æ' => "ae",
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
            'ð' | 'ď' | 'đ' => "d",
            'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => "e",
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
            'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ỉ' | 'ị' => "i",
            'ķ' => "k",
            'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
            'ñ' | 'ń' | 'ņ' | 'ň' => "n",
            'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ọ'..='ợ' => "o",
            'œ' => "oe",
            'ŕ' | 'ř' => "r",
            'ś' | 'ş' | 'š' | 'ș' => "s",
            'ß' => "ss",
            'ţ' | 'ť' | 'ț' => "t",
            'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ụ'..='ự' => "u",
            'ý' | 'ÿ' | 'ỳ'..='ỹ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            c if is_combining(c) => "",
            other => {
                folded.push(other);
                ""
            }
        };
        folded.push_str(plain);
    }
    folded
}

const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

pub(crate) fn is_combining(c: char) -> bool {
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

/// How many characters of each sort a token has.
#[derive(Default)]
struct Counts {
    digits: usize,
    lower: usize,
    upper: usize,
    others: usize,
}

impl Counts {
    fn of(word: &str) -> Self {
        let mut counts = Self::default();
        for c in word.chars() {
            *if c.is_numeric() {
                &mut counts.digits
            } else if !c.is_alphabetic() {
                &mut counts.others
            } else if c.is_uppercase() {
                &mut counts.upper
            } else {
                &mut counts.lower
            } += 1;
        }
        counts
    }

    fn shape(&self, first: char) -> Shape {
        match (self.digits, self.lower + self.upper) {
            (0, 0) => Shape::Mark(first),
            (_, 0) => Shape::Number,
            (0, 1) if self.upper == 1 => Shape::Initial,
            (0, _) if self.upper > 0 && self.lower == 0 => Shape::Upper,
            (0, _) if first.is_uppercase() => Shape::Title,
            (0, _) => Shape::Lower,
            _ => Shape::Code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_marks_are_told_apart() {
        let lexicon = Lexicon::new(&[]);
        let text = "Dr. O'Neill's A12b, José-María\n2024 UTI d’Arcy";
        let lower = text.to_ascii_lowercase();
        let tokens = tokens(text, &lower, &lexicon);
        let shapes: Vec<_> = tokens
            .iter()
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
        assert_eq!(tokens.get(9).map(|token| token.gap), Some(Gap::Line));
    }

    #[test]
    fn ascii_is_read_as_any_text_is() {
        let lexicon = Lexicon::new(&[]);
        let text =
            "Dr. O'Neill's A12b 'tis MRN#7 don't 'S x's Q. 24/7\u{b}simvastatin Zovastatin J-1's'";
        let lower = text.to_ascii_lowercase();
        for token in tokens(text, &lower, &lexicon) {
            let mut other = Vec::new();
            any(text, token.start, token.gap, &lexicon, &mut other).unwrap();
            assert_eq!(format!("[{token:?}]"), format!("{other:?}"));
        }
    }
}

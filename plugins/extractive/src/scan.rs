//! What the characters of a text make: pieces between white space, and the words in them, in one pass.

use std::borrow::Cow;

/// What was found. The words of a piece come before it.
pub(crate) enum Found<'a> {
    /// Two bytes or more with a letter and no part of a token: in ASCII as written, else in lower case. Its hash is the
    /// same in any case.
    Word(Cow<'a, str>, u32),
    /// What stands between white space.
    Piece {
        text: &'a str,
        has_letter: bool,
        has_bracket: bool,
    },
}

/// Finds what `text` is made of, in order.
pub(crate) fn scan<'a>(text: &'a str, take: impl FnMut(Found<'a>)) {
    // Nearly every line is ASCII, and its characters need no decoding.
    if text.is_ascii() {
        scan_each(text, text.bytes().map(char::from).enumerate(), take);
    } else {
        scan_each(text, text.char_indices(), take);
    }
}

/// How many pieces `text` has.
pub(crate) fn count(text: &str) -> usize {
    let of_line = |line: &str| {
        if !line.is_ascii() {
            return line.split_whitespace().count();
        }
        let mut before = BLANK;
        let mut begins = |byte: &u8| {
            let after = std::mem::replace(&mut before, ascii_class(*byte));
            after == BLANK && before != BLANK
        };
        line.as_bytes().iter().filter(|byte| begins(byte)).count()
    };
    text.split('\n').map(of_line).sum()
}

fn scan_each<'a>(
    text: &'a str,
    characters: impl Iterator<Item = (usize, char)>,
    mut take: impl FnMut(Found<'a>),
) {
    let mut word = Begun::at(0);
    let mut piece = Begun::at(0);
    for (at, c) in characters {
        let class = class(c);
        if class & IN_WORD != 0 {
            word.classes |= class;
            word.hash = mixed(word.hash, c.to_ascii_lowercase());
            continue;
        }
        word.end(text, at, &mut take);
        piece.classes |= word.classes;
        let next = at + c.len_utf8();
        word = Begun::at(next);
        if class == BLANK {
            piece.end_piece(text, at, &mut take);
            piece = Begun::at(next);
        }
    }
    word.end(text, text.len(), &mut take);
    piece.classes |= word.classes;
    piece.end_piece(text, text.len(), &mut take);
}

/// A word or a piece, as far as it is read.
struct Begun {
    start: usize,
    classes: u8,
    hash: u32,
}

impl Begun {
    const fn at(start: usize) -> Self {
        Self {
            start,
            classes: 0,
            hash: SEED,
        }
    }

    fn end<'a>(&self, text: &'a str, end: usize, take: &mut impl FnMut(Found<'a>)) {
        if self.classes & (LETTER | BRACKET | UNDERSCORE) != LETTER || end - self.start < 2 {
            return;
        }
        let Some(word) = text.get(self.start..end) else {
            return;
        };
        if self.classes & NOT_ASCII == 0 {
            take(Found::Word(Cow::Borrowed(word), self.hash));
        } else {
            let word = word.to_lowercase();
            let hash = word.chars().fold(SEED, mixed);
            take(Found::Word(Cow::Owned(word), hash));
        }
    }

    fn end_piece<'a>(&self, text: &'a str, end: usize, take: &mut impl FnMut(Found<'a>)) {
        if end == self.start {
            return;
        }
        if let Some(text) = text.get(self.start..end) {
            take(Found::Piece {
                text,
                has_letter: self.classes & LETTER != 0,
                has_bracket: self.classes & BRACKET != 0,
            });
        }
    }
}

// Classes of characters, a bit each. What is of none stands in pieces and parts words.
const BLANK: u8 = 1;
const LETTER: u8 = 2;
/// Stands in words and makes none: digits and hyphens.
const FILLER: u8 = 4;
/// Brackets and underscores stand in tokens such as `[NAME_7KQ2M]`.
const BRACKET: u8 = 8;
const UNDERSCORE: u8 = 16;
const NOT_ASCII: u8 = 32;
const IN_WORD: u8 = LETTER | FILLER | BRACKET | UNDERSCORE;

/// The classes of ASCII, by byte: looked up, since comparing took a third of all work.
const ASCII: [u8; 256] = {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut byte = 0_u8;
    while let [first, after @ ..] = rest {
        *first = match byte {
            b' ' | b'\t'..=b'\r' => BLANK,
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' | b'-' => FILLER,
            b'[' | b']' => BRACKET,
            b'_' => UNDERSCORE,
            _ => 0,
        };
        rest = after;
        byte = byte.wrapping_add(1);
    }
    classes
};

#[inline]
fn ascii_class(byte: u8) -> u8 {
    ASCII.get(usize::from(byte)).copied().unwrap_or(0)
}

#[inline]
fn class(c: char) -> u8 {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => ascii_class(byte),
        _ if c.is_alphabetic() => LETTER | NOT_ASCII,
        _ if c.is_alphanumeric() => FILLER | NOT_ASCII,
        _ if c.is_whitespace() => BLANK,
        _ => 0,
    }
}

/// FNV-1a, 32 bits, a character where it takes a byte: <https://datatracker.ietf.org/doc/html/rfc9923>.
const SEED: u32 = 0x811c_9dc5;

fn mixed(hash: u32, c: char) -> u32 {
    (hash ^ u32::from(c)).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 9] = [
        "",
        "x",
        " \t\r\n\u{b}\u{c}",
        " one  two\tthree\u{c}four\r\nfive\u{b}six \n\n seven\u{1c}eight",
        "né\u{a0}of\u{2003}\u{3000}nine\u{85}ten\u{200b}x\u{b}\u{2028}y\nplain line\nend\u{1680}",
        "The wound of [NAME_7KQ2M] is well-known, e.g. BP 118/64 (x3) -- 2a a_b.",
        "ΟΔΟΣ ΟΔΟΣ, İstanbul; \u{212a}g kg KG ªb Ⅷ ½x ٣٣ ٣a 漢字。e\u{301}t\u{301} naïve–café",
        "[x y] word] [word wo]rd _word WORD- -word",
        "under_score [] _ [_ -",
    ];

    #[test]
    fn pieces_are_what_stands_between_white_space() {
        for text in TEXTS {
            let mut pieces = Vec::new();
            scan(text, |found| {
                if let Found::Piece {
                    text,
                    has_letter,
                    has_bracket,
                } = found
                {
                    assert_eq!(has_letter, text.contains(char::is_alphabetic), "{text}");
                    assert_eq!(has_bracket, text.contains(['[', ']']), "{text}");
                    pieces.push(text);
                }
            });
            assert!(text.split_whitespace().eq(pieces), "{text:?}");
            assert_eq!(count(text), text.split_whitespace().count(), "{text:?}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_digits_and_hyphens_without_tokens() {
        for text in TEXTS {
            let meant = text
                .split(|c: char| !c.is_alphanumeric() && !matches!(c, '[' | ']' | '_' | '-'))
                .filter(|word| word.len() > 1 && word.contains(char::is_alphabetic))
                .filter(|word| !word.contains(['[', ']', '_']))
                .map(str::to_lowercase);
            let mut words = Vec::new();
            scan(text, |found| {
                if let Found::Word(word, hash) = found {
                    let word = word.to_lowercase();
                    assert_eq!(hash, word.chars().fold(SEED, mixed));
                    words.push(word);
                }
            });
            assert!(meant.eq(words), "{text:?}");
        }
    }
}

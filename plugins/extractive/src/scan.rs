//! What the characters of a text make: pieces between white space, and the words in them, in one pass.

use std::borrow::Cow;

/// What was found. The words of a piece come before it.
pub(crate) enum Found<'a> {
    /// Two bytes or more with a letter and no part of a token: in ASCII as written, else in lower case. Its hash is the
    /// same in any case.
    Word(Cow<'a, str>, u32),
    /// What stands between white space.
    Piece(Piece<'a>),
}

/// What stands between white space. Tokens such as `[NAME_7KQ2M]` hold no blank, so each is within one piece.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    pub(crate) has_letter: bool,
    pub(crate) has_bracket: bool,
}

/// Finds what `text` is made of, in order.
pub(crate) fn scan<'a>(text: &'a str, take: impl FnMut(Found<'a>)) {
    let mut begun = Begun {
        text,
        word: 0,
        piece: 0,
        classes: 0,
        take,
    };
    let (mut classes, mut hash) = (0, SEED);
    // What runs for each character runs more than all else, and nearly every line is ASCII: no decoding, no counting.
    if text.is_ascii() {
        let mut bytes = text.as_bytes().iter();
        while let Some(byte) = bytes.next() {
            let class = ascii_class(*byte);
            if class & IN_WORD != 0 {
                classes |= class;
                hash = mixed(hash, u32::from(*byte));
            } else {
                let next = text.len() - bytes.len();
                begun.part(class, classes, hash, next - 1, next);
                (classes, hash) = (0, SEED);
            }
        }
    } else {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let class = class(c);
            if class & IN_WORD != 0 {
                classes |= class;
                hash = mixed(hash, u32::from(c));
            } else {
                let next = text.len() - chars.as_str().len();
                begun.part(class, classes, hash, next - c.len_utf8(), next);
                (classes, hash) = (0, SEED);
            }
        }
    }
    begun.part(BLANK, classes, hash, text.len(), text.len());
}

/// How many pieces `text` has.
pub(crate) fn count(text: &str) -> usize {
    let lines = text.split('\n');
    let of_line = |line: &str| count_ascii(line).unwrap_or_else(|| line.split_whitespace().count());
    count_ascii(text).unwrap_or_else(|| lines.map(of_line).sum())
}

/// The same for ASCII, eight bytes at a time; `None` for any other text.
fn count_ascii(text: &str) -> Option<usize> {
    /// Eight bytes of the same value.
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last.iter_mut()
        .zip(rest)
        .for_each(|(last, byte)| *last = *byte);
    let mut count = 0_usize;
    let mut before = 0x80;
    for eight in eights.iter().chain([&last]) {
        let bytes = u64::from_le_bytes(*eight);
        if bytes & all(0x80) != 0 {
            return None;
        }
        // No byte has its high bit, so no sum carries into the next: the high bit says that a byte is that or more.
        let at_least = |byte: u8| bytes + all(0x80 - byte);
        let blank =
            (at_least(b'\t') & !at_least(b'\r' + 1)) | (at_least(b' ') & !at_least(b' ' + 1));
        let blank = blank & all(0x80);
        // A piece begins where a blank, or the beginning, is before what is none.
        let begins = !blank & (blank << 8 | before) & all(0x80);
        before = blank >> 56;
        count += usize::try_from(begins.count_ones()).unwrap_or_default();
    }
    Some(count)
}

/// The word and the piece that are being read.
struct Begun<'a, F> {
    text: &'a str,
    /// Where the word begins.
    word: usize,
    /// Where the piece begins.
    piece: usize,
    /// The classes of the words of the piece, so far.
    classes: u8,
    take: F,
}

impl<'a, F: FnMut(Found<'a>)> Begun<'a, F> {
    /// Ends the word, of these classes and this hash, at a character of `class` that stands from `at` to `next`.
    // Inlined at all three places, since the compiler would make it a call, and that costs a sixth of the scan.
    #[inline(always)]
    fn part(&mut self, class: u8, classes: u8, hash: u32, at: usize, next: usize) {
        let is_word = classes & (LETTER | BRACKET | UNDERSCORE) == LETTER && at - self.word > 1;
        if is_word && let Some(word) = self.text.get(self.word..at) {
            if classes & NOT_ASCII == 0 {
                (self.take)(Found::Word(Cow::Borrowed(word), hash));
            } else {
                let word = word.to_lowercase();
                let hash = hash_of(&word);
                (self.take)(Found::Word(Cow::Owned(word), hash));
            }
        }
        self.word = next;
        self.classes |= classes;
        if class != BLANK {
            return;
        }
        if at > self.piece
            && let Some(text) = self.text.get(self.piece..at)
        {
            (self.take)(Found::Piece(Piece {
                text,
                has_letter: self.classes & LETTER != 0,
                has_bracket: self.classes & BRACKET != 0,
            }));
        }
        (self.piece, self.classes) = (next, 0);
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

/// Lets capitals and small letters of ASCII count as the same: they differ in this bit alone.
const CASE: u32 = 0x20;

#[inline]
fn mixed(hash: u32, code: u32) -> u32 {
    (hash ^ (code | CASE)).wrapping_mul(0x0100_0193)
}

fn hash_of(word: &str) -> u32 {
    word.chars().map(u32::from).fold(SEED, mixed)
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
                if let Found::Piece(piece) = found {
                    let text = piece.text;
                    assert_eq!(
                        piece.has_letter,
                        text.contains(char::is_alphabetic),
                        "{text}"
                    );
                    assert_eq!(piece.has_bracket, text.contains(['[', ']']), "{text}");
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
                    assert_eq!(hash, hash_of(&word));
                    words.push(word);
                }
            });
            assert!(meant.eq(words), "{text:?}");
        }
    }
}

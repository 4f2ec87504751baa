//! A text as a reader sees it: look-alike, full-width and invisible characters, escapes and torn numbers undone, with
//! the way back to the bytes as they were given. The rules then need to know one way of writing only.
//!
//! Most texts are plain as they stand; [`Plain::of`] says so after one look at their bytes.

use std::borrow::Cow;

/// The text for the rules to read.
pub(crate) struct Plain<'a> {
    /// What the rules read.
    pub(crate) text: Cow<'a, str>,
    /// For each byte of `text`, and for its end, the byte of the given text that it stands for; none when they are one.
    starts: Vec<usize>,
}

impl<'a> Plain<'a> {
    /// Reads `given`.
    #[must_use]
    pub(crate) fn of(given: &'a str) -> Self {
        if is_plain(given.as_bytes()) {
            return Self {
                text: Cow::Borrowed(given),
                starts: Vec::new(),
            };
        }
        let mut read = Reading::default();
        // A run without blanks is undone as one: whether an escape is one depends on what it stands in.
        let mut rest = given;
        while !rest.is_empty() {
            let at = given.len() - rest.len();
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (run, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            read.run(run, at, given);
            let mut blanks = after.char_indices();
            let blank = blanks.by_ref().find(|(_, c)| !c.is_whitespace());
            let (blank, next) = after
                .split_at_checked(blank.map_or(after.len(), |(at, _)| at))
                .unwrap_or((after, ""));
            read.blanks(blank, at + end, next);
            rest = next;
        }
        read.starts.push(given.len());
        Self {
            text: Cow::Owned(read.text),
            starts: read.starts,
        }
    }

    /// The bytes of the given text that `start..end` of [`Plain::text`] stands for.
    #[must_use]
    pub(crate) fn outside(&self, start: usize, end: usize) -> (usize, usize) {
        let outside = |at: usize| self.starts.get(at).copied().unwrap_or(at);
        (outside(start), outside(end))
    }
}

/// Whether nothing in `text` can be undone.
fn is_plain(text: &[u8]) -> bool {
    let mut before = 0u8;
    for (at, byte) in text.iter().enumerate() {
        let next = || text.get(at + 1).copied().unwrap_or_default();
        let doubtful = match byte {
            0x80.. | b'\\' => true,
            b'%' => next().is_ascii_hexdigit(),
            b'&' => next() == b'#' || next().is_ascii_lowercase(),
            b'+' => before.is_ascii_alphabetic() && next().is_ascii_alphabetic(),
            b'O' | b'l' | b'S' | b'o' => {
                (before.is_ascii_digit() || matches!(before, b'/' | b'-' | b'(' | b' '))
                    && (next().is_ascii_digit() || matches!(next(), b'O' | b'o' | b'l'))
                    || before.is_ascii_digit() && matches!(next(), b'/' | b'-' | b')')
            }
            b'\n' => {
                matches!(before, b'-' | b'@' | b'.' | b'/' | b')') || matches!(next(), b'-' | b'@')
            }
            b'-' | b'/' => {
                let two = || (text.get(at.wrapping_sub(2)), text.get(at + 2));
                before == b' '
                    && next() == b' '
                    && matches!(two(), (Some(left), Some(right)) if matches!(left, b'0'..=b'9' | b')') && right.is_ascii_digit())
            }
            _ => false,
        };
        if doubtful {
            return false;
        }
        before = *byte;
    }
    true
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    text: String,
    starts: Vec<usize>,
}

impl Reading {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.starts.extend(std::iter::repeat_n(at, c.len_utf8()));
    }

    /// Blanks of any width, and a number or an address that they tear.
    fn blanks(&mut self, blanks: &str, at: usize, next: &str) {
        let mut before = self.text.chars().rev();
        let (last, last_but_one) = (before.next(), before.next());
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let mut coming = next.chars();
        let (first, second) = (coming.next(), coming.next());
        let is_line_end = blanks.trim_matches(' ') == "\n";
        let torn = is_line_end
            && match last {
                Some('-' | '/') => is_digit(last_but_one) && is_digit(first),
                Some('@') => {
                    last_but_one.is_some_and(char::is_alphanumeric)
                        && first.is_some_and(|c| c.is_ascii_lowercase())
                }
                Some(c) => match first {
                    Some('-') => c.is_ascii_digit() && is_digit(second),
                    Some('@') => {
                        c.is_alphanumeric() && second.is_some_and(|c| c.is_ascii_lowercase())
                    }
                    _ => false,
                },
                None => false,
            };
        // "555 - 0144", "03 / 14 / 1951": a blank on each side of the mark, and digits beyond.
        let is_part = |c: Option<char>| is_digit(c) || c == Some(')');
        let spaced = blanks == " "
            && (is_part(last)
                && matches!(first, Some('-' | '/'))
                && second == Some(' ')
                && is_digit(coming.next())
                || matches!(last, Some('-' | '/')) && is_part(last_but_one) && is_digit(first));
        if torn || spaced {
            return;
        }
        // "(617)", then the rest on the next line.
        if is_line_end && last == Some(')') && is_digit(last_but_one) && is_digit(first) {
            self.push(' ', at);
            return;
        }
        for (place, c) in blanks.char_indices() {
            let c = match c {
                '\u{a0}'
                | '\u{1680}'
                | '\u{2000}'..='\u{200a}'
                | '\u{202f}'
                | '\u{205f}'
                | '\u{3000}' => ' ',
                other => other,
            };
            self.push(c, at + place);
        }
    }

    /// A run without blanks that begins at byte `at` of `given`.
    fn run(&mut self, run: &str, at: usize, given: &str) {
        let first = self.text.len();
        let is_link = run.contains("://");
        let is_form = !is_link && run.contains('=');
        let quoted = run.contains('\\') && (given.contains('"') || given.contains('{'));
        let mixed = !run.is_ascii() && run.bytes().any(|byte| byte.is_ascii_alphabetic());
        let mut from = 0;
        while let Some(rest) = run.get(from..)
            && let Some(c) = rest.chars().next()
        {
            let escape = match c {
                '%' if !is_link => percent(rest, is_form || run.matches('%').count() > 1),
                '&' => entity(rest),
                '\\' if quoted => backslash(rest),
                '+' if is_form && run.contains('&') => Some((Some(' '), 1)),
                _ => None,
            };
            // A dash of any width between digits.
            let is_dash = matches!(c, '\u{2012}'..='\u{2014}')
                && self.text.ends_with(|c: char| c.is_ascii_digit())
                && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
            let shown = if is_dash {
                Some('-')
            } else {
                visible(c, mixed)
            };
            let (read, length) = escape.unwrap_or_else(|| (shown, c.len_utf8()));
            if let Some(read) = read {
                self.push(read, at + from);
            }
            from += length;
        }
        if let Some(digits) = self.text.get(first..).and_then(misread_digits) {
            self.text.truncate(first);
            self.text.push_str(&digits);
        }
    }
}

/// `%20`, and UTF-8 in as many of them.
fn percent(rest: &str, sure: bool) -> Option<(Option<char>, usize)> {
    let byte = |at: usize| {
        let code = rest.get(at..at + 3)?.strip_prefix('%')?;
        u8::from_str_radix(code, 16).ok()
    };
    let first = byte(0)?;
    let length = match first {
        0x20..0x7f if sure => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let bytes: Vec<u8> = (0..length).map_while(|place| byte(place * 3)).collect();
    let c = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    Some((visible(c, false), length * 3))
}

/// `&nbsp;`, `&#39;`, `&#x2f;`.
fn entity(rest: &str) -> Option<(Option<char>, usize)> {
    let (name, _) = rest
        .get(1..rest.len().min(10))
        .or_else(|| rest.get(1..))?
        .split_once(';')?;
    let c = match name {
        "nbsp" => ' ',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "lt" => '<',
        "gt" => '>',
        "hyphen" | "dash" | "ndash" | "mdash" => '-',
        "sol" => '/',
        "commat" => '@',
        "period" => '.',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((visible(c, false), name.len() + 2))
}

/// `\n`, `\"`, `\u00e9`, as JSON writes them inside a text.
fn backslash(rest: &str) -> Option<(Option<char>, usize)> {
    let c = match rest.chars().nth(1)? {
        'n' | 'r' => '\n',
        't' => '\t',
        '"' => '"',
        '/' => '/',
        'u' => {
            let code = u32::from_str_radix(rest.get(2..6)?, 16).ok()?;
            return Some((visible(char::from_u32(code)?, false), 6));
        }
        _ => return None,
    };
    Some((Some(c), 2))
}

/// The character that `c` looks like; nothing when it cannot be seen. `mixed` says that it stands among Latin letters.
fn visible(c: char, mixed: bool) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let offset = |first: char, to: u8| {
        let step = u8::try_from(u32::from(c) - u32::from(first)).ok()?;
        Some(char::from(to + step))
    };
    match c {
        // Soft hyphen, joiners, marks of direction, variation selectors, the byte order mark, tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => None,
        '\u{ff01}'..='\u{ff5e}' => offset('\u{ff01}', b'!'),
        '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' => Some('-'),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => Some(' '),
        '\u{660}'..='\u{669}' => offset('\u{660}', b'0'),
        '\u{6f0}'..='\u{6f9}' => offset('\u{6f0}', b'0'),
        '\u{966}'..='\u{96f}' => offset('\u{966}', b'0'),
        '\u{9e6}'..='\u{9ef}' => offset('\u{9e6}', b'0'),
        '\u{e50}'..='\u{e59}' => offset('\u{e50}', b'0'),
        // Mathematical letters and digits: alphabets of 52 letters, ten digits at the end.
        '\u{1d400}'..='\u{1d6a3}' => {
            let place = u8::try_from((u32::from(c) - 0x1d400) % 52).ok()?;
            Some(char::from(if place < 26 {
                b'A' + place
            } else {
                b'a' + place - 26
            }))
        }
        '\u{1d7ce}'..='\u{1d7ff}' => {
            let place = u8::try_from((u32::from(c) - 0x1d7ce) % 10).ok()?;
            Some(char::from(b'0' + place))
        }
        c if mixed => Some(latin(c)),
        c => Some(c),
    }
}

/// The Latin letter that a Greek or Cyrillic one looks like (Unicode's confusables, those in use for words).
fn latin(c: char) -> char {
    match c {
        'а' | 'α' => 'a',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'с' | 'ϲ' => 'c',
        'С' | 'Ϲ' => 'C',
        'ԁ' => 'd',
        'е' | 'ё' => 'e',
        'Е' | 'Ε' => 'E',
        'һ' => 'h',
        'Н' | 'Η' => 'H',
        'і' | 'ι' => 'i',
        'І' | 'Ι' => 'I',
        'ј' => 'j',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'о' | 'ο' => 'o',
        'О' | 'Ο' => 'O',
        'р' | 'ρ' => 'p',
        'Р' | 'Ρ' => 'P',
        'ԛ' => 'q',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'ν' => 'v',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'Х' | 'Χ' => 'X',
        'у' => 'y',
        'У' | 'Υ' => 'Y',
        'Ζ' => 'Z',
        other => other,
    }
}

/// A number in which letters were read for digits: `O4/12/1958`, `9OO-12-34S6`.
fn misread_digits(run: &str) -> Option<String> {
    let core = run.trim_end_matches(['.', ',', ';', ':']);
    let digits = core.bytes().filter(u8::is_ascii_digit).count();
    let letters = core.bytes().filter(u8::is_ascii_alphabetic).count();
    let marked = core.contains(['/', '-', '(', ')']) || digits + letters > 5;
    let only = core.bytes().all(|c| {
        c.is_ascii_digit()
            || matches!(
                c,
                b'O' | b'o' | b'l' | b'S' | b'/' | b'-' | b'(' | b')' | b'.'
            )
    });
    // `O00-O07` is a range of ICD-10.
    let classified = core
        .split(['-', '/'])
        .all(|group| group.len() == 3 && group.starts_with('O'));
    (!classified && digits > 1 && letters > 0 && digits > letters && marked && only).then(|| {
        run.chars()
            .map(|c| match c {
                'O' | 'o' => '0',
                'l' => '1',
                'S' => '5',
                other => other,
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_reads_the_same() {
        let cases = [
            ("Ｔｅｓｓａ\u{3000}５０３", "Tessa 503"),
            ("H\u{200b}ol\u{ad}low\u{200d}ay", "Holloway"),
            ("Mаrcus Норе", "Marcus Норе"),
            ("٠٣/١٤/٢٠٢٤", "03/14/2024"),
            ("𝐓𝐞𝐬𝐬𝐚 𝟓", "Tessa 5"),
            ("n=Tessa%20J%C3%B8rn&d=1+x", "n=Tessa Jørn&d=1 x"),
            ("95%20 is kept", "95%20 is kept"),
            (
                "https://a.example/?n=Tessa%20J",
                "https://a.example/?n=Tessa%20J",
            ),
            ("&nbsp;Tessa&#39;s &amp; co", " Tessa's & co"),
            (r#"{"n":"a\nb\u00e9"}"#, "{\"n\":\"a\nbé\"}"),
            (r"C:\new", r"C:\new"),
            ("O4/12/1958, 9OO-12-34S6", "04/12/1958, 900-12-3456"),
            ("I10-I15 B12 O2 O00-O07", "I10-I15 B12 O2 O00-O07"),
            ("503-555-\n0144", "503-555-0144"),
            ("ab@\nmail.example", "ab@mail.example"),
            ("to-\nday", "to-\nday"),
            ("no\u{a0}break", "no break"),
        ];
        for (given, read) in cases {
            assert_eq!(Plain::of(given).text, read);
        }
    }

    #[test]
    fn offsets_lead_back() {
        let given = "é H\u{200b}al, x=%20Ｂ";
        let plain = Plain::of(given);
        assert_eq!(plain.text, "é Hal, x= B");
        let back = |word: &str| {
            let start = plain.text.find(word).unwrap();
            let (start, end) = plain.outside(start, start + word.len());
            given.get(start..end).unwrap()
        };
        assert_eq!(
            (back("Hal"), back("B"), back("é"), back(" B")),
            ("H\u{200b}al", "Ｂ", "é", "%20Ｂ")
        );
    }
}

//! Tokens as models write them: `[name_7kq2m]`, `[NAME\_7KQ2M]`, `NAME 7KQ2M`, `[NAME_7KQ2M's]`, `&#91;NAME_7KQ2M&#93;`.
//!
//! What is found here only reads like a token. Whether one was issued that reads so is for the vault to say, and where
//! none was, the text stays as it is: nothing is guessed. The forms are listed in `docs/formats/tokens.md`.

use std::cmp::Reverse;
use std::ops::Range;

use nephron_model::Kind;

use super::{Digit, Place, Token};

/// A token where it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The bytes in whose place its value belongs.
    pub range: Range<usize>,
    /// The token that they read like.
    pub token: Token,
    /// What of `range` stays, behind the value: the ending of `[NAME_7KQ2M's]`. Empty otherwise.
    pub ending: Range<usize>,
    /// Whether it is written as it was issued. Anything else may be ordinary text that happens to read so.
    pub is_exact: bool,
}

/// Finds tokens in a text: as they are issued, of any kind, and as models write them, of the kinds that it knows.
#[derive(Clone, Debug, Default)]
pub struct Seeker {
    /// The longest first.
    kinds: Vec<Kind>,
}

/// What a text, or the beginning of one, holds.
#[derive(Debug)]
pub struct Sought {
    /// In order. They do not overlap.
    pub found: Vec<Written>,
    /// Bytes that are settled, whatever follows. What is behind them may yet become a token.
    pub settled: usize,
    /// What the text behind them is read after.
    pub before: Before,
}

/// What stands before a text, as far as it says whether a word begins there. By default nothing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Before {
    /// No letter and no digit.
    #[default]
    Open,
    /// A word, which goes on.
    Word,
    /// A backslash: with it, in JSON, a letter is another sign, as `\\n` is the end of a line.
    Backslash,
}

impl Before {
    fn then(self, next: char) -> Self {
        match (self, next) {
            (_, '\\') => Self::Backslash,
            (Self::Backslash, 'n' | 'r' | 't') => Self::Open,
            (Self::Open | Self::Word | Self::Backslash, next) if is_word(next) => Self::Word,
            (Self::Open | Self::Word | Self::Backslash, _) => Self::Open,
        }
    }
}

/// Whether a letter before or behind a token without brackets makes it part of a word. From U+2E80 on are the scripts
/// that put no blanks between words.
fn is_word(letter: char) -> bool {
    letter == '_' || letter < '\u{2e80}' && letter.is_alphanumeric()
}

impl Seeker {
    /// The most bytes of a text that are not settled, as long as it goes on.
    pub const LONGEST: usize = Token::LONGEST * LONGEST_SYMBOL;

    /// One that knows these kinds.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let mut kinds: Vec<Kind> = kinds.into_iter().collect();
        kinds.sort_by_key(|kind| Reverse(kind.as_str().len()));
        Self { kinds }
    }

    /// Every token in a text that is whole.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Written> {
        self.read(Before::default(), text, true).found
    }

    /// Reads a text after `before`, and no further than it is settled unless it `is_whole`. Read in pieces, each with
    /// what of the former was not settled before it, it holds the same tokens.
    #[must_use]
    pub fn read(&self, mut before: Before, text: &str, is_whole: bool) -> Sought {
        let (mut found, mut settled) = (Vec::new(), 0);
        while let Some(rest) = text.get(settled..)
            && let Some(next) = rest.chars().next()
        {
            let end = match self.token(before, next, rest, is_whole) {
                Step::Is(written) => {
                    let end = settled + written.range.end;
                    found.push(written.moved(settled));
                    end
                }
                Step::More if !is_whole => break,
                Step::More | Step::No => settled + next.len_utf8(),
            };
            let passed = text.get(settled..end).unwrap_or_default();
            before = passed.chars().fold(before, Before::then);
            settled = end;
        }
        Sought {
            found,
            settled,
            before,
        }
    }

    /// The token that `rest`, of which `next` is the first letter, begins with.
    fn token(&self, before: Before, next: char, rest: &str, is_whole: bool) -> Step<Written> {
        match next {
            '[' => match exact(rest) {
                Step::No => self.in_brackets(rest, is_whole),
                Step::More if is_whole => self.in_brackets(rest, is_whole),
                exact @ (Step::Is(_) | Step::More) => exact,
            },
            '\\' | '&' => self.in_brackets(rest, is_whole),
            next if next.is_ascii_alphabetic() && before == Before::Open => {
                self.bare(rest, is_whole)
            }
            _ => Step::No,
        }
    }

    /// With both brackets, and perhaps an ending before the second.
    fn in_brackets(&self, rest: &str, is_whole: bool) -> Step<Written> {
        let start = match symbol(rest) {
            Step::Is(('[', length)) => length,
            Step::More => return Step::More,
            Step::Is(_) | Step::No => return Step::No,
        };
        self.first_kind(rest, start, |token, end| {
            closed(rest, end).map(|(ending, end)| Written {
                range: 0..end,
                token,
                ending,
                is_exact: false,
            })
        })
        .unless(is_whole)
    }

    /// Without brackets, or with one that may belong to the text: a word of its own.
    fn bare(&self, rest: &str, is_whole: bool) -> Step<Written> {
        self.first_kind(rest, 0, |token, end| {
            ended(rest.get(end..).unwrap_or_default(), is_whole).map(|()| Written {
                range: 0..end,
                token,
                ending: end..end,
                is_exact: false,
            })
        })
        .unless(is_whole)
    }

    /// What `then` makes of the first kind with which a token begins at `start`.
    fn first_kind(
        &self,
        rest: &str,
        start: usize,
        then: impl Fn(Token, usize) -> Step<Written>,
    ) -> Step<Written> {
        let mut may_be = false;
        for kind in &self.kinds {
            let written = match self.inside(kind, rest, start) {
                Step::Is((token, end)) => then(token, end),
                Step::More => Step::More,
                Step::No => Step::No,
            };
            match written {
                // A longer one that may yet come goes first.
                Step::Is(_) if may_be => return Step::More,
                Step::Is(written) => return Step::Is(written),
                Step::More => may_be = true,
                Step::No => {}
            }
        }
        if may_be { Step::More } else { Step::No }
    }

    /// Kind, separator and code.
    fn inside(&self, kind: &Kind, rest: &str, start: usize) -> Step<(Token, usize)> {
        let mut at = start;
        let mut next = || {
            let step = symbol(rest.get(at..).unwrap_or_default());
            step.map(|(letter, length)| {
                at += length;
                letter
            })
        };
        for letter in kind.as_str().chars().chain(['_']) {
            let is_there = |written: char| match letter {
                '_' | '-' => matches!(
                    written,
                    '_' | '-' | ' ' | '\u{a0}' | '\u{2010}' | '\u{2011}' | '\u{2013}'
                ),
                letter => written.eq_ignore_ascii_case(&letter),
            };
            match next() {
                Step::Is(written) if is_there(written) => {}
                Step::More => return Step::More,
                Step::Is(_) | Step::No => return Step::No,
            }
        }
        let mut code = [Digit(0); Token::DIGITS];
        let mut word = String::with_capacity(Token::DIGITS);
        for digit in &mut code {
            match next().map(|written| (written, Digit::read(written))) {
                Step::Is((written, Some(read))) => {
                    *digit = read;
                    word.push(written);
                }
                Step::More => return Step::More,
                Step::Is((_, None)) | Step::No => return Step::No,
            }
        }
        // In `id phone 7KQ2M` the word `phone` is no code: the token begins with it.
        if self
            .kinds
            .iter()
            .any(|kind| kind.as_str().eq_ignore_ascii_case(&word))
        {
            return Step::No;
        }
        let kind = kind.clone();
        Step::Is((Token { kind, code }, at))
    }
}

impl Written {
    /// The same, so many bytes further on.
    fn moved(mut self, by: usize) -> Self {
        for range in [&mut self.range, &mut self.ending] {
            *range = range.start + by..range.end + by;
        }
        self
    }
}

/// What the beginning of a text is.
enum Step<T> {
    Is(T),
    /// It may yet become one.
    More,
    No,
}

impl<T> Step<T> {
    fn map<U>(self, then: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Is(it) => Step::Is(then(it)),
            Self::More => Step::More,
            Self::No => Step::No,
        }
    }

    /// Nothing more comes behind a text that is whole.
    fn unless(self, is_whole: bool) -> Self {
        match self {
            Self::More if is_whole => Self::No,
            step @ (Self::Is(_) | Self::More | Self::No) => step,
        }
    }
}

/// As it is issued, of any kind.
fn exact(rest: &str) -> Step<Written> {
    let mut place = Place::Start;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match place.after(byte) {
            Some(next) => place = next,
            None if byte == b']' => {
                let token = rest.get(..=at).and_then(|token| token.parse().ok());
                return token.map_or(Step::No, |token| {
                    Step::Is(Written {
                        range: 0..at + 1,
                        token,
                        ending: at..at,
                        is_exact: true,
                    })
                });
            }
            None => return Step::No,
        }
    }
    Step::More
}

/// What stands between a token and the bracket that closes it, and where that ends.
fn closed(rest: &str, at: usize) -> Step<(Range<usize>, usize)> {
    const ENDINGS: [&str; 7] = ["", "s", "es", "'s", "\u{2019}s", "'", "\u{2019}"];
    let behind = rest.get(at..).unwrap_or_default();
    let mut may_be = false;
    for ending in ENDINGS {
        match begins(behind, ending) {
            Step::Is(behind) => match symbol(behind) {
                Step::Is((']', length)) => {
                    let end = at + ending.len();
                    return Step::Is((at..end, end + length));
                }
                Step::More => may_be = true,
                Step::Is(_) | Step::No => {}
            },
            Step::More => may_be = true,
            Step::No => {}
        }
    }
    if may_be { Step::More } else { Step::No }
}

/// Whether a word ends where `behind` begins, but for the `s` of a plural.
fn ended(behind: &str, is_whole: bool) -> Step<()> {
    let mut may_be = false;
    for ending in ["", "s", "es"] {
        match begins(behind, ending) {
            Step::Is(behind) => match behind.chars().next() {
                Some(next) if is_word(next) => {}
                None if !is_whole => may_be = true,
                Some(_) | None => return Step::Is(()),
            },
            Step::More => may_be = true,
            Step::No => {}
        }
    }
    if may_be { Step::More } else { Step::No }
}

/// What of `text` is behind `start`, in whatever case.
fn begins<'t>(text: &'t str, start: &str) -> Step<&'t str> {
    match text.split_at_checked(start.len()) {
        Some((head, behind)) if head.eq_ignore_ascii_case(start) => Step::Is(behind),
        None if start
            .get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text)) =>
        {
            Step::More
        }
        Some(_) | None => Step::No,
    }
}

/// Bytes of the longest [`symbol`]: `&amp;#x00005b;`.
const LONGEST_SYMBOL: usize = 14;

/// Zeros before the number of a character reference.
const MOST_ZEROS: usize = 4;

/// Backslashes before a mark: one of Markdown's, doubled for each string of JSON around it, up to two.
const MOST_BACKSLASHES: usize = 4;

/// The first letter of `text` and its length in bytes, with the escapes of Markdown and HTML read.
fn symbol(text: &str) -> Step<(char, usize)> {
    match text.chars().next() {
        None => Step::More,
        Some('\\') => {
            let run = run_of(text, b'\\', MOST_BACKSLASHES);
            let behind = text.get(run..).unwrap_or_default();
            match behind.chars().next() {
                _ if run > MOST_BACKSLASHES => Step::No,
                None => Step::More,
                Some(mark @ ('[' | ']' | '_' | '-')) => Step::Is((mark, run + 1)),
                Some(_) => Step::No,
            }
        }
        Some('&') => entity(text),
        Some(letter) => Step::Is((letter, letter.len_utf8())),
    }
}

/// How often `text` has this byte at its beginning, counted to one more than `most`.
fn run_of(text: &str, byte: u8, most: usize) -> usize {
    let bytes = text.bytes().take(most + 1);
    bytes.take_while(|it| *it == byte).count()
}

/// A character reference of HTML (WHATWG HTML, section 13.5), which may itself be escaped once.
fn entity(text: &str) -> Step<(char, usize)> {
    const NAMED: [(&str, char); 7] = [
        ("lbrack;", '['),
        ("lsqb;", '['),
        ("rbrack;", ']'),
        ("rsqb;", ']'),
        ("lowbar;", '_'),
        ("underbar;", '_'),
        ("nbsp;", ' '),
    ];
    const DECIMAL: [(&str, char); 5] = [
        ("91;", '['),
        ("93;", ']'),
        ("95;", '_'),
        ("45;", '-'),
        ("160;", ' '),
    ];
    const HEXADECIMAL: [(&str, char); 5] = [
        ("5b;", '['),
        ("5d;", ']'),
        ("5f;", '_'),
        ("2d;", '-'),
        ("a0;", ' '),
    ];
    let inside = match begins(text, "&amp;") {
        Step::Is(inside) => inside,
        Step::More => return Step::More,
        Step::No => text.get(1..).unwrap_or_default(),
    };
    let (name, names) = match inside.strip_prefix('#') {
        None => (inside, NAMED.as_slice()),
        Some("") => return Step::More,
        Some(number) => {
            let (number, numbers) = match number.strip_prefix(['x', 'X']) {
                Some(number) => (number, HEXADECIMAL.as_slice()),
                None => (number, DECIMAL.as_slice()),
            };
            let zeros = run_of(number, b'0', MOST_ZEROS);
            if zeros > MOST_ZEROS {
                return Step::No;
            }
            let short = number.get(zeros..).unwrap_or_default();
            (short, numbers)
        }
    };
    let mut may_be = false;
    for (spelled, mark) in names {
        match begins(name, spelled) {
            Step::Is(behind) => return Step::Is((*mark, text.len() - behind.len())),
            Step::More => may_be = true,
            Step::No => {}
        }
    }
    if may_be { Step::More } else { Step::No }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeker() -> Seeker {
        Seeker::new(["id", "name", "phone", "health-plan"].map(|kind| kind.parse().unwrap()))
    }

    /// What stands in the text with `<` and `>` around what is found, `|` before an ending, and the tokens.
    fn found(text: &str) -> (String, Vec<String>) {
        let found = seeker().scan(text);
        let (mut marked, mut from) = (String::new(), 0);
        for one in &found {
            marked += text.get(from..one.range.start).unwrap();
            marked += "<";
            marked += text.get(one.range.start..one.ending.start).unwrap();
            if !one.ending.is_empty() {
                marked += "|";
            }
            marked += text.get(one.ending.start..one.range.end).unwrap();
            marked += ">";
            from = one.range.end;
        }
        marked += text.get(from..).unwrap();
        let tokens = found.iter().map(|one| one.token.to_string()).collect();
        (marked, tokens)
    }

    #[test]
    fn what_models_do_to_a_token_is_read() {
        for (text, marked) in [
            ("[NAME_7KQ2M]", "<[NAME_7KQ2M]>"),
            ("[name_7kq2m]", "<[name_7kq2m]>"),
            ("[Name_7Kq2m], who", "<[Name_7Kq2m]>, who"),
            (r"[NAME\_7KQ2M]", r"<[NAME\_7KQ2M]>"),
            (r"\[NAME\_7KQ2M\]", r"<\[NAME\_7KQ2M\]>"),
            (r"\\[NAME\\_7KQ2M\\]", r"<\\[NAME\\_7KQ2M\\]>"),
            ("&#91;NAME_7KQ2M&#93;", "<&#91;NAME_7KQ2M&#93;>"),
            (
                "&#x5B;NAME&#x5f;7KQ2M&#x005D;",
                "<&#x5B;NAME&#x5f;7KQ2M&#x005D;>",
            ),
            (
                "&lbrack;NAME&lowbar;7KQ2M&rsqb;",
                "<&lbrack;NAME&lowbar;7KQ2M&rsqb;>",
            ),
            (
                "&amp;#91;NAME&UnderBar;7KQ2M&amp;#93;",
                "<&amp;#91;NAME&UnderBar;7KQ2M&amp;#93;>",
            ),
            ("[NAME 7KQ2M]", "<[NAME 7KQ2M]>"),
            ("[NAME-7KQ2M]", "<[NAME-7KQ2M]>"),
            ("[NAME\u{a0}7KQ2M]", "<[NAME\u{a0}7KQ2M]>"),
            ("[NAME\u{2011}7KQ2M]", "<[NAME\u{2011}7KQ2M]>"),
            (
                "[NAME_7KQ2M]s and [NAME_7KQ2M]'s",
                "<[NAME_7KQ2M]>s and <[NAME_7KQ2M]>'s",
            ),
            ("the [NAME_7KQ2Ms]", "the <[NAME_7KQ2M|s]>"),
            (
                "[NAME_7KQ2M's] and [NAME_7KQ2M\u{2019}s]",
                "<[NAME_7KQ2M|'s]> and <[NAME_7KQ2M|\u{2019}s]>",
            ),
            ("NAME_7KQ2M", "<NAME_7KQ2M>"),
            ("Is NAME_7KQ2M well?", "Is <NAME_7KQ2M> well?"),
            ("name 7kq2m.", "<name 7kq2m>."),
            ("NAME-7KQ2M's", "<NAME-7KQ2M>'s"),
            ("both NAME_7KQ2Ms", "both <NAME_7KQ2M>s"),
            ("NAME_7KQ2Mes", "<NAME_7KQ2M>es"),
            // A bracket that stands alone may belong to the text.
            ("[NAME_7KQ2M, 45]", "[<NAME_7KQ2M>, 45]"),
            ("[seen by NAME_7KQ2M]", "[seen by <NAME_7KQ2M>]"),
            ("**NAME_7KQ2M**", "**<NAME_7KQ2M>**"),
            (
                r#"{"to":"Dear\nNAME_7KQ2M\n"}"#,
                r#"{"to":"Dear\n<NAME_7KQ2M>\n"}"#,
            ),
            ("患者NAME_7KQ2Mは", "患者<NAME_7KQ2M>は"),
            ("[NAME_7KQ2M]NAME_7KQ2M", "<[NAME_7KQ2M]><NAME_7KQ2M>"),
        ] {
            let marked = (
                marked.to_owned(),
                vec!["[NAME_7KQ2M]".to_owned(); marked.matches('<').count()],
            );
            assert_eq!(found(text), marked, "{text}");
        }
    }

    #[test]
    fn a_kind_of_two_words_is_read_however_they_are_joined() {
        for text in [
            "HEALTH-PLAN_7KQ2M",
            "[health_plan_7KQ2M]",
            "Health Plan 7KQ2M",
            r"[HEALTH\_PLAN\_7KQ2M]",
        ] {
            assert_eq!(found(text).1, ["[HEALTH-PLAN_7KQ2M]"], "{text}");
        }
    }

    /// Crockford's base32 reads O as 0 and I and L as 1, and has no U.
    #[test]
    fn letters_that_are_easily_misread_are_read_as_crockford_says() {
        for (text, token) in [
            ("[NAME_OIL0o]", Some("[NAME_01100]")),
            ("[NAME_ilOl1]", Some("[NAME_11011]")),
            ("[NAME_7KQ2U]", None),
        ] {
            assert_eq!(found(text).1, Vec::from_iter(token), "{text}");
        }
    }

    #[test]
    fn what_is_less_or_more_than_a_token_is_none() {
        for text in [
            "",
            "[",
            "NAME",
            "[NAME_7KQ2]",
            "[NAME_7KQ2M0]",
            "NAME_7KQ2M0",
            "xNAME_7KQ2M",
            "_NAME_7KQ2M",
            "NAME_7KQ2M_x",
            "éNAME_7KQ2M",
            "NAME7KQ2M",
            "[7KQ2M]",
            "7KQ2M",
            "NAME\n7KQ2M",
            "NAME__7KQ2M",
            "[DATE 7KQ2M]",
            "date_7KQ2M",
            "NAME_7KQ2Mx",
            "NAME_7KQ2Mess",
            r"\name_7kq2m",
            "&91;NAME7KQ2M&#93;",
            r"\\\\\[NAME\\\\\_7KQ2M]",
        ] {
            assert_eq!(found(text), (text.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn of_a_kind_that_it_does_not_know_only_the_exact_form_is_a_token() {
        let text = "[MRN_7KQ2M] [mrn_7KQ2M] MRN_7KQ2M";
        let found = seeker().scan(text);
        let [one] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((one.range.clone(), one.is_exact), (0..11, true));
    }

    #[test]
    fn a_word_that_is_a_kind_is_no_code() {
        let text = "id phone 7KQ2M, phone phone phone";
        assert_eq!(
            found(text),
            (
                "id <phone 7KQ2M>, phone phone phone".to_owned(),
                vec!["[PHONE_7KQ2M]".to_owned()]
            )
        );
    }

    #[test]
    fn no_more_waits_than_may_become_a_token() {
        let check = |text: &str, settled: usize| {
            let sought = seeker().read(Before::Open, text, false);
            assert_eq!(sought.settled, settled, "{text}");
        };
        check("", 0);
        check("plain", 5);
        check("see [", 4);
        check("see [NAM", 4);
        check("see [zebra", 10);
        check("see [ZEBRA", 4);
        check("see [ZEBRA ", 11);
        check("see [NAME_7K", 4);
        check("see [NAME_7KQ2M", 4);
        check("see [NAME_7KQ2M]", 16);
        check("see [NAME_7KQ2MX", 16);
        check("see [1]", 7);
        check("see [NAME_7KQ2M'", 4);
        check("[NAME_7KQ2M] [", 13);
        check("[A2345678901234567", 18);
        check("is a nam", 5);
        check("is a name", 5);
        check("is a name ", 5);
        check("is a name is ", 13);
        check("is a NAME_7KQ2M", 5);
        check("is a NAME_7KQ2Me", 5);
        check("is a NAME_7KQ2M ", 16);
        check("AT&", 2);
        check("AT&T", 4);
        check("AT&#9", 2);
        check("AT&#94", 6);
        check(r"a\", 1);
        check(r"a\b", 3);
        check("a game", 6);
    }

    #[test]
    fn a_text_of_brackets_is_read_in_a_blink() {
        for text in ["[A", "[N", "name ", "\\", "&amp;", "&#0"] {
            assert_eq!(seeker().scan(&text.repeat(1 << 17)).len(), 0);
        }
    }

    /// One of the forms that a model gives a token, with what may stand around it.
    fn form() -> impl Strategy<Value = String> {
        let around = prop::sample::select(vec![
            "",
            " ",
            "[",
            "]",
            "\\",
            "&",
            "&#91;",
            "x",
            "é",
            "患",
            "_",
            "s",
            "'s",
            "\"",
            "\\n",
            ".",
            "name ",
            "id phone ",
        ]);
        let open = prop::sample::select(vec![
            "[",
            "[",
            "\\[",
            "\\\\[",
            "&#91;",
            "&#x5b;",
            "&lsqb;",
            "&amp;lbrack;",
            "",
        ]);
        let kind = prop::sample::select(vec![
            "NAME",
            "name",
            "Id",
            "HEALTH-PLAN",
            "health plan",
            "MRN",
            "NAM",
        ]);
        let joint = prop::sample::select(vec![
            "_", "_", "\\_", "\\\\_", "&#95;", "&lowbar;", " ", "-", "\u{2011}", "",
        ]);
        let code = prop::sample::select(vec!["7KQ2M", "7kq2m", "7KQ2", "7KQ2M0", "OIL00", "phone"]);
        let ending = prop::sample::select(vec!["", "", "s", "'s", "es"]);
        let close = prop::sample::select(vec!["]", "]", "\\]", "&#93;", "&rbrack;", ""]);
        (
            around.clone(),
            open,
            kind,
            joint,
            code,
            ending,
            close,
            around,
        )
            .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].concat())
    }

    proptest! {
        #[test]
        fn however_a_text_is_cut_it_holds_the_same_tokens(
            forms in prop::collection::vec(form(), 1..5), cuts in prop::collection::vec(0usize..40, 0..30),
        ) {
            let text = forms.concat();
            let whole = seeker().scan(&text);
            let (mut held, mut rest, mut passed, mut found) = (String::new(), text.as_str(), 0, Vec::new());
            let mut before = Before::default();
            let mut cuts = cuts.into_iter().chain([usize::MAX]);
            loop {
                let cut = cuts.next().unwrap_or(1).min(rest.len());
                let cut = (cut..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap();
                let (piece, behind) = rest.split_at(cut);
                (rest, held) = (behind, held + piece);
                let is_whole = rest.is_empty();
                let sought = seeker().read(before, &held, is_whole);
                found.extend(sought.found.into_iter().map(|one| one.moved(passed)));
                passed += sought.settled;
                before = sought.before;
                held = held.split_off(sought.settled);
                prop_assert!(held.len() < Seeker::LONGEST);
                if is_whole {
                    break;
                }
            }
            prop_assert_eq!(held, "");
            prop_assert_eq!(found, whole);
        }

        #[test]
        fn a_whole_text_is_settled_to_its_end(text in "[a-z é\\[\\]&#;_NAME7KQ2M\\\\-]{0,80}") {
            let before = Before::default();
            let whole = seeker().read(before, &text, true);
            prop_assert_eq!(whole.settled, text.len());
            let mut from = 0;
            for one in &whole.found {
                prop_assert!(one.range.start >= from);
                prop_assert!(one.range.start < one.ending.start && one.ending.end <= one.range.end);
                from = one.range.end;
            }
        }

        #[test]
        fn drawn_tokens_are_found_in_any_text(before in ".{0,20}", after in ".{0,20}") {
            let drawn = Token::draw("mrn".parse().unwrap()).unwrap();
            let text = format!("{before}{drawn}{after}");
            let at = before.len()..before.len() + drawn.to_string().len();
            prop_assert!(seeker().scan(&text).iter().any(|one| one.range == at && one.token == drawn));
        }
    }
}

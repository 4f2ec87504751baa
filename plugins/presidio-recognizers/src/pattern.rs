//! Python's patterns (its module `regex`, as Presidio uses it) written as `fancy-regex` reads them. What means something else
//! there is written anew; what is not there is refused, with its place in the pattern.

use fancy_regex::{Regex, RegexBuilder};

/// `DOTALL | MULTILINE | IGNORECASE`, Presidio's default.
pub(crate) const DEFAULT_FLAGS: u32 = IGNORE_CASE | MULTI_LINE | DOT_ALL;

const IGNORE_CASE: u32 = 0x2;
const MULTI_LINE: u32 = 0x8;
const DOT_ALL: u32 = 0x10;
const UNICODE: u32 = 0x20;
const VERBOSE: u32 = 0x40;
const VERSION_0: u32 = 0x2000;

/// What nothing but a letter of this list may follow a backslash, beside digits and what is no letter.
const ESCAPES: &str = "AbBdDsSwWnrtfvaxuUpPkZ";

/// Compiles a pattern under Python's flags.
pub(crate) fn compile(pattern: &str, flags: u32) -> Result<Regex, String> {
    let known = IGNORE_CASE | MULTI_LINE | DOT_ALL | UNICODE | VERBOSE | VERSION_0;
    let strange = flags & !known;
    if strange != 0 {
        return Err(format!(
            "the regex flags {flags} hold {strange}, which is not followed here; known are I (2), M (8), S (16), U (32), X (64) and V0 (8192)"
        ));
    }
    let written = Writer {
        rest: pattern,
        length: pattern.chars().count(),
        out: String::new(),
        is_multi_line: flags & MULTI_LINE != 0,
        is_verbose: flags & VERBOSE != 0,
    }
    .write()?;
    let letters = [
        (IGNORE_CASE, 'i'),
        (MULTI_LINE, 'm'),
        (DOT_ALL, 's'),
        (VERBOSE, 'x'),
    ];
    let letters: String = letters
        .iter()
        .filter_map(|(flag, letter)| (flags & flag != 0).then_some(letter))
        .collect();
    let flagged = if letters.is_empty() {
        written
    } else {
        format!("(?{letters}){written}")
    };
    RegexBuilder::new(&flagged).build().map_err(|error| {
        format!("is no pattern that can be followed here: {error}").replace('\n', " ")
    })
}

/// The pattern of a deny list: one of the words, with nothing of a word on either side.
pub(crate) fn of_list(words: &[String], flags: u32) -> Result<Regex, String> {
    let escaped: Vec<_> = words.iter().map(|word| fancy_regex::escape(word)).collect();
    let flags = flags & IGNORE_CASE;
    let letters = if flags == 0 { "" } else { "(?i)" };
    // Presidio: `(?:^|(?<=\W))(…)(?:(?=\W)|$)`. What is no word's character is before, or nothing is; and so behind.
    let pattern = format!(r"{letters}(?<!\w)(?:{})(?!\w)", escaped.join("|"));
    RegexBuilder::new(&pattern)
        .build()
        .map_err(|error| error.to_string().replace('\n', " "))
}

/// Writes a pattern anew, character by character.
struct Writer<'p> {
    rest: &'p str,
    /// Characters of the whole pattern.
    length: usize,
    out: String,
    is_multi_line: bool,
    is_verbose: bool,
}

impl Writer<'_> {
    fn write(mut self) -> Result<String, String> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                // Without M, Python's `$` is also before a last line break.
                '$' if !self.is_multi_line => self.out.push_str(r"(?=\n?\z)"),
                '(' => self.group()?,
                '{' => self.brace()?,
                c => self.out.push(c),
            }
        }
        Ok(self.out)
    }

    /// A repetition, or a brace that stands for itself.
    fn brace(&mut self) -> Result<(), String> {
        let inner = self.rest.split('}').next().unwrap_or("");
        let is_closed = self.rest.len() > inner.len();
        let holds_only = |known: &str| inner.chars().all(|c| known.contains(c));
        let is_repetition = is_closed
            && holds_only("0123456789,")
            && inner.contains(|c: char| c.is_ascii_digit())
            && inner.matches(',').count() < 2;
        if is_repetition {
            let least = if inner.starts_with(',') { "0" } else { "" };
            self.out.push('{');
            self.out.push_str(least);
        } else if is_closed
            && holds_only("eids0123456789<=,+: ")
            && inner.contains(['e', 'i', 'd', 's'])
        {
            return Err(format!(
                "character {}: matching with errors, `{{{inner}}}`, is not followed here",
                self.place()
            ));
        } else {
            self.out.push_str(r"\{");
        }
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        Some(c)
    }

    /// The place of the character that was read last, from 1.
    fn place(&self) -> usize {
        self.length - self.rest.chars().count()
    }

    fn escape(&mut self, is_in_class: bool) -> Result<(), String> {
        let Some(c) = self.next() else {
            return Err("ends in a backslash".to_owned());
        };
        match c {
            'Z' if !is_in_class => self.out.push_str(r"\z"),
            'b' if is_in_class => self.out.push_str(r"\x08"),
            'u' | 'U' => {
                let count = if c == 'u' { 4 } else { 8 };
                let digits: String = self.rest.chars().take(count).collect();
                let is_hex = digits.len() == count && digits.bytes().all(|b| b.is_ascii_hexdigit());
                if !is_hex {
                    return Err(format!(
                        "character {}: `\\{c}` needs {count} hex digits",
                        self.place()
                    ));
                }
                self.rest = self.rest.get(count..).unwrap_or("");
                self.out.push_str(&format!("\\x{{{digits}}}"));
            }
            '0' => {
                return Err(format!(
                    "character {}: octal escapes are not followed here; write `\\x00`",
                    self.place()
                ));
            }
            c if c.is_ascii_alphabetic() && !ESCAPES.contains(c) => {
                return Err(format!(
                    "character {}: `\\{c}` is not followed here",
                    self.place()
                ));
            }
            c if c.is_ascii_alphanumeric() => {
                self.out.push('\\');
                self.out.push(c);
            }
            // Any other stands for itself; Rust reads `\<` otherwise.
            c => self.literal(c),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if c == '<' || c == '>' || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push('\\');
            self.out.push(c);
        }
    }

    /// A class, in which Python knows no classes, no set operations and, with X, no white space to leave out.
    fn class(&mut self) -> Result<(), String> {
        let begun = self.place();
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.next();
            self.out.push('^');
        }
        let mut is_first = true;
        while let Some(c) = self.next() {
            match c {
                ']' if !is_first => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' if self.rest.starts_with(':') => {
                    return Err(format!(
                        "character {}: classes by name are not followed here",
                        self.place()
                    ));
                }
                '[' | ']' | '&' | '~' | '^' => self.literal(c),
                c if self.is_verbose && (c.is_whitespace() || c == '#') => {
                    self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
                }
                // Two dashes would be a difference of sets: here the second ends a range, or the first begins one.
                '-' if is_first => self.out.push_str(r"\-"),
                '-' if self.rest.starts_with('-') => {
                    self.next();
                    self.out.push_str(r"-\-");
                }
                c => self.out.push(c),
            }
            is_first = false;
        }
        Err(format!("character {begun}: `[` is not closed"))
    }

    /// What a group begins with. Flags within are Python's as they stand, but for those that there are not.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        let Some(kind) = self.rest.strip_prefix('?') else {
            return Ok(());
        };
        let first = kind.chars().next();
        let is_known = match first {
            Some(':' | '=' | '!' | '<' | '>' | '#' | '(' | 'P') => true,
            Some(_) => {
                let flags: &str = kind.split([':', ')']).next().unwrap_or("");
                flags.chars().all(|c| "imsx-".contains(c))
            }
            None => false,
        };
        // `(?P>name)` calls a group, `(?P<name>…)` and `(?P=name)` are known.
        if !is_known || kind.starts_with("P>") {
            let shown: String = kind.chars().take(4).collect();
            return Err(format!(
                "character {}: `(?{shown}` is not followed here",
                self.place()
            ));
        }
        Ok(())
    }
}

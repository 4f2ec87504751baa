//! What stands in the text in a value's place: `[NAME_7KQ2M]`.
//!
//! A token names its kind, so that a model can reason about it, and says nothing else: the five characters are drawn
//! at random (45 CFR 164.514(c)). Its length depends on its kind alone. The shape is drawn in `docs/formats/tokens.md`.

mod written;

use std::fmt::Write as _;
use std::ops::Range;

use nephron_model::Kind;

use crate::random::{self, RandomError};

pub use written::{Before, Seeker, Sought, Written};

/// The kind under which the host keeps user text that has a token's shape, so that it comes back as it was and is
/// never taken for a token. Nothing else about it is special.
pub const LITERAL: &str = "literal";

/// One token: `[`, its kind in upper case, `_`, five characters of Crockford's base32, `]`. 9 to 24 bytes of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    kind: Kind,
    code: [Digit; Self::DIGITS],
}

/// Text that has not a token's exact shape.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected `[`, a kind in upper case, `_`, five of `0-9 A-Z` without `I L O U`, and `]`")]
pub struct InvalidToken;

impl Token {
    /// Bytes of the longest token.
    pub const LONGEST: usize = 16 + 3 + Self::DIGITS;

    const DIGITS: usize = 5;

    /// A token of `kind`, each of the 2^25 as likely as any other: 25 of 32 random bits, so none is rejected.
    pub(crate) fn draw(kind: Kind) -> Result<Self, RandomError> {
        let mut bits = u32::from_be_bytes(random::bytes()?);
        let code = std::array::from_fn(|_| {
            let digit = Digit(bits & 31);
            bits >>= 5;
            digit
        });
        Ok(Self { kind, code })
    }

    /// The kind of identifier that it stands for.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Every token-shaped part of `text` with its byte range, in order. They cannot overlap: a token holds no second
    /// `[`. The shape is exact; [`Seeker`] also finds
    /// what models make of it.
    pub fn scan(text: &str) -> impl Iterator<Item = (Range<usize>, Self)> {
        text.match_indices('[').filter_map(|(start, _)| {
            let rest = text.get(start..)?;
            let head = rest.as_bytes().get(..rest.len().min(Self::LONGEST))?;
            let end = start + head.iter().position(|byte| *byte == b']')? + 1;
            Some((start..end, text.get(start..end)?.parse().ok()?))
        })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('[')?;
        for letter in self.kind.as_str().chars() {
            f.write_char(letter.to_ascii_uppercase())?;
        }
        f.write_char('_')?;
        for digit in self.code {
            f.write_char(digit.symbol())?;
        }
        f.write_char(']')
    }
}

impl std::str::FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let inside = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let (kind, code) = inside
            .and_then(|text| text.split_once('_'))
            .ok_or(InvalidToken)?;
        if kind.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(InvalidToken);
        }
        let kind = Kind::try_from(kind.to_ascii_lowercase()).map_err(|_| InvalidToken)?;
        let code: [u8; Self::DIGITS] = code.as_bytes().try_into().map_err(|_| InvalidToken)?;
        let mut digits = [Digit(0); Self::DIGITS];
        for (digit, symbol) in digits.iter_mut().zip(code) {
            *digit = Digit::of(symbol).ok_or(InvalidToken)?;
        }
        Ok(Self { kind, code: digits })
    }
}

/// Five bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Digit(u32);

impl Digit {
    /// Crockford's alphabet, which leaves out what is easily misread.
    const SYMBOLS: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    fn of(symbol: u8) -> Option<Self> {
        let place = Self::SYMBOLS.iter().position(|it| *it == symbol)?;
        u32::try_from(place).ok().map(Self)
    }

    /// As Crockford decodes: in either case, O as 0, I and L as 1.
    fn read(symbol: char) -> Option<Self> {
        match symbol.to_ascii_uppercase() {
            'O' => Some(Self(0)),
            'I' | 'L' => Some(Self(1)),
            symbol => u8::try_from(symbol).ok().and_then(Self::of),
        }
    }

    fn symbol(self) -> char {
        let place = usize::try_from(self.0).unwrap_or_default();
        char::from(Self::SYMBOLS.get(place).copied().unwrap_or(b'0'))
    }
}

impl std::fmt::Debug for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.symbol())
    }
}

/// How far an unfinished token has come, after its `[`.
#[derive(Clone, Copy)]
enum Place {
    Start,
    Kind(usize),
    Code(usize),
}

impl Place {
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Start, b'A'..=b'Z') => Some(Self::Kind(1)),
            (Self::Kind(length), b'A'..=b'Z' | b'0'..=b'9' | b'-') if length < 16 => {
                Some(Self::Kind(length + 1))
            }
            (Self::Kind(_), b'_') => Some(Self::Code(0)),
            (Self::Code(length), _) if length < Token::DIGITS => {
                Digit::of(byte).map(|_| Self::Code(length + 1))
            }
            (Self::Start | Self::Kind(_) | Self::Code(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(text: &str) -> Token {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_exact_shape_is_a_token() {
        for text in [
            "[NAME_7KQ2M]",
            "[A_00000]",
            "[HEALTH-PLAN_ZZZZZ]",
            "[A234567890123456_00000]",
        ] {
            assert_eq!(token(text).to_string(), text);
        }
        for text in [
            "",
            "[]",
            "[_]",
            "NAME_7KQ2M",
            "[NAME_7KQ2M",
            "NAME_7KQ2M]",
            "[name_7KQ2M]",
            "[NAME_7kq2m]",
            "[NAME_7KQ2]",
            "[NAME_7KQ2M0]",
            "[NAME_7KQ2I]",
            "[NAME_7KQ2L]",
            "[NAME_7KQ2O]",
            "[NAME_7KQ2U]",
            "[NAME 7KQ2M]",
            "[_7KQ2M]",
            "[NA_ME_7KQ2M]",
            "[1AME_7KQ2M]",
            "[NAME_7KQ2é]",
            "[ÄAME_7KQ2M]",
            "[A2345678901234567_00000]",
            "[[NAME_7KQ2M]]",
        ] {
            assert_eq!(text.parse::<Token>(), Err(InvalidToken), "{text}");
        }
    }

    #[test]
    fn a_token_tells_its_kind() {
        assert_eq!(token("[HEALTH-PLAN_7KQ2M]").kind().as_str(), "health-plan");
    }

    #[test]
    fn scanning_finds_each_token_where_it_stands() {
        let text =
            "é[NAME_7KQ2M], [name_7KQ2M] [[MRN_00000]] [[NAME_7KQ2M [DATE_ZZZZZ][DATE_ZZZZZ]";
        let found: Vec<_> = Token::scan(text).collect();
        let texts: Vec<_> = found
            .iter()
            .map(|(range, _)| text.get(range.clone()).unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "[NAME_7KQ2M]",
                "[MRN_00000]",
                "[DATE_ZZZZZ]",
                "[DATE_ZZZZZ]"
            ]
        );
        assert!(
            found
                .iter()
                .all(|(range, token)| text.get(range.clone()) == Some(&token.to_string()))
        );
    }

    #[test]
    fn a_text_of_brackets_is_scanned_in_a_blink() {
        let text = "[A".repeat(1 << 20);
        assert_eq!(Token::scan(&text).count(), 0);
    }

    #[test]
    fn every_symbol_is_drawn_and_none_other() {
        let kind: Kind = "name".parse().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let drawn = Token::draw(kind.clone()).unwrap();
            assert_eq!(token(&drawn.to_string()), drawn);
            assert_eq!(drawn.to_string().len(), "[NAME_7KQ2M]".len());
            seen.extend(drawn.code);
        }
        assert_eq!(seen.len(), 32);
    }

    proptest! {
        #[test]
        fn scanning_never_panics_and_returns_what_parses(text in "[\\[\\]A-C0-2_é-]{0,60}") {
            for (range, token) in Token::scan(&text) {
                prop_assert_eq!(text.get(range).unwrap(), token.to_string());
            }
        }

        #[test]
        fn drawn_tokens_are_found_again_in_any_text(before in ".{0,20}", after in ".{0,20}") {
            let drawn = Token::draw("mrn".parse().unwrap()).unwrap();
            let text = format!("{before}{drawn}{after}");
            let at = before.len()..before.len() + drawn.to_string().len();
            prop_assert!(Token::scan(&text).any(|found| found == (at.clone(), drawn.clone())));
        }
    }
}

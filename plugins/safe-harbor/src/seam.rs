//! Identifiers whose halves stand at the end of one text and at the start of the next: `call 503-555-` and `0144`.

use crate::found::{Found, Kind};

/// How many bytes of each text are looked at.
const REACH: usize = 48;

/// The end of one text and the start of the next as one.
pub(crate) struct Seam {
    /// What the rules read.
    pub(crate) text: String,
    /// Where in it the next text begins.
    joint: usize,
    /// Where in the first text it begins.
    from: usize,
}

impl Seam {
    /// The seam of two texts, when something may be torn there: a number or an address goes on behind it.
    #[must_use]
    pub(crate) fn of(first: &str, next: &str) -> Option<Self> {
        let (first, next) = (first.trim_end(), next.trim_start());
        let mut heads = next.chars();
        let (last, head, second) = (first.chars().next_back()?, heads.next()?, heads.next());
        let joins = |c: char| matches!(c, '-' | '@' | '/' | '.');
        let torn = last.is_ascii_digit() && head.is_ascii_digit()
            || joins(last) && last != '.' && head.is_ascii_alphanumeric()
            || last.is_ascii_alphanumeric()
                && joins(head)
                && second.is_some_and(|c| c.is_ascii_alphanumeric());
        if !torn {
            return None;
        }
        let mut from = first.len().saturating_sub(REACH);
        while !first.is_char_boundary(from) {
            from += 1;
        }
        let mut to = next.len().min(REACH);
        while !next.is_char_boundary(to) {
            to -= 1;
        }
        let (tail, start) = (first.get(from..)?, next.get(..to)?);
        Some(Self {
            text: format!("{tail}{start}"),
            joint: tail.len(),
            from,
        })
    }

    /// The two halves of a finding in the seam, in the offsets of the two texts, the second of which is `next`.
    #[must_use]
    pub(crate) fn halves(&self, one: &Found, next: &str) -> Option<(Found, Found)> {
        let numbered = !matches!(one.kind, Kind::Name | Kind::Geo | Kind::Age);
        if !numbered || one.confidence < 0.7 || one.start >= self.joint || one.end <= self.joint {
            return None;
        }
        let skipped = next.len() - next.trim_start().len();
        Some((
            Found {
                start: self.from + one.start,
                end: self.from + self.joint,
                ..*one
            },
            Found {
                start: skipped,
                end: skipped + one.end - self.joint,
                ..*one
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_torn_has_a_seam() {
        let text = |first, next| Seam::of(first, next).map(|seam| seam.text);
        assert_eq!(
            text("call 503-555-", " 0144"),
            Some("call 503-555-0144".to_owned())
        );
        assert_eq!(
            text("SSN 900-55", "-0142"),
            Some("SSN 900-55-0142".to_owned())
        );
        assert_eq!(
            text("ana@", "mail.example"),
            Some("ana@mail.example".to_owned())
        );
        assert_eq!(text("I take 5.", "2 of them"), None);
        assert_eq!(text("My name is Ana", "Ruiz"), None);
        assert_eq!(text("", "x"), None);
    }
}

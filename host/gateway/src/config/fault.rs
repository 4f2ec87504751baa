//! What is wrong with a configuration, and where.

use std::path::PathBuf;

use serde::Serialize;

/// One thing to mend, at the place to mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The configuration file, as it was named to us.
    pub file: PathBuf,
    /// Line, from 1; 0 for a fault of the file as a whole, which has no place in it.
    #[serde(skip_serializing_if = "is_none")]
    pub line: usize,
    /// Column in characters (Unicode scalar values), from 1; 0 where there is no line.
    #[serde(skip_serializing_if = "is_none")]
    pub column: usize,
    /// What is wrong and what to write instead. Holds names and sizes, never a secret.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_none(place: &usize) -> bool {
    *place == 0
}

impl Fault {
    /// The file, with the line and the column if there are any.
    #[must_use]
    pub fn place(&self) -> String {
        let file = self.file.display();
        match self.line {
            0 => file.to_string(),
            line => format!("{file}:{line}:{}", self.column),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

/// Every fault of a configuration, in the order of the file; never empty.
///
/// Prints one `file:line:column: message` a line, and serialises as a list for `check --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }

    /// The same, with `file` as people named it.
    pub(super) fn of_file(mut self, file: &std::path::Path, named: &std::path::Path) -> Self {
        for fault in self.0.iter_mut().filter(|fault| fault.file == file) {
            named.clone_into(&mut fault.file);
        }
        self
    }

    /// The faults, sorted by place.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Line and column, both from 1, of a byte offset; one past the end is the place after the last character.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// The operator's text, made fit for a message: short, on one line.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The known word that was most likely meant, if one is near enough: at most a third of its letters wrong.
pub(super) fn nearest<'w>(
    given: &str,
    known: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    if given.chars().nth(64).is_some() {
        return None;
    }
    known
        .into_iter()
        .map(|word| (distance(given, word), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// How many characters were added, left out, mistaken or swapped with their neighbour: the "optimal string alignment"
/// distance, one row of its table at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (line, a) in from.chars().enumerate() {
        let mut row = vec![line + 1];
        for (place, b) in to.iter().enumerate() {
            let mistaken = at(&last, place) + usize::from(a != *b);
            let mut least = mistaken
                .min(at(&last, place + 1) + 1)
                .min(at(&row, place) + 1);
            let neighbour = place.checked_sub(1).and_then(|place| to.get(place));
            if neighbour == Some(&a) && previous == Some(*b) {
                least = least.min(at(&before, place.saturating_sub(1)) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(a);
    }
    at(&last, to.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = "å = 1\nβ = \"€\"\n";
        for (offset, expected) in [
            (0, (1, 1)),
            (2, (1, 2)),
            (1, (1, 1)),
            (7, (2, 1)),
            (9, (2, 2)),
            (12, (2, 5)),
            (900, (3, 1)),
        ] {
            assert_eq!(place(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn a_near_word_is_meant_and_a_far_one_is_not() {
        let known = ["deadline", "fuel", "memory", "host-calls"];
        for (given, expected) in [
            ("dedline", Some("deadline")),
            ("deadlines", Some("deadline")),
            ("feul", Some("fuel")),
            ("fuell", Some("fuel")),
            ("host_calls", Some("host-calls")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
        for (from, to, expected) in [
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("", "abc", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(
                (distance(from, to), distance(to, from)),
                (expected, expected),
                "{from} {to}"
            );
        }
    }

    #[test]
    fn a_message_shows_no_control_characters_and_no_more_than_it_must() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }
}

//! Numbers and addresses of the net that are known: however they are parted, with what scanners and typists do to them.

use super::Of;
use super::near::Nearness;
use super::view::{Glyph, View};
use crate::found::{Found, Kind};

/// One way in which a number may be written, without what parts its characters.
struct Form {
    of: Of,
    kind: Kind,
    glyphs: Vec<char>,
    /// Whether misread letters are digits.
    is_number: bool,
}

#[derive(Default)]
pub(super) struct Numbers {
    forms: Vec<Form>,
    /// The last four digits of what is often told by them.
    tails: Vec<(Of, Kind, Vec<char>)>,
}

/// Shorter ones are found anywhere.
const LEAST: usize = 4;

/// Characters between two of a number.
const GAP: usize = 3;

impl Numbers {
    pub(super) fn add(&mut self, of: Of, kind: Kind, value: &str) {
        let glyphs: Vec<char> = value
            .chars()
            .filter(|c| c.is_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let digits = glyphs.iter().filter(|c| c.is_ascii_digit()).count();
        let is_number = digits * 5 >= glyphs.len() * 3;
        let prefix = glyphs.iter().take_while(|c| c.is_alphabetic()).count();
        let glyphs: Vec<char> = glyphs
            .into_iter()
            .enumerate()
            .map(|(at, c)| {
                if is_number && at >= prefix {
                    digit(c)
                } else {
                    c
                }
            })
            .collect();
        if matches!(kind, Kind::Phone | Kind::Fax) {
            let is_foreign = value.trim_start().starts_with('+');
            let national = match glyphs.split_first() {
                Some(('1', rest)) if rest.len() == 10 => rest,
                _ => glyphs.as_slice(),
            };
            if national.len() == 10 {
                self.form(of, kind, national.get(3..).unwrap_or_default(), true);
                self.form(of, kind, &[&['1'], national].concat(), true);
                self.form(of, kind, national, true);
            } else if is_foreign {
                // Country codes have one to three digits (ITU-T E.164); at home a 0 stands in their place.
                for code in 1..=3 {
                    let rest = glyphs.get(code..).filter(|rest| rest.len() >= 8);
                    if let Some(rest) = rest {
                        self.form(of, kind, rest, true);
                        self.form(of, kind, &[&['0'], rest].concat(), true);
                    }
                }
            }
            if let Some(tail) = national.last_chunk::<4>().filter(|_| national.len() >= 7) {
                self.tails.push((of, kind, tail.to_vec()));
            }
        }
        if let (Kind::Ssn, Some(tail)) = (kind, glyphs.last_chunk::<4>()) {
            self.tails.push((of, kind, tail.to_vec()));
        }
        // What stands before the digits is often left out, and so are zeros.
        let bare = glyphs.get(prefix..).unwrap_or_default();
        let zeros = bare.iter().take_while(|c| **c == '0').count();
        for bare in [bare, bare.get(zeros..).unwrap_or_default()] {
            let is_whole = bare.len() == glyphs.len();
            if !is_whole && bare.len() > LEAST && bare.iter().all(char::is_ascii_digit) {
                self.form(of, kind, bare, true);
            }
        }
        self.form(of, kind, &glyphs, is_number);
    }

    fn form(&mut self, of: Of, kind: Kind, glyphs: &[char], is_number: bool) {
        if glyphs.len() >= LEAST {
            self.forms.push(Form {
                of,
                kind,
                glyphs: glyphs.to_vec(),
                is_number,
            });
        }
    }

    /// Adds where the numbers stand.
    pub(super) fn find(&self, view: &View<'_>, out: &mut Vec<Found>) {
        if self.forms.is_empty() {
            return;
        }
        for at in 0..view.glyphs.len() {
            if !is_parted(view, at) {
                continue;
            }
            let glyphs = view.glyphs.get(at..).unwrap_or_default();
            let fit = |form: &Form| {
                let (length, nearness) = form.at(view.text, glyphs)?;
                Some((length, nearness, form.of, form.kind))
            };
            let tails = self.tails.iter().filter_map(|(of, kind, tail)| {
                let is_it = is_tail(view, at, tail);
                is_it.then_some((tail.len(), Nearness::Same, *of, *kind))
            });
            let fits = self.forms.iter().filter_map(fit).chain(tails);
            let best = fits.max_by_key(|(length, nearness, ..)| (*nearness, *length));
            if let Some((length, nearness, of, kind)) = best
                && let Some((first, last)) = glyphs.first().zip(glyphs.get(length - 1))
            {
                out.push(super::found(first.start, last.end, kind, nearness, of));
            }
        }
    }
}

impl Form {
    /// How many of `glyphs` are this number, and how near they are.
    fn at(&self, text: &str, glyphs: &[Glyph]) -> Option<(usize, Nearness)> {
        let wanted = self.glyphs.as_slice();
        let own = |glyph: &Glyph| {
            if self.is_number {
                digit(glyph.c)
            } else {
                glyph.c
            }
        };
        let common = wanted
            .iter()
            .zip(glyphs)
            .take_while(|(wanted, glyph)| **wanted == own(glyph))
            .count();
        let fits = |length: usize| {
            let taken = glyphs.get(..length)?;
            let together = taken.windows(2).all(|pair| match pair {
                [one, next] => is_near(text, one, next),
                _ => true,
            });
            let ends = match (taken.last(), glyphs.get(length)) {
                (Some(last), Some(next)) => {
                    last.end < next.start || last.c.is_ascii_digit() != next.c.is_ascii_digit()
                }
                _ => true,
            };
            (together && ends).then_some(length)
        };
        if common == wanted.len() {
            let length = fits(common)?;
            let is_same = glyphs
                .iter()
                .zip(wanted)
                .all(|(glyph, wanted)| glyph.c == *wanted);
            return Some((
                length,
                if is_same {
                    Nearness::Same
                } else {
                    Nearness::Read
                },
            ));
        }
        // One fault, in a number long enough to be known in spite of it.
        if wanted.len() < 6 {
            return None;
        }
        let rest = wanted.get(common..)?;
        let read: Vec<char> = glyphs
            .iter()
            .skip(common)
            .take(rest.len() + 1)
            .map(own)
            .collect();
        let same = |wanted: Option<&[char]>, read: Option<&[char]>| match (wanted, read) {
            (Some(wanted), Some(read)) => read.starts_with(wanted),
            _ => false,
        };
        let changed = match (rest, read.as_slice()) {
            ([a, b, ..], [c, d, ..]) => a == d && b == c && same(rest.get(2..), read.get(2..)),
            _ => false,
        };
        let length = if changed || same(rest.get(1..), read.get(1..)) {
            wanted.len()
        } else if wanted.len() >= 8 && same(Some(rest), read.get(1..)) {
            wanted.len() + 1
        } else if wanted.len() >= 8 && same(rest.get(1..), Some(&read)) {
            wanted.len() - 1
        } else {
            return None;
        };
        Some((fits(length)?, Nearness::Typed))
    }
}

/// Whether a number may begin with the glyph at `at`: nothing of its kind stands before it.
fn is_parted(view: &View<'_>, at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| view.glyphs.get(before));
    match (before, view.glyphs.get(at)) {
        (Some(before), Some(glyph)) => {
            before.end < glyph.start || before.c.is_ascii_digit() != glyph.c.is_ascii_digit()
        }
        (None | Some(_), _) => true,
    }
}

/// Whether two glyphs may be of one number.
fn is_near(text: &str, one: &Glyph, next: &Glyph) -> bool {
    text.get(one.end..next.start).is_some_and(|gap| {
        gap.chars().count() <= GAP && gap.chars().filter(|c| *c == '\n').count() <= 1
    })
}

/// Whether the last four digits stand at `at`, behind words or marks that say so: `***-**-6789`, `last four 6789`.
fn is_tail(view: &View<'_>, at: usize, tail: &[char]) -> bool {
    const SAID: [&str; 8] = [
        "last 4",
        "last four",
        "ending",
        "ends in",
        "xxx",
        "xx-",
        "**",
        "•",
    ];
    let glyphs = view.glyphs.get(at..).unwrap_or_default();
    let is_it = tail
        .iter()
        .zip(glyphs)
        .filter(|(wanted, glyph)| **wanted == glyph.c)
        .count()
        == tail.len();
    let ends = glyphs.get(tail.len()).zip(glyphs.get(tail.len() - 1));
    let ends = ends.is_none_or(|(next, last)| last.end < next.start);
    let Some(first) = glyphs.first().filter(|_| is_it && ends) else {
        return false;
    };
    let from = (first.start.saturating_sub(16)..=first.start)
        .find(|from| view.text.is_char_boundary(*from));
    let before = view
        .text
        .get(from.unwrap_or(first.start)..first.start)
        .unwrap_or_default()
        .to_lowercase();
    SAID.iter().any(|said| {
        let after = before.rsplit_once(said).map(|(_, after)| after);
        after.is_some_and(|after| !after.contains(|c: char| c.is_ascii_digit()))
    })
}

/// The digit that scanners take for this letter.
const fn digit(c: char) -> char {
    match c {
        'o' => '0',
        'l' | 'i' => '1',
        'z' => '2',
        's' => '5',
        'b' => '8',
        other => other,
    }
}

//! Dates that are known, in whatever form they are written: `1956-03-12`, `3/12/56`, `12MAR1956`, `12 March`.

use super::Of;
use super::near::Nearness;
use super::view::View;
use crate::found::{Found, Kind};

/// A day, or a month if it has no day.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Day {
    year: u32,
    month: u32,
    day: Option<u32>,
}

#[derive(Default)]
pub(super) struct Dates {
    days: Vec<(Of, Day)>,
}

/// A number or the name of a month, as it stands in a text.
#[derive(Clone, Copy)]
struct Unit {
    start: usize,
    end: usize,
    is: Is,
}

#[derive(Clone, Copy)]
enum Is {
    /// With how many digits it is written.
    Number(u32, usize),
    Month(u32),
    /// `th`, `of`
    Filler,
    /// Eight digits or more.
    Long,
    Other,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Dates {
    /// Takes up a date by ISO 8601 (also `YYYY-MM`, and with a time), or as people write it. Where day and month could be
    /// either, both are taken.
    pub(super) fn add(&mut self, of: Of, value: &str) {
        let value = value.split_once('T').map_or(value, |(date, _)| date);
        let units = units(value);
        let telling: Vec<Unit> = units
            .iter()
            .copied()
            .filter(|unit| !matches!(unit.is, Is::Filler | Is::Other))
            .collect();
        let mut days = match telling.as_slice() {
            [year, month] => day_of_two(year.is, month.is),
            [one, two, three, ..] => days_of_three(one.is, two.is, three.is),
            [one] => compact(value.get(one.start..one.end).unwrap_or_default()),
            [] => Vec::new(),
        };
        days.retain(Day::exists);
        days.sort_by_key(|day| (day.year, day.month, day.day));
        days.dedup();
        for mut day in days {
            // Nobody who is known was born in the year 56.
            if day.year < 100 {
                day.year += 1900;
                self.days.push((
                    of,
                    Day {
                        year: day.year + 100,
                        ..day
                    },
                ));
            }
            self.days.push((of, day));
        }
    }

    /// Adds where the dates stand.
    pub(super) fn find(&self, view: &View<'_>, out: &mut Vec<Found>) {
        if self.days.is_empty() {
            return;
        }
        let units = units(view.text);
        let mut at = 0;
        while at < units.len() {
            match self.at(view.text, &units, at) {
                Some((of, end)) => {
                    let start = units.get(at).map_or(end, |unit| unit.start);
                    out.push(super::found(start, end, Kind::Date, Nearness::Same, of));
                    at = units.partition_point(|unit| unit.start < end);
                }
                None => at += 1,
            }
        }
    }

    /// Whose date stands at the unit `at`, and the byte where it ends.
    fn at(&self, text: &str, units: &[Unit], at: usize) -> Option<(Of, usize)> {
        let first = units.get(at)?;
        if matches!(first.is, Is::Long) {
            let digits = text.get(first.start..first.end)?;
            // HL7 version 2 writes the time behind the day.
            let day = if digits.len() >= 12 {
                digits.get(..8)?
            } else {
                digits
            };
            return self
                .known(&compact(day), |known, read| known == read)
                .map(|of| (of, first.end));
        }
        let mut taken = vec![*first];
        let mut last = *first;
        for unit in units.iter().skip(at + 1) {
            if taken.len() == 3 || !adjoins(text, &last, unit) {
                break;
            }
            match unit.is {
                Is::Number(..) | Is::Month(_) => taken.push(*unit),
                Is::Filler => {}
                Is::Long | Is::Other => break,
            }
            last = *unit;
        }
        if let [one, two, three] = taken.as_slice() {
            let days = days_of_three(one.is, two.is, three.is);
            if let Some(of) = self.known(&days, Day::is_written_as) {
                return Some((of, three.end));
            }
        }
        let [one, two, rest @ ..] = taken.as_slice() else {
            return None;
        };
        // Two of three that are another date are none of ours.
        let goes_on = |first: &Unit, next: &Unit| {
            let is_parted = text
                .get(first.end..next.start)
                .is_none_or(|gap| gap.contains(','));
            !is_parted && adjoins(text, first, next)
        };
        let before = at.checked_sub(1).and_then(|before| units.get(before));
        let before = before.filter(|one| matches!(one.is, Is::Number(..) | Is::Month(_)));
        let after = rest.first().filter(|one| matches!(one.is, Is::Number(..)));
        if before.is_some_and(|before| goes_on(before, one))
            || after.is_some_and(|after| goes_on(two, after))
        {
            return None;
        }
        let days = day_of_two(one.is, two.is);
        // A day and its month, of no other year.
        let named = |known: &Day, read: &Day| {
            read.year == 0 && known.month == read.month && known.day == read.day
        };
        let of = self.known(&days, |known, read| {
            Day {
                day: None,
                ..*known
            } == *read
                && known.year >= 1000
                || named(known, read)
        })?;
        Some((of, two.end))
    }

    fn known(&self, read: &[Day], is: impl Fn(&Day, &Day) -> bool) -> Option<Of> {
        let known = |day: &Day| self.days.iter().find(|(_, known)| is(known, day));
        read.iter().find_map(known).map(|(of, _)| *of)
    }
}

impl Day {
    fn exists(&self) -> bool {
        (1..=12).contains(&self.month) && self.day.is_none_or(|day| (1..=31).contains(&day))
    }

    /// Whether `read` is this day, its year perhaps by two digits.
    fn is_written_as(&self, read: &Self) -> bool {
        let year = self.year == read.year || read.year < 100 && self.year % 100 == read.year;
        year && self.month == read.month && self.day == read.day
    }
}

/// The days that three units may mean.
fn days_of_three(one: Is, two: Is, three: Is) -> Vec<Day> {
    let day = |year, month, day| Day {
        year,
        month,
        day: Some(day),
    };
    match (one, two, three) {
        (Is::Number(a, long), Is::Number(b, _), Is::Number(c, _)) if long >= 4 => {
            vec![day(a, b, c), day(a, c, b)]
        }
        (Is::Number(a, long), Is::Number(b, _), Is::Number(c, _)) => {
            let mut days = vec![day(c, a, b), day(c, b, a)];
            days.extend((long == 2).then(|| day(a, b, c)));
            days
        }
        (Is::Month(m), Is::Number(d, _), Is::Number(y, _))
        | (Is::Number(d, 1 | 2), Is::Month(m), Is::Number(y, _))
        | (Is::Number(y, _), Is::Month(m), Is::Number(d, _)) => vec![day(y, m, d)],
        _ => Vec::new(),
    }
}

/// A month and its year, or a day and its month by name, which has the year 0.
fn day_of_two(one: Is, two: Is) -> Vec<Day> {
    match (one, two) {
        (Is::Number(y, 4), Is::Number(m, _) | Is::Month(m))
        | (Is::Number(m, _) | Is::Month(m), Is::Number(y, 4)) => vec![Day {
            year: y,
            month: m,
            day: None,
        }],
        (Is::Number(d, _), Is::Month(m)) | (Is::Month(m), Is::Number(d, _)) => {
            vec![Day {
                year: 0,
                month: m,
                day: Some(d),
            }]
        }
        _ => Vec::new(),
    }
}

/// The days that digits without anything between them may mean.
fn compact(digits: &str) -> Vec<Day> {
    let part = |from: usize, to: usize| {
        digits
            .get(from..to)
            .and_then(|part| part.parse::<u32>().ok())
    };
    let day = |year: Option<u32>, month: Option<u32>, day: Option<u32>| {
        Some(Day {
            year: year?,
            month: month?,
            day: Some(day?),
        })
    };
    let days = match digits.len() {
        8 => [
            day(part(0, 4), part(4, 6), part(6, 8)),
            day(part(4, 8), part(0, 2), part(2, 4)),
            day(part(4, 8), part(2, 4), part(0, 2)),
        ],
        _ => [None, None, None],
    };
    days.into_iter().flatten().filter(Day::exists).collect()
}

/// Whether two units may be of one date.
fn adjoins(text: &str, one: &Unit, next: &Unit) -> bool {
    text.get(one.end..next.start).is_some_and(|gap| {
        let belongs = |c: char| {
            c.is_whitespace() || matches!(c, '/' | '-' | '.' | ',' | '\'' | '’' | '\\' | '–')
        };
        gap.chars().count() <= 3 && gap.chars().all(belongs)
    })
}

/// The numbers and words of `text`; a number ends where a letter begins.
fn units(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut open: Option<(usize, bool)> = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let class = c.is_alphanumeric().then(|| c.is_ascii_digit());
        match (open, class) {
            (Some((_, digits)), Some(class)) if digits == class => {}
            (opened, class) => {
                units.extend(opened.and_then(|(start, digits)| {
                    let written = text.get(start..at)?;
                    let is = if digits {
                        number(written)
                    } else {
                        word(written)
                    };
                    Some(Unit { start, end: at, is })
                }));
                open = class.map(|digits| (at, digits));
            }
        }
    }
    units
}

fn number(written: &str) -> Is {
    match written.len() {
        0..=4 => written
            .parse()
            .map_or(Is::Other, |number| Is::Number(number, written.len())),
        8.. => Is::Long,
        _ => Is::Other,
    }
}

fn word(written: &str) -> Is {
    let lower = written.to_lowercase();
    let is_named = |month: &&str| {
        month.starts_with(&lower) && (lower.len() == 3 || lower.len() == month.len())
            || lower == "sept" && month.starts_with("sept")
    };
    let month = (1..).zip(MONTHS).find(|(_, month)| is_named(month));
    match (month, lower.as_str()) {
        (Some((month, _)), _) => Is::Month(month),
        (None, "st" | "nd" | "rd" | "th" | "of") => Is::Filler,
        (None, _) => Is::Other,
    }
}

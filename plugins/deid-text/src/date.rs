//! Dates moved by days, in the form in which they stand.

use jiff::civil::Date;

/// The English months, the first three letters being enough.
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

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A part of a written date.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word<'t> {
    Digits(&'t str),
    Letters(&'t str),
    Other(&'t str),
}

/// The date, `days` later, as it was written; `today` says the year where none stands. [`None`] if it is not understood, which a label may
/// then say.
pub(crate) fn shifted(value: &str, days: i32, today: Date) -> Option<String> {
    let (date, time) = split_time(value);
    let words = words(date);
    let moved = match weekday(&words) {
        Some(new) => new(days),
        None => Written::read(&words, today)?.moved(days)?,
    };
    Some(format!("{moved}{time}"))
}

/// The year that stands there, unless it says that somebody is older than 89 (45 CFR 164.514(b)(2)(i)(C)).
pub(crate) fn year(value: &str, today: Date) -> Option<String> {
    let (date, _) = split_time(value);
    let words = words(date);
    let written = Written::read(&words, today)?;
    let is_written = written.roles.contains(&Role::Year);
    (is_written && today.year() - written.date.year() < 90).then(|| written.date.year().to_string())
}

/// The time of day behind a date stays: what it tells of whom is little.
fn split_time(value: &str) -> (&str, &str) {
    let is_time = |at: usize| {
        let mut behind = value.get(at + 1..).unwrap_or_default().bytes();
        let two = [behind.next(), behind.next()];
        let colon = match two {
            [Some(_), Some(b':')] => Some(b':'),
            [Some(_), Some(_)] => behind.next(),
            _ => None,
        };
        two.first()
            .is_some_and(|first| first.is_some_and(|byte| byte.is_ascii_digit()))
            && colon == Some(b':')
    };
    let at = value
        .char_indices()
        .find(|(at, c)| matches!(c, 'T' | ' ') && is_time(*at));
    at.and_then(|(at, _)| value.split_at_checked(at))
        .unwrap_or((value, ""))
}

fn words(text: &str) -> Vec<Word<'_>> {
    let class = |c: char| (c.is_ascii_digit(), c.is_alphabetic());
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let of = class(first);
        let end = rest.find(|c| class(c) != of).unwrap_or(rest.len());
        let (word, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(match of {
            (true, _) => Word::Digits(word),
            (_, true) => Word::Letters(word),
            (false, false) => Word::Other(word),
        });
        rest = tail;
    }
    words
}

/// `list`'s word that `word` is, whole or by its first three letters or more: its index.
fn named(list: &[&str], word: &str) -> Option<usize> {
    let word = word.to_lowercase();
    let is_it = |name: &&str| {
        word.len() >= 3 && name.starts_with(&word) || word == "sept" && **name == *"september"
    };
    list.iter().position(is_it)
}

/// A day of the week alone.
fn weekday<'t>(words: &[Word<'t>]) -> Option<impl Fn(i32) -> String + use<'t>> {
    let [Word::Letters(word)] = *words else {
        return None;
    };
    let at = i32::try_from(named(&WEEKDAYS, word)?).ok()?;
    Some(move |days: i32| {
        let new = usize::try_from((at + days).rem_euclid(7)).unwrap_or_default();
        like(word, WEEKDAYS.get(new).copied().unwrap_or_default())
    })
}

/// What a number or a word of a date says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Year,
    /// Two digits of it.
    ShortYear,
    Month,
    MonthName,
    Day,
    /// `th` and the like, behind a day.
    Ordinal,
    /// Year, month and day in eight digits.
    Whole,
    Between,
}

/// A date, and how it is written.
struct Written<'w, 't> {
    words: &'w [Word<'t>],
    roles: Vec<Role>,
    date: Date,
}

impl<'w, 't> Written<'w, 't> {
    fn read(words: &'w [Word<'t>], today: Date) -> Option<Self> {
        let digits: Vec<&str> = words
            .iter()
            .filter_map(|word| match word {
                Word::Digits(digits) => Some(*digits),
                Word::Letters(_) | Word::Other(_) => None,
            })
            .collect();
        let month_name = words.iter().find_map(|word| match word {
            Word::Letters(word) => named(&MONTHS, word),
            Word::Digits(_) | Word::Other(_) => None,
        });
        let is_dotted = words.contains(&Word::Other("."));
        let of_digits: &[Role] = match (digits.as_slice(), month_name) {
            ([whole], None) if whole.len() == 8 => &[Role::Whole],
            ([year, _, _], None) if year.len() == 4 => &[Role::Year, Role::Month, Role::Day],
            ([first, second, last], None) => {
                let day_first = is_dotted || (number(first)? > 12 && number(second)? <= 12);
                match (day_first, last.len()) {
                    (true, 4) => &[Role::Day, Role::Month, Role::Year],
                    (true, 2) => &[Role::Day, Role::Month, Role::ShortYear],
                    (false, 4) => &[Role::Month, Role::Day, Role::Year],
                    (false, 2) => &[Role::Month, Role::Day, Role::ShortYear],
                    _ => return None,
                }
            }
            ([year, month], None) if year.len() == 4 && month.len() <= 2 => {
                &[Role::Year, Role::Month]
            }
            ([month, year], None) if year.len() == 4 && month.len() <= 2 => {
                &[Role::Month, Role::Year]
            }
            ([first, second], None) if first.len() <= 2 && second.len() <= 2 => {
                if is_dotted || (number(first)? > 12 && number(second)? <= 12) {
                    &[Role::Day, Role::Month]
                } else {
                    &[Role::Month, Role::Day]
                }
            }
            ([year], Some(_)) if year.len() == 4 => &[Role::Year],
            ([day], Some(_)) if day.len() <= 2 => &[Role::Day],
            ([day, year], Some(_)) if day.len() <= 2 && year.len() == 4 => &[Role::Day, Role::Year],
            ([day, year], Some(_)) if day.len() <= 2 && year.len() == 2 => {
                &[Role::Day, Role::ShortYear]
            }
            _ => return None,
        };
        let mut of_digits = of_digits.iter().copied();
        let (mut year, mut month, mut day) = (None, month_name.map(|at| at + 1), None);
        let mut roles: Vec<Role> = Vec::with_capacity(words.len());
        for word in words {
            let role = match word {
                Word::Other(_) => Role::Between,
                Word::Letters(word) if named(&MONTHS, word).is_some() => {
                    if roles.contains(&Role::MonthName) {
                        return None;
                    }
                    Role::MonthName
                }
                Word::Letters(word) if ordinal_of(word) && roles.last() == Some(&Role::Day) => {
                    Role::Ordinal
                }
                Word::Letters(word) if word.eq_ignore_ascii_case("of") => Role::Between,
                // A weekday beside a date, or what is none, would have to be moved as well.
                Word::Letters(_) => return None,
                Word::Digits(digits) => {
                    let role = of_digits.next()?;
                    let number = number(digits)?;
                    match role {
                        Role::Year => year = Some(number),
                        Role::ShortYear => year = Some(full_year(number, today)),
                        Role::Month => month = usize::try_from(number).ok(),
                        Role::Day => day = Some(number),
                        Role::Whole => {
                            year = Some(number / 10_000);
                            month = usize::try_from(number / 100 % 100).ok();
                            day = Some(number % 100);
                        }
                        Role::MonthName | Role::Ordinal | Role::Between => return None,
                    }
                    role
                }
            };
            roles.push(role);
        }
        // A month without a day counts as its middle: what is moved by less than half of one may stay.
        let (year, day) = (
            year.unwrap_or_else(|| i64::from(today.year())),
            day.unwrap_or(15),
        );
        let date = Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month?).ok()?,
            i8::try_from(day).ok()?,
        );
        let date = date.ok().filter(|date| date.year() >= 1_000)?;
        Some(Self { words, roles, date })
    }

    fn moved(&self, days: i32) -> Option<String> {
        let span = jiff::Span::new().try_days(days).ok()?;
        let date = self.date.checked_add(span).ok()?;
        let mut written = String::new();
        for (word, role) in self.words.iter().zip(&self.roles) {
            let (Word::Digits(text) | Word::Letters(text) | Word::Other(text)) = word;
            let (year, month, day) = (date.year(), date.month(), date.day());
            // As wide as it was, if it was filled up by a zero or is longer than its least.
            let wide =
                |number: i8| match text.starts_with('0') || text.len() == 2 && self.is_padded() {
                    true => format!("{number:02}"),
                    false => number.to_string(),
                };
            written.push_str(&match role {
                Role::Between => (*text).to_owned(),
                Role::Year => format!("{year:04}"),
                Role::ShortYear => format!("{:02}", year.rem_euclid(100)),
                Role::Month => wide(month),
                Role::Day => wide(day),
                Role::Whole => format!("{year:04}{month:02}{day:02}"),
                Role::Ordinal => ordinal(day, text),
                Role::MonthName => {
                    let name = usize::try_from(month - 1)
                        .ok()
                        .and_then(|at| MONTHS.get(at));
                    let name = name?;
                    let is_whole = MONTHS.contains(&text.to_lowercase().as_str());

                    like(text, if is_whole { name } else { name.get(..3)? })
                }
            });
        }
        Some(written)
    }

    /// Whether days and months below ten have a zero before them: if one shows it, or none could.
    fn is_padded(&self) -> bool {
        let mut short = self
            .words
            .iter()
            .zip(&self.roles)
            .filter_map(|(word, role)| match word {
                Word::Digits(text) if matches!(role, Role::Month | Role::Day) => Some(*text),
                Word::Digits(_) | Word::Letters(_) | Word::Other(_) => None,
            });
        short.all(|text| text.len() == 2) && !self.roles.contains(&Role::MonthName)
    }
}

fn number(digits: &str) -> Option<i64> {
    digits.parse().ok()
}

/// The year of two digits that lies at most ten years ahead.
fn full_year(short: i64, today: Date) -> i64 {
    let year = i64::from(today.year());
    let century = year - year.rem_euclid(100);
    let full = century + short;
    if full > year + 10 { full - 100 } else { full }
}

fn ordinal_of(word: &str) -> bool {
    ["st", "nd", "rd", "th"]
        .iter()
        .any(|end| word.eq_ignore_ascii_case(end))
}

fn ordinal(day: i8, as_in: &str) -> String {
    let end = match (day / 10, day % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    like(as_in, end)
}

/// `word` in capitals where `model` is.
pub(crate) fn like(model: &str, word: &str) -> String {
    let mut letters = model.chars().filter(|c| c.is_alphabetic());
    let first = letters.next().is_some_and(char::is_uppercase);
    let others = letters.clone().next().is_some() && letters.all(char::is_uppercase);
    match (first, others) {
        (true, true) => word.to_uppercase(),
        (true, false) => {
            let mut chars = word.chars();
            let head = chars.next().map(|c| c.to_uppercase().to_string());
            format!("{}{}", head.unwrap_or_default(), chars.as_str())
        }
        (false, _) => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 27);

    #[test]
    fn dates_move_and_keep_their_form() {
        for (value, days, moved) in [
            ("2024-03-01", -1, "2024-02-29"),
            ("2024-03-01T10:30:00Z", 1, "2024-03-02T10:30:00Z"),
            ("03/05/2024 8:15", 30, "04/04/2024 8:15"),
            ("3/5/24", 30, "4/4/24"),
            ("12/31/69", 1, "01/01/70"),
            ("25/12/2023", 10, "04/01/2024"),
            ("5.3.2024", -5, "29.2.2024"),
            ("10/9", 5, "10/14"),
            ("20240305", -5, "20240229"),
            ("March 5, 2024", 30, "April 4, 2024"),
            ("5 MAR 2024", 30, "4 APR 2024"),
            ("the", 1, ""),
            ("May 31st", 1, "June 1st"),
            ("Sept 30", 1, "Oct 1"),
            ("21st of march 2024", 1, "22nd of march 2024"),
            ("March 2024", 40, "April 2024"),
            ("2024-03", -40, "2024-02"),
            ("Tuesday", -2, "Sunday"),
            ("MON", 8, "TUESDAY"),
            ("Tuesday, March 5", 1, ""),
            ("2/30/2024", 1, ""),
            ("2024", 400, ""),
            ("yesterday", 1, ""),
            ("৫ মার্চ", 1, ""),
        ] {
            let is = shifted(value, days, TODAY).unwrap_or_default();
            assert_eq!(is, moved, "{value} {days}");
        }
    }

    #[test]
    fn years_alone_stay_unless_they_tell_an_age_over_89() {
        for (value, is) in [
            ("03/05/2024", Some("2024")),
            ("March 1938", Some("1938")),
            ("1936-05-01", None),
            ("3/5/24", None),
            ("March 5", None),
        ] {
            assert_eq!(year(value, TODAY).as_deref(), is, "{value}");
        }
    }
}

//! Dates as FHIR writes them (FHIR R4, section 2.24): shifted by days, or left as a year.

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day {
    /// Days since 1970-01-01.
    number: i64,
}

impl Day {
    pub(crate) const fn of_seconds(seconds: u64) -> Self {
        Self {
            number: (seconds / 86_400).cast_signed(),
        }
    }

    /// The first ten characters of `text`, if they are a day.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let is_day = (1..=12).contains(&month) && (1..=31).contains(&day);
        is_day.then(|| Self {
            number: days_from_civil(year, month, day),
        })
    }

    pub(crate) const fn plus(self, days: i64) -> Self {
        Self {
            number: self.number + days,
        }
    }

    pub(crate) const fn year(self) -> i64 {
        civil_from_days(self.number).0
    }

    /// `YYYY-MM-DD`.
    pub(crate) fn written(self) -> String {
        let (year, month, day) = civil_from_days(self.number);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (
        year + era * 400 + if month <= 2 { 1 } else { 0 },
        month,
        day,
    )
}

/// The date moved by `days`. Its time becomes midnight, its zone stays.
pub(crate) fn shifted(text: &str, days: i64) -> Option<String> {
    let day = Day::read(text)?.plus(days).written();
    let zone = match text.split_once('T').map(|(_, time)| time) {
        None => return Some(day),
        // As Microsoft's tool writes it.
        Some(time) if time.ends_with('Z') => "+00:00",
        Some(time) => time
            .rfind(['+', '-'])
            .and_then(|at| time.get(at..))
            .unwrap_or_default(),
    };
    Some(format!("{day}T00:00:00{zone}"))
}

/// Whether who was born then is older than 89 today (45 CFR 164.514(b)(2)(i)(C)); by the year, where that is all that is said.
pub(crate) fn is_over_89(text: &str, today: Day) -> bool {
    let born = Day::read(text).map(|born| born.plus(90 * 365 + 22));
    let year = text.get(..4).and_then(|year| year.parse::<i64>().ok());
    match (born, year) {
        (Some(ninety), _) => ninety <= today,
        (None, Some(year)) => today.year() - year > 89,
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_move_by_days_and_keep_their_form() {
        for (text, days, moved) in [
            ("2000-01-01", 41, "2000-02-11"),
            ("2024-03-01", -1, "2024-02-29"),
            ("1969-12-31", 1, "1970-01-01"),
            ("2000-01-01T01:01:01-01:00", 41, "2000-02-11T00:00:00-01:00"),
            ("2000-01-01T01:01:01.5Z", 0, "2000-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(shifted(text, days).as_deref(), Some(moved));
        }
        let today = Day::read("2026-11-26").unwrap();
        assert!(is_over_89("1936-11-20", today) && !is_over_89("1937-01-01", today));
        assert!(is_over_89("1936", today) && !is_over_89("1937", today));
    }
}

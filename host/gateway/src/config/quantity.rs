//! Keys whose values are numbers: counts, sizes, durations, dates, each held to its range.

use std::ops::RangeInclusive;
use std::time::Duration;

use nephron_model::Timestamp;
use toml::de::DeValue;

use super::reader::{Table, Value};
use super::units;

impl Table<'_> {
    /// A whole number, `default` where it is not given.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some(value) = self.value(key) else {
            return default;
        };
        let DeValue::Integer(integer) = value.raw() else {
            value.expected("a whole number");
            return default;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        value
            .within(number.ok(), &range, |number| number.to_string())
            .unwrap_or(default)
    }

    /// A size in bytes, `default` where it is not given.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let read = |value: Value<'_>| {
            let size = units::size(value.measure("a size")?);
            if size.is_none() {
                value.fault(
                    "must be a whole number and its unit B, KiB, MiB or GiB, such as \"64MiB\"",
                );
            }
            value.within(Some(size?), &range, |size| {
                format!("\"{}\"", units::show_size(*size))
            })
        };
        self.value(key).and_then(read).unwrap_or(default)
    }

    /// A length of time, `default` where it is not given.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let given = self.value(key).and_then(|value| value.duration(&range));
        given.unwrap_or(default)
    }

    /// True or false, false where it is not given: nothing unsafe is a default.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        value.raw().as_bool().unwrap_or_else(|| {
            value.expected("`true` or `false`");
            false
        })
    }
}

impl Value<'_> {
    /// A length of time.
    pub(super) fn duration(&self, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let duration = units::duration(self.measure("a duration")?);
        if duration.is_none() {
            self.fault("must be a whole number and its unit ms, s, m, h or d, such as \"250ms\"");
        }
        self.within(Some(duration?), range, |duration| {
            format!("\"{}\"", units::show_duration(*duration))
        })
    }

    /// The first moment of a day in UTC, written `2026-01-01`, in quotes or not.
    pub(super) fn date(&self) -> Option<Timestamp> {
        let text = match self.raw() {
            DeValue::Datetime(moment) if moment.time.is_none() => moment.to_string(),
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Datetime(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.expected("a date such as 2026-01-01");
                return None;
            }
        };
        let date = (text.len() == 10)
            .then(|| format!("{text}T00:00:00Z").parse().ok())
            .flatten();
        if date.is_none() {
            self.fault("must be a day of the calendar since 1970, written as in 2026-01-01");
        }
        date
    }

    /// The text of a quantity; a bare number gets told what it lacks.
    fn measure(&self, what: &str) -> Option<&str> {
        let text = self.raw().as_str();
        if text.is_none() {
            self.expected(&format!("{what} as text with its unit"));
        }
        text
    }

    fn within<T: PartialOrd>(
        &self,
        found: Option<T>,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let found = found.filter(|found| range.contains(found));
        if found.is_none() {
            self.fault(format_args!(
                "must be between {} and {}",
                show(range.start()),
                show(range.end())
            ));
        }
        found
    }
}

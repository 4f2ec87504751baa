//! A leap of the log's time: so long without an entry that either nothing happened, or the clock was put wrong. What is done
//! because something is old, and cannot be undone, asks a person then.

use std::time::Duration;

use nephron_model::{EntryKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::view::Term;
use crate::{Log, ReadError};

/// A log that is in use has an entry each day, and no gateway stands still for a month.
const LEAP: Duration = Duration::from_secs(31 * 86_400);
/// A day has begun elsewhere already, or has not ended yet.
const ZONES: Duration = Duration::from_secs(86_400);

/// A day, as a person says it: `YYYY-MM-DD` (ISO 8601).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Timestamp);

impl Day {
    /// Whether it is this day at `now`, somewhere on earth.
    #[must_use]
    pub fn is_at(self, now: Timestamp) -> bool {
        // To the end of the day, and a zone's day more or less.
        let end = self.0.plus(ZONES + ZONES);
        now.plus(ZONES) >= self.0 && now < end
    }
}

/// A text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a day, such as \"2032-12-04\"")]
pub struct InvalidDay;

impl std::str::FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let begins: Timestamp = format!("{text}T00:00:00Z")
            .parse()
            .map_err(|_| InvalidDay)?;
        // Whatever else a reader of times may take, a day is said in one way.
        (begins.day() == text)
            .then_some(Self(begins))
            .ok_or(InvalidDay)
    }
}

impl TryFrom<String> for Day {
    type Error = InvalidDay;

    fn try_from(text: String) -> Result<Self, InvalidDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.0.day()
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.day())
    }
}

/// Two times with nothing between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leap {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Leap {
    fn of(from: Timestamp, to: Timestamp) -> Option<Self> {
        (to.since(from) > LEAP).then_some(Self { from, to })
    }
}

impl Log {
    /// The first leap that it finds between the last time that payloads were pruned, when this was looked at, and `now`. Times never
    /// go back, so that whatever lies within a month holds none.
    pub(crate) fn leap(&self, now: Timestamp) -> Result<Option<Leap>, ReadError> {
        let pruned = self.sequences(&Term::Kind(EntryKind::PayloadsPruned))?;
        let first = pruned.last().copied().unwrap_or(0);
        let Some(last) = self.head().entries.checked_sub(1) else {
            return Ok(None);
        };
        let (first, last) = (self.placed(first)?, self.placed(last)?);
        match Leap::of(last.1, now) {
            Some(leap) => Ok(Some(leap)),
            None => self.leap_between(first, last),
        }
    }

    /// Halves what lies between two entries for as long as a half may hold a leap.
    fn leap_between(
        &self,
        from: (u64, Timestamp),
        to: (u64, Timestamp),
    ) -> Result<Option<Leap>, ReadError> {
        let Some(leap) = Leap::of(from.1, to.1) else {
            return Ok(None);
        };
        if to.0 <= from.0 + 1 {
            return Ok(Some(leap));
        }
        let middle = self.placed(from.0 + (to.0 - from.0) / 2)?;
        match self.leap_between(from, middle)? {
            Some(leap) => Ok(Some(leap)),
            None => self.leap_between(middle, to),
        }
    }

    /// An entry's sequence and time.
    fn placed(&self, sequence: u64) -> Result<(u64, Timestamp), ReadError> {
        let at = self.shared().journal.find(sequence)?;
        let entry = self.shared().journal.read(sequence, at)?;
        Ok((sequence, entry.header.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_said_in_one_way() {
        let day: Day = "2032-12-04".parse().unwrap();
        assert_eq!(day.to_string(), "2032-12-04");
        for text in [
            "2032-12-4",
            "2032-13-01",
            "2032-02-30",
            "04.12.2032",
            "2032-12-04T00",
            "",
        ] {
            assert_eq!(text.parse::<Day>(), Err(InvalidDay), "{text}");
        }
        for (now, expected) in [
            ("2032-12-02T23:59:59Z", false),
            ("2032-12-03T00:00:00Z", true),
            ("2032-12-04T12:00:00Z", true),
            ("2032-12-05T23:59:59Z", true),
            ("2032-12-06T00:00:00Z", false),
            ("2033-12-04T12:00:00Z", false),
        ] {
            assert_eq!(day.is_at(now.parse().unwrap()), expected, "{now}");
        }
    }
}

//! From when to when: what of a log is meant.

use nephron_audit::Header;
use nephron_model::Timestamp;

/// A period. A day stands for the whole of it, in UTC.
#[derive(clap::Args, Clone, Copy, Default)]
pub(super) struct Period {
    /// From then on: a day (2026-11-01), or a time (RFC 3339, in UTC, such as 2026-11-01T08:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = from)]
    pub(super) from: Option<Timestamp>,
    /// Until then: the day is included, the time is not
    #[arg(long, value_name = "TIME", value_parser = to)]
    pub(super) to: Option<Timestamp>,
}

impl Period {
    pub(super) fn holds(&self, header: &Header) -> bool {
        self.from.is_none_or(|from| header.time >= from)
            && self.to.is_none_or(|to| header.time < to)
    }
}

const RULE: &str = "expected a day, such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z";

fn from(text: &str) -> Result<Timestamp, &'static str> {
    let day = format!("{text}T00:00:00Z").parse();
    day.or_else(|_| text.parse()).map_err(|_| RULE)
}

fn to(text: &str) -> Result<Timestamp, &'static str> {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    let day: Result<Timestamp, _> = format!("{text}T00:00:00Z").parse();
    day.map(|day| day.plus(DAY))
        .or_else(|_| text.parse())
        .map_err(|_| RULE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_from_its_first_moment_to_its_last() {
        for (text, begins, ends) in [
            ("2026-11-01", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            ("2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            (
                "2026-11-01T08:00:00.5Z",
                "2026-11-01T08:00:00.5Z",
                "2026-11-01T08:00:00.5Z",
            ),
        ] {
            assert_eq!(from(text), Ok(begins.parse().unwrap()));
            assert_eq!(to(text), Ok(ends.parse().unwrap()));
        }
        for text in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-11",
            "2026-11-01T25:00:00Z",
        ] {
            assert_eq!((from(text), to(text)), (Err(RULE), Err(RULE)), "{text}");
        }
    }
}

//! Time, always passed in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A point in time: seconds since the Unix epoch (UTC, leap seconds not counted) and nanoseconds within the second.
///
/// Prints as RFC 3339 with nine decimals and `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: u64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The point `after` later than this one.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self::from_duration(Duration::new(self.seconds, self.nanoseconds) + after)
    }

    /// Whole seconds since `earlier`; none if that is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.seconds.saturating_sub(earlier.seconds))
    }

    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.seconds * 1000 + u64::from(self.nanoseconds / 1_000_000)
    }

    /// Its day in UTC, as `YYYY-MM-DD` (ISO 8601).
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take_while(|c| *c != 'T').collect()
    }

    fn from_duration(since_epoch: Duration) -> Self {
        Self {
            seconds: since_epoch.as_secs(),
            nanoseconds: since_epoch.subsec_nanos(),
        }
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::new(self.seconds, self.nanoseconds);
        humantime::format_rfc3339_nanos(time).fmt(f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = humantime::parse_rfc3339(text)?;
        Ok(Self::from_duration(
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        ))
    }
}

/// Where the time comes from. The process has one; tests pass a [`FixedClock`].
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_duration(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }
}

/// A clock that stands still until it is moved.
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// Stands at `seconds` since the Unix epoch.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        Self(AtomicU64::new(seconds))
    }

    /// Moves on by whole seconds.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: self.0.load(Ordering::Relaxed),
            nanoseconds: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_and_parses_as_rfc_3339() {
        let at = Timestamp {
            seconds: 1_795_305_802,
            nanoseconds: 5,
        };
        assert_eq!(at.to_string(), "2026-11-22T00:03:22.000000005Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert_eq!(at.day(), "2026-11-22");
        assert_eq!(
            at.plus(Duration::from_millis(1500)).to_string(),
            "2026-11-22T00:03:23.500000005Z"
        );
    }
}

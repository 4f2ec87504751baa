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
        Self::from_duration(self.since_epoch() + after)
    }

    /// Whole seconds since `earlier`; none if that is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.seconds.saturating_sub(earlier.seconds))
    }

    /// How long there is until `later`, to the nanosecond; nothing if that is the earlier one.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        later.since_epoch().saturating_sub(self.since_epoch())
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

    const fn since_epoch(self) -> Duration {
        Duration::new(self.seconds, self.nanoseconds)
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
        let time = SystemTime::UNIX_EPOCH + self.since_epoch();
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
    /// The time now, on the wall clock: whoever may set that one sets it forwards and back.
    fn now(&self) -> Timestamp;

    /// How long it has been since some moment that stays the same for as long as the process runs, on a clock that nobody sets: it
    /// never goes back, and goes on while the machine is suspended.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
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

    fn steady(&self) -> Duration {
        let rustix::time::Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(STEADY);
        // Neither is ever negative.
        let seconds = u64::try_from(tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(tv_nsec).unwrap_or_default())
    }
}

/// Linux's monotonic clock stands still while the machine is suspended, and this one does not (`clock_gettime(2)`); macOS's goes on.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// Clocks that stand still until they are moved.
pub struct FixedClock {
    wall: AtomicU64,
    steady: AtomicU64,
}

impl FixedClock {
    /// Stands at `seconds` since the Unix epoch.
    #[must_use]
    pub const fn at(seconds: u64) -> Self {
        Self {
            wall: AtomicU64::new(seconds),
            steady: AtomicU64::new(0),
        }
    }

    /// Time goes on by whole seconds.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(by.as_secs(), Ordering::Relaxed);
        self.steady.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// Somebody sets the wall clock to `seconds` since the Unix epoch. No time passes.
    pub fn set(&self, seconds: u64) {
        self.wall.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: self.wall.load(Ordering::Relaxed),
            nanoseconds: 0,
        }
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.steady.load(Ordering::Relaxed))
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
        let later = at.plus(Duration::from_millis(1500));
        assert_eq!(at.until(later), Duration::from_millis(1500));
        assert_eq!(later.until(at), Duration::ZERO);
    }

    #[test]
    fn a_wall_clock_is_set_back_while_time_goes_on() {
        let clock = FixedClock::at(1_000);
        clock.advance(Duration::from_secs(5));
        clock.set(500);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().seconds, 505);
        assert_eq!(clock.steady(), Duration::from_secs(10));
    }

    #[test]
    fn the_machines_steady_clock_goes_on_and_is_not_the_wall_clock() {
        let began = SystemClock.steady();
        while SystemClock.steady() == began {
            std::hint::spin_loop();
        }
        assert!(SystemClock.steady() > began);
        // It begins when the machine does, and not in 1970.
        assert!(SystemClock.steady().as_secs() < SystemClock.now().seconds);
    }
}

//! What came of the judgements of a canary and of the others lately, plugin by plugin: one that is slow or fails hides behind no other, and
//! what was good for long makes up for nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use nephron_model::Timestamp;

use super::Bounds;

/// Judgements before which nothing is concluded.
pub(super) const LEAST: u64 = 20;
/// What is counted together.
const SLOT: Duration = Duration::from_secs(10);
/// So many of these are looked at; where less than [`LEAST`] was judged in them, those before, too.
const SLOTS: u64 = 12;

/// What came of a judgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) has_failed: bool,
    /// How long it took; nothing where the plugin was not asked.
    pub(super) took: Option<Duration>,
}

/// Of each plugin, and of each kind of judgement that it makes.
#[derive(Debug, Default)]
pub(super) struct Judged(BTreeMap<String, BTreeMap<&'static str, Both>>);

#[derive(Debug, Default)]
struct Both {
    on_it: Lately,
    others: Lately,
}

/// What a canary goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    Failures,
    Time,
}

impl Beyond {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Time => "time",
        }
    }
}

impl Judged {
    /// Counts a judgement, and says what the canary goes beyond by it.
    pub(super) fn count(
        &mut self,
        (plugin, kind): (&str, &'static str),
        is_on_it: bool,
        came: Came,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Option<Beyond> {
        // Names are the configuration's, and few.
        if !self.0.contains_key(plugin) {
            self.0.insert(plugin.to_owned(), BTreeMap::new());
        }
        let both = self.0.get_mut(plugin)?.entry(kind).or_default();
        if !is_on_it {
            both.others.add(came, now);
            return None;
        }
        both.on_it.add(came, now);
        both.others.forget(now);
        both.beyond(bounds)
    }
}

impl Both {
    fn beyond(&self, bounds: &Bounds) -> Option<Beyond> {
        let Self { on_it, others } = self;
        if on_it.judged < LEAST {
            return None;
        }
        let has_baseline = others.judged >= LEAST;
        let elsewhere = if has_baseline { others.failures() } else { 0 };
        if on_it.failures().saturating_sub(elsewhere) > u64::from(bounds.failures) {
            return Some(Beyond::Failures);
        }
        // What both may be off by is never the canary's fault.
        let (takes, _) = on_it.slowest()?;
        let may_take = match others.slowest().filter(|_| has_baseline) {
            Some((_, at_most)) => at_most.saturating_mul(u64::from(bounds.time)) / 100,
            None => bounds.longest.saturating_mul(1_000),
        };
        (takes > may_take).then_some(Beyond::Time)
    }
}

/// Judgements of one plugin and kind, those of the last two minutes and at least the last twenty.
#[derive(Debug, Default)]
struct Lately {
    slots: VecDeque<Slot>,
    judged: u64,
    failed: u64,
    times: Times,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    judged: u64,
    failed: u64,
    times: Times,
}

impl Lately {
    fn add(&mut self, came: Came, now: Timestamp) {
        let number = slot(now);
        // A clock that is put back does not part what was counted.
        if self.slots.back().is_none_or(|last| last.number < number) {
            self.slots.push_back(Slot {
                number,
                judged: 0,
                failed: 0,
                times: Times::default(),
            });
        }
        if let Some(last) = self.slots.back_mut() {
            last.judged += 1;
            last.failed += u64::from(came.has_failed);
            self.judged += 1;
            self.failed += u64::from(came.has_failed);
            if let Some(took) = came.took {
                last.times.add(took);
                self.times.add(took);
            }
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = slot(now).saturating_sub(SLOTS - 1);
        while let Some(first) = self.slots.front() {
            if first.number >= oldest || self.judged.saturating_sub(first.judged) < LEAST {
                return;
            }
            let Some(first) = self.slots.pop_front() else {
                return;
            };
            self.judged -= first.judged;
            self.failed -= first.failed;
            self.times.remove(&first.times);
        }
    }

    /// In a hundred.
    fn failures(&self) -> u64 {
        let failures = self.failed.saturating_mul(100).checked_div(self.judged);
        failures.unwrap_or_default()
    }

    /// Between how many microseconds the slowest took that 95 in a hundred are no slower than.
    fn slowest(&self) -> Option<(u64, u64)> {
        self.times.percentile(95)
    }
}

fn slot(now: Timestamp) -> u64 {
    now.seconds / SLOT.as_secs()
}

/// How many took how long: four steps to a doubling, as whole microseconds.
#[derive(Debug, Default)]
struct Times(BTreeMap<u32, u64>);

impl Times {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        *self.0.entry(step(micros)).or_default() += 1;
    }

    fn remove(&mut self, others: &Self) {
        for (step, count) in &others.0 {
            if let Some(here) = self.0.get_mut(step) {
                *here = here.saturating_sub(*count);
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    fn percentile(&self, percent: u64) -> Option<(u64, u64)> {
        let all: u64 = self.0.values().sum();
        let rank = all.saturating_mul(percent).div_ceil(100);
        let mut met = 0_u64;
        let mut steps = self.0.iter();
        let (step, _) = steps.find(|(_, count)| {
            met += **count;
            met >= rank
        })?;
        Some((least_of(*step), least_of(step + 1).saturating_sub(1)))
    }
}

/// The step that so many microseconds are in.
fn step(micros: u64) -> u32 {
    let (log, quarter) = match micros.checked_ilog2() {
        Some(log @ 2..) => (log, (micros >> (log - 2)) & 3),
        Some(_) | None => (1, micros),
    };
    4 * (log - 1) + u32::try_from(quarter).unwrap_or_default()
}

/// The least microseconds in a step.
fn least_of(step: u32) -> u64 {
    let (log, quarter) = (step / 4 + 1, u64::from(step % 4));
    if log < 2 {
        return quarter;
    }
    let least = 1_u64.checked_shl(log - 2);
    let least = least.and_then(|scale| scale.checked_mul(4 + quarter));
    least.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        failures: 5,
        time: 200,
        longest: 1_000,
        divergence: None,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp {
            seconds: 1_795_305_802 + seconds,
            nanoseconds: 0,
        }
    }

    fn took(micros: u64) -> Came {
        Came {
            has_failed: false,
            took: Some(Duration::from_micros(micros)),
        }
    }

    const FAILED: Came = Came {
        has_failed: true,
        took: None,
    };

    /// Counts so many, and gives what it goes beyond at which.
    fn counts(
        judged: &mut Judged,
        of: (&str, &'static str),
        is_on_it: bool,
        (came, times): (Came, u64),
        now: Timestamp,
    ) -> Option<(u64, Beyond)> {
        (1..=times).find_map(|number| {
            let beyond = judged.count(of, is_on_it, came, &BOUNDS, now)?;
            Some((number, beyond))
        })
    }

    #[test]
    fn a_step_holds_what_is_said_to_be_in_it() {
        for micros in (0..5_000).chain([u64::MAX / 3, u64::MAX]) {
            let step = step(micros);
            let next = least_of(step + 1);
            assert!(least_of(step) <= micros, "{micros}");
            assert!(micros < next || next == u64::MAX, "{micros}");
        }
    }

    #[test]
    fn a_slow_decider_does_not_hide_behind_a_slower_detector() {
        let mut judged = Judged::default();
        let (decider, detector) = (("access", "decide"), ("finder", "detect"));
        for (of, micros) in [(decider, 100), (detector, 50_000)] {
            for is_on_it in [false, true] {
                let stops = counts(&mut judged, of, is_on_it, (took(micros), 100), at(0));
                assert_eq!(stops, None);
            }
        }
        // Some that are slower are nothing; one in ten is.
        assert_eq!(
            counts(&mut judged, decider, true, (took(1_000), 5), at(1)),
            None
        );
        let stops = counts(&mut judged, decider, true, (took(1_000), 10), at(1));
        assert_eq!(stops, Some((1, Beyond::Time)));
    }

    #[test]
    fn without_a_baseline_the_longest_that_may_be_counts() {
        let mut judged = Judged::default();
        let of = ("new", "decide");
        assert_eq!(
            counts(&mut judged, of, true, (took(900_000), 50), at(0)),
            None
        );
        let stops = counts(&mut judged, of, true, (took(2_000_000), 50), at(0));
        assert_eq!(stops, Some((3, Beyond::Time)));
    }

    #[test]
    fn what_was_good_for_long_makes_up_for_nothing() {
        let mut judged = Judged::default();
        let of = ("access", "decide");
        for second in 0..1_000 {
            assert_eq!(
                counts(&mut judged, of, true, (took(100), 100), at(second)),
                None
            );
            assert_eq!(
                counts(&mut judged, of, false, (took(100), 100), at(second)),
                None
            );
        }
        // Two minutes of a hundred a second are looked at.
        let (number, beyond) = counts(&mut judged, of, true, (FAILED, 100_000), at(1_000)).unwrap();
        assert_eq!(beyond, Beyond::Failures);
        assert!((500..900).contains(&number), "{number}");
    }

    #[test]
    fn where_little_is_asked_the_last_twenty_count() {
        let mut judged = Judged::default();
        let of = ("access", "decide");
        let failing = |minute: u64| (FAILED, 1, at(60 * minute));
        let stops = (0..).find_map(|minute| {
            let (came, times, now) = failing(minute);
            counts(&mut judged, of, true, (came, times), now).map(|(_, beyond)| (minute, beyond))
        });
        assert_eq!(stops, Some((LEAST - 1, Beyond::Failures)));
        let (slots, others) = {
            let both = &judged.0["access"]["decide"];
            (both.on_it.slots.len(), both.others.slots.len())
        };
        assert!(slots <= 20 && others == 0, "{slots}");
    }

    #[test]
    fn what_fails_elsewhere_too_is_not_its_fault() {
        let mut judged = Judged::default();
        let of = ("access", "decide");
        assert_eq!(counts(&mut judged, of, false, (FAILED, 100), at(0)), None);
        assert_eq!(counts(&mut judged, of, true, (FAILED, 100), at(0)), None);
        // Long after, elsewhere nothing fails any more.
        assert_eq!(
            counts(&mut judged, of, false, (took(100), 100), at(300)),
            None
        );
        let stops = counts(&mut judged, of, true, (FAILED, 100), at(300));
        assert_eq!(stops.map(|(_, beyond)| beyond), Some(Beyond::Failures));
    }
}

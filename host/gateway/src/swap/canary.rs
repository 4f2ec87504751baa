//! A candidate that serves some callers before it serves all, and stops by itself when it fails or is slow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nephron_engine::{PluginFailure, Verdict};
use nephron_model::{Digest, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Findings, Generation, Shadow};

mod judged;
use judged::{Came, Judged, LEAST};

/// When a canary stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Bounds {
    /// Percent of its judgements that may fail, beyond those that fail elsewhere: of each plugin and kind of judgement.
    pub(crate) failures: u8,
    /// Percent that these may take of what they take elsewhere, the slowest five in a hundred left out.
    pub(crate) time: u16,
    /// Milliseconds that they may take where less than twenty were made elsewhere.
    #[serde(default = "Bounds::longest")]
    pub(crate) longest: u64,
    /// Percent of its judgements that may come to something else than they would have where it does not serve; not looked at if absent.
    pub(crate) divergence: Option<u8>,
}

impl Bounds {
    /// Milliseconds, unless said otherwise.
    pub(crate) const LONGEST: u64 = 1_000;

    const fn longest() -> u64 {
        Self::LONGEST
    }
}

/// For how long comparisons with what serves the others are looked at, in steps.
const COMPARED_FOR: Duration = Duration::from_secs(120);
/// Between two of these steps.
const COMPARED_EVERY: Duration = Duration::from_secs(10);

/// What came of the judgements of one generation.
#[derive(Debug, Default)]
struct Tally {
    judged: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl Tally {
    fn add(&self, verdict: &Verdict) {
        self.judged.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(verdict.micros(), Ordering::Relaxed);
        self.failed
            .fetch_add(u64::from(verdict.answer.is_err()), Ordering::Relaxed);
    }

    fn get(&self) -> Counts {
        Counts {
            judged: self.judged.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

/// Judgements of one generation while a canary runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Counts {
    pub(crate) judged: u64,
    pub(crate) failed: u64,
    /// All of them together.
    pub(crate) micros: u64,
}

/// A canary, as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shown {
    pub(crate) generation: Digest,
    pub(crate) percent: u8,
    pub(crate) bounds: Bounds,
    pub(crate) canary: Counts,
    pub(crate) others: Counts,
    /// What its judgements would have come to where it does not serve, if there is a bound for that.
    pub(crate) beside: Option<Findings>,
    /// Why it stopped by itself, if it did.
    pub(crate) stopped: Option<String>,
}

/// A candidate on trial.
pub(crate) struct Canary {
    generation: Generation,
    percent: u8,
    bounds: Bounds,
    on_it: Tally,
    others: Tally,
    judged: Mutex<Judged>,
    /// What had been compared, and differed, at each step of late.
    steps: Mutex<VecDeque<(Timestamp, u64, u64)>>,
    /// What serves the others, asked beside it.
    mirror: Option<Arc<Shadow>>,
    /// Why it stopped by itself.
    why: OnceLock<String>,
}

impl Canary {
    pub(crate) fn new(
        generation: Generation,
        percent: u8,
        bounds: Bounds,
        mirror: Option<Arc<Shadow>>,
    ) -> Self {
        Self {
            generation,
            percent,
            bounds,
            on_it: Tally::default(),
            others: Tally::default(),
            judged: Mutex::default(),
            steps: Mutex::default(),
            mirror,
            why: OnceLock::new(),
        }
    }

    pub(crate) const fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(crate) const fn percent(&self) -> u8 {
        self.percent
    }

    /// Whether this caller's requests are served by it: always or never, as long as it runs.
    pub(super) fn serves(&self, tenant: &TenantId, caller: &str) -> bool {
        let name = format!(
            "{}\n{tenant}\n{caller}",
            self.generation.roster().generation()
        );
        let Digest(digest) = Digest::of(name.as_bytes());
        let number = digest
            .iter()
            .take(8)
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        self.why().is_none() && number % 100 < u64::from(self.percent)
    }

    /// What serves the others, asked beside it.
    pub(crate) const fn mirror(&self) -> Option<&Arc<Shadow>> {
        self.mirror.as_ref()
    }

    /// Whether what was compared of late differs more than it may.
    fn diverges(&self, now: Timestamp) -> bool {
        let (Some(mirror), Some(bound)) = (&self.mirror, self.bounds.divergence) else {
            return false;
        };
        let (compared, differing) = mirror.compared();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |last: &(Timestamp, _, _)| now.since(last.0) >= COMPARED_EVERY;
        if steps.back().is_none_or(is_due) {
            steps.push_back((now, compared, differing));
        }
        // The next step may be the first, once it is old enough and enough was compared since.
        while let Some((at, before, _)) = steps.get(1)
            && now.since(*at) > COMPARED_FOR
            && compared.saturating_sub(*before) >= LEAST
        {
            let _first = steps.pop_front();
        }
        // The first of all began at nothing.
        let (_, compared_before, differing_before) = match steps.front() {
            Some(first) if steps.len() > 1 => *first,
            Some(_) | None => (now, 0, 0),
        };
        let compared = compared.saturating_sub(compared_before);
        let differing = differing.saturating_sub(differing_before);
        compared >= LEAST && differing.saturating_mul(100) / compared > u64::from(bound)
    }

    /// Counts a judgement of a request that it serves, or of another. What goes beyond a bound stops it: the next request is served as
    /// before.
    fn count(
        &self,
        (plugin, kind): (&str, &'static str),
        is_on_it: bool,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        let tally = if is_on_it { &self.on_it } else { &self.others };
        tally.add(verdict);
        let was_asked = !matches!(verdict.answer, Err(PluginFailure::NotRun(_)));
        let took = Duration::from_micros(verdict.micros());
        let came = Came {
            has_failed: verdict.answer.is_err(),
            took: was_asked.then_some(took),
        };
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let beyond = judged.count((plugin, kind), is_on_it, came, &self.bounds, now);
        drop(judged);
        let why = match beyond {
            Some(beyond) => format!("{} of `{plugin}` ({kind})", beyond.as_str()),
            None if is_on_it && self.diverges(now) => "divergence".to_owned(),
            None => return,
        };
        let _first = self.why.set(why);
    }

    /// Why it stopped by itself, if it did.
    pub(crate) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    pub(crate) fn shown(&self) -> Shown {
        Shown {
            generation: self.generation.roster().generation(),
            percent: self.percent,
            bounds: self.bounds,
            canary: self.on_it.get(),
            others: self.others.get(),
            beside: self.mirror.as_ref().map(|mirror| mirror.findings()),
            stopped: self.why().map(str::to_owned),
        }
    }
}

/// Which side of a canary a request is on.
pub(crate) struct Side {
    pub(super) canary: Arc<Canary>,
    pub(super) is_on_it: bool,
}

impl Side {
    /// Counts a judgement of the request.
    pub(crate) fn count(
        &self,
        plugin: &str,
        kind: &'static str,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        self.canary
            .count((plugin, kind), self.is_on_it, verdict, now);
    }
}

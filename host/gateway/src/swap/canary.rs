//! A candidate that serves some callers before it serves all, and stops by itself when it fails or is slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nephron_engine::Verdict;
use nephron_model::{Digest, TenantId};
use serde::{Deserialize, Serialize};

use super::{Findings, Generation, Shadow};

/// When a canary stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Bounds {
    /// Percent of its judgements that may fail, beyond those that fail elsewhere.
    pub(crate) failures: u8,
    /// Percent that its judgements may take, on average, of what they take elsewhere.
    pub(crate) time: u16,
    /// Percent of its judgements that may come to something else than they would have where it does not serve; not looked at if absent.
    pub(crate) divergence: Option<u8>,
}

/// Judgements before which nothing is concluded.
const LEAST: u64 = 20;

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

impl Counts {
    fn failures(self) -> u64 {
        self.failed
            .saturating_mul(100)
            .checked_div(self.judged)
            .unwrap_or_default()
    }

    fn average(self) -> u64 {
        self.micros.checked_div(self.judged).unwrap_or_default()
    }
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
    /// What serves the others, asked beside it.
    mirror: Option<Arc<Shadow>>,
    /// Why it stopped by itself.
    why: OnceLock<&'static str>,
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

    /// Whether what was compared differs more than it may.
    fn diverges(&self) -> bool {
        let found = self.mirror.as_ref().and_then(|one| one.divergence(LEAST));
        found
            .zip(self.bounds.divergence)
            .is_some_and(|(found, bound)| found > u64::from(bound))
    }

    /// Counts a judgement of a request that it serves, or of another. What goes beyond a bound stops it: the next request is served as
    /// before.
    fn count(&self, is_on_it: bool, verdict: &Verdict) {
        if !is_on_it {
            self.others.add(verdict);
            return;
        }
        self.on_it.add(verdict);
        let (on_it, others) = (self.on_it.get(), self.others.get());
        if on_it.judged < LEAST {
            return;
        }
        let failures = on_it.failures().saturating_sub(others.failures());
        let may_take = others.average().saturating_mul(u64::from(self.bounds.time)) / 100;
        let why = if failures > u64::from(self.bounds.failures) {
            "failures"
        } else if others.judged >= LEAST && on_it.average() > may_take {
            "time"
        } else if self.diverges() {
            "divergence"
        } else {
            return;
        };
        let _first = self.why.set(why);
    }

    /// Why it stopped by itself, if it did.
    pub(crate) fn why(&self) -> Option<&'static str> {
        self.why.get().copied()
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
    pub(crate) fn count(&self, verdict: &Verdict) {
        self.canary.count(self.is_on_it, verdict);
    }
}

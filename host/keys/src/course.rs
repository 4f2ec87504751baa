//! What is known of the time: whether the wall clock went back, and when a deadline is on the clock that nobody sets.
//!
//! The wall clock is set by people and by NTP, the steady one by nobody; but that one means nothing to the next process. So a
//! deadline in memory is on both clocks, and the earlier counts; one that is kept is on the wall clock alone, and gets its place on the
//! steady one from the first moment, after the keys were opened, at which the wall clock had not gone back.
//!
//! It has gone back when it reads less than it has read before, here or in the log, whose times never do.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephron_model::{Draft, EntryKind, Space, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::KeyError;
use crate::lasting::{read, written};
use crate::tenant_key::{Inner, TenantKeys};

/// By how much the wall clock may read less than it has read: a leap second that is stepped, or a step by which NTP keeps a clock that
/// runs fast.
const TOLERANCE: Duration = Duration::from_secs(2);

/// One moment, on both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Duration,
}

impl Moment {
    pub(crate) fn now(inner: &Inner) -> Self {
        Self {
            wall: inner.clock.now(),
            steady: inner.clock.steady(),
        }
    }

    /// When `end` is on the steady clock, if the wall clock is right at this moment.
    pub(crate) fn deadline(self, end: Timestamp) -> Duration {
        self.steady.saturating_add(self.wall.until(end))
    }
}

/// What one tenant's keys have seen of the time since they were opened.
#[derive(Default)]
pub(crate) struct Course(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// The latest that the wall clock has read.
    latest: Option<Timestamp>,
    /// The first moment at which it had not gone back.
    first: Option<Moment>,
    /// Times of the log up to this are of a clock that ran ahead, as somebody said.
    wrong_until: Option<Timestamp>,
    /// Whether it was looked up if somebody has said so.
    is_told: bool,
}

/// What somebody said of the clock, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    wrong_until: String,
    taken: String,
}

/// Where it is kept. No grant has this id, nor a page of their index.
const KEY: &str = "clock";

impl Course {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first moment at which the wall clock had not gone back, if there was one.
    pub(crate) fn first(&self) -> Option<Moment> {
        self.lock().first
    }
}

impl Seen {
    fn take_note(&mut self, of: Option<Timestamp>) {
        self.latest = self.latest.max(of);
    }

    /// # Errors
    /// [`KeyError::ClockWentBack`].
    fn hold(&self, now: Moment) -> Result<(), KeyError> {
        match self.latest {
            Some(latest) if now.wall.plus(TOLERANCE) < latest => Err(KeyError::ClockWentBack {
                reads: now.wall,
                latest,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Inner {
    /// Looks at the clocks.
    ///
    /// # Errors
    /// [`KeyError::ClockWentBack`]; [`KeyError::Unavailable`] and others when it cannot be read what somebody said of that.
    pub(crate) fn look(&self) -> Result<Moment, KeyError> {
        let mut seen = self.course.lock();
        // Under the lock, so that it is held against none that was read after it.
        let now = Moment::now(self);
        let (logged, wrong_until) = (self.records.newest(), seen.wrong_until);
        seen.take_note(logged.filter(|logged| Some(*logged) > wrong_until));
        if seen.hold(now).is_err() && !seen.is_told {
            let told = self.records.read(Space::Grant, KEY.as_bytes())?;
            if let Some(told) = told.filter(|told| !told.is_empty()) {
                let Written { wrong_until, taken } = read(self, KEY, &told)?;
                let [wrong_until, taken] = [wrong_until, taken].map(|time| time.parse().ok());
                seen.wrong_until = wrong_until;
                seen.latest = seen.latest.filter(|latest| Some(*latest) > wrong_until);
                seen.take_note(taken);
            }
            seen.is_told = true;
        }
        seen.hold(now)?;
        seen.take_note(Some(now.wall));
        seen.first.get_or_insert(now);
        Ok(now)
    }
}

impl TenantKeys {
    /// Takes the wall clock as it is, though it has read a later time: that one was wrong. Lasting grants that are live are ended
    /// before, for nobody knows on which clock their deadlines were. `by` says in the entries who wants it, and `reason` why. Gives the
    /// time that was wrong; nothing if the clock has not gone back, and nothing is done.
    ///
    /// # Errors
    /// [`KeyError::NotRecorded`]: it is not taken, though grants may have ended; [`KeyError::Destroyed`]; [`KeyError::Unavailable`].
    pub async fn take_clock(&self, by: &str, reason: &str) -> Result<Option<Timestamp>, KeyError> {
        let inner = self.inner();
        let latest = match inner.look() {
            Ok(_) => return Ok(None),
            Err(KeyError::ClockWentBack { latest, .. }) => latest,
            Err(error) => return Err(error),
        };
        for grant in self.lasting()? {
            let ended = Draft::new(EntryKind::GrantEnded, "revoked")
                .fact("by", by)
                .fact("reason", reason);
            match self.revoke(&grant.id, ended).await {
                // It may have expired meanwhile.
                Ok(()) | Err(KeyError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let now = Moment::now(inner);
        let told = Written {
            wrong_until: latest.to_string(),
            taken: now.wall.to_string(),
        };
        let mut taken = Draft::new(EntryKind::ClockTaken, "taken")
            .fact("by", by)
            .fact("reason", reason)
            .fact("wrong-until", told.wrong_until.clone())
            .fact("reads", told.taken.clone());
        taken.records = vec![written(inner, KEY, &told)?];
        let _durable = inner.recorder.record(taken).await?;
        let mut seen = inner.course.lock();
        *seen = Seen {
            latest: Some(now.wall),
            first: Some(now),
            wrong_until: Some(latest),
            is_told: true,
        };
        Ok(Some(latest))
    }
}

#[cfg(test)]
mod tests;

//! How far the journal is durable, how far the view has followed, and who waits for what.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Head;
use crate::view::Damage;

/// The follower starts at once when it lags by this many entries.
const LAG: u64 = 1024;
/// It starts this long after the first entry it has not seen, so that a trickle does not cost a wake-up each.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Tide {
    state: Mutex<State>,
    risen: Condvar,
    followed: Condvar,
}

struct State {
    durable: Head,
    /// Entries that the view holds.
    viewed: u64,
    /// Somebody waits until the view holds this many entries.
    asked: u64,
    /// The follower waits for anything at all.
    idle: bool,
    /// The follower waits for more to come together.
    pausing: bool,
    closing: bool,
    /// The follower ended: the view gets no further.
    ended: bool,
    doubt: Option<Damage>,
}

/// What the follower does next.
pub(crate) enum Task {
    /// Follow up to this many entries.
    Follow(u64),
    /// Throw the view away: somebody read something from it that the journal contradicts.
    Rebuild(Damage),
    /// Everything is followed and no more will come.
    Finish,
}

impl Tide {
    pub(crate) const fn new(durable: Head, viewed: u64) -> Self {
        Self {
            state: Mutex::new(State {
                durable,
                viewed,
                asked: 0,
                idle: false,
                pausing: false,
                closing: false,
                ended: false,
                doubt: None,
            }),
            risen: Condvar::new(),
            followed: Condvar::new(),
        }
    }

    /// The last durable entry.
    pub(crate) fn durable(&self) -> Head {
        self.lock().durable
    }

    /// How many entries the view holds.
    pub(crate) fn viewed(&self) -> u64 {
        self.lock().viewed
    }

    /// More is durable.
    pub(crate) fn rise(&self, durable: Head) {
        let mut state = self.lock();
        state.durable = durable;
        let lag = durable.entries.saturating_sub(state.viewed);
        if state.idle || (state.pausing && lag >= LAG) {
            state.idle = false;
            state.pausing = false;
            self.risen.notify_one();
        }
    }

    /// Waits until there is something for the follower to do.
    pub(crate) fn next_task(&self) -> Task {
        let mut state = self.lock();
        loop {
            if let Some(damage) = state.doubt.take() {
                return Task::Rebuild(damage);
            }
            let durable = state.durable.entries;
            let lag = durable.saturating_sub(state.viewed);
            if lag >= LAG || state.asked > state.viewed || (lag > 0 && state.closing) {
                return Task::Follow(durable);
            }
            if state.closing {
                return Task::Finish;
            }
            if lag == 0 {
                state.idle = true;
                state = self
                    .risen
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle = false;
                continue;
            }
            state.pausing = true;
            let (again, waited) = self
                .risen
                .wait_timeout(state, PAUSE)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.pausing = false;
            if waited.timed_out() && state.doubt.is_none() {
                return Task::Follow(state.durable.entries);
            }
        }
    }

    /// The view holds `entries` entries.
    pub(crate) fn follow(&self, entries: u64) {
        self.lock().viewed = entries;
        self.followed.notify_all();
    }

    /// Somebody found the view wrong.
    pub(crate) fn doubt(&self, damage: Damage) {
        self.lock().doubt = Some(damage);
        self.risen.notify_one();
    }

    /// Waits until the view holds everything that is durable now. `None` if it will not.
    pub(crate) fn catch_up(&self) -> Option<u64> {
        let mut state = self.lock();
        let wanted = state.durable.entries;
        while state.viewed < wanted {
            if state.ended {
                return None;
            }
            state.asked = state.asked.max(wanted);
            self.risen.notify_one();
            state = self
                .followed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        (!state.ended).then_some(wanted)
    }

    /// No more entries will come: the follower finishes.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.risen.notify_one();
    }

    /// The follower ended.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        drop(state);
        self.followed.notify_all();
    }

    /// Waits until the follower has ended, but no longer than `patience`. Whether it has.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        let waited = self
            .followed
            .wait_timeout_while(self.lock(), patience, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

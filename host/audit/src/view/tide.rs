//! How far the journal is durable, how far the view has followed, and who waits for what.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Head;
use crate::seat::{Rest, Seat};
use crate::view::follow::Follower;
use crate::view::{Damage, ViewStanding};

/// The follower starts at once when it lags by this many entries.
const LAG: u64 = 1024;
/// It starts this long after the first entry it has not seen, so that a trickle does not cost a wake-up each.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a view rests for which there was no thread.
const SHORT_OF_THREADS: Duration = Duration::from_secs(1);

/// How long whoever waits for the view to follow sees it get no further; then the journal answers.
const STUCK: Duration = Duration::from_secs(30);

/// How long whoever asks a view that rests waits until it is open; then the journal answers.
const OPENING: Duration = Duration::from_secs(10);

pub(crate) struct Tide {
    /// Who has the view follow.
    pub(crate) seat: Seat<Follower>,
    state: Mutex<State>,
    /// For those who ask the view often: whether it is there without more ado.
    is_open: AtomicBool,
    rest: Rest,
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
    /// The view is closed, because nobody asks it.
    resting: bool,
    /// It was closed when the log was opened, and what it holds is supposed: all that there was, or all but the last few entries.
    supposed: bool,
    /// There is something for the follower to do, which rests or is about to.
    called: bool,
    /// How often the view could not be opened, or its store failed.
    refused: u64,
    /// The store failed last, and is not tried again before this moment, unless the log is closed.
    not_before: Option<Instant>,
    /// The view is begun anew, and still far behind.
    rebuilding: bool,
}

impl State {
    /// Entries that are durable and that the view does not hold.
    const fn lag(&self) -> u64 {
        self.durable.entries.saturating_sub(self.viewed)
    }

    /// The store failed so lately that there is no sense in trying it.
    fn is_too_soon(&self) -> bool {
        self.not_before
            .is_some_and(|moment| self.resting && !self.closing && Instant::now() < moment)
    }
}

/// What the follower does next.
pub(crate) enum Task {
    /// Follow up to this many entries.
    Follow(u64),
    /// Throw the view away: somebody read something from it that the journal contradicts.
    Rebuild(Damage),
    /// Everything is followed and no more will come.
    Finish,
    /// Nothing came for a good while.
    Rest,
}

impl Tide {
    pub(crate) fn new(durable: Head, viewed: u64, rest: Rest) -> Self {
        Self {
            seat: Seat::new("log-view"),
            is_open: AtomicBool::new(true),
            rest,
            state: Mutex::new(State {
                durable,
                viewed,
                asked: 0,
                idle: false,
                pausing: false,
                closing: false,
                ended: false,
                doubt: None,
                resting: false,
                supposed: false,
                called: false,
                refused: 0,
                not_before: None,
                rebuilding: false,
            }),
            risen: Condvar::new(),
            followed: Condvar::new(),
        }
    }

    /// Of a log whose view is closed until somebody asks.
    pub(crate) fn at_rest(durable: Head, rest: Rest) -> Self {
        let tide = Self::new(durable, durable.entries, rest);
        let mut state = tide.lock();
        (state.resting, state.supposed) = (true, true);
        drop(state);
        tide.is_open.store(false, Ordering::Release);
        tide
    }

    /// Of a log whose view could not be opened, and is tried again.
    pub(crate) fn refused(durable: Head, rest: Rest) -> Self {
        let tide = Self::new(durable, 0, rest);
        let mut state = tide.lock();
        (state.resting, state.not_before) = (true, Some(Instant::now()));
        drop(state);
        tide.is_open.store(false, Ordering::Release);
        tide
    }

    /// How the view stands.
    pub(crate) fn standing(&self) -> ViewStanding {
        let state = self.lock();
        match state.not_before {
            _ if state.rebuilding && !state.resting && !state.ended => ViewStanding::Rebuilding,
            Some(_) => ViewStanding::Missing,
            None if state.resting => ViewStanding::AtRest,
            None if state.ended => ViewStanding::Missing,
            None => ViewStanding::Open,
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
        let lag = state.lag();
        if state.resting {
            // What the view does not have yet is in the overlay: a few entries do not wake it.
            if lag >= LAG {
                self.call(state);
            }
            return;
        }
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
            let lag = state.lag();
            if lag >= LAG || state.asked > state.viewed || (lag > 0 && state.closing) {
                return Task::Follow(state.durable.entries);
            }
            if state.closing {
                return Task::Finish;
            }
            if lag == 0 {
                state.idle = true;
                let (again, waited) = self
                    .risen
                    .wait_timeout(state, self.rest.patience())
                    .unwrap_or_else(PoisonError::into_inner);
                state = again;
                // Whoever has something to do says that it is idle no more.
                if std::mem::take(&mut state.idle) && waited.timed_out() {
                    return Task::Rest;
                }
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
        let mut state = self.lock();
        state.viewed = entries;
        state.rebuilding = state.rebuilding && state.lag() >= LAG;
        drop(state);
        self.followed.notify_all();
    }

    /// The view is begun anew.
    pub(crate) fn begin_again(&self) {
        let mut state = self.lock();
        (state.viewed, state.rebuilding) = (0, true);
    }

    /// Somebody found the view wrong.
    pub(crate) fn doubt(&self, damage: Damage) {
        let mut state = self.lock();
        if damage == Damage::InWant && state.resting {
            // Said of one that was closed for it since.
            return;
        }
        state.doubt = Some(damage);
        self.call(state);
    }

    /// There is something for the follower to do, whether it waits or rests.
    fn call(&self, mut state: MutexGuard<'_, State>) {
        if state.is_too_soon() {
            return;
        }
        state.idle = false;
        let is_resting = state.resting;
        state.called = true;
        drop(state);
        self.risen.notify_one();
        if is_resting && self.seat.wake().is_err() {
            self.refuse(self.lock(), SHORT_OF_THREADS);
        }
    }

    /// The view is about to be closed until somebody asks, if there is still nothing to do.
    pub(crate) fn rest(&self) -> bool {
        let mut state = self.lock();
        state.resting = !state.closing && state.doubt.is_none() && state.lag() == 0;
        state.called = false;
        if state.resting {
            self.is_open.store(false, Ordering::Release);
        }
        state.resting
    }

    /// Whether the follower may go: its view is closed, and nobody called.
    pub(crate) fn goes(&self) -> bool {
        !self.lock().called
    }

    /// Whether the view is closed because nobody asks it.
    pub(crate) fn is_resting(&self) -> bool {
        self.lock().resting
    }

    /// Whether nothing is left to do but to end, with the view at rest.
    pub(crate) fn ends_at_rest(&self) -> bool {
        let state = self.lock();
        // A few entries that it does not have are no reason to open it now.
        state.resting && state.closing && state.lag() < LAG && state.doubt.is_none()
    }

    /// Whether nobody has seen yet what the view holds.
    pub(crate) fn is_supposed(&self) -> bool {
        self.lock().supposed
    }

    /// The view is open again.
    pub(crate) fn wake(&self) {
        let mut state = self.lock();
        (state.resting, state.supposed, state.not_before) = (false, false, None);
        drop(state);
        self.is_open.store(true, Ordering::Release);
        self.followed.notify_all();
    }

    /// The view cannot be opened, or its store cannot go on: it rests, and is not tried again before so long. Who waits for it asks
    /// the journal. Says whether it rests: of a log that is closing nobody comes back to it.
    pub(crate) fn lie_down(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        if state.closing {
            return false;
        }
        state.resting = true;
        if state.doubt == Some(Damage::InWant) {
            state.doubt = None;
        }
        self.is_open.store(false, Ordering::Release);
        self.refuse(state, pause);
        true
    }

    fn refuse(&self, mut state: MutexGuard<'_, State>, pause: Duration) {
        state.refused += 1;
        state.called = false;
        state.not_before = Some(Instant::now() + pause);
        drop(state);
        self.followed.notify_all();
    }

    /// Has a view tried again whose store failed, if it is time.
    pub(crate) fn try_again(&self) {
        let state = self.lock();
        if state.resting && state.not_before.is_some() && !state.ended && !state.called {
            self.call(state);
        }
    }

    /// Sees to it that a view that rests is opened, and waits for that, since somebody is about to ask it. Gives whether it rests no more.
    pub(crate) fn open_view(&self) -> bool {
        if self.is_open.load(Ordering::Acquire) {
            return true;
        }
        let mut state = self.lock();
        if state.is_too_soon() {
            return false;
        }
        let refused = state.refused;
        if state.resting && !state.ended && !state.called {
            self.call(state);
            state = self.lock();
        }
        let waits = |state: &mut State| state.resting && !state.ended && state.refused == refused;
        let waited = self.followed.wait_timeout_while(state, OPENING, waits);
        !waited.unwrap_or_else(PoisonError::into_inner).0.resting
    }

    /// Waits until the view holds everything that is durable now. `None` if it will not.
    pub(crate) fn catch_up(&self) -> Option<u64> {
        // How much it holds is known once it is open: it may have to be built again.
        if !self.open_view() {
            return None;
        }
        let mut state = self.lock();
        let (wanted, refused) = (state.durable.entries, state.refused);
        while state.viewed < wanted {
            if state.ended || state.refused != refused || state.is_too_soon() {
                return None;
            }
            if state.asked < wanted || (state.resting && !state.called) {
                state.asked = state.asked.max(wanted);
                self.call(state);
                state = self.lock();
                continue;
            }
            let viewed = state.viewed;
            let waited = self.followed.wait_timeout(state, STUCK);
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            if waited.timed_out() && state.viewed == viewed {
                return None;
            }
        }
        (!state.ended).then_some(wanted)
    }

    /// No more entries will come: the follower finishes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.call(state);
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

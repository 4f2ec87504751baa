//! What is under way on one connection, and how long it may be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::framing::Fault;

/// Kept by who reads the connection, by who answers on it, and by who ends it.
pub(crate) struct Pulse(Mutex<State>);

struct State {
    /// Requests that were handed to be answered.
    asked: usize,
    /// Of these, those whose answers are not written yet.
    in_flight: usize,
    /// Whether part of a head has come, which has a deadline of its own.
    has_head: bool,
    /// Since when neither is so.
    since: Instant,
    /// What is wrong with a request, and which, counted from 0.
    fault: Option<(usize, Fault)>,
}

/// How long what may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a head, and until there is any.
    pub(super) head: Duration,
    /// For a client that is still sending when it was answered and is hung up on: bytes that nobody reads would make its system
    /// throw the answer away (RFC 9112 §9.6).
    pub(super) linger: Duration,
}

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing was ever asked on it.
    Silent,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            asked: 0,
            in_flight: 0,
            has_head: false,
            since: Instant::now(),
            fault: None,
        })))
    }

    /// Whether part of a head has come, and not all of it.
    pub(super) fn head(&self, has_come: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.has_head, has_come) && !has_come {
            state.since = Instant::now();
        }
    }

    /// The request of that number, counted from 0, is refused for its head.
    pub(super) fn spoil(&self, number: usize, fault: Fault) {
        self.lock().fault = Some((number, fault));
    }

    /// A request is handed to be answered: what says so until it is, and what is wrong with its head.
    pub(super) fn begin(self: &Arc<Self>) -> (Asking, Option<Fault>) {
        let mut state = self.lock();
        let fault = state.fault.filter(|(number, _)| *number == state.asked);
        state.asked = state.asked.saturating_add(1);
        state.in_flight = state.in_flight.saturating_add(1);
        drop(state);
        (Asking(Arc::clone(self)), fault.map(|(_, fault)| fault))
    }

    /// Comes when the connection is to end. It is looked at as often as the shortest of the times, so that nothing need be told
    /// of each change.
    pub(super) async fn overdue(&self, times: Times) -> Overdue {
        loop {
            let now = Instant::now();
            let due = self.due(times);
            match due {
                Some((at, why)) if at <= now => return why,
                Some(_) | None => {}
            }
            let next = now + times.shortest();
            let next = due.map_or(next, |(at, _)| at.min(next));
            let _elapsed = tokio::time::timeout_at(next, std::future::pending::<()>()).await;
        }
    }

    fn due(&self, times: Times) -> Option<(Instant, Overdue)> {
        let state = self.lock();
        if state.in_flight > 0 || state.has_head {
            return None;
        }
        (state.asked == 0).then(|| (state.since + times.head, Overdue::Silent))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn shortest(self) -> Duration {
        self.head
    }
}

/// A request that is being answered.
pub(crate) struct Asking(Arc<Pulse>);

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.since = Instant::now();
    }
}

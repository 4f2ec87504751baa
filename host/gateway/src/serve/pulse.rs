//! What is under way on one connection, and how long it may be.

use std::collections::BTreeMap;
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
    /// Whether it was told to end once nothing is in flight.
    is_ending: bool,
    /// Parts of answers that wait to be written, by number, and since when. The client has yet to read what is before them.
    unread: BTreeMap<u64, Instant>,
    /// Parts so far.
    parts: u64,
    /// Whether a client is known not to read, while nothing waits that it could have read.
    is_forsaken: bool,
    /// What is wrong with a request, and which, counted from 0.
    fault: Option<(usize, Fault)>,
}

/// How long what may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a head, and until there is any.
    pub(super) head: Duration,
    /// For a client that takes nothing of an answer.
    pub(super) body: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// For a client that is still sending when it was answered and is hung up on: bytes that nobody reads would make its system
    /// throw the answer away (RFC 9112 §9.6).
    pub(super) linger: Duration,
}

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing was ever asked on it.
    Silent,
    /// Nothing was asked for a while: it is to end once nothing is in flight.
    Idle,
    /// It was told to end, and did not.
    Stuck,
    /// The client does not read an answer.
    Unread,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            asked: 0,
            in_flight: 0,
            has_head: false,
            since: Instant::now(),
            is_ending: false,
            unread: BTreeMap::new(),
            parts: 0,
            is_forsaken: false,
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
                Some((at, why)) if at <= now => {
                    if why == Overdue::Idle {
                        let mut state = self.lock();
                        (state.is_ending, state.since) = (true, now);
                    }
                    return why;
                }
                Some(_) | None => {}
            }
            let next = now + times.head.min(times.body).min(times.idle);
            let next = due.map_or(next, |(at, _)| at.min(next));
            let _elapsed = tokio::time::timeout_at(next, std::future::pending::<()>()).await;
        }
    }

    /// When the connection is to end, as far as can be told now.
    fn due(&self, times: Times) -> Option<(Instant, Overdue)> {
        let state = self.lock();
        if state.is_forsaken {
            return Some((state.since, Overdue::Unread));
        }
        // Numbers grow with time.
        if let Some(since) = state.unread.values().next() {
            return Some((*since + times.body, Overdue::Unread));
        }
        if state.in_flight > 0 || state.has_head {
            return None;
        }
        Some(match (state.is_ending, state.asked) {
            (true, _) => (state.since + times.head, Overdue::Stuck),
            (false, 0) => (state.since + times.head, Overdue::Silent),
            (false, _) => (state.since + times.idle, Overdue::Idle),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, until the last byte of its answer is written or given up.
pub(crate) struct Asking(Arc<Pulse>);

/// A part of an answer that waits to be written.
pub(crate) struct Unread {
    asking: Arc<Asking>,
    number: u64,
}

impl Asking {
    /// Its client is known not to read its answer: the connection is to end.
    pub(crate) fn forsake(&self) {
        self.0.lock().is_forsaken = true;
    }

    /// A part of its answer is ready: what says so until it is written.
    pub(crate) fn wait(self: &Arc<Self>) -> Unread {
        let mut state = self.0.lock();
        let number = state.parts;
        state.parts = number.saturating_add(1);
        state.unread.insert(number, Instant::now());
        drop(state);
        Unread {
            asking: Arc::clone(self),
            number,
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.asking.0.lock().unread.remove(&self.number);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        head: Duration::from_millis(20),
        body: Duration::from_millis(60),
        idle: Duration::from_millis(100),
        linger: Duration::ZERO,
    };

    #[tokio::test]
    async fn a_connection_ends_for_what_is_not_done_on_it() {
        let pulse = Pulse::new();
        let began = Instant::now();
        assert_eq!(pulse.overdue(TIMES).await, Overdue::Silent);
        assert!(began.elapsed() >= TIMES.head);

        let asking = Arc::new(pulse.begin().0);
        assert_eq!(pulse.due(TIMES), None, "a request is in flight");
        let part = asking.wait();
        let next = asking.wait();
        let began = Instant::now();
        drop(part);
        assert_eq!(pulse.overdue(TIMES).await, Overdue::Unread);
        assert!(began.elapsed() + Duration::from_millis(1) >= TIMES.body);
        drop((next, asking));

        pulse.head(true);
        assert_eq!(pulse.due(TIMES), None, "a head has a time of its own");
        pulse.head(false);
        let began = Instant::now();
        assert_eq!(pulse.overdue(TIMES).await, Overdue::Idle);
        assert!(began.elapsed() + Duration::from_millis(1) >= TIMES.idle);
        assert_eq!(pulse.overdue(TIMES).await, Overdue::Stuck);
    }

    #[tokio::test]
    async fn a_request_is_in_flight_until_the_last_part_of_its_answer_is_gone() {
        let pulse = Pulse::new();
        let asking = Arc::new(pulse.begin().0);
        let part = asking.wait();
        drop(asking);
        assert_eq!(pulse.lock().in_flight, 1);
        drop(part);
        assert_eq!(pulse.lock().in_flight, 0);
        assert!(pulse.lock().unread.is_empty());
    }
}

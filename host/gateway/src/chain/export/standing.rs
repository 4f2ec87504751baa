//! How one export stands with one log: how far behind it is, what went wrong, and when the next try is.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephron_model::Timestamp;
use tokio::time::Instant;

use super::cursor::Cursor;
use crate::config::Export;
use crate::courier::Trouble;
use crate::tenant::Tenant;

/// After the first failure it is tried again so soon, then ever later, and at least so often.
const SOONEST: Duration = Duration::from_secs(1);
const RAREST: Duration = Duration::from_secs(300);
/// The longest that a receiver may wish to be left alone.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// How often one entry is refused before it is set aside: a receiver may be wrong for a while.
const TRIES: u32 = 3;

/// How one export stands with one log.
#[derive(Default)]
pub(super) struct Standing {
    /// Held by whoever delivers.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What is known of it.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) cursor: Cursor,
    /// No entry before this one is news, beyond the cursor.
    looked: u64,
    /// When the oldest entry was made that it has not had, if there is one.
    pub(super) oldest: Option<Timestamp>,
    /// The most entries at once, where that is less than configured.
    fewer: Option<u64>,
    /// Tries in a row that failed.
    failures: u32,
    /// How often the entry at the cursor was refused by itself.
    refusals: u32,
    not_before: Option<Instant>,
    /// Why the last try failed, if it did.
    pub(super) trouble: Option<&'static str>,
    /// Somebody delivers, or is about to.
    pub(super) is_under_way: bool,
    /// It was said that it is late.
    pub(super) is_late: bool,
}

/// What becomes of a batch that is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Half of it is tried at once, to find the entry that is at fault.
    Fewer,
    /// It is one entry, and tried again later.
    Again,
    /// It is one entry, and was tried often enough.
    SetAside,
}

impl Standing {
    /// Waits until nobody else delivers.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stands_at(&self, cursor: Cursor) {
        self.state().cursor = cursor;
    }

    pub(super) fn looked(&self) -> u64 {
        self.state().looked
    }

    /// All entries before `until` were delivered, or are about exporting.
    pub(super) fn has_no_news(&self, until: u64) {
        let mut state = self.state();
        state.looked = until;
        state.oldest = None;
        state.trouble = None;
    }

    /// Whether a log of that many entries holds nothing that was not looked at.
    pub(super) fn is_at_rest(&self, entries: u64) -> bool {
        let state = self.state();
        entries > 0 && state.looked >= entries && state.trouble.is_none()
    }

    /// There are entries that were not delivered, the oldest made at that time.
    pub(super) fn has_news(&self, oldest: Timestamp) {
        self.state().oldest = Some(oldest);
    }

    /// The most entries at once, which is `batch` unless something went wrong lately.
    pub(super) fn most(&self, batch: u64) -> u64 {
        self.state().fewer.map_or(batch, |fewer| fewer.min(batch))
    }

    /// A batch has arrived.
    pub(super) fn delivered(&self, batch: u64) {
        let mut state = self.state();
        state.failures = 0;
        state.refusals = 0;
        state.not_before = None;
        state.oldest = None;
        state.fewer = state
            .fewer
            .map(|fewer| fewer.saturating_mul(2))
            .filter(|fewer| *fewer < batch);
        state.trouble = None;
    }

    /// A batch has not arrived. After a failure the next try is of one entry, so that what is recorded of many failures stays
    /// small. `wait` is how long answers wait for this export, if they do: then it is not left alone for longer.
    pub(super) fn failed(
        &self,
        trouble: &Trouble,
        range: &Range<u64>,
        wait: Option<Duration>,
    ) -> Next {
        let count = range.end.saturating_sub(range.start);
        let mut state = self.state();
        let wish = match trouble {
            Trouble::Refused(_) if count > 1 => {
                state.fewer = Some(count.div_ceil(2));
                return Next::Fewer;
            }
            Trouble::Refused(_) => {
                state.refusals = state.refusals.saturating_add(1);
                None
            }
            Trouble::Later(_, wish) => *wish,
            Trouble::NotRecorded(_) => None,
        };
        let next = if state.refusals >= TRIES && matches!(trouble, Trouble::Refused(_)) {
            state.refusals = 0;
            Next::SetAside
        } else {
            Next::Again
        };
        state.fewer = Some(1);
        let drawn = nephron_keys::random::bytes::<1>().map_or(0, |[byte]| byte);
        let most = wait.unwrap_or(RAREST).min(RAREST);
        let pause = pause(state.failures, wish, drawn, most);
        state.failures = state.failures.saturating_add(1);
        state.not_before = Some(Instant::now() + pause);
        next
    }

    /// Leaves it alone for a moment at least, whatever went wrong: whoever waits for it must not ask without end.
    pub(super) fn pause(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.not_before.is_none_or(|then| then <= now) {
            state.not_before = Some(now + SOONEST);
        }
    }

    /// Tells the operator, the first time.
    pub(super) fn tell(&self, tenant: &Tenant, export: &Export, why: &'static str) {
        let mut state = self.state();
        if state.trouble.replace(why) != Some(why) {
            tracing::warn!(
                tenant = %tenant.id(), export = export.name, code = why,
                "log entries cannot be delivered; they are kept and tried again"
            );
        }
    }

    /// When it may be tried again.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.state().not_before
    }
}

/// How long it is left alone after `failures` others in a row: a second, doubled each time, and at least as long as it wishes.
/// `drawn` makes it up to a quarter longer, so that many gateways do not come back together.
fn pause(failures: u32, wish: Option<Duration>, drawn: u8, most: Duration) -> Duration {
    let doubled = SOONEST.saturating_mul(1 << failures.min(16)).min(most);
    let wish = wish.unwrap_or_default().min(LONGEST_WISH);
    let pause = doubled.max(wish);
    pause + pause.mul_f64(f64::from(drawn) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(standing: &Standing, range: Range<u64>) -> Next {
        standing.failed(&Trouble::Refused("status-400".to_owned()), &range, None)
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_heed_what_the_receiver_wishes() {
        let seconds = Duration::from_secs;
        for (failures, wish, drawn, expected) in [
            (0, None, 0, 1_000),
            (1, None, 0, 2_000),
            (8, None, 0, 256_000),
            (9, None, 0, 300_000),
            (u32::MAX, None, 0, 300_000),
            (0, Some(seconds(7)), 0, 7_000),
            (5, Some(seconds(7)), 0, 32_000),
            (0, Some(seconds(86_400)), 0, 3_600_000),
            (1, None, 255, 2_498),
        ] {
            let paused = pause(failures, wish, drawn, RAREST);
            assert_eq!(paused.as_millis(), expected, "{failures} {wish:?} {drawn}");
        }
        assert_eq!(pause(9, None, 0, seconds(5)), seconds(5));
    }

    #[test]
    fn a_refused_batch_is_halved_until_the_entry_at_fault_is_alone_and_that_is_tried_three_times() {
        let standing = Standing::default();
        assert_eq!(standing.most(100), 100);
        assert_eq!(refused(&standing, 0..100), Next::Fewer);
        assert_eq!(standing.most(100), 50);
        assert_eq!(refused(&standing, 0..3), Next::Fewer);
        assert_eq!(standing.most(100), 2);
        assert!(standing.not_before().is_none());
        assert_eq!(refused(&standing, 0..1), Next::Again);
        assert!(standing.not_before().is_some());
        assert_eq!(refused(&standing, 0..1), Next::Again);
        assert_eq!(refused(&standing, 0..1), Next::SetAside);
        // The next one has as many tries.
        assert_eq!(refused(&standing, 1..2), Next::Again);
        assert_eq!(standing.most(100), 1);
        for expected in [2, 4, 8, 16, 32, 64, 100] {
            standing.delivered(100);
            assert_eq!(standing.most(100), expected);
        }
        assert!(standing.not_before().is_none());
    }

    #[test]
    fn what_may_go_later_is_never_set_aside() {
        let standing = Standing::default();
        for _ in 0..20 {
            let trouble = Trouble::Later("connection-failed", None);
            assert_eq!(standing.failed(&trouble, &(0..100), None), Next::Again);
        }
        assert_eq!(standing.most(100), 1);
    }
}

//! Work that may never come to its end: a call to a mount whose server has gone hangs in the kernel, and nothing can take it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

/// Does one thing at a time, on a thread that nobody waits for longer than he wants.
#[derive(Default)]
pub(super) struct Hand {
    is_busy: Arc<AtomicBool>,
}

/// Says that the hand is free, however its work ended.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Hand {
    /// What `work` gives; nothing if it takes longer than `limit`, or what was done before has not ended yet, or there is no thread. The
    /// thread is none of the runtime's, which would wait for it when it stops.
    pub(super) async fn does<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let busy = Busy(Arc::clone(&self.is_busy));
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("anchor".to_owned());
        let thread = thread.spawn(move || {
            let done = work();
            drop(busy);
            // Nobody may be waiting any more.
            drop(tell.send(done));
        });
        drop(thread.ok()?);
        tokio::time::timeout(limit, told).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_hangs_is_left_and_not_begun_twice_and_holds_up_nobody() {
        let (hung, other) = (Hand::default(), Hand::default());
        let (free, until_freed) = mpsc::channel::<()>();
        let hangs = hung.does(SOON, move || until_freed.recv().is_ok());
        let (hangs, goes) = tokio::join!(hangs, other.does(LATE, || 7));
        assert_eq!((hangs, goes), (None, Some(7)));
        // It still hangs: at once, and without another thread.
        assert_eq!(hung.does(LATE, || 7).await, None);
        free.send(()).unwrap();
        while hung.is_busy.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(hung.does(LATE, || 7).await, Some(7));
    }

    #[tokio::test]
    async fn work_that_panics_leaves_the_hand_free() {
        let hand = Hand::default();
        assert_eq!(hand.does(LATE, || assert_eq!(1, 2)).await, None);
        assert_eq!(hand.does(LATE, || 7).await, Some(7));
    }
}

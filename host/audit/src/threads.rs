//! Work that several threads do and one takes, in order.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};

/// Results that a thread may have ready before they are taken: each takes memory.
const AHEAD: usize = 1;

/// As many as the machine runs at once.
pub(crate) fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Does `work` on all `items` with so many threads, and hands each with its result to `take`, in order. With one thread, the
/// caller does it all himself.
pub(crate) fn in_order<T: Sync, R: Send>(
    threads: NonZeroUsize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(&T, R),
) {
    let threads = match threads.get().min(items.len()) {
        1 => 0,
        several => several,
    };
    std::thread::scope(|scope| {
        let work = &work;
        // The first of n threads does the items 0, n, 2n and so on, and is asked for them in this order.
        let workers: Vec<Receiver<R>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(AHEAD);
                let mut items = items.iter().skip(first).step_by(threads);
                let thread = std::thread::Builder::new().name("log-check".to_owned());
                let spawned = thread.spawn_scoped(scope, move || {
                    // Until all is done, or nobody asks any more.
                    items.all(|item| sender.send(work(item)).is_ok());
                });
                // What was asked of a thread that could not be started is done by whoever asks.
                drop(spawned);
                receiver
            })
            .collect();
        let mut workers = workers.iter().cycle();
        for item in items {
            let done = workers.next().and_then(|worker| worker.recv().ok());
            take(item, done.unwrap_or_else(|| work(item)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        let items: Vec<u64> = (0..100).collect();
        let squares: Vec<u64> = items.iter().map(|item| item * item).collect();
        for threads in [1, 2, 3, 7, 200] {
            let mut taken = Vec::new();
            let threads = NonZeroUsize::new(threads).unwrap();
            in_order(threads, &items, |item| item * item, |_, it| taken.push(it));
            assert_eq!(taken, squares, "{threads} threads");
        }
    }
}

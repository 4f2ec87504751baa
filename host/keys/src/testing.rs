//! A log in memory, for tests of this crate and of those that use it. It keeps nothing and proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nephron_model::{
    Commit, Digest, Draft, NotRecorded, Recorded, Recorder, Records, RecordsError, Space, Timestamp,
};

/// Implements [`Recorder`] and [`Records`]; clones are the same log.
#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    drafts: Vec<Draft>,
    records: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    /// Entries queued while the log is held, and who waits for them.
    waiting: Vec<(Draft, Resolve)>,
    holding: bool,
    refuses_from: Option<usize>,
    unreadable: bool,
    newest: Option<Timestamp>,
}

/// Resolves a commit.
type Resolve = Box<dyn FnOnce(Result<Recorded, NotRecorded>) + Send>;

impl MemoryLog {
    /// An empty log that takes everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on refuses the entry at `sequence` (counted from 0) and all after it, as a full disk does.
    pub fn refuse_from(&self, sequence: usize) {
        self.state().refuses_from = Some(sequence);
    }

    /// Takes everything again.
    pub fn accept(&self) {
        self.state().refuses_from = None;
    }

    /// From now on says of every record that it cannot be read, or stops doing so.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// From now on has an entry of that time, and none that is later. Its entries have none of their own.
    pub fn set_newest(&self, time: Timestamp) {
        self.state().newest = Some(time);
    }

    /// From now on queues entries and makes none durable until [`release`](Self::release).
    pub fn hold(&self) {
        self.state().holding = true;
    }

    /// Makes durable what was queued, in order.
    pub fn release(&self) {
        let waiting = {
            let mut state = self.state();
            state.holding = false;
            std::mem::take(&mut state.waiting)
        };
        for (draft, resolve) in waiting {
            let result = self.state().commit(draft);
            resolve(result);
        }
    }

    /// Never makes durable the entry that is `place` in the queue while the log is held: its recorder died.
    pub fn lose_waiting(&self, place: usize) {
        let lost = self.state().waiting.remove(place);
        (lost.1)(Err(NotRecorded::Closed));
    }

    /// How many entries wait for [`release`](Self::release).
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// What is durable, in order.
    #[must_use]
    pub fn drafts(&self) -> Vec<Draft> {
        self.state().drafts.clone()
    }

    /// Every record that is durable, empty ones too.
    #[must_use]
    pub fn records(&self) -> BTreeMap<(Space, Vec<u8>), Vec<u8>> {
        self.state().records.clone()
    }

    /// Puts a record in place, as an intruder with access to the disk would.
    pub fn forge(&self, space: Space, key: &[u8], value: &[u8]) {
        self.state()
            .records
            .insert((space, key.to_vec()), value.to_vec());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, draft: Draft) -> Result<Recorded, NotRecorded> {
        let sequence = self.drafts.len();
        if self.refuses_from.is_some_and(|from| sequence >= from) {
            return Err(NotRecorded::Storage("no space left on device".to_owned()));
        }
        for record in &draft.records {
            let place = (record.space, record.key.clone());
            self.records.insert(place, record.value.clone());
        }
        self.drafts.push(draft);
        let sequence = sequence as u64;
        Ok(Recorded::attest(
            sequence,
            Digest::of(&sequence.to_be_bytes()),
        ))
    }
}

impl Recorder for MemoryLog {
    fn record(&self, draft: Draft) -> Commit {
        let (sender, commit) = Commit::pending();
        let resolve = move |result| {
            // Nobody waits any more; the entry stands all the same.
            let _gone = sender.send(result).is_err();
        };
        let mut state = self.state();
        if state.holding {
            state.waiting.push((draft, Box::new(resolve)));
        } else {
            resolve(state.commit(draft));
        }
        commit
    }
}

impl Records for MemoryLog {
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        let state = self.state();
        if state.unreadable {
            return Err(RecordsError {
                reason: "told not to be readable".to_owned(),
            });
        }
        Ok(state.records.get(&(space, key.to_vec())).cloned())
    }

    fn newest(&self) -> Option<Timestamp> {
        self.state().newest
    }
}

//! The queue before the writer: gives every entry its place and its link in the chain, in the order of arrival.
//!
//! The encoding is done by the thread that records, under the lock that keeps the order, so that the writer has nothing
//! to do between two syncs but to write. The queue is bounded in entries and bytes; a full one holds up its callers.
//!
//! An entry that somebody waits for is written at once, with everything queued before it. One that is merely noted is
//! written with the next of those, or [`LINGER`] later: a request notes many entries and waits for few, and each sync
//! costs more than all of its other recording.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephron_model::{
    Clock, Commit, Digest, Draft, EntryKind, EventId, NotRecorded, Record, Recorded, TenantId,
    Timestamp,
};

use crate::entry::{Header, Unplaced};
use crate::frame::{Frame, MAX_HEADER, encode_records};
use crate::overlay::RecordKey;
use crate::seat::{Ended, Rest, Seat};
use crate::story::ENTRIES;
use crate::writer::Writer;
use crate::{Head, Options};

/// How long entries that nobody waits for may lie in the queue.
const LINGER: Duration = Duration::from_millis(10);

type Sender = oneshot::Sender<Result<Recorded, NotRecorded>>;

/// An entry on its way to the disk.
pub(crate) struct Pending {
    pub(crate) sequence: u64,
    pub(crate) hash: Digest,
    /// Bytes of its frame.
    pub(crate) length: usize,
    pub(crate) records: Vec<RecordKey>,
    pub(crate) sender: Sender,
}

/// What is written and synced at once: everything that was queued while the last group was on its way.
#[derive(Default)]
pub(crate) struct Group {
    /// The frames, one after the other.
    pub(crate) frames: Vec<u8>,
    pub(crate) entries: Vec<Pending>,
    /// How many of them somebody waits for.
    pub(crate) awaited: usize,
}

pub(crate) struct Intake {
    /// Who writes what is queued.
    pub(crate) seat: Seat<Writer>,
    state: Mutex<State>,
    queued: Condvar,
    room: Condvar,
    tenant: TenantId,
    clock: Arc<dyn Clock>,
    queue_entries: usize,
    queue_bytes: usize,
    frame_limit: usize,
    rest: Rest,
}

struct State {
    group: Group,
    requests: Requests,
    /// The last entry that was given a place; it need not be durable.
    head: Head,
    time: Timestamp,
    standing: Standing,
    writer: Waiting,
    callers_wait: usize,
}

/// What the writer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it writes.
    Not,
    /// Any entry.
    ForAny,
    /// An entry that is waited for; others are queued.
    ForAwaited,
    /// Somebody who begins it again.
    AtRest,
}

/// What there is to write.
pub(crate) enum Taken {
    Group(Group),
    /// Nothing for a good while; the empty group comes back.
    Nothing(Group),
    /// Nothing ever more.
    End,
}

enum Standing {
    Open,
    Closed,
    Poisoned(String),
}

impl Intake {
    pub(crate) fn new(
        tenant: TenantId,
        clock: Arc<dyn Clock>,
        options: &Options,
        head: Head,
        time: Timestamp,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                group: Group::default(),
                requests: Requests::default(),
                head,
                time,
                standing: Standing::Open,
                writer: Waiting::Not,
                callers_wait: 0,
            }),
            seat: Seat::new("log-writer"),
            queued: Condvar::new(),
            room: Condvar::new(),
            tenant,
            clock,
            queue_entries: options.queue_entries.max(1),
            queue_bytes: options.queue_bytes,
            frame_limit: options.frame_limit,
            rest: Rest::after(options.rest_after),
        }
    }

    /// Queues `draft`, which somebody waits for; waits while the queue is full.
    pub(crate) fn record(&self, draft: Draft) -> Commit {
        self.queue(draft, true)
    }

    /// Queues `draft`, which nobody waits for; waits while the queue is full.
    pub(crate) fn note(&self, draft: Draft) -> Commit {
        self.queue(draft, false)
    }

    fn queue(&self, mut draft: Draft, is_awaited: bool) -> Commit {
        let (sender, commit) = Commit::pending();
        let mut header = Header::of_draft(&mut draft, &self.tenant);
        let payload = draft.payload.unwrap_or_default();
        let Some(records) = encode_records(&draft.records) else {
            refuse(sender, self.too_large(usize::MAX));
            return commit;
        };
        header.records = (!draft.records.is_empty()).then(|| Digest::of(&records));
        let body = Frame::length_of(payload.len().saturating_add(records.len()));
        if body > self.frame_limit {
            refuse(sender, self.too_large(body));
            return commit;
        }
        let keys = draft.records.into_iter().map(
            |Record {
                 space,
                 key,
                 value: _,
             }| (space, key),
        );
        let keys = keys.collect();

        // Everything that does not need its place is done before its turn: one thread at a time holds the lock.
        let (kind, request) = (header.kind, header.request);
        let mut encoded = Unplaced::of(&header);

        let mut state = self.wait_for_room(body);
        // The end of a request says how many of its entries stand before it, which is known when it is its turn.
        if kind == EntryKind::RequestClosed
            && let Some(entries) = state.requests.entries(request)
        {
            header.counts.insert(ENTRIES.to_owned(), entries);
            encoded = Unplaced::of(&header);
        }
        let Some(unplaced) = encoded else {
            let error = NotRecorded::Storage("the entry cannot be encoded".to_owned());
            refuse(sender, error);
            return commit;
        };
        match &state.standing {
            Standing::Open => {}
            Standing::Closed => {
                refuse(sender, NotRecorded::Closed);
                return commit;
            }
            Standing::Poisoned(reason) => {
                refuse(sender, NotRecorded::Storage(reason.clone()));
                return commit;
            }
        }
        let time = self.clock.now().max(state.time);
        match state.push(unplaced, time, &payload, &records, self.frame_limit) {
            Ok((head, length)) => state.group.entries.push(Pending {
                sequence: head.entries - 1,
                hash: head.hash,
                length,
                records: keys,
                sender,
            }),
            Err(error) => {
                refuse(sender, error);
                return commit;
            }
        }
        state.requests.meet(kind, request);
        state.group.awaited += usize::from(is_awaited);
        let is_at_rest = state.writer == Waiting::AtRest;
        self.wake_writer(&mut state);
        drop(state);
        if is_at_rest && let Err(error) = self.seat.wake() {
            self.poison(&format!("the log's writer cannot be begun: {error}"));
        }
        commit
    }

    /// Wakes the writer, if what it waits for is there. One at rest is begun by whoever queued the first entry.
    fn wake_writer(&self, state: &mut State) {
        let is_there = match state.writer {
            Waiting::Not => false,
            Waiting::ForAny | Waiting::AtRest => true,
            Waiting::ForAwaited => state.group.awaited > 0,
        };
        if is_there {
            state.writer = Waiting::Not;
            self.queued.notify_one();
        }
    }

    /// The writer goes to rest, if there is still nothing.
    pub(crate) fn rest(&self) -> bool {
        let mut state = self.lock();
        let is_idle = state.group.entries.is_empty() && matches!(state.standing, Standing::Open);
        if is_idle {
            state.writer = Waiting::AtRest;
        }
        is_idle
    }

    /// Takes everything that is queued and leaves `empty` in its place; waits while nothing is, and [`LINGER`] where
    /// nothing is waited for.
    pub(crate) fn take(&self, mut empty: Group) -> Taken {
        let mut state = self.lock();
        if state.group.entries.is_empty() && matches!(state.standing, Standing::Open) {
            state.writer = Waiting::ForAny;
            (state, _) = self
                .queued
                .wait_timeout_while(state, self.rest.patience(), |state| {
                    state.group.entries.is_empty() && matches!(state.standing, Standing::Open)
                })
                .unwrap_or_else(PoisonError::into_inner);
            state.writer = Waiting::Not;
        }
        if state.group.entries.is_empty() {
            return match state.standing {
                Standing::Open => Taken::Nothing(empty),
                Standing::Closed | Standing::Poisoned(_) => Taken::End,
            };
        }
        if state.group.awaited == 0 {
            state.writer = Waiting::ForAwaited;
            (state, _) = self
                .queued
                .wait_timeout_while(state, LINGER, |state| {
                    state.group.awaited == 0 && matches!(state.standing, Standing::Open)
                })
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.writer = Waiting::Not;
        std::mem::swap(&mut state.group, &mut empty);
        if state.callers_wait > 0 {
            self.room.notify_all();
        }
        Taken::Group(empty)
    }

    /// Takes no more entries; what is queued is still written.
    fn close(&self) {
        let mut state = self.lock();
        if matches!(state.standing, Standing::Open) {
            state.standing = Standing::Closed;
        }
        self.queued.notify_one();
        self.room.notify_all();
    }

    /// Takes no more entries, and waits until what is queued is written.
    pub(crate) fn end(&self) -> Ended<Writer> {
        self.close();
        // Whoever queued the first entry for a writer at rest may not have begun it yet.
        if !self.lock().group.entries.is_empty()
            && let Err(error) = self.seat.wake()
        {
            self.poison(&format!("the log's writer cannot be begun: {error}"));
        }
        self.seat.end()
    }

    /// Takes no more entries, and refuses what is queued.
    pub(crate) fn poison(&self, reason: &str) {
        let mut state = self.lock();
        state.standing = Standing::Poisoned(reason.to_owned());
        let group = std::mem::take(&mut state.group);
        drop(state);
        self.queued.notify_one();
        self.room.notify_all();
        for entry in group.entries {
            refuse(entry.sender, NotRecorded::Storage(reason.to_owned()));
        }
    }

    /// The log's time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time of the last entry that was given a place.
    pub(crate) fn newest(&self) -> Timestamp {
        self.lock().time
    }

    /// Why nothing more is taken, if the disk is the reason.
    pub(crate) fn poisoned(&self) -> Option<String> {
        match &self.lock().standing {
            Standing::Poisoned(reason) => Some(reason.clone()),
            Standing::Open | Standing::Closed => None,
        }
    }

    fn wait_for_room(&self, body: usize) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let group = &state.group;
            let has_room = group.entries.len() < self.queue_entries
                && group.frames.len().saturating_add(body) <= self.queue_bytes;
            // An entry larger than the whole queue waits until the queue is empty.
            if has_room || group.entries.is_empty() || !matches!(state.standing, Standing::Open) {
                return state;
            }
            // Whoever waits for room waits for what takes it.
            state.group.awaited += 1;
            self.wake_writer(&mut state);
            state.callers_wait += 1;
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.callers_wait -= 1;
        }
    }

    fn too_large(&self, size: usize) -> NotRecorded {
        NotRecorded::TooLarge {
            size,
            limit: self.frame_limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that are open, and how many entries each has had since. Only what was given a place counts: what was refused has none.
#[derive(Default)]
struct Requests(HashMap<EventId, u64>);

impl Requests {
    /// Requests that are counted at once. A host that opened more and closed none has other troubles than a count.
    const MOST: usize = 1 << 16;

    fn meet(&mut self, kind: EntryKind, request: Option<EventId>) {
        let Some(request) = request else {
            return;
        };
        if kind == EntryKind::RequestOpened {
            if self.0.len() < Self::MOST {
                self.0.insert(request, 0);
            }
        } else if kind == EntryKind::RequestClosed {
            self.0.remove(&request);
        } else if let Some(entries) = self.0.get_mut(&request) {
            *entries += 1;
        }
    }

    /// Entries of a request since it was opened. Nothing of one that this process has not opened.
    fn entries(&self, request: Option<EventId>) -> Option<u64> {
        self.0.get(&request?).copied()
    }
}

impl State {
    /// Appends the frame and moves the head on, or changes nothing. Returns the new head and the bytes of the frame.
    fn push(
        &mut self,
        unplaced: Unplaced,
        time: Timestamp,
        payload: &[u8],
        records: &[u8],
        frame_limit: usize,
    ) -> Result<(Head, usize), NotRecorded> {
        let sequence = self.head.entries;
        let (bytes, hash) = unplaced.place(self.head.hash, sequence, time);
        let size = Frame::length_of(bytes.len() + payload.len() + records.len());
        if bytes.len() > MAX_HEADER || size > frame_limit {
            let (size, limit) = if bytes.len() > MAX_HEADER {
                (bytes.len(), MAX_HEADER)
            } else {
                (size, frame_limit)
            };
            return Err(NotRecorded::TooLarge { size, limit });
        }
        let group = self
            .group
            .entries
            .first()
            .map_or(sequence, |first| first.sequence);
        let frame = Frame {
            sequence,
            group,
            header: &bytes,
            payload,
            records,
            is_pruned: false,
            length: size,
        };
        let encoded = frame.encode(&mut self.group.frames);
        let length = encoded.ok_or(NotRecorded::TooLarge {
            size,
            limit: frame_limit,
        })?;
        self.time = time;
        self.head = Head {
            entries: sequence + 1,
            hash,
        };
        Ok((self.head, length))
    }
}

/// Nobody may be waiting any more: then there is nobody to tell.
pub(crate) fn refuse(sender: Sender, error: NotRecorded) {
    drop(sender.send(Err(error)));
}

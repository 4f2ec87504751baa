//! Records that are committed and not yet in the view; and those of a few spaces whether they are or not, so that they are found while
//! the view rests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use nephron_model::Space;

use crate::Location;

/// Records kept at most. Beyond that the oldest are forgotten and found by reading the journal.
const CAPACITY: usize = 1 << 16;

/// A record's name.
pub(crate) type RecordKey = (Space, Vec<u8>);

/// What the overlay knows about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// The newest value is in the entry with this sequence, at this place.
    At(u64, Location),
    /// No entry at or after this sequence holds the record.
    Before(u64),
    /// No entry holds the record.
    Nowhere,
}

/// The newest places of the records that are always known here.
pub(crate) type Kept = HashMap<RecordKey, (u64, Location)>;

/// Whether records of a space are always known here: there are few of them, and whoever keeps a tenant open asks for them.
pub(crate) const fn is_kept(space: Space) -> bool {
    match space {
        Space::Key | Space::Cursor | Space::Hold => true,
        Space::VaultValue
        | Space::VaultToken
        | Space::Grant
        | Space::Generation
        | Space::Review
        | Space::Tenant
        | Space::Anchor
        | Space::Counter
        | Space::Serving => false,
    }
}

/// The newest place of every record in the entries from `start` on.
pub(crate) struct Overlay(Mutex<State>);

struct State {
    start: u64,
    kept: Kept,
    /// `kept` has all of its spaces; else what it lacks is asked of the view.
    has_all_kept: bool,
    newest: HashMap<RecordKey, (u64, Location)>,
    order: VecDeque<(u64, RecordKey)>,
}

impl Overlay {
    /// Knows nothing of the entries before `start`, but for what is `kept` of them, which is all there is if `has_all_kept`.
    pub(crate) fn starting_at(start: u64, kept: Kept, has_all_kept: bool) -> Self {
        Self(Mutex::new(State {
            start,
            kept,
            has_all_kept,
            newest: HashMap::new(),
            order: VecDeque::new(),
        }))
    }

    /// Adds the records of entries in order.
    pub(crate) fn add(&self, entries: impl Iterator<Item = (u64, Location, Vec<RecordKey>)>) {
        let mut entries = entries.filter(|(_, _, keys)| !keys.is_empty()).peekable();
        if entries.peek().is_none() {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (sequence, at, keys) in entries {
            for key in keys {
                if is_kept(key.0) {
                    state.kept.insert(key, (sequence, at));
                    continue;
                }
                state.newest.insert(key.clone(), (sequence, at));
                state.order.push_back((sequence, key));
            }
        }
        while state.order.len() > CAPACITY {
            let Some((sequence, _)) = state.order.front() else {
                break;
            };
            let start = sequence + 1;
            state.forget_before(start);
        }
    }

    /// Forgets the entries before `start`, because the view has them.
    pub(crate) fn forget_before(&self, start: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_before(start);
    }

    /// What is known about a record.
    pub(crate) fn newest(&self, key: &RecordKey) -> Newest {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.kept.get(key).or_else(|| state.newest.get(key));
        match known {
            Some((sequence, at)) => Newest::At(*sequence, *at),
            None if is_kept(key.0) && state.has_all_kept => Newest::Nowhere,
            None => Newest::Before(state.start),
        }
    }
}

impl State {
    fn forget_before(&mut self, start: u64) {
        while let Some((sequence, key)) = self.order.pop_front() {
            if sequence >= start {
                self.order.push_front((sequence, key));
                break;
            }
            // A later entry may have written the same record.
            if self
                .newest
                .get(&key)
                .is_some_and(|(newest, _)| *newest < start)
            {
                self.newest.remove(&key);
            }
        }
        self.start = self.start.max(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RecordKey {
        (Space::Grant, name.as_bytes().to_vec())
    }

    fn at(offset: u64) -> Location {
        Location { segment: 0, offset }
    }

    #[test]
    fn the_newest_place_wins_and_outlives_the_older_one() {
        let overlay = Overlay::starting_at(3, Kept::new(), true);
        assert_eq!(overlay.newest(&key("a")), Newest::Before(3));
        let entries = [
            (3, at(1), vec![key("a"), key("b")]),
            (4, at(2), vec![]),
            (5, at(3), vec![key("a")]),
        ];
        overlay.add(entries.into_iter());
        assert_eq!(overlay.newest(&key("a")), Newest::At(5, at(3)));
        overlay.forget_before(5);
        assert_eq!(overlay.newest(&key("a")), Newest::At(5, at(3)));
        assert_eq!(overlay.newest(&key("b")), Newest::Before(5));
    }

    #[test]
    fn what_is_kept_is_known_whatever_the_view_has() {
        let name = |name: &str| (Space::Cursor, name.as_bytes().to_vec());
        let overlay = Overlay::starting_at(3, Kept::from([(name("a"), (1, at(9)))]), true);
        assert_eq!(overlay.newest(&name("a")), Newest::At(1, at(9)));
        assert_eq!(overlay.newest(&name("b")), Newest::Nowhere);
        overlay.add([(3, at(1), vec![name("b")])].into_iter());
        overlay.forget_before(9);
        assert_eq!(overlay.newest(&name("b")), Newest::At(3, at(1)));
    }

    #[test]
    fn what_is_kept_of_a_part_alone_is_asked_for() {
        let name = |name: &str| (Space::Cursor, name.as_bytes().to_vec());
        let overlay = Overlay::starting_at(3, Kept::from([(name("a"), (2, at(9)))]), false);
        assert_eq!(overlay.newest(&name("a")), Newest::At(2, at(9)));
        assert_eq!(overlay.newest(&name("b")), Newest::Before(3));
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_said() {
        let overlay = Overlay::starting_at(0, Kept::new(), true);
        let many = CAPACITY as u64 + 10;
        overlay.add(
            (0..many).map(|sequence| (sequence, at(sequence), vec![key(&sequence.to_string())])),
        );
        assert_eq!(overlay.newest(&key("0")), Newest::Before(10));
        assert_eq!(overlay.newest(&key("10")), Newest::At(10, at(10)));
    }
}

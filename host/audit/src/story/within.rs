//! What was met, of a story whose beginning is not known: whoever speaks of anything else may speak of what stands there.

use std::collections::HashSet;

use nephron_model::{EntryKind, EventId, Timestamp};

#[derive(Default)]
pub(super) struct Within {
    /// When the first entry was recorded. An id that was drawn later was not spoken of before that: ids carry their time, and
    /// entries are recorded in the order of theirs.
    began: Option<Timestamp>,
    ended: HashSet<EventId>,
    ended_grants: HashSet<String>,
    delivered: HashSet<(EntryKind, String)>,
}

impl Within {
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.began.get_or_insert(at);
    }

    pub(super) fn end(&mut self, request: EventId) {
        self.ended.insert(request);
    }

    pub(super) fn end_grant(&mut self, grant: &str) {
        self.ended_grants.insert(grant.to_owned());
    }

    /// Whether nothing of this delivery was met before.
    pub(super) fn deliver(&mut self, key: &(EntryKind, String)) -> bool {
        self.delivered.insert(key.clone())
    }

    /// Whether a request may have begun before what was read, and has not ended since.
    pub(super) fn may_know(&self, request: EventId) -> bool {
        self.is_old(request) && !self.ended.contains(&request)
    }

    /// The same of a grant.
    pub(super) fn may_know_grant(&self, grant: &str) -> bool {
        let id = grant.strip_prefix("grant-").and_then(|id| id.parse().ok());
        id.is_none_or(|id| self.is_old(id)) && !self.ended_grants.contains(grant)
    }

    fn is_old(&self, id: EventId) -> bool {
        self.began.is_none_or(|began| id.millis() <= began.millis())
    }
}

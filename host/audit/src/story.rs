//! Whether a log's entries tell a whole story: that nothing was judged without a request, no key used without a grant or beyond
//! it, nothing answered that was not sent, and nothing ended that had not begun.
//!
//! The entries themselves may all be authentic: what is missing was never recorded, and so the host did not do as it says.

mod grants;
mod within;

use std::collections::HashMap;

use nephron_model::{EntryKind, EventId, Point, Timestamp};
use serde::{Deserialize, Serialize};

use self::grants::Grants;
use self::within::Within;
use crate::Header;

/// Gaps that are told one by one.
const MOST: usize = 1_000;

/// What an entry lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapKind {
    /// A plugin judged for a request that was not opened, or was over.
    DecisionWithoutRequest,
    /// A key was used under a grant that was not minted here, had ended, or was spent.
    UseWithoutGrant,
    /// A key was used under a grant that had expired.
    UseAfterExpiry,
    /// A key was used for an operation that its grant does not have.
    UseBeyondGrant,
    /// Something came back, or did not, and nothing had been sent.
    AnswerWithoutIntent,
    /// A request ended that was not opened, or for the second time.
    EndWithoutRequest,
    /// A request has no end, though the log was closed.
    RequestWithoutEnd,
    /// Something was about to be done, and what came of it is not told, though the log was closed.
    IntentWithoutOutcome,
    /// Entries were delivered, or a checkpoint taken, and it was not told before that they would be.
    DeliveryWithoutIntent,
    /// A request has ended, and has not as many entries as its end says.
    EntriesMissing,
}

impl std::fmt::Display for GapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DecisionWithoutRequest => "a decision without a request",
            Self::UseWithoutGrant => "a key use without a grant",
            Self::UseAfterExpiry => "a key use after its grant had expired",
            Self::UseBeyondGrant => "a key use for what its grant does not have",
            Self::AnswerWithoutIntent => "an outcome without an intent",
            Self::EndWithoutRequest => "an end without a request",
            Self::RequestWithoutEnd => "a request without an end",
            Self::IntentWithoutOutcome => "an intent without an outcome",
            Self::DeliveryWithoutIntent => "a delivery without an intent",
            Self::EntriesMissing => "an end of a request that counts other entries than there are",
        })
    }
}

/// An entry that another should stand before, or after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its sequence.
    pub entry: u64,
    /// What it lacks.
    pub what: GapKind,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {}: {}", self.entry, self.what)
    }
}

/// The count of a request's entries that its end has.
pub(crate) const ENTRIES: &str = "entries";

/// A story as it is read, from the first entry on, or from one in the middle.
#[derive(Default)]
pub(crate) struct Story {
    /// What stands before is not known.
    within: Option<Within>,
    requests: HashMap<EventId, Request>,
    grants: Grants,
    /// What is about to be done, by kind and name, and the entry that says so.
    intents: HashMap<(EntryKind, String), u64>,
    /// When the entry before was recorded.
    before: Option<Timestamp>,
    gaps: Vec<Gap>,
}

/// A request that has not ended.
struct Request {
    opened: u64,
    /// Entries about it since.
    entries: u64,
    /// What was sent and has no outcome yet.
    sent: Vec<u64>,
    /// Grants that are its own, and end with it.
    grants: Vec<String>,
}

impl Story {
    /// One whose beginning is not known. What it lacks may stand there, if it is old enough; then nothing is said.
    pub(crate) fn from_within() -> Self {
        Self {
            within: Some(Within::default()),
            ..Self::default()
        }
    }

    /// The next entry.
    pub(crate) fn meet(&mut self, header: &Header) {
        if let Some(within) = &mut self.within {
            within.begin(header.time);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other kinds stand for themselves"
        )]
        match header.kind {
            EntryKind::RequestOpened => self.open(header),
            // What an exporter judges belongs to no request.
            EntryKind::Decision
                if header.point != Some(Point::Export) && self.request(header).is_none() =>
            {
                self.gap_unless_before(header, GapKind::DecisionWithoutRequest);
            }
            EntryKind::Sending => match self.request(header) {
                Some(request) => request.sent.push(header.sequence),
                None => self.gap_unless_before(header, GapKind::EndWithoutRequest),
            },
            EntryKind::Received => {
                let intent = self.request(header).and_then(|request| request.sent.pop());
                if intent.is_none() {
                    self.gap_unless_before(header, GapKind::AnswerWithoutIntent);
                }
            }
            EntryKind::RequestClosed => self.close(header),
            EntryKind::GrantMinted => {
                if let Some(grant) = self.grants.mint(header)
                    && let Some(request) = self.request(header)
                {
                    request.grants.push(grant);
                }
            }
            EntryKind::GrantEnded => {
                if let Some(grant) = header.facts.get(grants::GRANT) {
                    self.end_grant(grant);
                }
            }
            EntryKind::KeyUsed => {
                // A clock that was put back has the log's time stand still until it is there again; then that is no time to go by.
                let is_timed = self.before.is_some_and(|before| before < header.time);
                let lacks = self.grants.use_key(header, is_timed, self.within.as_ref());
                if let Some(what) = lacks {
                    self.gap(header, what);
                }
            }
            EntryKind::KeyRefused => self.grants.refuse(header),
            EntryKind::Exported => self.deliver(header, "exporter", &["delivering", "confirming"]),
            EntryKind::Anchored => self.deliver(header, "anchor", &["anchoring", "confirming"]),
            EntryKind::KeyChanged => self.change_key(header),
            _ => {}
        }
        let is_within = !matches!(
            header.kind,
            EntryKind::RequestOpened | EntryKind::RequestClosed
        );
        if is_within && let Some(request) = self.request(header) {
            request.entries += 1;
        }
        self.before = Some(header.time);
    }

    fn request(&mut self, header: &Header) -> Option<&mut Request> {
        self.requests.get_mut(&header.request?)
    }

    fn open(&mut self, header: &Header) {
        let Some(request) = header.request else {
            return;
        };
        let begun = Request {
            opened: header.sequence,
            entries: 0,
            sent: Vec::new(),
            grants: Vec::new(),
        };
        if let Some(before) = self.requests.insert(request, begun) {
            self.add(before.opened, GapKind::RequestWithoutEnd);
            self.leave(before.sent);
        }
    }

    fn close(&mut self, header: &Header) {
        let ended = header.request.and_then(|id| self.requests.remove(&id));
        match ended {
            Some(request) => {
                for grant in &request.grants {
                    self.end_grant(grant);
                }
                self.leave(request.sent);
                // Logs of before have no count; nor has an end that was told after a crash.
                let counted = header.counts.get(ENTRIES);
                if counted.is_some_and(|counted| *counted != request.entries) {
                    self.gap(header, GapKind::EntriesMissing);
                }
            }
            None => self.gap_unless_before(header, GapKind::EndWithoutRequest),
        }
        if let (Some(within), Some(request)) = (&mut self.within, header.request) {
            within.end(request);
        }
    }

    fn end_grant(&mut self, grant: &str) {
        for late in self.grants.end(grant) {
            self.add(late, GapKind::UseAfterExpiry);
        }
        if let Some(within) = &mut self.within {
            within.end_grant(grant);
        }
    }

    /// Meets what is about to be handed to somebody of this name, or what came of it.
    fn deliver(&mut self, header: &Header, named: &str, intents: &[&str]) {
        let name = header.facts.get(named);
        // Once such an entry did not say whom it is about: then it is about nobody's intent.
        if name.is_none() && header.outcome == "confirming" {
            return;
        }
        let key = (header.kind, name.cloned().unwrap_or_default());
        // The first that is met of somebody may be what came of an intent before.
        let is_first = self.within.as_mut();
        let is_first = is_first.is_some_and(|within| within.deliver(&key));
        if intents.contains(&header.outcome.as_str()) {
            // Of several for one delivery the first is the one that lacks an outcome, if all do.
            self.intents.entry(key).or_insert(header.sequence);
            return;
        }
        let was_told = self.intents.remove(&key).is_some();
        let is_delivered = matches!(header.outcome.as_str(), "delivered" | "anchored");
        // What was refused or failed may have gone nowhere, and then nothing was about to.
        if is_delivered && !was_told && !is_first {
            self.gap(header, GapKind::DeliveryWithoutIntent);
        }
    }

    /// Meets what is about to be done with a key at its provider, or what came of it.
    fn change_key(&mut self, header: &Header) {
        let Some(kek) = header.facts.get("kek") else {
            return;
        };
        let key = (header.kind, kek.clone());
        match header.outcome.as_str() {
            "kek-destroying" => drop(self.intents.insert(key, header.sequence)),
            // A tenant's last keys are destroyed after an entry about all of them.
            "kek-destroyed" | "kek-kept" | "outcome-unknown" => drop(self.intents.remove(&key)),
            _ => {}
        }
    }

    /// What was sent and has no outcome, at the end of its request.
    fn leave(&mut self, sent: Vec<u64>) {
        for entry in sent {
            self.add(entry, GapKind::IntentWithoutOutcome);
        }
    }

    fn gap_unless_before(&mut self, header: &Header, what: GapKind) {
        let within = self.within.as_ref().zip(header.request);
        if !within.is_some_and(|(within, request)| within.may_know(request)) {
            self.gap(header, what);
        }
    }

    fn gap(&mut self, header: &Header, what: GapKind) {
        self.add(header.sequence, what);
    }

    fn add(&mut self, entry: u64, what: GapKind) {
        if self.gaps.len() < MOST {
            self.gaps.push(Gap { entry, what });
        }
    }

    /// What is missing, in the order of the log. Of a log that is in use, or was never closed, the last may yet be told.
    pub(crate) fn finish(mut self, is_closed: bool) -> Vec<Gap> {
        for late in self.grants.end_all() {
            self.add(late, GapKind::UseAfterExpiry);
        }
        if is_closed {
            for request in std::mem::take(&mut self.requests).into_values() {
                self.add(request.opened, GapKind::RequestWithoutEnd);
                self.leave(request.sent);
            }
            let intents = std::mem::take(&mut self.intents);
            self.leave(intents.into_values().collect());
        }
        self.gaps.sort_by_key(|gap| gap.entry);
        self.gaps
    }
}

#[cfg(test)]
mod tests;

//! Whether a log's entries tell a whole story: that nothing was judged without a request, no key used without a grant, nothing
//! answered that was not sent, and nothing ended that had not begun.
//!
//! The entries themselves may all be authentic: what is missing was never recorded, and so the host did not do as it says.

use std::collections::{HashMap, HashSet};

use nephron_model::{EntryKind, EventId, Point, Timestamp};
use serde::{Deserialize, Serialize};

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
    /// A key was used under a grant that was not minted here, or had ended.
    UseWithoutGrant,
    /// Something came back, or did not, and nothing had been sent.
    AnswerWithoutIntent,
    /// A request ended that was not opened, or for the second time.
    EndWithoutRequest,
    /// A request has no end, though the log was closed.
    RequestWithoutEnd,
    /// Something was sent, and what came of it is not told, though the log was closed.
    IntentWithoutOutcome,
    /// Entries were delivered, or a checkpoint taken, and it was not told before that they would be.
    DeliveryWithoutIntent,
}

impl std::fmt::Display for GapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DecisionWithoutRequest => "a decision without a request",
            Self::UseWithoutGrant => "a key use without a grant",
            Self::AnswerWithoutIntent => "an outcome without an intent",
            Self::EndWithoutRequest => "an end without a request",
            Self::RequestWithoutEnd => "a request without an end",
            Self::IntentWithoutOutcome => "an intent without an outcome",
            Self::DeliveryWithoutIntent => "a delivery without an intent",
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

/// A story as it is read, from the first entry on, or from one in the middle.
#[derive(Default)]
pub(crate) struct Story {
    /// What stands before is not known.
    within: Option<Within>,
    requests: HashMap<EventId, Request>,
    /// Uses that are left, if they are counted.
    grants: HashMap<String, Option<u64>>,
    /// What is about to be delivered, by kind and name.
    intents: HashSet<(EntryKind, String)>,
    gaps: Vec<Gap>,
}

/// What was met, of a story whose beginning is not known: who speaks of anything else may speak of what stands there.
#[derive(Default)]
struct Within {
    /// When the first entry was recorded. An id that was drawn later was not spoken of before that: ids carry their time, and
    /// entries are recorded in the order of theirs.
    began: Option<Timestamp>,
    ended: HashSet<EventId>,
    ended_grants: HashSet<String>,
    delivered: HashSet<(EntryKind, String)>,
}

impl Within {
    /// Whether something of this id may have begun before.
    fn may_know(&self, id: EventId) -> bool {
        self.began.is_none_or(|began| id.millis() <= began.millis())
    }
}

/// A request that has not ended.
struct Request {
    opened: u64,
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

    /// Whether the request that an entry names may have begun before what was read, and has not ended since.
    fn is_from_before(&self, header: &Header) -> bool {
        let (Some(within), Some(request)) = (&self.within, header.request) else {
            return false;
        };
        within.may_know(request) && !within.ended.contains(&request)
    }

    /// The same of a grant.
    fn is_grant_from_before(&self, grant: &str) -> bool {
        let Some(within) = &self.within else {
            return false;
        };
        let id = grant.strip_prefix("grant-").and_then(|id| id.parse().ok());
        id.is_none_or(|id| within.may_know(id)) && !within.ended_grants.contains(grant)
    }

    fn end_grant(&mut self, grant: &str) {
        self.grants.remove(grant);
        if let Some(within) = &mut self.within {
            within.ended_grants.insert(grant.to_owned());
        }
    }

    /// The next entry.
    pub(crate) fn meet(&mut self, header: &Header) {
        if let Some(within) = &mut self.within {
            within.began.get_or_insert(header.time);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other kinds stand for themselves"
        )]
        match header.kind {
            EntryKind::RequestOpened => {
                if let Some(request) = header.request {
                    let begun = Request {
                        opened: header.sequence,
                        sent: Vec::new(),
                        grants: Vec::new(),
                    };
                    if let Some(before) = self.requests.insert(request, begun) {
                        self.add(before.opened, GapKind::RequestWithoutEnd);
                        self.leave(before.sent);
                    }
                }
            }
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
            EntryKind::RequestClosed => {
                let ended = header.request.and_then(|id| self.requests.remove(&id));
                match ended {
                    Some(request) => {
                        for grant in &request.grants {
                            self.end_grant(grant);
                        }
                        self.leave(request.sent);
                    }
                    None => self.gap_unless_before(header, GapKind::EndWithoutRequest),
                }
                if let (Some(within), Some(request)) = (&mut self.within, header.request) {
                    within.ended.insert(request);
                }
            }
            EntryKind::GrantMinted => {
                if let Some(grant) = header.facts.get(GRANT) {
                    let uses = header.facts.get(USES).and_then(|uses| uses.parse().ok());
                    self.grants.insert(grant.clone(), uses);
                    if let Some(request) = self.request(header) {
                        request.grants.push(grant.clone());
                    }
                }
            }
            EntryKind::GrantEnded => {
                if let Some(grant) = header.facts.get(GRANT) {
                    self.end_grant(grant);
                }
            }
            EntryKind::KeyUsed => {
                let grant = header.facts.get(GRANT);
                let is_old = grant.is_some_and(|grant| self.is_grant_from_before(grant));
                match grant.and_then(|grant| self.grants.get_mut(grant)) {
                    Some(None) => {}
                    Some(Some(left)) if *left > 0 => *left -= 1,
                    None if is_old => {}
                    Some(Some(_)) | None => self.gap(header, GapKind::UseWithoutGrant),
                }
            }
            EntryKind::Exported => self.deliver(header, "exporter", &["delivering", "confirming"]),
            EntryKind::Anchored => self.deliver(header, "anchor", &["anchoring"]),
            _ => {}
        }
    }

    fn request(&mut self, header: &Header) -> Option<&mut Request> {
        self.requests.get_mut(&header.request?)
    }

    fn deliver(&mut self, header: &Header, named: &str, intents: &[&str]) {
        let name = header.facts.get(named).cloned().unwrap_or_default();
        let key = (header.kind, name);
        // The first that is met of somebody may be what came of an intent before.
        let is_first = self.within.as_mut();
        let is_first = is_first.is_some_and(|within| within.delivered.insert(key.clone()));
        if intents.contains(&header.outcome.as_str()) {
            self.intents.insert(key);
        } else if header.outcome == "set-aside" {
            // Nothing leaves.
        } else if !self.intents.remove(&key) && !is_first {
            self.gap(header, GapKind::DeliveryWithoutIntent);
        }
    }

    /// What was sent and has no outcome, at the end of its request.
    fn leave(&mut self, sent: Vec<u64>) {
        for entry in sent {
            self.add(entry, GapKind::IntentWithoutOutcome);
        }
    }

    fn gap_unless_before(&mut self, header: &Header, what: GapKind) {
        if !self.is_from_before(header) {
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
        if is_closed {
            for request in std::mem::take(&mut self.requests).into_values() {
                self.add(request.opened, GapKind::RequestWithoutEnd);
                self.leave(request.sent);
            }
        }
        self.gaps.sort_by_key(|gap| gap.entry);
        self.gaps
    }
}

/// The fact that names a grant, and the one that says how often it may be used.
const GRANT: &str = "grant";
const USES: &str = "uses";

#[cfg(test)]
mod tests {
    use nephron_model::{Draft, Timestamp};

    use super::*;

    const AT: Timestamp = Timestamp {
        seconds: 1_795_305_802,
        nanoseconds: 0,
    };

    /// Entries by kind, outcome, request and grant, and the gaps that are found in them.
    fn gaps(entries: &[(EntryKind, &str, u8, &str)], is_closed: bool) -> Vec<String> {
        let tenant = "st-marys".parse().unwrap();
        let mut story = Story::default();
        for (number, (kind, outcome, request, grant)) in entries.iter().enumerate() {
            let mut draft = Draft::new(*kind, *outcome);
            draft.request = (*request > 0).then(|| EventId::new(AT, [*request; 10]));
            if !grant.is_empty() {
                draft = draft.fact(GRANT, *grant).fact(USES, "1");
            }
            let mut header = Header::of_draft(&mut draft, &tenant);
            header.sequence = u64::try_from(number).unwrap();
            story.meet(&header);
        }
        let gaps = story.finish(is_closed);
        gaps.iter().map(ToString::to_string).collect()
    }

    const WHOLE: [(EntryKind, &str, u8, &str); 9] = [
        (EntryKind::RequestOpened, "admitted", 1, ""),
        (EntryKind::Decision, "permit", 1, ""),
        (EntryKind::GrantMinted, "minted", 1, "grant-a"),
        (EntryKind::KeyUsed, "permit", 1, "grant-a"),
        (EntryKind::Sending, "intent", 1, ""),
        (EntryKind::Received, "answered", 1, ""),
        (EntryKind::RequestClosed, "answered", 1, ""),
        (EntryKind::Exported, "delivering", 0, ""),
        (EntryKind::Exported, "delivered", 0, ""),
    ];

    #[test]
    fn a_story_that_is_whole_has_no_gap_and_one_without_any_of_its_entries_has() {
        assert!(gaps(&WHOLE, true).is_empty());
        let lacking = [
            (0, "entry 0: a decision without a request"),
            (2, "entry 2: a key use without a grant"),
            (4, "entry 4: an outcome without an intent"),
            (5, "entry 4: an intent without an outcome"),
            (6, "entry 0: a request without an end"),
            (7, "entry 7: a delivery without an intent"),
        ];
        for (left_out, said) in lacking {
            let mut entries = WHOLE.to_vec();
            entries.remove(left_out);
            let gaps = gaps(&entries, true);
            assert!(gaps.iter().any(|gap| gap == said), "{said}: {gaps:?}");
        }
    }

    #[test]
    fn a_grant_is_used_as_often_as_it_may_be_and_a_log_in_use_is_not_at_its_end() {
        let mut twice = WHOLE.to_vec();
        twice.insert(4, WHOLE[3]);
        assert_eq!(gaps(&twice, true), ["entry 4: a key use without a grant"]);
        assert!(gaps(&WHOLE[..5], false).is_empty());
        let told = gaps(&WHOLE[..5], true);
        let expected = [
            "entry 0: a request without an end",
            "entry 4: an intent without an outcome",
        ];
        assert_eq!(told, expected);
    }
}

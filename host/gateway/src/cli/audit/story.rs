//! Headers as a log has them, of requests that tests make up.

use std::sync::Arc;
use std::time::Duration;

use nephron_audit::{Header, Log, Options, Reader};
use nephron_model::{Draft, EntryKind, EventId, FixedClock, Recorder as _};

/// An invented request: caller, purpose, and the fact `patient` of its first entry.
pub(super) struct Story {
    event: EventId,
    caller: &'static str,
    purpose: &'static str,
    pub(super) drafts: Vec<Draft>,
}

impl Story {
    pub(super) fn new(event: &str, caller: &'static str, purpose: &'static str) -> Self {
        let event = format!("01ARZ3NDEKTSV4RRFFQ69G5{event}").parse().unwrap();
        Self {
            event,
            caller,
            purpose,
            drafts: Vec::new(),
        }
    }

    pub(super) fn and(
        mut self,
        kind: EntryKind,
        outcome: &str,
        facts: &[(&str, &str)],
        counts: &[(&str, u64)],
    ) -> Self {
        let mut draft = Draft::new(kind, outcome).about(self.event);
        draft.caller = Some(self.caller.to_owned());
        draft.purpose = Some(self.purpose.parse().unwrap());
        for (name, value) in facts {
            draft = draft.fact(name, *value);
        }
        for (name, count) in counts {
            draft.counts.insert((*name).to_owned(), *count);
        }
        self.drafts.push(draft);
        self
    }
}

/// When the log opens, in seconds since the epoch: 2026-11-22T00:03:22Z.
const OPENED: u64 = 1_795_305_802;

/// The headers of a log in which these were recorded, an hour apart, the first an hour after the log's opening.
pub(super) fn headers(drafts: Vec<Draft>) -> Vec<Header> {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(OPENED));
    let tenant = "st-marys".parse().unwrap();
    let log = Log::open(folder.path(), &tenant, clock.clone(), Options::default()).unwrap();
    for draft in drafts {
        clock.advance(Duration::from_secs(60 * 60));
        let _recorded = log.record(draft).wait().unwrap();
    }
    log.close().unwrap();
    let mut headers = Vec::new();
    Reader::survey(folder.path(), |met| headers.push(met.header.clone())).unwrap();
    headers
}

//! After a crash: requests whose end nobody recorded. Their log says so before it serves again.

use std::collections::BTreeMap;

use nephron_audit::{Header, Log, ReadError};
use nephron_model::{Draft, EntryKind, EventId, NotRecorded, Recorder as _};

/// What came of it is not known: the process ended before it could be recorded.
pub(crate) const UNKNOWN: &str = "outcome-unknown";
/// Entries that are read at once, from the last backwards.
const STRIDE: u64 = 4_096;

/// The log could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AftermathError {
    #[error("the log cannot be read back")]
    Unreadable(#[from] ReadError),
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// Gives every intent of the last run that has no outcome, and every request without an end, an entry that says so. Called for a log
/// that was not closed, before anything else is recorded in it.
pub(crate) async fn settle(log: &Log) -> Result<(), AftermathError> {
    for draft in unsettled(log)? {
        let _recorded = log.record(draft).await?;
    }
    Ok(())
}

/// What is to be said, in the order in which it began.
fn unsettled(log: &Log) -> Result<Vec<Draft>, ReadError> {
    let mut open = Open::default();
    let mut end = log.head().entries;
    while end > 0 {
        let start = end.saturating_sub(STRIDE);
        let headers: Result<Vec<Header>, _> = log
            .entries(start..end)
            .map(|entry| entry.map(|entry| entry.header))
            .collect();
        for header in headers?.into_iter().rev() {
            // Whatever was in flight began after the process did.
            if is_opening(&header) {
                return Ok(open.drafts());
            }
            open.meet_backwards(header);
        }
        end = start;
    }
    Ok(open.drafts())
}

/// Whether a tenant was opened. Where a person let a roster serve, the entry names him, whatever his reason.
fn is_opening(header: &Header) -> bool {
    let facts = &header.facts;
    header.kind == EntryKind::RosterActivated
        && facts.get("reason").is_some_and(|why| why == OPENED)
        && !facts.contains_key("by")
}

/// Why a roster begins to serve when its tenant opens, as the entry has it.
pub(crate) const OPENED: &str = "opened";

#[derive(Default)]
struct Open {
    /// Of each request met: how many answers have not met what they answer to.
    requests: BTreeMap<EventId, Met>,
    /// The last first.
    unsettled: Vec<Header>,
}

#[derive(Default)]
struct Met {
    answers: usize,
    is_closed: bool,
}

impl Open {
    fn meet_backwards(&mut self, header: Header) {
        let Some(request) = header.request else {
            return;
        };
        let met = self.requests.entry(request).or_default();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the other kinds neither begin nor end anything"
        )]
        match header.kind {
            EntryKind::RequestClosed => met.is_closed = true,
            EntryKind::Received => met.answers += 1,
            EntryKind::Sending => match met.answers.checked_sub(1) {
                Some(fewer) => met.answers = fewer,
                None => self.unsettled.push(header),
            },
            EntryKind::RequestOpened => {
                if !met.is_closed {
                    self.unsettled.push(header);
                }
                // What comes before belongs to no request of this id.
                self.requests.remove(&request);
            }
            _ => {}
        }
    }

    fn drafts(self) -> Vec<Draft> {
        let sendings = self.unsettled.iter().rev();
        let answers = sendings.filter(|header| header.kind == EntryKind::Sending);
        let answers = answers.map(|sending| of(sending, EntryKind::Received));
        let opened = self.unsettled.iter().rev();
        let opened = opened.filter(|header| header.kind == EntryKind::RequestOpened);
        let ends = opened.map(|opened| of(opened, EntryKind::RequestClosed));
        answers.chain(ends).collect()
    }
}

/// The entry that ends what `begun` began.
fn of(begun: &Header, kind: EntryKind) -> Draft {
    let mut draft = Draft {
        request: begun.request,
        caller: begun.caller.clone(),
        purpose: begun.purpose.clone(),
        generation: begun.generation,
        point: begun.point,
        ..Draft::new(kind, UNKNOWN)
    };
    let told = ["endpoint", "associate", "ground", "agreement", "operation"];
    for name in told {
        if let Some(fact) = begun.facts.get(name) {
            draft = draft.fact(name, fact.as_str());
        }
    }
    draft
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nephron_audit::Options;
    use nephron_model::{FixedClock, Timestamp};

    use super::*;

    fn request(number: u8) -> EventId {
        let at = Timestamp {
            seconds: 1_795_305_802,
            nanoseconds: 0,
        };
        EventId::new(at, [number; 10])
    }

    #[tokio::test]
    async fn what_was_begun_and_not_ended_in_the_last_run_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = "st-marys".parse().unwrap();
        let clock = Arc::new(FixedClock::at(1_795_305_802));
        let log = Log::open(folder.path(), &tenant, clock, Options::default()).unwrap();
        let write = async |kind, outcome: &str, number: Option<u8>| {
            let mut draft = Draft::new(kind, outcome);
            draft.request = number.map(request);
            if kind == EntryKind::Sending {
                draft = draft.fact("endpoint", "there");
            }
            if kind == EntryKind::RosterActivated {
                draft = draft.fact("reason", OPENED);
            }
            let _recorded = log.record(draft).await.unwrap();
        };
        // Of a run before: it was settled then, or never can be.
        write(EntryKind::RequestOpened, "admitted", Some(9)).await;
        write(EntryKind::RosterActivated, "ok", None).await;
        for (kind, outcome, number) in [
            (EntryKind::RequestOpened, "admitted", 1),
            (EntryKind::RequestOpened, "admitted", 2),
            (EntryKind::Sending, "intent", 1),
            (EntryKind::Received, "failed", 1),
            (EntryKind::Sending, "intent", 1),
            (EntryKind::Sending, "intent", 2),
            (EntryKind::Received, "answered", 2),
            (EntryKind::RequestOpened, "admitted", 3),
            (EntryKind::RequestClosed, "denied", 3),
        ] {
            write(kind, outcome, Some(number)).await;
        }
        let told = |log: &Log| {
            let of_it = unsettled(log).unwrap();
            let of_it = of_it.into_iter().map(|draft| (draft.kind, draft.request));
            of_it.collect::<Vec<_>>()
        };
        let expected = [
            (EntryKind::Received, Some(request(1))),
            (EntryKind::RequestClosed, Some(request(1))),
            (EntryKind::RequestClosed, Some(request(2))),
        ];
        assert_eq!(told(&log), expected);
        let first = unsettled(&log).unwrap().swap_remove(0);
        assert_eq!(first.facts["endpoint"], "there");
        settle(&log).await.unwrap();
        assert!(told(&log).is_empty());
    }
}

//! What was begun and has no end: after a crash, what nobody recorded the outcome of, and the log says so before it serves again;
//! without one, what was given up in between.

use std::collections::{BTreeMap, BTreeSet};

use nephron_audit::{Header, Log, ReadError};
use nephron_model::{Commit, Draft, EntryKind, EventId, NotRecorded, Recorded, Recorder as _};

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

/// An intent that is recorded, until what came of it is. Dropped before that, it tells the log that nobody knows.
pub(crate) struct Unsettled<'a> {
    log: &'a Log,
    unknown: Option<Draft>,
}

impl<'a> Unsettled<'a> {
    /// Records an intent that is no request's, and waits until that is durable.
    ///
    /// # Errors
    /// [`NotRecorded`]; then there is no intent.
    pub(crate) async fn begin(
        log: &'a Log,
        intent: Draft,
    ) -> Result<(Self, Recorded), NotRecorded> {
        let unknown = Draft {
            counts: intent.counts.clone(),
            facts: intent.facts.clone(),
            ..Draft::new(intent.kind, UNKNOWN)
        };
        let intent = log.record(intent);
        let mut unsettled = Self {
            log,
            unknown: Some(unknown),
        };
        match intent.await {
            Ok(recorded) => Ok((unsettled, recorded)),
            Err(error) => {
                unsettled.unknown = None;
                Err(error)
            }
        }
    }

    /// Queues what came of it.
    pub(crate) fn settle(mut self, outcome: Draft) -> Commit {
        self.unknown = None;
        self.log.record(outcome)
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some(unknown) = self.unknown.take() {
            // Nobody waits. A log that takes it no more is settled when it is opened again.
            drop(self.log.note(unknown));
        }
    }
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
    /// Whom or what entries were about that belong to no request: of each, what was met first is what is known last.
    others: BTreeSet<(EntryKind, String)>,
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
        if let Some((name, intents)) = intents_of(&header) {
            let is_intent = intents.contains(&header.outcome.as_str());
            if self.others.insert((header.kind, name)) && is_intent {
                self.unsettled.push(header);
            }
            return;
        }
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
        let others = self.unsettled.iter().rev();
        let others = others.filter(|header| intents_of(header).is_some());
        let others = others.map(|intent| of(intent, intent.kind));
        let opened = self.unsettled.iter().rev();
        let opened = opened.filter(|header| header.kind == EntryKind::RequestOpened);
        let ends = opened.map(|opened| of(opened, EntryKind::RequestClosed));
        answers.chain(others).chain(ends).collect()
    }
}

/// Whom or what an entry is about that belongs to no request, and how it says there that something is about to be done: to an
/// exporter, to an anchor, with a key at its provider.
fn intents_of(header: &Header) -> Option<(String, &'static [&'static str])> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds are of requests, or happen at once"
    )]
    let (named, intents): (_, &[&str]) = match header.kind {
        EntryKind::Exported => ("exporter", &["delivering", "confirming"]),
        EntryKind::Anchored => ("anchor", &["anchoring", "confirming"]),
        EntryKind::KeyChanged => ("kek", &["kek-destroying"]),
        _ => return None,
    };
    Some((header.facts.get(named)?.clone(), intents))
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
    if kind == EntryKind::Anchored {
        draft.counts.clone_from(&begun.counts);
    }
    let told = [
        "endpoint",
        "associate",
        "ground",
        "agreement",
        "operation",
        "exporter",
        "first",
        "last",
        "anchor",
        "provider",
        "kek",
    ];
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

    use nephron_audit::{Options, VerifyOptions};
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

    fn opened(folder: &std::path::Path) -> Log {
        let tenant = "st-marys".parse().unwrap();
        let clock = Arc::new(FixedClock::at(1_795_305_802));
        Log::open(folder, &tenant, clock, Options::default()).unwrap()
    }

    #[tokio::test]
    async fn a_delivery_an_anchor_and_a_key_that_was_being_destroyed_are_told_once_too() {
        let folder = tempfile::tempdir().unwrap();
        let log = opened(folder.path());
        let write = async |kind, outcome: &str, named: &str, name: &str| {
            let mut draft = Draft::new(kind, outcome).fact(named, name);
            if kind == EntryKind::Anchored {
                draft.counts.insert("entries".to_owned(), 7);
            }
            let draft = draft.fact("first", "3").fact("provider", "pkcs11");
            let _recorded = log.record(draft).await.unwrap();
        };
        for (kind, outcome, named, name) in [
            (EntryKind::Exported, "delivering", "exporter", "lake"),
            (EntryKind::Exported, "confirming", "exporter", "lake"),
            (EntryKind::Anchored, "anchoring", "anchor", "worm"),
            (EntryKind::Exported, "delivering", "exporter", "done"),
            (EntryKind::KeyChanged, "kek-destroying", "kek", "kek-1"),
            (EntryKind::Exported, "failed", "exporter", "done"),
            (EntryKind::KeyChanged, "kek-destroying", "kek", "kek-2"),
            (EntryKind::KeyChanged, "kek-kept", "kek", "kek-2"),
            (EntryKind::Anchored, "anchoring", "anchor", "done"),
            (EntryKind::Anchored, "confirming", "anchor", "done"),
            (EntryKind::Anchored, "anchored", "anchor", "done"),
            // One that names nobody, as there were once.
            (EntryKind::Anchored, "confirming", "nobody", ""),
        ] {
            write(kind, outcome, named, name).await;
        }
        let told: Vec<Draft> = unsettled(&log).unwrap();
        let named = |draft: &Draft| {
            let names = ["exporter", "anchor", "kek"];
            let name = names.iter().find_map(|name| draft.facts.get(*name));
            (draft.kind, name.unwrap().clone())
        };
        let expected = [
            (EntryKind::Exported, "lake"),
            (EntryKind::Anchored, "worm"),
            (EntryKind::KeyChanged, "kek-1"),
        ];
        let expected = expected.map(|(kind, name)| (kind, name.to_owned()));
        assert_eq!(told.iter().map(named).collect::<Vec<_>>(), expected);
        assert!(told.iter().all(|draft| draft.outcome == UNKNOWN));
        assert_eq!(told[0].facts["first"], "3");
        assert_eq!(told[1].counts["entries"], 7);
        settle(&log).await.unwrap();
        assert!(unsettled(&log).unwrap().is_empty());
        log.close().unwrap();
        let verdict = nephron_audit::verify(folder.path(), VerifyOptions::default()).unwrap();
        assert!(
            verdict.is_whole(),
            "{:?} {:?}",
            verdict.faults,
            verdict.gaps
        );
    }

    #[tokio::test]
    async fn what_is_given_up_before_its_outcome_is_known_is_told_so_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = opened(folder.path());
        let intent = || Draft::new(EntryKind::Exported, "delivering").fact("exporter", "lake");
        let outcomes = |log: &Log| {
            let entries = log.entries(1..log.head().entries);
            let outcomes = entries.map(|entry| entry.unwrap().header.outcome);
            outcomes.collect::<Vec<_>>()
        };
        let (begun, _recorded) = Unsettled::begin(&log, intent()).await.unwrap();
        let delivered = Draft::new(EntryKind::Exported, "delivered").fact("exporter", "lake");
        let _recorded = begun.settle(delivered).await.unwrap();
        let (begun, _recorded) = Unsettled::begin(&log, intent()).await.unwrap();
        drop(begun);
        // One that the log does not take is none.
        let mut too_large = intent();
        too_large.reasons = vec!["x".repeat(40 << 10)];
        assert!(Unsettled::begin(&log, too_large).await.is_err());
        let last = Draft::new(EntryKind::PatientSought, "told");
        let _recorded = log.record(last).await.unwrap();
        let told = ["delivering", "delivered", "delivering", UNKNOWN, "told"];
        assert_eq!(outcomes(&log), told);
        log.close().unwrap();
        let verdict = nephron_audit::verify(folder.path(), VerifyOptions::default()).unwrap();
        assert!(verdict.is_whole(), "{:?}", verdict.gaps);
    }
}

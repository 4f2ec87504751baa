//! Which versions of plugins have served: an older one, however well signed, does not serve after a newer one unseen.
//!
//! The host's log keeps the greatest counter of each version line that served all callers (`docs/formats/statements.md`). It comes
//! down by one act alone, a person's rollback, of which the log has the name and the reason.

use std::collections::BTreeMap;

use nephron_model::{Draft, EntryKind, NotRecorded, Record, Recorder as _, Records as _, Space};
use nephron_trust::TrustError;

use crate::gateway::OpenError;
use crate::host_log::HostLog;
use crate::roster::Roster;
use crate::swap::manifest_record;

/// Refuses a roster with a plugin that is older than what has served, or than what is in the same roster.
///
/// # Errors
/// [`OpenError::Trust`].
pub(crate) fn check(host: &HostLog, roster: &Roster) -> Result<(), OpenError> {
    let greatest = greatest(roster);
    for (name, lineage, vouch) in roster.lineages() {
        let refused = |source| OpenError::Trust {
            name: name.to_owned(),
            source,
        };
        let beside = greatest.get(&lineage).copied().unwrap_or_default();
        let kept = kept(host, &lineage).map_err(refused)?;
        let least = kept.unwrap_or_default().max(beside);
        if vouch.counter < least {
            return Err(refused(TrustError::Older {
                by: vouch.by.clone(),
                counter: vouch.counter,
                least,
            }));
        }
    }
    Ok(())
}

/// Keeps the counters of a roster that is about to serve, if they are not those that are kept.
///
/// # Errors
/// [`NotRecorded`]: it must not serve.
pub(crate) async fn keep(
    host: &HostLog,
    roster: &Roster,
    by: &str,
    reason: &str,
) -> Result<(), NotRecorded> {
    let mut counters = greatest(roster);
    counters.retain(|lineage, counter| kept(host, lineage).ok().flatten() != Some(*counter));
    record(host, roster, counters, by, reason).await
}

/// Keeps the counters of a roster that serves on, after one that was to serve in its place was not told everywhere: its counters may be
/// on their way to the disk still.
///
/// # Errors
/// [`NotRecorded`].
pub(crate) async fn put_back(
    host: &HostLog,
    roster: &Roster,
    by: &str,
    reason: &str,
) -> Result<(), NotRecorded> {
    record(host, roster, greatest(roster), by, reason).await
}

async fn record(
    host: &HostLog,
    roster: &Roster,
    counters: BTreeMap<String, u64>,
    by: &str,
    reason: &str,
) -> Result<(), NotRecorded> {
    if counters.is_empty() {
        return Ok(());
    }
    let draft = Draft::new(EntryKind::RosterActivated, "counters");
    let mut draft = draft.fact("by", by).fact("reason", reason);
    draft.generation = Some(roster.generation());
    draft.records.push(manifest_record(roster));
    draft
        .records
        .extend(counters.iter().map(|(lineage, counter)| Record {
            space: Space::Counter,
            key: lineage.clone().into_bytes(),
            value: counter.to_le_bytes().to_vec(),
        }));
    draft.counts = counters;
    let _durable = host.own()?.log().record(draft).await?;
    Ok(())
}

/// The greatest counter of each version line in a roster.
fn greatest(roster: &Roster) -> BTreeMap<String, u64> {
    let mut greatest = BTreeMap::new();
    for (_, lineage, vouch) in roster.lineages() {
        let counter: &mut u64 = greatest.entry(lineage).or_default();
        *counter = vouch.counter.max(*counter);
    }
    greatest
}

/// The counter that the host's log keeps of a version line.
fn kept(host: &HostLog, lineage: &str) -> Result<Option<u64>, TrustError> {
    let unknown = |source| TrustError::CountersUnknown(source);
    let own = host.own().map_err(|source| unknown(Box::new(source)))?;
    let value = own.log().read(Space::Counter, lineage.as_bytes());
    let Some(value) = value.map_err(|source| unknown(Box::new(source)))? else {
        return Ok(None);
    };
    let counter = value.as_slice().try_into().map(u64::from_le_bytes);
    counter
        .map(Some)
        .map_err(|source| unknown(Box::new(source)))
}

//! Runs what was judged once more: as it was, to see whether it comes out the same (I8), or under a candidate, to see what that
//! would change. Both open sealed payloads under a grant, each use of which is an entry (I1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use nephron_audit::Entry;
use nephron_engine::contract::Span;
use nephron_engine::{Answer, Engine, Judgement, Plugin, PluginFailure};
use nephron_keys::{Grant, GrantRequest, KeyError, Operations, Subject};
use nephron_model::{
    Digest, Draft, EntryKind, EventId, NotRecorded, Purpose, Recorder as _, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::Gateway;
use crate::case::{JUDGEMENT, summarise};
use crate::replay::ReplayError;
use crate::swap::{SwapError, Warrant};
use crate::tenant::Tenant;

/// What an operator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rerun {
    pub(crate) what: What,
    /// Of this tenant; of each that is open when left out.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// Which judgements, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum What {
    /// Those of one event, by the plugins that judged then.
    Replay(EventId),
    /// Those since then, by the plugins of a candidate that have the same names.
    WhatIf {
        candidate: PathBuf,
        /// RFC 3339, in UTC.
        since: Option<String>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ran {
    /// The candidate's generation, if there was one.
    pub(crate) candidate: Option<Digest>,
    /// Judgements that were run again.
    pub(crate) judgements: u64,
    /// Of these, how many gave the same answer, byte for byte.
    pub(crate) same: u64,
    /// Each kind of difference with its count: `permit to deny`, `gained name`.
    pub(crate) differences: BTreeMap<String, u64>,
    /// Each judgement that gave another answer, those first that were denied and are permitted; of each sort at most [`Ran::LISTED`].
    pub(crate) differing: Vec<Differing>,
    /// Whether there are more.
    pub(crate) is_cut: bool,
    /// Judgements that could not be run again, by reason.
    pub(crate) not_run: BTreeMap<String, u64>,
    /// Tenants whose logs are not open: nothing of theirs was looked at.
    pub(crate) not_looked_at: Vec<TenantId>,
}

/// What came of one tenant's.
#[derive(Clone, Copy, Default)]
struct Sum {
    judgements: u64,
    same: u64,
}

impl Ran {
    pub(crate) const LISTED: usize = 10_000;
}

/// A judgement that gave another answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Differing {
    pub(crate) tenant: TenantId,
    pub(crate) event: Option<EventId>,
    pub(crate) sequence: u64,
    pub(crate) plugin: String,
    pub(crate) differences: Vec<String>,
}

/// Nothing was run again, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RerunError {
    #[error(transparent)]
    Candidate(#[from] SwapError),
    #[error("`{0}` is no time; write it as 2026-11-26T00:00:00Z")]
    NoTime(String),
    #[error("there is no tenant `{0}` that is open")]
    NoTenant(TenantId),
    #[error("no log that is open holds event {0}")]
    NoEvent(EventId),
    #[error("event {0} has no judgement of a plugin, and so there is nothing to run again")]
    NoJudgement(EventId),
    #[error("judgements are being run again already; try again when that has ended")]
    Busy,
    #[error("a task of this program broke down")]
    Panicked,
    #[error("the log of tenant `{0}` cannot be read")]
    Unreadable(TenantId),
    #[error("no grant for the payloads of tenant `{tenant}`")]
    Grant {
        tenant: TenantId,
        #[source]
        source: KeyError,
    },
    #[error("it cannot be recorded in the log of tenant `{tenant}`, and so is not done")]
    NotRecorded {
        tenant: TenantId,
        #[source]
        source: NotRecorded,
    },
}

/// How far it has come: judgements done, of how many.
pub(crate) type Progress = mpsc::Sender<(u64, u64)>;

/// How long the grant lasts.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A judgement that is to be run again.
struct Place {
    tenant: Arc<Tenant>,
    sequence: u64,
}

impl Gateway {
    /// Runs recorded judgements again. `user` is who asks, as the system names him.
    pub(crate) async fn rerun(
        &self,
        rerun: Rerun,
        user: &str,
        progress: &Progress,
    ) -> Result<Ran, RerunError> {
        let warrant = Warrant::of(&rerun.by, user, &rerun.reason)?;
        let _alone = self.rerunning().try_lock().map_err(|_| RerunError::Busy)?;
        let tenants = self.tenants_of(rerun.tenant.as_ref())?;
        let mut ran = Ran::default();
        if rerun.tenant.is_none() {
            let closed = self.keepers().filter(|keeper| keeper.open().is_none());
            ran.not_looked_at = closed.map(|keeper| keeper.id().clone()).collect();
        }
        let (places, candidate) = match rerun.what {
            What::Replay(event) => (of_event(&tenants, event)?, None),
            What::WhatIf { candidate, since } => {
                let config = self.swap().read(&candidate)?;
                let serving = self.swap().serving();
                let roster = self.workshop().make_beside(&config, &serving).await;
                let roster = roster.map_err(SwapError::Candidate)?;
                ran.candidate = Some(roster.generation());
                let since = since.map(|since| match since.parse() {
                    Ok(time) => Ok(time),
                    Err(_) => Err(RerunError::NoTime(since)),
                });
                let (since, of) = (since.transpose()?, tenants.clone());
                // Logs are long, and requests do not wait for their reader.
                let read = tokio::task::spawn_blocking(move || decisions(&of, since));
                (read.await.map_err(|_| RerunError::Panicked)??, Some(roster))
            }
        };
        let candidate_is = candidate.as_ref().map(|roster| roster.generation());
        let mut grants = BTreeMap::new();
        for place in &places {
            let tenant = &place.tenant;
            if !grants.contains_key(tenant.id()) {
                tell(tenant, "begun", &warrant, candidate_is, Sum::default()).await?;
                // Where keys are destroyed nothing can be opened, and no other tenant's matter that is.
                grants.insert(tenant.id().clone(), grant(tenant, &warrant).ok());
            }
        }
        let mut sums: BTreeMap<TenantId, Sum> = BTreeMap::new();
        let replayer = tokio::sync::Mutex::new(self.workshop().replayer());
        let of = u64::try_from(places.len()).unwrap_or(u64::MAX);
        let engine = self.engine();
        let again = async |place: Place| {
            let Some(grant) = grants.get(place.tenant.id()).and_then(Option::as_ref) else {
                return (place, Err(NotRerun::NoGrant));
            };
            let Ok(entry) = read(&place.tenant, place.sequence) else {
                return (place, Err(NotRerun::Unreadable));
            };
            let outcome = match &candidate {
                None if entry.header.outcome == NOT_RUN => Err(NotRerun::NeverRun),
                None => {
                    let replayed = replayer.lock().await.replay(grant, &entry).await;
                    replayed
                        .map_err(|error| NotRerun::from(&error))
                        .map(|replayed| Outcome {
                            plugin: replayed.plugin.name,
                            is_same: replayed.same_answer,
                            differences: match (replayed.same_answer, replayed.same_fuel) {
                                (true, true) => Vec::new(),
                                (true, false) => vec!["other fuel".to_owned()],
                                (false, _) => vec!["another answer".to_owned()],
                            },
                        })
                }
                Some(roster) => {
                    let name = entry
                        .header
                        .plugin
                        .as_ref()
                        .map(|plugin| plugin.name.as_str());
                    match name.and_then(|name| roster.plugin(name)) {
                        Some(plugin) => under(grant, &entry, plugin, &engine).await,
                        None => Err(NotRerun::NoSuchPlugin),
                    }
                }
            };
            (
                place,
                outcome.map(|outcome| (entry.header.request, outcome)),
            )
        };
        let width = std::thread::available_parallelism().map_or(1, usize::from);
        let mut running = std::pin::pin!(
            futures_util::stream::iter(places)
                .map(again)
                .buffered(width.min(WIDEST))
        );
        let mut done = 0;
        while let Some((place, outcome)) = running.next().await {
            done += 1;
            // Whoever no longer looks is no reason to stop.
            let _shown = progress.try_send((done, of));
            match outcome {
                Err(reason) => *ran.not_run.entry(reason.code().to_owned()).or_default() += 1,
                Ok((event, outcome)) => {
                    let sum = sums.entry(place.tenant.id().clone()).or_default();
                    sum.judgements += 1;
                    sum.same += u64::from(outcome.is_same);
                    ran.take(&place, event, outcome);
                }
            }
        }
        ran.sort();
        let mut told = Ok(());
        for id in grants.keys() {
            let tenant = tenants.iter().find(|tenant| tenant.id() == id);
            if let Some(tenant) = tenant {
                let sum = sums.get(id).copied().unwrap_or_default();
                // Each tenant's log has what was run of its own.
                told = told.and(tell(tenant, "done", &warrant, candidate_is, sum).await);
            }
        }
        told.map(|()| ran)
    }

    fn tenants_of(&self, id: Option<&TenantId>) -> Result<Vec<Arc<Tenant>>, RerunError> {
        match id {
            Some(id) => {
                let tenant = self.tenant(id);
                Ok(vec![
                    tenant.ok_or_else(|| RerunError::NoTenant(id.clone()))?,
                ])
            }
            None => Ok(self
                .keepers()
                .filter_map(crate::keeper::Keeper::open)
                .collect()),
        }
    }
}

impl Ran {
    fn take(&mut self, place: &Place, event: Option<EventId>, outcome: Outcome) {
        self.judgements += 1;
        self.same += u64::from(outcome.is_same);
        for difference in &outcome.differences {
            *self.differences.entry(difference.clone()).or_default() += 1;
        }
        let differs = !outcome.is_same || !outcome.differences.is_empty();
        let is_grave = outcome.differences.iter().any(|one| one == GRAVEST);
        let listed = self.differing.iter();
        // What matters most is listed however much else there is.
        let room = match is_grave {
            true => listed.filter(|one| one.is_grave()).count() < Self::LISTED,
            false => listed.len() < Self::LISTED,
        };
        self.is_cut |= differs && !room;
        if differs && room {
            self.differing.push(Differing {
                tenant: place.tenant.id().clone(),
                event,
                sequence: place.sequence,
                plugin: outcome.plugin,
                differences: outcome.differences,
            });
        }
    }
}

/// The outcome of a judgement for which the plugin was not asked.
const NOT_RUN: &str = PluginFailure::NotRun("").code();

/// Places in the sandbox that are taken from requests, at most.
const WIDEST: usize = 8;

/// What a deny that becomes a permit is called.
const GRAVEST: &str = "deny to permit";

impl Differing {
    fn is_grave(&self) -> bool {
        self.differences.iter().any(|one| one == GRAVEST)
    }
}

impl Ran {
    fn sort(&mut self) {
        self.differing.sort_by_key(|one| !one.is_grave());
    }
}

/// Why a judgement was not run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotRerun {
    /// No grant opens its tenant's payloads.
    NoGrant,
    /// Its entry cannot be read.
    Unreadable,
    /// It was not run then: the host had its reasons, which are not the plugin's.
    NeverRun,
    NoSuchPlugin,
    Pruned,
    NoPayload,
    Sealed,
    NotADecision,
    UnknownForm,
    NotKept,
    NotLoaded,
    /// A task of this program broke down.
    Panicked,
    NoPlace,
    TimedOut,
}

impl NotRerun {
    const fn code(self) -> &'static str {
        match self {
            Self::NoGrant => "no-grant",
            Self::Unreadable => "unreadable",
            Self::NeverRun => NOT_RUN,
            Self::NoSuchPlugin => "no-such-plugin",
            Self::Pruned => "pruned",
            Self::NoPayload => "no-payload",
            Self::Sealed => "sealed",
            Self::NotADecision => "no-decision",
            Self::UnknownForm => "unknown-form",
            Self::NotKept => "not-kept",
            Self::NotLoaded => "not-loaded",
            Self::Panicked => "panicked",
            Self::NoPlace => "no-place",
            Self::TimedOut => "timed-out",
        }
    }
}

impl From<&ReplayError> for NotRerun {
    fn from(error: &ReplayError) -> Self {
        match error {
            ReplayError::NotADecision { .. } => Self::NotADecision,
            ReplayError::Pruned { .. } => Self::Pruned,
            ReplayError::Sealed(_) => Self::Sealed,
            ReplayError::Form => Self::UnknownForm,
            ReplayError::NotKept { .. } => Self::NotKept,
            ReplayError::Load(_) => Self::NotLoaded,
        }
    }
}

/// What came of one judgement.
struct Outcome {
    plugin: String,
    is_same: bool,
    differences: Vec<String>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    output: &'a RawValue,
}

/// Runs the recorded input of `entry` through `plugin`.
async fn under(
    grant: &Grant,
    entry: &Entry,
    plugin: &Arc<Plugin>,
    engine: &Arc<Engine>,
) -> Result<Outcome, NotRerun> {
    let header = &entry.header;
    let missing = if entry.is_pruned {
        NotRerun::Pruned
    } else {
        NotRerun::NoPayload
    };
    let sealed = entry.payload.as_ref().ok_or(missing)?;
    let opened = grant.open_payload(sealed, header.request, JUDGEMENT).await;
    let opened = opened.map_err(|_| NotRerun::Sealed)?;
    let payload: Payload<'_> =
        serde_json::from_slice(opened.expose()).map_err(|_| NotRerun::UnknownForm)?;
    let judgement =
        Judgement::from_bytes(payload.input.get().as_bytes()).map_err(|_| NotRerun::UnknownForm)?;
    let (on, by) = (Arc::clone(engine), Arc::clone(plugin));
    // On any core; it holds nothing that must be closed when the gateway stops.
    let called = tokio::spawn(async move { on.call(&by, &judgement, None).await });
    let verdict = called.await.map_err(|_| NotRerun::Panicked)?;
    // What the host could not do says nothing about the candidate.
    match &verdict.answer {
        Err(PluginFailure::NotRun(_)) => return Err(NotRerun::NoPlace),
        Err(PluginFailure::TimedOut) => return Err(NotRerun::TimedOut),
        Ok(_) | Err(_) => {}
    }
    let is_same = verdict.to_bytes().expose().as_slice() == payload.output.get().as_bytes();
    let mut now = Draft::new(EntryKind::Decision, "");
    summarise(&verdict, &mut now);
    let mut differences = Vec::new();
    if now.outcome != header.outcome {
        differences.push(format!("{} to {}", header.outcome, now.outcome));
    }
    let was = Answer::from_bytes(payload.output.get().as_bytes());
    if let (Ok(Answer::Detected(Ok(was))), Ok(Answer::Detected(Ok(is)))) = (was, &verdict.answer) {
        differences.extend(spans("lost", &was, is));
        differences.extend(spans("gained", is, &was));
    }
    if !is_same && differences.is_empty() {
        differences.push("another answer".to_owned());
    }
    Ok(Outcome {
        plugin: plugin.reference().name.clone(),
        is_same,
        differences,
    })
}

/// Each span of `these` that is not among `those`, by its kind.
fn spans(what: &str, these: &[Span], those: &[Span]) -> Vec<String> {
    let place = |span: &Span| {
        let kind = crate::chain::deidentify::kind(span);
        (span.message, span.part, span.start, span.end, kind)
    };
    let those: BTreeSet<_> = those.iter().map(place).collect();
    let alone = these.iter().map(place).filter(|span| !those.contains(span));
    alone
        .map(|(_, _, _, _, kind)| format!("{what} {kind}"))
        .collect()
}

/// The decisions of one event.
fn of_event(tenants: &[Arc<Tenant>], event: EventId) -> Result<Vec<Place>, RerunError> {
    for tenant in tenants {
        let unreadable = |_| RerunError::Unreadable(tenant.id().clone());
        let sequences = tenant.log().of_request(event).map_err(unreadable)?;
        let mut places = Vec::new();
        for sequence in &sequences {
            if read(tenant, *sequence)?.header.kind == EntryKind::Decision {
                places.push(Place {
                    tenant: Arc::clone(tenant),
                    sequence: *sequence,
                });
            }
        }
        if !places.is_empty() {
            return Ok(places);
        }
        if !sequences.is_empty() {
            return Err(RerunError::NoJudgement(event));
        }
    }
    Err(RerunError::NoEvent(event))
}

/// Every decision since then, but those about exporting, which are about entries and not about a request.
fn decisions(tenants: &[Arc<Tenant>], since: Option<Timestamp>) -> Result<Vec<Place>, RerunError> {
    let mut places = Vec::new();
    for tenant in tenants {
        for entry in tenant.log().entries(0..u64::MAX) {
            let header = entry
                .map_err(|_| RerunError::Unreadable(tenant.id().clone()))?
                .header;
            let is_asked = since.is_none_or(|since| header.time >= since);
            if is_asked && header.kind == EntryKind::Decision && header.request.is_some() {
                places.push(Place {
                    tenant: Arc::clone(tenant),
                    sequence: header.sequence,
                });
            }
        }
    }
    Ok(places)
}

fn read(tenant: &Tenant, sequence: u64) -> Result<Entry, RerunError> {
    let unreadable = || RerunError::Unreadable(tenant.id().clone());
    let entry = tenant.log().entry(sequence).map_err(|_| unreadable())?;
    entry.ok_or_else(unreadable)
}

/// Health care operations: 45 CFR 164.501, quality assessment and audit.
const PURPOSE: &str = "HOPERAT";

fn grant(tenant: &Tenant, warrant: &Warrant) -> Result<Grant, RerunError> {
    let granted = auditors_grant(tenant, warrant);
    granted.map_err(|source| RerunError::Grant {
        tenant: tenant.id().clone(),
        source,
    })
}

/// A grant to open payloads, for whoever the warrant names.
pub(crate) fn auditors_grant(tenant: &Tenant, warrant: &Warrant) -> Result<Grant, KeyError> {
    let subject = Subject::Caller(warrant.by.clone());
    let purpose: Purpose = PURPOSE
        .parse()
        .map_err(|_| KeyError::AuthenticationFailed)?;
    let request = GrantRequest::new(subject, Operations::OPEN_PAYLOAD, purpose, LIFETIME);
    tenant.keys().mint(request)
}

async fn tell(
    tenant: &Tenant,
    code: &str,
    warrant: &Warrant,
    candidate: Option<Digest>,
    sum: Sum,
) -> Result<(), RerunError> {
    let mut draft = Draft::new(EntryKind::JudgementsRerun, code)
        .fact("by", warrant.by.as_str())
        .fact("reason", warrant.reason.as_str());
    if let Some(candidate) = candidate {
        draft = draft.fact("candidate", candidate.to_string());
    }
    if code == "done" {
        draft.counts.insert("judgements".to_owned(), sum.judgements);
        draft.counts.insert("same".to_owned(), sum.same);
    }
    let recorded = tenant.log().record(draft).await;
    recorded
        .map(drop)
        .map_err(|source| RerunError::NotRecorded {
            tenant: tenant.id().clone(),
            source,
        })
}

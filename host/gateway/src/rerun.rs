//! Runs what was judged once more: as it was, to see whether it comes out the same (I8), or under a candidate, to see what that
//! would change. Both open sealed payloads under a grant, each use of which is an entry (I1).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use nephron_audit::{Entry, Header};
use nephron_engine::{Answer, Engine, Judgement, PluginFailure};
use nephron_keys::{Grant, GrantRequest, KeyError, Operations, Subject};
use nephron_model::{
    Digest, Draft, EntryKind, EventId, Fingerprint, NotRecorded, Phi, Point, Purpose,
    Recorder as _, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::Gateway;
use crate::case::JUDGEMENT;
use crate::chain::decide::combine;
use crate::replay::ReplayError;
use crate::roster::Roster;
use crate::swap::{Came, NotCompared, SwapError, Warrant, compare, is_grave};
use crate::tenant::Tenant;
use crate::wire::known;

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
    /// What requests that came since then were judged by, as the chain of a candidate would judge it.
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
    /// Judgements that were run again. Under a candidate, what several plugins answered together is one: what the deciders decided, and
    /// what the detectors found.
    pub(crate) judgements: u64,
    /// Of these, how many came to the same: as they were, the same answer, byte for byte.
    pub(crate) same: u64,
    /// Each kind of difference with its count: `permit-to-deny`, `gained-name`.
    pub(crate) differences: BTreeMap<String, u64>,
    /// Each judgement that came to something else, those first that were denied and are permitted; of each sort at most [`Ran::LISTED`].
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

/// A judgement that came to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Differing {
    pub(crate) tenant: TenantId,
    pub(crate) event: Option<EventId>,
    /// The entry of it, or the first.
    pub(crate) sequence: u64,
    pub(crate) point: Option<Point>,
    /// Whose it was, if it was one plugin's.
    pub(crate) plugin: Option<String>,
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
    #[error("nobody waits for it any more; what was done until then is in the log")]
    Abandoned,
    #[error("a task of this program broke down; its output says where: report that, and try again")]
    Panicked,
    #[error(
        "the log of tenant `{0}` cannot be read; `nephron audit verify` says where it is damaged"
    )]
    Unreadable(TenantId),
    #[error(
        "it cannot be recorded in the log of tenant `{tenant}`, and so is not done; the gateway's own output says why"
    )]
    NotRecorded {
        tenant: TenantId,
        #[source]
        source: NotRecorded,
    },
}

/// How far it has come: judgements done, of how many. Once nobody receives that any more, it stops.
pub(crate) type Progress = mpsc::Sender<(u64, u64)>;

/// How long the grant lasts.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be run again: a judgement, or those that several plugins made of the same question.
struct Asked {
    tenant: Arc<Tenant>,
    /// Their entries, in order; at least one.
    sequences: Vec<u64>,
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
        let (asked, candidate) = match rerun.what {
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
                let wanted = progress.clone();
                // Logs are long, and requests do not wait for their reader.
                let read = tokio::task::spawn_blocking(move || decisions(&of, since, &wanted));
                (read.await.map_err(|_| RerunError::Panicked)??, Some(roster))
            }
        };
        let candidate_is = candidate.as_ref().map(|roster| roster.generation());
        let mut grants = BTreeMap::new();
        for one in &asked {
            let tenant = &one.tenant;
            if !grants.contains_key(tenant.id()) {
                tell(tenant, "begun", &warrant, candidate_is, Sum::default()).await?;
                // Where keys are destroyed nothing can be opened, and no other tenant's matter that is.
                grants.insert(tenant.id().clone(), auditors_grant(tenant, &warrant).ok());
            }
        }
        let mut sums: BTreeMap<TenantId, Sum> = BTreeMap::new();
        let replayer = tokio::sync::Mutex::new(self.workshop().replayer());
        let of = asked.iter().map(|one| number(one.sequences.len())).sum();
        let engine = self.engine();
        let again = async |one: Asked| {
            let came = match grants.get(one.tenant.id()).and_then(Option::as_ref) {
                None => vec![Err(NotRerun::NoGrant)],
                Some(grant) => match (read_all(&one), &candidate) {
                    (Err(why), _) => vec![Err(why)],
                    (Ok(entries), Some(roster)) => under(grant, &entries, roster, &engine).await,
                    (Ok(entries), None) => {
                        let mut came = Vec::new();
                        for entry in entries {
                            came.push(as_it_was(&replayer, grant, &entry).await);
                        }
                        came
                    }
                },
            };
            (one, came)
        };
        let width = std::thread::available_parallelism().map_or(1, usize::from);
        let mut running = std::pin::pin!(
            futures_util::stream::iter(asked)
                .map(again)
                .buffered(width.min(WIDEST))
        );
        let mut done = 0;
        while !progress.is_closed()
            && let Some((one, came)) = running.next().await
        {
            done += number(one.sequences.len());
            // Whoever does not look yet is no reason to wait.
            let _shown = progress.try_send((done, of));
            for outcome in came {
                match outcome {
                    Err(reason) => *ran.not_run.entry(reason.code().to_owned()).or_default() += 1,
                    Ok(outcome) => {
                        let sum = sums.entry(one.tenant.id().clone()).or_default();
                        sum.judgements += 1;
                        sum.same += u64::from(outcome.is_same);
                        ran.take(one.tenant.id(), outcome);
                    }
                }
            }
        }
        let is_whole = done == of;
        let code = if is_whole { "done" } else { "stopped" };
        ran.sort();
        let mut told = Ok(());
        for id in grants.keys() {
            let tenant = tenants.iter().find(|tenant| tenant.id() == id);
            if let Some(tenant) = tenant {
                let sum = sums.get(id).copied().unwrap_or_default();
                // Each tenant's log has what was run of its own.
                told = told.and(tell(tenant, code, &warrant, candidate_is, sum).await);
            }
        }
        told?;
        match is_whole {
            true => Ok(ran),
            false => Err(RerunError::Abandoned),
        }
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
    fn take(&mut self, tenant: &TenantId, outcome: Outcome) {
        self.judgements += 1;
        self.same += u64::from(outcome.is_same);
        for difference in &outcome.differences {
            *self.differences.entry(difference.clone()).or_default() += 1;
        }
        let differs = !outcome.is_same || !outcome.differences.is_empty();
        let is_grave = outcome.differences.iter().any(|one| is_grave(one));
        let listed = self.differing.iter();
        // What matters most is listed however much else there is.
        let room = match is_grave {
            true => listed.filter(|one| one.is_grave()).count() < Self::LISTED,
            false => listed.len() < Self::LISTED,
        };
        self.is_cut |= differs && !room;
        if differs && room {
            self.differing.push(Differing {
                tenant: tenant.clone(),
                event: outcome.event,
                sequence: outcome.sequence,
                point: outcome.point,
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

impl Differing {
    fn is_grave(&self) -> bool {
        self.differences.iter().any(|one| is_grave(one))
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
    Pruned,
    NoPayload,
    Sealed,
    NotADecision,
    UnknownForm,
    NotKept,
    NotLoaded,
    /// A task of this program broke down.
    Panicked,
    /// The candidate has no answer that says something of it.
    Beside(NotCompared),
}

impl NotRerun {
    const fn code(self) -> &'static str {
        match self {
            Self::NoGrant => "no-grant",
            Self::Unreadable => "unreadable",
            Self::NeverRun => NOT_RUN,
            Self::Pruned => "pruned",
            Self::NoPayload => "no-payload",
            Self::Sealed => "sealed",
            Self::NotADecision => "no-decision",
            Self::UnknownForm => "unknown-form",
            Self::NotKept => "not-kept",
            Self::NotLoaded => "not-loaded",
            Self::Panicked => "panicked",
            Self::Beside(why) => why.code(),
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
    event: Option<EventId>,
    sequence: u64,
    point: Option<Point>,
    plugin: Option<String>,
    is_same: bool,
    differences: Vec<String>,
}

impl Outcome {
    fn of(entry: &Entry, differences: Vec<String>) -> Self {
        let header = &entry.header;
        Self {
            event: header.request,
            sequence: header.sequence,
            point: header.point,
            plugin: None,
            is_same: differences.is_empty(),
            differences,
        }
    }

    fn by(self, plugin: String) -> Self {
        let plugin = Some(plugin);
        Self { plugin, ..self }
    }
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    output: &'a RawValue,
}

/// A judgement as it was recorded.
struct Opened {
    judgement: Judgement,
    output: Phi<Vec<u8>>,
    plugin: String,
}

impl Opened {
    async fn of(grant: &Grant, entry: &Entry) -> Result<Self, NotRerun> {
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
        let judgement = Judgement::from_bytes(payload.input.get().as_bytes());
        let plugin = header.plugin.as_ref().ok_or(NotRerun::UnknownForm)?;
        Ok(Self {
            judgement: judgement.map_err(|_| NotRerun::UnknownForm)?,
            output: Phi::new(payload.output.get().as_bytes().to_vec()),
            plugin: plugin.name.clone(),
        })
    }

    /// Its answer; nothing where it failed.
    fn answer(&self) -> Option<Answer> {
        Answer::from_bytes(self.output.expose()).ok()
    }
}

/// The judgement of `entry`, by the plugin that made it.
async fn as_it_was(
    replayer: &tokio::sync::Mutex<crate::replay::Replayer<'_>>,
    grant: &Grant,
    entry: &Entry,
) -> Result<Outcome, NotRerun> {
    if entry.header.outcome == NOT_RUN {
        return Err(NotRerun::NeverRun);
    }
    let replayed = replayer.lock().await.replay(grant, entry).await;
    let replayed = replayed.map_err(|error| NotRerun::from(&error))?;
    let differences = match (replayed.same_answer, replayed.same_fuel) {
        (true, true) => Vec::new(),
        (true, false) => vec!["other-fuel".to_owned()],
        (false, _) => vec!["other-answer".to_owned()],
    };
    let outcome = Outcome::of(entry, differences).by(replayed.plugin.name);
    Ok(Outcome {
        is_same: replayed.same_answer,
        ..outcome
    })
}

/// What `roster` makes of one question: all of its deciders together, or its detectors; of any other question the plugin that has the name
/// of the one that was asked.
async fn under(
    grant: &Grant,
    entries: &[Entry],
    roster: &Arc<Roster>,
    engine: &Arc<Engine>,
) -> Vec<Result<Outcome, NotRerun>> {
    let mut opened = Vec::new();
    for entry in entries {
        match Opened::of(grant, entry).await {
            Ok(one) => opened.push((entry, one)),
            Err(why) => return vec![Err(why)],
        }
    }
    let Some((first, Opened { judgement, .. })) = opened.first() else {
        return Vec::new();
    };
    let answers = opened.iter().map(|(_, one)| one.answer());
    let together = match judgement {
        Judgement::Decide(_) => {
            let decisions: Option<Vec<_>> = answers
                .map(|answer| answer.and_then(|answer| answer.decision().ok()))
                .collect();
            let point = first.header.point.unwrap_or(Point::Ingress);
            Some(decisions.map_or_else(Came::undecided, |decisions| {
                Came::decided(&combine(point, decisions.into_iter().map(Ok)))
            }))
        }
        Judgement::Detect { messages, .. } => {
            let spans: Option<Vec<_>> = answers
                .map(|answer| answer.and_then(|answer| answer.spans().ok()))
                .collect();
            Some(Came::Found {
                spans: spans.map(|spans| spans.concat()),
                messages: known::texts(messages),
            })
        }
        Judgement::Deidentify { .. }
        | Judgement::Reidentify { .. }
        | Judgement::Encode { .. }
        | Judgement::Sign { .. }
        | Judgement::Decode { .. }
        | Judgement::Export(_)
        | Judgement::Judge { .. }
        | Judgement::Confirm { .. } => None,
    };
    if let Some(came) = together {
        let judgement = judgement.clone();
        return vec![beside(first, judgement, came, roster, engine).await];
    }
    let mut outcomes = Vec::new();
    for (entry, one) in opened {
        let came = Came::Answered {
            plugin: one.plugin.clone(),
            answer: one.answer().is_some().then_some(one.output),
        };
        let outcome = beside(entry, one.judgement, came, roster, engine).await;
        outcomes.push(outcome.map(|outcome| outcome.by(one.plugin)));
    }
    outcomes
}

/// What `roster` makes of a question that came to this then.
async fn beside(
    entry: &Entry,
    judgement: Judgement,
    came: Came,
    roster: &Arc<Roster>,
    engine: &Arc<Engine>,
) -> Result<Outcome, NotRerun> {
    let (on, by) = (Arc::clone(engine), Arc::clone(roster));
    let point = entry.header.point.ok_or(NotRerun::UnknownForm)?;
    // On any core; it holds nothing that must be closed when the gateway stops.
    let compared =
        tokio::spawn(async move { compare(&on, &by, point, &judgement, &came).await.outcome });
    let compared = compared.await.map_err(|_| NotRerun::Panicked)?;
    let differences = compared.map_err(NotRerun::Beside)?;
    Ok(Outcome::of(entry, differences))
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The decisions of one event.
fn of_event(tenants: &[Arc<Tenant>], event: EventId) -> Result<Vec<Asked>, RerunError> {
    for tenant in tenants {
        let unreadable = |_| RerunError::Unreadable(tenant.id().clone());
        let sequences = tenant.log().of_request(event).map_err(unreadable)?;
        let mut asked = Vec::new();
        for sequence in &sequences {
            if read(tenant, *sequence)?.header.kind == EntryKind::Decision {
                asked.push(Asked {
                    tenant: Arc::clone(tenant),
                    sequences: vec![*sequence],
                });
            }
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        if !sequences.is_empty() {
            return Err(RerunError::NoJudgement(event));
        }
    }
    Err(RerunError::NoEvent(event))
}

/// What requests that came since then were judged by; what exporters said is about entries and not about a request.
fn decisions(
    tenants: &[Arc<Tenant>],
    since: Option<Timestamp>,
    wanted: &Progress,
) -> Result<Vec<Asked>, RerunError> {
    let mut asked = Vec::new();
    for tenant in tenants {
        let first = since.map_or(Ok(0), |since| first_since(tenant, since))?;
        let mut questions = Questions::default();
        for entry in tenant.log().entries(first..u64::MAX) {
            if wanted.is_closed() {
                return Err(RerunError::Abandoned);
            }
            let entry = entry.map_err(|_| RerunError::Unreadable(tenant.id().clone()))?;
            if let Some(request) = entry.header.request
                && since.is_none_or(|since| !request.is_before(since))
            {
                questions.meet(request, &entry.header);
            }
        }
        asked.extend(questions.all.into_iter().map(|sequences| Asked {
            tenant: Arc::clone(tenant),
            sequences,
        }));
    }
    Ok(asked)
}

/// The first entry that was made in the millisecond of `since` or later: no entry has a time before the one before it, and none of a request
/// has one before the request came.
fn first_since(tenant: &Tenant, since: Timestamp) -> Result<u64, RerunError> {
    let since = Timestamp {
        nanoseconds: since.nanoseconds / 1_000_000 * 1_000_000,
        ..since
    };
    let (mut first, mut end) = (0, tenant.log().head().entries);
    while first < end {
        let middle = first + (end - first) / 2;
        match read(tenant, middle)?.header.time < since {
            true => first = middle + 1,
            false => end = middle,
        }
    }
    Ok(first)
}

/// Judgements by the question: those of several plugins about the same input, at the same point of one request, belong together.
#[derive(Default)]
struct Questions {
    /// Entries of each, in the order in which they were asked.
    all: Vec<Vec<u64>>,
    /// Of requests that have not ended: who was asked, and which it is of all.
    open: HashMap<EventId, HashMap<Question, (BTreeSet<String>, usize)>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Question {
    point: Option<Point>,
    input: Option<Fingerprint>,
}

impl Questions {
    fn meet(&mut self, request: EventId, header: &Header) {
        if header.kind == EntryKind::RequestClosed {
            self.open.remove(&request);
        }
        if header.kind != EntryKind::Decision {
            return;
        }
        let plugin = header.plugin.as_ref().map(|plugin| plugin.name.clone());
        let plugin = plugin.unwrap_or_default();
        let question = Question {
            point: header.point,
            input: header.input,
        };
        let open = self.open.entry(request).or_default();
        if let Some((asked, which)) = open.get_mut(&question)
            && let Some(sequences) = self.all.get_mut(*which)
            && asked.insert(plugin.clone())
        {
            return sequences.push(header.sequence);
        }
        // Whoever is asked the same again is asked another question.
        open.insert(question, (BTreeSet::from([plugin]), self.all.len()));
        self.all.push(vec![header.sequence]);
    }
}

fn read_all(asked: &Asked) -> Result<Vec<Entry>, NotRerun> {
    let entries = asked.sequences.iter();
    let entries = entries.map(|sequence| read(&asked.tenant, *sequence));
    entries
        .collect::<Result<_, _>>()
        .map_err(|_| NotRerun::Unreadable)
}

fn read(tenant: &Tenant, sequence: u64) -> Result<Entry, RerunError> {
    let unreadable = || RerunError::Unreadable(tenant.id().clone());
    let entry = tenant.log().entry(sequence).map_err(|_| unreadable())?;
    entry.ok_or_else(unreadable)
}

/// Health care operations: 45 CFR 164.501, quality assessment and audit.
const PURPOSE: &str = "HOPERAT";

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
    if code != "begun" {
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

#[cfg(test)]
mod tests {
    use nephron_audit::{Log, Options};
    use nephron_model::{FixedClock, PluginRef};

    use super::*;

    fn event(number: u8) -> EventId {
        let at = Timestamp {
            seconds: 1_795_305_802,
            nanoseconds: 0,
        };
        EventId::new(at, [number; 10])
    }

    #[tokio::test]
    async fn judgements_of_one_question_belong_together_and_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = "st-marys".parse().unwrap();
        let clock = Arc::new(FixedClock::at(1_795_305_802));
        let log = Log::open(folder.path(), &tenant, clock, Options::default()).unwrap();
        let write = async |kind, request, point, plugin: &str, input: u8| {
            let mut draft = Draft::new(kind, "permit").about(event(request));
            draft.point = Some(point);
            draft.input = Some(Fingerprint([input; 32]));
            draft.plugin = Some(PluginRef {
                digest: Digest::of(b"component"),
                name: plugin.to_owned(),
                settings: Digest::of(b"{}"),
                version: "1.0.0".to_owned(),
            });
            let _recorded = log.record(draft).await.unwrap();
        };
        let (decision, closed) = (EntryKind::Decision, EntryKind::RequestClosed);
        for (kind, request, point, plugin, input) in [
            // Entry 1; the first is the log's own.
            (decision, 1, Point::Ingress, "access", 1),
            // Of another request, in between, though it asks the same.
            (decision, 2, Point::Ingress, "access", 1),
            (decision, 1, Point::Ingress, "mfa", 1),
            // Of another input, and at another point.
            (decision, 1, Point::Ingress, "finder", 2),
            (decision, 1, Point::Egress, "access", 1),
            // The same is asked again: another question, which the second decider answers too.
            (decision, 1, Point::Ingress, "access", 1),
            (decision, 1, Point::Ingress, "mfa", 1),
            (EntryKind::KeyUsed, 1, Point::Ingress, "finder", 2),
            (closed, 1, Point::Egress, "access", 1),
            (decision, 1, Point::Ingress, "mfa", 2),
        ] {
            write(kind, request, point, plugin, input).await;
        }
        let mut questions = Questions::default();
        for entry in log.entries(0..u64::MAX) {
            let header = entry.unwrap().header;
            if let Some(request) = header.request {
                questions.meet(request, &header);
            }
        }
        let expected: [&[u64]; 6] = [&[1, 3], &[2], &[4], &[5], &[6, 7], &[10]];
        assert_eq!(questions.all, expected);
    }
}

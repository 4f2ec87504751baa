//! A roster that is asked beside the one that serves, to see what it would have said. It decides nothing, is lent no key, and
//! nobody waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nephron_engine::{Engine, Judgement, Verdict};
use nephron_model::{Digest, Draft, EntryKind, EventId, Phi, Point, Recorder as _, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tracing::warn;

use super::beside::{self, Came, Compared, is_grave};
use crate::case::Case;
use crate::roster::Roster;
use crate::tenant::Tenant;

/// What was judged, and waits to be judged beside. What comes while so much waits is counted and not looked at.
const WAITING: usize = 64;
/// Bytes of a response above which it is not looked at: so much is kept for each that waits.
const LARGEST: usize = 1 << 20;
/// Differences that are named with their events.
const NAMED: usize = 20;

/// Name of the payload of a `shadow-judged` entry, bound into its seal.
pub(crate) const ANSWERS: &str = "answers";

/// A judgement of a request, complete, with what came of it.
struct Seen {
    tenant: Arc<Tenant>,
    request: EventId,
    /// The entry, as far as the request fills it in.
    draft: Draft,
    point: Point,
    judgement: Phi<Judgement>,
    came: Came,
}

/// What a call costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Cost {
    pub(crate) calls: u64,
    pub(crate) fuel: u64,
    /// Wall-clock time: a shadow waits for whoever serves.
    pub(crate) micros: u64,
}

impl Cost {
    pub(crate) const fn average_fuel(self) -> Option<u64> {
        self.fuel.checked_div(self.calls)
    }

    fn add(&mut self, verdict: &Verdict) {
        self.calls += 1;
        self.fuel = self.fuel.saturating_add(verdict.fuel);
        self.micros = self.micros.saturating_add(verdict.micros());
    }
}

/// What has come of it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Findings {
    /// Judgements that were made beside, and compared.
    pub(crate) compared: u64,
    /// Of these, how many came to something else.
    pub(crate) differing: u64,
    /// Each kind of difference with its count: `deny-to-permit`, `lost-name`.
    pub(crate) differences: BTreeMap<String, u64>,
    /// Judgements that say nothing about the roster, by reason.
    pub(crate) not_compared: BTreeMap<String, u64>,
    /// Judgements that were not looked at, because others waited.
    pub(crate) skipped: u64,
    /// Those that differed last; those first that are denied and would be permitted.
    pub(crate) events: Vec<Differing>,
    pub(crate) cost: Cost,
    /// Of those who serve, for the same kinds of judgement.
    pub(crate) cost_of_serving: Cost,
}

/// A judgement that came to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Differing {
    pub(crate) tenant: TenantId,
    pub(crate) event: EventId,
    pub(crate) point: Point,
    pub(crate) differences: Vec<String>,
}

impl Differing {
    fn is_grave(&self) -> bool {
        self.differences.iter().any(|one| is_grave(one))
    }
}

impl Findings {
    /// Takes a judgement in. Those that requests look at are counted in `counted`, and not here.
    fn take(&mut self, seen: &Seen, compared: &Compared, counted: &Counted) {
        for (_, verdict) in &compared.verdicts {
            self.cost.add(verdict);
        }
        let differences = match &compared.outcome {
            Err(why) => return *self.not_compared.entry(why.code().to_owned()).or_default() += 1,
            Ok(differences) => differences,
        };
        let differing = u64::from(!differences.is_empty());
        counted.differing.fetch_add(differing, Ordering::Relaxed);
        // Whoever sees this one sees whether it differs.
        counted.compared.fetch_add(1, Ordering::Release);
        if differences.is_empty() {
            return;
        }
        for difference in differences {
            *self.differences.entry(difference.clone()).or_default() += 1;
        }
        let mut named = differences.clone();
        named.dedup();
        self.events.insert(
            0,
            Differing {
                tenant: seen.tenant.id().clone(),
                event: seen.request,
                point: seen.point,
                differences: named,
            },
        );
        self.events.sort_by_key(|one| !one.is_grave());
        self.events.truncate(NAMED);
    }
}

/// A shadow, as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shown {
    pub(crate) generation: Digest,
    pub(crate) percent: u8,
    pub(crate) findings: Findings,
}

/// Which judgements would not be made by the same plugins.
#[derive(Clone)]
struct Scope {
    deciders: bool,
    detectors: bool,
    connectors: Vec<String>,
}

impl Scope {
    fn of(roster: &Roster, serving: &Roster) -> Self {
        let (now, was) = (roster.manifest(), serving.manifest());
        let others = now.connectors.iter();
        let others = others.filter(|seat| !was.connectors.contains(seat));
        Self {
            deciders: now.deciders != was.deciders,
            detectors: now.detectors != was.detectors,
            connectors: others.map(|seat| seat.plugin.name.clone()).collect(),
        }
    }

    fn holds(&self, judgement: &Judgement, plugin: &str) -> bool {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other judgement is made beside: keys are lent for it"
        )]
        match judgement {
            Judgement::Decide(_) => self.deciders,
            Judgement::Detect { .. } => self.detectors,
            Judgement::Encode { .. } | Judgement::Decode { .. } => {
                self.connectors.iter().any(|name| name == plugin)
            }
            _ => false,
        }
    }
}

fn is_large(judgement: &Judgement) -> bool {
    let Judgement::Decode { chunks, .. } = judgement else {
        return false;
    };
    chunks.iter().map(Vec::len).sum::<usize>() > LARGEST
}

/// A roster beside the one that serves, on a thread of its own that gives way to every other.
pub(crate) struct Shadow {
    percent: u8,
    scope: Scope,
    requests: AtomicU64,
    queue: Mutex<Option<mpsc::Sender<Seen>>>,
    work: Arc<Work>,
    /// Who asks, and who records what came of it.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The first judgements are looked at however full the processor is, for whoever began the shadow waits for them.
const AT_FIRST: u64 = 100;
/// At most every so many judgements one is looked at.
const SELDOM: u64 = 100;
/// After so many judgements it is seen how full the processor is.
const LOOK: u64 = 16;

/// For how long a thread was at work and for how long it waited for a processor, since it began.
#[derive(Clone, Copy, Default)]
struct Ran {
    at_work: Duration,
    waited: Duration,
}

impl Ran {
    /// Of this thread, as the kernel counts it (`schedstat`, proc_pid_schedstat(5)); nothing where it does not.
    fn now() -> Option<Self> {
        let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut nanoseconds = counted.split(' ').map_while(|count| count.parse().ok());
        Some(Self {
            at_work: Duration::from_nanos(nanoseconds.next()?),
            waited: Duration::from_nanos(nanoseconds.next()?),
        })
    }

    /// Every how many judgements one is looked at from now on: half as often where this thread waited much longer than it worked, for then the
    /// processor is full, and what is begun holds up others however much it gives way; twice as often where it did not.
    fn pace(self, before: Self, every: u64) -> u64 {
        let waited = self.waited.saturating_sub(before.waited);
        let at_work = self.at_work.saturating_sub(before.at_work);
        if waited * 2 > at_work * 3 {
            (every.max(1) * 2).min(SELDOM)
        } else {
            (every / 2).max(1)
        }
    }
}

/// What the thread shares.
struct Work {
    engine: Arc<Engine>,
    roster: Arc<Roster>,
    findings: Mutex<Findings>,
    counted: Counted,
    is_ended: AtomicBool,
}

/// What is counted and read on the path of requests, which wait for no lock that the thread might hold.
#[derive(Default)]
struct Counted {
    /// What those who serve cost.
    calls: AtomicU64,
    fuel: AtomicU64,
    micros: AtomicU64,
    skipped: AtomicU64,
    compared: AtomicU64,
    differing: AtomicU64,
    /// Judgements that could be looked at, and every how many of them one is.
    offered: AtomicU64,
    every: AtomicU64,
}

impl Counted {
    /// Whether the next judgement is looked at, which is one of this request: all of a request's are, or none.
    fn takes_next(&self, request: EventId) -> bool {
        let number = self.offered.fetch_add(1, Ordering::Relaxed);
        let every = self.every.load(Ordering::Relaxed).max(1);
        number < AT_FIRST || request.drawn().is_multiple_of(every)
    }
}

impl Shadow {
    /// Begins to ask `roster` what `serving` is asked, of so many requests in a hundred. Called in a runtime.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(crate) fn begin(
        roster: &Arc<Roster>,
        serving: &Roster,
        percent: u8,
        engine: Arc<Engine>,
    ) -> std::io::Result<Self> {
        let work = Arc::new(Work {
            engine,
            roster: Arc::clone(roster),
            findings: Mutex::default(),
            counted: Counted::default(),
            is_ended: AtomicBool::new(false),
        });
        let (queue, seen) = mpsc::channel(WAITING);
        let (judged, to_record) = std::sync::mpsc::sync_channel::<(Seen, Compared)>(0);
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        // By a thread that gives way to nobody: requests wait for whoever gives an entry its place in the log, or uses the keys.
        let recorder = named("shadow-log").spawn(move || {
            while let Ok((mut seen, compared)) = to_record.recv() {
                if let Some(draft) = compared.recorded(&mut seen) {
                    // Nothing follows from it, and so nobody waits for it.
                    let _noted = seen.tenant.log().note(draft);
                }
            }
        })?;
        let (at_work, runtime) = (Arc::clone(&work), tokio::runtime::Handle::current());
        let thread = named("shadow").spawn(move || {
            if let Err(error) = give_way() {
                warn!(
                    ?error,
                    "a shadow takes as much of the processor as those who serve"
                );
            }
            runtime.block_on(at_work.run(seen, &judged));
        })?;
        Ok(Self {
            percent,
            scope: Scope::of(roster, serving),
            requests: AtomicU64::new(0),
            queue: Mutex::new(Some(queue)),
            work,
            threads: Mutex::new(vec![thread, recorder]),
        })
    }

    /// Whether it looks at the next request.
    pub(super) fn takes_next(&self) -> bool {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        // Spread out: of 25 in a hundred, every fourth.
        let percent = u64::from(self.percent);
        (number % 100 + 1) * percent / 100 > (number % 100) * percent / 100
    }

    /// Counts what a judgement cost that those who serve made.
    pub(crate) fn count(&self, judgement: &Judgement, plugin: &str, verdict: &Verdict) {
        if self.scope.holds(judgement, plugin) {
            let counted = &self.work.counted;
            counted.calls.fetch_add(1, Ordering::Relaxed);
            counted.fuel.fetch_add(verdict.fuel, Ordering::Relaxed);
            counted
                .micros
                .fetch_add(verdict.micros(), Ordering::Relaxed);
        }
    }

    /// What came of a judgement, to be held against what it would have come to. Costs the request nothing but this.
    pub(crate) fn see(
        &self,
        case: &Case,
        point: Point,
        judgement: &Judgement,
        plugin: &str,
        came: impl FnOnce() -> Came,
    ) {
        if !self.scope.holds(judgement, plugin) {
            return;
        }
        let counted = &self.work.counted;
        if is_large(judgement) || !counted.takes_next(case.id) {
            counted.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match queue.as_ref().map(mpsc::Sender::try_reserve) {
            Some(Ok(place)) => place,
            Some(Err(_)) => {
                counted.skipped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            None => return,
        };
        let draft = Draft {
            point: Some(point),
            ..case
                .draft(EntryKind::ShadowJudged, "")
                .fact("beside", self.roster().generation().to_string())
        };
        place.send(Seen {
            tenant: Arc::clone(&case.tenant),
            request: case.id,
            draft,
            point,
            judgement: Phi::new(judgement.clone()),
            came: came(),
        });
    }

    pub(crate) fn findings(&self) -> Findings {
        let (counted, listed) = (&self.work.counted, self.work.findings());
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Findings {
            compared: of(&counted.compared),
            differing: of(&counted.differing),
            skipped: of(&counted.skipped),
            cost_of_serving: Cost {
                calls: of(&counted.calls),
                fuel: of(&counted.fuel),
                micros: of(&counted.micros),
            },
            ..listed.clone()
        }
    }

    /// Percent of what was compared that differs, if enough was compared to say so.
    pub(super) fn divergence(&self, least: u64) -> Option<u64> {
        let counted = &self.work.counted;
        let compared = counted.compared.load(Ordering::Acquire);
        let differing = counted.differing.load(Ordering::Relaxed);
        let divergence = || differing.saturating_mul(100).checked_div(compared);
        (compared >= least).then(|| divergence().unwrap_or_default())
    }

    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.work.roster
    }

    pub(crate) fn shown(&self) -> Shown {
        Shown {
            generation: self.roster().generation(),
            percent: self.percent,
            findings: self.findings(),
        }
    }

    /// Looks at nothing more. What waits is let go of.
    pub(crate) fn end(&self) {
        self.work.is_ended.store(true, Ordering::Release);
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        *queue = None;
    }

    /// Whether its thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until its thread has ended, which may be as long as one call takes. Blocks.
    pub(crate) fn join(&self) {
        self.end();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // If it panicked, the panic hook has said where.
            let _ended = thread.join();
        }
    }
}

/// Has this thread run only while no other wants the processor (`SCHED_IDLE`, sched(7)), and stop at once when one does.
fn give_way() -> Result<(), thread_priority::Error> {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
}

impl Work {
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(
        &self,
        mut queue: mpsc::Receiver<Seen>,
        judged: &std::sync::mpsc::SyncSender<(Seen, Compared)>,
    ) {
        let (mut looked, mut before) = (0_u64, Ran::now().unwrap_or_default());
        while let Some(seen) = queue.recv().await {
            if self.is_ended.load(Ordering::Acquire) {
                return;
            }
            let (judgement, came) = (seen.judgement.expose(), &seen.came);
            let compared = beside::compare(&self.engine, &self.roster, seen.point, judgement, came);
            let compared = compared.await;
            looked += 1;
            if looked.is_multiple_of(LOOK)
                && let Some(now) = Ran::now()
            {
                let every = &self.counted.every;
                let paced = now.pace(before, every.load(Ordering::Relaxed));
                every.store(paced, Ordering::Relaxed);
                before = now;
            }
            self.findings().take(&seen, &compared, &self.counted);
            if judged.send((seen, compared)).is_err() {
                // It panicked, and the panic hook has said where.
                return;
            }
        }
    }
}

#[derive(Serialize)]
struct Recorded<'a> {
    plugin: &'a str,
    output: &'a RawValue,
}

impl Compared {
    /// Its entry. Nothing where it cannot be sealed: the tenant's keys have gone.
    fn recorded(&self, seen: &mut Seen) -> Option<Draft> {
        let mut draft = std::mem::replace(&mut seen.draft, Draft::new(EntryKind::ShadowJudged, ""));
        draft.outcome = match &self.outcome {
            Ok(differences) if differences.is_empty() => "same",
            Ok(_) => "differs",
            Err(_) => "not-compared",
        }
        .to_owned();
        match &self.outcome {
            Ok(differences) => {
                for difference in differences {
                    *draft.counts.entry(difference.clone()).or_default() += 1;
                }
            }
            Err(why) => draft.reasons.push(why.code().to_owned()),
        }
        let mut cost = Cost::default();
        for (_, verdict) in &self.verdicts {
            cost.add(verdict);
        }
        (draft.fuel, draft.micros) = (Some(cost.fuel), Some(cost.micros));
        let outputs: Vec<(&str, Phi<Vec<u8>>)> = self
            .verdicts
            .iter()
            .map(|(plugin, verdict)| (plugin.as_str(), verdict.to_bytes()))
            .collect();
        let answers: Option<Vec<Recorded<'_>>> = outputs
            .iter()
            .map(|(plugin, output)| {
                let output = serde_json::from_slice(output.expose()).ok()?;
                Some(Recorded { plugin, output })
            })
            .collect();
        let answers = Phi::new(serde_json::to_vec(&answers?).ok()?);
        let keys = seen.tenant.keys();
        let sealed = keys.seal_payload(Some(seen.request), ANSWERS, answers.expose());
        draft.payload = Some(sealed.ok()?);
        Some(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_processor_is_full_few_are_looked_at_and_where_it_is_not_all_are() {
        let ran = |at_work, waited| Ran {
            at_work: Duration::from_millis(at_work),
            waited: Duration::from_millis(waited),
        };
        let before = ran(70, 90);
        let (full, free) = (ran(80, 106), ran(80, 105));
        let mut every = Counted::default().every.into_inner();
        for expected in [2, 4, 8, 16, 32, 64, 100, 100] {
            every = full.pace(before, every);
            assert_eq!(every, expected);
        }
        for expected in [50, 25, 12, 6, 3, 1, 1] {
            every = free.pace(before, every);
            assert_eq!(every, expected);
        }
        assert!(Ran::now().is_some(), "Linux counts it");
        let counted = Counted::default();
        counted.every.store(SELDOM, Ordering::Relaxed);
        let requests = (0..1_000_u64).map(|number| {
            let at = nephron_model::Timestamp {
                seconds: 1,
                nanoseconds: 0,
            };
            let mut drawn = [0; 10];
            drawn[2..].copy_from_slice(&number.to_be_bytes());
            EventId::new(at, drawn)
        });
        let taken = requests.filter(|one| counted.takes_next(*one)).count();
        assert_eq!(taken, 100 + 9);
    }
}

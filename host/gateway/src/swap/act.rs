//! A gateway changes its roster, and its logs say so first (I1).

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nephron_model::{Digest, Draft, EntryKind, Record, Recorder as _, Space, TenantId};
use nephron_trust::TrustError;
use tokio::runtime::Handle;
use tracing::error;

use super::rehearse::rehearse;
use super::{Bounds, Canary, Change, Generation, Kept, Shadow, Standing, SwapError, Warrant};
use crate::Gateway;
use crate::admin::NotHis;
use crate::config::{Config, Operator};
use crate::counters;
use crate::gateway::OpenError;
use crate::roster::Roster;

/// For which one log is waited for: what ails a tenant's disk holds up nobody else.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody, or the gateway itself, set out to do with the roster.
struct Tried<'w> {
    /// Its verb.
    act: &'static str,
    warrant: &'w Warrant,
}

/// Which logs took an entry.
struct Told {
    tenants: usize,
    is_in_hosts: bool,
}

/// What it was tried with, as far as that is known.
#[derive(Default)]
struct With {
    generation: Option<Digest>,
    /// The component of the plugin that it failed at.
    component: Option<Digest>,
}

impl With {
    fn of(roster: &Roster, error: &SwapError) -> Self {
        let plugin = error.plugin().and_then(|name| roster.plugin(name));
        Self {
            generation: Some(roster.generation()),
            component: plugin.map(|plugin| plugin.reference().digest),
        }
    }
}

/// An act that was refused, and what it was tried with.
struct Refused {
    error: SwapError,
    with: With,
}

impl From<SwapError> for Refused {
    fn from(error: SwapError) -> Self {
        let with = With::default();
        Self { error, with }
    }
}

impl Refused {
    /// Of an act with this roster.
    fn with(roster: &Arc<Roster>) -> impl Fn(SwapError) -> Self + use<> {
        let roster = Arc::clone(roster);
        move |error| {
            let with = With::of(&roster, &error);
            Self { error, with }
        }
    }
}

impl Gateway {
    /// Changes the roster, or says how it stands. `user` is who asks, as the system names him, or for certain
    /// his certificate.
    ///
    /// # Errors
    /// [`SwapError`], which the logs have by then.
    pub(crate) async fn change(
        &self,
        change: Change,
        user: &str,
        is_certain: bool,
    ) -> Result<Standing, SwapError> {
        let act = change.verb();
        let Some((by, reason)) = change.warrant() else {
            return Ok(self.swap().standing());
        };
        let warrant = match Warrant::of(by, user, reason) {
            Ok(warrant) if is_certain => warrant.certain(),
            Ok(warrant) => warrant,
            Err(error) => {
                // What was said is not repeated.
                let warrant = &Warrant::of_nobody(user, "not said as it must be");
                let tried = Tried { act, warrant };
                return Err(self.refused(error.into(), &tried).await);
            }
        };
        let warrant = &warrant;
        let changed = match change {
            Change::Look => Ok(()),
            Change::Retire { .. } => {
                self.retire(warrant).await;
                Ok(())
            }
            Change::Stage { file, .. } => self.stage(&file, warrant).await.map(drop),
            Change::Activate { generation, .. } => self.activate(generation, warrant).await,
            Change::Shadow {
                generation,
                percent,
                ..
            } => self.begin_shadow(generation, percent, warrant).await,
            Change::Canary {
                generation,
                percent,
                bounds,
                ..
            } => {
                self.begin_canary(generation, percent, bounds, warrant)
                    .await
            }
            Change::Rollback { .. } => self.roll_back(warrant).await,
        };
        match changed {
            Ok(()) => Ok(self.swap().standing()),
            Err(refused) => Err(self.refused(refused, &Tried { act, warrant }).await),
        }
    }

    async fn retire(&self, warrant: &Warrant) {
        let _turn = self.swap().turn().await;
        self.end_shadow(warrant).await;
        if let Some(canary) = self.swap().canary() {
            self.end_canary(&canary, "canary-ended", warrant).await;
        }
        self.swap().retire();
        let draft = told(EntryKind::RosterStaged, "retired", warrant);
        let _told = self.tell_all(&draft).await;
    }

    async fn activate(&self, generation: Option<Digest>, warrant: &Warrant) -> Result<(), Refused> {
        let _turn = self.swap().turn().await;
        let candidate = self.swap().candidate(None)?;
        let refused = Refused::with(candidate.roster());
        let now = self.clock().now();
        let staged = self.swap().staged(generation, warrant, now);
        let staged = staged.map_err(&refused)?;
        self.vouched_for(&staged, true).await.map_err(&refused)?;
        let exchanged = self.exchange(staged, false, warrant).await;
        exchanged.map_err(refused)
    }

    async fn begin_shadow(
        &self,
        generation: Option<Digest>,
        percent: u8,
        warrant: &Warrant,
    ) -> Result<(), Refused> {
        let _turn = self.swap().turn().await;
        let candidate = self.swap().candidate(None)?;
        let begun = async {
            // What it finds it is shown, and that is no less than who serves sees.
            self.vouched_for(&candidate, true).await?;
            let shadow = self.beside(generation, percent)?;
            self.look_beside(shadow, warrant).await
        };
        begun.await.map_err(Refused::with(candidate.roster()))
    }

    async fn begin_canary(
        &self,
        generation: Option<Digest>,
        percent: u8,
        bounds: Bounds,
        warrant: &Warrant,
    ) -> Result<(), Refused> {
        let _turn = self.swap().turn().await;
        if !(1..=99).contains(&percent) {
            return Err(SwapError::NoPercentage.into());
        }
        let candidate = self.swap().candidate(None)?;
        let begun = async {
            let now = self.clock().now();
            let staged = self.swap().staged(generation, warrant, now)?;
            self.vouched_for(&staged, true).await?;
            let canary = self.canary(staged, percent, bounds)?;
            self.try_out(canary, warrant).await
        };
        begun.await.map_err(Refused::with(candidate.roster()))
    }

    async fn roll_back(&self, warrant: &Warrant) -> Result<(), Refused> {
        let _turn = self.swap().turn().await;
        if let Some(canary) = self.swap().canary() {
            self.end_canary(&canary, "canary-ended", warrant).await;
            return Ok(());
        }
        let before = self.swap().before(self.clock().now())?;
        let roster = Arc::clone(before.roster());
        let refused = Refused::with(&roster);
        self.vouched_for(&before, false).await.map_err(&refused)?;
        let exchanged = self.exchange(before, true, warrant).await;
        exchanged.map_err(refused)
    }

    /// Takes a configuration over for whose change no person answers, unless that widens anything.
    ///
    /// # Errors
    /// [`SwapError`]: it may be staged, and does not serve; the status has why, and so have the logs.
    pub(crate) async fn take_over(&self, file: &Path) -> Result<Arc<Generation>, SwapError> {
        let warrant = &Warrant::of_nobody("the configuration", "its files changed");
        let refused = match self.taken_over(file, warrant).await {
            Ok(taken) => return Ok(taken),
            Err(Refused {
                error: SwapError::Same,
                ..
            }) => return Err(SwapError::Same),
            Err(refused) => refused,
        };
        let error = &refused.error;
        let is_news = self.swap().refuse(crate::keeper::chain(error));
        // It is tried again each time that a file changes.
        let waits = matches!(error, SwapError::Waiting { .. } | SwapError::OnTrial);
        if waits && !is_news {
            return Err(refused.error);
        }
        let act = "take-over";
        Err(self.refused(refused, &Tried { act, warrant }).await)
    }

    async fn taken_over(&self, file: &Path, warrant: &Warrant) -> Result<Arc<Generation>, Refused> {
        let taken = self.stage(file, warrant).await?;
        let generation = taken.roster().generation();
        let refused = Refused::with(taken.roster());
        let _turn = self.swap().turn().await;
        if self.swap().is_rolled_back(taken.roster()) {
            return Err(refused(SwapError::RolledBack { generation }));
        }
        let now = self.clock().now();
        let ready = self.swap().staged(Some(generation), warrant, now);
        let ready = ready.map_err(&refused)?;
        self.vouched_for(&ready, true).await.map_err(&refused)?;
        let exchanged = self.exchange(ready, false, warrant).await;
        exchanged.map_err(&refused)?;
        Ok(taken)
    }

    /// Makes a candidate, and keeps it ready. Nothing but another candidate waits for its compiler.
    async fn stage(&self, file: &Path, warrant: &Warrant) -> Result<Arc<Generation>, Refused> {
        let _making = self.swap().making().await;
        let made = self.made(file).await;
        let _turn = self.swap().turn().await;
        let staged = match made {
            Ok((config, roster)) => {
                let (now, beside) = (self.clock().now(), Arc::clone(&roster));
                let staged = self.swap().stage(config, roster, warrant.clone(), now);
                staged.map_err(Refused::with(&beside))
            }
            Err(refused) => Err(refused),
        };
        let staged = match staged {
            Ok(staged) => {
                let draft = staged.draft(EntryKind::RosterStaged, "ok", warrant);
                match self.tell_all(&draft).await {
                    0 => Err(Refused::with(staged.roster())(SwapError::NotRecorded)),
                    _ => Ok(staged),
                }
            }
            Err(refused) => Err(refused),
        };
        if let Err(refused) = &staged {
            self.not_staged(&refused.error, warrant);
        }
        if self.swap().is_shadow_stale() {
            self.end_shadow(warrant).await;
        }
        staged
    }

    /// Makes a candidate: what reads, digests, compiles or loads does so on threads that may block.
    async fn made(&self, file: &Path) -> Result<(Config, Arc<Roster>), Refused> {
        let (file, serving) = (file.to_owned(), self.swap().serving());
        let config = aside(move || Config::load(&file)).await;
        let config = self.swap().takes(config.map_err(SwapError::Faults)?)?;
        let (workshop, runtime) = (Arc::clone(self.workshop()), Handle::current());
        let (config, beside) = (Arc::new(config), Arc::clone(&serving));
        let of = Arc::clone(&config);
        let made = aside(move || {
            let made = runtime.block_on(workshop.make_candidate(&of, &beside));
            made.map_err(|error| {
                let error = SwapError::Candidate(error);
                let component = error.plugin().and_then(|name| {
                    let plugin = of.plugins.iter().find(|plugin| plugin.name == name)?;
                    workshop.component_of(&of, plugin)
                });
                let with = With {
                    component,
                    ..With::default()
                };
                Box::new(Refused { error, with })
            })
        });
        let made = made.await.map_err(|refused| *refused)?;
        let roster = Arc::clone(&made.roster);
        let refused = Refused::with(&roster);
        let checked = counters::check(self.host(), &roster).map_err(SwapError::Candidate);
        checked.map_err(&refused)?;
        let engine = self.engine();
        let kept = Box::pin(rehearse(&engine, &config, &roster, Some(serving.roster())));
        kept.await.map_err(&refused)?;
        // What is refused leaves nothing behind that no entry names.
        let workshop = Arc::clone(self.workshop());
        let kept = aside(move || workshop.keep(&made)).await;
        kept.map_err(SwapError::Candidate).map_err(refused)?;
        Ok((Arc::unwrap_or_clone(config), roster))
    }

    /// Has the status say why a candidate was not staged. What a person staged before it is let go of: whoever goes on as if it had
    /// been staged must not let another serve.
    fn not_staged(&self, error: &SwapError, warrant: &Warrant) {
        if matches!(
            error,
            SwapError::Same | SwapError::Waiting { .. } | SwapError::OnTrial
        ) {
            return;
        }
        let _news = self.swap().refuse(crate::keeper::chain(error));
        if !warrant.is_nobodys() || matches!(error, SwapError::NotRecorded) {
            self.swap().unstage();
        }
    }

    /// Records that an act was refused, with what it was and why.
    async fn refused(&self, refused: Refused, tried: &Tried<'_>) -> SwapError {
        let Refused { error, with } = refused;
        let mut draft = told(EntryKind::PluginRefused, "refused", tried.warrant);
        draft = draft.fact("act", tried.act);
        if let Some(plugin) = error.plugin() {
            draft = draft.fact("plugin", plugin);
        }
        if let Some(component) = with.component {
            draft = draft.fact("component", component.to_string());
        }
        draft.generation = with.generation;
        draft.reasons.push(error.code().to_owned());
        let _told = self.tell_all(&draft).await;
        error
    }

    /// That nothing of it was revoked since it was staged; nor, if it is new, has a statement ended or a newer version served.
    async fn vouched_for(&self, next: &Generation, is_new: bool) -> Result<(), SwapError> {
        if self.swap().trust().is_none() {
            return Ok(());
        }
        let revoked = self.revoked().await?;
        let refused = |name: &str, source| {
            let name = name.to_owned();
            SwapError::Candidate(OpenError::Trust { name, source })
        };
        for seat in next.roster().manifest().seats() {
            let (name, component) = (&seat.plugin.name, seat.plugin.digest);
            if revoked.contains(&component) {
                return Err(refused(name, TrustError::ComponentRevoked { component }));
            }
        }
        let now = self.clock().now();
        for (name, _, vouch) in next.roster().lineages() {
            if revoked.contains(&vouch.key) {
                let (by, key) = (vouch.by.clone(), vouch.key);
                return Err(refused(name, TrustError::KeyRevoked { by, key }));
            }
            if is_new && !vouch.is_live(now) {
                let (by, until) = (vouch.by.clone(), vouch.until.parse().unwrap_or(now));
                return Err(refused(name, TrustError::Expired { by, until }));
            }
        }
        if is_new {
            counters::check(self.host(), next.roster()).map_err(SwapError::Candidate)?;
        }
        Ok(())
    }

    /// What is revoked now, as the configuration says it: one that cannot be read might have revoked more (I6).
    async fn revoked(&self) -> Result<BTreeSet<Digest>, SwapError> {
        let file = self.swap().configuration().to_owned();
        let read = aside(move || Config::load_trust(&file)).await;
        match read.map_err(SwapError::RevokedUnknown)? {
            Some(trust) => {
                self.swap().revoke(trust.policy.revoked.clone());
                Ok(trust.policy.revoked)
            }
            // Without it nobody is asked for, and that takes a restart.
            None => Err(SwapError::Elsewhere {
                sections: "`[trust]`".to_owned(),
            }),
        }
    }

    /// Looks at who is revoked, and says so of what serves. Blocks on the disk.
    pub(crate) fn look_at_trust(&self) {
        let swap = self.swap();
        if swap.trust().is_none() {
            return;
        }
        match Config::load_trust(swap.configuration()) {
            Ok(Some(trust)) => swap.revoke(trust.policy.revoked),
            Ok(None) => {}
            Err(faults) => error!(
                "what is revoked cannot be read, and nothing new is let serve until it can: {faults}"
            ),
        }
        for (plugin, code) in swap.distrusted(self.clock().now()) {
            error!(
                plugin,
                code,
                "it serves, and would not be let serve now; stage and activate a configuration without it"
            );
        }
    }

    /// What is staged, to be asked beside what serves.
    fn beside(&self, generation: Option<Digest>, percent: u8) -> Result<Shadow, SwapError> {
        if !(1..=100).contains(&percent) {
            return Err(SwapError::NoShare);
        }
        if self.swap().canary().is_some() {
            return Err(SwapError::OnTrial);
        }
        let candidate = self.swap().candidate(generation)?;
        let serving = self.swap().roster();
        let shadow = Shadow::begin(candidate.roster(), &serving, percent, self.engine());
        shadow.map_err(SwapError::NoThread)
    }

    /// A candidate for some callers; with a bound for it, what serves the others is asked beside.
    fn canary(&self, staged: Generation, percent: u8, bounds: Bounds) -> Result<Canary, SwapError> {
        let mirror = match bounds.divergence {
            Some(_) => {
                let serving = self.swap().roster();
                let begun = Shadow::begin(&serving, staged.roster(), 100, self.engine());
                Some(Arc::new(begun.map_err(SwapError::NoThread)?))
            }
            None => None,
        };
        Ok(Canary::new(staged, percent, bounds, mirror))
    }

    /// Has a candidate asked beside what serves. Whoever audits a request finds which one that was.
    async fn look_beside(&self, shadow: Shadow, warrant: &Warrant) -> Result<(), SwapError> {
        let mut draft = told(EntryKind::RosterStaged, "shadow", warrant);
        draft = draft.fact("percent", shadow.shown().percent.to_string());
        draft.generation = Some(shadow.roster().generation());
        draft.records.push(manifest_record(shadow.roster()));
        if self.tell_all(&draft).await == 0 {
            shadow.end();
            return Err(SwapError::NotRecorded);
        }
        self.end_shadow(warrant).await;
        let _none = self.swap().set_shadow(Some(Arc::new(shadow)));
        Ok(())
    }

    /// Asks nobody beside any more, and says what came of it.
    async fn end_shadow(&self, warrant: &Warrant) {
        let Some(shadow) = self.swap().set_shadow(None) else {
            return;
        };
        let findings = shadow.findings();
        let mut draft = told(EntryKind::RosterStaged, "shadow-ended", warrant);
        draft.generation = Some(shadow.roster().generation());
        draft.counts = findings.differences;
        for (name, number) in [
            ("compared", findings.compared),
            ("differing", findings.differing),
            ("skipped", findings.skipped),
        ] {
            draft.counts.insert(name.to_owned(), number);
        }
        let _told = self.tell_all(&draft).await;
    }

    /// Lets a candidate serve some callers.
    async fn try_out(&self, canary: Canary, warrant: &Warrant) -> Result<(), SwapError> {
        // A start in the middle of it lets nobody have it.
        let kept = self.swap().with_taken_back(canary.generation().roster());
        let draft = canary_draft(&canary, warrant);
        let told = self.tell_all_and_keep(&draft, &kept).await;
        if told.tenants == 0 || !told.is_in_hosts {
            if let Some(mirror) = canary.mirror() {
                mirror.end();
            }
            self.withdraw().await;
            return Err(SwapError::NotRecorded);
        }
        self.end_shadow(warrant).await;
        self.swap().set_canary(Some(Arc::new(canary)));
        Ok(())
    }

    /// Ends a canary whose candidate is not to serve.
    async fn end_canary(&self, canary: &Canary, code: &str, warrant: &Warrant) {
        self.swap().set_canary(None);
        self.swap().take_back(canary.generation().roster());
        let shown = canary.shown();
        let mut draft = told(EntryKind::RosterStaged, code, warrant);
        draft.generation = Some(shown.generation);
        for (name, counts) in [("canary", shown.canary), ("others", shown.others)] {
            draft.counts.insert(format!("{name}-judged"), counts.judged);
            draft.counts.insert(format!("{name}-failed"), counts.failed);
            draft.counts.insert(format!("{name}-micros"), counts.micros);
        }
        let kept = Kept::of(&self.swap().serving(), self.swap().rolled_back());
        let _told = self.tell_all_and_keep(&draft, &kept).await;
    }

    /// Records that an operator elsewhere asked for what is not his.
    pub(crate) async fn refuse_operator(
        &self,
        operator: &Operator,
        act: &'static str,
        refused: &NotHis,
    ) {
        let by = format!("{} ({})", operator.name, operator.known_by());
        let draft = Draft::new(EntryKind::PluginRefused, "refused");
        let mut draft = draft.fact("by", by).fact("act", act);
        draft.reasons.push(refused.code().to_owned());
        let _told = self.tell_all(&draft).await;
    }

    /// Ends a canary that went beyond a bound. It serves nobody any more; this says so.
    pub(crate) async fn watch_canary(&self) {
        let is_stopped = |canary: &Arc<Canary>| canary.why().is_some();
        if !self.swap().canary().as_ref().is_some_and(is_stopped) {
            return;
        }
        let _turn = self.swap().turn().await;
        // Whoever had the turn before may have ended it.
        let Some(canary) = self.swap().canary() else {
            return;
        };
        let Some(why) = canary.why() else { return };
        let why = why.to_owned();
        error!(generation = %canary.shown().generation, why, "the canary went beyond its bound and was stopped");
        let warrant = Warrant::of_nobody("the gateway", &format!("beyond its bound: {why}"));
        self.end_canary(&canary, "canary-stopped", &warrant).await;
        let why = format!("the canary went beyond its bound: {why}");
        let _news = self.swap().refuse(why);
    }

    /// Lets `next` serve, once the logs say so; where they cannot, they say that what served serves on.
    async fn exchange(
        &self,
        next: Generation,
        is_rollback: bool,
        warrant: &Warrant,
    ) -> Result<(), SwapError> {
        let code = if is_rollback { "rolled-back" } else { "ok" };
        let mut draft = next.draft(EntryKind::RosterActivated, code, warrant);
        if !is_rollback {
            draft = draft.fact("staged-by", next.warrant().by.as_str());
        }
        draft.records.push(manifest_record(next.roster()));
        // A tenant whose log has stopped is not served; when it opens again, its log says which roster serves.
        let rolled_back = self.swap().rolled_back_after(&next, is_rollback, warrant);
        let kept = Kept::of(&next, rolled_back);
        let told = self.tell_all_and_keep(&draft, &kept).await;
        // A start goes by the host's log. Only whoever goes back to what served need not wait for that to be mended.
        let is_told = told.tenants > 0 && (told.is_in_hosts || is_rollback);
        // After that: what is not told has not served.
        let kept = counters::keep(self.host(), next.roster(), &warrant.by, &warrant.reason);
        if !is_told || !matches!(tokio::time::timeout(PATIENCE, kept).await, Ok(Ok(()))) {
            self.withdraw().await;
            return Err(SwapError::NotRecorded);
        }
        let now = self.clock().now();
        // First what serves all: whom a canary served has that already, and no log is waited for in between.
        self.swap()
            .exchange(next, warrant.clone(), now, is_rollback);
        self.swap().set_canary(None);
        self.forget_breakers();
        self.end_shadow(warrant).await;
        Ok(())
    }

    /// Has the tenants forget what broke down of plugins that nobody is served by any more.
    pub(crate) fn forget_breakers(&self) {
        let held = self.swap().held();
        for tenant in self.serving() {
            tenant.breakers().retain(&held);
        }
    }

    /// Has the logs say that what served serves on, after some of them have, or may come to have, that something else does.
    async fn withdraw(&self) {
        let serving = self.swap().serving();
        let reason = "what was to serve is not in every log that must have it";
        let warrant = Warrant::of_nobody("the gateway", reason);
        let mut draft = told(EntryKind::RosterActivated, "withdrawn", &warrant);
        draft.generation = Some(serving.roster().generation());
        draft.records.push(manifest_record(serving.roster()));
        let kept = Kept::of(&serving, self.swap().rolled_back());
        let _told = self.tell_all_and_keep(&draft, &kept).await;
        let put_back = counters::put_back(self.host(), serving.roster(), &warrant.by, reason);
        let put_back = tokio::time::timeout(PATIENCE, put_back).await;
        if !matches!(put_back, Ok(Ok(()))) {
            error!(
                "the host's log does not take which versions of plugins serve; see to it before the next start"
            );
        }
    }

    /// Records `draft` in every log that is open, in all at once, and gives how many tenants' took it.
    async fn tell_all(&self, draft: &Draft) -> usize {
        self.tell(draft, draft.clone()).await.tenants
    }

    /// The same; the host's log keeps with it what a start is to know.
    async fn tell_all_and_keep(&self, draft: &Draft, kept: &Kept) -> Told {
        let mut of_host = draft.clone();
        of_host.records.push(kept.record());
        self.tell(draft, of_host).await
    }

    async fn tell(&self, draft: &Draft, of_host: Draft) -> Told {
        let of_host = &of_host;
        let told = self.serving().map(async |tenant| {
            let is_host = *tenant.id() == TenantId::host();
            let draft = if is_host { of_host } else { draft };
            let recorded = tokio::time::timeout(PATIENCE, tenant.log().record(draft.clone()));
            let why = match recorded.await {
                Ok(Ok(_recorded)) => return Some(is_host),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it took more than {} s", PATIENCE.as_secs()),
            };
            error!(tenant = %tenant.id(), why, "a change of the roster is not in its log");
            None
        });
        let told: Vec<bool> = join_all(told).await.into_iter().flatten().collect();
        let is_in_hosts = told.contains(&true);
        Told {
            tenants: told.len() - usize::from(is_in_hosts),
            is_in_hosts,
        }
    }
}

/// Does `work` on a thread that may block.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}

/// The entry that a canary begins, in a log that is open or opens while it runs.
pub(crate) fn canary_draft(canary: &Canary, warrant: &Warrant) -> Draft {
    let generation = canary.generation();
    let mut draft = generation.draft(EntryKind::RosterActivated, "canary", warrant);
    draft = draft
        .fact("staged-by", generation.warrant().by.as_str())
        .fact("percent", canary.percent().to_string());
    draft.records.push(manifest_record(generation.roster()));
    draft
}

fn told(kind: EntryKind, code: &str, warrant: &Warrant) -> Draft {
    Draft::new(kind, code)
        .fact("by", warrant.by.as_str())
        .fact("reason", warrant.reason.as_str())
}

/// A roster's manifest, beside the entry that it begins to serve.
pub(crate) fn manifest_record(roster: &Roster) -> Record {
    Record {
        space: Space::Generation,
        key: roster.generation().0.to_vec(),
        value: roster.manifest().to_bytes(),
    }
}

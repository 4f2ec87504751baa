//! A gateway changes its roster, and its logs say so first (I1).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nephron_model::{Digest, Draft, EntryKind, Record, Recorder as _, Space, TenantId};
use nephron_trust::TrustError;
use tracing::error;

use super::rehearse::rehearse;
use super::{Bounds, Canary, Change, Generation, Shadow, Standing, SwapError, Warrant};
use crate::Gateway;
use crate::admin::NotHis;
use crate::config::{Config, Operator};
use crate::counters;
use crate::gateway::OpenError;
use crate::roster::Roster;

/// For which one log is waited for: what ails a tenant's disk holds up nobody else.
const PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// Changes the roster, or says how it stands. `user` is who asks, as the system names him.
    pub(crate) async fn change(&self, change: Change, user: &str) -> Result<Standing, SwapError> {
        let changed = match change {
            Change::Look => Ok(()),
            Change::Retire { by, reason } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                let _turn = self.swap().turn().await;
                self.end_shadow(&warrant).await;
                if let Some(canary) = self.swap().canary() {
                    self.end_canary(&canary, "canary-ended", &warrant).await;
                }
                self.swap().retire();
                let draft = told(EntryKind::RosterStaged, "retired", &warrant);
                let _told = self.tell_all(&draft).await;
                Ok(())
            }
            Change::Stage { file, by, reason } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                self.stage(&file, warrant).await.map(drop)
            }
            Change::Activate {
                generation,
                by,
                reason,
            } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                let _turn = self.swap().turn().await;
                let staged = self.swap().staged(generation, &warrant, self.clock().now());
                match staged.and_then(|staged| self.vouched_for(staged, true)) {
                    Ok(staged) => self.exchange(staged, false, warrant).await,
                    Err(error) => Err(self.refused(error, &warrant).await),
                }
            }
            Change::Shadow {
                generation,
                percent,
                by,
                reason,
            } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                let _turn = self.swap().turn().await;
                match self.beside(generation, percent) {
                    Ok(shadow) => self.look_beside(shadow, &warrant).await,
                    Err(error) => Err(self.refused(error, &warrant).await),
                }
            }
            Change::Canary {
                generation,
                percent,
                bounds,
                by,
                reason,
            } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                let _turn = self.swap().turn().await;
                let staged = match (1..=99).contains(&percent) {
                    true => self.swap().staged(generation, &warrant, self.clock().now()),
                    false => Err(SwapError::NoPercentage),
                };
                let staged = staged.and_then(|staged| self.vouched_for(staged, true));
                let canary = staged.and_then(|staged| self.canary(staged, percent, bounds));
                match canary {
                    Ok(canary) => self.try_out(canary, &warrant).await,
                    Err(error) => Err(self.refused(error, &warrant).await),
                }
            }
            Change::Rollback { by, reason } => {
                let warrant = Warrant::of(&by, user, &reason)?;
                let _turn = self.swap().turn().await;
                if let Some(canary) = self.swap().canary() {
                    self.end_canary(&canary, "canary-ended", &warrant).await;
                    return Ok(self.swap().standing());
                }
                let before = self.swap().before(self.clock().now());
                match before.and_then(|before| self.vouched_for(before, false)) {
                    Ok(before) => self.exchange(before, true, warrant).await,
                    Err(error) => Err(self.refused(error, &warrant).await),
                }
            }
        };
        changed.map(|()| self.swap().standing())
    }

    /// Takes a configuration over for whose change no person answers, unless that widens anything.
    ///
    /// # Errors
    /// [`SwapError`]: it may be staged, and does not serve.
    pub(crate) async fn take_over(&self, file: &Path) -> Result<Arc<Generation>, SwapError> {
        let warrant = Warrant::of_nobody("the configuration", "its files changed");
        let staged = self.stage(file, warrant.clone()).await?;
        let generation = staged.roster().generation();
        if self.swap().is_rolled_back(staged.roster()) {
            return Err(SwapError::RolledBack { generation });
        }
        let _turn = self.swap().turn().await;
        let ready = self
            .swap()
            .staged(Some(generation), &warrant, self.clock().now())?;
        let ready = self.vouched_for(ready, true)?;
        self.exchange(ready, false, warrant).await?;
        Ok(staged)
    }

    /// Makes a candidate, and keeps it ready. Nothing but another candidate waits for its compiler.
    async fn stage(&self, file: &Path, warrant: Warrant) -> Result<Arc<Generation>, SwapError> {
        let _making = self.swap().making().await;
        let made = async {
            let config = self.swap().read(file)?;
            let serving = self.swap().serving();
            let roster = self.workshop().make_beside(&config, &serving).await;
            let roster = roster.map_err(SwapError::Candidate)?;
            counters::check(self.host(), &roster).map_err(SwapError::Candidate)?;
            let engine = self.engine();
            Box::pin(rehearse(&engine, &config, &roster, serving.roster())).await?;
            Ok((config, roster))
        };
        let made: Result<_, SwapError> = made.await;
        let _turn = self.swap().turn().await;
        let staged = made.and_then(|(config, roster)| {
            let now = self.clock().now();
            self.swap().stage(config, roster, warrant.clone(), now)
        });
        let staged = self.told_of(staged, warrant.clone()).await;
        if self.swap().is_shadow_stale() {
            self.end_shadow(&warrant).await;
        }
        staged
    }

    /// Has the logs say what was staged, or why nothing was.
    async fn told_of(
        &self,
        staged: Result<Arc<Generation>, SwapError>,
        warrant: Warrant,
    ) -> Result<Arc<Generation>, SwapError> {
        match staged {
            Ok(staged) => {
                let draft = staged.draft(EntryKind::RosterStaged, "ok", &warrant);
                if self.tell_all(&draft).await == 0 {
                    self.swap().unstage();
                    return Err(SwapError::NotRecorded);
                }
                Ok(staged)
            }
            Err(error @ (SwapError::Same | SwapError::Waiting { .. } | SwapError::OnTrial)) => {
                Err(error)
            }
            Err(error) => {
                self.swap().refuse(crate::keeper::chain(&error), &warrant);
                Err(self.refused(error, &warrant).await)
            }
        }
    }

    /// Records that a candidate, or an act, was refused, and why.
    async fn refused(&self, error: SwapError, warrant: &Warrant) -> SwapError {
        let mut draft = told(EntryKind::PluginRefused, "refused", warrant);
        if let Some(plugin) = error.plugin() {
            draft = draft.fact("plugin", plugin);
        }
        draft.reasons.push(error.code().to_owned());
        let _told = self.tell_all(&draft).await;
        error
    }

    /// The same, if nothing of it was revoked since it was staged; nor, if it is new, has a statement ended or a newer version served.
    fn vouched_for(&self, next: Generation, is_new: bool) -> Result<Generation, SwapError> {
        let Some(trust) = self.swap().trust() else {
            return Ok(next);
        };
        // What is revoked is read anew; a file that cannot be read has revoked nothing more.
        let latest = Config::load(self.swap().configuration()).ok();
        let latest = latest.and_then(|config| config.trust);
        let revoked = &latest.as_ref().unwrap_or(trust).policy.revoked;
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
        Ok(next)
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
        if self.tell_all(&canary_draft(&canary, warrant)).await == 0 {
            if let Some(mirror) = canary.mirror() {
                mirror.end();
            }
            return Err(SwapError::NotRecorded);
        }
        self.end_shadow(warrant).await;
        self.swap().set_canary(Some(Arc::new(canary)));
        Ok(())
    }

    async fn end_canary(&self, canary: &Canary, code: &str, warrant: &Warrant) {
        self.swap().set_canary(None);
        let shown = canary.shown();
        let mut draft = told(EntryKind::RosterStaged, code, warrant);
        draft.generation = Some(shown.generation);
        for (name, counts) in [("canary", shown.canary), ("others", shown.others)] {
            draft.counts.insert(format!("{name}-judged"), counts.judged);
            draft.counts.insert(format!("{name}-failed"), counts.failed);
            draft.counts.insert(format!("{name}-micros"), counts.micros);
        }
        let _told = self.tell_all(&draft).await;
    }

    /// Records that an operator elsewhere asked for what is not his.
    pub(crate) async fn refuse_operator(&self, operator: &Operator, refused: &NotHis) {
        let by = format!("{} ({})", operator.name, operator.known_by());
        let mut draft = Draft::new(EntryKind::PluginRefused, "refused").fact("by", by);
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
        error!(generation = %canary.shown().generation, why, "the canary went beyond its bound and was stopped");
        let warrant = Warrant::of_nobody("the gateway", &format!("beyond its bound: {why}"));
        self.end_canary(&canary, "canary-stopped", &warrant).await;
        let why = format!("the canary went beyond its bound: {why}");
        self.swap().refuse(why, &warrant);
    }

    async fn exchange(
        &self,
        next: Generation,
        is_rollback: bool,
        warrant: Warrant,
    ) -> Result<(), SwapError> {
        let code = if is_rollback { "rolled-back" } else { "ok" };
        let mut draft = next.draft(EntryKind::RosterActivated, code, &warrant);
        if !is_rollback {
            draft = draft.fact("staged-by", next.warrant().by.as_str());
        }
        draft.records.push(manifest_record(next.roster()));
        // A tenant whose log has stopped is not served; when it opens again, its log says which roster serves.
        if self.tell_all(&draft).await == 0 {
            return Err(SwapError::NotRecorded);
        }
        // After that: what is not told has not served.
        let kept = counters::keep(self.host(), next.roster(), &warrant.by, &warrant.reason);
        kept.await.map_err(|_| SwapError::NotRecorded)?;
        let now = self.clock().now();
        self.end_shadow(&warrant).await;
        self.swap().set_canary(None);
        self.swap().exchange(next, warrant, now, is_rollback);
        Ok(())
    }

    /// Records `draft` in every log that is open, in all at once, and gives how many tenants' took it.
    async fn tell_all(&self, draft: &Draft) -> usize {
        let told = self.serving().map(async |tenant| {
            let recorded = tokio::time::timeout(PATIENCE, tenant.log().record(draft.clone()));
            let why = match recorded.await {
                Ok(Ok(_recorded)) => return *tenant.id() != TenantId::host(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it took more than {} s", PATIENCE.as_secs()),
            };
            error!(tenant = %tenant.id(), why, "a change of the roster is not in its log");
            false
        });
        let told = join_all(told).await;
        told.into_iter().filter(|told| *told).count()
    }
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

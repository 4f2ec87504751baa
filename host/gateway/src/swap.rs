//! Exchanges the roster that serves, while requests are in flight (I7).
//!
//! A candidate is staged: the whole configuration is checked, its plugins are vetted and compiled, and what it changes is
//! listed. Then it is activated: each tenant's log says so, and the next request has it. Requests in flight end with the
//! roster that they began with, which is freed after the last of them. What served before stays at hand for a rollback.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use nephron_model::{Digest, Draft, EntryKind, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::{Chain, Config, Faults, Plugin, Trust};
use crate::conformance::CaseError;
use crate::gateway::OpenError;
use crate::roster::Roster;

mod act;
mod beside;
mod canary;
mod difference;
mod rehearse;
mod shadow;
pub(crate) use act::{canary_draft, manifest_record};
pub(crate) use beside::{Came, NotCompared, by_gravity, compare, is_grave};
pub(crate) use canary::{Bounds, Canary, Side as CanarySide};
pub(crate) use difference::Difference;
use difference::{Side, differences};
pub(crate) use shadow::{ANSWERS, Findings, Shadow};

/// What an operator asks for. `by` is who, in his own words: the gateway adds the user whom the system names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Says what serves and what is ready to.
    Look,
    /// Makes the configuration in `file` ready to serve.
    Stage {
        file: PathBuf,
        by: String,
        reason: String,
    },
    /// Lets what is staged serve, if it is this generation.
    Activate {
        generation: Option<Digest>,
        by: String,
        reason: String,
    },
    /// Asks what is staged beside what serves, of so many requests in a hundred, until it is activated or retired.
    Shadow {
        generation: Option<Digest>,
        percent: u8,
        by: String,
        reason: String,
    },
    /// Lets what is staged serve some callers, until it is activated, rolled back, or stops by itself.
    Canary {
        generation: Option<Digest>,
        percent: u8,
        bounds: Bounds,
        by: String,
        reason: String,
    },
    /// Lets what served before serve again; while a canary runs, ends that.
    Rollback { by: String, reason: String },
    /// Lets go of what is staged, and of what served before.
    Retire { by: String, reason: String },
}

/// Who changes the roster, and why.
#[derive(Clone, Debug)]
pub(crate) struct Warrant {
    /// The person's own name for himself, in lower case: two names are two persons. Empty for the configuration, which is nobody.
    pub(crate) person: String,
    /// The same, with the user whom the system names.
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl Warrant {
    /// Characters of a name, or of a reason.
    const LONGEST: usize = 200;

    /// # Errors
    /// [`SwapError::NoGround`].
    pub(crate) fn of(by: &str, user: &str, reason: &str) -> Result<Self, SwapError> {
        let said = |text: &str| {
            let plain = !text.chars().any(char::is_control);
            plain && !text.is_empty() && text.chars().count() <= Self::LONGEST
        };
        let (by, reason) = (by.trim(), reason.trim());
        // What stands in parentheses is the system's word.
        if !said(by) || !said(reason) || by.contains(['(', ')']) {
            return Err(SwapError::NoGround);
        }
        Ok(Self {
            by: format!("{by} ({user})"),
            person: by.to_lowercase(),
            reason: reason.to_owned(),
        })
    }

    /// Of no person: of a configuration whose files changed, whoever changed them, or of the gateway itself.
    pub(crate) fn of_nobody(by: &str, reason: &str) -> Self {
        Self {
            person: String::new(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Whether no person stands behind it.
    pub(crate) const fn is_nobodys(&self) -> bool {
        self.person.is_empty()
    }
}

/// What serves, and what is ready to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Standing {
    pub(crate) serving: Shown,
    pub(crate) staged: Option<Shown>,
    pub(crate) before: Option<Shown>,
    pub(crate) canary: Option<canary::Shown>,
    pub(crate) shadow: Option<shadow::Shown>,
    /// Generations that serve their last requests.
    pub(crate) draining: usize,
    /// Why the last candidate was not let in, cause by cause.
    pub(crate) refused: Option<String>,
}

/// A generation, as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shown {
    pub(crate) generation: Digest,
    pub(crate) since: String,
    pub(crate) by: String,
    pub(crate) reason: String,
    /// What differs from what served when it was staged.
    pub(crate) differences: Vec<Difference>,
}

/// The roster was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwapError {
    #[error("the configuration is refused, and what served serves on")]
    Faults(#[source] Faults),
    #[error(
        "{sections} changed too, which takes a restart; nothing of the file was taken over, and what served serves on"
    )]
    Elsewhere { sections: String },
    #[error("the candidate is refused, and what served serves on")]
    Candidate(#[source] OpenError),
    #[error("the conformance cases of plugin `{plugin}` cannot be read")]
    Cases {
        plugin: String,
        #[source]
        source: CaseError,
    },
    #[error(
        "plugin `{plugin}` does not keep the conformance case `{case}` ({fault}), and what served serves on; `nephron plugin test` runs them all"
    )]
    Unfit {
        plugin: String,
        case: String,
        fault: String,
    },
    #[error("the configuration says what serves already; nothing was staged")]
    Same,
    #[error("nothing is staged; `nephron plugin stage` makes the configuration ready")]
    NothingStaged,
    #[error("generation {staged} is staged, not {asked}; `nephron plugin status` shows it")]
    Another { staged: Digest, asked: Digest },
    #[error(
        "nothing served before this, since the gateway was started or `retire` let go of it; stage a configuration that says what is to serve, and activate it"
    )]
    NothingBefore,
    #[error(
        "it widens what plugins may do, or looks at less, and `{by}` staged it; another person must activate it"
    )]
    SamePerson { by: String },
    #[error(
        "it widens what plugins may do, or looks at less, and nobody staged it but the configuration; `nephron plugin stage` in somebody's name, then `activate` in another's"
    )]
    Nobodys,
    #[error(
        "it widens what plugins may do, or looks at less: say which you have looked at, with `--generation {staged}`"
    )]
    Unnamed { staged: Digest },
    #[error(
        "{generation} was rolled back, or has a component or settings that were; it is staged, and serves when somebody activates it by name"
    )]
    RolledBack { generation: Digest },
    #[error("a canary runs; activate what is staged, or roll it back")]
    OnTrial,
    #[error("a canary serves 1 to 99 percent of callers; `activate` is for all")]
    NoPercentage,
    #[error("a shadow is asked of 1 to 100 percent of requests")]
    NoShare,
    #[error(
        "no thread can be had to ask it on; raise the limit of processes of the gateway's user (`ulimit -u`, `TasksMax`)"
    )]
    NoThread(#[source] std::io::Error),
    #[error("`{by}` has staged something else, which waits; activate or retire that first")]
    Waiting { by: String },
    #[error("say who you are and why, in at most 200 characters each, a name without parentheses")]
    NoGround,
    #[error(
        "no tenant's log takes the change, or the host's does not, and so what served serves on; the gateway's own output says which and why, and when they take entries again, so may this"
    )]
    NotRecorded,
}

impl SwapError {
    /// As entries name it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Faults(_) => "bad-configuration",
            Self::Elsewhere { .. } => "takes-a-restart",
            Self::Candidate(OpenError::Vet { source, .. }) => source.code(),
            Self::Candidate(OpenError::Trust { source, .. }) => source.code(),
            Self::Candidate(OpenError::Load(source)) => source.code(),
            Self::Candidate(OpenError::NotPulled { .. }) => "not-pulled",
            Self::Candidate(_) => "not-made",
            Self::Cases { .. } => "cases-unreadable",
            Self::Unfit { .. } => "case-not-kept",
            Self::Same => "same",
            Self::NothingStaged => "nothing-staged",
            Self::Another { .. } => "another-staged",
            Self::NothingBefore => "nothing-before",
            Self::SamePerson { .. } => "same-person",
            Self::Nobodys => "nobody-staged-it",
            Self::Unnamed { .. } => "generation-not-named",
            Self::Waiting { .. } => "another-waits",
            Self::OnTrial => "canary-runs",
            Self::NoPercentage | Self::NoShare => "no-percentage",
            Self::NoThread(_) => "no-thread",
            Self::RolledBack { .. } => "rolled-back",
            Self::NoGround => "no-warrant",
            Self::NotRecorded => "not-recorded",
        }
    }

    /// The plugin that it is about, by the operator's name.
    pub(crate) fn plugin(&self) -> Option<&str> {
        match self {
            Self::Candidate(
                OpenError::Vet { name, .. }
                | OpenError::Trust { name, .. }
                | OpenError::NotPulled { name, .. },
            ) => Some(name),
            Self::Candidate(OpenError::Load(source)) => Some(source.plugin()),
            Self::Cases { plugin, .. } | Self::Unfit { plugin, .. } => Some(plugin),
            Self::Candidate(_)
            | Self::Faults(_)
            | Self::Elsewhere { .. }
            | Self::Same
            | Self::NothingStaged
            | Self::Another { .. }
            | Self::NothingBefore
            | Self::SamePerson { .. }
            | Self::Nobodys
            | Self::Unnamed { .. }
            | Self::Waiting { .. }
            | Self::OnTrial
            | Self::NoPercentage
            | Self::NoShare
            | Self::NoThread(_)
            | Self::RolledBack { .. }
            | Self::NoGround
            | Self::NotRecorded => None,
        }
    }
}

/// A roster with the part of the configuration that it was made from.
#[derive(Clone)]
pub(crate) struct Generation {
    roster: Arc<Roster>,
    plugins: Vec<Plugin>,
    chain: Chain,
    since: Timestamp,
    warrant: Warrant,
    differences: Vec<Difference>,
}

impl Generation {
    pub(crate) const fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// What this entry of a configuration and this component were loaded as, if they were.
    pub(crate) fn loaded(
        &self,
        plugin: &Plugin,
        component: Digest,
    ) -> Option<Arc<nephron_engine::Plugin>> {
        let loaded = self.roster.plugin(&plugin.name)?;
        let is_same = self.plugins.contains(plugin) && loaded.reference().digest == component;
        is_same.then(|| Arc::clone(loaded))
    }

    /// The same, as it differs from what serves.
    fn after(&self, serving: &Self, now: Timestamp) -> Self {
        let differences = differences(
            &Side::new(&serving.plugins, &serving.chain, &serving.roster),
            &Side::new(&self.plugins, &self.chain, &self.roster),
            now,
        );
        Self {
            differences,
            ..self.clone()
        }
    }

    /// Who made it ready.
    pub(crate) const fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// The entry that it begins to serve, or is made ready to.
    pub(crate) fn draft(&self, kind: EntryKind, code: &str, warrant: &Warrant) -> Draft {
        let mut draft = Draft::new(kind, code)
            .fact("by", warrant.by.as_str())
            .fact("reason", warrant.reason.as_str());
        draft.generation = Some(self.roster.generation());
        for (number, difference) in self.differences.iter().enumerate() {
            let key = if difference.widens {
                "widens"
            } else {
                "changes"
            };
            draft = draft.fact(&format!("{key}/{number}"), difference.what.as_str());
        }
        draft
    }

    fn shown(&self) -> Shown {
        Shown {
            generation: self.roster.generation(),
            since: self.since.to_string(),
            by: self.warrant.by.clone(),
            reason: self.warrant.reason.clone(),
            differences: self.differences.clone(),
        }
    }
}

/// What serves a request, and what is asked beside.
pub(crate) struct Place {
    pub(crate) roster: Arc<Roster>,
    /// On which side of a canary it is, if one runs.
    pub(crate) canary: Option<CanarySide>,
    pub(crate) shadow: Option<Arc<Shadow>>,
}

/// The roster that serves, and those beside it.
pub(crate) struct Swap {
    /// What the process was started with. All of it but plugins and chain holds until it ends.
    started: Config,
    serving: RwLock<Arc<Generation>>,
    canary: RwLock<Option<Arc<Canary>>>,
    shadow: RwLock<Option<Arc<Shadow>>>,
    /// Shadows whose threads may still be at work.
    fading: Mutex<Vec<Arc<Shadow>>>,
    beside: Mutex<Beside>,
    /// Held by whoever changes any of it.
    turn: tokio::sync::Mutex<()>,
    /// Held by whoever makes a candidate: nothing waits for that but another candidate.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Beside {
    staged: Option<Arc<Generation>>,
    before: Option<Arc<Generation>>,
    ended: Vec<Weak<Roster>>,
    refused: Option<String>,
    /// What was rolled back: the configuration's files alone do not let it serve again.
    rolled_back: Vec<RolledBack>,
}

/// A generation that a person took back.
struct RolledBack {
    generation: Digest,
    /// What only it had.
    only: BTreeSet<Part>,
}

/// A plugin's name, and the digest of its component or of its settings.
type Part = (String, &'static str, Digest);

/// What serves in a roster.
fn parts(roster: &Roster) -> BTreeSet<Part> {
    let manifest = roster.manifest();
    let seats = manifest.seats().flat_map(|seat| {
        let plugin = &seat.plugin;
        [
            (plugin.name.clone(), "component", plugin.digest),
            (plugin.name.clone(), "settings", plugin.settings),
        ]
    });
    seats.collect()
}

impl RolledBack {
    fn is_in(&self, generation: Digest, parts: &BTreeSet<Part>) -> bool {
        self.generation == generation || !self.only.is_disjoint(parts)
    }
}

impl Swap {
    pub(crate) fn new(started: Config, roster: Arc<Roster>, now: Timestamp) -> Self {
        let serving = Generation {
            roster,
            plugins: started.plugins.clone(),
            chain: started.chain.clone(),
            since: now,
            warrant: Warrant::of_nobody("the gateway", "started"),
            differences: Vec::new(),
        };
        Self {
            started,
            serving: RwLock::new(Arc::new(serving)),
            canary: RwLock::new(None),
            shadow: RwLock::new(None),
            fading: Mutex::default(),
            beside: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            making: tokio::sync::Mutex::new(()),
        }
    }

    /// Who vouches for plugins, if anybody is asked for.
    pub(crate) const fn trust(&self) -> Option<&Trust> {
        self.started.trust.as_ref()
    }

    /// The roster that serves now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.serving().roster)
    }

    /// What serves a caller's next request: the same callers are on the same side of a canary, if one runs.
    pub(crate) fn place_for(&self, tenant: &TenantId, caller: &str) -> Place {
        let Some(canary) = self.canary() else {
            return Place {
                roster: self.roster(),
                canary: None,
                shadow: self.shadow().filter(|shadow| shadow.takes_next()),
            };
        };
        let is_on_it = canary.serves(tenant, caller);
        let (roster, shadow) = match is_on_it {
            true => (
                Arc::clone(canary.generation().roster()),
                canary.mirror().cloned(),
            ),
            false => (self.roster(), None),
        };
        Place {
            roster,
            canary: Some(CanarySide { canary, is_on_it }),
            shadow,
        }
    }

    /// The roster that is asked beside the one that serves, if one is.
    pub(crate) fn shadow(&self) -> Option<Arc<Shadow>> {
        let shadow = self.shadow.read().unwrap_or_else(PoisonError::into_inner);
        shadow.clone()
    }

    /// From now on this is asked beside, or none. Gives what was.
    pub(crate) fn set_shadow(&self, shadow: Option<Arc<Shadow>>) -> Option<Arc<Shadow>> {
        let mut place = self.shadow.write().unwrap_or_else(PoisonError::into_inner);
        let ended = std::mem::replace(&mut *place, shadow);
        drop(place);
        if let Some(ended) = &ended {
            self.fade(ended);
        }
        ended
    }

    /// Has a shadow end: it looks at nothing more, and what it holds of tenants is let go of soon.
    fn fade(&self, shadow: &Arc<Shadow>) {
        shadow.end();
        self.fading().push(Arc::clone(shadow));
        let roster = Arc::downgrade(shadow.roster());
        let mut beside = self.beside();
        if !beside.ended.iter().any(|other| other.ptr_eq(&roster)) {
            beside.ended.push(roster);
        }
    }

    /// Waits until nothing is asked beside what serves any more. Blocks, as long as one call takes.
    pub(crate) fn rest(&self) {
        self.set_canary(None);
        let _ended = self.set_shadow(None);
        for shadow in self.fading().drain(..) {
            shadow.join();
        }
    }

    fn fading(&self) -> MutexGuard<'_, Vec<Arc<Shadow>>> {
        self.fading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is staged, for whoever lets nothing serve but only looks.
    ///
    /// # Errors
    /// [`SwapError::NothingStaged`], [`SwapError::Another`].
    pub(crate) fn candidate(&self, asked: Option<Digest>) -> Result<Arc<Generation>, SwapError> {
        let staged = self.beside().staged.clone();
        let staged = staged.ok_or(SwapError::NothingStaged)?;
        is_asked(staged.roster.generation(), asked)?;
        Ok(staged)
    }

    /// Whether what is asked beside is not what is staged.
    pub(crate) fn is_shadow_stale(&self) -> bool {
        let (shadow, staged) = (self.shadow(), self.beside().staged.clone());
        shadow.is_some_and(|shadow| {
            staged.is_none_or(|staged| !Arc::ptr_eq(&staged.roster, shadow.roster()))
        })
    }

    /// The canary that runs, or has stopped by itself and was not ended yet.
    pub(crate) fn canary(&self) -> Option<Arc<Canary>> {
        let canary = self.canary.read().unwrap_or_else(PoisonError::into_inner);
        canary.clone()
    }

    /// From now on this canary runs, or none. Its activation is in the logs already (I1).
    pub(crate) fn set_canary(&self, canary: Option<Arc<Canary>>) {
        let mut place = self.canary.write().unwrap_or_else(PoisonError::into_inner);
        let ended = std::mem::replace(&mut *place, canary);
        drop(place);
        if let Some(ended) = ended {
            let roster = Arc::downgrade(ended.generation().roster());
            self.beside().ended.push(roster);
            if let Some(mirror) = ended.mirror() {
                self.fade(mirror);
            }
        }
    }

    /// What serves now.
    pub(crate) fn serving(&self) -> Arc<Generation> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&serving)
    }

    fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One change at a time.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// One candidate is made at a time.
    pub(crate) async fn making(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// What serves, and what is ready to.
    pub(crate) fn standing(&self) -> Standing {
        self.fading().retain(|shadow| !shadow.has_ended());
        let (canary, shadow) = (self.canary(), self.shadow());
        let mut beside = self.beside();
        beside.ended.retain(|ended| ended.strong_count() > 0);
        let serving = self.serving();
        let is = |ended: &Weak<Roster>, roster: &Arc<Roster>| ended.as_ptr() == Arc::as_ptr(roster);
        let kept = [
            beside.before.as_deref().map(Generation::roster),
            beside.staged.as_deref().map(Generation::roster),
            canary.as_deref().map(|canary| canary.generation().roster()),
            shadow.as_deref().map(Shadow::roster),
        ];
        let held = |ended: &&Weak<Roster>| {
            // What is kept drains only while requests hold it too; what serves again does not.
            let kept = kept.iter().flatten().filter(|kept| is(ended, kept));
            !is(ended, &serving.roster) && ended.strong_count() > kept.count()
        };
        Standing {
            serving: serving.shown(),
            staged: beside.staged.as_deref().map(Generation::shown),
            before: beside.before.as_deref().map(Generation::shown),
            canary: canary.as_ref().map(|canary| canary.shown()),
            shadow: shadow.as_ref().map(|shadow| shadow.shown()),
            draining: beside.ended.iter().filter(held).count(),
            refused: beside.refused.clone(),
        }
    }

    /// Why the last candidate was not let in. What a person staged before it is let go of, unless nobody tried: whoever goes on
    /// as if it had been staged must not let another serve.
    pub(crate) fn refuse(&self, why: String, warrant: &Warrant) {
        let mut beside = self.beside();
        beside.refused = Some(why);
        if !warrant.is_nobodys() {
            beside.staged = None;
        }
    }

    /// Lets go of what is staged.
    pub(crate) fn unstage(&self) {
        self.beside().staged = None;
    }

    /// Whether this was rolled back, or has a component or settings that were, and no person has let those serve since.
    pub(crate) fn is_rolled_back(&self, roster: &Roster) -> bool {
        let (generation, parts) = (roster.generation(), parts(roster));
        let beside = self.beside();
        let mut rolled_back = beside.rolled_back.iter();
        rolled_back.any(|back| back.is_in(generation, &parts))
    }

    /// The file that the process was started with.
    pub(crate) fn configuration(&self) -> &Path {
        &self.started.file
    }

    /// Reads a configuration that may differ from the one that serves in plugins and chain alone.
    ///
    /// # Errors
    /// [`SwapError`].
    pub(crate) fn read(&self, file: &Path) -> Result<Config, SwapError> {
        let config = Config::load(file).map_err(SwapError::Faults)?;
        let sections = other_sections(&self.started, &config);
        match sections.is_empty() {
            true => Ok(config),
            false => Err(SwapError::Elsewhere {
                sections: sections.join(", "),
            }),
        }
    }

    /// Keeps a candidate ready, and gives it.
    ///
    /// # Errors
    /// [`SwapError::Same`].
    pub(crate) fn stage(
        &self,
        config: Config,
        roster: Arc<Roster>,
        warrant: Warrant,
        now: Timestamp,
    ) -> Result<Arc<Generation>, SwapError> {
        let serving = self.serving();
        if self.canary().is_some() {
            return Err(SwapError::OnTrial);
        }
        let mut beside = self.beside();
        let others = beside.staged.as_ref().map(|staged| &staged.warrant);
        if let Some(other) = others.filter(|other| warrant.is_nobodys() && !other.is_nobodys()) {
            return Err(SwapError::Waiting {
                by: other.by.clone(),
            });
        }
        let staged = Generation {
            roster,
            plugins: config.plugins,
            chain: config.chain,
            since: now,
            warrant,
            differences: Vec::new(),
        }
        .after(&serving, now);
        beside.refused = None;
        let is_same = staged.roster.generation() == serving.roster.generation();
        if is_same && staged.differences.is_empty() {
            return Err(SwapError::Same);
        }
        let staged = Arc::new(staged);
        beside.staged = Some(Arc::clone(&staged));
        Ok(staged)
    }

    /// What is staged, if `warrant` may let it serve.
    ///
    /// # Errors
    /// [`SwapError`].
    pub(crate) fn staged(
        &self,
        asked: Option<Digest>,
        warrant: &Warrant,
        now: Timestamp,
    ) -> Result<Generation, SwapError> {
        let staged = self.beside().staged.clone();
        let staged = staged.ok_or(SwapError::NothingStaged)?;
        let staged = staged.after(&self.serving(), now);
        let generation = staged.roster.generation();
        is_asked(generation, asked)?;
        if staged.differences.iter().any(|one| one.widens) {
            if staged.warrant.is_nobodys() {
                return Err(SwapError::Nobodys);
            }
            if staged.warrant.person == warrant.person {
                return Err(SwapError::SamePerson {
                    by: staged.warrant.by,
                });
            }
            if asked.is_none() {
                return Err(SwapError::Unnamed { staged: generation });
            }
        }
        Ok(staged)
    }

    /// What served before.
    ///
    /// # Errors
    /// [`SwapError::NothingBefore`].
    pub(crate) fn before(&self, now: Timestamp) -> Result<Generation, SwapError> {
        let before = self.beside().before.clone();
        let before = before.ok_or(SwapError::NothingBefore)?;
        Ok(before.after(&self.serving(), now))
    }

    /// From now on `next` serves. Its activation is in the logs already (I1). What is rolled back is not kept for a rollback: a second
    /// one would let it serve again.
    pub(crate) fn exchange(
        &self,
        next: Generation,
        warrant: Warrant,
        now: Timestamp,
        is_rollback: bool,
    ) {
        let is_nobodys = warrant.is_nobodys();
        let next = Arc::new(Generation {
            since: now,
            warrant,
            ..next
        });
        let (generation, of_next) = (next.roster.generation(), parts(&next.roster));
        let mut beside = self.beside();
        let ended = {
            let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *serving, next)
        };
        let roster = Arc::downgrade(&ended.roster);
        if !beside.ended.iter().any(|other| other.ptr_eq(&roster)) {
            beside.ended.push(roster);
        }
        if is_rollback {
            beside.rolled_back.push(RolledBack {
                generation: ended.roster.generation(),
                only: &parts(&ended.roster) - &of_next,
            });
        } else if !is_nobodys {
            let rolled_back = &mut beside.rolled_back;
            rolled_back.retain(|back| !back.is_in(generation, &of_next));
        }
        beside.before = (!is_rollback).then_some(ended);
        beside.staged = None;
    }

    /// Lets go of what is staged and of what served before.
    pub(crate) fn retire(&self) {
        self.set_canary(None);
        let mut beside = self.beside();
        beside.staged = None;
        beside.before = None;
        beside.refused = None;
    }
}

/// That `staged` is what an operator has in mind, if he says what that is.
fn is_asked(staged: Digest, asked: Option<Digest>) -> Result<(), SwapError> {
    match asked.filter(|asked| *asked != staged) {
        Some(asked) => Err(SwapError::Another { staged, asked }),
        None => Ok(()),
    }
}

/// The sections of the configuration that differ, other than those that a swap takes over.
fn other_sections(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config {
        file: _,
        registries: _,
        data,
        root_key,
        key_rotation,
        tenants,
        classifications,
        trust,
        plugins: _,
        chain: _,
        associates,
        endpoints,
        routes,
        egress,
        exports,
        limits,
        log,
        anchors,
        listen,
        status,
        admin,
        api_keys,
        client_certificates,
        oidc,
        emergencies,
        watch,
    } = old;
    let same = [
        ("`data`", *data == new.data),
        ("`[root-key]`", *root_key == new.root_key),
        ("`[key-rotation]`", *key_rotation == new.key_rotation),
        (
            "`[[tenant]]`",
            *tenants == new.tenants && *classifications == new.classifications,
        ),
        (
            "`[trust]`",
            is_same_trust(trust.as_ref(), new.trust.as_ref()),
        ),
        ("`[[associate]]`", *associates == new.associates),
        ("`[[endpoint]]`", *endpoints == new.endpoints),
        ("`[[route]]`", *routes == new.routes),
        ("`[egress]`", *egress == new.egress),
        ("`[[export]]`", *exports == new.exports),
        ("`[limits]`", *limits == new.limits),
        ("`[log]`", *log == new.log),
        ("`[[anchor]]`", *anchors == new.anchors),
        ("`[listen]`", *listen == new.listen),
        ("`[status]`", *status == new.status),
        ("`[admin]`", *admin == new.admin),
        ("`[[api-key]]`", *api_keys == new.api_keys),
        (
            "`[[client-certificate]]`",
            *client_certificates == new.client_certificates,
        ),
        ("`[[oidc]]`", *oidc == new.oidc),
        ("`[emergency]`", *emergencies == new.emergencies),
        ("`[reload]`", *watch == new.watch),
    ];
    let differ = same.into_iter().filter(|(_, is_same)| !is_same);
    differ.map(|(name, _)| name).collect()
}

/// Whether the same count in both; what is revoked is looked at anew for each candidate.
fn is_same_trust(old: Option<&Trust>, new: Option<&Trust>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.names_the_same(new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

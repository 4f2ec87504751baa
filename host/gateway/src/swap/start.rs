//! What a start lets serve: what its configuration says, unless nobody who may would let that serve in the place of what did.

use std::sync::Arc;

use nephron_engine::Engine;
use nephron_model::{Draft, EntryKind, Timestamp};
use nephron_trust::TrustError;
use tracing::{error, warn};

use super::kept::Kept;
use super::rehearse::rehearse;
use super::{Generation, Swap, SwapError, Warrant};
use crate::config::Config;
use crate::gateway::{OpenError, Start};
use crate::host_log::HostLog;
use crate::keeper::chain;
use crate::roster::Roster;
use crate::workshop::Workshop;

/// What a gateway begins with.
pub(crate) struct Begun {
    pub(crate) serving: Generation,
    /// What its configuration says, where that waits for a person.
    staged: Option<Generation>,
    refused: Option<String>,
    /// The entry that it does not serve, for every log.
    pub(crate) told: Option<Draft>,
    /// What the host's log is to keep, if that is news.
    pub(crate) kept: Option<Kept>,
    rolled_back: Vec<super::RolledBack>,
}

impl Begun {
    /// What exchanges rosters from now on.
    pub(crate) fn into_swap(self, started: Config) -> Swap {
        let swap = Swap::new(started, self.serving);
        let mut beside = swap.beside();
        beside.staged = self.staged.map(Arc::new);
        beside.refused = self.refused;
        beside.rolled_back = self.rolled_back;
        drop(beside);
        swap
    }
}

/// What it takes to tell.
pub(crate) struct Starting<'a> {
    pub(crate) config: &'a Config,
    pub(crate) workshop: &'a Workshop,
    pub(crate) host: &'a HostLog,
    pub(crate) now: Timestamp,
}

impl Starting<'_> {
    /// Holds a roster, as the configuration says it, to what served last.
    ///
    /// # Errors
    /// [`OpenError`]: what served last is not known, or neither it nor this can serve.
    pub(crate) async fn with(&self, roster: Arc<Roster>, start: Start) -> Result<Begun, OpenError> {
        let by = Warrant::of_nobody("the gateway", "started");
        let configured = Generation::of(self.config, roster, by, self.now);
        let last = Kept::read(self.host)?;
        let rolled_back = last.as_ref().map(|last| last.rolled_back.clone());
        let rolled_back = rolled_back.unwrap_or_default();
        let now = Kept::of(&configured, rolled_back.clone());
        let is_the_same = last.as_ref() == Some(&now);
        let as_configured = |serving| Begun {
            serving,
            staged: None,
            refused: None,
            told: None,
            kept: (!is_the_same).then_some(now),
            rolled_back: rolled_back.clone(),
        };
        let (last, Start::Examined) = (last, start) else {
            return Ok(as_configured(configured));
        };
        let Some(last) = last.filter(|_| !is_the_same) else {
            return Ok(as_configured(configured));
        };
        let served = match self.workshop.make_again(&last).await {
            Ok(served) => served,
            Err(fault) => {
                // Without what served there is nothing to hold it to, and nothing else to serve.
                let why = chain(&fault);
                error!(generation = %last.generation, why, "what served last cannot be made again; what the configuration says serves, and was held to its cases alone");
                let rehearsed = rehearse(
                    self.workshop.engine(),
                    self.config,
                    configured.roster(),
                    None,
                );
                Box::pin(rehearsed).await.map_err(unfit)?;
                return Ok(as_configured(configured));
            }
        };
        let served = Generation {
            roster: served,
            plugins: last.configured(&self.config.data),
            chain: last.chain(),
            since: self.now,
            warrant: Warrant::of_nobody("the gateway", "served last"),
            differences: Vec::new(),
        };
        let configured = configured.after(&served, self.now);
        let Err(refused) = self.examine(&configured, &served, &last).await else {
            return Ok(as_configured(configured));
        };
        if let Err(why) = self.may_go_on(&served, &last) {
            if refused.is_unfit() {
                return Err(unfit(refused));
            }
            let refused = chain(&refused);
            error!(
                why,
                "what the configuration says serves, for what served last cannot; nobody let it serve: {refused}"
            );
            return Ok(as_configured(configured));
        }
        warn!(generation = %last.generation, "what served last serves on: {}", chain(&refused));
        Ok(Begun {
            told: Some(Self::refused(&configured, &refused)),
            staged: (!refused.is_unfit()).then_some(configured),
            serving: served,
            refused: Some(chain(&refused)),
            kept: None,
            rolled_back,
        })
    }

    /// The entry that what the configuration says does not serve.
    fn refused(configured: &Generation, refused: &SwapError) -> Draft {
        let draft = Draft::new(EntryKind::PluginRefused, "refused");
        let mut draft = draft.fact("by", "the gateway").fact("act", "start");
        if let Some(plugin) = refused.plugin() {
            draft = draft.fact("plugin", plugin);
        }
        draft.generation = Some(configured.roster().generation());
        draft.reasons.push(refused.code().to_owned());
        super::told_in(draft, configured.differences())
    }

    /// That a configuration may serve in nobody's name.
    async fn examine(
        &self,
        configured: &Generation,
        served: &Generation,
        last: &Kept,
    ) -> Result<(), SwapError> {
        let engine: &Engine = self.workshop.engine();
        let (is, was) = (configured.roster(), served.roster());
        Box::pin(rehearse(engine, self.config, is, Some(was))).await?;
        let (generation, parts) = (is.generation(), super::parts(is));
        let mut rolled_back = last.rolled_back.iter();
        if rolled_back.any(|back| back.is_in(generation, &parts)) {
            return Err(SwapError::RolledBack { generation });
        }
        match configured.differences.iter().any(|one| one.widens) {
            true => Err(SwapError::Nobodys),
            false => Ok(()),
        }
    }

    /// That what served last is what the rest of the configuration needs, and that nobody revoked it.
    fn may_go_on(&self, served: &Generation, last: &Kept) -> Result<(), String> {
        let names = last.names();
        let config = self.config;
        let connectors = config.endpoints.iter().map(|one| one.connector.as_str());
        let exporters = config.exports.iter().map(|one| one.plugin.as_str());
        let anchors = config.anchors.iter().filter_map(|one| one.plugin());
        let mut needed = connectors.chain(exporters).chain(anchors);
        if let Some(absent) = needed.find(|name| !names.contains(name)) {
            return Err(format!(
                "the configuration names `{absent}`, which it has not"
            ));
        }
        let Some(trust) = &config.trust else {
            return Ok(());
        };
        let revoked = &trust.policy.revoked;
        for seat in served.roster().manifest().seats() {
            let component = seat.plugin.digest;
            if revoked.contains(&component) {
                return Err(TrustError::ComponentRevoked { component }.to_string());
            }
            let mut keys = seat.vouched.iter();
            if let Some(vouch) = keys.find(|vouch| revoked.contains(&vouch.key)) {
                let (by, key) = (vouch.by.clone(), vouch.key);
                return Err(TrustError::KeyRevoked { by, key }.to_string());
            }
        }
        Ok(())
    }
}

fn unfit(refused: SwapError) -> OpenError {
    OpenError::Unfit {
        name: refused.plugin().unwrap_or_default().to_owned(),
        code: refused.code(),
        source: Box::new(refused),
    }
}

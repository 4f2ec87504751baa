//! What a start needs to know of what served before it: the host's log keeps it, in the entries by which rosters come to serve.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nephron_engine::Limits;
use nephron_engine::vet::Grants;
use nephron_model::{Digest, Record, Records as _, Space};
use serde::{Deserialize, Serialize};

use super::{Generation, RolledBack};
use crate::config::{Chain, Component, Plugin, PluginKind};
use crate::gateway::OpenError;
use crate::host_log::HostLog;
use crate::workshop::kept;

/// The key of the one record.
const KEY: &[u8] = b"roster";

/// What serves all callers, with the part of the configuration that it was made from, and what is not to come back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Kept {
    pub(crate) generation: Digest,
    pub(crate) plugins: Vec<KeptPlugin>,
    deciders: Vec<String>,
    detectors: Vec<String>,
    transformer: Option<String>,
    pub(crate) rolled_back: Vec<RolledBack>,
}

/// An entry of `[[plugin]]`, with digests in the place of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct KeptPlugin {
    pub(crate) name: String,
    kind: String,
    pub(crate) component: Digest,
    pub(crate) settings: Digest,
    /// The component's digest, if the operator pins it.
    pin: Option<Digest>,
    statements: Option<PathBuf>,
    cases: Option<PathBuf>,
    pub(crate) limits: Limits,
    keys: bool,
    null_wasi: bool,
}

impl KeptPlugin {
    fn of(plugin: &Plugin, generation: &Generation) -> Option<Self> {
        let loaded = generation.roster.plugin(&plugin.name)?.reference();
        Some(Self {
            name: plugin.name.clone(),
            kind: plugin.kind.as_str().to_owned(),
            component: loaded.digest,
            settings: loaded.settings,
            pin: plugin.digest,
            statements: plugin.statements.clone(),
            cases: plugin.cases.clone(),
            limits: plugin.limits.clone(),
            keys: plugin.grants.keys,
            null_wasi: plugin.grants.null_wasi,
        })
    }

    pub(crate) const fn grants(&self) -> Grants {
        Grants {
            keys: self.keys,
            null_wasi: self.null_wasi,
        }
    }

    pub(crate) fn kind(&self) -> Option<PluginKind> {
        PluginKind::of_word(&self.kind)
    }
}

impl Kept {
    /// Of what serves from now on, and what does not come back by itself.
    pub(crate) fn of(serving: &Generation, rolled_back: Vec<RolledBack>) -> Self {
        let plugins = serving.plugins.iter();
        let Chain {
            deciders,
            detectors,
            transformer,
        } = serving.chain.clone();
        Self {
            generation: serving.roster.generation(),
            plugins: plugins
                .filter_map(|plugin| KeptPlugin::of(plugin, serving))
                .collect(),
            deciders,
            detectors,
            transformer,
            rolled_back,
        }
    }

    /// What the host's log keeps; nothing where nothing has served.
    ///
    /// # Errors
    /// [`OpenError::ServedUnknown`].
    pub(crate) fn read(host: &HostLog) -> Result<Option<Self>, OpenError> {
        let unknown = |source| OpenError::ServedUnknown(source);
        let own = host.own().map_err(|source| unknown(Box::new(source)))?;
        let value = own.log().read(Space::Serving, KEY);
        let Some(value) = value.map_err(|source| unknown(Box::new(source)))? else {
            return Ok(None);
        };
        let kept = serde_json::from_slice(&value);
        kept.map(Some).map_err(|source| unknown(Box::new(source)))
    }

    pub(crate) fn record(&self) -> Record {
        Record {
            space: Space::Serving,
            key: KEY.to_vec(),
            value: serde_json::to_vec(self).unwrap_or_default(),
        }
    }

    pub(crate) fn chain(&self) -> Chain {
        Chain {
            deciders: self.deciders.clone(),
            detectors: self.detectors.clone(),
            transformer: self.transformer.clone(),
        }
    }

    /// Its entries of `[[plugin]]`, whose components are those that are kept in the folder `data`.
    pub(crate) fn configured(&self, data: &Path) -> Vec<Plugin> {
        let configured = |plugin: &KeptPlugin| {
            Some(Plugin {
                name: plugin.name.clone(),
                kind: plugin.kind()?,
                component: Component::File(kept(data, plugin.component, "wasm")),
                digest: plugin.pin,
                statements: plugin.statements.clone(),
                settings: serde_json::Value::Null,
                settings_files: Vec::new(),
                cases: plugin.cases.clone(),
                limits: plugin.limits.clone(),
                grants: plugin.grants(),
            })
        };
        self.plugins.iter().filter_map(configured).collect()
    }

    /// The plugins that a configuration may name apart from its chain: those that speak to endpoints, and those that ship.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.plugins
            .iter()
            .map(|plugin| plugin.name.as_str())
            .collect()
    }
}

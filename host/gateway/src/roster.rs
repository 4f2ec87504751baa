//! The plugins that serve, as one immutable whole (I7).

use std::collections::BTreeMap;
use std::sync::Arc;

use nephron_engine::{Limits, Plugin};
use nephron_model::{Digest, PluginRef};
use nephron_trust::Vouch;
use serde::{Deserialize, Serialize};

use crate::config::{Chain, PluginKind};
use crate::refusal::Refusal;

/// A set of configured plugins, each in its place. Never changed: a swap exchanges the whole.
pub struct Roster {
    generation: Digest,
    deciders: Vec<Arc<Plugin>>,
    detectors: Vec<Arc<Plugin>>,
    connectors: BTreeMap<String, Arc<Plugin>>,
    exporters: BTreeMap<String, Arc<Plugin>>,
    transformer: Option<Arc<Plugin>>,
    method: Option<&'static str>,
    /// What each plugin is, by its name, and who vouches for it.
    vouched: BTreeMap<String, (PluginKind, Vec<Vouch>)>,
}

/// A plugin, as it was configured and loaded, with who vouches for it.
pub(crate) type Loaded = (PluginKind, Arc<Plugin>, Vec<Vouch>);

/// A roster as the log keeps it, so that years later each generation still says what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Deciders, in order.
    pub deciders: Vec<Seat>,
    /// Detectors, in order.
    pub detectors: Vec<Seat>,
    /// Connectors by name.
    pub connectors: Vec<Seat>,
    /// Exporters by name.
    pub exporters: Vec<Seat>,
    /// The transformer, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformer: Option<Seat>,
    /// The method of 45 CFR 164.514(b) that the detectors amount to, if to one: on it hangs where cleared text may go (I10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A plugin in a roster, with the limits of its calls: a judgement that ran into one is run again under the same (I8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// The plugin.
    pub plugin: PluginRef,
    /// What one call of it may use.
    pub limits: Limits,
    /// Who vouches for it: none where policy asks for nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<Vouch>,
}

impl Manifest {
    /// Every seat.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        [
            &self.deciders,
            &self.detectors,
            &self.connectors,
            &self.exporters,
        ]
        .into_iter()
        .flatten()
        .chain(&self.transformer)
    }

    /// Its canonical bytes; their digest is the generation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Roster {
    /// Puts loaded plugins in their places. `method` is the de-identification method that the detectors amount to.
    ///
    /// # Errors
    /// [`Refusal::Incomplete`] when the chain names a plugin that was not loaded.
    pub(crate) fn new(
        plugins: &[Loaded],
        chain: &Chain,
        method: Option<&'static str>,
    ) -> Result<Self, Refusal> {
        let of_kind = |kinds: &[PluginKind]| -> BTreeMap<String, Arc<Plugin>> {
            let of_it = plugins.iter().filter(|(kind, ..)| kinds.contains(kind));
            of_it
                .map(|(_, plugin, _)| (plugin.reference().name.clone(), Arc::clone(plugin)))
                .collect()
        };
        let named = |kinds: &[PluginKind], names: &[String]| -> Result<Vec<Arc<Plugin>>, Refusal> {
            let loaded = of_kind(kinds);
            let find = |name: &String| loaded.get(name).cloned().ok_or_else(|| incomplete(name));
            names.iter().map(find).collect()
        };
        let mut roster = Self {
            generation: Digest::of(b""),
            deciders: named(&[PluginKind::Decider], &chain.deciders)?,
            detectors: named(
                &[PluginKind::Detector, PluginKind::Transformer],
                &chain.detectors,
            )?,
            connectors: of_kind(&[PluginKind::Connector]),
            exporters: of_kind(&[PluginKind::Exporter]),
            transformer: named(&[PluginKind::Transformer], chain.transformer.as_slice())?.pop(),
            method,
            vouched: plugins
                .iter()
                .map(|(kind, plugin, vouches)| {
                    (plugin.reference().name.clone(), (*kind, vouches.clone()))
                })
                .collect(),
        };
        roster.generation = Digest::of(&roster.manifest().to_bytes());
        Ok(roster)
    }

    /// What it is made of.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let seat = |plugin: &Arc<Plugin>| Seat {
            plugin: plugin.reference().clone(),
            limits: plugin.limits().clone(),
            vouched: self.vouched_for(&plugin.reference().name).to_vec(),
        };
        Manifest {
            deciders: self.deciders.iter().map(seat).collect(),
            detectors: self.detectors.iter().map(seat).collect(),
            connectors: self.connectors.values().map(seat).collect(),
            exporters: self.exporters.values().map(seat).collect(),
            transformer: self.transformer.as_ref().map(seat),
            method: self.method.map(str::to_owned),
        }
    }

    /// Digest of its manifest: stands in every entry of every request that it serves.
    #[must_use]
    pub const fn generation(&self) -> Digest {
        self.generation
    }

    /// The de-identification method that the detectors amount to, if to one (45 CFR 164.514(b)).
    pub(crate) const fn method(&self) -> Option<&'static str> {
        self.method
    }

    /// Who vouches for the plugin of that name.
    pub(crate) fn vouched_for(&self, name: &str) -> &[Vouch] {
        let found = self.vouched.get(name);
        found.map_or(&[], |(_, vouches)| vouches.as_slice())
    }

    /// Everybody who vouches, each with the plugin's name and with what he vouches for a version of.
    pub(crate) fn lineages(&self) -> impl Iterator<Item = (&str, String, &Vouch)> {
        self.vouched.iter().flat_map(|(name, (kind, vouches))| {
            let of = |vouch: &'_ Vouch| vouch.lineage(kind.as_str());
            vouches
                .iter()
                .map(move |vouch| (name.as_str(), of(vouch), vouch))
        })
    }

    pub(crate) fn deciders(&self) -> &[Arc<Plugin>] {
        &self.deciders
    }

    pub(crate) fn detectors(&self) -> &[Arc<Plugin>] {
        &self.detectors
    }

    /// What writes what becomes of files, if not the host.
    pub(crate) const fn transformer(&self) -> Option<&Arc<Plugin>> {
        self.transformer.as_ref()
    }

    pub(crate) fn connector(&self, name: &str) -> Result<&Arc<Plugin>, Refusal> {
        self.connectors.get(name).ok_or_else(|| incomplete(name))
    }

    /// The plugin of that name, whatever its place.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        let listed = self.deciders.iter().chain(&self.detectors);
        let named = self.connectors.values().chain(self.exporters.values());
        let mut all = listed.chain(named).chain(&self.transformer);
        all.find(|plugin| plugin.reference().name == name)
    }

    pub(crate) fn exporter(&self, name: &str) -> Result<&Arc<Plugin>, Refusal> {
        self.exporters.get(name).ok_or_else(|| incomplete(name))
    }
}

fn incomplete(name: &str) -> Refusal {
    Refusal::Incomplete {
        missing: name.to_owned(),
    }
}

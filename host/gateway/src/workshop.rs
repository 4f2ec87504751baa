//! Where rosters are made: vetted, compiled and kept by digest, off the path of requests.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nephron_engine::aot::AotCache;
use nephron_engine::compile::Compiler;
use nephron_engine::vet::{VetError, Vetted, vet};
use nephron_engine::{Engine, Plugin};
use nephron_keys::RootKey;
use nephron_model::{Clock, Digest, Timestamp};
use nephron_registry::{Reference, component_named_by};
use nephron_trust::{Offered, TrustError, Vouch};

use crate::Surroundings;
use crate::config::{self, Component, Config};
use crate::gateway::{self, OpenError, in_data, write_durably};
use crate::replay::Replayer;
use crate::roster::{Manifest, Roster};
use crate::swap::{Generation, Kept};

/// What it takes to make a roster.
pub(crate) struct Workshop {
    engine: Arc<Engine>,
    data: PathBuf,
    first_party: PathBuf,
    compiler: Compiler,
    cache: AotCache,
    clock: Arc<dyn Clock>,
}

/// A plugin of a configuration, with its component and with who vouches for it.
pub(crate) struct Candidate<'a> {
    plugin: &'a config::Plugin,
    ready: Ready,
    vouches: Vec<Vouch>,
    /// What lies beside the component, one envelope a line.
    statements: String,
}

/// A roster, and what of it is to be kept.
pub(crate) struct Made {
    pub(crate) roster: Arc<Roster>,
    parts: Vec<Part>,
}

/// A component, settings, a statement or a manifest.
struct Part {
    digest: Digest,
    kind: &'static str,
    bytes: Vec<u8>,
}

/// A plugin's component.
pub(crate) enum Ready {
    /// Nothing of it has run.
    Vetted(Vetted),
    /// It serves already, with the same settings, limits and grants, and so need not be made again.
    Loaded(Arc<Plugin>),
}

impl Workshop {
    pub(crate) fn new(
        engine: Arc<Engine>,
        data: &Path,
        around: &Surroundings,
        root: &RootKey,
    ) -> Result<Self, OpenError> {
        let folder = in_data(data, "host/aot")?;
        let cache = AotCache::new(&folder, root.mac_key("aot"));
        Ok(Self {
            engine,
            data: data.to_owned(),
            first_party: around.first_party.clone(),
            compiler: around.compiler.clone(),
            clock: Arc::clone(&around.clock),
            cache: cache.map_err(|source| OpenError::Data {
                path: folder,
                source,
            })?,
        })
    }

    /// The sandbox.
    pub(crate) const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What runs judgements again. It compiles as this does.
    pub(crate) fn replayer(&self) -> Replayer<'_> {
        let replayer = Replayer::new(&self.data, &self.engine);
        replayer.compiled_by(self.compiler.clone(), &self.cache)
    }

    /// Vets a configuration's plugins, and makes its roster. What `serving` has already is not made again.
    ///
    /// # Errors
    /// [`OpenError`], of a plugin or of the data folder.
    pub(crate) async fn make_beside(
        &self,
        config: &Config,
        serving: &Generation,
    ) -> Result<Arc<Roster>, OpenError> {
        let made = self.make_candidate(config, serving).await?;
        self.keep(&made)?;
        Ok(made.roster)
    }

    /// The same, of which nothing is kept yet. It reads, digests and loads on the caller's thread, for as long as that takes.
    ///
    /// # Errors
    /// [`OpenError`], of a plugin.
    pub(crate) async fn make_candidate(
        &self,
        config: &Config,
        serving: &Generation,
    ) -> Result<Made, OpenError> {
        let loaded = |plugin: &config::Plugin, digest| serving.loaded(plugin, digest);
        let vetted = vet_all(config, &self.first_party, self.clock.now(), loaded)?;
        self.load(config, vetted).await
    }

    /// Keeps each part of a roster by its digest, for replay. Blocks on the disk.
    ///
    /// # Errors
    /// [`OpenError::Data`].
    pub(crate) fn keep(&self, made: &Made) -> Result<(), OpenError> {
        let mut parts = made.parts.iter();
        parts.try_for_each(|part| keep(&self.data, part.digest, part.kind, &part.bytes))
    }

    /// Makes what served last, of what was kept of it.
    ///
    /// # Errors
    /// [`OpenError`], of a plugin or of what is kept.
    pub(crate) async fn make_again(&self, last: &Kept) -> Result<Arc<Roster>, OpenError> {
        let manifest = self.read_kept(last.generation, ROSTER)?;
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|error| self.not_kept(last.generation, ROSTER, error.into()))?;
        let mut plugins = Vec::with_capacity(last.plugins.len());
        for plugin in &last.plugins {
            let refused = |source| OpenError::Vet {
                name: plugin.name.clone(),
                source,
            };
            let (bytes, settings) = (
                self.read_kept(plugin.component, "wasm")?,
                self.read_kept(plugin.settings, "json")?,
            );
            let settings = String::from_utf8(settings).map_err(|_| {
                self.not_kept(plugin.settings, "json", ErrorKind::InvalidData.into())
            })?;
            let kind = plugin.kind().ok_or_else(|| {
                self.not_kept(last.generation, ROSTER, ErrorKind::InvalidData.into())
            })?;
            let vetted = vet(
                bytes,
                Some(kind.world()),
                Some(plugin.component),
                plugin.grants(),
                &plugin.limits,
            );
            let vetted = vetted.map_err(refused)?;
            let load = self.engine.load(
                &plugin.name,
                &vetted,
                &settings,
                &plugin.limits,
                &self.compiler,
                Some(&self.cache),
            );
            let mut seats = manifest.seats();
            let vouched = seats.find(|seat| seat.plugin.name == plugin.name);
            let vouched = vouched.map(|seat| seat.vouched.clone());
            let loaded = Arc::new(load.await?);
            plugins.push((kind, loaded, vouched.unwrap_or_default()));
        }
        let method = manifest.method.as_deref();
        let method = method.and_then(|method| (method == SAFE_HARBOR).then_some(SAFE_HARBOR));
        let roster = Roster::new(&plugins, &last.chain(), method).map_err(OpenError::Roster)?;
        match roster.generation() == last.generation {
            true => Ok(Arc::new(roster)),
            false => Err(self.not_kept(last.generation, ROSTER, ErrorKind::InvalidData.into())),
        }
    }

    fn read_kept(&self, digest: Digest, kind: &str) -> Result<Vec<u8>, OpenError> {
        let read = std::fs::read(kept(&self.data, digest, kind));
        let read = read.map_err(|error| self.not_kept(digest, kind, error))?;
        match Digest::of(&read) == digest {
            true => Ok(read),
            false => Err(self.not_kept(digest, kind, ErrorKind::InvalidData.into())),
        }
    }

    fn not_kept(&self, digest: Digest, kind: &str, source: std::io::Error) -> OpenError {
        let path = kept(&self.data, digest, kind);
        OpenError::Data { path, source }
    }

    /// The digest of what lies where a plugin's component is said to be, for whoever tells why it was refused.
    pub(crate) fn component_of(&self, config: &Config, plugin: &config::Plugin) -> Option<Digest> {
        let path = plugin.component.path(&self.first_party, &config.data);
        let bytes = nephron_engine::vet::read(&path, &plugin.limits).ok()?;
        Some(Digest::of(&bytes))
    }

    /// Loads what was vetted, and keeps each part for replay.
    ///
    /// # Errors
    /// [`OpenError`], of a plugin or of the data folder.
    pub(crate) async fn make(
        &self,
        config: &Config,
        vetted: Vec<Candidate<'_>>,
    ) -> Result<Arc<Roster>, OpenError> {
        let made = self.load(config, vetted).await?;
        self.keep(&made)?;
        Ok(made.roster)
    }

    async fn load(&self, config: &Config, vetted: Vec<Candidate<'_>>) -> Result<Made, OpenError> {
        let mut parts = Vec::new();
        let mut part = |digest, kind, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            parts.push(Part {
                digest,
                kind,
                bytes,
            });
        };
        let mut plugins = Vec::with_capacity(vetted.len());
        for candidate in vetted {
            let (plugin, vouches) = (candidate.plugin, candidate.vouches);
            for line in candidate.statements.lines().map(str::trim) {
                let digest = Digest::of(line.as_bytes());
                if vouches.iter().any(|vouch| vouch.statement == digest) {
                    part(digest, STATEMENT, line.as_bytes());
                }
            }
            let vetted = match candidate.ready {
                Ready::Vetted(vetted) => vetted,
                Ready::Loaded(loaded) => {
                    plugins.push((plugin.kind, loaded, vouches));
                    continue;
                }
            };
            let settings = sorted(&plugin.settings).to_string();
            part(vetted.digest(), "wasm", vetted.bytes());
            let digest = Digest::of(settings.as_bytes());
            part(digest, "json", settings.as_bytes());
            let load = self.engine.load(
                &plugin.name,
                &vetted,
                &settings,
                &plugin.limits,
                &self.compiler,
                Some(&self.cache),
            );
            plugins.push((plugin.kind, Arc::new(load.await?), vouches));
        }
        let roster = Roster::new(&plugins, &config.chain, method(config));
        let roster = Arc::new(roster.map_err(OpenError::Roster)?);
        let manifest = roster.manifest().to_bytes();
        part(roster.generation(), ROSTER, &manifest);
        Ok(Made { roster, parts })
    }
}

/// Safe Harbor, 45 CFR 164.514(b)(2), is met by the plugin of that name, as it comes: settings that make it find less
/// make it something else.
fn method(config: &Config) -> Option<&'static str> {
    let narrowed = |plugin: &config::Plugin| {
        ["kinds", "keep", "minimum-confidence"]
            .iter()
            .any(|key| plugin.settings.get(key).is_some())
    };
    let meets = |plugin: &config::Plugin| {
        let first_party =
            matches!(&plugin.component, Component::FirstParty(name) if name == SAFE_HARBOR);
        first_party && config.chain.detectors.contains(&plugin.name) && !narrowed(plugin)
    };
    config.plugins.iter().any(meets).then_some(SAFE_HARBOR)
}

/// The method, and the plugin.
const SAFE_HARBOR: &str = "safe-harbor";

/// The same settings with their keys in order, so that equal settings have one text and one digest, whichever features
/// of serde_json a build has.
fn sorted(settings: &serde_json::Value) -> serde_json::Value {
    match settings {
        serde_json::Value::Object(map) => {
            let by_key: BTreeMap<&String, &serde_json::Value> = map.iter().collect();
            by_key
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        serde_json::Value::Array(list) => list.iter().map(sorted).collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => settings.clone(),
    }
}

/// Vets the component of each plugin that `config` names, but for what is `loaded` with the same entry in the configuration and the
/// same component; who vouches for it is asked of all. Nothing of them runs.
///
/// # Errors
/// [`OpenError::NotPulled`], [`OpenError::Vet`] and [`OpenError::Trust`].
pub(crate) fn vet_all<'a>(
    config: &'a Config,
    first_party: &Path,
    now: Timestamp,
    loaded: impl Fn(&config::Plugin, Digest) -> Option<Arc<Plugin>>,
) -> Result<Vec<Candidate<'a>>, OpenError> {
    let vet_one = |plugin: &'a config::Plugin| {
        let path = plugin.component.path(first_party, &config.data);
        let pulled = match &plugin.component {
            Component::Registry(reference) => {
                let named = named_by(reference, &path);
                Some(named.ok_or_else(|| OpenError::NotPulled {
                    name: plugin.name.clone(),
                    reference: Box::new(reference.clone()),
                    file: config.file.clone(),
                })?)
            }
            Component::FirstParty(_) | Component::File(_) => None,
        };
        let vetted = nephron_engine::vet::read(&path, &plugin.limits).and_then(|bytes| {
            let found = Digest::of(&bytes);
            if let Some(expected) = pulled.filter(|expected| *expected != found) {
                return Err(VetError::DigestMismatch { expected, found });
            }
            if let Some(loaded) = loaded(plugin, Digest::of(&bytes)) {
                return Ok(Ready::Loaded(loaded));
            }
            vet(
                bytes,
                Some(plugin.kind.world()),
                plugin.digest,
                plugin.grants,
                &plugin.limits,
            )
            .map(Ready::Vetted)
        });
        let ready = vetted.map_err(|source| OpenError::Vet {
            name: plugin.name.clone(),
            source,
        })?;
        let (vouches, statements) = match &config.trust {
            Some(trust) => {
                let (digest, world) = match &ready {
                    Ready::Vetted(vetted) => (vetted.digest(), vetted.world()),
                    Ready::Loaded(loaded) => (loaded.reference().digest, loaded.world()),
                };
                let offered = Offered {
                    component: digest,
                    kind: plugin.kind.as_str(),
                    world: Some(world.name()),
                };
                let statements = statements(plugin.statements.as_deref(), &path);
                let vouched = statements.and_then(|statements| {
                    let vouches = trust.policy.judge(offered, &statements, now)?;
                    Ok((vouches, statements))
                });
                vouched.map_err(|source| OpenError::Trust {
                    name: plugin.name.clone(),
                    source,
                })?
            }
            None => Default::default(),
        };
        Ok(Candidate {
            plugin,
            ready,
            vouches,
            statements,
        })
    };
    config.plugins.iter().map(vet_one).collect()
}

/// Who vouches for each plugin of a configuration, by its name. Of what would be refused there is nobody.
pub(crate) fn vouched_for_all(
    config: &Config,
    first_party: &Path,
    now: Timestamp,
) -> BTreeMap<String, Vec<Vouch>> {
    let vouched = |plugin: &config::Plugin| {
        let alone = Config {
            plugins: vec![plugin.clone()],
            ..config.clone()
        };
        let vetted = vet_all(&alone, first_party, now, |_, _| None).ok()?;
        Some((plugin.name.clone(), vetted.into_iter().next()?.vouches))
    };
    config.plugins.iter().filter_map(vouched).collect()
}

/// Where the manifest of a component of a registry lies.
pub(crate) fn manifest_beside(component: &Path) -> PathBuf {
    gateway::beside(component, ".manifest.json")
}

/// The digest that a reference's manifest gives its component; nothing where the manifest or the component is not here. What cannot be
/// looked at is for whoever reads the component to tell.
fn named_by(reference: &Reference, component: &Path) -> Option<Digest> {
    if !component.try_exists().unwrap_or(true) {
        return None;
    }
    match std::fs::read(manifest_beside(component)) {
        Ok(manifest) => component_named_by(reference, &manifest),
        Err(_) => None,
    }
}

/// Where the statements about a component lie, unless the configuration says otherwise.
pub(crate) fn beside(component: &Path) -> PathBuf {
    gateway::beside(component, ".statements.jsonl")
}

/// What is stated of a component: of the file that is named, or else of the one beside it, which need not be there.
///
/// # Errors
/// [`TrustError::Unreadable`].
pub(crate) fn statements(named: Option<&Path>, component: &Path) -> Result<String, TrustError> {
    let path = named.map_or_else(|| beside(component), Path::to_owned);
    match config::read_text(&path) {
        Ok(text) => Ok(text),
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(TrustError::Unreadable { path, source }),
    }
}

/// How an envelope is kept.
const STATEMENT: &str = "dsse.json";

/// How a roster's manifest is kept.
pub(crate) const ROSTER: &str = "roster.json";

/// Where a component, its settings or a roster are kept by digest, for replay as long as entries name them.
pub(crate) fn kept(data: &Path, digest: Digest, kind: &str) -> PathBuf {
    data.join("host/kept")
        .join(format!("{}.{kind}", digest.hex()))
}

fn keep(data: &Path, digest: Digest, kind: &str, bytes: &[u8]) -> Result<(), OpenError> {
    in_data(data, "host/kept")?;
    let path = kept(data, digest, kind);
    let fault = |source| OpenError::Data {
        path: path.clone(),
        source,
    };
    // A file that a crash or an accident changed is written anew.
    if std::fs::read(&path).is_ok_and(|there| Digest::of(&there) == digest) {
        return Ok(());
    }
    write_durably(&path, bytes).map_err(fault)
}

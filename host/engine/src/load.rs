//! From a vetted component and its settings to a plugin that can be called.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use nephron_model::{Digest, PluginRef};
use wasmtime::component::Component;

use crate::aot::{AotCache, Origin};
use crate::bindings::v0_1 as wit;
use crate::capability::{Guest, null_wasi};
use crate::compile::{Compiler, PrepareError};
use crate::vet::{Vetted, World};
use crate::{Engine, Limits};

/// A configured plugin, ready to be called. Cheap to share; immutable.
pub struct Plugin {
    pub(crate) reference: PluginRef,
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) imports: Vec<String>,
    pub(crate) pre: Pre,
}

/// The world's pre-checked instance.
pub(crate) enum Pre {
    AccessPolicy(wit::access_policy::AccessPolicyPre<Guest>),
    Deidentifier(wit::deidentifier::DeidentifierPre<Guest>),
    KeyedDeidentifier(wit::keyed_deidentifier::KeyedDeidentifierPre<Guest>),
    LlmConnector(wit::llm_connector::LlmConnectorPre<Guest>),
    SigningLlmConnector(
        wit::llm_connector::LlmConnectorPre<Guest>,
        wit::signing::SigningPre<Guest>,
    ),
    AuditExporter(wit::audit_exporter::AuditExporterPre<Guest>),
    SigningAuditExporter(
        wit::audit_exporter::AuditExporterPre<Guest>,
        wit::signing::SigningPre<Guest>,
    ),
    ConfirmingAuditExporter(
        wit::audit_exporter::AuditExporterPre<Guest>,
        wit::confirming::ConfirmingPre<Guest>,
    ),
}

impl Plugin {
    /// Name, version and digests, as entries carry them.
    #[must_use]
    pub const fn reference(&self) -> &PluginRef {
        &self.reference
    }

    /// Its world.
    #[must_use]
    pub const fn world(&self) -> World {
        self.world
    }

    /// The interfaces that its component imports, with their versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// What one call may use.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Why a plugin cannot be loaded. What was serving goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It could not be configured, frozen or compiled.
    #[error("plugin `{name}` ({digest})")]
    Prepare {
        /// The operator's name for it.
        name: String,
        /// Its digest.
        digest: Digest,
        /// Why.
        #[source]
        source: PrepareError,
    },
    /// The version that it states is none.
    #[error("plugin `{name}` ({digest}) states no version of 1 to 64 printable ASCII characters")]
    Version {
        /// The operator's name for it.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// Compiled, it does not fit this host.
    #[error("plugin `{name}` ({digest}) does not fit its world: {reason}")]
    Link {
        /// The operator's name for it.
        name: String,
        /// Its digest.
        digest: Digest,
        /// What does not fit.
        reason: String,
    },
}

impl LoadError {
    /// The operator's name for the plugin.
    #[must_use]
    pub fn plugin(&self) -> &str {
        match self {
            Self::Prepare { name, .. } | Self::Version { name, .. } | Self::Link { name, .. } => {
                name
            }
        }
    }

    /// Which case it is, as the log has it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Prepare { source, .. } => source.code(),
            Self::Version { .. } => "no-version",
            Self::Link { .. } => "does-not-fit",
        }
    }
}

impl Engine {
    /// Prepares `vetted` with `settings` (JSON), or takes it from the cache, and links it to what its world names.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(
        &self,
        name: &str,
        vetted: &Vetted,
        settings: &str,
        limits: &Limits,
        compiler: &Compiler,
        cache: Option<&AotCache>,
    ) -> Result<Plugin, LoadError> {
        let digest = vetted.digest();
        let mut engine = DefaultHasher::new();
        self.inner.precompile_compatibility_hash().hash(&mut engine);
        let origin = Origin {
            component: digest,
            settings: Digest::of(settings.as_bytes()),
            engine: engine.finish(),
        };
        let link = |error: wasmtime::Error| LoadError::Link {
            name: name.to_owned(),
            digest,
            reason: format!("{error:#}"),
        };
        let cached = cache.and_then(|cache| cache.find(&self.inner, &origin, limits));
        let (descriptor, component) = match cached {
            Some(found) => found,
            None => {
                let prepared = compiler.prepare(vetted.bytes(), settings, limits).await;
                let prepared = prepared.map_err(|source| LoadError::Prepare {
                    name: name.to_owned(),
                    digest,
                    source,
                })?;
                if let Some(cache) = cache {
                    cache.keep(&origin, limits, &prepared);
                }
                tracing::info!(plugin = name, %digest, frozen = %prepared.frozen, "compiled a plugin");
                let component = crate::aot::load(&self.inner, &prepared.native).map_err(link)?;
                (prepared.descriptor, component)
            }
        };
        let version = descriptor.version;
        if !(1..=64).contains(&version.len()) || !version.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(LoadError::Version {
                name: name.to_owned(),
                digest,
            });
        }
        Ok(Plugin {
            pre: self
                .pre(vetted.world(), vetted.granted().null_wasi, &component)
                .map_err(link)?,
            reference: PluginRef {
                digest,
                name: name.to_owned(),
                settings: origin.settings,
                version,
            },
            world: vetted.world(),
            limits: limits.clone(),
            imports: vetted.imports().to_vec(),
        })
    }

    fn pre(&self, world: World, null_wasi: bool, component: &Component) -> wasmtime::Result<Pre> {
        let mut linker = self.linker(world)?;
        if null_wasi {
            null_wasi::link(&mut linker, &self.inner, component)?;
        }
        let pre = linker.instantiate_pre(component)?;
        Ok(match world {
            World::AccessPolicy => {
                Pre::AccessPolicy(wit::access_policy::AccessPolicyPre::new(pre)?)
            }
            World::Deidentifier => Pre::Deidentifier(wit::deidentifier::DeidentifierPre::new(pre)?),
            World::KeyedDeidentifier => {
                Pre::KeyedDeidentifier(wit::keyed_deidentifier::KeyedDeidentifierPre::new(pre)?)
            }
            World::LlmConnector => {
                Pre::LlmConnector(wit::llm_connector::LlmConnectorPre::new(pre)?)
            }
            World::SigningLlmConnector => Pre::SigningLlmConnector(
                wit::llm_connector::LlmConnectorPre::new(pre.clone())?,
                wit::signing::SigningPre::new(pre)?,
            ),
            World::AuditExporter => {
                Pre::AuditExporter(wit::audit_exporter::AuditExporterPre::new(pre)?)
            }
            World::SigningAuditExporter => Pre::SigningAuditExporter(
                wit::audit_exporter::AuditExporterPre::new(pre.clone())?,
                wit::signing::SigningPre::new(pre)?,
            ),
            World::ConfirmingAuditExporter => Pre::ConfirmingAuditExporter(
                wit::audit_exporter::AuditExporterPre::new(pre.clone())?,
                wit::confirming::ConfirmingPre::new(pre)?,
            ),
        })
    }
}

//! Run a recorded judgement again, on the recorded component and settings and the recorded input (I8).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::path::Path;

use nephron_audit::Entry;
use nephron_engine::aot::AotCache;
use nephron_engine::compile::Compiler;
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Engine, Judgement, Limits, Plugin};
use nephron_keys::{Grant, KeyError};
use nephron_model::{Digest, EntryKind, PluginRef};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::case::JUDGEMENT;
use crate::roster::Manifest;
use crate::workshop::{ROSTER, kept};

/// What came of running a judgement again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The plugin that judged.
    pub plugin: PluginRef,
    /// Whether the answer is the recorded one, byte for byte.
    pub same_answer: bool,
    /// Whether it burnt the same fuel, and so took the same path.
    pub same_fuel: bool,
}

/// A judgement cannot be run again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is not the entry of a plugin's decision.
    #[error("entry {sequence} is no decision of a plugin")]
    NotADecision {
        /// The entry.
        sequence: u64,
    },
    /// What it sealed was kept long enough, and is pruned.
    #[error("what entry {sequence} sealed was kept long enough, and is pruned")]
    Pruned {
        /// The entry.
        sequence: u64,
    },
    /// The payload cannot be opened.
    #[error("the recorded input cannot be opened")]
    Sealed(#[from] KeyError),
    /// The payload is not in the recorded form.
    #[error("the recorded input is not in a form that this version knows")]
    Form,
    /// The component, its settings or its roster are no longer kept, or are not what the entry names.
    #[error("`{digest}` is not kept as it was recorded")]
    NotKept {
        /// The component, or the roster's generation.
        digest: Digest,
    },
    /// It cannot be loaded any more.
    #[error("the recorded component cannot be loaded")]
    Load(#[from] nephron_engine::LoadError),
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    output: &'a RawValue,
}

/// Runs recorded judgements again, and keeps what it has loaded for the next.
pub struct Replayer<'a> {
    data: &'a Path,
    engine: &'a Engine,
    compiler: Compiler,
    cache: Option<&'a AotCache>,
    /// By component, settings and limits.
    loaded: BTreeMap<(Digest, Digest, String), Plugin>,
}

impl<'a> Replayer<'a> {
    /// Over `data`, the gateway's data folder.
    #[must_use]
    pub const fn new(data: &'a Path, engine: &'a Engine) -> Self {
        Self {
            data,
            engine,
            compiler: Compiler::InProcess,
            cache: None,
            loaded: BTreeMap::new(),
        }
    }

    /// The same, which compiles elsewhere, and only what was not compiled before.
    pub(crate) fn compiled_by(self, compiler: Compiler, cache: &'a AotCache) -> Self {
        Self {
            compiler,
            cache: Some(cache),
            ..self
        }
    }

    /// Runs the judgement of `entry` again. `grant` opens the tenant's payloads.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn replay(&mut self, grant: &Grant, entry: &Entry) -> Result<Replayed, ReplayError> {
        let header = &entry.header;
        if entry.is_pruned {
            return Err(ReplayError::Pruned {
                sequence: header.sequence,
            });
        }
        let (EntryKind::Decision, Some(reference), Some(payload)) =
            (header.kind, &header.plugin, &entry.payload)
        else {
            return Err(ReplayError::NotADecision {
                sequence: header.sequence,
            });
        };
        let opened = grant
            .open_payload(payload, header.request, JUDGEMENT)
            .await?;
        let payload: Payload<'_> =
            serde_json::from_slice(opened.expose()).map_err(|_| ReplayError::Form)?;
        let judgement =
            Judgement::from_bytes(payload.input.get().as_bytes()).map_err(|_| ReplayError::Form)?;
        let engine = self.engine;
        let limits = self.limits(header.generation, reference)?;
        let verdict = engine
            .call(self.plugin(reference, limits).await?, &judgement, None)
            .await;
        Ok(Replayed {
            plugin: reference.clone(),
            same_answer: verdict.to_bytes().expose().as_slice() == payload.output.get().as_bytes(),
            same_fuel: Some(verdict.fuel) == header.fuel,
        })
    }

    /// The limits that the plugin had in the roster of that generation.
    fn limits(
        &self,
        generation: Option<Digest>,
        reference: &PluginRef,
    ) -> Result<Limits, ReplayError> {
        let not_kept = || ReplayError::NotKept {
            digest: generation.unwrap_or(reference.digest),
        };
        let generation = generation.ok_or_else(not_kept)?;
        let bytes = std::fs::read(kept(self.data, generation, ROSTER)).map_err(|_| not_kept())?;
        if Digest::of(&bytes) != generation {
            return Err(not_kept());
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| ReplayError::Form)?;
        let mut seats = manifest.seats();
        let seat = seats.find(|seat| seat.plugin == *reference);
        seat.map(|seat| seat.limits.clone()).ok_or_else(not_kept)
    }

    /// The component and settings of that digest, as they were kept.
    async fn plugin(
        &mut self,
        reference: &PluginRef,
        limits: Limits,
    ) -> Result<&Plugin, ReplayError> {
        let not_kept = || ReplayError::NotKept {
            digest: reference.digest,
        };
        let key = (
            reference.digest,
            reference.settings,
            serde_json::to_string(&limits).unwrap_or_default(),
        );
        let plugin = match self.loaded.entry(key) {
            Occupied(loaded) => return Ok(loaded.into_mut()),
            Vacant(place) => {
                let component = std::fs::read(kept(self.data, reference.digest, "wasm"))
                    .map_err(|_| not_kept())?;
                let settings = std::fs::read_to_string(kept(self.data, reference.settings, "json"));
                let settings = settings.map_err(|_| not_kept())?;
                if Digest::of(settings.as_bytes()) != reference.settings {
                    return Err(not_kept());
                }
                let granted = Grants {
                    keys: true,
                    null_wasi: true,
                };
                let vetted = vet(component, None, Some(reference.digest), granted, &limits)
                    .map_err(|_| not_kept())?;
                let load = self.engine.load(
                    &reference.name,
                    &vetted,
                    &settings,
                    &limits,
                    &self.compiler,
                    self.cache,
                );
                place.insert(load.await?)
            }
        };
        Ok(plugin)
    }
}

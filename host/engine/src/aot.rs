//! The cache of compiled plugins. A `.cwasm` is native code, so a file counts only under this host's own MAC.

use std::path::{Path, PathBuf};

use nephron_keys::MacKey;
use nephron_model::Digest;
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;

use crate::Limits;
use crate::compile::{Descriptor, Prepared};

/// A folder of compiled plugins, each under a MAC over what it was made from and what it is.
pub struct AotCache {
    folder: PathBuf,
    key: MacKey,
}

/// What a compiled plugin was made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) component: Digest,
    pub(crate) settings: Digest,
    /// Wasmtime's version and every setting that shapes native code.
    pub(crate) engine: u64,
}

const MAGIC: &[u8; 8] = b"nphaot02";

/// What of a plugin's limits it was configured and compiled under. What was made under narrower ones would come out the same under these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Under {
    configure_fuel: u64,
    memory: usize,
    table_elements: usize,
    copied: usize,
    host_calls: u32,
    compile_seconds: u64,
    compile_memory: u64,
}

impl Under {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            configure_fuel: limits.configure_fuel,
            memory: limits.memory,
            table_elements: limits.table_elements,
            copied: limits.copied,
            host_calls: limits.host_calls,
            compile_seconds: limits.compile_seconds,
            compile_memory: limits.compile_memory,
        }
    }

    /// Whether each is at most what `limits` allow.
    const fn is_within(self, limits: &Limits) -> bool {
        self.configure_fuel <= limits.configure_fuel
            && self.memory <= limits.memory
            && self.table_elements <= limits.table_elements
            && self.copied <= limits.copied
            && self.host_calls <= limits.host_calls
            && self.compile_seconds <= limits.compile_seconds
            && self.compile_memory <= limits.compile_memory
    }
}

/// What stands before the native code.
#[derive(Serialize, Deserialize)]
struct Head<D> {
    descriptor: D,
    under: Under,
}

impl AotCache {
    /// A cache in `folder`, which is made if it is missing; only this host may be able to write there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path, key: MacKey) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            key,
        })
    }

    fn path(&self, origin: &Origin) -> PathBuf {
        let Origin {
            component,
            settings,
            engine,
        } = origin;
        self.folder.join(format!(
            "{}-{}-{engine:016x}.cwasm",
            component.hex(),
            settings.short()
        ))
    }

    fn authenticated(origin: &Origin, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(body.len() + 80);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&origin.component.0);
        bytes.extend_from_slice(&origin.settings.0);
        bytes.extend_from_slice(&origin.engine.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// What was cached for `origin`, if the file is whole and ours, and was made within `limits`. A file that is not is as good as absent.
    pub(crate) fn find(
        &self,
        engine: &wasmtime::Engine,
        origin: &Origin,
        limits: &Limits,
    ) -> Option<(Descriptor, Component)> {
        let file = std::fs::read(self.path(origin)).ok()?;
        let (head, body) = file.split_at_checked(MAGIC.len() + 32)?;
        let (magic, tag) = head.split_at_checked(MAGIC.len())?;
        if magic != MAGIC || !self.key.verify(&Self::authenticated(origin, body), tag) {
            tracing::warn!(component = %origin.component, "a cached compilation fails its MAC and is made anew");
            return None;
        }
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (head, native) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let Head { descriptor, under } = serde_json::from_slice::<Head<Descriptor>>(head).ok()?;
        if !under.is_within(limits) {
            return None;
        }
        let component = load(engine, native).ok()?;
        Some((descriptor, component))
    }

    /// Keeps `prepared`. Failing to is no fault: it is compiled again next time.
    pub(crate) fn keep(&self, origin: &Origin, limits: &Limits, prepared: &Prepared) {
        let kept = self.write(origin, Under::new(limits), prepared);
        if let Err(error) = kept {
            tracing::warn!(component = %origin.component, %error, "a compilation could not be cached");
        }
    }

    fn write(&self, origin: &Origin, under: Under, prepared: &Prepared) -> std::io::Result<()> {
        let descriptor = &prepared.descriptor;
        let head = serde_json::to_vec(&Head { descriptor, under })?;
        let length = u32::try_from(head.len()).map_err(std::io::Error::other)?;
        let body = [&length.to_le_bytes(), &*head, &*prepared.native].concat();
        let tag = self.key.mac(&Self::authenticated(origin, &body));
        let path = self.path(origin);
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&draft, [MAGIC.as_slice(), &tag, &body].concat())?;
        std::fs::rename(&draft, &path)
    }
}

/// Loads native code that this process, or its own child, or this host under its MAC, compiled.
#[expect(
    unsafe_code,
    reason = "wasmtime cannot check native code; the callers have, and there is no other"
)]
pub(crate) fn load(engine: &wasmtime::Engine, native: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `native` comes from `precompile_component` of this wasmtime, either through a pipe from the child that
    // this process started, or from a file whose MAC under a key that never leaves this host was checked just before.
    unsafe { Component::deserialize(engine, native) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_under_narrower_limits_is_used_and_under_wider_ones_is_not() {
        let made = Under::new(&Limits::default());
        assert!(made.is_within(&Limits::default()));
        let narrower: [fn(&mut Limits); 7] = [
            |limits| limits.configure_fuel -= 1,
            |limits| limits.memory -= 1,
            |limits| limits.table_elements -= 1,
            |limits| limits.copied -= 1,
            |limits| limits.host_calls -= 1,
            |limits| limits.compile_seconds -= 1,
            |limits| limits.compile_memory -= 1,
        ];
        for (number, narrow) in narrower.into_iter().enumerate() {
            let mut limits = Limits::default();
            narrow(&mut limits);
            assert!(!made.is_within(&limits), "{number}");
            assert!(
                Under::new(&limits).is_within(&Limits::default()),
                "{number}"
            );
        }
        // What one call may use is held to at each call.
        let limits = Limits {
            fuel: 1,
            ..Limits::default()
        };
        assert!(made.is_within(&limits));
    }
}
